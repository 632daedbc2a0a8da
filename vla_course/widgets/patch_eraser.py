"""Occlusion test: erase patches of the picture and compare the action distributions. Unlike attention, this shows causes."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import traitlets
from jaxtyping import Bool, Float, UInt8
from PIL import Image

from vla_course import plots
from vla_course.widgets.pictured import PicturedWidget

GREY_LEVEL = 127
STATES = 3
"""The fallback picture erases one of 3 × 3 blocks at a time."""

Look = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""RGB picture → probabilities of the bins of each action dimension (A, bins), lowest bin first, and the action (A,)."""


def erase(
    picture: UInt8[np.ndarray, "H W 3"], erased: Bool[np.ndarray, "rows columns"]
) -> UInt8[np.ndarray, "H W 3"]:
    """The picture with some of its patches painted grey.

    Raises:
        ValueError: the picture's sides are no multiples of the numbers of patches.
    """
    height, width, _ = picture.shape
    rows, columns = erased.shape
    if height % rows or width % columns:
        raise ValueError(f"a picture of {height} × {width} has no {rows} × {columns} equal patches")
    where = np.kron(erased, np.ones((height // rows, width // columns))).astype(bool)
    painted = picture.copy()
    painted[where] = GREY_LEVEL
    return painted


class PatchEraser(PicturedWidget):
    """The picture in the model's patches; erase some and see the distribution of every action dimension change.

    `look` runs after every change of `erased`, by hand or in Python. `names` and `units` have one entry for each action dimension; `grid`
    is the number of patches along each side.
    """

    _esm = Path(__file__).with_suffix(".js")
    alt = (
        "Nine copies of the model's picture with one ninth each painted grey, and beside each the distributions of the three "
        "directions the hand can move in, before in grey and after in blue."
    )
    grid = traitlets.Int().tag(sync=True)
    names: traitlets.List[Any] = traitlets.List().tag(sync=True)
    units: traitlets.List[Any] = traitlets.List().tag(sync=True)
    erased: traitlets.List[Any] = traitlets.List().tag(sync=True)
    asked = traitlets.Int(0).tag(sync=True)
    state = traitlets.Dict().tag(sync=True)
    png = traitlets.Bytes().tag(sync=True)

    def __init__(
        self,
        picture: UInt8[np.ndarray, "H W 3"],
        look: Look,
        *,
        grid: int,
        names: Sequence[str],
        units: Sequence[str],
    ) -> None:
        self._picture, self._look = picture, look
        self._before, self._action_before = self._answer = look(picture)
        self._looked_at: list[list[bool]] = np.zeros((grid, grid), dtype=bool).tolist()
        super().__init__(
            grid=grid,
            names=list(names),
            units=list(units),
            erased=[False] * grid**2,
            png=_png(picture),
        )
        self._refresh()
        self.observe(self._refresh, names=["erased", "asked"])

    def _refresh(self, change: Any = None) -> None:
        erased = np.array(self.erased, dtype=bool).reshape(self.grid, self.grid)
        if erased.tolist() != self._looked_at:  # the browser sets both traits: that is one look
            self._looked_at, self._answer = erased.tolist(), self._look(erase(self._picture, erased))
        now, action = self._answer
        changed = np.flatnonzero(np.abs(action - self._action_before) > 1e-9)
        self.state = {
            "asked": self.asked,  # so that every answer is news to the browser
            "before": self._before.round(5).tolist(),
            "now": now.round(5).tolist(),
            "action_before": self._action_before.tolist(),
            "action": action.tolist(),
            "changed": changed.tolist(),
            "erased": int(erased.sum()),
        }

    def picture(self) -> bytes:
        """Nine pictures, each with another ninth erased, and their distributions."""
        drawing, axes = plots.figure(STATES, 2 * STATES, width=9.6, height=5.2)
        for number in range(STATES**2):
            seen, panel = axes[2 * number], axes[2 * number + 1]
            erased = self._one_ninth(number)
            now, _ = self._look(erase(self._picture, erased))
            seen.imshow(erase(self._picture, erased))
            seen.axis("off")
            for dimension in range(min(3, len(self.names))):
                _mountain(panel, self._before[dimension], -dimension, plots.PALE, 1.0)
                _mountain(panel, now[dimension], -dimension, plots.COLORS[0], 0.45)
                panel.text(-4, 0.2 - dimension, self.names[dimension], ha="right", fontsize=8)
            panel.axis("off")
        return plots.png(drawing, dpi=90)

    def _one_ninth(self, number: int) -> Bool[np.ndarray, "rows columns"]:
        rows = np.array_split(np.arange(self.grid), STATES)
        erased = np.zeros((self.grid, self.grid), dtype=bool)
        erased[np.ix_(rows[number // STATES], rows[number % STATES])] = True
        return erased


def _mountain(
    panel: Any, probabilities: Float[np.ndarray, " bins"], floor: float, color: str, alpha: float
) -> None:
    heights = 0.8 * probabilities / max(float(probabilities.max()), 1e-9)
    panel.fill_between(np.arange(len(heights)), floor, floor + heights, color=color, alpha=alpha, linewidth=0)


def _png(picture: UInt8[np.ndarray, "H W 3"]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()
