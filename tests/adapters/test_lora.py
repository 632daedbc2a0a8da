"""The laws of LoRA, worked by hand, on the nano, and over the published shapes."""

import copy
import math

import jaxtyping
import pytest
import torch
from openvla_reference import contract, nano, nano_inputs
from torch import nn

from vla_course.adapters.lora import (
    LoRAConfig,
    LoRAConv2d,
    LoRALinear,
    adaptable_layers,
    adapters,
    inject,
    lora_parameter_count,
    merge,
    remove,
    unmerge,
    weight_shape,
)
from vla_course.openvla.published import our_lora_shapes, published_lora_shapes

SMALL = LoRAConfig(rank=4, alpha=16)


def worked_layer() -> LoRALinear:
    base = nn.Linear(3, 2, bias=False)
    base.weight.data = torch.tensor([[1.0, 2, 0], [0, 1, 1]])
    layer = LoRALinear(base, LoRAConfig(rank=2, alpha=4))
    layer.lora_A.data = torch.tensor([[1.0, 0, 1], [0, 1, 0]])
    layer.lora_B.data = torch.tensor([[2.0, 0], [1, 1]])
    return layer


def trained_a_little(model: nn.Module, seed: int = 0) -> nn.Module:
    """B is no longer zero."""
    random = torch.Generator().manual_seed(seed)
    for adapter in adapters(model).values():
        adapter.lora_B.data = torch.randn(adapter.lora_B.shape, generator=random) * 0.02
    return model


