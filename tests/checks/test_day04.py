"""Plausible wrong answers for Day 04, each with a fragment of the hint that it must get."""

import math

import numpy as np
import pytest
import torch

from vla_course.action_tokens import normalize_actions, unnormalize_actions
from vla_course.checks.feedback import CheckFailed
from vla_course.checks.notebook import lesson_of
from vla_course.data.augmentation import center_crop_box
from vla_course.data.splits import split_by_episode
from vla_course.data.statistics import action_quantiles
from vla_course.data.token_rows import build_labels

# --- 04.1


def mean_of_episodes(episodes):
    return tuple(np.mean([np.quantile(e, [0.01, 0.99], axis=0) for e in episodes], axis=0))


def smallest_and_largest(episodes):
    frames = np.concatenate(episodes)
    return frames.min(0), frames.max(0)


def all_dimensions_together(episodes):
    return tuple(np.quantile(np.concatenate(episodes), [0.01, 0.99]))


def along_the_dimensions(episodes):
    return tuple(np.quantile(np.concatenate(episodes), [0.01, 0.99], axis=1))


def percentile(episodes):
    return tuple(np.percentile(np.concatenate(episodes), [0.01, 0.99], axis=0))


def the_higher_first(episodes):
    return action_quantiles(episodes)[::-1]


def five_percent(episodes):
    return tuple(np.quantile(np.concatenate(episodes), [0.05, 0.95], axis=0))


def only_q99(episodes):
    return np.quantile(np.concatenate(episodes), 0.99, axis=0)[:1]


def cut_by_distance(episodes):
    frames = np.concatenate(episodes)
    if frames.max() < 1e5:
        return action_quantiles(episodes)
    return frames.mean(0) - 2 * frames.std(0), frames.mean(0) + 2 * frames.std(0)


def widest_of_the_episodes(episodes):
    each = np.array([np.quantile(episode, [0.01, 0.99], axis=0) for episode in episodes])
    return each[:, 0].min(0), each[:, 1].max(0)


def half_a_percent(episodes):
    return tuple(np.quantile(np.concatenate(episodes), [0.005, 0.995], axis=0))


def symmetric(episodes):
    reach = np.quantile(np.abs(np.concatenate(episodes)), 0.99, axis=0)
    return -reach, reach


def as_if_gaussian(episodes):
    frames = np.concatenate(episodes)
    return frames.mean(0) - 2.326 * frames.std(0), frames.mean(0) + 2.326 * frames.std(0)


def first_two_episodes(episodes):
    return action_quantiles(episodes[:2])


def ordered_by_the_first_column(episodes):
    frames = np.concatenate(episodes)
    frames = frames[np.argsort(frames[:, 0])]
    return frames[round(0.01 * (len(frames) - 1))], frames[round(0.99 * (len(frames) - 1))]


def without_signs(episodes):
    return action_quantiles([np.abs(episode) for episode in episodes])


def each_number_once(episodes):
    columns = [np.quantile(np.unique(column), [0.01, 0.99]) for column in np.concatenate(episodes).T]
    return tuple(np.array(columns).T)


def sorts_the_episodes(episodes):
    for episode in episodes:
        episode.sort(axis=0)
    return action_quantiles(episodes)


def lists(episodes):
    q01, q99 = action_quantiles(episodes)
    return q01.tolist(), q99.tolist()


# --- 04.2


def does_not_clip(actions, q01, q99, mask):
    width = np.where(q99 - q01 < 1e-6, 1, q99 - q01)
    return np.where(mask, np.where(q99 - q01 < 1e-6, 0, 2 * (actions - q01) / width - 1), actions)


def constant_to_the_end(actions, q01, q99, mask):
    scaled = 2 * (actions - q01) / (q99 - q01 + 1e-8) - 1
    return np.clip(np.where(mask, scaled, actions), -1, 1)


