"""Checks of Day 04: what a data set's numbers look like, which frames are left out, what is cropped, and what is learned."""

from collections.abc import Callable, Iterator

import numpy as np
import torch

from vla_course.action_tokens import unnormalize_actions
from vla_course.checks.claims import Claim
from vla_course.checks.report import Lesson, WorkedCase

lesson = Lesson("day04")
show_case, borrow = lesson.show_case, lesson.borrow

LENGTHS = (3, 40, 7, 25, 12, 60, 5, 18, 9, 31)
"""Frames of ten episodes, no two alike."""
NAMES = (13, 17, 18, 22, 30, 31, 45, 50, 51, 90)
"""And their numbers: nobody says that episodes are counted from 0."""


@lesson.exercise(
    "04.1",
    library="vla_course.data.statistics:action_quantiles",
    minutes=8,
    difficulty=1,
    hints=(
        "Put all frames of all episodes into one long array first. Then ask each column for its quantiles.",
        "`np.concatenate` puts episodes one below the other; `np.quantile` takes a list of shares, and `axis=0` goes down the "
        "frames.",
        "First line: `frames = np.concatenate(episodes)`. Then `np.quantile(frames, [0.01, 0.99], axis=0)` has two rows.",
    ),
    case=WorkedCase(
        call="action_quantiles([np.arange(100.)[:, None], np.arange(100., 201.)[:, None]])",
        steps=(
            ("all frames in one", "0, 1, 2, … 200: 201 of them, 200 steps apart from first to last"),
            ("1 % of 200 steps", "place 2: the number 2"),
            ("99 % of 200 steps", "place 198: the number 198"),
        ),
        answer=(np.array([2.0]), np.array([198.0])),
    ),
)
def check_action_quantiles(action_quantiles: Callable[..., tuple[np.ndarray, np.ndarray]]) -> Iterator[Claim]:
    """A short and a long episode, two dimensions of different size, and one wild frame."""
    numbers = np.arange(201.0)
    frames = np.stack([numbers, 3 * numbers + 1], axis=1)
    short, long = frames[100:102], np.delete(frames, [100, 101], axis=0)
    found = action_quantiles([short, long])
    yield Claim(
        "two things come back: q01 and q99",
        got=isinstance(found, tuple | list | np.ndarray) and len(found) == 2,
        expected=True,
        hint="end with `return q01, q99`",
    )
    yield Claim(
        "each has one number for each of two dimensions",
        got=" and ".join(str(np.shape(part)) for part in found),
        expected="(2,) and (2,)",
        hint="one quantile for each column: np.quantile(frames, share, axis=0)",
        mistakes={
            "that is one quantile over all dimensions together: without axis=0 millimetres and degrees share one range": (
                "() and ()"
            ),
            "axis=1 goes along the dimensions of one frame; frames are counted by axis 0": "(201,) and (201,)",
        },
    )
    q01, q99 = np.asarray(found[0]), np.asarray(found[1])
    averaged = np.quantile(short, [0.01, 0.99], axis=0) + np.quantile(long, [0.01, 0.99], axis=0)
    yield Claim(
        "an episode of 2 frames and one of 199, together 0 … 200: (2, 7) and (198, 595)",
        got=(q01, q99),
        expected=(np.array([2.0, 7.0]), np.array([198.0, 595.0])),
        hint="np.quantile(all frames, [0.01, 0.99], axis=0)",
        mistakes={
            "that is the mean of each episode's quantiles: the episode of 2 frames counts as much as the one of 199. Put all "
            "frames together first": (averaged[0] / 2, averaged[1] / 2),
            "those are the smallest and the largest number: one wild frame would set the range for all": (
                np.array([0.0, 1.0]),
                np.array([200.0, 601.0]),
            ),
            "np.percentile counts from 0 to 100, np.quantile from 0 to 1: 0.01 is a hundredth of a percent here": (
                np.array([0.02, 1.06]),
                np.array([1.98, 6.94]),
            ),
            "the order is turned round: q01, the lower one, comes first": (
                np.array([198.0, 595.0]),
                np.array([2.0, 7.0]),
            ),
            "those are 5 % and 95 %: OpenVLA cuts 1 % on each side": (
                np.array([10.0, 31.0]),
                np.array([190.0, 571.0]),
            ),
        },
    )
    wild = frames.copy()
    wild[200] = 1e6
    q01, q99 = action_quantiles([wild[:50], wild[50:]])
    yield Claim(
        "the last frame says a million: the quantiles stay where they were",
        got=(np.asarray(q01), np.asarray(q99)),
        expected=(np.array([2.0, 7.0]), np.array([198.0, 595.0])),
        hint="a quantile is a place in the order: it does not ask how far away the wild frame is (mean and std do)",
    )


