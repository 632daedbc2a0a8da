"""The verdicts a learner reads: right, unfinished, wrong, crashed, borrowed."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

from vla_course import progress
from vla_course.checks.claims import Claim, same, show, value_or_raised
from vla_course.checks.feedback import CheckFailed, CodeFailed, Unfinished
from vla_course.checks.kinds import kind_problem
from vla_course.checks.report import Lesson, WorkedCase

lesson = Lesson("day99")


@lesson.exercise(
    "99.1",
    library="numpy:add",
    minutes=5,
    difficulty=1,
    hints=("one", "two", "three"),
    case=WorkedCase(call="add(1.0, 2.0)", steps=(("first", "1"), ("first + second", "1 + 2")), answer=3.0),
)
def check_add(add: Callable[..., float]) -> Iterator[Claim]:
    yield Claim("1 + 2 = 3", add(1.0, 2.0), 3.0, "plus, not minus", mistakes={"you took the product": 2.0})
    yield Claim(
        "rows add up", add(np.ones(2), np.ones(2)), np.array([2.0, 2.0]), "add them element by element"
    )


def verdict(attempt: object, error: type[Exception]) -> str:
    with pytest.raises(error) as caught:
        check_add(attempt)
    assert caught.value._render_traceback_() == str(caught.value).splitlines()
    return str(caught.value)


def test_a_right_answer_prints_every_claim(capsys):
    check_add(lambda a, b: a + b)
    assert capsys.readouterr().out.splitlines() == ["✓ 1 + 2 = 3", "✓ rows add up"]
    assert progress.exercises("day99")["99.1"]["status"] == "done"


def test_a_stub_is_not_finished_and_names_the_way_out():
    def stub(a, b):
        raise NotImplementedError

    message = verdict(stub, Unfinished)
    assert "not finished yet" in message
    assert message.endswith("from numpy import add")
    assert progress.exercises("day99")["99.1"]["status"] == "not finished"


def test_a_wrong_value_gets_the_general_hint_and_shows_the_call():
    message = verdict(lambda a, b: a - b, CheckFailed)
    assert "plus, not minus" in message
    assert "add(1, 2)" in message
    assert "got:      -1" in message


def test_a_known_mistake_gets_its_own_hint():
    assert "you took the product" in verdict(lambda a, b: a * b, CheckFailed)


def test_the_first_false_claim_stops(capsys):
    verdict(lambda a, b: float(np.sum(a + b)), CheckFailed)
    assert capsys.readouterr().out.splitlines() == ["✓ 1 + 2 = 3"]


def test_no_return_is_said_in_words():
    assert "does its last line say `return`" in verdict(lambda a, b: None, CheckFailed)


def test_an_error_names_the_learners_own_line():
    def divides(a, b):
        zero = 0
        return a / zero

    message = verdict(divides, CodeFailed)
    assert "ZeroDivisionError" in message
    assert "return a / zero" in message
    assert progress.exercises("day99")["99.1"]["status"] == "error"


def test_a_wrong_signature_is_readable():
    message = verdict(lambda a: a, CodeFailed)
    assert "TypeError" in message
    assert "add(1, 2)" in message


def test_something_that_is_no_function():
    assert "should be the function" in verdict(3.0, CodeFailed)


def test_the_librarys_answer_counts_as_borrowed(capsys):
    check_add(np.add)
    assert "counts as borrowed" in capsys.readouterr().out
    assert progress.exercises("day99")["99.1"]["status"] == "borrowed"


def test_borrow_installs_the_answer_in_the_running_notebook(monkeypatch):
    notebook = sys.modules["__main__"]
    monkeypatch.setattr(notebook, "add", None, raising=False)
    assert lesson.borrow("add") is np.add is notebook.add
    notebook.add = None
    assert lesson.borrow("99.1") is notebook.add
    assert progress.exercises("day99")["99.1"]["status"] == "borrowed"


def test_unknown_exercise_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"it has 99\.1 add"):
        lesson.borrow("subtract")


def test_show_case_prints_the_worked_table(capsys):
    lesson.show_case("add")
    printed = capsys.readouterr().out
    lesson.show_case("99.1")
    assert capsys.readouterr().out == printed
    assert printed.splitlines()[0] == "add(1.0, 2.0)"
    assert printed.rstrip().endswith("→ 3")


@pytest.mark.parametrize(
    ("got", "expected", "words"),
    [
        ([1.0], np.ones(1), "return a NumPy array, not a list"),
        (torch.ones(1), np.ones(1), "return a NumPy array, not a torch tensor"),
        (np.ones(1), np.ones(1, int), "the numbers should be whole numbers (dtype int64), not decimals"),
        (np.ones(1, int), np.ones(1, bool), "should be True or False (dtype bool), not whole numbers"),
        (torch.ones(1).int(), torch.ones(1), "should be decimals (dtype torch.float32), not whole numbers"),
        (torch.ones(2, 2).max(dim=0), torch.ones(2), "not a pair: torch returns values and indices"),
        (Decimal(1), 1.0, "return a number, not a Decimal"),
        (1j, 1.0, "return a number, not a complex"),
        (True, 1.0, "return a number, not a truth value"),
        (354.0, 354, "a whole number (an int), not 354.0"),
        (np.float64(354), 354, "a whole number (an int), not 354.0"),
        (np.array([1.0, 2.0]), (1.0, 2.0), "return a tuple of 2 values, not a NumPy array"),
        ((1.0, "2"), (1.0, 2.0), "value 2 of 2: return a number, not text"),
        ({"a": 1.0}, {"b": 1.0}, "the keys should be ['b'], not ['a']"),
        ({"a": "1"}, {"a": 1.0}, "under 'a': return a number, not text"),
        ([1.0], {"a": 1.0}, "return a dictionary, not a list"),
        (np.ones((2, 1)), np.ones(2), "the shape is (2, 1), it should be (2,)"),
        (np.ones(2), 1.0, "return one number"),
        ("1", 1.0, "return a number, not text"),
        (1, True, "return True or False"),
        ((1, 2), (1, 2, 3), "return 3 values, not 2"),
        (1.0, [1.0], "return a list of 1 values"),
    ],
)
def test_another_kind_of_value_is_said_in_words(got, expected, words):
    assert words in (kind_problem(got, expected) or "")


def test_values_of_the_same_kind_compare_by_tolerance():
    assert kind_problem(np.float32(1.0), 1.0) is None
    for fine in (1, np.int64(1), np.ones(()), torch.ones(()), Fraction(1)):
        assert kind_problem(fine, 1.0) is None and same(fine, 1.0, 1e-5)
    for fine in (np.int64(2), torch.tensor(2), np.array(2)):
        assert kind_problem(fine, 2) is None and same(fine, 2, 1e-5)
    for fine in (np.True_, torch.tensor(True)):
        assert kind_problem(fine, True) is None and same(fine, True, 1e-5)
    for got, expected in [
        ([1.0], (1.0,)),
        (np.ones(1, int), np.ones(1)),
        (np.float32([1]), np.ones(1)),
        (torch.ones(1).bfloat16(), torch.ones(1)),
        (nn.Parameter(torch.ones(1)), torch.ones(1)),
        (np.uint8([1]), np.ones(1, int)),
    ]:
        assert kind_problem(got, expected) is None and same(got, expected, 1e-5)
    assert same([1, 2.0000001], [1, 2.0], 1e-5)
    assert not same(np.array([np.nan]), np.array([0.0]), 1e-5)
    assert show((0.123456789, np.ones(2))) == "(0.123457, [1., 1.])"


def test_a_damaged_progress_file_is_put_aside(monkeypatch, tmp_path):
    monkeypatch.setenv("VLA_COURSE_HOME", str(tmp_path))
    (tmp_path / "progress.json").write_text("{", encoding="utf-8")
    assert progress.exercises("day99") == {}
    progress.record("day99", "99.1", "add", "done", "")
    assert json.loads((tmp_path / "progress.json").read_text())["day99"]["99.1"]["status"] == "done"
    assert (tmp_path / "progress.damaged.json").exists()


def test_a_check_works_where_nothing_can_be_kept(monkeypatch, tmp_path, capsys):
    (tmp_path / "file").touch()
    monkeypatch.setenv("VLA_COURSE_HOME", str(tmp_path / "file" / "home"))
    check_add(lambda a, b: a + b)
    assert "could not be kept" in capsys.readouterr().out


def test_the_check_machinery_stays_light():
    code = "import sys, vla_course, vla_course.checks.report; print('torch' in sys.modules, 'mujoco' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert answer.split() == ["False", "False"]


def test_an_error_that_a_known_mistake_raises_is_printed_in_place_of_a_value():
    lesson_case = WorkedCase(call="take([1.0], 0)", steps=(("first", "1"),), answer=1.0)

    @Lesson("day99").exercise(
        "99.7", library="numpy:take", minutes=5, difficulty=1, hints=("one", "two", "three"), case=lesson_case
    )
    def check_take(take: Callable[..., float]) -> Iterator[Claim]:
        got = value_or_raised(lambda: take([1.0], 1), IndexError, "there is only place 0", ("range",))
        yield Claim("the first of one", got, 1.0, "look again")

    with pytest.raises(CheckFailed) as caught:
        check_take(lambda values, place: values[place])
    said = str(caught.value)
    assert "got:      IndexError: list index out of range" in said and "there is only place 0" in said
    assert "call:     take([1], 1)" in said

    def other_error(values, place):
        raise IndexError("another one")

    with pytest.raises(CodeFailed, match="another one"):
        check_take(other_error)
