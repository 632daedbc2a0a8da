"""Hand-worked gains, intervals over trainings, sample sizes, wrong words and token accuracy."""

import jaxtyping
import numpy as np
import pytest
from scipy import stats

from vla_course.evaluation import studies
from vla_course.evaluation.intervals import (
    episodes_needed,
    interval_over_trainings,
    paired_bootstrap,
    student_quantile,
    wilson_interval,
)
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


def test_trainings_by_hand():
    """Two trainings: one degree of freedom, 12.706; five: 2.776, and a standard deviation of 0.1 √2.5."""
    assert interval_over_trainings(np.array([0.5, 0.7])) == pytest.approx(
        (0.6 - 1.2706, 0.6 + 1.2706), abs=1e-4
    )
    half = 2.7764 * 0.1 * np.sqrt(2.5 / 5)
    low, high = interval_over_trainings(np.array([0.4, 0.5, 0.6, 0.7, 0.8]))
    assert (low, high) == pytest.approx((0.6 - half, 0.6 + half), abs=1e-5)
    assert interval_over_trainings(np.full(3, 0.5)) == (0.5, 0.5)


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 9, 10, 99, 1000])
def test_students_quantiles_are_scipys(freedom):
    for share in (0.6, 0.9, 0.975, 0.995):
        assert student_quantile(share, freedom) == pytest.approx(stats.t.ppf(share, freedom), rel=1e-9)


def test_ten_recorded_trainings_say_less_than_a_thousand_episodes():
    """Each adapter is one draw of the recipe: 59–71 % and 57–68 %, where a thousand independent episodes would give 62–68 %."""
    study = studies.read("day07/towel")
    rates = {
        way: np.array([study[f"{way}_seed_{seed}"].evaluation.rate for seed in range(10)])
        for way in ("lora", "qlora")
    }
    found = {way: [round(100 * end) for end in interval_over_trainings(rates[way])] for way in rates}
    assert found == {"lora": [59, 71], "qlora": [57, 68]}
    assert [round(100 * end) for end in wilson_interval(654, 1000)] == [62, 68]


def test_one_training_says_nothing_about_a_recipe():
    with pytest.raises(ValueError, match="at least two trainings, got 1"):
        interval_over_trainings(np.array([0.5]))


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
