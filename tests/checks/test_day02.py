"""Plausible wrong answers for Day 02, each with a fragment of the hint that it must get."""

import numpy as np
import torch

from vla_course.action_tokens import (
    CENTRES,
    EDGES,
    detokenize_actions,
    next_action_token,
    tokenize_actions,
    unnormalize_actions,
)
from vla_course.openvla.model import insert_patches

# --- 02.1


def counts_upward(actions, vocabulary_size=32000):
    return vocabulary_size - 257 + np.digitize(np.clip(actions, -1, 1), EDGES)


def does_not_clip(actions, vocabulary_size=32000):
    return vocabulary_size - np.digitize(actions, EDGES)


def rounds_to_256_bins(actions, vocabulary_size=32000):
    return vocabulary_size - 1 - np.round((np.clip(actions, -1, 1) + 1) / 2 * 255).astype(int)


def floors_to_256_bins(actions, vocabulary_size=32000):
    bins = np.floor((np.clip(actions, -1, 1) + 1) * 128).astype(int).clip(0, 255)
    return vocabulary_size - 1 - bins


def one_below(actions, vocabulary_size=32000):
    return tokenize_actions(actions, vocabulary_size) - 1


def nearest_edge(actions, vocabulary_size=32000):
    nearest = np.abs(np.clip(actions, -1, 1)[..., None] - EDGES - 1e-9).argmin(-1)
    return vocabulary_size - 1 - nearest


def llama_only(actions, vocabulary_size=32000):
    return tokenize_actions(actions)


def ids_with_a_decimal_point(actions, vocabulary_size=32000):
    return tokenize_actions(actions, vocabulary_size) * 1.0


def clips_in_place(actions, vocabulary_size=32000):
    np.clip(actions, -1, 1, out=actions)
    return tokenize_actions(actions, vocabulary_size)


def last_edge_left_out(actions, vocabulary_size=32000):
    return vocabulary_size - np.minimum(np.digitize(np.clip(actions, -1, 1), EDGES), 255)


def bins_in_a_byte(actions, vocabulary_size=32000):
    return vocabulary_size - np.digitize(np.clip(actions, -1, 1), EDGES).astype(np.uint8).astype(int)


def edges_belong_below(actions, vocabulary_size=32000):
    return vocabulary_size - np.digitize(np.clip(actions, -1, 1), EDGES, right=True)


def ids_in_sixteen_bits(actions, vocabulary_size=32000):
    return tokenize_actions(actions, vocabulary_size).astype(np.int16)


def in_half_precision(actions, vocabulary_size=32000):
    return tokenize_actions(np.asarray(actions).astype(np.float16), vocabulary_size)


def reflects_at_the_ends(actions, vocabulary_size=32000):
    return tokenize_actions(np.where(np.abs(actions) > 1, -np.asarray(actions), actions), vocabulary_size)


def a_list_of_ids(actions, vocabulary_size=32000):
    return tokenize_actions(actions, vocabulary_size).tolist()


# --- 02.2


def left_edge(token_ids, vocabulary_size=32000):
    return EDGES[np.clip(vocabulary_size - token_ids - 1, 0, 254)]


def right_edge(token_ids, vocabulary_size=32000):
    return EDGES[vocabulary_size - token_ids]


def one_bin_high(token_ids, vocabulary_size=32000):
    return CENTRES[np.clip(vocabulary_size - token_ids, 0, 254)]


def raises_at_the_lowest_id(token_ids, vocabulary_size=32000):
    return CENTRES[vocabulary_size - token_ids - 1]


def wraps_at_the_lowest_id(token_ids, vocabulary_size=32000):
    return CENTRES[::-1][token_ids - (vocabulary_size - 255)]


def turned_round(token_ids, vocabulary_size=32000):
    return -detokenize_actions(token_ids, vocabulary_size)


def coarse(token_ids, vocabulary_size=32000):
    exact = detokenize_actions(token_ids, vocabulary_size)
    return np.where(np.abs(exact) < 0.9, np.round(exact, 2), exact)


