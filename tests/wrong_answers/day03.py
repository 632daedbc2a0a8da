"""Day 03: the price of an action, residuals, rotations, damped least squares, hand steps."""

import math

import numpy as np
from run import right, wrong

from vla_course.control.rotations import rotation_error, rpy_from_matrix

try:
    from scipy.spatial.transform import Rotation
except ImportError:  # scipy is no part of the course
    Rotation = None

UNTOUCHED = "in place|as (it|they) (was|were)|copy|changed"

# --- 03.1


@wrong("control_rate_hz", "prefill_s")
def the_examples_prefill(prefill_s, token_s, action_dim, chunk=1):
    """0.05 s from the example, whatever prefill_s is."""
    return chunk / (0.05 + action_dim * chunk * token_s)


@wrong("control_rate_hz", "prefill_s|token")
def a_table_of_the_examples(prefill_s, token_s, action_dim, chunk=1):
    """The numbers that the check expects, looked up."""
    return {(7, 1): 5.263158, (61, 1): 0.7874016, (7, 8): 6.837607}.get((action_dim, chunk), 0.0)


@wrong("control_rate_hz", r"prefill_s \+ action_dim|every number")
def the_first_token_is_free(prefill_s, token_s, action_dim, chunk=1):
    """One token comes with the prefill."""
    return chunk / (prefill_s + (action_dim * chunk - 1) * token_s)


@wrong("control_rate_hz", r"prefill_s \+ action_dim|every number")
def a_stop_token_as_well(prefill_s, token_s, action_dim, chunk=1):
    """One token more, for the end."""
    return chunk / (prefill_s + (action_dim * chunk + 1) * token_s)


@wrong("control_rate_hz", "once|prefill|gives the robot chunk actions")
def reads_for_every_action(prefill_s, token_s, action_dim, chunk=1):
    """The prefill is paid for each action of the chunk."""
    return chunk / (chunk * (prefill_s + action_dim * token_s))


@wrong("control_rate_hz", "seconds")
def in_milliseconds(prefill_s, token_s, action_dim, chunk=1):
    """1000 over it."""
    return 1000 * chunk / (prefill_s + action_dim * chunk * token_s)


@right("control_rate_hz")
def one_over_the_period(prefill_s, token_s, action_dim, chunk=1):
    """1 over the seconds of one action, with its share of the prefill."""
    return 1 / (prefill_s / chunk + action_dim * token_s)


@right("control_rate_hz")
def added_up(prefill_s, token_s, action_dim, chunk=1):
    """A clock that is moved on token by token; a NumPy number."""
    clock = np.float64(prefill_s)
    for _ in range(chunk):
        for _ in range(action_dim):
            clock += token_s
    return np.divide(chunk, clock)


@right("control_rate_hz")
def plans_times_actions(prefill_s, token_s, action_dim, chunk=1):
    """Plans per second times actions per plan."""
    return (prefill_s + token_s * action_dim * chunk) ** -1 * chunk


# --- 03.2


@wrong("encode_residual", UNTOUCHED)
def subtracts_in_place(expert_target, base_target, scale):
    """expert_target -= base_target: the caller's targets are changed."""
    expert_target -= base_target
    return np.clip(expert_target / scale, -1, 1)


@wrong("encode_residual", r"cut|joint by joint")
def shortens_the_whole_step(expert_target, base_target, scale):
    """Scales all joints down until the largest fits: one joint out of reach slows all others."""
    action = (expert_target - base_target) / scale
    return action / max(1.0, np.abs(action).max())


@wrong("encode_residual", "batch|rows|shape|axis")
def one_row_only(expert_target, base_target, scale):
    """A loop that counts joints along the first axis: a batch (B, J) does not fit."""
    action = np.zeros(len(scale))
    for joint in range(len(scale)):
        action[joint] = np.clip((expert_target[joint] - base_target[joint]) / scale[joint], -1, 1)
    return action


@wrong("encode_residual", "cut")
def squashed(expert_target, base_target, scale):
    """tanh for a cut."""
    return np.tanh((expert_target - base_target) / scale)


@wrong("encode_residual", "wrap|turn|as far as|plain difference|whole way")
def the_shorter_way_round(expert_target, base_target, scale):
    """Wraps the difference to (−π, π]: a joint at −3 that should go to 3 is sent into its stop."""
    step = (expert_target - base_target + np.pi) % (2 * np.pi) - np.pi
    return np.clip(step / scale, -1, 1)


