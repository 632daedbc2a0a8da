"""The tabletop environment: its manual, its options, what an action does, and success that is hard to come by."""

import functools
import inspect
import re

import gymnasium
import jaxtyping
import numpy as np
import pytest
from episodes import same
from gymnasium import spaces

from vla_course.envs.tabletop.config import SPLITS, VERBS, StartConfig, TabletopConfig
from vla_course.envs.tabletop.env import CAMERAS, TabletopEnv
from vla_course.envs.tabletop.expert import TabletopExpert
from vla_course.envs.tabletop.garments import flat_garment
from vla_course.envs.tabletop.language import parse
from vla_course.envs.tabletop.options import OPTIONS
from vla_course.envs.tabletop.shapes import SHAPES
from vla_course.envs.tabletop.tasks import Task, Thing
from vla_course.envs.vector import make_vector_env
from vla_course.envs.wrappers import ActionChunk, InstructionText

IDLE = np.zeros(7, np.float32)
CUBE, BALL, BOWL = ("red", "cube"), ("green", "ball"), ("yellow", "bowl")
CALM = {"hand_offset": 0, "hand_yaw": 0}
LOOKS = ("table", "hand_offset", "hand_yaw", "color_shift", "camera_jitter", "camera_turn", "brightness")
LOOKS += ("warmth", "light_shift")


@functools.cache
def tabletop() -> TabletopEnv:
    """One environment for all tests that begin with `reset`."""
    return TabletopEnv()


@pytest.fixture
def as_learners_run(monkeypatch):
    """Without the shape checks of the test suite, as in a notebook."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


def table(heading: str) -> list[list[str]]:
    """The rows of the table under a heading of the environment's docstring."""
    section = (TabletopEnv.__doc__ or "").split(f"## {heading}")[1].split("\n    ## ")[0]
    rows = [
        line.strip().strip("|").split("|") for line in section.splitlines() if line.strip().startswith("|")
    ]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def finish(env: TabletopEnv, act) -> dict:
    """Act to the end of the episode: the last info."""
    terminated = truncated = False
    while not (terminated or truncated):
        *_, terminated, truncated, info = env.step(act())
    return info


# --- the manual


def test_the_manual_lists_every_action_and_what_it_does():
    env, numbers = tabletop(), []
    for row in table("Action Space"):
        first, _, last = row[0].partition("-")
        numbers += range(int(first), int(last or first) + 1)
    assert numbers == list(range(env.action_space.shape[0]))
    assert table("Action Space")[0][4] == f"{env.config.translation_m} m"
    assert table("Action Space")[1][4] == f"{env.config.rotation_rad:.2f} rad"


def test_the_manual_lists_every_observation():
    env = TabletopEnv(cameras=CAMERAS, image_size=(24, 32))
    space, written = env.observation_space, set()
    assert isinstance(space, spaces.Dict)
    for key, shape, low, high, *_ in table("Observation Space"):
        wanted = tuple({"H": 24, "W": 32}.get(size) or int(size) for size in re.findall(r"\w+", shape))
        for name in [f"image_{camera}" for camera in CAMERAS] if key == "image_<camera>" else [key]:
            written.add(name)
            assert space[name].shape == wanted, name
            assert (space[name].low == float(low)).all() and (space[name].high == float(high)).all()
    assert written == set(space.spaces)


def test_the_manual_names_every_option_argument_and_the_time_limit():
    manual = TabletopEnv.__doc__ or ""
    assert all(f"`{option}`" in manual or f"`{option}=True`" in manual for option in OPTIONS)
    arguments = {row[0].strip("` ") for row in table("Arguments")}
    assert arguments == set(inspect.signature(TabletopEnv).parameters)
    assert f"after {tabletop().time_limit_steps} steps, 8 s" in manual
    assert tabletop().time_limit_steps / tabletop().control_hz == 8


# --- an action


@pytest.mark.parametrize(("axis", "step"), [(0, 0.5), (1, 0.5), (2, 0.4), (0, -0.4)])
def test_an_action_moves_the_hand_along_the_worlds_axes(axis, step):
    env = tabletop()
    env.reset(seed=0, options=CALM)
    position, rotation = env.control.pose(env.joint_target)
    action = IDLE.copy()
    action[axis], action[6] = step, 1
    env.step(action)
    moved, turned = env.control.pose(env.joint_target)
    np.testing.assert_allclose(moved - position, 0.12 * action[:3], atol=1.5e-3)
    np.testing.assert_allclose(turned, rotation, atol=0.02)


