"""Recording a LeRobot v3.0 set, episode by episode, so that a recorder that is killed loses only the one it was at.

While a set is being recorded it lies under `<root>/recording`, a data set of its own with one file pair an episode. An episode
counts from the moment in which info.json counts it, and that file is replaced last. `finalize` merges the pairs into few large
files under `<root>`, where info.json, again, comes last.
"""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from vla_course.data import schema
from vla_course.data.episodes import Episode
from vla_course.data.lerobot import RECORDING, LeRobotDataset
from vla_course.data.lerobot_files import read_rows, read_tasks, row_statistics, write_hashes
from vla_course.data.statistics import aggregate_statistics, feature_statistics
from vla_course.data.tables import column, read_table, write
from vla_course.data.videos import encode_frames, join_videos, video_info
from vla_course.files import replacing

MB = 2**20


class LeRobotWriter:
    """Records a set: `add` episodes, then `finalize`. On a folder in which recording was stopped it goes on.

    `camera` is the name of the camera, or the names of several: the main one, whose pictures are an episode's `images`, and then
    those of its `further_images`.

    Raises:
        FileExistsError: the set is finished.
        ValueError: what lies there was recorded at another rate or with other cameras, or cannot be read.
    """

    def __init__(
        self, root: str | Path, *, fps: int, camera: str | Sequence[str], robot_type: str | None = None
    ) -> None:
        self.root, self.fps, self.robot_type = Path(root), fps, robot_type
        self.cameras = (camera,) if isinstance(camera, str) else tuple(camera)
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
            ValueError: pictures, states or actions have other sizes than those of the first episode, or the pictures are not
                those of the set's cameras, all of one size.
        """
        index, length = self.num_episodes, len(episode.actions)
        pictures = self._pictures(episode)
        features = schema.features(
            self.cameras, episode.images.shape[1:], episode.states.shape[1], episode.actions.shape[1]
        )
        self._check(features, index, episode.seed)
        said = tuple(dict.fromkeys(episode.said))
        if not set(said) <= set(self._tasks):
            self._tasks += [text for text in said if text not in self._tasks]
            write(self._folder / schema.TASKS, schema.tasks_table(self._tasks))
        columns: dict[str, np.ndarray] = {
            schema.STATE: episode.states.astype(np.float32),
            schema.ACTION: episode.actions.astype(np.float32),
            schema.EXECUTED: episode.carried_out.astype(np.float32),
            "timestamp": (np.arange(length) / self.fps).astype(np.float32),
            "frame_index": np.arange(length),
            "episode_index": np.full(length, index),
            "index": self.num_frames + np.arange(length),
            "task_index": np.array([self._tasks.index(text) for text in episode.said]),
        }
        found = {name: feature_statistics(values) for name, values in {**columns, **pictures}.items()}
        file = divmod(index, schema.CHUNK_FILES)
        row = schema.episode_row(
            index=index,
            tasks=said,
            first_frame=self.num_frames,
            length=length,
            file=file,
            cameras=self.cameras,
            from_timestamp=0.0,
            to_timestamp=length / self.fps,
            statistics=found,
            success=episode.success,
            seed=episode.seed,
        )
        write(_file(self._folder, schema.DATA, file), schema.data_table(columns))
        for image_key, images in pictures.items():
            video = _file(self._folder, schema.VIDEO, file, image_key)
            write(video, encode_frames(images, self.fps))
            if self._features is None:
                features[image_key]["info"] = video_info(video)
        write(_file(self._folder, schema.EPISODES, file), pa.Table.from_pylist([row]))
        self._features = self._features or features
        self.num_episodes, self.num_frames, self.last_seed = index + 1, self.num_frames + length, episode.seed
        write(self._folder / schema.INFO, self._info())

    def finalize(self) -> None:
        """Merge what was recorded into the finished set, and delete the single files.

        Raises:
            ValueError: nothing was recorded, or a recorded file is damaged; it is named.
        """
        if self._features is None:
            raise ValueError(f"nothing was recorded in {self.root}: add at least one episode")
        rows = read_rows(self._folder, self.num_episodes)
        image_keys = [schema.image_key(camera) for camera in self.cameras]
        numbers: list[pa.Table] = []
        for file, group in enumerate(self._groups(rows, image_keys)):
            place = divmod(file, schema.CHUNK_FILES)
            pieces = [read_table(_file(self._folder, schema.DATA, _where(row)), _named(row)) for row in group]
            numbers += pieces
            write(_file(self.root, schema.DATA, place), pieces)
            lengths = [int(row["length"]) for row in group]
            for image_key in image_keys:
                videos = [_file(self._folder, schema.VIDEO, _where(row), image_key) for row in group]
                target = _file(self.root, schema.VIDEO, place, image_key)
                with replacing(target) as partial:
                    join_videos(videos, lengths, self.fps, partial)
            ends = np.cumsum([0, *lengths])
            moved = [
                row | _moved(place, image_keys, begin / self.fps, end / self.fps)
                for row, begin, end in zip(group, ends[:-1].tolist(), ends[1:].tolist(), strict=True)
            ]
            write(_file(self.root, schema.EPISODES, place), pa.Table.from_pylist(moved))
        write(self.root / schema.TASKS, schema.tasks_table(self._tasks))
        whole = pa.concat_tables(numbers)
        stats = aggregate_statistics([row_statistics(row) for row in rows])
        stats |= {name: feature_statistics(column(whole, name, self.root)) for name in whole.column_names}
        plain = {key: {name: value.tolist() for name, value in found.items()} for key, found in stats.items()}
        write(self.root / schema.STATS, plain)
        write_hashes(self.root)
        write(self.root / schema.INFO, self._info())
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

    def _pictures(self, episode: Episode) -> dict[str, np.ndarray]:
        """The episode's pictures of every camera of the set, by the name of their feature."""
        main, *others = self.cameras
        sizes = {images.shape[1:] for images in (episode.images, *episode.further_images.values())}
        if set(others) != set(episode.further_images) or len(sizes) != 1:
            there = ", ".join([main, *episode.further_images])
            raise ValueError(
                f"the episode of seed {episode.seed} has pictures of {there} in sizes {sorted(sizes)}: the set in {self.root} "
                f"wants those of {', '.join(self.cameras)}, all of one size"
            )
        seen = {main: episode.images, **episode.further_images}
        return {schema.image_key(camera): seen[camera] for camera in self.cameras}

    def _go_on(self) -> None:
        stopped = LeRobotDataset(self.root, cameras=self.cameras)
        if stopped.all_cameras != self.cameras:
            raise ValueError(
                f"{self._folder} was recorded with the cameras {', '.join(stopped.all_cameras)}, not with "
                f"{', '.join(self.cameras)}: go on with the same, or record elsewhere"
            )
        if (stopped.fps, stopped.info["robot_type"]) != (self.fps, self.robot_type):
            raise ValueError(
                f"{self._folder} was recorded with {stopped.info['robot_type']} at {stopped.fps} frames/s, not with "
                f"{self.robot_type} at {self.fps}: go on with the same, or record elsewhere"
            )
        self._features, self.num_frames = stopped.features, stopped.num_frames
        self.num_episodes = stopped.num_episodes
        self._tasks = [task for _, task in sorted(read_tasks(self._folder).items())]
        self.last_seed = stopped.track(self.num_episodes - 1).seed

    def _check(self, features: dict[str, Any], index: int, seed: int) -> None:
        for name, feature in (self._features or {}).items():
            if features.get(name, {}).get("shape") != feature["shape"]:
                raise ValueError(
                    f"episode {index} (seed {seed}) does not fit the set in {self.root}: {name} has shape "
                    f"{features.get(name, {}).get('shape')}, the first episode's {feature['shape']}"
                )

    def _groups(self, rows: list[dict[str, Any]], image_keys: list[str]) -> Iterator[list[dict[str, Any]]]:
        """Episodes that go into one file, so that none grows beyond what info.json promises."""
        group: list[dict[str, Any]] = []
        size = 0
        for row in rows:
            videos = [_file(self._folder, schema.VIDEO, _where(row), key) for key in image_keys]
            more = max(video.stat().st_size if video.exists() else 0 for video in videos)
            if group and size + more > schema.VIDEO_FILE_MB * MB:
                yield group
                group, size = [], 0
            group.append(row)
            size += more
        yield group


def _where(row: dict[str, Any]) -> tuple[int, int]:
    return int(row["data/chunk_index"]), int(row["data/file_index"])


def _named(row: dict[str, Any]) -> str:
    return f"episode {row['episode_index']}"


def _moved(place: tuple[int, int], image_keys: list[str], begin: float, end: float) -> dict[str, Any]:
    """Where an episode lies in the finished set."""
    videos = [f"videos/{image_key}" for image_key in image_keys]
    found: dict[str, Any] = {}
    for video in videos:
        found |= {f"{video}/from_timestamp": begin, f"{video}/to_timestamp": end}
    for kind in ("data", *videos, "meta/episodes"):
        found |= {f"{kind}/chunk_index": place[0], f"{kind}/file_index": place[1]}
    return found


def _file(folder: Path, pattern: str, place: tuple[int, int], video_key: str = "") -> Path:
    path = folder / pattern.format(video_key=video_key, chunk_index=place[0], file_index=place[1])
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
