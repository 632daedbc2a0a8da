"""Plausible wrong answers for Day 07, each with a fragment of the hint that it must get."""

import itertools
import math
from statistics import NormalDist

import numpy as np
import pytest

from vla_course.checks.notebook import lesson_of
from vla_course.checks.report import CheckFailed
from vla_course.evaluation.intervals import paired_bootstrap

# --- 07.1


def means(values, seed, rows=10_000):
    rng = np.random.default_rng(seed)
    return values[rng.integers(len(values), size=(rows, len(values)))].mean(axis=1)


def gain(before, after):
    return after.astype(float) - before.astype(float)


def middle(values, low=0.025, high=0.975):
    return tuple(float(end) for end in np.quantile(values, [low, high]))


def draws_them_apart(before, after, seed):
    return middle(means(after.astype(float), seed) - means(before.astype(float), seed + 1))


def without_replacement(before, after, seed):
    rng = np.random.default_rng(seed)
    return middle([rng.permutation(gain(before, after)).mean() for _ in range(500)])


def wrong_way_round(before, after, seed):
    return middle(means(gain(after, before), seed))


def one_standard_error(before, after, seed):
    drawn = means(gain(before, after), seed)
    return float(drawn.mean() - drawn.std()), float(drawn.mean() + drawn.std())


def in_points(before, after, seed):
    low, high = paired_bootstrap(before, after, seed)
    return 100 * low, 100 * high


def ninety_percent(before, after, seed):
    return middle(means(gain(before, after), seed), 0.05, 0.95)


def losses_are_nothing(before, after, seed):
    return middle(means((after & ~before).astype(float), seed))


def losses_are_gains(before, after, seed):
    return middle(means((after ^ before).astype(float), seed))


CALLS = itertools.count(1000)


def no_seed(before, after, seed):
    rng = np.random.default_rng(
        next(CALLS)
    )  # another one at each call, as without a seed, and yet the same in each test
    values = gain(before, after)
    return middle(values[rng.integers(len(values), size=(10_000, len(values)))].mean(axis=1))


def always_seed_zero(before, after, seed):
    return paired_bootstrap(before, after, 0)


def the_mean_alone(before, after, seed):
    return float(gain(before, after).mean())


# --- 07.2


def margins(power=0.8, sure=0.975):
    return NormalDist().inv_cdf(sure) + NormalDist().inv_cdf(power)


def both(p, q):
    return p * (1 - p) + q * (1 - q)


def gap_not_squared(p, q, power=0.8):
    return math.ceil(margins(power) ** 2 * both(p, q) / abs(p - q))


def no_power(p, q, power=0.8):
    return math.ceil(1.959964**2 * both(p, q) / (p - q) ** 2)


def variance_of_the_first(p, q, power=0.8):
    return math.ceil(margins(power) ** 2 * p * (1 - p) / (p - q) ** 2)


def variance_of_the_second(p, q, power=0.8):
    return math.ceil(margins(power) ** 2 * q * (1 - q) / (p - q) ** 2)


def pooled(p, q, power=0.8):
    mean = (p + q) / 2
    return math.ceil(margins(power) ** 2 * 2 * mean * (1 - mean) / (p - q) ** 2)


def rounds_down(p, q, power=0.8):
    return math.floor(margins(power) ** 2 * both(p, q) / (p - q) ** 2)


def does_not_round(p, q, power=0.8):
    return margins(power) ** 2 * both(p, q) / (p - q) ** 2


def one_sided(p, q, power=0.8):
    return math.ceil(margins(power, 0.95) ** 2 * both(p, q) / (p - q) ** 2)


def power_as_it_is(p, q, power=0.8):
    return math.ceil((1.959964 + power) ** 2 * both(p, q) / (p - q) ** 2)


def squares_then_adds(p, q, power=0.8):
    squares = 1.959964**2 + NormalDist().inv_cdf(power) ** 2
    return math.ceil(squares * both(p, q) / (p - q) ** 2)


def both_together(p, q, power=0.8):
    return 2 * math.ceil(margins(power) ** 2 * both(p, q) / (p - q) ** 2)


def power_is_always_80(p, q, power=0.8):
    return math.ceil(margins(0.8) ** 2 * both(p, q) / (p - q) ** 2)


# --- 07.3


def permuted(instructions, rng):
    return [str(text) for text in rng.permutation(list(instructions))]


def rolled(instructions, rng):
    return [*instructions[1:], instructions[0]]


def nothing(instructions, rng):
    return [""] * len(instructions)


def others(instructions, own):
    return [text for text in instructions if text != own]


def another_place(instructions, rng):
    count = len(instructions)
    return [instructions[(place + 1 + rng.integers(count - 1)) % count] for place in range(count)]


def once_for_each_text(instructions, rng):
    told = {own: str(rng.choice(others(instructions, own))) for own in sorted(set(instructions))}
    return [told[own] for own in instructions]


def any_other_word(instructions, rng):
    return [str(rng.choice(sorted(set(others(instructions, own))))) for own in instructions]


def the_first_other(instructions, rng):
    turned = {own: others(instructions, own) for own in instructions}
    return [turned[own][place % len(turned[own])] for place, own in enumerate(instructions)]


def own_luck(instructions, rng):
    luck = np.random.default_rng()
    return [str(luck.choice(others(instructions, own))) for own in instructions]


def in_place(instructions, rng):
    told = [str(rng.choice(others(instructions, own))) for own in instructions]
    instructions[:] = told
    return told


