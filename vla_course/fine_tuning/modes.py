"""What learns and what stays: full fine-tuning, adapters, the last layer."""

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
    """Free the weights that this training mode changes and freeze all others; adapters are put in, drawn from the seed.

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
    # Where only the head learns, nothing before it is kept for the way back, and checkpoints would be kept for nothing.
    if config.gradient_checkpointing and config.training_mode != "head":
        model.activation_checkpointing_enable()


def towers_are_frozen(model: OpenVLAForActionPrediction) -> bool:
    """Whether the picture's features stay as they are while the model learns."""
    return not any(weight.requires_grad for weight in model.vision_backbone.parameters())


def learning_count(model: nn.Module) -> tuple[int, int]:
    """How many numbers learn, and how many there are; packed ones count as what they stand for."""
    sizes = [(_numbers(weight), weight.requires_grad) for weight in model.parameters()]
    return sum(size for size, learns in sizes if learns), sum(size for size, _ in sizes)


def _numbers(weight: torch.Tensor) -> int:
    packed = getattr(weight, "quant_state", None)
    return weight.numel() if packed is None else int(packed.shape.numel())
