"""Demonstrations as a model learns from them: picture and prompt in, the expert's action as tokens, and what is learned of it.

Prompt, state and pictures are made by the functions that make them when the robot acts: what is trained is what is asked.
"""

import errno
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from PIL import Image

from vla_course.action_tokens import normalize_actions
from vla_course.data.augmentation import AugmentationConfig, augment, center_crop, moved_scene
from vla_course.data.lerobot import LeRobotDataset, Track
from vla_course.data.mirror import mirrored_order, mirrored_tracks, mirrored_views
from vla_course.data.schema import STATE
from vla_course.data.statistics import dataset_statistics, state_dimensions
from vla_course.data.token_rows import Labels, Normalize, build_labels, retold, sentences
from vla_course.envs.table import CLOSE_CAMERA, table_in_close_picture
from vla_course.openvla.model import OpenVLAForActionPrediction
from vla_course.openvla.processor import OpenVLAProcessor, build_prompt


def add_statistics(model: OpenVLAForActionPrediction, dataset: LeRobotDataset, key: str) -> None:
    """Let the model know the data set's statistics under this key, so that it can be trained on it, and say its actions."""
    mask = state_dimensions(dataset.state_key, *dataset.features[STATE]["shape"])
    found = dataset_statistics(dataset.tracks(), key, state_mask=mask)
    model.config.norm_stats = {**model.config.norm_stats, **found}


class DemonstrationSamples:
    """Frames of a data set as batches for `model(**batch)`; satisfies the trainer's idea of samples.

    With `rng` a batch's pictures are augmented; without, they are centre-cropped, as the robot's camera pictures must be when
    the model acts (`center_crop`); `augmentation=None` is for training without either. `frames` chooses (see
    `split_by_episode`). Pictures are decoded once, into a temporary file: memory does not grow with the set. With `mirror` every
    frame comes a second time, as a mirror between left and right shows it: sample N + i is sample i, mirrored. Of a set with
    several chosen cameras each picture is augmented by itself, as in OpenVLA's own training. `tracks` are the set's episodes by
    their number, where they have been read already.

    Raises:
        ValueError: the model has no processor, does not know `key`, looks at another number of pictures than the set's chosen
            cameras show, or is told a state of another length than the set's; or what should be mirrored are not two hands, or
            not their cameras; or there are other words for a set with several instructions.
    """

    def __init__(
        self,
        model: OpenVLAForActionPrediction,
        dataset: LeRobotDataset,
        key: str,
        *,
        frames: Int[np.ndarray, " N"] | None = None,
        augmentation: AugmentationConfig | None = AugmentationConfig(),  # noqa: B008  (frozen)
        mirror: bool = False,
        tracks: Mapping[int, Track] | None = None,
        labels: Labels = build_labels,
        normalize: Normalize = normalize_actions,
        crop: Callable[..., np.ndarray] = center_crop,
    ) -> None:
        if model.processor is None:
            raise ValueError("this model has no processor: set model.processor = OpenVLAProcessor(...)")
        self._processor: OpenVLAProcessor = model.processor
        self.augmentation, self._crop, self._cameras = augmentation, crop, dataset.cameras
        if len(dataset.cameras) != model.config.num_images:
            raise ValueError(
                f"this model looks at {model.config.num_images} pictures at once, and the set is read with "
                f"{len(dataset.cameras)} cameras ({', '.join(dataset.cameras)}): model.set_num_images tells it"
            )
        if mirror:
            mirrored_order(dataset.cameras)
        towers = self._processor.settings["tvf_normalize_params"]
        self._mean, self._std = (
            torch.tensor([tower[name] for tower in towers]).reshape(6, 1, 1) for name in ("mean", "std")
        )
        chosen = np.arange(dataset.num_frames) if frames is None else np.asarray(frames)
        used = np.unique(dataset.episode_index[chosen]).tolist()
        tracks = {episode: dataset.track(episode) for episode in used} if tracks is None else tracks
        rows = partial(sentences, model, dataset, key, chosen, tracks, labels, normalize)
        self._sentences = rows() + rows(mirrored_tracks) if mirror else rows()
        self._shift_m = 0.0 if augmentation is None else augmentation.shift_m
        if self._shift_m and dataset.cameras != (CLOSE_CAMERA,):
            raise ValueError(
                f"scenes can be moved in the pictures of {CLOSE_CAMERA} alone, which is known to look at the table's middle, "
                f"not of {', '.join(dataset.cameras)}: set shift_m=0"
            )
        self._model, self._key = model, key
        instructions = {words for episode in used for words in tracks[episode].said}
        self._texts = _texts(instructions, self._processor, augmentation)
        self._pictures = _pictures(dataset, chosen, self._processor.image_size)

    def __len__(self) -> int:
        return len(self._sentences)

    def words(self, indices: Int[np.ndarray, " B"]) -> dict[str, torch.Tensor]:
        """`input_ids`, `attention_mask` and `labels` of these frames, padded at the end."""
        return self._sentences.batch(indices)

    def batch(
        self, indices: Int[np.ndarray, " B"], rng: np.random.Generator | None = None
    ) -> dict[str, torch.Tensor]:
        """The words of these frames and their pictures, both augmented with `rng`."""
        shift_m, words = np.zeros((len(indices), 2)), self.words(indices)
        if rng is not None and self._shift_m:
            shift_m = rng.uniform(-self._shift_m, self._shift_m, shift_m.shape)
            if self._model.config.state_dim:
                words = self._sentences.moved(indices, shift_m, self._model, self._key)
        if rng is not None and len(self._texts) > 1:
            told = [self._texts[number] for number in rng.integers(len(self._texts), size=len(indices))]
            rows = torch.from_numpy(np.asarray(indices))
            words = retold(words, self._sentences.words[rows], told, self._model.config.pad_token_id)
        return {**words, "pixel_values": self._pixels(self._images(indices), rng, shift_m)}

    def _images(self, indices: Int[np.ndarray, " B"]) -> UInt8[np.ndarray, "B C H W 3"]:
        rows = np.asarray(indices)
        images: np.ndarray = np.array(self._pictures[rows % len(self._pictures)])
        mirrored = rows >= len(self._pictures)
        if mirrored.any():
            images[mirrored] = mirrored_views(images[mirrored], self._cameras)
        return images

    def _pixels(
        self,
        images: UInt8[np.ndarray, "B C H W 3"],
        rng: np.random.Generator | None,
        shift_m: Float[np.ndarray, "B 2"],
    ) -> Float[torch.Tensor, "B channels H W"]:
        if rng is None or self.augmentation is None:
            seen = images.reshape(-1, *images.shape[2:])
            seen = seen if self.augmentation is None else self._crop(seen, self.augmentation.crop_area)
            moments = seen.reshape(*images.shape[:2], *seen.shape[1:])
            return torch.stack([self._processor.all_pixel_values(list(views)) for views in moments])
        luck = torch.Generator().manual_seed(int(rng.integers(2**62)))
        pixels = torch.from_numpy(images).flatten(0, 1).permute(0, 3, 1, 2).to(torch.float32).div(255)
        warp = moved_scene(table_in_close_picture(), shift_m) if self._shift_m else None
        channels: torch.Tensor = augment(pixels, self.augmentation, luck, warp).repeat(1, 2, 1, 1)
        return channels.sub_(self._mean).div_(self._std).reshape(len(images), -1, *pixels.shape[-2:])


