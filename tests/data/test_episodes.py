"""Demonstrations are what was seen, what should have been done, and what was done."""

import dataclasses

import gymnasium
import jaxtyping
import numpy as np
import pytest
from gymnasium import spaces

from vla_course.data.demonstrations import CollectConfig, demonstration_env
from vla_course.data.episodes import Episode, collect, replay, state_vector


class Counting(gymnasium.Env):
    """The picture and the state say how much has been done; done when the sum of the actions is above 2."""

    def __init__(self):
        self.observation_space = spaces.Dict(
            {
                "image_top": spaces.Box(0, 255, (4, 6, 3), np.uint8),
                "sum": spaces.Box(-9, 9, (2,), np.float32),
                "steps": spaces.Box(0, 99, (1,), np.float32),
            }
        )
        self.action_space = spaces.Box(-1, 1, (2,), np.float32)
        self.options: list[dict | None] = []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.options.append(options)
        self.sum, self.steps = self.np_random.uniform(-1, 0, 2), 0
        return self._see(), {"instruction": "count to two", "is_success": False}

    def step(self, action):
        assert action.dtype == np.float32 and (np.abs(action) <= 1).all()
        self.sum, self.steps = self.sum + action, self.steps + 1
        done = bool(self.sum.sum() > 2)
        return self._see(), 0.0, done, self.steps == 9, {"instruction": "count to two", "is_success": done}

    def _see(self):
        image = np.full((4, 6, 3), self.steps, np.uint8)
        return {
            "image_top": image,
            "sum": self.sum.astype(np.float32),
            "steps": np.array([self.steps], np.float32),
        }


class Halfway:
    """Goes half of what is missing, and knows it from the environment, not from what is seen."""

    def __init__(self, env):
        self.env = env

    def act(self, observation):
        return np.clip(0.3 + 0.1 * self.env.sum, -1, 1)


KEYS = {"camera": "top", "state": ("sum", "steps")}


def counted(seeds=(5, 6), **options) -> list[Episode]:
    env = Counting()
    return list(collect(env, Halfway(env), seeds, **{**KEYS, **options}))


def test_frames_are_what_was_there_before_the_action():
    first, _ = counted()
    length = len(first.actions)
    assert first.images.shape == (length, 4, 6, 3) and first.states.shape == (length, 3)
    assert first.images[:, 0, 0, 0].tolist() == list(range(length))
    assert first.states[:, 2].tolist() == list(range(length))
    np.testing.assert_allclose(first.states[1:, :2] - first.states[:-1, :2], first.actions[:-1], atol=1e-6)
    np.testing.assert_allclose(first.actions, 0.3 + 0.1 * first.states[:, :2], atol=1e-6)
    assert (first.instruction, first.success, first.seed) == ("count to two", True, 5)
    assert first.executed is None and first.carried_out is first.actions


def test_failures_are_recorded_as_such():
    (short,) = counted(seeds=[5], max_steps=2)
    assert len(short.actions) == 2 and not short.success


def test_noise_changes_what_is_done_and_not_what_is_learned():
    (episode,) = counted(seeds=[5], noise=np.array([0.2, 0.0]))
    assert episode.executed is not None
    np.testing.assert_allclose(episode.actions, 0.3 + 0.1 * episode.states[:, :2], atol=1e-6)
    moved = episode.states[1:, :2] - episode.states[:-1, :2]
    np.testing.assert_allclose(moved, episode.executed[:-1], atol=1e-6)
    difference = np.abs(episode.executed - episode.actions)
    assert difference[:, 0].min() > 1e-4 and difference[:, 1].max() == 0
    assert np.std(
        np.concatenate([e.executed - e.actions for e in counted(range(40), noise=0.2)])
    ) == pytest.approx(0.2, rel=0.1)


def test_noise_may_drift():
    def pushes(drift: float) -> np.ndarray:
        return np.stack(
            [e.executed[:3] - e.actions[:3] for e in counted(range(300), noise=0.05, drift=drift)]
        )

    for drift in (0.0, 0.7):
        first, second, third = np.moveaxis(pushes(drift), 1, 0).reshape(3, -1)
        assert np.std(third) == pytest.approx(0.05, rel=0.1), "as wide at every step"
        assert np.corrcoef(first, second)[0, 1] == pytest.approx(drift, abs=0.1)
        assert np.corrcoef(first, third)[0, 1] == pytest.approx(drift**2, abs=0.1)
    with pytest.raises(ValueError, match="below 1"):
        counted(drift=1.0)


