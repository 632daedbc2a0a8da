"""Hand steps: how far, which way, from where, and what they do to stages and rewards."""

import gymnasium
import jaxtyping
import numpy as np
import pytest
from episodes import CASES, expert_episode, same

from vla_course.control.rotations import matrix_from_rpy
from vla_course.envs.end_effector import EndEffectorAction, SingleArmAction
from vla_course.envs.folding.env import FoldingEnv
from vla_course.envs.folding.expert import FoldingExpert
from vla_course.robot.grip import grip_pose
from vla_course.robot.inverse_kinematics import InverseKinematics
from vla_course.robot.two_arms import ACTION_SCALE

LEFT, RIGHT = 0, 1
OPEN = np.zeros(14, np.float32)
OPEN[[6, 13]] = 1


@pytest.fixture
def as_learners_run(monkeypatch):
    """Without the shape checks of the test suite, as in a notebook."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


def make(rate_hz: int = 20, garment: str = "towel", **options) -> EndEffectorAction:
    env = EndEffectorAction(FoldingEnv(garment), rate_hz=rate_hz, **options)
    env.reset(seed=0)
    return env


def commanded(env) -> tuple[np.ndarray, np.ndarray]:
    return env.ik.forward(env.unwrapped.joint_target)


def moved(**numbers: float) -> np.ndarray:
    """An action with open hands and some of its numbers set: left_x=1, right_yaw=-0.5 ..."""
    names = ["x", "y", "z", "roll", "pitch", "yaw", "grip"]
    action = OPEN.copy()
    for name, value in numbers.items():
        side, number = name.split("_")
        action[7 * (side == "right") + names.index(number)] = value
    return action


@pytest.mark.parametrize("rate_hz", [5, 20])
@pytest.mark.parametrize(("hand", "axis"), [(LEFT, 0), (LEFT, 1), (RIGHT, 0), (RIGHT, 1), (RIGHT, 2)])
def test_a_step_moves_the_commanded_hand_by_that_much_and_nothing_else(rate_hz, hand, axis):
    env = make(rate_hz)
    before = commanded(env)
    action = OPEN.copy()
    action[7 * hand + axis] = 0.5
    env.step(action)
    after = commanded(env)
    wanted = np.zeros((2, 3))
    wanted[hand, axis] = 0.5 * env.translation_m
    np.testing.assert_allclose(after[0] - before[0], wanted, atol=2e-5)
    np.testing.assert_allclose(after[1], before[1], atol=2e-4)


def test_metres_and_radians_are_those_of_the_manual():
    fast, slow = make(20), make(5)
    assert (fast.translation_m, fast.rotation_rad) == pytest.approx((0.03, 0.05))
    assert (slow.translation_m, slow.rotation_rad) == pytest.approx((0.12, 0.20))
    assert fast.action_space == slow.action_space == gymnasium.spaces.Box(-1, 1, (14,), np.float32)
    assert make(5, max_speed_m_s=0.1, max_turn_rad_s=0.5).translation_m == pytest.approx(0.02)


@pytest.mark.parametrize("rate_hz", [5, 20])
def test_the_rotation_is_one_turn_about_the_axes_of_the_world(rate_hz):
    """Roll, pitch and yaw together are one turn, applied from the left: BridgeData's convention."""
    env = make(rate_hz)
    before = commanded(env)
    env.step(moved(right_roll=0.5, right_pitch=-0.4, right_yaw=0.6))
    turn = matrix_from_rpy(env.rotation_rad * np.array([0.5, -0.4, 0.6]))
    after = commanded(env)
    np.testing.assert_allclose(after[1][RIGHT], turn @ before[1][RIGHT], atol=1e-4)
    # Not the same as turning in the hand's frame, which points down here.
    assert np.abs(after[1][RIGHT] - before[1][RIGHT] @ turn).max() > 0.005
    np.testing.assert_allclose(after[0], before[0], atol=1e-4)


def test_standing_still_does_not_sink():
    """The step starts from the commanded pose: the arms' lag and sag never get into the target."""
    env = make(20)
    before = commanded(env)
    for _ in range(60):
        env.step(OPEN)
    np.testing.assert_allclose(commanded(env)[0], before[0], atol=1e-6)
    np.testing.assert_allclose(env.unwrapped.hand_position, before[0], atol=0.01)


def test_there_and_back_again():
    env = make(20)
    before = commanded(env)[0]
    steps = [moved(left_x=0.7, left_y=-0.3, right_z=0.5, right_yaw=0.4), moved(right_x=-0.6)]
    for action in (*steps, *(2 * OPEN - action for action in reversed(steps))):
        env.step(action)
    np.testing.assert_allclose(commanded(env)[0], before, atol=1e-3)


