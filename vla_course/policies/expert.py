"""The scripted folding expert as a policy."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from vla_course.envs.end_effector import EndEffectorAction
from vla_course.envs.folding.end_effector_expert import EndEffectorExpert
from vla_course.envs.folding.expert import FoldingExpert


class ExpertPolicy:
    """The folding expert behind the contract of a policy, for the one environment it was made for.

    It speaks the environment's actions: 61 numbers, or hand steps where `env` is wrapped in `EndEffectorAction`. It uses the
    true state of the cloth and ignores observations and instructions.
    """

    def __init__(self, env: Any) -> None:
        """Raises: TypeError if there is no FoldingEnv inside `env`."""
        hands = isinstance(env, EndEffectorAction)
        self._expert = EndEffectorExpert(env) if hands else FoldingExpert(env)

    def act(self, observations: Mapping[str, Any]) -> Float[np.ndarray, "N 1 A"]:
        """The expert's action.

        Raises: ValueError for observations of several environments: an expert knows one.
        """
        count = len(observations["instruction"])
        if count != 1:
            raise ValueError(f"an expert knows its own environment only, and was asked for {count}")
        return self._expert.act()[None, None]

    def reset(self, mask: Bool[np.ndarray, " N"]) -> None:
        """Nothing to do: the expert keeps no memory between steps."""
