"""Day 03: the price of an action, residuals, rotations, damped least squares, hand steps."""

import math
from fractions import Fraction

import mujoco
import numpy as np
import torch
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
    """(JᵀJ + λ² I)⁺ Jᵀ e; with damping 0 and more joints than errors that matrix has no inverse, but a pseudo-inverse."""
    return np.linalg.pinv(jacobian.T @ jacobian + damping**2 * np.eye(jacobian.shape[1]), rcond=1e-12) @ (
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


# --- Written later, from the exercise notebook alone

# ---------------------------------------------------------------- 03.1 control_rate_hz


@wrong("control_rate_hz", fits=r"prefill|once|every action|per plan|chunk")
def prefill_for_every_action(prefill_s, token_s, action_dim, chunk=1):
    """Counts the prefill for each action of the chunk, not once for the plan."""
    return 1 / (prefill_s + action_dim * token_s)


@wrong("control_rate_hz", fits=r"chunk|actions|plans?")
def plans_per_second(prefill_s, token_s, action_dim, chunk=1):
    """Plans per second instead of actions per second."""
    return 1 / (prefill_s + action_dim * chunk * token_s)


@wrong("control_rate_hz", fits=r"per second|upside|invers|period|seconds per|over|other way|reciprocal|Hz")
def seconds_per_action(prefill_s, token_s, action_dim, chunk=1):
    """Seconds per action: the inverse of the rate."""
    return (prefill_s + action_dim * chunk * token_s) / chunk


@wrong("control_rate_hz", fits=r"chunk|every number|every action|tokens|all")
def tokens_of_one_action(prefill_s, token_s, action_dim, chunk=1):
    """Counts the tokens of one action only, whatever the chunk."""
    return chunk / (prefill_s + action_dim * token_s)


@wrong("control_rate_hz", fits=r"prefill|read")
def no_prefill(prefill_s, token_s, action_dim, chunk=1):
    """Forgets the prefill."""
    return chunk / (action_dim * chunk * token_s)


@wrong("control_rate_hz", fits=r"every number|one token|fewer|first token|each|tokens|[-−] ?1|all")
def first_token_for_free(prefill_s, token_s, action_dim, chunk=1):
    """Takes the first token as part of the prefill: one token less."""
    return chunk / (prefill_s + (action_dim * chunk - 1) * token_s)


@wrong("control_rate_hz", fits=r"round|whole|int|float|floor|exact")
def whole_hertz(prefill_s, token_s, action_dim, chunk=1):
    """Rounded down to whole actions per second."""
    return int(chunk / (prefill_s + action_dim * chunk * token_s))


@wrong("control_rate_hz", fits=r"milli|1000|seconds|unit|ms")
def times_in_milliseconds(prefill_s, token_s, action_dim, chunk=1):
    """Takes the times for milliseconds."""
    return 1000 * chunk / (prefill_s + action_dim * chunk * token_s)


@wrong("control_rate_hz", fits=r"swap|prefill|token_s|once|each|order")
def times_swapped(prefill_s, token_s, action_dim, chunk=1):
    """The prefill is paid per number and the token once."""
    return chunk / (token_s + action_dim * chunk * prefill_s)


@wrong("control_rate_hz", fits=r"multipl|times|product|every|numbers|action_dim|\*")
def dimensions_plus_chunk(prefill_s, token_s, action_dim, chunk=1):
    """Adds chunk to the number of dimensions instead of multiplying."""
    return chunk / (prefill_s + (action_dim + chunk - 1) * token_s)


@wrong("control_rate_hz", fits=r"20|cap|limit|robot|min|faster|more")
def never_faster_than_the_robot(prefill_s, token_s, action_dim, chunk=1):
    """Cuts the rate at the robot's 20 Hz."""
    return min(20.0, chunk / (prefill_s + action_dim * chunk * token_s))


@right("control_rate_hz")
def share_of_the_prefill(prefill_s, token_s, action_dim, chunk=1):
    """Seconds per action, with its share of the prefill, then the inverse."""
    return 1 / (prefill_s / chunk + action_dim * token_s)


@right("control_rate_hz")
def adding_tokens_up(prefill_s, token_s, action_dim, chunk=1):
    """Adds up the seconds of all tokens."""
    return chunk / math.fsum([prefill_s] + [token_s] * (action_dim * chunk))


@right("control_rate_hz")
def with_exact_fractions(prefill_s, token_s, action_dim, chunk=1):
    """Exact fractions inside."""
    seconds = Fraction(float(prefill_s)) + int(action_dim) * int(chunk) * Fraction(float(token_s))
    return float(int(chunk) / seconds)


@right("control_rate_hz")
def a_numpy_number(prefill_s, token_s, action_dim, chunk=1):
    """A NumPy float."""
    return np.divide(chunk, np.dot([1, action_dim * chunk], [prefill_s, token_s]))


# ---------------------------------------------------------------- 03.2 encode_residual


@wrong("encode_residual", fits=r"sign|minus|expert|opposite|direction|missing|from|order")
def from_the_expert_to_the_base(expert_target, base_target, scale):
    """The sign is turned around."""
    return np.clip((base_target - expert_target) / scale, -1, 1)


@wrong("encode_residual", fits=r"clip|cut|±1|\[-1, 1\]|out of reach|as far|beyond|reach")
def no_limit(expert_target, base_target, scale):
    """Not cut to [-1, 1]."""
    return (expert_target - base_target) / scale


@wrong("encode_residual", fits=r"divid|multipl|scale")
def multiplies_by_the_scale(expert_target, base_target, scale):
    """Multiplies where it should divide."""
    return np.clip((expert_target - base_target) * scale, -1, 1)


@wrong("encode_residual", fits=r"each joint|every joint|joint by joint|own|same|scale")
def one_scale_for_all(expert_target, base_target, scale):
    """One scale for all joints: the largest."""
    return np.clip((expert_target - base_target) / np.max(scale), -1, 1)


@wrong("encode_residual", fits=r"after|before|first|order|clip|cut|beyond|\[-1, 1\]|±1")
def clips_before_dividing(expert_target, base_target, scale):
    """Cuts the radians to ±1 and divides afterwards."""
    return np.clip(expert_target - base_target, -1, 1) / scale


@wrong("encode_residual", fits=r"divid|scale|radian|±1")
def stays_in_radians(expert_target, base_target, scale):
    """Cuts to ±scale and returns radians."""
    return np.clip(expert_target - base_target, -scale, scale)


@wrong(
    "encode_residual",
    fits=r"each joint|every joint|joint by joint|own|others?|whole|alone|single|that joint|as far",
)
def another_shortens_the_whole_step(expert_target, base_target, scale):
    """Where one joint is out of reach, all joints are shortened in proportion."""
    action = (expert_target - base_target) / scale
    return action / np.maximum(1.0, np.abs(action).max(axis=-1, keepdims=True))


@wrong("encode_residual", fits=r"in place|copy|input|argument|changed?|given array|own array")
def changes_the_experts_array(expert_target, base_target, scale):
    """Computes in the caller's expert_target."""
    expert_target -= base_target
    expert_target /= scale
    return np.clip(expert_target, -1, 1)


@wrong("encode_residual", fits=r"clip|cut|tanh|straight|exact|divid|onto|linear")
def softly_with_tanh(expert_target, base_target, scale):
    """tanh instead of a cut."""
    return np.tanh((expert_target - base_target) / scale)


@wrong("encode_residual", fits=r"[-−]1|negative|both|lower|other (side|end|direction)|±1")
def cuts_only_above(expert_target, base_target, scale):
    """Cut at 1 only; -3 stays -3."""
    return np.minimum((expert_target - base_target) / scale, 1)


@wrong("encode_residual", fits=r"wrap|turn|2 ?π|2pi|circle|way round|shorter|π|direction|sign")
def the_short_way_round(expert_target, base_target, scale):
    """Takes the difference modulo a full turn: a joint that has to go 4 rad is sent the other way."""
    step = expert_target - base_target
    step = (step + np.pi) % (2 * np.pi) - np.pi
    return np.clip(step / scale, -1, 1)


@wrong("encode_residual", fits=r"as far|out of reach|±1|zero|cut|clip|reach|can")
def gives_up_what_is_out_of_reach(expert_target, base_target, scale):
    """A joint out of reach gets 0 instead of ±1."""
    action = (expert_target - base_target) / scale
    return np.where(np.abs(action) <= 1, action, 0.0)


@wrong("encode_residual", fits=r"batch|ax[ei]s|last|shape|rows?|index|bounds|dimension")
def one_row_of_joints(expert_target, base_target, scale):
    """Counts along the first axis: right for one row of joints only."""
    action = np.zeros(expert_target.shape)
    for j in range(expert_target.shape[0]):
        action[j] = np.clip((expert_target[j] - base_target[j]) / scale[j], -1, 1)
    return action


@right("encode_residual")
def with_min_and_max(expert_target, base_target, scale):
    """np.minimum and np.maximum."""
    return np.maximum(-1.0, np.minimum(1.0, np.divide(np.subtract(expert_target, base_target), scale)))


@right("encode_residual")
def cut_in_radians_first(expert_target, base_target, scale):
    """Cuts the step to ±scale, then divides."""
    step = expert_target - base_target
    return np.clip(step, -scale, scale) / scale


@right("encode_residual")
def another_sign_times_size(expert_target, base_target, scale):
    """Sign times size, in torch."""
    step = torch.tensor(np.asarray(expert_target, dtype=float) - base_target) / torch.tensor(
        np.asarray(scale, dtype=float)
    )
    return (step.sign() * step.abs().clamp(max=1.0)).numpy()


@right("encode_residual")
def joint_after_joint(expert_target, base_target, scale):
    """A loop over the joints, along the last axis."""
    columns = []
    for j, reach in enumerate(np.asarray(scale).tolist()):
        step = (expert_target[..., j] - base_target[..., j]) / reach
        columns.append(np.where(step > 1, 1.0, np.where(step < -1, -1.0, step)))
    return np.stack(columns, axis=-1)


# ---------------------------------------------------------------- 03.3 rotation_error


def _parts(turn):
    return np.array([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]]) / 2


