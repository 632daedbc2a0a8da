"""A notebook file as the check reads it: its code cells, its day, and one clear error where it is no notebook."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from vla_course.errors import NotebookError

ANSWERS = "progress.keep_apart()"
"""What a code cell of every solution notebook calls."""
ESCAPE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?")


@dataclass(frozen=True)
class Cell:
    """One code cell: its source, whether it is only shown, and the exercises that the course put into it."""

    source: str
    demo: bool
    exercises: tuple[str, ...]


@dataclass(frozen=True)
class Notebook:
    """What the check needs of a notebook file."""

    cells: list[Cell]
    kernel: str
    language: str
    day: str

    @property
    def holds_answers(self) -> bool:
        """Whether this is a solution notebook, with the course's answers in."""
        return any(ANSWERS in cell.source for cell in self.cells)


def plain(text: str) -> str:
    """What a notebook says, without escape sequences and with a space for any other control character but newline and tab."""
    return "".join(c if c.isprintable() or c in "\n\t" else " " for c in ESCAPE.sub("", text))


def read_notebook(path: Path) -> Notebook:
    """A notebook from disk, also one of Colab or Kaggle, whose cells have no ids.

    Raises:
        NotebookError: it is missing, damaged, or no notebook.
        OSError: it cannot be opened.
    """
    if path.exists() and not path.is_file():
        raise NotebookError(f"{path} is not a file")
    try:
        content = nbformat.reader.reads(path.read_text(encoding="utf-8"))  # type: ignore[no-untyped-call]
        return _notebook(nbformat.convert(content, 4))  # type: ignore[no-untyped-call]
    except FileNotFoundError:
        raise NotebookError(f"no notebook at {path}") from None
    except OSError:
        raise
    except Exception as error:
        reason = str(error).splitlines()[0][:80] if str(error) else type(error).__name__
        raise NotebookError(f"{path} is damaged and cannot be read as a notebook ({reason})") from None


def _notebook(content: nbformat.NotebookNode) -> Notebook:
    about = _dictionary(content.get("metadata"))
    spec = _dictionary(about.get("kernelspec"))
    cells = [_cell(cell) for cell in content["cells"] if cell["cell_type"] == "code"]
    imported = re.findall(
        r"\bvla_course\.checks(?:\.|\s+import\s+)(day\d\d)\b", "\n".join(c.source for c in cells)
    )
    built_from = re.findall(r"^lessons/(day\d\d)_", str(about.get("source")))
    day = next(iter([*imported, *built_from]), "")
    return Notebook(cells, str(spec.get("name", "")), str(spec.get("language", "python")), day)


def _cell(cell: dict[str, Any]) -> Cell:
    about = _dictionary(cell.get("metadata"))
    source = cell.get("source")
    return Cell(
        source if isinstance(source, str) else "",
        "demo" in _strings(about.get("tags")),
        _strings(about.get("exercises")),
    )


def _dictionary(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _strings(value: Any) -> tuple[str, ...]:
    return tuple(part for part in value if isinstance(part, str)) if isinstance(value, list) else ()
