"""A mirror between left and right: what it does to numbers and pictures, and that the robot in it folds as well."""

from dataclasses import replace

import numpy as np
import pytest
from demonstration_sets import write_model, write_set

from vla_course.action_tokens import action_statistics, normalize_actions, tokenize_actions
from vla_course.adapters.lora import LoRAConfig
from vla_course.control.actions import end_effector_delta
from vla_course.control.rotations import matrix_from_rpy
from vla_course.data.demonstrations import CollectConfig, demonstration_env
from vla_course.data.lerobot import LeRobotDataset
from vla_course.data.mirror import mirrored_hands, mirrored_pictures, mirrored_tracks
from vla_course.data.samples import DemonstrationSamples
from vla_course.data.statistics import dataset_statistics
from vla_course.fine_tuning.config import TrainConfig
from vla_course.fine_tuning.run import begin
from vla_course.fine_tuning.run_folder import tell_data
from vla_course.openvla.load import load_vla

ACROSS = np.diag([1.0, -1.0, 1.0])
"""The mirror between left and right: y changes its sign."""


def test_hands_change_sides_and_steps_their_signs():
    numbers = np.arange(1.0, 17.0)
    left, right = numbers[:7], numbers[7:14]
    signs = [1, -1, 1, -1, 1, -1, 1]
    np.testing.assert_array_equal(mirrored_hands(numbers), [*right * signs, *left * signs, 16, 15])
    for more in (0, 1, 2):
        some = np.random.default_rng(more).normal(size=(3, 14 + more))
        np.testing.assert_array_equal(mirrored_hands(mirrored_hands(some)), some)
    assert mirrored_hands(np.arange(15.0))[-1] == 14, "the stage signal is of no side"
    with pytest.raises(ValueError, match="not 7 numbers"):
        mirrored_hands(np.zeros(7))


def test_a_step_in_the_mirror_is_the_step_of_the_mirrored_hand():
    luck = np.random.default_rng(0)
    for _ in range(20):
        here, there = luck.normal(size=(2, 3))
        facing, turned = (matrix_from_rpy(luck.uniform(-0.4, 0.4, 3)) for _ in range(2))
        step = end_effector_delta(here, facing, there, turned)
        in_mirror = end_effector_delta(
            ACROSS @ here, ACROSS @ facing @ ACROSS, ACROSS @ there, ACROSS @ turned @ ACROSS
        )
        both = np.concatenate([[*step, 1.0], np.zeros(7)])
        np.testing.assert_allclose(mirrored_hands(both)[7:13], in_mirror, atol=1e-12)


def test_the_mirrored_expert_folds_the_mirrored_towel():
    """A start is laid out mirrored; the expert's mirrored answer is there what the expert itself says, or nearly."""
    answers = []
    for sign in (1, -1):
        env, expert = demonstration_env(CollectConfig(image_size=(84, 84)))
        options = {"position": (0.02, 0.03 * sign), "yaw": 0.3 * sign, "joint_noise": 0, "camera_jitter": 0}
        observation, _ = env.reset(seed=3, options=options | {"table": 0, "color": (0.2, 0.3, 0.8)})
        answers.append((expert.act(), observation["end_effector"], observation["image_close"]))
    (action, state, picture), (other, other_state, other_picture) = answers
    np.testing.assert_allclose(mirrored_hands(action), other, atol=0.03)
    np.testing.assert_allclose(mirrored_hands(state), other_state, atol=0.01)
    difference = np.abs(mirrored_pictures(picture).astype(int) - other_picture)
    assert difference.mean() < 0.5 * np.abs(picture.astype(int) - other_picture).mean()


@pytest.fixture
def two_hands(tmp_path):
    return str(write_set(tmp_path / "set", actions=14, states=16)), str(write_model(tmp_path / "model"))


def test_samples_come_a_second_time(two_hands):
    dataset, model = LeRobotDataset(two_hands[0]), load_vla(path=two_hands[1])
    tell_data(model, dataset_statistics(dataset.tracks(), "towel"), 16)
    plain, both = (
        DemonstrationSamples(model, dataset, "towel", augmentation=None, mirror=mirror)
        for mirror in (False, True)
    )
    assert len(both) == 2 * len(plain)
    for frame in (0, 7):
        first, again = (both.batch(np.array([number])) for number in (frame, len(plain) + frame))
        for name, value in plain.batch(np.array([frame])).items():
            np.testing.assert_array_equal(first[name], value)
        np.testing.assert_array_equal(first["pixel_values"].flip(-1), again["pixel_values"])
        (track,) = mirrored_tracks([dataset.track(frame // 6)])
        said = model.state_tokens(track.states, "towel")[frame % 6]
        begins = int((again["labels"][0] != -100).nonzero()[0])
        assert again["input_ids"][0, begins - 17 : begins - 1].tolist() == said.tolist()
        scaled = action_statistics(model.config.norm_stats, "towel")
        actions = normalize_actions(track.actions, scaled.q01, scaled.q99, scaled.mask)[frame % 6]
        wanted = tokenize_actions(actions, model.config.vocabulary_size)
        assert again["input_ids"][0, begins : begins + 14].tolist() == wanted.tolist()


def test_a_run_learns_from_both_and_measures_left_and_right_alike(two_hands, tmp_path):
    data, model = two_hands
    lora = LoRAConfig(rank=2, alpha=4, targets=r"language_model\..*_proj")
    settings = {"init_from": model, "lora": lora, "augment": False, "validation_share": 0.25, "steps": 2}
    config = TrainConfig(data=data, out=str(tmp_path / "run"), mirror=True, warmup_steps=0, **settings)
    run = begin(config)
    assert len(run.samples) == 2 * 18 and len(run.validation) == 6, "what is measured is not mirrored"
    (statistics,) = run.model.config.norm_stats.values()
    for kind in ("action", "proprio"):
        low, high = (np.array(statistics[kind][name]) for name in ("q01", "q99"))
        np.testing.assert_allclose(low[[0, 2, 4, 6]], low[[7, 9, 11, 13]], atol=1e-6)
        np.testing.assert_allclose(low[[1, 3, 5]], -high[[8, 10, 12]], atol=1e-6)
    one_hand = write_set(tmp_path / "one")
    with pytest.raises(ValueError, match="set mirror=false"):
        begin(replace(config, data=str(one_hand), out=str(tmp_path / "other")))
