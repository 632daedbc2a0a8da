"""The tabletop scene: table, one arm, a few places for things, the garments to point at.

A model is compiled once. Which thing stands in a place is decided at reset: every place has all shapes, and shows and feels
one of them; places without a thing wait, weightless, far below the floor.
"""

import copy
from dataclasses import dataclass, replace
from functools import lru_cache

import mujoco
import numpy as np
from jaxtyping import Float, Int

from vla_course.envs.table import FRICTION, TABLE_MATERIALS, TABLE_TOP, add_close_camera, add_table_and_sky
from vla_course.envs.tabletop.garments import GARMENTS, flat_garment
from vla_course.envs.tabletop.shapes import SHAPES, Shape
from vla_course.robot.collisions import NO_COLLISION, THING_COLLISION
from vla_course.robot.shadow_hand import Side
from vla_course.robot.two_arms import BASE_POSITION_M, BASE_YAW_RAD, JOINT_NAMES, add_arm_with_hand

SIDE: Side = "right"
PREFIX = f"{SIDE}_"
ARM_JOINT_NAMES = tuple(name for name in JOINT_NAMES if name.startswith(PREFIX))
PALM = f"{PREFIX}palm"
GRASP_SITE = f"{PREFIX}grasp"
NUM_PLACES = 5
MASS_KG, INERTIA_KG_M2 = 0.12, 1.2e-4
"""Of every thing alike, so that what stands in a place can change without a new model."""

SHOWN, HIDDEN = 1, 4
_ROLLING_FRICTION = 0.012
_GARMENT_HEIGHT_M = 0.0015


@dataclass(frozen=True)
class TabletopScene:
    """A compiled model and where everything lies in it."""

    model: mujoco.MjModel
    joint_qpos: Int[np.ndarray, "30"]
    joint_dof: Int[np.ndarray, "30"]
    thing_body: Int[np.ndarray, " N"]
    thing_qpos: Int[np.ndarray, "N 7"]
    thing_dof: Int[np.ndarray, "N 6"]
    looks: tuple[dict[str, int], ...]
    """For every place the visible geom of each shape."""
    colliders: tuple[dict[str, tuple[int, ...]], ...]
    weld: Int[np.ndarray, " N"]
    """The equality constraint that ties a place's thing to the palm."""
    parts: dict[str, dict[str, int]]
    """For every garment the geom of each part."""
    garment_mocap: dict[str, int]
    palm: int
    grasp_site: int
    hand_bodies: frozenset[int]
    """Forearm, palm and fingers."""
    camera_home: tuple[Float[np.ndarray, "C 3"], Float[np.ndarray, "C 4"]]
    light_home: tuple[Float[np.ndarray, "2 3"], Float[np.ndarray, "2 3"]]

    def copy(self) -> "TabletopScene":
        """The same scene with a model of its own: colours, shapes and grasps are written into the model."""
        return replace(self, model=copy.copy(self.model))

    def show(self, place: int, shape: str | None, color: Float[np.ndarray, "3"] | None = None) -> None:
        """Let a place show and feel this shape in this colour, or nothing."""
        model = self.model
        for name, look in self.looks[place].items():
            chosen = name == shape
            model.geom_group[look] = SHOWN if chosen else HIDDEN
            if chosen and color is not None:
                model.geom_rgba[look, :3] = color
            bits = THING_COLLISION if chosen else NO_COLLISION
            for geom in self.colliders[place][name]:
                model.geom_contype[geom], model.geom_conaffinity[geom] = (
                    int(bits.contype),
                    int(bits.conaffinity),
                )
        model.body_gravcomp[self.thing_body[place]] = float(shape is None)

    def show_garment(self, garment: str | None, color: Float[np.ndarray, "3"] | None = None) -> None:
        """Lay this garment on the table in this colour, or none."""
        for name, parts in self.parts.items():
            for geom in parts.values():
                self.model.geom_group[geom] = SHOWN if name == garment else HIDDEN
                if name == garment and color is not None:
                    self.model.geom_rgba[geom, :3] = color

    def dress(self, table: int) -> None:
        """Choose the table's material."""
        self.model.geom(TABLE_TOP).matid = self.model.material(TABLE_MATERIALS[table]).id

    def move_cameras(self, jitter_m: Float[np.ndarray, "C 3"], turn_rad: Float[np.ndarray, "C 3"]) -> None:
        """Move every camera off its place, and turn it by rotation vectors in the world."""
        position, quaternion = self.camera_home
        self.model.cam_pos[:] = position + jitter_m
        for camera, vector in enumerate(turn_rad):
            turn, result = np.zeros(4), np.zeros(4)
            angle = float(np.linalg.norm(vector))
            mujoco.mju_axisAngle2Quat(turn, vector / max(angle, 1e-9), angle)
            mujoco.mju_mulQuat(result, turn, quaternion[camera])
            self.model.cam_quat[camera] = result

    def light(self, brightness: float, warmth: float, direction: Float[np.ndarray, "2"]) -> None:
        """Make the lamps so many times as bright, warmer (more red, less blue), and shift where they shine from."""
        diffuse, home = self.light_home
        tint = brightness * np.array([1 + warmth, 1.0, 1 - warmth])
        self.model.light_diffuse[:] = np.clip(diffuse * tint, 0, 1)
        shifted = home.copy()
        shifted[:, :2] += direction
        self.model.light_dir[:] = shifted / np.linalg.norm(shifted, axis=1, keepdims=True)


