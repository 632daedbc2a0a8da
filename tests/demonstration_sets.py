"""A small data set and a tiny model that can learn from it, on disk."""

from pathlib import Path

import numpy as np
from openvla_reference import nano

from vla_course.data.episodes import Episode
from vla_course.data.lerobot_writer import LeRobotWriter

WORDS = ("fold it", "fold the towel")


def write_set(root: Path, episodes: int = 4, frames: int = 6, actions: int = 3, states: int = 7) -> Path:
    """Random pictures; the action follows from the state."""
    random = np.random.default_rng(0)
    with LeRobotWriter(root, fps=5, camera="close", robot_type="test") as writer:
        for seed in range(episodes):
            places = random.uniform(-1, 1, (frames, states)).astype(np.float32)
            images = random.integers(0, 256, (frames, 32, 32, 3), np.uint8)
            moves = places[:, :actions] * 0.8
            writer.add(Episode(images, places, moves, WORDS[seed % len(WORDS)], True, seed))
        writer.finalize()
    return root


def write_model(folder: Path) -> Path:
    """The tiny model in the published format."""
    nano().save_pretrained(folder)
    return folder
