"""A training sample read aloud: the same prompt and pixels as when the robot acts, then the expert's action."""

import dataclasses

import numpy as np
import pytest
import torch
from openvla_reference import nano

from vla_course.action_tokens import detokenize_actions, normalize_actions, unnormalize_actions
from vla_course.data.augmentation import center_crop
from vla_course.data.episodes import Episode
from vla_course.data.lerobot import LeRobotDataset
from vla_course.data.lerobot_writer import LeRobotWriter
from vla_course.data.samples import DemonstrationSamples, add_statistics
from vla_course.data.splits import split_by_episode
from vla_course.data.token_rows import build_labels
from vla_course.openvla.processor import build_prompt

KEY, SIZE = "fold", 28


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> LeRobotDataset:
    """Three short episodes with two instructions of different length."""
    root, random = tmp_path_factory.mktemp("set"), np.random.default_rng(0)
    with LeRobotWriter(root, fps=5, camera="close") as writer:
        for number, length in enumerate((4, 6, 3)):
            actions = random.uniform(-0.9, 0.9, (length, 14)).astype(np.float32)
            actions[:, [6, 13]] = random.choice([-1, 0, 1], (length, 2))
            writer.add(
                Episode(
                    random.integers(0, 256, (length, SIZE, SIZE, 3)).astype(np.uint8),
                    random.standard_normal((length, 14)).astype(np.float32),
                    actions,
                    ("fold the towel", "fold the T-shirt neatly")[number % 2],
                    True,
                    number,
                )
            )
        writer.finalize()
    return LeRobotDataset(root)


@pytest.fixture(scope="module", params=[0, 14], ids=["no state", "state"])
def model(request, dataset):
    model = nano(state_dim=request.param)
    add_statistics(model, dataset, KEY)
    return model


@pytest.fixture(scope="module")
def samples(model, dataset) -> DemonstrationSamples:
    return DemonstrationSamples(model, dataset, KEY)


# --- labels (exercise 04.5)


def test_labels_by_hand():
    row = torch.tensor([1, 50, 60, 29871, 31800, 31900, 2, 32000, 32000])
    labels = build_labels(row, 4, 32000)
    assert labels.tolist() == [-100] * 4 + [31800, 31900, 2, -100, -100]
    assert row[0] == 1, "the row is left as it was"


# --- batches


def test_rows_are_prompt_then_action_then_the_end(model, dataset, samples):
    batch = samples.batch(np.arange(len(samples)))
    assert len(samples) == 13 and samples.batch(np.array([5]))["input_ids"].shape[0] == 1
    config = model.config
    for frame, stored in enumerate(dataset.frames()):
        row, mask, labels = (batch[name][frame] for name in ("input_ids", "attention_mask", "labels"))
        length = int(mask.sum())
        assert mask.tolist() == [1] * length + [0] * (len(mask) - length)
        assert (row[length:] == config.pad_token_id).all()
        assert row[length - 1] == config.text_config.eos_token_id
        prompt = length - 15
        assert (labels[:prompt] == -100).all() and (labels[length:] == -100).all()
        assert torch.equal(labels[prompt:length], row[prompt:length])
        said = detokenize_actions(row[prompt : prompt + 14].numpy(), config.vocabulary_size)
        stats = {name: np.array(value) for name, value in config.norm_stats[KEY]["action"].items()}
        wanted = normalize_actions(stored.action.astype(float), stats["q01"], stats["q99"], stats["mask"])
        np.testing.assert_allclose(said, wanted, atol=1 / 255 + 1e-9)
        inside = (stored.action >= stats["q01"]) & (stored.action <= stats["q99"]) & stats["mask"]
        back = unnormalize_actions(said, stats["q01"], stats["q99"], stats["mask"])
        np.testing.assert_allclose(back[inside], stored.action[inside], atol=0.5 * 1.8 / 127)


def test_what_is_trained_is_what_is_asked(model, dataset, samples, monkeypatch):
    """The ids and pixels that `predict_action` shows the model are those of the sample, without padding."""
    asked = {}

    def spy(input_ids, attention_mask, pixel_values, action_dim, **_):
        asked.update(ids=input_ids, mask=attention_mask, pixels=pixel_values)
        return torch.full((len(input_ids), action_dim), model.config.vocabulary_size - 1)

    monkeypatch.setattr(model, "predict_token_ids", spy)
    for frame, stored in enumerate(dataset.frames()):
        batch = samples.batch(np.array([frame]))
        state = {"state": stored.state} if model.config.state_dim else {}
        model.predict_action(center_crop(stored.image), stored.instruction, KEY, **state)
        prompt = batch["input_ids"].shape[1] - 15
        assert torch.equal(asked["ids"], batch["input_ids"][:, :prompt])
        assert asked["mask"].all()
        assert torch.equal(asked["pixels"], batch["pixel_values"]), "bit for bit"


