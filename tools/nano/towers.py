"""Stage 2: two towers learn to see before anything acts.

Both are told of every patch what it shows (kind, colour, part of a garment), where in the world the thing in it is, and how the
hand stands. SigLIP's also learns which caption belongs to which picture. Only the blocks that OpenVLA runs are trained.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nano_config import NanoConfig
from scenes import NUM_SPOTS, shard_path
from stage import Stage, learning_rate, quick, set_learning_rate
from tokenizers import Tokenizer
from torch import nn
from torch.nn import functional

from vla_course.envs.tabletop.labels import COLOR_LABELS, KIND_LABELS, PART_LABELS
from vla_course.openvla.config import PATCH_SIZE
from vla_course.openvla.processor import HALF, IMAGENET
from vla_course.openvla.vision import VisionTowers

COUNTS = {"kind": len(KIND_LABELS), "color": len(COLOR_LABELS), "part": len(PART_LABELS)}
WHERE_SCALE_M = 0.15
WEIGHTS = {"where": 2.0, "hand": 2.0}
"""Places have to be exact; names are learned anyway."""
HAND_MIDDLE = np.array([0.05, 0.0, 0.12, 0.0, 0.0, 0.0, 0.5], np.float32)
HAND_SCALE = np.array([0.12, 0.12, 0.08, 0.3, 0.3, 0.3, 0.5], np.float32)
CAPTION_LENGTH = 40


class Sights:
    """The labelled pictures of all shards, in memory; labels are summed up per patch when a shard is read."""

    def __init__(self, folder: Path, config: NanoConfig, tokenizer: Tokenizer) -> None:
        self.side = config.image_size // PATCH_SIZE
        parts: dict[str, list[np.ndarray]] = {}
        self.words: list[dict[str, Any]] = []
        for k in range(config.scenes.sight_shards):
            shard = np.load(shard_path(folder, "sight", k))
            found = {"image": shard["image"], "hand": (shard["hand"] - HAND_MIDDLE) / HAND_SCALE}
            for key, count in COUNTS.items():
                found[key] = self._shares(shard[key], count)
            found["where"], found["seen"] = self._where(shard["spot"], shard["thing"])
            for key, value in found.items():
                parts.setdefault(key, []).append(value)
            self.words += json.loads(str(shard["words"]))
        self.arrays = {key: np.concatenate(value) for key, value in parts.items()}
        self.captions = [
            [tokenizer.encode(text).ids[:CAPTION_LENGTH] for text in words["captions"]]
            for words in self.words
        ]

    def __len__(self) -> int:
        return len(self.words)

    def _shares(self, maps: np.ndarray, count: int) -> np.ndarray:
        """Of each patch, which share of its pixels shows what."""
        patches = patches_of(maps, self.side)
        return np.stack([(patches == k).mean(-1, dtype=np.float32) for k in range(count)], -1).astype(
            np.float16
        )

    def _where(self, spot: np.ndarray, thing: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Place on the table of what fills most of each patch, and which share it fills."""
        share = spot_shares(spot, self.side).astype(np.float32)
        best = share.argmax(-1)
        where = np.take_along_axis(thing[:, None], best[..., None, None], 2)[:, :, 0]
        return np.nan_to_num(where / WHERE_SCALE_M).astype(np.float16), share.max(-1).astype(np.float16)


def patches_of(maps: np.ndarray, side: int) -> np.ndarray:
    """The pixels of each of `side` × `side` patches."""
    n = len(maps)
    cut = maps.reshape(n, side, PATCH_SIZE, side, PATCH_SIZE).swapaxes(2, 3)
    return cut.reshape(n, side * side, PATCH_SIZE**2)


def spot_shares(spot: np.ndarray, side: int) -> np.ndarray:
    """Of each patch, which share of its pixels shows which spot: (N, patches, NUM_SPOTS) in float16."""
    patches = patches_of(spot, side)
    return np.stack([(patches == k).mean(-1, dtype=np.float32) for k in range(NUM_SPOTS)], -1).astype(
        np.float16
    )


