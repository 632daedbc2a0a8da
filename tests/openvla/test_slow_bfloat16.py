"""Processors that cannot multiply bfloat16: the same model, quicker."""

import pytest
import torch
from openvla_reference import nano, nano_inputs
from torch import nn

from vla_course.openvla import load
from vla_course.openvla.load import load_vla
from vla_course.openvla.slow_bfloat16 import ROWS, Float32Linear, compute_in_float32


@pytest.mark.parametrize("bias", [True, False])
def test_many_rows_are_multiplied_in_float32_and_few_as_before(bias, monkeypatch):
    torch.manual_seed(0)
    plain = nn.Linear(64, 96, bias=bias, dtype=torch.bfloat16)
    layer = Float32Linear(64, 96, bias=bias, dtype=torch.bfloat16)
    layer.load_state_dict(plain.state_dict())
    many, few = torch.randn(2, ROWS, 64).bfloat16(), torch.randn(1, 3, 64).bfloat16()
    exact = nn.functional.linear(many.double(), plain.weight.double(), plain.bias.double() if bias else None)
    assert torch.equal(layer(few), plain(few))
    assert (
        torch.equal(layer(many), exact.bfloat16())
        or (layer(many) - exact).abs().max() < 2**-7 * exact.abs().max()
    )
    types = []
    linear = nn.functional.linear
    monkeypatch.setattr(nn.functional, "linear", lambda x, *rest: types.append(x.dtype) or linear(x, *rest))
    layer(many), layer(few)
    assert types == [torch.float32, torch.bfloat16]


def test_a_model_keeps_its_weights_and_says_the_same(tmp_path):
    model, quick = nano().bfloat16(), nano().bfloat16()
    compute_in_float32(quick)
    kinds = {type(layer) for layer in quick.modules()}
    assert Float32Linear in kinds and nn.Linear not in kinds
    assert model.state_dict().keys() == quick.state_dict().keys()
    wanted = nano()(**nano_inputs(length=30)).logits
    distance = [(m(**nano_inputs(length=30)).logits - wanted).abs().mean() for m in (model, quick)]
    assert distance[1] <= 1.05 * distance[0], "no further from the exact answer than bfloat16 itself"


@pytest.mark.parametrize("able", [True, False])
def test_7b_on_a_cpu_computes_as_the_processor_can(able, tmp_path, monkeypatch):
    nano().save_pretrained(tmp_path)
    monkeypatch.setattr(load, "multiplies_bfloat16", lambda: able)
    model = load_vla("7b", path=tmp_path, device="cpu", bits=4)
    assert model.projector.fc1.compute_dtype == (torch.bfloat16 if able else torch.float32)
    assert (type(model.language_model.lm_head) is Float32Linear) != able
    model.save_pretrained(tmp_path / "small")
    again = load_vla("7b", path=tmp_path / "small", device="cpu")
    assert type(again.projector.fc1).__name__ == "Linear4bit"
