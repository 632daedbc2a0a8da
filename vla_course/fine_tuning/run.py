"""One fine-tuning from its settings: data and model are brought together, something learns, the run's folder keeps it."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from vla_course.adapters.lora import LoRALinear
from vla_course.data.augmentation import AugmentationConfig
from vla_course.data.lerobot import LeRobotDataset, Track
from vla_course.data.mirror import mirrored_order, mirrored_tracks
from vla_course.data.samples import DemonstrationSamples
from vla_course.data.splits import split_by_episode
from vla_course.data.statistics import HANDS, dataset_statistics, state_dimensions, told_dimensions
from vla_course.data.waypoints import HANDS_THAT_FEEL
from vla_course.files import remove_partials, writing_alone
from vla_course.fine_tuning.config import TrainConfig
from vla_course.fine_tuning.frozen_features import Samples, gigabytes, look_once
from vla_course.fine_tuning.loop import Loss, Schedule, Watch, fine_tune
from vla_course.fine_tuning.losses import action_token_loss
from vla_course.fine_tuning.modes import Layer, learning_count, prepare, towers_are_frozen
from vla_course.fine_tuning.resuming import kept_checkpoint, sources_of
from vla_course.fine_tuning.run_folder import base_model, first_adapter, save_learned, tell_data, write_config
from vla_course.openvla.model import OpenVLAForActionPrediction
from vla_course.training.sample_order import Order
from vla_course.training.schedule import warmup_cosine


@dataclass(frozen=True)
class Prepared:
    """A model, what it will learn from, and settings in which nothing is left open."""

    model: OpenVLAForActionPrediction
    samples: Samples
    validation: Samples | None
    config: TrainConfig
    sources: dict[str, str] = field(default_factory=dict)
    """Fingerprints of the files behind samples and model."""

    def __str__(self) -> str:
        """What learns from what, in one line."""
        learns, of = learning_count(self.model)
        kept = "" if isinstance(self.samples, DemonstrationSamples) else ", each picture looked at once"
        return f"{self.config.training_mode}: {learns:,} of {of:,} numbers learn from {len(self.samples):,} frames{kept}"


def begin(config: TrainConfig, *, layer: Layer = LoRALinear) -> Prepared:
    """Load model and data, check that they fit, and decide what learns; `layer` makes the adapter of a linear layer.

    Raises:
        FileNotFoundError: there is no such data set, model or run.
        ValueError: the data are damaged, or do not fit the settings, or the folder holds another run; the message says what to change.
        InUseError: another process trains in this folder.
        CannotRunError: the machine cannot run a model of this scale.
    """
    dataset = LeRobotDataset(config.data, cameras=config.cameras or None)
    config = _completed(config, dataset)
    sources = sources_of(config)
    with _alone(config.out):  # whether a run can begin is said before a model is loaded
        kept_checkpoint(config, sources)
    model = base_model(config)
    assert config.unnorm_key is not None and config.state_dim is not None
    tracks = dict(enumerate(dataset.tracks()))  # read once, for statistics and samples
    tell_data(
        model, _statistics(dataset, tracks, config), config.state_dim, config.num_images, config.waypoints
    )
    prepare(model, config, layer=layer, adapter=first_adapter(config))
    left_out = split_by_episode(dataset.episode_index, config.validation_share, config.seed)
    samples = _samples(model, dataset, tracks, config, ~left_out, mirror=config.mirror)
    validation = _samples(model, dataset, tracks, config, left_out) if left_out.any() else None
    return Prepared(model, _looked_at(model, samples, config), validation, config, sources)


def train(
    prepared: Prepared,
    *,
    schedule: Schedule = warmup_cosine,
    loss: Loss | None = None,
    watch: Watch | None = None,
    progress: bool = True,
) -> Path:
    """Fine-tune to the end and write what was learned; returns the run's folder. A run that was broken off goes on.

    `loss` replaces the one that the settings ask for.

    Raises:
        ValueError: the folder holds a run with other settings.
        InUseError: another process trains in this folder.
        OSError: what was learned could not be written; the checkpoint is there, and the same command goes on.
    """
    config = prepared.config

    def loss_at(step: int) -> Loss:
        return loss or partial(action_token_loss, spread_bins=label_spread(config, step))

    with _alone(config.out) as folder:
        remove_partials(folder)
        write_config(config)
        fine_tune(
            prepared.model,
            prepared.samples,
            config,
            validation=prepared.validation,
            schedule=schedule,
            loss_at=loss_at,
            watch=watch,
            progress=progress,
            sources=prepared.sources,
        )
        save_learned(prepared.model.eval(), prepared.config)
    return folder


@contextmanager
def _alone(folder: str) -> Iterator[Path]:
    """The lock of a run's folder; of processes that train together, the first one holds it."""
    if os.environ.get("RANK", "0") != "0":
        yield Path(folder)
        return
    with writing_alone(folder):
        yield Path(folder)


def label_spread(config: TrainConfig, step: int) -> float:
    """Width of the bell curves in this step, bins."""
    begun = step / (0.5 * config.steps)
    return config.label_spread * max(1.0, 4.0 - 3.0 * begun)


