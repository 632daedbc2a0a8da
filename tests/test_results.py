"""One schema and one writer for recorded results."""

import json

import numpy as np
import pytest

from vla_course import assets, results
from vla_course.evaluation import record


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


def test_every_recorded_result_follows_the_schema():
    files = sorted((assets.CHECKOUT / "data" / "results").rglob("*.json"))
    evaluations = [path for path in files if json.loads(path.read_text()).get("kind") == record.KIND]
    for (
        path
    ) in evaluations:  # each episode is in them, so that they can be compared in pairs, and played again
        assert record.read(path).command.startswith("vla-course eval ")
    others = [path for path in files if path not in evaluations]
    names = {results.load(path).name for path in others}
    assert names == {
        path.relative_to(assets.CHECKOUT / "data/results").with_suffix("").as_posix() for path in others
    }
