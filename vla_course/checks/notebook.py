"""Run a learner's notebook in a kernel of its own and say how each exercise stands.

Cells tagged `demo` are left out. What a notebook can do to its check is limited, not prevented: the exercises are judged in
the kernel that runs the notebook, with the rights of whoever runs the check. A notebook that means to can pass without
solving anything, and can read, change and delete files. What is done against it:

- the kernel has a home folder of its own, so a notebook's records are not the user's;
- each verdict is read there when the cell that calls the check has run, so a later cell cannot rewrite it;
- the course's files must have the same hashes afterwards, so no notebook changes how the next one is judged;
- every process that the notebook started is ended.
"""

import re
import sys
import tempfile
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import get_args

import vla_course.checks
from vla_course import progress
from vla_course.checks import kernel
from vla_course.checks.notebook_file import Cell, Notebook, plain
from vla_course.checks.report import Exercise, Lesson
from vla_course.errors import NotebookError
from vla_course.files import sha256_of

PACKAGE = Path(str(vla_course.checks.__file__)).parents[1]


@dataclass(frozen=True)
class Verdict:
    """How one exercise stands, and what the learner should read about it."""

    number: str
    name: str
    status: progress.Status
    message: str


@dataclass(frozen=True)
class Report:
    """One verdict per exercise, in order, and lines on the run as a whole."""

    verdicts: list[Verdict]
    notes: list[str]


def days() -> list[str]:
    """The days whose checks exist, `day03` …, in order."""
    names = [module.name for module in iter_modules(vla_course.checks.__path__)]
    return sorted(name for name in names if re.fullmatch(r"day\d\d", name))


def lesson_of(day: str) -> Lesson:
    """The exercises of one day, named `day03`, `day3`, `03` or `3`.

    Raises:
        NotebookError: there is no such day yet.
    """
    short = re.fullmatch(r"(?:day ?)?([0-9]{1,2})", day.strip().lower())
    name = f"day{int(short[1]):02d}" if short else day
    if name not in days():
        raise NotebookError(f"there is no {day!r}; the days so far: {', '.join(days())}")
    lesson: Lesson = import_module(f"vla_course.checks.{name}").lesson
    return lesson


def check(lesson: Lesson, path: Path, notebook: Notebook, timeout_s: float) -> Report:
    """Run the notebook and say how each exercise stands. Nothing is recorded.

    Raises:
        NotebookError: it belongs to another day, cannot be run, or changed the course's own files.
    """
    _refuse_foreign(lesson, path, notebook)
    before = _hashes()
    run = _Run(lesson, [cell for cell in notebook.cells if not cell.demo])
    with tempfile.TemporaryDirectory(prefix="vla_course_check_", ignore_cleanup_errors=True) as home:
        try:
            run.execute(path.parent, Path(home), timeout_s)
        except RuntimeError as error:
            raise NotebookError(f"the kernel of {sys.executable} did not start: {error}") from None
    _refuse_changes(before)
    return Report([run.verdict(task) for task in lesson.exercises.values()], run.notes(notebook))


def _refuse_foreign(lesson: Lesson, path: Path, notebook: Notebook) -> None:
    if notebook.day not in ("", lesson.day):
        day = notebook.day
        raise NotebookError(
            f"{path} is a notebook of {day}, not of {lesson.day}: vla-course check {day} --notebook {path}"
        )
    if notebook.language.lower() != "python":
        raise NotebookError(f"{path} is a notebook for {notebook.language}, not for Python")


def _hashes() -> dict[Path, str]:
    """The source files of the package, and what Python compiled of the checks and would take in their place."""
    compiled = PACKAGE.glob("checks/__pycache__/*.pyc")
    return {path: sha256_of(path) for path in [*PACKAGE.rglob("*.py"), *compiled] if path.is_file()}


def _refuse_changes(before: dict[Path, str]) -> None:
    after = _hashes()
    changed = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    for path in changed:
        if path.suffix == ".pyc":  # Python wrote it, or the notebook: without it the source counts
            path.unlink(missing_ok=True)
    sources = [str(path) for path in changed if path.suffix == ".py"]
    if sources:
        raise NotebookError(
            f"the course's own files changed while the notebook ran, so nothing was recorded: {', '.join(sources)}. "
            "Restore them (git checkout, or install the course again) before the next check"
        )


