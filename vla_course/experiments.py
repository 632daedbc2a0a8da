"""The commands of an experiment: record demonstrations, fine-tune a model.

vla-course collect --env FoldTowel-v0 --out data/demos/towel episodes=50
vla-course train --preset finetune-lora --data data/demos/towel --out runs/towel-lora steps=500

Settings are fields of a dataclass; a preset, a file and `key=value` words change them, in this order.
"""

import argparse
from pathlib import Path
from typing import Any

from vla_course import settings
from vla_course.settings import SettingsError

# What has a flag of its own, besides being a setting.
FLAGS = {"collect": ("env",), "train": ("data", "out", "init_from")}


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
    except (ValueError, RuntimeError) as error:  # data, model and settings that do not fit together
        raise SettingsError(str(error)) from error
    print(run)
    train(run)
    print(f"{config.out}: done; `vla-course eval {config.out}` says how well it acts")
    return 0
