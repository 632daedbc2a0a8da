"""Answers to Day 06, written from the exercise notebook alone."""

import math
from fractions import Fraction
from itertools import pairwise
from statistics import NormalDist

import numpy as np
import torch
from run import right, wrong

from vla_course.adapters.nf4 import LEVELS, OUTERMOST

# --- 06.1


def _halves(n):
    return [NormalDist().inv_cdf(share) for share in torch.linspace(OUTERMOST, 0.5, n + 1)[:-1].tolist()]


@wrong("nf4_codebook", fits=r"seven|eight|negative|positive|mirror|sides?\b|swap|half|halves")
def eight_negative_levels():
    """Eight negative and seven positive levels: the halves are exchanged."""
    levels = torch.tensor(sorted([-q for q in _halves(8)] + [0.0] + _halves(7)))
    return levels / levels.max()


@wrong("nf4_codebook", fits=r"divid|largest|scale|normali|\[-1|−1|end at 1|max")
def levels_not_divided():
    """Plain quantiles, never divided by the largest, so they end at 1.85."""
    return torch.tensor(sorted([-q for q in _halves(7)] + [0.0] + _halves(8)))


@wrong("nf4_codebook", fits=r"seven|negative|steps|mirror|own|linspace|left")
def negative_mirrors_the_positive_steps():
    """The negative levels are the seven largest of the eight positive ones, mirrored, not seven even steps of their own."""
    positive = _halves(8)
    levels = torch.tensor(sorted([-q for q in positive[:-1]] + [0.0] + positive))
    return levels / levels.max()


@wrong("nf4_codebook", fits=r"quantile|even|inv_cdf|normal")
def even_levels():
    """Sixteen levels at even distances, with the nearest to zero set to 0."""
    levels = torch.linspace(-1, 1, 16)
    levels[7] = 0.0
    return levels


@wrong("nf4_codebook", fits=r"exact(ly)?( 0)?|zero|\b0\b|eight|seven|half|halves")
def sixteen_quantiles_without_zero():
    """Sixteen even steps over the whole curve, so no level is 0 and the halves are alike."""
    shares = torch.linspace(1 - OUTERMOST, OUTERMOST, 16).tolist()
    levels = torch.tensor([NormalDist().inv_cdf(share) for share in shares])
    return levels / levels.max()


@wrong("nf4_codebook", fits=r"sort|order|ascend|increas|rising|smallest")
def levels_not_sorted():
    """The right sixteen numbers in the order they were made: positive, negative, 0."""
    levels = torch.tensor([*_halves(8), *[-q for q in _halves(7)], 0.0])
    return levels / levels.max()


@wrong("nf4_codebook", fits=r"0\.5|one half|twice|two zeros|another 0|zero|\b0\b|different|distinct|\[:-1\]")
def two_zeros():
    """Keeps the share 0.5 in both halves' steps, so 0 is a level more than once."""
    positive = [NormalDist().inv_cdf(share) for share in torch.linspace(OUTERMOST, 0.5, 8).tolist()]
    negative = [-NormalDist().inv_cdf(share) for share in torch.linspace(OUTERMOST, 0.5, 8).tolist()[:-1]]
    levels = torch.tensor(sorted([*negative, 0.0, *positive]))
    return levels / levels.max()


@wrong("nf4_codebook", fits=r"tensor|list")
def a_python_list():
    """The right numbers as a Python list."""
    levels = sorted([-q for q in _halves(7)] + [0.0] + _halves(8))
    return [level / levels[-1] for level in levels]


@wrong("nf4_codebook", fits=r"tensor|array|numpy")
def a_numpy_array():
    """The right numbers as a NumPy array."""
    levels = np.sort(np.array(_halves(8) + [0.0] + [-q for q in _halves(7)], dtype=np.float32))
    return levels / levels.max()


@wrong("nf4_codebook", fits=r"quantile|even steps|steps|shares|linspace|average|middle|OUTERMOST")
def middles_of_quantiles_as_in_the_paper():
    """The paper's formula, averages of neighbouring quantiles in each half, instead of the quantiles at even steps."""

    def half(n):
        q = [NormalDist().inv_cdf(share) for share in torch.linspace(0.5, OUTERMOST, n + 1).tolist()]
        return [(low + high) / 2 for low, high in pairwise(q)]

    negative, positive = [-level for level in half(7)], half(8)
    levels = torch.tensor(sorted([*negative, 0.0, *positive]))
    return levels / levels.max()


@wrong("nf4_codebook", fits=r"negative|mirror|minus|sign|below 0|seven")
def forgets_to_mirror():
    """The seven "negative" levels are left positive."""
    levels = torch.tensor(sorted([*_halves(7), 0.0, *_halves(8)]))
    return levels / levels.max()


@wrong("nf4_codebook", fits=r"outermost|0\.9677|share|end|begin|steps|quantile")
def begins_at_another_share():
    """Begins at 1 - 1/32 = 0.96875, the middle of the last sixteenth, instead of OUTERMOST."""
    q = NormalDist().inv_cdf
    positive = [q(share) for share in np.linspace(1 - 1 / 32, 0.5, 9)[:-1]]
    negative = [-q(share) for share in np.linspace(1 - 1 / 32, 0.5, 8)[:-1]]
    levels = torch.tensor(sorted([*negative, 0.0, *positive]), dtype=torch.float32)
    return levels / levels.max()


@wrong("nf4_codebook", fits=r"even steps|0\.33|positive|table|digit|quantile")
def table_with_a_typing_error():
    """The published table, typed with two digits of one level exchanged (0.3397 for 0.3379)."""
    return torch.tensor(
        [-1.0, -0.6961928, -0.52507305, -0.39491749, -0.28444138, -0.18477343, -0.09105004, 0.0,
         0.0795803, 0.1609302, 0.2461123, 0.33971524, 0.44070983, 0.562617, 0.72295684, 1.0]
    )  # fmt: skip


@right("nf4_codebook")
def with_ndtri():
    """torch.special.ndtri in float64 instead of NormalDist."""
    half = torch.tensor(0.5, dtype=torch.float64)
    up = torch.linspace(OUTERMOST, 0.5, 9, dtype=torch.float64)[:8]
    down = torch.linspace(OUTERMOST, 0.5, 8, dtype=torch.float64)[:7]
    shares = torch.cat([1 - down, half[None], up.flip(0)])
    levels = torch.special.ndtri(shares)
    levels[7] = 0
    return (levels / levels[-1]).float()


@right("nf4_codebook")
def one_list_of_shares():
    """One rising list of shares through 0.5, whose quantile is exactly 0."""
    below = [0.5 - (OUTERMOST - 0.5) * i / 7 for i in range(7, 0, -1)]
    above = [0.5 + (OUTERMOST - 0.5) * i / 8 for i in range(1, 9)]
    curve = NormalDist()
    top = curve.inv_cdf(OUTERMOST)
    return torch.tensor([curve.inv_cdf(share) / top for share in [*below, 0.5, *above]], dtype=torch.float32)


@right("nf4_codebook")
def with_erfinv():
    """The quantile as sqrt(2) erfinv(2p - 1); the root cancels in the division."""

    def half(n):
        return torch.erfinv(2 * torch.linspace(OUTERMOST, 0.5, n + 1, dtype=torch.float64)[:n] - 1)

    levels = torch.cat([-half(7), torch.zeros(1, dtype=torch.float64), half(8)]).sort().values
    return levels.div(levels.abs().max()).to(torch.float32)


@right("nf4_codebook")
def the_published_table():
    """The table of bitsandbytes, from memory."""
    return torch.tensor(
        [-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
         -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
         0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941,
         0.7229568362236023, 1.0]
    )  # fmt: skip


@right("nf4_codebook")
def ndtri_in_float32():
    """Single precision throughout."""
    up, down = torch.linspace(OUTERMOST, 0.5, 9)[:-1], torch.linspace(OUTERMOST, 0.5, 8)[:-1]
    levels = torch.cat([torch.special.ndtri(up), torch.zeros(1), -torch.special.ndtri(down)]).sort().values
    return levels / levels[-1]


# --- 06.2

MIDDLES = (LEVELS[:-1] + LEVELS[1:]) / 2


def _codes(blocks, absmax, middles=MIDDLES):
    return torch.bucketize(blocks / absmax.clamp(min=1e-38)[:, None], middles).to(torch.uint8)


@wrong("quantize_nf4", fits=r"each block|own|per block|one scale|whole|every block|share")
def one_absmax_for_all(weights, block=64):
    """One absmax for the whole tensor, repeated for every block."""
    blocks = weights.reshape(-1, block).float()
    absmax = blocks.abs().max().expand(len(blocks)).clone()
    return _codes(blocks, absmax), absmax


@wrong("quantize_nf4", fits=r"nearest|middle|halfway|below|round|floor|between")
def level_at_or_below(weights, block=64):
    """Takes the level at or below instead of the nearest."""
    blocks = weights.reshape(-1, block).float()
    absmax = blocks.abs().amax(dim=1)
    scaled = (blocks / absmax.clamp(min=1e-38)[:, None]).clamp(-1, 1)
    return (torch.bucketize(scaled, LEVELS, right=True) - 1).to(torch.uint8), absmax


@wrong("quantize_nf4", fits=r"nearest|middle|halfway|above|round|between")
def level_at_or_above(weights, block=64):
    """Counts the levels below instead of the middles below, so it always rounds up."""
    blocks = weights.reshape(-1, block).float()
    absmax = blocks.abs().amax(dim=1)
    return _codes(blocks, absmax, LEVELS).clamp(max=15), absmax


