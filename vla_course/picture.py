"""Pictures whose alternative text reaches every front end."""

import base64
from dataclasses import dataclass
from html import escape
from typing import Any


@dataclass(frozen=True)
class Picture:
    """A PNG or JPEG file, its description for readers who cannot see it, and its width in CSS pixels.

    A notebook shows it as an HTML `<img>`. JupyterLab 4.6 and nbconvert's template `lab` ignore the `alt` of an `image/png`
    output, so an image that is not HTML has no description there.
    """

    data: bytes
    alt: str
    width: int | None = None

    @property
    def html(self) -> str:
        """The picture as one HTML element that needs no other file."""
        kind = "jpeg" if self.data.startswith(b"\xff\xd8") else "png"
        width = "" if self.width is None else f' width="{self.width}"'
        source = base64.b64encode(self.data).decode("ascii")
        words = escape(self.alt, quote=True)
        return f'<img{width} alt="{words}" src="data:image/{kind};base64,{source}" style="max-width:100%">'

    @property
    def mime_bundle(self) -> dict[str, str]:
        """What a notebook keeps of the picture, by MIME type."""
        return {"text/html": self.html, "text/plain": self.alt}

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return self.mime_bundle
