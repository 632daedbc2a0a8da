"""Demonstrations on disk as a LeRobot v3.0 data set, read frame by frame: no more pictures are in memory than are asked for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int, UInt8

from vla_course.data import schema
from vla_course.data.episodes import Episode
from vla_course.data.frames import read_frames
from vla_course.data.statistics import aggregate_statistics
from vla_course.data.tables import column, read_json, read_table

RECORDING = "recording"


@dataclass(frozen=True)
class Track:
    """An episode without its pictures: what numbers it has, and what was said."""

    states: Float[np.ndarray, "T S"]
    actions: Float[np.ndarray, "T A"]
    executed: Float[np.ndarray, "T A"] | None
    instruction: str
    success: bool
    seed: int


@dataclass(frozen=True)
class Frame:
    """One moment of a data set."""

    image: UInt8[np.ndarray, "H W 3"]
    state: Float[np.ndarray, " S"]
    action: Float[np.ndarray, " A"]
    instruction: str
    episode_index: int
    frame_index: int


class LeRobotDataset:
    """Reads a set, finished or still being recorded, ours or another's. Pictures are decoded when they are asked for.

    `camera` chooses among several cameras: one, or several with the main one first. What is recorded only by us (whether an
    episode went well, its seed, what was executed) is taken as true, -1 and "the same" elsewhere.

    Raises:
        FileNotFoundError: there is no data set.
        ValueError: it is damaged, of another version, or its parts do not fit together; the message names file and episode.
    """

    def __init__(self, root: str | Path, *, camera: str | Sequence[str] | None = None) -> None:
        self.root = Path(root)
        finished = (self.root / schema.INFO).exists()
        self._folder = self.root if finished else self.root / RECORDING
        if not (self._folder / schema.INFO).exists():
            raise FileNotFoundError(f"there is no data set in {root}: {schema.INFO} is missing")
        self.info = read_json(self._folder / schema.INFO)
        if not str(self.info.get("codebase_version", "")).startswith("v3."):
            raise ValueError(
                f"{self._folder / schema.INFO}: want version v3.x, found {self.info.get('codebase_version')!r}: convert it "
                "with LeRobot's own tool first"
            )
        for name in (schema.STATE, schema.ACTION):
            if name not in self.features:
                raise ValueError(f"{self._folder / schema.INFO}: a set without {name!r} teaches no robot")
        self.cameras = self._chosen_cameras(camera)
        self._rows = read_rows(self._folder, self.num_episodes)
        self._tasks = read_tasks(self._folder)
        self.stats = self._read_stats()
        self._open: tuple[Path, pa.Table] | None = None

    @property
    def num_episodes(self) -> int:
        """Episodes in the set."""
        return int(self.info["total_episodes"])

    @property
    def num_frames(self) -> int:
        """Frames in all of them."""
        return int(self.info["total_frames"])

    @property
    def fps(self) -> int:
        """Frames a second."""
        return int(self.info["fps"])

    @property
    def features(self) -> dict[str, dict[str, Any]]:
        """What each column and video holds: `dtype`, `shape`, `names`."""
        found: dict[str, dict[str, Any]] = self.info["features"]
        return found

    @property
    def all_cameras(self) -> tuple[str, ...]:
        """The cameras that the set has pictures of, chosen or not, in its order."""
        videos = [key for key, feature in self.features.items() if feature["dtype"] == "video"]
        return tuple(key.removeprefix(schema.image_key("")) for key in videos)

    @property
    def state_key(self) -> str | None:
        """The observation that the states are, as far as the set says how it was made: only ours do."""
        path = self.root / schema.COLLECT
        return read_json(path).get("state") if path.exists() else None

    @property
    def lengths(self) -> list[int]:
        """Frames of each episode."""
        return [int(row["length"]) for row in self._rows]

    @property
    def episode_index(self) -> Int[np.ndarray, " T"]:
        """For every frame of the set the episode it is from."""
        return np.repeat(np.arange(self.num_episodes), self.lengths)

    def __len__(self) -> int:
        return self.num_episodes

    def __iter__(self) -> Iterator[Episode]:
        """The episodes in order, one in memory at a time."""
        return (self.episode(index) for index in range(self.num_episodes))

    def track(self, index: int) -> Track:
        """The numbers of one episode.

        Raises:
            IndexError: there is no such episode.
            ValueError: its file is damaged, frames are missing, or a number is not finite.
        """
        row = self._row(index)
        path = self._path(schema.DATA, row["data/chunk_index"], row["data/file_index"])
        table = self._table(path, index)
        columns = {name: column(table, name, path) for name in (schema.STATE, schema.ACTION)}
        if not np.array_equal(column(table, "frame_index", path), np.arange(int(row["length"]))):
            raise ValueError(
                f"{path}: episode {index} has {len(table)} frames there, {row['length']} in meta/episodes, or not in order"
            )
        executed = columns[schema.ACTION]
        if schema.EXECUTED in table.column_names:
            executed = columns[schema.EXECUTED] = column(table, schema.EXECUTED, path)
        for name, values in columns.items():
            wanted = tuple(self.features[name]["shape"])
            if values.shape[1:] != wanted:
                raise ValueError(
                    f"{path}: {name} of episode {index} has {values.shape[1:]} numbers, info.json says {wanted}"
                )
            if not np.isfinite(values).all():
                frame = int(np.flatnonzero(~np.isfinite(values).all(1))[0])
                raise ValueError(f"{path}: {name} of episode {index} is not finite in frame {frame}")
        task = int(column(table, "task_index", path)[0])
        if task not in self._tasks:
            raise ValueError(f"{path}: episode {index} has task {task}, which {schema.TASKS} does not know")
        same = np.array_equal(executed, columns[schema.ACTION])
        return Track(
            columns[schema.STATE],
            columns[schema.ACTION],
            None if same else executed,
            self._tasks[task],
            bool(row.get(schema.SUCCESS, True)),
            int(row.get(schema.SEED, -1)),
        )

    def images(self, index: int, camera: str | None = None) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
        """The pictures of one episode, one after the other: those of the main camera, or of another one of `cameras`.

        Raises:
            ValueError: the video is missing, damaged or too short, or shows another size than info.json says.
        """
        image_key = schema.image_key(camera or self.cameras[0])
        row, video = self._row(index), f"videos/{image_key}"
        path = self._path(schema.VIDEO, row[f"{video}/chunk_index"], row[f"{video}/file_index"], image_key)
        first = round(float(row[f"{video}/from_timestamp"]) * self.fps)
        wanted = tuple(self.features[image_key]["shape"])
        try:
            for image in read_frames(path, self.fps, first, int(row["length"])):
                if image.shape != wanted:
                    raise ValueError(f"{path} shows {image.shape}, info.json says {wanted}")
                yield image
        except ValueError as error:
            raise ValueError(f"episode {index}: {error}") from error

    def episode(self, index: int) -> Episode:
        """One episode, pictures included.

        Raises:
            IndexError: there is no such episode.
            ValueError: as `track` and `images`.
        """
        track = self.track(index)
        return Episode(
            images=np.stack(list(self.images(index))),
            states=track.states,
            actions=track.actions,
            instruction=track.instruction,
            success=track.success,
            seed=track.seed,
            executed=track.executed,
            further_images={name: np.stack(list(self.images(index, name))) for name in self.cameras[1:]},
        )

    def tracks(self) -> Iterator[Track]:
        """The numbers of every episode; no picture is decoded."""
        return (self.track(index) for index in range(self.num_episodes))

    def frames(self, episodes: Sequence[int] | None = None) -> Iterator[Frame]:
        """Frames of these episodes (of all), in order; one picture is in memory at a time."""
        for index in range(self.num_episodes) if episodes is None else episodes:
            track = self.track(index)
            for number, image in enumerate(self.images(index)):
                yield Frame(
                    image, track.states[number], track.actions[number], track.instruction, index, number
                )

    def _row(self, index: int) -> dict[str, Any]:
        if not 0 <= index < self.num_episodes:
            raise IndexError(
                f"there is no episode {index} in {self.root}: they are 0 to {self.num_episodes - 1}"
            )
        return self._rows[index]

    def _path(self, pattern: str, chunk: int, file: int, video_key: str = "") -> Path:
        return self._folder / pattern.format(
            video_key=video_key, chunk_index=int(chunk), file_index=int(file)
        )

    def _table(self, path: Path, index: int) -> pa.Table:
        """The rows of one episode. The file it is in stays open: episodes are mostly asked for in order."""
        if self._open is None or self._open[0] != path:
            self._open = (path, read_table(path, f"episode {index}"))
        rows = np.flatnonzero(column(self._open[1], "episode_index", path) == index)
        if len(rows) == 0:
            raise ValueError(f"{path}: episode {index} is not there, though meta/episodes says so")
        return self._open[1].slice(int(rows[0]), len(rows))

    def _chosen_cameras(self, camera: str | Sequence[str] | None) -> tuple[str, ...]:
        there = self.all_cameras
        if camera is None:  # among several nobody chooses for you: each costs as much as the first
            camera = there if len(there) == 1 else ()
        chosen = (camera,) if isinstance(camera, str) else tuple(camera)
        if not chosen or not set(chosen) <= set(there):
            keys = ", ".join(map(schema.image_key, there))
            raise ValueError(f"choose a camera of {self.root} with camera=: it has {keys or 'none'}")
        return chosen

    def _read_stats(self) -> dict[str, dict[str, np.ndarray]]:
        path = self._folder / schema.STATS
        if path.exists():
            read = read_json(path)
            found = {key: {name: np.array(v) for name, v in stats.items()} for key, stats in read.items()}
        else:
            found = aggregate_statistics([row_statistics(row) for row in self._rows])
        for name in (schema.STATE, schema.ACTION):
            stats, shape = found.get(name, {}), tuple(self.features[name]["shape"])
            fits = {"min", "max", "mean", "std", "count"} <= stats.keys()
            if not fits or int(stats["count"].ravel()[0]) != self.num_frames:
                raise ValueError(
                    f"{path}: the statistics of {name} are not those of {self.num_frames} frames"
                )
            wrong = [key for key, value in stats.items() if key != "count" and value.shape != shape]
            if wrong or not all(np.isfinite(value).all() for value in stats.values()):
                raise ValueError(
                    f"{path}: the statistics of {name} do not fit {shape} numbers: {wrong or 'not finite'}"
                )
            if (stats["min"] > stats["max"]).any() or (stats["std"] < 0).any():
                raise ValueError(
                    f"{path}: the statistics of {name} contradict each other: min above max, or std below 0"
                )
        return found


def read_rows(folder: Path, episodes: int) -> list[dict[str, Any]]:
    """What meta/episodes says of the first so many episodes.

    Raises:
        ValueError: a file is damaged, or an episode is missing.
    """
    rows: dict[int, dict[str, Any]] = {}
    # A name that begins with a dot is of a file that was never finished: its writer was killed.
    for path in sorted((folder / "meta" / "episodes").glob("*/[!.]*.parquet")):
        for row in read_table(path, "episodes").to_pylist():
            rows[int(row["episode_index"])] = row
    missing = [index for index in range(episodes) if index not in rows]
    if missing:
        raise ValueError(
            f"{folder / 'meta' / 'episodes'}: episode {missing[0]} is missing, and info.json counts {episodes}"
        )
    return [rows[index] for index in range(episodes)]


def read_tasks(folder: Path) -> dict[int, str]:
    """The instructions of a set, by number.

    Raises:
        ValueError: tasks.parquet is damaged or has other columns.
    """
    path = folder / schema.TASKS
    table = read_table(path, "tasks")
    words = next((name for name in ("task", "__index_level_0__") if name in table.column_names), None)
    if words is None or "task_index" not in table.column_names:
        raise ValueError(f"{path}: want columns task and task_index, found {', '.join(table.column_names)}")
    numbers = table.column("task_index").to_pylist()
    return dict(zip(map(int, numbers), table.column(words).to_pylist(), strict=True))


def row_statistics(row: dict[str, Any]) -> dict[str, dict[str, np.ndarray]]:
    """The statistics of one episode, out of its row in meta/episodes: for each feature by name."""
    found: dict[str, dict[str, np.ndarray]] = {}
    for key, value in row.items():
        if key.startswith("stats/"):
            feature, name = key.removeprefix("stats/").rsplit("/", 1)
            found.setdefault(feature, {})[name] = np.array(value)
    return found
