"""Checks of Day 03: what an action costs, what it means, and how a hand's pose becomes joint angles."""

from collections.abc import Callable, Iterator

import numpy as np

from vla_course.checks.calls import Rules
from vla_course.checks.claims import Claim, roundings, value_or_raised
from vla_course.checks.report import Lesson, WorkedCase
from vla_course.control.actions import decode_residual
from vla_course.control.rotations import rotation_error as library_rotation_error
from vla_course.control.rotations import rpy_from_matrix

lesson = Lesson("day03")
show_case, borrow = lesson.show_case, lesson.borrow


def turn_x(angle_rad: float) -> np.ndarray:
    """The rotation matrix of a turn about x."""
    c, s = np.cos(angle_rad), np.sin(angle_rad)
    return np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])


def turn_y(angle_rad: float) -> np.ndarray:
    """The rotation matrix of a turn about y."""
    c, s = np.cos(angle_rad), np.sin(angle_rad)
    return np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])


def turn_z(angle_rad: float) -> np.ndarray:
    """The rotation matrix of a turn about z."""
    c, s = np.cos(angle_rad), np.sin(angle_rad)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def turn_about(rotation_vector: np.ndarray) -> np.ndarray:
    """The rotation matrix of axis × angle. Source: Rodrigues 1840."""
    angle = float(np.linalg.norm(rotation_vector))
    if angle == 0:
        return np.eye(3)
    x, y, z = rotation_vector / angle
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    matrix: np.ndarray = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    return matrix


