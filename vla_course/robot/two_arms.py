"""The course's robot: two UR10e arms with 24-joint hands, 60 position-controlled joints, left arm first.

World frame: origin on the table's surface at its centre, x away from the robots, y to the left, z up. Metres and radians.
Both arms are the same product, but the left one is mounted turned by 180 degrees and works with its shoulder flipped, so
that the two move as mirror images: `mirrored_arm` says which joint angles belong together. The hands are a left and a right
one, and equal angles mirror each other.
"""

import functools
import math

import mujoco
import numpy as np
from jaxtyping import Float

from vla_course.control.rotations import rpy_from_matrix
from vla_course.robot.collisions import ROBOT_COLLISION
from vla_course.robot.primitives import Point
from vla_course.robot.shadow_hand import HAND_JOINTS, OPEN_HAND, Side, add_shadow_hand
from vla_course.robot.ur10e import ARM_JOINTS, add_ur10e

SIDES: tuple[Side, Side] = ("left", "right")
JOINT_NAMES: tuple[str, ...] = tuple(
    f"{side}_{joint}" for side in SIDES for joint in (*ARM_JOINTS, *HAND_JOINTS)
)

HAND_SLICES = (slice(6, 30), slice(36, 60))
"""The left and the right hand's 24 joints, wrist included, among the 60."""

# The largest change of each joint's target in one control step, in rad. At 20 Hz 0.10 rad is 115 degrees/s, just below the
# 120 degrees/s that a UR10e's slowest joints allow.
ARM_ACTION_SCALE_RAD = 0.10
HAND_ACTION_SCALE_RAD = 0.25
ACTION_SCALE: Float[np.ndarray, "60"] = np.array(
    ([ARM_ACTION_SCALE_RAD] * len(ARM_JOINTS) + [HAND_ACTION_SCALE_RAD] * len(HAND_JOINTS)) * len(SIDES)
)
ACTION_SCALE.flags.writeable = False

BASE_POSITION_M: dict[Side, Point] = {
    "left": (-0.62, 0.42, 0.0),
    "right": (-0.62, -0.42, 0.0),
}

BASE_YAW_RAD: dict[Side, float] = {"left": 0.0, "right": math.pi}

DOWNWARD: Float[np.ndarray, "3 3"] = np.array([[0.0, -1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])
"""The orientation of a hand whose fingers point down and whose palm looks away from the robots: at home, both do."""

_MIRROR_OFFSET_RAD = np.array([0.0, -math.pi, 0.0, -math.pi, 0.0, 0.0])

# The right arm at reset: elbow up, hand pointing straight down before the arm, palm looking away from the robot.
_HOME_RIGHT_ARM_RAD = (0.0, -1.75, 2.1, -1.92, -1.57, 0.0)


def add_arm_with_hand(
    spec: mujoco.MjSpec, *, prefix: str, position_m: Point, yaw_rad: float, side: Side
) -> None:
    """Adds one arm with its hand: bodies, 30 joints, and 30 position actuators named like their joints.

    `side` chooses a left or right hand and the collision group, `prefix` starts every name, `yaw_rad` turns the base about
    the vertical. What other code may rely on:
    body `<prefix>palm`, sites `<prefix>grasp` and `<prefix>FF_tip` ... `<prefix>TH_tip`, camera `<prefix>wrist`. Gravity
    is compensated on every link, as the controller of a real arm does.

    Raises: ValueError if `side` is neither "left" nor "right", or if the spec still reads angles in degrees.
    """
    if side not in SIDES:
        raise ValueError(f"side is 'left' or 'right', not {side!r}")
    if spec.compiler.degree:
        raise ValueError("the robot's joint limits are in radians: set spec.compiler.degree = False first")
    bits = ROBOT_COLLISION[side]
    flange = add_ur10e(spec, prefix=prefix, position_m=position_m, yaw_rad=yaw_rad, bits=bits)
    add_shadow_hand(spec, flange, prefix=prefix, side=side, bits=bits)


def add_two_arms(spec: mujoco.MjSpec) -> None:
    """Adds both arms at their places behind the table. The actuators come in the order of JOINT_NAMES.

    Call it before anything else adds actuators, so that actuator i is joint i of JOINT_NAMES.
    """
    for side in SIDES:
        add_arm_with_hand(
            spec,
            prefix=f"{side}_",
            position_m=BASE_POSITION_M[side],
            yaw_rad=BASE_YAW_RAD[side],
            side=side,
        )


def mirrored_arm(joint_position: Float[np.ndarray, "6"]) -> Float[np.ndarray, "6"]:
    """The six angles at which one arm is the mirror image (in the plane y = 0) of the other, in rad.

    All signs change, and shoulder_lift and wrist_1, which count from the horizontal, also change sides: -pi - q.
    """
    mirrored: Float[np.ndarray, "6"] = _MIRROR_OFFSET_RAD - joint_position
    return mirrored


def home_position() -> Float[np.ndarray, "60"]:
    """The joint angles an episode starts from, in rad: hands open, above the table's near half, pointing down."""
    right_arm = np.array(_HOME_RIGHT_ARM_RAD)
    hand = np.array([OPEN_HAND[joint] for joint in HAND_JOINTS])
    return np.concatenate([mirrored_arm(right_arm), hand, right_arm, hand])


def turn_from_home(rotation: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "3"]:
    """Roll, pitch, yaw of the turn from DOWNWARD to this orientation, about the world's axes, rad.

    Angles of the orientation itself would jump between -π and π, because a hand that points down is half a turn from the
    world's frame.
    """
    return rpy_from_matrix(rotation @ DOWNWARD.T)


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
