"""The command line: what this machine can do, how the exercises stand, a fresh notebook, and experiments of your own.

vla-course doctor
vla-course check 3 [--notebook PATH] [--no-record] [--timeout SECONDS] [--json]
vla-course progress [--json]
vla-course reset 3 [--notebook PATH]
vla-course collect --env FoldTowel-v0 --out data/demos/towel [key=value ...]
vla-course train --preset finetune-lora --data data/demos/towel --out runs/towel-lora [key=value ...]
vla-course eval runs/towel-lora --env FoldTowel-v0 --episodes 100 --json out.json [key=value ...]
vla-course report out.json runs/towel-lora --out report.html
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vla_course import assets, files, progress, results
from vla_course.cli import experiments, terminal
from vla_course.errors import CannotRunError, NotebookError
from vla_course.settings import SettingsError

if TYPE_CHECKING:  # what reads notebooks takes seconds to load, and most commands read none
    from vla_course.checks.notebook import Verdict
    from vla_course.checks.notebook_file import Notebook

NO_SANDBOX = (
    "Run your notebook from the start and say how each exercise stands. This is no sandbox: the notebook runs with your "
    "rights. It can read, change and delete your files and use the network, so check only notebooks that you would run. "
    "It is judged in the process that runs it, so a notebook that means to deceive can pass without solving anything. "
    "Only your own notebook changes your progress. If the course's files changed meanwhile, the check says so and records "
    "nothing. Processes that the notebook left running are ended."
)
SIGNS: dict[str, str] = {"done": "✓", "borrowed": "≈", "wrong": "✗", "not finished": "…", "error": "!"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 all is well, 1 something is not, 2 it could not be done."""
    with terminal.plainly():
        try:
            options, words = _parser().parse_known_args(arguments)
            experiments.take_settings(options, words)
            code: int = options.run(options)
            return code
        except (NotebookError, SettingsError, CannotRunError, OSError) as error:
            terminal.say_error(error)
            return 2
        except KeyboardInterrupt as stop:
            terminal.say_error(f"stopped: {stop}" if str(stop) else "stopped")
            return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vla-course", description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--version", action=_Version, help="the versions of the course and of what it runs on"
    )
    commands = parser.add_subparsers(required=True, metavar="command")

    command = commands.add_parser("doctor", help="what this machine can do, and what mends the rest")
    command.add_argument(
        "--install-gl", action="store_true", help="install missing OpenGL libraries where apt may be used"
    )
    command.set_defaults(run=_doctor)

    command = commands.add_parser(
        "check", help="run your notebook of one day and say how each exercise stands", description=NO_SANDBOX
    )
    command.add_argument("day", help="3, 03 or day03")
    command.add_argument(
        "--notebook",
        type=Path,
        help="another notebook than yours, which lies in this folder or in notebooks/; its verdicts are not recorded",
    )
    command.add_argument(
        "--no-record", action="store_true", help="leave your progress as it is, also with your own notebook"
    )
    command.add_argument(
        "--timeout", type=_seconds, default=180.0, help="seconds for the whole notebook (180)"
    )
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(run=_check)

    command = commands.add_parser("progress", help="the table over all days")
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(run=_progress)

    command = commands.add_parser("reset", help="a fresh notebook; yours is kept beside it")
    command.add_argument("day", help="3, 03 or day03")
    command.add_argument(
        "--notebook", type=Path, help="another notebook than the one in this folder or in notebooks/"
    )
    command.set_defaults(run=_reset)

    experiments.add_commands(commands)
    return parser


class _Version(argparse.Action):
    """`--version`, which looks the versions up only when they are asked for, and loads none of the packages."""

    def __init__(self, option_strings: list[str], dest: str, help: str) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        print(", ".join(f"{name} {version}" for name, version in results.versions().items()))
        parser.exit()


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"want a number of seconds above zero, got {text}")
    return seconds


def _doctor(options: argparse.Namespace) -> int:
    from vla_course.cli import doctor  # loads torch, which the other commands do without

    return doctor.install_gl() if options.install_gl else doctor.report()


def _check(options: argparse.Namespace) -> int:
    from vla_course.checks import notebook
    from vla_course.checks.notebook_file import read_notebook

    lesson = notebook.lesson_of(options.day)
    path = options.notebook or find_notebook(lesson.day)
    if path is None:
        raise NotebookError(f"no notebook of {lesson.day} in this folder; name it with --notebook PATH")
    found = read_notebook(path)
    report = notebook.check(lesson, path, found, options.timeout)
    unrecorded = _not_recorded(options, lesson.day, path, found) or _record(lesson.day, report.verdicts)
    notes = report.notes + ([f"not recorded in your progress: {unrecorded}"] if unrecorded else [])
    if options.json:
        rows = [asdict(verdict) for verdict in report.verdicts]
        shown = {"day": lesson.day, "notebook": str(path), "recorded": not unrecorded, "notes": notes}
        print(json.dumps({**shown, "exercises": rows}, ensure_ascii=False, indent=1))
    else:
        print(f"{lesson.day}: {path}")
        for line in [*(f"({note})" for note in notes), *map(_line, report.verdicts)]:
            print(line)
        print(_summary([verdict.status for verdict in report.verdicts]))
    return int(any(verdict.status not in ("done", "borrowed") for verdict in report.verdicts))


