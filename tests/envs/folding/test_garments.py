"""Garments as sheets: what must hold for cloth to crease where it should."""

import itertools

import numpy as np
import pytest

from vla_course.envs.folding.garments import GARMENTS, LEFT, RIGHT, beyond, make_garment, turned_towel

ALL = [make_garment(name) for name in GARMENTS] + [make_garment("towel", quarter=True)]
NAMES = [f"{garment.name}, {len(garment.folds)} folds" for garment in ALL]


@pytest.fixture(params=ALL, ids=NAMES)
def garment(request):
    return request.param


def corners(garment) -> np.ndarray:
    return garment.vertices[garment.triangles]


def test_triangles_have_area_and_face_one_way(garment):
    a, b, c = corners(garment).swapaxes(0, 1)
    area = ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]) / 2
    assert (area > 1e-4).all()  # a square cell of 3 cm has two triangles of 4.5 cm² each


def test_the_sheet_is_one_piece_without_holes_or_doubled_edges(garment):
    edges: dict[tuple[int, int], int] = {}
    for triangle in garment.triangles.tolist():
        for pair in itertools.combinations(sorted(triangle), 2):
            edges[pair] = edges.get(pair, 0) + 1
    assert set(edges.values()) == {1, 2}
    assert sorted({vertex for pair in edges for vertex in pair}) == list(range(len(garment.vertices)))
    # Euler: a disc has V − E + F = 1.
    assert len(garment.vertices) - len(edges) + len(garment.triangles) == 1


def test_no_edge_is_much_longer_than_its_neighbours(garment):
    a, b, c = corners(garment).swapaxes(0, 1)
    lengths = np.concatenate([np.linalg.norm(u - v, axis=1) for u, v in ((a, b), (b, c), (c, a))])
    assert lengths.min() > 0.015 and lengths.max() < 0.065


def test_the_sheet_lies_in_the_middle_of_its_frame(garment):
    np.testing.assert_allclose(garment.vertices.max(axis=0), -garment.vertices.min(axis=0), atol=1e-12)


def test_every_fold_line_lies_on_a_row_or_column_of_vertices(garment):
    for k, fold in enumerate(garment.folds):
        before = garment.ideal_vertices(k)
        on_line = np.flatnonzero(np.abs(before[:, fold.axis] - fold.line_m) < 1e-9)
        assert len(on_line) >= 5, fold.name
        # No edge crosses the line: the crease runs along edges, never through one.
        side = np.sign(np.round(before[:, fold.axis] - fold.line_m, 9))
        for pair in itertools.combinations(range(3), 2):
            ends = side[garment.triangles[:, pair]]
            assert (ends[:, 0] * ends[:, 1] >= 0).all(), fold.name


def test_a_fold_moves_cloth_and_leaves_cloth(garment):
    for k, fold in enumerate(garment.folds):
        moved = garment.moved_by(k)
        assert 0.03 < moved.mean() < 0.75, fold.name
        after = garment.ideal_vertices(k + 1)
        np.testing.assert_array_equal(after[~moved], garment.ideal_vertices(k)[~moved])
        assert not beyond(after, fold).any(), fold.name  # nothing is left beyond the line


def test_folding_is_a_mirror(garment):
    """The same fold done to its own result gives back what was there, and keeps every length."""
    for k, fold in enumerate(garment.folds):
        before, after, moved = garment.ideal_vertices(k), garment.ideal_vertices(k + 1), garment.moved_by(k)
        back = after.copy()
        back[moved, fold.axis] = 2 * fold.line_m - back[moved, fold.axis]
        np.testing.assert_allclose(back, before, atol=1e-12)
        edges = garment.triangles[:, :2]
        lengths = [
            np.linalg.norm(points[edges[:, 0]] - points[edges[:, 1]], axis=1) for points in (before, after)
        ]
        np.testing.assert_allclose(lengths[0], lengths[1], atol=1e-12)


