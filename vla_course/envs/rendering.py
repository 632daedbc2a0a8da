"""Off-screen pictures of a MuJoCo scene: fast ones for observations, pretty ones for videos, and object ids per pixel.

Nothing here touches OpenGL before the first picture is asked for, and the context belongs to the process that asks, so an
environment can be made, pickled or sent to a worker on a machine that cannot render at all.
"""

from dataclasses import dataclass
from types import TracebackType
from typing import Any

import mujoco
import numpy as np
from jaxtyping import Int32, UInt8

from vla_course.envs.opengl import check_not_forked, close_before_exit, opengl_context


@dataclass(frozen=True)
class RenderQuality:
    """Rendering quality of a picture.

    `slices`, `stacks` and `quads` say how finely round shapes and boxes are cut into triangles, `samples` how many samples a
    pixel blends (antialiasing), `shadow_size` how fine the shadows are, in texels a side; 0 draws none.
    """

    slices: int = 8
    stacks: int = 4
    quads: int = 1
    samples: int = 0
    shadow_size: int = 0


OBSERVATION = RenderQuality()
"""For observations: no shadows, no antialiasing, octagons for circles. About a millisecond a picture on one CPU core."""

VIDEO = RenderQuality(slices=20, stacks=10, quads=1, samples=4, shadow_size=2048)
"""For people: soft edges, round shapes and shadows, at ten to thirty times the price."""

_MAX_GEOMS = 2000


class CameraRenderer:
    """Renders the cameras of one model, or of several models with the same parts (a garment in several sizes).

    Size and quality are fixed. OpenGL is started at the first picture, once in each thread, and what this renderer holds in
    it is freed by `close()`, by leaving a `with` block, or at the end of the process. A copy or pickle starts empty.

    Raises: ValueError for a size that is not positive.
    """

    def __init__(
        self, model: mujoco.MjModel, height: int, width: int, quality: RenderQuality = OBSERVATION
    ) -> None:
        if height < 1 or width < 1:
            raise ValueError(f"an image needs at least one pixel a side, not {height} × {width}")
        self.height, self.width, self.quality = height, width, quality
        self._model = model
        self._open: _OpenContext | None = None

    def render(
        self, data: mujoco.MjData, camera: str | int, *, model: mujoco.MjModel | None = None
    ) -> UInt8[np.ndarray, "H W 3"]:
        """What `camera` sees, as RGB. `model` defaults to the one given at construction.

        Raises: ValueError for an unknown camera, with the names there are; RuntimeError if this machine has no OpenGL, or in a process
        forked from one that had already rendered.
        """
        image, _ = self._draw(data, camera, model or self._model, segmentation=False)
        return image

    def segment(
        self, data: mujoco.MjData, camera: str | int, *, model: mujoco.MjModel | None = None
    ) -> Int32[np.ndarray, "H W 2"]:
        """Which object each pixel shows: (object id, `mujoco.mjtObj` type), or (-1, -1) for the sky.

        Raises: as `render`.
        """
        image, scene = self._draw(data, camera, model or self._model, segmentation=True)
        code = image.astype(np.int32) @ np.array([1, 1 << 8, 1 << 16], dtype=np.int32)
        table = np.full((scene.ngeom + 1, 2), -1, dtype=np.int32)
        for geom in scene.geoms[: scene.ngeom]:
            if geom.segid >= 0:
                table[geom.segid + 1] = geom.objid, geom.objtype
        return table[code]

    def close(self) -> None:
        """Frees what OpenGL holds for this renderer. A later picture uploads it anew."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def __enter__(self) -> "CameraRenderer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        try:  # noqa: SIM105  (no name of this module is used: when Python ends, they may be gone already)
            self.close()
        except Exception:  # collected in another thread, or after a failed __init__
            pass

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": None}

    def _draw(
        self, data: mujoco.MjData, camera: str | int, model: mujoco.MjModel, *, segmentation: bool
    ) -> tuple[UInt8[np.ndarray, "H W 3"], mujoco.MjvScene]:
        view = _fixed_camera(model, camera)
        if self._open is None:
            self._open = _OpenContext(self._model, self.height, self.width, self.quality)
        return self._open.draw(model, data, view, segmentation=segmentation)


class _OpenContext:
    """One model's textures and shapes in OpenGL's memory, a picture to draw into, and the scene that is drawn."""

    def __init__(self, model: mujoco.MjModel, height: int, width: int, quality: RenderQuality) -> None:
        self._gl: Any = opengl_context()
        self._mjr = _make_render_context(model, height, width, quality)
        self._scene = mujoco.MjvScene(model, maxgeom=_MAX_GEOMS)
        self._option = mujoco.MjvOption()
        self._rect = mujoco.MjrRect(0, 0, width, height)
        self._buffer = np.empty((height, width, 3), dtype=np.uint8)
        flags = self._scene.flags
        flags[mujoco.mjtRndFlag.mjRND_SHADOW] = quality.shadow_size > 0
        flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
        close_before_exit(self)

    def draw(
        self, model: mujoco.MjModel, data: mujoco.MjData, camera: mujoco.MjvCamera, *, segmentation: bool
    ) -> tuple[UInt8[np.ndarray, "H W 3"], mujoco.MjvScene]:
        check_not_forked()
        scene = self._scene
        scene.flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = segmentation
        scene.flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = segmentation
        mujoco.mjv_updateScene(
            model, data, self._option, None, camera, mujoco.mjtCatBit.mjCAT_ALL.value, scene
        )
        self._gl.make_current()
        # Several renderers share the context, and whoever drew last left its own picture bound.
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._mjr)
        mujoco.mjr_render(self._rect, scene, self._mjr)
        mujoco.mjr_readPixels(self._buffer, None, self._rect, self._mjr)
        return np.ascontiguousarray(self._buffer[::-1]), scene  # OpenGL counts rows from the bottom

    def close(self) -> None:
        if self._gl is not None:
            self._gl.make_current()
            self._mjr.free()
            self._gl = None


def _make_render_context(
    model: mujoco.MjModel, height: int, width: int, quality: RenderQuality
) -> mujoco.MjrContext:
    """Uploads textures and shapes. MuJoCo reads the quality from the model at this moment, so we lend ours to it."""
    visual = model.vis
    lent: list[tuple[Any, str, int]] = [
        (visual.global_, "offwidth", width),
        (visual.global_, "offheight", height),
        (visual.quality, "offsamples", quality.samples),
        (visual.quality, "shadowsize", quality.shadow_size),
        (visual.quality, "numslices", quality.slices),
        (visual.quality, "numstacks", quality.stacks),
        (visual.quality, "numquads", quality.quads),
    ]
    own = [getattr(part, name) for part, name, _ in lent]
    try:
        for part, name, value in lent:
            setattr(part, name, value)
        context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_50.value)
    finally:
        for (part, name, _), value in zip(lent, own, strict=True):
            setattr(part, name, value)
    return context


def _fixed_camera(model: mujoco.MjModel, camera: str | int) -> mujoco.MjvCamera:
    number = (
        mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_CAMERA, camera) if isinstance(camera, str) else camera
    )
    if not 0 <= number < model.ncam:
        known = ", ".join(model.camera(k).name for k in range(model.ncam))
        raise ValueError(f"unknown camera {camera!r}: this scene has {known}")
    view = mujoco.MjvCamera()
    view.type = mujoco.mjtCamera.mjCAMERA_FIXED
    view.fixedcamid = number
    return view
