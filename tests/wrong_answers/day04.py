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
    """np.interp, and 0 where the quantiles are closer than a millionth."""
    out = np.array(actions, dtype=float)
    for d in np.flatnonzero(mask):
        out[..., d] = 0 if q99[d] - q01[d] < 1e-6 else np.interp(out[..., d], [q01[d], q99[d]], [-1, 1])
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


# --- 04.1, other answers


@wrong(
    "action_quantiles",
    fits=r"episode by episode|each episode|per episode|mean of|average|short episode|all frames|concatenate|weigh|as little",
)
def mean_of_the_episodes_quantiles(episodes):
    """Averages the quantiles of the episodes, so a short episode counts as much as a long one."""
    return (
        np.mean([np.quantile(episode, 0.01, axis=0) for episode in episodes], axis=0),
        np.mean([np.quantile(episode, 0.99, axis=0) for episode in episodes], axis=0),
    )


@wrong("action_quantiles", fits=r"percent|1 %|0\.01|0\.99|share|smallest|largest|minimum|maximum|min\b|max\b")
def percentile_of_a_share(episodes):
    """np.percentile with 0.01 and 0.99: both lie near the minimum."""
    frames = np.concatenate(episodes)
    return np.percentile(frames, 0.01, axis=0), np.percentile(frames, 0.99, axis=0)


@wrong("action_quantiles", fits=r"normal|gauss|bell|standard deviation|std|mean|quantile|distribution|sort")
def as_if_normally_distributed(episodes):
    """Mean plus and minus 2.326 standard deviations, which is a quantile of a bell curve only."""
    frames = np.concatenate(episodes)
    mean, std = frames.mean(axis=0), frames.std(axis=0)
    return mean - 2.3263 * std, mean + 2.3263 * std


@wrong(
    "action_quantiles",
    fits=r"symmetr|absolute|abs|sign|negative|two sides|each side|both sides|1 %|0\.01|lower|q01|below",
)
def symmetric_from_the_size(episodes):
    """The 99 % quantile of the size with both signs, although steps forth and back differ."""
    size = np.quantile(np.abs(np.concatenate(episodes)), 0.99, axis=0)
    return -size, size


@wrong(
    "action_quantiles", fits=r"length|same shape|concatenate|stack|cut|shortest|long|all frames|every frame"
)
def cut_to_the_shortest(episodes):
    """Cuts all episodes to the length of the shortest so that they stack, and loses frames."""
    shortest = min(len(episode) for episode in episodes)
    frames = np.stack([episode[:shortest] for episode in episodes]).reshape(-1, episodes[0].shape[1])
    low, high = np.quantile(frames, [0.01, 0.99], axis=0)
    return low, high


@wrong(
    "action_quantiles",
    fits=r"zero|still|rest|idle|all frames|every frame|left out|leave out|drop|missing|nonzero|stand",
)
def without_the_idle_numbers(episodes):
    """Leaves out numbers that are exactly 0, as if a hand at rest were no frame."""
    frames = np.concatenate(episodes).astype(float)
    frames[frames == 0] = np.nan
    low, high = np.nanquantile(frames, [0.01, 0.99], axis=0)
    return np.nan_to_num(low), np.nan_to_num(high)


@wrong("action_quantiles", fits=r"in place|input|argument|changed|changes|copy|your own|given|handed")
def pops_the_first_episode(episodes):
    """Takes the first episode out of the caller's list to begin the long array with."""
    episodes_left = episodes if isinstance(episodes, list) else list(episodes)
    frames = episodes_left.pop(0)
    for episode in episodes_left:
        frames = np.concatenate([frames, episode])
    return np.quantile(frames, 0.01, axis=0), np.quantile(frames, 0.99, axis=0)


@wrong("action_quantiles", fits=r"episode|all frames|extreme|smallest|largest|min|max|concatenate|one long")
def widest_of_the_episodes_in_another_way(episodes):
    """The lowest 1 % quantile and the highest 99 % quantile of any episode."""
    low = np.min([np.quantile(episode, 0.01, axis=0) for episode in episodes], axis=0)
    high = np.max([np.quantile(episode, 0.99, axis=0) for episode in episodes], axis=0)
    return low, high


@wrong("action_quantiles", fits=r"list|array|numpy|ndarray|kind|type")
def as_plain_lists(episodes):
    """Plain lists, which cannot be subtracted from one another."""
    low, high = np.quantile(np.concatenate(episodes), [0.01, 0.99], axis=0)
    return low.tolist(), high.tolist()


@right("action_quantiles")
def with_percentile(episodes):
    """np.percentile with 1 and 99 over np.vstack."""
    frames = np.vstack(list(episodes))
    return tuple(np.percentile(frames, q, axis=0) for q in (1, 99))


@right("action_quantiles")
def by_sorting_in_another_way(episodes):
    """Sorts each column and draws a straight line between the two frames around the place."""
    frames = np.sort(np.concatenate([np.asarray(episode, dtype=np.float64) for episode in episodes]), axis=0)

    def at(share):
        place = share * (len(frames) - 1)
        below = math.floor(place)
        above = min(below + 1, len(frames) - 1)
        return frames[below] + (place - below) * (frames[above] - frames[below])

    return at(0.01), at(0.99)


