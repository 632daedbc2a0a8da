"""The model as a policy: who is asked, what it sees, what it is told."""

import numpy as np
import pytest
from openvla_reference import nano

from vla_course.envs.tabletop.config import TabletopConfig
from vla_course.openvla.processor import build_prompt
from vla_course.policies.openvla import BRIDGE, OpenVLAPolicy, bridge_to_tabletop, tabletop_policy
from vla_course.policy import Policy

rng = np.random.default_rng(0)
PICTURES = rng.integers(0, 256, (3, 28, 28, 3), dtype=np.uint8)
WORDS = ["touch the cube", "pick up the can", "touch the star"]
OBSERVATIONS = {"image_close": PICTURES, "instruction": WORDS}


@pytest.fixture(scope="module")
def model():
    """Its seven numbers reach beyond what an environment takes, so that clipping shows."""
    statistics = {"q01": [-3.0] * 7, "q99": [3.0] * 7, "mask": [True] * 6 + [False]}
    return nano(norm_stats={"tabletop": {"action": statistics}})


def test_one_action_for_each_environment_within_bounds(model):
    policy = OpenVLAPolicy(model)
    assert isinstance(policy, Policy) and policy.image_size == (28, 28)
    chunks = policy.act(OBSERVATIONS)
    wanted = np.clip(model.predict_action(list(PICTURES), WORDS, "tabletop"), -1, 1)
    assert chunks.shape == (3, 1, 7) and chunks.dtype == np.float32
    np.testing.assert_allclose(chunks[:, 0], wanted, atol=1e-6)
    assert np.abs(chunks).max() == 1


def test_environments_that_are_over_are_not_asked(model, monkeypatch):
    whole = OpenVLAPolicy(model).act(OBSERVATIONS)
    running = np.array([True, False, True])
    asked = []
    predict = model.predict_action
    monkeypatch.setattr(
        model, "predict_action", lambda i, w, k, **o: asked.extend(w) or predict(i, w, k, **o)
    )
    chunks = OpenVLAPolicy(model).act(OBSERVATIONS | {"running": running})
    assert asked == [WORDS[0], WORDS[2]]
    np.testing.assert_allclose(chunks[running], whole[running], atol=1e-6)
    assert (chunks[1] == 0).all()
    assert (OpenVLAPolicy(model).act(OBSERVATIONS | {"running": ~running & False}) == 0).all()


def test_words_of_our_own_and_another_look(model):
    said = OpenVLAPolicy(model, instruction=WORDS[1])
    alone = OpenVLAPolicy(model).act({"image_close": PICTURES, "instruction": [WORDS[1]] * 3})
    np.testing.assert_array_equal(said.act({"image_close": PICTURES}), alone)
    dark = OpenVLAPolicy(model, look=lambda pictures: pictures * 0)
    np.testing.assert_array_equal(
        dark.act(OBSERVATIONS), OpenVLAPolicy(model).act(OBSERVATIONS | {"image_close": PICTURES * 0})
    )
    assert not np.array_equal(dark.act(OBSERVATIONS), OpenVLAPolicy(model).act(OBSERVATIONS))


def test_one_text_is_said_to_all_environments(model):
    one = OpenVLAPolicy(model).act({"image_close": PICTURES, "instruction": WORDS[0]})
    np.testing.assert_array_equal(
        one, OpenVLAPolicy(model).act({"image_close": PICTURES, "instruction": [WORDS[0]] * 3})
    )


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"instruction": WORDS[:2]}, "one instruction for each of 3 environments, got 2"),
        (
            {"running": np.ones(2, bool)},
            r"running: want True or False for each of 3 environments, got bool of shape \(2,\)",
        ),
        ({"running": np.ones(4, bool)}, r"got bool of shape \(4,\)"),
        ({"running": np.array([0, 1, 2])}, "running: .* got int64"),
    ],
)
def test_other_counts_than_of_environments_are_refused(model, more, message):
    with pytest.raises(ValueError, match=message):
        OpenVLAPolicy(model).act(OBSERVATIONS | more)


def test_what_does_not_fit_is_said_at_once(model):
    with pytest.raises(ValueError, match="tabletop"):
        OpenVLAPolicy(model, unnorm_key="bridge_orig")
    with pytest.raises(KeyError, match=r"cameras=\('top',\)"):
        OpenVLAPolicy(model, camera="top").act(OBSERVATIONS)


def test_the_prompt_is_the_one_given(model):
    def shouted(instruction):
        return build_prompt(instruction).upper()

    mine, theirs = OpenVLAPolicy(model, build_prompt=shouted), OpenVLAPolicy(model)
    assert not np.array_equal(mine.act(OBSERVATIONS), theirs.act(OBSERVATIONS))
    wanted = model.predict_action(list(PICTURES), WORDS, "tabletop", build_prompt=shouted)
    np.testing.assert_allclose(mine.act(OBSERVATIONS)[:, 0], np.clip(wanted, -1, 1), atol=1e-6)


def test_bridges_metres_become_the_tabletops_numbers():
    config = TabletopConfig()
    said = np.array([[config.translation_m, -config.translation_m / 2, 0, config.rotation_rad, 0, 0, 0.0]])
    np.testing.assert_allclose(bridge_to_tabletop(said), [[1, -0.5, 0, 1, 0, 0, -1]])
    np.testing.assert_allclose(bridge_to_tabletop(0 * said + [[0, 0, 0, 0, 0, 0, 1]])[0, 6], 1)


def test_a_model_of_another_table_is_understood(model):
    """BridgeData's statistics give metres; the same tokens with ours give the same motion."""
    statistics = {
        "q01": [-0.12] * 3 + [-0.2] * 3 + [0],
        "q99": [0.12] * 3 + [0.2] * 3 + [1],
        "mask": [True] * 7,
    }
    bridge = nano(norm_stats={BRIDGE: {"action": statistics}})
    unit = {"q01": [-1] * 7, "q99": [1] * 7, "mask": [True] * 7}
    ours = nano(norm_stats={"tabletop": {"action": unit}})
    np.testing.assert_allclose(
        tabletop_policy(bridge).act(OBSERVATIONS), tabletop_policy(ours).act(OBSERVATIONS), atol=1e-6
    )
    with pytest.raises(ValueError, match=BRIDGE):
        tabletop_policy(nano(norm_stats={"moon": {"action": unit}}))
