"""Answers that others wrote, wrong ones and right ones that look different, through the check of their exercise.

The cases lie in tests/wrong_answers/dayNN.py, which are found by their names; `python tests/wrong_answers/run.py -v` prints
what each unexpected one is told.
"""

import importlib
import signal
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from vla_course.checks.notebook import lesson_of

CASES = Path(__file__).parents[1] / "wrong_answers"
sys.path.insert(0, str(CASES))
run = importlib.import_module("run")

DAYS = {path.stem: run.cases_of(path.stem) for path in sorted(CASES.glob("day*.py"))}
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signal.alarm")


@cache
def outcome(day: str, name: str) -> Any:
    before = signal.signal(signal.SIGALRM, run._timed_out)
    try:
        return run.run_case(lesson_of(day), DAYS[day][name])
    finally:
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize(("day", "name"), [(day, name) for day, cases in DAYS.items() for name in cases])
def test_an_answer_is_told_what_fits(day, name):
    found = outcome(day, name)
    assert found.kind in ("fitting", "accepted"), f"{found.kind}\n{found.said}"


@pytest.mark.parametrize("day", DAYS)
def test_few_wrong_answers_get_through_and_no_right_one_is_refused(day, capsys):
    kinds = [outcome(day, name).kind for name in DAYS[day]]
    wrong = [case.case.expected == "caught" for case in DAYS[day].values()].count(True)
    with capsys.disabled():
        print(f"\n{day}: {kinds.count('fitting')} of {wrong} wrong answers get the fitting hint")
    assert "false alarm" not in kinds
    assert kinds.count("fitting") >= run.WANTED_SHARE * wrong > 0


def test_every_exercise_of_a_day_has_wrong_answers_and_right_ones():
    for day, cases in DAYS.items():
        for expected in ("caught", "accepted"):
            named = {case.case.exercise for case in cases.values() if case.case.expected == expected}
            assert named == set(lesson_of(day).exercises), (day, expected)
