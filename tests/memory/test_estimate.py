"""Where the memory goes: worked by hand, and arithmetic against what is counted in live tensors."""

import math

import jaxtyping
import pytest
import torch
from openvla_reference import contract, nano, nano_config, nano_inputs
from torch import nn

from vla_course.adapters.lora import LoRAConfig, inject
from vla_course.adapters.nf4 import bits_per_parameter
from vla_course.adapters.nf4_linear import quantize_layers
from vla_course.memory.activations import Batch
from vla_course.memory.estimate import (
    MODES,
    PUBLISHED,
    estimate_training_state,
    openvla_7b_table,
    sizes,
    training_state_gb,
)
from vla_course.memory.measured import Saved, measure_training_state, storages, weight_storages
from vla_course.openvla.checkpoint import read_config
from vla_course.openvla.config import OpenVLAConfig
from vla_course.openvla.load import find_nano
from vla_course.openvla.model import OpenVLAForActionPrediction

WEIGHTS, ADAPTERS = 7_541_237_184, 110_828_288


def prepared(config: OpenVLAConfig, mode: str, dtype: torch.dtype, checkpointing: bool) -> nn.Module:
    torch.manual_seed(0)
    model = OpenVLAForActionPrediction(config).to(dtype).train()
    if mode == "qlora":
        quantize_layers(model)
    if mode in ("lora", "qlora"):
        inject(model, LoRAConfig(rank=8, alpha=16))
    if mode == "head":
        model.requires_grad_(False).language_model.lm_head.requires_grad_(True)
    if checkpointing:
        model.activation_checkpointing_enable()
    return model


def measured(config, mode, dtype=torch.float32, *, checkpointing=False, samples=4, text_tokens=40):
    model = prepared(config, mode, dtype, checkpointing)
    random = torch.Generator().manual_seed(0)
    ids = torch.randint(4, 250, (samples, text_tokens), generator=random)
    side = config.image_sizes[0]
    pixels = torch.randn(samples, 6 * config.num_images, side, side, generator=random).to(dtype)
    given = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "pixel_values": pixels, "labels": ids}
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad])
    return measure_training_state(model, lambda: model(**given, use_cache=False).loss, optimizer)


def test_worked_by_hand():
    assert training_state_gb(0, WEIGHTS, 0, 2, 2) == pytest.approx(90.5, abs=0.05)
    assert training_state_gb(WEIGHTS, ADAPTERS, 2, 4, 4) == pytest.approx(16.9, abs=0.05)
    four_bits = bits_per_parameter(64, 256) / 8
    assert training_state_gb(WEIGHTS, ADAPTERS, four_bits, 4, 4) == pytest.approx(5.7, abs=0.05)


CASES = [(mode, False) for mode in MODES] + [(mode, True) for mode in MODES if mode != "head"]


@pytest.mark.parametrize(("mode", "checkpointing"), CASES)
def test_the_estimate_is_within_a_tenth_of_what_the_nano_keeps(mode, checkpointing):
    config = read_config(find_nano())
    real = measured(config, mode, checkpointing=checkpointing)
    guess = estimate_training_state(config, mode, Batch(4, 40), rank=8, checkpointing=checkpointing)
    for part in ("weights", "gradients", "optimizer", "activations", "recomputed", "total"):
        assert getattr(guess, part) == pytest.approx(getattr(real, part), rel=0.1), part
    assert guess.total == pytest.approx(real.total, rel=0.02)


@pytest.mark.parametrize("mode", MODES)
def test_in_bfloat16_too(mode):
    config = read_config(find_nano())
    real = measured(config, mode, torch.bfloat16)
    guess = estimate_training_state(config, mode, Batch(4, 40), rank=8, number_bytes=2, moment_bytes=2)
    for part in ("weights", "gradients", "optimizer", "activations", "total"):
        assert getattr(guess, part) == pytest.approx(getattr(real, part), rel=0.1), part


def test_with_other_sizes_and_batches():
    config = nano_config(
        vision_towers=[
            dict(embed_dim=64, depth=4, num_heads=2, mlp_ratio=2.0),
            dict(embed_dim=128, depth=2, num_heads=2, mlp_ratio=3.0),
        ]
    )
    for samples, text_tokens in ((1, 90), (7, 12)):
        real = measured(config, "lora", samples=samples, text_tokens=text_tokens)
        guess = estimate_training_state(config, "lora", Batch(samples, text_tokens), rank=8)
        assert guess.activations == pytest.approx(real.activations, rel=0.05)


def test_adapters_save_trainable_state_and_hardly_any_activations():
    config = read_config(find_nano())
    full, lora, qlora = (measured(config, mode) for mode in ("full", "lora", "qlora"))
    for state in (lora, qlora):
        assert state.gradients + state.optimizer < 0.1 * (full.gradients + full.optimizer)
        assert 0.9 * full.activations < state.activations < full.activations
    assert qlora.weights < 0.4 * lora.weights and qlora.activations == lora.activations
    less = measured(config, "lora", checkpointing=True)
    assert less.activations + less.recomputed < 0.4 * lora.activations


