"""What openvla-7b needs is known, and said, before anything of it is loaded."""

import pytest
import torch
from openvla_reference import nano, nano_config

from vla_course import results
from vla_course.adapters.nf4 import bits_per_parameter
from vla_course.openvla import load, memory_plan
from vla_course.openvla.config import OpenVLAConfig
from vla_course.openvla.load import load_vla
from vla_course.openvla.memory_plan import plan, refuse_if_short
from vla_course.openvla.model import OpenVLAForActionPrediction

IN_SIGLIP = (27 + 1) * 4304 * 1152
"""Weights of the layers with 4304 inputs: one in each block, one in the pooling."""


@pytest.fixture(scope="module")
def plans():
    asked: list[tuple] = [(None, "cpu"), (4, "cpu"), (4, "cuda")]
    return {(bits, device): plan(OpenVLAConfig(), bits=bits, device=device) for bits, device in asked}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nano")
    nano().save_pretrained(folder)
    return folder


def test_in_bfloat16_each_parameter_takes_two_bytes(plans):
    whole = plans[None, "cpu"]
    assert whole.parameters == 7_541_237_184
    assert whole.weights_gb == pytest.approx(2 * 7.541237184, rel=1e-5)
    assert whole.kept == ()
    half, full = (plan(nano_config(), dtype=dtype).weights_gb for dtype in (torch.bfloat16, torch.float32))
    assert full == 2 * half


def test_in_four_bits_siglips_odd_layers_stay_on_a_cpu(plans):
    here, there = plans[4, "cpu"], plans[4, "cuda"]
    assert here.total_gb <= 7 and there.total_gb < here.total_gb
    saved = 2 - bits_per_parameter(64, 256) / 8
    assert here.weights_gb - there.weights_gb == pytest.approx(IN_SIGLIP * saved / 1e9, rel=1e-6)
    blocks = [f"vision_backbone.siglip.encoder.layers.{n}.mlp.fc2" for n in range(27)]
    assert here.kept == (*blocks, "vision_backbone.siglip.head.mlp.fc2") and there.kept == ()


def test_the_plan_is_what_the_weights_really_take(folder):
    for bits in (None, 4):
        model = load_vla(path=folder, bits=bits, device="cpu")
        tensors = {
            name: t
            for name, t in model.state_dict().items()
            if "quant_map" not in name and "quant_state" not in name
        }
        taken = sum(tensor.nbytes for tensor in tensors.values())
        counted = plan(nano_config(), bits=bits, dtype=torch.float32).weights_gb * 1e9
        assert counted == pytest.approx(taken, rel=0.01)


def test_it_says_so_in_words(plans):
    assert str(plans[None, "cpu"]).startswith("7,541,237,184 parameters in bfloat16: 15.1 GB of weights, ")
    assert str(plans[4, "cpu"]).startswith(
        "7,541,237,184 parameters in 4 bits (28 layers stay in bfloat16): 4.5 GB of weights"
    )
    assert str(plans[4, "cuda"]).endswith("on cuda") and "stay" not in str(plans[4, "cuda"])


def test_too_little_memory_is_one_line_with_both_numbers(plans):
    refuse_if_short(plans[None, "cpu"], 20)
    with pytest.raises(
        RuntimeError, match=r"^16\.\d GB of memory are needed on cpu and 8\.0 GB are free: .*bits=4$"
    ):
        refuse_if_short(plans[None, "cpu"], 8)
    with pytest.raises(RuntimeError, match=r"4\.0 GB are free: close other programs$"):
        refuse_if_short(plans[4, "cpu"], 4)


def test_7b_is_loaded_on_a_cpu_where_memory_suffices(folder, monkeypatch, capsys):
    """The nano stands in for the weights; what is printed and in which order is the same."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    model = load_vla("7b", path=folder, device="cpu", bits=4)
    assert (
        type(model.projector.fc1).__name__ == "Linear4bit"
        and model.language_model.lm_head.weight.dtype == torch.bfloat16
    )
    assert "parameters in 4 bits: " in capsys.readouterr().out
    assert load_vla("7b", path=folder, device="cpu").dtype == torch.bfloat16
    model.save_pretrained(folder / "small")
    capsys.readouterr()
    again = load_vla("7b", path=folder / "small", device="cpu")
    assert type(again.projector.fc1).__name__ == "Linear4bit"
    assert "parameters in 4 bits: " in capsys.readouterr().out, (
        "the folder says in how many bits its weights are"
    )


def test_nothing_is_loaded_where_memory_is_short(folder, monkeypatch, capsys):
    monkeypatch.setattr(memory_plan, "free_gb", lambda device: 0.5)
    monkeypatch.setattr(OpenVLAForActionPrediction, "from_pretrained", lambda *_, **__: pytest.fail("loaded"))
    with pytest.raises(RuntimeError, match=r"are needed on cpu and 0\.5 GB are free"):
        load_vla("7b", path=folder, device="cpu")
    assert "parameters in bfloat16" in capsys.readouterr().out


def test_who_has_no_gpu_is_told_of_the_cpu(folder, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RuntimeError, match="device='cpu'"):
        load_vla("7b", path=folder)
    assert load.find_7b(folder, device="cpu") == folder


def test_the_plan_covers_what_was_measured(plans):
    rows = {row["what"]: row["measured"] for row in results.read("openvla_7b/laptop").values["rows"]}
    assert rows["bfloat16: peak memory"] <= plans[None, "cpu"].total_gb
    assert max(rows["4 bits: peak memory"], rows["4 bits, saved: peak memory"]) <= plans[4, "cpu"].total_gb