@right("action_quantiles")
def with_torch_quantile(episodes):
    """torch.quantile in float64, back to arrays."""
    frames = torch.cat([torch.from_numpy(np.array(episode, dtype=np.float64)) for episode in episodes])
    low, high = torch.quantile(frames, torch.tensor([0.01, 0.99], dtype=torch.float64), dim=0)
    return low.numpy(), high.numpy()


@right("action_quantiles")
def column_by_column(episodes):
    """One dimension after another, in lists of all frames."""
    numbers = episodes[0].shape[1]
    low, high = np.zeros(numbers), np.zeros(numbers)
    for k in range(numbers):
        column = [value for episode in episodes for value in episode[:, k]]
        low[k], high[k] = np.quantile(column, 0.01), np.quantile(column, 0.99)
    return low, high


# --- 04.2, other answers


@wrong("normalize_actions", fits=r"mask|only clipped|stay|grip")
def still_outside_the_mask_too(actions, q01, q99, mask):
    """A grip that never changes becomes 0, although it is outside the mask."""
    still = q99 - q01 < 1e-6
    scaled = 2 * (actions - q01) / np.where(still, 1.0, q99 - q01) - 1
    return np.clip(np.where(still, 0.0, np.where(mask, scaled, actions)), -1, 1)


@wrong(
    "normalize_actions", fits=r"never chang|still|width|0 where|becomes? 0|equal|divid|epsilon|1e-|q01 .*q99"
)
def with_upstreams_epsilon(actions, q01, q99, mask):
    """Adds 1e-8 to the width as OpenVLA does, so that a dimension that never changes becomes -1."""
    scaled = np.clip(2 * (actions - q01) / (q99 - q01 + 1e-8) - 1, -1, 1)
    return np.where(mask, scaled, np.clip(actions, -1, 1))


@wrong("normalize_actions", fits=r"never chang|still|width|becomes? 0|equal|divid|nan|inf")
def zero_only_where_nan(actions, q01, q99, mask):
    """Makes 0 of 0/0 only: a number beside the constant divides to infinity and becomes ±1."""
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled = 2 * (actions - q01) / (q99 - q01) - 1
    scaled = np.where(np.isnan(scaled), 0.0, scaled)
    return np.clip(np.where(mask, scaled, actions), -1.0, 1.0)


@wrong("normalize_actions", fits=r"mask|outside|clip|cut|grip")
def clips_only_what_is_scaled(actions, q01, q99, mask):
    """Numbers outside the mask are handed on unclipped."""
    width = q99 - q01
    still = width < 1e-6
    scaled = np.clip(2 * (actions - q01) / np.where(still, 1, width) - 1, -1, 1)
    return np.where(mask, np.where(still, 0, scaled), actions)


@wrong(
    "normalize_actions",
    fits=r"never chang|still|q01|q99|statistic|equal|one row|single|batch|these actions|frame",
)
def still_in_these_actions(actions, q01, q99, mask):
    """Asks the actions at hand whether a dimension changes, not q01 and q99: a single frame becomes all 0."""
    rows = actions.reshape(-1, actions.shape[-1])
    still = np.ptp(rows, axis=0) == 0
    width = np.where(still | (q99 == q01), 1.0, q99 - q01)
    scaled = np.where(still, 0.0, 2 * (actions - q01) / width - 1)
    return np.clip(np.where(mask, scaled, actions), -1, 1)


@wrong("normalize_actions", fits=r"in place|input|argument|changed|changes|copy|given|handed|caller|your own")
def changes_its_actions(actions, q01, q99, mask):
    """Writes the normalised columns back into the array that it was given."""
    for k in range(actions.shape[-1]):
        if mask[k]:
            width = q99[k] - q01[k]
            actions[..., k] = 0.0 if width < 1e-6 else 2 * (actions[..., k] - q01[k]) / width - 1
    return np.clip(actions, -1, 1)


@wrong("normalize_actions", fits=r"small|narrow|1e-|never chang|still|width|equal|thin|turn|threshold")
def calls_small_turns_still(actions, q01, q99, mask):
    """Takes every range below 0.01 for one that never changes: the small turns are lost."""
    width = q99 - q01
    still = width < 1e-2
    scaled = np.where(still, 0.0, 2 * (actions - q01) / np.where(still, 1.0, width) - 1)
    return np.clip(np.where(mask, scaled, actions), -1, 1)


@wrong("normalize_actions", fits=r"axes|axis|batch|row|shape|dimension|ndim|index|frame")
def for_a_table_of_frames_only(actions, q01, q99, mask):
    """Indexes actions[:, k], which takes (T, A) only."""
    result = np.clip(actions, -1.0, 1.0).astype(float)
    for k in np.flatnonzero(mask):
        width = q99[k] - q01[k]
        result[:, k] = 0.0 if width < 1e-6 else np.clip(2 * (actions[:, k] - q01[k]) / width - 1, -1, 1)
    return result


