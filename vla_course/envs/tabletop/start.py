"""How an episode starts: a task, its words, and a table laid for it. Drawn from the ranges, or pinned by `reset(options=...)`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

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
from vla_course.envs.tabletop.garments import GARMENTS, FlatGarment, flat_garment
from vla_course.envs.tabletop.language import Phrasing, parse, phrasings, say
from vla_course.envs.tabletop.shapes import SHAPES
from vla_course.envs.tabletop.tasks import (
    DIRECTIONS,
    Task,
    Thing,
    check_task,
    draw_task,
    possible_tasks,
    split_of,
)

NUM_THINGS = 5
PUSH_M = 0.10
"""How far a thing has to be pushed in a direction."""
_HALF_HAND_M, _BEHIND_M = 0.055, 0.11
_TRIES = 300

OPTIONS = (
    "task",
    "instruction",
    "split",
    "wrong_instruction",
    "things",
    "garment",
    "position",
    "yaw",
    "garment_pose",
    "table",
    "hand_offset",
    "hand_yaw",
    "color_shift",
    "camera_jitter",
    "camera_turn",
    "brightness",
    "warmth",
    "light_shift",
)


@dataclass(frozen=True)
class Start:
    """One starting state of the task, all of it."""

    task: Task
    """What is scored."""
    told: Task
    """What is said: the task, unless a wrong instruction was asked for."""
    phrasing: Phrasing
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
        """What is said, in words."""
        return say(self.told, self.phrasing)

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

    `options` may hold: task (a verb or a Task), instruction (words, which pin the task too), split, wrong_instruction (True: say
    another task than the one scored), things ((colour, kind) pairs), garment ((colour, kind)), position (one (x, y) a thing, m),
    yaw (rad), garment_pose (x, y, yaw), table (an index), hand_offset (m), hand_yaw (rad), color_shift, camera_jitter (m), camera_turn (rad),
    brightness, warmth, light_shift.

    Raises: ValueError for an option that is not known or does not fit.
    """
    pinned = dict(options or {})
    for name in pinned:
        if name not in OPTIONS:
            raise ValueError(f"unknown reset option {name!r}: the options are {', '.join(OPTIONS)}")
    about, layout, looks = (np.random.default_rng(seed) for seed in rng.integers(2**63, size=3))
    task, phrasing, things, garment = _choose(about, config, verbs, pinned.get("split", split), pinned)
    pose, position, yaw, things = _lay(layout, config, task, things, garment, pinned)
    told = _told(about, task, things, garment) if pinned.get("wrong_instruction", False) else task
    if told.verb != phrasing_verb(phrasing):
        phrasing = _one_of(about, phrasings(told.verb, seen=phrasing.seen))
    low, high = config.brightness_range
    shift, jitter = config.color_jitter, config.camera_jitter_m
    drawn: dict[str, Any] = {
        "table": int(looks.integers(len(TABLE_MATERIALS))),
        "hand_offset": looks.uniform(-config.hand_position_m, config.hand_position_m, 3),
        "hand_yaw": float(looks.uniform(-config.hand_yaw_rad, config.hand_yaw_rad)),
        "color_shift": looks.uniform(-shift, shift, (NUM_THINGS + 1, 3)),
        "camera_jitter": looks.uniform(-jitter, jitter, (num_cameras, 3)),
        "camera_turn": looks.uniform(-config.camera_turn_rad, config.camera_turn_rad, (num_cameras, 3)),
        "brightness": float(looks.uniform(low, high)),
        "warmth": float(looks.uniform(-config.warmth, config.warmth)),
        "light_shift": looks.uniform(-config.light_shift, config.light_shift, 2),
    }
    for name in drawn:
        if name in pinned:
            drawn[name] = _fitting(name, pinned[name], drawn[name])
    return Start(
        task=task,
        told=told,
        phrasing=phrasing,
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


# What it is about


def _choose(
    rng: np.random.Generator,
    config: StartConfig,
    verbs: tuple[str, ...],
    split: str,
    pinned: Mapping[str, Any],
) -> tuple[Task, Phrasing, tuple[Thing, ...], tuple[str, str] | None]:
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}: the known ones are {', '.join(SPLITS)}")
    unseen = split in (UNSEEN_COMBINATION, UNSEEN_BOTH)
    seen_words = split in (SEEN, UNSEEN_COMBINATION)
    things = tuple(_thing(pair) for pair in pinned["things"]) if "things" in pinned else None
    if things is not None and (len(things) > NUM_THINGS or len(set(things)) < len(things)):
        raise ValueError(f"want at most {NUM_THINGS} different things on the table, not {pinned['things']}")
    garment = _garment(pinned["garment"]) if pinned.get("garment") is not None else None
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
        task = _one_of(rng, fitting)
    else:
        task = draw_task(rng, verbs, unseen=unseen, garment_share=config.garment_share)
    phrasing = phrasing or _one_of(rng, phrasings(task.verb, seen=seen_words))
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
    for _ in range(count):
        while True:
            thing = Thing(_one_of(rng, tuple(COLORS)), _one_of(rng, tuple(SHAPES)))
            if needed and rng.random() < config.similar_distractors:
                like = needed[0]
                thing = Thing(like.color, thing.kind) if rng.random() < 0.5 else Thing(thing.color, like.kind)
            if thing not in things:
                break
        things.append(thing)
    return tuple(things[:NUM_THINGS])