def llama_only_back(token_ids, vocabulary_size=32000):
    return detokenize_actions(token_ids)


def lowest_end_only(token_ids, vocabulary_size=32000):
    return CENTRES[np.minimum(vocabulary_size - token_ids - 1, 254)]


def refuses_other_ids(token_ids, vocabulary_size=32000):
    if ((token_ids < vocabulary_size - 256) | (token_ids >= vocabulary_size)).any():
        raise ValueError("no action token")
    return detokenize_actions(token_ids, vocabulary_size)


def other_ids_are_zero(token_ids, vocabulary_size=32000):
    known = (token_ids >= vocabulary_size - 256) & (token_ids < vocabulary_size)
    return np.where(known, detokenize_actions(token_ids, vocabulary_size), 0.0)


def flattened(token_ids, vocabulary_size=32000):
    return detokenize_actions(token_ids, vocabulary_size).ravel()


def cut_one_too_early(token_ids, vocabulary_size=32000):
    return CENTRES[np.clip(vocabulary_size - token_ids - 1, 0, 253)]


def from_minus_one_to_one(token_ids, vocabulary_size=32000):
    return np.linspace(-1, 1, 255)[np.clip(vocabulary_size - token_ids - 1, 0, 254)]


def counts_in_place(token_ids, vocabulary_size=32000):
    np.subtract(vocabulary_size - 1, token_ids, out=token_ids)
    return CENTRES[np.clip(token_ids, 0, 254)]


# --- 02.3


def forgets_the_half(actions, q01, q99, mask):
    return np.where(mask, actions * (q99 - q01) + q01, actions)


def scales_the_gripper(actions, q01, q99, mask):
    return 0.5 * (actions + 1) * (q99 - q01) + q01


def symmetric(actions, q01, q99, mask):
    return np.where(mask, actions * np.maximum(np.abs(q01), np.abs(q99)), actions)


def mask_inverted(actions, q01, q99, mask):
    return unnormalize_actions(actions, q01, q99, ~mask)


def forgets_q01(actions, q01, q99, mask):
    return np.where(mask, 0.5 * (actions + 1) * (q99 - q01), actions)


def always_the_last_one(actions, q01, q99, mask):
    last = np.arange(len(mask)) < len(mask) - 1
    return unnormalize_actions(actions, q01, q99, last)


def half_the_range_too_far(actions, q01, q99, mask):
    return np.where(mask, (actions + 1) * (q99 - q01) + q01, actions)


def forgets_the_shift(actions, q01, q99, mask):
    return np.where(mask, 0.5 * actions * (q99 - q01) + q01, actions)


def quantiles_swapped(actions, q01, q99, mask):
    return unnormalize_actions(actions, q99, q01, mask)


def lost_outside_the_mask(actions, q01, q99, mask):
    return (0.5 * (actions + 1) * (q99 - q01) + q01) * mask


def cut_outside_the_mask(actions, q01, q99, mask):
    return unnormalize_actions(np.clip(actions, -1, 1), q01, q99, mask)


def result_cut(actions, q01, q99, mask):
    return np.where(mask, np.clip(unnormalize_actions(actions, q01, q99, mask), -1, 1), actions)


def result_rounded(actions, q01, q99, mask):
    return unnormalize_actions(actions, q01, q99, mask).round(3)


def writes_into_actions(actions, q01, q99, mask):
    actions[...] = unnormalize_actions(actions, q01, q99, mask)
    return actions


def one_range_for_all(actions, q01, q99, mask):
    if actions.ndim < 3:
        return unnormalize_actions(actions, q01, q99, mask)
    return unnormalize_actions(actions, np.full_like(q01, q01[0]), np.full_like(q99, q99[0]), mask)


# --- 02.4


def image_before_the_start(token_embeddings, patch_embeddings, attention_mask):
    _, mask = insert_patches(token_embeddings, patch_embeddings, attention_mask)
    return torch.cat([patch_embeddings, token_embeddings], dim=1), mask


