"""One command records a set, on any number of processes the same, and goes on where it was stopped."""

import numpy as np
import pytest

from vla_course import assets
from vla_course.data import demonstrations, schema
from vla_course.data.demonstrations import (
    CollectConfig,
    Mishaps,
    demonstration_env,
    make_demonstrations,
    noise_spread,
)
from vla_course.data.episodes import Episode
from vla_course.data.lerobot import LeRobotDataset
from vla_course.files import PARTIAL, InUseError, writing_alone

SMALL = CollectConfig(env="FoldTowel-v0", episodes=2, image_size=(28, 28), noise=0.05, workers=1)


def test_a_set_of_towel_folds_that_two_processes_make_as_one_does(tmp_path):
    alone = make_demonstrations(SMALL, tmp_path / "alone", progress=False)
    assert alone["kept"] == 2 <= alone["tried"]
    two = CollectConfig(**{**vars(SMALL), "workers": 2})
    assert make_demonstrations(two, tmp_path / "two", progress=False) == alone
    ours, theirs = LeRobotDataset(tmp_path / "alone"), LeRobotDataset(tmp_path / "two")
    assert ours.info == theirs.info and (ours.num_episodes, ours.fps) == (2, 5)
    assert ours.info["robot_type"] == "FoldTowel-v0"
    for one, other in zip(ours, theirs, strict=True):
        assert one.seed == other.seed >= demonstrations.FIRST_SEED and one.success
        np.testing.assert_array_equal(one.images, other.images)
        np.testing.assert_array_equal(one.actions, other.actions)


def played(seeds: list[int], failing: tuple[int, ...] = (), stop_at: int | None = None):
    """Stands in for robots: an episode for every seed, at once."""

    def in_order(config, first):
        seed = first
        while True:
            if seed == stop_at:
                raise KeyboardInterrupt
            seeds.append(seed)
            random = np.random.default_rng(seed)
            yield Episode(
                random.integers(0, 256, (3, 28, 28, 3)).astype(np.uint8),
                random.standard_normal((3, 14)).astype(np.float32),
                random.uniform(-1, 1, (3, 14)).astype(np.float32),
                "fold the towel",
                seed not in failing,
                seed,
            )
            seed += 1

    return in_order


def test_goes_on_after_the_last_good_episode_and_keeps_good_ones_only(tmp_path, monkeypatch):
    config = CollectConfig(**{**vars(SMALL), "episodes": 5, "first_seed": 100})
    asked: list[int] = []
    monkeypatch.setattr(demonstrations, "_in_order", played(asked, failing=(101, 104), stop_at=103))
    with pytest.raises(KeyboardInterrupt):
        make_demonstrations(config, tmp_path, progress=False)
    assert asked == [100, 101, 102]
    other = CollectConfig(**{**vars(config), "noise": 0.3, "workers": 7})
    with pytest.raises(ValueError, match=r"was recorded with noise=0\.05: go on so, or record elsewhere"):
        make_demonstrations(other, tmp_path, progress=False)
    monkeypatch.setattr(demonstrations, "_in_order", played(asked, failing=(101, 104)))
    with (
        writing_alone(tmp_path),
        pytest.raises(InUseError, match="is in use: another process is writing there"),
    ):
        make_demonstrations(config, tmp_path, progress=False)
    left = tmp_path / schema.INFO.replace("info", f"{PARTIAL}killed")
    left.write_text("half")
    assert make_demonstrations(config, tmp_path, progress=False) == {"tried": 4, "kept": 5}
    assert not left.exists()
    assert asked == [100, 101, 102, 103, 104, 105, 106]
    assert [track.seed for track in LeRobotDataset(tmp_path).tracks()] == [100, 102, 103, 105, 106]
    with pytest.raises(FileExistsError, match="is finished"):
        make_demonstrations(config, tmp_path, progress=False)


def test_turns_are_noised_a_fifth_and_grips_and_stage_signals_not_at_all():
    env, expert = demonstration_env(CollectConfig(env="FoldTowel-v0", image_size=(28, 28), stage_signal=True))
    spread = noise_spread(CollectConfig(noise=0.2), env)
    np.testing.assert_allclose(spread, [*[0.2] * 3, *[0.04] * 3, 0, *[0.2] * 3, *[0.04] * 3, 0, 0])
    env.reset(seed=0)
    assert expert.act(None).shape == (15,)