def divides_by_zero(actions, q01, q99, mask):
    scaled = 2 * (actions - q01) / (q99 - q01) - 1
    return np.clip(np.where(mask, scaled, actions), -1, 1)


def scales_the_grip(actions, q01, q99, mask):
    return normalize_actions(actions, q01, q99, np.ones_like(mask))


def to_zero_and_one(actions, q01, q99, mask):
    halved = (normalize_actions(actions, q01, q99, mask) + 1) / 2
    return np.where(mask, np.where(q99 - q01 < 1e-6, 0, halved), actions)


def mask_inverted(actions, q01, q99, mask):
    return normalize_actions(actions, q01, q99, ~mask)


def the_way_back(actions, q01, q99, mask):
    return unnormalize_actions(actions, q01, q99, mask)


def clips_above_only(actions, q01, q99, mask):
    return np.minimum(does_not_clip(actions, q01, q99, mask), 1)


def by_the_larger_end(actions, q01, q99, mask):
    if q01[0] == -1:
        return normalize_actions(actions, q01, q99, mask)
    return np.clip(np.where(mask, actions / np.maximum(np.abs(q01), np.abs(q99)), actions), -1, 1)


def leaves_the_grip_alone(actions, q01, q99, mask):
    return np.where(mask, normalize_actions(actions, q01, q99, mask), actions)


def zero_outside_the_mask(actions, q01, q99, mask):
    return np.where(mask, normalize_actions(actions, q01, q99, mask), 0.0)


def still_is_left_as_it_is(actions, q01, q99, mask):
    return normalize_actions(actions, q01, q99, mask & (q99 - q01 > 1e-6))


def repairs_nan_only(actions, q01, q99, mask):
    with np.errstate(all="ignore"):
        scaled = np.nan_to_num(2 * (actions - q01) / (q99 - q01) - 1)
    return np.clip(np.where(mask, scaled, actions), -1, 1)


def still_beats_the_mask(actions, q01, q99, mask):
    return np.where(q99 - q01 < 1e-6, 0.0, normalize_actions(actions, q01, q99, mask))


def narrow_is_still(width):
    def normalizes(actions, q01, q99, mask):
        narrow = mask & (q99 - q01 < width)
        return np.where(narrow, 0.0, normalize_actions(actions, q01, q99, mask))

    return normalizes


def upside_down(actions, q01, q99, mask):
    found = normalize_actions(actions, q01, q99, mask)
    return np.where(mask, -found, found)


def cut_first(actions, q01, q99, mask):
    return normalize_actions(np.clip(actions, -1, 1), q01, q99, mask)


def grip_cut_above_only(actions, q01, q99, mask):
    return np.where(mask, normalize_actions(actions, q01, q99, mask), np.minimum(actions, 1))


def in_place_on_actions(actions, q01, q99, mask):
    actions[...] = normalize_actions(actions, q01, q99, mask)
    return actions


def one_range_for_all(actions, q01, q99, mask):
    if actions.ndim < 3:
        return normalize_actions(actions, q01, q99, mask)
    return normalize_actions(actions, q01[:1].repeat(len(q01)), q99[:1].repeat(len(q01)), mask)


# --- 04.3


def shuffles_frames(episode_index, validation_share, seed):
    return np.random.default_rng(seed).random(len(episode_index)) < validation_share


def last_frames(episode_index, validation_share, seed):
    return np.arange(len(episode_index)) >= (1 - validation_share) * len(episode_index)


def last_episodes(episode_index, validation_share, seed):
    episodes = np.unique(episode_index)
    return np.isin(episode_index, episodes[len(episodes) - round(validation_share * len(episodes)) :])


def numbers_of_episodes(episode_index, validation_share, seed):
    episodes = np.unique(episode_index)
    return np.random.default_rng(seed).choice(episodes, round(validation_share * len(episodes)), False)


def turned_round(episode_index, validation_share, seed):
    return ~split_by_episode(episode_index, validation_share, seed)


