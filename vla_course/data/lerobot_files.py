"""The files of a LeRobot v3.0 set that say what there is: each read whole, checked, and named in the error if it is wrong."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from vla_course.data import schema
from vla_course.data.pictures import inside
from vla_course.data.tables import read_json, read_table, real_number, whole_number, write
from vla_course.files import sha256_of

FIELD = re.compile(r"\{(video_key|chunk_index|file_index)(?::0(\d)d)?\}")
NUMBERS_OF_A_ROW = ("length", "data/chunk_index", "data/file_index")


def read_info(path: Path) -> dict[str, Any]:
    """The content of meta/info.json.

    Raises:
        ValueError: it is damaged or of another version, or what it says cannot be so.
    """
    info = read_json(path)
    version = str(info.get("codebase_version", ""))
    if not version.startswith("v3."):
        raise ValueError(
            f"{path}: want version v3.x, found {info.get('codebase_version')!r}: convert it with LeRobot's own tool first"
        )
    for name in ("total_episodes", "total_frames"):
        whole_number(info.get(name), name, path)
    if not real_number(info.get("fps"), "fps", path) > 0:
        raise ValueError(f"{path}: fps must be above 0, found {info['fps']}")
    features = info.get("features")
    if not isinstance(features, dict) or not all(
        isinstance(feature, dict) and isinstance(feature.get("dtype"), str) for feature in features.values()
    ):
        raise ValueError(f"{path}: features must say dtype, shape and names of each column and video")
    for name in (schema.STATE, schema.ACTION):
        if name not in features:
            raise ValueError(f"{path}: a set without {name!r} teaches no robot; it has {', '.join(features)}")
        shape = features[name].get("shape")
        if (
            not isinstance(shape, list)
            or len(shape) != 1
            or not whole_number(shape[0], f"shape of {name}", path)
        ):
            raise ValueError(
                f"{path}: {name} must be a list of numbers, shape [count], found shape {shape!r}"
            )
    return info


def read_rows(folder: Path, episodes: int) -> list[dict[str, Any]]:
    """What meta/episodes says of the first so many episodes.

    Raises:
        ValueError: a file is damaged, an episode is missing, or its length or its place is no number.
    """
    rows: dict[int, dict[str, Any]] = {}
    # A name that begins with a dot is of a file that was never finished: its writer was killed.
    for path in sorted((folder / "meta" / "episodes").glob("*/[!.]*.parquet")):
        for row in read_table(path, "episodes").to_pylist():
            index = whole_number(row.get("episode_index"), "episode_index", path)
            for name in NUMBERS_OF_A_ROW:
                whole_number(row.get(name), f"{name} of episode {index}", path)
            rows[index] = row
    missing = next((index for index in range(episodes) if index not in rows), None)
    if missing is not None:
        raise ValueError(
            f"{folder / 'meta' / 'episodes'}: episode {missing} is missing, and info.json counts {episodes}"
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
    texts = table.column(words).to_pylist()
    if not all(isinstance(text, str) for text in texts):
        raise ValueError(
            f"{path}: {words} must hold texts, found {table.schema.field(words).type}, or one is missing"
        )
    numbers = [whole_number(number, "task_index", path) for number in table.column("task_index").to_pylist()]
    return dict(zip(numbers, texts, strict=True))


def read_stats(path: Path, info: Mapping[str, Any]) -> dict[str, dict[str, np.ndarray]]:
    """What meta/stats.json says, by feature and statistic; nothing where the file is missing. Keys may be missing, too.

    Raises:
        ValueError: what it says of states or actions is not of this set's frames, or cannot be so.
    """
    if not path.exists():
        return {}
    found: dict[str, dict[str, np.ndarray]] = {}
    for feature, stats in read_json(path).items():
        try:
            found[feature] = {name: np.array(value, dtype=float) for name, value in stats.items()}
        except (AttributeError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"{path}: the statistics of {feature} are no numbers: {error}") from error
    for name in (schema.STATE, schema.ACTION):
        _check_stats(
            found.get(name, {}),
            tuple(info["features"][name]["shape"]),
            info["total_frames"],
            f"{path}: the statistics of {name}",
        )
    return found


def _check_stats(stats: Mapping[str, np.ndarray], shape: tuple[int, ...], frames: int, whose: str) -> None:
    if "count" in stats and stats["count"].ravel().tolist() != [frames]:
        raise ValueError(f"{whose} are not those of {frames} frames")
    wrong = [key for key, value in stats.items() if key != "count" and value.shape != shape]
    if wrong or not all(np.isfinite(value).all() for value in stats.values()):
        raise ValueError(f"{whose} do not fit {shape} numbers: {wrong or 'not finite'}")
    upside_down = {"min", "max"} <= stats.keys() and (stats["min"] > stats["max"]).any()
    if upside_down or ("std" in stats and (stats["std"] < 0).any()):
        raise ValueError(f"{whose} contradict each other: min above max, or std below 0")


def row_statistics(row: dict[str, Any]) -> dict[str, dict[str, np.ndarray]]:
    """The statistics of one episode, out of its row in meta/episodes: for each feature by name."""
    found: dict[str, dict[str, np.ndarray]] = {}
    for key, value in row.items():
        if key.startswith("stats/"):
            feature, name = key.removeprefix("stats/").rsplit("/", 1)
            found.setdefault(feature, {})[name] = np.array(value)
    return found


def file_path(folder: Path, pattern: Any, chunk: int, file: int, video_key: str = "") -> Path:
    """Where a file of a set lies, by the pattern of info.json (`data_path`, `video_path`).

    Raises:
        ValueError: the pattern has other fields than chunk_index, file_index and video_key, or leads out of the folder.
    """
    values = {"chunk_index": chunk, "file_index": file, "video_key": video_key}

    def filled(field: re.Match[str]) -> str:
        return str(values[field[1]]).zfill(int(field[2] or 0))

    if not isinstance(pattern, str) or re.search("[{}]", FIELD.sub("", pattern)):
        raise ValueError(
            f"{folder / schema.INFO}: want a path with chunk_index, file_index and video_key, found {pattern!r}"
        )
    return inside(folder, FIELD.sub(filled, pattern))


def write_hashes(root: str | Path) -> None:
    """Keep the SHA-256 of every video of a finished set in meta/hashes.json: from then on a damaged video is refused.

    Raises:
        OSError: a video cannot be read, or the file cannot be written.
    """
    videos = sorted((Path(root) / "videos").rglob("*.mp4"))
    write(Path(root) / schema.HASHES, {path.relative_to(root).as_posix(): sha256_of(path) for path in videos})


def read_hashes(folder: Path) -> dict[str, Any]:
    """The hashes of a set's videos, by their paths; none in a set without meta/hashes.json, as others' are.

    Raises:
        ValueError: the file is damaged.
    """
    return read_json(folder / schema.HASHES) if (folder / schema.HASHES).exists() else {}


def check_hash(path: Path, wanted: Any, hashes: Path) -> None:
    """Refuse a video with another hash than the `wanted` one out of the file `hashes`. It is read for this once in a process.

    Decoders seldom notice a flipped bit, and it spoils the pictures up to the next key frame.

    Raises:
        ValueError: it is another file than the one that was written.
    """
    now = path.stat()
    if _hash_of(path, now.st_size, now.st_mtime_ns) != wanted:
        raise ValueError(
            f"{path} is damaged: its hash is not the one in {hashes}. Get the video again; if it was changed on purpose, delete "
            f"{hashes.name}"
        )


@cache
def _hash_of(path: Path, size: int, changed: int) -> str:
    return sha256_of(path)
