"""A planar two-link arm: the effect of damping on inverse kinematics near a singularity."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import traitlets
from jaxtyping import Float
from matplotlib.patches import Circle

from vla_course import plots
from vla_course.widgets.pictured import PicturedWidget

# Upper arm, and forearm with the hand hanging on it: the two long bones of a UR10e.
LINKS_M = (0.6127, 0.5716)
LONGEST_ERROR_M = 0.04
ROBOT_STEP_RAD = 0.10


def elbow_position(angles: Float[np.ndarray, "2"]) -> Float[np.ndarray, "3 2"]:
    """Positions of shoulder, elbow and hand in metres; angles in rad, the second relative to the first link."""
    first, second = angles[0], angles[0] + angles[1]
    elbow = LINKS_M[0] * np.array([np.cos(first), np.sin(first)])
    return np.stack([np.zeros(2), elbow, elbow + LINKS_M[1] * np.array([np.cos(second), np.sin(second)])])


def elbow_jacobian(angles: Float[np.ndarray, "2"]) -> Float[np.ndarray, "2 2"]:
    """Derivative of the hand's position (m) with respect to the two angles (rad)."""
    _, elbow, hand = elbow_position(angles)
    return np.array([[-hand[1], -(hand - elbow)[1]], [hand[0], (hand - elbow)[0]]])


class IKPlayground(PicturedWidget):
    """A two-link arm with a UR10e's lengths: drag the target, set the damping λ, watch the joint step.

    Every tick calls `step(jacobian, error, damping)` once and adds the result to the joint angles. In the browser a new target or damping,
    whether dragged or set in Python, starts the ticks.
    """

    _esm = Path(__file__).with_suffix(".js")
    alt = (
        "Nine small arms: targets that are easy, near full stretch and out of reach, each with damping 0, 0.05 and 0.2. "
        "Without damping the step near full stretch is far beyond what the robot can do; with much damping it is slow."
    )
    target = traitlets.List([0.9, 0.1]).tag(sync=True)
    damping = traitlets.Float(0.02).tag(sync=True)
    tick = traitlets.Int(0).tag(sync=True)
    state = traitlets.Dict().tag(sync=True)

    def __init__(self, step: Callable[..., np.ndarray], *, damping: float = 0.02) -> None:
        self._step, self._angles = step, np.array([1.2, -1.6])
        self._trail: list[list[float]] = []
        super().__init__(damping=damping)
        self.state = self._describe(0.0)
        self.observe(self._move, names="tick")

    def _move(self, change: Any) -> None:
        """One joint step towards the target, with the learner's function."""
        error = self._error(self._angles, np.array(self.target))
        try:
            step = np.asarray(self._step(elbow_jacobian(self._angles), error, self.damping), dtype=float)
        except np.linalg.LinAlgError:  # exactly singular and undamped: there is no step
            step = np.full(2, np.inf)
        largest = float(np.abs(step).max()) if np.isfinite(step).all() else 1e9
        if largest < 1e9:
            self._angles = np.mod(self._angles + step + np.pi, 2 * np.pi) - np.pi
        self._trail = [*self._trail, elbow_position(self._angles)[2].tolist()][-40:]
        self.state = self._describe(largest)

    def _error(
        self, angles: Float[np.ndarray, "2"], target: Float[np.ndarray, "2"]
    ) -> Float[np.ndarray, "2"]:
        error = target - elbow_position(angles)[2]
        shortened: Float[np.ndarray, "2"] = error * min(
            1.0, LONGEST_ERROR_M / max(float(np.linalg.norm(error)), 1e-9)
        )
        return shortened

    def _describe(self, largest: float) -> dict[str, Any]:
        points, jacobian = elbow_position(self._angles), elbow_jacobian(self._angles)
        directions, sizes, _ = np.linalg.svd(jacobian)
        return {
            "tick": self.tick,  # so that every answer is news to the browser
            "points": points.tolist(),
            "trail": self._trail,
            "step": largest,
            "condition": float(min(sizes[0] / max(sizes[1], 1e-12), 1e9)),
            "distance": float(np.linalg.norm(np.array(self.target) - points[2])),
            "ellipse": [*sizes.tolist(), float(np.degrees(np.arctan2(directions[1, 0], directions[0, 0])))],
        }

    def picture(self) -> bytes:
        """Three targets by three dampings: the arm before and after one step."""
        drawing, axes = plots.figure(3, 3, width=9, height=7.2)
        for panel, (damping, title, angles, target) in zip(axes, self._nine_states(), strict=True):
            jacobian, error = elbow_jacobian(angles), self._error(angles, target)
            after = angles + self._step(jacobian, error, damping)
            largest = float(np.abs(after - angles).max())
            panel.add_artist(_circle(sum(LINKS_M)))
            for pose, color in ((angles, plots.PALE), (after, "#3c4654")):
                panel.plot(
                    *elbow_position(pose).T, color=color, linewidth=5, solid_capstyle="round", marker="o"
                )
            panel.plot(*target, "o", color=plots.COLORS[1], markersize=9, fillstyle="none", markeredgewidth=2)
            panel.set(xlim=(-0.5, 1.45), ylim=(-0.75, 1.0), xticks=[], yticks=[], aspect="equal", title=title)
            panel.spines[:].set_visible(False)
            color = plots.COLORS[1] if largest > ROBOT_STEP_RAD else plots.COLORS[2]
            words = (
                f"λ = {damping:g}\nlargest step {largest:.3g} rad\ncondition {np.linalg.cond(jacobian):.0f}"
            )
            behind = {"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1}
            panel.text(-0.45, -0.7, words, fontsize=9, color=color, va="bottom", bbox=behind)
        return plots.png(drawing, dpi=90, colors=64)

    def _nine_states(self) -> Iterator[tuple[float, str, np.ndarray, np.ndarray]]:
        for damping in (0.0, 0.05, 0.2):
            for title, elbow, outward in (
                ("elbow bent", 1.4, 0.035),
                ("elbow almost straight", 0.05, -0.02),
                ("target out of reach", 0.002, 0.06),
            ):
                angles = np.array([0.35 + elbow / 2, -elbow])
                hand = elbow_position(angles)[2]
                yield (
                    damping,
                    title if damping == 0 else "",
                    angles,
                    hand * (1 + outward / np.linalg.norm(hand)),
                )


def _circle(radius: float) -> Any:
    return Circle((0, 0), radius, fill=False, color=plots.PALE, linestyle="--")
