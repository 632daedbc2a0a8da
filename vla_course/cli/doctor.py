"""What this machine can do, and for each thing that is wrong, the command that mends it."""

import importlib.util
import io
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import psutil

GL_PACKAGES = ("libegl1", "libgl1", "libgl1-mesa-dri", "libosmesa6")
_FRAME = """
import mujoco
xml = '<mujoco><worldbody><light pos="0 0 2"/><geom size=".1" rgba="1 0 0 1"/></worldbody></mujoco>'
model = mujoco.MjModel.from_xml_string(xml)
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
with mujoco.Renderer(model, 64, 64) as renderer:
    renderer.update_scene(data)
    picture = renderer.render()
assert picture[32, 32, 0] > picture[0, 0, 0], "the picture is empty"
"""
_FRAME_THEN_TRITON = f"""
from vla_course.envs.opengl import opengl_context
opengl_context()
{_FRAME}
import triton
"""


@dataclass(frozen=True)
class Finding:
    """One thing this machine can or cannot do."""

    topic: str
    ok: bool
    text: str
    mend: str = ""


def report() -> int:
    """Print every finding with its remedy; 0 where all is well, else 1."""
    findings = [examine() for examine in EXAMINATIONS]
    for finding in findings:
        print(f"{'✓' if finding.ok else '✗'} {finding.topic:<10} {finding.text}")
        if finding.mend:
            print(f"  {'':<10} mend it with: {finding.mend}")
    bad = sum(not finding.ok for finding in findings)
    print("This machine is ready for the course." if not bad else f"{bad} to mend.")
    return int(bad > 0)


def install_gl() -> int:
    """Install the OpenGL libraries if rendering fails here and apt may be used; otherwise print the command."""
    if rendering().ok:
        return 0
    command = _gl_command()
    allowed = os.name == "posix" and (os.geteuid() == 0 or _quietly(["sudo", "-n", "true"]))
    if platform.system() != "Linux" or not shutil.which("apt-get") or not allowed:
        print(f"Rendering does not work here yet. Mend it with:\n    {command}")
        return 1
    prefix = [] if os.geteuid() == 0 else ["sudo", "-n"]
    for arguments in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *GL_PACKAGES]):
        environment = ["env", "DEBIAN_FRONTEND=noninteractive"]
        if subprocess.run(
            [*prefix, *environment, "apt-get", *arguments], stdout=subprocess.DEVNULL
        ).returncode:
            print(f"apt-get {arguments[0]} failed. Try it yourself:\n    {command}")
            return 1
    found = rendering()
    print(f"rendering: {found.text}")
    return int(not found.ok)


def python() -> Finding:
    """The interpreter."""
    ok = sys.version_info >= (3, 11)
    mend = "" if ok else "install Python 3.11 or newer, then `make clean lab`"
    return Finding(
        "Python", ok, f"{platform.python_version()} on {platform.system()} {platform.machine()}", mend
    )


def rendering() -> Finding:
    """Whether MuJoCo draws a frame here, tried in a process of its own because a broken driver may kill it."""
    chosen = os.environ.get("MUJOCO_GL", "")
    native = ("egl", "osmesa") if platform.system() == "Linux" else ("",)
    for backend in dict.fromkeys((chosen, *native) if chosen else native):
        environment = {**os.environ, "MUJOCO_GL": backend}
        if not backend:
            environment.pop("MUJOCO_GL")
        if _quietly([sys.executable, "-c", _FRAME], environment):
            hint = f"export MUJOCO_GL={backend}" if chosen and backend != chosen else ""
            return Finding(
                "rendering", not hint, f"MuJoCo draws with {backend or 'the native backend'}", hint
            )
    return Finding("rendering", False, "MuJoCo cannot draw: no working OpenGL", _gl_command())


def torch() -> Finding:
    """PyTorch and the GPU it sees."""
    try:
        import torch as library
    except (ImportError, OSError) as error:
        return Finding("torch", False, f"does not load: {error}", f"{sys.executable} -m pip install torch")
    text = f"{library.__version__}, {library.get_num_threads()} threads"
    if library.cuda.is_available():
        properties = library.cuda.get_device_properties(0)
        return Finding(
            "torch", True, f"{text}, {properties.name} with {properties.total_memory / 2**30:.0f} GiB"
        )
    if library.backends.mps.is_available():
        return Finding("torch", True, f"{text}, Apple GPU")
    if _quietly(["nvidia-smi", "-L"]):
        mend = f"{sys.executable} -m pip install --force-reinstall torch=={library.__version__.split('+')[0]}"
        return Finding("torch", False, f"{text}, but it does not see this machine's NVIDIA GPU", mend)
    return Finding("torch", True, f"{text}, no GPU (none is needed; the 7B model wants one)")


def triton() -> Finding:
    """Whether one process can draw and then import triton, as Day 03 does; in a process of its own, since it may crash."""
    if not importlib.util.find_spec("triton"):
        return Finding("triton", True, "not installed (only torch.compile on a GPU needs it)")
    if _quietly([sys.executable, "-c", _FRAME_THEN_TRITON]):
        return Finding("triton", True, "can be imported after drawing")
    if not rendering().ok:
        return Finding("triton", True, "not tried, because drawing does not work yet")
    text = "importing it after drawing ends the process: kernels die (torch works without triton)"
    return Finding("triton", False, text, f"{sys.executable} -m pip uninstall -y triton")


def memory() -> Finding:
    """Free memory; a lesson with two environments and a small model stays under 4 GiB."""
    free = psutil.virtual_memory().available / 2**30
    mend = "" if free >= 4 else "close other programs or kernels (JupyterLab: Kernel, Shut Down All Kernels)"
    return Finding("memory", free >= 4, f"{free:.1f} GiB free, 4 needed", mend)


def disk() -> Finding:
    """Room for downloaded checkpoints and data."""
    free = shutil.disk_usage(Path.home()).free / 2**30
    mend = "" if free >= 2 else f"free some space under {Path.home()}"
    return Finding("disk", free >= 2, f"{free:.0f} GiB free, 2 needed", mend)


def video() -> Finding:
    """Whether PyAV encodes H.264. It brings its own encoder: no ffmpeg program is needed."""
    try:
        with av.open(io.BytesIO(), "w", format="mp4") as container:
            stream = container.add_stream("libx264", rate=20)
            stream.width = stream.height = 64
            stream.pix_fmt = "yuv420p"
            frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            for packet in [*stream.encode(frame), *stream.encode()]:
                container.mux(packet)
    except Exception as error:  # whatever PyAV's own library says
        mend = f"{sys.executable} -m pip install --force-reinstall av"
        return Finding("video", False, f"PyAV {av.__version__} cannot encode H.264: {error}", mend)
    return Finding("video", True, f"PyAV {av.__version__} encodes H.264 (no ffmpeg program is needed)")


EXAMINATIONS: tuple[Callable[[], Finding], ...] = (python, rendering, torch, triton, memory, disk, video)


def _gl_command() -> str:
    if platform.system() == "Linux":
        return f"sudo apt-get install -y {' '.join(GL_PACKAGES)}"
    return "log in to the desktop session, update the display driver, and leave MUJOCO_GL unset"


def _quietly(command: list[str], environment: dict[str, str] | None = None) -> bool:
    try:
        return subprocess.run(command, env=environment, capture_output=True, timeout=120).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
