"""What the repository promises about itself: who imports whom, links that lead somewhere, notebooks that work."""

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

from vla_course import assets, results
from vla_course.axes import AXES
from vla_course.checks.notebook import days, lesson_of
from vla_course.evaluation.intervals import interval_over_trainings, wilson_interval
from vla_course.files import sha256_of

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "vla_course"
LESSONS = sorted((ROOT / "lessons").glob("day*.py"))
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
ADDRESS = PYPROJECT["project"]["urls"]["Repository"]

# A module imports from its own package and from the floors below: never from above, and never from a neighbour on its floor.
FLOORS = (
    {"axes", "policy", "actor_critic", "errors", "files", "settings", "picture"},
    {"assets", "plots", "video", "progress"},
    {"results", "predictions"},
    {"action_tokens", "adapters", "control"},
    {"openvla", "robot", "training"},
    {"memory", "envs", "action_heads"},
    {"data"},
    {"policies", "fine_tuning", "rl"},
    {"imitation", "pretraining", "distributed"},
    {"evaluation", "serving"},
    {"report", "widgets", "leaderboard"},
    {"checks"},
    {"cli", "presets"},
)
ROOT_LIMIT = 14
# Below, and yet strangers.
STRANGERS = {"envs": {"torch", "openvla"}, "control": {"torch"}, "robot": {"torch"}, "openvla": {"envs"}}
STRANGERS |= {"rl": {"openvla", "envs"}, "imitation": {"openvla", "envs"}}


def tracked() -> list[Path]:
    listing = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, text=True, check=True
    )
    return [ROOT / name for name in listing.stdout.split("\0") if name and (ROOT / name).exists()]