@lru_cache(maxsize=4)
def compiled_scene(timestep_s: float) -> TabletopScene:
    """The scene, compiled once in a process. Take a `.copy()` before writing to it."""
    return build_scene(timestep_s)


@lru_cache(maxsize=1)
def arm_model() -> mujoco.MjModel:
    """The arm alone: what inverse kinematics computes with. Shared, so do not write to it."""
    spec = mujoco.MjSpec()
    spec.compiler.degree = False
    add_arm(spec)
    return spec.compile()


def add_arm(spec: mujoco.MjSpec) -> None:
    """The right arm of the course's robot, at its usual place. The left one is away."""
    add_arm_with_hand(
        spec, prefix=PREFIX, position_m=BASE_POSITION_M[SIDE], yaw_rad=BASE_YAW_RAD[SIDE], side=SIDE
    )


def build_scene(timestep_s: float) -> TabletopScene:
    """Compile table, arm, things and garments. Fractions of a second: not for `reset`."""
    spec = mujoco.MjSpec()
    spec.compiler.degree = False
    option = spec.option
    option.timestep = timestep_s
    option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    option.solver = mujoco.mjtSolver.mjSOL_NEWTON
    option.iterations, option.ls_iterations, option.tolerance = 8, 6, 1e-6
    option.cone = mujoco.mjtCone.mjCONE_PYRAMIDAL
    add_table_and_sky(spec)
    add_close_camera(spec.worldbody)
    add_arm(spec)
    for shape in SHAPES.values():
        mesh = spec.add_mesh(name=shape.name, inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL)
        mesh.uservert, mesh.userface = shape.mesh.vertices.ravel(), shape.mesh.faces.ravel()
    spec.add_material(name="glazed", rgba=(1, 1, 1, 1), specular=0.35, shininess=0.5)
    for place in range(NUM_PLACES):
        _add_place(spec, place)
    for garment in GARMENTS:
        _add_garment(spec, garment)
    return _index(spec.compile())


def _add_place(spec: mujoco.MjSpec, place: int) -> None:
    body = spec.worldbody.add_body(name=f"thing_{place}", pos=(0, 0, 0))
    joint = body.add_freejoint()
    joint.name = f"thing_{place}"
    body.explicitinertial = True
    body.mass, body.inertia = MASS_KG, [INERTIA_KG_M2] * 3
    body.gravcomp = 1.0
    for shape in SHAPES.values():
        body.add_geom(
            name=f"thing_{place}_{shape.name}",
            type=mujoco.mjtGeom.mjGEOM_MESH,
            meshname=shape.name,
            material="glazed",
            group=HIDDEN,
            contype=0,
            conaffinity=0,
            mass=0,
        )
        _add_colliders(body, place, shape)
    weld = spec.add_equality(name=f"hold_{place}", type=mujoco.mjtEq.mjEQ_WELD)
    weld.objtype = mujoco.mjtObj.mjOBJ_BODY
    weld.name1, weld.name2 = PALM, f"thing_{place}"
    weld.active = False
    weld.solref = [0.02, 1]


