"""LeRobot's data set format, version 3.0: which files there are, which columns they have, what info.json says.

Episodes lie one after the other in a few large files: numbers in parquet, pictures in MP4; `meta/episodes` says where each
begins. Written after huggingface/lerobot @ src/lerobot/datasets (v3.0); the transcription that tests compare with is their own.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from vla_course.data.statistics import HAND

VERSION = "v3.0"
INFO, STATS, TASKS = "meta/info.json", "meta/stats.json", "meta/tasks.parquet"
COLLECT = "meta/collect.json"
"""How a set was made. LeRobot does not ask for it."""
HASHES = "meta/hashes.json"
"""The SHA-256 of each video. LeRobot does not ask for it either."""
EPISODES = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
DATA = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
CHUNK_FILES, DATA_FILE_MB, VIDEO_FILE_MB = 1000, 100, 200

IMAGE_PREFIX = "observation.images."
STATE, ACTION, EXECUTED = "observation.state", "action", "executed_action"
"""`executed_action` is ours: LeRobot takes what begins with "action" for something to learn, and leaves other names alone."""
SUCCESS, SEED = "success", "seed"
"""Columns of ours in meta/episodes."""
INDEX_FEATURES: dict[str, dict[str, Any]] = {
    "timestamp": {"dtype": "float32", "shape": [1], "names": None},
    "frame_index": {"dtype": "int64", "shape": [1], "names": None},
    "episode_index": {"dtype": "int64", "shape": [1], "names": None},
    "index": {"dtype": "int64", "shape": [1], "names": None},
    "task_index": {"dtype": "int64", "shape": [1], "names": None},
}
"""What every data set has besides what was recorded."""


def image_key(camera: str) -> str:
    """The feature that holds this camera's pictures, in sets of ours."""
    return f"{IMAGE_PREFIX}{camera}"


def features(
    camera: str | Sequence[str], image_shape: Sequence[int], state_dim: int, action_dim: int
) -> dict[str, dict[str, Any]]:
    """What info.json says of each column and video; several cameras have one video each."""
    cameras = [camera] if isinstance(camera, str) else camera

    def numbers(count: int) -> dict[str, Any]:
        return {"dtype": "float32", "shape": [count], "names": _names(count)}

    return {
        STATE: numbers(state_dim),
        ACTION: numbers(action_dim),
        EXECUTED: numbers(action_dim),
        **{
            image_key(name): {
                "dtype": "video",
                "shape": list(image_shape),
                "names": ["height", "width", "channels"],
            }
            for name in cameras
        },
        **INDEX_FEATURES,
    }


def info(
    *,
    fps: int,
    robot_type: str | None,
    features: Mapping[str, Any],
    episodes: int,
    frames: int,
    tasks: int,
) -> dict[str, Any]:
    """The content of meta/info.json."""
    return {
        "codebase_version": VERSION,
        "robot_type": robot_type,
        "total_episodes": episodes,
        "total_frames": frames,
        "total_tasks": tasks,
        "chunks_size": CHUNK_FILES,
        "data_files_size_in_mb": DATA_FILE_MB,
        "video_files_size_in_mb": VIDEO_FILE_MB,
        "fps": fps,
        "splits": {"train": f"0:{episodes}"},
        "data_path": DATA,
        "video_path": VIDEO,
        "features": dict(features),
    }


def data_table(columns: Mapping[str, np.ndarray]) -> pa.Table:
    """Frames as a table: vectors as lists of fixed length, everything else as plain numbers."""
    arrays = {}
    for name, values in columns.items():
        flat = pa.array(np.ascontiguousarray(values).reshape(-1))
        arrays[name] = flat if values.ndim == 1 else pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
    return pa.table(arrays)


def tasks_table(tasks: Sequence[str]) -> pa.Table:
    """Instructions and their numbers, as pandas writes a frame whose index is the instruction."""
    table = pa.table(
        {"task_index": pa.array(range(len(tasks)), pa.int64()), "task": pa.array(tasks, pa.string())}
    )

    def column(name: str, pandas: str, numpy: str) -> dict[str, Any]:
        return {
            "name": name,
            "field_name": name,
            "pandas_type": pandas,
            "numpy_type": numpy,
            "metadata": None,
        }

    described = {
        "index_columns": ["task"],
        "column_indexes": [],
        "columns": [column("task_index", "int64", "int64"), column("task", "unicode", "object")],
        "creator": {"library": "pyarrow", "version": pa.__version__},
        "pandas_version": "2.2.0",
    }
    return table.replace_schema_metadata({"pandas": json.dumps(described)})


def episode_row(
    *,
    index: int,
    tasks: Sequence[str],
    first_frame: int,
    length: int,
    file: tuple[int, int],
    cameras: Sequence[str],
    from_timestamp: float,
    to_timestamp: float,
    statistics: Mapping[str, Mapping[str, np.ndarray]],
    success: bool,
    seed: int,
) -> dict[str, Any]:
    """What meta/episodes says of one episode. `file` are chunk and number of the files it lies in, the same for all of them."""
    row: dict[str, Any] = {
        "episode_index": index,
        "tasks": list(tasks),
        "length": length,
        "data/chunk_index": file[0],
        "data/file_index": file[1],
        "dataset_from_index": first_frame,
        "dataset_to_index": first_frame + length,
        "meta/episodes/chunk_index": file[0],
        "meta/episodes/file_index": file[1],
        SUCCESS: success,
        SEED: seed,
    }
    for camera in cameras:
        video = f"videos/{image_key(camera)}"
        row |= {f"{video}/chunk_index": file[0], f"{video}/file_index": file[1]}
        row |= {f"{video}/from_timestamp": from_timestamp, f"{video}/to_timestamp": to_timestamp}
    for feature, values in statistics.items():
        row |= {f"stats/{feature}/{name}": value.tolist() for name, value in values.items()}
    return row


def _names(count: int) -> list[str]:
    """What the numbers mean, where they are seven for each hand, and behind them a stage signal or two hands' touch; else their places."""
    more = {0: [], 1: ["stage"], 2: ["left_touch", "right_touch"]}
    if count < HAND or count % HAND not in more or (count % HAND == 2 and count // HAND != 2):
        return [f"number_{k}" for k in range(count)]
    hands = ["left", "right"] if count // HAND == 2 else [f"hand_{k}" for k in range(count // HAND)]
    names = [f"{hand}_{what}" for hand in hands for what in ("x", "y", "z", "roll", "pitch", "yaw", "grip")]
    return names + more[count % HAND]
