"""The tabletop environment: one arm, things and garments on a table, and a sentence that says what to do."""

from collections.abc import Callable
from typing import Any, SupportsFloat

import mujoco
import numpy as np
from gymnasium import spaces
from jaxtyping import Float

from vla_course.envs.arguments import check_known
from vla_course.envs.course_env import CourseEnv
from vla_course.envs.observations import MAX_ANGLE_RAD, MAX_DISTANCE_M, instruction_space
from vla_course.envs.table import CAMERAS as FIXED_CAMERAS
from vla_course.envs.table import CLOSE_CAMERA
from vla_course.envs.tabletop.arm import HOME_M, HandControl
from vla_course.envs.tabletop.config import SEEN, SPLITS, VERBS, TabletopConfig
from vla_course.envs.tabletop.goals import Goal
from vla_course.envs.tabletop.labels import Labeller, Labels
from vla_course.envs.tabletop.scene import compiled_scene
from vla_course.envs.tabletop.start import Start, draw_start
from vla_course.envs.tabletop.tasks import Task
from vla_course.envs.tabletop.world import TabletopWorld
from vla_course.robot.two_arms import turn_from_home

CAMERAS = (CLOSE_CAMERA, *FIXED_CAMERAS, "right_wrist")
NUM_ACTIONS = 7
NEAR_M = 0.4  # beyond this distance to its target, coming nearer is not rewarded
START_CLOSURE = 0.0


