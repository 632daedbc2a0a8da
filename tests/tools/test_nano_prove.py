"""The program that judges the nano: what it counts, and that it goes on where it was."""

import json
from pathlib import Path

import pytest
from openvla_reference import nano

from vla_course import results
from vla_course.evaluation.episodes import EpisodeResult, Evaluation

TOOLS = Path(__file__).parents[2] / "tools" / "nano"


@pytest.fixture
def prove(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    import prove

    return prove


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two models that know nothing, with seven numbers to say."""
    statistics = {"q01": [-0.3] * 7, "q99": [0.3] * 7, "mask": [True] * 6 + [False]}
    folder = tmp_path_factory.mktemp("nano")
    for seed, name in enumerate(("model", "blind")):
        nano(seed, norm_stats={"tabletop": {"action": statistics}}).save_pretrained(folder / name)
    return folder


def test_every_condition_is_measured_and_kept(prove, folders, tmp_path):
    models = prove.Models(folders / "model", folders / "blind", 2)
    proof = tmp_path / "proof.json"
    names = [
        "touch/unseen_both",
        "touch_part/seen",
        "put/wrong_words",
        "touch/noise",
        "touch/blind",
        "touch/absent",
    ]
    found = prove.run(models, names, proof, workers=1)
    assert list(found) == names and json.loads(proof.read_text()) == found
    assert (
        found["touch/blind"]["model"] == prove.fingerprint(folders / "blind") != found["touch/noise"]["model"]
    )
    assert "successes" not in found["touch/absent"] and found["put/wrong_words"]["did_what_was_said"] is None
    for row in found.values():
        assert row["starts"] == 2 and row["seconds"] > 0
    assert len(found["touch_part/seen"]["outcomes"]) == 2


def test_what_is_measured_is_not_measured_again(prove, folders, tmp_path, monkeypatch):
    measured = []
    monkeypatch.setattr(
        prove, "measure", lambda models, name: measured.append(name) or models.key(name) | ROW
    )
    models, proof = prove.Models(folders / "model", folders / "blind", 2), tmp_path / "proof.json"
    prove.run(models, ["touch/seen"], proof, 1)
    prove.run(models, ["touch/seen", "touch/blind"], proof, 1)
    assert measured == ["touch/seen", "touch/blind"]
    # Another blind model changes its own rows only; another number of starts changes all.
    prove.run(prove.Models(folders / "model", folders / "model", 2), ["touch/seen", "touch/blind"], proof, 1)
    assert measured[2:] == ["touch/blind"]
    prove.run(prove.Models(folders / "model", None, 3), ["touch/seen"], proof, 1)
    assert measured[3:] == ["touch/seen"]


def test_all_conditions_have_names(prove):
    names = prove.conditions(["touch", "put"], blind=True)
    assert len(names) == len(set(names)) == 2 * 4 + 2 * 3 + 1
    assert names[:2] == ["touch/seen", "touch/unseen_combination"]
    assert "put/absent" not in names and "touch/blind" not in prove.conditions(["touch"], blind=False)


def test_a_condition_in_numbers(prove):
    said, red = "touch the blue can", "red can"
    episodes = (
        EpisodeResult(0, said, True, True, "blue can", "", 6),
        EpisodeResult(1, said, False, False, red, f"touched the {red} first", 8),
        EpisodeResult(2, said, False, True, "blue can", "touched the blue can first", 7),
        EpisodeResult(3, said, False, False, "", "", 40),
        EpisodeResult(4, "push the blue can to the left", False, False, red, "the red cube was disturbed", 4),
    )
    row = prove.summary(Evaluation(episodes), "touch", "wrong_words")
    assert row["outcomes"] == "10000" and row["successes"] == 1
    assert (row["touched_anything"], row["touched_what_was_said"], row["did_what_was_said"]) == (4, 2, 2)
    assert row["failures"] == {
        "touched something else first": 1,
        "touched what was said, not what is scored": 1,
        "out of time": 1,
        "disturbed something else": 1,
    }
    assert row["low"] < 0.2 < row["high"] and row["steps"] == 13
    assert prove.summary(Evaluation(episodes[1:2]), "touch", "absent")["touched_alike"] == 1


def test_absent_things_are_absent(prove):
    from vla_course.envs.tabletop.env import TabletopEnv
    from vla_course.envs.tabletop.language import parse

    env, options = TabletopEnv(), {"task": "touch", "split": "seen"}
    for seed in range(5):
        task, phrasing = parse(prove._absent(env, seed, options))
        env.reset(seed=seed, options=options)
        assert task.target not in env.start.things and phrasing.seen and not task.held_out


def test_asking_what_is_absent_disturbs_no_episode(prove, folders, monkeypatch):
    """Four starts in two worlds: the third and fourth begin while others act."""
    from vla_course.envs.tabletop.language import parse

    summed = []
    monkeypatch.setattr(prove, "TOGETHER", 2)
    monkeypatch.setattr(prove, "summary", lambda found, verb, way: summed.extend(found.episodes) or {})
    prove.measure(prove.Models(folders / "model", None, 4), "touch/absent")
    (env,) = prove._environments(False, 1, (84, 84))
    for seed, episode in enumerate(summed):
        env.reset(seed=seed, options={"task": "touch", "split": "seen"})
        assert episode.seed == seed and parse(episode.instruction)[0].target not in env.start.things
        assert episode.instruction == prove._absent(env, seed, {"task": "touch", "split": "seen"})


def test_the_record_follows_the_schema(prove, folders, monkeypatch, tmp_path):
    monkeypatch.setattr(results.assets, "CHECKOUT", tmp_path)
    monkeypatch.setattr(results.assets, "is_checkout", lambda: True)
    models = prove.Models(folders / "model", None, 2)
    path = prove.record(models, {"touch/seen": ROW})
    record = results.load(path)
    assert path == tmp_path / "data/results/nano/success.json" and record.seeds == [0, 1]
    assert record.values["conditions"]["touch/seen"]["successes"] == 1
    assert record.values["model"] == prove.fingerprint(folders / "model")


def test_card_and_record_are_about_the_weights_that_ship(prove):
    import card

    found = results.read("nano/success").values
    assert found["model"] == prove.fingerprint(card.CARD.parent)
    wanted = prove.conditions([*prove.VERBS, prove.TOUCH_PART], blind=True)
    assert set(found["conditions"]) == set(wanted)
    for name, row in found["conditions"].items():
        assert row["starts"] == prove.STARTS, name
        assert (row["model"] == found["model"]) == (not name.endswith("/blind")), name
    assert found["conditions"]["touch/absent"]["touched_what_was_said"] == 0, (
        "nobody touches what is not there"
    )
    text = card.CARD.read_text(encoding="utf-8")
    assert card.with_table(text, found["conditions"]) == text, "run tools/nano/card.py"


def test_a_card_without_a_place_for_the_table_is_refused(prove):
    import card

    with pytest.raises(ValueError, match="no place for a table"):
        card.with_table("# a card", {})


ROW = {
    "successes": 1, "touched_anything": 1, "touched_what_was_said": 1, "seconds": 1.0, "starts": 2, "touched_alike": 0,
}  # fmt: skip
