"""What a call must leave as it was: the arrays and tensors it is given, and the global generators of random numbers."""

import random
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from vla_course.checks.claims import show_short
from vla_course.checks.kinds import is_array, is_number, is_tensor

Change = tuple[str, str]
"""What was changed (`labels`, `self.lora_B`), and how."""


def copied(value: Any) -> Any:
    """A copy that `changes` compares with the original afterwards: arrays, tensors, lists, tuples, dictionaries, modules."""
    if is_array(value):
        return value.copy()
    if is_tensor(value):
        return value.detach().clone()
    if isinstance(value, list):
        return [copied(item) for item in value]
    if isinstance(value, tuple):
        return tuple(copied(item) for item in value)
    if isinstance(value, Mapping):
        return {key: copied(item) for key, item in value.items()}
    if _is_module(value):
        return {name: copied(item) for name, item in _state(value).items()}
    return value


def changes(name: str, value: Any, before: Any) -> Change | None:
    """The first part of `value` that is no longer as `copied` saw it; None where all is as it was."""
    if is_array(value) or is_tensor(value):
        return _array_change(name, value, before)
    if isinstance(value, list | tuple):
        if len(value) != len(before):
            return name, f"it had {len(before)} items, and has {len(value)} now"
        if all(_is_plain(item) for item in value):
            same = all(_equal(*pair) for pair in zip(value, before, strict=True))
            return None if same else (name, f"it was {show_short(before)}, and is {show_short(value)} now")
        parts = ((f"{name}[{place}]", *pair) for place, pair in enumerate(zip(value, before, strict=True)))
        return next((found for part in parts if (found := changes(*part))), None)
    if isinstance(value, Mapping) or _is_module(value):
        return _named_change(name, value, before)
    if value is before or _equal(value, before):
        return None
    return name, f"it was {show_short(before)}, and is {show_short(value)} now"


def restore(value: Any, before: Any) -> None:
    """Give arrays, tensors, lists and dictionaries back what `copied` saw: a check's own numbers stay the same for its next run."""
    if is_array(value) and value.shape == before.shape and value.flags.writeable:
        value[...] = before
    elif is_tensor(value) and value.shape == before.shape and value.dtype == before.dtype:
        value.detach().copy_(before)
    elif isinstance(value, list):
        for item, old in zip(value, before, strict=False):
            restore(item, old)
        if all(_is_plain(item) for item in before):
            value[:] = before
    elif isinstance(value, tuple):
        for item, old in zip(value, before, strict=True):
            restore(item, old)
    elif isinstance(value, dict):
        for key in value.keys() & before.keys():
            restore(value[key], before[key])


def global_generators() -> dict[str, Any]:
    """The state of each generator that all code in the process shares, by the name a learner knows."""
    torch = sys.modules.get("torch")
    states: dict[str, Any] = {
        "Python's (`random`)": np.array(random.getstate()[1]),
        "NumPy's (`np.random`)": np.random.get_state(),
    }
    if torch is not None:
        states["torch's (`torch.manual_seed`)"] = torch.random.get_rng_state()
    return states


def drawn_from(before: Mapping[str, Any]) -> str:
    """The first global generator whose state is another one than before, or ""."""
    now = global_generators() if before else {}
    return next((name for name, state in before.items() if changes(name, now[name], state)), "")


def _array_change(name: str, value: Any, before: Any) -> Change | None:
    if type(before) is not type(value) and is_tensor(value) != is_tensor(before):
        return name, "it is another kind of value now"
    if value.dtype != before.dtype:
        return name, f"it was {before.dtype}, and is {value.dtype} now"
    if tuple(value.shape) != tuple(before.shape):
        return name, f"its shape was {tuple(before.shape)}, and is {tuple(value.shape)} now"
    if _same_numbers(value, before):
        return None
    return name, f"it was {show_short(before)}, and is {show_short(value)} now"


def _same_numbers(value: Any, before: Any) -> bool:
    if is_tensor(value):
        equal = (value.detach() == before) | ((value.detach() != value.detach()) & (before != before))
        return bool(equal.all())
    try:
        return bool(np.array_equal(value, before, equal_nan=True))
    except TypeError:  # text and objects have no NaN
        return bool(np.array_equal(value, before))


def _named_change(name: str, value: Any, before: Mapping[str, Any]) -> Change | None:
    now: Mapping[Any, Any] = value if isinstance(value, Mapping) else _state(value)
    label: Callable[[Any], str] = (
        (lambda key: f"{name}[{key!r}]") if isinstance(value, Mapping) else (lambda key: f"{name}.{key}")
    )
    for key, item in before.items():
        if key not in now:
            return label(key), "it is gone"
        if found := changes(label(key), now[key], item):
            return found
    if isinstance(value, Mapping) and len(now) != len(before):
        return name, f"it had the keys {sorted(map(str, before))}, and has {sorted(map(str, now))} now"
    return None


def _equal(value: Any, before: Any) -> bool:
    """Plain values compare by value; two objects of any other kind are the same only where they are one."""
    return _is_plain(value) and type(value) is type(before) and bool(value == before or value != value)


def _is_plain(value: Any) -> bool:
    return is_number(value) or isinstance(value, str | bytes | bool | np.generic | type(None))


def _is_module(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.nn.Module)


def _state(module: Any) -> dict[str, Any]:
    """Parameters, buffers, plain numbers and whether it trains."""
    plain = {
        key: item
        for key, item in vars(module).items()
        if not key.startswith("_") and (is_number(item) or isinstance(item, str | bool))
    }
    return {**dict(module.named_parameters()), **dict(module.named_buffers()), **plain}
