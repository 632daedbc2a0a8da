"""input_ids, attention mask and labels of every frame of a data set.

A row, from left to right: the prompt (the instruction's tokens, the robot's state, the empty token); for models that predict
waypoints, each hand's place at its next grasp or release, and the remaining distances to them; the action and `</s>`; padding.
Learned are the waypoints, the action and `</s>`; the distances are computed, as part of the prompt.
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
class TokenRows:
    """The rows of N frames, and the states that their state and waypoint tokens encode."""

    ids: Int[torch.Tensor, "N L"]
    labels: Int[torch.Tensor, "N L"]
    mask: Int[torch.Tensor, "N L"]
    words: Int[torch.Tensor, " N"]
    """Tokens of the instruction that each row begins with; the state follows."""
    states: Float[torch.Tensor, "N S"]
    ahead: Float[torch.Tensor, "N S"]
    """The state when each hand next grasps or releases; as `states` for models that predict no waypoints."""

    def __len__(self) -> int:
        return len(self.ids)

    def __add__(self, others: "TokenRows") -> "TokenRows":
        """These rows, then the others, which are as long: the mirrored ones of the same frames."""
        parts = ([getattr(rows, field.name) for rows in (self, others)] for field in fields(self))
        return TokenRows(*(torch.cat(part) for part in parts))

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
        """The same batch with hands and waypoints moved along the table by `shift_m` (x, y). Distances and steps stay as they are."""
        batch, rows = self.batch(indices), torch.from_numpy(np.asarray(indices))
        waypoint_dims = list(model.config.waypoint_dims)
        moved = np.zeros((len(rows), self.states.shape[1]))
        for first in range(0, moved.shape[1] - HAND + 1, HAND):
            moved[:, first : first + 2] = shift_m
        begins = self.words[rows, None]
        here = torch.from_numpy(model.state_tokens(self.states[rows].numpy() + moved, key))
        batch["input_ids"].scatter_(1, begins + torch.arange(here.shape[1]), here)
        there = torch.from_numpy(model.state_tokens(self.ahead[rows].numpy() + moved, key)[:, waypoint_dims])
        behind_empty = begins + here.shape[1] + 1 + torch.arange(len(waypoint_dims))
        for name in ("input_ids", "labels"):
            batch[name].scatter_(1, behind_empty, there)
        return batch


def retold(
    batch: dict[str, torch.Tensor],
    words: Int[torch.Tensor, " B"],
    texts: Sequence[torch.Tensor],
    pad_id: int,
) -> dict[str, torch.Tensor]:
    """The same rows with another instruction each: `texts` (ids of any length) replace the first `words` tokens."""
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


def token_rows(
    model: OpenVLAForActionPrediction,
    dataset: LeRobotDataset,
    key: str,
    frames: Int[np.ndarray, " N"],
    tracks: Mapping[int, Track],
    labels: Labels = build_labels,
    normalize: Normalize = normalize_actions,
    changed: Callable[[Iterable[Track]], Iterable[Track]] = iter,
) -> TokenRows:
    """The rows of these frames of a data set, whose episodes are `tracks`, by their number. `changed` makes other episodes of
    them, a mirror for example.

    Raises:
        ValueError: the model does not know `key`, or is told a state of another length than the set's; or its statistics are of
            other data, so that some number of the actions would be cut off in more than half of the frames.
    """
    episodes, begins = dataset.episode_index[frames], np.cumsum([0, *dataset.lengths])
    used = np.unique(episodes).tolist()
    _refuse_other_statistics([tracks[episode] for episode in used], model, key)
    by_episode = {
        (episode, words): _episode_rows(track, words, model, key, normalize)
        for episode in used
        for track in changed([tracks[episode]])
        for words in dict.fromkeys(tracks[episode].said)
    }
    moments = zip(episodes.tolist(), (frames - begins[episodes]).tolist(), strict=True)
    places = [(by_episode[episode, tracks[episode].said[at]], at) for episode, at in moments]
    longest, pad = max(episode.rows.shape[1] for episode, _ in places), model.config.pad_token_id
    ids = torch.full((len(places), longest), pad)
    mask, learned, waypoints = (
        torch.zeros_like(ids),
        torch.empty_like(ids),
        len(model.config.waypoint_dims),
    )
    for number, (episode, at) in enumerate(places):
        length, prompt = episode.rows.shape[1], episode.prompt
        ids[number, :length], mask[number, :length] = episode.rows[at], 1
        learned[number] = labels(ids[number], prompt, pad)
        learned[number, prompt + waypoints : prompt + 2 * waypoints] = UNLEARNED  # the distances
    words = torch.tensor([episode.words for episode, _ in places])
    states, ahead = (
        torch.from_numpy(np.stack([getattr(episode, name)[at] for episode, at in places]))
        for name in ("states", "ahead")
    )
    return TokenRows(ids, learned, mask, words, states, ahead)


@dataclass(frozen=True)
class _EpisodeRows:
    """One episode's rows without padding, the lengths of instruction and prompt, and the states now and at the next grasp or release."""

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
        return  # whoever makes tokens of them refuses that
    cut = known.cut_share(actions)
    if cut.max() > MOST_CUT:
        raise ValueError(
            f"the statistics of {key!r} are of other data: number {int(cut.argmax())} of the actions lies outside their range in "
            f"{cut.max():.0%} of the frames and would be cut off; work them out of this set (`dataset_statistics`)"
        )


def _episode_rows(
    track: Track, words: str, model: OpenVLAForActionPrediction, key: str, normalize: Normalize
) -> _EpisodeRows:
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
    return _EpisodeRows(rows, len(text), prompt.shape[1], track.states, ahead)
