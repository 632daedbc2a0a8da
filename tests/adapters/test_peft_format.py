"""Our LoRA against peft's, on the same model: the same answers, gradients and merged weights, and the same files."""

import dataclasses
import json
import warnings

import peft
import pytest
import torch
from openvla_reference import nano, nano_inputs
from safetensors.torch import load_file, save_file

from tests.adapters.test_lora import answers, trained_a_little
from vla_course.adapters.lora import LoRAConfig, adapters, inject, merge
from vla_course.adapters.peft_format import (
    SETTINGS,
    TENSORS,
    load_adapter,
    peft_config,
    read_adapter,
    save_adapter,
)

CONFIG = LoRAConfig(rank=4, alpha=16)


@pytest.fixture(scope="module")
def ours():
    model = nano()
    inject(model, CONFIG)
    return trained_a_little(model)


@pytest.fixture(scope="module")
def folder(ours, tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapter")
    save_adapter(ours, folder)
    return folder


@pytest.fixture(scope="module")
def theirs(folder):
    """What peft makes of the files we wrote."""
    return peft.PeftModel.from_pretrained(nano(), folder, is_trainable=True)


def their_gradients(model) -> dict[str, torch.Tensor | None]:
    names = {name: parameter for name, parameter in model.named_parameters() if "lora_" in name}
    return {
        name.removeprefix("base_model.model.").replace(".default.weight", ""): parameter.grad
        for name, parameter in names.items()
    }


def test_peft_loads_what_we_wrote_and_answers_alike(ours, theirs):
    wanted = answers(ours)
    assert torch.equal(answers(theirs), wanted) and not torch.allclose(answers(nano()), wanted)


def test_the_same_gradients_for_the_same_parameters(ours, theirs):
    inputs = nano_inputs(batch=2)
    for model in (ours, theirs):
        model.zero_grad()
        model(**inputs, labels=inputs["input_ids"]).loss.backward()
    mine = {name: parameter.grad for name, parameter in ours.named_parameters() if parameter.requires_grad}
    peers = their_gradients(theirs)
    assert mine.keys() == peers.keys()
    assert sum(gradient is not None for gradient in mine.values()) > 60
    for name, gradient in mine.items():
        assert (gradient is None) == (peers[name] is None), name
        if gradient is not None:
            torch.testing.assert_close(gradient, peers[name], atol=1e-7, rtol=1e-5, msg=name)


def test_the_same_merged_weights(folder):
    mine = nano()
    load_adapter(mine, folder)
    merge(mine, keep=False)
    peers = peft.PeftModel.from_pretrained(nano(), folder).merge_and_unload()
    wanted = peers.state_dict()
    assert mine.state_dict().keys() == wanted.keys()
    before, moved = nano().state_dict(), 0
    for name, weight in mine.state_dict().items():
        torch.testing.assert_close(weight, wanted[name], atol=1e-7, rtol=1e-6, msg=name)
        moved += not torch.equal(weight, before[name])
    assert moved == len(adapters_of(folder))


def adapters_of(folder) -> dict:
    return read_adapter(folder)[1]


def test_we_load_what_peft_wrote(tmp_path):
    theirs = peft.get_peft_model(nano(), peft_config(nano(), CONFIG))
    fresh = answers(theirs)
    assert torch.equal(fresh, answers(nano()))
    random = torch.Generator().manual_seed(3)
    for name, parameter in theirs.named_parameters():
        if "lora_B" in name:
            parameter.data = torch.randn(parameter.shape, generator=random) * 0.02
    theirs.save_pretrained(tmp_path)
    mine = nano()
    config = load_adapter(mine, tmp_path)
    assert (config.rank, config.alpha, config.dropout) == (4, 16, 0)
    assert torch.equal(answers(mine), answers(theirs.eval())) and not torch.equal(answers(mine), fresh)
    assert len(adapters(mine)) == sum("lora_A" in name for name in load_file(tmp_path / TENSORS))


def test_peft_adapts_the_same_layers_from_the_same_kind_of_start():
    config = LoRAConfig(rank=4, alpha=8, dropout=0.1)
    theirs, mine = peft.get_peft_model(nano(), peft_config(nano(), config)), nano()
    inject(mine, config)
    counted = sum(parameter.numel() for parameter in mine.parameters() if parameter.requires_grad)
    assert theirs.get_nb_trainable_parameters()[0] == counted
    layer = theirs.base_model.model.projector.fc1
    assert layer.lora_A["default"].weight.std().item() == pytest.approx(1 / 4, rel=0.15)
    assert layer.scaling["default"] == 2 and layer.lora_dropout["default"].p == 0.1


def test_a_pattern_reaches_the_same_layers_with_both():
    config = LoRAConfig(rank=4, alpha=8, targets=r"language_model\..*_proj")
    theirs, mine = peft.get_peft_model(nano(), peft_config(nano(), config)), nano()
    assert sorted(theirs.targeted_module_names) == sorted(inject(mine, config))


def test_a_round_trip_keeps_every_bit_and_every_setting(ours, folder, tmp_path):
    model = nano()
    config = load_adapter(model, folder)
    assert (config.rank, config.alpha) == (4, 16.0)
    assert torch.equal(answers(model), answers(ours))
    save_adapter(model, tmp_path)
    for name in (SETTINGS, TENSORS):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([SETTINGS, TENSORS])


def test_what_does_not_fit_is_named_and_nothing_changes(folder, tmp_path):
    tensors = load_file(folder / TENSORS)
    del tensors["base_model.model.projector.fc1.lora_B.weight"]
    tensors["base_model.model.projector.fc2.lora_A.weight"] = torch.zeros(4, 3)
    tensors["base_model.model.projector.fc9.lora_A.weight"] = torch.zeros(4, 3)
    tensors["base_model.model.projector.fc9.lora_B.weight"] = torch.zeros(3, 4)
    save_file(tensors, tmp_path / TENSORS)
    (tmp_path / SETTINGS).write_text((folder / SETTINGS).read_text())
    model = nano()
    with pytest.raises(ValueError, match="3 matrices of") as error:
        load_adapter(model, tmp_path)
    for problem in (
        "missing: the other half of projector.fc1",
        "wrong shape: projector.fc2",
        "projector.fc9",
    ):
        assert problem in str(error.value)
    assert not adapters(model)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"use_dora": True}, "use_dora"), ({"peft_type": "IA3"}, "IA3"), ({"bias": "all"}, "plain LoRA")],
)
def test_other_kinds_of_adapters_are_refused(folder, tmp_path, settings, message):
    (tmp_path / TENSORS).write_bytes((folder / TENSORS).read_bytes())
    content = json.loads((folder / SETTINGS).read_text())
    (tmp_path / SETTINGS).write_text(json.dumps({**content, **settings}))
    with pytest.raises(ValueError, match=message):
        load_adapter(nano(), tmp_path)


