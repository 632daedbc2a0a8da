"""Numbers as tokens: the published tables, values worked by hand, and what holds for every number."""

import json

import jaxtyping
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from openvla_reference import DATA

from vla_course.action_tokens import (
    action_statistics,
    detokenize_actions,
    next_action_token,
    tokenize_actions,
    unnormalize_actions,
)

TABLES = json.loads((DATA / "action_tokens.json").read_text())
numbers = st.lists(st.floats(-1, 1), min_size=1, max_size=20).map(np.array)


def test_published_table_of_numbers():
    rows = TABLES["encode"]
    ids = tokenize_actions(np.array([row["action"] for row in rows]))
    assert ids.tolist() == [row["token_id"] for row in rows]


def test_published_table_of_tokens():
    rows = TABLES["decode"]
    actions = detokenize_actions(np.array([row["token_id"] for row in rows]))
    assert actions.tolist() == [row["normalized_action"] for row in rows]


def test_worked_by_hand():
    ids = tokenize_actions(np.array([-1, 0, 1, -2, 0.1, 0.5]))
    assert ids.tolist() == [31999, 31872, 31744, 31999, 31859, 31808]
    actions = detokenize_actions(np.array([31999, 31872, 31745, 31744]))
    np.testing.assert_allclose(actions, [-254 / 255, 0, 254 / 255, 254 / 255], atol=1e-15)


@given(numbers, st.sampled_from([32000, 512, 1024]))
def test_a_round_trip_is_off_by_half_a_bin_at_most(actions, size):
    ids = tokenize_actions(actions, size)
    assert ids.min() >= size - 256 and ids.max() < size
    assert np.abs(detokenize_actions(ids, size) - actions).max() <= 1 / 255 + 1e-12


def test_every_token_comes_back_except_that_the_two_lowest_mean_the_same():
    ids = np.arange(31744, 32000)
    back = tokenize_actions(detokenize_actions(ids))
    assert back.tolist() == [31745, *ids[1:]]


@given(numbers)
def test_larger_numbers_have_smaller_ids(actions):
    ids = tokenize_actions(np.sort(actions))
    assert (np.diff(ids) <= 0).all()


def test_shapes_are_kept():
    ids = tokenize_actions(np.zeros((2, 3, 7)))
    assert ids.shape == detokenize_actions(ids).shape == (2, 3, 7)


def test_no_token_for_what_is_no_number():
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match="finite"):
            tokenize_actions(np.array([0.0, bad]))


def test_the_next_token_is_an_action_whatever_the_rest_says():
    logits = torch.full((4, 32064), -3.0)
    logits[0, 2], logits[0, 31800] = 9, 8  # </s> first
    logits[1, 32050], logits[1, 31999] = 9, -2  # a padding column first
    logits[2, :31744], logits[2, 31744] = 0, -1  # all actions below zero
    logits[3, 31900] = 1
    assert next_action_token(logits).tolist() == [31800, 31999, 31744, 31900]
    assert next_action_token(logits[0, :512], 512).item() == 256
    with pytest.raises(ValueError, match="as many logits"):
        next_action_token(logits[:, :100])


def test_back_to_units():
    q01, q99 = np.array([-0.02, -0.01, 0, 0]), np.array([0.04, 0.03, 0.1, 1])
    actions = unnormalize_actions(np.array([-1, 0, 1, 0.7]), q01, q99, np.array([True, True, True, False]))
    np.testing.assert_allclose(actions, [-0.02, 0.01, 0.1, 0.7], atol=1e-15)


@pytest.fixture
def as_learners_run(monkeypatch):
    """Without the shape checks of the test suite, as in a notebook."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


def test_an_action_of_another_length_does_not_fit(as_learners_run):
    seven = np.ones(7)
    with pytest.raises(ValueError, match="61 numbers do not fit statistics of 7"):
        unnormalize_actions(np.zeros(61), -seven, seven, seven > 0)


def test_statistics_by_key():
    stats = json.loads((DATA / "dataset_statistics.json").read_text())
    assert action_statistics(stats, "fake_single_arm").mask.tolist() == [True] * 6 + [False]
    assert action_statistics(stats, "fake_no_mask").mask.all(), "no mask means all"
    assert len(action_statistics({"only": stats["fake_bimanual"]}).q01) == 14
    with pytest.raises(ValueError, match="fake_bimanual, fake_no_mask, fake_single_arm"):
        action_statistics(stats, "bridge_orig")
    with pytest.raises(ValueError, match="choose one with unnorm_key"):
        action_statistics(stats)
    with pytest.raises(ValueError, match="no action statistics"):
        action_statistics({}, "bridge_orig")


def test_statistics_that_do_not_fit_together():
    for nothing in ({}, {"action": {"mean": [0.0]}}):
        with pytest.raises(ValueError, match="hold no q01 and q99"):
            action_statistics({"mine": nothing})
    for broken in ({"q01": [0, 0], "q99": [1]}, {"q01": [0], "q99": [1], "mask": [True, False]}):
        with pytest.raises(ValueError, match="do not fit together"):
            action_statistics({"mine": {"action": broken}})
