"""Plausible wrong answers for Day 06, each with a fragment of the hint that it must get."""

from statistics import NormalDist

import torch

from vla_course.adapters.nf4 import (
    LEVELS,
    OUTERMOST,
    dequantize_nf4,
    nf4_codebook,
    quantize_nf4,
)
from vla_course.checks.day06 import PUBLISHED_LEVELS

quantile = NormalDist().inv_cdf


def quantiles(steps, first=OUTERMOST, last=0.5):
    return [quantile(share) for share in torch.linspace(first, last, steps + 1)[:-1].tolist()]


def of(*levels):
    found = torch.tensor(sorted(levels))
    return found / found.max()


# --- 06.1


def even_levels():
    return torch.linspace(-1, 1, 16)


def even_on_both_sides():
    return torch.cat([torch.linspace(-1, 0, 8), torch.linspace(0, 1, 9)[1:]])


def symmetric_quantiles():
    return of(*[quantile(share) for share in torch.linspace(1 - OUTERMOST, OUTERMOST, 16).tolist()])


def eight_on_both_sides():
    return of(*quantiles(8), *[-level for level in quantiles(8)])


def not_divided():
    return nf4_codebook() * 1.8481308


def mirrored():
    return -nf4_codebook().flip(0)


def not_sorted():
    levels = nf4_codebook()
    return torch.cat([levels[:7], levels[8:-1], levels[7:8], levels[15:]])


def with_both_halves():
    return of(*quantiles(8), 0.0, 0.0, 0.0, *[-level for level in quantiles(7)])


def without_zero():
    return of(*quantiles(8), *[-level for level in quantiles(7)])


def seven_of_the_eight():
    return of(*quantiles(8), 0.0, *[-level for level in quantiles(8)[:-1]])


def another_outermost():
    return of(*quantiles(8, 0.99), 0.0, *[-level for level in quantiles(7, 0.99)])


def in_float64():
    return nf4_codebook().double()


# --- 06.2


def codes_of(scaled):
    return torch.bucketize(scaled, (LEVELS[:-1] + LEVELS[1:]) / 2).to(torch.uint8)


def one_size_for_all(weights, block=64):
    blocks = weights.reshape(-1, block)
    absmax = blocks.abs().max()
    return codes_of(blocks / absmax), absmax.repeat(len(blocks))


def sizes_apart_codes_together(weights, block=64):
    codes, _ = one_size_for_all(weights, block)
    return codes, quantize_nf4(weights, block)[1]


def largest_with_its_sign(weights, block=64):
    blocks = weights.reshape(-1, block)
    absmax = blocks.amax(dim=1)
    return codes_of(blocks / absmax[:, None]), absmax


def mean_size(weights, block=64):
    blocks = weights.reshape(-1, block)
    absmax = blocks.abs().mean(dim=1)
    return codes_of(blocks / absmax[:, None]), absmax


def rounds_down(weights, block=64):
    blocks, (_, absmax) = weights.reshape(-1, block), quantize_nf4(weights, block)
    scaled = blocks / absmax.clamp(min=1e-38)[:, None]
    return (torch.searchsorted(LEVELS, scaled, right=True) - 1).to(torch.uint8), absmax


def rounds_up(weights, block=64):
    blocks, (_, absmax) = weights.reshape(-1, block), quantize_nf4(weights, block)
    return torch.searchsorted(LEVELS, blocks / absmax.clamp(min=1e-38)[:, None]).to(torch.uint8), absmax


def down_the_columns(weights, block=64):
    return quantize_nf4(weights.T.contiguous() if weights.ndim == 2 else weights, block)


def counted_from_the_top(weights, block=64):
    codes, absmax = quantize_nf4(weights, block)
    return 15 - codes, absmax


def in_eight_bytes(weights, block=64):
    codes, absmax = quantize_nf4(weights, block)
    return codes.long(), absmax


def forgets_the_sizes(weights, block=64):
    return quantize_nf4(weights, block)[0]


def divides_by_zero(weights, block=64):
    blocks = weights.reshape(-1, block)
    absmax = blocks.abs().amax(dim=1)
    return codes_of(blocks / absmax[:, None]), absmax


def returns_what_it_divided_by(weights, block=64):
    codes, absmax = quantize_nf4(weights, block)
    return codes, absmax.clamp(min=1e-2)


def always_blocks_of_its_own(weights, block=32):
    return quantize_nf4(weights, block)


# --- 06.3


def divides(codes, absmax):
    return LEVELS[codes.int()] / absmax[:, None]


def on_a_line(codes, absmax):
    return (codes / 15 * 2 - 1) * absmax[:, None]


def wrong_axis(codes, absmax):
    return LEVELS[codes.int()] * absmax


def one_size_on_the_way_back(codes, absmax):
    return LEVELS[codes.int()] * absmax.max()


def levels_alone(codes, absmax):
    return LEVELS[codes.int()]


def rounded(codes, absmax):
    exact = dequantize_nf4(codes, absmax)
    return torch.where(exact.abs() > 1.4, exact.round(decimals=1), exact) if exact.numel() > 4 else exact


# --- 06.4


def codes_alone(block, second_block=None):
    return 4.0


def scales_of_16_bits(block, second_block=None):
    return 4 + 16 / block


def a_scale_for_every_weight(block, second_block=None):
    return 4.0 + 32


def always_64(block, second_block=None):
    return 4.5 if second_block is None else 4 + 8 / 64 + 32 / (64 * second_block)


