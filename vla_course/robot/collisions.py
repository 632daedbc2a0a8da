"""Collision groups: which geoms of the simulated world touch each other.

MuJoCo lets two geoms touch when `(a.contype & b.conaffinity) | (b.contype & a.conaffinity)` is not zero. We read `contype`
as "what I am" and `conaffinity` as "what stops me":

| what        | contype (what I am) | conaffinity (what stops me) |
|-------------|---------------------|-----------------------------|
| table plane | TABLE               | nothing                     |
| cloth       | nothing             | TABLE                       |
| left robot  | LEFT_ROBOT          | TABLE, RIGHT_ROBOT          |
| right robot | RIGHT_ROBOT         | TABLE, LEFT_ROBOT           |
| thing       | THING               | TABLE, both robots, THING   |

So the two robots stop each other, the table stops everything, and robots push things (cubes, bowls) about. A robot is not stopped by its own links, and cloth not by a
hand: a hand holds cloth through the grasp assist, and contact between the two would cost more than it shows.
"""

import enum
from typing import NamedTuple


class Group(enum.IntFlag):
    """One bit for each collision group."""

    NOTHING = 0
    TABLE = 1
    LEFT_ROBOT = 2
    RIGHT_ROBOT = 4
    THING = 8


class CollisionBits(NamedTuple):
    """The two bit masks of one geom, named as MuJoCo names them."""

    contype: int
    conaffinity: int


NO_COLLISION = CollisionBits(Group.NOTHING, Group.NOTHING)
TABLE_COLLISION = CollisionBits(Group.TABLE, Group.NOTHING)
CLOTH_COLLISION = CollisionBits(Group.NOTHING, Group.TABLE)
THING_COLLISION = CollisionBits(Group.THING, Group.TABLE | Group.LEFT_ROBOT | Group.RIGHT_ROBOT | Group.THING)
ROBOT_COLLISION = {
    "left": CollisionBits(Group.LEFT_ROBOT, Group.TABLE | Group.RIGHT_ROBOT),
    "right": CollisionBits(Group.RIGHT_ROBOT, Group.TABLE | Group.LEFT_ROBOT),
}
