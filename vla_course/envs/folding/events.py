"""Disturbances for tests of robustness: the garment is moved in the middle of an episode, or things lie beside it."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium.utils import RecordConstructorArgs
from jaxtyping import Float

from vla_course.envs.folding.env import FoldingEnv
from vla_course.envs.folding.unseen import AWAY, DISTRACTORS
from vla_course.envs.wrappers import StepResult

Env = gymnasium.Env[dict[str, Any], np.ndarray]
ResetResult = tuple[dict[str, Any], dict[str, Any]]

_IN_SIGHT_M = np.array([[-0.12, 0.28], [-0.32, 0.32]])
_BESIDE_M, _APART_M = (0.07, 0.18), 0.14


class GarmentMoved(gymnasium.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Moves the garment once, while the robot is on its way to it.

    From control step `at_step` on, as soon as both hands are empty, the garment comes to a new place: drawn evenly from the
    square of the usual starts, at least `distance_m` away from where it lies. The place follows from the seed of the episode.
    """

    def __init__(self, env: Env, at_step: int = 10, distance_m: float = 0.04) -> None:
        """Raises: TypeError if there is no FoldingEnv inside `env`; ValueError for a distance that no place of the square has."""
        RecordConstructorArgs.__init__(self, at_step=at_step, distance_m=distance_m)
        gymnasium.Wrapper.__init__(self, env)
        self.world = folding_world(env)
        self.at_step, self.distance_m, self.moved = at_step, distance_m, False
        reach_m = self.world.config.start.position_m
        if not 0 <= distance_m <= reach_m:
            raise ValueError(
                f"distance_m is from 0 to {reach_m}, so that there is such a place, not {distance_m}"
            )
        self._rng = np.random.default_rng(0)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> ResetResult:
        """Begin an episode in which nothing has been moved yet."""
        self.moved = False
        if seed is not None:
            self._rng = np.random.default_rng([seed, 1])
        return self.env.reset(seed=seed, options=options)

    def step(self, action: np.ndarray) -> StepResult:
        """One step, before which the garment may have been moved."""
        world = self.world
        if not self.moved and world.elapsed_steps >= self.at_step and not any(world.held):
            world.move_garment(self._elsewhere())
            self.moved = True
        return self.env.step(action)

    def _elsewhere(self) -> Float[np.ndarray, "2"]:
        reach_m = self.world.config.start.position_m
        while True:
            place = self._rng.uniform(-reach_m, reach_m, 2)
            if np.linalg.norm(place - self.world.goal.position) >= self.distance_m:
                return place


class ThingsBeside(gymnasium.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """The first `count` of DISTRACTORS stand on the table close to the garment, never on it, where the cameras see them."""

    def __init__(self, env: Env, count: int = 1) -> None:
        """Raises: TypeError if there is no FoldingEnv inside `env`; ValueError for more things than there are."""
        RecordConstructorArgs.__init__(self, count=count)
        gymnasium.Wrapper.__init__(self, env)
        self.world = folding_world(env)
        if not 1 <= count <= len(DISTRACTORS):
            raise ValueError(f"count is from 1 to {len(DISTRACTORS)}, not {count}")
        self.count = count

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> ResetResult:
        """Lay the garment, find places beside it, and begin again with things in them."""
        self.env.reset(seed=seed, options=options)
        start = self.world.save().start
        again = {key: value for key, value in vars(start).items() if key != "distractors"}
        return self.env.reset(options={**again, "distractors": self._places()})

    def _places(self) -> Float[np.ndarray, "3 2"]:
        """Drawn until they fit: beside the cloth, apart from each other."""
        places, placed = AWAY.copy(), 0
        cloth = self.world.vertices[:, :2]
        while placed < self.count:
            place = self.world.np_random.uniform(*_IN_SIGHT_M.T)
            gap = np.linalg.norm(cloth - place, axis=1).min()
            apart = np.linalg.norm(places[:placed] - place, axis=1).min(initial=np.inf)
            if _BESIDE_M[0] <= gap <= _BESIDE_M[1] and apart >= _APART_M:
                places[placed] = place
                placed += 1
        return places


def folding_world(env: Any) -> FoldingEnv:
    """The FoldingEnv inside all wrappers.

    Raises: TypeError if there is none.
    """
    world = env.unwrapped
    if not isinstance(world, FoldingEnv):
        raise TypeError(f"this happens to a garment: it wraps a FoldingEnv, not a {type(world).__name__}")
    return world
