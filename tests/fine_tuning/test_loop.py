"""The training loop: it learns, it goes on exactly, and a full disk does not end it."""

import errno
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from openvla_reference import nano
from training_samples import FewSamples

from vla_course.adapters.lora import LoRAConfig, LoRALinear
from vla_course.fine_tuning.config import TrainConfig
from vla_course.fine_tuning.loop import fine_tune, plain_attention
from vla_course.fine_tuning.modes import prepare
from vla_course.training import checkpoints
from vla_course.training.metrics import read_metrics

# What both the test and the process that is killed train: dropout, augmentation and epochs that end within a batch.
PROGRAM = """
import sys
sys.path.insert(0, {tests!r})
from fine_tuning.test_loop import SETTINGS, train
train({out!r}, **SETTINGS)
"""
SETTINGS = dict(steps=32, save_every=4, log_every=2, batch_size=5, gradient_accumulation=2, warmup_steps=5)


def train(out, samples=None, validation=None, layer=LoRALinear, **changes) -> torch.nn.Module:
    options = {name: changes.pop(name) for name in ("schedule", "loss") if name in changes}
    targets = r"(projector|language_model)\..*"
    defaults = dict(lora=LoRAConfig(rank=2, alpha=4, dropout=0.1, targets=targets), learning_rate=1e-2)
    config = TrainConfig(data="none", out=str(out), **{**defaults, **changes})
    model = nano()
    prepare(model, config, layer=layer)
    fine_tune(model, samples or FewSamples(), config, validation=validation, progress=False, **options)
    return model


def test_plain_attention_gives_the_same_gradients_and_is_for_cpus_only():
    batch, found = FewSamples().batch(np.arange(4)), []
    for where in ("cpu", "cuda"):
        model = nano()
        with plain_attention(torch.device(where)):
            assert torch.backends.cuda.flash_sdp_enabled() == (where == "cuda")
            model(**batch).loss.backward()
        found.append(
            {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}
        )
    assert found[0].keys() == found[1].keys() and found[0]
    for name, gradient in found[0].items():
        assert torch.linalg.norm(gradient - found[1][name]) < 1e-3 * torch.linalg.norm(gradient) + 1e-6, name


def learned(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return checkpoints.learning_weights(model)


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("mode", ["lora", "full", "head"])
def test_it_learns(tmp_path, mode):
    train(tmp_path, training_mode=mode, steps=20, log_every=1, warmup_steps=2, learning_rate=1e-2)
    lines = read_metrics(tmp_path)
    assert [line["step"] for line in lines] == list(range(1, 21))
    assert lines[-1]["loss/bc"] < 0.8 * lines[0]["loss/bc"]
    assert set(lines[0]) == {
        "step", "loss/bc", "policy/token_accuracy", "optimizer/lr", "optimizer/gradient_norm",
        "time/samples_per_second", "time/data_share",
    }  # fmt: skip
    assert list((tmp_path / "tensorboard").glob("events*"))


def test_a_run_that_is_killed_at_a_random_step_ends_with_the_same_weights(tmp_path):
    code = PROGRAM.format(tests=str(Path(__file__).parents[1]), out=str(tmp_path / "killed"))
    process = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "CUDA_VISIBLE_DEVICES": ""})
    random = np.random.default_rng()  # another step every time
    wanted = random.integers(2, 10)
    while len(read_metrics(tmp_path / "killed")) < wanted and process.poll() is None:
        time.sleep(0.01)
    time.sleep(random.uniform(0, 0.1))
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    kept = checkpoints.load(tmp_path / "killed")
    assert kept is not None and 4 <= kept.step < 32
    whole = train(tmp_path / "whole", **SETTINGS)
    gone_on = train(tmp_path / "killed", **SETTINGS)
    assert same(learned(gone_on), learned(whole))
    assert not list((tmp_path / "killed").glob(".writing-*"))
    steps = [[line["step"] for line in read_metrics(tmp_path / name)] for name in ("whole", "killed")]
    assert steps[0] == steps[1]


def test_a_run_that_has_ended_stays_as_it_is(tmp_path):
    first = train(tmp_path, **SETTINGS | {"steps": 8})
    before = (tmp_path / checkpoints.NAME).stat().st_mtime_ns
    assert same(learned(train(tmp_path, **SETTINGS | {"steps": 8})), learned(first))
    assert (tmp_path / checkpoints.NAME).stat().st_mtime_ns == before


