import jaxtyping
import numpy as np
import pytest

from vla_course.envs.arguments import check_known, check_size, checked_action, pinned_value


@pytest.fixture(autouse=True)
def as_learners_run(monkeypatch):
    """Without the shape checks of the test suite, as in a notebook."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


def test_an_unknown_name_comes_with_the_known_ones():
    check_known("arm", ["left", "right"], iter(["left", "right"]))
    with pytest.raises(ValueError, match=r"^unknown arm 'middle': the known ones are left, right$"):
        check_known("arm", ["left", "middle"], {"left": 1, "right": 2})


@pytest.mark.parametrize("size", [(0, 84), (84, -1), (84,), (84, 84, 3)])
def test_a_size_is_a_height_and_a_width(size):
    check_size("image_size", (1, 84))
    with pytest.raises(ValueError, match="image_size is a height and a width in pixels"):
        check_size("image_size", size)


def test_an_action_is_clipped_in_a_new_array():
    action = np.array([-3.0, 0.25, 1e39])
    assert checked_action(action, 3, "").tolist() == [-1.0, 0.25, 1.0]
    assert action.tolist() == [-3.0, 0.25, 1e39]
    inside = np.array([0.5, -0.5])
    assert not np.shares_memory(checked_action(inside, 2, ""), inside)
    single = checked_action(np.float32([0.1, 0.2]), 2, "")
    assert single.dtype == np.float64 and single.tolist() == np.float32([0.1, 0.2]).tolist()


def test_a_bad_action_says_what_was_wanted():
    with pytest.raises(ValueError, match=r"^an action has shape \(2,\), two forces; this has \(3,\)$"):
        checked_action(np.zeros(3), 2, "two forces")
    for value in (np.nan, np.inf, -np.inf):
        with pytest.raises(ValueError, match=rf"^action\[1\] is {value}: actions must be finite"):
            checked_action(np.array([0.0, value]), 2, "two forces")


def test_a_pinned_value_takes_the_shape_of_what_it_replaces():
    assert pinned_value("noise", 0.5, np.zeros(3)).tolist() == [0.5] * 3
    assert pinned_value("yaw", 1, 0.3) == 1.0 and isinstance(pinned_value("yaw", 1, 0.3), float)
    assert pinned_value("table", np.int64(2), 0, count=3) == 2
    for arguments, message in (
        ((np.zeros(2), np.zeros(3)), r"'noise' wants numbers of shape \(3,\)"),
        ((np.nan, 0.0), "'noise' holds nan: give finite numbers"),
    ):
        with pytest.raises(ValueError, match=message):
            pinned_value("noise", *arguments)
    for index in (True, 3, -1, 1.0, "oak"):
        with pytest.raises(ValueError, match="'table' is an index from 0 to 2"):
            pinned_value("table", index, 0, count=3)
