"""Checks of Day 02: numbers as tokens and back, the picture's place among the words, and the choice of the next token."""

from collections.abc import Callable, Iterator

import numpy as np
import torch

from vla_course.action_tokens import CENTRES, EDGES, tokenize_actions
from vla_course.checks.calls import Rules
from vla_course.checks.claims import Claim, value_or_raised
from vla_course.checks.report import Lesson, WorkedCase

lesson = Lesson("day02")
show_case, borrow = lesson.show_case, lesson.borrow


@lesson.exercise(
    "02.1",
    library="vla_course.action_tokens:tokenize_actions",
    minutes=10,
    difficulty=1,
    rules=Rules(returns=np.array([0])),
    hints=(
        "Which of the 255 bins does the number fall into? Count the edges at or below it. Then count that many ids down "
        "from the end of the vocabulary.",
        "`np.clip` to [-1, 1], then `np.digitize(numbers, EDGES)` says how many edges are at or below each number: 1 for "
        "−1, 256 for 1. So many ids down from the vocabulary's size is the id.",
        "First line: `bins = np.digitize(np.clip(actions, -1, 1), EDGES)`. The ids are `vocabulary_size - bins`.",
    ),
    case=WorkedCase(
        call="tokenize_actions(np.array([0.1, -2.0]))",
        steps=(
            ("cut to [−1, 1]", "(.1, −1)"),
            ("edge i lies at −1 + 2 i/255; at or below .1 are", "edges 0 to 140: that is 141"),
            ("at or below −1", "edge 0: that is 1"),
            ("32000 minus that", "31859 and 31999"),
        ),
        answer=np.array([31859, 31999]),
    ),
)
def check_tokenize_actions(tokenize_actions: Callable[..., np.ndarray]) -> Iterator[Claim]:
    """Both ends and the middle, numbers outside, three in between, other vocabularies, many numbers on three axes."""
    shifted = "−1 is the last id, 31999: count down from vocabulary_size, not from one less. The id 31743 is no action token"
    yield Claim(
        "−1, 0 and 1 become 31999, 31872 and 31744",
        got=tokenize_actions(np.array([-1.0, 0.0, 1.0])),
        expected=np.array([31999, 31872, 31744]),
        hint="how many of the EDGES lie at or below each number? That many ids count down from the end of the vocabulary",
        mistakes={
            "the direction is turned round: −1 is the last id of the vocabulary, and larger numbers count down": np.array(
                [31744, 31871, 31999]
            ),
            "these are 256 bins; the 256 EDGES make 255: count the edges at or below the number": np.array(
                [31999, 31871, 31744]
            ),
            shifted: np.array([31998, 31871, 31743]),
            "1 is the last of the 256 EDGES: 256 edges lie at or below it, so it gets the lowest id, 31744": np.array(
                [31999, 31872, 31745]
            ),
            "1 lost its id: 256 edges lie at or below it, and 256 does not fit into uint8 (or was taken modulo 256)": (
                np.array([31999, 31872, 32000])
            ),
            "a number that is exactly an edge counts this edge: *at* or below. −1 is itself the first edge": np.array(
                [32000, 31872, 31745]
            ),
        },
    )
    yield Claim(
        "numbers outside count as the nearest end: −2, 1.5, −40 and 90 become 31999, 31744, 31999 and 31744",
        got=tokenize_actions(np.array([-2.0, 1.5, -40.0, 90.0])),
        expected=np.array([31999, 31744, 31999, 31744]),
        hint="cut the numbers to [-1, 1] first, at both ends",
        mistakes={
            "cut the numbers to [-1, 1] first: 32000 is the padding id, it is no action": np.array(
                [32000, 31744, 32000, 31744]
            ),
        },
    )
    yield Claim(
        ".1, .3 and .5 become 31859, 31834 and 31808",
        got=tokenize_actions(np.array([0.1, 0.3, 0.5])),
        expected=np.array([31859, 31834, 31808]),
        hint="a number belongs to the edge at or below it, not to the nearest one: np.digitize counts those edges",
    )
    rows = np.array([[-1.0, 0.0], [0.5, 1.0], [0.1, -0.5]])
    yield Claim(
        "with 1024 words the last 256 are the action tokens: three rows of two, 1023 down to 768",
        got=tokenize_actions(rows, vocabulary_size=1024),
        expected=np.array([[1023, 896], [832, 768], [883, 960]]),
        hint="count down from vocabulary_size; 32000 is only Llama's",
    )
    yield Claim(
        "with 151936 words −1 and .5 become 151935 and 151744",
        got=tokenize_actions(np.array([-1.0, 0.5]), vocabulary_size=151936),
        expected=np.array([151935, 151744]),
        hint="count down from vocabulary_size, whatever it is",
        mistakes={
            "ids of so large a vocabulary do not fit into 16 bits: let NumPy choose the kind of integer": np.array(
                [151935, 151744]
            ).astype(np.int16),
        },
        tolerance=1e-9,
    )
    # Every second bin, well inside it, so that rounding in float32 decides nothing.
    places = np.arange(0, 255, 2).reshape(4, 2, 16)
    inside = EDGES[places] + (2 / 255) * np.tile([0.02, 0.98], 64).reshape(places.shape)
    yield Claim(
        "4 × 2 × 16 numbers in float32, one of every second bin: each has the id of its bin",
        got=tokenize_actions(inside.astype(np.float32), vocabulary_size=50000),
        expected=49999 - places,
        tolerance=1e-9,
        hint="each number by itself, whatever the axes are: count the edges at or below it, and round nothing before or after",
    )