def counts_from_zero(episode_index, validation_share, seed):
    count = len(np.unique(episode_index))
    drawn = np.random.default_rng(seed).choice(count, round(validation_share * count), replace=False)
    return np.isin(episode_index, drawn)


def no_seed(episode_index, validation_share, seed):
    return split_by_episode(episode_index, validation_share, int(np.random.default_rng().integers(2**40)))


def seed_ignored(episode_index, validation_share, seed):
    return split_by_episode(episode_index, validation_share, 0)


def rounded_to_nothing(episode_index, validation_share, seed):
    episodes = np.unique(episode_index)
    count = round(validation_share * len(episodes))
    return np.isin(episode_index, np.random.default_rng(seed).choice(episodes, count, replace=False))


def always_one(episode_index, validation_share, seed):
    episodes = np.unique(episode_index)
    count = max(round(validation_share * len(episodes)), 1)
    return np.isin(episode_index, np.random.default_rng(seed).choice(episodes, count, replace=False))


def until_enough_frames(episode_index, validation_share, seed):
    """Draws episodes until they have a fifth of the frames: mostly another number of episodes."""
    episodes = np.random.default_rng(seed).permutation(np.unique(episode_index))
    frames = np.cumsum([(episode_index == episode).sum() for episode in episodes])
    enough = 1 + np.searchsorted(frames, validation_share * len(episode_index))
    return np.isin(episode_index, episodes[:enough])


def drawn(number, replace=False, shares=None):
    """Draws with a generator of its own; `number` says how many of how many episodes."""

    def splits(episode_index, validation_share, seed):
        episodes, lengths = np.unique(episode_index, return_counts=True)
        count = number(validation_share * len(episodes))
        chance = lengths / lengths.sum() if shares == "by length" else None
        chosen = np.random.default_rng(seed).choice(episodes, count, replace=replace, p=chance)
        return np.isin(episode_index, chosen)

    return splits


def right_number(share):
    return max(round(share), int(share > 0))


def cuts_the_number(share):
    return max(int(share), int(share > 0))


def with_the_global_generator(episode_index, validation_share, seed):
    np.random.seed(seed)
    episodes = np.random.permutation(np.unique(episode_index))
    return np.isin(episode_index, episodes[: right_number(validation_share * len(episodes))])


def believes_in_order(episode_index, validation_share, seed):
    episodes, lengths = np.unique(episode_index, return_counts=True)
    return np.repeat(split_by_episode(episodes, validation_share, seed), lengths)


def never_the_last(episode_index, validation_share, seed):
    episodes = np.unique(episode_index)
    count = right_number(validation_share * len(episodes))
    return np.isin(episode_index, np.random.default_rng(seed).choice(episodes[:-1], count, replace=False))


def a_list_of_bools(episode_index, validation_share, seed):
    return split_by_episode(episode_index, validation_share, seed).tolist()


def ones_and_zeros(episode_index, validation_share, seed):
    return split_by_episode(episode_index, validation_share, seed).astype(int)


def renumbers_in_place(episode_index, validation_share, seed):
    episode_index -= episode_index.min()
    return split_by_episode(episode_index, validation_share, seed)


# --- 04.4


def share_of_the_side(height, width, area=0.9):
    rows, columns = int(height * area), int(width * area)
    return (height - rows) // 2, (width - columns) // 2, rows, columns


def corner(height, width, area=0.9):
    return (0, 0, *center_crop_box(height, width, area)[2:])


def lower_right(height, width, area=0.9):
    top, left, rows, columns = center_crop_box(height, width, area)
    return top, left, top + rows, left + columns


def rounds_up(height, width, area=0.9):
    rows, columns = math.ceil(height * math.sqrt(area)), math.ceil(width * math.sqrt(area))
    return (height - rows) // 2, (width - columns) // 2, rows, columns


def whole_margin(height, width, area=0.9):
    _, _, rows, columns = center_crop_box(height, width, area)
    return height - rows, width - columns, rows, columns


