"""Answers to Day 02, written from the exercise notebook alone."""

import bisect

import numpy as np
import torch
from run import right, wrong

from vla_course.action_tokens import BINS, CENTRES, EDGES

IN_PLACE = r"in place|in-place|copy|clone|input|argument|chang|overwrit|own array|given array"

# --- 02.1


@wrong("tokenize_actions", fits=r"edge|digitize|nearest|below|round|count")
def rounds_to_the_nearest_edge(actions, vocabulary_size=32000):
    """Takes the nearest edge instead of the one at or below."""
    nearest = np.abs(np.clip(actions, -1, 1)[..., None] - EDGES).argmin(-1)
    return vocabulary_size - 1 - nearest


@wrong("tokenize_actions", fits=r"last id|off by one|one too|one id|by one|31999|-1 is|−1|minus that|starts")
def one_id_too_low(actions, vocabulary_size=32000):
    """Subtracts one more, so that -1 becomes the last id but one."""
    return vocabulary_size - 1 - np.digitize(np.clip(actions, -1, 1), EDGES)


@wrong("tokenize_actions", fits=r"down|upside|revers|direction|backward|larger|last id|end of the vocabulary")
def counts_up(actions, vocabulary_size=32000):
    """Larger numbers get larger ids: counts up from the first action token."""
    return vocabulary_size - BINS + np.digitize(np.clip(actions, -1, 1), EDGES) - 1


@wrong("tokenize_actions", fits=r"clip|outside|beyond|\[-1, 1\]|\[−1, 1\]|below -1|smaller than")
def never_clips(actions, vocabulary_size=32000):
    """No clipping: what lies below -1 gets an id that the vocabulary does not have."""
    return vocabulary_size - np.digitize(actions, EDGES)


@wrong(
    "tokenize_actions",
    fits=r"256|largest|highest|upper|top|lowest|at 1\b|1 becomes|of 1\b|for 1\b|last edge|end",
)
def one_becomes_bin_255(actions, vocabulary_size=32000):
    """Squeezes 1 into the 255th bin, so that the lowest id never comes."""
    return vocabulary_size - np.clip(np.digitize(np.clip(actions, -1, 1), EDGES), 1, BINS - 1)


@wrong("tokenize_actions", fits=r"vocabulary_size|vocabulary|1024|32000")
def always_llama(actions, vocabulary_size=32000):
    """Ignores the vocabulary's size."""
    return 32000 - np.digitize(np.clip(actions, -1, 1), EDGES)


@wrong("tokenize_actions", fits=IN_PLACE)
def clips_its_input(actions, vocabulary_size=32000):
    """Clips the caller's array in place."""
    np.clip(actions, -1, 1, out=actions)
    return vocabulary_size - np.digitize(actions, EDGES)


@wrong("tokenize_actions", fits=r"list|array|ndarray|kind|type")
def a_list_of_ids(actions, vocabulary_size=32000):
    """Returns nested lists in place of an array."""
    return (vocabulary_size - np.digitize(np.clip(actions, -1, 1), EDGES)).tolist()


@wrong("tokenize_actions", fits=r"int|whole|float|dtype|type|kind")
def ids_as_floats(actions, vocabulary_size=32000):
    """Floors by arithmetic and returns floating-point ids."""
    return vocabulary_size - np.digitize(np.clip(actions, -1, 1), EDGES).astype(float)


@wrong("tokenize_actions", fits=r"right|edge|at or below|equal|boundar|exactly|on an|last id|−1|-1")
def edges_belong_below(actions, vocabulary_size=32000):
    """A number that is exactly an edge is put into the bin below it; -1 falls out of the vocabulary."""
    return vocabulary_size - np.digitize(np.clip(actions, -1, 1), EDGES, right=True)


@wrong("tokenize_actions", fits=r"shape|dimension|axes|axis|broadcast|batch|row|operands")
def one_action_only(actions, vocabulary_size=32000):
    """Compares number by number, which works for one row only."""
    return np.array([vocabulary_size - int((np.clip(a, -1, 1) >= EDGES).sum()) for a in actions])


@wrong("tokenize_actions", fits=r"255|256|edge|bins|width|wide|even")
def two_hundred_fifty_six_bins(actions, vocabulary_size=32000):
    """Cuts [-1, 1] into 256 bins, with 257 edges."""
    bins = np.floor((np.clip(actions, -1, 1) + 1) / 2 * BINS).astype(int)
    return vocabulary_size - 1 - np.minimum(bins, BINS - 1)


@wrong(
    "tokenize_actions",
    fits=r"uint8|overflow|256|largest|highest|upper|lowest|at 1\b|1 becomes|of 1\b|for 1\b|end|vocabulary",
)
def bins_in_a_byte(actions, vocabulary_size=32000):
    """Keeps bins as uint8, where bin 256 of number 1 becomes 0."""
    bins = np.digitize(np.clip(actions, -1, 1), EDGES).astype(np.uint8)
    return vocabulary_size - bins.astype(int)


@wrong("tokenize_actions", fits=r"int16|overflow|bits|too (large|small|narrow)|vocabular|out of bounds")
def ids_in_sixteen_bits(actions, vocabulary_size=32000):
    """Ids as int16: fine for Llama's 32000 words, wrapped round for a vocabulary of 150 000."""
    return (vocabulary_size - np.digitize(np.clip(actions, -1, 1), EDGES)).astype(np.int16)


@right("tokenize_actions")
def with_searchsorted(actions, vocabulary_size=32000):
    """np.searchsorted instead of np.digitize."""
    return vocabulary_size - np.searchsorted(EDGES, np.clip(actions, -1, 1), side="right")


@right("tokenize_actions")
def counts_edges_by_broadcasting(actions, vocabulary_size=32000):
    """Compares each number with every edge and counts."""
    clipped = np.minimum(np.maximum(actions, -1.0), 1.0)
    return vocabulary_size - (clipped[..., None] >= EDGES).sum(axis=-1)


@right("tokenize_actions")
def clips_only_below(actions, vocabulary_size=32000):
    """Digitize gives 256 for everything from 1 upwards, so only the lower end needs clipping; int32."""
    return (vocabulary_size - np.digitize(np.maximum(actions, -1), EDGES)).astype(np.int32)


@right("tokenize_actions")
def bisects_number_by_number(actions, vocabulary_size=32000):
    """Python's bisect in a loop over a flat view."""
    edges = EDGES.tolist()
    flat = [
        vocabulary_size - bisect.bisect_right(edges, min(max(float(a), -1.0), 1.0)) for a in np.ravel(actions)
    ]
    return np.array(flat, dtype=np.int64).reshape(np.shape(actions))


@right("tokenize_actions")
def floor_of_the_share(actions, vocabulary_size=32000):
    """No table: the share of the way from -1 to 1, in 255 steps, rounded down."""
    return (vocabulary_size - 1 - np.floor((np.clip(actions, -1, 1) + 1) / 2 * 255)).astype(int)


@right("tokenize_actions")
def bucketize_in_torch(actions, vocabulary_size=32000):
    """torch.bucketize, and back to NumPy."""
    numbers = torch.tensor(np.array(actions), dtype=torch.float64).clamp(-1, 1)
    return vocabulary_size - torch.bucketize(numbers, torch.tensor(EDGES), right=True).numpy()


# --- 02.2


@wrong("detokenize_actions", fits=r"index|bounds|clip|lowest|255|254")
def lowest_id_falls_out(token_ids, vocabulary_size=32000):
    """No clipping: the lowest id asks for a centre that does not exist."""
    return CENTRES[vocabulary_size - np.asarray(token_ids) - 1]


@wrong(
    "detokenize_actions",
    fits=r"by one|one bin|one too|minus 1|- 1|− 1|first bin|number 0|one edge|shift|neighbour",
)
def next_bin(token_ids, vocabulary_size=32000):
    """Forgets that the first bin has number 0: everything is one bin too high."""
    return CENTRES[np.clip(vocabulary_size - np.asarray(token_ids), 0, BINS - 2)]


@wrong("detokenize_actions", fits=r"centre|center|middle|edge|half")
def edges_for_centres(token_ids, vocabulary_size=32000):
    """Gives the edge below instead of the middle."""
    return EDGES[np.clip(vocabulary_size - np.asarray(token_ids) - 1, 0, BINS - 1)]


@wrong("detokenize_actions", fits=r"vocabulary_size|vocabulary|1024|32000")
def back_from_llama_always(token_ids, vocabulary_size=32000):
    """Ignores the vocabulary's size."""
    return CENTRES[np.clip(31999 - np.asarray(token_ids), 0, BINS - 2)]


@wrong(
    "detokenize_actions",
    fits=r"negative|clip|nearest end|no action token|outside|wrap|beyond|padding|both ends|lower end|not an action",
)
def clips_one_end_only(token_ids, vocabulary_size=32000):
    """Clips only at the top: an id behind the vocabulary becomes index -1, the largest number."""
    return CENTRES[np.minimum(vocabulary_size - np.asarray(token_ids) - 1, BINS - 2)]


@wrong("detokenize_actions", fits=r"centre|center|middle|254|CENTRES|bins")
def evenly_from_minus_one_to_one(token_ids, vocabulary_size=32000):
    """Spreads the 255 bins from -1 to 1 inclusive, so the ends are not centres."""
    bins = np.clip(vocabulary_size - np.asarray(token_ids) - 1, 0, BINS - 2)
    return np.linspace(-1, 1, BINS - 1)[bins]


@wrong("detokenize_actions", fits=r"lowest|wrap|31744|nearest|256|clip|end\b|ends\b|modulo|%|no action token")
def wraps_around(token_ids, vocabulary_size=32000):
    """Modulo in place of a clip: the lowest id becomes the smallest number."""
    return CENTRES[(vocabulary_size - np.asarray(token_ids) - 1) % (BINS - 1)]


