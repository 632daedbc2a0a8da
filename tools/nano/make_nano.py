"""Make the nano OpenVLA from nothing, or go on where it was stopped.

    python tools/nano/make_nano.py                       all stages of the full recipe, hours on two cores
    python tools/nano/make_nano.py --stage scenes --workers 2
    python tools/nano/make_nano.py --preset further --given data/checkpoints/openvla_nano    go on from a finished one

Everything is kept under build/nano/<preset>/, which git ignores.
"""

import argparse
import json
import os
import shutil
from pathlib import Path

import numpy as np
import torch
from assemble import new_model
from corrections import make_corrections
from nano_config import PRESETS, NanoConfig
from scenes import make_scenes, shard_path
from towers import Sights, train_tower
from words import load_tokenizer, train_tokenizer

from vla_course import assets

STAGES = (
    "scenes",
    "words",
    "dinov2",
    "siglip",
    "language",
    "actions",
    "blind",
    "corrections",
    "corrected",
    "corrections_again",
    "whole",
    "corrections_last",
    "last",
    "corrections_fourth",
    "fourth",
    "corrections_fifth",
    "fifth",
    "corrections_sixth",
    "sixth",
    "evaluate",
)


def main() -> None:
    """Run the stages that were asked for, in their order."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", choices=list(PRESETS), default="full")
    parser.add_argument("--stage", choices=STAGES, nargs="+", help="all, or with --given what comes after")
    parser.add_argument(
        "--workers", type=int, default=2, help="processes that draw scenes, threads that train"
    )
    parser.add_argument("--folder", type=Path, help="where everything is kept (build/nano/<preset>)")
    parser.add_argument(
        "--given", type=Path, help="a finished checkpoint to go on from, in place of the stages before"
    )
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.workers)
    folder = chosen.folder or assets.CHECKOUT / "build" / "nano" / chosen.preset
    if chosen.given is not None:
        give(chosen.given, folder)
    later = [STAGES[0], *STAGES[STAGES.index("corrections_fourth") :]]
    stages = chosen.stage or (list(STAGES) if chosen.given is None else later)
    run(PRESETS[chosen.preset](), folder, stages, chosen.workers)


def give(checkpoint: Path, folder: Path) -> None:
    """Begin a recipe's folder with a finished checkpoint; one that has begun already is left as it is."""
    from learn import GIVEN

    if not (folder / GIVEN).exists():
        shutil.copytree(checkpoint, folder / "model", dirs_exist_ok=True)
        shutil.copy(checkpoint / "tokenizer.json", folder)
        shutil.copytree(checkpoint, folder / f"{GIVEN}.partial", dirs_exist_ok=True)
        os.replace(folder / f"{GIVEN}.partial", folder / GIVEN)


def run(config: NanoConfig, folder: Path, stages: list[str], workers: int) -> None:
    """All stages named, each going on from what lies in the folder."""
    from learn import learn
    from prove import prove

    folder.mkdir(parents=True, exist_ok=True)
    if "scenes" in stages:
        make_scenes(config, folder / "scenes", workers=workers)
    if "words" in stages and not (folder / "tokenizer.json").exists():
        first = np.load(shard_path(folder / "scenes", "sight", 0))
        extra = [text for words in json.loads(str(first["words"])) for text in _texts(words)]
        train_tokenizer(config, extra).save(str(folder / "tokenizer.json"))
    for which in ("dinov2", "siglip"):
        if which in stages:
            sights = Sights(folder / "scenes", config, load_tokenizer(folder))
            train_tower(which, new_model(config).vision_backbone, config, sights, folder)
    for stage in ("language", "actions", "blind"):
        if stage in stages:
            learn(stage, config, folder)
    for turn, (corrections, then) in enumerate(
        (
            ("corrections", "corrected"),
            ("corrections_again", "whole"),
            ("corrections_last", "last"),
            ("corrections_fourth", "fourth"),
            ("corrections_fifth", "fifth"),
            ("corrections_sixth", "sixth"),
        )
    ):
        if corrections in stages:
            make_corrections(config, folder, turn=turn, workers=workers)
        if then in stages:
            learn(then, config, folder)
    if "evaluate" in stages:
        prove(config, folder)


def _texts(words: dict[str, list]) -> list[str]:
    questions = [text for pair in words["questions"] for text in pair]
    return [*words["captions"], *questions, *(point[0] for point in words["points"])]


if __name__ == "__main__":
    main()
