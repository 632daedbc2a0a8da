"""Features of frozen vision towers, computed once: they are the same in every epoch."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Int

from vla_course.openvla.model import OpenVLAForActionPrediction

AT_ONCE = 64
"""Pictures in one forward pass, always the same ones together: a resumed run gets the same numbers, bit for bit."""


@runtime_checkable
class Samples(Protocol):
    """Training samples, one for each frame."""

    def __len__(self) -> int:
        """How many frames there are."""
        ...

    def batch(
        self, indices: Int[np.ndarray, " B"], rng: np.random.Generator | None = None
    ) -> dict[str, torch.Tensor]:
        """What `model(**batch)` takes of these frames, with labels. Pictures are augmented by `rng`, or left as they are."""
        ...

    def words(self, indices: Int[np.ndarray, " B"]) -> dict[str, torch.Tensor]:
        """The same without the pictures."""
        ...


class FrozenFeatures:
    """Samples with `image_features`, computed beforehand, in place of `pixel_values`."""

    def __init__(self, samples: Samples, places: dict[int, int], features: torch.Tensor) -> None:
        self._samples, self._places, self._features = samples, places, features

    def __len__(self) -> int:
        return len(self._samples)

    def batch(
        self, indices: Int[np.ndarray, " B"], rng: np.random.Generator | None = None
    ) -> dict[str, torch.Tensor]:
        """Tokens and features of these frames, which must be among those that were computed."""
        rows = torch.tensor([self._places[int(index)] for index in indices])
        return {**self._samples.words(indices), "image_features": self._features[rows]}

    def words(self, indices: Int[np.ndarray, " B"]) -> dict[str, torch.Tensor]:
        """The words alone."""
        return self._samples.words(indices)


@torch.no_grad()
def look_once(
    model: OpenVLAForActionPrediction, samples: Samples, used: Sequence[int] | np.ndarray
) -> FrozenFeatures:
    """Compute the towers' features of every frame that will be used, in the towers' own precision."""
    frames = np.unique(np.asarray(used))
    device = next(model.vision_backbone.parameters()).device
    features: torch.Tensor | None = None
    for begin in range(0, len(frames), AT_ONCE):
        chosen = frames[begin : begin + AT_ONCE]
        pixels = samples.batch(chosen, None)["pixel_values"].to(device)
        batch = model.vision_backbone(pixels).cpu()
        if features is None:
            features = batch.new_empty(len(frames), *batch.shape[1:])
        features[begin : begin + len(chosen)] = batch
    if features is None:
        raise ValueError("there are no frames to look at")
    return FrozenFeatures(samples, {int(frame): place for place, frame in enumerate(frames)}, features)


def gigabytes(model: OpenVLAForActionPrediction, frames: int) -> float:
    """Memory that the features of so many frames take."""
    weight = next(model.vision_backbone.parameters())
    numbers = frames * model.config.num_patches * model.vision_backbone.width
    return float(numbers * weight.element_size() / 1e9)
