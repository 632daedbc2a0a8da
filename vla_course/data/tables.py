"""Parquet and JSON files that are there whole or not at all, and errors that name the file."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vla_course.files import PARTIAL


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        ValueError: there is none; the file is named.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds no JSON object")
    return found


def read_table(path: Path, whose: str) -> pa.Table:
    """All of a parquet file, which is looked into for the sake of `whose` ("episode 3").

    Raises:
        ValueError: it is missing or damaged; file and episode are named.
    """
    try:
        return pq.ParquetFile(path).read()
    except (OSError, pa.ArrowException) as error:
        raise ValueError(f"{whose}: {path} cannot be read as parquet: {error}") from error


def column(table: pa.Table, name: str, path: Path) -> np.ndarray:
    """One column as numbers, (T,), or (T, A) where each row is a list; `path` is where the table came from.

    Raises:
        ValueError: there is no such column, or its rows are lists of different lengths.
    """
    if name not in table.column_names:
        raise ValueError(f"{path} has no column {name!r}: it has {', '.join(table.column_names)}")
    column = table.column(name).combine_chunks()
    if not pa.types.is_nested(column.type):
        return np.asarray(column)
    flat = np.asarray(column.flatten())
    if len(column) == 0 or len(flat) % len(column):
        raise ValueError(f"{path}: the rows of {name!r} do not all have as many numbers")
    return flat.reshape(len(column), -1)


def write(path: Path, content: bytes | dict[str, Any] | pa.Table | list[pa.Table]) -> None:
    """Write beside, then rename: a file is there whole or not at all. Of several tables each becomes a row group."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = beside(path)
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


def beside(path: Path) -> Path:
    """A name in the same folder for what is not finished yet."""
    return path.with_name(f"{PARTIAL}{os.getpid()}.{path.name}")
