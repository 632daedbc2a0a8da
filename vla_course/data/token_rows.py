"""What a model is told and what it says at each frame of a data set, as one row of tokens.

A row, from left to right: the instruction's words, the robot's state and the empty token, all told; where each hand next takes hold or
lets go, said; how far that is from here, told; the action and `</s>`, said; padding. What is said is learned. The two parts about hands
are there for models that say waypoints.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Float, Int
from torch.nn.utils.rnn import pad_sequence

from vla_course.action_tokens import action_statistics, normalize_actions, tokenize_actions
from vla_course.data.lerobot import LeRobotDataset, Track
from vla_course.data.statistics import HAND
from vla_course.data.waypoints import states_ahead
from vla_course.openvla.model import OpenVLAForActionPrediction
from vla_course.openvla.processor import build_prompt, with_empty_token

MOST_CUT = 0.5
"""Share of the frames in which a number may lie outside the range of its statistics: more is no tail, but another robot."""
UNLEARNED = -100
"""The label of what is not learned, for every loss of torch and transformers."""
Labels = Callable[[torch.Tensor, int, int], torch.Tensor]
"""Makes labels of one row, its prompt's length and the id of padding, as `build_labels`."""
Normalize = Callable[..., np.ndarray]
"""As `normalize_actions`."""


def build_labels(
    input_ids: Int[torch.Tensor, " L"], prompt_length: int, pad_id: int
) -> Int[torch.Tensor, " L"]:
    """The ids to learn, and -100 everywhere else: the action tokens and the `</s>` behind them are learned.

    `input_ids` is one row: the prompt, the action, `</s>`, and padding at the end. Labels stand where their ids stand: the
    model compares each position's prediction with the next label by itself.

    Source: openvla/openvla @ c8f03f48, prismatic/vla/datasets/datasets.py (RLDSBatchTransform).
    """
    labels = input_ids.clone()
    labels[:prompt_length] = UNLEARNED
    labels[input_ids == pad_id] = UNLEARNED
    return labels


@dataclass(frozen=True)
class Sentences:
    """The rows of N frames, and the numbers behind those of their tokens that say where hands are."""

    ids: Int[torch.Tensor, "N L"]
    labels: Int[torch.Tensor, "N L"]
    mask: Int[torch.Tensor, "N L"]
    words: Int[torch.Tensor, " N"]
    """How many words each row begins with; the state follows."""
    states: Float[torch.Tensor, "N S"]
    ahead: Float[torch.Tensor, "N S"]
    """The state when each hand next takes hold or lets go; as `states` where no waypoints are said."""

    def __len__(self) -> int:
        return len(self.ids)

    def __add__(self, others: "Sentences") -> "Sentences":
        """These rows, then the others. They are as long: what differs is who moves which hand."""
        parts = ([getattr(one, field.name) for one in (self, others)] for field in fields(self))
        return Sentences(*(torch.cat(part) for part in parts))

    def batch(self, indices: Int[np.ndarray, " B"]) -> dict[str, torch.Tensor]:
        """`input_ids`, `attention_mask` and `labels` of these rows, as long as the longest of them."""
        rows = torch.from_numpy(np.asarray(indices))
        mask = self.mask[rows]
        longest = int(mask.sum(1).max())
        return {
            "input_ids": self.ids[rows, :longest],
            "attention_mask": mask[:, :longest],
            "labels": self.labels[rows, :longest],
        }

    def moved(
        self,
        indices: Int[np.ndarray, " B"],
        shift_m: Float[np.ndarray, "B 2"],
        model: OpenVLAForActionPrediction,
        key: str,
    ) -> dict[str, torch.Tensor]:
        """The same, but hands, and where they go, are so much further along the table. Ways and steps stay as they are."""
        batch, rows = self.batch(indices), torch.from_numpy(np.asarray(indices))
        said_ahead = list(model.config.waypoint_dims)
        moved = np.zeros((len(rows), self.states.shape[1]))
        for first in range(0, moved.shape[1] - HAND + 1, HAND):
            moved[:, first : first + 2] = shift_m
        begins = self.words[rows, None]
        here = torch.from_numpy(model.state_tokens(self.states[rows].numpy() + moved, key))
        batch["input_ids"].scatter_(1, begins + torch.arange(here.shape[1]), here)
        there = torch.from_numpy(model.state_tokens(self.ahead[rows].numpy() + moved, key)[:, said_ahead])
        behind_empty = begins + here.shape[1] + 1 + torch.arange(len(said_ahead))
        for name in ("input_ids", "labels"):
            batch[name].scatter_(1, behind_empty, there)
        return batch


def retold(
    batch: dict[str, torch.Tensor],
    words: Int[torch.Tensor, " B"],
    texts: Sequence[torch.Tensor],
    pad_id: int,
) -> dict[str, torch.Tensor]:
    """The same rows, but each begins with another text (ids of any length), in place of the `words` tokens that it begins with."""
    ids, labels = [], []
    for row, (text, begins, length) in enumerate(
        zip(texts, words.tolist(), batch["attention_mask"].sum(1).tolist(), strict=True)
    ):
        ids.append(torch.cat([text, batch["input_ids"][row, begins:length]]))
        labels.append(torch.cat([torch.full_like(text, UNLEARNED), batch["labels"][row, begins:length]]))
    lengths = torch.tensor([len(row) for row in ids])
    return {
        "input_ids": pad_sequence(ids, batch_first=True, padding_value=pad_id),
        "attention_mask": (torch.arange(int(lengths.max())) < lengths[:, None]).long(),
        "labels": pad_sequence(labels, batch_first=True, padding_value=UNLEARNED),
    }


