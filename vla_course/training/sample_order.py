"""Which samples a step sees: every one once an epoch, in an order that follows from a seed."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Int


@dataclass(frozen=True)
class Order:
    """All epochs, laid end to end, so that a place in the training is one number.

    Nothing is remembered from one step to the next: a run that is stopped and goes on sees what it would have seen.
    """

    samples: int
    batch_size: int
    seed: int

    def __post_init__(self) -> None:
        if self.samples < 1 or self.batch_size < 1:
            raise ValueError(
                f"want samples and a batch size above zero, got {self.samples} and {self.batch_size}"
            )

    def batch(self, number: int) -> Int[np.ndarray, " B"]:
        """The samples of one batch, the first of which is batch 0; where an epoch ends within it, the next begins."""
        places = np.arange(number * self.batch_size, (number + 1) * self.batch_size)
        epochs, within = np.divmod(places, self.samples)
        return np.concatenate(
            [
                _permutation(self.seed, int(epoch), self.samples)[within[epochs == epoch]]
                for epoch in np.unique(epochs)
            ]
        )

    def used(self, batches: int) -> Int[np.ndarray, " used"]:
        """The samples that so many batches see at all, in order."""
        if batches * self.batch_size >= self.samples:
            return np.arange(self.samples)
        return np.unique(np.concatenate([self.batch(number) for number in range(batches)]))

    def rng(self, number: int) -> np.random.Generator:
        """Random numbers for what is done to the pictures of one batch, the same whenever they are asked for."""
        return np.random.default_rng([self.seed, 1, number])


@lru_cache(maxsize=2)  # a batch touches two epochs at most
def _permutation(seed: int, epoch: int, samples: int) -> Int[np.ndarray, " N"]:
    return np.random.default_rng([seed, 0, epoch]).permutation(samples)
