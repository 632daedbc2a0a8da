"""A scripted expert that folds every garment: take, carry over in an arc, put down, let go, look whether it is good."""

from enum import Enum, auto
from typing import Any

import numpy as np
from jaxtyping import Float

from vla_course.control.actions import encode_residual
from vla_course.envs.folding.env import FoldingEnv
from vla_course.envs.folding.fold_plan import FoldPlan, fingertip_clearance_m, turned_rad
from vla_course.robot.grip import grip_closure, grip_pose
from vla_course.robot.inverse_kinematics import InverseKinematics
from vla_course.robot.two_arms import ACTION_SCALE, DOWNWARD, HAND_SLICES, home_position

HOVER_M, RISE_M = 0.10, 0.14
RELEASE_HEIGHT_M = 0.034
PRESHAPE = 0.5  # closed this far, the fingers are ready to pinch and do not hold yet
ARC_HEIGHT_M, ARC_HEIGHT_PER_RADIUS = 0.13, 0.75
TRAVEL_SPEED_M_S, CARRY_SPEED_M_S = 0.60, 0.35
ALIGNED_RAD = 0.1
CLOSURE_PER_STEP = 0.34
NEAR_M, THERE_M, BEHIND_M, CLEAR_M = 0.02, 0.006, 0.04, 0.10


class Phase(Enum):
    """The phases of one fold, in order."""

    HOVER = auto()
    DESCEND = auto()
    CLOSE = auto()
    CARRY = auto()
    PRESS = auto()
    OPEN = auto()
    RISE = auto()
    WITHDRAW = auto()
    ADVANCE = auto()


