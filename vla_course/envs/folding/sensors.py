"""Observations of the folding task: the spaces of their keys, and the points of the point cloud."""

import numpy as np
from gymnasium import spaces
from jaxtyping import Float, Int

from vla_course.envs.folding.garments import Garment
from vla_course.envs.observations import MAX_ANGLE_RAD, MAX_DISTANCE_M

HISTORY = 5
MAX_STAGES = 3
MAX_POINTS = 2048


def state_spaces(*, num_keypoints: int, num_points: int) -> dict[str, spaces.Box]:
    """The space of every key of an observation but the images."""
    return {
        "joint_position": spaces.Box(-MAX_ANGLE_RAD, MAX_ANGLE_RAD, (60,), np.float32),
        "joint_target": spaces.Box(-MAX_ANGLE_RAD, MAX_ANGLE_RAD, (60,), np.float32),
        "hand_position": spaces.Box(-MAX_DISTANCE_M, MAX_DISTANCE_M, (2, 3), np.float32),
        "end_effector": spaces.Box(-MAX_DISTANCE_M, MAX_DISTANCE_M, (16,), np.float32),
        "held": spaces.Box(0, 1, (2,), np.float32),
        "keypoints": spaces.Box(-MAX_DISTANCE_M, MAX_DISTANCE_M, (num_keypoints, 3), np.float32),
        "garment_point_cloud": spaces.Box(-MAX_DISTANCE_M, MAX_DISTANCE_M, (num_points, 3), np.float32),
        "stage": spaces.Box(0, 1, (MAX_STAGES,), np.float32),
        "time_left": spaces.Box(0, 1, (1,), np.float32),
        "previous_actions": spaces.Box(-1, 1, (HISTORY, 61), np.float32),
    }


def surface_points(garment: Garment, count: int) -> tuple[Int[np.ndarray, "P 3"], Float[np.ndarray, "P 3"]]:
    """Points spread evenly at random over the cloth: the three vertices around each, and their weights.

    Always the same ones for a garment, so that a point of the cloud is the same bit of cloth in every observation.
    """
    rng = np.random.default_rng(0)
    corners = garment.vertices[garment.triangles]
    u, v = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = np.abs(u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0])
    triangle = rng.choice(len(area), size=count, p=area / area.sum())
    root, along = np.sqrt(rng.random(count)), rng.random(count)
    weights = np.column_stack([1 - root, root * (1 - along), root * along])
    return garment.triangles[triangle], weights
