"""Checks of Day 03: what an action costs, what it means, and how a hand's pose becomes joint angles."""

from collections.abc import Callable, Iterator

import numpy as np

from vla_course.checks.claims import Claim
from vla_course.checks.report import Lesson, WorkedCase
from vla_course.control.actions import decode_residual
from vla_course.control.rotations import rpy_from_matrix

lesson = Lesson("day03")
show_case, borrow = lesson.show_case, lesson.borrow


def turn_x(angle_rad: float) -> np.ndarray:
    """The rotation matrix of a turn about x."""
    c, s = np.cos(angle_rad), np.sin(angle_rad)
    return np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])


def turn_z(angle_rad: float) -> np.ndarray:
    """The rotation matrix of a turn about z."""
    c, s = np.cos(angle_rad), np.sin(angle_rad)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


# Half a pi to machine precision, and its clean matrix: the hand yawed a quarter turn to the left.
YAWED = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])


@lesson.exercise(
    "03.1",
    library="vla_course.control.timing:control_rate_hz",
    minutes=8,
    difficulty=1,
    hints=(
        "How many seconds pass from one plan to the next? Count everything the model does in between, once.",
        "One plan costs the prefill plus one `token_s` for each of its numbers, and it has "
        "`action_dim * chunk` numbers. It gives the robot `chunk` actions.",
        "First line: `plan_s = prefill_s + action_dim * chunk * token_s`. Then actions per plan over seconds per plan.",
    ),
    case=WorkedCase(
        call="control_rate_hz(0.05, 0.02, 7, chunk=8)",
        steps=(
            ("read the picture and the words, once", "0.05 s"),
            ("write 8 actions of 7 numbers", "8 × 7 × 0.02 s = 1.12 s"),
            ("one plan takes", "1.17 s"),
            ("and holds", "8 actions"),
        ),
        answer=8 / 1.17,
    ),
)
def check_control_rate_hz(control_rate_hz: Callable[..., float]) -> Iterator[Claim]:
    """Three prices worked by hand: one arm, sixty joints, a chunk."""
    forgets = "reading the picture and the words (prefill_s) costs time on every plan too"
    yield Claim(
        "0.05 s to read and 7 tokens of 0.02 s make 1/0.19 = 5.26 actions a second",
        got=control_rate_hz(0.05, 0.02, 7),
        expected=1 / 0.19,
        hint="actions per second are 1 over the seconds one action takes: prefill_s + action_dim * token_s",
        mistakes={
            forgets: 1 / 0.14,
            "that is the seconds one action takes: the rate is 1 over it": 0.19,
        },
    )
    yield Claim(
        "61 numbers drop it to 1/1.27 = 0.787",
        got=control_rate_hz(0.05, 0.02, 61),
        expected=1 / 1.27,
        hint="every number is a token of its own: the price grows with action_dim",
    )
    yield Claim(
        "a chunk of 8 actions raises 5.26 to 8/1.17 = 6.84: the picture is read once for eight actions",
        got=control_rate_hz(0.05, 0.02, 7, chunk=8),
        expected=8 / 1.17,
        hint="a plan has action_dim * chunk tokens and gives the robot chunk actions",
        mistakes={
            "a chunk is not free: its 8 × 7 numbers are 56 tokens, not 7": 8 / 0.19,
            "that counts plans per second; each plan holds chunk actions": 1 / 1.17,
        },
    )