@wrong("detokenize_actions", fits=r"sign|down|direction|revers|opposite|backward|last id|larger|mirror|count")
def reads_upwards(token_ids, vocabulary_size=32000):
    """Larger ids become larger numbers."""
    return CENTRES[np.clip(np.asarray(token_ids) - (vocabulary_size - BINS + 1), 0, BINS - 2)]


@wrong("detokenize_actions", fits=IN_PLACE)
def counts_back_in_place(token_ids, vocabulary_size=32000):
    """Computes the bins in the caller's array."""
    np.subtract(vocabulary_size - 1, token_ids, out=token_ids)
    return CENTRES[np.clip(token_ids, 0, BINS - 2)]


@wrong("detokenize_actions", fits=r"shape|batch|flat|row|axes|axis|dimension")
def flattens_a_batch(token_ids, vocabulary_size=32000):
    """Loops over all ids and forgets the batch's shape."""
    bins = [min(max(vocabulary_size - 1 - int(t), 0), BINS - 2) for t in np.ravel(token_ids)]
    return np.array([CENTRES[b] for b in bins])


@wrong(
    "detokenize_actions",
    fits=r"no action token|not an action|nearest end|outside|raise|ValueError|clip|other id",
)
def refuses_other_ids(token_ids, vocabulary_size=32000):
    """Raises for ids that are no action tokens, which are to become the nearest end."""
    ids = np.asarray(token_ids)
    if (ids < vocabulary_size - BINS).any() or (ids >= vocabulary_size).any():
        raise ValueError("not an action token")
    return CENTRES[np.minimum(vocabulary_size - ids - 1, BINS - 2)]


@wrong("detokenize_actions", fits=r"no action token|not an action|nearest end|outside|clip|other id")
def other_ids_mean_zero(token_ids, vocabulary_size=32000):
    """Ids that are no action tokens become 0 instead of the nearest end."""
    bins = vocabulary_size - np.asarray(token_ids) - 1
    known = (bins >= 0) & (bins < BINS)
    return np.where(known, CENTRES[np.clip(bins, 0, BINS - 2)], 0.0)


@wrong("detokenize_actions", fits=r"top|highest|largest|254|255|end\b|ends\b|lowest|clip|last|upper")
def top_bin_lost(token_ids, vocabulary_size=32000):
    """Clips one bin too early: the two lowest ids do not mean 254/255."""
    return CENTRES[np.clip(vocabulary_size - np.asarray(token_ids) - 1, 0, BINS - 3)]


@right("detokenize_actions")
def takes_with_clip(token_ids, vocabulary_size=32000):
    """np.take with mode='clip' does the ends."""
    return np.take(CENTRES, vocabulary_size - 1 - np.asarray(token_ids), mode="clip")


@right("detokenize_actions")
def by_formula(token_ids, vocabulary_size=32000):
    """No table: bin k lies at (2k + 1)/255 - 1. The ids are clipped, not the bins."""
    ids = np.clip(token_ids, vocabulary_size - 255, vocabulary_size - 1)
    return (2 * (vocabulary_size - 1 - ids) + 1) / 255 - 1


@right("detokenize_actions")
def upside_down_table(token_ids, vocabulary_size=32000):
    """A table of 256 in the order of the ids, whose first two entries are the same."""
    table = np.concatenate([CENTRES[-1:], CENTRES[::-1]])
    place = np.asarray(token_ids) - (vocabulary_size - BINS)
    return table[np.minimum(np.maximum(place, 0), BINS - 1)]


@right("detokenize_actions")
def centres_in_float32(token_ids, vocabulary_size=32000):
    """Centres in single precision."""
    return CENTRES.astype(np.float32)[np.clip(vocabulary_size - 1 - np.asarray(token_ids), 0, BINS - 2)]


# --- 02.3


@wrong("unnormalize_actions", fits=r"mask|gripper|stay")
def forgets_the_mask(actions, q01, q99, mask):
    """Scales every dimension, the gripper too."""
    return 0.5 * (actions + 1) * (q99 - q01) + q01


@wrong("unnormalize_actions", fits=r"mask|gripper|stay|other way|swap|invert")
def mask_the_wrong_way(actions, q01, q99, mask):
    """Scales what is outside the mask and leaves the rest."""
    return np.where(mask, actions, 0.5 * (actions + 1) * (q99 - q01) + q01)


@wrong("unnormalize_actions", fits=r"−1|-1|\+ 1|line|two points|shift|middle|\[0, 1\]|q01")
def forgets_plus_one(actions, q01, q99, mask):
    """Leaves out the + 1: 0 becomes q01."""
    return np.where(mask, 0.5 * actions * (q99 - q01) + q01, actions)


@wrong(
    "unnormalize_actions",
    fits=r"half|0\.5|q99|twice|double|width|too (far|large|wide)|\[0, 1\]|distance|1 becomes",
)
def forgets_the_half(actions, q01, q99, mask):
    """Twice the range: 1 lands beyond q99."""
    return np.where(mask, (actions + 1) * (q99 - q01) + q01, actions)


@wrong("unnormalize_actions", fits=IN_PLACE)
def writes_into_actions(actions, q01, q99, mask):
    """Assigns into the caller's array."""
    actions[..., mask] = 0.5 * (actions[..., mask] + 1) * (q99 - q01)[mask] + q01[mask]
    return actions


@wrong("unnormalize_actions", fits=r"batch|shape|one action|single|dimension|indices|axes|axis|\.\.\.")
def wants_a_batch(actions, q01, q99, mask):
    """Works with one batch axis only; one action is an error."""
    out = actions.copy()
    out[:, mask] = 0.5 * (actions[:, mask] + 1) * (q99 - q01)[mask] + q01[mask]
    return out


@wrong("unnormalize_actions", fits=r"mask|stay|outside|gripper|0\b|lost")
def zeros_outside_the_mask(actions, q01, q99, mask):
    """Multiplies by the mask: the gripper becomes 0."""
    return (0.5 * (actions + 1) * (q99 - q01) + q01) * mask


@wrong("unnormalize_actions", fits=r"clip|stay|beyond|as they are|outside|mask")
def clips_the_gripper_too(actions, q01, q99, mask):
    """Clips to [-1, 1] first, so an unmasked dimension of 100 does not stay as it is."""
    actions = np.clip(actions, -1, 1)
    return np.where(mask, 0.5 * (actions + 1) * (q99 - q01) + q01, actions)


@wrong("unnormalize_actions", fits=r"mask|which|last|gripper")
def last_is_the_gripper(actions, q01, q99, mask):
    """Takes the last dimension for the gripper and does not look at the mask."""
    out = 0.5 * (actions + 1) * (q99 - q01) + q01
    out[..., -1] = actions[..., -1]
    return out


@wrong("unnormalize_actions", fits=r"swap|q01|q99|sign|direction|revers|order")
def quantiles_swapped(actions, q01, q99, mask):
    """-1 becomes q99."""
    return np.where(mask, 0.5 * (actions + 1) * (q01 - q99) + q99, actions)


@wrong("unnormalize_actions", fits=r"symmetr|q01|two points|line|both|−1|-1|middle|zero")
def thinks_ranges_are_symmetric(actions, q01, q99, mask):
    """Scales by q99 alone, as if q01 were -q99."""
    return np.where(mask, actions * q99, actions)


@wrong("unnormalize_actions", fits=r"batch|row|axes|axis|last|shape|dimension|bounds|\.\.\.")
def first_axis_for_dimensions(actions, q01, q99, mask):
    """Loops over the first axis as if it were the dimensions: one action only."""
    out = np.array(actions, dtype=float)
    for d in range(len(q01)):
        if mask[d]:
            out[d] = 0.5 * (out[d] + 1) * (q99[d] - q01[d]) + q01[d]
    return out


@right("unnormalize_actions")
def mixes_the_two_ends(actions, q01, q99, mask):
    """A weighted mean of both quantiles."""
    share = (np.asarray(actions, dtype=np.float64) + 1) / 2
    return np.where(mask, (1 - share) * q01 + share * q99, actions)


@right("unnormalize_actions")
def dimension_by_dimension(actions, q01, q99, mask):
    """A loop over the last axis, writing into a copy."""
    out = np.array(actions, dtype=float)
    for d, (low, high, scaled) in enumerate(zip(q01, q99, mask, strict=True)):
        if scaled:
            out[..., d] = low + (out[..., d] + 1) * (high - low) / 2
    return out


@right("unnormalize_actions")
def middle_and_half_width(actions, q01, q99, mask):
    """Middle plus so many half widths; half width 1 and middle 0 outside the mask."""
    half = np.where(mask, (q99 - q01) / 2, 1.0)
    middle = np.where(mask, (q99 + q01) / 2, 0.0)
    return actions * half + middle


@right("unnormalize_actions")
def interpolates(actions, q01, q99, mask):
    """np.interp, dimension by dimension."""
    out = np.array(actions, dtype=float)
    for d in np.flatnonzero(mask):
        out[..., d] = np.interp(out[..., d], [-1, 1], [q01[d], q99[d]])
    return out


@right("unnormalize_actions")
def in_single_precision(actions, q01, q99, mask):
    """A float32 copy, written where the mask says so."""
    out = np.array(actions, dtype=np.float32)
    out[..., mask] = (out[..., mask] + 1) / 2 * (q99 - q01)[mask] + q01[mask]
    return out


# --- 02.4


@wrong("insert_patches", fits=r"start|first|begin|position|order|before|front")
def picture_before_the_start(token_embeddings, patch_embeddings, attention_mask):
    """The image stands before the start token."""
    ones = attention_mask.new_ones(patch_embeddings.shape[:2])
    return torch.cat([patch_embeddings, token_embeddings], 1), torch.cat(
        [attention_mask[:, :1], ones, attention_mask[:, 1:]], 1
    )


