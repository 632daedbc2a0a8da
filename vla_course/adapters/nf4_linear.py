"""A linear layer that keeps its weights in four bits, and double quantisation: the scales in eight bits as well."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import nn
from torch.nn import functional as F

from vla_course.adapters.lora import adaptable_layers
from vla_course.adapters.nf4 import dequantize_nf4, pack, quantize_nf4, unpack

BLOCK, SECOND_BLOCK = 64, 256


def dynamic_codebook() -> Float[torch.Tensor, "256"]:
    """The 256 levels that scales are rounded to: seven decades of either sign, with more levels in the larger ones.

    Source: Dettmers 2016, 8-Bit Approximations for Parallelism in Deep Learning; as bitsandbytes 0.50 builds it
    (functional.create_dynamic_map).
    """
    levels = [0.0, 1.0]
    for decade in range(7):
        edges = torch.linspace(0.1, 1, 2**decade + 1)
        middles = (10 ** (decade - 6)) * ((edges[:-1] + edges[1:]) / 2)
        levels += [*middles.tolist(), *(-middles).tolist()]
    return torch.tensor(sorted(levels))


DYNAMIC = dynamic_codebook()


@dataclass(frozen=True)
class QuantizedScales:
    """Scales in eight bits: a code each, one 32-bit scale for `SECOND_BLOCK` of them, and their mean."""

    codes: UInt8[torch.Tensor, " scales"]
    absmax: Float[torch.Tensor, " blocks"]
    offset: Float[torch.Tensor, ""]


def quantize_scales(absmax: Float[torch.Tensor, " scales"]) -> QuantizedScales:
    """Round the scales of all blocks to eight bits. Their mean is taken off first, since no scale is negative."""
    offset = absmax.mean()
    spare = -len(absmax) % SECOND_BLOCK
    blocks = F.pad(absmax - offset, (0, spare)).reshape(-1, SECOND_BLOCK)
    largest = blocks.abs().amax(dim=1)
    scaled = blocks * (1 / largest.clamp(min=1e-38))[:, None]
    levels = DYNAMIC.to(absmax.device)
    codes = torch.bucketize(scaled, (levels[:-1] + levels[1:]) / 2).to(torch.uint8)
    return QuantizedScales(codes.flatten()[: len(absmax)], largest, offset)


def dequantize_scales(scales: QuantizedScales) -> Float[torch.Tensor, " scales"]:
    """The scales that weights are really multiplied with."""
    largest = scales.absmax.repeat_interleave(SECOND_BLOCK)[: len(scales.codes)]
    return DYNAMIC.to(largest.device)[scales.codes.int()] * largest + scales.offset


class NF4Linear(nn.Module):
    """A frozen linear layer in 4.13 bits per weight (4.5 without double quantisation). Inputs get gradients, weights none.

    `quantize` and `dequantize` may be your own.
    """

    def __init__(
        self,
        layer: nn.Linear,
        *,
        double: bool = True,
        quantize: Callable[..., Any] = quantize_nf4,
        dequantize: Callable[..., torch.Tensor] = dequantize_nf4,
    ) -> None:
        super().__init__()
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.dequantize, self.double_quantized = dequantize, double
        codes, absmax = quantize(layer.weight.detach(), BLOCK)
        self.packed: torch.Tensor
        self.register_buffer("packed", pack(codes.to(torch.uint8)))
        if double:
            scales = quantize_scales(absmax)
            self.register_buffer("scale_codes", scales.codes)
            self.register_buffer("scale_offset", scales.offset)
            absmax = scales.absmax
        self.register_buffer("scale_absmax", absmax)
        self.bias = None if layer.bias is None else nn.Parameter(layer.bias.detach(), requires_grad=False)

    @property
    def weight(self) -> Float[torch.Tensor, "outputs inputs"]:
        """The weight that this layer computes with, in full size, made anew each time."""
        scales: Any = self
        absmax = scales.scale_absmax
        if self.double_quantized:
            absmax = dequantize_scales(QuantizedScales(scales.scale_codes, absmax, scales.scale_offset))
        dense = self.dequantize(unpack(self.packed, BLOCK), absmax)
        return dense.reshape(self.out_features, self.in_features)

    def forward(self, x: Float[torch.Tensor, "... inputs"]) -> Float[torch.Tensor, "... outputs"]:
        """The layer's answer, computed with the dequantised weight in the number type of `x`."""
        answer: torch.Tensor = _Product.apply(x, self)  # type: ignore[no-untyped-call]
        return answer if self.bias is None else answer + self.bias.to(answer.dtype)


class _Product(torch.autograd.Function):
    """Dequantises in the forward pass and again in the backward pass: torch would keep the full weight in between."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, layer: NF4Linear) -> torch.Tensor:
        ctx.layer = layer
        return F.linear(x, layer.weight.to(x.dtype))

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        (gradient,) = gradients
        return gradient @ ctx.layer.weight.to(gradient.dtype), None


def quantize_layers(
    model: Any,
    *,
    double: bool = True,
    quantize: Callable[..., Any] = quantize_nf4,
    dequantize: Callable[..., torch.Tensor] = dequantize_nf4,
) -> list[str]:
    """Put an NF4Linear in the place of every linear layer but the head, and return their names: what QLoRA does first.

    Embeddings, norms, convolutions and the head stay as they are: they are small, or decide between words. Everything is
    frozen. `quantize` and `dequantize` may be your own.

    Raises:
        ValueError: a layer's weights do not fill whole blocks. The model is unchanged.
    """
    head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    layers = {
        name: NF4Linear(layer, double=double, quantize=quantize, dequantize=dequantize)
        for name, layer in adaptable_layers(model).items()
        if isinstance(layer, nn.Linear) and layer is not head
    }
    model.requires_grad_(False)
    for name, layer in layers.items():
        model.set_submodule(name, layer)
    return list(layers)
