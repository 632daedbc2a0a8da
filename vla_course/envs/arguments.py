"""Checks of what users pass to environments: names, sizes, actions, and values pinned by `reset(options=...)`."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from jaxtyping import Float


def check_known(what: str, names: Iterable[str], known: Iterable[str]) -> None:
    """Raises: ValueError naming the first unknown name and all known ones."""
    known = tuple(known)
    for name in names:
        if name not in known:
            raise ValueError(f"unknown {what} {name!r}: the known ones are {', '.join(known)}")


def check_size(name: str, size: tuple[int, int]) -> None:
    """Raises: ValueError if this is no height and width of at least one pixel each."""
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f"{name} is a height and a width in pixels, not {size}")


def checked_action(action: Any, count: int, meaning: str) -> Float[np.ndarray, " A"]:
    """The `count` numbers of an action in float64, clipped to [-1, 1]; a new array. `meaning` says in the error what they are.

    Raises: ValueError for a wrong shape, or NaN or inf, naming its index.
    """
    values = np.asarray(action, dtype=np.float64)
    if values.shape != (count,):
        raise ValueError(f"an action has shape ({count},), {meaning}; this has {values.shape}")
    if not np.isfinite(values).all():
        index = int(np.flatnonzero(~np.isfinite(values))[0])
        raise ValueError(
            f"action[{index}] is {values[index]}: actions must be finite (and are clipped to [-1, 1])"
        )
    return np.clip(values, -1.0, 1.0)


def pinned_value(name: str, value: Any, like: Any, *, count: int | None = None) -> Any:
    """The pinned value: an index below `count` where there is one, else finite numbers of the shape of `like`.

    Raises: ValueError if it is none.
    """
    if count is not None:
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 0 <= value < count:
            raise ValueError(f"reset option {name!r} is an index from 0 to {count - 1}, not {value!r}")
        return int(value)
    try:
        array = np.array(np.broadcast_to(np.asarray(value, dtype=float), np.shape(like)))
    except (TypeError, ValueError):
        raise ValueError(
            f"reset option {name!r} wants numbers of shape {np.shape(like)}, not {value!r}"
        ) from None
    if not np.isfinite(array).all():
        raise ValueError(f"reset option {name!r} holds {value!r}: give finite numbers")
    return float(array) if np.shape(like) == () else array
