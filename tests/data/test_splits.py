"""No episode on both sides."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_course.data.splits import split_by_episode

LENGTHS = [1, 2, 3, 5, 8, 13, 21, 34, 55, 89]
INDEX = np.repeat(np.arange(10), LENGTHS)


def chosen(seed: int, share: float = 0.2) -> tuple[int, ...]:
    return tuple(np.unique(INDEX[split_by_episode(INDEX, share, seed)]).tolist())


def test_a_fifth_of_ten_episodes_is_two_whole_ones():
    validation = split_by_episode(INDEX, 0.2, 0)
    assert validation.shape == INDEX.shape and validation.dtype == bool
    assert len(chosen(0)) == 2
    for episode in range(10):
        assert len(set(validation[episode == INDEX].tolist())) == 1, "an episode is on one side only"


def test_the_seed_chooses_and_not_the_order():
    assert chosen(1) == chosen(1)
    drawn = {chosen(seed) for seed in range(200)}
    assert len(drawn) > 25, "45 pairs are possible"
    assert {episode for pair in drawn for episode in pair} == set(range(10))


@given(st.integers(2, 30), st.floats(0.01, 0.45), st.integers(0, 5))
def test_the_share_is_one_of_episodes_and_never_none(episodes, share, seed):
    index = np.repeat(np.arange(episodes), np.arange(1, episodes + 1))
    count = len(np.unique(index[split_by_episode(index, share, seed)]))
    assert count == max(1, round(share * episodes))


def test_interleaved_frames_and_numbers_that_do_not_begin_at_zero():
    index = np.array([7, 3, 7, 9, 3, 9, 9, 11])
    validation = split_by_episode(index, 0.5, 3)
    assert not set(index[validation].tolist()) & set(index[~validation].tolist())
    assert len(set(index[validation].tolist())) == 2


def test_no_share_is_no_validation_and_all_is_refused():
    assert not split_by_episode(INDEX, 0.0, 0).any()
    for share in (1.0, 0.97, -0.1):
        with pytest.raises(ValueError, match="leaves none to train on"):
            split_by_episode(INDEX, share, 0)
    with pytest.raises(ValueError, match="of 1 episodes"):
        split_by_episode(np.zeros(5, int), 0.2, 0)