def one_too_few(instructions, rng):
    return [str(rng.choice(others(instructions, own))) for own in instructions[:-1]]


# --- 07.4


def lined_up(logits, labels):
    return logits[:, :-1].argmax(-1), labels[:, 1:]


def action(labels, vocabulary_size):
    return (labels >= vocabulary_size - 256) & (labels < vocabulary_size)


def no_shift(logits, labels, vocabulary_size=32000):
    return float((logits.argmax(-1) == labels)[action(labels, vocabulary_size)].double().mean())


def counts_the_stop(logits, labels, vocabulary_size=32000):
    predicted, wanted = lined_up(logits, labels)
    return float((predicted == wanted)[wanted != -100].double().mean())


def mean_of_means(logits, labels, vocabulary_size=32000):
    predicted, wanted = lined_up(logits, labels)
    counts = action(wanted, vocabulary_size)
    right = (predicted == wanted) & counts
    return float((right.sum(1) / counts.sum(1)).mean())


def whole_sequences(logits, labels, vocabulary_size=32000):
    predicted, wanted = lined_up(logits, labels)
    return float(((predicted == wanted) | ~action(wanted, vocabulary_size)).all(1).double().mean())


def over_everything(logits, labels, vocabulary_size=32000):
    predicted, wanted = lined_up(logits, labels)
    return float(((predicted == wanted) & action(wanted, vocabulary_size)).double().mean())


def a_count(logits, labels, vocabulary_size=32000):
    predicted, wanted = lined_up(logits, labels)
    return float(((predicted == wanted) & action(wanted, vocabulary_size)).sum())


def errors(logits, labels, vocabulary_size=32000):
    predicted, wanted = lined_up(logits, labels)
    return float((predicted != wanted)[action(wanted, vocabulary_size)].double().mean())


def one_too_many(logits, labels, vocabulary_size=32000):
    predicted, wanted = lined_up(logits, labels)
    return float(
        (predicted == wanted)[(wanted >= vocabulary_size - 257) & (wanted < vocabulary_size)].double().mean()
    )


def asks_the_predictions(logits, labels, vocabulary_size=32000):
    predicted, wanted = lined_up(logits, labels)
    counts = action(predicted, vocabulary_size)
    return float((predicted == wanted)[counts].double().mean()) if counts.any() else 1.0


def always_llamas_vocabulary(logits, labels, vocabulary_size=32000):
    predicted, wanted = lined_up(logits, labels)
    counts = action(wanted, 32000)
    return float((predicted == wanted)[counts].double().mean()) if counts.any() else 0.0


MISTAKES = {
    "paired_bootstrap": [
        (draws_them_apart, "drawn apart"),
        (without_replacement, "*with* replacement"),
        (wrong_way_round, "before less after"),
        (one_standard_error, "one standard error"),
        (in_points, "those are points"),
        (ninety_percent, "leave out 10 %"),
        (losses_are_nothing, "a gain of −1, not 0"),
        (losses_are_gains, "a gain of −1, not +1"),
        (no_seed, "make the generator inside"),
        (always_seed_zero, "use the seed that you are given"),
        (the_mean_alone, "return a tuple of 2 values"),
    ],
    "episodes_needed": [
        (gap_not_squared, "the gap is squared"),
        (no_power, "nothing is said about power"),
        (variance_of_the_first, "of the first policy alone"),
        (variance_of_the_second, "of the second policy alone"),
        (pooled, "variance of the mean rate"),
        (rounds_down, "353 are not quite enough"),
        (does_not_round, "a whole number"),
        (one_sided, "one side only"),
        (power_as_it_is, "not power itself"),
        (squares_then_adds, "added, then squared"),
        (both_together, "both policies together"),
        (power_is_always_80, "use `power`, not 0.8"),
    ],
    "wrong_instructions": [
        (permuted, "no episode gets its own text"),
        (rolled, "compare the words"),
        (nothing, "is this input unusual"),
        (another_place, "compare the words"),
        (once_for_each_text, "not once for each text"),
        (any_other_word, "not among the different words"),
        (the_first_other, "let `rng` choose"),
        (own_luck, "no other source of chance"),
        (in_place, "changed in place"),
        (one_too_few, "return 2 values, not 1"),
    ],
    "action_token_accuracy": [
        (no_shift, "about token t + 1"),
        (counts_the_stop, "</s> is no action token"),
        (mean_of_means, "the mean of 2/3 and 4/4"),
        (whole_sequences, "right from end to end"),
        (over_everything, "prompt and padding"),
        (a_count, "that is a count"),
        (errors, "share of errors"),
        (one_too_many, "is a word, not an action token"),
        (asks_the_predictions, "said by the labels"),
        (always_llamas_vocabulary, "not 31744"),
    ],
}


@pytest.mark.parametrize("salt", range(10))
def test_luck_does_not_decide_which_share_is_right(salt):
    """Two ways to choose, of which one is right, each with ten lots of draws: what the generator happens to say must not matter."""

    def told(choices, instructions, rng):
        luck = np.random.default_rng([salt, rng.integers(2**32)])
        return [str(luck.choice(choices(others(instructions, own)))) for own in instructions]

    check = lesson_of("day07").checks["wrong_instructions"]
    check(lambda *given: told(list, *given))
    with pytest.raises(CheckFailed, match="not among the different words"):
        check(lambda *given: told(lambda found: sorted(set(found)), *given))
