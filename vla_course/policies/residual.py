"""A policy that corrects another one."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from vla_course.policy import Policy


class ResidualPolicy:
    """What a base policy says, plus a small correction: clip(base + scale × residual, -1, 1).

    The residual policy sees the observations and, under `base_action`, the chunk (N, K, A) that it is to correct. `scale` says how
    far it may go, one number or one for each of the A numbers of an action; 0 leaves a number to the base policy alone.

    Source: Silver et al., *Residual Policy Learning*, 2018; the base action as an input as in Ankile et al., *From Imitation to
    Refinement*, 2024.
    """

    def __init__(self, base: Policy, residual: Policy, scale: float | Float[np.ndarray, " A"] = 0.1) -> None:
        """Raises: ValueError for a scale that is negative or not finite."""
        self.base, self.residual = base, residual
        self.scale = np.asarray(scale, dtype=float)
        if not (np.isfinite(self.scale).all() and (self.scale >= 0).all()):
            raise ValueError(f"scale is how far the residual may go, finite and not negative; got {scale}")

    def act(self, observations: Mapping[str, Any]) -> Float[np.ndarray, "N K A"]:
        """The corrected chunk of actions.

        Raises: ValueError if the two policies disagree about the shape of a chunk.
        """
        base = np.asarray(self.base.act(observations))
        residual = np.asarray(self.residual.act({**observations, "base_action": base}))
        if base.shape != residual.shape:
            raise ValueError(
                f"base and residual must be chunks of one shape (N, K, A): got {base.shape} and {residual.shape}"
            )
        corrected: Float[np.ndarray, "N K A"] = np.clip(base + self.scale * residual, -1.0, 1.0).astype(
            base.dtype
        )
        return corrected

    def reset(self, mask: Bool[np.ndarray, " N"]) -> None:
        """Both policies forget the past of the environments that begin a new episode."""
        self.base.reset(mask)
        self.residual.reset(mask)
