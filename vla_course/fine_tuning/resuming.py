"""Whether a run can be resumed: the same settings where they decide what is learned, and the same files to learn from."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from vla_course.files import sha256_of
from vla_course.fine_tuning.config import FREE_ON_RESUME, TrainConfig
from vla_course.settings import SettingsError, to_yaml, with_present_names
from vla_course.training import checkpoints
from vla_course.training.checkpoints import Checkpoint

DATA_FOLDERS = ("meta", "data", "videos", "recording")
MODEL_FILES = ("config.json", "adapter_config.json", "*.safetensors")
LARGE, END = 256 * 2**20, 2**20


def kept_checkpoint(config: TrainConfig, sources: Mapping[str, str] | None = None) -> Checkpoint | None:
    """The checkpoint in the run's folder, or None where there is none; `sources` says what `sources_of` finds now.

    Raises:
        SettingsError: it is of a run with other settings or from other files, or damaged.
    """
    kept = checkpoints.load(Path(config.out))
    if kept is None:
        return None
    other = _other_settings(kept, config)
    if [key for key, _, _ in other] == ["steps"]:
        raise SettingsError(_more_steps(kept, config, other[0][1]))
    if other:
        named = ", ".join(f"{key}={theirs}, here {ours}" for key, theirs, ours in other)
        raise SettingsError(
            f"{config.out} holds a run with other settings ({named}): choose another folder, or remove that one"
        )
    if kept.sources and sources and (changes := _changes(kept.sources, sources)):
        raise SettingsError(
            f"the files that the run in {config.out} learns from have changed ({changes}): restore them, or choose another folder "
            "for a new run"
        )
    if kept.step > config.steps:
        raise SettingsError(
            f"{config.out}/{checkpoints.NAME} is damaged (step {kept.step} of {config.steps}): remove it to begin again"
        )
    return kept


def settings_of(config: TrainConfig) -> str:
    """The settings that a checkpoint keeps: without the run's folder, and without what the data decide."""
    return to_yaml(replace(config, out="", image_size=None, state_key=None))


def sources_of(config: TrainConfig) -> dict[str, str]:
    """Fingerprints of the files that a run learns from: all of the data set's, and those of the model in `init_from`, or its name
    where it is no folder.
    """
    found: dict[str, str] = {}
    for part in DATA_FOLDERS:
        found |= _fingerprints("data", Path(config.data), f"{part}/**/*")
    if config.init_from is not None:
        folder = Path(config.init_from).expanduser()
        model = [_fingerprints("init_from", folder, name) for name in MODEL_FILES]
        found |= {name: digest for files in model for name, digest in files.items()} or {
            "init_from": config.init_from
        }
    return found


def fingerprint(path: Path) -> str:
    """A file's SHA-256. Of one above 256 MiB, its size and the SHA-256 of its first and last MiB: hashing gigabytes takes minutes."""
    size = path.stat().st_size
    if size <= LARGE:
        return sha256_of(path)
    with path.open("rb") as file:
        begin = file.read(END)
        file.seek(-END, 2)
        return f"{size} {hashlib.sha256(begin + file.read()).hexdigest()}"


def _fingerprints(setting: str, root: Path, pattern: str) -> dict[str, str]:
    files = (path for path in sorted(root.glob(pattern)) if path.is_file() and path.name[0] != ".")
    return {f"{setting}: {path.relative_to(root).as_posix()}": fingerprint(path) for path in files}


def _other_settings(kept: Checkpoint, config: TrainConfig) -> list[tuple[str, Any, Any]]:
    """Settings that decide what is learned and differ: key, value in the checkpoint, value here."""
    theirs, ours = (
        _flat(with_present_names(yaml.safe_load(text), config.out, TrainConfig))
        for text in (kept.settings, settings_of(config))
    )
    free = FREE_ON_RESUME if kept.sources else FREE_ON_RESUME - {"data", "init_from"}  # known by name alone
    return [
        (key, theirs.get(key), ours.get(key))
        for key in ours | theirs
        if key not in free and theirs.get(key) != ours.get(key)
    ]


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in settings.items():
        found |= _flat(value, f"{key}.") if isinstance(value, dict) else {prefix + key: value}
    return found


def _more_steps(kept: Checkpoint, config: TrainConfig, steps: int) -> str:
    first = "" if kept.step == steps else f"finish it with steps={steps} (it is at step {kept.step}), then "
    return (
        f"{config.out} holds a run of steps={steps}, and cannot go on to steps={config.steps}: its learning rate follows a curve "
        f"that ends with step {steps}. To train on from what it learned, {first}begin another run: --init-from {config.out} "
        "with another --out"
    )


def _changes(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    names = [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]
    words = [
        f"{name} is {'new' if name not in before else 'gone' if name not in now else 'another'}"
        for name in names
    ]
    more = f" and {len(words) - 3} more" if len(words) > 3 else ""
    return ", ".join(words[:3]) + more
