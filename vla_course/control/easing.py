"""From one answer to another without a jump: for experts whose pupils do not see exactly."""


def rise(value: float, low: float, high: float) -> float:
    """From 0 below `low` to 1 above `high`, smoothly: the cubic whose slope is 0 at both ends."""
    share = min(1.0, max(0.0, (value - low) / (high - low)))
    return share * share * (3 - 2 * share)