class TabletopEnv(CourseEnv):
    """Do what a sentence says, with one UR10e arm and one hand: touch, push, pick up, put.

    ## Description

    Coloured things, or a garment, lie on a table; an instruction names one of them. This is the world in which the course's
    small OpenVLA learns, with the conventions of BridgeData: seven numbers five times a second. Between two actions the hand
    moves evenly (inverse kinematics at 20 Hz, physics at 120 Hz). Positions are in metres in the world frame: origin on the
    table's surface at its centre, x away from the robot, y to its left, z up; "left", "right", "near", "far" in instructions
    are the robot's, which the `close` camera looks in the face. The arm is the folding robot's right one, at its usual
    place. Hands hold things by a grasp assist: fingers that close around a thing tie it to the palm until they open. Garments
    are flat prints without physics: they are here to be pointed at.

    ## Action Space

    `Box(-1, 1, (7,), float32)`. Values outside are clipped. The rotation is one turn about the world's axes.

    | Num | Action                          | Min | Max | Unit at ±1    |
    |-----|---------------------------------|-----|-----|---------------|
    | 0-2 | Δx Δy Δz of the grasp site      | -1  | 1   | 0.12 m        |
    | 3-5 | Δroll Δpitch Δyaw of the hand   | -1  | 1   | 0.20 rad      |
    | 6   | grip: a place, not a step       | -1  | 1   | closed / open |

    ## Observation Space

    A `Dict` of the keys named in `observations`, all `Box` of float32 but the instruction, and one image for each camera.

    | Key            | Shape     | Min | Max | Unit   | Meaning                                                             |
    |----------------|-----------|-----|-----|--------|---------------------------------------------------------------------|
    | end_effector   | (7,)      | -10 | 10  | m, rad | x y z, roll pitch yaw of the turn from the home pose, grip 0 closed to 1 open |
    | joint_position | (30,)     | -10 | 10  | rad    | the arm's six, then the hand's 24                                   |
    | holding        | (1,)      | 0   | 1   | 1      | 1 while the hand holds something                                    |
    | time_left      | (1,)      | 0   | 1   | 1      | share of the time limit that is left                                |
    | image_<camera> | (H, W, 3) | 0   | 255 | 1      | uint8, one key for each name in `cameras`                           |

    `instruction` (a `Text`) can be named in `observations` too; it is always in `info`.

    ## Rewards

    The sum of `info["reward_terms"]`: `reach` and `progress` are discounted differences of potentials, `success` is a bonus,
    `effort` a small price of the squared action.

    ## Starting State

    A task is drawn from the split, then its things and up to three others, often alike in colour or kind, a table, the hand's
    place, colours, cameras, light. `reset(options={...})` pins any of `task` (a verb or a `Task`), `instruction`, `split`,
    `things`, `garment`, `position`, `yaw`, `garment_pose`, `table`, `hand_offset`, `hand_yaw`, `color_shift`, `camera_jitter`,
    `camera_turn`, `brightness`, `warmth`, `light_shift`; `wrong_instruction` says another task than the one scored: True for any,
    or a `Task`, or its words (`info["told_success"]` tells whether that was done). `words` is any sentence you like.

    ## Episode End

    *Terminated* on success, and when the task can no longer be done (`info["failure"]` says why): see `goals.py`, a strict
    rule for each verb. *Truncated* after 40 steps, 8 s.

    ## Arguments

    | Parameter      | Default          | Meaning                                                              |
    |----------------|------------------|----------------------------------------------------------------------|
    | `verbs`        | all of them      | "touch", "push_to", "push_direction", "pick_up", "put"               |
    | `split`        | "seen"           | "seen", "unseen_combination", "unseen_phrasing" or "unseen_both"     |
    | `observations` | all state keys   | which keys of the table an observation has, and "instruction"        |
    | `cameras`      | ()               | "close", "front", "top", "side", "right_wrist"                       |
    | `image_size`   | (84, 84)         | height and width of camera images                                    |
    | `config`       | TabletopConfig() | rates, limits, randomisation, reward                                 |
    | `render_mode`  | None             | "rgb_array" for `render()`                                           |
    | `render_camera`| "close"          | the camera that `render()` uses                                      |
    | `render_size`  | (480, 480)       | height and width of what `render()` returns                          |
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 5}  # noqa: RUF012 (as in gymnasium.Env)

    def __init__(
        self,
        *,
        verbs: tuple[str, ...] = VERBS,
        split: str = SEEN,
        observations: tuple[str, ...] | None = None,
        cameras: tuple[str, ...] = (),
        image_size: tuple[int, int] = (84, 84),
        config: TabletopConfig | None = None,
        render_mode: str | None = None,
        render_camera: str = CLOSE_CAMERA,
        render_size: tuple[int, int] = (480, 480),
    ) -> None:
        """Compile the scene and prepare the spaces. Nothing is rendered, and no GL needed, unless asked for.

        Raises: ValueError for an unknown verb, split, observation key, camera or render mode, naming the known ones.
        """
        check_known("verb", verbs, VERBS)
        check_known("split", [split], SPLITS)
        if not verbs:
            raise ValueError(f"want at least one verb of {', '.join(VERBS)}")
        self.config = config or TabletopConfig()
        self.verbs, self.split = tuple(verbs), split
        self.world = TabletopWorld(compiled_scene(self.config.timestep_s).copy())
        self.control = HandControl(self.config.translation_m, self.config.rotation_rad, self.config.ticks)
        self._labeller: Labeller | None = None
        super().__init__(
            num_actions=NUM_ACTIONS,
            action_meaning="six of a hand step and the grip",
            state=_state_spaces(),
            on_request={"instruction": instruction_space()},
            known_cameras=CAMERAS,
            time_limit_steps=self.config.time_limit_steps,
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
        """The MuJoCo model."""
        return self.world.model

    @property
    def data(self) -> mujoco.MjData:
        """The MuJoCo data."""
        return self.world.data

    @property
    def control_hz(self) -> int:
        """Actions a second."""
        return self.config.control_hz

    @property
    def start(self) -> Start:
        """How this episode began: task, words, things, looks.

        Raises: RuntimeError before the first reset.
        """
        if self.world.start is None:
            raise RuntimeError("no episode has begun: call reset() first")
        return self.world.start

    @property
    def task(self) -> Task:
        """The task that is scored."""
        return self.start.task

    @property
    def instruction(self) -> str:
        """The sentence given to the policy; before the first reset, an example."""
        return self.start.instruction if self.world.start is not None else "touch the red cube"

    @property
    def end_effector(self) -> Float[np.ndarray, "7"]:
        """The observation of this name: position, roll pitch yaw from the home pose, and opening of the hand."""
        world = self.world
        turn = turn_from_home(world.hand_rotation)
        return np.array([*world.hand_position, *turn, 1 - world.closure], np.float32)

    # Gymnasium

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Draw a task and lay the table. The same seed and options give the same episode, bit for bit.

        Raises: ValueError for an option that is not known or does not fit.
        """
        super().reset(seed=seed)
        start = draw_start(
            self.np_random,
            self.config.start,
            verbs=self.verbs,
            split=self.split,
            num_cameras=self.model.ncam,
            options=options,
        )
        self.joint_target = self.control.start(HOME_M + start.hand_offset, start.hand_yaw, START_CLOSURE)
        self.world.lay_out(start, self.joint_target)
        self.goal = Goal(start.task, self.world)
        self.told_goal = self.goal if start.told == start.task else Goal(start.told, self.world)
        if self.goal.begins_done():
            raise ValueError(
                f"the positions pinned leave nothing to do for {start.instruction!r}: move them apart"
            )
        self._potentials = self._progress()
        return self._first_result(self._info())

    def step(
        self, action: Float[np.ndarray, "7"]
    ) -> tuple[dict[str, Any], SupportsFloat, bool, bool, dict[str, Any]]:
        """One action of 1/5 s.

        Raises: ValueError for an action of the wrong shape, or with NaN or inf; RuntimeError before `reset` or after the end.
        """
        clipped = self._checked(action)
        for joints in self.control.joint_targets(clipped, self.joint_target):
            self.joint_target = joints
            self.world.advance(joints, self.config.substeps)
            self.goal.look()
            if self.told_goal is not self.goal:
                self.told_goal.look()
        success, failed = self.goal.success, self.goal.failure is not None
        terminated = success or failed
        truncated = self._count_step(terminated)

        weights = self.config.reward
        before, self._potentials = self._potentials, self._progress()
        after = (0.0, 0.0) if terminated else self._potentials
        terms = {
            "reach": weights.reach * (weights.discount * after[0] - before[0]),
            "progress": weights.progress * (weights.discount * after[1] - before[1]),
            "success": weights.success_bonus * success,
            "effort": -weights.effort * float(np.square(clipped).sum()),
        }
        return self._step_result(terms, terminated, truncated, self._info())

    def labels(self, camera: str = CLOSE_CAMERA, size: tuple[int, int] | None = None) -> Labels:
        """Segmentation labels of `picture`: kind, colour, part of a garment.

        Raises: as `picture`.
        """
        if self._labeller is None:
            self._labeller = Labeller(self.world.scene)
        return self._labeller.labels(self._segmented(camera, size or self._image_size), self.start)

    # Inside

    def _progress(self) -> tuple[float, float]:
        """How near the hand is to its target, and how much of the target's way is done, each 0 to 1."""
        distance = float(np.linalg.norm(self.world.hand_position - self.world.anchor(self.task.target)))
        return max(0.0, 1 - distance / NEAR_M), self.goal.progress

    def _info(self) -> dict[str, Any]:
        return {
            "instruction": self.instruction,
            "verb": self.task.verb,
            "split": self.start.split,
            "is_success": self.goal.success,
            "told_success": self.told_goal.success,
            "failure": self.goal.failure or "",
            "touched": self.goal.touched or "",
        }

    def _sense(self, key: str) -> Any:
        return _SENSORS[key](self)


# Functions of the environment, not bound methods kept in it: a copy or a pickle must read itself, never its original.
_SENSORS: dict[str, Callable[[TabletopEnv], Any]] = {
    "end_effector": lambda env: env.end_effector,
    "joint_position": lambda env: env.world.joint_position,
    "holding": lambda env: [float(env.world.held is not None)],
    "time_left": lambda env: [env.time_left],
    "instruction": lambda env: env.instruction,
}


def _state_spaces() -> dict[str, spaces.Box]:
    return {
        "end_effector": spaces.Box(-MAX_DISTANCE_M, MAX_DISTANCE_M, (7,), np.float32),
        "joint_position": spaces.Box(-MAX_ANGLE_RAD, MAX_ANGLE_RAD, (30,), np.float32),
        "holding": spaces.Box(0, 1, (1,), np.float32),
        "time_left": spaces.Box(0, 1, (1,), np.float32),
    }
