"""The ideal folds of an episode, and the distance of the cloth from them."""

from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float

from vla_course.envs.folding.garments import Garment
from vla_course.envs.folding.metrics import fold_error_m, share_in_box, silhouette, silhouette_iou
from vla_course.envs.folding.rewards import Potentials, potentials


class Goal:
    """The folds of one garment, laid out in the world."""

    def __init__(self, garment: Garment, position: Float[np.ndarray, "2"], yaw_rad: float) -> None:
        """`position` and `yaw_rad` say where the garment's own frame lies on the table."""
        self.garment, self.position, self.yaw_rad = garment, position, yaw_rad
        self.num_stages = len(garment.folds)
        cosine, sine = np.cos(yaw_rad), np.sin(yaw_rad)
        turn = np.array([[cosine, -sine], [sine, cosine]])
        self.ideal = [garment.ideal_vertices(k) @ turn.T + position for k in range(self.num_stages + 1)]
        """Where every vertex lies after k perfect folds, for k = 0, 1, ..."""
        self.moved: list[Bool[np.ndarray, " V"]] = [garment.moved_by(k) for k in range(self.num_stages)]
        self._moved_ever: Bool[np.ndarray, " V"] = np.any(self.moved, axis=0)
        self._flat_error_m = [
            fold_error_m(self.ideal[k], self.ideal[k + 1], self.moved[k]) for k in range(self.num_stages)
        ]

    @cached_property
    def _silhouette(self) -> Bool[np.ndarray, "H W"]:
        return silhouette(self.ideal[-1], self.garment.triangles)

    def stage_error_m(self, vertices: Float[np.ndarray, "V 3"], stage: int) -> float:
        """Mean distance of the vertices that a fold moves from their place after it; the last fold's once all are done."""
        fold = min(stage, self.num_stages - 1)
        return fold_error_m(vertices, self.ideal[fold + 1], self.moved[fold])

    def error_m(self, vertices: Float[np.ndarray, "V 3"]) -> float:
        """Mean distance of all vertices that any fold moves from their place after the last fold."""
        return fold_error_m(vertices, self.ideal[-1], self._moved_ever)

    def iou(self, vertices: Float[np.ndarray, "V 3"]) -> float:
        """Overlap of the garment's silhouette with that of the ideal fold, 0 to 1."""
        return silhouette_iou(silhouette(vertices, self.garment.triangles), self._silhouette)

    def box_success(self, vertices: Float[np.ndarray, "V 3"]) -> bool:
        """DexGarmentLab's rule: enough of the garment inside a box around the ideal fold."""
        return share_in_box(vertices, self.ideal[-1], self.position, self.yaw_rad) >= self.garment.box_share

    def potentials(
        self,
        vertices: Float[np.ndarray, "V 3"],
        stage: int,
        hand_position: Float[np.ndarray, "2 3"],
        held: tuple[tuple[int, ...], tuple[int, ...]],
    ) -> Potentials:
        """The potentials of the reward in this state."""
        fold = min(stage, self.num_stages - 1)
        hands, takes = zip(*self.garment.folds[fold].grasps, strict=True)
        error_m = self.stage_error_m(vertices, stage)
        return potentials(
            stage=stage,
            num_stages=self.num_stages,
            hand_distance_m=np.linalg.norm(hand_position[list(hands)] - vertices[list(takes)], axis=1),
            holding=np.array([float(bool(held[hand])) for hand in hands]),
            fold_error_m=error_m,
            flat_error_m=self._flat_error_m[fold],
            fold_good=error_m <= self.garment.fold_tolerance_m,
        )
