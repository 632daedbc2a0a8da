"""Contents of the report: evaluations, action quality, alignment and training curves, read from files and folders."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vla_course.evaluation import action_quality, alignment, record, studies
from vla_course.evaluation.record import EvaluationRecord
from vla_course.evaluation.robustness import PLAIN
from vla_course.training.metrics import NAME as METRICS
from vla_course.training.metrics import read_metrics


@dataclass
class Findings:
    """Everything that a report can show."""

    evaluations: list[EvaluationRecord] = field(default_factory=list)
    films: dict[str, list[tuple[str, EvaluationRecord, bytes]]] = field(default_factory=dict)
    """By policy: "best" or "worst", the record, and the film's bytes."""
    answers: list[dict[str, Any]] = field(default_factory=list)
    """Action quality on recorded frames."""
    alignments: list[dict[str, Any]] = field(default_factory=list)
    curves: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """By training run: the lines of its metrics file."""

    @property
    def plain(self) -> list[EvaluationRecord]:
        """Evaluations without robustness test and with the task's own words: one of each policy. The first is the reference."""
        return [one for one in self.evaluations if one.config.test == PLAIN and one.config.words == "own"]


def gather(places: Sequence[str | Path]) -> Findings:
    """Everything that lies in these files and folders: evaluations, action quality, alignment, the metrics of training runs.

    A place is a JSON file; a study (study.parquet), or one of its evaluations ("study.parquet::name"); the folder of a training run;
    or a folder of such files. Records appear in the order in which they are named; those of a study in its own order, those of
    a folder in the order of their file names. The first policy is what the others are compared with. Files of other kinds are
    passed over in a folder.

    Raises:
        FileNotFoundError: a place is not there.
        ValueError: a file is damaged or of another kind, there is no evaluation, or two are of the same policy and condition.
    """
    found, opened = Findings(), dict[Path, studies.Study]()
    for place in places:
        path, name = studies.split(place)
        if not path.exists():
            raise FileNotFoundError(
                f"{path} is not there: give files and folders that evaluations were written to"
            )
        if path.is_dir():
            if (path / METRICS).exists():
                found.curves[path.name] = read_metrics(path)
            for file in sorted([*path.glob("*.json"), *path.glob(f"*{studies.SUFFIX}")]):
                _take(found, file, picky=False)
        elif name:
            _take_record(found, studies.record_at(place, opened), path)
        else:
            _take(found, path, picky=True)
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
    if file.suffix == studies.SUFFIX:
        if picky or studies.is_study(file):
            for one in studies.load(file).values():
                _take_record(found, one, file)
        return
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file.name} is no JSON: {error}") from error
    kind = content.get("kind") if isinstance(content, dict) else None
    if kind == record.KIND:
        _take_record(found, record.from_content(content, file.name), file)
    elif kind == action_quality.KIND:
        found.answers.append(content)
    elif kind == alignment.KIND:
        found.alignments.append(content)
    elif picky:
        raise ValueError(f"{file.name} is nothing to report: want an evaluation, action quality or alignment")


def _take_record(found: Findings, one: EvaluationRecord, file: Path) -> None:
    """An evaluation, with those of its films that lie beside the file."""
    found.evaluations.append(one)
    for name, spot in one.films.items():
        film = file.with_name(spot.file)
        if film.exists():
            found.films.setdefault(one.config.name, []).append((name, one, film.read_bytes()))
