"""Answers to Day 04, written from the exercise notebook alone."""

import math
import random

import numpy as np
import torch
from run import right, wrong

IN_PLACE = r"in place|in-place|copy|clone|input|argument|chang|overwrit|own array|given array"

# --- 04.1


@wrong(
    "action_quantiles",
    fits=r"all frames|episode by episode|each episode|concatenat|short|one long|as long|together",
)
def mean_of_episodes_quantiles(episodes):
    """Averages the quantiles of each episode: a short one counts as much as a long one."""
    each = np.array([np.quantile(episode, [0.01, 0.99], axis=0) for episode in episodes])
    return each[:, 0].mean(0), each[:, 1].mean(0)


@wrong("action_quantiles", fits=r"\bmin|\bmax|smallest|largest|quantile|1 %|slip|outlier")
def smallest_and_largest(episodes):
    """The extremes instead of the quantiles."""
    frames = np.concatenate(episodes)
    return frames.min(axis=0), frames.max(axis=0)


@wrong("action_quantiles", fits=r"axis|dimension|column|each")
def one_pair_for_all(episodes):
    """Forgets the axis: one number for all dimensions."""
    q01, q99 = np.quantile(np.concatenate(episodes), [0.01, 0.99])
    return q01, q99


@wrong("action_quantiles", fits=r"percent|0\.01|1 %|99 %|share|hundred")
def percent_of_a_percent(episodes):
    """np.percentile with shares: the 0.01 % and 0.99 % quantiles."""
    q01, q99 = np.percentile(np.concatenate(episodes), [0.01, 0.99], axis=0)
    return q01, q99


@wrong("action_quantiles", fits=r"order|swap|first|q01|other way|revers|lower")
def upper_one_first(episodes):
    """Returns q99 first."""
    q99, q01 = np.quantile(np.concatenate(episodes), [0.99, 0.01], axis=0)
    return q99, q01


@wrong("action_quantiles", fits=r"length|stack|shape|concatenat|one below|one long|all frames|inhomogeneous")
def stacks_episodes(episodes):
    """np.stack wants episodes of one length, and axis 0 is then not the frames."""
    q01, q99 = np.quantile(np.stack(episodes), [0.01, 0.99], axis=0)
    return q01, q99


@wrong("action_quantiles", fits=r"0\.01|1 %|99 %|\b5\b|0\.05|share|which quantile|percent")
def five_percent(episodes):
    """Cuts 5 % on each side."""
    q01, q99 = np.quantile(np.concatenate(episodes), [0.05, 0.95], axis=0)
    return q01, q99


@wrong(
    "action_quantiles", fits=r"0\.01|1 %|99 %|0\.005|0\.995|each side|each end|share|which quantile|percent"
)
def one_percent_in_all(episodes):
    """Leaves out one percent in all, half a percent on each side."""
    q01, q99 = np.quantile(np.concatenate(episodes), [0.005, 0.995], axis=0)
    return q01, q99


@wrong(
    "action_quantiles",
    fits=r"all frames|episode by episode|each episode|concatenat|together|one long|over all|short",
)
def widest_of_the_episodes(episodes):
    """The smallest q01 and the largest q99 of any episode."""
    q01 = np.min([np.quantile(episode, 0.01, axis=0) for episode in episodes], axis=0)
    q99 = np.max([np.quantile(episode, 0.99, axis=0) for episode in episodes], axis=0)
    return q01, q99


@wrong("action_quantiles", fits=IN_PLACE + "|sort")
def sorts_the_episodes(episodes):
    """Right numbers, but every episode is left sorted."""
    for episode in episodes:
        episode.sort(axis=0)
    q01, q99 = np.quantile(np.concatenate(episodes), [0.01, 0.99], axis=0)
    return q01, q99


@wrong("action_quantiles", fits=r"quantile|spread|normal|gauss|mean|deviation|distribution|np\.quantile")
def as_if_gaussian(episodes):
    """Mean and 2.33 standard deviations, as if numbers were normally distributed."""
    frames = np.concatenate(episodes)
    return frames.mean(0) - 2.326 * frames.std(0), frames.mean(0) + 2.326 * frames.std(0)


@wrong("action_quantiles", fits=r"array|list|kind|type")
def lists_of_quantiles(episodes):
    """Plain lists, with which nothing can be computed."""
    q01, q99 = np.quantile(np.concatenate(episodes), [0.01, 0.99], axis=0).tolist()
    return q01, q99


@wrong("action_quantiles", fits=r"sign|symmetr|both (ends|sides)|lower|q01|absolute|each side")
def symmetric_range(episodes):
    """The 99 % quantile of the size, taken both ways."""
    reach = np.quantile(np.abs(np.concatenate(episodes)), 0.99, axis=0)
    return -reach, reach


@wrong("action_quantiles", fits=r"axis|down the frames|dimension|column|each")
def along_the_actions(episodes):
    """Along the wrong axis: a pair for each frame."""
    q01, q99 = np.quantile(np.concatenate(episodes), [0.01, 0.99], axis=1)
    return q01, q99


@right("action_quantiles")
def percentiles_of_a_stack(episodes):
    """np.percentile, called twice, on np.vstack."""
    frames = np.vstack([np.asarray(episode, dtype=np.float64) for episode in episodes])
    return np.percentile(frames, 1, axis=0), np.percentile(frames, 99, axis=0)