@pytest.mark.parametrize("name", GARMENTS)
def test_mirrored_halves_lie_on_each_other(name):
    """Left and right are mirror images, vertex by vertex."""
    garment = make_garment(name)
    mirrored = garment.vertices * [-1, 1]
    distance = np.linalg.norm(mirrored[:, None] - garment.vertices[None], axis=2)
    assert distance.min(axis=1).max() < 1e-9


@pytest.mark.parametrize(("name", "quarter"), [("towel", False), ("towel", True), ("trousers", False)])
def test_a_half_fold_lands_vertex_on_vertex(name, quarter):
    garment = make_garment(name, quarter=quarter)
    for k in range(len(garment.folds) if name == "towel" else 1):
        after, moved = garment.ideal_vertices(k + 1), garment.moved_by(k)
        distance = np.linalg.norm(after[moved][:, None] - after[~moved][None], axis=2)
        assert distance.min(axis=1).max() < 1e-9


def test_keypoints_are_different_vertices_where_their_names_say(garment):
    assert len(set(garment.keypoints.values())) == len(garment.keypoints)
    at = {name: garment.vertices[vertex] for name, vertex in garment.keypoints.items()}
    if garment.name == "tshirt":
        assert (
            at["left_sleeve"][0] == garment.vertices[:, 0].min()
            and at["right_sleeve"][0] == garment.vertices[:, 0].max()
        )
        assert at["left_hem"][1] == at["right_hem"][1] == garment.vertices[:, 1].min()
        assert (
            abs(at["collar"][0]) < 1e-12
            and at["left_shoulder"][0] < at["collar"][0] < at["right_shoulder"][0]
        )
    if garment.name == "towel":
        assert at["far_left"].tolist() == garment.vertices.max(axis=0).tolist()
        assert at["near_right"].tolist() == garment.vertices.min(axis=0).tolist()


def test_each_hand_takes_cloth_that_its_fold_moves(garment):
    for k, fold in enumerate(garment.folds):
        hands, vertices = zip(*fold.grasps, strict=True)
        assert set(hands) <= {LEFT, RIGHT} and len(set(hands)) == len(hands)
        assert garment.moved_by(k)[list(vertices)].all(), fold.name


def test_a_larger_size_is_the_same_garment(garment):
    large = garment.scaled(1.1)
    np.testing.assert_allclose(large.vertices, 1.1 * garment.vertices)
    for k in range(len(garment.folds) + 1):
        np.testing.assert_allclose(large.ideal_vertices(k), 1.1 * garment.ideal_vertices(k))
    assert large.keypoints == garment.keypoints and large.fold_tolerance_m == garment.fold_tolerance_m


@pytest.mark.parametrize("quarter", [False, True])
@pytest.mark.parametrize("turns", range(4))
def test_a_turned_towel_has_its_names_where_the_robots_need_them(quarter, turns):
    """Turned with the world by k quarters and renamed by k quarters, "far left" stays where it was."""
    towel = make_garment("towel", quarter=quarter)
    renamed = turned_towel(towel, turns)
    angle = -turns * np.pi / 2
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    for name in towel.keypoints:
        in_world = turn @ renamed.vertices[renamed.keypoints[name]]
        np.testing.assert_allclose(in_world, towel.vertices[towel.keypoints[name]], atol=1e-9, err_msg=name)
    for k in range(len(towel.folds) + 1):
        shape = {tuple(point) for point in np.round(renamed.ideal_vertices(k) @ turn.T, 6) + 0.0}
        assert shape == {tuple(point) for point in np.round(towel.ideal_vertices(k), 6) + 0.0}
    for fold, original in zip(renamed.folds, towel.folds, strict=True):
        for (hand, vertex), (same_hand, other) in zip(fold.grasps, original.grasps, strict=True):
            assert hand == same_hand
            np.testing.assert_allclose(turn @ renamed.vertices[vertex], towel.vertices[other], atol=1e-9)


def test_unknown_garments_name_the_known_ones():
    with pytest.raises(ValueError, match=r"unknown garment 'sock': .*towel, tshirt, trousers"):
        make_garment("sock")
    with pytest.raises(ValueError, match="quarter=True folds the towel twice"):
        make_garment("trousers", quarter=True)
