"""From settings to a folder that can act: every mode, warm starts, features looked at once."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from demonstration_sets import write_model, write_set

from vla_course.adapters.lora import LoRAConfig, adapters
from vla_course.fine_tuning.config import TrainConfig
from vla_course.fine_tuning.frozen_features import FrozenFeatures
from vla_course.fine_tuning.losses import action_token_loss
from vla_course.fine_tuning.run import begin, train
from vla_course.fine_tuning.run_folder import load_run, read_config
from vla_course.memory.measured import measure_training_state
from vla_course.training.sample_order import Order

IMAGE = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
STATE = np.zeros(7)


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    root = tmp_path_factory.mktemp("training")
    return write_set(root / "towel"), write_model(root / "model")


@pytest.fixture
def settings(places, tmp_path):
    data, model = places
    lora = LoRAConfig(rank=2, alpha=4, targets=r"language_model\..*_proj")
    return TrainConfig(
        data=str(data), out=str(tmp_path / "run"), init_from=str(model), lora=lora, augment=False, steps=3,
        batch_size=4, warmup_steps=1, learning_rate=1e-2, save_every=2, log_every=1,
    )  # fmt: skip


def acts(model, key: str) -> np.ndarray:
    return model.predict_action(IMAGE, "fold it", key, state=STATE)


@pytest.mark.parametrize("mode", ["lora", "qlora", "full", "head"])
def test_a_run_ends_with_a_folder_that_acts_alone(settings, mode):
    run = begin(replace(settings, training_mode=mode))
    folder = train(run, progress=False)
    loaded = load_run(folder)
    assert loaded.key == "towel" and loaded.config == run.config
    assert loaded.config.cameras == ("close",) and loaded.config.action_dim == 3
    np.testing.assert_array_equal(acts(loaded.model, "towel"), acts(run.model, "towel"))
    statistics = json.loads((folder / "dataset_statistics.json").read_text())
    assert list(statistics) == ["towel"] and len(statistics["towel"]["proprio"]["q01"]) == 7
    assert {path.name for path in folder.glob("*config*")} == {
        "lora": {"config.yaml", "adapter_config.json"}, "qlora": {"config.yaml", "adapter_config.json"},
        "full": {"config.yaml", "config.json", "preprocessor_config.json"},
        "head": {"config.yaml", "config.json", "preprocessor_config.json"},
    }[mode]  # fmt: skip


@pytest.mark.parametrize("mode", ["lora", "full", "head"])
def test_checkpoints_of_activations_never_cost_memory(settings, mode):
    def measured(checkpointing: bool) -> tuple[int, float]:
        changes = {"gradient_checkpointing": checkpointing, "cache_features": False}
        run = begin(replace(settings, training_mode=mode, **changes))
        batch = run.samples.batch(np.array([0, 7, 13]), None)
        optimizer = torch.optim.SGD([one for one in run.model.parameters() if one.requires_grad], lr=0.1)

        def loss() -> torch.Tensor:
            return action_token_loss(run.model.train(), batch)[0]

        return measure_training_state(run.model, loss, optimizer).activations, loss().item()

    (plain, loss), (lean, same) = measured(False), measured(True)
    assert lean == plain if mode == "head" else lean < 0.7 * plain
    assert loss == pytest.approx(same)


def test_looking_once_changes_nothing(settings):
    once, again = begin(settings), begin(replace(settings, cache_features=False))
    assert isinstance(once.samples, FrozenFeatures) and not isinstance(again.samples, FrozenFeatures)
    for number in range(3):
        indices = Order(len(once.samples), 4, 0).batch(number)
        losses = [action_token_loss(run.model, run.samples.batch(indices, None))[0] for run in (once, again)]
        torch.testing.assert_close(*losses, rtol=1e-6, atol=0)


def test_the_loss_is_the_models_own(settings):
    run = begin(replace(settings, cache_features=False))
    batch = run.samples.batch(np.array([0, 7, 13]), None)
    loss, metrics = action_token_loss(run.model, batch)
    torch.testing.assert_close(loss, run.model(**batch).loss, rtol=1e-6, atol=1e-6)
    assert metrics["loss/bc"] == pytest.approx(loss.item())
    assert 0 <= metrics["policy/token_accuracy"] <= 1


def test_nearly_right_is_nearly_as_good(settings):
    run = begin(replace(settings, cache_features=False))
    batch = run.samples.batch(np.array([0, 7, 13]), None)
    # One word after the other, as in the definition: a bell curve over the 256 words for numbers, a single word for the stop.
    said = run.model(**{name: value for name, value in batch.items() if name != "labels"}).logits
    words, parts = run.model.config.vocabulary_size, []
    for row, place in (batch["labels"] != -100).nonzero().tolist():
        before = place - 1 - batch["labels"].shape[1]  # counted from the end: patches stand before the words
        log_probability = said[row, before].detach().double().log_softmax(-1)
        word = int(batch["labels"][row, place])
        bell = np.exp(-0.5 * ((np.arange(words - 256, words) - word) / 3.0) ** 2)
        numbers = log_probability[words - 256 : words].numpy()
        is_number = words - 256 <= word < words
        parts.append(-(bell / bell.sum() * numbers).sum() if is_number else -float(log_probability[word]))
    spread, metrics = action_token_loss(run.model, batch, spread_bins=3.0)
    assert spread.item() == pytest.approx(np.mean(parts), rel=1e-5) == metrics["loss/bc"]
    narrow, _ = action_token_loss(run.model, batch, spread_bins=0.05)
    torch.testing.assert_close(narrow, action_token_loss(run.model, batch)[0], rtol=1e-6, atol=1e-6)
    first = {}
    for wide in (0.0, 3.0):
        run = begin(replace(settings, label_spread=wide, out=f"{settings.out}{wide}"))
        lines = (train(run, progress=False) / "metrics.jsonl").read_text().splitlines()
        first[wide] = json.loads(lines[0])["loss/bc"]
    assert first[3.0] != pytest.approx(first[0.0], rel=1e-3), "the settings choose the loss"
    with pytest.raises(ValueError, match="label_spread: want 0 to 64"):
        replace(settings, label_spread=-1)


def test_eyes_that_learn_look_every_time(settings):
    everywhere = replace(settings, lora=LoRAConfig(rank=2, alpha=4))
    assert not isinstance(begin(everywhere).samples, FrozenFeatures)
    assert not isinstance(begin(replace(settings, augment=True)).samples, FrozenFeatures)
    assert not isinstance(begin(replace(settings, cache_gb=1e-6)).samples, FrozenFeatures)
    with pytest.raises(ValueError, match="the eyes learn too"):
        begin(replace(everywhere, cache_features=True))
    with pytest.raises(ValueError, match="set cache_gb="):
        begin(replace(settings, cache_features=True, cache_gb=1e-6))


def test_a_run_can_begin_where_another_ended(settings, tmp_path):
    first = load_run(train(begin(settings), progress=False))
    onwards = replace(settings, init_from=settings.out, out=str(tmp_path / "onwards"))
    begun = begin(onwards)
    for name, adapter in adapters(begun.model).items():
        assert torch.equal(adapter.lora_B, adapters(first.model)[name].lora_B)
    folder = train(begun, progress=False)
    np.testing.assert_array_equal(acts(load_run(folder).model, "towel"), acts(begun.model, "towel"))
    merged = begin(replace(onwards, training_mode="full", out=str(tmp_path / "full")))
    assert not adapters(merged.model)
    inputs = first.model.processor(["fold it"], [IMAGE], np.full((1, 7), 300))
    expected = first.model(**inputs).logits
    torch.testing.assert_close(merged.model.eval()(**inputs).logits, expected, rtol=1e-4, atol=1e-4)
    with pytest.raises(
        ValueError, match=r"was learned with lora=.*training_mode=full, which merges it first"
    ):
        begin(replace(onwards, lora=LoRAConfig(rank=3), out=str(tmp_path / "other")))


def test_validation_is_of_other_episodes(settings):
    run = begin(replace(settings, validation_share=0.25))
    assert (len(run.samples), len(run.validation)) == (18, 6)


def test_a_model_need_not_be_told_the_state(settings):
    run = begin(replace(settings, state_dim=0))
    told = begin(settings)
    length = [run.samples.words(np.array([0]))["input_ids"].shape[1] for run in (run, told)]
    assert length[1] - length[0] == 7 and run.model.config.state_dim == 0


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (dict(data="nowhere"), FileNotFoundError, "no data set in nowhere"),
        (dict(state_dim=14), ValueError, r"state_dim: .* has states of 7 numbers, not 14 \(0 for none\)"),
        (dict(action_dim=7), ValueError, "action_dim: .* has actions of 3 numbers, not 7"),
        (
            dict(cameras=("wrist",)),
            ValueError,
            r"with cameras=\[…\]: it has observation.images.close",
        ),
        (dict(init_from="nowhere"), FileNotFoundError, "nowhere"),
        (dict(lora=LoRAConfig(targets="nothing")), ValueError, "no layer's whole name matches 'nothing'"),
    ],
)
def test_what_does_not_fit_is_said_before_anything_is_trained(settings, changes, error, message):
    with pytest.raises(error, match=message):
        begin(replace(settings, **changes))


def test_a_folder_without_an_ended_run_says_so(settings, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no config.yaml: want the folder of a run"):
        read_config(tmp_path)
    run = begin(settings)
    from vla_course.fine_tuning.run_folder import write_config

    write_config(run.config)
    with pytest.raises(FileNotFoundError, match="holds a run that has not ended"):
        load_run(settings.out)
