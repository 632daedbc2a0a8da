"""The learning rate over a run, worked by hand, and the order of the samples."""

import numpy as np
import pytest

from vla_course.training.sample_order import Order
from vla_course.training.schedule import warmup_cosine


@pytest.mark.parametrize(("step", "rate"), [(0, 0.1), (4, 0.5), (9, 1.0), (10, 1.0), (60, 0.5), (110, 0.0)])
def test_a_warm_up_of_10_in_110_steps(step, rate):
    assert warmup_cosine(step, 10, 110, 1.0) == pytest.approx(rate, abs=1e-12)


def test_it_climbs_then_falls_and_scales_with_the_peak():
    rates = np.array([warmup_cosine(step, 7, 50, 3e-4) for step in range(50)])
    assert (np.diff(rates[:7]) > 0).all() and (np.diff(rates[7:]) < 0).all()
    assert rates.max() == pytest.approx(3e-4) and rates.min() > 0
    assert warmup_cosine(80, 7, 50, 3e-4) == 0
    assert warmup_cosine(0, 0, 50, 2.0) == 2


@pytest.mark.parametrize(("step", "warmup", "total"), [(-1, 1, 10), (0, 10, 10), (0, -1, 10)])
def test_impossible_schedules_are_refused(step, warmup, total):
    with pytest.raises(ValueError, match="want step ≥ 0 and 0 ≤ warmup < total"):
        warmup_cosine(step, warmup, total, 1.0)


def test_every_sample_comes_once_an_epoch_and_each_epoch_in_another_order():
    order = Order(10, 4, seed=3)
    seen = np.concatenate([order.batch(number) for number in range(5)])
    first, second = seen[:10], seen[10:]
    assert sorted(first) == sorted(second) == list(range(10))
    assert first.tolist() != second.tolist() != list(range(10))


def test_a_batch_depends_on_nothing_but_seed_and_number():
    assert np.array_equal(Order(10, 4, 3).batch(7), Order(10, 4, 3).batch(7))
    assert not np.array_equal(Order(10, 4, 3).batch(7), Order(10, 4, 4).batch(7))
    assert (
        Order(10, 4, 3).rng(7).random() == Order(10, 4, 3).rng(7).random() != Order(10, 4, 3).rng(8).random()
    )


def test_a_batch_may_be_larger_than_the_set():
    counts = np.bincount(Order(3, 7, 0).batch(0))
    assert sorted(counts.tolist()) == [2, 2, 3]


def test_what_is_used_is_what_the_batches_see():
    order = Order(100, 4, 1)
    seen = np.unique(np.concatenate([order.batch(number) for number in range(5)]))
    assert np.array_equal(order.used(5), seen) and len(order.used(25)) == 100


def test_nothing_to_order():
    with pytest.raises(ValueError, match="got 0 and 4"):
        Order(0, 4, 1)
