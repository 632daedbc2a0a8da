"""Sets on disk: they keep to LeRobot's format, come back as they were, survive being killed, and say what is damaged."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jaxtyping
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lerobot_v3 import problems

from vla_course.data import lerobot_writer, schema
from vla_course.data.episodes import Episode
from vla_course.data.lerobot import LeRobotDataset
from vla_course.data.lerobot_writer import LeRobotWriter
from vla_course.files import PARTIAL

FPS, CAMERA = 5, "close"
LENGTHS = (5, 1, 9, 4)


def episode(number: int, *, noised: bool = True, actions: int = 14) -> Episode:
    random = np.random.default_rng(number)
    length = LENGTHS[number % len(LENGTHS)]
    answers = random.uniform(-1, 1, (length, actions)).astype(np.float32)
    return Episode(
        images=random.integers(0, 256, (length, 20, 24, 3)).astype(np.uint8),
        states=random.standard_normal((length, 14)).astype(np.float32),
        actions=answers,
        instruction=("fold the towel", "fold the T-shirt")[number % 2],
        success=number != 2,
        seed=100 + number,
        executed=(answers * 0.9).astype(np.float32) if noised else None,
    )


def writer(root: Path) -> LeRobotWriter:
    return LeRobotWriter(root, fps=FPS, camera=CAMERA, robot_type="FoldTowel-v0")


def recorded(root: Path, count: int = 4, *, finished: bool = True) -> Path:
    recorder = writer(root)
    for number in range(count):
        recorder.add(episode(number))
    if finished:
        recorder.finalize()
    return root


def assert_same(one: Episode, other: Episode) -> None:
    for field in dataclasses.fields(Episode):
        a, b = getattr(one, field.name), getattr(other, field.name)
        assert type(a) is type(b), field.name
        assert np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b, field.name


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    return recorded(tmp_path_factory.mktemp("finished") / "set")


@pytest.fixture
def copy(finished, tmp_path) -> Path:
    """A set that may be damaged."""
    shutil.copytree(finished, tmp_path / "set")
    return tmp_path / "set"


@pytest.fixture(autouse=True)
def as_users_run(monkeypatch):
    """Without the shape checks of the test suite: the errors below are for those who run without."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


# --- the format


def test_a_written_set_keeps_to_the_format_field_by_field(finished):
    assert problems(finished) == []


def test_the_transcription_sees_what_is_wrong(copy):
    info = json.loads((copy / schema.INFO).read_text())
    info["features"]["action"]["shape"] = [13]
    info["codebase_version"], info["splits"], info["more"] = "v2.1", {}, 0
    (copy / schema.INFO).write_text(json.dumps(info))
    stats = json.loads((copy / schema.STATS).read_text())
    del stats["action"]["q50"]
    stats["action"]["q01"][3] = 2.0
    (copy / schema.STATS).write_text(json.dumps(stats))
    change(copy / DATA_FILE, "timestamp", 3, 0.61)
    change(copy / DATA_FILE, "index", 4, 3)
    change(copy / EPISODES_FILE, "tasks", 1, ["fold the towel"])
    found = "\n".join(problems(copy))
    for words in (
        "version v2.1",
        "splits are {}",
        "more is no field",
        "action: 14 names for [13]",
        "data: action is fixed_size_list<element: float>[14]",
        "action has ['count'",
        "quantiles of action are not in order",
        "a timestamp is not",
        "index does not count",
        "episode 1: tasks",
    ):
        assert words in found, found


def test_a_set_has_one_file_of_each_kind_when_it_is_small(finished):
    files = sorted(path.relative_to(finished).as_posix() for path in finished.rglob("*") if path.is_file())
    assert files == [
        "data/chunk-000/file-000.parquet",
        "meta/episodes/chunk-000/file-000.parquet",
        "meta/hashes.json",
        "meta/info.json",
        "meta/stats.json",
        "meta/tasks.parquet",
        "videos/observation.images.close/chunk-000/file-000.mp4",
    ]