def test_logits_that_nobody_asks_for_are_not_kept():
    whole = estimate_training_state(nano_config(), "head", Batch(2, 40)).activations
    few = estimate_training_state(nano_config(), "head", Batch(2, 40, scored=8)).activations
    assert whole - few == 2 * (40 + 4 - 8) * (512 + 64) * 4


def test_the_7b_model_is_counted_to_the_last_weight():
    size, published = sizes(OpenVLAConfig()), contract()
    # A mask token and a position of the class token are transformers' alone; the first of them never runs.
    assert size.weights - 2 * 1024 == WEIGHTS and size.head == 32064 * 4096
    idle = sum(math.prod(published["tensors"][name]) for name in published["never_used_in_forward"])
    assert size.weights - size.running == idle + 1024


def flash(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, **_):
    """What a GPU keeps of attention: no probabilities."""
    attention = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    return attention(query, key, value, dropout_p, is_causal, scale=scale)[0]


@pytest.mark.parametrize("mode", ["full", "lora"])
def test_activations_are_right_at_the_widths_of_7b(mode, monkeypatch):
    """Counted in a forward pass that computes nothing, of a 7B model with fewer blocks."""
    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", flash)
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    towers = [{**tower, "depth": 3} for tower in OpenVLAConfig().vision_towers]
    text = {**OpenVLAConfig().text_config.to_dict(), "num_hidden_layers": 2}
    config = OpenVLAConfig(vision_towers=towers, text_config=text)
    with torch.device("meta"):
        model = OpenVLAForActionPrediction(config).to(torch.bfloat16).train()
        if mode == "lora":
            inject(model, LoRAConfig())
        llama = model.language_model.model
        with Saved(weight_storages(model)) as saved:
            patches = model.embed_image(torch.zeros(2, 6, 224, 224, dtype=torch.bfloat16))
            words = llama.embed_tokens(torch.zeros(2, 40, dtype=torch.long))
            hidden = torch.cat([words[:, :1], patches, words[:, 1:]], dim=1)
            turns = llama.rotary_emb(hidden, torch.zeros(2, 296, dtype=torch.long))
            for layer in llama.layers:
                hidden = layer(hidden, attention_mask=None, position_embeddings=turns)
            logits = model.language_model.lm_head(llama.norm(hidden)[:, -9:]).float()
            loss = nn.functional.cross_entropy(logits.flatten(0, 1), torch.zeros(18, dtype=torch.long))
    guess = estimate_training_state(config, mode, Batch(2, 40, scored=9), rank=32, number_bytes=2)
    assert loss.requires_grad and guess.activations == pytest.approx(saved.bytes, rel=1e-5)


def test_the_7b_table_stands_beside_what_was_published():
    rows = {(row["mode"], row["batch"], row["checkpointing"]): row for row in openvla_7b_table()}
    assert rows["full", 1, False]["weights_gb"] == pytest.approx(PUBLISHED["weights in bfloat16"], abs=0.05)
    at_16, at_1 = rows["lora", 16, False]["total_gb"], rows["lora", 1, False]["total_gb"]
    assert 0.6 * PUBLISHED["LoRA, rank 32, batch 16"] < at_16 < PUBLISHED["LoRA, rank 32, batch 16"]
    assert 0.6 * PUBLISHED["LoRA, rank 32, at least"] < at_1 < PUBLISHED["LoRA, rank 32, at least"]
    assert rows["qlora", 1, True]["total_gb"] < 8 < rows["qlora", 1, False]["total_gb"]
    for row in rows.values():
        parts = [value for name, value in row.items() if name.endswith("_gb") and name != "total_gb"]
        assert row["total_gb"] == pytest.approx(sum(parts), abs=0.05)


def test_storages_count_once_however_many_look_at_them():
    one = torch.zeros(10, 10)
    assert len(storages([one, one.T, one[3:], one.view(-1)])) == 1 and len(storages([one, one.clone()])) == 2
    x = torch.randn(8, 8, requires_grad=True)
    with Saved(storages([x])) as saved:
        y = x * x
        z = y.exp() * y
    assert saved.bytes == 2 * 8 * 8 * 4 and z.requires_grad, "y and exp(y); x is known"


def test_measuring_leaves_the_model_able_to_train():
    model, inputs = nano().train(), nano_inputs(batch=2)
    model.activation_checkpointing_enable()
    optimizer = torch.optim.AdamW(model.parameters())

    def loss():
        return model(**inputs, labels=inputs["input_ids"], use_cache=False).loss

    blocks = [module for module in model.modules() if "_gradient_checkpointing_func" in vars(module)]
    before = [block._gradient_checkpointing_func for block in blocks]
    measure_training_state(model, loss, optimizer)
    assert blocks and [block._gradient_checkpointing_func for block in blocks] == before
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    assert len(gradients) > 50


def test_other_modes_are_refused(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match="full, lora, qlora, head, not 'prefix'"):
        estimate_training_state(nano_config(), "prefix", Batch(1, 9))
