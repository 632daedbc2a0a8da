"""Demonstrations on disk as a LeRobot v3.0 data set: read frame by frame, written episode by episode.

While a set is being recorded it lies under `<root>/recording`, a data set of its own with one file pair an episode. An episode
counts from the moment in which info.json counts it, and that file is replaced last: a recorder that is killed loses the episode
it was at, and nothing else. `finalize` merges the pairs into few large files under `<root>`, where info.json, again, comes last.
"""

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float, Int, UInt8

from vla_course.data import schema
from vla_course.data.episodes import Episode
from vla_course.data.frames import encode_frames, join_videos, read_frames, video_info
from vla_course.data.statistics import aggregate_statistics, feature_statistics

RECORDING = "recording"
MB = 2**20


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

    `camera` chooses among several. What is recorded only by us (whether an episode went well, its seed, what was executed) is
    taken as true, -1 and "the same" elsewhere.

    Raises:
        FileNotFoundError: there is no data set.
        ValueError: it is damaged, of another version, or its parts do not fit together; the message names file and episode.
    """

    def __init__(self, root: str | Path, *, camera: str | None = None) -> None:
        self.root = Path(root)
        finished = (self.root / schema.INFO).exists()
        self._folder = self.root if finished else self.root / RECORDING
        if not (self._folder / schema.INFO).exists():
            raise FileNotFoundError(f"there is no data set in {root}: {schema.INFO} is missing")
        self.info = _read_json(self._folder / schema.INFO)
        if not str(self.info.get("codebase_version", "")).startswith("v3."):
            raise ValueError(
                f"{self._folder / schema.INFO}: want version v3.x, found {self.info.get('codebase_version')!r}: convert it "
                "with LeRobot's own tool first"
            )
        self._image_key = self._chosen_camera(camera)
        self._rows = _read_rows(self._folder, self.num_episodes)
        self._tasks = _read_tasks(self._folder)
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
        columns = {name: _column(table, name, path) for name in (schema.STATE, schema.ACTION)}
        if not np.array_equal(_column(table, "frame_index", path), np.arange(int(row["length"]))):
            raise ValueError(
                f"{path}: episode {index} has {len(table)} frames there, {row['length']} in meta/episodes, or not in order"
            )
        executed = columns[schema.ACTION]
        if schema.EXECUTED in table.column_names:
            executed = columns[schema.EXECUTED] = _column(table, schema.EXECUTED, path)
        for name, values in columns.items():
            wanted = tuple(self.features[name]["shape"])
            if values.shape[1:] != wanted:
                raise ValueError(
                    f"{path}: {name} of episode {index} has {values.shape[1:]} numbers, info.json says {wanted}"
                )
            if not np.isfinite(values).all():
                frame = int(np.flatnonzero(~np.isfinite(values).all(1))[0])
                raise ValueError(f"{path}: {name} of episode {index} is not finite in frame {frame}")
        task = int(_column(table, "task_index", path)[0])
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

    def images(self, index: int) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
        """The pictures of one episode, one after the other.

        Raises:
            ValueError: the video is missing, damaged or too short, or shows another size than info.json says.
        """
        row, video = self._row(index), f"videos/{self._image_key}"
        path = self._path(schema.VIDEO, row[f"{video}/chunk_index"], row[f"{video}/file_index"])
        first = round(float(row[f"{video}/from_timestamp"]) * self.fps)
        wanted = tuple(self.features[self._image_key]["shape"])
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

    def _path(self, pattern: str, chunk: int, file: int) -> Path:
        name = pattern.format(video_key=self._image_key, chunk_index=int(chunk), file_index=int(file))
        return self._folder / name

    def _table(self, path: Path, index: int) -> pa.Table:
        """The rows of one episode. The file it is in stays open: episodes are mostly asked for in order."""
        if self._open is None or self._open[0] != path:
            self._open = (path, _read_table(path, f"episode {index}"))
        rows = np.flatnonzero(_column(self._open[1], "episode_index", path) == index)
        if len(rows) == 0:
            raise ValueError(f"{path}: episode {index} is not there, though meta/episodes says so")
        return self._open[1].slice(int(rows[0]), len(rows))

    def _chosen_camera(self, camera: str | None) -> str:
        keys = [key for key, feature in self.features.items() if feature["dtype"] == "video"]
        wanted = keys[0] if camera is None and len(keys) == 1 else schema.image_key(camera or "")
        if wanted not in keys:
            raise ValueError(
                f"choose a camera of {self.root} with camera=: it has {', '.join(keys) or 'none'}"
            )
        return wanted

    def _read_stats(self) -> dict[str, dict[str, np.ndarray]]:
        path = self._folder / schema.STATS
        if path.exists():
            read = _read_json(path)
            found = {key: {name: np.array(v) for name, v in stats.items()} for key, stats in read.items()}
        else:
            found = aggregate_statistics([_row_statistics(row) for row in self._rows])
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


class LeRobotWriter:
    """Records a set: `add` episodes, then `finalize`. On a folder in which recording was stopped it goes on.

    Raises:
        FileExistsError: the set is finished.
        ValueError: what lies there was recorded at another rate or with another camera, or cannot be read.
    """

    def __init__(self, root: str | Path, *, fps: int, camera: str, robot_type: str | None = None) -> None:
        self.root, self.fps, self.camera, self.robot_type = Path(root), fps, camera, robot_type
        self._folder = self.root / RECORDING
        if (self.root / schema.INFO).exists():
            raise FileExistsError(
                f"the set in {root} is finished: record another one elsewhere, or delete it first"
            )
        self._features: dict[str, Any] | None = None
        self._tasks: list[str] = []
        self.num_episodes = self.num_frames = 0
        self.last_seed = -1
        if (self._folder / schema.INFO).exists():
            self._go_on()

    def __enter__(self) -> "LeRobotWriter":
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open between episodes."""

    def add(self, episode: Episode) -> None:
        """Write one finished episode: afterwards it is on disk, whatever happens.

        Raises:
            ValueError: pictures, states or actions have other sizes than those of the first episode.
        """
        index, length = self.num_episodes, len(episode.actions)
        features = schema.features(
            self.camera, episode.images.shape[1:], episode.states.shape[1], episode.actions.shape[1]
        )
        self._check(features, index, episode.seed)
        if episode.instruction not in self._tasks:
            self._tasks.append(episode.instruction)
            _write(self._folder / schema.TASKS, schema.tasks_table(self._tasks))
        columns: dict[str, np.ndarray] = {
            schema.STATE: episode.states.astype(np.float32),
            schema.ACTION: episode.actions.astype(np.float32),
            schema.EXECUTED: episode.carried_out.astype(np.float32),
            "timestamp": (np.arange(length) / self.fps).astype(np.float32),
            "frame_index": np.arange(length),
            "episode_index": np.full(length, index),
            "index": self.num_frames + np.arange(length),
            "task_index": np.full(length, self._tasks.index(episode.instruction)),
        }
        image_key = schema.image_key(self.camera)
        found = {name: feature_statistics(values) for name, values in columns.items()}
        found[image_key] = feature_statistics(episode.images)
        file = divmod(index, schema.CHUNK_FILES)
        row = schema.episode_row(
            index=index,
            instruction=episode.instruction,
            first_frame=self.num_frames,
            length=length,
            file=file,
            camera=self.camera,
            from_timestamp=0.0,
            to_timestamp=length / self.fps,
            statistics=found,
            success=episode.success,
            seed=episode.seed,
        )
        video = _file(self._folder, schema.VIDEO, file, image_key)
        _write(_file(self._folder, schema.DATA, file), schema.data_table(columns))
        _write(video, encode_frames(episode.images, self.fps))
        _write(_file(self._folder, schema.EPISODES, file), pa.Table.from_pylist([row]))
        if self._features is None:
            features[image_key]["info"] = video_info(video)
            self._features = features
        self.num_episodes, self.num_frames, self.last_seed = index + 1, self.num_frames + length, episode.seed
        _write(self._folder / schema.INFO, self._info())

    def finalize(self) -> None:
        """Merge what was recorded into the finished set, and delete the single files.

        Raises:
            ValueError: nothing was recorded, or a recorded file is damaged; it is named.
        """
        if self._features is None:
            raise ValueError(f"nothing was recorded in {self.root}: add at least one episode")
        rows = _read_rows(self._folder, self.num_episodes)
        image_key = schema.image_key(self.camera)
        numbers: list[pa.Table] = []
        for file, group in enumerate(self._groups(rows, image_key)):
            place = divmod(file, schema.CHUNK_FILES)
            pieces = [
                _read_table(_file(self._folder, schema.DATA, _where(row)), _named(row)) for row in group
            ]
            numbers += pieces
            _write(_file(self.root, schema.DATA, place), pieces)
            videos = [_file(self._folder, schema.VIDEO, _where(row), image_key) for row in group]
            lengths = [int(row["length"]) for row in group]
            target = _file(self.root, schema.VIDEO, place, image_key)
            partial = _beside(target)
            join_videos(videos, lengths, self.fps, partial)
            os.replace(partial, target)
            ends = np.cumsum([0, *lengths])
            moved = [
                row | _moved(place, image_key, begin / self.fps, end / self.fps)
                for row, begin, end in zip(group, ends[:-1].tolist(), ends[1:].tolist(), strict=True)
            ]
            _write(_file(self.root, schema.EPISODES, place), pa.Table.from_pylist(moved))
        _write(self.root / schema.TASKS, schema.tasks_table(self._tasks))
        whole = pa.concat_tables(numbers)
        stats = aggregate_statistics([_row_statistics(row) for row in rows])
        stats |= {name: feature_statistics(_column(whole, name, self.root)) for name in whole.column_names}
        plain = {key: {name: value.tolist() for name, value in found.items()} for key, found in stats.items()}
        _write(self.root / schema.STATS, plain)
        _write(self.root / schema.INFO, self._info())
        shutil.rmtree(self._folder)

    def _info(self) -> dict[str, Any]:
        assert self._features is not None
        return schema.info(
            fps=self.fps,
            robot_type=self.robot_type,
            features=self._features,
            episodes=self.num_episodes,
            frames=self.num_frames,
            tasks=len(self._tasks),
        )

    def _go_on(self) -> None:
        stopped = LeRobotDataset(self.root, camera=self.camera)
        if (stopped.fps, stopped.info["robot_type"]) != (self.fps, self.robot_type):
            raise ValueError(
                f"{self._folder} was recorded with {stopped.info['robot_type']} at {stopped.fps} frames/s, not with "
                f"{self.robot_type} at {self.fps}: go on with the same, or record elsewhere"
            )
        self._features, self.num_frames = stopped.features, stopped.num_frames
        self.num_episodes = stopped.num_episodes
        self._tasks = [task for _, task in sorted(_read_tasks(self._folder).items())]
        self.last_seed = stopped.track(self.num_episodes - 1).seed

    def _check(self, features: dict[str, Any], index: int, seed: int) -> None:
        for name, feature in (self._features or {}).items():
            if features.get(name, {}).get("shape") != feature["shape"]:
                raise ValueError(
                    f"episode {index} (seed {seed}) does not fit the set in {self.root}: {name} has shape "
                    f"{features.get(name, {}).get('shape')}, the first episode's {feature['shape']}"
                )

    def _groups(self, rows: list[dict[str, Any]], image_key: str) -> Iterator[list[dict[str, Any]]]:
        """Episodes that go into one file, so that none grows beyond what info.json promises."""
        group: list[dict[str, Any]] = []
        size = 0
        for row in rows:
            video = _file(self._folder, schema.VIDEO, _where(row), image_key)
            more = video.stat().st_size if video.exists() else 0
            if group and size + more > schema.VIDEO_FILE_MB * MB:
                yield group
                group, size = [], 0
            group.append(row)
            size += more
        yield group


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds no JSON object")
    return found


