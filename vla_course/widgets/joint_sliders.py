"""A slider for each of the robot's sixty joints, and a picture of the robot."""

import io
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ipywidgets
import mujoco
import numpy as np
import traitlets
from jaxtyping import Float
from PIL import Image

from vla_course import plots
from vla_course.envs.rendering import VIDEO, CameraRenderer
from vla_course.envs.table import add_table_and_sky
from vla_course.robot.shadow_hand import CLOSED_HAND
from vla_course.robot.two_arms import JOINT_NAMES, add_two_arms, home_position
from vla_course.widgets.pictured import Drawing, PicturedBox


class Pose(Drawing):
    """A JPEG picture with alternative text."""

    _esm = Path(__file__).with_suffix(".js")
    description = traitlets.Unicode("the robot in the chosen pose").tag(sync=True)
    jpeg = traitlets.Bytes().tag(sync=True)


class JointSliders(PicturedBox):
    """Sliders for the joints of one part of the robot, and a rendering of the robot in that pose.

    `draw(joint_position, part)` renders the robot with these 60 joint angles (rad), from a camera that shows that part.
    """

    _following = False
    alt = "Nine poses of the two-armed robot: at home, then with one joint moved at a time, from shoulder to thumb."
    angles: traitlets.List[Any] = traitlets.List().tag(sync=True)
    part: traitlets.Unicode[str, str | bytes] = traitlets.Unicode().tag(sync=True)

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
        self.joints: list[dict[str, Any]] = [
            {
                "name": name.split("_", 1)[1],
                "part": _part(name),
                "low": float(max(lo, -np.pi)),
                "high": float(min(hi, np.pi)),
            }
            for name, lo, hi in zip(names, low, high, strict=True)
        ]
        self._names = list(names)
        self.home = [float(angle) for angle in home]
        self.sliders: dict[int, ipywidgets.FloatSlider] = {}
        self.drawn = 0
        parts = list(dict.fromkeys(row["part"] for row in self.joints))
        choice = ipywidgets.Dropdown(
            options=parts, layout={"width": "auto", "flex": "1"}, tooltip="part of the robot"
        )
        go_home = ipywidgets.Button(description="home", layout={"width": "auto"})
        go_home.on_click(lambda _: self.set_trait("angles", self.home))
        self._column = ipywidgets.VBox()
        pose = Pose(jpeg=self._jpeg(home, parts[0]))
        top = ipywidgets.HBox([choice, go_home])
        super().__init__([top, self._column], pose, beside=True, angles=self.home, part=parts[0])
        self.steer(part=choice)
        self._lay_out()
        self.observe(self._lay_out, names="part")
        self.observe(self._refresh, names=["angles", "part"])

    @property
    def jpeg(self) -> bytes:
        """The current rendering."""
        return bytes(self.drawing.jpeg)

    def _lay_out(self, change: Any = None) -> None:
        """Show the sliders of the chosen part. They are made when first shown: sixty at once are 180 widget models to send."""
        chosen = [number for number, row in enumerate(self.joints) if row["part"] == self.part]
        for number in chosen:
            if number not in self.sliders:
                self.sliders[number] = self._slider(number)
        self._column.children = [self.sliders[number] for number in chosen]

    def _slider(self, number: int) -> ipywidgets.FloatSlider:
        row = self.joints[number]
        moved = ipywidgets.FloatSlider(
            value=self.angles[number],
            min=row["low"],
            max=row["high"],
            step=0.01,
            description=row["name"],
            style={"description_width": "7.5em"},
            layout={"width": "auto"},
        )

        def move(change: Any) -> None:
            if not self._following:
                self.angles = [*self.angles[:number], change.new, *self.angles[number + 1 :]]

        moved.observe(move, names="value")
        return moved

    def _refresh(self, change: Any) -> None:
        self._following = True  # a slider that cannot show an angle beyond its ends must not change it
        for number, moved in self.sliders.items():
            moved.value = self.angles[number]
        self._following = False
        self.drawing.jpeg = self._jpeg(np.array(self.angles), self.part)
        self.drawn += 1

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