@lesson.exercise(
    "02.2",
    library="vla_course.action_tokens:detokenize_actions",
    minutes=10,
    difficulty=1,
    rules=Rules(returns=np.array([0.0])),
    hints=(
        "Undo the counting: from the id to the number of the bin, from the bin to the middle of it.",
        "The vocabulary's size minus the id says how many edges were at or below the number; the first bin, number 0, lies after "
        "one edge. `CENTRES` has 255 entries, 0 to 254, and the lowest id asks for number 255.",
        "First line: `bins = vocabulary_size - token_ids - 1`. Then `np.clip` and `CENTRES[...]`.",
    ),
    case=WorkedCase(
        call="detokenize_actions(np.array([31999, 31859, 31744]))",
        steps=(
            ("32000 − id: edges at or below", "1, 141, 256"),
            ("minus 1: the bin's number", "0, 140, 255"),
            ("there are bins 0 to 254", "0, 140, 254"),
            ("centre of bin i: (2 i − 254) / 255", "−254/255, 26/255, 254/255"),
        ),
        answer=np.array([-254 / 255, 26 / 255, 254 / 255]),
    ),
)
def check_detokenize_actions(detokenize_actions: Callable[..., np.ndarray]) -> Iterator[Claim]:
    """One end and the middle, the two ids that mean the same, there and back, another vocabulary, ids of no action."""
    no_such_bin = "which bin does the id stand for, counted from the end of the vocabulary? There are 255 CENTRES, numbered 0 to 254"
    yield Claim(
        "31999 and 31872 are the centres −254/255 and 0",
        got=value_or_raised(lambda: detokenize_actions(np.array([31999, 31872])), IndexError, no_such_bin),
        expected=np.array([-254 / 255, 0.0]),
        hint="which bin does the id stand for, counted from the end of the vocabulary? CENTRES holds the middle of each",
        mistakes={
            "that is the bin's left edge: take the middle of the bin": EDGES[[0, 127]],
            "that is the bin's right edge: take the middle of the bin": EDGES[[1, 128]],
            "one bin too high: after one edge comes bin 0, so subtract 1 more": CENTRES[[1, 128]],
            "the direction is turned round: the last id is −1's": np.array([254 / 255, 0.0]),
            "−1 is an edge: the middle of the first bin is −254/255. CENTRES holds the 255 middles": np.array(
                [-1.0, 0.0]
            ),
        },
        tolerance=1e-6,
    )
    behind = (
        "id 31744 asks for bin 255, and the last of the 255 bins is 254: cut the number of the bin to 0 … 254"
    )
    yield Claim(
        "31745 and 31744 mean the same: the highest centre, 254/255",
        got=value_or_raised(lambda: detokenize_actions(np.array([31745, 31744])), IndexError, behind),
        expected=np.array([254 / 255, 254 / 255]),
        hint="256 ids, 255 centres: the two lowest ids share one",
        mistakes={
            "the lowest id wraps round to the other end of CENTRES, where a negative index counts from, too: cut the number of the "
            "bin to 0 … 254": np.array([254 / 255, -254 / 255]),
            "the highest centre is never reached: bins are cut one too early, the last of them is number 254": np.full(
                2, 252 / 255
            ),
        },
        tolerance=1e-6,
    )
    numbers = np.linspace(-0.999, 0.999, 24).reshape(2, 3, 4)
    ids = tokenize_actions(numbers).astype(np.int32)
    yield Claim(
        "there and back, no number moves by more than half a bin, 1/255: 2 × 3 × 4 numbers, each the centre of its own bin",
        got=value_or_raised(lambda: detokenize_actions(ids), IndexError, no_such_bin),
        expected=(2 * (31999 - ids) + 1) / 255 - 1,
        hint="each id must come back as the centre of its own bin, in the place where the id stands",
        tolerance=1e-6,
    )
    yield Claim(
        "with 1024 words 1023, 896 and 769 are −254/255, 0 and 254/255",
        got=value_or_raised(
            lambda: detokenize_actions(np.array([1023, 896, 769]), vocabulary_size=1024),
            IndexError,
            no_such_bin,
        ),
        expected=np.array([-254 / 255, 0.0, 254 / 255]),
        hint="count from vocabulary_size; 32000 is only Llama's",
        tolerance=1e-6,
    )
    outside = np.array([32005, 32000, 31743, 5])
    yield Claim(
        "an id that is no action token is no error",
        got=_error(detokenize_actions, outside),
        expected="no error",
        hint="32005 lies behind the vocabulary, and 5 is a word: such an id becomes the nearest end. Cut the number of the bin to "
        "0 … 254 at both ends",
    )
    yield Claim(
        "it becomes the nearest end: 32005 and 32000 are −254/255, 31743 and 5 are 254/255",
        got=detokenize_actions(outside),
        expected=np.array([-254, -254, 254, 254]) / 255,
        hint="cut the number of the bin at both ends: a negative number counts from the end of CENTRES, and one above 254 is none",
        mistakes={
            "an id that is no action token becomes the nearest end, not 0": np.zeros(4),
        },
        tolerance=1e-6,
    )