def image_after_the_question(token_embeddings, patch_embeddings, attention_mask):
    _, mask = insert_patches(token_embeddings, patch_embeddings, attention_mask)
    return torch.cat([token_embeddings, patch_embeddings], dim=1), mask


def mask_not_extended(token_embeddings, patch_embeddings, attention_mask):
    embeddings, _ = insert_patches(token_embeddings, patch_embeddings, attention_mask)
    return embeddings, attention_mask


def patches_masked_out(token_embeddings, patch_embeddings, attention_mask):
    embeddings, mask = insert_patches(token_embeddings, patch_embeddings, attention_mask)
    mask[:, 1 : 1 + patch_embeddings.shape[1]] = 0
    return embeddings, mask


def mask_extended_at_the_end(token_embeddings, patch_embeddings, attention_mask):
    embeddings, _ = insert_patches(token_embeddings, patch_embeddings, attention_mask)
    ones = attention_mask.new_ones(patch_embeddings.shape[:2])
    return embeddings, torch.cat([attention_mask, ones], dim=1)


def forgets_the_mask(token_embeddings, patch_embeddings, attention_mask):
    return insert_patches(token_embeddings, patch_embeddings, attention_mask)[0]


def the_first_picture_for_all(token_embeddings, patch_embeddings, attention_mask):
    return insert_patches(token_embeddings, patch_embeddings[:1].expand_as(patch_embeddings), attention_mask)


def start_token_twice(token_embeddings, patch_embeddings, attention_mask):
    ones = attention_mask.new_ones(len(attention_mask), patch_embeddings.shape[1])
    joined = torch.cat([token_embeddings[:, :1], patch_embeddings, token_embeddings], dim=1)
    return joined, torch.cat([attention_mask[:, :1], ones, attention_mask], dim=1)


def patches_over_words(token_embeddings, patch_embeddings, attention_mask):
    _, mask = insert_patches(token_embeddings, patch_embeddings, attention_mask)
    behind = token_embeddings[:, 1 + patch_embeddings.shape[1] :]
    return torch.cat([token_embeddings[:, :1], patch_embeddings, behind], dim=1), mask


def one_word_too_late(token_embeddings, patch_embeddings, attention_mask):
    _, mask = insert_patches(token_embeddings, patch_embeddings, attention_mask)
    return torch.cat([token_embeddings[:, :2], patch_embeddings, token_embeddings[:, 2:]], dim=1), mask


def as_many_ones_as_words(token_embeddings, patch_embeddings, attention_mask):
    embeddings, _ = insert_patches(token_embeddings, patch_embeddings, attention_mask)
    ones = torch.ones_like(attention_mask)
    return embeddings, torch.cat([attention_mask[:, :1], ones, attention_mask[:, 1:]], dim=1)


def padding_made_real(token_embeddings, patch_embeddings, attention_mask):
    embeddings, mask = insert_patches(token_embeddings, patch_embeddings, attention_mask)
    return embeddings, torch.ones_like(mask)


def mask_of_decimals(token_embeddings, patch_embeddings, attention_mask):
    embeddings, mask = insert_patches(token_embeddings, patch_embeddings, attention_mask)
    return embeddings, mask.float()


def mask_of_the_first_row(token_embeddings, patch_embeddings, attention_mask):
    embeddings, mask = insert_patches(token_embeddings, patch_embeddings, attention_mask)
    return embeddings, mask[:1].expand(len(mask), -1)


def always_float32(token_embeddings, patch_embeddings, attention_mask):
    embeddings, mask = insert_patches(token_embeddings, patch_embeddings, attention_mask)
    return embeddings.float(), mask


def patches_detached(token_embeddings, patch_embeddings, attention_mask):
    return insert_patches(token_embeddings, patch_embeddings.detach(), attention_mask)


def without_gradients(token_embeddings, patch_embeddings, attention_mask):
    with torch.no_grad():
        return insert_patches(token_embeddings, patch_embeddings, attention_mask)


# --- 02.5


