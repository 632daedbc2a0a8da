"""Predict first: the learner commits a number with a range, then sees what was measured.

Predictions are kept beside the progress, on this machine only. At the end of the course they show how well the learner
knows what they know.
"""

from typing import Any

from matplotlib.figure import Figure

from vla_course import progress


def commit(key: str, *, guess: float | None, low: float | None, high: float | None, unit: str = "") -> None:
    """Note a prediction, `low` ≤ `guess` ≤ `high`. It can be changed until it is revealed.

    Raises:
        ValueError: the guess lies outside its own range.
    """
    if guess is None or low is None or high is None:
        print(
            "Write your guess and its range first, then run this cell: a wrong guess teaches more than none."
        )
        return
    if not low <= guess <= high:
        raise ValueError(f"your guess {guess:g} should lie in your own range, {low:g} to {high:g}")
    if "measured" in progress.read("predictions").get(key, {}):
        print("This one is revealed already; your first prediction stays.")
        return
    made = {"guess": float(guess), "low": float(low), "high": float(high), "unit": unit}
    if not _keep(key, made):
        return
    print(f"Noted: {_text(guess, unit)}, and surely between {_text(low, unit)} and {_text(high, unit)}.")


def reveal(key: str, measured: float, *, how: str = "measured") -> None:
    """Show a value beside the prediction, and keep it for the calibration plot. `how` says where it is from: measured, computed …"""
    made = progress.read("predictions").get(key)
    if made is None:
        print(
            f"{how.capitalize()}: {measured:.3g}. (No prediction was committed, so this one does not count.)"
        )
        return
    made.setdefault("measured", float(measured))
    _keep(key, made)
    verdict = "inside your range" if made["low"] <= measured <= made["high"] else "outside your range"
    print(f"You said {_text(made['guess'], made['unit'])}, {how} {_text(measured, made['unit'])}: {verdict}.")


def _keep(key: str, made: dict[str, Any]) -> bool:
    """Store one prediction; where the disk is full or read-only, say so and return False."""
    try:
        progress.update("predictions", lambda everything: everything.update({key: made}))
    except OSError as error:
        print(f"(your prediction could not be kept: {error})")
        return False
    return True


def calibration_plot() -> Figure:
    """Every revealed prediction: the band is the learner's own range, the dot what was measured.

    Someone whose ranges are meant to hold nine times in ten wants nine dots in ten inside the band.
    """
    revealed = {key: made for key, made in progress.read("predictions").items() if "measured" in made}
    figure = Figure(figsize=(7, 1.2 + 0.35 * len(revealed)), layout="constrained")
    axes = figure.subplots()
    axes.axvspan(-1, 1, color="#dfe9d8")
    axes.axvline(0, color="#6b8f5a", linewidth=1)
    offsets = [_offset(made) for made in revealed.values()]
    colours = ["#3b6fb6" if abs(offset) <= 1 else "#c8553d" for offset in offsets]
    axes.scatter(
        [max(-3.0, min(3.0, offset)) for offset in offsets], range(len(offsets)), c=colours, zorder=3
    )
    axes.set_yticks(range(len(revealed)), list(revealed))
    axes.set_xlim(-3.2, 3.2)
    axes.set_xticks([-3, -1, 0, 1, 3], ["3 ranges\nbelow", "low", "guess", "high", "3 ranges\nabove"])
    inside = sum(abs(offset) <= 1 for offset in offsets)
    axes.set_title(f"{inside} of {len(offsets)} measured values inside your ranges")
    return figure


def _offset(made: dict[str, Any]) -> float:
    """How far the measured value lies from the guess, in half ranges: ±1 is the edge of the range."""
    distance = made["measured"] - made["guess"]
    half = made["high"] - made["guess"] if distance > 0 else made["guess"] - made["low"]
    if distance == 0:
        return 0.0
    return float(distance / half) if half > 0 else float("inf") * distance


def _text(value: float, unit: str) -> str:
    return f"{value:.3g} {unit}".rstrip()