@right("action_quantiles")
def by_sorting(episodes):
    """Sorts its own copy and interpolates between two neighbours."""
    frames = np.concatenate([*episodes], axis=0).astype(float)
    frames.sort(axis=0)
    found = []
    for share in (0.01, 0.99):
        place = share * (len(frames) - 1)
        low = math.floor(place)
        high = min(low + 1, len(frames) - 1)
        found.append(frames[low] + (place - low) * (frames[high] - frames[low]))
    return found[0], found[1]


@right("action_quantiles")
def column_by_column_with_torch(episodes):
    """torch.quantile in float64, one dimension at a time."""
    columns = torch.cat(
        [torch.tensor(np.array(episode), dtype=torch.float64) for episode in episodes]
    ).unbind(1)
    shares = torch.tensor([0.01, 0.99], dtype=torch.float64)
    both = torch.stack([torch.quantile(column, shares) for column in columns], dim=1).numpy()
    return both[0], both[1]


@right("action_quantiles")
def two_rows(episodes):
    """One array of two rows, which is taken apart like a pair."""
    return np.quantile(np.concatenate(episodes), [0.01, 0.99], axis=0)


@right("action_quantiles")
def nearest_frames(episodes):
    """No interpolation: the frame that is nearest to the place."""
    frames = np.concatenate(episodes)
    q01, q99 = (np.quantile(frames, share, axis=0, method="nearest") for share in (0.01, 0.99))
    return q01, q99


@right("action_quantiles")
def torch_in_float32(episodes):
    """torch.quantile in single precision."""
    frames = torch.cat([torch.tensor(np.array(episode), dtype=torch.float32) for episode in episodes])
    q01, q99 = torch.quantile(frames, torch.tensor([0.01, 0.99]), dim=0)
    return q01.numpy(), q99.numpy()


# --- 04.2


@wrong("normalize_actions", fits=r"clip|cut|outside|beyond|\[-1, 1\]|\[−1, 1\]")
def nothing_is_cut(actions, q01, q99, mask):
    """Forgets to clip."""
    still = q99 - q01 < 1e-6
    scaled = np.where(still, 0.0, 2 * (actions - q01) / np.where(still, 1, q99 - q01) - 1)
    return np.where(mask, scaled, actions)


@wrong("normalize_actions", fits=r"nan|divi|width|never chang|still|no range|equal")
def divides_by_zero(actions, q01, q99, mask):
    """A dimension that never changes becomes nan."""
    with np.errstate(all="ignore"):
        scaled = 2 * (actions - q01) / (q99 - q01) - 1
    return np.clip(np.where(mask, scaled, actions), -1, 1)


@wrong("normalize_actions", fits=r"outside the mask|mask|gripper|\bgrip|all of it")
def gripper_is_not_cut(actions, q01, q99, mask):
    """Clips before the mask is looked at: what is outside it may be beyond 1."""
    still = q99 - q01 < 1e-6
    scaled = np.where(still, 0.0, 2 * (actions - q01) / np.where(still, 1, q99 - q01) - 1)
    return np.where(mask, np.clip(scaled, -1, 1), actions)


@wrong("normalize_actions", fits=r"\b0\b|zero|never chang|width|still|equal")
def a_little_in_the_denominator(actions, q01, q99, mask):
    """As upstream, 1e-8 against division by zero: a dimension that never changes becomes -1, not 0."""
    scaled = 2 * (actions - q01) / (q99 - q01 + 1e-8) - 1
    return np.clip(np.where(mask, scaled, actions), -1, 1)


@wrong("normalize_actions", fits=r"mask|\bgrip|gripper|as (it|they) (is|are)")
def normalizes_the_grip(actions, q01, q99, mask):
    """Ignores the mask."""
    still = q99 - q01 < 1e-6
    scaled = np.where(still, 0.0, 2 * (actions - q01) / np.where(still, 1, q99 - q01) - 1)
    return np.clip(scaled, -1, 1)


@wrong("normalize_actions", fits=r"−1|-1|\[0, 1\]|twice|half|line|\b2 \*|q01 to")
def to_zero_and_one(actions, q01, q99, mask):
    """q01 becomes 0 and q99 becomes 1."""
    still = q99 - q01 < 1e-6
    scaled = np.where(still, 0.0, (actions - q01) / np.where(still, 1, q99 - q01))
    return np.clip(np.where(mask, scaled, actions), -1, 1)


@wrong("normalize_actions", fits=IN_PLACE.replace("|chang|", "|changed|changes (its|your|the|what)|"))
def normalizes_in_place(actions, q01, q99, mask):
    """Writes the result into the caller's array."""
    still = q99 - q01 < 1e-6
    scaled = np.where(still, 0.0, 2 * (actions - q01) / np.where(still, 1, q99 - q01) - 1)
    actions[...] = np.clip(np.where(mask, scaled, actions), -1, 1)
    return actions


@wrong("normalize_actions", fits=r"\b0\b|zero|never chang|width|still|equal|nan|inf")
def only_nan_becomes_zero(actions, q01, q99, mask):
    """Repairs 0/0 only: an odd frame of a still dimension is x/0 and becomes 1 or -1."""
    with np.errstate(all="ignore"):
        scaled = np.nan_to_num(2 * (actions - q01) / (q99 - q01) - 1)
    return np.clip(np.where(mask, scaled, actions), -1, 1)


