"""Joint targets of the 30 joints for one step of the hand, spread over the control ticks of an action."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from vla_course.control.rotations import matrix_from_rotation_vector, matrix_from_rpy, rotation_error
from vla_course.envs.tabletop.scene import ARM_JOINT_NAMES, GRASP_SITE, arm_model
from vla_course.robot.grip import grip_closure, grip_pose
from vla_course.robot.inverse_kinematics import InverseKinematics
from vla_course.robot.two_arms import DOWNWARD, home_position

HOME_M = np.array([-0.14, -0.16, 0.24])
WORKSPACE_M = np.array([[-0.30, -0.42, 0.010], [0.42, 0.42, 0.45]])
"""Lower and upper bound of the grasp site's target, metres."""
CLOSURE_PER_TICK = 0.34
FINGERS = slice(6, 30)


class HandControl:
    """Turns hand steps into joint targets of the one arm."""

    def __init__(self, translation_m: float, rotation_rad: float, ticks: int) -> None:
        self.translation_m, self.rotation_rad, self._ticks = translation_m, rotation_rad, ticks
        self._ik = InverseKinematics(arm_model(), sites=(GRASP_SITE,), joints=(ARM_JOINT_NAMES[:6],))

    def pose(
        self, joints: Float[np.ndarray, "30"]
    ) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3 3"]]:
        """Place and orientation of the grasp site for these joint angles."""
        position, rotation = self._ik.forward(joints)
        return position[0], rotation[0]

    def start(
        self, position: Float[np.ndarray, "3"], yaw_rad: float, closure: float
    ) -> Float[np.ndarray, "30"]:
        """Joint angles (rad) that put the grasp site at `position`, fingers down, turned by `yaw_rad` about the vertical."""
        rotation = matrix_from_rpy(np.array([0.0, 0.0, yaw_rad])) @ DOWNWARD
        joints = home_position()[30:].copy()
        joints[FINGERS] = grip_pose(closure)
        for _ in range(24):
            joints = self._ik.solve(joints, position[None], rotation[None])
        return joints

    def joint_targets(
        self, action: Float[np.ndarray, "7"], joint_target: Float[np.ndarray, "30"]
    ) -> Iterator[Float[np.ndarray, "30"]]:
        """The joint targets (rad) of every tick of one action in [-1, 1], starting from the last joint targets.

        The step starts from the commanded pose, not the measured one: an arm that lags would sink a little every time.
        """
        start, orientation = self.pose(joint_target)
        turn = rotation_error(np.eye(3), matrix_from_rpy(self.rotation_rad * action[3:6]))
        goal = np.clip(start + self.translation_m * action[:3], *WORKSPACE_M)
        closure = (1 - float(action[6])) / 2
        joints = joint_target
        for tick in range(1, self._ticks + 1):
            share = tick / self._ticks
            rotation = matrix_from_rotation_vector(share * turn) @ orientation
            now = grip_closure(joints[FINGERS])
            joints = self._ik.solve(joints, (start + share * (goal - start))[None], rotation[None])
            joints[FINGERS] = grip_pose(now + np.clip(closure - now, -CLOSURE_PER_TICK, CLOSURE_PER_TICK))
            yield joints
