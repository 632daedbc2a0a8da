"""What frozen towers see is the same every time: computed once, it need not be computed in every epoch again."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Int

from vla_course.openvla.model import OpenVLAForActionPrediction

AT_ONCE = 64
"""Pictures that the towers look at together, always the same ones: a run that goes on gets the same numbers, bit for bit."""


@runtime_checkable
class Samples(Protocol):
    """What a model learns from, frame by frame."""

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
    """Samples whose pictures have been looked at: `image_features` stand in the place of `pixel_values`."""

    def __init__(self, samples: Samples, places: dict[int, int], features: torch.Tensor) -> None:
        self._samples, self._places, self._features = samples, places, features

    def __len__(self) -> int:
        return len(self._samples)

    def batch(
        self, indices: Int[np.ndarray, " B"], rng: np.random.Generator | None = None
    ) -> dict[str, torch.Tensor]:
        """Words and features of these frames, which must be among those that were looked at."""
        rows = torch.tensor([self._places[int(index)] for index in indices])
        return {**self._samples.words(indices), "image_features": self._features[rows]}

    def words(self, indices: Int[np.ndarray, " B"]) -> dict[str, torch.Tensor]:
        """The words alone."""
        return self._samples.words(indices)


@torch.no_grad()
def look_once(
    model: OpenVLAForActionPrediction, samples: Samples, used: Sequence[int] | np.ndarray
) -> FrozenFeatures:
    """Show the towers every frame that will be used, and keep what they see, in the towers' own precision."""
    frames = np.unique(np.asarray(used))
    device = next(model.vision_backbone.parameters()).device
    features: torch.Tensor | None = None
    for begin in range(0, len(frames), AT_ONCE):
        chosen = frames[begin : begin + AT_ONCE]
        pixels = samples.batch(chosen, None)["pixel_values"].to(device)
        seen = model.vision_backbone(pixels).cpu()
        if features is None:
            features = seen.new_empty(len(frames), *seen.shape[1:])
        features[begin : begin + len(chosen)] = seen
    if features is None:
        raise ValueError("there are no frames to look at")
    return FrozenFeatures(samples, {int(frame): place for place, frame in enumerate(frames)}, features)


def gigabytes(model: OpenVLAForActionPrediction, frames: int) -> float:
    """Memory that the features of so many frames take."""
    weight = next(model.vision_backbone.parameters())
    numbers = frames * model.config.num_patches * model.vision_backbone.width
    return float(numbers * weight.element_size() / 1e9)
