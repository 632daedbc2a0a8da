"""How an episode starts: drawn from the configured ranges, or pinned by `reset(options=...)`."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from jaxtyping import Float

from vla_course.envs.arguments import check_known, pinned_value
from vla_course.envs.folding.config import YAW_RANGE_RAD, StartConfig
from vla_course.envs.folding.unseen import ALL_TABLES, AWAY, PATTERNS

GARMENT_COLORS: dict[str, tuple[float, float, float]] = {
    "blue": (0.20, 0.38, 0.68),
    "red": (0.74, 0.22, 0.22),
    "green": (0.24, 0.52, 0.36),
    "mustard": (0.84, 0.64, 0.20),
    "violet": (0.46, 0.34, 0.62),
    "teal": (0.16, 0.54, 0.58),
}


@dataclass(frozen=True)
class Start:
    """The complete starting state of an episode."""

    position: Float[np.ndarray, "2"]
    yaw: float
    size: int
    """Index into `StartConfig.sizes`."""
    color: Float[np.ndarray, "3"]
    table: int
    """Index of the table's material in ALL_TABLES."""
    joint_noise: Float[np.ndarray, "60"]
    camera_jitter: Float[np.ndarray, "C 3"]
    pattern: int
    """Index of the front's print in PATTERNS. Never drawn: 0, its own, unless pinned."""
    distractors: Float[np.ndarray, "3 2"]
    """Where each of DISTRACTORS stands on the table, metres. Never drawn: far away, unless pinned."""


def draw_start(
    rng: np.random.Generator,
    config: StartConfig,
    *,
    garment: str,
    num_tables: int,
    num_cameras: int,
    options: Mapping[str, Any] | None,
) -> Start:
    """Draw a start, then put in what `options` pins, so that pinning one thing leaves the others as they were.

    `options` may hold: position (x, y) in m, yaw in rad, size as an index into the pool, color as a name or three numbers in
    [0, 1], table as an index, joint_noise in rad (a number or 60), camera_jitter in m (a number, or one row a camera), pattern as
    an index, distractors as places (x, y) in m of the can, the cube and the laundry. What is in `unseen.py` comes only so.

    Raises: ValueError for an option that is not known or does not fit.
    """
    yaw_range = YAW_RANGE_RAD[garment] if config.yaw_rad is None else config.yaw_rad
    palette = list(GARMENT_COLORS.values())
    drawn: dict[str, Any] = {
        "position": rng.uniform(-config.position_m, config.position_m, 2),
        "yaw": float(rng.uniform(-yaw_range, yaw_range)),
        "size": int(rng.integers(config.num_sizes)),
        "color": np.array(palette[int(rng.integers(len(palette))) if config.color else 0]),
        "table": int(rng.integers(num_tables)) if config.table else 0,
        "joint_noise": rng.uniform(-config.joint_noise_rad, config.joint_noise_rad, 60),
        "camera_jitter": rng.uniform(-config.camera_jitter_m, config.camera_jitter_m, (num_cameras, 3)),
        "pattern": 0,
        "distractors": AWAY,
    }
    known = [field.name for field in fields(Start)]
    check_known("reset option", options or {}, known)
    for name, value in (options or {}).items():
        drawn[name] = _fitting(name, value, drawn[name], num_sizes=config.num_sizes)
    return Start(**drawn)


def _fitting(name: str, value: Any, like: Any, *, num_sizes: int) -> Any:
    if name == "color" and isinstance(value, str):
        if value not in GARMENT_COLORS:
            raise ValueError(
                f"unknown color {value!r}: choose one of {', '.join(GARMENT_COLORS)}, or give three numbers"
            )
        return np.array(GARMENT_COLORS[value])
    counts = {"size": num_sizes, "table": len(ALL_TABLES), "pattern": len(PATTERNS)}
    return pinned_value(name, value, like, count=counts.get(name))
