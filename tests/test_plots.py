import io

import numpy as np
import pytest
from PIL import Image

from vla_course import plots


def size_and_colors(image):
    picture = Image.open(io.BytesIO(image.data)).convert("RGB")
    return picture.size, len(picture.getcolors(1 << 20))


def test_lines_is_a_small_picture_with_words():
    x = np.arange(5)
    drawn = plots.lines(
        x, {"a": x**2, "shorter": x[:3]}, xlabel="s", ylabel="mm", alt="two curves", level=(4, "limit")
    )
    (width, _), colors = size_and_colors(drawn)
    assert width > 500 and colors > 10
    assert len(drawn.data) < 60_000
    assert drawn.alt == "two curves"


def test_lines_shows_where_equal_series_lie_on_one_another():
    x = np.arange(50)
    drawn = plots.lines(x, {"a": x, "b": x, "c": x}, xlabel="", ylabel="", alt="", nested=True)
    pixels = np.asarray(Image.open(io.BytesIO(drawn.data)).convert("RGB")).astype(int).reshape(-1, 3)
    for color in plots.COLORS[:3]:
        wanted = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)])
        assert (np.abs(pixels - wanted).max(axis=1) < 40).sum() > 300


def test_lines_refuses_a_series_longer_than_x():
    with pytest.raises(ValueError, match="at most 3 points"):
        plots.lines([0, 1, 2], {"long": [1, 2, 3, 4]}, xlabel="", ylabel="", alt="")


def test_bars_get_longer_with_their_value():
    drawn = plots.bars({"small": 1.0, "large": 3.0}, xlabel="Hz", alt="two bars", level=(2.0, "wanted"))
    pixels = np.asarray(Image.open(io.BytesIO(drawn.data)).convert("RGB")).astype(int)
    blue = np.abs(pixels - [0, 114, 178]).max(axis=2) < 12
    lengths = blue.sum(axis=1)
    rows = np.flatnonzero(lengths > 20)
    first, last = lengths[rows[0] + 3], lengths[rows[-1] - 3]
    assert last == pytest.approx(3 * first, rel=0.1)


def test_rates_stand_beside_one_another_whatever_is_missing_or_rounds():
    rows = {
        "seen": {"live": (1.0, 0.5, 1.0 - 1e-16), "recorded": (0.8, 0.7, 0.9)},
        "blind": {"recorded": (0.0, 1e-18, 0.1)},
    }
    shown = plots.rates(rows, xlabel="%", alt="two rows")
    assert shown.alt == "two rows"
    pixels = np.asarray(Image.open(io.BytesIO(shown.data)).convert("RGB")).astype(int).reshape(-1, 3)
    for color in plots.COLORS[:2]:
        wanted = [int(color[k : k + 2], 16) for k in (1, 3, 5)]
        assert (np.abs(pixels - wanted).max(1) < 12).sum() > 30
    with pytest.raises(ValueError, match="at most 7 series"):
        plots.rates({"all": {str(k): (0.5, 0.4, 0.6) for k in range(8)}}, xlabel="%", alt="")


def test_curves_show_what_was_measured_and_leave_out_the_rest():
    lines = [{"step": k, "loss/bc": 3.0 / k, "policy/token_accuracy": 0.1 * k} for k in range(1, 9)]
    lines[3]["validation/bc"] = lines[7]["validation/bc"] = 2.0
    shown = plots.curves(lines)
    (width, _), _ = size_and_colors(shown)
    assert width > 500 and "steps" in shown.alt
    pixels = np.asarray(Image.open(io.BytesIO(shown.data)).convert("RGB")).astype(int).reshape(-1, 3)
    for color in plots.COLORS[:2]:  # the loss, and that of other episodes
        wanted = [int(color[k : k + 2], 16) for k in (1, 3, 5)]
        assert (np.abs(pixels - wanted).max(1) < 40).sum() > 50


def test_live_curves_change_in_place(monkeypatch):
    drawn = []

    class Handle:
        def update(self, picture) -> None:
            drawn.append(picture)

    monkeypatch.setattr(plots, "display", lambda picture, display_id: drawn.append(picture) or Handle())
    live = plots.LiveCurves()
    live([{"step": 1, "loss/bc": 2.0}, {"step": 2, "loss/bc": 1.0}])
    assert len(drawn) == 2 and drawn[0].data != drawn[1].data
