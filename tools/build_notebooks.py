"""Write notebooks/ and solutions/ from lessons/.

A lesson is a script in the percent format that imports what the learner is to write:

    from vla_course.rl.advantages import gae                # exercise
    from vla_course.adapters.lora import LoRALinear         # exercise: forward, merged

The solution shows the library's own source in that place. The exercise shows its signature and docstring, under a cell
with the time, the difficulty and the three hints that `vla_course.checks.dayNN` declares.

    python tools/build_notebooks.py              write what is out of date, keep stored outputs
    python tools/build_notebooks.py --check      write nothing, fail where something is out of date
    python tools/build_notebooks.py --execute    run the solutions too and store their outputs (days may follow)
    python tools/build_notebooks.py --exercise day03 PATH     one fresh exercise notebook, for `vla-course reset`
"""

import argparse
import ast
import builtins
import copy
import hashlib
import importlib
import importlib.util
import os
import re
import symtable
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from IPython.core.inputtransformer2 import TransformerManager
from nbclient import NotebookClient

from vla_course.checks.notebook_file import ANSWERS
from vla_course.checks.report import Exercise

ROOT = Path(__file__).resolve().parents[1]
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
SIZE_LIMIT_BYTES = 1_500_000
EXERCISE = re.compile(
    r"^from (?P<module>[\w.]+) import (?P<name>\w+) +# exercise(?:: (?P<methods>\w+(?:, \w+)*))?$", re.M
)
RELATIVE_PICTURE = re.compile(r"!\[[^\]]*\]\((?!https?:)|<img [^>]*src=[\"'](?!https?:)")
WIDGET = "application/vnd.jupyter.widget-view+json"


class LessonError(Exception):
    """A lesson that no notebook can be made of, said in one line."""


