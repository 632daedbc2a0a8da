"""A vector environment whose processes end with one error when a worker dies."""

import functools
from collections.abc import Callable
from multiprocessing.connection import wait
from typing import Any

from gymnasium.vector import AsyncVectorEnv
from gymnasium.vector.async_vector_env import AsyncState

from vla_course.envs.processes import PATIENCE_S, WorkerDied

LOST = (EOFError, ConnectionError)
ASKING = ("reset_async", "reset_wait", "step_async", "step_wait", "call_async", "call_wait", "set_attr")


class WatchedVectorEnv(AsyncVectorEnv):
    """Gymnasium's AsyncVectorEnv, except that a worker that dies ends all of them with WorkerDied.

    Differs: Gymnasium 1.4 raises a bare EOFError there, and its `close` then waits for ever: for answers that were read already,
    or that nobody will send.
    """

    def close_extras(self, timeout: float | None = None, terminate: bool = False) -> None:
        """Ends the processes, at once if one of them is dead already."""
        if not all(process.is_alive() for process in self.processes):
            self._state, terminate = AsyncState.DEFAULT, True  # no answer is waited for
        try:
            super().close_extras(timeout, terminate)
        except (*LOST, WorkerDied):  # it died only now
            self._state = AsyncState.DEFAULT
            super().close_extras(terminate=True)

    def _lost(self) -> WorkerDied:
        """Ends the other workers; the error names the one that died."""
        gone = wait([process.sentinel for process in self.processes], PATIENCE_S)
        dead = [place for place, process in enumerate(self.processes) if process.sentinel in gone]
        for place in dead:
            self.processes[place].join(PATIENCE_S)
        which = ", ".join(f"{place} (exit code {self.processes[place].exitcode})" for place in dead)
        self._state = AsyncState.DEFAULT
        self.close(terminate=True)
        return WorkerDied(
            f"the process of environment {which or 'unknown'} died, and the others were ended: most likely memory ran out (use "
            "fewer environments), or the environment crashed (asynchronous=False shows where)"
        )


def _watched(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def asking(self: WatchedVectorEnv, *arguments: Any, **named: Any) -> Any:
        try:
            return method(self, *arguments, **named)
        except LOST as error:
            raise self._lost() from error

    return asking


for _name in ASKING:
    setattr(WatchedVectorEnv, _name, _watched(getattr(AsyncVectorEnv, _name)))