@lesson.exercise(
    "03.2",
    library="vla_course.control.actions:encode_residual",
    minutes=10,
    difficulty=1,
    hints=(
        "A residual is what is missing: where the expert wants the joint, minus where the base policy put it.",
        "An action of 1 moves a joint by its `scale`, so the missing radians become numbers by dividing, joint by "
        "joint. What cannot be reached in one action is cut to ±1.",
        "First line: `action = (expert_target - base_target) / scale`. Then `np.clip`.",
    ),
    case=WorkedCase(
        call="encode_residual(np.array([.55, 1.2, 0]), np.array([.5, 1, .5]), np.array([.10, .25, .10]))",
        steps=(
            ("missing, in radians", "(.05, .2, −.5)"),
            ("divided by what an action of 1 moves", "(.5, .8, −5)"),
            ("cut to what an action can say", "(.5, .8, −1)"),
        ),
        answer=np.array([0.5, 0.8, -1.0]),
    ),
)
def check_encode_residual(encode_residual: Callable[..., np.ndarray]) -> Iterator[Claim]:
    """One case with an arm joint, a finger joint and one joint out of reach; then the law of going back."""
    expert, base = np.array([0.55, 1.2, 0.0]), np.array([0.5, 1.0, 0.5])
    scale = np.array([0.10, 0.25, 0.10])
    yield Claim(
        "two joints arrive and the third, 0.5 rad away, goes as far as it can",
        got=encode_residual(expert, base, scale),
        expected=np.array([0.5, 0.8, -1.0]),
        hint="missing radians over the radians that an action of 1 moves, cut to [-1, 1]",
        mistakes={
            "an action of 1 moves the joint by scale: divide the missing radians by it, don't multiply": np.array(
                [0.005, 0.05, -0.05]
            ),
            "the sign is turned round: the action must move the base's target onto the expert's": np.array(
                [-0.5, -0.8, 1.0]
            ),
            "every joint has its own scale: here the arm's 0.10 was used on the finger's 0.25": np.array(
                [0.5, 1.0, -1.0]
            ),
            "an action lives in [-1, 1]: cut what is outside": np.array([0.5, 0.8, -5.0]),
        },
    )
    yield Claim(
        "where nothing was cut, decode_residual gives the expert's targets back",
        got=decode_residual(encode_residual(expert[:2], base[:2], scale[:2]), base[:2], scale[:2]),
        expected=expert[:2],
        hint="decode_residual adds scale * action to the base's target: undo exactly that",
    )


@lesson.exercise(
    "03.3",
    library="vla_course.control.rotations:rotation_error",
    minutes=15,
    difficulty=3,
    hints=(
        "First find the one rotation D that, applied after the current orientation, gives the target: "
        "D R_current = R_target. Then write D as axis × angle.",
        "D = R_target R_currentᵀ. Its trace is 1 + 2 cos(angle), and (D₂₁ − D₁₂, D₀₂ − D₂₀, D₁₀ − D₀₁) / 2 is "
        "sin(angle) × axis. `atan2(sine, cosine)` gives the angle in every quadrant; at zero angle return zeros.",
        "First line: `turn = target @ current.T`. Then `sine_axis = np.array([turn[2, 1] - turn[1, 2], "
        "turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]]) / 2`. Dividing by its length gives the axis.",
    ),
    case=WorkedCase(
        call="rotation_error(np.array([[0., -1, 0], [1, 0, 0], [0, 0, 1]]), "
        "np.array([[1, 0, 0], [0, np.cos(.3), -np.sin(.3)], [0, np.sin(.3), np.cos(.3)]])"
        " @ np.array([[0., -1, 0], [1, 0, 0], [0, 0, 1]]))",
        steps=(
            ("current: hand yawed by 90°", "Rz(90°)"),
            ("target: the same, then turned .3 rad about the room's x", "Rx(.3) Rz(90°)"),
            ("target × current transposed: the yaw cancels", "Rx(.3)"),
            ("its axis and its angle", "(1, 0, 0) and .3 rad"),
        ),
        answer=np.array([0.3, 0.0, 0.0]),
    ),
)
def check_rotation_error(rotation_error: Callable[..., np.ndarray]) -> Iterator[Claim]:
    """Turns about the room's axes with the hand already turned, so that every frame mix-up shows."""
    rolled = turn_x(0.5)
    yield Claim(
        "a rolled hand that must turn 1.2 rad about the room's z: (0, 0, 1.2)",
        got=rotation_error(rolled, turn_z(1.2) @ rolled),
        expected=np.array([0.0, 0.0, 1.2]),
        hint="axis × angle of target @ current.T, in radians",
        mistakes={
            "that turns from the target to the current orientation: swap them": np.array([0.0, 0.0, -1.2]),
            "that is the axis as the hand sees it; in the base frame the current orientation is undone first, "
            "on the right: target @ current.T": np.array([0.0, 1.2 * np.sin(0.5), 1.2 * np.cos(0.5)]),
            "the difference of the matrices' off-diagonals is the sine of the angle; you want the angle itself "
            "(here 1.2, whose sine is .932)": np.array([0.0, 0.0, np.sin(1.2)]),
            "a degree slipped in: the answer is in radians": np.array([0.0, 0.0, np.rad2deg(1.2)]),
        },
    )
    yield Claim(
        "a yawed hand that must turn 0.3 rad about the room's x: (0.3, 0, 0)",
        got=rotation_error(YAWED, turn_x(0.3) @ YAWED),
        expected=np.array([0.3, 0.0, 0.0]),
        hint="axis × angle of target @ current.T, in radians",
        mistakes={
            "orientations do not subtract: the difference of roll, pitch, yaw is a rotation vector only while "
            "the hand is not turned": np.array([0.0, -0.3, 0.0]),
        },
    )
    yield Claim(
        "no error where the hand is already right, whatever its orientation",
        got=np.array([rotation_error(same, same) for same in (turn_z(a) @ turn_x(2 * a) for a in range(50))]),
        expected=np.zeros((50, 3)),
        hint="at angle zero the axis is 0/0: return zeros there (and rounding can push a cosine just above 1)",
    )
    yield Claim(
        "more than a quarter turn: 2.5 rad stay 2.5 rad",
        got=rotation_error(rolled, turn_z(2.5) @ rolled),
        expected=np.array([0.0, 0.0, 2.5]),
        hint="past 90° the sine shrinks again: take the angle from sine and cosine together (atan2)",
    )


