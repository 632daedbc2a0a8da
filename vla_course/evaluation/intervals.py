"""Intervals of success rates (Wilson, bootstrap), of gains (paired bootstrap), over trainings (Student), and sample sizes."""

import math
from statistics import NormalDist

import numpy as np
from jaxtyping import Bool, Float

RESAMPLES = 10_000


def wilson_interval(successes: int, episodes: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's interval: low and high, in [0, 1]; it holds the true rate of success in about 95 % of experiments.

    `z` sets that share, in standard deviations of a normal distribution: 1.96 for 95 %.

    Raises:
        ValueError: there are no episodes, or more successes than episodes.

    Source: Wilson, *Probable inference, the law of succession, and statistical inference*, 1927.
    """
    if not 0 <= successes <= episodes or episodes < 1:
        raise ValueError(f"want 0 to {episodes} successes in at least one episode, got {successes}")
    rate = successes / episodes
    middle = rate + z**2 / (2 * episodes)
    half = z * math.sqrt(rate * (1 - rate) / episodes + z**2 / (4 * episodes**2))
    scale = 1 + z**2 / episodes
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


def bootstrap_interval(values: Float[np.ndarray, " N"], seed: int = 0) -> tuple[float, float]:
    """The 95 % interval of the mean, from 10 000 draws of as many values out of these, with replacement.

    It needs no formula and fits any number per episode. For a rate of 0 or 1 it has no width, and `wilson_interval` is right.

    Raises:
        ValueError: there are no values.

    Source: Efron, *Bootstrap methods: another look at the jackknife*, 1979.
    """
    if len(values) == 0:
        raise ValueError("want at least one value")
    drawn = np.random.default_rng(seed).integers(len(values), size=(10_000, len(values)))
    low, high = np.quantile(values[drawn].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


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


def interval_over_trainings(values: Float[np.ndarray, " N"]) -> tuple[float, float]:
    """The 95 % interval of a recipe's mean, from one value for each training: Student's t.

    A value is the success rate of one training, or its gain over another recipe's training. Episodes of one adapter are not
    independent draws of the *recipe*: all share its training seed. So a claim about a recipe counts trainings, not episodes, and
    more episodes of the same adapters do not narrow the interval. It takes the values as draws of a normal distribution, and may
    therefore leave [0, 1]; where rates lie near 0 or 1, show the trainings themselves.

    Raises:
        ValueError: fewer than two trainings, from which no spread can be seen.

    Source: Student, *The probable error of a mean*, 1908.
    """
    if len(values) < 2:
        raise ValueError(
            f"want the values of at least two trainings, got {len(values)}: train with another seed"
        )
    half = student_quantile(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values))
    return float(values.mean() - half), float(values.mean() + half)


def student_quantile(share: float, freedom: int) -> float:
    """The value that Student's t with so many degrees of freedom stays below with probability `share`, from 0.5 up.

    Found by halving, with the finite sum for whole degrees of freedom.

    Source: Abramowitz and Stegun, *Handbook of Mathematical Functions*, 1964, 26.7.3 and 26.7.4.
    """

    def within(t: float) -> float:
        """The probability of a value between −t and t."""
        angle = math.atan2(t, math.sqrt(freedom))
        term, total = math.cos(angle) if freedom % 2 else 1.0, 0.0
        for step in range(1 + freedom % 2, freedom, 2):
            total += term
            term *= step / (step + 1) * math.cos(angle) ** 2
        return 2 / math.pi * (angle + math.sin(angle) * total) if freedom % 2 else math.sin(angle) * total

    low, high = 0.0, 1.0
    while within(high) < 2 * share - 1:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if within(middle) < 2 * share - 1 else (low, middle)
    return high


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
