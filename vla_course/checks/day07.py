"""Checks of Day 07: the interval of a gain, episodes that show it, words that are wrong, and tokens that are right."""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from vla_course.checks.calls import Rules, last_call
from vla_course.checks.claims import Claim, value_or_raised
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
        "(RESAMPLES, N), from 0 up to but not including N. The mean over axis 1 gives one gain for each repetition; the middle 95 % "
        "lie between two quantiles of those.",
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
    rules=Rules(returns=(0.0, 0.0), draws_from="`np.random.default_rng(seed)`"),
)
def check_paired_bootstrap(paired_bootstrap: Callable[..., tuple[float, float]]) -> Iterator[Claim]:
    """By hand; five starts; with losses; few gains; the seed."""
    yield Claim(
        "100 starts, 12 newly won and none lost: about +6 to +19 points",
        got=value_or_raised(
            lambda: paired_bootstrap(BEFORE, AFTER, 0),
            TypeError,
            "a gain has a sign, and True and False cannot be subtracted (`^` would lose the sign): make floats of both first",
            ("boolean subtract",),
        ),
        expected=(0.06, 0.19),
        tolerance=0.011,
        hint="compare your parts: the gain of each start, that as many starts as there were are drawn with replacement, and which two "
        'quantiles of the mean gains you take. checks.show_case("07.1") works out how wide the interval is',
        mistakes={
            "the two policies are drawn apart: each start that is drawn brings its pair of results, before and after": (
                -0.02,
                0.26,
            ),
            "the starts where nothing changed were left out: they belong to the experiment as well, with a gain of 0": (
                1.0,
                1.0,
            ),
            "a gain is a difference of two rates: do not divide it by the first policy's rate": (0.15, 0.475),
            "a gain is a difference of two rates, not their quotient less 1": (0.139, 0.539),
            "all repetitions are nearly alike: draw starts *with* replacement, and take the mean over the starts of each repetition "
            "(axis 1)": (0.12, 0.12),
            "the lower end comes first": (0.19, 0.06),
            "that is before less after: a start that is newly won is a gain of +1": (-0.19, -0.06),
            "that is one standard error to either side, about 68 %: take the middle 95 %": (0.0875, 0.1525),
            "those are points: return shares, 0.06 and not 6": (6.0, 19.0),
            "np.percentile counts from 0 to 100, np.quantile from 0 to 1: 2.5 % is 0.025 there": (
                0.027,
                0.05,
            ),
        },
    )
    before = np.arange(400) < 180
    after = before.copy()
    after[:20], after[300:] = False, True
    yield Claim(
        "400 starts, 100 newly won and 20 lost: about +15 to +25 points",
        got=paired_bootstrap(before, after, 0),
        expected=(0.15, 0.25),
        tolerance=0.004,
        hint="the mean gain is 0.20, and its spread √0.26 / √400 = 0.0255; 95 % are 1.96 of that to either side, where 10 000 "
        "repetitions are drawn",
        mistakes={
            "those are the quantiles 5 % and 95 %, which leave out 10 %: a 95 % interval leaves out 2.5 % at either end": (
                0.158,
                0.242,
            ),
            "a start that was lost is a gain of −1, not 0": (0.2075, 0.2925),
            "a start that was lost is a gain of −1, not +1": (0.255, 0.345),
            "the two policies are drawn apart: each start that is drawn brings its pair of results, before and after": (
                0.132,
                0.268,
            ),
            "each repetition draws as many starts as there were: here 400, not the 100 of the case before": (
                0.1,
                0.3,
            ),
        },
    )
    # Of the two means at either end one is twenty times as likely as what is left out: luck does not decide.
    yield Claim(
        "five starts, the first one lost, the last one newly won: −0.6 to +0.6",
        got=paired_bootstrap(np.arange(5) == 0, np.arange(5) == 4, 0),
        expected=(-0.6, 0.6),
        hint="each repetition draws as many starts as there were, five here, and every start can be drawn",
        mistakes={
            "the last start is never drawn: places go from 0 to N − 1, and rng.integers leaves its upper end out": (
                -0.6,
                0.0,
            ),
            "the first start is never drawn: places go from 0 to N − 1": (0.0, 0.6),
            "that is 1.96 standard deviations to either side: the middle 95 % lie between two quantiles of the mean gains": (
                -0.5544,
                0.5544,
            ),
        },
        tolerance=0.02,
    )
    # The exact shares below 3 and at 12 are 1.8 % and 98.2 %: four deviations of 10 000 repetitions from 2.5 % and 97.5 %, but only
    # one and a half of 1 000 repetitions, whose ends move between these seeds. No more calls than needed: a loop takes half a second.
    before, after = np.zeros(31, bool), np.arange(31) < 7
    first, second = (paired_bootstrap(before, after, seed) for seed in (1, 5))
    deviation = math.sqrt(7 / 31 * 24 / 31 / 31)
    exact = (3 / 31, 12 / 31)
    yield Claim(
        "few gains make it lopsided: of 31 starts 7 newly won, 3/31 to 12/31 around 7/31",
        got=first,
        expected=exact,
        hint="the middle 95 % lie between two quantiles of the mean gains, the one at 2.5 % and the one at 97.5 %",
        mistakes={
            "mean ± 1.96 standard deviations is as wide to either side; the middle 95 % lie between two quantiles": (
                7 / 31 - 1.96 * deviation,
                7 / 31 + 1.96 * deviation,
            ),
            "the quantiles are mirrored at the gain, so that the interval leans the other way: take them as they are": (
                (2 * 7 - 12) / 31,
                (2 * 7 - 3) / 31,
            ),
        },
        tolerance=2e-3,
    )
    yield Claim(
        "10 000 repetitions are enough for another seed to give just the same ends",
        got=second,
        expected=exact,
        hint="are there 10 000 repetitions (RESAMPLES)? With fewer the ends wobble from seed to seed",
        tolerance=2e-3,
    )
    # Half of what is drawn lies at or beyond either end, so that each end is one of two with a probability of one half: the seed shows.
    before, after = np.zeros(32, bool), np.arange(32) < 16
    same = {tuple(paired_bootstrap(before, after, 7)) for _ in range(5)}
    yield Claim(
        "the same seed gives the same interval, five times",
        got=len(same),
        expected=1,
        hint="make the generator inside, from the seed: np.random.default_rng(seed)",
    )
    yield Claim(
        "another seed draws other starts: four seeds do not all give the same",
        got=len({tuple(paired_bootstrap(before, after, seed)) for seed in range(8, 11)} | same) > 1,
        expected=True,
        hint="use the seed that you are given: np.random.default_rng(seed)",
    )


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
        "The gap has to be as large as both margins together, in standard deviations of the difference.",
        "(margin + margin)² · variance / gap² is n; `math.ceil` rounds up. First line: `sure, strong = NormalDist().inv_cdf(0.975), "
        "NormalDist().inv_cdf(power)`.",
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
    rules=Rules(returns=1),
)
def check_episodes_needed(episodes_needed: Callable[..., int]) -> Iterator[Claim]:
    """A small gap, a large one, another power; then other rates and another power at once."""
    two = "each policy has a variance of its own, and the difference has the sum of both variances"
    yield Claim(
        "60 % against 70 %: 354 episodes of each",
        got=episodes_needed(0.6, 0.7),
        expected=354,
        hint="compare your parts: the margins 1.960 + 0.842, the sum of both variances 0.45, the gap 0.1. "
        'checks.show_case("07.2") puts them together',
        mistakes={
            "the gap is squared: half a gap takes four times the episodes": 36,
            "nothing is said about power: add the margin for it to 1.96 before you square": 173,
            "that is the variance of the first policy alone: " + two: 189,
            "that is the variance of the second policy alone: " + two: 165,
            "that is twice the variance of the mean rate: " + two: 358,
            "353 are not quite enough: round up (math.ceil), and take the margins from NormalDist().inv_cdf, not from a table that "
            "rounds them to 1.96 and 0.84": 353,
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
        hint="the gap is 0.4, the variances are 0.16 and 0.24: " + two,
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
    yield Claim(
        "37 % against 52 % with a power of 0.85 takes 193",
        got=episodes_needed(0.37, 0.52, 0.85),
        expected=193,
        hint="other rates and another power: is a margin, a variance or a gap of the cases above left in your function?",
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
    rules=Rules(returns=[""], draws_from="`rng`"),
)
def check_wrong_instructions(
    wrong_instructions: Callable[[Sequence[str], np.random.Generator], list[str]],
) -> Iterator[Claim]:
    """Two episodes; six of which five say the same; then 900 with three texts, many different ones, and texts within texts."""
    said = list(COLORS) * 150
    yield Claim(
        "two episodes, red and blue, change places",
        got=wrong_instructions(["red", "blue"], np.random.default_rng(0)),
        expected=["blue", "red"],
        hint="each episode is told another episode's text, letter by letter, and never its own",
        mistakes={
            "nothing said is another question, is this input unusual? Take another episode's text": ["", ""],
            "they say what they said before: no episode gets its own text": ["red", "blue"],
            "the episode that says blue is told blue: nobody hears the own words, however the draw falls": [
                "blue",
                "blue",
            ],
            "the episode that says red is told red: nobody hears the own words, however the draw falls": [
                "red",
                "red",
            ],
        },
    )
    six = wrong_instructions(["red"] * 5 + ["blue"], np.random.default_rng(0))
    yield Claim(
        "six episodes get six texts, though only two are different",
        got=len(six),
        expected=6,
        hint="one text for each episode, in the order of the episodes, also where several say the same",
    )
    yield Claim(
        "five say red and one blue: the five are told blue, and the one red",
        got=six,
        expected=["blue"] * 5 + ["red"],
        hint="compare the words, not the places. And where most say the same, no order of the list gives everybody another's words, so "
        "draw anew for each episode",
    )
    told = wrong_instructions(list(said), np.random.default_rng(0))
    call = last_call(wrong_instructions)
    yield Claim(
        "150 × (red, red, blue, red, green, blue): every episode is told something",
        got=len(told),
        expected=len(said),
        hint="one text for each episode, in the order of the episodes",
        call=call,
    )
    yield Claim(
        "nobody is told the own words",
        got=sum(new == own for new, own in zip(told, said, strict=True)),
        expected=0,
        hint="an episode that says red may get another episode's text, and that one may say red too: compare the words",
        call=call,
    )
    yield Claim(
        "only what episodes say is told",
        got=sum(text not in COLORS for text in told),
        expected=0,
        hint="each text is another episode's, out of the list, letter by letter",
        call=call,
    )
    # Thirty different texts, each twice: also who draws once for each text draws differently the next time.
    tasks, rng = [f"task {number}" for number in range(30)] * 2, np.random.default_rng(0)
    once, again, same = (
        wrong_instructions(list(tasks), chance) for chance in (rng, rng, np.random.default_rng(0))
    )
    yield Claim(
        "draws differ, and follow from the generator",
        got=(list(once) != list(again), list(once) == list(same)),
        expected=(True, True),
        hint="use `rng` for every choice",
        mistakes={
            "every draw is the same: let `rng` choose": (False, True),
            "the same generator should give the same texts: use `rng`, no other source of chance": (
                True,
                False,
            ),
        },
    )
    reds = [new for new, own in zip(told, said, strict=True) if own == "red"]
    yield Claim(
        "each episode is drawn anew: those that say red are not all told the same",
        got=len(set(reds)) > 1,
        expected=True,
        hint="draw once for each episode, not once for each text",
        call=call,
    )
    yield Claim(
        "thirty texts, each of two episodes: the two that say the same are not always told the same",
        got=list(once[:30]) != list(once[30:]),
        expected=True,
        hint="draw once for each episode, not once for each text",
    )
    yield Claim(
        "a text that more episodes say is drawn more often: red hears blue two times in three",
        # Four standard deviations from either share, 1/2 and 2/3, so that whatever way one draws, luck does not decide.
        got=bool(0.585 < reds.count("blue") / len(reds) < 0.75),
        expected=True,
        hint="choose among the other *episodes'* texts, two of which say blue, not among the different words",
        call=call,
    )
    short, long, shirt, trousers = "fold", "fold twice", "hang up the shirt", "hang up the trousers"
    for own, rest in ((short, (shirt, long, trousers)), (long, (shirt, short, trousers))):
        told = wrong_instructions([own] * 300 + list(rest), np.random.default_rng(0))
        yield Claim(
            f"300 say “{own}”, and one each says {', '.join(f'“{text}”' for text in rest)}: the 300 hear all three",
            got="never told: " + (", ".join(text for text in rest if text not in told[:300]) or "none"),
            expected="never told: none",
            hint="each text of another episode can be drawn, wherever it stands in the list and whatever it has in common with the own text",
            mistakes={
                f"“{short}” and “{long}” are two texts, though one begins like the other: compare whole texts, with != and not "
                "with `in`": f"never told: {rest[1]}",
                "the last of the other texts is never drawn: rng.integers leaves its upper end out": f"never told: {rest[2]}",
                "the first of the other texts is never drawn: places are counted from 0": f"never told: {rest[0]}",
            },
        )


def two_sequences(vocabulary_size: int = VOCABULARY) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and labels of two sequences: three and four action tokens, of which two and all four are right; the stop behind them, too."""
    # The mistakes that are known give results of their own: no neighbours, nothing at the upper end, and other shares in each part.
    first, labels = vocabulary_size - 256, torch.full((2, 9), -100)
    labels[0, 5:9] = torch.tensor([first + 156, first, first + 20, 2])
    labels[1, 4:9] = torch.tensor([first + 200, first + 100, first + 130, first, 2])
    predicted = labels.where(labels >= 0, 5).roll(-1, dims=1)
    predicted[0, 4] = first + 60  # where first + 156 is wanted
    return torch.nn.functional.one_hot(predicted, vocabulary_size + 64).float(), labels


@lesson.exercise(
    "07.4",
    library="vla_course.fine_tuning.losses:action_token_accuracy",
    minutes=10,
    difficulty=2,
    hints=(
        "A language model's answer at one position is about the *next* token. And a sequence holds more than action: prompt, stop, "
        "padding. Line both up, then choose what counts, on what is lined up.",
        "`logits[:, :-1].argmax(-1)` are the predictions for `labels[:, 1:]`, both (B, L − 1). Action tokens are the labels from "
        "`vocabulary_size - BINS` to `vocabulary_size - 1`: a mask of the same shape. The mean over that mask, of all sequences together.",
        "First line: `predicted, wanted = logits[:, :-1].argmax(-1), labels[:, 1:]`.",
    ),
    case=WorkedCase(
        call="action_token_accuracy(*checks.two_sequences())",
        steps=(
            ("first sequence: three action tokens, then </s>", "2 of 3 right"),
            ("second sequence: four action tokens, then </s>", "4 of 4 right"),
            ("</s> is no action token", "not counted"),
            ("together", "6 of 7"),
        ),
        answer=6 / 7,
    ),
    rules=Rules(returns=1.0),
)
def check_action_token_accuracy(action_token_accuracy: Callable[..., float]) -> Iterator[Claim]:
    """Two sequences of different lengths; the edges of the action tokens; a close second; another vocabulary; random numbers."""
    logits, labels = two_sequences()
    yield Claim(
        "two sequences, 2 of 3 and 4 of 4 right: 6/7",
        got=action_token_accuracy(logits, labels),
        expected=6 / 7,
        hint="two questions: which prediction belongs to which label (labels[:, 1:] has one for each that counts), and which labels are "
        'action tokens? checks.show_case("07.4") counts them',
        mistakes={
            "each prediction is compared with its own place, or with the one before: position t of the logits is about token t + 1": 0.0,
            "the stop counts too, and it is always right: </s> is no action token": 8 / 9,
            "that is the mean of 2/3 and 4/4: count tokens over all sequences together": 5 / 6,
            "that is the first sequence alone: count over all sequences together": 2 / 3,
            "that is how many sequences are right from end to end: count tokens": 0.5,
            "the mask is one place off: what counts is said by labels[:, 1:], which the predictions are lined up with": 1.0,
            "prompt and padding are in the denominator: divide by the number of action tokens": 6 / 16,
            "those are the last seven labels in front of the stop: an action is as long as it is, and the labels say where it stands": (
                6 / 14
            ),
            "those are the last seven labels, the stop among them: the labels say which are action tokens": 8
            / 14,
            "the last 256 columns of the logits are not the last 256 tokens: the head has columns more than words, so begin with "
            "vocabulary_size": 3 / 4,
            f"{VOCABULARY - 256} is an action token as well, the first of them": 4 / 5,
            "that is in percent: return a share, from 0 to 1": 600 / 7,
            "that is a count: divide by the number of action tokens": 6.0,
            "that is the share of errors": 1 / 7,
        },
    )
    first = VOCABULARY - 256
    edge = torch.tensor([[1, first, first - 1, VOCABULARY - 1, VOCABULARY, VOCABULARY + 3]])
    guess = torch.tensor([[first + 5, first - 1, VOCABULARY - 1, VOCABULARY, VOCABULARY + 3, 0]])
    yield Claim(
        f"{first} and {VOCABULARY - 1} are the first and the last action token, the first is predicted wrong: 1/2",
        got=action_token_accuracy(_one_hot(guess), edge),
        expected=0.5,
        hint=f"action tokens are {first} to {VOCABULARY - 1}, both included",
        mistakes={
            f"{first - 1} is a word, not an action token": 2 / 3,
            f"{VOCABULARY} and above is padding of the vocabulary, behind the last action token: the range has an upper end": 3
            / 4,
            f"{first - 1} is a word, and {VOCABULARY} and above is padding: the range has two ends": 4 / 5,
            f"{first} is an action token as well, the first of them": 1.0,
            f"{VOCABULARY - 1} is an action token as well, the last of them": 0.0,
        },
    )
    wanted, guess = (
        torch.tensor([[1, first + 9, first + 50, first + 90, 500]]),
        torch.tensor([[5, 6, first + 90, first + 7, 0]]),
    )
    yield Claim(
        "three action tokens, words predicted for two of them, and an action token predicted where a word is wanted: 1/3",
        got=action_token_accuracy(_one_hot(guess), wanted),
        expected=1 / 3,
        hint="which positions count is said by the labels, not by the predictions",
        mistakes={
            "that counts where an action token is predicted; what counts is said by the labels": 1 / 2,
            "that counts where an action token is predicted *and* wanted; what counts is said by the labels alone": 1.0,
            "that counts where an action token is predicted *or* wanted; what counts is said by the labels alone": 1
            / 4,
        },
    )
    wrong = torch.tensor([[5, 7, 8, 9, 0, 0]])
    yield Claim(
        "words where action tokens are wanted are wrong: 0.0",
        got=action_token_accuracy(_one_hot(wrong), edge),
        expected=0.0,
        hint="which positions count is said by the labels, not by the predictions",
        mistakes={
            "a word may be likelier than every action token: the prediction is the likeliest of the whole vocabulary": 0.5,
        },
    )
    logits, labels = two_sequences(1024)
    yield Claim(
        "a vocabulary of 1024 words has its action tokens from 768 on: 6/7 again",
        got=action_token_accuracy(logits, labels, 1024),
        expected=6 / 7,
        hint="the first action token is vocabulary_size − 256, not 31744",
    )
    close = _one_hot(torch.tensor([[900, 901, 0]]), 1024) + 2 * _one_hot(torch.tensor([[899, 911, 0]]), 1024)
    yield Claim(
        "the right token is the second most likely, twice, once behind its neighbour: 0.0",
        got=action_token_accuracy(close, torch.tensor([[1, 900, 901]]), 1024),
        expected=0.0,
        hint="exactly: only the likeliest token counts as predicted",
        mistakes={
            "exactly means the likeliest token alone (argmax), not one of the best few": 1.0,
            "exactly means the same token: a neighbouring bin is another one": 0.5,
        },
    )
    numbers = torch.Generator().manual_seed(7)
    labels = torch.randint(700, 1030, (3, 11), generator=numbers)
    labels[:, :3] = -100
    lucky = torch.rand(labels.shape, generator=numbers) < 0.6
    guess = torch.where(
        lucky, labels.clamp(min=0).roll(-1, 1), torch.randint(1030, labels.shape, generator=numbers)
    )
    pairs = [
        (int(guess[row, place - 1]), int(labels[row, place])) for row in range(3) for place in range(1, 11)
    ]
    counted = [said == wanted for said, wanted in pairs if 768 <= wanted < 1024]
    yield Claim(
        f"random tokens in bfloat16, three sequences: {sum(counted)} of {len(counted)}",
        got=action_token_accuracy(_one_hot(guess, 1024).bfloat16(), labels, 1024),
        expected=sum(counted) / len(counted),
        hint="sizes and number type are others than before: is something of the cases above left in your function?",
    )


def _one_hot(tokens: torch.Tensor, vocabulary_size: int = VOCABULARY) -> torch.Tensor:
    """Logits of 1 for these tokens and 0 for all others; the head has 64 columns more than words."""
    return torch.nn.functional.one_hot(tokens, vocabulary_size + 64).float()