def _not_recorded(options: argparse.Namespace, day: str, path: Path, found: "Notebook") -> str:
    """Why the verdicts on this notebook are not the user's progress; "" where they are.

    Only the notebook that `check` finds without being told is the user's own: one named with --notebook may be a student's.
    """
    if options.no_record:
        return "--no-record"
    if found.holds_answers:
        return "this notebook holds the course's answers"
    own = find_notebook(day)
    if own is None or own.resolve() != path.resolve():
        return f"your notebook of {day} is {own or 'not found from this folder'}, and this is another"
    return ""


def _record(day: str, verdicts: "Sequence[Verdict]") -> str:
    """Keep the verdicts; returns why that was not possible, or ""."""
    try:
        progress.record_all(day, [(v.number, v.name, v.status, v.message) for v in verdicts])
    except OSError as error:
        return str(error)
    return ""


def _line(verdict: "Verdict") -> str:
    head = f"{SIGNS[verdict.status]} {verdict.number} {verdict.name}: {verdict.status}"
    if verdict.status not in ("wrong", "error"):
        return head
    return "\n".join([head, *(f"    {line}" for line in verdict.message.splitlines())])


def _summary(statuses: Sequence[str]) -> str:
    counts = [
        f"{statuses.count(status)} {status}" for status in [*SIGNS, "not started"] if status in statuses
    ]
    return f"{len(statuses)} exercises: {', '.join(counts)}"


def _progress(options: argparse.Namespace) -> int:
    from vla_course.checks import notebook

    table = {}
    for day in notebook.days():
        known = progress.exercises(day)
        tasks = notebook.lesson_of(day).exercises.values()
        table[day] = {
            task.number: {
                "name": task.name,
                "status": known.get(task.number, {}).get("status", "not started"),
            }
            for task in tasks
        }
    if options.json:
        print(json.dumps(table, ensure_ascii=False, indent=1))
        return 0
    for day, rows in table.items():
        signs = " ".join(SIGNS.get(row["status"], "·") for row in rows.values())
        print(f"{day}  {signs}  {_summary([row['status'] for row in rows.values()])}")
    print("\n" + "   ".join(f"{sign} {status}" for status, sign in SIGNS.items()) + "   · not started")
    print(f"Kept in {progress.home()}, and nowhere else.")
    return 0


def _reset(options: argparse.Namespace) -> int:
    from vla_course.checks import notebook

    day = notebook.lesson_of(options.day).day
    path = Path(options.notebook or find_notebook(day) or Path(_handed_out(day)).name)
    fresh = _fresh(day)
    with files.replacing(path) as partial:
        partial.write_text(fresh, encoding="utf-8")
        if path.exists():
            print(f"yours is kept as {_keep(path)}")
    print(f"fresh: {path}")
    return 0


def _keep(path: Path) -> Path:
    """A copy of the learner's notebook beside it, under a name that nothing has yet."""
    stem = f"{path.stem}.before-reset-{datetime.now():%Y%m%d-%H%M%S}"
    for number in count(1):
        kept = path.with_name(stem + (f"-{number}" if number > 1 else "") + ".ipynb")
        with suppress(FileExistsError):
            kept.touch(exist_ok=False)  # takes the name, also from a second reset at the same time
            break
    try:
        with files.replacing(kept) as partial:
            shutil.copyfile(path, partial)
    except OSError:
        kept.unlink()
        raise
    return kept


def find_notebook(day: str) -> Path | None:
    """The learner's notebook of one day: in the working folder, its notebooks/ folder, or the checkout's."""
    folders = [Path(), Path("notebooks")] + ([assets.CHECKOUT / "notebooks"] if assets.is_checkout() else [])
    for folder in folders:
        for path in sorted(folder.glob(f"{day}*.ipynb")):
            if ".before-reset-" not in path.name and path.is_file() and not _holds_answers(path):
                return path
    return None


def _holds_answers(path: Path) -> bool:
    from vla_course.checks.notebook_file import read_notebook

    try:
        return read_notebook(path).holds_answers
    except (NotebookError, OSError):
        return False  # the learner's, damaged: the command that reads it says so


def _handed_out(day: str) -> str:
    """The name under which the course hands out one day's notebook."""
    if assets.is_checkout():
        names = [f"notebooks/{path.stem}.ipynb" for path in (assets.CHECKOUT / "lessons").glob(f"{day}_*.py")]
    else:
        names = [name for name in assets.manifest() if name.startswith(f"notebooks/{day}_")]
    if not names:
        raise NotebookError(f"{day} has no notebook to hand out")
    return names[0]


def _fresh(day: str) -> str:
    """The notebook as handed out: built from the lesson in a checkout, downloaded elsewhere."""
    if not assets.is_checkout():
        return assets.find(_handed_out(day)).read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        target = os.path.join(folder, "fresh.ipynb")
        program = [
            sys.executable,
            str(assets.CHECKOUT / "tools" / "build_notebooks.py"),
            "--exercise",
            day,
            target,
        ]
        built = subprocess.run(program, capture_output=True, text=True)
        if built.returncode != 0:
            raise NotebookError(f"no fresh notebook could be built: {built.stderr.strip().splitlines()[-1]}")
        return Path(target).read_text(encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
