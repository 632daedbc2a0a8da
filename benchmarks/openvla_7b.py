"""openvla-7b on a computer without a GPU: what loading takes, and an action, in bfloat16 and in four bits.

It wants the weights, or `tools/random_7b.py`'s of the same sizes, and runs only when asked with `--scale 7b`:

    python tools/random_7b.py build/openvla_7b
    python benchmarks/openvla_7b.py --scale 7b --checkpoint build/openvla_7b

Each of three steps has a process of its own, whose largest memory is measured: bfloat16; quantised while it is read, and saved; the saved one
loaded again. A step without enough memory is left out, and one is stopped before the machine runs out of it. Of the actions the quickest
counts, since other programs only slow it down; the load of the machine at the start of each step is recorded. What a step found is
kept beside the weights, so that a run that was stopped goes on.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from measuring.report import Row, finish, options

import psutil  # isort: skip
import torch
from PIL import Image

from vla_course import assets, results
from vla_course.files import write_text
from vla_course.openvla.four_bit_files import is_stored
from vla_course.openvla.load import OPENVLA_7B, find_7b, load_vla

SPARE_GB, ROUNDS = 1.5, 3
PHOTOGRAPH, WORDS, KEY = "data/pictures/towel_fold.jpg", "fold the towel", "bridge_orig"
STEPS: dict[str, tuple[int | None, bool]] = {
    "bfloat16": (None, False),
    "4 bits": (4, False),
    "4 bits, saved": (4, True),
}
"""Bits, and whether the weights are read from what the step before it saved."""
UNITS = {"size on disk": ("GB", "≤ 7"), "peak memory": ("GB", "")}
TARGETS = {"4 bits, saved: loading": "≤ 60"}


def clocked(call: Callable[[], Any]) -> tuple[Any, float, float]:
    """What a call returns, its seconds, and the processors' seconds."""
    wall, processor = time.perf_counter(), time.process_time()
    found = call()
    return found, time.perf_counter() - wall, time.process_time() - processor


def peak_gb() -> float:
    """The most memory that this process had, on Linux in kilobytes and on macOS in bytes."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most * (1 if sys.platform == "darwin" else 1024) / 1e9


def size_gb(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.iterdir()) / 1e9


def measure(folder: Path, bits: int | None, save_to: Path | None, rounds: int) -> dict[str, dict[str, float]]:
    """Wall-clock seconds, GB, and under "processor" the seconds of all cores together. A model that is saved does not act: loaded again it will."""
    model, load_s, load_processor_s = clocked(lambda: load_vla("7b", path=folder, bits=bits, device="cpu"))
    found, processor = {"loading": load_s}, {"loading": load_processor_s}
    if save_to is not None:
        found["peak memory"] = peak_gb()
        _, found["saving"], processor["saving"] = clocked(
            lambda: model.save_pretrained(save_to, max_shard_size="2GB")
        )
        found["size on disk"] = size_gb(save_to)
        return {"measured": found, "processor": processor}
    if rounds == 0:
        return {"measured": {**found, "peak memory": peak_gb()}, "processor": processor}
    picture = Image.open(assets.find(PHOTOGRAPH)).convert("RGB")
    key = KEY if KEY in model.config.norm_stats else next(iter(model.config.norm_stats))
    for name, parallel in (
        ("an action, all numbers at once", "cacheable"),
        ("an action, token by token", None),
    ):
        calls = [
            clocked(lambda how=parallel: model.predict_action(picture, WORDS, key, parallel=how))
            for _ in range(rounds)
        ]
        found[name], processor[name] = min(call[1] for call in calls), min(call[2] for call in calls)
    found["peak memory"] = peak_gb()
    return {"measured": found, "processor": processor}


def watched(command: list[str]) -> dict[str, Any] | None:
    """A measuring process's answer; None where it was stopped because memory ran short, or where it refused to begin."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(os.cpu_count()), "OMP_WAIT_POLICY": "passive"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        while process.poll() is None:
            if psutil.virtual_memory().available / 1e9 < SPARE_GB:
                process.kill()
                print(f"stopped: less than {SPARE_GB} GB of memory were left for other programs")
            time.sleep(0.2)
        printed = process.stdout.read().splitlines() if process.stdout else []
    print("\n".join(printed[:-1]))
    return json.loads(printed[-1]) if process.returncode == 0 else None