@lesson.exercise(
    "03.4",
    library="vla_course.robot.inverse_kinematics:damped_least_squares",
    minutes=15,
    difficulty=2,
    hints=(
        "Undamped you would solve J dq = e. Where J has lost a direction there is no solution, and next to it only "
        "a huge one. Add a little to the diagonal of what you invert and the step stays bounded.",
        "dq = Jᵀ x, where x solves (J Jᵀ + λ² I) x = e. J Jᵀ is as large as the error (6 × 6 for a hand), "
        "however many joints there are.",
        "First line: `task = jacobian @ jacobian.T + damping**2 * np.eye(len(error))`. Then `np.linalg.solve`, "
        "and back through `jacobian.T`.",
    ),
    case=WorkedCase(
        call="damped_least_squares(np.array([[2., 0, 0], [0, 1, 0]]), np.array([1., 1]), 0.5)",
        steps=(
            ("J Jᵀ", "diag(4, 1)"),
            ("+ λ² on the diagonal, λ² = .25", "diag(4.25, 1.25)"),
            ("solve for e = (1, 1)", "(1/4.25, 1/1.25)"),
            ("back through Jᵀ", "(2/4.25, 1/1.25, 0)"),
        ),
        answer=np.array([2 / 4.25, 0.8, 0.0]),
    ),
)
def check_damped_least_squares(damped_least_squares: Callable[..., np.ndarray]) -> Iterator[Claim]:
    """A diagonal Jacobian by hand, a singular one, and the bound that damping promises."""
    jacobian, error = np.array([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), np.array([1.0, 1.0])
    yield Claim(
        "J = [[2, 0, 0], [0, 1, 0]], e = (1, 1), λ = .5 gives (2/4.25, 1/1.25, 0)",
        got=damped_least_squares(jacobian, error, 0.5),
        expected=np.array([2 / 4.25, 1 / 1.25, 0.0]),
        hint="Jᵀ (J Jᵀ + λ² I)⁻¹ e",
        mistakes={
            "λ enters squared": np.array([2 / 4.5, 1 / 1.5, 0.0]),
            "Jᵀ e points downhill but has the wrong length: (J Jᵀ + λ² I)⁻¹ is missing": np.array(
                [2.0, 1.0, 0.0]
            ),
            "that is the undamped step (pseudo-inverse): add λ² to the diagonal before you invert": np.array(
                [0.5, 1.0, 0.0]
            ),
            "the step must reduce the error: the sign is turned round": np.array([-2 / 4.25, -0.8, 0.0]),
        },
    )
    yield Claim(
        "where the arm has lost a direction the step stays small: (.8, 0)",
        got=damped_least_squares(np.array([[1.0, 0.0], [0.0, 0.0]]), error, 0.5),
        expected=np.array([0.8, 0.0]),
        hint="damping also stands where J Jᵀ has a zero on its diagonal",
    )
    rng = np.random.default_rng(3)
    jacobian, error = rng.normal(size=(6, 6)) * np.logspace(-6, 0, 6), rng.normal(size=6)
    length = float(np.linalg.norm(damped_least_squares(jacobian, error, 0.05)))
    yield Claim(
        "however bad the Jacobian, no step is longer than |e| / 2λ",
        got=bool(length <= np.linalg.norm(error) / (2 * 0.05)),
        expected=True,
        hint="each singular value σ contributes σ / (σ² + λ²), which is never more than 1 / 2λ",
    )


@lesson.exercise(
    "03.5",
    library="vla_course.control.actions:end_effector_delta",
    minutes=12,
    difficulty=3,
    hints=(
        "Two questions, one answer each: where to (a difference of points), and which turn (the D of 03.3).",
        "The translation is target minus current, untouched: both are already in the base frame. The turn is "
        "R_target R_currentᵀ; its roll, pitch and yaw are the last three numbers.",
        "First line: `turn = target_rotation @ rotation.T`. Then `rpy_from_matrix(turn)`, and `np.concatenate`.",
    ),
    case=WorkedCase(
        call="end_effector_delta(np.zeros(3), np.array([[0., -1, 0], [1, 0, 0], [0, 0, 1]]), np.array([.1, 0, .2]), "
        "np.array([[1, 0, 0], [0, np.cos(.3), -np.sin(.3)], [0, np.sin(.3), np.cos(.3)]])"
        " @ np.array([[0., -1, 0], [1, 0, 0], [0, 0, 1]]))",
        steps=(
            ("hand at the origin, yawed by 90°", "Rz(90°)"),
            ("target at (.1, 0, .2), turned .3 about the room's x", "Rx(.3) Rz(90°)"),
            ("difference of the positions", "(.1, 0, .2)"),
            ("target × current transposed", "Rx(.3): roll .3, pitch 0, yaw 0"),
        ),
        answer=np.array([0.1, 0.0, 0.2, 0.3, 0.0, 0.0]),
    ),
)
def check_end_effector_delta(end_effector_delta: Callable[..., np.ndarray]) -> Iterator[Claim]:
    """A yawed and a rolled hand: in both, base frame and hand frame disagree in translation or rotation."""
    position, goal = np.zeros(3), np.array([0.1, 0.0, 0.2])
    rolled = turn_x(1.0)
    as_the_hand_sees_it = rpy_from_matrix(turn_x(-1.0) @ turn_z(0.3) @ rolled)
    yield Claim(
        "a hand rolled by 1 rad, moved by (.1, 0, .2) and turned .3 about the room's z: (.1, 0, .2, 0, 0, .3)",
        got=end_effector_delta(position, rolled, goal, turn_z(0.3) @ rolled),
        expected=np.array([0.1, 0.0, 0.2, 0.0, 0.0, 0.3]),
        hint="Δxyz first, then roll, pitch, yaw of target_rotation @ rotation.T",
        mistakes={
            "that translation is seen from the hand: in the base frame it is the plain difference": np.array(
                [0.1, 0.2 * np.sin(1.0), 0.2 * np.cos(1.0), 0.0, 0.0, 0.3]
            ),
            "that turn is seen from the hand: in the base frame it is target_rotation @ rotation.T": np.array(
                [0.1, 0.0, 0.2, *as_the_hand_sees_it]
            ),
            "a delta goes from here to the target: swap the two": np.array([-0.1, 0.0, -0.2, 0.0, 0.0, -0.3]),
        },
    )
    yield Claim(
        "a hand yawed by 90° and turned .3 about the room's x: only roll changes",
        got=end_effector_delta(position, YAWED, goal, turn_x(0.3) @ YAWED),
        expected=np.array([0.1, 0.0, 0.2, 0.3, 0.0, 0.0]),
        hint="Δxyz first, then roll, pitch, yaw of target_rotation @ rotation.T",
        mistakes={
            "angles do not subtract: take roll, pitch, yaw of the one turn from here to there": np.array(
                [0.1, 0.0, 0.2, 0.0, -0.3, 0.0]
            ),
        },
    )