@wrong("insert_patches", fits=r"start|behind|after|position|order|end\b|between|cut")
def picture_at_the_end(token_embeddings, patch_embeddings, attention_mask):
    """The image stands behind the text."""
    ones = attention_mask.new_ones(patch_embeddings.shape[:2])
    return torch.cat([token_embeddings, patch_embeddings], 1), torch.cat([attention_mask, ones], 1)


@wrong("insert_patches", fits=r"mask.{0,60}(grow|long|length|short|place|patch|insert|too)|grow|L\s?\+\s?P")
def mask_stays_short(token_embeddings, patch_embeddings, attention_mask):
    """The mask does not grow with the sequence."""
    return torch.cat([token_embeddings[:, :1], patch_embeddings, token_embeddings[:, 1:]], 1), attention_mask


@wrong("insert_patches", fits=r"padding|padded|not real|\b0\b|zeros")
def everything_is_real(token_embeddings, patch_embeddings, attention_mask):
    """The mask is all ones, padding included."""
    sequence = torch.cat([token_embeddings[:, :1], patch_embeddings, token_embeddings[:, 1:]], 1)
    return sequence, attention_mask.new_ones(sequence.shape[:2])


@wrong("insert_patches", fits=r"patch\w*( is| are|.{0,20}real)|ones\b|every patch")
def patches_are_hidden(token_embeddings, patch_embeddings, attention_mask):
    """The patches' places in the mask are 0."""
    zeros = attention_mask.new_zeros(patch_embeddings.shape[:2])
    sequence = torch.cat([token_embeddings[:, :1], patch_embeddings, token_embeddings[:, 1:]], 1)
    return sequence, torch.cat([attention_mask[:, :1], zeros, attention_mask[:, 1:]], 1)


@wrong("insert_patches", fits=r"\bint|dtype|kind|float|type|whole|new_ones")
def mask_of_floats(token_embeddings, patch_embeddings, attention_mask):
    """torch.ones makes floats, and torch.cat makes floats of the whole mask."""
    ones = torch.ones(patch_embeddings.shape[:2])
    sequence = torch.cat([token_embeddings[:, :1], patch_embeddings, token_embeddings[:, 1:]], 1)
    return sequence, torch.cat([attention_mask[:, :1], ones, attention_mask[:, 1:]], 1)


@wrong("insert_patches", fits=r"padding|padded|same place|position|cut at|between|after the start|moved")
def ones_behind_the_mask(token_embeddings, patch_embeddings, attention_mask):
    """The patches' ones stand behind the padding's zeros."""
    ones = attention_mask.new_ones(patch_embeddings.shape[:2])
    sequence = torch.cat([token_embeddings[:, :1], patch_embeddings, token_embeddings[:, 1:]], 1)
    return sequence, torch.cat([attention_mask, ones], 1)


@wrong("insert_patches", fits=r"batch|\bB\b|sizes? |rows|new_ones\(B|expected size")
def mask_for_one_row(token_embeddings, patch_embeddings, attention_mask):
    """The patches' ones are made for one row only."""
    ones = attention_mask.new_ones(1, patch_embeddings.shape[1])
    sequence = torch.cat([token_embeddings[:, :1], patch_embeddings, token_embeddings[:, 1:]], 1)
    return sequence, torch.cat([attention_mask[:, :1], ones, attention_mask[:, 1:]], 1)


@wrong("insert_patches", fits=r"start|twice|length|shape|long|L\s?\+\s?P|1:")
def start_token_twice(token_embeddings, patch_embeddings, attention_mask):
    """The start token comes before the image and again behind it."""
    ones = attention_mask.new_ones(patch_embeddings.shape[:2])
    sequence = torch.cat([token_embeddings[:, :1], patch_embeddings, token_embeddings], 1)
    return sequence, torch.cat([attention_mask[:, :1], ones, attention_mask], 1)


@wrong("insert_patches", fits=r"gradient|detach|graph|learn|train|no_grad|backward")
def patches_without_gradient(token_embeddings, patch_embeddings, attention_mask):
    """Detaches the patches: the projector could never learn."""
    ones = attention_mask.new_ones(patch_embeddings.shape[:2])
    sequence = torch.cat([token_embeddings[:, :1], patch_embeddings.detach(), token_embeddings[:, 1:]], 1)
    return sequence, torch.cat([attention_mask[:, :1], ones, attention_mask[:, 1:]], 1)


@wrong("insert_patches", fits=r"length|replace|overwrit|lost|between|L\s?\+\s?P|shape|words|grow")
def patches_over_words(token_embeddings, patch_embeddings, attention_mask):
    """Writes the patches over the words behind the start token."""
    count = patch_embeddings.shape[1]
    sequence = torch.cat([token_embeddings[:, :1], patch_embeddings, token_embeddings[:, 1 + count :]], 1)
    ones = attention_mask.new_ones(patch_embeddings.shape[:2])
    return sequence, torch.cat([attention_mask[:, :1], ones, attention_mask[:, 1 + count :]], 1)


@wrong("insert_patches", fits=r"as many|many|length|long|L\s?\+\s?P|shape|number of patches|how many")
def as_many_ones_as_words(token_embeddings, patch_embeddings, attention_mask):
    """The mask gets as many ones as there are words: right only where there are as many patches."""
    sequence = torch.cat([token_embeddings[:, :1], patch_embeddings, token_embeddings[:, 1:]], 1)
    ones = torch.ones_like(attention_mask)
    return sequence, torch.cat([attention_mask[:, :1], ones, attention_mask[:, 1:]], 1)


@wrong("insert_patches", fits=r"dtype|bfloat16|float32|kind|type|precision|half")
def always_float32(token_embeddings, patch_embeddings, attention_mask):
    """Collects the sequence in a float32 buffer, whatever the embeddings are."""
    (batch, length, width), count = token_embeddings.shape, patch_embeddings.shape[1]
    sequence = torch.zeros(batch, length + count, width)
    sequence[:, :1], sequence[:, 1 : 1 + count], sequence[:, 1 + count :] = (
        token_embeddings[:, :1],
        patch_embeddings,
        token_embeddings[:, 1:],
    )
    ones = attention_mask.new_ones(batch, count)
    return sequence, torch.cat([attention_mask[:, :1], ones, attention_mask[:, 1:]], 1)


@wrong("insert_patches", fits=r"padding|padded|row|batch|each|own mask")
def mask_of_the_first_row(token_embeddings, patch_embeddings, attention_mask):
    """Takes the first row's mask for all rows."""
    sequence = torch.cat([token_embeddings[:, :1], patch_embeddings, token_embeddings[:, 1:]], 1)
    row = attention_mask[0]
    row = torch.cat([row[:1], row.new_ones(patch_embeddings.shape[1]), row[1:]])
    return sequence, row.expand(len(attention_mask), -1)


@right("insert_patches")
def splits_at_one(token_embeddings, patch_embeddings, attention_mask):
    """tensor_split and hstack."""
    start, text = torch.tensor_split(token_embeddings, [1], dim=1)
    first, rest = attention_mask.tensor_split([1], dim=1)
    ones = torch.ones(patch_embeddings.shape[:2], dtype=attention_mask.dtype, device=attention_mask.device)
    return torch.hstack([start, patch_embeddings, text]), torch.hstack([first, ones, rest])


@right("insert_patches")
def row_by_row(token_embeddings, patch_embeddings, attention_mask):
    """A loop over the batch, then a stack."""
    rows, masks = [], []
    for tokens, patches, mask in zip(token_embeddings, patch_embeddings, attention_mask, strict=True):
        rows.append(torch.cat((tokens[:1], patches, tokens[1:])))
        masks.append(torch.cat((mask[:1], torch.ones(len(patches)).to(mask), mask[1:])))
    return torch.stack(rows), torch.stack(masks)


@right("insert_patches")
def writes_into_empty_places(token_embeddings, patch_embeddings, attention_mask):
    """Makes room first, in the right dtypes, and fills it."""
    (batch, length, width), count = token_embeddings.shape, patch_embeddings.shape[1]
    sequence = token_embeddings.new_empty(batch, length + count, width)
    sequence[:, 0] = token_embeddings[:, 0]
    sequence[:, 1 : count + 1] = patch_embeddings
    sequence[:, count + 1 :] = token_embeddings[:, 1:]
    mask = attention_mask.new_ones(batch, length + count)
    mask[:, 0] = attention_mask[:, 0]
    mask[:, count + 1 :] = attention_mask[:, 1:]
    return sequence, mask


@right("insert_patches")
def reorders_a_long_row(token_embeddings, patch_embeddings, attention_mask):
    """Concatenates in the wrong order and then picks the places in the right one."""
    length, count = token_embeddings.shape[1], patch_embeddings.shape[1]
    order = [0, *range(length, length + count), *range(1, length)]
    ones = torch.full_like(attention_mask[:, :1], 1).expand(-1, count)
    return (
        torch.cat([token_embeddings, patch_embeddings], 1)[:, order],
        torch.cat([attention_mask, ones], 1)[:, order],
    )


@wrong("insert_patches", "at the front of the mask")
def pads_the_mask(token_embeddings, patch_embeddings, attention_mask):
    """P ones before the mask are as good as P ones behind its first place only where that place is real."""
    mask = torch.nn.functional.pad(attention_mask, (patch_embeddings.shape[1], 0), value=1)
    return torch.cat((token_embeddings[:, 0:1], patch_embeddings, token_embeddings[:, 1:]), -2), mask


# --- 02.5


@wrong("next_action_token", fits=r"add|plus|counted|begin|offset|where the slice|first of them|place|\bid\b")
def place_in_the_slice(logits, vocabulary_size=32000):
    """Returns the place among the action tokens, not the id."""
    return logits[..., vocabulary_size - BINS : vocabulary_size].argmax(-1)


