"""Recorded results: every number that was not measured live carries what it takes to measure it again.

One schema, one writer. `write("day03/options", {...}, seeds=[0, 1])` makes `data/results/day03/options.json`.
"""

import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from vla_course import assets
from vla_course.errors import CannotRunError
from vla_course.files import write_text

PACKAGES = ("vla-course", "gymnasium", "mujoco", "numpy", "torch", "transformers")


@dataclass(frozen=True)
class Result:
    """What was measured, and everything needed to judge it or to measure it again."""

    name: str
    values: dict[str, Any]
    seeds: list[int]
    command: str
    date: str
    revision: str
    versions: dict[str, str]
    hardware: dict[str, Any]

    def __str__(self) -> str:
        """The line a lesson prints under a recorded number."""
        return f"recorded {self.date} on {self.hardware['processor']} at {self.revision[:12]} by `{self.command}`"


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
    if root is None and not assets.is_checkout():
        raise CannotRunError(
            "results are recorded in a clone of the repository; give root= to write elsewhere"
        )
    result = Result(
        name=name,
        values=dict(values),
        seeds=[int(seed) for seed in seeds],
        command=command or "python " + shlex.join([_relative(sys.argv[0]), *sys.argv[1:]]),
        date=datetime.now(UTC).strftime("%Y-%m-%d"),
        revision=revision(),
        versions=versions(),
        hardware=hardware(),
    )
    path = _path(name, root or assets.CHECKOUT)
    try:
        text = json.dumps(asdict(result), indent=2, ensure_ascii=False, allow_nan=False, default=_plain)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name}: results are finite numbers, text, lists and dictionaries; {error}"
        ) from error
    write_text(path, text + "\n")
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
    wanted = {field.name: field.type for field in fields(Result)}
    if not isinstance(record, dict) or set(record) != set(wanted):
        found = sorted(record) if isinstance(record, dict) else type(record).__name__
        raise ValueError(f"{path.name}: a result has the fields {sorted(wanted)}, found {found}")
    kinds = {"name": str, "values": dict, "seeds": list, "command": str, "date": str, "revision": str}
    kinds |= {"versions": dict, "hardware": dict}
    wrong = [
        f"{key} is no {kind.__name__}" for key, kind in kinds.items() if not isinstance(record[key], kind)
    ]
    if wrong or not record["command"] or "processor" not in record["hardware"]:
        raise ValueError(f"{path.name}: {', '.join(wrong) or 'command and hardware.processor must be there'}")
    return Result(**record)


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that numbers depend on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


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


def hardware() -> dict[str, Any]:
    """Processor, cores, memory and GPU. The GPU is named where torch is loaded already; this never loads it."""
    found: dict[str, Any] = {"processor": _processor(), "cores": os.cpu_count(), "system": platform.system()}
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _path(name: str, root: Path) -> Path:
    folder = (root / "data" / "results").resolve()
    path = (folder / f"{name}.json").resolve()
    if folder not in path.parents:
        raise ValueError(f"a result's name is a path under data/results/, like day03/options; got {name!r}")
    return path


def _relative(program: str) -> str:
    path = Path(program).resolve()
    return path.relative_to(assets.CHECKOUT).as_posix() if assets.CHECKOUT in path.parents else path.name


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is none of them")
