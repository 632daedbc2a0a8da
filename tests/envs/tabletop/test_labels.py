"""What is said and drawn about a scene is true: labels per pixel, captions, answers."""

import functools

import numpy as np
import pytest

from vla_course.envs.tabletop.captions import NUMBERS, SceneWords, place_name
from vla_course.envs.tabletop.config import COLORS
from vla_course.envs.tabletop.env import TabletopEnv
from vla_course.envs.tabletop.garments import GARMENTS, PARTS
from vla_course.envs.tabletop.labels import (
    COLOR_LABELS,
    GARMENT_PLACE,
    KIND_LABELS,
    NO_PLACE,
    PART_LABELS,
)
from vla_course.envs.tabletop.language import name, parse
from vla_course.envs.tabletop.shapes import SHAPES
from vla_course.envs.tabletop.tasks import Task, Thing

SIZE = (84, 84)


@functools.cache
def tabletop() -> TabletopEnv:
    return TabletopEnv()


def pixel(env: TabletopEnv, point: np.ndarray, size: tuple[int, int] = SIZE) -> tuple[int, int]:
    """Row and column at which the close camera sees a point: a pinhole, worked out here."""
    camera = env.model.camera("close").id
    local = env.data.cam_xmat[camera].reshape(3, 3).T @ (point - env.data.cam_xpos[camera])
    focal = size[0] / 2 / np.tan(np.radians(env.model.cam_fovy[camera]) / 2)
    return int(size[0] / 2 + focal * local[1] / local[2]), int(size[1] / 2 - focal * local[0] / local[2])


def test_labels_agree_with_the_geometry_of_the_things():
    env, seen = tabletop(), 0
    for seed in range(20):
        env.reset(seed=seed, options={"task": "touch"})
        labels = env.labels()
        for k, thing in enumerate(env.start.things):
            area = labels.place == k
            if area.sum() < 25:  # hidden behind another
                continue
            rows, columns = np.nonzero(area)
            row, column = pixel(env, env.world.position[k])
            assert (
                rows.min() - 2 <= row <= rows.max() + 2 and columns.min() - 2 <= column <= columns.max() + 2
            )
            assert set(labels.kind[area]) == {KIND_LABELS.index(thing.kind)}
            assert set(labels.color[area]) == {COLOR_LABELS.index(thing.color)}
            seen += 1
        nothing = labels.place == NO_PLACE
        assert (labels.color[nothing] == 0).all() and (labels.part[nothing] == 0).all()
        assert not set(labels.kind[nothing]) & {KIND_LABELS.index(kind) for kind in (*SHAPES, *GARMENTS)}
    assert seen > 30


@pytest.mark.parametrize("garment", GARMENTS)
def test_labels_agree_with_the_parts_of_the_garment(garment):
    env = tabletop()
    for seed in range(3):
        env.reset(seed=seed, options={"garment": ("red", garment), "hand_offset": (-0.1, 0, 0.1)})
        labels = env.labels()
        for part in PARTS[garment]:
            row, column = pixel(env, env.world.anchor(Thing("red", garment, part)))
            assert PART_LABELS[labels.part[row, column]] == part
            assert KIND_LABELS[labels.kind[row, column]] == garment
            assert labels.place[row, column] == GARMENT_PLACE
            assert COLOR_LABELS[labels.color[row, column]] == "red"


def test_labels_fit_the_picture_and_know_table_and_hand():
    env = tabletop()
    env.reset(seed=0, options={"hand_offset": (0.1, 0.1, 0.0)})
    labels = env.labels("close", (48, 64))
    assert labels.kind.shape == labels.color.shape == labels.part.shape == labels.place.shape == (48, 64)
    row, column = pixel(env, env.world.data.site_xpos[env.model.site("right_FF_tip").id])
    around = env.labels().kind[row - 2 : row + 3, column - 2 : column + 3]
    assert KIND_LABELS.index("hand") in around
    assert (labels.kind == KIND_LABELS.index("table")).mean() > 0.4


