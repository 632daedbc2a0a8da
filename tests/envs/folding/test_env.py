"""The folding environment: its manual, its options, its stages, its end, and going back to a snapshot."""

import dataclasses
import re

import gymnasium
import jaxtyping
import numpy as np
import pytest
from episodes import CASES, expert_episode, folding_env, play, random_episode, same
from gymnasium import spaces

from vla_course.envs.end_effector import EndEffectorAction
from vla_course.envs.folding.config import FoldingConfig, StartConfig
from vla_course.envs.folding.env import CAMERAS, FoldingEnv
from vla_course.envs.folding.expert import FoldingExpert
from vla_course.envs.folding.start import GARMENT_COLORS

LIMITS = {"towel": 160, "towel, quarter": 320, "tshirt": 400, "trousers": 320}
IDLE = np.zeros(61, np.float32)
ASK = np.append(np.zeros(60), 1).astype(np.float32)


@pytest.fixture
def as_learners_run(monkeypatch):
    """Without the shape checks of the test suite, as in a notebook."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


# --- the manual says what is so


def table(heading: str) -> list[list[str]]:
    """The rows of the table under a heading of the environment's docstring."""
    section = (FoldingEnv.__doc__ or "").split(f"## {heading}")[1].split("\n    ## ")[0]
    rows = [
        line.strip().strip("|").split("|") for line in section.splitlines() if line.strip().startswith("|")
    ]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def test_the_manual_counts_every_action():
    space = folding_env("towel").action_space
    numbers = []
    for row in table("Action Space"):
        first, _, last = row[0].partition("-")
        covered = range(int(first), int(last or first) + 1)
        numbers += covered
        assert (space.low[covered] == float(row[2])).all() and (space.high[covered] == float(row[3])).all()
    assert numbers == list(range(space.shape[0]))


def test_the_manual_gives_the_true_unit_of_every_action():
    env = folding_env("towel")
    env.reset(seed=0, options={"joint_noise": 0})
    before = env.joint_target
    env.step(np.full(61, 0.1, np.float32))
    moved = env.joint_target - before
    for first, last, unit in ((0, 5, 0.10), (6, 29, 0.25), (30, 35, 0.10), (36, 59, 0.25)):
        row = next(row for row in table("Action Space") if row[0] == f"{first}-{last}")
        assert row[4] == f"{unit:.2f} rad"
        free = moved[first : last + 1]  # a joint at its limit stays there
        assert np.isclose(free, 0.1 * unit, atol=1e-6).mean() > 0.4
        assert ((free < 0.1 * unit + 1e-6) & (free > -1e-6)).all()


@pytest.mark.parametrize("case", CASES)
def test_the_manual_lists_every_observation(case):
    env = FoldingEnv(**CASES[case], cameras=CAMERAS, image_size=(24, 32))
    space = env.observation_space
    assert isinstance(space, spaces.Dict)
    written = set()
    for key, shape, low, high, *_ in table("Observation Space"):
        symbols = {"K": len(env.keypoint_names), "H": 24, "W": 32}
        wanted = tuple(symbols.get(size) or int(size) for size in re.findall(r"\w+", shape))
        names = [f"image_{camera}" for camera in CAMERAS] if key == "image_<camera>" else [key]
        for name in names:
            box = space[name]
            written.add(name)
            assert box.shape == wanted, name
            assert (box.low == float(low)).all() and (box.high == float(high)).all(), name
            assert box.dtype == (np.uint8 if name.startswith("image") else np.float32), name
    assert written == set(space.spaces)


@pytest.mark.parametrize("case", CASES)
def test_the_manual_gives_the_true_time_limits(case):
    assert folding_env(case).time_limit_steps == LIMITS[case]
    assert all(f"{LIMITS[name]} (" in (FoldingEnv.__doc__ or "") for name in ("towel", "tshirt", "trousers"))


# --- what an observation holds


@pytest.mark.parametrize("case", CASES)
def test_the_stage_is_the_one_hot_of_the_fold_being_made(case):
    played, env = expert_episode(case), folding_env(case)
    seen = []
    for observation, info in zip(played.observations[1:], played.infos, strict=True):
        wanted = np.zeros(3)
        if info["stage"] < env.num_stages:
            wanted[info["stage"]] = 1
        np.testing.assert_array_equal(observation["stage"], wanted)
        seen.append(info["stage"])
    np.testing.assert_array_equal(played.observations[0]["stage"], [1, 0, 0])
    assert sorted(set(seen)) == list(range(env.num_stages + 1)) and seen == sorted(seen)


