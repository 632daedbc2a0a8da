"""Checks of Day 04: what a data set's numbers look like, which frames are left out, what is cropped, and what is learned."""

from collections.abc import Callable, Iterator
from statistics import NormalDist
from typing import Any

import numpy as np
import torch

from vla_course.action_tokens import unnormalize_actions
from vla_course.checks.calls import Rules, last_call
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
    """A short and a long episode, two dimensions of different size; one wild frame; three episodes of random numbers."""
    numbers = np.arange(201.0)
    frames = np.stack([numbers, 3 * numbers + 1], axis=1)
    short, long = frames[100:102], np.delete(frames, [100, 101], axis=0)
    found: Any = action_quantiles([short, long])
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
        hint="one quantile for each column: along which axis do the frames follow each other?",
        mistakes={
            "that is one quantile over all dimensions together: without axis=0 millimetres and degrees share one range": (
                "() and ()"
            ),
            "axis=1 goes along the dimensions of one frame; frames are counted by axis 0": "(201,) and (201,)",
        },
    )
    each = np.array([np.quantile(episode, [0.01, 0.99], axis=0) for episode in (short, long)])
    cut = np.concatenate([short, long[:2]])
    filled = np.concatenate([frames, np.zeros((197, 2))])
    moving = np.where(frames == 0, np.nan, frames)
    spread = frames.std(0)
    bell = {
        f"mean ± {factor:.8g} standard deviations are quantiles only where numbers are normally distributed: np.quantile asks "
        "the numbers themselves": (frames.mean(0) - factor * spread, frames.mean(0) + factor * spread)
        for factor in (1.96, 2, 2.326, 2.3263, NormalDist().inv_cdf(0.99), 2.33, 2.576, 3)
    }
    yield Claim(
        "an episode of 2 frames and one of 199, together 0 … 200: (2, 7) and (198, 595)",
        got=tuple(found),
        expected=(np.array([2.0, 7.0]), np.array([198.0, 595.0])),
        hint="put the frames of all episodes together, all of them, and take from each column the number that 1 % and the number that "
        '99 % lie below. checks.show_case("04.1") works out one column',
        mistakes={
            "that is the mean of each episode's quantiles: the episode of 2 frames counts as much as the one of 199. Put all "
            "frames together first": (each[:, 0].mean(0), each[:, 1].mean(0)),
            "those are the smallest q01 and the largest q99 of the episodes, or those of the long one alone: put all frames together "
            "first": (
                each[:, 0].min(0),
                each[:, 1].max(0),
            ),
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
            "those are 0.5 % and 99.5 %: it is 1 % on each side, not in all": (
                np.array([1.0, 4.0]),
                np.array([199.0, 598.0]),
            ),
            "that range is symmetric about 0: q01 is a quantile of the numbers with their signs, not −q99": (
                np.array([-198.0, -595.0]),
                np.array([198.0, 595.0]),
            ),
            "every episode was cut to the length of the shortest, so most frames are missing: np.concatenate joins episodes of any "
            "length": tuple(np.quantile(cut, [0.01, 0.99], axis=0)),
            "the short episode was filled up with zeros, which nobody recorded: np.concatenate joins episodes of any length": tuple(
                np.quantile(filled, [0.01, 0.99], axis=0)
            ),
            "that is the first episode alone: put all frames of all episodes together": tuple(
                np.quantile(short, [0.01, 0.99], axis=0)
            ),
            "numbers that are 0 were left out: a hand at rest is a frame as well, so all frames count": tuple(
                np.nanquantile(moving, [0.01, 0.99], axis=0)
            ),
            **bell,
        },
        tolerance=1e-6,
    )
    wild = frames.copy()
    wild[200] = 1e6
    yield Claim(
        "the last frame says a million: the quantiles stay where they were",
        got=tuple(action_quantiles([wild[:50], wild[50:]])),
        expected=(np.array([2.0, 7.0]), np.array([198.0, 595.0])),
        hint="a quantile is a place in the order: it does not ask how far away the wild frame is (mean and std do)",
        tolerance=1e-6,
    )
    # 301 frames: 1 % and 99 % fall on a frame, so that no way of interpolating differs. The columns run against each other.
    rng = np.random.default_rng(4)
    rising = np.sort(rng.normal(-3, 2, 301))
    columns = np.stack(
        [rising, -10 * rising, np.maximum(rng.normal(0, 1, 301), 0), np.full(301, -0.25)], axis=1
    )
    ordered = np.sort(columns, axis=0)
    episodes = [part.astype(np.float32) for part in np.split(columns, [113, 114])]
    yield Claim(
        "three episodes of 113, 1 and 187 frames in float32, four dimensions: while the first rises the second falls",
        got=tuple(action_quantiles(episodes)),
        expected=(ordered[3], ordered[297]),
        hint="all frames of *all* episodes, also where numbers repeat; each column in an order of its own, with its signs; and nothing is "
        "rounded",
        mistakes={
            "only the first two episodes were counted: take all frames of all of them": tuple(
                np.quantile(columns[:114], [0.01, 0.99], axis=0)
            ),
            "all columns were put into the order of the first one: each has an order of its own": (
                columns[3],
                columns[297],
            ),
            "the signs are lost: q01 and q99 are quantiles of the numbers, not of their sizes": tuple(
                np.quantile(np.abs(columns), [0.01, 0.99], axis=0)
            ),
        },
    )


