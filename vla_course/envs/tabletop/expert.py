"""A scripted expert for every task: looks at the true state, goes above, comes down, does it, corrects itself."""

from typing import Any

import numpy as np
from jaxtyping import Float

from vla_course.control.rotations import rpy_from_matrix
from vla_course.envs.tabletop.arm import DOWNWARD
from vla_course.envs.tabletop.env import TabletopEnv
from vla_course.envs.tabletop.goals import Goal
from vla_course.envs.tabletop.layout import PUSH_M
from vla_course.envs.tabletop.shapes import SHAPES, Shape
from vla_course.envs.tabletop.tasks import DIRECTIONS
from vla_course.envs.tabletop.world import OPEN_BELOW

OPEN, CLOSED = 1.0, -1.0
TRAVEL_M, DESCEND_M, PUSH_STEP_M = 0.10, 0.06, 0.045
"""Longest steps: through the air, down to something, along the table."""
CLEAR_M = 0.15
"""Height of the grasp site at which a closed hand passes over everything on the table."""
ALIGNED_M = 0.02
BEHIND_M, FIST_M = 0.062, 0.030
"""A fist goes down this far behind a thing's circle, and touches it this far before its middle."""
FIST_HEIGHT_M, FIST_MIDDLE_M = 0.034, np.array([-0.004, 0.010])
OPEN_HEIGHT_M = 0.078
FINGERS_BACK_M = 0.032
"""Open fingers hang this far behind the grasp site: a hand takes a wider thing from so much nearer to the robot."""
CARRY_M, DROP_M = 0.10, 0.012


