"""`vla-course check`, `progress` and `reset`, as a learner meets them."""

import json
import time
from pathlib import Path

import nbformat
import pytest

from vla_course import assets, cli, doctor, progress
from vla_course.checks import kernel, notebook
from vla_course.checks.report import Lesson

IMPORTS = "import numpy as np\nfrom vla_course.checks import day03 as checks"
LESSON: Lesson = notebook.lesson_of("day03")
LIBRARY = {name: f"from {task.module} import {task.name}" for name, task in LESSON.exercises.items()}
OWN = "def {name}(*args, **kwargs):\n    from {module} import {name} as answer\n    return answer(*args, **kwargs)"


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    monkeypatch.setenv("VLA_COURSE_HOME", str(tmp_path / "home"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def write_notebook(answers: dict[str, str], extra: str = "") -> None:
    """A learner's notebook of day 03; exercises that `answers` leaves out are solved."""
    cells = [nbformat.v4.new_code_cell(IMPORTS), nbformat.v4.new_code_cell(extra)]
    for name, task in LESSON.exercises.items():
        solved = OWN.format(name=name, module=task.module)
        cells.append(nbformat.v4.new_code_cell(answers.get(name, solved)))
        cells.append(nbformat.v4.new_code_cell(f"checks.check_{name}({name})"))
    demo = nbformat.v4.new_code_cell("raise SystemError('a demo ran')", metadata={"tags": ["demo"]})
    nbformat.write(nbformat.v4.new_notebook(cells=[*cells, demo]), "day03_mine.ipynb")


def check(capsys, *options: str) -> tuple[int, dict[str, dict[str, str]]]:
    code = cli.main(["check", "day03", "--json", *options])
    rows = json.loads(capsys.readouterr().out)["exercises"]
    return code, {row["name"]: row for row in rows}


def test_every_way_to_stand_is_told_apart_and_hides_nothing(capsys, monkeypatch):
    monkeypatch.setattr(kernel, "CELL_LIMIT_S", 2.0)
    write_notebook(
        {
            "control_rate_hz": "def control_rate_hz(prefill_s, token_s, action_dim, chunk=1):\n    return 1 /",
            "encode_residual": "def encode_residual(expert_target, base_target, scale):\n    while True:\n        pass",
            "rotation_error": "def rotation_error(current, target):\n    raise NotImplementedError",
            "damped_least_squares": "def damped_least_squares(jacobian, error, damping):\n"
            "    return jacobian.T @ error",
            "end_effector_delta": "def end_effector_delta(*pose):\n    return pozition",
        }
    )
    code, rows = check(capsys)
    assert code == 1
    assert {name: row["status"] for name, row in rows.items()} == {
        "control_rate_hz": "error",
        "encode_residual": "error",
        "rotation_error": "not finished",
        "damped_least_squares": "wrong",
        "end_effector_delta": "error",
    }
    assert "SyntaxError" in rows["control_rate_hz"]["message"]
    assert "line 2 of the cell" in rows["control_rate_hz"]["message"]
    assert "a loop that never ends" in rows["encode_residual"]["message"]
    assert "hint:" in rows["damped_least_squares"]["message"]
    assert "'pozition' is not defined" in rows["end_effector_delta"]["message"]
    assert "return pozition" in rows["end_effector_delta"]["message"]


def test_a_solved_notebook_is_done_and_progress_shows_it(capsys):
    write_notebook(
        {"control_rate_hz": LIBRARY["control_rate_hz"], "rotation_error": "checks.borrow('rotation_error')"}
    )
    assert cli.main(["check", "day03"]) == 0
    printed = capsys.readouterr().out
    assert "5 exercises: 3 done, 2 borrowed" in printed
    assert "✓ 03.2 encode_residual: done" in printed
    assert cli.main(["progress", "--json"]) == 0
    table = json.loads(capsys.readouterr().out)["day03"]
    assert [row["status"] for row in table.values()] == ["borrowed", "done", "borrowed", "done", "done"]
    assert cli.main(["progress"]) == 0
    assert "day03  ≈ ✓ ≈ ✓ ✓" in capsys.readouterr().out


def test_the_whole_notebook_has_a_time_limit(capsys):
    write_notebook({}, extra="while True:\n    pass")
    began = time.monotonic()
    code, rows = check(capsys, "--timeout", "2")
    assert time.monotonic() - began < 25
    assert code == 1
    assert {row["status"] for row in rows.values()} == {"error"}
    assert "time limit of 2 s" in rows["control_rate_hz"]["message"]


def test_a_dead_kernel_is_reported(capsys):
    write_notebook({"encode_residual": "import os\nos._exit(1)"})
    code, rows = check(capsys)
    assert code == 1
    assert rows["control_rate_hz"]["status"] == "done"
    assert "the kernel died in this cell: import os" in rows["rotation_error"]["message"]


def test_a_deleted_check_is_said(capsys):
    write_notebook({})
    mine = nbformat.read("day03_mine.ipynb", 4)
    mine.cells = [cell for cell in mine.cells if "check_rotation_error" not in cell.source]
    nbformat.write(mine, "day03_mine.ipynb")
    _, rows = check(capsys)
    assert "no cell calls checks.check_rotation_error" in rows["rotation_error"]["message"]


@pytest.mark.parametrize(
    ("arguments", "content", "message"),
    [
        (["check", "day77"], None, f"there is no 'day77'; the days so far: {', '.join(notebook.days())}"),
        (["reset", "day77"], None, "there is no 'day77'"),
        (["check", "day03", "--notebook", "nowhere.ipynb"], None, "no notebook at nowhere.ipynb"),
        (["check", "day03", "--notebook", "x.ipynb"], '{"cells": [', "is damaged"),
        (["check", "day03", "--notebook", "x.ipynb"], '{"nbformat": 4, "cells": 3}', "is damaged"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_code_2(capsys, arguments, content, message):
    if content is not None:
        Path("x.ipynb").write_text(content)
    assert cli.main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_no_notebook_in_this_folder(capsys, monkeypatch):
    monkeypatch.setattr(assets, "is_checkout", lambda: False)
    assert cli.main(["check", "day03"]) == 2
    assert "name it with --notebook" in capsys.readouterr().err


def test_reset_hands_out_a_fresh_copy_and_keeps_the_learners(capsys):
    Path("day03_mine.ipynb").write_text("my work")
    assert cli.main(["reset", "day03"]) == 0
    (kept,) = Path().glob("day03_mine.before-reset-*.ipynb")
    assert kept.read_text() == "my work"
    assert "raise NotImplementedError" in Path("day03_mine.ipynb").read_text()
    assert cli.find_notebook("day03") == Path("day03_mine.ipynb")


def test_reset_after_pip_install_downloads_the_notebook(monkeypatch, tmp_path):
    monkeypatch.setattr(assets, "is_checkout", lambda: False)
    monkeypatch.setattr(assets, "manifest", lambda: {"notebooks/day03_x.ipynb": "0"})
    (tmp_path / "stored.ipynb").write_text("fresh")
    monkeypatch.setattr(assets, "find", lambda name: tmp_path / "stored.ipynb")
    assert cli.main(["reset", "day03"]) == 0
    assert Path("day03_x.ipynb").read_text() == "fresh"


def test_a_failed_reset_leaves_the_learners_notebook(monkeypatch):
    Path("day03_mine.ipynb").write_text("my work")

    def broken(day):
        raise OSError("no network")

    monkeypatch.setattr(cli, "_fresh", broken)
    assert cli.main(["reset", "day03"]) == 2
    assert Path("day03_mine.ipynb").read_text() == "my work"


def test_progress_before_anything_was_started(capsys):
    assert cli.main(["progress"]) == 0
    assert "5 not started" in capsys.readouterr().out
    assert progress.read("progress") == {}


def test_doctor_finds_this_machine_ready(capsys):
    assert cli.main(["doctor"]) == 0
    printed = capsys.readouterr().out
    assert "MuJoCo draws with" in printed
    assert "encodes H.264" in printed


def test_doctor_prints_the_command_for_what_is_wrong(capsys, monkeypatch):
    monkeypatch.setattr(doctor, "_quietly", lambda *_: False)
    assert cli.main(["doctor"]) == 1
    printed = capsys.readouterr().out
    assert "no working OpenGL" in printed
    assert "mend it with: sudo apt-get install -y libegl1" in printed


def test_missing_gl_is_not_installed_without_the_right_to(capsys, monkeypatch):
    monkeypatch.setattr(doctor, "_quietly", lambda *_: False)
    monkeypatch.setattr(doctor.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(doctor.platform, "system", lambda: "Linux")
    assert cli.main(["doctor", "--install-gl"]) == 1
    assert "sudo apt-get install -y libegl1" in capsys.readouterr().out