class Heads(nn.Module):
    """Linear read-outs of one tower's patches."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.label = nn.ModuleDict({key: nn.Linear(width, count) for key, count in COUNTS.items()})
        self.where, self.hand = nn.Linear(width, 2), nn.Linear(width, len(HAND_MIDDLE))

    def losses(self, patches: torch.Tensor, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """What each read-out misses by: nats per patch, and distances in units of the scales above."""
        seen = self.norm(patches)
        found = {
            key: functional.cross_entropy(head(seen).flatten(0, 1), batch[key].flatten(0, 1))
            for key, head in self.label.items()
        }
        off = (self.where(seen) - batch["where"]).abs().sum(-1)
        found["where"] = (off * batch["seen"]).sum() / batch["seen"].sum().clamp(min=1)
        found["hand"] = (self.hand(seen) - batch["hand"][:, None]).abs().mean()
        return found


class Captions(nn.Module):
    """Words and picture as one vector each, for SigLIP's contrast; used in this stage only."""

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocabulary, width)
        self.place = nn.Parameter(torch.randn(CAPTION_LENGTH, width) * 0.02)
        self.block = nn.TransformerEncoderLayer(
            width, width // 32, 2 * width, 0.0, batch_first=True, norm_first=True
        )
        self.scale, self.bias = nn.Parameter(torch.tensor(2.3)), nn.Parameter(torch.tensor(-5.0))

    def loss(self, pictures: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        """Sigmoid loss of all pairs: each picture with its own caption, and with all others'."""
        empty = ids == 0
        hidden = self.block(self.embed(ids) + self.place, src_key_padding_mask=empty)
        words = (hidden * ~empty[..., None]).sum(1) / (~empty).sum(1, keepdim=True)
        logits = functional.normalize(pictures, dim=-1) @ functional.normalize(words, dim=-1).T
        logits = logits * self.scale.exp() + self.bias
        sign = 2 * torch.eye(len(logits)) - 1
        return -functional.logsigmoid(sign * logits).sum() / len(logits)


def train_tower(which: str, towers: VisionTowers, config: NanoConfig, sights: Sights, folder: Path) -> None:
    """Teach one tower ("dinov2" or "siglip"); `towers` is changed in place."""
    torch.manual_seed(config.seed)
    tower = getattr(towers, which)
    heads = Heads(config.tower_width)
    captions = Captions(config.vocabulary_size, config.tower_width)
    parameters = [*tower.parameters(), *heads.parameters(), *captions.parameters()]
    optimizer = torch.optim.AdamW(
        parameters, lr=config.towers.learning_rate, weight_decay=0.02, betas=(0.9, 0.98)
    )
    parts = {"tower": tower, "heads": heads, "captions": captions, "optimizer": optimizer}
    stage = Stage(folder, f"tower_{which}", config, parts)
    rng = np.random.default_rng([config.seed, 3, stage.step])
    train = int(len(sights) * 0.97) or 1
    see = towers.dinov2_features if which == "dinov2" else towers.siglip_features
    normalize = IMAGENET if which == "dinov2" else HALF
    for step in range(stage.step, config.towers.steps):
        set_learning_rate(optimizer, learning_rate(config.towers.learning_rate, step, config.towers.steps))
        rows = rng.integers(0, train, config.towers.batch)
        with quick():
            patches, losses = _losses(see, normalize, heads, sights, rows, rng)
            loss = sum(WEIGHTS.get(key, 1.0) * value for key, value in losses.items())
            if which == "siglip" and config.towers.contrast_weight:
                picture = tower.head(tower.post_layernorm(patches))
                losses["contrast"] = captions.loss(picture, _captions(sights, rows, rng))
                loss = loss + config.towers.contrast_weight * losses["contrast"]
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        stage.after(step, {key: value.item() for key, value in losses.items()}, every=100)
    if train < len(sights):
        with torch.no_grad():
            held = np.arange(train, len(sights))
            _, losses = _losses(see, normalize, heads, sights, held, None)
        found = {f"held_out_{key}": value.item() for key, value in losses.items()}
        print(f"tower_{which}: {found}", flush=True)
        stage.curve.append({"step": stage.step, "wall_s": round(stage.wall_s, 1), **found})
    stage.save()


def _losses(
    see: Any,
    normalize: dict[str, list[float]],
    heads: Heads,
    sights: Sights,
    rows: np.ndarray,
    rng: np.random.Generator | None,
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    batch = {
        key: torch.from_numpy(value[rows]).float() for key, value in sights.arrays.items() if key != "image"
    }
    pixels = torch.from_numpy(sights.arrays["image"][rows]).permute(0, 3, 1, 2).float() / 255
    if rng is not None:
        pixels = augment(pixels, rng)
    patches = see((pixels - _column(normalize["mean"])) / _column(normalize["std"]))
    return patches, heads.losses(patches, batch)


def augment(pixels: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Brightness, contrast, a tint, grain. Nothing moves: where things are is what is learned."""
    n = len(pixels)
    spread = torch.from_numpy(rng.uniform(-1, 1, (4, n, 3, 1, 1))).float()
    gain = 1 + 0.2 * spread[0, :, :1] + 0.04 * spread[1]
    middle = pixels.mean((1, 2, 3), keepdim=True)
    pixels = (pixels - middle) * (1 + 0.15 * spread[2, :, :1]) + middle
    return (pixels * gain + 0.03 * spread[3] + 0.02 * torch.randn_like(pixels)).clamp(0, 1)


def _captions(sights: Sights, rows: np.ndarray, rng: np.random.Generator) -> torch.Tensor:
    ids = torch.zeros(len(rows), CAPTION_LENGTH, dtype=torch.long)
    for k, row in enumerate(rows):
        chosen = sights.captions[row][int(rng.integers(len(sights.captions[row])))]
        ids[k, : len(chosen)] = torch.tensor(chosen)
    return ids


def _column(values: list[float]) -> torch.Tensor:
    return torch.tensor(values).reshape(3, 1, 1)