@wrong("normalize_actions", fits=r"mask|only clipped|\bgrip|gripper")
def still_beats_the_mask(actions, q01, q99, mask):
    """A dimension outside the mask whose quantiles are equal becomes 0, where it should be clipped only."""
    still = q99 - q01 < 1e-6
    scaled = np.where(mask, 2 * (actions - q01) / np.where(still, 1, q99 - q01) - 1, actions)
    return np.clip(np.where(still, 0.0, scaled), -1, 1)


@wrong("normalize_actions", fits=r"constant|equal|never chang|width|divi|nan|still")
def still_means_zero(actions, q01, q99, mask):
    """Takes a dimension for still only where both quantiles are 0; one that rests at 0.3 becomes nan."""
    still = (q01 == 0) & (q99 == 0)
    with np.errstate(all="ignore"):
        scaled = np.where(still, 0.0, 2 * (actions - q01) / (q99 - q01) - 1)
    return np.clip(np.where(mask, scaled, actions), -1, 1)


@wrong(
    "normalize_actions",
    fits=r"batch|shape|one action|single|indices|axes|axis|\.\.\.|number of dimensions|frames",
)
def wants_rows(actions, q01, q99, mask):
    """Indexes [:, d]: works for two axes only."""
    out = np.array(actions, dtype=float)
    for d in np.flatnonzero(mask):
        width = q99[d] - q01[d]
        out[:, d] = 2 * (out[:, d] - q01[d]) / width - 1 if width > 1e-6 else 0.0
    return np.clip(out, -1, 1)


@wrong("normalize_actions", fits=r"sign|direction|q01|swap|revers|−1|upside")
def upside_down(actions, q01, q99, mask):
    """q99 becomes -1."""
    still = q99 - q01 < 1e-6
    scaled = np.where(still, 0.0, 2 * (q99 - actions) / np.where(still, 1, q99 - q01) - 1)
    return np.clip(np.where(mask, scaled, actions), -1, 1)


@wrong("normalize_actions", fits=r"small|narrow|width|still|never|threshold|turn|equal")
def small_turns_are_still(actions, q01, q99, mask):
    """Takes every range under 0.05 for no range: small turns become 0."""
    still = q99 - q01 < 0.05
    scaled = np.where(still, 0.0, 2 * (actions - q01) / np.where(still, 1, q99 - q01) - 1)
    return np.clip(np.where(mask, scaled, actions), -1, 1)


@wrong("normalize_actions", fits=r"mask|as (it|they) (is|are)|outside|\bgrip|gripper|only clipped")
def zero_outside_the_mask(actions, q01, q99, mask):
    """What is outside the mask becomes 0 instead of staying."""
    still = (q99 - q01 < 1e-6) | ~mask
    return np.clip(np.where(still, 0.0, 2 * (actions - q01) / np.where(still, 1, q99 - q01) - 1), -1, 1)


@wrong("normalize_actions", fits=r"mask|which|seventh|last|\bgrip|gripper")
def every_seventh_is_a_grip(actions, q01, q99, mask):
    """Takes every seventh number for a grip, whatever the mask says."""
    still = q99 - q01 < 1e-6
    scaled = np.where(still, 0.0, 2 * (actions - q01) / np.where(still, 1, q99 - q01) - 1)
    grips = np.arange(len(q01)) % 7 == 6
    return np.clip(np.where(grips, actions, scaled), -1, 1)


@wrong("normalize_actions", fits=r"symmetr|q01|line|both|−1|largest|middle")
def by_the_larger_reach(actions, q01, q99, mask):
    """Divides by the larger quantile, so 0 stays 0 and q01 is not -1."""
    reach = np.maximum(np.abs(q01), np.abs(q99))
    still = q99 - q01 < 1e-6
    scaled = np.where(still, 0.0, actions / np.where(still, 1, reach))
    return np.clip(np.where(mask, scaled, actions), -1, 1)


@wrong("normalize_actions", fits=r"clip|cut|lower|both|−1|-1|negative|below|outside")
def cuts_above_only(actions, q01, q99, mask):
    """Clips at 1 and forgets -1."""
    still = q99 - q01 < 1e-6
    scaled = np.where(still, 0.0, 2 * (actions - q01) / np.where(still, 1, q99 - q01) - 1)
    return np.minimum(np.where(mask, scaled, actions), 1)


@right("normalize_actions")
def cuts_at_the_quantiles_first(actions, q01, q99, mask):
    """Clips to the quantiles, then scales; a loop over dimensions and a copy."""
    out = np.clip(np.asarray(actions, dtype=float), -1, 1)
    for d in range(len(q01)):
        if not mask[d]:
            continue
        width = q99[d] - q01[d]
        kept = np.minimum(np.maximum(actions[..., d], q01[d]), q99[d])
        out[..., d] = 0.0 if width < 1e-6 else (kept - q01[d]) / width * 2 - 1
    return out


