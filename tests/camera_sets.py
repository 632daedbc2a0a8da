"""Sets of demonstrations with three cameras: a scene's and both wrists'."""

from pathlib import Path

import numpy as np

from vla_course.data.episodes import Episode
from vla_course.data.lerobot_writer import LeRobotWriter

CAMERAS = ("close", "left_wrist", "right_wrist")
LENGTHS = (4, 6, 3)


def episode(number: int, states: int = 16) -> Episode:
    """Random pictures of three cameras, random hands."""
    random = np.random.default_rng(number)
    length = LENGTHS[number % len(LENGTHS)]
    pictures = random.integers(0, 256, (3, length, 28, 28, 3), np.uint8)
    return Episode(
        images=pictures[0],
        states=random.uniform(-1, 1, (length, states)).astype(np.float32),
        actions=random.uniform(-1, 1, (length, 14)).astype(np.float32),
        instruction="fold the towel",
        success=True,
        seed=number,
        further_images=dict(zip(CAMERAS[1:], pictures[1:], strict=True)),
    )


def recorded(root: Path, count: int = 3, **options) -> Path:
    with LeRobotWriter(root, fps=5, camera=CAMERAS, robot_type="FoldTowel-v0") as writer:
        for number in range(count):
            writer.add(episode(number, **options))
        writer.finalize()
    return root