@lesson.exercise(
    "04.2",
    library="vla_course.action_tokens:normalize_actions",
    minutes=10,
    difficulty=2,
    hints=(
        "The straight line of 02.3, walked backwards: q01 to −1, q99 to 1. Then think of what may go wrong: a number outside, and a "
        "range of no width.",
        "`2 * (actions - q01) / (q99 - q01) - 1` where there is a width; 0 where there is none; the number itself outside the "
        "mask; and all of it through `np.clip`. `np.where` chooses twice.",
        "First line: `still = q99 - q01 < 1e-6`. Divide by `np.where(still, 1, q99 - q01)`, so that nothing is divided by 0.",
    ),
    case=WorkedCase(
        call="normalize_actions(np.array([.025, .09, 3., .7]), np.array([-.02, -.01, 3., 0]), "
        "np.array([.04, .03, 3., 1]), np.array([True, True, True, False]))",
        steps=(
            ("(.025 + .02) of a width of .06", ".75 of the way: 2 × .75 − 1 = .5"),
            (".09 lies beyond .03", "4, cut to 1"),
            ("q01 is q99: it never changed", "0"),
            ("outside the mask", ".7 stays .7"),
        ),
        answer=np.array([0.5, 1.0, 0.0, 0.7]),
    ),
)
def check_normalize_actions(normalize_actions: Callable[..., np.ndarray]) -> Iterator[Claim]:
    """One action by hand in which everything happens at once; then the way there and back, and what is outside the mask."""
    q01, q99 = np.array([-1.0, 0.0, 0.05, 0.0]), np.array([1.0, 5.0, 0.05, 1.0])
    mask = np.array([True, True, True, False])
    with np.errstate(divide="ignore", invalid="ignore"):
        found = normalize_actions(np.array([0.0, 10.0, 0.05, 0.7]), q01, q99, mask)
        lower = normalize_actions(np.array([-0.5, -10.0, 0.05, 0.2]), q01, q99, mask)
    yield Claim(
        "0 of −1 … 1, 10 of 0 … 5, one that never changes, and a grip of .7 become 0, 1, 0 and .7",
        got=found,
        expected=np.array([0.0, 1.0, 0.0, 0.7]),
        hint="q01 becomes −1, q99 becomes 1, on a straight line; then cut to [-1, 1]; outside the mask nothing is scaled",
        mistakes={
            "10 lies far outside the range: cut the result to [-1, 1], or one frame in a hundred says what no token can": np.array(
                [0.0, 3.0, 0.0, 0.7]
            ),
            "a dimension that never changes became −1, the most extreme token there is: make it 0, the middle": np.array(
                [0.0, 1.0, -1.0, 0.7]
            ),
            "0 / 0 is no number: where q99 equals q01, make the result 0": np.array([0.0, 1.0, np.nan, 0.7]),
            "the last dimension is outside the mask: it is not scaled": np.array([0.0, 1.0, 0.0, 0.4]),
            "that is [0, 1]; actions live in [-1, 1]: twice that, minus 1": np.array([0.5, 1.0, 0.0, 0.7]),
            "the mask is turned round: True means that the dimension is scaled": np.array(
                [0.0, 1.0, 0.05, 0.4]
            ),
            "that is 02.3, from [-1, 1] to the data set's units: here you go the other way": np.array(
                [0.0, 27.5, 0.05, 0.7]
            ),
        },
    )
    yield Claim(
        "−.5, −10, the same constant and .2 become −.5, −1, 0 and .2: cut below as above",
        got=lower,
        expected=np.array([-0.5, -1.0, 0.0, 0.2]),
        hint="np.clip(…, -1, 1) has two ends",
    )
    low, high, grip = (
        np.array([-0.02, -0.01, 0.0]),
        np.array([0.04, 0.03, 1.0]),
        np.array([True, True, False]),
    )
    rows = np.array([[0.025, 0.0, 0.3], [-0.01, 0.02, 0.9]])
    yield Claim(
        "two actions at once, in a range that is not symmetric: (.5, −.5, .3) and (−2/3, .5, .9)",
        got=normalize_actions(rows, low, high, grip),
        expected=np.array([[0.5, -0.5, 0.3], [-2 / 3, 0.5, 0.9]]),
        hint="subtract q01 first, then divide by the width q99 - q01: the middle of the range becomes 0",
    )
    yield Claim(
        "your 02.3 leads back to where they came from",
        got=unnormalize_actions(normalize_actions(rows, low, high, grip), low, high, grip),
        expected=rows,
        hint="between the quantiles nothing may get lost",
    )
    yield Claim(
        "outside the mask, too, nothing leaves [-1, 1]: 1.2 becomes 1",
        got=normalize_actions(np.array([0.01, 0.01, 1.2]), low, high, grip),
        expected=np.array([0.0, 0.0, 1.0]),
        hint="cut last, and everything: the tokens end at ±1 for a grip as well",
    )


