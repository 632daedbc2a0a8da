"""How much faster two processes are than one, through AsyncVectorEnv.

Wall-clock time, so the machine must be quiet: what other programs take is measured beside, rounds in which it is more than a tenth
of a core are recorded but not counted, and repeated until there are enough quiet ones or the patience is over.
"""

import statistics
import time

import numpy as np
import psutil
from measuring.report import Row, asked_to_be_quick, finish

from vla_course.envs.vector import make_vector_env

STEPS, QUIET_ROUNDS, MOST_ROUNDS, QUIET = 300, 7, 60, 0.1
ENVIRONMENTS = ("FoldTowel-v0", "FoldTShirt-v0")


def others_s() -> float:
    """CPU seconds that all other programs of this machine have used so far."""
    machine = psutil.cpu_times()
    me = psutil.Process()
    ours = sum(
        sum(process.cpu_times()[:2]) for process in (me, *me.children(recursive=True)) if process.is_running()
    )
    return (
        sum(machine) - machine.idle - getattr(machine, "iowait", 0.0) - getattr(machine, "guest", 0.0) - ours
    )


def steps_per_s(env, actions: np.ndarray) -> float:
    """Control steps a second, all environments together."""
    env.reset(seed=0)
    start = time.perf_counter()
    for action in actions:
        env.step(np.stack([action] * env.num_envs))
    return env.num_envs * len(actions) / (time.perf_counter() - start)


def measured_round(envs: dict, actions: np.ndarray) -> dict[str, float]:
    """The speed of each, one after the other, and how many cores other programs used meanwhile."""
    start, others = time.perf_counter(), others_s()
    speeds = {name: steps_per_s(env, actions) for name, env in envs.items()}
    return speeds | {"others": (others_s() - others) / (time.perf_counter() - start)}


def main() -> None:
    quick = asked_to_be_quick(__doc__.splitlines()[0])
    rows, details = [], {}
    for env_id in ENVIRONMENTS:
        actions = np.random.default_rng(0).uniform(-0.3, 0.3, (30 if quick else STEPS, 61)).astype(np.float32)
        envs = {
            "one here": make_vector_env(env_id, 1, asynchronous=False),
            "one process": make_vector_env(env_id, 1),
            "two processes": make_vector_env(env_id, 2),
        }
        measured_round(envs, actions[:10])  # to warm up
        rounds: list[dict[str, float]] = []
        quiet: list[dict[str, float]] = []
        while len(quiet) < (1 if quick else QUIET_ROUNDS) and len(rounds) < (2 if quick else MOST_ROUNDS):
            rounds.append(measured_round(envs, actions))
            quiet = [one for one in rounds if one["others"] < QUIET]
        for env in envs.values():
            env.close()
        counted = quiet or rounds
        # Within a round, so that the machine's mood of the moment is the same for both.
        ratio = statistics.median(one["two processes"] / one["one process"] for one in counted)
        rows.append(Row(f"{env_id}: two processes over one", ratio, "", "≥ 1.6"))
        for name in envs:
            rows.append(Row(f"{env_id}: {name}", statistics.median(one[name] for one in counted), "steps/s"))
        rows.append(Row(f"{env_id}: quiet rounds of {len(rounds)}", len(quiet)))
        details[env_id] = {"rounds": rounds}
    finish("vector_scaling", rows, seeds=[0], quick=quick, details=details)


if __name__ == "__main__":
    main()
