"""Things to play with in a lesson. Each computes with the learner's own function, and leaves a picture where no kernel runs."""

import io
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import anywidget
import mujoco
import numpy as np
import traitlets
from jaxtyping import Float
from matplotlib.patches import Circle
from PIL import Image

from vla_course import plots
from vla_course.envs.rendering import VIDEO, CameraRenderer
from vla_course.envs.robot import JOINT_NAMES, add_two_arms, home_position
from vla_course.envs.shadow_hand import CLOSED_HAND
from vla_course.envs.table import add_table_and_sky
from vla_course.picture import Picture
from vla_course.widget_root import SCRIPT, STYLE

# Upper arm, and forearm with the hand hanging on it: the two long bones of a UR10e.
LINKS_M = (0.6127, 0.5716)
LONGEST_ERROR_M = 0.04
ROBOT_STEP_RAD = 0.10


class PicturedWidget(anywidget.AnyWidget):
    """A widget with keys and colours as in `widget_root`, and a picture of itself where no kernel runs (GitHub).

    The JavaScript in `_esm` stands behind `widget_root.SCRIPT` and exports `{ render: framed(render) }`.
    """

    alt = ""
    _css = STYLE

    def __init_subclass__(cls, **options: Any) -> None:
        own = vars(cls).get("_esm")
        if isinstance(own, str):  # it is a trait in the class that anywidget makes for each instance
            cls._esm = SCRIPT + own
        super().__init_subclass__(**options)

    def picture(self) -> bytes:
        """What a reader sees in place of the widget, as PNG."""
        raise NotImplementedError

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is None:
            return None
        data, metadata = bundle
        return data | Picture(self.picture(), self.alt).mime_bundle, metadata


def elbow_position(angles: Float[np.ndarray, "2"]) -> Float[np.ndarray, "3 2"]:
    """Shoulder, elbow and hand of the planar arm, in metres; angles in rad, the second one relative to the first link."""
    first, second = angles[0], angles[0] + angles[1]
    elbow = LINKS_M[0] * np.array([np.cos(first), np.sin(first)])
    return np.stack([np.zeros(2), elbow, elbow + LINKS_M[1] * np.array([np.cos(second), np.sin(second)])])


def elbow_jacobian(angles: Float[np.ndarray, "2"]) -> Float[np.ndarray, "2 2"]:
    """How fast the hand moves (m) with each angle (rad)."""
    _, elbow, hand = elbow_position(angles)
    return np.array([[-hand[1], -(hand - elbow)[1]], [hand[0], (hand - elbow)[0]]])


