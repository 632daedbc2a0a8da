"""The loss of action tokens, and the two shares of tokens that are predicted exactly."""

import pytest
import torch

from vla_course.data.token_rows import UNLEARNED
from vla_course.fine_tuning.losses import action_token_accuracy, answer_token_accuracy


def two_sequences() -> tuple[torch.Tensor, torch.Tensor]:
    """Two and four action tokens, one and all four predicted; behind them the stop token, predicted too."""
    labels = torch.full((2, 7), -100)
    labels[0, 3:6] = torch.tensor([31744, 31900, 2])
    labels[1, 2:7] = torch.tensor([31999, 31800, 31801, 31744, 2])
    predicted = labels.where(labels >= 0, 5).roll(-1, dims=1)
    predicted[0, 3] = 31901
    return torch.nn.functional.one_hot(predicted, 32064).float(), labels


def test_accuracy_counts_tokens_not_sequences():
    logits, labels = two_sequences()
    assert action_token_accuracy(logits, labels) == pytest.approx(5 / 6)


def test_a_small_vocabulary_has_its_own_action_tokens():
    labels = torch.tensor([[1, 767, 768, 1023]])
    logits = torch.nn.functional.one_hot(torch.tensor([[767, 768, 5, 0]]), 1024).float()
    assert action_token_accuracy(logits, labels, 1024) == 0.5
    with pytest.raises(ValueError, match="no action token"):
        action_token_accuracy(logits, labels.clamp(max=700), 1024)


def test_the_training_metric_counts_the_same_tokens_of_an_action():
    logits, labels = two_sequences()
    in_place = answer_token_accuracy(logits[:, :-1], labels[:, 1:])
    assert in_place == pytest.approx(action_token_accuracy(logits, labels)) == pytest.approx(5 / 6)


def test_the_training_metric_leaves_out_the_last_waypoint():
    """Two waypoints, their remaining distances, which are not learned, three numbers of an action, and the stop."""
    labels = torch.tensor([[UNLEARNED, 31750, 31751, UNLEARNED, UNLEARNED, 31760, 31761, 31762, 2]])
    predicted = labels.where(labels >= 0, 5).roll(-1, dims=1)
    predicted[0, 1] = 5  # the last waypoint is wrong
    logits = torch.nn.functional.one_hot(predicted, 32064).float()
    assert answer_token_accuracy(logits[:, :-1], labels[:, 1:]) == 1
    assert action_token_accuracy(logits, labels) == pytest.approx(4 / 5)
