"""The programs that measure, and the records they left: nothing here runs long."""

import argparse
import importlib
import json
import sys
import weakref
from pathlib import Path

import pytest
import torch
from openvla_reference import nano, nano_config

from vla_course import assets, results

PROGRAMS = sorted((assets.CHECKOUT / "benchmarks").glob("*.py"))
RECORDS = sorted(
    path
    for path in (assets.CHECKOUT / "data/results").glob("**/*.json")
    if json.loads(path.read_text())["command"].startswith("python benchmarks/")
)


@pytest.fixture(autouse=True)
def from_their_folder(monkeypatch):
    monkeypatch.syspath_prepend(str(assets.CHECKOUT / "benchmarks"))


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_each_program_says_what_it_measures_and_runs_only_when_asked(program):
    module = importlib.import_module(program.stem)
    assert (module.__doc__ or "").strip() and callable(module.main)


def test_a_target_is_met_or_missed_or_there_is_none():
    row = importlib.import_module("measuring.report").Row
    assert row("ratio", 1.3, "", "≤ 1.3").met and not row("ratio", 1.31, "", "≤ 1.3").met
    assert row("steps", 280, "per s", "≥ 280").met and not row("steps", 279.9, "per s", "≥ 280").met
    assert row("for information", 3.0).met is None


def test_the_bare_steps_are_those_inside(monkeypatch):
    """What stands in for `mj_step` does the same, and its time is part of the whole."""
    stepping = importlib.import_module("stepping")
    env = stepping.FoldingEnv("towel")
    actions = [env.action_space.sample() for _ in range(5)]
    stepping.replay_s(env, actions, seed=0)
    plain = env.vertices.copy()
    timed = stepping.TimedSteps()
    monkeypatch.setattr(stepping.mujoco, "mj_step", timed)
    whole = stepping.replay_s(env, actions, seed=0)
    assert 0 < timed.seconds < whole
    assert (env.vertices == plain).all()


@pytest.mark.parametrize("bits", [None, 4])
def test_a_model_of_any_size_is_made_and_timed_in_both_precisions(bits):
    """What runs for seven billion parameters on a GPU runs here for a few on the processor."""
    config, big = nano_config(), importlib.import_module("measuring.big_model")
    model = big.random_model(config, device="cpu", bits=bits)
    kinds = {type(layer).__name__ for layer in model.language_model.model.layers[0].mlp.children()}
    assert ("Linear4bit" in kinds) == (bits == 4)
    assert not any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers()))
    logits = model(**big.random_questions(config, device="cpu")).logits
    assert logits.isfinite().all() and logits.std() > 0
    rows = importlib.import_module("openvla_speed").measure_big(config, device="cpu", bits=bits, rounds=2)
    assert len(rows) == 6 and all(row.measured > 0 for row in rows if "further" not in row.what)


def test_a_layer_in_full_precision_is_gone_when_the_next_is_made(monkeypatch):
    """Otherwise 4 bits would need the memory of bfloat16 as well."""
    big, there = importlib.import_module("measuring.big_model"), []
    in_four_bits = big._four_bits

    def counted(layer, *rest):
        assert all(weight() is None for weight in there)
        there.append(weakref.ref(layer.weight))
        return in_four_bits(layer, *rest)

    monkeypatch.setattr(big, "_four_bits", counted)
    model = big.random_model(nano_config(), device="cpu", bits=4)
    kinds = [type(module).__name__ for module in model.modules()]
    assert kinds.count("Linear4bit") == len(there) > 20 and kinds.count("Linear") == 1  # the head
    assert not any(weight() is not None for weight in there)


def test_the_memory_of_seven_billion_parameters_is_known_beforehand():
    big = importlib.import_module("measuring.big_model")
    config = importlib.import_module("openvla_speed").OpenVLAConfig()
    assert big.gigabytes(config, None) == pytest.approx(1.15 * 2 * 7.541237184, rel=1e-3)
    assert 4 < big.gigabytes(config, 4) < 6


@pytest.mark.parametrize(("asked", "ends_with"), [(["--scale", "7b"], 1), ([], None)])
def test_what_is_missing_for_seven_billion_parameters_is_said(monkeypatch, capsys, asked, ends_with):
    """Who asks for nothing else learns by the exit code as well; `make bench` goes on."""
    speed = importlib.import_module("openvla_speed")
    monkeypatch.setattr(speed, "bench_nano", lambda quick: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("sys.argv", ["openvla_speed.py", "--quick", *asked])
    assert _exit_code(speed.main) == ends_with
    bf16, four = capsys.readouterr().out.splitlines()
    assert "bfloat16: not measured" in bf16 and "a GPU with 17.3 GB" in bf16 and "bitsandbytes" not in bf16
    assert "4 bits: not measured" in four and "bitsandbytes" in four
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (3e9, 80e9))
    assert _exit_code(speed.main) == ends_with
    assert "17.3 GB of free GPU memory (3.0 GB are free)" in capsys.readouterr().out


