"""What reaches the terminal: text without control characters, warnings in one line."""

import contextlib
import json
import sys
import unicodedata
import warnings
from collections.abc import Iterator
from typing import Any

from vla_course.errors import CannotRunError

LINE_BREAKS = ("\n", "\t")


def printable(text: str, kept: tuple[str, ...] = ()) -> str:
    """The text with control characters written out as JSON does, so that none moves the cursor, changes a colour or turns the
    direction of writing. `kept` names those that may stay.
    """
    return "".join(json.dumps(sign)[1:-1] if _controls(sign) and sign not in kept else sign for sign in text)


@contextlib.contextmanager
def plainly() -> Iterator[None]:
    """While the block runs, everything printed goes through `printable`, and a warning is one line."""
    with contextlib.redirect_stdout(_Plain(sys.stdout)), warnings.catch_warnings():
        warnings.showwarning = _show_warning  # type: ignore[assignment] # it needs only the first argument
        yield


def say_error(message: object) -> None:
    """What went wrong, on stderr: one line, but for what a machine lacks, which may be a list."""
    kept = LINE_BREAKS if isinstance(message, CannotRunError) else ()
    print(f"vla-course: {printable(str(message).strip(), kept)}", file=sys.stderr)


def _controls(sign: str) -> bool:
    return unicodedata.category(sign)[0] == "C" or unicodedata.category(sign) in ("Zl", "Zp")


def _show_warning(message: Warning | str, *_: Any) -> None:
    say_error(f"note: {str(message).strip().partition(LINE_BREAKS[0])[0]}")


class _Plain:
    """A stream of text that writes printable text to another one."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(printable(text, LINE_BREAKS))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
