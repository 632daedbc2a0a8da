"""Waypoints: where a hand next takes hold or lets go, read off the demonstration, and said before the action."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from demonstration_sets import write_model
from openvla_reference import nano

from vla_course.action_tokens import detokenize_actions, tokenize_actions, unnormalize_actions
from vla_course.adapters.lora import LoRAConfig
from vla_course.data.episodes import Episode
from vla_course.data.lerobot import LeRobotDataset
from vla_course.data.lerobot_writer import LeRobotWriter
from vla_course.data.mirror import mirrored_hands
from vla_course.data.samples import DemonstrationSamples, add_statistics
from vla_course.data.waypoints import PLACES, next_grips
from vla_course.fine_tuning.config import TrainConfig
from vla_course.fine_tuning.run import begin, train
from vla_course.fine_tuning.run_folder import load_run
from vla_course.openvla.processor import build_prompt

KEY = "fold"
TOUCH = np.array([[0, 0], [0, 0], [1, 0], [1, 1], [1, 1], [0, 1], [0, 0], [0, 0]])
"""The left hand takes hold before frame 2 and lets go before 5, the right one does so before 3 and 6."""


def two_hands(touch: np.ndarray = TOUCH, seed: int = 0) -> np.ndarray:
    states = np.random.default_rng(seed).uniform(-0.9, 0.9, (len(touch), 16)).astype(np.float32)
    states[:, 14:] = touch
    return states


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder, random = tmp_path_factory.mktemp("set"), np.random.default_rng(0)
    with LeRobotWriter(folder, fps=5, camera="close") as writer:
        for seed in range(3):
            states = two_hands(seed=seed)
            images = random.integers(0, 256, (len(states), 28, 28, 3)).astype(np.uint8)
            actions = random.uniform(-0.9, 0.9, (len(states), 14)).astype(np.float32)
            writer.add(Episode(images, states, actions, "fold the towel", True, seed))
        writer.finalize()
    return folder


def speaking(root, dims=PLACES):
    model, dataset = nano(state_dim=16, waypoint_dims=list(dims)), LeRobotDataset(root)
    add_statistics(model, dataset, KEY)
    return model, dataset, DemonstrationSamples(model, dataset, KEY, augmentation=None)


def test_the_next_time_a_hand_takes_or_leaves_cloth_by_hand():
    assert next_grips(two_hands()).T.tolist() == [[2, 2, 5, 5, 5, 7, 7, 7], [3, 3, 3, 6, 6, 6, 7, 7]]
    assert next_grips(two_hands(np.zeros((3, 2)))).tolist() == [[2, 2]] * 3, "never: where the episode ends"
    assert next_grips(two_hands(np.ones((1, 2)))).tolist() == [[0, 0]]


def test_a_waypoint_is_never_behind():
    touch = np.random.default_rng(1).integers(0, 2, (40, 2))
    frames = next_grips(two_hands(touch))
    assert (frames[:-1] > np.arange(39)[:, None]).all() and (np.diff(frames, axis=0) >= 0).all()


def test_a_mirror_shows_the_other_hands_waypoints():
    states = two_hands()
    np.testing.assert_array_equal(next_grips(mirrored_hands(states)), next_grips(states)[:, ::-1])


def test_states_of_others_are_refused():
    with pytest.raises(ValueError, match="16 numbers, not 14"):
        next_grips(two_hands()[:, :14])


def test_the_action_follows_what_the_state_will_be(root):
    """Each row: the prompt, four numbers of the state to come, how far they are, fourteen of the action, the end."""
    model, dataset, samples = speaking(root)
    _, _, plain = speaking(root, ())
    batch, without = samples.batch(np.arange(len(samples))), plain.batch(np.arange(len(samples)))
    begins = np.cumsum([0, *dataset.lengths])
    prompt = without["input_ids"].shape[1] - 15
    for frame in range(len(samples)):
        episode = int(dataset.episode_index[frame])
        track, place = dataset.track(episode), frame - begins[episode]
        left, right = next_grips(track.states)[place]
        learned, before = (one["labels"][frame][one["labels"][frame] != -100] for one in (batch, without))
        wanted = model.state_tokens(track.states, KEY)[[left, left, right, right], [0, 1, 7, 8]]
        assert learned[:4].tolist() == wanted.tolist(), "in the state's own words"
        assert torch.equal(learned[4:], before) and len(before) == 15
        row, labels = batch["input_ids"][frame], batch["labels"][frame]
        assert torch.equal(row[:prompt], without["input_ids"][frame, :prompt])
        ways = track.states[[left, left, right, right], [0, 1, 7, 8]] - track.states[place, [0, 1, 7, 8]]
        assert (
            row[prompt + 4 : prompt + 8].tolist()
            == tokenize_actions(ways / 0.12, model.config.vocabulary_size).tolist()
        )
        assert labels[prompt + 4 : prompt + 8].eq(-100).all(), "told, not learned"


def test_a_way_by_hand():
    model = nano(state_dim=16, waypoint_dims=list(PLACES), norm_stats=STATISTICS)
    state, places = np.zeros((1, 16)), np.array([[0.12, -0.06, 0.5, 0.0]])
    last = model.config.vocabulary_size
    assert model.waypoint_tokens(places, state, KEY)[0].tolist() == [
        *(last - np.digitize([0.12, -0.06, 0.5, 0.0], np.linspace(-1, 1, 256))),
        *(last - np.array([256, 64, 256, 128])),  # the whole way, half of it back, more than it, none
    ]


STATISTICS = {
    KEY: {
        "action": {"q01": [-1.0] * 14, "q99": [1.0] * 14},
        "proprio": {"q01": [-1.0] * 16, "q99": [1.0] * 16},
    }
}


def test_only_the_action_is_answered(root):
    """The model says waypoints, is told the ways, says the action: the robot gets the action. Once more by hand."""
    model, dataset, _ = speaking(root)
    track, image = dataset.track(0), np.zeros((28, 28, 3), np.uint8)
    asked = {"unnorm_key": KEY, "state": track.states[0]}
    action = model.predict_action(image, track.instruction, **asked)
    assert action.shape == (14,)
    inputs = model.processor(
        [build_prompt(track.instruction)], [image], model.state_tokens(track.states[:1], KEY)
    )
    places = model.predict_waypoints(image, track.instruction, **asked)
    words = torch.from_numpy(model.waypoint_tokens(places[None], track.states[:1], KEY))
    assert words[:, :4].tolist() == model.predict_token_ids(**inputs, action_dim=4).tolist()
    inputs["input_ids"] = torch.cat([inputs["input_ids"], words], 1)
    inputs["attention_mask"] = torch.cat([inputs["attention_mask"], torch.ones_like(words)], 1)
    stats = {name: np.array(value) for name, value in model.config.norm_stats[KEY]["action"].items()}
    numbers = detokenize_actions(
        model.predict_token_ids(**inputs, action_dim=14).numpy(), model.config.vocabulary_size
    )
    again = unnormalize_actions(numbers, stats["q01"], stats["q99"], stats["mask"])[0]
    np.testing.assert_allclose(action, again, atol=1e-9)
    with pytest.raises(ValueError, match="cannot say all at once"):
        model.predict_action(image, track.instruction, parallel="cacheable", **asked)


def test_what_was_read_once_is_not_read_again_but_meant(root):
    """Rows of different lengths, waypoints that a memory changes: all is as if it were read from the beginning."""
    model, dataset, _ = speaking(root)
    images = list(np.random.default_rng(5).integers(0, 256, (2, 28, 28, 3)).astype(np.uint8))
    words, states = ["fold the towel", "please fold it, now"], dataset.track(0).states[:2]
    elsewhere = np.random.default_rng(6).uniform(-0.5, 0.5, (2, 4))
    together = model.predict_action(images, words, KEY, state=states, recall=lambda said: elsewhere)
    for row in range(2):
        tokens = model.state_tokens(states[row : row + 1], KEY)
        inputs = model.processor([build_prompt(words[row])], [images[row]], tokens)
        meant = torch.from_numpy(model.waypoint_tokens(elsewhere[row : row + 1], states[row : row + 1], KEY))
        inputs["input_ids"] = torch.cat([inputs["input_ids"], meant], 1)
        inputs["attention_mask"] = torch.cat([inputs["attention_mask"], torch.ones_like(meant)], 1)
        ids = model.predict_token_ids(**inputs, action_dim=14, use_cache=False).numpy()
        stats = {name: np.array(value) for name, value in model.config.norm_stats[KEY]["action"].items()}
        numbers = detokenize_actions(ids, model.config.vocabulary_size)
        alone = unnormalize_actions(numbers, stats["q01"], stats["q99"], stats["mask"])[0]
        np.testing.assert_allclose(together[row], alone, atol=1e-9)


def test_who_says_more_than_action_tokens_is_told_so(root):
    model, dataset, _ = speaking(root)
    track, image = dataset.track(0), np.zeros((28, 28, 3), np.uint8)
    with pytest.raises(ValueError, match="no action token"):
        model.predict_action(image, track.instruction, KEY, state=track.states[0], constrained=False)


def test_where_hands_go_can_be_asked(root, monkeypatch):
    """Four tokens of the state's vocabulary in metres: by hand, the middle of the range between the quantiles."""
    model, dataset, _ = speaking(root)
    track, images = dataset.track(0), [np.zeros((28, 28, 3), np.uint8)] * 2
    asked = {"unnorm_key": KEY, "state": track.states[:2]}
    places = model.predict_waypoints(images, [track.instruction] * 2, **asked)
    assert places.shape == (2, 4)
    alone = model.predict_waypoints(images[0], track.instruction, unnorm_key=KEY, state=track.states[0])
    np.testing.assert_allclose(alone, places[0], atol=1e-9)
    last = model.config.vocabulary_size
    monkeypatch.setattr(
        model, "predict_token_ids", lambda *_: torch.tensor([[last - 1, last - 128, last - 255, last - 128]])
    )
    stats = {
        name: np.array(model.config.norm_stats[KEY]["proprio"][name])[list(PLACES)] for name in ("q01", "q99")
    }
    middle, half = (stats["q01"] + stats["q99"]) / 2, (stats["q99"] - stats["q01"]) / 2
    said = model.predict_waypoints(images[0], track.instruction, unnorm_key=KEY, state=track.states[0])
    np.testing.assert_allclose(said, middle + half * [-254 / 255, 0, 254 / 255, 0], atol=1e-9)
    model, *_ = speaking(root, ())
    with pytest.raises(ValueError, match="says no waypoints"):
        model.predict_waypoints(images[0], track.instruction, unnorm_key=KEY, state=track.states[0])


