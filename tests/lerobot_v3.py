"""LeRobot's data set format v3.0 in our own words, and whether a folder keeps to it: what is wrong, field by field.

Transcribed from huggingface/lerobot, src/lerobot/datasets: utils.py (file names, default features, info.json), compute_stats.py
(statistics and their shapes), lerobot_dataset.py (columns of meta/episodes) and video_utils.py (what is said of a video). It knows
nothing of the code that it checks; a set that LeRobot 0.4.4 itself wrote satisfies it.
"""

import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

INFO = {
    "codebase_version": str,
    "robot_type": (str, type(None)),
    "total_episodes": int,
    "total_frames": int,
    "total_tasks": int,
    "chunks_size": int,
    "data_files_size_in_mb": int,
    "video_files_size_in_mb": int,
    "fps": int,
    "splits": dict,
    "data_path": str,
    "video_path": str,
    "features": dict,
}
PATHS = {
    "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
    "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
}
DEFAULT_FEATURES = {
    "timestamp": "float32",
    "frame_index": "int64",
    "episode_index": "int64",
    "index": "int64",
    "task_index": "int64",
}
VIDEO_INFO = {
    "video.height": int,
    "video.width": int,
    "video.codec": str,
    "video.pix_fmt": str,
    "video.is_depth_map": bool,
    "video.fps": int,
    "video.channels": int,
    "has_audio": bool,
}
STATISTICS = {"min", "max", "mean", "std", "count", "q01", "q10", "q50", "q90", "q99"}
EPISODE = {
    "episode_index": pa.int64(),
    "tasks": pa.list_(pa.string()),
    "length": pa.int64(),
    "data/chunk_index": pa.int64(),
    "data/file_index": pa.int64(),
    "dataset_from_index": pa.int64(),
    "dataset_to_index": pa.int64(),
    "meta/episodes/chunk_index": pa.int64(),
    "meta/episodes/file_index": pa.int64(),
}
EPISODE_VIDEO = {
    "chunk_index": pa.int64(),
    "file_index": pa.int64(),
    "from_timestamp": pa.float64(),
    "to_timestamp": pa.float64(),
}
TOLERANCE_S = 1e-4
"""How far a frame's time may be from its place in the video, as LeRobot checks it."""


def problems(root: Path) -> list[str]:
    """Everything in which a finished set differs from the format; an empty list for a good one."""
    info = json.loads((root / "meta/info.json").read_text())
    found = [*_info(info), *_features(info)]
    tasks = _tasks(root, info, found)
    data = pa.concat_tables([pq.read_table(path) for path in sorted((root / "data").glob("*/*.parquet"))])
    episodes = pa.concat_tables(
        [pq.read_table(path) for path in sorted((root / "meta/episodes").glob("*/*.parquet"))]
    )
    found += _data(data, info, tasks)
    found += _episodes(root, episodes, data, info, tasks)
    stats = json.loads((root / "meta/stats.json").read_text())
    found += _stats(stats, info, int(info["total_frames"]))
    for pattern in ("data/*/*", "meta/episodes/*/*", "videos/*/*/*"):
        for path in root.glob(pattern):
            if not re.fullmatch(r"chunk-\d{3}/file-\d{3}\.(parquet|mp4)", "/".join(path.parts[-2:])):
                found.append(f"{path.relative_to(root)}: no file of the format has this name")
    return found


def _info(info):
    for key, kind in INFO.items():
        if not isinstance(info.get(key), kind):
            yield f"info.json: {key} is {info.get(key)!r}"
    yield from (f"info.json: {key} is no field of the format" for key in info.keys() - INFO.keys())
    yield from (f"info.json: {key} is {info[key]}" for key, path in PATHS.items() if info[key] != path)
    if info["codebase_version"] != "v3.0":
        yield f"info.json: version {info['codebase_version']}"
    if info["splits"] != {"train": f"0:{info['total_episodes']}"}:
        yield f"info.json: splits are {info['splits']}"


def _features(info):
    for name, feature in info["features"].items():
        if "/" in name:
            yield f"feature {name}: names have no slash"
        if not {"dtype", "shape", "names"} <= feature.keys() <= {"dtype", "shape", "names", "info"}:
            yield f"feature {name}: fields {sorted(feature)}"
        if feature["dtype"] == "video":
            if feature["names"] != ["height", "width", "channels"] or len(feature["shape"]) != 3:
                yield f"feature {name}: {feature['names']} {feature['shape']}"
            if {key: type(value) for key, value in feature["info"].items()} != VIDEO_INFO:
                yield f"feature {name}: info is {feature['info']}"
        elif feature["names"] is not None and len(feature["names"]) != feature["shape"][0]:
            yield f"feature {name}: {len(feature['names'])} names for {feature['shape']}"
    for name, dtype in DEFAULT_FEATURES.items():
        if info["features"].get(name) != {"dtype": dtype, "shape": [1], "names": None}:
            yield f"feature {name}: {info['features'].get(name)}"
    if not any(name.startswith("observation.images.") for name in info["features"]):
        yield "no feature observation.images.*"
    for name in ("observation.state", "action"):
        if info["features"].get(name, {}).get("dtype") != "float32":
            yield f"feature {name}: {info['features'].get(name)}"


