"""A model that looks through several cameras at once: the same eyes, one picture after the other, and one sequence of patches."""

import json

import numpy as np
import pytest
import torch
from openvla_reference import nano, nano_config, nano_inputs

from tests.openvla.test_decoding_oft import oft_logits
from vla_course.memory.estimate import Batch, estimate_training_state
from vla_course.openvla.config import OpenVLAConfig
from vla_course.openvla.decoding import token_positions
from vla_course.openvla.load import load_vla

PICTURES = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)


def two_views(batch: int = 1, length: int = 6, seed: int = 1) -> dict[str, torch.Tensor]:
    """Random words, and two random pictures for each."""
    other = nano_inputs(batch, length, seed + 100)["pixel_values"]
    given = nano_inputs(batch, length, seed)
    return {**given, "pixel_values": torch.cat([given["pixel_values"], other], 1)}


def padded_together(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Two questions in one batch, the shorter padded behind its start token."""
    shorter = two["input_ids"].shape[1] - one["input_ids"].shape[1]
    ids = one["input_ids"]
    ids = torch.cat([ids[:, :1], ids.new_zeros(1, shorter), ids[:, 1:]], 1)
    return {
        "input_ids": torch.cat([ids, two["input_ids"]]),
        "attention_mask": torch.cat([(ids > 0).long(), two["attention_mask"]]),
        "pixel_values": torch.cat([one["pixel_values"], two["pixel_values"]]),
    }


@torch.no_grad()
def test_one_picture_is_seen_as_both_towers_see_it():
    towers, pixels = nano().vision_backbone, nano_inputs(3)["pixel_values"]
    by_hand = torch.cat([towers.dinov2_features(pixels[:, :3]), towers.siglip_features(pixels[:, 3:])], -1)
    assert torch.equal(towers(pixels), by_hand)


@torch.no_grad()
def test_each_picture_is_seen_as_if_it_were_alone():
    alone, both = nano(), nano(num_images=2)
    first, second = nano_inputs(3)["pixel_values"], nano_inputs(3, seed=2)["pixel_values"]
    seen = [alone.vision_backbone(pixels) for pixels in (first, second)]
    for pictures, wanted in (
        ((first, second), seen),
        ((second, first), seen[::-1]),
        ((first, first), seen[:1] * 2),
    ):
        together = both.vision_backbone(torch.cat(pictures, 1))
        torch.testing.assert_close(together, torch.cat(wanted, 1), atol=1e-5, rtol=1e-5)
    assert together.shape[1] == both.config.num_patches == 2 * alone.config.num_patches


@torch.no_grad()
def test_patches_of_both_stand_between_start_and_words_and_are_counted():
    model, given = nano(num_images=2), two_views()
    prompt = model.prompt(**given)
    patches = model.embed_image(given["pixel_values"])
    words = model.get_input_embeddings()(given["input_ids"])
    assert torch.equal(prompt.embeddings, torch.cat([words[:, :1], patches, words[:, 1:]], 1))
    assert prompt.positions.tolist() == [list(range(6 + 8))]
    output = model(**given, labels=given["input_ids"])
    assert output.logits.shape[1] == 6 + 8 and output.projector_features.shape[1] == 8
    torch.testing.assert_close(output.projector_features, patches)


def test_the_loss_is_of_words_alone_and_both_pictures_matter():
    model, given = nano(num_images=2), two_views()
    labels = given["input_ids"].clone()
    labels[:, :3] = -100
    output = model(**given, labels=labels)
    logits = output.logits[0, -4:-1]
    wanted = torch.nn.functional.cross_entropy(logits, labels[0, 3:])
    torch.testing.assert_close(output.loss, wanted)
    pixels = given["pixel_values"].clone().requires_grad_(True)
    model(**{**given, "pixel_values": pixels}, labels=labels).loss.backward()
    assert (pixels.grad.reshape(2, -1).abs().amax(1) > 0).all()


@torch.no_grad()
def test_with_a_cache_and_without_and_by_generate_the_tokens_are_the_same():
    model = nano(num_images=2)
    one, two = two_views(length=5), two_views(length=9, seed=3)
    both = padded_together(one, two)
    cached = model.predict_token_ids(**both, action_dim=6)
    assert torch.equal(cached, model.predict_token_ids(**both, action_dim=6, use_cache=False))
    assert torch.equal(
        cached, torch.cat([model.predict_token_ids(**row, action_dim=6) for row in (one, two)])
    )
    free = model.generate(**both, max_new_tokens=6, do_sample=False)[:, -6:]
    alone = [model.generate(**row, max_new_tokens=6, do_sample=False)[:, -6:] for row in (one, two)]
    assert torch.equal(free, torch.cat(alone))
    assert torch.equal(
        free, model.generate(**both, max_new_tokens=6, do_sample=False, use_cache=False)[:, -6:]
    )


@torch.no_grad()
def test_all_at_once_it_decodes_as_the_transcription_of_oft_does():
    model = nano(num_images=2)
    rows = [two_views(length=5), two_views(length=9, seed=3)]
    both = padded_together(*rows)
    logits = model.parallel_logits(model.prompt(**both), 7, "full")
    for row, given in enumerate(rows):
        wanted = oft_logits(model, given["input_ids"][0], model.embed_image(given["pixel_values"])[0], 7)
        torch.testing.assert_close(logits[row], wanted, atol=2e-4, rtol=1e-4)
    for attention in ("cacheable", "full"):
        ids = model.predict_token_ids(**both, action_dim=7, parallel=attention)
        alone = [model.predict_token_ids(**given, action_dim=7, parallel=attention) for given in rows]
        assert torch.equal(ids, torch.cat(alone))
    prompt = model.prompt(**both)
    counted = token_positions(torch.cat([prompt.attention_mask, torch.ones(2, 8, dtype=torch.long)], 1))
    assert counted[:, -1].tolist() == [5 + 8 + 7, 9 + 8 + 7], (
        "both pictures, the words, the slots and the stop"
    )


def test_an_action_follows_from_all_pictures_in_their_order():
    model = nano(num_images=2)
    pair, turned = (PICTURES[0], PICTURES[1]), (PICTURES[1], PICTURES[0])
    alone = [model.predict_action(pictures, "touch it") for pictures in (pair, turned)]
    together = model.predict_action([pair, turned], ["touch it"] * 2)
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_array_equal(model.predict_action(PICTURES[:2], "touch it"), alone[0])
    inputs = model.processor(["touch it"], [pair])
    single = nano().processor
    wanted = torch.cat([single.pixel_values(picture) for picture in pair])
    assert torch.equal(inputs["pixel_values"][0], wanted)
    one = nano()
    np.testing.assert_array_equal(
        one.predict_action([PICTURES[0]], ["go"])[0], one.predict_action(PICTURES[0], "go")
    )


def test_another_number_of_pictures_is_refused():
    model = nano(num_images=2)
    for pictures, count in ((PICTURES[0], 1), (list(PICTURES), 3), ([PICTURES[0]], 1)):
        with pytest.raises(ValueError, match=rf"looks at 2 pictures at once, .* was given {count}"):
            model.predict_action(pictures, "touch it")
    with pytest.raises(ValueError, match=r"looks at 1 pictures at once, .* was given 2"):
        nano().predict_action((PICTURES[0], PICTURES[1]), "touch it")
    with pytest.raises(ValueError, match=r"\(12, 28, 28\)\) \(2 images of 6 channels each\), got \(1, 6, 28"):
        model(**nano_inputs())


def test_the_number_of_pictures_can_be_set_and_is_kept(tmp_path):
    model = nano()
    model.save_pretrained(tmp_path / "one")
    model.set_num_images(2)
    model.save_pretrained(tmp_path / "two")
    published, ours = (json.loads((tmp_path / name / "config.json").read_text()) for name in ("one", "two"))
    assert "num_images" not in published and ours == {**published, "num_images": 2}
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "two")]
    assert weights[0] == weights[1], "no weight knows of it"
    loaded = load_vla(path=tmp_path / "two").eval()
    assert torch.equal(loaded(**two_views()).logits, model(**two_views()).logits)
    assert loaded.processor.num_images == loaded.config.num_images == 2
    model.set_num_images(1)
    assert torch.equal(model(**nano_inputs()).logits, nano()(**nano_inputs()).logits)
    with pytest.raises(ValueError, match="one picture or more"):
        model.set_num_images(0)


def test_the_config_counts_the_patches_of_all_pictures():
    three = nano_config(num_images=3)
    assert (three.num_patches, three.patches_per_image, nano_config().num_patches) == (12, 4, 4)
    assert OpenVLAConfig.from_dict(three.to_dict()).num_images == 3
    for wrong in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match="num_images: want a whole number of at least 1"):
            nano_config(num_images=wrong)


def test_memory_is_estimated_for_all_pictures():
    from tests.memory.test_estimate import measured

    for mode in ("full", "lora"):
        config = nano_config(num_images=3)
        real, guess = measured(config, mode), estimate_training_state(config, mode, Batch(4, 40), rank=8)
        assert guess.activations == pytest.approx(real.activations, rel=0.05)
