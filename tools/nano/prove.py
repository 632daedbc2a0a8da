"""Stage 5: does it act? Closed loop through `predict_action`, for every split and verb, with intervals.

Beside the named task: another instruction than the one that is scored (does it listen?), noise in place of the picture, and one
picture of an empty mean scene for a policy that is blind (does it look?).
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from assemble import KEY
from nano_config import NanoConfig
from scenes import environment, shard_path

from vla_course.envs.tabletop.config import SEEN, SPLITS
from vla_course.envs.tabletop.scene import CLOSE_CAMERA
from vla_course.openvla.load import load_vla
from vla_course.openvla.model import OpenVLAForActionPrediction

TOGETHER = 25
Look = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def prove(config: NanoConfig, folder: Path) -> dict[str, Any]:
    """All conditions; the table is printed as it grows and written to `folder/proof.json`."""
    model = load_vla(path=folder / "model")
    scene = np.load(shard_path(folder / "scenes", "actions", 0))["image"]
    mean = scene.mean(0).astype(np.uint8)
    conditions: list[tuple[str, str, dict[str, Any], Look]] = [
        (verb, split, {}, _see) for verb in config.scenes.verbs for split in SPLITS
    ]
    for verb in config.scenes.verbs:
        conditions += [
            (verb, SEEN, {"wrong_instruction": True}, _see),
            (verb, SEEN, {}, _noise),
            (verb, SEEN, {}, lambda picture, rng: mean),
        ]
    names = [f"{verb}/{split}" for verb in config.scenes.verbs for split in SPLITS]
    names += [f"{verb}/{what}" for verb in config.scenes.verbs for what in ("wrong_words", "noise", "blind")]
    found: dict[str, Any] = {}
    for name, (verb, split, options, look) in zip(names, conditions, strict=True):
        found[name] = success_rate(model, config, verb, split, options, look)
        print(f"{name}: {found[name]}", flush=True)
        (folder / "proof.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    return found


def success_rate(
    model: OpenVLAForActionPrediction,
    config: NanoConfig,
    verb: str,
    split: str,
    options: dict[str, Any],
    look: Look,
) -> dict[str, Any]:
    """Share of starts in which the scored task was done, with its 95 % interval, and what was touched first."""
    wins, anything, starts = 0, 0, config.evaluation_starts
    for begin in range(0, starts, TOGETHER):
        seeds = range(begin, min(starts, begin + TOGETHER))
        ended = _episodes(model, config, verb, seeds, {"split": split, **options}, look)
        wins += sum(bool(info["is_success"]) for info in ended)
        anything += sum(bool(info["touched"]) for info in ended)
    low, high = wilson(wins, starts)
    return {
        "success": wins / starts,
        "low": round(low, 3),
        "high": round(high, 3),
        "starts": starts,
        "touched_any": anything / starts,
    }


def _episodes(
    model: OpenVLAForActionPrediction,
    config: NanoConfig,
    verb: str,
    seeds: range,
    options: dict[str, Any],
    look: Look,
) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seeds.start)
    size = (config.image_size, config.image_size)
    envs = [environment(config, (verb,)) for _ in seeds]
    infos = [env.reset(seed=seed, options=options)[1] for env, seed in zip(envs, seeds, strict=True)]
    running = list(range(len(envs)))
    while running:
        pictures = [look(envs[k].picture(CLOSE_CAMERA, size), rng) for k in running]
        actions = model.predict_action(pictures, [infos[k]["instruction"] for k in running], KEY)
        still = []
        for k, action in zip(running, actions, strict=True):
            _, _, terminated, truncated, infos[k] = envs[k].step(action)
            if not (terminated or truncated):
                still.append(k)
        running = still
    for env in envs:
        env.close()
    return infos


def wilson(wins: int, starts: int) -> tuple[float, float]:
    """The 95 % interval of a share."""
    z, share = 1.96, wins / starts
    middle = (share + z**2 / (2 * starts)) / (1 + z**2 / starts)
    half = z * np.sqrt(share * (1 - share) / starts + z**2 / (4 * starts**2)) / (1 + z**2 / starts)
    return float(max(0.0, middle - half)), float(min(1.0, middle + half))


def _see(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return picture


def _noise(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 256, picture.shape, dtype=np.uint8)
