"""Where things lie at the start: apart from one another, beside the garment, with room for the hand that pushes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from vla_course.envs.arguments import pinned_value
from vla_course.envs.tabletop.config import StartConfig
from vla_course.envs.tabletop.garments import FlatGarment, flat_garment
from vla_course.envs.tabletop.shapes import SHAPES
from vla_course.envs.tabletop.tasks import DIRECTIONS, Task, Thing

PUSH_M = 0.10
"""How far a thing has to be pushed in a direction."""
_HALF_HAND_M, _BEHIND_M = 0.055, 0.11
_TRIES = 300


def lay(
    rng: np.random.Generator,
    config: StartConfig,
    task: Task,
    things: tuple[Thing, ...],
    garment: tuple[str, str] | None,
    pinned: Mapping[str, Any],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[Thing, ...]]:
    """Garment pose, positions, yaws, and the things that were placed: distractors without room are left out.

    Raises: ValueError if what is needed or pinned finds no room.
    """
    turn = config.garment_yaw_rad
    middle = np.array([np.mean(config.x_range_m), 0.0])
    pose = np.array(
        [
            *(middle + rng.uniform(-config.garment_position_m, config.garment_position_m, 2)),
            rng.uniform(-turn, turn),
        ]
    )
    if "garment_pose" in pinned:
        pose = pinned_value("garment_pose", pinned["garment_pose"], pose)
    cloth = flat_garment(garment[1]) if garment else None
    yaw = rng.uniform(-np.pi, np.pi, len(things))
    if "yaw" in pinned:
        yaw = pinned_value("yaw", pinned["yaw"], yaw)
    if "position" in pinned:
        return pose, pinned_value("position", pinned["position"], np.zeros((len(things), 2))), yaw, things
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
