"""`make lab`, with programs in place of Python, pip and JupyterLab that only write down how they were called."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from vla_course import assets

NO_ENSUREPIP = """#!/bin/sh
# Debian's python3 without the package python3-venv: half an environment, without pip.
mkdir -p "$3/bin" && printf '#!/bin/sh\\necho No module named pip >&2; exit 1' > "$3/bin/python" && chmod +x "$3/bin/python"
exit 1
"""
COMPLETE = """#!/bin/sh
mkdir -p "$3/bin"
for name in python jupyter vla-course; do
    printf '#!/bin/sh\\necho %s "$*" >> calls\\n' $name > "$3/bin/$name" && chmod +x "$3/bin/$name"
done
"""


@pytest.fixture
def clone(tmp_path) -> Path:
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "requirements.lock"):
        shutil.copy(assets.CHECKOUT / name, tmp_path)
    (tmp_path / "vla_course").mkdir()
    (tmp_path / "vla_course" / "assets.sha256").touch()
    for name, program in (("no-ensurepip", NO_ENSUREPIP), ("complete", COMPLETE)):
        (tmp_path / name).write_text(program)
        (tmp_path / name).chmod(0o755)
    return tmp_path


def make(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs make outside of any conda environment, and of the make that may run these tests."""
    ours = ("CONDA_", "MAKE", "MFLAGS", "VENV", "PINS", "SOLUTIONS")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    command = ["make", *arguments]
    return subprocess.run(
        command, cwd=folder, env=clean | environment, capture_output=True, text=True, timeout=60
    )


def calls(folder: Path) -> list[str]:
    """How the programs were called since this was last asked, without the looks at whether pip is there."""
    written = (folder / "calls").read_text().splitlines() if (folder / "calls").exists() else []
    (folder / "calls").unlink(missing_ok=True)
    return [line for line in written if line != "python -m pip --version"]


def test_without_python3_venv_it_says_what_to_install_and_the_next_try_succeeds(clone):
    result = make(clone, "install", "PYTHON=./no-ensurepip")
    assert result.returncode != 0 and "sudo apt install python3-venv" in result.stdout
    assert not (clone / ".venv").exists(), "half an environment would stop every later try"
    assert make(clone, "install", "PYTHON=./complete").returncode == 0
    assert (clone / ".venv" / ".installed").exists()


def test_half_an_environment_of_an_earlier_version_is_completed(clone):
    subprocess.run(["./no-ensurepip", "-m", "venv", ".venv"], cwd=clone, check=False)
    assert make(clone, "install", "PYTHON=./complete").returncode == 0
    assert [line for line in calls(clone) if "install" in line] != []


def test_without_any_python_it_says_what_is_needed(clone):
    result = make(clone, "install", "PYTHON=")
    assert result.returncode != 0 and "Python 3.11 or newer is needed" in result.stdout
    assert not (clone / ".venv").exists()


def test_the_first_start_says_how_much_it_installs_and_the_second_only_opens_jupyterlab(clone):
    first = make(clone, "lab", "PYTHON=./complete")
    assert first.returncode == 0, first.stderr
    assert "GB" in first.stdout and "some minutes" in first.stdout
    hashed, torch, course, doctor, trust, lab = calls(clone)
    assert hashed.endswith("--require-hashes --no-deps -r requirements.lock") and torch.endswith(" torch")
    assert course.endswith("-e .[lab,gpu]") and "-q" not in hashed + torch + course
    assert doctor == "vla-course doctor --install-gl" and trust == "python tools/trust_notebooks.py"
    assert lab.startswith(
        f"jupyter lab --ServerApp.root_dir={clone} --LabApp.default_url=/lab/tree/notebooks"
    )
    second = make(clone, "lab", "PYTHON=./complete")
    assert calls(clone) == [lab] and "some minutes" not in second.stdout


def test_an_index_with_cpu_builds_serves_torch_alone(clone):
    assert "1." in make(clone, "install", "PYTHON=./complete", "TORCH_INDEX=https://index.example/cpu").stdout
    hashed, torch, course = calls(clone)
    assert torch.endswith("--index-url https://index.example/cpu torch")
    assert "index" not in hashed and "index" not in course


def test_in_the_courses_conda_environment_everything_goes_there_and_clean_leaves_it(clone):
    subprocess.run(["./complete", "-m", "venv", "conda/envs/vla-course"], cwd=clone, check=True)
    prefix = clone / "conda" / "envs" / "vla-course"
    (name,) = {yaml.safe_load((assets.CHECKOUT / "environment.yml").read_text())["name"]}
    active = {"CONDA_DEFAULT_ENV": name, "CONDA_PREFIX": str(prefix)}
    assert make(clone, "lab", **active).returncode == 0
    assert (prefix / ".installed").exists() and not (clone / ".venv").exists()
    assert calls(clone)[-1].startswith(
        f"jupyter lab --ServerApp.root_dir={clone} --LabApp.default_url=/lab/tree"
    )
    make(clone, "clean", **active)
    assert (prefix / "bin" / "python").exists() and not (prefix / ".installed").exists()


def test_another_conda_environment_is_left_alone(clone):
    base = {"CONDA_DEFAULT_ENV": "base", "CONDA_PREFIX": str(clone / "conda")}
    assert make(clone, "install", "PYTHON=./complete", **base).returncode == 0
    assert (clone / ".venv" / ".installed").exists() and not (clone / "conda").exists()


def test_the_newest_libraries_are_installed_beside_without_pins(clone):
    shown = make(clone, "-n", "test-newest", "PYTHON=./complete").stdout
    assert (
        "constraints.txt" not in shown
        and "requirements.lock" not in shown
        and ".venv-newest/bin/python -m pytest" in shown
    )
    assert ".venv/" not in shown
