"""Waypoints as labels: a hand's position at its next grasp or release, found in the demonstration's later frames.

An action says how the hand moves now; the waypoint says where to. It is the same for many frames and visible in each of their
pictures, so the vision towers learn more from it than from single steps. Once it is predicted, the remaining distance is computed
and added to the prompt (`waypoint_tokens`), and the action follows.

Source: Shridhar et al. 2022, Perceiver-Actor (keyframes where the gripper changes); Zawalski et al. 2024, Robotic Control via
Embodied Chain-of-Thought Reasoning (a vision-language-action model that says such things in tokens before it acts).
"""

import numpy as np
from jaxtyping import Float, Int

from vla_course.data.statistics import HAND

PLACES = (0, 1, HAND, HAND + 1)
"""The numbers of two hands' state that say where on the table each is: x and y."""
HANDS_THAT_FEEL = 2 * HAND + 2
"""Numbers in the state of two hands: seven each, then whether each feels cloth."""


def next_grips(states: Float[np.ndarray, "T S"]) -> Int[np.ndarray, "T 2"]:
    """For each frame and hand the first later frame at which the hand has just grasped or released; the last frame if it never does.

    `states` are those of two hands that feel what they hold.

    Raises:
        ValueError: the states are others.
    """
    if states.shape[1] != HANDS_THAT_FEEL:
        raise ValueError(
            f"waypoints are read off states of two hands that feel what they hold, {HANDS_THAT_FEEL} numbers, not {states.shape[1]}"
        )
    touch = states[:, 2 * HAND :]
    frames = np.full(touch.shape, len(touch) - 1)
    for frame in range(len(touch) - 2, -1, -1):
        frames[frame] = np.where(touch[frame + 1] != touch[frame], frame + 1, frames[frame + 1])
    return frames


def states_ahead(states: Float[np.ndarray, "T S"]) -> Float[np.ndarray, "T S"]:
    """For each frame both hands' states at their next grasp or release; the contact numbers are 0.

    Raises:
        ValueError: as `next_grips`.
    """
    frames, ahead = next_grips(states), np.zeros_like(states)
    for hand in range(2):
        numbers = slice(HAND * hand, HAND * (hand + 1))
        ahead[:, numbers] = states[frames[:, hand], numbers]
    return ahead
