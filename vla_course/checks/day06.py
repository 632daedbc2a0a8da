"""Checks of Day 06: sixteen levels, four bits and back, what a weight really costs, and what training keeps."""

from collections.abc import Callable, Iterator
from typing import Any

import torch

from vla_course.checks.calls import Rules
from vla_course.checks.claims import Claim, Raised, value_or_raised
from vla_course.checks.report import Lesson, WorkedCase

lesson = Lesson("day06")
show_case, borrow = lesson.show_case, lesson.borrow

PUBLISHED_LEVELS = torch.tensor(
    [
        *(-1, -0.6961928, -0.52507305, -0.3949175, -0.28444138, -0.18477343, -0.09105004, 0),
        *(0.0795803, 0.1609302, 0.2461123, 0.33791524, 0.44070983, 0.562617, 0.72295684, 1),
    ]
)
"""Source: Dettmers et al. 2023, QLoRA, appendix E, to eight digits."""

OPENVLA_7B, ADAPTERS = 7_541_237_184, 110_828_288


@lesson.exercise(
    "06.1",
    library="vla_course.adapters.nf4:nf4_codebook",
    minutes=12,
    difficulty=3,
    rules=Rules(returns=torch.zeros(1)),
    hints=(
        "If each level is to be used by about as many weights as any other, the levels lie at quantiles of the weights. One "
        "half of the curve gets eight levels, the other seven, and 0 gets one of its own.",
        "`NormalDist().inv_cdf(share)` is the quantile. The shares of the positive levels are eight even steps from OUTERMOST to "
        "0.5, without 0.5 itself, which would be another 0; those of the negative ones seven such steps. "
        "`torch.linspace(a, b, n + 1)[:-1]` makes n of them.",
        "First line: `positive = [NormalDist().inv_cdf(share) for share in torch.linspace(OUTERMOST, 0.5, 9)[:-1].tolist()]`. "
        "Then the negative ones, one sorted tensor of all, divided by its largest.",
    ),
    case=WorkedCase(
        call="nf4_codebook()[[0, 7, 8, 14, 15]]",
        steps=(
            ("shares from .9677 to .5 in eight steps", ".9677, .9092, … .5585, (.5)"),
            ("their quantiles: the positive levels", "1.848, 1.336, … .147"),
            ("divided by the largest, 1.848", "1, .7230, … .0796"),
            ("the negative ones in seven steps, with a minus", "−1, −.6962, … −.0911"),
            ("and 0, sorted: numbers 0, 7, 8, 14 and 15", "−1, 0, .0796, .7230, 1"),
        ),
        answer=torch.tensor([-1.0, 0.0, 0.0795803, 0.7229568, 1.0]),
    ),
)
def check_nf4_codebook(nf4_codebook: Callable[[], torch.Tensor]) -> Iterator[Claim]:
    """How many, no two alike, both ends, an exact zero, where it stands, and the published table."""
    levels = nf4_codebook()
    yield Claim(
        "there are sixteen levels, in one tensor of float32",
        got=f"{tuple(levels.shape)} {levels.dtype}",
        expected="(16,) torch.float32",
        hint="8 positive, 7 negative and 0, in one row: torch.tensor(…) of decimals makes float32",
        mistakes={
            "0.5 is the share below 0: eight even steps that end before it, torch.linspace(…, 9)[:-1], and seven likewise": (
                "(18,) torch.float32"
            ),
            "there is one too many: the share 0.5 is another 0, so each half's steps end before it": "(17,) torch.float32",
            "0 is missing: it is a level of its own": "(15,) torch.float32",
            "the levels are in float64, twice as wide as float32: end with .float()": "(16,) torch.float64",
        },
    )
    yield Claim(
        "the smallest is −1 and the largest 1",
        got=(levels.min().item(), levels.max().item()),
        expected=(-1.0, 1.0),
        hint="both halves reach out to the share OUTERMOST, the negative one with a minus; divide all levels by the largest",
        mistakes={
            "divide all levels by the largest: a block's largest weight must get level 1": (
                -1.8481308,
                1.8481308,
            ),
            "no level is negative: the seven of the lower half are mirrored, with a minus": (0.0, 1.0),
            "these are averages of neighbouring quantiles, as in the paper's formula. Here levels are the quantiles themselves, at "
            "even steps from OUTERMOST": (-0.984466, 1.0),
        },
        tolerance=1e-4,
    )
    yield Claim(
        "no two of them are alike",
        got=len(set(levels.tolist())),
        expected=16,
        hint="a level is there twice: two codes for one level waste one. The share 0.5 is another 0, so each half's steps end before it",
    )
    yield Claim(
        "they rise, from −1 to 1",
        got=bool((levels.diff() > 0).all()),
        expected=True,
        hint="sort them: a code is a level's number, counted from the lowest",
    )
    yield Claim(
        "0 is one of them, exactly: the smallest in size is 0",
        got=float(levels.abs().min()),
        expected=0.0,
        hint="0 gets a level of its own, between the seven negative and the eight positive ones",
        mistakes={
            "these are even steps; the levels are quantiles, closest together where weights are most frequent": 1
            / 15,
            "the same quantiles on both sides leave no 0, and a weight of 0 would become something else: eight positive "
            "ones, seven negative ones, and 0": 0.0423335,
            "eight positive and eight negative ones leave no 0: seven negative ones, and 0": 0.0795803,
        },
        tolerance=2e-6,
    )
    yield Claim(
        "seven lie below 0, eight above",
        got=((levels < 0).sum().item(), (levels > 0).sum().item()),
        expected=(7, 8),
        hint="eight positive levels, seven negative ones, and 0",
        mistakes={"mirrored: the larger half is the positive one": (8, 7)},
    )
    even = torch.linspace(-1, 1, 16)
    even[7] = 0
    own_steps = "seven negative levels are seven even steps of their own from OUTERMOST to 0.5, not the positive ones but one"
    yield Claim(
        "they are the published levels",
        got=levels,
        expected=PUBLISHED_LEVELS,
        hint="levels are quantiles of the normal distribution (NormalDist().inv_cdf) at even steps of the share below them, and the "
        "outermost share is OUTERMOST",
        mistakes={
            own_steps: torch.cat([-PUBLISHED_LEVELS[9:].flip(0), PUBLISHED_LEVELS[7:]]),
            "these are even steps on both sides of 0: take the quantiles at even steps of the share": torch.cat(
                [torch.linspace(-1, 0, 8), torch.linspace(0, 1, 9)[1:]]
            ),
            "these are sixteen even steps and a 0: take the quantiles at even steps of the share": even,
        },
        tolerance=2e-6,
    )


