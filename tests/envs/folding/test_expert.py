"""The expert folds everything, from anywhere, with the inverse kinematics it is given."""

import numpy as np
import pytest
from episodes import CASES, expert_episode, folding_env, play

from vla_course.envs.folding.expert import FoldingExpert
from vla_course.robot.inverse_kinematics import InverseKinematics


@pytest.mark.parametrize("case", CASES)
def test_folds_each_garment_within_its_limits(case):
    played = expert_episode(case)
    assert played.terminated and played.infos[-1]["is_success"]
    actions = np.array(played.actions)
    assert actions.dtype == np.float32 and actions.shape[1] == 61
    assert (np.abs(actions) <= 1).all()
    assert len(actions) <= 0.85 * folding_env(case).time_limit_steps  # with time to spare for a second try
    error = played.infos[-1]["fold_error_m"]
    assert error < 0.015, f"mean error {1000 * error:.1f} mm"


@pytest.mark.parametrize("case", ["towel", "tshirt", "trousers"])
def test_takes_over_from_a_random_policy(case):
    """DAgger asks for labels wherever the learner went: after thirty random actions, fingers included, it still folds."""
    env = folding_env(case)
    expert, rng = FoldingExpert(env), np.random.default_rng(0)

    def act(observation, step):
        label = expert.act(observation)
        assert (np.abs(label) <= 1).all()
        return label if step >= 30 else rng.uniform(-0.5, 0.5, 61).astype(np.float32)

    played = play(env, act, seed=2)
    assert played.terminated, played.infos[-1]


def test_a_fresh_expert_takes_over_in_the_middle_of_a_fold():
    env, played = folding_env("towel"), expert_episode("towel")
    middle = next(k for k, snapshot in enumerate(played.snapshots) if all(snapshot.physics.held)) + 8
    env.restore(played.snapshots[middle])
    expert, terminated, truncated, observation = FoldingExpert(env), False, False, None
    while not (terminated or truncated):
        observation, _, terminated, truncated, info = env.step(expert.act(observation))
    assert terminated and info["is_success"]


def test_acts_the_same_for_the_same_state():
    env = folding_env("towel")
    episodes = []
    for _ in range(2):
        expert = FoldingExpert(env)
        episodes.append(
            play(env, lambda observation, _, expert=expert: expert.act(observation), seed=4, limit=25)
        )
    np.testing.assert_array_equal(episodes[0].actions, episodes[1].actions)


def test_the_inverse_kinematics_it_is_given_is_the_one_that_runs():
    """A step that goes nowhere, put in as a learner would, changes the outcome."""
    env, calls = folding_env("towel"), []

    def lazy(jacobian, error, damping):
        calls.append(error)
        return np.zeros(jacobian.shape[1])

    expert = FoldingExpert(env, ik=InverseKinematics(step=lazy))
    played = play(env, lambda observation, _: expert.act(observation), seed=0)
    assert calls and played.truncated and not played.infos[-1]["is_success"]
    assert played.infos[-1]["stage"] == 0


def test_folds_with_a_learner_of_its_own_damping():
    def learner(jacobian, error, damping):
        damped = jacobian @ jacobian.T + 0.02**2 * np.eye(6)
        return jacobian.T @ np.linalg.inv(damped) @ error

    env = folding_env("towel")
    expert = FoldingExpert(env, ik=InverseKinematics(step=learner))
    played = play(env, lambda observation, _: expert.act(observation), seed=0)
    assert played.terminated


def test_says_what_it_needs():
    with pytest.raises(TypeError, match="needs a FoldingEnv, not a dict"):
        FoldingExpert({})