@right("normalize_actions")
def distance_from_the_middle(actions, q01, q99, mask):
    """Middle and half width; where nothing changes the factor is 0."""
    half, middle = (q99 - q01) / 2, (q99 + q01) / 2
    factor = np.divide(1.0, half, out=np.zeros(len(q01)), where=half > 5e-7)
    factor, middle = np.where(mask, factor, 1.0), np.where(mask, middle, 0.0)
    return np.minimum(1.0, np.maximum(-1.0, (np.asarray(actions, float) - middle) * factor))


@right("normalize_actions")
def repairs_afterwards(actions, q01, q99, mask):
    """Divides by zero in peace and writes the zeros afterwards."""
    with np.errstate(divide="ignore", invalid="ignore"):
        out = 2 * (actions - q01) / (q99 - q01) - 1
    out[..., q99 - q01 < 1e-6] = 0
    out[..., ~mask] = actions[..., ~mask]
    return out.clip(-1, 1)


@right("normalize_actions")
def in_single_precision(actions, q01, q99, mask):
    """float32 throughout."""
    numbers, low = np.array(actions, dtype=np.float32), q01.astype(np.float32)
    width = (q99 - q01).astype(np.float32)
    with np.errstate(all="ignore"):
        scaled = np.where(width < 1e-6, 0, 2 * (numbers - low) / width - 1)
    return np.clip(np.where(mask, scaled, numbers), -1, 1)


@right("normalize_actions")
def interpolates_where_they_differ(actions, q01, q99, mask):
    """np.interp, and 0 where the quantiles are equal."""
    out = np.array(actions, dtype=float)
    for d in np.flatnonzero(mask):
        out[..., d] = 0 if q01[d] == q99[d] else np.interp(out[..., d], [q01[d], q99[d]], [-1, 1])
    return np.clip(out, -1, 1)


@right("normalize_actions")
def still_where_close(actions, q01, q99, mask):
    """np.isclose for equal quantiles."""
    still = np.isclose(q01, q99)
    scaled = 2 * (actions - q01) / np.where(still, 1, q99 - q01) - 1
    scaled[..., still] = 0
    return np.where(mask, scaled, actions).clip(-1, 1)


# --- 04.3


@wrong(
    "split_by_episode",
    fits=r"among episodes|both sides|not (among|by|of|the )?\s*frames|whole episodes|one side|frame by frame|every frame",
)
def frame_by_frame(episode_index, validation_share, seed):
    """Draws frames, not episodes."""
    return np.random.default_rng(seed).random(len(episode_index)) < validation_share


@wrong("split_by_episode", fits=r"round|how many|number|count")
def rounds_down(episode_index, validation_share, seed):
    """Cuts the number of episodes off instead of rounding it."""
    episodes = np.unique(episode_index)
    count = max(int(validation_share * len(episodes)), 1) if validation_share > 0 else 0
    return np.isin(episode_index, np.random.default_rng(seed).choice(episodes, count, replace=False))


@wrong("split_by_episode", fits=r"round|how many|number|count")
def rounds_up(episode_index, validation_share, seed):
    """Rounds every share up."""
    episodes = np.unique(episode_index)
    count = math.ceil(validation_share * len(episodes))
    return np.isin(episode_index, np.random.default_rng(seed).choice(episodes, count, replace=False))


@wrong("split_by_episode", fits=r"at least one|small share|how many|one episode|none")
def maybe_none_at_all(episode_index, validation_share, seed):
    """A small share of few episodes gives none."""
    episodes = np.unique(episode_index)
    count = round(validation_share * len(episodes))
    return np.isin(episode_index, np.random.default_rng(seed).choice(episodes, count, replace=False))


@wrong("split_by_episode", fits=r"share (of|is) 0|of 0|\b0\b|none|no share|where a share is wanted")
def always_at_least_one(episode_index, validation_share, seed):
    """One episode is kept apart even for a share of 0."""
    episodes = np.unique(episode_index)
    count = max(round(validation_share * len(episodes)), 1)
    return np.isin(episode_index, np.random.default_rng(seed).choice(episodes, count, replace=False))


@wrong("split_by_episode", fits=r"seed|default_rng|same ones|again|global")
def forgets_the_seed(episode_index, validation_share, seed):
    """Draws with the global generator: other episodes each time."""
    episodes = np.unique(episode_index)
    count = max(round(validation_share * len(episodes)), int(validation_share > 0))
    return np.isin(episode_index, np.random.choice(episodes, count, replace=False))


@wrong("split_by_episode", fits=r"seed|default_rng")
def one_seed_for_all(episode_index, validation_share, seed):
    """Draws with a fixed seed."""
    episodes = np.unique(episode_index)
    count = max(round(validation_share * len(episodes)), int(validation_share > 0))
    return np.isin(episode_index, np.random.default_rng(0).choice(episodes, count, replace=False))


@wrong("split_by_episode", fits=r"seed|draw|random|lot|choice|first|same ones")
def the_last_ones(episode_index, validation_share, seed):
    """No lots: always the last episodes, whatever the seed."""
    episodes = np.unique(episode_index)
    count = max(round(validation_share * len(episodes)), int(validation_share > 0))
    return np.isin(episode_index, episodes[len(episodes) - count :])


@wrong("split_by_episode", fits=r"replace|twice|fewer|how many|number|count|round")
def draws_with_replacement(episode_index, validation_share, seed):
    """An episode may be drawn twice, so there are too few."""
    episodes = np.unique(episode_index)
    count = max(round(validation_share * len(episodes)), int(validation_share > 0))
    return np.isin(episode_index, np.random.default_rng(seed).choice(episodes, count))