@lesson.exercise(
    "04.2",
    library="vla_course.action_tokens:normalize_actions",
    minutes=10,
    difficulty=2,
    rules=Rules(returns=np.array([0.0])),
    hints=(
        "The straight line of 02.3, walked backwards: q01 to −1, q99 to 1. Then think of what may go wrong: a number outside, and a "
        "range of no width.",
        "Three things in this order: the line where there is a width, and 0 where there is none; the number itself outside the "
        "mask; and all of it through `np.clip`. `np.where` chooses twice.",
        "First line: `still = q99 - q01 < 1e-6`. The line is `2 * (actions - q01) / (q99 - q01) - 1`; divide by "
        "`np.where(still, 1, q99 - q01)`, so that nothing is divided by 0.",
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
    """One action by hand in which everything happens at once; the way there and back; still dimensions; the mask; three axes."""
    q01, q99 = np.array([-1.0, 0.0, 0.05, 0.0]), np.array([1.0, 5.0, 0.05, 1.0])
    mask = np.array([True, True, True, False])
    with np.errstate(divide="ignore", invalid="ignore"):
        found = normalize_actions(np.array([0.0, 10.0, 0.05, 0.7]), q01, q99, mask)
        lower = normalize_actions(np.array([-0.5, -10.0, 0.05, 0.2]), q01, q99, mask)
        odd = normalize_actions(np.array([[0.0, 5.0, 0.3, 0.7], [0.0, 5.0, -2.0, 0.7]]), q01, q99, mask)
        grip_still = normalize_actions(
            np.array([0.4, 0.5, 0.6]), np.full(3, 0.5), np.full(3, 0.5), np.array([False, True, False])
        )
    yield Claim(
        "0 of −1 … 1, 10 of 0 … 5, one that never changes, and a grip of .7 become 0, 1, 0 and .7",
        got=found,
        expected=np.array([0.0, 1.0, 0.0, 0.7]),
        hint="q01 becomes −1, q99 becomes 1, on a straight line; then cut to [-1, 1]; outside the mask nothing is scaled",
        mistakes={
            "10 lies far outside the range: cut the result to [-1, 1], or one frame in a hundred says what no token can": np.array(
                [0.0, 3.0, 0.0, 0.7]
            ),
            "10 was cut before it was scaled: stretch the range first, then cut": np.array(
                [0.0, -0.6, 0.0, 0.7]
            ),
            "a dimension that never changes became −1, the most extreme token there is: make it 0, the middle": np.array(
                [0.0, 1.0, -1.0, 0.7]
            ),
            "a dimension that never changes is not left as it is: make it 0, the middle": np.array(
                [0.0, 1.0, 0.05, 0.7]
            ),
            "0 / 0 is no number: where q99 equals q01, make the result 0": np.array([0.0, 1.0, np.nan, 0.7]),
            "the last dimension is outside the mask: it is not scaled": np.array([0.0, 1.0, 0.0, 0.4]),
            "the last dimension is outside the mask: it keeps its number, and here it is lost": np.array(
                [0.0, 1.0, 0.0, 0.0]
            ),
            "that is [0, 1]; actions live in [-1, 1]: twice that, minus 1": np.array([0.5, 1.0, 0.0, 0.7]),
            "the sign is turned round: q01, the lower one, becomes −1": np.array([0.0, -1.0, 0.0, 0.7]),
            "the mask is turned round: True means that the dimension is scaled": np.array(
                [0.0, 1.0, 0.05, 0.4]
            ),
            "that is 02.3, from [-1, 1] to the data set's units: here you go the other way": np.array(
                [0.0, 27.5, 0.05, 0.7]
            ),
        },
        tolerance=1e-6,
    )
    yield Claim(
        "−.5, −10, the same constant and .2 become −.5, −1, 0 and .2: cut below as above",
        got=lower,
        expected=np.array([-0.5, -1.0, 0.0, 0.2]),
        hint="np.clip(…, -1, 1) has two ends",
        tolerance=1e-6,
    )
    low, high, grip = (
        np.array([-0.02, -0.01, 0.0]),
        np.array([0.04, 0.03, 1.0]),
        np.array([True, True, False]),
    )
    rows = np.array([[0.025, 0.0, 0.3], [-0.01, 0.02, 0.9]])
    scaled = normalize_actions(rows, low, high, grip)
    yield Claim(
        "two actions at once, in a range that is not symmetric: (.5, −.5, .3) and (−2/3, .5, .9)",
        got=scaled,
        expected=np.array([[0.5, -0.5, 0.3], [-2 / 3, 0.5, 0.9]]),
        hint="subtract q01 first, then divide by the width q99 - q01: the middle of the range becomes 0",
        mistakes={
            "a range of .04 or .06 is narrow, but not still: what never changes has q01 equal to q99": np.array(
                [[0.5, 0, 0.3], [-2 / 3, 0, 0.9]]
            ),
            "a range of .06 is narrow, but not still: what never changes has q01 equal to q99": np.array(
                [[0, 0, 0.3], [0, 0, 0.9]]
            ),
        },
        tolerance=1e-6,
    )
    yield Claim(
        "your 02.3 leads back to where they came from",
        got=unnormalize_actions(scaled, low, high, grip),
        expected=rows,
        hint="between the quantiles nothing may get lost",
        tolerance=1e-6,
    )
    yield Claim(
        "outside the mask, too, nothing leaves [-1, 1]: 1.2 becomes 1, and −1.7 becomes −1",
        got=normalize_actions(
            np.array([[0.01, 0.01, 1.2], [-0.02, 0.03, -1.7], [0.04, -0.01, -0.6]]), low, high, grip
        ),
        expected=np.array([[0.0, 0.0, 1.0], [-1, 1, -1.0], [1, -1, -0.6]]),
        hint="cut last, and everything, at both ends: the tokens end at ±1 for a grip as well, and −.6 stays −.6",
        tolerance=1e-6,
    )
    yield Claim(
        "a dimension that rests at .05 becomes 0, also where one frame says .3 or −2",
        got=odd,
        expected=np.array([[0.0, 1.0, 0.0, 0.7], [0.0, 1.0, 0.0, 0.7]]),
        hint="where q99 equals q01 the dimension becomes 0, whatever the frame says: a number divided by 0 is infinite, not NaN",
        tolerance=1e-6,
    )
    yield Claim(
        "outside the mask .4 stays .4 and .6 stays .6, also where q01 equals q99",
        got=grip_still,
        expected=np.array([0.4, 0.0, 0.6]),
        hint="what is outside the mask is only cut to [-1, 1], whatever its quantiles are: ask for the mask last",
        tolerance=1e-6,
    )
    narrow = np.array([-0.00002, 0.001, 0.0]), np.array([0.00008, 0.002, 1.0])
    yield Claim(
        "a range of .0001 is a range: .000005 of −.00002 … .00008 becomes −.5",
        got=normalize_actions(np.array([0.000005, 0.00175, 0.5]), *narrow, np.array([True, True, False])),
        expected=np.array([-0.5, 0.5, 0.5]),
        hint="a narrow range is stretched like any other: what never changes has q01 equal to q99 (less than a millionth apart)",
    )
    rng = np.random.default_rng(5)
    bottom, width = rng.uniform(-3, 1, 7), rng.uniform(0.5, 4, 7)
    chosen = np.array([True, False, True, True, False, True, True])
    share = rng.uniform(-0.2, 1.2, (2, 3, 7))
    actions = np.where(chosen, bottom + share * width, share).astype(np.float32)
    yield Claim(
        "2 × 3 actions of seven random numbers, in float32",
        got=normalize_actions(actions, bottom, bottom + width, chosen),
        expected=np.clip(np.where(chosen, (share - 0.5) * 2, share), -1, 1),
        hint="dimensions are the last axis, however many axes stand before it, and the mask says which of them are scaled",
    )
    rest = np.array([0.25, -1.0])
    yield Claim(
        "a range of a billionth is rounding, not a range: the dimension becomes 0",
        got=normalize_actions(
            np.array([[0.25, 0.5], [0.25 + 1e-9, -0.5]]),
            rest,
            rest + np.array([1e-9, 2.0]),
            np.array([True, True]),
        ),
        expected=np.array([[0.0, 0.5], [0.0, -0.5]]),
        hint="a dimension never changes where q99 - q01 is below 1e-6, not only where both are exactly equal: what remains is rounding, "
        "and stretched to [-1, 1] it would fill the whole range",
        tolerance=1e-6,
    )


@lesson.exercise(
    "04.3",
    library="vla_course.data.splits:split_by_episode",
    minutes=8,
    difficulty=1,
    rules=Rules(draws_from="a generator of your own, made from `seed`"),
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
    """Ten episodes of very different length; thirty in a mixed order; seeds; shares that are no whole number of episodes."""
    index = np.repeat(NAMES, LENGTHS)
    chosen: Any = split_by_episode(index, 0.2, 0)
    yield Claim(
        f"one answer, True or False, for each of {len(index)} frames, in an array",
        got=(_container(chosen), np.shape(chosen)),
        expected=("array of bool", (len(index),)),
        hint="return a NumPy array of True and False, as long as episode_index",
        mistakes={
            "those are the numbers of the chosen episodes; every frame wants an answer, True or False: np.isin": (
                "array of whole numbers",
                (2,),
            ),
            "those are 1 and 0, and as numbers they would pick the frames 1 and 0: True or False is wanted (dtype bool)": (
                "array of whole numbers",
                (len(index),),
            ),
            "that is a list: a NumPy array is wanted, which can choose frames and be turned round with ~": (
                "list",
                (len(index),),
            ),
        },
    )
    yield Claim(
        "no episode is on both sides",
        got=_cut(index, chosen),
        expected=0,
        hint="frames were drawn one by one: the neighbours of a validation frame, a fifth of a second away, are trained on. Draw "
        "whole episodes",
        mistakes={
            "the border falls into an episode: its beginning is trained on, its end is asked about. Draw whole episodes": 1
        },
    )
    yield Claim(
        "a share of .2 of 10 episodes is 2 of them, however long they are",
        got=_drawn(index, chosen),
        expected=2,
        hint="how many: the share of the different episodes, whose number is not that of the frames, nor the largest name plus one. "
        "np.unique(episode_index) lists them; draw among these, each once",
        mistakes={
            "turned round: True is for validation, and 8 of 10 episodes are trained on": 8,
            "you assumed that episodes are counted from 0; np.unique(episode_index) says what they are called": 0,
            "one is missing, or one was drawn twice: in episode_index an episode stands once for each of its frames, in "
            "np.unique(episode_index) once": 1,
            "all were drawn, or the share was taken of the frames: in episode_index an episode stands once for each of its frames, in "
            "np.unique(episode_index) once": 10,
        },
    )
    left, nine_calls = [], []
    for seed in range(11, 16):
        left.append(set(NAMES) - set(index[split_by_episode(index, 0.9, seed)].tolist()))
        nine_calls.append(last_call(split_by_episode))
    drawn_twice = all(len(names) > 1 for names in left) and len({len(names) for names in left}) > 1
    yield Claim(
        "a share of .9 leaves out one episode of 10, with each of five seeds",
        got=[len(names) for names in left],
        expected=[1] * 5,
        hint="with every seed too few different episodes were drawn, so some came twice. Draw from np.unique(episode_index), where each "
        "episode stands once (in episode_index it stands once for each of its frames); choice(…, replace=False) puts none back"
        if drawn_twice
        else "the number of episodes follows from the share alone: draw exactly that many, each at most once (choice(…, replace=False) "
        "puts none back). A coin thrown for each episode keeps the share on average only",
        call=_first_wrong_call([len(names) for names in left], [1] * 5, nine_calls),
    )
    near, near_calls = _drawn_with(split_by_episode, index, (0.28, 0.32))
    yield Claim(
        "shares of .28 and .32 of 10 episodes are 3 of them",
        got=near,
        expected=[3, 3],
        hint="the number of episodes is the share rounded to the nearest whole number",
        mistakes={
            "2.8 became 2: int(…) and // cut off. Round to the nearest whole number": [2, 3],
            "3.2 became 4: that is always rounded up. Round to the nearest whole number": [3, 4],
        },
        call=_first_wrong_call(near, [3, 3], near_calls),
    )
    mixed_names, mixed_lengths = np.arange(100, 340, 4), np.tile([1, 40], 30)
    mixed = np.random.default_rng(6).permutation(np.repeat(mixed_names, mixed_lengths))
    half = split_by_episode(mixed, 0.5, 3)
    yield Claim(
        "60 episodes whose frames come in a mixed order: no episode is on both sides",
        got=_cut(mixed, half),
        expected=0,
        hint="frames need not come episode by episode: they are mixed here, and the number may change from each frame to the next. Ask for "
        "every frame whether *its* episode was drawn",
    )
    yield Claim(
        "half of them are 30 different episodes",
        got=_drawn(mixed, half),
        expected=30,
        hint="draw exactly as many episodes as the share says, each at most once: choice(…, replace=False) puts none back",
    )
    long = _drawn(mixed, half & np.isin(mixed, mixed_names[1::2]))
    yield Claim(
        "30 of the 60 have one frame and 30 have forty: of the 30 that are drawn, between 5 and 25 are long",
        got=5 <= long <= 25,
        expected=True,
        hint="every episode has the same chance, however long it is: draw among the episodes' names, not among frames, and sort "
        "nothing by length",
    )
    yield Claim(
        "the same seed chooses the same ones",
        got=np.array_equal(half, split_by_episode(mixed, 0.5, 3)),
        expected=True,
        hint="draw with a generator made anew from `seed` in each call",
    )
    yield Claim(
        "another seed chooses others: with a share of .9, five seeds do not all leave out the same one",
        got=len(set.union(*left)) > 1,
        expected=True,
        hint="always the same ones: the seed is not used. Recordings are often in an order (easy ones first, another day's light "
        "last), so the last ones are no fair sample",
    )
    few, few_calls = _drawn_with(split_by_episode, index, (0.01, 0.0))
    yield Claim(
        "a share of .01 is still one episode, and a share of 0 is none",
        got=few,
        expected=[1, 0],
        hint="round, then at least 1, but only where the share is above 0",
        mistakes={
            "a small share was rounded to nothing: where validation is wanted, there must be something to validate on": [
                0,
                0,
            ],
            "a share of 0 asks for no validation at all": [1, 1],
        },
        call=_first_wrong_call(few, [1, 0], few_calls),
    )


def _container(chosen: Any) -> str:
    """What came back: an array, of which kind, or something else."""
    if not isinstance(chosen, np.ndarray):
        return type(chosen).__name__
    kinds = {"b": "bool", "i": "whole numbers", "u": "whole numbers"}
    return f"array of {kinds.get(chosen.dtype.kind, str(chosen.dtype))}"


def _cut(index: np.ndarray, chosen: np.ndarray) -> int:
    """How many episodes have frames on both sides."""
    return len(set(index[chosen].tolist()) & set(index[~chosen].tolist()))


def _drawn_with(
    split_by_episode: Callable[..., np.ndarray], index: np.ndarray, shares: tuple[float, ...]
) -> tuple[list[int], list[str]]:
    """How many episodes each share draws, and the calls."""
    counts, calls = [], []
    for share in shares:
        counts.append(_drawn(index, split_by_episode(index, share, 0)))
        calls.append(last_call(split_by_episode))
    return counts, calls


def _first_wrong_call(counts: list[int], expected: list[int], calls: list[str]) -> str:
    """The call that gave the first wrong count, or the last call."""
    wrong = (call for got, want, call in zip(counts, expected, calls, strict=True) if got != want)
    return next(wrong, calls[-1])


def _drawn(index: np.ndarray, chosen: np.ndarray) -> int:
    """How many episodes have chosen frames."""
    return len(set(index[chosen].tolist()))


@lesson.exercise(
    "04.4",
    library="vla_course.data.augmentation:center_crop_box",
    minutes=6,
    difficulty=1,
    rules=Rules(returns=(0, 0, 0, 0)),
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
        got=center_crop_box(224, 224),
        expected=(6, 6, 212, 212),
        hint="which share of each *side* leaves 90 % of the area? Sides are rounded down; what is left over lies half above, half below",
        mistakes={
            "90 % of the side is 81 % of the area: what was zoomed by 5 % in training is zoomed by 11 % now. Take the square "
            "root of the area": (11, 11, 201, 201),
            "this crop lies in the upper left corner, not in the middle: half of what is left belongs above, half below": (
                0,
                0,
                212,
                212,
            ),
            "the last two numbers are height and width, not the lower right corner": (6, 6, 218, 218),
            "the order is top, left, height, width: the margins come first": (212, 212, 6, 6),
            "sides are rounded down: int(…)": (5, 5, 213, 213),
            "that is everything that is left; the margin above is half of it": (12, 12, 212, 212),
            "the margin is half of what the rounded side leaves: round the side down first": (5, 5, 212, 212),
        },
    )
    yield Claim(
        "of 480 × 640: top 12, left 16, height 455, width 607",
        got=center_crop_box(480, 640),
        expected=(12, 16, 455, 607),
        hint="each side by itself: the crop has the picture's shape",
        mistakes={
            "height and width are swapped; on a square nobody would ever notice": (16, 12, 607, 455),
            "top and left are swapped: top is the margin of the height, and comes first": (16, 12, 455, 607),
            "a square of the smaller side: the crop has the picture's own shape": (12, 92, 455, 455),
            "25 and 33 pixels are left, and the margins above and to the left are half of them, rounded *down*": (
                13,
                17,
                455,
                607,
            ),
            "Python's round goes to the even number: margins are rounded down, 12.5 to 12 and 16.5 to 16": (
                13,
                16,
                455,
                607,
            ),
            "the crop is a pixel too large: its size is the side times √.9 rounded down, also where an odd number is left and the "
            "margin below is a pixel larger than the one above": (12, 16, 456, 608),
        },
    )
    yield Claim(
        "a quarter of the area is half of each side: (21, 10, 42, 20) of 84 × 40",
        got=center_crop_box(84, 40, 0.25),
        expected=(21, 10, 42, 20),
        hint="the share is a parameter: √area, not √.9",
    )
    yield Claim(
        "all of the area is the whole picture",
        got=center_crop_box(84, 40, 1.0),
        expected=(0, 0, 84, 40),
        hint="with a share of 1 nothing is cut away",
    )
    yield Claim(
        "60 % of 47 × 123: top 5, left 14, height 36, width 95; and 37 % of 97 × 61: 19, 12, 59, 37",
        got=[center_crop_box(47, 123, 0.6), center_crop_box(97, 61, 0.37)],
        expected=[(5, 14, 36, 95), (19, 12, 59, 37)],
        hint="each side times the root of the share, rounded down; then each margin: half of what is left of that side, rounded down",
    )
    yield Claim(
        "a thin picture keeps at least its margins: 50 % of 3 × 1000 is (0, 146, 2, 707)",
        got=center_crop_box(3, 1000, 0.5),
        expected=(0, 146, 2, 707),
        hint="each side by itself, rounded once: neither the other side nor a rounded share of it decides",
    )


@lesson.exercise(
    "04.5",
    library="vla_course.data.token_rows:build_labels",
    minutes=10,
    difficulty=2,
    rules=Rules(returns=torch.zeros(1, dtype=torch.long)),
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
    """One row with padding; a prompt in which action tokens tell the state; rows without padding, with much, and for two hands."""
    row = [1, 50, 60, 29871, 31800, 31900, 2, 32000, 32000]
    learned = torch.tensor([-100, -100, -100, -100, 31800, 31900, 2, -100, -100])
    yield Claim(
        "prompt 1 50 60 29871, action 31800 31900, </s>, two pads: only 31800, 31900 and 2 are learned",
        got=build_labels(torch.tensor(row), 4, 32000),
        expected=learned,
        hint="-100 in the first prompt_length places and wherever pad_id stands, the ids themselves elsewhere",
        mistakes={
            "the prompt is learned too: the loss looks wonderful, because guessing “In: What action should the robot …” is easy": (
                torch.tensor([*row[:7], -100, -100])
            ),
            "nothing is crossed out: neither the prompt nor the padding is to be learned": torch.tensor(row),
            "the 2, </s>, is learned as well: who never learned to stop does not stop": torch.tensor(
                [-100, -100, -100, -100, 31800, 31900, -100, -100, -100]
            ),
            "the padding keeps its id: most of what is learned would be to say nothing, over and over": torch.tensor(
                [-100, -100, -100, -100, 31800, 31900, 2, 32000, 32000]
            ),
            "only the last pad is crossed out: all of the padding is -100": torch.tensor(
                [-100, -100, -100, -100, 31800, 31900, 2, 32000, -100]
            ),
            "you shift, and the model shifts too: it would learn to see two words ahead": torch.tensor(
                [-100, -100, -100, 31800, 31900, 2, -100, -100, -100]
            ),
            "0 is a word like any other; what is not learned is marked with -100": torch.where(
                learned == -100, 0, learned
            ),
            "pad_id is a word like any other for the loss; what is not learned is marked with -100": torch.where(
                learned == -100, 32000, learned
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
        "state tokens 31850 31990 in the prompt are told, not learned",
        got=build_labels(torch.tensor([1, 50, 31850, 31990, 29871, 31800, 2]), 5, 32000),
        expected=torch.tensor([-100, -100, -100, -100, -100, 31800, 2]),
        hint="a place in the row decides, not the kind of token: the robot's state is told in action tokens, too",
        mistakes={
            "a row without padding: nothing is crossed out at its end. labels[-n:] with n = 0 is the whole row": torch.full(
                (7,), -100
            ),
        },
    )
    yield Claim(
        "a row without padding, another vocabulary: 3 of 7 are learned",
        got=build_labels(torch.tensor([1, 70, 71, 3, 900, 901, 2]), 4, 0),
        expected=torch.tensor([-100, -100, -100, -100, 900, 901, 2]),
        hint="use prompt_length and pad_id as they are given: 4 and 32000 were only this example's",
    )
    yield Claim(
        "much padding of another id, 7: the action 500 and </s> are learned",
        got=build_labels(torch.tensor([1, 70, 3, 500, 2, 7, 7, 7, 7, 7]), 3, 7),
        expected=torch.tensor([-100, -100, -100, 500, 2, -100, -100, -100, -100, -100]),
        hint="wherever pad_id stands: all of the padding, whatever its id and however much of it there is",
    )
    two_hands = [1, 70, 2, 40, 0, 3, *range(900, 914), 2, 9]
    yield Claim(
        "two hands, fourteen numbers, behind a prompt of six that has a 2 and a 0 in it: fourteen and </s> are learned",
        got=build_labels(torch.tensor(two_hands), 6, 9),
        expected=torch.tensor([-100] * 6 + two_hands[6:-1] + [-100]),
        hint="the prompt ends after prompt_length places and the padding has pad_id; how many numbers an action has, and which ids "
        "stand in the prompt, decides nothing",
    )
