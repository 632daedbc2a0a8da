"""Checks of Day 07: the interval of a gain, episodes that show it, words that are wrong, and tokens that are right."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from vla_course.checks.claims import Claim
from vla_course.checks.report import Lesson, WorkedCase

lesson = Lesson("day07")
show_case, borrow = lesson.show_case, lesson.borrow

HUNDRED = np.arange(100)
BEFORE, AFTER = HUNDRED < 40, (HUNDRED < 40) | (HUNDRED >= 88)
"""A hundred starts: 40 folded before; the same 40 and twelve others after."""
COLORS = ("red", "red", "blue", "red", "green", "blue")
"""What six episodes are told: three say the same, two say the same, one is alone."""
VOCABULARY = 32_000


@lesson.exercise(
    "07.1",
    library="vla_course.evaluation.intervals:paired_bootstrap",
    minutes=12,
    difficulty=2,
    hints=(
        "A start is the unit. It carries one number, its gain: +1 newly won, 0 nothing changed, −1 lost. Pretend to repeat the "
        "experiment by drawing as many starts as there were, out of these, with replacement; then look at how the mean gain varies.",
        "Each start's gain: `after.astype(float) - before.astype(float)`, shape (N,). All repetitions at once: places of shape "
        "(RESAMPLES, N), each from 0 to N − 1. The mean over axis 1 gives one gain for each repetition; the middle 95 % lie between "
        "two quantiles of those.",
        "First lines: `gain = after.astype(float) - before.astype(float)` and `rng = np.random.default_rng(seed)`.",
    ),
    case=WorkedCase(
        call="np.array(paired_bootstrap(checks.BEFORE, checks.AFTER, seed=0))",
        steps=(
            ("100 starts: 40 folded before, the same 40 and 12 others after", "gains: 12 × (+1), 88 × 0"),
            ("their mean", "0.12"),
            ("how far one start's gain varies: √(0.12 · 0.88)", "0.325"),
            ("the mean of 100 of them: 0.325 / √100", "0.0325"),
            ("95 % are about 1.96 of that to either side", "0.12 ± 0.064"),
            ("in whole starts of a hundred", "(0.06, 0.19)"),
        ),
        answer=np.array([0.06, 0.19]),
        tolerance=0.011,
    ),
)
def check_paired_bootstrap(paired_bootstrap: Callable[..., tuple[float, float]]) -> Iterator[Claim]:
    """By hand; with losses; nothing changed; the seed."""
    yield Claim(
        "100 starts, 12 newly won and none lost: about +6 to +19 points",
        got=_pair(paired_bootstrap(BEFORE, AFTER, 0)),
        expected=(0.06, 0.19),
        tolerance=0.011,
        hint="draw starts with replacement, and take the 2.5 % and the 97.5 % quantile of the mean gains",
        mistakes={
            "the two policies are drawn apart: draw starts, and both results of a start come along": (
                -0.02,
                0.26,
            ),
            "every repetition has the same starts: draw them *with* replacement": (0.12, 0.12),
            "that is before less after: a start that is newly won is a gain of +1": (-0.19, -0.06),
            "that is one standard error to either side, about 68 %: take the middle 95 %": (0.0875, 0.1525),
            "those are points: return shares, 0.06 and not 6": (6.0, 19.0),
        },
    )
    before = np.arange(400) < 180
    after = before.copy()
    after[:20], after[300:] = False, True
    yield Claim(
        "400 starts, 100 newly won and 20 lost: about +15 to +25 points",
        got=_pair(paired_bootstrap(before, after, 0)),
        expected=(0.15, 0.25),
        tolerance=0.004,
        hint="the mean gain is 0.20, and its spread √0.26 / √400 = 0.0255; 95 % are 1.96 of that to either side",
        mistakes={
            "those are the quantiles 5 % and 95 %, which leave out 10 %: a 95 % interval leaves out 2.5 % at either end": (
                0.158,
                0.242,
            ),
            "a start that was lost is a gain of −1, not 0": (0.2075, 0.2925),
            "a start that was lost is a gain of −1, not +1": (0.255, 0.345),
            "the two policies are drawn apart: draw starts, and both results of a start come along": (
                0.132,
                0.268,
            ),
        },
    )
    same = np.arange(60) % 2 == 0
    yield Claim(
        "the same results twice: a gain of nothing, for certain, (0, 0)",
        got=_pair(paired_bootstrap(same, same, 0)),
        expected=(0.0, 0.0),
        hint="every start's gain is 0, so every mean of gains is: subtract first, then draw",
    )
    # Here the upper end is 14/45 or 15/45, each with a probability of one half: the seed shows.
    before, after = np.zeros(45, bool), np.arange(45) < 9
    yield Claim(
        "the same seed gives the same interval, thirty times",
        got=len({paired_bootstrap(before, after, 7) for _ in range(30)}),
        expected=1,
        hint="make the generator inside, from the seed: np.random.default_rng(seed)",
    )
    yield Claim(
        "another seed draws other starts",
        got=len({paired_bootstrap(before, after, seed) for seed in range(20)}) > 1,
        expected=True,
        hint="use the seed that you are given: np.random.default_rng(seed)",
    )


def _pair(interval: Any) -> Any:
    """Two plain numbers, whatever numbers they were; anything else as it is, for the claim to say what is wrong."""
    if isinstance(interval, tuple | list | np.ndarray) and len(interval) == 2:
        return float(interval[0]), float(interval[1])
    return interval


@lesson.exercise(
    "07.2",
    library="vla_course.evaluation.intervals:episodes_needed",
    minutes=8,
    difficulty=2,
    hints=(
        "Two policies, two rates that scatter. Their difference must stand out of its own scatter by two margins: one so that "
        "chance is rarely taken for a gain (5 %, both sides together), one so that a gain is rarely missed.",
        "The variance of one episode is p(1 − p); of the difference of two, the sum of both. n episodes divide it by n. Margins "
        "count standard deviations: `NormalDist().inv_cdf(0.975)` is 1.96, and `NormalDist().inv_cdf(power)` is 0.84 for 0.8. "
        "(margin + margin)² · variance / gap² is n; `math.ceil` rounds up.",
        "First line: `sure, strong = NormalDist().inv_cdf(0.975), NormalDist().inv_cdf(power)`.",
    ),
    case=WorkedCase(
        call="episodes_needed(0.6, 0.7)",
        steps=(
            ("the margins: 1.960 + 0.842", "2.802"),
            ("squared", "7.849"),
            ("the variances: 0.6 · 0.4 + 0.7 · 0.3", "0.45"),
            ("the gap, squared: 0.1²", "0.01"),
            ("7.849 · 0.45 / 0.01", "353.2"),
            ("rounded up", "354"),
        ),
        answer=354,
    ),
)
def check_episodes_needed(episodes_needed: Callable[..., int]) -> Iterator[Claim]:
    """A small gap, a large one, another power, a certain policy."""
    two = "each policy has a variance of its own: p(1 − p) + q(1 − q)"
    yield Claim(
        "60 % against 70 %: 354 episodes of each",
        got=episodes_needed(0.6, 0.7),
        expected=354,
        hint="(1.960 + 0.842)² times the sum of both variances, over the gap squared, rounded up",
        mistakes={
            "the gap is squared: half a gap takes four times the episodes": 36,
            "nothing is said about power: add the margin for it to 1.96 before you square": 173,
            "that is the variance of the first policy alone: " + two: 189,
            "that is the variance of the second policy alone: " + two: 165,
            "that is twice the variance of the mean rate: " + two: 358,
            "round up: 353 episodes are not quite enough": 353,
            "round up to a whole episode: math.ceil": 353.2,
            "one side only: a test at 5 % to both sides leaves 2.5 % at either end, so 0.975": 279,
            "the margin of power is not power itself: NormalDist().inv_cdf(power)": 343,
            "the two margins are added, then squared": 205,
            "that is both policies together: the answer is for one of them": 708,
        },
        tolerance=3e-4,
    )
    yield Claim(
        "20 % against 60 %: 20 episodes of each are enough",
        got=episodes_needed(0.2, 0.6),
        expected=20,
        hint="the gap is 0.4; " + two,
        mistakes={
            "that is the variance of the first policy alone: " + two: 8,
            "that is the variance of the second policy alone: " + two: 12,
        },
    )
    yield Claim(
        "the order does not matter: 70 % against 60 % takes 354 as well",
        got=episodes_needed(0.7, 0.6),
        expected=354,
        hint="the gap is squared, so its sign is lost",
    )
    yield Claim(
        "to miss a gain one time in ten, not one in five, takes 473",
        got=episodes_needed(0.6, 0.7, 0.9),
        expected=473,
        hint="use `power`, not 0.8: NormalDist().inv_cdf(power)",
    )


@lesson.exercise(
    "07.3",
    library="vla_course.evaluation.language:wrong_instructions",
    minutes=10,
    difficulty=2,
    hints=(
        "Which texts may an episode be told? All that episodes are told, without its own words. Not its own *place* in the list: "
        "another episode may say the same.",
        "For an episode's own text, the others are `[text for text in instructions if text != own]`. `rng.choice` takes one; "
        "`str(…)` makes plain text of it. Once for every episode.",
        "First line: `others = {own: [text for text in instructions if text != own] for own in set(instructions)}`.",
    ),
    case=WorkedCase(
        call='wrong_instructions(["red", "blue"], np.random.default_rng(0))',
        steps=(
            ("the episode that says red may be told", "blue"),
            ("the episode that says blue may be told", "red"),
        ),
        answer=["blue", "red"],
    ),
)
def check_wrong_instructions(
    wrong_instructions: Callable[[Sequence[str], np.random.Generator], list[str]],
) -> Iterator[Claim]:
    """Twenty draws over six episodes with three texts."""
    said = list(COLORS)
    yield Claim(
        "two episodes, red and blue, change places",
        got=wrong_instructions(["red", "blue"], np.random.default_rng(0)),
        expected=["blue", "red"],
        hint="one text for each episode, another one than its own",
        mistakes={
            "nothing said is another question, is this input unusual? Take another episode's text": ["", ""],
            "they say what they said before: no episode gets its own text": ["red", "blue"],
        },
    )
    rng = np.random.default_rng(0)
    draws = [list(wrong_instructions(list(said), rng)) for _ in range(20)]
    kept = sum(told == own for draw in draws for told, own in zip(draw, said, strict=False))
    yield Claim(
        "red, red, blue, red, green, blue, twenty draws: nobody is told the own words",
        got=kept,
        expected=0,
        hint="an episode that says red may get another episode's text, and that one may say red too: compare the words",
    )
    yield Claim(
        "every episode is told something, and only what episodes say",
        got=[len(draw) for draw in draws] + sorted({told for draw in draws for told in draw}),
        expected=[6] * 20 + ["blue", "green", "red"],
        hint="one text for each of the six, out of the texts in the list",
    )
    # Before the shares: draws from another source of chance would fail those only now and then.
    mine = list(said)
    wrong_instructions(mine, rng)
    yield Claim(
        "draws differ, follow from the generator, and leave the list as it was",
        got=(
            len(set(map(tuple, draws))) > 1,
            # Eight times, because two draws of six may be equal by chance.
            all(
                _draw(wrong_instructions, said, seed) == _draw(wrong_instructions, said, seed)
                for seed in range(8)
            ),
            mine == said,
        ),
        expected=(True, True, True),
        hint="use `rng` for every choice, and make a new list",
        mistakes={
            "every draw is the same: let `rng` choose": (False, True, True),
            "the same generator should give the same texts: use `rng`, no other source of chance": (
                True,
                False,
                True,
            ),
            "the list of instructions is changed: make a new one": (True, True, False),
        },
    )
    reds = [{draw[place] for place, own in enumerate(said) if own == "red"} for draw in draws]
    yield Claim(
        "each episode is drawn anew: within one draw, those that say red are not all told the same",
        got=any(len(told) > 1 for told in reds),
        expected=True,
        hint="draw once for each episode, not once for each text",
    )
    heard = [
        told
        for _ in range(400)
        for told, own in zip(wrong_instructions(list(said), rng), said, strict=False)
        if own == "red"
    ]
    share = heard.count("blue") / len(heard)
    yield Claim(
        "a text that more episodes say is drawn more often: red hears blue two times in three",
        # Six standard deviations from either share, 1/2 and 2/3, so that whatever way one draws, luck does not decide.
        got=bool(0.58 < share < 0.75),
        expected=True,
        hint="choose among the other *episodes'* texts, two of which say blue, not among the different words",
    )


def _draw(wrong: Callable[..., list[str]], said: list[str], seed: int) -> list[str]:
    return list(wrong(list(said), np.random.default_rng(seed)))


def two_sequences(vocabulary_size: int = VOCABULARY) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and labels of two sequences: two and four action tokens, of which one and all four are right; the stop behind them, too."""
    first, labels = vocabulary_size - 256, torch.full((2, 8), -100)
    labels[0, 4:7] = torch.tensor([first, first + 156, 2])
    labels[1, 3:8] = torch.tensor([vocabulary_size - 1, first + 56, first + 57, first, 2])
    predicted = labels.where(labels >= 0, 5).roll(-1, dims=1)
    predicted[0, 4] = first + 157  # where first + 156 is wanted
    return torch.nn.functional.one_hot(predicted, vocabulary_size + 64).float(), labels


