"""Orientations: the rotation between two of them, and roll, pitch, yaw.

Every matrix here turns vectors of the hand's frame into the base frame (its columns are the hand's axes).
"""

import math

import numpy as np
from jaxtyping import Float


def rotation_error(
    current: Float[np.ndarray, "3 3"], target: Float[np.ndarray, "3 3"]
) -> Float[np.ndarray, " 3"]:
    """The rotation vector, in the base frame, that turns the current orientation into the target.

    Its direction is the axis of the rotation, its length the angle in radians, from 0 to π. Both matrices map
    the hand's frame to the base frame. Exact for any pair, however little they differ: equal orientations give
    zeros, and half a turn, where the sine vanishes as well, gives a vector of length π (either sign is right there).

    Raises:
        ValueError: a matrix is not 3 x 3 or holds a number that is not finite.

    Source: Lynch & Park, *Modern Robotics*, section 3.2.3.3 (matrix logarithm of rotations).
    """
    turn = np.asarray(target) @ np.asarray(current).T
    if turn.shape != (3, 3) or not math.isfinite(turn.sum()):
        raise ValueError(f"want two finite 3 x 3 rotation matrices, got {current} and {target}")
    (a, b, c), (d, e, f), (g, h, i) = turn.tolist()
    sine_axis: np.ndarray = np.array([h - f, c - g, d - b]) / 2
    sine, cosine = math.sqrt(sine_axis @ sine_axis), (a + e + i - 1) / 2
    angle = math.atan2(sine, cosine)
    if cosine > -0.99:
        return sine_axis * (angle / sine if sine > 1e-9 else 1.0)
    # Near half a turn the sine vanishes and takes the axis with it; the symmetric part still knows the axis.
    outer = (turn + turn.T) / 2 - cosine * np.eye(3)
    axis: np.ndarray = outer[:, np.argmax(np.diag(outer))]
    return axis * (math.copysign(angle, axis @ sine_axis) / math.sqrt(axis @ axis))


def rpy_from_matrix(rotation: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, " 3"]:
    """Roll, pitch, yaw in radians: turns about the fixed x axis, then y, then z.

    Pitch lies in [-π/2, π/2]. At its two ends roll and yaw turn about the same line; roll is 0 there.

    Raises:
        ValueError: the matrix is not 3 x 3 or holds a number that is not finite.
    """
    rotation = np.asarray(rotation, dtype=float)
    if rotation.shape != (3, 3) or not np.isfinite(rotation).all():
        raise ValueError(f"want a finite 3 x 3 rotation matrix, got {rotation}")
    cosine = math.hypot(rotation[0, 0], rotation[1, 0])
    pitch = math.atan2(-rotation[2, 0], cosine)
    if cosine < 1e-9:
        return np.array([0.0, pitch, math.atan2(-rotation[0, 1], rotation[1, 1])])
    roll = math.atan2(rotation[2, 1], rotation[2, 2])
    return np.array([roll, pitch, math.atan2(rotation[1, 0], rotation[0, 0])])


def matrix_from_rpy(rpy: Float[np.ndarray, " 3"]) -> Float[np.ndarray, "3 3"]:
    """The rotation matrix of roll, pitch, yaw in radians: Rz(yaw) Ry(pitch) Rx(roll).

    Raises:
        ValueError: not three finite numbers.
    """
    rpy = np.asarray(rpy, dtype=float)
    if rpy.shape != (3,) or not np.isfinite(rpy).all():
        raise ValueError(f"want three finite angles (roll, pitch, yaw), got {rpy}")
    roll, pitch, yaw = rpy.tolist()
    (cr, sr), (cp, sp), (cy, sy) = [(math.cos(angle), math.sin(angle)) for angle in (roll, pitch, yaw)]
    return np.array(
        [
            [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
            [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
            [-sp, cp * sr, cp * cr],
        ]
    )


def matrix_from_rotation_vector(vector: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """The rotation about this axis by its length in radians (Rodrigues' formula); undoes `rotation_error(np.eye(3), ...)`."""
    angle = float(np.sqrt(vector @ vector))
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = vector / angle
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    rotation: Float[np.ndarray, "3 3"] = (
        np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    )
    return rotation
