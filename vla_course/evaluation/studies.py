"""A study: evaluations that belong together, kept in one parquet table.

The rows are episodes, in the columns of `EpisodeResult`, with the name of their evaluation in front. What is said once for an
evaluation (settings, summary, films, provenance) is JSON in the table's metadata. Nothing of a record is lost: `studies.write` and
`Study` turn the same values there and back. Films lie beside the table, as they lie beside an evaluation's own JSON file.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vla_course import assets
from vla_course.evaluation import record
from vla_course.evaluation.record import EvaluationRecord
from vla_course.files import replacing

KIND, EVALUATIONS = b"vla_course.kind", b"vla_course.evaluations"
STUDY = b"study"
SUFFIX = ".parquet"
SEPARATOR = "::"
"""Between a study's file and the name of one of its evaluations: "data/results/day07/towel.parquet::zero_shot"."""
NAME = "evaluation"
"""The column that says which evaluation a row belongs to."""
COLUMNS = {
    "seed": pa.int64(),
    "instruction": pa.string(),
    "success": pa.bool_(),
    "told_success": pa.bool_(),
    "touched": pa.string(),
    "failure": pa.string(),
    "steps": pa.int64(),
    "fold_error_m": pa.float64(),
    "action_change": pa.float64(),
    "sha256": pa.string(),
}
SCHEMA = pa.schema({NAME: pa.string(), **COLUMNS})
REPEATING = [NAME, "instruction", "touched", "failure", "steps"]
"""Columns with few different values: parquet keeps each value once."""


class Study(Mapping[str, EvaluationRecord]):
    """The evaluations of a study by name, in the order in which they were written. Each is checked when it is first asked for."""

    def __init__(self, path: Path, headers: Mapping[str, dict[str, Any]], table: pa.Table) -> None:
        self.path = path
        self._headers, self._table = headers, table
        self._rows: dict[str, list[int]] = {name: [] for name in headers}
        for row, name in enumerate(table.column(NAME).to_pylist()):
            self._rows[name].append(row)
        self._checked: dict[str, EvaluationRecord] = {}

    def content(self, name: str) -> dict[str, Any]:
        """What an evaluation's own JSON file would hold.

        Raises:
            KeyError: the study has no evaluation of that name.
        """
        rows = self._table.take(self._rows[name]).drop_columns([NAME]).to_pylist()
        return {**self._headers[name], "episodes": rows}

    def __getitem__(self, name: str) -> EvaluationRecord:
        """The evaluation of that name.

        Raises:
            KeyError: there is none.
            ValueError: its numbers contradict each other.
        """
        if name not in self._checked:
            source = f"{self.path.name}{SEPARATOR}{name}"
            self._checked[name] = record.from_content(self.content(name), source)
        return self._checked[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._headers)

    def __len__(self) -> int:
        return len(self._headers)


def write(evaluations: Mapping[str, EvaluationRecord | dict[str, Any]], path: str | Path) -> Path:
    """Write a study in one step. The same evaluations give the same bytes.

    An evaluation is a record, or the content of one (`Study.content`), which is kept as it stands: also where an earlier version
    of the course wrote it, under other names of settings.

    Raises:
        ValueError: the name does not end in .parquet, or there are no evaluations.
        OSError: the folder cannot be written to, or the disk is full; an old study is as it was.
    """
    target = Path(path)
    if target.suffix != SUFFIX or not evaluations:
        raise ValueError(f"want evaluations and a {SUFFIX} file, got {len(evaluations)} and {target.name!r}")
    contents = {
        name: record.to_content(one) if isinstance(one, EvaluationRecord) else {**one}
        for name, one in evaluations.items()
    }
    rows = [{NAME: name, **row} for name, content in contents.items() for row in content.pop("episodes")]
    text = json.dumps(contents, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    options = {"compression": "zstd", "compression_level": 19, "use_dictionary": REPEATING}
    with (
        replacing(target) as partial,
        pq.ParquetWriter(partial, SCHEMA, store_schema=False, write_page_checksum=True, **options) as writer,
    ):
        writer.write_table(pa.Table.from_pylist(rows, SCHEMA))
        writer.add_key_value_metadata({KIND: STUDY, EVALUATIONS: text.encode()})
    return target


def load(path: str | Path) -> Study:
    """A study from its file.

    Raises:
        FileNotFoundError: there is none.
        ValueError: the file is damaged or no study.
    """
    path = Path(path)
    with _opened(path) as file:
        metadata, table = file.metadata.metadata or {}, file.read()
    if metadata.get(KIND) != STUDY or EVALUATIONS not in metadata:
        raise ValueError(f"{path.name} is no study of evaluations")
    if table.schema.remove_metadata() != SCHEMA:
        raise ValueError(
            f"{path.name} does not fit this version of the course: its columns are {', '.join(table.column_names)}"
        )
    try:
        return Study(path, json.loads(metadata[EVALUATIONS]), table)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path.name} is damaged: {error} is said of none of its evaluations") from error


def is_study(path: Path) -> bool:
    """Whether a parquet file says of itself that it is a study.

    Raises:
        FileNotFoundError: there is none.
        ValueError: the file is damaged.
    """
    with _opened(path) as file:
        return (file.metadata.metadata or {}).get(KIND) == STUDY


@contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    """A parquet file whose checksums are compared; what is wrong with it is one error that names it."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            yield file
    except FileNotFoundError:
        raise
    except (OSError, ValueError, pa.ArrowException) as error:  # pyarrow's OSError: a checksum is wrong
        raise ValueError(f"{path.name} is damaged, it cannot be read as parquet: {error}") from error


def read(name: str) -> Study:
    """A study that is part of the course, "day07/towel" for example, wherever the course runs.

    Raises:
        FileNotFoundError: nothing was recorded under that name.
        ValueError: as `load`.
    """
    return load(assets.find(f"data/results/{name}{SUFFIX}"))


def record_at(place: str | Path, opened: dict[Path, Study] | None = None) -> EvaluationRecord:
    """One evaluation: "out.json", or "study.parquet::name".

    `opened` holds the studies that were loaded for earlier places, so that each file is read once; this one is added.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged or of another kind, or the study has no evaluation of that name.
    """
    path, name = split(place)
    if path.suffix != SUFFIX:
        return record.read(path)
    opened = {} if opened is None else opened
    if path not in opened:
        opened[path] = load(path)
    study = opened[path]
    if name not in study:
        missing = f"has no {name!r}" if name else f"holds {len(study)} evaluations"
        raise ValueError(
            f"{path.name} {missing}: name one of {', '.join(study)}, as in {path}{SEPARATOR}{next(iter(study))}"
        )
    return study[name]


def split(place: str | Path) -> tuple[Path, str]:
    """A place as file and name: "study.parquet::name" is one evaluation of a study; else the name is ""."""
    file, _, name = str(place).partition(SUFFIX + SEPARATOR)
    return (Path(file + SUFFIX), name) if name else (Path(place), "")
