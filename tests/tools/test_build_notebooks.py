"""The generator: one lesson in, an exercise notebook and a solution notebook out."""

import importlib.util
import sys
import types
from pathlib import Path

import nbformat
import pytest

from vla_course.checks.report import Lesson, WorkedCase

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location("build_notebooks", ROOT / "tools" / "build_notebooks.py")
assert spec is not None and spec.loader is not None
build_notebooks = importlib.util.module_from_spec(spec)
spec.loader.exec_module(build_notebooks)

LIBRARY = '''
import functools
import math


@functools.cache
def area(radius: float) -> float:
    """The area of a disc."""
    # the learner writes this
    return math.pi * radius**2


class Disc:
    """A disc."""

    def __init__(self, radius: float) -> None:
        self.radius = radius

    def rim(self) -> float:
        """Its circumference."""
        return 2 * math.pi * self.radius

    def grow(self) -> "Disc":
        return Disc(2 * self.radius)
'''
LESSON = """# %% [markdown]
# # Day 99 · Discs

# %%
import functools
import math

# %% [markdown]
# ## Exercise

# %%
from toy_discs import area  # exercise

# %%
from toy_discs import Disc  # exercise: rim

# %%
round(area(2.0), 2)

# %% tags=["demo"]
Disc(1.0).grow().rim()

# %% tags=["picture"]
from IPython.display import HTML

HTML("<b>a picture</b>")

# %% [markdown] tags=["solution"]
# Why squared?
"""


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A course of one lesson about discs."""
    library, course = tmp_path / "library", tmp_path / "course"
    for folder in (library, course / "lessons"):
        folder.mkdir(parents=True)
    (library / "toy_discs.py").write_text(LIBRARY)
    (course / "lessons" / "day99_discs.py").write_text(LESSON)
    (course / "pyproject.toml").write_text(
        '[project.urls]\nRepository = "https://github.com/someone/discs"\n'
    )
    monkeypatch.syspath_prepend(str(library))
    lesson = Lesson("day99")
    for number, name in (("99.1", "area"), ("99.2", "Disc.rim")):
        lesson.exercise(
            number,
            library=f"toy_discs:{name}",
            minutes=7,
            difficulty=2,
            hints=("think", "shape", "`return …`"),
            case=WorkedCase("area(1)", (("r", "1"),), 3.14159),
        )
    module = types.ModuleType("vla_course.checks.day99")
    module.lesson = lesson
    monkeypatch.setitem(sys.modules, "vla_course.checks.day99", module)
    return course


def write(root: Path, *arguments: str) -> int:
    return build_notebooks.main(list(arguments), root)


def read(root: Path, folder: str) -> nbformat.NotebookNode:
    return nbformat.read(root / folder / "day99_discs.ipynb", 4)


def source(notebook: nbformat.NotebookNode) -> str:
    return "\n\n".join(cell.source for cell in notebook.cells)


def edit(root: Path, old: str, new: str) -> None:
    lesson = root / "lessons" / "day99_discs.py"
    assert old in lesson.read_text()
    lesson.write_text(lesson.read_text().replace(old, new))


def test_the_exercise_keeps_signature_and_docstring_and_loses_the_body(root):
    assert write(root) == 0
    text = source(read(root, "notebooks"))
    assert (
        "@functools.cache\ndef area(radius: float) -> float:\n"
        '    """The area of a disc."""\n    # YOUR CODE HERE\n    raise NotImplementedError'
    ) in text
    assert "math.pi" not in text
    assert "self.radius = radius" in text, "only the named methods of a class are blanked"
    assert 'def grow(self) -> "Disc":\n        return Disc(2 * self.radius)' in text
    assert "Why squared?" not in text


def test_the_solution_is_the_librarys_own_source(root):
    write(root)
    text = source(read(root, "solutions"))
    assert "    # the learner writes this\n    return math.pi * radius**2" in text
    assert "Why squared?" in text
    assert "NotImplementedError" not in text


def test_every_exercise_has_its_header(root):
    write(root)
    cells = read(root, "notebooks").cells
    places = [index for index, cell in enumerate(cells) if "exercises" in cell.metadata]
    assert [cells[index].metadata["exercises"] for index in places] == [["area"], ["Disc.rim"]]
    for index in places:
        assert "about 7 minutes · difficulty ●●○" in cells[index - 1].source
        assert cells[index - 1].source.count("<details>") == 3


def test_badge_and_install_cell_derive_from_pyproject(root):
    write(root)
    title, install = read(root, "notebooks").cells[:2]
    assert (
        "colab.research.google.com/github/someone/discs/blob/main/notebooks/day99_discs.ipynb" in title.source
    )
    assert '%pip install -q "vla-course @ git+https://github.com/someone/discs"' in install.source
    assert '"google.colab" in sys.modules' in install.source


def test_the_exercises_say_what_run_all_does_where_there_are_exercises(root):
    write(root)
    assert "**Run All** stops at the first exercise" in read(root, "notebooks").cells[0].source
    assert "Run All" not in source(read(root, "solutions"))
    for exercise in ("from toy_discs import area  # exercise", "from toy_discs import Disc  # exercise: rim"):
        edit(root, exercise, exercise.partition("  #")[0])
    write(root)
    assert "Run All" not in source(read(root, "notebooks"))


@pytest.mark.parametrize("folder", ["notebooks", "solutions"])
def test_the_last_cell_says_to_shut_down_the_kernel(root, folder):
    write(root)
    assert "shut down this notebook's kernel" in read(root, folder).cells[-1].source


def test_solutions_keep_their_records_apart_before_anything_is_judged(root):
    write(root)
    assert "progress.keep_apart()" in read(root, "solutions").cells[2].source
    assert "keep_apart" not in source(read(root, "notebooks"))


def test_check_passes_after_execute_and_fails_after_any_change(root, capsys):
    assert write(root) == 0
    assert write(root, "--check") == 1
    assert "never run" in capsys.readouterr().err
    assert write(root, "--execute") == 0
    assert write(root, "--check") == 0
    before = (root / "solutions" / "day99_discs.ipynb").read_text()
    assert write(root) == 0
    assert (root / "solutions" / "day99_discs.ipynb").read_text() == before
    edit(root, "round(area(2.0), 2)", "round(area(3.0), 2)")
    assert write(root, "--check") == 1
    assert "out of date" in capsys.readouterr().err


def test_outputs_are_kept_where_the_source_is_and_pictures_reach_the_exercise(root):
    write(root, "--execute")
    edit(root, "round(area(2.0), 2)", "round(area(3.0), 2)")
    write(root)
    outputs = {
        cell.source: cell.outputs for cell in read(root, "solutions").cells if cell.cell_type == "code"
    }
    assert outputs["round(area(3.0), 2)"] == []
    assert outputs["Disc(1.0).grow().rim()"][0]["data"]["text/plain"].startswith("12.56")
    handed_out = [cell for cell in read(root, "notebooks").cells if cell.get("outputs")]
    assert [cell.metadata["tags"] for cell in handed_out] == [["picture"]]


def test_a_changed_library_function_makes_the_notebooks_stale(root):
    write(root, "--execute")
    library = root.parent / "library" / "toy_discs.py"
    library.write_text(library.read_text().replace("radius**2", "radius * radius"))
    assert write(root, "--check") == 1


def test_demo_tags_survive(root):
    write(root)
    tagged = [
        cell.source for cell in read(root, "notebooks").cells if "demo" in cell.metadata.get("tags", [])
    ]
    assert tagged == ["Disc(1.0).grow().rim()"]


def test_paths_of_this_machine_are_stripped(root):
    edit(root, "round(area(2.0), 2)", "import os; print(os.path.expanduser('~') + '/x', os.__file__)")
    write(root, "--execute")
    stored = (root / "solutions" / "day99_discs.ipynb").read_text()
    assert str(Path.home()) + "/" not in stored
    assert "~/x" in stored


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("import functools\nimport math\n", "import functools\n", "uses math, which no cell"),
        ("import area  #", "import volume  #", "defines no volume"),
        ("# exercise: rim", "# exercise: roll", "has no roll"),
        ("# exercise: rim", "# exercise", "is a class: name the methods"),
        ("# exercise: rim", "# exercise: grow", "declares no Disc.grow"),
        ("from toy_discs import area", "from no_such_discs import area", "no module no_such_discs"),
        ("# # Day 99 · Discs", "# Day 99", "first cell must be Markdown with the title"),
        ("# ## Exercise", "# ![a disc](../data/disc.png)", "does not show on Colab"),
    ],
)
def test_a_lesson_that_cannot_work_fails_in_one_line(root, capsys, old, new, message):
    edit(root, old, new)
    assert write(root) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_no_lessons_is_an_error(root, capsys):
    (root / "lessons" / "day99_discs.py").unlink()
    assert write(root, "--check") == 1
    assert "no lessons found" in capsys.readouterr().err


def test_a_notebook_over_the_size_limit_is_refused(root, capsys):
    edit(root, "round(area(2.0), 2)", "print('x' * 1_600_000)")
    assert write(root, "--execute") == 1
    assert "over the limit" in capsys.readouterr().err


def test_one_fresh_exercise_notebook(root, tmp_path):
    fresh = tmp_path / "fresh.ipynb"
    assert write(root, "--exercise", "day99", str(fresh)) == 0
    write(root)
    assert fresh.read_text() == (root / "notebooks" / "day99_discs.ipynb").read_text()
