"""The named cameras of an environment, and the renderers that draw what they see."""

import mujoco
from jaxtyping import Int32, UInt8
from numpy import ndarray

from vla_course.envs.arguments import check_known
from vla_course.envs.rendering import OBSERVATION, VIDEO, CameraRenderer


class Cameras:
    """Pictures from the cameras of one model. A renderer for each size and quality is made at its first picture, then kept.

    A copy or pickle starts without OpenGL memory, as its renderers do, so an environment that holds one can be copied at any time.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        """`names` are the cameras that may be asked for."""
        self.names = names
        self._renderers: dict[tuple[int, int, bool], CameraRenderer] = {}

    def picture(
        self,
        model: mujoco.MjModel,
        data: mujoco.MjData,
        camera: str,
        size: tuple[int, int],
        *,
        pretty: bool = False,
    ) -> UInt8[ndarray, "H W 3"]:
        """What a camera sees now, as RGB; `size` is (height, width) in pixels. `pretty` adds shadows and smooth edges, for people.

        Raises: ValueError for an unknown camera, naming the known ones; RuntimeError where the machine cannot render.
        """
        return self._renderer(model, camera, size, pretty=pretty).render(data, camera, model=model)

    def segment(
        self, model: mujoco.MjModel, data: mujoco.MjData, camera: str, size: tuple[int, int]
    ) -> Int32[ndarray, "H W 2"]:
        """Which object each pixel shows: (object id, `mujoco.mjtObj` type), or (-1, -1) for the sky.

        Raises: as `picture`.
        """
        return self._renderer(model, camera, size, pretty=False).segment(data, camera, model=model)

    def close(self) -> None:
        """Free the renderers. A later picture makes them anew."""
        for renderer in self._renderers.values():
            renderer.close()
        self._renderers.clear()

    def _renderer(
        self, model: mujoco.MjModel, camera: str, size: tuple[int, int], *, pretty: bool
    ) -> CameraRenderer:
        check_known("camera", [camera], self.names)
        key = (*size, pretty)
        if key not in self._renderers:
            self._renderers[key] = CameraRenderer(model, *size, VIDEO if pretty else OBSERVATION)
        return self._renderers[key]
