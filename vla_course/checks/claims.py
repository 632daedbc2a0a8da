"""One claim about the learner's code: words, the value it gave, the hand-worked value, and where to look if they differ."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Number
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Claim:
    """What should be true, checked by `problem`.

    `expected` also says which *kind* of value is wanted: a NumPy array, a torch tensor, a number, a list, a tuple …
    `mistakes` maps a hint to the value that one well-known mistake gives in this case; such a value gets its own hint,
    every other one gets `hint`. `tolerance` is both relative and absolute.
    """

    text: str
    got: Any
    expected: Any
    hint: str
    mistakes: Mapping[str, Any] = field(default_factory=dict)
    tolerance: float = 1e-5

    @property
    def problem(self) -> str | None:
        """The hint that fits, or None where the claim holds."""
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
    if _is_array(value):
        array = _numpy(value)
        text = np.array2string(array, precision=4, suppress_small=True, threshold=40, separator=", ")
        return text.replace("\n", "\n" + " " * 14) + (f"  shape {array.shape}" if array.ndim != 1 else "")
    if isinstance(value, tuple | list):
        left, right = "()" if isinstance(value, tuple) else "[]"
        return left + ", ".join(show(item) for item in value) + right
    return repr(value)


def kind_problem(got: Any, expected: Any) -> str | None:
    """A sentence where `got` is another kind of value than `expected`, or has another shape; else None."""
    if got is None and expected is not None:
        return "your function returned None: does its last line say `return`?"
    if isinstance(expected, bool | np.bool_):
        return None if isinstance(got, bool | np.bool_) else f"return True or False, not {_kind(got)}"
    if isinstance(expected, Number):
        if _is_array(got) and _numpy(got).ndim > 0:
            return f"return one number, not {_kind(got)} of shape {_numpy(got).shape}"
        numeric = isinstance(got, Number | np.generic) or _is_array(got)
        return None if numeric and not isinstance(got, bool) else f"return a number, not {_kind(got)}"
    if _is_array(expected):
        if type(got).__module__.split(".")[0] != type(expected).__module__.split(".")[0]:
            return f"return {_kind(expected)}, not {_kind(got)}"
        if tuple(got.shape) != tuple(expected.shape):
            return f"the shape is {tuple(got.shape)}, it should be {tuple(expected.shape)}"
        return None
    if isinstance(expected, tuple | list):
        if not isinstance(got, tuple | list):
            return f"return {_kind(expected)} of {len(expected)} values, not {_kind(got)}"
        if len(got) != len(expected):
            return f"return {len(expected)} values, not {len(got)}"
        problems = (kind_problem(*pair) for pair in zip(got, expected, strict=True))
        return next((problem for problem in problems if problem), None)
    return None if isinstance(got, type(expected)) else f"return {_kind(expected)}, not {_kind(got)}"


def same(got: Any, expected: Any, tolerance: float) -> bool:
    """Whether two values of the same kind agree within the tolerance; NaN only equals NaN."""
    if isinstance(expected, tuple | list):
        return all(same(g, e, tolerance) for g, e in zip(got, expected, strict=True))
    if isinstance(expected, Number) or _is_array(expected):
        return bool(
            np.allclose(_numpy(got), _numpy(expected), rtol=tolerance, atol=tolerance, equal_nan=True)
        )
    return bool(got == expected)


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) or (
        type(value).__module__.startswith("torch") and hasattr(value, "detach")
    )


def _numpy(value: Any) -> np.ndarray:
    if hasattr(value, "detach"):  # a torch tensor; NumPy does not know bfloat16
        value = value.detach().cpu()
        value = value.float() if value.is_floating_point() else value
    return np.asarray(value)


def _kind(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return "a NumPy array"
    if _is_array(value):
        return "a torch tensor"
    name = type(value).__name__
    return {"float": "a number", "int": "a number", "str": "text", "function": "a function"}.get(
        name, f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
    )
