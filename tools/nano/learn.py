"""Stages 3 and 4: the projector and the language model learn on what frozen towers see, first words, then actions.

Towers are frozen here, so every picture is looked at once and its features are kept in a file. Questions and pointing are about
every combination of colour and kind; actions are about those of the seen split only. The answer to "point at the red can" is
two action tokens, a place on the table, and a linear head reads the same place off the empty token of every action: the model
has to know where before it says how.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from assemble import KEY, action_stats, new_model, normalize
from nano_config import NanoConfig
from scenes import shard_path
from stage import Stage, learning_rate, set_learning_rate
from tokenizers import Tokenizer
from torch import nn
from torch.nn import functional
from words import ACTIONS, BOS, EMPTY, EOS, load_tokenizer, point_prompt, question_prompt

from vla_course.action_tokens import tokenize_actions
from vla_course.openvla.model import OpenVLAForActionPrediction
from vla_course.openvla.processor import OpenVLAProcessor, build_prompt

PLACE_MIDDLE, PLACE_SCALE = np.array([0.075, 0.0]), np.array([0.20, 0.26])
"""Places on the table, metres, as numbers in [-1, 1] and so as action tokens."""
NEAR_M = 0.07
UNLEARNED = -100


@dataclass
class Samples:
    """Sentences about pictures. `values` are what the linear head is asked for: seven of the action, two of the place."""

    features: np.ndarray
    """(F, P, D) float16, a file that is read where it is needed."""
    frame: np.ndarray
    prompt: list[list[int]]
    answer: list[list[int]]
    values: np.ndarray
    """(N, 9), NaN where nothing is asked."""
    weight: np.ndarray


def learn(stage_name: str, config: NanoConfig, folder: Path) -> None:
    """Train the stage "language" or "actions", from the stage before it; "actions" ends with a checkpoint in `folder/model`."""
    model, tokenizer = with_towers(config, folder), load_tokenizer(folder)
    features = {kind: cached_features(model, kind, config, folder) for kind in ("sight", "actions")}
    sight = sight_samples(features["sight"], config, folder, tokenizer)
    sources, shares = [sight], [1.0]
    settings = config.learn
    steps = settings.language_steps
    head = nn.Linear(config.language_width, 9)
    learners = nn.ModuleDict({"projector": model.projector, "language": model.language_model, "head": head})
    if stage_name == "actions":
        actions, stats = action_samples(features["actions"], config, folder, tokenizer)
        model.config.norm_stats = stats
        sources, shares = [actions, sight], [1 - settings.words_share, settings.words_share]
        steps = settings.action_steps
        before = folder / "language.pt"
        if before.exists():
            kept = torch.load(before, weights_only=True)
            learners.load_state_dict(kept["parts"]["learners"])
    optimizer = torch.optim.AdamW(
        learners.parameters(), lr=settings.learning_rate, weight_decay=0.02, betas=(0.9, 0.98)
    )
    stage = Stage(folder, stage_name, config, {"learners": learners, "optimizer": optimizer})
    rng = np.random.default_rng([config.seed, 4, stage.step])
    chances = [source.weight / source.weight.sum() for source in sources]
    cumulative = [np.cumsum(chance) for chance in chances]
    for step in range(stage.step, steps):
        set_learning_rate(optimizer, learning_rate(settings.learning_rate, step, steps))
        warm = stage_name == "language" or step < settings.warm_up_steps
        sigma = sigma_at(step / max(1, steps), config)
        losses: dict[str, torch.Tensor] = {}
        optimizer.zero_grad()
        for k, (source, share) in enumerate(zip(sources, shares, strict=True)):
            rows = np.searchsorted(cumulative[k], rng.random(max(1, round(share * settings.batch))))
            rows = np.minimum(rows, len(source.frame) - 1)
            token_loss, head_loss = losses_of(model, head, source, rows, sigma)
            loss = (
                share * (token_loss + head_loss * (1.0 if warm else 0.3))
                if k or stage_name == "language"
                else (share * ((0.3 if warm else 1.0) * token_loss + (3.0 if warm else 0.5) * head_loss))
            )
            loss.backward()
            losses |= {f"tokens_{k}": token_loss, f"head_{k}": head_loss}
        nn.utils.clip_grad_norm_(learners.parameters(), 1.0)
        optimizer.step()
        stage.after(step, {"sigma": sigma} | {key: value.item() for key, value in losses.items()})
        if stage_name == "actions" and (step + 1) % 500 == 0:
            save_model(model, tokenizer, folder)
    stage.save()
    if stage_name == "actions":
        save_model(model, tokenizer, folder)


def sigma_at(share: float, config: NanoConfig) -> float:
    """The width of the soft labels falls geometrically over the first two thirds."""
    first, last = config.learn.sigma_first, config.learn.sigma_last
    return float(first * (last / first) ** min(1.0, share / 0.67))


def save_model(model: OpenVLAForActionPrediction, tokenizer: Tokenizer, folder: Path) -> None:
    """In the published format, with its processor."""
    model.processor = OpenVLAProcessor(model.config, tokenizer)
    model.save_pretrained(folder / "model")


def with_towers(config: NanoConfig, folder: Path) -> OpenVLAForActionPrediction:
    """A new model with the towers that were taught."""
    model = new_model(config)
    for which in ("dinov2", "siglip"):
        kept = torch.load(folder / f"tower_{which}.pt", weights_only=True)
        getattr(model.vision_backbone, which).load_state_dict(kept["parts"]["tower"])
    model.vision_backbone.requires_grad_(False)
    return model


@torch.no_grad()
def cached_features(
    model: OpenVLAForActionPrediction, kind: str, config: NanoConfig, folder: Path
) -> np.ndarray:
    """What the towers see in every picture of the shards, computed once for these towers."""
    path = folder / f"features_{kind}.npy"
    newest = max((folder / f"tower_{which}.pt").stat().st_mtime for which in ("dinov2", "siglip"))
    if path.exists() and path.stat().st_mtime > newest:
        return np.load(path, mmap_mode="r")
    processor = OpenVLAProcessor(model.config, None)
    found = []
    count = config.scenes.sight_shards if kind == "sight" else config.scenes.action_shards
    for k in range(count):
        images = np.load(shard_path(folder / "scenes", kind, k))["image"]
        for begin in range(0, len(images), 256):
            pixels = torch.from_numpy(images[begin : begin + 256]).permute(0, 3, 1, 2).float() / 255
            pixels = pixels.repeat(1, 2, 1, 1).sub(processor._mean).div(processor._std)
            found.append(model.vision_backbone(pixels).half().numpy())
        print(f"features of {kind} {k + 1}/{count}", flush=True)
    partial = path.with_suffix(".partial.npy")
    np.save(partial, np.concatenate(found))
    os.replace(partial, path)
    return np.load(path, mmap_mode="r")


def sight_samples(features: np.ndarray, config: NanoConfig, folder: Path, tokenizer: Tokenizer) -> Samples:
    """Questions with their answers, and every named thing to point at."""
    frame, prompt, answer, values, weight = [], [], [], [], []
    ids = Encoder(tokenizer)
    number = 0
    for k in range(config.scenes.sight_shards):
        for words in json.loads(str(np.load(shard_path(folder / "scenes", "sight", k))["words"])):
            for question, said in words["questions"]:
                frame.append(number)
                prompt.append(ids(question_prompt(question)))
                answer.append(ids(f" {said}"))
                values.append([np.nan] * 9)
                weight.append(1.0)
            for thing, x, y, _ in words["points"]:
                place = (np.array([x, y]) - PLACE_MIDDLE) / PLACE_SCALE
                frame.append(number)
                prompt.append([*ids(point_prompt(thing)), EMPTY])
                answer.append(tokenize_actions(place, config.vocabulary_size).tolist())
                values.append([np.nan] * 7 + place.tolist())
                weight.append(6.0)  # pointing is what an action needs most
            number += 1
    return Samples(features, np.array(frame), prompt, answer, np.array(values, np.float32), np.array(weight))


def action_samples(
    features: np.ndarray, config: NanoConfig, folder: Path, tokenizer: Tokenizer
) -> tuple[Samples, dict[str, dict[str, object]]]:
    """Demonstrations, and the statistics their actions are normalised by."""
    shards = [
        np.load(shard_path(folder / "scenes", "actions", k)) for k in range(config.scenes.action_shards)
    ]
    counts = np.cumsum([0, *(len(shard["image"]) for shard in shards)])
    frame = np.concatenate([shard["frame"] + counts[k] for k, shard in enumerate(shards)])
    action = np.concatenate([shard["action"] for shard in shards])
    target = np.concatenate([shard["target"] for shard in shards])[:, :2]
    near = np.concatenate([shard["near"] for shard in shards])
    texts = [text for shard in shards for text in json.loads(str(shard["words"]))]
    stats = action_stats(action)
    scaled = normalize(action, stats)
    ids = Encoder(tokenizer)
    prompt = [[*ids(build_prompt(text)), EMPTY] for text in texts]
    answer = tokenize_actions(scaled, config.vocabulary_size).tolist()
    values = np.concatenate([scaled, (target - PLACE_MIDDLE) / PLACE_SCALE], 1).astype(np.float32)
    weight = np.where(near < NEAR_M, config.learn.decisive, 1.0)
    print(
        f"{len(frame)} actions on {counts[-1]} frames; q01 {np.round(stats[KEY]['action']['q01'], 3)}",
        flush=True,
    )
    return Samples(features, frame, prompt, answer, values, weight), stats


class Encoder:
    """Token ids of sentences, each encoded once."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer, self._known = tokenizer, {}

    def __call__(self, text: str) -> list[int]:
        """The ids, without a start token."""
        if text not in self._known:
            self._known[text] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return self._known[text]