def sentences(
    model: OpenVLAForActionPrediction,
    dataset: LeRobotDataset,
    key: str,
    frames: Int[np.ndarray, " N"],
    tracks: Mapping[int, Track],
    labels: Labels = build_labels,
    normalize: Normalize = normalize_actions,
    changed: Callable[[Iterable[Track]], Iterable[Track]] = iter,
) -> Sentences:
    """The rows of these frames of a data set, whose episodes are `tracks`, by their number. `changed` makes other episodes of
    them, a mirror for example.

    Raises:
        ValueError: the model does not know `key`, or is told a state of another length than the set's; or its statistics are of
            other data, so that some number of the actions would be cut off in more than half of the frames.
    """
    episodes, begins = dataset.episode_index[frames], np.cumsum([0, *dataset.lengths])
    used = np.unique(episodes).tolist()
    _refuse_other_statistics([tracks[episode] for episode in used], model, key)
    said = {
        (episode, words): _said_in(track, words, model, key, normalize)
        for episode in used
        for track in changed([tracks[episode]])
        for words in dict.fromkeys(tracks[episode].said)
    }
    numbers = zip(episodes.tolist(), (frames - begins[episodes]).tolist(), strict=True)
    places = [(said[one, tracks[one].said[at]], at) for one, at in numbers]
    longest, pad = max(one.rows.shape[1] for one, _ in places), model.config.pad_token_id
    ids = torch.full((len(places), longest), pad)
    mask, learned, told = torch.zeros_like(ids), torch.empty_like(ids), len(model.config.waypoint_dims)
    for number, (one, at) in enumerate(places):
        length = one.rows.shape[1]
        ids[number, :length], mask[number, :length] = one.rows[at], 1
        learned[number] = labels(ids[number], one.prompt, pad)
        learned[number, one.prompt + told : one.prompt + 2 * told] = UNLEARNED  # how far it is, is told
    words = torch.tensor([one.words for one, _ in places])
    states, ahead = (
        torch.from_numpy(np.stack([getattr(one, of)[at] for one, at in places])) for of in ("states", "ahead")
    )
    return Sentences(ids, learned, mask, words, states, ahead)


@dataclass(frozen=True)
class _Said:
    """One episode's rows without padding, how many tokens of them are words and how many the prompt, and states now and ahead."""

    rows: Int[torch.Tensor, "T L"]
    words: int
    prompt: int
    states: Float[np.ndarray, "T S"]
    ahead: Float[np.ndarray, "T S"]


def _refuse_other_statistics(tracks: Sequence[Track], model: OpenVLAForActionPrediction, key: str) -> None:
    """Raise where another robot's statistics would cut off most of what is demonstrated; quantiles of its own cut off 2 % of it.

    States are not judged: a few demonstrations may well show one that most others do not have.
    """
    known = action_statistics(model.config.norm_stats, key)
    actions = np.concatenate([track.actions for track in tracks]).astype(float)
    if actions.shape[1] != len(known.q01):
        return  # said by whoever makes tokens of them
    cut = known.cut_share(actions)
    if cut.max() > MOST_CUT:
        raise ValueError(
            f"the statistics of {key!r} are of other data: number {int(cut.argmax())} of the actions lies outside their range in "
            f"{cut.max():.0%} of the frames and would be cut off; work them out of this set (`dataset_statistics`)"
        )


def _said_in(
    track: Track, words: str, model: OpenVLAForActionPrediction, key: str, normalize: Normalize
) -> _Said:
    config, processor = model.config, model.processor
    assert processor is not None
    statistics, count = action_statistics(config.norm_stats, key), len(track.actions)
    text = processor.token_ids(build_prompt(words))
    prompt = text.expand(count, -1)
    if config.state_dim:
        prompt = torch.cat([prompt, torch.from_numpy(model.state_tokens(track.states, key))], dim=1)
    first, _ = with_empty_token(prompt[0], torch.ones_like(prompt[0]), config.empty_token_id)
    prompt = torch.cat([prompt, first[prompt.shape[1] :].expand(count, -1)], dim=1)
    scaled = normalize(track.actions.astype(float), statistics.q01, statistics.q99, statistics.mask)
    parts, ahead = [tokenize_actions(scaled, config.vocabulary_size)], track.states
    if config.waypoint_dims:
        ahead = states_ahead(track.states)
        places = ahead[:, list(config.waypoint_dims)].astype(float)
        parts.insert(0, model.waypoint_tokens(places, track.states, key))
    parts.append(np.full((count, 1), config.text_config.eos_token_id))
    rows = torch.cat([prompt, *map(torch.from_numpy, parts)], dim=1)
    return _Said(rows, len(text), prompt.shape[1], track.states, ahead)