@lesson.exercise(
    "07.4",
    library="vla_course.fine_tuning.losses:action_token_accuracy",
    minutes=10,
    difficulty=2,
    hints=(
        "A language model's answer at one position is about the *next* token. And a sequence holds more than action: prompt, stop, "
        "padding. Line both up, then choose what counts.",
        "`logits[:, :-1].argmax(-1)` are the predictions for `labels[:, 1:]`, both (B, L − 1). Action tokens are the labels from "
        "`vocabulary_size - BINS` to `vocabulary_size - 1`: a mask of the same shape. The mean over that mask, of all sequences together.",
        "First line: `predicted, wanted = logits[:, :-1].argmax(-1), labels[:, 1:]`.",
    ),
    case=WorkedCase(
        call="action_token_accuracy(*checks.two_sequences())",
        steps=(
            ("first sequence: two action tokens, then </s>", "1 of 2 right"),
            ("second sequence: four action tokens, then </s>", "4 of 4 right"),
            ("</s> is no action token", "not counted"),
            ("together", "5 of 6"),
        ),
        answer=5 / 6,
    ),
)
def check_action_token_accuracy(action_token_accuracy: Callable[..., float]) -> Iterator[Claim]:
    """Two sequences of different lengths; the edges of the action tokens; another vocabulary."""
    logits, labels = two_sequences()
    yield Claim(
        "two sequences, 1 of 2 and 4 of 4 right: 5/6",
        got=action_token_accuracy(logits, labels),
        expected=5 / 6,
        hint="argmax of logits[:, :-1] against labels[:, 1:], over the action tokens of both sequences",
        mistakes={
            "each prediction is compared with its own place: position t of the logits is about token t + 1": 0.0,
            "the stop counts too, and it is always right: </s> is no action token": 7 / 8,
            "that is the mean of 1/2 and 4/4: count tokens over all sequences together": 0.75,
            "that is how many sequences are right from end to end: count tokens": 0.5,
            "prompt and padding are in the denominator: divide by the number of action tokens": 5 / 14,
            "that is a count: divide by the number of action tokens": 5.0,
            "that is the share of errors": 1 / 6,
        },
    )
    first = VOCABULARY - 256
    edge = torch.tensor([[1, first, first - 1, VOCABULARY - 1, VOCABULARY]])
    guess = torch.nn.functional.one_hot(
        torch.tensor([[first, 7, VOCABULARY - 1, VOCABULARY, 0]]), VOCABULARY + 64
    )
    yield Claim(
        f"{first} and {VOCABULARY - 1} are the first and the last action token, {first - 1} is a word: both right, 1.0",
        got=action_token_accuracy(guess.float(), edge),
        expected=1.0,
        hint=f"action tokens are {first} to {VOCABULARY - 1}, both included",
        mistakes={
            f"{first - 1} is a word, not an action token": 2 / 3,
        },
    )
    wrong = torch.nn.functional.one_hot(torch.tensor([[5, 7, 8, 9, 0]]), VOCABULARY + 64)
    yield Claim(
        "words where action tokens are wanted are wrong: 0.0",
        got=action_token_accuracy(wrong.float(), edge),
        expected=0.0,
        hint="which positions count is said by the labels, not by the predictions",
    )
    logits, labels = two_sequences(1024)
    yield Claim(
        "a vocabulary of 1024 words has its action tokens from 768 on: 5/6 again",
        got=action_token_accuracy(logits, labels, 1024),
        expected=5 / 6,
        hint="the first action token is vocabulary_size − 256, not 31744",
    )
