"""Plausible wrong answers, and correct ones that look different, through the real checks of the course.

    python run.py                 every day
    python run.py day03 day05     some days
    python run.py -v              with what each unexpected case was told

Each case is a function in dayNN.py with its expected class: `@wrong(exercise, fits)` must be caught, and what the learner
is told must match the regular expression `fits`; `@right(exercise)` must be accepted. Ends with 1 where fewer than 95 % of
the wrong answers are caught with a fitting hint, or where a correct answer is turned away.
"""

import contextlib
import importlib
import io
import os
import re
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

sys.dont_write_bytecode = True  # nothing is left beside the cases
WANTED_SHARE, LIMIT_S, SLOW_S = 0.95, 120, 2.0


class Case(NamedTuple):
    exercise: str
    expected: str
    """"caught" or "accepted"."""
    fits: str
    """What a fitting hint says: a regular expression over the hint, or over the message where the code stopped with an error."""


def wrong(exercise: str, fits: str) -> Callable[[Any], Any]:
    """A wrong answer. What is wrong stands in its docstring."""
    return lambda function: _mark(function, Case(exercise, "caught", fits))


def right(exercise: str) -> Callable[[Any], Any]:
    """A correct answer that looks different from the library's."""
    return lambda function: _mark(function, Case(exercise, "accepted", ""))


def _mark(function: Any, case: Case) -> Any:
    function.case = case
    return function


class Outcome(NamedTuple):
    kind: str
    """"fitting", "misleading", "hole", "crash" or "hang"; "accepted" or "false alarm"."""
    said: str
    seconds: float


def run_case(lesson: Any, function: Any) -> Outcome:
    """One case through the check of its exercise."""
    from vla_course.checks.report import Feedback

    case, exercise = function.case, lesson.exercises[function.case.exercise]
    attempt, _ = _attempt(exercise, function), exercise.answer  # imported before the clock runs
    torch.manual_seed(0)
    np.random.seed(0)
    began, printed = time.perf_counter(), io.StringIO()
    signal.alarm(LIMIT_S)
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            lesson.checks[case.exercise](attempt)
        verdict, said = "accepted", ""
    except Feedback as feedback:
        verdict, said = type(feedback).__name__, str(feedback)
    except TimeoutError:
        verdict, said = "hang", f"no end after {LIMIT_S} s"
    except Exception as error:  # a check must never stop with an error of its own
        verdict, said = "crash", f"{type(error).__name__}: {error}"
    finally:
        signal.alarm(0)
    seconds = time.perf_counter() - began
    if case.expected == "accepted":
        return Outcome("accepted" if verdict == "accepted" else "false alarm", said, seconds)
    if verdict == "accepted":
        return Outcome("hole", "", seconds)
    if verdict in ("crash", "hang"):
        return Outcome(verdict, said, seconds)
    about = said if verdict == "CodeFailed" else said.partition("hint:")[2]
    return Outcome("fitting" if re.search(case.fits, about, re.I | re.S) else "misleading", said, seconds)


def _attempt(exercise: Any, function: Any) -> Any:
    """What a notebook hands to the check: the function, or the class with this method in place of its own."""
    owner, _, method = exercise.name.rpartition(".")
    if not owner:
        return function
    cls = getattr(importlib.import_module(exercise.module), owner)
    return type(owner, (cls,), {method: function})


def cases_of(day: str) -> dict[str, Any]:
    """The cases of one day by name, in the order of the file."""
    module = importlib.import_module(day)
    return {
        name: found for name, found in vars(module).items() if isinstance(getattr(found, "case", None), tuple)
    }


def _timed_out(*_: Any) -> None:
    raise TimeoutError


def main(arguments: list[str]) -> int:
    os.environ["VLA_COURSE_HOME"] = tempfile.mkdtemp()  # a learner's own records stay as they are
    from vla_course.checks.notebook import lesson_of

    signal.signal(signal.SIGALRM, _timed_out)
    verbose = "-v" in arguments
    days = [word for word in arguments if word != "-v"] or sorted(
        path.stem for path in Path(__file__).parent.glob("day*.py")
    )
    total, fitting, alarms, odd = 0, 0, 0, []
    for day in days:
        lesson, count = (
            lesson_of(day),
            dict.fromkeys(("fitting", "misleading", "hole", "crash", "hang", "accepted", "false alarm"), 0),
        )
        slow = []
        cases = cases_of(day)
        for name, function in cases.items():
            outcome = run_case(lesson, function)
            count[outcome.kind] += 1
            if outcome.seconds > SLOW_S:
                slow.append(f"{name} {outcome.seconds:.1f} s")
            if outcome.kind not in ("fitting", "accepted"):
                number = lesson.exercises[function.case.exercise].number
                what = " ".join((function.__doc__ or "").split())
                odd.append(f"{outcome.kind:<11}  {number} {name}: {what}")
                if verbose and outcome.said:
                    odd[-1] += "\n" + "\n".join(
                        f"             | {line}" for line in outcome.said.splitlines()
                    )
        of_day = sum(function.case.expected == "caught" for function in cases.values())
        total, fitting, alarms = total + of_day, fitting + count["fitting"], alarms + count["false alarm"]
        print(
            f"{day}: caught with a fitting hint {count['fitting']}/{of_day}, misleading {count['misleading']}, "
            f"holes {count['hole']}, crashes {count['crash'] + count['hang']}; "
            f"correct ones accepted {count['accepted']}/{len(cases) - of_day}, false alarms {count['false alarm']}"
            + (f"; slower than {SLOW_S:g} s: {', '.join(slow)}" if slow else "")
        )
    print(*odd, sep="\n")
    share = fitting / total
    print(f"all: caught with a fitting hint {fitting}/{total} = {100 * share:.1f} %, false alarms {alarms}")
    return 0 if share >= WANTED_SHARE and not alarms else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
