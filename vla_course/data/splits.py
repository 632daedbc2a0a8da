"""Which frames a pupil learns from, and which it is asked about."""

import numpy as np
from jaxtyping import Bool, Int


def split_by_episode(
    episode_index: Int[np.ndarray, " T"], validation_share: float, seed: int
) -> Bool[np.ndarray, " T"]:
    """Which frames are validation, with no episode on both sides.

    `episode_index` says for each frame which episode it is from, in any order and with any numbers. The share is one of
    episodes, rounded to whole ones, at least one where a share is wanted. `seed` draws them: the same seed draws the same
    ones, other seeds draw others.

    Raises:
        ValueError: the share is not from 0 to below 1, or leaves no episode to train on.
    """
    episodes = np.unique(episode_index)
    count = round(validation_share * len(episodes))
    count = max(count, int(validation_share > 0))
    if not 0 <= validation_share < 1 or count >= len(episodes):
        raise ValueError(f"a share of {validation_share} of {len(episodes)} episodes leaves none to train on")
    chosen = np.random.default_rng(seed).choice(episodes, size=count, replace=False)
    return np.isin(episode_index, chosen)
