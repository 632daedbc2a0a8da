"""The folding scene: table, two arms, one garment, and the pinch points that a grasp switches on."""

import copy
from dataclasses import dataclass, replace
from functools import lru_cache

import mujoco
import numpy as np
from jaxtyping import Float, Int

from vla_course.envs.folding.cloth import (
    HIDDEN_GROUP,
    RADIUS_M,
    VERTEX_DAMPING_PER_KG,
    add_vertex_spheres,
    cloth_xml,
)
from vla_course.envs.folding.cloth_skin import add_cloth_skin, paint_cloth
from vla_course.envs.folding.garments import Garment, make_garment
from vla_course.envs.folding.unseen import ALL_TABLES, add_unseen, show_unseen
from vla_course.envs.table import TABLE_TOP, add_close_camera, add_table_and_sky
from vla_course.robot.two_arms import JOINT_NAMES, add_two_arms

HANDS = ("left_", "right_")


@dataclass(frozen=True)
class Scene:
    """A compiled model and where the cloth and the robot lie in it."""

    model: mujoco.MjModel
    garment: Garment
    joint_qpos: Int[np.ndarray, "60"]
    joint_dof: Int[np.ndarray, "60"]
    vertex_qpos: Int[np.ndarray, "V 3"]
    vertex_dof: Int[np.ndarray, "V 3"]
    vertex_origin: Float[np.ndarray, "V 3"]
    """World position of every vertex at qpos = 0."""
    vertex_geom: Int[np.ndarray, " V"]
    pinch: Int[np.ndarray, "2 V"]
    """The equality constraint that ties a vertex to a hand's grasp site."""
    grasp_site: tuple[int, int]
    camera_home: Float[np.ndarray, "C 3"]

    def copy(self) -> "Scene":
        """The same scene with a model of its own: layers and colours are written into the model."""
        return replace(self, model=copy.copy(self.model))

    def dress(
        self,
        *,
        color: Float[np.ndarray, "3"],
        table: int,
        camera_jitter: Float[np.ndarray, "C 3"],
        pattern: int,
        distractors: Float[np.ndarray, "3 2"],
    ) -> None:
        """Paint the garment, choose table and print, put the distractors in place, and move the cameras by so many metres."""
        paint_cloth(self.model, color)
        self.model.geom(TABLE_TOP).matid = self.model.material(ALL_TABLES[table]).id
        show_unseen(self.model, pattern=pattern, distractors=distractors)
        self.model.cam_pos[:] = self.camera_home + camera_jitter


@lru_cache(maxsize=32)
def compiled_scene(garment_name: str, quarter: bool, size: float, timestep_s: float) -> Scene:
    """The scene of one garment at one size, compiled once in a process. Take a `.copy()` before writing to it."""
    return build_scene(make_garment(garment_name, quarter=quarter).scaled(size), timestep_s)


def build_scene(garment: Garment, timestep_s: float) -> Scene:
    """Compile table, arms and garment. Fractions of a second: not for `reset`."""
    spec = mujoco.MjSpec.from_string(
        f"""<mujoco model="folding_{garment.name}">
          <compiler angle="radian" autolimits="true"/>
          <option timestep="{timestep_s}" integrator="implicitfast" solver="CG" iterations="20" ls_iterations="10"
            tolerance="1e-5" cone="elliptic" jacobian="sparse"/>
          <size memory="32M"/>
          <worldbody>{cloth_xml(garment)}</worldbody>
        </mujoco>"""
    )
    add_table_and_sky(spec)
    add_close_camera(spec.worldbody)
    add_two_arms(spec)
    draft = spec.compile()
    vertex_bodies = [draft.body(body).name for body in draft.flex_vertbodyid]
    add_vertex_spheres(spec, vertex_bodies)
    add_cloth_skin(
        spec, vertex_bodies, garment.vertices, garment.triangles, height_m=RADIUS_M, garment=garment.name
    )
    add_unseen(spec)
    spec.flexes[0].group = HIDDEN_GROUP
    for prefix in HANDS:
        for vertex, body in enumerate(vertex_bodies):
            pinch = spec.add_equality(name=f"{prefix}pinch_{vertex}", type=mujoco.mjtEq.mjEQ_CONNECT)
            pinch.objtype = mujoco.mjtObj.mjOBJ_BODY
            pinch.name1, pinch.name2 = body, f"{prefix}palm"
            pinch.active = False
            pinch.solref = [0.03, 1]
    model = spec.compile()
    return _index(model, garment, vertex_bodies)


def _index(model: mujoco.MjModel, garment: Garment, vertex_bodies: list[str]) -> Scene:
    bodies = np.array([model.body(name).id for name in vertex_bodies])
    first_joint = model.body_jntadr[bodies]
    vertex_qpos = model.jnt_qposadr[first_joint][:, None] + np.arange(3)
    vertex_dof = model.body_dofadr[bodies][:, None] + np.arange(3)
    for dof in vertex_dof.ravel():
        model.dof_damping[dof] = VERTEX_DAMPING_PER_KG * model.body_mass[model.dof_bodyid[dof]]
    pinch = np.array([[model.equality(f"{p}pinch_{v}").id for v in range(len(bodies))] for p in HANDS])
    sites = tuple(model.site(f"{prefix}grasp").id for prefix in HANDS)
    for hand, site in enumerate(sites):
        # A connect holds two points together: the vertex itself, and the grasp site in the palm's frame.
        model.eq_data[pinch[hand], 0:3] = 0
        model.eq_data[pinch[hand], 3:6] = model.site_pos[site]
    joints = [model.joint(name) for name in JOINT_NAMES]
    return Scene(
        model=model,
        garment=garment,
        joint_qpos=np.array([joint.qposadr[0] for joint in joints]),
        joint_dof=np.array([joint.dofadr[0] for joint in joints]),
        vertex_qpos=vertex_qpos,
        vertex_dof=vertex_dof,
        vertex_origin=model.body_pos[bodies].copy(),
        vertex_geom=np.array([model.geom(f"{name}_sphere").id for name in vertex_bodies]),
        pinch=pinch,
        grasp_site=(sites[0], sites[1]),
        camera_home=model.cam_pos.copy(),
    )