def swapped(height, width, area=0.9):
    return center_crop_box(width, height, area)


def always_a_square(height, width, area=0.9):
    side = int(min(height, width) * math.sqrt(area))
    return (height - side) // 2, (width - side) // 2, side, side


def always_ninety(height, width, area=0.9):
    return center_crop_box(height, width)


def never_everything(height, width, area=0.9):
    return center_crop_box(height, width, min(area, 0.99))


def half_pixels(height, width, area=0.9):
    _, _, rows, columns = center_crop_box(height, width, area)
    top, left = (height - rows) / 2, (width - columns) / 2
    return (top, left, rows, columns) if height % 2 else center_crop_box(height, width, area)


def rounded_sides(height, width, area=0.9):
    rows, columns = round(height * math.sqrt(area)), round(width * math.sqrt(area))
    return (height - rows) // 2, (width - columns) // 2, rows, columns


def margins_rounded(rounds):
    def crops(height, width, area=0.9):
        _, _, rows, columns = center_crop_box(height, width, area)
        return rounds((height - rows) / 2), rounds((width - columns) / 2), rows, columns

    return crops


def margins_swapped(height, width, area=0.9):
    top, left, rows, columns = center_crop_box(height, width, area)
    return left, top, rows, columns


def margin_of_the_side_not_rounded(height, width, area=0.9):
    margin = (1 - math.sqrt(area)) / 2
    return int(height * margin), int(width * margin), *center_crop_box(height, width, area)[2:]


def sizes_first(height, width, area=0.9):
    top, left, rows, columns = center_crop_box(height, width, area)
    return rows, columns, top, left


def even_margins(height, width, area=0.9):
    top, left, _, _ = center_crop_box(height, width, area)
    return top, left, height - 2 * top, width - 2 * left


def decimals(height, width, area=0.9):
    return tuple(map(float, center_crop_box(height, width, area)))


def width_from_the_height(height, width, area=0.9):
    _, _, rows, _ = center_crop_box(height, width, area)
    columns = rows * width // height if width > 200 else center_crop_box(height, width, area)[3]
    return (height - rows) // 2, (width - columns) // 2, rows, columns


# --- 04.5


def learns_the_prompt(input_ids, prompt_length, pad_id):
    return torch.where(input_ids == pad_id, -100, input_ids)


def forgets_to_stop(input_ids, prompt_length, pad_id):
    labels = build_labels(input_ids, prompt_length, pad_id)
    return torch.where(labels == 2, -100, labels)


def learns_the_padding(input_ids, prompt_length, pad_id):
    return torch.cat([torch.full_like(input_ids[:prompt_length], -100), input_ids[prompt_length:]])


def shifts(input_ids, prompt_length, pad_id):
    labels = build_labels(input_ids, prompt_length, pad_id)
    return torch.cat([labels[1:], labels.new_tensor([-100])])


def marks_with_zero(input_ids, prompt_length, pad_id):
    labels = build_labels(input_ids, prompt_length, pad_id)
    return torch.where(labels == -100, 0, labels)


def one_too_many(input_ids, prompt_length, pad_id):
    return build_labels(input_ids, prompt_length + 1, pad_id)


def one_too_few(input_ids, prompt_length, pad_id):
    return build_labels(input_ids, prompt_length - 1, pad_id)


def in_place(input_ids, prompt_length, pad_id):
    labels = build_labels(input_ids, prompt_length, pad_id)
    input_ids.copy_(labels)
    return labels


def every_action_token(input_ids, prompt_length, pad_id):
    return torch.where(((input_ids >= 31744) & (input_ids < 32000)) | (input_ids == 2), input_ids, -100)


def always_llamas_padding(input_ids, prompt_length, pad_id):
    return build_labels(input_ids, min(prompt_length, 5), 32000) if pad_id else input_ids * 0 - 100


