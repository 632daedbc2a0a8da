import jaxtyping
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

from vla_course.control.actions import decode_residual, encode_residual, end_effector_delta
from vla_course.control.rotations import matrix_from_rpy

SCALE = np.array([0.10, 0.25, 0.10])


@pytest.fixture
def as_learners_run(monkeypatch):
    """Without the shape checks of the test suite, as in a notebook."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


def test_hand_worked_residual():
    action = encode_residual(np.array([0.55, 1.2, 0.0]), np.array([0.5, 1.0, 0.5]), SCALE)
    np.testing.assert_allclose(action, [0.5, 0.8, -1.0])


@given(arrays(float, (4, 3), elements=st.floats(-1, 1)), arrays(float, (4, 3), elements=st.floats(-3, 3)))
def test_encode_undoes_decode_inside_the_bounds(action, base):
    np.testing.assert_allclose(
        encode_residual(decode_residual(action, base, SCALE), base, SCALE), action, atol=1e-9
    )


@given(arrays(float, 3, elements=st.floats(-3, 3)), arrays(float, 3, elements=st.floats(-3, 3)))
def test_decoded_targets_come_as_close_as_one_action_can(expert, base):
    target = decode_residual(encode_residual(expert, base, SCALE), base, SCALE)
    assert (np.abs(target - base) <= SCALE + 1e-12).all()
    np.testing.assert_allclose(
        np.abs(expert - target), np.maximum(np.abs(expert - base) - SCALE, 0), atol=1e-9
    )


def test_hand_worked_delta():
    yawed = matrix_from_rpy(np.array([0, 0, np.pi / 2]))
    target = matrix_from_rpy(np.array([0.3, 0, 0])) @ yawed
    delta = end_effector_delta(np.zeros(3), yawed, np.array([0.1, 0, 0.2]), target)
    np.testing.assert_allclose(delta, [0.1, 0, 0.2, 0.3, 0, 0], atol=1e-12)


def test_applying_the_delta_reaches_the_target():
    for current, target in Rotation.random(40, random_state=0).as_matrix().reshape(20, 2, 3, 3):
        position, goal = np.array([0.3, -0.2, 0.1]), np.array([0.1, 0.4, 0.2])
        delta = end_effector_delta(position, current, goal, target)
        np.testing.assert_allclose(position + delta[:3], goal)
        np.testing.assert_allclose(matrix_from_rpy(delta[3:]) @ current, target, atol=1e-9)


def test_bad_input_is_one_clear_error(as_learners_run):
    ones, eye = np.ones(3), np.eye(3)
    for function in (encode_residual, decode_residual):
        with pytest.raises(ValueError, match="positive scales"):
            function(ones, ones, np.array([0.1, 0.0, 0.1]))
        with pytest.raises(ValueError, match="finite"):
            function(np.array([0.0, np.nan, 0.0]), ones, SCALE)
        with pytest.raises(ValueError):
            function(np.ones(4), ones, SCALE)
    with pytest.raises(ValueError, match="finite positions"):
        end_effector_delta(ones, eye, np.array([0.0, np.inf, 0.0]), eye)
    with pytest.raises(ValueError):
        end_effector_delta(np.ones(2), eye, np.ones(2), eye)
    with pytest.raises(ValueError, match="rotation matrix"):
        end_effector_delta(ones, eye, ones, eye * np.nan)