def _vector(turn):
    """The honest logarithm, by way of a quaternion (for answers that are wrong elsewhere)."""
    quaternion, vector = np.empty(4), np.empty(3)
    mujoco.mju_mat2Quat(quaternion, np.ascontiguousarray(turn, dtype=float).ravel())
    mujoco.mju_quat2Vel(vector, quaternion, 1.0)
    return vector


@wrong("rotation_error", fits=r"sign|order|opposite|swap|target|other way|back|invers")
def from_target_to_current(current, target):
    """The turn from the target to the current orientation: all signs are opposite."""
    return _vector(current @ target.T)


@wrong("rotation_error", fits=r"frame|base|hand|order|room")
def in_the_hands_frame(current, target):
    """The right turn, written in the hand's frame."""
    return _vector(current.T @ target)


@wrong("rotation_error", fits=r"sin|length|angle|small|large")
def for_small_angles(current, target):
    """sin(angle) × axis: right for small turns only."""
    return _parts(target @ current.T)


@wrong("rotation_error", fits=r"arcsin|asin|quadrant|90|π/2|pi/2|quarter|obtuse|atan2|cosine|beyond|large")
def angle_from_the_sine(current, target):
    """arcsin: turns beyond 90° come out too short."""
    parts = _parts(target @ current.T)
    sine = np.linalg.norm(parts)
    if sine < 1e-12:
        return np.zeros(3)
    return parts / sine * np.arcsin(min(1.0, sine))


@wrong("rotation_error", fits=r"zero|equal|nan|same|finite|divi|no turn")
def divides_by_zero_at_no_turn(current, target):
    """Equal orientations give nan: 0 / 0."""
    turn = target @ current.T
    parts = _parts(turn)
    sine = np.linalg.norm(parts)
    return parts / sine * np.arctan2(sine, (np.trace(turn) - 1) / 2)


