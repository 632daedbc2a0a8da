"""Checkpoints of a run: everything it needs to resume exactly, in one file that is whole or not there.

The file is `torch.save`'s, followed by a footer with its SHA-256: torch itself does not notice flipped bytes.
"""

import hashlib
import mmap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vla_course.files import replacing, sha256_of
from vla_course.settings import SettingsError

NAME = "checkpoint.pt"
MARK = b"\nsha256 "
FOOTER = len(MARK) + 64


@dataclass(frozen=True)
class Checkpoint:
    """How far a run is, and what it has learned so far. Data order and dropout follow from the step and need no place here."""

    step: int
    """Optimiser steps that are done."""
    weights: dict[str, torch.Tensor]
    """The parameters that train, by name."""
    optimizer: dict[str, Any]
    settings: str
    """The run's settings as YAML."""
    sources: dict[str, str] = field(default_factory=dict)
    """Hashes of the files of the data set and of the model that the run began with, by name; empty where none are known."""


def save(folder: Path, checkpoint: Checkpoint) -> None:
    """Replace the run's checkpoint in one step.

    Raises:
        OSError: the disk is full, for example; the old checkpoint is as it was.
    """
    with replacing(folder / NAME) as partial:
        torch.save(vars(checkpoint), partial)
        footer = MARK + sha256_of(partial).encode()
        with partial.open("ab") as file:
            file.write(footer)


def load(folder: Path) -> Checkpoint | None:
    """The checkpoint in a run's folder, or None where there is none. Files of before there was a footer are read without it.

    Raises:
        SettingsError: the file is damaged, or was written by something else.
    """
    path = folder / NAME
    if not path.exists():
        return None
    try:
        _check_footer(path)
        checkpoint = Checkpoint(**torch.load(path, map_location="cpu", weights_only=True))
        _check_parts(checkpoint)
    except Exception as error:  # a damaged zip file shows in many ways
        raise SettingsError(f"{path} is damaged ({_first_line(error)}): remove it to begin again") from error
    return checkpoint


def _check_footer(path: Path) -> None:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
        if whole[-FOOTER:].startswith(MARK):
            with memoryview(whole) as content, content[:-FOOTER] as saved:
                digest = hashlib.sha256(saved).hexdigest()
            if whole[-FOOTER:] != MARK + digest.encode():
                raise ValueError("its bytes are not the ones that were saved")


def _check_parts(checkpoint: Checkpoint) -> None:
    if type(checkpoint.step) is not int or checkpoint.step < 0:
        raise ValueError(f"want a step of 0 or more, got {checkpoint.step!r}")
    for name, kind in (("weights", dict), ("optimizer", dict), ("settings", str), ("sources", dict)):
        if not isinstance(getattr(checkpoint, name), kind):
            raise ValueError(f"{name} is no {kind.__name__}")


def learning_weights(model: nn.Module) -> dict[str, torch.Tensor]:
    """The parameters that learn, by name: all that a step can change."""
    return {name: weight.detach() for name, weight in model.named_parameters() if weight.requires_grad}


def restore_weights(model: nn.Module, weights: Mapping[str, torch.Tensor]) -> None:
    """Copy a checkpoint's weights into the model.

    Raises:
        SettingsError: other weights train in this model than in the one that was saved, or weights of other shapes.
    """
    learning = learning_weights(model)
    here, there = ({(name, weight.shape) for name, weight in these.items()} for these in (learning, weights))
    if here != there:
        names = sorted({name for name, _ in here ^ there})
        raise SettingsError(
            f"the checkpoint belongs to another run: {len(names)} weights differ, {names[0]} is one"
        )
    with torch.no_grad():
        for name, weight in learning.items():
            weight.copy_(weights[name])


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
