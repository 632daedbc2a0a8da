"""Sets as other programs leave them: films of any rate, lost pictures, a task for each frame, pictures in parquet, hostile words."""

import io
import json
import random
import shutil
from fractions import Fraction
from pathlib import Path

import av
import jaxtyping
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from demonstration_sets import write_set
from openvla_reference import nano
from PIL import Image

from vla_course.data import samples, schema
from vla_course.data.episodes import Episode
from vla_course.data.lerobot import LeRobotDataset
from vla_course.data.lerobot_files import write_hashes
from vla_course.data.lerobot_writer import LeRobotWriter
from vla_course.data.samples import DemonstrationSamples, add_statistics
from vla_course.data.tables import read_table
from vla_course.data.videos import read_frames

DATA_FILE = "data/chunk-000/file-000.parquet"
EPISODES_FILE = "meta/episodes/chunk-000/file-000.parquet"
VIDEO_FILE = "videos/observation.images.top/chunk-000/file-000.mp4"
KEY = "observation.images.top"
LENGTHS, FPS, SIDE = (6, 5), 10, 32
TOTAL = sum(LENGTHS)


def picture(number: int) -> np.ndarray:
    """It tells its number by its grey level."""
    return np.full((SIDE, SIDE + 8, 3), 10 + 4 * number, np.uint8)


def number_of(image: np.ndarray) -> int:
    return round((float(image.mean()) - 10) / 4)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    root, begin = tmp_path_factory.mktemp("others") / "set", 0
    with LeRobotWriter(root, fps=FPS, camera="top") as writer:
        for seed, length in enumerate(LENGTHS):
            images = np.stack([picture(begin + k) for k in range(length)])
            numbers = np.random.default_rng(seed).uniform(-1, 1, (length, 7)).astype(np.float32)
            writer.add(Episode(images, numbers, numbers, "move", True, seed))
            begin += length
        writer.finalize()
    return root


@pytest.fixture
def copy(finished, tmp_path) -> Path:
    """A set that may be changed, without hashes: as another program leaves it."""
    shutil.copytree(finished, tmp_path / "set")
    (tmp_path / "set" / schema.HASHES).unlink()
    return tmp_path / "set"