@wrong("rotation_error", fits=r"half|π|180|\bpi\b|opposite")
def another_nothing_at_half_a_turn(current, target):
    """Half a turn has no sine either, and comes out as zeros."""
    turn = target @ current.T
    parts = _parts(turn)
    sine = np.linalg.norm(parts)
    if sine < 1e-6:
        return np.zeros(3)
    return parts / sine * np.arctan2(sine, (np.trace(turn) - 1) / 2)


@wrong("rotation_error", fits=r"half|π|180|\bpi\b|sign|off.diagonal|mixed")
def half_a_turn_about_positive_axes_only(current, target):
    """At half a turn the axis is the root of the diagonal, which forgets the signs of its parts."""
    turn = target @ current.T
    parts = _parts(turn)
    sine, cosine = np.linalg.norm(parts), (np.trace(turn) - 1) / 2
    if sine < 1e-7:
        if cosine > 0:
            return np.zeros(3)
        return np.pi * np.sqrt(np.maximum(0, (np.diag(turn) + 1) / 2))
    return parts / sine * np.arctan2(sine, cosine)


@wrong("rotation_error", fits=r"degree|radian|°|57")
def another_in_degrees(current, target):
    """The angle in degrees."""
    return np.degrees(_vector(target @ current.T))


@wrong("rotation_error", fits=r"axis|rpy|roll|yaw|euler|three angles|vector")
def roll_pitch_yaw_of_the_turn(current, target):
    """Roll, pitch and yaw of the turn are not axis × angle."""
    return rpy_from_matrix(target @ current.T)


@wrong("rotation_error", fits=r"subtract|differen|multiply|axis|rpy|roll|yaw|euler|one rotation|D R")
def difference_of_angles(current, target):
    """Subtracts roll, pitch and yaw."""
    return rpy_from_matrix(target) - rpy_from_matrix(current)


@wrong("rotation_error", fits=r"nan|finite|arccos|acos|equal|rounding|zero|divi|same")
def arccos_of_more_than_one(current, target):
    """arccos of a trace that rounding has put above 3 is nan."""
    turn = target @ current.T
    angle = np.arccos((np.trace(turn) - 1) / 2)
    if angle == 0:
        return np.zeros(3)
    return angle / np.sin(angle) * _parts(turn)


@wrong("rotation_error", fits=r"small|tiny|zero|exact|threshold|close")
def small_turns_do_not_count(current, target):
    """Turns below half a degree are taken for none."""
    vector = _vector(target @ current.T)
    return vector if np.linalg.norm(vector) > 0.01 else np.zeros(3)


@wrong("rotation_error", fits=r"0 to π|long|shorter|2 ?π|from 0|angle|more than|π|half")
def the_long_way_round(current, target):
    """2 arccos(w) of a quaternion product whose w may be negative: up to a full turn instead of half a one."""
    a, b = np.empty(4), np.empty(4)
    mujoco.mju_mat2Quat(a, np.ascontiguousarray(current, dtype=float).ravel())
    mujoco.mju_mat2Quat(b, np.ascontiguousarray(target, dtype=float).ravel())
    a[1:] *= -1
    turn = np.empty(4)
    mujoco.mju_mulQuat(turn, b, a)
    sine = np.linalg.norm(turn[1:])
    return np.zeros(3) if sine < 1e-12 else turn[1:] / sine * 2 * np.arctan2(sine, turn[0])


@wrong("rotation_error", fits=r"sign|\by\b|second|pitch|D₀₂|one axis|\[0, 2\]|axis")
def second_axis_mirrored(current, target):
    """The y part has the wrong sign: D₂₀ − D₀₂."""
    return _vector(target @ current.T) * np.array([1, -1, 1])


@wrong("rotation_error", fits=r"half|/ ?2|twice|sine|angle|length")
def sine_not_halved(current, target):
    """The difference of the off-diagonal is twice the sine; atan2 gets it unhalved."""
    turn = target @ current.T
    parts = 2 * _parts(turn)
    sine, cosine = np.linalg.norm(parts), (np.trace(turn) - 1) / 2
    if sine < 1e-6:
        return _vector(turn)
    return parts / sine * np.arctan2(sine, cosine)


@right("rotation_error")
def by_way_of_mujocos_quaternion(current, target):
    """MuJoCo's quaternion of the turn, and its rotation vector."""
    quaternion, vector = np.zeros(4), np.zeros(3)
    mujoco.mju_mat2Quat(quaternion, (np.asarray(target, float) @ np.asarray(current, float).T).flatten())
    mujoco.mju_quat2Vel(vector, quaternion, 1.0)
    return vector


@right("rotation_error")
def by_way_of_the_largest_quaternion_row(current, target):
    """The quaternion as the largest column of its 4 × 4 outer product."""
    d = np.asarray(target, float) @ np.asarray(current, float).T
    s, x, y, z = np.trace(d), d[2, 1] - d[1, 2], d[0, 2] - d[2, 0], d[1, 0] - d[0, 1]
    outer = np.empty((4, 4))
    outer[1:, 1:] = d + d.T + (1 - s) * np.eye(3)
    outer[0, 0], outer[0, 1:], outer[1:, 0] = 1 + s, (x, y, z), (x, y, z)
    q = outer[np.argmax(np.diag(outer))]
    q = q / np.linalg.norm(q) * (1.0 if q[0] >= 0 else -1.0)
    sine = np.linalg.norm(q[1:])
    return 2 * q[1:] if sine < 1e-12 else q[1:] * (2 * math.atan2(sine, q[0]) / sine)


@right("rotation_error")
def by_the_axis_that_stays(current, target):
    """The axis is what the turn leaves in place (singular vector of D - 1), the angle is measured across it."""
    d = np.asarray(target, float) @ np.asarray(current, float).T
    parts = np.array([d[2, 1] - d[1, 2], d[0, 2] - d[2, 0], d[1, 0] - d[0, 1]]) / 2
    sine = np.linalg.norm(parts)
    if sine > 1e-3:
        return parts * (math.atan2(sine, (np.trace(d) - 1) / 2) / sine)
    if np.trace(d) > 0:
        return parts * (1 + sine**2 / 6)  # asin(x) / x for small x
    axis = np.linalg.svd(d + d.T - 2 * np.eye(3))[2][-1]
    angle = math.pi - math.asin(sine)
    return axis * (angle if axis @ parts >= 0 else -angle)


