"""Parquet and JSON files that are there whole or not at all, and errors that name the file."""

import json
import reprlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vla_course.files import read_object, replacing

LARGEST = float(np.finfo(np.float32).max)
"""Above it a number is none that a robot or a clock tells."""


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file that a data set must have.

    Raises:
        ValueError: it is not there or damaged; the message names it.
    """
    try:
        return read_object(path)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error}") from error


def whole_number(value: Any, what: str, path: Path) -> int:
    """`value` if it is a whole number of at least 0; `what` it is, and the file at `path` that says so, are named if it is not.

    Raises:
        ValueError: it is something else.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{path}: {what} must be a whole number of at least 0, found {reprlib.repr(value)}")
    return value


def real_number(value: Any, what: str, path: Path) -> int | float:
    """`value` if it is a finite number; otherwise as `whole_number`.

    Raises:
        ValueError: it is something else.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < LARGEST:
        raise ValueError(f"{path}: {what} must be a finite number, found {reprlib.repr(value)}")
    return value


def read_table(
    path: Path, whose: str, *, columns: Sequence[str] | None = None, without: Sequence[str] = ()
) -> pa.Table:
    """A parquet file, which is looked into for the sake of `whose` ("episode 3"): all of it, or the columns that are wanted.

    Raises:
        ValueError: it is missing or damaged; file and episode are named.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            there = [name for name in file.schema_arrow.names if name not in without]
            return file.read(there if columns is None else [name for name in columns if name in there])
    except (OSError, ValueError, pa.ArrowException) as error:
        raise ValueError(f"{whose}: {path} cannot be read as parquet: {error}") from error


def column(table: pa.Table, name: str, path: Path) -> np.ndarray:
    """One column as numbers, (T,), or (T, A) where each row is a list; `path` is where the table came from.

    Raises:
        ValueError: there is no such column, it holds no numbers or not in every row, or its rows are lists of different lengths.
    """
    if name not in table.column_names:
        raise ValueError(f"{path} has no column {name!r}: it has {', '.join(table.column_names)}")
    column = table.column(name).combine_chunks()
    rows, kind = len(column), column.type
    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    flat = column.flatten() if lists else column
    if not (
        pa.types.is_integer(flat.type) or pa.types.is_floating(flat.type) or pa.types.is_boolean(flat.type)
    ):
        raise ValueError(f"{path}: {name!r} must hold numbers, found {kind}")
    if column.null_count or flat.null_count:
        raise ValueError(f"{path}: a number of {name!r} is missing")
    if not lists:
        return np.asarray(flat)
    if rows == 0 or len(flat) % rows or len(np.unique(column.value_lengths())) != 1:
        raise ValueError(f"{path}: the rows of {name!r} do not all have as many numbers")
    return np.asarray(flat).reshape(rows, -1)


def write(path: Path, content: bytes | dict[str, Any] | pa.Table | list[pa.Table]) -> None:
    """Replace a file in one step: it is there whole or not at all. Of several tables each becomes a row group."""
    with replacing(path) as partial:
        if isinstance(content, bytes):
            partial.write_bytes(content)
        elif isinstance(content, dict):
            partial.write_text(json.dumps(content, indent=4, ensure_ascii=False) + "\n", encoding="utf-8")
        else:
            tables = content if isinstance(content, list) else [content]
            with pq.ParquetWriter(
                partial, tables[0].schema, compression="snappy", write_page_checksum=True
            ) as writer:
                for table in tables:
                    writer.write_table(table)