def _error(function: Callable[..., np.ndarray], token_ids: np.ndarray) -> str:
    """The error that the function raises, in words."""
    try:
        function(token_ids)
    except (IndexError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return "no error"


@lesson.exercise(
    "02.3",
    library="vla_course.action_tokens:unnormalize_actions",
    minutes=10,
    difficulty=1,
    rules=Rules(returns=np.array([0.0])),
    hints=(
        "A straight line through two points: −1 stands for q01, 1 for q99. The gripper was never normalised, so it stays.",
        "First bring [−1, 1] to [0, 1], the share of the way from q01 to q99; then go that share of the way. `np.where(mask, …, …)` "
        "chooses, dimension by dimension.",
        "First line: `scaled = 0.5 * (actions + 1) * (q99 - q01) + q01`.",
    ),
    case=WorkedCase(
        call="unnormalize_actions(np.array([.5, .7]), np.array([-.02, 0]), np.array([.04, 1]), np.array([True, False]))",
        steps=(
            (".5 in [−1, 1] is, in [0, 1],", ".75"),
            ("q99 − q01", ".06"),
            (".75 × .06 − .02", ".025"),
            ("the second one is outside the mask", ".7 stays .7"),
        ),
        answer=np.array([0.025, 0.7]),
    ),
)
def check_unnormalize_actions(unnormalize_actions: Callable[..., np.ndarray]) -> Iterator[Claim]:
    """One action by hand with a range that is not symmetric; two at once; what is outside the mask; three axes."""
    q01, q99 = np.array([-0.02, -0.01, 0.0, 0.0]), np.array([0.04, 0.03, 0.1, 1.0])
    mask = np.array([True, True, True, False])
    yield Claim(
        "−1, 0, 1 and a gripper at .7 become −.02, .01, .1 and .7",
        got=unnormalize_actions(np.array([-1.0, 0.0, 1.0, 0.7]), q01, q99, mask),
        expected=np.array([-0.02, 0.01, 0.1, 0.7]),
        hint="−1 becomes q01, 1 becomes q99, on a straight line; outside the mask nothing changes",
        mistakes={
            "[−1, 1] is two wide: bring it to [0, 1] before you multiply by q99 − q01": np.array(
                [-0.08, -0.01, 0.1, 0.7]
            ),
            "[0, 1] is one wide, [−1, 1] two: twice the distance from q01 to q99 is too far": np.array(
                [-0.02, 0.03, 0.2, 0.7]
            ),
            "−1 becomes q01, so it has to become 0 before you multiply: shift [−1, 1] by one, then halve it": np.array(
                [-0.05, -0.01, 0.05, 0.7]
            ),
            "the last dimension is outside the mask: it stays as it is": np.array([-0.02, 0.01, 0.1, 0.85]),
            "the last dimension is outside the mask: it stays as it is, and here it is lost": np.array(
                [-0.02, 0.01, 0.1, 0.0]
            ),
            "that is symmetric about 0; the range from q01 to q99 is not": np.array([-0.04, 0.0, 0.1, 0.7]),
            "the mask is turned round: True means that the dimension was normalised": np.array(
                [-1.0, 0.0, 1.0, 0.85]
            ),
            "the range begins at q01: add it": np.array([0.0, 0.02, 0.1, 0.7]),
            "q01 and q99 are swapped: −1 becomes q01, the lower one": np.array([0.04, 0.01, 0.0, 0.7]),
        },
        tolerance=1e-6,
    )
    yield Claim(
        "two actions at once, the first dimension outside the mask",
        got=unnormalize_actions(
            np.array([[0.3, 1.0, -1.0], [-0.6, 0.0, 0.5]]), q01[:3], q99[:3], np.array([False, True, True])
        ),
        expected=np.array([[0.3, 0.03, 0.0], [-0.6, 0.01, 0.075]]),
        hint="the mask says which dimensions, it is not always the last one; np.where chooses dimension by dimension",
        tolerance=1e-6,
    )
    yield Claim(
        "outside the mask 1.3 and −250 stay 1.3 and −250",
        got=unnormalize_actions(
            np.array([1.3, 0.5, -250.0]), q01[:3], q99[:3], np.array([False, True, False])
        ),
        expected=np.array([1.3, 0.02, -250.0]),
        hint="dimensions outside the mask stay as they are",
        mistakes={
            "dimensions outside the mask stay as they are, also beyond ±1: here they were clipped": np.array(
                [1.0, 0.02, -1.0]
            ),
        },
        tolerance=1e-6,
    )
    rng = np.random.default_rng(3)
    chunks = rng.uniform(-1, 1, (2, 3, 7)).astype(np.float32)
    low, width = rng.uniform(-3, 1, 7), rng.uniform(0.5, 4, 7)
    fourth = np.array([True, True, False, True, True, False, True])
    share = (chunks.astype(float) + 1) / 2
    yield Claim(
        "2 × 3 actions of seven random numbers, in float32",
        got=unnormalize_actions(chunks, low, low + width, fourth),
        expected=np.where(fourth, low + share * width, chunks),
        hint="dimensions are the last axis, however many axes stand before it; each has its own q01 and q99, and nothing is rounded",
        mistakes={
            "q01 and q99 may lie beyond ±1, and so may what becomes of an action: nothing is clipped here": np.where(
                fourth, np.clip(low + share * width, -1, 1), chunks
            ),
        },
    )


@lesson.exercise(
    "02.4",
    library="vla_course.openvla.model:insert_patches",
    minutes=15,
    difficulty=2,
    rules=Rules(returns=(torch.zeros(1), torch.zeros(1, dtype=torch.long))),
    hints=(
        "One sequence: first the start token, then the picture, then the words. The mask grows with it.",
        "Cut the token embeddings after position 1 along the length (dimension 1) and put the patches between. The mask is "
        "cut at the same place; the patches are real, so theirs are ones, as many as there are patches.",
        "First line: `embeddings = torch.cat([token_embeddings[:, :1], patch_embeddings, token_embeddings[:, 1:]], dim=1)`. "
        "For the mask, `attention_mask.new_ones(B, P)` makes ones of the right kind.",
    ),
    case=WorkedCase(
        call="insert_patches(torch.tensor([[[1.], [2.], [3.]]]), torch.tensor([[[-1.], [-2.]]]), torch.tensor([[1, 1, 0]]))",
        steps=(
            ("start token", "1, real"),
            ("two patches", "−1 −2, both real"),
            ("words", "2 3, the last one is padding"),
        ),
        answer=(
            torch.tensor([[[1.0], [-1.0], [-2.0], [2.0], [3.0]]]),
            torch.tensor([[1, 1, 1, 1, 0]]),
        ),
    ),
)
def check_insert_patches(
    insert_patches: Callable[..., tuple[torch.Tensor, torch.Tensor]],
) -> Iterator[Claim]:
    """Five words and three patches, their mask, two rows with pictures of their own, bfloat16, and what can learn."""
    tokens = torch.arange(1.0, 6.0).reshape(1, 5, 1)
    patches = -torch.arange(1.0, 4.0).reshape(1, 3, 1)
    embeddings, mask = insert_patches(tokens, patches, torch.tensor([[1, 1, 1, 1, 0]]))
    yield Claim(
        "five words and three patches make a sequence of 1 × 8 × 1",
        got=tuple(embeddings.shape),
        expected=(1, 8, 1),
        hint="the sequence is as long as words and patches together: join them along dim=1",
        mistakes={
            "the start token stands there twice: what comes behind the image are the words *after* it": (
                1,
                9,
                1,
            ),
            "the start token is lost: it stands before the image": (1, 7, 1),
            "the patches took the place of words: they come between the start token and the words, and no word is lost": (
                1,
                5,
                1,
            ),
        },
    )
    yield Claim(
        "words 1 2 3 4 5 and patches −1 −2 −3 become 1 −1 −2 −3 2 3 4 5",
        got=embeddings,
        expected=torch.tensor([[[1.0], [-1], [-2], [-3], [2], [3], [4], [5]]]),
        hint="start token, image, text: cut the words after the first one and put the image there",
        mistakes={
            "the image stands one word too late: right after the start token": torch.cat(
                [tokens[:, :2], patches, tokens[:, 2:]], 1
            ),
            "the start token comes first, then the image": torch.cat([patches, tokens], 1),
            "the image stands before the words, right after the start token: what is asked last is answered next": torch.cat(
                [tokens, patches], 1
            ),
        },
    )
    yield Claim(
        "the mask has grown with the sequence, to 8 places",
        got=tuple(mask.shape),
        expected=(1, 8),
        hint="the mask needs one number for each position of the new sequence",
        mistakes={
            "the mask was left as it was: put P ones into it, where the patches stand": (1, 5),
            "the mask got as many ones as there are words: it needs as many as there are patches, P": (1, 10),
        },
    )
    yield Claim(
        "every patch is real, and the last word is still padding: 1 1 1 1 1 1 1 0",
        got=mask,
        expected=torch.tensor([[1, 1, 1, 1, 1, 1, 1, 0]]),
        hint="cut the mask where you cut the words, and put ones between",
        mistakes={
            "the patches are masked out: the model goes blind, and still answers": torch.tensor(
                [[1, 0, 0, 0, 1, 1, 1, 0]]
            ),
            "the ones belong where the patches stand; at the end they make padding real and a word of it": torch.tensor(
                [[1, 1, 1, 1, 0, 1, 1, 1]]
            ),
            "the padding became real: the mask is 0 where attention_mask was, only the patches' places are new": torch.ones(
                1, 8, dtype=torch.long
            ),
        },
    )
    two_tokens = torch.arange(12.0).reshape(2, 3, 2)
    two_patches = -torch.arange(1.0, 17.0).reshape(2, 4, 2)
    both, masks = insert_patches(two_tokens, two_patches, torch.tensor([[1, 1, 1], [1, 0, 1]]))
    firsts = torch.tensor([[0.0, -1, -3, -5, -7, 2, 4], [6, -9, -11, -13, -15, 8, 10]])
    yield Claim(
        "two rows: each has its own picture, and its own padding",
        got=(both[:, :, 0], masks),
        expected=(firsts, torch.tensor([[1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 0, 1]])),
        hint="the first dimension counts rows: cut and join along dim=1 only",
        mistakes={
            "each row has its own padding: the first row's mask stands in both": (
                firsts,
                torch.ones(2, 7, dtype=torch.long),
            ),
        },
    )
    yield Claim(
        "each patch and each word keeps all its numbers, in order",
        got=both,
        expected=torch.cat([two_tokens[:, :1], two_patches, two_tokens[:, 1:]], dim=1),
        hint="the last dimension is one word or one patch: nothing is cut, joined or added along it",
    )
    rng = torch.Generator().manual_seed(1)
    words = torch.randn(3, 2, 4, generator=rng, dtype=torch.bfloat16).requires_grad_()
    picture = torch.randn(3, 5, 4, generator=rng, dtype=torch.bfloat16).requires_grad_()
    sequence, _ = insert_patches(words, picture, torch.ones(3, 2, dtype=torch.int32))
    yield Claim(
        "embeddings in bfloat16 stay in bfloat16",
        got=str(sequence.dtype),
        expected="torch.bfloat16",
        hint="the sequence has the dtype of the embeddings: torch.cat keeps it, torch.zeros(…) alone is float32",
    )
    yield Claim(
        "three rows of two words and five patches, in bfloat16",
        got=sequence,
        expected=torch.cat([words[:, :1], picture, words[:, 1:]], dim=1),
        hint="lengths are those of what is given: L words, P patches",
    )
    yield Claim(
        "a loss on the sequence has gradients for the words and for the patches",
        got=_reached(sequence, words, picture),
        expected="for both",
        hint="part of the sequence is cut off from what made it (detach, .data, torch.no_grad, a new tensor of the numbers): no "
        "gradient goes back, so the projector could never learn",
    )
    _, left = insert_patches(
        two_tokens, two_patches[:, :2], torch.tensor([[0, 1, 1], [1, 1, 0]], dtype=torch.long)
    )
    yield Claim(
        "padding may stand at the left as well: 0 1 1 becomes 0 1 1 1 1, beside 1 1 0, which becomes 1 1 1 1 0",
        got=left,
        expected=torch.tensor([[0, 1, 1, 1, 1], [1, 1, 1, 1, 0]]),
        hint="each position keeps the mask that it had, also the first where it is padding, and every patch is real: the ones stand "
        "where the patches stand, after the first position",
        mistakes={
            "the ones stand at the front of the mask: the patches come after the first position, and it may be padding": torch.tensor(
                [[1, 1, 0, 1, 1], [1, 1, 1, 1, 0]]
            ),
            "the patches got the mask of the first position, which is padding here: every patch is real": torch.tensor(
                [[0, 0, 0, 1, 1], [1, 1, 1, 1, 0]]
            ),
            "the first position became real: where it is padding its mask stays 0": torch.tensor(
                [[1, 1, 1, 1, 1], [1, 1, 1, 1, 0]]
            ),
        },
    )


def _reached(sequence: torch.Tensor, words: torch.Tensor, patches: torch.Tensor) -> str:
    """Which of the two a loss on the sequence has gradients for."""
    if not sequence.requires_grad:
        return "for neither"
    weights = torch.arange(1.0, sequence.numel() + 1).reshape(sequence.shape).to(sequence.dtype)
    found = torch.autograd.grad((sequence * weights).sum(), (words, patches), allow_unused=True)
    to_words, to_patches = (gradient is not None and bool((gradient != 0).all()) for gradient in found)
    if to_words and to_patches:
        return "for both"
    return "for the words alone" if to_words else "for the patches alone" if to_patches else "for neither"


@lesson.exercise(
    "02.5",
    library="vla_course.action_tokens:next_action_token",
    minutes=10,
    difficulty=2,
    rules=Rules(returns=torch.zeros(1, dtype=torch.long)),
    hints=(
        "Look only at the columns of the action tokens. The place of the largest among them is counted from the first of them.",
        "The action tokens are the last 256 *words*; the last of them is the last word, and Llama's head has 64 columns more "
        "than words, for no word at all. `argmax(-1)` over that slice counts from where the slice begins.",
        "First line: `first = vocabulary_size - 256`. Then `first + logits[..., first:vocabulary_size].argmax(-1)`.",
    ),
    case=WorkedCase(
        call="next_action_token(torch.where(torch.arange(32064) == 2, 9., "
        "torch.where(torch.arange(32064) == 31800, 5., 0.))[None])",
        steps=(
            ("highest of all: id 2, the end of the text", "no action token"),
            ("highest of columns 31744 … 31999", "column 56 of these"),
            ("31744 + 56", "31800"),
        ),
        answer=torch.tensor([31800]),
    ),
)
def check_next_action_token(next_action_token: Callable[..., torch.Tensor]) -> Iterator[Claim]:
    """The end of the text likelier than any action, a padding column likelier, both ends, all actions unlikely, batches."""
    slope = -torch.arange(32064.0) * 1e-5
    ending = slope.clone()
    ending[2], ending[31800] = 9.0, 5.0
    yield Claim(
        "the end of the text (id 2) is likeliest, 31800 is the likeliest action: 31800",
        got=next_action_token(ending[None]),
        expected=torch.tensor([31800]),
        hint="the most likely id, with the largest logit, among columns 31744 to 31999, counted from column 0",
        mistakes={
            "that is the likeliest of all words, here the end of the text: look at the action tokens only": torch.tensor(
                [2]
            ),
            "the head has 64 columns that belong to no word: the last 256 columns are not the last 256 words": torch.tensor(
                [31808]
            ),
            "the likeliest of all words was moved to the nearest action token, or the last 256 columns were taken for the last 256 "
            "words (they begin at 31808): look at columns 31744 to 31999 only": torch.tensor([31744]),
            "argmax counts from where your slice begins: add 31744": torch.tensor([56]),
            "that is the least likely action: take the largest logit": torch.tensor([31999]),
        },
    )
    yield Claim(
        "nine rows with these logits have the same answer nine times",
        got=next_action_token(ending.expand(9, -1)),
        expected=torch.full((9,), 31800),
        hint="the same logits gave different ids: nothing is drawn at random here, the most likely token is taken (argmax)",
    )
    padding = slope.expand(3, -1).clone()
    padding[:, 32050] = 9.0
    padding[0, 31999], padding[1, 31744], padding[2, 31743] = 5.0, 5.0, 7.0
    padding[2, 31745] = 5.0
    yield Claim(
        "column 32050 is no word, however likely; 31999 is the last action token, 31744 the first, 31743 is none",
        got=next_action_token(padding),
        expected=torch.tensor([31999, 31744, 31745]),
        hint="the action tokens are the last 256 words: columns 31744 up to and with 31999, the end of the vocabulary",
        mistakes={
            "column 32050 belongs to no word: the slice must end at vocabulary_size": torch.full((3,), 32050),
            "one id for each row: here the first row's stands in all of them": torch.full((3,), 31999),
            "one id for each row: here the last row's stands in all of them": torch.full((3,), 31745),
            "the last id, 31999, is an action token too: a slice ends *before* its second number": torch.tensor(
                [31744, 31744, 31745]
            ),
            "there are 256 action tokens, and 31744 is the first: the lowest id was left out": torch.tensor(
                [31999, 31745, 31745]
            ),
            "31743 is a word: the 256 action tokens begin at 31744": torch.tensor([31999, 31744, 31743]),
        },
    )
    unlikely = -1.0 - 1e-4 * (torch.arange(32064.0) - 31900).abs()
    yield Claim(
        "every logit is negative: still an action, 31900",
        got=next_action_token(unlikely[None]),
        expected=torch.tensor([31900]),
        hint="take the other columns away altogether",
        mistakes={
            "multiplied by 0, the other columns become 0, and that is more than any negative logit: −∞ would do, a slice is simpler": (
                torch.tensor([0])
            ),
            "the sign of a logit counts: the most likely token has the largest logit, not the one farthest from 0": torch.tensor(
                [31744]
            ),
        },
    )
    far = torch.zeros(2, 32064)
    far[0, 31744:32000] = -200 - 0.01 * (torch.arange(256.0) - 156).abs()
    far[1, 31744:32000] = -30000 - 10 * (torch.arange(256.0) - 70).abs()
    yield Claim(
        "every action's logit lies at −200, or at −30000, all others at 0: still actions, 31900 and 31814",
        got=next_action_token(far),
        expected=torch.tensor([31900, 31814]),
        hint="compare the action tokens with each other, whatever the rest of the vocabulary says: what stands in the other columns "
        "instead of their logits must not beat −30000 either. A slice leaves them out",
        mistakes={
            "softmax over all words leaves exactly 0 for every action token here, so the first of them wins: compare the logits of "
            "the slice": torch.tensor([31744, 31744]),
        },
    )
    rows = torch.zeros(2, 1024)
    rows[0, 5], rows[0, 768], rows[1, 1000] = 3.0, 1.0, 1.0
    yield Claim(
        "two rows, 1024 words: 768 and 1000",
        got=next_action_token(rows, vocabulary_size=1024),
        expected=torch.tensor([768, 1000]),
        hint="one id for each row: argmax over the last dimension, and 256 before the end of *this* vocabulary",
    )
    # Different everywhere, also when rounded to bfloat16 near the top: one column of each row stands out.
    best = torch.tensor([[300, 513, 402], [555, 477, 350]])
    chunks = torch.randn(2, 3, 640, generator=torch.Generator().manual_seed(2))
    chunks.scatter_(-1, best[..., None], 20.0)
    chunks[..., 10], chunks[..., 620] = 40.0, 30.0
    yield Claim(
        "2 × 3 rows of logits in bfloat16, 556 words and 84 columns more: 2 × 3 ids",
        got=next_action_token(chunks.bfloat16(), vocabulary_size=556),
        expected=best,
        hint="words are the last dimension (−1), however many stand before it",
    )
