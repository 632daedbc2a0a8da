"""OpenVLA-OFT's way of decoding, all dimensions at once and everybody seeing everybody, against a transcription of it.

The transcription reads one row, without padding, in plain matrix code: it shares the weights with the model and nothing else.
"""

import pytest
import torch
from openvla_reference import EMPTY, inputs, nano, nano_inputs, reference_model
from torch.nn.functional import silu

from vla_course.openvla.decoding import Prompt, parallel_hidden_states

PLACEHOLDER, STOP = 1, 2


def oft_logits(
    model, input_ids, patches, action_dim, *, both_ways=True, zeros=True, stop=True, earlier=1
) -> torch.Tensor:
    """Logits of every action dimension for the prompt `input_ids` (L,) and the image's `patches` (P, D).

    Placeholders follow the prompt, then the stop token; the placeholders' embeddings are set to zero; the image is put in
    after the start token; attention has no causal mask; dimension i is read one position before placeholder i.

    Source: moojink/openvla-oft, prismatic/extern/hf/modeling_prismatic.py (predict_action, _regression_or_discrete_prediction).
    """
    weights, config = model.language_model.state_dict(), model.config.text_config
    ids = torch.cat([input_ids, torch.full((action_dim,), PLACEHOLDER), torch.full((int(stop),), STOP)])
    words = weights["model.embed_tokens.weight"][ids]
    if zeros:
        words[len(input_ids) : len(input_ids) + action_dim] = 0
    x = torch.cat([words[:1], patches, words[1:]])
    length, heads = len(x), config.num_attention_heads
    size = x.shape[1] // heads
    angles = torch.arange(length)[:, None] / 10000 ** (torch.arange(0, size, 2) / size)
    turn = torch.polar(torch.ones_like(angles), angles)
    hidden_from = torch.zeros(length, length)
    if not both_ways:
        hidden_from = torch.full((length, length), -torch.inf).triu(1)

    def norm(x, name):
        return weights[f"{name}.weight"] * x / (x.pow(2).mean(-1, keepdim=True) + config.rms_norm_eps).sqrt()

    def times(x, name):
        return x @ weights[f"{name}.weight"].T

    def turned(x):
        """Numbers i and i + size / 2 of a head are one complex number, turned by the position's angle."""
        y = torch.complex(*x.chunk(2, dim=-1)) * turn
        return torch.cat([y.real, y.imag], dim=-1)

    for layer in (f"model.layers.{number}" for number in range(config.num_hidden_layers)):
        y = norm(x, f"{layer}.input_layernorm")
        query, key, value = (
            times(y, f"{layer}.self_attn.{name}_proj").reshape(length, heads, size).transpose(0, 1)
            for name in "qkv"
        )
        scores = turned(query) @ turned(key).transpose(1, 2) / size**0.5 + hidden_from
        attended = (scores.softmax(-1) @ value).transpose(0, 1).reshape(length, -1)
        x = x + times(attended, f"{layer}.self_attn.o_proj")
        y = norm(x, f"{layer}.post_attention_layernorm")
        gated = silu(times(y, f"{layer}.mlp.gate_proj")) * times(y, f"{layer}.mlp.up_proj")
        x = x + times(gated, f"{layer}.mlp.down_proj")
    start = len(patches) + len(input_ids) - earlier
    return times(norm(x, "model.norm")[start : start + action_dim], "lm_head")


def short_and_long() -> tuple[list[dict], dict]:
    """Two questions of different length, alone and as the processor puts them into one batch."""
    one, two = nano_inputs(length=5), nano_inputs(length=9, seed=3)
    ids = torch.cat(
        [one["input_ids"][:, :1], torch.zeros(1, 4, dtype=torch.long), one["input_ids"][:, 1:]], 1
    )
    both = {
        "input_ids": torch.cat([ids, two["input_ids"]]),
        "attention_mask": torch.cat([(ids > 0).long(), two["attention_mask"]]),
        "pixel_values": torch.cat([one["pixel_values"], two["pixel_values"]]),
    }
    return [one, two], both


@torch.no_grad()
@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_a_padded_batch_decodes_as_the_transcription_does_row_by_row(implementation):
    model, (alone, both) = nano(attn_implementation=implementation), short_and_long()
    logits = model.parallel_logits(model.prompt(**both), 7, "full")
    for row, given in enumerate(alone):
        patches = model.embed_image(given["pixel_values"])[0]
        wanted = oft_logits(model, given["input_ids"][0], patches, 7)
        torch.testing.assert_close(logits[row], wanted, atol=2e-4, rtol=1e-4)
        assert torch.equal(model.predict_token_ids(**both, action_dim=7, parallel="full")[row] - 256,
                           wanted[:, 256:].argmax(-1))  # fmt: skip


@torch.no_grad()
def test_the_published_tiny_model_decodes_as_the_transcription_does():
    model, pixels = reference_model(), inputs()["pixel_values"][:1]
    ids = torch.tensor([[1, 512, 29901, 1724, 3158, EMPTY]])
    prompt = model.prompt(ids, torch.ones_like(ids), pixels)
    wanted = oft_logits(model, ids[0], model.embed_image(pixels)[0], 14)
    torch.testing.assert_close(model.parallel_logits(prompt, 14, "full")[0], wanted, atol=2e-4, rtol=1e-4)


@torch.no_grad()
def test_padding_on_the_left_is_not_seen_and_not_counted():
    model, given = nano(), nano_inputs(length=5)
    prompt = model.prompt(**given)
    random = torch.randn(1, 3, 64, generator=torch.Generator().manual_seed(5))
    behind = Prompt(
        torch.cat([random, prompt.embeddings], dim=1),
        torch.cat([prompt.attention_mask.new_zeros(1, 3), prompt.attention_mask], dim=1),
    )
    hidden = parallel_hidden_states(model.language_model, behind, model._action_slots(7, "full"), "full")
    wanted = oft_logits(model, given["input_ids"][0], model.embed_image(given["pixel_values"])[0], 7)
    torch.testing.assert_close(model.language_model.lm_head(hidden)[0], wanted, atol=2e-4, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("mistake", [{"both_ways": False}, {"zeros": False}, {"stop": False}, {"earlier": 0}])
def test_each_part_of_it_matters(mistake):
    """Otherwise the comparison above would not notice."""
    model, given = nano(), nano_inputs(length=5)
    ids, patches = given["input_ids"][0], model.embed_image(given["pixel_values"])[0]
    right, wrong = oft_logits(model, ids, patches, 7), oft_logits(model, ids, patches, 7, **mistake)
    assert (right - wrong).abs().amax(-1).min() > 0.05
