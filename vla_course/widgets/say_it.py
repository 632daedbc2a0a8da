"""Type an instruction, choose a table, and watch the policy act, with the seven action dimensions of each step."""

import io
import threading
from pathlib import Path
from typing import Any

import numpy as np
import traitlets
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from PIL import Image

from vla_course import plots
from vla_course.envs.table import CLOSE_CAMERA
from vla_course.envs.tabletop.config import TabletopConfig
from vla_course.envs.tabletop.env import TabletopEnv
from vla_course.envs.tabletop.language import phrasings, say
from vla_course.envs.tabletop.tasks import Task
from vla_course.evaluation import tabletop_recording
from vla_course.evaluation.tabletop_recording import Recording
from vla_course.policies.openvla import OpenVLAPolicy
from vla_course.widgets.pictured import PicturedWidget

_CONFIG = TabletopConfig()
NUMBERS: tuple[tuple[str, str, float, str], ...] = (
    ("Δx", "away from the robot", 1000 * _CONFIG.translation_m, "mm"),
    ("Δy", "to its left", 1000 * _CONFIG.translation_m, "mm"),
    ("Δz", "up", 1000 * _CONFIG.translation_m, "mm"),
    ("Δroll", "turn about x", float(np.degrees(_CONFIG.rotation_rad)), "°"),
    ("Δpitch", "turn about y", float(np.degrees(_CONFIG.rotation_rad)), "°"),
    ("Δyaw", "turn about z", float(np.degrees(_CONFIG.rotation_rad)), "°"),
    ("grip", "−1 closed, +1 open", 0.0, ""),
)
"""Name, meaning, scale and unit of each action dimension; the scale is the size of an action of 1."""
SUGGESTIONS = 6
GARMENT = ("blue", "t-shirt")


class SayIt(PicturedWidget):
    """An instruction, a table, two synchronised films of the episode, and the action of every step.

    `policy` acts. The first of the `tables` is `tabletop_recording.TABLE`, the last shows a T-shirt's print, those between are laid from
    seeds. Whatever is typed is said; where it asks for something that the table allows, it is scored.
    """

    _esm = Path(__file__).with_suffix(".js")
    alt = "An episode: the instruction above, five moments of it in the room and as the model saw them, and its seven numbers."
    tables: traitlets.List[Any] = traitlets.List().tag(sync=True)
    table = traitlets.Int(0).tag(sync=True)
    words: traitlets.Unicode[str, str | bytes] = traitlets.Unicode().tag(sync=True)
    asked = traitlets.Int(0).tag(sync=True)
    answered = traitlets.Int(0).tag(sync=True)
    numbers: traitlets.List[Any] = traitlets.List([list(row) for row in NUMBERS]).tag(sync=True)
    ideas: traitlets.List[Any] = traitlets.List().tag(sync=True)
    room = traitlets.Bytes().tag(sync=True)
    seen = traitlets.Bytes().tag(sync=True)
    heights: traitlets.List[Any] = traitlets.List([1, 1]).tag(sync=True)
    actions: traitlets.List[Any] = traitlets.List().tag(sync=True)
    outcome: traitlets.Unicode[str, str | bytes] = traitlets.Unicode().tag(sync=True)

    def __init__(self, policy: OpenVLAPolicy, *, tables: int = 8) -> None:
        self._policy, self._one_at_a_time = policy, threading.Lock()
        self._tables = [
            tabletop_recording.TABLE,
            *(tabletop_recording.lay_table(seed) for seed in range(1, tables - 1)),
            tabletop_recording.lay_table(0, {"garment": GARMENT, "things": []}),
        ]
        names = [str(number) for number in range(1, len(self._tables) + 1)]
        super().__init__(tables=[*names[:-1], f"{names[-1]}: a T-shirt"])
        self._lay()
        self.words = self.ideas[0]
        self.observe(lambda change: self._lay(), names="table")
        self.observe(lambda change: self._act(), names="asked")

    def _lay(self) -> None:
        """Show the chosen table and suggested instructions."""
        with self._one_at_a_time:
            table = self._tables[self.table]
            env = TabletopEnv()
            env.reset(seed=0, options=tabletop_recording.said_at(table, "hello")[0])
            room = env.picture(tabletop_recording.ROOM_CAMERA, tabletop_recording.ROOM_SIZE, pretty=True)
            seen = env.picture(CLOSE_CAMERA, self._policy.image_size)
            env.close()
            self._still = room[None], seen[None], np.zeros((0, 7))
            self._show(*self._still, "Type an instruction, or take one of these.")
            self.ideas = _ideas(table, self.table)

    def _act(self) -> None:
        """Run an episode with the instruction and show it."""
        with self._one_at_a_time:
            try:
                one = tabletop_recording.record(self._policy, self.words, self._tables[self.table])
            except Exception as error:  # whatever it is: who pressed the button must not wait for ever
                self._show(*self._still, str(error) or repr(error))
                if not isinstance(error, ValueError):
                    raise
                return
            self._show(one.room, one.seen, one.actions, f"“{one.words}”: {one.outcome}")

    def _show(
        self, room: NDArray[np.uint8], seen: NDArray[np.uint8], actions: np.ndarray, outcome: str
    ) -> None:
        with self.hold_sync():
            self.room, self.seen = _stacked(room), _stacked(seen)
            self.heights = [room.shape[1], seen.shape[1]]
            self.actions, self.outcome = actions.round(3).tolist(), outcome
            self.answered += 1

    def picture(self) -> bytes:
        """One episode at the first table: five moments and all actions."""
        page = sheet(tabletop_recording.record(self._policy, self.words, self._tables[0]))
        return plots.png(page, dpi=80, colors=256)


