"""Everything a run needs to go on as if nothing had happened, in files that are whole or not there."""

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

NAME = "checkpoint.pt"


@dataclass(frozen=True)
class Checkpoint:
    """How far a run is, and what it has learned so far. Data order and dropout follow from the step and need no place here."""

    step: int
    """Optimiser steps that are done."""
    weights: dict[str, torch.Tensor]
    """Those that learn, by name."""
    optimizer: dict[str, Any]
    settings: str
    """The run's config.yaml: another run cannot go on from here."""


def save(folder: Path, checkpoint: Checkpoint) -> None:
    """Write the checkpoint beside the old one, and put it in its place when it is safely on the disk.

    Raises:
        OSError: the disk is full, for example; the old checkpoint is as it was.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor, partial = tempfile.mkstemp(dir=folder, prefix=".writing-", suffix=".pt")
    try:
        with os.fdopen(descriptor, "wb") as file:
            torch.save(vars(checkpoint), file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(partial, 0o644)
        os.replace(partial, folder / NAME)
    finally:
        Path(partial).unlink(missing_ok=True)


def load(folder: Path) -> Checkpoint | None:
    """The checkpoint in a run's folder, or None where there is none. What a killed run left half written is removed.

    Raises:
        ValueError: the file is damaged, or was written by something else.
    """
    for partial in folder.glob(".writing-*.pt"):
        partial.unlink(missing_ok=True)
    path = folder / NAME
    if not path.exists():
        return None
    try:
        return Checkpoint(**torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # a damaged zip file shows in many ways
        raise ValueError(f"{path} is damaged ({_first_line(error)}): remove it to begin again") from error


def learning_weights(model: nn.Module) -> dict[str, torch.Tensor]:
    """The parameters that learn, by name: all that a step can change."""
    return {name: weight.detach() for name, weight in model.named_parameters() if weight.requires_grad}


def restore_weights(model: nn.Module, weights: Mapping[str, torch.Tensor]) -> None:
    """Put the kept weights back where they came from.

    Raises:
        ValueError: other weights learn in this model than in the one that was kept.
    """
    learning = learning_weights(model)
    if learning.keys() != weights.keys():
        names = sorted(learning.keys() ^ weights.keys())
        raise ValueError(
            f"the checkpoint belongs to another run: {len(names)} weights differ, {names[0]} is one"
        )
    with torch.no_grad():
        for name, weight in learning.items():
            weight.copy_(weights[name])


def write_text(path: Path, text: str) -> None:
    """Write a small file beside its place, and put it there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, partial = tempfile.mkstemp(dir=path.parent, prefix=".writing-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(partial, 0o644)
        os.replace(partial, path)
    finally:
        Path(partial).unlink(missing_ok=True)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
