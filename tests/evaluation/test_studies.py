"""Evaluations in one table: nothing is lost on the way there and back, and what is damaged is refused."""

import errno
import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vla_course.evaluation import record, studies
from vla_course.evaluation.config import EvaluationConfig
from vla_course.evaluation.episodes import EpisodeResult, Evaluation
from vla_course.evaluation.record import EvaluationRecord, Film

HASHES = Path(__file__).with_name("towel_study.sha256")
"""Of every evaluation's JSON file as it was before the files became one table, with sorted keys and no spaces."""


def evaluated(label: str, won: int, total: int = 4, **about) -> EvaluationRecord:
    """A made-up record, of which one error and one change are not known."""
    rows = [
        EpisodeResult(seed, "fold it\n“so”", seed < won, True, "towel", "", 9, 0.1 + seed / 3, 1e-17, "ab")
        for seed in range(total)
    ]
    rows[-1] = replace(rows[-1], fold_error_m=None, action_change=None)
    config = EvaluationConfig(
        label=label, episodes=total, cameras=("close", "left_wrist"), env_options={"a": 1}
    )
    return EvaluationRecord(
        config, Evaluation(tuple(rows)), {"best": Film(0, "x_best.mp4")}, seconds=1.5, **about
    )


@pytest.fixture
def pair():
    return {"zero": evaluated("zero-shot", 0), "a b": evaluated("LoRA", 3, total=5, command="by hand")}


def test_the_shipped_study_says_what_its_json_files_said():
    study = studies.read("day07/towel")
    stated = dict(line.split("  ")[::-1] for line in HASHES.read_text(encoding="utf-8").splitlines())
    hashes = {
        name: hashlib.sha256(
            json.dumps(
                study.content(name), sort_keys=True, separators=(",", ":"), ensure_ascii=False
            ).encode()
        ).hexdigest()
        for name in study
    }
    assert hashes == stated and list(hashes) == list(stated) and len(hashes) == 58
    assert sum(len(study.content(name)["episodes"]) for name in study) == 4430


def test_the_films_of_the_shipped_study_lie_beside_it():
    study = studies.read("day07/towel")
    named = {film["file"] for name in study for film in study.content(name)["films"].values()}
    there = {path.name for path in study.path.parent.glob("*.mp4")}
    assert len(there) == 6 and there <= named


def test_a_study_reads_back_as_it_was_written(tmp_path, pair):
    path = studies.write(pair, tmp_path / "new" / "study.parquet")
    study = studies.load(path)
    assert dict(study) == pair and list(study) == ["zero", "a b"] and len(study) == 2
    assert study["zero"] is study["zero"], "checked once"
    for name, one in pair.items():
        assert study.content(name) == json.loads(record.to_json(one))
        assert studies.record_at(f"{path}::{name}") == one
    assert study.get("nothing") is None
    assert os.listdir(path.parent) == ["study.parquet"], "no half-written file is left"


def test_other_programs_read_the_episodes(tmp_path, pair):
    """The table is plain parquet: one row for each episode, with the name of its evaluation."""
    rows = pq.read_table(studies.write(pair, tmp_path / "study.parquet")).to_pylist()
    assert [row["evaluation"] for row in rows] == ["zero"] * 4 + ["a b"] * 5
    assert rows[5]["success"] is True and rows[5]["fold_error_m"] == 0.1 + 1 / 3
    assert rows[8]["fold_error_m"] is None


def test_the_same_evaluations_give_the_same_bytes(tmp_path, pair):
    first, again = (studies.write(pair, tmp_path / f"{name}.parquet").read_bytes() for name in "ab")
    assert first == again
    assert studies.write(dict(reversed(pair.items())), tmp_path / "c.parquet").read_bytes() != first