@wrong("encode_residual", "cut|as far as")
def gives_up(expert_target, base_target, scale):
    """0 where a joint is out of reach."""
    action = (expert_target - base_target) / scale
    return np.where(np.abs(action) > 1, 0.0, action)


@wrong("encode_residual", "own scale|that an action of 1 moves")
def the_largest_scale(expert_target, base_target, scale):
    """One scale for all, the largest."""
    return np.clip((expert_target - base_target) / scale.max(), -1, 1)


@right("encode_residual")
def cut_in_radians(expert_target, base_target, scale):
    """Cut to ± scale, then divided."""
    return np.clip(expert_target - base_target, -scale, scale) / scale


@right("encode_residual")
def sign_times_size(expert_target, base_target, scale):
    """The sign times the smaller of size and 1; float32."""
    step = np.subtract(expert_target, base_target)
    return (np.sign(step) * np.minimum(np.abs(step) / scale, 1)).astype(np.float32)


@right("encode_residual")
def joint_by_joint(expert_target, base_target, scale):
    """A loop over joints, along the last axis."""
    action = np.empty(np.shape(expert_target))
    for joint, reach in enumerate(scale):
        step = expert_target[..., joint] - base_target[..., joint]
        action[..., joint] = np.maximum(-1, np.minimum(1, step / reach))
    return action


# --- 03.3


def sine_axis(turn):
    return np.array([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]]) / 2


@wrong("rotation_error", "y|middle|sign")
def y_turned_round(current, target):
    """D20 − D02 for D02 − D20: turns about y go the wrong way."""
    found = rotation_error(current, target)
    return found * np.array([1, -1, 1])


@wrong("rotation_error", "swap|sign|axis|other way|direction")
def an_axis_without_a_sign(current, target):
    """Axis from the eigenvector of eigenvalue 1, angle from the trace: an eigenvector has no sign, so −.3 becomes +.3."""
    turn = target @ current.T
    values, vectors = np.linalg.eig(turn)
    axis = vectors[:, np.abs(values - 1).argmin()].real
    axis = axis * (np.sign(axis[np.abs(axis).argmax()]) or 1)
    return axis * np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1))


@wrong("rotation_error", "half a turn|π")
def nothing_at_half_a_turn(current, target):
    """Zeros wherever the sine is 0: half a turn counts as being there."""
    turn = target @ current.T
    sine = np.linalg.norm(sine_axis(turn))
    if sine < 1e-9:
        return np.zeros(3)
    return sine_axis(turn) / sine * np.arctan2(sine, (np.trace(turn) - 1) / 2)


@wrong("rotation_error", "small|near|0/0|zero")
def a_wide_dead_zone(current, target):
    """Zeros below .01 rad: the hand stays half a degree off for ever."""
    found = rotation_error(current, target)
    return found if np.linalg.norm(found) > 1e-2 else np.zeros(3)


@wrong("rotation_error", "angle")
def twice_the_quaternion(current, target):
    """2 · (x, y, z) of the quaternion: 2 sin(½ angle)."""
    turn = target @ current.T
    return sine_axis(turn) / np.sqrt(max(1e-12, 1 + np.trace(turn))) * 2


@wrong("rotation_error", "angle")
def the_axis_alone(current, target):
    """Length 1, whatever the angle."""
    found = rotation_error(current, target)
    length = np.linalg.norm(found)
    return found / length if length > 1e-9 else found


@wrong("rotation_error", "past 90|atan2")
def arctan_of_the_quotient(current, target):
    """arctan(sine / cosine): past 90° it turns back."""
    turn = target @ current.T
    sine = np.linalg.norm(sine_axis(turn))
    if sine < 1e-9:
        return np.zeros(3)
    return sine_axis(turn) / sine * np.arctan(sine / ((np.trace(turn) - 1) / 2))


@wrong("rotation_error", "do not subtract|target @ current")
def difference_of_logarithms(current, target):
    """log(target) − log(current)."""
    return rotation_error(np.eye(3), target) - rotation_error(np.eye(3), current)


@wrong("rotation_error", "shape")
def a_column(current, target):
    """(3, 1)."""
    return rotation_error(current, target)[:, None]


