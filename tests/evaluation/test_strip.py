import errno
import io
import json
import os

import numpy as np
import pytest
from PIL import Image

from vla_course import assets, progress
from vla_course.envs.folding.expert import FoldingExpert
from vla_course.evaluation import strip


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("VLA_COURSE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(assets, "manifest", dict)


def paint(value):
    return np.full((strip.FRAMES, 20, 30, 3), value, np.uint8)


def row(policy, order, **changed):
    return strip.Row(
        policy,
        f"day{order:02d}",
        **{"success": True, "fold_error_m": 0.004, "steps": 250, "order": order} | changed,
    )


def test_an_empty_strip_says_what_to_do():
    with pytest.raises(ValueError, match=r"strip\.run"):
        strip.show()


def test_rows_stand_in_the_order_of_the_days():
    for policy, order in (("PPO", 13), ("Zero-shot", 1), ("Expert", 3)):
        strip.keep(row(policy, order), paint(100), progress.home() / "strip")
    assert [entry[0].policy for entry in strip.rows()] == ["Zero-shot", "Expert", "PPO"]


def test_the_learners_row_takes_the_place_of_the_recorded_one(tmp_path, monkeypatch):
    recorded = tmp_path / "data" / "strip"
    for policy, order in (("Zero-shot", 1), ("Expert", 3)):
        strip.keep(row(policy, order, steps=111), paint(50), recorded)
    names = {f"data/strip/{path.name}": "" for path in recorded.iterdir()}
    monkeypatch.setattr(assets, "manifest", lambda: names)
    monkeypatch.setattr(assets, "find", lambda name: tmp_path / name)
    strip.keep(row("Expert", 3, steps=222), paint(200), progress.home() / "strip")
    found = {entry[0].policy: (entry[0].steps, entry[2]) for entry in strip.rows()}
    assert found == {"Zero-shot": (111, False), "Expert": (222, True)}
    assert "recorded" in strip.show().alt


def test_a_row_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    strip.keep(row("Expert", 3, steps=111), paint(50), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        strip.keep(row("Expert", 3, steps=222), paint(200), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_show_says_in_words_what_it_shows():
    strip.keep(row("Zero-shot", 1, success=False, fold_error_m=0.21), paint(100), progress.home() / "strip")
    shown = strip.show()
    assert "Zero-shot (day 01): not folded, error 210 mm" in shown.alt
    assert Image.open(io.BytesIO(shown.data)).width > 800


def test_a_run_keeps_its_row_and_is_the_same_every_time():
    env = strip.make_env()
    first = strip.run("Expert!", "day03", FoldingExpert(env).act, env)
    assert first.success and first.order == 3 and first.file == "expert"
    folder = progress.home() / "strip"
    assert json.loads((folder / "expert.json").read_text())["steps"] == first.steps
    width, height = Image.open(folder / "expert.jpg").size
    assert width > strip.FRAMES * strip.FRAME_SIZE[1] and height == strip.FRAME_SIZE[0]
    again = strip.run("Expert!", "day03", FoldingExpert(env).act, env)
    assert (again.steps, again.fold_error_m) == (first.steps, first.fold_error_m)


def test_a_policy_that_does_nothing_gets_a_row_too():
    env = strip.make_env()
    idle = strip.run("Idle", "day01", lambda observation: np.zeros(61), env)
    assert not idle.success and idle.steps == env.time_limit_steps
    assert idle.fold_error_m > 0.1