def sheet(one: Recording, moments: int = 5) -> Figure:
    """A recording on one page: moments from the room camera and from the model's camera, and the action of every step."""
    drawing = Figure(figsize=(9, 5.6), layout="constrained")
    grid = drawing.add_gridspec(3, moments, height_ratios=[1, 1.05, 1.1])
    chosen = np.linspace(0, len(one.actions), moments).round().astype(int)
    for column, moment in enumerate(chosen):
        for row, film in enumerate((one.room, one.seen)):
            panel = drawing.add_subplot(grid[row, column])
            panel.imshow(film[moment], interpolation="nearest")
            panel.axis("off")
            if row == 0:
                panel.set_title(f"{moment / _CONFIG.control_hz:.1f} s", fontsize=9)
    panel = drawing.add_subplot(grid[2, :])
    steps = len(one.actions)
    shown = panel.imshow(
        one.actions.T, cmap="PuOr", vmin=-1, vmax=1, aspect="auto", extent=(0.5, steps + 0.5, 6.5, -0.5)
    )
    panel.set_yticks(range(7), [name for name, *_ in NUMBERS])
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.set_xlabel("step")
    drawing.colorbar(shown, ax=panel, pad=0.01)
    drawing.suptitle(f"“{one.words}”: {one.outcome}", fontsize=11)
    return drawing


def _ideas(table: tabletop_recording.Table, seed: int) -> list[str]:
    """Suggested instructions for this table, different verbs first."""
    rng = np.random.default_rng(seed)
    tasks = tabletop_recording.tasks_of(table)
    shuffled = [tasks[k] for k in rng.permutation(len(tasks))]
    turn: dict[str, int] = {}
    order: list[tuple[int, int, Task]] = []
    for task in shuffled:
        turn[task.verb] = turn.get(task.verb, 0) + 1
        order.append((turn[task.verb], len(order), task))
    chosen = [task for *_, task in sorted(order, key=lambda entry: entry[:2])][:SUGGESTIONS]
    return [say(task, phrasings(task.verb, seen=True)[0]) for task in chosen]


def _stacked(film: NDArray[np.uint8]) -> bytes:
    """The frames of a film stacked vertically in one JPEG."""
    file = io.BytesIO()
    Image.fromarray(film.reshape(-1, *film.shape[2:])).save(file, "JPEG", quality=88)
    return file.getvalue()
