"""An evaluation on disk: one JSON file that says what was done, what came of it, and all that it takes to do it again."""

import json
import os
import shlex
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from vla_course import results
from vla_course.comparison import paired_bootstrap
from vla_course.evaluate import Episode, Evaluation
from vla_course.evaluation.config import EvaluationConfig

KIND = "evaluation"


@dataclass(frozen=True)
class Film:
    """An episode to be watched: a file beside the record."""

    seed: int
    file: str


@dataclass(frozen=True)
class EvaluationRecord:
    """One policy under one condition, with where, when and by what it was measured."""

    config: EvaluationConfig
    evaluation: Evaluation
    films: dict[str, Film] = field(default_factory=dict)
    """The "best" and the "worst" episode."""
    seconds: float = 0.0
    command: str = field(default_factory=lambda: shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]))
    date: str = field(default_factory=lambda: datetime.now(UTC).strftime("%Y-%m-%d"))
    revision: str = field(default_factory=results.revision)
    versions: dict[str, str] = field(default_factory=results.versions)
    hardware: dict[str, Any] = field(default_factory=results.hardware)

    @property
    def mean_fold_error_m(self) -> float | None:
        """Mean distance from the ideal fold at the end, metres; None where nothing is folded."""
        errors = [episode.fold_error_m for episode in self.evaluation.episodes]
        known = [error for error in errors if error is not None]
        return float(np.mean(known)) if known else None


def write(record: EvaluationRecord, path: str | Path) -> Path:
    """Write a record; the file appears whole or not at all.

    Raises:
        ValueError: the name does not end in .json.
    """
    target = Path(path)
    if target.suffix != ".json":
        raise ValueError(f"an evaluation is written to a .json file, not {target.name!r}")
    evaluation = record.evaluation
    content = {
        "kind": KIND,
        "label": record.config.name,
        "success": {
            "successes": evaluation.successes,
            "episodes": len(evaluation.episodes),
            "rate": evaluation.rate,
            "wilson_95": evaluation.interval,
            "bootstrap_95": evaluation.bootstrap,
        },
        "mean_fold_error_m": record.mean_fold_error_m,
        "config": asdict(record.config),
        "films": {name: asdict(film) for name, film in record.films.items()},
        **{name: getattr(record, name) for name in _ABOUT},
        "episodes": [asdict(episode) for episode in evaluation.episodes],
    }
    write_json(target, content)
    return target


def write_json(path: Path, content: Any) -> None:
    """Write JSON beside the file and put it in its place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
        file.write(text)
    os.chmod(file.name, 0o644)
    os.replace(file.name, path)


def read(path: str | Path) -> EvaluationRecord:
    """A record from its file.

    Raises:
        FileNotFoundError: there is none.
        ValueError: the file is damaged, of another kind, or its numbers contradict each other.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path.name} is no JSON: {error}") from error
    if not isinstance(content, dict) or content.get("kind") != KIND:
        raise ValueError(f"{path.name} is no evaluation: `vla-course eval --json` writes one")
    try:
        asked = content["config"]
        record = EvaluationRecord(
            config=EvaluationConfig(**{**asked, "cameras": tuple(asked.get("cameras", ()))}),
            evaluation=Evaluation(tuple(Episode(**row) for row in content["episodes"])),
            films={name: Film(**film) for name, film in content["films"].items()},
            **{name: content[name] for name in _ABOUT},
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path.name} does not fit this version of the course: {error}") from error
    if record.evaluation.successes != content["success"]["successes"]:
        raise ValueError(f"{path.name} contradicts itself: its episodes do not add up to its successes")
    return record


@dataclass(frozen=True)
class Gain:
    """What the second of two policies gained over the first, from the same starts."""

    before: str
    after: str
    episodes: int
    won: int
    """Starts from which only the second succeeded."""
    lost: int
    """Starts from which only the first did."""
    interval: tuple[float, float]
    """95 %, from drawing starts again."""

    @property
    def mean(self) -> float:
        """The gain in the share of successes."""
        return (self.won - self.lost) / self.episodes

    @property
    def certain(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.interval[0] > 0 or self.interval[1] < 0

    def __str__(self) -> str:
        """As in "+12 points (+6 to +19)"."""
        low, high = self.interval
        return f"{100 * self.mean:+.0f} points ({100 * low:+.0f} to {100 * high:+.0f})"


def gain(
    before: EvaluationRecord,
    after: EvaluationRecord,
    interval: Callable[..., tuple[float, float]] = paired_bootstrap,
    seed: int = 0,
) -> Gain:
    """Compare two policies, start by start. `interval` is what works out the interval.

    Raises:
        ValueError: they did not begin from the same starts.
    """
    pairs = [(one.evaluation.episodes, one.config.env) for one in (before, after)]
    seeds = [[episode.seed for episode in episodes] for episodes, _ in pairs]
    if seeds[0] != seeds[1] or pairs[0][1] != pairs[1][1]:
        raise ValueError(
            f"{before.config.name} and {after.config.name} did not begin from the same starts: "
            "run both with the same env, episodes and first_seed"
        )
    old, new = (np.array([episode.success for episode in episodes]) for episodes, _ in pairs)
    return Gain(
        before=before.config.name,
        after=after.config.name,
        episodes=len(old),
        won=int((new & ~old).sum()),
        lost=int((old & ~new).sum()),
        interval=interval(old, new, seed),
    )


_ABOUT = tuple(
    spot.name for spot in fields(EvaluationRecord) if spot.name not in ("config", "evaluation", "films")
)