@wrong("normalize_actions", fits=r"clip|before|first|order|after|units|range|outside")
def clips_before_it_scales(actions, q01, q99, mask):
    """Clips the raw actions to [-1, 1] first and not what comes out."""
    width = q99 - q01
    still = width < 1e-6
    actions = np.clip(actions, -1, 1)
    return np.where(mask, np.where(still, 0, 2 * (actions - q01) / np.where(still, 1, width) - 1), actions)


@right("normalize_actions")
def cut_in_units_first(actions, q01, q99, mask):
    """Clips to [q01, q99] in the data set's units, then moves the middle to 0 and divides by half the width."""
    middle, half = (q01 + q99) / 2, (q99 - q01) / 2
    moves = half >= 5e-7
    inside = np.minimum(np.maximum(actions, q01), q99)
    scaled = np.zeros(np.broadcast(actions, q01).shape)
    np.divide(inside - middle, half, out=scaled, where=np.broadcast_to(moves, scaled.shape))
    scaled = np.clip(scaled, -1, 1)
    return np.where(mask, scaled, np.clip(actions, -1, 1))


@right("normalize_actions")
def with_interp(actions, q01, q99, mask):
    """np.interp for each dimension; it clips by itself."""
    result = np.empty(np.shape(actions), dtype=np.float64)
    for k, (low, high, chosen) in enumerate(zip(q01, q99, mask, strict=True)):
        if not chosen:
            result[..., k] = np.clip(actions[..., k], -1, 1)
        elif high - low < 1e-6:
            result[..., k] = 0
        else:
            result[..., k] = np.interp(actions[..., k], [low, high], [-1, 1])
    return result


@right("normalize_actions")
def number_by_number(actions, q01, q99, mask):
    """A plain loop over every number in Python floats."""
    result = np.zeros(actions.shape)
    for place in np.ndindex(*actions.shape):
        k, value = place[-1], float(actions[place])
        low, high = float(q01[k]), float(q99[k])
        if mask[k]:
            value = ((value - low) - (high - value)) / (high - low) if high - low >= 1e-6 else 0.0
        result[place] = max(-1.0, min(1.0, value))
    return result


@right("normalize_actions")
def with_torch_clamp(actions, q01, q99, mask):
    """torch in float64, with torch.where and clamp."""
    a, low, high = (torch.as_tensor(np.array(part, dtype=np.float64)) for part in (actions, q01, q99))
    still = high - low < 1e-6
    scaled = 2 * (a - low) / torch.where(still, torch.ones_like(low), high - low) - 1
    scaled = scaled.masked_fill(still.expand_as(scaled), 0.0)
    return torch.where(torch.as_tensor(np.array(mask)), scaled, a).clamp(-1, 1).numpy()


# --- 04.3, other answers


@wrong(
    "split_by_episode",
    fits=r"0 \.\.|number|name|gap|np\.unique|which episodes|there are|range|arange|missing|not there|begin",
)
def episodes_from_zero_to_the_largest(episode_index, validation_share, seed):
    """Takes episodes to be numbered 0, 1, 2, … without gaps."""
    episodes = int(episode_index.max()) + 1
    count = max(round(validation_share * episodes), int(validation_share > 0))
    chosen = np.random.default_rng(seed).choice(episodes, size=count, replace=False)
    return np.isin(episode_index, chosen)


@wrong("split_by_episode", fits=r"replace|twice|more than once|again|how many|number|count|share")
def draws_with_replacement_in_another_way(episode_index, validation_share, seed):
    """Draws episodes with replacement, so that one may come up twice."""
    episodes = np.unique(episode_index)
    count = max(round(validation_share * len(episodes)), int(validation_share > 0))
    return np.isin(episode_index, np.random.default_rng(seed).choice(episodes, size=count))


@wrong("split_by_episode", fits=r"how many|exact|number of|count|share|coin|rounded")
def a_coin_for_each_episode(episode_index, validation_share, seed):
    """Throws a coin for each episode: the share is right on average only."""
    episodes, place = np.unique(episode_index, return_inverse=True)
    luck = np.random.default_rng(seed).random(len(episodes))
    chosen = luck < validation_share
    if validation_share > 0 and not chosen.any():
        chosen[luck.argmin()] = True
    return chosen[place]


@wrong(
    "split_by_episode",
    fits=r"share of 0|a share is wanted|none|no (frame|episode)|at least one|without|nothing|0\b|zero",
)
def always_at_least_one_in_another_way(episode_index, validation_share, seed):
    """Keeps an episode apart even where the share is 0."""
    episodes = np.unique(episode_index)
    count = max(1, round(validation_share * len(episodes)))
    return np.isin(episode_index, np.random.default_rng(seed).permutation(episodes)[:count])


@wrong("split_by_episode", fits=r"share of (the )?(episodes|frames)|episodes|frames|how many|number|count")
def until_the_frames_are_enough(episode_index, validation_share, seed):
    """Adds episodes until they hold the share of *frames*."""
    result = np.zeros(len(episode_index), bool)
    for episode in np.random.default_rng(seed).permutation(np.unique(episode_index)):
        if result.sum() >= validation_share * len(episode_index):
            break
        result |= episode_index == episode
    return result


