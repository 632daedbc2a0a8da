"""The appearance of cloth: a smooth, printed skin over the coarse sheet that is simulated.

The simulated sheet has about 170 vertices, 32 mm apart. The skin has a few thousand: each of its vertices is a fixed weighted
mean of simulated ones (Loop subdivision), so MuJoCo moves it along without any physics. Two skins share the vertices, the
front with a print, the back plain and darker; each is seen from its own side only. The simulated flex itself is hidden, by
group.
"""

from collections.abc import Sequence

import mujoco
import numpy as np
from jaxtyping import Float, Int, UInt8

from vla_course.envs.folding.prints import garment_print, star

FRONT, BACK, EMBLEM = "cloth_front", "cloth_back", "cloth_emblem"
"""Names of the skins. Colour: `model.skin(FRONT).rgba`, best written through `paint_cloth`."""

_THICKNESS_M = 0.0015


def loop_subdivision(
    num_vertices: int, triangles: Int[np.ndarray, "F 3"], corners: Sequence[int] = ()
) -> tuple[Float[np.ndarray, "M V"], Int[np.ndarray, "G 3"]]:
    """One round of Loop subdivision: weights of the new vertices over the old ones, and the four times finer triangles.

    `weights @ positions` are the new positions. Inside, the surface becomes smooth; the outline becomes a smooth curve of
    its own; `corners` (vertices of the outline) stay where they are.

    Source: C. Loop, "Smooth subdivision surfaces based on triangles" (1987); boundary and corner rules of Hoppe et al.,
    "Piecewise smooth surface reconstruction" (1994), section 4.
    """
    edges, opposite = _edges(triangles)
    boundary = {edge for edge, far in opposite.items() if len(far) == 1}
    number = {edge: num_vertices + k for k, edge in enumerate(edges)}
    weights = np.zeros((num_vertices + len(edges), num_vertices))

    neighbours: list[list[int]] = [[] for _ in range(num_vertices)]
    rim: list[list[int]] = [[] for _ in range(num_vertices)]
    for a, b in edges:
        neighbours[a].append(b)
        neighbours[b].append(a)
        if (a, b) in boundary:
            rim[a].append(b)
            rim[b].append(a)
    for vertex in range(num_vertices):
        if rim[vertex]:
            smooth = len(rim[vertex]) == 2 and vertex not in corners
            weights[vertex, vertex] = 0.75 if smooth else 1.0
            weights[vertex, rim[vertex]] = 0.125 if smooth else 0.0
        else:
            count = len(neighbours[vertex])
            beta = (0.625 - (0.375 + 0.25 * np.cos(2 * np.pi / count)) ** 2) / count
            weights[vertex, vertex] = 1 - count * beta
            weights[vertex, neighbours[vertex]] = beta
    for edge in edges:
        row = weights[number[edge]]
        row[list(edge)] = 0.5 if edge in boundary else 0.375
        if edge not in boundary:
            row[opposite[edge]] = 0.125

    finer = []
    for a, b, c in triangles.tolist():
        ab, bc, ca = (number[_edge(*pair)] for pair in ((a, b), (b, c), (c, a)))
        finer += [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
    return weights, np.array(finer)


def outline(triangles: Int[np.ndarray, "F 3"]) -> list[tuple[int, int]]:
    """The edges that belong to one triangle only."""
    return [edge for edge, far in _edges(triangles)[1].items() if len(far) == 1]


def sharp_corners(
    vertices: Float[np.ndarray, "V 2"], triangles: Int[np.ndarray, "F 3"], bend_deg: float = 50.0
) -> list[int]:
    """Vertices where the outline bends by more than `bend_deg`."""
    rim: dict[int, list[int]] = {}
    for a, b in outline(triangles):
        rim.setdefault(a, []).append(b)
        rim.setdefault(b, []).append(a)
    corners = []
    for vertex, ends in rim.items():
        if len(ends) != 2:
            continue
        first, second = (vertices[end] - vertices[vertex] for end in ends)
        cosine = first @ second / (np.linalg.norm(first) * np.linalg.norm(second))
        if np.degrees(np.pi - np.arccos(np.clip(cosine, -1, 1))) > bend_deg:
            corners.append(vertex)
    return corners


def _edge(a: int, b: int) -> tuple[int, int]:
    return (a, b) if a < b else (b, a)


def _edges(
    triangles: Int[np.ndarray, "F 3"],
) -> tuple[list[tuple[int, int]], dict[tuple[int, int], list[int]]]:
    """All edges, and for each the vertices opposite to it: one on the outline, two inside."""
    opposite: dict[tuple[int, int], list[int]] = {}
    for a, b, c in triangles.tolist():
        for p, q, far in ((a, b, c), (b, c, a), (c, a, b)):
            opposite.setdefault(_edge(p, q), []).append(far)
    return list(opposite), opposite


def add_cloth_skin(
    spec: mujoco.MjSpec,
    vertex_bodies: Sequence[str],
    vertices: Float[np.ndarray, "V 2"],
    triangles: Int[np.ndarray, "F 3"],
    *,
    height_m: float,
    garment: str,
    levels: int = 1,
) -> None:
    """Dresses a flex in three skins that follow its vertices: front with print, plain back, and an emblem on a T-shirt.

    `vertex_bodies` are the bodies of the flex's vertices, which must not rotate (MuJoCo's flexcomp gives each vertex three
    slides), `vertices` where they lie in the world at qpos 0, at `height_m`. `levels` rounds of subdivision make every
    triangle four times finer each. Hide the flex itself by giving it a group that is not drawn: `spec.flexes[0].group = 4`.

    Raises: ValueError if there is not one body for each vertex.
    """
    if len(vertex_bodies) != len(vertices):
        raise ValueError(f"{len(vertices)} vertices need as many bodies, not {len(vertex_bodies)}")
    weights, faces = np.eye(len(vertices)), triangles
    corners = sharp_corners(vertices, triangles)
    for _ in range(levels):
        step, faces = loop_subdivision(len(weights), faces, corners)
        weights = step @ weights
    bind = np.column_stack([vertices, np.full(len(vertices), height_m)])
    flat = weights @ vertices
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    texcoord = (flat - low) / (high - low)
    _add_print_material(spec, garment_print(garment, vertices, outline(triangles)))
    _add_skin(spec, FRONT, vertex_bodies, bind, weights, faces, texcoord=texcoord)
    _add_skin(spec, BACK, vertex_bodies, bind, weights, faces[:, ::-1])
    if garment == "tshirt":
        height = high[1] - low[1]
        chest = np.array([(low[0] + high[0]) / 2, high[1] - 0.36 * height])
        shape, shape_faces = star(chest, 0.12 * height)
        emblem_weights = locate(shape, flat, faces) @ weights
        _add_skin(
            spec, EMBLEM, vertex_bodies, bind, emblem_weights, shape_faces, inflate_m=_THICKNESS_M + 6e-4
        )


def paint_cloth(model: mujoco.MjModel, color: Float[np.ndarray, "3"]) -> None:
    """Gives the garment a colour, RGB in [0, 1]: the back darker, the emblem pale."""
    pale = 0.85 + 0.15 * color
    for name, tint in ((FRONT, color), (BACK, 0.05 + 0.65 * color), (EMBLEM, pale)):
        skin = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_SKIN, name)
        if skin >= 0:
            model.skin_rgba[skin, :3] = tint


