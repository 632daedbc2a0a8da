"""NF4 against hand-worked numbers and against bitsandbytes, bit for bit."""

import pytest
import torch
from bitsandbytes.functional import create_dynamic_map, dequantize_4bit, get_4bit_type, quantize_4bit
from openvla_reference import nano, nano_inputs
from torch import nn

from vla_course.adapters.lora import LoRAConfig, LoRALinear, adapters, dense_weight, inject, merge
from vla_course.adapters.nf4 import (
    LEVELS,
    bits_per_parameter,
    dequantize_nf4,
    nf4_codebook,
    pack,
    quantize_nf4,
    unpack,
)
from vla_course.adapters.nf4_linear import (
    DYNAMIC,
    NF4Linear,
    dequantize_scales,
    quantize_layers,
    quantize_scales,
)

WEIGHTS = [
    ("normal", lambda random: torch.randn(128, 384, generator=random)),
    ("small", lambda random: torch.randn(256, 128, generator=random) * 1e-4),
    ("uniform", lambda random: torch.rand(64, 512, generator=random) - 0.5),
    ("heavy tails", lambda random: torch.randn(128, 128, generator=random) ** 5),
    ("some blocks of zeros", lambda random: torch.randn(64, 128, generator=random).relu().round()),
]


@pytest.fixture(params=WEIGHTS, ids=[name for name, _ in WEIGHTS])
def weights(request):
    return request.param[1](torch.Generator().manual_seed(0))


def test_levels_are_the_published_ones_to_the_last_bit():
    levels = nf4_codebook()
    assert torch.equal(levels, get_4bit_type("nf4", device="cpu"))
    assert levels[7] == 0 and (levels[0], levels[15]) == (-1, 1) and torch.equal(levels, levels.sort().values)


def test_worked_by_hand():
    weights = torch.tensor([0.1, -0.4, 0.2, 0.05, 3, -6, 0.5, 1])
    codes, absmax = quantize_nf4(weights, block=4)
    assert codes.tolist() == [[10, 0, 12, 9], [12, 0, 8, 9]]
    assert absmax.tolist() == pytest.approx([0.4, 6])
    back = dequantize_nf4(torch.tensor([[15, 0, 7, 9]], dtype=torch.uint8), torch.tensor([0.4]))
    assert back[0].tolist() == pytest.approx([0.4, -0.4, 0, 0.0644], abs=1e-4)


def test_codes_scales_and_weights_equal_bitsandbytes_bit_for_bit(weights):
    theirs, state = quantize_4bit(weights, blocksize=64, quant_type="nf4")
    codes, absmax = quantize_nf4(weights)
    assert torch.equal(pack(codes), theirs.flatten())
    assert torch.equal(absmax, state.absmax)
    assert torch.equal(dequantize_nf4(codes, absmax).reshape(weights.shape), dequantize_4bit(theirs, state))


def test_other_block_sizes_too():
    weights = torch.randn(64, 512, generator=torch.Generator().manual_seed(1))
    for block in (32, 128, 256):
        theirs, state = quantize_4bit(weights, blocksize=block, quant_type="nf4")
        codes, absmax = quantize_nf4(weights, block)
        assert torch.equal(pack(codes), theirs.flatten()) and torch.equal(absmax, state.absmax)


def test_double_quantisation_gives_the_same_codes_but_for_neighbours():
    assert torch.equal(DYNAMIC, create_dynamic_map())
    random = torch.Generator().manual_seed(0)
    weights = torch.randn(1024, 1024, generator=random) * torch.rand(1024, 1, generator=random)
    _, state = quantize_4bit(weights, quant_type="nf4", compress_statistics=True)
    ours = quantize_scales(quantize_nf4(weights)[1])
    apart = (ours.codes.int() - state.absmax.flatten().int()).abs()
    assert len(apart) == 16_384 and (apart == 0).float().mean() >= 0.99 and apart.max() <= 1
    assert torch.equal(ours.offset, state.offset) and torch.equal(ours.absmax, state.state2.absmax)
    exact = quantize_nf4(weights)[1]
    assert ((dequantize_scales(ours) - exact).abs() / exact.max()).max() < 0.01


def test_the_last_group_of_scales_may_be_short():
    absmax = torch.rand(300, generator=torch.Generator().manual_seed(0)) + 0.1
    scales = quantize_scales(absmax)
    assert len(scales.codes) == 300 and len(scales.absmax) == 2
    torch.testing.assert_close(dequantize_scales(scales), absmax, atol=0.02, rtol=0)


