"""Base classes of the course's widgets, with a static picture for readers without a kernel."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets
import traitlets

from vla_course.picture import Picture
from vla_course.widgets.root import SCRIPT, STYLE


class Drawing(anywidget.AnyWidget):
    """An anywidget that draws its traits in the browser, with the keyboard handling and colours of `root.js` and `root.css`.

    `_esm` is the path of the widget's JavaScript, which exports `{ render: framed(render) }`. A front end loads it as one module
    from a blob, where imports of other files fail: so `root.js` and it are joined here, when the class is made. anywidget gets the
    text and not the path, because under `ANYWIDGET_HMR=1` it starts a thread for each path that it gets.
    """

    _css = STYLE

    def __init_subclass__(cls, **options: Any) -> None:
        own = vars(cls).get("_esm")
        if isinstance(own, Path):  # it is a trait in the class that anywidget makes for each instance
            cls._esm = SCRIPT + own.read_text(encoding="utf-8")
        super().__init_subclass__(**options)


class Pictured:
    """A static picture of the widget and its alternative text, for GitHub, HTML pages and notebooks without a kernel."""

    alt = ""

    def picture(self) -> bytes:
        """The static picture, as PNG."""
        raise NotImplementedError

    def _with_picture(self, data: dict[str, Any]) -> dict[str, Any]:
        return data | Picture(self.picture(), self.alt).mime_bundle


class PicturedWidget(Pictured, Drawing):
    """An anywidget that draws its controls itself, with a static picture."""

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is None:
            return None
        data, metadata = bundle
        return self._with_picture(data), metadata


class PicturedBox(Pictured, ipywidgets.VBox):
    """ipywidgets controls in a row above a drawing, or in a column beside it, with a static picture.

    `steer` ties each control to the trait of the box that has its name: a trait may be set in Python, linked, or moved by hand.
    `controls` and `drawing` are ipywidgets to take out and put into boxes of your own.
    """

    def __init__(
        self,
        controls: Sequence[ipywidgets.Widget],
        drawing: ipywidgets.Widget,
        *,
        beside: bool = False,
        **traits: Any,
    ) -> None:
        self.controls, self.drawing = tuple(controls), drawing
        if beside:
            column = ipywidgets.VBox(self.controls, layout={"flex": "2 1 290px"})
            drawing.layout = {"flex": "3 1 330px", "max_width": "480px"}
            parts = [ipywidgets.HBox([drawing, column], layout={"flex_flow": "row wrap"})]
        else:
            row = ipywidgets.HBox(self.controls, layout={"flex_flow": "row wrap", "grid_gap": "0 14px"})
            parts = [row, drawing]
        super().__init__(parts, **traits)
        self.add_class("vla-box")  # `root.js` keeps the keys typed in it, and `root.css` lays it out

    def steer(self, **controls: ipywidgets.Widget) -> None:
        """Tie the value of each control to the trait that has its name. The trait's value holds at first."""
        for name, control in controls.items():
            traitlets.link((self, name), (control, "value"))

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        data = super()._repr_mimebundle_(**kwargs)
        # Colab loads anywidget only where the output says so: as the drawing's own output does.
        bundle = self.drawing._repr_mimebundle_(**kwargs)
        return self._with_picture(data), bundle[1] if isinstance(bundle, tuple) else {}


def described(description: str) -> dict[str, Any]:
    """Traits of a control that shows its whole description and fills the space left in its row."""
    room = f"{170 + 7 * len(description)}px"  # 170 for the control itself, 7 for a letter
    style, layout = {"description_width": "initial"}, {"width": "auto", "flex": f"1 1 {room}"}
    return {"description": description, "style": style, "layout": layout}


def slider(description: str, options: Sequence[Any]) -> ipywidgets.SelectionSlider:
    """A slider over a few values, each a value or a pair of label and value."""
    return ipywidgets.SelectionSlider(options=options, **described(description))