class IKPlayground(PicturedWidget):
    """A two-bone arm with a UR10e's lengths: drag the target, slide λ, watch the joint step.

    Every tick is one call of `step(jacobian, error, damping)`, so the function that is put in is what moves the arm.
    """

    _esm = """
    const BAR = 4;  // decades shown: 0.001 to 10 rad
    function render({ model, el }) {
      el.innerHTML = `
        <div class="row" style="align-items:flex-start">
          <svg viewBox="-1.4 -1.25 2.8 2.1" style="flex:3 1 330px;touch-action:none;cursor:crosshair"
               role="group" aria-label="Arm from the side. Drag the orange target, or move it with the arrow keys.">
            <circle r="1.1843" fill="none" stroke="var(--line)" stroke-width=".006" stroke-dasharray=".03 .02"/>
            <line x1="-1.4" x2="1.4" y1=".1" y2=".1" stroke="var(--line)" stroke-width=".01"/>
            <polyline class="trail" fill="none" stroke="var(--sky)" stroke-width=".008"/>
            <ellipse class="ease" fill="var(--blue)" fill-opacity=".15" stroke="var(--blue)" stroke-width=".006"/>
            <polyline class="arm" fill="none" stroke="var(--quiet)" stroke-width=".07" stroke-linejoin="round" stroke-linecap="round"/>
            <g class="joints" fill="var(--track)" stroke="var(--quiet)" stroke-width=".012"></g>
            <circle class="target" r=".045" fill="var(--orange)" fill-opacity=".35" stroke="var(--orange)" stroke-width=".014" style="cursor:grab"
                    tabindex="0" role="slider" aria-label="target" aria-valuemin="-1.4" aria-valuemax="1.4"/>
          </svg>
          <div style="flex:2 1 240px">
            <label>damping λ <b class="lambda"></b> m<br>
              <input type="range" min="0" max="40" step="1" style="width:100%" aria-label="damping"></label>
            <p>largest joint step <b class="step"></b> rad
              <span style="display:block;position:relative;height:14px;background:var(--track);border-radius:3px;overflow:hidden">
                <span class="bar" style="display:block;height:100%"></span>
                <span style="position:absolute;left:50%;top:0;bottom:0;border-left:2px solid var(--ink)" title="0.1 rad"></span></span>
              <small>0.001 … <b>|</b> 0.1 rad is all the robot can do in one control step … 10</small></p>
            <p>condition number of J <b class="condition"></b><br><small>how much harder the hardest direction is than the easiest</small></p>
            <p>distance to the target <b class="distance"></b> mm</p>
            <p><small>The blue ellipse is where the hand gets by turning the joints a little. It is flat where a direction is lost.</small></p>
          </div>
        </div>`;
      const find = (name) => el.querySelector(name), svg = find("svg"), slider = find("input");
      const damping = () => slider.value == 0 ? 0 : 0.001 * Math.pow(10, slider.value / 16);
      slider.value = model.get("damping") > 0 ? Math.round(16 * Math.log10(model.get("damping") / 0.001)) : 0;
      let patience = 0, busy = false, aim = model.get("target"), sent = aim;  // an echo of what was sent may not undo a later aim
      const draw = () => {
        const s = model.get("state"), flip = (p) => `${p[0]},${-p[1]}`;
        find(".arm").setAttribute("points", s.points.map(flip).join(" "));
        find(".trail").setAttribute("points", s.trail.map(flip).join(" "));
        find(".joints").innerHTML = s.points.map((p) => `<circle cx="${p[0]}" cy="${-p[1]}" r=".045"/>`).join("");
        const e = find(".ease"), hand = s.points[2];
        e.setAttribute("rx", 0.15 * s.ellipse[0]); e.setAttribute("ry", Math.max(0.004, 0.15 * s.ellipse[1]));
        e.setAttribute("transform", `translate(${hand[0]} ${-hand[1]}) rotate(${-s.ellipse[2]})`);
        const [out, up] = aim, place = { cx: out, cy: -up, "aria-valuenow": out.toFixed(2), "aria-valuetext": `${out.toFixed(2)} m out, ${up.toFixed(2)} m up` };
        Object.entries(place).forEach(([name, value]) => find(".target").setAttribute(name, value));
        const share = Math.min(1, Math.max(0.01, (Math.log10(s.step + 1e-9) + 3) / BAR));
        find(".bar").style.width = `${100 * share}%`;
        find(".bar").style.background = s.step > 0.1 ? "var(--orange)" : "var(--green)";
        find(".step").textContent = s.step < 100 ? s.step.toPrecision(2) : Math.round(s.step);
        find(".condition").textContent = s.condition > 1e6 ? "> 1 000 000" : s.condition.toPrecision(3);
        find(".distance").textContent = (1000 * s.distance).toFixed(s.distance < 0.01 ? 1 : 0);
        find(".lambda").textContent = model.get("damping").toPrecision(2);
      };
      const tick = () => {
        if (busy || patience <= 0) return;
        patience -= 1; busy = true; sent = aim;
        model.set("target", aim); model.set("tick", model.get("tick") + 1); model.save_changes();
      };
      const wake = () => { patience = 80; tick(); };
      model.on("change:state", () => { draw(); busy = false; if (aim !== sent || model.get("state").distance > 5e-4) setTimeout(tick, 50); });
      const within = (value, low, high) => Math.max(low, Math.min(high, value));
      const aimAt = (x, y) => { aim = [within(x, -1.4, 1.4), within(y, -0.85, 1.25)]; draw(); wake(); };
      const place = (event) => {
        const p = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
        aimAt(p.x, -p.y);
      };
      movedByArrows(find(".target"), (right, up) => aimAt(aim[0] + 0.01 * right, aim[1] + 0.01 * up));
      svg.addEventListener("pointerdown", (event) => { svg.setPointerCapture(event.pointerId); place(event); });
      svg.addEventListener("pointermove", (event) => { if (event.buttons) place(event); });
      slider.addEventListener("input", () => { model.set("damping", damping()); draw(); wake(); });
      draw();
    }
    export default { render: framed(render) };
    """
    alt = (
        "Nine small arms: targets that are easy, near full stretch and out of reach, each with damping 0, 0.05 and 0.2. "
        "Without damping the step near full stretch is far beyond what the robot can do; with much damping it is slow."
    )
    target = traitlets.List([0.9, 0.1]).tag(sync=True)
    damping = traitlets.Float(0.02).tag(sync=True)
    tick = traitlets.Int(0).tag(sync=True)
    state = traitlets.Dict().tag(sync=True)

    def __init__(self, step: Callable[..., np.ndarray], *, damping: float = 0.02) -> None:
        self._step, self._angles = step, np.array([1.2, -1.6])
        self._trail: list[list[float]] = []
        super().__init__(damping=damping)
        self.state = self._describe(0.0)
        self.observe(self._move, names="tick")

    def _move(self, change: Any) -> None:
        """One joint step towards the target, with the learner's function."""
        error = self._error(self._angles, np.array(self.target))
        try:
            step = np.asarray(self._step(elbow_jacobian(self._angles), error, self.damping), dtype=float)
        except np.linalg.LinAlgError:  # exactly singular and undamped: there is no step
            step = np.full(2, np.inf)
        largest = float(np.abs(step).max()) if np.isfinite(step).all() else 1e9
        if largest < 1e9:
            self._angles = np.mod(self._angles + step + np.pi, 2 * np.pi) - np.pi
        self._trail = [*self._trail, elbow_position(self._angles)[2].tolist()][-40:]
        self.state = self._describe(largest)

    def _error(
        self, angles: Float[np.ndarray, "2"], target: Float[np.ndarray, "2"]
    ) -> Float[np.ndarray, "2"]:
        error = target - elbow_position(angles)[2]
        shortened: Float[np.ndarray, "2"] = error * min(
            1.0, LONGEST_ERROR_M / max(float(np.linalg.norm(error)), 1e-9)
        )
        return shortened

    def _describe(self, largest: float) -> dict[str, Any]:
        points, jacobian = elbow_position(self._angles), elbow_jacobian(self._angles)
        directions, sizes, _ = np.linalg.svd(jacobian)
        return {
            "tick": self.tick,  # so that every answer is news to the browser
            "points": points.tolist(),
            "trail": self._trail,
            "step": largest,
            "condition": float(min(sizes[0] / max(sizes[1], 1e-12), 1e9)),
            "distance": float(np.linalg.norm(np.array(self.target) - points[2])),
            "ellipse": [*sizes.tolist(), float(np.degrees(np.arctan2(directions[1, 0], directions[0, 0])))],
        }

    def picture(self) -> bytes:
        """Three targets by three dampings: the arm before and after one step."""
        drawing, axes = plots.figure(3, 3, width=9, height=7.2)
        for panel, (damping, title, angles, target) in zip(axes, self._nine_states(), strict=True):
            jacobian, error = elbow_jacobian(angles), self._error(angles, target)
            after = angles + self._step(jacobian, error, damping)
            largest = float(np.abs(after - angles).max())
            panel.add_artist(_circle(sum(LINKS_M)))
            for pose, color in ((angles, plots.PALE), (after, "#3c4654")):
                panel.plot(
                    *elbow_position(pose).T, color=color, linewidth=5, solid_capstyle="round", marker="o"
                )
            panel.plot(*target, "o", color=plots.COLORS[1], markersize=9, fillstyle="none", markeredgewidth=2)
            panel.set(xlim=(-0.5, 1.45), ylim=(-0.75, 1.0), xticks=[], yticks=[], aspect="equal", title=title)
            panel.spines[:].set_visible(False)
            color = plots.COLORS[1] if largest > ROBOT_STEP_RAD else plots.COLORS[2]
            words = (
                f"λ = {damping:g}\nlargest step {largest:.3g} rad\ncondition {np.linalg.cond(jacobian):.0f}"
            )
            behind = {"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1}
            panel.text(-0.45, -0.7, words, fontsize=9, color=color, va="bottom", bbox=behind)
        return plots.png(drawing, dpi=90, colors=64)

    def _nine_states(self) -> Iterator[tuple[float, str, np.ndarray, np.ndarray]]:
        for damping in (0.0, 0.05, 0.2):
            for title, elbow, outward in (
                ("elbow bent", 1.4, 0.035),
                ("elbow almost straight", 0.05, -0.02),
                ("target out of reach", 0.002, 0.06),
            ):
                angles = np.array([0.35 + elbow / 2, -elbow])
                hand = elbow_position(angles)[2]
                yield (
                    damping,
                    title if damping == 0 else "",
                    angles,
                    hand * (1 + outward / np.linalg.norm(hand)),
                )


def _circle(radius: float) -> Any:
    return Circle((0, 0), radius, fill=False, color=plots.PALE, linestyle="--")


class JointSliders(PicturedWidget):
    """One slider for each joint of the chosen part of the robot, and a picture of the robot in that pose.

    `draw(joint_position, part)` returns an RGB picture of the robot with these 60 angles (rad), with a view of that part.
    """

    _esm = """
    function render({ model, el }) {
      el.innerHTML = `
        <div class="row" style="align-items:flex-start">
          <img alt="the robot in the chosen pose" style="flex:3 1 330px;min-width:0;max-width:480px;border-radius:6px">
          <div style="flex:2 1 290px">
            <select aria-label="part of the robot"></select> <button>home</button>
            <div class="sliders" style="margin-top:8px"></div>
          </div>
        </div>`;
      const joints = model.get("joints"), parts = [...new Set(joints.map((j) => j.part))];
      const select = el.querySelector("select"), box = el.querySelector(".sliders"), image = el.querySelector("img");
      select.innerHTML = parts.map((p) => `<option>${p}</option>`).join("");
      let waiting = false, queued = null;
      const send = (angles) => {
        if (waiting) { queued = angles; return; }
        if (angles.every((a, i) => a === model.get("angles")[i])) return;
        waiting = true; model.set("angles", angles); model.save_changes();
      };
      const show = () => {
        const data = model.get("jpeg");
        image.src = URL.createObjectURL(new Blob([data], { type: "image/jpeg" }));
        waiting = false;
        if (queued) { const next = queued; queued = null; send(next); }
      };
      const fill = () => {
        box.innerHTML = "";
        joints.forEach((joint, i) => {
          if (joint.part !== select.value) return;
          const row = document.createElement("label"), angle = (queued ?? model.get("angles"))[i];
          row.style.cssText = "display:grid;grid-template-columns:7.5em 1fr 3.5em;gap:6px;align-items:center";
          row.innerHTML = `<code>${joint.name}</code><input type="range" aria-label="${joint.name}" min="${joint.low}" max="${joint.high}" step="0.01" value="${angle}">
            <output>${angle.toFixed(2)}</output>`;
          row.querySelector("input").addEventListener("input", (event) => {
            const angles = [...(queued ?? model.get("angles"))];
            angles[i] = Number(event.target.value);
            row.querySelector("output").textContent = angles[i].toFixed(2);
            send(angles);
          });
          box.append(row);
        });
      };
      select.value = model.get("part");
      select.addEventListener("change", () => { model.set("part", select.value); model.save_changes(); fill(); });
      el.querySelector("button").addEventListener("click", () => { queued = null; waiting = false; send([...model.get("home")]); fill(); });
      model.on("change:drawn", show);
      fill(); show();
    }
    export default { render: framed(render) };
    """
    alt = "Nine poses of the two-armed robot: at home, then with one joint moved at a time, from shoulder to thumb."
    joints: traitlets.List[Any] = traitlets.List().tag(sync=True)
    home: traitlets.List[Any] = traitlets.List().tag(sync=True)
    angles: traitlets.List[Any] = traitlets.List().tag(sync=True)
    part: traitlets.Unicode[str, str | bytes] = traitlets.Unicode().tag(sync=True)
    drawn = traitlets.Int(0).tag(sync=True)
    jpeg = traitlets.Bytes().tag(sync=True)

    def __init__(
        self,
        draw: Callable[[np.ndarray, str], np.ndarray],
        names: Sequence[str],
        low: Float[np.ndarray, " J"],
        high: Float[np.ndarray, " J"],
        home: Float[np.ndarray, " J"],
        poses: Sequence[tuple[str, str, dict[str, float]]],
    ) -> None:
        self._draw, self._poses = draw, poses
        rows = [
            {
                "name": name.split("_", 1)[1],
                "part": _part(name),
                "low": float(max(lo, -np.pi)),
                "high": float(min(hi, np.pi)),
            }
            for name, lo, hi in zip(names, low, high, strict=True)
        ]
        self._names = list(names)
        angles = [float(angle) for angle in home]
        part = _part(names[0])
        super().__init__(joints=rows, home=angles, angles=angles, part=part, jpeg=self._jpeg(home, part))
        self.observe(self._refresh, names=["angles", "part"])

    def _refresh(self, change: Any) -> None:
        self.jpeg = self._jpeg(np.array(self.angles), self.part)
        self.drawn += 1  # so that every picture is news to the browser, even one that looks the same

    def _jpeg(self, angles: np.ndarray, part: str) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(self._draw(np.asarray(angles, dtype=float), part)).save(buffer, "JPEG", quality=85)
        return buffer.getvalue()

    def picture(self) -> bytes:
        """Nine poses, each with the joints that were moved."""
        drawing, axes = plots.figure(3, 3, width=9, height=7.2)
        for panel, (title, part, moved) in zip(axes, self._poses, strict=True):
            angles = np.array(self.home)
            for name, angle in moved.items():
                angles[self._names.index(name)] = angle
            panel.imshow(self._draw(angles, part))
            panel.set_title(title, fontsize=9)
            panel.axis("off")
        return plots.png(drawing, dpi=80)


def robot_sliders() -> JointSliders:
    """Sliders for the course's two-armed robot at its table, no garment."""
    spec = mujoco.MjSpec()
    spec.compiler.degree = False
    add_two_arms(spec)
    add_table_and_sky(spec)
    spec.worldbody.add_body(name="middle_of_robot", pos=(-0.32, -0.15, 0.34))
    for name, (position, fovy) in {
        "arm": ((1.15, -1.35, 0.95), 40.0),
        "left": ((0.5, 0.12, 0.3), 34.0),
        "right": ((0.5, -0.12, 0.3), 34.0),
    }.items():
        body = "middle_of_robot" if name == "arm" else f"{name}_MF_proximal"
        mode = mujoco.mjtCamLight.mjCAMLIGHT_TARGETBODY
        spec.worldbody.add_camera(name=f"look_at_{name}", pos=position, fovy=fovy, mode=mode, targetbody=body)
    model = spec.compile()
    data = mujoco.MjData(model)

    one_at_a_time = threading.Lock()

    def draw(joint_position: np.ndarray, part: str) -> np.ndarray:
        camera = f"look_at_{'arm' if part.endswith('arm') else part.split()[0]}"
        # JupyterLab moves widgets in another thread than it runs cells in, and what OpenGL made in one thread is of no use
        # in another: a renderer for each picture costs 10 ms and works in all of them.
        with one_at_a_time, CameraRenderer(model, 300, 400, VIDEO) as renderer:
            data.qpos[:] = joint_position
            mujoco.mj_forward(model, data)
            return renderer.render(data, camera)

    low, high = model.jnt_range.T
    home = home_position()
    at_home = dict(zip(JOINT_NAMES, home, strict=True))
    arm, hand = "right arm", "right thumb"
    poses: list[tuple[str, str, dict[str, float]]] = [("home", arm, {})]
    for joint, change in (
        ("shoulder_pan", 0.7),
        ("shoulder_lift", 0.5),
        ("elbow", -0.7),
        ("wrist_1", 1.0),
        ("wrist_3", 1.5),
    ):
        poses.append(
            (f"{joint} {change:+g} rad", arm, {f"right_{joint}": at_home[f"right_{joint}"] + change})
        )
    poses += [
        ("FFJ3 at 1.5 rad: one knuckle of one finger", hand, {"right_FFJ3": 1.5}),
        ("THJ4 at 1.2 rad: the thumb crosses the palm", hand, {"right_THJ4": 1.2}),
        (
            "all 24 together: the hand takes hold",
            hand,
            {f"right_{name}": q for name, q in CLOSED_HAND.items()},
        ),
    ]
    return JointSliders(draw, JOINT_NAMES, low, high, home, poses)


def _part(name: str) -> str:
    side, joint = name.split("_", 1)
    groups = {
        "FF": "first finger",
        "MF": "middle finger",
        "RF": "ring finger",
        "LF": "little finger",
        "TH": "thumb",
        "WR": "wrist of the hand",
    }
    return f"{side} {groups.get(joint[:2], 'arm')}"
