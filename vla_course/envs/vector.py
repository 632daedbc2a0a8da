"""Many environments at once, through Gymnasium's own vector classes, set up so that nothing hangs and no text is garbled."""

import multiprocessing
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

from vla_course.envs.processes import end_with_parent, main_stays_here
from vla_course.envs.watched import WatchedVectorEnv

NAMESPACE = "vla_course"

Wrapper = Callable[[gymnasium.Env[Any, Any]], gymnasium.Env[Any, Any]]


def make_vector_env(
    env_id: str,
    num_envs: int,
    *,
    asynchronous: bool = True,
    wrappers: Sequence[Wrapper] = (),
    autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
    **kwargs: Any,
) -> VectorEnv[Any, Any, Any]:
    """`num_envs` environments that step together: one process each, or all in this one with `asynchronous=False`.

    `env_id` may leave out the course's namespace ("FoldTowel-v0"), `wrappers` are put on in order, `kwargs` go to the
    environment. `seed=s` in `reset` gives environment i the seed s + i.

    Workers are started by `spawn` on every system: a forked worker that renders hangs when its parent used OpenGL before. They
    never import the running script or notebook; what is defined there (a wrapper, say) travels by value. Observations go through
    shared memory, except where there is text in them, which Gymnasium 1.4 garbles there.

    With SAME_STEP an environment that ends is reset within the step, so that every step is a true one: the observation is the new
    episode's first, and `infos["final_obs"]` and `infos["final_info"]` hold the last of the old (read `is_success` there). With
    Gymnasium's default NEXT_STEP the step after the end is spent on the reset; its action and reward mean nothing.

    A worker that dies in the middle of a step ends all of them with one error, `vla_course.envs.processes.WorkerDied`.

    Raises: ValueError for an unknown id, with the known ones, or a number of environments below 1.
    """
    if num_envs < 1:
        raise ValueError(f"want at least one environment, not {num_envs}")
    make = _MakeEnv(known_spec(env_id), tuple(wrappers), kwargs)
    mode = AutoresetMode(autoreset_mode)
    if not asynchronous:
        return SyncVectorEnv([make] * num_envs, autoreset_mode=mode)
    first = make()
    shared = not has_text(first.observation_space)
    first.close()
    with main_stays_here():
        return WatchedVectorEnv([make] * num_envs, shared_memory=shared, context="spawn", autoreset_mode=mode)


def known_spec(env_id: str) -> EnvSpec:
    """The registered environment of this name, with or without the course's namespace.

    Raises: ValueError with the course's environments.
    """
    for name in (env_id, f"{NAMESPACE}/{env_id}"):
        if name in gymnasium.registry:
            return gymnasium.registry[name]
    known = ", ".join(sorted(name for name in gymnasium.registry if name.startswith(f"{NAMESPACE}/")))
    raise ValueError(f"unknown environment {env_id!r}: the course has {known}")


def has_text(space: spaces.Space[Any]) -> bool:
    """Whether there is text anywhere in a space."""
    if isinstance(space, spaces.Dict):
        return any(has_text(part) for part in space.spaces.values())
    if isinstance(space, spaces.Tuple):
        return any(has_text(part) for part in space.spaces)
    return isinstance(space, spaces.Text)


@dataclass(frozen=True)
class _MakeEnv:
    """Makes one environment, here or in a worker, which finds this class by importing this module."""

    spec: EnvSpec
    wrappers: tuple[Wrapper, ...]
    kwargs: dict[str, Any]

    def __call__(self) -> gymnasium.Env[Any, Any]:
        if multiprocessing.parent_process() is not None:
            end_with_parent()
            # Workers share the processor: Mesa's software renderer would start a thread for every core in each of them.
            os.environ.setdefault("LP_NUM_THREADS", "1")
        env = gymnasium.make(self.spec, **self.kwargs)
        for wrapper in self.wrappers:
            env = wrapper(env)
        return env
