"""How fast to learn, step by step."""

import math


def warmup_cosine(step: int, warmup: int, total: int, peak: float) -> float:
    """The learning rate of one step, the first of which is step 0.

    Over the first `warmup` steps it climbs in equal parts, so that the last of them has the peak and the first already learns;
    from there it falls along half a cosine and would reach 0 at step `total`, which is the first that is not taken any more.

    Raises:
        ValueError: steps are negative, or there are no steps after the warm-up.

    Source: Loshchilov and Hutter, *SGDR: Stochastic gradient descent with warm restarts*, 2017, equation 5.
    """
    if not 0 <= warmup < total or step < 0:
        raise ValueError(
            f"want step ≥ 0 and 0 ≤ warmup < total, got step {step}, warmup {warmup}, total {total}"
        )
    if step < warmup:
        return peak * (step + 1) / warmup
    share = min(1.0, (step - warmup) / (total - warmup))
    return peak * 0.5 * (1 + math.cos(math.pi * share))
