"""The report: one page, out of the files that evaluations wrote, as HTML that needs nothing else, and the same in the notebook."""

from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from IPython.display import HTML, display

from vla_course.files import write_text
from vla_course.report import evidence, outcomes
from vla_course.report.findings import Findings, gather

STYLE = """
.vla-report { max-width: 56rem; margin: 0 auto; padding: 1.5rem; color: #222; background: #fff;
  font: 16px/1.5 system-ui, "Segoe UI", "Helvetica Neue", Arial, sans-serif; }
.vla-report h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .4rem; }
.vla-report h2 { font-size: 1.15rem; margin: 2.4rem 0 .3rem; padding-top: .9rem; border-top: 1px solid #d9dce1; }
.vla-report p { margin: .3rem 0 .8rem; max-width: 44rem; }
.vla-report .lead { font-size: 1.1rem; }
.vla-report .quiet, .vla-report caption { color: #5a6068; font-size: .88rem; }
.vla-report .scroll { overflow-x: auto; }
.vla-report table { border-collapse: collapse; margin: .6rem 0; font-size: .93rem; font-variant-numeric: tabular-nums; }
.vla-report caption { text-align: left; padding-bottom: .3rem; }
.vla-report th, .vla-report td { text-align: right; padding: .28rem .7rem; border-bottom: 1px solid #e6e8ec;
  background: none; white-space: nowrap; }
.vla-report th { font-weight: 600; }
.vla-report tr > :first-child { text-align: left; white-space: normal; min-width: 9rem; }
.vla-report th[scope=row] { font-weight: 400; }
.vla-report th[scope=rowgroup] { text-align: left; padding-top: .8rem; color: #5a6068; text-transform: capitalize; }
.vla-report img { max-width: 100%; height: auto; }
.vla-report .films { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 1rem; }
.vla-report figure { margin: 0; }
.vla-report video { width: 100%; border-radius: 6px; background: #eee; }
.vla-report figcaption { font-size: .9rem; }
"""


def page(places: Sequence[str | Path], title: str = "Did it really get better?") -> str:
    """The report as a whole HTML page, pictures and films inside.

    Raises:
        FileNotFoundError, ValueError: as `gather`.
    """
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>body {{ margin: 0; }}</style></head>\n"
        f"<body>{_body(gather(places), title)}</body></html>\n"
    )


def write(places: Sequence[str | Path], path: str | Path, title: str = "Did it really get better?") -> Path:
    """Write the report to one .html file, which appears whole or not at all.

    Raises:
        FileNotFoundError, ValueError: as `gather`, or the name does not end in .html.
    """
    target = Path(path)
    if target.suffix != ".html":
        raise ValueError(f"a report is written to an .html file, not {target.name!r}")
    text = page(places, title)
    write_text(target, text)
    return target


def show(places: Sequence[str | Path], title: str = "Did it really get better?") -> None:
    """The same report in the notebook.

    Raises:
        FileNotFoundError, ValueError: as `gather`.
    """
    display(HTML(_body(gather(places), title)))  # type: ignore[no-untyped-call]


def _body(found: Findings, title: str) -> str:
    parts: list[Callable[[Any], str]] = [
        outcomes.verdict,
        outcomes.success,
        outcomes.gains,
        outcomes.language,
        outcomes.robustness,
        evidence.answers,
        evidence.alignment,
        evidence.curves,
        evidence.films,
        evidence.about,
    ]
    content = "\n".join(text for text in (part(found) for part in parts) if text)
    return f'<style>{STYLE}</style><main class="vla-report"><h1>{escape(title)}</h1>\n{content}\n</main>'
