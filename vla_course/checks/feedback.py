"""What ends a check early: messages that read without a traceback, and are errors all the same."""

from collections.abc import Iterable


class Feedback(AssertionError):
    """Shown by Jupyter as its message alone; pytest, nbval and plain Python still see an error."""

    def _render_traceback_(self) -> list[str]:
        return str(self).splitlines()


class Unfinished(Feedback):
    """The exercise still holds its stub."""


class CheckFailed(Feedback):
    """A claim that does not hold for the learner's code."""


class CodeFailed(Feedback):
    """The learner's code stopped with an error while a claim was checked."""


def message(headline: str, rows: Iterable[tuple[str, str]]) -> str:
    """A headline and labelled rows below it; rows without text are left out."""
    lines = (f"    {f'{label}:':<9} {text}" for label, text in rows if text)
    return "\n".join([f"✗ {headline}", *lines])