# Half a pi to machine precision, and its clean matrix: the hand yawed a quarter turn to the left.
YAWED = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
# An axis of length 1 that is none of the three, and whose largest number is negative.
SLANTED = np.array([2.0, 3.0, -6.0]) / 7


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
    rules=Rules(returns=1.0),
)
def check_control_rate_hz(control_rate_hz: Callable[..., float]) -> Iterator[Claim]:
    """Three prices worked by hand: one arm, sixty joints, a chunk; then four other numbers."""
    forgets = "reading the picture and the words (prefill_s) costs time on every plan too"
    yield Claim(
        "0.05 s to read and 7 tokens of 0.02 s make 1/0.19 = 5.26 actions a second",
        got=control_rate_hz(0.05, 0.02, 7),
        expected=1 / 0.19,
        hint="count the seconds of one plan: the picture and the words are read once, and every number is one token more. Here "
        "that makes 0.05 + 0.14 s",
        mistakes={
            forgets: 1 / 0.14,
            "that is the seconds one action takes: the rate is 1 over it": 0.19,
            "one token too few: every number is a token that has to be written, the first one too": 1 / 0.17,
            "one token too many: every number is one token, and no other token is written": 1 / 0.21,
            "times are in seconds, so nothing is divided by 1000": 1000 / 0.19,
        }
        | roundings(1 / 0.19),
        tolerance=1e-6,
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
            "the picture is read once for the whole chunk; that pays prefill_s for every action of it": 1
            / 0.19,
            "the robot gets one action for every chunk paid: a plan holds chunk actions": 1 / (8 * 0.19),
        },
    )
    yield Claim(
        "0.3 s to read, tokens of 0.01 s, chunks of 4 actions of 5 numbers: 4/0.5 = 8",
        got=control_rate_hz(0.3, 0.01, 5, chunk=4),
        expected=8.0,
        hint="prefill_s, token_s, action_dim and chunk are arguments: is a number of the cases above left in your function?",
        mistakes={
            "prefill_s is an argument: 0.05 was only the example's": 4 / 0.25,
            "token_s is an argument: 0.02 was only the example's": 4 / 0.7,
        },
    )
    yield Claim(
        "a fast model has a high rate: 25 actions in 0.1 + 25 × 7 × 0.001 s make 90.9 a second",
        got=control_rate_hz(0.1, 0.001, 7, chunk=25),
        expected=25 / 0.275,
        hint="the rate is what the times say, however high: no limit is asked for, and nothing is rounded",
        mistakes={
            "that is cut at 20 actions a second: how often the robot can take one is not asked here": 20.0,
            "that is cut at 50 actions a second: how often the robot can take one is not asked here": 50.0,
        }
        | roundings(25 / 0.275, (0, 1, 2)),
        tolerance=1e-6,
    )
    yield Claim(
        "a slow model has a low one, and reading may cost nothing: 2 tokens of 2.5 s make 0.2 a second",
        got=control_rate_hz(0.0, 2.5, 2),
        expected=0.2,
        hint="prefill_s may be 0: nothing stands in for it (0 is false, so `prefill_s or …` is something else). And a rate below 1 is a rate",
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
    rules=Rules(returns=np.zeros(1)),
)
def check_encode_residual(encode_residual: Callable[..., np.ndarray]) -> Iterator[Claim]:
    """One case with an arm joint, a finger joint and one joint out of reach; the law of going back; rows; random numbers."""
    expert, base = np.array([0.55, 1.2, 0.0]), np.array([0.5, 1.0, 0.5])
    scale = np.array([0.10, 0.25, 0.10])
    yield Claim(
        "two joints arrive and the third, 0.5 rad away, goes as far as it can",
        got=encode_residual(expert, base, scale),
        expected=np.array([0.5, 0.8, -1.0]),
        hint="missing radians over the radians that an action of 1 moves, each cut to [-1, 1], joint by joint",
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
            "one joint out of reach must not slow the others: cut joint by joint, do not shorten them all": np.array(
                [0.1, 0.16, -1.0]
            ),
            "every joint has its own scale: here the largest one, 0.25, was used for all that an action of 1 moves": (
                np.array([0.2, 0.8, -1.0])
            ),
            "a joint that is out of reach goes as far as it can, it does not stay: cut to ±1": np.array(
                [0.5, 0.8, 0.0]
            ),
        },
    )
    yield Claim(
        "where nothing was cut, decode_residual gives the expert's targets back",
        got=decode_residual(encode_residual(expert[:2], base[:2], scale[:2]), base[:2], scale[:2]),
        expected=expert[:2],
        hint="decode_residual adds scale * action to the base's target: undo exactly that",
    )
    experts = np.array([[0.05, 1.0, -0.03], [3.0, -0.15, 0.2]])
    bases = np.array([[0.0, 1.2, 0.0], [-3.0, 0.0, 0.25]])
    yield Claim(
        "two rows of three joints: (.5, −.8, −.3), and a joint at −3 that should go to 3 moves up: (1, −.6, −.5)",
        got=encode_residual(experts, bases, scale),
        expected=np.array([[0.5, -0.8, -0.3], [1.0, -0.6, -0.5]]),
        hint="the last axis counts joints, whatever stands before it counts rows: compute with whole arrays, not along the first axis",
        mistakes={
            "an angle is not wrapped here: a joint at −3 that should go to 3 has to turn the whole way, as far as it can in "
            "one action": np.array([[0.5, -0.8, -0.3], [-1.0, -0.6, -0.5]]),
            "cut at both ends: at 1 as well as at −1": np.array([[0.5, -0.8, -0.3], [60.0, -0.6, -0.5]]),
        },
    )
    rng = np.random.default_rng(2)
    experts, bases, scales = rng.normal(size=(2, 3, 5)), rng.normal(size=(2, 3, 5)), rng.uniform(0.5, 2, 5)
    wanted = np.array(
        [
            [
                [min(1.0, max(-1.0, (e - b) / s)) for e, b, s in zip(*joints, scales, strict=True)]
                for joints in pair
            ]
            for pair in (zip(*rows, strict=True) for rows in zip(experts, bases, strict=True))
        ]
    )
    yield Claim(
        "random targets, 2 × 3 rows of five joints, each joint with a scale of its own",
        got=encode_residual(experts, bases, scales),
        expected=wanted,
        hint="any number of axes may stand before the last, and there are as many scales as joints: five here",
    )


