"""The fine-tuning loss: cross-entropy over action tokens. And how many of them are predicted exactly."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Int
from torch.nn import functional

from vla_course.action_tokens import BINS
from vla_course.data.token_rows import UNLEARNED


def action_token_loss(
    model: Any, batch: Mapping[str, torch.Tensor], *, spread_bins: float = 0.0
) -> tuple[torch.Tensor, dict[str, float]]:
    """The cross-entropy of the action's tokens and of the stop after them, and how many of the action's tokens are right.

    It equals `model(**batch).loss`, and scores only what is asked for: the head is as wide as the vocabulary, and nobody
    needs it for the prompt. `batch` is what a model takes, with `labels` that are -100 wherever nothing is to be learned.

    With `spread_bins` above zero nearly right is nearly as good: in the place of the one right word stands a bell curve over all
    words for actions, so many bins wide (Gaussian soft labels; the histogram loss of Imani and White, 2018).
    """
    labels = batch["labels"]
    first = int((labels != UNLEARNED).any(0).nonzero()[0])  # every answer begins here or later
    asked = {name: value for name, value in batch.items() if name != "labels"}
    output = model(**asked, use_cache=False, logits_to_keep=labels.shape[1] - first + 1)
    logits, targets = output.logits[:, :-1].float(), labels[:, first:]
    if spread_bins > 0:
        words = getattr(model, "module", model).config.vocabulary_size
        loss = _bell_loss(logits, targets, range(words - BINS, words), spread_bins)
    else:
        loss = functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=UNLEARNED)
    return loss, {
        "loss/bc": float(loss.detach()),
        "policy/token_accuracy": answer_token_accuracy(logits, targets),
    }


def _bell_loss(logits: torch.Tensor, targets: torch.Tensor, words: range, spread: float) -> torch.Tensor:
    """Cross-entropy with bell curves over the `words` for actions; other words, the stop, have but one right answer."""
    log_probability = logits.log_softmax(-1)
    bells = targets.ge(words.start) & targets.lt(words.stop)
    single = targets.ne(UNLEARNED) & ~bells
    places = torch.arange(words.start, words.stop, device=targets.device)
    wanted = (-0.5 * ((places - targets[bells][:, None]) / spread) ** 2).softmax(-1)
    missed = -(wanted * log_probability[bells][:, words.start : words.stop]).sum()
    missed = missed - log_probability[single].gather(-1, targets[single][:, None]).sum()
    return missed / (bells.sum() + single.sum())


@torch.no_grad()
def answer_token_accuracy(
    logits: Float[torch.Tensor, "B L vocabulary"], targets: Int[torch.Tensor, "B L"]
) -> float:
    """The training metric `policy/token_accuracy`: the share of the answer's tokens that are predicted exactly.

    Position t of the logits is the prediction of target t. A token counts where it is learned (not -100) and the one after it is,
    too; so the stop, which is soon always right, does not.

    Differs: `action_token_accuracy` goes by the tokens' numbers, this by their places. For a model that says A numbers of an
    action and nothing else both count the same A tokens. With W waypoints ahead of it, this counts W - 1 + A: the remaining
    distances after the last waypoint are not learned. All recorded curves were counted so.
    """
    learned = targets != UNLEARNED
    followed = functional.pad(learned[:, 1:], (0, 1))
    counted = learned & followed
    right = (logits.argmax(-1) == targets) & counted
    return float(right.sum() / counted.sum().clamp(min=1))


def action_token_accuracy(
    logits: Float[torch.Tensor, "B L vocabulary"],
    labels: Int[torch.Tensor, "B L"],
    vocabulary_size: int = 32000,
) -> float:
    """The share of action tokens that are predicted exactly, over all sequences of the batch together.

    `logits` and `labels` are aligned as a language model gives and takes them: position t of the logits is its prediction of
    the token after t. Action tokens are the last 256 of the vocabulary; other labels, the stop token and -100 among them,
    do not count. (The head may have more columns than `vocabulary_size`: padding.)

    Raises:
        ValueError: there is no action token in the labels.

    Source: openvla/openvla @ c8f03f48, vla-scripts/finetune.py (action_accuracy).
    """
    predicted, wanted = logits[:, :-1].argmax(-1), labels[:, 1:]
    action = (wanted >= vocabulary_size - BINS) & (wanted < vocabulary_size)
    if not bool(action.any()):
        raise ValueError(
            f"no label from {vocabulary_size - BINS} to {vocabulary_size - 1}: there is no action token to predict"
        )
    return float((predicted == wanted)[action].double().mean())
