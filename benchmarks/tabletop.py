"""The tabletop world: how often the expert, chance and idleness succeed at each task, and what steps and pictures cost.

CPU time of the process on one core; success from starts over the whole randomisation.
"""

import time

import numpy as np
from measuring.report import Row, asked_to_be_quick, finish

from vla_course.envs.tabletop.config import VERBS
from vla_course.envs.tabletop.env import TabletopEnv
from vla_course.envs.tabletop.expert import TabletopExpert
from vla_course.envs.tabletop.garments import GARMENTS
from vla_course.evaluation.intervals import wilson_interval

EPISODES, RANDOM_EPISODES, PICTURES = 100, 50, 500
SPLITS = ("seen", "unseen_combination")


def episode(env: TabletopEnv, policy: str, seed: int, options: dict) -> dict:
    observation, _ = env.reset(seed=seed, options=options)
    expert, rng = TabletopExpert(env), np.random.default_rng(seed)
    act = {
        "expert": lambda: expert.act(observation),
        "random": lambda: rng.uniform(-1, 1, 7).astype(np.float32),
        "idle": lambda: np.zeros(7, np.float32),
    }[policy]
    start, terminated, truncated = time.process_time(), False, False
    while not (terminated or truncated):
        observation, _, terminated, truncated, info = env.step(act())
    seconds = time.process_time() - start
    return {
        "success": info["is_success"],
        "steps": env.elapsed_steps,
        "failure": info["failure"],
        "s": seconds,
    }


def tasks() -> dict[str, list[dict]]:
    """What is measured by name: the reset options to take in turn."""
    verbs: dict[str, list[dict]] = {verb: [{"task": verb}] for verb in VERBS}
    return verbs | {f"touch, parts of the {kind}": [{"garment": ("blue", kind)}] for kind in GARMENTS}


def measure_success(quick: bool) -> None:
    env, rows, failures, steps, seconds = TabletopEnv(), [], {}, 0, 0.0
    count = 3 if quick else EPISODES
    for name, variants in tasks().items():
        splits = SPLITS if name in VERBS else SPLITS[:1]
        for split in splits:
            runs = [
                episode(env, "expert", seed, {**variants[seed % len(variants)], "split": split})
                for seed in range(count)
            ]
            wins = sum(run["success"] for run in runs)
            low, high = wilson_interval(wins, count)
            label = f"expert, {name}, {split}"
            print(f"{label}: {wins}/{count} ({100 * low:.0f}–{100 * high:.0f} %)")
            rows.append(Row(label, 100 * wins / count, "%", "≥ 95"))
            rows.append(
                Row(f"steps, {name}, {split}", float(np.mean([run["steps"] for run in runs])), "steps")
            )
            failures[label] = [run["failure"] or "out of time" for run in runs if not run["success"]]
            steps += sum(run["steps"] for run in runs)
            seconds += sum(run["s"] for run in runs)
    for policy in ("random", "idle"):
        for verb in VERBS:
            few = 2 if quick else RANDOM_EPISODES
            wins = sum(episode(env, policy, seed, {"task": verb})["success"] for seed in range(few))
            target = "≤ 0" if policy == "idle" else ""
            rows.append(Row(f"{policy} policy, {verb}", 100 * wins / few, "%", target))
    rows.append(Row("expert and environment together", steps / seconds, "steps/s", "≥ 150"))
    finish("success", rows, seeds=range(count), quick=quick, world="tabletop", details={"failures": failures})


def mean_ms(work, count: int) -> float:
    work()
    start = time.process_time()
    for _ in range(count):
        work()
    return 1000 * (time.process_time() - start) / count


def measure_speed(quick: bool) -> None:
    env, count = TabletopEnv(), 20 if quick else PICTURES
    seeds, steps, seconds = range(2 if quick else 40), 0, 0.0
    for seed in seeds:
        run = episode(env, "random", seed, {})
        steps, seconds = steps + run["steps"], seconds + run["s"]
    rows = [Row("steps of 1/5 s, state only", steps / seconds, "per s", "≥ 150")]
    env.reset(seed=0)
    for side in (84, 96, 224):
        size = (side, side)
        target = "≤ 1.2" if side < 100 else ""
        rows.append(
            Row(f"picture, {side} px", mean_ms(lambda s=size: env.picture("close", s), count), "ms", target)
        )
        rows.append(Row(f"labels, {side} px", mean_ms(lambda s=size: env.labels("close", s), count), "ms"))
    rows.append(Row("reset", mean_ms(lambda: env.reset(), min(count, 100)), "ms"))
    env = TabletopEnv(cameras=("close",))
    steps, seconds = 0, 0.0
    for seed in seeds:
        run = episode(env, "expert", seed, {})
        steps, seconds = steps + run["steps"], seconds + run["s"]
    rows.append(Row("demonstration frames with an 84 px picture", steps / seconds, "per s"))
    finish("speed", rows, seeds=seeds, quick=quick, world="tabletop")


def main() -> None:
    quick = asked_to_be_quick(__doc__.splitlines()[0])
    measure_success(quick)
    measure_speed(quick)


if __name__ == "__main__":
    main()
