"""Where files are found: an override, the checkout, the cache, a checked download."""

import hashlib
import io
import re
import tomllib
import urllib.request
from pathlib import Path

import pytest

from vla_course import assets

NAME, CONTENT = "data/pictures/dot.png", b"a dot"


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """No checkout, an empty cache, and a manifest of one file."""
    monkeypatch.delenv("VLA_COURSE_ASSETS", raising=False)
    monkeypatch.setattr(assets, "is_checkout", lambda: False)
    monkeypatch.setattr(assets, "manifest", lambda: {NAME: hashlib.sha256(CONTENT).hexdigest()})
    monkeypatch.setattr(assets.platformdirs, "user_cache_dir", lambda _: str(tmp_path / "cache"))


def serve(monkeypatch, content: bytes) -> list[str]:
    asked: list[str] = []

    def urlopen(url, timeout):
        asked.append(url)
        return io.BytesIO(content)

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    return asked


def test_a_checkout_has_its_own_files():
    assert assets.find("pyproject.toml") == assets.CHECKOUT / "pyproject.toml"


def test_the_override_comes_first(monkeypatch, tmp_path):
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.setenv("VLA_COURSE_ASSETS", str(tmp_path))
    assert assets.find("pyproject.toml") == tmp_path / "pyproject.toml"


def test_an_installed_package_downloads_once_from_the_tag(installed, monkeypatch):
    asked = serve(monkeypatch, CONTENT)
    path = assets.find(NAME)
    assert path.read_bytes() == CONTENT
    assert assets.find(NAME) == path
    tag = f"/v{assets.version()}/{NAME}"
    assert asked == [assets.address().replace("github.com", "raw.githubusercontent.com") + tag]


def test_a_folder_is_downloaded_file_by_file(installed, monkeypatch):
    names = ("data/demos/towel/meta/info.json", "data/demos/towel/data/a/b.parquet")
    digest = hashlib.sha256(CONTENT).hexdigest()
    monkeypatch.setattr(assets, "manifest", lambda: dict.fromkeys([NAME, *names], digest))
    asked = serve(monkeypatch, CONTENT)
    folder = assets.find_folder("data/demos/towel")
    assert [(folder / name.removeprefix("data/demos/towel/")).read_bytes() for name in names] == [CONTENT] * 2
    assert len(asked) == 2 and folder.name == "towel"
    with pytest.raises(FileNotFoundError, match="data/demos/shirt"):
        assets.find_folder("data/demos/shirt")


def test_a_folder_of_the_checkout_is_where_it_is():
    assert assets.find_folder("data/pictures") == assets.CHECKOUT / "data" / "pictures"


def test_a_damaged_cache_is_downloaded_again(installed, monkeypatch):
    asked = serve(monkeypatch, CONTENT)
    assets.find(NAME).write_bytes(b"half a d")
    assert assets.find(NAME).read_bytes() == CONTENT
    assert len(asked) == 2


def test_a_damaged_download_is_refused_and_leaves_nothing(installed, monkeypatch, tmp_path):
    serve(monkeypatch, b"something else")
    with pytest.raises(OSError, match="another sha256"):
        assets.find(NAME)
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


def test_no_network_is_one_clear_message(installed, monkeypatch):
    def urlopen(url, timeout):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    with pytest.raises(OSError, match="VLA_COURSE_ASSETS"):
        assets.find(NAME)


def test_unknown_names_and_names_outside_are_refused(installed):
    with pytest.raises(FileNotFoundError, match="not part of this version"):
        assets.find("data/no_such_file")
    for name in ("/etc/passwd", "data/../../secret", ""):
        with pytest.raises(ValueError, match="relative to the repository"):
            assets.find(name)


def test_the_address_is_the_one_in_pyproject():
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert assets.address() == project["urls"]["Repository"]
    assert re.fullmatch(r"https://github\.com/[\w-]+/[\w-]+", assets.address())
