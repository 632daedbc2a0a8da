"""Features of a frozen encoder, in one batched call a step, right where episodes end."""

import gymnasium
import jaxtyping
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from vla_course.envs.folding.config import FoldingConfig
from vla_course.envs.vector import make_vector_env
from vla_course.envs.wrappers import InstructionText
from vla_course.policies.vla_features import VLAFeatures


class Counting(gymnasium.Env):
    """Counts its steps up to `length`, starting at ten times the number of its episodes."""

    action_space = spaces.Box(-1, 1, (1,), np.float32)
    observation_space = spaces.Dict(
        {"count": spaces.Box(0, 999, (1,), np.float32), "word": spaces.Text(9, charset="abcdefgh ")}
    )

    def __init__(self, length: int) -> None:
        self.length, self.episodes = length, 0

    def observed(self):
        return {"count": np.array([10 * self.episodes + self.steps], np.float32), "word": "a b"}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episodes, self.steps = self.episodes + 1, 0
        return self.observed(), {}

    def step(self, action):
        self.steps += 1
        return self.observed(), 1.0, False, self.steps == self.length, {}


class Encoder:
    """Two features: the count, and the number of letters of the word. Remembers how many environments it saw in each call."""

    def __init__(self) -> None:
        self.batches = []

    def __call__(self, observations):
        self.batches.append(len(observations["count"]))
        assert len(observations["word"]) == len(observations["count"])
        letters = [len(word) for word in observations["word"]]
        return np.column_stack([observations["count"][:, 0], letters])


def make(mode: AutoresetMode, lengths=(2, 3)) -> tuple[VLAFeatures, Encoder]:
    env = SyncVectorEnv([lambda n=n: Counting(n) for n in lengths], autoreset_mode=mode)
    encoder = Encoder()
    features = VLAFeatures(env, encoder)
    encoder.batches.clear()
    return features, encoder


def test_features_are_added_with_their_space():
    env, encoder = make(AutoresetMode.SAME_STEP)
    assert env.num_features == 2
    assert env.single_observation_space["vla_features"] == spaces.Box(-np.inf, np.inf, (2,), np.float32)
    observations, _ = env.reset(seed=0)
    assert observations in env.observation_space and encoder.batches == [2]
    np.testing.assert_array_equal(observations["vla_features"], [[10, 3], [10, 3]])
    assert observations["vla_features"].dtype == np.float32


def test_same_step_ends_have_the_features_of_what_was_really_reached():
    env, encoder = make(AutoresetMode.SAME_STEP)
    env.reset(seed=0)
    zero = np.zeros((2, 1), np.float32)
    counts, finals = [], []
    for _ in range(6):
        observations, _, _, truncated, infos = env.step(zero)
        np.testing.assert_array_equal(observations["vla_features"][:, 0], observations["count"][:, 0])
        counts.append(observations["vla_features"][:, 0].tolist())
        for i in np.flatnonzero(truncated):
            final = infos["final_obs"][i]
            np.testing.assert_array_equal(final["vla_features"], [final["count"][0], 3])
            finals.append((int(i), float(final["vla_features"][0])))
        if not truncated.all() and truncated.any():
            assert infos["final_obs"][int(np.flatnonzero(~truncated)[0])] is None
    assert counts == [[11, 11], [20, 12], [21, 20], [30, 21], [31, 22], [40, 30]]
    assert finals == [(0, 12.0), (1, 13.0), (0, 22.0), (0, 32.0), (1, 23.0)]
    assert encoder.batches == [2, 2, 3, 3, 3, 2, 4]  # one call a step, ended episodes included


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED])
def test_other_autoreset_modes_need_no_more_rows(mode):
    env, encoder = make(mode, lengths=(2, 2))
    env.reset(seed=0)
    zero = np.zeros((2, 1), np.float32)
    for _ in range(2):
        observations, *_ = env.step(zero)
    np.testing.assert_array_equal(observations["vla_features"][:, 0], [12, 12])  # the end itself
    if mode is AutoresetMode.NEXT_STEP:
        observations, *_ = env.step(zero)
        np.testing.assert_array_equal(observations["vla_features"][:, 0], [20, 20])
    else:
        observations, _ = env.reset(options={"reset_mask": np.array([True, False])})
        np.testing.assert_array_equal(observations["vla_features"][:, 0], [20, 12])
    assert set(encoder.batches) == {2}


def test_the_vector_environment_below_is_left_as_it_is():
    env, _ = make(AutoresetMode.SAME_STEP)
    env.reset(seed=0)
    assert "vla_features" not in env.unwrapped.single_observation_space.spaces
    for _ in range(2):
        *_, infos = env.step(np.zeros((2, 1), np.float32))
    assert infos["_final_obs"].tolist() == [True, False]


def test_pictures_and_words_of_robots_in_other_processes_are_encoded_here():
    env = make_vector_env(
        "FoldTowel-v0",
        2,
        wrappers=[InstructionText],
        cameras=("top",),
        image_size=(16, 16),
        observations=("held",),
        config=FoldingConfig(time_limit_steps=2),
    )

    def encode(observations):
        brightness = observations["image_top"].reshape(len(observations["held"]), -1).mean(axis=1)
        return np.column_stack([brightness, [len(text) for text in observations["instruction"]]])

    features = VLAFeatures(env, encode, key="frozen")
    try:
        observations, _ = features.reset(seed=0)
        for step in range(2):
            brightness = observations["image_top"].reshape(2, -1).mean(axis=1)
            np.testing.assert_allclose(observations["frozen"][:, 0], brightness, rtol=1e-5)
            assert observations["frozen"][:, 1].tolist() == [len("fold the towel in half")] * 2
            observations, *_, infos = features.step(np.zeros((2, 61), np.float32))
            if step == 1:
                final = infos["final_obs"][0]
                assert final["frozen"][0] == pytest.approx(final["image_top"].mean(), rel=1e-5)
    finally:
        features.close()


def test_bad_encoders_are_one_clear_error(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    env = SyncVectorEnv([lambda: Counting(2)] * 2)
    with pytest.raises(ValueError, match=r"features of shape \(2, 'F'\), .*; got \(2,\)"):
        VLAFeatures(env, lambda observations: np.zeros(2))
    with pytest.raises(ValueError, match=r"got \(1, 4\)"):
        VLAFeatures(env, lambda observations: np.zeros((1, 4)))
    with pytest.raises(ValueError, match="have a key 'count' already"):
        VLAFeatures(env, lambda observations: np.zeros((2, 1)), key="count")
    with pytest.raises(TypeError, match="a Dict of observations"):
        VLAFeatures(gymnasium.make_vec("CartPole-v1", num_envs=2), lambda observations: np.zeros((2, 1)))
    widths = iter((3, 4))
    changing = VLAFeatures(env, lambda observations: np.zeros((2, next(widths))))
    with pytest.raises(ValueError, match=r"features of shape \(2, 3\)"):
        changing.reset()
