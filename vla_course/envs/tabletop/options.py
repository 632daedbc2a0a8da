"""What `reset(options=...)` may pin, and the errors for what does not fit."""

from typing import Any

from vla_course.envs.observations import TEXT_CHARACTERS, TEXT_LENGTH
from vla_course.envs.tabletop.config import COLORS
from vla_course.envs.tabletop.garments import GARMENTS
from vla_course.envs.tabletop.shapes import SHAPES
from vla_course.envs.tabletop.tasks import Thing

OPTIONS = (
    "task",
    "instruction",
    "split",
    "wrong_instruction",
    "words",
    "things",
    "garment",
    "position",
    "yaw",
    "garment_pose",
    "table",
    "hand_offset",
    "hand_yaw",
    "color_shift",
    "camera_jitter",
    "camera_turn",
    "brightness",
    "warmth",
    "light_shift",
)


def pinned_thing(pair: Any) -> Thing:
    """The thing meant by a (colour, kind).

    Raises: ValueError if there is no such thing.
    """
    try:
        color, kind = pair.pair if isinstance(pair, Thing) else pair
    except (TypeError, ValueError):
        raise ValueError(f"a thing is a (colour, kind), like ('red', 'cube'), not {pair!r}") from None
    if color not in COLORS or kind not in SHAPES:
        raise ValueError(
            f"unknown thing {(color, kind)}: colours are {', '.join(COLORS)}, kinds {', '.join(SHAPES)}"
        )
    return Thing(color, kind)


def pinned_words(words: Any) -> str:
    """A sentence, as it is.

    Raises: ValueError if it is too long, or has letters that the instruction's space does not know.
    """
    if (
        not isinstance(words, str)
        or not 0 < len(words) <= TEXT_LENGTH
        or not set(words) <= set(TEXT_CHARACTERS)
    ):
        raise ValueError(f"words are 1 to {TEXT_LENGTH} letters of {TEXT_CHARACTERS!r}, not {words!r}")
    return words


def pinned_garment(pair: Any) -> tuple[str, str]:
    """The colour and kind of a garment.

    Raises: ValueError if there is no such garment.
    """
    try:
        color, kind = pair
    except (TypeError, ValueError):
        raise ValueError(f"a garment is a (colour, kind), like ('blue', 't-shirt'), not {pair!r}") from None
    if color not in COLORS or kind not in GARMENTS:
        raise ValueError(
            f"unknown garment {(color, kind)}: colours are {', '.join(COLORS)}, kinds {', '.join(GARMENTS)}"
        )
    return color, kind
