"""Recordings of tabletop episodes to watch: the policy's pictures, a view of the room, instruction and actions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from vla_course.envs.observations import TEXT_CHARACTERS
from vla_course.envs.table import CLOSE_CAMERA
from vla_course.envs.tabletop.config import VERBS
from vla_course.envs.tabletop.env import TabletopEnv
from vla_course.envs.tabletop.language import parse
from vla_course.envs.tabletop.tasks import Task, Thing, possible_tasks
from vla_course.evaluation.episodes import batch_of_one
from vla_course.policies.openvla import OpenVLAPolicy
from vla_course.video import film_strip

Table = Mapping[str, Any]
"""Reset options of a start, all but the instruction."""

TABLE: Table = {
    "things": [("red", "cube"), ("blue", "can"), ("green", "ball"), ("yellow", "plate")],
    "position": [(0.04, 0.15), (0.17, -0.03), (0.02, -0.10), (0.20, 0.15)],
    "yaw": [0.4, 0.0, 0.0, 0.0],
    "table": 0,
    "brightness": 1.0,
    "warmth": 0.0,
    "light_shift": 0.0,
    "color_shift": 0.0,
    "camera_jitter": 0.0,
    "camera_turn": 0.0,
    "hand_offset": 0.0,
    "hand_yaw": 0.0,
}
"""Four things far apart, in plain light: the course's first table."""
ROOM_CAMERA, ROOM_SIZE = "side", (240, 320)
CAPTION_PX = 46
COLORS = {True: "#007a57", False: "#b34700", None: "#444444"}


@dataclass(frozen=True)
class Recording:
    """One episode. There is one more picture than there are actions."""

    words: str
    seen: NDArray[np.uint8]
    """(T + 1, H, W, 3), the policy's pictures."""
    room: NDArray[np.uint8]
    """(T + 1, H, W, 3), the same moments, seen from the room."""
    actions: Float[np.ndarray, "T 7"]
    success: bool | None
    """None where the instruction is no task that could be scored."""
    outcome: str


