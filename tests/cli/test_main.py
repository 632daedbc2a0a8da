"""`vla-course check`, `progress` and `reset`, as a learner meets them."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest

from vla_course import assets, progress
from vla_course.checks import kernel, notebook
from vla_course.checks.report import Lesson
from vla_course.cli import doctor
from vla_course.cli import main as cli

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
    assert cli.main(["check", "day03", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["notes"] == [
        "a cell ran too long and was interrupted: checks.check_encode_residual(encode_residual)"
    ]
    rows = {row["name"]: row for row in found["exercises"]}
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
    assert sys.platform != "linux" or "✓ triton     can be imported after drawing" in printed


def test_doctor_sees_that_triton_would_kill_kernels_and_says_how_to_remove_it(tmp_path, monkeypatch):
    (tmp_path / "triton.py").write_text("import os; os.abort()")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    finding = doctor.triton()
    assert not finding.ok and "importing it after drawing ends the process" in finding.text
    assert finding.mend == f"{sys.executable} -m pip uninstall -y triton"
    monkeypatch.setattr(doctor, "_quietly", lambda *_: False)
    assert doctor.triton().ok, "where nothing draws, the finding on rendering says what to do"


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


def write_cells(path: str, *sources: str, **about) -> None:
    """A notebook as Colab saves one: format 4.0, cells without ids."""
    cells = [
        {"cell_type": "code", "metadata": {}, "execution_count": None, "outputs": [], "source": source}
        for source in sources
    ]
    cells[0]["metadata"] = {"tags": None, "exercises": 7}
    del cells[1]["source"]
    content = {"nbformat": 4, "nbformat_minor": 0, "metadata": about, "cells": cells}
    Path(path).parent.mkdir(exist_ok=True)
    Path(path).write_text(json.dumps(content))


LEAVES_A_PIPE_AND_PROCESSES = """
import os, subprocess
os.mkfifo(os.environ["VLA_COURSE_HOME"] + "/progress.json.next")
os.replace(os.environ["VLA_COURSE_HOME"] + "/progress.json.next", os.environ["VLA_COURSE_HOME"] + "/progress.json")
for command in (["setsid", "sleep", "300"], ["env", "-i", "setsid", "sleep", "300"]):
    print(subprocess.Popen(command).pid, file=open("pids", "a"))