def test_observations_tell_what_happened():
    env = folding_env("tshirt")
    played = random_episode("tshirt", 12)
    observation = played.observations[7]
    history = np.stack([np.clip(action, -1, 1) for action in played.actions[2:7]])
    np.testing.assert_array_equal(observation["previous_actions"], history)
    np.testing.assert_allclose(observation["time_left"], [1 - 7 / 400], atol=1e-7)
    env.restore(played.snapshots[7])
    np.testing.assert_allclose(
        observation["keypoints"][0], env.vertices[env.garment.keypoints["left_sleeve"]], atol=1e-6
    )
    np.testing.assert_allclose(observation["joint_position"], env.joint_position, atol=1e-6)
    np.testing.assert_allclose(observation["hand_position"][0], env.data.site("left_grasp").xpos, atol=1e-6)
    assert played.observations[0]["previous_actions"].any() == False  # noqa: E712
    # Hands keep a few millimetres to where the targets would put them, whatever is asked.
    assert np.abs(observation["joint_position"] - observation["joint_target"])[:6].max() < 0.3


def test_held_says_which_hand_holds_cloth():
    played = expert_episode("trousers")
    for snapshot, observation in zip(played.snapshots, played.observations, strict=False):
        np.testing.assert_array_equal(
            observation["held"], [float(bool(hand)) for hand in snapshot.physics.held]
        )
    assert {tuple(observation["held"]) for observation in played.observations} >= {(0, 0), (1, 1), (0, 1)}


def test_the_point_cloud_lies_on_the_cloth_and_has_as_many_points_as_asked():
    env = FoldingEnv("tshirt", num_points=2048, observations=("garment_point_cloud",))
    observation, _ = env.reset(seed=0, options={"yaw": 0, "position": (0, 0)})
    cloud = observation["garment_point_cloud"]
    assert cloud.shape == (2048, 3) and set(observation) == {"garment_point_cloud"}
    low, high = env.vertices.min(axis=0), env.vertices.max(axis=0)
    assert (cloud >= low - 1e-6).all() and (cloud <= high + 1e-6).all()
    # Spread evenly: each quarter of the shirt has its share, measured by the vertices' own areas.
    corners = env.vertices[env.garment.triangles][:, :, :2]
    sides = corners[:, 1:] - corners[:, :1]
    area = np.abs(sides[:, 0, 0] * sides[:, 1, 1] - sides[:, 0, 1] * sides[:, 1, 0]) / 2
    middle = corners.mean(axis=1)
    for axis in range(2):
        share = area[middle[:, axis] > 0].sum() / area.sum()
        assert abs((cloud[:, axis] > 0).mean() - share) < 0.05


def test_only_the_keys_asked_for_are_observed():
    env = FoldingEnv("towel", observations=("stage", "keypoints"))
    observation, _ = env.reset(seed=0)
    assert set(observation) == set(env.observation_space.spaces) == {"stage", "keypoints"}


# --- the start


def test_reset_pins_each_option_and_leaves_the_others():
    env = folding_env("trousers")
    env.reset(seed=5)
    free = env.save().start
    pins = {
        "position": np.array([0.03, -0.02]),
        "yaw": 0.1,
        "size": (free.size + 1) % 3,
        "color": np.array([0.1, 0.9, 0.3]),
        "table": (free.table + 1) % 2,
        "joint_noise": np.full(60, 0.004),
        "camera_jitter": np.full_like(free.camera_jitter, 0.002),
        "pattern": 2,
        "distractors": np.full((3, 2), 0.3),
    }
    assert set(pins) == {field.name for field in dataclasses.fields(free)}
    for name, value in pins.items():
        env.reset(seed=5, options={name: value})
        start = env.save().start
        for field in dataclasses.fields(free):
            wanted = value if field.name == name else getattr(free, field.name)
            np.testing.assert_array_equal(
                getattr(start, field.name), wanted, err_msg=f"{name} → {field.name}"
            )