@pytest.mark.parametrize("axis", [3, 4, 5])
def test_an_action_turns_the_hand_about_the_worlds_axes(axis):
    env = tabletop()
    observation, _ = env.reset(seed=0, options=CALM)
    np.testing.assert_allclose(observation["end_effector"][3:6], 0, atol=0.02)
    action = IDLE.copy()
    action[axis] = 1
    env.step(action)
    observation, *_ = env.step(IDLE)
    expected = np.zeros(3)
    expected[axis - 3] = 0.20
    np.testing.assert_allclose(observation["end_effector"][3:6], expected, atol=0.03)


def test_the_grip_is_a_place():
    env = tabletop()
    env.reset(seed=0)
    for grip, closure in ((1, 0), (0, 0.5), (-1, 1), (1, 0)):
        for _ in range(2):
            observation, *_ = env.step(np.append(np.zeros(6), grip).astype(np.float32))
        assert observation["end_effector"][6] == pytest.approx(1 - closure, abs=0.05)


# --- how it begins


def test_every_split_draws_its_own():
    env = tabletop()
    for split in SPLITS:
        for seed in range(25):
            _, info = env.reset(seed=seed, options={"split": split})
            assert info["split"] == split == env.start.split
            task, phrasing = parse(info["instruction"])
            assert task == env.task and task.held_out == (split in ("unseen_combination", "unseen_both"))
            assert phrasing.seen == (split in ("seen", "unseen_combination"))


def test_things_lie_apart_inside_the_table_and_tasks_do_not_begin_done():
    env, area = tabletop(), StartConfig()
    kinds = set()
    for seed in range(60):
        env.reset(seed=seed)
        start = env.start
        assert set(start.task.things) - {start.task.target if start.garment else None} <= set(start.things)
        assert len(set(start.things)) == len(start.things) <= 5
        for k, spot in enumerate(start.position):
            assert area.x_range_m[0] <= spot[0] <= area.x_range_m[1]
            assert area.y_range_m[0] <= spot[1] <= area.y_range_m[1]
            for other in range(k):
                gap = np.linalg.norm(spot - start.position[other])
                radii = [SHAPES[start.things[j].kind].radius_m for j in (k, other)]
                assert gap >= sum(radii) + area.min_gap_m - 1e-9
        assert not env.goal.success and env.goal.failure is None and not env.world.touch().places
        kinds |= {thing.kind for thing in start.things}
    assert kinds == set(SHAPES)


def test_a_scene_does_not_tell_what_is_meant():
    """The target is anywhere in the list of things, and something else there could be meant as well."""
    env, places, alone = tabletop(), [], 0
    for seed in range(60):
        env.reset(seed=seed, options={"task": "pick_up"})
        places.append(env.start.things.index(env.task.target) / max(1, len(env.start.things) - 1))
        alone += not any(SHAPES[t.kind].graspable for t in env.start.things if t != env.task.target)
    assert 0.35 < np.mean(places) < 0.65 and alone <= 2


def test_reset_pins_each_option_and_leaves_the_others():
    env = tabletop()

    def looks(options):
        env.reset(seed=5, options=options)
        return {name: getattr(env.start, name) for name in (*LOOKS, "things", "position", "yaw", "task")}

    free = looks({})
    pins = {"table": (free["table"] + 1) % 5, "hand_yaw": 0.2, "brightness": 0.9, "camera_jitter": 0.0}
    pins |= {"color_shift": 0.01, "light_shift": (0.1, 0.1), "yaw": 0.3}
    for name, value in pins.items():
        pinned = looks({name: value})
        assert not same(pinned[name], free[name])
        assert np.allclose(pinned[name], value)
        assert same(
            {k: v for k, v in pinned.items() if k != name}, {k: v for k, v in free.items() if k != name}
        )


def test_a_whole_scene_can_be_pinned():
    env = tabletop()
    options = {"things": [CUBE, BALL, BOWL], "position": [(0.0, 0.1), (0.1, -0.1), (0.2, 0.1)], "yaw": 0.5}
    _, info = env.reset(seed=1, options={**options, "instruction": "put the red cube in the yellow bowl"})
    assert env.task == Task("put", Thing(*CUBE), Thing(*BOWL)) and info["split"] == "seen"
    np.testing.assert_allclose(env.world.position[:, :2], options["position"])
    env.reset(seed=1, options={**options, "task": Task("touch", Thing(*BALL))})
    assert env.task.verb == "touch" and [thing.pair for thing in env.start.things] == [CUBE, BALL, BOWL]
    for seed in range(10):
        env.reset(seed=seed, options={"things": [CUBE, BALL], "task": "pick_up"})
        assert env.task.target.pair in (CUBE, BALL)
        env.reset(seed=seed, options={"garment": ("blue", "t-shirt"), "garment_pose": (0.1, 0.0, 0.2)})
        assert env.task.target.pair == ("blue", "t-shirt") and env.task.verb == "touch"
        np.testing.assert_allclose(env.start.garment_pose, (0.1, 0.0, 0.2))