def modules() -> list[Path]:
    return [path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"]


def imports(path: Path) -> set[str]:
    """Every module that a file imports anywhere, also inside functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: import from where a thing lives, with its full name"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def part(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_modules_import_downwards(path):
    floor = {name: height for height, names in enumerate(FLOORS) for name in names}
    assert part(path) in floor, f"{part(path)} stands on no floor: add it to FLOORS"
    for name in imports(path):
        top, _, rest = name.partition(".")
        below = rest.split(".")[0]
        if top == "vla_course" and below:
            assert below == part(path) or floor[below] < floor[part(path)], (
                f"{part(path)} imports {below}, which does not stand on a floor below it"
            )
        assert (below if top == "vla_course" else top) not in STRANGERS.get(part(path), set())


def test_environments_know_each_other_by_their_garments_only():
    """What two environments share lies beside them in envs/; the tabletop shows the folding task's garments as flat prints."""
    shared = {"cloth_skin", "garments", "prints"}
    folders = {path.parent.name for path in (PACKAGE / "envs").glob("*/__init__.py")}
    assert {"folding", "tabletop"} <= folders
    for path in (PACKAGE / "envs").rglob("*.py"):
        for name in imports(path):
            other, *rest = name.removeprefix("vla_course.envs.").split(".")
            if name.startswith("vla_course.envs.") and other in folders - {path.parent.name}:
                assert rest[0] in shared, f"{path.relative_to(PACKAGE)} imports {name}"


def test_the_root_holds_few_modules():
    at_root = sorted(path.stem for path in PACKAGE.glob("*.py") if path.name != "__init__.py")
    assert len(at_root) <= ROOT_LIMIT, f"{at_root}: which of these belong into a package?"


def test_every_test_names_the_module_that_it_tests():
    """tests/envs/folding/test_env.py tests vla_course/envs/folding/env.py; words may follow, as in test_model_cameras.py."""
    homes = {"lessons": ROOT / "lessons", "tools": ROOT / "tools"}
    strays = []
    for path in (ROOT / "tests").rglob("test_*.py"):
        folder, name = path.relative_to(ROOT / "tests").parent, path.stem.removeprefix("test_")
        if folder.parts and folder.parts[0] in homes:
            names = {file.stem.split("_")[0] for file in homes[folder.parts[0]].rglob("*.py")}
            names |= {file.stem for file in homes[folder.parts[0]].rglob("*.py")} | {"nano"}
        else:
            names = {file.stem for file in (PACKAGE / folder).glob("*.py")}
            names |= {"house", "makefile", "benchmarks", "moved"} if not folder.parts else set()
        if not any(name == known or name.startswith(f"{known}_") for known in names):
            strays.append(str(path.relative_to(ROOT)))
    assert strays == []


RENAMES_SOMETHING_ELSE = {
    "tools/nano/make_nano.py",  # a whole folder
    "vla_course/progress.py",  # a damaged file, out of the way
}
UNFINISHED = {"mkstemp", "NamedTemporaryFile"}


def test_files_are_replaced_by_files_py_alone():
    """One atomic write, `replacing`: what writes beside and renames by itself forgets to flush, or what an error leaves behind."""
    own = set()
    for path in tracked():
        name = path.relative_to(ROOT).as_posix()
        if path.suffix != ".py" or not name.startswith(("vla_course/", "tools/", "benchmarks/", "lessons/")):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                called, one_path = node.func.attr, len(node.args) == 1 and not node.keywords
                of_os = ast.unparse(node.func.value) == "os" and called in {"replace", "rename"}
                if of_os or called in UNFINISHED or (called in {"replace", "rename"} and one_path):
                    own.add(name)
    assert own - RENAMES_SOMETHING_ELSE == {"vla_course/files.py"}


def test_package_inits_are_empty():
    filled = [
        path for path in PACKAGE.rglob("__init__.py") if path.parent != PACKAGE and path.read_text().strip()
    ]
    assert filled == []


def test_no_file_is_named_after_nothing():
    vague = {"utils", "common", "core", "helpers", "misc", "base"}
    assert [path for path in PACKAGE.rglob("*") if path.stem in vague] == []


def test_axis_letters_are_the_ones_in_axes():
    unknown = set()
    for path in modules():
        for shape in re.findall(
            r'(?:Float|Int|Bool|UInt8|Shaped)\[[^"\]]*"([^"]*)"\]', path.read_text(encoding="utf-8")
        ):
            unknown |= {
                (axis, path.name)
                for axis in shape.split()
                if re.fullmatch("[A-Z]", axis) and axis not in AXES
            }
    assert unknown == set()


# Links and addresses.

LINK = re.compile(r"\]\(([^()\s]+)\)|(?:src|href)=[\"']([^\"']+)[\"']")


def prose() -> list[tuple[Path, str]]:
    """Every text a reader follows links in, with the file it stands in."""
    texts = [
        (ROOT / name, (ROOT / name).read_text(encoding="utf-8"))
        for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
    ]
    texts += [(path, path.read_text(encoding="utf-8")) for path in LESSONS]
    for path in [*ROOT.glob("notebooks/day??_*.ipynb"), *ROOT.glob("solutions/*.ipynb")]:
        cells = nbformat.read(path, 4).cells
        texts.append((path, "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")))
    return texts


@pytest.mark.parametrize(("path", "text"), prose(), ids=lambda value: getattr(value, "name", ""))
def test_every_badge_and_relative_link_leads_to_a_file(path, text):
    repository = ADDRESS.removeprefix("https://github.com/")
    ours = re.compile(
        rf"(?:github\.com/|colab\.research\.google\.com/github/){re.escape(repository)}/(?:blob|tree|raw)/main/(.+)"
    )
    for target in (a or b for a, b in LINK.findall(text)):
        target = target.partition("#")[0]
        if match := ours.search(target):
            assert (ROOT / match[1]).exists(), f"{path.name} links to {target}"
        elif target and not re.match(r"[a-z]+:", target):
            assert (path.parent / target).exists(), f"{path.name} links to {target}"


def test_the_address_is_the_one_in_pyproject():
    for path in tracked():
        if path.suffix in (".py", ".md", ".ipynb", ".yml", ".toml"):
            for found in re.findall(
                r"github\.com/(?:github/)?([\w.-]+/vla-course)\b", path.read_text(encoding="utf-8")
            ):
                assert ADDRESS.endswith("/" + found), f"{path.name} holds another address: {found}"


def test_nothing_tracked_names_a_home_folder():
    home = re.compile(r"(?<![\w.])/(?:home/\w+|Users/\w+|root)/")
    texts = [
        path
        for path in tracked()
        if path.suffix in (".py", ".md", ".ipynb", ".json", ".yml", ".toml", ".txt")
    ]
    assert [
        path.name
        for path in texts
        if path != Path(__file__) and home.search(path.read_text(encoding="utf-8"))
    ] == []


