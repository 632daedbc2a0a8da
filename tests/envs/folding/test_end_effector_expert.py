"""The folding expert in hand steps, and the state that its pupils are told."""

import gymnasium
import jaxtyping
import numpy as np
import pytest
from episodes import folding_env, same

from vla_course.control.rotations import matrix_from_rpy
from vla_course.envs.end_effector import EndEffectorAction
from vla_course.envs.folding.end_effector_expert import ARRIVED_M_S, EndEffectorExpert
from vla_course.robot.inverse_kinematics import InverseKinematics
from vla_course.robot.two_arms import DOWNWARD, home_position, turn_from_home


def hands(case: str = "towel", **options) -> EndEffectorAction:
    return EndEffectorAction(folding_env(case), **{"rate_hz": 5, **options})


def play(env: EndEffectorAction, seed: int, noise: float = 0.0) -> tuple[list[np.ndarray], dict]:
    expert, luck = EndEffectorExpert(env), np.random.default_rng(seed)
    env.reset(seed=seed)
    actions, ended, info = [], False, {}
    while not ended:
        actions.append(expert.act())
        spread = np.where(np.isin(np.arange(len(actions[-1])), (6, 13, 14)), 0, noise)
        _, _, terminated, truncated, info = env.step(actions[-1] + spread * luck.standard_normal(len(spread)))
        ended = terminated or truncated
    return actions, info


@pytest.mark.parametrize(("case", "most"), [("towel", 24), ("tshirt", 85)])
def test_folds_in_fourteen_numbers_five_times_a_second(case, most):
    actions, info = play(hands(case), seed=0)
    assert info["is_success"] and len(actions) <= most
    stacked = np.array(actions)
    assert stacked.dtype == np.float32 and stacked.shape[1:] == (14,) and (np.abs(stacked) <= 1).all()


def test_folds_at_other_rates_and_with_a_stage_signal():
    actions, info = play(hands(rate_hz=10, stage_signal=True), seed=0)
    assert info["is_success"]
    assert np.array(actions).shape[1:] == (15,)
    asked = np.array(actions)[:, 14]
    assert set(asked.tolist()) == {0.0, 1.0}, "it says when the fold is good"


@pytest.mark.parametrize("rate_hz", [10, 20])
def test_folds_from_every_start_at_higher_rates(rate_hz):
    """At 20 Hz the hands used to close and open above most towels until the time was up."""
    env, most_s = hands(rate_hz=rate_hz), 2.75
    played = [play(env, seed) for seed in range(700, 706)]
    assert all(info["is_success"] for _, info in played)
    assert max(len(actions) for actions, _ in played) <= most_s * rate_hz


def test_at_5_hz_a_hand_has_arrived_within_15_mm():
    """The shipped demonstrations and every recorded result were made with this number."""
    assert ARRIVED_M_S / 5 == 0.015


def test_shows_the_way_back_when_it_is_pushed_off():
    env = hands()
    assert all(play(env, seed, noise=0.07)[1]["is_success"] for seed in (0, 1, 2))


@pytest.mark.parametrize("case", ["trousers", "towel"])
def test_the_answer_follows_from_the_present_state_alone(case):
    """Whoever comes in later says the same: nothing is remembered from one action to the next."""
    env = hands(case)
    expert, luck = EndEffectorExpert(env), np.random.default_rng(0)
    env.reset(seed=2)
    for _ in range(10):
        action = expert.act()
        np.testing.assert_array_equal(EndEffectorExpert(env).act(), action)
        env.step(action + 0.05 * luck.standard_normal(14))


def test_what_is_near_gets_a_near_answer():
    """A centimetre beside a place must not turn down into up: on the way to the cloth, a step of 2 mm changes the answer little."""
    env = hands()
    expert, folding = EndEffectorExpert(env), env.unwrapped
    env.reset(seed=0)
    while not any(folding.held):
        before = expert.act()
        snapshot = folding.save()
        for axis in range(3):
            nudge = np.zeros(14)
            nudge[6], nudge[13] = before[6], before[13]
            nudge[axis] = nudge[7 + axis] = 0.002 / env.translation_m
            env.step(nudge)
            after = expert.act()
            folding.restore(snapshot)
            moved = np.abs(after - before)[[0, 1, 2, 7, 8, 9]].max()
            closing = (np.array([before, after])[:, [6, 13]] == -1).any()
            assert closing or moved < 0.35, (axis, before, after)
        env.step(before)


def closed_on_nothing(env, expert):
    """Both hands high above the table, closed: two steps, in which arms also come to rest."""
    env.reset(seed=0)
    closed = np.zeros(14)
    closed[[6, 13]] = -1
    for _ in range(2):
        env.step(closed)
    assert not any(env.unwrapped.held) and (env.unwrapped.hand_closure() > 0.9).all()
    return expert.act()


def test_fingers_that_closed_on_nothing_open_wherever_they_are():
    env = hands()
    answer = closed_on_nothing(env, EndEffectorExpert(env))
    assert (answer[[6, 13]] == 1).all()