def test_five_hertz_is_four_steps_of_twenty():
    slow, fast = make(5), make(20)
    for action in (
        moved(left_x=0.5, right_y=-0.3, right_yaw=0.5),
        moved(left_z=0.4, left_grip=-1, right_pitch=0.2),
    ):
        slow_observation, slow_reward, *_, slow_info = slow.step(action)
        rewards = []
        for _ in range(4):
            fast_observation, reward, *_, fast_info = fast.step(action)
            rewards.append(reward)
        np.testing.assert_allclose(
            slow_observation["joint_target"], fast_observation["joint_target"], atol=1e-4
        )
        np.testing.assert_allclose(
            slow_observation["hand_position"], fast_observation["hand_position"], atol=1e-3
        )
        assert slow_reward == pytest.approx(sum(rewards), abs=1e-3)
        assert slow_info["executed_steps"] == 4 and fast_info["executed_steps"] == 1
        assert slow_observation["time_left"] == fast_observation["time_left"]


def test_rewards_and_their_terms_are_sums_over_the_control_steps():
    env = make(5)
    total = env.step(moved(left_x=1, right_x=1))
    assert total[1] == pytest.approx(sum(total[4]["reward_terms"].values()))
    assert total[1] == pytest.approx(total[4]["step_rewards"].sum()) and total[4]["step_rewards"].shape == (
        4,
    )


def test_grip_is_a_place_plus_one_open_minus_one_closed():
    env = make(5)
    fingers = slice(6, 30)
    for grip, closure in ((-1, 1.0), (0, 0.5), (1, 0.0)):
        for _ in range(3):
            env.step(moved(left_grip=grip))
        np.testing.assert_allclose(env.unwrapped.joint_target[fingers], grip_pose(closure), atol=1e-6)
        np.testing.assert_allclose(
            env.unwrapped.joint_target[36:60], grip_pose(0.0), atol=1e-6
        )  # the other hand
        assert abs(env.unwrapped.hand_closure()[LEFT] - closure) < 0.15


def test_what_is_out_of_reach_is_dropped_and_not_stored_up():
    env = make(5)
    for _ in range(12):
        env.step(moved(left_x=1, left_z=1))
    stuck = commanded(env)[0][LEFT]
    env.step(moved(left_x=-1, left_z=-1))
    assert (commanded(env)[0][LEFT] - stuck)[0] < -0.02  # it comes back at once


def test_the_stage_advances_by_itself_once_the_fold_is_good_and_let_go():
    played = expert_episode("trousers")
    env = make(20, "trousers")
    folding = env.unwrapped
    stages = [0, *(info["stage"] for info in played.infos)]
    first = stages.index(1) - 1  # the step before which the fold was good and the hands empty
    folding.restore(played.snapshots[first])
    assert folding.stage_fold_good() and not any(folding.held)
    *_, info = env.step(OPEN)
    assert info["stage"] == 1 and info["reward_terms"]["stage"] > 0
    *_, info = env.step(OPEN)  # the next fold is not good yet, so nothing is asked and nothing is paid
    assert info["stage"] == 1 and info["reward_terms"]["early_advance"] == 0

    holding = next(
        k for k in range(first, 0, -1) if all(played.snapshots[k].physics.held)
    )  # the last step of the first carry
    folding.restore(played.snapshots[holding])
    *_, info = env.step(env.encode(folding.joint_target))
    assert folding.stage_fold_good() and info["stage"] == 0


def test_with_a_stage_signal_the_policy_asks_itself():
    env = make(5, "trousers", stage_signal=True)
    assert env.action_space.shape == (15,)
    folding, played = env.unwrapped, expert_episode("trousers")
    *_, info = env.step(np.append(OPEN, 1).astype(np.float32))
    price = folding.config.reward.early_advance
    assert info["reward_terms"]["early_advance"] == -price  # asked once, not in each of the four steps
    first = [0, *(info["stage"] for info in played.infos)].index(1) - 1
    for ask, stage in ((0.0, 0), (1.0, 1)):
        folding.restore(played.snapshots[first])
        *_, info = env.step(np.append(OPEN, ask).astype(np.float32))
        assert info["stage"] == stage


@pytest.mark.parametrize("case", ["towel", "tshirt", "trousers"])
def test_the_expert_folds_in_hand_steps(case):
    """Encoded as 14 numbers, step by step: what demonstrations for end-effector policies are made of."""
    env = make(20, **CASES[case])
    expert, folding = FoldingExpert(env), env.unwrapped
    observation, _ = env.reset(seed=1)
    terminated = truncated = False
    while not (terminated or truncated):
        action = expert.act(observation)
        target = folding.joint_target + ACTION_SCALE * action[:60]
        hand_steps = env.encode(target)
        assert hand_steps in env.action_space
        observation, _, terminated, truncated, info = env.step(hand_steps)
    assert terminated and info["is_success"]


def test_encode_is_the_inverse_of_a_step():
    env = make(20, stage_signal=True)
    action = np.append(moved(left_x=0.4, left_yaw=-0.3, right_z=0.6, right_roll=0.2, right_grip=-0.9), 1)
    env.step(action)
    after = env.unwrapped.joint_target.copy()
    env.reset(seed=0)
    encoded = env.encode(after, advance=True)
    np.testing.assert_allclose(encoded[[0, 5, 9, 10]], [0.4, -0.3, 0.6, 0.2], atol=2e-3)
    assert encoded[14] == 1 and env.encode(after)[14] == 0
    assert encoded[6] == 1 and encoded[13] < 1  # fingers are still on their way


