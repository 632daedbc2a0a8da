"""End-effector actions: wrappers that take steps of the hands in place of 60 joint residuals."""

from collections.abc import Iterable, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs
from jaxtyping import Float

from vla_course.control.actions import encode_residual, end_effector_delta
from vla_course.control.rotations import matrix_from_rotation_vector, matrix_from_rpy, rotation_error
from vla_course.envs.arguments import check_known, checked_action
from vla_course.envs.observations import Observation
from vla_course.envs.wrappers import StepResult, execute, slowed
from vla_course.robot.grip import grip_closure, grip_pose
from vla_course.robot.inverse_kinematics import InverseKinematics
from vla_course.robot.two_arms import ACTION_SCALE, HAND_SLICES, SIDES

NUM_ACTIONS = 61


class EndEffectorAction(
    gymnasium.Wrapper[Observation, np.ndarray, Observation, np.ndarray], RecordConstructorArgs
):
    """Moves two hands instead of sixty joints: 14 numbers in [-1, 1], seven for each hand, left first.

    | Num  | Action               | Min | Max | At ±1, 20 Hz  | At ±1, 5 Hz   |
    |------|----------------------|-----|-----|---------------|---------------|
    | 0-2  | left Δx Δy Δz        | -1  | 1   | 0.03 m        | 0.12 m        |
    | 3-5  | left Δroll Δpitch Δyaw | -1 | 1  | 0.05 rad      | 0.20 rad      |
    | 6    | left grip            | -1  | 1   | open / closed | open / closed |
    | 7-13 | the same, right hand | -1  | 1   | as left       | as left       |

    The convention is that of BridgeData and OpenVLA (`control.actions.end_effector_delta`): steps along the axes of the world,
    and a rotation that is *one* turn, roll, pitch, yaw about the world's axes, applied to the orientation the hand has. The
    grip is a place, not a step: +1 open, -1 closed (OpenVLA's 1 = open and 0 = closed, stretched to [-1, 1]), 0 half closed,
    which does not hold cloth yet. Values outside [-1, 1] are clipped.

    The step starts from the *commanded* pose, where the joint targets would put the hand, not from the measured one: arms that
    lag or sag under a load would otherwise sink a little with every action. What inverse kinematics cannot reach is dropped.

    At 5 Hz an action is carried out in four control steps, each a quarter of the way and of the turn. Rewards and reward terms
    are plain sums over those steps: with a discount γ below 1 inside the environment they are no longer an exact potential
    difference of the longer step. The episode may end within an action; the rest is then not carried out.

    The next stage is asked for as soon as the fold is good and no hand holds cloth any more. With `stage_signal=True` one more
    number (the last) asks for it when it is above 0.5, once, with the last control step of the action.
    """

    def __init__(
        self,
        env: gymnasium.Env[Observation, np.ndarray],
        *,
        arms: Sequence[str] = SIDES,
        rate_hz: int = 20,
        stage_signal: bool = False,
        max_speed_m_s: float = 0.6,
        max_turn_rad_s: float = 1.0,
        ik: InverseKinematics | None = None,
    ) -> None:
        """`arms` are moved, others hold still; an action of 1 has the speeds given; `ik` computes joint targets.

        Raises: TypeError if `env` takes something else than 61 numbers; ValueError for an unknown arm, a rate that does not divide
        the control rate, or a speed that is not positive.
        """
        RecordConstructorArgs.__init__(
            self,
            _disable_deepcopy=True,
            arms=arms,
            rate_hz=rate_hz,
            stage_signal=stage_signal,
            max_speed_m_s=max_speed_m_s,
            max_turn_rad_s=max_turn_rad_s,
            ik=ik,
        )
        gymnasium.Wrapper.__init__(self, env)
        if env.action_space.shape != (NUM_ACTIONS,):
            raise TypeError(
                f"hand steps replace the {NUM_ACTIONS} numbers of a folding environment, not {env.action_space}"
            )
        check_known("arm", arms, SIDES)
        control_hz = self.get_wrapper_attr("control_hz")
        if rate_hz not in range(1, control_hz + 1) or control_hz % rate_hz:
            rates = [rate for rate in range(1, control_hz + 1) if control_hz % rate == 0]
            raise ValueError(
                f"rate_hz must divide the control rate of {control_hz} Hz: one of {rates}, not {rate_hz}"
            )
        if not (max_speed_m_s > 0 and max_turn_rad_s > 0):
            raise ValueError(f"want positive speeds, not {max_speed_m_s=} and {max_turn_rad_s=}")
        self.rate_hz, self.stage_signal = rate_hz, stage_signal
        self.hands = tuple(hand for hand, side in enumerate(SIDES) if side in arms)
        self.translation_m, self.rotation_rad = max_speed_m_s / rate_hz, max_turn_rad_s / rate_hz
        self.ik = ik or InverseKinematics()
        self._control_steps = control_hz // rate_hz
        self.action_space = spaces.Box(-1.0, 1.0, (7 * len(self.hands) + stage_signal,), np.float32)
        self.metadata = slowed(env.metadata, self._control_steps)

    def step(self, action: np.ndarray) -> StepResult:
        """Execute one end-effector step.

        Raises: ValueError for an action of the wrong shape, or with NaN or inf.
        """
        values = checked_action(action, 7 * len(self.hands) + self.stage_signal, "seven numbers a hand")
        return execute(self.env, self._control_actions(values))

    def encode(
        self, joint_target: Float[np.ndarray, "60"], *, advance: bool = False
    ) -> Float[np.ndarray, " A"]:
        """The action that moves the hands to the poses of these joint targets (rad), clipped to the range of one action.

        It converts demonstrations in joints to demonstrations in hand steps. `advance` sets the stage signal, if there is one.
        """
        here, there = self.ik.forward(self.get_wrapper_attr("joint_target")), self.ik.forward(joint_target)
        scale = np.repeat([self.translation_m, self.rotation_rad], 3)
        numbers: list[float] = []
        for hand in self.hands:
            numbers += (
                end_effector_delta(here[0][hand], here[1][hand], there[0][hand], there[1][hand]) / scale
            ).tolist()
            numbers.append(1 - 2 * grip_closure(joint_target[HAND_SLICES[hand]]))
        if self.stage_signal:
            numbers.append(float(advance))
        return np.clip(numbers, -1.0, 1.0).astype(np.float32)

    def _control_actions(self, values: Float[np.ndarray, " A"]) -> Iterable[Float[np.ndarray, "61"]]:
        """The control steps of one action, each computed from the joint targets of its moment."""
        per_hand = values[: 7 * len(self.hands)].reshape(-1, 7)
        start_position, start_rotation = self.ik.forward(self.get_wrapper_attr("joint_target"))
        turns = [rotation_error(np.eye(3), matrix_from_rpy(self.rotation_rad * row[3:6])) for row in per_hand]
        active = [hand in self.hands for hand in range(len(SIDES))]
        for step in range(1, self._control_steps + 1):
            share = step / self._control_steps
            position, rotation = start_position.copy(), start_rotation.copy()
            for hand, row, turn in zip(self.hands, per_hand, turns, strict=True):
                position[hand] += share * self.translation_m * row[:3]
                rotation[hand] = matrix_from_rotation_vector(share * turn) @ rotation[hand]
            now = self.get_wrapper_attr("joint_target")
            joints = now.copy()
            # Fingers first: a hand's 24 joints begin with its wrist, which carries the grasp site.
            for hand, row in zip(self.hands, per_hand, strict=True):
                fingers, most = HAND_SLICES[hand], ACTION_SCALE[HAND_SLICES[hand]]
                joints[fingers] += np.clip(grip_pose((1 - row[6]) / 2) - now[fingers], -most, most)
            joints = self.ik.solve(joints, position, rotation, active=active)
            residual = encode_residual(joints, now, ACTION_SCALE)
            yield np.append(residual, self._stage_request(values, last=step == self._control_steps)).astype(
                np.float32
            )

    def _stage_request(self, values: Float[np.ndarray, " A"], *, last: bool) -> float:
        if self.stage_signal:
            return float(values[-1]) if last else 0.0
        folds_left = self.get_wrapper_attr("stage") < self.get_wrapper_attr("num_stages")
        let_go = not any(self.get_wrapper_attr("held"))
        return float(folds_left and let_go and self.get_wrapper_attr("stage_fold_good")())


class SingleArmAction(EndEffectorAction):
    """Moves one hand, as OpenVLA does: Δx Δy Δz Δroll Δpitch Δyaw grip, seven numbers in [-1, 1]. The other arm holds still.

    Units, signs, rates, rewards and stages are those of `EndEffectorAction`; 5 Hz is BridgeData's rate. An action of
    OpenVLA, in metres, radians and grip (1 open, 0 closed), becomes ours by dividing by `translation_m` and `rotation_rad`, and
    2 grip - 1.
    """

    def __init__(
        self,
        env: gymnasium.Env[Observation, np.ndarray],
        arm: str = "right",
        *,
        rate_hz: int = 5,
        **options: Any,
    ) -> None:
        """`arm` is "left" or "right"; `options` are those of `EndEffectorAction`.

        Raises: as there.
        """
        RecordConstructorArgs.__init__(self, _disable_deepcopy=True, arm=arm, rate_hz=rate_hz, **options)
        super().__init__(env, arms=(arm,), rate_hz=rate_hz, **options)
        self.arm = arm
