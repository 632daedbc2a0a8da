"""Videos: what is said of them whatever PyAV's version."""

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from vla_course.data import videos
from vla_course.data.videos import encode_frames, video_info


class RationalOfPyAV19:
    """As `av.rational.AVRational`: no fraction, no conversion to int, falsy where 0 or unknown."""

    def __init__(self, numerator: int, denominator: int) -> None:
        self.numerator, self.denominator = numerator, denominator

    def __bool__(self) -> bool:
        return self.numerator != 0 and self.denominator != 0


@pytest.mark.parametrize(
    ("rate", "fps"), [(RationalOfPyAV19(5, 1), 5), (RationalOfPyAV19(0, 0), 0), (None, 0)]
)
def test_the_rate_of_a_video_is_told_whatever_type_pyav_gives_it(monkeypatch, tmp_path, rate, fps):
    (tmp_path / "v.mp4").write_bytes(encode_frames(np.zeros((3, 16, 16, 3), np.uint8), 5))
    opened = videos._opened

    def as_pyav_19(path: Path) -> nullcontext:
        stream = opened(path).streams.video[0]
        as_told = SimpleNamespace(codec_context=stream.codec_context, codec=stream.codec, average_rate=rate)
        return nullcontext(SimpleNamespace(streams=SimpleNamespace(video=[as_told])))

    monkeypatch.setattr(videos, "_opened", as_pyav_19)
    assert video_info(tmp_path / "v.mp4")["video.fps"] == fps