def _told(
    rng: np.random.Generator, task: Task, things: tuple[Thing, ...], garment: tuple[str, str] | None
) -> Task:
    """Another task that could be asked here, about another target."""
    others = [other for other in possible_tasks((task.verb,), things, garment) if other.target != task.target]
    others = others or [
        other for other in possible_tasks(VERBS, things, garment) if other.target != task.target
    ]
    if not others:
        raise ValueError(
            "wrong_instruction wants something else on the table to speak of: pin more things, or none"
        )
    told: Task = _one_of(rng, others)
    return told


# Where it lies


def _lay(
    rng: np.random.Generator,
    config: StartConfig,
    task: Task,
    things: tuple[Thing, ...],
    garment: tuple[str, str] | None,
    pinned: Mapping[str, Any],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[Thing, ...]]:
    """Garment pose, positions, yaws; distractors that find no room stay away."""
    turn = config.garment_yaw_rad
    middle = np.array([np.mean(config.x_range_m), 0.0])
    pose = np.array(
        [
            *(middle + rng.uniform(-config.garment_position_m, config.garment_position_m, 2)),
            rng.uniform(-turn, turn),
        ]
    )
    if "garment_pose" in pinned:
        pose = _fitting("garment_pose", pinned["garment_pose"], pose)
    cloth = flat_garment(garment[1]) if garment else None
    yaw = rng.uniform(-np.pi, np.pi, NUM_THINGS)[: len(things)]
    if "yaw" in pinned:
        yaw = _fitting("yaw", pinned["yaw"], yaw)
    if "position" in pinned:
        return pose, _fitting("position", pinned["position"], np.zeros((len(things), 2))), yaw, things
    needed = sum(not thing.on_garment for thing in task.things)
    fixed = "things" in pinned
    # The needed things first: without them there is no task, and the others can stay away.
    order = sorted(range(len(things)), key=lambda k: things[k] not in task.things)
    for _ in range(_TRIES):
        spots: dict[int, np.ndarray] = {}
        for k in order:
            spot = _free_spot(rng, config, things, spots, k, cloth, pose)
            if spot is not None:
                spots[k] = spot
        kept = tuple(k for k in range(len(things)) if k in spots)
        if sum(things[k] in task.things for k in kept) < needed or (fixed and len(kept) < len(things)):
            continue
        chosen = tuple(things[k] for k in kept)
        position = np.array([spots[k] for k in kept]).reshape(-1, 2)
        if _way_is_clear(task, chosen, position, config):
            return pose, position, yaw[list(kept)], chosen
    raise ValueError(f"no room on the table for {things} and {garment}: pin fewer things, or their positions")


def _free_spot(
    rng: np.random.Generator,
    config: StartConfig,
    things: tuple[Thing, ...],
    spots: Mapping[int, np.ndarray],
    k: int,
    cloth: FlatGarment | None,
    pose: np.ndarray,
) -> np.ndarray | None:
    radius = SHAPES[things[k].kind].radius_m
    for _ in range(12):
        spot = np.array([rng.uniform(*config.x_range_m), rng.uniform(*config.y_range_m)])
        gap = min(
            (
                float(np.linalg.norm(spot - other)) - radius - SHAPES[things[j].kind].radius_m
                for j, other in spots.items()
            ),
            default=1.0,
        )
        if gap >= config.min_gap_m and (cloth is None or not _covers(cloth, pose, spot, radius + 0.01)):
            return spot
    return None


