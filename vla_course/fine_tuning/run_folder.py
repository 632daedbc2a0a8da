"""A run's folder: what it was told, what it measured, and what it learned, enough to act with it.

`config.yaml`, `metrics.jsonl`, `tensorboard/` and `checkpoint.pt` (to go on from); then `dataset_statistics.json` and either an
adapter as huggingface/peft writes it, or a whole model in the published format.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vla_course.adapters import peft_format
from vla_course.adapters.lora import LoRALinear, merge, unpack
from vla_course.data.waypoints import PLACES
from vla_course.files import write_text
from vla_course.fine_tuning.config import TrainConfig
from vla_course.fine_tuning.modes import Layer
from vla_course.openvla import checkpoint
from vla_course.openvla.load import load_vla
from vla_course.openvla.model import OpenVLAForActionPrediction
from vla_course.settings import read_settings, to_yaml

CONFIG, STATISTICS = "config.yaml", "dataset_statistics.json"


@dataclass(frozen=True)
class FineTuned:
    """A model that has been fine-tuned, and how."""

    model: OpenVLAForActionPrediction
    config: TrainConfig

    @property
    def key(self) -> str:
        """The data set whose actions it speaks."""
        return str(self.config.unnorm_key)


def is_run(folder: str | Path) -> bool:
    """Whether this is the folder of a fine-tuning."""
    return (Path(folder) / CONFIG).exists()


def write_config(config: TrainConfig) -> None:
    """Keep the settings of a run in its folder."""
    write_text(Path(config.out) / CONFIG, to_yaml(config))


def read_config(folder: str | Path) -> TrainConfig:
    """The settings of a run.

    Raises:
        FileNotFoundError: the folder holds no run.
        SettingsError: its config.yaml does not fit this version.
    """
    if not is_run(folder):
        raise FileNotFoundError(
            f"{folder} holds no {CONFIG}: want the folder of a run, as `vla-course train` makes it"
        )
    return read_settings(TrainConfig, file=Path(folder) / CONFIG, recorded=True)


def base_model(config: TrainConfig, *, _from: tuple[Path, ...] = ()) -> OpenVLAForActionPrediction:
    """The model that a run begins with, in four bits where its settings say so. Nothing is downloaded.

    Where `init_from` is a run that learned adapters, they are merged into its own base, unless this run learns such adapters
    too: then they are left out here, and `first_adapter` names them. A run that learns all weights gets whole ones, whatever
    its beginning was kept in.

    Raises:
        FileNotFoundError: `init_from` is neither a model nor a run on this machine.
        ValueError: runs begin with each other, in a circle; or their files do not fit together.
        CannotRunError: the machine cannot run a model of this scale.
    """
    if config.init_from is None:
        return load_vla(config.scale, bits=config.bits)
    folder = Path(config.init_from)
    if not is_adapter(folder):
        return load_vla(config.scale, path=_local_model(config.init_from), bits=config.bits)
    if folder.resolve() in _from:
        raise ValueError(
            f"init_from: {folder} begins with itself ({' from '.join(map(str, [*_from, folder]))})"
        )
    model = base_model(read_config(folder), _from=(*_from, folder.resolve()))
    if not config.adapts:
        peft_format.load_adapter(model, folder)
        merge(model, keep=False)
        unpack(model)  # layers that took no adapter
    return model


def _local_model(name: str) -> Path:
    """The folder of a model that settings name. A folder of settings may come from anyone: it causes no request to the hub."""
    try:
        return checkpoint.find(name, local_files_only=True)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"init_from: {name} is no folder on this machine, and a run downloads nothing; if it is a repository of the hub "
            f"that you trust: hf download {name}"
        ) from error


def first_adapter(config: TrainConfig) -> Path | None:
    """The adapter that a run goes on learning, if it begins with one.

    Raises:
        ValueError: it has other settings, or other weights below it, than this run wants.
    """
    if config.init_from is None or not config.adapts or not is_adapter(Path(config.init_from)):
        return None
    earlier = read_config(config.init_from)
    for name in ("lora", "bits", "scale"):
        if getattr(earlier, name) != getattr(config, name):
            raise ValueError(
                f"init_from: {config.init_from} was learned with {name}={getattr(earlier, name)}, and this run wants "
                f"{getattr(config, name)}: use the same, or training_mode=full, which merges it first"
            )
    return Path(config.init_from)


def is_adapter(folder: Path) -> bool:
    """Whether the folder holds an adapter."""
    return (folder / peft_format.SETTINGS).exists()


def tell_data(
    model: OpenVLAForActionPrediction,
    statistics: Mapping[str, Any],
    state_dim: int,
    num_images: int = 1,
    waypoints: bool = False,
) -> None:
    """Let the model speak the numbers of a data set, {key: statistics}, be told as many numbers of a state, look at as many pictures."""
    model.set_num_images(num_images)
    model.config.norm_stats = dict(statistics)
    model.config.state_dim = state_dim
    model.config.waypoint_dims = list(PLACES) if waypoints else []
    if model.processor is not None:
        model.processor.state_dim = state_dim


def save_learned(model: OpenVLAForActionPrediction, config: TrainConfig) -> None:
    """Write what was learned: the adapter, or the whole model.

    Raises:
        OSError: the disk is full, for example; the run's checkpoint is as it was, so that the same command goes on.
    """
    folder = Path(config.out)
    if config.adapts:
        peft_format.save_adapter(model, folder)
    else:
        model.save_pretrained(folder)
    write_text(folder / STATISTICS, json.dumps(model.config.norm_stats, indent=2) + "\n")


def load_run(folder: str | Path, layer: Layer = LoRALinear) -> FineTuned:
    """The fine-tuned model of a run, ready to act.

    Raises:
        FileNotFoundError: the folder holds no run, or one that has not ended, or what the run began with is gone.
        ValueError: its files do not fit together.
    """
    folder, config = Path(folder), read_config(folder)
    if not (folder / STATISTICS).exists():
        raise FileNotFoundError(
            f"{folder} holds a run that has not ended: `vla-course train` with its settings goes on"
        )
    statistics = checkpoint.read_statistics(folder / STATISTICS)
    if config.adapts:
        model = base_model(config)
        peft_format.load_adapter(model, folder, layer)
        tell_data(model, statistics, config.state_dim or 0, config.num_images, config.waypoints)
    else:
        model = load_vla(config.scale, path=folder)
    return FineTuned(model.eval(), config)
