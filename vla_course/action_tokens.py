"""Numbers in [-1, 1] as the last 256 tokens of a vocabulary, and back to the units of a data set.

The interval is cut at 256 evenly spaced edges; a number becomes the edge at or below it, counted from the end of the
vocabulary, and a token becomes the centre between two edges. 256 edges have 255 centres: the two lowest ids mean the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

BINS = 256
"""Number of edges, and of the tokens reserved for them."""

EDGES: np.ndarray = np.linspace(-1.0, 1.0, BINS)
CENTRES: np.ndarray = (EDGES[:-1] + EDGES[1:]) / 2


def tokenize_actions(
    actions: Float[np.ndarray, "*batch A"], vocabulary_size: int = 32000
) -> Int[np.ndarray, "*batch A"]:
    """The action-token id of each number: -1 becomes the last id of the vocabulary, and larger numbers count down from it.

    Each number becomes the id of the edge at or below it (256 edges, evenly spaced from -1 to 1). Numbers outside [-1, 1] are
    clipped. `vocabulary_size` counts no padding columns: 32000 for Llama, whose head has 32064.

    Raises:
        ValueError: a number is not finite.

    Source: openvla/openvla @ c8f03f48, prismatic/vla/action_tokenizer.py.
    """
    actions = np.asarray(actions, dtype=float)
    if not np.isfinite(actions).all():
        raise ValueError(f"actions must be finite numbers to become tokens, got {actions}")
    ids: np.ndarray = vocabulary_size - np.digitize(np.clip(actions, -1.0, 1.0), EDGES)
    return ids


def detokenize_actions(
    token_ids: Int[np.ndarray, "*batch A"], vocabulary_size: int = 32000
) -> Float[np.ndarray, "*batch A"]:
    """The bin centre of each action-token id, between -254/255 and 254/255.

    It differs by at most 1/255 from the number that `tokenize_actions` got. An id that is no action token becomes the nearest
    end, as upstream does; models refuse such an id before it gets here.

    Source: openvla/openvla @ c8f03f48, prismatic/vla/action_tokenizer.py.
    """
    bins = vocabulary_size - np.asarray(token_ids) - 1
    actions: np.ndarray = CENTRES[np.clip(bins, 0, BINS - 2)]
    return actions


def next_action_token(
    logits: Float[torch.Tensor, "*batch vocabulary"], vocabulary_size: int = 32000
) -> Int[torch.Tensor, "*batch"]:
    """The most likely id among the 256 action tokens, however likely other words are.

    `logits` may have more columns than the vocabulary has words, as Llama's padded head does.

    Raises:
        ValueError: there are fewer columns than words.
    """
    if logits.shape[-1] < vocabulary_size:
        raise ValueError(f"a vocabulary of {vocabulary_size} needs as many logits, got {logits.shape[-1]}")
    first = vocabulary_size - BINS
    return first + logits[..., first:vocabulary_size].argmax(-1)


def unnormalize_actions(
    actions: Float[np.ndarray, "*batch A"],
    q01: Float[np.ndarray, " A"],
    q99: Float[np.ndarray, " A"],
    mask: Bool[np.ndarray, " A"],
) -> Float[np.ndarray, "*batch A"]:
    """Actions in the data set's units: -1 becomes `q01`, 1 becomes `q99`; dimensions outside the mask stay as they are.

    `q01` and `q99` are the 1 % and 99 % quantiles of each action dimension.

    Raises:
        ValueError: the actions have another number of dimensions than the statistics.

    Source: openvla/openvla @ c8f03f48, prismatic/extern/hf/modeling_prismatic.py (predict_action).
    """
    if actions.shape[-1] != len(q01):
        raise ValueError(f"actions of {actions.shape[-1]} numbers do not fit statistics of {len(q01)}")
    return np.where(mask, 0.5 * (actions + 1) * (q99 - q01) + q01, actions)


def normalize_actions(
    actions: Float[np.ndarray, "*batch A"],
    q01: Float[np.ndarray, " A"],
    q99: Float[np.ndarray, " A"],
    mask: Bool[np.ndarray, " A"],
) -> Float[np.ndarray, "*batch A"]:
    """The inverse of `unnormalize_actions`, clipped to [-1, 1]: `q01` becomes -1, `q99` becomes 1.

    Dimensions that never change (`q99 - q01` is below 1e-6) become 0; those outside the mask are only clipped, whatever their
    quantiles.

    Raises:
        ValueError: the actions have another number of dimensions than the statistics.

    Source: openvla/openvla @ c8f03f48, prismatic/vla/datasets/rlds/utils/data_utils.py (normalize_action_and_proprio).
    """
    if actions.shape[-1] != len(q01):
        raise ValueError(f"actions of {actions.shape[-1]} numbers do not fit statistics of {len(q01)}")
    width = q99 - q01
    still = width < 1e-6
    scaled = np.where(still, 0.0, 2 * (actions - q01) / np.where(still, 1.0, width) - 1)
    return np.clip(np.where(mask, scaled, actions), -1.0, 1.0)


@dataclass(frozen=True)
class ActionStatistics:
    """The quantiles that normalise one data set's actions (or states), and the dimensions that they apply to."""

    q01: Float[np.ndarray, " A"]
    q99: Float[np.ndarray, " A"]
    mask: Bool[np.ndarray, " A"]

    def cut_share(self, frames: Float[np.ndarray, "T A"]) -> Float[np.ndarray, " A"]:
        """Share of the frames in which each dimension lies more than a bin outside the range of the tokens, so that it is clipped."""
        low, high = np.where(self.mask, self.q01, -1.0), np.where(self.mask, self.q99, 1.0)
        bin_width = np.maximum((high - low) / (BINS - 1), 1e-6)
        share: np.ndarray = ((frames < low - bin_width) | (frames > high + bin_width)).mean(0)
        return share


def action_statistics(
    norm_stats: Mapping[str, Mapping[str, Any]],
    unnorm_key: str | None = None,
    *,
    of: Literal["action", "proprio"] = "action",
) -> ActionStatistics:
    """The statistics of one data set in a checkpoint's `norm_stats`: of its actions, or of the robot's state ("proprio").

    `unnorm_key` may be omitted where there is only one. Without a mask every dimension is normalised.

    Raises:
        ValueError: the key is unknown or missing (the known ones are listed), or q01, q99 and mask differ in length.
    """
    known = ", ".join(sorted(norm_stats))
    if not norm_stats:
        raise ValueError("this model has no action statistics: give it norm_stats before asking for actions")
    if unnorm_key is None and len(norm_stats) > 1:
        raise ValueError(
            f"the model was trained on several data sets: choose one with unnorm_key=, out of {known}"
        )
    key = next(iter(norm_stats)) if unnorm_key is None else unnorm_key
    if key not in norm_stats:
        raise ValueError(f"no action statistics for unnorm_key={key!r}: the model knows {known}")
    found = norm_stats[key].get(of, {})
    if not {"q01", "q99"} <= found.keys():
        what = "its actions" if of == "action" else "the robot's state (proprio)"
        raise ValueError(f"the statistics of {key!r} hold no q01 and q99 of {what}")
    q01, q99 = np.asarray(found["q01"], dtype=float), np.asarray(found["q99"], dtype=float)
    mask = np.asarray(found.get("mask", np.ones(q01.shape)), dtype=bool)
    if q01.ndim != 1 or not q01.shape == q99.shape == mask.shape:
        raise ValueError(
            f"the statistics of {key!r} do not fit together: "
            f"{q01.size} numbers in q01, {q99.size} in q99, {mask.size} in mask"
        )
    return ActionStatistics(q01, q99, mask)