@pytest.fixture
def config(root, tmp_path) -> TrainConfig:
    lora = LoRAConfig(rank=2, alpha=4, targets=r"language_model\..*_proj")
    return TrainConfig(
        data=str(root), out=str(tmp_path / "run"), init_from=str(write_model(tmp_path / "model")), unnorm_key=KEY, lora=lora,
        augment=False, waypoints=True, steps=2, batch_size=4, warmup_steps=0, learning_rate=1e-2,
    )  # fmt: skip


@pytest.mark.parametrize("mode", ["lora", "full"])
def test_a_run_remembers_that_it_says_them(config, mode):
    run = begin(replace(config, training_mode=mode))
    assert run.model.config.waypoint_dims == list(PLACES)
    loaded = load_run(train(run, progress=False)).model
    assert loaded.config.waypoint_dims == list(PLACES) and loaded.get_action_dim(KEY) == 14
    image = np.zeros((28, 28, 3), np.uint8)
    asked = {"instruction": "fold the towel", "unnorm_key": KEY, "state": np.zeros(16)}
    np.testing.assert_allclose(
        loaded.predict_action(image, **asked), run.model.predict_action(image, **asked), atol=1e-9
    )


def test_a_model_that_says_none_does_not_write_that_down(config):
    run = begin(replace(config, waypoints=False))
    assert run.model.config.waypoint_dims == [] and "waypoint_dims" not in run.model.config.to_dict()


def test_a_run_without_does_not_go_on_with_them(config):
    train(begin(replace(config, waypoints=False, steps=1)), progress=False)
    with pytest.raises(ValueError, match=r"run with other settings \(waypoints=False, here True\)"):
        begin(replace(config, steps=1))


def test_data_that_show_none_are_refused(config):
    with pytest.raises(ValueError, match=r"waypoints: .*16 numbers of state.*waypoints=false"):
        begin(replace(config, state_dim=0))


def test_scenes_are_not_moved_where_hands_cannot_be(config):
    joints = replace(config, waypoints=False, state_key="joint_position", augment=True, shift_m=0.02)
    with pytest.raises(ValueError, match=r"shift_m: .* are joint_position: set shift_m=0 or state_dim=0"):
        begin(joints)
