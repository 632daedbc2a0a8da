"""The command line: what this machine can do, how the exercises stand, a fresh notebook, and experiments of your own.

vla-course doctor
vla-course check day03 [--notebook PATH] [--timeout SECONDS] [--json]
vla-course progress [--json]
vla-course reset day03 [--notebook PATH]
vla-course collect --env FoldTowel-v0 --out data/demos/towel [key=value ...]
vla-course train --preset finetune-lora --data data/demos/towel --out runs/towel-lora [key=value ...]
vla-course eval runs/towel-lora --env FoldTowel-v0 --episodes 100 --json out.json [key=value ...]
vla-course report out.json runs/towel-lora --out report.html
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from vla_course import assets, experiments, progress, results, terminal
from vla_course.checks import notebook
from vla_course.checks.notebook import NotebookError, Verdict
from vla_course.errors import CannotRunError
from vla_course.settings import SettingsError

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
    parser.add_argument("--version", action=_Version, help="the versions of the course and of what it runs on")
    commands = parser.add_subparsers(required=True, metavar="command")

    command = commands.add_parser("doctor", help="what this machine can do, and what mends the rest")
    command.add_argument(
        "--install-gl", action="store_true", help="install missing OpenGL libraries where apt may be used"
    )
    command.set_defaults(run=_doctor)

    command = commands.add_parser(
        "check", help="run your notebook of one day and say how each exercise stands"
    )
    command.add_argument("day", help="day03, for example")
    command.add_argument(
        "--notebook", type=Path, help="another notebook than the one in this folder or in notebooks/"
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
    command.add_argument("day", help="day03, for example")
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
    from vla_course import doctor  # loads torch, which the other commands do without

    return doctor.install_gl() if options.install_gl else doctor.report()


def _check(options: argparse.Namespace) -> int:
    lesson = notebook.lesson_of(options.day)
    path = options.notebook or find_notebook(options.day)
    if path is None:
        raise NotebookError(f"no notebook of {options.day} in this folder; name it with --notebook PATH")
    verdicts = notebook.check(lesson, path, options.timeout)
    if options.json:
        rows = [asdict(verdict) for verdict in verdicts]
        print(
            json.dumps(
                {"day": options.day, "notebook": str(path), "exercises": rows}, ensure_ascii=False, indent=1
            )
        )
    else:
        print(f"{options.day}: {path}")
        for verdict in verdicts:
            print(_line(verdict))
        print(_summary([verdict.status for verdict in verdicts]))
    return int(any(verdict.status not in ("done", "borrowed") for verdict in verdicts))


def _line(verdict: Verdict) -> str:
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
    notebook.lesson_of(options.day)
    path = options.notebook or find_notebook(options.day) or Path(_handed_out(options.day)).name
    path = Path(path)
    fresh = _fresh(options.day)
    if path.exists():
        kept = path.with_name(f"{path.stem}.before-reset-{datetime.now():%Y%m%d-%H%M%S}.ipynb")
        path.rename(kept)
        print(f"yours is kept as {kept}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(fresh, encoding="utf-8")
    print(f"fresh: {path}")
    return 0


def find_notebook(day: str) -> Path | None:
    """The learner's notebook of one day: in the working folder, its notebooks/ folder, or the checkout's."""
    folders = [Path(), Path("notebooks")] + ([assets.CHECKOUT / "notebooks"] if assets.is_checkout() else [])
    for folder in folders:
        found = [path for path in sorted(folder.glob(f"{day}*.ipynb")) if ".before-reset-" not in path.name]
        if found:
            return found[0]
    return None


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
