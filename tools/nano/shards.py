"""Files that are worked out one by one, by several processes or by this one."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import torch


def write_all(what: str, write: Callable[..., str], jobs: Sequence[tuple], workers: int) -> None:
    """Call `write(*job)` for each job, by `workers` processes, and print what each returns."""
    if not jobs:
        return
    began = time.perf_counter()

    def say(done: int, text: str) -> None:
        print(f"{what} {done}/{len(jobs)}  {text}  {time.perf_counter() - began:.0f} s", flush=True)

    if workers == 1:
        for done, job in enumerate(jobs, 1):
            say(done, write(*job))
        return
    # Spawned, because OpenGL does not survive a fork: whoever calls this may have drawn a picture already.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=one_thread) as pool:
        for done, written in enumerate([pool.submit(write, *job) for job in jobs], 1):
            say(done, written.result())


def one_thread() -> None:
    """Processes share the cores; threads of each would only fight."""
    torch.set_num_threads(1)
