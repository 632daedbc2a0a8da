"""Demonstrations mirrored between left and right: each counts twice for a robot with two equal arms."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float, UInt8

from vla_course.data.lerobot import Track
from vla_course.data.statistics import HAND

SIGNS = np.array([1, -1, 1, -1, 1, -1, 1], np.float32)
"""What a mirror between left and right does to them: y is another way, and so are turns about the axes that lie in the mirror."""

BESIDE_THE_MIRROR = ("side",)
"""Cameras of the scene that do not stand in the plane of the mirror: what they would see in it, no camera shows."""


def mirrored_hands(numbers: Float[np.ndarray, "*batch D"]) -> Float[np.ndarray, "*batch D"]:
    """Actions or states of two hands as a mirror between left and right shows them: the left hand's become the right hand's.

    The first fourteen numbers are the hands'. Of what follows a pair, as touch, changes sides; a single number, as the stage
    signal, stays.

    Raises:
        ValueError: these are not the numbers of two hands.
    """
    if not 2 * HAND <= numbers.shape[-1] <= 2 * HAND + 2:
        raise ValueError(
            f"a mirror swaps two hands of {HAND} numbers each and at most a pair behind them, not {numbers.shape[-1]} numbers"
        )
    left, right, rest = np.split(numbers, [HAND, 2 * HAND], axis=-1)
    return np.concatenate([right * SIGNS, left * SIGNS, rest[..., ::-1]], axis=-1)


def mirrored_pictures(images: UInt8[np.ndarray, "*batch H W 3"]) -> UInt8[np.ndarray, "*batch H W 3"]:
    """The pictures of a camera that stands in the plane of the mirror."""
    return np.ascontiguousarray(images[..., ::-1, :])


def mirrored_order(cameras: Sequence[str]) -> list[int]:
    """For each camera the place of the one that sees the same in the mirror: the other hand's, or itself.

    Both wrists' cameras are mounted alike, each other's mirror image, so that the left one sees there what the right one sees.

    Raises:
        ValueError: a camera has no such counterpart.
    """
    order = []
    for camera in cameras:
        hand, _, rest = camera.partition("_")
        other = {"left": f"right_{rest}", "right": f"left_{rest}"}.get(hand, camera)
        if other not in cameras or camera in BESIDE_THE_MIRROR:
            wanted = f"without {other}" if other != camera else "which stands on one side"
            raise ValueError(f"a mirror cannot show what is seen by the camera {camera}, {wanted}")
        order.append(cameras.index(other))
    return order


def mirrored_views(
    images: UInt8[np.ndarray, "*batch C H W 3"], cameras: Sequence[str]
) -> UInt8[np.ndarray, "*batch C H W 3"]:
    """The pictures of several cameras, all of one moment: each flipped, and the hands' cameras change places.

    Raises:
        ValueError: as `mirrored_order`.
    """
    return mirrored_pictures(images[..., mirrored_order(cameras), :, :, :])


def mirrored_tracks(tracks: Iterable[Track]) -> Iterator[Track]:
    """Episodes with left and right mirrored; the instructions stay.

    Raises:
        ValueError: states or actions are not those of two hands.
    """
    for track in tracks:
        executed = None if track.executed is None else mirrored_hands(track.executed)
        yield replace(
            track,
            states=mirrored_hands(track.states),
            actions=mirrored_hands(track.actions),
            executed=executed,
        )
