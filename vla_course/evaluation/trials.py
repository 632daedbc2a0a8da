"""One episode, played so that it can be told apart from any other: every action and reward goes into a hash."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

from vla_course.evaluation.episodes import EpisodeResult, batch_of_one
from vla_course.policy import Policy

Env = gymnasium.Env[Any, np.ndarray]


@dataclass(frozen=True)
class Trial:
    """One start, and what is said there."""

    seed: int
    instruction: str | None = None
    """None: what the environment says."""
    options: Mapping[str, Any] | None = None
    """What is pinned at `reset`."""


def play(
    env: Env,
    policy: Policy,
    trial: Trial,
    max_steps: int | None = None,
    watch: Callable[[Env], None] | None = None,
) -> EpisodeResult:
    """One closed-loop episode. The policy sees its one environment alone, so nothing else decides how it goes.

    Where actions of the environment are chunks (`ActionChunk`), all of the policy's chunk is carried out, else its first
    action. `watch` is called with the environment at the start and after every step.
    """
    options = None if trial.options is None else dict(trial.options)
    observation, info = env.reset(seed=trial.seed, options=options)
    policy.reset(np.array([True]))
    digest = hashlib.sha256()
    actions: list[np.ndarray] = []
    said, ended = "", False
    if watch is not None:
        watch(env)
    while not ended and len(actions) != max_steps:
        said = info["instruction"] if trial.instruction is None else trial.instruction
        chunk = policy.act(batch_of_one(observation, said))[0]
        action = np.asarray(chunk if len(env.action_space.shape or ()) == 2 else chunk[0], np.float32)
        observation, reward, terminated, truncated, info = env.step(action)
        ended = terminated or truncated
        actions.append(action)
        for part in (said.encode(), action.tobytes(), repr((float(reward), terminated, truncated)).encode()):
            digest.update(part)
        if watch is not None:
            watch(env)
    success = bool(info["is_success"])
    error_m = info.get("fold_error_m")
    return EpisodeResult(
        seed=trial.seed,
        instruction=said,
        success=success,
        told_success=bool(info.get("told_success", success)),
        touched=str(info.get("touched", "")),
        failure=str(info.get("failure", "")),
        steps=len(actions),
        fold_error_m=None if error_m is None else float(error_m),
        action_change=action_change(np.stack(actions)),
        sha256=digest.hexdigest(),
    )


def action_change(actions: np.ndarray) -> float:
    """How far an action (T, …) is from the one before it, root mean square; 0 for a single one."""
    if len(actions) < 2:
        return 0.0
    return float(np.sqrt(np.square(np.diff(actions, axis=0)).mean()))


def best_and_worst(episodes: tuple[EpisodeResult, ...]) -> tuple[EpisodeResult, EpisodeResult]:
    """The best is the success with the smallest error, the quickest of those; the worst is the failure with the largest."""
    ranked = sorted(
        episodes, key=lambda episode: (not episode.success, episode.fold_error_m or 0.0, episode.steps)
    )
    return ranked[0], ranked[-1]
