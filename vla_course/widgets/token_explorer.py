"""A number on its way to a token and back to millimetres, to drag. Computed with the learner's three functions."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import traitlets

from vla_course import plots
from vla_course.action_tokens import BINS, CENTRES, EDGES
from vla_course.widgets.pictured import PicturedWidget

AROUND = 4
"""Bins shown to the left and to the right of the number's own."""

BRIDGE_DX_MM = (-28.7, 28.3)
"""q01 and q99 of Δx in BridgeData, as openvla-7b's config.json gives them under `bridge_orig`."""


class TokenExplorer(PicturedWidget):
    """Drag a number, and the two quantiles; see its bin, its id, what the id stands for, and how many millimetres that is.

    `ranges` gives names to pairs of q01 and q99, in millimetres, that can be chosen.
    """

    _esm = """
    const W = 760, LEFT = 40, RIGHT = 720, LIMIT = 1.2, REACH = 120;
    const x1 = (a) => LEFT + (a + LIMIT) / (2 * LIMIT) * (RIGHT - LEFT);
    const a1 = (x) => (x - LEFT) / (RIGHT - LEFT) * 2 * LIMIT - LIMIT;
    const x2 = (mm) => LEFT + (Math.max(-REACH, Math.min(REACH, mm)) + REACH) / (2 * REACH) * (RIGHT - LEFT);
    const mm2 = (x) => (x - LEFT) / (RIGHT - LEFT) * 2 * REACH - REACH;
    function render({ model, el }) {
      const ticks = [...Array(256).keys()].map((i) => `M${x1(-1 + 2 * i / 255)},${i % 15 ? 66 : 60}V72`).join("");
      const scale = (values, x, y) => values.map((v) => `<text x="${x(v)}" y="${y}" text-anchor="middle">${v}</text>`).join("");
      el.innerHTML = `
        <div>
          <div class="row">
            <label style="flex:1;min-width:280px">number <b class="number"></b>
              <input type="range" min="-1.2" max="1.2" step="0.001" style="width:100%" aria-label="number"></label>
            <label>q01 and q99 of <select aria-label="data set"></select></label>
          </div>
          <svg viewBox="0 0 ${W} 330" style="margin-top:6px;touch-action:none" font-size="12"
               role="group" aria-label="Two number lines. Drag the orange number above, the blue quantiles below, or move those with the arrow keys.">
            <text x="${LEFT}" y="22" fill="var(--quiet)">256 edges make 255 bins; drag the orange dot</text>
            <path d="${ticks}" stroke="var(--mark)" stroke-width=".7"/>
            <line x1="${x1(-1)}" x2="${x1(1)}" y1="72" y2="72" stroke="var(--ink)" stroke-width="1.5"/>
            <path class="fan" fill="var(--sky)" fill-opacity=".2" stroke="var(--sky)" stroke-width=".6"/>
            ${scale([-1, -0.5, 0, 0.5, 1], x1, 90)}
            <g class="lens"></g>
            <path class="needle" stroke="var(--orange)" stroke-width="1.5"/><circle class="knob" r="8" cy="48" fill="var(--orange)" style="cursor:grab"/>
            <rect class="range" y="262" height="16" fill="var(--blue)" fill-opacity=".15"/>
            <line x1="${LEFT}" x2="${RIGHT}" y1="270" y2="270" stroke="var(--ink)" stroke-width="1.5"/>
            ${scale([-120, -80, -40, 0, 40, 80, 120], x2, 318)}<text x="${W - 4}" y="318" text-anchor="end">mm</text>
            <path class="carry" stroke="var(--green)" stroke-width="1.5" stroke-dasharray="4 3" fill="none"/>
            ${["q01", "q99"].map((name) => `<g class="${name}" data-name="${name}" style="cursor:ew-resize" fill="var(--blue)">
              <rect x="-12" y="256" width="24" height="44" fill="transparent"/>
              <path d="M0,278l-9,16h18Z" tabindex="0" role="slider" aria-label="${name} in millimetres" aria-valuemin="${-REACH}" aria-valuemax="${REACH}"/>
              <text x="${name === "q01" ? -4 : 4}" y="254" text-anchor="${name === "q01" ? "end" : "start"}"></text></g>`).join("")}
            <circle class="arrive" r="6" cy="270" fill="var(--green)" pointer-events="none"/>
          </svg>
          <p class="story" aria-live="polite"></p>
        </div>`;
      const find = (name) => el.querySelector(name), svg = find("svg"), slider = find("input"), select = find("select");
      const ranges = model.get("ranges");
      select.innerHTML = [...Object.keys(ranges), "your own"].map((name) => `<option>${name}</option>`).join("");
      const set = (name, value) => { model.set(name, value); model.save_changes(); };
      const draw = () => {
        const s = model.get("state"), n = s.number, [low, high] = s.quantiles, cut = Math.max(-1, Math.min(1, n));
        slider.value = n; find(".number").textContent = n.toFixed(3);
        select.value = Object.keys(ranges).find((name) => ranges[name].every((q, i) => Math.abs(q - s.quantiles[i]) < 0.05)) ?? "your own";
        find(".knob").setAttribute("cx", x1(n)); find(".needle").setAttribute("d", `M${x1(n)},48V72`);
        const first = s.around[0].left, last = s.around[s.around.length - 1].right;
        const wide = (a) => LEFT + (a - first) / (last - first) * (RIGHT - LEFT);
        find(".fan").setAttribute("d", `M${x1(first)},72L${LEFT},112H${RIGHT}L${x1(last)},72Z`);
        find(".lens").innerHTML = s.around.map((b) => {
          const mine = b.bin === s.bin, middle = (wide(b.left) + wide(b.right)) / 2;
          return `<rect x="${wide(b.left)}" width="${wide(b.right) - wide(b.left)}" y="112" height="58" fill="${mine ? "var(--orange)" : "var(--paper)"}" fill-opacity="${mine ? 0.25 : 1}" stroke="var(--mark)"/>
            <circle cx="${middle}" cy="158" r="3.5" fill="${mine ? "var(--green)" : "var(--mark)"}"/>
            <text x="${middle}" y="128" text-anchor="middle" font-size="11" fill="var(--quiet)">bin ${b.bin}</text>
            <text x="${middle}" y="146" text-anchor="middle" font-weight="${mine ? 700 : 400}">${mine ? s.id : b.id}</text>`;
        }).join("") + `<line x1="${wide(cut)}" x2="${wide(cut)}" y1="112" y2="170" stroke="var(--orange)" stroke-width="2"/>
          <text x="${LEFT}" y="188" fill="var(--quiet)">the bin's token id, and its centre (dot)</text>`;
        find(".range").setAttribute("x", x2(low)); find(".range").setAttribute("width", Math.max(0, x2(high) - x2(low)));
        find(".arrive").setAttribute("cx", x2(s.mm));
        const b = s.around.find((b) => b.bin === s.bin), start = (wide(b.left) + wide(b.right)) / 2;
        find(".carry").setAttribute("d", `M${start},170C${start},225 ${x2(s.mm)},205 ${x2(s.mm)},262`);
        for (const [name, q] of [["q01", low], ["q99", high]]) {
          find(`.${name}`).setAttribute("transform", `translate(${x2(q)} 0)`); find(`.${name} text`).textContent = `${name} ${q.toFixed(1)}`;
          find(`.${name} path`).setAttribute("aria-valuenow", q.toFixed(1));
        }
        find(".story").innerHTML = `${n.toFixed(3)} → ${n === cut ? "" : `cut to ${cut} → `}bin ${s.bin} → token <b>${s.id}</b>
          → centre ${s.decoded.toFixed(4)} → <b>${s.mm.toFixed(2)} mm</b><br>
          <small>without tokens: ${s.exact_mm.toFixed(2)} mm; half a bin is ${s.half_bin_mm.toFixed(2)} mm</small>`;
      };
      const place = (event) => new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
      const pull = (name, mm) => {
        const [low, high] = model.get("quantiles"), end = Math.max(-REACH, Math.min(REACH, mm));
        set("quantiles", name === "q01" ? [Math.min(end, high - 1), high] : [low, Math.max(end, low + 1)]);
      };
      ["q01", "q99"].forEach((name, i) => movedByArrows(find(`.${name} path`), (right, up) => pull(name, model.get("quantiles")[i] + 0.5 * (right + up))));
      let holding = null;
      const move = (event) => {
        if (!holding) return;
        const p = place(event);
        if (holding === "number") set("number", Math.max(-LIMIT, Math.min(LIMIT, Math.round(1000 * a1(p.x)) / 1000)));
        else pull(holding, mm2(p.x));
      };
      svg.addEventListener("pointerdown", (event) => {
        const handle = event.target.closest("[data-name]");
        holding = handle ? handle.dataset.name : place(event).y < 105 ? "number" : null;
        if (holding) { svg.setPointerCapture(event.pointerId); move(event); }
      });
      svg.addEventListener("pointermove", move);
      for (const end of ["pointerup", "pointercancel"]) svg.addEventListener(end, () => { holding = null; });
      slider.addEventListener("input", () => set("number", Number(slider.value)));
      select.addEventListener("change", () => { if (ranges[select.value]) set("quantiles", ranges[select.value]); });
      model.on("change:state", draw);
      draw();
    }
    export default { render: framed(render) };
    """
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
        """Everything between a number and its millimetres, and the bins around its own."""
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