@wrong(
    "split_by_episode",
    fits=r"unique|gap|missing|names|numbered|not there|consecutive|from 0|there are|how many|number",
)
def counts_from_zero(episode_index, validation_share, seed):
    """Believes that episodes are numbered 0, 1, 2 … without gaps: missing ones are drawn, too."""
    count_all = int(episode_index.max()) + 1
    count = max(round(validation_share * count_all), int(validation_share > 0))
    return np.isin(episode_index, np.random.default_rng(seed).choice(count_all, count, replace=False))


@wrong("split_by_episode", fits=r"share|of episodes|of frames|how many|number|count|round")
def share_of_frames(episode_index, validation_share, seed):
    """Adds whole episodes until the share of frames is reached."""
    chosen = np.zeros(len(episode_index), bool)
    for episode in np.random.default_rng(seed).permutation(np.unique(episode_index)):
        if chosen.mean() >= validation_share:
            break
        chosen |= episode_index == episode
    return chosen


@wrong("split_by_episode", fits=r"validation|training|invert|other way|True|opposite|kept apart|share|drawn")
def true_for_training(episode_index, validation_share, seed):
    """True where a frame is for training."""
    episodes = np.unique(episode_index)
    count = max(round(validation_share * len(episodes)), int(validation_share > 0))
    return ~np.isin(episode_index, np.random.default_rng(seed).choice(episodes, count, replace=False))


@wrong(
    "split_by_episode",
    fits=r"bool|True|mask|for each frame|every frame|isin|kind|type|length|one .* (for|per)",
)
def numbers_of_frames(episode_index, validation_share, seed):
    """Returns the frames' numbers instead of a mask."""
    episodes = np.unique(episode_index)
    count = max(round(validation_share * len(episodes)), int(validation_share > 0))
    chosen = np.random.default_rng(seed).choice(episodes, count, replace=False)
    return np.flatnonzero(np.isin(episode_index, chosen))


@wrong("split_by_episode", fits=r"list|array|kind|type|isin")
def a_list_of_bools(episode_index, validation_share, seed):
    """A Python list, which ~ does not understand."""
    episodes = np.unique(episode_index)
    count = max(round(validation_share * len(episodes)), int(validation_share > 0))
    chosen = set(np.random.default_rng(seed).choice(episodes, count, replace=False).tolist())
    return [int(episode) in chosen for episode in episode_index]


@wrong("split_by_episode", fits=r"bool|True|dtype|kind|type|isin")
def ones_and_zeros(episode_index, validation_share, seed):
    """Whole numbers 0 and 1, which index frames 0 and 1 instead of choosing."""
    episodes = np.unique(episode_index)
    count = max(round(validation_share * len(episodes)), int(validation_share > 0))
    chosen = np.random.default_rng(seed).choice(episodes, count, replace=False)
    return np.isin(episode_index, chosen).astype(int)


@wrong(
    "split_by_episode", fits=r"order|sorted|shuffl|both sides|row|contiguous|one side|every frame|mixed|apart"
)
def believes_in_order(episode_index, validation_share, seed):
    """Repeats each episode's answer as often as it has frames: wrong where frames do not come episode by episode."""
    episodes, lengths = np.unique(episode_index, return_counts=True)
    count = max(round(validation_share * len(episodes)), int(validation_share > 0))
    chosen = np.random.default_rng(seed).choice(episodes, count, replace=False)
    return np.repeat(np.isin(episodes, chosen), lengths)


@wrong("split_by_episode", fits=r"how many|number|count|round|exactly|each episode|choice|share|at least")
def a_coin_for_each(episode_index, validation_share, seed):
    """Tosses a coin for each episode: the number of them is left to chance."""
    episodes, places = np.unique(episode_index, return_inverse=True)
    return (np.random.default_rng(seed).random(len(episodes)) < validation_share)[places]


@wrong("split_by_episode", fits=IN_PLACE)
def renumbers_in_place(episode_index, validation_share, seed):
    """Renumbers the caller's episodes in place."""
    episodes, places = np.unique(episode_index, return_inverse=True)
    episode_index[:] = places
    count = max(round(validation_share * len(episodes)), int(validation_share > 0))
    return np.isin(episode_index, np.random.default_rng(seed).permutation(len(episodes))[:count])


@wrong(
    "split_by_episode",
    fits=r"draw|twice|each episode|among episodes|long|frames|equally|likel|how many|number|count|choice|unique",
)
def draws_frames_then_their_episodes(episode_index, validation_share, seed):
    """Draws so many frames and takes their episodes: two may be of one episode, so there are too few."""
    count = max(round(validation_share * len(np.unique(episode_index))), int(validation_share > 0))
    frames = np.random.default_rng(seed).choice(len(episode_index), count, replace=False)
    return np.isin(episode_index, episode_index[frames])


@right("split_by_episode")
def first_of_a_permutation(episode_index, validation_share, seed):
    """Other episodes than the library's, drawn as the head of a permutation."""
    episodes, places = np.unique(episode_index, return_inverse=True)
    count = 0 if validation_share == 0 else max(1, round(validation_share * len(episodes)))
    kept = np.zeros(len(episodes), dtype=bool)
    kept[np.random.default_rng(seed).permutation(len(episodes))[:count]] = True
    return kept[places.reshape(-1)]


