"""Stages 3 to 5: the projector and the language model learn words, then actions; last of all the towers learn with them.

While towers are frozen every picture is looked at once and its features are kept in a file. Questions and pointing are about
every combination of colour and kind; actions are about those of the seen split only. The answer to "point at the red can" is
two action tokens, a place on the table. What is asked for besides the tokens, and is in no checkpoint: a linear head reads
places and action off the empty token, and two attention heads look from there at what the sentence is about.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from assemble import new_model
from nano_config import MORE_TURNS, NanoConfig
from reading import read
from samples import VALUES, Samples, action_samples, sight_samples
from scenes import NO_SPOT
from stage import Stage, learning_rate, quick, set_learning_rate
from tokenizers import Tokenizer
from torch import nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from towers import augment
from words import ACTIONS, EOS, load_tokenizer

from vla_course.files import replacing
from vla_course.openvla.load import load_vla
from vla_course.openvla.model import OpenVLAForActionPrediction
from vla_course.openvla.processor import OpenVLAProcessor

UNLEARNED = -100
GREY = 128
"""What a blind policy sees, always."""
BEFORE = {
    "language": None,
    "actions": "language",
    "blind": "language",
    "corrected": "actions",
    "whole": "corrected",
    "last": "whole",
    **dict(zip(MORE_TURNS, ("last", *MORE_TURNS), strict=False)),
}
"""Which stage each begins from."""
WITH_TOWERS = ("whole", "last", *MORE_TURNS)
"""Stages in which the towers learn too."""
AVERAGED = MORE_TURNS
"""Stages that end with a running average of their weights: the last batches are not to have the last word."""
AVERAGE_KEEPS = 0.997
"""Of the average, at each step: it reaches back some three hundred steps."""
GIVEN = "given"
"""A folder in the recipe's, with a finished checkpoint to go on from."""
See = Callable[[int, np.ndarray], torch.Tensor]


def learn(stage_name: str, config: NanoConfig, folder: Path) -> None:
    """Train one stage; all but the first end with a checkpoint, in `folder/model` or `folder/blind`."""
    settings = config.learn
    steps = settings.steps[stage_name]
    model, tokenizer = with_towers(config, folder), load_tokenizer(folder)
    sight = sight_samples(config, folder, tokenizer)
    sources, shares = [sight], [1.0]
    if stage_name != "language":
        stats = model.config.norm_stats
        actions, model.config.norm_stats = action_samples(config, folder, tokenizer, stats=stats)
        words_share = settings.later_words_shares.get(stage_name, settings.words_share)
        sources, shares = [actions, sight], [1 - words_share, words_share]
    learners = learners_of(model, config)
    towers_too, later = stage_name in WITH_TOWERS, stage_name in settings.later_rates
    if towers_too:
        model.vision_backbone.requires_grad_(True)
        learners["towers"] = model.vision_backbone
    begin_from(learners, folder, BEFORE[stage_name])
    rate = settings.learning_rate * settings.later_rates.get(stage_name, 1.0)
    optimizer = torch.optim.AdamW(learners.parameters(), lr=rate, weight_decay=0.02, betas=(0.9, 0.98))
    parts: dict[str, Any] = {"learners": learners, "optimizer": optimizer}
    if stage_name in AVERAGED:
        parts["average"] = AveragedModel(learners, multi_avg_fn=get_ema_multi_avg_fn(AVERAGE_KEEPS))
    stage = Stage(folder, stage_name, config, parts)
    rng = np.random.default_rng([config.seed, 4, stage.step])
    frames_at_once = settings.whole_frames if towers_too else settings.frames
    see = _see(stage_name, model, sources, rng, config, folder)
    for step in range(stage.step, steps):
        set_learning_rate(optimizer, learning_rate(rate, step, steps))
        warm = stage_name == "language" or (not later and step < settings.warm_up_steps)
        sigma = settings.later_sigmas.get(stage_name, settings.sigma_last)
        sigma = sigma if later else sigma_at(step / max(1, steps), config)
        numbers: dict[str, float] = {"sigma": sigma}
        optimizer.zero_grad()
        for k, (source, share) in enumerate(zip(sources, shares, strict=True)):
            frames, rows = source.draw(rng, max(1, round(share * frames_at_once)), settings.sentences)
            with quick():
                losses = losses_of(model, learners["head"], source, frames, rows, see(k, frames), sigma)
                weights = {
                    "tokens": 0.3 if warm and k == 0 and len(sources) > 1 else 1.0,
                    "action": 3.0 if warm else 1.0,
                    "place": 2.0 if warm else 1.0,
                    "look": 0.0 if stage_name == "blind" else settings.looking,
                }
                loss = share * sum(weights[key] * value for key, value in losses.items())
            loss.backward()
            numbers |= {f"{key}_{k}": value.item() for key, value in losses.items()}
        nn.utils.clip_grad_norm_(learners.parameters(), 1.0)
        optimizer.step()
        if "average" in parts:
            parts["average"].update_parameters(learners)
        stage.after(step, numbers)
        if stage_name != "language" and (step + 1) % 500 == 0:
            save_model(model, tokenizer, folder, stage_name)
    if "average" in parts:
        learners.load_state_dict(parts["average"].module.state_dict())
    stage.save()
    if stage_name != "language":
        save_model(model, tokenizer, folder, stage_name)


