"""Day 07: the interval of a gain, how many episodes, words that are wrong, tokens that are right."""

import math
import random
from collections import Counter
from statistics import NormalDist

import numpy as np
import torch
from run import right, wrong

UNTOUCHED = "in place|as (it|they) (was|were)|copy|changed"

# --- 07.1


def gain(before, after):
    return np.asarray(after, float) - np.asarray(before, float)


def drawn(values, seed, times=10_000):
    rng = np.random.default_rng(seed)
    return values[rng.integers(len(values), size=(times, len(values)))].mean(axis=1)


@wrong("paired_bootstrap", "quantile|middle 95")
def the_bootstraps_standard_error(before, after, seed):
    """Mean ± 1.96 standard deviations of the drawn means: symmetric, also where few starts make it lopsided."""
    means = drawn(gain(before, after), seed)
    return float(means.mean() - 1.96 * means.std()), float(means.mean() + 1.96 * means.std())


@wrong("paired_bootstrap", "quantile|turned|mirror|middle 95")
def the_basic_interval(before, after, seed):
    """2 · gain − quantiles, the “basic” bootstrap: leans the other way."""
    values = gain(before, after)
    low, high = np.quantile(drawn(values, seed), [0.025, 0.975])
    return float(2 * values.mean() - high), float(2 * values.mean() - low)


@wrong("paired_bootstrap", "N − 1|every start|last start|never drawn")
def the_last_start_is_never_drawn(before, after, seed):
    """rng.integers(0, N − 1), by the words of hint 2: the upper end is left out."""
    values = gain(before, after)
    drawn_places = np.random.default_rng(seed).integers(0, len(values) - 1, size=(10_000, len(values)))
    low, high = np.quantile(values[drawn_places].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


@wrong("paired_bootstrap", "10 000|10,000|RESAMPLES|repetitions")
def a_thousand_times(before, after, seed):
    """1000 repetitions: the ends wobble from seed to seed."""
    low, high = np.quantile(drawn(gain(before, after), seed, 1000), [0.025, 0.975])
    return float(low), float(high)


@wrong("paired_bootstrap", "tuple|two numbers")
def quantiles_as_an_array(before, after, seed):
    """np.quantile's array as it is."""
    return np.quantile(drawn(gain(before, after), seed), [0.025, 0.975])


@wrong("paired_bootstrap", "mean gain|each repetition|quantile of the mean")
def the_quantiles_of_one_draw(before, after, seed):
    """Quantiles of the drawn gains, not of their means."""
    values = gain(before, after)
    picked = values[np.random.default_rng(seed).integers(len(values), size=10_000)]
    return tuple(float(end) for end in np.quantile(picked, [0.025, 0.975]))


@wrong("paired_bootstrap", "2.5 %")
def percentiles_for_quantiles(before, after, seed):
    """np.percentile(…, [0.025, 0.975]): from 0 to 100."""
    return tuple(float(end) for end in np.percentile(drawn(gain(before, after), seed), [0.025, 0.975]))


@wrong("paired_bootstrap", "as many starts|N|starts there were|√400|each start")
def always_a_hundred_starts(before, after, seed):
    """100 from the example, whatever the number of starts."""
    values = gain(before, after)
    places = np.random.default_rng(seed).integers(100, size=(10_000, 100)) % len(values)
    return tuple(float(end) for end in np.quantile(values[places].mean(axis=1), [0.025, 0.975]))


@right("paired_bootstrap")
def counts_of_each_kind(before, after, seed):
    """How often a repetition draws won, lost and unchanged starts: a multinomial."""
    values = gain(before, after)
    shares = [(values == kind).mean() for kind in (1, -1, 0)]
    won, lost, _ = np.random.default_rng(seed).multinomial(len(values), shares, size=10_000).T
    low, high = np.quantile((won - lost) / len(values), [0.025, 0.975])
    return float(low), float(high)


@right("paired_bootstrap")
def results_before_differences(before, after, seed):
    """One set of places for both policies; numpy's old generator; sorted and picked."""
    places = np.random.RandomState(seed).randint(0, len(before), (10_000, len(before)))
    means = np.sort(after[places].mean(1) - before[places].mean(1))
    return means[249], means[9749]


@right("paired_bootstrap")
def one_repetition_at_a_time(before, after, seed):
    """A loop of 10 000, as it is first written."""
    rng, values = np.random.default_rng(seed), gain(before, after)
    means = []
    for _ in range(10_000):
        means.append(rng.choice(values, size=len(values)).mean())
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))