@right("split_by_episode")
def with_pythons_random(episode_index, validation_share, seed):
    """random.Random of its own, a set, and a comprehension."""
    names = sorted({int(episode) for episode in episode_index})
    count = max(int(validation_share > 0), round(validation_share * len(names)))
    chosen = set(random.Random(int(seed)).sample(names, count))
    return np.array([int(episode) in chosen for episode in episode_index], dtype=bool)


@right("split_by_episode")
def with_torchs_generator(episode_index, validation_share, seed):
    """A torch generator of its own; compares each frame with every drawn episode."""
    episodes = np.unique(episode_index)
    count = max(round(validation_share * len(episodes)), 1 if validation_share else 0)
    order = torch.randperm(len(episodes), generator=torch.Generator().manual_seed(int(seed))).numpy()
    return (episode_index[:, None] == episodes[order[:count]][None, :]).any(axis=1)


@right("split_by_episode")
def an_older_generator(episode_index, validation_share, seed):
    """np.random.RandomState of its own, and a shuffle of a copy."""
    episodes = np.unique(episode_index).copy()
    count = round(validation_share * len(episodes)) or int(validation_share > 0)
    np.random.RandomState(seed).shuffle(episodes)
    validation = np.full(len(episode_index), False)
    for episode in episodes[:count]:
        validation[episode_index == episode] = True
    return validation


@right("split_by_episode")
def smallest_lots(episode_index, validation_share, seed):
    """A lot for each episode; the smallest lots win."""
    episodes, places = np.unique(episode_index, return_inverse=True)
    count = max(round(validation_share * len(episodes)), int(validation_share > 0))
    lots = np.random.default_rng(seed).random(len(episodes))
    return (lots.argsort().argsort() < count)[places]


@right("split_by_episode")
def in_order_of_appearance(episode_index, validation_share, seed):
    """Names in the order in which they appear, shuffled by a generator of another make."""
    names = list(dict.fromkeys(episode_index.tolist()))
    count = max(round(validation_share * len(names)), int(validation_share > 0))
    np.random.Generator(np.random.PCG64(seed)).shuffle(names)
    return np.fromiter((episode in names[:count] for episode in episode_index), bool)


# --- 04.4


@wrong("center_crop_box", fits=r"root|sqrt|area|times itself")
def area_for_side(height, width, area=0.9):
    """90 % of each side, so 81 % of the area."""
    rows, columns = int(height * area), int(width * area)
    return (height - rows) // 2, (width - columns) // 2, rows, columns


@wrong("center_crop_box", fits=r"round|down|int\(")
def rounds_sides(height, width, area=0.9):
    """Rounds sides to the nearest pixel."""
    side = math.sqrt(area)
    rows, columns = round(height * side), round(width * side)
    return (height - rows) // 2, (width - columns) // 2, rows, columns


@wrong("center_crop_box", fits=r"margin|above|rounded down|// 2|edges|left is shared")
def larger_margin_above(height, width, area=0.9):
    """Rounds the margin above and to the left up."""
    side = math.sqrt(area)
    rows, columns = int(height * side), int(width * side)
    return math.ceil((height - rows) / 2), math.ceil((width - columns) / 2), rows, columns


@wrong("center_crop_box", fits=r"order|top|left|swap")
def left_before_top(height, width, area=0.9):
    """Left, top, width, height: the other order."""
    side = math.sqrt(area)
    rows, columns = int(height * side), int(width * side)
    return (width - columns) // 2, (height - rows) // 2, columns, rows


@wrong("center_crop_box", fits=r"bottom|right|height and width|size|corner|how (high|wide|large)|end")
def corners(height, width, area=0.9):
    """Bottom and right instead of height and width."""
    side = math.sqrt(area)
    rows, columns = int(height * side), int(width * side)
    top, left = (height - rows) // 2, (width - columns) // 2
    return top, left, top + rows, left + columns


@wrong("center_crop_box", fits=r"shape|square|both|aspect|width|each side")
def always_square(height, width, area=0.9):
    """A square of the shorter side: right for square pictures only."""
    side = int(min(height, width) * math.sqrt(area))
    return (height - side) // 2, (width - side) // 2, side, side


@wrong("center_crop_box", fits=r"share|area|argument|0\.9|other|90 %")
def always_ninety_percent(height, width, area=0.9):
    """Ignores the share that was asked for."""
    side = math.sqrt(0.9)
    rows, columns = int(height * side), int(width * side)
    return (height - rows) // 2, (width - columns) // 2, rows, columns


@wrong("center_crop_box", fits=r"\bint|whole|float|pixel|//|kind|type")
def half_pixels(height, width, area=0.9):
    """Margins are floats, which no array can be sliced by."""
    side = math.sqrt(area)
    rows, columns = int(height * side), int(width * side)
    return (height - rows) / 2, (width - columns) / 2, rows, columns


@wrong("center_crop_box", fits=r"margin|rows|rounded|left (is|over)|shared|first|half|down|above")
def margin_before_rounding(height, width, area=0.9):
    """Takes the margin of the side that is not rounded yet: up to a pixel less."""
    side = math.sqrt(area)
    return int(height * (1 - side) / 2), int(width * (1 - side) / 2), int(height * side), int(width * side)


