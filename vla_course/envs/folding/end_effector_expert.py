"""The folding expert for pupils: in steps of the hands, without memory, and without jumps where none are needed.

The expert in joints goes by phases, waits until it has arrived, and counts its steps. Who sees only the present moment cannot know
of that. Here each answer is a function of the present state: hands slide down a funnel to where they take hold, carry cloth along a
half ellipse from wherever on it they are, and let go where the cloth lies right. Where the answer depends on a distance that a
pupil sees to a centimetre or two, it changes gradually. Only fingers jump, between open and closed.
"""

import numpy as np
from jaxtyping import Float

from vla_course.control.actions import end_effector_delta
from vla_course.control.easing import rise
from vla_course.control.rotations import matrix_from_rotation_vector, rotation_error
from vla_course.envs.end_effector import EndEffectorAction
from vla_course.envs.folding.env import FoldingEnv
from vla_course.envs.folding.fold_plan import FoldPlan, fingertip_clearance_m, turned_rad
from vla_course.robot.inverse_kinematics import InverseKinematics
from vla_course.robot.two_arms import home_position

TRAVEL_M_S, CARRY_M_S = 0.50, 0.43
"""How fast a hand goes through the air, and along the arc with cloth in it."""
TURN_SHARE = 0.6
"""Which share of its turn a hand undoes in one action, and of what an action allows."""
FUNNEL_M = (0.015, 0.07)
"""How far from where it takes hold, along the table, a hand is at the bottom of the funnel that it slides down, and at the rim."""
UPRIGHT_RAD = (0.12, 0.35)
"""Turned less than the first it goes down, more than the second it stays above."""
HOVER_M, RISE_M, PRESS_M = 0.12, 0.14, 0.034
SLIP = 0.35
"""How much of the way along the table a hand goes even while it has to rise."""
PRESHAPE = 0.7
"""Closed this far, the fingers are ready to pinch and do not hold yet."""
CLOSE_M, LOW_M, ALIGNED_RAD = 0.007, 0.012, 0.15
"""How near to the cloth it takes, how near to the height at which it closes, and how well turned a hand closes."""
SHUT, ARRIVED_M_S = 0.8, 0.075
"""A hand has missed the cloth if its fingers are closed further than `SHUT`, it holds nothing, and it has arrived: it lags behind
its commanded position by less than `ARRIVED_M_S` times the duration of an action, 15 mm at 5 Hz. The lag shrinks with time, not with
the number of actions: 15 mm at 20 Hz would open the hand one action before it reaches the cloth, over and over.
"""
TAKEN_AWAY_M = 0.08
"""Held cloth that is further than this from where the fold begins was not meant to go there with one hand."""
ARC_HEIGHT_M, ARC_HEIGHT_PER_RADIUS, ARC_BEGIN_M = 0.13, 0.75, 0.030
ARRIVING = (0.93, 0.99)
"""From the first to the second share of the way, pressing down takes over from the arc."""
IN_PLACE_M = 0.015


