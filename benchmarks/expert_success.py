"""How often the expert folds each garment, from starts over the whole randomisation. One record for each garment."""

import time

import numpy as np
from measuring.report import GARMENTS, Row, asked_to_be_quick, finish

from vla_course.envs.folding.env import FoldingEnv
from vla_course.envs.folding.expert import FoldingExpert
from vla_course.evaluation.intervals import wilson_interval

EPISODES = 100
TARGETS = {"towel": "≥ 98", "tshirt": "≥ 95", "trousers": "≥ 90", "towel_quarter": ""}


def episode(env: FoldingEnv, seed: int) -> dict:
    expert = FoldingExpert(env)
    observation, _ = env.reset(seed=seed)
    start, steps, clipped = time.process_time(), 0, 0.0
    terminated = truncated = False
    while not (terminated or truncated):
        action = expert.act(observation)
        clipped += float((np.abs(action[:60]) >= 1).mean())
        observation, _, terminated, truncated, info = env.step(action)
        steps += 1
    return {
        "seed": seed,
        "success": info["is_success"],
        "box_success": info["box_success"],
        "stage": info["stage"],
        "fold_error_mm": 1000 * info["fold_error_m"],
        "fold_iou": info["fold_iou"],
        "steps": steps,
        "numbers_at_limit": clipped / steps,
        "highest_vertex_mm": 1000 * float(env.vertices[:, 2].max()),
        "cpu_s": time.process_time() - start,
    }


def main() -> None:
    quick = asked_to_be_quick(__doc__)
    seeds = range(3 if quick else EPISODES)
    for name, arguments in GARMENTS.items():
        env = FoldingEnv(**arguments)
        episodes = [episode(env, seed) for seed in seeds]
        column = {key: np.array([one[key] for one in episodes]) for key in episodes[0]}
        successes = int(column["success"].sum())
        low, high = wilson_interval(successes, len(episodes))
        print(f"{name}: success {successes}/{len(episodes)} ({100 * low:.0f}–{100 * high:.0f} %)")
        rows = [
            Row("strict success", 100 * successes / len(episodes), "%", TARGETS[name]),
            Row("box rule (DexGarmentLab)", 100 * float(column["box_success"].mean()), "%"),
            Row("fold error, median", float(np.median(column["fold_error_mm"])), "mm"),
            Row("fold error, 95th percentile", float(np.percentile(column["fold_error_mm"], 95)), "mm"),
            Row("IoU, median", float(np.median(column["fold_iou"]))),
            Row("episode length, median", float(np.median(column["steps"])), "steps"),
            Row("episode length, longest", float(column["steps"].max()), "steps"),
            Row("CPU time an episode, median", float(np.median(column["cpu_s"])), "s"),
        ]
        interval = {"successes": successes, "episodes": len(episodes), "interval_95": [low, high]}
        failures = [one for one in episodes if not one["success"]]
        details = interval | {
            "failures": failures,
            "fold_error_mm": column["fold_error_mm"].round(2).tolist(),
        }
        finish(f"expert_{name}", rows, seeds=list(seeds), quick=quick, details=details)


if __name__ == "__main__":
    main()