def learners_of(model: OpenVLAForActionPrediction, config: NanoConfig) -> nn.ModuleDict:
    """What learns while the towers are frozen. The head is thrown away in the end."""
    torch.manual_seed(config.seed)
    head = nn.Linear(config.language_width, VALUES)
    return nn.ModuleDict({"projector": model.projector, "language": model.language_model, "head": head})


def begin_from(learners: nn.ModuleDict, folder: Path, stage_name: str | None) -> None:
    """Load what the stage before has learned; towers only if they learned in it.

    Raises: FileNotFoundError if that stage has not run, and no checkpoint was given in its place.
    """
    path = folder / f"{stage_name}.pt"
    if stage_name is None or ((folder / GIVEN).exists() and not path.exists()):
        return
    kept = torch.load(path, weights_only=True)["parts"]["learners"]
    missing = learners.load_state_dict(kept, strict=False).missing_keys
    assert all(key.startswith("towers.") for key in missing), missing


def sigma_at(share: float, config: NanoConfig) -> float:
    """The width of the soft labels falls geometrically over the first two thirds."""
    first, last = config.learn.sigma_first, config.learn.sigma_last
    return float(first * (last / first) ** min(1.0, share / 0.67))


def save_model(
    model: OpenVLAForActionPrediction, tokenizer: Tokenizer, folder: Path, stage_name: str
) -> None:
    """In the published format, with its processor."""
    model.processor = OpenVLAProcessor(model.config, tokenizer)
    model.save_pretrained(folder / ("blind" if stage_name == "blind" else "model"))


def with_towers(config: NanoConfig, folder: Path) -> OpenVLAForActionPrediction:
    """A new model with the towers that were taught; or, where a checkpoint was given, that one, with all that it knows."""
    if (folder / GIVEN).exists():
        return load_vla(path=folder / GIVEN)
    model = new_model(config)
    for which in ("dinov2", "siglip"):
        kept = torch.load(folder / f"tower_{which}.pt", weights_only=True)
        getattr(model.vision_backbone, which).load_state_dict(kept["parts"]["tower"])
    model.vision_backbone.requires_grad_(False)
    return model


def _see(
    stage_name: str,
    model: OpenVLAForActionPrediction,
    sources: list[Samples],
    rng: np.random.Generator,
    config: NanoConfig,
    folder: Path,
) -> See:
    """How this stage looks at frames of a source: kept features, one grey picture, or towers that learn."""
    if stage_name == "blind":
        grey = torch.full((1, 3, config.image_size, config.image_size), GREY / 255)
        with torch.no_grad():
            features = model.vision_backbone(for_both_towers(model, grey))
        return lambda k, frames: features.expand(len(frames), -1, -1)
    if stage_name in WITH_TOWERS:

        def look(k: int, frames: np.ndarray) -> torch.Tensor:
            pixels = torch.from_numpy(sources[k].pictures(frames)).permute(0, 3, 1, 2).float() / 255
            return model.vision_backbone(for_both_towers(model, augment(pixels, rng)))

        return look
    kinds = ["actions", "sight"] if len(sources) > 1 else ["sight"]
    kept = [cached_features(model, kind, source, folder) for kind, source in zip(kinds, sources, strict=True)]
    return lambda k, frames: torch.from_numpy(kept[k][frames]).float()


def for_both_towers(model: OpenVLAForActionPrediction, pixels: torch.Tensor) -> torch.Tensor:
    """Pictures in [0, 1] as the towers want them."""
    processor = OpenVLAProcessor(model.config, None)
    return pixels.repeat(1, 2, 1, 1).sub(processor._mean).div(processor._std)


