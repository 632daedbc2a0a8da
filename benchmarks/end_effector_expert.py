"""How often the expert in hand steps folds each garment at 5 Hz, undisturbed and with noise on what is carried out."""

import numpy as np
from measuring.report import GARMENTS, Row, asked_to_be_quick, finish

from vla_course.envs.end_effector import EndEffectorAction
from vla_course.envs.folding.end_effector_expert import EndEffectorExpert
from vla_course.envs.folding.env import FoldingEnv
from vla_course.evaluate import wilson_interval

EPISODES, NOISES, TURN_NOISE = 100, (0.0, 0.05, 0.1), 0.2


def episode(env: EndEffectorAction, expert: EndEffectorExpert, seed: int, noise: float) -> tuple[bool, int]:
    """Success, and how many actions it took. Noise is in units of an action: little of it on turns, none on grips."""
    env.reset(seed=seed)
    luck, steps, ended = np.random.default_rng([seed, 8]), 0, False
    spread = noise * np.tile([1, 1, 1, TURN_NOISE, TURN_NOISE, TURN_NOISE, 0], 2)
    while not ended:
        action = expert.act() + spread * luck.standard_normal(14)
        _, _, terminated, truncated, info = env.step(np.clip(action, -1, 1))
        steps, ended = steps + 1, terminated or truncated
    return bool(info["is_success"]), steps


def main() -> None:
    quick = asked_to_be_quick(__doc__)
    seeds = range(2 if quick else EPISODES)
    rows, details = [], {}
    for name, arguments in GARMENTS.items():
        env = EndEffectorAction(FoldingEnv(**arguments), rate_hz=5)
        expert = EndEffectorExpert(env)
        for noise in NOISES:
            ends = [episode(env, expert, seed, noise) for seed in seeds]
            successes = sum(success for success, _ in ends)
            label = f"{name}, noise {noise:g}"
            target = "≥ 95" if noise == 0 else ""
            rows.append(Row(f"{label}: strict success", 100 * successes / len(ends), "%", target))
            rows.append(Row(f"{label}: actions, median", float(np.median([steps for _, steps in ends]))))
            failures = [seed for seed, (success, _) in zip(seeds, ends, strict=True) if not success]
            details[label] = {"interval_95": wilson_interval(successes, len(ends)), "failures": failures}
    finish("end_effector_expert", rows, seeds=list(seeds), quick=quick, details=details)


if __name__ == "__main__":
    main()