def measured(step: str, folder: Path, quantised: Path, asked: argparse.Namespace) -> dict[str, Any] | None:
    """What one step found, now or in an earlier run that went no further; None where it could not be measured."""
    kept, (bits, saved) = folder / f"measured_{step.replace(', ', '_').replace(' ', '_')}.json", STEPS[step]
    if kept.exists() and not asked.again:
        print(f"{step}: measured before, see {kept.name}; --again measures it once more")
        return json.loads(kept.read_text())
    if saved and not is_stored(quantised):
        print(f"{step}: not measured, {quantised} is not there")
        return None
    load = os.getloadavg()[0]
    child = [
        str(bits or ""),
        str(quantised if saved else folder),
        str(quantised if bits and not saved else ""),
        str(asked.rounds),
    ]
    found = watched([sys.executable, __file__, "--child", *child])
    if found is None:
        print(f"{step}: not measured, see the lines above")
    else:
        found |= {"load_average_before": load, "best_of": asked.rounds, "revision": results.revision()}
        write_text(kept, json.dumps(found))
    return found


def rows_of(step: str, found: dict[str, Any]) -> list[Row]:
    rows = []
    for what, value in found["measured"].items():
        unit, target = UNITS.get(what, ("s", TARGETS.get(f"{step}: {what}", "")))
        rows.append(Row(f"{step}: {what}", value, unit, target))
    return rows


def bench(folder: Path, quantised: Path, asked: argparse.Namespace) -> None:
    steps = {step: measured(step, folder, quantised, asked) for step in asked.step or STEPS}
    found = {step: values for step, values in steps.items() if values is not None}
    if not found:
        sys.exit(1)
    seed = json.loads((folder / "config.json").read_text()).get("random_weights_seed")
    details = {
        "weights": "published" if seed is None else f"random, seed {seed}",
        "steps": {
            step: {name: value for name, value in values.items() if name != "measured"}
            for step, values in found.items()
        },
    }
    rows = [row for step, values in found.items() for row in rows_of(step, values)]
    finish("laptop", rows, seeds=[seed or 0], quick=asked.quick, world="openvla_7b", details=details)


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        bits, folder, save_to, rounds = sys.argv[2:]
        torch.set_num_threads(os.cpu_count() or 1)
        try:
            found = measure(
                Path(folder), int(bits) if bits else None, Path(save_to) if save_to else None, int(rounds)
            )
        except RuntimeError as error:
            sys.exit(str(error))
        print(json.dumps(found))
        return
    parser = options(__doc__.splitlines()[0])
    parser.add_argument(
        "--scale", choices=("7b",), help="without it nothing is measured: it takes minutes and 16 GB"
    )
    parser.add_argument("--checkpoint", default=OPENVLA_7B, help="the folder of the weights")
    parser.add_argument(
        "--quantised",
        type=Path,
        help="where the model in four bits is saved; beside the checkpoint, if not given",
    )
    parser.add_argument(
        "--step", choices=list(STEPS), action="append", help="only this one, once or more; otherwise all"
    )
    parser.add_argument("--again", action="store_true", help="measure what was measured before, too")
    parser.add_argument(
        "--rounds",
        type=int,
        default=ROUNDS,
        help=f"actions of each kind, of which the quickest counts; {ROUNDS} if not given, 0: only load",
    )
    asked = parser.parse_args()
    if asked.scale is None:
        print("openvla-7b on the processor: not measured; ask for it with --scale 7b")
        return
    folder = find_7b(asked.checkpoint, device="cpu")
    quantised = asked.quantised or folder.with_name(f"{folder.name}_4bit")
    bench(folder, quantised, asked)


if __name__ == "__main__":
    main()
