"""Simulation of arm and things. Whether a task succeeded is decided in `goals.py`."""

from dataclasses import dataclass

import mujoco
import numpy as np
from jaxtyping import Float

from vla_course.envs.table import TABLE_PLANE
from vla_course.envs.tabletop.arm import FINGERS
from vla_course.envs.tabletop.config import COLORS
from vla_course.envs.tabletop.garments import flat_garment
from vla_course.envs.tabletop.scene import NUM_PLACES, TabletopScene
from vla_course.envs.tabletop.shapes import SHAPES
from vla_course.envs.tabletop.start import Start
from vla_course.envs.tabletop.tasks import Thing
from vla_course.robot.grip import grip_closure

CLOSE_ABOVE, OPEN_BELOW = 0.55, 0.45
GRASP_TICKS = 8
REACH_M, ABOVE_M = 0.006, 0.02
"""How far the grasp site may be outside the circle around a thing, and above its top, for the fingers to be around it."""
_FAR_BELOW_M = -5.0


@dataclass(frozen=True)
class Touch:
    """What the robot touches now: indices of things in `start.things`, and a part of the garment."""

    places: tuple[int, ...]
    part: str | None


class TabletopWorld:
    """The simulated table.

    Grasps are assisted, as is usual where fingers are too coarse to hold by friction: fingers that *close* (are commanded
    past half way) around a thing tie it to the palm within 0.4 s, and hold it until they open again. Fingers that are closed
    already take nothing, so a fist pushes.
    """

    def __init__(self, scene: TabletopScene) -> None:
        """`scene` is written to: give every simulation a copy of its own."""
        self.scene, self.model = scene, scene.model
        self.data = mujoco.MjData(scene.model)
        self.start: Start | None = None
        self.held: int | None = None
        self._closing_ticks, self._closure = 0, 0.0
        self._place_of_geom = np.full(self.model.ngeom, -1)
        self._is_robot = np.zeros(self.model.ngeom, bool)
        for place, body in enumerate(scene.thing_body):
            self._place_of_geom[self.model.geom_bodyid == body] = place
        self._table = self.model.geom(TABLE_PLANE).id
        robot = self.model.body_rootid == self.model.body_rootid[scene.palm]
        self._is_robot[robot[self.model.geom_bodyid]] = True

    @property
    def position(self) -> Float[np.ndarray, "N 3"]:
        """Where the things are, metres, in the order of `start.things`."""
        place: Float[np.ndarray, "N 3"] = self.data.qpos[self.scene.thing_qpos[: self._count, :3]]
        return place

    @property
    def speed(self) -> Float[np.ndarray, " N"]:
        """How fast they move, m/s."""
        speed: Float[np.ndarray, " N"] = np.linalg.norm(
            self.data.qvel[self.scene.thing_dof[: self._count, :3]], axis=1
        )
        return speed

    @property
    def upright(self) -> Float[np.ndarray, " N"]:
        """How upright they stand: 1 as they were put, 0 on their side, -1 upside down."""
        up: Float[np.ndarray, " N"] = self.data.xmat[self.scene.thing_body[: self._count], 8]
        return up

    @property
    def hand_position(self) -> Float[np.ndarray, "3"]:
        """World position of the grasp site, metres."""
        position: Float[np.ndarray, "3"] = self.data.site_xpos[self.scene.grasp_site]
        return position

    @property
    def hand_rotation(self) -> Float[np.ndarray, "3 3"]:
        """Its orientation."""
        rotation: Float[np.ndarray, "3 3"] = self.data.site_xmat[self.scene.grasp_site].reshape(3, 3)
        return rotation

    @property
    def joint_position(self) -> Float[np.ndarray, "30"]:
        """Joint angles, rad."""
        position: Float[np.ndarray, "30"] = self.data.qpos[self.scene.joint_qpos]
        return position

    @property
    def closure(self) -> float:
        """How far the fingers are closed: 0 open, 1 closed."""
        return grip_closure(self.joint_position[FINGERS])

    @property
    def commanded_closure(self) -> float:
        """Commanded closure of the fingers."""
        return self._closure

    def lay_out(self, start: Start, joints: Float[np.ndarray, "30"]) -> None:
        """Begin anew: things and garment in their places, at rest, the arm in its pose."""
        self.start, self._count = start, len(start.things)
        scene, data = self.scene, self.data
        mujoco.mj_resetData(self.model, data)
        for place in range(NUM_PLACES):
            data.qpos[scene.thing_qpos[place][:3]] = float(place), 0.0, _FAR_BELOW_M
            scene.show(place, None)
        for place, thing in enumerate(start.things):
            color = np.clip(np.array(COLORS[thing.color]) + start.color_shift[place], 0, 1)
            scene.show(place, thing.kind, color)
            half = start.yaw[place] / 2
            data.qpos[scene.thing_qpos[place]] = [
                *start.position[place],
                SHAPES[thing.kind].rest_m,
                *(np.cos(half), 0.0, 0.0, np.sin(half)),
            ]
        if start.garment is None:
            scene.show_garment(None)
        else:
            color, kind = start.garment
            scene.show_garment(kind, np.clip(np.array(COLORS[color]) + start.color_shift[-1], 0, 1))
            x, y, yaw = start.garment_pose
            mocap = scene.garment_mocap[kind]
            data.mocap_pos[mocap, :2] = x, y
            data.mocap_quat[mocap] = np.cos(yaw / 2), 0, 0, np.sin(yaw / 2)
        scene.dress(start.table)
        scene.move_cameras(start.camera_jitter, start.camera_turn)
        scene.light(start.brightness, start.warmth, start.light_shift)
        data.qpos[scene.joint_qpos] = joints
        data.ctrl[:] = joints
        self.held, self._closing_ticks, self._closure = None, 0, grip_closure(joints[FINGERS])
        mujoco.mj_forward(self.model, data)

    def advance(self, joint_target: Float[np.ndarray, "30"], substeps: int) -> None:
        """Simulate one control tick with these joint targets (rad)."""
        self.data.ctrl[:] = joint_target
        self._grasp(grip_closure(joint_target[FINGERS]))
        mujoco.mj_step(self.model, self.data, nstep=substeps)
        mujoco.mj_kinematics(self.model, self.data)  # mj_step leaves body positions one physics step old

    def touch(self) -> Touch:
        """What the hand or the arm touches now."""
        pairs = self.data.contact.geom
        places = self._place_of_geom[pairs]
        touching = self._is_robot[pairs].any(axis=1) & (places >= 0).any(axis=1)
        return Touch(tuple(np.unique(places[touching].max(axis=1)).tolist()), self._touched_part())

    def garment_point(self, world: Float[np.ndarray, "2"]) -> Float[np.ndarray, "2"]:
        """A point of the table in the garment's frame."""
        x, y, yaw = self._start.garment_pose
        cosine, sine = np.cos(yaw), np.sin(yaw)
        point: Float[np.ndarray, "2"] = np.array([[cosine, sine], [-sine, cosine]]) @ (world - [x, y])
        return point

    def anchor(self, thing: Thing) -> Float[np.ndarray, "3"]:
        """The place to touch a thing, or a part of the garment, metres.

        Raises: ValueError if it is not on the table.
        """
        start = self._start
        if thing.part and start.garment == thing.pair:
            x, y, yaw = start.garment_pose
            cosine, sine = np.cos(yaw), np.sin(yaw)
            point = flat_garment(thing.kind).anchors[thing.part]
            return np.array(
                [x + cosine * point[0] - sine * point[1], y + sine * point[0] + cosine * point[1], 0.0]
            )
        if thing not in start.things:
            raise ValueError(f"there is no {thing} on the table")
        anchor: Float[np.ndarray, "3"] = self.position[start.things.index(thing)]
        return anchor

    @property
    def _start(self) -> Start:
        if self.start is None:
            raise RuntimeError("the table is empty: call lay_out() first")
        return self.start

    def _touched_part(self) -> str | None:
        """The part of the garment under the finger that presses hardest on the table."""
        garment, contact = self._start.garment, self.data.contact
        if garment is None:
            return None
        pressing = self._is_robot[contact.geom].any(axis=1) & (contact.geom == self._table).any(axis=1)
        if not pressing.any():
            return None
        deepest = int(np.where(pressing, contact.dist, np.inf).argmin())
        return flat_garment(garment[1]).part_at(self.garment_point(contact.pos[deepest, :2]))

    def _grasp(self, closure: float) -> None:
        closing = closure > CLOSE_ABOVE >= self._closure
        self._closing_ticks = GRASP_TICKS if closing else max(0, self._closing_ticks - 1)
        self._closure = closure
        if closure < OPEN_BELOW:
            self._closing_ticks = 0
            if self.held is not None:
                self.data.eq_active[self.scene.weld[self.held]] = 0
                self.held = None
        elif self.held is None and self._closing_ticks:
            self._take()

    def _take(self) -> None:
        """Tie the nearest thing between the fingers to the palm as it lies there, if there is one."""
        best, nearest = None, np.inf
        for place, thing in enumerate(self._start.things):
            shape = SHAPES[thing.kind]
            offset = self.hand_position - self.position[place]
            across = float(np.linalg.norm(offset[:2]))
            above = float(offset[2]) - (shape.height_m - shape.rest_m)
            around = across < shape.radius_m + REACH_M and -shape.height_m < above < ABOVE_M
            if shape.graspable and around and across < nearest:
                best, nearest = place, across
        if best is None:
            return
        palm, body, weld = self.scene.palm, self.scene.thing_body[best], self.scene.weld[best]
        inverse, relative = np.zeros(4), np.zeros(4)
        mujoco.mju_negQuat(inverse, self.data.xquat[palm])
        mujoco.mju_mulQuat(relative, inverse, self.data.xquat[body])
        offset = self.data.xmat[palm].reshape(3, 3).T @ (self.data.xpos[body] - self.data.xpos[palm])
        self.model.eq_data[weld, 0:3] = 0
        self.model.eq_data[weld, 3:6], self.model.eq_data[weld, 6:10] = offset, relative
        self.data.eq_active[weld] = 1
        self.held = best
