"""What can be asked on the tabletop: the held-out combinations and phrasings, and words that mean one thing."""

import numpy as np
import pytest

from vla_course.envs.observations import TEXT_CHARACTERS, TEXT_LENGTH
from vla_course.envs.tabletop.config import (
    COLORS,
    HELD_OUT_PAIRS,
    HELD_OUT_TRIPLES,
    SEEN,
    SPLITS,
    UNSEEN_BOTH,
    UNSEEN_COMBINATION,
    UNSEEN_PHRASING,
    VERBS,
)
from vla_course.envs.tabletop.garments import GARMENTS, PARTS, REST, flat_garment
from vla_course.envs.tabletop.language import (
    HELD_OUT_PHRASINGS,
    PHRASINGS,
    Phrasing,
    parse,
    phrasings,
    say,
)
from vla_course.envs.tabletop.shapes import SHAPES
from vla_course.envs.tabletop.tasks import (
    Task,
    Thing,
    check_task,
    draw_task,
    fits,
    possible_tasks,
    split_of,
)

CUBE, BOWL = Thing("red", "cube"), Thing("blue", "bowl")


def drawn(count: int, *, unseen: bool, verbs: tuple[str, ...] = VERBS) -> list[Task]:
    rng = np.random.default_rng(0)
    return [draw_task(rng, verbs, unseen=unseen, garment_share=0.3) for _ in range(count)]


@pytest.mark.parametrize("unseen", [False, True])
def test_no_task_is_drawn_in_the_split_it_is_kept_from(unseen):
    tasks = drawn(800, unseen=unseen)
    for task in tasks:
        triple = (task.verb, *task.target.pair)
        kept_out = triple in HELD_OUT_TRIPLES or any(thing.pair in HELD_OUT_PAIRS for thing in task.things)
        assert kept_out == unseen, task
        assert check_task(task) == task
    assert {task.verb for task in tasks} == set(VERBS)
    if unseen:  # every combination on the lists is really tested
        assert {t.pair for task in tasks for t in task.things} >= HELD_OUT_PAIRS
        assert {(task.verb, *task.target.pair) for task in tasks} >= HELD_OUT_TRIPLES


def test_what_is_held_out_is_a_combination_of_what_is_seen():
    """Every colour, every kind and every verb is seen, and each colour and kind with each verb that fits."""
    tasks = drawn(2500, unseen=False)
    for verb in VERBS:
        mine = [task.target for task in tasks if task.verb == verb]
        assert {thing.color for thing in mine} == set(COLORS)
        kinds = {kind for kind in SHAPES if fits(verb, Thing("red", kind), role="target")}
        assert {thing.kind for thing in mine} - set(GARMENTS) == kinds
    for verb, color, kind in HELD_OUT_TRIPLES:
        assert (color, kind) not in HELD_OUT_PAIRS, "a held-out triple is of pairs that are seen"
        assert fits(verb, Thing(color, kind), role="target")
        others = {thing.pair for task in tasks if task.verb != verb for thing in task.things}
        assert (color, kind) in others, "with another verb"
    assert {kind for _, kind in HELD_OUT_PAIRS} == {*SHAPES, *GARMENTS}
    touched = {task.target.part for task in tasks if task.target.on_garment}
    assert touched == {part for parts in PARTS.values() for part in parts}


def test_the_split_of_a_task():
    seen, kept = Task("touch", CUBE), Task("touch", Thing("blue", "cube"))
    assert split_of(seen, phrasing_seen=True) == SEEN
    assert split_of(seen, phrasing_seen=False) == UNSEEN_PHRASING
    assert split_of(kept, phrasing_seen=True) == UNSEEN_COMBINATION
    assert split_of(kept, phrasing_seen=False) == UNSEEN_BOTH
    assert split_of(Task("touch", Thing("red", "ball")), phrasing_seen=True) == UNSEEN_COMBINATION
    assert split_of(Task("pick_up", Thing("red", "ball")), phrasing_seen=True) == SEEN
    assert split_of(Task("put", CUBE, Thing("orange", "bowl")), phrasing_seen=True) == UNSEEN_COMBINATION
    assert len(set(SPLITS)) == 4


def test_every_phrasing_parses_back_to_its_task():
    for task in [*drawn(500, unseen=False), *drawn(300, unseen=True)]:
        for seen in (True, False):
            for phrasing in phrasings(task.verb, seen=seen):
                words = say(task, phrasing)
                assert parse(words) == (task, phrasing)
                assert parse(words.capitalize() + ".") == (task, phrasing)
                assert len(words) <= TEXT_LENGTH and set(words) <= set(TEXT_CHARACTERS)


