"""The program behind the towels' numbers: what it asks for can be asked for, and it sums up what was measured."""

import importlib.util
import json
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from vla_course import results
from vla_course.data.demonstrations import CollectConfig
from vla_course.data.lerobot import LeRobotDataset
from vla_course.data.statistics import HANDS
from vla_course.envs.folding.garments import make_garment
from vla_course.evaluation import record, studies
from vla_course.evaluation.config import EvaluationConfig
from vla_course.evaluation.episodes import Evaluation
from vla_course.evaluation.intervals import paired_bootstrap
from vla_course.evaluation.language import PARAPHRASES, folding_instructions
from vla_course.fine_tuning.config import TrainConfig
from vla_course.settings import read_settings

TOOL = Path(__file__).parents[2] / "tools" / "towel.py"
spec = importlib.util.spec_from_file_location("towel", TOOL)
assert spec is not None and spec.loader is not None
towel = sys.modules["towel"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(towel)


def collected_by(arguments: list[str]) -> CollectConfig:
    """As `vla-course collect` reads them."""
    return read_settings(CollectConfig, overrides=arguments)


def settings_of(arguments: list[str]) -> TrainConfig:
    """As `vla-course train` reads them."""
    words = [word for word in arguments if "=" in word]
    data = arguments[arguments.index("--data") + 1]
    preset = arguments[arguments.index("--preset") + 1]
    return read_settings(TrainConfig, preset=preset, overrides=[f"data={data}", "out=run", *words])


def test_every_run_can_be_trained_and_every_policy_evaluated():
    runs = {name: settings_of(arguments) for name, arguments in towel.trainings().items()}
    assert {runs[f"lora_seed_{seed}"].seed for seed in towel.SEEDS} == set(towel.SEEDS)
    for seed in towel.SEEDS:
        lora, qlora = runs[f"lora_seed_{seed}"], runs[f"qlora_seed_{seed}"]
        assert qlora.bits == 4 and replace(qlora, training_mode="lora") == lora, "nothing else differs"
    for name, asked in towel.evaluations().items():
        words = [
            f"policy={asked.policy}",
            f"label={asked.label}",
            f"episodes={asked.episodes}",
            *asked.settings,
        ]
        config = read_settings(EvaluationConfig, overrides=words)
        trained = config.policy.removeprefix(f"{towel.RUNS}/")
        assert trained in {"nano", towel.SHIPPED, *runs}, name


def test_a_variants_run_learns_what_was_recorded_for_it():
    for name, arguments in towel.collections().items():
        recorded, run = collected_by(arguments), settings_of(towel.trainings()[name])
        assert run.data == f"{towel.DEMOS}/{name}"
        several = len(recorded.cameras) > 1  # a single camera need not be named
        assert run.cameras == (recorded.cameras if several else ()), "the same cameras, in the same order"
        assert not run.shift_m and (recorded.state_key == HANDS or not (run.mirror or run.waypoints))
    hands, joints = (settings_of(towel.trainings()[name]) for name in ("no_mirror", "joint_state"))
    assert replace(joints, data=hands.data) == hands, "nothing but the state differs"


def test_what_is_asked_in_other_words_was_never_said_in_training():
    told = settings_of(towel.trainings()["many_words"])
    assert told.phrasings == towel.PHRASINGS and len(set(told.phrasings)) == 12
    asked = {*PARAPHRASES[make_garment("towel").instruction], *folding_instructions(), ""}
    assert not asked & set(told.phrasings)


def test_what_is_recorded_is_what_was_evaluated():
    towels, pair = results.read("day05/towel").values["rows"], results.read("day06/qlora_against_lora").values
    for name, row in towels.items():
        (file,) = [
            key for key, asked in towel.evaluations().items() if asked.label == name and not asked.settings
        ]
        found = evaluation(file)
        assert row == {"successes": found.successes, "episodes": len(found.episodes)}
    points = 100 * (pair["qlora"]["successes"] - pair["lora"]["successes"]) / pair["lora"]["episodes"]
    assert points == pytest.approx(pair["difference_points"]["mean"])
    over = pair["over_trainings"]
    assert len(over["points"]) == len(towel.SEEDS) and over["mean"] == pytest.approx(points)
    half = 2.262 * np.std(over["points"], ddof=1) / np.sqrt(10)
    assert (over["low"], over["high"]) == pytest.approx((points - half, points + half), abs=0.01)


def test_what_day_07_says_about_looks_and_throws_was_measured():
    """Five pairs of trainings said that QLoRA is worse, five fresh ones did not; seeds of one recipe differ by more than recipes."""

    def pooled(seeds):
        sides = [
            [run.success for seed in seeds for run in evaluation(f"{way}_seed_{seed}").episodes]
            for way in ("lora", "qlora")
        ]
        return paired_bootstrap(*map(np.array, sides), 0)

    assert pooled(range(3))[1] > 0, "the first look"
    assert pooled(range(5))[1] < 0, "the second"
    low, high = pooled(range(5, 10))
    assert low < 0 < high, "fresh ones"
    over = results.read("day06/qlora_against_lora").values["over_trainings"]
    rates = [evaluation(f"lora_seed_{seed}").rate for seed in towel.SEEDS]
    assert 100 * (max(rates) - min(rates)) > 4 * abs(over["mean"]), (
        "throws of one recipe, and the two recipes"
    )
    low, high = pooled(towel.SEEDS)
    assert over["high"] - over["low"] > 100 * (high - low), "the wider one"


def test_the_shipped_run_is_the_one_of_the_table():
    folder = towel.ROOT / towel.SHIPPED
    config = read_settings(TrainConfig, file=folder / "config.yaml", recorded=True)
    asked = settings_of(towel.trainings()["lora_seed_0"])
    filled = {
        name: getattr(config, name)
        for name in ("out", "cameras", "state_key", "state_dim", "action_dim", "image_size")
    }
    assert replace(asked, **filled) == config
    assert json.loads((folder / "adapter_config.json").read_text())["r"] == config.lora.rank


def test_the_preset_is_the_recipe_of_the_shipped_adapter():
    """All that decides what is learned; the data, and what follows from them, are the run's own."""
    folder = towel.ROOT / towel.SHIPPED
    shipped = read_settings(TrainConfig, file=folder / "config.yaml", recorded=True)
    preset = read_settings(
        TrainConfig, preset="finetune-lora", overrides=["data=data/demos/towel", "out=run"]
    )
    own = ("out", "unnorm_key", "cameras", "state_key", "state_dim", "action_dim", "image_size")
    assert replace(preset, **{name: getattr(shipped, name) for name in own}) == shipped
    adapter = json.loads((folder / "adapter_config.json").read_text())
    assert (adapter["r"], adapter["lora_alpha"]) == (preset.lora.rank, preset.lora.alpha) == (16, 32)


def test_a_name_that_nothing_has():
    with pytest.raises(SystemExit, match=r"nothing is called 'lora_9'; there are lora_seed_0"):
        towel.train(["lora_9"])


@cache
def study() -> studies.Study:
    return studies.load(towel.ROOT / towel.STUDY)


def evaluation(name: str) -> Evaluation:
    return study()[name].evaluation


def test_the_study_holds_every_evaluation_in_its_order():
    assert list(study()) == list(towel.evaluations())
    for name, asked in towel.evaluations().items():
        config = study()[name].config
        assert (config.policy, config.label, config.episodes) == (asked.policy, asked.label, asked.episodes)


def test_a_study_that_was_stopped_goes_on(tmp_path, monkeypatch, capsys):
    """Evaluations are JSON files until they are recorded; what is in the study or beside it is not evaluated again."""
    first, second = (replace(study()[name], films={}) for name in ("rank_1", "rank_2"))
    third = replace(study()["zero_shot"], seconds=1.0)
    asked = []
    monkeypatch.setattr(towel, "ROOT", tmp_path)
    monkeypatch.setattr(towel, "_vla_course", lambda *words: asked.append(words[3].split("/")[-1]))
    before = {**study().content("rank_1"), "films": {}}
    studies.write({"rank_1": before, "zero_shot": study()["zero_shot"]}, tmp_path / towel.STUDY)
    work = tmp_path / towel.EVALUATIONS
    record.write(second, work / "rank_2.json")
    for which in ("best", "worst"):
        (work / f"zero_shot_{which}.mp4").write_text(f"new {which}")
    towel.evaluate(["rank_[124]", "zero_shot"])
    assert asked == ["rank_4.json"]
    assert capsys.readouterr().out.split("\n")[:2] == [
        "zero_shot: evaluated already",
        "rank_1: evaluated already",
    ]
    towel.evaluate(["zero_shot"], again=True)
    assert asked == ["rank_4.json", "zero_shot.json"]
    record.write(third, work / "zero_shot.json")
    kept = towel._keep_in_study()
    assert list(kept) == ["zero_shot", "rank_1", "rank_2"], "in the order of the study"
    assert dict(kept) == {"zero_shot": third, "rank_1": first, "rank_2": second}
    assert kept.content("rank_1") == before, "what was recorded is not touched"
    assert (tmp_path / "data/results/day07/zero_shot_best.mp4").read_text() == "new best"


def rate(name: str) -> float:
    return evaluation(name).rate


def test_what_day_07_says_about_words_was_measured():
    """One sentence: confused by any other. Many: other words work, and so do wrong ones; the right ones work less well than one alone."""
    assert all(rate(f"words_{words}") == 0 for words in ("paraphrase", "wrong", "empty"))
    own, other = rate("many_words_own"), rate("many_words_paraphrase")
    assert 0.2 < other <= own < rate("lora_seed_0") and abs(rate("many_words_wrong") - own) < 0.1


def test_the_t_shirt_is_reported_as_measured():
    zero, tuned = (study()[f"tshirt_{name}"] for name in ("zero_shot", "lora"))
    assert len(zero.evaluation.episodes) == len(tuned.evaluation.episodes) == 20
    assert zero.evaluation.successes == 0 and record.gain(zero, tuned).interval[0] <= 0, (
        "nothing that twenty starts could show"
    )
    assert LeRobotDataset(towel.ROOT / "data/demos/tshirt").num_episodes == 20
    assert len(make_garment("tshirt").folds) == 3


def test_what_the_forgotten_crop_costs_is_what_was_evaluated():
    rows = results.read("day04/center_crop").values["rows"]
    for name, (said, _) in towel.CROPS.items():
        assert rows[said]["successes"] / rows[said]["episodes"] == rate(name)
    assert rate("crop_kept") - rate("crop_forgotten") > 0.4, "no small mistake"


def test_what_day_05_says_about_ranks_was_measured():
    """Every doubling lowers the loss; up to rank 4 a fold is rare, above it is not."""
    rows = results.read("day05/rank_sweep").values["rows"]
    assert [row["rank"] for row in rows] == list(towel.RANKS)
    losses = [row["loss"] for row in rows]
    assert losses == sorted(losses, reverse=True)
    for row in rows:
        assert row["successes"] / row["episodes"] == rate(f"rank_{row['rank']}")
        assert (rate(f"rank_{row['rank']}") > 0.2) == (row["rank"] > 4)


def test_what_day_05_says_about_other_eyes_and_states_was_measured():
    """Two nanos, opposite findings: cameras cost folds beside this one alone, joints beside the earlier one alone."""
    one, three, hands, joints = (
        study()[name] for name in ("recipe_waypoints", "wrist_cameras", "no_mirror", "joint_state")
    )
    assert record.gain(one, three).interval[1] < 0 and three.evaluation.rate < one.evaluation.rate / 2
    low, high = record.gain(hands, joints).interval
    assert low < 0 < high
    now, before = (
        [row["successes"] for row in results.read(f"day05/{name}").values["rows"].values()]
        for name in ("variants", "variants_earlier_nano")
    )
    assert now == [run.evaluation.successes for run in (one, three, hands, joints)]
    one_before, three_before, hands_before, joints_before = before
    assert abs(three_before - one_before) < 5 and joints_before < hands_before / 2
