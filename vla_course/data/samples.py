"""Demonstrations as a model learns from them: picture and prompt in, the expert's action as tokens, and what is learned of it.

Prompt, state and pictures are made by the functions that make them when the robot acts: what is trained is what is asked.
"""

import tempfile
from collections.abc import Callable, Iterable
from functools import partial

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from PIL import Image

from vla_course.action_tokens import action_statistics, normalize_actions, tokenize_actions
from vla_course.data.augmentation import AugmentationConfig, augment, center_crop, moved_scene
from vla_course.data.lerobot import LeRobotDataset, Track
from vla_course.data.mirror import mirrored_order, mirrored_tracks, mirrored_views
from vla_course.data.schema import STATE
from vla_course.data.statistics import HAND, dataset_statistics, state_dimensions
from vla_course.data.waypoints import states_ahead
from vla_course.envs.table import CLOSE_CAMERA, table_in_close_picture
from vla_course.openvla.model import OpenVLAForActionPrediction
from vla_course.openvla.processor import OpenVLAProcessor, build_prompt, with_empty_token

UNLEARNED = -100
"""The label of what is not learned, for every loss of torch and transformers."""


def build_labels(
    input_ids: Int[torch.Tensor, " L"], prompt_length: int, pad_id: int
) -> Int[torch.Tensor, " L"]:
    """The ids to learn, and -100 everywhere else: the action tokens and the `</s>` behind them are learned.

    `input_ids` is one row: the prompt, the action, `</s>`, and padding at the end. Labels stand where their ids stand: the
    model compares each position's prediction with the next label by itself.

    Source: openvla/openvla @ c8f03f48, prismatic/vla/datasets/datasets.py (RLDSBatchTransform).
    """
    labels = input_ids.clone()
    labels[:prompt_length] = UNLEARNED
    labels[input_ids == pad_id] = UNLEARNED
    return labels


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
    several chosen cameras each picture is augmented by itself, as in OpenVLA's own training.

    Raises:
        ValueError: the model has no processor, does not know `key`, looks at another number of pictures than the set's chosen
            cameras show, or is told a state of another length than the set's; or what should be mirrored are not two hands, or
            not their cameras.
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
        labels: Callable[..., Int[torch.Tensor, " L"]] = build_labels,
        normalize: Callable[..., np.ndarray] = normalize_actions,
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
        ways = (None, mirrored_tracks) if mirror else (None,)
        words = [_words(model, dataset, key, chosen, labels, normalize, way) for way in ways]
        self._ids, self._labels, self._mask, self._text, self._states, self._next = (
            torch.cat(parts) for parts in zip(*words, strict=True)
        )
        self._shift_m = 0.0 if augmentation is None else augmentation.shift_m
        if self._shift_m and dataset.cameras != (CLOSE_CAMERA,):
            raise ValueError(
                f"scenes can be moved in the pictures of {CLOSE_CAMERA} alone, which is known to look at the table's middle, "
                f"not of {', '.join(dataset.cameras)}: set shift_m=0"
            )
        self._tokens = partial(model.state_tokens, unnorm_key=key)
        self._state_dim, self._ahead = model.config.state_dim, list(model.config.waypoint_dims)
        self._pictures = _pictures(dataset, chosen, self._processor.image_size)

    def __len__(self) -> int:
        return len(self._ids)

    def words(self, indices: Int[np.ndarray, " B"]) -> dict[str, torch.Tensor]:
        """`input_ids`, `attention_mask` and `labels` of these frames, padded at the end."""
        rows = torch.from_numpy(np.asarray(indices))
        mask = self._mask[rows]
        longest = int(mask.sum(1).max())
        return {
            "input_ids": self._ids[rows, :longest],
            "attention_mask": mask[:, :longest],
            "labels": self._labels[rows, :longest],
        }

    def batch(
        self, indices: Int[np.ndarray, " B"], rng: np.random.Generator | None = None
    ) -> dict[str, torch.Tensor]:
        """The words of these frames and their pictures, augmented with `rng`."""
        shift_m = np.zeros((len(indices), 2))
        if rng is not None and self._shift_m:
            shift_m = rng.uniform(-self._shift_m, self._shift_m, shift_m.shape)
        words = self.words(indices)
        if shift_m.any() and self._state_dim:
            self._move(words, indices, shift_m)
        return {**words, "pixel_values": self._pixels(self._images(indices), rng, shift_m)}

    def _move(
        self, words: dict[str, torch.Tensor], indices: Int[np.ndarray, " B"], shift_m: Float[np.ndarray, "B 2"]
    ) -> None:
        """Say of hands, and of where they go, that they are so much further along the table. Steps stay as they are."""
        rows = torch.from_numpy(np.asarray(indices))
        moved = np.zeros((len(rows), self._state_dim))
        for axis in range(2):
            for hand in range(self._state_dim // HAND):
                moved[:, HAND * hand + axis] = shift_m[:, axis]
        here = torch.arange(self._state_dim)
        places = self._text[rows, None] + here
        words["input_ids"].scatter_(1, places, torch.from_numpy(self._tokens(self._states[rows].numpy() + moved)))
        if self._ahead:
            there = torch.from_numpy(self._tokens(self._next[rows].numpy() + moved)[:, self._ahead])
            places = self._text[rows, None] + self._state_dim + 1 + torch.arange(len(self._ahead))
            for name in ("input_ids", "labels"):
                words[name].scatter_(1, places, there)

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


def _words(
    model: OpenVLAForActionPrediction,
    dataset: LeRobotDataset,
    key: str,
    chosen: Int[np.ndarray, " N"],
    labels: Callable[..., Int[torch.Tensor, " L"]],
    normalize: Callable[..., np.ndarray],
    changed: Callable[[Iterable[Track]], Iterable[Track]] | None = None,
) -> tuple[torch.Tensor, ...]:
    """Of the chosen frames ids, labels and attention mask (N, L), how long the text is (N), state and the state ahead (N, S)."""
    config, processor = model.config, model.processor
    assert processor is not None
    statistics = action_statistics(config.norm_stats, key)
    end = torch.tensor([config.text_config.eos_token_id])
    episode_index, begins = dataset.episode_index[chosen], np.cumsum([0, *dataset.lengths])
    rows: list[torch.Tensor] = []
    lengths: list[int] = []
    texts: list[int] = []
    states: list[np.ndarray] = []
    states_to_come: list[np.ndarray] = []
    found: dict[int, tuple[torch.Tensor, np.ndarray, np.ndarray, Track, np.ndarray]] = {}
    for episode in np.unique(episode_index).tolist():
        track = dataset.track(episode)
        if changed is not None:
            (track,) = changed([track])
        scaled = normalize(track.actions.astype(float), statistics.q01, statistics.q99, statistics.mask)
        actions = tokenize_actions(scaled, config.vocabulary_size)
        said = (
            model.state_tokens(track.states, key)
            if config.state_dim
            else np.empty((len(actions), 0), np.int64)
        )
        ahead = track.states
        if config.waypoint_dims:
            ahead = states_ahead(track.states)
            waypoints = model.waypoint_tokens(ahead[:, list(config.waypoint_dims)].astype(float), track.states, key)
            actions = np.concatenate([waypoints, actions], axis=1)
        text = processor.token_ids(build_prompt(track.instruction))
        found[episode] = (text, said, actions, track, ahead)
    for episode, frame in zip(episode_index.tolist(), (chosen - begins[episode_index]).tolist(), strict=True):
        text, said, actions, track, ahead = found[episode]
        prompt = torch.cat([text, torch.from_numpy(said[frame])])
        prompt, _ = with_empty_token(prompt, torch.ones_like(prompt), config.empty_token_id)
        rows.append(torch.cat([prompt, torch.from_numpy(actions[frame]), end]))
        lengths.append(len(prompt))
        texts.append(len(text))
        states.append(track.states[frame])
        states_to_come.append(ahead[frame])
    longest, pad = max(map(len, rows)), config.pad_token_id
    ids = torch.stack([torch.cat([row, row.new_full((longest - len(row),), pad)]) for row in rows])
    learned = torch.stack([labels(row, length, pad) for row, length in zip(ids, lengths, strict=True)])
    told = len(config.waypoint_dims)  # behind what is said of waypoints stands how far they are, which is told
    for row, length in zip(learned, lengths, strict=True):
        row[length + told : length + 2 * told] = UNLEARNED
    mask = torch.arange(longest) < torch.tensor([len(row) for row in rows])[:, None]
    numbers = (torch.from_numpy(np.stack(rows)) for rows in (states, states_to_come))
    return ids, learned, mask.long(), torch.tensor(texts), *numbers


def _pictures(
    dataset: LeRobotDataset, chosen: Int[np.ndarray, " N"], size: int
) -> UInt8[np.ndarray, "N C H W 3"]:
    """The chosen frames at the model's size, in a file that goes with the process. Resized as the processor does it."""
    cameras = dataset.cameras
    places = {int(frame): place for place, frame in enumerate(chosen)}
    with tempfile.TemporaryFile(prefix="vla_course_") as file:  # the map outlives it
        pictures = np.memmap(file, np.uint8, "w+", shape=(len(chosen), len(cameras), size, size, 3))
    begins = np.cumsum([0, *dataset.lengths])
    for episode in np.unique(dataset.episode_index[chosen]).tolist():
        for view, camera in enumerate(cameras):
            for frame, image in enumerate(dataset.images(episode, camera), int(begins[episode])):
                if frame in places:
                    square = Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC)
                    pictures[places[frame], view] = np.asarray(square)
    return pictures
