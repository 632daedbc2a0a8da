"""The shapes of things: mesh, colliders, and what can be done with each.

A thing is seen as a smooth mesh and felt as a few primitives, because contacts between primitives are cheap. Its own frame
has z up and the origin where the thing weighs: `rest_m` above the table when it stands there.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import mujoco
import numpy as np
from jaxtyping import Float, Int

from vla_course.robot.primitives import Point

BOX, CYLINDER, SPHERE = (
    mujoco.mjtGeom.mjGEOM_BOX,
    mujoco.mjtGeom.mjGEOM_CYLINDER,
    mujoco.mjtGeom.mjGEOM_SPHERE,
)

_CIRCLE = 16  # corners of a round thing: enough for a smooth shade, few enough for a fast picture


@dataclass(frozen=True)
class Mesh:
    """Triangles to look at, in the thing's frame, metres."""

    vertices: Float[np.ndarray, "V 3"]
    faces: Int[np.ndarray, "F 3"]


@dataclass(frozen=True)
class Collider:
    """One invisible primitive that contacts act on: MuJoCo's shape and half sizes, its place and its turn about z."""

    shape: mujoco.mjtGeom
    size_m: tuple[float, ...]
    position_m: Point = (0.0, 0.0, 0.0)
    yaw_rad: float = 0.0


@dataclass(frozen=True)
class Shape:
    """A kind of thing."""

    name: str
    mesh: Mesh
    colliders: tuple[Collider, ...]
    rest_m: float
    """Height of the origin above the table, standing."""
    height_m: float
    """From the table to the top, standing."""
    radius_m: float
    """Of the circle around it, seen from above."""
    graspable: bool = True
    holds: str | None = None
    """Preposition for putting something there: "in" a bowl, "on" a plate."""
    floor_m: float = 0.0
    """Height above the table of what is put there."""


def loft(rings: Float[np.ndarray, "R C 3"], *, cap: bool = False) -> Mesh:
    """A skin over closed rings of points, each joined to the next; rings go up and counterclockwise, seen from above.

    `cap` closes the last ring. Neighbouring faces share vertices, so that light runs smoothly over them.
    """
    count, around, _ = rings.shape
    number = np.arange(count * around).reshape(count, around)
    a, b = number[:-1], np.roll(number[:-1], -1, axis=1)
    c, d = np.roll(number[1:], -1, axis=1), number[1:]
    faces = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
    vertices = rings.reshape(-1, 3)
    if cap:
        lid = rings[-1]
        corner = np.arange(around)
        fan = np.stack([corner, np.roll(corner, -1), np.full(around, around)], -1) + len(vertices)
        faces = np.concatenate([faces, fan])
        vertices = np.concatenate([vertices, lid, lid.mean(axis=0, keepdims=True)])
    return Mesh(vertices, faces)


def join(*meshes: Mesh) -> Mesh:
    """Several meshes as one. Where they meet there is an edge, because they share no vertices."""
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes[:-1])])
    return Mesh(
        np.concatenate([mesh.vertices for mesh in meshes]),
        np.concatenate([mesh.faces + start for mesh, start in zip(meshes, starts, strict=True)]),
    )


def lathe(profile: Sequence[tuple[float, float]], *, cap: bool = False, around: int = _CIRCLE) -> Mesh:
    """A round thing from its profile, (radius, height) pairs in metres from below to above along its outside."""
    angle = 2 * np.pi * np.arange(around) / around
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    rings = [np.column_stack([radius * circle, np.full(around, height)]) for radius, height in profile]
    return loft(np.stack(rings), cap=cap)


def prism(
    outline: Float[np.ndarray, "C 2"], half_height_m: float, *, bevel: float = 0.12, bevel_m: float = 0.006
) -> Mesh:
    """An upright block over an outline, its upper rim bevelled: smaller by the share `bevel`, lower by `bevel_m`."""
    ring = [
        np.column_stack([scale * outline, np.full(len(outline), height)])
        for scale, height in (
            (1.0, -half_height_m),
            (1.0, half_height_m - bevel_m),
            (1.0 - bevel, half_height_m),
        )
    ]
    return join(loft(np.stack(ring[:2])), loft(np.stack(ring[1:]), cap=True))


def rectangle(half_x_m: float, half_y_m: float, corner_m: float = 0.006) -> Float[np.ndarray, "C 2"]:
    """A rectangle with rounded corners, counterclockwise."""
    angle = np.pi / 2 * np.array([0.0, 0.5, 1.0])
    arc = corner_m * np.column_stack([np.cos(angle), np.sin(angle)])
    corners = []
    for quarter, (x, y) in enumerate(((1, 1), (-1, 1), (-1, -1), (1, -1))):
        cosine, sine = round(np.cos(quarter * np.pi / 2)), round(np.sin(quarter * np.pi / 2))
        turn = np.array([[cosine, -sine], [sine, cosine]])
        corners.append(arc @ turn.T + [x * (half_x_m - corner_m), y * (half_y_m - corner_m)])
    return np.concatenate(corners)


