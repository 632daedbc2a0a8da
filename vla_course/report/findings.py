"""What there is to report: evaluations, action quality, alignment and training curves out of files and folders."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vla_course.evaluation import action_quality, alignment, record
from vla_course.evaluation.record import EvaluationRecord
from vla_course.evaluation.robustness import PLAIN
from vla_course.training.metrics import NAME as METRICS
from vla_course.training.metrics import read_metrics


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