import time; time.sleep(0.5)
"""
FORGES = """
import json, os
rows = {number: {"name": "", "status": "done", "message": ""} for number in ("03.2", "03.3")}
json.dump({"day03": rows}, open(os.environ["VLA_COURSE_HOME"] + "/progress.json", "w"))
"""


def test_a_notebook_of_someone_else_is_checked_and_nothing_of_it_stays(capsys):
    progress.record("day03", "03.1", "control_rate_hz", "done", "")
    before = progress.read("progress")
    write_notebook({})
    write_cells(
        "student/day03.ipynb",
        IMPORTS,
        "",
        "import a_package_of_colab",
        "def encode_residual(*args):\n    raise ValueError('\\x1b[31mred\\x1b]0;title\\x07 \\x9b5m')",
        "checks.check_encode_residual(encode_residual)",
        FORGES,
        LEAVES_A_PIPE_AND_PROCESSES,
        "print('x' * 300_000_000)",
        kernelspec={"name": "vla-env", "language": "python"},
    )
    held = psutil.Process().memory_info().rss
    code, rows = check(capsys, "--notebook", "student/day03.ipynb")
    assert psutil.Process().memory_info().rss - held < 150e6
    assert code == 1
    assert rows["encode_residual"]["status"] == "error"
    assert "ValueError: red" in rows["encode_residual"]["message"]
    assert not set(rows["encode_residual"]["message"]) & {"\x1b", "\x07", "\x9b"}
    assert "no cell calls" in rows["rotation_error"]["message"], "what another cell wrote is no verdict"
    for pid in Path("student/pids").read_text().split():
        assert not psutil.pid_exists(int(pid)) or psutil.Process(int(pid)).status() == psutil.STATUS_ZOMBIE
    assert progress.read("progress") == before


def test_the_notes_say_where_it_ran_what_is_missing_and_what_was_left(capsys):
    write_cells(
        "day03_mine.ipynb",
        "import no_such_package",
        "",
        LEAVES_A_PIPE_AND_PROCESSES,
        "checks.check_rotation_error(f)",
    )
    content = json.loads(Path("day03_mine.ipynb").read_text())
    content["metadata"] = {"kernelspec": {"name": "vla-env"}}
    Path("day03_mine.ipynb").write_text(json.dumps(content))
    assert cli.main(["check", "3"]) == 1
    printed = capsys.readouterr().out
    assert f"(the notebook names the kernel 'vla-env'; the check ran with {sys.executable})" in printed
    assert f"No module named 'no_such_package') in the environment of {sys.executable}: install" in printed
    assert "NameError: name 'checks' is not defined; an import failed: ModuleNotFoundError" in printed
    assert "(processes that the notebook left running were ended: 2)" in printed
    assert progress.exercises("day03")["03.3"]["status"] == "error", "this one is the learner's own"


def test_only_the_learners_own_notebook_is_recorded(capsys, monkeypatch):
    report = notebook.Report([notebook.Verdict("03.1", "control_rate_hz", "done", "")], [])
    monkeypatch.setattr(notebook, "check", lambda *_: report)
    answers = ("from vla_course import progress\nprogress.keep_apart()", "")
    write_cells("day03_answers.ipynb", *answers)
    write_cells("day03_mine.ipynb", IMPORTS, "")
    write_cells("elsewhere/day03_mine.ipynb", IMPORTS, "")
    for options, reason in (
        (["--notebook", "elsewhere/day03_mine.ipynb"], "is day03_mine.ipynb, and this is another"),
        (["--notebook", "day03_answers.ipynb"], "holds the course's answers"),
        (["--no-record"], "--no-record"),
    ):
        assert cli.main(["check", "day03", *options]) == 0
        assert f"(not recorded in your progress: {reason}" in capsys.readouterr().out.replace(
            "your notebook of day03 ", ""
        ).replace("this notebook ", "")
        assert progress.exercises("day03") == {}
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("VLA_COURSE_HOME", "day03_mine.ipynb/home")
        assert cli.main(["check", "day03"]) == 0
        assert "(not recorded in your progress: [Errno 20] Not a directory" in capsys.readouterr().out
    assert cli.main(["check", "day03", "--notebook", f"../{Path.cwd().name}/day03_mine.ipynb"]) == 0
    assert progress.exercises("day03")["03.1"]["status"] == "done"
    assert "not recorded" not in capsys.readouterr().out


def test_a_notebook_that_changes_the_checks_is_found_and_not_recorded(capsys, monkeypatch, tmp_path):
    package = tmp_path / "package"
    (package / "checks" / "__pycache__").mkdir(parents=True)
    (package / "checks" / "day03.py").write_text("right")
    planted = package / "checks" / "__pycache__" / "day04.pyc"
    monkeypatch.setattr(notebook, "PACKAGE", package)
    patch = f"open({str(package / 'checks' / 'day03.py')!r}, 'w').write('wrong')"
    write_cells("day03_mine.ipynb", f"open({str(planted)!r}, 'w').write('compiled')", "", patch)
    assert cli.main(["check", "day03"]) == 2
    error = capsys.readouterr().err
    assert (
        f"changed while the notebook ran, so nothing was recorded: {package / 'checks' / 'day03.py'}."
        in error
    )
    assert error.count("\n") == 1
    assert not planted.exists()
    assert progress.read("progress") == {}


def test_a_notebook_that_takes_too_much_memory_is_ended(capsys, monkeypatch):
    monkeypatch.setattr(kernel, "MEMORY_LIMIT_GB", 0.5)
    write_cells("day03_mine.ipynb", "held = b'x' * 10**9\nimport time; time.sleep(20)", "", IMPORTS)
    code, rows = check(capsys)
    assert code == 1
    assert rows["rotation_error"]["message"] == "the notebook took more than 0.5 GB of memory and was ended"


def test_cells_before_the_first_exercise_may_load_for_long(monkeypatch, tmp_path):
    monkeypatch.setattr(kernel, "CELL_LIMIT_S", 1.0)
    waits = "import time; time.sleep(1.5)"
    execution = kernel.Execution([waits, waits], unlimited=1)
    execution.run(Path(), tmp_path, 60, after=lambda place: None)
    assert execution.interrupted == {1}


@pytest.mark.parametrize("day", ["3", "03", "day3", "day03", "Day 03"])
def test_a_day_has_several_names(day):
    assert notebook.lesson_of(day).day == "day03"


def test_a_notebook_of_another_day_is_refused(capsys):
    progress.record("day03", "03.1", "control_rate_hz", "done", "")
    write_cells("x.ipynb", "from vla_course.checks import day04 as checks", "")
    write_cells("y.ipynb", "1 + 1", "", source="lessons/day05_lora.py")
    write_cells("z.ipynb", "x <- 1", "", kernelspec={"name": "ir", "language": "R"})
    for path, message in (
        ("x.ipynb", "is a notebook of day04, not of day03: vla-course check day04 --notebook x.ipynb"),
        ("y.ipynb", "is a notebook of day05, not of day03"),
        ("z.ipynb", "is a notebook for R, not for Python"),
    ):
        assert cli.main(["check", "day03", "--notebook", path]) == 2
        assert message in capsys.readouterr().err
    assert list(progress.exercises("day03")) == ["03.1"]


@pytest.mark.timeout(20)
def test_what_is_no_ordinary_file_is_no_notebook(capsys):
    os.mkfifo("day03_pipe.ipynb")
    assert cli.main(["check", "day03", "--notebook", "day03_pipe.ipynb"]) == 2
    assert "day03_pipe.ipynb is not a file" in capsys.readouterr().err
    assert cli.find_notebook("day03") != Path("day03_pipe.ipynb")


def test_the_answers_are_never_the_learners_notebook(monkeypatch):
    monkeypatch.setattr(assets, "is_checkout", lambda: False)
    write_cells("day03_answers.ipynb", "from vla_course import progress\nprogress.keep_apart()", "")
    assert cli.find_notebook("day03") is None
    write_cells("day03_mine.ipynb", IMPORTS, "")
    assert cli.find_notebook("day03") == Path("day03_mine.ipynb")


ENDED_FROM_OUTSIDE = """
import sys
from pathlib import Path
from vla_course.checks.kernel import Execution
cells = ["import subprocess, os; started = subprocess.Popen(['setsid', 'sleep', '300']).pid",
         "open('pids', 'w').write(f'{os.getpid()} {started}'); import time; time.sleep(300)"]
