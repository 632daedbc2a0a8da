"""Do an evaluation, keep it, and check later that it can be done again."""

import math
import secrets
import time
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from vla_course import results
from vla_course.errors import CannotRunError
from vla_course.evaluation.assembly import check_policy, make_env, make_policy, settled, trials
from vla_course.evaluation.config import EvaluationConfig
from vla_course.evaluation.record import EvaluationRecord, Film, check_room, difference, read, write
from vla_course.evaluation.trials import best_and_worst
from vla_course.evaluation.workers import Ask, MakeEnv, MakePolicy, Progress, crew, film, play_all
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
        FileNotFoundError: the policy is not there.
        OSError: nothing can be written to `path`; nothing was played.
        RecordNotWritten: it could be written to before the episodes, and cannot now.
    """
    if make_policy is None:
        check_policy(config)
    if path is not None:
        check_room(path, config.episodes)
    if make_env is None:  # so that the record says what was seen
        config = settled(config)
    starts, began = trials(config), time.monotonic()
    with crew(*_makers(config, make_env, make_policy), config.workers) as ask:
        evaluation = play_all(ask, starts, max_steps=config.max_steps, progress=progress)
        record = EvaluationRecord(config, evaluation, seconds=round(time.monotonic() - began, 1))
        if path is not None:
            record = _written(record, ask, Path(path), films)
    return record


class RecordNotWritten(OSError):
    """The episodes were played, and their record or its films could not be written."""

    def __init__(self, path: Path, record: EvaluationRecord, reason: OSError) -> None:
        super().__init__(f"{path} or its films could not be written: {reason.strerror or reason}")
        self.record = record


def _written(record: EvaluationRecord, ask: Ask, path: Path, films: bool) -> EvaluationRecord:
    """The record is written before the films are made, so that an error there loses no episode."""
    try:
        write(record, path)
        if films:
            record = replace(record, films=_make_films(record, ask, path))
            write(record, path)
    except OSError as error:
        raise RecordNotWritten(path, record, error) from error
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
    first: str = ""
    """The first value that is otherwise, in words."""
    seed: int = 0
    """The seed that chose them."""

    @property
    def passed(self) -> bool:
        """Whether every episode was the same."""
        return not self.differing

    def __str__(self) -> str:
        """One line to print."""
        same = len(self.seeds) - len(self.differing)
        text = f"{same} of {len(self.seeds)} episodes are the same in every recorded value (chosen with seed {self.seed})"
        if self.differing:
            text += f"; those of seeds {', '.join(map(str, self.differing))} are not: {self.first}"
        if self.changed:
            text += f" (changed since: {', '.join(self.changed)})"
        return text


def verify(
    path: str | Path,
    share: float = 0.1,
    *,
    seed: int | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
    make_env: MakeEnv | None = None,
    make_policy: MakePolicy | None = None,
) -> Verification:
    """Compute a record's summary again, and play a share of its episodes again, at least one, to compare all that is recorded.

    The episodes are drawn with `seed`, a random one where none is given: whoever made the record could not know which.

    Raises:
        ValueError: the share is not above 0 and at most 1, there is no such evaluation, or it contradicts itself.
        FileNotFoundError: the file, or the policy it names, is not there.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share is above 0 and at most 1, not {share}")
    record = read(path)
    if make_policy is None:
        check_policy(record.config)
    episodes = record.evaluation.episodes
    seed = secrets.randbelow(1_000_000) if seed is None else seed
    drawn = np.random.default_rng(seed).permutation(len(episodes))[: math.ceil(share * len(episodes))]
    chosen = np.sort(drawn).tolist()
    starts = trials(record.config)
    makers = _makers(record.config, make_env, make_policy)
    with crew(*makers, record.config.workers if workers is None else workers) as ask:
        again = play_all(
            ask, [starts[place] for place in chosen], max_steps=record.config.max_steps, progress=progress
        )
    pairs = zip([episodes[place] for place in chosen], again.episodes, strict=True)
    found = {old.seed: difference(asdict(old), asdict(new), "played again it is") for old, new in pairs}
    differing = {number: what for number, what in found.items() if what}
    first = next((f"seed {number}: {what}" for number, what in differing.items()), "")
    return Verification(tuple(found), tuple(differing), _changed(record), first, seed)


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