# ---------------------------------------------------------------- 03.4 damped_least_squares


@wrong("damped_least_squares", fits=r"square|²|\*\*|λ²")
def damping_not_squared(jacobian, error, damping):
    """λ instead of λ² on the diagonal."""
    return jacobian.T @ np.linalg.solve(jacobian @ jacobian.T + damping * np.eye(len(error)), error)


@wrong("damped_least_squares", fits=r"damping|λ|explod|bounded")
def damping_ignored(jacobian, error, damping):
    """The pseudo-inverse: the damping is ignored."""
    return np.linalg.pinv(jacobian) @ error


@wrong("damped_least_squares", fits=r"diagonal|identity|eye|\bI\b|every entry|all entries")
def damping_on_every_entry(jacobian, error, damping):
    """Adds λ² to every entry instead of the diagonal."""
    return jacobian.T @ np.linalg.lstsq(jacobian @ jacobian.T + damping**2, error, rcond=None)[0]


@wrong("damped_least_squares", fits=r"\b6\b|len\(error\)|shape|size|\bE\b|broadcast|as large as")
def six_numbers_of_error_only(jacobian, error, damping):
    """np.eye(6): for six numbers of error only."""
    return jacobian.T @ np.linalg.solve(jacobian @ jacobian.T + damping**2 * np.eye(6), error)


@wrong(
    "damped_least_squares",
    fits=r"transpos|Jᵀ|jacobian\.T|\.T|order|back through|rows|shape|swap|turned|mismatch",
)
def transposes_swapped(jacobian, error, damping):
    """J and Jᵀ are swapped; for a square Jacobian nothing stops."""
    return jacobian @ np.linalg.solve(jacobian.T @ jacobian + damping**2 * np.eye(jacobian.shape[1]), error)


@wrong("damped_least_squares", fits=r"transpos|Jᵀ|jacobian\.T|back through|shape|joint")
def stops_half_way(jacobian, error, damping):
    """Returns x of (J Jᵀ + λ² I) x = e, without going back through Jᵀ."""
    return np.linalg.solve(jacobian @ jacobian.T + damping**2 * np.eye(len(error)), error)


@wrong("damped_least_squares", fits=r"sign|opposite|direction|towards|away|minus")
def away_from_the_target(jacobian, error, damping):
    """A minus in front: the hand goes away from the target."""
    return -jacobian.T @ np.linalg.solve(jacobian @ jacobian.T + damping**2 * np.eye(len(error)), error)


@wrong("damped_least_squares", fits=r"solve|inver|JJ|J Jᵀ|\(J|Jᵀ|gradient|small as")
def one_step_downhill(jacobian, error, damping):
    """A gradient step Jᵀ e / (1 + λ²), without solving anything."""
    return jacobian.T @ error / (1 + damping**2)


@wrong("damped_least_squares", fits=r"in place|copy|input|argument|changed?|diagonal|given|own|JJ|J Jᵀ")
def damps_the_jacobian_itself(jacobian, error, damping):
    """Adds λ² to the diagonal of the caller's Jacobian and takes its pseudo-inverse."""
    np.fill_diagonal(jacobian, np.diag(jacobian) + damping**2)
    return np.linalg.pinv(jacobian) @ error


@wrong("damped_least_squares", fits=r"before|after|invert|inside|diagonal|bounded|singular|λ²")
def damps_after_inverting(jacobian, error, damping):
    """inv(J Jᵀ) + λ² I: the damping is added after the inversion."""
    return jacobian.T @ ((np.linalg.pinv(jacobian @ jacobian.T) + damping**2 * np.eye(len(error))) @ error)


@wrong("damped_least_squares", fits=r"damping|\b0\b|zero|only the error|given|λ")
def never_without_damping(jacobian, error, damping):
    """Damping 0 is replaced by 0.01 ("or")."""
    damping = damping or 0.01
    return jacobian.T @ np.linalg.solve(jacobian @ jacobian.T + damping**2 * np.eye(len(error)), error)


@wrong("damped_least_squares", fits=r"shape|column|one number per joint|ax[ei]s|\(J,|flat|vector")
def a_column_of_joints(jacobian, error, damping):
    """Returns (J, 1) instead of (J,)."""
    task = jacobian @ jacobian.T + damping**2 * np.eye(len(error))
    return jacobian.T @ np.linalg.solve(task, error.reshape(-1, 1))


@wrong("damped_least_squares", fits=r"damping|λ|bounded|length|shorten|small|scale|direction|diagonal")
def shortens_the_undamped_step(jacobian, error, damping):
    """The undamped step divided by 1 + λ²: as large as ever where the arm is stretched."""
    return np.linalg.pinv(jacobian) @ error / (1 + damping**2)


@wrong("damped_least_squares", fits=r"square|²|singular|σ|damping|λ|diagonal")
def damped_singular_values(jacobian, error, damping):
    """Adds λ to the singular values: 1 / (σ + λ) instead of σ / (σ² + λ²)."""
    u, sigma, vt = np.linalg.svd(jacobian, full_matrices=False)
    return vt.T @ ((u.T @ error) / (sigma + damping))


@right("damped_least_squares")
def stacked_least_squares(jacobian, error, damping):
    """One ordinary least-squares problem with λ I under J."""
    joints = jacobian.shape[1]
    rows = np.vstack([jacobian, damping * np.eye(joints)])
    return np.linalg.lstsq(rows, np.concatenate([error, np.zeros(joints)]), rcond=None)[0]