@lesson.exercise(
    "03.3",
    library="vla_course.control.rotations:rotation_error",
    minutes=15,
    difficulty=3,
    hints=(
        "First find the one rotation D that, applied after the current orientation, gives the target: "
        "D R_current = R_target. Then write D as axis × angle.",
        "D is R_target times R_current transposed. Its trace is 1 + 2 cos(angle); half of what it has beyond its own transpose "
        "is sin(angle) × axis. `atan2(sine, cosine)` gives the angle from 0 to π. Where the sine is 0 the angle is 0 or π: at 0 "
        "return zeros; at π the axis is the direction that D leaves alone, a column of D + I.",
        "First line: `turn = target @ current.T`. Then `sine_axis = np.array([turn[2, 1] - turn[1, 2], "
        "turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]]) / 2`. Dividing by its length gives the axis; where that length is "
        "below 1e-6 and the trace is negative, divide the longest column of `turn + np.eye(3)` by its length.",
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
    rules=Rules(returns=np.zeros(1)),
)
def check_rotation_error(rotation_error: Callable[..., np.ndarray]) -> Iterator[Claim]:
    """Turns about the room's axes with the hand already turned, so that every frame mix-up shows; slanted, tiny and half turns."""
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
        # At a = 27 the cosine comes out just above 1.
        got=[_nan_where_undefined(rotation_error, turn_z(a) @ turn_x(2 * a)) for a in (0, 2, 27)],
        expected=[np.zeros(3)] * 3,
        hint="at angle zero the axis is 0/0: return zeros there (and rounding can push a cosine just above 1)",
    )
    yield Claim(
        "more than a quarter turn: 2.5 rad stay 2.5 rad",
        got=rotation_error(rolled, turn_z(2.5) @ rolled),
        expected=np.array([0.0, 0.0, 2.5]),
        hint="past 90° the sine shrinks again: take the angle from sine and cosine together (atan2)",
    )
    turn = 0.9 * SLANTED
    pose = turn_z(0.4) @ turn_y(-0.7)
    yield Claim(
        "0.9 rad about a slanted axis, (2, 3, −6)/7",
        got=rotation_error(pose, turn_about(turn) @ pose),
        expected=turn,
        hint="about x and z it was right: does every number of the axis have its own sign and size?",
        mistakes={
            "the first number has the wrong sign: turn about x alone, by hand": turn * np.array([-1, 1, 1]),
            "the middle number has the wrong sign: turn about y alone, by hand": turn * np.array([1, -1, 1]),
            "the last number has lost its minus, or has the wrong sign: turn about −z alone, by hand": turn
            * np.array([1, 1, -1]),
            "that axis points the other way, so the turn does too: an eigenvector has no sign, what differs between the matrix "
            "and its transpose has one": -turn,
        },
    )
    yield Claim(
        "a small turn is a turn: 0.0001 rad about the slanted axis",
        got=rotation_error(pose, turn_about(1e-4 * SLANTED) @ pose),
        expected=1e-4 * SLANTED,
        hint="near zero: a small angle has a small sine, and their quotient is still good",
        mistakes={
            "that is zero although the hand is 0.0001 rad off: only where the sine is as small as rounding (1e-9) is there no axis": (
                np.zeros(3)
            ),
        },
        tolerance=1e-8,
    )
    half = turn_about(np.pi * SLANTED)
    found = _nan_where_undefined(rotation_error, pose, half @ pose)
    yield Claim(
        "half a turn about the slanted axis has the length π",
        got=float(np.linalg.norm(found)),
        expected=float(np.pi),
        hint="half a turn: its sine is 0 and its cosine −1, so the angle is π",
        mistakes={
            "half a turn is no zero turn: the sine is 0 there as well, but the cosine is −1, not 1": 0.0
        },
        tolerance=1e-4,
    )
    yield Claim(
        "and it leads to the target: turning about what comes back gives the matrix of that half turn",
        got=turn_about(np.asarray(found, dtype=float)),
        expected=half,
        hint="half a turn: the axis (either sign of all three) is the direction that the turn leaves alone; nothing of it is left in "
        "the difference from the transpose",
        tolerance=1e-4,
    )
    rng = np.random.default_rng(4)
    turns = [rng.normal(size=3) for _ in range(3)]
    turns = [turn * rng.uniform(0.2, 3.0) / np.linalg.norm(turn) for turn in turns]
    yield Claim(
        "three random turns come back",
        got=[rotation_error(pose, turn_about(turn) @ pose) for turn in turns],
        expected=turns,
        hint="axis × angle of target @ current.T, in radians, for any axis",
    )
    # Its length alone: the axis of an eigenvector is rounding here, and is accepted.
    tiny = np.linalg.norm(rotation_error(pose, turn_about(5e-8 * SLANTED) @ pose)) / 5e-8
    yield Claim(
        "a tiny turn is a turn: 0.00000005 rad, the length of what comes back as a share of it",
        got=float(tiny),
        expected=1.0,
        hint="a tiny turn vanishes: its cosine is 1 but for rounding, so arccos of the trace alone says 0, or a threshold is too large. "
        "Take the angle from sine and cosine together (atan2)",
        tolerance=1e-4,
    )


