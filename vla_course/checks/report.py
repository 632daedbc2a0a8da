"""What a learner sees: the exercises of a lesson, and a verdict on each that reads without a traceback.

A check is a generator of claims. Every claim that holds is printed with a ✓; the first that does not ends the check
with what was expected, what came back, how the function was called, and a hint.
"""

import linecache
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import wraps
from importlib import import_module
from inspect import isclass
from types import TracebackType
from typing import Any

from vla_course import progress
from vla_course.checks.calls import NO_RULES, Call, Rules, Watched, judged_call, watch_class
from vla_course.checks.claims import Claim, show, show_short
from vla_course.checks.feedback import CheckFailed, CodeFailed, Feedback, Unfinished, message

Check = Callable[[Any], Iterator[Claim]]


@dataclass(frozen=True)
class WorkedCase:
    """One case worked by hand: the call, the steps as (what, value) rows, and the answer it must give.

    `call` is Python over the exercise's function, with `np`, `torch` and the day's `checks`; a test evaluates it and
    compares it with `answer`.
    """

    call: str
    steps: tuple[tuple[str, str], ...]
    answer: Any
    tolerance: float = 1e-3

    def __str__(self) -> str:
        width = max(len(what) for what, _ in self.steps)
        rows = [f"    {what:<{width}}   {value}" for what, value in self.steps]
        return "\n".join([self.call, *rows, f"    → {show(self.answer)}"])


@dataclass(frozen=True)
class Exercise:
    """What the course knows about one exercise; the notebook's header and the checks are written from it."""

    number: str
    library: str
    minutes: int
    difficulty: int
    hints: tuple[str, str, str]
    case: WorkedCase
    rules: Rules = NO_RULES

    @property
    def module(self) -> str:
        """The library module that holds the answer."""
        return self.library.split(":")[0]

    @property
    def name(self) -> str:
        """`gae`, or `LoRALinear.forward` for one method of a class."""
        return self.library.split(":")[1]

    @property
    def answer(self) -> Any:
        """The library's own function or method."""
        found: Any = import_module(self.module)
        for part in self.name.split("."):
            found = getattr(found, part)
        return found

    @property
    def way_out(self) -> str:
        """One line of code that takes the library's answer, so that nobody is stuck."""
        if "." in self.name:
            return f'checks.borrow("{self.name}")'
        return f"from {self.module} import {self.name}"


@dataclass
class Lesson:
    """The exercises of one day, in order. `checks/dayNN.py` makes one and hangs its checks on it."""

    day: str
    exercises: dict[str, Exercise] = field(default_factory=dict)
    checks: dict[str, Callable[[Any], None]] = field(default_factory=dict)

    def exercise(
        self,
        number: str,
        *,
        library: str,
        minutes: int,
        difficulty: int,
        hints: tuple[str, str, str],
        case: WorkedCase,
        rules: Rules = NO_RULES,
    ) -> Callable[[Check], Callable[[Any], None]]:
        """Turn a generator of claims into the check of one exercise."""
        task = Exercise(number, library, minutes, difficulty, hints, case, rules)
        self.exercises[task.name] = task

        def decorate(check: Check) -> Callable[[Any], None]:
            @wraps(check)
            def run(attempt: Any) -> None:
                status: progress.Status = "error"
                said = f"the check of exercise {number} was interrupted"
                try:
                    _report_claims(task, check, attempt)
                    status, said = "done", ""
                    if _is_borrowed(task, attempt):
                        status = "borrowed"
                        print(
                            f"  (borrowed from the library: exercise {task.number} counts as borrowed, not as done)"
                        )
                except Feedback as feedback:
                    status, said = _STATUS[type(feedback)], str(feedback)
                    raise
                finally:
                    progress.record(self.day, task.number, task.name, status, said)

            self.checks[task.name] = run
            return run

        return decorate

    def show_case(self, name: str) -> None:
        """Print the case worked by hand for one exercise, named by its number ("04.2") or its function."""
        print(self._find(name).case)

    def borrow(self, name: str) -> Any:
        """Put the library's answer in place of yours in the running notebook, mark the exercise borrowed, return the answer.

        The exercise is named by its number ("04.2") or its function. For a method, the method is put into the notebook's
        class, and returned.
        """
        task = self._find(name)
        notebook = vars(sys.modules["__main__"])
        owner, _, method = task.name.rpartition(".")
        if not owner:
            notebook[method] = task.answer
        elif owner not in notebook:
            raise CodeFailed(f"run the cell that defines {owner} first, then borrow {name} again") from None
        else:
            setattr(notebook[owner], method, task.answer)
        progress.record(self.day, task.number, task.name, "borrowed", "")
        print(
            f"{task.name} is now the library's, from {task.module}; exercise {task.number} counts as borrowed."
        )
        return task.answer

    def _find(self, name: str) -> Exercise:
        for task in self.exercises.values():
            if name in (task.name, task.number):
                return task
        known = ", ".join(f"{task.number} {task.name}" for task in self.exercises.values())
        raise ValueError(f"{self.day} has no exercise {name!r}; it has {known}") from None


