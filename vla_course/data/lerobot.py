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
from vla_course.data.lerobot_files import (
    check_hash,
    file_path,
    read_hashes,
    read_info,
    read_rows,
    read_stats,
    read_tasks,
)
from vla_course.data.pictures import picture_shape, stored_picture
from vla_course.data.tables import column, read_json, read_table, real_number, whole_number
from vla_course.data.videos import read_frames
from vla_course.settings import with_present_names

RECORDING = "recording"
PICTURES = ("video", "image")
"""Kinds of features that are a camera's pictures."""


@dataclass(frozen=True)
class Track:
    """An episode without its pictures: what numbers it has, and what was said (at its first frame: `instruction`)."""

    states: Float[np.ndarray, "T S"]
    actions: Float[np.ndarray, "T A"]
    executed: Float[np.ndarray, "T A"] | None
    instruction: str
    success: bool
    seed: int
    instructions: tuple[str, ...] | None = None
    """What was said at each frame, where it changes; None says "the same"."""

    @property
    def said(self) -> tuple[str, ...]:
        """What was said at each frame."""
        return self.instructions or (self.instruction,) * len(self.actions)


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

    `cameras` chooses among several cameras: one, or several with the main one first. A camera is called by its key in info.json,
    `observation.image`, or by what follows `observation.images.` there: `top`. What is recorded only by us (whether an episode
    went well, its seed, what was executed) is taken as true, -1 and "the same" elsewhere. `stats` is what meta/stats.json says.

    Raises:
        FileNotFoundError: there is no data set.
        ValueError: it is damaged, of another version, or its parts do not fit together; the message names file and episode.
    """

    def __init__(self, root: str | Path, *, cameras: str | Sequence[str] | None = None) -> None:
        self.root = Path(root)
        finished = (self.root / schema.INFO).exists()
        self._folder = self.root if finished else self.root / RECORDING
        if not (self._folder / schema.INFO).exists():
            raise FileNotFoundError(f"there is no data set in {root}: {schema.INFO} is missing")
        self.info = read_info(self._folder / schema.INFO)
        self.cameras = self._chosen_cameras(cameras)
        for name in self.cameras:
            self.picture_shape(name)
        self._rows = read_rows(self._folder, self.num_episodes)
        if sum(self.lengths) != self.num_frames:
            raise ValueError(
                f"{self._folder / schema.INFO} counts {self.num_frames} frames, the episodes in meta/episodes {sum(self.lengths)}"
            )
        self._tasks = read_tasks(self._folder)
        self.stats = read_stats(self._folder / schema.STATS, self.info)
        self._hashes = read_hashes(self._folder)
        self._open: dict[str, tuple[Path, pa.Table]] = {}

    @property
    def num_episodes(self) -> int:
        """Episodes in the set."""
        return int(self.info["total_episodes"])

    @property
    def num_frames(self) -> int:
        """Frames in all of them."""
        return int(self.info["total_frames"])

    @property
    def fps(self) -> float:
        """Frames a second, a whole number where info.json has one."""
        fps: float = self.info["fps"]
        return fps

    @property
    def features(self) -> dict[str, dict[str, Any]]:
        """What each column and video holds: `dtype`, `shape`, `names`."""
        found: dict[str, dict[str, Any]] = self.info["features"]
        return found

    @property
    def all_cameras(self) -> tuple[str, ...]:
        """The cameras that the set has pictures of, chosen or not, in its order."""
        return tuple(self._camera_keys)

    @property
    def _camera_keys(self) -> dict[str, str]:
        """For each camera the feature that holds its pictures."""
        keys = [key for key, feature in self.features.items() if feature["dtype"] in PICTURES]
        return {key.removeprefix(schema.IMAGE_PREFIX): key for key in keys}

    def picture_shape(self, camera: str) -> tuple[int, int, int]:
        """Height, width and 3 of a camera's pictures, in whatever order info.json has them.

        Raises:
            ValueError: the set has no such camera, or what it films is not in colour.
        """
        key = self._key_of(camera)
        return picture_shape(self.features[key], f"{self._folder / schema.INFO}: {key}")

    @property
    def state_key(self) -> str | None:
        """The observation that the states are, as far as the set says how it was made: only ours do."""
        path = self.root / schema.COLLECT
        settings = with_present_names(read_json(path), str(path)) if path.exists() else {}
        state_key = settings.get("state_key")
        return state_key if isinstance(state_key, str) else None

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
        row, (path, table) = self._row(index), self._numbers(index)
        states, actions = (self._vectors(table, name, index, path) for name in (schema.STATE, schema.ACTION))
        executed = None
        if schema.EXECUTED in table.column_names and schema.EXECUTED in self.features:
            executed = self._vectors(table, schema.EXECUTED, index, path)
            executed = None if np.array_equal(executed, actions) else executed
        said = self._said(table, index, path)
        seed = row.get(schema.SEED)
        return Track(
            states,
            actions,
            executed,
            said[0],
            bool(row.get(schema.SUCCESS, True)),
            seed if isinstance(seed, int) else -1,
            said if len(set(said)) > 1 else None,
        )

    def images(self, index: int, camera: str | None = None) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
        """The pictures of one episode, one after the other: those of the main camera, or of another one of `cameras`.

        Out of a video comes what it shows at the `timestamp` of each frame.

        Raises:
            ValueError: the video is missing, damaged or too short, has no picture of a frame, or shows another size than info.json
                says.
        """
        key = self._key_of(camera or self.cameras[0])
        wanted = self.picture_shape(camera or self.cameras[0])
        try:
            if self.features[key]["dtype"] == "image":
                yield from self._stored(index, key, wanted)
                return
            path, moments = self._film(index, key)
            for image in read_frames(path, moments, self.fps):
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
            instructions=track.instructions,
            further_images={name: np.stack(list(self.images(index, name))) for name in self.cameras[1:]},
        )

    def tracks(self) -> Iterator[Track]:
        """The numbers of every episode; no picture is decoded."""
        return (self.track(index) for index in range(self.num_episodes))

    def frames(self, episodes: Sequence[int] | None = None) -> Iterator[Frame]:
        """Frames of these episodes (of all), in order; one picture is in memory at a time."""
        for index in range(self.num_episodes) if episodes is None else episodes:
            track = self.track(index)
            said = track.said
            for number, image in enumerate(self.images(index)):
                yield Frame(image, track.states[number], track.actions[number], said[number], index, number)

    def _row(self, index: int) -> dict[str, Any]:
        if not 0 <= index < self.num_episodes:
            raise IndexError(
                f"there is no episode {index} in {self.root}: they are 0 to {self.num_episodes - 1}"
            )
        return self._rows[index]

    def _path(self, kind: str, index: int, place: str, video_key: str = "") -> Path:
        """The file that meta/episodes names at `place`, by the pattern that info.json has for its kind: data_path or video_path."""
        row, where = self._row(index), self._folder / "meta/episodes"
        chunk, file = (
            whole_number(row.get(f"{place}/{name}"), f"{place}/{name} of episode {index}", where)
            for name in ("chunk_index", "file_index")
        )
        default = {"data_path": schema.DATA, "video_path": schema.VIDEO}[kind]
        return file_path(self._folder, self.info.get(kind) or default, chunk, file, video_key)

    def _rows_of(self, index: int, kept_as: str, **columns: Any) -> tuple[Path, pa.Table]:
        """The rows of one episode and the file they are in, which stays open: episodes are mostly asked for in order."""
        path = self._path("data_path", index, "data")
        if self._open.get(kept_as, (None,))[0] != path:
            self._open[kept_as] = (path, read_table(path, f"episode {index}", **columns))
        table = self._open[kept_as][1]
        rows = np.flatnonzero(column(table, "episode_index", path) == index)
        if len(rows) == 0:
            raise ValueError(f"{path}: episode {index} is not there, though meta/episodes says so")
        found, length = table.slice(int(rows[0]), len(rows)), self.lengths[index]
        if len(found) != length or not np.array_equal(column(found, "frame_index", path), np.arange(length)):
            raise ValueError(
                f"{path}: episode {index} has {len(found)} frames there, {length} in meta/episodes, or not in order"
            )
        return path, found

    def _numbers(self, index: int) -> tuple[Path, pa.Table]:
        """The rows of one episode without pictures."""
        pictures = [key for key, feature in self.features.items() if feature["dtype"] == "image"]
        return self._rows_of(index, "numbers", without=pictures)

    def _vectors(self, table: pa.Table, name: str, index: int, path: Path) -> Float[np.ndarray, "T D"]:
        values, shape = column(table, name, path), self.features[name].get("shape")
        if values.ndim == 1 and shape == [1]:  # LeRobot keeps one number as a number, not as a list
            values = values[:, None]
        if list(values.shape[1:]) != shape:
            raise ValueError(
                f"{path}: {name} of episode {index} has {values.shape[1:]} numbers, info.json says {tuple(shape or ())}"
            )
        if not np.isfinite(values).all():
            frame = int(np.flatnonzero(~np.isfinite(values).all(1))[0])
            raise ValueError(f"{path}: {name} of episode {index} is not finite in frame {frame}")
        return values if values.dtype.kind == "f" else values.astype(np.float32)

    def _said(self, table: pa.Table, index: int, path: Path) -> tuple[str, ...]:
        """What was said at each frame."""
        numbers = column(table, "task_index", path).reshape(len(table), -1)[:, 0].tolist()
        unknown = set(numbers) - self._tasks.keys()
        if unknown:
            raise ValueError(
                f"{path}: episode {index} has task {min(unknown)}, which {schema.TASKS} does not know"
            )
        return tuple(self._tasks[number] for number in numbers)

    def _film(self, index: int, key: str) -> tuple[Path, Float[np.ndarray, " T"]]:
        """A video, and when in it each frame of an episode is shown, s."""
        place = f"videos/{key}"
        path = self._path("video_path", index, place, key)
        wanted = self._hashes.get(path.relative_to(self._folder).as_posix())
        if wanted is not None and path.exists():
            check_hash(path, wanted, self._folder / schema.HASHES)
        begin = f"{place}/from_timestamp"
        begin_s = real_number(
            self._row(index).get(begin), f"{begin} of episode {index}", self._folder / "meta/episodes"
        )
        file, table = self._numbers(index)
        times = column(table, "timestamp", file).reshape(len(table), -1)[:, 0].astype(np.float64)
        if not np.isfinite(times).all() or (np.diff(times) < 0).any():
            raise ValueError(f"{file}: the timestamps of episode {index} must be finite and ascending")
        return path, begin_s + times

    def _stored(
        self, index: int, key: str, shape: tuple[int, int, int]
    ) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
        """Pictures that lie in the parquet file, decoded one by one."""
        path, table = self._rows_of(index, key, columns=("episode_index", "frame_index", key))
        if key not in table.column_names:
            raise ValueError(f"{path} has no column {key!r}")
        for number, stored in enumerate(table.column(key)):
            yield stored_picture(stored.as_py(), shape, self._folder, f"{path}: {key} of frame {number}")

    def _key_of(self, camera: str) -> str:
        keys = self._camera_keys
        if camera not in keys and camera not in keys.values():
            there = ", ".join(keys.values()) or "none, no feature of dtype video or image"
            raise ValueError(f"choose a camera of {self.root} with cameras=[…]: it has {there}")
        return keys.get(camera, camera)

    def _chosen_cameras(self, cameras: str | Sequence[str] | None) -> tuple[str, ...]:
        if cameras is None:  # among several nobody chooses for you: each costs as much as the first
            cameras = self.all_cameras if len(self.all_cameras) == 1 else ("",)
        chosen = (cameras,) if isinstance(cameras, str) else tuple(cameras)
        return tuple(self._key_of(name).removeprefix(schema.IMAGE_PREFIX) for name in chosen or ("",))