@pytest.fixture(autouse=True)
def as_users_run(monkeypatch):
    """Without the shape checks of the test suite: the errors below are for those who run without."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


def film(path: Path, shown: list[tuple[int, float]], rate: Fraction | int, **options: str) -> None:
    """A video of numbered pictures, each at its time in s."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(rate), options={"crf": "10", **options})
        stream.height, stream.width, stream.pix_fmt = SIDE, SIDE + 8, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 90000)
        for number, time in shown:
            frame = av.VideoFrame.from_ndarray(picture(number), format="rgb24")
            frame.pts, frame.time_base = round(90000 * time), Fraction(1, 90000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def change_info(root: Path, **changes) -> None:
    path = root / schema.INFO
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def change_feature(root: Path, **changes) -> None:
    features = json.loads((root / schema.INFO).read_text())["features"]
    change_info(root, features={**features, KEY: {**features[KEY], **changes}})


def change_column(root: Path, name: str, values: pa.Array, file: str = DATA_FILE) -> None:
    table = pq.read_table(root / file)
    if name in table.column_names:
        table = table.drop_columns([name])
    pq.write_table(table.append_column(name, values), root / file)


def seen(root: Path) -> list[int]:
    return [number_of(frame.image) for frame in LeRobotDataset(root).frames()]


# --- pictures by their times


@pytest.mark.parametrize("rate", [10, 20, 30, 50])
def test_a_camera_that_films_faster_shows_the_picture_of_each_moment(copy, rate):
    film(copy / VIDEO_FILE, [(k * FPS // rate, k / rate) for k in range(TOTAL * rate // FPS)], rate)
    assert seen(copy) == list(range(TOTAL))


@pytest.mark.parametrize("fps", [29.97, 30000 / 1001])
def test_fractional_rates_are_read(copy, fps):
    film(copy / VIDEO_FILE, [(k, k * 1001 / 30000) for k in range(TOTAL)], Fraction(30000, 1001))
    change_info(copy, fps=fps)
    times = np.concatenate([np.arange(length) / fps for length in LENGTHS]).astype(np.float32)
    change_column(copy, "timestamp", pa.array(times))
    change_column(copy, f"videos/{KEY}/from_timestamp", pa.array([0.0, LENGTHS[0] / fps]), EPISODES_FILE)
    assert seen(copy) == list(range(TOTAL)) and LeRobotDataset(copy).fps == fps


@pytest.mark.parametrize("rate", [10, 30])
@pytest.mark.parametrize("lost", [0, 3, 5, 8, 10])
def test_a_lost_picture_is_named_with_episode_frame_and_time(copy, rate, lost):
    shown = [(k * FPS // rate, k / rate) for k in range(TOTAL * rate // FPS) if k != lost * rate // FPS]
    film(copy / VIDEO_FILE, shown, rate)
    episode, frame = divmod(lost, LENGTHS[0])
    words = rf"episode {episode}: .*{VIDEO_FILE} has no picture of frame {frame}, at {lost / FPS:.4f} s: the next to it"
    with pytest.raises(ValueError, match=words):
        seen(copy)
    assert len(list(LeRobotDataset(copy).images(1 - episode))) == LENGTHS[1 - episode]


def test_a_film_of_another_rate_is_refused(copy):
    film(copy / VIDEO_FILE, [(k, k / 12) for k in range(2 * TOTAL)], 12)
    with pytest.raises(
        ValueError, match=r"episode 0: .*has no picture of frame 1, at 0.1000 s: .* 0.0833 s and 0.1667 s"
    ):
        seen(copy)


def test_any_picture_is_found_among_pictures_that_need_later_ones(tmp_path):
    """FFmpeg finds key frames by when they are decoded, and that is before they are shown: B-frames are between."""
    path, count = tmp_path / "v.mp4", 40
    film(path, [(k, k / 30) for k in range(count)], 30, bf="3", g="12")
    for first in range(count):
        moments = np.arange(first, min(first + 3, count)) / 30
        assert [number_of(image) for image in read_frames(path, moments, 30)] == [*range(first, count)][:3]


@pytest.mark.parametrize("times", [[0.0] * 4 + [float("nan")] * 7, list(range(11))[::-1], [100.0] * 11])
def test_times_that_cannot_be_are_refused(copy, times):
    change_column(copy, "timestamp", pa.array(times, pa.float32()))
    with pytest.raises(ValueError, match=r"episode 0: .*(finite and ascending|no picture of frame 0)"):
        seen(copy)


# --- tasks


def test_every_frame_has_its_own_task(copy, tmp_path):
    words = ("open the drawer", "put the cup in")
    pq.write_table(schema.tasks_table(words), copy / schema.TASKS)
    tasks = [0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1]
    change_column(copy, "task_index", pa.array(tasks))
    want, dataset = [words[task] for task in tasks], LeRobotDataset(copy)
    assert [frame.instruction for frame in dataset.frames()] == want
    assert [text for track in dataset.tracks() for text in track.said] == want
    assert [text for episode in dataset for text in episode.said] == want
    with LeRobotWriter(tmp_path / "again", fps=FPS, camera="top") as writer:
        for episode in dataset:
            writer.add(episode)
        writer.finalize()
    again = LeRobotDataset(tmp_path / "again")
    assert [frame.instruction for frame in again.frames()] == want
    assert [row["tasks"] for row in pq.read_table(again.root / EPISODES_FILE).to_pylist()] == [
        list(words)
    ] * 2
    model = nano()
    add_statistics(model, dataset, "set")
    rows = DemonstrationSamples(model, dataset, "set").words(np.arange(TOTAL))["input_ids"]
    for text in words:
        alone = model.processor.token_ids(samples.build_prompt(text))
        told = [row[: len(alone)].tolist() == alone.tolist() for row in rows]
        assert told == [said == text for said in want]


def test_an_unknown_task_is_named(copy):
    change_column(copy, "task_index", pa.array([0] * 8 + [7] * 3))
    with pytest.raises(
        ValueError, match=rf"{DATA_FILE}: episode 1 has task 7, which meta/tasks.parquet does not know"
    ):
        list(LeRobotDataset(copy).tracks())


# --- shapes, and pictures in parquet


@pytest.mark.parametrize(
    ("shape", "names"),
    [
        ([3, SIDE, SIDE + 8], ["channels", "height", "width"]),
        ([3, SIDE, SIDE + 8], ["channel", "height", "width"]),
        ([SIDE + 8, SIDE, 3], ["width", "height", "channels"]),
        ([SIDE, SIDE + 8, 3], None),
        ([3, SIDE, SIDE + 8], None),
    ],
)
def test_shapes_are_read_by_their_names(copy, shape, names):
    change_feature(copy, shape=shape, names=names)
    assert seen(copy) == list(range(TOTAL))
    assert LeRobotDataset(copy).picture_shape("top") == (SIDE, SIDE + 8, 3)


@pytest.mark.parametrize(
    "shape", [[SIDE, SIDE + 8, 1], [SIDE, SIDE], [SIDE, -3, 3], "wide", None, [3, 3, 3.0]]
)
def test_what_is_no_picture_in_colour_is_refused(copy, shape):
    change_feature(copy, shape=shape)
    with pytest.raises(ValueError, match=rf"info.json: {KEY}: want pictures of height, width and 3 channels"):
        LeRobotDataset(copy)


def stored(copy: Path, kept: list[dict]) -> Path:
    """The set, with its pictures in the parquet file."""
    change_feature(copy, dtype="image")
    shutil.rmtree(copy / "videos")
    change_column(copy, KEY, pa.array(kept, pa.struct([("bytes", pa.binary()), ("path", pa.string())])))
    return copy


def encoded(image: np.ndarray, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_pictures_in_parquet_are_read(copy, kind):
    stored(copy, [{"bytes": encoded(picture(k), kind), "path": f"{k}.png"} for k in range(TOTAL)])
    assert seen(copy) == list(range(TOTAL))
    assert LeRobotDataset(copy).cameras == ("top",)


def test_pictures_in_files_beside_are_read(copy):
    (copy / "images").mkdir()
    for k in range(TOTAL):
        (copy / f"images/{k}.png").write_bytes(encoded(picture(k)))
    stored(copy, [{"bytes": None, "path": f"images/{k}.png"} for k in range(TOTAL)])
    assert seen(copy) == list(range(TOTAL))


@pytest.mark.parametrize(
    ("kept", "words"),
    [
        ({"bytes": b"\x89PNG", "path": None}, "cannot identify"),
        (
            {"bytes": encoded(picture(1)[:9]), "path": None},
            r"it is \(9, 40, 3\) \(RGB\), info.json says \(32, 40, 3\)",
        ),
        ({"bytes": encoded(np.zeros((SIDE, SIDE + 8), np.uint16)), "path": None}, "I;16"),
        ({"bytes": None, "path": None}, "neither bytes nor the path"),
        ({"bytes": None, "path": "images/9.png"}, "No such file"),
        ({"bytes": None, "path": "../../outside.png"}, "leads out of the data set"),
    ],
)
def test_a_stored_picture_that_cannot_be_read_is_named(copy, kept, words):
    stored(copy, [{"bytes": encoded(picture(k)), "path": None} for k in range(7)] + [kept] * 4)
    with pytest.raises(
        ValueError, match=rf"episode 1: .*{DATA_FILE}: {KEY} of frame 1 cannot be read .*{words}"
    ):
        seen(copy)


# --- statistics, space, hashes


def test_statistics_may_be_missing_or_lack_keys(copy):
    stats = json.loads((copy / schema.STATS).read_text())
    model, found = nano(), []
    for there in (stats, {}, {"action": {"mean": stats["action"]["mean"]}}, None):
        (copy / schema.STATS).write_text(json.dumps(there)) if there is not None else (
            copy / schema.STATS
        ).unlink()
        add_statistics(model, LeRobotDataset(copy), "set")
        found.append(model.config.norm_stats["set"])
    assert found == found[:1] * 4


def test_too_little_space_for_the_pictures_is_said_before_it_is_used(tmp_path, monkeypatch):
    dataset, model = LeRobotDataset(write_set(tmp_path / "set")), nano()
    add_statistics(model, dataset, "set")
    monkeypatch.setattr(samples.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(samples.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**6, 10**6, 10))
    with pytest.raises(
        OSError, match=rf"the pictures need 0\.\d GB in {tmp_path}, .* \(No space left .*\): set TMPDIR"
    ):
        DemonstrationSamples(model, dataset, "set")
    assert not [path for path in tmp_path.iterdir() if path.name != "set"]


def test_space_is_taken_before_it_is_written_to(tmp_path, monkeypatch):
    monkeypatch.setattr(samples.tempfile, "gettempdir", lambda: str(tmp_path))
    taken = []
    monkeypatch.setattr(samples.os, "posix_fallocate", lambda _, begin, count: taken.append((begin, count)))
    assert samples._map((3, 4)).shape == (3, 4) and taken == [(0, 12)]


def test_a_flipped_bit_in_a_video_is_noticed(finished, tmp_path):
    root = Path(shutil.copytree(finished, tmp_path / "set"))
    assert seen(root) == list(range(TOTAL))
    content = bytearray((root / VIDEO_FILE).read_bytes())
    content[content.index(b"mdat") + 700] ^= 1
    (root / VIDEO_FILE).write_bytes(content)
    with pytest.raises(
        ValueError, match=rf"episode 0: .*{VIDEO_FILE} is damaged: its hash is not the one in .*hashes\.json"
    ):
        seen(root)
    LeRobotDataset(root).track(0)
    write_hashes(root)
    LeRobotDataset(root).episode(0)


def test_a_flipped_bit_in_parquet_is_noticed(finished, tmp_path):
    content, metadata = (finished / DATA_FILE).read_bytes(), pq.read_metadata(finished / DATA_FILE)
    last = metadata.row_group(metadata.num_row_groups - 1).column(metadata.num_columns - 1)
    for at in range(4, last.data_page_offset, 29):
        flipped = bytearray(content)
        flipped[at] ^= 1
        (tmp_path / "f.parquet").write_bytes(flipped)
        try:
            same = read_table(tmp_path / "f.parquet", "test").equals(pq.read_table(finished / DATA_FILE))
        except ValueError:
            same = True
        assert same, f"byte {at}"


# --- what cannot be so


def test_a_billion_episodes_are_not_counted_out(copy):
    change_info(copy, total_episodes=10**9)
    with pytest.raises(ValueError, match=r"episode 2 is missing, and info.json counts 1000000000"):
        LeRobotDataset(copy)
    change_info(copy, total_episodes=2, total_frames=10**15)
    with pytest.raises(ValueError, match="counts 1000000000000000 frames, the episodes in meta/episodes 11"):
        LeRobotDataset(copy)


@pytest.mark.parametrize(
    "changes",
    [
        {"video_path": "../{video_key}/{chunk_index:03d}.mp4"},
        {"video_path": "/{video_key}.mp4"},
        {"data_path": "a/../../{file_index}.parquet"},
        {"data_path": "{file_index.__class__}"},
        {"data_path": "{file_index:999999999d}"},
        {"data_path": 7},
    ],
)
def test_no_path_leads_out_of_the_set(copy, changes):
    change_info(copy, **changes)
    with pytest.raises(
        ValueError, match=r"leads out of the data set|want a path with chunk_index, file_index and video_key"
    ):
        list(LeRobotDataset(copy).frames())


def test_no_camera_leads_out_of_the_set(copy):
    features = json.loads((copy / schema.INFO).read_text())["features"]
    key = "observation.images.x/../../../outside"
    features[key] = features.pop(KEY)
    change_info(copy, features=features)
    for name in ("chunk_index", "file_index", "from_timestamp"):
        change_column(copy, f"videos/{key}/{name}", pa.array([0, 0]), EPISODES_FILE)
    with pytest.raises(ValueError, match="leads out of the data set"):
        seen(copy)


def test_the_patterns_of_paths_are_followed(copy):
    change_info(
        copy, data_path="numbers-{file_index:02d}.parquet", video_path="films/{video_key}/{chunk_index}.mp4"
    )
    (copy / DATA_FILE).rename(copy / "numbers-00.parquet")
    (copy / "films" / KEY).mkdir(parents=True)
    (copy / VIDEO_FILE).rename(copy / "films" / KEY / "0.mp4")
    assert seen(copy) == list(range(TOTAL))


ODD = (None, True, -1, 7, 10**20, 1.5, float("nan"), float("inf"), "", "x/../..", [], [[1]], {}, {"a": 1})


def mutated(value, rng: random.Random):
    """The same JSON, with something odd in one place."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(sorted(value))
        if rng.random() < 0.1:
            return {k: v for k, v in value.items() if k != key}
        return {**value, key: mutated(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.5:
        at = rng.randrange(len(value))
        return [*value[:at], mutated(value[at], rng), *value[at + 1 :]]
    return rng.choice(ODD)


def odd_column(rows: int, rng: random.Random) -> pa.Array:
    """A column of a type that nobody expects there."""
    kinds = [
        pa.array(["x"] * rows),
        pa.array([None] * rows, pa.int64()),
        pa.array([[1, 2]] * rows),
        pa.array([{"a": 1}] * rows),
        pa.array([[[1.0]]] * rows),
        pa.array([10**18] * rows),
        pa.array([-1] * rows),
        pa.array([float("nan")] * rows),
        pa.array([1e300] * rows),
        pa.array([b"\xff"] * rows),
        pa.array([True, None] * rows)[:rows],
        pa.array([0] * rows, pa.timestamp("us")),
        pa.array(["0"] * rows).dictionary_encode(),
    ]
    return rng.choice(kinds)


def test_mutated_sets_are_read_or_refused_in_words(copy):
    """Always ValueError (or FileNotFoundError), and the message says where."""
    rng, outcomes = random.Random(0), {"read": 0, "refused": 0}
    names = (schema.INFO, schema.STATS, DATA_FILE, EPISODES_FILE, schema.TASKS)
    rows = pq.read_table(copy / EPISODES_FILE)
    few = rows.select(
        [name for name in rows.column_names if not name.startswith("stats/")]
    )  # quicker to read
    pq.write_table(few, copy / EPISODES_FILE)
    whole = {name: (copy / name).read_bytes() for name in names}
    for number in range(250):
        name = names[number % len(names)]
        if name.endswith("json"):
            (copy / name).write_text(json.dumps(mutated(json.loads(whole[name]), rng)))
        else:
            table = pq.read_table(io.BytesIO(whole[name]))
            column = rng.choice(table.column_names)
            table = table.drop_columns([column])
            table = table.append_column(column, odd_column(len(table), rng)) if rng.random() < 0.9 else table
            pq.write_table(table, copy / name)
        try:
            dataset = LeRobotDataset(copy)
            read = [dataset.track(0), next(dataset.images(1))]
            assert len(read) == 2
            outcomes["read"] += 1
        except (ValueError, FileNotFoundError) as error:
            assert any(part in str(error) for part in (str(copy), "episode ")), f"{number}: {error}"
            outcomes["refused"] += 1
        (copy / name).write_bytes(whole[name])
    assert outcomes["read"] > 30 and outcomes["refused"] > 100, outcomes
