"""Stage 5: does it act? Closed loop through `predict_action`, from starts that no training has seen, with 95 % intervals.

    python tools/nano/prove.py --model data/checkpoints/openvla_nano --starts 25 --verbs touch
    python tools/nano/prove.py --model build/nano/full/model --blind build/nano/full/blind --workers 2 --record

A condition is a verb and what is done to it, "touch/seen" or "put/noise". `touch` is about things, `touch_part` about parts of
garments. What is done is one of the four splits, or

    wrong_words   another task of the same table is said than the one that is scored (does it listen?)
    noise         every picture is noise (does it look?)
    blind         another model, which was trained without pictures, shown a grey one: what noise should fall to
    absent        (touch only) words for a thing that is not on the table; what it touches is counted, nothing is scored

A condition is written when it is measured, and not measured again as long as its model and the number of starts are the same.
"""

import argparse
import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from nano_config import NanoConfig
from processes import each, one_thread

from vla_course import assets, results
from vla_course.envs.table import CLOSE_CAMERA
from vla_course.envs.tabletop.config import COLORS, SEEN, SPLITS, VERBS, StartConfig, TabletopConfig
from vla_course.envs.tabletop.env import TabletopEnv
from vla_course.envs.tabletop.language import name, parse
from vla_course.envs.tabletop.shapes import SHAPES
from vla_course.envs.tabletop.tasks import Thing, held_out
from vla_course.evaluation.episodes import EpisodeResult, Evaluation, evaluate
from vla_course.evaluation.intervals import wilson_interval
from vla_course.files import write_text
from vla_course.openvla.load import load_vla
from vla_course.policies.openvla import Look, OpenVLAPolicy

STARTS, TOGETHER = 400, 16
"""Episodes of a condition, and environments that the model acts in at once."""
TOUCH_PART = "touch_part"
WRONG_WORDS, NOISE, BLIND, ABSENT = "wrong_words", "noise", "blind", "absent"
PUSHES_THINGS_AWAY = ("push_to", "push_direction", "put")
"""Doing another of these tasks disturbs the scored one, which ends the episode: whether it was done cannot be told."""


@dataclass(frozen=True)
class Models:
    """The folders that are judged, and how."""

    seeing: Path
    blind: Path | None
    starts: int

    def of(self, condition: str) -> Path:
        """The folder of the model that acts in a condition."""
        return self.blind if condition.endswith(f"/{BLIND}") and self.blind else self.seeing

    def key(self, condition: str) -> dict[str, Any]:
        """What a row is about: it is measured again when any of it changes."""
        return {"model": fingerprint(self.of(condition)), "starts": self.starts}


def prove(config: NanoConfig, folder: Path, *, workers: int = 1) -> dict[str, Any]:
    """All conditions of a recipe's folder: `folder/model`, beside it `folder/blind` if there is one, into `folder/proof.json`."""
    verbs = [*config.scenes.verbs, *([TOUCH_PART] if config.scenes.garment_share > 0 else [])]
    blind = folder / BLIND
    models = Models(folder / "model", blind if blind.exists() else None, config.evaluation_starts)
    return run(models, conditions(verbs, blind=blind.exists()), folder / "proof.json", workers)


def conditions(verbs: Iterable[str], *, blind: bool) -> list[str]:
    """All that is measured, the plain splits first."""
    verbs = list(verbs)
    ways = [WRONG_WORDS, NOISE, *([BLIND] if blind else [])]
    rest = [f"{verb}/{way}" for verb in verbs for way in ways]
    absent = [f"touch/{ABSENT}"] if "touch" in verbs else []
    return [*(f"{verb}/{split}" for verb in verbs for split in SPLITS), *rest, *absent]