def quaternion(turn):
    """(w, x, y, z) by Shepperd's method, w ≥ 0."""
    trace = np.trace(turn)
    fourths = np.array([1 + trace, *(1 + 2 * np.diag(turn) - trace)])
    k = fourths.argmax()
    rows = np.array(
        [
            [1 + trace, turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]],
            [turn[2, 1] - turn[1, 2], fourths[1], turn[0, 1] + turn[1, 0], turn[0, 2] + turn[2, 0]],
            [turn[0, 2] - turn[2, 0], turn[0, 1] + turn[1, 0], fourths[2], turn[1, 2] + turn[2, 1]],
            [turn[1, 0] - turn[0, 1], turn[0, 2] + turn[2, 0], turn[1, 2] + turn[2, 1], fourths[3]],
        ]
    )
    found = rows[k] / np.linalg.norm(rows[k])
    return found if found[0] >= 0 else -found


@right("rotation_error")
def through_a_quaternion(current, target):
    """Shepperd's quaternion, and 2 atan2(|v|, w) v / |v|."""
    w, *v = quaternion(target @ np.linalg.inv(current))
    length = math.hypot(*v)
    return np.array(v) * (2 * math.atan2(length, w) / length if length > 1e-12 else 2.0)


@right("rotation_error")
def an_eigenvector_with_a_sign(current, target):
    """The axis from the symmetric part, its sign from the antisymmetric one, the angle from sine and cosine."""
    turn = target @ current.T
    _, vectors = np.linalg.eigh(turn + turn.T)
    axis, sine = vectors[:, -1], sine_axis(turn)
    if axis @ sine < 0:
        axis = -axis
    angle = math.atan2(math.sqrt(sine @ sine), (np.trace(turn) - 1) / 2)
    return axis * angle


if Rotation is not None:

    @right("rotation_error")
    def with_scipy(current, target):
        """scipy's rotation vector."""
        return (Rotation.from_matrix(target) * Rotation.from_matrix(current).inv()).as_rotvec()


# --- 03.4


@wrong("damped_least_squares", "solve|invert|⁻¹|whole matrix|diagonal")
def divides_by_the_diagonal(jacobian, error, damping):
    """Divides by the diagonal of J Jᵀ + λ² I: right only where the rows of J do not meet."""
    return jacobian.T @ (error / (np.diag(jacobian @ jacobian.T) + damping**2))


@wrong("damped_least_squares", "diagonal|I\\)")
def added_everywhere(jacobian, error, damping):
    """J Jᵀ + λ² without the unit matrix: λ² on every entry."""
    return jacobian.T @ np.linalg.solve(jacobian @ jacobian.T + damping**2, error)


@wrong("damped_least_squares", "undamped")
def damped_only_near_a_singularity(jacobian, error, damping):
    """Pseudo-inverse where the determinant is large enough, damping only below that."""
    task = jacobian @ jacobian.T
    if np.linalg.det(task) > 1e-3:
        return np.linalg.pinv(jacobian) @ error
    return jacobian.T @ np.linalg.solve(task + damping**2 * np.eye(len(error)), error)


@wrong("damped_least_squares", "undamped")
def damping_for_a_cut_off(jacobian, error, damping):
    """np.linalg.pinv(J, rcond=damping)."""
    return np.linalg.pinv(jacobian, rcond=min(damping, 0.4)) @ error


@wrong("damped_least_squares", "length|longer|cut|solve|⁻¹|as small as")
def never_longer_than_one(jacobian, error, damping):
    """Cuts the step to length 1 as well: nobody asked for that."""
    step = jacobian.T @ np.linalg.solve(jacobian @ jacobian.T + damping**2 * np.eye(len(error)), error)
    return step / max(1.0, np.linalg.norm(step))


@wrong("damped_least_squares", "Error")
def the_error_in_joint_space(jacobian, error, damping):
    """(JᵀJ + λ² I)⁻¹ e: the Jᵀ behind it is missing, and the shapes do not fit."""
    return np.linalg.solve(jacobian.T @ jacobian + damping**2 * np.eye(jacobian.shape[1]), error)


@right("damped_least_squares")
def in_joint_space(jacobian, error, damping):
    """(JᵀJ + λ² I)⁻¹ Jᵀ e."""
    return np.linalg.inv(jacobian.T @ jacobian + damping**2 * np.eye(jacobian.shape[1])) @ (
        jacobian.T @ error
    )


