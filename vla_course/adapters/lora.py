"""LoRA: leave every weight as it is, and learn a small change of each beside it.

A layer of m × n weights gets a change B A, with A r × n and B m × r. For a small rank r that is few numbers to learn, to keep
Adam's moments of and to hand on; once learned, they can be added to the weights for good.

Source: Hu et al. 2021, LoRA: Low-Rank Adaptation of Large Language Models, section 4; the start values are those of
openvla/openvla @ c8f03f48, vla-scripts/finetune.py (`init_lora_weights="gaussian"` in huggingface/peft).
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import nn
from torch.nn import functional as F

from vla_course.adapters.lora_config import ALL_LINEAR
from vla_course.adapters.lora_config import LoRAConfig as LoRAConfig

# Layers 128 wide have no room for rank 32: it would train half as many numbers as they hold.
NANO = LoRAConfig(rank=8, alpha=16)
NANO_SMALL = LoRAConfig(rank=4, alpha=8)


class LoRALinear(nn.Module):
    """A frozen linear layer with a low-rank change beside it: A (rank × inputs) reads, B (outputs × rank) writes."""

    def __init__(self, base_layer: nn.Module, config: LoRAConfig) -> None:
        super().__init__()
        self.base_layer: Any = base_layer.requires_grad_(False)
        self.scale = config.alpha / config.rank
        self.dropout = nn.Dropout(config.dropout)
        outputs, inputs = weight_shape(base_layer)
        a, b = start_values((config.rank, inputs), (outputs, config.rank), base_layer)
        self.lora_A, self.lora_B = nn.Parameter(a), nn.Parameter(b)

    def forward(self, x: Float[torch.Tensor, "... inputs"]) -> Float[torch.Tensor, "... outputs"]:
        """The frozen layer's answer plus the scaled low-rank correction.

        The correction is computed from `self.dropout(x)`. A and B are float32; `.to(x.dtype)` makes them fit.
        """
        answer: torch.Tensor = self.base_layer(x)
        read = F.linear(self.dropout(x), self.lora_A.to(x.dtype))
        return answer + F.linear(read, self.lora_B.to(x.dtype)) * self.scale

    def merged(self) -> Float[torch.Tensor, "outputs inputs"]:
        """One weight that gives the same answers with no adapter, in the frozen weight's dtype.

        `dense_weight(self.base_layer)` is the frozen weight, in whatever form the layer keeps it.
        """
        weight = dense_weight(self.base_layer)
        return (weight + self.lora_B @ self.lora_A * self.scale).to(weight.dtype)

    @property
    def weight(self) -> torch.Tensor:
        """The frozen weight, for code that asks a layer for its number type or its device."""
        weight: torch.Tensor = self.base_layer.weight
        return weight


class LoRAConv2d(nn.Module):
    """The same beside a convolution: A has the kernel, B mixes channels only.

    The patch embeddings of both towers are such layers: upstream's search for linear layers catches them by their name, `proj`.
    """

    def __init__(self, base_layer: nn.Conv2d, config: LoRAConfig) -> None:
        super().__init__()
        if base_layer.groups != 1 or base_layer.padding_mode != "zeros":
            raise ValueError("a convolution in groups, or with padding other than zeros, takes no adapter")
        self.base_layer: Any = base_layer.requires_grad_(False)
        self.scale = config.alpha / config.rank
        self.dropout = nn.Dropout(config.dropout)
        outputs, *patch = base_layer.weight.shape
        a, b = start_values((config.rank, *patch), (outputs, config.rank, 1, 1), base_layer)
        self.lora_A, self.lora_B = nn.Parameter(a), nn.Parameter(b)

    def forward(self, x: Float[torch.Tensor, "B C H W"]) -> Float[torch.Tensor, "B outputs rows columns"]:
        """The frozen layer's answer plus the scaled low-rank correction."""
        layer, answer = self.base_layer, self.base_layer(x)
        a, b = self.lora_A.to(x.dtype), self.lora_B.to(x.dtype)
        read = F.conv2d(self.dropout(x), a, None, layer.stride, layer.padding, layer.dilation)
        return answer + F.conv2d(read, b) * self.scale  # type: ignore[no-any-return]

    def merged(self) -> Float[torch.Tensor, "outputs C kernel kernel"]:
        """One kernel that gives the same answers with no adapter."""
        weight = self.base_layer.weight
        change = self.lora_B.flatten(1) @ self.lora_A.flatten(1) * self.scale
        return (weight + change.view_as(weight)).to(weight.dtype)  # type: ignore[no-any-return]

    @property
    def weight(self) -> torch.Tensor:
        """The frozen kernel."""
        weight: torch.Tensor = self.base_layer.weight
        return weight


