"""Episodes that several test files look at, played once in a test run."""

import functools
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

import vla_course  # noqa: F401  (makes the environments known)
from vla_course.envs.folding.env import FoldingEnv, Snapshot
from vla_course.envs.folding.expert import FoldingExpert

IDS = tuple(sorted(name for name in gymnasium.registry if name.startswith("vla_course/")))
CASES: dict[str, dict[str, Any]] = {
    "towel": {"garment": "towel"},
    "towel, quarter": {"garment": "towel", "quarter": True},
    "tshirt": {"garment": "tshirt"},
    "trousers": {"garment": "trousers"},
}


@dataclass(frozen=True)
class Played:
    """One episode: before each step the snapshot and the observation, then what the step was and gave."""

    snapshots: list[Snapshot]
    observations: list[dict[str, Any]]
    """One more than there are steps."""
    actions: list[np.ndarray]
    rewards: list[float]
    infos: list[dict[str, Any]]
    terminated: bool
    truncated: bool
    vertices: list[np.ndarray]
    """After each step, metres."""


def play(env: FoldingEnv, act, *, seed: int, limit: int | None = None) -> Played:
    """Reset and act to the end of the episode, or for `limit` steps. `act` gets the observation and the step's number."""
    observation, _ = env.reset(seed=seed)
    snapshots, observations, actions, rewards, infos, vertices = [], [observation], [], [], [], []
    terminated = truncated = False
    while not (terminated or truncated) and len(actions) != limit:
        snapshots.append(env.save())
        actions.append(np.array(act(observation, len(actions))))
        observation, reward, terminated, truncated, info = env.step(actions[-1])
        observations.append(observation)
        rewards.append(float(reward))
        infos.append(info)
        vertices.append(env.vertices.copy())
    return Played(snapshots, observations, actions, rewards, infos, terminated, truncated, vertices)


@functools.cache
def folding_env(case: str) -> FoldingEnv:
    """One environment for each case, for tests that begin with `reset` or `restore`."""
    return FoldingEnv(**CASES[case])


@functools.cache
def expert_episode(case: str) -> Played:
    """The expert folding one garment, seed 0."""
    env = folding_env(case)
    expert = FoldingExpert(env)
    return play(env, lambda observation, _: expert.act(observation), seed=0)


@functools.cache
def random_episode(case: str, steps: int = 60) -> Played:
    """Full-scale random actions, hands and stage signal included."""
    rng = np.random.default_rng(1)
    return play(folding_env(case), lambda *_: rng.uniform(-1, 1, 61).astype(np.float32), seed=1, limit=steps)


def same(a: Any, b: Any) -> bool:
    """Whether two nested observations or infos are equal to the last bit; NaN equals NaN."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    return bool(a == b) or (a != a and b != b)
