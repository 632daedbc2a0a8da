"""The published format: every tensor both ways, nothing half-loaded, nothing pickled."""

import json
import shutil
import socket

import pytest
import torch
from bitsandbytes.functional import dequantize_4bit
from openvla_reference import contract, expected, inputs, nano, nano_inputs, reference_folder, reference_model
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import BitsAndBytesConfig

from vla_course.adapters import peft_format
from vla_course.openvla import checkpoint
from vla_course.openvla.config import OpenVLAConfig
from vla_course.openvla.model import OpenVLAForActionPrediction


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(reference_folder(), tmp_path / "copy")


def change(folder, edit):
    """Rewrite a checkpoint's weights."""
    path = folder / "model.safetensors"
    tensors = load_file(path)
    edit(tensors)
    save_file(tensors, path)


def load(folder, **kwargs):
    return OpenVLAForActionPrediction.from_pretrained(folder, **kwargs)


def same(ours, theirs) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


# The contract of openvla-7b.


@pytest.fixture(scope="module")
def seven_billion():
    with torch.device("meta"):
        return OpenVLAForActionPrediction(OpenVLAConfig()).state_dict()


def test_every_tensor_of_7b_leaves_under_its_published_name_and_shape(seven_billion):
    published = checkpoint.to_original(seven_billion, OpenVLAConfig())
    shapes = {name: list(tensor.shape) for name, tensor in published.items()}
    assert shapes == contract()["tensors"]
    assert len(shapes) == 982
    assert (
        sum(tensor.numel() for tensor in published.values()) == contract()["num_parameters"] == 7_541_237_184
    )


def test_every_tensor_of_7b_arrives_under_our_name_and_shape(seven_billion):
    tensors = {name: torch.empty(shape, device="meta") for name, shape in contract()["tensors"].items()}
    ours = checkpoint.from_original(tensors, OpenVLAConfig())
    assert {name: t.shape for name, t in ours.items()} == {name: t.shape for name, t in seven_billion.items()}


def test_the_tensors_that_7b_never_uses_are_the_43_that_get_no_gradient_here():
    unused = contract()["never_used_in_forward"]
    assert len(unused) == len(expected()["grad_none"]) == 43
    ours = {name.replace("blocks.23.", "blocks.2.").replace("blocks.26.", "blocks.3.") for name in unused}
    assert ours == set(expected()["grad_none"])


# Loading and saving.


def test_loaded_and_saved_again_the_file_is_the_same(folder, tmp_path):
    before = load_file(folder / "model.safetensors")
    load(folder).save_pretrained(tmp_path / "again")
    after = load_file(tmp_path / "again" / "model.safetensors")
    assert same(before, after)
    assert all(tensor.dtype == torch.bfloat16 for tensor in after.values())
    assert all(after[name].any() for name in expected()["grad_none"]), "the 43 unused ones too"
    for name in ("dataset_statistics.json", "preprocessor_config.json"):
        assert json.loads((tmp_path / "again" / name).read_text()) == json.loads((folder / name).read_text())
    wanted = json.loads((folder / "config.json").read_text())
    written = json.loads((tmp_path / "again" / "config.json").read_text())
    own = {"transformers_version", "text_config"}
    assert {k: v for k, v in written.items() if k in wanted and k not in own} == {
        k: v for k, v in wanted.items() if k not in own
    }
    assert wanted["text_config"].items() <= {**written["text_config"], "torch_dtype": "bfloat16"}.items()


def test_a_trained_model_means_the_same_after_saving(tmp_path):
    model, given = nano(), nano_inputs(2)
    assert model.vision_backbone.dinov2.embeddings.position_embeddings[0, 0].any()
    model.save_pretrained(tmp_path)
    again = load(tmp_path)
    with torch.no_grad():
        assert torch.equal(again(**given).logits, model(**given).logits)
    assert not again.vision_backbone.dinov2.embeddings.position_embeddings[0, 0].any(), (
        "moved to the class token"
    )
    image = inputs()["image_raw_0"].numpy()
    action = again.predict_action(image, "touch the cube")
    assert (action == model.predict_action(image, "touch the cube")).all()
    again.save_pretrained(tmp_path / "twice")
    assert same(
        load_file(tmp_path / "model.safetensors"), load_file(tmp_path / "twice" / "model.safetensors")
    )