@torch.no_grad()
def cached_features(
    model: OpenVLAForActionPrediction, kind: str, samples: Samples, folder: Path
) -> np.ndarray:
    """What the towers see in every picture of the shards, computed once for these towers: (F, P, D) float16 in a file."""
    path = folder / f"features_{kind}.npy"
    newest = max((folder / f"tower_{which}.pt").stat().st_mtime for which in ("dinov2", "siglip"))
    if path.exists() and path.stat().st_mtime > newest:
        kept = np.load(path, mmap_mode="r")
        if len(kept) == len(samples.shares):
            return kept
    shape = (len(samples.shares), model.config.num_patches, model.vision_backbone.width)
    with replacing(path) as partial:
        found = np.lib.format.open_memmap(partial, mode="w+", dtype=np.float16, shape=shape)
        number = 0
        for images in samples.images:
            for begin in range(0, len(images), 128):
                pixels = torch.from_numpy(images[begin : begin + 128]).permute(0, 3, 1, 2).float() / 255
                with quick():
                    features = model.vision_backbone(for_both_towers(model, pixels))
                found[number : number + len(pixels)] = features.half().numpy()
                number += len(pixels)
        found.flush()
    return np.load(path, mmap_mode="r")


def losses_of(
    model: OpenVLAForActionPrediction,
    head: nn.Module,
    samples: Samples,
    frames: np.ndarray,
    rows: np.ndarray,
    features: torch.Tensor,
    sigma: float,
) -> dict[str, torch.Tensor]:
    """Cross-entropy of the answers' tokens (action tokens against a Gaussian over bins), L1 of the linear head for actions and
    for places, and how far the two pointing heads are from looking at what is meant.
    """
    own, labels, ask = _sentences(samples, rows)
    frame = torch.from_numpy(np.searchsorted(frames, samples.frame[rows]))
    embed = model.language_model.get_input_embeddings()
    common = embed(torch.tensor(samples.prompt[0][: samples.common])).expand(len(frames), -1, -1)
    patches = model.projector(features)
    shared = torch.cat([common[:, :1], patches, common[:, 1:]], 1)
    found = read(model.language_model, shared, embed(own), frame, ask, patches.shape[1])
    wanted = labels[:, 1:] != UNLEARNED
    logits = model.language_model.lm_head(found.hidden[:, :-1][wanted])
    losses = {"tokens": soft_cross_entropy(logits.float(), labels[:, 1:][wanted], sigma)}
    values = torch.from_numpy(samples.values[rows])
    guess = head(found.hidden[torch.arange(len(rows)), ask]).float()
    off, asked = (guess - values.nan_to_num()).abs(), ~values.isnan()
    for key, columns in (("action", slice(0, 7)), ("place", slice(7, None))):
        losses[key] = off[:, columns][asked[:, columns]].sum() / asked[:, columns].sum().clamp(min=1)
    losses["look"] = looking_loss(found.looks, samples, rows)
    return losses


def looking_loss(looks: torch.Tensor, samples: Samples, rows: np.ndarray) -> torch.Tensor:
    """Minus the log of the attention that lies on what is meant, of those that can be seen at all."""
    shares = samples.shares[samples.frame[rows]].astype(np.float32)
    points = samples.points[rows]
    meant = np.stack(
        [shares[np.arange(len(rows)), :, np.where(points[:, k] == NO_SPOT, 0, points[:, k])] for k in (0, 1)],
        1,
    )
    meant *= (points != NO_SPOT)[..., None]
    mask = torch.from_numpy((meant / meant.max(-1, keepdims=True).clip(min=1e-6)).clip(max=1.0))
    seen = torch.from_numpy(meant.max(-1) > 0.02)
    hits = torch.logsumexp(looks + mask.clamp(min=1e-9).log(), -1)
    return -(hits * seen).sum() / seen.sum().clamp(min=1)


def _sentences(samples: Samples, rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What follows the common beginning, padded; what is to be learned of it; and where each prompt ends."""
    lines = [[*samples.prompt[row][samples.common :], *samples.answer[row], EOS] for row in rows]
    length = max(len(line) for line in lines)
    ids = torch.tensor([line + [0] * (length - len(line)) for line in lines])
    ask = torch.tensor([len(samples.prompt[row]) - samples.common - 1 for row in rows])
    place = torch.arange(length)[None]
    ends = torch.tensor([len(line) for line in lines])[:, None]
    labels = torch.where((place > ask[:, None]) & (place < ends), ids, UNLEARNED)
    return ids, labels, ask


def soft_cross_entropy(logits: torch.Tensor, ids: torch.Tensor, sigma: float) -> torch.Tensor:
    """Cross-entropy in which an action token's neighbours are partly right too; other words are right or wrong."""
    size = logits.shape[-1]
    target = functional.one_hot(ids, size).float()
    acting = ids >= size - ACTIONS
    bins = torch.arange(size - ACTIONS, size)
    away = (bins[None] - ids[acting][:, None]).float() / max(sigma, 1e-3)
    target[acting, size - ACTIONS :] = torch.softmax(-0.5 * away**2, -1)
    return functional.cross_entropy(logits, target)
