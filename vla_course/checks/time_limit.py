"""A limit on how long one call of a learner's function may take, so that an endless loop ends with a message."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class TookTooLong(BaseException):
    """Not an `Exception`, so that `except Exception` in the learner's loop does not swallow it."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise `TookTooLong` in this block once it has run for `seconds`.

    Works in the main thread of Linux and macOS, where a notebook's cells run. Elsewhere (Windows, another thread, a handler
    that Python did not install) there is no limit. A timer that was set before goes on afterwards.
    """
    if not _can_interrupt():
        yield
        return

    def stop(signum: int, frame: FrameType | None) -> None:
        raise TookTooLong

    began, handler = time.monotonic(), signal.signal(signal.SIGALRM, stop)
    # Once a second from then on: a bare `except:` in the loop catches the first.
    outer_s, outer_interval_s = signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if outer_s:
            left_s = max(outer_s - (time.monotonic() - began), 1e-3)
            signal.setitimer(signal.ITIMER_REAL, left_s, outer_interval_s)


def _can_interrupt() -> bool:
    return (
        hasattr(signal, "setitimer")
        and threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGALRM) is not None
    )