def test_the_readme_tree_lists_what_is_there_and_nothing_else():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    tree = re.search(r"## The tree\n.*?```\n(.*?)```", readme, re.S)
    assert tree is not None
    listed, folder = set(), ""
    for line in tree[1].splitlines():
        names = re.split(r"\s{2,}", line.strip())[0].split()
        folder = "" if not line.startswith(" ") else folder
        listed |= {folder + name for name in names}
        if not line.startswith(" ") and len(names) == 1 and names[0].endswith("/"):
            folder = names[0]
    missing = sorted(name for name in listed if not (ROOT / name).exists())
    assert missing == []
    parts = {
        f"vla_course/{p.name}" + "/" * p.is_dir()
        for p in PACKAGE.iterdir()
        if p.suffix == ".py" or (p / "__init__.py").exists()
    }
    assert sorted(parts - listed - {"vla_course/__init__.py"}) == []
    top = {
        path.relative_to(ROOT).parts[0] + "/" * (len(path.relative_to(ROOT).parts) > 1) for path in tracked()
    }
    assert sorted(top - listed - {".gitignore"}) == []


def test_the_readme_maps_every_day_and_links_those_that_exist():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (\d\d) \| (.+) \|$", readme, re.M))
    assert sorted(rows) == [f"{day:02d}" for day in range(1, 23)]
    linked = {
        day for day, row in rows.items() if f"notebooks/day{day}_" in row and f"solutions/day{day}_" in row
    }
    assert linked == {path.stem[3:5] for path in LESSONS}


# Lessons, notebooks, exercises.


def test_the_readme_states_what_was_recorded():
    tabletop = results.read("nano/success").values["conditions"]
    towels = results.read("day05/towel").values["rows"]
    rows = [
        tabletop[name]
        for name in ("touch/seen", "touch/unseen_combination", "pick_up/seen", "pick_up/wrong_words")
    ]
    wanted = []
    for won, starts in [(row["successes"], row["starts"]) for row in rows]:
        low, high = wilson_interval(won, starts)
        wanted.append(f"{won} of {starts} ({100 * low:.0f}–{100 * high:.0f} %)")
    for family in ("zero-shot", "LoRA", "QLoRA"):
        trained = [row for name, row in towels.items() if name.split(",")[0] == family]
        won, starts = (sum(row[what] for row in trained) for what in ("successes", "episodes"))
        if len(trained) == 1:
            (low, high), over = wilson_interval(won, starts), ""
        else:  # a claim about a recipe: a training is one draw of it, not an episode
            rates = np.array([row["successes"] / row["episodes"] for row in trained])
            (low, high), over = interval_over_trainings(rates), ", over trainings"
        wanted.append(f"{won} of {starts} ({100 * low:.0f}–{100 * high:.0f} %{over})")
    section = (
        (ROOT / "README.md")
        .read_text(encoding="utf-8")
        .split("## What was measured")[1]
        .split("## The map")[0]
    )
    stated = [line.split("|")[2].strip() for line in section.splitlines() if line.startswith("|")][2:]
    assert stated == wanted


def test_every_lesson_has_checks_notebooks_and_its_mistakes():
    assert LESSONS, "no lessons found"
    assert [path.stem.split("_")[0] for path in LESSONS] == days()
    for path in LESSONS:
        assert (ROOT / "notebooks" / f"{path.stem}.ipynb").exists()
        assert (ROOT / "solutions" / f"{path.stem}.ipynb").exists()
        assert (ROOT / "tests" / "checks" / f"test_{path.stem.split('_')[0]}.py").exists()