def _nan_where_undefined(
    function: Callable[..., np.ndarray], current: np.ndarray, target: np.ndarray | None = None
) -> np.ndarray:
    """What the function gives, or NaN where Python's `acos` or a division refuses: that is a mistake with a hint of its own."""
    try:
        with np.errstate(invalid="ignore", divide="ignore"):
            return function(current, current if target is None else target)
    except (ValueError, ZeroDivisionError) as error:
        if str(error) in ("math domain error", "float division by zero", "division by zero"):
            return np.full(3, np.nan)
        raise


@lesson.exercise(
    "03.4",
    library="vla_course.robot.inverse_kinematics:damped_least_squares",
    minutes=15,
    difficulty=2,
    hints=(
        "Undamped you would solve J dq = e. Where J has lost a direction there is no solution, and next to it only "
        "a huge one. Add a little to the diagonal of what you invert and the step stays bounded.",
        "J Jᵀ is as large as the error (6 × 6 for a hand), however many joints there are. Damp it on its diagonal, with λ "
        "squared; solve with it for e; and Jᵀ brings the solution back to joints.",
        "dq = Jᵀ x, where x solves (J Jᵀ + λ² I) x = e. First line: `task = jacobian @ jacobian.T + damping**2 * "
        "np.eye(len(error))`. Then `np.linalg.solve`, and back through `jacobian.T`.",
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
    rules=Rules(returns=np.zeros(1)),
)
def check_damped_least_squares(damped_least_squares: Callable[..., np.ndarray]) -> Iterator[Claim]:
    """A diagonal Jacobian by hand, a singular one, the bound that damping promises, rows that meet, a long step, random numbers."""
    jacobian, error = np.array([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), np.array([1.0, 1.0])
    yield Claim(
        "J = [[2, 0, 0], [0, 1, 0]], e = (1, 1), λ = .5 gives (2/4.25, 1/1.25, 0)",
        got=damped_least_squares(jacobian, error, 0.5),
        expected=np.array([2 / 4.25, 1 / 1.25, 0.0]),
        hint='compare with the case worked by hand, which has these numbers: checks.show_case("03.4"). Is the damping squared, does '
        "it stand on the diagonal, and before the solving?",
        mistakes={
            "λ enters squared": np.array([2 / 4.5, 1 / 1.5, 0.0]),
            "that step was cut joint by joint to ±0.1 rad: damping bounds it, nothing else is asked for": np.array(
                [0.1, 0.1, 0.0]
            ),
            "that step was cut as a whole to a length of 0.1 rad: damping bounds it, nothing else is asked for": (
                0.1 * _direction(np.array([2 / 4.25, 0.8, 0.0]))
            ),
            "Jᵀ e points downhill but has the wrong length: (J Jᵀ + λ² I)⁻¹ is missing": np.array(
                [2.0, 1.0, 0.0]
            ),
            "that is the undamped step (pseudo-inverse): add λ² to the diagonal before you invert": np.array(
                [0.5, 1.0, 0.0]
            ),
            "the step must reduce the error: the sign is turned round": np.array([-2 / 4.25, -0.8, 0.0]),
            "λ² stands on the diagonal only: it is λ² times the unit matrix that is added": jacobian.T
            @ np.linalg.solve(jacobian @ jacobian.T + 0.25, error),
            "the solution is for the two errors: Jᵀ brings it back to the three joints": np.array(
                [1 / 4.25, 0.8, 0.0]
            ),
            "that is Jᵀ e / (1 + λ²), a step downhill: J Jᵀ with λ² on its diagonal has still to be inverted": np.array(
                [1.6, 0.8, 0.0]
            ),
            "that is Jᵀ e / (1 + λ), a step downhill: J Jᵀ with λ² on its diagonal has still to be inverted": (
                np.array([2.0, 1.0, 0.0]) / 1.5
            ),
            "damping comes too late after inverting: add λ² to the diagonal of J Jᵀ before": np.array(
                [1.0, 1.25, 0.0]
            ),
            "λ comes too late after inverting, and not squared: add λ² to the diagonal of J Jᵀ before": np.array(
                [1.5, 1.5, 0.0]
            ),
            "that is the undamped step, shortened as a whole by 1 + λ²: each direction is damped by itself, the weak ones most": (
                np.array([0.4, 0.8, 0.0])
            ),
            "that is the undamped step, shortened as a whole by 1 + λ: each direction is damped by itself, the weak ones most": (
                np.array([0.5, 1.0, 0.0]) / 1.5
            ),
            "that adds λ to the singular values of J: squares are added, λ² to those of J Jᵀ, which are σ²": np.array(
                [1 / 2.5, 1 / 1.5, 0.0]
            ),
            "that adds λ² to the singular values of J: it is added to those of J Jᵀ, which are σ²": np.array(
                [1 / 2.25, 1 / 1.25, 0.0]
            ),
            "that divides by √(σ² + λ²) for each singular value σ of J: λ² is added to the diagonal of J Jᵀ, without a root": (
                1 / np.sqrt([4.25, 1.25, np.inf])
            ),
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
        hint="the bound holds for each singular value of J by itself: is every direction damped, also those that are nearly lost?",
    )
    jacobian, error = np.array([[1.0, 2.0, 0.0], [0.5, -1.0, 1.0]]), np.array([1.0, -2.0])
    by_the_diagonal = jacobian.T @ (error / (np.diag(jacobian @ jacobian.T) + 0.09))
    yield Claim(
        "two tasks that share joints, J = [[1, 2, 0], [.5, −1, 1]], e = (1, −2), λ = .3",
        got=damped_least_squares(jacobian, error, 0.3),
        expected=_least(jacobian, error, 0.3),
        hint="here J Jᵀ has numbers beside its diagonal: solve with the whole matrix",
        mistakes={
            "dividing by the diagonal is right only where the rows of J do not meet: solve with the whole matrix": by_the_diagonal
        },
    )
    jacobian, error = np.array([[0.1, 0.0], [0.0, 0.2]]), np.array([3.0, -4.0])
    step = np.array([0.3 / 0.0125, -0.8 / 0.0425])
    yield Claim(
        "a large error may ask for a long step: (24, −18.8), of length 30.5",
        got=damped_least_squares(jacobian, error, 0.05),
        expected=step,
        hint="the step is as long as the damped solution says: whoever calls cuts it",
        mistakes={
            "that step was cut to length 1: damping bounds it, nothing else is asked for": step
            / np.linalg.norm(step),
            "that step was cut joint by joint to ±1: damping bounds it, nothing else is asked for": np.array(
                [1.0, -1.0]
            ),
        },
        tolerance=1e-4,
    )
    jacobian, error = np.array([[0.1, 0.05], [0.0, 0.2]]), np.array([0.3, -0.4])
    instead = "with damping 0 nothing is damped, the step removes the whole error: λ is what is handed in, and {} does not stand in for 0"
    yield Claim(
        "without damping, λ = 0, J dq is the whole error: J = [[.1, .05], [0, .2]], e = (.3, −.4) gives (4, −2)",
        got=damped_least_squares(jacobian, error, 0.0),
        expected=np.array([4.0, -2.0]),
        hint=instead.format("no other number"),
        mistakes={
            instead.format(given): _least(jacobian, error, given) for given in (0.001, 0.01, 0.05, 0.1)
        },
        tolerance=1e-6,
    )
    jacobian, error = rng.normal(size=(4, 7)), rng.normal(size=4)
    yield Claim(
        "a random Jacobian of four tasks and seven joints, λ = .2, makes |J dq − e|² + λ² |dq|² as small as it can be",
        got=damped_least_squares(jacobian, error, 0.2),
        expected=_least(jacobian, error, 0.2),
        hint="is a number of the cases above left in your function? The shapes are those of jacobian and error, λ is `damping`",
    )
    jacobian, error = np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]]), np.array([3.0, 0.0])
    singular = "with damping 0 and more joints than errors JᵀJ is singular, J Jᵀ is not: the matrix to solve with is as large as the error"
    yield Claim(
        "without damping, more joints than errors: of all steps that remove the whole error the shortest, (2, 1, −1)",
        got=value_or_raised(
            lambda: damped_least_squares(jacobian, error, 0.0),
            (np.linalg.LinAlgError, RuntimeError),
            singular,
        ),
        expected=np.array([2.0, 1.0, -1.0]),
        hint=singular,
        tolerance=1e-6,
    )