@wrong("next_action_token", fits=r"rest|only|action tokens|256|among|slice|whatever")
def best_of_all_words(logits, vocabulary_size=32000):
    """Ordinary decoding: the best of all words."""
    return logits[..., :vocabulary_size].argmax(-1)


@wrong("next_action_token", fits=r"padd|columns|head|vocabulary_size|32064|no word")
def last_columns(logits, vocabulary_size=32000):
    """Takes the last 256 columns, padding included."""
    first = logits.shape[-1] - BINS
    return first + logits[..., -BINS:].argmax(-1)


@wrong("next_action_token", fits=r"padd|columns|head|beyond|vocabulary_size|no word|end of|behind")
def no_end_to_the_slice(logits, vocabulary_size=32000):
    """Begins right but lets padding columns win."""
    first = vocabulary_size - BINS
    return first + logits[..., first:].argmax(-1)


@wrong("next_action_token", fits=r"256|255|lowest|first action|31744|one too|by one|all of")
def only_255_tokens(logits, vocabulary_size=32000):
    """There are 255 bins, so it takes 255 tokens: the lowest id never wins."""
    first = vocabulary_size - (BINS - 1)
    return first + logits[..., first:vocabulary_size].argmax(-1)


@wrong("next_action_token", fits=r"last (word|id|token)|256|31999|one too|by one|highest|up to|all of|end of")
def last_word_left_out(logits, vocabulary_size=32000):
    """Ends the slice one early, so that the last id, which is -1, never wins."""
    first = vocabulary_size - BINS
    return first + logits[..., first : vocabulary_size - 1].argmax(-1)


@wrong("next_action_token", fits=r"vocabulary_size|vocabulary|1024|32000|argument")
def columns_of_llama(logits, vocabulary_size=32000):
    """Ignores the vocabulary's size."""
    return 31744 + logits[..., 31744:32000].argmax(-1)


@wrong("next_action_token", fits=r"batch|row|axis|dim|−1|-1|shape|each")
def one_token_for_all(logits, vocabulary_size=32000):
    """argmax without a dimension: one number for a whole batch."""
    first = vocabulary_size - BINS
    return first + logits[..., first:vocabulary_size].argmax()


@wrong("next_action_token", fits=r"dim|axis|axes|last|−1|-1|batch|range|indices|shape")
def wants_two_axes(logits, vocabulary_size=32000):
    """Takes axis 1 for the vocabulary, with exactly one batch axis."""
    first = vocabulary_size - BINS
    return first + logits[:, first:vocabulary_size].argmax(1)


@wrong("next_action_token", fits=r"tensor|item|batch|python|kind|type|scalar|elements")
def a_python_number(logits, vocabulary_size=32000):
    """Returns a Python int, which works for one row only."""
    first = vocabulary_size - BINS
    return first + int(logits[..., first:vocabulary_size].argmax(-1))


@wrong("next_action_token", fits=r"negative|zero|\b0\b|inf|rest|among|only|slice|action token")
def zeros_elsewhere(logits, vocabulary_size=32000):
    """Sets the other scores to 0, which beats action tokens with negative scores."""
    kept = torch.zeros_like(logits)
    first = vocabulary_size - BINS
    kept[..., first:vocabulary_size] = logits[..., first:vocabulary_size]
    return kept.argmax(-1)


@wrong("next_action_token", fits=IN_PLACE)
def crosses_out_in_place(logits, vocabulary_size=32000):
    """Crosses out the other scores in the caller's tensor."""
    logits[..., : vocabulary_size - BINS] = -torch.inf
    logits[..., vocabulary_size:] = -torch.inf
    return logits.argmax(-1)


@wrong("next_action_token", fits=r"shape|keepdim|axis|axes|batch|dimension")
def keeps_the_axis(logits, vocabulary_size=32000):
    """Leaves an axis of one behind."""
    first = vocabulary_size - BINS
    return first + logits[..., first:vocabulary_size].argmax(-1, keepdim=True)


@wrong("next_action_token", fits=r"only|among|256|rest|slice|clamp|clip|nearest|whatever")
def clamps_the_best_word(logits, vocabulary_size=32000):
    """Takes the best word and moves it to the nearest action token."""
    return logits.argmax(-1).clamp(vocabulary_size - BINS, vocabulary_size - 1)


@wrong("next_action_token", fits=r"most likely|largest|argmax|random|sampl|highest|best|draw")
def draws_a_token(logits, vocabulary_size=32000):
    """Samples among the action tokens instead of taking the most likely."""
    first = vocabulary_size - BINS
    chances = logits[..., first:vocabulary_size].float().softmax(-1)
    drawn = torch.multinomial(chances.reshape(-1, BINS), 1)
    return first + drawn.reshape(logits.shape[:-1])


@wrong("next_action_token", fits=r"softmax|underflow|rest|whatever|slice|scores|probabilit|only")
def softmax_over_all(logits, vocabulary_size=32000):
    """Probabilities over the whole vocabulary first: where other words win by far, all action tokens become exactly 0."""
    first = vocabulary_size - BINS
    return first + logits.softmax(-1)[..., first:vocabulary_size].argmax(-1)


@wrong("next_action_token", fits=r"inf|rest|negative|-100|−100|low|small|only|slice|whatever|among")
def minus_a_hundred_elsewhere(logits, vocabulary_size=32000):
    """Lowers other scores to -100, which still beats action tokens at -200."""
    kept = torch.full_like(logits, -100.0)
    first = vocabulary_size - BINS
    kept[..., first:vocabulary_size] = logits[..., first:vocabulary_size]
    return kept.argmax(-1)


@wrong("next_action_token", fits=r"tensor|numpy|torch|kind|type|bfloat16")
def a_numpy_array(logits, vocabulary_size=32000):
    """Goes through NumPy and stays there: no tensor comes back."""
    first = vocabulary_size - BINS
    return first + np.argmax(logits.detach().float().cpu().numpy()[..., first:vocabulary_size], axis=-1)


@right("next_action_token")
def minus_infinity_elsewhere(logits, vocabulary_size=32000):
    """Crosses out all other columns in a copy and takes the best of all."""
    columns = torch.arange(logits.shape[-1], device=logits.device)
    action = (columns >= vocabulary_size - BINS) & (columns < vocabulary_size)
    return logits.masked_fill(~action, float("-inf")).argmax(dim=-1)


@right("next_action_token")
def indices_of_max(logits, vocabulary_size=32000):
    """narrow and max, with an in-place add on its own tensor."""
    best = logits.narrow(-1, vocabulary_size - BINS, BINS).max(dim=-1).indices
    best += vocabulary_size - BINS
    return best


@right("next_action_token")
def counted_from_the_end(logits, vocabulary_size=32000):
    """Cuts off the padding columns first, then the last 256."""
    words = logits[..., :vocabulary_size]
    return words[..., -256:].topk(1, dim=-1).indices.squeeze(-1) + (vocabulary_size - 256)


@right("next_action_token")
def row_after_row(logits, vocabulary_size=32000):
    """A Python loop over flattened rows; the shape is put back."""
    first = vocabulary_size - 256
    rows = logits.reshape(-1, logits.shape[-1])[:, first:vocabulary_size]
    ids = [first + int(torch.argmax(row)) for row in rows]
    return torch.tensor(ids, dtype=torch.long, device=logits.device).reshape(logits.shape[:-1])


@right("next_action_token")
def log_softmax_over_all(logits, vocabulary_size=32000):
    """Logarithms of probabilities over all words keep their order where probabilities are 0."""
    scores = logits[..., :vocabulary_size].float().log_softmax(-1)[..., -BINS:]
    return scores.argmax(-1) + vocabulary_size - BINS


@right("next_action_token")
def the_smallest_number_elsewhere(logits, vocabulary_size=32000):
    """The smallest number of the dtype in all other columns of a copy; int32."""
    kept = logits.clone()
    kept[..., : vocabulary_size - BINS] = torch.finfo(kept.dtype).min
    kept[..., vocabulary_size:] = torch.finfo(kept.dtype).min
    return torch.max(kept, -1)[1].to(torch.int32)


# --- 02.1, other answers


@wrong("tokenize_actions", fits=r"edge|digitize|nearest|at or below|round")
def rounds_to_the_nearest_edge_in_another_way(actions, vocabulary_size=32000):
    """Takes the nearest edge instead of the one at or below."""
    bins = np.rint((np.clip(actions, -1, 1) + 1) / 2 * (BINS - 1)).astype(int)
    return vocabulary_size - 1 - bins


@wrong("tokenize_actions", fits=r"edge|at or below|right|on an edge|exactly")
def the_edge_belongs_to_the_bin_below(actions, vocabulary_size=32000):
    """right=True: a number on an edge falls into the bin below, and -1 into none."""
    return vocabulary_size - np.maximum(np.digitize(np.clip(actions, -1, 1), EDGES, right=True), 1)


@wrong("tokenize_actions", fits=r"255|256|bin|edge")
def two_hundred_fifty_six_bins_in_another_way(actions, vocabulary_size=32000):
    """Cuts [-1, 1] into 256 bins instead of at 256 edges."""
    bins = np.floor((np.clip(actions, -1, 1) + 1) / 2 * 256).astype(int)
    return vocabulary_size - 1 - np.minimum(bins, 255)


@wrong("tokenize_actions", fits=r"256|31744|\b1\b|largest|lowest|upper|end|edge")
def the_last_edge_is_left_out(actions, vocabulary_size=32000):
    """255 bins, so 255 ids: the number 1 is put into the highest bin and never becomes the lowest id."""
    bins = np.clip(np.digitize(np.clip(actions, -1, 1), EDGES), 1, BINS - 1)
    return vocabulary_size - bins


@wrong("tokenize_actions", fits=r"batch|ax[ei]s|shape|rows?|dimension|scalar|length-1|ambiguous")
def one_row_only(actions, vocabulary_size=32000):
    """Works for one row of numbers only."""
    return np.array(
        [vocabulary_size - bisect.bisect_right(EDGES, min(max(float(a), -1.0), 1.0)) for a in actions]
    )