def _read_table(path: Path, whose: str) -> pa.Table:
    try:
        return pq.ParquetFile(path).read()
    except (OSError, pa.ArrowException) as error:
        raise ValueError(f"{whose}: {path} cannot be read as parquet: {error}") from error


def _read_rows(folder: Path, episodes: int) -> list[dict[str, Any]]:
    """What meta/episodes says of the first so many episodes."""
    rows: dict[int, dict[str, Any]] = {}
    for path in sorted((folder / "meta" / "episodes").glob("*/*.parquet")):
        for row in _read_table(path, "episodes").to_pylist():
            rows[int(row["episode_index"])] = row
    missing = [index for index in range(episodes) if index not in rows]
    if missing:
        raise ValueError(
            f"{folder / 'meta' / 'episodes'}: episode {missing[0]} is missing, and info.json counts {episodes}"
        )
    return [rows[index] for index in range(episodes)]


def _read_tasks(folder: Path) -> dict[int, str]:
    path = folder / schema.TASKS
    table = _read_table(path, "tasks")
    words = next((name for name in ("task", "__index_level_0__") if name in table.column_names), None)
    if words is None or "task_index" not in table.column_names:
        raise ValueError(f"{path}: want columns task and task_index, found {', '.join(table.column_names)}")
    numbers = table.column("task_index").to_pylist()
    return dict(zip(map(int, numbers), table.column(words).to_pylist(), strict=True))