def lora_parameter_count(shapes: Iterable[Sequence[int]], rank: int) -> int:
    """How many numbers are trained beside weights of these shapes.

    Linear layers are (outputs, inputs), convolutions (outputs, inputs, kernel, kernel). A convolution's A has the kernel, its
    B is one pixel wide.
    """
    return sum(rank * (math.prod(shape[1:]) + shape[0]) for shape in shapes)


def adaptable_layers(model: nn.Module, targets: str = ALL_LINEAR) -> dict[str, nn.Module]:
    """The layers of a model that LoRA would change, by name: linear ones, quantised or not, and convolutions.

    Torch's own multi-head attention reads its output layer's weight past the layer, so that layer is left out.

    Raises:
        ValueError: `targets` is no regular expression, or no layer has such a name.
    """
    passed_by = {
        f"{name}.out_proj"
        for name, module in model.named_modules()
        if isinstance(module, nn.MultiheadAttention)
    }
    layers = {
        name: module
        for name, module in model.named_modules()
        if (isinstance(module, nn.Conv2d) or hasattr(module, "in_features")) and name not in passed_by | {""}
    }
    try:
        wanted = {
            name: layer
            for name, layer in layers.items()
            if targets == ALL_LINEAR or re.fullmatch(targets, name)
        }
    except re.error as error:
        raise ValueError(
            f"targets is {ALL_LINEAR!r} or a regular expression; {targets!r}: {error}"
        ) from error
    if not wanted:
        some = ", ".join(list(layers)[:3])
        raise ValueError(f"no layer's whole name matches {targets!r}; there are {len(layers)}, like {some}")
    return wanted


def inject(
    model: nn.Module, config: LoRAConfig, layer: Callable[[nn.Module, LoRAConfig], nn.Module] = LoRALinear
) -> list[str]:
    """Freeze a model, put an adapter around each layer that `config.targets` names, and return those names.

    Nothing changes yet in what the model answers: B begins at zero. A is drawn from torch's random numbers; `layer` makes the
    adapter of a linear layer.

    Raises:
        ValueError: the model has adapters already, or no layer has such a name.
    """
    if adapters(model):
        raise ValueError("the model has adapters already: merge(model) or remove(model) first")
    layers = adaptable_layers(model, config.targets)
    model.requires_grad_(False)
    for name, original in layers.items():
        adapter = LoRAConv2d(original, config) if isinstance(original, nn.Conv2d) else layer(original, config)
        model.set_submodule(name, adapter.train(original.training))
    return list(layers)


def adapters(model: nn.Module) -> dict[str, Any]:
    """Every adapted layer by the name of the layer it stands for."""
    return {name: module for name, module in model.named_modules() if hasattr(module, "lora_A")}


def merge(model: nn.Module, *, keep: bool = True) -> dict[str, Any]:
    """Put one plain layer in the place of each adapted one: the same answers, nothing more to compute.

    Returns the adapted layers for `unmerge`; they hold the old weights, and with `keep=False` each goes as soon as it is
    merged. Where weights were quantised, the plain layers hold what they stood for, in full size; with `keep=False`, a model
    without any quantised weight left is no longer marked as quantised, and can be saved, cast and trained like any other.

    Raises:
        ValueError: weights have eight bits. The model is unchanged.
    """
    found = adapters(model)
    for adapter in found.values():
        _refuse_eight_bits(adapter.base_layer)
    taken: dict[str, Any] = {}
    for name, adapter in found.items():
        plain = _plain_layer(adapter.base_layer, adapter.merged())
        model.set_submodule(name, plain.train(adapter.training))
        if keep:
            taken[name] = adapter
    if not keep:
        _unmark_quantized(model)
    return taken


