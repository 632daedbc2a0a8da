"""Checks of what users pass to environments: names, and values pinned by `reset(options=...)`."""

from collections.abc import Iterable
from typing import Any

import numpy as np


def check_known(what: str, names: Iterable[str], known: Iterable[str]) -> None:
    """Raises: ValueError naming the first unknown name and all known ones."""
    known = tuple(known)
    for name in names:
        if name not in known:
            raise ValueError(f"unknown {what} {name!r}: the known ones are {', '.join(known)}")


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
