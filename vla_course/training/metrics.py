"""What a run has measured, step by step: one JSON line each, for plots, and TensorBoard's files beside it."""

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from vla_course.files import write_text

NAME = "metrics.jsonl"


class MetricLog:
    """Appends to `metrics.jsonl` in a run's folder, and to the files that TensorBoard shows.

    A run that goes on after step `done` begins behind it: lines that a killed run wrote later are dropped, since they will
    be written again.
    """

    def __init__(self, folder: Path, done: int = 0, *, tensorboard: bool = True) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / NAME
        kept = [line for line in read_metrics(folder) if line["step"] <= done]
        write_text(self._path, "".join(json.dumps(line) + "\n" for line in kept))
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=done + 1) if tensorboard else None

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """One line of numbers after this many steps. A number that is not finite is kept as text, which JSON allows.

        Raises:
            OSError: the disk is full, for example.
        """
        finite = {name: value if abs(value) < float("inf") else str(value) for name, value in metrics.items()}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **finite}) + "\n")
        if self._board is not None:
            for name, value in metrics.items():
                self._board.add_scalar(name, value, step)

    def close(self) -> None:
        """Write out what TensorBoard still holds back."""
        if self._board is not None:
            self._board.close()


def read_metrics(folder: str | Path) -> list[dict[str, Any]]:
    """The lines of a run's metrics, oldest first; none where there is no file yet.

    A last line that a killed run cut off is left out. Other damaged lines are left out with a warning that names them.
    """
    path = Path(folder) / NAME
    texts = path.read_text(encoding="utf-8", errors="replace").split("\n") if path.exists() else [""]
    lines = [_line(text) for text in texts[:-1]]
    damaged = [str(number) for number, line in enumerate(lines, 1) if line is None]
    if damaged:
        warnings.warn(f"{path} is damaged in line {', '.join(damaged)}, which is left out", stacklevel=2)
    return [line for line in [*lines, _line(texts[-1])] if line is not None]


def _line(text: str) -> dict[str, Any] | None:
    """The numbers of one line, or None where it holds anything else."""
    try:
        line = {
            name: value if isinstance(value, int | float) else float(value)
            for name, value in json.loads(text).items()
        }
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None
    step = line.get("step")
    return line if type(step) is int and step >= 0 else None
