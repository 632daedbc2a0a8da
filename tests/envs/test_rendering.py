"""Pictures: what is in them, what they leave alone, and what happens where they cannot be made."""

import copy
import os
import pickle
import subprocess
import sys

import mujoco
import numpy as np
import pytest

from vla_course.envs.rendering import OBSERVATION, VIDEO, CameraRenderer, RenderQuality
from vla_course.envs.table import CAMERAS, TABLE_MATERIALS, TABLE_TOP, add_table_and_sky
from vla_course.robot.two_arms import add_two_arms, home_position


def scene(ball_m: float = 0.08) -> tuple[mujoco.MjModel, mujoco.MjData]:
    """The table, the robots and a red ball above the table's middle."""
    spec = mujoco.MjSpec()
    spec.compiler.degree = False
    add_table_and_sky(spec)
    add_two_arms(spec)
    spec.worldbody.add_geom(
        name="ball",
        type=mujoco.mjtGeom.mjGEOM_SPHERE,
        size=(ball_m, 0, 0),
        pos=(0, 0, 0.1),
        rgba=(0.9, 0.1, 0.1, 1),
    )
    model = spec.compile()
    data = mujoco.MjData(model)
    data.qpos[:] = home_position()
    mujoco.mj_forward(model, data)
    return model, data


@pytest.fixture(scope="module")
def world() -> tuple[mujoco.MjModel, mujoco.MjData]:
    return scene()


@pytest.mark.parametrize("camera", [*CAMERAS, "left_wrist", "right_wrist"])
def test_every_camera_sees_the_scene(world, camera):
    model, data = world
    with CameraRenderer(model, 96, 128) as renderer:
        image = renderer.render(data, camera)
        ids = renderer.segment(data, camera)
    assert image.shape == (96, 128, 3) and image.dtype == np.uint8 and image.std() > 10
    assert image.flags.c_contiguous
    seen = {
        model.geom(i).name
        for i, kind in np.unique(ids.reshape(-1, 2), axis=0)
        if kind == mujoco.mjtObj.mjOBJ_GEOM
    }
    assert {"ball", TABLE_TOP} <= seen


def test_pixels_are_the_right_way_up_and_ids_agree_with_colours(world):
    model, data = world
    with CameraRenderer(model, 120, 160) as renderer:
        image, ids = renderer.render(data, "front"), renderer.segment(data, "front")
        top = renderer.render(data, "top")
    sky = (ids == -1).all(axis=-1)
    assert sky[0].mean() > 0.2 and not sky[-1].any(), "sky above, table below"
    ball = (ids == (model.geom("ball").id, mujoco.mjtObj.mjOBJ_GEOM)).all(axis=-1)
    red = (image[..., 0].astype(int) - image[..., 1:].max(axis=-1)) > 60
    assert (ball & red).sum() / (ball | red).sum() > 0.9
    # From above, up in the picture is away from the robots and left is their left: the palms are in the lower half.
    dark = top.max(axis=-1) < 70
    assert dark[60:].sum() > 3 * dark[:60].sum()


def test_video_quality_has_shadows_and_soft_edges(world):
    model, data = world
    pictures = []
    for quality in (OBSERVATION, VIDEO, RenderQuality(slices=20, stacks=10, samples=4)):
        with CameraRenderer(model, 120, 160, quality) as renderer:
            pictures.append(renderer.render(data, "top").astype(int))
    plain, pretty, soft = pictures
    shadow = (soft - pretty).mean(axis=-1) > 25
    assert shadow.mean() > 0.02, "shadows are dark patches"
    assert np.abs(plain - soft).mean() < 8, "and the rest of the picture is the same"


