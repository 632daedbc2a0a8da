"""How long a reset takes, and how much memory one environment needs above the interpreter."""

import statistics
import subprocess
import sys
import time

from measuring.report import GARMENTS, Row, asked_to_be_quick, finish

from vla_course.envs.folding.env import FoldingEnv

RESETS = 40
MEMORY = """
import sys, psutil
def megabytes():
    return psutil.Process().memory_info().rss / 1e6
at = [megabytes()]
import gymnasium, mujoco, numpy, vla_course.envs.folding.env, vla_course.envs.wrappers
at.append(megabytes())
env = vla_course.envs.folding.env.FoldingEnv({garment}, cameras={cameras})
env.reset(seed=0)
for _ in range(60):
    env.step(env.action_space.sample())
at.append(megabytes())
print(*at)
"""


def reset_ms(env: FoldingEnv, sizes: list[int], count: int) -> tuple[float, float]:
    """Median and largest time of `reset`, going through these sizes in turn."""
    times = []
    for k in range(count):
        start = time.perf_counter()
        env.reset(options={"size": sizes[k % len(sizes)]})
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times), max(times)


def memory_mb(garment: str, cameras: tuple[str, ...]) -> tuple[float, float]:
    """Resident memory of one environment above a bare interpreter, and above one that has imported everything."""
    code = MEMORY.format(garment=repr(garment), cameras=repr(cameras))
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    bare, imported, made = (float(number) for number in told.split())
    return made - bare, made - imported


def main() -> None:
    quick = asked_to_be_quick(__doc__)
    count = 6 if quick else RESETS
    rows = []
    for name in ("towel", "tshirt", "trousers"):
        for label, cameras in (("", ()), (", with a camera", ("front",))):
            env = FoldingEnv(**GARMENTS[name], cameras=cameras)
            env.reset(seed=0)
            same, same_worst = reset_ms(env, [0], count)
            other, other_worst = reset_ms(env, [0, 1, 2], count)
            env.close()
            rows += [
                Row(f"{name}{label}: reset, same geometry", same, "ms", "≤ 50"),
                Row(f"{name}{label}: the same, slowest", same_worst, "ms"),
                Row(f"{name}{label}: reset, new geometry", other, "ms", "≤ 500"),
                Row(f"{name}{label}: the same, slowest", other_worst, "ms"),
            ]
    for name in ("towel", "tshirt", "trousers"):
        above_bare, above_imports = memory_mb(name, ())
        with_camera, _ = memory_mb(name, ("front",))
        rows += [
            Row(f"{name}: memory above the bare interpreter", above_bare, "MB", "≤ 150"),
            Row(f"{name}: of that, not imports", above_imports, "MB"),
            Row(f"{name}: memory with a camera open", with_camera, "MB"),
        ]
    finish("reset_and_memory", rows, seeds=[0], quick=quick)


if __name__ == "__main__":
    main()
