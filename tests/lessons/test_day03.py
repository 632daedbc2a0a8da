"""In Day 03 the learner's own functions are the ones that run: a broken one changes what the lesson finds."""

import numpy as np
import pytest
from lesson_cells import cells, run

from vla_course.control import actions, rotations
from vla_course.robot import inverse_kinematics
from vla_course.robot.two_arms import home_position

CELLS = cells(
    "day03_sixty_joints",
    (
        "import numpy",
        "# exercise",
        "ik = InverseKinematics(",
        "seven_b_hz =",
        "def as_tokens",
        "def make_option_a",
        "FINGERS =",
        "def make_option_c",
        "def play",
    ),
)


def run_lesson(**replaced):
    """The names the lesson defines, with some of the exercised functions replaced by others."""
    return run(CELLS, **replaced)


def fold(option="make_option_b", **replaced):
    """What the lesson's own loop finds for one option."""
    lesson = run_lesson(**replaced)
    chosen = lesson["option_b"] if option == "make_option_b" else lesson[option]()
    return lesson["play"](chosen)


@pytest.mark.parametrize("option", ["make_option_a", "make_option_b", "make_option_c"])
def test_every_option_folds_with_the_library(option):
    found = fold(option)
    assert found["is_success"]
    assert found["error_mm"][-1] < 15


def minus(jacobian, error, damping):
    return -inverse_kinematics.damped_least_squares(jacobian, error, damping)


def lazy(jacobian, error, damping):
    return 0.02 * inverse_kinematics.damped_least_squares(jacobian, error, damping)


def from_target_to_current(current, target):
    return rotations.rotation_error(target, current)


def base_minus_expert(expert_target, base_target, scale):
    return -actions.encode_residual(expert_target, base_target, scale)


def in_the_hand_frame(position, rotation, target_position, target_rotation):
    delta = actions.end_effector_delta(position, rotation, target_position, target_rotation)
    return np.concatenate([rotation.T @ delta[:3], delta[3:]])


@pytest.mark.parametrize(
    "sabotage",
    [
        {"damped_least_squares": minus},
        {"damped_least_squares": lazy},
        {"rotation_error": from_target_to_current},
        {"encode_residual": base_minus_expert},
        {"end_effector_delta": in_the_hand_frame},
    ],
    ids=lambda sabotage: next(iter(sabotage.values())).__name__,
)
def test_a_broken_function_of_the_learners_spoils_the_fold(sabotage):
    assert not fold(**sabotage)["is_success"]


def test_the_price_list_uses_the_learners_function():
    assert run_lesson()["seven_b_hz"][7] == pytest.approx(6.0)
    assert run_lesson(control_rate_hz=lambda *_: 1.5)["seven_b_hz"] == {7: 1.5, 14: 1.5, 61: 1.5}


def test_the_numbers_of_the_recap_hold():
    ik = inverse_kinematics.InverseKinematics()
    ik.forward(home_position())
    jacobian = ik.jacobian(0)
    jacobian[3:] *= inverse_kinematics.METRES_PER_RADIAN
    weakest = np.linalg.svd(jacobian, compute_uv=False)[-1]
    assert weakest == pytest.approx(0.14, abs=0.005)
    for damping, removed in ((0.5, 0.07), (0.01, 0.99)):
        assert weakest**2 / (weakest**2 + damping**2) == pytest.approx(removed, abs=0.006)
