"""The reward: potentials by hand, and sums that no policy can farm."""

import numpy as np
import pytest
from episodes import CASES, expert_episode, folding_env, random_episode

from vla_course.envs.folding.config import RewardConfig
from vla_course.envs.folding.rewards import REACH_SCALE_M, Potentials, potentials, reward_terms

CONFIG = RewardConfig()
DENSE = {"reach": CONFIG.reach, "grasp": CONFIG.grasp, "fold": CONFIG.fold}


def progress(**changed):
    values = {
        "stage": 0,
        "num_stages": 2,
        "hand_distance_m": np.array([REACH_SCALE_M, 0.0]),
        "holding": np.array([0.0, 1.0]),
        "fold_error_m": 0.15,
        "flat_error_m": 0.2,
        "fold_good": False,
    }
    return potentials(**(values | changed))


def test_progress_by_hand():
    phi = progress()
    assert phi.reach == pytest.approx((np.exp(-1) + 1) / 2 / 2)
    assert phi.grasp == pytest.approx(0.5 / 2)
    assert phi.fold == pytest.approx(0.25 / 2)
    second = progress(stage=1)
    assert second.fold == pytest.approx((1 + 0.25) / 2) and second.grasp == pytest.approx((1 + 0.5) / 2)


def test_a_good_fold_needs_no_hands():
    phi = progress(fold_good=True, hand_distance_m=np.array([9.0, 9.0]), holding=np.zeros(2))
    assert phi.reach == phi.grasp == 0.5
    done = progress(stage=2, fold_error_m=0.0, hand_distance_m=np.array([9.0, 9.0]), holding=np.zeros(2))
    assert done == Potentials(1.0, 1.0, 1.0)


def test_holding_counts_as_reaching_and_a_worse_fold_as_none():
    assert progress(hand_distance_m=np.array([9.0, 9.0]), holding=np.ones(2)).reach == 0.5
    assert progress(fold_error_m=0.9).fold == 0
    values = [progress(fold_error_m=error).fold for error in (0.2, 0.1, 0.05, 0.0)]
    assert values == sorted(values) and values[0] == 0 and values[-1] == 0.5


def terms(before, after, **changed):
    values = {"terminated": False, "advanced": False, "asked_early": False, "action_change": 0.0}
    return reward_terms(before, after, **(values | changed), config=CONFIG)


def test_terms_by_hand():
    before, after = Potentials(0.1, 0.2, 0.3), Potentials(0.4, 0.2, 0.5)
    found = terms(before, after, action_change=3.0, asked_early=True)
    assert found["reach"] == pytest.approx(0.5 * (0.99 * 0.4 - 0.1))
    assert found["grasp"] == pytest.approx(0.5 * (0.99 - 1) * 0.2)
    assert found["fold"] == pytest.approx(4 * (0.99 * 0.5 - 0.3))
    assert found["smoothness"] == pytest.approx(-0.002 * 3)
    assert found["early_advance"] == -0.02 and found["stage"] == 0 and found["success"] == 0
    solved = terms(before, after, terminated=True, advanced=True)
    assert solved["fold"] == pytest.approx(-4 * 0.3)  # Φ = 0 once it is solved
    assert solved["success"] == 10 and solved["stage"] == 1


def discounted(infos, name: str) -> float:
    return sum(CONFIG.discount**t * info["reward_terms"][name] for t, info in enumerate(infos))


@pytest.mark.parametrize("name", DENSE)
@pytest.mark.parametrize("case", CASES)
def test_whatever_a_policy_does_a_dense_term_sums_to_its_potentials(case, name):
    """γ^T Φ(s_T) − Φ(s_0), for random actions as for any other: nothing to be had by waiting or going up and down."""
    played, env = random_episode(case), folding_env(case)
    env.restore(played.snapshots[-1])
    env.step(played.actions[-1])
    last, first = env.save().potentials, played.snapshots[0].potentials
    steps = len(played.actions)
    wanted = DENSE[name] * (CONFIG.discount**steps * getattr(last, name) - getattr(first, name))
    assert discounted(played.infos, name) == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("case", CASES)
def test_on_success_a_dense_term_sums_to_minus_its_first_potential(case):
    played = expert_episode(case)
    assert played.terminated
    for name, weight in DENSE.items():
        first = getattr(played.snapshots[0].potentials, name)
        assert discounted(played.infos, name) == pytest.approx(-weight * first, abs=1e-9), name


@pytest.mark.parametrize("case", CASES)
def test_folding_pays_and_flailing_does_not(case):
    assert sum(expert_episode(case).rewards) > 5 > 0 > sum(random_episode(case).rewards)


@pytest.mark.parametrize("case", CASES)
def test_potentials_stay_between_zero_and_one_and_start_low(case):
    for played in (expert_episode(case), random_episode(case)):
        values = np.array(
            [(s.potentials.reach, s.potentials.grasp, s.potentials.fold) for s in played.snapshots]
        )
        assert (values >= 0).all() and (values <= 1).all()
        assert values[0, 1] == 0 and values[0, 2] < 1e-6


@pytest.mark.parametrize("case", CASES)
def test_passing_a_stage_never_costs(case):
    """The potentials go on where they were when a fold is accepted, and the bonus comes on top."""
    played = expert_episode(case)
    stages = [0, *(info["stage"] for info in played.infos)]
    for step in range(len(played.actions) - 1):
        if stages[step + 1] > stages[step]:
            before, after = played.snapshots[step].potentials, played.snapshots[step + 1].potentials
            for name in ("reach", "grasp", "fold"):
                assert getattr(after, name) >= getattr(before, name) - 0.06, (step, name)
            assert played.rewards[step] > 0
