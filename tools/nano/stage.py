"""A stage of training that can be stopped at any moment and goes on where it was: checkpoint, curve, seeds, command, time."""

import json
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from nano_config import NanoConfig
from torch.nn.attention import SDPBackend, sdpa_kernel

from vla_course.files import replacing, write_text

SAVE_EVERY_S = 60.0


@contextmanager
def quick() -> Iterator[None]:
    """Train in bfloat16 where that is safe, with plain attention: for forty tokens five times as fast on a CPU that has it."""
    with torch.autocast("cpu", torch.bfloat16), sdpa_kernel(SDPBackend.MATH):
        yield


class Stage:
    """Keeps what one stage has learned in `folder/<name>.pt`, and its record beside it in json.

    The optimizer's state is kept too, so that a stopped stage goes on as if nothing had happened but for the order of samples.
    """

    def __init__(self, folder: Path, name: str, config: NanoConfig, parts: dict[str, Any]) -> None:
        """`parts` are modules and optimizers: whatever has a state_dict. What was saved before is loaded into them."""
        folder.mkdir(parents=True, exist_ok=True)
        self.path, self.record_path = folder / f"{name}.pt", folder / f"{name}.json"
        self.name, self.parts, self.step, self.curve = name, parts, 0, []
        self.seconds, self._config = 0.0, asdict(config)
        if self.path.exists():
            kept = torch.load(self.path, weights_only=True)
            for key, part in parts.items():
                part.load_state_dict(kept["parts"][key])
            self.step, self.curve, self.seconds = kept["step"], kept["curve"], kept["seconds"]
        self._began = self._saved = time.perf_counter()

    @property
    def wall_s(self) -> float:
        """Seconds of all runs of this stage together."""
        return self.seconds + time.perf_counter() - self._began

    def after(self, step: int, numbers: dict[str, float], *, every: int = 50) -> None:
        """Count a step; now and then print and keep its numbers, and save."""
        self.step = step + 1
        if self.step % every == 0:
            self.curve.append({"step": self.step, "wall_s": round(self.wall_s, 1), **numbers})
            words = "  ".join(f"{key} {value:.4f}" for key, value in numbers.items())
            print(f"{self.name} {self.step}  {self.wall_s:.0f} s  {words}", flush=True)
        if time.perf_counter() - self._saved > SAVE_EVERY_S:
            self.save()

    def save(self) -> None:
        """Write checkpoint and record, each whole or not at all."""
        state = {key: part.state_dict() for key, part in self.parts.items()}
        kept = {"parts": state, "step": self.step, "curve": self.curve, "seconds": self.wall_s}
        with replacing(self.path) as partial:
            torch.save(kept, partial)
        record = {
            "stage": self.name,
            "steps": self.step,
            "wall_s": round(self.wall_s, 1),
            "command": "python " + shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
            "config": self._config,
            "curve": self.curve,
        }
        write_text(self.record_path, json.dumps(record, indent=1))
        self._saved = time.perf_counter()


def learning_rate(peak: float, step: int, steps: int, warm_up: int = 100) -> float:
    """Up over the first steps, then down along half a cosine to a twentieth."""
    rise = min(1.0, (step + 1) / warm_up)
    fall = 0.5 * (1 + torch.cos(torch.tensor(torch.pi * min(1.0, step / max(steps, 1)))).item())
    return peak * rise * (0.05 + 0.95 * fall)


def set_learning_rate(optimizer: torch.optim.Optimizer, value: float) -> None:
    """For all groups."""
    for group in optimizer.param_groups:
        group["lr"] = value