@right("damped_least_squares")
def singular_values(jacobian, error, damping):
    """σ / (σ² + λ²) on the singular values."""
    u, sigma, vt = np.linalg.svd(jacobian, full_matrices=False)
    weight = np.divide(sigma, sigma**2 + damping**2, out=np.zeros_like(sigma), where=sigma > 0)
    return vt.T @ (weight * (u.T @ error))


@right("damped_least_squares")
def in_torch(jacobian, error, damping):
    """torch.linalg.solve in float64."""
    j, e = (
        torch.tensor(np.array(jacobian), dtype=torch.float64),
        torch.tensor(np.array(error), dtype=torch.float64),
    )
    task = j @ j.mT
    task.diagonal().add_(damping**2)
    return (j.mT @ torch.linalg.solve(task, e[:, None]))[:, 0].numpy()


@right("damped_least_squares")
def with_an_inverse(jacobian, error, damping):
    """An explicit inverse and einsum."""
    j = np.array(jacobian, dtype=np.float64)
    inverse = np.linalg.inv(np.einsum("ij,kj->ik", j, j) + np.diag(np.full(j.shape[0], damping * damping)))
    return np.einsum("ij,ik,k->j", j, inverse, error)


# ---------------------------------------------------------------- 03.5 end_effector_delta


@wrong("end_effector_delta", fits=r"order|sign|swap|opposite|invers|target|other way|back")
def turns_back(position, rotation, target_position, target_rotation):
    """The turn from the target back to the current orientation."""
    return np.concatenate([target_position - position, rpy_from_matrix(rotation @ target_rotation.T)])


@wrong("end_effector_delta", fits=r"frame|hand|base|order|side")
def turn_in_the_hands_frame(position, rotation, target_position, target_rotation):
    """The turn is written in the hand's frame."""
    return np.concatenate([target_position - position, rpy_from_matrix(rotation.T @ target_rotation)])


@wrong("end_effector_delta", fits=r"frame|hand|base|position|translation|untouched|point|metre")
def step_in_the_hands_frame(position, rotation, target_position, target_rotation):
    """The translation is turned into the hand's frame."""
    step = rotation.T @ (target_position - position)
    return np.concatenate([step, rpy_from_matrix(target_rotation @ rotation.T)])


@wrong("end_effector_delta", fits=r"differen|subtract|one turn|multiply|Rᵀ|@|product")
def differences_of_rpy(position, rotation, target_position, target_rotation):
    """Subtracts roll, pitch and yaw of the two orientations."""
    angles = rpy_from_matrix(target_rotation) - rpy_from_matrix(rotation)
    return np.concatenate([target_position - position, angles])


@wrong("end_effector_delta", fits=r"roll|rpy|pitch|yaw|rotation vector|axis|three angles")
def axis_times_angle(position, rotation, target_position, target_rotation):
    """Axis × angle (03.3) instead of roll, pitch and yaw."""
    return np.concatenate([target_position - position, _vector(target_rotation @ rotation.T)])


@wrong("end_effector_delta", fits=r"degree|radian|°|57")
def angles_in_degrees(position, rotation, target_position, target_rotation):
    """Roll, pitch and yaw in degrees."""
    angles = np.rad2deg(rpy_from_matrix(target_rotation @ rotation.T))
    return np.concatenate([target_position - position, angles])


@wrong("end_effector_delta", fits=r"order|roll|yaw|reverse|swap")
def yaw_pitch_roll(position, rotation, target_position, target_rotation):
    """Yaw, pitch, roll: the order is turned around."""
    return np.concatenate([target_position - position, rpy_from_matrix(target_rotation @ rotation.T)[::-1]])


@wrong("end_effector_delta", fits=r"sign|minus|position|opposite|translation|target|points")
def step_backwards(position, rotation, target_position, target_rotation):
    """Position minus target."""
    return np.concatenate([position - target_position, rpy_from_matrix(target_rotation @ rotation.T)])


@wrong("end_effector_delta", fits=r"order|first three|last three|translation|xyz|swap")
def angles_first(position, rotation, target_position, target_rotation):
    """The angles come first and the translation last."""
    return np.concatenate([rpy_from_matrix(target_rotation @ rotation.T), target_position - position])


@wrong("end_effector_delta", fits=r"shape|six|\b6\b|concatenate|one (row|array)|\(2, 3\)|flat")
def two_rows_of_three(position, rotation, target_position, target_rotation):
    """Two rows of three numbers instead of six in one."""
    return np.stack([target_position - position, rpy_from_matrix(target_rotation @ rotation.T)])


@wrong("end_effector_delta", fits=r"in place|copy|input|argument|changed?|given|own array")
def another_moves_the_target(position, rotation, target_position, target_rotation):
    """Subtracts in the caller's target_position."""
    target_position -= position
    return np.concatenate([target_position, rpy_from_matrix(target_rotation @ rotation.T)])


@wrong("end_effector_delta", fits=r"small|large|rpy|roll|sin|angle")
def small_angles_of_the_turn(position, rotation, target_position, target_rotation):
    """Reads the angles off the off-diagonal: right for small turns only."""
    return np.concatenate([target_position - position, _parts(target_rotation @ rotation.T)])


@wrong("end_effector_delta", fits=r"metre|mm|milli|1000|unit")
def step_in_millimetres(position, rotation, target_position, target_rotation):
    """The translation in millimetres."""
    step = 1000 * (np.asarray(target_position) - position)
    return np.concatenate([step, rpy_from_matrix(target_rotation @ rotation.T)])


@wrong(
    "end_effector_delta",
    fits=r"clip|cut|limit|metre|untouched|scale|unit|±1|\b1\b|as (it|they)|radian|difference",
)
def already_cut_to_steps(position, rotation, target_position, target_rotation):
    """Cuts the translation to ±3 cm and the angles to ±0.1 rad, as option B does later."""
    delta = np.concatenate([target_position - position, rpy_from_matrix(target_rotation @ rotation.T)])
    limit = np.array([0.03, 0.03, 0.03, 0.1, 0.1, 0.1])
    return np.clip(delta, -limit, limit)