@pytest.mark.parametrize("verb", VERBS)
def test_a_wrong_instruction_names_another_target_of_the_same_scene(verb):
    env = tabletop()
    for seed in range(8):
        _, info = env.reset(seed=seed, options={"task": verb})
        right = env.start
        _, info = env.reset(seed=seed, options={"task": verb, "wrong_instruction": True})
        told, _ = parse(info["instruction"])
        assert env.task == right.task and env.start.things == right.things
        assert told == env.start.told and told.target != right.task.target
        assert told.target.on_garment or set(told.things) <= set(right.things)


def test_any_words_can_be_said():
    env = tabletop()
    _, right = env.reset(seed=0)
    _, info = env.reset(seed=0, options={"words": "touch the brown bear"})
    assert info["instruction"] == env.instruction == "touch the brown bear" != right["instruction"]
    assert info["verb"] == right["verb"] and info["split"] == right["split"]


# --- how it ends


def test_a_random_policy_and_an_idle_one_get_nowhere():
    env, rng = tabletop(), np.random.default_rng(0)
    successes = {"random": 0, "idle": 0}
    for seed in range(8):
        env.reset(seed=seed)
        successes["random"] += finish(env, lambda: rng.uniform(-1, 1, 7).astype(np.float32))["is_success"]
        env.reset(seed=seed)
        successes["idle"] += finish(env, lambda: IDLE)["is_success"]
    assert successes["idle"] == 0 and successes["random"] <= 1


@pytest.mark.parametrize(
    ("task", "done", "failure"),
    [
        ("touch the green ball", "touch the red cube", "touched the red cube first"),
        (
            "push the red cube to the yellow bowl",
            "put the red cube in the yellow bowl",
            "the red cube was held",
        ),
        ("pick up the green ball", "push the red cube to the right", "the red cube was disturbed"),
        ("push the red cube to the left", "pick up the red cube", "the red cube was held"),
    ],
)
def test_what_is_done_instead_is_a_failure(task, done, failure):
    """An expert that obeys does what is said; what is scored is something else."""
    env = tabletop()
    scene = {"things": [CUBE, BALL, BOWL], "position": [(0.05, 0.05), (0.0, -0.15), (0.20, -0.10)]}
    env.reset(seed=0, options={**scene, "instruction": task, "wrong_instruction": done})
    info = finish(env, TabletopExpert(env, obey=True).act)
    assert not info["is_success"] and info["failure"] == failure
    env.reset(seed=0, options={**scene, "instruction": done})
    assert finish(env, TabletopExpert(env, obey=True).act)["is_success"]


def test_who_obeys_a_wrong_instruction_does_that_and_not_the_task():
    env, scored, told = tabletop(), 0, 0
    for seed in range(10):
        env.reset(seed=seed, options={"wrong_instruction": True})
        info = finish(env, TabletopExpert(env, obey=True).act)
        scored, told = scored + info["is_success"], told + info["told_success"]
    assert scored == 0 and told >= 5


def test_a_closed_hand_takes_nothing():
    env = tabletop()
    env.reset(seed=0, options={**CALM, "things": [CUBE], "task": "pick_up", "position": [(0.0, -0.1)]})
    for _ in range(15):
        step = np.clip((env.world.position[0] + [0, 0, 0.02] - env.world.hand_position) / 0.12, -0.6, 0.6)
        if abs(step[:2]).max() > 0.2:
            step[2] = 0
        env.step(np.array([*step, 0, 0, 0, -1], np.float32))
    assert env.world.touch().places == (0,) and env.world.held is None


def test_the_part_that_is_touched_is_the_part_under_the_finger():
    env = tabletop()
    for seed, part in enumerate(("collar", "left sleeve", "right hem corner")):
        target = Thing("blue", "t-shirt", part)
        env.reset(seed=seed, options={"task": Task("touch", target)})
        info = finish(env, TabletopExpert(env).act)
        assert info["is_success"] and info["touched"] == part
        tip = env.world.garment_point(env.world.hand_position[:2])
        anchor = flat_garment("t-shirt").anchors[part]
        assert np.linalg.norm(tip - anchor) < 0.05


# --- around it