def address(root: Path = ROOT) -> str:
    """The repository's address; pyproject.toml is the one place where it stands."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["urls"]["Repository"])


def read_lesson(path: Path) -> nbformat.NotebookNode:
    """The lesson as a notebook with stable cell ids, so that rebuilding changes nothing."""
    lesson = jupytext.read(path, fmt="py:percent")
    lesson.metadata = {"kernelspec": KERNEL, "source": f"lessons/{path.name}"}
    lesson.nbformat, lesson.nbformat_minor = 4, 5
    seen: Counter[str] = Counter()
    for cell in lesson.cells:
        digest = hashlib.sha256(cell.source.encode()).hexdigest()[:8]
        seen[digest] += 1
        cell.id = f"{digest}-{seen[digest]}"
        cell.metadata = {key: value for key, value in cell.metadata.items() if key == "tags"}
        if cell.cell_type == "markdown" and RELATIVE_PICTURE.search(cell.source):
            raise LessonError(
                f"{path.name}: a picture linked from Markdown does not show on Colab. Show it from a code cell "
                'with the tag "picture": Picture(assets.find("data/pictures/NAME.png").read_bytes(), alt="what it shows")'
            )
    if not lesson.cells or not lesson.cells[0].source.startswith("# "):
        raise LessonError(f"{path.name}: the first cell must be Markdown with the title, `# Day NN · …`")
    return lesson


# Two ways to show an exercise: with the library's body, and without.


def library_source(match: re.Match[str]) -> tuple[Any, list[str]]:
    """The syntax tree and the lines of the library file that holds one exercise."""
    spec = importlib.util.find_spec(match["module"])
    if spec is None or spec.origin is None:
        raise LessonError(f"no module {match['module']}")
    text = Path(spec.origin).read_text(encoding="utf-8")
    for node in ast.parse(text).body:
        if getattr(node, "name", None) == match["name"]:
            return node, text.splitlines()
    raise LessonError(f"{match['module']} defines no {match['name']}")


def first_line(node: Any) -> int:
    return min(part.lineno for part in [node, *node.decorator_list]) - 1


def solution(match: re.Match[str]) -> str:
    node, lines = library_source(match)
    return "\n".join(lines[first_line(node) : node.end_lineno])


def stub(match: re.Match[str]) -> str:
    """The same source with each exercised body replaced by `raise NotImplementedError`."""
    node, lines = library_source(match)
    wanted = match["methods"].split(", ") if match["methods"] else [match["name"]]
    if isinstance(node, ast.ClassDef) and not match["methods"]:
        raise LessonError(f"{match['name']} is a class: name the methods to write, `# exercise: forward`")
    found = {part.name: part for part in ast.walk(node) if isinstance(part, ast.FunctionDef)}
    missing = [name for name in wanted if name not in found]
    if missing:
        raise LessonError(f"{match['module']}.{match['name']} has no {', '.join(missing)}")
    end = node.end_lineno
    for function in sorted((found[name] for name in wanted), key=lambda part: -part.lineno):
        indent = " " * function.body[0].col_offset
        first = function.body[0].end_lineno if ast.get_docstring(function) else function.body[0].lineno - 1
        lines[first : function.end_lineno] = [
            f"{indent}# YOUR CODE HERE",
            f"{indent}raise NotImplementedError",
        ]
        end += 2 - (function.end_lineno - first)
    return "\n".join(lines[first_line(node) : end])


def exercise_names(source: str) -> list[str]:
    """`gae`, or `LoRALinear.forward` and `LoRALinear.merged`, for each exercise in a cell."""
    names = []
    for match in EXERCISE.finditer(source):
        methods = match["methods"].split(", ") if match["methods"] else []
        names += [f"{match['name']}.{method}" for method in methods] or [match["name"]]
    return names


def header(task: Exercise) -> str:
    """The Markdown in front of an exercise: what it costs, and three hints to open one by one."""
    dots = "●" * task.difficulty + "○" * (3 - task.difficulty)
    titles = ("Hint 1: the idea", "Hint 2: the shape of it", "Hint 3: the first line")
    hints = [
        f"<details><summary>{title}</summary>\n\n{text}\n\n</details>"
        for title, text in zip(titles, task.hints, strict=True)
    ]
    line = f"**Exercise {task.number}** · `{task.name}` · about {task.minutes} minutes · difficulty {dots}"
    return "\n\n".join([line, *hints])


def check_names(lesson: nbformat.NotebookNode, where: str) -> None:
    """Fail where an exercised function uses a name that no cell of the lesson defines before it."""
    defined = set(vars(builtins)) | {"__name__"}
    for cell in lesson.cells:
        if cell.cell_type != "code":
            continue
        EXERCISE.sub(stub, cell.source)  # says in words where a named function or method does not exist
        table = symtable.symtable(
            TransformerManager().transform_cell(EXERCISE.sub(solution, cell.source)), where, "exec"
        )
        defined |= {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported()}
        missing = sorted(global_names(table) - defined) if EXERCISE.search(cell.source) else []
        if missing:
            raise LessonError(
                f"{where}: {', '.join(exercise_names(cell.source))} uses {', '.join(missing)}, which no cell of the "
                "lesson up to there defines: import it in an earlier cell"
            )


def global_names(table: symtable.SymbolTable) -> set[str]:
    """Every name that some code in this block looks up among the notebook's own names."""
    top = table.get_type() == "module"
    names = {s.get_name() for s in table.get_symbols() if s.is_referenced() and (top or s.is_global())}
    return names.union(*(global_names(child) for child in table.get_children()))


# From one lesson to its two notebooks.


RUN_ALL = (
    "**Run All** stops at the first exercise that is still open; the cells after it need your answer. Write it, run the "
    "check below it, and go on from there."
)
APART = f"from vla_course import progress\n\n{ANSWERS}  # nothing that runs here counts as yours"
SHUT_DOWN = (
    "*When you are done, shut down this notebook's kernel (in JupyterLab: Kernel → Shut Down Kernel). An open kernel keeps "
    "about a gigabyte of memory, also after its tab is closed.*"
)


