"""Whether picture and words meet, where the model looks, and how near its answers are to the expert's."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from openvla_reference import nano

from vla_course.action_tokens import ActionStatistics
from vla_course.data.episodes import Episode
from vla_course.evaluation.action_quality import (
    action_quality,
    answers_on,
    most_frequent,
    moving_frames,
)
from vla_course.evaluation.alignment import (
    Retrieval,
    folding_scenes,
    garment_attention,
    image_text_retrieval,
    scene_features,
    summary,
)
from vla_course.policies.folding import two_hand_policy

WHOLE = ActionStatistics(np.full(7, -1.0), np.full(7, 1.0), np.ones(7, bool))
rng = np.random.default_rng(0)


@pytest.fixture(scope="module")
def scenes():
    return folding_scenes(3, image_size=28)


@pytest.fixture(scope="module")
def model():
    statistics = {"q01": [-1.0] * 7, "q99": [1.0] * 7, "mask": [True] * 7}
    return nano(norm_stats={"one": {"action": statistics}})


# --- retrieval


def test_what_belongs_together_is_found_whatever_corner_it_lies_in():
    images = torch.randn(12, 5, generator=torch.Generator().manual_seed(0))
    assert image_text_retrieval(images + 40, 3 * images - 7) == Retrieval(1.0, 1.0, 1 / 12)
    swapped = images[[1, 0, *range(2, 12)]]
    assert image_text_retrieval(images, swapped) == Retrieval(10 / 12, 10 / 12, 1 / 12)
    assert image_text_retrieval(images, images.roll(1, dims=0)).image_to_text == 0
    with pytest.raises(ValueError, match="at least two"):
        image_text_retrieval(images[:1], images[:1])


def test_both_directions_are_counted():
    """By angles: texts at 0, 120 and 240 degrees, pictures at 6, 42 and 200. Picture 1 is nearer to text 0, text 1 to picture 1."""
    images = torch.tensor([[2.0, 0.2], [1.0, 0.9], [-3.0, -1.1]])
    texts = torch.tensor([[1.0, 0.0], [-0.5, 3**0.5 / 2], [-0.5, -(3**0.5) / 2]])
    found = image_text_retrieval(images, texts)
    assert (found.image_to_text, found.text_to_image) == pytest.approx((2 / 3, 1.0))


def test_features_are_means_of_patches_and_of_words(model, scenes):
    images, texts = scene_features(model, scenes.pictures[:2], scenes.captions[:2])
    pixels = model.processor.pixel_values(scenes.pictures[1])[None]
    with torch.no_grad():
        wanted = model.embed_image(pixels)[0].mean(dim=0)
        words = model.get_input_embeddings()(model.processor.token_ids(scenes.captions[1])[1:]).mean(dim=0)
    torch.testing.assert_close(images[1], wanted, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(texts[1], words, atol=1e-5, rtol=1e-5)
    deeper, _ = scene_features(model, scenes.pictures[:2], scenes.captions[:2], layer=2)
    assert not torch.allclose(deeper, images)
    with pytest.raises(ValueError, match="from 0 to 2"):
        scene_features(model, scenes.pictures[:1], scenes.captions[:1], layer=3)


def test_every_garment_in_every_color(scenes):
    assert len(set(scenes.captions)) == 18 == len(scenes.pictures) and len(set(scenes.instructions)) == 3
    assert "blue towel" in scenes.captions and "teal trousers" in scenes.captions
    share = scenes.masks.mean(axis=(1, 2))
    assert (share > 0.05).all() and (share < 0.6).all()


# --- attention


def uniform(model):
    """A copy of the model that looks everywhere alike: its queries are zero."""
    model = nano(norm_stats=model.config.norm_stats)
    for block in model.language_model.model.layers:
        torch.nn.init.zeros_(block.self_attn.q_proj.weight)
    return model


def test_who_looks_everywhere_alike_gives_the_garment_its_share(model, scenes):
    found = garment_attention(uniform(model), scenes.pictures, scenes.masks, scenes.instructions)
    assert found.on_garment == pytest.approx(found.garment_share, abs=1e-5) and found.ratio == pytest.approx(
        1
    )
    assert found.garment_share == pytest.approx(scenes.masks.mean(), abs=1e-6)
    lengths = [1 + len(model.processor.token_ids(f"In: What action should the robot take to {text}?\nOut:")) + 4
               for text in scenes.instructions]  # fmt: skip
    assert found.on_picture == pytest.approx(np.mean([4 / length for length in lengths]), rel=1e-4)


def test_attention_on_one_patch_is_attention_on_what_it_shows(model, scenes):
    pictures, words = scenes.pictures[:3], scenes.instructions[:3]
    masks = np.zeros((3, 28, 28), bool)
    parts = []
    for row in (slice(0, 14), slice(14, 28)):
        for column in (slice(0, 14), slice(14, 28)):
            masks[:] = False
            masks[:, row, column] = True
            found = garment_attention(model, pictures, masks, words, layer=1)
            assert found.garment_share == pytest.approx(0.25)
            parts.append(found.on_garment)
    assert sum(parts) == pytest.approx(1, abs=1e-5) and max(parts) - min(parts) > 0.01
    with pytest.raises(ValueError, match="no picture shows"):
        garment_attention(model, pictures, masks & False, words)


def test_looking_leaves_the_model_as_it_was(model, scenes):
    before = model.language_model.config._attn_implementation
    action = model.predict_action(scenes.pictures[0], "fold", "one")
    found = garment_attention(model, scenes.pictures[:2], scenes.masks[:2], scenes.instructions[:2])
    assert model.language_model.config._attn_implementation == before
    np.testing.assert_array_equal(model.predict_action(scenes.pictures[0], "fold", "one"), action)
    told = summary("nano", Retrieval(0.5, 0.4, 0.1), found)
    assert told["retrieval"]["chance"] == 0.1 and told["attention"]["ratio"] == found.ratio


# --- answers


def demonstration(seed: int, length: int = 30) -> Episode:
    """The hand stands still but for five frames; the grip closes once."""
    luck = np.random.default_rng(seed)
    actions = np.zeros((length, 7), np.float32)
    actions[10:15, :3] = luck.uniform(0.2, 0.9, (5, 3))
    actions[:, 6] = np.where(np.arange(length) < 20, 1.0, -1.0)
    images = luck.integers(0, 256, (length, 28, 28, 3), dtype=np.uint8)
    return Episode(images, np.zeros((length, 7), np.float32), actions, "fold the towel in half", True, seed)


def test_frames_in_which_something_moves():
    moving = moving_frames(demonstration(0).actions)
    np.testing.assert_array_equal(np.flatnonzero(moving), [10, 11, 12, 13, 14, 20])


def test_standing_still_is_nearly_always_right_and_never_when_it_matters():
    wanted = [demonstration(seed).actions for seed in range(3)]
    idle = [np.zeros_like(actions) for actions in wanted]
    for still, actions in zip(idle, wanted, strict=True):
        still[:, 6] = actions[:, 6]
    found = action_quality(idle, wanted, WHOLE)
    assert (found.frames, found.moving_frames) == (90, 18)
    assert found.token_accuracy[0] == pytest.approx(25 / 30) == found.majority_accuracy[0]
    assert found.moving_token_accuracy[0] == pytest.approx(1 / 6) == found.moving_majority_accuracy[0]
    assert found.token_accuracy[3] == found.token_accuracy[6] == 1
    assert found.l1[0] == pytest.approx(np.abs(np.concatenate(wanted)[:, 0]).mean(), rel=1e-5)
    assert found.majority_accuracy[6] == pytest.approx(2 / 3)
    perfect = action_quality(wanted, wanted, WHOLE)
    assert set(perfect.moving_token_accuracy) == {1.0} and set(perfect.l1) == {0.0}
    assert perfect.action_change == perfect.expert_action_change > found.action_change
    assert perfect.summary("expert")["kind"] == "action_quality"


def test_numbers_are_those_of_the_data_sets_units():
    narrow = replace(WHOLE, q01=np.full(7, -0.1), q99=np.full(7, 0.1))
    wanted, said = np.full((4, 7), 0.05), np.full((4, 7), 0.0)
    found = action_quality([said], [wanted], narrow)
    assert found.l1 == pytest.approx((0.5,) * 7)
    with pytest.raises(ValueError, match="every frame"):
        action_quality([said], [wanted, wanted], narrow)


def test_the_most_frequent_token_of_each_dimension():
    np.testing.assert_array_equal(most_frequent(np.array([[5, 1], [5, 2], [3, 2]])), [5, 2])


def test_answers_on_recorded_frames_are_the_policys(model):
    whole = demonstration(1)
    episode = replace(whole, images=whole.images[:5], states=whole.states[:5], actions=whole.actions[:5])
    policy = two_hand_policy(model, crop=False)
    (said,) = answers_on(policy, [episode], batch=2)
    wanted = policy.act({"image_close": episode.images, "instruction": [episode.instruction] * 5})[:, 0]
    np.testing.assert_allclose(said, wanted, atol=1e-6)