PLAIN = {"bias": "none", "init_lora_weights": True, "peft_type": "LORA"}


@pytest.mark.parametrize("field", dataclasses.fields(peft.LoraConfig), ids=lambda field: field.name)
def test_every_setting_that_peft_knows_is_harmless_or_refused_by_name(folder, tmp_path, field):
    """A new field of a later peft fails here, until somebody has looked what it changes."""
    (tmp_path / TENSORS).write_bytes((folder / TENSORS).read_bytes())
    content = json.loads((folder / SETTINGS).read_text())
    harmless = {
        "task_type", "auto_mapping", "peft_version", "base_model_name_or_path", "revision", "inference_mode", "runtime_config",
        "r", "lora_alpha", "lora_dropout", "target_modules", "exclude_modules", "layers_to_transform", "layers_pattern",
        "eva_config", "corda_config", "loftq_config", "lora_ga_config", "qalora_group_size", "megatron_core",
    }  # fmt: skip
    (tmp_path / SETTINGS).write_text(
        json.dumps(content | {field.name: PLAIN.get(field.name)} if field.name not in harmless else content)
    )
    assert read_adapter(tmp_path)[0].rank == 4, "switched off, or as it was"
    if field.name not in harmless:
        (tmp_path / SETTINGS).write_text(json.dumps({**content, field.name: "something"}))
        with pytest.raises(ValueError, match=f"this adapter has {field.name}='something'"):
            read_adapter(tmp_path)


def test_settings_of_a_later_peft_are_refused_by_name_where_they_are_on(folder, tmp_path):
    (tmp_path / TENSORS).write_bytes((folder / TENSORS).read_bytes())
    content = json.loads((folder / SETTINGS).read_text())
    for off in (None, False, {}, [], 0):
        (tmp_path / SETTINGS).write_text(json.dumps({**content, "use_newlora": off}))
        assert read_adapter(tmp_path)[0].rank == 4
    (tmp_path / SETTINGS).write_text(json.dumps({**content, "use_newlora": True, "use_dora": True}))
    with pytest.raises(ValueError, match=r"use_newlora=True, use_dora=True|use_dora=True, use_newlora=True"):
        read_adapter(tmp_path)


