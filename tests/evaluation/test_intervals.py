"""Hand-worked gains, sample sizes, wrong words and token accuracy."""

import jaxtyping
import numpy as np
import pytest

from vla_course.evaluation.intervals import episodes_needed, paired_bootstrap
from vla_course.evaluation.language import wrong_instructions


def test_twelve_newly_won_of_a_hundred_are_six_to_nineteen_points():
    before = np.arange(100) < 40
    after = before | (np.arange(100) >= 88)
    low, high = paired_bootstrap(before, after, seed=0)
    assert low == pytest.approx(0.06, abs=0.006) and high == pytest.approx(0.19, abs=0.006)
    assert paired_bootstrap(after, before, seed=0) == pytest.approx((-high, -low), abs=0.011)
    assert paired_bootstrap(before, after, seed=0) == (low, high)


def test_pairs_know_more_than_two_rates():
    """The interval of the mean of differences, from the binomial in closed form: 12 of 100 differ."""
    before, after = np.zeros(100, bool), np.arange(100) < 12
    low, high = paired_bootstrap(before, after, seed=3)
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(0.12 * 0.88 / 100), abs=0.02)
    same = np.arange(50) % 2 == 0
    assert paired_bootstrap(same, same, seed=0) == (0.0, 0.0)


def test_starts_must_be_the_same(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    for before, after in ((np.ones(3, bool), np.ones(4, bool)), (np.ones(0, bool), np.ones(0, bool))):
        with pytest.raises(ValueError, match="same starts"):
            paired_bootstrap(before, after, seed=0)


def test_sample_sizes_of_the_textbook():
    assert episodes_needed(0.6, 0.7) == episodes_needed(0.7, 0.6) == 354
    assert episodes_needed(0.2, 0.6) == 20
    assert episodes_needed(0.6, 0.7, power=0.9) > 450


def test_the_promised_power_is_had():
    """Simulated: with that many episodes the difference is called in about four of five experiments."""
    count, rng = episodes_needed(0.2, 0.6), np.random.default_rng(0)
    a, b = (rng.binomial(count, rate, 4000) / count for rate in (0.2, 0.6))
    spread = np.sqrt((a * (1 - a) + b * (1 - b)) / count)
    called = np.abs(b - a) > 1.96 * np.maximum(spread, 1e-9)
    assert 0.75 < called.mean() < 0.9


@pytest.mark.parametrize("wrong", [(0.5, 0.5, 0.8), (1.2, 0.5, 0.8), (0.1, 0.5, 1.0), (0.1, 0.5, 0.2)])
def test_impossible_sample_sizes_are_refused(wrong):
    with pytest.raises(ValueError, match="got"):
        episodes_needed(*wrong)


def test_nobody_is_told_their_own_words():
    said = ["red"] * 3 + ["blue"] * 2 + ["green"]
    rng = np.random.default_rng(0)
    draws = [wrong_instructions(said, rng) for _ in range(20)]
    assert all(told != own for told_all in draws for told, own in zip(told_all, said, strict=True))
    assert {told for told_all in draws for told in told_all} == set(said)
    assert len({tuple(told_all) for told_all in draws}) > 15
    with pytest.raises(ValueError, match="say the same"):
        wrong_instructions(["red", "red"], rng)
