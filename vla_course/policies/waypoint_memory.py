"""Where hands said they were going: the hand that reaches for a corner soon hides it."""

from collections import defaultdict

import numpy as np
from jaxtyping import Float, Int

from vla_course.data.statistics import HAND


class WaypointMemory:
    """Makes one place of all that a model has said about where a hand is going, since that hand last took hold or let go.

    A waypoint is about something that lies still, so each look at it is another measurement of the same place. Their median is
    nearer to it than the last one: by then the hand is in front of what it reaches for. Whether a hand has taken hold is known
    from the state of two hands, whose last two numbers say whether each feels cloth.
    """

    def __init__(self, dims: list[int]) -> None:
        """`dims` are the numbers of the state that waypoints are about (`config.waypoint_dims`)."""
        self._hands = np.array(dims) // HAND
        self._said: dict[tuple[int, int], list[float]] = defaultdict(list)
        self._felt: dict[tuple[int, int], bool] = {}

    def recall(
        self, envs: Int[np.ndarray, " B"], states: Float[np.ndarray, "B S"], said: Float[np.ndarray, "B W"]
    ) -> Float[np.ndarray, "B W"]:
        """Remember what was said in these environments, and return what hands should go by."""
        medians = said.copy()
        for row, env in enumerate(envs.tolist()):
            for place, hand in enumerate(self._hands.tolist()):
                key, feels = (env, place), bool(states[row, 2 * HAND + hand] > 0.5)
                if self._felt.get(key) != feels:
                    self._said[key] = []
                self._felt[key] = feels
                self._said[key].append(float(said[row, place]))
                medians[row, place] = np.median(self._said[key])
        return medians

    def reset(self, envs: Int[np.ndarray, " B"]) -> None:
        """Forget what was said in these environments."""
        gone = set(envs.tolist())
        for key in [key for key in self._felt if key[0] in gone]:
            del self._felt[key], self._said[key]
