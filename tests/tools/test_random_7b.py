"""The program that makes a random checkpoint of openvla-7b's sizes, here with a few numbers in their place."""

import importlib
import json
from types import SimpleNamespace

import pytest
import torch
from openvla_reference import nano_config
from safetensors import safe_open

from vla_course import assets
from vla_course.openvla import checkpoint
from vla_course.openvla.load import load_vla
from vla_course.openvla.model import OpenVLAForActionPrediction


@pytest.fixture
def program(monkeypatch):
    monkeypatch.syspath_prepend(str(assets.CHECKOUT / "tools"))
    program = importlib.import_module("random_7b")
    monkeypatch.setattr(program, "SHARD", "200KB")
    monkeypatch.setattr(program, "SPARE", 0)
    return program


@pytest.fixture(scope="module")
def config():
    return nano_config(text_config=dict(nano_config().text_config.to_dict(), vocab_size=640))


@pytest.fixture(scope="module")
def shapes(config):
    with torch.device("meta"):
        ours = OpenVLAForActionPrediction(config).state_dict()
    return {name: list(t.shape) for name, t in checkpoint.to_original(ours, config).items()}


def test_a_checkpoint_that_loads_and_acts(program, config, shapes, tmp_path):
    program.write(tmp_path, shapes, config, 0)
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 3
    model = load_vla(path=tmp_path)
    assert (
        model.dtype == torch.bfloat16
        and json.loads((tmp_path / "config.json").read_text())["random_weights_seed"] == 0
    )
    assert (model.language_model.model.norm.weight == 1).all() and not model.projector.fc1.bias.any()
    assert model.language_model.lm_head.weight.float().std().item() == pytest.approx(0.02, rel=0.05)
    picture = torch.randint(0, 256, (30, 40, 3), dtype=torch.uint8).numpy()
    assert model.predict_action(picture, "Put the spoon on the towel", "bridge_orig").shape == (7,)
    assert model.encode(picture, "Put the spoon on the towel").isfinite().all()


def test_it_goes_on_where_it_was_stopped_with_the_same_numbers(
    program, config, shapes, tmp_path, monkeypatch
):
    whole = tmp_path / "whole"
    program.write(whole, shapes, config, 0)
    wanted = {path.name: path.read_bytes() for path in whole.glob("model*")}
    drawn, draw = [], program.draw

    def stopped(name, *rest):
        if len(drawn) == 60:
            raise KeyboardInterrupt
        drawn.append(name)
        return draw(name, *rest)

    monkeypatch.setattr(program, "draw", stopped)
    with pytest.raises(KeyboardInterrupt):
        program.write(tmp_path / "half", shapes, config, 0)
    (tmp_path / "half" / ".writing-killed.safetensors").write_bytes(b"0")
    monkeypatch.setattr(program, "draw", lambda name, *rest: drawn.append(name) or draw(name, *rest))
    program.write(tmp_path / "half", shapes, config, 0)
    assert {path.name: path.read_bytes() for path in (tmp_path / "half").glob("model*")} == wanted
    assert len(shapes) <= len(drawn) < len(shapes) + 60, "shards that were whole are not written again"
    assert not list((tmp_path / "half").glob(".writing-*"))
    with pytest.raises(ValueError, match="of seed 0, not 1"):
        program.write(whole, shapes, config, 1)


def test_a_disk_that_is_too_small_is_refused_with_the_numbers(program, config, shapes, tmp_path, monkeypatch):
    monkeypatch.setattr(program.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(OSError, match=r"GB are to be written and 0\.0 GB are free"):
        program.write(tmp_path, shapes, config, 0)
    assert not list(tmp_path.glob("model*"))


def test_openvla_7b_is_four_files(program, monkeypatch):
    monkeypatch.setattr(program, "SHARD", "5GB")
    shapes = program.openvla_7b_tensors()["tensors"]
    plan = program.split(shapes)
    assert len(plan.filename_to_tensors) == 4 and plan.metadata["total_size"] == 2 * 7_541_237_184


def test_a_file_is_a_safetensors_file(program, tmp_path):
    shapes = {"a.weight": [3, 5], "b.bias": [7]}
    with (tmp_path / "x.safetensors").open("wb") as file:
        program.write_shard(
            file, shapes, {"a.weight": 1, "b.bias": 2}, SimpleNamespace(update=lambda _: None)
        )
    with safe_open(tmp_path / "x.safetensors", framework="pt") as file:
        assert torch.equal(file.get_tensor("a.weight"), program.draw("a.weight", [3, 5], 1))
        assert file.get_slice("b.bias").get_shape() == [7]
