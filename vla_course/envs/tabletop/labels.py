"""Segmentation labels of pictures, which train the vision tower.

MuJoCo can draw which geom each pixel belongs to, as fast as it draws a picture; a table per geom turns that into kinds,
colours and parts of garments.
"""

from dataclasses import dataclass

import mujoco
import numpy as np
from jaxtyping import Int32, UInt8

from vla_course.envs.table import TABLE_TOP
from vla_course.envs.tabletop.config import COLORS
from vla_course.envs.tabletop.garments import GARMENTS, PARTS, REST
from vla_course.envs.tabletop.scene import NUM_PLACES, TabletopScene
from vla_course.envs.tabletop.shapes import SHAPES
from vla_course.envs.tabletop.start import Start

KIND_LABELS = ("background", "table", "arm", "hand", *SHAPES, *GARMENTS)
COLOR_LABELS = ("none", *COLORS)
PART_LABELS = ("none", *dict.fromkeys(part for parts in PARTS.values() for part in parts), REST)
NO_PLACE = 255
GARMENT_PLACE = NUM_PLACES


@dataclass(frozen=True)
class Labels:
    """Four maps as large as the picture; numbers index the tuples above."""

    kind: UInt8[np.ndarray, "H W"]
    """Index into KIND_LABELS."""
    color: UInt8[np.ndarray, "H W"]
    """Index into COLOR_LABELS; 0 where nothing is that an instruction could name."""
    part: UInt8[np.ndarray, "H W"]
    """Index into PART_LABELS; 0 beside garments."""
    place: UInt8[np.ndarray, "H W"]
    """Which of `start.things` it is, GARMENT_PLACE for the garment, NO_PLACE elsewhere."""


class Labeller:
    """Turns the object ids of `CameraRenderer.segment` into labels, by one table look-up a map."""

    def __init__(self, scene: TabletopScene) -> None:
        self._scene = scene
        model = scene.model
        count = model.ngeom + 1  # the last row is for what is no geom: the sky
        self._kind, self._part = np.zeros(count, np.uint8), np.zeros(count, np.uint8)
        self._place = np.full(count, NO_PLACE, np.uint8)
        self._kind[model.geom(TABLE_TOP).id] = KIND_LABELS.index("table")
        robot = model.body_rootid[model.geom_bodyid] == model.body_rootid[scene.palm]
        hand = np.isin(model.geom_bodyid, list(scene.hand_bodies))
        self._kind[:-1][robot] = KIND_LABELS.index("arm")
        self._kind[:-1][hand] = KIND_LABELS.index("hand")
        for place, looks in enumerate(scene.looks):
            for name, geom in looks.items():
                self._kind[geom], self._place[geom] = KIND_LABELS.index(name), place
        for garment, parts in scene.parts.items():
            for part, geom in parts.items():
                self._kind[geom], self._place[geom] = KIND_LABELS.index(garment), GARMENT_PLACE
                self._part[geom] = PART_LABELS.index(part)

    def labels(self, segmented: Int32[np.ndarray, "H W 2"], start: Start) -> Labels:
        """The labels of a segmented picture of an episode that began like this."""
        geom = np.where(segmented[..., 1] == int(mujoco.mjtObj.mjOBJ_GEOM), segmented[..., 0], -1)
        place = self._place[geom]
        color_of_place = np.zeros(256, np.uint8)
        for k, thing in enumerate(start.things):
            color_of_place[k] = COLOR_LABELS.index(thing.color)
        if start.garment is not None:
            color_of_place[GARMENT_PLACE] = COLOR_LABELS.index(start.garment[0])
        return Labels(kind=self._kind[geom], color=color_of_place[place], part=self._part[geom], place=place)
