"""What each setting is: its key, default and meaning, out of the dataclass that holds it, and the list of them that `--help` prints."""

import ast
import dataclasses
import inspect
import itertools
import textwrap
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin, get_type_hints


@dataclasses.dataclass(frozen=True)
class Setting:
    """One key of a dataclass of settings."""

    key: str
    type: Any
    default: Any
    """`dataclasses.MISSING` where a value must be given."""
    meaning: str
    """The docstring below the field, in one line; empty where there is none."""


def described(kind: type, defaults: Any = None) -> Iterator[Setting]:
    """Every key of a dataclass of this kind, those of a part behind a dot (`lora.rank`), with default and meaning.

    `defaults` is an instance that has other defaults than the dataclass itself.
    """
    types, meanings = get_type_hints(kind), _meanings(kind)
    for field in dataclasses.fields(kind):
        factory = field.default_factory
        default = field.default if factory is dataclasses.MISSING else factory()
        default = default if defaults is None else getattr(defaults, field.name)
        yield Setting(field.name, types[field.name], default, meanings.get(field.name, ""))
        if dataclasses.is_dataclass(types[field.name]):
            for inner in described(types[field.name], default):
                yield dataclasses.replace(inner, key=f"{field.name}.{inner.key}")


def listing(kind: type, width: int = 100) -> str:
    """Every key with its default and, below, its meaning, in lines of at most `width` characters where words allow it."""
    lines = []
    for setting in described(kind):
        if not dataclasses.is_dataclass(setting.type):
            lines.append(f"  {setting.key}={_default(setting.default)}{_choices(setting.type)}")
            meaning = setting.meaning.replace("None", "null")  # as it is typed
            lines += textwrap.wrap(meaning, width, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return "\n".join(lines)


def _meanings(kind: type) -> dict[str, str]:
    """The docstrings of a dataclass's fields, which Python itself does not keep."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    found = {}
    for field, below in itertools.pairwise(getattr(definition, "body", [])):
        is_field = isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if is_field and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            found[field.target.id] = " ".join(str(below.value.value).split())
    return found


def _default(value: Any) -> str:
    """A default as it is written on the command line."""
    if value is dataclasses.MISSING:
        return "…  (must be given)"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, tuple):
        return f"[{','.join(map(str, value))}]"
    return str(value)


def _choices(wanted: Any) -> str:
    return f"  (one of {', '.join(map(str, get_args(wanted)))})" if get_origin(wanted) is Literal else ""