def test_other_settings_are_another_run(tmp_path):
    train(tmp_path, **SETTINGS | {"steps": 8})
    with pytest.raises(ValueError, match=r"other settings \(learning_rate=0.01, here 0.02\)"):
        train(tmp_path, **SETTINGS | {"steps": 8, "learning_rate": 2e-2})


def test_a_full_disk_loses_the_step_and_not_the_run(tmp_path, monkeypatch):
    fsync, calls = os.fsync, []

    def full_once(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 3:  # the first is that of the metrics
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full_once)
    settings = SETTINGS | {"steps": 12}
    with pytest.warns(UserWarning, match="the disk is full, the checkpoint of step 8 was not written"):
        model = train(tmp_path / "full", **settings)
    assert len(calls) == 4
    assert checkpoints.load(tmp_path / "full").step == 12
    assert not list((tmp_path / "full").glob(".writing-*"))
    monkeypatch.undo()
    assert same(learned(model), learned(train(tmp_path / "other", **settings)))


def test_another_error_of_the_disk_is_not_hidden(tmp_path, monkeypatch):
    def broken(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="Input/output"):
        train(tmp_path, **SETTINGS)


def test_two_small_batches_are_one_large_one(tmp_path):
    settings = dict(steps=3, warmup_steps=1, augment=False, lora=LoRAConfig(rank=2, alpha=4))
    halves = train(tmp_path / "halves", batch_size=4, gradient_accumulation=2, **settings)
    whole = train(tmp_path / "whole", batch_size=8, gradient_accumulation=1, **settings)
    for name, weight in learned(whole).items():
        torch.testing.assert_close(learned(halves)[name], weight, rtol=1e-3, atol=1e-6)


def test_checkpointing_activations_changes_nothing(tmp_path):
    settings = dict(steps=2, warmup_steps=1, training_mode="full", batch_size=4)
    plain = train(tmp_path / "plain", **settings)
    lean = train(tmp_path / "lean", gradient_checkpointing=True, **settings)
    for name, weight in learned(plain).items():
        torch.testing.assert_close(learned(lean)[name], weight, rtol=1e-5, atol=1e-7)


def test_the_learners_own_schedule_and_layer_are_the_ones_that_run(tmp_path):
    start = learned(train(tmp_path / "still", schedule=lambda *_: 0.0, steps=2, warmup_steps=1))
    for name, weight in start.items():
        if name.endswith("lora_B"):
            assert not weight.any()
    made = []

    def layer(base, config):
        made.append(base)
        return LoRALinear(base, config)

    train(tmp_path / "layer", layer=layer, steps=1, warmup_steps=0)
    assert len(made) == 18  # 3 of the projector, 7 in each of two blocks, the head


def test_episodes_that_are_not_trained_on_are_measured(tmp_path):
    train(tmp_path, validation=FewSamples(seed=1), steps=4, log_every=1, warmup_steps=1, validate_every=2)
    measured = [
        "validation/bc" in line and "validation/token_accuracy" in line for line in read_metrics(tmp_path)
    ]
    assert measured == [False, True, False, True]


def test_a_model_in_which_nothing_learns_is_refused(tmp_path):
    config = TrainConfig(data="none", out=str(tmp_path))
    model = nano().requires_grad_(False)
    with pytest.raises(ValueError, match="nothing learns"):
        fine_tune(model, FewSamples(), config, progress=False)


def test_a_damaged_checkpoint_says_so(tmp_path):
    (tmp_path / checkpoints.NAME).write_bytes(b"PK\x03\x04 half a file")
    with pytest.raises(ValueError, match=r"checkpoint.pt is damaged .*: remove it to begin again"):
        train(tmp_path, **SETTINGS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(steps=0), "steps: want at least 1, got 0"),
        (dict(learning_rate=0.0), "learning_rate: want a number above zero"),
        (dict(warmup_steps=1000), r"warmup_steps: want 0 to 999 \(steps=1000\), got 1000"),
        (dict(validation_share=1.0), "validation_share: want a share below 1"),
        (dict(training_mode="full", use_quantization=True), "four bits cannot learn"),
        (dict(cache_features=True), "set augment=false"),
        (dict(cameras=("front", "front")), "want each camera once, got front, front"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(data="a", out="b", **changes)


def test_quantised_lora_is_qlora():
    config = TrainConfig(data="a", out="b", use_quantization=True)
    assert config.bits == replace(config, training_mode="qlora", use_quantization=False).bits == 4
    assert config.adapts and TrainConfig(data="a", out="b").bits is None