def run(models: Models, names: list[str], proof: Path, workers: int) -> dict[str, Any]:
    """Measure what is not in `proof` yet, which grows by one condition at a time; all that it holds of these models."""
    os.environ.setdefault(
        "LP_NUM_THREADS", "1"
    )  # rendering in software: two threads for 84 pixels only fight
    found = _measured(proof, models)
    missing = [name for name in names if name not in found]
    for (_, condition), row in each(measure, [(models, one) for one in missing], workers):
        _keep(proof, found, condition, row)
    return found


def measure(models: Models, condition: str) -> dict[str, Any]:
    """One condition, in numbers: how often the scored task was done, and what was touched first."""
    verb, way = condition.split("/")
    began = time.perf_counter()
    looks: dict[str, Look] = {NOISE: _noise(), BLIND: _grey}
    policy = OpenVLAPolicy(_model(models.of(condition)), camera=CLOSE_CAMERA, look=looks.get(way))
    envs = _environments(verb == TOUCH_PART, min(TOGETHER, models.starts), policy.image_size)
    options: dict[str, Any] = {"task": "touch" if verb == TOUCH_PART else verb, "split": SEEN}
    if way in SPLITS:
        options["split"] = way
    if way == WRONG_WORDS:
        options["wrong_instruction"] = True

    def with_absent_words(seed: int) -> dict[str, Any]:
        (aside,) = _environments(False, 1, policy.image_size)  # none of those that act: it begins an episode
        return options | {"words": _absent(aside, seed, options)}

    asked = with_absent_words if way == ABSENT else options
    found = evaluate(policy, envs, range(models.starts), options=asked)
    seconds = round(time.perf_counter() - began, 1)
    return models.key(condition) | summary(found, verb, way) | {"seconds": seconds}


def summary(found: Evaluation, verb: str, way: str) -> dict[str, Any]:
    """What is kept of a condition. `outcomes` has one digit a start, in the order of the seeds, which count from 0."""
    episodes = found.episodes
    touched = sum(bool(episode.touched) for episode in episodes)
    row: dict[str, Any] = {
        "touched_anything": touched,
        "touched_what_was_said": sum(_said(episode) == episode.touched for episode in episodes),
        "steps": round(float(np.mean([episode.steps for episode in episodes])), 1),
        "failures": dict(
            Counter(_reason(episode) for episode in episodes if not episode.success).most_common()
        ),
    }
    if way == ABSENT:
        alike = sum(bool(set(episode.touched.split()) & set(_said(episode).split())) for episode in episodes)
        return row | {"touched_alike": alike}
    low, high = found.interval
    row |= {"successes": found.successes, "low": round(low, 4), "high": round(high, 4)}
    row["outcomes"] = "".join(str(int(episode.success)) for episode in episodes)
    if way == WRONG_WORDS:
        told = [episode.told_success for episode in episodes]
        row["did_what_was_said"] = None if verb in PUSHES_THINGS_AWAY else sum(told)
    return row


@cache
def fingerprint(folder: Path) -> str:
    """The weights' SHA-256, its first 16 digits: two folders with the same one act alike."""
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()[:16]


def record(models: Models, found: dict[str, Any]) -> Path:
    """Write data/results/nano/success.json."""
    values = {"model": fingerprint(models.seeing), "conditions": dict(sorted(found.items()))}
    return results.write("nano/success", values, seeds=range(models.starts))


def _said(episode: EpisodeResult) -> str:
    """The thing, or the part of a garment, that the words are about, as the environment calls it."""
    target = parse(episode.instruction)[0].target
    return target.part or f"{target.color} {target.kind}"


def _reason(episode: EpisodeResult) -> str:
    """Why an episode was no success, without the names of things."""
    if not episode.failure:
        return "out of time"
    if episode.failure.startswith("touched"):
        said = episode.touched == _said(episode)
        return "touched what was said, not what is scored" if said else "touched something else first"
    return "disturbed something else" if episode.failure.endswith("disturbed") else "held something"


