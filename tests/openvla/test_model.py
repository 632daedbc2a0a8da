"""The published numbers: features, projector, logits, loss, gradients."""

import copy

import numpy as np
import pytest
import torch
from openvla_reference import expected, expected_tensors, inputs, nano, nano_inputs, reference_model

from vla_course.openvla import checkpoint
from vla_course.openvla.decoding import CACHE_KEYWORD, token_positions
from vla_course.openvla.model import insert_patches

FEATURES, LOGITS, LOSS = 5e-5, 2e-4, 1e-5


def largest(difference: torch.Tensor) -> float:
    return difference.abs().max().item()


@pytest.fixture(scope="module")
def output():
    given = inputs()
    with torch.no_grad():
        return reference_model()(
            input_ids=given["input_ids"],
            attention_mask=given["attention_mask"],
            pixel_values=given["pixel_values"],
            labels=given["labels"],
            output_hidden_states=True,
        )


def test_features_of_both_towers():
    eyes, pixels, wanted = reference_model().vision_backbone, inputs()["pixel_values"], expected_tensors()
    with torch.no_grad():
        assert largest(eyes.dinov2_features(pixels[:, :3]) - wanted["dino_features"]) < FEATURES
        assert largest(eyes.siglip_features(pixels[:, 3:]) - wanted["siglip_features"]) < FEATURES
        assert largest(eyes.dinov2.embeddings(pixels[:1, :3]) - wanted["dino_embeddings"]) < FEATURES
        assert largest(eyes.siglip.embeddings(pixels[:1, 3:]) - wanted["siglip_embeddings"]) < FEATURES
        assert eyes(pixels).shape == (2, 16, 64 + 72)


def test_projector(output):
    assert largest(output.projector_features - expected_tensors()["projector_output"]) < FEATURES


def test_logits_of_every_position(output):
    wanted = expected_tensors()
    assert largest(output.logits[..., wanted["logits_columns"]] - wanted["logits_at_columns"]) < LOGITS
    assert largest(output.logits.logsumexp(-1) - wanted["logits_logsumexp"]) < LOGITS
    assert largest(output.logits.amax(-1) - wanted["logits_max"]) < LOGITS
    assert torch.equal(output.logits.argmax(-1), wanted["logits_argmax"])
    text = torch.cat([output.logits[:, :1], output.logits[:, 17:]], dim=1)
    assert largest(text[..., 31744:] - wanted["logits_action_window_text"]) < LOGITS


def test_final_hidden_states(output):
    assert largest(output.hidden_states[-1] - expected_tensors()["llm_final_hidden"]) < LOGITS


def test_loss_of_both_samples_and_of_each(output):
    wanted, given = expected(), inputs()
    assert output.loss.item() == pytest.approx(wanted["loss"], abs=LOSS)
    for row, loss in enumerate(wanted["loss_per_sample"]):
        length = int(given["attention_mask"][row].sum())
        with torch.no_grad():
            alone = reference_model()(
                input_ids=given["input_ids"][row : row + 1, :length],
                pixel_values=given["pixel_values"][row : row + 1],
                labels=given["labels"][row : row + 1, :length],
            )
        assert alone.loss.item() == pytest.approx(loss, abs=LOSS)


def test_text_without_an_image():
    given, wanted = inputs(), expected_tensors()
    with torch.no_grad():
        output = reference_model()(
            input_ids=given["input_ids"], attention_mask=given["attention_mask"], labels=given["labels"]
        )
    assert output.loss.item() == pytest.approx(wanted["text_only_loss"].item(), abs=LOSS)
    assert largest(output.logits[..., 31744:] - wanted["text_only_logits_action_window"]) < LOGITS
    assert output.projector_features is None


def test_gradients_and_one_step_of_training():
    given, wanted = inputs(), expected()
    model = copy.deepcopy(reference_model()).train()
    batch = {name: given[name] for name in ("input_ids", "attention_mask", "pixel_values", "labels")}
    model(**batch).loss.backward()
    parameters = dict(model.named_parameters())
    gradients = {name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in parameters.items()}
    # A position for the class token is our own parameter: its gradient is the class token's once more.
    gradients["vision_backbone.dinov2.embeddings.position_embeddings"][:, :1] = 0
    published = checkpoint.to_original(gradients, model.config)
    for name, norm in wanted["grad_l2_norms"].items():
        assert published[name].double().norm().item() == pytest.approx(norm, rel=5e-6), name
    assert sorted(wanted["grad_none"]) == sorted(set(published) - set(wanted["grad_l2_norms"]))
    assert all(not published[name].any() for name in wanted["grad_none"])
    with torch.no_grad():
        for parameter in parameters.values():
            if parameter.grad is not None:
                parameter -= 1e-5 * parameter.grad
        # The class token's position is one more step for the same number; upstream has only one.
        model.vision_backbone.dinov2.embeddings.position_embeddings[:, :1] = 0
        assert model(**batch).loss.item() == pytest.approx(
            wanted["loss_after_one_sgd_step_lr_1e-5"], abs=2e-5
        )


