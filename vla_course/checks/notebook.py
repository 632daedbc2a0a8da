"""Run a learner's notebook in a kernel of its own and say how each exercise stands.

Cells tagged `demo` are left out. A cell that fails does not stop the later ones, one that never ends is interrupted, and
all of it ends within a time limit.
"""

import math
import os
import re
import tempfile
import time
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import DeadKernelError

import vla_course.checks
from vla_course import progress
from vla_course.checks.report import Exercise, Lesson

CELL_LIMIT_S = 30.0


class NotebookError(Exception):
    """A notebook that cannot be run at all, said in one line."""


@dataclass(frozen=True)
class Verdict:
    """How one exercise stands, and what the learner should read about it."""

    number: str
    name: str
    status: progress.Status
    message: str


def days() -> list[str]:
    """The days whose checks exist, `day03` …, in order."""
    names = [module.name for module in iter_modules(vla_course.checks.__path__)]
    return sorted(name for name in names if re.fullmatch(r"day\d\d", name))


def lesson_of(day: str) -> Lesson:
    """The exercises of one day.

    Raises:
        NotebookError: there is no such day yet.
    """
    if day not in days():
        raise NotebookError(f"there is no {day!r}; the days so far: {', '.join(days())}")
    lesson: Lesson = import_module(f"vla_course.checks.{day}").lesson
    return lesson


def read_notebook(path: Path) -> nbformat.NotebookNode:
    """A notebook from disk.

    Raises:
        NotebookError: it is missing or damaged.
    """
    try:
        found: nbformat.NotebookNode = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
        return found
    except FileNotFoundError:
        raise NotebookError(f"no notebook at {path}") from None
    except Exception as error:
        reason = str(error).splitlines()[0][:80] if str(error) else type(error).__name__
        raise NotebookError(f"{path} is damaged and cannot be read as a notebook ({reason})") from None


def check(lesson: Lesson, path: Path, timeout_s: float) -> list[Verdict]:
    """Run the notebook and return one verdict per exercise, in order.

    Raises:
        NotebookError: the notebook is missing or damaged.
    """
    run = _Run(read_notebook(path), path.parent, timeout_s)
    with tempfile.TemporaryDirectory() as home:
        run.execute({**os.environ, "VLA_COURSE_HOME": home})
        recorded = progress.exercises(lesson.day, Path(home))
    verdicts = [run.verdict(task, lesson, recorded.get(task.number)) for task in lesson.exercises.values()]
    for verdict in verdicts:
        progress.record(lesson.day, **asdict(verdict))
    return verdicts


class _Run:
    """One execution of a notebook: what each cell said, which were interrupted, and why it ended early if it did."""

    def __init__(self, notebook: nbformat.NotebookNode, folder: Path, timeout_s: float) -> None:
        notebook.cells = [cell for cell in notebook.cells if "demo" not in cell.metadata.get("tags", [])]
        self.notebook, self.folder, self.timeout_s = notebook, folder, timeout_s
        self.cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
        self.interrupted: set[str] = set()
        self.ended = ""

    def execute(self, environment: dict[str, str]) -> None:
        end = time.monotonic() + self.timeout_s
        # A reply of our own in place of the missing one: the cell is interrupted and the next one runs.
        client = NotebookClient(
            self.notebook,
            allow_errors=True,
            interrupt_on_timeout=True,
            error_on_timeout={"ename": "TimeoutError", "evalue": "", "traceback": []},
            shutdown_kernel="immediate",
            extra_arguments=[
                "--IPKernelApp.log_level=40"
            ],  # a learner has no use for the kernel's own warnings
            resources={"metadata": {"path": str(self.folder.resolve())}},
        )
        client.log.disabled = True
        for cell in self.cells:
            cell.outputs = []
        with client.setup_kernel(env=environment):
            for index, cell in enumerate(self.notebook.cells):
                left = end - time.monotonic()
                if left <= 0:
                    self.ended = f"the time limit of {self.timeout_s:g} s was over before its check ran"
                    return
                client.timeout = math.ceil(min(left, CELL_LIMIT_S))
                began = time.monotonic()
                try:
                    client.execute_cell(cell, index)
                except DeadKernelError:
                    self.ended = f"the kernel died in this cell: {_first_line(cell.source)}"
                    return
                if time.monotonic() - began >= client.timeout:
                    self.interrupted.add(cell.id)

    def verdict(self, task: Exercise, lesson: Lesson, recorded: dict[str, str] | None) -> Verdict:
        definition, check_cell = self._cells_of(task, lesson)
        for cell in (definition, check_cell):
            if cell is not None and cell.id in self.interrupted:
                message = f"still running after {CELL_LIMIT_S:g} s and interrupted: is there a loop that never ends?"
                return Verdict(task.number, task.name, "error", message)
        if recorded is not None:
            status: Any = recorded["status"]
            return Verdict(task.number, task.name, status, recorded["message"])
        for cell in (definition, check_cell):
            message = _error_in(cell) if cell is not None else ""
            if message:
                return Verdict(task.number, task.name, "error", message)
        missing = f"no cell calls checks.{lesson.checks[task.name].__name__}: was it deleted?"
        return Verdict(task.number, task.name, "error", self.ended or missing)

    def _cells_of(self, task: Exercise, lesson: Lesson) -> tuple[Any, Any]:
        """The cell in which the learner writes this exercise, and the one that checks it."""
        defines = re.compile(rf"^(def|class) {task.name.split('.')[0]}\b", re.M)
        checks = re.compile(rf"\b{lesson.checks[task.name].__name__}\(")
        definition = [
            cell
            for cell in self.cells
            if task.name in cell.metadata.get("exercises", []) or defines.search(cell.source)
        ]
        return next(iter(definition), None), next(
            (cell for cell in self.cells if checks.search(cell.source)), None
        )


def _error_in(cell: nbformat.NotebookNode) -> str:
    """What went wrong in a cell, without the kernel's file names."""
    for output in cell.outputs:
        if output.output_type == "error":
            text = re.sub(r"\([^()]*?, line (\d+)\)", r"(line \1 of the cell)", output.evalue)
            return f"{output.ename}: {text}"
    return ""


def _first_line(source: str) -> str:
    return next((line for line in source.splitlines() if line.strip()), "")