def _tasks(root, info, found):
    table = pq.read_table(root / "meta/tasks.parquet")
    described = json.loads(table.schema.metadata[b"pandas"])
    words = described["index_columns"][0]  # LeRobot 0.4 leaves the index nameless, later ones call it "task"
    text = table.schema.field(words).type if words in table.column_names else None
    if words not in ("task", "__index_level_0__") or text not in (pa.string(), pa.large_string()):
        found.append("tasks.parquet: the index is not the column of instructions")
    if table.schema.field("task_index").type != pa.int64() or len(table) != info["total_tasks"]:
        found.append("tasks.parquet: task_index, or how many there are")
    return dict(zip(table["task_index"].to_pylist(), table[words].to_pylist(), strict=True))


def _data(data, info, tasks):
    wanted = {name for name, feature in info["features"].items() if feature["dtype"] != "video"}
    if set(data.column_names) != wanted:
        yield f"data: columns {data.column_names}, want {sorted(wanted)}"
    if len(data) != info["total_frames"]:
        yield f"data: {len(data)} rows"
    for name in wanted & set(data.column_names):
        feature, kind = info["features"][name], data.schema.field(name).type
        one = pa.type_for_alias(feature["dtype"])
        if kind != (one if feature["shape"] == [1] else pa.list_(one, feature["shape"][0])):
            yield f"data: {name} is {kind}, info.json says {feature}"
    if data["index"].to_pylist() != list(range(len(data))):
        yield "data: index does not count the frames"
    if not set(data["task_index"].to_pylist()) <= tasks.keys():
        yield "data: a task that tasks.parquet does not know"
    times = np.array(data["frame_index"].to_pylist()) / info["fps"]
    if np.abs(data["timestamp"].to_numpy() - times).max() > TOLERANCE_S:
        yield "data: a timestamp is not frame_index / fps"


def _episodes(root, episodes, data, info, tasks):
    videos = [name for name, feature in info["features"].items() if feature["dtype"] == "video"]
    wanted = dict(EPISODE)
    for video in videos:
        wanted |= {f"videos/{video}/{name}": kind for name, kind in EPISODE_VIDEO.items()}
    for name, kind in wanted.items():
        if name not in episodes.column_names or episodes.schema.field(name).type != kind:
            yield f"episodes: {name} is missing, or not {kind}"
    for name in info["features"]:
        for statistic in STATISTICS:
            if f"stats/{name}/{statistic}" not in episodes.column_names:
                yield f"episodes: no stats/{name}/{statistic}"
    rows = episodes.to_pylist()
    if [row["episode_index"] for row in rows] != list(range(info["total_episodes"])):
        yield "episodes: they are not counted from 0"
    end = 0
    for row in rows:
        begin, end_before = row["dataset_from_index"], end
        end = row["dataset_to_index"]
        frames = data.slice(begin, end - begin)
        who = f"episode {row['episode_index']}"
        if begin != end_before or end - begin != row["length"]:
            yield f"{who}: frames {begin} to {end}, length {row['length']}"
        if set(frames["episode_index"].to_pylist()) != {row["episode_index"]}:
            yield f"{who}: frames of another episode"
        if {tasks[number] for number in frames["task_index"].to_pylist()} != set(row["tasks"]):
            yield f"{who}: tasks {row['tasks']}"
        place = {"chunk_index": row["data/chunk_index"], "file_index": row["data/file_index"]}
        file = pq.read_table(root / PATHS["data_path"].format(**place))
        if row["episode_index"] not in file["episode_index"].to_pylist():
            yield f"{who}: not in {place}"
        for video in videos:
            place = {name: row[f"videos/{video}/{name}"] for name in ("chunk_index", "file_index")}
            if not (root / PATHS["video_path"].format(video_key=video, **place)).exists():
                yield f"{who}: no video {place}"
            lasts = row[f"videos/{video}/to_timestamp"] - row[f"videos/{video}/from_timestamp"]
            if abs(lasts - row["length"] / info["fps"]) > TOLERANCE_S:
                yield f"{who}: the video lasts {lasts} s"


def _stats(stats, info, frames):
    if stats.keys() != info["features"].keys():
        yield f"stats.json: {sorted(stats)}"
    for name, feature in info["features"].items():
        shape = (3, 1, 1) if feature["dtype"] == "video" else tuple(feature["shape"])
        found = {key: np.array(value) for key, value in stats[name].items()}
        if found.keys() != STATISTICS:
            yield f"stats.json: {name} has {sorted(found)}"
        yield from (
            f"stats.json: {name}/{key} has shape {value.shape}"
            for key, value in found.items()
            if value.shape != ((1,) if key == "count" else shape)
        )
        if found["count"].tolist() != [frames]:
            yield f"stats.json: {name} counts {found['count']}"
        order = [found[key] for key in ("min", "q01", "q10", "q50", "q90", "q99", "max") if key in found]
        if (np.diff(np.stack(order), axis=0) < -1e-9).any():
            yield f"stats.json: the quantiles of {name} are not in order"
        if feature["dtype"] == "video" and not (found["min"].min() >= 0 and found["max"].max() <= 1):
            yield f"stats.json: pixels of {name} are not in [0, 1]"