@pytest.mark.parametrize("color", COLORS)
def test_a_things_colour_is_the_colour_of_its_pixels(color):
    """The picture and its labels are of the same scene: what is labelled red is nearest to red."""
    env = tabletop()
    target = Thing(color, "bowl")
    options = {"task": Task("touch", target), "warmth": 0, "brightness": 1, "hand_offset": (-0.1, 0, 0.1)}
    env.reset(seed=1, options=options)
    place = env.start.things.index(target)
    mean = env.picture("close", SIZE)[env.labels().place == place].mean(axis=0) / 255
    distance = {name: np.linalg.norm(mean - np.array(rgb) * 0.9) for name, rgb in COLORS.items()}
    assert min(distance, key=distance.__getitem__) == color


def test_answers_are_true():
    env, rng, kinds = tabletop(), np.random.default_rng(0), set()
    answers: dict[str, list[str]] = {}
    for seed in range(60):
        env.reset(seed=seed, options={"task": "touch"} if seed % 3 == 0 else None)
        words, start = SceneWords(env.world), env.start
        there = [name(thing).removeprefix("the ") for thing in start.things]
        where = dict(zip(there, env.world.position, strict=True))
        for asked in words.questions(rng):
            kinds.add(asked.kind)
            answers.setdefault(asked.kind, []).append(asked.answer)
            question = asked.question.removesuffix("?")
            if asked.kind == "exists":
                thing = question.split(" a ")[-1].split(" an ")[-1]
                assert (thing in there) == (asked.answer == "yes")
            elif asked.kind == "count":
                kind = question.split()[2].removesuffix("s")
                assert NUMBERS[sum(thing.kind == kind for thing in start.things)] == asked.answer
            elif asked.kind == "where":
                assert place_name(where[question.removeprefix("where is the ")]) == asked.answer
            elif asked.kind == "relation":
                check_relation(question.removeprefix("is "), where, true=asked.answer == "yes")
            elif asked.kind == "color":
                kind = question.split("the ")[1]
                all_pairs = [t.pair for t in start.things] + ([start.garment] if start.garment else [])
                assert [pair for pair in all_pairs if pair[1] == kind] == [(asked.answer, kind)]
            elif asked.kind == "meaning":
                said = question.removeprefix("what does '").removesuffix("' mean")
                assert parse(said)[0] == parse(asked.answer)[0] and said != asked.answer
            elif asked.kind == "holding":
                assert asked.answer == "nothing"
        caption = words.caption(rng)
        for thing in start.things:
            if " table" in caption or caption.startswith("there is"):
                assert f"{thing.color} {thing.kind}" in caption
        if "than" in caption or " of the " in caption.removesuffix("of the"):
            check_relation(caption.replace(" is ", " ", 1), where, true=True)
    assert kinds >= {
        "exists",
        "count",
        "color",
        "kind",
        "where",
        "relation",
        "beside",
        "part",
        "table",
        "meaning",
    }
    for kind in ("exists", "relation"):
        assert 0.3 < np.mean([answer == "yes" for answer in answers[kind]]) < 0.7


def check_relation(words: str, where: dict[str, np.ndarray], *, true: bool) -> None:
    """Whether "the a left of the b" holds; the frame is the robot's."""
    signs = {"left of": (1, 1), "right of": (1, -1), "farther away than": (0, 1), "nearer than": (0, -1)}
    for phrase, (axis, sign) in signs.items():
        if f" {phrase} " in words:
            a, b = (part.removeprefix("the ") for part in words.split(f" {phrase} "))
            assert (sign * (where[a] - where[b])[axis] > 0) == true, words
            return
    raise AssertionError(words)


def test_the_same_generator_says_the_same():
    env = tabletop()
    env.reset(seed=3)
    words = SceneWords(env.world)
    first, second = (words.questions(np.random.default_rng(1)) for _ in range(2))
    assert first == second
    assert words.caption(np.random.default_rng(2)) == words.caption(np.random.default_rng(2))


def test_places_have_names_as_the_robot_sees_them():
    assert place_name(np.array([0.08, 0.0, 0.0])) == "in the middle"
    assert place_name(np.array([0.2, 0.1, 0.0])) == "far left"
    assert place_name(np.array([0.0, -0.1, 0.0])) == "near right"
    assert place_name(np.array([0.08, 0.1, 0.0])) == "middle left"
    assert place_name(np.array([0.2, 0.0, 0.0])) == "far middle"
