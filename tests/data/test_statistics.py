"""Quantiles and what follows from them: OpenVLA's statistics, LeRobot's, and numbers normalised and back."""

import json

import jaxtyping
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from vla_course.action_tokens import action_statistics, normalize_actions, unnormalize_actions
from vla_course.data.episodes import Episode
from vla_course.data.statistics import (
    action_quantiles,
    aggregate_statistics,
    dataset_statistics,
    feature_statistics,
    grip_dimensions,
    normalized_dimensions,
    write_dataset_statistics,
)


def test_quantiles_are_over_all_frames_not_over_episodes():
    """A two-frame episode beside one of 198 frames from 0 to 100: 0.50 and 98.99, worked by hand from the sorted 200 numbers."""
    short, long = np.array([[0.0, 7.0], [100.0, 7.0]]), np.linspace(0, 100, 198)[:, None] * [1, 0] + [0, 7]
    q01, q99 = action_quantiles([short, long])
    together = np.sort(np.concatenate([short, long])[:, 0])
    by_hand = [
        together[1] + 0.99 * (together[2] - together[1]),
        together[197] + 0.01 * (together[198] - together[197]),
    ]
    np.testing.assert_allclose([q01[0], q99[0]], by_hand, atol=1e-12)
    np.testing.assert_allclose([q01[0], q99[0]], [0.5025, 99.4975], atol=1e-2)
    assert (q01[1], q99[1]) == (7, 7)
    for flipped in (action_quantiles([long, short]), action_quantiles([np.concatenate([short, long])])):
        np.testing.assert_array_equal(flipped, [q01, q99])


def test_grips_and_the_stage_signal_are_places_and_stay_as_they_are():
    assert grip_dimensions(14) == [6, 13] and grip_dimensions(7) == [6] and grip_dimensions(15) == [6, 13]
    assert np.flatnonzero(~normalized_dimensions(7)).tolist() == [6]
    assert np.flatnonzero(~normalized_dimensions(14)).tolist() == [6, 13]
    assert np.flatnonzero(~normalized_dimensions(15)).tolist() == [6, 13, 14]


def episode(frames: int, actions: int = 14, seed: int = 0) -> Episode:
    random = np.random.default_rng(seed)
    states, moves = random.standard_normal((frames, 14)), random.standard_normal((frames, actions))
    for numbers in (states, moves):
        numbers[:, 6::7] = np.tanh(numbers[:, 6::7])  # grips
    return Episode(
        np.zeros((frames, 2, 2, 3), np.uint8),
        states.astype(np.float32),
        moves.astype(np.float32),
        "fold the towel",
        True,
        seed,
    )


def test_statistics_in_openvlas_form(tmp_path):
    episodes = [episode(30, seed=1), episode(3, seed=2)]
    found = dataset_statistics(iter(episodes), "fold_towel")
    write_dataset_statistics(tmp_path / "dataset_statistics.json", found)
    read = json.loads((tmp_path / "dataset_statistics.json").read_text())
    assert read == found and list(tmp_path.iterdir()) == [tmp_path / "dataset_statistics.json"]
    entry = read["fold_towel"]
    assert (entry["num_trajectories"], entry["num_transitions"]) == (2, 33)
    actions = np.concatenate([one.actions for one in episodes]).astype(float)
    states = np.concatenate([one.states for one in episodes]).astype(float)
    for name, frames in (("action", actions), ("proprio", states)):
        assert sorted(entry[name]) == ["mask", "max", "mean", "min", "q01", "q99", "std"]
        np.testing.assert_allclose(entry[name]["mean"], frames.mean(0), atol=1e-12)
        np.testing.assert_allclose(entry[name]["q99"], np.quantile(frames, 0.99, axis=0), atol=1e-6)
        assert entry[name]["mask"] == [k not in (6, 13) for k in range(14)]
    known = action_statistics(read, "fold_towel", of="proprio")
    np.testing.assert_array_equal(known.q01, entry["proprio"]["q01"])


def test_masks_may_be_told_and_must_fit():
    joints = [episode(5, actions=61)]
    mask = np.arange(61) < 60
    assert dataset_statistics(joints, "joints", action_mask=mask)["joints"]["action"]["mask"] == mask.tolist()
    with pytest.raises(ValueError, match="a mask of 60 numbers does not fit 61 dimensions"):
        dataset_statistics(joints, "joints", action_mask=mask[:60])


