"""A residual policy corrects its base, chunk by chunk, and never leaves [-1, 1]."""

import jaxtyping
import numpy as np
import pytest

from vla_course.envs.vector import make_vector_env
from vla_course.envs.wrappers import ActionChunk
from vla_course.policies.residual import ResidualPolicy
from vla_course.policy import Policy


class Says:
    """Always the same chunk for each of two environments; remembers what it was asked and told."""

    def __init__(self, chunk) -> None:
        self.chunk = np.asarray(chunk, dtype=np.float32)
        self.seen, self.masks = [], []

    def act(self, observations):
        self.seen.append(dict(observations))
        return np.stack([self.chunk, -self.chunk])

    def reset(self, mask):
        self.masks.append(mask)


BASE = [[0.5, -0.9, 0.0], [0.2, 0.1, -0.3]]  # K = 2 actions of A = 3 numbers
MORE = [[1.0, -1.0, 0.5], [-1.0, 0.0, 1.0]]


def test_the_residual_is_added_scaled_and_clipped():
    policy = ResidualPolicy(Says(BASE), Says(MORE), scale=0.2)
    actions = policy.act({"x": np.zeros((2, 4))})
    wanted = np.array([[0.7, -1.0, 0.1], [0.0, 0.1, -0.1]])
    np.testing.assert_allclose(actions, np.stack([wanted, -wanted]), atol=1e-7)
    assert actions.dtype == np.float32 and isinstance(policy, Policy)


def test_each_number_can_have_its_own_scale_and_zero_leaves_the_base_alone():
    policy = ResidualPolicy(Says(BASE), Says(MORE), scale=np.array([0.0, 0.05, 1.0]))
    actions = policy.act({})[0]
    np.testing.assert_allclose(actions, [[0.5, -0.95, 0.5], [0.2, 0.1, 0.7]], atol=1e-7)


def test_the_residual_sees_what_it_corrects_and_the_base_does_not():
    base, residual = Says(BASE), Says(MORE)
    ResidualPolicy(base, residual).act({"x": np.zeros((2, 4))})
    assert set(base.seen[0]) == {"x"} and set(residual.seen[0]) == {"x", "base_action"}
    np.testing.assert_array_equal(residual.seen[0]["base_action"], np.stack([base.chunk, -base.chunk]))


def test_both_forget_together():
    base, residual = Says(BASE), Says(MORE)
    ResidualPolicy(base, residual).reset(np.array([True, False]))
    for policy in (base, residual):
        np.testing.assert_array_equal(policy.masks[0], [True, False])


def test_bad_input_is_one_clear_error(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    for scale in (-0.1, np.nan, np.array([0.1, -1.0, 0.0])):
        with pytest.raises(ValueError, match="finite and not negative"):
            ResidualPolicy(Says(BASE), Says(MORE), scale)
    with pytest.raises(ValueError, match=r"one shape \(N, K, A\): got \(2, 2, 3\) and \(2, 1, 3\)"):
        ResidualPolicy(Says(BASE), Says(MORE[:1])).act({})


def test_it_drives_environments_in_other_processes():
    """The policies stay here; only actions travel."""

    class Idle:
        def act(self, observations):
            return np.zeros((len(observations["stage"]), 2, 61), np.float32)

        def reset(self, mask):
            pass

    env = make_vector_env("FoldTowel-v0", 2, wrappers=[lambda one: ActionChunk(one, 2)])
    policy = ResidualPolicy(Idle(), Idle())
    try:
        observations, _ = env.reset(seed=0)
        policy.reset(np.ones(2, bool))
        observations, rewards, *_ = env.step(policy.act(observations))
        np.testing.assert_allclose(observations["time_left"], 1 - 2 / 160, atol=1e-6)
        assert rewards.shape == (2,)
    finally:
        env.close()
