"""What the numbers of a data set look like: the quantiles that actions are normalised by, in OpenVLA's form and in LeRobot's."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Shaped

from vla_course.files import write_text

QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}
"""What LeRobot v3.0 keeps besides min, max, mean, std and count."""
HAND = 7
"""Numbers that move one hand: three of the place, three of the turn, and the grip."""
HANDS = "end_effector"
"""The observation of where the hands are, in such numbers."""
HAND_LAYOUTS = (HAND, 2 * HAND, 2 * HAND + 1, 2 * HAND + 2)
"""Numbers of one hand, of two, of two with a stage signal, and of two with what both feel."""
BIN = 2 / 255
"""Width of one of the bins that [-1, 1] is cut into: less is lost in any number that is said in a token."""


@runtime_checkable
class Recorded(Protocol):
    """Anything that has states and actions: an episode."""

    @property
    def actions(self) -> Float[np.ndarray, "T A"]:
        """One row a frame."""
        ...

    @property
    def states(self) -> Float[np.ndarray, "T S"]:
        """One row a frame."""
        ...


def action_quantiles(
    episodes: Sequence[Float[np.ndarray, "_ A"]],
) -> tuple[Float[np.ndarray, " A"], Float[np.ndarray, " A"]]:
    """The 1 % and the 99 % quantile of each action dimension over all frames.

    `episodes` holds the actions of each episode. A short episode counts for as little as it is long.

    Source: openvla/openvla @ c8f03f48, prismatic/vla/datasets/rlds/utils/data_utils.py (get_dataset_statistics).
    """
    frames = np.concatenate(episodes)
    q01, q99 = np.quantile(frames, [0.01, 0.99], axis=0)
    return q01, q99


def grip_dimensions(numbers: int) -> list[int]:
    """Which numbers of an action, or of the state, say how far hands are open: the seventh of each hand."""
    return list(range(HAND - 1, numbers, HAND))


def normalized_dimensions(numbers: int) -> Bool[np.ndarray, " A"]:
    """OpenVLA's mask: what is stretched to [-1, 1] by its quantiles, and what stays as it is.

    Grips stay (they are places between open and closed, not steps), and so does the stage signal behind the last hand.
    """
    mask = np.ones(numbers, bool)
    mask[grip_dimensions(numbers)] = False
    mask[numbers - numbers % HAND :] = False
    return mask


def fitting_dimensions(frames: Float[np.ndarray, "T D"]) -> Bool[np.ndarray, " D"]:
    """OpenVLA's mask for actions or states of any robot, by what they are: True is stretched by its quantiles, False stays.

    In the layouts of hands (7, 14, 15 or 16 numbers) grips stay, and what is behind the last hand. In others a switch stays: a number
    that is never but -1, 0 or 1. But whatever reaches beyond [-1, 1] is stretched, or it would be cut there.
    """
    if frames.shape[1] in HAND_LAYOUTS:
        stays = ~normalized_dimensions(frames.shape[1])
    else:
        stays = np.isin(frames, (-1, 0, 1)).all(0) & (np.ptp(frames, axis=0) > 0)
    stretched: np.ndarray = ~(stays & within_one(frames))
    return stretched


def told_dimensions(frames: Float[np.ndarray, "T D"], stay: Sequence[int]) -> Bool[np.ndarray, " D"]:
    """The mask in which the numbers `stay`, and no others, stay as they are.

    Raises:
        ValueError: there is no such number, or it reaches beyond [-1, 1] and would be cut there.
    """
    count, fits = frames.shape[1], within_one(frames)
    for number in stay:
        if not 0 <= number < count:
            raise ValueError(f"there is no number {number}: they are 0 to {count - 1}")
        if not fits[number]:
            low, high = frames[:, number].min(), frames[:, number].max()
            raise ValueError(
                f"number {number} goes from {low:.4g} to {high:.4g}, and what stays as it is must lie in [-1, 1]"
            )
    return ~np.isin(np.arange(count), stay)


def within_one(frames: Float[np.ndarray, "T D"]) -> Bool[np.ndarray, " D"]:
    """Which numbers lie in [-1, 1], but for 1 % at either end and for less than a bin."""
    low, high = np.quantile(frames, [QUANTILES["q01"], QUANTILES["q99"]], axis=0)
    within: np.ndarray = (low >= -1 - BIN) & (high <= 1 + BIN)
    return within


def state_dimensions(key: str | None, numbers: int) -> Bool[np.ndarray, " S"] | None:
    """The mask of states that are this observation: joints are stretched, all of them; None leaves hands to `fitting_dimensions`."""
    return None if key in (None, HANDS) else np.ones(numbers, bool)


def dataset_statistics(
    episodes: Iterable[Recorded],
    key: str,
    *,
    action_mask: Bool[np.ndarray, " A"] | None = None,
    state_mask: Bool[np.ndarray, " S"] | None = None,
) -> dict[str, dict[str, Any]]:
    """The statistics of a set of demonstrations as OpenVLA keeps them in a checkpoint, in plain lists, under this key.

    Actions and states ("proprio") each get mean, std, min, max, q01, q99 and a mask: `action_mask` and `state_mask`, or what
    `fitting_dimensions` finds.

    Raises:
        ValueError: there are no episodes, or they have actions or states of different lengths.

    Source: openvla/openvla @ c8f03f48, prismatic/vla/datasets/rlds/utils/data_utils.py.
    """
    actions, states = [], []
    for episode in episodes:
        actions.append(episode.actions)
        states.append(episode.states)
    for name, rows in (("actions", actions), ("states", states)):
        lengths = sorted({row.shape[1] for row in rows})
        if len(lengths) != 1:
            raise ValueError(f"want {name} of one length in at least one episode, got lengths {lengths}")
    return {
        key: {
            "action": _summary(actions, action_mask),
            "proprio": _summary(states, state_mask),
            "num_transitions": sum(map(len, actions)),
            "num_trajectories": len(actions),
        }
    }


def write_dataset_statistics(path: str | Path, statistics: Mapping[str, Any]) -> None:
    """Write dataset_statistics.json as OpenVLA does beside its checkpoints; the file appears whole or not at all."""
    write_text(path, json.dumps(statistics, indent=2) + "\n")


def feature_statistics(values: Shaped[np.ndarray, "T ..."]) -> dict[str, np.ndarray]:
    """LeRobot's statistics of one feature over frames: min, max, mean, std, count and five quantiles, exactly.

    Numbers (T, A) give (A,), one number a frame gives (1,), and pictures (T, H, W, 3) give (3, 1, 1) in [0, 1], as LeRobot
    has it.
    """
    frames = len(values)
    if values.ndim == 4:
        rows = values.reshape(-1, values.shape[-1])
        # Quantiles of whole numbers from 0 to 255 need no sorting: count how often each is there.
        found = {name: value / 255 for name, value in _of_bytes(rows).items()}
        shape: tuple[int, ...] = (-1, 1, 1)
    else:
        rows, shape = values.reshape(frames, -1).astype(np.float64), (-1,)
        found = {"min": rows.min(0), "max": rows.max(0), "mean": rows.mean(0), "std": rows.std(0)}
        quantiles = np.quantile(rows, list(QUANTILES.values()), axis=0)
        found |= dict(zip(QUANTILES, quantiles, strict=True))
    return {name: value.reshape(shape) for name, value in found.items()} | {"count": np.array([frames])}


def aggregate_statistics(
    episodes: Sequence[Mapping[str, Mapping[str, np.ndarray]]],
) -> dict[str, dict[str, np.ndarray]]:
    """The statistics of a set from those of its episodes, as LeRobot works them out.

    Everything is exact but the quantiles, for which the mean of the episodes' quantiles stands, weighted by their frames.
    """
    return {feature: _aggregated([episode[feature] for episode in episodes]) for feature in episodes[0]}


def _aggregated(parts: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    stacked = {name: np.stack([part[name] for part in parts]) for name in parts[0]}
    count = stacked["count"].reshape(len(parts), *[1] * (stacked["mean"].ndim - 1))
    share = count / count.sum()
    mean = (share * stacked["mean"]).sum(0)
    variance = (share * (stacked["std"] ** 2 + (stacked["mean"] - mean) ** 2)).sum(0)
    found = {name: (share * stacked[name]).sum(0) for name in QUANTILES if name in stacked}
    return found | {
        "min": stacked["min"].min(0),
        "max": stacked["max"].max(0),
        "mean": mean,
        "std": np.sqrt(variance),
        "count": stacked["count"].sum(0),
    }


def _of_bytes(rows: np.ndarray) -> dict[str, np.ndarray]:
    """Statistics of grey levels, in grey levels."""
    counts = np.stack([np.bincount(channel, minlength=256) for channel in rows.T])
    levels, total = np.arange(256.0), counts.sum(1)
    mean = counts @ levels / total
    std = np.sqrt(np.maximum(counts @ levels**2 / total - mean**2, 0))
    below = np.cumsum(counts, axis=1)

    def level(rank: np.ndarray) -> np.ndarray:
        found: np.ndarray = (below <= rank[:, None]).sum(1).astype(float)
        return found

    found = {"min": level(np.zeros_like(total)), "max": level(total - 1), "mean": mean, "std": std}
    for name, share in QUANTILES.items():
        place = share * (total - 1)
        low, high = level(np.floor(place)), level(np.ceil(place))
        found[name] = low + (place - np.floor(place)) * (high - low)
    return found


def _summary(rows: Sequence[np.ndarray], mask: np.ndarray | None) -> dict[str, list[Any]]:
    frames = np.concatenate(rows).astype(np.float64)
    q01, q99 = action_quantiles(rows)
    chosen = fitting_dimensions(frames) if mask is None else mask
    if len(chosen) != frames.shape[1]:
        raise ValueError(f"a mask of {len(chosen)} numbers does not fit {frames.shape[1]} dimensions")
    found = {"mean": frames.mean(0), "std": frames.std(0), "min": frames.min(0), "max": frames.max(0)}
    found |= {"q01": q01, "q99": q99, "mask": chosen}
    return {name: value.tolist() for name, value in found.items()}
