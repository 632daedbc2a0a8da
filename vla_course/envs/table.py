"""The scene around the robots: table, floor, sky, lights and fixed cameras.

The table is two geoms: a box to look at, and an invisible plane to collide with, because a box collider makes the whole
simulation 2.5 times slower.
"""

import mujoco
import numpy as np
from jaxtyping import Float, UInt8

from vla_course.robot.collisions import TABLE_COLLISION
from vla_course.robot.primitives import Paint, Point, add_cylinder

TABLE_TOP = "table_top"
"""Name of the visible geom: write the id of one of TABLE_MATERIALS into `model.geom_matid` to dress the table anew."""

TABLE_PLANE = "table_plane"
"""Name of the geom that collides: the infinite plane z = 0."""

TABLE_MATERIALS = ("table_oak", "table_walnut", "table_birch", "table_linen", "table_slate")

CAMERAS = ("front", "top", "side")
CLOSE_CAMERA = "close"
"""Faces the robots and frames the middle of the table closely: for the small images that policies learn from."""

CLOSE_POSITION_M, CLOSE_TARGET_M, CLOSE_FOVY = (0.66, 0.0, 0.60), (0.05, 0.0, 0.01), 43.0

FRICTION = 0.9

_TOP_CENTER_M = (0.06, 0.0)
_TOP_HALF_SIZE_M = (0.46, 0.62, 0.015)
_FLOOR_M = -0.74


def add_table_and_sky(spec: mujoco.MjSpec) -> None:
    """Adds everything but robots and cloth: table, pedestal, floor, sky, lights, and the cameras `front`, `top`, `side`.

    World frame: origin on the table's surface at its centre, x away from the robots, z up. The extent of the scene is set by
    hand, so that near and far clipping and shadows do not change with a garment's size.
    """
    spec.stat.extent = 2.0
    spec.stat.center = (0.0, 0.0, 0.1)
    _add_lights(spec)
    _add_materials(spec)
    world = spec.worldbody
    world.add_geom(
        name=TABLE_PLANE,
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        size=(0.6, 0.6, 0.1),
        group=4,
        rgba=(0, 0, 0, 0),
        contype=int(TABLE_COLLISION.contype),
        conaffinity=int(TABLE_COLLISION.conaffinity),
        condim=3,
        friction=(FRICTION, 0.005, 0.0001),
    )
    x, y = _TOP_CENTER_M
    half_x, half_y, half_z = _TOP_HALF_SIZE_M
    # A hair below the plane, so that what lies on the table never flickers through it.
    _add_box(world, TABLE_TOP, (x, y, -half_z - 5e-4), _TOP_HALF_SIZE_M, material=TABLE_MATERIALS[0])
    for corner_x in (-1, 1):
        for corner_y in (-1, 1):
            foot = (x + corner_x * (half_x - 0.05), y + corner_y * (half_y - 0.05))
            add_cylinder(world, (*foot, _FLOOR_M), (*foot, -2 * half_z), 0.022, paint=Paint.DARK)
    _add_box(world, "pedestal", (-0.62, 0, _FLOOR_M / 2), (0.13, 0.58, -_FLOOR_M / 2), material="pedestal")
    # A flat box, because MuJoCo cuts a textured plane into many tiles, which costs a fifth of a small picture.
    _add_box(world, "floor", (0, 0, _FLOOR_M - 0.01), (4, 4, 0.01), material="floor")
    add_camera(world, "front", (0.80, 0.0, 0.74), (-0.04, 0.0, 0.10), fovy=46.0)
    add_camera(world, "top", (0.02, 0.0, 1.12), (0.02, 0.0, 0.0), fovy=42.0, up=(1, 0, 0))
    add_camera(world, "side", (0.78, -0.96, 0.80), (-0.17, 0.0, 0.18), fovy=43.0)


def add_close_camera(world: mujoco.MjsBody) -> None:
    """Adds the camera `close`, which sees what lies in the middle of the table large and both hands above it."""
    add_camera(world, CLOSE_CAMERA, CLOSE_POSITION_M, CLOSE_TARGET_M, fovy=CLOSE_FOVY)


def table_in_close_picture() -> Float[np.ndarray, "3 3"]:
    """The homography from a place (x, y, 1) on the table, metres, to where the camera `close` shows it.

    Divided by their third number, its first two are −1 at the left and top edge of a square picture and 1 at the others.
    """
    axes = _camera_axes(CLOSE_POSITION_M, CLOSE_TARGET_M, (0, 0, 1))
    toward = axes.T @ np.column_stack([np.eye(3)[:, :2], -np.array(CLOSE_POSITION_M)])  # right, up, backward
    focal = 1 / np.tan(np.radians(CLOSE_FOVY) / 2)
    seen: Float[np.ndarray, "3 3"] = np.array([focal, -focal, -1.0])[:, None] * toward
    return seen


def _add_lights(spec: mujoco.MjSpec) -> None:
    headlight = spec.visual.headlight
    headlight.ambient, headlight.diffuse, headlight.specular = (0.34,) * 3, (0.22,) * 3, (0, 0, 0)
    spec.visual.map.znear = 0.008
    spec.visual.map.zfar = 8.0
    spec.visual.map.shadowclip = 0.7
    spec.worldbody.add_light(
        name="window",
        type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
        pos=(0.5, -0.6, 1.8),
        dir=(-0.28, 0.34, -1.0),
        diffuse=(0.58, 0.56, 0.52),
        specular=(0.25, 0.25, 0.25),
        castshadow=True,
    )
    spec.worldbody.add_light(
        name="fill",
        type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
        pos=(0.6, 0.9, 1.2),
        dir=(-0.5, -0.8, -0.7),
        diffuse=(0.15, 0.17, 0.21),
        specular=(0, 0, 0),
        castshadow=False,
    )