def test_shards(tmp_path):
    model = nano()
    model.save_pretrained(tmp_path, max_shard_size="200KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 3
    assert same(load(tmp_path).state_dict(), load(tmp_path).state_dict())
    torch.testing.assert_close(load(tmp_path)(**nano_inputs()).logits, model(**nano_inputs()).logits)
    shard = sorted(tmp_path.glob("model-*.safetensors"))[1]
    shard.rename(tmp_path / "elsewhere")
    with pytest.raises(FileNotFoundError, match=shard.name):
        load(tmp_path)
    model.save_pretrained(tmp_path)
    assert sorted(path.name for path in tmp_path.glob("model*")) == ["model.safetensors"], (
        "no shard is left over"
    )


def test_saving_that_breaks_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    nano().save_pretrained(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(*_, **__):
        raise OSError("no space left on device")

    monkeypatch.setattr(peft_format, "save_file", full)
    with pytest.raises(OSError, match="no space"):
        nano(seed=1).save_pretrained(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_overwriting_the_folder_a_model_came_from(tmp_path):
    nano().save_pretrained(tmp_path)
    model = load(tmp_path)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    nano(seed=1).save_pretrained(tmp_path)
    assert same(model.state_dict(), before), "weights are copied out of the file"


def test_fine_tunes_bring_statistics_of_their_own(folder):
    mine = {"mine": {"action": {"q01": [0.0], "q99": [1.0]}}}
    (folder / "dataset_statistics.json").write_text(json.dumps(mine))
    assert load(folder).config.norm_stats == mine
    (folder / "dataset_statistics.json").unlink()
    assert len(load(folder).config.norm_stats) == 3


# What does not fit.


def test_all_tensors_that_do_not_fit_are_named_in_one_error(folder):
    gone = ("projector.fc1.bias", "vision_backbone.featurizer.blocks.0.attn.qkv.weight")

    def damage(tensors):
        for name in gone:
            del tensors[name]
        tensors["projector.fc4.weight"] = torch.zeros(2)
        tensors["language_model.model.norm.weight"] = torch.zeros(65)

    change(folder, damage)
    with pytest.raises(ValueError) as error:
        load(folder)
    text = str(error.value)
    assert text.startswith("4 tensors of ")
    assert all(f"missing: {name}" in text for name in gone)
    assert "unknown: projector.fc4.weight" in text
    assert "wrong shape: language_model.model.norm.weight is (65,), the config wants (64,)" in text


def test_pickles_are_refused(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match="pickle can run any code"):
        load(folder)


def test_files_that_are_missing_or_damaged(folder, tmp_path):
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FileNotFoundError, match="damaged"):
        load(folder)
    for name in ("model.safetensors", "preprocessor_config.json", "config.json"):
        (folder / name).unlink()
        with pytest.raises(FileNotFoundError, match=name):
            load(folder)


def test_another_model_is_no_openvla(folder):
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"}))
    with pytest.raises(ValueError, match="of type 'llama', not 'openvla'"):
        load(folder)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", "{", "config.json is damaged, it holds no JSON"),
        ("config.json", "[1]", "config.json is damaged: want a JSON object"),
        ("config.json", b"\xff\xfe", "config.json is damaged"),
        ("config.json", '{"model_type": "openvla", "vision_towers": 5}', "config.json describes no OpenVLA"),
        ("config.json", '{"model_type": "openvla", "text_config": [1]}', "config.json describes no OpenVLA"),
        ("dataset_statistics.json", "", "dataset_statistics.json is damaged"),
        (
            "dataset_statistics.json",
            '{"mine": 3}',
            "dataset_statistics.json is damaged, the statistics of 'mine'",
        ),
        (
            "dataset_statistics.json",
            '{"mine": {"action": {"q01": ["a"], "q99": [1]}}}',
            "statistics.json is damaged.*'mine'",
        ),
        (
            "dataset_statistics.json",
            '{"mine": {"action": {"q01": [NaN], "q99": [1]}}}',
            "q01 or q99 of action is not finite",
        ),
    ],
)
def test_damaged_files_are_named(folder, name, content, message):
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=message):
        load(folder)


