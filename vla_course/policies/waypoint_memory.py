"""Running median of predicted waypoints, reset at grasp or release: the hand that reaches for a corner soon hides it."""

from collections import defaultdict

import numpy as np
from jaxtyping import Float, Int

from vla_course.data.statistics import HAND


class WaypointMemory:
    """The median of all waypoints that a model has predicted for a hand since that hand last grasped or released.

    A waypoint marks something that lies still, so each prediction is another measurement of the same place. Their median is nearer to
    it than the last one: by then the hand hides its target. A grasp or release shows in the state of two hands, whose last two
    numbers say whether each feels cloth.
    """

    def __init__(self, dims: list[int]) -> None:
        """`dims` are the numbers of the state that waypoints predict (`config.waypoint_dims`)."""
        self._hands = np.array(dims) // HAND
        self._predicted: dict[tuple[int, int], list[float]] = defaultdict(list)
        self._felt: dict[tuple[int, int], bool] = {}

    def recall(
        self,
        envs: Int[np.ndarray, " B"],
        states: Float[np.ndarray, "B S"],
        predicted: Float[np.ndarray, "B W"],
    ) -> Float[np.ndarray, "B W"]:
        """Remember the waypoints predicted in these environments, and return the medians."""
        medians = predicted.copy()
        for row, env in enumerate(envs.tolist()):
            for place, hand in enumerate(self._hands.tolist()):
                key, feels = (env, place), bool(states[row, 2 * HAND + hand] > 0.5)
                if self._felt.get(key) != feels:
                    self._predicted[key] = []
                self._felt[key] = feels
                self._predicted[key].append(float(predicted[row, place]))
                medians[row, place] = np.median(self._predicted[key])
        return medians

    def reset(self, envs: Int[np.ndarray, " B"]) -> None:
        """Forget the waypoints of these environments."""
        gone = set(envs.tolist())
        for key in [key for key in self._felt if key[0] in gone]:
            del self._felt[key], self._predicted[key]
