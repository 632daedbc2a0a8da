"""Settings out of a preset, a file and `key=value` words, each checked against a typed dataclass.

What comes later wins: the dataclass's defaults, the preset, the file, the words. Whatever does not fit is one line that says
what and where.
"""

import dataclasses
import difflib
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)
from yaml import YAMLError

Settings = TypeVar("Settings")


class SettingsError(ValueError):
    """Settings that do not fit: the message is one line that says what, where and, if it can be guessed, what was meant."""


def read_settings(
    kind: type[Settings],
    *,
    preset: str | None = None,
    file: str | Path | None = None,
    overrides: Sequence[str] = (),
) -> Settings:
    """A dataclass of this kind, filled from a preset, a YAML file and words like `lora.rank=4`.

    Raises:
        SettingsError: a preset or file is missing or no YAML, a key is unknown, a value has another type or may not be, or a
            setting without a default is given nowhere.
    """
    merged: Any = OmegaConf.structured(kind)
    if preset is not None:
        merged = _merge(merged, _read(_preset(preset)), f"preset {preset}", kind)
    if file is not None:
        merged = _merge(merged, _read(Path(file)), str(file), kind)
    for word in overrides:
        merged = _merge(merged, _parse(word), word, kind)
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


def presets() -> list[str]:
    """The names that `preset=` takes."""
    folder = resources.files("vla_course") / "presets"
    return sorted(path.name.removesuffix(".yaml") for path in folder.iterdir() if path.name.endswith(".yaml"))


def to_yaml(settings: Any) -> str:
    """The dataclass as YAML, every setting of it; `read_settings` reads it back."""
    return str(OmegaConf.to_yaml(OmegaConf.structured(settings)))


def keys(kind: type) -> Iterator[str]:
    """Every key that a dataclass of this kind knows, those of a part behind a dot: `lora.rank`."""
    types = get_type_hints(kind)
    for field in dataclasses.fields(kind):
        inner = types[field.name]
        yield field.name
        if dataclasses.is_dataclass(inner) and isinstance(inner, type):
            yield from (f"{field.name}.{key}" for key in keys(inner))


def _preset(name: str) -> Path:
    if name not in presets():
        raise SettingsError(
            f"there is no preset {name!r} (there are {', '.join(presets())}){_meant(name, presets())}"
        )
    return Path(str(resources.files("vla_course") / "presets" / f"{name}.yaml"))


def _read(path: Path) -> DictConfig:
    try:
        content: Any = OmegaConf.create(path.read_text(encoding="utf-8") or "{}")
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
    return content


def _parse(word: str) -> DictConfig:
    key, equals, _ = word.partition("=")
    if not equals or not key:
        raise SettingsError(f"{word!r}: a setting is written key=value, like learning_rate=5e-4")
    try:
        return OmegaConf.from_dotlist([word])
    except (OmegaConfBaseException, YAMLError) as error:
        raise SettingsError(f"{word!r}: the value cannot be read: {_first_line(error)}") from error


def _merge(settings: Any, new: Any, origin: str, kind: type) -> Any:
    try:
        return OmegaConf.merge(settings, new)
    except (ConfigKeyError, ConfigAttributeError) as error:
        unknown = str(error.full_key)
        raise SettingsError(
            f"{origin}: {unknown} is no setting{_meant(unknown, list(keys(kind)))}"
        ) from error
    except OmegaConfBaseException as error:
        where = f"{error.full_key}: " if error.full_key else ""
        wants_a_list = "is not a TupleConfig" in str(error)
        what = "want a list, like [front] or [front,wrist]" if wants_a_list else _first_line(error)
        raise SettingsError(f"{origin}: {where}{what}") from error


def _meant(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if not near:  # the last part of a dotted key says more than the whole
        near = [key for key in known if key.rpartition(".")[2] == word.rpartition(".")[2]][:1]
    return f": did you mean {near[0]}?" if near else ""


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
