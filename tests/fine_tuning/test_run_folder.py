"""Where a run begins: whole weights where they are to learn, no circles, nothing from elsewhere."""

import json
import shutil
import socket
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from openvla_reference import nano, nano_inputs

from vla_course.adapters.lora import LoRAConfig, adapters, inject, is_packed
from vla_course.adapters.peft_format import save_adapter
from vla_course.fine_tuning.config import TrainConfig
from vla_course.fine_tuning.modes import prepare
from vla_course.fine_tuning.run_folder import STATISTICS, base_model, load_run, save_learned, write_config
from vla_course.openvla import checkpoint


@pytest.fixture
def model_folder(tmp_path):
    nano().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def qlora_run(folder: Path, start: str, targets: str = "all-linear") -> TrainConfig:
    """The folder of a finished run that learned adapters beside four bits."""
    config = TrainConfig(
        data="d",
        out=str(folder),
        init_from=start,
        training_mode="qlora",
        lora=LoRAConfig(4, 8, targets=targets),
        state_dim=0,
    )
    folder.mkdir()
    write_config(config)
    model = nano()
    torch.manual_seed(1)
    inject(model, config.lora)
    for adapter in adapters(model).values():
        adapter.lora_B.data.normal_(std=0.02)
    save_adapter(model, folder)
    (folder / STATISTICS).write_text(json.dumps(model.config.norm_stats))
    return config


@pytest.mark.parametrize("targets", ["all-linear", r"language_model\..*_proj"])
def test_all_weights_learn_after_a_run_in_four_bits_and_load_again(tmp_path, model_folder, targets):
    earlier = load_run(Path(qlora_run(tmp_path / "q", str(model_folder), targets).out)).model
    config = TrainConfig(
        data="d", out=str(tmp_path / "full"), init_from=str(tmp_path / "q"), training_mode="full"
    )
    model = base_model(config)
    assert not any(is_packed(layer) for layer in model.modules())
    with torch.no_grad():
        wanted = earlier(**nano_inputs()).logits
        difference = (
            (model(**nano_inputs()).logits - wanted).abs().max()
        )  # products are no longer rounded to bfloat16
        assert difference < 0.1 * wanted.std() < 0.1 * (nano()(**nano_inputs()).logits - wanted).abs().max()
    prepare(model, config)
    assert all(weight.requires_grad for weight in model.parameters())
    write_config(config)
    save_learned(model, config)
    assert "quantization_config" not in json.loads((tmp_path / "full" / "config.json").read_text())
    assert torch.equal(
        load_run(tmp_path / "full").model(**nano_inputs()).logits, model.eval()(**nano_inputs()).logits
    )


def test_runs_that_begin_with_each_other_are_refused(tmp_path, model_folder):
    one, two = (
        qlora_run(tmp_path / "one", str(model_folder)),
        qlora_run(tmp_path / "two", str(tmp_path / "one")),
    )
    assert len(adapters(load_run(two.out).model)) > 10
    write_config(replace(one, init_from=one.out))
    with pytest.raises(ValueError, match=r"init_from: .*one begins with itself"):
        load_run(one.out)
    write_config(replace(one, init_from=f"{two.out}/../two/"))
    for folder in (one.out, two.out):
        with pytest.raises(ValueError, match=r"begins with itself \(.* from .*\)"):
            load_run(folder)


def test_a_run_that_names_a_repository_asks_nobody_for_it(tmp_path, model_folder, monkeypatch):
    monkeypatch.setattr(socket, "socket", None)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    asked = []

    def snapshot_download(name, local_files_only, **_):
        asked.append((name, local_files_only))
        raise OSError("not in the cache")

    monkeypatch.setattr(checkpoint, "snapshot_download", snapshot_download)
    config = qlora_run(tmp_path / "shared", "someone/their-model")
    with pytest.raises(
        FileNotFoundError, match=r"a run downloads nothing; .*hf download someone/their-model"
    ):
        load_run(config.out)
    assert asked == [("someone/their-model", True)]


def test_damaged_statistics_of_a_run_name_their_file(tmp_path, model_folder):
    config = qlora_run(tmp_path / "run", str(model_folder))
    (Path(config.out) / STATISTICS).write_text("{")
    with pytest.raises(ValueError, match=f"{STATISTICS} is damaged"):
        load_run(config.out)
    shutil.rmtree(config.out)
    with pytest.raises(FileNotFoundError, match=r"no config\.yaml"):
        load_run(config.out)