def test_the_learners_own_solver_runs():
    calls = []

    def lazy(jacobian, error, damping):
        calls.append(1)
        return np.zeros(jacobian.shape[1])

    env = EndEffectorAction(FoldingEnv("towel"), ik=InverseKinematics(step=lazy))
    env.reset(seed=0, options={"joint_noise": 0})
    before = commanded(env)[0]
    env.step(moved(left_x=1))
    assert calls and np.abs(commanded(env)[0] - before).max() < 1e-9


# --- one arm


@pytest.mark.parametrize("arm", ["left", "right"])
def test_one_arm_moves_and_the_other_holds_still(arm):
    env = SingleArmAction(FoldingEnv("towel"), arm)
    env.reset(seed=0)
    hand = ("left", "right").index(arm)
    before, joints = commanded(env)[0], env.unwrapped.joint_target.copy()
    assert env.action_space.shape == (7,) and env.rate_hz == 5
    env.step(np.array([0.5, 0, 0.25, 0, 0, 0, -1], np.float32))
    wanted = np.zeros((2, 3))
    wanted[hand] = 0.06, 0, 0.03
    np.testing.assert_allclose(commanded(env)[0] - before, wanted, atol=2e-4)
    other = slice(30, 60) if arm == "left" else slice(0, 30)
    np.testing.assert_allclose(env.unwrapped.joint_target[other], joints[other], atol=1e-8)


def test_an_openvla_action_in_metres_becomes_ours_as_the_manual_says():
    env = SingleArmAction(FoldingEnv("towel"), "right")
    env.reset(seed=0)
    said = np.array([0.02, -0.01, 0.03, 0.05, 0.0, -0.1, 1.0])  # metres, radians, grip 1 = open
    ours = np.concatenate([said[:3] / env.translation_m, said[3:6] / env.rotation_rad, [2 * said[6] - 1]])
    before = commanded(env)
    env.step(ours.astype(np.float32))
    after = commanded(env)
    np.testing.assert_allclose(after[0][RIGHT] - before[0][RIGHT], said[:3], atol=1e-4)
    np.testing.assert_allclose(after[1][RIGHT], matrix_from_rpy(said[3:6]) @ before[1][RIGHT], atol=1e-3)
    assert env.unwrapped.hand_closure()[RIGHT] < 0.1


def test_one_arm_with_stage_signal_has_eight_numbers():
    env = SingleArmAction(FoldingEnv("towel"), "left", rate_hz=20, stage_signal=True)
    assert env.action_space.shape == (8,)
    env.reset(seed=0)
    assert env.step(np.array([0, 0, 0, 0, 0, 0, 1, 1], np.float32))[4]["reward_terms"]["early_advance"] < 0


# --- being a good wrapper


def test_time_is_told_truly():
    assert make(5).metadata["render_fps"] == 5 and make(20).metadata["render_fps"] == 20
    assert make(5).unwrapped.metadata["render_fps"] == 20
    env = make(5)
    steps, truncated = 0, False
    while not truncated:
        *_, truncated, info = env.step(OPEN)
        steps += 1
    assert steps == 40 and info["executed_steps"] == 4
    with pytest.raises(RuntimeError, match="call reset"):
        env.step(OPEN)


def test_it_can_be_made_again_from_its_spec():
    env = SingleArmAction(gymnasium.make("vla_course/FoldTowel-v0"), "left", stage_signal=True)
    again = gymnasium.make(env.spec)
    assert isinstance(again, SingleArmAction) and again.arm == "left" and again.action_space.shape == (8,)
    action = np.array([0.3, 0, 0, 0, 0, 0, 1, 0], np.float32)
    for one in (env, again):
        one.reset(seed=0)
    assert same(env.step(action)[0], again.step(action)[0])


def test_bad_input_is_one_clear_error(as_learners_run):
    env = make(20)
    with pytest.raises(ValueError, match=r"shape \(14,\), seven numbers a hand; this has \(61,\)"):
        env.step(np.zeros(61))
    bad = OPEN.copy()
    bad[9] = np.nan
    with pytest.raises(ValueError, match=r"action\[9\] is nan"):
        env.step(bad)
    with pytest.raises(
        ValueError, match=r"rate_hz must divide .* 20 Hz: one of \[1, 2, 4, 5, 10, 20\], not 7"
    ):
        make(7)
    with pytest.raises(ValueError, match="positive speeds"):
        make(20, max_speed_m_s=0)
    with pytest.raises(ValueError, match="unknown arm 'middle': the known ones are left, right"):
        SingleArmAction(FoldingEnv("towel"), "middle")
    with pytest.raises(TypeError, match="61 numbers of a folding environment"):
        EndEffectorAction(gymnasium.make("Pendulum-v1"))
    wild = env.step(moved(left_x=9.0))[0]
    env.reset(seed=0)
    assert same(wild["joint_target"], env.step(moved(left_x=1.0))[0]["joint_target"])