@wrong("tokenize_actions", fits=r"tensor|array|numpy|ndarray|kind|type")
def ids_as_a_tensor(actions, vocabulary_size=32000):
    """A torch tensor instead of an array."""
    return vocabulary_size - torch.bucketize(
        torch.as_tensor(actions).clamp(-1, 1), torch.from_numpy(EDGES), right=True
    )


@wrong("tokenize_actions", fits=r"outside|clip|beyond|nearest|range|end")
def beyond_the_range_becomes_zero(actions, vocabulary_size=32000):
    """Numbers outside [-1, 1] become 0 instead of the nearest end."""
    inside = np.where(np.abs(actions) <= 1, actions, 0.0)
    return vocabulary_size - np.digitize(inside, EDGES)


@right("tokenize_actions")
def with_searchsorted_in_another_way(actions, vocabulary_size=32000):
    """np.searchsorted instead of np.digitize."""
    clipped = np.minimum(np.maximum(np.asarray(actions, dtype=np.float64), -1.0), 1.0)
    return vocabulary_size - np.searchsorted(EDGES, clipped, side="right")


@right("tokenize_actions")
def counting_edges(actions, vocabulary_size=32000):
    """Counts the edges at or below by comparing with all; -1 needs no clipping above."""
    at_or_below = (np.asarray(actions, dtype=np.float64)[..., None] >= EDGES).sum(-1)
    return vocabulary_size - np.maximum(at_or_below, 1)


@right("tokenize_actions")
def with_bisect(actions, vocabulary_size=32000):
    """Python's bisect, number by number, in int32."""
    edges, actions = EDGES.tolist(), np.asarray(actions)
    ids = [vocabulary_size - max(1, bisect.bisect_right(edges, float(a))) for a in actions.ravel()]
    return np.array(ids, dtype=np.int32).reshape(actions.shape)


@right("tokenize_actions")
def with_bucketize(actions, vocabulary_size=32000):
    """torch.bucketize, and back to NumPy."""
    numbers = torch.tensor(np.asarray(actions, dtype=np.float64)).clamp(-1, 1)
    return (vocabulary_size - torch.bucketize(numbers, torch.tensor(EDGES), right=True)).numpy()


# --- 02.2, other answers


@wrong("detokenize_actions", fits=r"one|[-−] ?1|first bin|number 0|shift|next bin|neighbour")
def one_bin_too_high(token_ids, vocabulary_size=32000):
    """Forgets that the first bin lies after one edge."""
    return CENTRES[np.clip(vocabulary_size - token_ids, 0, 254)]


@wrong("detokenize_actions", fits=r"clip|255|256|nearest|end|lowest|bounds")
def without_clip(token_ids, vocabulary_size=32000):
    """Does not clip: the lowest id asks for bin 255, which does not exist."""
    return CENTRES[vocabulary_size - token_ids - 1]


@wrong("detokenize_actions", fits=r"clip|nearest|end|wrap|lowest|254|255|other end")
def wraps_around_in_another_way(token_ids, vocabulary_size=32000):
    """A remainder instead of a clip: the lowest id becomes the lowest number."""
    return CENTRES[(vocabulary_size - token_ids - 1) % 255]


@wrong("detokenize_actions", fits=r"centre|center|middle|edge|half")
def the_edge_below(token_ids, vocabulary_size=32000):
    """Returns the edge at or below instead of the centre."""
    return EDGES[np.clip(vocabulary_size - token_ids - 1, 0, 255)]


@wrong("detokenize_actions", fits=r"vocabulary_size|32000|size|nano|argument")
def llamas_vocabulary_only(token_ids, vocabulary_size=32000):
    """Ignores vocabulary_size."""
    return CENTRES[np.clip(31999 - token_ids, 0, 254)]


@wrong("detokenize_actions", fits=r"clip|negative|other end|nearest|both|below 0|no action token|end")
def clips_only_one_end(token_ids, vocabulary_size=32000):
    """Only clips above; an id behind the vocabulary counts from the back and becomes the highest number."""
    return CENTRES[np.minimum(vocabulary_size - token_ids - 1, 254)]


@wrong("detokenize_actions", fits=r"in place|copy|input|argument|changed?|given array|own array")
def overwrites_the_ids(token_ids, vocabulary_size=32000):
    """Computes the bins in the caller's array."""
    np.subtract(vocabulary_size - 1, token_ids, out=token_ids)
    return CENTRES[np.clip(token_ids, 0, 254)]


@wrong("detokenize_actions", fits=r"sign|down|direction|order|last id|reverse|backwards|mirror")
def counts_up_from_the_first(token_ids, vocabulary_size=32000):
    """Takes the lowest id for -1: all numbers have the opposite order."""
    return CENTRES[np.clip(token_ids - (vocabulary_size - 255), 0, 254)]


@wrong("detokenize_actions", fits=r"nearest|end|no action token|outside|ValueError|raise|clip|stop")
def refuses_other_ids_in_another_way(token_ids, vocabulary_size=32000):
    """Raises an error for ids that are no action tokens instead of taking the nearest end."""
    bins = vocabulary_size - np.asarray(token_ids) - 1
    if (bins < 0).any() or (bins > 255).any():
        raise ValueError("no action token")
    return CENTRES[np.minimum(bins, 254)]


@wrong("detokenize_actions", fits=r"nearest|end|no action token|outside|zero|clip")
def other_ids_mean_nothing(token_ids, vocabulary_size=32000):
    """Ids that are no action tokens become 0."""
    bins = vocabulary_size - np.asarray(token_ids) - 1
    return np.where((bins >= 0) & (bins <= 255), CENTRES[np.clip(bins, 0, 254)], 0.0)


@wrong("detokenize_actions", fits=r"clip|lowest|254|255|nearest|end|256")
def a_line_without_end(token_ids, vocabulary_size=32000):
    """The straight line through the centres, without the two ends: the lowest id becomes more than 1."""
    return (2 * (vocabulary_size - np.asarray(token_ids) - 1) + 1) / 255 - 1


@wrong("detokenize_actions", fits=r"255|256|centre|center|middle|bin")
def centres_of_256_bins(token_ids, vocabulary_size=32000):
    """256 bins of width 2/256 and their centres."""
    bins = np.clip(vocabulary_size - np.asarray(token_ids) - 1, 0, 255)
    return (bins + 0.5) / 128 - 1


@wrong("detokenize_actions", fits=r"list|array|kind|type|ndarray")
def numbers_as_a_list(token_ids, vocabulary_size=32000):
    """A list instead of an array."""
    return CENTRES[np.clip(vocabulary_size - np.asarray(token_ids) - 1, 0, 254)].tolist()


@right("detokenize_actions")
def with_take(token_ids, vocabulary_size=32000):
    """np.take with mode="clip"."""
    return np.take(CENTRES, vocabulary_size - 1 - np.asarray(token_ids, dtype=np.int64), mode="clip")


@right("detokenize_actions")
def with_a_formula(token_ids, vocabulary_size=32000):
    """The centres as a formula: (2 bin - 254) / 255."""
    bins = np.clip(vocabulary_size - 1 - np.asarray(token_ids, dtype=np.int64), 0, 254)
    return (2 * bins - 254) / 255


@right("detokenize_actions")
def with_the_ids_clipped(token_ids, vocabulary_size=32000):
    """Clips the ids, then looks into a table that runs as they do."""
    lowest = vocabulary_size - 255
    ids = np.minimum(np.maximum(token_ids, lowest), vocabulary_size - 1)
    return CENTRES[::-1].copy()[ids - lowest]


@right("detokenize_actions")
def id_by_id(token_ids, vocabulary_size=32000):
    """A loop over all ids."""
    token_ids = np.asarray(token_ids)
    numbers = np.empty(token_ids.shape)
    for place in np.ndindex(token_ids.shape):
        bin_ = vocabulary_size - int(token_ids[place]) - 1
        numbers[place] = CENTRES[max(0, min(bin_, 254))]
    return numbers


# --- 02.3, other answers


@wrong("unnormalize_actions", fits=r"in place|copy|input|argument|changed?|given array|own array")
def writes_into_the_actions(actions, q01, q99, mask):
    """Writes the result into the caller's array."""
    actions[..., mask] = (0.5 * (actions + 1) * (q99 - q01) + q01)[..., mask]
    return actions


@wrong("unnormalize_actions", fits=r"\+ ?1|\[0, 1\]|[-−]1 becomes|half|0\.5|q01|0 to 1")
def takes_the_actions_for_zero_to_one(actions, q01, q99, mask):
    """Treats the actions as if they ran from 0 to 1."""
    return np.where(mask, actions * (q99 - q01) + q01, actions)


@wrong("unnormalize_actions", fits=r"other way|normali|inverse|back|direction|units|q01")
def normalizes_instead(actions, q01, q99, mask):
    """The way there instead of the way back."""
    return np.where(mask, 2 * (actions - q01) / (q99 - q01 + 1e-8) - 1, actions)


@wrong("unnormalize_actions", fits=r"mask|last|gripper")
def only_the_last_stays(actions, q01, q99, mask):
    """Takes the last dimension for the gripper, whatever the mask says."""
    scaled = 0.5 * (actions + 1) * (q99 - q01) + q01
    scaled[..., -1] = actions[..., -1]
    return scaled


@wrong("unnormalize_actions", fits=r"batch|ax[ei]s|shape|rows?|\.\.\.|boolean index|dimension")
def one_action_only_in_another_way(actions, q01, q99, mask):
    """actions[mask] works for one action, not for a batch."""
    out = np.array(actions, dtype=float)
    out[mask] = 0.5 * (actions[mask] + 1) * (q99[mask] - q01[mask]) + q01[mask]
    return out


