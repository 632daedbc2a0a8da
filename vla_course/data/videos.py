"""Camera pictures as MP4 files: written whole, joined without coding them anew, read one by one.

A lossy video is not what a pupil will see through its camera. Measured on 84 × 84 pictures of towel folds, the largest and the
mean error in grey levels, and kilobytes a frame: LeRobot's default (AV1, 4:2:0, crf 30) 181, 3.0 and 0.8; H.264 4:4:4 at crf 12
45, 1.0 and 2.4; H.264 without loss 0, 0 and 3.9. Small pictures can afford to be exact, so exact is what is written.
"""

import io
import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np
from jaxtyping import Float, UInt8

CODEC, PIXEL_FORMAT = "libx264rgb", "rgb24"
OPTIONS = {"qp": "0", "preset": "slower", "g": "8", "bf": "0"}
"""qp 0 is lossless; a key frame at least every eight, and none that needs a later one, so that any frame is found quickly."""
TOLERANCE_S, SHARE_OF_A_FRAME = 1e-4, 0.1
"""How far from its moment a picture may be shown: so much at any rate, or this share of the time between two."""

LONGEST_S = 1e9
"""No video is longer, and FFmpeg counts no further."""


def encode_frames(images: UInt8[np.ndarray, "T H W 3"], fps: int) -> bytes:
    """The pictures as an MP4 file (H.264 in RGB, without loss), the same bytes for the same pictures."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream: Any = container.add_stream(CODEC, rate=Fraction(fps), options=OPTIONS)
        stream.height, stream.width, stream.pix_fmt = *images.shape[1:3], PIXEL_FORMAT
        stream.thread_count = 1  # the bytes must not depend on the number of cores
        for image in images:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file.getvalue()


def join_videos(paths: Sequence[Path], lengths: Sequence[int], fps: int, target: Path) -> None:
    """One video after the other in one file, packet by packet: nothing is decoded.

    `lengths` are their numbers of frames; frame i of the whole is shown at i / fps.

    Raises:
        ValueError: a video was written with other settings than the first, or has another number of frames; it is named.
    """
    with av.open(str(target), "w", format="mp4") as whole:
        stream: Any = None
        begins = 0
        for path, length in zip(paths, lengths, strict=True):
            with _opened(path) as part:
                source = part.streams.video[0]
                if stream is None:
                    stream = whole.add_stream_from_template(source, opaque=True)
                    stream.time_base, settings = Fraction(1, fps), source.codec_context.extradata
                if source.codec_context.extradata != settings:
                    raise ValueError(
                        f"{path} was encoded with other settings than {paths[0]}: cannot join them"
                    )
                found = 0
                for packet in part.demux(source):
                    if packet.dts is None:  # the end of the file
                        continue
                    packet.pts = packet.dts = begins + round(packet.pts * packet.time_base * fps)
                    packet.duration, packet.time_base, packet.stream = 1, Fraction(1, fps), stream
                    whole.mux(packet)
                    found += 1
                if found != length:
                    raise ValueError(f"{path} has {found} frames, not {length}")
            begins += length


def read_frames(
    path: Path, moments: Float[np.ndarray, " T"], fps: float
) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
    """The pictures that a video shows at these moments (s from its begin, ascending), decoded one by one as they are asked for.

    `fps` is the rate of the moments; the camera may have filmed faster. A picture may be off by a tenth of the time between two
    (of the video or of the moments, what is shorter): enough for rates like 30000/1001 and for times in whole milliseconds, and
    too little for a neighbour to take the place of a lost picture. LeRobot 0.4.4 allows 0.1 ms, which is allowed here always.

    Raises:
        ValueError: the file is missing, damaged or too short, or has no picture of a moment; file, moment and its number are named.
    """
    with _opened(path) as container:
        stream = container.streams.video[0]
        allowed = max(TOLERANCE_S, SHARE_OF_A_FRAME / max(fps, float(exact(stream.average_rate))))
        wanted, shown = 0, -math.inf
        try:
            for frame in _decoded(container, stream, float(moments[0]) + allowed):
                before, shown = shown, _time_of(frame, path)
                image: UInt8[np.ndarray, "H W 3"] | None = None
                while moments[wanted] <= shown + allowed:
                    if moments[wanted] < shown - allowed:
                        raise ValueError(_lost(path, wanted, moments[wanted], before, shown))
                    image = frame.to_ndarray(format="rgb24") if image is None else image
                    yield image
                    wanted += 1
                    if wanted == len(moments):
                        return
        except av.error.FFmpegError as error:
            raise ValueError(f"{path} is damaged after frame {wanted}: {error}") from error
        raise ValueError(_lost(path, wanted, moments[wanted], shown, math.inf))


def _decoded(container: Any, stream: Any, moment: float) -> Iterator[Any]:
    """The pictures of a video in order, from one on that is shown at this moment or before, and that is near if it can be."""
    back_s, moment = 0.0, min(moment, LONGEST_S)
    while back_s < moment:
        container.seek(int((moment - back_s) / exact(stream.time_base)), stream=stream)
        frames = container.decode(stream)
        first = next(frames, None)
        if first is not None and first.time is not None and first.time <= moment:
            return chain([first], frames)
        # FFmpeg finds a key frame by when it is decoded; with B-frames it may be shown after the moment.
        back_s = 4 * back_s + 1
    container.seek(0, stream=stream)
    return chain(container.decode(stream))


def _time_of(frame: Any, path: Path) -> float:
    if frame.time is None:
        raise ValueError(f"{path} does not say when its pictures are shown")
    return float(frame.time)


def _lost(path: Path, number: int, moment: float, before: float, after: float) -> str:
    there = " and ".join(f"{time:.4f} s" for time in (before, after) if math.isfinite(time)) or "none"
    return (
        f"{path} has no picture of frame {number}, at {moment:.4f} s: the next to it are at {there}. A picture was lost, or the "
        "video runs at another rate than its times in the set"
    )


def video_info(path: Path) -> dict[str, Any]:
    """What LeRobot's info.json says of a video feature: size, codec, pixel format, frame rate."""
    with _opened(path) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        return {
            "video.height": context.height,
            "video.width": context.width,
            "video.codec": stream.codec.canonical_name,
            "video.pix_fmt": context.pix_fmt,
            "video.is_depth_map": False,
            "video.fps": int(exact(stream.average_rate)),
            "video.channels": 3,
            "has_audio": False,
        }


def exact(rational: Any) -> Fraction:
    """A rate or time base of PyAV as a fraction, 0 if unknown. Up to 18 it is one or None; 19 has a type that `int` refuses."""
    return Fraction(rational.numerator, rational.denominator) if rational else Fraction(0)


def _opened(path: Path) -> Any:
    try:
        container = av.open(str(path))
    except (OSError, av.error.FFmpegError) as error:
        raise ValueError(f"{path} cannot be read as a video: {error}") from error
    if not container.streams.video:
        raise ValueError(f"{path} holds no video")
    return container
