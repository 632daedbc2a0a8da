"""Scenes moved along the table: pictures by a homography, the hands' numbers by as much, steps not at all."""

from dataclasses import replace

import mujoco
import numpy as np
import pytest
import torch

from tests.data.test_augmentation import STILL, generator
from tests.data.test_waypoints import KEY, root, speaking  # noqa: F401  (root is a fixture)
from vla_course.data.augmentation import augment, moved_scene
from vla_course.data.samples import DemonstrationSamples
from vla_course.envs.folding.env import FoldingEnv
from vla_course.envs.table import CLOSE_CAMERA, table_in_close_picture
from vla_course.fine_tuning.config import TrainConfig

SHIFT_M = np.array([0.03, -0.02])


def seen_at(homography: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Where places (N, 2) on the table are in the picture."""
    points = np.column_stack([places, np.ones(len(places))]) @ homography.T
    return points[:, :2] / points[:, 2:]


@pytest.fixture(scope="module")
def env():
    made = FoldingEnv(
        garment="towel", cameras=(CLOSE_CAMERA,), image_size=(84, 84), observations=("end_effector",)
    )
    yield made
    made.close()


PINNED = {"yaw": 0.3, "size": 0, "color": "red", "table": 3, "joint_noise": 0.0, "camera_jitter": 0.0}


def picture(env, position) -> np.ndarray:
    observation, _ = env.reset(seed=0, options={**PINNED, "position": np.asarray(position)})
    return observation[f"image_{CLOSE_CAMERA}"].astype(float) / 255


def test_the_homography_is_that_of_the_camera_in_the_scene(env):
    """By MuJoCo's own camera: where it stands, which way it looks, how wide."""
    env.reset(seed=0, options=PINNED)
    model, data = env.physics.model, env.physics.data
    camera = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_CAMERA, CLOSE_CAMERA)
    axes, stands = data.cam_xmat[camera].reshape(3, 3), data.cam_xpos[camera]
    focal = 1 / np.tan(np.radians(model.cam_fovy[camera]) / 2)
    places = np.array([[0.0, 0.0], [0.15, 0.1], [-0.1, 0.2], [0.05, -0.25]])
    ahead = (np.column_stack([places, np.zeros(4)]) - stands) @ axes
    wanted = focal * ahead[:, :2] / -ahead[:, 2:] * [1, -1]  # rows count downwards
    np.testing.assert_allclose(seen_at(table_in_close_picture(), places), wanted, atol=1e-6)
    assert (np.abs(wanted) < 1).all()


def test_what_is_shown_moved_was_before_where_the_warp_says():
    homography, places = table_in_close_picture(), np.array([[0.0, 0.0], [0.1, 0.05], [-0.05, 0.2]])
    (warp,) = moved_scene(homography, SHIFT_M[None]).numpy()
    moved = np.column_stack([seen_at(homography, places + SHIFT_M), np.ones(3)]) @ warp.T
    np.testing.assert_allclose(moved[:, :2] / moved[:, 2:], seen_at(homography, places), atol=1e-9)
    np.testing.assert_allclose(moved_scene(homography, np.zeros((1, 2)))[0], np.eye(3), atol=1e-12)


def test_a_moved_picture_shows_a_towel_that_lies_elsewhere(env):
    """The picture of one towel, moved, is that of another: nearly, and far more so than unmoved or moved the other way."""
    here, there = picture(env, (0.01, 0.0)), picture(env, np.array([0.01, 0.0]) + SHIFT_M)
    given = torch.from_numpy(here).permute(2, 0, 1)[None].float()

    def off(shift_m) -> float:
        warp = moved_scene(table_in_close_picture(), np.asarray(shift_m)[None])
        seen = augment(given, STILL, generator(), warp)[0].permute(1, 2, 0).numpy()
        red = (there[..., 0] - there[..., 2] > 0.25) | (seen[..., 0] - seen[..., 2] > 0.25)
        return float(np.abs(seen - there)[red].mean())

    assert off(SHIFT_M) < 0.3 * min(off((0.0, 0.0)), off(-SHIFT_M), off(SHIFT_M[::-1]))


def test_hands_and_waypoints_move_with_the_picture_and_steps_do_not(root):  # noqa: F811
    model, dataset, still = speaking(root)
    config = replace(STILL, shift_m=0.3)
    samples = DemonstrationSamples(model, dataset, KEY, augmentation=config, mirror=True)
    rows = np.array([0, 9, 20, len(still) + 3])
    before, after = samples.batch(rows), samples.batch(rows, np.random.default_rng(5))
    shift_m = np.random.default_rng(5).uniform(-0.3, 0.3, (4, 2))
    text = before["input_ids"].shape[1] - 1 - 14 - 4 - 4 - 1 - 16
    for row, shift in enumerate(shift_m):
        state, ahead = (
            part[rows[row]].numpy().copy() for part in (samples._sentences.states, samples._sentences.ahead)
        )
        for numbers in (state, ahead):
            numbers[[0, 7]] += shift[0]
            numbers[[1, 8]] += shift[1]
        now, then = after["input_ids"][row], before["input_ids"][row]
        assert now[text : text + 16].tolist() == model.state_tokens(state, KEY).tolist()
        waypoint = model.state_tokens(ahead, KEY)[[0, 1, 7, 8]].tolist()
        assert (
            now[text + 17 : text + 21].tolist()
            == waypoint
            == after["labels"][row, text + 17 : text + 21].tolist()
        )
        same = np.r_[0:text, text + 16, text + 21 : len(now)]
        assert torch.equal(now[same], then[same]) and not torch.equal(now, then)
        assert after["labels"][row, : text + 17].eq(-100).all()
        warp = moved_scene(table_in_close_picture(), shift[None])
        seen = augment(_pixels(samples, rows[row]), STILL, generator(), warp)
        mean, std = samples._mean, samples._std
        torch.testing.assert_close(after["pixel_values"][row], (seen.repeat(1, 2, 1, 1)[0] - mean) / std)


def _pixels(samples, row: int) -> torch.Tensor:
    return torch.from_numpy(samples._images(np.array([row]))[:, 0]).permute(0, 3, 1, 2).float() / 255


def test_without_luck_nothing_moves(root):  # noqa: F811
    model, dataset, still = speaking(root)
    samples = DemonstrationSamples(model, dataset, KEY, augmentation=replace(STILL, shift_m=0.1))
    for name, value in samples.batch(np.arange(4)).items():
        torch.testing.assert_close(value, still.batch(np.arange(4))[name])


def test_other_cameras_and_wrong_numbers_are_refused(root, tmp_path):  # noqa: F811
    model, dataset, _ = speaking(root)
    dataset = type(dataset)(root)
    dataset.cameras = ("side",)
    with pytest.raises(ValueError, match=r"close alone.*not of side: set shift_m=0"):
        DemonstrationSamples(model, dataset, KEY, augmentation=replace(STILL, shift_m=0.1))
    for wrong in ({"shift_m": -0.1}, {"shift_m": 0.5}, {"shift_m": 0.02, "augment": False}):
        with pytest.raises(ValueError, match="shift_m: want 0 to 0"):
            TrainConfig(data="d", out=str(tmp_path), **wrong)
