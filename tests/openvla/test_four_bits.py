"""Four bits on a CPU: bitsandbytes' own codes, layers left alone that it would compute wrongly, and a file of all that."""

import json
import logging
import shutil

import bitsandbytes
import numpy as np
import pytest
import torch
from openvla_reference import inputs, nano, nano_inputs, reference_folder
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import BitsAndBytesConfig

from vla_course.adapters.lora import NANO_SMALL, dense_weight, inject
from vla_course.openvla import checkpoint, four_bits
from vla_course.openvla.load import load_vla
from vla_course.openvla.model import OpenVLAForActionPrediction

NF4 = BitsAndBytesConfig(
    load_in_4bit=True,
    bnb_4bit_quant_type="nf4",
    bnb_4bit_use_double_quant=True,
    bnb_4bit_compute_dtype=torch.float32,
)


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    folder = tmp_path_factory.mktemp("full")
    nano().save_pretrained(folder)
    return folder


@pytest.fixture
def small(full, tmp_path):
    """The same model, saved in four bits."""
    load_vla(path=full, bits=4).save_pretrained(tmp_path / "small")
    return tmp_path / "small"


def load(folder, **options):
    return OpenVLAForActionPrediction.from_pretrained(folder, **options)


# Quantising.


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("double", [True, False])
def test_codes_and_scales_are_those_of_bitsandbytes(dtype, double):
    weights = torch.randn(3 * 128, 5 * 128, generator=torch.Generator().manual_seed(0)).to(dtype)
    weights[:, :64] = 0  # blocks without a scale
    packed, state = bitsandbytes.functional.quantize_4bit(
        weights, compress_statistics=double, quant_type="nf4"
    )
    theirs = {"": packed, **{f".{part}": tensor for part, tensor in state.as_dict(packed=True).items()}}
    ours = four_bits.stored(weights, double=double)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[part], theirs[part]) for part in ours)
    assert weights.numel() > four_bits.CHUNK * 64, "more than one chunk"


@pytest.mark.parametrize(
    ("widths", "kept"), [((32, 48, 96, 160, 224, 344, 4304), True), ((64, 128, 1152, 4096, 11008), False)]
)
def test_widths_that_a_cpu_computes_wrongly_are_kept(widths, kept):
    model = nn.ModuleDict({f"from_{width}": nn.Linear(width, 64, device="meta") for width in widths})
    assert four_bits.kept_on_cpu(model) == (list(model) if kept else [])


def test_layers_of_other_widths_stay_and_are_named(caplog):
    """The published code's tiny model has widths of 72, 269, 136 and 544."""
    with caplog.at_level(logging.WARNING):
        model = load(reference_folder(), quantization_config=NF4, dtype=torch.float32)
    assert "siglip.encoder.layers.0…3.mlp.fc1 (72)" in caplog.text and "projector.fc2 (544)" in caplog.text
    plain = load(reference_folder(), dtype=torch.float32)
    kinds = {name: type(layer).__name__ for name, layer in model.named_modules()}
    with torch.no_grad():
        for name, layer in plain.named_modules():
            if type(layer) is nn.Linear:
                left_alone = layer.in_features % 64 or name.endswith("lm_head")
                assert kinds[name] == ("Linear" if left_alone else "Linear4bit")
                layer.weight.copy_(dense_weight(model.get_submodule(name)))
        ids = torch.tensor([[1, 306, 29871]])
        given = dict(
            input_ids=ids, attention_mask=torch.ones_like(ids), pixel_values=inputs()["pixel_values"][:1]
        )
        torch.testing.assert_close(model(**given).logits, plain(**given).logits, atol=2e-3, rtol=1e-3)
    assert "Linear4bit" in kinds.values() and {p.dtype for p in model.parameters()} == {
        torch.float32,
        torch.uint8,
    }


def test_a_bar_shows_how_far_quantising_is(full, capsys):
    load(full, quantization_config=NF4)
    assert "Quantising to four bits: 100%" in capsys.readouterr().err


def test_a_weight_is_read_alone(full, monkeypatch):
    name = "vision_backbone.featurizer.blocks.1.attn.qkv.weight"
    whole, opened = load_file(full / "model.safetensors")[name], []
    parts = checkpoint.tensors_on_disk(full)[name].chunk(3)
    safe_open = checkpoint.safe_open
    monkeypatch.setattr(
        checkpoint, "safe_open", lambda *given, **how: opened.append(1) or safe_open(*given, **how)
    )
    monkeypatch.setattr(checkpoint, "REOPEN", 2 * whole.nbytes)
    for part, rows in zip(parts, whole.chunk(3), strict=True):
        assert part.shape == rows.shape and torch.equal(part[...], rows)
        assert part[...].untyped_storage().nbytes() == rows.nbytes
    assert len(opened) == 3, "six readings, two between two openings"