@lesson.exercise(
    "04.3",
    library="vla_course.data.splits:split_by_episode",
    minutes=8,
    difficulty=1,
    hints=(
        "Draw lots among episodes, not among frames. Then every frame asks: is my episode one of those that were drawn?",
        "`np.unique` names the episodes, `np.random.default_rng(seed).choice(…, replace=False)` draws some, `np.isin` asks. "
        "How many: the share of episodes, rounded, but at least one where a share is wanted.",
        "First line: `episodes = np.unique(episode_index)`. The number: `max(round(validation_share * len(episodes)), 1)`, or 0 "
        "for a share of 0.",
    ),
    case=WorkedCase(
        call="sum(split_by_episode(np.repeat([0, 1, 2, 3], [5, 5, 5, 5]), .25, seed=1))",
        steps=(
            ("episodes", "0, 1, 2, 3"),
            (".25 of 4", "1 episode, whichever the seed draws"),
            ("its frames", "5, all of them"),
        ),
        answer=5,
    ),
)
def check_split_by_episode(split_by_episode: Callable[..., np.ndarray]) -> Iterator[Claim]:
    """Ten episodes of very different length; many seeds; shares that are no whole number of episodes."""
    index = np.repeat(NAMES, LENGTHS)
    chosen = np.asarray(split_by_episode(index, 0.2, 0))
    yield Claim(
        f"one answer, True or False, for each of {len(index)} frames",
        got=(chosen.shape, chosen.dtype == bool),
        expected=((len(index),), True),
        hint="return a mask as long as episode_index: np.isin(episode_index, chosen)",
        mistakes={
            "those are the numbers of the chosen episodes; every frame wants an answer: np.isin(episode_index, chosen)": (
                (2,),
                False,
            ),
        },
    )
    yield Claim(
        "no episode is on both sides",
        got=_cut(index, chosen),
        expected=0,
        hint="frames were drawn one by one: the neighbours of a validation frame, a fifth of a second away, are trained on. Draw "
        "episodes",
        mistakes={
            "the border falls into an episode: its beginning is trained on, its end is asked about. Draw whole episodes": 1
        },
    )
    yield Claim(
        "a share of .2 of 10 episodes is 2 of them, however long they are; with each of five seeds",
        got=[len(np.unique(index[split_by_episode(index, 0.2, seed)])) for seed in range(5)],
        expected=[2] * 5,
        hint="count episodes, not frames: round(.2 × 10)",
        mistakes={
            "turned round: True is for validation, and 8 of 10 episodes are trained on": [8] * 5,
            "you assumed that episodes are counted from 0; np.unique(episode_index) says what they are called": [
                0
            ]
            * 5,
        },
    )
    yield Claim(
        "the same seed chooses the same ones",
        got=all(
            np.array_equal(split_by_episode(index, 0.2, seed), split_by_episode(index, 0.2, seed))
            for seed in range(5)
        ),
        expected=True,
        hint="draw with np.random.default_rng(seed), made anew in each call",
    )
    drawn = [np.unique(index[split_by_episode(index, 0.2, seed)]).tolist() for seed in range(40)]
    yield Claim(
        "another seed chooses others: within 40 seeds, every one of the 10 episodes is drawn",
        got=len({name for names in drawn for name in names}),
        expected=10,
        hint="every episode must have its chance",
        mistakes={
            "always the same two: the seed is not used. Recordings are often in an order (easy ones first, another day's light "
            "last), so the last ones are no fair sample": 2,
        },
    )
    yield Claim(
        "a share of .01 is still one episode, and a share of 0 is none",
        got=[len(np.unique(index[split_by_episode(index, share, 0)])) for share in (0.01, 0.0)],
        expected=[1, 0],
        hint="round, then at least 1, but only where the share is above 0",
        mistakes={
            "a small share was rounded to nothing: where validation is wanted, there must be something to validate on": [
                0,
                0,
            ],
            "a share of 0 asks for no validation at all": [1, 1],
        },
    )