@pytest.mark.parametrize(
    "elsewhere", ["../outside.safetensors", "/tmp/outside.safetensors", "a/b.safetensors", "x.bin", 3]
)
def test_an_index_names_files_beside_it_only(folder, elsewhere):
    shutil.copy(folder / "model.safetensors", folder.parent / "outside.safetensors")
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"projector.fc1.weight": elsewhere}}))
    with pytest.raises(
        ValueError, match=r"index\.json is damaged: want names of safetensors files beside it"
    ):
        load(folder)
    index.write_text("{}")
    with pytest.raises(ValueError, match=r"index\.json is damaged"):
        load(folder)


@pytest.mark.parametrize(
    "depth", ["attn_implementation", "_attn_implementation", "text_config", "per_layer_config"]
)
def test_a_checkpoint_may_not_choose_a_kernel_from_elsewhere(folder, depth, monkeypatch):
    monkeypatch.setattr(socket, "socket", None)  # whoever asks anybody fails
    path = folder / "config.json"
    content = json.loads(path.read_text())
    if depth == "text_config":
        content[depth]["attn_implementation"] = "someone/kernel"
    elif depth == "per_layer_config":
        content[depth] = [{"attn_implementation": {"": "someone/kernel"}}]
    else:
        content[depth] = "someone/kernel"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"config\.json asks for .*someone/kernel"):
        load(folder)
    path.write_text(
        json.dumps(
            {**json.loads((reference_folder() / "config.json").read_text()), "attn_implementation": "eager"}
        )
    )
    assert load(folder).config._attn_implementation == "eager"


def test_what_a_config_names_is_never_fetched(folder, monkeypatch):
    monkeypatch.setattr(socket, "socket", None)
    monkeypatch.setattr(checkpoint, "snapshot_download", None)
    path, there = folder / "config.json", "someone/something"
    content = json.loads(path.read_text())
    content |= {
        "_name_or_path": there,
        "hf_llm_id": there,
        "transformers_weights": there,
        "auto_map": {"AutoModel": there},
    }
    content["text_config"] |= {"_name_or_path": there, "auto_map": {"AutoModel": there}}
    path.write_text(json.dumps(content))
    assert same(load(folder, dtype=torch.float32).state_dict(), reference_model().state_dict())