def test_pinned_options_show_in_the_world():
    env = folding_env("tshirt")
    options = {"position": (0.04, -0.03), "yaw": 0.2, "size": 1, "joint_noise": 0, "camera_jitter": 0}
    env.reset(seed=0, options=options)
    middle, wide = env.vertices[:, :2].copy(), np.ptp(env.vertices, axis=0).max()
    env.reset(seed=0, options={**options, "position": (0, 0)})
    np.testing.assert_allclose(
        middle - env.vertices[:, :2], np.tile([0.04, -0.03], (len(middle), 1)), atol=1e-9
    )
    env.reset(seed=0, options={**options, "size": 2})
    assert np.ptp(env.vertices, axis=0).max() > 1.03 * wide
    env.reset(seed=0, options={**options, "yaw": 0, "position": (0, 0)})
    across = (
        env.vertices[env.garment.keypoints["right_hem"]] - env.vertices[env.garment.keypoints["left_hem"]]
    )
    env.reset(seed=0, options={**options, "yaw": 0.2, "position": (0, 0)})
    turned = (
        env.vertices[env.garment.keypoints["right_hem"]] - env.vertices[env.garment.keypoints["left_hem"]]
    )
    angle = np.arctan2(turned[1], turned[0]) - np.arctan2(across[1], across[0])
    assert angle == pytest.approx(0.2)
    env.reset(seed=0, options={**options, "joint_noise": 0.005})
    noisy = env.joint_position.copy()
    env.reset(seed=0, options=options)
    assert np.median(noisy - env.joint_position) == pytest.approx(0.005)


def test_color_table_and_camera_show_in_the_picture():
    env = FoldingEnv("towel", cameras=("top",), image_size=(48, 48))
    plain = {
        "position": (0, 0),
        "yaw": 0,
        "size": 1,
        "color": "blue",
        "table": 0,
        "joint_noise": 0,
        "camera_jitter": 0,
    }

    def seen(**changed):
        return env.reset(seed=0, options={**plain, **changed})[0]["image_top"].astype(int)

    base = seen()
    assert (base == seen()).all()
    for change in ({"color": "red"}, {"table": 1}, {"camera_jitter": 0.03}):
        assert np.abs(base - seen(**change)).max() > 10, change
    red = seen(color="red")
    towel = np.abs(base - red).sum(axis=2) > 60
    assert 0.02 < towel.mean() < 0.5  # only the towel changes its colour
    assert (
        red[towel][:, 0].mean() > base[towel][:, 0].mean()
        and red[towel][:, 2].mean() < base[towel][:, 2].mean()
    )
    env.close()


def test_starts_cover_their_ranges():
    env = folding_env("towel")
    env.reset(seed=0)
    starts = []
    for _ in range(60):
        env.reset()
        starts.append(env.save().start)
    positions = np.array([start.position for start in starts])
    yaws = np.array([start.yaw for start in starts])
    assert np.abs(positions).max() <= 0.05 and (np.ptp(positions, axis=0) > 0.08).all()
    assert np.abs(yaws).max() <= np.pi and np.ptp(yaws) > 5.5
    assert {start.size for start in starts} == {0, 1, 2}
    assert {tuple(start.color) for start in starts} <= set(GARMENT_COLORS.values())
    assert len({tuple(start.color) for start in starts}) > 3 and len({start.table for start in starts}) > 2
    trousers = folding_env("trousers")
    turned = [trousers.reset(seed=seed) and trousers.save().start.yaw for seed in range(20)]
    assert np.abs(turned).max() <= np.radians(25) and np.ptp(turned) > np.radians(30)


def test_nothing_is_random_where_the_config_says_so():
    still = StartConfig(
        position_m=0, yaw_rad=0, num_sizes=1, joint_noise_rad=0, camera_jitter_m=0, color=False, table=False
    )
    env = FoldingEnv("tshirt", config=FoldingConfig(start=still, time_limit_steps=3))
    assert same(env.reset(seed=1)[0], env.reset(seed=2)[0])
    ends = [env.step(IDLE)[3] for _ in range(3)]
    assert ends == [False, False, True]


# --- stages and the end


@pytest.mark.parametrize("case", CASES)
def test_a_stage_is_passed_only_when_asked_and_good(case):
    env, played = folding_env(case), expert_episode(case)
    stages = [0, *(info["stage"] for info in played.infos)]
    passed = [step for step in range(len(played.actions)) if stages[step + 1] > stages[step]]
    for step in passed:
        assert played.actions[step][60] > 0.5
        assert played.infos[step]["reward_terms"]["stage"] == env.config.reward.stage_bonus
        env.restore(played.snapshots[step])
        action = played.actions[step].copy()
        action[60] = 0.5  # good, but not asked
        assert env.step(action)[4]["stage"] == stages[step]
    env.reset(seed=0)
    info = env.step(ASK)[4]  # asked, but nothing is folded yet
    assert info["stage"] == 0
    assert info["reward_terms"]["early_advance"] == -env.config.reward.early_advance


