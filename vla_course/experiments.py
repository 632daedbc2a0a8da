"""The commands of an experiment: record demonstrations, fine-tune a model, say how well it acts, report.

vla-course collect --env FoldTowel-v0 --out data/demos/towel episodes=50
vla-course train --preset finetune-lora --data data/demos/towel --out runs/towel-lora steps=500
vla-course eval runs/towel-lora --env FoldTowel-v0 --episodes 100 --json out.json
vla-course eval --verify out.json
vla-course report out.json runs/towel-lora --out report.html

Settings are fields of a dataclass; a preset, a file and `key=value` words change them, in this order.
"""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vla_course import settings
from vla_course.settings import SettingsError
from vla_course.workers import sigterm_exits

if TYPE_CHECKING:
    from vla_course.evaluation.closed_loop import Progress
    from vla_course.evaluation.config import EvaluationConfig
    from vla_course.evaluation.record import EvaluationRecord

POLICIES = "a run's folder, a model's folder, nano or expert"
# What has a flag of its own, besides being a setting.
FLAGS = {"collect": ("env",), "train": ("data", "out", "init_from"), "eval": ("policy", "env", "episodes")}


def add_commands(commands: Any) -> None:
    """Tell the parser of `vla-course` what these commands take."""
    command = _command(
        commands, "collect", "record demonstrations of an expert as a LeRobot data set", _collect
    )
    command.add_argument("--env", help="the environment, FoldTowel-v0 for example")
    command.add_argument(
        "--out", type=Path, required=True, help="the data set's folder; one that was begun goes on"
    )

    command = _command(commands, "train", "fine-tune a model on demonstrations", _train)
    command.add_argument("--preset", help=f"one of {', '.join(settings.presets())}")
    command.add_argument("--data", help="the folder of a LeRobot data set")
    command.add_argument("--out", help="the run's folder; a run that was broken off goes on")
    command.add_argument("--init-from", help="a model or an earlier run to begin with")

    command = _command(commands, "eval", "play episodes with a policy and count its successes", _eval)
    command.add_argument("policy", nargs="?", help=POLICIES)
    command.add_argument("--env", help="the environment, FoldTowel-v0 for example")
    command.add_argument("--episodes", type=int, help="how many; both policies of a comparison need the same")
    command.add_argument(
        "--json", type=Path, help="where to write the record; films of best and worst lie beside it"
    )
    command.add_argument(
        "--verify", type=Path, metavar="JSON", help="play episodes of a record again, and compare all of it"
    )
    command.add_argument("--share", type=float, default=0.1, help="with --verify: how many of them (0.1)")
    command.add_argument("--seed", type=int, help="with --verify: which of them; drawn and printed otherwise")

    report: argparse.ArgumentParser = commands.add_parser(
        "report", help="one page out of what evaluations and runs have written", allow_abbrev=False
    )
    report.add_argument(
        "places", nargs="+", type=Path, help="records of vla-course eval, folders of them, runs"
    )
    report.add_argument("--out", type=Path, default=Path("report.html"), help="the page (report.html)")
    report.add_argument("--title", default="Did it really get better?")
    report.set_defaults(run=_report)


def _command(commands: Any, name: str, what: str, run: Any) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(
        name, help=what, usage=f"vla-course {name} [options] [key=value ...]", allow_abbrev=False
    )
    command.add_argument("--config", type=Path, help="a YAML file with settings")
    command.set_defaults(run=run, settings=[])
    return command


def take_settings(options: argparse.Namespace, words: list[str]) -> None:
    """Give a command the words that are no options of it.

    Raises:
        SettingsError: the command takes none, or a word is no setting.
    """
    if not hasattr(options, "settings"):
        if words:
            raise SettingsError(f"this command takes no {words[0]!r}")
        return
    for word in words:
        if word.startswith("-"):
            name = word.lstrip("-").partition("=")[0].replace("-", "_")
            raise SettingsError(f"there is no option {word}; a setting is written without dashes: {name}=…")
    options.settings = words


def _overrides(options: argparse.Namespace, command: str) -> list[str]:
    """What the flags say and then the words, so that later wins."""
    said = [(name, getattr(options, name)) for name in FLAGS[command]]
    return [f"{name}={value}" for name, value in said if value is not None] + list(options.settings)