def test_a_full_disk_is_an_os_error(tmp_path, monkeypatch):
    def full(*_, **__):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(peft_format, "save_file", full)
    with pytest.raises(OSError, match=r"model\.safetensors could not be written.*No space left"):
        nano().save_pretrained(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_note_of_quantisation_beside_whole_weights_means_nothing(folder):
    """Earlier versions left it in config.json when a model in four bits had been merged."""
    content = json.loads((folder / "config.json").read_text())
    content["quantization_config"] = BitsAndBytesConfig(load_in_4bit=True).to_dict()
    (folder / "config.json").write_text(json.dumps(content))
    model = load(folder, dtype=torch.float32)
    assert same(model.state_dict(), reference_model().state_dict()) and not hasattr(
        model.config, "quantization_config"
    )


def test_without_a_word_about_number_types_the_file_decides(folder):
    content = json.loads((folder / "config.json").read_text())
    del content["torch_dtype"], content["text_config"]["torch_dtype"]
    (folder / "config.json").write_text(json.dumps(content))
    assert load(folder).dtype == torch.bfloat16
    assert load(folder, dtype=torch.float32).dtype == torch.float32


def test_code_in_a_checkpoint_is_ignored(folder):
    content = json.loads((folder / "config.json").read_text())
    content["auto_map"] = {"AutoConfig": "evil.OpenVLAConfig"}
    (folder / "config.json").write_text(json.dumps(content))
    assert not hasattr(load(folder).config, "auto_map")


def test_names_that_lead_nowhere(tmp_path, monkeypatch):
    for name in (str(tmp_path / "nowhere"), "./nowhere", "nano"):
        with pytest.raises(FileNotFoundError, match="neither a folder nor a repository"):
            load(name)
    asked = {}

    def snapshot_download(name, **kwargs):
        asked.update(kwargs, name=name)
        raise OSError("no route to host")

    monkeypatch.setattr(checkpoint, "snapshot_download", snapshot_download)
    with pytest.raises(FileNotFoundError, match="no route to host"):
        load("openvla/openvla-7b", revision="abc")
    assert asked["name"] == "openvla/openvla-7b" and asked["revision"] == "abc"
    assert not any(name.endswith((".bin", ".pt", ".py")) for name in asked["allow_patterns"])


def test_a_repository_of_the_hub_is_a_folder_once_it_is_here(monkeypatch):
    monkeypatch.setattr(checkpoint, "snapshot_download", lambda name, **_: str(reference_folder()))
    model = load("openvla/openvla-7b-finetuned-libero-spatial", dtype=torch.float32)
    assert same(model.state_dict(), reference_model().state_dict())


# Number types, devices, quantisation.


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    nano().save_pretrained(folder)
    return folder


def test_number_types_and_device_maps(small):
    wanted = nano()(**nano_inputs()).logits
    for device_map in ("auto", {"": "cpu"}):
        torch.testing.assert_close(load(small, device_map=device_map)(**nano_inputs()).logits, wanted)
    half = load(small, dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in half.parameters()} == {torch.bfloat16}
    ids = half.predict_token_ids(**nano_inputs(), action_dim=3)
    assert ids.shape == (1, 3) and (half(**nano_inputs()).logits - wanted).abs().max() < 0.5 * wanted.std()
    assert load(small, attn_implementation="eager").config.text_config._attn_implementation == "eager"


def test_four_bits_compute_with_the_dequantised_weights(small):
    settings = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32
    )
    model, plain = load(small, quantization_config=settings), load(small)
    modules, changed, given = dict(model.named_modules()), 0, nano_inputs()
    with torch.no_grad():
        exact = plain(**given).logits
        for name, module in plain.named_modules():
            if type(modules[name]).__name__ == "Linear4bit":
                weight = modules[name].weight
                module.weight.copy_(dequantize_4bit(weight.data, weight.quant_state))
                changed += 1
        wanted = plain(**given).logits
        torch.testing.assert_close(model.train()(**given).logits, wanted, atol=1e-4, rtol=1e-4)
        # To act, some processors repack the weights and multiply in bfloat16.
        rounding = (model.eval()(**given).logits - wanted).abs().max()
        assert rounding < 0.1 * (wanted - exact).abs().max()
    assert changed == 2 * 7 + 2 * 3 * 6 + 3 + 2, (
        "language model, towers, projector, the pool's two; not the head"
    )
    model.save_pretrained(small / "quantised")
    with torch.no_grad():
        assert torch.equal(load(small / "quantised")(**given).logits, model(**given).logits)


def test_eight_bits(small):
    model = load(small, quantization_config=BitsAndBytesConfig(load_in_8bit=True))
    assert type(model.projector.fc1).__name__ == "Linear8bitLt"
    wanted = nano()(**nano_inputs()).logits
    assert (model(**nano_inputs()).logits - wanted).abs().max() < wanted.std()
