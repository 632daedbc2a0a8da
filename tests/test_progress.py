"""What is kept of a learner's progress, whatever lies in its place, and however many write at once."""

import json
import os
import subprocess
import sys

import pytest

from vla_course import predictions, progress


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    monkeypatch.setenv("VLA_COURSE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv(progress.CHECKING, raising=False)
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


TEN_WRITERS = """
import os
from vla_course import progress
writers = []
for writer in range(10):
    pid = os.fork()
    if pid == 0:
        for number in range(20):
            progress.record("day03", f"{writer}.{number}", "f", "done", "")
        os._exit(0)
    writers.append(pid)
assert [os.waitpid(pid, 0)[1] for pid in writers] == [0] * 10
"""


def test_no_record_is_lost_when_ten_processes_write_at_once():
    subprocess.run([sys.executable, "-c", TEN_WRITERS], check=True, timeout=120)
    assert len(progress.exercises("day03")) == 200


def put_a_folder(path):
    path.mkdir()


def put_a_pipe(path):
    os.mkfifo(path)


def put_half_a_file(path):
    path.write_text('{"day03": {')


def put_a_deep_file(path):
    path.write_text("[" * 100_000)


def put_an_endless_file(path):
    with open(path, "wb") as file:
        file.truncate(progress.LIMIT_BYTES + 1)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "put", [put_a_folder, put_a_pipe, put_half_a_file, put_a_deep_file, put_an_endless_file]
)
def test_what_is_no_progress_file_is_kept_aside(home, put):
    put(home / "progress.json")
    assert progress.exercises("day03") == {}
    progress.record("day03", "03.1", "f", "done", "")
    assert progress.exercises("day03")["03.1"]["status"] == "done"
    assert (home / "progress.damaged.json").exists()


def test_a_second_damaged_file_does_not_replace_the_first(home):
    for text in ("first", "second", "third"):
        (home / "progress.json").write_text(text)
        assert progress.read("progress") == {}
    kept = ["progress.damaged.json", "progress.damaged-2.json", "progress.damaged-3.json"]
    assert [(home / name).read_text() for name in kept] == ["first", "second", "third"]


@pytest.mark.parametrize(
    "entry",
    [
        [],
        7,
        None,
        {"03.1": []},
        {"03.1": {"name": "f"}},
        {"03.1": {"name": "f", "status": [], "message": ""}},
    ],
)
def test_entries_of_another_shape_count_as_not_started_and_spoil_no_later_one(home, entry):
    good = {"04.1": {"name": "g", "status": "done", "message": ""}}
    (home / "progress.json").write_text(json.dumps({"day03": entry, "day04": good}))
    assert progress.exercises("day03") == {}
    progress.record("day03", "03.2", "f", "wrong", "no")
    assert progress.exercises("day03")["03.2"]["status"] == "wrong"
    assert progress.exercises("day04") == good


def test_a_status_of_a_later_version_is_kept_but_not_shown(home):
    later = {"name": "f", "status": "skipped", "message": ""}
    (home / "progress.json").write_text(json.dumps({"day03": {"03.1": later}}))
    progress.record("day03", "03.2", "g", "done", "")
    assert list(progress.exercises("day03")) == ["03.2"]
    assert progress.read("progress")["day03"]["03.1"] == later


def test_a_home_that_cannot_be_written_to_is_one_line(monkeypatch, home, capsys):
    (home / "a file").write_text("")
    monkeypatch.setenv("VLA_COURSE_HOME", str(home / "a file" / "home"))
    progress.record("day03", "03.1", "f", "done", "")
    predictions.commit("day03.x", guess=1, low=0, high=2)
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("(your progress could not be kept: ")
    assert second.startswith("(your prediction could not be kept: ")


def test_answers_keep_their_records_apart(monkeypatch, home, capsys):
    progress.keep_apart()
    progress.record("day03", "03.1", "f", "done", "")
    assert progress.exercises("day03")["03.1"]["status"] == "done", "the notebook's own table shows it"
    apart = progress.home()
    progress.keep_apart()
    assert progress.home() == apart, "running the cell again loses nothing"
    monkeypatch.setenv("VLA_COURSE_HOME", str(home))
    assert progress.exercises("day03") == {}
    assert "ticks nothing off" in capsys.readouterr().out


def test_a_check_of_answers_finds_their_records_where_it_looks(monkeypatch, home):
    monkeypatch.setenv(progress.CHECKING, "some mark")
    progress.keep_apart()
    assert progress.home() == home
