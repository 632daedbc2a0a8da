"""How good a fold is, worked out by hand."""

import numpy as np
import pytest

from vla_course.envs.folding.metrics import PIXEL_M, fold_error_m, share_in_box, silhouette, silhouette_iou

SQUARE = np.array([[0, 0], [0.2, 0], [0.2, 0.2], [0, 0.2]])
TRIANGLES = np.array([[0, 1, 2], [0, 2, 3]])


def test_the_error_is_the_mean_distance_of_the_moved_vertices():
    ideal = np.zeros((4, 2))
    vertices = np.array([[0.03, 0.04, 9.0], [0.0, 0.01, 9.0], [5.0, 5.0, 9.0], [0.0, 0.0, 9.0]])
    moved = np.array([True, True, False, False])
    assert fold_error_m(vertices, ideal, moved) == pytest.approx((0.05 + 0.01) / 2)  # height does not count
    assert fold_error_m(vertices, ideal, np.array([False, False, False, True])) == 0


def test_a_silhouette_has_the_area_of_the_garment():
    mask = silhouette(SQUARE, TRIANGLES)
    assert mask.shape == (350, 350)
    assert mask.sum() * PIXEL_M**2 == pytest.approx(0.04, rel=0.05)
    assert silhouette(SQUARE[:, [0, 1, 1]], TRIANGLES).sum() == mask.sum()  # a third number is height


def test_silhouettes_overlap_as_squares_do():
    def iou(shift):
        return silhouette_iou(silhouette(SQUARE, TRIANGLES), silhouette(SQUARE + shift, TRIANGLES))

    assert iou([0, 0]) == 1
    assert iou([0.1, 0]) == pytest.approx(1 / 3, abs=0.02)  # half of each: 0.02 of 0.06 m²
    assert iou([0.1, 0.1]) == pytest.approx(1 / 7, abs=0.02)
    assert iou([0.3, 0]) == 0


def test_masks_are_compared_pixel_by_pixel():
    a = np.array([[True, True], [False, False]])
    b = np.array([[True, False], [True, False]])
    assert silhouette_iou(a, b) == pytest.approx(1 / 3)
    assert silhouette_iou(a, a) == 1 and silhouette_iou(a, ~a) == 0
    assert silhouette_iou(np.zeros((2, 2), bool), np.zeros((2, 2), bool)) == 1


def test_a_garment_off_the_table_has_no_silhouette_left():
    assert silhouette(SQUARE + 5, TRIANGLES).sum() == 0


def test_the_box_is_five_centimetres_wider_and_ten_longer():
    ideal = np.array([[-0.1, -0.2], [0.1, 0.2], [0, 0], [0, 0], [0, 0]])
    origin = np.zeros(2)
    points = np.array([[0.149, 0.0], [0.151, 0.0], [0.0, 0.299], [0.0, 0.301], [-0.149, -0.299]])
    assert share_in_box(points, ideal, origin, 0.0) == pytest.approx(3 / 5)


def test_the_box_turns_and_moves_with_the_garment():
    rng = np.random.default_rng(0)
    ideal, points = rng.uniform(-0.2, 0.2, (50, 2)), rng.uniform(-0.4, 0.4, (50, 2))
    plain = share_in_box(points, ideal, np.zeros(2), 0.0)
    yaw, position = 0.7, np.array([0.3, -0.1])
    turn = np.array([[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]])
    assert 0 < plain < 1
    assert share_in_box(
        points @ turn.T + position, ideal @ turn.T + position, position, yaw
    ) == pytest.approx(plain)
