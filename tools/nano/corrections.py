"""Stage 5: what the expert would have done where the model itself has gone.

Demonstrations only show states into which an expert gets. Here the model acts, in some episodes with an expert that takes
over now and then, and at every frame the expert answers the task that was said and others, as in the demonstrations: DAgger.
"""

from pathlib import Path

import numpy as np
from assemble import KEY
from nano_config import NanoConfig
from processes import write_all
from scenes import FIRST_SEED, Demonstrations, worlds

from vla_course.envs.tabletop.env import TabletopEnv
from vla_course.envs.tabletop.expert import TabletopExpert
from vla_course.files import replacing
from vla_course.openvla.load import load_vla

TOGETHER = 20


def corrections_path(folder: Path, index: int) -> Path:
    """Where a shard lies."""
    return folder / f"corrections_{index:04d}.npz"


def make_corrections(config: NanoConfig, folder: Path, *, turn: int = 0, workers: int = 1) -> None:
    """Write the shards of this turn that are not there yet, with the model that lies in `folder/model` now."""
    count = config.scenes.correction_shards
    paths = {k: corrections_path(folder / "scenes", k) for k in range(turn * count, (turn + 1) * count)}
    missing = [(config, folder, k, path) for k, path in paths.items() if not path.exists()]
    write_all("corrections", write_corrections, missing, workers)


def write_corrections(config: NanoConfig, folder: Path, index: int, path: Path) -> str:
    """Let the model act in `config.scenes.action_episodes` episodes; returns what came of it, in words."""
    model = load_vla(path=folder / "model")
    rng = np.random.default_rng([config.seed, 5, index])
    free: list[list[TabletopEnv]] = [[], []]
    found = Demonstrations(config)
    running: list[tuple[int, TabletopEnv, TabletopExpert, float]] = []
    seed = FIRST_SEED["corrections"] + index * config.scenes.action_episodes
    left, done, wins = config.scenes.action_episodes, 0, 0
    while left or running:
        while left and len(running) < TOGETHER:
            which = int(rng.random() < config.scenes.action_garment_share)
            env = free[which].pop() if free[which] else worlds(config, config.scenes.verbs)[which]
            verb = "touch" if which else config.scenes.draw_verb(rng)
            env.reset(seed=seed + left, options={"task": verb})
            helped = config.scenes.helped * (rng.random() < 0.5)
            running.append((which, env, TabletopExpert(env), helped))
            left -= 1
        pictures = [found.add(env, expert, rng) for _, env, expert, _ in running]
        said = [env.start.instruction for _, env, _, _ in running]
        states = np.stack([env.end_effector for _, env, _, _ in running])
        actions = model.predict_action(pictures, said, KEY, state=states)
        still = []
        for (which, env, expert, helped), action in zip(running, actions, strict=True):
            taken = expert.act() if rng.random() < helped else np.clip(action, -1, 1)
            _, _, terminated, truncated, info = env.step(taken.astype(np.float32))
            if terminated or truncated:
                free[which].append(env)
                done, wins = done + 1, wins + bool(info["is_success"])
            else:
                still.append((which, env, expert, helped))
        running = still
    with replacing(path) as partial:
        np.savez(partial, **found.arrays())
    return f"{path.name}: {wins} of {done} done"