@wrong("quantize_nf4", fits=r"abs|sign|negative|size|largest size|magnitude")
def max_without_abs(weights, block=64):
    """The largest number of a block, without the abs: a block whose largest weight is negative overflows."""
    blocks = weights.reshape(-1, block).float()
    largest = blocks.amax(dim=1)
    return _codes(blocks, largest), largest


@wrong("quantize_nf4", fits=r"zero|absmax( is)? 0|\b0\b")
def block_of_zeros_has_absmax_one(weights, block=64):
    """Sets the absmax of a block of zeros to 1, so as to divide by it, and returns that."""
    blocks = weights.reshape(-1, block).float()
    absmax = blocks.abs().amax(dim=1)
    absmax = torch.where(absmax == 0, torch.ones_like(absmax), absmax)
    return (torch.bucketize(blocks / absmax[:, None], MIDDLES)).to(torch.uint8), absmax


@wrong("quantize_nf4", fits=r"small|tiny|1e-|clamp|size|little|epsilon|scale")
def small_blocks_are_drowned(weights, block=64):
    """Adds 1e-5 to the divisor, so small weights are rounded towards 0."""
    blocks = weights.reshape(-1, block).float()
    absmax = blocks.abs().amax(dim=1)
    return torch.bucketize(blocks / (absmax[:, None] + 1e-5), MIDDLES).to(torch.uint8), absmax


@wrong("quantize_nf4", fits=r"in place|changed|changes|input|argument|copy|as they (are|were)|/=|overwr")
def divides_in_place(weights, block=64):
    """Divides the learner's own weights in place."""
    blocks = weights.detach().reshape(-1, block)
    absmax = blocks.abs().amax(dim=1)
    blocks /= absmax.clamp(min=1e-38)[:, None]
    return torch.bucketize(blocks.float(), MIDDLES).to(torch.uint8), absmax.float()


@wrong("quantize_nf4", fits=r"uint8|dtype|type|int64|byte")
def codes_stay_int64(weights, block=64):
    """Returns the int64 of bucketize, eight bytes for a code."""
    blocks = weights.reshape(-1, block).float()
    absmax = blocks.abs().amax(dim=1)
    return torch.bucketize(blocks / absmax.clamp(min=1e-38)[:, None], MIDDLES), absmax


@wrong("quantize_nf4", fits=r"shape|one (number|absmax|scale)|axis|axes|keepdim|dimension|per block")
def absmax_keeps_its_axis(weights, block=64):
    """absmax has the shape (blocks, 1)."""
    blocks = weights.reshape(-1, block).float()
    absmax = blocks.abs().amax(dim=1, keepdim=True)
    return torch.bucketize(blocks / absmax.clamp(min=1e-38), MIDDLES).to(torch.uint8), absmax


@wrong("quantize_nf4", fits=r"row|column|follow|order|memory|transpos|reshape")
def blocks_down_the_columns(weights, block=64):
    """Blocks run down the columns of the matrix instead of along its rows."""
    flipped = weights.permute(*range(weights.ndim - 1, -1, -1)) if weights.ndim > 1 else weights
    blocks = flipped.reshape(-1, block).float()
    absmax = blocks.abs().amax(dim=1)
    return _codes(blocks, absmax), absmax


@wrong("quantize_nf4", fits=r"row|follow|order|memory|reshape|stride|interleav|every")
def strided_blocks(weights, block=64):
    """reshape(block, -1).T: a block is every n-th weight instead of neighbours."""
    blocks = weights.reshape(block, -1).T.float().contiguous()
    absmax = blocks.abs().amax(dim=1)
    return _codes(blocks, absmax), absmax


@wrong("quantize_nf4", fits=r"block\b|64|argument|ignore")
def block_is_always_64(weights, block=64):
    """Ignores `block`."""
    blocks = weights.reshape(-1, 64).float()
    absmax = blocks.abs().amax(dim=1)
    return _codes(blocks, absmax), absmax


@wrong("quantize_nf4", fits=r"row|block|axes|axis|shape|reshape|follow")
def one_scale_for_a_row(weights, block=64):
    """Scales each row of the matrix with the row's absmax: right where a row is one block."""
    rows = weights.reshape(-1, weights.shape[-1]).float()
    absmax = rows.abs().amax(dim=1, keepdim=True).expand(rows.shape)
    blocks, scale = rows.reshape(-1, block), absmax.reshape(-1, block)[:, 0]
    return _codes(blocks, scale), scale.clone()


@wrong("quantize_nf4", fits=r"view|contiguous|stride|reshape|memory")
def view_in_place_of_reshape(weights, block=64):
    """`view` stops on a transposed matrix."""
    blocks = weights.view(-1, block).float()
    absmax = blocks.abs().amax(dim=1)
    return _codes(blocks, absmax), absmax


@wrong("quantize_nf4", fits=r"sign|negative|side|mirror|minus")
def forgets_the_sign(weights, block=64):
    """Looks for the nearest level to |weight|, so all codes are 7 or more."""
    blocks = weights.reshape(-1, block).float()
    absmax = blocks.abs().amax(dim=1)
    return _codes(blocks.abs(), absmax), absmax


@wrong("quantize_nf4", fits=r"LEVELS|level|even|nearest|middle")
def rounds_on_even_levels(weights, block=64):
    """Codes of sixteen even levels, not of LEVELS."""
    blocks = weights.reshape(-1, block).float()
    absmax = blocks.abs().amax(dim=1)
    scaled = blocks / absmax.clamp(min=1e-38)[:, None]
    return ((scaled + 1) * 7.5).round().to(torch.uint8), absmax


@wrong("quantize_nf4", fits=r"order|first|swap|codes|tuple|pair|two")
def absmax_first(weights, block=64):
    """Returns absmax first, then the codes."""
    blocks = weights.reshape(-1, block).float()
    absmax = blocks.abs().amax(dim=1)
    return absmax, _codes(blocks, absmax)


@wrong("quantize_nf4", fits=r"shape|rows?|blocks")
def codes_in_the_shape_of_the_weights(weights, block=64):
    """Codes have the shape of the weights instead of (blocks, block)."""
    blocks = weights.reshape(-1, block).float()
    absmax = blocks.abs().amax(dim=1)
    return _codes(blocks, absmax).reshape(weights.shape), absmax


@right("quantize_nf4")
def argmin_of_distances(weights, block=64):
    """Distances to all sixteen levels, and argmin."""
    blocks = weights.detach().flatten().float().unflatten(0, (-1, block))
    absmax = blocks.abs().max(dim=1).values
    divisor = torch.where(absmax > 0, absmax, torch.ones_like(absmax))
    scaled = blocks / divisor.unsqueeze(1)
    return (scaled.unsqueeze(-1) - LEVELS).abs().argmin(-1).to(torch.uint8), absmax


@right("quantize_nf4")
def with_numpy(weights, block=64):
    """float64 inside, np.searchsorted on the middles."""
    blocks = weights.detach().float().cpu().numpy().reshape(-1, block)
    absmax = np.abs(blocks).max(axis=1)
    scaled = blocks.astype(np.float64) / np.where(absmax == 0, 1, absmax)[:, None]
    levels = LEVELS.double().numpy()
    found = np.searchsorted((levels[1:] + levels[:-1]) / 2, scaled)
    return torch.from_numpy(found.astype(np.uint8)), torch.from_numpy(absmax)


@right("quantize_nf4")
def block_after_block(weights, block=64):
    """A loop over the blocks; counts the middles below."""
    codes, sizes = [], []
    for piece in weights.detach().reshape(-1).float().split(block):
        size = torch.maximum(piece.max(), -piece.min())
        scaled = piece / size if size > 0 else torch.zeros_like(piece)
        codes.append((scaled[:, None] > MIDDLES).sum(1, dtype=torch.uint8))
        sizes.append(size)
    return torch.stack(codes), torch.stack(sizes)


@right("quantize_nf4")
def multiplies_the_middles(weights, block=64):
    """Scales the middles with each block's absmax and leaves the weights as they are."""
    blocks = weights.detach().float().reshape(-1, block).contiguous()
    absmax = torch.linalg.vector_norm(blocks, ord=float("inf"), dim=1)
    codes = torch.searchsorted(absmax.double()[:, None] * MIDDLES.double(), blocks.double())
    codes[absmax == 0] = 7
    return codes.to(torch.uint8), absmax


@right("quantize_nf4")
def a_larger_guard(weights, block=64):
    """Keeps the divisor above 1e-12; compares with the middles and counts."""
    blocks = weights.reshape(-1, block).to(torch.float32)
    absmax = blocks.abs().max(1)[0]
    scaled = blocks / absmax.clamp(min=1e-12)[:, None]
    return (scaled[..., None] > MIDDLES).sum(-1).byte(), absmax


@wrong("quantize_nf4", r"own dtype|\.float\(\)")
def in_the_precision_of_the_weights(weights, block=64):
    """No float(): bfloat16 weights are divided in bfloat16, and their absmax stays so."""
    blocks = weights.reshape(-1, block)
    absmax = blocks.abs().amax(1)
    return _codes(blocks, absmax), absmax


# --- 06.3


@wrong("dequantize_nf4", fits=r"row|column|\[:, None\]|axis|axes|each block|shape|must match|size of tensor")
def absmax_along_the_columns(codes, absmax):
    """`levels * absmax` without the column: right only where it broadcasts."""
    return LEVELS[codes.int()] * absmax


@wrong("dequantize_nf4", fits=r"mask|int\(|whole numbers|index|uint8|shape")
def indexes_with_bytes(codes, absmax):
    """Indexes with uint8, which torch takes for a mask."""
    return LEVELS[codes] * absmax[:, None]


@wrong("dequantize_nf4", fits=r"LEVELS|level|even")
def even_steps_back(codes, absmax):
    """Takes the codes for sixteen even steps from -1 to 1."""
    return (codes.float() / 7.5 - 1) * absmax[:, None]