def _cut(index: np.ndarray, chosen: np.ndarray) -> int:
    """How many episodes have frames on both sides."""
    return len(set(index[chosen].tolist()) & set(index[~chosen].tolist()))


@lesson.exercise(
    "04.4",
    library="vla_course.data.augmentation:center_crop_box",
    minutes=6,
    difficulty=1,
    hints=(
        "90 % of the *area* is not 90 % of the side: what number, times itself, is .9?",
        "Both sides times the square root of the area, rounded down; what is left is shared between the two edges.",
        "First line: `side = math.sqrt(area)`. Then `rows = int(height * side)`, and the margin above is `(height - rows) // 2`.",
    ),
    case=WorkedCase(
        call="center_crop_box(84, 84)",
        steps=(
            ("√.9", ".9487"),
            ("84 × .9487", "79.7, rounded down 79"),
            ("84 − 79 = 5 left, half of it rounded down", "2"),
        ),
        answer=(2, 2, 79, 79),
    ),
)
def check_center_crop_box(center_crop_box: Callable[..., tuple[int, int, int, int]]) -> Iterator[Claim]:
    """A square, a picture that is wider than high, and other shares."""
    yield Claim(
        "of 224 × 224, 90 % of the area: top 6, left 6, height 212, width 212",
        got=tuple(center_crop_box(224, 224)),
        expected=(6, 6, 212, 212),
        hint="both sides times √.9, rounded down; the margins are half of what is left",
        mistakes={
            "90 % of the side is 81 % of the area: what was zoomed by 5 % in training is zoomed by 11 % now. Take the square "
            "root of the area": (11, 11, 201, 201),
            "that is the upper left corner: half of what is left belongs above, half below": (0, 0, 212, 212),
            "the last two numbers are height and width, not the lower right corner": (6, 6, 218, 218),
            "sides are rounded down: int(…)": (5, 5, 213, 213),
            "that is everything that is left; the margin above is half of it": (12, 12, 212, 212),
        },
    )
    yield Claim(
        "of 480 × 640: top 12, left 16, height 455, width 607",
        got=tuple(center_crop_box(480, 640)),
        expected=(12, 16, 455, 607),
        hint="each side by itself: the crop has the picture's shape",
        mistakes={
            "height and width are swapped; on a square nobody would ever notice": (16, 12, 607, 455),
            "a square of the smaller side: the crop has the picture's own shape": (12, 92, 455, 455),
        },
    )
    yield Claim(
        "a quarter of the area is half of each side: (21, 10, 42, 20) of 84 × 40",
        got=tuple(center_crop_box(84, 40, 0.25)),
        expected=(21, 10, 42, 20),
        hint="the share is a parameter: √area, not √.9",
    )
    yield Claim(
        "all of the area is the whole picture",
        got=tuple(center_crop_box(84, 40, 1.0)),
        expected=(0, 0, 84, 40),
        hint="with a share of 1 nothing is cut away",
    )
    yield Claim(
        "pixels are whole numbers",
        got=all(isinstance(number, int | np.integer) for number in center_crop_box(85, 43)),
        expected=True,
        hint="int(…) for sides and // for margins: an array cannot be cut at half a pixel",
    )


