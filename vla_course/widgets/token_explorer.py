"""Action tokenisation step by step: number, bin, token, decoded value, millimetres. Computed with the learner's three functions."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import traitlets

from vla_course import plots
from vla_course.action_tokens import BINS, CENTRES, EDGES
from vla_course.widgets.pictured import PicturedWidget

AROUND = 4
"""Bins shown to the left and to the right of the number's bin."""

BRIDGE_DX_MM = (-28.7, 28.3)
"""q01 and q99 of Δx in BridgeData, as openvla-7b's config.json gives them under `bridge_orig`."""


class TokenExplorer(PicturedWidget):
    """A number and two quantiles to drag; shows bin, token id, decoded value and millimetres.

    `ranges` maps a name to q01 and q99 in millimetres, to choose from.
    """

    _esm = Path(__file__).with_suffix(".js")
    alt = (
        "Nine cases: the numbers −1, 0.1 and 1.15 under three pairs of quantiles. Each row has one token, and three "
        "different distances in millimetres. 1.15 is cut to 1."
    )
    number = traitlets.Float(0.1).tag(sync=True)
    quantiles: traitlets.List[Any] = traitlets.List().tag(sync=True)
    ranges = traitlets.Dict().tag(sync=True)
    state = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        tokenize: Callable[..., np.ndarray],
        detokenize: Callable[..., np.ndarray],
        unnormalize: Callable[..., np.ndarray],
        *,
        ranges: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        self._tokenize, self._detokenize, self._unnormalize = tokenize, detokenize, unnormalize
        named = {name: list(pair) for name, pair in (ranges or {"BridgeData, Δx": BRIDGE_DX_MM}).items()}
        super().__init__(ranges=named, quantiles=next(iter(named.values())))
        self._refresh()
        self.observe(self._refresh, names=["number", "quantiles"])

    def _refresh(self, change: Any = None) -> None:
        self.state = self.describe(self.number, *self.quantiles)

    def describe(self, number: float, q01_mm: float, q99_mm: float) -> dict[str, Any]:
        """Every step from a number to millimetres, and the neighbouring bins."""
        token = int(self._tokenize(np.array([number]))[0])
        decoded = float(self._detokenize(np.array([token]))[0])
        own = int(np.clip(np.digitize(number, EDGES) - 1, 0, BINS - 2))
        first = min(max(own - AROUND, 0), BINS - 2 - 2 * AROUND)
        shown = np.arange(first, first + 2 * AROUND + 1)
        ids = self._tokenize(CENTRES[shown])
        return {
            "number": number,
            "quantiles": [q01_mm, q99_mm],
            "id": token,
            "bin": own,
            "decoded": decoded,
            "mm": self._millimetres(decoded, q01_mm, q99_mm),
            "exact_mm": self._millimetres(number, q01_mm, q99_mm),
            "half_bin_mm": abs(q99_mm - q01_mm) / 2 / (BINS - 1),
            "around": [
                {"bin": int(b), "id": int(i), "left": float(EDGES[b]), "right": float(EDGES[b + 1])}
                for b, i in zip(shown, ids, strict=True)
            ],
        }

    def _millimetres(self, value: float, q01_mm: float, q99_mm: float) -> float:
        low, high, mask = np.array([q01_mm]), np.array([q99_mm]), np.array([True])
        return float(self._unnormalize(np.array([value]), low, high, mask)[0])

    def picture(self) -> bytes:
        """Three numbers by three pairs of quantiles: the same token, other millimetres."""
        drawing, axes = plots.figure(3, 3, width=9, height=4.8)
        pairs = ((*BRIDGE_DX_MM, "BridgeData, Δx"), (-98.0, 98.0, "wider"), (-10.0, 90.0, "not symmetric"))
        cases = [(number, pair) for number in (-1.0, 0.1, 1.15) for pair in pairs]
        for panel, (number, (low, high, name)) in zip(axes, cases, strict=True):
            state = self.describe(number, low, high)
            panel.plot(
                [low, high], [0, 0], color=plots.COLORS[5], linewidth=9, alpha=0.5, solid_capstyle="butt"
            )
            panel.axhline(0, color=plots.INK, linewidth=1)
            panel.plot(state["mm"], 0, "o", color=plots.COLORS[2], markersize=8)
            words = f"{number:g} → token {state['id']} → {state['decoded']:.4f}\n→ {state['mm']:.2f} mm"
            panel.text(0.5, 0.76, words, transform=panel.transAxes, ha="center", va="center", fontsize=9)
            panel.set(xlim=(-110, 110), ylim=(-1, 2.4), yticks=[], xticks=[-100, -50, 0, 50, 100])
            panel.spines["left"].set_visible(False)
            if number == -1:
                panel.set_title(f"{name}: q01 {low:g}, q99 {high:g} mm", fontsize=9)
        axes[7].set_xlabel("millimetres")
        return plots.png(drawing, dpi=90, colors=64)