def _direction(step: np.ndarray) -> np.ndarray:
    """The same step with length 1."""
    unit: np.ndarray = step / np.linalg.norm(step)
    return unit


def _least(jacobian: np.ndarray, error: np.ndarray, damping: float) -> np.ndarray:
    """The same step by ordinary least squares: J over λ I, the error over zeros."""
    joints = jacobian.shape[1]
    tall = np.vstack([jacobian, damping * np.eye(joints)])
    found: np.ndarray = np.linalg.lstsq(tall, np.concatenate([error, np.zeros(joints)]), rcond=None)[0]
    return found


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
    rules=Rules(returns=np.zeros(1)),
)
def check_end_effector_delta(end_effector_delta: Callable[..., np.ndarray]) -> Iterator[Claim]:
    """A yawed and a rolled hand, in which base frame and hand frame disagree; then a hand away from the origin that turns about no axis."""
    position, goal = np.zeros(3), np.array([0.1, 0.0, 0.2])
    rolled = turn_x(1.0)
    as_the_hand_sees_it = rpy_from_matrix(turn_x(-1.0) @ turn_z(0.3) @ rolled)
    yield Claim(
        "a hand rolled by 1 rad, moved by (.1, 0, .2) and turned .3 about the room's z: (.1, 0, .2, 0, 0, .3)",
        got=end_effector_delta(position, rolled, goal, turn_z(0.3) @ rolled),
        expected=np.array([0.1, 0.0, 0.2, 0.0, 0.0, 0.3]),
        hint='compare with the case worked by hand, checks.show_case("03.5"), each half by itself: three numbers in metres, three in '
        "radians, and nothing else is done to them",
        mistakes={
            "that translation is seen from the hand: in the base frame it is the plain difference": np.array(
                [0.1, 0.2 * np.sin(1.0), 0.2 * np.cos(1.0), 0.0, 0.0, 0.3]
            ),
            "that turn is seen from the hand: in the base frame it is target_rotation @ rotation.T": np.array(
                [0.1, 0.0, 0.2, *as_the_hand_sees_it]
            ),
            "a delta goes from here to the target: swap the two": np.array([-0.1, 0.0, -0.2, 0.0, 0.0, -0.3]),
            "the turn goes from the target to here: target_rotation comes first, and rotation is undone on its right": (
                np.array([0.1, 0.0, 0.2, 0.0, 0.0, -0.3])
            ),
            "the translation goes from the target to here: target minus position": np.array(
                [-0.1, 0.0, -0.2, 0.0, 0.0, 0.3]
            ),
            "both halves are seen from the hand: in the base frame no rotation touches the translation, and the turn is "
            "target_rotation @ rotation.T": np.array(
                [0.1, 0.2 * np.sin(1.0), 0.2 * np.cos(1.0), *as_the_hand_sees_it]
            ),
            "a degree slipped in: roll, pitch and yaw are in radians": np.array(
                [0.1, 0.0, 0.2, 0.0, 0.0, np.rad2deg(0.3)]
            ),
            "the translation comes first, Δxyz, then the turn": np.array([0.0, 0.0, 0.3, 0.1, 0.0, 0.2]),
            "the order of the turn is roll, pitch, yaw: yaw comes last": np.array(
                [0.1, 0.0, 0.2, 0.3, 0.0, 0.0]
            ),
            "that is the sine of the angle, read off beside the diagonal: right for small turns only": np.array(
                [0.1, 0.0, 0.2, 0.0, 0.0, np.sin(0.3)]
            ),
            "that multiplies the matrices number by number (*): one turn after the other is @": np.array(
                [0.1, 0.0, 0.2, *rpy_from_matrix((turn_z(0.3) @ rolled) * rolled.T)]
            ),
            "the translation is in metres, not in millimetres": np.array([100.0, 0.0, 200.0, 0.0, 0.0, 0.3]),
            "the translation is in metres, not in centimetres": np.array([10.0, 0.0, 20.0, 0.0, 0.0, 0.3]),
            "that is cut to one step of option B (3 cm, .1 rad): the delta is the whole way, whoever calls cuts it": np.array(
                [0.03, 0.0, 0.03, 0.0, 0.0, 0.1]
            ),
            "that is divided by one step of option B (3 cm, .1 rad): metres and radians are wanted, whoever calls divides": (
                np.array([0.1 / 0.03, 0.0, 0.2 / 0.03, 0.0, 0.0, 3.0])
            ),
            "that is divided by one step of option B and cut to ±1: metres and radians are wanted, the whole way": np.array(
                [1.0, 0.0, 1.0, 0.0, 0.0, 1.0]
            ),
        },
    )
    yield Claim(
        "a hand yawed by 90° and turned .3 about the room's x: only roll changes",
        got=end_effector_delta(position, YAWED, goal, turn_x(0.3) @ YAWED),
        expected=np.array([0.1, 0.0, 0.2, 0.3, 0.0, 0.0]),
        hint='compare with the case worked by hand, checks.show_case("03.5"), each half by itself: three numbers in metres, three in '
        "radians, and nothing else is done to them",
        mistakes={
            "angles do not subtract: take roll, pitch, yaw of the one turn from here to there": np.array(
                [0.1, 0.0, 0.2, 0.0, -0.3, 0.0]
            ),
        },
    )
    position, goal, step = np.array([0.3, -0.2, 0.5]), np.array([0.1, 0.4, 0.45]), [-0.2, 0.6, -0.05]
    pose = turn_z(0.7) @ turn_y(-0.4) @ turn_x(0.2)
    turn = turn_z(0.5) @ turn_y(0.3) @ turn_x(-0.6)
    moving_axes = [
        np.arctan2(-turn[1, 2], turn[2, 2]),
        np.arcsin(turn[0, 2]),
        np.arctan2(-turn[0, 1], turn[0, 0]),
    ]
    yield Claim(
        "a hand at (.3, −.2, .5) that goes to (.1, .4, .45), roll −.6, pitch .3, yaw .5",
        got=end_effector_delta(position, pose, goal, turn @ pose),
        expected=np.array([*step, -0.6, 0.3, 0.5]),
        hint="look at each half by itself: the difference of the positions, and roll, pitch, yaw of the one turn",
        mistakes={
            "that is where the target is: a delta is target minus position": np.array(
                [*goal, -0.6, 0.3, 0.5]
            ),
            "that turn is the rotation vector of 03.3, axis × angle: roll, pitch, yaw are asked for": np.array(
                [*step, *library_rotation_error(pose, turn @ pose)]
            ),
            "those angles turn about axes that move along, Rx Ry Rz: roll, pitch, yaw turn about the base's fixed axes, in the "
            "order x, y, z": np.array([*step, *moving_axes]),
            "roll has the wrong sign": np.array([*step, 0.6, 0.3, 0.5]),
            "pitch has the wrong sign": np.array([*step, -0.6, -0.3, 0.5]),
            "yaw has the wrong sign": np.array([*step, -0.6, 0.3, -0.5]),
        },
    )
    turn, far = turn_z(-1.7) @ turn_y(0.3) @ turn_x(2.0), np.array([2.5, -1.5, 0.04])
    yield Claim(
        "a long way: (2.5, −1.5, .04), roll 2, pitch .3, yaw −1.7",
        got=end_effector_delta(position, pose, position + far, turn @ pose),
        expected=np.array([*far, 2.0, 0.3, -1.7]),
        hint="is a part of it cut, wrapped or scaled? The delta is the whole way, in metres and radians",
        mistakes={
            "that is cut to ±1: the delta is the whole way, in metres and radians": np.array(
                [1.0, -1.0, 0.04, 1.0, 0.3, -1.0]
            ),
            "the translation is cut to ±1: the delta is the whole way, in metres": np.array(
                [1.0, -1.0, 0.04, 2.0, 0.3, -1.7]
            ),
        },
    )
    rng = np.random.default_rng(6)
    position, goal, angles = rng.normal(size=3), rng.normal(size=3), rng.uniform(-1.2, 1.2, 3)
    turn = turn_z(angles[2]) @ turn_y(angles[1]) @ turn_x(angles[0])
    yield Claim(
        "a random pose and a random step",
        got=end_effector_delta(position, pose, goal, turn @ pose),
        expected=np.concatenate([goal - position, angles]),
        hint="is a number of the cases above left in your function?",
    )
