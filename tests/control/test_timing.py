import pytest

from vla_course.control.timing import control_rate_hz


def test_hand_worked_rates():
    assert control_rate_hz(0.05, 0.02, 7) == pytest.approx(1 / 0.19)
    assert control_rate_hz(0.05, 0.02, 61) == pytest.approx(1 / 1.27)
    assert control_rate_hz(0.05, 0.02, 7, chunk=8) == pytest.approx(8 / 1.17)


def test_longer_chunks_approach_the_rate_of_writing_alone():
    rates = [control_rate_hz(0.05, 0.02, 7, chunk=chunk) for chunk in (1, 2, 8, 1000)]
    assert rates == sorted(rates)
    assert rates[-1] == pytest.approx(1 / (7 * 0.02), rel=1e-3)


@pytest.mark.parametrize(
    "arguments",
    [(-0.1, 0.02, 7), (0.05, 0.0, 7), (0.05, 0.02, 0), (0.05, 0.02, 7, 0), (float("nan"), 0.02, 7)],
)
def test_refuses_times_and_counts_that_cannot_be(arguments):
    with pytest.raises(ValueError, match="want prefill_s"):
        control_rate_hz(*arguments)
