"""The grasp assist: closed fingers near cloth hold it, open fingers let go.

Fingertip friction on cloth is beyond a simulation that should run at hundreds of steps a second, so, as is usual in cloth
simulation, a grasp ties cloth to the palm. It holds what lies between four fingers and the thumb, as wide as the fingers are and
through *all* layers: held by one vertex, cloth hangs in a bunch and the upper trouser leg stays behind. It slips when the cloth
it holds is stretched.
"""

import mujoco
import numpy as np
from jaxtyping import Float

from vla_course.envs.folding.scene import HANDS, Scene
from vla_course.robot.shadow_hand import CLOSED_HAND, OPEN_HAND

CLOSE_ABOVE, OPEN_BELOW = 0.75, 0.60
REACH_M = 0.04
LOWEST_GRASP_M = 0.012  # a hand pressed into the table would tie cloth below it
FINGERS_HALF_WIDTH_M = 0.036
PINCH_DEPTH_M, PINCH_HEIGHT_M = 0.018, 0.04
ACROSS_FINGERS, AHEAD_OF_PALM = np.array([1.0, 0.0, 0.0]), np.array([0.0, -1.0, 0.0])
SLIP_STRETCH = 1.3
PINCHING_JOINTS = ("FFJ3", "FFJ2", "MFJ3", "MFJ2")


class Grasp:
    """Which vertices each hand holds, and the constraints that hold them."""

    def __init__(self, scene: Scene, data: mujoco.MjData) -> None:
        self._scene, self._data = scene, data
        model = scene.model
        names = [[prefix + name for name in PINCHING_JOINTS] for prefix in HANDS]
        self._joints = np.array([[model.joint(name).qposadr[0] for name in hand] for hand in names])
        self._actuators = np.array([[model.actuator(name).id for name in hand] for hand in names])
        self._open = float(np.mean([OPEN_HAND[name] for name in PINCHING_JOINTS]))
        self._closed = float(np.mean([CLOSED_HAND[name] for name in PINCHING_JOINTS]))
        self._edges = model.flex_edge
        self._edge_length = model.flexedge_length0
        self._at_site = [model.site_pos[site].copy() for site in scene.grasp_site]
        self._anchors = model.eq_data[scene.pinch, 3:6].copy()
        self.held: list[tuple[int, ...]] = [(), ()]
        self.slipped = [False, False]

    def reset(self) -> None:
        """Hold nothing."""
        for hand in range(2):
            self.release(hand)

    def commanded_closure(self) -> Float[np.ndarray, "2"]:
        """Commanded closure of each hand's pinching fingers: 0 open, 1 closed."""
        return self._closure(self._data.ctrl[self._actuators])

    def measured_closure(self) -> Float[np.ndarray, "2"]:
        """Measured closure of the same fingers."""
        return self._closure(self._data.qpos[self._joints])

    def update(self, vertices: Float[np.ndarray, "V 3"]) -> None:
        """Take, keep or release cloth, by what the fingers do now."""
        commanded = self.commanded_closure()
        # Open fingers pressed on the table bend as if they closed: a grasp also needs the command to close.
        closed = np.minimum(commanded, self.measured_closure())
        for hand in range(2):
            if commanded[hand] < OPEN_BELOW:
                self.release(hand)
            elif closed[hand] > CLOSE_ABOVE and not self.held[hand] and not self.slipped[hand]:
                self.hold(hand, *self._within_reach(hand, vertices))

    def slip(self, vertices: Float[np.ndarray, "V 3"]) -> None:
        """Lose cloth that is stretched too far; the hand must open before it can take hold again."""
        for hand, held in enumerate(self.held):
            if held and self._stretch(held, vertices) > SLIP_STRETCH:
                self.release(hand)
                self.slipped[hand] = True

    def _closure(self, angles: Float[np.ndarray, "2 fingers"]) -> Float[np.ndarray, "2"]:
        closure: Float[np.ndarray, "2"] = (angles.mean(axis=1) - self._open) / (self._closed - self._open)
        return closure

    def hold(self, hand: int, vertices: tuple[int, ...], offset_m: Float[np.ndarray, " P"]) -> None:
        """Tie these vertices to the line between a hand's fingertips, each so far beside the grasp site."""
        self.held[hand] = vertices
        chosen = self._scene.pinch[hand, list(vertices)]
        self._anchors[hand, list(vertices)] = self._at_site[hand] + offset_m[:, None] * ACROSS_FINGERS
        self._scene.model.eq_data[chosen, 3:6] = self._anchors[hand, list(vertices)]
        self._data.eq_active[chosen] = 1

    def release(self, hand: int) -> None:
        """Let go of all a hand holds."""
        self.held[hand], self.slipped[hand] = (), False
        self._data.eq_active[self._scene.pinch[hand]] = 0

    @property
    def anchors(self) -> Float[np.ndarray, "2 V 3"]:
        """Where in the palm's frame each vertex is, or was last, held. Lives in the model, outside MuJoCo's state."""
        anchors: Float[np.ndarray, "2 V 3"] = self._anchors.copy()
        return anchors

    def restore(
        self,
        held: tuple[tuple[int, ...], ...],
        slipped: tuple[bool, ...],
        anchors: Float[np.ndarray, "2 V 3"],
    ) -> None:
        """Go back to what was held; MuJoCo's own state says which constraints are active."""
        self.held, self.slipped = list(held), list(slipped)
        self._anchors[:] = anchors
        self._scene.model.eq_data[self._scene.pinch, 3:6] = anchors

    def _within_reach(
        self, hand: int, vertices: Float[np.ndarray, "V 3"]
    ) -> tuple[tuple[int, ...], Float[np.ndarray, " P"]]:
        """The vertices between the fingers, of all layers, and how far each is beside the grasp site; none if none is near."""
        site = self._scene.grasp_site[hand]
        if self._data.site_xpos[site, 2] < LOWEST_GRASP_M:
            return (), np.zeros(0)
        frame = self._data.site_xmat[site].reshape(3, 3)
        free = np.ones(len(vertices), bool)
        free[list(self.held[1 - hand])] = False
        offset = vertices - self._data.site_xpos[site]
        distance = np.where(free, np.linalg.norm(offset, axis=1), np.inf)
        nearest = int(distance.argmin())
        if distance[nearest] > REACH_M:
            return (), np.zeros(0)
        across = offset @ frame @ ACROSS_FINGERS
        ahead = (offset - offset[nearest]) @ frame @ AHEAD_OF_PALM
        above = offset[:, 2] - offset[nearest, 2]
        pinched = free & (np.abs(across) < FINGERS_HALF_WIDTH_M)
        pinched &= (np.abs(ahead) < PINCH_DEPTH_M) & (np.abs(above) < PINCH_HEIGHT_M)
        pinched[nearest] = True
        chosen = np.flatnonzero(pinched)
        return tuple(chosen.tolist()), across[chosen]

    def _stretch(self, held: tuple[int, ...], vertices: Float[np.ndarray, "V 3"]) -> float:
        """Largest length of an edge at the held vertices, as a multiple of its length at rest."""
        touching = np.isin(self._edges, held).any(axis=1)
        ends = vertices[self._edges[touching]]
        length = np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1)
        return float((length / self._edge_length[touching]).max())
