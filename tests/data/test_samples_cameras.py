"""Several cameras in a set of demonstrations: recorded side by side, read in any order, mirrored with their hands."""

import json
from dataclasses import replace

import jaxtyping
import numpy as np
import pyarrow.parquet as pq
import pytest
from camera_sets import CAMERAS, episode, recorded
from lerobot_v3 import problems
from openvla_reference import nano

from vla_course.data import demonstrations, lerobot_writer, schema
from vla_course.data.augmentation import center_crop
from vla_course.data.demonstrations import CollectConfig, demonstration_env, make_demonstrations
from vla_course.data.episodes import collect
from vla_course.data.lerobot import LeRobotDataset
from vla_course.data.lerobot_writer import LeRobotWriter
from vla_course.data.mirror import mirrored_order, mirrored_pictures, mirrored_views
from vla_course.data.samples import DemonstrationSamples, add_statistics
from vla_course.data.statistics import normalized_dimensions
from vla_course.settings import FORMER_NAMES


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    return recorded(tmp_path_factory.mktemp("three") / "towel")


def test_a_set_of_three_cameras_keeps_to_the_format(three):
    assert problems(three) == []
    files = sorted(path.relative_to(three).as_posix() for path in three.rglob("*.mp4"))
    assert files == [f"videos/observation.images.{name}/chunk-000/file-000.mp4" for name in CAMERAS]


def test_a_large_one_is_spread_over_files_of_every_camera(tmp_path, monkeypatch):
    monkeypatch.setattr(lerobot_writer, "MB", 50)
    root = recorded(tmp_path / "set")
    assert len(list(root.rglob("*.mp4"))) > len(CAMERAS)
    assert problems(root) == []
    for number, read in enumerate(LeRobotDataset(root, cameras=CAMERAS)):
        np.testing.assert_array_equal(
            read.further_images["right_wrist"], episode(number).further_images["right_wrist"]
        )


def test_what_each_camera_showed_is_read_as_it_was(three):
    dataset = LeRobotDataset(three, cameras=CAMERAS)
    assert dataset.cameras == dataset.all_cameras == CAMERAS
    for number, read in enumerate(dataset):
        wanted = episode(number)
        np.testing.assert_array_equal(read.images, wanted.images)
        assert list(read.further_images) == ["left_wrist", "right_wrist"]
        for name, images in wanted.further_images.items():
            np.testing.assert_array_equal(read.further_images[name], images)
            np.testing.assert_array_equal(np.stack(list(dataset.images(number, name))), images)
    other = LeRobotDataset(three, cameras=("right_wrist", "close")).episode(1)
    np.testing.assert_array_equal(other.images, episode(1).further_images["right_wrist"])
    np.testing.assert_array_equal(other.further_images["close"], episode(1).images)
    single = LeRobotDataset(three, cameras="left_wrist").episode(1)
    assert single.further_images == {}
    np.testing.assert_array_equal(single.images, episode(1).further_images["left_wrist"])


def test_each_camera_has_statistics_of_its_own(three):
    stats = LeRobotDataset(three, cameras="close").stats
    whole = [episode(number) for number in range(3)]
    for name in CAMERAS:
        pictures = np.concatenate(
            [one.images if name == "close" else one.further_images[name] for one in whole]
        )
        found = stats[f"observation.images.{name}"]["mean"].ravel()
        np.testing.assert_allclose(found, pictures.mean((0, 1, 2)) / 255, atol=1e-6)


def test_among_several_a_camera_is_chosen_by_name(three):
    for camera in (None, "top", ("close", "top"), ()):
        with pytest.raises(ValueError, match=r"choose a camera of .*: it has observation.images.close, obs"):
            LeRobotDataset(three, cameras=camera)


def test_a_recording_goes_on_with_the_same_cameras_only(tmp_path):
    LeRobotWriter(tmp_path, fps=5, camera=CAMERAS).add(episode(0))
    for others in ("close", CAMERAS[:2], CAMERAS[::-1]):
        with pytest.raises(
            ValueError, match="was recorded with the cameras close, left_wrist, right_wrist, not"
        ):
            LeRobotWriter(tmp_path, fps=5, camera=others)
    again = LeRobotWriter(tmp_path, fps=5, camera=CAMERAS)
    again.add(episode(1))
    again.finalize()
    assert problems(tmp_path) == [] and LeRobotDataset(tmp_path, cameras=CAMERAS).num_episodes == 2


def test_pictures_that_do_not_fit_the_set_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # what users see, who run without
    writer, whole = LeRobotWriter(tmp_path, fps=5, camera=CAMERAS), episode(0)
    small = {**whole.further_images, "left_wrist": whole.further_images["left_wrist"][:, ::2, ::2]}
    for further in ({}, {"left_wrist": whole.images}, {**whole.further_images, "top": whole.images}, small):
        with pytest.raises(
            ValueError, match="wants those of close, left_wrist, right_wrist, all of one size"
        ):
            writer.add(replace(whole, further_images=further))
    assert writer.num_episodes == 0
    with pytest.raises(ValueError, match=r"has 3 images of top, and 4 of its main camera"):
        replace(whole, further_images={"top": whole.images[:3]})


