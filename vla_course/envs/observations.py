"""What observations of all environments share: the keys chosen, camera images, bounds, the characters of an instruction."""

import string
from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces

from vla_course.envs.arguments import check_known

Observation = dict[str, Any]

MAX_ANGLE_RAD, MAX_DISTANCE_M = 10.0, 10.0  # no joint turns, and nothing on the table gets, that far
IMAGE = "image_"
"""Prefix of the key of a camera's image; the camera's name follows."""
TEXT_LENGTH = 128
TEXT_CHARACTERS = string.ascii_letters + string.digits + " .,;:!?'\"()-/"


def instruction_space() -> spaces.Text:
    """The space of an instruction: 1 to TEXT_LENGTH of TEXT_CHARACTERS."""
    return spaces.Text(TEXT_LENGTH, charset=TEXT_CHARACTERS)


def observation_space(
    state: Mapping[str, spaces.Space[Any]],
    keys: tuple[str, ...] | None,
    *,
    on_request: Mapping[str, spaces.Space[Any]],
    cameras: tuple[str, ...],
    image_size: tuple[int, int],
) -> spaces.Dict:
    """The space of observations with these keys and one (H, W, 3) image for each camera.

    `keys` None means all of `state`; what is `on_request` must be named.

    Raises: ValueError for a key that is in neither, naming the known ones.
    """
    known = {**state, **on_request}
    if keys is not None:
        check_known("observation key", keys, known)
    chosen = {key: known[key] for key in (state if keys is None else keys)}
    for camera in cameras:
        chosen[IMAGE + camera] = spaces.Box(0, 255, (*image_size, 3), np.uint8)
    return spaces.Dict(chosen)
