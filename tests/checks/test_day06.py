"""Plausible wrong answers for Day 06, each with a fragment of the hint that it must get."""

from decimal import Decimal
from itertools import pairwise
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


def zero_twice():
    return of(*quantiles(8)[:-1], 0.0, 0.0, *[-level for level in quantiles(7)])


def seventeen():
    return of(*quantiles(8), 0.0, 0.0, *[-level for level in quantiles(7)])


def negative_ones_not_mirrored():
    return of(*quantiles(8), 0.0, *quantiles(7))


def averages_of_neighbours():
    def half(steps):
        edges = [*quantiles(steps), 0.0]
        return [(high + low) / 2 for high, low in pairwise(edges)]

    return of(*half(8), 0.0, *[-level for level in half(7)])


def even_with_a_zero():
    levels = torch.linspace(-1, 1, 16)
    levels[7] = 0
    return levels


def almost_zero():
    return torch.where(nf4_codebook() == 0, 1e-5, nf4_codebook())


def one_wrong_digit():
    levels = nf4_codebook()
    levels[11] += 0.0001
    return levels


def a_list_of_levels():
    return nf4_codebook().tolist()


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


def every_second_one(weights, block=64):
    return quantize_nf4(weights.reshape(block, -1).T.contiguous(), block)


def without_signs(weights, block=64):
    codes, absmax = quantize_nf4(weights, block)
    return codes_of((LEVELS[codes.int()]).abs()), absmax


def on_even_levels(weights, block=64):
    blocks, (_, absmax) = weights.reshape(-1, block), quantize_nf4(weights, block)
    return ((blocks / absmax[:, None] + 1) * 7.5).round().to(torch.uint8), absmax


def something_added(size):
    def quantizes(weights, block=64):
        blocks, (_, absmax) = weights.reshape(-1, block), quantize_nf4(weights, block)
        return codes_of(blocks / (absmax[:, None] + size)), absmax

    return quantizes


