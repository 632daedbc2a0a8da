"""Checks of Day 02: numbers as tokens and back, the picture's place among the words, and the choice of the next token."""

from collections.abc import Callable, Iterator

import numpy as np
import torch

from vla_course.action_tokens import CENTRES, EDGES, tokenize_actions
from vla_course.checks.claims import Claim
from vla_course.checks.report import Lesson, WorkedCase

lesson = Lesson("day02")
show_case, borrow = lesson.show_case, lesson.borrow


@lesson.exercise(
    "02.1",
    library="vla_course.action_tokens:tokenize_actions",
    minutes=10,
    difficulty=1,
    hints=(
        "Which of the 255 bins does the number fall into? Count the edges at or below it. Then count that many ids down "
        "from the end of the vocabulary.",
        "`np.clip` to [-1, 1], then `np.digitize(numbers, EDGES)` says how many edges are at or below each number: 1 for "
        "−1, 256 for 1. The id is the vocabulary's size minus that.",
        "First line: `bins = np.digitize(np.clip(actions, -1, 1), EDGES)`.",
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
    """Both ends and the middle, numbers outside, three in between, another vocabulary."""
    shifted = "−1 is the last id, 31999: count down from vocabulary_size, not from one less. The id 31743 is no action token"
    yield Claim(
        "−1, 0 and 1 become 31999, 31872 and 31744",
        got=tokenize_actions(np.array([-1.0, 0.0, 1.0])),
        expected=np.array([31999, 31872, 31744]),
        hint="vocabulary_size minus the number of EDGES at or below each number",
        mistakes={
            "the direction is turned round: −1 is the last id of the vocabulary, and larger numbers count down": np.array(
                [31744, 31871, 31999]
            ),
            "these are 256 bins; the 256 EDGES make 255: count the edges at or below the number": np.array(
                [31999, 31871, 31744]
            ),
            shifted: np.array([31998, 31871, 31743]),
        },
    )
    yield Claim(
        "numbers outside count as the nearest end: −2 and 1.5 become 31999 and 31744",
        got=tokenize_actions(np.array([-2.0, 1.5])),
        expected=np.array([31999, 31744]),
        hint="cut the numbers to [-1, 1] first",
        mistakes={
            "cut the numbers to [-1, 1] first: 32000 is the padding id, it is no action": np.array(
                [32000, 31744]
            ),
        },
    )
    between = np.array([0.1, 0.3, 0.5])
    yield Claim(
        ".1, .3 and .5 become 31859, 31834 and 31808",
        got=tokenize_actions(between),
        expected=np.array([31859, 31834, 31808]),
        hint="a number belongs to the edge at or below it, not to the nearest one: np.digitize(numbers, EDGES)",
    )
    rows = np.array([[-1.0, 0.0], [0.5, 1.0], [0.1, -0.5]])
    yield Claim(
        "with 1024 words the last 256 are the action tokens: three rows of two, 1023 down to 768",
        got=tokenize_actions(rows, vocabulary_size=1024),
        expected=np.array([[1023, 896], [832, 768], [883, 960]]),
        hint="count down from vocabulary_size; 32000 is only Llama's",
    )
    yield Claim(
        "ids are whole numbers",
        got=bool(np.issubdtype(np.asarray(tokenize_actions(between)).dtype, np.integer)),
        expected=True,
        hint="np.digitize returns whole numbers: what you do with them afterwards should keep them so",
    )


@lesson.exercise(
    "02.2",
    library="vla_course.action_tokens:detokenize_actions",
    minutes=10,
    difficulty=1,
    hints=(
        "Undo the counting: from the id to the number of the bin, from the bin to the middle of it.",
        "`vocabulary_size - id` says how many edges were at or below the number; the first bin, number 0, lies after one "
        "edge. `CENTRES` has 255 entries, 0 to 254, and the lowest id asks for number 255.",
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
    """One end and the middle, the two ids that mean the same, the law of the way there and back, another vocabulary."""
    yield Claim(
        "31999 and 31872 are the centres −254/255 and 0",
        got=_nan_where_out_of_range(detokenize_actions, np.array([31999, 31872])),
        expected=np.array([-254 / 255, 0.0]),
        hint="CENTRES[32000 - id - 1]",
        mistakes={
            "that is the bin's left edge: take the middle of the bin": EDGES[[0, 127]],
            "that is the bin's right edge: take the middle of the bin": EDGES[[1, 128]],
            "one bin too high: after one edge comes bin 0, so subtract 1 more": CENTRES[[1, 128]],
            "the direction is turned round: the last id is −1's": np.array([254 / 255, 0.0]),
        },
    )
    behind = (
        "id 31744 asks for bin 255, and the last of the 255 bins is 254: cut the number of the bin to 0 … 254"
    )
    yield Claim(
        "31745 and 31744 mean the same: the highest centre, 254/255",
        got=_nan_where_out_of_range(detokenize_actions, np.array([31745, 31744])),
        expected=np.array([254 / 255, 254 / 255]),
        hint="256 ids, 255 centres: the two lowest ids share one",
        mistakes={
            behind: np.full(2, np.nan),
            "a negative index counts from the other end: 1 became −1. Cut the number of the bin to 0 … 254": np.array(
                [254 / 255, -254 / 255]
            ),
        },
    )
    numbers = np.linspace(-1, 1, 2002).reshape(2, -1)
    back = np.abs(_nan_where_out_of_range(detokenize_actions, tokenize_actions(numbers)) - numbers)
    yield Claim(
        "there and back, no number moves by more than half a bin, 1/255",
        got=bool(back.max() <= 1 / 255 + 1e-9),
        expected=True,
        hint="each id must come back as the centre of its own bin",
    )
    yield Claim(
        "with 1024 words 1023, 896 and 769 are −254/255, 0 and 254/255",
        got=_nan_where_out_of_range(detokenize_actions, np.array([1023, 896, 769]), vocabulary_size=1024),
        expected=np.array([-254 / 255, 0.0, 254 / 255]),
        hint="count from vocabulary_size; 32000 is only Llama's",
    )


def _nan_where_out_of_range(
    function: Callable[..., np.ndarray], token_ids: np.ndarray, **options: int
) -> np.ndarray:
    """What the function gives, or NaN where it reaches behind the last centre: that is a mistake with a hint of its own."""
    try:
        return function(token_ids, **options)
    except IndexError:
        return np.full(token_ids.shape, np.nan)


@lesson.exercise(
    "02.3",
    library="vla_course.action_tokens:unnormalize_actions",
    minutes=10,
    difficulty=1,
    hints=(
        "A straight line through two points: −1 stands for q01, 1 for q99. The gripper was never normalised, so it stays.",
        "From [−1, 1] to [0, 1], times the distance from q01 to q99, plus q01. `np.where(mask, …, …)` chooses, dimension by "
        "dimension.",
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
    """One action by hand with a range that is not symmetric; then two at once and another mask."""
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
            "the last dimension is outside the mask: it stays as it is": np.array([-0.02, 0.01, 0.1, 0.85]),
            "that is symmetric about 0; the range from q01 to q99 is not": np.array([-0.04, 0.0, 0.1, 0.7]),
            "the mask is turned round: True means that the dimension was normalised": np.array(
                [-1.0, 0.0, 1.0, 0.85]
            ),
            "the range begins at q01: add it": np.array([0.0, 0.02, 0.1, 0.7]),
        },
    )
    yield Claim(
        "two actions at once, the first dimension outside the mask",
        got=unnormalize_actions(
            np.array([[0.3, 1.0, -1.0], [-0.6, 0.0, 0.5]]), q01[:3], q99[:3], np.array([False, True, True])
        ),
        expected=np.array([[0.3, 0.03, 0.0], [-0.6, 0.01, 0.075]]),
        hint="the mask says which dimensions, it is not always the last one; np.where(mask, scaled, actions)",
    )


@lesson.exercise(
    "02.4",
    library="vla_course.openvla.model:insert_patches",
    minutes=15,
    difficulty=2,
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
    """Five words and three patches, their mask, and two rows with pictures of their own."""
    tokens = torch.arange(1.0, 6.0).reshape(1, 5, 1)
    patches = -torch.arange(1.0, 4.0).reshape(1, 3, 1)
    found = insert_patches(tokens, patches, torch.tensor([[1, 1, 1, 1, 0]]))
    yield Claim(
        "two things come back: the sequence, and its mask",
        got=isinstance(found, tuple) and len(found) == 2,
        expected=True,
        hint="end with `return embeddings, mask`",
    )
    embeddings, mask = found
    yield Claim(
        "words 1 2 3 4 5 and patches −1 −2 −3 become 1 −1 −2 −3 2 3 4 5",
        got=embeddings,
        expected=torch.tensor([[[1.0], [-1], [-2], [-3], [2], [3], [4], [5]]]),
        hint="start token, image, text: cut the words after the first one and join along dim=1",
        mistakes={
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
        mistakes={"the mask was left as it was: put P ones into it, where the patches stand": (1, 5)},
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
        },
    )
    two_tokens = torch.arange(12.0).reshape(2, 3, 2)
    two_patches = -torch.arange(1.0, 9.0).reshape(2, 2, 2)
    both, masks = insert_patches(two_tokens, two_patches, torch.tensor([[1, 1, 1], [1, 0, 1]]))
    yield Claim(
        "two rows: each has its own picture, and its own padding",
        got=(both[:, :, 0], masks),
        expected=(
            torch.tensor([[0.0, -1, -3, 2, 4], [6, -5, -7, 8, 10]]),
            torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 1]]),
        ),
        hint="the first dimension counts rows: cut and join along dim=1 only",
    )


@lesson.exercise(
    "02.5",
    library="vla_course.action_tokens:next_action_token",
    minutes=10,
    difficulty=2,
    hints=(
        "Look only at the columns of the action tokens. The place of the largest among them is counted from the first of them.",
        "The action tokens are the last 256 *words*: columns vocabulary_size − 256 up to vocabulary_size. Llama's head has 64 "
        "columns more than words, for no word at all. `argmax(-1)` over the slice, plus where the slice begins.",
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
    """The end of the text likelier than any action, a padding column likelier, all actions unlikely, rows of a batch."""
    slope = -torch.arange(32064.0) * 1e-5
    ending = slope.clone()
    ending[2], ending[31800] = 9.0, 5.0
    yield Claim(
        "the end of the text (id 2) is likeliest, 31800 is the likeliest action: 31800",
        got=next_action_token(ending[None]),
        expected=torch.tensor([31800]),
        hint="the largest among columns 31744 to 31999, counted from column 0",
        mistakes={
            "that is the likeliest of all words, here the end of the text: look at the action tokens only": torch.tensor(
                [2]
            ),
            "the head has 64 columns that belong to no word: the last 256 columns are not the last 256 words": torch.tensor(
                [31808]
            ),
            "the head has 64 columns that belong to no word, so the last 256 columns begin at 31808, not at 31744": (
                torch.tensor([31744])
            ),
            "argmax counts from where your slice begins: add 31744": torch.tensor([56]),
        },
    )
    padding = slope.clone()
    padding[32050], padding[31999] = 9.0, 5.0
    yield Claim(
        "column 32050 is no word, however likely; 31999 is the last action token",
        got=next_action_token(padding[None]),
        expected=torch.tensor([31999]),
        hint="the slice ends with the vocabulary: columns 31744 up to and with 31999",
        mistakes={
            "column 32050 belongs to no word: the slice must end at vocabulary_size": torch.tensor([32050]),
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
