"""One evaluation as a record: settings, episodes, summary and provenance; as a JSON file of its own, and checked when it is read.

The evaluations that belong to the course lie together, in one table (`vla_course.evaluation.studies`).
"""

import errno
import json
import math
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vla_course.evaluation.config import EvaluationConfig
from vla_course.evaluation.episodes import EpisodeResult, Evaluation
from vla_course.evaluation.intervals import paired_bootstrap
from vla_course.files import write_text
from vla_course.results import PROVENANCE, Provenance, broken_provenance
from vla_course.settings import from_record

KIND = "evaluation"
_ABOUT = ("seconds", *PROVENANCE)
EPISODE_BYTES, FILM_BYTES = 1_000, 1_000_000  # upper estimates


@dataclass(frozen=True)
class Film:
    """A film of an episode: a file beside the record."""

    seed: int
    file: str


@dataclass(frozen=True)
class EvaluationRecord(Provenance):
    """One policy under one condition, with its provenance. The seeds are those of the settings."""

    config: EvaluationConfig
    evaluation: Evaluation
    films: dict[str, Film] = field(default_factory=dict)
    """The "best" and the "worst" episode."""
    seconds: float = 0.0
    """Playing the episodes took this long."""

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
        OSError: the folder cannot be written to, or the disk is full; an old record is as it was.
    """
    target = json_path(path)
    write_text(target, to_json(record))
    return target


def json_path(path: str | Path) -> Path:
    """The path of a record.

    Raises:
        ValueError: the name does not end in .json.
    """
    target = Path(path)
    if target.suffix != ".json":
        raise ValueError(f"an evaluation is written to a .json file, not {target.name!r}")
    return target


def check_room(path: str | Path, episodes: int) -> None:
    """Make sure that a record of so many episodes, and its films, can be written, before hours are spent on them.

    Raises:
        ValueError: the name does not end in .json.
        OSError: nothing can be written there, or too little.
    """
    target = json_path(path)
    try:
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=target.parent) as file:
            file.write(bytes(FILM_BYTES + EPISODE_BYTES * episodes))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise OSError(
            f"{target} cannot be written ({error.strerror or error}), so nothing was played: name another place"
        ) from error


def to_json(record: EvaluationRecord) -> str:
    """A record as the text of its file."""
    return _text(to_content(record))


def to_content(record: EvaluationRecord) -> dict[str, Any]:
    """A record as plain values, as its file holds them; `from_content` reads them."""
    return {
        "kind": KIND,
        **_summary(record),
        "config": asdict(record.config),
        "films": {name: asdict(film) for name, film in record.films.items()},
        **{name: getattr(record, name) for name in _ABOUT},
        "episodes": [asdict(episode) for episode in record.evaluation.episodes],
    }


def write_json(path: Path, content: Any) -> None:
    """Replace a JSON file in one step."""
    write_text(path, _text(content))


def _text(content: Any) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _summary(record: EvaluationRecord) -> dict[str, Any]:
    """The summary over a record's episodes."""
    evaluation = record.evaluation
    return {
        "label": record.config.name,
        "success": {
            "successes": evaluation.successes,
            "episodes": len(evaluation.episodes),
            "rate": evaluation.rate,
            "wilson_95": evaluation.interval,
            "bootstrap_95": evaluation.bootstrap,
        },
        "mean_fold_error_m": record.mean_fold_error_m,
    }


def read(path: str | Path) -> EvaluationRecord:
    """A record from its JSON file. Its summary is computed again from its episodes, and must be the same.

    Raises:
        FileNotFoundError: there is none.
        ValueError: the file is damaged, of another kind, or its numbers contradict each other.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path.name} is no JSON: {error}") from error
    return from_content(content, path.name)


def from_content(content: Any, source: str) -> EvaluationRecord:
    """The record that these plain values describe, checked; `source` is what errors call it.

    Raises:
        ValueError: they are of another kind, incomplete, or contradict each other.
    """
    if not isinstance(content, dict) or content.get("kind") != KIND:
        raise ValueError(f"{source} is no evaluation: `vla-course eval --json` writes one")
    try:
        record = EvaluationRecord(
            config=from_record(EvaluationConfig, content["config"], source),
            evaluation=Evaluation(tuple(EpisodeResult(**row) for row in content["episodes"])),
            films={name: Film(**film) for name, film in content["films"].items()},
            **{name: content[name] for name in _ABOUT},
        )
        incomplete, wrong = broken_provenance(content), _contradiction(record, content)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{source} does not fit this version of the course: {error}") from error
    if incomplete:
        raise ValueError(f"{source}: {incomplete}")
    if wrong:
        raise ValueError(f"{source} contradicts itself: {wrong}")
    return record


def _contradiction(record: EvaluationRecord, content: Mapping[str, Any]) -> str:
    """The first contradiction between a record's settings, episodes and summary, in words; "" where there is none."""
    config, episodes = record.config, record.evaluation.episodes
    seeds = [episode.seed for episode in episodes]
    if seeds != list(config.seeds):
        first, last = config.seeds[0], config.seeds[-1]
        return f"it asks for one episode of each seed from {first} to {last}, and holds {_in_words(seeds)}"
    for episode in episodes:
        if not isinstance(episode.success, bool) or not isinstance(episode.told_success, bool):
            return f"seed {episode.seed}: success is true or false, not {episode.success}"
        if not 0 < episode.steps <= (config.max_steps or episode.steps):
            return f"seed {episode.seed}: {episode.steps} steps, where max_steps is {config.max_steps}"
    for film in record.films.values():
        if film.seed not in seeds or Path(film.file).name != film.file:
            return f"the film {film.file} of seed {film.seed} is none of its episodes"
    summary = _summary(record)
    return difference({name: content[name] for name in summary}, summary, "its episodes give")


def _in_words(seeds: Sequence[int]) -> str:
    """Seeds that are not those asked for, as in "4 episodes, seed 3 2 times" or "4 episodes, seeds 7, 8, 9, 10"."""
    repeated = [seed for seed in dict.fromkeys(seeds) if seeds.count(seed) > 1]
    if repeated:
        return f"{len(seeds)} episodes, seed {repeated[0]} {seeds.count(repeated[0])} times"
    shown = [*map(str, seeds[:4]), *("…" for _ in seeds[4:5])]
    return f"{len(seeds)} episodes" + (f", seeds {', '.join(shown)}" if shown else "")


def difference(stated: Mapping[str, Any], found: Mapping[str, Any], who: str) -> str:
    """The first value of `stated` that differs in `found`, in words; "" where there is none."""
    for name, value in stated.items():
        other = found[name]
        if isinstance(other, Mapping):
            if inner := difference({key: value[key] for key in other}, other, who):
                return inner
        elif not _same(value, other):
            return f"{name} is {value}, and {who} {other}"
    return ""


def _same(one: Any, other: Any) -> bool:
    """Equal up to rounding."""
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(_same(*pair) for pair in zip(one, other, strict=True))
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)
    return bool(one == other)


@dataclass(frozen=True)
class Gain:
    """The gain in success of one policy over another, from the same starts."""

    before: str
    after: str
    episodes: int
    won: int
    """Starts from which only the second succeeded."""
    lost: int
    """Starts from which only the first did."""
    interval: tuple[float, float]
    """95 %, bootstrapped over starts."""

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
    """The gain of a policy over another, start by start. `interval(before, after, seed)` computes its interval.

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