def _absent(env: TabletopEnv, seed: int, options: dict[str, Any]) -> str:
    """Words of the training for a thing that does not stand on this start's table; `env` is reset for that."""
    env.reset(seed=seed, options=options)
    rng = np.random.default_rng([seed, 7])
    things = [Thing(color, kind) for color in COLORS for kind in SHAPES]
    away = [thing for thing in things if thing not in env.start.things and not held_out("touch", (thing,))]
    return f"touch {name(away[int(rng.integers(len(away)))])}"


def _noise(seed: int = 0) -> Look:
    rng = np.random.default_rng(seed)
    return lambda pictures: rng.integers(0, 256, pictures.shape, dtype=np.uint8)


def _grey(pictures: np.ndarray) -> np.ndarray:
    return np.full_like(pictures, 128)


@cache
def _model(folder: Path) -> Any:
    """Loaded once in each process."""
    return load_vla(path=folder)


@cache
def _environments(garments: bool, count: int, size: tuple[int, int]) -> list[TabletopEnv]:
    """Worlds of things, or worlds in which every touch is of a garment; made once in each process."""
    config = TabletopConfig(start=StartConfig(garment_share=float(garments)))
    verbs = ("touch",) if garments else VERBS
    return [
        TabletopEnv(verbs=verbs, cameras=(CLOSE_CAMERA,), image_size=size, config=config)
        for _ in range(count)
    ]


def _measured(proof: Path, models: Models) -> dict[str, Any]:
    """The rows of a proof that are about these models and this number of starts."""
    rows = json.loads(proof.read_text(encoding="utf-8")) if proof.exists() else {}
    return {name: row for name, row in rows.items() if models.key(name).items() <= row.items()}


def _keep(proof: Path, found: dict[str, Any], condition: str, row: dict[str, Any]) -> None:
    found[condition] = row
    print(f"{condition:34} {_line(row)}", flush=True)
    write_text(proof, json.dumps(found, indent=1))


def _line(row: dict[str, Any]) -> str:
    starts, said = row["starts"], row["touched_what_was_said"]
    rest = f"touched anything {row['touched_anything']}, what was said {said}, {row['seconds']:.0f} s"
    if "successes" not in row:
        return f"{'—':>22}  {rest}, something alike {row['touched_alike']}"
    low, high = wilson_interval(row["successes"], starts)
    done = f"{row['successes']:3}/{starts} ({100 * low:.0f}–{100 * high:.0f} %)"
    told = row.get("did_what_was_said")
    return f"{done:>22}  {rest}" + ("" if told is None else f", did what was said {told}")


def main() -> None:
    """Measure the conditions that were asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    every = (*VERBS, TOUCH_PART)
    parser.add_argument("--model", type=Path, required=True, help="the folder of the model")
    parser.add_argument("--blind", type=Path, help="the folder of one that was trained without pictures")
    parser.add_argument("--starts", type=int, default=STARTS, help="episodes of each condition")
    parser.add_argument("--verbs", nargs="+", choices=every, default=list(every))
    parser.add_argument("--conditions", nargs="+", help="only these, like touch/seen, or seen for every verb")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--proof", type=Path, help="the file that grows (one for each model, in build/nano)")
    parser.add_argument("--record", action="store_true", help="write data/results/nano/success.json")
    chosen = parser.parse_args()
    one_thread()
    models = Models(chosen.model.resolve(), chosen.blind and chosen.blind.resolve(), chosen.starts)
    names = conditions(chosen.verbs, blind=chosen.blind is not None)
    if chosen.conditions:
        names = [one for one in names if one in chosen.conditions or one.split("/")[1] in chosen.conditions]
    if not names:
        parser.error(
            f"none of {chosen.conditions} is a condition: {', '.join(conditions(every, blind=True))}"
        )
    name = f"proof_{fingerprint(models.seeing)}_{models.starts}.json"
    proof = chosen.proof or assets.CHECKOUT / "build" / "nano" / name
    found = run(models, names, proof, chosen.workers)
    if chosen.record:
        print(f"recorded in {record(models, found).name}")


if __name__ == "__main__":
    main()
