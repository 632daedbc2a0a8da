"""Models that act on the folding robot: fine-tuned ones with both hands, and one that only knows the tabletop with one of them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from vla_course.data.augmentation import center_crop
from vla_course.openvla.model import OpenVLAForActionPrediction
from vla_course.policies.openvla import STATE, OpenVLAPolicy, tabletop_policy

HAND_NUMBERS = 7
"""Numbers of one hand: in an action, and in the state."""


def two_hand_policy(
    model: OpenVLAForActionPrediction,
    *,
    camera: str = "close",
    unnorm_key: str | None = None,
    crop: bool = True,
) -> OpenVLAPolicy:
    """A model that was fine-tuned on folding, for an environment inside `EndEffectorAction`.

    `crop` shows it the middle 90 % of the picture, as a model wants that was trained on random crops of that size.

    Raises:
        ValueError: the model has no statistics of `unnorm_key`.
    """
    return OpenVLAPolicy(model, camera=camera, unnorm_key=unnorm_key, look=center_crop if crop else None)


class OneHandPolicy:
    """A model of one hand on the robot that has two, for an environment inside `SingleArmAction`: "zero-shot".

    Where the model is told the state of its hand, it hears of the hand that it moves.
    """

    def __init__(
        self, model: OpenVLAForActionPrediction, hand: str = "right", *, camera: str = "close"
    ) -> None:
        """Raises: ValueError for an unknown hand, or a model that knows neither the tabletop nor BridgeData."""
        if hand not in ("left", "right"):
            raise ValueError(f"hand is 'left' or 'right', not {hand!r}")
        self._first = HAND_NUMBERS * (hand == "right")
        self._policy = tabletop_policy(model, camera=camera)
        self.action_dim = self._policy.action_dim

    def act(self, observations: Mapping[str, Any]) -> Float[np.ndarray, "N 1 A"]:
        """One action of that hand for each environment."""
        if STATE in observations:
            hands = np.asarray(observations[STATE])
            observations = {**observations, STATE: hands[:, self._first : self._first + HAND_NUMBERS]}
        return self._policy.act(observations)

    def reset(self, mask: Bool[np.ndarray, " N"]) -> None:
        """Nothing to forget."""
        self._policy.reset(mask)
