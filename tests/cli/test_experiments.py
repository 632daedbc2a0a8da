"""`vla-course collect`, `train` and `eval`: one command after the other, and what is said when something does not fit."""

import errno
import json
import os
import re
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from demonstration_sets import write_model, write_set

from vla_course.cli import main as cli
from vla_course.evaluation import run as evaluation
from vla_course.evaluation import studies
from vla_course.evaluation.episodes import EpisodeResult, Evaluation
from vla_course.evaluation.record import EvaluationRecord, read
from vla_course.files import writing_alone
from vla_course.fine_tuning.loop import FineTuning
from vla_course.fine_tuning.run_folder import load_run, read_config
from vla_course.training.metrics import read_metrics


@pytest.fixture(autouse=True)
def here(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def test_from_demonstrations_to_a_run(capsys, tmp_path):
    write_set(tmp_path / "demos/towel")
    write_model(tmp_path / "model")
    (tmp_path / "mine.yaml").write_text("batch_size: 4\nsteps: 3\nwarmup_steps: 1\n")
    words = [
        "train",
        "--preset",
        "finetune-quick",
        "steps=2",
        "--config",
        "mine.yaml",
        "--data",
        "demos/towel",
    ]
    assert cli.main([*words, "--out", "runs/towel", "init_from=model", "lora.rank=2"]) == 0
    out = capsys.readouterr().out
    assert "numbers learn from 24 frames, each picture looked at once" in out
    config = read_config("runs/towel")
    assert (config.steps, config.batch_size, config.lora.rank, config.lora.alpha) == (2, 4, 2, 8)
    assert (config.cameras, config.state_dim, config.unnorm_key) == (("close",), 7, "towel")
    before = (tmp_path / "runs/towel/config.yaml").read_text()
    assert cli.main([*words, "--out", "runs/towel", "init_from=model", "lora.rank=3"]) == 2
    assert (
        "runs/towel holds a run with other settings (lora.rank=2, here 3): choose another folder"
        in capsys.readouterr().err
    )
    assert (tmp_path / "runs/towel/config.yaml").read_text() == before
    (tmp_path / "runs/towel/.writing-killed").mkdir()
    (tmp_path / "runs/towel/.writing-killed/half.safetensors").write_text("half")
    again = ["init_from=./model/", "lora.rank=2", "--data", str(tmp_path / "demos/towel"), "save_every=1"]
    assert cli.main([*words, *again, "--out", str(tmp_path / "runs/towel/")]) == 0
    assert not list((tmp_path / "runs/towel").glob(".writing-*"))
    assert cli.main([*words, *again, "--out", "runs/towel", "steps=3"]) == 2
    assert (
        "holds a run of steps=2" in (err := capsys.readouterr().err) and "--init-from runs/towel with" in err
    )
    with writing_alone("runs/towel"):
        assert cli.main([*words, "--out", "runs/towel", "init_from=model", "lora.rank=2"]) == 2
    assert "vla-course: runs/towel is in use: another process is writing there" in capsys.readouterr().err
    model = load_run("runs/towel").model
    picture = np.zeros((32, 32, 3), np.uint8)
    assert model.predict_action(picture, "fold it", state=np.zeros(7)).shape == (3,)


def test_ctrl_c_says_where_the_checkpoint_is_and_the_same_command_goes_on(capsys, tmp_path, monkeypatch):
    write_set(tmp_path / "demos/towel")
    write_model(tmp_path / "model")
    words = [
        "train",
        "--data",
        "demos/towel",
        "--out",
        "run",
        "--init-from",
        "model",
        "lora.rank=2",
        "augment=false",
    ]
    words += ["steps=3", "batch_size=2", "warmup_steps=1", "save_every=1"]
    whole, stopped_at = FineTuning.after, iter((0, 1))

    def stopped(run, step, *rest):
        if step == next(stopped_at):
            raise KeyboardInterrupt
        whole(run, step, *rest)

    monkeypatch.setattr(FineTuning, "after", stopped)
    assert cli.main(words) == 130
    assert capsys.readouterr().err.splitlines()[-1] == (
        "vla-course: stopped: there is no checkpoint in run yet, and the same command begins again"
    )
    stopped_at = iter((-1, 1))
    assert cli.main(words) == 130
    assert capsys.readouterr().err.splitlines()[-1] == (
        "vla-course: stopped: the last checkpoint is run/checkpoint.pt, and the same command goes on from there"
    )
    monkeypatch.setattr(FineTuning, "after", whole)
    assert cli.main(words) == 0
    assert "run: done; `vla-course eval run --json run.json` says how well it acts" in capsys.readouterr().out
    assert [line["step"] for line in read_metrics("run")] == [3]


def test_a_run_of_your_own_as_the_readme_tells_it(capsys, tmp_path):
    text = (Path(cli.__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (lines,) = re.findall(r"## Your own run\n.*?```\n(.*?)```", text, re.S)
    smaller = {
        "collect": ["episodes=1", "workers=1", "image_size=28", "fumbles=0", "pushes=0"],
        "train": [
            "steps=1",
            "warmup_steps=0",
            "batch_size=1",
            "precision=fp32",
        ],  # a process keeps its first precision
        "eval": ["episodes=1", "max_steps=1", "workers=0"],
    }
    commands = [shlex.split(line) for line in lines.splitlines()]
    assert [command[1] for command in commands] == ["collect", "train", "eval", "eval", "report"]
    for _, name, *words in commands:
        assert cli.main([name, *words, *smaller.get(name, [])]) == 0
    out = capsys.readouterr().out
    assert (
        "`vla-course eval runs/towel --env FoldTowel-v0 --json runs/towel.json` says how well it acts" in out
    )
    page = (tmp_path / out.split()[-1]).read_text()
    assert "zero-shot succeeds in 0/1 (0–79 %); towel in 0/1" in page and page.count("<video") == 4


def test_an_evaluation_looks_through_the_runs_camera(capsys, tmp_path, monkeypatch):
    def play_all(ask, trials, *, max_steps, progress):
        episodes = tuple(
            EpisodeResult(trial.seed, "fold", trial.seed < 10, trial.seed < 10, "", "", 5) for trial in trials
        )
        for done, episode in enumerate(episodes, 1):
            progress(done, len(episodes), episode)
        return Evaluation(episodes)

    def settings_of(*words):
        assert cli.main(["eval", "--json", "out.json", *words]) == 0
        return read("out.json").config

    monkeypatch.setattr(evaluation, "play_all", play_all)
    monkeypatch.setattr(evaluation, "_make_films", lambda *_: {})
    (tmp_path / "run").mkdir()
    (tmp_path / "run/config.yaml").write_text("data: d\nout: run\ncamera_names: [wrist]\n")
    config = settings_of("run", "--env", "FoldTowel-v0", "--episodes", "4", "first_seed=7", "workers=0")
    assert (config.policy, config.cameras, config.episodes, config.first_seed) == ("run", ("wrist",), 4, 7)
    said, notes = capsys.readouterr()
    assert notes == "", "a run's own file may have former names"
    assert "run on FoldTowel-v0: 3/4 (30–95 %) strict success" in said
    assert "record: out.json; films: none" in said
    assert "next: vla-course report out.json, or vla-course eval --verify out.json" in said
    assert settings_of("run", "camera=close", "workers=0").cameras == ("close",)
    assert "vla-course: note: camera=close: camera is now called cameras\n" in capsys.readouterr().err
    assert cli.main(["eval", "run", "workers=0"]) == 0
    assert "nothing was kept: with --json out.json" in capsys.readouterr().out
    (tmp_path / "mine.yaml").write_text("policy: expert\nepisodes: 2\nworkers: 0\n")
    assert settings_of("--config", "mine.yaml").policy == "expert"


def test_collect_asks_for_demonstrations(capsys, monkeypatch):
    from vla_course.data import demonstrations

    asked = []
    monkeypatch.setattr(
        demonstrations,
        "make_demonstrations",
        lambda config, root: asked.append((config, root)) or dict(tried=5, kept=4),
    )
    assert cli.main(["collect", "--env", "FoldTowel-v0", "--out", "demos/x", "episodes=4", "noise=0"]) == 0
    ((config, root),) = asked
    assert (config.env, config.episodes, config.noise, str(root)) == ("FoldTowel-v0", 4, 0.0, "demos/x")
    assert "demos/x: 4 demonstrations (5 tried now)" in capsys.readouterr().out


def test_a_report_of_what_was_evaluated(capsys, tmp_path, monkeypatch):
    from vla_course.evaluation.config import EvaluationConfig
    from vla_course.evaluation.record import write

    episodes = tuple(EpisodeResult(seed, "fold", seed < 3, seed < 3, "", "", 5) for seed in range(4))
    write(EvaluationRecord(EvaluationConfig("nano", episodes=4), Evaluation(episodes)), tmp_path / "out.json")
    assert cli.main(["report", "out.json", "--out", "page.html", "--title", "Three of four"]) == 0
    assert "Three of four" in (tmp_path / "page.html").read_text()
    assert "page.html" in capsys.readouterr().out
    kept = {"out": read("out.json")}
    studies.write(kept, "study.parquet")
    for place in ("study.parquet", "study.parquet::out"):
        assert cli.main(["report", place, "--out", "same.html", "--title", "Three of four"]) == 0
        assert (tmp_path / "same.html").read_text() == (tmp_path / "page.html").read_text()
    capsys.readouterr()
    assert cli.main(["report", "study.parquet::in"]) == 2
    assert "study.parquet has no 'in': name one of out" in capsys.readouterr().err
    (tmp_path / "run").mkdir()
    lines = [
        '{"step": 1, "loss/bc": 2.0}',
        "3",
        '{"step": -1}',
        '{"loss/bc": 1}',
        '{"step": 2, "loss/bc": "nan"}',
        "\xff",
    ]
    (tmp_path / "run/metrics.jsonl").write_text(
        "\n".join([*lines, '{"step": 3, "loss/bc": 1.0}', '{"step": 4, "lo'])
    )
    assert cli.main(["report", "out.json", "run", "--out", "page.html"]) == 0
    said = capsys.readouterr().err
    with monkeypatch.context() as patch:
        patch.setattr(
            os, "replace", lambda *paths: (_ for _ in ()).throw(OSError(errno.EIO, "Input/output error"))
        )
        assert cli.main(["report", "out.json", "--out", "new/page.html"]) == 2
    assert "Input/output error" in capsys.readouterr().err and not list((tmp_path / "new").iterdir())
    assert said == "vla-course: note: run/metrics.jsonl is damaged in line 2, 3, 4, 6, which is left out\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("report nowhere.json", "nowhere.json"),
        ("train --preset finetune-lor --data a --out b", "no preset 'finetune-lor'"),
        ("train --preset finetune-lora --out b", "data is not set, and has no default: give data=…"),
        ("train --data nowhere --out b", "there is no data set in nowhere: meta/info.json is missing"),
        ("train --data a --out b learnin_rate=3", "learnin_rate is no setting: did you mean learning_rate?"),
        (
            "train --data ${oc.env:HOME} --out b",
            "--data: '${oc.env:HOME}' holds ${: values are taken as they stand",
        ),
        (
            "train --data a --out b validate=3",
            "no setting: did you mean validate_every or validation_share? (--help",
        ),
        ("train --data a --out b steps=many", "steps=many: steps: Value 'many' of type 'str'"),
        ("train --data a --out b lora.rank=0", "want rank ≥ 1"),
        ("train --data a --out b training_mode=tiny", "expected one of ['lora', 'qlora', 'full', 'head']"),
        ("train --steps 4", "there is no option --steps; a setting is written without dashes: steps=…"),
        ("train --config nowhere.yaml", "nowhere.yaml cannot be read: No such file"),
        ("collect --out a episode=4", "episode=4: episode is no setting: did you mean episodes?"),
        ("collect --out a --env Fold", "unknown environment 'Fold'"),
        (
            "eval",
            "name a policy: a run's folder, a model's folder, nano or expert; for example vla-course eval nano",
        ),
        ("eval --episodes 3", "name a policy"),
        (
            "eval nowhere",
            "policy: nowhere is no folder; give a run's folder, a model's folder, nano or expert",
        ),
        ("eval nano --verify out.json", "--verify takes its policy and settings from out.json"),
        ("eval --verify out.json episodes=3", "--verify takes its policy and settings from out.json"),
        ("eval nano episodes=none", "episodes=none: episodes: Value 'none'"),
        ("eval nano --json out.txt", "written to a .json file"),
        ("eval --verify nowhere.json", "nowhere.json"),
        ("eval --verify nowhere.parquet::one", "nowhere.parquet"),
        ("report nowhere.parquet::one", "nowhere.parquet is not there"),
        ("progress steps=4", "this command takes no 'steps=4'"),
    ],
)
def test_what_does_not_fit_is_one_line_and_exit_code_2(capsys, words, message):
    assert cli.main(words.split()) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("vla-course: ") and message in said


def test_help_names_the_presets_and_needs_no_torch():
    code = (
        "import sys, vla_course.cli.main as cli\n"
        "try: cli.main(['train', '--help'])\n"
        "except SystemExit: print('torch' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "finetune-memory-" in out and out.endswith("False\n")
    for line in ("\n  save_every=100\n", "\n  lora.targets=all-linear\n", "\n  data=…  (must be given)\n"):
        assert line in out


@pytest.mark.parametrize(("command", "key"), [("collect", "push_m=0.03"), ("eval", "max_steps=null")])
def test_help_lists_every_setting(capsys, command, key):
    with pytest.raises(SystemExit) as end:
        cli.main([command, "--help"])
    assert end.value.code == 0 and f"\n  {key}\n      " in capsys.readouterr().out


def test_the_version_names_what_numbers_depend_on(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["--version"])
    assert end.value.code == 0
    said = capsys.readouterr().out
    assert (
        f"vla-course {metadata.version('vla-course')}, " in said
        and f"torch {metadata.version('torch')}" in said
    )


def test_the_record_can_be_played_again(capsys, monkeypatch):
    asked = {}
    found = evaluation.Verification((0, 5), (5,), (), "seed 5: steps is 1, and played again it is 31", 8)
    monkeypatch.setattr(evaluation, "verify", lambda *where, **how: asked.update(how, where=where) or found)
    assert cli.main(["eval", "--verify", "out.json", "--share", "0.5", "--seed", "8"]) == 1
    said = capsys.readouterr().out
    assert "1 of 2 episodes are the same in every recorded value (chosen with seed 8)" in said
    assert "seed 5: steps is 1, and played again it is 31" in said
    assert asked["where"][1] == 0.5 and asked["seed"] == 8
    assert cli.main(["eval", "--verify", "study.parquet::zero_shot"]) == 1
    assert str(asked["where"][0]) == "study.parquet::zero_shot"


def test_a_record_that_cannot_be_written_is_printed(capsys, tmp_path, monkeypatch):
    """The disk was full in the end only."""

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(evaluation, "write", full)
    words = ["eval", "expert", "--episodes", "1", "--json", "out.json", "max_steps=2", "workers=0"]
    assert cli.main(words) == 2
    shown = capsys.readouterr()
    assert json.loads(shown.out)["episodes"][0]["steps"] == 2
    assert shown.err.strip().endswith(
        "vla-course: out.json or its films could not be written: No space left on device"
    )
    (tmp_path / "file").write_text("")
    assert cli.main([*words, "--json", "file/out.json"]) == 2
    assert "so nothing was played" in capsys.readouterr().err
