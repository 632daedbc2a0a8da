"""The garment-folding environment: two arms, sixty joints, one garment on a table."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, SupportsFloat

import mujoco
import numpy as np
from jaxtyping import Bool, Float

from vla_course.envs.course_env import CourseEnv
from vla_course.envs.folding.config import TIME_LIMIT_QUARTER_STEPS, TIME_LIMIT_STEPS, FoldingConfig
from vla_course.envs.folding.garments import Garment, turned_towel
from vla_course.envs.folding.goal import Goal
from vla_course.envs.folding.physics import FoldingPhysics, PhysicsState
from vla_course.envs.folding.rewards import Potentials, reward_terms
from vla_course.envs.folding.scene import compiled_scene
from vla_course.envs.folding.sensors import (
    HISTORY,
    MAX_POINTS,
    MAX_STAGES,
    state_spaces,
    surface_points,
)
from vla_course.envs.folding.start import Start, draw_start
from vla_course.envs.table import CAMERAS as FIXED_CAMERAS
from vla_course.envs.table import CLOSE_CAMERA, TABLE_MATERIALS
from vla_course.robot.inverse_kinematics import InverseKinematics
from vla_course.robot.two_arms import ACTION_SCALE, home_position, turn_from_home

CAMERAS = (CLOSE_CAMERA, *FIXED_CAMERAS, "left_wrist", "right_wrist")
NUM_ACTIONS = 61


@dataclass(frozen=True)
class Snapshot:
    """The complete state of an episode, taken by `save` and set by `restore`."""

    physics: PhysicsState
    start: Start
    joint_target: Float[np.ndarray, "60"]
    previous_actions: Float[np.ndarray, "5 61"]
    stage: int
    steps: int
    ended: bool
    potentials: Potentials
    rng: dict[str, Any]


class FoldingEnv(CourseEnv):
    """Fold a garment with two UR10e arms and two 24-joint hands.

    ## Description

    A towel, a T-shirt or a pair of trousers lies flat on a table in front of two arms. Fold it, fold after fold, and let go.
    The course counts 60 independent joints: a real Shadow hand couples the last two joints of four fingers and has 20
    actuators, so this is a convention of the simulated task. Hands hold cloth by a grasp assist, as is usual in cloth
    simulation: fingers that close near it tie the layers between them to the palm. Control runs at 20 Hz, physics at 120 Hz.
    Positions are in metres in the world frame: origin on the table's surface at its centre, x away from the robots, y to their
    left, z up. Angles are in radians.

    ## Action Space

    `Box(-1, 1, (61,), float32)`. Values outside are clipped. Numbers 0 to 59 move the joint targets, by the given angle at ±1.

    | Num   | Action                                         | Min | Max | Unit at ±1 |
    |-------|------------------------------------------------|-----|-----|------------|
    | 0-5   | left arm, shoulder_pan to wrist_3              | -1  | 1   | 0.10 rad   |
    | 6-29  | left hand, WRJ2 WRJ1 FFJ4-1 MFJ4-1 RFJ4-1 LFJ5-1 THJ5-1 | -1 | 1 | 0.25 rad |
    | 30-35 | right arm, shoulder_pan to wrist_3             | -1  | 1   | 0.10 rad   |
    | 36-59 | right hand, WRJ2 WRJ1 FFJ4-1 MFJ4-1 RFJ4-1 LFJ5-1 THJ5-1 | -1 | 1 | 0.25 rad |
    | 60    | above 0.5: ask for the next stage              | -1  | 1   | 1          |

    ## Observation Space

    A `Dict` of the keys named in `observations`, all `Box` of float32, and one image for each camera.

    | Key                 | Shape     | Min  | Max | Unit | Meaning                                                     |
    |---------------------|-----------|------|-----|------|-------------------------------------------------------------|
    | joint_position      | (60,)     | -10  | 10  | rad  | angles, in the order of the actions                         |
    | joint_target        | (60,)     | -10  | 10  | rad  | commanded angles, in the order of the actions               |
    | hand_position       | (2, 3)    | -10  | 10  | m    | grasp sites, left first                                     |
    | end_effector        | (16,)     | -10  | 10  | m, rad | left x y z, roll pitch yaw of the turn from the home pose, grip 0 closed to 1 open; right; touch, 1 while a hand holds cloth |
    | held                | (2,)      | 0    | 1   | 1    | 1 while a hand holds cloth                                  |
    | keypoints           | (K, 3)    | -10  | 10  | m    | the garment's named points, in the order of `keypoint_names` |
    | garment_point_cloud | (256, 3)  | -10  | 10  | m    | points on the cloth, the same ones for a whole episode      |
    | stage               | (3,)      | 0    | 1   | 1    | one-hot of the fold being made; zeros once all are accepted |
    | time_left           | (1,)      | 0    | 1   | 1    | share of the time limit that is left                        |
    | previous_actions    | (5, 61)   | -1   | 1   | 1    | newest last, zeros after reset                              |
    | image_<camera>      | (H, W, 3) | 0    | 255 | 1    | uint8, one key for each name in `cameras`                   |

    ## Rewards

    The sum of `info["reward_terms"]`: `reach`, `grasp` and `fold` are discounted differences of potentials (nothing to be had
    by waiting or by going up and down), `stage` and `success` are bonuses, `early_advance` and `smoothness` small prices.

    ## Starting State

    Garment flat, position within ±5 cm, any yaw for the towel and ±25° for the others, one of a pool of sizes, a colour, a table,
    joint and camera noise: each with a range in `StartConfig`. `reset(options={...})` pins any of `position`, `yaw`, `size`,
    `color`, `table`, `joint_noise`, `camera_jitter`. Three things are there for tests of robustness only, and come only when pinned:
    `table` may name one more than is ever drawn, `pattern` puts stripes (1) or squares (2) over the garment's print, and
    `distractors` are the places of a can, a cube and a pile of laundry, which nothing touches, (3, 2) in metres. `move_garment`
    lays the garment elsewhere in the middle of an episode.

    ## Episode End

    *Terminated* on strict success, the only thing that "success" means in this course: all folds accepted, both hands open and
    empty, cloth at rest (fastest vertex below 0.05 m/s), moved vertices on average within 25 mm (towel) or 30 mm of their ideal
    place, and silhouette IoU with the ideal fold of at least 0.85. *Truncated* after 160 (towel), 400 (T-shirt), 320 (trousers)
    steps. `info["box_success"]` is DexGarmentLab's looser rule, for comparison; a crumpled pile can satisfy it.
    `info["fold_iou"]` is there once all folds are accepted and the cloth is at rest, and when the episode ends.

    ## Arguments

    | Parameter      | Default         | Meaning                                                              |
    |----------------|-----------------|----------------------------------------------------------------------|
    | `garment`      | "tshirt"        | "towel", "tshirt" or "trousers"                                      |
    | `quarter`      | False           | fold the towel twice                                                 |
    | `observations` | all state keys  | which keys of the table an observation has                           |
    | `cameras`      | ()              | "close", "front", "top", "side", "left_wrist", "right_wrist"         |
    | `image_size`   | (224, 224)      | height and width of camera images                                    |
    | `num_points`   | 256             | points in the cloud, up to 2048                                      |
    | `config`       | FoldingConfig() | rates, limits, randomisation, reward                                 |
    | `render_mode`  | None            | "rgb_array" for `render()`                                           |
    | `render_camera`| "front"         | the camera that `render()` uses                                      |
    | `render_size`  | (480, 640)      | height and width of what `render()` returns                          |
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012 (as in gymnasium.Env)

    def __init__(
        self,
        garment: str = "tshirt",
        *,
        quarter: bool = False,
        observations: tuple[str, ...] | None = None,
        cameras: tuple[str, ...] = (),
        image_size: tuple[int, int] = (224, 224),
        num_points: int = 256,
        config: FoldingConfig | None = None,
        render_mode: str | None = None,
        render_camera: str = "front",
        render_size: tuple[int, int] = (480, 640),
    ) -> None:
        """Compile the pool of sizes and prepare the spaces. Nothing is rendered, and no GL needed, unless asked for.

        Raises: ValueError for an unknown garment, observation key, camera or render mode, naming the known ones.
        """
        if not 1 <= num_points <= MAX_POINTS:
            raise ValueError(f"num_points is from 1 to {MAX_POINTS}, not {num_points}")
        self.config = config or FoldingConfig()
        self._sizes = [
            FoldingPhysics(compiled_scene(garment, quarter, size, self.config.timestep_s).copy())
            for size in self.config.start.sizes
        ]
        self.physics = self._sizes[0]
        flat = self.physics.scene.garment
        self.garment_name, self.instruction = flat.name, flat.instruction
        self.keypoint_names = tuple(flat.keypoints)
        self.num_stages = len(flat.folds)
        self._low, self._high = self.model.actuator_ctrlrange.T
        self._cloud_vertices, self._cloud_weights = surface_points(flat, num_points)
        self._start: Start
        self._goal: Goal | None = None
        self.joint_target = home_position()
        self.previous_actions = np.zeros((HISTORY, NUM_ACTIONS), np.float32)
        self.stage = 0
        default_limit = TIME_LIMIT_QUARTER_STEPS if quarter else TIME_LIMIT_STEPS[garment]
        super().__init__(
            num_actions=NUM_ACTIONS,
            action_meaning="60 joint residuals and the stage signal",
            state=state_spaces(num_keypoints=len(self.keypoint_names), num_points=num_points),
            known_cameras=CAMERAS,
            time_limit_steps=self.config.time_limit_steps or default_limit,
            observations=observations,
            cameras=cameras,
            image_size=image_size,
            render_mode=render_mode,
            render_camera=render_camera,
            render_size=render_size,
        )

    # What an episode is made of

    @property
    def model(self) -> mujoco.MjModel:
        """The MuJoCo model of the garment size in use."""
        return self.physics.model

    @property
    def data(self) -> mujoco.MjData:
        """The MuJoCo data of the garment size in use."""
        return self.physics.data

    @property
    def goal(self) -> Goal:
        """The folds of this episode, laid out in the world.

        Raises: RuntimeError before the first reset.
        """
        if self._goal is None:
            raise RuntimeError("no episode has begun: call reset() first")
        return self._goal

    @property
    def control_hz(self) -> int:
        """Control steps a second."""
        return self.config.control_hz

    @property
    def garment(self) -> Garment:
        """The garment of this episode: keypoints, folds, flat outline."""
        return self.goal.garment

    @property
    def vertices(self) -> Float[np.ndarray, "V 3"]:
        """World position of every cloth vertex, metres."""
        return self.physics.vertices

    @property
    def held(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The vertices that the left and the right hand hold."""
        return self.physics.held

    @property
    def joint_position(self) -> Float[np.ndarray, "60"]:
        """Joint angles, rad."""
        return self.physics.joint_position

    @property
    def hand_position(self) -> Float[np.ndarray, "2 3"]:
        """World position of the two grasp sites, metres."""
        return self.physics.hand_position

    @property
    def end_effector(self) -> Float[np.ndarray, "16"]:
        """The observation of this name: position, roll pitch yaw from home and opening of each hand; then whether each holds cloth.

        Position, rotation and opening are the *commanded* ones, from which a step starts (`EndEffectorAction`). Arms in motion lag
        one or two centimetres behind, so the measured pose would not say where a step leads.
        """
        commanded = zip(*self._kinematics.forward(self.joint_target), self.hand_closure(), strict=True)
        hands = [[*place, *turn_from_home(facing), 1 - closed] for place, facing, closed in commanded]
        return np.concatenate([*hands, [bool(held) for held in self.held]])

    @cached_property
    def _kinematics(self) -> InverseKinematics:
        return InverseKinematics()

    def hand_closure(self) -> Float[np.ndarray, "2"]:
        """Commanded closure of each hand: 0 open, 1 closed."""
        return self.physics.grasp.commanded_closure()

    def points_on_cloth(self) -> Float[np.ndarray, "P 3"]:
        """World position of the point cloud's points, metres."""
        points: Float[np.ndarray, "P 3"] = np.einsum(
            "pk,pkc->pc", self._cloud_weights, self.vertices[self._cloud_vertices]
        )
        return points

    def stage_fold_good(self) -> bool:
        """Whether the current fold is good enough for the next stage."""
        return self.goal.stage_error_m(self.vertices, self.stage) <= self.garment.fold_tolerance_m

    # Gymnasium

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Lay a garment on the table. The same seed and options give the same episode, bit for bit.

        Raises: ValueError for an option that is not known or does not fit.
        """
        super().reset(seed=seed)
        start = draw_start(
            self.np_random,
            self.config.start,
            garment=self.garment_name,
            num_tables=len(TABLE_MATERIALS),
            num_cameras=self.model.ncam,
            options=options,
        )
        self._lay_out(start)
        self.joint_target = np.clip(home_position() + start.joint_noise, self._low, self._high)
        self.physics.lay_out(self.goal.ideal[0], self.joint_target)
        self.previous_actions = np.zeros((HISTORY, NUM_ACTIONS), np.float32)
        self.stage = 0
        self._potentials = self._progress()
        return self._first_result(self._info(success=False, iou=None))

    def step(
        self, action: Float[np.ndarray, "61"]
    ) -> tuple[dict[str, Any], SupportsFloat, bool, bool, dict[str, Any]]:
        """One control step of 1/20 s.

        Raises: ValueError for an action of the wrong shape, or with NaN or inf; RuntimeError before `reset` or after the end.
        """
        clipped = self._checked(action).astype(np.float32)
        self.joint_target = np.clip(self.joint_target + ACTION_SCALE * clipped[:60], self._low, self._high)
        self.physics.advance(self.joint_target, self.config.substeps)

        asked = bool(clipped[60] > 0.5) and self.stage < self.num_stages
        advanced = asked and self.stage_fold_good()
        self.stage += advanced
        finished = self.stage == self.num_stages and self._at_rest()
        iou = self.goal.iou(self.vertices) if finished else None
        terminated = (
            iou is not None
            and iou >= self.config.min_iou
            and self._error_m() <= self.garment.fold_tolerance_m
        )
        truncated = self._count_step(terminated)
        if (terminated or truncated) and iou is None:
            iou = self.goal.iou(self.vertices)

        before, self._potentials = self._potentials, self._progress()
        terms = reward_terms(
            before,
            self._potentials,
            terminated=terminated,
            advanced=advanced,
            asked_early=asked and not advanced,
            action_change=float(np.square(clipped - self.previous_actions[-1]).sum()),
            config=self.config.reward,
        )
        self.previous_actions = np.concatenate([self.previous_actions[1:], clipped[None]])
        return self._step_result(terms, terminated, truncated, self._info(success=terminated, iou=iou))

    def garment_mask(self, camera: str, size: tuple[int, int]) -> Bool[np.ndarray, "H W"]:
        """Which pixels of a camera's picture show the garment.

        Raises: as `picture`.
        """
        objects = self._segmented(camera, size)
        skin = int(mujoco.mjtObj.mjOBJ_SKIN)  # nothing else in the scene wears one
        mask: Bool[np.ndarray, "H W"] = objects[..., 1] == skin
        return mask

    def move_garment(self, position: Float[np.ndarray, "2"]) -> None:
        """Lay the garment elsewhere, as it lies now and without turning it, in the middle of an episode.

        Its frame's origin comes to `position` (m). The folds asked for move along, and the reward does not notice.

        Raises: RuntimeError before the first reset, or while a hand holds the garment.
        """
        offset = np.asarray(position, dtype=float) - self.goal.position
        if any(self.held):
            raise RuntimeError("the garment is held: move it while both hands are empty")
        self.physics.shift_cloth(offset)
        self._start = replace(self._start, position=self.goal.position + offset)
        self._goal = Goal(self.garment, self._start.position, self.goal.yaw_rad)
        self._potentials = self._progress()

    # Going back

    def save(self) -> Snapshot:
        """The complete state of the episode."""
        return Snapshot(
            physics=self.physics.save(),
            start=self._start,
            joint_target=self.joint_target.copy(),
            previous_actions=self.previous_actions.copy(),
            stage=self.stage,
            steps=self.elapsed_steps,
            ended=self._ended,
            potentials=self._potentials,
            rng=dict(self.np_random.bit_generator.state),
        )

    def restore(self, snapshot: Snapshot) -> dict[str, Any]:
        """Set a snapshot of this or an equal environment, and observe. What follows is the same, bit for bit."""
        self._lay_out(snapshot.start)
        self.physics.restore(snapshot.physics)
        self.joint_target = snapshot.joint_target.copy()
        self.previous_actions = snapshot.previous_actions.copy()
        self.stage, self.elapsed_steps, self._ended = snapshot.stage, snapshot.steps, snapshot.ended
        self._potentials = snapshot.potentials
        self.np_random.bit_generator.state = snapshot.rng
        return self._observation()

    # Inside

    def _lay_out(self, start: Start) -> None:
        """Apply what the start fixes for the whole episode: size, colours, cameras, the folds to be made."""
        self._start = start
        self.physics = self._sizes[start.size]
        flat = self.physics.scene.garment
        # A square towel looks the same at every quarter turn: name its corners so that "far" is far from the robots.
        turns = round(-start.yaw / (np.pi / 2)) % 4 if flat.name == "towel" else 0
        garment = turned_towel(flat, turns) if turns else flat
        self._goal = Goal(garment, start.position, start.yaw + flat.yaw_rad)
        self.physics.scene.dress(
            color=start.color,
            table=start.table,
            camera_jitter=start.camera_jitter,
            pattern=start.pattern,
            distractors=start.distractors,
        )

    def _at_rest(self) -> bool:
        return self.physics.hands_open() and self.physics.fastest_vertex_m_s() < self.config.rest_speed_m_s

    def _progress(self) -> Potentials:
        return self.goal.potentials(self.vertices, self.stage, self.hand_position, self.held)

    def _error_m(self) -> float:
        return self.goal.error_m(self.vertices)

    def _info(self, *, success: bool, iou: float | None) -> dict[str, Any]:
        return {
            "instruction": self.instruction,
            "stage": self.stage,
            "is_success": success,
            "fold_error_m": self._error_m(),
            "box_success": self.goal.box_success(self.vertices),
        } | ({} if iou is None else {"fold_iou": iou})

    def _sense(self, key: str) -> Any:
        return _SENSORS[key](self)


# Functions of the environment, not bound methods kept in it: a copy or a pickle must read itself, never its original.
_SENSORS: dict[str, Callable[[FoldingEnv], Any]] = {
    "joint_position": lambda env: env.joint_position,
    "joint_target": lambda env: env.joint_target,
    "hand_position": lambda env: env.hand_position,
    "end_effector": lambda env: env.end_effector,
    "held": lambda env: [float(bool(vertices)) for vertices in env.held],
    "keypoints": lambda env: env.vertices[list(env.garment.keypoints.values())],
    "garment_point_cloud": lambda env: env.points_on_cloth(),
    "stage": lambda env: np.arange(MAX_STAGES) == (env.stage if env.stage < env.num_stages else -1),
    "time_left": lambda env: [env.time_left],
    "previous_actions": lambda env: env.previous_actions,
}