@wrong("dequantize_nf4", fits=r"absmax|scale|largest|multipl|times")
def levels_only(codes, absmax):
    """Forgets to multiply by absmax."""
    return LEVELS[codes.int()]


@wrong("dequantize_nf4", fits=r"divid|multipl|times|absmax")
def divides_by_absmax(codes, absmax):
    """Divides by absmax where it should multiply."""
    return LEVELS[codes.int()] / absmax.clamp(min=1e-38)[:, None]


@wrong(
    "dequantize_nf4",
    fits=r"in place|changed|changes|input|argument|copy|unsqueeze_|as they (are|were)|overwr|shape",
)
def absmax_reshaped_in_place(codes, absmax):
    """`unsqueeze_` leaves the caller's absmax with another shape."""
    return LEVELS[codes.int()] * absmax.unsqueeze_(1)


@wrong("dequantize_nf4", fits=r"bfloat16|float32|dtype|type|precis|16 bits|round")
def weights_in_bfloat16(codes, absmax):
    """Rounds the weights to bfloat16."""
    return (LEVELS[codes.int()] * absmax[:, None]).to(torch.bfloat16)


@wrong("dequantize_nf4", fits=r"own|each|row|block|one")
def largest_absmax_for_all(codes, absmax):
    """Multiplies all blocks by the largest absmax."""
    return LEVELS[codes.int()] * absmax.max()


@wrong("dequantize_nf4", fits=r"own|each|row|block|one|first")
def first_absmax_for_all(codes, absmax):
    """Multiplies all blocks by the first absmax: right for one block."""
    return LEVELS[codes.int()] * absmax[0]


@wrong("dequantize_nf4", fits=r"64|shape|block")
def back_to_rows_of_64(codes, absmax):
    """Returns rows of 64 whatever the block is."""
    weights = LEVELS[codes.int()] * absmax[:, None]
    return weights.reshape(-1, 64) if weights.numel() % 64 == 0 else weights.reshape(1, -1)


@wrong("dequantize_nf4", fits=r"level|begin|from 0|count|number|index|off by one|one (too|further)|neighbour")
def codes_counted_from_one(codes, absmax):
    """Takes the codes as counted from 1, so every level is one too low."""
    return LEVELS[codes.int() - 1] * absmax[:, None]


@wrong("dequantize_nf4", fits=r"shape|row|flat|axes|axis|blocks")
def flat_weights(codes, absmax):
    """Returns the weights flat, without the axis of blocks."""
    return (LEVELS[codes.int()] * absmax[:, None]).flatten()


@wrong("dequantize_nf4", fits=r"tensor|list")
def list_of_lists(codes, absmax):
    """Python lists in the place of a tensor."""
    return [[float(LEVELS[c] * size) for c in row] for row, size in zip(codes.tolist(), absmax, strict=True)]


@right("dequantize_nf4")
def with_embedding(codes, absmax):
    """torch.nn.functional.embedding as the look-up."""
    found = torch.nn.functional.embedding(codes.long(), LEVELS[:, None]).squeeze(-1)
    return torch.einsum("bk,b->bk", found, absmax)


@right("dequantize_nf4")
def row_after_row(codes, absmax):
    """A loop over rows with index_select."""
    out = torch.empty(codes.shape, dtype=torch.float32)
    for i in range(codes.shape[0]):
        out[i] = absmax[i] * torch.index_select(LEVELS, 0, codes[i].to(torch.int64))
    return out


@right("dequantize_nf4")
def table_of_each_block(codes, absmax):
    """Each block's own sixteen weights, gathered."""
    return torch.outer(absmax, LEVELS).gather(1, codes.long())


@right("dequantize_nf4")
def with_numpy_take(codes, absmax):
    """NumPy and float64 inside."""
    found = LEVELS.double().numpy()[codes.numpy()] * absmax.detach().double().numpy().reshape(-1, 1)
    return torch.from_numpy(found).to(absmax.dtype)


@right("dequantize_nf4")
def in_double_precision(codes, absmax):
    """float64 throughout."""
    return LEVELS.double()[codes.long()] * absmax.double().unsqueeze(-1)


# --- 06.4


@wrong("bits_per_parameter", fits=r"second_block|\bscales\b|how many weights|product|block ?[*·×]|group|256")
def second_scale_shared_by_weights(block=64, second_block=None):
    """The second scale is spread over second_block weights, not over second_block scales."""
    if second_block is None:
        return 4 + 32 / block
    return 4 + 8 / block + 32 / second_block


@wrong("bits_per_parameter", fits=r"second|double|twice")
def without_double_quantisation(block=64, second_block=None):
    """Ignores second_block."""
    return 4 + 32 / block


@wrong("bits_per_parameter", fits=r"second|group|32.bit scale|their own|share|scale of")
def forgets_the_second_scale(block=64, second_block=None):
    """With double quantisation counts the 8-bit codes, and not the scale that they share."""
    return 4 + (32 if second_block is None else 8) / block


@wrong(
    "bits_per_parameter",
    fits=r"8.bit|8 bits|instead|in(to)? the place|replace|no longer|become|double|second",
)
def keeps_the_first_scales_too(block=64, second_block=None):
    """Double quantisation adds 8-bit codes on top of the 32-bit scales."""
    bits = 4 + 32 / block
    if second_block is not None:
        bits += 8 / block + 32 / (block * second_block)
    return bits


@wrong("bits_per_parameter", fits=r"block\b|64|argument|ignore")
def block_is_64_for_ever(block=64, second_block=None):
    """Has 64 in its formula, whatever the block."""
    return 4 + 0.5 if second_block is None else 4 + 8 / 64 + 32 / (64 * second_block)


@wrong("bits_per_parameter", fits=r"second_block|256|argument|group")
def second_block_is_256_for_ever(block=64, second_block=None):
    """Has 256 in its formula, whatever second_block."""
    return 4 + 32 / block if second_block is None else 4 + 8 / block + 32 / (block * 256)


@wrong("bits_per_parameter", fits=r"own|4 bits|itself|the code|four")
def scales_only(block=64, second_block=None):
    """Forgets the four bits of the weight itself."""
    return 32 / block if second_block is None else 8 / block + 32 / (block * second_block)


@wrong("bits_per_parameter", fits=r"32|16.bit|scale")
def scales_of_16_bits(block=64, second_block=None):
    """Scales are float16."""
    return 4 + 16 / block if second_block is None else 4 + 8 / block + 16 / (block * second_block)


@wrong("bits_per_parameter", fits=r"byte|bits|eight|8")
def answers_in_bytes(block=64, second_block=None):
    """Bytes per weight."""
    return (4 + 32 / block if second_block is None else 4 + 8 / block + 32 / (block * second_block)) / 8


@wrong("bits_per_parameter", fits=r"whole|integer|//|fraction|int\b|float|round|division")
def whole_bits(block=64, second_block=None):
    """Whole division: less than a bit is no bit."""
    return 4 + 32 // block if second_block is None else 4 + 8 // block + 32 // (block * second_block)


@wrong("bits_per_parameter", fits=r"round|exact|digit|decimal|precis")
def rounded_bits(block=64, second_block=None):
    """Rounds to two digits."""
    bits = 4 + 32 / block if second_block is None else 4 + 8 / block + 32 / (block * second_block)
    return round(bits, 2)


@wrong("bits_per_parameter", fits=r"block\b|second_block|swap|exchang|8 bits|each scale|shared")
def blocks_exchanged(block=64, second_block=None):
    """The 8-bit code is shared by second_block weights: the two sizes are exchanged."""
    if second_block is None:
        return 4 + 32 / block
    return 4 + 8 / second_block + 32 / (block * second_block)


@wrong("bits_per_parameter", fits=r"32|second|8.bit|scale")
def second_scale_of_8_bits(block=64, second_block=None):
    """The scale of the scales has 8 bits as well."""
    return 4 + 32 / block if second_block is None else 4 + 8 / block + 8 / (block * second_block)


@right("bits_per_parameter")
def counts_one_group(block=64, second_block=None):
    """Counts all bits of the smallest full group, and divides."""
    scales = second_block or 1
    count = block * scales
    overhead = 32 if second_block is None else 8 * scales + 32
    return (4 * count + overhead) / count


@right("bits_per_parameter")
def exact_fractions(block=64, second_block=None):
    """Fractions, made a float at the end."""
    scale = Fraction(32) if second_block is None else 8 + Fraction(32, second_block)
    return float(4 + scale / block)


@right("bits_per_parameter")
def numpy_float(block=64, second_block=None):
    """A np.float64, scale bits first."""
    per_scale = 32.0 if second_block is None else 8.0 + 32.0 / second_block
    return np.float64(4.0) + np.divide(per_scale, block)


@right("bits_per_parameter")
def a_fraction(block=64, second_block=None):
    """A Fraction, exact to the end."""
    per_scale = Fraction(32) if not second_block else 8 + Fraction(32, second_block)
    return 4 + per_scale / block


# --- 06.5


@wrong("training_state_gb", fits=r"two|both|moments?|8 bytes|Adam|second")
def one_moment(frozen, trainable, frozen_bytes, weight_bytes, gradient_bytes):
    """Counts one of Adam's moments."""
    return (frozen * frozen_bytes + trainable * (weight_bytes + gradient_bytes + 4)) / 1e9


@wrong("training_state_gb", fits=r"10⁹|1e9|10\*\*9|2³⁰|2\*\*30|1024|GiB|GB|unit|billion")
def gibibytes(frozen, trainable, frozen_bytes, weight_bytes, gradient_bytes):
    """A GB of 2**30 bytes."""
    return (frozen * frozen_bytes + trainable * (weight_bytes + gradient_bytes + 8)) / 2**30


