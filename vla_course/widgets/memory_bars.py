"""What training keeps in memory, as bars: every way to train side by side. Computed with the learner's two functions."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import traitlets
from matplotlib.axes import Axes

from vla_course import plots
from vla_course.adapters.lora import lora_parameter_count
from vla_course.adapters.nf4 import bits_per_parameter
from vla_course.memory.activations import Batch
from vla_course.memory.estimate import Mode, estimate_training_state, sizes, training_state_gb
from vla_course.openvla.config import OpenVLAConfig
from vla_course.widgets.pictured import PicturedWidget

NAMES: dict[Mode, str] = {"full": "full", "lora": "LoRA", "qlora": "QLoRA", "head": "the head alone"}
PARTS = {
    "frozen weights": plots.COLORS[5],
    "trained weights": plots.COLORS[0],
    "gradients": plots.COLORS[4],
    "Adam's two moments": plots.COLORS[1],
    "activations": plots.COLORS[2],
}
CARDS_GB = (8, 16, 24, 48, 80)
"""Memory of graphics cards that people have."""
TEXT_TOKENS, SCORED = 40, 9
"""A prompt with its action; the logits that are asked for are those of the action and the stop."""
MB_PER_GB = 1000


@dataclass(frozen=True)
class Setting:
    """One model, and how it is trained."""

    config: OpenVLAConfig
    number_bytes: Literal[2, 4]
    """Of a weight that is not quantised, and of an activation."""
    samples: int = 1
    rank: int = 32
    checkpointing: bool = False


def stacks(
    setting: Setting,
    state_gb: Callable[..., float] = training_state_gb,
    bits: Callable[..., float] = bits_per_parameter,
) -> dict[Mode, dict[str, float]]:
    """GB of each part for every way to train. `state_gb` and `bits` do what `training_state_gb` and `bits_per_parameter` do.

    Each part is what `state_gb` gives with that part less what it gives without.
    """
    size, wide, found = sizes(setting.config), setting.number_bytes, dict[Mode, dict[str, float]]()
    adapters, learning = (
        lora_parameter_count(shapes, setting.rank) for shapes in (size.adapted, size.adapted_running)
    )
    idle, four_bits = (adapters - learning, 4), (size.quantizable, bits(64, 256) / 8)
    rest = (size.weights - size.quantizable, wide)
    ways: dict[Mode, tuple[list[tuple[int, float]], int, int]] = {
        "full": ([(size.weights - size.running, wide)], size.running, wide),
        "lora": ([(size.weights, wide), idle], learning, 4),
        "qlora": ([four_bits, rest, idle], learning, 4),
        "head": ([(size.weights - size.head, wide)], size.head, wide),
    }
    for mode, (frozen, trained, number) in ways.items():
        state = estimate_training_state(
            setting.config,
            mode,
            Batch(setting.samples, TEXT_TOKENS, SCORED),
            rank=setting.rank,
            number_bytes=wide,
            checkpointing=setting.checkpointing,
        )
        amounts = (
            sum(state_gb(count, 0, each, number, number) for count, each in frozen),
            state_gb(0, trained, 0, number, 0) - state_gb(0, trained, 0, 0, 0),
            state_gb(0, trained, 0, number, number) - state_gb(0, trained, 0, number, 0),
            state_gb(0, trained, 0, 0, 0),
            (state.activations + state.recomputed) / 1e9,
        )
        found[mode] = dict(zip(PARTS, map(float, amounts), strict=True))
    return found


def card(total_gb: float) -> str:
    """The smallest graphics card that holds so much, in words."""
    return next((f"a card with {size} GB" for size in CARDS_GB if total_gb <= size), "no single card here")


def draw(axes: Axes, bars: Mapping[Mode, Mapping[str, float]], *, cards: bool = True) -> None:
    """Stacked bars in GB, one for each way to train, with dashed lines where cards end."""
    for row, parts in enumerate(bars.values()):
        begin = 0.0
        for name, amount in parts.items():
            axes.barh(row, amount, left=begin, color=PARTS[name], height=0.62, label=name if row == 0 else "")
            begin += amount
        place: dict[str, Any] = {"xytext": (3, 0), "textcoords": "offset points", "va": "center"}
        place["bbox"] = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
        axes.annotate(f"{begin:.1f}", (begin, row), color=plots.INK, fontsize=9, **place)
    axes.set_yticks(range(len(bars)), [NAMES[mode] for mode in bars])
    axes.set_ylim(len(bars) - 0.5, -0.5)
    axes.margins(x=0.1)
    for size in CARDS_GB[2:] if cards else ():
        axes.axvline(size, color=plots.GREY, linestyle="--", linewidth=0.8, zorder=0)


def promise() -> Any:
    """Training openvla-7b at batch size 16, in four ways: the picture at the beginning of the lesson."""
    bars = stacks(Setting(OpenVLAConfig(), 2, samples=16, checkpointing=True))
    drawing, (axes,) = plots.figure(width=8, height=2.7)
    draw(axes, bars)
    axes.set_xlabel("GB while openvla-7b is trained, batch size 16, activations computed twice")
    drawing.legend(frameon=False, loc="outside upper center", ncols=5, fontsize=8.5)
    words = ", ".join(f"{NAMES[mode]} {sum(parts.values()):.0f} GB" for mode, parts in bars.items())
    return plots.picture(drawing, f"Memory for training openvla-7b at batch size 16, computed: {words}.")


class MemoryBars(PicturedWidget):
    """Choose a model, a batch size, a rank, and whether activations are computed twice; see what fits where.

    `models` gives names to configs with the bytes of a number in them.
    """

    _esm = """
    const W = 760, LEFT = 118, RIGHT = 690, ROW = 44, TOP = 34;
    function render({ model, el }) {
      const parts = model.get("parts"), models = model.get("models");
      el.innerHTML = `
        <div>
          <div class="row">
            <label>model <select aria-label="model">${models.map((name) => `<option>${name}</option>`).join("")}</select></label>
            <label>batch size <b class="samples" style="display:inline-block;width:1.6em"></b>
              <input type="range" min="0" max="6" step="1" style="width:104px" data-name="samples" aria-label="batch size"></label>
            <label>rank <b class="rank" style="display:inline-block;width:2em"></b>
              <input type="range" min="0" max="7" step="1" style="width:104px" data-name="rank" aria-label="rank of the adapters"></label>
            <label><input type="checkbox" aria-label="gradient checkpointing"> compute activations twice</label>
          </div>
          <div class="row" style="gap:2px 14px;margin-top:8px">${Object.entries(parts).map(([name, color]) =>
            `<span><span style="display:inline-block;width:11px;height:11px;background:${color};border-radius:2px"></span> ${name}</span>`).join("")}</div>
          <svg viewBox="0 0 ${W} ${TOP + 4 * ROW + 30}" style="margin-top:6px" font-size="13"
               role="img" aria-label="Stacked bars, one for each way to train. Point at a part to read it."></svg>
          <p style="min-height:4.2em" class="story" aria-live="polite"></p>
        </div>`;
      const find = (name) => el.querySelector(name), svg = find("svg"), select = find("select"), box = find("input[type=checkbox]");
      const sliders = [...el.querySelectorAll("input[type=range]")];
      const set = (name, value) => { model.set(name, value); model.save_changes(); };
      let pointed = null;
      const tell = () => {
        const s = model.get("state"), way = s.bars.find((b) => b.mode === (pointed?.mode ?? "qlora"));
        if (pointed?.part) {
          const amount = way.parts[pointed.part];
          find(".story").innerHTML = `<b>${way.name}</b>, ${pointed.part}: <b>${amount.toFixed(2)} ${s.unit}</b>, ${Math.round(100 * amount / way.total)} % of ${way.total.toFixed(1)} ${s.unit}`;
        } else find(".story").innerHTML = s.bars.map((b) => `${b.name} <b>${b.total.toFixed(1)} ${s.unit}</b>${b.card ? ` (${b.card})` : ""}`).join(" · ")
          + (s.unit === "GB" ? "<br><small>What lives through a step. Scratch space of kernels, fragments and the CUDA context come on top: some GB more.</small>" : "");
      };
      const draw = () => {
        const s = model.get("state"), x = (amount) => LEFT + amount / s.limit * (RIGHT - LEFT), bottom = TOP + 4 * ROW;
        select.value = model.get("model"); box.checked = model.get("checkpointing");
        for (const slider of sliders) { slider.value = Math.log2(model.get(slider.dataset.name)); find("." + slider.dataset.name).textContent = model.get(slider.dataset.name); }
        const ticks = [0, 0.25, 0.5, 0.75, 1].map((share) => `<line x1="${x(share * s.limit)}" x2="${x(share * s.limit)}" y1="${TOP - 4}" y2="${bottom}" stroke="var(--line)"/>
          <text x="${x(share * s.limit)}" y="${bottom + 18}" text-anchor="middle" fill="var(--quiet)">${share * s.limit}${share === 1 ? " " + s.unit : ""}</text>`).join("");
        const cards = s.cards.filter((c) => c <= s.limit).map((c) => `<line x1="${x(c)}" x2="${x(c)}" y1="${TOP - 8}" y2="${bottom}" stroke="var(--ink)" stroke-width=".8" stroke-dasharray="4 4" pointer-events="none"/>
          <text x="${x(c)}" y="${TOP - 13}" text-anchor="middle" font-size="11.5">${c}</text>`).join("");
        const totals = s.bars.map((b, row) => `<text x="${x(b.total) + 6}" y="${TOP + row * ROW + 27}" font-weight="700"
          stroke="var(--panel)" stroke-width="5" stroke-linejoin="round" paint-order="stroke">${b.total.toFixed(1)}</text>`).join("");
        svg.innerHTML = ticks + s.bars.map((b, row) => {
          let begin = 0;
          const y = TOP + row * ROW + 7;
          return `<text x="${LEFT - 8}" y="${y + 20}" text-anchor="end">${b.name}</text>` + Object.entries(b.parts).map(([part, amount]) => {
            const from = x(begin), wide = Math.max(0, x(begin + amount) - from);
            begin += amount;
            return `<rect x="${from}" width="${wide}" y="${y}" height="30" fill="${parts[part]}" data-mode="${b.mode}" data-part="${part}"/>`;
          }).join("");
        }).join("") + cards + totals + (s.cards.length ? `<text x="${LEFT - 8}" y="${TOP - 13}" text-anchor="end" font-size="11.5" fill="var(--quiet)">cards, GB</text>` : "");
        tell();
      };
      const point = (event) => { const d = event.target.dataset ?? {}; pointed = d.part ? { mode: d.mode, part: d.part } : null; tell(); };
      svg.addEventListener("pointermove", point); svg.addEventListener("pointerdown", point);
      svg.addEventListener("pointerleave", () => { pointed = null; tell(); });
      for (const slider of sliders) { slider.addEventListener("input", () => set(slider.dataset.name, 2 ** Number(slider.value))); }
      select.addEventListener("change", () => set("model", select.value));
      box.addEventListener("change", () => set("checkpointing", box.checked));
      model.on("change:state", draw);
      draw();
    }
    export default { render: framed(render) };
    """
    alt = (
        "Four stacked bars each at batch size 1 and 16, with all activations kept and with activations computed twice. QLoRA "
        "has the smallest weights; at batch size 16 the activations are the longest part wherever they are all kept."
    )
    model = traitlets.Unicode().tag(sync=True)
    models: traitlets.List[Any] = traitlets.List().tag(sync=True)
    samples = traitlets.Int(1).tag(sync=True)
    rank = traitlets.Int(32).tag(sync=True)
    checkpointing = traitlets.Bool(False).tag(sync=True)
    parts = traitlets.Dict().tag(sync=True)
    state = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        state_gb: Callable[..., float],
        bits: Callable[..., float],
        *,
        models: Mapping[str, tuple[OpenVLAConfig, Literal[2, 4]]] | None = None,
    ) -> None:
        self._state_gb, self._bits = state_gb, bits
        self._models = dict(models or {"openvla-7b, bfloat16": (OpenVLAConfig(), 2)})
        names = list(self._models)
        super().__init__(models=names, model=names[0], parts=PARTS)
        self._refresh()
        self.observe(self._refresh, names=["model", "samples", "rank", "checkpointing"])

    def _refresh(self, change: Any = None) -> None:
        self.state = self.describe(self.model, self.samples, self.rank, self.checkpointing)

    def describe(self, model: str, samples: int, rank: int, checkpointing: bool) -> dict[str, Any]:
        """All bars for one setting, in GB, or in MB where everything is smaller than a GB."""
        setting = Setting(
            *self._models[model], samples=int(samples), rank=int(rank), checkpointing=bool(checkpointing)
        )
        found = stacks(setting, self._state_gb, self._bits)
        longest = max(sum(parts.values()) for parts in found.values())
        large = longest >= 1
        scale = 1 if large else MB_PER_GB
        bars = [
            {
                "mode": mode,
                "name": NAMES[mode],
                "parts": {name: scale * amount for name, amount in parts.items()},
                "total": scale * sum(parts.values()),
                "card": card(sum(parts.values())) if large else "",
            }
            for mode, parts in found.items()
        ]
        ends = (scale_end * 10**power for power in range(9) for scale_end in (1, 2, 4))
        return {
            "unit": "GB" if large else "MB",
            "bars": bars,
            "cards": list(CARDS_GB) if large else [],
            "limit": next((end for end in ends if end >= max(40, scale * longest)), scale * longest),
        }

    def picture(self) -> bytes:
        """The first model at two batch sizes, with activations kept and computed twice."""
        drawing, axes = plots.figure(2, 2, width=9, height=4.6)
        config, number_bytes = next(iter(self._models.values()))
        cases = [(samples, twice) for samples in (1, 16) for twice in (False, True)]
        for panel, (samples, twice) in zip(axes, cases, strict=True):
            setting = Setting(config, number_bytes, samples=samples, checkpointing=twice)
            draw(panel, stacks(setting, self._state_gb, self._bits))
            kept = "activations computed twice" if twice else "all activations kept"
            panel.set_title(f"batch size {samples}, {kept}", fontsize=9)
            panel.set_xlim(0, 145)
        axes[2].set_xlabel("GB; dashed: cards with 24, 48 and 80 GB")
        handles, labels = axes[0].get_legend_handles_labels()
        drawing.legend(
            handles, labels, frameon=False, loc="outside upper center", ncols=len(PARTS), fontsize=9
        )
        return plots.png(drawing, dpi=90, colors=64)