def _collect(options: argparse.Namespace) -> int:
    from vla_course.data.demonstrations import CollectConfig, make_demonstrations

    config = settings.read_settings(
        CollectConfig, file=options.config, overrides=_overrides(options, "collect")
    )
    try:
        with sigterm_exits():
            counts = make_demonstrations(config, options.out)
    except ValueError as error:
        raise SettingsError(str(error)) from error
    print(f"{options.out}: {counts['kept']} demonstrations ({counts['tried']} tried now)")
    return 0


def _train(options: argparse.Namespace) -> int:
    from vla_course.training.config import TrainConfig

    config = settings.read_settings(
        TrainConfig, preset=options.preset, file=options.config, overrides=_overrides(options, "train")
    )
    from vla_course.training.run import begin, train

    try:
        run = begin(config)
    except (
        ValueError,
        RuntimeError,
        ImportError,
    ) as error:  # data, model, machine and settings do not fit together
        raise SettingsError(str(error)) from error
    print(run)
    train(run)
    print(f"{config.out}: done; `vla-course eval {config.out}` says how well it acts")
    return 0


def _eval(options: argparse.Namespace) -> int:
    from vla_course.evaluation.config import EvaluationConfig

    if options.verify is not None:
        return _verify(options)
    overrides = _overrides(options, "eval")
    config = settings.read_settings(EvaluationConfig, file=options.config, overrides=overrides)
    _check_policy(config.policy, options, overrides)
    record = _played(config, options.json)
    print(f"{config.name} on {config.env}: {record.evaluation} strict success")
    if options.json is None:
        print(
            "nothing was kept: with --json out.json a record and films of the best and the worst episode are"
        )
        return 0
    films = [
        f"{options.json.parent / film.file} ({name}, seed {film.seed})" for name, film in record.films.items()
    ]
    print(f"record: {options.json}; films: {', '.join(films) or 'none'}")
    print(f"next: vla-course report {options.json}, or vla-course eval --verify {options.json}")
    return 0


def _check_policy(policy: str, options: argparse.Namespace, overrides: list[str]) -> None:
    """Before processes start: one was named, and is there."""
    from omegaconf import OmegaConf

    from vla_course.evaluation.config import EXPERT, NANO

    in_file = options.config is not None and "policy" in OmegaConf.load(options.config)
    if not in_file and not any(word.startswith("policy=") for word in overrides):
        raise SettingsError(f"name a policy: {POLICIES}; for example vla-course eval {NANO}")
    if policy not in (EXPERT, NANO) and not Path(policy).is_dir():
        raise SettingsError(f"policy: {policy} is no folder; give {POLICIES}")


def _played(config: "EvaluationConfig", path: Path | None) -> "EvaluationRecord":
    """The record, with a bar meanwhile; printed if it cannot be written."""
    from vla_course.evaluation.assembly import settled
    from vla_course.evaluation.record import to_json
    from vla_course.evaluation.run import RecordNotWritten, evaluate_policy

    with _episodes_bar(config.episodes) as count:
        try:
            return evaluate_policy(settled(config), path, progress=count)
        except RecordNotWritten as error:
            print(to_json(error.record))
            raise
        except (ValueError, RuntimeError) as error:  # what does not fit together, a worker that died
            raise SettingsError(str(error)) from error


def _verify(options: argparse.Namespace) -> int:
    from vla_course.evaluation.run import verify

    if options.policy or options.settings:
        raise SettingsError(f"--verify takes its policy and settings from {options.verify}: leave out others")
    with _episodes_bar(None) as count:
        try:
            found = verify(options.verify, options.share, seed=options.seed, progress=count)
        except (ValueError, RuntimeError) as error:
            raise SettingsError(str(error)) from error
    print(f"{options.verify}: {found}")
    return int(not found.passed)


@contextmanager
def _episodes_bar(total: int | None) -> Iterator["Progress"]:
    """A bar with the time that is left, and what moves it. SIGTERM meanwhile ends the workers, too."""
    from tqdm.auto import tqdm

    with sigterm_exits(), tqdm(total=total, unit="episode", disable=None) as bar:

        def count(done: int, of: int, _: Any) -> None:
            bar.total = of
            bar.update(done - bar.n)

        yield count


def _report(options: argparse.Namespace) -> int:
    from vla_course import report

    try:
        path = report.write(options.places, options.out, options.title)
    except ValueError as error:
        raise SettingsError(str(error)) from error
    print(path)
    return 0
