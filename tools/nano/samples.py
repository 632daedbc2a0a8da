"""What the language model learns from: sentences about pictures, as token ids, with all that is known of their answers."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from assemble import KEY, action_stats, normalize
from nano_config import NanoConfig
from scenes import NO_SPOT, shard_path
from tokenizers import Tokenizer
from towers import spot_shares
from words import BOS, EMPTY, point_prompt, question_prompt

from vla_course.action_tokens import tokenize_actions
from vla_course.openvla.config import PATCH_SIZE
from vla_course.openvla.processor import build_prompt

PLACE_MIDDLE, PLACE_SCALE = np.array([0.075, 0.0]), np.array([0.20, 0.26])
"""Places on the table, metres, as numbers in [-1, 1] and so as action tokens."""
OFFSET_SCALE = np.array([0.20, 0.26, 0.12])
VALUES = 14
"""Numbers that the linear head is asked for: seven of the action, the places of target and destination, the way from the hand
to the target. The last is what an action hangs on: whether the hand is above *that* thing."""
NEAR_M = 0.07


@dataclass
class Samples:
    """Sentences about pictures, in the order of their frames."""

    images: list[np.ndarray]
    """One array a shard, (N, H, W, 3)."""
    shares: np.ndarray
    """(F, P, spots): which share of each patch shows what."""
    frame: np.ndarray
    prompt: list[list[int]]
    answer: list[list[int]]
    values: np.ndarray
    """(N, VALUES), NaN where nothing is asked."""
    points: np.ndarray
    """(N, 2): the spots of target and destination."""
    weight: np.ndarray
    """How often a sentence is drawn, among those of its frame."""
    frame_weight: np.ndarray

    def __post_init__(self) -> None:
        """Find what all prompts begin with, and where each frame's sentences lie."""
        self.common = common_prefix(self.prompt)
        self.begins = np.searchsorted(self.frame, np.arange(len(self.shares) + 1))
        chance = self.frame_weight * (self.begins[1:] > self.begins[:-1])
        self._cumulative = np.cumsum(chance / chance.sum())
        self._shard_begins = np.cumsum([0, *(len(images) for images in self.images)])

    def draw(self, rng: np.random.Generator, frames: int, sentences: int) -> tuple[np.ndarray, np.ndarray]:
        """Up to so many frames, in order, and of each up to so many of its sentences: frames (F,) and sentences (R,)."""
        drawn = np.searchsorted(self._cumulative, rng.random(frames)).clip(max=len(self.shares) - 1)
        drawn = np.unique(drawn)
        rows = []
        for frame in drawn:
            those = np.arange(self.begins[frame], self.begins[frame + 1])
            luck = rng.exponential(size=len(those)) / self.weight[those]
            rows.append(those[np.argsort(luck)[:sentences]])
        return drawn, np.concatenate(rows)

    def pictures(self, frames: np.ndarray) -> np.ndarray:
        """The pictures of these frames."""
        shard = np.searchsorted(self._shard_begins, frames, side="right") - 1
        return np.stack(
            [self.images[s][f - self._shard_begins[s]] for s, f in zip(shard, frames, strict=True)]
        )


