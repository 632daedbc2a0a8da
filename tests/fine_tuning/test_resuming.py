"""What a run may be resumed with: any spelling of its paths, other settings around the learning, and the same files."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from demonstration_sets import write_model, write_set

from vla_course.adapters.lora import LoRAConfig
from vla_course.fine_tuning import resuming
from vla_course.fine_tuning.config import FREE_ON_RESUME, TrainConfig
from vla_course.fine_tuning.resuming import kept_checkpoint, settings_of, sources_of
from vla_course.settings import SettingsError
from vla_course.training import checkpoints
from vla_course.training.checkpoints import Checkpoint


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    write_set(folder / "towel", episodes=1, frames=2)
    write_model(folder / "model")
    return folder


@pytest.fixture
def config(made, tmp_path, monkeypatch):
    """A run at step 3 of 9, from a data set and a model whose paths are relative."""
    monkeypatch.chdir(shutil.copytree(made, tmp_path, dirs_exist_ok=True))
    config = TrainConfig("towel", "run", init_from="model", steps=9, warmup_steps=1)
    checkpoints.save(Path("run"), Checkpoint(3, {}, {}, settings_of(config), sources_of(config)))
    return config


def kept(config):
    return kept_checkpoint(config, sources_of(config))


def test_a_path_may_be_spelled_otherwise(config, tmp_path):
    for spell in (
        lambda name: f"./{name}/",
        lambda name: str(tmp_path / name),
        lambda name: f"{name}/../{name}",
    ):
        other = replace(config, data=spell("towel"), init_from=spell("model"), out=spell("run"))
        assert kept(other).step == 3
    shutil.move("towel", "moved")
    assert kept(replace(config, data="moved")).step == 3


def test_a_checkpoint_from_before_settings_were_renamed_goes_on(config):
    named = replace(config, cameras=("close",), unnorm_key="towel")
    former = (
        settings_of(named).replace("\ncameras:", "\ncamera_names:").replace("\nunnorm_key:", "\ndataset_key:")
    )
    assert "camera_names:" in former and "dataset_key:" in former
    checkpoints.save(Path("run"), Checkpoint(3, {}, {}, former, sources_of(config)))
    assert kept(named).step == 3
    with pytest.raises(SettingsError, match=r"other settings \(unnorm_key=towel, here napkin\)"):
        kept(replace(named, unnorm_key="napkin"))


def test_what_does_not_change_the_learning_may_change(config):
    free = dict(save_every=1, log_every=3, validate_every=2, cache_gb=9.0, gradient_checkpointing=True)
    assert kept(replace(config, **free, cache_features=False)).step == 3
    assert set(vars(config)) >= FREE_ON_RESUME


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            dict(learning_rate=1.0),
            r"other settings \(learning_rate=0.0005, here 1.0\): choose another folder",
        ),
        (dict(seed=1, batch_size=3), r"\(batch_size=16, here 3, seed=0, here 1\)"),
        (dict(lora=LoRAConfig(rank=3, alpha=16)), r"\(lora.rank=8, here 3\)"),
        (dict(steps=4, seed=1), r"\(steps=9, here 4, seed=0, here 1\)"),
        (
            dict(steps=12),
            r"finish it with steps=9 \(it is at step 3\), then begin another run: --init-from run",
        ),
        (dict(init_from=None), r"have changed \(init_from: config.json is gone, "),
        (dict(init_from="some/repository"), r"init_from is new"),
    ],
)
def test_what_decides_the_learning_may_not(config, change, message):
    with pytest.raises(SettingsError, match=message):
        kept(replace(config, **change))


def test_a_finished_run_goes_on_as_another_one(config):
    checkpoints.save(Path("run"), Checkpoint(9, {}, {}, settings_of(config), sources_of(config)))
    with pytest.raises(
        SettingsError, match="from what it learned, begin another run: --init-from run with another --out"
    ):
        kept(replace(config, steps=12))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "towel/data/chunk-000/file-000.parquet",
            r"data: data/chunk-000/file-000.parquet is another\): restore them",
        ),
        ("towel/meta/info.json", "data: meta/info.json is another"),
        ("model/model.safetensors", "init_from: model.safetensors is another"),
    ],
)
def test_files_that_changed_in_place_are_named(config, name, message):
    content = bytearray(Path(name).read_bytes())
    content[-20] ^= 1
    Path(name).write_bytes(content)
    with pytest.raises(SettingsError, match=message):
        kept(config)


def test_a_film_that_is_gone_and_one_that_is_new(config):
    (film,) = Path("towel/videos").rglob("*.mp4")
    film.rename(film.with_name("other.mp4"))
    with pytest.raises(SettingsError, match=r"file-000.mp4 is gone, data: videos/.*/other.mp4 is new"):
        kept(config)


def test_notes_beside_the_data_are_none_of_the_runs_business(config):
    for name in (
        "towel/README.md",
        "towel/.lock",
        "towel/meta/.hidden",
        "model/checkpoint.pt",
        "model/metrics.jsonl",
    ):
        Path(name).write_text("anything")
    assert kept(config).step == 3


def test_large_files_are_known_by_their_size_and_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(resuming, "LARGE", 100)
    monkeypatch.setattr(resuming, "END", 10)
    path = tmp_path / "large"
    found = set()
    for content in (bytes(200), bytes(201), b"\1" + bytes(199), bytes(199) + b"\1"):
        path.write_bytes(content)
        found.add(resuming.fingerprint(path))
    assert len(found) == 4


def test_a_checkpoint_of_before_files_were_compared_goes_by_the_names(config):
    checkpoints.save(Path("run"), Checkpoint(3, {}, {}, settings_of(config)))
    assert kept(config).step == 3
    with pytest.raises(SettingsError, match=r"\(data=towel, here other\)"):
        kept(replace(config, data="other"))


def test_a_step_behind_the_last_is_damage(config):
    checkpoints.save(Path("run"), Checkpoint(10, {}, {}, settings_of(config), sources_of(config)))
    with pytest.raises(SettingsError, match=r"run/checkpoint.pt is damaged \(step 10 of 9\): remove it"):
        kept(config)