class TabletopExpert:
    """Does what the environment scores, whatever was said; or, with `obey=True`, what was said, whatever is scored.

    It has no memory: each action follows from the state alone, so it can take over from any policy at any step.
    """

    def __init__(self, env: Any, *, obey: bool = False) -> None:
        """`env` is a TabletopEnv, wrapped or not.

        Raises: TypeError if there is no TabletopEnv inside `env`.
        """
        tabletop = getattr(env, "unwrapped", env)
        if not isinstance(tabletop, TabletopEnv):
            raise TypeError(f"the tabletop expert needs a TabletopEnv, not a {type(tabletop).__name__}")
        self._env, self._obey = tabletop, obey

    def act(self, observation: object = None) -> Float[np.ndarray, "7"]:
        """The expert's action in the environment's present state. The observation is not used: the expert sees the truth."""
        env = self._env
        self._hand, orientation = env.control.pose(env.joint_target)
        verb = self._goal.task.verb
        if verb == "touch":
            goal, grip, longest = self._touch()
        elif verb.startswith("push"):
            goal, grip, longest = self._push()
        else:
            goal, grip, longest = self._pick() if verb == "pick_up" or not self._carrying() else self._put()
        action = np.zeros(7, np.float32)
        step = goal - self._hand
        length = float(np.linalg.norm(step))
        action[:3] = step * min(1.0, longest / max(length, 1e-9)) / env.config.translation_m
        action[3:6] = rpy_from_matrix(DOWNWARD @ orientation.T) / env.config.rotation_rad
        action[6] = grip
        return np.clip(action, -1, 1)

    @property
    def _goal(self) -> Goal:
        return self._env.told_goal if self._obey else self._env.goal

    def _touch(self) -> tuple[np.ndarray, float, float]:
        anchor = self._env.world.anchor(self._goal.task.target)
        return self._over_then_down(anchor[:2] - FIST_MIDDLE_M * [0, 0.5], 0.0, CLOSED)

    def _pick(self) -> tuple[np.ndarray, float, float]:
        world = self._env.world
        thing = self._thing()
        top = self._top_m()
        above = thing[:2] - [max(0.004, min(self._shape().radius_m - FINGERS_BACK_M, 0.016)), 0.0]
        if world.held == self._goal.target:
            return self._hand + np.array([0.0, 0.0, DESCEND_M]), CLOSED, TRAVEL_M
        ready = max(OPEN_HEIGHT_M, top + 0.002)
        if np.linalg.norm(self._hand[:2] - above) < ALIGNED_M and self._hand[2] < ready + 0.015:
            if world.commanded_closure > OPEN_BELOW:
                return (
                    np.array([*above, ready]),
                    OPEN,
                    DESCEND_M,
                )  # closed around nothing: open, and try again
            return np.array([*above, max(0.034, top - 0.015)]), CLOSED, DESCEND_M
        return self._over_then_down(above, ready, OPEN)

    def _carrying(self) -> bool:
        """Whether the thing is held already, or lies where it should and only has to be let go."""
        return self._env.world.held == self._goal.target

    def _put(self) -> tuple[np.ndarray, float, float]:
        world, goal = self._env.world, self._goal
        assert goal.place is not None and self._goal.task.destination is not None
        there = SHAPES[self._goal.task.destination.kind]
        thing, place = self._thing(), world.position[goal.place]
        grip_offset = self._hand - thing
        bottom = thing[2] - self._shape().rest_m
        across = float(np.linalg.norm((thing - place)[:2]))
        height = there.floor_m + DROP_M + self._shape().rest_m
        if across < ALIGNED_M:
            if bottom < there.floor_m + DROP_M + 0.012:
                return self._hand, OPEN, TRAVEL_M
            return np.array([*place[:2], height]) + grip_offset, CLOSED, DESCEND_M
        high = there.height_m + 0.03 + self._shape().rest_m
        if bottom < there.height_m + 0.015 and across > there.radius_m * 0.5:
            # Up first where the rim, or what stands in the way, is higher than the thing.
            return np.array([*thing[:2], high + 0.04]) + grip_offset, CLOSED, DESCEND_M
        return np.array([*place[:2], high + 0.02]) + grip_offset, CLOSED, TRAVEL_M

    def _push(self) -> tuple[np.ndarray, float, float]:
        env, goal = self._env, self._goal
        thing, radius = self._thing()[:2], self._shape().radius_m
        if self._goal.task.direction is not None:
            # Towards a point, not along a line: what slips to the side is brought back.
            way = goal.home[:2] + (PUSH_M + 0.015) * np.array(DIRECTIONS[self._goal.task.direction]) - thing
            left = float(np.linalg.norm(way))
        else:
            assert goal.place is not None
            way = env.world.position[goal.place][:2] - thing
            left = goal.missing_m() + 0.015
        way = way / np.linalg.norm(way)
        # Where the fist is, not where it was told to be: it lags while it pushes.
        fist = env.world.hand_position[:2] + FIST_MIDDLE_M
        behind = float((thing - fist) @ way)
        side = thing - fist - behind * way
        off = float(np.linalg.norm(side))
        low = self._hand[2] < FIST_HEIGHT_M + 0.02
        if low and behind > 0.01 and off < 0.6 * min(radius, 0.04) and behind < radius + 0.14:
            gap = max(0.0, behind - radius - FIST_M)
            reach = min(PUSH_STEP_M + gap, left + gap + 0.01, 0.08)
            step = reach * way + np.clip(1.2 * side, -0.02, 0.02)
            return np.array([*(self._hand[:2] + step), FIST_HEIGHT_M]), CLOSED, 0.09
        spot = thing - (radius + BEHIND_M) * way - FIST_MIDDLE_M
        return self._over_then_down(spot, FIST_HEIGHT_M, CLOSED)

    def _over_then_down(
        self, spot: Float[np.ndarray, "2"], height: float, grip: float
    ) -> tuple[np.ndarray, float, float]:
        """Go above a place on the table, high enough to pass over things, then straight down."""
        away = float(np.linalg.norm(self._hand[:2] - spot))
        if away < ALIGNED_M:
            return np.array([*spot, height]), grip, DESCEND_M
        # Fingers hang lower when they are open.
        clear = CLEAR_M + (0.05 if grip == OPEN else 0.0)
        if self._hand[2] < clear - 0.05 and away > 0.03:
            return np.array([*self._hand[:2], clear]), grip, TRAVEL_M
        return np.array([*spot, clear if away > 0.08 else max(height + 0.05, clear - 0.03)]), grip, TRAVEL_M

    def _thing(self) -> Float[np.ndarray, "3"]:
        target = self._goal.target
        assert target is not None
        thing: Float[np.ndarray, "3"] = self._env.world.position[target]
        return thing

    def _shape(self) -> Shape:
        return SHAPES[self._goal.task.target.kind]

    def _top_m(self) -> float:
        """How high the thing reaches now: less than standing, if it fell over."""
        shape = self._shape()
        standing = self._env.world.upright[self._goal.target] > 0.9
        return shape.height_m if standing else 2 * min(shape.rest_m, shape.radius_m)
