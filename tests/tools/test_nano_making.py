"""The programs that make the nano model: every stage runs, stops and goes on, and what they promise holds."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

TOOLS = Path(__file__).parents[2] / "tools" / "nano"


@pytest.fixture(autouse=True)
def nano_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(TOOLS))


def test_all_stages_run_from_nothing_and_go_on_where_they_were(tmp_path: Path) -> None:
    import make_nano
    import nano_config
    import record

    from vla_course.openvla.load import load_vla

    config = nano_config.tiny()
    stages = [stage for stage in make_nano.STAGES if stage != "evaluate"]
    make_nano.run(config, tmp_path, stages, workers=1)
    for name in ("model", "blind"):
        model = load_vla(path=tmp_path / name)
        picture, hand = np.zeros((84, 84, 3), np.uint8), np.array([0.1, 0, 0.2, 0, 0, 0, 0.5])
        action = model.predict_action(picture, "touch the red cube", "tabletop", state=hand)
        assert action.shape == (7,) and np.isfinite(action).all()
    names = ("sight_0000", "actions_0000", "corrections_0000", "corrections_0001")
    shards = [tmp_path / "scenes" / f"{name}.npz" for name in names]
    written = [shard.stat().st_mtime_ns for shard in shards]
    longer = replace(config, learn=replace(config.learn, steps={**config.learn.steps, "whole": 3}))
    make_nano.run(longer, tmp_path, stages, workers=1)
    assert [shard.stat().st_mtime_ns for shard in shards] == written
    steps = {
        name: json.loads((tmp_path / f"{name}.json").read_text())["steps"] for name in ("language", "whole")
    }
    assert steps == {"language": 2, "whole": 3}
    kept = record.training(tmp_path)
    trained = [stage for stage in stages if not stage.startswith(("scenes", "words", "corrections"))]
    assert [name.removeprefix("tower_") for name in kept if name != "config"] == trained
    assert (
        kept["whole"]["steps"] == 3 and kept["whole"]["wall_s"] > 0 and kept["config"]["seed"] == config.seed
    )


def test_two_processes_write_what_one_does(tmp_path: Path) -> None:
    import nano_config
    import scenes

    config = nano_config.tiny()
    for workers in (1, 2):
        scenes.make_scenes(config, tmp_path / str(workers), workers=workers)
    for kind in ("sight", "actions"):
        one, two = (np.load(scenes.shard_path(tmp_path / workers, kind, 0)) for workers in "12")
        assert one.files == two.files
        for name in one.files:
            np.testing.assert_array_equal(one[name], two[name])  # where a place is unknown both say nan


def test_nothing_is_recorded_of_a_folder_in_which_nothing_was_trained(tmp_path: Path) -> None:
    import record

    with pytest.raises(FileNotFoundError, match="no stage was trained"):
        record.training(tmp_path)


def test_what_went_on_is_recorded_beside_what_was_there() -> None:
    import record

    before = {"actions": {"steps": 3}, "fourth": {"steps": 1}, "config": {"seed": 0}}
    found = record.beside(before, {"fourth": {"steps": 2}, "config": {"seed": 1}})
    assert found == {
        "actions": {"steps": 3},
        "fourth": {"steps": 2},
        "config": {"seed": 1},
        "config_before": {"seed": 0},
    }


def test_reading_many_sentences_about_one_picture_is_reading_each_alone() -> None:
    import assemble
    import nano_config
    import reading

    torch.manual_seed(0)
    model = assemble.new_model(nano_config.tiny()).language_model
    embed = model.get_input_embeddings()
    shared, own = torch.randn(2, 40, 64), embed(torch.randint(4, 700, (5, 9)))
    frame, ask = torch.tensor([0, 0, 1, 1, 1]), torch.tensor([3, 8, 5, 4, 0])
    found = reading.read(model, shared, own, frame, ask, num_patches=36)
    model.set_attn_implementation("eager")
    alone = model.model(inputs_embeds=torch.cat([shared[frame], own], 1), output_attentions=True)
    assert torch.allclose(found.hidden, alone.last_hidden_state[:, 40:], atol=1e-5)
    attention = alone.attentions[reading.POINTER_LAYER][torch.arange(5), :2, 40 + ask, 1:37]
    assert torch.allclose(found.looks.exp(), attention, atol=1e-6)


def test_no_instruction_of_a_demonstration_is_held_out() -> None:
    import nano_config
    import scenes

    from vla_course.envs.tabletop.language import parse

    config = nano_config.tiny()
    config = replace(config, scenes=replace(config.scenes, action_episodes=6, alternatives=3))
    found = scenes.record_actions(config, 0)
    read = [parse(text) for text in json.loads(str(found["words"]))]
    assert len(read) == len(found["action"]) > len(found["image"])
    assert all(phrasing.seen and not task.held_out for task, phrasing in read)
    assert np.abs(found["action"]).max() <= 1


def test_the_last_256_words_are_the_action_tokens() -> None:
    import nano_config
    import words

    tokenizer = words.train_tokenizer(nano_config.NanoConfig(), [])
    assert tokenizer.get_vocab_size() == 1024
    assert tokenizer.token_to_id("<action_0>") == 768 and tokenizer.token_to_id("<action_255>") == 1023
    assert tokenizer.token_to_id("<empty>") == words.EMPTY
    text = words.point_prompt("the left sleeve of the red t-shirt")
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_soft_labels_forgive_neighbours_and_become_hard() -> None:
    import learn

    ids = torch.tensor([900, 50])
    hits, near, far = (torch.zeros(2, 1024) for _ in range(3))
    for logits, first in ((hits, 900), (near, 903), (far, 990)):
        logits[0, first] = logits[1, 50] = 8.0
    soft = [learn.soft_cross_entropy(logits, ids, 4.0).item() for logits in (hits, near, far)]
    assert soft[0] < soft[1] < soft[2]
    hard = torch.nn.functional.cross_entropy(near, ids).item()
    assert learn.soft_cross_entropy(near, ids, 0.0).item() == pytest.approx(hard, abs=1e-5)


def test_a_finished_checkpoint_is_gone_on_from_and_keeps_its_statistics(tmp_path: Path) -> None:
    import learn
    import make_nano
    import nano_config

    from vla_course.openvla.load import load_vla

    config, folder = nano_config.tiny(), tmp_path / "further"
    make_nano.run(config, tmp_path, ["scenes", "words"], workers=1)
    first = learn.new_model(config)
    tokenizer = learn.load_tokenizer(tmp_path)
    _, stats = learn.action_samples(config, tmp_path, tokenizer)
    stats["tabletop"]["action"]["q99"][0] += 1.0
    first.config.norm_stats = stats
    learn.save_model(first, tokenizer, tmp_path, "last")
    (tmp_path / "tokenizer.json").replace(tmp_path / "model" / "tokenizer.json")
    make_nano.give(tmp_path / "model", folder)
    make_nano.run(config, folder, ["scenes", "corrections_fourth", "fourth"], workers=1)
    given, after = load_vla(path=folder / "given"), load_vla(path=folder / "model")
    assert after.config.norm_stats == given.config.norm_stats == stats
    kept = torch.load(folder / "fourth.pt", weights_only=True)["parts"]
    moved = kept["learners"]["language.lm_head.weight"]
    assert torch.equal(moved, after.language_model.lm_head.weight)
    assert torch.equal(moved, kept["average"]["module.language.lm_head.weight"])
    assert 0 < (moved - given.language_model.lm_head.weight).abs().max() < 2 * 0.3 * 1e-3
    make_nano.run(config, folder, ["fifth"], workers=1)
    assert json.loads((folder / "fifth.json").read_text())["steps"] == 2


def test_verbs_are_shown_as_often_as_the_recipe_says() -> None:
    import nano_config

    weights = {"touch": 1.0, "put": 3.0, "pick_up": 0.0}
    scenes = nano_config.ScenesConfig(verbs=("touch", "put", "pick_up"), verb_weights=weights)
    drawn = [scenes.draw_verb(np.random.default_rng(seed)) for seed in range(400)]
    assert 60 < drawn.count("touch") < 140 and drawn.count("touch") + drawn.count("put") == 400


def test_what_is_no_checkpoint_cannot_be_gone_on_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import make_nano

    asked = ["--given", str(tmp_path / "nowhere"), "--folder", str(tmp_path / "new")]
    monkeypatch.setattr("sys.argv", ["make_nano.py", *asked])
    with pytest.raises(SystemExit, match="2"):
        make_nano.main()
    assert "no finished checkpoint" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
