"""The settings of adapters, in a module of their own: `vla-course train --help` lists them without loading torch."""

import math
from dataclasses import dataclass

ALL_LINEAR = "all-linear"


@dataclass(frozen=True)
class LoRAConfig:
    """What is learned beside the weights. OpenVLA's own recipe is rank 32, alpha 16, no dropout, all linear layers."""

    rank: int = 32
    """Rank of a layer's change B A: A has `rank` rows, and B as many columns."""
    alpha: float = 16
    """The change is scaled by alpha / rank, so that the rank can be varied at the same learning rate."""
    dropout: float = 0.0
    """Share of the adapter's inputs that are left out in training."""
    targets: str = ALL_LINEAR
    """"all-linear", or a regular expression that matches the whole names of the layers to adapt."""

    def __post_init__(self) -> None:
        if self.rank < 1 or not 0 < self.alpha < math.inf or not 0 <= self.dropout < 1:
            raise ValueError(
                f"want rank ≥ 1, alpha > 0 and 0 ≤ dropout < 1, got {self.rank}, {self.alpha} and {self.dropout}"
            )
