"""The skin that makes cloth look smooth: subdivision weights worked by hand, and what the cameras see of it."""

import mujoco
import numpy as np
import pytest

from vla_course.envs.folding.cloth import RADIUS_M, cloth_xml
from vla_course.envs.folding.cloth_skin import (
    BACK,
    EMBLEM,
    FRONT,
    add_cloth_skin,
    locate,
    loop_subdivision,
    outline,
    paint_cloth,
    sharp_corners,
)
from vla_course.envs.folding.garments import GARMENTS, make_garment
from vla_course.envs.folding.prints import garment_print, star
from vla_course.envs.rendering import CameraRenderer
from vla_course.envs.table import add_table_and_sky

# Vertex 0 in the middle of a regular hexagon of vertices 1 to 6.
HEXAGON = np.array([(0, 1 + k, 1 + (k + 1) % 6) for k in range(6)])


def dressed(name: str) -> tuple[mujoco.MjModel, list[str]]:
    garment = make_garment(name)
    spec = mujoco.MjSpec.from_string(
        f'<mujoco><compiler angle="radian"/><worldbody>{cloth_xml(garment)}</worldbody></mujoco>'
    )
    add_table_and_sky(spec)
    draft = spec.compile()
    bodies = [draft.body(body).name for body in draft.flex_vertbodyid]
    spec.flexes[0].group = 4
    add_cloth_skin(spec, bodies, garment.vertices, garment.triangles, height_m=RADIUS_M, garment=name)
    return spec.compile(), bodies


def test_loop_weights_worked_by_hand():
    weights, triangles = loop_subdivision(7, HEXAGON)
    assert weights.shape == (7 + 12, 7) and len(triangles) == 4 * 6
    # Six neighbours: 5/8 of itself and 1/16 of each.
    np.testing.assert_allclose(weights[0], [10 / 16] + [1 / 16] * 6)
    # The inner edge 0-1 lies between triangles 0-1-2 and 0-6-1.
    row = weights[[w[0] == 0.375 and w[1] == 0.375 for w in weights]]
    np.testing.assert_allclose(row, [[3 / 8, 3 / 8, 1 / 8, 0, 0, 0, 1 / 8]])
    # A vertex of the outline: 3/4 of itself, 1/8 of each neighbour along the outline.
    np.testing.assert_allclose(weights[2], [0, 1 / 8, 3 / 4, 1 / 8, 0, 0, 0])
    corner, _ = loop_subdivision(7, HEXAGON, corners=[2])
    np.testing.assert_allclose(corner[2], [0, 0, 1, 0, 0, 0, 0])


@pytest.mark.parametrize("name", GARMENTS)
def test_subdivision_keeps_what_cloth_is(name):
    garment = make_garment(name)
    corners = sharp_corners(garment.vertices, garment.triangles)
    weights, triangles = loop_subdivision(len(garment.vertices), garment.triangles, corners)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    assert weights.min() >= 0, "a skin vertex is a mean, so it stays within the cloth"
    np.testing.assert_array_equal(weights[corners] @ garment.vertices, garment.vertices[corners])
    assert len(triangles) == 4 * len(garment.triangles)
    assert len(outline(triangles)) == 2 * len(outline(garment.triangles))
    a, b, c = (weights @ garment.vertices)[triangles].swapaxes(0, 1)
    area = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    assert area.min() > 0, "no triangle is turned over"
    coarse = garment.vertices[garment.triangles]
    u, v = coarse[:, 1] - coarse[:, 0], coarse[:, 2] - coarse[:, 0]
    assert area.sum() == pytest.approx((u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]).sum(), rel=0.01)


def test_a_towel_has_four_sharp_corners():
    towel = make_garment("towel")
    names = ("far_left", "far_right", "near_left", "near_right")
    assert set(sharp_corners(towel.vertices, towel.triangles)) == {towel.keypoints[name] for name in names}


def test_locate_finds_points_again():
    shirt = make_garment("tshirt")
    points, triangles = star(np.array([0.0, 0.05]), 0.05)
    weights = locate(points, shirt.vertices, shirt.triangles)
    np.testing.assert_allclose(weights @ shirt.vertices, points, atol=1e-9)
    assert ((weights > 0).sum(axis=1) <= 3).all()
    assert triangles.max() == len(points) - 1


