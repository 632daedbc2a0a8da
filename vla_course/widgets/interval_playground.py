"""Two policies, a number of episodes, and what may be said about them: intervals to play with, from the learner's functions."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import traitlets
from jaxtyping import Bool
from matplotlib.axes import Axes

from vla_course import plots
from vla_course.evaluation.intervals import episodes_needed, paired_bootstrap, wilson_interval
from vla_course.widgets.pictured import PicturedWidget

EPISODES = (10, 20, 40, 60, 100, 200, 400)
Interval = tuple[float, float]


def outcomes(
    first: int, second: int, episodes: int, alike: float
) -> tuple[Bool[np.ndarray, " N"], Bool[np.ndarray, " N"]]:
    """Successes of two policies over the same starts, those that both fold first, those that neither does last.

    `alike` says how much they agree on which starts are hard: at 0 no more than chance makes them, at 1 as much as can be.

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
    """The 95 % interval of the gain in success where the two were played from different starts.

    Source: Newcombe, *Interval estimation for the difference between independent proportions*, 1998, method 10.
    """
    (low_a, high_a), (low_b, high_b) = wilson_interval(first, episodes), wilson_interval(second, episodes)
    a, b = first / episodes, second / episodes
    return b - a - math.hypot(b - low_b, high_a - a), b - a + math.hypot(high_b - b, a - low_a)


