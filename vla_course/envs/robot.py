"""The course's robot: two UR10e arms with 24-joint hands, 60 position-controlled joints, left arm first.

World frame: origin on the table's surface at its centre, x away from the robots, y to the left, z up. Metres and radians.
The two arms are the same product and not mirror images of each other; the hands are a left and a right one.
"""

import functools
import math

import mujoco
import numpy as np
from jaxtyping import Float

from vla_course.envs.collisions import ROBOT_COLLISION
from vla_course.envs.shadow_hand import HAND_JOINTS, OPEN_HAND, Side, add_shadow_hand
from vla_course.envs.ur10e import ARM_JOINTS, add_ur10e

SIDES: tuple[Side, Side] = ("left", "right")
JOINT_NAMES: tuple[str, ...] = tuple(
    f"{side}_{joint}" for side in SIDES for joint in (*ARM_JOINTS, *HAND_JOINTS)
)

# The largest change of each joint's target in one control step, in rad. At 20 Hz 0.10 rad is 115 degrees/s, just below the
# 120 degrees/s that a UR10e's slowest joints allow.
ARM_ACTION_SCALE_RAD = 0.10
HAND_ACTION_SCALE_RAD = 0.25
ACTION_SCALE: Float[np.ndarray, "60"] = np.array(
    ([ARM_ACTION_SCALE_RAD] * len(ARM_JOINTS) + [HAND_ACTION_SCALE_RAD] * len(HAND_JOINTS)) * len(SIDES)
)
ACTION_SCALE.flags.writeable = False

BASE_POSITION_M: dict[Side, tuple[float, float, float]] = {
    "left": (-0.62, 0.42, 0.0),
    "right": (-0.62, -0.42, 0.0),
}

# Elbow up, hand pointing straight down in front of the arm, palm away from the robot.
HOME_ARM_RAD = dict(zip(ARM_JOINTS, (0.0, -1.75, 2.1, -1.92, -1.57, 0.0), strict=True))


def add_arm_with_hand(
    spec: mujoco.MjSpec, *, prefix: str, position_m: tuple[float, float, float], side: Side
) -> None:
    """Adds one arm with its hand: bodies, 30 joints, and 30 position actuators named like their joints.

    `side` chooses a left or right hand and the collision group, `prefix` starts every name. What other code may rely on:
    body `<prefix>palm`, sites `<prefix>grasp` and `<prefix>FF_tip` ... `<prefix>TH_tip`, camera `<prefix>wrist`. Gravity
    is compensated on every link, as the controller of a real arm does.

    Raises: ValueError if `side` is neither "left" nor "right", or if the spec still reads angles in degrees.
    """
    if side not in SIDES:
        raise ValueError(f"side is 'left' or 'right', not {side!r}")
    if spec.compiler.degree:
        raise ValueError("the robot's joint limits are in radians: set spec.compiler.degree = False first")
    bits = ROBOT_COLLISION[side]
    flange = add_ur10e(spec, prefix=prefix, position_m=position_m, yaw_rad=math.pi, bits=bits)
    add_shadow_hand(spec, flange, prefix=prefix, side=side, bits=bits)


def add_two_arms(spec: mujoco.MjSpec) -> None:
    """Adds both arms at their places behind the table. The actuators come in the order of JOINT_NAMES.

    Call it before anything else adds actuators, so that actuator i is joint i of JOINT_NAMES.
    """
    for side in SIDES:
        add_arm_with_hand(spec, prefix=f"{side}_", position_m=BASE_POSITION_M[side], side=side)


def home_position() -> Float[np.ndarray, "60"]:
    """The joint angles an episode starts from, in rad: arms raised before the table, hands open and pointing down."""
    one_side = HOME_ARM_RAD | OPEN_HAND
    return np.array([one_side[joint] for _ in SIDES for joint in (*ARM_JOINTS, *HAND_JOINTS)])


@functools.lru_cache(maxsize=1)
def robot_model() -> mujoco.MjModel:
    """The two arms alone, without table and cloth: what inverse kinematics computes with.

    The model is built once and shared: do not write to it. Every caller makes its own `MjData(robot_model())`; its qpos
    holds the 60 joints in the order of JOINT_NAMES.
    """
    spec = mujoco.MjSpec()
    spec.compiler.degree = False
    spec.option.timestep = 1 / 120
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.solver = mujoco.mjtSolver.mjSOL_CG
    spec.option.iterations = 20
    spec.option.ls_iterations = 10
    add_two_arms(spec)
    return spec.compile()
