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
    ],
    "unnormalize_actions": [
        (forgets_the_half, "two wide"),
        (scales_the_gripper, "outside the mask: it stays"),
        (symmetric, "symmetric about 0"),
        (mask_inverted, "the mask is turned round"),
        (forgets_q01, "begins at q01"),
        (always_the_last_one, "not always the last one"),
    ],
    "insert_patches": [
        (image_before_the_start, "the start token comes first"),
        (image_after_the_question, "right after the start token"),
        (mask_not_extended, "the mask was left as it was"),
        (patches_masked_out, "the model goes blind, and still answers"),
        (mask_extended_at_the_end, "they make padding real"),
        (forgets_the_mask, "return a tuple of 2 values"),
        (the_first_picture_for_all, "the first dimension counts rows"),
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
    ],
}