OTHER_STARTS = ("pissa", "pissa_niter_4", "olora", "loftq", "corda", "lora_ga", "something_new")


@pytest.mark.parametrize("start", [True, False, "gaussian", "orthogonal", "eva", "mica", *OTHER_STARTS])
def test_adapters_that_peft_starts_in_any_way_are_read_as_peft_does_or_refused(tmp_path, start):
    begun = (
        True if start in OTHER_STARTS[3:] else start
    )  # peft wants data for those; what is read are the settings
    settings = peft.LoraConfig(
        r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"], init_lora_weights=begun
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft's, on starts without data
        theirs = peft.get_peft_model(nano(), settings)
    for adapter in (module for name, module in theirs.named_modules() if "lora_B.default" in name):
        adapter.weight.data += 0.02 * torch.randn(
            adapter.weight.shape, generator=torch.Generator().manual_seed(3)
        )
    theirs.save_pretrained(tmp_path)
    content = json.loads((tmp_path / SETTINGS).read_text())
    (tmp_path / SETTINGS).write_text(json.dumps({**content, "init_lora_weights": start}))
    mine = nano()
    if start in OTHER_STARTS:
        with pytest.raises(
            ValueError, match=rf"init_lora_weights='{start}'.*path_initial_model_for_weight_conversion"
        ):
            load_adapter(mine, tmp_path)
        assert not adapters(mine)
    else:
        load_adapter(mine, tmp_path)
        torch.testing.assert_close(answers(mine), answers(theirs.eval()))


def test_what_peft_converts_from_pissa_is_plain_lora(tmp_path):
    theirs = peft.get_peft_model(
        nano(),
        peft.LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"], init_lora_weights="pissa"),
    )
    theirs.save_pretrained(tmp_path / "start")
    for name, weight in theirs.named_parameters():
        if "lora_B" in name:
            weight.data += 0.02
    theirs.save_pretrained(tmp_path / "end", path_initial_model_for_weight_conversion=str(tmp_path / "start"))
    mine = nano()
    load_adapter(mine, tmp_path / "end")
    torch.testing.assert_close(answers(mine), answers(theirs.eval()), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_matrices_that_are_not_finite_are_refused(folder, tmp_path, bad):
    tensors, name = load_file(folder / TENSORS), "base_model.model.projector.fc1.lora_A.weight"
    tensors[name][1, 2] = bad
    save_file(tensors, tmp_path / TENSORS)
    (tmp_path / SETTINGS).write_text((folder / SETTINGS).read_text())
    model = nano()
    with pytest.raises(ValueError, match=rf"not finite \(NaN or infinity\): {name}"):
        load_adapter(model, tmp_path)
    assert not adapters(model)


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"peft_type": "LORA"}', '{"peft_type": "LORA", "r": "four", "lora_alpha": 8}']
)
def test_damaged_settings_name_their_file(folder, tmp_path, content):
    (tmp_path / TENSORS).write_bytes((folder / TENSORS).read_bytes())
    (tmp_path / SETTINGS).write_text(content)
    with pytest.raises(ValueError, match=f"{SETTINGS} is damaged"):
        load_adapter(nano(), tmp_path)


def test_damaged_and_missing_files_are_named(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match=f"{SETTINGS} is missing"):
        load_adapter(nano(), tmp_path)
    (tmp_path / SETTINGS).write_bytes((folder / SETTINGS).read_bytes())
    (tmp_path / TENSORS).write_bytes((folder / TENSORS).read_bytes()[:999])
    with pytest.raises(FileNotFoundError, match="damaged"):
        load_adapter(nano(), tmp_path)


def test_adapters_of_different_kinds_and_none_are_not_written(tmp_path):
    with pytest.raises(ValueError, match="no adapters"):
        save_adapter(nano(), tmp_path)
    model = nano()
    inject(model, CONFIG)
    model.projector.fc1.scale = 1.0
    with pytest.raises(ValueError, match="one rank"):
        save_adapter(model, tmp_path)
    assert not list(tmp_path.iterdir())
