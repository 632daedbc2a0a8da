"""Settings out of a preset, a file, flags and `key=value` words, each checked against a typed dataclass.

What comes later wins: the dataclass's defaults, the preset, the file, the flags, the words. A setting that is a text is the text as
typed, whatever YAML would make of it, and nothing is filled in from the environment. Whatever does not fit is one line that says
what and where.
"""

import ast
import dataclasses
import difflib
import inspect
import itertools
import textwrap
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from types import EllipsisType, NoneType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)
from yaml import YAMLError

Settings = TypeVar("Settings")
INTERPOLATION = "${"
FORMER_NAMES = {
    "camera": "cameras",
    "camera_names": "cameras",
    "state": "state_key",
    "dataset_key": "unnorm_key",
}
"""What settings were called before every configuration called them alike, and their names now. Both are read."""
SIDES = ("image_size",)
"""Settings that are a height and a width; one number stands for both."""


class SettingsError(ValueError):
    """Settings that do not fit: the message is one line that says what, where and, if it can be guessed, what was meant."""


class _AsTyped(yaml.SafeLoader):  # type: ignore[misc] # pyyaml has no types
    """YAML in which every scalar but null is the text that stands there."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - as pyyaml declares it
        first: [pair for pair in pairs if pair[0].endswith((":null", ":merge"))]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def read_settings(
    kind: type[Settings],
    *,
    preset: str | None = None,
    file: str | Path | None = None,
    flags: Mapping[str, Any] | None = None,
    overrides: Sequence[str] = (),
    recorded: bool = False,
) -> Settings:
    """A dataclass of this kind, filled from a preset, a YAML file, flags and words like `lora.rank=4`.

    The values of `flags` are taken as they are. Former names of settings are read, with a warning that gives the present one;
    without it where the file is `recorded` by a program.

    Raises:
        SettingsError: a preset or file is missing or no YAML, a key is unknown, a value has another type or may not be, or a
            setting without a default is given nowhere.
    """
    merged: Any = OmegaConf.structured(kind)
    if preset is not None:
        merged = _merge(merged, _read(_preset(preset), kind), f"preset {preset}", kind)
    if file is not None:
        merged = _merge(merged, _read(Path(file), kind, warn=not recorded), str(file), kind)
    for name, value in (flags or {}).items():
        origin = f"--{name.replace('_', '-')}"
        _refuse_interpolation(str(value), origin)
        merged = _merge(merged, {name: value}, origin, kind)
    for word in overrides:
        merged = _merge(merged, _parse(word, kind), word, kind)
    try:
        settings: Any = OmegaConf.to_object(merged)
    except MissingMandatoryValue as error:
        raise SettingsError(
            f"{error.full_key} is not set, and has no default: give {error.full_key}=…"
        ) from error
    except OmegaConfBaseException as error:
        raise SettingsError(_first_line(error)) from error
    except ValueError as error:  # what the dataclass itself refuses
        raise SettingsError(str(error)) from error
    filled: Settings = settings
    return filled


def with_present_names(content: Mapping[str, Any], origin: str, kind: type | None = None) -> dict[str, Any]:
    """Settings that may have former names, under their present ones; `kind` is the dataclass that they are for.

    One camera becomes a list of one, and one number where a height and a width are wanted stands for both.

    Raises:
        SettingsError: a setting is there under two names with different values.
    """
    renamed: dict[str, Any] = {}
    for name, value in content.items():
        present = _present_name(name, kind)
        if present == "cameras" and (name == "camera" or value is None):
            value = [value] if value else []
        if present in SIDES and type(value) is int:
            value = [value, value]
        if present in renamed and not (_is_unset(value) or _is_unset(renamed[present])):
            raise SettingsError(f"{origin}: {present} is there twice, once under its former name: keep one")
        if present not in renamed or _is_unset(renamed[present]):
            renamed[present] = value
    return renamed


def _present_name(name: str, kind: type | None) -> str:
    present = FORMER_NAMES.get(name, name)
    known = {present} if kind is None else {field.name for field in dataclasses.fields(kind)}
    return present if present in known and (kind is None or name not in known) else name


def _is_unset(value: Any) -> bool:
    return value is None or value in ([], ())


def from_record(kind: type[Settings], content: Mapping[str, Any], origin: str) -> Settings:
    """A dataclass of this kind from its values in a JSON file, where tuples are lists and names may be former ones.

    Raises:
        TypeError: there is a setting that this version does not know.
        ValueError: a value may not be.
    """
    values = with_present_names(content, origin, kind)
    return kind(
        **{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    )


def both_sides(size: int | tuple[int, int]) -> tuple[int, int]:
    """Height and width of a picture; one number is a square's."""
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))


def presets() -> list[str]:
    """The names that `preset=` takes."""
    folder = resources.files("vla_course") / "presets"
    return sorted(path.name.removesuffix(".yaml") for path in folder.iterdir() if path.name.endswith(".yaml"))


def to_yaml(settings: Any) -> str:
    """The dataclass as YAML, every setting of it; `read_settings` reads it back."""
    return str(OmegaConf.to_yaml(OmegaConf.structured(settings)))


def keys(kind: type) -> Iterator[str]:
    """Every key that a dataclass of this kind knows, those of a part behind a dot: `lora.rank`."""
    return (setting.key for setting in described(kind))


