"""Models that act on the folding robot: fine-tuned ones with both hands, and one that only knows the tabletop with one of them."""

from collections.abc import Sequence
from functools import partial

from vla_course.data.augmentation import center_crop
from vla_course.openvla.model import OpenVLAForActionPrediction
from vla_course.policies.openvla import LEFT_HAND, RIGHT_HAND, STATE, OpenVLAPolicy, tabletop_policy

HANDS = {"left": LEFT_HAND, "right": RIGHT_HAND}


def two_hand_policy(
    model: OpenVLAForActionPrediction,
    *,
    camera: str | Sequence[str] = "close",
    unnorm_key: str | None = None,
    crop: bool = True,
    crop_area: float = 0.9,
    state_key: str = STATE,
) -> OpenVLAPolicy:
    """A model that was fine-tuned on folding, for an environment inside `EndEffectorAction`.

    `crop` is for models that were trained on random crops: they get the centre crop with this share of the area, `crop_area`.
    `camera` may be several, and `state_key` is the observation that is the state: both as in training.

    Raises:
        ValueError: the model has no statistics of `unnorm_key`, or looks at another number of pictures.
    """
    look = partial(center_crop, area=crop_area) if crop else None
    return OpenVLAPolicy(model, camera=camera, unnorm_key=unnorm_key, look=look, state_key=state_key)


def one_hand_policy(
    model: OpenVLAForActionPrediction, hand: str = "right", *, camera: str | Sequence[str] = "close"
) -> OpenVLAPolicy:
    """A model of one hand on the robot that has two, for an environment inside `SingleArmAction`: "zero-shot".

    A model with a state in its prompt gets the state of the hand that it moves.

    Raises:
        ValueError: the hand is unknown, or the model knows neither the tabletop nor BridgeData.
    """
    if hand not in HANDS:
        raise ValueError(f"hand is 'left' or 'right', not {hand!r}")
    return tabletop_policy(model, camera=camera, state=HANDS[hand])
