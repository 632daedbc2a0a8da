"""Inverse kinematics by damped least squares: joint targets that bring hands to wanted poses."""

from collections.abc import Callable, Sequence

import mujoco
import numpy as np
from jaxtyping import Float

from vla_course.control.rotations import rotation_error
from vla_course.robot.two_arms import JOINT_NAMES, robot_model

# One radian of orientation error counts like this many metres of position error.
METRES_PER_RADIAN = 0.25
# The Jacobian is a linear approximation, so one iteration never asks for more than this.
LARGEST_POSITION_ERROR_M = 0.08
LARGEST_ROTATION_ERROR_RAD = 0.5


def damped_least_squares(
    jacobian: Float[np.ndarray, "E J"], error: Float[np.ndarray, " E"], damping: float
) -> Float[np.ndarray, " J"]:
    """The joint step that reduces the task error without exploding near a singularity.

    `jacobian[i, j]` says how fast task number i changes when joint j moves. The step dq minimises
    |jacobian dq - error|² + damping² |dq|². E and J may differ: for any positive damping there is exactly one
    such step. With damping 0 it is the shortest step that removes the whole error. That one exists for every
    error only where the rows of the Jacobian are independent, so not with more errors than joints and not at
    a singularity; there an undamped step may be anything.

    Raises:
        ValueError: shapes do not fit, an error is not finite, or the damping is negative.
        numpy.linalg.LinAlgError: the damping is 0 and the rows of the Jacobian are dependent (rounding can hide it).

    Source: Buss, *Introduction to Inverse Kinematics*, 2009, equation 11 (there λ is our damping).
    """
    if jacobian.shape[:1] != error.shape or not damping >= 0 or not np.isfinite(error).all():
        raise ValueError(f"want {jacobian.shape=} (E, J), a finite {error=} of E numbers and {damping=} >= 0")
    task = jacobian @ jacobian.T + damping**2 * np.eye(len(error))
    return jacobian.T @ np.linalg.solve(task, error)


