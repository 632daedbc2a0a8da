"""What every widget of a lesson is: it computes with the learner's own function, and leaves a picture where no kernel runs."""

from typing import Any

import anywidget

from vla_course.picture import Picture
from vla_course.widgets.root import SCRIPT, STYLE


class PicturedWidget(anywidget.AnyWidget):
    """A widget with keys and colours as in `widgets/root.py`, and a picture of itself where no kernel runs (GitHub).

    The JavaScript in `_esm` stands behind `root.SCRIPT` and exports `{ render: framed(render) }`.
    """

    alt = ""
    _css = STYLE

    def __init_subclass__(cls, **options: Any) -> None:
        own = vars(cls).get("_esm")
        if isinstance(own, str):  # it is a trait in the class that anywidget makes for each instance
            cls._esm = SCRIPT + own
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