@wrong("unnormalize_actions", fits=r"shape|dimension|mask|stay|gripper|numbers")
def leaves_dimensions_out(actions, q01, q99, mask):
    """Returns only the dimensions in the mask."""
    return (0.5 * (actions + 1) * (q99 - q01) + q01)[..., mask]


@wrong("unnormalize_actions", fits=r"q01|plus|offset|symmetric|middle|[-−]1 becomes|starts?")
def symmetric_range(actions, q01, q99, mask):
    """Forgets the middle: scales by half the range only, right where q01 = -q99."""
    return np.where(mask, actions * (q99 - q01) / 2, actions)


@wrong("unnormalize_actions", fits=r"mask|each dimension|dimension by dimension|every dimension|stay|gripper")
def all_or_nothing(actions, q01, q99, mask):
    """Scales all dimensions or none, depending on mask.any()."""
    return 0.5 * (actions + 1) * (q99 - q01) + q01 if mask.any() else actions.copy()


@right("unnormalize_actions")
def middle_and_half_range(actions, q01, q99, mask):
    """Middle plus action times half the range."""
    return np.where(mask, (q01 + q99) / 2 + actions * (q99 - q01) / 2, actions)


@right("unnormalize_actions")
def weighted_ends(actions, q01, q99, mask):
    """A weighted mean of both quantiles, written into a copy."""
    out = np.array(actions, dtype=np.float64)
    weight = (out[..., mask] + 1) / 2
    out[..., mask] = (1 - weight) * q01[mask] + weight * q99[mask]
    return out


@right("unnormalize_actions")
def dimension_by_dimension_in_another_way(actions, q01, q99, mask):
    """A loop over the dimensions."""
    columns = []
    for d, scaled in enumerate(mask):
        column = np.asarray(actions[..., d], dtype=float)
        columns.append(q01[d] + (column + 1) * 0.5 * (q99[d] - q01[d]) if scaled else column)
    return np.stack(columns, axis=-1)


@right("unnormalize_actions")
def slope_and_offset(actions, q01, q99, mask):
    """One line per dimension; outside the mask it has slope 1 and offset 0."""
    slope = np.where(mask, (q99 - q01) / 2, 1.0)
    offset = np.where(mask, (q99 + q01) / 2, 0.0)
    return actions * slope + offset


# --- 02.4, other answers


@wrong("insert_patches", fits=r"start|first|before|order|position")
def patches_before_the_start(token_embeddings, patch_embeddings, attention_mask):
    """Puts the image before the start token."""
    seen = attention_mask.new_ones(patch_embeddings.shape[:2])
    return torch.cat([patch_embeddings, token_embeddings], dim=1), torch.cat([seen, attention_mask], dim=1)


@wrong("insert_patches", fits=r"after|behind|end|start|order|position|between")
def patches_at_the_end(token_embeddings, patch_embeddings, attention_mask):
    """Puts the image behind the text."""
    seen = attention_mask.new_ones(patch_embeddings.shape[:2])
    return torch.cat([token_embeddings, patch_embeddings], dim=1), torch.cat([attention_mask, seen], dim=1)


@wrong("insert_patches", fits=r"mask|same place|padding|position")
def ones_at_the_end_of_the_mask(token_embeddings, patch_embeddings, attention_mask):
    """The embeddings are right, but the mask's ones are put at its end: padding lands on the wrong places."""
    embeddings = torch.cat([token_embeddings[:, :1], patch_embeddings, token_embeddings[:, 1:]], dim=1)
    seen = attention_mask.new_ones(patch_embeddings.shape[:2])
    return embeddings, torch.cat([attention_mask, seen], dim=1)


@wrong("insert_patches", fits=r"real|ones|\b1\b|zeros?|patch")
def patches_are_masked_out(token_embeddings, patch_embeddings, attention_mask):
    """The patches get zeros in the mask."""
    embeddings = torch.cat([token_embeddings[:, :1], patch_embeddings, token_embeddings[:, 1:]], dim=1)
    seen = attention_mask.new_zeros(patch_embeddings.shape[:2])
    return embeddings, torch.cat([attention_mask[:, :1], seen, attention_mask[:, 1:]], dim=1)


@wrong("insert_patches", fits=r"dtype|int|kind|float|new_ones|type")
def a_mask_of_floats(token_embeddings, patch_embeddings, attention_mask):
    """torch.ones makes floats, and the whole mask becomes one of floats."""
    embeddings = torch.cat([token_embeddings[:, :1], patch_embeddings, token_embeddings[:, 1:]], dim=1)
    seen = torch.ones(patch_embeddings.shape[:2])
    return embeddings, torch.cat([attention_mask[:, :1], seen, attention_mask[:, 1:]], dim=1)


@wrong("insert_patches", fits=r"padding|mask|\b0\b|real")
def forgets_the_padding(token_embeddings, patch_embeddings, attention_mask):
    """The mask is 1 everywhere; the padding of the text is lost."""
    embeddings = torch.cat([token_embeddings[:, :1], patch_embeddings, token_embeddings[:, 1:]], dim=1)
    return embeddings, torch.ones(embeddings.shape[:2], dtype=attention_mask.dtype)


@wrong("insert_patches", fits=r"batch|\bB\b|size|rows?|each")
def a_batch_of_one_only(token_embeddings, patch_embeddings, attention_mask):
    """The mask of the patches has one row: stops for larger batches."""
    embeddings = torch.cat([token_embeddings[:, :1], patch_embeddings, token_embeddings[:, 1:]], dim=1)
    seen = attention_mask.new_ones(1, patch_embeddings.shape[1])
    return embeddings, torch.cat([attention_mask[:, :1], seen, attention_mask[:, 1:]], dim=1)


@wrong("insert_patches", fits=r"gradient|detach|train|no_grad|learn")
def patches_cannot_learn(token_embeddings, patch_embeddings, attention_mask):
    """Detaches the patches: no gradient reaches the projector."""
    embeddings = torch.cat(
        [token_embeddings[:, :1], patch_embeddings.detach(), token_embeddings[:, 1:]], dim=1
    )
    seen = attention_mask.new_ones(patch_embeddings.shape[:2])
    return embeddings, torch.cat([attention_mask[:, :1], seen, attention_mask[:, 1:]], dim=1)


@wrong("insert_patches", fits=r"gradient|detach|train|no_grad|learn")
@torch.no_grad()
def nothing_can_learn(token_embeddings, patch_embeddings, attention_mask):
    """All under no_grad: nothing can be trained through it."""
    embeddings = torch.cat([token_embeddings[:, :1], patch_embeddings, token_embeddings[:, 1:]], dim=1)
    seen = attention_mask.new_ones(patch_embeddings.shape[:2])
    return embeddings, torch.cat([attention_mask[:, :1], seen, attention_mask[:, 1:]], dim=1)


@wrong("insert_patches", fits=r"dtype|bfloat16|float32|kind|type|precision")
def always_float32_in_another_way(token_embeddings, patch_embeddings, attention_mask):
    """Fills a new float32 tensor, whatever kind the embeddings have."""
    batch, length, width = token_embeddings.shape
    count = patch_embeddings.shape[1]
    embeddings = torch.zeros(batch, length + count, width)
    embeddings[:, :1] = token_embeddings[:, :1]
    embeddings[:, 1 : 1 + count] = patch_embeddings
    embeddings[:, 1 + count :] = token_embeddings[:, 1:]
    mask = attention_mask.new_ones(batch, length + count)
    mask[:, :1], mask[:, 1 + count :] = attention_mask[:, :1], attention_mask[:, 1:]
    return embeddings, mask


@wrong("insert_patches", fits=r"twice|start|length|once|one (more|too)|L\+P|again")
def the_start_token_twice(token_embeddings, patch_embeddings, attention_mask):
    """The start token stands before the image and again after it."""
    embeddings = torch.cat([token_embeddings[:, :1], patch_embeddings, token_embeddings], dim=1)
    seen = attention_mask.new_ones(patch_embeddings.shape[:2])
    return embeddings, torch.cat([attention_mask[:, :1], seen, attention_mask], dim=1)


@wrong("insert_patches", fits=r"start|position 1|first|after|one token|second|cut")
def one_word_too_late(token_embeddings, patch_embeddings, attention_mask):
    """Cuts after position 2: the first word stands before the image."""
    embeddings = torch.cat([token_embeddings[:, :2], patch_embeddings, token_embeddings[:, 2:]], dim=1)
    seen = attention_mask.new_ones(patch_embeddings.shape[:2])
    return embeddings, torch.cat([attention_mask[:, :2], seen, attention_mask[:, 2:]], dim=1)


@wrong("insert_patches", fits=r"first|order|swap|embeddings|two|float|int|kind|mask")
def mask_first(token_embeddings, patch_embeddings, attention_mask):
    """Returns the mask first and the sequence second."""
    embeddings = torch.cat([token_embeddings[:, :1], patch_embeddings, token_embeddings[:, 1:]], dim=1)
    seen = attention_mask.new_ones(patch_embeddings.shape[:2])
    return torch.cat([attention_mask[:, :1], seen, attention_mask[:, 1:]], dim=1), embeddings


@wrong("insert_patches", fits=r"dtype|int|bool|kind|type")
def a_mask_of_truth_values(token_embeddings, patch_embeddings, attention_mask):
    """The mask comes back as True and False."""
    embeddings = torch.cat([token_embeddings[:, :1], patch_embeddings, token_embeddings[:, 1:]], dim=1)
    seen = torch.ones(patch_embeddings.shape[:2], dtype=torch.bool)
    mask = attention_mask.bool()
    return embeddings, torch.cat([mask[:, :1], seen, mask[:, 1:]], dim=1)


