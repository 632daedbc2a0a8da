"""Pieces of the report's page: pictures, sections, tables."""

import base64
from collections.abc import Iterable, Sequence
from html import escape

from IPython.display import Image


def picture(image: Image) -> str:
    """A figure of `plots` as HTML."""
    source = base64.b64encode(image.data).decode("ascii")
    width = f' width="{image.width}"' if image.width else ""
    return (
        f'<p><img{width} alt="{escape(str(image.alt), quote=True)}" src="data:image/png;base64,{source}"></p>'
    )


def points(share: float) -> str:
    """A difference of shares in points, with its sign."""
    return f"{100 * share:+.0f}".replace("-", "−")


def section(title: str, content: str) -> str:
    """A part of the page under a heading of its own."""
    return f"<section><h2>{escape(title)}</h2>{content}</section>"


def table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose first column names its rows."""
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in heads)
    body = "".join(
        f'<tr><th scope="row">{escape(first)}</th>'
        + "".join(f"<td>{escape(text)}</td>" for text in rest)
        + "</tr>"
        for first, *rest in rows
    )
    told = f"<caption>{escape(caption)}</caption>" if caption else ""
    return (
        f'<div class="scroll"><table>{told}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )
