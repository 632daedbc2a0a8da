"""What the learner has done so far, kept in one file on this machine and sent nowhere.

The file lies in the user's data folder; the environment variable VLA_COURSE_HOME names another one.
"""

import atexit
import json
import os
import stat
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, Literal, get_args

import platformdirs

from vla_course import files

Status = Literal["done", "borrowed", "wrong", "not finished", "error"]
Entry = tuple[str, str, Status, str]
"""The number and the name of an exercise, how it stands, and what the learner should read about it."""
CHECKING = "VLA_COURSE_CHECK"
"""The environment variable that marks the kernel of `vla-course check` and every process that it starts."""
LIMIT_BYTES = 10_000_000
WAIT_S = 20.0


def home() -> Path:
    """The folder that holds the learner's records."""
    return Path(os.environ.get("VLA_COURSE_HOME") or platformdirs.user_data_dir("vla_course"))


def read(name: str, folder: Path | None = None) -> dict[str, Any]:
    """One record file as a dictionary; what is no such file counts as empty and is kept beside it as `….damaged.json`.

    Raises:
        OSError: the file cannot be opened.
    """
    path = (folder or home()) / f"{name}.json"
    try:
        found = json.loads(_text_of(path))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (ValueError, RecursionError, IsADirectoryError):
        found = None
    if isinstance(found, dict):
        return found
    _set_aside(path)
    return {}


def _text_of(path: Path) -> str:
    """The text of an ordinary file. A FIFO would be waited for without end, so none is opened in the ordinary way."""
    with open(
        path, "rb", opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0))
    ) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError(f"{path} is not a file")
        content = file.read(LIMIT_BYTES + 1)
    if len(content) > LIMIT_BYTES:
        raise ValueError(f"{path} is longer than any record")
    return content.decode()


def _set_aside(path: Path) -> None:
    """Give a damaged file a name that no earlier one has."""
    names = (path.with_suffix(f".damaged{'' if n == 1 else f'-{n}'}.json") for n in count(1))
    with suppress(OSError):  # a read-only folder: it stays where it is
        path.rename(next(name for name in names if not name.exists()))


def update(name: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Read one record file, change the dictionary, and replace the file, while other processes that do the same wait.

    Raises:
        OSError: the folder cannot be written to, the disk is full, or another process held the folder for `WAIT_S` s.
    """
    with files.writing_alone(home(), wait_s=WAIT_S):
        everything = read(name)
        change(everything)
        files.write_text(home() / f"{name}.json", json.dumps(everything, indent=1, ensure_ascii=False))


def record(day: str, number: str, name: str, status: Status, message: str) -> None:
    """Note how the latest check of one exercise ended; a full or read-only disk does not spoil the check."""
    try:
        record_all(day, [(number, name, status, message)])
    except OSError as error:
        print(f"(your progress could not be kept: {error})")


def record_all(day: str, entries: Iterable[Entry]) -> None:
    """Note how several exercises of one day stand.

    Raises:
        OSError: as `update`.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    rows = {
        number: {"name": name, "status": status, "message": message, "time": now}
        for number, name, status, message in entries
    }

    def change(everything: dict[str, Any]) -> None:
        old = everything.get(day)
        everything[day] = {**(old if isinstance(old, dict) else {}), **rows}

    update("progress", change)


def exercises(day: str, folder: Path | None = None) -> dict[str, dict[str, str]]:
    """The latest verdict on each exercise of one day, by its number; `folder` stands in for `home()`.

    An entry without a known status, as a damaged file has, is left out.
    """
    found = read("progress", folder).get(day)
    return {number: row for number, row in found.items() if _is_entry(row)} if isinstance(found, dict) else {}


def _is_entry(row: Any) -> bool:
    return (
        isinstance(row, dict)
        and all(isinstance(row.get(key), str) for key in ("name", "status", "message"))
        and row["status"] in get_args(Status)
    )


def keep_apart() -> None:
    """Keep what this process records in a temporary folder of its own. Each solution notebook begins with this call.

    So running the answers ticks nothing off, reveals no prediction and replaces no row of the strip, in JupyterLab, on Colab
    and under nbval alike: a cell is the one thing that runs in all of them (metadata, file names and the kernel's folder differ
    or get lost). `vla-course check`, whose kernel has a folder of its own already, still reads its verdicts there.
    """
    if CHECKING not in os.environ:
        os.environ["VLA_COURSE_HOME"] = _folder_of_this_process()
    print("These are the answers: running them ticks nothing off in your progress.")


@cache
def _folder_of_this_process() -> str:
    folder = tempfile.TemporaryDirectory(prefix="vla_course_answers_", ignore_cleanup_errors=True)
    atexit.register(folder.cleanup)
    return folder.name