@wrong("end_effector_delta", fits=r"product|@|element|multiply|matrix|R_target|turn")
def elementwise_product(position, rotation, target_position, target_rotation):
    """`*` instead of `@`: multiplies entry by entry."""
    return np.concatenate([target_position - position, rpy_from_matrix(target_rotation * rotation.T)])


@wrong("end_effector_delta", fits=r"array|tuple|list|kind|type|ndarray")
def six_numbers_in_a_list(position, rotation, target_position, target_rotation):
    """A list instead of an array."""
    return [*(target_position - position), *rpy_from_matrix(target_rotation @ rotation.T)]


@right("end_effector_delta")
def with_an_inverse_matrix(position, rotation, target_position, target_rotation):
    """The inverse instead of the transpose, and np.hstack."""
    turn = np.asarray(target_rotation, dtype=float) @ np.linalg.inv(rotation)
    return np.hstack((np.subtract(target_position, position), rpy_from_matrix(turn)))


@right("end_effector_delta")
def with_einsum(position, rotation, target_position, target_rotation):
    """einsum for the turn, six places filled one after the other."""
    delta = np.empty(6)
    for axis in range(3):
        delta[axis] = target_position[axis] - position[axis]
    delta[3:] = rpy_from_matrix(np.einsum("ij,kj->ik", target_rotation, rotation))
    return delta


@right("end_effector_delta")
def with_homogeneous_matrices(position, rotation, target_position, target_rotation):
    """4 × 4 matrices of both poses: their product holds the turn, their last columns the positions."""
    now, goal = np.eye(4), np.eye(4)
    now[:3, :3], now[:3, 3] = rotation, position
    goal[:3, :3], goal[:3, 3] = target_rotation, target_position
    turn = (goal @ np.linalg.inv(now))[:3, :3]
    return np.r_[(goal - now)[:3, 3], rpy_from_matrix(turn)]


@right("end_effector_delta")
def angles_written_out(position, rotation, target_position, target_rotation):
    """Roll, pitch and yaw written out, with the two ends of pitch."""
    d = (np.asarray(rotation, dtype=float) @ np.asarray(target_rotation, dtype=float).T).T
    flat = math.sqrt(d[0, 0] ** 2 + d[1, 0] ** 2)
    if flat < 1e-9:
        roll, yaw = 0.0, math.atan2(-d[0, 1], d[1, 1])
    else:
        roll, yaw = math.atan2(d[2, 1], d[2, 2]), math.atan2(d[1, 0], d[0, 0])
    step = np.asarray(target_position, dtype=float) - position
    return np.array([*step, roll, math.atan2(-d[2, 0], flat), yaw])


# --- Neighbours of what got through


@wrong("control_rate_hz", "may be 0")
def never_without_reading(prefill_s, token_s, action_dim, chunk=1):
    """A prefill of 0 is taken for a missing one."""
    return chunk / ((prefill_s or 0.05) + action_dim * chunk * token_s)


@wrong("control_rate_hz", "below 1")
def at_least_one_a_second(prefill_s, token_s, action_dim, chunk=1):
    """A floor of half an action a second."""
    return max(0.5, chunk / (prefill_s + action_dim * chunk * token_s))


@wrong("control_rate_hz", "rounded to 2")
def two_places(prefill_s, token_s, action_dim, chunk=1):
    """Rounded to hundredths."""
    return round(chunk / (prefill_s + action_dim * chunk * token_s), 2)


@wrong("damped_least_squares", "singular values of J: it is added")
def damping_squared_on_singular_values(jacobian, error, damping):
    """1 / (σ + λ²)."""
    u, sigma, vt = np.linalg.svd(jacobian, full_matrices=False)
    return vt.T @ ((u.T @ error) / (sigma + damping**2))


@wrong("damped_least_squares", "damping 0|stand in for 0")
def at_least_a_thousandth(jacobian, error, damping):
    """A floor under the damping."""
    damping = max(damping, 1e-3)
    return jacobian.T @ np.linalg.solve(jacobian @ jacobian.T + damping**2 * np.eye(len(error)), error)


@wrong("end_effector_delta", "centimetres")
def step_in_centimetres(position, rotation, target_position, target_rotation):
    """The translation in centimetres."""
    step = 100 * (target_position - position)
    return np.concatenate([step, rpy_from_matrix(target_rotation @ rotation.T)])


@wrong("end_effector_delta", "cut to ±1")
def cut_to_one(position, rotation, target_position, target_rotation):
    """All six cut to ±1, as an action is."""
    delta = np.concatenate([target_position - position, rpy_from_matrix(target_rotation @ rotation.T)])
    return np.clip(delta, -1, 1)


@wrong("end_effector_delta", "divided by one step")
def already_in_steps(position, rotation, target_position, target_rotation):
    """Divided by what one action of option B moves."""
    delta = np.concatenate([target_position - position, rpy_from_matrix(target_rotation @ rotation.T)])
    return delta / np.array([0.03, 0.03, 0.03, 0.1, 0.1, 0.1])


# --- written from the notebook alone, a second time


@wrong("control_rate_hz", fits=r"once|prefill|per plan|one plan|each plan|chunk")
def reads_before_every_action(prefill_s, token_s, action_dim, chunk=1):
    """Pays the prefill once for every action instead of once for every plan."""
    return chunk / (chunk * (prefill_s + action_dim * token_s))


@wrong(
    "control_rate_hz",
    fits=r"chunk|every action|all (the )?actions|action_dim \* chunk|each of its numbers|numbers of",
)
def writes_one_action_only(prefill_s, token_s, action_dim, chunk=1):
    """Counts the tokens of one action of the plan only."""
    return chunk / (prefill_s + action_dim * token_s)


@wrong(
    "control_rate_hz",
    fits=r"first token|one token (too few|less|is missing)|every number|each (of its )?numbers?|token.*(missing|too few|all)|prefill.*(token|0)|number of tokens|division|zero",
)
def the_prefill_gives_the_first_token(prefill_s, token_s, action_dim, chunk=1):
    """Takes the first token as part of the prefill, so that one token_s is missing."""
    return chunk / (prefill_s + (action_dim * chunk - 1) * token_s)


