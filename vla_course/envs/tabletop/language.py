"""Instructions: from a task to a sentence, and back.

Every verb has several phrasings, some of them held out for tests: no policy was trained on those. All are one-to-one:
`parse(say(task, phrasing))` returns the task and the phrasing.
"""

import re
from dataclasses import dataclass
from functools import cache

from vla_course.envs.tabletop.config import COLORS
from vla_course.envs.tabletop.garments import PARTS
from vla_course.envs.tabletop.shapes import SHAPES
from vla_course.envs.tabletop.tasks import Task, Thing

PHRASINGS: dict[str, tuple[str, ...]] = {
    "touch": ("touch {a}", "tap {a}", "put a finger on {a}", "go and touch {a}"),
    "push_to": ("push {a} to {b}", "slide {a} over to {b}", "push {a} up to {b}", "move {a} next to {b}"),
    "push_direction": (
        "push {a} {way}",
        "slide {a} {way}",
        "move {a} a little {way}",
        "push {a} a bit {way}",
    ),
    "pick_up": ("pick up {a}", "lift {a}", "take {a}", "grab {a} and lift it"),
    "put": (
        "put {a} {on} {b}",
        "place {a} {on} {b}",
        "set {a} down {on} {b}",
        "pick up {a} and put it {on} {b}",
    ),
}
"""Phrasings used in training."""

HELD_OUT_PHRASINGS: dict[str, tuple[str, ...]] = {
    "touch": ("poke {a}", "make contact with {a}"),
    "push_to": ("shove {a} against {b}", "bring {a} beside {b}"),
    "push_direction": ("shove {a} {way}", "nudge {a} {way}"),
    "pick_up": ("raise {a} off the table", "hold {a} up"),
    "put": ("drop {a} {onto} {b}", "lay {a} {on} {b}"),
}
"""Phrasings used in tests only."""

WAYS = {
    "left": "to the left",
    "right": "to the right",
    "away": "away from the robot",
    "near": "towards the robot",
}


@dataclass(frozen=True)
class Phrasing:
    """One way to say a verb: its template, and whether it is used in training."""

    template: str
    seen: bool


def phrasings(verb: str, *, seen: bool) -> tuple[Phrasing, ...]:
    """All phrasings of a verb that are used in training, or all that are not."""
    return tuple(Phrasing(text, seen) for text in (PHRASINGS if seen else HELD_OUT_PHRASINGS)[verb])


def name(thing: Thing) -> str:
    """A thing in words: "the red cube", "the left sleeve of the blue t-shirt"."""
    whole = f"the {thing.color} {thing.kind}"
    return f"the {thing.part} of {whole}" if thing.part else whole


def say(task: Task, phrasing: Phrasing) -> str:
    """The task in these words."""
    words = {"a": name(task.target), "way": WAYS.get(task.direction or "", "")}
    if task.destination is not None:
        preposition = SHAPES[task.destination.kind].holds or "on"
        words |= {"b": name(task.destination), "on": preposition, "onto": f"{preposition}to"}
    return phrasing.template.format(**words)


def parse(instruction: str) -> tuple[Task, Phrasing]:
    """The task that an instruction asks for, and the phrasing it uses.

    Raises: ValueError if no phrasing of the course says that.
    """
    text = " ".join(instruction.lower().split()).rstrip(".!")
    for pattern, verb, phrasing in _patterns():
        match = re.fullmatch(pattern, text)
        if match is None:
            continue
        groups = match.groupdict()
        target = _thing(groups["a"])
        destination = _thing(groups["b"]) if groups.get("b") else None
        way = next((key for key, words in WAYS.items() if words == groups.get("way")), None)
        preposition = groups.get("on") or (groups.get("onto") or "").removesuffix("to")
        if target is None or (groups.get("b") and destination is None):
            continue
        if preposition and destination is not None and SHAPES[destination.kind].holds != preposition:
            continue
        return Task(verb, target, destination, way), phrasing
    raise ValueError(
        f"cannot read {instruction!r}: say it like {', '.join(repr(texts[0]) for texts in PHRASINGS.values())}"
    )


@cache
def _patterns() -> tuple[tuple[str, str, Phrasing], ...]:
    """Regular expressions, the longest template first: "push … up to" must not be read as "push … to"."""
    pieces = {
        "a": "(?P<a>the .+?)",
        "b": "(?P<b>the .+?)",
        "way": f"(?P<way>{'|'.join(WAYS.values())})",
        "on": "(?P<on>in|on)",
        "onto": "(?P<onto>into|onto)",
    }
    every = [
        (verb, phrasing)
        for verb in PHRASINGS
        for seen in (True, False)
        for phrasing in phrasings(verb, seen=seen)
    ]
    every.sort(key=lambda item: -len(item[1].template))
    return tuple((phrasing.template.format(**pieces), verb, phrasing) for verb, phrasing in every)


def _thing(words: str) -> Thing | None:
    match = re.fullmatch(r"(?:the (?P<part>.+) of )?the (?P<color>\S+) (?P<kind>\S+)", words)
    if match is None:
        return None
    part, color, kind = match["part"] or "", match["color"], match["kind"]
    known = color in COLORS and (part in PARTS[kind] if kind in PARTS else kind in SHAPES and not part)
    return Thing(color, kind, part) if known else None