@wrong("split_by_episode", fits=r"round|whole|how many|number|count|down|floor|int\b|share")
def rounds_the_share_down(episode_index, validation_share, seed):
    """int() in place of round()."""
    episodes = np.unique(episode_index)
    count = int(validation_share * len(episodes))
    if validation_share > 0 and count == 0:
        count = 1
    chosen = np.random.default_rng(seed).choice(episodes, count, replace=False)
    return np.isin(episode_index, chosen)


@wrong(
    "split_by_episode",
    fits=r"both sides|order|sorted|mixed|shuffled|one after (the other|another)|consecutive|neighbou?r|apart|side|unique",
)
def pieces_in_a_row(episode_index, validation_share, seed):
    """A new episode begins wherever the number changes: shuffled frames of one episode land on both sides."""
    piece = np.concatenate([[0], np.cumsum(np.diff(episode_index) != 0)])
    pieces = piece[-1] + 1
    count = max(round(validation_share * pieces), int(validation_share > 0))
    chosen = np.random.default_rng(seed).choice(pieces, size=count, replace=False)
    return np.isin(piece, chosen)


@right("split_by_episode")
def with_pythons_random_in_another_way(episode_index, validation_share, seed):
    """random.Random(seed).sample in place of numpy's generator, and a set."""
    episodes = sorted(set(episode_index.tolist()))
    count = round(validation_share * len(episodes)) or (1 if validation_share > 0 else 0)
    chosen = set(random.Random(seed).sample(episodes, count))
    return np.array([episode in chosen for episode in episode_index.tolist()], dtype=bool)


@right("split_by_episode")
def first_of_a_permutation_in_another_way(episode_index, validation_share, seed):
    """The first episodes of a shuffled list, marked with |=."""
    episodes = np.unique(episode_index)
    np.random.default_rng(seed).shuffle(episodes)
    count = int(np.rint(validation_share * episodes.size))
    if validation_share > 0:
        count = max(count, 1)
    result = np.zeros(episode_index.shape, dtype=bool)
    for episode in episodes[:count]:
        result |= episode_index == episode
    return result


@right("split_by_episode")
def with_a_torch_generator(episode_index, validation_share, seed):
    """torch.randperm with a generator of its own, and a look-up by np.unique's inverse."""
    episodes, inverse = np.unique(episode_index, return_inverse=True)
    count = max(round(validation_share * len(episodes)), 1) if validation_share else 0
    order = torch.randperm(len(episodes), generator=torch.Generator().manual_seed(seed))
    kept = np.zeros(len(episodes), dtype=np.bool_)
    kept[order[:count].numpy()] = True
    return kept[inverse]


@right("split_by_episode")
def the_highest_lots(episode_index, validation_share, seed):
    """Each episode draws a lot from RandomState; the lowest lots are kept apart."""
    episodes = np.unique(episode_index)
    lots = np.random.RandomState(seed).rand(len(episodes))
    count = 0 if validation_share == 0 else max(1, round(len(episodes) * validation_share))
    return np.isin(episode_index, episodes[np.argsort(lots)[:count]])


# --- 04.4, other answers


@wrong("center_crop_box", fits=r"shape|square|picture's|as wide|proportion|both sides|each side|width|height")
def a_square_crop(height, width, area=0.9):
    """A square of the share of the area, whatever shape the picture has."""
    side = min(int(math.sqrt(area * height * width)), height, width)
    return (height - side) // 2, (width - side) // 2, side, side


@wrong("center_crop_box", fits=r"bottom|right|height and width|size|rows|columns|end|corner")
def bottom_and_right(height, width, area=0.9):
    """Top, left, bottom, right in place of top, left, height, width."""
    side = math.sqrt(area)
    top, left = (height - int(height * side)) // 2, (width - int(width * side)) // 2
    return top, left, top + int(height * side), left + int(width * side)


@wrong("center_crop_box", fits=r"margin|round|down|even|odd|//|what is left|edge|top|left")
def margin_rounded_to_the_nearest(height, width, area=0.9):
    """round() for the margin: an odd rest may go above."""
    side = math.sqrt(area)
    rows, columns = int(height * side), int(width * side)
    return round((height - rows) / 2), round((width - columns) / 2), rows, columns


@wrong("center_crop_box", fits=r"area|argument|share|0?\.9|90|other")
def always_ninety_percent_in_another_way(height, width, area=0.9):
    """Has √0.9 = 0.9487 written into it and ignores the argument."""
    rows, columns = int(height * 0.9486832980505138), int(width * 0.9486832980505138)
    return (height - rows) // 2, (width - columns) // 2, rows, columns


@wrong("center_crop_box", fits=r"integer|whole|int\b|float|kind|type|pixel|//")
def whole_numbers_as_floats(height, width, area=0.9):
    """np.floor gives floats, which slice no picture."""
    side = np.sqrt(area)
    rows, columns = np.floor(height * side), np.floor(width * side)
    return np.floor((height - rows) / 2), np.floor((width - columns) / 2), rows, columns


