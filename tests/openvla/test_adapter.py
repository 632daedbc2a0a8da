"""Adapters of the published, fused layout, and how many numbers they train."""

import copy
import json
import math

import pytest
import torch
from openvla_reference import contract, nano, reference_model
from safetensors.torch import load_file, save_file

from vla_course.openvla import checkpoint
from vla_course.openvla.adapter import LowRank, _by_our_names, merge_adapter, read_adapter
from vla_course.openvla.config import OpenVLAConfig
from vla_course.openvla.model import OpenVLAForActionPrediction

RANK, ALPHA = 32, 16


def adapted_modules(shapes: dict) -> dict[str, list[int]]:
    """What upstream's recipe reaches: every linear layer, and the patch convolutions, but no table of words or positions."""
    weights = {
        name.removesuffix(".weight"): shape for name, shape in shapes.items() if name.endswith(".weight")
    }
    return {name: s for name, s in weights.items() if len(s) in (2, 4) and not name.endswith("embed_tokens")}


def low_rank_shapes(shape) -> tuple[list[int], list[int]]:
    """A and B as peft makes them: a convolution's A has the kernel, its B is one pixel wide."""
    return [RANK, *shape[1:]], [shape[0], RANK, *([1, 1] if len(shape) == 4 else [])]


def write_adapter(folder, shapes, **settings):
    random = torch.Generator().manual_seed(0)
    tensors = {}
    for module, shape in adapted_modules(shapes).items():
        for side, size in zip("AB", low_rank_shapes(shape), strict=True):
            tensor = torch.randn(size, generator=random) / math.sqrt(size[1] * 10)
            tensors[f"base_model.model.{module}.lora_{side}.weight"] = tensor
    save_file(tensors, folder / "adapter_model.safetensors")
    config = {
        "peft_type": "LORA",
        "r": RANK,
        "lora_alpha": ALPHA,
        "bias": "none",
        "target_modules": "all-linear",
    }
    (folder / "adapter_config.json").write_text(json.dumps({**config, **settings}))
    return tensors


def published_shapes(model) -> dict[str, list[int]]:
    tensors = checkpoint.to_original(model.state_dict(), model.config)
    return {name: list(tensor.shape) for name, tensor in tensors.items()}


def test_merged_weights_are_those_of_the_fused_layout(tmp_path):
    """The same sum done twice: in the published layout, where it is W + α/r B A, and in ours."""
    model = copy.deepcopy(reference_model())
    published = checkpoint.to_original(model.state_dict(), model.config)
    tensors = write_adapter(tmp_path, published_shapes(model))
    for module in adapted_modules(published_shapes(model)):
        a, b = (tensors[f"base_model.model.{module}.lora_{side}.weight"] for side in "AB")
        change = torch.einsum("or,r...->o...", b.flatten(1), a)
        published[f"{module}.weight"] = published[f"{module}.weight"] + ALPHA / RANK * change
    wanted = checkpoint.from_original(published, model.config)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    merge_adapter(model, tmp_path)
    merged = model.state_dict()
    for name, tensor in wanted.items():
        torch.testing.assert_close(merged[name], tensor, atol=1e-5, rtol=1e-5, msg=name)
    moved = {name for name in merged if not torch.equal(merged[name], before[name])}
    assert len(moved) == len(read_adapter(tmp_path, model.config, before))
    assert "vision_backbone.siglip.head.attention.in_proj_weight" in moved
    assert "vision_backbone.dinov2.embeddings.patch_embeddings.projection.weight" in moved


def test_query_key_and_value_share_a_and_split_b(tmp_path):
    model = reference_model()
    tensors = write_adapter(tmp_path, published_shapes(model))
    changes = read_adapter(tmp_path, model.config, model.state_dict())
    fused = "base_model.model.vision_backbone.featurizer.blocks.1.attn.qkv.lora_"
    ours = [changes[f"vision_backbone.dinov2.encoder.layer.1.attention.{part}_proj.weight"] for part in "qkv"]
    assert all(torch.equal(change.a, tensors[fused + "A.weight"]) for change in ours)
    assert torch.equal(torch.cat([change.b for change in ours]), tensors[fused + "B.weight"])
    assert {change.scale for change in ours} == {0.5}


def test_worked_by_hand():
    change = LowRank(torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[1.0], [-1.0]]), scale=0.5)
    assert change.dense().tolist() == [[0.5, 1.0, 1.5], [-0.5, -1.0, -1.5]]