@wrong("center_crop_box", fits=r"centre|center|middle|edge|margin|random")
def from_the_corner(height, width, area=0.9):
    """Crops from the top left corner."""
    side = math.sqrt(area)
    return 0, 0, int(height * side), int(width * side)


@wrong("center_crop_box", fits=r"both|width|shape|sides|root|sqrt")
def height_only(height, width, area=0.9):
    """Takes the whole share from the height: the right area, another shape."""
    rows = int(height * area)
    return (height - rows) // 2, 0, rows, width


@wrong("center_crop_box", fits=r"width|columns|rounded|each|own|both|shape|root|down")
def width_from_rounded_height(height, width, area=0.9):
    """Computes the width from the rounded height, and so rounds twice."""
    rows = int(height * math.sqrt(area))
    columns = rows * width // height
    return (height - rows) // 2, (width - columns) // 2, rows, columns


@wrong("center_crop_box", fits=r"margin|both edges|round|down|even|size|height|twice|sides")
def even_margins_always(height, width, area=0.9):
    """Takes the same margin on both edges, so the crop is a pixel too large where an odd number is left."""
    side = math.sqrt(area)
    top, left = (height - int(height * side)) // 2, (width - int(width * side)) // 2
    return top, left, height - 2 * top, width - 2 * left


@wrong("center_crop_box", fits=r"tuple|array|\bint|kind|type|python|list")
def an_array_of_four(height, width, area=0.9):
    """A float array of four in place of a tuple of whole numbers."""
    size = np.floor(np.array([height, width]) * np.sqrt(area))
    return np.concatenate([np.floor((np.array([height, width]) - size) / 2), size])


@right("center_crop_box")
def power_and_floor(height, width, area=0.9):
    """area ** 0.5 and math.floor; divmod for the margin."""
    rows, columns = math.floor(height * area**0.5), math.floor(width * area**0.5)
    top, _ = divmod(height - rows, 2)
    left, _ = divmod(width - columns, 2)
    return top, left, rows, columns


@right("center_crop_box")
def both_sides_in_a_loop(height, width, area=0.9):
    """The same for both sides, with NumPy, then plain ints."""
    boxes = []
    for length in (height, width):
        kept = int(np.floor(length * np.sqrt(area)))
        boxes.append((int(np.floor((length - kept) / 2)), kept))
    return boxes[0][0], boxes[1][0], boxes[0][1], boxes[1][1]


@right("center_crop_box")
def counts_margins_with_floats(height, width, area=0.9):
    """Truncates half of what is left, which is never negative."""
    side = float(torch.tensor(area, dtype=torch.float64).sqrt())
    rows, columns = int(side * height), int(side * width)
    return int((height - rows) * 0.5), int((width - columns) * 0.5), rows, columns


# --- 04.5


@wrong("build_labels", fits=IN_PLACE)
def crosses_out_the_ids(input_ids, prompt_length, pad_id):
    """No clone: the ids themselves are crossed out."""
    labels = input_ids
    padding = input_ids == pad_id
    labels[:prompt_length] = -100
    labels[padding] = -100
    return labels


@wrong(
    "build_labels", fits=r"shift|by itself|same place|moves|where their ids|one (place|position)|next label"
)
def shifts_by_itself(input_ids, prompt_length, pad_id):
    """Moves labels one place to the left, as the model does again."""
    labels = input_ids.clone()
    labels[:prompt_length] = -100
    labels[input_ids == pad_id] = -100
    return torch.cat([labels[1:], labels.new_tensor([-100])])


@wrong("build_labels", fits=r"\bpad")
def learns_the_padding(input_ids, prompt_length, pad_id):
    """Forgets the padding."""
    labels = input_ids.clone()
    labels[:prompt_length] = -100
    return labels


@wrong("build_labels", fits=r"prompt")
def learns_the_prompt(input_ids, prompt_length, pad_id):
    """Forgets the prompt."""
    labels = input_ids.clone()
    labels[input_ids == pad_id] = -100
    return labels


@wrong("build_labels", fits=r"</s>|stop|\bend of the action|last (real|id)")
def never_learns_to_stop(input_ids, prompt_length, pad_id):
    """Crosses out the </s>, too."""
    labels = input_ids.clone()
    labels[:prompt_length] = -100
    labels[input_ids == pad_id] = -100
    learned = (labels != -100).nonzero().flatten()
    labels[learned[-1:]] = -100
    return labels


@wrong("build_labels", fits=r"-100|−100|UNLEARNED|crossed out")
def zeros_for_unlearned(input_ids, prompt_length, pad_id):
    """0 instead of -100: the model would learn to say 0."""
    labels = input_ids.clone()
    labels[:prompt_length] = 0
    labels[input_ids == pad_id] = 0
    return labels


@wrong("build_labels", fits=r"-100|−100|UNLEARNED|crossed out")
def padding_for_unlearned(input_ids, prompt_length, pad_id):
    """Fills with the padding's id, as if the loss skipped it."""
    labels = input_ids.clone()
    labels[:prompt_length] = pad_id
    return labels


