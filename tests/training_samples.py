"""A few frames for a tiny model to learn from: random pictures, and answers that follow from the words."""

import numpy as np
import torch
from openvla_reference import nano

from vla_course.action_tokens import tokenize_actions

EOS = 2


class FewSamples:
    """Frames in memory, as every trainer wants them. Noise on the picture stands for augmentation."""

    def __init__(self, frames: int = 24, seed: int = 0, actions: int = 3) -> None:
        random = np.random.default_rng(seed)
        model = nano()
        self._pixels = torch.from_numpy(random.standard_normal((frames, 6, 28, 28), np.float32))
        length = 6
        ids = random.integers(4, 250, (frames, length))
        ids[:, 0], ids[:, -1] = 1, 3
        answers = tokenize_actions(ids[:, 1 : 1 + actions] / 125 - 1, model.config.vocabulary_size)
        whole = np.concatenate([ids, answers, np.full((frames, 1), EOS)], 1)
        self._ids = torch.from_numpy(whole)
        self._labels = self._ids.clone()
        self._labels[:, :length] = -100

    def __len__(self) -> int:
        return len(self._ids)

    def words(self, indices: np.ndarray) -> dict[str, torch.Tensor]:
        rows = torch.from_numpy(indices)
        ids = self._ids[rows]
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": self._labels[rows]}

    def batch(self, indices: np.ndarray, rng: np.random.Generator | None = None) -> dict[str, torch.Tensor]:
        pixels = self._pixels[torch.from_numpy(indices)]
        if rng is not None:
            pixels = pixels + 0.1 * torch.from_numpy(rng.standard_normal(pixels.shape, np.float32))
        return {**self.words(indices), "pixel_values": pixels}
