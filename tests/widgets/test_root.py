"""What every widget promises in the browser. The widgets are found in the package, so a new one is held to it too."""

import importlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from pygments.lexers import JavascriptLexer
from pygments.token import Comment, Error, Punctuation, String

import vla_course
from vla_course.widgets.pictured import PicturedWidget
from vla_course.widgets.root import SCRIPT, STYLE

COLOR = re.compile(
    r"#(?:[0-9a-f]{8}|[0-9a-f]{6}|[0-9a-f]{3,4})\b|\b(?:rgb|hsl)a?\("
    r"|\b(?:fill|stroke|color|background)[=:] ?[\"']?(?:white|black|gr[ae]y|red|green|blue|orange)\b",
    re.IGNORECASE,
)


def widgets() -> list[type[PicturedWidget]]:
    root = Path(vla_course.__path__[0])
    for path in root.rglob("*.py"):
        if "PicturedWidget)" in path.read_text(encoding="utf-8"):
            importlib.import_module("vla_course." + ".".join(path.relative_to(root).with_suffix("").parts))
    return sorted(PicturedWidget.__subclasses__(), key=lambda kind: kind.__name__)


ROOT = Path(vla_course.__path__[0])
WIDGETS = [kind for kind in widgets() if kind.__module__.startswith("vla_course.")]


def own_script(kind: type[PicturedWidget]) -> str:
    assert kind._esm.startswith(SCRIPT), "the shared script stands in front"
    return str(kind._esm).removeprefix(SCRIPT)


def brackets(script: str) -> str:
    """The brackets of a program that are neither in text nor in a comment, those of `${…}` in templates included."""
    found = ""
    for kind, text in JavascriptLexer().get_tokens(script):
        assert kind is not Error, f"no JavaScript: {text!r}"
        if kind in Punctuation or kind in String.Interpol:
            found += "".join(sign for sign in text if sign in "()[]{}")
        assert kind in Comment or "import " not in text, "a module from a blob has no neighbours to import"
    return found


def pairs_left(found: str) -> str:
    while (shorter := re.sub(r"\(\)|\[\]|\{\}", "", found)) != found:
        found = shorter
    return found


def tags(text: str, names: str) -> list[str]:
    """Opening tags, with the `>` of arrow functions and of placeholders in them."""
    return re.findall(rf"<(?:{names})\b(?:\$\{{[^}}]*\}}|[^>$])*>", text)


def test_the_widgets_are_found():
    assert len(WIDGETS) >= 8 and "SayIt" in {kind.__name__ for kind in WIDGETS}


@pytest.mark.parametrize("kind", WIDGETS, ids=lambda kind: kind.__name__)
def test_the_script_of_a_widget_is_one_module_without_faults(kind):
    assert pairs_left(brackets(kind._esm)) == ""
    if node := shutil.which("node"):
        check = [node, "--input-type=module", "--check", "-"]
        answer = subprocess.run(check, input=kind._esm, capture_output=True, encoding="utf-8")
        assert answer.returncode == 0, answer.stderr


def test_a_missing_bracket_is_found():
    assert pairs_left(brackets("const f = (x) => `a ${x.map((y) => `(${y}`)} b`; // {")) == ""
    assert pairs_left(brackets("const f = (x) => { g(`a ${x}`);")) == "{"


def test_no_file_is_watched_whatever_anywidget_is_asked_for():
    names = ", ".join(sorted({kind.__module__ for kind in WIDGETS}))
    program = (
        f"import threading, {names}\n"
        "from vla_course.widgets.pictured import PicturedWidget\n"
        "assert {type(getattr(kind, name)) for kind in PicturedWidget.__subclasses__() for name in ('_esm', '_css')} == {str}\n"
        "assert [thread.name for thread in threading.enumerate()] == ['MainThread']"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "ANYWIDGET_HMR": "1"},
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stderr


def test_a_wheel_brings_every_file_that_is_no_module():
    """Without them an installed package starts in the checkout alone."""
    project = tomllib.loads((ROOT.parent / "pyproject.toml").read_text(encoding="utf-8"))
    listed = project["tool"]["setuptools"]["package-data"]["vla_course"]
    packed = {path for pattern in listed for path in ROOT.glob(pattern)}
    others = {path for path in ROOT.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert {path for path in others if path.suffix not in (".py", ".pyc")} == packed
    assert {path.suffix for path in packed} >= {".js", ".css"}


@pytest.mark.parametrize("kind", WIDGETS, ids=lambda kind: kind.__name__)
def test_a_widget_draws_in_the_shared_root(kind):
    script = own_script(kind)
    assert "export default { render: framed(render) };" in script
    assert kind._css == STYLE
    assert "keydown" not in script, "keys are the business of the root and of `movedByArrows`"


@pytest.mark.parametrize("kind", WIDGETS, ids=lambda kind: kind.__name__)
def test_a_widget_has_no_colours_of_its_own(kind):
    script = own_script(kind)
    assert COLOR.findall(script) == []
    used = set(re.findall(r"var\((--[\w-]+)\)", script))
    assert used - set(re.findall(r"(--[\w-]+):", STYLE)) == set()


@pytest.mark.parametrize("kind", WIDGETS, ids=lambda kind: kind.__name__)
def test_what_is_moved_or_seen_has_a_name(kind):
    script = own_script(kind)
    moved = tags(script, "input|select") + [tag for tag in tags(script, r"\w+") if 'role="slider"' in tag]
    assert [tag for tag in moved if "aria-label=" not in tag and 'type="checkbox"' not in tag] == []
    assert [tag for tag in moved if 'role="slider"' in tag and 'tabindex="0"' not in tag] == []
    seen = tags(script, "svg")
    assert [tag for tag in seen if "aria-label=" not in tag or "role=" not in tag] == []
    assert [tag for tag in tags(script, "img") if "alt=" not in tag] == []


def test_what_is_dragged_moves_by_the_arrow_keys_too():
    dragged = [kind for kind in WIDGETS if "setPointerCapture" in own_script(kind)]
    assert {kind.__name__ for kind in dragged} >= {"IKPlayground", "TokenExplorer"}
    for kind in dragged:
        script = own_script(kind)
        assert "movedByArrows(" in script or 'class="frame" type="range"' in script, kind.__name__


def test_the_root_keeps_plain_keys_and_lets_commands_pass():
    assert re.search(
        r"if \(event\.ctrlKey \|\| event\.metaKey \|\| event\.altKey\) return;\s*event\.stopPropagation\(\);",
        SCRIPT,
    )
    assert "preventDefault" not in SCRIPT.split("function movedByArrows")[0], "typing, Tab and sliders go on"


def test_every_colour_follows_the_page_or_the_system():
    palette = dict(re.findall(r"(--[\w-]+): ([^;]+);", STYLE))
    on_pictures = {"--erased", "--grid"}
    fixed = {
        name for name, value in palette.items() if not re.match(r"var\(--jp|light-dark\(|color-mix\(", value)
    }
    assert fixed == on_pictures
    assert "color-scheme: light dark;" in STYLE
    for theme in ("light", "dark"):
        assert re.search(
            rf'\[data-jp-theme-light="{str(theme == "light").lower()}"\][^{{]*{{ color-scheme: {theme}; }}',
            STYLE,
        )