def test_packing_and_back():
    codes = torch.randint(0, 16, (6, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(unpack(pack(codes)), codes) and pack(codes).numel() == codes.numel() // 2


def test_levels_are_never_farther_than_half_a_gap():
    weights = torch.linspace(-1, 1, 64 * 100)
    error = (dequantize_nf4(*quantize_nf4(weights, block=6400)).flatten() - weights).abs()
    assert error.max() <= LEVELS.diff().max() / 2 + 1e-6


def test_bits_of_storage_are_those_of_the_formula():
    assert bits_per_parameter(64) == 4.5 and bits_per_parameter(64, 256) == 4.126953125
    layer = nn.Linear(512, 512, bias=False)
    for double, wanted in ((False, bits_per_parameter(64)), (True, bits_per_parameter(64, 256))):
        buffers = NF4Linear(layer, double=double).buffers()
        stored = sum(8 * buffer.nbytes for buffer in buffers if buffer.ndim)
        assert stored / layer.weight.numel() == wanted


def test_weights_that_leave_a_block_unfilled_are_refused():
    with pytest.raises(ValueError, match="whole blocks of 64 weights, got 100"):
        quantize_nf4(torch.ones(10, 10))


# A layer that computes with four bits.


def test_a_quantised_layer_is_its_dequantised_weight():
    torch.manual_seed(0)
    layer = nn.Linear(128, 64)
    small = NF4Linear(layer, double=False)
    state = quantize_4bit(layer.weight.data, quant_type="nf4")
    assert torch.equal(small.weight, dequantize_4bit(*state))
    x = torch.randn(3, 5, 128)
    torch.testing.assert_close(small(x), nn.functional.linear(x, small.weight, layer.bias))
    assert small(x.bfloat16()).dtype == torch.bfloat16


def test_inputs_get_the_gradient_of_the_dequantised_weight_and_weights_get_none():
    torch.manual_seed(0)
    small = NF4Linear(nn.Linear(128, 64))
    x = torch.randn(3, 128, requires_grad=True)
    (small(x) ** 2).sum().backward()
    wanted = torch.autograd.grad((nn.functional.linear(x, small.weight, small.bias) ** 2).sum(), x)[0]
    torch.testing.assert_close(x.grad, wanted)
    assert not any(parameter.requires_grad for parameter in small.parameters())


def test_no_full_weight_is_kept_for_the_way_back():
    small, kept = NF4Linear(nn.Linear(256, 256, bias=False)), []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor.numel()), lambda _: None):
        small(torch.randn(1, 256, requires_grad=True))
    assert kept == []


def test_your_own_functions_are_the_ones_that_run():
    layer = nn.Linear(64, 64)
    zero = NF4Linear(layer, dequantize=lambda codes, absmax: torch.zeros(codes.shape))
    assert not zero.weight.any()
    one = NF4Linear(
        layer,
        double=False,
        quantize=lambda w, b: (torch.full((64, 64), 15, dtype=torch.uint8), torch.ones(64)),
    )
    assert (one.weight == 1).all()


def test_your_own_functions_run_in_a_whole_model():
    silent, lowest = nano(), nano()
    quantize_layers(silent, dequantize=lambda codes, absmax: torch.zeros(codes.shape))

    def always_code_0(weights, block):
        codes, absmax = quantize_nf4(weights, block)
        return torch.zeros_like(codes), absmax

    quantize_layers(lowest, quantize=always_code_0)
    for model, holds in (
        (silent, lambda weight: not weight.any()),
        (lowest, lambda weight: (weight < 0).all()),
    ):
        weights = [layer.weight for layer in model.modules() if isinstance(layer, NF4Linear)]
        assert len(weights) > 50 and all(holds(weight) for weight in weights)


def test_lora_wraps_it_and_merging_gives_a_plain_layer():
    torch.manual_seed(0)
    adapted = LoRALinear(NF4Linear(nn.Linear(128, 64)), LoRAConfig(rank=4, alpha=8))
    adapted.lora_B.data.normal_()
    x = torch.randn(5, 128)
    wanted = adapted(x)
    torch.testing.assert_close(nn.functional.linear(x, adapted.merged(), adapted.base_layer.bias), wanted)
    assert torch.equal(dense_weight(adapted.base_layer), adapted.base_layer.weight)


def test_qlora_from_scratch_on_the_whole_model():
    model, inputs = nano(), nano_inputs(batch=2)
    exact = model(**inputs).logits
    names = quantize_layers(model)
    assert len(names) == 2 * 7 + 2 * 3 * 6 + 3 + 2, "what bitsandbytes quantises too, and not the head"
    apart = (model(**inputs).logits - exact).std() / exact.std()
    assert 0 < apart < 0.5
    inject(model, LoRAConfig(rank=4, alpha=8))
    assert len(adapters(model)) == len(names) + 3, "the head and two patch convolutions are adapted as well"
    loss = model(**inputs, labels=inputs["input_ids"]).loss
    loss.backward()
    reached = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert reached and all(".lora_" in name for name in reached)
    before = model(**inputs).logits
    merge(model)
    torch.testing.assert_close(model(**inputs).logits, before, atol=1e-3, rtol=1e-3)
