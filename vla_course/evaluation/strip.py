"""The strip: one row of pictures per policy, always the same garment, start and camera, from zero-shot to PPO.

Rows that the learner made lie in the learner's data folder; rows recorded by us lie under `data/strip/`. A row of the
learner's takes the place of the recorded row of the same policy.
"""

import io
import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from vla_course import assets, plots, progress
from vla_course.envs.folding.env import FoldingEnv
from vla_course.files import replacing, write_text
from vla_course.picture import Picture
from vla_course.video import film_strip

# The one start of every row: the middle of the table, straight, the middle size, the same colours.
GARMENT, CAMERA, SEED, FRAMES = "tshirt", "front", 3, 8
START: dict[str, Any] = {
    "position": (0.0, 0.0),
    "yaw": 0.0,
    "size": 1,
    "color": "blue",
    "table": 0,
    "joint_noise": np.zeros(60),
    "camera_jitter": 0.0,
}
FRAME_SIZE = (120, 160)


@dataclass(frozen=True)
class Row:
    """The outcome of one policy from the strip's start."""

    policy: str
    day: str
    success: bool
    fold_error_m: float
    steps: int
    order: int = 0
    """Position in the strip: the number of its day, later days below."""

    @property
    def file(self) -> str:
        """Stem of the row's file names."""
        return re.sub(r"[^a-z0-9]+", "-", self.policy.lower()).strip("-")


def run(
    policy: str,
    day: str,
    act: Callable[[dict[str, Any]], np.ndarray],
    env: gymnasium.Env[dict[str, Any], np.ndarray],
    folder: Path | None = None,
) -> Row:
    """Play one episode from the strip's start and keep its row, in the learner's data folder unless `folder` is given.

    `act` maps an observation to an action. `env` is made by `make_env`, and wrapped where the policy's actions are not the
    environment's 61 numbers.
    """
    world = env.unwrapped
    assert isinstance(world, FoldingEnv)
    observation, info = env.reset(seed=SEED, options=START)
    moments = np.linspace(0, world.time_limit_steps, FRAMES).astype(int)
    frames, ended = [world.picture(CAMERA, FRAME_SIZE, pretty=True)], False
    while not ended:
        observation, _, terminated, truncated, info = env.step(act(observation))
        ended = terminated or truncated
        while len(frames) < FRAMES - 1 and world.elapsed_steps >= moments[len(frames)]:
            frames.append(world.picture(CAMERA, FRAME_SIZE, pretty=True))
    frames += [world.picture(CAMERA, FRAME_SIZE, pretty=True)] * (FRAMES - len(frames))
    steps, error_m = world.elapsed_steps, float(info["fold_error_m"])
    row = Row(policy, day, bool(info["is_success"]), error_m, steps, int(day[3:5]))
    keep(row, np.stack(frames), folder or progress.home() / "strip")
    return row


def make_env(**options: Any) -> FoldingEnv:
    """The environment of the strip's garment."""
    return FoldingEnv(GARMENT, **options)


def keep(row: Row, frames: UInt8[np.ndarray, "T H W 3"], folder: Path) -> None:
    """Write one row: its frames as one JPEG, its outcome as JSON."""
    joined = Image.fromarray(film_strip(frames, len(frames)))
    with replacing(folder / f"{row.file}.jpg") as partial:
        joined.save(partial, quality=80, optimize=True)
    write_text(folder / f"{row.file}.json", json.dumps(asdict(row), indent=1))


def rows() -> list[tuple[Row, bytes, bool]]:
    """Every row in the order of the course, its JPEG, and whether the learner made it."""
    recorded = [name for name in assets.manifest() if re.fullmatch(r"data/strip/[^/]+\.json", name)]
    files = [(assets.find(name), assets.find(name.removesuffix("json") + "jpg"), False) for name in recorded]
    files += [
        (path, path.with_suffix(".jpg"), True) for path in sorted((progress.home() / "strip").glob("*.json"))
    ]
    found: dict[str, tuple[Row, bytes, bool]] = {}
    for path, pictures, own in files:
        row = Row(**json.loads(path.read_text(encoding="utf-8")))
        found[row.policy] = row, pictures.read_bytes(), own
    return sorted(found.values(), key=lambda entry: (entry[0].order, entry[0].policy))


def show() -> Picture:
    """The whole strip as one picture with a line of text over each row."""
    entries = rows()
    if not entries:
        raise ValueError("the strip is empty: run a policy with strip.run first")
    drawing, axes = plots.figure(len(entries), 1, width=9.6, height=1.13 * len(entries) + 0.1)
    words = []
    for panel, (row, jpeg, own) in zip(axes, entries, strict=True):
        when = f"day {row.order:02d}" if row.order else "before day 01"
        verdict = "folded" if row.success else "not folded"
        title = (
            f"{row.policy} ({when}{', recorded' if not own else ''}): {verdict}, "
            f"error {1000 * row.fold_error_m:.0f} mm after {row.steps / 20:.0f} s"
        )
        panel.imshow(np.asarray(Image.open(io.BytesIO(jpeg))), aspect="auto")
        panel.set_title(title, loc="left", fontsize=9)
        panel.axis("off")
        words.append(title)
    return plots.picture(drawing, "The strip, one row of pictures per policy. " + "; ".join(words))