# --- collecting


def settings(**changes) -> CollectConfig:
    return CollectConfig(
        **{"episodes": 1, "image_size": (28, 28), "cameras": CAMERAS, "workers": 1, **changes}
    )


def test_what_is_recorded_is_what_the_environments_cameras_show():
    config = settings()
    env, expert = demonstration_env(config)
    (seen,) = collect(env, expert, [5], camera=config.cameras, max_steps=2)
    observation, _ = env.reset(seed=5)
    for name, images in {"close": seen.images, **seen.further_images}.items():
        np.testing.assert_array_equal(images[0], observation[f"image_{name}"])
    (alone,) = collect(env, expert, [5], camera="close", max_steps=2)
    np.testing.assert_array_equal(alone.images, seen.images)
    np.testing.assert_array_equal(alone.actions, seen.actions)


def test_how_a_set_was_made_is_noted_and_asked_for_again(tmp_path, monkeypatch):
    seeds = iter(range(100))

    def in_order(config, first):
        while True:
            yield episode(next(seeds))

    monkeypatch.setattr(demonstrations, "_in_order", in_order)
    make_demonstrations(settings(state_key="joint_position"), tmp_path / "set", progress=False)
    noted = json.loads((tmp_path / "set" / schema.COLLECT).read_text())
    assert noted["cameras"] == list(CAMERAS) and noted["state_key"] == "joint_position"
    assert noted["image_size"] == [28, 28] and not FORMER_NAMES.keys() & noted.keys()
    assert LeRobotDataset(tmp_path / "set", cameras="close").state_key == "joint_position"
    demonstrations._same_settings(settings(state_key="joint_position"), tmp_path / "set")
    with pytest.raises(
        ValueError, match=r"was recorded with cameras=\['close', 'left_wrist', 'right_wrist'\]"
    ):
        other = settings(state_key="joint_position", cameras=("close", "top"))
        demonstrations._same_settings(other, tmp_path / "set")
    with pytest.raises(ValueError, match="at least one camera, and each once, not close, close"):
        settings(cameras=("close", "close"))
    with pytest.raises(ValueError, match="at least one camera, and each once, not none"):
        settings(cameras=())
    with pytest.raises(ValueError, match="unknown camera 'wrist'"):
        make_demonstrations(settings(cameras=("close", "wrist")), tmp_path / "none", progress=False)


def test_recording_goes_on_beside_a_note_with_former_names(tmp_path):
    for former in ({"camera": "close"}, {"cameras": ["close", "top"]}):
        (tmp_path / schema.COLLECT).parent.mkdir(exist_ok=True)
        now = settings(cameras=tuple(former.get("cameras", ("close",))), state_key="joint_position")
        rest = {
            "image_size": 28,
            "state": "joint_position",
            "env": "FoldTowel-v0",
            "rate_hz": 5,
            "noise": 0.05,
        }
        rest |= {"drift": 0.6, "fumbles": 0.1, "pushes": 0.3, "push_m": 0.03, "stage_signal": False}
        text = json.dumps({**rest, **former, "first_seed": 40_000_000})
        (tmp_path / schema.COLLECT).write_text(text)
        demonstrations._same_settings(now, tmp_path)
        assert (tmp_path / schema.COLLECT).read_text() == text, "what is recorded stays as it is"
        with pytest.raises(ValueError, match=r"was recorded with image_size=\[28, 28\]: go on so"):
            demonstrations._same_settings(replace(now, image_size=(28, 32)), tmp_path)


# --- in the mirror


def test_hands_change_their_cameras_in_the_mirror():
    assert mirrored_order(CAMERAS) == [0, 2, 1] and mirrored_order(("right_wrist", "left_wrist")) == [1, 0]
    pictures = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 5, 3), np.uint8)
    seen = mirrored_views(pictures, CAMERAS)
    np.testing.assert_array_equal(seen[:, 0], mirrored_pictures(pictures[:, 0]))
    np.testing.assert_array_equal(seen[:, 1], mirrored_pictures(pictures[:, 2]))
    np.testing.assert_array_equal(mirrored_views(seen, CAMERAS), pictures)
    for cameras, who in (
        (("close", "left_wrist"), "left_wrist, without right_wrist"),
        (("side",), "side, which stands"),
    ):
        with pytest.raises(ValueError, match=f"a mirror cannot show what is seen by the camera {who}"):
            mirrored_order(cameras)


