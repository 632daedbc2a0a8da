import jaxtyping
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from vla_course.control.rotations import (
    matrix_from_rotation_vector,
    matrix_from_rpy,
    rotation_error,
    rpy_from_matrix,
)

angles = st.floats(-np.pi, np.pi)
random_rotations = st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: np.linalg.norm(q) > 0.1)


@pytest.fixture
def as_learners_run(monkeypatch):
    """Without the shape checks of the test suite, as in a notebook."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


def turn(axis, angle):
    return Rotation.from_rotvec(angle * np.asarray(axis, dtype=float)).as_matrix()


def test_hand_worked_errors():
    yawed = turn([0, 0, 1], np.pi / 2)
    np.testing.assert_allclose(rotation_error(yawed, turn([1, 0, 0], 0.3) @ yawed), [0.3, 0, 0], atol=1e-12)
    rolled = turn([1, 0, 0], 0.5)
    np.testing.assert_allclose(rotation_error(rolled, turn([0, 0, 1], 1.2) @ rolled), [0, 0, 1.2], atol=1e-12)


@given(random_rotations, random_rotations)
def test_agrees_with_scipy(current, target):
    current, target = Rotation.from_quat(current), Rotation.from_quat(target)
    expected = (target * current.inv()).as_rotvec()
    error = rotation_error(current.as_matrix(), target.as_matrix())
    if np.linalg.norm(expected) > np.pi - 1e-6:  # half a turn: either sign
        error = error * np.sign(error @ expected)
    np.testing.assert_allclose(error, expected, atol=1e-6)


@pytest.mark.parametrize(
    "angle", [0, 1e-12, 1e-8, 1e-4, 1.7, 2.99, 3.0, 3.01, np.pi - 1e-4, np.pi - 1e-9, np.pi]
)
@pytest.mark.parametrize("axis", [[1, 0, 0], [0, -1, 0], [0, 0, 1], [0.6, -0.8, 0], [-2 / 3, 1 / 3, 2 / 3]])
def test_accurate_from_no_turn_to_half_a_turn(axis, angle):
    error = rotation_error(np.eye(3), turn(axis, angle))
    if angle == np.pi:
        error = error * np.sign(error @ axis)
    np.testing.assert_allclose(error, angle * np.asarray(axis), atol=2e-9, rtol=1e-7)


@given(random_rotations, random_rotations)
def test_applying_the_error_reaches_the_target(current, target):
    current, target = Rotation.from_quat(current).as_matrix(), Rotation.from_quat(target).as_matrix()
    reached = Rotation.from_rotvec(rotation_error(current, target)).as_matrix() @ current
    np.testing.assert_allclose(reached, target, atol=1e-6)


@given(angles, st.floats(-np.pi / 2, np.pi / 2), angles)
def test_rpy_agrees_with_scipy_and_round_trips(roll, pitch, yaw):
    rotation = matrix_from_rpy(np.array([roll, pitch, yaw]))
    np.testing.assert_allclose(
        rotation, Rotation.from_euler("xyz", [roll, pitch, yaw]).as_matrix(), atol=1e-12
    )
    np.testing.assert_allclose(matrix_from_rpy(rpy_from_matrix(rotation)), rotation, atol=1e-7)


def test_rpy_where_roll_and_yaw_are_one():
    for pitch in (np.pi / 2, -np.pi / 2):
        rotation = matrix_from_rpy(np.array([0.4, pitch, 0.9]))
        roll, found, _ = rpy_from_matrix(rotation)
        assert abs(roll) < 1e-9 or abs(abs(found) - np.pi / 2) < 1e-6
        np.testing.assert_allclose(matrix_from_rpy(rpy_from_matrix(rotation)), rotation, atol=1e-9)


def test_bad_input_is_one_clear_error(as_learners_run):
    broken = np.eye(3)
    broken[1, 2] = np.nan
    for current, target in [(broken, np.eye(3)), (np.eye(2), np.eye(2)), (np.eye(3), np.eye(3)[:, :2])]:
        with pytest.raises(ValueError):
            rotation_error(current, target)
    with pytest.raises(ValueError, match="rotation matrix"):
        rpy_from_matrix(broken)
    with pytest.raises(ValueError, match="rotation matrix"):
        rpy_from_matrix(np.eye(4))
    for angles_ in ([0.0, np.nan, 0.0], [0.0, 1.0]):
        with pytest.raises(ValueError, match="three finite angles"):
            matrix_from_rpy(np.array(angles_))


def test_turns_by_a_rotation_vector_undo_the_rotation_error():
    rng = np.random.default_rng(0)
    for length in (0.0, 1e-13, 1e-4, 0.3, 1.5, 3.1):
        direction = rng.normal(size=3)
        vector = length * direction / np.linalg.norm(direction)
        rotation = matrix_from_rotation_vector(vector)
        np.testing.assert_allclose(rotation_error(np.eye(3), rotation), vector, atol=1e-9)
    quarter = matrix_from_rotation_vector(np.array([0, 0, np.pi / 2]))
    np.testing.assert_allclose(quarter @ [1, 0, 0], [0, 1, 0], atol=1e-12)
