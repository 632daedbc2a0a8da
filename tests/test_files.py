import subprocess
import sys
import threading

import pytest

from vla_course.files import (
    InUseError,
    remove_partials,
    replacing,
    replacing_files,
    sha256_of,
    write_text,
    writing_alone,
)


def test_a_text_is_replaced_and_nothing_is_left_beside_it(tmp_path):
    write_text(tmp_path / "new" / "a.json", "one")
    write_text(tmp_path / "new" / "a.json", "two")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.json"]
    assert (tmp_path / "new" / "a.json").read_text() == "two"
    assert (tmp_path / "new" / "a.json").stat().st_mode & 0o044


def test_after_an_error_the_old_file_is_as_it_was(tmp_path):
    write_text(tmp_path / "a", "old")
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "a") as partial:
        partial.write_text("half")
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_several_files_take_their_places_together_or_not_at_all(tmp_path):
    for name in ("a", "b", "other"):
        write_text(tmp_path / name, "old")
    with pytest.raises(ZeroDivisionError), replacing_files(tmp_path) as partial:
        (partial / "a").write_text("half")
        raise ZeroDivisionError
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys(
        ("a", "b", "other"), "old"
    )
    with replacing_files(tmp_path) as partial:
        for name in "ba":
            (partial / name).write_text("new")
            assert (tmp_path / name).read_text() == "old"
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "a": "new",
        "b": "new",
        "other": "old",
    }


HOLDER = """
import sys
from vla_course.files import writing_alone
with writing_alone(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_told_that_the_folder_is_in_use_until_the_first_is_killed(tmp_path):
    other = subprocess.Popen(
        [sys.executable, "-c", HOLDER, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(InUseError, match="another process is writing there"), writing_alone(tmp_path):
            pass
    finally:
        other.kill()
        other.wait()
    with writing_alone(tmp_path):
        pass


def test_a_lock_can_be_waited_for(tmp_path):
    other = subprocess.Popen(
        [sys.executable, "-c", HOLDER, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(InUseError), writing_alone(tmp_path, wait_s=0.1):
            pass
        threading.Timer(0.2, other.stdin.close).start()
        with writing_alone(tmp_path, wait_s=20):
            assert other.wait(timeout=20) == 0, "the other process gave the lock up and ended"
    finally:
        other.kill()
        other.wait()


def test_what_killed_processes_left_is_removed_and_nothing_else(tmp_path):
    for name in ("a", ".writing-1.json", "below/.writing-2", ".writing-3/half", "below/b"):
        write_text(tmp_path / name, "text")
    remove_partials(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "b", "below"]


def test_the_hash_is_that_of_the_standard(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_of(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