def common_prefix(lines: list[list[int]]) -> int:
    """How many tokens all lines begin with; never all of a line."""
    first, last = min(lines), max(lines)
    same = next((k for k, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return min(same, min(len(line) for line in lines) - 1)


class Encoder:
    """Token ids of sentences, each encoded once."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer, self._known = tokenizer, {}

    def __call__(self, text: str) -> list[int]:
        """The ids, without a start token."""
        if text not in self._known:
            self._known[text] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return self._known[text]


def sight_samples(config: NanoConfig, folder: Path, tokenizer: Tokenizer) -> Samples:
    """Questions with their answers, and every named thing to point at."""
    ids = Encoder(tokenizer)
    rows: dict[str, list[Any]] = {
        key: [] for key in ("frame", "prompt", "answer", "values", "points", "weight")
    }

    def add(**row: Any) -> None:
        for key, value in row.items():
            rows[key].append(value)

    images, shares = [], []
    number = 0
    for k in range(config.scenes.sight_shards):
        shard = np.load(shard_path(folder / "scenes", "sight", k))
        images.append(shard["image"])
        shares.append(spot_shares(shard["spot"], config.image_size // PATCH_SIZE))
        for words, hand in zip(json.loads(str(shard["words"])), shard["hand"], strict=True):
            for question, said in words["questions"]:
                add(
                    frame=number,
                    prompt=[BOS, *ids(question_prompt(question))],
                    answer=ids(f" {said}"),
                    values=[np.nan] * VALUES,
                    points=[NO_SPOT, NO_SPOT],
                    weight=1.0,
                )
            for thing, spot, x, y in words["points"]:
                place = (np.array([x, y]) - PLACE_MIDDLE) / PLACE_SCALE
                offset = (np.array([x, y]) - hand[:2]) / OFFSET_SCALE[:2]
                add(
                    frame=number,
                    prompt=[BOS, *ids(point_prompt(thing)), EMPTY],
                    answer=tokenize_actions(place, config.vocabulary_size).tolist(),
                    values=[*[np.nan] * 7, *place, np.nan, np.nan, *offset, np.nan],
                    points=[spot, NO_SPOT],
                    weight=config.learn.pointing,
                )
            number += 1
    return _samples(images, shares, rows, np.ones(number))


def action_samples(
    config: NanoConfig,
    folder: Path,
    tokenizer: Tokenizer,
    path_of: Callable[..., Path] = shard_path,
    stats: dict[str, dict[str, object]] | None = None,
) -> tuple[Samples, dict[str, dict[str, object]]]:
    """Demonstrations, and the statistics their actions are normalised by: `stats`, or else their own."""
    ids = Encoder(tokenizer)
    paths = [path_of(folder / "scenes", "actions", k) for k in range(config.scenes.action_shards)]
    paths += sorted((folder / "scenes").glob("corrections_*.npz"))
    images, shares, found, texts, states = [], [], [], [], []
    number = 0
    for path in paths:
        shard = np.load(path)
        images.append(shard["image"])
        shares.append(spot_shares(shard["spot"], config.image_size // PATCH_SIZE))
        keys = ("frame", "action", "target", "destination", "offset", "points", "first")
        found.append({key: shard[key] for key in keys} | {"frame": shard["frame"] + number})
        states.append(shard["state"])
        texts += json.loads(str(shard["words"]))
        number += len(shard["image"])
    every = {key: np.concatenate([part[key] for part in found]) for key in found[0]}
    demonstrations = sum(len(part["frame"]) for part in found[: config.scenes.action_shards])
    shown = np.concatenate(states[: config.scenes.action_shards])
    stats = stats or action_stats(every["action"][:demonstrations], shown)
    state = np.concatenate(states)
    said = tokenize_actions(normalize(state, stats, "proprio"), config.vocabulary_size).tolist()
    scaled = normalize(every["action"], stats)
    places = [(every[key] - PLACE_MIDDLE) / PLACE_SCALE for key in ("target", "destination")]
    # A motion that many demonstrations share to the last digit would outvote all others in its one bin.
    spread = np.random.default_rng([config.seed, 6]).normal(0, config.learn.spread, scaled.shape)
    spread[:, 6] = 0
    rows = {
        "frame": every["frame"],
        "prompt": [
            [BOS, *ids(build_prompt(text)), *said[frame], EMPTY]
            for text, frame in zip(texts, every["frame"], strict=True)
        ],
        "answer": tokenize_actions((scaled + spread).clip(-1, 1), config.vocabulary_size).tolist(),
        "values": np.concatenate([scaled, *places, every["offset"] / OFFSET_SCALE], 1),
        "points": every["points"],
        "weight": np.where(every["first"], config.learn.own_task, 1.0),
    }
    decisive = np.ones(number)
    near = every["frame"][every["first"] & (np.linalg.norm(every["offset"], axis=1) < NEAR_M)]
    decisive[near] = config.learn.decisive
    decisive[sum(len(part) for part in images[: config.scenes.action_shards]) :] *= config.learn.corrected
    q01 = np.round(np.array(stats[KEY]["action"]["q01"]), 3)
    print(f"{len(texts)} actions on {number} frames; q01 {q01}", flush=True)
    return _samples(images, shares, rows, decisive), stats


def _samples(
    images: list[np.ndarray], shares: list[np.ndarray], rows: dict[str, Any], frame_weight: np.ndarray
) -> Samples:
    return Samples(
        images,
        np.concatenate(shares),
        np.array(rows["frame"]),
        rows["prompt"],
        rows["answer"],
        np.array(rows["values"], np.float32),
        np.array(rows["points"]),
        np.array(rows["weight"], np.float64),
        frame_weight,
    )
