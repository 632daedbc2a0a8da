"""Whether the same seed gives the same trajectory, to the last bit, in two processes: random actions and the expert's."""

import hashlib
import subprocess
import sys

import numpy as np
from measuring.report import GARMENTS, Row, asked_to_be_quick, finish

from vla_course.envs.folding.env import FoldingEnv
from vla_course.envs.folding.expert import FoldingExpert

SEEDS = (0, 1, 2)


def fingerprint(env: FoldingEnv, seed: int, *, expert: bool) -> str:
    """A hash over every observation, reward and ending of an episode."""
    digest, rng = hashlib.sha256(), np.random.default_rng(seed)
    pilot = FoldingExpert(env)
    observation, _ = env.reset(seed=seed)
    terminated = truncated = False
    while not (terminated or truncated):
        action = pilot.act(observation) if expert else rng.uniform(-1, 1, 61).astype(np.float32)
        observation, reward, terminated, truncated, info = env.step(action)
        for key in sorted(observation):
            digest.update(np.ascontiguousarray(observation[key]).tobytes())
        digest.update(repr((float(reward), terminated, truncated, info["fold_error_m"])).encode())
    return digest.hexdigest()


def print_fingerprints(seeds: tuple[int, ...]) -> None:
    for arguments in GARMENTS.values():
        env = FoldingEnv(**arguments)
        for seed in seeds:
            for expert in (False, True):
                print(fingerprint(env, seed, expert=expert))


def main() -> None:
    quick = asked_to_be_quick(__doc__)
    seeds = SEEDS[:1] if quick else SEEDS
    code = f"import determinism; determinism.print_fingerprints({seeds})"
    runs = [
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=sys.path[0]
        ).stdout.split()
        for _ in range(2)
    ]
    equal = sum(a == b for a, b in zip(*runs, strict=True))
    rows = [
        Row("trajectories", len(runs[0])),
        Row("of them different in the second process", len(runs[0]) - equal, "", "≤ 0"),
    ]
    finish("determinism", rows, seeds=list(seeds), quick=quick, details={"sha256": runs[0]})


if __name__ == "__main__":
    main()
