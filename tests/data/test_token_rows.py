"""One task in many words: another text at the beginning of a row, and everything behind it as it was."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from openvla_reference import nano

from tests.data.test_augmentation import STILL
from tests.data.test_samples import dataset  # noqa: F401  (a fixture)
from tests.data.test_waypoints import KEY, root, speaking  # noqa: F401  (root is a fixture)
from vla_course.data.samples import DemonstrationSamples, add_statistics
from vla_course.data.token_rows import UNLEARNED, retold
from vla_course.fine_tuning.config import TrainConfig
from vla_course.openvla.processor import build_prompt

OTHERS = ("fold it", "would you please fold this towel for me")


def test_another_text_by_hand():
    batch = {
        "input_ids": torch.tensor([[1, 7, 8, 50, 60, 2], [1, 7, 50, 60, 2, 0]]),
        "attention_mask": torch.tensor([[1] * 6, [1] * 5 + [0]]),
        "labels": torch.tensor([[-100, -100, -100, -100, 60, 2], [-100, -100, -100, 60, 2, -100]]),
    }
    found = retold(batch, torch.tensor([3, 2]), [torch.tensor([1, 9]), torch.tensor([1, 9, 9, 9])], 0)
    assert found["input_ids"].tolist() == [[1, 9, 50, 60, 2, 0, 0], [1, 9, 9, 9, 50, 60, 2]]
    assert found["attention_mask"].tolist() == [[1] * 5 + [0] * 2, [1] * 7]
    assert found["labels"].tolist() == [[-100, -100, -100, 60, 2, -100, -100], [*[-100] * 5, 60, 2]]


def test_every_frame_is_told_in_all_words_alike_and_answered_the_same(root):  # noqa: F811
    model, demonstrations, still = speaking(root)
    samples = DemonstrationSamples(
        model, demonstrations, KEY, augmentation=replace(STILL, phrasings=OTHERS), mirror=True
    )
    assert len(samples) == 2 * len(still)
    rows = np.tile(np.arange(len(samples)), 60)
    batch, plain = samples.batch(rows, np.random.default_rng(3)), samples.words(rows)
    own = demonstrations.track(0).instruction
    texts = [model.processor.token_ids(build_prompt(words)).tolist() for words in (own, *OTHERS)]
    said = np.zeros(3, int)
    for row in range(len(rows)):
        length, before = int(batch["attention_mask"][row].sum()), int(plain["attention_mask"][row].sum())
        ids = batch["input_ids"][row, :length].tolist()
        rest = plain["input_ids"][row, len(texts[0]) : before].tolist()
        (which,) = [k for k, text in enumerate(texts) if ids == text + rest]
        said[which] += 1
        learned = [one["labels"][row][one["labels"][row] != UNLEARNED].tolist() for one in (batch, plain)]
        assert learned[0] == learned[1] and (batch["labels"][row, : len(texts[which])] == UNLEARNED).all()
    assert (np.abs(said / len(rows) - 1 / 3) < 0.05).all(), said
    for name, value in samples.batch(rows[:4]).items():
        torch.testing.assert_close(value, still.batch(rows[:4])[name], msg="without luck, its own words")


def test_a_set_of_several_instructions_has_no_other_words(dataset):  # noqa: F811
    model, config = nano(), replace(STILL, phrasings=OTHERS)
    add_statistics(model, dataset, KEY)
    with pytest.raises(ValueError, match=r"this set has 2 \(fold the T-shirt neatly; fold the towel\)"):
        DemonstrationSamples(model, dataset, KEY, augmentation=config)
    one = np.flatnonzero(dataset.episode_index == 0)
    assert len(DemonstrationSamples(model, dataset, KEY, frames=one, augmentation=config)) == len(one)


def test_words_that_are_none_are_refused(tmp_path):
    for wrong in ({"phrasings": ("fold it", " ")}, {"phrasings": ("fold it",), "augment": False}):
        with pytest.raises(ValueError, match="phrasings: want words, and only where pictures are augmented"):
            TrainConfig(data="d", out=str(tmp_path), **wrong)
