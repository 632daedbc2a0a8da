"""Grip closure, 0 open to 1 closed: one number for the 24 joints of a hand."""

import numpy as np
from jaxtyping import Float

from vla_course.robot.shadow_hand import CLOSED_HAND, HAND_JOINTS, OPEN_HAND

_OPEN = np.array([OPEN_HAND[joint] for joint in HAND_JOINTS])
_TRAVEL = np.array([CLOSED_HAND[joint] for joint in HAND_JOINTS]) - _OPEN


def grip_pose(closure: float) -> Float[np.ndarray, "24"]:
    """Joint angles of a hand that is this far closed: 0 open, 1 closed around cloth. Radians."""
    pose: np.ndarray = _OPEN + float(np.clip(closure, 0.0, 1.0)) * _TRAVEL
    return pose


def grip_closure(hand_position: Float[np.ndarray, "24"]) -> float:
    """Closure of the grip pose nearest to these joint angles (rad), 0 to 1."""
    along = (hand_position - _OPEN) @ _TRAVEL / (_TRAVEL @ _TRAVEL)
    return float(np.clip(along, 0.0, 1.0))
