"""Recording demonstrations: one expert, one environment, one episode after the other."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import gymnasium
import numpy as np
from jaxtyping import Float, UInt8

from vla_course.policy import Policy

Env = gymnasium.Env[Any, np.ndarray]
Options = Mapping[str, Any] | Callable[[int], Mapping[str, Any]]
"""What is pinned at `reset`: the same for all starts, or a function of the seed."""


@runtime_checkable
class Expert(Protocol):
    """Knows what to do in the environment's present state."""

    def act(self, observation: Any) -> np.ndarray:
        """One action."""
        ...


@dataclass(frozen=True)
class Episode:
    """One demonstration: pictures, states, the expert's actions, and the executed actions. Frame t is observed before action t.

    `actions` are the expert's, the labels of training. `executed` are the actions that were carried out, where noise was added
    to them so that the expert had to correct it; None: the same. To replay an episode, carry out `carried_out` from the start of
    `seed`. `images` are those of the main camera; `further_images` are those of other cameras at the same moments, by their
    names. `instruction` is that of the first frame; `instructions` are those of every frame, where they change; None: the same.

    Raises:
        ValueError: lengths differ, there is no frame, or a number is not finite; the message names the field.
    """

    images: UInt8[np.ndarray, "T H W 3"]
    states: Float[np.ndarray, "T S"]
    actions: Float[np.ndarray, "T A"]
    instruction: str
    success: bool
    seed: int
    executed: Float[np.ndarray, "T A"] | None = None
    further_images: Mapping[str, UInt8[np.ndarray, "T _ _ 3"]] = field(default_factory=dict)
    instructions: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        """Check lengths, and that all numbers are finite."""
        if len(self.actions) == 0 or not len(self.images) == len(self.states) == len(self.actions):
            raise ValueError(
                f"the episode of seed {self.seed} has {len(self.images)} images, {len(self.states)} states and "
                f"{len(self.actions)} actions: want as many of each, and at least one"
            )
        for camera, images in self.further_images.items():
            if len(images) != len(self.images):
                raise ValueError(
                    f"the episode of seed {self.seed} has {len(images)} images of {camera}, and {len(self.images)} of its main "
                    "camera: want as many"
                )
        if len(self.said) != len(self.images):
            raise ValueError(
                f"the episode of seed {self.seed} has {len(self.said)} instructions and {len(self.images)} images: want as many"
            )
        if self.executed is not None and self.executed.shape != self.actions.shape:
            raise ValueError(
                f"the episode of seed {self.seed} executed {self.executed.shape}, not {self.actions.shape}"
            )
        for name in ("states", "actions", "executed"):
            numbers = getattr(self, name)
            if numbers is not None and not np.isfinite(numbers).all():
                frame = int(np.flatnonzero(~np.isfinite(numbers).all(1))[0])
                raise ValueError(f"{name} of the episode of seed {self.seed} are not finite in frame {frame}")

    @property
    def said(self) -> tuple[str, ...]:
        """The instruction of each frame."""
        return self.instructions or (self.instruction,) * len(self.actions)

    @property
    def carried_out(self) -> Float[np.ndarray, "T A"]:
        """The actions that led from frame to frame."""
        return self.actions if self.executed is None else self.executed


