"""What an observation image costs, mid-fold, for each size and camera; and a picture for people."""

import statistics
import time

from measuring.report import GARMENTS, Row, asked_to_be_quick, finish

from vla_course.envs.folding.env import CAMERAS, FoldingEnv
from vla_course.envs.folding.expert import FoldingExpert

PICTURES, ROUNDS = 20, 9
TARGETS_MS = {224: "≤ 3", 84: "≤ 1.2"}


def mid_fold(arguments: dict) -> FoldingEnv:
    env = FoldingEnv(**arguments)
    observation, _ = env.reset(seed=0)
    expert = FoldingExpert(env)
    while not any(env.held):
        observation, *_ = env.step(expert.act(observation))
    for _ in range(15):
        observation, *_ = env.step(expert.act(observation))
    return env


def picture_ms(
    env: FoldingEnv, camera: str, size: int, *, count: int, rounds: int, pretty: bool = False
) -> float:
    env.picture(camera, (size, size), pretty=pretty)  # the first one makes the OpenGL context
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(count):
            env.picture(camera, (size, size), pretty=pretty)
        times.append((time.perf_counter() - start) / count)
    return 1000 * statistics.median(times)


def main() -> None:
    quick = asked_to_be_quick(__doc__)
    count, rounds = (2, 2) if quick else (PICTURES, ROUNDS)
    rows, cameras = [], {}
    for name in ("towel", "tshirt", "trousers"):
        env = mid_fold(GARMENTS[name])
        for size, target in TARGETS_MS.items():
            per_camera = {
                camera: picture_ms(env, camera, size, count=count, rounds=rounds) for camera in CAMERAS
            }
            worst = max(per_camera, key=lambda camera: per_camera[camera])
            rows.append(
                Row(f"{name}: {size} × {size}, slowest camera ({worst})", per_camera[worst], "ms", target)
            )
            cameras[f"{name}_{size}"] = per_camera
        start = time.perf_counter()
        fresh = FoldingEnv(**GARMENTS[name])
        fresh.reset(seed=0)
        made = time.perf_counter()
        fresh.picture("front", (224, 224))
        rows.append(Row(f"{name}: the first picture", 1000 * (time.perf_counter() - made), "ms"))
        rows.append(Row(f"{name}: making the environment", 1000 * (made - start), "ms"))
        fresh.close()
        pretty = picture_ms(env, "front", 480, count=2, rounds=3, pretty=True)
        rows.append(Row(f"{name}: 480 × 480 for people", pretty, "ms"))
        env.close()
    finish("rendering", rows, seeds=[0], quick=quick, details={"per_camera_ms": cameras})


if __name__ == "__main__":
    main()
