"""Run a notebook's code cells in a kernel of this environment: within limits, and with no process left behind.

A cell that fails does not stop the later ones, one that never ends is interrupted, and all of it ends within limits of time
and memory. The kernel runs with the rights of whoever runs the check: these are limits for mistakes, not a sandbox.
"""

import math
import os
import secrets
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import nbformat
import psutil
from ipykernel.kernelspec import get_kernel_dict
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import DeadKernelError

from vla_course import progress

CELL_LIMIT_S = 30.0
MEMORY_LIMIT_GB = min(8.0, 0.8 * psutil.virtual_memory().total / 1e9)
OWN_LIMIT_GB = 2.0
"""What the process that runs the check may come to hold by reading what the kernel sends."""
TEXT_LIMIT = 4_000
QUIET = "--IPKernelApp.log_level=40"  # a learner has no use for the kernel's own warnings
# The check reads nothing that is printed; sent as messages, a gigabyte of it would take the check four.
SILENT = (
    "import sys; sys.stdout = sys.stderr = open(__import__('os').devnull, 'w', encoding='utf-8'); del sys"
)


class Execution:
    """What came of running the cells: the error of each that failed, which were interrupted, and why it ended early.

    The first `unlimited` cells, which import and load, may take as long as all of it may.
    """

    def __init__(self, sources: Sequence[str], unlimited: int = 0) -> None:
        self.sources, self.unlimited = sources, unlimited
        self.errors: dict[int, tuple[str, str]] = {}
        self.interrupted: set[int] = set()
        self.ended = ""
        self.left_behind = 0

    def run(self, folder: Path, home: Path, timeout_s: float, after: Callable[[int], None]) -> None:
        """Execute every cell in `folder`, with `home` for records, and call `after` with the place of each that ran.

        Raises:
            RuntimeError: the kernel did not start.
        """
        mark = secrets.token_hex(16)
        environment = {**os.environ, "VLA_COURSE_HOME": str(home), progress.CHECKING: mark}
        environment["IPYTHONDIR"] = str(
            home / "ipython"
        )  # start-up files of the user's IPython change no verdict
        client = _Client(self, folder)
        watch = _Watch()
        try:
            # DEVNULL: what the kernel writes around Jupyter's messages would reach the user's terminal as it is.
            with (
                _ending_cleanly(),
                client.setup_kernel(env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL),
            ):
                watch.start(client.pid)
                self._execute(client, time.monotonic() + timeout_s, timeout_s, after)
        finally:
            watch.stop()
            self.left_behind = _end(mark, watch.seen)
        self.ended = watch.exceeded or self.ended

    def _execute(self, client: "_Client", end: float, timeout_s: float, after: Callable[[int], None]) -> None:
        for index, cell in enumerate(client.nb.cells):
            left = end - time.monotonic()
            if left <= 0:
                self.ended = f"the time limit of {timeout_s:g} s was over before its check ran"
                return
            client.timeout = math.ceil(left if index < self.unlimited else min(left, CELL_LIMIT_S))
            began = time.monotonic()
            try:
                client.execute_cell(cell, index)
            except DeadKernelError:
                self.ended = f"the kernel died in this cell: {_first_line(cell.source)}"
                return
            if time.monotonic() - began >= client.timeout:
                self.interrupted.add(index)
            after(index)