@pytest.mark.parametrize("case", CASES)
def test_success_is_strict(case):
    env, played = folding_env(case), expert_episode(case)
    info = played.infos[-1]
    assert played.terminated and not played.truncated and info["is_success"]
    assert all(not earlier["is_success"] for earlier in played.infos[:-1])
    assert info["fold_error_m"] <= env.garment.fold_tolerance_m == (0.025 if "towel" in case else 0.030)
    assert info["fold_iou"] >= 0.85 and info["box_success"] and info["stage"] == env.num_stages
    np.testing.assert_array_equal(played.observations[-1]["held"], [0, 0])
    assert info["reward_terms"]["success"] == env.config.reward.success_bonus


def test_no_success_with_a_closed_hand_or_moving_cloth():
    env, played = folding_env("towel"), expert_episode("towel")
    env.restore(played.snapshots[-1])
    close = np.zeros(61, np.float32)
    close[6:30] = 1
    for _ in range(4):
        env.step(close)
    _, _, terminated, _, info = env.step(ASK)
    assert info["stage"] == 1 and not terminated and not info["is_success"]
    assert any(env.step(-close)[2] for _ in range(4))  # the hand opens again
    env.restore(played.snapshots[-1])
    env.data.qvel[60:] = 0.5  # all of the cloth moves
    assert not env.step(ASK)[2]
    env.restore(played.snapshots[-1])
    assert env.step(ASK)[2]


