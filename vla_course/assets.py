"""Where a checkpoint, a data set, a picture or a recorded result lies.

A checkout has everything under `data/`. An installed package (on Colab, say) downloads a file when it is first asked
for: from the repository at the tag of this version, checked against the sha256 that the package carries, kept in the
user's cache. The environment variable VLA_COURSE_ASSETS names a folder that is looked into before both.
"""

import os
import urllib.request
from functools import cache
from importlib import metadata
from pathlib import Path, PurePosixPath

import platformdirs

from vla_course.files import replacing, sha256_of

CHECKOUT = Path(__file__).resolve().parents[1]
MANIFEST = Path(__file__).with_name("assets.sha256")


def find(name: str) -> Path:
    """The local file (or, in a checkout, folder) with this name, `data/pictures/tshirt.png` for example.

    Raises:
        ValueError: the name is absolute or leaves the repository.
        FileNotFoundError: nothing of that name belongs to this version of the course.
        OSError: the file has to be downloaded and could not be, or arrived damaged.
    """
    parts = PurePosixPath(name)
    if parts.is_absolute() or ".." in parts.parts or not parts.parts:
        raise ValueError(
            f"an asset's name is relative to the repository, like data/pictures/x.png; got {name!r}"
        )
    override = os.environ.get("VLA_COURSE_ASSETS")
    folders = ([Path(override)] if override else []) + ([CHECKOUT] if is_checkout() else [])
    for folder in folders:
        if (folder / parts).exists():
            return folder / parts
    known = manifest()
    if name not in known:
        raise FileNotFoundError(f"{name} is not part of this version of the course (vla-course {version()})")
    cached = Path(platformdirs.user_cache_dir("vla_course")) / f"v{version()}" / parts
    if not (cached.exists() and sha256_of(cached) == known[name]):
        _download(name, known[name], cached)
    return cached


def find_folder(name: str) -> Path:
    """The local folder with this name, `data/demos/towel` for example; an installed package downloads every file of it.

    Raises: as `find`.
    """
    try:
        return find(name)
    except FileNotFoundError:
        files = [known for known in manifest() if known.startswith(f"{name}/")]
        if not files:
            raise
    first, *_ = [find(file) for file in files]
    return first.parents[len(PurePosixPath(files[0]).relative_to(name).parts) - 1]


def is_checkout() -> bool:
    """Whether the package runs from a clone of the repository rather than from an installed wheel."""
    return (CHECKOUT / "pyproject.toml").exists() and (CHECKOUT / "lessons").is_dir()


def version() -> str:
    """The version of the course, which is also the tag that files are downloaded from."""
    return str(metadata.version("vla-course"))


def address() -> str:
    """The repository's address, as pyproject.toml gives it to the installed package."""
    urls = metadata.metadata("vla-course").get_all("Project-URL") or []
    found: dict[str, str] = dict(url.split(", ", 1) for url in urls)
    return found["Repository"]


@cache
def manifest() -> dict[str, str]:
    """The sha256 of every file that can be downloaded, by name; written by tools/list_assets.py."""
    lines = MANIFEST.read_text(encoding="utf-8").splitlines() if MANIFEST.exists() else []
    return {name: digest for digest, name in (line.split("  ", 1) for line in lines)}


def _download(name: str, digest: str, target: Path) -> None:
    """Fetch one file from this version's tag, or from the main branch while the version is not tagged yet."""
    raw = address().replace("https://github.com", "https://raw.githubusercontent.com", 1)
    problems = []
    for reference in (f"v{version()}", "main"):
        url = f"{raw}/{reference}/{name}"
        try:
            _download_from(url, digest, target)
            return
        except OSError as error:
            problems.append(f"{url}: {error}")
    raise OSError(
        f"could not download {'; '.join(problems)}. Check the network, or put the file under a folder of your own as "
        f"{name} and name that folder in VLA_COURSE_ASSETS."
    )


def _download_from(url: str, digest: str, target: Path) -> None:
    with replacing(target) as partial:
        with partial.open("wb") as file, urllib.request.urlopen(url, timeout=60) as response:
            while block := response.read(1 << 20):
                file.write(block)
        if sha256_of(partial) != digest:
            raise OSError("what arrived has another sha256 than this version expects")
