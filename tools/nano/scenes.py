"""Stage 1: what is seen, what can be said about it, and what an expert does, written as shards of one npz file each.

`sight` shards are single moments with the labels of every pixel, captions, and questions. Every combination of colour and
kind is in them. `actions` shards are demonstrations of the seen split only; at every frame the expert also answers other
tasks of the same scene, so that only the words can tell which action is right.
"""

import json
import os
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from nano_config import NanoConfig

from vla_course.envs.tabletop.captions import SceneWords
from vla_course.envs.tabletop.config import SEEN, UNSEEN_COMBINATION, VERBS, StartConfig, TabletopConfig
from vla_course.envs.tabletop.env import TabletopEnv
from vla_course.envs.tabletop.expert import TabletopExpert
from vla_course.envs.tabletop.goals import Goal
from vla_course.envs.tabletop.language import name, phrasings, say
from vla_course.envs.tabletop.scene import CLOSE_CAMERA, NUM_PLACES
from vla_course.envs.tabletop.tasks import Task, possible_tasks

FIRST_SEED = {"sight": 10_000_000, "actions": 20_000_000}
"""Evaluations count their seeds from 0: no start of a test is ever in a shard."""


def make_scenes(config: NanoConfig, folder: Path, *, workers: int = 1) -> None:
    """Write the shards that are not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [("sight", k) for k in range(config.scenes.sight_shards)]
    wanted += [("actions", k) for k in range(config.scenes.action_shards)]
    missing = [(kind, k) for kind, k in wanted if not shard_path(folder, kind, k).exists()]
    began = time.perf_counter()
    with ProcessPoolExecutor(workers) as pool:
        jobs = [pool.submit(write_shard, config, folder, kind, k) for kind, k in missing]
        for done, job in enumerate(jobs, 1):
            print(
                f"scenes {done}/{len(jobs)}  {job.result()}  {time.perf_counter() - began:.0f} s", flush=True
            )


def shard_path(folder: Path, kind: str, index: int) -> Path:
    """Where a shard lies."""
    return folder / f"{kind}_{index:04d}.npz"


def write_shard(config: NanoConfig, folder: Path, kind: str, index: int) -> str:
    """Record one shard and move it into its place in one step; returns its file name."""
    path = shard_path(folder, kind, index)
    record = {"sight": record_sight, "actions": record_actions}[kind]
    arrays = record(config, index)
    partial = path.with_name(f".{path.stem}.{os.getpid()}.npz")
    np.savez(partial, **arrays)
    os.replace(partial, path)
    return path.name


def environment(config: NanoConfig, verbs: tuple[str, ...]) -> TabletopEnv:
    """The tabletop world with the config's share of garments."""
    start = StartConfig(garment_share=config.scenes.garment_share)
    return TabletopEnv(verbs=verbs, config=TabletopConfig(start=start))


def record_sight(config: NanoConfig, index: int) -> dict[str, np.ndarray]:
    """Moments of episodes: picture, labels of every pixel, where things and hand are, and what can be said.

    `thing` holds the world position of each place's thing (the garment last), NaN where there is none; `words` is JSON.
    """
    env, expert = environment(config, VERBS), None
    rng = np.random.default_rng([config.seed, 1, index])
    size = (config.image_size, config.image_size)
    rows: dict[str, list[Any]] = {
        key: [] for key in ("image", "kind", "color", "part", "place", "thing", "hand")
    }
    words = []
    first = FIRST_SEED["sight"] + index * config.scenes.sight_frames
    for k in range(config.scenes.sight_frames):
        split = SEEN if rng.random() < 0.5 else UNSEEN_COMBINATION
        observation, _ = env.reset(seed=first + k, options={"split": split})
        expert = expert or TabletopExpert(env)
        for _ in range(int(rng.integers(0, 12))):
            action = expert.act() + rng.normal(0, config.scenes.noise, 7)
            observation, _, terminated, truncated, _ = env.step(np.clip(action, -1, 1))
            if terminated or truncated:
                break
        labels = env.labels(CLOSE_CAMERA, size)
        rows["image"].append(env.picture(CLOSE_CAMERA, size))
        for key in ("kind", "color", "part", "place"):
            rows[key].append(getattr(labels, key))
        rows["thing"].append(_where_things_are(env))
        rows["hand"].append(observation["end_effector"])
        words.append(_words(env, rng))
    return {**{key: np.array(row) for key, row in rows.items()}, "words": np.array(json.dumps(words))}


