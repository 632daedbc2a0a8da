"""Recorded results: every number that was not measured live carries what it takes to measure it again.

Two kinds of file lie under data/results/, and share their `Provenance`. A *result* is any measurement:
`write("day03/options", {...}, seeds=[0, 1])` makes `data/results/day03/options.json`. A *study* holds evaluations of policies,
every episode of them, as one parquet table: `vla_course.evaluation.studies`.
"""

import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from vla_course import assets
from vla_course.errors import CannotRunError
from vla_course.files import write_text

PACKAGES = ("vla-course", "gymnasium", "mujoco", "numpy", "torch", "transformers")


def running_command() -> str:
    """The command line of this process: "vla-course eval nano", or "python tools/towel.py record" for a program of the course."""
    path, arguments = Path(sys.argv[0]).resolve(), sys.argv[1:]
    if path.suffix != ".py":
        return shlex.join([path.name, *arguments])
    inside = assets.CHECKOUT in path.parents
    program = path.relative_to(assets.CHECKOUT).as_posix() if inside else path.name
    return "python " + shlex.join([program, *arguments])


def today() -> str:
    """The date in UTC, as in 2026-11-28."""
    return datetime.now(UTC).strftime("%Y-%m-%d")


def revision() -> str:
    """The git revision of the checkout, with `+changes` where files differ from it."""
    try:
        git = ["git", "-C", str(assets.CHECKOUT)]
        head = subprocess.run(
            [*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
        ).stdout.strip()
        status = [
            "status",
            "--porcelain",
            "--untracked-files=no",
            "--",
            "vla_course",
            "benchmarks",
            "tools",
            "lessons",
        ]
        changed = subprocess.run([*git, *status], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + ("+changes" if changed else "")


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that numbers depend on."""
    known = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            known[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return known


def hardware() -> dict[str, Any]:
    """Processor, cores, memory and GPU. The GPU is named where torch is loaded already; this never loads it."""
    known: dict[str, Any] = {"processor": _processor(), "cores": os.cpu_count(), "system": platform.system()}
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        known["gpu"] = torch.cuda.get_device_name()
    return known


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where recorded numbers come from; by default, this process, now. The seeds are each kind's own."""

    command: str = field(default_factory=running_command)
    date: str = field(default_factory=today)
    revision: str = field(default_factory=revision)
    versions: dict[str, str] = field(default_factory=versions)
    hardware: dict[str, Any] = field(default_factory=hardware)

    def __str__(self) -> str:
        """The line a lesson prints under a recorded number."""
        return f"recorded {self.date} on {self.hardware['processor']} at {self.revision[:12]} by `{self.command}`"


PROVENANCE = tuple(spot.name for spot in fields(Provenance))
"""Its keys, as both kinds of file spell them."""


def broken_provenance(content: Mapping[str, Any]) -> str:
    """What a recorded file's provenance lacks, in words; "" where nothing."""
    kinds = {"command": str, "date": str, "revision": str, "versions": dict, "hardware": dict}
    wrong = [
        f"{key} is no {kind.__name__}" for key, kind in kinds.items() if not isinstance(content[key], kind)
    ]
    if not wrong and not (content["command"] and "processor" in content["hardware"]):
        wrong = ["command and hardware.processor must be there"]
    return ", ".join(wrong)


@dataclass(frozen=True)
class Result(Provenance):
    """What was measured, and everything needed to judge it or to measure it again."""

    name: str
    values: dict[str, Any]
    seeds: list[int]


def write(
    name: str,
    values: Mapping[str, Any],
    *,
    seeds: Sequence[int],
    command: str | None = None,
    root: Path | None = None,
) -> Path:
    """Record `values` under data/results/ in one step, and return the file.

    `command` is the running command line where none is given; `root` is the checkout.

    Raises:
        ValueError: a value is NaN, infinite or no JSON, or the name leaves data/results/.
        RuntimeError: the package does not run from a checkout and no root is given.
    """
    path = path_of(f"{name}.json", root)
    result = Result(name, dict(values), [int(seed) for seed in seeds], command=command or running_command())
    content = {key: value for key, value in asdict(result).items() if key not in PROVENANCE}
    content |= {key: getattr(result, key) for key in PROVENANCE}
    try:
        text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False, default=_plain)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name}: results are finite numbers, text, lists and dictionaries; {error}"
        ) from error
    write_text(path, text + "\n")
    return path


def path_of(name: str, root: Path | None = None) -> Path:
    """Where a recorded file of this name, like day03/options.json, is written: under data/results/ of `root` or the checkout.

    Raises:
        ValueError: the name leaves data/results/.
        RuntimeError: the package does not run from a checkout and no root is given.
    """
    if root is None and not assets.is_checkout():
        raise CannotRunError(
            "results are recorded in a clone of the repository; give root= to write elsewhere"
        )
    folder = ((root or assets.CHECKOUT) / "data" / "results").resolve()
    path = (folder / name).resolve()
    if folder not in path.parents:
        raise ValueError(f"a result's name is a path under data/results/, like day03/options; got {name!r}")
    return path


def read(name: str) -> Result:
    """A recorded result, wherever the course runs.

    Raises:
        FileNotFoundError: nothing was recorded under that name.
        ValueError: the file does not follow the schema.
    """
    return load(assets.find(f"data/results/{name}.json"))


def load(path: Path) -> Result:
    """A recorded result from one file, checked against the schema."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path.name} is no JSON: {error}") from error
    wanted = {spot.name for spot in fields(Result)}
    if not isinstance(record, dict) or set(record) != wanted:
        keys = sorted(record) if isinstance(record, dict) else type(record).__name__
        raise ValueError(f"{path.name}: a result has the fields {sorted(wanted)}, found {keys}")
    kinds = {"name": str, "values": dict, "seeds": list}
    wrong = [
        f"{key} is no {kind.__name__}" for key, kind in kinds.items() if not isinstance(record[key], kind)
    ]
    if problem := ", ".join(wrong) or broken_provenance(record):
        raise ValueError(f"{path.name}: {problem}")
    return Result(**record)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is none of them")
