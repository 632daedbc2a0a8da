"""The one contract between anything that acts and anything that runs it."""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float


@runtime_checkable
class Policy(Protocol):
    """Acts for N environments at once, in NumPy, so that environments never need torch."""

    def act(self, observations: Mapping[str, Any]) -> Float[np.ndarray, "N K A"]:
        """A chunk of K actions for each of N environments, each number in [-1, 1].

        `observations` holds one array per key, its first axis the environments.
        """
        ...

    def reset(self, mask: Bool[np.ndarray, " N"]) -> None:
        """Forget the past of the environments that begin a new episode, where `mask` is True."""
        ...