@right("paired_bootstrap")
def with_torch(before, after, seed):
    """torch's generator and quantiles."""
    values = torch.as_tensor(gain(before, after))
    places = torch.randint(len(values), (10_000, len(values)), generator=torch.Generator().manual_seed(seed))
    return tuple(values[places].mean(1).quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist())


# --- 07.2


def spread(a, b):
    return a * (1 - a) + b * (1 - b)


@wrong("episodes_needed", "whole|int|math.ceil")
def a_number_with_a_decimal_point(rate_a, rate_b, power=0.8):
    """np.ceil gives 354.0."""
    margin = NormalDist().inv_cdf(0.975) + NormalDist().inv_cdf(power)
    return np.ceil(margin**2 * spread(rate_a, rate_b) / (rate_a - rate_b) ** 2)


@wrong("episodes_needed", "inv_cdf|0\\.84|1\\.960 \\+ 0\\.842")
def margins_from_a_table(rate_a, rate_b, power=0.8):
    """1.96 and 0.84, rounded as books print them: one episode short."""
    strong = {0.8: 0.84, 0.9: 1.28}[power]
    return math.ceil((1.96 + strong) ** 2 * spread(rate_a, rate_b) / (rate_a - rate_b) ** 2)


@wrong("episodes_needed", "sum of both variances|variance")
def pooled_under_the_null(rate_a, rate_b, power=0.8):
    """The textbook's mixture: pooled for 5 %, apart for power."""
    mean = (rate_a + rate_b) / 2
    root = NormalDist().inv_cdf(0.975) * math.sqrt(2 * mean * (1 - mean))
    root += NormalDist().inv_cdf(power) * math.sqrt(spread(rate_a, rate_b))
    return math.ceil((root / (rate_a - rate_b)) ** 2)


@wrong("episodes_needed", "sum of both variances|variance")
def of_angles(rate_a, rate_b, power=0.8):
    """Cohen's h: 2 asin √p."""
    margin = NormalDist().inv_cdf(0.975) + NormalDist().inv_cdf(power)
    h = 2 * math.asin(math.sqrt(rate_a)) - 2 * math.asin(math.sqrt(rate_b))
    return math.ceil(2 * (margin / h) ** 2)


@wrong("episodes_needed", "gap")
def a_relative_gap(rate_a, rate_b, power=0.8):
    """The gap as a share of the first rate."""
    margin = NormalDist().inv_cdf(0.975) + NormalDist().inv_cdf(power)
    return math.ceil(margin**2 * spread(rate_a, rate_b) / ((rate_b - rate_a) / rate_a) ** 2)


@wrong("episodes_needed", "1\\.960|inv_cdf")
def power_on_both_sides(rate_a, rate_b, power=0.8):
    """inv_cdf(½ + ½ power): power has one side."""
    margin = NormalDist().inv_cdf(0.975) + NormalDist().inv_cdf((1 + power) / 2)
    return math.ceil(margin**2 * spread(rate_a, rate_b) / (rate_a - rate_b) ** 2)


@wrong("episodes_needed", "sum of both variances|variance")
def deviations_added(rate_a, rate_b, power=0.8):
    """(σa + σb)²."""
    margin = NormalDist().inv_cdf(0.975) + NormalDist().inv_cdf(power)
    sigma = math.sqrt(rate_a * (1 - rate_a)) + math.sqrt(rate_b * (1 - rate_b))
    return math.ceil((margin * sigma / (rate_a - rate_b)) ** 2)


@wrong("episodes_needed", "variance|margin|gap|power")
def a_table_of_the_examples(rate_a, rate_b, power=0.8):
    """The three numbers that the check expects, looked up."""
    rates = (min(rate_a, rate_b), max(rate_a, rate_b), power)
    return {(0.6, 0.7, 0.8): 354, (0.2, 0.6, 0.8): 20, (0.6, 0.7, 0.9): 473}.get(rates, 1)


@right("episodes_needed")
def tried_one_after_another(rate_a, rate_b, power=0.8):
    """The first n with enough power."""
    sure, n = NormalDist().inv_cdf(0.975), 1
    while NormalDist().cdf(abs(rate_a - rate_b) / math.sqrt(spread(rate_a, rate_b) / n) - sure) < power:
        n += 1
    return n


