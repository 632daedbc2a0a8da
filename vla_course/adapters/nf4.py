"""NF4: four bits per weight, on 16 levels that are closest together where weights are most frequent.

Weights of one block share a scale, their largest absolute value, and each becomes the number of the nearest level. Codes and
scales are those of bitsandbytes, bit for bit.

Source: Dettmers et al. 2023, QLoRA: Efficient Finetuning of Quantized LLMs, section 3; the order of operations is that of
bitsandbytes 0.50 (functional.create_normal_map, backends/default/ops.py).
"""

from statistics import NormalDist

import torch
from jaxtyping import Float, UInt8

OUTERMOST = 0.9677083
"""The share of a normal distribution below the largest level, before levels are scaled to end at 1."""


def nf4_codebook() -> Float[torch.Tensor, "16"]:
    """The 16 levels of NF4 in [-1, 1] from the lowest to the highest, in float32, with an exact 0.

    Eight positive levels are the quantiles of a normal distribution at even steps from OUTERMOST towards one half, which
    itself is none of them (its quantile is the 0); seven negative ones likewise, mirrored; all are divided by the largest.
    """
    quantile = NormalDist().inv_cdf
    positive = [quantile(share) for share in torch.linspace(OUTERMOST, 0.5, 9)[:-1].tolist()]
    negative = [-quantile(share) for share in torch.linspace(OUTERMOST, 0.5, 8)[:-1].tolist()]
    levels = torch.tensor(sorted([*negative, 0.0, *positive]), dtype=torch.float32)
    return levels / levels.max()


LEVELS = nf4_codebook()


def quantize_nf4(
    weights: Float[torch.Tensor, "..."], block: int = 64
) -> tuple[UInt8[torch.Tensor, "blocks block"], Float[torch.Tensor, " blocks"]]:
    """A 4-bit code per weight and one absmax per block.

    A block is `block` weights that follow each other, row after row. `weights` may have any number of axes and any
    floating dtype, and is converted to float32 before anything is computed. A code is the number of the level in
    LEVELS that is nearest to weight / absmax, however small absmax is. A block of zeros has absmax exactly 0 and the
    code of level 0, which is 7.

    Raises:
        ValueError: the weights do not fill whole blocks.
    """
    if weights.numel() % block:
        raise ValueError(f"want whole blocks of {block} weights, got {weights.numel()}")
    blocks = weights.reshape(-1, block).float()
    absmax = blocks.abs().amax(dim=1)
    scaled = (blocks * (1 / absmax.clamp(min=1e-38))[:, None]).clamp(-1, 1)
    levels = LEVELS.to(weights.device)
    halfway = (levels[:-1] + levels[1:]) / 2
    return torch.bucketize(scaled, halfway).to(torch.uint8), absmax


def dequantize_nf4(
    codes: UInt8[torch.Tensor, "blocks block"], absmax: Float[torch.Tensor, " blocks"]
) -> Float[torch.Tensor, "blocks block"]:
    """The weights the model really computes with: each code's level, times the absmax of its block.

    Codes are uint8, and torch takes a uint8 tensor in brackets for a mask; whole numbers of any other type are places.
    """
    return LEVELS.to(codes.device)[codes.int()] * absmax[:, None]


def bits_per_parameter(block: int = 64, second_block: int | None = None) -> float:
    """The true storage per weight, scales included.

    Scales are 32-bit numbers. With double quantisation they are 8-bit codes, and each `second_block` of them share one 32-bit
    scale.
    """
    if second_block is None:
        return 4 + 32 / block
    return 4 + 8 / block + 32 / (block * second_block)


def pack(codes: UInt8[torch.Tensor, "blocks block"]) -> UInt8[torch.Tensor, " bytes"]:
    """Two codes in a byte, the first one in its upper half."""
    pairs = codes.reshape(-1, 2)
    return (pairs[:, 0] << 4) | pairs[:, 1]


def unpack(packed: UInt8[torch.Tensor, " bytes"], block: int = 64) -> UInt8[torch.Tensor, "blocks block"]:
    """The inverse of `pack`."""
    return torch.stack([packed >> 4, packed & 15], dim=1).reshape(-1, block)