class FoldingExpert:
    """Folds by waypoints and inverse kinematics, from the true state of the cloth.

    Each action starts from the present joint targets, so the expert can take over from any policy at any step, as DAgger
    asks. It picks up again what it lost, and repeats a fold that is not good.
    """

    def __init__(self, env: Any, ik: InverseKinematics | None = None) -> None:
        """`env` is a FoldingEnv, wrapped or not; `ik` moves joint targets towards hand poses (the course's own by default).

        Raises: TypeError if there is no FoldingEnv inside `env`.
        """
        folding = getattr(env, "unwrapped", env)
        if not isinstance(folding, FoldingEnv):
            raise TypeError(f"the folding expert needs a FoldingEnv, not a {type(folding).__name__}")
        self._env = folding
        self._ik = ik or InverseKinematics()
        self._plan = FoldPlan(folding, self._ik.forward(home_position())[0])
        self._rotation = np.stack([DOWNWARD, DOWNWARD])
        self._phase, self._steps, self._progress, self._stage = Phase.HOVER, 0, 0.0, -1

    def act(self, observation: object = None) -> Float[np.ndarray, "61"]:
        """The expert's action in the environment's present state. The observation is not used: the expert reads the true state."""
        env = self._env
        action = np.zeros(61, np.float32)
        if env.stage == env.num_stages:
            return action
        if env.elapsed_steps == 0 or env.stage != self._stage:
            self._enter(Phase.HOVER)
            self._stage = env.stage
            self._rotation = self._plan.facing()
        self._steps += 1
        here, facing = self._ik.forward(env.joint_target)
        self._turned_rad = turned_rad(facing, self._rotation)
        self._enter_next(here)
        goal, closure = self._goal(here)
        if self._phase is Phase.CARRY and np.linalg.norm(goal - here, axis=1).max() < BEHIND_M:
            self._progress = min(1.0, self._progress + 1 / self._carry_steps())
        target = (
            goal
            if self._phase is Phase.CARRY
            else here + _limited(goal - here, TRAVEL_SPEED_M_S / env.control_hz)
        )
        joints = self._ik.solve(env.joint_target, target, self._rotation)
        for hand, fingers in enumerate(HAND_SLICES):
            now = grip_closure(env.joint_target[fingers])
            joints[fingers] = grip_pose(
                now + np.clip(closure[hand] - now, -CLOSURE_PER_STEP, CLOSURE_PER_STEP)
            )
        action[:60] = encode_residual(joints, env.joint_target, ACTION_SCALE)
        action[60] = float(self._phase is Phase.ADVANCE)
        return action

    @property
    def env(self) -> FoldingEnv:
        """The environment, without wrappers."""
        return self._env

    @property
    def phase(self) -> Phase:
        """The present phase."""
        return self._phase

    def _enter(self, phase: Phase) -> None:
        self._phase, self._steps, self._progress = phase, 0, 0.0

    def _carry_steps(self) -> float:
        """How many control steps the longest arc of this fold takes at the carrying speed."""
        ideal = self._env.goal.ideal[self._env.stage + 1]
        reach = max(
            float(np.linalg.norm(ideal[vertex] - self._start[hand][:2]))
            for hand, vertex in self._plan.takes()
        )
        return 1.4 * reach / CARRY_SPEED_M_S * self._env.control_hz + 6

    def _enter_next(self, here: Float[np.ndarray, "2 3"]) -> None:
        """Enter the next phase when the present one is complete, or the first one when cloth was lost."""
        env, takes = self._env, self._plan.takes()
        holding = all(env.held[hand] for hand, _ in takes)
        arrived = float(np.linalg.norm(self._goal(here)[0] - here, axis=1).max())
        if (
            self._phase is Phase.HOVER
            and arrived < NEAR_M
            and self._turned_rad.max() < ALIGNED_RAD
            and not any(env.held)
        ):
            self._enter(Phase.DESCEND)
        elif self._phase is Phase.DESCEND and arrived < THERE_M:
            self._enter(Phase.CLOSE)
        elif self._phase is Phase.CLOSE and holding and self._steps >= 5:
            self._start = {hand: here[hand].copy() for hand, _ in takes}
            self._enter(Phase.CARRY)
        elif (self._phase is Phase.CLOSE and self._steps > 12) or (
            self._phase in (Phase.CARRY, Phase.PRESS) and not holding
        ):
            self._enter(Phase.HOVER)
        elif self._phase is Phase.CARRY and self._progress >= 1 and arrived < THERE_M:
            self._enter(Phase.PRESS)
        elif (
            self._phase is Phase.PRESS
            and self._steps >= 3
            and (self._plan.misplaced_m() < THERE_M or self._steps >= 12)
        ):
            self._enter(Phase.OPEN)
        elif self._phase is Phase.OPEN and self._steps >= 4 and not any(env.held):
            self._enter(Phase.RISE)
        elif self._phase is Phase.RISE and arrived < NEAR_M:
            last = env.stage + 1 == env.num_stages
            self._enter((Phase.WITHDRAW if last else Phase.ADVANCE) if self._good() else Phase.HOVER)
        elif self._phase is Phase.WITHDRAW and arrived < CLEAR_M:
            self._enter(Phase.ADVANCE)
        elif self._phase is Phase.ADVANCE and self._steps > 3:
            self._enter(Phase.HOVER)

    def _goal(
        self, here: Float[np.ndarray, "2 3"]
    ) -> tuple[Float[np.ndarray, "2 3"], Float[np.ndarray, "2"]]:
        """Where the hands should go in this phase, and how far they should be closed. A hand without work gives way."""
        env = self._env
        position, closure = self._plan.out_of_the_way(), np.zeros(2)
        for hand, vertex in self._plan.takes():
            take = env.vertices[vertex]
            place = np.append(env.goal.ideal[env.stage + 1][vertex], RELEASE_HEIGHT_M)
            clear = fingertip_clearance_m(grip_closure(env.joint_target[HAND_SLICES[hand]]))
            match self._phase:
                case Phase.HOVER:
                    position[hand] = take[0], take[1], HOVER_M
                case Phase.DESCEND | Phase.CLOSE:
                    position[hand] = take[0], take[1], clear
                    closure[hand] = 1.0 if self._phase is Phase.CLOSE else PRESHAPE
                case Phase.CARRY:
                    position[hand] = self._on_arc(self._start[hand], place)
                    closure[hand] = 1.0
                case Phase.PRESS:
                    # Cloth under tension trails the hand that holds it: what has to be in place is the cloth.
                    position[hand] = np.append(
                        here[hand][:2] + 0.5 * (place[:2] - take[:2]), RELEASE_HEIGHT_M
                    )
                    closure[hand] = 1.0
                case Phase.OPEN:
                    position[hand] = here[hand][0], here[hand][1], max(here[hand][2], clear)
                case Phase.RISE:
                    position[hand] = here[hand][0], here[hand][1], RISE_M
                case Phase.WITHDRAW | Phase.ADVANCE:
                    pass
        return position, closure

    def _good(self) -> bool:
        """Whether the fold may be called done: for the last one the silhouette counts as well."""
        env = self._env
        last = env.stage + 1 == env.num_stages
        return env.stage_fold_good() and (not last or env.goal.iou(env.vertices) >= env.config.min_iou)

    def _on_arc(self, start: Float[np.ndarray, "3"], place: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3"]:
        """A point of the half ellipse from where cloth was taken to where it belongs, eased at both ends."""
        along = self._progress**2 * (3 - 2 * self._progress)
        radius = float(np.linalg.norm(place[:2] - start[:2])) / 2
        height = min(ARC_HEIGHT_M, ARC_HEIGHT_PER_RADIUS * radius) * np.sin(np.pi * along)
        across = (start[:2] + place[:2]) / 2 + (start[:2] - place[:2]) / 2 * np.cos(np.pi * along)
        return np.array([*across, start[2] + (place[2] - start[2]) * along + height])


def _limited(step: Float[np.ndarray, "2 3"], longest: float) -> Float[np.ndarray, "2 3"]:
    """The same steps, each no longer than this, and slower where the goal is near."""
    length = np.linalg.norm(step, axis=1, keepdims=True)
    allowed = np.minimum(longest, 0.4 * length + 0.002)
    limited: Float[np.ndarray, "2 3"] = step * np.minimum(1.0, allowed / np.maximum(length, 1e-9))
    return limited
