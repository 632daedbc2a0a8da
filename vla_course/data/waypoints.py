"""Where a hand is going, read off a demonstration afterwards: its place when it next takes hold or lets go.

A step says how the hand moves now; the waypoint says what for. It is the same for many frames and can be seen in each of their
pictures, so eyes learn more from it than from steps. A model that has said it is told the way there (`OpenVLA….waypoint_tokens`), and acts.

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
    """For each frame and hand the first later frame at which the hand has just taken hold or let go; the last one if it never does.

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
    """For each frame what both hands' states will be when each next takes hold or lets go; what they feel is left out, as 0.

    Raises:
        ValueError: as `next_grips`.
    """
    frames, ahead = next_grips(states), np.zeros_like(states)
    for hand in range(2):
        numbers = slice(HAND * hand, HAND * (hand + 1))
        ahead[:, numbers] = states[frames[:, hand], numbers]
    return ahead
