"""Checkpoints: whole or not there, and no byte of them changes unnoticed."""

import numpy as np
import pytest
import torch

from vla_course.settings import SettingsError
from vla_course.training import checkpoints
from vla_course.training.checkpoints import Checkpoint

KEPT = Checkpoint(3, {"a": torch.arange(1000.0)}, {"state": {}}, "steps: 9\n", {"data: meta/info.json": "0"})


def test_what_is_saved_is_loaded(tmp_path):
    assert checkpoints.load(tmp_path) is None
    checkpoints.save(tmp_path / "new", KEPT)
    found = checkpoints.load(tmp_path / "new")
    assert torch.equal(found.weights.pop("a"), KEPT.weights["a"])
    assert vars(found) == {**vars(KEPT), "weights": {}}
    assert [path.name for path in (tmp_path / "new").iterdir()] == [checkpoints.NAME]


def test_a_flipped_bit_anywhere_is_noticed(tmp_path):
    checkpoints.save(tmp_path, KEPT)
    path = tmp_path / checkpoints.NAME
    whole = path.read_bytes()
    for place in [*np.linspace(0, len(whole) - checkpoints.FOOTER - 1, 60, dtype=int), len(whole) - 1]:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << (place % 8)
        path.write_bytes(damaged)
        with pytest.raises(
            SettingsError, match=r"checkpoint\.pt is damaged \(.*\): remove it to begin again"
        ):
            checkpoints.load(tmp_path)


@pytest.mark.parametrize("length", [0, 1, 71, 1000])
def test_half_a_file_is_damaged(tmp_path, length):
    checkpoints.save(tmp_path, KEPT)
    path = tmp_path / checkpoints.NAME
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(SettingsError, match="is damaged"):
        checkpoints.load(tmp_path)


def test_a_checkpoint_of_before_there_was_a_footer_loads(tmp_path):
    older = {name: value for name, value in vars(KEPT).items() if name != "sources"}
    torch.save(older, tmp_path / checkpoints.NAME)
    found = checkpoints.load(tmp_path)
    assert found.step == 3 and found.sources == {}


@pytest.mark.parametrize(
    "change",
    [
        {"step": -5},
        {"step": 2.0},
        {"step": True},
        {"weights": 3},
        {"optimizer": None},
        {"settings": 1},
        {"more": 1},
    ],
)
def test_parts_that_no_run_writes_are_damage(tmp_path, change):
    torch.save({**vars(KEPT), **change}, tmp_path / checkpoints.NAME)
    with pytest.raises(SettingsError, match="is damaged"):
        checkpoints.load(tmp_path)


def test_weights_of_another_shape_belong_to_another_run():
    model = torch.nn.Linear(2, 3)
    before = model.weight.clone()
    with pytest.raises(SettingsError, match="another run: 1 weights differ, weight is one"):
        checkpoints.restore_weights(model, {"weight": torch.zeros(3, 4), "bias": torch.zeros(3)})
    assert torch.equal(model.weight, before)
