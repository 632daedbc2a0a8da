"""The frame of every environment: cameras, observations, the action check, the time limit. The task is the subclass's."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import gymnasium
import mujoco
import numpy as np
from gymnasium import spaces
from jaxtyping import Float, Int32, UInt8

from vla_course.envs.arguments import check_known, check_size, checked_action
from vla_course.envs.cameras import Cameras
from vla_course.envs.observations import IMAGE, Observation, observation_space

Info = dict[str, Any]


class CourseEnv(gymnasium.Env[Observation, np.ndarray], ABC):
    """What all environments of the course do alike, so that a new one writes its physics and its task only.

    A subclass compiles its model, calls `super().__init__`, and defines `model`, `data`, `instruction`, `_sense` and two methods:

    - `reset` calls `super().reset(seed=seed)`, lays out the scene, and returns `self._first_result(info)`;
    - `step` begins with `self._checked(action)`, lets time pass, decides whether the episode is `terminated`, then calls
      `self._count_step(terminated)`, and returns `self._step_result(...)`.

    It keeps no bound methods or lambdas in its attributes: a copy or a pickle must read itself, never its original.
    """

    def __init__(
        self,
        *,
        num_actions: int,
        action_meaning: str,
        state: Mapping[str, spaces.Space[Any]],
        on_request: Mapping[str, spaces.Space[Any]] | None = None,
        known_cameras: tuple[str, ...],
        time_limit_steps: int,
        observations: tuple[str, ...] | None = None,
        cameras: tuple[str, ...] = (),
        image_size: tuple[int, int] = (224, 224),
        render_mode: str | None = None,
        render_camera: str | None = None,
        render_size: tuple[int, int] = (480, 640),
    ) -> None:
        """Prepare the spaces. Nothing is rendered, and no GL needed, before the first picture.

        `action_meaning` says in an error what the numbers of an action are; `state` are the spaces of the observation keys, those
        `on_request` are observed only when `observations` names them; the others are the arguments of the same name of every
        environment.

        Raises: ValueError for an unknown observation key, camera or render mode, naming the known ones, or for a bad size.
        """
        render_camera = known_cameras[0] if render_camera is None else render_camera
        check_known("camera", (*cameras, render_camera), known_cameras)
        if render_mode is not None:
            check_known("render_mode", [render_mode], self.metadata["render_modes"])
        check_size("image_size", image_size)
        check_size("render_size", render_size)
        self.render_mode, self.time_limit_steps, self.elapsed_steps = render_mode, time_limit_steps, 0
        self.action_space = spaces.Box(-1.0, 1.0, (num_actions,), np.float32)
        self.observation_space = self._space = observation_space(
            state, observations, on_request=on_request or {}, cameras=cameras, image_size=image_size
        )
        self._num_actions, self._action_meaning = num_actions, action_meaning
        self._cameras = Cameras(known_cameras)
        self._image_size, self._render_camera, self._render_size = image_size, render_camera, render_size
        self._ended = True

    @property
    @abstractmethod
    def model(self) -> mujoco.MjModel:
        """The MuJoCo model."""

    @property
    @abstractmethod
    def data(self) -> mujoco.MjData:
        """The MuJoCo data."""

    @property
    def time_left(self) -> float:
        """Share of the time limit that is left, 1 to 0."""
        return 1 - self.elapsed_steps / self.time_limit_steps

    def render(self) -> np.ndarray | None:
        """The scene as an RGB picture (H, W, 3), uint8; None without a render mode."""
        if self.render_mode is None:
            return None
        return self.picture(self._render_camera, self._render_size, pretty=True)

    def picture(
        self, camera: str, size: tuple[int, int], *, pretty: bool = False
    ) -> UInt8[np.ndarray, "H W 3"]:
        """What a camera sees now, as RGB; `size` is (height, width) in pixels. `pretty` adds shadows and smooth edges, for people.

        Raises: ValueError for an unknown camera; RuntimeError with the cure where the machine cannot render.
        """
        return self._cameras.picture(self.model, self.data, camera, size, pretty=pretty)

    def close(self) -> None:
        """Free the renderers."""
        self._cameras.close()

    # For subclasses

    @abstractmethod
    def _sense(self, key: str) -> Any:
        """The present value of one key of the observation, images excepted."""

    def _segmented(self, camera: str, size: tuple[int, int]) -> Int32[np.ndarray, "H W 2"]:
        """Which object each pixel of a picture shows; see `Cameras.segment`."""
        return self._cameras.segment(self.model, self.data, camera, size)

    def _checked(self, action: Any) -> Float[np.ndarray, " A"]:
        """The action, float64, clipped to [-1, 1].

        Raises: RuntimeError before `reset` or after the end; ValueError for a wrong shape, or a number that is not finite.
        """
        if self._ended:
            raise RuntimeError("the episode is over or has not begun: call reset() before step()")
        return checked_action(action, self._num_actions, self._action_meaning)

    def _first_result(self, info: Info) -> tuple[Observation, Info]:
        """What `reset` returns; the episode has begun."""
        self.elapsed_steps, self._ended = 0, False
        return self._observation(), info

    def _count_step(self, terminated: bool) -> bool:
        """Count a step that was made. Returns `truncated`: whether the time limit ends the episode."""
        self.elapsed_steps += 1
        truncated = not terminated and self.elapsed_steps >= self.time_limit_steps
        self._ended = terminated or truncated
        return truncated

    def _step_result(
        self, terms: dict[str, float], terminated: bool, truncated: bool, info: Info
    ) -> tuple[Observation, float, bool, bool, Info]:
        """What `step` returns: the reward is the sum of its named terms, which `info` holds as well."""
        return self._observation(), sum(terms.values()), terminated, truncated, info | {"reward_terms": terms}

    def _observation(self) -> Observation:
        return {key: self._observed(key, space) for key, space in self._space.spaces.items()}

    def _observed(self, key: str, space: spaces.Space[Any]) -> Any:
        if key.startswith(IMAGE):
            value: Any = self.picture(key.removeprefix(IMAGE), self._image_size)
        else:
            value = self._sense(key)
        # A copy, so that nobody who writes into an observation writes into the environment.
        return np.array(value, dtype=space.dtype) if isinstance(space, spaces.Box) else value