def test_a_study_that_cannot_be_written_leaves_the_old_one(tmp_path, pair, monkeypatch):
    path = studies.write(pair, tmp_path / "study.parquet")
    before = path.read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        studies.write({"zero": pair["zero"]}, path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["study.parquet"]


@pytest.mark.parametrize(
    ("evaluations", "name", "message"),
    [("pair", "study.json", "want evaluations and a .parquet file, got 2"), ({}, "s.parquet", "got 0")],
)
def test_what_is_no_study_is_not_written(tmp_path, pair, evaluations, name, message):
    with pytest.raises(ValueError, match=message):
        studies.write(pair if evaluations == "pair" else {}, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_damaged_studies_and_other_files_say_what_is_wrong(tmp_path, pair):
    path = studies.write(pair, tmp_path / "study.parquet")
    whole = path.read_bytes()
    path.write_bytes(whole[:-40])
    with pytest.raises(ValueError, match=r"study\.parquet is damaged, it cannot be read as parquet"):
        studies.load(path)
    half = bytearray(whole)
    half[200] ^= 1  # in the first page
    path.write_bytes(half)
    with pytest.raises(ValueError, match=r"study\.parquet is damaged"):
        studies.load(path)
    pq.write_table(pa.table({"seed": [1]}), path)
    with pytest.raises(ValueError, match=r"study\.parquet is no study of evaluations"):
        studies.load(path)
    with pytest.raises(FileNotFoundError):
        studies.load(tmp_path / "nowhere.parquet")
    with pytest.raises(FileNotFoundError):
        studies.read("day99/nothing")


def rewritten(path: Path, change) -> Path:
    """The study with its table or its headers changed, as somebody else's program could write it."""
    study = studies.load(path)
    headers = {name: {**study.content(name)} for name in study}
    for content in headers.values():
        content.pop("episodes")
    table = change(pq.read_table(path), headers)
    text = json.dumps(headers).encode()
    about = {studies.KIND: studies.STUDY, studies.EVALUATIONS: text}
    pq.write_table(table.replace_schema_metadata(about), path)
    return path


def test_a_study_that_contradicts_itself_is_refused_and_says_where(tmp_path, pair):
    path = studies.write(pair, tmp_path / "study.parquet")

    def better(table, headers):
        headers["a b"]["success"]["successes"] = 5
        return table

    study = studies.load(rewritten(path, better))
    assert study["zero"] == pair["zero"], "the others can be read"
    with pytest.raises(
        ValueError, match=r"study\.parquet::a b contradicts itself: successes is 5, and its episodes"
    ):
        study["a b"]

    studies.write(pair, path)
    fewer = studies.load(rewritten(path, lambda table, headers: table.take([0, 1, 2, 3, 5, 6, 7, 8])))
    with pytest.raises(
        ValueError, match=r"::a b contradicts itself: .* 0 to 4, and holds 4 episodes, seeds 1, 2, 3, 4"
    ):
        fewer["a b"]

    studies.write(pair, path)
    with pytest.raises(ValueError, match="'zero' is said of none of its evaluations"):
        studies.load(rewritten(path, lambda table, headers: headers.pop("zero") and table))

    studies.write(pair, path)
    with pytest.raises(
        ValueError, match="does not fit this version of the course: its columns are evaluation, seed"
    ):
        studies.load(rewritten(path, lambda table, headers: table.drop_columns(["steps"])))


def test_rows_in_another_order_are_still_those_of_their_evaluation(tmp_path, pair):
    path = studies.write(pair, tmp_path / "study.parquet")
    mixed = rewritten(path, lambda table, headers: table.take([4, 0, 1, 5, 6, 2, 7, 3, 8]))
    assert dict(studies.load(mixed)) == pair


def test_one_evaluation_of_a_study_has_to_be_named(tmp_path, pair):
    path = studies.write(pair, tmp_path / "study.parquet")
    alone = record.write(pair["zero"], tmp_path / "zero.json")
    assert studies.record_at(alone) == pair["zero"]
    with pytest.raises(
        ValueError, match=r"study\.parquet holds 2 evaluations: name one of zero, a b, as in .*parquet::zero"
    ):
        studies.record_at(path)
    with pytest.raises(ValueError, match=r"study\.parquet has no 'one': name one of zero, a b"):
        studies.record_at(f"{path}::one")
    assert studies.split("a/b.parquet::c") == (Path("a/b.parquet"), "c")
    assert studies.split(Path("a/b.json")) == (Path("a/b.json"), "")
