"""What kind of value came back: number, array, tensor or container, and whole, decimal or true-or-false. Said before any value."""

import sys
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np

WHOLE, DECIMAL, TRUTH = "whole numbers", "decimals", "True or False"


def kind_problem(got: Any, expected: Any, *, shapes: bool = True) -> str | None:
    """A sentence where `got` is another kind of value than `expected`, or has another shape; else None.

    A tuple may stand for a list and a list for a tuple, float32 for float64, whole numbers for decimals in NumPy and plain
    Python, an array or tensor without axes for a number. With `shapes=False`, `expected` is an example: shapes are not
    compared, and a list of one item says what every item is.
    """
    if got is None and expected is not None:
        return "your function returned None: does its last line say `return`?"
    if isinstance(expected, bool | np.bool_):
        return None if _scalar_kind(got) == TRUTH else f"return True or False, not {kind_of(got)}"
    if is_number(expected):
        return _number_problem(got, expected)
    if is_array(expected) or is_tensor(expected):
        return _array_problem(got, expected, shapes)
    if isinstance(expected, tuple | list):
        return _sequence_problem(got, expected, shapes)
    if isinstance(expected, Mapping):
        return _mapping_problem(got, expected, shapes)
    if expected is None:
        return None if got is None else f"return nothing, not {kind_of(got)}"
    return None if isinstance(got, type(expected)) else f"return {kind_of(expected)}, not {kind_of(got)}"


def is_number(value: Any) -> bool:
    """A real number that mixes with floats; neither a truth value nor a Decimal."""
    return isinstance(value, int | float | np.integer | np.floating | Fraction) and not isinstance(
        value, bool
    )


def is_array(value: Any) -> bool:
    """A NumPy array."""
    return isinstance(value, np.ndarray)


def is_tensor(value: Any) -> bool:
    """A torch tensor; torch is not imported for the question."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def numpy_of(value: Any) -> np.ndarray:
    """A number, array or tensor as an array. NumPy does not know bfloat16, so tensors of decimals become float64."""
    if is_tensor(value):
        value = value.detach().cpu()
        value = value.double() if value.is_floating_point() else value
        return np.asarray(value.numpy())
    return np.asarray(float(value) if isinstance(value, Fraction) else value)


def kind_of(value: Any) -> str:
    """A kind in words: "a NumPy array", "a number", "a tuple of 2 values"."""
    if is_array(value):
        return "a NumPy array"
    if is_tensor(value):
        return "a torch tensor"
    if isinstance(value, np.bool_ | bool):
        return "a truth value"
    if is_number(value):
        return "a number"
    if isinstance(value, tuple):
        return f"a tuple of {len(value)} values"
    name = type(value).__name__
    return {"str": "text", "function": "a function"}.get(
        name, f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"
    )


def _number_problem(got: Any, expected: Any) -> str | None:
    if (is_array(got) or is_tensor(got)) and got.ndim > 0:
        return f"return one number, not {kind_of(got)} of shape {tuple(got.shape)}"
    kind = _scalar_kind(got)
    if kind not in (WHOLE, DECIMAL):
        return f"return a number, not {kind_of(got)}"
    if kind == DECIMAL and isinstance(expected, int | np.integer):
        return f"return a whole number (an int), not {numpy_of(got).item()!r}, which has a decimal point"
    return None


def _array_problem(got: Any, expected: Any, shapes: bool) -> str | None:
    same_library = is_array(got) if is_array(expected) else is_tensor(got)
    if not same_library:
        if isinstance(got, tuple) and hasattr(got, "indices"):  # what torch's .max(dim) and .sort() return
            return f"return {kind_of(expected)}, not a pair: torch returns values and indices here, so take one of them"
        return f"return {kind_of(expected)}, not {kind_of(got)}"
    if shapes and tuple(got.shape) != tuple(expected.shape):
        return f"the shape is {tuple(got.shape)}, it should be {tuple(expected.shape)}"
    have, want = _array_kind(got), _array_kind(expected)
    if have == want or (is_array(got) and (have, want) == (WHOLE, DECIMAL)):
        return None
    return f"the numbers should be {want} (dtype {expected.dtype}), not {have} (dtype {got.dtype})"


def _sequence_problem(got: Any, expected: Any, shapes: bool) -> str | None:
    if not isinstance(got, tuple | list):
        name = "a list" if isinstance(expected, list) else "a tuple"
        count = f" of {len(expected)} values" if shapes or isinstance(expected, tuple) else ""
        return f"return {name}{count}, not {kind_of(got)}"
    if not shapes and isinstance(expected, list):
        expected = expected * len(got)
    elif len(got) != len(expected):
        return f"return {len(expected)} values, not {len(got)}"
    for place, pair in enumerate(zip(got, expected, strict=True), start=1):
        problem = kind_problem(*pair, shapes=shapes)
        if problem:
            return f"value {place} of {len(got)}: {problem}" if len(got) > 1 else problem
    return None


def _mapping_problem(got: Any, expected: Mapping[Any, Any], shapes: bool) -> str | None:
    if not isinstance(got, Mapping):
        return f"return a dictionary, not {kind_of(got)}"
    if set(got) != set(expected):
        return f"the keys should be {sorted(map(str, expected))}, not {sorted(map(str, got))}"
    for key, value in expected.items():
        problem = kind_problem(got[key], value, shapes=shapes)
        if problem:
            return f"under {key!r}: {problem}"
    return None


def _scalar_kind(value: Any) -> str:
    """Which kind of number a scalar is, also as an array or tensor without axes; "" for anything else."""
    if isinstance(value, bool | np.bool_):
        return TRUTH
    if is_number(value):
        return WHOLE if isinstance(value, int | np.integer) else DECIMAL
    if (is_array(value) or is_tensor(value)) and value.ndim == 0:
        return _array_kind(value)
    return ""


def _array_kind(value: Any) -> str:
    if is_tensor(value):
        if value.is_floating_point():
            return DECIMAL
        name = str(value.dtype).removeprefix("torch.")
        return TRUTH if name == "bool" else name if name.startswith("complex") else WHOLE
    return {"b": TRUTH, "i": WHOLE, "u": WHOLE, "f": DECIMAL}.get(value.dtype.kind, str(value.dtype))
