"""Image corruptions of camera observations, noise and dimming, for tests of robustness."""

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium.utils import RecordConstructorArgs
from jaxtyping import UInt8

from vla_course.envs.observations import IMAGE

Change = Callable[[UInt8[np.ndarray, "H W 3"], np.random.Generator], UInt8[np.ndarray, "H W 3"]]


class PictureChange(gymnasium.Wrapper[Any, np.ndarray, Any, np.ndarray], RecordConstructorArgs):
    """Every observation `image_<camera>` goes through `change(picture, rng)`; physics and rendering for people stay as they are.

    The generator starts anew with every seeded reset, so the same seed shows the same pictures.
    """

    def __init__(self, env: gymnasium.Env[Any, np.ndarray], change: Change) -> None:
        """`change` returns a new picture of the same shape and leaves the one it is given alone."""
        RecordConstructorArgs.__init__(self, change=change)
        gymnasium.Wrapper.__init__(self, env)
        self.change = change
        self._rng = np.random.default_rng(0)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begin an episode."""
        if seed is not None:
            self._rng = np.random.default_rng([seed, 2])
        observation, info = self.env.reset(seed=seed, options=options)
        return self._changed(observation), info

    def step(self, action: np.ndarray) -> tuple[dict[str, Any], Any, bool, bool, dict[str, Any]]:
        """One step."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        return self._changed(observation), reward, terminated, truncated, info

    def _changed(self, observation: dict[str, Any]) -> dict[str, Any]:
        return {
            key: self.change(value, self._rng) if key.startswith(IMAGE) else value
            for key, value in observation.items()
        }


def add_noise(
    picture: UInt8[np.ndarray, "H W 3"], rng: np.random.Generator, spread: float
) -> UInt8[np.ndarray, "H W 3"]:
    """Gaussian noise of this standard deviation, in the 255 steps of a colour, on every pixel of its own."""
    noisy = picture + spread * rng.standard_normal(picture.shape, dtype=np.float32)
    clipped: UInt8[np.ndarray, "H W 3"] = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    return clipped


def dim(
    picture: UInt8[np.ndarray, "H W 3"], rng: np.random.Generator, brightness: float
) -> UInt8[np.ndarray, "H W 3"]:
    """The same picture in less light."""
    darker: UInt8[np.ndarray, "H W 3"] = np.rint(brightness * picture).astype(np.uint8)
    return darker