def _texts(
    own: Collection[str], processor: OpenVLAProcessor, augmentation: AugmentationConfig | None
) -> list[torch.Tensor]:
    """The set's `own` instruction and the other words for it, as token ids; nothing where there are none."""
    if augmentation is None or not augmentation.phrasings:
        return []
    if len(own) > 1:
        raise ValueError(
            f"other words are for one instruction, and this set has {len(own)} ({'; '.join(sorted(own))}): leave phrasings out"
        )
    return [processor.token_ids(build_prompt(text)) for text in (*own, *augmentation.phrasings)]


def _pictures(
    dataset: LeRobotDataset, chosen: Int[np.ndarray, " N"], size: int
) -> UInt8[np.ndarray, "N C H W 3"]:
    """The chosen frames at the model's size, in a file that goes with the process. Resized as the processor does it."""
    cameras = dataset.cameras
    places = {int(frame): place for place, frame in enumerate(chosen)}
    pictures = _map((len(chosen), len(cameras), size, size, 3))
    begins = np.cumsum([0, *dataset.lengths])
    for episode in np.unique(dataset.episode_index[chosen]).tolist():
        for view, camera in enumerate(cameras):
            for frame, image in enumerate(dataset.images(episode, camera), int(begins[episode])):
                if frame in places:
                    square = Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC)
                    pictures[places[frame], view] = np.asarray(square)
    return pictures


def _map(shape: tuple[int, ...]) -> np.memmap[Any, Any]:
    """An empty array in a temporary file, whose space is taken at once: where it ran out later, the process would be killed.

    Raises:
        OSError: there is not enough space.
    """
    needed, folder = math.prod(shape), tempfile.gettempdir()
    try:
        with tempfile.TemporaryFile(prefix="vla_course_", dir=folder) as file:  # the map outlives it
            if shutil.disk_usage(folder).free < needed:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if hasattr(os, "posix_fallocate"):  # not on macOS and Windows
                os.posix_fallocate(file.fileno(), 0, needed)
            return np.memmap(file, np.uint8, "w+", shape=shape)
    except OSError as error:
        free = shutil.disk_usage(folder).free
        raise OSError(
            f"the pictures need {needed / 1e9:.1f} GB in {folder}, where {free / 1e9:.1f} GB are free ({error.strerror}): set TMPDIR to a "
            "folder on a larger disk"
        ) from error