def _add_colliders(body: mujoco.MjsBody, place: int, shape: Shape) -> None:
    for k, collider in enumerate(shape.colliders):
        size = [*collider.size_m, 0.0, 0.0][:3]
        body.add_geom(
            name=f"thing_{place}_{shape.name}_{k}",
            type=collider.shape,
            size=size,
            pos=collider.position_m,
            quat=[float(np.cos(collider.yaw_rad / 2)), 0, 0, float(np.sin(collider.yaw_rad / 2))],
            group=HIDDEN,
            contype=int(THING_COLLISION.contype),
            conaffinity=int(THING_COLLISION.conaffinity),
            # Only a ball needs friction against rolling, and it costs two more directions in every contact.
            condim=6 if collider.shape == mujoco.mjtGeom.mjGEOM_SPHERE else 4,
            friction=(FRICTION, 0.02, _ROLLING_FRICTION),
            mass=0,
        )


def _add_garment(spec: mujoco.MjSpec, name: str) -> None:
    garment = flat_garment(name)
    height, width, channels = garment.print.shape
    texture = spec.add_texture(
        name=name, type=mujoco.mjtTexture.mjTEXTURE_2D, height=height, width=width, nchannel=channels
    )
    texture.data = garment.print.tobytes()
    textures = [""] * int(mujoco.mjtTextureRole.mjNTEXROLE)
    textures[int(mujoco.mjtTextureRole.mjTEXROLE_RGB)] = name
    spec.add_material(name=name, textures=textures, specular=0.0, shininess=0.0)
    body = spec.worldbody.add_body(name=name, mocap=True, pos=(0, 0, _GARMENT_HEIGHT_M))
    for part, triangles in garment.parts.items():
        used, renumbered = np.unique(triangles, return_inverse=True)
        mesh = spec.add_mesh(name=f"{name} {part}", inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL)
        mesh.uservert = np.insert(garment.vertices[used], 2, 0.0, axis=1).ravel()
        mesh.userface = renumbered.ravel()
        mesh.usertexcoord = garment.texcoord[used].ravel()
        body.add_geom(
            name=f"{name} {part}",
            type=mujoco.mjtGeom.mjGEOM_MESH,
            meshname=f"{name} {part}",
            material=name,
            group=HIDDEN,
            contype=0,
            conaffinity=0,
            mass=0,
        )


def _index(model: mujoco.MjModel) -> TabletopScene:
    joints = [model.joint(name) for name in ARM_JOINT_NAMES]
    bodies = np.array([model.body(f"thing_{k}").id for k in range(NUM_PLACES)])
    free = [model.joint(f"thing_{k}") for k in range(NUM_PLACES)]
    dofs = np.array([joint.dofadr[0] + np.arange(6) for joint in free])
    model.dof_damping[dofs] = [0.05, 0.05, 0.0, 2e-4, 2e-4, 2e-4]
    hand = {model.body(f"{PREFIX}forearm").id}
    for body in range(model.nbody):
        if model.body_parentid[body] in hand:
            hand.add(body)
    return TabletopScene(
        model=model,
        joint_qpos=np.array([joint.qposadr[0] for joint in joints]),
        joint_dof=np.array([joint.dofadr[0] for joint in joints]),
        thing_body=bodies,
        thing_qpos=np.array([joint.qposadr[0] + np.arange(7) for joint in free]),
        thing_dof=dofs,
        looks=tuple({name: model.geom(f"thing_{k}_{name}").id for name in SHAPES} for k in range(NUM_PLACES)),
        colliders=tuple(
            {
                name: tuple(model.geom(f"thing_{k}_{name}_{c}").id for c in range(len(shape.colliders)))
                for name, shape in SHAPES.items()
            }
            for k in range(NUM_PLACES)
        ),
        weld=np.array([model.equality(f"hold_{k}").id for k in range(NUM_PLACES)]),
        parts={
            name: {part: model.geom(f"{name} {part}").id for part in flat_garment(name).parts}
            for name in GARMENTS
        },
        garment_mocap={name: int(model.body(name).mocapid[0]) for name in GARMENTS},
        palm=model.body(PALM).id,
        grasp_site=model.site(GRASP_SITE).id,
        hand_bodies=frozenset(hand),
        camera_home=(model.cam_pos.copy(), model.cam_quat.copy()),
        light_home=(model.light_diffuse.copy(), model.light_dir.copy()),
    )
