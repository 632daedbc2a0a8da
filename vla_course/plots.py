"""Figures for lessons, drawn from returned values or files, always with alternative text."""

import io
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from IPython.display import display
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from vla_course.picture import Picture

# Okabe and Ito's colours: told apart by everyone, in print too.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
INK, GREY, PALE = "#222222", "#8a8f98", "#d9dce1"


def figure(
    rows: int = 1, columns: int = 1, *, width: float = 7.0, height: float = 3.0
) -> tuple[Figure, list[Axes]]:
    """A figure in inches that belongs to no window, and its axes row by row."""
    with matplotlib.rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        drawing = Figure(figsize=(width, height), layout="constrained")
        axes = drawing.subplots(rows, columns, squeeze=False)
    return drawing, list(axes.ravel())


def picture(drawing: Figure, alt: str, *, dpi: int = 110) -> Picture:
    """The figure as a small PNG with a description, for the end of a notebook cell."""
    width = round(drawing.get_figwidth() * 100)
    return Picture(png(drawing, dpi=dpi), alt, width)


def png(drawing: Figure, *, dpi: int = 110, colors: int = 128) -> bytes:
    """The figure as PNG bytes. Few colours keep a stored notebook small."""
    raw, small = io.BytesIO(), io.BytesIO()
    drawing.savefig(raw, format="png", dpi=dpi, facecolor="white")
    Image.open(raw).convert("RGB").quantize(colors).save(small, "PNG", optimize=True)
    return small.getvalue()


def lines(
    x: Sequence[float] | np.ndarray,
    series: Mapping[str, Sequence[float] | np.ndarray],
    *,
    xlabel: str,
    ylabel: str,
    alt: str,
    log: str = "",
    level: tuple[float, str] | None = None,
    nested: bool = False,
) -> Picture:
    """One line per series over the first points of x.

    `log` is "", "x", "y" or "xy"; `level` draws a labelled horizontal line; `nested` makes later lines thinner, so that
    lines that lie on one another can all be seen.

    Raises: ValueError for more series than there are colours, or one that is longer than x.
    """
    if len(series) > len(COLORS) or any(len(y) > len(x) for y in series.values()):
        lengths = {label: len(y) for label, y in series.items()}
        raise ValueError(f"at most {len(COLORS)} series of at most {len(x)} points; got {lengths}")
    drawing, (axes,) = figure()
    widths = np.linspace(1.6 * len(series), 1.6, len(series)) if nested else [2.0] * len(series)
    for color, width, (label, y) in zip(COLORS, widths, series.items(), strict=False):
        axes.plot(x[: len(y)], y, color=color, label=label, linewidth=width)
    if level is not None:
        axes.axhline(level[0], color=GREY, linewidth=1, linestyle="--")
        axes.annotate(
            level[1], (1, level[0]), xycoords=("axes fraction", "data"), ha="right", va="bottom", color=GREY
        )
    if "x" in log:
        axes.set_xscale("log")
    if "y" in log:
        axes.set_yscale("log")
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    if len(series) > 1:
        axes.legend(frameon=False)
    return picture(drawing, alt)


def bars(
    values: Mapping[str, float], *, xlabel: str, alt: str, level: tuple[float, str] | None = None
) -> Picture:
    """One horizontal bar per entry with its value written behind it; `level` draws a labelled vertical line."""
    drawing, (axes,) = figure(height=0.6 + 0.36 * len(values))
    names = list(values)
    axes.barh(names, list(values.values()), color=COLORS[0], height=0.6)
    for row, value in enumerate(values.values()):
        axes.annotate(f" {value:.3g}", (value, row), va="center", color=INK)
    if level is not None:
        axes.axvline(level[0], color=COLORS[1], linewidth=1.5)
        axes.annotate(
            level[1],
            (level[0], 1),
            xycoords=("data", "axes fraction"),
            ha="left",
            va="bottom",
            color=COLORS[1],
        )
    axes.invert_yaxis()
    axes.set_xlabel(xlabel)
    axes.margins(x=0.12)
    return picture(drawing, alt)


def rates(rows: Mapping[str, Mapping[str, tuple[float, float, float]]], *, xlabel: str, alt: str) -> Picture:
    """For each row a dot and its interval for every series in it: (rate, low, high), each from 0 to 1, shown in percent.

    Raises: ValueError for more series than there are colours.
    """
    series = list(dict.fromkeys(name for row in rows.values() for name in row))
    if len(series) > len(COLORS):
        raise ValueError(f"at most {len(COLORS)} series; got {', '.join(series)}")
    drawing, (axes,) = figure(height=0.9 + 0.24 * len(rows) * (len(series) + 0.6))
    for number, name in enumerate(series):
        offset = 0.22 * (number - (len(series) - 1) / 2)
        points = [(place + offset, *row[name]) for place, row in enumerate(rows.values()) if name in row]
        y, rate, low, high = 100 * np.array(points).T
        whiskers = np.stack([rate - low, high - rate]).clip(0)  # 0 of 8 may round to an end beyond its rate
        axes.errorbar(rate, y / 100, xerr=whiskers, fmt="o", color=COLORS[number], capsize=3, label=name)
    axes.set_yticks(range(len(rows)), list(rows))
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(-2, 102)
    axes.grid(axis="x", color=PALE)
    axes.set_axisbelow(True)
    axes.set_xlabel(xlabel)
    if len(series) > 1:
        drawing.legend(frameon=False, loc="outside lower center", ncols=len(series))
    return picture(drawing, alt)


LEARNING = (("loss/bc", "validation/bc"), ("policy/token_accuracy", "validation/token_accuracy"))
"""Metrics to watch during fine-tuning: one panel for each group."""


def curves(
    lines: Sequence[Mapping[str, float]],
    panels: Sequence[Sequence[str]] = LEARNING,
    *,
    alt: str = "How loss and token accuracy change with training steps",
) -> Picture:
    """The metrics of a run over its steps, from the lines of its metrics file (`read_metrics`); missing metrics are skipped."""
    drawing, places = figure(1, len(panels), height=2.6)
    for axes, names in zip(places, panels, strict=True):
        for color, name in zip(COLORS, names, strict=False):
            points = [(line["step"], line[name]) for line in lines if name in line]
            if points:
                axes.plot(*zip(*points, strict=True), color=color, label=name, linewidth=2.0)
        axes.set_xlabel("step")
        if axes.has_data():
            axes.legend(frameon=False)
    return picture(drawing, alt)


class LiveCurves:
    """`curves` that update in place during a run: pass an instance to `fine_tune` as `watch`."""

    def __init__(self, panels: Sequence[Sequence[str]] = LEARNING) -> None:
        self._panels = panels
        self._shown = display(curves([], panels), display_id=True)  # type: ignore[no-untyped-call]

    def __call__(self, lines: Sequence[Mapping[str, float]]) -> None:
        """Replace the displayed curves."""
        if self._shown is not None:  # there is none where no notebook shows it
            self._shown.update(curves(lines, self._panels))
