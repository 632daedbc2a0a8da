"""Videos and film strips from frames."""

import base64
import io
import re

import av
import numpy as np
import pytest
from IPython.core.formatters import DisplayFormatter
from shown_pictures import shown

from vla_course.video import encode_mp4, film_strip, show_video, write_video


def moving_bar(count: int = 12, height: int = 48, width: int = 64) -> list[np.ndarray]:
    frames = []
    for k in range(count):
        frame = np.full((height, width, 3), 30, dtype=np.uint8)
        frame[:, 4 * k : 4 * k + 8] = (220, 60, 60)
        frames.append(frame)
    return frames


def decode(movie: bytes) -> tuple[list[np.ndarray], av.video.stream.VideoStream]:
    with av.open(io.BytesIO(movie)) as container:
        stream = container.streams.video[0]
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)], stream


def test_a_video_shows_the_frames_it_was_made_of():
    frames = moving_bar()
    pictures, stream = decode(encode_mp4(frames, fps=20))
    assert stream.codec_context.name == "h264" and stream.codec_context.pix_fmt == "yuv420p"
    assert stream.average_rate == 20 and len(pictures) == 12
    for picture, frame in zip(pictures, frames, strict=True):
        assert np.abs(picture.astype(int) - frame).mean() < 6  # H.264 loses a little


def test_an_array_with_time_first_and_a_fractional_rate_are_fine():
    pictures, stream = decode(encode_mp4(np.stack(moving_bar(5)), fps=12.5))
    assert len(pictures) == 5 and float(stream.average_rate) == 12.5


@pytest.mark.parametrize(
    ("frames", "fps", "message"),
    [
        ([], 20, "no frames"),
        (np.zeros((0, 4, 4, 3), np.uint8), 20, "no frames"),
        ([np.zeros((4, 4), np.uint8)], 20, r"\(height, width, 3\), not \(4, 4\)"),
        ([np.zeros((4, 4, 3), np.uint8), np.zeros((4, 6, 3), np.uint8)], 20, r"frame 1 is \(4, 6, 3\)"),
        ([np.zeros((4, 4, 3), np.float32)], 20, "frame 0 is float32"),
        ([np.zeros((5, 4, 3), np.uint8)], 20, "even sides, not 5 × 4: render at 6 × 4"),
        ([np.zeros((4, 4, 3), np.uint8)], 0, "positive, not 0"),
    ],
)
def test_bad_frames_are_named(frames, fps, message):
    with pytest.raises(ValueError, match=message):
        encode_mp4(frames, fps)


def test_writing_makes_the_folder_and_replaces_an_older_file(tmp_path):
    path = tmp_path / "new" / "fold.mp4"
    assert write_video(path, moving_bar(4), fps=20) == path
    write_video(path, moving_bar(8), fps=20)
    assert len(decode(path.read_bytes())[0]) == 8
    assert [file.name for file in path.parent.iterdir()] == ["fold.mp4"]


def test_a_failed_write_leaves_the_older_file_and_no_rubbish(tmp_path, monkeypatch):
    path = write_video(tmp_path / "fold.mp4", moving_bar(4), fps=20)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="frame 1"):
        write_video(path, [np.zeros((4, 4, 3), np.uint8), np.zeros((8, 4, 3), np.uint8)], fps=20)

    def full(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="disk full"):
        write_video(path, moving_bar(8), fps=20)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["fold.mp4"]


def test_only_mp4_is_written(tmp_path):
    with pytest.raises(ValueError, match=r"ends in \.mp4, not 'fold\.gif'"):
        write_video(tmp_path / "fold.gif", moving_bar(2), fps=20)


def test_film_strip_goes_from_first_to_last():
    frames = [np.full((5, 7, 3), 10 * k, dtype=np.uint8) for k in range(9)]
    strip = film_strip(frames, columns=3)
    assert strip.shape == (5, 3 * 7 + 2 * 4, 3)
    assert [int(strip[0, x, 0]) for x in (0, 7 + 4, 2 * (7 + 4))] == [0, 40, 80]
    assert strip[0, 7, 0] == 255, "a white gap between the pictures"
    assert film_strip(frames[:2], columns=6).shape == (5, 2 * 7 + 4, 3), "no frame twice"
    with pytest.raises(ValueError, match="at least one column"):
        film_strip(frames, columns=0)


def test_a_notebook_gets_a_strip_and_a_playable_video(monkeypatch):
    displayed = []
    monkeypatch.setattr("vla_course.video.display", displayed.append)
    show_video(moving_bar(10), fps=20, alt='a "bar" moves & stops', columns=4, strip_width=100)
    strip, words = shown(displayed[0])
    assert strip.shape[1] == 100 and words == 'a "bar" moves & stops'
    text = DisplayFormatter().format(displayed[1])[0]["text/html"]
    assert 'aria-label="a &quot;bar&quot; moves &amp; stops"' in text
    movie = base64.b64decode(re.search(r"data:video/mp4;base64,([^\"]+)", text).group(1))
    assert len(decode(movie)[0]) == 10
    assert len(movie) < 20_000


def test_a_picture_of_ones_own_takes_the_strips_place(monkeypatch):
    displayed, own = [], np.full((30, 50, 3), 200, np.uint8)
    monkeypatch.setattr("vla_course.video.display", displayed.append)
    show_video(moving_bar(3), fps=20, alt="grey", strip=own)
    strip, _ = shown(displayed[0])
    assert np.abs(strip.astype(int) - own).max() < 3
