"""One word chooses the model, and says what is needed where it cannot."""

import importlib.util

import jaxtyping
import numpy as np
import pytest
import torch
from openvla_reference import nano

from vla_course.openvla import checkpoint, load
from vla_course.openvla.load import NANO, NANO_FILES, find_7b, load_vla


@pytest.fixture
def assets_folder(tmp_path, monkeypatch):
    """A place of our own where files of the course are looked for first."""
    monkeypatch.setenv("VLA_COURSE_ASSETS", str(tmp_path))
    return tmp_path


@pytest.fixture
def elsewhere(monkeypatch):
    """No checkout and no cache: whatever lies in the repository today, the nano is not found there."""
    monkeypatch.setattr(load.assets, "is_checkout", lambda: False)
    monkeypatch.setattr(load.assets, "manifest", dict)


def test_nano_is_found_among_the_files_of_the_course(assets_folder):
    nano().save_pretrained(assets_folder / NANO)
    model = load_vla("nano")
    image = np.full((40, 40, 3), 7, np.uint8)
    wanted = nano().predict_action(image, "touch the cube")
    assert (model.predict_action(image, "touch the cube", "tabletop") == wanted).all()
    assert sorted(path.name for path in (assets_folder / NANO).iterdir()) == sorted(NANO_FILES)


def test_nano_from_another_folder_in_four_bits(tmp_path):
    nano().save_pretrained(tmp_path)
    model = load_vla(path=tmp_path, bits=4)
    assert type(model.projector.fc1).__name__ == "Linear4bit"
    assert load_vla(path=tmp_path, dtype=torch.bfloat16).dtype == torch.bfloat16
    assert model.predict_action(np.zeros((9, 9, 3), np.uint8), "touch").shape == (3,)


def test_a_missing_nano_says_where_it_belongs(assets_folder, elsewhere):
    with pytest.raises(FileNotFoundError, match=f"{NANO}/ .*tokenizer.json"):
        load_vla()
    nano().save_pretrained(assets_folder / NANO)
    (assets_folder / NANO / "tokenizer.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"openvla_nano/tokenizer\.json"):
        load_vla()


def test_7b_names_everything_it_lacks(monkeypatch):
    def snapshot_download(*_, local_files_only, **__):
        assert local_files_only, "15 GB are never downloaded without being asked for"
        raise OSError("not in the cache")

    monkeypatch.setattr(checkpoint, "snapshot_download", snapshot_download)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "bitsandbytes" else find_spec(name, *a)
    )
    with pytest.raises(RuntimeError) as error:
        load_vla("7b", bits=4)
    for part in (
        "CUDA GPU",
        "bitsandbytes: pip install",
        "hf download openvla/openvla-7b",
        "load_vla('nano')",
    ):
        assert part in str(error.value)


def test_7b_with_weights_but_no_gpu_asks_for_the_gpu_only(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RuntimeError, match="CUDA GPU") as error:
        find_7b(tmp_path)
    assert "weights" not in str(error.value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert find_7b(tmp_path) == tmp_path


def test_other_words_are_refused(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as in a notebook
    with pytest.raises(ValueError, match="'nano' or '7b', not '13b'"):
        load_vla("13b")
    with pytest.raises(ValueError, match="8 or 4 bits, not 3"):
        load_vla("nano", bits=3)
