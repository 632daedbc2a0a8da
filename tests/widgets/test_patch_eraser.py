import io

import numpy as np
import pytest
from PIL import Image
from shown_pictures import shown

from vla_course.widgets.patch_eraser import GREY_LEVEL, PatchEraser, erase

PICTURE = np.zeros((12, 12, 3), np.uint8)
PICTURE[:4, 8:] = 200  # of 3 × 3 patches the one at the top right


def look(picture):
    """Two dimensions: the first one follows the top right patch, the second one sees nothing."""
    centre = int(picture[:4, 8:].mean())
    probabilities = np.full((2, 255), 0.5 / 254)
    probabilities[0, centre] = probabilities[1, 7] = 0.5
    return probabilities, probabilities.argmax(1).astype(float)


def eraser():
    return PatchEraser(PICTURE, look, grid=3, names=["follows", "blind"], units=["mm", "%"])


def press(widget, *patches):
    widget.erased = [number in patches for number in range(widget.grid**2)]
    widget.asked += 1


def test_erasing_paints_the_patch_and_nothing_else():
    gone = np.zeros((3, 3), dtype=bool)
    gone[0, 2] = True
    painted = erase(PICTURE, gone)
    assert (painted[:4, 8:] == GREY_LEVEL).all()
    assert not painted[4:].any() and not painted[:, :8].any()
    assert (PICTURE[:4, 8:] == 200).all(), "the picture itself is left alone"
    assert (erase(PICTURE, np.ones((3, 3), dtype=bool)) == GREY_LEVEL).all()


def test_patches_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="12 × 12 has no 5 × 5 equal patches"):
        erase(PICTURE, np.zeros((5, 5), dtype=bool))


def test_a_patch_that_matters_moves_one_distribution():
    widget = eraser()
    assert widget.state["changed"] == [] and widget.state["erased"] == 0
    press(widget, 2)
    assert widget.state["changed"] == [0] and widget.state["erased"] == 1
    assert widget.state["action_before"] == [200.0, 7.0] and widget.state["action"] == [127.0, 7.0]
    assert np.argmax(widget.state["now"][0]) == 127 and np.argmax(widget.state["before"][0]) == 200


def test_a_patch_that_does_not_matter_moves_none():
    widget = eraser()
    press(widget, 0, 4, 8)
    assert widget.state["changed"] == [] and widget.state["erased"] == 3
    press(widget)
    assert widget.state["erased"] == 0


def test_every_answer_is_news_to_the_browser():
    widget, seen = eraser(), []
    press(widget, 0)
    widget.observe(lambda change: seen.append(change.new), names="state")
    for _ in range(3):
        press(widget, 0)
    assert len(seen) == 3


def test_what_the_browser_asks_in_two_traits_is_one_look():
    looks = []

    def counted(picture):
        looks.append(picture)
        return look(picture)

    widget = PatchEraser(PICTURE, counted, grid=3, names=["follows", "blind"], units=["mm", "%"])
    begun = len(looks)
    press(widget, 2)
    assert len(looks) == begun + 1 and widget.state["changed"] == [0]


def test_it_leaves_a_picture_of_nine_states_computed_with_what_it_was_given():
    drawn, words = shown(eraser())
    assert words == eraser().alt
    assert drawn.shape[0] > 350 and drawn.shape[1] > 700 and drawn.std() > 10
    still = PatchEraser(
        PICTURE, lambda _: look(PICTURE), grid=3, names=["follows", "blind"], units=["mm", "%"]
    )
    other = np.asarray(Image.open(io.BytesIO(still.picture())).convert("RGB"))
    assert other.shape == drawn.shape and (other != drawn).any()
