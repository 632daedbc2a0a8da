"""What only tests of robustness bring in: another table, prints, things beside the garment, a garment that is moved."""

import gymnasium
import numpy as np
import pytest
from episodes import folding_env, same

from vla_course.envs.folding.env import FoldingEnv
from vla_course.envs.folding.events import GarmentMoved, ThingsBeside
from vla_course.envs.folding.expert import FoldingExpert
from vla_course.envs.folding.unseen import ALL_TABLES, AWAY, DISTRACTORS, PATTERNS
from vla_course.envs.picture_change import PictureChange, add_noise, dim
from vla_course.envs.table import TABLE_MATERIALS

IDLE = np.zeros(61, np.float32)


@pytest.fixture(scope="module")
def seeing():
    env = FoldingEnv("towel", observations=("keypoints",), cameras=("top",), image_size=(48, 48))
    yield env
    env.close()


def test_nothing_of_it_is_ever_drawn():
    env = folding_env("towel")
    for seed in range(30):
        env.reset(seed=seed)
        start = env.save().start
        assert start.pattern == 0 and start.table < len(TABLE_MATERIALS)
        np.testing.assert_array_equal(start.distractors, AWAY)


@pytest.mark.parametrize(
    "change",
    [
        {"table": len(TABLE_MATERIALS)},
        {"pattern": 1},
        {"pattern": 2},
        {"distractors": [(0.2, 0.3), (-0.1, -0.3), (0.1, -0.32)]},
    ],
    ids=str,
)
def test_it_changes_the_picture_and_nothing_else(seeing, change):
    usual, _ = seeing.reset(seed=1)
    other, _ = seeing.reset(seed=1, options=change)
    differs = (usual["image_top"] != other["image_top"]).any(-1)
    assert differs.mean() > 0.01
    garment = seeing.garment_mask("top", (48, 48))
    inside = (differs & garment).sum() / differs.sum()
    assert inside > 0.8 if "pattern" in change else inside < 0.2
    action = np.random.default_rng(0).uniform(-1, 1, 61).astype(np.float32)
    after = seeing.step(action)[0]["keypoints"]
    seeing.reset(seed=1)
    np.testing.assert_array_equal(after, seeing.step(action)[0]["keypoints"])
    back, _ = seeing.reset(seed=1)
    assert same(back, usual)


def test_the_names_are_in_the_order_of_the_options():
    assert ALL_TABLES[: len(TABLE_MATERIALS)] == TABLE_MATERIALS and len(PATTERNS) == 3
    env = folding_env("towel")
    for options, message in (({"table": len(ALL_TABLES)}, "0 to 5"), ({"pattern": 3}, "0 to 2")):
        with pytest.raises(ValueError, match=message):
            env.reset(seed=0, options=options)
    with pytest.raises(ValueError, match="distractors"):
        env.reset(seed=0, options={"distractors": [(0.0, np.nan)] * 3})


def test_the_mask_covers_the_garment_and_no_more(seeing):
    """Seen straight from above, against the projection of the cloth's outline: 0.36 m of a picture 0.86 m high."""
    seeing.reset(seed=2, options={"size": 1, "yaw": 0.0, "position": (0, 0)})
    mask = seeing.garment_mask("top", (48, 48))
    height_m = 2 * 1.12 * np.tan(np.radians(21))
    assert mask.sum() == pytest.approx((48 * 0.36 / height_m) ** 2, rel=0.06)
    seeing.reset(seed=2, options={"size": 1, "yaw": 0.0, "position": (0.05, 0.05)})
    moved = seeing.garment_mask("top", (48, 48))
    rows, columns = (np.argwhere(moved).mean(0) - np.argwhere(mask).mean(0)) * height_m / 48
    assert (rows, columns) == pytest.approx(
        (-0.05, -0.05), abs=0.006
    )  # up is away from the robots, left is left


def test_a_garment_that_is_moved_is_the_same_task_elsewhere():
    env = folding_env("towel")
    env.reset(seed=0, options={"position": (0.0, 0.0)})
    for _ in range(3):
        env.step(IDLE)
    before, ideal, error = env.vertices.copy(), env.goal.ideal[1].copy(), env.goal.error_m(env.vertices)
    env.move_garment(np.array([0.03, -0.04]))
    np.testing.assert_allclose(
        env.vertices - before, np.tile([0.03, -0.04, 0.0], (len(before), 1)), atol=1e-9
    )
    np.testing.assert_allclose(env.goal.ideal[1] - ideal, np.tile([0.03, -0.04], (len(ideal), 1)), atol=1e-12)
    assert env.goal.error_m(env.vertices) == pytest.approx(error)
    terms = env.step(IDLE)[4]["reward_terms"]
    assert abs(terms["reach"]) < 0.02 and abs(terms["fold"]) < 0.02, "the reward does not notice"


