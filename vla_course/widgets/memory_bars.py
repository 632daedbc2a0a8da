"""Training memory of each fine-tuning mode as stacked bars, computed with the learner's two functions."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import ipywidgets
import traitlets
from matplotlib.axes import Axes

from vla_course import plots
from vla_course.adapters.lora import lora_parameter_count
from vla_course.adapters.nf4 import bits_per_parameter
from vla_course.memory.activations import Batch
from vla_course.memory.estimate import Mode, estimate_training_state, sizes, training_state_gb
from vla_course.openvla.config import OpenVLAConfig
from vla_course.widgets.pictured import Drawing, PicturedBox, described, slider

NAMES: dict[Mode, str] = {"full": "full", "lora": "LoRA", "qlora": "QLoRA", "head": "the head alone"}
PARTS = {
    "frozen weights": plots.COLORS[5],
    "trained weights": plots.COLORS[0],
    "gradients": plots.COLORS[4],
    "Adam's two moments": plots.COLORS[1],
    "activations": plots.COLORS[2],
}
CARDS_GB = (8, 16, 24, 48, 80)
"""Memory of common graphics cards."""
MARGIN = 1.5
"""GPUs need about half as much again as the tensors counted here: 27 and 72 GB were seen where this counts 19.2 and 50.3."""
TEXT_TOKENS, SCORED = 40, 9
"""Tokens of a prompt with its action; positions whose logits are computed (the action and the end token)."""
MB_PER_GB = 1000
BATCHES = (1, 2, 4, 8, 16, 32, 64)
RANKS = (1, 2, 4, 8, 16, 32, 64, 128)


@dataclass(frozen=True)
class Setting:
    """One model and its training settings."""

    config: OpenVLAConfig
    number_bytes: Literal[2, 4]
    """Bytes of an unquantised weight and of an activation."""
    samples: int = 1
    rank: int = 32
    checkpointing: bool = False


def stacks(
    setting: Setting,
    state_gb: Callable[..., float] = training_state_gb,
    bits: Callable[..., float] = bits_per_parameter,
) -> dict[Mode, dict[str, float]]:
    """Memory of each part in GB, for every fine-tuning mode. `state_gb` and `bits` have the signatures of
    `training_state_gb` and `bits_per_parameter`.

    Each part is what `state_gb` gives with that part less what it gives without.
    """
    size, wide, bars = sizes(setting.config), setting.number_bytes, dict[Mode, dict[str, float]]()
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
        bars[mode] = dict(zip(PARTS, map(float, amounts), strict=True))
    return bars


def card(total_gb: float) -> str:
    """The smallest graphics card to plan with, in words: it holds the total and the margin."""
    fitting = (f"plan a card with {size} GB" for size in CARDS_GB if MARGIN * total_gb <= size)
    return next(fitting, "no single card here")


def draw(axes: Axes, bars: Mapping[Mode, Mapping[str, float]], *, cards: bool = True) -> None:
    """Stacked bars in GB, one for each mode, with dashed lines at the memory of graphics cards."""
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
    """Memory of training openvla-7b at batch size 16 in four modes: the lesson's opening picture."""
    bars = stacks(Setting(OpenVLAConfig(), 2, samples=16, checkpointing=True))
    drawing, (axes,) = plots.figure(width=8, height=2.7)
    draw(axes, bars)
    axes.set_xlabel("GB while openvla-7b is trained, batch size 16, activations computed twice")
    drawing.legend(frameon=False, loc="outside upper center", ncols=5, fontsize=8.5)
    words = ", ".join(f"{NAMES[mode]} {sum(parts.values()):.0f} GB" for mode, parts in bars.items())
    return plots.picture(drawing, f"Memory for training openvla-7b at batch size 16, computed: {words}.")


class Bars(Drawing):
    """Stacked bars of `state["bars"]`, one for each mode. Pointing at a part shows its size."""

    _esm = Path(__file__).with_suffix(".js")
    parts = traitlets.Dict(PARTS).tag(sync=True)
    state = traitlets.Dict().tag(sync=True)


class MemoryBars(PicturedBox):
    """Memory against model, batch size, LoRA rank and gradient checkpointing.

    `models` maps a name to a config and the bytes of an unquantised number.
    """

    alt = (
        "Four stacked bars each at batch size 1 and 16, with all activations kept and with activations computed twice. QLoRA "
        "has the smallest weights; at batch size 16 the activations are the longest part wherever they are all kept."
    )
    model = traitlets.Unicode().tag(sync=True)
    samples = traitlets.Enum(BATCHES, 1).tag(sync=True)
    rank = traitlets.Enum(RANKS, 32).tag(sync=True)
    checkpointing = traitlets.Bool(False).tag(sync=True)

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
        controls = {
            "model": ipywidgets.Dropdown(options=names, **described("model")),
            "samples": slider("batch size", BATCHES),
            "rank": slider("rank", RANKS),
            "checkpointing": ipywidgets.Checkbox(
                description="compute activations twice", indent=False, layout={"width": "auto"}
            ),
        }
        super().__init__([*controls.values()], Bars(), model=names[0])
        self.steer(**controls)
        self._refresh()
        self.observe(self._refresh, names=list(controls))

    @property
    def state(self) -> dict[str, Any]:
        """The result of `describe` for the current values."""
        return dict(self.drawing.state)

    def _refresh(self, change: Any = None) -> None:
        self.drawing.state = self.describe(self.model, self.samples, self.rank, self.checkpointing)

    def describe(self, model: str, samples: int, rank: int, checkpointing: bool) -> dict[str, Any]:
        """The bars for one setting, in GB, or in MB if all are below 1 GB."""
        setting = Setting(
            *self._models[model], samples=int(samples), rank=int(rank), checkpointing=bool(checkpointing)
        )
        stacked = stacks(setting, self._state_gb, self._bits)
        longest = max(sum(parts.values()) for parts in stacked.values())
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
            for mode, parts in stacked.items()
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
