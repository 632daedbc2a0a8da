"""Fine-tuning beside the main recipe: through several cameras, and told joints in place of hands. From the command line and back."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from camera_sets import CAMERAS, recorded
from demonstration_sets import write_model
from lerobot_v3 import problems
from openvla_reference import nano

from vla_course.adapters.lora import LoRAConfig
from vla_course.cli import main as cli
from vla_course.data.augmentation import AugmentationConfig, center_crop
from vla_course.data.lerobot import LeRobotDataset
from vla_course.data.samples import DemonstrationSamples
from vla_course.data.schema import COLLECT
from vla_course.evaluation import record
from vla_course.evaluation.assembly import make_env, make_policy, settled
from vla_course.evaluation.config import EvaluationConfig
from vla_course.fine_tuning.config import TrainConfig
from vla_course.fine_tuning.frozen_features import FrozenFeatures, gigabytes
from vla_course.fine_tuning.losses import action_token_loss
from vla_course.fine_tuning.resuming import kept_checkpoint
from vla_course.fine_tuning.run import begin, train
from vla_course.fine_tuning.run_folder import load_run, read_config
from vla_course.policies.openvla import OpenVLAPolicy

WORDS = "cameras=[close,left_wrist,right_wrist]"
VARIANTS = {
    "cameras": ([WORDS], [f"cameras=[{','.join(CAMERAS)}]"], CAMERAS, "end_effector", 16),
    "joints": (["state_key=joint_position"], [], ("close",), "joint_position", 60),
}


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def three(tmp_path_factory) -> Path:
    return recorded(tmp_path_factory.mktemp("three") / "towel")


@pytest.fixture
def config(three, model_folder, tmp_path) -> TrainConfig:
    lora = LoRAConfig(rank=2, alpha=4, targets=r"language_model\..*_proj")
    return TrainConfig(
        data=str(three), out=str(tmp_path / "run"), init_from=str(model_folder), cameras=CAMERAS, lora=lora,
        augment=False, steps=2, batch_size=4, warmup_steps=0, learning_rate=1e-2,
    )  # fmt: skip


# --- the whole way, by the commands


@pytest.fixture(scope="module", params=list(VARIANTS))
def way(request, tmp_path_factory, model_folder):
    """Collected and trained: the variant, the folder of the set and that of the run."""
    told, looks, *wanted = VARIANTS[request.param]
    root = tmp_path_factory.mktemp(request.param)
    data, run = root / "towel", root / "run"
    few = ["episodes=1", "image_size=28", "workers=1", "noise=0", "fumbles=0", "pushes=0"]
    assert cli.main(["collect", "--env", "FoldTowel-v0", "--out", str(data), *few, *told]) == 0
    small = ["steps=2", "warmup_steps=0", "batch_size=2", "lora.rank=2", f"init_from={model_folder}"]
    assert cli.main(["train", "--data", str(data), "--out", str(run), *small, *looks]) == 0
    return (*wanted, data, run)


def test_set_and_run_remember_what_was_seen_and_told(way):
    looks, key, count, data, run = way
    assert problems(data) == []
    dataset = LeRobotDataset(data, cameras=looks)
    assert dataset.all_cameras == looks and dataset.state_key == key
    kept = read_config(run)
    assert (kept.cameras, kept.state_key, kept.state_dim) == (looks, key, count)
    loaded = load_run(run).model
    assert (loaded.config.num_images, loaded.config.state_dim) == (len(looks), count)
    mask = np.array(loaded.config.norm_stats["towel"]["proprio"]["mask"])
    assert mask.tolist() == ([True] * 60 if count == 60 else ([True] * 6 + [False]) * 2 + [False] * 2)


def test_training_equals_acting(way, model_folder, monkeypatch):
    """At the start of a demonstration the policy feeds its model what the first frame of it fed in training, bit for bit."""
    looks, _, count, data, run = way
    config = EvaluationConfig(policy=str(run), episodes=1, workers=0)
    env = make_env(config)
    policy = make_policy(config, env)
    assert policy.cameras == looks and policy.look is not None
    asked = {}

    def spy(input_ids, attention_mask, pixel_values, action_dim, **_):
        asked.update(ids=input_ids, pixels=pixel_values)
        return torch.full((1, action_dim), policy.model.config.vocabulary_size - 1)

    monkeypatch.setattr(policy.model, "predict_token_ids", spy)
    dataset = LeRobotDataset(data, cameras=looks)
    observation, info = env.reset(seed=dataset.track(0).seed)
    alone = {key: np.asarray(value)[None] for key, value in observation.items()}
    policy.act({**alone, "instruction": [info["instruction"]]})
    run_config = replace(read_config(run), out=str(run) + "-again", init_from=str(model_folder))
    trained_on = begin(run_config).samples.batch(np.array([0]), None)
    prompt = trained_on["input_ids"].shape[1] - 15
    assert asked["pixels"].shape == (1, 6 * len(looks), 28, 28)
    assert torch.equal(asked["pixels"], trained_on["pixel_values"])
    assert torch.equal(asked["ids"], trained_on["input_ids"][:, :prompt])
    told = policy.model.state_tokens(dataset.track(0).states[:1], "towel")[0]
    assert len(told) == count and asked["ids"][0, -1 - count : -1].tolist() == told.tolist()


def test_an_evaluation_asks_for_what_was_learned_from(way, tmp_path):
    looks, key, _, _, run = way
    path = tmp_path / "out.json"
    assert (
        cli.main(["eval", str(run), "--episodes", "1", "--json", str(path), "max_steps=2", "workers=0"]) == 0
    )
    kept = record.read(path)
    assert kept.config.cameras == looks and kept.config.state_key == key
    assert kept.evaluation.episodes[0].steps == 2 and kept.config.image_size == (28, 28)
    assert cli.main(["eval", "--verify", str(path)]) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("camera=top", "looks at 3 pictures at once, and the policy through top: name as many cameras"),
        ("cameras=[close,wrist,top]", "unknown camera 'wrist'"),
        ("cameras=close", "cameras: want a list"),
        ("state_key=joints", "unknown observation key 'joints'"),
    ],
)
def test_what_does_not_fit_an_evaluation_is_one_line(capsys, config, words, message):
    folder = train(begin(config), progress=False)
    assert cli.main(["eval", str(folder), "--episodes", "1", "max_steps=1", "workers=0", *words.split()]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("vla-course: ") and message in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("collect --out a cameras=[close,wrist]", "unknown camera 'wrist'"),
        (
            "collect --out a cameras=[close,close]",
            "want at least one camera, and each once, not close, close",
        ),
        ("collect --out a state_key=joints", "unknown observation key 'joints'"),
        (
            "train --data DATA --out b cameras=[close,top]",
            "with cameras=[…]: it has observation.images.close",
        ),
        ("train --data DATA --out b", "choose a camera of DATA with cameras=[…]"),
        ("train --data DATA --out b cameras=[close,close]", "cameras: want each camera once"),
    ],
)
def test_what_does_not_fit_a_set_is_one_line(capsys, three, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    assert cli.main(words.replace("DATA", str(three)).split()) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("vla-course: ") and message.replace("DATA", str(three)) in said


# --- every mode


@pytest.mark.parametrize("mode", ["lora", "qlora", "full", "head"])
def test_every_mode_learns_and_loads_with_three_pictures(config, mode):
    run = begin(replace(config, training_mode=mode))
    folder = train(run, progress=False)
    loaded = load_run(folder)
    assert loaded.config == run.config and loaded.model.config.num_images == 3
    pictures = list(np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8))
    said = [
        one.predict_action(pictures, "fold", "towel", state=np.zeros(16)) for one in (run.model, loaded.model)
    ]
    np.testing.assert_array_equal(*said)
    changed = [*pictures[:2], 255 - pictures[2]]
    inputs = [loaded.model.processor(["fold"], [seen], np.full((1, 16), 300)) for seen in (pictures, changed)]
    with torch.no_grad():
        one, other = (loaded.model(**given).logits[0, -1] for given in inputs)
    assert not torch.equal(one, other), "the last camera's picture counts, too"


def test_looking_once_changes_nothing(config):
    once = begin(config)
    again = begin(replace(config, cache_features=False))
    assert isinstance(once.samples, FrozenFeatures) and not isinstance(again.samples, FrozenFeatures)
    frames = np.array([0, 3, 5])
    assert once.samples.batch(frames)["image_features"].shape[1] == once.model.config.num_patches == 12
    losses = [action_token_loss(run.model, run.samples.batch(frames, None))[0] for run in (once, again)]
    torch.testing.assert_close(*losses, rtol=1e-5, atol=1e-6)
    assert gigabytes(once.model, 100) == pytest.approx(3 * gigabytes(nano(), 100))


def test_one_camera_of_several_is_enough(config):
    run = begin(replace(config, cameras=("left_wrist",)))
    assert run.model.config.num_images == 1 and run.config.cameras == ("left_wrist",)
    batch = run.samples.batch(np.array([0]), None)
    assert batch["image_features"].shape[1] == 4


def test_a_run_with_other_cameras_is_another_run(config):
    train(begin(config), progress=False)
    with pytest.raises(ValueError, match="holds a run with other settings"):
        begin(replace(config, cameras=CAMERAS[:2]))
    kept = kept_checkpoint(begin(config).config)
    assert kept is not None and "state_key: null" in kept.settings, "what the data decide makes no other run"


@pytest.mark.parametrize(
    "changes",
    [
        {"augment": False},
        {"mirror": True, "validation_share": 0.4},
        {"mirror": True, "phrasings": ("fold it",)},
    ],
)
def test_each_episode_is_read_once(config, monkeypatch, changes):
    """For statistics, token rows, those of the mirror, validation and other words together."""
    read, numbers = LeRobotDataset.track, []

    def counted(self, index):
        numbers.append(index)
        return read(self, index)

    monkeypatch.setattr(LeRobotDataset, "track", counted)
    begin(replace(config, **{"augment": True, **changes}))
    assert sorted(numbers) == [0, 1, 2]


def test_samples_are_the_same_whoever_has_read_the_episodes(config):
    prepared = begin(replace(config, augment=True, mirror=True, phrasings=("fold it",)))
    dataset = LeRobotDataset(config.data, cameras=CAMERAS)
    augmentation = AugmentationConfig(phrasings=("fold it",))
    alone = DemonstrationSamples(prepared.model, dataset, "towel", augmentation=augmentation, mirror=True)
    indices = np.arange(len(alone))
    for seed in (None, 0):
        here, there = (
            samples.batch(indices, None if seed is None else np.random.default_rng(seed))
            for samples in (prepared.samples, alone)
        )
        assert here.keys() == there.keys() and all(torch.equal(here[name], there[name]) for name in here)


# --- what the state is


def with_state(folder: Path, key: str, states: int) -> Path:
    root = recorded(folder, states=states)
    (root / COLLECT).write_text(json.dumps({"state": key}))
    return root


def test_a_mirror_is_for_hands_and_for_cameras_that_have_a_counterpart(config, three, tmp_path):
    mirrored = replace(config, mirror=True)
    assert len(begin(mirrored).samples) == 26
    joints = with_state(tmp_path / "joints", "joint_position", 60)
    with pytest.raises(ValueError, match=r"its states are joint_position, .* set mirror=false"):
        begin(replace(mirrored, data=str(joints)))
    with pytest.raises(ValueError, match=r"right_wrist, without left_wrist.* set mirror=false"):
        begin(replace(mirrored, cameras=("close", "right_wrist")))


def test_the_settings_may_say_what_a_silent_set_does_not(config, three, tmp_path):
    assert begin(config).config.state_key == "end_effector"
    assert begin(replace(config, state_key="joint_target")).config.state_key == "joint_target"
    joints = with_state(tmp_path / "joints", "joint_position", 60)
    assert begin(replace(config, data=str(joints))).config.state_key == "joint_position"
    with pytest.raises(ValueError, match=r"state_key: the states of .* are joint_position, not end_effector"):
        begin(replace(config, data=str(joints), state_key="end_effector"))


# --- the policy


def test_a_policy_shows_its_model_every_camera_in_order():
    model = nano(num_images=2, state_dim=4)
    low, high = [-1.0] * 4, [1.0] * 4
    model.config.norm_stats["tabletop"]["proprio"] = {"q01": low, "q99": high, "mask": [True] * 4}
    pictures = np.random.default_rng(0).integers(0, 256, (2, 3, 28, 28, 3), np.uint8)
    joints = np.random.default_rng(1).uniform(-1, 1, (3, 4))
    seen = {"image_close": pictures[0], "image_top": pictures[1], "joints": joints, "instruction": ["go"] * 3}
    policy = OpenVLAPolicy(model, camera=("close", "top"), state_key="joints", look=center_crop)
    cropped = [(center_crop(one), center_crop(other)) for one, other in zip(*pictures, strict=True)]
    wanted = model.predict_action(cropped, ["go"] * 3, "tabletop", state=joints)
    running = np.array([True, False, True])
    np.testing.assert_allclose(policy.act(seen)[:, 0], np.clip(wanted, -1, 1), atol=1e-6)
    np.testing.assert_allclose(
        policy.act({**seen, "running": running})[running, 0], np.clip(wanted, -1, 1)[running], atol=1e-6
    )
    for missing, message in (
        ("image_top", r"cameras=\('close', 'top'\)"),
        ("joints", "with 'joints' among its obs"),
    ):
        with pytest.raises(KeyError, match=message):
            policy.act({name: value for name, value in seen.items() if name != missing})
    with pytest.raises(ValueError, match="looks at 2 pictures at once, and the policy through close: name"):
        OpenVLAPolicy(model)


def test_who_has_no_run_looks_through_the_close_camera_and_is_told_of_hands():
    for policy in ("nano", "expert"):
        plain = EvaluationConfig(policy=policy)
        assert (settled(plain).cameras, settled(plain).state_key) == (("close",), "end_effector")
        assert settled(settled(plain)) == settled(plain)
    several = EvaluationConfig(cameras=("top", "close"), state_key="joint_position")
    assert (settled(several).cameras, settled(several).state_key) == (("top", "close"), "joint_position")