def one_size_for_a_row(weights, block=64):
    if weights.ndim == 1:
        return quantize_nf4(weights, block)
    rows = weights.reshape(-1, weights.shape[-1])
    size = rows.abs().amax(dim=1).repeat_interleave(rows.shape[1] // block)
    return codes_of(weights.reshape(-1, block) / size[:, None]), size


def blocks_by_view(weights, block=64):
    return quantize_nf4(weights.view(-1, block), block)


def absmax_first(weights, block=64):
    return quantize_nf4(weights, block)[::-1]


def levels_for_codes(weights, block=64):
    codes, absmax = quantize_nf4(weights, block)
    return LEVELS[codes.int()], absmax


def absmax_in_sixteen_bits(dtype):
    def quantizes(weights, block=64):
        codes, absmax = quantize_nf4(weights, block)
        return codes, absmax.to(dtype)

    return quantizes


def absmax_as_a_column(weights, block=64):
    codes, absmax = quantize_nf4(weights, block)
    return codes, absmax[:, None]


def divides_in_place(weights, block=64):
    codes, absmax = quantize_nf4(weights, block)
    weights /= absmax.max()
    return codes, absmax


def codes_from_one(weights, block=64):
    codes, absmax = quantize_nf4(weights, block)
    return codes + 1, absmax


def the_first_two_axes_only(weights, block=64):
    return quantize_nf4(weights if weights.ndim < 3 else weights.transpose(0, 1), block)


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


def the_first_size_for_all(codes, absmax):
    return LEVELS[codes.int()] * absmax[0]


def codes_from_one_on_the_way_back(codes, absmax):
    return LEVELS[codes.int() - 1] * absmax[:, None]


def weights_in(dtype):
    def dequantizes(codes, absmax):
        return dequantize_nf4(codes, absmax).to(dtype)

    return dequantizes


def flat(codes, absmax):
    return dequantize_nf4(codes, absmax).flatten()


def absmax_made_a_column_in_place(codes, absmax):
    return LEVELS[codes.int()] * absmax.unsqueeze_(1)


def in_rows_of_64(codes, absmax):
    found = dequantize_nf4(codes, absmax)
    return found.reshape(-1, 64) if found.numel() % 64 == 0 else found


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


def bits(block, second_block=None, code=4.0, scale=32, codes=8, second=32):
    if second_block is None:
        return code + scale / block
    return code + codes / block + second / (block * second_block)


def scales_alone(block, second_block=None):
    return bits(block, second_block, code=0)


def in_bytes_per_weight(block, second_block=None):
    return bits(block, second_block) / 8


def whole_bits(block, second_block=None):
    return 4 + 32 // block if second_block is None else 4 + 8 // block + 32 // (block * second_block)


def rounded_to(digits):
    return lambda block, second_block=None: round(bits(block, second_block), digits)


def without_double_quantisation(block, second_block=None):
    return bits(block)


def codes_on_top(block, second_block=None):
    return bits(block) if second_block is None else bits(block, second_block) + 32 / block


def sizes_exchanged(block, second_block=None):
    return bits(block) if second_block is None else 4 + 8 / second_block + 32 / (block * second_block)


def second_scale_of(size):
    return lambda block, second_block=None: bits(block, second_block, second=size)


def a_table(block, second_block=None):
    known = {(20, None): 5.6, (64, None): 4.5, (64, 256): 4.126953125, (128, 64): 4.06640625}
    return known.get((block, second_block), 4.5)


def a_decimal(block, second_block=None):
    return Decimal(bits(block, second_block))


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


def moments_as_wide_as_gradients(frozen, trainable, f, w, g):
    return (frozen * f + trainable * (w + 3 * g)) / 1e9


def moments_in_bits(frozen, trainable, f, w, g):
    return (frozen * f + trainable * (w + g + 64)) / 1e9


def gradients_for_the_frozen(frozen, trainable, f, w, g):
    return (frozen * (f + g) + trainable * (w + g + 8)) / 1e9


def trained_as_small_as_frozen(frozen, trainable, f, w, g):
    return (frozen * f + trainable * (f + g + 8)) / 1e9


def frozen_as_large_as_trained(frozen, trainable, f, w, g):
    return (frozen * w + trainable * (w + g + 8)) / 1e9


def trained_counted_twice(frozen, trainable, f, w, g):
    return ((frozen + trainable) * f + trainable * (w + g + 8)) / 1e9


def in_mb(frozen, trainable, f, w, g):
    return (frozen * f + trainable * (w + g + 8)) / 1e6


def whole_gb(frozen, trainable, f, w, g):
    return (frozen * f + trainable * (w + g + 8)) // 1e9


def to_a_tenth(frozen, trainable, f, w, g):
    return round((frozen * f + trainable * (w + g + 8)) / 1e9, 1)


def gradients_of_32_bits(frozen, trainable, f, w, g):
    return (frozen * f + trainable * (w + (g if g == 1 else 4) + 8)) / 1e9


def to_a_millionth(frozen, trainable, f, w, g):
    return round((frozen * f + trainable * (w + g + 8)) / 1e9, 6)


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
        (zero_twice, "a level is there twice"),
        (seventeen, "one too many"),
        (negative_ones_not_mirrored, "mirrored, with a minus"),
        (averages_of_neighbours, "averages of neighbouring quantiles"),
        (even_with_a_zero, "sixteen even steps and a 0"),
        (almost_zero, "0 gets a level of its own"),
        (one_wrong_digit, "quantiles of the normal distribution"),
        (a_list_of_levels, "return a torch tensor, not a list"),
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
        (every_second_one, "you took every second one"),
        (without_signs, "the signs are lost"),
        (on_even_levels, "sixteen even steps"),
        (something_added(1e-5), "nothing is added to it"),
        (something_added(1e-8), "nothing is added to it"),
        (one_size_for_a_row, "the absmax of a row, twice"),
        (blocks_by_view, "`reshape` copies them"),
        (absmax_first, "the order is turned round"),
        (levels_for_codes, "the *number* of the level"),
        (absmax_in_sixteen_bits(torch.bfloat16), "rounded to 16 bits"),
        (absmax_in_sixteen_bits(torch.float16), "rounded to 16 bits (float16)"),
        (absmax_as_a_column, "the shape is (2, 1), it should be (2,)"),
        (divides_in_place, "`weights` is changed in place"),
        (codes_from_one, "counted from 1"),
        (the_first_two_axes_only, "row after row of what is given"),
    ],
    "dequantize_nf4": [
        (divides, "the way back multiplies"),
        (on_a_line, "a line from −1 to 1"),
        (wrong_axis, "the wrong axis"),
        (one_size_on_the_way_back, "this is one for all"),
        (levels_alone, "multiply with the block's absmax"),
        (rounded, "nothing is rounded"),
        (the_first_size_for_all, "the first one's for all"),
        (codes_from_one_on_the_way_back, "codes count from 0"),
        (weights_in(torch.bfloat16), "rounded to bfloat16"),
        (weights_in(torch.float16), "rounded to float16"),
        (flat, "the shape is (4,), it should be (1, 4)"),
        (absmax_made_a_column_in_place, "`absmax` is changed in place"),
        (in_rows_of_64, "the shape is (10, 64)"),
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
        (scales_alone, "its code, are missing"),
        (in_bytes_per_weight, "that is in bytes"),
        (whole_bits, "not with //"),
        (rounded_to(0), "round nothing"),
        (rounded_to(2), "rounded to two digits"),
        (without_double_quantisation, "without double quantisation"),
        (codes_on_top, "they do not come on top"),
        (sizes_exchanged, "the two sizes are exchanged"),
        (second_scale_of(8), "you counted 8"),
        (second_scale_of(16), "you counted 16"),
        (a_table, "not only those in a table"),
        (a_decimal, "return a number, not a Decimal"),
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
        (moments_as_wide_as_gradients, "whatever the gradients are"),
        (moments_in_bits, "has 4 bytes"),
        (gradients_for_the_frozen, "what is frozen has no gradient"),
        (trained_as_small_as_frozen, "takes weight_bytes, not frozen_bytes"),
        (frozen_as_large_as_trained, "takes frozen_bytes, not weight_bytes"),
        (trained_counted_twice, "are counted twice"),
        (in_mb, "that is in MB"),
        (whole_gb, "a fraction of a GB counts"),
        (to_a_tenth, "with all its digits"),
        (gradients_of_32_bits, "a gradient takes gradient_bytes"),
        (to_a_millionth, "nothing is rounded"),
    ],
}


def test_the_published_levels_are_the_librarys():
    assert (nf4_codebook() - PUBLISHED_LEVELS).abs().max() < 1e-7