def test_rendering_leaves_the_model_as_it_was(world):
    model, data = world
    before = (model.vis.quality.shadowsize, model.vis.quality.numslices, model.vis.global_.offwidth)
    positions = data.qpos.copy()
    with CameraRenderer(model, 900, 1200, VIDEO) as renderer:  # larger than the model's own off-screen buffer
        assert renderer.render(data, "side").shape == (900, 1200, 3)
    assert before == (model.vis.quality.shadowsize, model.vis.quality.numslices, model.vis.global_.offwidth)
    np.testing.assert_array_equal(positions, data.qpos)


def test_one_renderer_serves_models_of_the_same_parts(world):
    model, data = world
    bigger_model, bigger_data = scene(ball_m=0.12)
    with CameraRenderer(model, 100, 100) as shared:
        for each_model, each_data in ((model, data), (bigger_model, bigger_data), (model, data)):
            with CameraRenderer(each_model, 100, 100) as fresh:
                np.testing.assert_array_equal(
                    shared.render(each_data, "front", model=each_model), fresh.render(each_data, "front")
                )
                np.testing.assert_array_equal(
                    shared.segment(each_data, "top", model=each_model), fresh.segment(each_data, "top")
                )


def test_renderers_do_not_disturb_each_other_nor_mujocos_own(world):
    model, data = world
    with CameraRenderer(model, 64, 80) as small, CameraRenderer(model, 120, 160, VIDEO) as large:
        first = small.render(data, "front"), large.render(data, "side")
        with mujoco.Renderer(model, 50, 50) as other:
            other.update_scene(data, "top")
            other.render()
            np.testing.assert_array_equal(small.render(data, "front"), first[0])
            assert other.render().std() > 10
        np.testing.assert_array_equal(large.render(data, "side"), first[1])
        np.testing.assert_array_equal(small.render(data, "front"), first[0])
    np.testing.assert_array_equal(small.render(data, "front"), first[0], "a closed renderer opens again")
    small.close()
    small.close()


def test_pictures_do_not_share_memory(world):
    model, data = world
    with CameraRenderer(model, 32, 32) as renderer:
        one, two = renderer.render(data, "front"), renderer.render(data, "front")
    assert not np.shares_memory(one, two)


def test_copies_and_pickles_render_too(world):
    model, data = world
    with CameraRenderer(model, 32, 32) as renderer:
        image = renderer.render(data, "front")
        for other in (pickle.loads(pickle.dumps(renderer)), copy.deepcopy(renderer)):
            with other:
                np.testing.assert_array_equal(other.render(data, "front"), image)


def test_table_can_be_dressed_anew(world):
    model, data = world
    pictures = set()
    table = model.geom(TABLE_TOP).id
    with CameraRenderer(model, 32, 32) as renderer:
        for material in TABLE_MATERIALS:
            model.geom_matid[table] = model.material(material).id
            pictures.add(renderer.render(data, "top").tobytes())
    assert len(pictures) == len(TABLE_MATERIALS) >= 4
    model.geom_matid[table] = model.material(TABLE_MATERIALS[0]).id


@pytest.mark.parametrize("camera", ["back", 17, -1])
def test_unknown_cameras_are_answered_with_the_known_ones(world, camera):
    model, data = world
    with pytest.raises(
        ValueError, match=f"unknown camera {camera!r}: this scene has front, top, side, left_wrist"
    ):
        CameraRenderer(model, 8, 8).render(data, camera)


def test_sizes_are_positive(world):
    with pytest.raises(ValueError, match="not 0 × 8"):
        CameraRenderer(world[0], 0, 8)


