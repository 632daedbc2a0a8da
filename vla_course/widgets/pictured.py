"""What every widget of a lesson is: it computes with the learner's own function, and leaves a picture where no kernel runs."""

from pathlib import Path
from typing import Any

import anywidget

from vla_course.picture import Picture
from vla_course.widgets.root import SCRIPT, STYLE


class PicturedWidget(anywidget.AnyWidget):
    """A widget with keys and colours as in `widgets/root.py`, and a picture of itself where no kernel runs (GitHub).

    `_esm` is the path of the widget's JavaScript, which exports `{ render: framed(render) }`. A front end loads it as one module
    from a blob, where imports of other files fail: so `root.js` and it are joined here, when the class is made. anywidget gets the
    text and not the path, because under `ANYWIDGET_HMR=1` it starts a thread for each path that it gets.
    """

    alt = ""
    _css = STYLE

    def __init_subclass__(cls, **options: Any) -> None:
        own = vars(cls).get("_esm")
        if isinstance(own, Path):  # it is a trait in the class that anywidget makes for each instance
            cls._esm = SCRIPT + own.read_text(encoding="utf-8")
        super().__init_subclass__(**options)

    def picture(self) -> bytes:
        """What a reader sees in place of the widget, as PNG."""
        raise NotImplementedError

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is None:
            return None
        data, metadata = bundle
        return data | Picture(self.picture(), self.alt).mime_bundle, metadata
