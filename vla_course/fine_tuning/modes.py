"""Which parameters train in each mode: all, adapters, or the last layer."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from vla_course.adapters.lora import LoRAConfig, LoRALinear, inject
from vla_course.adapters.peft_format import load_adapter
from vla_course.fine_tuning.config import TrainConfig
from vla_course.openvla.model import OpenVLAForActionPrediction

Layer = Callable[[nn.Module, LoRAConfig], nn.Module]


def prepare(
    model: OpenVLAForActionPrediction,
    config: TrainConfig,
    *,
    layer: Layer = LoRALinear,
    adapter: Path | None = None,
) -> None:
    """Set which parameters require gradients in this training mode; adapters are inserted, initialised from the seed.

    `layer` makes the adapter of a linear layer; `adapter` is a folder with adapters to begin with.

    Raises:
        ValueError: the model has adapters already, or no layer has a name that `config.lora.targets` describes.
    """
    torch.manual_seed(config.seed)
    if adapter is not None:
        load_adapter(model, adapter, layer)
    elif config.adapts:
        inject(model, config.lora, layer)
    else:
        model.requires_grad_(config.training_mode == "full")
        model.language_model.lm_head.requires_grad_(True)
    # Where only the head trains, no activations are kept for the backward pass, and there is nothing to recompute.
    if config.gradient_checkpointing and config.training_mode != "head":
        model.activation_checkpointing_enable()


def towers_are_frozen(model: OpenVLAForActionPrediction) -> bool:
    """Whether the vision towers are frozen, so that a picture's features stay the same during training."""
    return not any(weight.requires_grad for weight in model.vision_backbone.parameters())


def learning_count(model: nn.Module) -> tuple[int, int]:
    """How many parameters train, and how many there are; packed four-bit weights count with their full number."""
    sizes = [(_numbers(weight), weight.requires_grad) for weight in model.parameters()]
    return sum(size for size, learns in sizes if learns), sum(size for size, _ in sizes)


def _numbers(weight: torch.Tensor) -> int:
    packed = getattr(weight, "quant_state", None)
    return weight.numel() if packed is None else int(packed.shape.numel())