def test_where_nothing_is_missing_both_precisions_are_measured(monkeypatch, capsys):
    """The program for the GPU from end to end, a tiny model and the processor in its place."""
    speed, measured = importlib.import_module("openvla_speed"), []
    monkeypatch.setattr(speed, "missing", lambda config, bits: [])
    monkeypatch.setattr(speed, "OpenVLAConfig", nano_config)
    measure = speed.measure_big

    def here(config, *, device, bits, rounds):
        measured.append((device, bits))
        return measure(config, device="cpu", bits=bits, rounds=rounds)

    monkeypatch.setattr(speed, "measure_big", here)
    monkeypatch.setattr("sys.argv", ["openvla_speed.py", "--scale", "7b", "--quick"])
    assert _exit_code(speed.main) is None and measured == [("cuda", None), ("cuda", 4)]
    printed = capsys.readouterr().out
    for precision in ("bfloat16", "4 bits"):
        for what in ("to the first token", "each further token", "actions of 7 numbers", "over generate"):
            assert any(line.startswith(precision) and what in line for line in printed.splitlines())


def test_openvla_7b_on_the_processor_is_measured_only_when_asked(monkeypatch, capsys):
    laptop = importlib.import_module("openvla_7b")
    monkeypatch.setattr(laptop, "find_7b", lambda *_, **__: pytest.fail("weights are looked for"))
    monkeypatch.setattr("sys.argv", ["openvla_7b.py"])
    laptop.main()
    assert capsys.readouterr().out.strip().endswith("ask for it with --scale 7b")


def test_each_step_of_7b_on_the_processor_measures_what_it_says(tmp_path):
    """The nano stands in for the weights."""
    laptop, full, small = importlib.import_module("openvla_7b"), tmp_path / "full", tmp_path / "small"
    nano().save_pretrained(full)
    saved = laptop.measure(full, 4, small, 1)
    assert set(saved["measured"]) == {"loading", "peak memory", "saving", "size on disk"}
    assert laptop.is_stored(small) and saved["measured"]["size on disk"] == laptop.size_gb(small) > 0
    again = laptop.measure(small, 4, None, 1)
    kinds = {"an action, token by token", "an action, all numbers at once"}
    assert set(again["measured"]) == {"loading", "peak memory", *kinds} and set(again["processor"]) == {
        "loading",
        *kinds,
    }
    assert all(seconds > 0 for seconds in again["measured"].values()) and 0.1 < laptop.peak_gb() < 20


def test_a_step_that_was_measured_is_not_measured_again_unless_asked(tmp_path, monkeypatch, capsys):
    laptop, answers = (
        importlib.import_module("openvla_7b"),
        iter([{"measured": {"loading": 2.0}, "processor": {}}, None]),
    )
    monkeypatch.setattr(laptop, "watched", lambda command: next(answers))
    asked = argparse.Namespace(again=False, rounds=3)
    first = laptop.measured("bfloat16", tmp_path, tmp_path, asked)
    assert first["best_of"] == 3 and laptop.measured("bfloat16", tmp_path, tmp_path, asked) == first
    assert laptop.measured("4 bits, saved", tmp_path, tmp_path, asked) is None, "nothing was saved"
    assert laptop.measured("bfloat16", tmp_path, tmp_path, argparse.Namespace(again=True, rounds=3)) is None
    assert "measured before, see measured_bfloat16.json" in capsys.readouterr().out


def test_a_process_is_stopped_before_memory_runs_out(monkeypatch, capsys):
    laptop = importlib.import_module("openvla_7b")
    assert laptop.watched([sys.executable, "-c", "print('loading'); print('{\"measured\": {}}')"]) == {
        "measured": {}
    }
    assert capsys.readouterr().out == "loading\n"
    assert laptop.watched([sys.executable, "-c", "raise SystemExit('4 GB are needed')"]) is None
    monkeypatch.setattr(laptop, "SPARE_GB", 1e6)
    assert laptop.watched([sys.executable, "-c", "import time; time.sleep(60)"]) is None
    assert "were left for other programs" in capsys.readouterr().out


def _exit_code(program):
    try:
        return program()
    except SystemExit as end:
        return end.code


