"""An OpenVLA as a policy: observations in, actions out."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt8

from vla_course.data.statistics import HANDS
from vla_course.envs.tabletop.config import TabletopConfig
from vla_course.openvla.model import OpenVLAForActionPrediction
from vla_course.openvla.processor import build_prompt as library_prompt
from vla_course.policies.waypoint_memory import WaypointMemory

STATE = HANDS
"""The observation that is the state, for models that take one, unless they were trained with another."""
LEFT_HAND, RIGHT_HAND = slice(0, 7), slice(7, 14)
"""The parts of it that are about either hand of the folding robot, as the tabletop's is about its one hand: all but touch."""
BRIDGE = "bridge_orig"
"""The data set in openvla-7b whose robot is most like ours: one arm on a table, hand steps five times a second."""
Look = Callable[[np.ndarray], np.ndarray]
"""Changes the pictures, uint8 (N, H, W, 3), before the model sees them."""


class OpenVLAPolicy:
    """Asks the model for one action of each environment, from a camera's picture and the instruction.

    The observations hold `image_<camera>` of each of the cameras, named in the order of the model's training; several for a model
    with `config.num_images` above 1. `image_size` is the model's input size: pictures of this size need no resizing. `instruction`
    replaces the environments' own, `look` changes the pictures before the model gets them, by noise for example, and `convert` turns
    the model's actions (N, A) into the environment's. `build_prompt` puts an instruction into the prompt's text. A model with a state
    in its prompt (`config.state_dim`) gets the observation `state_key`, or the part `state` of it: `RIGHT_HAND` on a robot with two.
    Actions are clipped to ±`limit`, which is what environments here take; None leaves the degrees or metres of another robot as they
    are. Actions depend on the present observation alone, except for models that predict waypoints: they act on the median of the
    waypoints so far (`WaypointMemory`).
    """

    memory: WaypointMemory | None = None

    def __init__(
        self,
        model: OpenVLAForActionPrediction,
        *,
        camera: str | Sequence[str] = "close",
        unnorm_key: str | None = "tabletop",
        instruction: str | None = None,
        look: Look | None = None,
        state: slice = slice(None),
        state_key: str = STATE,
        convert: Callable[[np.ndarray], np.ndarray] | None = None,
        build_prompt: Callable[[str], str] = library_prompt,
        limit: float | None = 1.0,
    ) -> None:
        """Raises: ValueError for a data set that the model has no statistics of, or another number of cameras than it looks through."""
        self.model, self.unnorm_key = model, unnorm_key
        self.cameras = (camera,) if isinstance(camera, str) else tuple(camera)
        self.state, self.state_key = state, state_key
        if len(self.cameras) != model.config.num_images:
            raise ValueError(
                f"this model looks at {model.config.num_images} pictures at once, and the policy through "
                f"{', '.join(self.cameras) or 'no camera'}: name as many cameras, in the order of its training"
            )
        self.instruction, self.look, self.convert = instruction, look, convert
        self.build_prompt = build_prompt
        if model.config.waypoint_dims:
            self.memory = WaypointMemory(list(model.config.waypoint_dims))
        self.action_dim = model.get_action_dim(unnorm_key)
        self._limit = limit

    @property
    def camera(self) -> str:
        """The main camera."""
        return self.cameras[0]

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the pictures that the model looks at, pixels."""
        side = int(self.model.config.image_size)
        return side, side

    def act(self, observations: Mapping[str, Any]) -> Float[np.ndarray, "N 1 A"]:
        """One action for each environment, cut to ±`limit`; zeros where `observations["running"]` is False.

        An instruction that is one text is that of all environments.

        Raises:
            KeyError: the environments do not show these cameras, or say nothing.
            ValueError: there is another number of instructions, or of `running`, than of pictures; or as `predict_action`.
        """
        pictures = [self._pictures(observations, camera) for camera in self.cameras]
        count = len(pictures[0])
        instructions = self._instructions(observations, count)
        asked = np.flatnonzero(_running(observations, count))
        chunks = np.zeros((count, 1, self.action_dim), np.float32)
        seen = [view[asked] if self.look is None else self.look(view[asked]) for view in pictures]
        if len(asked):
            words, states = [instructions[k] for k in asked], self._states(observations, asked)
            recall = None
            if self.memory is not None and states is not None:
                recall = partial(self.memory.recall, asked, states)
            actions = self.model.predict_action(
                list(seen[0]) if len(seen) == 1 else list(zip(*seen, strict=True)),
                words,
                self.unnorm_key,
                state=states,
                build_prompt=self.build_prompt,
                recall=recall,
            )
            actions = actions if self.convert is None else self.convert(actions)
            chunks[asked, 0] = actions if self._limit is None else np.clip(actions, -self._limit, self._limit)
        return chunks

    def reset(self, mask: Bool[np.ndarray, " N"]) -> None:
        """Forget the waypoints of these environments."""
        if self.memory is not None:
            self.memory.reset(np.flatnonzero(mask))

    def _instructions(self, observations: Mapping[str, Any], count: int) -> list[str]:
        instructions = self.instruction or observations["instruction"]
        if isinstance(instructions, str):
            return [instructions] * count
        if len(instructions) != count:
            raise ValueError(
                f"want one instruction for each of {count} environments, got {len(instructions)}: {list(instructions)}"
            )
        return list(instructions)

    def _states(self, observations: Mapping[str, Any], asked: np.ndarray) -> np.ndarray | None:
        if not self.model.config.state_dim:
            return None
        if self.state_key not in observations:
            raise KeyError(
                f"this model is told where the hand is, and the observations are {sorted(observations)}: "
                f"make the environment with {self.state_key!r} among its observations"
            )
        return np.asarray(observations[self.state_key])[asked, self.state]

    def _pictures(self, observations: Mapping[str, Any], camera: str) -> UInt8[np.ndarray, "N H W 3"]:
        key = f"image_{camera}"
        if key not in observations:
            raise KeyError(
                f"this policy looks through the camera {camera!r}, and the observations are {sorted(observations)}: "
                f"make the environment with cameras={self.cameras!r}"
            )
        return np.asarray(observations[key])


def _running(observations: Mapping[str, Any], count: int) -> Bool[np.ndarray, " N"]:
    running = np.asarray(observations.get("running", np.ones(count, bool)))
    if running.shape != (count,) or running.dtype != bool:
        raise ValueError(
            f"running: want True or False for each of {count} environments, got {running.dtype} of shape {running.shape}"
        )
    return running


def tabletop_policy(model: OpenVLAForActionPrediction, **options: Any) -> OpenVLAPolicy:
    """The model as a policy for the tabletop, and for one hand of the folding robot, with the `options` of OpenVLAPolicy.

    A model that knows the tabletop speaks its numbers. openvla-7b does not: it speaks BridgeData's, which are converted.

    Raises: ValueError for a model that knows neither.
    """
    if "tabletop" in (model.config.norm_stats or {}):
        return OpenVLAPolicy(model, **options)
    return OpenVLAPolicy(model, unnorm_key=BRIDGE, convert=bridge_to_tabletop, **options)


def bridge_to_tabletop(actions: Float[np.ndarray, "N 7"]) -> Float[np.ndarray, "N 7"]:
    """BridgeData's metres, radians and grip (1 open, 0 closed) in the tabletop's numbers.

    Both robots step along x away from the robot, y to its left, z up.
    """
    config = TabletopConfig()
    units = np.array([config.translation_m] * 3 + [config.rotation_rad] * 3)
    return np.hstack([actions[:, :6] / units, 2 * actions[:, 6:] - 1])
