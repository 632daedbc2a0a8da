"""Low-rank approximations of a weight change, computed with the learner's LoRA layer."""

import base64
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ipywidgets
import numpy as np
import torch
import traitlets
from jaxtyping import Float
from matplotlib import colormaps
from PIL import Image
from torch import nn

from vla_course import plots
from vla_course.adapters.lora import LoRAConfig, LoRALinear, lora_parameter_count
from vla_course.widgets.pictured import Drawing, PicturedBox, described, slider

RANKS = (1, 2, 4, 8, 16, 32, 64, 128)
SHOWN = 64
"""Number of singular values that are drawn."""
SIDE = 128
"""Largest number of rows and columns of a matrix that are drawn, so that the widget fits on one screen."""
Layer = Callable[[nn.Module, LoRAConfig], Any]


class Matrices(Drawing):
    """A weight change, its approximation and the residual as pictures, and its singular values as bars, from `state`."""

    _esm = Path(__file__).with_suffix(".js")
    state = traitlets.Dict().tag(sync=True)


class RankMicroscope(PicturedBox):
    """A weight change, its best approximation B A of a chosen rank, the residual, and the parameter count.

    `changes` gives names to matrices, outputs × inputs. The best pair of each rank comes from the singular value decomposition
    and is put into `layer`, whose `merged()` makes the picture; `count` says how many numbers the pair has.
    """

    change = traitlets.Unicode().tag(sync=True)
    rank = traitlets.Enum(RANKS, 4).tag(sync=True)

    def __init__(
        self,
        changes: Mapping[str, Float[np.ndarray, "outputs inputs"]],
        layer: Layer = LoRALinear,
        count: Callable[..., int] = lora_parameter_count,
    ) -> None:
        """Raises: ValueError if `changes` is empty or one of them is zero everywhere."""
        if not changes or not all(np.any(matrix) for matrix in changes.values()):
            raise ValueError(f"want matrices with something in them, got {list(changes) or 'none'}")
        self._changes = {name: np.asarray(matrix, np.float64) for name, matrix in changes.items()}
        self._parts = {
            name: np.linalg.svd(matrix, full_matrices=False) for name, matrix in self._changes.items()
        }
        self._layer, self._count = layer, count
        controls = {
            "change": ipywidgets.Dropdown(options=list(changes), **described("a change of")),
            "rank": slider("rank", RANKS),
        }
        super().__init__([*controls.values()], Matrices(), change=next(iter(changes)))
        self.alt = self._in_words()
        self.steer(**controls)
        self._refresh()
        self.observe(self._refresh, names=list(controls))

    @property
    def state(self) -> dict[str, Any]:
        """The result of `describe` for the current values, with the matrices as PNG in base64."""
        return dict(self.drawing.state)

    def _refresh(self, _: Any = None) -> None:
        state = self.describe(self.change, self.rank)
        whole = self._changes[self.change]
        pair = state.pop("pair_matrix")
        limit = float(np.quantile(np.abs(whole), 0.995))
        pictures = {"whole": whole, "pair": pair, "rest": whole - pair}
        self.drawing.state = state | {
            name: _png(matrix[:SIDE, :SIDE], limit) for name, matrix in pictures.items()
        }

    def describe(self, name: str, rank: int) -> dict[str, Any]:
        """The learner's merged B A of this rank, its share of the squared change, and its parameter count."""
        whole = self._changes[name]
        _, values, _ = self._parts[name]
        rank = min(rank, len(values))
        pair = self.best_pair(name, rank)
        return {
            "name": name,
            "rank": rank,
            "full_rank": len(values),
            "shape": list(whole.shape),
            "seen": [min(SIDE, side) for side in whole.shape],
            "values": [float(value) for value in values[:SHOWN]],
            "pair_matrix": pair,
            "share": float(1 - ((whole - pair) ** 2).sum() / (whole**2).sum()),
            "numbers": int(self._count([whole.shape], rank)),
            "whole_numbers": whole.size,
        }

    def best_pair(self, name: str, rank: int) -> Float[np.ndarray, "outputs inputs"]:
        """`merged()` of the layer whose frozen weight is zero, with the best A and B of this rank in it."""
        left, values, right = self._parts[name]
        base = nn.Linear(right.shape[1], left.shape[0], bias=False)
        adapted = self._layer(base, LoRAConfig(rank=rank, alpha=2 * rank))
        with torch.no_grad():
            base.weight.zero_()
            adapted.lora_A.copy_(torch.from_numpy(right[:rank]))
            adapted.lora_B.copy_(torch.from_numpy(left[:, :rank] * values[:rank] / adapted.scale))
            merged: np.ndarray = adapted.merged().double().numpy()
        return merged

    def _in_words(self) -> str:
        """Alternative text of the static picture."""
        lines = [
            f"{name}: " + ", ".join(f"rank {rank} holds {100 * share:.0f} %" for rank, share in shares)
            for name, shares in self._shares().items()
        ]
        return "Changes of a weight as the best pair of each rank makes them. " + "; ".join(lines)

    def _shares(self) -> dict[str, list[tuple[int, float]]]:
        return {
            name: [(rank, self.describe(name, rank)["share"]) for rank in (1, 4, 16)]
            for name in list(self._changes)[:3]
        }

    def picture(self) -> bytes:
        """The best approximations of up to three changes at ranks 1, 4 and 16."""
        names = list(self._changes)[:3]
        drawing, axes = plots.figure(len(names), 4, width=9, height=0.4 + 2.1 * len(names))
        for row, name in enumerate(names):
            whole = self._changes[name]
            limit = float(np.quantile(np.abs(whole), 0.995))
            states = [self.describe(name, rank) for rank in (1, 4, 16)]
            matrices = [(whole, f"{name}\n{whole.size:,} numbers")]
            matrices += [
                (
                    state["pair_matrix"],
                    f"rank {state['rank']}: {100 * state['share']:.0f} %\nin {state['numbers']:,} numbers",
                )
                for state in states
            ]
            for panel, (matrix, title) in zip(axes[4 * row : 4 * row + 4], matrices, strict=True):
                panel.imshow(matrix, cmap="RdBu", vmin=-limit, vmax=limit, aspect="auto")
                panel.set_title(title, fontsize=9)
                panel.set(xticks=[], yticks=[])
        return plots.png(drawing, dpi=80, colors=64)


def _png(matrix: Float[np.ndarray, "outputs inputs"], limit: float) -> str:
    """A matrix as a picture, blue above zero and red below, in base64."""
    scaled = np.clip(matrix / (2 * limit) + 0.5, 0, 1)
    pixels = (255 * colormaps["RdBu"](scaled)[..., :3]).round().astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).quantize(32).save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()
