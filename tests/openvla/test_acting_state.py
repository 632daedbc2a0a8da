"""A model that is told where its hand is: the state in tokens, between prompt and empty token."""

import numpy as np
import pytest
import torch
from openvla_reference import nano

from vla_course.action_tokens import normalize_actions, tokenize_actions
from vla_course.openvla.processor import build_prompt
from vla_course.policies.openvla import OpenVLAPolicy

rng = np.random.default_rng(0)
PICTURES = rng.integers(0, 256, (3, 28, 28, 3), dtype=np.uint8)
WORDS = ["touch the cube", "pick up the can", "put the star on the plate"]
STATES = rng.uniform(-0.5, 0.5, (3, 4))
QUANTILES = {"q01": [-0.5, -0.5, 0.0, 0.25], "q99": [0.5, 0.5, 0.5, 0.25]}
NORM_STATS = {
    "tabletop": {"action": {"q01": [-1.0] * 7, "q99": [1.0] * 7, "mask": [True] * 7}, "proprio": QUANTILES},
    "elsewhere": {"action": {"q01": [-1.0] * 7, "q99": [1.0] * 7}},
}


@pytest.fixture(scope="module")
def model():
    return nano(norm_stats=NORM_STATS, state_dim=4)


def test_a_state_becomes_tokens_as_actions_do(model):
    q01, q99 = (np.array(QUANTILES[key]) for key in ("q01", "q99"))
    wanted = tokenize_actions(
        normalize_actions(STATES, q01, q99, np.ones(4, bool)), model.config.vocabulary_size
    )
    found = model.state_tokens(STATES, "tabletop")
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(model.state_tokens(STATES[1], "tabletop"), wanted[1])
    last = model.config.vocabulary_size
    # By hand: at q01 the lowest number, at q99 and beyond the highest, halfway the middle; what never changes is the middle.
    middle = last - 128
    said = model.state_tokens(np.array([-0.5, 0.9, 0.25, 3.0]), "tabletop")
    assert said.tolist() == [last - 1, last - 256, middle, middle]


def test_the_state_stands_between_prompt_and_empty_token(model):
    said = model.state_tokens(STATES, "tabletop")
    prompts = [build_prompt(words) for words in WORDS]
    inputs = model.processor(prompts, list(PICTURES), said)
    for row, prompt, tokens in zip(inputs["input_ids"], prompts, said, strict=True):
        ids = model.processor.token_ids(prompt).tolist()
        assert row[row != model.config.pad_token_id].tolist() == [*ids, *tokens, model.config.empty_token_id]
    training = model.processor(prompts, list(PICTURES), said, empty_token=False)
    assert training["input_ids"][:, -4:].tolist() == said.tolist()


def test_alone_and_in_a_batch_and_through_generate_it_says_the_same(model):
    together = model.predict_action(list(PICTURES), WORDS, "tabletop", state=STATES)
    for k in range(3):
        alone = model.predict_action(PICTURES[k], WORDS[k], "tabletop", state=STATES[k])
        np.testing.assert_allclose(alone, together[k], atol=1e-9)
    inputs = model.processor(
        [build_prompt(WORDS[0])], [PICTURES[0]], model.state_tokens(STATES[:1], "tabletop")
    )
    first = model.predict_token_ids(**inputs, action_dim=7)
    last = model.config.vocabulary_size
    written = model.generate(
        **inputs, max_new_tokens=7, do_sample=False, suppress_tokens=list(range(last - 256))
    )
    assert written[0, inputs["input_ids"].shape[1] :].tolist() == first[0].tolist()


def test_the_state_is_listened_to(model):
    moved = STATES + np.array([0.2, -0.2, 0.1, 0.0])
    features = [model.encode(list(PICTURES), WORDS, "tabletop", state=state) for state in (STATES, moved)]
    assert not torch.allclose(*features)


def test_what_it_is_told_survives_a_round_trip(model, tmp_path):
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path)
    assert again.config.state_dim == 4
    wanted = model.predict_action(PICTURES[0], WORDS[0], "tabletop", state=STATES[0])
    np.testing.assert_array_equal(
        again.predict_action(PICTURES[0], WORDS[0], "tabletop", state=STATES[0]), wanted
    )


def test_what_does_not_fit_is_said(model):
    with pytest.raises(ValueError, match=r"4 tokens of the robot's state"):
        model.predict_action(PICTURES[0], WORDS[0], "tabletop")
    with pytest.raises(ValueError, match=r"a state of 4 numbers.*\(3,\)"):
        model.predict_action(PICTURES[0], WORDS[0], "tabletop", state=STATES[0, :3])
    with pytest.raises(ValueError, match="2 prompts"):
        model.predict_action(list(PICTURES[:2]), WORDS[:2], "tabletop", state=STATES)
    with pytest.raises(ValueError, match=r"'elsewhere' hold no q01 and q99 of the robot's state"):
        model.predict_action(PICTURES[0], WORDS[0], "elsewhere", state=STATES[0])
    with pytest.raises(ValueError, match="finite"):
        model.predict_action(PICTURES[0], WORDS[0], "tabletop", state=np.full(4, np.nan))
    untold = nano(norm_stats=NORM_STATS)
    with pytest.raises(ValueError, match="told no state: leave it out"):
        untold.predict_action(PICTURES[0], WORDS[0], "tabletop", state=STATES[0])


def test_a_policy_tells_it_what_the_environments_show(model):
    observations = {
        "image_close": PICTURES,
        "instruction": WORDS,
        "end_effector": STATES,
        "running": np.array([True, False, True]),
    }
    chunks = OpenVLAPolicy(model).act(observations)
    wanted = model.predict_action(
        list(PICTURES[[0, 2]]), [WORDS[0], WORDS[2]], "tabletop", state=STATES[[0, 2]]
    )
    np.testing.assert_allclose(chunks[[0, 2], 0], np.clip(wanted, -1, 1), atol=1e-6)
    two_hands = observations | {"end_effector": np.hstack([STATES + 1, STATES])}
    np.testing.assert_array_equal(OpenVLAPolicy(model, state=slice(4, 8)).act(two_hands), chunks)
    del observations["end_effector"]
    with pytest.raises(KeyError, match="'end_effector' among its observations"):
        OpenVLAPolicy(model).act(observations)


def test_states_that_are_not_finite_are_refused(model):
    for bad in (np.nan, np.inf, -np.inf):
        states = STATES.copy()
        states[1, 2] = bad
        with pytest.raises(ValueError, match="the robot's state is not finite"):
            model.predict_action(list(PICTURES), WORDS, "tabletop", state=states)
