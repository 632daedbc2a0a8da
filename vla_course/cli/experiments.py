"""The commands of an experiment: record demonstrations, fine-tune a model, evaluate it, report.

vla-course collect --env FoldTowel-v0 --out data/demos/towel episodes=50
vla-course train --preset finetune-lora --data data/demos/towel --out runs/towel-lora steps=500
vla-course eval runs/towel-lora --env FoldTowel-v0 --episodes 100 --json out.json
vla-course eval --verify out.json
vla-course report out.json runs/towel-lora --out report.html

Settings are fields of a dataclass; a preset, a file and `key=value` words change them, in this order.
"""

import argparse
import shlex
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from vla_course import settings
from vla_course.envs.processes import sigterm_exits
from vla_course.errors import CannotRunError
from vla_course.settings import SettingsError, listing

if TYPE_CHECKING:
    from vla_course.evaluation.config import EvaluationConfig
    from vla_course.evaluation.record import EvaluationRecord
    from vla_course.evaluation.workers import Progress
    from vla_course.fine_tuning.config import TrainConfig

Settings = TypeVar("Settings")
POLICIES = "a run's folder, a model's folder, nano or expert"
# What has a flag of its own, besides being a setting.
FLAGS = {"collect": ("env",), "train": ("data", "out", "init_from"), "eval": ("policy", "env", "episodes")}


def add_commands(commands: Any) -> None:
    """Add these commands to the parser of `vla-course`."""
    command = _command(
        commands,
        "collect",
        "record demonstrations of an expert as a LeRobot data set",
        _collect,
        "vla_course.data.demonstrations.CollectConfig",
    )
    command.add_argument("--env", help="the environment, FoldTowel-v0 for example")
    command.add_argument(
        "--out", type=Path, required=True, help="the data set's folder; one that was begun goes on"
    )

    command = _command(
        commands,
        "train",
        "fine-tune a model on demonstrations",
        _train,
        "vla_course.fine_tuning.config.TrainConfig",
    )
    command.add_argument("--preset", help=f"one of {', '.join(settings.presets())}")
    command.add_argument("--data", help="the folder of a LeRobot data set")
    command.add_argument("--out", help="the run's folder; a run that was broken off goes on")
    command.add_argument("--init-from", help="a model or an earlier run to begin with")

    command = _command(
        commands,
        "eval",
        "play episodes with a policy and count its successes",
        _eval,
        "vla_course.evaluation.config.EvaluationConfig",
    )
    command.add_argument("policy", nargs="?", help=POLICIES)
    command.add_argument("--env", help="the environment, FoldTowel-v0 for example")
    command.add_argument("--episodes", type=int, help="how many; both policies of a comparison need the same")
    command.add_argument(
        "--json", type=Path, help="where to write the record; films of best and worst lie beside it"
    )
    command.add_argument(
        "--verify",
        type=Path,
        metavar="RECORD",
        help="play episodes of a record again, and compare all of it: out.json, or study.parquet::name",
    )
    command.add_argument("--share", type=float, default=0.1, help="with --verify: how many of them (0.1)")
    command.add_argument("--seed", type=int, help="with --verify: which of them; drawn and printed otherwise")

    report: argparse.ArgumentParser = commands.add_parser(
        "report", help="one page out of what evaluations and runs have written", allow_abbrev=False
    )
    report.add_argument(
        "places",
        nargs="+",
        type=Path,
        help="records of vla-course eval, studies (study.parquet, or study.parquet::name for one evaluation), folders of them, runs",
    )
    report.add_argument("--out", type=Path, default=Path("report.html"), help="the page (report.html)")
    report.add_argument("--title", default="Did it really get better?")
    report.set_defaults(run=_report)


def _command(
    commands: Any, name: str, what: str, run: Callable[[argparse.Namespace], int], config: str
) -> argparse.ArgumentParser:
    """A command whose settings are the fields of the dataclass `config`, named in full."""
    command: argparse.ArgumentParser = commands.add_parser(
        name,
        help=what,
        usage=f"vla-course {name} [options] [key=value ...]",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
        allow_abbrev=False,
    )
    command.add_argument("-h", "--help", action=_Help, const=config, help="show this list, and stop")
    command.add_argument("--config", type=Path, help="a YAML file with settings")
    command.set_defaults(run=run, settings=[])
    return command


class _Help(argparse.Action):
    """`--help` with every setting of the command; the dataclass is imported only when it is asked for, since it may need torch."""

    def __init__(self, option_strings: list[str], dest: str, const: str, help: str) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, const=const, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        module, _dot, name = str(self.const).rpartition(".")
        width = min(100, shutil.get_terminal_size().columns)
        parser.epilog = f"settings:\n{listing(getattr(import_module(module), name), width)}"
        parser.print_help()
        parser.exit()