def test_a_mishap_is_carried_out_and_not_learned():
    (plain,) = counted(seeds=[5])
    (episode,) = counted(seeds=[5], mishap=lambda action, luck: np.array([action[0], 0.1]))
    assert episode.executed is not None and np.allclose(episode.executed[:, 1], 0.1)
    np.testing.assert_allclose(episode.actions, 0.3 + 0.1 * episode.states[:, :2], atol=1e-6)
    assert len(plain.actions) < len(episode.actions)


def test_an_episode_depends_on_its_seed_and_not_on_those_before_it():
    together = counted(seeds=(5, 6), noise=0.2)[1]
    alone = counted(seeds=(6,), noise=0.2)[0]
    for field in dataclasses.fields(Episode):
        assert np.array_equal(getattr(together, field.name), getattr(alone, field.name)), field.name


def test_options_pin_every_start_or_follow_from_the_seed():
    env = Counting()
    list(collect(env, Halfway(env), [1, 2], options={"yaw": 1}, **KEYS))
    list(collect(env, Halfway(env), [3], options=lambda seed: {"yaw": seed}, **KEYS))
    assert env.options == [{"yaw": 1}, {"yaw": 1}, {"yaw": 3}]


class HalfwayPolicy:
    """The same as a policy: for many environments at once, and in chunks."""

    def __init__(self):
        self.resets = 0

    def act(self, observations):
        assert observations["instruction"] == ["count to two"]
        return np.stack([0.3 + 0.1 * observations["sum"], np.ones((1, 2))], axis=1)

    def reset(self, mask):
        self.resets += 1
        assert mask.tolist() == [True]


def test_a_policy_demonstrates_as_an_expert_does():
    policy = HalfwayPolicy()
    shown = list(collect(Counting(), policy, [5, 6], **KEYS))
    for ours, theirs in zip(counted(), shown, strict=True):
        np.testing.assert_allclose(ours.actions, theirs.actions, atol=1e-6)
    assert policy.resets == 2


def test_what_the_environment_does_not_show_is_named():
    with pytest.raises(
        KeyError, match=r"no observation 'image_front'.* make the environment with cameras=\('front',\)"
    ):
        counted(camera="front")
    with pytest.raises(KeyError, match="no observation 'end_effector' here: there are image_top, steps, sum"):
        counted(state="end_effector")


def test_state_vectors_put_observations_side_by_side():
    observation = {"a": np.array([[1, 2], [3, 4]]), "b": np.array([5.0])}
    assert state_vector(observation, ("b", "a")).tolist() == [5, 1, 2, 3, 4]
    assert state_vector(observation, "a").dtype == np.float32


def test_an_episode_that_teaches_nothing_is_refused(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    good = counted()[0]

    def refused(words: str, **changes) -> None:
        with pytest.raises(ValueError, match=words):
            dataclasses.replace(good, **changes)

    bad = good.actions.copy()
    bad[1, 0] = np.nan
    refused("actions of the episode of seed 5 are not finite in frame 1", actions=bad)
    refused(
        "states of the episode of seed 5 are not finite in frame 0", states=np.full_like(good.states, np.inf)
    )
    refused("want as many of each", states=good.states[1:])
    refused("at least one", images=good.images[:0], states=good.states[:0], actions=good.actions[:0])
    refused("executed", executed=good.actions[:, :1])


# --- the real thing


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_a_demonstrations_actions_fold_the_towel_again_bit_for_bit(noise):
    config = CollectConfig(env="FoldTowel-v0", image_size=(28, 28), noise=noise)
    env, expert = demonstration_env(config)
    spread = np.where(np.isin(np.arange(14), (6, 13)), 0.0, noise)
    (episode,) = collect(env, expert, [40_000_002], camera="close", noise=spread)
    assert episode.success and episode.instruction == env.get_wrapper_attr("instruction")
    assert episode.images.shape[1:] == (28, 28, 3) and episode.states.shape[1] == 16
    assert len(np.unique(episode.images[0].reshape(-1, 3), axis=0)) > 50, "there is something to see"
    last = replay(env, episode)
    assert last["is_success"]
    frames = list(collect(env, _Recorded(episode.carried_out), [episode.seed], camera="close"))
    np.testing.assert_array_equal(frames[0].images, episode.images)
    np.testing.assert_array_equal(frames[0].states, episode.states)
    env.close()


class _Recorded:
    """Says what was recorded, without looking."""

    def __init__(self, actions):
        self._actions = iter(actions)

    def act(self, observation):
        return next(self._actions)