Execution(cells).run(Path(), Path("home"), 100, after=lambda place: None)
"""


def test_sigterm_ends_the_kernel_and_what_it_started():
    Path("home").mkdir()
    checker = subprocess.Popen([sys.executable, "-c", ENDED_FROM_OUTSIDE])
    while not Path("pids").exists() or not Path("pids").read_text():
        assert checker.poll() is None
        time.sleep(0.1)
    checker.terminate()
    assert checker.wait(timeout=60) == 128 + signal.SIGTERM
    for pid in Path("pids").read_text().split():
        assert not psutil.pid_exists(int(pid)) or psutil.Process(int(pid)).status() == psutil.STATUS_ZOMBIE


def test_the_help_says_that_a_check_is_no_sandbox(capsys):
    with pytest.raises(SystemExit):
        cli.main(["check", "--help"])
    assert "This is no sandbox" in " ".join(capsys.readouterr().out.split())


def test_every_reset_keeps_what_was_there(capsys, monkeypatch):
    monkeypatch.setattr(cli, "_fresh", lambda day: "fresh")
    for text in ("first", "second", "third"):
        Path("day03_mine.ipynb").write_text(text)
        assert cli.main(["reset", "3"]) == 0
    kept = [path.read_text() for path in Path().glob("day03_mine.before-reset-*.ipynb")]
    assert sorted(kept) == ["first", "second", "third"]
    assert Path("day03_mine.ipynb").read_text() == "fresh"


@pytest.mark.parametrize("calls", [0, 1])
def test_a_reset_on_a_full_disk_leaves_the_notebook_as_it_was(capsys, monkeypatch, calls):
    monkeypatch.setattr(cli, "_fresh", lambda day: "fresh")
    Path("day03_mine.ipynb").write_text("my work")
    sync, calls_left = os.fsync, [calls]

    def full(descriptor):
        if not calls_left[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        calls_left[0] -= 1
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    assert cli.main(["reset", "day03"]) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert Path("day03_mine.ipynb").read_text() == "my work"
    for path in Path().iterdir():
        assert path.read_text() == "my work", f"{path} is half-written"


@pytest.mark.timeout(20)
def test_progress_shows_what_it_can_of_a_damaged_file(capsys):
    progress.home().mkdir()
    rows = {"03.1": {"name": "f", "status": "\x1b[31mskipped", "message": ""}}
    (progress.home() / "progress.json").write_text(json.dumps({"day03": rows, "day04": []}))
    assert cli.main(["progress"]) == 0
    printed = capsys.readouterr().out
    assert "day03  · · · · ·  5 exercises: 5 not started" in printed
    assert "\x1b" not in printed
    (progress.home() / "progress.json").unlink()
    os.mkfifo(progress.home() / "progress.json")
    assert cli.main(["progress"]) == 0
