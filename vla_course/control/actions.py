"""Action encodings: joint residuals and end-effector steps."""

import numpy as np
from jaxtyping import Float

from vla_course.control.rotations import rpy_from_matrix


def encode_residual(
    expert_target: Float[np.ndarray, "*batch J"],
    base_target: Float[np.ndarray, "*batch J"],
    scale: Float[np.ndarray, " J"],
) -> Float[np.ndarray, "*batch J"]:
    """The action in [-1, 1] that moves the base policy's joint targets onto the expert's.

    All three are in radians, one number per joint: the expert's target, the base policy's target, and how far
    an action of 1 moves the target (`scale`, not the same for every joint). A joint that is out of reach in
    one action goes as far as it can. Joints have stops, so the plain difference counts: it is not wrapped to ±π.

    Raises:
        ValueError: a scale is not positive, or a target is not finite.
    """
    step = expert_target - base_target
    if not np.isfinite(step).all() or np.min(scale) <= 0:
        raise ValueError(
            f"want finite targets and positive scales, got {expert_target=} {base_target=} {scale=}"
        )
    action: np.ndarray = np.clip(step / scale, -1.0, 1.0)
    return action


def decode_residual(
    action: Float[np.ndarray, "*batch J"],
    base_target: Float[np.ndarray, "*batch J"],
    scale: Float[np.ndarray, " J"],
) -> Float[np.ndarray, "*batch J"]:
    """The joint targets, in radians, that the robot sets for an action in [-1, 1]: the inverse of `encode_residual`.

    Raises:
        ValueError: a scale is not positive, or an action or a target is not finite.
    """
    target: np.ndarray = base_target + scale * np.clip(action, -1.0, 1.0)
    if not np.isfinite(target).all() or np.min(scale) <= 0:
        raise ValueError(f"want finite numbers and positive scales, got {action=} {base_target=} {scale=}")
    return target


def end_effector_delta(
    position: Float[np.ndarray, " 3"],
    rotation: Float[np.ndarray, "3 3"],
    target_position: Float[np.ndarray, " 3"],
    target_rotation: Float[np.ndarray, "3 3"],
) -> Float[np.ndarray, " 6"]:
    """Δxyz and Δroll, Δpitch, Δyaw in the base frame: OpenVLA's (BridgeData's) convention.

    The first three numbers, in metres, take the hand's position to the target's. The last three, in radians,
    are roll, pitch and yaw of the one rotation that takes its orientation to the target's (about the base's fixed
    axes x, y, z in this order, as `rpy_from_matrix` gives them). Both matrices map the hand's frame to the base
    frame.

    Raises:
        ValueError: a pose has the wrong shape or holds a number that is not finite.
    """
    step = np.asarray(target_position) - np.asarray(position)
    if step.shape != (3,) or not np.isfinite(step).all():
        raise ValueError(f"want two finite positions of shape (3,), got {position} and {target_position}")
    return np.concatenate([step, rpy_from_matrix(target_rotation @ rotation.T)])