def second_level_per_block(block, second_block=None):
    return 4 + 32 / block if second_block is None else 4 + 8 / block + 32 / block


def second_level_per_weight(block, second_block=None):
    return 4 + 32 / block if second_block is None else 4 + 8 / block + 32 / second_block


def forgets_the_8_bit_codes(block, second_block=None):
    return 4 + 32 / block if second_block is None else 4 + 32 / (block * second_block)


def full_scales_twice(block, second_block=None):
    return 4 + 32 / block + (0 if second_block is None else 32 / (block * second_block))


def forgets_the_second_level(block, second_block=None):
    return 4 + (32 if second_block is None else 8) / block


def always_256(block, second_block=None):
    return 4 + 32 / block if second_block is None else 4 + 8 / block + 32 / (block * 256)


# --- 06.5


def moments_for_the_frozen(frozen, trainable, f, w, g):
    return (frozen * f + trainable * (w + g) + (frozen + trainable) * 8) / 1e9


def all_for_the_frozen(frozen, trainable, f, w, g):
    return (frozen * f + trainable * w + (frozen + trainable) * (g + 8)) / 1e9


def one_moment(frozen, trainable, f, w, g):
    return (frozen * f + trainable * (w + g + 4)) / 1e9


def moments_as_wide_as_weights(frozen, trainable, f, w, g):
    return (frozen * f + trainable * (w + g + 2 * w)) / 1e9


def no_moments(frozen, trainable, f, w, g):
    return (frozen * f + trainable * (w + g)) / 1e9


def no_adapters(frozen, trainable, f, w, g):
    return (frozen * f + trainable * (g + 8)) / 1e9


def no_gradients(frozen, trainable, f, w, g):
    return (frozen * f + trainable * (w + 8)) / 1e9


def no_frozen(frozen, trainable, f, w, g):
    return trainable * (w + g + 8) / 1e9


def in_gib(frozen, trainable, f, w, g):
    return (frozen * f + trainable * (w + g + 8)) / 2**30


def in_bytes(frozen, trainable, f, w, g):
    return frozen * f + trainable * (w + g + 8)


def whole_bytes(frozen, trainable, f, w, g):
    return (frozen * (f if f == 0.5 else round(f)) + trainable * (w + g + 8)) / 1e9


MISTAKES = {
    "nf4_codebook": [
        (even_levels, "these are even steps; the levels are quantiles"),
        (symmetric_quantiles, "the same quantiles on both sides leave no 0"),
        (eight_on_both_sides, "eight positive and eight negative ones leave no 0"),
        (not_divided, "divide all levels by the largest"),
        (mirrored, "mirrored"),
        (not_sorted, "sort them"),
        (with_both_halves, "eight even steps that end before it"),
        (without_zero, "0 is missing"),
        (seven_of_the_eight, "seven even steps of their own"),
        (even_on_both_sides, "even steps on both sides of 0"),
        (another_outermost, "the outermost share is OUTERMOST"),
        (in_float64, "end with .float()"),
    ],
    "quantize_nf4": [
        (one_size_for_all, "that is one for all weights"),
        (sizes_apart_codes_together, "codes with one size for all"),
        (largest_with_its_sign, "take absolute values first"),
        (mean_size, "the mean size"),
        (rounds_down, "the level below is not the nearest"),
        (rounds_up, "the level above is not the nearest"),
        (down_the_columns, "go down the columns"),
        (counted_from_the_top, "counted from the top"),
        (in_eight_bytes, "codes.to(torch.uint8)"),
        (forgets_the_sizes, "return codes, absmax"),
        (divides_by_zero, "keep the scale away from 0"),
        (returns_what_it_divided_by, "return absmax as it was"),
        (always_blocks_of_its_own, "64 by default"),
    ],
    "dequantize_nf4": [
        (divides, "the way back multiplies"),
        (on_a_line, "a line from −1 to 1"),
        (wrong_axis, "the wrong axis"),
        (one_size_on_the_way_back, "this is one for all"),
        (levels_alone, "multiply with the block's absmax"),
        (rounded, "nothing is rounded"),
    ],
    "bits_per_parameter": [
        (codes_alone, "the codes alone cannot be read"),
        (scales_of_16_bits, "the scales are 32-bit numbers"),
        (a_scale_for_every_weight, "a whole scale for every weight"),
        (always_64, "its size is `block`, here 20"),
        (second_level_per_block, "one scale for every block here"),
        (second_level_per_weight, "second_block *scales*"),
        (forgets_the_8_bit_codes, "8-bit scales of the first level are still stored"),
        (full_scales_twice, "32 bits at both levels"),
        (forgets_the_second_level, "take room as well"),
        (always_256, "`second_block`, whatever they are"),
    ],
    "training_state_gb": [
        (moments_for_the_frozen, "what is frozen has no moments"),
        (all_for_the_frozen, "what is frozen has no gradient and no moments"),
        (one_moment, "two moments for each trained weight"),
        (moments_as_wide_as_weights, "whatever the weights are"),
        (no_moments, "the moments are missing"),
        (no_adapters, "the trained weights themselves are missing"),
        (no_gradients, "the gradients are missing"),
        (no_frozen, "frozen weights take room"),
        (in_gib, "that is in GiB"),
        (in_bytes, "that is in bytes"),
        (whole_bytes, "frozen_bytes may be less than a byte"),
    ],
}


def test_the_published_levels_are_the_librarys():
    assert (nf4_codebook() - PUBLISHED_LEVELS).abs().max() < 1e-7
