"""Errors whose message is meant for the person at the terminal, who gets it without a traceback."""


class CannotRunError(RuntimeError):
    """What was asked for cannot be done on this machine, or now: the message says why and what to do about it.

    A plain RuntimeError is a fault of the program and keeps its traceback.
    """


class NotebookError(Exception):
    """A notebook that cannot be run at all; the message is one line."""