def test_a_crumpled_pile_satisfies_the_box_rule_and_is_no_success():
    """The towel in pleats of two cells, on top of each other where the folded towel should lie."""
    env = folding_env("towel")
    env.reset(seed=0, options={"yaw": 0, "position": (0, 0), "size": 1})
    column, cell = env.garment.grid[:, 0], 0.036
    zigzag = np.abs((column + 2) % 4 - 2) * cell
    middle = env.goal.ideal[-1].mean(axis=0)
    heights = 0.004 + 0.008 * (column // 2)
    pile = np.column_stack([middle[0] - cell + zigzag, env.vertices[:, 1], heights])
    first_joint = env.model.body_jntadr[env.model.flex_vertbodyid]
    qpos = env.model.jnt_qposadr[first_joint][:, None] + np.arange(3)
    env.data.qpos[qpos] += pile - env.vertices
    for _ in range(4):
        _, _, terminated, _, info = env.step(ASK)
        assert info["box_success"] and not info["is_success"] and not terminated
    assert np.ptp(env.vertices[:, 0]) < 0.12  # it is a pile still, and was not thrown apart
    assert env.goal.iou(env.vertices) < env.config.min_iou
    assert info["fold_error_m"] > env.garment.fold_tolerance_m


# --- save and restore


def moments(case: str) -> list[int]:
    """Steps of the expert's episode worth going back to: the start, while cloth is held, while it lies in layers, near the end."""
    played = expert_episode(case)
    held = [step for step, snapshot in enumerate(played.snapshots) if any(snapshot.physics.held)]
    layered = [
        step for step, snapshot in enumerate(played.snapshots) if snapshot.physics.layer_heights.max() > 0.006
    ]
    assert held and layered
    return sorted({0, held[0], held[len(held) // 2], layered[len(layered) // 2], len(played.actions) - 6})


@pytest.mark.parametrize("case", CASES)
def test_what_follows_a_snapshot_is_the_same_bit_for_bit(case):
    played, env = expert_episode(case), folding_env(case)
    for moment in moments(case):
        assert same(env.restore(played.snapshots[moment]), played.observations[moment])
        for step in range(moment, min(moment + 12, len(played.actions))):
            observation, reward, _, _, info = env.step(played.actions[step])
            assert same(observation, played.observations[step + 1]), (moment, step)
            assert reward == played.rewards[step] and same(info, played.infos[step])


def test_a_snapshot_works_in_another_environment():
    played = expert_episode("trousers")
    other = FoldingEnv("trousers")
    other.reset(seed=99, options={"size": (played.snapshots[0].start.size + 1) % 3})
    moment = moments("trousers")[2]
    assert any(played.snapshots[moment].physics.held)
    other.restore(played.snapshots[moment])
    for step in range(moment, moment + 12):
        observation, *_ = other.step(played.actions[step])
        assert same(observation, played.observations[step + 1]), step


def test_random_numbers_go_back_too():
    env = folding_env("towel")
    env.reset(seed=8)
    snapshot = env.save()
    after = [env.reset()[0] for _ in range(2)]
    env.restore(snapshot)
    assert all(same(env.reset()[0], observation) for observation in after)


def test_a_snapshot_stays_as_it_was():
    env = folding_env("towel")
    played = play(env, lambda *_: np.full(61, 0.5, np.float32), seed=0, limit=3)
    snapshot = played.snapshots[1]
    first = env.restore(snapshot), env.step(played.actions[1])[0]
    for _ in range(5):
        env.step(played.actions[0])
    assert same(env.restore(snapshot), first[0]) and same(env.step(played.actions[1])[0], first[1])


# --- bad input


def test_unknown_names_come_with_the_known_ones(as_learners_run):
    for arguments, message in (
        ({"garment": "sock"}, "unknown garment 'sock': .*towel, tshirt, trousers"),
        (
            {"cameras": ("front", "moon")},
            "unknown camera 'moon': .*front, top, side, left_wrist, right_wrist",
        ),
        ({"render_camera": "moon"}, "unknown camera 'moon': .*front"),
        ({"observations": ("smell",)}, "unknown observation key 'smell': .*joint_position.*previous_actions"),
        ({"render_mode": "human"}, "unknown render_mode 'human': .*rgb_array"),
        ({"num_points": 0}, "num_points is from 1 to 2048, not 0"),
        ({"num_points": 2049}, "num_points is from 1 to 2048, not 2049"),
        ({"garment": "tshirt", "quarter": True}, "quarter=True folds the towel"),
    ):
        with pytest.raises(ValueError, match=message):
            FoldingEnv(**arguments)


def test_options_that_do_not_fit_say_what_would(as_learners_run):
    env = folding_env("towel")
    for option, message in (
        ({"position": (0, 0, 0)}, r"'position' wants numbers of shape \(2,\)"),
        ({"position": "left"}, r"'position' wants numbers of shape \(2,\)"),
        ({"yaw": np.nan}, "'yaw' holds nan: give finite numbers"),
        ({"size": 3}, "'size' is an index from 0 to 2, not 3"),
        ({"size": 1.0}, "'size' is an index from 0 to 2"),
        ({"table": -1}, "'table' is an index from 0 to"),
        ({"color": "pink"}, "unknown color 'pink': .*blue, red, green"),
        ({"joint_noise": np.zeros(59)}, r"'joint_noise' wants numbers of shape \(60,\)"),
        ({"size": 1, "weight": 2}, "unknown reset option 'weight': the known ones are position, yaw, size"),
    ):
        with pytest.raises(ValueError, match=message):
            env.reset(options=option)
    with pytest.raises(ValueError, match="unknown camera 'moon'"):
        env.picture("moon", (8, 8))


def test_before_the_first_reset_one_message_says_what_to_do():
    env = FoldingEnv("towel")
    for ask in (
        lambda: env.step(IDLE),
        lambda: env.stage_fold_good(),
        lambda: FoldingExpert(env).act(),
        lambda: EndEffectorAction(env).step(np.zeros(14, np.float32)),
    ):
        with pytest.raises(RuntimeError, match=r"call reset\(\)"):
            ask()


def test_pictures_come_only_when_asked_for():
    env = gymnasium.make("vla_course/FoldTowel-v0")
    env.reset(seed=0)
    assert env.unwrapped.render() is None
    shown = gymnasium.make(
        "vla_course/FoldTowel-v0", render_mode="rgb_array", render_size=(60, 80), render_camera="side"
    )
    shown.reset(seed=0)
    picture = shown.render()
    assert picture.shape == (60, 80, 3) and picture.dtype == np.uint8 and picture.std() > 5
    shown.close()
    shown.close()


def test_the_expert_is_not_needed_to_make_the_episode():
    """The fixture's episode, replayed from its actions alone."""
    played, env = expert_episode("towel"), folding_env("towel")
    replay = play(env, lambda _, step: played.actions[step], seed=0)
    assert replay.rewards == played.rewards and replay.terminated
    assert FoldingExpert(env).act().shape == (61,)
