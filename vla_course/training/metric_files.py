"""What a run has measured, step by step: one JSON line each, for plots, and TensorBoard's files beside it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from vla_course.training.checkpoints import write_text

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
    """The lines of a run's metrics, oldest first; none where there is no file yet. A line that was cut off is left out."""
    path = Path(folder) / NAME
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            line = json.loads(text)
        except ValueError:
            continue
        lines.append(
            {name: float(value) if isinstance(value, str) else value for name, value in line.items()}
        )
    return lines