class _ThisEnvironment(KernelSpecManager):
    """Every notebook runs with the Python that runs the check, whatever kernel its metadata name."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        return KernelSpec(**get_kernel_dict(extra_arguments=[QUIET, f"--IPKernelApp.exec_lines={SILENT}"]))


class _Client(NotebookClient):
    """nbclient, keeping nothing of what the cells show but the first error of each."""

    def __init__(self, execution: Execution, folder: Path) -> None:
        cells = [nbformat.v4.new_code_cell(source) for source in execution.sources]  # type: ignore[no-untyped-call]
        super().__init__(
            nbformat.v4.new_notebook(cells=cells),  # type: ignore[no-untyped-call]
            km=AsyncKernelManager(kernel_spec_manager=_ThisEnvironment()),
            allow_errors=True,
            interrupt_on_timeout=True,
            # A reply of our own in place of the missing one: the cell is interrupted and the next one runs.
            error_on_timeout={"ename": "TimeoutError", "evalue": "", "traceback": []},
            shutdown_kernel="immediate",
            resources={"metadata": {"path": str(folder.resolve())}},
        )
        self.owns_km = True
        self.log.disabled = True
        self.execution = execution

    @property
    def pid(self) -> int:
        """The process of the running kernel."""
        found: int = self.km.provisioner.pid  # type: ignore[union-attr]
        return found

    def process_message(self, msg: dict[str, Any], cell: nbformat.NotebookNode, cell_index: int) -> None:
        if msg["msg_type"] == "status":
            super().process_message(msg, cell, cell_index)
        elif msg["msg_type"] == "error":
            name, text = (str(msg["content"].get(key, ""))[:TEXT_LIMIT] for key in ("ename", "evalue"))
            self.execution.errors.setdefault(cell_index, (name, text))


class _Watch:
    """Looks at the kernel and what it started, and kills all of it when it takes or sends too much."""

    def __init__(self) -> None:
        self.seen: set[psutil.Process] = set()
        self.exceeded = ""
        self._before = _memory(psutil.Process())
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def start(self, pid: int) -> None:
        self._kernel = psutil.Process(pid)
        self._thread.start()

    def stop(self) -> None:
        self._done.set()
        if self._thread.is_alive():
            self._thread.join()

    def _look(self) -> None:
        with suppress(psutil.Error):  # the kernel ended
            while not self._done.wait(0.2):
                family = [self._kernel, *self._kernel.children(recursive=True)]
                self.seen.update(family)
                self.exceeded = self._too_much(family)
                if self.exceeded:
                    for process in family:
                        _kill(process)
                    return

    def _too_much(self, family: list[psutil.Process]) -> str:
        if sum(map(_memory, family)) > MEMORY_LIMIT_GB * 1e9:
            return f"the notebook took more than {MEMORY_LIMIT_GB:.3g} GB of memory and was ended"
        if _memory(psutil.Process()) - self._before > OWN_LIMIT_GB * 1e9:
            return "the notebook showed more than the check can read and was ended"
        return ""


def _memory(process: psutil.Process) -> int:
    try:
        used: int = process.memory_info().rss
    except psutil.Error:
        return 0
    return used


def _kill(process: psutil.Process) -> None:
    with suppress(psutil.Error):
        process.kill()


def _end(mark: str, seen: set[psutil.Process]) -> int:
    """End what a kernel left running, also in sessions of its own; returns how many processes that were.

    They are known by the kernel's mark in the environment that they inherited, and by having been its descendants.
    """
    ended: set[psutil.Process] = set()
    psutil.wait_procs(
        _left(mark, seen), timeout=1
    )  # helpers of Python's own end by themselves after the kernel
    for _ in range(20):  # until none is left: one may start another while it is being ended
        left = _left(mark, seen)
        if not left:
            break
        for process in left:
            _kill(process)
        ended.update(left)
        time.sleep(0.05)
    return len(ended)


def _left(mark: str, seen: set[psutil.Process]) -> list[psutil.Process]:
    return [process for process in {*seen, *psutil.process_iter()} if _is_left(process, mark, seen)]


def _is_left(process: psutil.Process, mark: str, seen: set[psutil.Process]) -> bool:
    try:
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            return False
        return process in seen or process.environ().get(progress.CHECKING) == mark
    except (psutil.Error, OSError):
        return False


@contextmanager
def _ending_cleanly() -> Iterator[None]:
    """SIGTERM ends the check as Ctrl-C does, so that it still ends its kernel and what that started."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _first_line(source: str) -> str:
    return next((line for line in source.splitlines() if line.strip()), "")
