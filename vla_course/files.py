"""Files that are whole or not there, their hashes, and folders in which one process at a time writes."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

PARTIAL = ".writing-"
"""How the name of a file or folder begins that is still being written; what a killed process left has such a name."""
LOCK = ".lock"


class InUseError(OSError):
    """Another process writes in this folder."""


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A path to write to, beside `path`, that takes its place at once when the block ends without an error.

    The new file is flushed to the disk first. After an error it is removed, and `path` is as it was.

    Raises:
        OSError: the folder cannot be written to, or the disk is full.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=PARTIAL, suffix=path.suffix)
    os.close(descriptor)
    partial = Path(name)
    try:
        yield partial
        _put(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def replacing_files(folder: str | Path) -> Iterator[Path]:
    """An empty folder to write files into, inside `folder`; they move into it when the block ends without an error.

    Each file takes its place at once, in the order of their names. After an error all files of `folder` are as they were.

    Raises:
        OSError: the folder cannot be written to, or the disk is full.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=folder, prefix=PARTIAL))
    try:
        yield partial
        for path in sorted(partial.iterdir()):
            _put(path, folder / path.name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _put(partial: Path, path: Path) -> None:
    """Give a finished file its name, once it is on the disk."""
    with open(partial, "rb+") as file:
        os.fsync(file.fileno())
    partial.chmod(0o644)  # mkstemp makes files that only their owner may read
    os.replace(partial, path)


def write_text(path: str | Path, text: str) -> None:
    """Replace a text file in one step.

    Raises:
        OSError: the folder cannot be written to, or the disk is full; the old file is as it was.
    """
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


@contextmanager
def writing_alone(folder: str | Path, wait_s: float = 0.0) -> Iterator[None]:
    """Hold the lock of a folder while the block runs; it is given up when the process dies, however it dies.

    Raises:
        InUseError: another process holds it, and still did after `wait_s` seconds.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=wait_s, poll_interval=0.01)
    except Timeout as error:
        raise InUseError(
            f"{folder} is in use: another process is writing there. Wait until it has ended, or name another folder"
        ) from error
    try:
        yield
    finally:
        lock.release()


def remove_partials(folder: str | Path) -> None:
    """Remove what killed processes left half-written in this folder and below; the caller holds the folder's lock.

    Raises:
        OSError: one of them cannot be removed.
    """
    for partial in sorted(Path(folder).rglob(f"{PARTIAL}*")):
        if partial.is_dir():
            shutil.rmtree(partial)
        else:
            partial.unlink(missing_ok=True)


def sha256_of(path: str | Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_object(path: str | Path) -> dict[str, Any]:
    """The content of a JSON file that holds an object.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no JSON, or no object; the message names the file.
    """
    try:
        content = json.loads(Path(path).read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged, it holds no JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} is damaged: want a JSON object, it holds a {type(content).__name__}")
    return content
