"""Wrappers: action chunks, the instruction as an observation, a fixed start."""

from collections.abc import Iterable
from typing import Any, SupportsFloat

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs

from vla_course.envs.observations import TEXT_CHARACTERS, TEXT_LENGTH, Observation, instruction_space

StepResult = tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]


class ActionChunk(gymnasium.Wrapper[Any, np.ndarray, Any, np.ndarray], RecordConstructorArgs):
    """Executes action chunks: an action is now (K, A), K actions of the environment inside, one after the other.

    The reward is the plain sum, as are the reward terms; `info` is that of the last step, with
    `executed_steps`, below K where the episode ended within the chunk, and `step_rewards` (K,), zeros for what was not executed.
    """

    def __init__(self, env: gymnasium.Env[Any, np.ndarray], length: int) -> None:
        """`length` is K.

        Raises: ValueError for a length below 1; TypeError if the actions of `env` are no Box.
        """
        RecordConstructorArgs.__init__(self, length=length)
        gymnasium.Wrapper.__init__(self, env)
        if length < 1:
            raise ValueError(f"a chunk holds at least one action, not {length}")
        box = env.action_space
        if not isinstance(box, spaces.Box):
            raise TypeError(f"action chunks stack actions of a Box, not of {box}")
        self.length = length
        self.action_space = spaces.Box(
            np.stack([box.low] * length), np.stack([box.high] * length), dtype=box.dtype.type
        )
        self.metadata = slowed(env.metadata, length)

    def step(self, action_chunk: np.ndarray) -> StepResult:
        """Execute the chunk, up to the end of the episode.

        Raises: ValueError for a chunk of another shape than (K, A).
        """
        chunk = np.asarray(action_chunk)
        if chunk.shape != self.action_space.shape:
            raise ValueError(f"an action chunk has shape {self.action_space.shape}, this has {chunk.shape}")
        observation, reward, terminated, truncated, info = execute(self.env, chunk)
        rewards = info["step_rewards"]
        info["step_rewards"] = np.pad(rewards, (0, self.length - len(rewards)))
        return observation, reward, terminated, truncated, info


class InstructionText(
    gymnasium.ObservationWrapper[Observation, np.ndarray, Observation], RecordConstructorArgs
):
    """Adds the instruction to the observation, as text under the key `instruction`.

    A Text space through the shared memory of Gymnasium 1.4's AsyncVectorEnv arrives corrupted: make vector environments with
    `envs.vector.make_vector_env`, which turns shared memory off where there is text.
    """

    def __init__(self, env: gymnasium.Env[Observation, np.ndarray]) -> None:
        """Raises: ValueError if the instruction is too long or has characters outside its space."""
        RecordConstructorArgs.__init__(self)
        gymnasium.ObservationWrapper.__init__(self, env)
        instruction: str = self.get_wrapper_attr("instruction")
        text = instruction_space()
        if instruction not in text:
            raise ValueError(
                f"an instruction has at most {TEXT_LENGTH} letters of {TEXT_CHARACTERS!r}: {instruction!r}"
            )
        assert isinstance(env.observation_space, spaces.Dict)
        self.observation_space = spaces.Dict({**env.observation_space.spaces, "instruction": text})

    def observation(self, observation: Observation) -> Observation:
        """The observation with the instruction in it."""
        # Read at every step: on the tabletop every episode has an instruction of its own.
        return {**observation, "instruction": self.get_wrapper_attr("instruction")}


class FixedStart(gymnasium.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Resets with the same seed and options every time, whatever its arguments: compares policies from one start."""

    def __init__(
        self, env: gymnasium.Env[Any, Any], seed: int, options: dict[str, Any] | None = None
    ) -> None:
        """Resets at once, so that `instruction` is defined.

        Raises: as `reset` of the environment inside.
        """
        RecordConstructorArgs.__init__(self, seed=seed, options=options)
        gymnasium.Wrapper.__init__(self, env)
        self.seed, self.options = seed, options
        self.reset()

    @property
    def instruction(self) -> str:
        """The instruction of this start."""
        instruction: str = self.env.get_wrapper_attr("instruction")
        return instruction

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Reset to the fixed start; the arguments are not used."""
        return self.env.reset(seed=self.seed, options=self.options)


def execute(env: gymnasium.Env[Any, np.ndarray], actions: Iterable[np.ndarray]) -> StepResult:
    """Step through the actions until they, or the episode, are over: the last observation, the sum of the rewards.

    `info` is that of the last step with `reward_terms` summed; `executed_steps` counts the steps, `step_rewards` holds their
    rewards.
    """
    rewards: list[float] = []
    terms: dict[str, float] = {}
    for action in actions:
        observation, reward, terminated, truncated, info = env.step(action)
        rewards.append(float(reward))
        for name, term in info.get("reward_terms", {}).items():
            terms[name] = terms.get(name, 0.0) + term
        if terminated or truncated:
            break
    info = {**info, "executed_steps": len(rewards), "step_rewards": np.array(rewards)}
    if terms:
        info["reward_terms"] = terms
    return observation, sum(rewards), terminated, truncated, info


def slowed(metadata: dict[str, Any], factor: int) -> dict[str, Any]:
    """The metadata of an environment whose steps last `factor` times longer, so that videos of it play at true speed."""
    fps = metadata.get("render_fps")
    if fps is None:
        return metadata
    return {**metadata, "render_fps": fps // factor if fps % factor == 0 else fps / factor}