def _completed(config: TrainConfig, dataset: LeRobotDataset) -> TrainConfig:
    """The settings with everything filled in that the data decide."""
    states, actions = (int(dataset.features[name]["shape"][0]) for name in ("observation.state", "action"))
    if config.state_dim not in (None, 0, states):
        raise ValueError(
            f"state_dim: {config.data} has states of {states} numbers, not {config.state_dim} (0 for none)"
        )
    if config.action_dim not in (None, actions):
        raise ValueError(
            f"action_dim: {config.data} has actions of {actions} numbers, not {config.action_dim}"
        )
    if dataset.state_key is not None and config.state_key not in (None, dataset.state_key):
        raise ValueError(
            f"state_key: the states of {config.data} are {dataset.state_key}, not {config.state_key}"
        )
    if config.waypoints and (config.state_dim == 0 or states != HANDS_THAT_FEEL):
        raise ValueError(
            f"waypoints: they are read off what both hands feel, {HANDS_THAT_FEEL} numbers of state; {config.data} has {states} and "
            f"state_dim={config.state_dim}: set waypoints=false"
        )
    key = config.state_key or dataset.state_key or HANDS
    if config.shift_m and config.state_dim != 0 and key != HANDS:
        raise ValueError(
            f"shift_m: where a scene is moved, hands are too, and the states of {config.data} are {key}: set shift_m=0 or state_dim=0"
        )
    height, width, _ = dataset.picture_shape(dataset.cameras[0])
    if config.image_size not in (None, (height, width)):
        raise ValueError(
            f"image_size: {config.data} has pictures of {height} × {width} pixels, not {config.image_size}"
        )
    return replace(
        config,
        image_size=(height, width),
        unnorm_key=config.unnorm_key or Path(config.data).resolve().name,
        cameras=dataset.cameras,
        state_key=key,
        state_dim=states if config.state_dim is None else config.state_dim,
        action_dim=actions,
    )


def _statistics(
    dataset: LeRobotDataset, episodes: Mapping[int, Track], config: TrainConfig
) -> dict[str, Any]:
    """Those of the data set; where it is mirrored, of both, so that left and right are measured alike."""
    assert config.unnorm_key is not None
    tracks = list(episodes.values())
    masks = {
        "state_mask": state_dimensions(config.state_key, tracks[0].states.shape[1]),
        "action_mask": _told(tracks, config),
    }
    if not config.mirror:
        return dataset_statistics(tracks, config.unnorm_key, **masks)
    try:
        if config.state_key != HANDS:
            raise ValueError(
                f"its states are {config.state_key}, and a mirror is known for those of hands, {HANDS}"
            )
        mirrored_order(dataset.cameras)
        both = [*tracks, *mirrored_tracks(tracks)]
        return dataset_statistics(both, config.unnorm_key, **masks)
    except ValueError as error:
        raise ValueError(f"mirror: {config.data} cannot be mirrored ({error}); set mirror=false") from error


def _told(tracks: Sequence[Track], config: TrainConfig) -> Bool[np.ndarray, " A"] | None:
    """The mask of actions, if the settings say which numbers stay as they are."""
    if config.unnormalized_dims is None:
        return None
    try:
        return told_dimensions(np.concatenate([track.actions for track in tracks]), config.unnormalized_dims)
    except ValueError as error:
        raise ValueError(f"unnormalized_dims: {config.data}: {error}") from error


def _samples(
    model: OpenVLAForActionPrediction,
    dataset: LeRobotDataset,
    tracks: Mapping[int, Track],
    config: TrainConfig,
    chosen: np.ndarray,
    *,
    mirror: bool = False,
) -> DemonstrationSamples:
    assert config.unnorm_key is not None
    return DemonstrationSamples(
        model,
        dataset,
        config.unnorm_key,
        frames=np.flatnonzero(chosen),
        augmentation=_augmentation(config),
        mirror=mirror,
        tracks=tracks,
    )


def _augmentation(config: TrainConfig) -> AugmentationConfig | None:
    if not config.augment:
        return None
    return AugmentationConfig(config.crop_area, shift_m=config.shift_m, phrasings=config.phrasings)


def _looked_at(
    model: OpenVLAForActionPrediction, samples: DemonstrationSamples, config: TrainConfig
) -> Samples:
    """The samples with the frozen towers' features in place of their pictures, where that is wanted and changes nothing."""
    same = towers_are_frozen(model) and not config.augment
    together = config.batch_size * int(os.environ.get("WORLD_SIZE", 1))  # processes take shares of one batch
    used = Order(len(samples), together, config.seed).used(config.steps * config.gradient_accumulation)
    needed = gigabytes(model, len(used))
    if config.cache_features and not same:
        raise ValueError(
            f"cache_features: in this run the eyes learn too (lora.targets={config.lora.targets}), and see something else "
            "after every step"
        )
    if config.cache_features and needed > config.cache_gb:
        raise ValueError(
            f"cache_features: the features take {needed:.1f} GB; set cache_gb={needed + 0.1:.1f} or more"
        )
    wanted = same and needed <= config.cache_gb if config.cache_features is None else config.cache_features
    return look_once(model, samples, used) if wanted else samples
