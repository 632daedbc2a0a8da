"""Is it really better? The gain of one policy over another, how many episodes it takes to see one, and two fair tests."""

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from vla_course.action_tokens import BINS

RESAMPLES = 10_000


def paired_bootstrap(
    before: Bool[np.ndarray, " N"], after: Bool[np.ndarray, " N"], seed: int
) -> tuple[float, float]:
    """The 95 % interval of the gain in success: low and high, as shares, so that 0.06 is six points.

    `before` and `after` say of every start whether the first and whether the second policy succeeded from it: both began
    from the same starts, and a start that is hard for one is hard for the other. The interval is what the middle 95 % of
    10 000 imagined repetitions of the experiment gave (`RESAMPLES`), each with as many starts as there were, drawn from
    these. The same seed gives the same interval.

    Raises:
        ValueError: the two lists are not of the same starts: their lengths differ, or they are empty.

    Source: Efron and Tibshirani, *An Introduction to the Bootstrap*, 1993, chapter 13 (the percentile interval).
    """
    if len(before) != len(after) or len(before) == 0:
        raise ValueError(
            f"want both policies on the same starts, got {len(before)} and {len(after)} of them: run both on one list of seeds"
        )
    gain = after.astype(float) - before.astype(float)
    rng = np.random.default_rng(seed)
    drawn = rng.integers(len(gain), size=(RESAMPLES, len(gain)))
    low, high = np.quantile(gain[drawn].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


def episodes_needed(rate_a: float, rate_b: float, power: float = 0.8) -> int:
    """How many episodes each of two policies needs for their difference to be seen, rounded up.

    `rate_a` and `rate_b` are the true rates of success. "Seen" means: with probability `power` a two-sided test at 5 % calls
    the difference more than chance. Episodes of the two are independent of one another; on the same starts fewer may do.

    Raises:
        ValueError: the rates are equal or outside [0, 1], or the power is not between 0.5 and 1.

    Source: Fleiss, *Statistical Methods for Rates and Proportions*, 1981, chapter 3 (normal approximation, unpooled).
    """
    if not (0 <= rate_a <= 1 and 0 <= rate_b <= 1) or rate_a == rate_b:
        raise ValueError(f"want two different rates from 0 to 1, got {rate_a} and {rate_b}")
    if not 0.5 <= power < 1:
        raise ValueError(f"power is a probability from 0.5 up to, but not, 1; got {power}")
    sure, strong = NormalDist().inv_cdf(0.975), NormalDist().inv_cdf(power)
    variance = rate_a * (1 - rate_a) + rate_b * (1 - rate_b)
    return math.ceil((sure + strong) ** 2 * variance / (rate_a - rate_b) ** 2)


def wrong_instructions(instructions: Sequence[str], rng: np.random.Generator) -> list[str]:
    """For every episode a text that asks for something else: another episode's, never its own words.

    The texts come from the same set, so that they are as usual as the right ones, and each is drawn anew with `rng`. An
    episode's own text is not given back to it even where it is another episode's too.

    Raises:
        ValueError: all episodes say the same.
    """
    if len(set(instructions)) < 2:
        raise ValueError(
            f"all {len(instructions)} episodes say the same, so none of their texts is wrong: add other tasks"
        )
    others = {own: [text for text in instructions if text != own] for own in set(instructions)}
    return [str(rng.choice(others[own])) for own in instructions]


def action_token_accuracy(
    logits: Float[torch.Tensor, "B L vocabulary"],
    labels: Int[torch.Tensor, "B L"],
    vocabulary_size: int = 32000,
) -> float:
    """The share of action tokens that are predicted exactly, over all sequences of the batch together.

    `logits` and `labels` are aligned as a language model gives and takes them: position t of the logits is its prediction of
    the token after t. Action tokens are the last 256 of the vocabulary; other labels, the stop token and -100 among them,
    do not count. (The head may have more columns than `vocabulary_size`: padding.)

    Raises:
        ValueError: there is no action token in the labels.

    Source: openvla/openvla @ c8f03f48, vla-scripts/finetune.py (action_accuracy).
    """
    predicted, wanted = logits[:, :-1].argmax(-1), labels[:, 1:]
    action = (wanted >= vocabulary_size - BINS) & (wanted < vocabulary_size)
    if not bool(action.any()):
        raise ValueError(
            f"no label from {vocabulary_size - BINS} to {vocabulary_size - 1}: there is no action token to predict"
        )
    return float((predicted == wanted)[action].double().mean())
