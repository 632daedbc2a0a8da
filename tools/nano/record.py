"""Write what the stages of a recipe took and how they learned to data/results/nano/training.json.

python tools/nano/record.py
python tools/nano/record.py --folder build/nano/full
python tools/nano/record.py --folder build/nano/further --further    beside the stages that its given checkpoint had
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from make_nano import STAGES

from vla_course import assets, results

POINTS = 40
"""Points of a curve that are kept."""


def training(folder: Path) -> dict[str, Any]:
    """Steps, seconds, command and a thinned curve of each stage that was trained, in the order in which they run.

    Raises: FileNotFoundError if no stage was.
    """
    names = [f"tower_{stage}" if stage in ("dinov2", "siglip") else stage for stage in STAGES]
    records = [folder / f"{name}.json" for name in names]
    found = [json.loads(path.read_text(encoding="utf-8")) for path in records if path.exists()]
    if not found:
        raise FileNotFoundError(f"no stage was trained in {folder}: run tools/nano/make_nano.py first")
    return {one["stage"]: _kept(one) for one in found} | {"config": found[-1]["config"]}


def beside(before: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """The stages of a checkpoint's record, then those that went on from it, with both configurations."""
    stages = {name: stage for name, stage in before.items() if name not in found}
    return {**stages, **found, "config_before": before["config"]}


def _kept(record: dict[str, Any]) -> dict[str, Any]:
    curve = record["curve"]
    every = max(1, len(curve) // POINTS)
    thinned = [_rounded(point) for point in curve[every - 1 :: every]]
    return {key: record[key] for key in ("steps", "wall_s", "command")} | {"curve": thinned}


def _rounded(point: dict[str, float]) -> dict[str, float]:
    return {key: round(value, 4) for key, value in point.items()}


def main() -> None:
    """Write the record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=assets.CHECKOUT / "build" / "nano" / "full")
    parser.add_argument("--further", action="store_true", help="keep the stages that are recorded already")
    chosen = parser.parse_args()
    found = training(chosen.folder)
    if chosen.further:
        found = beside(results.read("nano/training").values, found)
    configs = [config for name, config in found.items() if name.startswith("config")]
    written = results.write("nano/training", found, seeds=sorted({config["seed"] for config in configs}))
    print(f"{written.name}: {', '.join(name for name in found if not name.startswith('config'))}")


if __name__ == "__main__":
    main()
