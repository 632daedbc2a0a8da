"""One claim about the learner's code: words, the value it gave, the hand-worked value, and where to look if they differ."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vla_course.checks.kinds import is_array, is_number, is_tensor, kind_problem, numpy_of


@dataclass(frozen=True)
class Raised:
    """An error that a known mistake raises, in place of a value: a claim prints it, and gives its hint."""

    error: Exception
    hint: str

    def __repr__(self) -> str:
        return f"{type(self.error).__name__}: {self.error}"


def value_or_raised(
    compute: Callable[[], Any],
    errors: type[Exception] | tuple[type[Exception], ...],
    hint: str,
    words: tuple[str, ...] = (),
) -> Any:
    """What `compute` returns, or `Raised` where it stops with one of `errors` whose text contains one of `words` (all, if none)."""
    try:
        return compute()
    except errors as error:
        if words and not any(word in str(error) for word in words):
            raise
        return Raised(error, hint)


@dataclass(frozen=True)
class Claim:
    """What should be true, checked by `problem`.

    `expected` also says which *kind* of value is wanted: a NumPy array of whole numbers, a torch tensor, a decimal, a list …
    `mistakes` maps a hint to the value that one well-known mistake gives in this case; such a value gets its own hint,
    every other one gets `hint`. `tolerance` is both relative and absolute.

    The call printed with a claim is the one that returned `got` or, where `got` is a list or tuple, the one that returned its
    first wrong item; where no call returned it (a shape, a sum), the last call before the claim. `call` names another one:
    `call=last_call(f)`, taken right after the call.
    """

    text: str
    got: Any
    expected: Any
    hint: str
    mistakes: Mapping[str, Any] = field(default_factory=dict)
    tolerance: float = 1e-5
    call: str = ""

    @property
    def problem(self) -> str | None:
        """The hint that fits, or None where the claim holds."""
        if isinstance(self.got, Raised):
            return self.got.hint
        kind = kind_problem(self.got, self.expected)
        if kind is not None:
            return kind
        if same(self.got, self.expected, self.tolerance):
            return None
        for hint, value in self.mistakes.items():
            if kind_problem(self.got, value) is None and same(self.got, value, self.tolerance):
                return hint
        return self.hint


def show(value: Any) -> str:
    """A value as a learner reads it: few digits, and the shape of anything larger than a short row."""
    if isinstance(value, float | np.floating):
        return f"{value:.6g}"
    if is_array(value) or is_tensor(value):
        array = numpy_of(value)
        text = np.array2string(array, precision=4, suppress_small=True, threshold=40, separator=", ")
        return text.replace("\n", "\n" + " " * 14) + (f"  shape {array.shape}" if array.ndim != 1 else "")
    if isinstance(value, tuple | list):
        left, right = "()" if isinstance(value, tuple) else "[]"
        return left + ", ".join(show(item) for item in value) + right
    return repr(value)


def show_short(value: Any) -> str:
    """A value on one line of at most 60 characters, as an argument of a printed call."""
    text = " ".join(show(value).split())
    return text if len(text) <= 60 else text[:57] + "…"


def same(got: Any, expected: Any, tolerance: float) -> bool:
    """Whether two values of the same kind agree within the tolerance; NaN only equals NaN."""
    if isinstance(expected, tuple | list):
        return all(same(g, e, tolerance) for g, e in zip(got, expected, strict=True))
    if isinstance(expected, Mapping):
        return all(same(got[key], value, tolerance) for key, value in expected.items())
    if is_number(expected) or is_array(expected) or is_tensor(expected):
        return bool(
            np.allclose(numpy_of(got), numpy_of(expected), rtol=tolerance, atol=tolerance, equal_nan=True)
        )
    return bool(got == expected)


def roundings(value: Any, places: tuple[int, ...] = (0, 1, 2, 3, 4)) -> dict[str, Any]:
    """The `mistakes` of an answer that is rounded: a hint for each number of decimal places, with the value that it gives."""
    hints = {
        0: "a fraction counts: return the number as it comes out, not cut or rounded to a whole one",
        1: "the result is rounded to one decimal place: return it as it comes out",
    }
    return {
        hints.get(n, f"the result is rounded to {n} decimal places: return it as it comes out"): _rounded(
            value, n
        )
        for n in places
    }


def _rounded(value: Any, places: int) -> Any:
    if isinstance(value, tuple | list):
        return type(value)(_rounded(item, places) for item in value)
    return round(float(value), places)


def first_wrong(got: Any, expected: Any, tolerance: float) -> Any:
    """The innermost item of `got` that is not as expected, or `got` itself."""
    if isinstance(got, tuple | list) and isinstance(expected, tuple | list) and len(got) == len(expected):
        for g, e in zip(got, expected, strict=True):
            if kind_problem(g, e) or not same(g, e, tolerance):
                return first_wrong(g, e, tolerance)
    return got
