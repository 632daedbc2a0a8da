"""Confidence intervals of two success rates and of their difference, computed with the learner's functions."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ipywidgets
import numpy as np
import traitlets
from jaxtyping import Bool
from matplotlib.axes import Axes

from vla_course import plots
from vla_course.evaluation.intervals import episodes_needed, paired_bootstrap, wilson_interval
from vla_course.widgets.pictured import Drawing, PicturedBox, described, slider

EPISODES = (10, 20, 40, 60, 100, 200, 400)
ALIKE = tuple(range(0, 101, 10))
Interval = tuple[float, float]


def outcomes(
    first: int, second: int, episodes: int, alike: float
) -> tuple[Bool[np.ndarray, " N"], Bool[np.ndarray, " N"]]:
    """Outcomes of two policies over the same starts, ordered: both succeed, only one succeeds, neither succeeds.

    `alike` is the agreement on which starts are hard: 0 is independence, 1 the largest possible agreement.

    Raises:
        ValueError: more successes than episodes, or `alike` is not from 0 to 1.
    """
    if not (0 <= first <= episodes and 0 <= second <= episodes and episodes > 0 and 0 <= alike <= 1):
        raise ValueError(
            f"want 0 to {episodes} successes and alike from 0 to 1, got {first}, {second} and {alike}"
        )
    least, chance = max(0, first - second), first * (episodes - second) / episodes
    lost = round((1 - alike) * chance + alike * least)
    lost = min(max(lost, least), first, episodes - second)
    places, both = np.arange(episodes), first - lost
    return places < first, (places < both) | ((places >= first) & (places < first + second - both))


def unpaired_interval(first: int, second: int, episodes: int) -> Interval:
    """95 % interval of the difference in success rate between two policies evaluated from different starts.

    Source: Newcombe, *Interval estimation for the difference between independent proportions*, 1998, method 10.
    """
    (low_a, high_a), (low_b, high_b) = wilson_interval(first, episodes), wilson_interval(second, episodes)
    a, b = first / episodes, second / episodes
    return b - a - math.hypot(b - low_b, high_a - a), b - a + math.hypot(high_b - b, a - low_a)


class Intervals(Drawing):
    """Two success rates, two intervals of their difference, and interval width against episodes, from `state`."""

    _esm = Path(__file__).with_suffix(".js")
    state = traitlets.Dict().tag(sync=True)


class IntervalPlayground(PicturedBox):
    """Two success rates, the number of episodes and the agreement of the policies; shows the intervals and the episodes needed.

    `paired` has the signature of `paired_bootstrap`, `needed` that of `episodes_needed`.
    """

    episodes = traitlets.Enum(EPISODES, 20).tag(sync=True)
    first = traitlets.Int(75, help="rate of the first policy, percent").tag(sync=True)
    second = traitlets.Int(90, help="rate of the second policy, percent").tag(sync=True)
    alike = traitlets.Enum(ALIKE, 50, help="how much they agree on hard starts, percent").tag(sync=True)

    def __init__(
        self,
        paired: Callable[..., Interval] = paired_bootstrap,
        needed: Callable[..., int] = episodes_needed,
    ) -> None:
        self._paired, self._needed = paired, needed
        agreement = [({0: "by chance", 100: "fully"}.get(share, f"{share} %"), share) for share in ALIKE]
        controls = {
            "episodes": slider("episodes of each", EPISODES),
            "first": ipywidgets.IntSlider(min=0, max=100, **described("before, %")),
            "second": ipywidgets.IntSlider(min=0, max=100, **described("after, %")),
            "alike": slider("agree on hard starts", agreement),
        }
        super().__init__([*controls.values()], Intervals())
        self.alt = self._in_words()
        self.steer(**controls)
        self._refresh()
        self.observe(self._refresh, names=list(controls))

    @property
    def state(self) -> dict[str, Any]:
        """The result of `describe` for the current values."""
        return dict(self.drawing.state)

    def _refresh(self, _: Any = None) -> None:
        self.drawing.state = self.describe(self.episodes, self.first, self.second, self.alike)

    def describe(self, episodes: int, first: int, second: int, alike: int) -> dict[str, Any]:
        """Counts and intervals of two policies; rates and `alike` in percent. Rates are rounded to whole successes."""
        a, b = round(first * episodes / 100), round(second * episodes / 100)
        before, after = outcomes(a, b, episodes, alike / 100)
        return {
            "episodes": episodes,
            "successes": [a, b],
            "rates": [list(wilson_interval(count, episodes)) for count in (a, b)],
            "both": int((before & after).sum()),
            "won": int((after & ~before).sum()),
            "lost": int((before & ~after).sum()),
            "neither": int((~before & ~after).sum()),
            "gain": (b - a) / episodes,
            "unpaired": list(unpaired_interval(a, b, episodes)),
            "paired": [float(end) for end in self._paired(before, after, 0)],
            "widths": [[count, _half_width(first / 100, second / 100, count)] for count in _COUNTS],
            "needed": int(self._needed(a / episodes, b / episodes)) if a != b else None,
        }

    def _in_words(self) -> str:
        """Alternative text of the static picture."""
        rows = []
        for episodes in _SHOWN:
            state = self.describe(episodes, 75, 90, 100)
            ends = [
                " to ".join(f"{100 * end:+.0f}" for end in state[name]) for name in ("unpaired", "paired")
            ]
            rows.append(f"{episodes} episodes: {ends[0]} from other starts, {ends[1]} from the same")
        return (
            f"75 % against 90 %, intervals of the gain in points. {'; '.join(rows)}. Beside it, how many episodes it takes to "
            "see a difference: four times as many for half of it."
        )

    def picture(self) -> bytes:
        """Intervals for 75 % against 90 % with 20, 100 and 400 episodes, and the episodes needed for a difference."""
        drawing, axes = plots.figure(1, 2, width=9, height=3.4)
        self._draw_gains(axes[0])
        self._draw_needed(axes[1])
        return plots.png(drawing, dpi=90, colors=64)

    def _draw_gains(self, axes: Axes) -> None:
        kinds = {
            "other starts": ("unpaired", 100, plots.GREY),
            "the same, alike by chance": ("paired", 0, plots.COLORS[4]),
            "the same, fully alike": ("paired", 100, plots.COLORS[2]),
        }
        for offset, (label, (name, alike, color)) in zip((-0.22, 0, 0.22), kinds.items(), strict=True):
            for row, episodes in enumerate(_SHOWN):
                state = self.describe(episodes, 75, 90, alike)
                axes.plot([100 * end for end in state[name]], [row + offset] * 2, color=color, linewidth=4)
                shown = label if row == 0 else ""
                axes.plot(100 * state["gain"], row + offset, "o", color=color, markersize=7, label=shown)
        axes.axvline(0, color=plots.INK, linewidth=1)
        axes.set_yticks(range(len(_SHOWN)), [f"{episodes} episodes" for episodes in _SHOWN])
        axes.set_ylim(len(_SHOWN) + 0.6, -0.6)
        axes.set_xlabel("gain in points, 75 % → 90 %")
        axes.legend(frameon=False, fontsize=8, loc="lower right")

    def _draw_needed(self, axes: Axes) -> None:
        gaps = np.arange(3, 41)
        for color, rate in zip(plots.COLORS, (10, 50), strict=False):
            counts = [self._needed(rate / 100, (rate + gap) / 100) for gap in gaps]
            axes.plot(gaps, counts, color=color, linewidth=2, label=f"from {rate} % up")
        axes.set_yscale("log")
        axes.set_yticks([10, 30, 100, 300, 1000, 3000], ["10", "30", "100", "300", "1000", "3000"])
        axes.grid(color=plots.PALE)
        axes.set_axisbelow(True)
        axes.set_xlabel("difference in points")
        axes.set_ylabel("episodes of each, other starts")
        axes.legend(frameon=False, fontsize=8)


def _half_width(first: float, second: float, episodes: int) -> float:
    low, high = unpaired_interval(round(first * episodes), round(second * episodes), episodes)
    return (high - low) / 2


_SHOWN = (20, 100, 400)
_COUNTS = (10, 20, 40, 60, 100, 200, 400, 1000, 2000)
