"""Work that is done job by job, by several processes or by this one."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import Any

import torch

from vla_course.envs.processes import end_with_parent


def each(work: Callable[..., Any], jobs: Sequence[tuple], workers: int) -> Iterator[tuple[tuple, Any]]:
    """Call `work(*job)` for each job, and give every job with what came of it as soon as it is done."""
    if workers == 1 or not jobs:
        yield from ((job, work(*job)) for job in jobs)
        return
    # Spawned, because OpenGL does not survive a fork: whoever calls this may have drawn a picture already.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_begin) as pool:
        running = {pool.submit(work, *job): job for job in jobs}
        for done in as_completed(running):
            yield running[done], done.result()


def write_all(what: str, write: Callable[..., str], jobs: Sequence[tuple], workers: int) -> None:
    """Let every job write its file, and print what it says of it."""
    began = time.perf_counter()
    for done, (_, text) in enumerate(each(write, jobs, workers), 1):
        print(f"{what} {done}/{len(jobs)}  {text}  {time.perf_counter() - began:.0f} s", flush=True)


def _begin() -> None:
    """In a worker: one thread, and no longer than whoever started it."""
    end_with_parent()
    one_thread()


def one_thread() -> None:
    """Processes share the cores; threads of each would only fight."""
    torch.set_num_threads(1)
