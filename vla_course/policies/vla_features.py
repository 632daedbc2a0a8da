"""The features of a frozen VLA as one more observation."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space
from jaxtyping import Float

Encoder = Callable[[Mapping[str, Any]], np.ndarray]
"""From the observations of M environments to features (M, F)."""


class VLAFeatures(VectorWrapper[Any, Any, Any, Any, Any]):
    """Adds the features of a frozen encoder to the observations of a vector environment, under `key`: shape (N, F), float32.

    The encoder stays in this process and is called once a step, for all environments together, so workers never load it. Where
    environments ended and were reset within the step (SAME_STEP), their final observations go through the same call: the
    features in `infos["final_obs"]` are those of the observation that the episode really reached.

    The encoder takes the observations of any number of environments, as they come from the vector environment (arrays whose first
    axis is the environment, tuples of text), and must not be trained by what it is used for.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any], encoder: Encoder, *, key: str = "vla_features") -> None:
        """Call the encoder once, on random observations, to learn how many features it gives.

        Raises: TypeError if observations are no Dict; ValueError if `key` is taken or the features have no shape (N, F).
        """
        super().__init__(env)
        single = env.single_observation_space
        if not isinstance(single, spaces.Dict):
            raise TypeError(f"features are added to a Dict of observations, not to {single}")
        if key in single.spaces:
            raise ValueError(f"observations have a key {key!r} already: give the features another one")
        self.encoder, self.key = encoder, key
        self.num_features = 0
        self.num_features = self._encode(env.observation_space.sample(), env.num_envs).shape[1]
        features = spaces.Box(-np.inf, np.inf, (self.num_features,), np.float32)
        self.single_observation_space = spaces.Dict({**single.spaces, key: features})
        self.observation_space = batch_space(self.single_observation_space, env.num_envs)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Reset all environments and encode what they observe."""
        observations, infos = self.env.reset(seed=seed, options=options)
        return {**observations, self.key: self._encode(observations, self.num_envs)}, infos

    def step(
        self, actions: np.ndarray
    ) -> tuple[dict[str, Any], np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Step all environments, and encode in one call what they observe and what ended episodes observed last."""
        observations, rewards, terminated, truncated, infos = self.env.step(actions)
        finals = {i: final for i, final in enumerate(infos.get("final_obs", ())) if final is not None}
        features = self._encode(_with_rows(observations, list(finals.values())), self.num_envs + len(finals))
        if finals:
            final_obs = np.full(self.num_envs, None, dtype=object)
            for row, (i, final) in enumerate(finals.items()):
                final_obs[i] = {**final, self.key: features[self.num_envs + row]}
            infos = {**infos, "final_obs": final_obs}
        return {**observations, self.key: features[: self.num_envs]}, rewards, terminated, truncated, infos

    def _encode(self, observations: Mapping[str, Any], count: int) -> Float[np.ndarray, "M F"]:
        features = np.asarray(self.encoder(observations), dtype=np.float32)
        wanted = (count, self.num_features or "F")
        if features.ndim != 2 or len(features) != count or self.num_features not in (0, features.shape[1]):
            raise ValueError(
                f"the encoder must give features of shape {wanted}, one row an environment; got {features.shape}"
            )
        return features


def _with_rows(observations: Mapping[str, Any], more: list[Mapping[str, Any]]) -> dict[str, Any]:
    """The batch with the observations of single environments added at its end."""
    if not more:
        return dict(observations)

    def joined(key: str, values: Any) -> Any:
        rows = [one[key] for one in more]
        return values + tuple(rows) if isinstance(values, tuple) else np.concatenate([values, np.stack(rows)])

    return {key: joined(key, values) for key, values in observations.items()}
