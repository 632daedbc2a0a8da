"""Garments as flat prints without physics: touching a sleeve needs none.

The outlines and prints are those of the folding task. A garment is cut into its named parts, one mesh each, which look like
one piece and of which a picture's segmentation says the name. Left and right, near and far are the robot's: +y, -y, -x, +x.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from vla_course.envs.folding.cloth_skin import loop_subdivision, outline, sharp_corners
from vla_course.envs.folding.garments import make_garment
from vla_course.envs.folding.prints import garment_print

GARMENTS = ("towel", "t-shirt", "trousers")
REST = "rest"
"""What is left of a garment once its named parts are cut off. No task speaks of it."""

_FOLDING_NAME = {"towel": "towel", "t-shirt": "tshirt", "trousers": "trousers"}
# Smaller than in the folding task, so that a whole garment is in the close camera's picture.
_SCALE = {"towel": 0.95, "t-shirt": 0.80, "trousers": 0.75}

_Inside = Callable[[Float[np.ndarray, "F 2"]], Bool[np.ndarray, " F"]]


@dataclass(frozen=True)
class FlatGarment:
    """A garment cut into parts, in its own frame: at yaw 0 as the robot finds it, origin in its middle, metres."""

    name: str
    vertices: Float[np.ndarray, "V 2"]
    parts: dict[str, Int[np.ndarray, "F 3"]]
    """Triangles of every part, REST last."""
    texcoord: Float[np.ndarray, "V 2"]
    print: UInt8[np.ndarray, "R R 3"]
    anchors: dict[str, Float[np.ndarray, "2"]]
    """For every named part the place to touch it."""

    def part_at(self, point: Float[np.ndarray, "2"]) -> str | None:
        """The part under a point of the garment's frame, or None beside the garment."""
        for name, triangles in self.parts.items():
            a, b, c = self.vertices[triangles].swapaxes(0, 1)
            sides = np.stack([_cross(b - a, point - a), _cross(c - b, point - b), _cross(a - c, point - c)])
            if (sides >= 0).all(axis=0).any() or (sides <= 0).all(axis=0).any():
                return name
        return None

    @property
    def radius_m(self) -> float:
        """Of the circle around the garment's middle that holds it."""
        return float(np.linalg.norm(self.vertices, axis=1).max())


@cache
def flat_garment(name: str) -> FlatGarment:
    """One of GARMENTS, cut into parts."""
    garment = make_garment(_FOLDING_NAME[name]).scaled(_SCALE[name])
    coarse = garment.vertices
    step, triangles = loop_subdivision(
        len(coarse), garment.triangles, sharp_corners(coarse, garment.triangles)
    )
    own = step @ coarse
    low, high = coarse.min(axis=0), coarse.max(axis=0)
    turn = np.array(
        [
            [np.cos(garment.yaw_rad), -np.sin(garment.yaw_rad)],
            [np.sin(garment.yaw_rad), np.cos(garment.yaw_rad)],
        ]
    )
    vertices = own @ turn.T
    keypoints = {key: coarse[vertex] @ turn.T for key, vertex in garment.keypoints.items()}
    if _mean_turn(vertices, triangles) < 0:
        triangles = triangles[:, ::-1]
    centres = vertices[triangles].mean(axis=1)
    left = np.ones(len(triangles), bool)
    parts, anchors = {}, {}
    for part, inside in _part_rules(name, vertices, keypoints).items():
        chosen = inside(centres) & left
        left &= ~chosen
        parts[part] = triangles[chosen]
        middle = centres[chosen].mean(axis=0)
        anchors[part] = centres[chosen][np.linalg.norm(centres[chosen] - middle, axis=1).argmin()]
    parts[REST] = triangles[left]
    return FlatGarment(
        name=name,
        vertices=vertices,
        parts=parts,
        texcoord=(own - low) / (high - low),
        print=garment_print(_FOLDING_NAME[name], coarse, outline(garment.triangles)),
        anchors=anchors,
    )


def _part_rules(
    name: str, vertices: Float[np.ndarray, "V 2"], keypoints: dict[str, Float[np.ndarray, "2"]]
) -> dict[str, _Inside]:
    """Which triangles belong to a part, by their middles. An earlier part goes first."""
    (x_low, y_low), (x_high, y_high) = vertices.min(axis=0), vertices.max(axis=0)

    def around(center: Float[np.ndarray, "2"], radius_m: float) -> _Inside:
        return lambda points: np.linalg.norm(points - center, axis=1) < radius_m

    if name == "towel":
        corners = {
            f"{depth} {side} corner": around(np.array([x, y]), 0.085)
            for depth, x in (("far", x_high), ("near", x_low))
            for side, y in (("left", y_high), ("right", y_low))
        }
        return {**corners, "middle": around(np.zeros(2), 0.06)}
    if name == "t-shirt":
        shoulder = abs(float(keypoints["left_shoulder"][1])) - 0.002
        return {
            "left sleeve": lambda points: points[:, 1] > shoulder,
            "right sleeve": lambda points: points[:, 1] < -shoulder,
            "collar": around(keypoints["collar"] + [0.01, 0.0], 0.065),
            "left hem corner": around(keypoints["left_hem"], 0.075),
            "right hem corner": around(keypoints["right_hem"], 0.075),
        }
    inner = float(keypoints["crotch"][0])
    return {
        "waistband": lambda points: points[:, 1] > y_high - 0.055,
        "near hem": lambda points: (points[:, 1] < y_low + 0.07) & (points[:, 0] < inner),
        "far hem": lambda points: (points[:, 1] < y_low + 0.07) & (points[:, 0] > inner),
        "crotch": around(keypoints["crotch"] + [0.0, 0.01], 0.055),
    }


PARTS: dict[str, tuple[str, ...]] = {
    "towel": ("far left corner", "far right corner", "near left corner", "near right corner", "middle"),
    "t-shirt": ("left sleeve", "right sleeve", "collar", "left hem corner", "right hem corner"),
    "trousers": ("waistband", "near hem", "far hem", "crotch"),
}
"""The named parts of every garment."""


def _cross(u: Float[np.ndarray, "F 2"], v: Float[np.ndarray, "F 2"]) -> Float[np.ndarray, " F"]:
    cross: Float[np.ndarray, " F"] = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
    return cross


def _mean_turn(vertices: Float[np.ndarray, "V 2"], triangles: Int[np.ndarray, "F 3"]) -> float:
    a, b, c = vertices[triangles].swapaxes(0, 1)
    return float(_cross(b - a, c - a).mean())