def test_large_sets_are_spread_over_several_files(tmp_path, monkeypatch):
    monkeypatch.setattr(lerobot_writer, "MB", 50)
    root = recorded(tmp_path / "set")
    assert len(list(root.rglob("*.mp4"))) > 1
    assert problems(root) == []
    for number, read in enumerate(LeRobotDataset(root)):
        assert_same(read, episode(number))


def test_statistics_are_those_of_all_frames(finished):
    stats = LeRobotDataset(finished).stats
    actions = np.concatenate([episode(number).actions for number in range(4)]).astype(float)
    np.testing.assert_allclose(stats["action"]["q01"], np.quantile(actions, 0.01, axis=0), atol=1e-12)
    np.testing.assert_allclose(stats["action"]["std"], actions.std(0), atol=1e-12)
    images = np.concatenate([episode(number).images.reshape(-1, 3) for number in range(4)]) / 255
    np.testing.assert_allclose(stats["observation.images.close"]["mean"].ravel(), images.mean(0), atol=1e-12)
    np.testing.assert_allclose(stats["observation.images.close"]["std"].ravel(), images.std(0), atol=1e-12)


# --- what is read is what was written


@pytest.mark.parametrize("done", [True, False])
def test_episodes_come_back_as_they_were(tmp_path, done):
    dataset = LeRobotDataset(recorded(tmp_path / "set", finished=done))
    assert (dataset.num_episodes, dataset.num_frames, dataset.fps) == (4, sum(LENGTHS), FPS)
    assert dataset.lengths == list(LENGTHS)
    assert dataset.episode_index.tolist() == [0] * 5 + [1] + [2] * 9 + [3] * 4
    for number in (2, 0, 3, 1):
        assert_same(dataset.episode(number), episode(number))
    assert [track.seed for track in dataset.tracks()] == [100, 101, 102, 103]


def test_an_episode_without_noise_executed_its_labels(tmp_path):
    recorder = writer(tmp_path)
    recorder.add(episode(0, noised=False))
    recorder.finalize()
    assert LeRobotDataset(tmp_path).episode(0).executed is None


def test_frames_are_decoded_when_they_are_asked_for(finished, monkeypatch):
    dataset, decoded = LeRobotDataset(finished), []
    images = dataset.images

    def counted(index):
        for image in images(index):
            decoded.append(index)
            yield image

    monkeypatch.setattr(dataset, "images", counted)
    frames = dataset.frames([2, 0])
    assert decoded == []
    first = [next(frames) for _ in range(3)]
    assert decoded == [2, 2, 2]
    assert [(frame.episode_index, frame.frame_index) for frame in first] == [(2, 0), (2, 1), (2, 2)]
    np.testing.assert_array_equal(first[2].image, episode(2).images[2])
    np.testing.assert_array_equal(first[1].action, episode(2).actions[1])
    assert [frame.episode_index for frame in frames] == [2] * 6 + [0] * 5


def test_sets_of_others_have_other_codecs_no_seeds_and_pandas_indices(copy):
    """As LeRobot's own recorder leaves them: tasks under `__index_level_0__`, none of our columns."""
    tasks = pq.read_table(copy / schema.TASKS)
    pq.write_table(tasks.rename_columns(["task_index", "__index_level_0__"]), copy / schema.TASKS)
    for path in (copy / "meta/episodes").rglob("*.parquet"):
        table = pq.read_table(path)
        pq.write_table(table.drop_columns([schema.SUCCESS, schema.SEED]), path)
    for path in (copy / "data").rglob("*.parquet"):
        table = pq.read_table(path)
        pq.write_table(table.drop_columns([schema.EXECUTED]), path)
    read = LeRobotDataset(copy, cameras=CAMERA).episode(2)
    assert (read.success, read.seed, read.executed) == (True, -1, None)
    np.testing.assert_array_equal(read.images, episode(2).images)


# --- stopping and going on