@wrong("control_rate_hz", fits=r"round|whole|integer|\bint\b|fraction|decimal|digit|exact")
def whole_actions_only(prefill_s, token_s, action_dim, chunk=1):
    """Rounds the rate to one digit after the point; a slow policy gets 0."""
    return round(chunk / (prefill_s + action_dim * chunk * token_s), 1)


@right("control_rate_hz")
def seconds_per_action_once_more(prefill_s, token_s, action_dim, chunk=1):
    """One over the seconds per action: the prefill's share plus its tokens."""
    return (prefill_s / chunk + sum([token_s] * action_dim)) ** -1


@wrong(
    "encode_residual",
    fits=r"in place|input|argument|overwr|copy|changed|changes|expert_target.*(alter|modif)|-=",
)
def subtracts_in_place_once_more(expert_target, base_target, scale):
    """The expert's targets are changed in place."""
    expert_target -= base_target
    expert_target /= scale
    return np.clip(expert_target, -1.0, 1.0)


@wrong(
    "encode_residual",
    fits=r"joint by joint|each joint|other joints|by itself|its own|alone|every joint|clip|cut",
)
def shortens_the_whole_step_once_more(expert_target, base_target, scale):
    """Keeps the direction: divides all joints by the largest, so that one joint out of reach slows the others."""
    action = (expert_target - base_target) / scale
    largest = np.abs(action).max(axis=-1, keepdims=True)
    return action / np.maximum(largest, 1.0)


@wrong(
    "encode_residual", fits=r"batch|axes|axis|leading|shape|dimension|row|broadcast|out of bounds|size|index"
)
def one_joint_after_the_other(expert_target, base_target, scale):
    """Loops over joints along the first axis: right without a batch only."""
    action = np.zeros_like(expert_target)
    for joint in range(len(scale)):
        action[joint] = np.clip((expert_target[joint] - base_target[joint]) / scale[joint], -1.0, 1.0)
    return action


@wrong("encode_residual", fits=r"wrap|π|\bpi\b|full turn|plain difference|joint stops|stops|modulo|other way")
def the_short_way_round_once_more(expert_target, base_target, scale):
    """Wraps the difference to ±π."""
    step = np.arctan2(np.sin(expert_target - base_target), np.cos(expert_target - base_target))
    return np.clip(step / scale, -1.0, 1.0)


@right("encode_residual")
def cut_in_radians_first_once_more(expert_target, base_target, scale):
    """Cuts the radians to ±scale, then divides."""
    missing = np.subtract(expert_target, base_target)
    return np.minimum(np.maximum(missing, -scale), scale) / scale


def _sine_axis(turn):
    return np.array([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]]) / 2


@wrong("rotation_error", fits=r"half.?turn|half a turn|π|\bpi\b|180|column")
def half_turns_by_the_diagonal(current, target):
    """At half a turn the axis comes from roots of the diagonal, all positive: right only where no two of its numbers differ in sign."""
    turn = target @ current.T
    sine_axis = _sine_axis(turn)
    sine, cosine = np.linalg.norm(sine_axis), (np.trace(turn) - 1) / 2
    if sine < 1e-6:
        if cosine > 0:
            return sine_axis
        axis = np.sqrt(np.maximum((np.diag(turn) + 1) / 2, 0))
        return np.pi * axis / np.linalg.norm(axis)
    return sine_axis / sine * math.atan2(sine, cosine)


@wrong(
    "rotation_error", fits=r"90|π ?/ ?2|quarter|arcsin|asin|atan2|beyond|more than|large|obtuse|cosine|0 to π"
)
def angle_from_the_sine_once_more(current, target):
    """The angle is arcsin of the sine, so turns beyond a quarter come out too short."""
    turn = target @ current.T
    sine_axis = _sine_axis(turn)
    sine = min(1.0, float(np.linalg.norm(sine_axis)))
    if sine < 1e-6:
        if np.trace(turn) > 0:
            return sine_axis
        columns = turn + np.eye(3)
        axis = columns[:, np.argmax(np.linalg.norm(columns, axis=0))]
        return np.pi * axis / np.linalg.norm(axis)
    return sine_axis / sine * math.asin(sine)


@wrong("rotation_error", fits=r"small|little|tiny|near(ly)? equal|arccos|acos|atan2|precis|round|threshold")
def angle_from_the_trace(current, target):
    """The angle is arccos of the trace: turns below some 1e-8 rad vanish, those below 1e-4 are inexact."""
    turn = target @ current.T
    angle = np.arccos(np.clip((np.trace(turn) - 1) / 2, -1.0, 1.0))
    if angle < 1e-7:
        return np.zeros(3)
    sine_axis = _sine_axis(turn)
    if np.linalg.norm(sine_axis) < 1e-6 and np.trace(turn) < 0:
        columns = turn + np.eye(3)
        axis = columns[:, np.argmax(np.linalg.norm(columns, axis=0))]
        return angle * axis / np.linalg.norm(axis)
    return angle * sine_axis / np.sin(angle)


@wrong("rotation_error", fits=r"frame|base|hand'?s|order|other side|R_target R_current|target @ current")
def in_the_hand_frame(current, target):
    """The rotation vector along the hand's axes, not the base's."""
    turn = current.T @ target
    sine_axis = _sine_axis(turn)
    sine, trace = np.linalg.norm(sine_axis), np.trace(turn)
    if sine < 1e-6:
        if trace > 0:
            return sine_axis
        columns = turn + np.eye(3)
        axis = columns[:, np.argmax(np.linalg.norm(columns, axis=0))]
        return np.pi * axis / np.linalg.norm(axis)
    return sine_axis / sine * math.atan2(sine, (trace - 1) / 2)


