"""The learner's function as a check calls it: watched, limited in time, its input left alone, the printed call the judged one."""

import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from vla_course.checks import calls
from vla_course.checks.calls import Call, Rules, judged_call, last_call
from vla_course.checks.claims import Claim
from vla_course.checks.feedback import Feedback
from vla_course.checks.report import Check, Lesson, WorkedCase
from vla_course.checks.time_limit import TookTooLong, time_limit


def judge(check: Check, attempt: Any, library: str = "numpy:add", rules: Rules = calls.NO_RULES) -> str:
    """What a learner is told, or "" where all claims hold."""
    run = Lesson("day99").exercise(
        "99.1",
        library=library,
        minutes=5,
        difficulty=1,
        hints=("one", "two", "three"),
        case=WorkedCase(call="add(1, 2)", steps=(("", ""),), answer=3.0),
        rules=rules,
    )(check)
    try:
        run(attempt)
    except Feedback as feedback:
        return str(feedback)
    return ""


def adds_rows(add: Callable[..., Any]) -> Iterator[Claim]:
    yield Claim("rows add up", add(np.ones(2), np.ones(2)), np.full(2, 2.0), "add them")


def in_place(a, b):
    a += b
    return a


def test_changed_input_is_its_own_feedback():
    said = judge(adds_rows, in_place)
    assert said.startswith("✗ a call leaves what it is given as it was")
    assert "`a` is changed in place: it was [1., 1.], and is [2., 2.] now" in said
    assert "call:     add([1., 1.], [1., 1.])" in said
    assert judge(adds_rows, in_place, rules=Rules(may_change=("a",))) == ""


@pytest.mark.parametrize(
    ("given", "change", "words"),
    [
        ([1, 2], lambda x: x.append(3), "it had 2 items, and has 3 now"),
        ([2, 1], lambda x: x.sort(), "it was [2, 1], and is [1, 2] now"),
        ((torch.zeros(2), "word"), lambda x: x[0].fill_(1), "`x[0]` is changed in place"),
        ({"a": np.zeros(2)}, lambda x: x["a"].fill(1), "`x['a']` is changed in place"),
        ({"a": 1}, lambda x: x.pop("a"), "it is gone"),
        ({"a": 1}, lambda x: x.update(b=2), "it had the keys ['a'], and has ['a', 'b'] now"),
        (np.array([[1.0, 2.0]]), lambda x: x.resize((2, 1), refcheck=False), "its shape was (1, 2)"),
        (nn.Linear(1, 1).double(), lambda x: x.float(), "it was torch.float64, and is torch.float32 now"),
        (nn.Dropout(), lambda x: x.eval(), "`x.training` is changed in place"),
    ],
)
def test_whatever_holds_numbers_is_compared(given, change, words):
    def check(look: Callable[..., Any]) -> Iterator[Claim]:
        yield Claim("it looks", look(given), 0, "return 0")

    def look(x):
        change(x)
        return 0

    assert words in judge(check, look)


@pytest.mark.parametrize(
    ("given", "change"),
    [
        (np.ones(2), lambda x: x.fill(3)),
        (torch.ones(2), lambda x: x.mul_(3)),
        (["a", "b"], lambda x: x.clear()),
        ({"a": (np.ones(2),)}, lambda x: x["a"][0].fill(3)),
        ((np.ones(2), np.ones(2)), lambda x: [part.fill(3) for part in x] and None),
    ],
)
def test_a_checks_own_numbers_are_as_before_when_it_runs_again(given, change):
    """They are constants of the day: without that a mended function would fail, too."""

    def check(look: Callable[..., Any]) -> Iterator[Claim]:
        yield Claim("it looks", look(given), 0, "return 0")

    before = repr(given)
    assert "changed in place" in judge(check, lambda x: change(x) or 0)
    assert repr(given) == before
    assert "ZeroDivisionError" in judge(check, lambda x: 1 / (change(x) or 0))
    assert repr(given) == before


def test_input_that_stays_is_accepted():
    values = [
        np.array([np.nan, 1]),
        torch.tensor([float("nan")]),
        iter([1]),
        {"a": (None, "b", [1.5])},
        object(),
    ]

    def check(look: Callable[..., Any]) -> Iterator[Claim]:
        yield Claim("it looks", look(values, rng=np.random.default_rng(0)), 0, "return 0")

    assert judge(check, lambda values, rng: 0 * int(rng.integers(5))) == ""


