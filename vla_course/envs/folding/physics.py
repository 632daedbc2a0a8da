"""Simulation of cloth and robots. Whether a fold is good is decided by the task (`env.py`)."""

from dataclasses import dataclass

import mujoco
import numpy as np
from jaxtyping import Float

from vla_course.envs.folding.cloth import RADIUS_M, Layers
from vla_course.envs.folding.grasp import OPEN_BELOW, Grasp
from vla_course.envs.folding.scene import Scene

STATE = mujoco.mjtState.mjSTATE_INTEGRATION
SLIP_SUBSTEPS = 2


@dataclass(frozen=True)
class PhysicsState:
    """The complete state of the simulation. Layers and grasps write into the model, outside MuJoCo's own state."""

    integration: Float[np.ndarray, " S"]
    layer_heights: Float[np.ndarray, " V"]
    held: tuple[tuple[int, ...], tuple[int, ...]]
    slipped: tuple[bool, ...]
    held_at: Float[np.ndarray, "2 V 3"]


class FoldingPhysics:
    """One size of a garment under the two arms."""

    def __init__(self, scene: Scene) -> None:
        """`scene` is written to: give every simulation a copy of its own."""
        self.scene, self.model = scene, scene.model
        self.data = mujoco.MjData(scene.model)
        self.layers = Layers(scene.model, scene.garment, scene.vertex_geom)
        self.grasp = Grasp(scene, self.data)
        self._read_vertices()

    @property
    def vertices(self) -> Float[np.ndarray, "V 3"]:
        """World position of every cloth vertex, metres."""
        vertices: Float[np.ndarray, "V 3"] = self._vertices
        return vertices

    @property
    def joint_position(self) -> Float[np.ndarray, "60"]:
        """Joint angles, rad."""
        position: Float[np.ndarray, "60"] = self.data.qpos[self.scene.joint_qpos]
        return position

    @property
    def hand_position(self) -> Float[np.ndarray, "2 3"]:
        """World position of the two grasp sites, metres."""
        position: Float[np.ndarray, "2 3"] = self.data.site_xpos[list(self.scene.grasp_site)]
        return position

    @property
    def hand_rotation(self) -> Float[np.ndarray, "2 3 3"]:
        """Orientation of the two grasp sites, hand to world."""
        rotation: Float[np.ndarray, "2 9"] = self.data.site_xmat[list(self.scene.grasp_site)]
        return rotation.reshape(2, 3, 3)

    @property
    def held(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The vertices that the left and the right hand hold."""
        return self.grasp.held[0], self.grasp.held[1]

    def fastest_vertex_m_s(self) -> float:
        """Speed of the fastest cloth vertex."""
        return float(np.linalg.norm(self.data.qvel[self.scene.vertex_dof], axis=1).max())

    def hands_open(self) -> bool:
        """Whether both hands are commanded to be open, and hold nothing."""
        return not any(self.held) and bool((self.grasp.commanded_closure() < OPEN_BELOW).all())

    def lay_out(self, outline: Float[np.ndarray, "V 2"], joint_target: Float[np.ndarray, "60"]) -> None:
        """Start anew: the cloth flat and at rest with its vertices at these places, the joints at their targets."""
        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[self.scene.joint_qpos] = joint_target
        self.data.ctrl[:] = joint_target
        flat = np.insert(outline, 2, RADIUS_M, axis=1)
        self.data.qpos[self.scene.vertex_qpos] = flat - self.scene.vertex_origin
        self.layers.reset()
        self.grasp.reset()
        mujoco.mj_forward(self.model, self.data)
        self._read_vertices()

    def shift_cloth(self, offset_m: Float[np.ndarray, "2"]) -> None:
        """Move every vertex by the same x and y."""
        self.data.qpos[self.scene.vertex_qpos[:, :2]] += offset_m
        mujoco.mj_kinematics(self.model, self.data)
        self._read_vertices()

    def advance(self, joint_target: Float[np.ndarray, "60"], substeps: int) -> None:
        """Simulate `substeps` physics steps with these joint targets (rad)."""
        self.data.ctrl[:] = joint_target
        self.grasp.update(self._vertices)
        self.layers.update(self._vertices)
        # In a whole control step a fast arm would stretch the cloth it holds to several times its length.
        stride = SLIP_SUBSTEPS if any(self.held) else substeps
        for step in range(0, substeps, stride):
            mujoco.mj_step(self.model, self.data, nstep=min(stride, substeps - step))
            if any(self.held):
                self._read_vertices()
                self.grasp.slip(self._vertices)
        mujoco.mj_kinematics(self.model, self.data)  # mj_step leaves body positions one physics step old
        self._read_vertices()

    def save(self) -> PhysicsState:
        """The complete state of the simulation."""
        integration = np.empty(mujoco.mj_stateSize(self.model, STATE))
        mujoco.mj_getState(self.model, self.data, integration, STATE)
        return PhysicsState(
            integration=integration,
            layer_heights=self.layers.heights,
            held=self.held,
            slipped=tuple(self.grasp.slipped),
            held_at=self.grasp.anchors,
        )

    def restore(self, state: PhysicsState) -> None:
        """Set a state of this or an equal simulation. What follows is the same, bit for bit."""
        mujoco.mj_setState(self.model, self.data, state.integration, STATE)
        self.layers.set_heights(state.layer_heights)
        self.grasp.restore(state.held, state.slipped, state.held_at)
        mujoco.mj_kinematics(self.model, self.data)
        self._read_vertices()

    def _read_vertices(self) -> None:
        self._vertices = self.scene.vertex_origin + self.data.qpos[self.scene.vertex_qpos]