def _covers(cloth: FlatGarment, pose: np.ndarray, spot: np.ndarray, radius_m: float) -> bool:
    cosine, sine = np.cos(pose[2]), np.sin(pose[2])
    local = np.array([[cosine, sine], [-sine, cosine]]) @ (spot - pose[:2])
    return bool((np.linalg.norm(cloth.vertices - local, axis=1) < radius_m + 0.02).any())


def _way_is_clear(
    task: Task, things: tuple[Thing, ...], position: Float[np.ndarray, "N 2"], config: StartConfig
) -> bool:
    """Whether a hand behind the target can push it where it should go, without pushing anything else."""
    if task.verb not in ("push_to", "push_direction"):
        return True
    target = things.index(task.target)
    here, radius = position[target], SHAPES[task.target.kind].radius_m
    skip = {target}
    if task.destination is not None:
        place = things.index(task.destination)
        skip.add(place)
        way = position[place] - here
        length = float(np.linalg.norm(way)) - radius - SHAPES[task.destination.kind].radius_m
        if not 0.07 <= length <= 0.24:
            return False
        way = way / np.linalg.norm(way)
    else:
        way, length = np.array(DIRECTIONS[task.direction or ""]), PUSH_M + 0.02
    begin, end = here - (radius + _BEHIND_M) * way, here + length * way
    low = np.array([config.x_range_m[0] - 0.13, config.y_range_m[0] - 0.13])
    high = np.array([config.x_range_m[1] + 0.13, config.y_range_m[1] + 0.13])
    if (begin < low).any() or (begin > high).any():
        return False
    if (end < low + 0.10).any() or (end > high - 0.10).any():
        return False
    for k, thing in enumerate(things):
        if k not in skip:
            room = SHAPES[thing.kind].radius_m + max(radius, _HALF_HAND_M) + 0.01
            if _distance_to_segment(position[k], begin, end) < room:
                return False
    return True


def _distance_to_segment(point: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
    share = float(np.clip((point - a) @ (b - a) / ((b - a) @ (b - a)), 0, 1))
    return float(np.linalg.norm(point - a - share * (b - a)))


# What was pinned


def _thing(pair: Any) -> Thing:
    try:
        color, kind = pair.pair if isinstance(pair, Thing) else pair
    except (TypeError, ValueError):
        raise ValueError(f"a thing is a (colour, kind), like ('red', 'cube'), not {pair!r}") from None
    if color not in COLORS or kind not in SHAPES:
        raise ValueError(
            f"unknown thing {(color, kind)}: colours are {', '.join(COLORS)}, kinds {', '.join(SHAPES)}"
        )
    return Thing(color, kind)


def _garment(pair: Any) -> tuple[str, str]:
    try:
        color, kind = pair
    except (TypeError, ValueError):
        raise ValueError(f"a garment is a (colour, kind), like ('blue', 't-shirt'), not {pair!r}") from None
    if color not in COLORS or kind not in GARMENTS:
        raise ValueError(
            f"unknown garment {(color, kind)}: colours are {', '.join(COLORS)}, kinds {', '.join(GARMENTS)}"
        )
    return color, kind


def _fitting(name: str, value: Any, like: Any) -> Any:
    if name == "table":
        count = len(TABLE_MATERIALS)
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 0 <= value < count:
            raise ValueError(f"reset option 'table' is an index from 0 to {count - 1}, not {value!r}")
        return int(value)
    try:
        array = np.array(np.broadcast_to(np.asarray(value, dtype=float), np.shape(like)))
    except (TypeError, ValueError):
        raise ValueError(
            f"reset option {name!r} wants numbers of shape {np.shape(like)}, not {value!r}"
        ) from None
    if not np.isfinite(array).all():
        raise ValueError(f"reset option {name!r} holds {value!r}: give finite numbers")
    return float(array) if np.shape(like) == () else array


def _one_of(rng: np.random.Generator, choices: Iterable[Any]) -> Any:
    listed = list(choices)
    return listed[int(rng.integers(len(listed)))]
