"""Erase parts of the picture and watch what the model says: evidence of cause and effect, which attention is not."""

import io
from collections.abc import Callable, Sequence
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
"""Takes an RGB picture, gives for each action dimension the probability of each bin (A, bins), lowest first, and the action (A,)."""


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
    """The picture as the model cuts it; click patches away and see the distribution of every action dimension move.

    `look` is asked again after every click. `names` and `units` are the action's, one for each dimension; `grid` is the number
    of patches along each side.
    """

    _esm = """
    function render({ model, el }) {
      const grid = model.get("grid"), names = model.get("names"), units = model.get("units"), SIDE = 252, W = 300, H = 36;
      el.innerHTML = `
        <div class="row" style="align-items:flex-start">
          <div style="width:${SIDE}px">
            <div class="board" role="group" aria-label="The picture's patches. The arrow keys lead from one to the next; press one to erase it or bring it back."
                 style="position:relative;width:${SIDE}px;height:${SIDE}px;touch-action:none;user-select:none">
              <img alt="what the model sees" draggable="false" style="width:100%;height:100%;image-rendering:pixelated;border-radius:4px">
              <div class="patches" style="position:absolute;inset:0;display:grid;grid-template-columns:repeat(${grid},1fr)"></div>
            </div>
            <p><button class="none">bring all back</button> <button class="all">erase all</button>
              <button class="swap">turn round</button></p>
            <p class="says" role="status"></p>
          </div>
          <div style="flex:1 1 330px"><svg viewBox="0 0 ${W + 130} ${names.length * (H + 14) + 20}" font-size="11"
            role="img" aria-label="For each action dimension the probability of its 255 bins, before in grey and now in blue."></svg></div>
        </div>`;
      const find = (name) => el.querySelector(name), board = find(".patches");
      let busy = false, queued = null, painting = null;
      let mine = [...model.get("erased")];
      const walk = (...place) => {  // one patch alone is on the way of the Tab key
        const [column, row] = place.map((at) => Math.max(0, Math.min(grid - 1, at)));
        board.querySelector("[tabindex='0']").tabIndex = -1;
        board.children[row * grid + column].tabIndex = 0; board.children[row * grid + column].focus();
      };
      for (let i = 0; i < grid * grid; i++) {
        const button = document.createElement("button");
        button.setAttribute("aria-label", `patch in row ${Math.floor(i / grid) + 1}, column ${i % grid + 1}`);
        button.dataset.patch = i;
        button.tabIndex = i ? -1 : 0;
        button.style.cssText = "background:none;border:1px solid var(--grid);border-radius:0;padding:0;margin:0;cursor:pointer;min-width:0;min-height:0";
        button.addEventListener("click", (event) => { if (event.detail === 0) { mine[i] = !mine[i]; send(); } });
        movedByArrows(button, (right, up) => walk(i % grid + right, Math.floor(i / grid) - up));
        board.append(button);
      }
      const mark = () => board.querySelectorAll("button").forEach((button, i) => {
        button.setAttribute("aria-pressed", mine[i]); button.style.background = mine[i] ? "var(--erased)" : "none";
      });
      const send = () => {
        mark();
        if (busy) { queued = true; return; }
        busy = true; model.set("erased", [...mine]); model.set("asked", model.get("asked") + 1); model.save_changes();
      };
      const paint = (event) => {
        const patch = document.elementFromPoint(event.clientX, event.clientY)?.closest("[data-patch]")?.dataset.patch;
        if (painting === null || patch === undefined || mine[patch] === painting) return;
        mine[patch] = painting; send();
      };
      board.addEventListener("pointerdown", (event) => {
        const patch = event.target.dataset.patch;
        if (patch === undefined) return;
        event.target.releasePointerCapture?.(event.pointerId);
        painting = !mine[patch]; paint(event);
      });
      board.addEventListener("pointermove", paint);
      const stop = () => { painting = null; };
      for (const end of ["pointerup", "pointerleave", "pointercancel"]) board.addEventListener(end, stop);
      const all = (value) => { mine = mine.map((now) => value ?? !now); send(); };
      find(".none").addEventListener("click", () => all(false));
      find(".all").addEventListener("click", () => all(true));
      find(".swap").addEventListener("click", () => all(null));
      const curve = (p, top) => {
        const most = Math.max(...p, 1e-9), x = (i) => 44 + i / (p.length - 1) * W;
        return `M${x(0)},${top + H}` + p.map((q, i) => `L${x(i).toFixed(1)},${(top + H * (1 - q / most)).toFixed(1)}`).join("") + `L${x(p.length - 1)},${top + H}Z`;
      };
      const draw = () => {
        const s = model.get("state");
        find("svg").innerHTML = names.map((name, d) => {
          const top = d * (H + 14) + 6;
          return `<text x="38" y="${top + H / 2 + 4}" text-anchor="end">${name}</text>
            <path d="${curve(s.before[d], top)}" fill="var(--line)"/><path d="${curve(s.now[d], top)}" fill="var(--blue)" fill-opacity=".33" stroke="var(--blue)" stroke-width="1"/>
            <line x1="44" x2="${44 + W}" y1="${top + H}" y2="${top + H}" stroke="var(--mark)"/>
            <text x="${52 + W}" y="${top + H / 2 - 2}" fill="var(--quiet)">${s.action_before[d].toFixed(1)} ${units[d]}</text>
            <text x="${52 + W}" y="${top + H / 2 + 12}" fill="var(--blue)" font-weight="600">${s.action[d].toFixed(1)} ${units[d]}</text>`;
        }).join("") + `<text x="44" y="${names.length * (H + 14) + 16}" fill="var(--quiet)">lowest bin</text>
          <text x="${44 + W}" y="${names.length * (H + 14) + 16}" text-anchor="end" fill="var(--quiet)">highest bin</text>`;
        const changed = s.changed.length, erased = s.erased;
        find(".says").textContent = erased === 0 ? "Nothing is erased. Press patches, or draw over them."
          : `${erased} of ${grid * grid} patches erased: ${changed ? `${changed} of ${names.length} numbers changed (${s.changed.map((d) => names[d]).join(", ")})` : "no number changed"}.`;
      };
      const settle = () => { draw(); busy = false; if (queued) { queued = null; send(); } };
      find("img").src = URL.createObjectURL(new Blob([model.get("png")], { type: "image/png" }));
      model.on("change:state", settle);
      mark(); draw();
    }
    export default { render: framed(render) };
    """
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
        self._before, self._action_before = look(picture)
        super().__init__(
            grid=grid,
            names=list(names),
            units=list(units),
            erased=[False] * grid**2,
            png=_png(picture),
        )
        self._refresh()
        self.observe(self._refresh, names="asked")

    def _refresh(self, change: Any = None) -> None:
        erased = np.array(self.erased, dtype=bool).reshape(self.grid, self.grid)
        now, action = self._look(erase(self._picture, erased))
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
        """Nine states: in each one ninth of the picture is grey."""
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
