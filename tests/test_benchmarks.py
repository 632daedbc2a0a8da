"""The programs that measure, and the records they left: nothing here runs long."""

import importlib
from pathlib import Path

import pytest

from vla_course import assets, results

PROGRAMS = sorted((assets.CHECKOUT / "benchmarks").glob("*.py"))
RECORDS = sorted(
    path
    for path in (assets.CHECKOUT / "data/results").glob("**/*.json")
    if results.load(path).command.startswith("python benchmarks/")
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