def furnish(lesson: nbformat.NotebookNode, path: Path, folder: str, root: Path) -> nbformat.NotebookNode:
    """Add what every notebook has: the Colab badge, the cell that installs on Colab, a header per exercise, how to end.

    Exercises say at the top what "Run All" does. Solutions keep their records apart from the learner's.
    """
    notebook = copy.deepcopy(lesson)
    repository = address(root)
    target = f"{repository.removeprefix('https://github.com/')}/blob/main/{folder}/{path.stem}.ipynb"
    badge = "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
    notebook.cells[0].source += f"\n\n{badge}(https://colab.research.google.com/github/{target})"
    install = (
        "import sys\n\n"
        'if "google.colab" in sys.modules:  # on Colab, install the course; anywhere else this cell does nothing\n'
        f'    %pip install -q "vla-course @ git+{repository}"\n'
        "    !vla-course doctor --install-gl"
    )
    if folder == "notebooks" and any(exercise_names(cell.source) for cell in lesson.cells):
        notebook.cells[0].source += f"\n\n{RUN_ALL}"
    cells = [notebook.cells[0], nbformat.v4.new_code_cell(install, id="colab-install")]
    if folder == "solutions":
        cells.append(nbformat.v4.new_code_cell(APART, id="answers-apart"))
    for cell in notebook.cells[1:]:
        names = exercise_names(cell.source) if cell.cell_type == "code" else []
        if names:
            tasks = declared_exercises(path)
            unknown = [name for name in names if name not in tasks]
            if unknown:
                raise LessonError(
                    f"{path.name}: vla_course.checks.{day_of(path)} declares no {', '.join(unknown)}"
                )
            text = "\n\n".join(header(tasks[name]) for name in names)
            digest = hashlib.sha256(text.encode()).hexdigest()[:8]
            cells.append(nbformat.v4.new_markdown_cell(text, id=f"hints-{digest}"))
            cell.metadata["exercises"] = names
        cells.append(cell)
    notebook.cells = [*cells, nbformat.v4.new_markdown_cell(SHUT_DOWN, id="shut-down")]
    return notebook


def day_of(path: Path) -> str:
    return path.stem.split("_")[0]


def declared_exercises(path: Path) -> Mapping[str, Exercise]:
    exercises: Mapping[str, Exercise] = importlib.import_module(
        f"vla_course.checks.{day_of(path)}"
    ).lesson.exercises
    return exercises


def to_solutions(lesson: nbformat.NotebookNode, path: Path, root: Path) -> nbformat.NotebookNode:
    """The lesson with the answers in; cells whose source did not change keep their stored outputs."""
    notebook = furnish(lesson, path, "solutions", root)
    existing = root / "solutions" / f"{path.stem}.ipynb"
    stored = {cell.id: cell for cell in nbformat.read(existing, 4).cells} if existing.exists() else {}
    for cell in notebook.cells:
        cell.source = EXERCISE.sub(solution, cell.source)
        old = stored.get(cell.id)
        if old is not None and old.source == cell.source and cell.cell_type == "code":
            cell.outputs, cell.execution_count = old.outputs, old.execution_count
    return notebook


def to_exercises(
    lesson: nbformat.NotebookNode, path: Path, root: Path, solved: nbformat.NotebookNode
) -> nbformat.NotebookNode:
    """The lesson with stubs in, and no outputs but the pictures'."""
    notebook = furnish(lesson, path, "notebooks", root)
    pictures = {cell.id: cell.outputs for cell in solved.cells if "picture" in cell.metadata.get("tags", [])}
    notebook.cells = [c for c in notebook.cells if "solution" not in c.metadata.get("tags", [])]
    for cell in notebook.cells:
        cell.source = EXERCISE.sub(stub, cell.source)
        if cell.id in pictures:
            cell.outputs = copy.deepcopy(pictures[cell.id])
    return notebook


def execute(notebook: nbformat.NotebookNode, folder: Path) -> None:
    """Run a solution from top to bottom in a kernel of its own and keep what belongs in a repository."""
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "VLA_COURSE_HOME": home}
        client = NotebookClient(
            notebook, timeout=600, resources={"metadata": {"path": str(folder)}}, store_widget_state=False
        )
        client.execute(env=environment)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    notebook.metadata.pop("language_info", None)
    for output in stored_outputs(notebook):
        # A widget without its kernel is an error message; the picture beside it is what GitHub shows.
        output.get("data", {}).pop(WIDGET, None)
    strip_paths(notebook)


