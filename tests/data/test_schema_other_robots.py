"""Sets of other robots: what is taught is what was demonstrated, or the set is refused with one line that says why."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from openvla_reference import nano

from vla_course.action_tokens import action_statistics, detokenize_actions, unnormalize_actions
from vla_course.data.episodes import Episode
from vla_course.data.lerobot import LeRobotDataset
from vla_course.data.lerobot_writer import LeRobotWriter
from vla_course.data.samples import DemonstrationSamples, add_statistics
from vla_course.data.statistics import BIN, fitting_dimensions
from vla_course.fine_tuning.config import TrainConfig
from vla_course.fine_tuning.run import _completed, _statistics
from vla_course.fine_tuning.run_folder import read_config
from vla_course.policies.openvla import OpenVLAPolicy

ROOT = Path(__file__).resolve().parents[2]
FRAMES = 60
REACHES = {
    "one number": [3.0],
    "pixels": [250.0, 250.0],
    "six joints, degrees": [80.0, 50.0, 90.0, 40.0, 60.0, 50.0],
    "seven joints, rad": [2.6, 1.5, 2.6, 2.8, 2.6, 3.4, 2.7],
    "seven joints and a gripper, m": [2.6, 1.5, 2.6, 2.8, 2.6, 3.4, 2.7, 0.04],
    "eight steps": [0.01] * 8,
    "nine": [1.0] * 9,
    "ten, of any size": [0.001, 0.1, 1.0, 10.0, 100.0, 1000.0, 1e4, 1.0, 5.0, 1e-4],
    "twelve joints, degrees": [170.0] * 12,
    "two arms with grippers, degrees": ([90.0] * 6 + [100.0]) * 2,
    "a hand, rad": [1.6] * 16,
}


def recorded(root: Path, actions: np.ndarray, states: np.ndarray | None = None) -> LeRobotDataset:
    states = actions if states is None else states
    with LeRobotWriter(root, fps=10, camera="top") as writer:
        for seed, rows in enumerate(np.array_split(np.arange(len(actions)), 2)):
            images = np.zeros((len(rows), 16, 16, 3), np.uint8)
            numbers = [values[rows].astype(np.float32) for values in (states, actions)]
            writer.add(Episode(images, *numbers, "move", True, seed))
        writer.finalize()
    return LeRobotDataset(root)


def moves(reach: list[float]) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (FRAMES, len(reach))) * reach


def statistics_of(dataset: LeRobotDataset, **settings):
    config = TrainConfig(data=str(dataset.root), out="out", unnorm_key="arm", **settings)
    return _statistics(dataset, dict(enumerate(dataset.tracks())), _completed(config, dataset))


@pytest.mark.parametrize("kind", REACHES)
def test_taught_words_mean_the_demonstrated_actions(tmp_path, kind):
    actions = moves(REACHES[kind])
    dataset = recorded(tmp_path / "set", actions)
    model = nano(state_dim=actions.shape[1])
    model.config.norm_stats = statistics_of(dataset)
    samples = DemonstrationSamples(model, dataset, "arm")
    labels = samples.words(np.arange(FRAMES))["labels"].numpy()
    ids = np.array([row[row >= 0][:-1] for row in labels])
    known = action_statistics(model.config.norm_stats, "arm")
    taught = unnormalize_actions(
        detokenize_actions(ids, model.config.vocabulary_size), known.q01, known.q99, known.mask
    )
    low, high = np.quantile(actions, [0.01, 0.99], axis=0)
    bin_width = np.where(known.mask, (high - low) / 255, 2 / 255)
    assert (np.abs(taught - np.clip(actions, low, high)) <= bin_width).all()
    assert (bin_width <= 0.008 * np.maximum(1, np.array(REACHES[kind]))).all()
    told = action_statistics(model.config.norm_stats, "arm", of="proprio")
    assert (told.cut_share(actions) <= 0.04).all()


def test_masks_follow_the_data():
    steps = np.random.default_rng(0).uniform(-0.5, 0.5, (FRAMES, 7))
    steps[:, 6] = np.arange(FRAMES) % 2
    assert np.flatnonzero(~fitting_dimensions(steps)).tolist() == [6], "a grip in OpenVLA's place"
    steps[:, 6] *= 100
    assert fitting_dimensions(steps).all(), "percent would be cut to 1"
    six = steps[:, :6].copy()
    six[:, 5] = np.where(np.arange(FRAMES) % 3 == 0, -1, 1)
    assert np.flatnonzero(~fitting_dimensions(six)).tolist() == [5], "a switch, wherever it is"
    six[:, 5] = 0
    assert fitting_dimensions(six).all(), "what never changes is no switch"


def test_grips_that_are_measured_a_little_too_wide_stay_as_they_are():
    """As simulated hands report them, 1.005 in 1 % of the frames: less than a bin is lost."""
    states = np.random.default_rng(0).uniform(-0.5, 0.5, (1000, 16))
    states[:, [6, 13]] = 1 + BIN / 2
    states[:3, 6] = 1.1
    assert np.flatnonzero(~fitting_dimensions(states)).tolist() == [6, 13, 14, 15]
    states[:30, 6] = 1.1
    assert np.flatnonzero(~fitting_dimensions(states)).tolist() == [13, 14, 15]


def test_numbers_that_stay_may_be_told(tmp_path):
    actions = moves([1.0, 50.0, 0.5])
    dataset = recorded(tmp_path / "set", actions)
    assert statistics_of(dataset)["arm"]["action"]["mask"] == [True, True, True]
    told = statistics_of(dataset, unnormalized_dims=(0, 2))
    assert told["arm"]["action"]["mask"] == [False, True, False]
    with pytest.raises(
        ValueError, match=r"unnormalized_dims: .*number 1 goes from -4.* to 4.* must lie in \[-1, 1\]"
    ):
        statistics_of(dataset, unnormalized_dims=(1,))
    with pytest.raises(ValueError, match=r"unnormalized_dims: .*there is no number 3: they are 0 to 2"):
        statistics_of(dataset, unnormalized_dims=(3,))


def test_statistics_of_another_robot_are_refused_instead_of_cutting(tmp_path):
    degrees = recorded(tmp_path / "degrees", moves([80.0] * 6))
    radians = recorded(tmp_path / "radians", np.radians(moves([80.0] * 6)))
    model = nano()
    add_statistics(model, radians, "arm")
    assert len(DemonstrationSamples(model, radians, "arm")) == FRAMES
    with pytest.raises(
        ValueError, match=r"statistics of 'arm' are of other data: number \d of the actions .* 100% of"
    ):
        DemonstrationSamples(model, degrees, "arm")


def test_a_policy_leaves_degrees_as_they_are_without_a_limit(tmp_path, monkeypatch):
    model = nano()
    add_statistics(model, recorded(tmp_path / "set", moves([80.0] * 6)), "arm")
    monkeypatch.setattr(model, "predict_action", lambda *_, **__: np.full((1, 6), 80.0))
    seen = {"image_top": np.zeros((1, 16, 16, 3), np.uint8), "instruction": ["move"]}
    for limit, largest in ((None, 80), (1.0, 1)):
        policy = OpenVLAPolicy(model, camera="top", unnorm_key="arm", limit=limit)
        assert policy.act(seen).max() == largest


def test_the_statistics_of_the_set_that_ships_are_those_of_the_run_that_ships():
    """What was recorded of that run hangs on them."""
    run = ROOT / "data/checkpoints/towel_lora"
    config = replace(read_config(run), data=str(ROOT / "data/demos/towel"))
    dataset = LeRobotDataset(config.data)
    recorded_ones = json.loads((run / "dataset_statistics.json").read_text())
    assert (
        _statistics(dataset, dict(enumerate(dataset.tracks())), _completed(config, dataset)) == recorded_ones
    )


# --- cameras


def test_a_run_learns_from_any_camera(tmp_path):
    dataset = recorded(tmp_path / "set", moves([80.0] * 6))
    path = dataset.root / "meta/info.json"
    assert dataset.cameras == ("top",)
    info = json.loads(path.read_text())
    info["features"]["observation.image"] = info["features"].pop("observation.images.top")
    path.write_text(json.dumps(info))
    with pytest.raises(
        ValueError, match=r"choose a camera of .* with cameras=\[…\]: it has observation\.image$"
    ):
        LeRobotDataset(dataset.root, cameras="top")
    for camera in (None, "observation.image"):
        other = LeRobotDataset(dataset.root, cameras=camera)
        assert other.cameras == ("observation.image",)
        config = _completed(TrainConfig(data=str(dataset.root), out="out"), other)
        assert (config.image_size, config.cameras) == ((16, 16), ("observation.image",))
