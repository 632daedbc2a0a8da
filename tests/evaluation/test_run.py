"""From demonstrations to an evaluation: the folder of a training run is a policy."""

from dataclasses import replace

import numpy as np
import pytest
from demonstration_sets import write_model

from vla_course.adapters.lora import LoRAConfig
from vla_course.cli import main as cli
from vla_course.data.episodes import Episode
from vla_course.data.lerobot_writer import LeRobotWriter
from vla_course.evaluation import assembly, record
from vla_course.evaluation import run as evaluation
from vla_course.evaluation.assembly import make_env, make_policy, settled
from vla_course.evaluation.config import EvaluationConfig
from vla_course.evaluation.run import evaluate_policy, verify
from vla_course.fine_tuning.config import TrainConfig
from vla_course.fine_tuning.resuming import kept_checkpoint
from vla_course.fine_tuning.run import begin, train
from vla_course.fine_tuning.run_folder import read_config
from vla_course.openvla.load import load_vla


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Two steps of LoRA on four frames of two hands, with their state, on random crops."""
    root = tmp_path_factory.mktemp("run")
    luck = np.random.default_rng(0)
    with LeRobotWriter(root / "fold_towel", fps=5, camera="close", robot_type="FoldTowel-v0") as writer:
        for seed in range(2):
            images = luck.integers(0, 256, (4, 32, 32, 3), np.uint8)
            states, actions = (luck.uniform(-1, 1, (4, size)).astype(np.float32) for size in (16, 14))
            writer.add(Episode(images, states, actions, "fold the towel in half", True, seed))
        writer.finalize()
    config = TrainConfig(
        data=str(root / "fold_towel"),
        out=str(root / "towel-lora"),
        init_from=str(write_model(root / "model")),
        lora=LoRAConfig(rank=2, alpha=4),
        steps=2,
        batch_size=2,
        warmup_steps=1,
    )
    return train(begin(config), progress=False)


def test_a_training_run_is_evaluated_as_it_was_trained(run, tmp_path):
    config = EvaluationConfig(policy=str(run), episodes=1, max_steps=2, workers=0)
    env = make_env(config)
    policy = make_policy(config, env)
    assert env.action_space.shape == (14,) and policy.action_dim == 14
    assert env.reset(seed=0)[0]["image_close"].shape == (32, 32, 3), (
        "as in the data, not as the model looks (28)"
    )
    assert policy.unnorm_key == "fold_towel" and policy.model.config.state_dim == 16
    assert policy.look is not None, "trained on random crops, it looks at the middle"
    assert make_policy(replace(config, center_crop=False), env).look is None
    done = evaluate_policy(config, tmp_path / "x.json", films=False)
    assert (
        done.config.image_size == (32, 32)
        and done.config.name == "towel-lora"
        and done.evaluation.episodes[0].steps == 2
    )
    assert verify(tmp_path / "x.json", 1.0).passed


def test_the_settings_are_resolved_and_the_folder_is_looked_for_once(run, tmp_path, monkeypatch, capsys):
    read, checked = [], []
    run_of, check = assembly._run_of, evaluation.check_policy
    monkeypatch.setattr(assembly, "_run_of", lambda config: read.append(config) or run_of(config))
    monkeypatch.setattr(evaluation, "check_policy", lambda config: checked.append(config) or check(config))
    words = ["episodes=1", "max_steps=1", "workers=0"]
    assert cli.main(["eval", str(run), "--json", str(tmp_path / "out.json"), *words]) == 0
    assert len(read) == len(checked) == 1
    kept = record.read(tmp_path / "out.json").config
    assert kept == settled(kept)
    assert (kept.cameras, kept.state_key, kept.image_size) == (("close",), "end_effector", (32, 32))
    assert len(read) == 1, "a record's settings need no run"


def test_a_policy_that_is_not_there_is_missed_before_anything_starts(monkeypatch):
    def nobody(*_):
        raise AssertionError("started")

    monkeypatch.setattr(evaluation, "crew", nobody)
    with pytest.raises(
        FileNotFoundError, match="policy: runs/nowhere is no folder; give a run's folder, a model's"
    ):
        evaluate_policy(EvaluationConfig(policy="runs/nowhere"))


def test_a_policy_is_shown_pictures_of_the_size_that_it_knows(run, tmp_path):
    def size(policy, **settings):
        return settled(EvaluationConfig(policy=str(policy), **settings)).image_size

    assert size(run) == (32, 32)
    assert size(run, image_size=(48, 48)) == (48, 48), "who says so means it"
    assert size(run.parent / "model") == (28, 28)
    assert size("nano") == size("expert") == (load_vla("nano").config.image_size,) * 2
    settings = (run / "config.yaml").read_text()
    (tmp_path / "config.yaml").write_text(
        settings.replace("image_size:\n- 32\n- 32\n", "image_size: [48, 64]\n")
    )
    assert size(tmp_path) == (48, 64)
    env = make_env(EvaluationConfig(policy=str(tmp_path)))
    assert env.reset(seed=0)[0]["image_close"].shape == (48, 64, 3)
    (tmp_path / "config.yaml").write_text(settings.replace("image_size:\n- 32\n- 32\n", ""))
    assert size(tmp_path) == (84, 84), "a run of before the size was kept"


def test_a_run_keeps_the_size_of_its_pictures(run, tmp_path):
    config = read_config(run)
    assert config.image_size == (32, 32)
    with pytest.raises(ValueError, match=r"image_size: .* has pictures of 32 × 32 pixels, not \(84, 84\)"):
        begin(replace(config, out=str(tmp_path), image_size=(84, 84)))
    checkpoint = kept_checkpoint(config)
    assert checkpoint is not None and "image_size: null" in checkpoint.settings, (
        "what the data decide makes no other run"
    )