@lesson.exercise(
    "04.5",
    library="vla_course.data.token_rows:build_labels",
    minutes=10,
    difficulty=2,
    hints=(
        "Labels are a copy of the ids in which everything that is not to be learned is crossed out with −100.",
        "Crossed out: the first `prompt_length` places, and the padding. What is left is the action and the `</s>`. Nothing moves: the "
        "model shifts by itself.",
        "First line: `labels = input_ids.clone()`. Then two assignments of −100; a mask like `input_ids == pad_id` may stand in "
        "brackets.",
    ),
    case=WorkedCase(
        call="build_labels(torch.tensor([1, 50, 60, 29871, 31800, 31900, 2, 32000]), 4, 32000)",
        steps=(
            ("the prompt: start, two words, the empty token", "−100 four times"),
            ("the action", "31800, 31900"),
            ("`</s>`: the action ends here", "2"),
            ("padding", "−100"),
        ),
        answer=torch.tensor([-100, -100, -100, -100, 31800, 31900, 2, -100]),
    ),
)
def check_build_labels(build_labels: Callable[..., torch.Tensor]) -> Iterator[Claim]:
    """One row with padding; a prompt in which action tokens tell the state; a row without padding; the ids stay as they are."""
    row = [1, 50, 60, 29871, 31800, 31900, 2, 32000, 32000]
    ids = torch.tensor(row)
    labels = build_labels(ids, 4, 32000)
    learned = torch.tensor([-100, -100, -100, -100, 31800, 31900, 2, -100, -100])
    yield Claim(
        "prompt 1 50 60 29871, action 31800 31900, </s>, two pads: only 31800, 31900 and 2 are learned",
        got=labels,
        expected=learned,
        hint="-100 in the first prompt_length places and wherever pad_id stands, the ids themselves elsewhere",
        mistakes={
            "the prompt is learned too: the loss looks wonderful, because guessing “In: What action should the robot …” is easy": (
                torch.tensor([*row[:7], -100, -100])
            ),
            "the 2, </s>, is learned as well: who never learned to stop does not stop": torch.tensor(
                [-100, -100, -100, -100, 31800, 31900, -100, -100, -100]
            ),
            "the padding keeps its id: most of what is learned would be to say nothing, over and over": torch.tensor(
                [-100, -100, -100, -100, 31800, 31900, 2, 32000, 32000]
            ),
            "you shift, and the model shifts too: it would learn to see two words ahead": torch.tensor(
                [-100, -100, -100, 31800, 31900, 2, -100, -100, -100]
            ),
            "0 is a word like any other; what is not learned is marked with -100": torch.where(
                learned == -100, 0, learned
            ),
            "the first action token is not learned: the prompt has prompt_length places, 0 to prompt_length - 1": torch.tensor(
                [-100, -100, -100, -100, -100, 31900, 2, -100, -100]
            ),
            "the empty token 29871 belongs to the prompt: it is given, not learned": torch.tensor(
                [-100, -100, -100, 29871, 31800, 31900, 2, -100, -100]
            ),
        },
    )
    yield Claim(
        "the ids are as they were: the model still has to read them",
        got=ids,
        expected=torch.tensor(row),
        hint="you wrote into input_ids itself: make a copy first, input_ids.clone()",
    )
    yield Claim(
        "state tokens 31850 31990 in the prompt are told, not learned",
        got=build_labels(torch.tensor([1, 50, 31850, 31990, 29871, 31800, 2]), 5, 32000),
        expected=torch.tensor([-100, -100, -100, -100, -100, 31800, 2]),
        hint="a place in the row decides, not the kind of token: the robot's state is told in action tokens, too",
    )
    yield Claim(
        "a row without padding, another vocabulary: 3 of 7 are learned",
        got=build_labels(torch.tensor([1, 70, 71, 3, 900, 901, 2]), 4, 0),
        expected=torch.tensor([-100, -100, -100, -100, 900, 901, 2]),
        hint="use prompt_length and pad_id as they are given: 4 and 32000 were only this example's",
    )