def _row_statistics(row: dict[str, Any]) -> dict[str, dict[str, np.ndarray]]:
    found: dict[str, dict[str, np.ndarray]] = {}
    for column, value in row.items():
        if column.startswith("stats/"):
            feature, name = column.removeprefix("stats/").rsplit("/", 1)
            found.setdefault(feature, {})[name] = np.array(value)
    return found


def _column(table: pa.Table, name: str, path: Path) -> np.ndarray:
    if name not in table.column_names:
        raise ValueError(f"{path} has no column {name!r}: it has {', '.join(table.column_names)}")
    column = table.column(name).combine_chunks()
    if not pa.types.is_nested(column.type):
        return np.asarray(column)
    flat = np.asarray(column.flatten())
    if len(column) == 0 or len(flat) % len(column):
        raise ValueError(f"{path}: the rows of {name!r} do not all have as many numbers")
    return flat.reshape(len(column), -1)


def _where(row: dict[str, Any]) -> tuple[int, int]:
    return int(row["data/chunk_index"]), int(row["data/file_index"])


def _named(row: dict[str, Any]) -> str:
    return f"episode {row['episode_index']}"


def _moved(place: tuple[int, int], image_key: str, begin: float, end: float) -> dict[str, Any]:
    """Where an episode lies in the finished set."""
    video = f"videos/{image_key}"
    found: dict[str, Any] = {f"{video}/from_timestamp": begin, f"{video}/to_timestamp": end}
    for kind in ("data", video, "meta/episodes"):
        found |= {f"{kind}/chunk_index": place[0], f"{kind}/file_index": place[1]}
    return found


def _file(folder: Path, pattern: str, place: tuple[int, int], video_key: str = "") -> Path:
    path = folder / pattern.format(video_key=video_key, chunk_index=place[0], file_index=place[1])
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _beside(path: Path) -> Path:
    return path.with_name(f".{os.getpid()}.{path.name}")


def _write(path: Path, content: bytes | dict[str, Any] | pa.Table | list[pa.Table]) -> None:
    """Write beside, then rename: a file is there whole or not at all. Of several tables each becomes a row group."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _beside(path)
    if isinstance(content, bytes):
        partial.write_bytes(content)
    elif isinstance(content, dict):
        partial.write_text(json.dumps(content, indent=4, ensure_ascii=False) + "\n", encoding="utf-8")
    else:
        tables = content if isinstance(content, list) else [content]
        with pq.ParquetWriter(partial, tables[0].schema, compression="snappy") as writer:
            for table in tables:
                writer.write_table(table)
    os.replace(partial, path)
