"""Weights in bfloat16 on processors that cannot multiply it: they are turned into float32 for the product, a layer at a time.

Most laptops are such. There a product of one row is as fast as the memory delivers the weights, but one of hundreds of rows, a
prompt, is computed number by number: with float32 in between it was four times faster (AVX2, 280 rows).
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import nn
from torch.nn import functional as F

ROWS = 20
"""From so many rows on, turning the weights into float32 costs less than it saves."""


class Float32Linear(nn.Linear):
    """A linear layer that keeps bfloat16 weights and multiplies many rows in float32."""

    def forward(self, x: Float[torch.Tensor, "... inputs"]) -> Float[torch.Tensor, "... outputs"]:
        """The layer's answer, in the number type of `x`."""
        if self.weight.dtype != torch.bfloat16 or x.numel() < ROWS * self.in_features:
            return super().forward(x)
        bias = None if self.bias is None else self.bias.float()
        return F.linear(x.float(), self.weight.float(), bias).to(x.dtype)


def multiplies_bfloat16() -> bool:
    """Whether this processor's matrix product in bfloat16 is worth its name."""
    library: Any = torch.backends.mkldnn
    return not library.is_available() or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def compute_in_float32(model: nn.Module) -> None:
    """Have every linear layer multiply so, those in four bits too. Weights, and what is saved, stay as they are."""
    layers: list[Any] = list(model.modules())
    for layer in layers:
        if type(layer) is nn.Linear:
            layer.__class__ = Float32Linear
        elif type(layer).__name__ == "Linear4bit":
            layer.compute_dtype = torch.float32