def test_recording_goes_on_where_it_stopped(tmp_path):
    recorded(tmp_path / "set", 2, finished=False)
    recorder = writer(tmp_path / "set")
    assert (recorder.num_episodes, recorder.num_frames, recorder.last_seed) == (2, 6, 101)
    recorder.add(episode(2))
    recorder.add(episode(3))
    recorder.finalize()
    whole = recorded(tmp_path / "whole")
    for name in (schema.INFO, schema.STATS):
        assert (tmp_path / "set" / name).read_text() == (whole / name).read_text()
    for path in whole.rglob("*.*"):
        if path.is_file():
            assert path.read_bytes() == (tmp_path / "set" / path.relative_to(whole)).read_bytes()


KILLED = """
import sys, itertools
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from data.test_lerobot import episode, writer
recorder = writer(Path(sys.argv[2]))
for number in itertools.count(recorder.num_episodes):
    recorder.add(episode(number))
    print(number, flush=True)
"""


def test_a_killed_recorder_leaves_every_finished_episode(tmp_path):
    finished = 0
    for round_, wait_s in enumerate((0.0, 0.013)):
        command = [sys.executable, "-c", KILLED, str(Path(__file__).parents[1]), str(tmp_path / "set")]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        for _ in range(6):
            finished = int(process.stdout.readline()) + 1
        time.sleep(wait_s)  # somewhere in the middle of the next one
        process.send_signal(signal.SIGKILL)
        finished = max([finished, *(int(line) + 1 for line in process.stdout)])
        process.wait()
        dataset = LeRobotDataset(tmp_path / "set")
        assert finished <= dataset.num_episodes <= finished + 1, "at most the one being counted is more"
        for number, read in enumerate(dataset):
            assert_same(read, episode(number))
        assert round_ == 0 or dataset.num_episodes >= 12
    writer(tmp_path / "set").finalize()
    assert problems(tmp_path / "set") == []
    assert not list((tmp_path / "set").rglob(".*")), "no half-written file is left"


