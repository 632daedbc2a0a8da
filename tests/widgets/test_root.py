"""What every widget promises in the browser. The widgets are found in the package, so a new one is held to it too."""

import importlib
import re
from pathlib import Path

import pytest

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


WIDGETS = [kind for kind in widgets() if kind.__module__.startswith("vla_course.")]


def own_script(kind: type[PicturedWidget]) -> str:
    assert kind._esm.startswith(SCRIPT), "the shared script stands in front"
    return str(kind._esm).removeprefix(SCRIPT)


def tags(text: str, names: str) -> list[str]:
    """Opening tags, with the `>` of arrow functions and of placeholders in them."""
    return re.findall(rf"<(?:{names})\b(?:\$\{{[^}}]*\}}|[^>$])*>", text)


def test_the_widgets_are_found():
    assert len(WIDGETS) >= 8 and "SayIt" in {kind.__name__ for kind in WIDGETS}


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