@right("insert_patches")
def by_filling(token_embeddings, patch_embeddings, attention_mask):
    """Fills new tensors of the right kind, piece by piece."""
    batch, length, width = token_embeddings.shape
    count = patch_embeddings.shape[1]
    embeddings = token_embeddings.new_zeros(batch, length + count, width)
    embeddings[:, 0] = token_embeddings[:, 0]
    embeddings[:, 1 : 1 + count] = patch_embeddings
    embeddings[:, 1 + count :] = token_embeddings[:, 1:]
    mask = attention_mask.new_ones(batch, length + count)
    mask[:, 0], mask[:, 1 + count :] = attention_mask[:, 0], attention_mask[:, 1:]
    return embeddings, mask


@right("insert_patches")
def by_choosing_places(token_embeddings, patch_embeddings, attention_mask):
    """Puts all in a row and then sorts the places."""
    length, count = token_embeddings.shape[1], patch_embeddings.shape[1]
    places = [0, *range(length, length + count), *range(1, length)]
    everything = torch.cat((token_embeddings, patch_embeddings.to(token_embeddings.dtype)), 1)
    real = torch.cat(
        (attention_mask, torch.ones_like(patch_embeddings[..., 0], dtype=attention_mask.dtype)), 1
    )
    return everything[:, places], real[:, places]


@right("insert_patches")
def row_by_row_in_another_way(token_embeddings, patch_embeddings, attention_mask):
    """One row of the batch after the other, and the mask by padding."""
    rows = [
        torch.vstack([words[:1], image.to(words), words[1:]])
        for words, image in zip(token_embeddings, patch_embeddings, strict=True)
    ]
    count = patch_embeddings.shape[1]
    rest = torch.nn.functional.pad(attention_mask[:, 1:], (count, 0), value=1)
    return torch.stack(rows), torch.hstack([attention_mask[:, :1], rest])


# --- 02.5, other answers


@wrong("next_action_token", fits=r"padd|columns|words|more columns|64|head")
def the_last_256_columns(logits, vocabulary_size=32000):
    """Takes the last 256 columns, which in a padded head are not the last 256 words."""
    return vocabulary_size - 256 + logits[..., -256:].argmax(-1)


@wrong("next_action_token", fits=r"offset|plus|begins?|first|counted|place|id")
def place_in_the_slice_in_another_way(logits, vocabulary_size=32000):
    """Returns the place in the slice, 0 to 255, instead of the id."""
    return logits[..., vocabulary_size - 256 : vocabulary_size].argmax(-1)


@wrong("next_action_token", fits=r"256|255|lowest|31744|first")
def two_hundred_fifty_five_tokens(logits, vocabulary_size=32000):
    """Only 255 action tokens: the lowest id can never be chosen."""
    first = vocabulary_size - 255
    return first + logits[..., first:vocabulary_size].argmax(-1)


@wrong("next_action_token", fits=r"padd|columns|more|up to|vocabulary_size|behind|beyond|no word")
def up_to_the_end_of_the_head(logits, vocabulary_size=32000):
    """The slice goes on into the padding columns."""
    first = vocabulary_size - 256
    return first + logits[..., first:].argmax(-1)


@wrong("next_action_token", fits=r"dim|last ax|[-−]1|flat|batch|row|shape")
def one_for_the_whole_batch(logits, vocabulary_size=32000):
    """argmax without an axis: one number for the flattened batch."""
    first = vocabulary_size - 256
    return first + logits[..., first:vocabulary_size].argmax()


@wrong("next_action_token", fits=r"shape|ax[ei]s|keepdim|dimension|batch")
def keeps_the_last_axis(logits, vocabulary_size=32000):
    """The last axis stays, with length 1."""
    first = vocabulary_size - 256
    return first + logits[..., first:vocabulary_size].argmax(-1, keepdim=True)


@wrong("next_action_token", fits=r"in place|copy|clone|input|argument|changed?|given|own")
def overwrites_the_logits(logits, vocabulary_size=32000):
    """Writes -inf into the caller's logits."""
    logits[..., : vocabulary_size - 256] = -torch.inf
    logits[..., vocabulary_size:] = -torch.inf
    return logits.argmax(-1)


@wrong("next_action_token", fits=r"inf|zero|\b0\b|negative|below|mask|action tokens")
def zeros_elsewhere_in_another_way(logits, vocabulary_size=32000):
    """Multiplies the rest with 0: zero still wins where all action tokens have negative scores."""
    allowed = torch.zeros_like(logits)
    allowed[..., vocabulary_size - 256 : vocabulary_size] = 1
    return (logits * allowed).argmax(-1)


@wrong("next_action_token", fits=r"most likely|sampl|random|largest|argmax|best")
def drawn_at_random(logits, vocabulary_size=32000):
    """Draws from the distribution instead of taking the most likely."""
    first = vocabulary_size - 256
    chances = logits[..., first:vocabulary_size].float().softmax(-1)
    return first + torch.multinomial(chances.reshape(-1, 256), 1).reshape(logits.shape[:-1])


@wrong("next_action_token", fits=r"action tokens|clamp|clip|only|among|best|rest of|slice|columns|256")
def pushed_into_the_range(logits, vocabulary_size=32000):
    """Takes the best of all words and pushes its id into the action tokens."""
    return logits.argmax(-1).clamp(vocabulary_size - 256, vocabulary_size - 1)


@wrong("next_action_token", fits=r"dim|ax[ei]s|last|[-−]1|batch|shape")
def along_the_second_axis(logits, vocabulary_size=32000):
    """dim=1: right for (B, vocabulary) only."""
    first = vocabulary_size - 256
    return first + logits[..., first:vocabulary_size].argmax(dim=1)


@wrong("next_action_token", fits=r"bfloat16|numpy|grad|dtype|tensor|torch")
def by_way_of_numpy(logits, vocabulary_size=32000):
    """NumPy knows no bfloat16 and no gradients: stops for logits as the model gives them."""
    first = vocabulary_size - 256
    return torch.as_tensor(first + np.argmax(logits.numpy()[..., first:vocabulary_size], axis=-1))


@wrong("next_action_token", fits=r"batch|tensor|item|int|scalar|kind|elements")
def a_python_number_in_another_way(logits, vocabulary_size=32000):
    """.item() for one row; stops for a batch."""
    first = vocabulary_size - 256
    return first + logits[..., first:vocabulary_size].argmax(-1).item()


@right("next_action_token")
def masked_with_inf(logits, vocabulary_size=32000):
    """All other columns of a copy become -inf."""
    columns = torch.arange(logits.shape[-1], device=logits.device)
    other = (columns < vocabulary_size - 256) | (columns >= vocabulary_size)
    return logits.masked_fill(other, -torch.inf).argmax(dim=-1)


@right("next_action_token")
def with_max(logits, vocabulary_size=32000):
    """The indices of max, in a narrowed view."""
    first = vocabulary_size - 256
    return logits.narrow(-1, first, 256).max(dim=-1).indices.add(first)


@right("next_action_token")
def with_topk(logits, vocabulary_size=32000):
    """topk of the slice, then the id out of a table."""
    ids = torch.arange(vocabulary_size - 256, vocabulary_size, device=logits.device)
    best = logits[..., vocabulary_size - 256 : vocabulary_size].topk(1, dim=-1).indices
    return ids[best].squeeze(-1)


@right("next_action_token")
def row_after_row_in_another_way(logits, vocabulary_size=32000):
    """A loop over the rows of the flattened batch."""
    first = vocabulary_size - 256
    rows = logits.reshape(-1, logits.shape[-1])
    found = [first + int(torch.argmax(row[first:vocabulary_size].double())) for row in rows]
    return torch.tensor(found, dtype=torch.int64).reshape(logits.shape[:-1])


# --- written from the notebook alone, a second time


@wrong("tokenize_actions", fits=r"at or below|nearest|round|half a bin|which edge|closest")
def rounds_to_the_nearest_edge_once_more(actions, vocabulary_size=32000):
    """Takes the edge nearest to the number instead of the one at or below it."""
    steps = np.rint((np.clip(actions, -1.0, 1.0) + 1.0) / 2.0 * (BINS - 1)).astype(int)
    return vocabulary_size - 1 - steps


@wrong(
    "tokenize_actions",
    fits=r"on an edge|exactly|at or below|right=|boundar|an edge itself|one off|off by one",
)
def digitize_closed_on_the_right(actions, vocabulary_size=32000):
    """A number exactly on an edge counts as below it (`right=True`), with -1 patched back to the last id."""
    bins = np.digitize(np.clip(actions, -1, 1), EDGES, right=True)
    return vocabulary_size - np.maximum(bins, 1)


@wrong(
    "tokenize_actions",
    fits=r"\b1 (itself|has|is|gets|becomes|must|lies|counts)|exactly 1|\+1\b|256 ids|256 tokens|top|upper end|largest number|last edge|lowest id|edge at 1|256th|id of its own",
)
def one_joins_the_last_bin(actions, vocabulary_size=32000):
    """The number 1 gets the id of the last bin (255 ids) instead of the 256th one."""
    bins = np.clip(np.digitize(np.clip(actions, -1, 1), EDGES), 1, BINS - 1)
    return vocabulary_size - bins


@wrong("tokenize_actions", fits=r"in place|input|argument|changed|copy|overwrit|modif|your own|caller")
def clips_the_callers_array(actions, vocabulary_size=32000):
    """Clips the caller's own array in place (`out=actions`)."""
    np.clip(actions, -1.0, 1.0, out=actions)
    return vocabulary_size - np.digitize(actions, EDGES)


@right("tokenize_actions")
def counts_edges_by_comparison(actions, vocabulary_size=32000):
    """Counts the edges at or below each number with a comparison on a new axis."""
    numbers = np.asarray(actions, dtype=np.float64)
    count = (numbers[..., None] >= EDGES).sum(-1)
    return vocabulary_size - np.maximum(count, 1)


