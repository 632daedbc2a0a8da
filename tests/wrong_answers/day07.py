"""Day 07: the interval of a gain, how many episodes, words that are wrong, tokens that are right."""

import math
import random
from collections import Counter
from statistics import NormalDist

import numpy as np
import torch
from run import right, wrong

BINS, RESAMPLES = 256, 10_000  # written out, as in a notebook
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


# --- 07.1, other answers


@wrong(
    "paired_bootstrap",
    fits=r"pair|same start|same places|together|unit|its gain|independent|own starts|each start",
)
def each_policy_its_own_draw(before, after, seed):
    """Draws starts for each policy anew, so that the pairs are lost."""
    rng, count = np.random.default_rng(seed), len(before)
    first = before[rng.integers(count, size=(RESAMPLES, count))].mean(axis=1)
    second = after[rng.integers(count, size=(RESAMPLES, count))].mean(axis=1)
    low, high = np.quantile(second - first, [0.025, 0.975])
    return float(low), float(high)


@wrong("paired_bootstrap", fits=r"sign|after.*before|minus|turned|second.*first|newly won|direction")
def before_minus_after(before, after, seed):
    """The sign is turned: what was lost counts as a gain."""
    gain = before.astype(float) - after.astype(float)
    drawn = np.random.default_rng(seed).integers(len(gain), size=(RESAMPLES, len(gain)))
    low, high = np.quantile(gain[drawn].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


@wrong("paired_bootstrap", fits=r"replacement|more than once|again|twice|same mean|shuffl|permut")
def without_replacement(before, after, seed):
    """Shuffles instead of drawing with replacement, so every repetition has the same mean."""
    gain, rng = after.astype(float) - before.astype(float), np.random.default_rng(seed)
    means = [rng.permutation(gain).mean() for _ in range(RESAMPLES)]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


@wrong("paired_bootstrap", fits=r"seed")
def forgets_the_seed(before, after, seed):
    """Draws from numpy's global generator and never uses the seed."""
    gain = after.astype(float) - before.astype(float)
    drawn = np.random.randint(len(gain), size=(RESAMPLES, len(gain)))
    low, high = np.quantile(gain[drawn].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


@wrong("paired_bootstrap", fits=r"seed")
def always_seed_zero(before, after, seed):
    """One fixed seed whatever was asked."""
    gain = after.astype(float) - before.astype(float)
    drawn = np.random.default_rng(0).integers(len(gain), size=(RESAMPLES, len(gain)))
    low, high = np.quantile(gain[drawn].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


@wrong("paired_bootstrap", fits=r"95|0\.025|2\.5|quantile|middle")
def five_percent_on_each_side(before, after, seed):
    """Leaves out 5 % at each end: a 90 % interval."""
    gain = after.astype(float) - before.astype(float)
    drawn = np.random.default_rng(seed).integers(len(gain), size=(RESAMPLES, len(gain)))
    low, high = np.quantile(gain[drawn].mean(axis=1), [0.05, 0.95])
    return float(low), float(high)


@wrong("paired_bootstrap", fits=r"quantile|percent|95|0\.025|2\.5|middle")
def shares_for_percents(before, after, seed):
    """np.percentile with shares: both ends come from the lowest percent."""
    gain = after.astype(float) - before.astype(float)
    drawn = np.random.default_rng(seed).integers(len(gain), size=(RESAMPLES, len(gain)))
    low, high = np.percentile(gain[drawn].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


@wrong("paired_bootstrap", fits=r"quantile|repetition|resampl|imagin|bootstrap|repeat|formula")
def mean_and_two_errors(before, after, seed):
    """The normal formula, mean ± 1.96 standard errors, with nothing drawn."""
    gain = after.astype(float) - before.astype(float)
    margin = 1.96 * gain.std() / math.sqrt(len(gain))
    return float(gain.mean() - margin), float(gain.mean() + margin)


@wrong("paired_bootstrap", fits=r"float|bool|subtract|minus|astype")
def subtracts_booleans(before, after, seed):
    """numpy does not subtract booleans."""
    gain = after - before
    drawn = np.random.default_rng(seed).integers(len(gain), size=(RESAMPLES, len(gain)))
    low, high = np.quantile(gain[drawn].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


@wrong("paired_bootstrap", fits=r"lost|−1|-1|unsigned|float|negative|sign|astype|255|wrap")
def subtracts_bytes(before, after, seed):
    """uint8 has no -1: a lost start counts as 255 won."""
    gain = after.astype(np.uint8) - before.astype(np.uint8)
    drawn = np.random.default_rng(seed).integers(len(gain), size=(RESAMPLES, len(gain)))
    low, high = np.quantile(gain[drawn].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


@wrong("paired_bootstrap", fits=r"lost|−1|-1|negative|xor|\^")
def counts_every_difference(before, after, seed):
    """A lost start counts like a won one: before != after."""
    gain = (before != after).astype(float)
    drawn = np.random.default_rng(seed).integers(len(gain), size=(RESAMPLES, len(gain)))
    low, high = np.quantile(gain[drawn].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


@wrong("paired_bootstrap", fits=r"share|100|points|percent|0\.06")
def in_points(before, after, seed):
    """Gives points, not shares."""
    gain = after.astype(float) - before.astype(float)
    drawn = np.random.default_rng(seed).integers(len(gain), size=(RESAMPLES, len(gain)))
    low, high = 100 * np.quantile(gain[drawn].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


@wrong("paired_bootstrap", fits=r"mean|average|axis|single")
def middle_of_single_starts(before, after, seed):
    """The middle 95 % of single gains, without the mean of each repetition."""
    gain = after.astype(float) - before.astype(float)
    drawn = np.random.default_rng(seed).integers(len(gain), size=(RESAMPLES, len(gain)))
    low, high = np.quantile(gain[drawn], [0.025, 0.975])
    return float(low), float(high)


@wrong("paired_bootstrap", fits=r"axis|each repetition|every repetition|narrow|spread")
def mean_over_the_wrong_axis(before, after, seed):
    """Averages over the repetitions, which leaves hardly any spread."""
    gain = after.astype(float) - before.astype(float)
    drawn = np.random.default_rng(seed).integers(len(gain), size=(RESAMPLES, len(gain)))
    low, high = np.quantile(gain[drawn].mean(axis=0), [0.025, 0.975])
    return float(low), float(high)


@wrong(
    "paired_bootstrap",
    fits=r"as many|\bN\b|number of starts|starts as|how many|every repetition|n starts|draws",
)
def a_hundred_starts_always(before, after, seed):
    """Draws 100 starts for each repetition, however many there were."""
    gain = after.astype(float) - before.astype(float)
    drawn = np.random.default_rng(seed).integers(len(gain), size=(RESAMPLES, 100))
    low, high = np.quantile(gain[drawn].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


@wrong("paired_bootstrap", fits=r"last|N − 1|N - 1|every start|never drawn|all starts|0 to")
def never_the_last_start(before, after, seed):
    """integers(N - 1) never draws the last start."""
    gain = after.astype(float) - before.astype(float)
    drawn = np.random.default_rng(seed).integers(max(1, len(gain) - 1), size=(RESAMPLES, len(gain)))
    low, high = np.quantile(gain[drawn].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


@wrong(
    "paired_bootstrap",
    fits=r"nothing changed|no change|unchanged|all starts|every start|\b0\b|both did|ties|as many",
)
def only_starts_that_differ(before, after, seed):
    """Throws away the starts where both did the same, as McNemar's test does."""
    gain = after.astype(float) - before.astype(float)
    gain = gain[gain != 0] if (gain != 0).any() else gain
    drawn = np.random.default_rng(seed).integers(len(gain), size=(RESAMPLES, len(gain)))
    low, high = np.quantile(gain[drawn].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


@wrong("paired_bootstrap", fits=r"first policy.s|relative|divid|difference|points|0\.06")
def a_relative_gain(before, after, seed):
    """Divides by the first policy's rate: a gain in percent of it."""
    gain = after.astype(float) - before.astype(float)
    drawn = np.random.default_rng(seed).integers(len(gain), size=(RESAMPLES, len(gain)))
    low, high = np.quantile(gain[drawn].mean(axis=1), [0.025, 0.975]) / max(before.mean(), 1e-9)
    return float(low), float(high)


@wrong("paired_bootstrap", fits=r"in place|input|argument|change|copy|sort|order|pair|same start")
def sorts_first(before, after, seed):
    """Sorts both lists in place, which mixes the pairs and changes what the caller holds."""
    before.sort()
    after.sort()
    gain = after.astype(float) - before.astype(float)
    drawn = np.random.default_rng(seed).integers(len(gain), size=(RESAMPLES, len(gain)))
    low, high = np.quantile(gain[drawn].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


@right("paired_bootstrap")
def won_and_lost_as_counts(before, after, seed):
    """How many starts of each kind a repetition draws is multinomial."""
    count = len(before)
    won, lost = int((after & ~before).sum()), int((before & ~after).sum())
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(count, [won / count, lost / count, (count - won - lost) / count], size=RESAMPLES)
    low, high = np.quantile((drawn[:, 0] - drawn[:, 1]) / count, (0.025, 0.975))
    return float(low), float(high)


@right("paired_bootstrap")
def the_same_rows_of_both(before, after, seed):
    """Draws rows of both policies together, takes the difference of the two rates, and sorts."""
    state, count = np.random.RandomState(seed), len(after)
    rows = state.randint(0, count, (RESAMPLES, count))
    means = np.sort(after[rows].mean(1) - before[rows].mean(1))
    return float(means[249]), float(means[9749])


@right("paired_bootstrap")
def with_torchs_generator(before, after, seed):
    """torch draws, from a generator of its own."""
    dice = torch.Generator().manual_seed(seed)
    gain = torch.from_numpy(after.astype(np.float64)) - torch.from_numpy(before.astype(np.float64))
    drawn = torch.randint(len(gain), (RESAMPLES, len(gain)), generator=dice)
    ends = torch.quantile(gain[drawn].mean(1), torch.tensor([0.025, 0.975], dtype=torch.float64))
    return ends[0].item(), ends[1].item()


# --- 07.2, other answers


def _count(rate_a, rate_b, margins, variance=None):
    if variance is None:
        variance = rate_a * (1 - rate_a) + rate_b * (1 - rate_b)
    return math.ceil(margins**2 * variance / (rate_a - rate_b) ** 2)


@wrong("episodes_needed", fits=r"two-sided|0\.975|both sides|1\.96|5 %|one-sided")
def one_sided(rate_a, rate_b, power=0.8):
    """A one-sided test: 0.95 instead of 0.975."""
    return _count(rate_a, rate_b, NormalDist().inv_cdf(0.95) + NormalDist().inv_cdf(power))


@wrong("episodes_needed", fits=r"pool|sum of both|own|each.*variance|p\(1|variance")
def pooled(rate_a, rate_b, power=0.8):
    """The variance of the mean rate, twice: pooled."""
    middle = (rate_a + rate_b) / 2
    return _count(
        rate_a, rate_b, NormalDist().inv_cdf(0.975) + NormalDist().inv_cdf(power), 2 * middle * (1 - middle)
    )


@wrong("episodes_needed", fits=r"squar|gap|²|half the difference|four times")
def gap_not_squared(rate_a, rate_b, power=0.8):
    """Divides by the gap, not by its square."""
    margins = NormalDist().inv_cdf(0.975) + NormalDist().inv_cdf(power)
    variance = rate_a * (1 - rate_a) + rate_b * (1 - rate_b)
    return math.ceil(margins**2 * variance / abs(rate_a - rate_b))


@wrong("episodes_needed", fits=r"power")
def power_of_eighty_percent_always(rate_a, rate_b, power=0.8):
    """Ignores `power`."""
    return _count(rate_a, rate_b, NormalDist().inv_cdf(0.975) + NormalDist().inv_cdf(0.8))


@wrong("episodes_needed", fits=r"round|ceil|\bup\b")
def rounded_to_the_nearest(rate_a, rate_b, power=0.8):
    """round() instead of up."""
    margins = NormalDist().inv_cdf(0.975) + NormalDist().inv_cdf(power)
    variance = rate_a * (1 - rate_a) + rate_b * (1 - rate_b)
    return round(margins**2 * variance / (rate_a - rate_b) ** 2)


@wrong("episodes_needed", fits=r"margin|sum|add|squar|²|together")
def squares_added(rate_a, rate_b, power=0.8):
    """Adds the squares of the margins instead of squaring their sum."""
    sure, strong = NormalDist().inv_cdf(0.975), NormalDist().inv_cdf(power)
    return _count(rate_a, rate_b, math.hypot(sure, strong))


@wrong("episodes_needed", fits=r"\bint|whole|type|float")
def a_float_of_numpy(rate_a, rate_b, power=0.8):
    """np.ceil gives a float."""
    margins = NormalDist().inv_cdf(0.975) + NormalDist().inv_cdf(power)
    variance = rate_a * (1 - rate_a) + rate_b * (1 - rate_b)
    return float(np.ceil(margins**2 * variance / (rate_a - rate_b) ** 2))


@wrong("episodes_needed", fits=r"each|of both|together|total|twice|one policy")
def both_policies_together(rate_a, rate_b, power=0.8):
    """The episodes of both policies together."""
    return 2 * _count(rate_a, rate_b, NormalDist().inv_cdf(0.975) + NormalDist().inv_cdf(power))


@wrong("episodes_needed", fits=r"both|\bsum|second|rate_b|each of")
def variance_of_the_first_alone(rate_a, rate_b, power=0.8):
    """Only the first policy scatters."""
    margins = NormalDist().inv_cdf(0.975) + NormalDist().inv_cdf(power)
    return _count(rate_a, rate_b, margins, rate_a * (1 - rate_a))


@wrong("episodes_needed", fits=r"variance|p\(1|standard deviation|root|sqrt")
def spread_for_variance(rate_a, rate_b, power=0.8):
    """Adds standard deviations instead of variances."""
    margins = NormalDist().inv_cdf(0.975) + NormalDist().inv_cdf(power)
    return _count(
        rate_a, rate_b, margins, math.sqrt(rate_a * (1 - rate_a)) + math.sqrt(rate_b * (1 - rate_b))
    )


@wrong("episodes_needed", fits=r"power|sum|margin|add|sign|inv_cdf|more")
def margins_subtracted(rate_a, rate_b, power=0.8):
    """Takes the quantile of 1 - power, which is negative: more power needs fewer episodes."""
    return _count(rate_a, rate_b, NormalDist().inv_cdf(0.975) + NormalDist().inv_cdf(1 - power))


@wrong("episodes_needed", fits=r"power|margin|inv_cdf|quantile|0\.84")
def power_halved_like_the_test(rate_a, rate_b, power=0.8):
    """Takes power for two-sided, too: the quantile of (1 + power) / 2."""
    return _count(rate_a, rate_b, NormalDist().inv_cdf(0.975) + NormalDist().inv_cdf((1 + power) / 2))


@wrong("episodes_needed", fits=r"margin|power|missed|strong|second")
def no_margin_for_power(rate_a, rate_b, power=0.8):
    """The gap stands out of one margin only; power has no part in it."""
    return _count(rate_a, rate_b, NormalDist().inv_cdf(0.975))


@wrong("episodes_needed", fits=r"\bsum|add|half|mean")
def mean_variance(rate_a, rate_b, power=0.8):
    """The mean of the two variances instead of their sum."""
    margins = NormalDist().inv_cdf(0.975) + NormalDist().inv_cdf(power)
    return _count(rate_a, rate_b, margins, (rate_a * (1 - rate_a) + rate_b * (1 - rate_b)) / 2)


@wrong("episodes_needed", fits=r"round|digit|exact|1\.96|inv_cdf|margin|power|0\.84|table")
def a_table_of_margins(rate_a, rate_b, power=0.8):
    """Margins out of a table of three powers: any other power is taken for the next one in it."""
    strong = 0.8416 if power <= 0.8 else 1.2816 if power <= 0.9 else 1.6449
    return _count(rate_a, rate_b, 1.96 + strong)


@right("episodes_needed")
def with_erfinv(rate_a, rate_b, power=0.8):
    """The inverse error function of torch, and a ceiling made of whole-number division."""
    quantile = lambda share: (
        math.sqrt(2) * torch.erfinv(torch.tensor(2 * share - 1, dtype=torch.float64)).item()
    )
    spread = math.sqrt(rate_a * (1 - rate_a) + rate_b * (1 - rate_b))
    needed = ((quantile(0.975) + quantile(power)) * spread / abs(rate_b - rate_a)) ** 2
    return int(-(-needed // 1))


@right("episodes_needed")
def smallest_that_is_enough(rate_a, rate_b, power=0.8):
    """Doubles, then halves, until it has the smallest number whose power is enough."""
    sure = NormalDist().inv_cdf(0.975)
    variance = rate_a * (1 - rate_a) + rate_b * (1 - rate_b)
    strong = NormalDist().inv_cdf(power)

    def enough(count):
        return abs(rate_a - rate_b) * math.sqrt(count) >= (sure + strong) * math.sqrt(variance)

    high = 1
    while not enough(high):
        high *= 2
    low = -1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


@right("episodes_needed")
def from_the_other_tail(rate_a, rate_b, power=0.8):
    """The margins from the lower tails, both negative."""
    margin = NormalDist(0, 1).inv_cdf(0.05 / 2) + NormalDist(0, 1).inv_cdf(1 - power)
    scatter = sum(rate - rate**2 for rate in (rate_a, rate_b))
    return int(np.ceil(scatter * (margin / (rate_b - rate_a)) ** 2))


# --- 07.3, other answers


@wrong("wrong_instructions", fits=r"own|same (words|text)|place|another episode may")
def another_place_in_the_list(instructions, rng):
    """Another episode, whose words may be the same."""
    picked = []
    for place in range(len(instructions)):
        other = int(rng.integers(len(instructions) - 1))
        picked.append(instructions[other + (other >= place)])
    return picked


@wrong("wrong_instructions", fits=r"anew|each episode|every episode|once for|own draw|drawn again|one draw")
def one_draw_for_each_text(instructions, rng):
    """Draws once for each distinct text, so that all its episodes are told the same."""
    wrong_for = {}
    for own in instructions:
        if own not in wrong_for:
            wrong_for[own] = str(rng.choice([text for text in instructions if text != own]))
    return [wrong_for[own] for own in instructions]


@wrong("wrong_instructions", fits=r"rng|generator|global|np\.random|seed")
def from_the_global_generator(instructions, rng):
    """Python's global generator instead of rng."""
    return [random.choice([text for text in instructions if text != own]) for own in instructions]


@wrong("wrong_instructions", fits=r"own|shuffl|permut|never|anew")
def shuffled(instructions, rng):
    """A permutation, in which some keep their own words."""
    return [str(text) for text in rng.permutation(np.array(instructions, dtype=object))]


@wrong("wrong_instructions", fits=r"in place|input|argument|change|copy|shuffle|caller|tuple|list given")
def shuffles_the_list_it_was_given(instructions, rng):
    """Shuffles its argument in place, then looks for the first other text: also one text for nearly all."""
    own_words = list(instructions)
    said = []
    for own in own_words:
        rng.shuffle(instructions)
        said.append(next(text for text in instructions if text != own))
    return said


@wrong("wrong_instructions", fits=r"rng|draw|random|chance|always|generator")
def the_next_that_differs(instructions, rng):
    """The next episode with other words: nothing is drawn."""
    said = []
    for place, own in enumerate(instructions):
        turned = [*instructions[place + 1 :], *instructions[:place]]
        said.append(next(text for text in turned if text != own))
    return said


@wrong("wrong_instructions", fits=r"rng|draw|random|always|first|generator")
def the_first_other_text(instructions, rng):
    """Always the first other text of the list."""
    return [next(text for text in instructions if text != own) for own in instructions]


@wrong(
    "wrong_instructions", fits=r"empty|nothing|usual|another episode|same set|come from|other texts?|words of"
)
def no_words_at_all(instructions, rng):
    """Says nothing, as if that were a wrong instruction."""
    return ["" for _ in instructions]


@wrong("wrong_instructions", fits=r"anew|used|replacement|again|empty|twice|run out|once|cannot|each text")
def every_text_once(instructions, rng):
    """Takes each drawn text out of the pool, which may be empty of other words before the end."""
    pool, said = list(instructions), []
    for own in instructions:
        text = str(rng.choice([one for one in pool if one != own]))
        pool.remove(text)
        said.append(text)
    return said


@wrong(
    "wrong_instructions", fits=r"equal|==|!=|contain|part|longer|whole|exact|another|cannot|empty|substring"
)
def not_even_a_part(instructions, rng):
    """Leaves out every text in which its own words occur: “fold the towel” never gets “fold the towel in half”."""
    return [str(rng.choice([text for text in instructions if own not in text])) for own in instructions]


@wrong("wrong_instructions", fits=r"last|every|all|never drawn|any other|high|empty")
def never_the_last_text(instructions, rng):
    """integers(len - 1) never draws the last of the others."""
    said = []
    for own in instructions:
        others = [text for text in instructions if text != own]
        said.append(others[int(rng.integers(max(1, len(others) - 1)))])
    return said


@wrong("wrong_instructions", fits=r"own words|own text|its own|each episode|every episode|first")
def the_others_of_the_first(instructions, rng):
    """Leaves out the first episode's words for all episodes."""
    others = [text for text in instructions if text != instructions[0]]
    return [str(text) for text in rng.choice(others, size=len(instructions))]


@wrong(
    "wrong_instructions", fits=r"every episode|each episode|one (text )?for|length|as many|number|how many"
)
def one_for_each_distinct_text(instructions, rng):
    """One text for each distinct instruction, not for each episode."""
    distinct = list(dict.fromkeys(instructions))
    return [str(rng.choice([text for text in instructions if text != own])) for own in distinct]


@right("wrong_instructions")
def draws_until_it_differs(instructions, rng):
    """Draws again while it is its own text."""
    said = []
    for own in instructions:
        text = own
        while text == own:
            text = instructions[int(rng.integers(len(instructions)))]
        said.append(text)
    return said


@right("wrong_instructions")
def places_with_other_words(instructions, rng):
    """Places of other texts through numpy, one drawn with its number."""
    texts = np.array(list(instructions), dtype=object)
    return [str(texts[rng.choice(np.flatnonzero(texts != own))]) for own in texts]


@right("wrong_instructions")
def first_of_a_shuffle(instructions, rng):
    """The first other text in a new order for each episode."""
    texts, said = list(instructions), []
    for own in texts:
        order = rng.permutation(len(texts))
        said.append(next(texts[place] for place in order if texts[place] != own))
    return said


@right("wrong_instructions")
def with_a_share_of_one(instructions, rng):
    """rng.random scaled to the number of others."""
    pools = {own: tuple(text for text in instructions if text != own) for own in dict.fromkeys(instructions)}
    return [pools[own][math.floor(rng.random() * len(pools[own]))] for own in instructions]


# --- 07.4, other answers


@wrong("action_token_accuracy", fits=r"shift|next|after|align|position|\[:, :-1\]|\[:, 1:\]|line")
def not_shifted(logits, labels, vocabulary_size=32000):
    """Compares the logits with the labels at the same place."""
    action = (labels >= vocabulary_size - BINS) & (labels < vocabulary_size)
    return float((logits.argmax(-1) == labels)[action].double().mean())


@wrong("action_token_accuracy", fits=r"shift|next|after|align|position|\[:, :-1\]|\[:, 1:\]|direction|line")
def shifted_the_wrong_way(logits, labels, vocabulary_size=32000):
    """Compares with the token before."""
    predicted, wanted = logits[:, 1:].argmax(-1), labels[:, :-1]
    action = (wanted >= vocabulary_size - BINS) & (wanted < vocabulary_size)
    return float((predicted == wanted)[action].double().mean())


@wrong("action_token_accuracy", fits=r"stop|action tokens|other labels|last 256|only|prompt")
def all_that_is_learned(logits, labels, vocabulary_size=32000):
    """Counts every label that is not -100, the stop token among them."""
    predicted, wanted = logits[:, :-1].argmax(-1), labels[:, 1:]
    return float((predicted == wanted)[wanted != -100].double().mean())


@wrong("action_token_accuracy", fits=r"together|each sequence|per sequence|all sequences|mean of|sequences")
def mean_of_the_sequences(logits, labels, vocabulary_size=32000):
    """The mean of each sequence's share: short ones count as much as long ones."""
    predicted, wanted = logits[:, :-1].argmax(-1), labels[:, 1:]
    action = (wanted >= vocabulary_size - BINS) & (wanted < vocabulary_size)
    right_ones, counts = ((predicted == wanted) & action).sum(1), action.sum(1)
    return float((right_ones.double() / counts.clamp(min=1)).mean())


@wrong("action_token_accuracy", fits=r"first|lowest|256|vocabulary_size - BINS|from|edge|>=|31744|range")
def without_the_lowest_bin(logits, labels, vocabulary_size=32000):
    """> instead of >=: the lowest of the 256 does not count."""
    predicted, wanted = logits[:, :-1].argmax(-1), labels[:, 1:]
    action = (wanted > vocabulary_size - BINS) & (wanted < vocabulary_size)
    return float((predicted == wanted)[action].double().mean())


@wrong("action_token_accuracy", fits=r"last|highest|vocabulary_size - 1|256|edge|range|31999")
def without_the_highest_bin(logits, labels, vocabulary_size=32000):
    """The last token of the vocabulary does not count."""
    predicted, wanted = logits[:, :-1].argmax(-1), labels[:, 1:]
    action = (wanted >= vocabulary_size - BINS) & (wanted < vocabulary_size - 1)
    return float((predicted == wanted)[action].double().mean())


@wrong(
    "action_token_accuracy", fits=r"beyond|padding|above|vocabulary_size|upper|columns|other labels|last 256"
)
def no_upper_end_in_another_way(logits, labels, vocabulary_size=32000):
    """Labels beyond the vocabulary count, too."""
    predicted, wanted = logits[:, :-1].argmax(-1), labels[:, 1:]
    return float((predicted == wanted)[wanted >= vocabulary_size - BINS].double().mean())


@wrong("action_token_accuracy", fits=r"padding|columns|vocabulary_size|head")
def the_heads_columns_for_the_vocabulary(logits, labels, vocabulary_size=32000):
    """Takes the last 256 columns of the head, padding included, for the action tokens."""
    vocabulary_size = logits.shape[-1]
    predicted, wanted = logits[:, :-1].argmax(-1), labels[:, 1:]
    action = (wanted >= vocabulary_size - BINS) & (wanted < vocabulary_size)
    return float((predicted == wanted)[action].double().mean())


@wrong("action_token_accuracy", fits=r"vocabulary_size|32000|31744")
def always_32000(logits, labels, vocabulary_size=32000):
    """Ignores vocabulary_size."""
    predicted, wanted = logits[:, :-1].argmax(-1), labels[:, 1:]
    action = (wanted >= 31744) & (wanted < 32000)
    return float((predicted == wanted)[action].double().mean()) if action.any() else 0.0


@wrong(
    "action_token_accuracy",
    fits=r"all tokens|whole vocabulary|any token|every column|all columns|exactly|among|restrict|argmax|other token|not an action",
)
def best_of_the_action_tokens(logits, labels, vocabulary_size=32000):
    """The best of the 256 columns only: a word predicted in the place of an action is overlooked."""
    begin = vocabulary_size - BINS
    predicted, wanted = logits[:, :-1, begin:vocabulary_size].argmax(-1) + begin, labels[:, 1:]
    action = (wanted >= begin) & (wanted < vocabulary_size)
    return float((predicted == wanted)[action].double().mean())


@wrong("action_token_accuracy", fits=r"label|wanted|expert.s|mask|what counts")
def mask_of_the_predictions(logits, labels, vocabulary_size=32000):
    """Counts where an action token is predicted, not where one is wanted."""
    predicted, wanted = logits[:, :-1].argmax(-1), labels[:, 1:]
    action = (predicted >= vocabulary_size - BINS) & (predicted < vocabulary_size)
    return float((predicted == wanted)[action].double().mean()) if action.any() else 0.0


@wrong("action_token_accuracy", fits=r"exact|neighbour|near|same token|off by|one step|close")
def a_neighbour_will_do(logits, labels, vocabulary_size=32000):
    """A neighbouring bin counts as right."""
    predicted, wanted = logits[:, :-1].argmax(-1), labels[:, 1:]
    action = (wanted >= vocabulary_size - BINS) & (wanted < vocabulary_size)
    return float(((predicted - wanted).abs() <= 1)[action].double().mean())


@wrong("action_token_accuracy", fits=r"seven|last|mask|action tokens|where|place|position|padding|stop")
def the_last_seven(logits, labels, vocabulary_size=32000):
    """The last seven tokens before the stop, wherever the action really is."""
    predicted, wanted = logits[:, :-1].argmax(-1)[:, -8:-1], labels[:, 1:][:, -8:-1]
    return float((predicted == wanted).double().mean())


@wrong("action_token_accuracy", fits=r"batch|sequences|first|all")
def the_first_sequence_only(logits, labels, vocabulary_size=32000):
    """Right for a batch of one."""
    predicted, wanted = logits[0, :-1].argmax(-1), labels[0, 1:]
    action = (wanted >= vocabulary_size - BINS) & (wanted < vocabulary_size)
    return float((predicted == wanted)[action].double().mean())


@wrong("action_token_accuracy", fits=r"only|divid|action tokens|mask|do not count|positions|share of|number")
def share_of_all_positions(logits, labels, vocabulary_size=32000):
    """Divides by all positions, not by the action tokens."""
    predicted, wanted = logits[:, :-1].argmax(-1), labels[:, 1:]
    action = (wanted >= vocabulary_size - BINS) & (wanted < vocabulary_size)
    return float(((predicted == wanted) & action).double().mean())


@wrong("action_token_accuracy", fits=r"in place|input|argument|change|copy|untouched|labels")
def marks_the_labels(logits, labels, vocabulary_size=32000):
    """Writes -100 into the caller's labels."""
    labels[(labels < vocabulary_size - BINS) | (labels >= vocabulary_size)] = -100
    predicted, wanted = logits[:, :-1].argmax(-1), labels[:, 1:]
    return float((predicted == wanted)[wanted != -100].double().mean())


@wrong("action_token_accuracy", fits=r"bfloat16|numpy|dtype|detach|grad|16 bits|type")
def through_numpy_as_it_is(logits, labels, vocabulary_size=32000):
    """numpy knows neither bfloat16 nor tensors that need a gradient."""
    predicted, wanted = logits[:, :-1].numpy().argmax(-1), labels[:, 1:].numpy()
    action = (wanted >= vocabulary_size - BINS) & (wanted < vocabulary_size)
    return float((predicted == wanted)[action].mean())


@wrong("action_token_accuracy", fits=r"share|percent|100")
def in_percent(logits, labels, vocabulary_size=32000):
    """Percent, not a share."""
    predicted, wanted = logits[:, :-1].argmax(-1), labels[:, 1:]
    action = (wanted >= vocabulary_size - BINS) & (wanted < vocabulary_size)
    return 100 * float((predicted == wanted)[action].double().mean())


@right("action_token_accuracy")
def token_by_token(logits, labels, vocabulary_size=32000):
    """Plain loops and two counters."""
    best, right_ones, count = logits.argmax(-1).tolist(), 0, 0
    for row, wanted in zip(best, labels.tolist(), strict=True):
        for place in range(1, len(wanted)):
            if vocabulary_size - 256 <= wanted[place] <= vocabulary_size - 1:
                count += 1
                right_ones += row[place - 1] == wanted[place]
    return right_ones / count


@right("action_token_accuracy")
def labels_rolled(logits, labels, vocabulary_size=32000):
    """Rolls a copy of the labels by one and blanks what comes round."""
    wanted = labels.roll(-1, dims=1)
    wanted[:, -1] = -100
    bins = vocabulary_size - 1 - wanted
    action = bins.ge(0) & bins.lt(BINS)
    return torch.masked_select(logits.max(-1).indices.eq(wanted), action).double().mean().item()


@right("action_token_accuracy")
def through_numpy_in_float(logits, labels, vocabulary_size=32000):
    """numpy after detach and float, the places found first."""
    wanted = labels.detach().cpu().numpy()
    rows, places = np.nonzero(np.isin(wanted, np.arange(vocabulary_size - BINS, vocabulary_size)))
    rows, places = rows[places > 0], places[places > 0]
    best = logits.detach().cpu().float().numpy()[rows, places - 1].argmax(-1)
    return float(np.count_nonzero(best == wanted[rows, places]) / len(rows))


# --- Neighbours of these mistakes


@wrong("paired_bootstrap", "quotient")
def the_quotient_of_the_rates(before, after, seed):
    """How many times as often the second policy succeeds, less 1."""
    rows = np.random.default_rng(seed).integers(len(before), size=(RESAMPLES, len(before)))
    low, high = np.quantile(after[rows].mean(1) / np.maximum(before[rows].mean(1), 1e-9) - 1, [0.025, 0.975])
    return float(low), float(high)


@wrong("paired_bootstrap", "as many starts as there were")
def thirty_starts_always(before, after, seed):
    """Draws 30 starts for each repetition."""
    values = gain(before, after)
    rows = np.random.default_rng(seed).integers(len(values), size=(RESAMPLES, 30))
    low, high = np.quantile(values[rows].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


@wrong("wrong_instructions", "whole texts")
def not_a_part_of_its_own(instructions, rng):
    """Leaves out every text that is a part of the own words."""
    return [str(rng.choice([text for text in instructions if text not in own])) for own in instructions]


@wrong("wrong_instructions", "whole texts")
def not_beginning_alike(instructions, rng):
    """Leaves out every text that begins like the own words."""
    return [
        str(rng.choice([text for text in instructions if not text.startswith(own)])) for own in instructions
    ]


@wrong("wrong_instructions", "first of the other texts")
def never_the_first_text(instructions, rng):
    """Places from 1 on never draw the first of the others."""
    told = []
    for own in instructions:
        texts = [text for text in instructions if text != own]
        told.append(texts[int(rng.integers(min(1, len(texts) - 1), len(texts)))])
    return told


@wrong("action_token_accuracy", "predicted \\*and\\* wanted")
def where_both_are_action_tokens(logits, labels, vocabulary_size=32000):
    """Counts only where an action token is wanted and predicted."""
    predicted, wanted = logits[:, :-1].argmax(-1), labels[:, 1:]
    first = vocabulary_size - BINS
    action = (wanted >= first) & (wanted < vocabulary_size) & (predicted >= first)
    return float((predicted == wanted)[action].double().mean())


@wrong("action_token_accuracy", "predicted \\*or\\* wanted")
def where_either_is_an_action_token(logits, labels, vocabulary_size=32000):
    """Counts where an action token is wanted or predicted."""
    predicted, wanted = logits[:, :-1].argmax(-1), labels[:, 1:]
    action = torch.zeros_like(wanted, dtype=torch.bool)
    for tokens in (predicted, wanted):
        action |= (tokens >= vocabulary_size - BINS) & (tokens < vocabulary_size)
    return float((predicted == wanted)[action].double().mean())


@wrong("action_token_accuracy", "neighbouring bin")
def within_three_bins(logits, labels, vocabulary_size=32000):
    """Three bins off still count as right."""
    predicted, wanted = logits[:, :-1].argmax(-1), labels[:, 1:]
    action = (wanted >= vocabulary_size - BINS) & (wanted < vocabulary_size)
    return float(((predicted - wanted).abs() <= 3)[action].double().mean())


@wrong("action_token_accuracy", "last seven labels, the stop among them")
def the_last_seven_and_the_stop(logits, labels, vocabulary_size=32000):
    """The last seven labels, whatever they are."""
    return float((logits[:, -8:-1].argmax(-1) == labels[:, -7:]).double().mean())


# --- written from the notebook alone, a second time


@wrong("paired_bootstrap", fits=r"−1|-1|lost|negative|minus|unsigned|overflow|255|wrap|astype|float")
def gains_without_a_sign(before, after, seed):
    """Gains as uint8: a lost start counts +255 instead of −1."""
    gain = after.astype(np.uint8) - before.astype(np.uint8)
    rng = np.random.default_rng(seed)
    drawn = rng.integers(len(gain), size=(RESAMPLES, len(gain)))
    low, high = np.quantile(gain[drawn].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


@wrong(
    "paired_bootstrap",
    fits=r"nothing changed|unchanged|all starts|every start|as many starts|differ|ties|did not change|left out|same outcome|gain (is|of) 0",
)
def only_starts_that_differ_once_more(before, after, seed):
    """Leaves out the starts at which both did alike, as McNemar's test does: the gain is far too large."""
    gain = after.astype(float) - before.astype(float)
    gain = gain[gain != 0]
    if len(gain) == 0:
        return 0.0, 0.0
    drawn = np.random.default_rng(seed).integers(len(gain), size=(RESAMPLES, len(gain)))
    low, high = np.quantile(gain[drawn].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


@wrong("paired_bootstrap", fits=r"as many starts|axis|narrow|RESAMPLES|10.?000|size|shape|repetition|swapped")
def few_repetitions_of_many_starts(before, after, seed):
    """Shape (N, RESAMPLES) with the mean over axis 1: N repetitions of 10 000 starts each, much too narrow."""
    gain = after.astype(float) - before.astype(float)
    drawn = np.random.default_rng(seed).integers(len(gain), size=(len(gain), RESAMPLES))
    low, high = np.quantile(gain[drawn].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


@wrong("paired_bootstrap", fits=r"quantile|middle 95|percentile|mirror|reflect|turned round|skew|basic|pivot")
def mirrored_at_the_mean(before, after, seed):
    """The basic bootstrap: quantiles mirrored at the observed gain, not the middle of the repetitions itself."""
    gain = after.astype(float) - before.astype(float)
    drawn = np.random.default_rng(seed).integers(len(gain), size=(RESAMPLES, len(gain)))
    low, high = np.quantile(gain[drawn].mean(axis=1), [0.025, 0.975])
    return float(2 * gain.mean() - high), float(2 * gain.mean() - low)


@right("paired_bootstrap")
def counts_of_three_outcomes(before, after, seed):
    """Draws how many starts are won, lost and unchanged (multinomial): the same distribution, without any places."""
    count = len(before)
    won, lost = np.sum(after & ~before), np.sum(before & ~after)
    shares = np.array([won, lost, count - won - lost]) / count
    drawn = np.random.default_rng(seed).multinomial(count, shares, size=RESAMPLES)
    low, high = np.percentile((drawn[:, 0] - drawn[:, 1]) / count, (2.5, 97.5))
    return float(low), float(high)


@wrong(
    "episodes_needed",
    fits=r"correct|normal approximation|margins?|variance|too many|formula|uncorrected|continuity",
)
def with_fleiss_correction(rate_a, rate_b, power=0.8):
    """With the continuity correction of the same chapter, a few per cent too many."""
    margin = NormalDist().inv_cdf(0.975) + NormalDist().inv_cdf(power)
    gap = abs(rate_a - rate_b)
    plain = margin**2 * (rate_a * (1 - rate_a) + rate_b * (1 - rate_b)) / gap**2
    if plain == 0:
        return 0
    return math.ceil(plain / 4 * (1 + math.sqrt(1 + 4 / (plain * gap))) ** 2)


@wrong("episodes_needed", fits=r"power|miss|0\.84|sign|more episodes|strong|second margin|add")
def the_other_end_of_the_power(rate_a, rate_b, power=0.8):
    """inv_cdf(1 − power) is negative: the more power is wanted, the fewer episodes."""
    sure, strong = NormalDist().inv_cdf(0.975), NormalDist().inv_cdf(1 - power)
    variance = rate_a * (1 - rate_a) + rate_b * (1 - rate_b)
    return math.ceil((sure + strong) ** 2 * variance / (rate_a - rate_b) ** 2)


@wrong("episodes_needed", fits=r"\bint\b|integer|whole number|float|kind|type|math\.ceil")
def a_float_rounded_up(rate_a, rate_b, power=0.8):
    """np.ceil gives a float, not an int."""
    margin = NormalDist().inv_cdf(0.975) + NormalDist().inv_cdf(power)
    variance = rate_a * (1 - rate_a) + rate_b * (1 - rate_b)
    return np.ceil(margin**2 * variance / (rate_a - rate_b) ** 2)


@wrong("episodes_needed", fits=r"each|both|together|twice|total|double|of one|per policy|half|variance|sum")
def episodes_of_both_together(rate_a, rate_b, power=0.8):
    """The episodes of both policies together, not of each."""
    margin = NormalDist().inv_cdf(0.975) + NormalDist().inv_cdf(power)
    variance = rate_a * (1 - rate_a) + rate_b * (1 - rate_b)
    return 2 * math.ceil(margin**2 * variance / (rate_a - rate_b) ** 2)


@right("episodes_needed")
def by_the_margins_in_deviations(rate_a, rate_b, power=0.8):
    """Quantiles from the upper end, rates in a loop, and the ceiling as a negative floor."""
    normal = NormalDist()
    margins = -normal.inv_cdf(0.025) - normal.inv_cdf(1 - power)
    deviation = np.sqrt(sum(rate - rate**2 for rate in (rate_a, rate_b)))
    return -int(-((margins * float(deviation) / (rate_b - rate_a)) ** 2) // 1)


@wrong(
    "wrong_instructions",
    fits=r"\bend(s|less)?\b|\btime|seconds|loop|shuffl|permut|more than half|majority|most episodes|for ever|forever|too long",
)
def shuffles_until_nobody_has_its_own(instructions, rng):
    """Shuffles until no text stands at its place: endless where one text is more than half of them, and not drawn one by one."""
    texts = list(instructions)
    while any(text == own for text, own in zip(texts, instructions, strict=True)):
        rng.shuffle(texts)
    return [str(text) for text in texts]


@wrong(
    "wrong_instructions",
    fits=r"anew|each|every episode|once for every|one draw|single|same text|all episodes",
)
def one_draw_for_each_text_once_more(instructions, rng):
    """Draws once for each different text: all episodes with the same words are told the same."""
    swap = {}
    for own in instructions:
        if own not in swap:
            swap[own] = str(rng.choice([text for text in instructions if text != own]))
    return [swap[own] for own in instructions]


@wrong("wrong_instructions", fits=r"\brng\b|generator|same seed|repeat|np\.random|global|reproduc")
def with_the_global_generator(instructions, rng):
    """Draws with numpy's global generator; `rng` is ignored, so the same seed says other words."""
    return [str(np.random.choice([text for text in instructions if text != own])) for own in instructions]


@wrong(
    "wrong_instructions",
    fits=r"empty|substring|part of|contain|inside|equal|!=|begin|shorter|not in|longer|other texts|all that",
)
def no_text_that_is_part_of_its_own(instructions, rng):
    """`text not in own` compares letters, not texts: a shorter text that stands inside one's own is never drawn."""
    return [str(rng.choice([text for text in instructions if text not in own])) for own in instructions]


@right("wrong_instructions")
def draws_until_it_differs_once_more(instructions, rng):
    """Draws a place among all episodes, again while it says one's own words."""
    if len(set(instructions)) == 1:
        raise ValueError("all say the same")
    told = []
    for own in instructions:
        text = own
        while text == own:
            text = instructions[int(rng.integers(0, len(instructions)))]
        told.append(text)
    return told


@wrong(
    "action_token_accuracy",
    fits=r"whole vocabulary|all columns|other tokens?|restrict|argmax|among|any token|only the (last|action)|not an action|no action token|exactly|prediction.*action",
)
def the_best_action_token_once_more(logits, labels, vocabulary_size=32000):
    """Looks for the largest logit among action tokens only: an answer that is no action counts as right."""
    first = vocabulary_size - BINS
    predicted, wanted = logits[:, :-1, first:vocabulary_size].argmax(-1) + first, labels[:, 1:]
    action = (wanted >= first) & (wanted < vocabulary_size)
    return (predicted == wanted)[action].double().mean().item()


@wrong("action_token_accuracy", fits=r"label|wanted|mask|by the prediction|what (is|was) predicted|predicted")
def counts_where_an_action_was_predicted(logits, labels, vocabulary_size=32000):
    """The mask comes from the predictions, so that an action token answered by a word does not count (precision, not accuracy)."""
    predicted, wanted = logits[:, :-1].argmax(-1), labels[:, 1:]
    action = (predicted >= vocabulary_size - BINS) & (predicted < vocabulary_size)
    return float((predicted == wanted)[action].double().mean()) if action.any() else 0.0


@wrong("action_token_accuracy", fits=r"in place|changes|changed|input|argument|copy|overwr|clone")
def marks_the_others_in_the_labels(logits, labels, vocabulary_size=32000):
    """Writes -100 over all other labels of the caller's tensor."""
    labels[(labels < vocabulary_size - BINS) | (labels >= vocabulary_size)] = -100
    predicted, wanted = logits[:, :-1].argmax(-1), labels[:, 1:]
    action = wanted != -100
    return float((predicted == wanted)[action].double().mean())


@wrong(
    "action_token_accuracy",
    fits=r"precis|bfloat16|half|round|number type|dtype|float32|float64|exact share|digits",
)
def mean_in_the_type_of_the_logits(logits, labels, vocabulary_size=32000):
    """The mean is taken in the logits' number type: in bfloat16 it has three digits."""
    predicted, wanted = logits[:, :-1].argmax(-1), labels[:, 1:]
    action = (wanted >= vocabulary_size - BINS) & (wanted < vocabulary_size)
    return (predicted == wanted)[action].to(logits.dtype).mean().item()


@right("action_token_accuracy")
def one_position_after_the_other(logits, labels, vocabulary_size=32000):
    """Plain loops and counts."""
    said, counted, correct = torch.argmax(logits, dim=2).tolist(), 0, 0
    for guesses, texts in zip(said, labels.tolist(), strict=True):
        for guess, token in zip(guesses, texts[1:], strict=False):
            if token in range(vocabulary_size - 256, vocabulary_size):
                counted += 1
                correct += guess == token
    return correct / counted


# --- neighbours of what got through


@wrong("paired_bootstrap", "make floats of both")
def subtracts_truth_values(before, after, seed):
    """NumPy subtracts no booleans."""
    gain = after - before
    drawn = np.random.default_rng(seed).integers(len(gain), size=(10_000, len(gain)))
    low, high = np.quantile(gain[drawn].mean(1), [0.025, 0.975])
    return float(low), float(high)
