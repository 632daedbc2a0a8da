import numpy as np
import pytest
from shown_pictures import shown

from vla_course.evaluation.intervals import episodes_needed, paired_bootstrap
from vla_course.widgets.interval_playground import IntervalPlayground, outcomes, unpaired_interval


def test_outcomes_have_the_rates_that_were_asked_for():
    for first, second, episodes in ((15, 18, 20), (18, 15, 20), (0, 7, 10), (10, 10, 10), (60, 70, 100)):
        for alike in (0, 0.3, 1):
            before, after = outcomes(first, second, episodes, alike)
            assert (before.sum(), after.sum(), len(before)) == (first, second, episodes)


def test_alike_policies_differ_in_as_few_starts_as_their_rates_allow_others_in_as_many_as_chance_makes():
    before, after = outcomes(60, 70, 100, 1)
    assert ((after & ~before).sum(), (before & ~after).sum()) == (10, 0)
    before, after = outcomes(60, 70, 100, 0)
    assert ((after & ~before).sum(), (before & ~after).sum()) == (28, 18), "60 % of 30, 40 % of 70"


@pytest.mark.parametrize(
    "wrong", [(11, 5, 10, 0), (5, 11, 10, 0), (-1, 5, 10, 0), (5, 5, 10, 1.5), (0, 0, 0, 0)]
)
def test_impossible_outcomes_are_refused(wrong):
    with pytest.raises(ValueError, match="want 0 to"):
        outcomes(*wrong)


def test_rates_from_other_starts():
    """Worked from Wilson's ends, turned round, and the textbook's normal interval where episodes are many."""
    low, high = unpaired_interval(0, 10, 10)
    assert high == pytest.approx(1.0) and low == pytest.approx(1 - np.hypot(0.27753, 0.27753), abs=1e-4)
    low, high = unpaired_interval(30, 50, 100)
    assert unpaired_interval(50, 30, 100) == pytest.approx((-high, -low))
    spread = 1.96 * np.sqrt(0.3 * 0.7 / 1e6 + 0.25 / 1e6)
    assert unpaired_interval(300_000, 500_000, 1_000_000) == pytest.approx(
        (0.2 - spread, 0.2 + spread), abs=1e-5
    )


def test_the_same_starts_know_more_where_policies_are_alike_and_the_same_where_they_are_not():
    widget = IntervalPlayground()
    alike, chance = (widget.describe(200, 60, 70, alike) for alike in (100, 0))

    def width(state, name):
        return state[name][1] - state[name][0]

    assert width(alike, "paired") < 0.6 * width(alike, "unpaired")
    assert width(chance, "paired") == pytest.approx(width(chance, "unpaired"), rel=0.1)
    assert alike["unpaired"] == chance["unpaired"]


def test_the_recaps_question_is_the_first_thing_one_sees():
    state = IntervalPlayground().state
    assert (state["successes"], state["episodes"]) == ([15, 18], 20)
    assert state["unpaired"][0] < 0 < state["unpaired"][1]
    assert state["needed"] == episodes_needed(0.75, 0.9) == 97


def test_four_times_the_episodes_halve_the_interval():
    widths = dict(IntervalPlayground().describe(100, 60, 70, 50)["widths"])
    assert widths[400] == pytest.approx(widths[100] / 2, rel=0.05)
    assert widths[1000] == pytest.approx(1.96 * np.sqrt(0.45 / 1000), rel=0.02)


def test_sliders_change_what_is_told():
    widget = IntervalPlayground()
    widget.episodes, widget.first, widget.second = 400, 60, 60
    assert widget.state["successes"] == [240, 240] and widget.state["needed"] is None
    assert sum(widget.state[name] for name in ("both", "won", "lost", "neither")) == 400
    widget.second = 70
    assert widget.state["needed"] == 354 and widget.state["gain"] == pytest.approx(0.1)
    assert widget.state["unpaired"][0] > 0


def test_the_learners_functions_are_the_ones_that_run():
    widget = IntervalPlayground(lambda *given: paired_bootstrap(*given)[::-1], lambda *given: 7)
    assert widget.state["needed"] == 7 and widget.state["paired"][0] > widget.state["paired"][1]


def test_it_leaves_a_picture_and_says_it_in_words():
    widget = IntervalPlayground()
    drawn, words = shown(widget)
    assert words == widget.alt
    assert "20 episodes: -9 to +38 from other starts" in widget.alt
    assert drawn.shape[0] > 250 and drawn.shape[1] > 600 and drawn.std() > 10
