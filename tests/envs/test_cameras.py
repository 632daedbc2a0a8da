import copy
import pickle

import mujoco
import numpy as np
import pytest
from puck import MJCF

from vla_course.envs.cameras import Cameras
from vla_course.envs.rendering import CameraRenderer


@pytest.fixture(scope="module")
def scene():
    model = mujoco.MjModel.from_xml_string(MJCF)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    return model, data


def test_a_renderer_serves_all_pictures_of_its_size_and_quality(scene, monkeypatch):
    made = []

    def counted(model, *arguments):
        made.append(arguments)
        return CameraRenderer(model, *arguments)

    monkeypatch.setattr("vla_course.envs.cameras.CameraRenderer", counted)
    cameras = Cameras(("close",))
    first = cameras.picture(*scene, "close", (10, 12))
    np.testing.assert_array_equal(cameras.picture(*scene, "close", (10, 12)), first)
    cameras.segment(*scene, "close", (10, 12))
    assert len(made) == 1
    pretty = cameras.picture(*scene, "close", (10, 12), pretty=True)
    cameras.picture(*scene, "close", (12, 10))
    assert len(made) == 3 and first.shape == pretty.shape == (10, 12, 3) and (first != pretty).any()
    cameras.close()
    np.testing.assert_array_equal(cameras.picture(*scene, "close", (10, 12)), first)
    assert len(made) == 4
    cameras.close()


def test_each_pixel_knows_its_object(scene):
    cameras = Cameras(("close",))
    objects = cameras.segment(*scene, "close", (9, 9))
    assert objects[4, 4].tolist() == [1, int(mujoco.mjtObj.mjOBJ_GEOM)] and objects[0, 0, 0] == 0
    cameras.close()


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda cameras: pickle.loads(pickle.dumps(cameras))])
def test_a_copy_draws_the_same_after_its_original_has_closed(scene, copied):
    cameras = Cameras(("close",))
    first = cameras.picture(*scene, "close", (10, 12))
    twin = copied(cameras)
    cameras.close()
    np.testing.assert_array_equal(twin.picture(*scene, "close", (10, 12)), first)
    twin.close()


def test_an_unknown_camera_comes_with_the_known_ones(scene):
    for ask in (Cameras(("close",)).picture, Cameras(("close",)).segment):
        with pytest.raises(ValueError, match="unknown camera 'top': the known ones are close"):
            ask(*scene, "top", (8, 8))