def take_settings(options: argparse.Namespace, words: list[str]) -> None:
    """Give a command its settings: the words that are not options.

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


def _read(kind: type[Settings], options: argparse.Namespace, command: str) -> Settings:
    flags = {name: getattr(options, name) for name in FLAGS[command]}
    return settings.read_settings(
        kind,
        preset=getattr(options, "preset", None),
        file=options.config,
        flags={name: value for name, value in flags.items() if value is not None},
        overrides=options.settings,
    )


def _collect(options: argparse.Namespace) -> int:
    from vla_course.data.demonstrations import CollectConfig, make_demonstrations

    config = _read(CollectConfig, options, "collect")
    try:
        with sigterm_exits():
            counts = make_demonstrations(config, options.out)
    except ValueError as error:
        raise SettingsError(str(error)) from error
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"the finished episodes are in {options.out}, and the same command goes on"
        ) from None
    print(f"{options.out}: {counts['kept']} demonstrations ({counts['tried']} tried now)")
    return 0


def _train(options: argparse.Namespace) -> int:
    from vla_course.fine_tuning.config import TrainConfig

    config = _read(TrainConfig, options, "train")
    import torch

    try:
        _fine_tune(config)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(_where_it_stands(Path(config.out))) from None
    except torch.OutOfMemoryError as error:
        raise CannotRunError(
            f"the GPU's memory is full: a smaller batch_size (now {config.batch_size}) with more gradient_accumulation, or "
            "gradient_checkpointing=true, needs less"
        ) from error
    print(f"{config.out}: done; `{_how_it_is_evaluated(config)}` says how well it acts")
    return 0


def _fine_tune(config: "TrainConfig") -> None:
    from vla_course.fine_tuning.run import begin, train

    try:
        prepared = begin(config)
    except (ValueError, ImportError) as error:  # data, model and settings do not fit together
        raise SettingsError(str(error)) from error
    print(prepared)
    train(prepared)


def _how_it_is_evaluated(config: "TrainConfig") -> str:
    """The command that plays episodes in the environment that the demonstrations come from, where that is noted beside them."""
    from vla_course.data.schema import COLLECT
    from vla_course.data.tables import read_json

    noted = Path(config.data) / COLLECT
    env = read_json(noted).get("env") if noted.exists() else None
    where = ["--env", str(env)] if env else []
    return shlex.join(["vla-course", "eval", config.out, *where, "--json", f"{config.out.rstrip('/')}.json"])


def _where_it_stands(out: Path) -> str:
    from vla_course.training.checkpoints import NAME

    if (out / NAME).exists():
        return f"the last checkpoint is {out / NAME}, and the same command goes on from there"
    return f"there is no checkpoint in {out} yet, and the same command begins again"


def _eval(options: argparse.Namespace) -> int:
    from vla_course.evaluation.config import EvaluationConfig

    if options.verify is not None:
        return _verify(options)
    config = _read(EvaluationConfig, options, "eval")
    _require_policy(options)
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


def _require_policy(options: argparse.Namespace) -> None:
    """A policy has to be named: the default would be evaluated by accident.

    Raises:
        SettingsError: none is.
    """
    from omegaconf import OmegaConf

    in_file = options.config is not None and "policy" in OmegaConf.load(options.config)
    in_words = any(word.startswith("policy=") for word in options.settings)
    if options.policy is None and not in_file and not in_words:
        raise SettingsError(f"name a policy: {POLICIES}; for example vla-course eval nano")


def _played(config: "EvaluationConfig", path: Path | None) -> "EvaluationRecord":
    """The record, with a bar meanwhile; printed if it cannot be written."""
    from vla_course.evaluation.record import to_json
    from vla_course.evaluation.run import RecordNotWritten, evaluate_policy

    with _episodes_bar(config.episodes) as count:
        try:
            return evaluate_policy(config, path, progress=count)
        except RecordNotWritten as error:
            print(to_json(error.record))
            raise
        except ValueError as error:  # policy, environment and settings that do not fit together
            raise SettingsError(str(error)) from error


def _verify(options: argparse.Namespace) -> int:
    from vla_course.evaluation.run import verify

    if options.policy or options.settings:
        raise SettingsError(f"--verify takes its policy and settings from {options.verify}: leave out others")
    with _episodes_bar(None) as count:
        try:
            found = verify(options.verify, options.share, seed=options.seed, progress=count)
        except ValueError as error:
            raise SettingsError(str(error)) from error
    print(f"{options.verify}: {found}")
    return int(not found.passed)


@contextmanager
def _episodes_bar(total: int | None) -> Iterator["Progress"]:
    """A progress bar with the remaining time, and the function that moves it. SIGTERM meanwhile ends the workers, too."""
    from tqdm.auto import tqdm

    with sigterm_exits(), tqdm(total=total, unit="episode", disable=None) as bar:

        def count(done: int, of: int, _: Any) -> None:
            bar.total = of
            bar.update(done - bar.n)

        yield count


def _report(options: argparse.Namespace) -> int:
    from vla_course.report import page

    try:
        path = page.write(options.places, options.out, options.title)
    except ValueError as error:
        raise SettingsError(str(error)) from error
    print(path)
    return 0
