"""Worker processes: each runs one task at a time, in the order asked, and ends with the process that started it."""

import atexit
import multiprocessing
import os
import signal
import sys
import threading
import traceback
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing.connection import Connection
from queue import LifoQueue
from types import FrameType, TracebackType
from typing import Any

from vla_course.errors import CannotRunError

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "LP_NUM_THREADS")
PATIENCE_S = 5.0

Task = Callable[..., Any]


class WorkerDied(CannotRunError):
    """A worker process ended in the middle of its work."""


class RemoteTraceback(Exception):
    """The traceback of an error in a worker, attached to the error as its cause."""

    def __str__(self) -> str:
        """The worker's traceback."""
        return f"\n{self.args[0]}"


class Workers:
    """Up to `count` processes, each started when it is first needed. `with` ends them, at once if an error leaves the block.

    They are spawned, because OpenGL does not survive a fork, compute and draw with one thread each, and leave Ctrl-C to this
    process. A task is a function of a module that they can import; so are what it takes and gives.
    """

    def __init__(self, count: int, begin: Task | None = None, *arguments: Any) -> None:
        """Every process calls `begin(*arguments)` before its first task."""
        self.count = count
        self._begin = None if begin is None else partial(begin, *arguments)
        self._all: list[_Worker] = []
        self._idle: LifoQueue[_Worker] = LifoQueue()
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="workers")
        self._asked: weakref.WeakSet[Future[Any]] = weakref.WeakSet()
        _ALIVE.add(self)

    def begin_with(self, begin: Task, *arguments: Any) -> None:
        """From now on every process calls this before its next task."""
        self._begin = partial(begin, *arguments)

    def ask(self, task: Task, *arguments: Any) -> Future[Any]:
        """What comes of `task(*arguments)`, done by the next process that has nothing else to do.

        The future raises what the task raised, or WorkerDied.
        """
        if len(self._all) < self.count:
            self._all.append(_Worker())
            self._idle.put(self._all[-1])
        future = self._threads.submit(self._run, self._begin, task, arguments)
        self._asked.add(future)
        return future

    def settle(self, last: Task) -> None:
        """Drop what has not begun, wait for what has, and have every process do one last thing.

        Raises:
            WorkerDied: one of them has ended.
        """
        asked = list(self._asked)
        for future in asked:
            future.cancel()
        wait(asked)
        for worker in self._all:
            worker.call(last, ())

    def alive(self) -> bool:
        """Whether none of the processes that were started has ended."""
        return all(worker.process.is_alive() for worker in self._all)

    def close(self) -> None:
        """Drop what has not begun, wait for what has, and end the processes."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        for worker in self._all:
            worker.close()

    def stop(self) -> None:
        """End the processes at once; what they are doing is lost."""
        for worker in self._all:
            worker.process.terminate()
        self.close()

    def __enter__(self) -> "Workers":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.stop()

    def _run(self, begin: Task | None, task: Task, arguments: tuple[Any, ...]) -> Any:
        worker = self._idle.get()
        try:
            if worker.begun is not begin and begin is not None:
                worker.call(begin, ())
                worker.begun = begin
            return worker.call(task, arguments)
        finally:
            self._idle.put(worker)


class _Worker:
    """One process, and this end of the pipe to it."""

    def __init__(self) -> None:
        spawn = multiprocessing.get_context("spawn")
        self.pipe, theirs = spawn.Pipe()
        self.process = spawn.Process(target=_serve, args=(theirs,))
        self.begun: Task | None = None
        with main_stays_here(), _one_thread_each():
            self.process.start()
        theirs.close()

    def call(self, task: Task, arguments: tuple[Any, ...]) -> Any:
        try:
            self.pipe.send((task, arguments))
            result, error, where = self.pipe.recv()
        except (EOFError, ConnectionError) as lost:
            self.process.join(PATIENCE_S)
            raise WorkerDied(
                f"a worker process died (exit code {self.process.exitcode}), most likely for want of memory: use fewer workers"
            ) from lost
        if error is not None:
            raise error from RemoteTraceback(where)
        return result

    def close(self) -> None:
        with suppress(OSError):  # it may be gone already
            self.pipe.send(None)
        self.pipe.close()
        self.process.join(PATIENCE_S)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


_ALIVE: weakref.WeakSet[Workers] = weakref.WeakSet()


@atexit.register
def _stop_all() -> None:
    for workers in list(_ALIVE):
        workers.stop()


def end_with_parent() -> None:
    """In a worker: end as soon as the process that started it has ended, however it ended, SIGKILL included."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "this process is no worker"

    def end() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end, name="end_with_parent", daemon=True).start()


def _serve(pipe: Connection) -> None:
    """The loop of a worker process: one task after the other, until None arrives."""
    end_with_parent()
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches every process of a terminal; the parent decides
    while (request := pipe.recv()) is not None:
        task, arguments = request
        answer: tuple[Any, Exception | None, str]
        try:
            answer = task(*arguments), None, ""
        except Exception as error:
            answer = None, error, traceback.format_exc()
        try:
            pipe.send(answer)
        except Exception as error:  # what cannot be pickled cannot travel
            pipe.send((None, RuntimeError(f"a worker's answer cannot be sent: {error}"), str(answer)))


@contextmanager
def main_stays_here() -> Iterator[None]:
    """Hides the running script from `spawn`, which would run it again in every worker.

    A lesson is a plain script without `if __name__ == "__main__"`, and workers need nothing of it.
    """
    main = vars(sys.modules["__main__"])
    hidden: dict[str, Any] = {name: main.pop(name) for name in ("__file__", "__spec__") if name in main}
    main["__spec__"] = None
    try:
        yield
    finally:
        main.update(hidden)


@contextmanager
def sigterm_exits() -> Iterator[None]:
    """Within the block SIGTERM raises SystemExit(143), so that files are closed and workers ended on the way out."""

    def leave(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Processes that are started inside compute and draw with one thread: they share the cores among themselves."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