# Saving and loading.


def test_saved_in_four_bits_it_is_the_same_model_in_less_space(full, small):
    model, again = load_vla(path=full, bits=4), load_vla(path=small)
    picture = np.full((40, 40, 3), 90, np.uint8)
    with torch.no_grad():
        assert torch.equal(again(**nano_inputs()).logits, model(**nano_inputs()).logits)
    assert (again.predict_action(picture, "touch") == model.predict_action(picture, "touch")).all()
    assert (
        type(again.projector.fc1).__name__ == "Linear4bit" and type(again.language_model.lm_head) is nn.Linear
    )
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (small, full)]
    assert sizes[0] < 0.6 * sizes[1]
    said = json.loads((small / "config.json").read_text())["quantization_config"]
    assert said["load_in_4bit"] and "language_model.lm_head" in said["llm_int8_skip_modules"]
    again.save_pretrained(small / "twice")
    assert (
        load_file(small / "model.safetensors").keys()
        == load_file(small / "twice" / "model.safetensors").keys()
    )


def test_bits_may_be_named_again_and_no_others(small):
    assert type(load_vla(path=small, bits=4).projector.fc1).__name__ == "Linear4bit"
    with pytest.raises(ValueError, match="stored in 4 bits and cannot be loaded in 8"):
        load_vla(path=small, bits=8)
    with pytest.raises(ValueError, match="quantised already: leave quantization_config out"):
        load(small, quantization_config=NF4)


def test_a_layer_that_stayed_in_full_stays_so_on_disk(tmp_path):
    model = load(reference_folder(), quantization_config=NF4)
    model.save_pretrained(tmp_path)
    said = json.loads((tmp_path / "config.json").read_text())["quantization_config"]
    assert "vision_backbone.siglip.encoder.layers.0.mlp.fc2" in said["llm_int8_skip_modules"]
    again = load(tmp_path)
    assert again.vision_backbone.siglip.encoder.layers[0].mlp.fc2.weight.dtype == torch.bfloat16
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), model.parameters(), strict=True))


def test_shards_of_four_bits(full, small, tmp_path):
    load_vla(path=small).save_pretrained(tmp_path, max_shard_size="100KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 2
    with torch.no_grad():
        wanted = load_vla(path=small)(**nano_inputs()).logits
        assert torch.equal(load_vla(path=tmp_path)(**nano_inputs()).logits, wanted)


def test_what_does_not_fit_is_named(small):
    tensors = load_file(small / "model.safetensors")
    del tensors["projector.fc1.weight.absmax"]
    tensors["projector.fc2.weight"] = tensors["projector.fc2.weight"][:-1].clone()
    save_file(tensors, small / "model.safetensors")
    with pytest.raises(ValueError) as error:
        load(small)
    assert "missing: projector.fc1.weight.absmax" in str(error.value)
    assert "wrong shape: projector.fc2.weight is" in str(error.value)


def test_what_only_a_gpu_computes_rightly_is_refused_on_a_cpu(tmp_path):
    folder = shutil.copytree(reference_folder(), tmp_path / "copy")
    content = json.loads((folder / "config.json").read_text())
    content["quantization_config"] = {**NF4.to_dict(), "llm_int8_skip_modules": ["language_model.lm_head"]}
    (folder / "config.json").write_text(json.dumps(content))
    packed = {"projector.fc1.weight.quant_state.bitsandbytes__nf4": torch.zeros(8, dtype=torch.uint8)}
    save_file(load_file(folder / "model.safetensors") | packed, folder / "model.safetensors")
    with pytest.raises(
        ValueError, match=r"30 layers were quantised on a GPU.*projector.fc1 \(136\).*bits=4 on the CPU"
    ):
        load(folder)
    content["quantization_config"]["bnb_4bit_quant_type"] = "fp4"
    (folder / "config.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="not in bitsandbytes' NF4"):
        load(folder)


def test_what_has_no_such_form_is_not_saved(full, tmp_path):
    model = load_vla(path=full, bits=8)
    with pytest.raises(ValueError, match="save before quantising"):
        model.save_pretrained(tmp_path / "eight")
    model = load_vla(path=full, bits=4)
    inject(model, NANO_SMALL)
    with pytest.raises(ValueError, match="no place for adapters"):
        model.save_pretrained(tmp_path / "adapted")
    assert not list(tmp_path.iterdir())