_STATUS: dict[type[Feedback], progress.Status] = {
    Unfinished: "not finished",
    CheckFailed: "wrong",
    CodeFailed: "error",
}


def _report_claims(task: Exercise, check: Check, attempt: Any) -> None:
    if not callable(attempt):
        raise CodeFailed(f"✗ {task.name} is {show_short(attempt)}: it should be the function that you wrote")
    watched, calls = watch(task, attempt)
    claims = check(watched)
    while True:
        try:
            claim = next(claims)
            failed = _claim_failed(claim, calls) if claim.problem is not None else ""
        except StopIteration:
            return
        except NotImplementedError:
            raise Unfinished(_unfinished(task)) from None
        except Exception as error:
            if isinstance(error, Feedback):
                raise
            raise CodeFailed(_code_failed(task, attempt, calls, error)) from None
        if failed:
            raise CheckFailed(failed) from None
        print(f"✓ {claim.text}")


def watch(task: Exercise, attempt: Any) -> tuple[Any, list[Call]]:
    """What the check gets in place of the attempt, and the list that its calls are added to."""
    method = task.name.rpartition(".")[2]
    if not isclass(attempt):
        function = Watched(attempt, task.name, task.rules)
        return function, function.calls
    if not hasattr(attempt, method):
        raise CodeFailed(f"✗ your {attempt.__name__} has no method {method}: was it renamed?")
    function = Watched(getattr(attempt, method), task.name, task.rules)
    return watch_class(attempt, method, function), function.calls


def _unfinished(task: Exercise) -> str:
    return (
        f"… exercise {task.number}, {task.name}, is not finished yet.\n"
        f"  Replace `raise NotImplementedError` in the cell above; the three hints there open one by one,\n"
        f'  and checks.show_case("{task.number}") prints a case worked by hand.\n'
        f"  To go on with the library's answer: {task.way_out}"
    )


def _claim_failed(claim: Claim, calls: list[Call]) -> str:
    rows = [
        ("call", judged_call(claim, calls)),
        ("expected", show(claim.expected)),
        ("got", show(claim.got)),
        ("hint", claim.problem or ""),
    ]
    return message(claim.text, rows)


def _code_failed(task: Exercise, attempt: Any, calls: list[Call], error: Exception) -> str:
    last = calls[-1] if calls else Call("")
    line = _line_of(attempt, error.__traceback__)
    rows = [("call", last.text), ("error", f"{type(error).__name__}: {error}")]
    if line:
        return message(
            f"your {task.name} stopped with an error", [*rows, (f"in your line {line[0]}", line[1])]
        )
    if not last.returned:
        rows += [("hint", "no line of yours stopped: compare what your function takes with the call")]
        return message(f"your {task.name} stopped with an error", rows)
    hint = (
        "the check could not go on with what your function returned: compare it with what the text asks for"
    )
    rows += [("got", show(last.result)), ("hint", hint)]
    return message(f"what your {task.name} returns cannot be judged", rows)


def _line_of(attempt: Any, trace: TracebackType | None) -> tuple[int, str] | None:
    """The innermost line of the traceback that stands in the learner's own code."""
    functions = vars(attempt).values() if isclass(attempt) else [attempt]
    files = {f.__code__.co_filename for f in functions if hasattr(f, "__code__")}
    for frame, number in reversed(list(traceback.walk_tb(trace))):
        if frame.f_code.co_filename in files:
            return number, linecache.getline(frame.f_code.co_filename, number).strip()
    return None


def _is_borrowed(task: Exercise, attempt: Any) -> bool:
    method = task.name.rpartition(".")[2]
    mine = getattr(attempt, method, None) if isclass(attempt) else attempt
    return mine is task.answer