@wrong("training_state_gb", fits=r"moment|32.bit|Adam|8 bytes|4 bytes|two numbers|eight")
def moments_in_the_weights_type(frozen, trainable, frozen_bytes, weight_bytes, gradient_bytes):
    """Moments have the bytes of the weight: right for float32."""
    return (frozen * frozen_bytes + trainable * (3 * weight_bytes + gradient_bytes)) / 1e9


@wrong("training_state_gb", fits=r"moment|32.bit|Adam|8 bytes|4 bytes|two numbers|eight")
def moments_in_the_gradients_type(frozen, trainable, frozen_bytes, weight_bytes, gradient_bytes):
    """Moments have the bytes of the gradient."""
    return (frozen * frozen_bytes + trainable * (weight_bytes + 3 * gradient_bytes)) / 1e9


@wrong("training_state_gb", fits=r"frozen|no gradient|has no|neither|only")
def frozen_have_gradients(frozen, trainable, frozen_bytes, weight_bytes, gradient_bytes):
    """Frozen weights have gradients as well."""
    bytes_ = frozen * (frozen_bytes + gradient_bytes) + trainable * (weight_bytes + gradient_bytes + 8)
    return bytes_ / 1e9


@wrong("training_state_gb", fits=r"frozen|moment|Adam|neither|only")
def frozen_have_moments(frozen, trainable, frozen_bytes, weight_bytes, gradient_bytes):
    """Adam keeps moments of the frozen weights as well."""
    return (
        frozen * frozen_bytes + trainable * (weight_bytes + gradient_bytes) + 8 * (frozen + trainable)
    ) / 1e9


@wrong(
    "training_state_gb",
    fits=r"weight_bytes|weights? (itself|themselves|too|as well)|trained weight|weights? that|itself|themselves",
)
def trained_weights_forgotten(frozen, trainable, frozen_bytes, weight_bytes, gradient_bytes):
    """Gradients and moments of what learns, but not these weights themselves."""
    return (frozen * frozen_bytes + trainable * (gradient_bytes + 8)) / 1e9


@wrong("training_state_gb", fits=r"frozen")
def frozen_forgotten(frozen, trainable, frozen_bytes, weight_bytes, gradient_bytes):
    """Frozen weights cost nothing."""
    return trainable * (weight_bytes + gradient_bytes + 8) / 1e9


@wrong("training_state_gb", fits=r"gradient")
def gradients_forgotten(frozen, trainable, frozen_bytes, weight_bytes, gradient_bytes):
    """No gradients."""
    return (frozen * frozen_bytes + trainable * (weight_bytes + 8)) / 1e9


@wrong("training_state_gb", fits=r"weight_bytes|frozen_bytes|own bytes|trained|trainable")
def trained_weights_as_small_as_frozen(frozen, trainable, frozen_bytes, weight_bytes, gradient_bytes):
    """Counts all weights with frozen_bytes."""
    return ((frozen + trainable) * frozen_bytes + trainable * (gradient_bytes + 8)) / 1e9


@wrong("training_state_gb", fits=r"frozen_bytes|weight_bytes|frozen|own bytes")
def frozen_as_large_as_trained(frozen, trainable, frozen_bytes, weight_bytes, gradient_bytes):
    """Counts all weights with weight_bytes, so four bits save nothing."""
    return ((frozen + trainable) * weight_bytes + trainable * (gradient_bytes + 8)) / 1e9


@wrong("training_state_gb", fits=r"frozen|twice|trainable|whole|not among|apart")
def trained_weights_counted_twice(frozen, trainable, frozen_bytes, weight_bytes, gradient_bytes):
    """Counts the trained weights among the frozen ones, too."""
    return ((frozen + trainable) * frozen_bytes + trainable * (weight_bytes + gradient_bytes + 8)) / 1e9


@wrong("training_state_gb", fits=r"whole|round|fraction|exact|digit|float|//|integer")
def whole_gigabytes(frozen, trainable, frozen_bytes, weight_bytes, gradient_bytes):
    """Whole GB."""
    return int(frozen * frozen_bytes + trainable * (weight_bytes + gradient_bytes + 8)) // 10**9


@wrong("training_state_gb", fits=r"fraction|half a byte|whole|int\(|round|frozen|less than")
def whole_bytes_for_a_frozen_weight(frozen, trainable, frozen_bytes, weight_bytes, gradient_bytes):
    """Rounds frozen_bytes up to whole bytes: right for 32 and 16 bits."""
    return (frozen * math.ceil(frozen_bytes) + trainable * (weight_bytes + gradient_bytes + 8)) / 1e9


@wrong("training_state_gb", fits=r"moment|bits|bytes|32|8\b|4 bytes")
def moments_in_bits(frozen, trainable, frozen_bytes, weight_bytes, gradient_bytes):
    """Takes 32-bit moments for 32 bytes each."""
    return (frozen * frozen_bytes + trainable * (weight_bytes + gradient_bytes + 2 * 32)) / 1e9


@wrong("training_state_gb", fits=r"10⁹|1e9|10\*\*9|MB|GB|unit|billion|thousand|million")
def megabytes_for_gigabytes(frozen, trainable, frozen_bytes, weight_bytes, gradient_bytes):
    """Answers in MB."""
    return (frozen * frozen_bytes + trainable * (weight_bytes + gradient_bytes + 8)) / 1e6


@right("training_state_gb")
def a_dictionary_of_parts(frozen, trainable, frozen_bytes, weight_bytes, gradient_bytes):
    """Adds up named parts, each in GB."""
    parts = {
        "frozen": frozen * frozen_bytes,
        "weights": trainable * weight_bytes,
        "gradients": trainable * gradient_bytes,
        "first moment": trainable * 4,
        "second moment": trainable * 32 // 8,
    }
    return sum(part * 1e-9 for part in parts.values())


@right("training_state_gb")
def a_dot_product(frozen, trainable, frozen_bytes, weight_bytes, gradient_bytes):
    """A dot product in NumPy, a np.float64."""
    counts = np.array([frozen, trainable, trainable, 2 * trainable], dtype=np.float64)
    return counts @ np.array([frozen_bytes, weight_bytes, gradient_bytes, 4.0]) / 1e9


@right("training_state_gb")
def exact_sum(frozen, trainable, frozen_bytes, weight_bytes, gradient_bytes):
    """math.fsum of billions of weights times bytes."""
    f, t = frozen / 10**9, trainable / 10**9
    return math.fsum([f * frozen_bytes, t * weight_bytes, t * gradient_bytes, 8 * t])


@right("training_state_gb")
def single_precision(frozen, trainable, frozen_bytes, weight_bytes, gradient_bytes):
    """A np.float32."""
    return np.float32((frozen * frozen_bytes + trainable * (weight_bytes + gradient_bytes + 8)) / 1e9)


# --- Written later, from the exercise notebook alone

# 06.1 nf4_codebook


@wrong("nf4_codebook", fits=r"seven|exact 0|\b0 (gets|is|of)|zero|no 0|16")
def eight_on_both_sides_and_no_zero():
    """Eight levels on each side, so that none of the sixteen is 0."""
    half = [NormalDist().inv_cdf(share) for share in torch.linspace(OUTERMOST, 0.5, 9)[:-1].tolist()]
    levels = torch.tensor(sorted([-value for value in half] + half))
    return levels / levels.max()


@wrong("nf4_codebook", fits=r"eight|seven|positive|negative|mirror|sides|sign")
def eight_negative_seven_positive():
    """The halves are swapped: eight negative levels and seven positive ones."""
    eight = [NormalDist().inv_cdf(share) for share in torch.linspace(OUTERMOST, 0.5, 9)[:-1].tolist()]
    seven = [NormalDist().inv_cdf(share) for share in torch.linspace(OUTERMOST, 0.5, 8)[:-1].tolist()]
    levels = torch.tensor(sorted([-value for value in eight] + [0.0] + seven))
    return levels / levels.max()


@wrong("nf4_codebook", fits=r"quantile|inv_cdf|normal|even|bell")
def evenly_spaced():
    """Even levels instead of quantiles."""
    return torch.cat([torch.linspace(-1, 0, 8), torch.linspace(0, 1, 9)[1:]])


@wrong("nf4_codebook", fits=r"divid|largest|\[-1, 1\]|scale|end at 1|to 1")
def never_divided():
    """The quantiles as they are, from about -1.85 to 1.85."""
    quantile = NormalDist().inv_cdf
    positive = [quantile(share) for share in torch.linspace(OUTERMOST, 0.5, 9)[:-1].tolist()]
    negative = [-quantile(share) for share in torch.linspace(OUTERMOST, 0.5, 8)[:-1].tolist()]
    return torch.tensor(sorted([*negative, 0.0, *positive]))


@wrong("nf4_codebook", fits=r"0\.5|half|another 0|twice|without|two zeros|three|once|\[:-1\]|step")
def steps_that_reach_one_half():
    """Eight and seven steps with one half among them, so that 0 is there three times."""
    quantile = NormalDist().inv_cdf
    positive = [quantile(share) for share in torch.linspace(OUTERMOST, 0.5, 8).tolist()]
    negative = [-quantile(share) for share in torch.linspace(OUTERMOST, 0.5, 7).tolist()]
    levels = torch.tensor(sorted([*negative, 0.0, *positive]))
    return levels / levels.max()


@wrong("nf4_codebook", fits=r"sort|order|ascend|rising|smallest|grow|increas")
def not_sorted():
    """The right levels, the positive ones from the largest down."""
    quantile = NormalDist().inv_cdf
    positive = [quantile(share) for share in torch.linspace(OUTERMOST, 0.5, 9)[:-1].tolist()]
    negative = [-quantile(share) for share in torch.linspace(OUTERMOST, 0.5, 8)[:-1].tolist()]
    levels = torch.tensor([*negative, 0.0, *positive])
    return levels / levels.max()