@right("episodes_needed")
def with_torchs_quantiles(rate_a, rate_b, power=0.8):
    """torch.special.ndtri; −(−x // 1)."""
    margins = float(torch.special.ndtri(torch.tensor([0.975, power], dtype=torch.float64)).sum())
    return int(-(-(margins**2) * spread(rate_a, rate_b) / (rate_a - rate_b) ** 2 // 1))


@right("episodes_needed")
def the_other_tails(rate_a, rate_b, power=0.8):
    """Both tails from below; numpy's whole number."""
    quantile = NormalDist().inv_cdf
    return np.int64(
        np.ceil(((quantile(0.025) + quantile(1 - power)) / (rate_b - rate_a)) ** 2 * spread(rate_b, rate_a))
    )


# --- 07.3


@wrong("wrong_instructions", "anew|most|majority|half|never ends|RecursionError")
def shuffled_until_it_fits(instructions, rng):
    """Permutations until nobody has the own words: where more than half say the same there is none, and it never ends."""
    for _ in range(20_000):  # a learner's own has `while True`
        told = [instructions[place] for place in rng.permutation(len(instructions))]
        if all(new != own for new, own in zip(told, instructions, strict=True)):
            return told
    raise RecursionError("no such permutation: a learner's kernel would hang here")


@wrong("wrong_instructions", "compare the words|own words")
def removes_one_of_them(instructions, rng):
    """list.remove takes the first of several away."""
    told = []
    for own in instructions:
        others = list(instructions)
        others.remove(own)
        told.append(str(rng.choice(others)))
    return told


@wrong("wrong_instructions", "compare the words|own words|than its own")
def draws_once_more(instructions, rng):
    """`if` for `while`: draws again once."""
    told = []
    for own in instructions:
        text = str(rng.choice(instructions))
        if text == own:
            text = str(rng.choice(instructions))
        told.append(text)
    return told


@wrong("wrong_instructions", "another one than its own|another episode|only what episodes say")
def says_the_opposite(instructions, rng):
    """“do not …”: nobody says that."""
    return [f"do not {own}" for own in instructions]


@wrong("wrong_instructions", "list")
def an_array(instructions, rng):
    """A NumPy array."""
    return np.array([rng.choice([text for text in instructions if text != own]) for own in instructions])


@wrong("wrong_instructions", "let `rng` choose|no other source")
def a_generator_of_its_own(instructions, rng):
    """default_rng(0) inside, “to be reproducible”: the same draw every time."""
    rng = np.random.default_rng(0)
    return [str(rng.choice([text for text in instructions if text != own])) for own in instructions]


@wrong("wrong_instructions", "no other source")
def everybodys_luck(instructions, rng):
    """np.random.choice, numpy's common generator, for rng.choice."""
    return [str(np.random.choice([text for text in instructions if text != own])) for own in instructions]


@wrong("wrong_instructions", "compare the words|own words")
def neighbours_only(instructions, rng):
    """The text of a random neighbour."""
    count = len(instructions)
    return [instructions[(place + int(rng.choice([-1, 1]))) % count] for place in range(count)]


@right("wrong_instructions")
def until_it_differs(instructions, rng):
    """Draws places until the words differ."""
    told = []
    for own in instructions:
        while True:
            text = instructions[int(rng.integers(0, len(instructions)))]
            if text != own:
                break
        told.append(text)
    return told


@right("wrong_instructions")
def by_counts(instructions, rng):
    """Different texts, with how many say them for weights."""
    counts, told = Counter(instructions), []
    for own in instructions:
        texts = sorted(text for text in counts if text != own)
        weights = np.array([counts[text] for text in texts], float)
        told.append(texts[int(rng.choice(len(texts), p=weights / weights.sum()))])
    return told


@right("wrong_instructions")
def python_s_random_from_rng(instructions, rng):
    """random.Random, its seed from rng."""
    luck = random.Random(int(rng.integers(2**62)))
    return [luck.choice([text for text in instructions if text != own]) for own in instructions]


@right("wrong_instructions")
def the_first_of_a_permutation(instructions, rng):
    """The others in a random order, of which the first is taken."""
    texts = np.asarray(instructions, dtype=object)
    return [rng.permutation(texts[texts != own])[0] for own in texts]


# --- 07.4


@wrong("action_token_accuracy", "32000|above|last action token|upper")
def no_upper_end(logits, labels, vocabulary_size=32000):
    """labels > 31743 alone: ids behind the vocabulary count as well."""
    predicted, wanted = logits[:, :-1].argmax(-1), labels[:, 1:]
    counts = wanted >= vocabulary_size - 256
    return float((predicted == wanted)[counts].double().mean())


@wrong("action_token_accuracy", "all words|whole vocabulary|argmax over|every word|likeliest")
def the_best_action_token(logits, labels, vocabulary_size=32000):
    """02.5's choice for argmax: right where a word is likelier than any action."""
    first = vocabulary_size - 256
    predicted, wanted = first + logits[:, :-1, first:vocabulary_size].argmax(-1), labels[:, 1:]
    counts = (wanted >= first) & (wanted < vocabulary_size)
    return float((predicted == wanted)[counts].double().mean())


@wrong("action_token_accuracy", UNTOUCHED)
def crosses_out_in_place(logits, labels, vocabulary_size=32000):
    """labels[…] = −100: the caller's labels are changed, and the stop is never learned again."""
    labels[(labels < vocabulary_size - 256) | (labels >= vocabulary_size)] = -100
    predicted, wanted = logits[:, :-1].argmax(-1), labels[:, 1:]
    return float((predicted == wanted)[wanted != -100].double().mean())


@wrong("action_token_accuracy", "t \\+ 1|next|labels\\[:, 1:\\]")
def shifted_the_other_way(logits, labels, vocabulary_size=32000):
    """logits[:, 1:] against labels[:, :-1]."""
    predicted, wanted = logits[:, 1:].argmax(-1), labels[:, :-1]
    counts = (wanted >= vocabulary_size - 256) & (wanted < vocabulary_size)
    return float((predicted == wanted)[counts].double().mean())


@wrong("action_token_accuracy", "labels\\[:, 1:\\]|t \\+ 1")
def a_mask_one_place_off(logits, labels, vocabulary_size=32000):
    """Predictions and labels are lined up, the mask is not."""
    predicted, wanted, here = logits[:, :-1].argmax(-1), labels[:, 1:], labels[:, :-1]
    counts = (here >= vocabulary_size - 256) & (here < vocabulary_size)
    return float((predicted == wanted)[counts].double().mean())


@wrong("action_token_accuracy", "all sequences|both sequences|every sequence|first sequence")
def the_first_sequence(logits, labels, vocabulary_size=32000):
    """logits[0] and labels[0] alone: right for B = 1."""
    predicted, wanted = logits[0, :-1].argmax(-1), labels[0, 1:]
    counts = (wanted >= vocabulary_size - 256) & (wanted < vocabulary_size)
    return float((predicted == wanted)[counts].double().mean())


@wrong("action_token_accuracy", "exactly|likeliest|argmax")
def among_the_best_five(logits, labels, vocabulary_size=32000):
    """Right where the label is among the five likeliest: “exactly” it is not."""
    predicted, wanted = logits[:, :-1].topk(5, dim=-1).indices, labels[:, 1:]
    counts = (wanted >= vocabulary_size - 256) & (wanted < vocabulary_size)
    return float((predicted == wanted[..., None]).any(-1)[counts].double().mean())


@right("action_token_accuracy")
def in_loops(logits, labels, vocabulary_size=32000):
    """Token by token."""
    right_ones = counted = 0
    for sequence, row in zip(logits, labels, strict=True):
        for place in range(1, len(row)):
            wanted = int(row[place])
            if vocabulary_size - 256 <= wanted < vocabulary_size:
                counted += 1
                right_ones += int(sequence[place - 1].argmax()) == wanted
    return right_ones / counted


@right("action_token_accuracy")
def flattened(logits, labels, vocabulary_size=32000):
    """Chosen first, then the argmax; numpy at the end."""
    wanted = labels[:, 1:].reshape(-1)
    chosen = ((wanted >= vocabulary_size - 256) & (wanted <= vocabulary_size - 1)).nonzero().squeeze(-1)
    predicted = logits[:, :-1].reshape(len(wanted), -1)[chosen].max(dim=-1).indices
    return np.mean(predicted.numpy() == wanted[chosen].numpy())


@right("action_token_accuracy")
def through_labels_of_its_own(logits, labels, vocabulary_size=32000):
    """A copy of the labels with −100 elsewhere; a tensor without axes."""
    mine = torch.where((labels >= vocabulary_size - 256) & (labels < vocabulary_size), labels, -100)[:, 1:]
    hits = logits.softmax(-1).argmax(-1)[:, :-1].eq(mine)
    return hits.sum() / (mine != -100).sum()