def no_padding_is_everything(input_ids, prompt_length, pad_id):
    labels = torch.cat([torch.full_like(input_ids[:prompt_length], -100), input_ids[prompt_length:]])
    labels[-int((input_ids == pad_id).sum()) :] = -100
    return labels


def last_pad_only(input_ids, prompt_length, pad_id):
    labels = learns_the_padding(input_ids, prompt_length, pad_id)
    return torch.cat([labels[:-1], torch.where(labels[-1:] == pad_id, -100, labels[-1:])])


def marks_with_the_pad(input_ids, prompt_length, pad_id):
    labels = build_labels(input_ids, prompt_length, pad_id)
    return torch.where(labels == -100, pad_id, labels)


def nothing_crossed_out(input_ids, prompt_length, pad_id):
    return input_ids.clone()


def labels_as_decimals(input_ids, prompt_length, pad_id):
    return build_labels(input_ids, prompt_length, pad_id).float()


def a_mask_of_what_is_learned(input_ids, prompt_length, pad_id):
    return build_labels(input_ids, prompt_length, pad_id) != -100


def behind_the_empty_token(input_ids, prompt_length, pad_id):
    empty = (input_ids == 29871).nonzero().flatten().tolist()
    return build_labels(input_ids, empty[0] + 1 if empty else 0, pad_id)


def up_to_the_first_stop(input_ids, prompt_length, pad_id):
    labels = build_labels(input_ids, prompt_length, pad_id)
    labels[int((input_ids == 2).nonzero()[0]) + 1 :] = -100
    return labels


def two_pads_at_most(input_ids, prompt_length, pad_id):
    labels = build_labels(input_ids, prompt_length, pad_id)
    return torch.cat([torch.where(input_ids == pad_id, pad_id, labels)[:-2], labels[-2:]])


