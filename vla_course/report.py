"""The report: one page, out of the files that evaluations wrote, as HTML that needs nothing else, and the same in the notebook."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from IPython.display import HTML, display

from vla_course.evaluation import action_quality, alignment, record
from vla_course.evaluation import report_details as details
from vla_course.evaluation import report_sections as sections
from vla_course.evaluation.record import EvaluationRecord
from vla_course.files import write_text
from vla_course.robustness import PLAIN
from vla_course.training.metric_files import NAME as METRICS
from vla_course.training.metric_files import read_metrics

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


@dataclass
class Findings:
    """What there is to report."""

    evaluations: list[EvaluationRecord] = field(default_factory=list)
    films: dict[str, list[tuple[str, EvaluationRecord, bytes]]] = field(default_factory=dict)
    """For every policy: "best" or "worst", of which record, and the film."""
    answers: list[dict[str, Any]] = field(default_factory=list)
    """Action quality on recorded frames."""
    alignments: list[dict[str, Any]] = field(default_factory=list)
    curves: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """For every training run the lines of its metrics."""

    @property
    def plain(self) -> list[EvaluationRecord]:
        """Evaluations under no test, with the right words: one of each policy, the first as what others are compared with."""
        return [one for one in self.evaluations if one.config.test == PLAIN and one.config.words == "own"]


def gather(places: Sequence[str | Path]) -> Findings:
    """Everything that lies in these files and folders: evaluations, action quality, alignment, the metrics of training runs.

    Records appear in the order in which they are named; of a folder, in the order of their file names. The first policy is
    what the others are compared with. JSON files of other kinds are passed over in a folder.

    Raises:
        FileNotFoundError: a place is not there.
        ValueError: a file is damaged or of another kind, there is no evaluation, or two are of the same policy and condition.
    """
    found = Findings()
    for place in map(Path, places):
        if not place.exists():
            raise FileNotFoundError(
                f"{place} is not there: give files and folders that evaluations were written to"
            )
        if place.is_dir():
            if (place / METRICS).exists():
                found.curves[place.name] = read_metrics(place)
            for file in sorted(place.glob("*.json")):
                _take(found, file, picky=False)
        else:
            _take(found, place, picky=True)
    if not found.evaluations:
        raise ValueError("there is no evaluation to report: `vla-course eval --json FILE` writes one")
    seen: set[tuple[str, ...]] = set()
    for one in found.evaluations:
        case = (one.config.name, one.config.env, one.config.test, one.config.words)
        if case in seen:
            raise ValueError(
                f"two evaluations are called {one.config.name!r} under the same condition ({', '.join(case[1:])}): "
                "give them different labels"
            )
        seen.add(case)
    return found


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
        sections.verdict,
        sections.success,
        sections.gains,
        sections.language,
        sections.robustness,
        details.answers,
        details.alignment,
        details.curves,
        details.films,
        details.about,
    ]
    content = "\n".join(text for text in (part(found) for part in parts) if text)
    return f'<style>{STYLE}</style><main class="vla-report"><h1>{escape(title)}</h1>\n{content}\n</main>'


def _take(found: Findings, file: Path, *, picky: bool) -> None:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file.name} is no JSON: {error}") from error
    kind = content.get("kind") if isinstance(content, dict) else None
    if kind == record.KIND:
        one = record.read(file)
        found.evaluations.append(one)
        for name, spot in one.films.items():
            film = file.with_name(spot.file)
            if film.exists():
                found.films.setdefault(one.config.name, []).append((name, one, film.read_bytes()))
    elif kind == action_quality.KIND:
        found.answers.append(content)
    elif kind == alignment.KIND:
        found.alignments.append(content)
    elif picky:
        raise ValueError(f"{file.name} is nothing to report: want an evaluation, action quality or alignment")
