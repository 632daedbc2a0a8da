"""Cloth in MuJoCo: a flexible sheet with inextensible edges, and layers that lie on each other.

MuJoCo's own self-collision of a flex costs four times the whole simulation and is unreliable at steps of 8 ms. Here every
vertex carries a sphere that touches only the table, and the sphere grows to the height of the sheet below it. This height rule is
enough for folding on a table; it is not self-collision: sheets do not rub against, or wrap around, each other.
"""

import mujoco
import numpy as np
from jaxtyping import Bool, Float, Int

from vla_course.envs.folding.garments import Garment
from vla_course.robot.collisions import CLOTH_COLLISION

RADIUS_M = 0.004
DENSITY_KG_M2 = 0.35
FRICTION = 0.9
VERTEX_DAMPING_PER_KG = 2.0
HIDDEN_GROUP = 4
MAX_LAYER_HEIGHT_M = (
    7 * RADIUS_M
)  # a vertex on four sheets; without a bound, two that stand on each other climb
SHRINK_M = 0.0015
CLOTH = "cloth"


def cloth_xml(garment: Garment) -> str:
    """The `flexcomp` element of a garment lying flat at the origin."""
    corners = garment.vertices[garment.triangles]
    side_a, side_b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = 0.5 * np.abs(side_a[:, 0] * side_b[:, 1] - side_a[:, 1] * side_b[:, 0]).sum()
    points = np.column_stack([garment.vertices, np.zeros(len(garment.vertices))])
    return f"""
    <flexcomp name="{CLOTH}" type="direct" dim="2" radius="{RADIUS_M}" mass="{DENSITY_KG_M2 * area:.6f}"
        pos="0 0 {RADIUS_M}" point="{" ".join(f"{value:.6f}" for value in points.ravel())}"
        element="{" ".join(str(vertex) for vertex in garment.triangles.ravel())}">
      <edge equality="true" solref="0.01 1"/>
      <contact selfcollide="none" contype="0" conaffinity="0"/>
    </flexcomp>"""


def add_vertex_spheres(spec: mujoco.MjSpec, vertex_bodies: list[str]) -> None:
    """Give every cloth vertex the invisible sphere that carries it on the table."""
    for name in vertex_bodies:
        spec.body(name).add_geom(
            name=f"{name}_sphere",
            type=mujoco.mjtGeom.mjGEOM_SPHERE,
            size=[RADIUS_M, 0, 0],
            mass=0,
            group=HIDDEN_GROUP,
            contype=CLOTH_COLLISION.contype,
            conaffinity=CLOTH_COLLISION.conaffinity,
            condim=3,
            friction=[FRICTION, 0.005, 0.0001],
            rgba=[0, 0, 0, 0],
        )


class Layers:
    """Raises each vertex's sphere to the sheet below it, so that folded layers lie on each other.

    The radii live in the model, outside MuJoCo's saved state: `heights` and `set_heights` carry them.
    """

    def __init__(self, model: mujoco.MjModel, garment: Garment, sphere_geoms: Int[np.ndarray, " V"]) -> None:
        self._model = model
        self._geoms = sphere_geoms
        self._triangles = garment.triangles
        self._far = far_apart(garment)
        reach = garment.vertices[garment.triangles] - garment.vertices[garment.triangles].mean(
            axis=1, keepdims=True
        )
        # Cloth does not stretch, so no vertex above a triangle is further from its middle than its own corners.
        self._reach_m = 1.1 * float(np.linalg.norm(reach, axis=2).max())

    @property
    def heights(self) -> Float[np.ndarray, " V"]:
        """Radius of every vertex's sphere, metres."""
        heights: Float[np.ndarray, " V"] = self._model.geom_size[self._geoms, 0].copy()
        return heights

    def set_heights(self, heights: Float[np.ndarray, " V"]) -> None:
        """Write the radii, with the bounds that MuJoCo's broad phase keeps of them."""
        self._model.geom_size[self._geoms, 0] = heights
        self._model.geom_rbound[self._geoms] = heights
        self._model.geom_aabb[self._geoms, 3:] = heights[:, None]

    def reset(self) -> None:
        """One layer everywhere."""
        self.set_heights(np.full(len(self._geoms), RADIUS_M))

    def update(self, vertices: Float[np.ndarray, "V 3"]) -> None:
        """Set every sphere to rest two radii above the highest sheet that passes under its vertex.

        Spheres grow at once and shrink slowly: at the rim of the sheet below, support comes and goes with every tremor.
        """
        heights = np.clip(self._support(vertices) + 2 * RADIUS_M, RADIUS_M, MAX_LAYER_HEIGHT_M)
        self.set_heights(np.maximum(heights, self.heights - SHRINK_M))

    def _support(self, vertices: Float[np.ndarray, "V 3"]) -> Float[np.ndarray, " V"]:
        """Height of the highest sheet below each vertex; minus infinity where only the table is."""
        support = np.full(len(vertices), -np.inf)
        # Under a vertex as low as the lowest there is no cloth, and while nothing is folded that is true of all.
        lifted = np.flatnonzero(vertices[:, 2] > vertices[:, 2].min() + 0.25 * RADIUS_M)
        a, b, c = (vertices[self._triangles[:, corner]] for corner in range(3))
        row, triangle = self._close_pairs(vertices[lifted], (a + b + c) / 3, self._far[lifted])
        x, y, z = vertices[lifted[row]].T
        ax, ay, az = a[triangle].T
        ux, uy, uz = (b - a)[triangle].T
        vx, vy, vz = (c - a)[triangle].T
        area = ux * vy - uy * vx
        area = np.where(np.abs(area) < 1e-9, 1e-9, area)  # a triangle seen edge-on carries nothing
        weight_b = ((x - ax) * vy - (y - ay) * vx) / area
        weight_c = (ux * (y - ay) - uy * (x - ax)) / area
        height = az + weight_b * uz + weight_c * vz
        inside = (weight_b > -0.02) & (weight_c > -0.02) & (weight_b + weight_c < 1.02)
        below = inside & (height < z - 0.5 * RADIUS_M)
        np.maximum.at(support, lifted[row[below]], height[below])
        return support

    def _close_pairs(
        self,
        points: Float[np.ndarray, "P 3"],
        middles: Float[np.ndarray, "F 3"],
        far: Bool[np.ndarray, "P F"],
    ) -> tuple[Int[np.ndarray, " N"], Int[np.ndarray, " N"]]:
        """Points and triangles that may lie over each other, as two lists of indices."""
        near = np.abs(np.subtract.outer(points[:, 0], middles[:, 0])) < self._reach_m
        near &= np.abs(np.subtract.outer(points[:, 1], middles[:, 1])) < self._reach_m
        near &= far
        return np.divmod(np.flatnonzero(near), len(middles))


def far_apart(garment: Garment) -> Bool[np.ndarray, "V F"]:
    """Which vertex–triangle pairs are two grid cells or more apart within the sheet, so that one can lie on the other."""
    steps = np.abs(garment.grid[:, None, :] - garment.grid[None, :, :]).max(axis=2)
    far: Bool[np.ndarray, "V F"] = steps[:, garment.triangles].min(axis=2) >= 2
    return far