def star_outline(outer_m: float, *, inner_share: float = 0.55, points: int = 5) -> Float[np.ndarray, "C 2"]:
    """The outline of a star with one point towards +x, counterclockwise."""
    angle = np.pi * np.arange(2 * points) / points
    reach = outer_m * np.where(np.arange(2 * points) % 2 == 0, 1.0, inner_share)
    return np.column_stack([np.cos(angle), np.sin(angle)]) * reach[:, None]


def _arc(radius_m: float, *degrees: float) -> list[tuple[float, float]]:
    return [
        (max(1e-5, radius_m * float(np.cos(np.radians(a)))), radius_m * float(np.sin(np.radians(a))))
        for a in degrees
    ]


def _bowl() -> Shape:
    rest, outside = 0.018, [(0.045, 0.0), (0.062, 0.012), (0.076, 0.032), (0.083, 0.055)]
    inside = [(0.077, 0.054), (0.069, 0.031), (0.055, 0.013), (0.030, 0.008), (0.0001, 0.007)]
    walls = tuple(
        Collider(
            BOX,
            (0.005, 0.032, 0.022),
            (0.070 * float(np.cos(angle)), 0.070 * float(np.sin(angle)), 0.028 - rest),
            float(angle),
        )
        for angle in 2 * np.pi * np.arange(8) / 8
    )
    mesh = join(
        *(lathe([(r, z - rest) for r, z in part]) for part in (outside, [outside[-1], inside[0]], inside))
    )
    floor = Collider(CYLINDER, (0.062, 0.004), (0, 0, 0.004 - rest))
    return Shape("bowl", mesh, (floor, *walls), rest, 0.055, 0.083, False, "in", 0.008)


def _plate() -> Shape:
    rest, outside = 0.008, [(0.056, 0.0), (0.094, 0.017)]
    parts = (
        outside,
        [outside[-1], (0.091, 0.019)],
        [(0.091, 0.019), (0.063, 0.009)],
        [(0.063, 0.009), (0.0001, 0.009)],
    )
    mesh = join(*(lathe([(r, z - rest) for r, z in part], around=20) for part in parts))
    disc = Collider(CYLINDER, (0.086, 0.0055), (0, 0, 0.0055 - rest))
    return Shape("plate", mesh, (disc,), rest, 0.019, 0.094, False, "on", 0.011)


def _shapes() -> tuple[Shape, ...]:
    cube = Shape(
        "cube", prism(rectangle(0.032, 0.032), 0.032), (Collider(BOX, (0.032,) * 3),), 0.032, 0.064, 0.045
    )
    brick = Shape(
        "brick",
        prism(rectangle(0.055, 0.027), 0.024),
        (Collider(BOX, (0.055, 0.027, 0.024)),),
        0.024,
        0.048,
        0.061,
    )
    can = Shape(
        "can",
        join(
            lathe([(0.031, -0.043), (0.031, 0.038)]),
            lathe([(0.031, 0.038), (0.027, 0.043)]),
            lathe([(0.027, 0.043), (0.025, 0.040)], cap=True),
        ),
        (Collider(CYLINDER, (0.031, 0.043)),),
        0.043,
        0.086,
        0.031,
    )
    ball = Shape(
        "ball",
        lathe(_arc(0.036, -80, -60, -40, -20, 0, 20, 40, 60, 78), cap=True),
        (Collider(SPHERE, (0.036,)),),
        0.036,
        0.072,
        0.036,
    )
    cone = Shape(
        "cone",
        join(lathe([(0.046, -0.035), (0.046, -0.029)]), lathe([(0.046, -0.029), (0.004, 0.056)], cap=True)),
        (
            Collider(CYLINDER, (0.041, 0.012), (0, 0, -0.023)),
            Collider(CYLINDER, (0.026, 0.030), (0, 0, 0.019 - 0.024)),
            Collider(CYLINDER, (0.012, 0.030), (0, 0, 0.024)),
        ),
        0.035,
        0.091,
        0.046,
    )
    star = Shape(
        "star",
        prism(star_outline(0.056), 0.024, bevel=0.08, bevel_m=0.004),
        (Collider(CYLINDER, (0.043, 0.024)),),
        0.024,
        0.048,
        0.056,
    )
    return (cube, brick, can, ball, cone, star, _bowl(), _plate())


SHAPES: dict[str, Shape] = {shape.name: shape for shape in _shapes()}