def test_the_tolerances_catch_the_smallest_typical_mistake():
    model, pixels = copy.deepcopy(reference_model()), inputs()["pixel_values"]
    for block in model.vision_backbone.siglip.encoder.layers:
        block.mlp.activation_fn = torch.nn.GELU(approximate="tanh")
    with torch.no_grad():
        moved = largest(model.embed_image(pixels) - expected_tensors()["projector_output"])
    assert moved == pytest.approx(3.72e-4, rel=0.02) and moved > FEATURES


def test_the_image_stands_between_start_and_text():
    tokens = torch.arange(1.0, 6.0).reshape(1, 5, 1)
    patches = -torch.arange(1.0, 4.0).reshape(1, 3, 1)
    embeddings, mask = insert_patches(tokens, patches, torch.tensor([[1, 1, 1, 1, 0]]))
    assert embeddings.flatten().tolist() == [1, -1, -2, -3, 2, 3, 4, 5]
    assert mask.tolist() == [[1, 1, 1, 1, 1, 1, 1, 0]]


def test_gradient_checkpointing_gives_the_same_gradients():
    gradients = []
    for checkpointing in (False, True):
        model = nano().train()
        if checkpointing:
            model.gradient_checkpointing_enable()
        given = nano_inputs(2)
        model(**given, labels=given["input_ids"], use_cache=False).loss.backward()
        gradients.append(model.vision_backbone.dinov2.encoder.layer[0].mlp.fc1.weight.grad)
    torch.testing.assert_close(*gradients)
    assert gradients[0].any()


def test_padding_before_the_words_or_after_them_changes_no_loss():
    model, given = nano(), nano_inputs()
    ids, labels = given["input_ids"], given["input_ids"].clone()
    labels[:, :3] = -100
    wanted = model(**given, labels=labels).loss
    for place in (1, ids.shape[1]):

        def padded(row, value, place=place):
            return torch.cat([row[:, :place], torch.full((1, 4), value), row[:, place:]], dim=1)

        batch = {"input_ids": padded(ids, 0), "attention_mask": padded(given["attention_mask"], 0)}
        loss = model(**batch, pixel_values=given["pixel_values"], labels=padded(labels, -100)).loss
        torch.testing.assert_close(loss, wanted)


def test_places_of_tokens():
    mask = torch.tensor([[1, 1, 0, 0, 1, 1, 0], [1, 1, 1, 1, 1, 0, 0]])
    assert token_positions(mask).tolist() == [[0, 1, 1, 1, 2, 3, 4], [0, 1, 2, 3, 4, 5, 6]]


def test_pictures_of_another_size_or_with_other_channels_are_refused():
    given = nano_inputs()
    for shape in ((1, 6, 42, 42), (1, 6, 28, 14)):
        with pytest.raises(ValueError, match=r"\(6, 28, 28\)"):
            nano()(**{**given, "pixel_values": torch.zeros(shape)})


def test_an_image_cannot_follow_what_was_read():
    model, given = nano(), nano_inputs()
    first = model(**given, use_cache=True)
    with pytest.raises(ValueError, match="cache is not empty"):
        model(**given, past_key_values=first[CACHE_KEYWORD])
    with pytest.raises(ValueError, match="give input_ids"):
        model(pixel_values=given["pixel_values"])


def test_attention_implementations_agree():
    given = inputs()
    model = copy.deepcopy(reference_model())
    model.set_attn_implementation("eager")
    assert model.vision_backbone.siglip.config._attn_implementation == "eager"
    with torch.no_grad():
        output = model(
            **{name: given[name] for name in ("input_ids", "attention_mask", "pixel_values", "labels")}
        )
    assert output.loss.item() == pytest.approx(expected()["loss"], abs=LOSS)
    np.testing.assert_array_equal(output.logits.argmax(-1), expected_tensors()["logits_argmax"])