def test_wrists_are_mounted_as_each_others_mirror_image():
    """The expert in the mirrored start: what its hands see is what the mirror makes of what they saw, or nearly."""
    starts = []
    for sign in (1, -1):
        env, expert = demonstration_env(settings(image_size=(84, 84)))
        options = {"position": (0.02, 0.03 * sign), "yaw": 0.3 * sign, "joint_noise": 0, "camera_jitter": 0}
        pinned = options | {"table": 0, "color": (0.2, 0.3, 0.8)}
        (seen,) = collect(env, expert, [3], camera=CAMERAS, options=pinned, max_steps=5)
        starts.append(np.stack([seen.images, *seen.further_images.values()], 1).astype(np.uint8))
    one, other = starts
    in_mirror = np.abs(mirrored_views(one, CAMERAS).astype(int) - other).mean((0, 2, 3, 4))
    only_flipped = np.abs(mirrored_pictures(one).astype(int) - other).mean((0, 2, 3, 4))
    only_swapped = np.abs(one[:, [0, 2, 1]].astype(int) - other).mean((0, 2, 3, 4))
    assert (in_mirror < 8).all(), "grey levels: wood grain and light are not mirrored"
    assert (in_mirror[1:] < 0.25 * only_flipped[1:]).all() and (in_mirror[1:] < 0.25 * only_swapped[1:]).all()


# --- as a model learns from them


@pytest.fixture(scope="module")
def model(three):
    model = nano(state_dim=16, num_images=3)
    add_statistics(model, LeRobotDataset(three, cameras=CAMERAS), "towel")
    return model


def views(number: int, frame: int) -> list[np.ndarray]:
    wanted = episode(number)
    return [wanted.images[frame], *(images[frame] for images in wanted.further_images.values())]


def test_a_sample_shows_all_cameras_as_acting_does(three, model):
    samples = DemonstrationSamples(model, LeRobotDataset(three, cameras=CAMERAS), "towel")
    batch = samples.batch(np.array([0, 5]))
    assert batch["pixel_values"].shape == (2, 18, 28, 28)
    for row, (number, frame) in enumerate(((0, 0), (1, 1))):
        seen = [center_crop(picture) for picture in views(number, frame)]
        asked = model.processor(["fold"], [seen], np.zeros((1, 16), np.int64))
        assert torch_equal(batch["pixel_values"][row], asked["pixel_values"][0])
    assert np.isfinite(float(model(**batch).loss))


def test_each_picture_is_augmented_by_itself(three, model, tmp_path):
    samples = DemonstrationSamples(model, LeRobotDataset(three, cameras=CAMERAS), "towel")
    one, again = (samples.batch(np.array([2]), np.random.default_rng(4))["pixel_values"] for _ in range(2))
    assert torch_equal(one, again) and one.shape == (1, 18, 28, 28)
    shown = episode(0)
    with LeRobotWriter(tmp_path, fps=5, camera=CAMERAS) as writer:  # three cameras that show the same
        writer.add(replace(shown, further_images=dict.fromkeys(CAMERAS[1:], shown.images)))
        writer.finalize()
    same = DemonstrationSamples(model, LeRobotDataset(tmp_path, cameras=CAMERAS), "towel")
    first, second, _ = same.batch(np.array([2]), np.random.default_rng(4))["pixel_values"][0].split(6)
    assert torch_equal(first, one[0, :6]) and not torch_equal(first, second)


def test_in_the_mirror_both_wrists_change_places(three, model):
    dataset = LeRobotDataset(three, cameras=CAMERAS)
    plain, both = (
        DemonstrationSamples(model, dataset, "towel", augmentation=None, mirror=mirror)
        for mirror in (False, True)
    )
    assert len(both) == 2 * len(plain)
    close, left, right = plain.batch(np.array([6]))["pixel_values"][0].split(6)
    again = both.batch(np.array([len(plain) + 6]))["pixel_values"][0].split(6)
    for seen, wanted in zip(again, (close, right, left), strict=True):
        assert torch_equal(seen, wanted.flip(-1))
    pair = nano(state_dim=16, num_images=2)
    two = LeRobotDataset(three, cameras=CAMERAS[:2])
    add_statistics(pair, two, "towel")
    with pytest.raises(ValueError, match="left_wrist, without right_wrist"):
        DemonstrationSamples(pair, two, "towel", mirror=True)


def test_model_and_set_agree_on_the_number_of_pictures(three, model):
    with pytest.raises(
        ValueError, match=r"looks at 3 pictures at once, and the set is read with 1 cameras \(close\)"
    ):
        DemonstrationSamples(model, LeRobotDataset(three, cameras="close"), "towel")


def test_joints_are_measured_from_end_to_end_and_hands_but_for_their_grips(tmp_path):
    """Where a set says that its states are joints, every one of them is stretched; the seventh is nobody's grip."""
    for key, states in (("joint_position", 60), ("end_effector", 16)):
        root = recorded(tmp_path / key, states=states)
        (root / schema.COLLECT).write_text(json.dumps({"state": key}))
        model = nano(state_dim=states)
        add_statistics(model, LeRobotDataset(root, cameras="close"), key)
        mask = model.config.norm_stats[key]["proprio"]["mask"]
        assert mask == ([True] * 60 if states == 60 else normalized_dimensions(16).tolist())
        table = pq.read_table(root / "data/chunk-000/file-000.parquet")
        assert len(table["observation.state"][0].as_py()) == states


def torch_equal(one, other) -> bool:
    return np.array_equal(one.numpy(), other.numpy())
