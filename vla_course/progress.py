"""What the learner has done so far, kept in one file on this machine and sent nowhere.

The file lies in the user's data folder; the environment variable VLA_COURSE_HOME names another one.
"""

import json
import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import platformdirs

Status = Literal["done", "borrowed", "wrong", "not finished", "error"]


def home() -> Path:
    """The folder that holds the learner's records."""
    return Path(os.environ.get("VLA_COURSE_HOME") or platformdirs.user_data_dir("vla_course"))


def read(name: str, folder: Path | None = None) -> dict[str, Any]:
    """One record file as a dictionary; an unreadable one counts as empty and is kept aside."""
    path = (folder or home()) / f"{name}.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        return {}
    except ValueError:
        found = None
    if isinstance(found, dict):
        return found
    path.replace(path.with_suffix(".damaged.json"))
    return {}


def write(name: str, record: dict[str, Any]) -> None:
    """Replace one record file in a single step, so that a crash never leaves half of one."""
    home().mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=home(), delete=False, encoding="utf-8") as file:
        json.dump(record, file, indent=1, ensure_ascii=False)
    os.replace(file.name, home() / f"{name}.json")


def record(day: str, number: str, name: str, status: Status, message: str) -> None:
    """Note how the latest check of one exercise ended; a full or read-only disk does not spoil the check."""
    everything = read("progress")
    everything.setdefault(day, {})[number] = {
        "name": name,
        "status": status,
        "message": message,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    try:
        write("progress", everything)
    except OSError as error:
        print(f"(your progress could not be kept: {error})")


def exercises(day: str, folder: Path | None = None) -> dict[str, dict[str, str]]:
    """The latest verdict on each exercise of one day, by its number; `folder` stands in for `home()`."""
    found: dict[str, dict[str, str]] = read("progress", folder).get(day, {})
    return found
