"""Closed-loop episodes of a policy: one, or many in a batch, and their success rate with its interval."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

from vla_course.evaluation.intervals import bootstrap_interval, wilson_interval
from vla_course.policy import Policy

Env = gymnasium.Env[Any, np.ndarray]
Options = Mapping[str, Any] | Callable[[int], Mapping[str, Any]]
"""Options of `reset`: the same for all starts, or a function of the seed."""


def batch_of_one(observation: Mapping[str, Any], instruction: str) -> dict[str, Any]:
    """An observation and an instruction as a batch of one environment, as policies take them: the first axis counts environments."""
    return _batch([{**observation, "instruction": instruction}])


def run_episode(env: Env, policy: Policy, instruction: str, max_steps: int) -> tuple[bool, int]:
    """Success and number of steps of one closed-loop episode in which the policy gets `instruction`.

    The policy is reset once, before the first step, and acts on the newest observation at every step. It returns a chunk
    for its one environment, which is one or more actions in a row, and the first of them is executed. The episode ends when the environment terminates or
    truncates it, or after `max_steps`. Success is the last `info["is_success"]`. The environment chooses
    the start, and stays open for the next episode.
    """
    policy.reset(np.array([True]))
    observation, info = env.reset()
    steps, ended = 0, False
    while steps < max_steps and not ended:
        action = policy.act(batch_of_one(observation, instruction))[0, 0]
        observation, _, terminated, truncated, info = env.step(action)
        steps, ended = steps + 1, terminated or truncated
    return bool(info["is_success"]), steps


@dataclass(frozen=True)
class EpisodeResult:
    """The outcome of one evaluated episode. Fields that the environment does not report stay empty."""

    seed: int
    instruction: str
    success: bool
    """The scored task was done."""
    told_success: bool
    """The task of the instruction was done; differs from `success` where the instruction is not the scored task."""
    touched: str
    """The first thing touched, by name."""
    failure: str
    steps: int
    fold_error_m: float | None = None
    action_change: float | None = None
    """Root mean square change from one action to the next, over steps and dimensions: 0 is perfectly smooth."""
    sha256: str = ""
    """Hash of instruction, action, reward and end of every step: two episodes with the same hash are the same."""


@dataclass(frozen=True)
class Evaluation:
    """Episodes of one policy under one condition, one for each start."""

    episodes: tuple[EpisodeResult, ...]

    @property
    def successes(self) -> int:
        """Episodes in which the scored task was done."""
        return sum(episode.success for episode in self.episodes)

    @property
    def rate(self) -> float:
        """The success rate."""
        return self.successes / len(self.episodes)

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the success rate (Wilson's)."""
        return wilson_interval(self.successes, len(self.episodes))

    @property
    def bootstrap(self) -> tuple[float, float]:
        """The 95 % interval of the success rate, bootstrapped over episodes."""
        return bootstrap_interval(np.array([float(episode.success) for episode in self.episodes]))

    def __str__(self) -> str:
        """As in "14/20 (48–85 %)"."""
        low, high = self.interval
        return f"{self.successes}/{len(self.episodes)} ({100 * low:.0f}–{100 * high:.0f} %)"


def evaluate(
    policy: Policy,
    envs: Sequence[Env],
    seeds: Sequence[int],
    *,
    options: Options | None = None,
    max_steps: int | None = None,
) -> Evaluation:
    """One closed-loop episode from the start of each seed, as many in parallel as there are environments.

    The policy acts for all of them in one batch, which is several times faster than one by one; an environment whose episode
    is over takes the next seed. The policy's instruction is `info["instruction"]`. `observations["running"]` (N,) is False for
    environments without an episode, whose actions are not used. Episodes end by themselves, or after `max_steps`.

    Raises:
        ValueError: there are no environments or no seeds.
    """
    if not envs or not seeds:
        raise ValueError(f"want at least one environment and one seed, got {len(envs)} and {len(seeds)}")
    envs, waiting = envs[: len(seeds)], list(enumerate(seeds))[::-1]
    slots = [_Slot(env) for env in envs]
    found: dict[int, EpisodeResult] = {}
    while True:
        begins = np.zeros(len(slots), bool)
        for k, slot in enumerate(slots):
            if not slot.running and waiting:
                slot.begin(*waiting.pop(), options)
                begins[k] = True
        running = np.array([slot.running for slot in slots])
        if not running.any():
            return Evaluation(tuple(found[place] for place in range(len(seeds))))
        policy.reset(begins)
        observations = _batch([slot.observation for slot in slots])
        chunks = policy.act({**observations, "running": running})
        for slot, chunk in zip(slots, chunks, strict=True):
            if slot.running and slot.step(chunk[0], max_steps):
                found[slot.place] = slot.episode()


class _Slot:
    """One environment, and the episode in it."""

    def __init__(self, env: Env) -> None:
        self.env, self.running = env, False

    def begin(self, place: int, seed: int, options: Options | None) -> None:
        pinned = options(seed) if callable(options) else options
        observation, self.info = self.env.reset(
            seed=int(seed), options=None if pinned is None else dict(pinned)
        )
        self.place, self.seed, self.steps, self.running = place, int(seed), 0, True
        self._see(observation)

    def step(self, action: np.ndarray, max_steps: int | None) -> bool:
        """Whether the episode is over after this action."""
        observation, _, terminated, truncated, self.info = self.env.step(action)
        self.steps += 1
        self._see(observation)
        self.running = not (terminated or truncated or self.steps == max_steps)
        return not self.running

    def episode(self) -> EpisodeResult:
        info = self.info
        return EpisodeResult(
            seed=self.seed,
            instruction=self.observation["instruction"],
            success=bool(info["is_success"]),
            told_success=bool(info.get("told_success", info["is_success"])),
            touched=str(info.get("touched", "")),
            failure=str(info.get("failure", "")),
            steps=self.steps,
        )

    def _see(self, observation: Mapping[str, Any]) -> None:
        self.observation = {**observation, "instruction": self.info["instruction"]}


def _batch(observations: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One array for each key, environments first; words stay a list."""
    columns = {key: [observation[key] for observation in observations] for key in observations[0]}
    return {
        key: column if isinstance(column[0], str) else np.stack(column) for key, column in columns.items()
    }