def test_an_empty_hand_sometimes_closes_high_above_the_table_and_one_that_holds_cloth_does_not_open():
    env, _ = demonstration_env(CollectConfig(image_size=(28, 28)))
    env.reset(seed=0)
    open_hands, luck = np.full(14, 0.5), np.random.default_rng(0)
    done = np.array([Mishaps(env, 0.3, 0, 0)(open_hands, luck) for _ in range(600)])
    np.testing.assert_allclose((done[:, [6, 13]] == -1).mean(0), 0.3, atol=0.06)
    assert (np.delete(done, [6, 13], axis=1) == 0.5).all() and (open_hands == 0.5).all()
    env.unwrapped.physics.grasp.hold(1, (0,), np.zeros(1))
    done = np.array([Mishaps(env, 1.0, 1.0, 0.1)(open_hands, luck) for _ in range(5)])
    assert (done[:, 6] == -1).all() and (done[:, 7:] == 0.5).all()


def test_near_the_table_no_hand_closes_by_mistake():
    env, expert = demonstration_env(CollectConfig(image_size=(28, 28)))
    env.reset(seed=0)
    for _ in range(3):
        env.step(expert.act(None))
    low = env.unwrapped.hand_position[:, 2] < demonstrations.HIGH_M
    done = Mishaps(env, 1.0, 0, 0)(np.full(14, 0.5), np.random.default_rng(0))
    assert low.any() and ((done[[6, 13]] == -1) == ~low).all()


def test_an_empty_hand_is_sometimes_pushed_along_the_table_but_not_while_it_closes():
    env, _ = demonstration_env(CollectConfig(image_size=(28, 28)))
    env.reset(seed=0)
    still, luck = np.zeros(14), np.random.default_rng(0)
    done = np.array([Mishaps(env, 0, 0.4, 0.03)(still, luck) for _ in range(2000)])
    pushed = done[:, [0, 1, 7, 8]]
    np.testing.assert_allclose((pushed != 0).mean(0), 0.4, atol=0.04)
    assert ((pushed[:, 0] != 0) == (pushed[:, 1] != 0)).all(), "along both axes at once"
    metres = pushed[pushed != 0] * env.translation_m
    assert metres.std() == pytest.approx(0.03, rel=0.05) and abs(metres.mean()) < 0.002
    assert (np.delete(done, [0, 1, 7, 8], axis=1) == 0).all()
    closes = np.zeros(14)
    closes[6] = -1
    done = np.array([Mishaps(env, 0, 1.0, 0.03)(closes, luck) for _ in range(5)])
    assert (done[:, :7] == closes[:7]).all() and (done[:, 7:9] != 0).all()


@pytest.mark.parametrize("name", ["towel", "tshirt"])
def test_shipped_sets_say_what_their_numbers_are(name):
    features = LeRobotDataset(assets.find_folder(f"data/demos/{name}")).features
    hands = [
        f"{hand}_{what}"
        for hand in ("left", "right")
        for what in ("x", "y", "z", "roll", "pitch", "yaw", "grip")
    ]
    assert features["action"]["names"] == hands
    assert features["observation.state"]["names"] == [*hands, "left_touch", "right_touch"]
    today = schema.features("close", (84, 84, 3), 16, 14)
    assert {key: features[key]["names"] for key in today} == {key: one["names"] for key, one in today.items()}


def test_the_tabletop_is_demonstrated_by_its_own_expert():
    env, expert = demonstration_env(CollectConfig(env="Tabletop-v0", image_size=(28, 28)))
    observation, _ = env.reset(seed=0)
    assert expert.act(observation).shape == (7,) and observation["image_close"].shape == (28, 28, 3)
    np.testing.assert_allclose(noise_spread(CollectConfig(noise=0.1), env), [*[0.1] * 3, *[0.02] * 3, 0])


def test_what_cannot_be_recorded_is_said_before_anything_is(tmp_path):
    with pytest.raises(ValueError, match="unknown environment 'FoldSock-v0'"):
        make_demonstrations(CollectConfig(env="FoldSock-v0"), tmp_path)
    with pytest.raises(ValueError, match="unknown camera 'left'"):
        make_demonstrations(CollectConfig(camera="left"), tmp_path)
    for wrong in (
        {"episodes": 0},
        {"noise": -1.0},
        {"image_size": 0},
        {"workers": 0},
        {"drift": 1.0},
        {"fumbles": 2.0},
        {"pushes": -0.1},
        {"push_m": -0.1},
    ):
        with pytest.raises(ValueError, match=r"^want "):
            CollectConfig(**wrong)
    assert list(tmp_path.iterdir()) == []
