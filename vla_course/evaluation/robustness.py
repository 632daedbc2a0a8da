"""Sixteen small changes of the folding world that no demonstration shows: what a policy has learned shows where it is new.

Each test changes one thing: what is seen (vision), what the task is about and how it is said (semantics), or how the robot and
the garment stand to each other (execution). A row of the matrix is the success of a policy under one test, from the same
starts as without.

Source: RL4VLA (Liu et al., *What Can RL Bring to VLA Generalization?*, 2025), its out-of-distribution tests in the same three
groups, carried over from pick-and-place to folding.
"""

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import gymnasium
import numpy as np

from vla_course.envs.folding.config import FoldingConfig, StartConfig
from vla_course.envs.folding.events import GarmentMoved, ThingsBeside
from vla_course.envs.folding.unseen import ALL_TABLES
from vla_course.envs.picture_change import PictureChange, add_noise, dim

PLAIN = "none"
"""The name of no test at all: the starts that demonstrations come from."""

UNSEEN_COLORS = {"orange": (0.92, 0.48, 0.12), "grey": (0.45, 0.45, 0.46), "pink": (0.90, 0.55, 0.68)}

Env = gymnasium.Env[Any, np.ndarray]
Draw = Callable[[np.random.Generator], dict[str, Any]]


@dataclass(frozen=True)
class RobustnessTest:
    """One change, by what it takes to make it."""

    group: str
    changes: str
    """What is different, in words."""
    draw: Draw | None = None
    """Options for `reset`, drawn for each start."""
    start: StartConfig | None = None
    """Other ranges for what `reset` draws."""
    wrap: Callable[[Env], Env] | None = None
    """What is put around the environment, inside of the wrapper that moves the hands."""
    words: str = "own"
    """What is said, as in `EvaluationConfig`."""

    @property
    def env_options(self) -> dict[str, Any]:
        """Further arguments of the environment."""
        return {} if self.start is None else {"config": FoldingConfig(start=self.start)}


def reset_options(test: str, seed: int) -> dict[str, Any] | None:
    """What a test pins at the start of this seed; the same seed gives the same. None: nothing."""
    draw = TESTS[test].draw
    return None if draw is None else draw(np.random.default_rng([seed, zlib.crc32(test.encode())]))


def groups() -> Mapping[str, tuple[str, ...]]:
    """The names of the tests of each group."""
    names = list(dict.fromkeys(test.group for test in TESTS.values()))
    return {group: tuple(name for name, test in TESTS.items() if test.group == group) for group in names}


def _pinned(**options: Any) -> Draw:
    return lambda rng: dict(options)


def _color(rng: np.random.Generator) -> dict[str, Any]:
    return {"color": tuple(UNSEEN_COLORS.values())[rng.integers(len(UNSEEN_COLORS))]}


def _camera(rng: np.random.Generator) -> dict[str, Any]:
    return {"camera_jitter": np.sign(rng.uniform(-1, 1, 3)) * rng.uniform(0.02, 0.04, 3)}


def _position(rng: np.random.Generator) -> dict[str, Any]:
    """Beyond the ± 5 cm of the usual starts, on a side drawn at random; up to 8 cm from the middle."""
    far, near = rng.uniform(0.06, 0.08) * rng.choice([-1, 1]), rng.uniform(-0.05, 0.05)
    return {"position": (far, near) if rng.random() < 0.5 else (near, far)}


def _joints(rng: np.random.Generator) -> dict[str, Any]:
    """Every joint of both arms up to 0.15 rad beside its home, fingers as usual."""
    noise = rng.uniform(-0.01, 0.01, 60)
    for arm in (slice(0, 6), slice(30, 36)):
        noise[arm] = rng.uniform(-0.15, 0.15, 6)
    return {"joint_noise": noise}


def _noise(spread: float) -> Callable[[Env], Env]:
    return lambda env: PictureChange(env, partial(add_noise, spread=spread))


def _dim(env: Env) -> Env:
    return PictureChange(env, partial(dim, brightness=0.6))


def _size(factor: float) -> StartConfig:
    return StartConfig(size_range=(factor, factor), num_sizes=1)


VISION, SEMANTICS, EXECUTION = "vision", "semantics", "execution"

TESTS: dict[str, RobustnessTest] = {
    PLAIN: RobustnessTest("none", "nothing: starts as in the demonstrations"),
    "table": RobustnessTest(VISION, "a chequered table", _pinned(table=len(ALL_TABLES) - 1)),
    "texture_weak": RobustnessTest(VISION, "stripes on the garment", _pinned(pattern=1)),
    "texture_strong": RobustnessTest(VISION, "large dark squares on the garment", _pinned(pattern=2)),
    "noise_weak": RobustnessTest(VISION, "noise on the picture, σ = 15 of 255", wrap=_noise(15.0)),
    "noise_strong": RobustnessTest(VISION, "noise on the picture, σ = 45 of 255", wrap=_noise(45.0)),
    "light": RobustnessTest(VISION, "a picture with 60 % of the light", wrap=_dim),
    "camera": RobustnessTest(VISION, "the camera 2 to 4 cm off along each axis", _camera),
    "color": RobustnessTest(SEMANTICS, "an orange, grey or pink garment", _color),
    "larger": RobustnessTest(SEMANTICS, "a garment 14 % larger than the middle size", start=_size(1.14)),
    "smaller": RobustnessTest(SEMANTICS, "a garment 14 % smaller than the middle size", start=_size(0.86)),
    "paraphrase": RobustnessTest(SEMANTICS, "the same task in other words", words="paraphrase"),
    "distractor": RobustnessTest(SEMANTICS, "a can beside the garment", wrap=partial(ThingsBeside, count=1)),
    "distractors": RobustnessTest(
        SEMANTICS, "a can, a cube and laundry beside the garment", wrap=partial(ThingsBeside, count=3)
    ),
    "position": RobustnessTest(EXECUTION, "the garment 6 to 8 cm off the middle", _position),
    "joints": RobustnessTest(EXECUTION, "arms up to 0.15 rad off their home", _joints),
    "moved": RobustnessTest(
        EXECUTION, "the garment moved by 4 cm or more on the way to it", wrap=GarmentMoved
    ),
}
"""By name: "none", and sixteen tests."""
