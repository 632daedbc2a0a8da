"""Two kinds of recorded file, with one provenance: results, and studies of evaluations."""

import json
import sys

import numpy as np
import pytest

from vla_course import assets, results
from vla_course.evaluation import record, studies
from vla_course.evaluation.config import EvaluationConfig
from vla_course.evaluation.episodes import EpisodeResult, Evaluation
from vla_course.evaluation.record import EvaluationRecord


def test_what_is_written_reads_back_with_its_circumstances(tmp_path, monkeypatch):
    values = {"error_m": np.float32(0.5), "rows": np.arange(3), "options": {"A": [1, 2]}}
    path = results.write(
        "day99/fold", values, seeds=[3, 4], command="python benchmarks/fold.py", root=tmp_path
    )
    assert path == tmp_path / "data/results/day99/fold.json"
    monkeypatch.setenv("VLA_COURSE_ASSETS", str(tmp_path))
    found = results.read("day99/fold")
    assert found.values == {"error_m": 0.5, "rows": [0, 1, 2], "options": {"A": [1, 2]}}
    assert found.seeds == [3, 4]
    assert {"python", "numpy", "mujoco", "vla-course"} <= set(found.versions)
    assert found.hardware["processor"]
    assert "python benchmarks/fold.py" in str(found)
    assert [p.name for p in path.parent.iterdir()] == ["fold.json"], "no half-written file is left"


@pytest.mark.parametrize("values", [{"x": float("nan")}, {"x": np.array([np.inf])}, {"x": object()}])
def test_only_finite_plain_values_are_recorded(tmp_path, values):
    with pytest.raises(ValueError, match="finite numbers"):
        results.write("day99/fold", values, seeds=[0], root=tmp_path)
    assert not list(tmp_path.rglob("*.json"))


def test_a_name_stays_under_results(tmp_path):
    with pytest.raises(ValueError, match="data/results"):
        results.write("../../elsewhere", {}, seeds=[0], root=tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda record: record.pop("seeds"), "has the fields"),
        (lambda record: record.update(seeds="0"), "seeds is no list"),
        (lambda record: record.update(hardware={}), "hardware.processor"),
        (lambda record: record.update(extra=1), "has the fields"),
    ],
)
def test_a_file_that_breaks_the_schema_is_refused(tmp_path, change, message):
    path = results.write("day99/fold", {"x": 1}, seeds=[0], root=tmp_path)
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))
    with pytest.raises(ValueError, match=message):
        results.load(path)


def test_every_recorded_file_is_a_result_or_a_study():
    folder = assets.CHECKOUT / "data" / "results"
    files = {path for path in folder.rglob("*") if path.is_file() and path.suffix != ".mp4"}
    tables = {path for path in files if path.suffix == studies.SUFFIX}
    assert len(tables) == 1
    for path in tables:  # each episode is in them, so that they can be compared in pairs, and played again
        for one in studies.load(path).values():
            assert one.command.startswith("vla-course eval ")
    names = {results.load(path).name for path in files - tables}
    assert names == {path.relative_to(folder).with_suffix("").as_posix() for path in files - tables}


def test_both_kinds_of_file_say_the_same_of_where_their_numbers_come_from(tmp_path):
    path = results.write("day99/fold", {"x": 1}, seeds=[0], root=tmp_path)
    one = EvaluationRecord(
        EvaluationConfig(episodes=1), Evaluation((EpisodeResult(0, "", True, True, "", "", 1),))
    )
    written, evaluated = json.loads(path.read_text()), json.loads(record.to_json(one))
    assert set(results.PROVENANCE) == {"command", "date", "revision", "versions", "hardware"}
    for key in results.PROVENANCE:
        assert written[key] == evaluated[key]
    assert str(one) == str(results.load(path)), "the line that lessons print"
    assert list(written) == ["name", "values", "seeds", *results.PROVENANCE], "as files have always been"


@pytest.mark.parametrize(
    ("program", "command"),
    [
        (assets.CHECKOUT / "tools" / "towel.py", "python tools/towel.py 'label=a b'"),
        ("/somewhere/else/mine.py", "python mine.py 'label=a b'"),
        (assets.CHECKOUT / ".venv" / "bin" / "vla-course", "vla-course 'label=a b'"),
    ],
)
def test_a_command_is_what_one_types_in_the_checkout(monkeypatch, program, command):
    monkeypatch.setattr(sys, "argv", [str(program), "label=a b"])
    assert results.running_command() == command
