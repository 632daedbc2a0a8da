"""Success and failure of tasks: strict rules, one for each verb.

| verb           | done                                                                    | failed                            |
|----------------|-------------------------------------------------------------------------|-----------------------------------|
| touch          | the first thing or part of a garment that the robot touches is the named one | something else is touched first |
| push_to        | at most 20 mm between the circles around the two things                  | held, or something else disturbed |
| push_direction | 0.10 m that way, at most 0.05 m to the side                             | held, or something else disturbed |
| pick_up        | held, its lowest point 0.08 m above where it stood                      | something else disturbed          |
| put            | in or on the other thing, at rest, upon it, the hand open               | something else disturbed          |

Disturbed is what moved by more than 0.05 m; for `push_to` and `put` that includes the destination.
"""

import numpy as np
from jaxtyping import Float

from vla_course.envs.tabletop.layout import PUSH_M
from vla_course.envs.tabletop.shapes import SHAPES
from vla_course.envs.tabletop.tasks import DIRECTIONS, Task
from vla_course.envs.tabletop.world import OPEN_BELOW, TabletopWorld

TOUCHING_GAP_M = 0.02
PUSH_ASIDE_M = 0.05
LIFT_M = 0.08
DISTURBED_M = 0.05
REST_SPEED_M_S = 0.05
CENTRED_SHARE = 0.65
"""How far from the middle of a bowl or plate a thing may lie, as a share of its radius."""
UPON_M = 0.06


class Goal:
    """Tracks success and failure of one task in one episode. Call `look` once in every control tick."""

    def __init__(self, task: Task, world: TabletopWorld) -> None:
        """The present state of the world is the reference for what moves later."""
        assert world.start is not None
        self.task, self._world = task, world
        things = world.start.things
        self.target = None if task.target.on_garment else things.index(task.target)
        self.place = None if task.destination is None else things.index(task.destination)
        self._names = [f"{thing.color} {thing.kind}" for thing in things]
        self._home = world.position.copy()
        self._initial = 0.0
        self._initial = self.missing_m()
        self.touched: str | None = None
        """Name of what the robot touched first."""
        self.failure: str | None = None
        self.success = False

    @property
    def home(self) -> Float[np.ndarray, "3"]:
        """Where the target stood at first."""
        assert self.target is not None
        home: Float[np.ndarray, "3"] = self._home[self.target]
        return home

    def look(self) -> None:
        """Update `touched`, `success` and `failure` from the present state."""
        if self.success or self.failure:
            return
        self._first_touch()
        if self.task.verb == "touch":
            if self.touched is not None:
                wanted = self.task.target.part or self._names[self.target or 0]
                self.success = self.touched == wanted
                self.failure = None if self.success else f"touched the {self.touched} first"
            return
        self.failure = self._spoiled()
        self.success = self.failure is None and self._done()

    def begins_done(self) -> bool:
        """Whether there is nothing to do."""
        return self.task.verb != "touch" and self._done()

    def missing_m(self) -> float:
        """How far the target still has to go, metres; 0 when touched things need not move."""
        world, verb = self._world, self.task.verb
        if self.target is None or verb == "touch":
            return 0.0
        here = world.position[self.target]
        if verb == "pick_up":
            return max(0.0, LIFT_M - self._lifted_m())
        if verb == "push_direction":
            way = np.array(DIRECTIONS[self.task.direction or ""])
            return max(0.0, PUSH_M - float((here - self._home[self.target])[:2] @ way))
        assert self.place is not None
        apart = float(np.linalg.norm((here - world.position[self.place])[:2]))
        if verb == "push_to":
            return max(0.0, apart - self._radius(self.target) - self._radius(self.place) - TOUCHING_GAP_M)
        return apart

    @property
    def progress(self) -> float:
        """The share of the way that the target has gone, 0 to 1."""
        if self._initial <= 0:
            return 0.0
        return float(np.clip(1 - self.missing_m() / self._initial, 0, 1))

    def _done(self) -> bool:
        world, task = self._world, self.task
        assert self.target is not None
        if task.verb == "pick_up":
            return world.held == self.target and self._lifted_m() >= LIFT_M
        if self.missing_m() > 0 and task.verb != "put":
            return False
        here = world.position[self.target]
        if task.verb == "push_direction":
            way = np.array(DIRECTIONS[task.direction or ""])
            moved = (here - self._home[self.target])[:2]
            return float(np.linalg.norm(moved - (moved @ way) * way)) <= PUSH_ASIDE_M
        if task.verb == "push_to":
            return True
        return self._upon() and world.held is None and world.commanded_closure < OPEN_BELOW

    def _upon(self) -> bool:
        world = self._world
        assert self.target is not None and self.place is not None and self.task.destination is not None
        there = SHAPES[self.task.destination.kind]
        offset = world.position[self.target] - world.position[self.place]
        bottom = float(world.position[self.target][2]) - self._half_extent_m()
        centred = float(np.linalg.norm(offset[:2])) <= CENTRED_SHARE * there.radius_m
        upon = there.floor_m / 2 < bottom < UPON_M
        return centred and upon and float(world.speed[self.target]) < REST_SPEED_M_S

    def _half_extent_m(self) -> float:
        """A little less than half the thing's smallest width: what lies on the table has its bottom at 0 or above."""
        assert self.target is not None
        shape = SHAPES[self.task.target.kind]
        return min(shape.rest_m, shape.radius_m) if self._world.upright[self.target] < 0.9 else shape.rest_m

    def _lifted_m(self) -> float:
        assert self.target is not None
        return float(self._world.position[self.target][2] - self._home[self.target][2])

    def _radius(self, place: int) -> float:
        assert self._world.start is not None
        return SHAPES[self._world.start.things[place].kind].radius_m

    def _spoiled(self) -> str | None:
        moved = np.linalg.norm((self._world.position - self._home)[:, :2], axis=1)
        for k, name in enumerate(self._names):
            if k != self.target and moved[k] > DISTURBED_M:
                return f"the {name} was disturbed"
        if self.task.verb.startswith("push") and self._world.held is not None:
            return f"the {self._names[self._world.held]} was held"
        return None

    def _first_touch(self) -> None:
        if self.touched is not None:
            return
        touch = self._world.touch()
        names = [*(self._names[k] for k in touch.places), *([touch.part] if touch.part else [])]
        if not names:
            return
        wanted = self.task.target.part or self._names[self.target or 0]
        # Fingers that come down on two things at once have not touched the one that was meant first.
        wrong = [name for name in names if name != wanted]
        self.touched = wrong[0] if wrong else wanted