def test_no_notebook_is_left_from_a_lesson_that_is_gone():
    stems = {path.stem for path in LESSONS}
    assert {p.stem for folder in ("notebooks", "solutions") for p in (ROOT / folder).glob("*.ipynb")} >= stems
    assert {p.stem for p in tracked() if p.suffix == ".ipynb"} == stems


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_asks_for_every_declared_exercise_and_checks_it(path):
    lesson, text = lesson_of(path.stem.split("_")[0]), path.read_text(encoding="utf-8")
    for name, task in lesson.exercises.items():
        assert re.search(
            rf"^from {re.escape(task.module)} import {name.split('.')[0]} +# exercise", text, re.M
        )
        assert f"checks.{lesson.checks[name].__name__}(" in text


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_an_unsolved_notebook_says_not_finished_yet_at_every_check(path, tmp_path, monkeypatch):
    monkeypatch.setenv("VLA_COURSE_HOME", str(tmp_path))
    notebook = nbformat.read(ROOT / "notebooks" / f"{path.stem}.ipynb", 4)
    notebook.cells = [cell for cell in notebook.cells if "demo" not in cell.metadata.get("tags", [])]
    resources = {"metadata": {"path": str(ROOT / "notebooks")}}
    NotebookClient(notebook, timeout=120, allow_errors=True, resources=resources).execute()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    errors = {cell.source: out for cell in code for out in cell.outputs if out.output_type == "error"}
    assert next(iter(errors.values())).ename == "Unfinished", "the first thing that stops Run all"
    lesson = lesson_of(path.stem.split("_")[0])
    for name, check in lesson.checks.items():
        (verdict,) = (errors[source] for source in errors if f"checks.{check.__name__}(" in source)
        assert verdict.ename == "Unfinished"
        assert "is not finished yet" in verdict.traceback[0]
        assert verdict.traceback[-1].endswith(lesson.exercises[name].way_out)


def test_every_asset_is_listed_for_download():
    for name in assets.manifest():
        assert sha256_of(ROOT / name) == assets.manifest()[name]


def test_a_test_without_an_assert_is_found_by_ruff():
    rules = PYPROJECT["tool"]["ruff"]["lint"]
    assert "B" in rules["select"], "B015 finds the comparison whose assert is missing"
    ignored = [*rules["ignore"], *(rule for rules_ in rules["per-file-ignores"].values() for rule in rules_)]
    assert not {"B", "B015"} & set(ignored)


def test_every_test_asserts_something():
    silent = []
    for path in sorted((ROOT / "tests").glob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                text = ast.unparse(node)
                if not re.search(r"\bassert|pytest\.raises|check_env|assert_|verify|warns", text):
                    silent.append(f"{path.name}::{node.name}")
    assert silent == []


def test_every_dependency_says_what_it_is_for_and_is_pinned():
    declared = [*PYPROJECT["project"]["dependencies"]]
    declared += [name for names in PYPROJECT["project"]["optional-dependencies"].values() for name in names]
    names = {re.split(r"[\[>=<; ]", line)[0].lower() for line in declared}
    pinned = {line.split("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines()}
    assert names - pinned == set()
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").lower()
    assert sorted(name for name in names if f"`{name}`" not in contributing) == []


def test_constraints_are_exact():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert {"torch==2.13.0", "triton==3.7.1"} <= set(lines)
    assert [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == []


def test_what_a_learner_installs_is_pinned_with_hashes_except_torch():
    lock = (ROOT / "requirements.lock").read_text()
    pinned = {line.lower().replace("_", "-") for line in (ROOT / "constraints.txt").read_text().splitlines()}
    blocks = [block.replace("\\\n", "").split() for block in re.split(r"\n(?=\S)", lock.strip())]
    assert [pin for pin, *_ in blocks if pin not in pinned] == []
    assert [pin for pin, *hashes in blocks if not hashes] == []
    assert {re.sub("[0-9a-f]{64}", "", one) for _, *hashes in blocks for one in hashes} == {"--hash=sha256:"}
    project = PYPROJECT["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["lab"]]
    names = {re.split(r"[\[>=<; ]", line)[0].lower().replace("_", "-") for line in wanted}
    assert names - {pin.split("==")[0] for pin, *_ in blocks} == {"torch"}


def test_pictures_start_in_one_place_where_triton_is_loaded_first():
    """Only doctor draws with MuJoCo's own renderer, in a process of its own."""
    places = [*modules(), *LESSONS, *(ROOT / "tools").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]
    starting = re.compile(r"\bGLContext\(|mujoco\.Renderer\(|mujoco\.viewer")
    found = {
        path.relative_to(ROOT).as_posix()
        for path in places
        if starting.search(path.read_text(encoding="utf-8"))
    }
    assert found == {"vla_course/envs/opengl.py", "vla_course/cli/doctor.py"}
