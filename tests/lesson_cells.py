"""A lesson's code cells, run as a notebook runs them, with functions of the test's own where the lesson imports its exercises.

CELLS = cells("day05_lora", ("import copy", "# exercise", "STEPS = 60"), {"STEPS = 60": "STEPS = 12"})
lesson = run(CELLS, {"nano": nano()}, warmup_cosine=lambda *_: 0.0)
assert lesson["lines"][0] …
"""

import ast
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jupytext

LESSONS = Path(__file__).parents[1] / "lessons"


@cache
def code_cells(lesson: str) -> tuple[str, ...]:
    """The source of every code cell of `lessons/{lesson}.py`."""
    notebook = jupytext.read(LESSONS / f"{lesson}.py", fmt="py:percent")
    return tuple(cell.source for cell in notebook.cells if cell.cell_type == "code")


def cells(lesson: str, needed: Sequence[str], smaller: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """The cells that hold one of the strings `needed`; what `smaller` names is written otherwise, so that a test is quick.

    Raises:
        AssertionError: The lesson was rewritten and one of the strings stands in no cell.
    """
    found = [source for source in code_cells(lesson) if any(part in source for part in needed)]
    for part in (*needed, *(smaller or {})):
        assert any(part in source for source in found), f"no cell of {lesson} has {part!r} any more"
    for old, new in (smaller or {}).items():
        found = [source.replace(old, new) for source in found]
    return tuple(found)


def run(
    sources: Sequence[str], names: Mapping[str, Any] | None = None, until: str | None = None, **replaced: Any
) -> dict[str, Any]:
    """The names that the cells define, and under "shown" what they end with, as a notebook would show it.

    `names` are there before the first cell. `replaced` take the place of what a cell imports or defines under these names,
    as a learner's own do. The cell with `until` in it is the last that runs.
    """
    found: dict[str, Any] = dict(names or {})
    shown: list[Any] = []  # a lesson may have a name like this, too
    for source in sources:
        tree = ast.parse(source)
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, "a cell", "exec"), found)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), "a cell", "eval"), found)
            shown += [] if value is None else [value]
        found.update({name: function for name, function in replaced.items() if name in found})
        if until is not None and until in source:
            break
    found["shown"] = shown
    return found