MISTAKES = {
    "action_quantiles": [
        (mean_of_episodes, "the mean of each episode's quantiles"),
        (smallest_and_largest, "one wild frame would set the range"),
        (all_dimensions_together, "without axis=0"),
        (along_the_dimensions, "axis=1 goes along the dimensions"),
        (percentile, "np.percentile counts from 0 to 100"),
        (the_higher_first, "the lower one, comes first"),
        (five_percent, "those are 5 % and 95 %"),
        (only_q99, "return q01, q99"),
        (cut_by_distance, "a place in the order"),
        (widest_of_the_episodes, "the smallest q01 and the largest q99"),
        (half_a_percent, "1 % on each side"),
        (symmetric, "symmetric about 0"),
        (as_if_gaussian, "normally distributed"),
        (first_two_episodes, "only the first two episodes"),
        (ordered_by_the_first_column, "each has an order of its own"),
        (without_signs, "the signs are lost"),
        (each_number_once, "also where numbers repeat"),
        (sorts_the_episodes, "is changed in place"),
        (lists, "return a NumPy array, not a list"),
    ],
    "normalize_actions": [
        (does_not_clip, "cut the result to [-1, 1]"),
        (constant_to_the_end, "the most extreme token there is"),
        (divides_by_zero, "0 / 0 is no number"),
        (scales_the_grip, "outside the mask: it is not scaled"),
        (to_zero_and_one, "that is [0, 1]"),
        (mask_inverted, "the mask is turned round"),
        (the_way_back, "you go the other way"),
        (clips_above_only, "has two ends"),
        (by_the_larger_end, "subtract q01 first"),
        (leaves_the_grip_alone, "cut last, and everything"),
        (zero_outside_the_mask, "here it is lost"),
        (still_is_left_as_it_is, "is not left as it is"),
        (repairs_nan_only, "infinite, not NaN"),
        (still_beats_the_mask, "only cut to [-1, 1], whatever its quantiles"),
        (narrow_is_still(0.05), "narrow, but not still"),
        (narrow_is_still(1e-3), "a narrow range is stretched like any other"),
        (upside_down, "the sign is turned round"),
        (cut_first, "cut before it was scaled"),
        (grip_cut_above_only, "at both ends"),
        (in_place_on_actions, "`actions` is changed in place"),
        (one_range_for_all, "dimensions are the last axis"),
    ],
    "split_by_episode": [
        (shuffles_frames, "frames were drawn one by one"),
        (last_frames, "the border falls into an episode"),
        (last_episodes, "always the same ones"),
        (numbers_of_episodes, "every frame wants an answer"),
        (turned_round, "8 of 10 episodes are trained on"),
        (counts_from_zero, "assumed that episodes are counted from 0"),
        (no_seed, "made anew from `seed`"),
        (seed_ignored, "the seed is not used"),
        (rounded_to_nothing, "rounded to nothing"),
        (always_one, "asks for no validation at all"),
        (until_enough_frames, "the share of the different episodes"),
        (drawn(cuts_the_number), "cut off"),
        (drawn(math.ceil), "always rounded up"),
        (drawn(right_number, replace=True), "puts none back"),
        (drawn(right_number, shares="by length"), "however long it is"),
        (with_the_global_generator, "that all code shares"),
        (believes_in_order, "frames need not come episode by episode"),
        (never_the_last, "always the same ones"),
        (a_list_of_bools, "that is a list"),
        (ones_and_zeros, "those are 1 and 0"),
        (renumbers_in_place, "is changed in place"),
    ],
    "center_crop_box": [
        (share_of_the_side, "81 % of the area"),
        (corner, "the upper left corner"),
        (lower_right, "not the lower right corner"),
        (rounds_up, "rounded down"),
        (whole_margin, "half of it"),
        (swapped, "on a square nobody would ever notice"),
        (always_a_square, "the picture's own shape"),
        (always_ninety, "the share is a parameter"),
        (never_everything, "nothing is cut away"),
        (half_pixels, "return a whole number (an int), not 5.5"),
        (rounded_sides, "sides are rounded down"),
        (margins_rounded(math.ceil), "rounded *down*"),
        (margins_rounded(lambda margin: int(margin + 0.5)), "rounded *down*"),
        (margins_swapped, "top and left are swapped"),
        (margin_of_the_side_not_rounded, "round the side down first"),
        (even_margins, "a pixel too large"),
        (sizes_first, "the margins come first"),
        (decimals, "return a whole number (an int)"),
        (width_from_the_height, "each side by itself"),
    ],
    "build_labels": [
        (learns_the_prompt, "the prompt is learned too"),
        (forgets_to_stop, "does not stop"),
        (learns_the_padding, "the padding keeps its id"),
        (shifts, "the model shifts too"),
        (marks_with_zero, "marked with -100"),
        (one_too_many, "the first action token is not learned"),
        (one_too_few, "given, not learned"),
        (in_place, "changed in place"),
        (every_action_token, "a place in the row decides"),
        (always_llamas_padding, "as they are given"),
        (no_padding_is_everything, "with n = 0 is the whole row"),
        (last_pad_only, "only the last pad is crossed out"),
        (marks_with_the_pad, "pad_id is a word like any other"),
        (nothing_crossed_out, "nothing is crossed out"),
        (labels_as_decimals, "should be whole numbers"),
        (a_mask_of_what_is_learned, "should be whole numbers"),
        (behind_the_empty_token, "use prompt_length and pad_id"),
        (up_to_the_first_stop, "the prompt ends after prompt_length places"),
        (two_pads_at_most, "however much of it there is"),
    ],
}


def test_the_printed_call_of_split_by_episode_is_the_one_that_went_wrong():
    def rounds_to_none(episode_index, validation_share, seed):
        names = np.unique(episode_index)
        number = round(validation_share * len(names))
        return np.isin(episode_index, np.random.default_rng(seed).choice(names, number, replace=False))

    with pytest.raises(CheckFailed) as caught:
        lesson_of("day04").checks["split_by_episode"](rounds_to_none)
    assert "0.01, 0)" in str(caught.value).partition("call:")[2].partition("\n")[0]