def losses_of(
    model: OpenVLAForActionPrediction, head: nn.Linear, samples: Samples, rows: np.ndarray, sigma: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross-entropy of the answers' tokens (action tokens against a Gaussian over bins), and L1 of the linear head.

    Rows are padded at their end: a causal model never looks there, so no mask is needed.
    """
    lines = [[BOS, *samples.prompt[row], *samples.answer[row], EOS] for row in rows]
    length = max(len(line) for line in lines)
    ids = torch.tensor([line + [0] * (length - len(line)) for line in lines])
    labels = torch.full_like(ids, UNLEARNED)
    last = torch.tensor([len(samples.prompt[row]) for row in rows])
    for k, (row, line) in enumerate(zip(rows, lines, strict=True)):
        begin = 1 + len(samples.prompt[row])
        labels[k, begin : len(line)] = ids[k, begin : len(line)]
    features = torch.from_numpy(samples.features[samples.frame[rows]]).float()
    patches = model.projector(features)
    words = model.language_model.get_input_embeddings()(ids)
    hidden = model.language_model.model(
        inputs_embeds=torch.cat([words[:, :1], patches, words[:, 1:]], 1), use_cache=False
    ).last_hidden_state[:, patches.shape[1] :]
    wanted = labels[:, 1:] != UNLEARNED
    logits = model.language_model.lm_head(hidden[:, :-1][wanted])
    token_loss = soft_cross_entropy(logits, labels[:, 1:][wanted], sigma)
    values = torch.from_numpy(samples.values[rows])
    asked = ~values.isnan()
    guess = head(hidden[torch.arange(len(rows)), last])
    head_loss = (guess - values.nan_to_num()).abs()[asked].mean() if asked.any() else guess.sum() * 0
    return token_loss, head_loss


def soft_cross_entropy(logits: torch.Tensor, ids: torch.Tensor, sigma: float) -> torch.Tensor:
    """Cross-entropy in which an action token's neighbours are partly right too; other words are right or wrong."""
    size = logits.shape[-1]
    target = functional.one_hot(ids, size).float()
    acting = ids >= size - ACTIONS
    bins = torch.arange(size - ACTIONS, size)
    away = (bins[None] - ids[acting][:, None]).float() / max(sigma, 1e-3)
    target[acting, size - ACTIONS :] = torch.softmax(-0.5 * away**2, -1)
    return functional.cross_entropy(logits, target)
