"""The folding expert in steps of the hands: what it would do in the time of one slow action, said as that one action."""

import numpy as np
from jaxtyping import Float

from vla_course.control.inverse_kinematics import InverseKinematics
from vla_course.envs.end_effector import EndEffectorAction
from vla_course.envs.folding.expert import FoldingExpert


class EndEffectorExpert:
    """Answers in the actions of an `EndEffectorAction`, at its rate, with its arms, with or without stage signal.

    The scripted expert moves sixty joints twenty times a second. This one lets it act for as long as one hand action lasts,
    takes the world back to where it was, and says the hand action that ends in the same place. Carrying that out is not the
    same as what was tried (hands then move evenly, fingers at once), and the next answer begins from where it really led to:
    so a demonstration is what was carried out, and the expert may be asked at any step of any policy.
    """

    def __init__(self, env: EndEffectorAction, ik: InverseKinematics | None = None) -> None:
        """`env` is the wrapped environment in which the actions are carried out; `ik` moves the expert's joints.

        Raises: TypeError if `env` is no EndEffectorAction around a FoldingEnv.
        """
        if not isinstance(env, EndEffectorAction):
            raise TypeError(
                f"this expert speaks hand steps: wrap the {type(env).__name__} in EndEffectorAction"
            )
        self._expert = FoldingExpert(env, ik)
        self._env, self._folding = env, self._expert.env
        self._steps = self._folding.control_hz // env.rate_hz

    def act(self, observation: object = None) -> Float[np.ndarray, " A"]:
        """The expert's action in the environment's present state. The observation is not used: the expert sees the truth."""
        env = self._folding
        snapshot = env.save()
        advance = False
        for _ in range(self._steps):
            action = self._expert.act()
            advance |= bool(action[60] > 0.5)
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                break
        wanted = env.joint_target.copy()
        env.restore(snapshot)
        return self._env.encode(wanted, advance=advance)