def test_half_of_an_episode_does_not_count(tmp_path, monkeypatch):
    """Killed after its files were written, and before info.json was: it is recorded anew."""
    recorder = LeRobotWriter(tmp_path, fps=FPS, camera=CAMERA, robot_type="FoldTowel-v0")
    recorder.add(episode(0))
    monkeypatch.setattr(LeRobotWriter, "_info", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        recorder.add(episode(3))
    monkeypatch.undo()
    assert LeRobotDataset(tmp_path).num_episodes == 1
    again = writer(tmp_path)
    again.add(episode(1))
    assert_same(LeRobotDataset(tmp_path).episode(1), episode(1))


def test_a_file_that_was_begun_does_not_count(tmp_path, monkeypatch):
    """Killed while a file was open, at each of the moments that there are: the episode before is whole."""
    writer(tmp_path).add(episode(0))
    for begun in ("chunk-000/file-001.parquet", "chunk-000/file-001.mp4", "episodes/chunk-000/", "info.json"):
        monkeypatch.setattr(os, "replace", stops_at(begun))
        with pytest.raises(KeyboardInterrupt):
            writer(tmp_path).add(episode(1))
        monkeypatch.undo()
        left = next(path for path in tmp_path.rglob(".*") if path.is_file())
        left.write_bytes(b"")  # opened, and nothing written yet
        assert LeRobotDataset(tmp_path).num_episodes == 1
        assert_same(LeRobotDataset(tmp_path).episode(0), episode(0))
    writer(tmp_path).add(episode(1))
    assert LeRobotDataset(tmp_path).num_episodes == 2


def test_merging_that_was_interrupted_is_done_again(tmp_path, monkeypatch):
    root = recorded(tmp_path / "set", finished=False)
    monkeypatch.setattr(shutil, "rmtree", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    recorder = writer(root)
    monkeypatch.setattr(os, "replace", stops_at(schema.STATS.split("/")[1]))
    with pytest.raises(KeyboardInterrupt):
        recorder.finalize()
    assert LeRobotDataset(root).num_episodes == 4  # still the recording
    monkeypatch.undo()
    writer(root).finalize()
    assert problems(root) == []


def stops_at(name: str):
    """`os.replace` in a process that is killed where the target's path holds this name."""
    replace = os.replace

    def stop(source, target):
        if name in Path(target).as_posix():
            shutil.copy(source, Path(target).with_name(f"{PARTIAL}killed{Path(target).suffix}"))
            raise KeyboardInterrupt  # a process that is killed removes nothing
        replace(source, target)

    return stop


def test_a_finished_set_is_not_recorded_into(finished):
    with pytest.raises(FileExistsError, match="is finished"):
        writer(finished)


def test_a_recording_goes_on_with_the_same_robot_and_rate_only(tmp_path):
    recorded(tmp_path, 1, finished=False)
    with pytest.raises(ValueError, match="FoldTowel-v0 at 5 frames/s, not with FoldTowel-v0 at 20"):
        LeRobotWriter(tmp_path, fps=20, camera=CAMERA, robot_type="FoldTowel-v0")
    with pytest.raises(ValueError, match="camera"):
        LeRobotWriter(tmp_path, fps=FPS, camera="top", robot_type="FoldTowel-v0")


def test_nothing_recorded_is_nothing_to_finish(tmp_path):
    with pytest.raises(ValueError, match="nothing was recorded"):
        writer(tmp_path).finalize()
    with pytest.raises(FileNotFoundError, match="there is no data set"):
        LeRobotDataset(tmp_path)


# --- damaged input


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def change(path: Path, name: str, row: int, value) -> None:
    """Put another value into one row of a column of parquet."""
    table = pq.read_table(path)
    values = table[name].to_pylist()
    values[row] = value
    column = pa.array(values, type=table.schema.field(name).type)
    pq.write_table(table.set_column(table.column_names.index(name), name, column), path)


DATA_FILE = "data/chunk-000/file-000.parquet"
VIDEO_FILE = "videos/observation.images.close/chunk-000/file-000.mp4"
EPISODES_FILE = "meta/episodes/chunk-000/file-000.parquet"


def test_a_truncated_parquet_file_is_named(copy):
    truncate(copy / DATA_FILE)
    with pytest.raises(ValueError, match=rf"episode 2.*{DATA_FILE}.*parquet"):
        LeRobotDataset(copy).episode(2)


def test_a_truncated_video_is_named_with_the_episode(copy):
    truncate(copy / VIDEO_FILE)
    with pytest.raises(ValueError, match=rf"episode 3: .*{VIDEO_FILE}"):
        LeRobotDataset(copy).episode(3)


def test_a_video_that_breaks_off_is_named_with_the_episode(tmp_path):
    """The index is at the beginning of this file, so it opens, and ends too early."""
    root = recorded(tmp_path / "set", 1, finished=False)
    path = root / "recording" / VIDEO_FILE
    whole = path.read_bytes()
    begin = whole.index(b"mdat")
    path.write_bytes(whole[: begin + 4] + b"\0" * 600 + whole[begin + 604 :])
    with pytest.raises(ValueError, match=r"episode 0: .*file-000\.mp4"):
        LeRobotDataset(root).episode(0)


def test_a_missing_video_is_named(copy):
    (copy / VIDEO_FILE).unlink()
    with pytest.raises(ValueError, match=rf"episode 1: .*{VIDEO_FILE}"):
        LeRobotDataset(copy).episode(1)


def test_a_missing_episode_is_named(copy):
    table = pq.read_table(copy / EPISODES_FILE)
    pq.write_table(pa.concat_tables([table.slice(0, 2), table.slice(3)]), copy / EPISODES_FILE)
    with pytest.raises(ValueError, match=r"meta/episodes: episode 2 is missing, and info.json counts 4"):
        LeRobotDataset(copy)


def test_an_episode_without_frames_is_named(copy):
    table = pq.read_table(copy / DATA_FILE)
    pq.write_table(table.filter(pa.compute.not_equal(table["episode_index"], 2)), copy / DATA_FILE)
    with pytest.raises(ValueError, match=rf"{DATA_FILE}: episode 2 is not there"):
        LeRobotDataset(copy).track(2)


def test_lost_frames_are_counted(copy):
    table = pq.read_table(copy / DATA_FILE)
    pq.write_table(pa.concat_tables([table.slice(0, 8), table.slice(9)]), copy / DATA_FILE)
    with pytest.raises(ValueError, match=rf"{DATA_FILE}: episode 2 has 8 frames there, 9 in meta/episodes"):
        LeRobotDataset(copy).track(2)


def test_an_action_that_is_no_number_is_named(copy):
    change(copy / DATA_FILE, "action", 8, [float("nan")] * 14)
    with pytest.raises(ValueError, match=rf"{DATA_FILE}: action of episode 2 is not finite in frame 2"):
        LeRobotDataset(copy).track(2)
    LeRobotDataset(copy).track(1)


def test_statistics_of_other_frames_are_refused(copy):
    path = copy / schema.STATS
    stats = json.loads(path.read_text())

    def refused(name: str, value, words: str) -> None:
        path.write_text(json.dumps({**stats, "action": {**stats["action"], name: value}}))
        with pytest.raises(ValueError, match=rf"stats\.json: the statistics of action {words}"):
            LeRobotDataset(copy)

    refused("count", [7], "are not those of 19 frames")
    refused("q01", [0.0] * 7, r"do not fit \(14,\)")
    refused("mean", [float("nan")] * 14, "do not fit .* not finite")
    refused("min", [5.0] * 14, "contradict")


def test_mixed_action_dimensions_are_refused_when_written(tmp_path):
    recorder = writer(tmp_path)
    recorder.add(episode(0))
    with pytest.raises(ValueError, match=r"episode 1 \(seed 101\) does not fit .*: action has shape \[7\]"):
        recorder.add(episode(1, actions=7))
    assert LeRobotDataset(tmp_path).num_episodes == 1


def test_mixed_action_dimensions_are_refused_when_read(copy):
    info = json.loads((copy / schema.INFO).read_text())
    table = pq.read_table(copy / DATA_FILE)
    seven = pa.array([row[:7] for row in table["action"].to_pylist()], pa.list_(pa.float32(), 7))
    at = table.column_names.index("action")
    pq.write_table(table.set_column(at, "action", seven), copy / DATA_FILE)
    with pytest.raises(ValueError, match=rf"{DATA_FILE}: action of episode 0 has \(7,\) numbers, .* \(14,\)"):
        LeRobotDataset(copy).track(0)
    ragged = pa.array([row[: 7 + k % 2] for k, row in enumerate(table["action"].to_pylist())])
    pq.write_table(table.set_column(at, "action", ragged), copy / DATA_FILE)
    with pytest.raises(ValueError, match=rf"{DATA_FILE}: the rows of 'action' do not all have as many"):
        LeRobotDataset(copy).track(0)
    assert info["features"]["action"]["shape"] == [14]


def test_damaged_words_about_the_set(copy):
    (copy / schema.TASKS).write_bytes(b"PAR1")
    with pytest.raises(ValueError, match=r"tasks: .*tasks\.parquet cannot be read"):
        LeRobotDataset(copy)
    truncate(copy / schema.INFO)
    with pytest.raises(ValueError, match=r"info\.json is damaged"):
        LeRobotDataset(copy)


def test_another_version_is_refused(copy):
    info = json.loads((copy / schema.INFO).read_text())
    (copy / schema.INFO).write_text(json.dumps({**info, "codebase_version": "v2.1"}))
    with pytest.raises(ValueError, match=r"want version v3\.x, found 'v2.1'"):
        LeRobotDataset(copy)


def test_episodes_and_cameras_that_are_not_there(finished):
    with pytest.raises(IndexError, match=r"no episode 4 .* 0 to 3"):
        LeRobotDataset(finished).episode(4)
    with pytest.raises(ValueError, match=r"it has observation\.images\.close"):
        LeRobotDataset(finished, cameras="top")
