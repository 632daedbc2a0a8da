"""Browse demonstrations: camera pictures, actions over time, and the effect of clipping outliers before tokenisation."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ipywidgets
import numpy as np
import traitlets
from jaxtyping import Float, UInt8
from PIL import Image

from vla_course import plots
from vla_course.action_tokens import detokenize_actions, tokenize_actions, unnormalize_actions
from vla_course.data.lerobot import LeRobotDataset
from vla_course.data.statistics import HAND, fitting_dimensions
from vla_course.widgets.pictured import Drawing, PicturedBox, described

Quantiles = Callable[[Sequence[np.ndarray]], tuple[np.ndarray, np.ndarray]]
STEPS = ("Δx", "Δy", "Δz", "Δroll", "Δpitch", "Δyaw", "grip")
FRAMES_DRAWN, CLIPS_DRAWN = 6, (0.0, 1.0, 10.0)


class Frames(Drawing):
    """The camera picture of one frame, and every action dimension over time with a cursor at that frame. `frame` counts from 0."""

    _esm = Path(__file__).with_suffix(".js")
    names: traitlets.List[Any] = traitlets.List().tag(sync=True)
    units: traitlets.List[Any] = traitlets.List().tag(sync=True)
    cuts = traitlets.Bool().tag(sync=True)
    frame = traitlets.Int(0).tag(sync=True)
    state = traitlets.Dict().tag(sync=True)
    png = traitlets.Bytes().tag(sync=True)


class DataBrowser(PicturedBox):
    """An episode, its frames and its actions.

    With `quantiles` (04.1) and `normalize` (04.2) there is a second slider: the share of numbers that is cut off on each side. The
    band is the range that is left, the orange line what a robot gets that hears tokens of it. `translation_m` and `rotation_rad` are
    what an action of 1 moves a hand, so that traces read in millimetres and degrees.
    """

    episode = traitlets.Int(0).tag(sync=True)
    frame = traitlets.Int(0).tag(sync=True)
    clip = traitlets.Float(1.0).tag(sync=True)

    def __init__(
        self,
        dataset: LeRobotDataset,
        *,
        quantiles: Quantiles | None = None,
        normalize: Callable[..., np.ndarray] | None = None,
        translation_m: float = 0.12,
        rotation_rad: float = 0.2,
    ) -> None:
        """Raises: ValueError for `quantiles` without `normalize`, or the other way round."""
        if (quantiles is None) != (normalize is None):
            raise ValueError("to cut numbers off, both quantiles= and normalize= are needed")
        self._dataset, self._normalize = dataset, normalize
        self._actions = [track.actions.astype(float) for track in dataset.tracks()]
        self._frames = np.concatenate(self._actions)
        count = self._frames.shape[1]
        self._mask = fitting_dimensions(self._frames)
        self._yours = None if quantiles is None else quantiles(self._actions)
        hand = np.array([1000 * translation_m] * 3 + [np.degrees(rotation_rad)] * 3 + [1.0])
        self._scale = np.where(np.arange(count) < count - count % HAND, np.resize(hand, count), 1.0)
        self._reach = 1.05 * np.maximum(np.abs(self._frames * self._scale).max(0), 1e-3)
        self.cuts = quantiles is not None
        self.names = _names(count)
        self.units = [("mm", "°", "")[min(2, k % HAND // 3)] for k in range(count)]
        drawing = Frames(names=self.names, units=self.units, cuts=self.cuts)
        lengths = [(f"{k}, {frames / dataset.fps:.1f} s", k) for k, frames in enumerate(dataset.lengths)]
        choice = ipywidgets.Dropdown(options=lengths, **described("episode"))
        self._play = ipywidgets.Play(interval=round(1000 / dataset.fps), repeat=True, show_repeat=False)
        self._slide = ipywidgets.IntSlider(readout=False, **described("frame"))
        clip = ipywidgets.FloatSlider(
            min=0.0, max=10.0, step=0.5, readout_format=".1f", **described("cut off on each side, %")
        )
        controls = [choice, self._play, self._slide, *([clip] if self.cuts else [])]
        super().__init__(controls, drawing)
        # Tied in the browser: a film that waits for the kernel at each frame would stutter.
        ipywidgets.jslink((self._play, "value"), (self._slide, "value"))
        ipywidgets.jslink((self._slide, "value"), (drawing, "frame"))
        traitlets.link((self, "frame"), (drawing, "frame"))
        self.steer(episode=choice, clip=clip)
        self._open()
        self.observe(self._open, names="episode")
        self.observe(self._refresh, names="clip")

    @property
    def state(self) -> dict[str, Any]:
        """The result of `describe` for the current episode and clipping."""
        return dict(self.drawing.state)

    @property
    def png(self) -> bytes:
        """The camera pictures of the episode side by side, as PNG."""
        return bytes(self.drawing.png)

    @property
    def alt(self) -> str:  # type: ignore[override]
        """The picture in words."""
        seen = "Six frames of one demonstration, and under them how its action changes from frame to frame"
        return seen + (
            ", with nothing, 1 % and 10 % cut off on each side: the more is cut, the flatter the peaks."
            if self.cuts
            else ": steps of the hand, its turn and its grip."
        )

    def cut(self, clip: float) -> tuple[Float[np.ndarray, " A"], Float[np.ndarray, " A"]]:
        """The lower and upper quantile of each dimension that clip `clip` percent of its values on each side."""
        low, high = np.quantile(self._frames, [clip / 100, 1 - clip / 100], axis=0)
        return low, high

    def decoded(self, actions: Float[np.ndarray, "T A"], clip: float) -> Float[np.ndarray, "T A"]:
        """Actions after clipping, normalisation, tokenisation and decoding."""
        assert self._normalize is not None
        low, high = self.cut(clip)
        tokens = tokenize_actions(np.clip(self._normalize(actions, low, high, self._mask), -1, 1))
        return unnormalize_actions(detokenize_actions(tokens), low, high, self._mask)

    def describe(self, episode: int, clip: float) -> dict[str, Any]:
        """Everything that the browser draws of an episode, in millimetres and degrees."""
        actions, low_high = self._actions[episode], np.stack(self.cut(clip))
        decoded = self.decoded(actions, clip) if self.cuts else None
        traces = []
        for k, scale in enumerate(self._scale):
            traces.append(
                {
                    "raw": (scale * actions[:, k]).round(3).tolist(),
                    "decoded": None if decoded is None else (scale * decoded[:, k]).round(3).tolist(),
                    "band": (scale * low_high[:, k]).tolist() if self._mask[k] else None,
                    "yours": [float(scale * end[k]) for end in self._yours or ()] or None,
                    "reach": float(self._reach[k]),
                }
            )
        return {
            "episode": episode,
            "length": len(actions),
            "fps": self._dataset.fps,
            "instruction": " → ".join(dict.fromkeys(self._dataset.track(episode).said)),
            "traces": traces,
            "story": self.story(clip) if self.cuts else "",
        }

    def story(self, clip: float) -> str:
        """Effect of clipping on the whole data set: share of clipped values, largest clipped distance, largest rounding error."""
        low, high = self.cut(clip)
        inside = np.clip(self._frames, low, high)
        lost = np.abs(self._frames - inside)[:, self._mask]
        millimetres = np.array([unit == "mm" for unit in self.units])
        far = np.abs((self._frames - inside) * self._scale)[:, millimetres & self._mask].max()
        half = ((high - low) * self._scale / 2 / 255)[millimetres & self._mask].max()
        return (
            f"{100 * (lost > 1e-9).mean():.1f} % of all numbers are cut, steps by up to {far:.0f} mm; "
            f"the widest bin rounds by up to {half:.2f} mm"
        )

    def _open(self, change: Any = None) -> None:
        self._pictures = np.stack(list(self._dataset.images(self.episode)))
        self._play.value = self._slide.value = self.frame = 0
        self._play.max = self._slide.max = len(self._pictures) - 1
        self.drawing.png = _sheet(self._pictures)
        self._refresh()

    def _refresh(self, change: Any = None) -> None:
        self.drawing.state = self.describe(self.episode, self.clip)

    def picture(self) -> bytes:
        """Six frames, and four action dimensions of the first hand, for each of three clip shares if values are clipped."""
        clips = CLIPS_DRAWN if self.cuts else (0.0,)
        drawing, axes = plots.figure(1 + len(clips), 1, width=9, height=1.8 + 1.3 * len(clips))
        chosen = np.linspace(0, len(self._pictures) - 1, FRAMES_DRAWN).round().astype(int)
        axes[0].imshow(np.concatenate([self._pictures[k] for k in chosen], axis=1))
        axes[0].axis("off")
        for panel, clip in zip(axes[1:], clips, strict=True):
            _draw(panel, self.describe(self.episode, clip), clip if self.cuts else None, self.names)
        axes[-1].set_xlabel("seconds")
        return plots.png(drawing, dpi=90)


def _draw(panel: Any, state: dict[str, Any], clip: float | None, names: Sequence[str]) -> None:
    """Four traces side by side in one panel, each scaled to its own range."""
    seconds = np.arange(state["length"]) / state["fps"]
    shown = [k for k in (0, 2, 3, 6) if k < len(names)]
    wide = 1.15 * (seconds[-1] + 1 / state["fps"])
    for place, k in enumerate(shown):
        trace = state["traces"][k]
        at = seconds + place * wide
        if clip is not None and trace["band"]:
            panel.fill_between(
                at, *(end / trace["reach"] for end in trace["band"]), color=plots.COLORS[5], alpha=0.3
            )
        panel.plot(at, np.array(trace["raw"]) / trace["reach"], color=plots.COLORS[0], linewidth=2.6)
        if trace["decoded"]:
            panel.plot(at, np.array(trace["decoded"]) / trace["reach"], color=plots.COLORS[1], linewidth=0.9)
        panel.text(place * wide, 1.12, names[k], fontsize=9)
    ticks = [
        (place * wide + second, second) for place in range(len(shown)) for second in (0, int(seconds[-1]))
    ]
    panel.set_xticks([at for at, _ in ticks], [str(second) for _, second in ticks])
    panel.set(ylim=(-1.1, 1.5), yticks=[], ylabel="" if clip is None else f"{clip:g} % cut")


def _names(count: int) -> list[str]:
    """Names of the action dimensions: seven for each hand, then an optional stage signal."""
    hands = count // HAND
    prefixes = ["left ", "right "] if hands == 2 else [""] * hands
    return [prefix + step for prefix in prefixes for step in STEPS] + ["stage"] * (count % HAND)


def _sheet(pictures: UInt8[np.ndarray, "T H W 3"]) -> bytes:
    """All pictures of an episode side by side in one PNG file, so that the browser never has to wait for one."""
    file = io.BytesIO()
    Image.fromarray(np.concatenate(list(pictures), axis=1)).save(file, "PNG")
    return file.getvalue()