@lesson.exercise(
    "06.2",
    library="vla_course.adapters.nf4:quantize_nf4",
    minutes=12,
    difficulty=2,
    hints=(
        "Cut the weights into blocks. Each block is measured with its own largest size, so that all lie in [−1, 1]; then each "
        "looks for the nearest level.",
        "`weights.reshape(-1, block).float()` makes the blocks, `.abs().amax(dim=1)` their sizes. The nearest of sorted levels: "
        "count how many *middles* between two levels lie below the number, `torch.bucketize(scaled, middles)`.",
        "First line: `blocks = weights.reshape(-1, block).float()`. The middles are `(LEVELS[:-1] + LEVELS[1:]) / 2`; codes are "
        "wanted as `torch.uint8`, and `absmax.clamp(min=1e-38)` can be divided by.",
    ),
    case=WorkedCase(
        call="quantize_nf4(torch.tensor([.1, -.4, .2, .05, 3, -6, .5, 1]), block=4)",
        steps=(
            ("the largest size in each block", ".4 and 6"),
            ("first block / .4", ".25, −1, .5, .125"),
            ("nearest levels .2461, −1, .4407, .1609", "numbers 10, 0, 12, 9"),
            ("second block / 6", ".5, −1, .0833, .1667"),
            ("nearest levels .4407, −1, .0796, .1609", "numbers 12, 0, 8, 9"),
        ),
        answer=(
            torch.tensor([[10, 0, 12, 9], [12, 0, 8, 9]], dtype=torch.uint8),
            torch.tensor([0.4, 6.0]),
        ),
    ),
)
def check_quantize_nf4(quantize_nf4: Callable[..., Any]) -> Iterator[Claim]:
    """Two blocks by hand, tiny weights, matrices, zeros, bfloat16, three axes, and blocks of 64 where nothing else is said."""
    weights = torch.tensor([0.1, -0.4, 0.2, 0.05, 3.0, -6.0, 0.5, 1.0])
    found = quantize_nf4(weights, 4)
    yield Claim(
        "two things come back: the codes, and one absmax per block",
        got=isinstance(found, tuple | list) and len(found) == 2,
        expected=True,
        hint="end with `return codes, absmax`",
    )
    yield Claim(
        "both are tensors: the codes of whole numbers first, absmax of decimals second",
        got=tuple(map(_container, found)),
        expected=("tensor of whole numbers", "tensor of decimals"),
        hint="codes are numbers of levels, in a tensor of whole numbers; absmax is a tensor of decimals",
        mistakes={
            "the order is turned round: end with `return codes, absmax`": (
                "tensor of decimals",
                "tensor of whole numbers",
            ),
            "a code is the *number* of the level in LEVELS, 0 to 15, not the level itself": (
                "tensor of decimals",
                "tensor of decimals",
            ),
        },
    )
    codes, absmax = found
    yield Claim(
        "each block's absmax is its largest size: .4 and 6",
        got=absmax,
        expected=torch.tensor([0.4, 6.0]),
        hint="the largest absolute value in each block, one number for each block",
        mistakes={
            "each block has its own absmax; that is one for all weights, and a block of small weights would be left with two or "
            "three levels": torch.tensor([6.0, 6.0]),
            "that is the largest number; the block's −6 is larger in size: take absolute values first": torch.tensor(
                [0.2, 3.0]
            ),
            "absmax is rounded to 16 bits: compute in float32 and return absmax so": torch.tensor(
                [0.400390625, 6.0]
            ),
            "absmax is rounded to 16 bits (float16): compute in float32 and return absmax so": torch.tensor(
                [0.39990234375, 6.0]
            ),
            "that is the mean size; with it the largest weights would lie outside [−1, 1]": torch.tensor(
                [0.1875, 2.625]
            ),
            "a block is weights that follow each other, .1 −.4 .2 .05 here; you took every second one: rows of "
            "reshape(-1, block)": torch.tensor([3.0, 6.0]),
        },
        tolerance=1e-6,
    )
    right = torch.tensor([[10, 0, 12, 9], [12, 0, 8, 9]], dtype=torch.uint8)
    yield Claim(
        "the codes of .1 −.4 .2 .05 and of 3 −6 .5 1 are 10 0 12 9 and 12 0 8 9",
        got=codes,
        expected=right,
        hint="measure each block with its own absmax, then look for the nearest of the LEVELS: a code is that level's number",
        mistakes={
            "the level below is not the nearest one: compare with the middles between two levels": torch.tensor(
                [[10, 0, 12, 8], [12, 0, 8, 9]]
            ),
            "the level above is not the nearest one: compare with the middles between two levels": torch.tensor(
                [[11, 0, 13, 9], [13, 0, 9, 10]]
            ),
            "these are the codes with one size for all: divide each block by its own absmax": torch.tensor(
                [[7, 6, 7, 7], [12, 0, 8, 9]]
            ),
            "counted from the top: code 0 is the lowest level, −1": 15 - right.int(),
            "counted from 1: code 0 is the lowest level, −1": 1 + right.int(),
            "the signs are lost: −.4 and −6 lie on the negative side, at level −1. Only absmax is taken without its sign": torch.tensor(
                [[10, 15, 12, 9], [12, 15, 8, 9]]
            ),
            "these are sixteen even steps from −1 to 1: look for the nearest of the LEVELS": torch.tensor(
                [[9, 0, 11, 8], [11, 0, 8, 9]]
            ),
        },
    )
    yield Claim(
        "a code takes one byte: torch.uint8",
        got=str(codes.dtype),
        expected="torch.uint8",
        hint="end with codes.to(torch.uint8); two codes are packed into a byte later",
    )
    yield Claim(
        "a thousand million times smaller weights have the same codes",
        got=quantize_nf4(weights * 1e-9, 4)[0],
        expected=right,
        hint="a block's scale is its absmax, however small: nothing is added to it, and a clamp that keeps zeros away must not reach it, .clamp(min=1e-38)",
        call="quantize_nf4(1e-9 * torch.tensor([.1, -.4, .2, .05, 3, -6, .5, 1]), 4)",
    )
    matrix = torch.tensor([[1.0, 2, 3, 4], [50, 60, 70, 80]]) * torch.tensor([1, -1, -1, 1])
    down_the_columns = torch.tensor([50.0, 60, 70, 80])
    yield Claim(
        "a matrix of 2 × 4 in blocks of 2: row after row, absmax 2 4 60 80",
        got=quantize_nf4(matrix, 2)[1],
        expected=torch.tensor([2.0, 4.0, 60.0, 80.0]),
        hint="weights.reshape(-1, block) goes through the matrix row after row",
        mistakes={
            "these blocks go down the columns: neighbours in a row belong together": down_the_columns,
            "that is the size of the smallest number; a block's largest may be positive: take absolute values first": torch.tensor(
                [2.0, 3.0, 60.0, 70.0]
            ),
            "that is the absmax of a row, twice: each *block* of a row has its own": torch.tensor(
                [4.0, 4.0, 80.0, 80.0]
            ),
        },
    )
    yield Claim(
        "and the same matrix transposed, 4 × 2: in blocks of 4: still row after row, absmax 60 80",
        got=_or_error(quantize_nf4, matrix.T, 4),
        expected=torch.tensor([60.0, 80.0]),
        hint="`view` needs numbers that lie in memory in this order, and those of a transposed matrix do not: `reshape` copies them "
        "where it must",
    )
    yield Claim(
        "a block of zeros has code 7, level 0, and absmax 0",
        got=quantize_nf4(torch.tensor([0.0, 0.0, 0.5, -0.5]), 2),
        expected=(torch.tensor([[7, 7], [15, 0]], dtype=torch.uint8), torch.tensor([0.0, 0.5])),
        hint="keep the scale away from 0 before you divide by it, absmax.clamp(min=1e-38), and return absmax as it was, exactly 0",
        tolerance=0,
    )
    halves = torch.tensor([[1.0, -0.5, 0.25, 0.75], [-4.0, 1.5, -0.5, 3.0]], dtype=torch.bfloat16)
    yield Claim(
        "weights in bfloat16: absmax 1 and 4",
        got=quantize_nf4(halves, 4)[1],
        expected=torch.tensor([1.0, 4.0]),
        hint="weights of any precision: .float() first",
    )
    cube = torch.randn(2, 3, 10, generator=torch.Generator().manual_seed(4)) ** 3
    sizes = cube.reshape(12, 5).abs().amax(dim=1)
    distances = (cube.reshape(12, 5).double() / sizes[:, None])[..., None] - PUBLISHED_LEVELS.double()
    yield Claim(
        "2 × 3 × 10 random weights in blocks of 5",
        got=quantize_nf4(cube, 5),
        expected=(distances.abs().argmin(-1).to(torch.uint8), sizes),
        hint="12 blocks, row after row of what is given, each divided by its own absmax; then the nearest level for each weight",
    )
    middles, tops = (
        (PUBLISHED_LEVELS[:-1] + PUBLISHED_LEVELS[1:]) / 2,
        torch.tensor([[3.0], [5.0], [7.0], [11.0]]),
    )
    for dtype, kept in ((torch.bfloat16, "8 bits"), (torch.float16, "11 bits")):
        near = torch.cat([tops * middles, tops], dim=1).to(dtype)
        distances = (near.double() / tops.double())[..., None] - PUBLISHED_LEVELS.double()
        yield Claim(
            f"{near.numel()} weights in {str(dtype).removeprefix('torch.')}, most of them near the middle of two levels",
            got=quantize_nf4(near, 16)[0],
            expected=distances.abs().argmin(-1).to(torch.uint8),
            hint=f"in the weights' own dtype, which keeps {kept}, weight / absmax and the levels are rounded, and some weights get a "
            "neighbour's code: .float() first, then divide and compare",
        )
    yield Claim(
        "where nothing is said, a block is 64 weights: 128 of them make two",
        got=tuple(quantize_nf4(torch.linspace(-1, 1, 128))[0].shape),
        expected=(2, 64),
        hint="the argument `block` is 64 by default: reshape(-1, block)",
    )