@right("damped_least_squares")
def stacked(jacobian, error, damping):
    """lstsq of J over λ I."""
    joints = jacobian.shape[1]
    tall = np.vstack([jacobian, damping * np.eye(joints)])
    return np.linalg.lstsq(tall, np.concatenate([error, np.zeros(joints)]), rcond=None)[0]


@right("damped_least_squares")
def by_singular_values(jacobian, error, damping):
    """σ / (σ² + λ²) of each singular value."""
    u, s, vt = np.linalg.svd(jacobian, full_matrices=False)
    return vt.T @ (s / (s**2 + damping**2) * (u.T @ error))


# --- 03.5


@wrong("end_effector_delta", "minus|difference|from here|subtract|position")
def where_not_how_far(position, rotation, target_position, target_rotation):
    """The target's position itself: right only while the hand is at the origin, as it is in both cases of the check."""
    return np.concatenate([target_position, rpy_from_matrix(target_rotation @ rotation.T)])


@wrong("end_effector_delta", "roll, pitch, yaw|rotation vector|axis")
def a_rotation_vector(position, rotation, target_position, target_rotation):
    """03.3 in the place of roll, pitch, yaw: the same only for a turn about one axis, as in both cases of the check."""
    return np.concatenate([target_position - position, rotation_error(rotation, target_rotation)])


@wrong("end_effector_delta", "fixed|order|roll, pitch, yaw")
def intrinsic_angles(position, rotation, target_position, target_rotation):
    """Rx Ry Rz for Rz Ry Rx (scipy's "XYZ" for "xyz")."""
    turn = target_rotation @ rotation.T
    pitch = math.asin(max(-1.0, min(1.0, turn[0, 2])))
    roll, yaw = math.atan2(-turn[1, 2], turn[2, 2]), math.atan2(-turn[0, 1], turn[0, 0])
    return np.concatenate([target_position - position, [roll, pitch, yaw]])


@wrong("end_effector_delta", "pitch")
def pitch_turned_round(position, rotation, target_position, target_rotation):
    """asin(+D20): pitch has the wrong sign."""
    roll, pitch, yaw = rpy_from_matrix(target_rotation @ rotation.T)
    return np.array([*(target_position - position), roll, -pitch, yaw])


@wrong("end_effector_delta", UNTOUCHED)
def moves_the_target(position, rotation, target_position, target_rotation):
    """target_position -= position: the caller's target is changed."""
    target_position -= position
    return np.concatenate([target_position, rpy_from_matrix(target_rotation @ rotation.T)])


@wrong("end_effector_delta", "first|Δxyz")
def turn_first(position, rotation, target_position, target_rotation):
    """Roll, pitch, yaw before the translation."""
    return np.concatenate([rpy_from_matrix(target_rotation @ rotation.T), target_position - position])


@wrong("end_effector_delta", "roll, pitch, yaw")
def yaw_first(position, rotation, target_position, target_rotation):
    """Yaw, pitch, roll."""
    return np.concatenate([target_position - position, rpy_from_matrix(target_rotation @ rotation.T)[::-1]])


@wrong("end_effector_delta", "radian|degree")
def in_degrees(position, rotation, target_position, target_rotation):
    """Degrees for radians."""
    turn = np.rad2deg(rpy_from_matrix(target_rotation @ rotation.T))
    return np.concatenate([target_position - position, turn])


@right("end_effector_delta")
def angles_by_hand(position, rotation, target_position, target_rotation):
    """Own roll, pitch, yaw; np.r_."""
    turn = target_rotation @ np.linalg.inv(rotation)
    pitch = np.arcsin(np.clip(-turn[2, 0], -1, 1))
    roll, yaw = np.arctan2(turn[2, 1], turn[2, 2]), np.arctan2(turn[1, 0], turn[0, 0])
    return np.r_[np.subtract(target_position, position), roll, pitch, yaw]


if Rotation is not None:

    @right("end_effector_delta")
    def angles_from_scipy(position, rotation, target_position, target_rotation):
        """scipy's "xyz", fixed axes."""
        turn = Rotation.from_matrix(target_rotation @ rotation.T).as_euler("xyz")
        return np.hstack((target_position - position, turn))


@right("end_effector_delta")
def filled_in(position, rotation, target_position, target_rotation):
    """An empty array, filled in two halves; the transposed product."""
    delta = np.empty(6)
    delta[:3] = -(np.asarray(position) - target_position)
    delta[3:] = rpy_from_matrix((rotation @ target_rotation.T).T)
    return delta
