"""The laws that every check of every day keeps.

A check accepts the library, takes the stub for unfinished, and rejects each known mistake with the hint that belongs to
it. The known mistakes are the tables MISTAKES in test_dayNN.py: exercise -> [(wrong answer, fragment of its hint)].
"""

import importlib
import inspect
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from vla_course.checks.calls import Call
from vla_course.checks.claims import Claim, same
from vla_course.checks.feedback import CheckFailed, Unfinished
from vla_course.checks.kinds import kind_problem
from vla_course.checks.notebook import days, lesson_of
from vla_course.checks.report import Exercise, watch

EXERCISES = [(day, name) for day in days() for name in lesson_of(day).exercises]
MISTAKES = {day: importlib.import_module(f"tests.checks.test_{day}").MISTAKES for day in days()}
KNOWN = [(day, name, *row) for day, name in EXERCISES for row in MISTAKES[day].get(name, [])]
OPERAND = r"[\w.√½²ᵀ⁻¹()\[\]{}'|]+"
FORMULA = re.compile(rf"{OPERAND}(?:(?: [-+−±*] | ?(?:\*\*|//|[×·/@]) ?){OPERAND}){{2,}}")
"""Two operations in a row, as in `prefill_s + action_dim * token_s`; not where all of it is numbers."""
# Days whose checks still print a formula, or call the function more often than a dozen times: these lists only shrink.
FORMULAS_TO_MEND: set[tuple[str, str]] = set()
MANY_CALLS_TO_MEND: set[tuple[str, str]] = set()


def exercise(day: str, name: str) -> tuple[Exercise, Callable[[Any], None]]:
    lesson = lesson_of(day)
    return lesson.exercises[name], lesson.checks[name]


def owner(task: Exercise) -> Any:
    """What a notebook hands to the check: the function, or the class whose method is the exercise."""
    return getattr(importlib.import_module(task.module), task.name.split(".")[0])


def claims_of(day: str, name: str) -> tuple[list[Claim], list[Call]]:
    """The claims of one check over the library's answer, and its calls."""
    task, check = exercise(day, name)
    answer, calls = watch(task, owner(task))
    return list(inspect.unwrap(check)(answer)), calls


@pytest.mark.parametrize(("day", "name"), EXERCISES)
def test_the_librarys_answer_is_accepted(day, name, capsys):
    task, check = exercise(day, name)
    check(owner(task))
    claims = [line for line in capsys.readouterr().out.splitlines() if line.startswith("✓ ")]
    assert len(claims) == len(set(claims)) >= 2, "a check is a list of different claims"


@pytest.mark.parametrize(("day", "name"), EXERCISES)
def test_the_stub_is_not_finished_yet(day, name):
    task, check = exercise(day, name)

    def stub(*args, **kwargs):
        raise NotImplementedError

    attempt = owner(task)
    attempt = (
        type(attempt.__name__, (attempt,), {task.name.split(".")[1]: stub})
        if inspect.isclass(attempt)
        else stub
    )
    with pytest.raises(Unfinished, match="is not finished yet") as caught:
        check(attempt)
    assert str(caught.value).endswith(task.way_out)


@pytest.mark.parametrize(("day", "name", "mistake", "hint"), KNOWN)
def test_a_known_mistake_gets_the_hint_that_belongs_to_it(day, name, mistake, hint):
    with pytest.raises(CheckFailed) as caught:
        exercise(day, name)[1](mistake)
    said = str(caught.value).partition("hint: ")[2]
    assert hint in said


@pytest.mark.parametrize(("day", "name"), EXERCISES)
def test_every_mistake_has_a_value_of_its_own(day, name):
    """A mistake with the expected value can never be told, nor one with the value of another mistake."""
    for claim in claims_of(day, name)[0]:
        values = [claim.expected, *claim.mistakes.values()]
        for place, hint in enumerate(claim.mistakes, start=1):
            for other in values[:place]:
                alike = kind_problem(values[place], other) is None
                assert not (alike and same(values[place], other, claim.tolerance)), f"{claim.text}: {hint}"


@pytest.mark.parametrize(("day", "name"), EXERCISES)
def test_a_first_wrong_try_is_told_where_to_look_and_no_formula(day, name):
    found = [text for claim in claims_of(day, name)[0] for text in FORMULA.findall(claim.hint)]
    found = [text for text in found if any(letter.isalpha() for letter in text)]
    assert bool(found) == ((day, name) in FORMULAS_TO_MEND), found


@pytest.mark.parametrize(("day", "name"), EXERCISES)
def test_a_check_calls_the_function_a_dozen_times(day, name):
    assert (len(claims_of(day, name)[1]) > 15) == ((day, name) in MANY_CALLS_TO_MEND)


@pytest.mark.parametrize(("day", "name"), EXERCISES)
def test_at_least_three_mistakes_are_known(day, name):
    assert len({row[0] for row in MISTAKES[day].get(name, [])}) >= 3


@pytest.mark.parametrize("day", days())
def test_mistakes_belong_to_exercises(day):
    assert set(MISTAKES[day]) == set(lesson_of(day).exercises)


@pytest.mark.parametrize(("day", "name"), EXERCISES)
def test_the_worked_case_gives_its_answer(day, name):
    task, _ = exercise(day, name)
    names = {task.name.split(".")[0]: owner(task), "np": np, "math": math, "torch": torch}
    names["checks"] = importlib.import_module(f"vla_course.checks.{day}")
    answer = eval(task.case.call, names)
    assert kind_problem(answer, task.case.answer) is None
    assert same(answer, task.case.answer, task.case.tolerance)


@pytest.mark.parametrize(("day", "name"), EXERCISES)
def test_every_exercise_declares_its_price_and_three_hints(day, name):
    task, check = exercise(day, name)
    assert re.fullmatch(rf"{day.removeprefix('day')}\.\d", task.number)
    assert 3 <= task.minutes <= 30
    assert task.difficulty in (1, 2, 3)
    assert len(task.hints) == 3 and all(len(hint) > 20 for hint in task.hints)
    assert len(set(task.hints)) == 3
    assert check.__name__ == f"check_{task.name.replace('.', '_').lower()}" or "." in task.name
    assert owner(task).__doc__, "the docstring is the exercise's text"


def test_the_count_of_known_mistakes_is_printed(capsys):
    with capsys.disabled():
        print(f"\n{len(KNOWN)} known mistakes in {len(EXERCISES)} exercises, each rejected with its own hint")
    assert len(KNOWN) >= 3 * len(EXERCISES) > 0
