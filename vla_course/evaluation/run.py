"""Do an evaluation, keep it, and check later that it can be done again."""

import math
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from vla_course import results
from vla_course.errors import CannotRunError
from vla_course.evaluation.assembly import make_env, make_policy, settled, trials
from vla_course.evaluation.closed_loop import Ask, MakeEnv, MakePolicy, Progress, crew, film, play_all
from vla_course.evaluation.config import EvaluationConfig
from vla_course.evaluation.episodes import best_and_worst
from vla_course.evaluation.record import EvaluationRecord, Film, read, write
from vla_course.video import write_video


def evaluate_policy(
    config: EvaluationConfig,
    path: str | Path | None = None,
    *,
    films: bool = True,
    progress: Progress | None = None,
    make_env: MakeEnv | None = None,
    make_policy: MakePolicy | None = None,
) -> EvaluationRecord:
    """Play all episodes of an evaluation. With a `path` (.json) the record is written there, the films beside it.

    `make_env` and `make_policy` put an environment or a policy in the place of those that the config describes: your own,
    from a notebook. They must be given again to verify the record.

    Raises:
        ValueError: the policy does not fit the environment, or `path` is no .json file.
    """
    if path is not None and Path(path).suffix != ".json":
        raise ValueError(f"an evaluation is written to a .json file, not {Path(path).name!r}")
    if make_env is None:  # so that the record says what was seen
        config = settled(config)
    starts, began = trials(config), time.monotonic()
    with crew(*_makers(config, make_env, make_policy), config.workers) as ask:
        evaluation = play_all(ask, starts, max_steps=config.max_steps, progress=progress)
        record = EvaluationRecord(config, evaluation, seconds=round(time.monotonic() - began, 1))
        if path is not None and films:
            record = replace(record, films=_make_films(record, ask, Path(path)))
    if path is not None:
        write(record, path)
    return record


@dataclass(frozen=True)
class Verification:
    """What came of playing some of a record's episodes again."""

    seeds: tuple[int, ...]
    """Those that were played again."""
    differing: tuple[int, ...]
    """Those of them that went otherwise."""
    changed: tuple[str, ...]
    """What is not as it was: the revision, versions of packages, the hardware. Where it is, every episode should be the same."""

    @property
    def passed(self) -> bool:
        """Whether every episode was the same."""
        return not self.differing

    def __str__(self) -> str:
        """One line to print."""
        same = len(self.seeds) - len(self.differing)
        text = f"{same} of {len(self.seeds)} episodes are the same, step by step"
        if self.differing:
            text += f"; those of seeds {', '.join(map(str, self.differing))} are not"
        if self.changed:
            text += f" (changed since: {', '.join(self.changed)})"
        return text


def verify(
    path: str | Path,
    share: float = 0.1,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
    make_env: MakeEnv | None = None,
    make_policy: MakePolicy | None = None,
) -> Verification:
    """Play a share of a record's episodes again, at least one, spread evenly over them, and compare their hashes.

    Raises:
        ValueError: the share is not above 0 and at most 1, or the file is no evaluation.
        FileNotFoundError: the file, or the policy it names, is not there.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share is above 0 and at most 1, not {share}")
    record = read(path)
    episodes = record.evaluation.episodes
    chosen = np.linspace(0, len(episodes) - 1, math.ceil(share * len(episodes))).round().astype(int)
    starts = trials(record.config)
    makers = _makers(record.config, make_env, make_policy)
    with crew(*makers, record.config.workers if workers is None else workers) as ask:
        again = play_all(
            ask, [starts[place] for place in chosen], max_steps=record.config.max_steps, progress=progress
        )
    pairs = zip([episodes[place] for place in chosen], again.episodes, strict=True)
    differing = tuple(old.seed for old, new in pairs if old.sha256 != new.sha256)
    return Verification(tuple(episode.seed for episode in again.episodes), differing, _changed(record))


def _makers(
    config: EvaluationConfig, env: MakeEnv | None, policy: MakePolicy | None
) -> tuple[MakeEnv, MakePolicy]:
    return env or partial(make_env, config), policy or partial(make_policy, config)


def _make_films(record: EvaluationRecord, ask: Ask, path: Path) -> dict[str, Film]:
    """Both episodes are played again to be filmed; that they are the same episodes is checked."""
    config = record.config
    chosen = dict(zip(("best", "worst"), best_and_worst(record.evaluation.episodes), strict=True))
    starts = {trial.seed: trial for trial in trials(config)}
    filmed = film(ask, [starts[episode.seed] for episode in chosen.values()], max_steps=config.max_steps)
    made = {}
    for (name, episode), (again, frames, fps) in zip(chosen.items(), filmed, strict=True):
        if again.sha256 != episode.sha256:
            raise CannotRunError(
                f"the episode of seed {episode.seed} went otherwise when it was filmed: the policy or the environment "
                "decides by chance, or by what came before; let `reset` start both anew"
            )
        file = path.with_name(f"{path.stem}_{name}.mp4")
        write_video(file, frames, fps)
        made[name] = Film(episode.seed, file.name)
    return made


def _changed(record: EvaluationRecord) -> tuple[str, ...]:
    """What is otherwise than when the record was made."""
    now = {"revision": results.revision(), "hardware": results.hardware(), **results.versions()}
    then = {"revision": record.revision, "hardware": record.hardware, **record.versions}
    return tuple(name for name in now if then.get(name) != now[name] and name in then)
