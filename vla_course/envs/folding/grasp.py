"""The grasp assist: closed fingers near cloth hold it, open fingers let go.

Fingertip friction on cloth is beyond a simulation that should run at hundreds of steps a second, so, as is usual in cloth
simulation, a grasp ties cloth to the palm. It holds a pinch through *all* layers between the fingers: with one vertex alone the
upper trouser leg stays behind. It slips when the cloth it holds is stretched.
"""

import mujoco
import numpy as np
from jaxtyping import Float, Int

from vla_course.envs.folding.scene import HANDS, Scene
from vla_course.envs.shadow_hand import CLOSED_HAND, OPEN_HAND

CLOSE_ABOVE, OPEN_BELOW = 0.75, 0.60
REACH_M = 0.04
PINCH_RADIUS_M, PINCH_HEIGHT_M, MAX_PINCHED = 0.02, 0.04, 4
SLIP_STRETCH = 1.3
PINCHING_JOINTS = ("FFJ3", "FFJ2", "MFJ3", "MFJ2")


class Grasp:
    """Which vertices each hand holds, and the constraints that hold them."""

    def __init__(self, scene: Scene, data: mujoco.MjData) -> None:
        self._scene, self._data = scene, data
        model = scene.model
        self._fingers = np.array(
            [[model.joint(prefix + name).qposadr[0] for name in PINCHING_JOINTS] for prefix in HANDS]
        )
        self._open = float(np.mean([OPEN_HAND[name] for name in PINCHING_JOINTS]))
        self._closed = float(np.mean([CLOSED_HAND[name] for name in PINCHING_JOINTS]))
        self._edges = model.flex_edge
        self._edge_length = model.flexedge_length0
        self.held: list[tuple[int, ...]] = [(), ()]

    def reset(self) -> None:
        """Hold nothing."""
        for hand in range(2):
            self.release(hand)

    def closure(self) -> Float[np.ndarray, "2"]:
        """How far each hand's pinching fingers are closed: 0 open, 1 closed."""
        angle = self._data.qpos[self._fingers].mean(axis=1)
        closure: Float[np.ndarray, "2"] = (angle - self._open) / (self._closed - self._open)
        return closure

    def update(self, vertices: Float[np.ndarray, "V 3"]) -> None:
        """Take, keep or release cloth, by what the fingers do now."""
        closure = self.closure()
        for hand in range(2):
            if self.held[hand]:
                if closure[hand] < OPEN_BELOW or self._stretch(self.held[hand], vertices) > SLIP_STRETCH:
                    self.release(hand)
            elif closure[hand] > CLOSE_ABOVE:
                self.hold(hand, self._within_reach(hand, vertices))

    def hold(self, hand: int, vertices: tuple[int, ...]) -> None:
        """Tie these vertices to a hand's grasp site."""
        self.held[hand] = vertices
        self._data.eq_active[self._scene.pinch[hand, list(vertices)]] = 1

    def release(self, hand: int) -> None:
        """Let go of all a hand holds."""
        self.held[hand] = ()
        self._data.eq_active[self._scene.pinch[hand]] = 0

    def _within_reach(self, hand: int, vertices: Float[np.ndarray, "V 3"]) -> tuple[int, ...]:
        """The vertex nearest to the grasp site, if near enough, with the layers above and below it."""
        distance = np.linalg.norm(vertices - self._data.site_xpos[self._scene.grasp_site[hand]], axis=1)
        distance[list(self.held[1 - hand])] = np.inf
        nearest = int(distance.argmin())
        if distance[nearest] > REACH_M:
            return ()
        return self._all_layers(nearest, vertices, taken=self.held[1 - hand])

    def _all_layers(self, nearest: int, vertices: Float[np.ndarray, "V 3"], taken: tuple[int, ...]) -> tuple[int, ...]:
        grid: Int[np.ndarray, "V 2"] = self._scene.garment.grid
        beside = np.linalg.norm(vertices[:, :2] - vertices[nearest, :2], axis=1)
        stacked = (beside < PINCH_RADIUS_M) & (np.abs(vertices[:, 2] - vertices[nearest, 2]) < PINCH_HEIGHT_M)
        pinched = [nearest]
        for vertex in np.flatnonzero(stacked)[np.argsort(beside[stacked], kind="stable")].tolist():
            # Neighbours in the same sheet are not another layer: three grid cells tell the two apart.
            another_layer = np.abs(grid[pinched] - grid[vertex]).max(axis=1).min() >= 3
            if another_layer and vertex not in taken and len(pinched) < MAX_PINCHED:
                pinched.append(vertex)
        return tuple(pinched)

    def _stretch(self, held: tuple[int, ...], vertices: Float[np.ndarray, "V 3"]) -> float:
        """Largest length of an edge at the held vertices, as a multiple of its length at rest."""
        touching = np.isin(self._edges, held).any(axis=1)
        ends = vertices[self._edges[touching]]
        length = np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1)
        return float((length / self._edge_length[touching]).max())