def any_word(logits, vocabulary_size=32000):
    return logits.argmax(-1)


def last_256_columns(logits, vocabulary_size=32000):
    return logits.shape[-1] - 256 + logits[..., -256:].argmax(-1)


def last_256_columns_from_31744(logits, vocabulary_size=32000):
    return vocabulary_size - 256 + logits[..., -256:].argmax(-1)


def counts_within_the_slice(logits, vocabulary_size=32000):
    return logits[..., vocabulary_size - 256 : vocabulary_size].argmax(-1)


def with_the_padding(logits, vocabulary_size=32000):
    return vocabulary_size - 256 + logits[..., vocabulary_size - 256 :].argmax(-1)


def zero_for_the_others(logits, vocabulary_size=32000):
    action = torch.zeros(logits.shape[-1])
    action[vocabulary_size - 256 : vocabulary_size] = 1
    return (logits * action).argmax(-1)


def misses_the_last_one(logits, vocabulary_size=32000):
    first = vocabulary_size - 256
    return first + logits[..., first : vocabulary_size - 1].argmax(-1)


def one_id_for_all_rows(logits, vocabulary_size=32000):
    return next_action_token(logits[:1], vocabulary_size).expand(len(logits))


def lowest_id_left_out(logits, vocabulary_size=32000):
    first = vocabulary_size - 255
    return first + logits[..., first:vocabulary_size].argmax(-1)


def one_word_too_many(logits, vocabulary_size=32000):
    first = vocabulary_size - 257
    return first + logits[..., first:vocabulary_size].argmax(-1)


def the_rest_at(value):
    def filled(logits, vocabulary_size=32000):
        kept = torch.full_like(logits, value)
        action = slice(vocabulary_size - 256, vocabulary_size)
        kept[..., action] = logits[..., action]
        return kept.argmax(-1)

    return filled


def softmax_first(logits, vocabulary_size=32000):
    first = vocabulary_size - 256
    return first + logits.softmax(-1)[..., first:vocabulary_size].argmax(-1)


def farthest_from_zero(logits, vocabulary_size=32000):
    return next_action_token(logits.abs(), vocabulary_size)


def least_likely(logits, vocabulary_size=32000):
    return next_action_token(-logits, vocabulary_size)


def drawn_at_random(logits, vocabulary_size=32000):
    first = vocabulary_size - 256
    chances = logits[..., first:vocabulary_size].float().softmax(-1).reshape(-1, 256)
    return first + torch.multinomial(chances, 1).reshape(logits.shape[:-1])


def moved_to_the_nearest_action(logits, vocabulary_size=32000):
    return logits.argmax(-1).clamp(vocabulary_size - 256, vocabulary_size - 1)


def crosses_out_in_place(logits, vocabulary_size=32000):
    logits[..., : vocabulary_size - 256] = -torch.inf
    return next_action_token(logits, vocabulary_size)


def axes_squeezed(logits, vocabulary_size=32000):
    return next_action_token(logits, vocabulary_size).squeeze()


def flattened_rows(logits, vocabulary_size=32000):
    return next_action_token(logits, vocabulary_size).flatten()