def unpack(model: nn.Module) -> None:
    """Put a plain layer in the place of each quantised one, with the weights that it computes with.

    Raises:
        ValueError: weights have eight bits. The model is unchanged.
    """
    packed = {name: layer for name, layer in model.named_modules() if is_packed(layer)}
    for layer in packed.values():
        _refuse_eight_bits(layer)
    for name, layer in packed.items():
        model.set_submodule(name, _plain_layer(layer, dense_weight(layer)).train(layer.training))
    _unmark_quantized(model)


def remove(model: nn.Module) -> dict[str, Any]:
    """Put the frozen layers back as they were before `inject`. Returns the adapted layers for `unmerge`."""
    taken = adapters(model)
    for name, adapter in taken.items():
        model.set_submodule(name, adapter.base_layer)
    return taken


def unmerge(model: nn.Module, taken: Mapping[str, nn.Module]) -> None:
    """Put adapted layers back where `merge` or `remove` took them out: the model is as before, bit for bit."""
    for name, adapter in taken.items():
        model.set_submodule(name, adapter)


def weight_shape(layer: nn.Module) -> tuple[int, ...]:
    """Outputs, inputs and kernel of a layer, also where its weights lie packed."""
    if isinstance(layer, nn.Conv2d):
        return tuple(layer.weight.shape)
    sides: Any = layer
    return int(sides.out_features), int(sides.in_features)


def is_packed(layer: nn.Module) -> bool:
    """Whether bitsandbytes has quantised the weight of this layer, to four or eight bits."""
    return type(layer._parameters.get("weight")).__name__ in ("Params4bit", "Int8Params")


def dense_weight(layer: nn.Module) -> Float[torch.Tensor, "outputs inputs"]:
    """The weight that a linear layer computes with; bitsandbytes' four bits are unpacked."""
    weight: Any = layer.weight
    if getattr(weight, "quant_state", None) is None:
        return weight  # type: ignore[no-any-return]
    from bitsandbytes.functional import dequantize_4bit

    return dequantize_4bit(weight.data, weight.quant_state)  # type: ignore[no-any-return]


def start_values(
    a: tuple[int, ...], b: tuple[int, ...], layer: nn.Module
) -> tuple[torch.Tensor, torch.Tensor]:
    """A is random, B zero: no change at first, and yet B has a gradient. Drawn on the CPU, the same for every device."""
    parts: Any = layer
    device = parts.weight.device
    return torch.randn(a).div_(a[0]).to(device), torch.zeros(b, device=device)


def _plain_layer(layer: Any, weight: torch.Tensor) -> nn.Module:
    plain: nn.Module
    if isinstance(layer, nn.Conv2d):
        sizes = (layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride)
        plain = nn.Conv2d(*sizes, layer.padding, layer.dilation, device="meta")  # type: ignore[arg-type]
    else:
        plain = nn.Linear(layer.in_features, layer.out_features, device="meta")
    plain.weight, plain.bias = nn.Parameter(weight.detach(), requires_grad=False), None
    if layer.bias is not None:
        # A copy: bitsandbytes turns biases, as soon as they act, into other numbers that may not be trained on.
        plain.bias = nn.Parameter(layer.bias.detach().to(weight.dtype, copy=True), requires_grad=False)
    return plain


def _refuse_eight_bits(layer: nn.Module) -> None:
    if is_packed(layer) and type(layer.weight).__name__ == "Int8Params":
        raise ValueError(
            "weights of eight bits cannot be merged with adapters: load the model in four bits, or whole, and the adapter "
            "beside it (load_adapter), then merge"
        )


def _unmark_quantized(model: Any) -> None:
    """Take away what transformers keeps on a quantised model, once no weight is quantised."""
    if any(is_packed(layer) for layer in model.modules()):
        return
    if getattr(model, "hf_quantizer", None) is not None:
        model.hf_quantizer.remove_quantization_config(model)
    for mark in ("is_loaded_in_4bit", "is_loaded_in_8bit"):
        if hasattr(model, mark):
            delattr(model, mark)
    for module in model.modules():
        if hasattr(getattr(module, "config", None), "_is_quantized"):
            del module.config._is_quantized