def _preset(name: str) -> Path:
    if name not in presets():
        raise SettingsError(
            f"there is no preset {name!r} (there are {', '.join(presets())}){_meant(name, presets(), 1)}"
        )
    return Path(str(resources.files("vla_course") / "presets" / f"{name}.yaml"))


def _warn_of_former_names(names: Iterable[str], origin: str, kind: type) -> None:
    for name in names:
        if (present := _present_name(name, kind)) != name:
            warnings.warn(f"{origin}: {name} is now called {present}", FutureWarning, stacklevel=4)


def _read(path: Path, kind: type, *, warn: bool = True) -> dict[Any, Any]:
    try:
        text = path.read_text(encoding="utf-8") or "{}"
        for token in yaml.scan(text):
            if isinstance(token, yaml.ScalarToken):
                _refuse_interpolation(token.value, f"{path}, line {token.start_mark.line + 1}")
        content: Any = OmegaConf.create(text)  # which also refuses repeated keys and aliases that explode
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path} is no text") from error
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}, line {mark.line + 1}" if mark else str(path)
        raise SettingsError(
            f"{where}: no YAML: {getattr(error, 'problem', None) or 'it cannot be read'}"
        ) from error
    if not isinstance(content, DictConfig):
        raise SettingsError(f"{path}: want lines like `learning_rate: 5e-4`")
    values: Any = OmegaConf.to_container(content)
    if warn:
        _warn_of_former_names(values, str(path), kind)
    values, typed = (
        with_present_names(one, str(path), kind) for one in (values, yaml.load(text, Loader=_AsTyped) or {})
    )
    return _texts_as_typed(kind, values, typed)


def _parse(word: str, kind: type) -> dict[Any, Any]:
    key, equals, value = word.partition("=")
    if not equals or not key:
        raise SettingsError(f"{word!r}: a setting is written key=value, like learning_rate=5e-4")
    _refuse_interpolation(value, word)
    _warn_of_former_names([key], word, kind)
    present = _present_name(key, kind)
    wanted = next((setting.type for setting in described(kind) if setting.key == present), None)
    if _is_text(wanted) and get_origin(wanted) is not tuple:
        unset = value == "null" and NoneType in get_args(wanted)
        return _nested(present, None if unset else value)
    try:
        content: Any = OmegaConf.to_container(OmegaConf.from_dotlist([word]))
        typed = _nested(key, yaml.load(value, Loader=_AsTyped))
        return _texts_as_typed(kind, *(with_present_names(one, word, kind) for one in (content, typed)))
    except (OmegaConfBaseException, YAMLError) as error:
        raise SettingsError(f"{word!r}: the value cannot be read: {_first_line(error)}") from error


def _nested(key: str, value: Any) -> dict[Any, Any]:
    for part in reversed(key.split(".")):
        value = {part: value}
    nested: dict[Any, Any] = value
    return nested


def _texts_as_typed(kind: Any, content: Any, as_typed: Any) -> dict[Any, Any]:
    """What YAML reads, with `as_typed` in its place wherever the dataclass wants a text: `label: on` is "on", not True."""
    types = get_type_hints(kind)
    found = {}
    for key, value in content.items():
        wanted, typed = types.get(key), as_typed.get(key)
        if dataclasses.is_dataclass(wanted) and isinstance(value, dict):
            found[key] = _texts_as_typed(wanted, value, typed)
        else:
            found[key] = typed if _is_text(wanted) else value
    return found


def _is_text(wanted: Any) -> bool:
    """Whether this type holds text alone: str, a choice of words, several of them."""
    if get_origin(wanted) is Literal:
        return all(isinstance(value, str) for value in get_args(wanted))
    inner = [part for part in get_args(wanted) if part not in (NoneType, EllipsisType, ...)]
    return wanted is str or (bool(inner) and all(map(_is_text, inner)))


def _refuse_interpolation(value: str, origin: str) -> None:
    if INTERPOLATION in value:
        raise SettingsError(
            f"{origin}: {value!r} holds {INTERPOLATION}: values are taken as they stand, and nothing is filled in from the "
            "environment or from other settings; write the value itself"
        )


def _merge(settings: Any, new: Any, origin: str, kind: type) -> Any:
    try:
        return OmegaConf.merge(settings, new)
    except (ConfigKeyError, ConfigAttributeError) as error:
        unknown = str(error.full_key)
        single = [setting.key for setting in described(kind) if not dataclasses.is_dataclass(setting.type)]
        raise SettingsError(
            f"{origin}: {unknown} is no setting{_meant(unknown, single)} (--help lists all)"
        ) from error
    except OmegaConfBaseException as error:
        where = f"{error.full_key}: " if error.full_key else ""
        wants_a_list = "is not a TupleConfig" in str(error)
        what = "want a list, like [front] or [front,wrist]" if wants_a_list else _first_line(error)
        raise SettingsError(f"{origin}: {where}{what}") from error


def _meant(word: str, known: Sequence[str], most: int = 3) -> str:
    last = word.rpartition(".")[2]  # the last part of a dotted key says more than the whole
    near = difflib.get_close_matches(word, known, n=3, cutoff=0.6)
    near += [key for key in known if last in key and key not in near]
    return f": did you mean {' or '.join(near[:most])}?" if near else ""


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]


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
