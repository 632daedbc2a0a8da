"""Stage 1: what is seen, what can be said about it, and what an expert does, written as shards of one npz file each.

`sight` shards are single moments with the labels of every pixel, captions, and questions. Every combination of colour and
kind is in them. `actions` shards are demonstrations of the seen split only; at every frame the expert also answers other
tasks of the same scene, so that only the words can tell which action is right.

What a pixel shows is one number, its spot: the place of a thing, or FIRST_PART and the part of a garment, or NO_SPOT.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from nano_config import NanoConfig
from processes import write_all

from vla_course.envs.table import CLOSE_CAMERA
from vla_course.envs.tabletop.captions import SceneWords
from vla_course.envs.tabletop.config import SEEN, UNSEEN_COMBINATION, VERBS, StartConfig, TabletopConfig
from vla_course.envs.tabletop.env import TabletopEnv
from vla_course.envs.tabletop.expert import TabletopExpert
from vla_course.envs.tabletop.garments import PARTS, REST
from vla_course.envs.tabletop.goals import Goal
from vla_course.envs.tabletop.labels import GARMENT_PLACE, NO_PLACE, PART_LABELS, Labels
from vla_course.envs.tabletop.language import name, phrasings, say
from vla_course.envs.tabletop.start import Start
from vla_course.envs.tabletop.tasks import Task, Thing, possible_tasks
from vla_course.files import replacing

FIRST_SEED = {"sight": 10_000_000, "actions": 20_000_000, "corrections": 30_000_000}
"""Evaluations count their seeds from 0: no start of a test is ever in a shard."""
NO_SPOT, FIRST_PART = NO_PLACE, 16
NUM_SPOTS = FIRST_PART + len(PART_LABELS)


def make_scenes(config: NanoConfig, folder: Path, *, workers: int = 1) -> None:
    """Write the shards that are not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [("sight", k) for k in range(config.scenes.sight_shards)]
    wanted += [("actions", k) for k in range(config.scenes.action_shards)]
    missing = [(config, folder, kind, k) for kind, k in wanted if not shard_path(folder, kind, k).exists()]
    write_all("scenes", write_shard, missing, workers)


def shard_path(folder: Path, kind: str, index: int) -> Path:
    """Where a shard lies."""
    return folder / f"{kind}_{index:04d}.npz"


def write_shard(config: NanoConfig, folder: Path, kind: str, index: int) -> str:
    """Record one shard and move it into its place in one step; returns its file name."""
    path = shard_path(folder, kind, index)
    record = {"sight": record_sight, "actions": record_actions}[kind]
    arrays = record(config, index)
    with replacing(path) as partial:
        np.savez(partial, **arrays)
    return path.name


def environment(verbs: tuple[str, ...], garment_share: float) -> TabletopEnv:
    """The tabletop world; `garment_share` of the touches are of parts of garments."""
    return TabletopEnv(verbs=verbs, config=TabletopConfig(start=StartConfig(garment_share=garment_share)))


def worlds(config: NanoConfig, verbs: tuple[str, ...]) -> list[TabletopEnv]:
    """A world of things, and one in which every task is about a garment."""
    return [environment(verbs, 0.0), environment(("touch",), 1.0)]


def record_sight(config: NanoConfig, index: int) -> dict[str, np.ndarray]:
    """Moments of episodes: picture, labels of every pixel, where things and hand are, and what can be said.

    `thing` holds the place on the table of each spot, NaN where there is none; `words` is JSON.
    """
    envs = worlds(config, VERBS)
    experts = [TabletopExpert(env) for env in envs]
    rng = np.random.default_rng([config.seed, 1, index])
    size = (config.image_size, config.image_size)
    rows: dict[str, list[Any]] = {
        key: [] for key in ("image", "kind", "color", "part", "spot", "thing", "hand")
    }
    words = []
    first = FIRST_SEED["sight"] + index * config.scenes.sight_frames
    for k in range(config.scenes.sight_frames):
        split = SEEN if rng.random() < 0.5 else UNSEEN_COMBINATION
        which = int(rng.random() < config.scenes.garment_share)
        env, expert = envs[which], experts[which]
        observation, _ = env.reset(seed=first + k, options={"split": split})
        for _ in range(int(rng.integers(0, 12))):
            action = expert.act() + rng.normal(0, config.scenes.noise[1], 7)
            observation, _, terminated, truncated, _ = env.step(np.clip(action, -1, 1))
            if terminated or truncated:
                break
        labels = env.labels(CLOSE_CAMERA, size)
        rows["image"].append(env.picture(CLOSE_CAMERA, size))
        for key in ("kind", "color", "part"):
            rows[key].append(getattr(labels, key))
        rows["spot"].append(spots(labels))
        rows["thing"].append(_where_things_are(env))
        rows["hand"].append(observation["end_effector"])
        words.append(_words(env, rng))
    return {**{key: np.array(row) for key, row in rows.items()}, "words": np.array(json.dumps(words))}


