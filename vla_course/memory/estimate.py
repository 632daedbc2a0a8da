"""Where the memory of training goes: weights, gradients, optimiser, and what the forward pass saves for the backward pass.

The arithmetic follows what torch's autograd keeps for transformers' blocks with SDPA attention and GELU or SiLU. It covers
tensors that live through a step. Not in it: scratch space inside a kernel, full weights that a quantised layer unpacks for a
moment, fragments and reserves of the allocator, the CUDA context; on a GPU these are a few GB more for 7B.
"""

import json
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, Literal

import torch
from torch import nn

from vla_course.adapters.lora import adaptable_layers, lora_parameter_count, weight_shape
from vla_course.adapters.nf4 import bits_per_parameter
from vla_course.memory.activations import Batch, saved_activations, saved_by_the_head
from vla_course.memory.measured import TrainingState
from vla_course.openvla.config import OpenVLAConfig
from vla_course.openvla.model import OpenVLAForActionPrediction

Mode = Literal["full", "lora", "qlora", "head"]
MODES: tuple[Mode, ...] = ("full", "lora", "qlora", "head")


def training_state_gb(
    frozen: int, trainable: int, frozen_bytes: float, weight_bytes: float, gradient_bytes: float
) -> float:
    """GB for weights, gradients and Adam's two moments, without activations.

    `frozen` and `trainable` are numbers of weights, the rest is bytes for each, also fractions. The moments are 32-bit numbers. A GB
    is 10⁹ bytes.
    """
    return (frozen * frozen_bytes + trainable * (weight_bytes + gradient_bytes + 8)) / 1e9


@dataclass(frozen=True)
class Sizes:
    """What a model of some config holds, in numbers of weights; `running` ones are used by the forward pass."""

    weights: int
    running: int
    quantizable: int
    """Linear layers but the head: what QLoRA stores in four bits."""
    head: int
    adapted: tuple[tuple[int, ...], ...]
    adapted_running: tuple[tuple[int, ...], ...]


def sizes(config: OpenVLAConfig) -> Sizes:
    """Count a model's weights without allocating them."""
    return _sizes(json.dumps(config.to_dict(), sort_keys=True, default=str))


@cache
def _sizes(described: str) -> Sizes:
    config: OpenVLAConfig = OpenVLAConfig.from_dict(json.loads(described))
    with torch.device("meta"):
        model = OpenVLAForActionPrediction(config)
    idle = _idle(config)
    layers = adaptable_layers(model)
    quantizable = [
        layer.weight.numel()
        for name, layer in layers.items()
        if isinstance(layer, nn.Linear) and name != "language_model.lm_head"
    ]
    named = dict(model.named_parameters())
    return Sizes(
        weights=sum(weight.numel() for weight in named.values()),
        running=sum(weight.numel() for name, weight in named.items() if not name.startswith(idle)),
        quantizable=sum(quantizable),
        head=model.language_model.lm_head.weight.numel(),
        adapted=tuple(weight_shape(layer) for layer in layers.values()),
        adapted_running=tuple(
            weight_shape(layer) for name, layer in layers.items() if not name.startswith(idle)
        ),
    )


def _idle(config: OpenVLAConfig) -> tuple[str, ...]:
    """How the names of weights begin that no forward pass uses: the towers' last blocks, final norms, SigLIP's pooling."""
    towers, (dinov2, siglip) = "vision_backbone.", config.vision_towers
    return (
        f"{towers}dinov2.encoder.layer.{dinov2['depth'] - 1}.",
        f"{towers}dinov2.layernorm.",
        f"{towers}dinov2.embeddings.mask_token",
        f"{towers}siglip.encoder.layers.{siglip['depth'] - 1}.",
        f"{towers}siglip.post_layernorm.",
        f"{towers}siglip.head.",
    )


def estimate_training_state(
    config: OpenVLAConfig,
    mode: Mode,
    batch: Batch,
    *,
    rank: int = 32,
    number_bytes: Literal[2, 4] = 4,
    moment_bytes: Literal[2, 4] = 4,
    checkpointing: bool = False,
) -> TrainingState:
    """Bytes that live through one training step, from the sizes of the model alone.

    Weights and activations are numbers of `number_bytes`; adapters, their gradients and their moments have four. The two
    moments of other weights have `moment_bytes` each: torch's AdamW keeps them in the weights' own type, most recipes in four.
    Adapters sit at all linear layers and the patch convolutions. `checkpointing` keeps each block's input only, and computes
    the rest of one block at a time again; training the head alone has nothing to compute again.

    Raises:
        ValueError: there is no such mode.
    """
    if mode not in MODES:
        raise ValueError(f"mode is one of {', '.join(MODES)}, not {mode!r}")
    size, adapts = sizes(config), mode in ("lora", "qlora")
    adapters = lora_parameter_count(size.adapted, rank) if adapts else 0
    learning = {"full": size.running, "head": size.head}.get(mode)
    if learning is None:
        learning = lora_parameter_count(size.adapted_running, rank)
    weights = size.weights * number_bytes + adapters * 4
    if mode == "qlora":
        weights -= round(size.quantizable * (number_bytes - bits_per_parameter(64, 256) / 8))
    saved = saved_activations(config, batch, rank if adapts else 0, number_bytes)
    kept = saved.kept(checkpointing)
    if mode == "head":
        kept = saved_by_the_head(config, batch, number_bytes)
    elif adapts and number_bytes != 4 and not checkpointing:
        kept += learning * number_bytes  # adapters, rounded to the activations' numbers for the product
    return TrainingState(
        weights=weights,
        gradients=learning * (4 if adapts else number_bytes),
        optimizer=learning * 2 * (4 if adapts else moment_bytes),
        activations=kept,
        recomputed=saved.recomputed if checkpointing and mode != "head" else 0,
    )


PUBLISHED = {
    "weights in bfloat16": 15.1,
    "LoRA, rank 32, batch 16": 72.0,
    "LoRA, rank 32, at least": 27.0,
}
"""GB that OpenVLA's authors report for the 7B model: github.com/openvla/openvla, README (fine-tuning via LoRA)."""


def openvla_7b_table(batch_sizes: tuple[int, ...] = (1, 16), text_tokens: int = 40) -> list[dict[str, Any]]:
    """What training openvla-7b keeps in GB: one row for each way to train, batch size, and with checkpointing or without.

    bfloat16 weights and activations, rank 32 at all linear layers, logits for the action's 7 tokens and the stop. Not in it is
    what this module's first lines name; PUBLISHED has what was seen on GPUs, where it is.
    """
    config, rows = OpenVLAConfig(), []
    for mode in MODES:
        for samples in batch_sizes:
            for checkpointing in (False, True) if mode != "head" else (False,):
                batch = Batch(samples, text_tokens, scored=9)
                state = estimate_training_state(
                    config, mode, batch, number_bytes=2, checkpointing=checkpointing
                )
                parts = {f"{name}_gb": round(value / 1e9, 2) for name, value in asdict(state).items()}
                row = {"mode": mode, "batch": samples, "checkpointing": checkpointing, **parts}
                rows.append({**row, "total_gb": round(state.total / 1e9, 2)})
    return rows