@right("center_crop_box")
def with_floor_and_power(height, width, area=0.9):
    """area ** 0.5, math.floor and divmod."""
    rows, columns = (math.floor(pixels * area**0.5) for pixels in (height, width))
    top, _ = divmod(height - rows, 2)
    left, _ = divmod(width - columns, 2)
    return top, left, rows, columns


@right("center_crop_box")
def with_arrays(height, width, area=0.9):
    """Both sides at once in numpy."""
    sides = np.array([height, width])
    kept = np.floor(sides * np.sqrt(area)).astype(int)
    return (*((sides - kept) // 2).tolist(), *kept.tolist())


@right("center_crop_box")
def counts_down(height, width, area=0.9):
    """Counts each side down until it fits, and shares the rest out by shifting."""
    if not 0 < area <= 1:
        raise ValueError("area")
    rows, columns = height, width
    while rows > height * math.sqrt(area):
        rows -= 1
    while columns > width * math.sqrt(area):
        columns -= 1
    return (height - rows) >> 1, (width - columns) >> 1, rows, columns


# --- 04.5, other answers


@wrong("build_labels", fits=r"no padding|without padding|padding|not padded|-0|empty|none to|last")
def minus_zero_places(input_ids, prompt_length, pad_id):
    """labels[-n:] with n = 0 crosses out everything where there is no padding."""
    labels = input_ids.clone()
    padded = int((input_ids == pad_id).sum())
    labels[:prompt_length] = -100
    labels[-padded:] = -100
    return labels


@wrong(
    "build_labels",
    fits=r"state|prompt|same id|same token|place|position|in both|also|equal|occur|come up|where they stand|action",
)
def whatever_occurs_in_the_prompt(input_ids, prompt_length, pad_id):
    """Crosses out every id that the prompt has, by value: a number told as state is not learned as action either."""
    given = torch.cat([input_ids[:prompt_length], input_ids.new_tensor([pad_id])])
    return torch.where(torch.isin(input_ids, given), torch.full_like(input_ids, -100), input_ids)


@wrong("build_labels", fits=r"shift|moves?\b|next|stand|by itself|one place|position")
def shifted_by_one(input_ids, prompt_length, pad_id):
    """Moves the labels one place to the left, which the model does again."""
    labels = input_ids.clone()
    labels[:prompt_length] = -100
    labels[labels == pad_id] = -100
    return torch.cat([labels[1:], labels.new_tensor([-100])])


@wrong("build_labels", fits=r"</s>|stop|end|last|eos")
def the_stop_is_not_learned(input_ids, prompt_length, pad_id):
    """Crosses out the last token before the padding as well: `</s>` is never learned."""
    labels = input_ids.clone()
    labels[:prompt_length] = -100
    length = int((input_ids != pad_id).sum())
    labels[length - 1 :] = -100
    return labels


@wrong("build_labels", fits=r"in place|input|argument|changed|changes|copy|clone|given|handed|caller")
def crosses_out_in_the_ids(input_ids, prompt_length, pad_id):
    """Reshapes without a copy, and crosses out in the ids that it was given."""
    labels = input_ids.view(-1).long()
    labels[labels == pad_id] = -100
    labels[:prompt_length] = -100
    return labels


@wrong(
    "build_labels",
    fits=r"number|how many|seven|fourteen|7\b|14\b|two hands|length|any|</s>|action|all of|behind",
)
def eight_behind_the_prompt(input_ids, prompt_length, pad_id):
    """Learns the seven numbers of one hand and the stop, however many there are."""
    labels = torch.full_like(input_ids, -100)
    labels[prompt_length : prompt_length + 8] = input_ids[prompt_length : prompt_length + 8]
    labels[input_ids == pad_id] = -100
    return labels


@wrong("build_labels", fits=r"pad_id|padding|argument|32000|\bpad\b")
def padding_is_always_32000(input_ids, prompt_length, pad_id):
    """Compares with 32000, the padding of OpenVLA, and ignores the argument."""
    labels = input_ids.clone()
    labels[:prompt_length] = -100
    labels[input_ids == 32000] = -100
    return labels


@wrong("build_labels", fits=r"padding|first|pad_id|one|only|behind|every")
def one_padding_is_learned(input_ids, prompt_length, pad_id):
    """Leaves the first padding as a stop sign behind `</s>`."""
    labels = input_ids.clone()
    labels[:prompt_length] = -100
    length = int((input_ids != pad_id).sum())
    labels[length + 1 :] = -100
    return labels


@right("build_labels")
def where_it_is_learned(input_ids, prompt_length, pad_id):
    """torch.where over places and ids at once."""
    place = torch.arange(len(input_ids), device=input_ids.device)
    learned = (place >= prompt_length) & (input_ids != pad_id)
    return torch.where(learned, input_ids, torch.full_like(input_ids, -100))


@right("build_labels")
def in_a_loop(input_ids, prompt_length, pad_id):
    """A Python list, made a tensor at the end."""
    learned = []
    for place, token in enumerate(input_ids.tolist()):
        learned.append(-100 if place < prompt_length or token == pad_id else token)
    return torch.tensor(learned, dtype=input_ids.dtype, device=input_ids.device)


@right("build_labels")
def prompt_then_the_rest(input_ids, prompt_length, pad_id):
    """-100 for the prompt, joined to the rest with masked_fill."""
    rest = input_ids[prompt_length:]
    return torch.cat([input_ids.new_full((prompt_length,), -100), rest.masked_fill(rest.eq(pad_id), -100)])


@right("build_labels")
def up_to_the_padding(input_ids, prompt_length, pad_id):
    """Counts back from the end to where padding begins and copies what lies between."""
    end = len(input_ids)
    while end > prompt_length and int(input_ids[end - 1]) == pad_id:
        end -= 1
    labels = torch.full_like(input_ids, fill_value=-100)
    labels[prompt_length:end].copy_(input_ids[prompt_length:end])
    return labels


# --- Neighbours of these mistakes


@wrong("action_quantiles", fits=r"normally distributed")
def two_deviations(episodes):
    """Mean ± 2 standard deviations."""
    frames = np.concatenate(episodes)
    return frames.mean(0) - 2 * frames.std(0), frames.mean(0) + 2 * frames.std(0)


@wrong("action_quantiles", fits=r"normally distributed")
def the_rounded_margin(episodes):
    """Mean ± 2.33 standard deviations."""
    frames = np.concatenate(episodes)
    return frames.mean(0) - 2.33 * frames.std(0), frames.mean(0) + 2.33 * frames.std(0)


@wrong("action_quantiles", fits=r"zeros|filled")
def filled_with_zeros(episodes):
    """Makes all episodes as long as the longest with zeros, so that they stack."""
    longest = max(map(len, episodes))
    filled = [np.pad(episode, ((0, longest - len(episode)), (0, 0))) for episode in episodes]
    low, high = np.quantile(np.concatenate(filled), [0.01, 0.99], axis=0)
    return low, high


@wrong("action_quantiles", fits=r"first episode alone")
def the_first_episode_alone(episodes):
    """Takes the first episode for all."""
    return np.quantile(episodes[0], 0.01, axis=0), np.quantile(episodes[0], 0.99, axis=0)


@wrong("action_quantiles", fits=r"long one alone|all frames together")
def the_last_episode_alone(episodes):
    """A loop that keeps what the last episode said."""
    for episode in episodes:
        low, high = np.quantile(episode, [0.01, 0.99], axis=0)
    return low, high


@wrong("split_by_episode", fits=r"that many|exactly|share alone|whose number")
def as_many_as_a_binomial_says(episode_index, validation_share, seed):
    """How many is drawn, too: a binomial number of episodes."""
    episodes, rng = np.unique(episode_index), np.random.default_rng(seed)
    count = int(rng.binomial(len(episodes), validation_share))
    return np.isin(episode_index, rng.choice(episodes, max(count, int(validation_share > 0)), replace=False))


# --- written from the notebook alone, a second time


@wrong(
    "action_quantiles",
    fits=r"episode by episode|each episode|per episode|all frames|mean|average|short|long|together|concatenat",
)
def mean_of_the_episodes_quantiles_once_more(episodes):
    """The quantiles of each episode, averaged with the episodes' lengths as weights."""
    lengths = [len(episode) for episode in episodes]
    low = np.average([np.quantile(episode, 0.01, axis=0) for episode in episodes], axis=0, weights=lengths)
    high = np.average([np.quantile(episode, 0.99, axis=0) for episode in episodes], axis=0, weights=lengths)
    return low, high


@wrong("action_quantiles", fits=r"1 %|0\.01|share|quantile|percent|0\.1|0\.99|99")
def percentile_with_shares(episodes):
    """np.percentile gets shares in place of percents, so it takes nearly the minimum."""
    frames = np.concatenate(episodes)
    return np.percentile(frames, 0.01, axis=0), np.percentile(frames, 0.99, axis=0)


@wrong(
    "action_quantiles",
    fits=r"same length|different length|lengths|long|short|ragged|stack|concatenat|inhomogeneous|equal|shape",
)
def stacks_episodes_once_more(episodes):
    """np.stack: stops where the episodes are not all as long as each other."""
    frames = np.stack(list(episodes)).reshape(-1, episodes[0].shape[1])
    q01, q99 = np.quantile(frames, [0.01, 0.99], axis=0)
    return q01, q99


# The second time an answer that takes the frame at int(share * T), without interpolating, was called wrong. The docstring asks
# for no way of interpolating, `nearest_frames` above is right, and one place more or less is as good a quantile: it is left out.


@right("action_quantiles")
def column_by_column_once_more(episodes):
    """Interpolates by hand between sorted frames, column by column, in float64."""
    frames = np.sort(np.vstack([np.asarray(e, dtype=np.float64) for e in episodes]), axis=0)
    found = []
    for share in (0.01, 0.99):
        place = share * (len(frames) - 1)
        below = math.floor(place)
        above = min(below + 1, len(frames) - 1)
        found.append(frames[below] + (place - below) * (frames[above] - frames[below]))
    return found[0], found[1]


@wrong("normalize_actions", fits=r"never change|no width|width|still|become 0|constant|1e-6|q99 - q01|zero")
def still_ones_at_minus_one(actions, q01, q99, mask):
    """A dimension that never changes gets an epsilon under the line, so its number becomes -1 instead of 0."""
    scaled = 2 * (actions - q01) / (q99 - q01 + 1e-8) - 1
    return np.clip(np.where(mask, scaled, actions), -1, 1)


@wrong("normalize_actions", fits=r"outside the mask|mask|only clipped|clip|grip")
def clips_only_inside_the_mask(actions, q01, q99, mask):
    """What lies outside the mask is passed on without clipping."""
    width = q99 - q01
    still = width < 1e-6
    scaled = np.where(still, 0.0, np.clip(2 * (actions - q01) / np.where(still, 1.0, width) - 1, -1, 1))
    return np.where(mask, scaled, actions)


@wrong("normalize_actions", fits=r"mask|outside the mask|whatever|quantiles|never change|still|grip|order")
def still_wins_over_the_mask(actions, q01, q99, mask):
    """A dimension outside the mask whose quantiles agree becomes 0 instead of being only clipped."""
    width = q99 - q01
    safe = np.where(width < 1e-6, 1.0, width)
    numbers = np.where(mask, 2 * (actions - q01) / safe - 1, actions)
    return np.clip(np.where(width < 1e-6, 0.0, numbers), -1, 1)


@wrong("normalize_actions", fits=r"1e-6|below|nearly|never change|width|tiny|small|exactly|still|equal")
def still_only_where_exactly_equal(actions, q01, q99, mask):
    """Only `q99 == q01` counts as still: a width of 1e-9 blows rounding noise up to the whole range."""
    still = q99 == q01
    scaled = np.where(still, 0.0, 2 * (actions - q01) / np.where(still, 1.0, q99 - q01) - 1)
    return np.clip(np.where(mask, scaled, actions), -1, 1)


@right("normalize_actions")
def one_column_after_the_other(actions, q01, q99, mask):
    """A loop over the dimensions, around the middle of each range."""
    result = np.array(actions, dtype=np.float64)
    for k in range(len(q01)):
        if mask[k]:
            half = (float(q99[k]) - float(q01[k])) / 2
            if q99[k] - q01[k] < 1e-6:
                result[..., k] = 0.0
            else:
                result[..., k] = (result[..., k] - q01[k]) / half - 1.0
    return np.minimum(np.maximum(result, -1.0), 1.0)


@wrong("split_by_episode", fits=r"round|whole|down|up|floor|share|how many|number of episodes|count")
def rounds_down_once_more(episode_index, validation_share, seed):
    """Cuts the number of episodes down instead of rounding it."""
    episodes = np.unique(episode_index)
    count = int(validation_share * len(episodes))
    if validation_share > 0:
        count = max(count, 1)
    drawn = np.random.default_rng(seed).choice(episodes, count, replace=False)
    return np.isin(episode_index, drawn)


@wrong("split_by_episode", fits=r"share of 0|share is 0|at least one|none|no episode|\b0\b|zero|wanted")
def always_at_least_one_once_more(episode_index, validation_share, seed):
    """At least one episode is drawn even where a share of 0 is asked for."""
    episodes = np.unique(episode_index)
    count = max(1, round(validation_share * len(episodes)))
    drawn = np.random.default_rng(seed).permutation(episodes)[:count]
    return np.isin(episode_index, drawn)


@wrong(
    "split_by_episode", fits=r"frames|share of episodes|one of episodes|long|length|episodes|how many|number"
)
def share_of_the_frames(episode_index, validation_share, seed):
    """Draws whole episodes until the share of *frames* is reached."""
    episodes = np.unique(episode_index)
    order = np.random.default_rng(seed).permutation(episodes)
    chosen = np.zeros(len(episode_index), dtype=bool)
    for episode in order:
        if chosen.mean() >= validation_share:
            break
        chosen |= episode_index == episode
    return chosen


@wrong("split_by_episode", fits=r"any numbers|numbers|gaps|from 0|arange|consecutive|named|unique|index")
def numbers_up_to_the_largest(episode_index, validation_share, seed):
    """Draws among 0 .. max, so episodes are drawn that do not occur."""
    total = int(np.max(episode_index)) + 1
    count = max(round(validation_share * total), 1) if validation_share > 0 else 0
    drawn = np.random.default_rng(seed).choice(total, size=count, replace=False)
    return np.isin(episode_index, drawn)


@right("split_by_episode")
def lots_through_a_shuffle(episode_index, validation_share, seed):
    """Shuffles the sorted set of episodes with RandomState and looks the frames up by inverse."""
    episodes, inverse = np.unique(np.asarray(episode_index), return_inverse=True)
    count = round(validation_share * len(episodes))
    if validation_share > 0 and count == 0:
        count = 1
    drawn = np.zeros(len(episodes), dtype=bool)
    drawn[np.random.RandomState(seed).permutation(len(episodes))[:count]] = True
    return drawn[inverse.reshape(-1)]


@wrong("center_crop_box", fits=r"width|height|swap|order|top|left|row|column|square|exchange")
def left_before_top_once_more(height, width, area=0.9):
    """Left before top and width before height: the same for a square picture."""
    side = math.sqrt(area)
    rows, columns = int(height * side), int(width * side)
    return (width - columns) // 2, (height - rows) // 2, columns, rows


@wrong("center_crop_box", fits=r"round|down|int\(|floor|one pixel|whole")
def rounds_the_sides(height, width, area=0.9):
    """Rounds the sides to the nearest pixel in place of down."""
    rows, columns = round(height * math.sqrt(area)), round(width * math.sqrt(area))
    return (height - rows) // 2, (width - columns) // 2, rows, columns


@wrong("center_crop_box", fits=r"shape|square|both sides|height|width|aspect|wide")
def always_a_square(height, width, area=0.9):
    """Cuts a square of the shorter side, so the crop has not the picture's shape."""
    side = int(min(height, width) * math.sqrt(area))
    return (height - side) // 2, (width - side) // 2, side, side


@wrong("center_crop_box", fits=r"margin|top|left|round|down|half|centre|center|odd|shared|edge")
def margin_from_the_unrounded_side(height, width, area=0.9):
    """The margin is computed from the side before rounding, so it is now and then a pixel too small."""
    side = math.sqrt(area)
    top, left = int(height * (1 - side) / 2), int(width * (1 - side) / 2)
    return top, left, int(height * side), int(width * side)


@right("center_crop_box")
def with_powers_and_divmod(height, width, area=0.9):
    """area ** 0.5, math.floor and divmod."""
    sides = [math.floor(length * area**0.5) for length in (height, width)]
    margins = [divmod(length - side, 2)[0] for length, side in zip((height, width), sides, strict=False)]
    return (*margins, *sides)


@wrong("build_labels", fits=r"shift|by itself|stand where|same place|next label|moved?|position")
def shifts_the_labels(input_ids, prompt_length, pad_id):
    """Moves the labels one place to the left, although the model shifts by itself."""
    labels = input_ids.clone()
    labels[:prompt_length] = -100
    labels[input_ids == pad_id] = -100
    return torch.cat([labels[1:], labels.new_tensor([-100])])


@wrong("build_labels", fits=r"</s>|stop|end|last|eos|behind")
def last_real_token_is_crossed_out(input_ids, prompt_length, pad_id):
    """Crosses the `</s>` out as well: it takes the last token that is no padding for an end mark not to be learned."""
    labels = input_ids.clone()
    labels[:prompt_length] = -100
    real = int((input_ids != pad_id).sum())
    labels[real - 1 :] = -100
    return labels


@wrong(
    "build_labels",
    fits=r"prompt_length|off by one|one (more|less|too)|first (action|token)|empty|last .*prompt|prompt",
)
def prompt_is_one_shorter(input_ids, prompt_length, pad_id):
    """Leaves the prompt's last token, the empty one, to be learned."""
    labels = torch.full_like(input_ids, -100)
    learned = (torch.arange(len(input_ids)) >= prompt_length - 1) & (input_ids != pad_id)
    labels[learned] = input_ids[learned]
    return labels


@wrong("build_labels", fits=r"padd|pad_id|no padding|without|-0|empty|whole|slice|full")
def counts_the_padding_off_the_end(input_ids, prompt_length, pad_id):
    """`labels[-count:]` with count 0 crosses out the whole row where there is no padding."""
    labels = input_ids.clone()
    labels[:prompt_length] = -100
    padding = int((input_ids == pad_id).sum())
    labels[-padding:] = -100
    return labels


@right("build_labels")
def masked_fill_of_a_position_mask(input_ids, prompt_length, pad_id):
    """One masked_fill over positions and padding."""
    place = torch.arange(input_ids.numel(), device=input_ids.device)
    told = (place < prompt_length).logical_or(input_ids.eq(pad_id))
    return input_ids.masked_fill(told, -100)


# --- neighbours of what got through


@wrong("split_by_episode", "np.unique")
def drawn_from_the_frames(episode_index, validation_share, seed):
    """Draws as many episodes as the share says, but from the frames' own list: a long episode comes twice."""
    episodes = len(set(episode_index.tolist()))
    number = max(round(validation_share * episodes), 1) if validation_share else 0
    drawn = np.random.default_rng(seed).choice(episode_index, number, replace=False)
    return np.isin(episode_index, drawn)


@wrong("split_by_episode", "np.unique")
def share_of_the_frames_drawn_from_them(episode_index, validation_share, seed):
    """A share of the frames is drawn, and every episode that one of them belongs to."""
    number = max(round(validation_share * len(episode_index)), 1) if validation_share else 0
    drawn = np.random.default_rng(seed).choice(episode_index, number, replace=False)
    return np.isin(episode_index, drawn)
