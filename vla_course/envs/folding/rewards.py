"""The reward of the folding task, as named terms.

Reaching, grasping and folding are rewarded as γΦ(s′) − Φ(s), with Φ = 0 once the task is solved. Whatever a policy does on the
way, the discounted sum of such a term is −Φ(start): it can guide learning, but neither waiting at a good place nor going up and
down can farm it (Ng, Harada and Russell 1999).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from vla_course.envs.folding.config import RewardConfig

REACH_SCALE_M = 0.15


@dataclass(frozen=True)
class Potentials:
    """Progress of reaching, grasping and folding, each from 0 to 1. Solved stages count in full, so that advancing never costs."""

    reach: float = 0.0
    grasp: float = 0.0
    fold: float = 0.0


def potentials(
    *,
    stage: int,
    num_stages: int,
    hand_distance_m: Float[np.ndarray, " hands"],
    holding: Float[np.ndarray, " hands"],
    fold_error_m: float,
    flat_error_m: float,
    fold_good: bool,
) -> Potentials:
    """Progress of reaching, grasping and folding.

    `hand_distance_m` is how far each hand of the current fold is from the vertex it should take, `holding` whether it has it,
    `flat_error_m` the fold's error before it was begun. A good fold needs no hands any more: reach and grasp count as done.
    """
    folded = 1 - min(1.0, fold_error_m / flat_error_m)
    if stage == num_stages:  # all folds are accepted; what is left is to keep the last one good
        return Potentials(1.0, 1.0, (num_stages - 1 + folded) / num_stages)
    near = np.where(holding > 0, 1.0, np.exp(-hand_distance_m / REACH_SCALE_M))
    reach, grasp = (1.0, 1.0) if fold_good else (float(near.mean()), float(holding.mean()))
    return Potentials(*((stage + part) / num_stages for part in (reach, grasp, folded)))


def reward_terms(
    before: Potentials,
    after: Potentials,
    *,
    terminated: bool,
    advanced: bool,
    asked_early: bool,
    action_change: float,
    config: RewardConfig,
) -> dict[str, float]:
    """The terms of one step's reward; the reward is their sum.

    `action_change` is the squared change of the action since the last step, summed over its numbers.
    """
    if terminated:
        after = Potentials()

    def shaped(weight: float, phi: float, next_phi: float) -> float:
        return weight * (config.discount * next_phi - phi)

    return {
        "reach": shaped(config.reach, before.reach, after.reach),
        "grasp": shaped(config.grasp, before.grasp, after.grasp),
        "fold": shaped(config.fold, before.fold, after.fold),
        "stage": config.stage_bonus * advanced,
        "success": config.success_bonus * terminated,
        "early_advance": -config.early_advance * asked_early,
        "smoothness": -config.smoothness * action_change,
    }