class _Run:
    """One execution of a notebook, and what its checks recorded."""

    def __init__(self, lesson: Lesson, cells: list[Cell]) -> None:
        self.lesson, self.cells = lesson, cells
        of_exercises = [place for task in lesson.exercises.values() for place in self._cells_of(task)]
        first = min((place for place in of_exercises if place is not None), default=0)
        self.execution = kernel.Execution([cell.source for cell in cells], unlimited=first)
        self.recorded: dict[str, dict[str, str]] = {}

    def execute(self, folder: Path, home: Path, timeout_s: float) -> None:
        def take(index: int) -> None:
            said = progress.exercises(self.lesson.day, home)
            for task in self.lesson.exercises.values():
                if task.number in said and self._judges(task).search(self.cells[index].source):
                    self.recorded[task.number] = said[task.number]

        self.execution.run(folder, home, timeout_s, after=take)

    def notes(self, notebook: Notebook) -> list[str]:
        """What concerns the notebook as a whole."""
        found = []
        if notebook.kernel not in ("", "python3", "python"):
            found.append(
                f"the notebook names the kernel {notebook.kernel!r}; the check ran with {sys.executable}"
            )
        for place in sorted(self.execution.interrupted):
            found.append(
                f"a cell ran too long and was interrupted: {self.cells[place].source.strip().partition(chr(10))[0]}"
            )
        if failed := self._failed_import():
            found.append(
                f"an import failed ({failed}) in the environment of {sys.executable}: install what is missing there "
                f"with `{sys.executable} -m pip install …`, or take the import out"
            )
        if self.execution.left_behind:
            found.append(f"processes that the notebook left running were ended: {self.execution.left_behind}")
        return [" ".join(plain(note).split()) for note in found]

    def verdict(self, task: Exercise) -> Verdict:
        """How one exercise stands."""
        status, message = self._found(task)
        return Verdict(task.number, task.name, status, plain(message))

    def _found(self, task: Exercise) -> tuple[progress.Status, str]:
        own = [place for place in self._cells_of(task) if place is not None]
        if self.execution.interrupted.intersection(own):
            limit = f"{kernel.CELL_LIMIT_S:g} s"
            return "error", f"still running after {limit} and interrupted: is there a loop that never ends?"
        if task.number in self.recorded:
            row = self.recorded[task.number]
            status = next(known for known in get_args(progress.Status) if known == row["status"])
            return status, row["message"]
        for place in own:
            if place in self.execution.errors:
                return "error", self._error(*self.execution.errors[place])
        missing = f"no cell calls checks.{self.lesson.checks[task.name].__name__}: was it deleted?"
        return "error", self.execution.ended or missing

    def _error(self, name: str, text: str) -> str:
        """What went wrong in a cell, without the kernel's file names, and the import that a missing name may come from."""
        said = f"{name}: " + re.sub(r"\([^()]*?, line (\d+)\)", r"(line \1 of the cell)", text)
        failed = self._failed_import() if name == "NameError" else ""
        return f"{said}; an import failed: {failed}" if failed else said

    def _failed_import(self) -> str:
        """The error of the first cell that stopped at an import."""
        errors = (error for _, error in sorted(self.execution.errors.items()))
        imports = (
            f"{name}: {text}" for name, text in errors if name in ("ModuleNotFoundError", "ImportError")
        )
        return next(imports, "")

    def _cells_of(self, task: Exercise) -> tuple[int | None, int | None]:
        """The places of the cell in which the learner writes this exercise, and of the one that checks it."""
        defines = re.compile(rf"^(def|class) {task.name.split('.')[0]}\b", re.M)
        checks = re.compile(rf"\b{self.lesson.checks[task.name].__name__}\(")
        definition = (
            place
            for place, cell in enumerate(self.cells)
            if task.name in cell.exercises or defines.search(cell.source)
        )
        check_cell = (place for place, cell in enumerate(self.cells) if checks.search(cell.source))
        return next(definition, None), next(check_cell, None)

    def _judges(self, task: Exercise) -> re.Pattern[str]:
        """What stands in a cell that checks or borrows this exercise."""
        return re.compile(
            rf"\b{self.lesson.checks[task.name].__name__}\b"
            rf"|\bborrow\(\s*['\"](?:{re.escape(task.name)}|{re.escape(task.number)})['\"]"
        )
