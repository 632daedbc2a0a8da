"""A change of a weight, seen through a rank: how much of it r directions hold. Computed with the learner's layer."""

import base64
import io
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
import traitlets
from jaxtyping import Float
from matplotlib import colormaps
from PIL import Image
from torch import nn

from vla_course import plots
from vla_course.adapters.lora import LoRAConfig, LoRALinear, lora_parameter_count
from vla_course.widgets.pictured import PicturedWidget

RANKS = (1, 2, 4, 8, 16, 32, 64, 128)
SHOWN = 64
"""Singular values that are drawn."""
SIDE = 128
"""Rows and columns of a matrix that are drawn at most: the slider above and the bars below stay on one screen with it."""
Layer = Callable[[nn.Module, LoRAConfig], Any]


class RankMicroscope(PicturedWidget):
    """Choose a change and a rank; see the best B A of that rank, what is left over, and what the pair costs.

    `changes` gives names to matrices, outputs × inputs. The best pair of each rank comes from the singular value decomposition
    and is put into `layer`, whose `merged()` makes the picture; `count` says how many numbers the pair has.
    """

    _esm = """
    const W = 784, H = 130, BASE = 106;
    function render({ model, el }) {
      const frame = (name, words) => `<figure style="margin:0;flex:1;min-width:160px">
        <img class="${name}" alt="${words}" style="width:100%;aspect-ratio:1;image-rendering:pixelated;border:1px solid var(--line)">
        <figcaption><small>${words}</small></figcaption></figure>`;
      el.innerHTML = `
        <div>
          <div class="row">
            <label>a change of <select aria-label="change"></select></label>
            <label style="flex:1;min-width:240px">rank <b class="rank"></b>
              <input type="range" min="0" step="1" style="width:100%" aria-label="rank"></label>
          </div>
          <div style="display:flex;gap:12px;margin-top:8px">
            ${frame("whole", "the change")}${frame("pair", "B A, the best of this rank")}${frame("rest", "what is left over")}
          </div>
          <p><small class="where"></small></p>
          <svg viewBox="0 0 ${W} ${H}" style="margin-top:6px" font-size="12"
               role="img" aria-label="Singular values, largest first; those that the rank keeps are orange.">
            <g class="bars"></g><line x1="0" x2="${W}" y1="${BASE}" y2="${BASE}" stroke="var(--ink)"/>
            <text x="4" y="${H - 6}" class="axis" fill="var(--quiet)"></text>
          </svg>
          <p class="story" aria-live="polite"></p>
        </div>`;
      const find = (name) => el.querySelector(name), slider = find("input"), select = find("select");
      const ranks = model.get("ranks");
      select.innerHTML = model.get("names").map((name) => `<option>${name}</option>`).join("");
      const set = (name, value) => { model.set(name, value); model.save_changes(); };
      const number = (value) => value.toLocaleString("en-US");
      const draw = () => {
        const s = model.get("state"), r = s.rank;
        slider.max = ranks.filter((one) => one <= s.full_rank).length - 1;
        slider.value = ranks.indexOf(r); find(".rank").textContent = r; select.value = s.name;
        for (const name of ["whole", "pair", "rest"]) find("." + name).src = "data:image/png;base64," + s[name];
        const step = W / s.values.length, top = s.values[0] || 1;
        find(".bars").innerHTML = s.values.map((v, i) => `<rect x="${i * step + 0.5}" width="${step - 1}" y="${BASE - 90 * v / top}"
          height="${90 * v / top}" fill="${i < r ? "var(--orange)" : "var(--mark)"}"/>`).join("");
        find(".where").textContent = (s.seen[0] < s.shape[0] || s.seen[1] < s.shape[1]
          ? `Shown: ${s.seen[0]} of ${s.shape[0]} outputs (down) and ${s.seen[1]} of ${s.shape[1]} inputs (across); the numbers below count all. ` : "")
          + "Blue adds, red takes away.";
        find(".axis").textContent = `the ${s.values.length} largest of ${s.full_rank} singular values: how strong the change is in each direction`;
        find(".story").innerHTML = `rank ${r} holds <b>${(100 * s.share).toFixed(1)} %</b> of the change, in <b>${number(s.numbers)}</b> numbers
          instead of ${number(s.whole_numbers)} (${(100 * s.numbers / s.whole_numbers).toFixed(0)} %)`;
      };
      slider.addEventListener("input", () => set("rank", ranks[Number(slider.value)]));
      select.addEventListener("change", () => set("change", select.value));
      model.on("change:state", draw);
      draw();
    }
    export default { render: framed(render) };
    """
    change = traitlets.Unicode().tag(sync=True)
    rank = traitlets.Int(4).tag(sync=True)
    ranks: traitlets.List[Any] = traitlets.List(list(RANKS)).tag(sync=True)
    names: traitlets.List[Any] = traitlets.List().tag(sync=True)
    state = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        changes: Mapping[str, Float[np.ndarray, "outputs inputs"]],
        layer: Layer = LoRALinear,
        count: Callable[..., int] = lora_parameter_count,
    ) -> None:
        """Raises: ValueError where there is no change to look at, or one that is zero everywhere."""
        if not changes or not all(np.any(matrix) for matrix in changes.values()):
            raise ValueError(f"want matrices with something in them, got {list(changes) or 'none'}")
        self._changes = {name: np.asarray(matrix, np.float64) for name, matrix in changes.items()}
        self._parts = {
            name: np.linalg.svd(matrix, full_matrices=False) for name, matrix in self._changes.items()
        }
        self._layer, self._count = layer, count
        super().__init__(names=list(changes), change=next(iter(changes)))
        self.alt = self._in_words()
        self._refresh()
        self.observe(self._refresh, names=["change", "rank"])

    def _refresh(self, _: Any = None) -> None:
        state = self.describe(self.change, self.rank)
        whole = self._changes[self.change]
        pair = state.pop("pair_matrix")
        limit = float(np.quantile(np.abs(whole), 0.995))
        pictures = {"whole": whole, "pair": pair, "rest": whole - pair}
        self.state = state | {name: _png(matrix[:SIDE, :SIDE], limit) for name, matrix in pictures.items()}

    def describe(self, name: str, rank: int) -> dict[str, Any]:
        """What a rank sees of a change: the learner's merged pair, the share of the change that it holds, and its numbers."""
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
        """The static picture for who cannot see it."""
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
        """Three changes by three ranks: what the best pair holds of each."""
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