def test_training_and_acting_agree_on_the_next_token(model, dataset, samples):
    """Forward over a padded batch of samples gives the logits that decoding begins with."""
    indices = np.array([0, 5, 11])
    batch = samples.batch(indices)
    with torch.no_grad():
        logits = model(**batch).logits
    for place, frame in enumerate(indices):
        learned = (batch["labels"][place] != -100).nonzero()[:, 0]
        first = logits[place, model.config.num_patches + learned[0] - 1]
        stored = list(dataset.frames())[frame]
        said = model.state_tokens(stored.state[None], KEY) if model.config.state_dim else None
        inputs = model.processor([build_prompt(stored.instruction)], [center_crop(stored.image)], said)
        with torch.no_grad():
            alone = model(**inputs).logits[0, -1]
            ids = model.predict_token_ids(**inputs, action_dim=14)
        torch.testing.assert_close(first, alone, atol=2e-4, rtol=0)
        actions = first[model.config.vocabulary_size - 256 : model.config.vocabulary_size]
        assert ids[0, 0] == model.config.vocabulary_size - 256 + actions.argmax()


def test_the_loss_is_that_of_action_and_end_alone(model, samples):
    batch = samples.batch(np.arange(4))
    with torch.no_grad():
        output = model(**batch)
    shown = output.logits[:, model.config.num_patches :]
    learned = batch["labels"] != -100
    rows, places = learned.nonzero(as_tuple=True)
    wanted = torch.nn.functional.cross_entropy(shown[rows, places - 1], batch["labels"][rows, places])
    assert learned.sum() == 4 * 15
    torch.testing.assert_close(output.loss, wanted, atol=1e-5, rtol=0)


def test_augmentation_follows_from_the_generator_and_leaves_words_alone(samples):
    indices = np.array([2, 7])
    first, again, other = (samples.batch(indices, np.random.default_rng(seed)) for seed in (1, 1, 2))
    plain = samples.batch(indices)
    assert torch.equal(first["pixel_values"], again["pixel_values"])
    assert not torch.equal(first["pixel_values"], other["pixel_values"])
    assert first["pixel_values"].shape == plain["pixel_values"].shape == (2, 6, SIZE, SIZE)
    for name in ("input_ids", "attention_mask", "labels"):
        assert torch.equal(first[name], plain[name]) and torch.equal(
            samples.words(indices)[name], plain[name]
        )


def test_without_augmentation_the_whole_picture_is_shown(model, dataset):
    samples = DemonstrationSamples(model, dataset, KEY, augmentation=None)
    pixels = samples.batch(np.array([4]), np.random.default_rng(0))["pixel_values"]
    whole = dataset.episode(1).images[0]
    assert torch.equal(pixels[0], model.processor.pixel_values(whole))


def test_chosen_frames_only(model, dataset, samples):
    validation = split_by_episode(dataset.episode_index, 0.34, 0)
    chosen = np.flatnonzero(validation)[::-1].copy()
    part = DemonstrationSamples(model, dataset, KEY, frames=chosen)
    assert len(part) == len(chosen) < len(samples)
    wanted = samples.batch(chosen)
    for name, value in part.batch(np.arange(len(chosen))).items():
        assert torch.equal(value, wanted[name]), name


def test_the_learners_own_functions_are_the_ones_that_run(model, dataset):
    nothing = DemonstrationSamples(
        model, dataset, KEY, labels=lambda ids, length, pad: torch.full_like(ids, 7)
    )
    assert (nothing.words(np.arange(3))["labels"] == 7).all()
    still = DemonstrationSamples(model, dataset, KEY, normalize=lambda actions, *_: np.zeros_like(actions))
    ids = still.words(np.array([0]))["input_ids"][0]
    assert len(set(ids[-15:-1].tolist())) == 1


def test_what_does_not_fit_is_said(model, dataset, monkeypatch):
    with pytest.raises(ValueError, match="no action statistics for unnorm_key='pour'"):
        DemonstrationSamples(model, dataset, "pour")
    monkeypatch.setattr(model, "processor", None)
    with pytest.raises(ValueError, match="no processor"):
        DemonstrationSamples(model, dataset, KEY)
    told = nano(state_dim=7)
    add_statistics(told, dataset, KEY)
    with pytest.raises(ValueError, match="a state of 7 numbers"):
        DemonstrationSamples(told, dataset, KEY)


def test_samples_are_what_the_trainer_wants(samples):
    from vla_course.fine_tuning.frozen_features import Samples

    assert isinstance(samples, Samples)
    assert dataclasses.is_dataclass(samples.augmentation)
