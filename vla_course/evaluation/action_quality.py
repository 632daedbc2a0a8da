"""How near a policy's answers are to the expert's, frame by frame, and why that alone does not fold a towel.

Most frames of a demonstration change little from one to the next, so a policy that always says the most frequent token looks
good. Hence every number comes twice: over all frames, and over those in which something moves; with the accuracy of that
most frequent token beside it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from vla_course.action_tokens import ActionStatistics, normalize_actions, tokenize_actions
from vla_course.data.episodes import Episode
from vla_course.data.statistics import grip_dimensions
from vla_course.evaluation.trials import action_change
from vla_course.policy import Policy

KIND = "action_quality"
MOVES_ABOVE = 0.05
"""A hand moves where one of its numbers is further than this from 0, in [-1, 1]."""


@dataclass(frozen=True)
class ActionQuality:
    """The answers of a policy on recorded frames, against the expert's. One number for each dimension where it says so."""

    frames: int
    moving_frames: int
    l1: tuple[float, ...]
    """Mean distance in each dimension, where the data set's actions span [-1, 1]."""
    token_accuracy: tuple[float, ...]
    """Share of frames in which each dimension's token is exactly the expert's."""
    moving_token_accuracy: tuple[float, ...]
    """The same, over frames in which something moves."""
    majority_accuracy: tuple[float, ...]
    """What always saying the most frequent token of each dimension would reach over all frames."""
    moving_majority_accuracy: tuple[float, ...]
    """What the same tokens would reach over frames in which something moves."""
    action_change: float
    """How far an answer is from the one before it, root mean square."""
    expert_action_change: float

    def summary(self, label: str) -> dict[str, Any]:
        """As JSON for the report."""
        return {"kind": KIND, "label": label, **asdict(self)}


def action_quality(
    answers: Sequence[Float[np.ndarray, "_ A"]],
    wanted: Sequence[Float[np.ndarray, "_ A"]],
    statistics: ActionStatistics,
) -> ActionQuality:
    """Compare answers with demonstrations, an array of each for every episode, in the environment's units.

    Raises:
        ValueError: there are no frames, or the two do not have the same shapes.
    """
    shapes = [[one.shape for one in group] for group in (answers, wanted)]
    if shapes[0] != shapes[1] or not sum(len(one) for one in wanted):
        raise ValueError(
            f"want an answer for every frame of every episode, got shapes {shapes[0]} for {shapes[1]}"
        )
    said, right = (
        normalize_actions(np.concatenate(group), statistics.q01, statistics.q99, statistics.mask)
        for group in (answers, wanted)
    )
    tokens, target = tokenize_actions(said), tokenize_actions(right)
    moving = np.concatenate([moving_frames(one) for one in wanted])
    same, usual = tokens == target, most_frequent(target) == target
    return ActionQuality(
        frames=len(right),
        moving_frames=int(moving.sum()),
        l1=_numbers(np.abs(said - right)),
        token_accuracy=_numbers(same),
        moving_token_accuracy=_numbers(same[moving]),
        majority_accuracy=_numbers(usual),
        moving_majority_accuracy=_numbers(usual[moving]),
        action_change=_mean_change(answers),
        expert_action_change=_mean_change(wanted),
    )


def moving_frames(actions: Float[np.ndarray, "T A"], above: float = MOVES_ABOVE) -> Bool[np.ndarray, " T"]:
    """In which frames of one episode a hand is told to move, or its grip to change."""
    grips = grip_dimensions(actions.shape[1])
    steps = np.delete(actions, grips, axis=1)
    grip = actions[:, grips]
    changed = np.diff(grip, axis=0, prepend=grip[:1])
    moving: Bool[np.ndarray, " T"] = (np.abs(steps) > above).any(axis=1) | (np.abs(changed) > above).any(
        axis=1
    )
    return moving


def most_frequent(tokens: Int[np.ndarray, "T A"]) -> Int[np.ndarray, " A"]:
    """The token that each dimension says most often."""
    return np.array([np.bincount(column).argmax() for column in tokens.T])


def answers_on(
    policy: Policy,
    episodes: Sequence[Episode],
    *,
    camera: str = "close",
    state: str = "end_effector",
    batch: int = 64,
) -> list[Float[np.ndarray, "_ A"]]:
    """What the policy says to every frame of recorded episodes, the first action of each chunk.

    `camera` names their main pictures; those of further cameras are shown, too.
    """
    return [_answers(policy, episode, f"image_{camera}", state, batch) for episode in episodes]


def _answers(
    policy: Policy, episode: Episode, picture: str, state: str, batch: int
) -> Float[np.ndarray, "T A"]:
    said = []
    for first in range(0, len(episode.actions), batch):
        rows = slice(first, first + batch)
        images = episode.images[rows]
        seen: Mapping[str, Any] = {
            picture: images,
            **{f"image_{name}": more[rows] for name, more in episode.further_images.items()},
            state: episode.states[rows],
            "instruction": list(episode.said[rows]),
        }
        policy.reset(np.ones(len(images), bool))
        said.append(policy.act(seen)[:, 0])
    return np.concatenate(said)


def _numbers(rows: np.ndarray) -> tuple[float, ...]:
    """The mean of each column, 0 where there are no rows."""
    return tuple(float(value) for value in (rows.mean(axis=0) if len(rows) else np.zeros(rows.shape[1])))


def _mean_change(episodes: Sequence[Float[np.ndarray, "_ A"]]) -> float:
    return float(np.mean([action_change(actions) for actions in episodes]))