def test_no_two_tasks_are_said_alike():
    said: dict[str, Task] = {}
    tasks = possible_tasks(VERBS, [CUBE, BOWL, Thing("green", "plate")], ("blue", "t-shirt"))
    for task in tasks:
        for phrasing in (*phrasings(task.verb, seen=True), *phrasings(task.verb, seen=False)):
            assert said.setdefault(say(task, phrasing), task) == task
    assert len(said) == sum(len(PHRASINGS[t.verb]) + len(HELD_OUT_PHRASINGS[t.verb]) for t in tasks)


def test_phrasings_of_training_and_test_have_nothing_in_common():
    assert set(PHRASINGS) == set(HELD_OUT_PHRASINGS) == set(VERBS)
    trained = {text for texts in PHRASINGS.values() for text in texts}
    assert not trained & {text for texts in HELD_OUT_PHRASINGS.values() for text in texts}
    assert min(len(texts) for texts in PHRASINGS.values()) >= 3


@pytest.mark.parametrize(
    ("words", "task"),
    [
        ("Pick up the red cube.", Task("pick_up", CUBE)),
        ("pick up the red cube and put it in the blue bowl", Task("put", CUBE, BOWL)),
        ("put a finger on the red cube", Task("touch", CUBE)),
        ("push the red cube up to the blue bowl", Task("push_to", CUBE, BOWL)),
        ("push the red cube towards the robot", Task("push_direction", CUBE, direction="near")),
        ("tap the left sleeve of the blue t-shirt", Task("touch", Thing("blue", "t-shirt", "left sleeve"))),
    ],
)
def test_sentences_mean_what_they_say(words, task):
    assert parse(words)[0] == task


@pytest.mark.parametrize(
    "words",
    [
        "fold the t-shirt",
        "touch the red car",
        "touch the mauve cube",
        "touch the left sleeve of the red towel",
        "put the red cube on the blue bowl",
        "",
    ],
)
def test_what_nobody_says_cannot_be_read(words):
    with pytest.raises(ValueError, match=r"cannot read .*say it like 'touch "):
        parse(words)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (Task("eat", CUBE), "unknown verb 'eat': the known ones are touch, push_to"),
        (Task("touch", Thing("mauve", "cube")), "unknown color 'mauve': the known ones are red"),
        (Task("touch", Thing("red", "car")), "unknown kind 'car': the known ones are cube"),
        (Task("touch", Thing("red", "cube", "lid")), "a cube has no part 'lid': its parts are none"),
        (Task("touch", Thing("red", "towel")), "a towel has no part '': its parts are far left corner"),
        (Task("pick_up", BOWL), "one cannot pick_up a bowl"),
        (Task("put", CUBE), "put got destination=None"),
        (Task("push_direction", CUBE, direction="up"), "unknown direction 'up'"),
        (Task("put", CUBE, Thing("red", "ball")), "one cannot put the cube to"),
    ],
)
def test_a_task_that_makes_no_sense_says_why(task, message):
    with pytest.raises(ValueError, match=message):
        check_task(task)


def test_a_phrasing_knows_whether_it_was_trained():
    assert Phrasing("touch {a}", seen=True) in phrasings("touch", seen=True)
    assert parse("poke the red cube")[1].seen is False


@pytest.mark.parametrize("name", GARMENTS)
def test_garments_are_cut_into_their_parts_without_loss(name):
    garment = flat_garment(name)
    assert (*PARTS[name], REST) == tuple(garment.parts)
    triangles = np.concatenate(list(garment.parts.values()))
    assert len(np.unique(triangles, axis=0)) == len(triangles)
    for part in PARTS[name]:
        assert len(garment.parts[part]) >= 30
        assert garment.part_at(garment.anchors[part]) == part
    assert garment.part_at(np.array([1.0, 1.0])) is None
    middle = {part: garment.anchors[part] for part in PARTS[name]}
    if name == "t-shirt":
        assert middle["left sleeve"][1] > 0.1 > -0.1 > middle["right sleeve"][1]
        assert middle["collar"][0] > 0.1 and middle["left hem corner"][0] < -0.1
    elif name == "towel":
        assert (middle["far left corner"] > 0.08).all() and (middle["near right corner"] < -0.08).all()
    else:
        assert middle["far hem"][0] > 0 > middle["near hem"][0]
        assert middle["waistband"][1] > 0.15