class IntervalPlayground(PicturedWidget):
    """Choose two rates, how many episodes, and how alike the two policies are; see what can be told apart, and what it takes.

    `paired` and `needed` do what `paired_bootstrap` and `episodes_needed` do.
    """

    _esm = """
    const W = 760, LEFT = 196, RIGHT = 730, BLUE = "var(--blue)", ORANGE = "var(--orange)", GREEN = "var(--green)", GREY = "var(--quiet)";
    function render({ model, el }) {
      const slider = (name, words, max, step) => `<label style="flex:1;min-width:140px">${words} <b class="${name}"></b><br>
        <input type="range" min="0" max="${max}" step="${step}" data-name="${name}" aria-label="${words}" style="width:100%"></label>`;
      const last = model.get("choices").length - 1;
      el.innerHTML = `
        <div>
          <div class="row" style="align-items:flex-end">
            ${slider("episodes", "episodes of each", last, 1)}${slider("first", "before", 100, 1)}
            ${slider("second", "after", 100, 1)}${slider("alike", "agree on hard starts", 100, 10)}
          </div>
          <svg viewBox="0 0 ${W} 440" style="margin-top:6px" font-size="13"
               role="img" aria-label="Two rates with their intervals, and the gain with two intervals. The words are below."></svg>
          <p style="min-height:4.2em" class="story" aria-live="polite"></p>
        </div>`;
      const find = (name) => el.querySelector(name), svg = find("svg");
      const sliders = [...el.querySelectorAll("input")], choices = model.get("choices");
      const points = (v) => (v < -0.0005 ? "−" : v > 0.0005 ? "+" : "") + Math.abs(Math.round(100 * v));
      const draw = () => {
        const s = model.get("state");
        for (const one of sliders) {
          const name = one.dataset.name, value = model.get(name);
          one.value = name === "episodes" ? choices.indexOf(value) : value;
          find("b." + name).textContent = { episodes: s.episodes, first: `${s.successes[0]} of ${s.episodes}`,
            second: `${s.successes[1]} of ${s.episodes}`, alike: value === 0 ? "by chance" : value === 100 ? "fully" : value + " %" }[name];
        }
        const x = (v) => LEFT + v * (RIGHT - LEFT), d = (v) => x(0.5 + 0.5 * v);
        const bar = (y, at, [low, high], middle, color) => `<line x1="${at(low)}" x2="${at(high)}" y1="${y}" y2="${y}" stroke="${color}" stroke-width="7" opacity=".35"/>
          <path d="M${at(low)} ${y - 7}v14M${at(high)} ${y - 7}v14" stroke="${color}" stroke-width="2"/><circle cx="${at(middle)}" cy="${y}" r="5.5" fill="${color}"/>`;
        const label = (y, words) => `<text x="${LEFT - 12}" y="${y + 5}" text-anchor="end">${words}</text>`;
        const axis = (y, top, at, ticks, words) => ticks.map((t) => `<line x1="${at(t)}" x2="${at(t)}" y1="${top}" y2="${y}" stroke="${t === 0 && words ? "var(--ink)" : "var(--line)"}"/>
          <text x="${at(t)}" y="${y + 16}" text-anchor="middle" fill="var(--quiet)" font-size="12">${words ? points(t) : Math.round(100 * t) + " %"}</text>`).join("");
        const n = s.episodes, wide = (RIGHT - LEFT) / n, counts = [s.both, s.lost, s.won, s.neither];
        const fills = ["var(--mark)", BLUE, ORANGE, "var(--track)"];
        let begin = 0;
        const curve = (s) => {
          const top = 326, bottom = 412, most = 0.6, at = (m) => LEFT + (Math.log10(m) - 1) / 2.3 * (RIGHT - LEFT);
          const y = (v) => bottom - Math.min(v, most) / most * (bottom - top);
          const gap = Math.abs(s.gain), mark = s.needed !== null && s.needed <= 2000 && s.needed >= 10;
          return `<text x="${LEFT}" y="${top - 6}" fill="var(--quiet)" font-size="12">more episodes: half the width of the gain's interval, in points, from other starts</text>`
            + [0, 0.2, 0.4, 0.6].map((v) => `<line x1="${LEFT}" x2="${RIGHT}" y1="${y(v)}" y2="${y(v)}" stroke="var(--line)"/><text x="${LEFT - 8}" y="${y(v) + 4}" text-anchor="end" fill="var(--quiet)" font-size="12">${100 * v}</text>`).join("")
            + [10, 20, 50, 100, 200, 500, 1000, 2000].map((m) => `<text x="${at(m)}" y="${bottom + 17}" text-anchor="middle" fill="var(--quiet)" font-size="12">${m}</text>`).join("")
            + `<line x1="${LEFT}" x2="${RIGHT}" y1="${y(gap)}" y2="${y(gap)}" stroke="var(--ink)" stroke-dasharray="5 4"/><text x="${RIGHT}" y="${y(gap) - 4}" text-anchor="end" font-size="12">the gain: ${points(gap)}</text>
               <polyline fill="none" stroke="${GREY}" stroke-width="2.5" points="${s.widths.map(([m, v]) => `${at(m)},${y(v)}`).join(" ")}"/>
               <circle cx="${at(s.episodes)}" cy="${y((s.unpaired[1] - s.unpaired[0]) / 2)}" r="5.5" fill="${GREY}"/>`
            + (mark ? `<line x1="${at(s.needed)}" x2="${at(s.needed)}" y1="${top}" y2="${bottom}" stroke="${GREEN}" stroke-width="2"/>
               <text x="${at(s.needed) + 5}" y="${top + 11}" font-size="12">needed: ${s.needed}</text>` : "");
        };
        const starts = counts.map((count, k) => {
          const from = begin; begin += count;
          const cells = n > 120 ? (count ? `<rect x="${LEFT + from * wide}" y="22" width="${count * wide}" height="18" fill="${fills[k]}"/>` : "")
            : Array.from({ length: count }, (_, i) => `<rect x="${LEFT + (from + i) * wide + 0.5}" y="22" width="${Math.max(1, wide - 1)}" height="18" fill="${fills[k]}"/>`).join("");
          return cells;
        }).join("");
        const names = ["both", "only before", "only after", "neither"];
        let place = LEFT;
        const legend = names.map((name, k) => { const at = place; place += 130;
          return `<rect x="${at}" y="50" width="10" height="10" fill="${fills[k]}"/><text x="${at + 15}" y="59" font-size="12" fill="var(--quiet)">${name}: ${counts[k]}</text>`; }).join("");
        svg.innerHTML = label(31, `the same ${n} starts`) + starts + legend
          + axis(146, 78, x, [0, 0.2, 0.4, 0.6, 0.8, 1], false) + label(96, "before") + bar(96, x, s.rates[0], s.successes[0] / n, BLUE)
          + label(126, "after") + bar(126, x, s.rates[1], s.successes[1] / n, ORANGE)
          + axis(280, 190, d, [-1, -0.5, 0, 0.5, 1], true) + `<text x="${LEFT}" y="184" fill="var(--quiet)" font-size="12">the gain, in points</text>`
          + label(212, "from other starts") + bar(212, d, s.unpaired, s.gain, GREY)
          + label(250, "from the same starts") + bar(250, d, s.paired, s.gain, GREEN) + curve(s);
        const sure = ([low, high]) => low > 0 || high < 0 ? "<b>beyond chance</b>" : "<b>may be chance</b>";
        const range = ([low, high]) => `${points(low)} to ${points(high)}`;
        find(".story").innerHTML = `A gain of <b>${points(s.gain)}</b> points. From other starts: ${range(s.unpaired)}, ${sure(s.unpaired)}.
          From the same starts: ${range(s.paired)}, ${sure(s.paired)}; only the ${s.won + s.lost} starts that differ count.<br>
          ${s.needed === null ? "Equal rates: no number of episodes tells them apart."
            : `To see such a difference in four of five experiments, from other starts: <b>${s.needed.toLocaleString("en-US")}</b> episodes of each.`}`;
      };
      for (const one of sliders) {
        one.addEventListener("input", () => {
          const value = Number(one.value);
          model.set(one.dataset.name, one.dataset.name === "episodes" ? choices[value] : value); model.save_changes();
        });
      }
      model.on("change:state", draw);
      draw();
    }
    export default { render: framed(render) };
    """
    choices: traitlets.List[Any] = traitlets.List(list(EPISODES)).tag(sync=True)
    episodes = traitlets.Int(20).tag(sync=True)
    first = traitlets.Int(75, help="rate of the first policy, percent").tag(sync=True)
    second = traitlets.Int(90, help="rate of the second policy, percent").tag(sync=True)
    alike = traitlets.Int(50, help="how much they agree on hard starts, percent").tag(sync=True)
    state = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        paired: Callable[..., Interval] = paired_bootstrap,
        needed: Callable[..., int] = episodes_needed,
    ) -> None:
        self._paired, self._needed = paired, needed
        super().__init__()
        self._refresh()
        self.alt = self._in_words()
        self.observe(self._refresh, names=["episodes", "first", "second", "alike"])

    def _refresh(self, _: Any = None) -> None:
        self.state = self.describe(self.episodes, self.first, self.second, self.alike)

    def describe(self, episodes: int, first: int, second: int, alike: int) -> dict[str, Any]:
        """Counts and intervals of two policies; rates and `alike` in percent. Rates become whole successes."""
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
        """The static picture for who cannot see it."""
        said = []
        for episodes in _SHOWN:
            state = self.describe(episodes, 75, 90, 100)
            ends = [
                " to ".join(f"{100 * end:+.0f}" for end in state[name]) for name in ("unpaired", "paired")
            ]
            said.append(f"{episodes} episodes: {ends[0]} from other starts, {ends[1]} from the same")
        return (
            f"75 % against 90 %, intervals of the gain in points. {'; '.join(said)}. Beside it, how many episodes it takes to "
            "see a difference: four times as many for half of it."
        )

    def picture(self) -> bytes:
        """75 % against 90 % with more and more episodes, from other and from the same starts; and what a difference takes."""
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