def _add_materials(spec: mujoco.MjSpec) -> None:
    spec.add_texture(
        name="sky",
        type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        rgb1=(0.62, 0.75, 0.88),
        rgb2=(0.93, 0.94, 0.95),
        width=64,
        height=384,
    )
    textures = {
        "table_oak": _wood((0.76, 0.60, 0.42), (0.62, 0.46, 0.30)),
        "table_walnut": _wood((0.46, 0.33, 0.24), (0.33, 0.22, 0.15)),
        "table_birch": _wood((0.88, 0.80, 0.67), (0.79, 0.69, 0.55)),
        "table_linen": _linen((0.82, 0.83, 0.82), (0.70, 0.73, 0.75)),
        "table_slate": _linen((0.36, 0.40, 0.44), (0.31, 0.35, 0.39)),
    }
    for name, image in textures.items():
        add_textured_material(
            spec,
            name,
            image,
            repeat=(1.0, 1.0) if name.startswith(("table_oak", "table_walnut", "table_birch")) else (3, 4),
        )
    add_textured_material(spec, "floor", _tiles((0.74, 0.75, 0.76), (0.68, 0.69, 0.71)), repeat=(8, 8))
    spec.add_material(name="pedestal", rgba=(0.30, 0.33, 0.38, 1), specular=0.1, shininess=0.1)


def add_textured_material(
    spec: mujoco.MjSpec,
    name: str,
    image: UInt8[np.ndarray, "H W 3"],
    *,
    repeat: tuple[float, float],
    shine: float = 1.0,
) -> None:
    """A material of this name, covered with the picture, `repeat` times along each of its two directions."""
    height, width, _ = image.shape
    texture = spec.add_texture(
        name=name, type=mujoco.mjtTexture.mjTEXTURE_2D, height=height, width=width, nchannel=3
    )
    texture.data = image.tobytes()
    textures = [""] * int(mujoco.mjtTextureRole.mjNTEXROLE)
    textures[int(mujoco.mjtTextureRole.mjTEXROLE_RGB)] = name
    spec.add_material(
        name=name, textures=textures, texrepeat=repeat, specular=0.08 * shine, shininess=0.2 * shine
    )


def _wood(light: Point, dark: Point, size: int = 256) -> UInt8[np.ndarray, "H W 3"]:
    """Planks along the image's rows: slow waves of grain, fine fibres, a dark seam between planks."""
    rng = np.random.default_rng(7)
    v, u = np.mgrid[0:size, 0:size] / size
    plank = np.floor(v * 5).astype(int)
    shift, tone = rng.uniform(0, 10, 5)[plank], rng.uniform(-0.16, 0.16, 5)[plank]
    bend = 0.012 * np.sin(2 * np.pi * (u + 0.31 * shift)) + 0.004 * np.sin(2 * np.pi * (3 * u + shift))
    grain = 0.5 + 0.5 * np.sin(
        2 * np.pi * ((v + bend) * 26 + shift) + 2.5 * np.sin(2 * np.pi * 5 * (v + bend))
    )
    fibres = np.repeat(rng.uniform(-1, 1, (size, size // 32)), 32, axis=1)
    mix = np.clip(0.3 + 0.22 * grain + tone + 0.12 * fibres, 0, 1)
    seam = np.abs(v * 5 - np.round(v * 5)) < 0.012
    return _blend(light, dark, np.where(seam, 1.25, mix))


def _linen(light: Point, dark: Point, size: int = 64) -> UInt8[np.ndarray, "H W 3"]:
    """A plain weave: threads of slightly different tone, over and under."""
    rng = np.random.default_rng(11)
    rows, columns = rng.uniform(0, 1, (size, 1)), rng.uniform(0, 1, (1, size))
    over = (np.indices((size, size)).sum(axis=0) % 2).astype(float)
    return _blend(light, dark, 0.35 * rows + 0.35 * columns + 0.3 * over)


def _tiles(light: Point, dark: Point, size: int = 64) -> UInt8[np.ndarray, "H W 3"]:
    mix = np.zeros((size, size))
    mix[:1], mix[:, :1] = 1.0, 1.0
    return _blend(light, dark, mix)


def _blend(light: Point, dark: Point, mix: Float[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W 3"]:
    color = np.array(light) * (1 - mix[..., None]) + np.array(dark) * mix[..., None]
    image: UInt8[np.ndarray, "H W 3"] = (255 * np.clip(color, 0, 1)).astype(np.uint8)
    return image


def _add_box(world: mujoco.MjsBody, name: str, center_m: Point, half_size_m: Point, *, material: str) -> None:
    world.add_geom(
        name=name,
        type=mujoco.mjtGeom.mjGEOM_BOX,
        pos=center_m,
        size=half_size_m,
        material=material,
        contype=0,
        conaffinity=0,
    )


def add_camera(
    world: mujoco.MjsBody,
    name: str,
    position_m: Point,
    target_m: Point,
    *,
    fovy: float,
    up: Point = (0, 0, 1),
) -> None:
    """A camera at `position_m` that looks at `target_m`; `up` is the world direction that points up in its picture."""
    quat = np.zeros(4)
    mujoco.mju_mat2Quat(quat, _camera_axes(position_m, target_m, up).ravel())
    world.add_camera(name=name, pos=position_m, quat=quat, fovy=fovy)


def _camera_axes(position_m: Point, target_m: Point, up: Point) -> Float[np.ndarray, "3 3"]:
    """Columns: which way of the world is right, up and backward for a camera."""
    backward = np.subtract(position_m, target_m)
    backward = backward / np.linalg.norm(backward)
    right = np.cross(up, backward)
    right = right / np.linalg.norm(right)
    return np.column_stack([right, np.cross(backward, right), backward])