def _container(value: Any) -> str:
    """What came back: a tensor, of which kind, or something else."""
    if not isinstance(value, torch.Tensor):
        return type(value).__name__
    if value.dtype == torch.bool:
        return "tensor of bool"
    return f"tensor of {'decimals' if value.is_floating_point() else 'whole numbers'}"


def _or_error(quantize_nf4: Callable[..., Any], weights: torch.Tensor, block: int) -> torch.Tensor:
    """The absmax, or NaN where `view` refuses the weights: that is a mistake with a hint of its own."""
    try:
        absmax: torch.Tensor = quantize_nf4(weights, block)[1]
    except RuntimeError as error:
        if "view" not in str(error):
            raise
        return torch.full((weights.numel() // block,), torch.nan)
    return absmax


@lesson.exercise(
    "06.3",
    library="vla_course.adapters.nf4:dequantize_nf4",
    minutes=6,
    difficulty=1,
    rules=Rules(returns=torch.zeros(1)),
    hints=(
        "A code is the number of a level, and a level is a share of the block's largest weight.",
        "A tensor can be indexed with a tensor of whole numbers: `LEVELS[codes.int()]` has the shape of `codes`. Each *row* has its "
        "own absmax.",
        "First line: `levels = LEVELS[codes.int()]`. `absmax[:, None]` makes a column of the sizes.",
    ),
    case=WorkedCase(
        call="dequantize_nf4(torch.tensor([[15, 0, 7, 9]], dtype=torch.uint8), torch.tensor([.4]))",
        steps=(
            ("levels 15, 0, 7 and 9", "1, −1, 0, .1609"),
            ("times the block's absmax, .4", ".4, −.4, 0, .0644"),
        ),
        answer=torch.tensor([[0.4, -0.4, 0.0, 0.0643721]]),
    ),
)
def check_dequantize_nf4(dequantize_nf4: Callable[..., torch.Tensor]) -> Iterator[Claim]:
    """One block by hand, two blocks of different sizes, all sixteen levels, and many random codes."""
    one = torch.tensor([[15, 0, 7, 9]], dtype=torch.uint8)
    shown = torch.tensor([[0.4, -0.4, 0.0, 0.0643721]])
    shifted = torch.tensor([[PUBLISHED_LEVELS[code] for code in (14, 15, 6, 8)]]) * 0.4
    yield Claim(
        "codes 15 0 7 9 with absmax .4 are .4, −.4, 0 and .0644",
        got=_or_taken_for_a_mask(dequantize_nf4, one, torch.tensor([0.4])),
        expected=shown,
        hint="the level of each code, stretched back to the size of its block",
        mistakes={
            "quantising divided by absmax, so the way back multiplies": torch.tensor(
                [[2.5, -2.5, 0.0, 0.4023255]]
            ),
            "that is a line from −1 to 1: the levels are not even. Look the code up in LEVELS": torch.tensor(
                [[0.4, -0.4, -0.0266667, 0.08]]
            ),
            "multiply with the block's absmax": torch.tensor([[1.0, -1.0, 0.0, 0.1609302]]),
            "codes count from 0: each level is one too low, and code 0 became the last one": shifted,
            "the weights were rounded to bfloat16: LEVELS and absmax are float32, keep their dtype": (
                shown.bfloat16().float()
            ),
            "the weights were rounded to float16: LEVELS and absmax are float32, keep their dtype": (
                shown.half().float()
            ),
        },
        tolerance=1e-6,
    )
    two = torch.tensor([[15, 0], [15, 8]], dtype=torch.uint8)
    yield Claim(
        "two blocks of two with absmax .5 and 3: .5 −.5 and 3 .2387",
        got=dequantize_nf4(two, torch.tensor([0.5, 3.0])),
        expected=torch.tensor([[0.5, -0.5], [3.0, 0.2387409]]),
        hint="each row has its own absmax",
        mistakes={
            "the sizes went along the wrong axis: absmax[:, None] gives each row its own": torch.tensor(
                [[0.5, -3.0], [0.5, 0.2387409]]
            ),
            "each block has its own absmax, this is one for all": torch.tensor(
                [[3.0, -3.0], [3.0, 0.2387409]]
            ),
            "each block has its own absmax, this is the first one's for all": torch.tensor(
                [[0.5, -0.5], [0.5, 0.0397902]]
            ),
        },
        tolerance=1e-6,
    )
    levels = dequantize_nf4(torch.arange(16, dtype=torch.uint8)[None], torch.tensor([2.0]))
    yield Claim(
        "the sixteen codes of a block of size 2 are the sixteen levels, doubled",
        got=levels,
        expected=2 * PUBLISHED_LEVELS[None],
        hint="nothing is rounded or shifted on the way back: each level as it stands in LEVELS, times the size",
        tolerance=1e-6,
    )
    rng = torch.Generator().manual_seed(3)
    codes = torch.randint(16, (5, 128), generator=rng, dtype=torch.uint8)
    sizes = torch.tensor([0.02, 0.0, 1.5, 300.0, 1e-6])
    expected = torch.zeros(5, 128)
    for code, level in enumerate(PUBLISHED_LEVELS.tolist()):
        expected = torch.where(codes == code, level * sizes.reshape(-1, 1), expected)
    yield Claim(
        "five blocks of 128 random codes, one of them with absmax 0",
        got=dequantize_nf4(codes, sizes),
        expected=expected,
        hint="the shape of codes stays, whatever the block's length; a row with absmax 0 is all zeros",
        tolerance=1e-6,
    )


def _or_taken_for_a_mask(
    dequantize_nf4: Callable[..., torch.Tensor], codes: torch.Tensor, absmax: torch.Tensor
) -> Any:
    """What comes out, or the error where only codes of dtype uint8, which torch takes for a mask, raise one."""
    hint = "torch takes an index of dtype uint8 for a mask, not for places: make the codes `.int()` first, then look up"
    found = value_or_raised(lambda: dequantize_nf4(codes, absmax), IndexError, hint)
    if isinstance(found, Raised):
        try:
            dequantize_nf4(codes.int(), absmax)
        except Exception:
            raise found.error from None
        return found
    return found


@lesson.exercise(
    "06.4",
    library="vla_course.adapters.nf4:bits_per_parameter",
    minutes=8,
    difficulty=2,
    rules=Rules(returns=1.0),
    hints=(
        "A weight has its own 4 bits, and its share of what the block needs once.",
        "A scale of 32 bits is shared by `block` weights. With double quantisation it has 8 bits, and one scale of 32 bits is shared "
        "by `second_block` *scales*, that is by how many weights?",
        "First line: `if second_block is None: return 4 + 32 / block`.",
    ),
    case=WorkedCase(
        call="bits_per_parameter(32, 128)",
        steps=(
            ("the code", "4 bits"),
            ("a scale of 8 bits for 32 weights", "8/32 = .25"),
            ("a scale of 32 bits for 128 scales, 4096 weights", "32/4096 = .0078"),
        ),
        answer=4.2578125,
    ),
)
def check_bits_per_parameter(bits_per_parameter: Callable[..., float]) -> Iterator[Claim]:
    """With one level of scales and with two, in the usual sizes and in others."""
    yield Claim(
        "with blocks of 20 a weight takes 5.6 bits",
        got=bits_per_parameter(20),
        expected=5.6,
        hint="4 bits of its own, and its share of the block's scale, which has 32 bits",
        mistakes={
            "the codes alone cannot be read: each block has a scale as well": 4.0,
            "the weight's own 4 bits, its code, are missing": 1.6,
            "the scales are 32-bit numbers; you counted 16 bits": 4.8,
            "that is a whole scale for every weight: a block shares one": 36.0,
            "with no second level the scales stay 32-bit numbers": 4.4,
            "that is a block of 64: its size is `block`, here 20": 4.5,
            "a fraction of a bit counts: 32 shared by 20 is 1.6, no whole number. Divide with /, not with //, and round nothing": 5.0,
            "a fraction of a bit counts: round nothing": 6.0,
            "that is in bytes: bits are wanted, eight times as many": 0.7,
            "that is with double quantisation: without `second_block` (None, the default) the scales stay 32-bit numbers": 4
            + 8 / 20
            + 32 / (20 * 256),
        },
        tolerance=1e-6,
    )
    yield Claim(
        "with blocks of 64 it is 4.5",
        got=bits_per_parameter(64),
        expected=4.5,
        hint="share the scale among `block` weights: it is not always 64, and not always 20",
        tolerance=1e-6,
    )
    yield Claim(
        "double quantisation, (64, 256): 4.127 bits",
        got=bits_per_parameter(64, 256),
        expected=4.126953125,
        hint="a weight's own 4 bits, its share of an 8-bit scale, and its share of the 32-bit scale that 256 of those share",
        mistakes={
            "one scale of the second level serves second_block *scales*, each of them for a whole block": 4
            + 8 / 64
            + 32 / 256,
            "the second level has one scale for every block here: it has one for 256 of them": 4.625,
            "the 8-bit scales of the first level are still stored": 4 + 32 / (64 * 256),
            "that is 32 bits at both levels: the first one's scales have become 8-bit codes": 4.5
            + 32 / (64 * 256),
            "the second level's scales take room as well": 4.125,
            "that is without double quantisation: `second_block` says that the scales are 8-bit codes now, and how many share a "
            "second scale": 4.5,
            "the 8-bit codes take the place of the 32-bit scales, they do not come on top of them": 4.5
            + 8 / 64
            + 32 / (64 * 256),
            "the two sizes are exchanged: `block` weights share an 8-bit scale, `second_block` scales share the second one": 4
            + 8 / 256
            + 32 / (64 * 256),
            "the second scale has 32 bits; you counted 8": 4 + 8 / 64 + 8 / (64 * 256),
            "the second scale has 32 bits; you counted 16": 4 + 8 / 64 + 16 / (64 * 256),
            "the number is rounded to two digits: return it as it is": 4.13,
            "the number is rounded to three digits: return it as it is": 4.127,
        },
        tolerance=1e-6,
    )
    yield Claim(
        "and with (128, 64): 4.066 bits",
        got=bits_per_parameter(128, 64),
        expected=4.06640625,
        hint="the sizes are `block` and `second_block`, whatever they are, and nothing is rounded",
        tolerance=1e-6,
    )
    yield Claim(
        "and with (48, 100), where a group of 4800 weights takes 4800 × 4, 100 × 8 and once 32 bits",
        got=bits_per_parameter(48, 100),
        expected=(4800 * 4 + 100 * 8 + 32) / 4800,
        hint="any sizes, not only those in a table: `block` weights share a scale, `second_block` scales share another",
        tolerance=1e-7,
    )


@lesson.exercise(
    "06.5",
    library="vla_course.memory.estimate:training_state_gb",
    minutes=10,
    difficulty=2,
    rules=Rules(returns=1.0),
    hints=(
        "A frozen weight is there and no more. A trained one brings its gradient along, and two numbers of Adam's.",
        "Two products: how many frozen weights, and how many bytes each; how many trained ones, and how many bytes each brings in "
        "all. Adam's two moments are 32-bit numbers: 4 bytes each.",
        "First line: `bytes_ = frozen * frozen_bytes + trainable * (weight_bytes + gradient_bytes + 8)`. A GB is 10⁹ bytes.",
    ),
    case=WorkedCase(
        call="training_state_gb(3_000_000_000, 1_000_000_000, 0.5, 1, 2)",
        steps=(
            ("3 billion frozen weights at half a byte", "1.5 GB"),
            ("1 billion trained ones at 1 byte", "1 GB"),
            ("their gradients at 2", "2 GB"),
            ("two moments of 4 bytes each", "8 GB"),
        ),
        answer=12.5,
    ),
)
def check_training_state_gb(training_state_gb: Callable[..., float]) -> Iterator[Claim]:
    """Round numbers by hand; then openvla-7b in three ways, and a small model of odd numbers."""
    yield Claim(
        "3 billion frozen at .7 bytes, 1 billion trained (2 bytes, gradients of 1): 13.1 GB",
        got=training_state_gb(3_000_000_000, 1_000_000_000, 0.7, 2, 1),
        expected=13.1,
        hint="what is kept for a frozen weight, and what for a trained one? Only the trained ones have gradients and two moments; "
        "the answer is in GB",
        mistakes={
            "Adam keeps two moments for each trained weight, 32-bit numbers both, whatever the weights are: 8 bytes": 9.1,
            "Adam's moments are 32-bit numbers, whatever the gradients are": 7.1,
            "the moments are missing: two 32-bit numbers for each trained weight": 5.1,
            "a 32-bit number has 4 bytes: the two moments take 8 bytes, not 64": 69.1,
            "the sizes are bytes already: nothing is divided by 8": 8.6375,
            "what is frozen has no moments: Adam keeps them for what it changes": 37.1,
            "what is frozen has no gradient": 16.1,
            "what is frozen has no gradient and no moments": 40.1,
            "the trained weights themselves are missing": 11.1,
            "the gradients are missing": 12.1,
            "frozen weights take room, too, and .7 bytes for each are not 0: are they forgotten, or is frozen_bytes cut to a whole "
            "number?": 11.0,
            "a trained weight takes weight_bytes, not frozen_bytes": 11.8,
            "a frozen weight takes frozen_bytes, not weight_bytes": 17.0,
            "the trained weights are counted twice: they are not among the frozen ones": 13.8,
            "frozen_bytes may be less than a byte: round nothing": 14.0,
            "a fraction of a GB counts: return the number as it is, not rounded to whole GB": 13.0,
            "that is in GiB, 2³⁰ bytes; a GB is 10⁹": 13.1e9 / 2**30,
            "that is in MB: a GB is 10⁹ bytes": 13100.0,
            "that is in bytes: a GB is 10⁹ of them": 13.1e9,
        },
        tolerance=1e-6,
    )
    yield Claim(
        "openvla-7b, all of it trained in bfloat16: 90.5 GB",
        got=training_state_gb(0, OPENVLA_7B, 0, 2, 2),
        expected=90.494846208,
        hint="no weight is frozen here; a trained one brings 2 bytes of its own, 2 of its gradient, and its moments",
        mistakes={
            "a gradient takes gradient_bytes: 2 here, it is not always a 32-bit number": OPENVLA_7B
            * 14
            / 1e9,
            "the number is rounded: return it as it is": 90.49,
            "the number is rounded: return it as it is, with all its digits": 90.5,
        },
        tolerance=1e-6,
    )
    yield Claim(
        "with LoRA, adapters and gradients in float32: 16.9 GB",
        got=training_state_gb(OPENVLA_7B, ADAPTERS, 2, 4, 4),
        expected=16.855726976,
        hint="the frozen weights count frozen_bytes each, only the adapters have gradients and moments",
        tolerance=1e-6,
    )
    yield Claim(
        "the same over frozen weights of 4.127 bits: 5.7 GB",
        got=training_state_gb(OPENVLA_7B, ADAPTERS, 4.126953125 / 8, 4, 4),
        expected=5.663544153,
        hint="frozen_bytes may be less than one",
        tolerance=1e-6,
    )
    yield Claim(
        "12 345 frozen at 1 byte and 678 trained (4 bytes, gradients of 2): 21 837 bytes",
        got=training_state_gb(12_345, 678, 1, 4, 2) * 1e9,
        expected=21837.0,
        hint="a small model as well: nothing is rounded, and every size is the argument's",
        tolerance=1e-6,
    )
    yield Claim(
        "2 billion frozen at 1.25 bytes, 1 billion trained at 1.5, gradients of 2.75: 14.75 GB",
        got=training_state_gb(2_000_000_000, 1_000_000_000, 1.25, 1.5, 2.75),
        expected=14.75,
        hint="any of the three sizes may be a fraction of a byte more: nothing is cut off, rounded up or down",
        tolerance=1e-6,
    )
