"""Of all that was said about where a hand goes, since it last took hold or let go, the median counts."""

import numpy as np
import pytest
import torch

from tests.data.test_waypoints import KEY, root, speaking  # noqa: F401  (root is a fixture)
from vla_course.action_tokens import detokenize_actions, unnormalize_actions
from vla_course.data.waypoints import PLACES
from vla_course.policies.openvla import OpenVLAPolicy
from vla_course.policies.waypoint_memory import WaypointMemory

NOTHING, LEFT = np.zeros(16), np.eye(16)[14]
ENVS = np.array([0])


def heard(memory, said, state=NOTHING, envs=ENVS):
    return memory.recall(envs, np.array([state] * len(envs)), np.atleast_2d(np.asarray(said, float)))


def test_the_median_of_all_looks():
    memory = WaypointMemory(list(PLACES))
    said = np.array([[0.1, 0.2, 0.3, 0.4], [0.3, 0.2, 0.1, 0.6], [0.2, 0.9, 0.2, 0.5]])
    found = [heard(memory, row)[0] for row in said]
    np.testing.assert_allclose(found[0], said[0])
    np.testing.assert_allclose(found[1], said[:2].mean(0))
    np.testing.assert_allclose(
        found[2], [0.2, 0.2, 0.2, 0.5], err_msg="one wild look counts for no more than one"
    )
    assert said[2].tolist() == [0.2, 0.9, 0.2, 0.5], "what is given stays as it is"


def test_a_hand_that_takes_hold_goes_elsewhere_and_the_other_does_not():
    memory = WaypointMemory(list(PLACES))
    heard(memory, [0.1, 0.1, 0.1, 0.1])
    found = heard(memory, [0.5, 0.7, 0.3, 0.3], LEFT)[0]
    np.testing.assert_allclose(found, [0.5, 0.7, 0.2, 0.2])
    found = heard(memory, [0.9, 0.9, 0.9, 0.9])[0]  # lets go again
    np.testing.assert_allclose(found, [0.9, 0.9, 0.3, 0.3])


def test_environments_do_not_mix_and_a_reset_forgets():
    memory, two = WaypointMemory(list(PLACES)), np.array([0, 3])
    heard(memory, [[0.0] * 4, [1.0] * 4], envs=two)
    np.testing.assert_allclose(heard(memory, [[0.2] * 4, [0.8] * 4], envs=two), [[0.1] * 4, [0.9] * 4])
    memory.reset(np.array([3]))
    np.testing.assert_allclose(heard(memory, [[0.1] * 4, [0.4] * 4], envs=two), [[0.1] * 4, [0.4] * 4])


# --- the model acts on what is recalled


@pytest.fixture(scope="module")
def model(root):  # noqa: F811
    return speaking(root)[0]


def asked(model, count: int) -> dict:
    images = [np.full((28, 28, 3), 40 * k, np.uint8) for k in range(count)]
    states = np.linspace(-0.4, 0.4, 16 * count).reshape(count, 16)
    return {"image": images, "instruction": ["fold the towel"] * count, "unnorm_key": KEY, "state": states}


def test_to_recall_what_was_said_changes_nothing(model):
    given = asked(model, 3)
    np.testing.assert_allclose(
        model.predict_action(**given, recall=lambda said: said), model.predict_action(**given), atol=1e-9
    )


def test_the_action_follows_what_is_recalled(model):
    """By hand: what is recalled stands behind the prompt in place of what was said, with the ways to it."""
    given, heard_places = asked(model, 1), []
    said = model.predict_waypoints(**given)
    elsewhere = said + 0.1

    def recall(places):
        heard_places.append(places)
        return elsewhere

    found = model.predict_action(**given, recall=recall)
    np.testing.assert_allclose(heard_places[0], said, atol=1e-9)
    words = torch.from_numpy(model.waypoint_tokens(elsewhere, given["state"], KEY))
    inputs = model._process(given["image"], given["instruction"], model.state_tokens(given["state"], KEY))
    inputs["input_ids"] = torch.cat([inputs["input_ids"], words], 1)
    inputs["attention_mask"] = torch.cat([inputs["attention_mask"], torch.ones_like(words)], 1)
    ids = model.predict_token_ids(**inputs, action_dim=14)
    stats = {name: np.array(value) for name, value in model.config.norm_stats[KEY]["action"].items()}
    numbers = detokenize_actions(ids.numpy(), model.config.vocabulary_size)
    wanted = unnormalize_actions(numbers, stats["q01"], stats["q99"], stats["mask"])
    np.testing.assert_allclose(found, wanted, atol=1e-9)


def test_who_says_none_recalls_none(root):  # noqa: F811
    model, *_ = speaking(root, ())
    with pytest.raises(ValueError, match="says no waypoints"):
        model.predict_action(**asked(model, 1), recall=lambda said: said)
    assert OpenVLAPolicy(model, unnorm_key=KEY).memory is None


def test_the_policy_remembers_until_it_is_reset(model, monkeypatch):
    policy = OpenVLAPolicy(model, unnorm_key=KEY)
    looks = iter(np.array([[[0.0] * 4, [0.5] * 4], [[0.2] * 4, [0.7] * 4], [[0.3] * 4, [0.9] * 4]]))
    used = []

    def predict(image, instruction, unnorm_key, *, state, build_prompt, recall):
        used.append(recall(next(looks)[: len(image)]))
        return np.zeros((len(image), 14))

    monkeypatch.setattr(model, "predict_action", predict)
    seen = {
        "image_close": np.zeros((2, 28, 28, 3), np.uint8),
        "end_effector": np.zeros((2, 16)),
        "instruction": ["fold the towel"] * 2,
    }
    policy.reset(np.ones(2, bool))
    policy.act(seen)
    policy.act(seen)
    policy.reset(np.array([False, True]))
    policy.act(seen)
    np.testing.assert_allclose(np.array(used)[:, :, 0], [[0.0, 0.5], [0.1, 0.6], [0.2, 0.9]])
