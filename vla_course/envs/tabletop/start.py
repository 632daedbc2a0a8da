"""How an episode starts: a task, its words, and a table laid for it. Drawn from the ranges, or pinned by `reset(options=...)`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from vla_course.envs.arguments import check_known, pinned_value
from vla_course.envs.table import TABLE_MATERIALS
from vla_course.envs.tabletop.config import (
    COLORS,
    SEEN,
    SPLITS,
    UNSEEN_BOTH,
    UNSEEN_COMBINATION,
    VERBS,
    StartConfig,
)
from vla_course.envs.tabletop.language import Phrasing, parse, phrasings, say
from vla_course.envs.tabletop.layout import lay
from vla_course.envs.tabletop.options import OPTIONS, pinned_garment, pinned_thing, pinned_words
from vla_course.envs.tabletop.scene import NUM_PLACES
from vla_course.envs.tabletop.shapes import SHAPES
from vla_course.envs.tabletop.tasks import (
    Task,
    Thing,
    check_task,
    draw_task,
    fits,
    one_of,
    possible_tasks,
    split_of,
)


@dataclass(frozen=True)
class Start:
    """The complete starting state of an episode."""

    task: Task
    """The task that is scored."""
    told: Task
    """The task that the instruction names: `task`, unless a wrong instruction was asked for."""
    phrasing: Phrasing
    words: str | None
    """A sentence that replaces the instruction and need not name a task, or None."""
    things: tuple[Thing, ...]
    garment: tuple[str, str] | None
    """Colour and kind."""
    position: Float[np.ndarray, "N 2"]
    yaw: Float[np.ndarray, " N"]
    garment_pose: Float[np.ndarray, "3"]
    """x, y in metres, yaw in radians."""
    table: int
    hand_offset: Float[np.ndarray, "3"]
    hand_yaw: float
    color_shift: Float[np.ndarray, "6 3"]
    """Added to the colours of the things, and last of the garment."""
    camera_jitter: Float[np.ndarray, "C 3"]
    camera_turn: Float[np.ndarray, "C 3"]
    brightness: float
    warmth: float
    light_shift: Float[np.ndarray, "2"]

    @property
    def instruction(self) -> str:
        """The sentence given to the policy."""
        return self.words or say(self.told, self.phrasing)

    @property
    def split(self) -> str:
        """To which of SPLITS the scored task belongs."""
        return split_of(self.task, phrasing_seen=self.phrasing.seen)


def draw_start(
    rng: np.random.Generator,
    config: StartConfig,
    *,
    verbs: tuple[str, ...],
    split: str,
    num_cameras: int,
    options: Mapping[str, Any] | None,
) -> Start:
    """Draw a start, with what `options` pins put in. Task, layout and looks are drawn apart, so that pinning one leaves the others.

    `options` may hold: task (a verb or a Task), instruction (words, which pin the task too), split, wrong_instruction (say another
    task than the one scored: True for any, or a Task, or its words), words (any sentence, said in place of the task), things ((colour, kind) pairs), garment
    ((colour, kind)), position (one (x, y) a thing, m), yaw (rad), garment_pose (x, y, yaw), table (an index), hand_offset (m),
    hand_yaw (rad), color_shift, camera_jitter (m), camera_turn (rad), brightness, warmth, light_shift.

    Raises: ValueError for an option that is not known or does not fit.
    """
    pinned = dict(options or {})
    check_known("reset option", pinned, OPTIONS)
    about, layout, looks = (np.random.default_rng(seed) for seed in rng.integers(2**63, size=3))
    task, phrasing, things, garment = _choose(about, config, verbs, pinned.get("split", split), pinned)
    pose, position, yaw, things = lay(layout, config, task, things, garment, pinned)
    told = _told(about, task, things, garment, pinned.get("wrong_instruction", False))
    if told.verb != phrasing_verb(phrasing):
        phrasing = one_of(about, phrasings(told.verb, seen=phrasing.seen))
    low, high = config.brightness_range
    shift, jitter = config.color_jitter, config.camera_jitter_m
    drawn: dict[str, Any] = {
        "table": int(looks.integers(len(TABLE_MATERIALS))),
        "hand_offset": looks.uniform(-config.hand_position_m, config.hand_position_m, 3),
        "hand_yaw": float(looks.uniform(-config.hand_yaw_rad, config.hand_yaw_rad)),
        "color_shift": looks.uniform(-shift, shift, (NUM_PLACES + 1, 3)),
        "camera_jitter": looks.uniform(-jitter, jitter, (num_cameras, 3)),
        "camera_turn": looks.uniform(-config.camera_turn_rad, config.camera_turn_rad, (num_cameras, 3)),
        "brightness": float(looks.uniform(low, high)),
        "warmth": float(looks.uniform(-config.warmth, config.warmth)),
        "light_shift": looks.uniform(-config.light_shift, config.light_shift, 2),
    }
    for name in drawn:
        if name in pinned:
            count = len(TABLE_MATERIALS) if name == "table" else None
            drawn[name] = pinned_value(name, pinned[name], drawn[name], count=count)
    return Start(
        task=task,
        told=told,
        phrasing=phrasing,
        words=pinned_words(pinned["words"]) if "words" in pinned else None,
        things=things,
        garment=garment,
        position=position,
        yaw=yaw,
        garment_pose=pose,
        **drawn,
    )


def phrasing_verb(phrasing: Phrasing) -> str:
    """The verb that a phrasing says."""
    return next(verb for verb in VERBS if phrasing in phrasings(verb, seen=phrasing.seen))


def _choose(
    rng: np.random.Generator,
    config: StartConfig,
    verbs: tuple[str, ...],
    split: str,
    pinned: Mapping[str, Any],
) -> tuple[Task, Phrasing, tuple[Thing, ...], tuple[str, str] | None]:
    check_known("split", [split], SPLITS)
    unseen = split in (UNSEEN_COMBINATION, UNSEEN_BOTH)
    seen_words = split in (SEEN, UNSEEN_COMBINATION)
    things = tuple(pinned_thing(pair) for pair in pinned["things"]) if "things" in pinned else None
    if things is not None and (len(things) > NUM_PLACES or len(set(things)) < len(things)):
        raise ValueError(f"want at most {NUM_PLACES} different things on the table, not {pinned['things']}")
    garment = pinned_garment(pinned["garment"]) if pinned.get("garment") is not None else None
    phrasing = None
    wanted = pinned.get("task")
    if "instruction" in pinned:
        task, phrasing = parse(pinned["instruction"])
        if wanted not in (None, task, task.verb):
            raise ValueError(f"instruction {pinned['instruction']!r} does not say the task {wanted}")
        wanted = task
    if isinstance(wanted, str):
        if wanted not in VERBS:
            raise ValueError(f"unknown task {wanted!r}: give a Task, or one of {', '.join(VERBS)}")
        verbs = (wanted,)
    if isinstance(wanted, Task):
        task = check_task(wanted)
        if "split" in pinned and task.held_out != unseen:
            raise ValueError(f"the task {task} does not belong to the split {split!r}")
    elif things is not None or garment is not None:
        fitting = [
            task
            for task in possible_tasks(verbs, things or (), garment)
            if task.held_out == unseen and (garment is None or things or task.target.on_garment)
        ]
        if not fitting:
            raise ValueError(
                f"no task of the split {split!r} with the verbs {', '.join(verbs)} is about {things} and {garment}"
            )
        task = one_of(rng, fitting)
    else:
        task = draw_task(rng, verbs, unseen=unseen, garment_share=config.garment_share)
    phrasing = phrasing or one_of(rng, phrasings(task.verb, seen=seen_words))
    if task.target.on_garment:
        if garment not in (None, task.target.pair):
            raise ValueError(f"the task is about a {task.target.pair}, and the garment pinned is a {garment}")
        garment = task.target.pair
    needed = tuple(thing for thing in task.things if not thing.on_garment)
    if things is None:
        things = _with_distractors(rng, config, task, needed, crowded=garment is not None)
    for thing in needed:
        if thing not in things:
            raise ValueError(f"the task is about {thing}, which is not among the things pinned")
    return task, phrasing, things, garment


def _with_distractors(
    rng: np.random.Generator, config: StartConfig, task: Task, needed: tuple[Thing, ...], *, crowded: bool
) -> tuple[Thing, ...]:
    """The needed things and some others, often alike in colour or kind."""
    count = int(rng.integers(0 if crowded else 1, config.max_distractors + 1))
    things = list(needed)
    for distractor in range(count):
        while True:
            thing = Thing(one_of(rng, tuple(COLORS)), one_of(rng, tuple(SHAPES)))
            if things and rng.random() < config.similar_distractors:
                # Like any of them: if all were like the target, one could tell it without reading the instruction.
                like = one_of(rng, things)
                thing = Thing(like.color, thing.kind) if rng.random() < 0.5 else Thing(thing.color, like.kind)
            # One of them at least could be what is meant.
            fit = distractor > 0 or fits(task.verb, thing, role="target")
            if thing not in things and fit:
                break
        things.append(thing)
    return tuple(things[k] for k in rng.permutation(len(things)))


def _told(
    rng: np.random.Generator,
    task: Task,
    things: tuple[Thing, ...],
    garment: tuple[str, str] | None,
    wrong: bool | str | Task,
) -> Task:
    """The task that the instruction names: the scored task, the wrong one asked for, or any wrong one about another target."""
    if wrong is False:
        return task
    if wrong is not True:
        told = check_task(parse(wrong)[0] if isinstance(wrong, str) else wrong)
        if told not in possible_tasks(VERBS, things, garment):
            raise ValueError(
                f"wrong_instruction speaks of what is not on the table: {told} with {things} and {garment}"
            )
        return told
    others = [other for other in possible_tasks((task.verb,), things, garment) if other.target != task.target]
    others = others or [
        other for other in possible_tasks(VERBS, things, garment) if other.target != task.target
    ]
    if not others:
        raise ValueError(
            "wrong_instruction wants something else on the table to speak of: pin more things, or none"
        )
    return one_of(rng, others)
