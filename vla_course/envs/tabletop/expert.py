"""A scripted expert for every task: looks at the true state, goes above, comes down, does it, corrects itself.

Its action is a continuous function of the state, except where fingers open or close. A policy trained on it locates things to
about two centimetres: at a threshold between going down and going up it would average the two, and hover.
"""

from typing import Any

import numpy as np
from jaxtyping import Float

from vla_course.control.easing import rise
from vla_course.control.rotations import rpy_from_matrix
from vla_course.envs.tabletop.env import TabletopEnv
from vla_course.envs.tabletop.goals import Goal
from vla_course.envs.tabletop.layout import PUSH_M
from vla_course.envs.tabletop.shapes import SHAPES, Shape
from vla_course.envs.tabletop.tasks import DIRECTIONS
from vla_course.envs.tabletop.world import OPEN_BELOW
from vla_course.robot.two_arms import DOWNWARD

OPEN, CLOSED = 1.0, -1.0
TRAVEL_M, DESCEND_M, PUSH_STEP_M = 0.10, 0.06, 0.045
"""Longest steps: through the air, down to something, along the table."""
CLEAR_M = 0.15
"""Height of the grasp site at which a closed hand passes over everything on the table."""
FUNNEL_M, FIST_FUNNEL_M = (0.02, 0.06), (0.03, 0.08)
"""How far from the axis of its descent a hand is at the bottom of the funnel that it slides down, and at the rim. A fist that
comes down behind a thing has more room."""
SLIP = 0.25
"""Share of the horizontal step that a hand makes even while it has to rise. Straight up would be an action that all tasks have
in common, and so the likeliest prediction of a policy that is unsure of the task."""
TURN_GAIN = 0.3
"""Share of its tilt and turn, and of what a step allows, that a hand corrects. A small picture hardly shows them, and a policy
that learned to turn at full speed without seeing which way would spin."""
GRASP_M, RELEASE_M = 0.03, 0.03
"""How near to the middle, along the table, fingers close around a thing, or let it go."""
BEHIND_M, FIST_M = 0.062, 0.030
"""A fist goes down this far behind a thing's circle, and touches it this far before its middle."""
FIST_HEIGHT_M, FIST_MIDDLE_M = 0.034, np.array([-0.004, 0.010])
OPEN_HEIGHT_M = 0.078
FINGERS_BACK_M = 0.032
"""Open fingers hang this far behind the grasp site: a hand takes a wider thing from so much nearer to the robot."""
CARRY_M, DROP_M = 0.10, 0.012


class TabletopExpert:
    """Carries out the task that is scored, or with `obey=True` the task that the instruction names.

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
        """The expert's action in the environment's present state. The observation is not used: the expert reads the true state."""
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
        turn = rpy_from_matrix(DOWNWARD @ orientation.T) / env.config.rotation_rad
        action[3:6] = TURN_GAIN * np.clip(turn, -1, 1)
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
        if np.linalg.norm(self._hand[:2] - above) > GRASP_M or self._hand[2] > ready + 0.03:
            return self._over_then_down(above, ready, OPEN)
        if world.commanded_closure > OPEN_BELOW:  # closed around nothing: open, and try again
            return np.array([*above, ready]), OPEN, DESCEND_M
        return np.array([*above, max(0.034, top - 0.015)]), CLOSED, DESCEND_M

    def _carrying(self) -> bool:
        """Whether the thing is held already."""
        return self._env.world.held == self._goal.target

    def _put(self) -> tuple[np.ndarray, float, float]:
        world, goal = self._env.world, self._goal
        assert goal.place is not None and self._goal.task.destination is not None
        there = SHAPES[self._goal.task.destination.kind]
        thing, place = self._thing(), world.position[goal.place]
        bottom = thing[2] - self._shape().rest_m
        across = float(np.linalg.norm((thing - place)[:2]))
        if across < RELEASE_M and bottom < there.floor_m + DROP_M + 0.02:
            return self._hand, OPEN, TRAVEL_M
        low, high = there.floor_m + DROP_M, max(CARRY_M, there.height_m + 0.05)
        underside = np.array([*thing[:2], bottom])
        target, longest = _along_funnel(underside, place[:2], low, high)
        return self._hand + target - underside, CLOSED, longest

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
        # The measured position of the fist, not the commanded one: it lags while it pushes.
        fist = env.world.hand_position[:2] + FIST_MIDDLE_M
        behind = float((thing - fist) @ way)
        side = thing - fist - behind * way
        off = float(np.linalg.norm(side))
        wide = 0.6 * min(radius, 0.04)
        spot = thing - (radius + BEHIND_M) * way - FIST_MIDDLE_M
        around, _ = _along_funnel(self._hand, spot, FIST_HEIGHT_M, CLEAR_M, FIST_FUNNEL_M)
        gap = max(0.0, behind - radius - FIST_M)
        reach = min(PUSH_STEP_M + gap, left + gap + 0.01, 0.08)
        step = reach * way + np.clip(1.2 * side, -0.02, 0.02)
        onward = np.array([*(self._hand[:2] + step), FIST_HEIGHT_M])
        # It pushes as far as the fist is low, behind the thing, and in line with it; otherwise it goes around. To be a little
        # out of line costs less than to go around, and a policy's estimate is a centimetre off anyway.
        share = (
            (1 - rise(self._hand[2], FIST_HEIGHT_M + 0.012, FIST_HEIGHT_M + 0.03))
            * rise(behind, -0.02, 0.01)
            * (1 - rise(behind, radius + 0.12, radius + 0.16))
            * (1 - rise(off, 1.6 * wide, 3.0 * wide))
        )
        return share * onward + (1 - share) * around, CLOSED, 0.09

    def _over_then_down(
        self, spot: Float[np.ndarray, "2"], height: float, grip: float
    ) -> tuple[np.ndarray, float, float]:
        """Go above a place on the table, high enough to pass over things, then down."""
        clear = CLEAR_M + (0.05 if grip == OPEN else 0.0)  # fingers hang lower when they are open
        goal, longest = _along_funnel(self._hand, spot, height, clear)
        return goal, grip, longest

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


def _along_funnel(
    here: Float[np.ndarray, "3"],
    spot: Float[np.ndarray, "2"],
    low: float,
    high: float,
    funnel_m: tuple[float, float] = FUNNEL_M,
) -> tuple[Float[np.ndarray, "3"], float]:
    """Where to go next from `here` to get to a spot at height `low`, passing over everything at `high`; and the longest step.

    The height to be at depends on the distance to the spot, like the wall of a funnel. What is far below that wall goes up
    first, and on along the table mostly as it rises.
    """
    away = float(np.linalg.norm(here[:2] - spot))
    outside = rise(away, *funnel_m)
    height = low + (high - low) * outside
    sideways = 1 - (1 - SLIP) * rise(height - here[2], 0.02, 0.07)
    goal = np.array([*(here[:2] + sideways * (spot - here[:2])), height])
    return goal, DESCEND_M + (TRAVEL_M - DESCEND_M) * outside
