"""Pieces of the report's page: pictures, sections, tables."""

from collections.abc import Iterable, Sequence
from html import escape

from vla_course.picture import Picture


def picture(shown: Picture) -> str:
    """A figure of `plots` as a paragraph of HTML."""
    return f"<p>{shown.html}</p>"


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