def record_actions(config: NanoConfig, index: int) -> dict[str, np.ndarray]:
    """Demonstrations: pictures, and for each several instructions with the expert's answer to each.

    `frame` counts into `image`, `spot` and `state`, the hand's pose; `target` and `destination` are places on the table (NaN without), `points` the
    spots of both; `offset` leads from the hand to the target (m), `first` marks the task that was done.
    """
    envs = worlds(config, config.scenes.verbs)
    experts = [TabletopExpert(env) for env in envs]
    rng = np.random.default_rng([config.seed, 2, index])
    found = Demonstrations(config)
    begin = FIRST_SEED["actions"] + index * config.scenes.action_episodes
    for episode in range(config.scenes.action_episodes):
        which = int(rng.random() < config.scenes.action_garment_share)
        env, expert = envs[which], experts[which]
        verb = "touch" if which else config.scenes.draw_verb(rng)
        env.reset(seed=begin + episode, options={"task": verb})
        noise = rng.uniform(*config.scenes.noise)
        ended = False
        while not ended:
            found.add(env, expert, rng)
            done = expert.act() + rng.normal(0, noise, 7) * [1, 1, 1, 0.2, 0.2, 0.2, 0]
            _, _, terminated, truncated, _ = env.step(np.clip(done, -1, 1))
            ended = terminated or truncated
    return found.arrays()


class Demonstrations:
    """Frames, and the expert's answers to the task that is being done and to others."""

    def __init__(self, config: NanoConfig) -> None:
        self._config, self._size = config, (config.image_size, config.image_size)
        self._pictures: dict[str, list[np.ndarray]] = {"image": [], "spot": [], "state": []}
        keys = ("frame", "action", "target", "destination", "offset", "points", "first")
        self._rows: dict[str, list[Any]] = {key: [] for key in keys}
        self._texts: list[str] = []

    def add(self, env: TabletopEnv, expert: TabletopExpert, rng: np.random.Generator) -> np.ndarray:
        """Keep the present state of an environment; returns its picture."""
        picture = env.picture(CLOSE_CAMERA, self._size)
        for task in (env.task, *_alternatives(env, rng, self._config)):
            for key, value in _lesson(env, expert, task).items():
                self._rows[key].append(value)
            self._rows["frame"].append(len(self._pictures["image"]))
            self._rows["first"].append(task == env.task)
            self._texts.append(say(task, _one_of(rng, phrasings(task.verb, seen=True))))
        self._pictures["image"].append(picture)
        self._pictures["spot"].append(spots(env.labels(CLOSE_CAMERA, self._size)))
        self._pictures["state"].append(env.end_effector)
        return picture

    def arrays(self) -> dict[str, np.ndarray]:
        """All of it, as it is written."""
        arrays = {key: np.array(row) for key, row in (self._pictures | self._rows).items()}
        return {**arrays, "words": np.array(json.dumps(self._texts))}


def spots(labels: Labels) -> np.ndarray:
    """What every pixel shows that words can point at, as one number."""
    return np.where(labels.place == GARMENT_PLACE, FIRST_PART + labels.part, labels.place).astype(np.uint8)


def spot_of(start: Start, thing: Thing | None) -> int:
    """The number that `spots` has where this thing is."""
    if thing is None:
        return NO_SPOT
    return FIRST_PART + PART_LABELS.index(thing.part) if thing.part else start.things.index(thing)


def _lesson(env: TabletopEnv, expert: TabletopExpert, task: Task) -> dict[str, Any]:
    """The expert's answer to a task in the present state, and where what it is about lies."""
    target = env.world.anchor(task.target)
    there = np.full(2, np.nan) if task.destination is None else env.world.anchor(task.destination)[:2]
    return {
        "action": _answer(env, expert, task),
        "target": target[:2],
        "destination": there,
        "points": [spot_of(env.start, thing) for thing in (task.target, task.destination)],
        "offset": target - env.world.hand_position,
    }


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
    every = possible_tasks(rng.permutation(config.scenes.verbs).tolist(), start.things, start.garment)
    others = [task for task in every if not task.held_out and task != start.task]
    # Every verb as often: there are four times as many directions to push a thing as ways to pick it up.
    verbs = list(dict.fromkeys(task.verb for task in others))
    chosen: list[Task] = []
    for k in range(config.scenes.alternatives if others else 0):
        left = [task for task in others if task.verb == verbs[k % len(verbs)] and task not in chosen]
        chosen += [_one_of(rng, left)] if left else []
    return chosen


def _where_things_are(env: TabletopEnv) -> np.ndarray:
    """Place on the table of every spot, NaN where there is none; what lies between a garment's parts counts as its middle."""
    where = np.full((NUM_SPOTS, 2), np.nan, np.float32)
    start = env.start
    where[: len(start.things)] = env.world.position[:, :2]
    if start.garment is not None:
        where[spot_of(start, Thing(*start.garment, REST))] = start.garment_pose[:2]
        for part in PARTS[start.garment[1]]:
            thing = Thing(*start.garment, part)
            where[spot_of(start, thing)] = env.world.anchor(thing)[:2]
    return where


def _words(env: TabletopEnv, rng: np.random.Generator) -> dict[str, Any]:
    """Captions, questions with answers, and the name and place of everything that has one."""
    speaker = SceneWords(env.world)
    named = [*env.start.things, *speaker.parts]
    return {
        "captions": [speaker.caption(rng) for _ in range(3)],
        "questions": [[found.question, found.answer] for found in speaker.questions(rng)],
        "points": [
            [name(thing), spot_of(env.start, thing), *map(float, env.world.anchor(thing)[:2])]
            for thing in named
        ],
    }


def _one_of(rng: np.random.Generator, choices: Any) -> Any:
    return choices[int(rng.integers(len(choices)))]
