"""Targets of the present fold for each hand, from the true state of the cloth; both scripted experts use them."""

import numpy as np
from jaxtyping import Float

from vla_course.control.rotations import rotation_error
from vla_course.envs.folding.env import FoldingEnv
from vla_course.robot.two_arms import DOWNWARD

EASY_YAW_RAD = (-0.5, 0.5)
CROWDED_M = 0.20
PARK_X_M, PARK_Y_M, PARK_Z_M = -0.18, 0.55, 0.25
AROUND_M = 0.15


class FoldPlan:
    """The present fold of an environment. Stateless: every value is read from the environment."""

    def __init__(self, env: FoldingEnv, home: Float[np.ndarray, "2 3"]) -> None:
        """`home` is where the hands wait when nothing is in the way, metres."""
        self._env, self._home = env, home

    @property
    def stage(self) -> int:
        """The fold that is asked for; the last one when all are done."""
        return min(self._env.stage, self._env.num_stages - 1)

    def takes(self) -> list[tuple[int, int]]:
        """The (hand, vertex) pairs of this fold: which vertex each hand grasps."""
        return list(self._env.garment.folds[self.stage].grasps)

    def begins(self, vertex: int) -> Float[np.ndarray, "2"]:
        """Where a vertex lies before this fold, if those before it were perfect."""
        start: Float[np.ndarray, "2"] = self._env.goal.ideal[self.stage][vertex]
        return start

    def ends(self, vertex: int) -> Float[np.ndarray, "2"]:
        """Where it belongs after this fold."""
        place: Float[np.ndarray, "2"] = self._env.goal.ideal[self.stage + 1][vertex]
        return place

    def facing(self) -> Float[np.ndarray, "2 3 3"]:
        """Hands across the fold: the line of the fingers along the fold line, so that they take hold along an edge."""
        rotation = np.stack([DOWNWARD, DOWNWARD])
        fold = self._env.garment.folds[self.stage]
        across = self._env.goal.yaw_rad + fold.axis * np.pi / 2
        for hand, _ in self.takes():
            # Either side of the palm would do: take the one for which the wrist turns less.
            turn = (across - EASY_YAW_RAD[hand] + np.pi / 2) % np.pi - np.pi / 2
            rotation[hand] = downward(EASY_YAW_RAD[hand] + turn)
        return rotation

    def out_of_the_way(self) -> Float[np.ndarray, "2 3"]:
        """Where each hand waits: at home, or further back and out where the other hand is going to put cloth at its home."""
        position = self._home.copy()
        for hand, vertex in self.takes():
            if np.linalg.norm(self.ends(vertex) - position[1 - hand, :2]) < CROWDED_M:
                position[1 - hand] = PARK_X_M, np.sign(position[1 - hand, 1]) * PARK_Y_M, PARK_Z_M
        return position

    def missing_m(self, vertex: int) -> Float[np.ndarray, "2"]:
        """How far the cloth around a held vertex still has to go to lie in its place, on average."""
        env, goal = self._env, self._env.goal
        moved = goal.moved[self.stage]
        near = np.exp(-np.linalg.norm(goal.ideal[0][moved] - goal.ideal[0][vertex], axis=1) / AROUND_M)
        missing = goal.ideal[self.stage + 1][moved] - env.vertices[moved, :2]
        return np.average(missing, axis=0, weights=near)

    def misplaced_m(self) -> float:
        """The same as a distance, for the hand that has further to go."""
        return max(float(np.linalg.norm(self.missing_m(vertex))) for _, vertex in self.takes())


def downward(yaw_rad: float) -> Float[np.ndarray, "3 3"]:
    """The orientation of a hand whose fingers point down and whose palm faces this way."""
    cosine, sine = np.cos(yaw_rad), np.sin(yaw_rad)
    return np.array([[sine, -cosine, 0.0], [-cosine, -sine, 0.0], [0.0, 0.0, -1.0]])


def turned_rad(
    facing: Float[np.ndarray, "2 3 3"], wanted: Float[np.ndarray, "2 3 3"]
) -> Float[np.ndarray, "2"]:
    """How far each hand is turned from how it should be."""
    turns = [rotation_error(*pair) for pair in zip(facing, wanted, strict=True)]
    angles: Float[np.ndarray, "2"] = np.linalg.norm(turns, axis=1)
    return angles


def fingertip_clearance_m(closure: float) -> float:
    """Height of the grasp site at which the fingertips of a hand that points down just clear the table.

    Open fingers reach 73 mm below the grasp site, closed ones 22 mm, and nearly evenly in between.
    """
    return 0.004 + 0.073 - 0.051 * closure