def collect(
    env: Env,
    expert: Expert | Policy,
    seeds: Iterable[int],
    *,
    camera: str | Sequence[str],
    state: str | Sequence[str] = "end_effector",
    options: Options | None = None,
    noise: float | Float[np.ndarray, " A"] = 0.0,
    drift: float = 0.0,
    mishap: Callable[[np.ndarray, np.random.Generator], np.ndarray] | None = None,
    max_steps: int | None = None,
) -> Iterator[Episode]:
    """One episode from the start of each seed, as it ends, whether it went well or not.

    `camera` and `state` name observations: `image_<camera>`, of several cameras the main one first, and one or several keys
    whose numbers are put side by side.
    `noise` is the spread of what is added to the actions that are carried out, one number or one for each dimension; the
    expert's own answer stays the label. `drift` is the share of a step's noise that is still there in the next: a pupil's errors
    do not change their minds five times a second either. `mishap` may change an action further before it is carried out. Both
    are drawn from the seed, so an episode does not depend on those before it.

    Raises:
        KeyError: the environment does not show one of these cameras or this state.
        ValueError: the drift is not at least 0 and below 1, or no camera is named.

    Source: DART, Laskey et al. 2017 (noise while demonstrating); its first-order autoregressive form is ours.
    """
    if not 0 <= drift < 1:
        raise ValueError(f"drift is a share of at least 0 and below 1, not {drift}")
    main, *others = [camera] if isinstance(camera, str) else camera
    for seed in seeds:
        pinned = options(seed) if callable(options) else options
        observation, info = env.reset(seed=int(seed), options=None if pinned is None else dict(pinned))
        instruction = str(info["instruction"])
        if isinstance(expert, Policy):
            expert.reset(np.array([True]))
        luck = np.random.default_rng([int(seed), 4])  # its own stream: not the one that drew the start
        frames: list[tuple[np.ndarray, ...]] = []
        push: np.ndarray | None = None
        ended = False
        while not ended and len(frames) != max_steps:
            answer = _answer(expert, observation, instruction)
            fresh = luck.standard_normal(answer.shape)
            push = fresh if push is None else drift * push + np.sqrt(1 - drift**2) * fresh
            taken = answer + noise * push
            taken = np.clip(taken if mishap is None else mishap(taken, luck), -1, 1).astype(np.float32)
            seen = [_image(observation, name) for name in (main, *others)]
            frames.append((state_vector(observation, state), answer, taken, *seen))
            observation, _, terminated, truncated, info = env.step(taken)
            ended = terminated or truncated
        states, actions, executed, images, *more = (np.stack(column) for column in zip(*frames, strict=True))
        yield Episode(
            images,
            states,
            actions,
            instruction,
            bool(info["is_success"]),
            int(seed),
            executed if np.any(noise) or mishap is not None else None,
            dict(zip(others, more, strict=True)),
        )


def replay(env: Env, episode: Episode, options: Options | None = None) -> dict[str, Any]:
    """Carry out a recorded episode's actions from its start, without looking, and return the last `info`."""
    pinned = options(episode.seed) if callable(options) else options
    _, info = env.reset(seed=episode.seed, options=None if pinned is None else dict(pinned))
    for action in episode.carried_out:
        _, _, terminated, truncated, info = env.step(action)
        if terminated or truncated:
            break
    return info


def state_vector(observation: Mapping[str, Any], keys: str | Sequence[str]) -> Float[np.ndarray, " S"]:
    """The robot's state: the numbers of these observations, one after the other.

    Raises:
        KeyError: the environment does not show one of them.
    """
    names = [keys] if isinstance(keys, str) else keys
    for name in names:
        if name not in observation:
            raise KeyError(f"no observation {name!r} here: there are {', '.join(sorted(observation))}")
    return np.concatenate([np.ravel(observation[name]) for name in names]).astype(np.float32)


def _image(observation: Mapping[str, Any], camera: str) -> UInt8[np.ndarray, "H W 3"]:
    key = f"image_{camera}"
    if key not in observation:
        raise KeyError(
            f"no observation {key!r} here: make the environment with cameras=({camera!r},); "
            f"there are {', '.join(sorted(observation))}"
        )
    return np.asarray(observation[key])


def _answer(
    expert: Expert | Policy, observation: Mapping[str, Any], instruction: str
) -> Float[np.ndarray, " A"]:
    if not isinstance(expert, Policy):
        return np.asarray(expert.act(observation), np.float32)
    alone = {key: np.asarray(value)[None] for key, value in observation.items()}
    return np.asarray(expert.act({**alone, "instruction": [instruction]})[0, 0], np.float32)