def test_going_back_to_a_moved_garment_goes_on_the_same_way():
    env = folding_env("towel")
    env.reset(seed=3)
    env.move_garment(np.array([0.02, 0.02]))
    snapshot, action = env.save(), np.full(61, 0.3, np.float32)
    after = env.step(action)
    env.reset(seed=4)
    env.restore(snapshot)
    again = env.step(action)
    assert same(after[0], again[0]) and after[1] == again[1]


def test_a_held_garment_is_not_moved():
    env = folding_env("towel")
    expert = FoldingExpert(env)
    env.reset(seed=0)
    while not any(env.held):
        env.step(expert.act())
    with pytest.raises(RuntimeError, match="held"):
        env.move_garment(np.zeros(2))
    with pytest.raises(RuntimeError, match="call reset"):
        FoldingEnv("towel").move_garment(np.zeros(2))


def test_the_expert_folds_what_was_moved_on_its_way():
    env = GarmentMoved(folding_env("towel"), at_step=16)
    expert = FoldingExpert(env)
    env.reset(seed=5)
    start = env.world.goal.position.copy()
    ended = False
    while not ended:
        _, _, terminated, truncated, info = env.step(expert.act())
        ended = terminated or truncated
        assert env.moved == (env.world.elapsed_steps > 16)
    assert info["is_success"]
    moved = np.linalg.norm(env.world.goal.position - start)
    assert moved >= 0.04 and np.abs(env.world.goal.position).max() <= 0.05
    place = env.world.goal.position.copy()
    env.reset(seed=5)
    for _ in range(17):
        env.step(IDLE)
    np.testing.assert_array_equal(env.world.goal.position, place)  # the place follows from the seed


@pytest.mark.parametrize("count", [1, 3])
def test_things_stand_beside_the_garment(count):
    env = ThingsBeside(folding_env("tshirt"), count)
    plain = folding_env("tshirt")
    plain.reset(seed=7)
    cloth = plain.vertices.copy()
    for _ in range(2):
        env.reset(seed=7)
        np.testing.assert_array_equal(env.world.vertices, cloth)
    places = env.world.save().start.distractors
    assert (places[count:] == AWAY[count:]).all()
    gaps = np.linalg.norm(cloth[:, None, :2] - places[None, :count], axis=2).min(axis=0)
    assert (gaps >= 0.07).all() and (gaps <= 0.18).all()
    shown = [env.world.model.body(name).pos[:2].tolist() for name in DISTRACTORS]
    np.testing.assert_allclose(shown, places)
    env.reset(seed=8)
    assert not np.array_equal(env.world.save().start.distractors, places)


def test_events_want_a_garment():
    other = gymnasium.make("vla_course/Tabletop-v0")
    for event in (GarmentMoved, ThingsBeside):
        with pytest.raises(TypeError, match="FoldingEnv"):
            event(other)
    with pytest.raises(ValueError, match="1 to 3"):
        ThingsBeside(folding_env("towel"), 4)
    with pytest.raises(ValueError, match=r"from 0 to 0\.05"):
        GarmentMoved(folding_env("towel"), distance_m=0.2)


def test_changed_pictures_follow_from_the_seed_and_leave_the_world_alone(seeing):
    noisy = PictureChange(seeing, lambda picture, rng: add_noise(picture, rng, 20.0))
    true = seeing.reset(seed=1)[0]
    first, again = noisy.reset(seed=1)[0], noisy.reset(seed=1)[0]
    assert same(first, again) and same(first["keypoints"], true["keypoints"])
    middle = (true["image_top"] > 60) & (true["image_top"] < 195)
    change = first["image_top"].astype(float) - true["image_top"]
    assert change[middle].std() == pytest.approx(20, rel=0.05) and abs(change[middle].mean()) < 1.5
    later = noisy.step(IDLE)[0]["image_top"]
    assert not np.array_equal(later, first["image_top"])


def test_dim_light_is_less_of_everything():
    picture = np.arange(48, dtype=np.uint8).reshape(4, 4, 3) * 5
    np.testing.assert_array_equal(dim(picture, np.random.default_rng(0), 0.4), np.rint(0.4 * picture))
