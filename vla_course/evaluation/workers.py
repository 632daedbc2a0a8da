"""Episodes of any policy in any environment, played by several processes at once, the same ones however many there are."""

import gc
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, as_completed
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from gymnasium.vector.utils import CloudpickleWrapper
from jaxtyping import UInt8

from vla_course.evaluation.episodes import EpisodeResult, Evaluation
from vla_course.evaluation.kept_workers import kept_workers
from vla_course.evaluation.trials import Env, Trial, play
from vla_course.policy import Policy

MakeEnv = Callable[[], Env]
MakePolicy = Callable[[Env], Policy]
Progress = Callable[[int, int, EpisodeResult], None]
"""Called after each episode with how many are done, of how many, and the episode."""
Ask = Callable[..., Future[Any]]
"""Has a task of this module done by somebody with an environment and a policy: `ask(task, *arguments)`."""


def play_all(
    ask: Ask, trials: Sequence[Trial], *, max_steps: int | None = None, progress: Progress | None = None
) -> Evaluation:
    """One episode for each trial, in their order, played by whoever `crew` gave to ask.

    Raises:
        ValueError: there are no trials.
        WorkerDied: a process died.
        Exception: what a policy or environment raised, with the seed of the episode in a note.
    """
    if not trials:
        raise ValueError("want at least one episode to play")
    found: dict[int, EpisodeResult] = {}
    futures = {ask(_play, trial, max_steps): place for place, trial in enumerate(trials)}
    for future in as_completed(futures):
        episode = future.result()
        found[futures[future]] = episode
        if progress is not None:
            progress(len(found), len(trials), episode)
    return Evaluation(tuple(found[place] for place in range(len(trials))))


def film(
    ask: Ask, trials: Sequence[Trial], *, max_steps: int | None = None
) -> list[tuple[EpisodeResult, UInt8[np.ndarray, "T H W 3"], float]]:
    """The same episodes with a picture (`env.render()`) of the start and of every step, and how many make a second.

    Raises:
        ValueError: the environments are not made with render_mode="rgb_array".
        WorkerDied: a process died.
    """
    return [future.result() for future in [ask(_film, trial, max_steps) for trial in trials]]


@contextmanager
def crew(make_env: MakeEnv, make_policy: MakePolicy, workers: int | None = None) -> Iterator[Ask]:
    """Processes with an environment and a policy each, to be asked by `play_all` and `film`.

    A policy is made for its environment, and may look at it (the expert does). Every process plays one episode at a time, with
    one thread, so an episode follows from its trial alone and not from how many processes there are: `workers`, one for each
    core where none is given. 0 plays in this process, with as many threads as torch likes. Both functions travel to the workers by
    value, so they may be defined in a notebook. The processes are kept for the next crew (`kept_workers`), which finds nothing of
    this one in them.
    """
    makers: Any = CloudpickleWrapper((make_env, make_policy))  # type: ignore[arg-type]
    count = os.cpu_count() or 1 if workers is None else workers
    if count == 0:
        here = _Crew(makers)
        try:
            yield partial(_done, here.run)
        finally:
            here.close()
        return
    with kept_workers(count) as pool:
        pool.begin_with(_begin, makers)
        yield partial(pool.ask, _run)
        pool.settle(_leave)


class _Crew:
    """What one process has: an environment and a policy, made when they are first needed, so that errors reach the asker."""

    def __init__(self, makers: Any) -> None:
        self._makers = makers
        self._made: tuple[Env, Policy] | None = None

    def run(self, task: Callable[..., Any], *arguments: Any) -> Any:
        if self._made is None:
            make_env, make_policy = self._makers.fn
            env = make_env()
            self._made = env, make_policy(env)
        return task(*self._made, *arguments)

    def close(self) -> None:
        if self._made is not None:
            self._made[0].close()


_worker: list[_Crew] = []


def _begin(makers: Any) -> None:
    _worker[:] = [_Crew(makers)]


def _run(task: Callable[..., Any], *arguments: Any) -> Any:
    return _worker[0].run(task, *arguments)


def _leave() -> None:
    """In a worker that is kept: drop environment and policy, the caller's modules with what they hold, and memory."""
    for one in _worker:
        one.close()
    _worker.clear()
    for name in [name for name, module in sys.modules.items() if _is_callers(name, module)]:
        del sys.modules[name]
    gc.collect()
    if torch := sys.modules.get("torch"):  # a worker that never needed torch does not load it here
        torch.cuda.empty_cache()


def _is_callers(name: str, module: Any) -> bool:
    """Whether a module is neither the course's nor an installed library: it is imported anew, as it then is."""
    file = str(getattr(module, "__file__", None) or sys.prefix)
    installed = file.startswith((sys.prefix, sys.base_prefix)) or "-packages" in file
    return not installed and name.split(".")[0] not in ("vla_course", "__main__", "__mp_main__")


def _play(env: Env, policy: Policy, trial: Trial, max_steps: int | None) -> EpisodeResult:
    try:
        return play(env, policy, trial, max_steps)
    except Exception as error:
        error.add_note(f"in the episode of seed {trial.seed}")
        raise


def _film(
    env: Env, policy: Policy, trial: Trial, max_steps: int | None
) -> tuple[EpisodeResult, UInt8[np.ndarray, "T H W 3"], float]:
    if env.render_mode != "rgb_array":
        raise ValueError("no films of this environment: make it with render_mode='rgb_array'")
    frames: list[Any] = []
    episode = play(env, policy, trial, max_steps, watch=lambda env: frames.append(env.render()))
    return episode, np.stack(frames), float(env.metadata["render_fps"])


def _done(work: Callable[..., Any], *arguments: Any) -> Future[Any]:
    """The work done at once, as a future."""
    future: Future[Any] = Future()
    try:
        future.set_result(work(*arguments))
    except Exception as error:
        future.set_exception(error)
    return future