PROGRAM = """
import os
import sys
for name in sys.argv[2:]:
    sys.modules[name] = None          # as if this backend's library were not installed
import mujoco
from vla_course.envs.rendering import CameraRenderer
model = mujoco.MjModel.from_xml_string(
    '<mujoco><worldbody><camera name="c" pos="0 0 1"/><geom size=".3" rgba="1 1 1 1"/></worldbody></mujoco>')
data = mujoco.MjData(model)
mujoco.mj_step(model, data)
renderer = CameraRenderer(model, 16, 16)
if "MUJOCO_GL" not in os.environ:    # where it is set, `import mujoco` itself loads OpenGL
    assert not [name for name in sys.modules if name.startswith("OpenGL")], "OpenGL before the first picture"
exec(sys.argv[1])
"""
SHOW = "print('brightness', renderer.render(data, 'c').max())"
REPORT = """
try:
    renderer.render(data, 'c')
except RuntimeError as error:
    print(error)
"""
TRITON = """
assert not [name for name in sys.modules if name.split(".")[0] in ("torch", "triton")]
print('brightness', renderer.render(data, 'c').max())
assert not [name for name in sys.modules if name.split(".")[0] in ("torch", "triton")], "pictures cost no such import"
import triton
print('triton', triton.__version__, renderer.render(data, 'c').max())
"""
FORK = """
import os
renderer.render(data, 'c')
child = os.fork()
if child == 0:
    for name, drawn in ("old", renderer), ("new", CameraRenderer(model, 16, 16)):
        try:
            drawn.render(data, 'c')
        except RuntimeError as error:
            print(f'child, {name}:', error, flush=True)
        drawn.close()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
print('parent', renderer.render(data, 'c').max())
"""


def run(program: str, *broken: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {
        name: value for name, value in os.environ.items() if name not in ("MUJOCO_GL", "PYOPENGL_PLATFORM")
    }
    return subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", PROGRAM, program, *broken],
        env=clean | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_backend_is_found_without_help_and_the_end_is_quiet():
    result = run(SHOW)  # the renderer is never closed
    assert result.returncode == 0 and "brightness" in result.stdout
    assert result.stderr == ""


@pytest.mark.skipif(sys.platform != "linux", reason="triton exists for Linux alone")
def test_triton_can_be_imported_after_a_picture():
    """torch from PyPI brings triton 3.7, whose LLVM collided with Mesa's: the kernel of Day 03 died."""
    result = run(TRITON)
    assert result.returncode == 0, result.stderr
    assert "\ntriton 3." in result.stdout


def test_without_opengl_there_is_one_message_that_says_what_to_install():
    result = run(REPORT, "mujoco.egl", "mujoco.osmesa", "mujoco.cgl", "mujoco.glfw")
    assert result.returncode == 0 and result.stderr == ""
    message = result.stdout
    assert message.startswith("No OpenGL works on this machine")
    if sys.platform == "linux":
        for part in ("\n  egl: ", "\n  osmesa: ", "apt-get install -y libegl1 libgl1-mesa-dri", "libosmesa6"):
            assert part in message
    assert "leave out cameras" in message


@pytest.mark.skipif(sys.platform != "linux", reason="EGL is how Linux renders without a screen")
def test_a_driver_that_is_missing_is_reported_like_a_library_that_is():
    result = run(REPORT, "mujoco.osmesa", __EGL_VENDOR_LIBRARY_FILENAMES="/nonexistent")
    assert result.returncode == 0 and result.stderr == ""
    assert "No OpenGL works" in result.stdout and "\n  egl: Cannot initialize a EGL device" in result.stdout


def test_mujoco_gl_is_obeyed():
    result = run(REPORT, MUJOCO_GL="disable")
    assert result.returncode == 0 and result.stdout.startswith(
        "Rendering is switched off by the environment variable"
    )
    if sys.platform == "linux":
        assert "brightness" in run(SHOW, "mujoco.osmesa", "mujoco.glfw", MUJOCO_GL="egl").stdout
        result = run(REPORT, "mujoco.osmesa", MUJOCO_GL="osmesa")
        assert "MUJOCO_GL=osmesa asks for this one alone" in result.stdout and "egl:" not in result.stdout


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_worker_gets_an_error_instead_of_a_hang():
    result = run(FORK)
    assert result.returncode == 0, result.stderr
    for renderer in ("old", "new"):
        assert f"child, {renderer}: This process was forked" in result.stdout
    assert "'spawn' or 'forkserver'" in result.stdout
    assert "parent" in result.stdout