def test_closing_is_judged_by_where_the_hand_is_told_to_be():
    """What a pupil is told decides: closing at the vertex to the millimetre, and not two centimetres beside it."""
    env, seen = hands(), []
    expert, folding = EndEffectorExpert(env), env.unwrapped
    for seed in range(4):
        env.reset(seed=seed)
        while not all(folding.held):
            action = expert.act()
            told = folding.end_effector.reshape(-1)[:14].reshape(2, 7)
            for hand, vertex in folding.garment.folds[0].grasps:
                off = np.linalg.norm(told[hand, :2] - folding.vertices[vertex][:2])
                if not folding.held[hand] and action[7 * hand + 6] == -1:
                    seen.append(off)
            env.step(action)
    assert len(seen) >= 8 and max(seen) < 0.0075


def test_cloth_taken_beside_the_vertex_is_let_go_before_it_is_carried():
    env = hands()
    expert, folding = EndEffectorExpert(env), env.unwrapped
    env.reset(seed=0)
    while not all(folding.held):
        env.step(expert.act())
    (hand, vertex), (other, _) = folding.garment.folds[0].grasps
    beside = next(v for v in range(len(folding.vertices)) if v not in folding.held[hand])
    assert (expert.act()[[6, 13]] == -1).all(), "well taken: both carry"
    folding.physics.grasp.release(hand)
    folding.physics.grasp.hold(hand, (beside,), np.zeros(1))
    answer = expert.act()
    assert answer[7 * hand + 6] == 1 and answer[7 * other + 6] == -1, vertex


def test_asking_changes_nothing():
    env, asked = hands(), hands()
    folding = env.unwrapped
    expert = EndEffectorExpert(asked)
    env.reset(seed=4)
    for _ in range(6):
        before = folding.save()
        action = expert.act()
        after = folding.save()
        np.testing.assert_array_equal(before.physics.integration, after.physics.integration)
        assert same(before.rng, after.rng) and before.steps == after.steps and before.start is after.start
        there, _, _, _, info = env.step(action)
        folding.restore(before)
        again, _, _, _, info_again = env.step(action)
        assert same(there, again) and same(info, info_again)


def test_speaks_to_hand_steps_only(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(TypeError, match="wrap the FoldingEnv in EndEffectorAction"):
        EndEffectorExpert(folding_env("towel"))
    with pytest.raises(TypeError, match="needs a FoldingEnv"):
        EndEffectorExpert(EndEffectorAction(_NoGarment()))


class _NoGarment(gymnasium.Env):
    action_space = gymnasium.spaces.Box(-1, 1, (61,), np.float32)
    observation_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
    control_hz = 20


# --- the state


def test_hands_are_as_they_are_told_to_be():
    env = folding_env("towel")
    observation, _ = env.reset(seed=0, options={"joint_noise": 0})
    state = observation["end_effector"]
    assert state.shape == (16,) and state.dtype == np.float32
    before = state[:14].reshape(2, 7)
    np.testing.assert_allclose(before[:, :3], observation["hand_position"], atol=2e-3)
    np.testing.assert_allclose(before[:, 3:6], 0, atol=0.01)  # at home nothing is turned
    np.testing.assert_allclose(before[:, 6], 1, atol=1e-6)

    hand = EndEffectorAction(env, rate_hz=5)
    action = np.zeros(14, np.float32)
    action[[6, 13]] = -1, 1
    action[1], action[5], action[7 + 3] = (
        0.5,
        1,
        -0.5,
    )  # left: 6 cm and a yaw, right: a roll, of 0.2 rad at most
    for _ in range(2):
        observation, *_ = hand.step(action)
    state = observation["end_effector"][:14].reshape(2, 7)
    np.testing.assert_allclose(state[0, :3] - before[0, :3], [0, 0.12, 0], atol=3e-3)
    assert observation["hand_position"][0, 1] < state[0, 1] - 0.005, "the arm itself lags behind"
    np.testing.assert_allclose(state[0, 3:6], [0, 0, 0.4], atol=0.02)
    np.testing.assert_allclose(state[1, 3:6], [-0.2, 0, 0], atol=0.02)
    np.testing.assert_allclose(state[:, 6], [0, 1], atol=0.02)


def test_a_hand_feels_whether_it_holds_cloth():
    env = EndEffectorAction(folding_env("towel"), rate_hz=5)
    expert = EndEffectorExpert(env)
    observation, _ = env.reset(seed=0)
    ended, felt = False, []
    while not ended:
        observation, _, terminated, truncated, _ = env.step(expert.act())
        touch = observation["end_effector"][14:]
        np.testing.assert_array_equal(touch, observation["held"])
        felt.append(touch)
        ended = terminated or truncated
    assert {(0, 0), (1, 1)} <= {tuple(touch) for touch in np.array(felt).astype(int)}


def test_a_turn_is_counted_from_a_hand_that_points_down():
    _, rotation = InverseKinematics().forward(home_position())
    for facing in rotation:
        np.testing.assert_allclose(turn_from_home(facing), 0, atol=0.002)
    wanted = np.array([0.2, -0.4, 1.1])
    np.testing.assert_allclose(turn_from_home(matrix_from_rpy(wanted) @ DOWNWARD), wanted, atol=1e-12)
