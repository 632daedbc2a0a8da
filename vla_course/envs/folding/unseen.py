"""Held-out appearances for tests of robustness: another table, other prints, things that lie beside the garment.

They are part of every scene, and out of sight: `reset` never draws them, only `reset(options=...)` brings them in.
"""

import mujoco
import numpy as np
from jaxtyping import Float, UInt8

from vla_course.envs.folding.cloth_skin import FRONT
from vla_course.envs.table import TABLE_MATERIALS, add_textured_material
from vla_course.robot.primitives import Point

UNSEEN_TABLES = ("table_chequered",)
ALL_TABLES = (*TABLE_MATERIALS, *UNSEEN_TABLES)
"""In the order of the reset option `table`: those that are drawn, then those that are not."""

PATTERNS = (FRONT, "front_striped", "front_chequered")
"""Materials of the garment's front, in the order of the reset option `pattern`: its own print, and two over it."""

DISTRACTORS = ("can", "cube", "laundry")
"""Things to look at, which nothing touches, in the order of the rows of the reset option `distractors`."""

AWAY: Float[np.ndarray, "3 2"] = np.full((len(DISTRACTORS), 2), -30.0)
"""Where they are when nobody asks for them: far behind the robots, metres."""

_RED, _YELLOW = (0.75, 0.16, 0.14, 1.0), (0.93, 0.76, 0.16, 1.0)
_LAUNDRY = ((0.52, 0.44, 0.66, 1.0), (0.86, 0.84, 0.80, 1.0), (0.36, 0.58, 0.60, 1.0))


def add_unseen(spec: mujoco.MjSpec) -> None:
    """Adds held-out table, prints and distractors to a scene that has a table and a garment's skin."""
    for name in UNSEEN_TABLES:
        add_textured_material(spec, name, _checks((0.90, 0.88, 0.84), (0.34, 0.44, 0.52)), repeat=(2, 3))
    front = spec.texture(FRONT)
    plain = np.frombuffer(front.data, np.uint8).reshape(front.height, front.width, 3)
    for name, pattern in zip(PATTERNS[1:], (_stripes(len(plain)), _squares(len(plain))), strict=True):
        add_textured_material(spec, name, (plain * pattern).astype(np.uint8), repeat=(1, 1), shine=0.0)
    for name in DISTRACTORS:
        body = spec.worldbody.add_body(name=name, pos=(*AWAY[0], 0.0))
        for shape, half_size_m, height_m, color in _PARTS[name]:
            body.add_geom(
                type=shape, pos=(0, 0, height_m), size=half_size_m, rgba=color, contype=0, conaffinity=0
            )


def show_unseen(model: mujoco.MjModel, *, pattern: int, distractors: Float[np.ndarray, "3 2"]) -> None:
    """Dress the garment in one of PATTERNS and put each of DISTRACTORS at its place on the table."""
    model.skin(FRONT).matid = model.material(PATTERNS[pattern]).id
    for name, place in zip(DISTRACTORS, distractors, strict=True):
        model.body(name).pos[:2] = place


_CYLINDER, _BOX = mujoco.mjtGeom.mjGEOM_CYLINDER, mujoco.mjtGeom.mjGEOM_BOX
_Part = tuple[mujoco.mjtGeom, Point, float, tuple[float, float, float, float]]
_PARTS: dict[str, list[_Part]] = {
    "can": [(_CYLINDER, (0.033, 0.058, 0), 0.058, _RED)],
    "cube": [(_BOX, (0.03, 0.03, 0.03), 0.03, _YELLOW)],
    "laundry": [
        (_BOX, (0.075 - 0.006 * k, 0.065 - 0.004 * k, 0.009), 0.009 + 0.018 * k, color)
        for k, color in enumerate(_LAUNDRY)
    ],
}


def _stripes(size: int) -> Float[np.ndarray, "R C 3"]:
    """Thin stripes, a little darker than the cloth: what a picture of 84 pixels just shows."""
    stripe = np.arange(size) // (size // 16) % 2
    return np.repeat(np.repeat(np.where(stripe, 0.72, 1.0)[:, None, None], size, axis=1), 3, axis=2)


def _squares(size: int) -> Float[np.ndarray, "R C 3"]:
    """Large squares of two tints, hardly the cloth's own colour."""
    rows, columns = np.indices((size, size)) // (size // 6) % 2
    dark = np.where(rows ^ columns, 0.25, 1.0)
    tinted: Float[np.ndarray, "R C 3"] = dark[..., None] * np.array([1.0, 0.8, 0.55])
    return tinted


def _checks(light: Point, dark: Point, size: int = 64) -> UInt8[np.ndarray, "R C 3"]:
    rows, columns = np.indices((size, size)) // (size // 2)
    picture: UInt8[np.ndarray, "R C 3"] = (
        255 * np.where((rows ^ columns)[..., None], np.array(dark), np.array(light))
    ).astype(np.uint8)
    return picture