@pytest.mark.parametrize("name", GARMENTS)
def test_print_is_the_same_picture_for_every_size(name):
    garment = make_garment(name)
    border = outline(garment.triangles)
    middle = garment_print(name, garment.vertices, border)
    assert middle.shape == (256, 256, 3)
    assert len(np.unique(middle // 32)) >= 2, "hems and stitches show"
    for factor in (0.94, 1.06):
        np.testing.assert_array_equal(garment_print(name, garment.vertices * factor, border), middle)


@pytest.mark.parametrize("name", GARMENTS)
def test_front_faces_up_and_back_faces_down(name):
    model, bodies = dressed(name)
    data = mujoco.MjData(model)
    front, back = model.skin(FRONT).id, model.skin(BACK).id
    turned_over = []
    with CameraRenderer(model, 150, 150) as renderer:
        for flip in (False, True):
            if flip:  # mirror the garment in x, which turns the sheet over
                for body in bodies:
                    slide = model.jnt_qposadr[model.body(body).jntadr[0]]
                    data.qpos[slide] = -2 * model.body(body).pos[0]
            mujoco.mj_forward(model, data)
            ids = renderer.segment(data, "top")
            skins = ids[ids[..., 1] == mujoco.mjtObj.mjOBJ_SKIN][:, 0]
            assert len(skins) > 800, "the garment is in the picture"
            turned_over.append((np.mean(skins == front), np.mean(skins == back)))
            assert not (ids[..., 1] == mujoco.mjtObj.mjOBJ_FLEX).any(), "the simulated sheet is hidden"
    assert turned_over[0][1] == 0 and turned_over[0][0] > 0.85
    assert turned_over[1][0] == 0 and turned_over[1][1] > 0.99


def test_skin_follows_the_simulated_vertices():
    model, bodies = dressed("towel")
    data = mujoco.MjData(model)
    for body in bodies:
        slide = model.jnt_qposadr[model.body(body).jntadr[0]]
        data.qpos[slide + 1] = 0.1
    mujoco.mj_forward(model, data)
    with CameraRenderer(model, 150, 150) as renderer:
        shifted = renderer.segment(data, "top")[..., 1] == mujoco.mjtObj.mjOBJ_SKIN
        mujoco.mj_resetData(model, data)
        mujoco.mj_forward(model, data)
        centred = renderer.segment(data, "top")[..., 1] == mujoco.mjtObj.mjOBJ_SKIN
    left, right = np.nonzero(shifted)[1].mean(), np.nonzero(centred)[1].mean()
    # The camera is 1.12 m above the table and sees 42 degrees of it in 150 pixels: 0.1 m are 17.4.
    assert right - left == pytest.approx(0.1 * 150 / (2 * 1.12 * np.tan(np.radians(21))), abs=0.5)


def test_paint_colours_the_garment():
    model, _ = dressed("tshirt")
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    with CameraRenderer(model, 100, 100) as renderer:
        cloth = renderer.segment(data, "top")
        front = (cloth == (model.skin(FRONT).id, mujoco.mjtObj.mjOBJ_SKIN)).all(axis=-1)
        emblem = (cloth == (model.skin(EMBLEM).id, mujoco.mjtObj.mjOBJ_SKIN)).all(axis=-1)
        for channel in range(3):
            color = np.full(3, 0.1)
            color[channel] = 0.8
            paint_cloth(model, color)
            image = renderer.render(data, "top")
            assert image[front].mean(axis=0).argmax() == channel
            assert image[emblem].min() > image[front].mean(), "the emblem is pale"
    assert emblem.sum() > 20
    assert model.skin(BACK).rgba[2] < model.skin(FRONT).rgba[2]


def test_wrong_number_of_bodies_is_refused():
    towel = make_garment("towel")
    with pytest.raises(ValueError, match="121 vertices need as many bodies, not 1"):
        add_cloth_skin(
            mujoco.MjSpec(), ["cloth_0"], towel.vertices, towel.triangles, height_m=RADIUS_M, garment="towel"
        )