class Layer(nn.Module):
    """A class whose method is the exercise."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))
        self.scale = 2.0

    def forward(self, x):
        return x * self.weight * self.scale


def scales(layer: type[Layer]) -> Iterator[Claim]:
    yield Claim(
        "the second call gives what the first gave", layer()(torch.ones(2)), torch.full((2,), 2.0), "scale it"
    )


def test_the_instances_of_a_class_are_watched():
    def changes_a_parameter(self, x):
        self.weight.data *= self.scale
        return x * self.weight

    def changes_a_number(self, x):
        self.scale += 1
        return x * 2.0

    def wrong(self, x):
        return Layer.forward(self, x) + 1

    library = f"{__name__}:Layer.forward"
    told = [
        judge(scales, type("Layer", (Layer,), {"forward": method}), library)
        for method in (Layer.forward, changes_a_parameter, changes_a_number, wrong)
    ]
    assert told[0] == ""
    assert "`self.weight` is changed in place" in told[1] and "Layer.forward([1., 1.])" in told[1]
    assert "`self.scale` is changed in place: it was 2, and is 3 now" in told[2]
    assert "scale it" in told[3] and "call:     Layer.forward([1., 1.])" in told[3]


def test_a_class_without_the_method_is_said_in_words():
    assert "has no method forward" in judge(scales, int, "torch.nn:Identity.forward")


@pytest.mark.parametrize(
    ("draw", "name"),
    [
        (lambda rng: random.random(), "`random`"),
        (lambda rng: np.random.rand(), "`np.random`"),
        (lambda rng: np.random.seed(3) or 0.5, "`np.random`"),
        (lambda rng: torch.rand(1).item(), "torch"),
    ],
)
def test_a_global_generator_is_a_mistake_where_chance_is_judged(draw, name):
    def check(draw: Callable[..., float]) -> Iterator[Claim]:
        yield Claim("it is a share", 0 <= draw(np.random.default_rng(0)) < 1, True, "between 0 and 1")

    said = judge(check, draw, rules=Rules(draws_from="`rng`"))
    assert name in said and "Draw from `rng` and from no other source of chance" in said
    assert judge(check, draw) == ""
    assert judge(check, lambda rng: rng.random(), rules=Rules(draws_from="`rng`")) == ""


def test_an_endless_loop_ends_with_a_message(monkeypatch):
    monkeypatch.setattr(calls, "LIMIT_S", 0.2)

    def endless(a, b):
        while True:
            try:
                time.sleep(0.01)
            except Exception:
                return 0

    said = judge(adds_rows, endless)
    assert "did not end within 0.2 s" in said and "a loop that never ends" in said
    assert "call:     add([1., 1.], [1., 1.])" in said


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such timer, and no limit")
def test_a_timer_set_before_goes_on():
    before = signal.signal(signal.SIGALRM, lambda *_: None)
    try:
        signal.setitimer(signal.ITIMER_REAL, 50)
        with pytest.raises(TookTooLong), time_limit(0.05):
            time.sleep(5)
        assert 45 < signal.getitimer(signal.ITIMER_REAL)[0] < 50
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_another_thread_has_no_limit():
    ended = []

    def run() -> None:
        with time_limit(0.05):
            time.sleep(0.2)
        ended.append(True)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert ended == [True]


@pytest.mark.parametrize(
    ("returns", "got", "words"),
    [
        (np.zeros(1), [1.0], "return a NumPy array, not a list"),
        (np.zeros(1), np.array([True]), "should be decimals (dtype float64), not True or False (dtype bool)"),
        (1, 3.0, "a whole number (an int), not 3.0"),
        ((True, 1), (1, 1), "value 1 of 2: return True or False"),
        ([""], ["a", 3], "value 2 of 2: return text, not a number"),
        (torch.zeros(1), torch.ones(2, 2).max(dim=0), "values and indices"),
    ],
)
def test_the_kind_is_said_before_anything_else(returns, got, words):
    def check(add: Callable[..., Any]) -> Iterator[Claim]:
        yield Claim("it is long enough", len(add(1, 2)), 5, "too short")

    assert words in judge(check, lambda a, b: got, rules=Rules(returns=returns))


def test_what_cannot_be_judged_is_no_traceback():
    def goes_on_with_it(add: Callable[..., Any]) -> Iterator[Claim]:
        yield Claim("its sum is 2", add(1, 2).sum(), 2.0, "add")

    class Odd:
        def __eq__(self, other):
            raise RuntimeError("no")

        def __hash__(self):
            return 0

    said = judge(goes_on_with_it, eval("lambda a, b: (1, 2)"))  # in another file than the check
    assert "cannot be judged" in said and "got:      (1, 2)" in said

    def compares(add: Callable[..., Any]) -> Iterator[Claim]:
        yield Claim("it is odd", add(1, 2), Odd(), "odd")

    assert "cannot be judged" in judge(compares, eval("lambda a, b: odd", {"odd": Odd()}))


def test_the_printed_call_is_the_one_that_was_judged():
    def check(add: Callable[..., Any]) -> Iterator[Claim]:
        first, second = add(1.5, 2.0), add(3.5, 4.0)
        yield Claim("1.5 + 2", first, 3.5, "add")
        yield Claim("both", [second, first], [7.5, 9.0], "add")

    assert "add(1.5, 2)" in judge(check, lambda a, b: a * b)
    assert "add(1.5, 2)" in judge(check, lambda a, b: a + b)


def test_a_claim_may_name_its_call():
    def check(add: Callable[..., Any]) -> Iterator[Claim]:
        seen = add(1, 2) > 3
        call = last_call(add)
        add(3, 4)
        yield Claim("more than 3", seen, True, "add", call=call)

    assert "add(1, 2)" in judge(check, lambda a, b: a + b)


def test_a_truth_value_tells_no_calls_apart():
    made = [Call("f(1)", True, True), Call("f(2)", 5, True)]
    assert judged_call(Claim("", True, False, ""), made) == "f(2)"
    assert judged_call(Claim("", 1.5, 2.5, ""), []) == ""