@wrong("nf4_codebook", fits=r"seven|eight|step|share|negative|mirror|one half")
def negative_ones_share_the_positive_steps():
    """Mirrors seven of the eight positive levels instead of taking seven steps of their own."""
    positive = [NormalDist().inv_cdf(share) for share in torch.linspace(OUTERMOST, 0.5, 9)[:-1].tolist()]
    levels = torch.tensor(sorted([-value for value in positive[:7]] + [0.0] + positive))
    return levels / levels.max()


@wrong("nf4_codebook", fits=r"OUTERMOST|0\.967|share|step|even")
def sixteen_shares_of_the_whole_curve():
    """Sixteen even shares from 1 - OUTERMOST to OUTERMOST, the one nearest 0 set to 0."""
    levels = torch.tensor(
        [NormalDist().inv_cdf(share) for share in np.linspace(1 - OUTERMOST, OUTERMOST, 16)]
    )
    levels[7] = 0.0
    return (levels / levels.max()).float()


@wrong("nf4_codebook", fits=r"tensor|list|torch")
def a_plain_list():
    """The right levels as a list of floats."""
    quantile = NormalDist().inv_cdf
    positive = [quantile(share) for share in torch.linspace(OUTERMOST, 0.5, 9)[:-1].tolist()]
    negative = [-quantile(share) for share in torch.linspace(OUTERMOST, 0.5, 8)[:-1].tolist()]
    return [value / positive[0] for value in sorted([*negative, 0.0, *positive])]


@right("nf4_codebook")
def another_with_erfinv():
    """The inverse error function in float64, and below one half instead of a minus sign."""
    up = torch.linspace(0.5, OUTERMOST, 9, dtype=torch.float64)
    down = torch.linspace(1 - OUTERMOST, 0.5, 8, dtype=torch.float64)[:-1]
    shares = torch.cat([down, up])
    levels = torch.erfinv(2 * shares - 1)
    return (levels / levels[-1]).float()


@right("nf4_codebook")
def one_by_one():
    """Two plain loops over whole numbers."""
    normal, found = NormalDist(), [0.0]
    for step in range(8):
        found.append(normal.inv_cdf(OUTERMOST + (0.5 - OUTERMOST) * step / 8))
    for step in range(7):
        found.append(normal.inv_cdf(1 - OUTERMOST + (OUTERMOST - 0.5) * step / 7))
    largest = max(found)
    return torch.tensor([value / largest for value in sorted(found)], dtype=torch.float32)


@right("nf4_codebook")
def with_torch_distributions():
    """torch's own normal distribution, any spread, as it is divided out; unique() sorts and drops the second 0."""
    normal = torch.distributions.Normal(
        torch.tensor(0.0, dtype=torch.float64), torch.tensor(3.0, dtype=torch.float64)
    )
    positive = normal.icdf(torch.linspace(OUTERMOST, 0.5, 9, dtype=torch.float64))
    negative = -normal.icdf(torch.linspace(OUTERMOST, 0.5, 8, dtype=torch.float64))
    levels = torch.cat([positive, negative]).unique()
    return (levels / levels.amax()).to(torch.float32)


@right("nf4_codebook")
def out_of_the_published_table():
    """The sixteen numbers that the QLoRA authors print."""
    return torch.tensor(
        [
            -1.0,
            -0.6961928009986877,
            -0.5250730514526367,
            -0.39491748809814453,
            -0.28444138169288635,
            -0.18477343022823334,
            -0.09105003625154495,
            0.0,
            0.07958029955625534,
            0.16093020141124725,
            0.24611230194568634,
            0.33791524171829224,
            0.44070982933044434,
            0.5626170039176941,
            0.7229568362236023,
            1.0,
        ]
    )


# 06.2 quantize_nf4


def _middles():
    return (LEVELS[:-1] + LEVELS[1:]) / 2


@wrong("quantize_nf4", fits=r"each block|own|per block|every block|block.*scale|one absmax")
def one_scale_for_everything(weights, block=64):
    """One absmax of the whole matrix for all blocks."""
    blocks = weights.reshape(-1, block)
    absmax = blocks.abs().max().expand(len(blocks)).clone()
    return torch.bucketize(blocks / absmax.clamp(min=1e-38)[:, None], _middles()).to(torch.uint8), absmax


@wrong("quantize_nf4", fits=r"abs|size|negative|sign|magnitude")
def largest_instead_of_largest_size(weights, block=64):
    """The largest weight, not the largest size: a block whose outlier is negative is scaled wrong."""
    blocks = weights.reshape(-1, block)
    absmax = blocks.amax(dim=1)
    scaled = blocks / absmax.clamp(min=1e-38)[:, None]
    return torch.bucketize(scaled, _middles()).to(torch.uint8), absmax


@wrong("quantize_nf4", fits=r"nearest|middle|between|halfway")
def the_next_level_above(weights, block=64):
    """Buckets between the levels themselves, so that every weight is rounded up."""
    blocks = weights.reshape(-1, block)
    absmax = blocks.abs().amax(dim=1)
    scaled = blocks / absmax.clamp(min=1e-38)[:, None]
    return torch.bucketize(scaled, LEVELS).clamp(0, 15).to(torch.uint8), absmax


@wrong("quantize_nf4", fits=r"nearest|middle|between|halfway|below")
def the_level_below(weights, block=64):
    """The last level that is not above the weight: rounds down."""
    blocks = weights.reshape(-1, block)
    absmax = blocks.abs().amax(dim=1)
    scaled = (blocks / absmax.clamp(min=1e-38)[:, None]).contiguous()
    return (torch.searchsorted(LEVELS, scaled, right=True) - 1).clamp(0, 15).to(torch.uint8), absmax


@wrong("quantize_nf4", fits=r"zero|\b0\b|nan|divi")
def divides_by_zero(weights, block=64):
    """A block of zeros is divided by 0, and its codes are those of nan."""
    blocks = weights.reshape(-1, block)
    absmax = blocks.abs().amax(dim=1)
    return torch.bucketize(blocks / absmax[:, None], _middles()).to(torch.uint8), absmax


@wrong("quantize_nf4", fits=r"zero|absmax 0|\b0\b|clamp")
def gives_the_clamped_absmax(weights, block=64):
    """The absmax that it gives is clamped: 1e-8 for a block of zeros."""
    blocks = weights.reshape(-1, block)
    absmax = blocks.abs().amax(dim=1).clamp(min=1e-8)
    return torch.bucketize(blocks / absmax[:, None], _middles()).to(torch.uint8), absmax


@wrong("quantize_nf4", fits=r"small|tiny|1e-|clamp|eps|added")
def adds_an_epsilon(weights, block=64):
    """Divides by absmax + 1e-4, so blocks of small weights land on lower levels."""
    blocks = weights.reshape(-1, block)
    absmax = blocks.abs().amax(dim=1)
    return torch.bucketize(blocks / (absmax[:, None] + 1e-4), _middles()).to(torch.uint8), absmax


@wrong("quantize_nf4", fits=r"uint8|dtype|type|int64|8 bits|byte")
def codes_of_64_bits(weights, block=64):
    """Codes as bucketize gives them: int64."""
    blocks = weights.reshape(-1, block)
    absmax = blocks.abs().amax(dim=1)
    return torch.bucketize(blocks / absmax.clamp(min=1e-38)[:, None], _middles()), absmax


@wrong("quantize_nf4", fits=r"in place|input|argument|change|copy|untouched")
def scales_its_input(weights, block=64):
    """Divides in place, and reshape is a view of the caller's weights."""
    blocks = weights.detach().reshape(-1, block)
    absmax = blocks.abs().amax(dim=1)
    blocks /= absmax.clamp(min=1e-38)[:, None]
    return torch.bucketize(blocks, _middles()).to(torch.uint8), absmax


@wrong("quantize_nf4", fits=r"block|64")
def always_64(weights, block=64):
    """Ignores `block`."""
    blocks = weights.reshape(-1, 64)
    absmax = blocks.abs().amax(dim=1)
    return torch.bucketize(blocks / absmax.clamp(min=1e-38)[:, None], _middles()).to(torch.uint8), absmax


@wrong("quantize_nf4", fits=r"row|follow|memory|order|column|neighbour")
def another_blocks_down_the_columns(weights, block=64):
    """A block is every n-th weight: reshape(block, -1) and turned."""
    blocks = weights.reshape(block, -1).T
    absmax = blocks.abs().amax(dim=1)
    scaled = blocks / absmax.clamp(min=1e-38)[:, None]
    return torch.bucketize(scaled.contiguous(), _middles()).to(torch.uint8), absmax


@wrong("quantize_nf4", fits=r"even|LEVELS|uniform|bucketize|nearest")
def sixteen_even_steps(weights, block=64):
    """Rounds to even steps from -1 to 1, as plain INT4 does, and never looks at LEVELS."""
    blocks = weights.reshape(-1, block)
    absmax = blocks.abs().amax(dim=1)
    scaled = blocks / absmax.clamp(min=1e-38)[:, None]
    return ((scaled + 1) * 7.5).round().to(torch.uint8), absmax


@wrong("quantize_nf4", fits=r"shape|keepdim|one absmax|per block|column|axis|axes|\(blocks")
def absmax_as_a_column(weights, block=64):
    """keepdim=True: absmax has a second axis."""
    blocks = weights.reshape(-1, block)
    absmax = blocks.abs().amax(dim=1, keepdim=True)
    return torch.bucketize(blocks / absmax.clamp(min=1e-38), _middles()).to(torch.uint8), absmax