def test_the_instruction_is_an_observation_where_asked_for():
    env = TabletopEnv(observations=("end_effector", "instruction"))
    observation, info = env.reset(seed=0)
    assert observation["instruction"] == info["instruction"] and observation in env.observation_space
    wrapped = InstructionText(TabletopEnv(observations=("end_effector",)))
    for seed in range(3):
        observation, info = wrapped.reset(seed=seed)
        assert observation["instruction"] == info["instruction"]
        assert observation in wrapped.observation_space


def test_chunks_and_vectors_work_here_too():
    chunked = ActionChunk(TabletopEnv(), 4)
    chunked.reset(seed=0)
    *_, info = chunked.step(np.zeros((4, 7), np.float32))
    assert info["executed_steps"] == 4
    envs = make_vector_env("Tabletop-v0", 2, asynchronous=False, observations=("instruction", "holding"))
    observation, _ = envs.reset(seed=0)
    assert observation["instruction"][0] != observation["instruction"][1]
    envs.close()


def test_pictures_come_only_when_asked_for():
    env = gymnasium.make("vla_course/Tabletop-v0", cameras=("close",), render_mode="rgb_array").unwrapped
    assert env.observation_space["image_close"].shape == (84, 84, 3)
    observation, _ = env.reset(seed=0)
    assert observation["image_close"].std() > 10 and env.render().shape == (480, 480, 3)
    again, _ = env.reset(seed=0)
    assert same(observation, again)
    env.close()
    assert TabletopEnv().render() is None


def test_unknown_names_come_with_the_known_ones(as_learners_run):
    with pytest.raises(ValueError, match="unknown verb 'eat': the known ones are touch"):
        TabletopEnv(verbs=("eat",))
    with pytest.raises(ValueError, match="at least one verb"):
        TabletopEnv(verbs=())
    with pytest.raises(ValueError, match="unknown split 'test': the known ones are seen"):
        TabletopEnv(split="test")
    with pytest.raises(ValueError, match="unknown camera 'left': the known ones are close"):
        TabletopEnv(cameras=("left",))
    with pytest.raises(ValueError, match="unknown observation key 'image': the known ones are end_effector"):
        TabletopEnv(observations=("image",))
    with pytest.raises(ValueError, match="image_size is a height and a width"):
        TabletopEnv(image_size=(0, 84))
    with pytest.raises(RuntimeError, match="call reset"):
        _ = TabletopEnv().start


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "eat"}, "unknown task 'eat': give a Task, or one of touch"),
        ({"split": "test"}, "unknown split 'test'"),
        ({"instruction": "fold the towel"}, "cannot read 'fold the towel'"),
        (
            {"instruction": "touch the red cube", "task": Task("touch", Thing("red", "cone"))},
            "does not say the task",
        ),
        (
            {"instruction": "touch the red cube", "split": "unseen_combination"},
            "does not belong to the split 'unseen_combination'",
        ),
        ({"things": [("red", "car")]}, r"unknown thing \('red', 'car'\)"),
        ({"things": ["cube"]}, r"a thing is a \(colour, kind\)"),
        ({"things": [("red", "cube")] * 2}, "at most 5 different things"),
        ({"garment": ("red", "sock")}, "unknown garment"),
        ({"things": [("red", "cube")], "task": "put"}, "no task of the split 'seen' with the verbs put"),
        ({"things": [("red", "cube")], "instruction": "touch the red ball"}, "not among the things pinned"),
        ({"things": [("red", "cube")], "wrong_instruction": True}, "something else on the table to speak of"),
        (
            {"things": [("red", "cube")], "wrong_instruction": "touch the red ball"},
            "wrong_instruction speaks of what is not on the table",
        ),
        ({"words": "plié"}, "words are 1 to 128 letters"),
        ({"words": ""}, "words are 1 to 128 letters"),
        ({"table": 5}, "index from 0 to 4"),
        ({"hand_yaw": float("nan")}, "give finite numbers"),
        ({"position": [1.0, 2.0, 3.0]}, "wants numbers of shape"),
    ],
)
def test_options_that_do_not_fit_say_what_would(options, message, as_learners_run):
    with pytest.raises(ValueError, match=message):
        tabletop().reset(seed=0, options=options)


def test_a_full_table_says_that_there_is_no_room():
    crowded = TabletopEnv(
        config=TabletopConfig(start=StartConfig(x_range_m=(0.0, 0.02), y_range_m=(0.0, 0.02)))
    )
    with pytest.raises(ValueError, match="no room on the table for"):
        crowded.reset(seed=0, options={"things": [CUBE, BALL], "task": "touch"})