class InverseKinematics:
    """Moves joint targets towards wanted hand poses, a bounded step per call.

    Positions in metres and orientations (hand frame to world) in MuJoCo's world frame. `joint_position` holds
    every joint of the model in the model's order, in radians; only the joints named in `joints`, one group
    per site, are ever changed. An instance owns its `MjData`, so each thread or process needs one of its own.

    Args:
        model: what to pose; `None` means the two arms of the course.
        sites: name of the point that is to reach its target, one per arm.
        joints: names of the joints that may move it, one group per site.
        step: turns (Jacobian, error, damping) into a joint step.
        orientation_error: turns (current, target) into a rotation vector in the world frame.
        damping: λ of the step, in metres per radian.
        iterations: how often a call linearises anew.
        max_joint_step_rad: how far one call may move one joint.

    Raises:
        ValueError: a name is unknown, or a number is out of range.
    """

    def __init__(
        self,
        model: mujoco.MjModel | None = None,
        *,
        sites: Sequence[str] = ("left_grasp", "right_grasp"),
        joints: Sequence[Sequence[str]] = (JOINT_NAMES[:6], JOINT_NAMES[30:36]),
        step: Callable[..., np.ndarray] = damped_least_squares,
        orientation_error: Callable[..., np.ndarray] = rotation_error,
        damping: float = 0.01,
        iterations: int = 4,
        max_joint_step_rad: float = 0.10,
    ) -> None:
        if not (damping >= 0 and iterations >= 1 and max_joint_step_rad > 0):
            raise ValueError(f"want {damping=} >= 0, {iterations=} >= 1 and {max_joint_step_rad=} > 0")
        if len(sites) != len(joints):
            raise ValueError(
                f"want one group of joints per site, got {len(joints)} groups for {len(sites)} sites"
            )
        self.model = robot_model() if model is None else model
        if self.model.nq != self.model.nv:
            raise ValueError("want a model whose joints all turn or slide (no free or ball joints)")
        self.data = mujoco.MjData(self.model)
        self.step, self.orientation_error = step, orientation_error
        self.damping, self.iterations, self.max_joint_step_rad = damping, iterations, max_joint_step_rad
        self.sites = [_find(self.model, mujoco.mjtObj.mjOBJ_SITE, name) for name in sites]
        self.joints = [
            np.array([_find(self.model, mujoco.mjtObj.mjOBJ_JOINT, name) for name in group])
            for group in joints
        ]
        limited = self.model.jnt_limited.astype(bool)
        self.low = np.where(limited, self.model.jnt_range[:, 0], -np.inf)
        self.high = np.where(limited, self.model.jnt_range[:, 1], np.inf)
        # MuJoCo writes the Jacobian here; allocating it in the loop would cost as much as solving.
        self._jacobian = np.zeros((6, self.model.nv))

    def forward(
        self, joint_position: Float[np.ndarray, " J"]
    ) -> tuple[Float[np.ndarray, "E 3"], Float[np.ndarray, "E 3 3"]]:
        """Position in metres and rotation matrix of every site, for these joint angles."""
        self._pose(self._checked("joint_position", joint_position, (self.model.nq,)))
        return self.data.site_xpos[self.sites], self.data.site_xmat[self.sites].reshape(-1, 3, 3)

    def jacobian(self, arm: int) -> Float[np.ndarray, "6 J"]:
        """How fast one site moves (three rows, m/rad) and turns (three rows, rad/rad) with each of its joints.

        At the joint angles that `forward` or `solve` saw last.
        """
        mujoco.mj_jacSite(self.model, self.data, self._jacobian[:3], self._jacobian[3:], self.sites[arm])
        return self._jacobian[:, self.joints[arm]]

    def solve(
        self,
        joint_position: Float[np.ndarray, " J"],
        target_position: Float[np.ndarray, "E 3"],
        target_rotation: Float[np.ndarray, "E 3 3"],
        active: Sequence[bool] | None = None,
    ) -> Float[np.ndarray, " J"]:
        """Joint targets one bounded step closer to the wanted poses, inside the joint limits.

        Where the poses are too far for one step, the step points at them and its largest entry is the limit.
        Arms that are not `active` keep their joints; their targets are not read.

        Raises:
            ValueError: a shape is wrong, or a number that matters is not finite.
        """
        arms = len(self.sites)
        if active is not None and len(active) != arms:
            raise ValueError(f"active: want one flag per arm ({arms}), got {active}")
        chosen = [arm for arm in range(arms) if active is None or active[arm]]
        start = self._checked("joint_position", joint_position, (self.model.nq,))
        position = self._checked("target_position", target_position, (arms, 3), chosen)
        rotation = self._checked("target_rotation", target_rotation, (arms, 3, 3), chosen)
        joints = start.copy()
        for _ in range(self.iterations):
            self._pose(joints)
            for arm in chosen:
                group = self.joints[arm]
                moved = joints[group] + self._joint_step(arm, position[arm], rotation[arm])
                joints[group] = np.minimum(np.maximum(moved, self.low[group]), self.high[group])
        for arm in chosen:
            group = self.joints[arm]
            # Shorten the whole step, not its largest entry: cutting single joints would turn the hand away.
            joints[group] = start[group] + _within(joints[group] - start[group], self.max_joint_step_rad)
        return joints

    def _joint_step(self, arm: int, position: np.ndarray, rotation: np.ndarray) -> np.ndarray:
        error = np.empty(6)
        error[:3] = _shortened(position - self.data.site_xpos[self.sites[arm]], LARGEST_POSITION_ERROR_M)
        turn = self.orientation_error(self.data.site_xmat[self.sites[arm]].reshape(3, 3), rotation)
        error[3:] = METRES_PER_RADIAN * _shortened(turn, LARGEST_ROTATION_ERROR_RAD)
        jacobian = self.jacobian(arm)
        jacobian[3:] *= METRES_PER_RADIAN
        step = np.asarray(self.step(jacobian, error, self.damping))
        if step.shape != self.joints[arm].shape or not np.isfinite(step).all():
            raise ValueError(
                f"step returned {step}: want {len(self.joints[arm])} finite numbers, one per joint"
            )
        return step

    def _pose(self, joint_position: np.ndarray) -> None:
        self.data.qpos[:] = joint_position
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_comPos(self.model, self.data)  # mj_jacSite reads what this computes

    def _checked(
        self, name: str, value: np.ndarray, shape: tuple[int, ...], rows: Sequence[int] | None = None
    ) -> np.ndarray:
        array = np.asarray(value, dtype=float)
        if array.shape != shape:
            raise ValueError(f"{name}: want shape {shape}, got {array.shape}")
        if not np.isfinite(array if rows is None else array[list(rows)]).all():
            raise ValueError(f"{name}: holds a number that is not finite: {array}")
        return array


def _shortened(vector: np.ndarray, longest: float) -> np.ndarray:
    length = float(np.sqrt(vector @ vector))
    return vector if length <= longest else vector * (longest / length)


def _within(step: np.ndarray, largest: float) -> np.ndarray:
    most = float(np.max(np.abs(step)))
    return step if most <= largest else step * (largest / most)


def _find(model: mujoco.MjModel, kind: mujoco.mjtObj, name: str) -> int:
    index: int = mujoco.mj_name2id(model, kind, name)
    if index < 0:
        what = kind.name.removeprefix("mjOBJ_").lower()
        raise ValueError(f"the model has no {what} named {name!r}")
    return index