@wrong("build_labels", fits=r"first (action|token|word|id|place)|prompt_length|one too|by one|prompt")
def first_action_token_lost(input_ids, prompt_length, pad_id):
    """Crosses out one place too many."""
    labels = input_ids.clone()
    labels[: prompt_length + 1] = -100
    labels[input_ids == pad_id] = -100
    return labels


@wrong("build_labels", fits=r"last (word|token|id|place)|prompt|empty|one too|by one")
def learns_the_empty_token(input_ids, prompt_length, pad_id):
    """Crosses out one place too few: the prompt's last is learned."""
    labels = input_ids.clone()
    labels[: prompt_length - 1] = -100
    labels[input_ids == pad_id] = -100
    return labels


@wrong("build_labels", fits=r"\bint|float|dtype|kind|type|whole|long")
def labels_as_floats(input_ids, prompt_length, pad_id):
    """torch.full with -100.0 makes floats."""
    labels = torch.full(input_ids.shape, -100.0)
    learned = input_ids != pad_id
    learned[:prompt_length] = False
    labels[learned] = input_ids[learned].float()
    return labels


@wrong("build_labels", fits=r"tensor|list|kind|type")
def a_list_of_labels(input_ids, prompt_length, pad_id):
    """A Python list."""
    return [
        -100 if place < prompt_length or number == pad_id else number
        for place, number in enumerate(input_ids.tolist())
    ]


@wrong("build_labels", fits=r"without|no padding|pad|index|bounds|empty")
def needs_some_padding(input_ids, prompt_length, pad_id):
    """Looks for the first padding behind the prompt; a row without any is an error."""
    labels = input_ids.clone()
    labels[:prompt_length] = -100
    begins = (input_ids[prompt_length:] == pad_id).nonzero()[0].item()
    labels[prompt_length + begins :] = -100
    return labels


@wrong("build_labels", fits=r"length|shape|place|where their ids|as long|long")
def the_answer_only(input_ids, prompt_length, pad_id):
    """Returns the answer without anything in front: shorter than the row."""
    labels = input_ids[prompt_length:].clone()
    labels[labels == pad_id] = -100
    return labels


@wrong("build_labels", fits=r"\bpad")
def padding_is_zero(input_ids, prompt_length, pad_id):
    """Takes 0 for the padding, whatever its id."""
    labels = input_ids.clone()
    labels[:prompt_length] = -100
    labels[input_ids == 0] = -100
    return labels


@wrong("build_labels", fits=r"\bpad|</s>|all of it|last")
def one_padding_only(input_ids, prompt_length, pad_id):
    """Crosses out the last place only, if it is padding."""
    labels = input_ids.clone()
    labels[:prompt_length] = -100
    if labels[-1] == pad_id:
        labels[-1] = -100
    return labels


@wrong("build_labels", fits=r"\bpad|</s>|stop|prompt_length|seven|length|action|prompt")
def seven_numbers_and_a_stop(input_ids, prompt_length, pad_id):
    """Learns the last eight ids that are no padding: seven numbers and </s>, for one hand only."""
    labels = torch.full_like(input_ids, -100)
    real = int((input_ids != pad_id).sum())
    labels[real - 8 : real] = input_ids[real - 8 : real]
    return labels


@wrong("build_labels", fits=r"prompt|first|pad|all of|both|\bor\b|everywhere")
def padding_of_the_prompt_only(input_ids, prompt_length, pad_id):
    """Crosses out where a place is prompt AND padding, so next to nothing."""
    labels = input_ids.clone()
    prompt = torch.arange(len(input_ids), device=input_ids.device) < prompt_length
    labels[prompt & (input_ids == pad_id)] = -100
    return labels


@wrong("build_labels", fits=r"bool|ids|mask|kind|type|label")
def says_which_are_learned(input_ids, prompt_length, pad_id):
    """Returns a mask of what is learned instead of labels."""
    learned = input_ids != pad_id
    learned[:prompt_length] = False
    return learned


@right("build_labels")
def with_where(input_ids, prompt_length, pad_id):
    """torch.where on one condition."""
    places = torch.arange(input_ids.shape[0], device=input_ids.device)
    return torch.where((places >= prompt_length) & (input_ids != pad_id), input_ids, -100)


@right("build_labels")
def fills_twice(input_ids, prompt_length, pad_id):
    """The answer with its padding filled, behind so many -100."""
    answer = input_ids[prompt_length:].masked_fill(input_ids[prompt_length:] == pad_id, -100)
    return torch.cat([torch.full_like(input_ids[:prompt_length], -100), answer])


@right("build_labels")
def number_after_number(input_ids, prompt_length, pad_id):
    """A Python loop, and a tensor of the same dtype in the end."""
    labels = []
    for place, number in enumerate(input_ids.tolist()):
        labels.append(number if place >= prompt_length and number != pad_id else -100)
    return torch.tensor(labels, dtype=input_ids.dtype, device=input_ids.device)


@right("build_labels")
def copies_into_minus_hundreds(input_ids, prompt_length, pad_id):
    """Everything is crossed out first, and the answer written back."""
    labels = torch.full_like(input_ids, -100)
    learned = (input_ids != pad_id).nonzero().squeeze(-1)
    learned = learned[learned >= prompt_length]
    labels[learned] = input_ids[learned]
    return labels