def locate(
    points: Float[np.ndarray, "S 2"], vertices: Float[np.ndarray, "M 2"], triangles: Int[np.ndarray, "F 3"]
) -> Float[np.ndarray, "S M"]:
    """Barycentric weights of points over the vertices of the triangle that each lies in."""
    a, b, c = vertices[triangles].swapaxes(0, 1)
    u, v = b - a, c - a
    area = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
    offset = points[:, None] - a
    weight_b = (offset[..., 0] * v[:, 1] - offset[..., 1] * v[:, 0]) / area
    weight_c = (u[:, 0] * offset[..., 1] - u[:, 1] * offset[..., 0]) / area
    barycentric = np.stack([1 - weight_b - weight_c, weight_b, weight_c], axis=-1)
    inside = barycentric.min(axis=-1).argmax(axis=1)
    rows = np.arange(len(points))
    weights = np.zeros((len(points), len(vertices)))
    weights[rows[:, None], triangles[inside]] = np.clip(barycentric[rows, inside], 0, 1)
    return weights


def _add_print_material(spec: mujoco.MjSpec, image: UInt8[np.ndarray, "R R 3"]) -> None:
    height, width, channels = image.shape
    texture = spec.add_texture(
        name=FRONT, type=mujoco.mjtTexture.mjTEXTURE_2D, height=height, width=width, nchannel=channels
    )
    texture.data = image.tobytes()
    textures = [""] * int(mujoco.mjtTextureRole.mjNTEXROLE)
    textures[int(mujoco.mjtTextureRole.mjTEXROLE_RGB)] = FRONT
    spec.add_material(name=FRONT, textures=textures, specular=0.0, shininess=0.0)
    spec.add_material(name=BACK, specular=0.0, shininess=0.0)


def _add_skin(
    spec: mujoco.MjSpec,
    name: str,
    bodies: Sequence[str],
    bind: Float[np.ndarray, "V 3"],
    weights: Float[np.ndarray, "M V"],
    faces: Int[np.ndarray, "F 3"],
    *,
    texcoord: Float[np.ndarray, "M 2"] | None = None,
    inflate_m: float = _THICKNESS_M,
) -> None:
    skin = spec.add_skin(name=name, inflate=inflate_m, rgba=(0.2, 0.4, 0.7, 1.0))
    skin.material = FRONT if texcoord is not None else BACK
    skin.vert = (weights @ bind).ravel().tolist()
    skin.face = faces.ravel().tolist()
    if texcoord is not None:
        skin.texcoord = texcoord.ravel().tolist()
    moving = [vertex for vertex, column in enumerate(weights.T) if column.any()]
    touched = [np.nonzero(weights[:, vertex])[0] for vertex in moving]
    skin.bodyname = [bodies[vertex] for vertex in moving]
    skin.bindpos = bind[moving].ravel().tolist()
    skin.bindquat = [1.0, 0.0, 0.0, 0.0] * len(moving)
    skin.vertid = [rows.tolist() for rows in touched]
    skin.vertweight = [weights[rows, vertex].tolist() for vertex, rows in zip(moving, touched, strict=True)]
