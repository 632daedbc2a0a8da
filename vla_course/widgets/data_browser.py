"""Demonstrations to leaf through: the picture of every frame, its numbers, and what is left of them when outliers are cut."""

import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import traitlets
from jaxtyping import Float, UInt8
from PIL import Image

from vla_course import plots
from vla_course.action_tokens import detokenize_actions, tokenize_actions, unnormalize_actions
from vla_course.data.lerobot import LeRobotDataset
from vla_course.data.statistics import HAND, fitting_dimensions
from vla_course.widgets.pictured import PicturedWidget

Quantiles = Callable[[Sequence[np.ndarray]], tuple[np.ndarray, np.ndarray]]
STEPS = ("Δx", "Δy", "Δz", "Δroll", "Δpitch", "Δyaw", "grip")
FRAMES_DRAWN, CLIPS_DRAWN = 6, (0.0, 1.0, 10.0)


class DataBrowser(PicturedWidget):
    """Choose an episode, slide over its frames, and see picture and action together.

    With `quantiles` (04.1) and `normalize` (04.2) there is a second slider: the share of numbers that is cut off on each side. The
    band is the range that is left, the orange line what a robot gets that hears tokens of it. `translation_m` and `rotation_rad` are
    what an action of 1 moves a hand, so that traces read in millimetres and degrees.
    """

    _esm = """
    const W = 230, H = 36, ROW = 43, LEFT = 84, COLUMN = LEFT + W + 66;
    function render({ model, el }) {
      const names = model.get("names"), units = model.get("units"), cuts = model.get("cuts"), columns = Math.max(1, names.length / 7 | 0);
      const rows = Math.ceil(names.length / columns);
      el.innerHTML = `
        <div>
          <div class="row" style="align-items:flex-start">
            <div class="seen" role="img" style="width:210px;height:210px;border-radius:6px;image-rendering:pixelated;background-color:var(--track)"></div>
            <div style="flex:1;min-width:280px">
              <label>episode <select aria-label="episode">${model.get("episodes").map((name, i) => `<option value="${i}">${name}</option>`).join("")}</select></label>
              <p>“<span class="told"></span>”</p>
              <label>frame <b class="at"></b><input class="frame" type="range" min="0" step="1" style="width:100%" aria-label="frame"></label>
              <p><button class="play">play</button></p>
              <div class="cutting"><label>cut off on each side <b class="cut"></b> %
                <input class="clip" type="range" min="0" max="10" step="0.5" style="width:100%" aria-label="share cut off on each side"></label>
              <p class="story" aria-live="polite"></p></div>
            </div>
          </div>
          <svg viewBox="0 0 ${columns * COLUMN} ${rows * ROW + 22}" style="margin-top:6px;max-width:${columns * COLUMN}px;touch-action:none;user-select:none;cursor:ew-resize" font-size="11"
            role="img" aria-label="Every number of the action over the frames of this episode. Drag to move through the frames."></svg>
        </div>`;
      const find = (name) => el.querySelector(name), frame = find(".frame"), clip = find(".clip"), svg = find("svg");
      const set = (name, value) => { model.set(name, value); model.save_changes(); };
      let url = null, timer = null;
      const sheet = () => {
        if (url) URL.revokeObjectURL(url);
        url = URL.createObjectURL(new Blob([model.get("png")], { type: "image/png" }));
        find(".seen").style.backgroundImage = `url(${url})`;
      };
      const line = (values, x, y) => values.map((v, i) => `${i ? "L" : "M"}${x(i).toFixed(1)},${y(v).toFixed(1)}`).join("");
      const draw = () => {
        const s = model.get("state"), last = s.length - 1, now = Math.min(model.get("frame"), last);
        frame.max = last; frame.value = now; clip.value = model.get("clip"); find("select").value = model.get("episode");
        find(".cutting").style.display = cuts ? "" : "none";
        find(".told").textContent = s.instruction; find(".cut").textContent = model.get("clip").toFixed(1);
        find(".at").textContent = `${now + 1} of ${last + 1}, ${(now / s.fps).toFixed(1)} s`;
        find(".seen").style.backgroundSize = `${100 * s.length}% 100%`;
        find(".seen").style.backgroundPosition = `${last ? 100 * now / last : 0}% 0`;
        find(".seen").setAttribute("aria-label", `frame ${now + 1} of ${last + 1}`);
        find(".story").textContent = s.story;
        svg.innerHTML = s.traces.map((t, d) => {
          const left = Math.floor(d / rows) * COLUMN + LEFT, top = (d % rows) * ROW + 4;
          const x = (i) => left + i / Math.max(1, last) * W, y = (v) => top + H / 2 - v / t.reach * H / 2;
          const edge = (v) => Math.max(top, Math.min(top + H, y(v)));
          const band = t.band && cuts ? `<rect x="${left}" width="${W}" y="${edge(t.band[1])}" height="${edge(t.band[0]) - edge(t.band[1])}" fill="var(--sky)" fill-opacity=".3"/>` : "";
          const mine = t.yours ? t.yours.map((v) => `<line x1="${left}" x2="${left + W}" y1="${edge(v)}" y2="${edge(v)}" stroke="var(--green)" stroke-dasharray="3 3"/>`).join("") : "";
          return `<rect x="${left}" y="${top}" width="${W}" height="${H}" fill="var(--paper)"/>${band}${mine}
            <line x1="${left}" x2="${left + W}" y1="${y(0)}" y2="${y(0)}" stroke="var(--line)" stroke-width=".7"/>
            <path d="${line(t.raw, x, y)}" fill="none" stroke="var(--blue)" stroke-width="3" stroke-opacity=".6"/>
            ${t.said ? `<path d="${line(t.said, x, y)}" fill="none" stroke="var(--orange)" stroke-width="1.2"/>` : ""}
            <line x1="${x(now)}" x2="${x(now)}" y1="${top}" y2="${top + H}" stroke="var(--ink)" stroke-width=".8"/>
            <text x="${left - 4}" y="${top + H / 2 + 4}" text-anchor="end">${names[d]}</text>
            <text x="${left + W + 6}" y="${top + H / 2 + 4}">${(Number(t.raw[now].toFixed(units[d] ? 1 : 2)) + 0).toFixed(units[d] ? 1 : 2)} ${units[d]}</text>`;
        }).join("") + `<text x="${LEFT}" y="${rows * ROW + 14}" fill="var(--quiet)">blue: as recorded${cuts ? "; orange: what is left after cutting and tokens; band: the range that is left; green: your q01 and q99" : ""}</text>`;
      };
      const go = (value) => { set("frame", Math.max(0, Math.min(model.get("state").length - 1, value))); };
      const drag = (event) => {
        const p = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
        go(Math.round(((p.x % COLUMN) - LEFT) / W * (model.get("state").length - 1)));
      };
      svg.addEventListener("pointerdown", (event) => { svg.setPointerCapture(event.pointerId); drag(event); });
      svg.addEventListener("pointermove", (event) => { if (event.buttons) drag(event); });
      const stop = () => { clearInterval(timer); timer = null; find(".play").textContent = "play"; };
      find(".play").addEventListener("click", () => {
        if (timer) { stop(); return; }
        find(".play").textContent = "stop";
        timer = setInterval(() => { const n = model.get("state").length; go((model.get("frame") + 1) % n); }, 1000 / model.get("state").fps);
      });
      frame.addEventListener("input", () => go(Number(frame.value)));
      clip.addEventListener("input", () => set("clip", Number(clip.value)));
      find("select").addEventListener("change", () => set("episode", Number(find("select").value)));
      model.on("change:frame", draw); model.on("change:state", draw); model.on("change:png", sheet);
      sheet(); draw();
      return () => { stop(); if (url) URL.revokeObjectURL(url); };
    }
    export default { render: framed(render) };
    """
    names: traitlets.List[Any] = traitlets.List().tag(sync=True)
    units: traitlets.List[Any] = traitlets.List().tag(sync=True)
    episodes: traitlets.List[Any] = traitlets.List().tag(sync=True)
    cuts = traitlets.Bool().tag(sync=True)
    episode = traitlets.Int(0).tag(sync=True)
    frame = traitlets.Int(0).tag(sync=True)
    clip = traitlets.Float(1.0).tag(sync=True)
    state = traitlets.Dict().tag(sync=True)
    png = traitlets.Bytes().tag(sync=True)

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
        super().__init__(
            names=_names(count),
            units=[("mm", "°", "")[min(2, k % HAND // 3)] for k in range(count)],
            episodes=[f"{k}, {frames / dataset.fps:.1f} s" for k, frames in enumerate(dataset.lengths)],
            cuts=quantiles is not None,
        )
        self._open()
        self.observe(self._open, names="episode")
        self.observe(self._refresh, names="clip")

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
        """The range that is left of each dimension when `clip` percent of all its numbers are cut off on each side."""
        low, high = np.quantile(self._frames, [clip / 100, 1 - clip / 100], axis=0)
        return low, high

    def said(self, actions: Float[np.ndarray, "T A"], clip: float) -> Float[np.ndarray, "T A"]:
        """What is left of actions when they were cut, normalised, said in tokens, and read again."""
        assert self._normalize is not None
        low, high = self.cut(clip)
        tokens = tokenize_actions(np.clip(self._normalize(actions, low, high, self._mask), -1, 1))
        return unnormalize_actions(detokenize_actions(tokens), low, high, self._mask)

    def describe(self, episode: int, clip: float) -> dict[str, Any]:
        """All that is drawn of an episode, in millimetres and degrees."""
        actions, low_high = self._actions[episode], np.stack(self.cut(clip))
        said = self.said(actions, clip) if self.cuts else None
        traces = []
        for k, scale in enumerate(self._scale):
            traces.append(
                {
                    "raw": (scale * actions[:, k]).round(3).tolist(),
                    "said": None if said is None else (scale * said[:, k]).round(3).tolist(),
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
        """What cutting so much does to the whole set: how many numbers, how far at most, and how fine the tokens are."""
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
        self.frame = 0
        self.png = _sheet(self._pictures)
        self._refresh()

    def _refresh(self, change: Any = None) -> None:
        self.state = self.describe(self.episode, self.clip)

    def picture(self) -> bytes:
        """Six frames, and four numbers of the hand that moves most, once for each of three clip shares where there are any."""
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
    """Four traces side by side in one panel, each in shares of its own reach."""
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
        if trace["said"]:
            panel.plot(at, np.array(trace["said"]) / trace["reach"], color=plots.COLORS[1], linewidth=0.9)
        panel.text(place * wide, 1.12, names[k], fontsize=9)
    ticks = [
        (place * wide + second, second) for place in range(len(shown)) for second in (0, int(seconds[-1]))
    ]
    panel.set_xticks([at for at, _ in ticks], [str(second) for _, second in ticks])
    panel.set(ylim=(-1.1, 1.5), yticks=[], ylabel="" if clip is None else f"{clip:g} % cut")


def _names(count: int) -> list[str]:
    """Seven numbers a hand; a stage signal may follow."""
    hands = count // HAND
    prefixes = ["left ", "right "] if hands == 2 else [""] * hands
    return [prefix + step for prefix in prefixes for step in STEPS] + ["stage"] * (count % HAND)


def _sheet(pictures: UInt8[np.ndarray, "T H W 3"]) -> bytes:
    """All pictures of an episode side by side in one PNG file, so that the browser never has to wait for one."""
    file = io.BytesIO()
    Image.fromarray(np.concatenate(list(pictures), axis=1)).save(file, "PNG")
    return file.getvalue()