def test_the_published_recipe_trains_110_million_numbers_and_more_with_queries_apart():
    modules = adapted_modules(contract()["tensors"])
    assert len(modules) == 439

    def count(shape) -> int:
        return sum(math.prod(size) for size in low_rank_shapes(shape))

    fused = sum(count(shape) for shape in modules.values())
    assert fused == 110_828_288
    assert fused + contract()["num_parameters"] == 7_652_065_472
    towers = [
        ("vision_backbone.featurizer.blocks", 14_155_776),
        ("vision_backbone.fused_featurizer.blocks", None),
    ]
    for tower, wanted in towers:
        layers = {name: shape for name, shape in modules.items() if name.startswith(tower)}
        together = sum(count(shape) for shape in layers.values())
        apart = sum(
            3 * count([shape[0] // 3, shape[1]]) if name.endswith("qkv") else count(shape)
            for name, shape in layers.items()
        )
        assert apart == (wanted or together + 1_990_656)


def test_every_module_of_the_published_7b_adapter_has_a_place_here():
    config = OpenVLAConfig()
    with torch.device("meta"):
        weights = OpenVLAForActionPrediction(config).state_dict()
    pairs = {
        name: tuple(torch.empty(size, device="meta") for size in low_rank_shapes(shape))
        for name, shape in adapted_modules(contract()["tensors"]).items()
    }
    ours = _by_our_names(pairs, config)
    assert len(ours) == 439 + 2 * (24 + 27) - 1
    for name, (a, b) in ours.items():
        assert weights[name].shape == (b.shape[0], *a.shape[1:]), name


def test_what_does_not_fit_is_named_and_nothing_changes(tmp_path):
    model = nano()
    write_adapter(tmp_path, published_shapes(model))
    path = tmp_path / "adapter_model.safetensors"
    tensors = load_file(path)
    del tensors["base_model.model.projector.fc1.lora_B.weight"]
    tensors["base_model.model.projector.fc2.lora_A.weight"] = torch.zeros(RANK, 3)
    tensors["base_model.model.projector.fc9.lora_A.weight"] = torch.zeros(RANK, 3)
    tensors["base_model.model.projector.fc9.lora_B.weight"] = torch.zeros(3, RANK)
    tensors["base_model.model.projector.fc3.magnitude"] = torch.zeros(3)
    save_file(tensors, path)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(ValueError) as error:
        merge_adapter(model, tmp_path)
    text = str(error.value)
    assert text.startswith("4 matrices of ")
    for problem in (
        "missing: the other half of projector.fc1",
        "wrong shape: projector.fc2",
        "unknown: projector.fc9",
        "unknown: base_model.model.projector.fc3.magnitude",
    ):
        assert problem in text
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_other_kinds_of_adapters_are_refused(tmp_path):
    model = nano()
    for settings, message in [
        ({"use_dora": True}, "use_dora"),
        ({"rank_pattern": {"fc1": 8}}, "rank_pattern"),
        ({"peft_type": "IA3"}, "IA3"),
        ({"bias": "all"}, "only plain LoRA"),
    ]:
        write_adapter(tmp_path, published_shapes(model), **settings)
        with pytest.raises(ValueError, match=message):
            merge_adapter(model, tmp_path)
    write_adapter(tmp_path, published_shapes(model))
    (tmp_path / "adapter_model.safetensors").rename(tmp_path / "adapter_model.bin")
    with pytest.raises(FileNotFoundError, match="safetensors only"):
        merge_adapter(model, tmp_path)


def test_half_of_the_pooled_queries_is_refused(tmp_path):
    model = nano()
    tensors = write_adapter(tmp_path, published_shapes(model))
    kept = {name: tensor for name, tensor in tensors.items() if "attn_pool.kv" not in name}
    save_file(kept, tmp_path / "adapter_model.safetensors")
    with pytest.raises(ValueError, match="only a part"):
        merge_adapter(model, tmp_path)


def test_quantised_weights_take_no_adapter(tmp_path):
    model = nano()
    write_adapter(tmp_path, published_shapes(model))
    model.projector.fc1.weight = torch.nn.Parameter(torch.zeros(4, dtype=torch.uint8), requires_grad=False)
    with pytest.raises(ValueError, match="merge first"):
        merge_adapter(model, tmp_path)