@right("rotation_error")
def by_a_quaternion(current, target):
    """Shepperd's quaternion from the largest of four squares, then twice atan2 of its two parts."""
    turn = np.asarray(target, float) @ np.asarray(current, float).T
    squares = np.array([np.trace(turn), *np.diag(turn)])
    k = int(np.argmax(squares))
    if k == 0:
        w = math.sqrt(1 + squares[0]) / 2
        vector = _sine_axis(turn) / (2 * w)
    else:
        i, j, m = [(0, 1, 2), (1, 2, 0), (2, 0, 1)][k - 1]
        vector = np.zeros(3)
        vector[i] = math.sqrt(max(0.0, 1 + turn[i, i] - turn[j, j] - turn[m, m])) / 2
        vector[j] = (turn[i, j] + turn[j, i]) / (4 * vector[i])
        vector[m] = (turn[i, m] + turn[m, i]) / (4 * vector[i])
        w = (turn[m, j] - turn[j, m]) / (4 * vector[i])
    if w < 0:
        w, vector = -w, -vector
    length = float(np.linalg.norm(vector))
    return 2 * vector if length < 1e-12 else vector * (2 * math.atan2(length, w) / length)


@wrong(
    "damped_least_squares",
    fits=r"damping 0|λ = 0|undamped|shortest|zero damping|without damping|singular|J Jᵀ|more joints",
)
def as_large_as_the_joints(jacobian, error, damping):
    """(JᵀJ + λ²I)⁻¹ Jᵀe: no inverse with damping 0 where there are more joints than errors."""
    task = jacobian.T @ jacobian + damping**2 * np.eye(jacobian.shape[1])
    return np.linalg.solve(task, jacobian.T @ error)


@wrong("damped_least_squares", fits=r"diagonal|identity|np\.eye|every (number|entry)|all (numbers|entries)")
def damps_every_entry(jacobian, error, damping):
    """Adds λ² to all numbers of J Jᵀ, not on its diagonal only."""
    return jacobian.T @ np.linalg.solve(jacobian @ jacobian.T + damping**2, error)


@wrong(
    "damped_least_squares",
    fits=r"clip|cut|limit|shorten|0\.1|bound|large step|minimis|large error|linear|twice|proportional",
)
def cuts_the_step(jacobian, error, damping):
    """Also cuts every joint's step to 0.10 rad, which is the caller's business."""
    task = jacobian @ jacobian.T + damping**2 * np.eye(len(error))
    return np.clip(jacobian.T @ np.linalg.solve(task, error), -0.1, 0.1)


@wrong("damped_least_squares", fits=r"\b6\b|shape|broadcast|size|E and J|len\(error\)|as large as|number of")
def six_errors_always(jacobian, error, damping):
    """Takes for granted that there are six errors."""
    task = jacobian @ jacobian.T + damping**2 * np.eye(6)
    return jacobian.T @ np.linalg.solve(task, error)


@right("damped_least_squares")
def by_singular_values_once_more(jacobian, error, damping):
    """σ/(σ² + λ²) along each singular direction."""
    left, sigma, right_t = np.linalg.svd(jacobian, full_matrices=False)
    return right_t.T @ (sigma / (sigma**2 + damping**2) * (left.T @ error))


@wrong(
    "end_effector_delta",
    fits=r"fixed|order|intrinsic|rpy_from_matrix|own axes|moving|convention|z,? y,? x|roll, pitch",
)
def about_the_moving_axes(position, rotation, target_position, target_rotation):
    """Angles about axes that turn with the hand (x, then the new y, then the new z), not about fixed ones."""
    turn = target_rotation @ rotation.T
    pitch = math.asin(np.clip(turn[0, 2], -1.0, 1.0))
    roll = math.atan2(-turn[1, 2], turn[2, 2])
    yaw = math.atan2(-turn[0, 1], turn[0, 0])
    return np.concatenate([target_position - position, [roll, pitch, yaw]])


@wrong(
    "end_effector_delta",
    fits=r"base frame|hand'?s (own )?(frame|axes)|order|R_target R_current|target_rotation @ rotation|turn.*frame|frame.*turn",
)
def turn_in_the_hand_frame(position, rotation, target_position, target_rotation):
    """The turn is taken in the hand's frame: RᵀR_target."""
    return np.concatenate([target_position - position, rpy_from_matrix(rotation.T @ target_rotation)])


@wrong("end_effector_delta", fits=r"roll|pitch|yaw|rpy|large|small|rotation vector|sine|angles")
def small_turns_only(position, rotation, target_position, target_rotation):
    """Takes the skew part of the turn for its angles: right for small turns only."""
    return np.concatenate([target_position - position, _sine_axis(target_rotation @ rotation.T)])


@wrong(
    "end_effector_delta",
    fits=r"translation|position|first three|Δxyz|untouched|difference of points|already in the base",
)
def step_in_the_hand_frame(position, rotation, target_position, target_rotation):
    """The translation is turned into the hand's frame."""
    return np.concatenate(
        [rotation.T @ (target_position - position), rpy_from_matrix(target_rotation @ rotation.T)]
    )


@right("end_effector_delta")
def turn_by_solving(position, rotation, target_position, target_rotation):
    """Solves D R = R_target for D, and fills an empty array."""
    delta = np.empty(6)
    np.subtract(target_position, position, out=delta[:3])
    delta[3:] = rpy_from_matrix(np.linalg.solve(rotation.T, target_rotation.T).T)
    return delta


# --- neighbours of what got through


@wrong("damped_least_squares", "as large as the error")
def inverse_in_joint_space(jacobian, error, damping):
    """(JᵀJ + λ² I)⁻¹ Jᵀ e by an explicit inverse."""
    return np.linalg.inv(jacobian.T @ jacobian + damping**2 * np.eye(jacobian.shape[1])) @ jacobian.T @ error


@wrong("damped_least_squares", "cut as a whole to a length of 0.1")
def never_longer_than_a_tenth(jacobian, error, damping):
    """The whole step shortened to 0.1 rad."""
    step = jacobian.T @ np.linalg.solve(jacobian @ jacobian.T + damping**2 * np.eye(len(error)), error)
    return step * min(1.0, 0.1 / max(float(np.linalg.norm(step)), 1e-12))
