"""Worker processes that stay alive from one policy to the next, so that only the first evaluation waits for their start."""

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from vla_course.envs.processes import Workers

IDLE_S = 300.0
"""How long workers wait for somebody to need them."""


@dataclass
class _Kept:
    """Workers, and what they know of the world as it was when they started."""

    workers: Workers
    surroundings: Any
    since: float = field(default_factory=time.time)
    timer: threading.Timer | None = None


_LOCK = threading.Lock()
_kept: list[_Kept] = []  # at most one


@contextmanager
def kept_workers(count: int) -> Iterator[Workers]:
    """Workers of this process that are left alive for the next who asks for as many, and end after `IDLE_S` or with it.

    New ones are started where the old ones would differ: after another working folder, import path or environment variable,
    after a change in the source of a loaded module, and after an error.
    """
    surroundings = count, os.getcwd(), dict(os.environ), list(sys.path)
    kept = _taken(surroundings) or _Kept(Workers(count), surroundings)
    try:
        yield kept.workers
    except BaseException:
        kept.workers.stop()
        raise
    _keep(kept)


def _taken(surroundings: Any) -> _Kept | None:
    """The workers that were kept, if they are as new ones would be."""
    with _LOCK:
        kept = _kept.pop() if _kept else None
    if kept is None:
        return None
    assert kept.timer is not None
    kept.timer.cancel()
    if kept.surroundings == surroundings and kept.workers.alive() and not _edited_since(kept.since):
        return kept
    kept.workers.close()
    return None


def _keep(kept: _Kept) -> None:
    kept.timer = threading.Timer(IDLE_S, _end, [kept])
    kept.timer.daemon = True
    with _LOCK:
        if not _kept:
            _kept.append(kept)
            kept.timer.start()
            return
    kept.workers.close()


def _end(kept: _Kept) -> None:
    with _LOCK:
        idle = kept in _kept
        if idle:
            _kept.remove(kept)
    if idle:
        kept.workers.close()


def _edited_since(moment: float) -> bool:
    """Whether the source of a loaded module changed since: the workers still have it as it was."""
    for module in list(sys.modules.values()):
        with suppress(OSError, TypeError):
            if os.stat(vars(module).get("__file__") or "").st_mtime > moment:
                return True
    return False
