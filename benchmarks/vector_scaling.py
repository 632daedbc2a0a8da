"""How much faster two processes are than one, through AsyncVectorEnv. Wall-clock time: the machine must be quiet."""

import statistics
import time

import numpy as np
from measuring.report import Row, asked_to_be_quick, finish

from vla_course.envs.vector import make_vector_env

STEPS, REPETITIONS = 300, 7
ENVIRONMENTS = ("FoldTowel-v0", "FoldTShirt-v0")


def steps_per_s(env, actions: np.ndarray) -> float:
    """Control steps a second, all environments together."""
    env.reset(seed=0)
    start = time.perf_counter()
    for action in actions:
        env.step(np.stack([action] * env.num_envs))
    return env.num_envs * len(actions) / (time.perf_counter() - start)


def main() -> None:
    quick = asked_to_be_quick(__doc__)
    rows, details = [], {}
    for env_id in ENVIRONMENTS:
        actions = np.random.default_rng(0).uniform(-0.3, 0.3, (30 if quick else STEPS, 61)).astype(np.float32)
        envs = {
            "one here": make_vector_env(env_id, 1, asynchronous=False),
            "one process": make_vector_env(env_id, 1),
            "two processes": make_vector_env(env_id, 2),
        }
        speeds: dict[str, list[float]] = {name: [] for name in envs}
        for _ in range(2 if quick else REPETITIONS):
            for name, env in envs.items():
                speeds[name].append(steps_per_s(env, actions))
        for env in envs.values():
            env.close()
        medians = {name: statistics.median(values) for name, values in speeds.items()}
        # Neighbours in time share the machine's mood: the ratio is taken within each round.
        ratios = [two / one for two, one in zip(speeds["two processes"], speeds["one process"], strict=True)]
        rows.append(Row(f"{env_id}: two processes over one", statistics.median(ratios), "", "≥ 1.6"))
        rows += [Row(f"{env_id}: {name}", value, "steps/s") for name, value in medians.items()]
        details[env_id] = {"ratios": ratios, "steps_per_s": speeds}
    finish("vector_scaling", rows, seeds=[0], quick=quick, details=details)


if __name__ == "__main__":
    main()