def record_actions(config: NanoConfig, index: int) -> dict[str, np.ndarray]:
    """Demonstrations: pictures, and for each several instructions with the expert's answer to each.

    Labels count `frame` into `image`; `near` is the distance (m) of hand and target, `first` marks the task that was done.
    """
    env = environment(config, config.scenes.verbs)
    rng = np.random.default_rng([config.seed, 2, index])
    size = (config.image_size, config.image_size)
    images: list[np.ndarray] = []
    rows: dict[str, list[Any]] = {key: [] for key in ("frame", "action", "target", "near", "first")}
    texts: list[str] = []
    expert = TabletopExpert(env)
    first = FIRST_SEED["actions"] + index * config.scenes.action_episodes
    for episode in range(config.scenes.action_episodes):
        env.reset(seed=first + episode)
        noise = config.scenes.noise * (rng.random() < 0.5)
        ended = False
        while not ended:
            images.append(env.picture(CLOSE_CAMERA, size))
            for task in (env.task, *_alternatives(env, rng, config)):
                action = _answer(env, expert, task)
                target = env.world.anchor(task.target)
                rows["frame"].append(len(images) - 1)
                rows["action"].append(action)
                rows["target"].append(target)
                rows["near"].append(float(np.linalg.norm(target - env.world.hand_position)))
                rows["first"].append(task == env.task)
                texts.append(say(task, _one_of(rng, phrasings(task.verb, seen=True))))
            done = expert.act() + rng.normal(0, noise, 7) * [1, 1, 1, 0.5, 0.5, 0.5, 0]
            _, _, terminated, truncated, _ = env.step(np.clip(done, -1, 1))
            ended = terminated or truncated
    arrays = {key: np.array(row) for key, row in rows.items()}
    return {"image": np.array(images), **arrays, "words": np.array(json.dumps(texts))}


def _answer(env: TabletopEnv, expert: TabletopExpert, task: Task) -> np.ndarray:
    """What the expert would do now if this were the task. The environment is left as it was."""
    start, goal = env.start, env.goal
    if task == start.task:
        return expert.act()
    env.world.start = replace(start, task=task, told=task)
    env.goal = Goal(task, env.world)
    try:
        return expert.act()
    finally:
        env.world.start, env.goal = start, goal


def _alternatives(env: TabletopEnv, rng: np.random.Generator, config: NanoConfig) -> list[Task]:
    """Other tasks of the seen split that make sense now. With something in the hand there are none."""
    if env.world.held is not None:
        return []
    start = env.start
    every = possible_tasks(config.scenes.verbs, start.things, start.garment)
    others = [task for task in every if not task.held_out and task != start.task]
    return [others[k] for k in rng.permutation(len(others))[: config.scenes.alternatives]]


def _where_things_are(env: TabletopEnv) -> np.ndarray:
    where = np.full((NUM_PLACES + 1, 3), np.nan, np.float32)
    where[: len(env.start.things)] = env.world.position
    if env.start.garment is not None:
        where[NUM_PLACES] = [*env.start.garment_pose[:2], 0.0]
    return where


def _words(env: TabletopEnv, rng: np.random.Generator) -> dict[str, Any]:
    """Captions, questions with answers, and the name and place of everything that has one."""
    speaker = SceneWords(env.world)
    named = [*env.start.things, *speaker.parts]
    return {
        "captions": [speaker.caption(rng) for _ in range(3)],
        "questions": [[found.question, found.answer] for found in speaker.questions(rng)],
        "points": [[name(thing), *map(float, env.world.anchor(thing))] for thing in named],
    }


def _one_of(rng: np.random.Generator, choices: Any) -> Any:
    return choices[int(rng.integers(len(choices)))]
