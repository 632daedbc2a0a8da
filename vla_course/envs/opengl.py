"""Starting OpenGL without a screen: which backend, once in each thread, and the one message where there is none."""

import atexit
import contextlib
import ctypes
import importlib
import importlib.util
import os
import platform
import sys
import threading
import warnings
import weakref
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import mujoco

from vla_course.errors import CannotRunError

_OFF = ("disable", "disabled", "off", "false", "0")
_ADVICE = {
    "Linux": "On Debian or Ubuntu install one of the two software renderers:\n"
    "  sudo apt-get install -y libegl1 libgl1-mesa-dri    (then MUJOCO_GL=egl, the default)\n"
    "  sudo apt-get install -y libosmesa6                 (then MUJOCO_GL=osmesa)",
    "Darwin": "macOS brings OpenGL with it: run in a session that is logged in to the desktop, and leave MUJOCO_GL unset.",
    "Windows": "Windows brings OpenGL with its display driver: install the driver, and leave MUJOCO_GL unset.",
}


@runtime_checkable
class Closable(Protocol):
    """Something that holds OpenGL memory."""

    def close(self) -> None:
        """Frees it; may be called twice."""


# One OpenGL context for each thread that renders: it takes 0.1 s to make, and changing between contexts costs half a
# millisecond a picture.
_THREAD = threading.local()
_CONTEXTS: list[tuple[int, Any]] = []
_HOLDERS: weakref.WeakSet[Closable] = weakref.WeakSet()


def opengl_context() -> Any:
    """The thread's OpenGL context (one of MuJoCo's `GLContext`), current; started at the first call.

    The environment variable MUJOCO_GL names the one backend to use; without it: EGL, then OSMesa on Linux, the system's own
    elsewhere.

    Raises: RuntimeError if no backend works, with what was tried and what to install; or in a process forked from one that
    had already rendered.
    """
    check_not_forked()
    context: Any = getattr(_THREAD, "context", None)
    if context is None:
        context = _THREAD.context = _make_gl_context()
        _CONTEXTS.append((os.getpid(), context))
        # MuJoCo's EGL backend ends its display when the interpreter exits, and what we hold must be freed before that.
        # atexit runs last what was registered first: MuJoCo registered when it made its first context, just before us.
        atexit.unregister(_close_all)
        atexit.register(_close_all)
    context.make_current()
    return context


def check_not_forked() -> None:
    """Raises: RuntimeError in a process forked from one that had already rendered: OpenGL would wait there for ever."""
    if _forked():
        raise RuntimeError(
            "This process was forked from one that had already rendered, and OpenGL does not survive a fork. Start worker "
            "processes with multiprocessing's 'spawn' or 'forkserver' method, as vla_course.envs.vector does."
        )


def _forked() -> bool:
    """Whether the contexts here belong to the process that this one was forked from."""
    return any(process != os.getpid() for process, _ in _CONTEXTS)


def close_before_exit(holder: Closable) -> None:
    """Closes `holder` at the end of the process, should it still live then."""
    _HOLDERS.add(holder)


def _close_all() -> None:
    """At the end of the process: frees pictures, then contexts."""
    if _forked():
        return
    for holder in list(_HOLDERS):
        holder.close()
    for _, context in _CONTEXTS:
        context.free()


def _make_gl_context() -> Any:
    """An OpenGL context, current in this thread, from the first backend that works here."""
    chosen = os.environ.get("MUJOCO_GL", "").lower().strip()
    if chosen in _OFF:
        raise CannotRunError(
            f"Rendering is switched off by the environment variable MUJOCO_GL={chosen}: unset it to get images."
        )
    _load_triton_before_mesa()
    failures: list[str] = []
    # Every backend fails in its own way: ImportError, AttributeError, GLError, FatalError ...
    for backend in _backends(chosen):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # GLFW warns, and what matters of it is in the error
                return _try_backend(backend)
        except Exception as error:
            failures.append(f"  {backend}: {_reason(backend, error, after=failures)}")
            _forget(backend)
    system = platform.system()
    asked = f" (the environment variable MUJOCO_GL={chosen} asks for this one alone)" if chosen else ""
    raise CannotRunError(
        f"No OpenGL works on this machine, so there can be no images{asked}. Tried:\n"
        + "\n".join(failures)
        + f"\n{_ADVICE.get(system, _ADVICE['Linux'])}\n"
        "Everything that uses the state alone works without: leave out cameras and render_mode."
    )


def _load_triton_before_mesa() -> None:
    """Loads triton's compiler library, where triton is installed, so that a later `import triton` does not crash.

    Mesa opens its software renderer, and with it the LLVM it was built with, for the whole process (RTLD_GLOBAL). Triton 3.7
    brings another LLVM and exports its symbols. Loaded after Mesa, it calls Mesa's LLVM where it means its own: a segmentation
    fault before the import returns. Loaded first, it binds to its own, for good. torch from PyPI installs triton on Linux, and
    transformers imports it. The library alone takes 0.3 s and 70 MB, in workers too; `import triton` would take two seconds.
    """
    if platform.system() != "Linux" or "triton" in sys.modules:
        return
    spec = importlib.util.find_spec("triton")
    for folder in (spec and spec.submodule_search_locations) or ():
        for library in Path(folder, "_C").glob("libtriton*.so"):
            with contextlib.suppress(
                OSError
            ):  # where it cannot be loaded, `import triton` cannot load it either
                ctypes.CDLL(str(library))  # RTLD_NOW: every symbol is bound before this returns


def _try_backend(backend: str) -> Any:
    context = importlib.import_module(f"mujoco.{backend}").GLContext(64, 64)  # pictures have their own size
    context.make_current()
    # A context can be current and still have no driver behind it: MuJoCo finds out here.
    mujoco.MjrContext(mujoco.MjSpec().compile(), mujoco.mjtFontScale.mjFONTSCALE_50.value).free()
    return context


def _reason(backend: str, error: Exception, *, after: list[str]) -> str:
    if isinstance(error, ImportError | AttributeError) and f"mujoco.{backend}" not in sys.modules:
        return "its library could not be loaded"
    if backend == "osmesa" and after:
        return "its library is here, but cannot follow a failed EGL: start Python again with MUJOCO_GL=osmesa"
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _backends(chosen: str) -> tuple[str, ...]:
    native = {"Linux": ("egl", "osmesa"), "Darwin": ("cgl", "glfw")}.get(platform.system(), ("glfw",))
    if chosen in ("", "enable", "enabled", "on", "true", "1"):
        return native
    return ("glfw",) if chosen in ("glx", "wgl") else (chosen,)


def _forget(backend: str) -> None:
    """Undoes a failed import: PyOpenGL binds itself to one platform, and would refuse the next backend."""
    if os.environ.get("PYOPENGL_PLATFORM") == backend:
        del os.environ["PYOPENGL_PLATFORM"]
    for name in list(sys.modules):
        if name.split(".")[0] == "OpenGL" or name.startswith(f"mujoco.{backend}"):
            del sys.modules[name]