@wrong("detokenize_actions", fits=r"centre|center|middle|edge|half a bin")
def gives_the_edge(token_ids, vocabulary_size=32000):
    """Returns the edge that the token names, not the middle of the bin above it."""
    return EDGES[np.clip(vocabulary_size - np.asarray(token_ids) - 1, 0, BINS - 1)]


@wrong(
    "detokenize_actions",
    fits=r"no action token|other id|below|beyond|outside|nearest end|too (low|small|large|high)|above|clip|wrap|negative",
)
def only_the_upper_end_is_cut(token_ids, vocabulary_size=32000):
    """Only the upper end of the bins is cut; an id at or beyond the vocabulary's size becomes a negative index and wraps round."""
    bins = vocabulary_size - np.asarray(token_ids) - 1
    return CENTRES[np.minimum(bins, len(CENTRES) - 1)]


@wrong(
    "detokenize_actions",
    fits=r"lowest id|256|255|two|same|last bin|highest|above the last|extrapol|254/255|31744|beyond",
)
def a_straight_line_for_all_256(token_ids, vocabulary_size=32000):
    """A formula that gives the 256th token a centre of its own, 256/255, cut to 1."""
    bins = np.clip(vocabulary_size - np.asarray(token_ids) - 1, 0, BINS - 1)
    return np.minimum(-1.0 + (2 * bins + 1) / (BINS - 1), 1.0)


@wrong("detokenize_actions", fits=r"vocabulary_size|vocabulary|32000|1024|nano|31744|ignore")
def clips_ids_to_llamas(token_ids, vocabulary_size=32000):
    """Cuts the ids to Llama's action tokens, 31744 to 31999, whatever the vocabulary."""
    ids = np.clip(token_ids, 32000 - BINS, 31999)
    return CENTRES[np.clip(vocabulary_size - ids - 1, 0, len(CENTRES) - 1)]


@right("detokenize_actions")
def computes_the_centre(token_ids, vocabulary_size=32000):
    """The centre from its formula; np.take with clip looks up nothing."""
    ids = np.asarray(token_ids).astype(np.int64)
    bins = np.minimum(np.maximum(vocabulary_size - 1 - ids, 0), 254)
    return (2.0 * bins - 254.0) / 255.0


@wrong(
    "unnormalize_actions",
    fits=r"\[-1, 1\]|0 to 1|\[0, 1\]|share|half|middle|0\.5|\+ 1|offset|[-−]1 (stands|becomes|must|is)|both ends",
)
def forgets_the_shift(actions, q01, q99, mask):
    """Scales by half the range around 0 and forgets that the middle is (q01 + q99) / 2."""
    return np.where(mask, 0.5 * actions * (q99 - q01), actions)


@wrong("unnormalize_actions", fits=r"mask|gripper|axis|last|dimension|position")
def only_the_last_one_is_a_gripper(actions, q01, q99, mask):
    """Normalises all but the last dimension, whatever the mask says."""
    numbers = 0.5 * (actions + 1) * (q99 - q01) + q01
    numbers[..., -1] = actions[..., -1]
    return numbers


@wrong(
    "unnormalize_actions", fits=r"batch|axes|axis|rows|single|one action|1-D|shape|index|dimension|last axis"
)
def mask_on_the_first_axis(actions, q01, q99, mask):
    """Indexes rows with the mask: right for one action only, stops with a batch."""
    numbers = np.array(actions, dtype=float)
    numbers[mask] = 0.5 * (numbers[mask] + 1) * (q99[mask] - q01[mask]) + q01[mask]
    return numbers


@wrong(
    "unnormalize_actions",
    fits=r"outside the mask|mask|stay|gripper|clip|as (they|it) (are|is)|beyond|outside \[|cut",
)
def clips_everything_first(actions, q01, q99, mask):
    """Cuts all actions to [-1, 1] first, so unmasked ones outside that range do not stay as they are."""
    actions = np.clip(actions, -1.0, 1.0)
    return np.where(mask, 0.5 * (actions + 1) * (q99 - q01) + q01, actions)


@right("unnormalize_actions")
def weighted_mean_of_the_ends(actions, q01, q99, mask):
    """A weighted mean of both ends, written through an index on the last axis of a copy."""
    numbers = np.array(actions, dtype=np.float64)
    part = (numbers[..., mask] + 1.0) / 2.0
    numbers[..., mask] = (1.0 - part) * q01[mask] + part * q99[mask]
    return numbers


@wrong("insert_patches", fits=r"start|first|before|order|position|between|after")
def patches_before_the_start_once_more(token_embeddings, patch_embeddings, attention_mask):
    """Puts the patches in front of the start token."""
    patches = patch_embeddings.to(token_embeddings.dtype)
    ones = torch.ones(patches.shape[:2], dtype=attention_mask.dtype)
    return torch.cat([patches, token_embeddings], 1), torch.cat([ones, attention_mask], 1)


@wrong("insert_patches", fits=r"mask|padding|start|after position|same place|order|left")
def ones_at_the_front_of_the_mask(token_embeddings, patch_embeddings, attention_mask):
    """The mask's ones go in front instead of after the first position: the same, unless padding stands on the left."""
    patches = patch_embeddings.to(token_embeddings.dtype)
    sequence = torch.cat([token_embeddings[:, :1], patches, token_embeddings[:, 1:]], 1)
    return sequence, torch.nn.functional.pad(attention_mask, (patches.shape[1], 0), value=1)


@wrong("insert_patches", fits=r"dtype|float|int|kind|bool|type")
def mask_becomes_float(token_embeddings, patch_embeddings, attention_mask):
    """The ones have torch's default dtype, so the mask becomes float32."""
    sequence = torch.cat(
        [token_embeddings[:, :1], patch_embeddings.to(token_embeddings.dtype), token_embeddings[:, 1:]], 1
    )
    ones = torch.ones(patch_embeddings.shape[0], patch_embeddings.shape[1])
    return sequence, torch.cat([attention_mask[:, :1], ones, attention_mask[:, 1:]], 1)


@wrong("insert_patches", fits=r"patch.*real|real|mask|first (token|position)|start|padding|ones|1 where")
def patches_copy_the_start_tokens_mask(token_embeddings, patch_embeddings, attention_mask):
    """The patches' mask is the start token's, repeated: 0 in a row whose first position is padding."""
    count = patch_embeddings.shape[1]
    sequence = torch.cat(
        [token_embeddings[:, :1], patch_embeddings.to(token_embeddings.dtype), token_embeddings[:, 1:]], 1
    )
    start = attention_mask[:, :1]
    return sequence, torch.cat([start, start.expand(-1, count), attention_mask[:, 1:]], 1)


@right("insert_patches")
def fills_empty_tensors(token_embeddings, patch_embeddings, attention_mask):
    """Splits and stacks the embeddings; writes the mask into ones of the final size."""
    (b, length, _d), p = token_embeddings.shape, patch_embeddings.shape[1]
    places = torch.cat([torch.zeros(1, dtype=torch.long), torch.arange(1, length) + p])
    mask = attention_mask.new_ones((b, length + p))
    mask[:, places] = attention_mask
    head, tail = token_embeddings.split([1, length - 1], dim=1)
    return torch.hstack([head, patch_embeddings.type_as(token_embeddings), tail]), mask


@wrong("next_action_token", fits=r"padd|columns|last 256|64|vocabulary_size|head|more columns|end")
def last_256_columns(logits, vocabulary_size=32000):
    """Looks at the last 256 columns, which are not the last 256 words where the head is padded."""
    return vocabulary_size - 256 + logits[..., -256:].argmax(-1)


@wrong(
    "next_action_token",
    fits=r"likely other|not an action|action token|only|other words|all words|nearest|clip|clamp|256",
)
def best_of_all_words_pushed_into_the_range(logits, vocabulary_size=32000):
    """Takes the best of all words and pushes it into the range of the action tokens."""
    return logits.argmax(-1).clamp(vocabulary_size - 256, vocabulary_size - 1)


@wrong("next_action_token", fits=r"negative|zero|\b0\b|multipl|[-−]inf|infinity|below 0|less than")
def zeroes_the_other_words(logits, vocabulary_size=32000):
    """Multiplies the other columns by 0: they win where all action tokens have negative logits."""
    columns = torch.arange(logits.shape[-1], device=logits.device)
    keep = (columns >= vocabulary_size - 256) & (columns < vocabulary_size)
    return (logits * keep).argmax(-1)


@wrong(
    "next_action_token",
    fits=r"in place|input|argument|changed|copy|clone|overwrit|modif|logits.*(same|as they)",
)
def writes_minus_infinity_into_the_logits(logits, vocabulary_size=32000):
    """Writes -inf over the other words in the caller's own logits."""
    logits[..., : vocabulary_size - 256] = float("-inf")
    logits[..., vocabulary_size:] = float("-inf")
    return logits.argmax(-1)


@right("next_action_token")
def largest_of_a_narrowed_view(logits, vocabulary_size=32000):
    """narrow and max in place of slicing and argmax."""
    begin = vocabulary_size - 256
    best = torch.narrow(logits, -1, begin, 256).max(dim=-1).indices
    return best.add(begin)


# --- neighbours of what got through


@wrong("detokenize_actions", "0 … 254")
def no_clip(token_ids, vocabulary_size=32000):
    """The lowest id asks for a bin that is not there."""
    return CENTRES[vocabulary_size - token_ids - 1]


@wrong("insert_patches", "first position became real")
def first_position_always_real(token_embeddings, patch_embeddings, attention_mask):
    """The start token counts as real, also where the row begins with padding."""
    ones = attention_mask.new_ones(len(attention_mask), patch_embeddings.shape[1] + 1)
    sequence = torch.cat([token_embeddings[:, :1], patch_embeddings, token_embeddings[:, 1:]], 1)
    return sequence, torch.cat([ones, attention_mask[:, 1:]], 1)