def stored_outputs(notebook: nbformat.NotebookNode) -> Iterator[nbformat.NotebookNode]:
    return (output for cell in notebook.cells for output in cell.get("outputs", []))


def strip_paths(notebook: nbformat.NotebookNode) -> None:
    """Take this machine's folders out of every stored text."""
    folders = {
        str(ROOT): "vla-course",
        sys.prefix: ".venv",
        tempfile.gettempdir(): "/tmp",
        str(Path.home()): "~",
    }
    for output in stored_outputs(notebook):
        holders = [(output, "text")] + [(output.get("data", {}), mime) for mime in output.get("data", {})]
        for holder, key in holders:
            if isinstance(holder.get(key), str):
                for folder, name in folders.items():
                    holder[key] = holder[key].replace(folder, name)


# The command.


def lessons(root: Path, days: list[str]) -> list[Path]:
    found = sorted((root / "lessons").glob("day*.py"))
    if not found:
        raise LessonError("no lessons found in lessons/")
    known = [day_of(path) for path in found]
    unknown = [day for day in days if day not in known]
    if unknown:
        raise LessonError(f"no lesson {', '.join(unknown)}; there are {', '.join(known)}")
    return [path for path in found if not days or day_of(path) in days]


def build(path: Path, root: Path, run: bool) -> dict[Path, nbformat.NotebookNode]:
    """Both notebooks of one lesson, by the file each belongs in."""
    lesson = read_lesson(path)
    check_names(lesson, path.name)
    solved = to_solutions(lesson, path, root)
    if run:
        execute(solved, root / "solutions")
    exercises = to_exercises(lesson, path, root, solved)
    return {
        root / "solutions" / f"{path.stem}.ipynb": solved,
        root / "notebooks" / f"{path.stem}.ipynb": exercises,
    }


def problems(notebook: nbformat.NotebookNode, target: Path, root: Path) -> list[str]:
    """What keeps a notebook from being handed out, in words."""
    name = str(target.relative_to(root))
    found = []
    text = nbformat.writes(notebook)
    if len(text.encode()) > SIZE_LIMIT_BYTES:
        found.append(
            f"{name}: {len(text.encode()) / 1e6:.2f} MB is over the limit of {SIZE_LIMIT_BYTES / 1e6} MB"
        )
    if target.parent.name == "solutions":
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        if any(cell.execution_count is None for cell in code):
            found.append(f"{name}: some cells were never run, run `make solutions`")
        if any(output.output_type == "error" for output in stored_outputs(notebook)):
            found.append(f"{name}: a stored output is an error")
    return found


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("days", nargs="*", help="day03 …; every lesson where none is named")
    parser.add_argument(
        "--check", action="store_true", help="write nothing, fail where something is out of date"
    )
    parser.add_argument("--execute", action="store_true", help="run the solutions and store their outputs")
    parser.add_argument(
        "--exercise", nargs=2, metavar=("DAY", "PATH"), help="write one fresh exercise notebook to PATH"
    )
    options = parser.parse_args(arguments)
    try:
        if options.exercise:
            day, copy_to = options.exercise
            (path,) = lessons(root, [day])
            nbformat.write(build(path, root, run=False)[root / "notebooks" / f"{path.stem}.ipynb"], copy_to)
            return 0
        complaints = []
        for path in lessons(root, options.days):
            for target, notebook in build(path, root, run=options.execute).items():
                complaints += problems(notebook, target, root)
                if (
                    target.exists()
                    and target.read_text(encoding="utf-8").rstrip() == nbformat.writes(notebook).rstrip()
                ):
                    continue
                if options.check:
                    complaints.append(f"{target.relative_to(root)}: out of date, run `make notebooks`")
                else:
                    target.parent.mkdir(exist_ok=True)
                    nbformat.write(notebook, target)
                    print(f"{target.relative_to(root)}: written")
        print("\n".join(complaints), file=sys.stderr, end="\n" if complaints else "")
        return int(bool(complaints) and (options.check or options.execute))
    except LessonError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
