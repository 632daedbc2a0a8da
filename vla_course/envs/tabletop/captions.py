"""Captions of a table, and questions with their answers, from the true state.

They teach the names of colours and kinds that no action is about, as web data taught the published model names of things
that no robot had touched. Left, right, near and far are the robot's. Everything is drawn by the generator that is given.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from vla_course.envs.table import TABLE_MATERIALS
from vla_course.envs.tabletop.config import COLORS, VERBS
from vla_course.envs.tabletop.garments import PARTS
from vla_course.envs.tabletop.language import name, phrasings, say
from vla_course.envs.tabletop.shapes import SHAPES
from vla_course.envs.tabletop.tasks import Thing, one_of, possible_tasks
from vla_course.envs.tabletop.world import TabletopWorld

NUMBERS = ("no", "one", "two", "three", "four", "five")
NEAR_X_M, FAR_X_M, SIDE_Y_M = 0.03, 0.13, 0.06
"""Borders between near, middle and far, and (both ways) between the middle and the sides."""
CLEAR_M = 0.05
"""Two things are only said to be left or right, nearer or farther, when they are that far apart that way."""


@dataclass(frozen=True)
class Question:
    """A question about what can be seen, its answer in a word or few, and which kind of question it is."""

    kind: str
    question: str
    answer: str


class SceneWords:
    """Captions and questions about one moment of a world."""

    def __init__(self, world: TabletopWorld) -> None:
        """Reads the state once; captions and questions are about this moment.

        Raises: RuntimeError if nothing was laid out yet.
        """
        start = world.start
        if start is None:
            raise RuntimeError("the table is empty: reset the environment first")
        self.things, self.garment = start.things, start.garment
        self.position = world.position.copy()
        self.held = None if world.held is None else self.things[world.held]
        self.table = TABLE_MATERIALS[start.table].removeprefix("table_")
        named = [Thing(*start.garment, part) for part in PARTS[start.garment[1]]] if start.garment else []
        self.parts = {part: world.anchor(part) for part in named}

    def caption(self, rng: np.random.Generator) -> str:
        """One sentence: all that is there, or how two things lie, or where one is."""
        ways = [self._list_all, self._list_all]
        if self.things:
            ways.append(self._say_where)
        if self._relations():
            ways += [self._say_relation, self._say_relation]
        if self.held is not None:
            ways.append(lambda rng: f"the hand holds {name(self.held)}" if self.held else "")
        return str(one_of(rng, ways)(rng))

    def questions(self, rng: np.random.Generator) -> list[Question]:
        """One question of every kind that makes sense here, in any order. Yes is as often right as no."""
        kinds: dict[str, Callable[[np.random.Generator], tuple[str, str] | None]] = {
            "exists": self._ask_exists,
            "count": self._ask_count,
            "color": self._ask_color,
            "kind": self._ask_kind,
            "where": self._ask_where,
            "relation": self._ask_relation,
            "beside": self._ask_nearest,
            "part": self._ask_part,
            "meaning": self._ask_meaning,
            "table": lambda rng: ("what is the table made of?", self.table),
            "holding": lambda rng: ("what is in the hand?", name(self.held) if self.held else "nothing"),
        }
        asked = ((kind, ask(rng)) for kind, ask in kinds.items())
        questions = [Question(kind, *words) for kind, words in asked if words is not None]
        return [questions[k] for k in rng.permutation(len(questions))]

    # Captions

    def _list_all(self, rng: np.random.Generator) -> str:
        names = [_a(thing) for thing in self.things]
        if self.garment:
            names.append(
                f"{'' if self.garment[1] == 'trousers' else 'a '}{self.garment[0]} {self.garment[1]}"
            )
            names[-1] = _article(names[-1])
        names = [names[k] for k in rng.permutation(len(names))]
        verb = one_of(rng, ("on the {table} table: {all}", "{all} on a table of {table}", "there is {all}"))
        return str(verb.format(table=self.table, all=_and(names)))

    def _say_where(self, rng: np.random.Generator) -> str:
        k = int(rng.integers(len(self.things)))
        return f"{name(self.things[k])} is {place_name(self.position[k])}"

    def _say_relation(self, rng: np.random.Generator) -> str:
        a, words, b = one_of(rng, self._relations())
        return f"{name(self.things[a])} is {words} {name(self.things[b])}"

    # Questions

    def _ask_exists(self, rng: np.random.Generator) -> tuple[str, str] | None:
        if self.things and rng.random() < 0.5:
            thing = one_of(rng, self.things)
            return f"is there {_a(thing)}?", "yes"
        # What is not there is often nearly there: the colour of one thing and the kind of another.
        colors = [thing.color for thing in self.things] + [one_of(rng, COLORS)]
        kinds = [thing.kind for thing in self.things] + [one_of(rng, SHAPES)]
        absent = [Thing(c, k) for c in colors for k in kinds if Thing(c, k) not in self.things]
        return (f"is there {_a(one_of(rng, absent))}?", "no") if absent else None

    def _ask_count(self, rng: np.random.Generator) -> tuple[str, str] | None:
        kind = one_of(rng, [thing.kind for thing in self.things] + [one_of(rng, SHAPES)])
        count = sum(thing.kind == kind for thing in self.things)
        return f"how many {_plural(kind)} are there?", NUMBERS[count]

    def _ask_color(self, rng: np.random.Generator) -> tuple[str, str] | None:
        pairs = [thing.pair for thing in self.things] + ([self.garment] if self.garment else [])
        kinds = [kind for _, kind in pairs]
        single = [pair for pair in pairs if kinds.count(pair[1]) == 1]
        if not single:
            return None
        color, kind = one_of(rng, single)
        return f"what colour {'are' if kind == 'trousers' else 'is'} the {kind}?", color

    def _ask_kind(self, rng: np.random.Generator) -> tuple[str, str] | None:
        pairs = [thing.pair for thing in self.things] + ([self.garment] if self.garment else [])
        colors = [color for color, _ in pairs]
        single = [pair for pair in pairs if colors.count(pair[0]) == 1]
        if not single:
            return None
        color, kind = one_of(rng, single)
        return f"what is {color}?", f"the {kind}"

    def _ask_where(self, rng: np.random.Generator) -> tuple[str, str] | None:
        if not self.things:
            return None
        k = int(rng.integers(len(self.things)))
        return f"where is {name(self.things[k])}?", place_name(self.position[k])

    def _ask_relation(self, rng: np.random.Generator) -> tuple[str, str] | None:
        if not self._relations():
            return None
        a, words, b = one_of(rng, self._relations())
        if rng.random() < 0.5:
            return f"is {name(self.things[a])} {words} {name(self.things[b])}?", "yes"
        return f"is {name(self.things[b])} {words} {name(self.things[a])}?", "no"

    def _ask_nearest(self, rng: np.random.Generator) -> tuple[str, str] | None:
        if len(self.things) < 3:
            return None
        k = int(rng.integers(len(self.things)))
        distance = np.linalg.norm((self.position - self.position[k])[:, :2], axis=1)
        distance[k] = np.inf
        first, second = np.argsort(distance)[:2]
        if distance[second] - distance[first] < CLEAR_M / 2:
            return None
        return f"what is next to {name(self.things[k])}?", name(self.things[first])

    def _ask_part(self, rng: np.random.Generator) -> tuple[str, str] | None:
        if not self.parts:
            return None
        part = one_of(rng, self.parts)
        return f"where is the {part.part}?", place_name(self.parts[part])

    def _ask_meaning(self, rng: np.random.Generator) -> tuple[str, str] | None:
        """What an instruction asks for, in plain words. So a phrasing that no demonstration uses is still language."""
        tasks = possible_tasks(VERBS, self.things, self.garment)
        if not tasks:
            return None
        task = one_of(rng, tasks)
        plain, *others = phrasings(task.verb, seen=True)
        phrasing = one_of(rng, (*others, *phrasings(task.verb, seen=False)))
        return f"what does '{say(task, phrasing)}' mean?", say(task, plain)

    def _relations(self) -> list[tuple[int, str, int]]:
        """All relations between two things: (index, "left of", index)."""
        relations = []
        for a in range(len(self.things)):
            for b in range(len(self.things)):
                dx, dy = (self.position[a] - self.position[b])[:2]
                if a == b or max(abs(dx), abs(dy)) < CLEAR_M:
                    continue
                if abs(dy) > abs(dx):
                    relations.append((a, "left of" if dy > 0 else "right of", b))
                else:
                    relations.append((a, "farther away than" if dx > 0 else "nearer than", b))
        return relations


def place_name(position: Float[np.ndarray, "3"]) -> str:
    """Where on the table a point is, as the robot sees it: one of nine places, like "far left" or "in the middle"."""
    x, y = float(position[0]), float(position[1])
    depth = "near" if x < NEAR_X_M else "far" if x > FAR_X_M else ""
    side = "left" if y > SIDE_Y_M else "right" if y < -SIDE_Y_M else ""
    if not depth and not side:
        return "in the middle"
    return " ".join(word for word in (depth, side or "middle") if word) if depth else f"middle {side}"


def _a(thing: Thing) -> str:
    return _article(f"a {thing.color} {thing.kind}")


def _article(words: str) -> str:
    return "an" + words[1:] if words.startswith("a ") and words[2] in "aeiou" else words


def _plural(kind: str) -> str:
    return f"{kind}s"


def _and(names: list[str]) -> str:
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part) or "nothing"
