"""One episode, many at once, and the interval around a rate: on an environment that counts."""

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from vla_course.envs.tabletop.env import TabletopEnv
from vla_course.envs.tabletop.expert import TabletopExpert
from vla_course.evaluation.episodes import EpisodeResult, Evaluation, batch_of_one, evaluate, run_episode
from vla_course.evaluation.intervals import wilson_interval
from vla_course.policy import Policy


class CountingEnv(gymnasium.Env):
    """Shows 10 × the number of steps. Ends after as many steps as the seed says; an even seed is a success."""

    observation_space = spaces.Dict({"count": spaces.Box(0, 1000, (1,))})
    action_space = spaces.Box(-np.inf, np.inf, (1,))

    def __init__(self, seed: int = 3, truncates: bool = False):
        self.first, self.truncates, self.actions = seed, truncates, []

    def reset(self, *, seed=None, options=None):
        self.length = self.first if seed is None else seed
        self.count, self.options = 0, options
        return self._observation(), {"instruction": f"count to {self.length}", "is_success": False}

    def step(self, action):
        self.actions.append(float(action[0]))
        self.count += 1
        ended = self.count == self.length
        info = {"instruction": f"count to {self.length}", "is_success": ended and self.length % 2 == 0}
        return self._observation(), 0.0, ended and not self.truncates, ended and self.truncates, info

    def _observation(self):
        return {"count": np.array([10.0 * self.count])}


class Echo:
    """Acts what it sees plus one, and remembers what it was asked."""

    def __init__(self):
        self.resets, self.batches, self.words = [], [], []

    def act(self, observations):
        self.batches.append(observations.get("running"))
        self.words.append(tuple(observations["instruction"]))
        return observations["count"][:, None] + 1

    def reset(self, mask):
        self.resets.append(mask.tolist())


def test_an_episode_looks_before_every_step():
    env, policy = CountingEnv(4), Echo()
    assert run_episode(env, policy, "count", max_steps=9) == (True, 4)
    assert env.actions == [1, 11, 21, 31]
    assert policy.resets == [[True]] and set(policy.words) == {("count",)}


@pytest.mark.parametrize(("env", "limit", "steps"), [(CountingEnv(3, True), 9, 3), (CountingEnv(9), 5, 5)])
def test_an_end_is_no_success(env, limit, steps):
    assert run_episode(env, Echo(), "count", limit) == (False, steps)


def test_no_steps_are_no_episode():
    assert run_episode(CountingEnv(), Echo(), "count", 0) == (False, 0)


def test_wilsons_interval_is_the_textbooks():
    """Values of the textbook (Brown, Cai and DasGupta) and of R's `binom.confint`."""
    assert wilson_interval(20, 20) == pytest.approx((0.8389, 1.0), abs=5e-5)
    assert wilson_interval(14, 20) == pytest.approx((0.4810, 0.8545), abs=5e-5)
    assert wilson_interval(0, 10) == pytest.approx((0.0, 0.2775), abs=5e-5)
    assert wilson_interval(100, 100) == pytest.approx((0.9630, 1.0), abs=5e-5)
    low, high = wilson_interval(14, 20, z=1.0)
    assert 0.48 < low < 0.7 < high < 0.85


def test_half_way_between_rate_and_one_half():
    """The middle of the interval is the rate after z² more episodes, half of them successes."""
    low, high = wilson_interval(3, 12)
    assert (low + high) / 2 == pytest.approx((3 + 1.96**2 / 2) / (12 + 1.96**2))


@pytest.mark.parametrize(("successes", "episodes"), [(3, 2), (-1, 5), (0, 0)])
def test_impossible_counts_are_refused(successes, episodes):
    with pytest.raises(ValueError, match=f"got {successes}"):
        wilson_interval(successes, episodes)


def test_many_at_once_in_the_order_of_the_seeds():
    envs, policy, seeds = [CountingEnv() for _ in range(2)], Echo(), [5, 2, 1, 4]
    found = evaluate(policy, envs, seeds)
    assert [episode.seed for episode in found.episodes] == seeds == [e.steps for e in found.episodes]
    assert [episode.success for episode in found.episodes] == [False, True, False, True]
    assert [episode.instruction for episode in found.episodes] == [f"count to {seed}" for seed in seeds]
    # Environment 1 takes 2, then 1, then 4, each from its beginning; environment 0 is left idle while 4 is counted to.
    assert envs[1].actions == [1, 11, 1, 1, 11, 21, 31] and envs[0].actions == [1, 11, 21, 31, 41]
    assert policy.resets[0] == [True, True] and sum(mask[1] for mask in policy.resets) == 3
    assert [mask.tolist() for mask in policy.batches[-2:]] == [[False, True]] * 2
    assert found.successes == 2 and found.rate == 0.5 and str(found) == "2/4 (15–85 %)"
    assert found.interval == wilson_interval(2, 4)


def test_starts_are_pinned_for_all_or_for_each_seed():
    env = CountingEnv()
    evaluate(Echo(), [env], [2], options={"table": 1})
    assert env.options == {"table": 1}
    evaluate(Echo(), [env], [1, 2], options=lambda seed: {"table": seed})
    assert env.options == {"table": 2}


def test_a_limit_ends_what_does_not_end():
    found = evaluate(Echo(), [CountingEnv()], [8], max_steps=3)
    assert found.episodes[0].steps == 3 and not found.episodes[0].success


def test_nothing_to_evaluate_is_refused():
    for envs, seeds in (([], [1]), ([CountingEnv()], [])):
        with pytest.raises(ValueError, match="at least one environment and one seed"):
            evaluate(Echo(), envs, seeds)


def test_the_tabletop_tells_what_was_touched_and_what_was_done():
    """Two experts for two tables: one does what is scored, one what is said."""
    envs = [TabletopEnv(verbs=("touch",)) for _ in range(2)]

    class Experts:
        def __init__(self, obey):
            self.experts = [TabletopExpert(env, obey=obey) for env in envs]

        def act(self, observations):
            asked = zip(self.experts, observations["running"], strict=True)
            return np.array([[expert.act() if on else np.zeros(7)] for expert, on in asked])

        def reset(self, mask):
            pass

    assert isinstance(Experts(False), Policy)
    wrong = {"task": "touch", "things": [("red", "cube"), ("blue", "can")], "wrong_instruction": True}
    deaf, obedient = (evaluate(Experts(obey), envs, range(3), options=wrong) for obey in (False, True))
    assert deaf.successes == 3 and not any(episode.told_success for episode in deaf.episodes)
    assert obedient.successes == 0 and all(episode.told_success for episode in obedient.episodes)
    assert all(episode.touched in episode.instruction for episode in obedient.episodes)
    assert all(episode.failure.endswith("first") for episode in obedient.episodes)


def test_one_environment_is_a_batch_of_one():
    batch = batch_of_one({"count": np.array([7.0])}, "count")
    assert batch["count"].shape == (1, 1) and batch["instruction"] == ["count"]


def test_an_evaluation_counts():
    row = EpisodeResult(0, "touch the red cube", True, True, "red cube", "", 5)
    assert str(Evaluation((row,) * 20)) == "20/20 (84–100 %)"
