"""H.264 videos from frames, static film strips, and both in a notebook."""

import base64
import html
import io
import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from IPython.display import HTML, display
from jaxtyping import UInt8
from numpy.typing import NDArray
from PIL import Image

from vla_course.files import replacing
from vla_course.picture import Picture

Frames = Sequence[NDArray[Any]] | NDArray[Any]
"""RGB pictures of one size, uint8 (H, W, 3) each: as a list, or as one array with time first."""

_STRIP_GAP = 4


def encode_mp4(frames: Frames, fps: float) -> bytes:
    """The frames as an MP4 file (H.264, 4:2:0), which every browser plays.

    Raises: ValueError if there are no frames, if they are not RGB uint8 of one size, if a side is odd (H.264 halves the
    colour resolution, so sides are even), or if `fps` is not positive.
    """
    pictures = _checked(frames)
    height, width, _ = pictures[0].shape
    if height % 2 or width % 2:
        raise ValueError(
            f"video frames need even sides, not {height} × {width}: render at {height + height % 2} × {width + width % 2}"
        )
    if not fps > 0:
        raise ValueError(f"fps is frames per second and positive, not {fps}")
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream(
            "libx264", rate=Fraction(fps).limit_denominator(1000), options={"crf": "23"}
        )
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


def write_video(path: str | os.PathLike[str], frames: Frames, fps: float) -> Path:
    """Writes the frames to an .mp4 file and returns its path. The file appears whole or not at all.

    Missing folders are made; an older file of this name is replaced.

    Raises: ValueError if the name does not end in .mp4, and as `encode_mp4`.
    """
    target = Path(path)
    if target.suffix.lower() != ".mp4":
        raise ValueError(f"a video file ends in .mp4, not {target.name!r}")
    movie = encode_mp4(frames, fps)
    with replacing(target) as partial:
        partial.write_bytes(movie)
    return target


def film_strip(frames: Frames, columns: int = 6) -> UInt8[np.ndarray, "H S 3"]:
    """Some of the frames side by side, evenly spaced in time, from the first to the last.

    Raises: ValueError if `columns` is less than one, and for frames as in `encode_mp4` (odd sides are welcome here).
    """
    pictures = _checked(frames)
    if columns < 1:
        raise ValueError(f"a film strip has at least one column, not {columns}")
    chosen = np.unique(np.linspace(0, len(pictures) - 1, columns).round().astype(int))
    gap = np.full((pictures[0].shape[0], _STRIP_GAP, 3), 255, dtype=np.uint8)
    parts = [part for index in chosen for part in (gap, pictures[index])]
    return np.concatenate(parts[1:], axis=1)


def show_video(
    frames: Frames,
    fps: float,
    *,
    alt: str,
    columns: int = 6,
    strip: UInt8[np.ndarray, "H W 3"] | None = None,
    strip_width: int = 1200,
    width: int = 480,
) -> None:
    """Shows the frames in a notebook twice: as a film strip and as a video to play.

    GitHub and printed pages show the strip, JupyterLab and Colab the video too. Both lie in the notebook itself, so keep
    frames few and small: 200 frames of 480 × 360 are about 0.3 MB. `alt` says in words what is to be seen, `strip` is a picture
    of your own in place of the film strip, `strip_width` and `width` are the widths of strip and video in pixels.

    Raises: ValueError as `encode_mp4`.
    """
    movie = base64.b64encode(encode_mp4(frames, fps)).decode("ascii")
    words = html.escape(alt, quote=True)
    tag = (
        f'<video controls loop muted playsinline width="{width}" aria-label="{words}">'
        f'<source type="video/mp4" src="data:video/mp4;base64,{movie}"></video>'
    )
    still = _jpeg(film_strip(frames, columns) if strip is None else strip, strip_width)
    # Two outputs: of one output GitHub would take the richer form, and then leave the video out of it.
    display(Picture(still, alt))  # type: ignore[no-untyped-call]
    display(HTML(tag))  # type: ignore[no-untyped-call]


def _jpeg(picture: UInt8[np.ndarray, "H W 3"], max_width: int) -> bytes:
    image = Image.fromarray(picture)
    if image.width > max_width:
        image = image.resize(
            (max_width, max(1, round(image.height * max_width / image.width))), Image.Resampling.LANCZOS
        )
    file = io.BytesIO()
    image.save(file, format="JPEG", quality=85, optimize=True)
    return file.getvalue()


def _checked(frames: Frames) -> list[UInt8[np.ndarray, "H W 3"]]:
    pictures = [np.asarray(frame) for frame in frames]
    if not pictures:
        raise ValueError("there are no frames: collect at least one picture before making a video")
    first = pictures[0]
    if first.ndim != 3 or first.shape[2] != 3 or first.size == 0:
        raise ValueError(f"a frame is an RGB picture of shape (height, width, 3), not {first.shape}")
    for index, picture in enumerate(pictures):
        if picture.dtype != np.uint8:
            raise ValueError(f"frames are uint8 from 0 to 255; frame {index} is {picture.dtype}")
        if picture.shape != first.shape:
            raise ValueError(
                f"all frames have one size; frame {index} is {picture.shape}, frame 0 {first.shape}"
            )
    return pictures
