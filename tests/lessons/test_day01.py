"""In Day 01 the learner's three functions are the ones that run, and a recorded full run stands beside the live episodes."""

from pathlib import Path

import pytest
from IPython.display import Markdown
from lesson_cells import cells, run
from openvla_reference import nano

from vla_course import results
from vla_course.envs.tabletop.config import VERBS
from vla_course.evaluation import tabletop_recording
from vla_course.evaluation.episodes import EpisodeResult, Evaluation, run_episode
from vla_course.evaluation.intervals import wilson_interval
from vla_course.policies.openvla import tabletop_policy

ROOT = Path(__file__).parents[2]
STATISTICS = {"q01": [-0.3] * 7, "q99": [0.3] * 7, "mask": [True] * 6 + [False]}
NEEDED = (
    "import math",
    "# exercise",
    "policy = tabletop_policy(model, build_prompt=build_prompt)",
    "STARTS = 8",
    "live = {",
    "results.read",
    "def in_words",
    "VERBS = {",
    "def noise",
    "alone = ",
    "predictions.reveal",
    "touched_alike",
    "ways = {",
)
SMALLER = {"STARTS = 8": "STARTS = 1", "max_steps=40": "max_steps=3"}
STARTS = 50


def run_lesson(**replaced):
    """The names the lesson defines with a model that knows nothing and one live start of ten steps; some functions replaced."""
    model = nano(norm_stats={"tabletop": {"action": STATISTICS}})
    names = {"model": model, "tabletop_recording": tabletop_recording, "tabletop_policy": tabletop_policy}
    return run(cells("day01_tell_a_robot", NEEDED, SMALLER), names, **replaced)


def tables(lesson):
    return [shown.data for shown in lesson["shown"] if isinstance(shown, Markdown)]


def episodes(successes):
    """A full run in which the first `successes` starts went well, and in the others the blue can was touched."""
    rows = [("red cube", "", True)] * successes
    rows += [("blue can", "touched the blue can first", False)] * (STARTS - successes)
    return Evaluation(
        tuple(
            EpisodeResult(seed, "touch the red cube", success, not success, touched, failure, 9)
            for seed, (touched, failure, success) in enumerate(rows)
        )
    )


@pytest.fixture
def full_run(tmp_path, monkeypatch):
    """A record as the proving program writes it: 1, 2, 3 … successes in its conditions, one after the other."""
    monkeypatch.syspath_prepend(str(ROOT / "tools" / "nano"))
    import prove

    names = prove.conditions((*VERBS, prove.TOUCH_PART), blind=True)
    found = {
        name: {"model": "0" * 16, "starts": STARTS, "seconds": 1.0}
        | prove.summary(episodes(number), *name.split("/"))
        for number, name in enumerate(names, 1)
    }
    results.write(
        "nano/success", {"model": "0" * 16, "conditions": found}, seeds=range(STARTS), root=tmp_path
    )
    monkeypatch.setenv("VLA_COURSE_ASSETS", str(tmp_path))
    return found


def percent(row, counted="successes"):
    low, high = wilson_interval(row[counted], STARTS)
    return f"{100 * row[counted] / STARTS:.0f} % ({100 * low:.0f}–{100 * high:.0f} %)"


def test_the_full_run_stands_in_every_table_and_beside_the_live_episodes(full_run, capsys):
    lesson = run_lesson()
    splits, treated = tables(lesson)
    for table, ways in ((splits, lesson["SPLITS"].values()), (treated, lesson["ways"])):
        rows = [row.strip("| ").split(" | ") for row in table.splitlines()[2:]]
        for verb, row in zip(lesson["VERBS"], rows, strict=True):
            assert row[1:] == [percent(full_run[f"{verb}/{way}"]) for way in ways]
    recorded = f"the nano, recorded, {STARTS} starts"
    assert all(set(row) == {"live, 1 starts", recorded} for row in lesson["touched"].values())
    broken = lesson["broken"]
    assert list(broken["a blind model"]) == [recorded] and len(broken) == 6
    for name, condition, counted in (
        ("noise for the picture", "noise", "successes"),
        ("wrong words: the thing said", "wrong_words", "did_what_was_said"),
        ("no such thing: touches anything", "absent", "touched_anything"),
    ):
        assert lesson["in_words"](broken[name][recorded]) == percent(full_run[f"touch/{condition}"], counted)
    said = capsys.readouterr().out
    assert "recorded 2" in said and f"in {STARTS} of {STARTS} episodes" in said
    assert f"Measured: {100 * full_run['touch/noise']['successes'] / STARTS:.3g}." in said


def test_what_the_lesson_says_of_parts_of_garments_was_measured():
    rows = results.read("nano/success").values["conditions"]
    blind = {
        verb: rows[f"{verb}/blind"]
        for verb in ("touch", "touch_part", "push_to", "push_direction", "pick_up", "put")
    }
    assert blind["touch_part"]["low"] > 0.5 and rows["touch_part/seen"]["low"] > blind["touch_part"]["high"]
    assert all(row["high"] < 0.25 for verb, row in blind.items() if verb != "touch_part")
    assert rows["touch_part/noise"]["high"] < blind["touch_part"]["low"], "random pixels mislead"


def test_what_the_lesson_says_of_pushing_in_new_words_was_measured():
    rows = results.read("nano/success").values["conditions"]
    for row in (rows["push_to/unseen_phrasing"], rows["push_to/unseen_both"]):
        assert (
            row["failures"]["held something"] > row["starts"] / 2
            and row["touched_what_was_said"] > row["starts"] / 2
        )
    assert (
        min(row["low"] for name, row in rows.items() if "/unseen_" in name and not name.startswith("push_to"))
        > 0.4
    )


def test_without_a_full_run_the_lesson_says_so_and_goes_on(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(results, "read", lambda name: results.load(tmp_path / name))
    lesson = run_lesson()
    assert tables(lesson) == ["*(Nothing recorded yet.)*"] * 2
    assert "No full run is recorded" in capsys.readouterr().out
    assert "a blind model" not in lesson["broken"] and len(lesson["broken"]) == 5


def test_the_learners_functions_are_the_ones_that_run(full_run):
    heard = []

    def shouted(instruction):
        heard.append(instruction)
        return f"In: {instruction.upper()}\nOut:"

    def over_is_success(*arguments, **named):
        return True, run_episode(*arguments, **named)[1]

    lesson = run_lesson(
        build_prompt=shouted, run_episode=over_is_success, wilson_interval=lambda successes, n: (0.0, 0.5)
    )
    assert any("purple star" in words for words in heard)
    assert all(row["live, 1 starts"] == (1.0, 0.0, 0.5) for row in lesson["touched"].values())
    assert "(0–50 %)" in tables(lesson)[0]