MISTAKES = {
    "tokenize_actions": [
        (counts_upward, "the direction is turned round"),
        (does_not_clip, "32000 is the padding id"),
        (rounds_to_256_bins, "these are 256 bins"),
        (floors_to_256_bins, "these are 256 bins"),
        (one_below, "31743 is no action token"),
        (nearest_edge, "not to the nearest one"),
        (llama_only, "32000 is only Llama's"),
        (ids_with_a_decimal_point, "should be whole numbers"),
        (clips_in_place, "`actions` is changed in place"),
        (last_edge_left_out, "1 is the last of the 256 EDGES"),
        (bins_in_a_byte, "does not fit into uint8"),
        (edges_belong_below, "*at* or below"),
        (ids_in_sixteen_bits, "do not fit into 16 bits"),
        (in_half_precision, "round nothing before or after"),
        (reflects_at_the_ends, "at both ends"),
        (a_list_of_ids, "return a NumPy array, not a list"),
    ],
    "detokenize_actions": [
        (left_edge, "left edge"),
        (right_edge, "right edge"),
        (one_bin_high, "one bin too high"),
        (raises_at_the_lowest_id, "asks for bin 255"),
        (wraps_at_the_lowest_id, "where a negative index counts from"),
        (turned_round, "the direction is turned round"),
        (coarse, "the centre of its own bin"),
        (llama_only_back, "32000 is only Llama's"),
        (lowest_end_only, "at both ends"),
        (refuses_other_ids, "such an id becomes the nearest end"),
        (other_ids_are_zero, "becomes the nearest end, not 0"),
        (flattened, "the shape is (24,), it should be (2, 3, 4)"),
        (cut_one_too_early, "cut one too early"),
        (from_minus_one_to_one, "−1 is an edge"),
        (counts_in_place, "`token_ids` is changed in place"),
    ],
    "unnormalize_actions": [
        (forgets_the_half, "two wide"),
        (scales_the_gripper, "outside the mask: it stays"),
        (symmetric, "symmetric about 0"),
        (mask_inverted, "the mask is turned round"),
        (forgets_q01, "begins at q01"),
        (always_the_last_one, "not always the last one"),
        (half_the_range_too_far, "is too far"),
        (forgets_the_shift, "shift [−1, 1] by one"),
        (quantiles_swapped, "q01 and q99 are swapped"),
        (lost_outside_the_mask, "here it is lost"),
        (cut_outside_the_mask, "here they were clipped"),
        (result_cut, "nothing is clipped here"),
        (result_rounded, "nothing is rounded"),
        (writes_into_actions, "`actions` is changed in place"),
        (one_range_for_all, "each has its own q01 and q99"),
    ],
    "insert_patches": [
        (image_before_the_start, "the start token comes first"),
        (image_after_the_question, "right after the start token"),
        (mask_not_extended, "the mask was left as it was"),
        (patches_masked_out, "the model goes blind, and still answers"),
        (mask_extended_at_the_end, "they make padding real"),
        (forgets_the_mask, "return a tuple of 2 values"),
        (the_first_picture_for_all, "the first dimension counts rows"),
        (start_token_twice, "the start token stands there twice"),
        (patches_over_words, "the patches took the place of words"),
        (one_word_too_late, "one word too late"),
        (as_many_ones_as_words, "as many as there are patches"),
        (padding_made_real, "the padding became real"),
        (mask_of_decimals, "should be whole numbers"),
        (mask_of_the_first_row, "the first row's mask stands in both"),
        (always_float32, "torch.cat keeps it"),
        (patches_detached, "the projector could never learn"),
        (without_gradients, "the projector could never learn"),
    ],
    "next_action_token": [
        (any_word, "here the end of the text"),
        (last_256_columns, "the last 256 columns are not the last 256 words"),
        (last_256_columns_from_31744, "they begin at 31808"),
        (counts_within_the_slice, "add 31744"),
        (with_the_padding, "must end at vocabulary_size"),
        (zero_for_the_others, "multiplied by 0"),
        (misses_the_last_one, "31999, is an action token too"),
        (one_id_for_all_rows, "one id for each row"),
        (lowest_id_left_out, "the lowest id was left out"),
        (one_word_too_many, "31743 is a word"),
        (the_rest_at(-100.0), "must not beat −30000"),
        (the_rest_at(-1e4), "must not beat −30000"),
        (the_rest_at(0.0), "multiplied by 0"),
        (softmax_first, "compare the logits of the slice"),
        (farthest_from_zero, "the sign of a logit counts"),
        (least_likely, "the least likely action"),
        (drawn_at_random, "the most likely"),
        (moved_to_the_nearest_action, "moved to the nearest action token"),
        (crosses_out_in_place, "`logits` is changed in place"),
        (axes_squeezed, "the shape is (), it should be (1,)"),
        (flattened_rows, "the shape is (6,), it should be (2, 3)"),
    ],
}
