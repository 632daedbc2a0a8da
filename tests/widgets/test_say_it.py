"""Whatever is typed is said at the table that was picked: two films of the same moments, the numbers, and what came of it."""

import io

import numpy as np
import pytest
from PIL import Image
from shown_pictures import shown

from vla_course.envs.table import CLOSE_CAMERA
from vla_course.envs.tabletop.config import TabletopConfig
from vla_course.envs.tabletop.env import TabletopEnv
from vla_course.envs.tabletop.language import parse
from vla_course.evaluation import tabletop_recording
from vla_course.evaluation.tabletop_recording import TABLE, lay_table, moments, record, said_at, side_by_side
from vla_course.policies.openvla import OpenVLAPolicy
from vla_course.widgets.say_it import GARMENT, SUGGESTIONS, SayIt

RED_CUBE = np.array([*TABLE["position"][0], 0.02])


class ToTheRedCube(OpenVLAPolicy):
    """Goes to where the red cube stands on the first table, whatever is said."""

    image_size = (24, 24)

    def __init__(self):
        self.heard = []

    def act(self, observations):
        self.heard += observations["instruction"]
        step = (RED_CUBE - observations["end_effector"][:, :3]) / TabletopConfig().translation_m
        rest = np.tile([0.0, 0.0, 0.0, -1.0], (len(step), 1))
        return np.clip(np.hstack([step, rest]), -1, 1)[:, None].astype(np.float32)


@pytest.fixture(scope="module")
def touched():
    return record(ToTheRedCube(), "touch the red cube")


def test_an_episode_is_kept_moment_by_moment(touched):
    steps = len(touched.actions)
    assert touched.actions.shape == (steps, 7) and 2 < steps < 40
    assert touched.seen.shape == (steps + 1, 24, 24, 3) and touched.room.shape == (steps + 1, 240, 320, 3)
    assert (touched.seen[0] != touched.seen[-1]).any() and (touched.room[0] != touched.room[-1]).any()
    assert touched.success is True and touched.outcome == f"done in {steps} steps ({steps / 5:.1f} s)"


@pytest.mark.parametrize(
    ("words", "success", "outcome"),
    [
        ("Tap the RED cube!", True, "done in"),
        ("touch the blue can", False, "failed: touched the red cube first"),
        ("touch the purple star", None, "touched the red cube after"),
        ("wave hello", None, "no task of this table"),
    ],
)
def test_what_is_said_decides_what_is_scored(words, success, outcome):
    policy = ToTheRedCube()
    one = record(policy, words)
    assert one.success is success and outcome in one.outcome
    assert set(policy.heard) == {words}


def test_letters_that_no_instruction_has_are_named():
    with pytest.raises(ValueError, match="cannot say ü ♥ here"):
        record(ToTheRedCube(), "tü♥t")


@pytest.mark.parametrize("options", [None, {"garment": GARMENT}])
def test_a_table_is_laid_again_whatever_is_said_at_it(options):
    first, again = (TabletopEnv(cameras=(CLOSE_CAMERA,), image_size=(32, 32)) for _ in range(2))
    seen, _ = first.reset(seed=5, options=options)
    for words in ("hello", "go home"):
        shown, info = again.reset(seed=0, options=said_at(lay_table(5, options), words)[0])
        assert info["instruction"] == words
        for key in ("end_effector", f"image_{CLOSE_CAMERA}"):
            np.testing.assert_array_equal(shown[key], seen[key])


def test_side_by_side_the_shorter_film_stands_still_and_tells_its_outcome_at_its_end(touched):
    longer = tabletop_recording.Recording(
        "wait",
        *(np.repeat(film[:1], 40, 0) for film in (touched.seen, touched.room)),
        touched.actions[:1],
        None,
        "?",
    )
    film = side_by_side([touched, longer])
    length, width = len(touched.room), touched.room.shape[2]
    assert len(film) == 40 and film.shape[1] % 2 == film.shape[2] % 2 == 0
    left = film[:, :, :width]
    assert (left[length - 1 :] == left[length - 1]).all() and (left[0] != left[length - 1]).any()
    told = left[:, -tabletop_recording.CAPTION_PX + 2 :]
    assert (told[: length - 1] == 255).all() and (told[length - 1] < 255).any()


def test_one_picture_has_a_row_for_each_episode_the_short_ones_padded(touched):
    room = touched.room
    short = tabletop_recording.Recording("stop", touched.seen[:2], room[:2], touched.actions[:1], False, "?")
    page = moments([touched, short], columns=4)
    row = tabletop_recording.CAPTION_PX + room.shape[1]
    assert page.shape == (2 * row, 4 * room.shape[2] + 12, 3)
    assert (page[row - 2, -320:] == room[-1][-2]).all() and (page[2 * row - 2, -320:] == 255).all()
    assert (page[row : row + tabletop_recording.CAPTION_PX] < 128).any(), "the words stand above each row"


@pytest.fixture
def widget():
    return SayIt(ToTheRedCube(), tables=3)


def press(widget, words):
    widget.words = words
    widget.asked += 1


def size(film):
    return Image.open(io.BytesIO(film)).size


def test_it_opens_with_the_first_table_and_what_can_be_said_there(widget):
    assert widget.tables == ["1", "2", "3: a T-shirt"] and widget.actions == []
    assert size(widget.room) == (320, 240) and size(widget.seen) == (24, 24)
    assert len(set(widget.ideas)) == SUGGESTIONS and widget.words in widget.ideas
    possible = tabletop_recording.tasks_of(TABLE)
    assert all(parse(idea)[0] in possible for idea in widget.ideas)
    assert {parse(idea)[0].verb for idea in widget.ideas} == {task.verb for task in possible}


def test_what_is_typed_is_acted_and_shown(widget, touched):
    before = widget.answered
    press(widget, "touch the red cube")
    assert widget.answered == before + 1
    assert widget.outcome == f"“touch the red cube”: {touched.outcome}"
    np.testing.assert_allclose(widget.actions, touched.actions, atol=6e-4)
    moments = len(touched.actions) + 1
    assert size(widget.room) == (320, 240 * moments) and size(widget.seen) == (24, 24 * moments)
    assert widget.heights == [240, 24]


def test_another_table_has_other_things_and_other_suggestions(widget):
    press(widget, "touch the red cube")
    ideas, room = widget.ideas, widget.room
    widget.table = 2
    assert widget.ideas != ideas and widget.room != room and widget.actions == []
    assert widget.ideas and all("of the blue t-shirt" in idea for idea in widget.ideas)
    press(widget, widget.ideas[0])
    assert widget.actions and widget.ideas[0] in widget.outcome


def test_words_that_cannot_be_said_leave_a_message_and_no_film(widget):
    press(widget, "touch the red cube")
    before = widget.answered
    press(widget, "tüt")
    assert "cannot say ü" in widget.outcome
    assert widget.answered == before + 1 and widget.actions == [] and size(widget.room) == (320, 240)
    press(widget, "a" * 129)
    assert "128" in widget.outcome


def test_a_policy_that_breaks_is_told_and_does_not_keep_the_button_waiting(widget, monkeypatch):
    def broken(observations):
        raise RuntimeError("CUDA out of memory")

    monkeypatch.setattr(widget._policy, "act", broken)
    before = widget.answered
    with pytest.raises(RuntimeError):
        press(widget, "touch the red cube")
    assert widget.outcome == "CUDA out of memory" and widget.answered == before + 1


def test_it_leaves_a_picture_of_an_episode(widget):
    drawn, words = shown(widget)
    assert words == widget.alt
    assert drawn.shape[0] > 350 and drawn.shape[1] > 600 and drawn.std() > 10
