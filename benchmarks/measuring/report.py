"""What every benchmark does at its ends: one option, one table, one record."""

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# One thread, so that a core is a core; before NumPy and OpenGL are loaded.
for variable in ("OMP_NUM_THREADS", "LP_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

from vla_course import results  # noqa: E402

GARMENTS = {
    "towel": {"garment": "towel"},
    "towel_quarter": {"garment": "towel", "quarter": True},
    "tshirt": {"garment": "tshirt"},
    "trousers": {"garment": "trousers"},
}


@dataclass(frozen=True)
class Row:
    """One measured number beside its target: "≥ 280" or "≤ 1.3", or nothing where it is only for information."""

    what: str
    measured: float
    unit: str = ""
    target: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the target was reached; None without one."""
        if not self.target:
            return None
        sign, number = self.target.split()
        return self.measured >= float(number) if sign == "≥" else self.measured <= float(number)


def options(what: str) -> argparse.ArgumentParser:
    """The command line that all programs share: `--quick` runs small and records nothing."""
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument(
        "--quick", action="store_true", help="run small, to see that it runs; nothing is recorded"
    )
    return parser


def asked_to_be_quick(what: str) -> bool:
    """Reads a command line that has no more than that."""
    return bool(options(what).parse_args().quick)


def finish(
    name: str,
    rows: Sequence[Row],
    *,
    seeds: Sequence[int],
    quick: bool,
    world: str = "folding",
    details: Mapping[str, Any] | None = None,
) -> None:
    """Print the table, and record it under data/results/<world>/ unless the run was quick."""
    width = max(len(row.what) for row in rows)
    for row in rows:
        verdict = {True: "met", False: "MISSED", None: ""}[row.met]
        wanted = f"target {row.target} {row.unit}" if row.target else ""
        print(f"{row.what:{width}}  {row.measured:10.4g} {row.unit:8} {wanted:24} {verdict}".rstrip())
    if quick:
        print("(quick run: nothing is recorded)")
        return
    measured = [
        {"what": row.what, "measured": row.measured, "unit": row.unit, "target": row.target, "met": row.met}
        for row in rows
    ]
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    path = results.write(
        f"{world}/{name}", {"rows": measured, "load_average": load, **(details or {})}, seeds=list(seeds)
    )
    print(f"recorded in {path.relative_to(path.parents[3])}")