def answers(model: nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model(**nano_inputs(batch=2)).logits


def test_worked_by_hand():
    layer = worked_layer()
    assert layer(torch.tensor([[1.0, 1, 2]])).tolist() == [[15.0, 11.0]]
    assert layer.merged().tolist() == [[5.0, 2, 4], [2, 3, 3]]


def test_a_bias_is_added_once():
    base = nn.Linear(3, 2)
    layer = LoRALinear(base, SMALL)
    layer.lora_B.data.normal_()
    x = torch.randn(5, 3)
    wanted = nn.functional.linear(x, layer.merged(), base.bias)
    torch.testing.assert_close(layer(x), wanted)


def test_a_fresh_adapter_changes_nothing():
    model = nano()
    before = answers(model)
    names = inject(model, SMALL)
    assert list(adapters(model)) == names and len(names) > 40
    assert torch.equal(answers(model), before)


def test_start_values_are_gaussian_with_one_over_rank_and_zero():
    layer = LoRALinear(nn.Linear(4096, 64), LoRAConfig(rank=8, alpha=16))
    assert layer.lora_A.std().item() == pytest.approx(1 / 8, rel=0.02)
    assert abs(layer.lora_A.mean().item()) < 0.002 and not layer.lora_B.any()


def test_a_seed_decides_the_start_values():
    layers = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        layers.append(LoRALinear(nn.Linear(6, 4, device="meta").to_empty(device="cpu"), SMALL).lora_A)
    assert torch.equal(layers[0], layers[1]) and not torch.equal(layers[0], layers[2])


@pytest.mark.parametrize("stride", [7, 3])
def test_a_convolution_and_its_merged_kernel_agree(stride):
    torch.manual_seed(0)
    base = nn.Conv2d(3, 16, 7, stride=stride, padding="valid" if stride == 7 else 2)
    layer = LoRAConv2d(base, SMALL)
    layer.lora_B.data.normal_()
    assert layer.lora_A.shape == (4, 3, 7, 7) and layer.lora_B.shape == (16, 4, 1, 1)
    x = torch.randn(2, 3, 28, 28)
    wanted = nn.functional.conv2d(x, layer.merged(), base.bias, base.stride, base.padding)
    torch.testing.assert_close(layer(x), wanted, atol=1e-4, rtol=1e-4)


def test_grouped_convolutions_are_refused():
    with pytest.raises(ValueError, match="in groups"):
        LoRAConv2d(nn.Conv2d(4, 4, 3, groups=2), SMALL)


def test_only_adapters_get_gradients_and_what_never_runs_gets_none():
    model = nano()
    inject(model, SMALL)
    trained_a_little(model)
    inputs = nano_inputs(batch=2)
    model(**inputs, labels=inputs["input_ids"]).loss.backward()
    reached = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert reached and all(name.endswith((".lora_A", ".lora_B")) for name in reached)
    silent = {name.rpartition(".lora_")[0] for name in trainable(model) - reached}
    last_blocks = ("dinov2.encoder.layer.2.", "siglip.encoder.layers.2.", "siglip.head.")
    assert silent and all(any(block in name for block in last_blocks) for name in silent)


def trainable(model: nn.Module) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_with_b_at_zero_only_b_learns_at_first():
    layer = LoRALinear(nn.Linear(3, 2), SMALL)
    layer(torch.randn(5, 3)).sum().backward()
    assert not layer.lora_A.grad.any() and layer.lora_B.grad.any()
    assert layer.base_layer.weight.grad is None


def test_merged_equals_adapted_and_unmerging_brings_everything_back():
    model = nano()
    inject(model, SMALL)
    trained_a_little(model)
    before, weights = answers(model), {name: w.clone() for name, w in model.state_dict().items()}
    taken = merge(model)
    assert not adapters(model) and {type(m).__name__ for m in taken.values()} == {"LoRALinear", "LoRAConv2d"}
    torch.testing.assert_close(answers(model), before, atol=1e-4, rtol=1e-4)
    unmerge(model, taken)
    assert torch.equal(answers(model), before)
    assert all(torch.equal(weights[name], weight) for name, weight in model.state_dict().items())


def test_a_merged_model_is_saved_and_loaded_in_the_published_format(tmp_path):
    model = nano()
    inject(model, SMALL)
    trained_a_little(model)
    with pytest.raises(ValueError, match="merge"):
        model.save_pretrained(tmp_path / "adapted")
    before = answers(model)
    assert merge(model, keep=False) == {}
    model.save_pretrained(tmp_path)
    torch.testing.assert_close(answers(type(model).from_pretrained(tmp_path)), before, atol=1e-4, rtol=1e-4)


def test_removed_adapters_leave_the_model_as_it_was():
    model = nano()
    before, plain = answers(model), list(model.state_dict())
    inject(model, SMALL)
    trained_a_little(model)
    adapted = answers(model)
    taken = remove(model)
    assert torch.equal(answers(model), before) and list(model.state_dict()) == plain
    unmerge(model, taken)
    assert torch.equal(answers(model), adapted) and not torch.equal(adapted, before)


def test_an_adapted_model_acts():
    model = nano()
    image = torch.zeros(9, 9, 3, dtype=torch.uint8).numpy()
    before = model.predict_action(image, "touch")
    inject(model, SMALL)
    assert (model.predict_action(image, "touch") == before).all()


def test_targets_are_a_pattern_for_whole_names():
    model = nano()
    names = inject(model, LoRAConfig(rank=4, alpha=8, targets=r"language_model\..*\.[qv]_proj"))
    assert len(names) == 2 * 2 and all(name.startswith("language_model.model.layers.") for name in names)
    with pytest.raises(ValueError, match="adapters already"):
        inject(model, SMALL)
    with pytest.raises(ValueError, match="whole name matches 'q_proj'"):
        inject(nano(), LoRAConfig(targets="q_proj"))
    with pytest.raises(ValueError, match="regular expression"):
        inject(nano(), LoRAConfig(targets="*q"))


def test_attention_that_reads_past_its_output_layer_is_left_out():
    names = list(adaptable_layers(nano()))
    head = [name for name in names if ".head." in name]
    assert head == [f"vision_backbone.siglip.head.mlp.fc{n}" for n in (1, 2)]
    assert {"language_model.lm_head", "projector.fc2"} < set(names)
    assert "vision_backbone.dinov2.embeddings.patch_embeddings.projection" in names


@pytest.mark.parametrize("wrong", [{"rank": 0}, {"alpha": 0}, {"dropout": 1.0}, {"alpha": -1.0}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match="want rank"):
        LoRAConfig(**wrong)


def test_dropout_acts_on_the_correction_and_only_in_training():
    torch.manual_seed(0)
    layer = LoRALinear(nn.Linear(64, 8), LoRAConfig(rank=4, alpha=4, dropout=0.5))
    x = torch.randn(3, 64)
    assert torch.equal(layer.train()(x), layer.eval()(x)), "B is zero: there is nothing to drop"
    layer.lora_B.data.normal_()
    assert not torch.equal(layer.train()(x), layer.eval()(x))
    torch.testing.assert_close(layer(x), nn.functional.linear(x, layer.merged(), layer.base_layer.bias))


def test_in_bfloat16_the_adapters_stay_in_float32():
    model = nano().to(torch.bfloat16)
    inject(model, SMALL)
    trained_a_little(model)
    assert {p.dtype for p in model.parameters() if p.requires_grad} == {torch.float32}
    assert answers(model).dtype == torch.bfloat16
    merge(model)
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}


def test_the_layer_is_the_one_that_is_given():
    class Louder(LoRALinear):
        def forward(self, x):
            return 2 * super().forward(x)

    model, quiet = nano(), nano()
    before = answers(quiet)
    inject(model, SMALL, layer=Louder)
    assert not torch.allclose(answers(model), before)


# How many numbers are trained.


def test_one_llama_block_and_a_patch_convolution():
    block = [(4096, 4096)] * 4 + [(11008, 4096)] * 2 + [(4096, 11008)]
    assert lora_parameter_count(block, 32) == 2_498_560
    assert lora_parameter_count([(1024, 3, 14, 14)], 32) == 51_584


def test_the_published_recipe_trains_110_million_numbers():
    shapes = published_lora_shapes()
    assert len(shapes) == 439
    count = lora_parameter_count(shapes.values(), 32)
    assert count == 110_828_288 and count + contract()["num_parameters"] == 7_652_065_472


def test_ours_trains_more_because_queries_keys_and_values_are_apart():
    def count(shapes: dict, part: str, without: str = "nothing") -> int:
        return lora_parameter_count(
            (shape for name, shape in shapes.items() if name.startswith(part) and without not in name), 32
        )

    published, ours = published_lora_shapes(), our_lora_shapes()
    towers = "vision_backbone."
    dinov2 = (count(published, towers + "featurizer.blocks"), count(ours, towers + "dinov2.encoder"))
    siglip = (count(published, towers + "fused_featurizer.blocks"), count(ours, towers + "siglip.encoder"))
    assert dinov2 == (12_582_912, 14_155_776)
    assert siglip == (15_399_936, 15_399_936 + 1_990_656)
    pooled_attention = count(published, towers + "fused_featurizer.attn_pool", without="mlp")
    assert count(published, "projector") == count(ours, "projector") == 1_019_904
    assert count(published, "language_model") == count(ours, "language_model") == 79_953_920 + 1_157_120
    more = dinov2[1] - dinov2[0] + siglip[1] - siglip[0] - pooled_attention
    assert lora_parameter_count(ours.values(), 32) == 110_828_288 + more


def test_the_count_is_what_is_injected():
    model = nano()
    shapes = [weight_shape(layer) for layer in adaptable_layers(model).values()]
    inject(model, SMALL)
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    assert trained == lora_parameter_count(shapes, SMALL.rank)
    assert trained == sum(4 * (math.prod(shape[1:]) + shape[0]) for shape in shapes)


def test_a_copy_is_a_model_of_its_own():
    model = nano()
    inject(model, SMALL)
    other = copy.deepcopy(model)
    trained_a_little(other)
    assert not any(adapter.lora_B.any() for adapter in adapters(model).values())


def test_weights_on_no_device_take_adapters_too(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with torch.device("meta"):
        layer = LoRALinear(nn.Linear(8, 4), SMALL)
    assert layer.lora_A.device.type == "meta" and layer(torch.empty(2, 8, device="meta")).shape == (2, 4)
