"""Predictions are committed before they are revealed, and show the learner's calibration."""

import pytest

from vla_course import predictions, progress


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    monkeypatch.setenv("VLA_COURSE_HOME", str(tmp_path))


def test_a_prediction_is_kept_and_revealed(capsys):
    predictions.commit("day99.speed", guess=5.0, low=2.0, high=8.0, unit="Hz")
    predictions.reveal("day99.speed", 7.3)
    assert "You said 5 Hz, measured 7.3 Hz: inside your range." in capsys.readouterr().out
    assert progress.read("predictions")["day99.speed"]["measured"] == 7.3


def test_it_can_change_until_it_is_revealed(capsys):
    predictions.commit("day99.speed", guess=5.0, low=2.0, high=8.0)
    predictions.commit("day99.speed", guess=6.0, low=5.0, high=7.0)
    predictions.reveal("day99.speed", 9.0)
    predictions.commit("day99.speed", guess=9.0, low=9.0, high=9.0)
    assert progress.read("predictions")["day99.speed"]["guess"] == 6.0
    assert "outside your range" in capsys.readouterr().out


def test_a_second_run_keeps_the_first_measured_value():
    predictions.commit("day99.speed", guess=5.0, low=2.0, high=8.0)
    predictions.reveal("day99.speed", 7.0)
    predictions.reveal("day99.speed", 9.0)
    assert progress.read("predictions")["day99.speed"]["measured"] == 7.0


def test_an_empty_guess_is_asked_for_and_not_kept(capsys):
    predictions.commit("day99.speed", guess=None, low=None, high=None)
    predictions.reveal("day99.speed", 7.3)
    printed = capsys.readouterr().out
    assert "Write your guess" in printed
    assert "No prediction was committed" in printed
    assert progress.read("predictions") == {}


def test_a_guess_outside_its_own_range_is_refused():
    with pytest.raises(ValueError, match="your own range, 2 to 8"):
        predictions.commit("day99.speed", guess=9.0, low=2.0, high=8.0)


def test_the_calibration_plot_counts_what_fell_inside():
    for key, measured in (("a", 5.0), ("b", 7.9), ("c", 30.0)):
        predictions.commit(key, guess=5.0, low=4.0, high=8.0)
        predictions.reveal(key, measured)
    (axes,) = predictions.calibration_plot().axes
    assert axes.get_title() == "2 of 3 measured values inside your ranges"
    assert [point[0] for point in axes.collections[0].get_offsets()] == pytest.approx([0.0, 2.9 / 3, 3.0])


def test_a_value_that_was_computed_is_not_called_measured(capsys):
    predictions.reveal("day99.memory", 33.5, how="computed")
    predictions.commit("day99.memory", guess=30, low=20, high=40, unit="GB")
    predictions.reveal("day99.memory", 33.5, how="computed")
    printed = capsys.readouterr().out
    assert "Computed: 33.5." in printed and "You said 30 GB, computed 33.5 GB" in printed
    assert "easured" not in printed
