import io
import threading

import numpy as np
import pytest
from PIL import Image
from shown_pictures import shown

from vla_course.robot.inverse_kinematics import damped_least_squares
from vla_course.robot.two_arms import JOINT_NAMES
from vla_course.widgets.ik_playground import IKPlayground, elbow_jacobian, elbow_position
from vla_course.widgets.joint_sliders import robot_sliders


def decoded(widget):
    assert "application/vnd.jupyter.widget-view+json" in widget._repr_mimebundle_()[0]
    drawn, words = shown(widget)
    assert words == widget.alt
    return drawn


def test_planar_jacobian_is_the_slope_of_the_hand():
    angles = np.array([0.4, -1.1])
    for joint in range(2):
        nudged = angles + 1e-6 * np.eye(2)[joint]
        slope = (elbow_position(nudged)[2] - elbow_position(angles)[2]) / 1e-6
        np.testing.assert_allclose(slope, elbow_jacobian(angles)[:, joint], atol=1e-5)


def test_playground_reaches_a_target_that_it_can_reach():
    playground = IKPlayground(damped_least_squares)
    before = playground.state["distance"]
    for tick in range(1, 30):
        playground.tick = tick
    assert before > 0.1 and playground.state["distance"] < 1e-4
    assert playground.state["step"] < 1e-3


def test_playground_moves_with_the_function_it_was_given():
    calls = []

    def never(jacobian, error, damping):
        calls.append((jacobian.shape, error.shape, damping))
        return np.zeros(2)

    playground = IKPlayground(never, damping=0.3)
    before = playground.state["points"]
    playground.tick = 1
    np.testing.assert_allclose(playground.state["points"], before)
    assert calls == [((2, 2), (2,), 0.3)]


def test_playground_shows_what_damping_buys_out_of_reach():
    largest = {}
    for damping in (0.0, 0.2):
        playground = IKPlayground(damped_least_squares, damping=damping)
        playground.target = [1.3, 0.2]
        steps = []
        for tick in range(1, 60):
            playground.tick = tick
            steps.append(playground.state["step"])
        largest[damping] = max(steps)
        assert np.isfinite(np.array(playground.state["points"])).all()
    assert largest[0.0] > 1.0 > 0.2 > largest[0.2]


def test_playground_survives_a_singular_matrix():
    playground = IKPlayground(damped_least_squares, damping=0.0)
    playground._angles = np.zeros(2)
    playground.tick = 1
    assert playground.state["step"] > 1e6
    assert np.isfinite(np.array(playground.state["points"])).all()


def test_every_answer_is_news_to_the_browser():
    playground = IKPlayground(lambda jacobian, error, damping: np.zeros(2))
    seen = []
    playground.observe(lambda change: seen.append(change.new), names="state")
    for tick in (1, 2, 3):
        playground.tick = tick
    assert len(seen) == 3


def test_playground_leaves_a_picture_of_nine_states():
    pixels = decoded(IKPlayground(damped_least_squares))
    assert pixels.shape[0] > 500 and pixels.shape[1] > 700
    assert pixels.std() > 10
    # A function that never moves gives another picture: the picture is computed, not stored.
    still = decoded(IKPlayground(lambda jacobian, error, damping: np.zeros(2)))
    assert still.shape == pixels.shape and (still != pixels).any()


@pytest.fixture(scope="module")
def sliders():
    return robot_sliders()


def test_sliders_cover_the_sixty_joints(sliders):
    assert len(sliders.joints) == len(sliders.angles) == 60
    for row, name, angle in zip(sliders.joints, JOINT_NAMES, sliders.home, strict=True):
        assert name.endswith(row["name"]) and row["part"].startswith(name.split("_")[0])
        assert row["low"] - 1e-6 <= angle <= row["high"] + 1e-6


def test_moving_a_slider_moves_the_robot(sliders):
    def shown():
        return np.asarray(Image.open(io.BytesIO(sliders.jpeg)).convert("RGB")).astype(int)

    home, drawn = shown(), sliders.drawn
    angles = list(sliders.home)
    angles[JOINT_NAMES.index("right_shoulder_pan")] += 0.7
    sliders.angles = angles
    assert sliders.drawn == drawn + 1
    assert (np.abs(shown() - home).max(axis=2) > 40).mean() > 0.02
    sliders.part = "right thumb"
    assert sliders.drawn == drawn + 2
    sliders.part, sliders.angles = sliders.joints[0]["part"], sliders.home


def test_a_slider_moves_its_joint_and_home_brings_all_back(sliders):
    number = JOINT_NAMES.index("left_elbow")
    slider = sliders.sliders[number]
    assert slider.description == "elbow" and slider.value == pytest.approx(sliders.home[number])
    drawn = sliders.drawn
    slider.value = -1.0
    assert sliders.angles[number] == -1.0 and sliders.drawn == drawn + 1
    assert sum(a != b for a, b in zip(sliders.angles, sliders.home, strict=True)) == 1
    top, _ = sliders.controls
    top.children[1].click()
    assert sliders.angles == sliders.home and slider.value == pytest.approx(sliders.home[number])


def test_the_part_decides_which_sliders_are_shown(sliders):
    top, column = sliders.controls
    top.children[0].value = "right wrist of the hand"
    assert [slider.description for slider in column.children] == ["WRJ2", "WRJ1"]
    sliders.part = sliders.joints[0]["part"]
    assert top.children[0].value == "left arm" and len(column.children) == 6


def test_an_angle_beyond_a_sliders_end_stays_what_was_set(sliders):
    """Pictures of poses that the robot cannot take are allowed; the slider stands at its end meanwhile."""
    sliders.angles = [9.0, *sliders.home[1:]]
    assert sliders.angles[0] == 9.0 and sliders.sliders[0].value == sliders.joints[0]["high"]
    sliders.angles = sliders.home


def test_sliders_may_be_moved_from_any_thread(sliders):
    errors = []

    def move(angle):
        angles = list(sliders.home)
        angles[0] += angle
        try:
            sliders.angles = angles
        except Exception as error:
            errors.append(error)

    drawn = sliders.drawn
    for angle in (0.1, 0.2, 0.3):
        thread = threading.Thread(target=move, args=(angle,))
        thread.start()
        thread.join()
    assert errors == [] and sliders.drawn == drawn + 3
    sliders.angles = sliders.home


def test_sliders_leave_a_picture_of_nine_poses(sliders):
    pixels = decoded(sliders).astype(float)
    assert pixels.shape[0] > 450 and pixels.shape[1] > 600 and pixels.std() > 20
