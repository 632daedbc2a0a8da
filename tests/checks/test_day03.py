"""Plausible wrong answers for Day 03, each with a fragment of the hint that it must get."""

import numpy as np

from vla_course.control.actions import encode_residual, end_effector_delta
from vla_course.control.rotations import rotation_error, rpy_from_matrix
from vla_course.robot.inverse_kinematics import damped_least_squares

# --- 03.1


def a_chunk_costs_no_more_tokens(prefill_s, token_s, action_dim, chunk=1):
    return chunk / (prefill_s + action_dim * token_s)


def forgets_the_prefill(prefill_s, token_s, action_dim, chunk=1):
    return 1 / (action_dim * token_s)


def counts_plans_not_actions(prefill_s, token_s, action_dim, chunk=1):
    return 1 / (prefill_s + action_dim * chunk * token_s)


def seconds_not_rate(prefill_s, token_s, action_dim, chunk=1):
    return prefill_s + action_dim * chunk * token_s


def always_seven_numbers(prefill_s, token_s, action_dim, chunk=1):
    return chunk / (prefill_s + 7 * chunk * token_s)


# --- 03.2


def multiplies_by_the_scale(expert_target, base_target, scale):
    return np.clip((expert_target - base_target) * scale, -1, 1)


def base_minus_expert(expert_target, base_target, scale):
    return -encode_residual(expert_target, base_target, scale)


def the_arms_scale_for_the_fingers(expert_target, base_target, scale):
    return np.clip((expert_target - base_target) / scale[0], -1, 1)


def does_not_clip(expert_target, base_target, scale):
    return (expert_target - base_target) / scale


def rounds_to_the_bounds(expert_target, base_target, scale):
    return np.round(encode_residual(expert_target, base_target, scale))


# --- 03.3


def from_target_to_current(current, target):
    return rotation_error(target, current)


def in_the_hand_frame(current, target):
    return rotation_error(target.T, current.T)


def difference_of_euler_angles(current, target):
    return rpy_from_matrix(target) - rpy_from_matrix(current)


def sine_of_the_angle(current, target):
    turn = target @ current.T
    return np.array([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]]) / 2


def arcsine_of_the_sine(current, target):
    sine = sine_of_the_angle(current, target)
    length = np.linalg.norm(sine)
    return sine * (np.arcsin(min(length, 1.0)) / length if length > 1e-9 else 1.0)


def divides_by_zero_at_the_goal(current, target):
    turn = target @ current.T
    with np.errstate(invalid="ignore"):
        angle = np.arccos((np.trace(turn) - 1) / 2)
        return angle * sine_of_the_angle(current, target) / np.sin(angle)


def in_degrees(current, target):
    return np.rad2deg(rotation_error(current, target))


# --- 03.4


def damping_not_squared(jacobian, error, damping):
    return jacobian.T @ np.linalg.solve(jacobian @ jacobian.T + damping * np.eye(len(error)), error)


def jacobian_transpose_only(jacobian, error, damping):
    return jacobian.T @ error


def plain_pseudo_inverse(jacobian, error, damping):
    return np.linalg.pinv(jacobian) @ error


def minus(jacobian, error, damping):
    return -damped_least_squares(jacobian, error, damping)


def cuts_small_singular_values_instead(jacobian, error, damping):
    u, s, vt = np.linalg.svd(jacobian, full_matrices=False)
    return vt.T @ (np.where(s > 1e-3, s / (s**2 + damping**2), 1 / s.clip(1e-9)) * (u.T @ error))


# --- 03.5


def subtracts_rpy(position, rotation, target_position, target_rotation):
    turn = rpy_from_matrix(target_rotation) - rpy_from_matrix(rotation)
    return np.concatenate([target_position - position, turn])


def translates_in_the_hand_frame(position, rotation, target_position, target_rotation):
    delta = end_effector_delta(position, rotation, target_position, target_rotation)
    return np.concatenate([rotation.T @ delta[:3], delta[3:]])


def turns_in_the_hand_frame(position, rotation, target_position, target_rotation):
    return np.concatenate([target_position - position, rpy_from_matrix(rotation.T @ target_rotation)])


def from_the_target_to_here(position, rotation, target_position, target_rotation):
    return end_effector_delta(target_position, target_rotation, position, rotation)


MISTAKES = {
    "control_rate_hz": [
        (a_chunk_costs_no_more_tokens, "a chunk is not free"),
        (forgets_the_prefill, "costs time on every plan too"),
        (counts_plans_not_actions, "plans per second"),
        (seconds_not_rate, "the rate is 1 over it"),
        (always_seven_numbers, "grows with action_dim"),
    ],
    "encode_residual": [
        (multiplies_by_the_scale, "don't multiply"),
        (base_minus_expert, "the sign is turned round"),
        (the_arms_scale_for_the_fingers, "every joint has its own scale"),
        (does_not_clip, r"cut what is outside"),
        (rounds_to_the_bounds, "missing radians over"),
    ],
    "rotation_error": [
        (from_target_to_current, "swap them"),
        (in_the_hand_frame, "as the hand sees it"),
        (difference_of_euler_angles, "orientations do not subtract"),
        (sine_of_the_angle, "the sine of the angle"),
        (arcsine_of_the_sine, "past 90°"),
        (divides_by_zero_at_the_goal, "the axis is 0/0"),
        (in_degrees, "radians"),
    ],
    "damped_least_squares": [
        (damping_not_squared, "λ enters squared"),
        (jacobian_transpose_only, "wrong length"),
        (plain_pseudo_inverse, "the undamped step"),
        (minus, "the sign is turned round"),
        (cuts_small_singular_values_instead, "damping also stands"),
    ],
    "end_effector_delta": [
        (subtracts_rpy, "angles do not subtract"),
        (translates_in_the_hand_frame, "that translation is seen from the hand"),
        (turns_in_the_hand_frame, "that turn is seen from the hand"),
        (from_the_target_to_here, "from here to the target"),
    ],
}