def test_each_way_of_deciding_is_timed_in_turn_and_writes_as_many_numbers(monkeypatch, capsys):
    speed, model = importlib.import_module("openvla_speed"), nano()
    monkeypatch.setattr(speed.shutil, "which", lambda name: None)
    rows, details = speed.measure_nano(model, rounds=1)
    assert "compiled: not measured, needed is a C++ compiler" in capsys.readouterr().out
    assert {row.target for row in rows} == {"≤ 0.7", "≤ 0.4", ""} and all(row.measured > 0 for row in rows)
    assert set(details["spread_ms"]) == {case[0] for case in speed.CASES}
    calls = speed.nano_calls(model, "folding", 2)
    prompt = len(model.processor.token_ids(speed.build_prompt(speed.INSTRUCTION))) + 1
    assert calls["generate"]().shape == (2, prompt + 61) and calls["greedy"]().shape == (2, 61)
    assert calls["seeing"]().embeddings.shape[:2] == (2, prompt + model.config.num_patches)
    order = []
    speed.turn_by_turn({name: lambda name=name: order.append(name) for name in "ab"}, 3)
    assert order == list("ab" * 6)


def test_compiled_answers_are_timed_against_a_model_that_sees_as_fast(monkeypatch):
    speed, model = importlib.import_module("openvla_speed"), nano()
    compiled = []
    monkeypatch.setattr(speed.shutil, "which", lambda name: "/bin/sh")
    monkeypatch.setattr(type(model), "compile_parallel", lambda self: compiled.append(self))
    rows, details = speed.measure_nano(model, rounds=1)
    assert compiled == [model] and set(details["spread_ms"]) == {case[0] for case in speed.CASES} | {
        "7 numbers, compiled"
    }
    (row,) = [row for row in rows if row.what == "7 numbers, compiled: parallel over generate"]
    assert row.target == "≤ 0.4" and row.measured > 0


def test_no_time_is_compared_of_answers_that_differ(monkeypatch):
    speed, model = importlib.import_module("openvla_speed"), nano()
    for key in speed.NAMES:
        speed.check_answers(model, key, 2)
    right = model.predict_token_ids
    monkeypatch.setattr(model, "predict_token_ids", lambda **given: right(**given).roll(1, dims=1))
    with pytest.raises(RuntimeError, match=r"generate\(\) writes .*, predict_action"):
        speed.measure_nano(model, rounds=1)


@pytest.mark.parametrize("record", RECORDS, ids=lambda path: path.stem)
def test_each_record_names_the_program_that_made_it(record):
    result = results.load(record)
    program = Path(result.command.split()[1])
    assert assets.CHECKOUT / program in PROGRAMS and "--quick" not in result.command
    rows = result.values["rows"]
    assert rows and all({"what", "measured", "unit", "target", "met"} == set(row) for row in rows)


def test_every_program_left_a_record():
    made_by = {results.load(record).command.split()[1] for record in RECORDS}
    assert made_by == {f"benchmarks/{program.name}" for program in PROGRAMS}


def test_both_trainers_train_the_same_and_are_timed(tmp_path, monkeypatch):
    """The benchmark's own pieces on a tiny model: as many adapted layers, the same loss at the first step."""
    import peft

    from vla_course.adapters.lora import adapters, inject
    from vla_course.adapters.peft_format import peft_config

    bench = importlib.import_module("fine_tuning")
    monkeypatch.setattr(bench, "EPISODES", 2)
    monkeypatch.setattr(bench, "FRAMES", 6)
    dataset = bench.demonstrations(tmp_path / "set")
    monkeypatch.setattr(bench, "load_vla", lambda name: nano())
    words = ["data=a", "out=b", "batch_size=2", "steps=5", "warmup_steps=1"]
    config = bench.read_settings(bench.TrainConfig, preset="finetune-standard", overrides=words)
    ours, theirs = bench.model_for(dataset), bench.model_for(dataset)
    samples = bench.samples_for(ours, dataset, config)
    inject(ours, config.lora)
    wrapped = peft.get_peft_model(theirs, peft_config(theirs, config.lora))
    assert len(adapters(ours)) == len([name for name, _ in wrapped.named_parameters() if "lora_A" in name])
    batch = samples.batch(bench.np.arange(3))
    torch.testing.assert_close(ours(**batch).loss, wrapped(**batch).loss)
    speeds = bench.their_speed(bench.model_for(dataset), samples, config, tmp_path / "theirs")
    assert speeds > 0 and bench.batch_seconds(samples, config, 2) > 0