class EndEffectorExpert:
    """Folds every garment in the actions of an `EndEffectorAction`, at its rate, with or without stage signal.

    It looks at the true state of the cloth and remembers nothing, so it can be asked at any step of any policy.
    """

    def __init__(self, env: EndEffectorAction, ik: InverseKinematics | None = None) -> None:
        """`env` is the wrapped environment in which the actions are carried out; `ik` tells where joint angles put the hands.

        Raises: TypeError if `env` is no EndEffectorAction around a FoldingEnv.
        """
        if not isinstance(env, EndEffectorAction):
            raise TypeError(
                f"this expert speaks hand steps: wrap the {type(env).__name__} in EndEffectorAction"
            )
        folding = env.unwrapped
        if not isinstance(folding, FoldingEnv):
            raise TypeError(f"the folding expert needs a FoldingEnv, not a {type(folding).__name__}")
        self._wrapper, self._env = env, folding
        self._ik = ik or InverseKinematics()
        self._plan = FoldPlan(folding, self._ik.forward(home_position())[0])

    def act(self, observation: object = None) -> Float[np.ndarray, " A"]:
        """The expert's action in the environment's present state. The observation is not used: the expert sees the truth."""
        env = self._env
        self._here, self._facing = self._ik.forward(env.joint_target)
        self._wanted = self._plan.facing()
        self._turned = turned_rad(self._facing, self._wanted)
        grasp, lag = env.physics.grasp, np.linalg.norm(self._here - env.hand_position, axis=1)
        closed = np.minimum(grasp.commanded_closure(), grasp.measured_closure())
        self._shut = (closed > SHUT) & (lag < ARRIVED_M_S / self._wrapper.rate_hz)
        held = [bool(vertices) for vertices in env.held]
        finished = env.stage_fold_good() and not any(held)
        self._goal, self._closure = self._plan.out_of_the_way(), np.zeros(2)
        if finished:
            self._leave()
        elif all(held[hand] for hand, _ in self._plan.takes()) and not self._badly_begun():
            self._carry()
        else:
            for hand, vertex in self._plan.takes():
                self._wait(hand, vertex) if held[hand] else self._take(hand, vertex)
        return self._action(advance=finished and env.stage < env.num_stages)

    def _take(self, hand: int, vertex: int) -> None:
        """Go above the cloth, down the funnel, and close."""
        here, take = self._here[hand], self._env.vertices[vertex]
        away = float(np.linalg.norm(here[:2] - take[:2]))
        # It closes late enough to have cloth at once, so that nobody has to wait and see: who is closed and holds nothing has
        # missed, wherever that was, and opens.
        ready = fingertip_clearance_m(PRESHAPE)
        if self._shut[hand]:
            self._goal[hand] = *take[:2], max(here[2], fingertip_clearance_m(0.0))
            return
        # Judged by where the hand is told to be. It lags a little behind, and a pupil who is told no more than that could not know
        # whether to wait for it; by the time that fingers have closed, it is there.
        if away < CLOSE_M and here[2] < ready + LOW_M and self._turned[hand] < ALIGNED_RAD:
            self._goal[hand], self._closure[hand] = (*take[:2], fingertip_clearance_m(1.0)), 1.0
            return
        outside, tilted = rise(away, *FUNNEL_M), rise(self._turned[hand], *UPRIGHT_RAD)
        self._closure[hand] = PRESHAPE * (1 - outside) * (1 - tilted)
        low = fingertip_clearance_m(self._closure[hand])
        height = low + (HOVER_M - low) * max(outside, tilted)
        sideways = 1 - (1 - SLIP) * rise(height - here[2], 0.02, 0.06)
        self._goal[hand] = *(here[:2] + sideways * (take[:2] - here[:2])), height

    def _wait(self, hand: int, vertex: int) -> None:
        """Hold the cloth where it is until the other hand has hold of it too; let go of what was carried off by one hand."""
        strayed = np.linalg.norm(self._env.vertices[vertex][:2] - self._plan.begins(vertex))
        self._goal[hand] = self._here[hand]
        self._closure[hand] = float(strayed < TAKEN_AWAY_M and self._well_taken(hand, vertex))

    def _well_taken(self, hand: int, vertex: int) -> bool:
        """Whether the very vertex is among what the hand holds."""
        return vertex in self._env.held[hand]

    def _badly_begun(self) -> bool:
        """Whether a hand has hold of other cloth than it should, and the fold has hardly begun, so that it can be taken anew."""
        return any(
            not self._well_taken(hand, vertex)
            and np.linalg.norm(self._env.vertices[vertex][:2] - self._plan.begins(vertex)) < TAKEN_AWAY_M / 2
            for hand, vertex in self._plan.takes()
        )

    def _carry(self) -> None:
        """On along the arc, all hands as far as the one that is behind; down; and open where the cloth lies right."""
        takes, plan = self._plan.takes(), self._plan
        way = {hand: plan.ends(vertex) - plan.begins(vertex) for hand, vertex in takes}
        share = {
            hand: float(
                np.clip(
                    (self._here[hand][:2] - plan.begins(vertex)) @ way[hand] / (way[hand] @ way[hand]), 0, 1
                )
            )
            for hand, vertex in takes
        }
        along = {hand: float(np.arccos(1 - 2 * share[hand]) / np.pi) for hand, _ in takes}
        pressing = rise(min(share.values()), *ARRIVING)
        low = max(self._here[hand][2] for hand, _ in takes) < PRESS_M + 0.012
        if pressing == 1 and low and plan.misplaced_m() < IN_PLACE_M:
            for hand, _ in takes:
                self._goal[hand] = *self._here[hand][:2], fingertip_clearance_m(PRESHAPE)
            return
        step_m = CARRY_M_S / self._wrapper.rate_hz
        for hand, vertex in takes:
            length = float(np.linalg.norm(way[hand]))
            next_along = max(along[hand], min(1.0, min(along.values()) + step_m / (1.5 * length)))
            across = plan.begins(vertex) + way[hand] * (1 - np.cos(np.pi * next_along)) / 2
            top = min(ARC_HEIGHT_M, ARC_HEIGHT_PER_RADIUS * length / 2) * np.sin(np.pi * next_along)
            arc = np.array([*across, ARC_BEGIN_M + (PRESS_M - ARC_BEGIN_M) * next_along + top])
            # Cloth under tension trails the hand that holds it: what has to be in place is the cloth.
            trailing = plan.ends(vertex) - self._env.vertices[vertex][:2]
            press = np.array([*(self._here[hand][:2] + 0.6 * trailing), PRESS_M])
            self._goal[hand], self._closure[hand] = (1 - pressing) * arc + pressing * press, 1.0

    def _leave(self) -> None:
        """Straight up at first, then out of the way."""
        for hand, _ in self._plan.takes():
            here, aside = self._here[hand], self._goal[hand]
            clear = rise(here[2], 0.05, 0.11)
            self._goal[hand] = *(here[:2] + clear * (aside[:2] - here[:2])), max(RISE_M, aside[2])

    def _action(self, *, advance: bool) -> Float[np.ndarray, " A"]:
        """The steps towards the goals, as far as an action goes."""
        wrapper = self._wrapper
        scale = np.repeat([wrapper.translation_m, wrapper.rotation_rad], 3)
        longest = min(TRAVEL_M_S / wrapper.rate_hz, wrapper.translation_m)
        numbers: list[float] = []
        for hand in wrapper.hands:
            here, facing = self._here[hand], self._facing[hand]
            step = _shortened(self._goal[hand] - here, longest)
            turn = TURN_SHARE * _shortened(rotation_error(facing, self._wanted[hand]), wrapper.rotation_rad)
            turned = matrix_from_rotation_vector(turn) @ facing
            numbers += (end_effector_delta(here, facing, here + step, turned) / scale).tolist()
            numbers.append(1 - 2 * self._closure[hand])
        if wrapper.stage_signal:
            numbers.append(float(advance))
        return np.clip(numbers, -1.0, 1.0).astype(np.float32)


def _shortened(step: Float[np.ndarray, "3"], longest: float) -> Float[np.ndarray, "3"]:
    length = float(np.linalg.norm(step))
    return step * min(1.0, longest / max(length, 1e-9))
