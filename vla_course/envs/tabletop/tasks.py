"""Tasks of the arm, and which combinations of verb, colour and kind are held out.

A task is data: verb, target, and destination or direction. `goals.py` decides success, `language.py` words the instruction.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from vla_course.envs.arguments import check_known
from vla_course.envs.tabletop.config import (
    COLORS,
    HELD_OUT_PAIRS,
    HELD_OUT_TRIPLES,
    UNSEEN_COMBINATION,
    VERBS,
)
from vla_course.envs.tabletop.garments import GARMENTS, PARTS
from vla_course.envs.tabletop.shapes import SHAPES

Choice = TypeVar("Choice")

DIRECTIONS: dict[str, tuple[float, float]] = {
    "left": (0.0, 1.0),
    "right": (0.0, -1.0),
    "away": (1.0, 0.0),
    "near": (-1.0, 0.0),
}
"""Directions on the table as the robot sees them: unit vectors (x, y)."""


@dataclass(frozen=True, order=True)
class Thing:
    """A thing that an instruction can name: a colour, a kind (a shape or a garment), and for a garment one of its parts."""

    color: str
    kind: str
    part: str = ""

    @property
    def pair(self) -> tuple[str, str]:
        """Colour and kind."""
        return self.color, self.kind

    @property
    def on_garment(self) -> bool:
        """Whether this is a part of a garment."""
        return bool(self.part)


@dataclass(frozen=True)
class Task:
    """A verb of VERBS, its target, and for some verbs a destination (another thing) or a direction."""

    verb: str
    target: Thing
    destination: Thing | None = None
    direction: str | None = None

    @property
    def things(self) -> tuple[Thing, ...]:
        """The target, then the destination if there is one."""
        return (self.target,) if self.destination is None else (self.target, self.destination)

    @property
    def held_out(self) -> bool:
        """Whether the combination of verb, colours and kinds is kept from the seen split."""
        return held_out(self.verb, self.things)


def held_out(verb: str, things: Iterable[Thing]) -> bool:
    """Whether these things with this verb are kept from the seen split; the first of them is what the verb acts on."""
    things = tuple(things)
    triple = (verb, *things[0].pair)
    return triple in HELD_OUT_TRIPLES or any(thing.pair in HELD_OUT_PAIRS for thing in things)


def check_task(task: Task) -> Task:
    """The task itself.

    Raises: ValueError if it makes no sense, and what would.
    """
    kinds = {**dict.fromkeys(SHAPES, ()), **PARTS}
    check_known("verb", [task.verb], VERBS)
    for thing in task.things:
        check_known("color", [thing.color], COLORS)
        check_known("kind", [thing.kind], kinds)
        known = kinds[thing.kind]
        if thing.part not in (known or ("",)):
            raise ValueError(
                f"a {thing.kind} has no part {thing.part!r}: its parts are {', '.join(known) or 'none'}"
            )
    if not fits(task.verb, task.target, role="target"):
        raise ValueError(f"one cannot {task.verb} a {task.target.kind}")
    needs_place = task.verb in ("push_to", "put")
    if needs_place != (task.destination is not None) or (task.verb == "push_direction") != bool(
        task.direction
    ):
        raise ValueError(
            "push_to and put want a destination, push_direction a direction, the others neither: "
            f"{task.verb} got destination={task.destination} and direction={task.direction!r}"
        )
    if task.direction is not None:
        check_known("direction", [task.direction], DIRECTIONS)
    if task.destination is not None and (
        task.destination == task.target or not fits(task.verb, task.destination, role="destination")
    ):
        raise ValueError(f"one cannot {task.verb} the {task.target.kind} to {task.destination}")
    return task


def fits(verb: str, thing: Thing, *, role: str) -> bool:
    """Whether a thing can be the target or the destination of a verb."""
    if thing.kind in GARMENTS:
        return verb == "touch" and role == "target"
    shape = SHAPES[thing.kind]
    if role == "destination":
        return verb == "push_to" or (verb == "put" and shape.holds is not None)
    return verb == "touch" or shape.graspable


def draw_task(
    rng: np.random.Generator, verbs: tuple[str, ...], *, unseen: bool, garment_share: float
) -> Task:
    """A task with one of these verbs, of which the combination is held out or, without `unseen`, is not.

    Every verb is as likely as every other; `garment_share` of the touches are of parts of garments.
    """
    verb = verbs[int(rng.integers(len(verbs)))]
    of_garments = verb == "touch" and rng.random() < garment_share
    while True:
        if of_garments:
            garment = one_of(rng, GARMENTS)
            target = Thing(one_of(rng, COLORS), garment, one_of(rng, PARTS[garment]))
            task = Task(verb, target)
        else:
            task = _draw_about_shapes(rng, verb)
        if task.held_out == unseen:
            return task


def _draw_about_shapes(rng: np.random.Generator, verb: str) -> Task:
    def draw(role: str) -> Thing:
        kinds = [kind for kind in SHAPES if fits(verb, Thing("red", kind), role=role)]
        return Thing(one_of(rng, COLORS), one_of(rng, kinds))

    target = draw("target")
    if verb == "push_direction":
        return Task(verb, target, direction=one_of(rng, DIRECTIONS))
    if verb not in ("push_to", "put"):
        return Task(verb, target)
    destination = draw("destination")
    while destination == target:
        destination = draw("destination")
    return Task(verb, target, destination=destination)


def possible_tasks(
    verbs: Iterable[str], present: Iterable[Thing], garment: tuple[str, str] | None
) -> list[Task]:
    """All tasks with these verbs about these things on the table and the garment there, given as (colour, kind)."""
    things = list(present)
    parts = [Thing(*garment, part) for part in PARTS[garment[1]]] if garment else []
    tasks = []
    for verb in verbs:
        for target in (*things, *parts):
            if not fits(verb, target, role="target"):
                continue
            if verb == "push_direction":
                tasks += [Task(verb, target, direction=name) for name in DIRECTIONS]
            elif verb in ("push_to", "put"):
                tasks += [
                    Task(verb, target, destination=place)
                    for place in things
                    if place != target and fits(verb, place, role="destination")
                ]
            else:
                tasks.append(Task(verb, target))
    return tasks


def split_of(task: Task, *, phrasing_seen: bool) -> str:
    """The split, one of SPLITS, of a task in a phrasing that is or is not used in training."""
    if task.held_out:
        return UNSEEN_COMBINATION if phrasing_seen else "unseen_both"
    return "seen" if phrasing_seen else "unseen_phrasing"


def one_of(rng: np.random.Generator, choices: Iterable[Choice]) -> Choice:
    """A random element, each as likely as the others."""
    listed = list(choices)
    return listed[int(rng.integers(len(listed)))]