def test_mixed_dimensions_have_no_statistics():
    with pytest.raises(ValueError, match=r"actions of one length .* got lengths \[7, 14\]"):
        dataset_statistics([episode(3), episode(3, actions=7)], "mixed")
    with pytest.raises(ValueError, match=r"got lengths \[\]"):
        dataset_statistics([], "nothing")


# --- LeRobot's


@given(arrays.arrays(np.float32, (7, 3), elements=st.floats(-100, 100, width=32)))
def test_statistics_of_numbers_are_numpys(values):
    found = feature_statistics(values)
    rows = values.astype(float)
    for name, wanted in (
        ("min", rows.min(0)),
        ("max", rows.max(0)),
        ("mean", rows.mean(0)),
        ("std", rows.std(0)),
    ):
        np.testing.assert_allclose(found[name], wanted, atol=1e-9)
    for name, share in (("q01", 0.01), ("q10", 0.1), ("q50", 0.5), ("q90", 0.9), ("q99", 0.99)):
        np.testing.assert_allclose(found[name], np.quantile(rows, share, axis=0), atol=1e-9)
    assert found["count"].tolist() == [7]
    assert feature_statistics(np.arange(4))["mean"].shape == (1,)


def test_statistics_of_pictures_are_exact_though_only_counted():
    images = np.random.default_rng(0).integers(0, 256, (3, 5, 7, 3)).astype(np.uint8)
    images[..., 1] //= 50
    found = feature_statistics(images)
    pixels = images.reshape(-1, 3) / 255
    for name, wanted in (
        ("min", pixels.min(0)),
        ("max", pixels.max(0)),
        ("mean", pixels.mean(0)),
        ("std", pixels.std(0)),
    ):
        assert found[name].shape == (3, 1, 1)
        np.testing.assert_allclose(found[name].ravel(), wanted, atol=1e-12)
    for name, share in (("q01", 0.01), ("q10", 0.1), ("q50", 0.5), ("q90", 0.9), ("q99", 0.99)):
        np.testing.assert_allclose(found[name].ravel(), np.quantile(pixels, share, axis=0), atol=1e-12)
    assert found["count"].tolist() == [3]


def test_statistics_of_parts_add_up_to_those_of_the_whole():
    whole = np.random.default_rng(1).standard_normal((50, 4))
    parts = [{"action": feature_statistics(part)} for part in (whole[:7], whole[7:8], whole[8:])]
    added, wanted = aggregate_statistics(parts)["action"], feature_statistics(whole)
    for name in ("min", "max", "mean", "std", "count"):
        np.testing.assert_allclose(added[name], wanted[name], atol=1e-12)
    quantiles = [part["action"]["q90"] for part in parts]
    np.testing.assert_allclose(added["q90"], np.average(quantiles, axis=0, weights=[7, 1, 42]), atol=1e-12)


# --- numbers normalised (exercise 04.2), and back

Q01, Q99 = np.array([-1.0, 0.0, 0.05, 0.0]), np.array([1.0, 5.0, 0.05, 1.0])
MASK = np.array([True, True, True, False])


def test_normalised_by_hand():
    """Inside, clipped, a dimension that never changes, and a gripper, which is left alone."""
    np.testing.assert_allclose(
        normalize_actions(np.array([0, 10, 0.05, 0.7]), Q01, Q99, MASK), [0, 1, 0, 0.7]
    )
    np.testing.assert_allclose(
        normalize_actions(np.array([-0.5, 1.0, 3.0, -0.2]), Q01, Q99, MASK), [-0.5, -0.6, 0, -0.2]
    )


@given(arrays.arrays(np.float64, (5, 4), elements=st.floats(0, 1)))
def test_unnormalising_undoes_normalising_between_the_quantiles(shares):
    actions = Q01 + shares * (Q99 - Q01)
    there = normalize_actions(actions, Q01, Q99, MASK)
    assert (np.abs(there) <= 1).all()
    np.testing.assert_allclose(unnormalize_actions(there, Q01, Q99, MASK), actions, atol=1e-12)


def test_statistics_of_another_length_do_not_fit(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match="7 numbers do not fit statistics of 4"):
        normalize_actions(np.zeros(7), Q01, Q99, MASK)
