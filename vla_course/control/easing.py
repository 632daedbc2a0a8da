"""Smoothstep profile used by the scripted experts."""


def rise(value: float, low: float, high: float) -> float:
    """0 below `low`, 1 above `high`; between them the cubic whose slope is 0 at both ends."""
    share = min(1.0, max(0.0, (value - low) / (high - low)))
    return share * share * (3 - 2 * share)