@wrong("quantize_nf4", fits=r"bfloat16|half|16 bits|float32|\.float\(\)|precision|round|dtype")
def computes_in_the_weights_own_type(weights, block=64):
    """Weights in bfloat16 are divided and compared in bfloat16, so many get a neighbour's code."""
    blocks = weights.reshape(-1, block)
    absmax = blocks.abs().amax(dim=1)
    scaled = blocks / absmax.clamp(min=1e-38)[:, None]
    return torch.bucketize(scaled, _middles().to(weights.dtype)).to(torch.uint8), absmax.float()


@wrong("quantize_nf4", fits=r"axes|shape|reshape|two|matrix|dimension|unpack|flat|vector")
def only_for_matrices(weights, block=64):
    """Unpacks two axes, so a vector or the weights of a convolution stop it."""
    rows, columns = weights.shape
    blocks = weights.reshape(rows * columns // block, block)
    absmax = blocks.abs().amax(dim=1)
    return torch.bucketize(blocks / absmax.clamp(min=1e-38)[:, None], _middles()).to(torch.uint8), absmax


@right("quantize_nf4")
def smallest_distance(weights, block=64):
    """The distance to every level, in float64, and its argmin."""
    blocks = weights.detach().double().reshape(-1, block)
    absmax = blocks.abs().max(dim=1).values
    safe = torch.where(absmax > 0, absmax, torch.ones_like(absmax))
    distance = (blocks[..., None] / safe[:, None, None] - LEVELS.double()).abs()
    return distance.argmin(-1).to(torch.uint8), absmax.float()


@right("quantize_nf4")
def block_by_block(weights, block=64):
    """A loop over the blocks with numpy's searchsorted."""
    flat = weights.detach().flatten().float().numpy()
    middles = ((LEVELS[:-1] + LEVELS[1:]) / 2).numpy()
    codes, sizes = [], []
    for begin in range(0, len(flat), block):
        part = flat[begin : begin + block]
        largest = np.abs(part).max()
        codes.append(np.searchsorted(middles, part / largest if largest else part))
        sizes.append(largest)
    return torch.from_numpy(np.stack(codes).astype(np.uint8)), torch.tensor(np.array(sizes))


@right("quantize_nf4")
def middles_times_absmax(weights, block=64):
    """Scales the middles up instead of the weights down, and counts those below each weight."""
    blocks = weights.detach().float().reshape(-1, block)
    absmax = torch.maximum(blocks.max(1).values, -blocks.min(1).values)
    middles = (LEVELS[:-1].double() + LEVELS[1:].double()) / 2
    bounds = absmax.double()[:, None] * middles
    codes = (blocks.double()[:, :, None] > bounds[:, None, :]).sum(-1)
    return torch.where(absmax[:, None] > 0, codes, 7).to(torch.uint8), absmax


# 06.3 dequantize_nf4


@wrong("dequantize_nf4", fits=r"row|column|\[:, None\]|each block|own absmax|shape|size of tensor|broadcast")
def sizes_along_the_wrong_axis(codes, absmax):
    """absmax meets the places inside a block, not the blocks."""
    return LEVELS[codes.int()] * absmax


@wrong("dequantize_nf4", fits=r"level|LEVELS|even")
def codes_as_even_steps(codes, absmax):
    """Reads a code as an even step from -1 to 1."""
    return (codes.float() / 7.5 - 1) * absmax[:, None]


@wrong("dequantize_nf4", fits=r"multipl|times|divi|share|product")
def another_divides_by_absmax(codes, absmax):
    """Divides by the size instead of multiplying."""
    return LEVELS[codes.int()] / absmax.clamp(min=1e-38)[:, None]


@wrong("dequantize_nf4", fits=r"uint8|mask|index|\bint|whole|bool")
def codes_taken_for_a_mask(codes, absmax):
    """Indexes with uint8, which torch takes for a mask."""
    return LEVELS[codes] * absmax[:, None]


@wrong("dequantize_nf4", fits=r"absmax|size|scale|multipl|times|row")
def levels_alone(codes, absmax):
    """Forgets the sizes."""
    return LEVELS[codes.int()]


@wrong("dequantize_nf4", fits=r"off by one|number of|from 0|counts? from|LEVELS\[|code 0|first level|lowest")
def codes_from_one(codes, absmax):
    """Counts levels from 1."""
    return LEVELS[codes.int() - 1] * absmax[:, None]


@wrong("dequantize_nf4", fits=r"row|each block|own|every block|first|one block")
def the_first_size_for_all(codes, absmax):
    """Right for one block: takes the first size for all."""
    return LEVELS[codes.int()] * absmax[0]


@wrong("dequantize_nf4", fits=r"shape|\(blocks|flat|row")
def one_long_row(codes, absmax):
    """Gives one flat vector."""
    return (LEVELS[codes.int()] * absmax[:, None]).flatten()


@wrong("dequantize_nf4", fits=r"block|64|shape")
def blocks_of_64_only(codes, absmax):
    """Takes 64 for the length of every block."""
    return (
        LEVELS[codes.int().flatten()].reshape(-1, 64)
        * absmax.repeat_interleave(codes.shape[1] // 64)[:, None]
    )


@wrong("dequantize_nf4", fits=r"float32|bfloat16|dtype|type|precision|round|half|16")
def weights_of_sixteen_bits(codes, absmax):
    """Rounds the weights to bfloat16, since a model computes in it."""
    return (LEVELS[codes.int()] * absmax[:, None]).to(torch.bfloat16)


@wrong("dequantize_nf4", fits=r"in place|input|argument|change|copy|untouched")
def mends_the_sizes_it_was_given(codes, absmax):
    """Writes 1 for every 0 into the caller's absmax."""
    absmax[absmax == 0] = 1.0
    return LEVELS[codes.int()] * absmax[:, None]


@right("dequantize_nf4")
def with_index_select(codes, absmax):
    """index_select of flat codes, in float64."""
    flat = torch.index_select(LEVELS.double(), 0, codes.reshape(-1).long())
    return (flat.reshape(codes.shape) * absmax.double().unsqueeze(1)).float()


@right("dequantize_nf4")
def a_table_for_each_block(codes, absmax):
    """All sixteen weights that a block can hold, and gather."""
    table = torch.outer(absmax, LEVELS)
    return table.gather(1, codes.long())


@right("dequantize_nf4")
def with_one_hot_rows(codes, absmax):
    """One-hot codes times levels."""
    hot = torch.nn.functional.one_hot(codes.long(), 16).to(LEVELS.dtype)
    return torch.einsum("nbl,l,n->nb", hot, LEVELS, absmax)


@right("dequantize_nf4")
def with_an_embedding(codes, absmax):
    """The levels as a table of words."""
    found = torch.nn.functional.embedding(codes.to(torch.int64), LEVELS[:, None])[..., 0]
    return found.mul(absmax.view(-1, 1))


# 06.4 bits_per_parameter


@wrong(
    "bits_per_parameter",
    fits=r"how many weights|block \* second|block × second|second_block.*(scales|weights)|scales|product|share",
)
def second_scale_shared_by_256_weights(block=64, second_block=None):
    """The second scale is shared by second_block weights instead of that many scales."""
    if second_block is None:
        return 4 + 32 / block
    return 4 + 8 / block + 32 / second_block


@wrong("bits_per_parameter", fits=r"second|32-bit scale|one 32|group|share")
def second_scale_is_free(block=64, second_block=None):
    """Forgets the scale that the scales share."""
    return 4 + (32 if second_block is None else 8) / block


@wrong("bits_per_parameter", fits=r"8[- ]bit|8 bits|8 / block|instead|become|replace|no longer|code")
def keeps_the_32_bit_scales(block=64, second_block=None):
    """Keeps 32-bit scales beside the second ones."""
    bits = 4 + 32 / block
    return bits if second_block is None else bits + 32 / (block * second_block)


@wrong("bits_per_parameter", fits=r"second_block|double|second|8[- ]bit")
def never_twice(block=64, second_block=None):
    """Ignores second_block."""
    return 4 + 32 / block


@wrong("bits_per_parameter", fits=r"bits|byte")
def in_bytes(block=64, second_block=None):
    """Gives bytes."""
    scale = 32 / block if second_block is None else 8 / block + 32 / (block * second_block)
    return (4 + scale) / 8


@wrong("bits_per_parameter", fits=r"block|64|256")
def the_papers_sizes_only(block=64, second_block=None):
    """64 and 256 whatever was asked."""
    return 4 + 32 / 64 if second_block is None else 4 + 8 / 64 + 32 / (64 * 256)


@wrong("bits_per_parameter", fits=r"second_block|256|group")
def groups_of_256_only(block=64, second_block=None):
    """256 whatever second_block is."""
    return 4 + 32 / block if second_block is None else 4 + 8 / block + 32 / (block * 256)


@wrong("bits_per_parameter", fits=r"whole|//|fraction|integer|round|half")
def whole_bits_only(block=64, second_block=None):
    """Whole-number division."""
    if second_block is None:
        return float(4 + 32 // block)
    return float(4 + 8 // block + 32 // (block * second_block))


@wrong("bits_per_parameter", fits=r"32|16")
def scales_of_sixteen_bits(block=64, second_block=None):
    """Takes the scales for 16-bit numbers."""
    return 4 + 16 / block if second_block is None else 4 + 8 / block + 16 / (block * second_block)


@wrong("bits_per_parameter", fits=r"round|digit|exact|fraction|decimal")
def rounded_for_printing(block=64, second_block=None):
    """Rounds to two digits."""
    scale = 32 / block if second_block is None else 8 / block + 32 / (block * second_block)
    return round(4 + scale, 2)


@wrong("bits_per_parameter", fits=r"4 bits|own|four bits|\b4 \+")
def the_scales_alone(block=64, second_block=None):
    """Leaves out the weight's own four bits."""
    return 32 / block if second_block is None else 8 / block + 32 / (block * second_block)


@right("bits_per_parameter")
def as_fractions(block=64, second_block=None):
    """Exact fractions, a float at the end."""
    bits = (
        Fraction(32, block)
        if second_block is None
        else Fraction(8, block) + Fraction(32, block * second_block)
    )
    return float(4 + bits)


@right("bits_per_parameter")
def bits_of_one_group(block=64, second_block=None):
    """Counts all bits of one full group, then divides by its weights."""
    if second_block is None:
        return (4 * block + 32) / block
    weights = block * second_block
    return (4 * weights + 8 * second_block + 32) / weights


@right("bits_per_parameter")
def the_scale_first(block=64, second_block=None):
    """What a scale takes with its share of the second one, over the weights of a block."""
    per_scale = 32.0 if not second_block else 8 + 32 / second_block
    return np.float64(4) + per_scale / block


# 06.5 training_state_gb


@wrong("training_state_gb", fits=r"10⁹|1e9|10\*\*9|2³⁰|GiB|billion|1024")
def in_gibibytes(frozen, trainable, frozen_bytes, weight_bytes, gradient_bytes):
    """Divides by 2**30."""
    return (frozen * frozen_bytes + trainable * (weight_bytes + gradient_bytes + 8)) / 2**30


@wrong("training_state_gb", fits=r"two|moments|\b8\b|both")
def another_one_moment(frozen, trainable, frozen_bytes, weight_bytes, gradient_bytes):
    """Counts one of the two moments."""
    return (frozen * frozen_bytes + trainable * (weight_bytes + gradient_bytes + 4)) / 1e9


@wrong("training_state_gb", fits=r"frozen")
def moments_of_frozen_weights_too(frozen, trainable, frozen_bytes, weight_bytes, gradient_bytes):
    """Moments for every weight, frozen ones too."""
    state = frozen * frozen_bytes + trainable * (weight_bytes + gradient_bytes)
    return (state + 8 * (frozen + trainable)) / 1e9


@wrong("training_state_gb", fits=r"gradient")
def no_gradients(frozen, trainable, frozen_bytes, weight_bytes, gradient_bytes):
    """Forgets the gradients."""
    return (frozen * frozen_bytes + trainable * (weight_bytes + 8)) / 1e9


@wrong("training_state_gb", fits=r"moments|32-bit|4 bytes|\b8\b")
def moments_in_the_weights_own_type(frozen, trainable, frozen_bytes, weight_bytes, gradient_bytes):
    """Two moments of weight_bytes each."""
    return (frozen * frozen_bytes + trainable * (3 * weight_bytes + gradient_bytes)) / 1e9


@wrong("training_state_gb", fits=r"frozen|trainable|trained|once|twice|weight_bytes")
def trained_weights_twice(frozen, trainable, frozen_bytes, weight_bytes, gradient_bytes):
    """Takes `frozen` for a part that trained weights have as well: counts them in frozen_bytes, too."""
    learning = trainable * (weight_bytes + gradient_bytes + 8)
    return ((frozen + trainable) * frozen_bytes + learning) / 1e9


@wrong("training_state_gb", fits=r"GB|10⁹|1e9|billion|bytes")
def bytes_not_gb(frozen, trainable, frozen_bytes, weight_bytes, gradient_bytes):
    """Gives bytes."""
    return float(frozen * frozen_bytes + trainable * (weight_bytes + gradient_bytes + 8))


@wrong("training_state_gb", fits=r"bits|4 bytes|\b8\b|moments")
def bits_for_the_moments(frozen, trainable, frozen_bytes, weight_bytes, gradient_bytes):
    """Adds 2 · 32 for the moments, which is bits."""
    return (frozen * frozen_bytes + trainable * (weight_bytes + gradient_bytes + 64)) / 1e9


@wrong("training_state_gb", fits=r"weight_bytes|trained weights?|weight itself|weight \+|own bytes")
def another_trained_weights_forgotten(frozen, trainable, frozen_bytes, weight_bytes, gradient_bytes):
    """Counts what learning adds and not the trained weights themselves."""
    return (frozen * frozen_bytes + trainable * (gradient_bytes + 8)) / 1e9


@wrong("training_state_gb", fits=r"gradient")
def gradients_always_of_four_bytes(frozen, trainable, frozen_bytes, weight_bytes, gradient_bytes):
    """Gradients of four bytes, whatever gradient_bytes says."""
    return (frozen * frozen_bytes + trainable * (weight_bytes + 4 + 8)) / 1e9


@wrong("training_state_gb", fits=r"fraction|whole|half|//|int|round|four bits|0\.5|frozen_bytes")
def whole_bytes_only(frozen, trainable, frozen_bytes, weight_bytes, gradient_bytes):
    """Half bytes are cut off: int(frozen_bytes)."""
    return (frozen * int(frozen_bytes) + trainable * (int(weight_bytes) + int(gradient_bytes) + 8)) / 1e9


@wrong("training_state_gb", fits=r"frozen|swap|order|weight_bytes")
def sizes_swapped(frozen, trainable, frozen_bytes, weight_bytes, gradient_bytes):
    """frozen_bytes and weight_bytes are swapped."""
    return (frozen * weight_bytes + trainable * (frozen_bytes + gradient_bytes + 8)) / 1e9


@wrong("training_state_gb", fits=r"round|digit|exact|small")
def rounded_to_a_tenth(frozen, trainable, frozen_bytes, weight_bytes, gradient_bytes):
    """Rounds to one digit, as the table prints it."""
    return round((frozen * frozen_bytes + trainable * (weight_bytes + gradient_bytes + 8)) / 1e9, 1)


@right("training_state_gb")
def part_by_part(frozen, trainable, frozen_bytes, weight_bytes, gradient_bytes):
    """Four named parts."""
    weights = frozen * frozen_bytes + trainable * weight_bytes
    gradients = trainable * gradient_bytes
    moments = 2 * trainable * (32 // 8)
    return sum((weights, gradients, moments)) * 1e-9


@right("training_state_gb")
def as_a_product_of_vectors(frozen, trainable, frozen_bytes, weight_bytes, gradient_bytes):
    """numpy's dot product in billions."""
    counts = np.array([frozen, trainable, trainable, trainable, trainable], dtype=np.float64) / 10**9
    return float(counts @ np.array([frozen_bytes, weight_bytes, gradient_bytes, 4, 4], dtype=np.float64))


@right("training_state_gb")
def with_exact_fractions(frozen, trainable, frozen_bytes, weight_bytes, gradient_bytes):
    """Exact fractions, a float at the end."""
    total = Fraction(frozen) * Fraction(frozen_bytes)
    for size in (weight_bytes, gradient_bytes, 4, 4):
        total += Fraction(trainable) * Fraction(size)
    return float(total / 1_000_000_000)


# --- Neighbours of what got through


@wrong("quantize_nf4", "absmax as it was")
def gives_the_tiny_guard(weights, block=64):
    """Only 1e-12 for a block of zeros, but not 0."""
    blocks = weights.reshape(-1, block).float()
    absmax = blocks.abs().amax(dim=1).clamp(min=1e-12)
    return torch.bucketize(blocks / absmax[:, None], (LEVELS[1:] + LEVELS[:-1]) / 2).to(torch.uint8), absmax


@wrong("quantize_nf4", r"own dtype|\.float\(\)")
def divides_before_float(weights, block=64):
    """float() comes after the division."""
    blocks = weights.reshape(-1, block)
    absmax = blocks.abs().amax(dim=1)
    scaled = (blocks / absmax.clamp(min=1e-38)[:, None]).float()
    return torch.bucketize(scaled, (LEVELS[1:] + LEVELS[:-1]) / 2).to(torch.uint8), absmax.float()


@wrong("training_state_gb", "fraction")
def whole_bytes_for_trained_weights(frozen, trainable, frozen_bytes, weight_bytes, gradient_bytes):
    """int() of what a trained weight brings."""
    return (frozen * frozen_bytes + trainable * int(weight_bytes + gradient_bytes + 8)) / 1e9


# --- written from the notebook alone, a second time


@wrong("nf4_codebook", fits=r"eight|seven|positive|negative|halves|half|how many|mirror|swap|sign")
def seven_positive_eight_negative():
    """Eight negative levels and seven positive ones: the halves are exchanged."""
    quantile = NormalDist().inv_cdf
    negative = [-quantile(s) for s in torch.linspace(OUTERMOST, 0.5, 9)[:-1].tolist()]
    positive = [quantile(s) for s in torch.linspace(OUTERMOST, 0.5, 8)[:-1].tolist()]
    levels = torch.tensor(sorted([*negative, 0.0, *positive]))
    return levels / levels.abs().max()


@wrong("nf4_codebook", fits=r"largest|divide|\b1\b|scale|end|outermost level|\[-1, 1\]")
def not_divided():
    """The quantiles themselves, not divided by the largest."""
    quantile = NormalDist().inv_cdf
    positive = [quantile(s) for s in np.linspace(OUTERMOST, 0.5, 9)[:-1]]
    negative = [-quantile(s) for s in np.linspace(OUTERMOST, 0.5, 8)[:-1]]
    return torch.tensor(sorted([*negative, 0.0, *positive]), dtype=torch.float32)


@wrong(
    "nf4_codebook",
    fits=r"quantile|share|even steps|inv_cdf|normal|probab|steps of the share|spacing|distribut",
)
def even_steps_of_the_quantile():
    """Even steps between the outermost quantile and 0, where the *shares* should be evenly spaced."""
    outer = NormalDist().inv_cdf(OUTERMOST)
    positive = torch.linspace(outer, 0, 9)[:-1]
    negative = -torch.linspace(outer, 0, 8)[:-1]
    levels = torch.cat([negative, torch.zeros(1), positive.flip(0)])
    return levels / outer


@wrong("nf4_codebook", fits=r"float32|float64|dtype|double|kind|single")
def in_double_precision_once_more():
    """float64, by way of NumPy, in place of float32."""
    quantile = NormalDist().inv_cdf
    positive = [quantile(s) for s in np.linspace(OUTERMOST, 0.5, 9)[:-1]]
    negative = [-quantile(s) for s in np.linspace(OUTERMOST, 0.5, 8)[:-1]]
    levels = np.sort([*negative, 0.0, *positive])
    return torch.from_numpy(levels / levels.max())


@right("nf4_codebook")
def with_erfinv_once_more():
    """torch.erfinv in double precision in place of NormalDist, built in order, without sorting."""

    def above(count):
        shares = torch.arange(1, count + 1, dtype=torch.float64) * (OUTERMOST - 0.5) / count
        return math.sqrt(2) * torch.erfinv(2 * shares)

    up, down = above(8), above(7)
    levels = torch.cat([-down.flip(0), torch.zeros(1, dtype=torch.float64), up])
    return (levels / up[-1]).to(torch.float32)


@wrong("quantize_nf4", fits=r"absmax|abs|largest size|negative|sign|magnitude")
def largest_without_abs(weights, block=64):
    """The largest weight of a block, not the largest *size*: wrong where the extreme one is negative."""
    blocks = weights.reshape(-1, block).float()
    absmax = blocks.amax(dim=1)
    scaled = blocks / absmax.clamp(min=1e-38)[:, None]
    codes = torch.bucketize(scaled, (LEVELS[:-1] + LEVELS[1:]) / 2)
    return codes.to(torch.uint8), absmax


@wrong("quantize_nf4", fits=r"nearest|middle|halfway|below|between|searchsorted|bucketize|level at")
def level_at_or_below_once_more(weights, block=64):
    """Searches among the levels themselves: the level at or below, not the nearest."""
    blocks = weights.reshape(-1, block).float()
    absmax = blocks.abs().amax(dim=1)
    scaled = blocks / absmax.clamp(min=1e-38)[:, None]
    codes = (torch.searchsorted(LEVELS, scaled, right=True) - 1).clamp(0, 15)
    return codes.to(torch.uint8), absmax


@wrong("quantize_nf4", fits=r"small|tiny|1e-8|however|epsilon|added|clamp|underflow|1e-38")
def an_epsilon_below_the_line(weights, block=64):
    """Adds 1e-8 to the absmax it divides by: a block of very small weights collapses to the middle levels."""
    blocks = weights.reshape(-1, block).float()
    absmax = blocks.abs().amax(dim=1)
    scaled = blocks / (absmax[:, None] + 1e-8)
    codes = (scaled[..., None] - LEVELS).abs().argmin(-1)
    return codes.to(torch.uint8), absmax


@wrong(
    "quantize_nf4",
    fits=r"block|row|follow|axes|across|reshape|numel|shape|chunk|last axis|unflatten|size of dim",
)
def blocks_never_cross_rows(weights, block=64):
    """Cuts each row of the last axis for itself: stops where a row is no multiple of the block."""
    rows = weights.float().unflatten(-1, (-1, block))
    absmax = rows.abs().amax(dim=-1)
    scaled = rows / absmax.clamp(min=1e-38)[..., None]
    codes = torch.bucketize(scaled, (LEVELS[:-1] + LEVELS[1:]) / 2)
    return codes.reshape(-1, block).to(torch.uint8), absmax.reshape(-1)


@right("quantize_nf4")
def argmin_over_the_levels(weights, block=64):
    """The nearest level by argmin of distances in float64."""
    blocks = weights.detach().flatten().view(-1, block).to(torch.float64)
    absmax = blocks.abs().max(dim=1).values
    scaled = blocks / torch.where(absmax > 0, absmax, torch.ones_like(absmax)).unsqueeze(1)
    codes = (scaled.unsqueeze(-1) - LEVELS.double()).abs().argmin(dim=-1)
    return codes.to(torch.uint8), absmax.float()


@wrong("dequantize_nf4", fits=r"row|each|column|block|None|broadcast|shape|absmax|size of tensor")
def scale_along_the_row(codes, absmax):
    """Multiplies without the new axis: each *column* gets an absmax, or it stops where the numbers differ."""
    return LEVELS[codes.int()] * absmax


@wrong("dequantize_nf4", fits=r"level|even|code|LEVELS|quantile|table|look")
def even_levels_once_more(codes, absmax):
    """Reads a code as one of sixteen even steps from -1 to 1, not as a level of NF4."""
    return (codes.float() / 7.5 - 1.0) * absmax.unsqueeze(1)


@wrong("dequantize_nf4", fits=r"flat|shape|block|rows|two axes|blocks block|vector|1-D|axes")
def returns_a_flat_vector(codes, absmax):
    """Gives the weights as one flat vector rather than in blocks."""
    return LEVELS[codes.long()].flatten() * absmax.repeat_interleave(codes.shape[1])


@wrong("dequantize_nf4", fits=r"dtype|float16|half|float32|precision|rounded|16|kind")
def in_half_precision(codes, absmax):
    """Computes in bfloat16, as a layer would, so the weights are rounded once more."""
    return LEVELS.to(torch.bfloat16)[codes.int()] * absmax.to(torch.bfloat16)[:, None]


@right("dequantize_nf4")
def with_take_and_einsum(codes, absmax):
    """index_select and einsum."""
    levels = LEVELS.index_select(0, codes.reshape(-1).to(torch.int64)).reshape(codes.shape)
    return torch.einsum("bk,b->bk", levels, absmax.to(levels.dtype))


@wrong(
    "bits_per_parameter", fits=r"second_block|second|scales|how many weights|block \*|shared|product|times"
)
def second_scale_shared_by_weights_once_more(block=64, second_block=None):
    """The second scale is shared by `second_block` weights, not by as many scales."""
    if second_block is None:
        return 4 + 32 / block
    return 4 + 8 / block + 32 / second_block


@wrong(
    "bits_per_parameter",
    fits=r"8 bits|8-bit|8-bit codes|8 / block|replace|instead|in place of|no longer|also 32",
)
def keeps_the_first_scales_in_32_bits(block=64, second_block=None):
    """Double quantisation adds its bits to the 32-bit scales instead of replacing them."""
    bits = 4 + 32 / block
    if second_block is not None:
        bits += 32 / (block * second_block)
    return bits


@wrong(
    "bits_per_parameter", fits=r"default|None|without|no double|second_block|256|single|not asked|only where"
)
def always_double(block=64, second_block=None):
    """None means the authors' 256: double quantisation is always on."""
    second_block = second_block or 256
    return 4 + 8 / block + 32 / (block * second_block)


@wrong("bits_per_parameter", fits=r"block|64|argument|ignore|hard|fixed|constant|other")
def block_of_64_is_written_in(block=64, second_block=None):
    """Half a bit for the scales (and 0.125 + 1/512 with double quantisation), right for blocks of 64 only."""
    if second_block is None:
        return 4.5
    return 4 + 0.125 + 32 / (64 * second_block)


@right("bits_per_parameter")
def counts_a_group_of_weights(block=64, second_block=None):
    """Counts the bits of a whole group in exact fractions and divides by its weights."""
    if second_block is None:
        return float(Fraction(4 * block + 32, block))
    return float(Fraction(second_block * (4 * block + 8) + 32, block * second_block))


@wrong("training_state_gb", fits=r"moment|two|\b8\b|Adam|32-bit|4 bytes")
def one_moment_once_more(frozen, trainable, frozen_bytes, weight_bytes, gradient_bytes):
    """Counts one of Adam's moments instead of two."""
    return (frozen * frozen_bytes + trainable * (weight_bytes + gradient_bytes + 4)) / 1e9


@wrong("training_state_gb", fits=r"moment|32-bit|4 bytes|\b8\b|Adam")
def moments_as_wide_as_the_weights(frozen, trainable, frozen_bytes, weight_bytes, gradient_bytes):
    """The moments have the weights' bytes in place of 4 each."""
    return (frozen * frozen_bytes + trainable * (3 * weight_bytes + gradient_bytes)) / 1e9


@wrong("training_state_gb", fits=r"10.?⁹|10\*\*9|1e9|2.?³⁰|2\*\*30|1024|GB|GiB|billion")
def gibibytes_once_more(frozen, trainable, frozen_bytes, weight_bytes, gradient_bytes):
    """Divides by 2**30."""
    return (frozen * frozen_bytes + trainable * (weight_bytes + gradient_bytes + 8)) / 1024**3


@wrong(
    "training_state_gb", fits=r"frozen_bytes|fraction|whole|half a byte|4 bits|int|round|0\.5|float|below 1"
)
def whole_bytes_only_once_more(frozen, trainable, frozen_bytes, weight_bytes, gradient_bytes):
    """Uses whole bytes for each frozen weight: 0.516 of four bits becomes 0."""
    total = frozen * int(frozen_bytes) + trainable * (int(weight_bytes) + int(gradient_bytes) + 8)
    return total / 1e9


@right("training_state_gb")
def part_by_part_once_more(frozen, trainable, frozen_bytes, weight_bytes, gradient_bytes):
    """Adds up the four parts in GB with fsum."""
    parts = {
        "frozen": frozen * frozen_bytes,
        "weights": trainable * weight_bytes,
        "gradients": trainable * gradient_bytes,
        "moments": 2 * trainable * 32 / 8,
    }
    return math.fsum(part * 1e-9 for part in parts.values())


# --- neighbours of what got through


@wrong("dequantize_nf4", r"mask.*\.int\(\)")
def codes_as_a_mask(codes, absmax):
    """torch takes uint8 for a mask."""
    return LEVELS[codes] * absmax[:, None]