def lay_table(seed: int, options: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Reset options that reproduce the table of a seed (and of `options`), without its instruction."""
    env = TabletopEnv()
    env.reset(seed=seed, options=None if options is None else dict(options))
    start = env.start
    table = {
        "things": [thing.pair for thing in start.things],
        "position": start.position,
        "yaw": start.yaw,
        "table": start.table,
        "hand_offset": start.hand_offset,
        "hand_yaw": start.hand_yaw,
        "color_shift": start.color_shift,
        "camera_jitter": start.camera_jitter,
        "camera_turn": start.camera_turn,
        "brightness": start.brightness,
        "warmth": start.warmth,
        "light_shift": start.light_shift,
    }
    garment = {"garment": start.garment, "garment_pose": start.garment_pose}
    return table | (garment if start.garment else {})


def tasks_of(table: Table) -> list[Task]:
    """All tasks that are possible at a table."""
    return possible_tasks(VERBS, [Thing(*pair) for pair in table["things"]], table.get("garment"))


def said_at(table: Table, words: str) -> tuple[dict[str, Any], bool]:
    """Reset options of this table with this instruction, and whether its task can be scored there.

    Where it cannot, the episode ends with the first touch of anything.
    """
    possible = tasks_of(table)
    try:
        task, _ = parse(words)
    except ValueError:
        task = None
    scored = task in possible
    first = next(one for one in possible if one.verb == "touch")
    return {**table, "words": words, **({"instruction": words} if scored else {"task": first})}, scored


def record(policy: OpenVLAPolicy, words: str, table: Table = TABLE) -> Recording:
    """Play one episode of the policy at a table, with `words` as instruction, and record it. Works in any thread.

    Raises:
        ValueError: words of more than 128 letters, with unknown letters, or that leave nothing to do at this table.
    """
    unknown = sorted(set(words) - set(TEXT_CHARACTERS))
    if unknown:
        raise ValueError(
            f"cannot say {' '.join(unknown)} here: instructions are plain English letters, digits and punctuation"
        )
    options, scored = said_at(table, words)
    env = TabletopEnv(cameras=(CLOSE_CAMERA,), image_size=policy.image_size)
    try:
        observation, info = env.reset(seed=0, options=options)
        seen, room, actions = [observation[f"image_{CLOSE_CAMERA}"]], [_room(env)], []
        policy.reset(np.array([True]))
        ended = False
        while not ended:
            action = policy.act(batch_of_one(observation, words))[0, 0]
            observation, _, terminated, truncated, info = env.step(action)
            ended = terminated or truncated
            actions.append(action)
            seen.append(observation[f"image_{CLOSE_CAMERA}"])
            room.append(_room(env))
    finally:
        env.close()
    success = bool(info["is_success"]) if scored else None
    outcome = _outcome(info, scored, len(actions), env.control_hz)
    return Recording(words, np.stack(seen), np.stack(room), np.stack(actions), success, outcome)


def side_by_side(recordings: Sequence[Recording]) -> NDArray[np.uint8]:
    """One film of several episodes that run at the same time, each with its words above and its outcome below.

    An episode that is over stands still. (T + 1, H, W, 3)
    """
    length = max(len(one.room) for one in recordings)
    films = []
    for one in recordings:
        last = len(one.room) - 1
        plain, ended = (_captioned(one, tail) for tail in ("", one.outcome))
        films.append(
            [
                np.concatenate([above, one.room[min(moment, last)], below])
                for moment in range(length)
                for above, below in [ended if moment >= last else plain]
            ]
        )
    gap = np.full((films[0][0].shape[0], 4, 3), 255, np.uint8)
    joined = [
        np.concatenate([part for film in films for part in (film[moment], gap)][:-1], axis=1)
        for moment in range(length)
    ]
    whole = np.stack(joined)
    return whole[:, : whole.shape[1] // 2 * 2, : whole.shape[2] // 2 * 2]


def moments(recordings: Sequence[Recording], columns: int = 5) -> NDArray[np.uint8]:
    """One picture of several episodes for where no film runs: a row for each, its words and its outcome above it. (H, W, 3)"""
    rows = []
    for one in recordings:
        row = film_strip(one.room, columns)
        missing = columns * (one.room.shape[2] + 4) - 4 - row.shape[1]  # a short episode has fewer moments
        row = np.pad(row, ((0, 0), (0, missing), (0, 0)), constant_values=255)
        rows += [_text(f"“{one.words}”: {one.outcome}", row.shape[1], COLORS[one.success], 22, lines=1), row]
    return np.concatenate(rows)


def _room(env: TabletopEnv) -> NDArray[np.uint8]:
    return env.picture(ROOM_CAMERA, ROOM_SIZE, pretty=True)


def _outcome(info: Mapping[str, Any], scored: bool, steps: int, control_hz: int) -> str:
    took = f"{steps} steps ({steps / control_hz:.1f} s)"
    if not scored:
        touched = f"touched the {info['touched']} after" if info["touched"] else "touched nothing in"
        return f"{touched} {took}; not scored, since it is no task of this table"
    if info["is_success"]:
        return f"done in {took}"
    return f"failed: {info['failure']}" if info["failure"] else f"out of time after {took}"


def _captioned(one: Recording, outcome: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The words above and the outcome below one film."""
    width = one.room.shape[2]
    return _text(f"“{one.words}”", width, "#222222"), _text(outcome, width, COLORS[one.success])


def _text(words: str, width: int, color: str, size: int = 15, *, lines: int = 2) -> NDArray[np.uint8]:
    """Words on white, in up to that many lines."""
    font = ImageFont.load_default(size=size)
    image = Image.new("RGB", (width, CAPTION_PX), "white")
    pen, text = ImageDraw.Draw(image), [""]
    for word in words.split():
        longer = f"{text[-1]} {word}".strip()
        if pen.textlength(longer, font=font) > width - 12 and text[-1]:
            text.append(word)
        else:
            text[-1] = longer
    pen.multiline_text((6, 3), "\n".join(text[:lines]), fill=color, font=font, spacing=3)
    return np.asarray(image)
