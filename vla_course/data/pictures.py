"""What info.json says of a camera's pictures, and pictures that are kept in parquet files instead of videos."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from jaxtyping import UInt8

COLORS = 3
FORMATS = ("PNG", "JPEG")
EIGHT_BITS = ("RGB", "RGBA", "L", "LA", "P", "1")
"""Pillow's kinds of pictures that become RGB without a loss; depth in 16 bits does not."""


def picture_shape(feature: Mapping[str, Any], where: str) -> tuple[int, int, int]:
    """Height, width and 3: the order that `names` tells, or, without names, the one whose first or last number is 3.

    Raises:
        ValueError: the feature, which is called `where`, is no picture with three colours.
    """
    shape, names = feature.get("shape"), feature.get("names")
    found: list[Any] = []
    if isinstance(shape, list) and len(shape) == 3:
        if isinstance(names, list) and len(names) == 3:
            sides = {str(name).removesuffix("s"): side for name, side in zip(names, shape, strict=True)}
            found = [sides.get(name) for name in ("height", "width", "channel")]
        if None in found or not found:
            found = shape if shape[2] == COLORS else [*shape[1:], shape[0]]
    if len(found) != 3 or not all(type(side) is int and side > 0 for side in found) or found[2] != COLORS:
        raise ValueError(
            f"{where}: want pictures of height, width and {COLORS} channels, found shape {shape!r} for {names!r}"
        )
    return found[0], found[1], COLORS


def stored_picture(
    stored: Any, shape: tuple[int, int, int], root: Path, where: str
) -> UInt8[np.ndarray, "H W 3"]:
    """A picture out of a parquet file: the bytes of a PNG or JPEG file, or its path in the set's folder.

    Raises:
        ValueError: it is missing, damaged, outside the folder, of more than eight bits or of another size; `where` is named.
    """
    kept = stored if isinstance(stored, dict) else {"bytes": stored}
    content, path = kept.get("bytes"), kept.get("path")
    try:
        if content is None and isinstance(path, str):
            content = inside(root, path).read_bytes()
        if not isinstance(content, bytes):
            raise ValueError("neither bytes nor the path of a file are there")
        with PIL.Image.open(io.BytesIO(content), formats=FORMATS) as image:
            found = (image.height, image.width, COLORS)
            if found != shape or image.mode not in EIGHT_BITS:
                raise ValueError(f"it is {found} ({image.mode}), info.json says {shape}")
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError, PIL.Image.DecompressionBombError) as error:
        raise ValueError(f"{where} cannot be read as a picture: {error}") from error


def inside(root: Path, path: str) -> Path:
    """A file of a data set. Links are followed, as a download's folder may consist of them.

    Raises:
        ValueError: the path leads out of the set's folder.
    """
    if "\0" in path or Path(path).is_absolute() or ".." in Path(path.replace("\\", "/")).parts:
        raise ValueError(
            f"{root}: {path!r} leads out of the data set: names of cameras and files must stay in it"
        )
    return root / path
