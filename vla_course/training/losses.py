"""What is made small."""

from collections.abc import Mapping
from typing import Any

import torch
from torch.nn import functional

from vla_course.data.samples import UNLEARNED


def action_token_loss(model: Any, batch: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, dict[str, float]]:
    """The cross-entropy of the action's tokens and of the stop after them, and how many of the action's tokens are right.

    It equals `model(**batch).loss`, and scores only what is asked for: the head is as wide as the vocabulary, and nobody
    needs it for the prompt. `batch` is what a model takes, with `labels` that are -100 wherever nothing is to be learned.
    """
    labels = batch["labels"]
    first = int((labels != UNLEARNED).any(0).nonzero()[0])  # every answer begins here or later
    asked = {name: value for name, value in batch.items() if name != "labels"}
    output = model(**asked, use_cache=False, logits_to_keep=labels.shape[1] - first + 1)
    logits, targets = output.logits[:, :-1].float(), labels[:, first:]
    loss = functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=UNLEARNED)
    return loss, {"loss/bc": float(loss.detach()), "policy/token_accuracy": token_accuracy(logits, targets)}


@torch.no_grad()
def token_accuracy(logits: torch.Tensor, targets: torch.Tensor) -> float:
    """Share of action tokens that are the most likely word; the stop, which is always right, does not count."""
    learned = targets != UNLEARNED
    followed = functional.pad(learned[:, 1:], (0, 1))
    counted = learned & followed
    right = (logits.argmax(-1) == targets) & counted
    return float(right.sum() / counted.sum().clamp(min=1))
