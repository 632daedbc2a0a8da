"""Layers: folded cloth lies on itself, at the heights that the rule says."""

import numpy as np
import pytest
from episodes import CASES, expert_episode, folding_env

from vla_course.envs.folding.cloth import MAX_LAYER_HEIGHT_M, RADIUS_M, Layers, far_apart
from vla_course.envs.folding.garments import make_garment
from vla_course.envs.folding.scene import compiled_scene

TOWEL = make_garment("towel")


@pytest.fixture
def layers():
    scene = compiled_scene("towel", False, 1.0, 1 / 120).copy()
    made = Layers(scene.model, scene.garment, scene.vertex_geom)
    made.reset()
    return made


def flat(height: float = RADIUS_M) -> np.ndarray:
    return np.insert(TOWEL.vertices, 2, height, axis=1)


def folded(gap: float) -> np.ndarray:
    """The far half laid over the near one, `gap` above it."""
    vertices = np.insert(TOWEL.ideal_vertices(1), 2, RADIUS_M, axis=1)
    vertices[TOWEL.moved_by(0), 2] += gap
    return vertices


def test_a_flat_sheet_has_one_layer(layers):
    layers.update(flat())
    np.testing.assert_array_equal(layers.heights, np.full(121, RADIUS_M))
    layers.update(flat(0.3))  # in the air nothing is below it either
    np.testing.assert_array_equal(layers.heights, np.full(121, RADIUS_M))


def test_what_lies_on_a_sheet_rests_two_radii_above_it(layers):
    layers.update(folded(gap=0.02))
    # Two cells from the crease and more, each moved vertex has the near half at height RADIUS_M below it.
    on_top = TOWEL.moved_by(0) & (TOWEL.vertices[:, 0] > 0.04)
    np.testing.assert_allclose(layers.heights[on_top], 3 * RADIUS_M, atol=1e-9)
    np.testing.assert_array_equal(layers.heights[~TOWEL.moved_by(0)], RADIUS_M)


def test_one_vertex_over_the_middle_of_a_tilted_sheet(layers):
    """Heights are interpolated within the triangle below, not taken from a corner."""
    vertices = flat()
    vertices[:, 2] += 0.1 * (vertices[:, 0] + 0.18)
    corner = TOWEL.keypoints["far_left"]
    vertices[corner] = -0.09, -0.03, 0.08
    layers.update(vertices)
    assert layers.heights[corner] == pytest.approx(RADIUS_M + 0.1 * 0.09 + 2 * RADIUS_M, abs=1e-9)


def test_neighbours_do_not_carry_each_other(layers):
    vertices = flat()
    middle = int(np.flatnonzero((TOWEL.grid == 5).all(axis=1))[0])
    vertices[middle, 2] = 0.03  # a bump within the sheet
    layers.update(vertices)
    np.testing.assert_array_equal(layers.heights, np.full(121, RADIUS_M))
    far = far_apart(TOWEL)
    triangles_at = (TOWEL.triangles == middle).any(axis=1)
    assert not far[middle, triangles_at].any() and far[middle].mean() > 0.8


def test_heights_are_bounded_and_come_down_gently(layers):
    high = folded(gap=0.4)
    near = ~TOWEL.moved_by(0)
    high[near, 2] = 0.2
    layers.update(high)
    assert layers.heights.max() == MAX_LAYER_HEIGHT_M
    layers.update(flat())
    after_one = layers.heights.max()
    assert (
        RADIUS_M < after_one < MAX_LAYER_HEIGHT_M
    )  # support that comes and goes does not make the cloth tremble
    for _ in range(400):
        layers.update(flat())
    np.testing.assert_array_equal(layers.heights, np.full(121, RADIUS_M))


def test_heights_go_back_with_what_the_broad_phase_keeps_of_them():
    scene = compiled_scene("towel", False, 1.0, 1 / 120).copy()
    layers = Layers(scene.model, scene.garment, scene.vertex_geom)
    heights = np.linspace(0.004, 0.02, 121)
    layers.set_heights(heights)
    np.testing.assert_array_equal(layers.heights, heights)
    np.testing.assert_array_equal(scene.model.geom_size[scene.vertex_geom, 0], heights)
    np.testing.assert_array_equal(scene.model.geom_rbound[scene.vertex_geom], heights)
    np.testing.assert_array_equal(scene.model.geom_aabb[scene.vertex_geom, 3:], np.tile(heights[:, None], 3))
    layers.heights[:] = 0
    np.testing.assert_array_equal(layers.heights, heights)


def test_layers_of_two_environments_are_their_own():
    one, other = (compiled_scene("towel", False, 1.0, 1 / 120).copy() for _ in range(2))
    Layers(one.model, one.garment, one.vertex_geom).set_heights(np.full(121, 0.02))
    assert other.model.geom_size[other.vertex_geom, 0].max() == pytest.approx(RADIUS_M)


def on_border(garment) -> np.ndarray:
    """The vertices at an edge that belongs to one triangle only."""
    corners = garment.triangles
    edges = np.sort(np.concatenate([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [2, 0]]]), axis=1)
    pairs, count = np.unique(edges, axis=0, return_counts=True)
    border = np.zeros(len(garment.vertices), bool)
    border[pairs[count == 1]] = True
    return border


@pytest.mark.parametrize("case", CASES)
def test_folded_cloth_lies_on_itself_and_not_in_itself(case):
    """At the end of the expert's episode, above each other by at least a sphere's radius wherever two layers meet."""
    env, played = folding_env(case), expert_episode(case)
    vertices = played.vertices[-1]
    env.restore(played.snapshots[-1])
    garment = env.garment
    steps = np.abs(garment.grid[:, None] - garment.grid[None]).max(axis=2)
    beside = np.linalg.norm(vertices[:, None, :2] - vertices[None, :, :2], axis=2)
    inner = ~on_border(garment)  # a border may lie on the table just outside the border of the sheet below
    first, second = np.nonzero((beside < 0.010) & (steps >= 4) & inner[:, None] & inner[None])
    assert len(first) >= 40
    apart = np.abs(vertices[first, 2] - vertices[second, 2])
    assert np.median(apart) > 1.5 * RADIUS_M and (apart < 0.5 * RADIUS_M).mean() < 0.05
    assert vertices[:, 2].min() > -0.001 and vertices[:, 2].max() < 0.08


@pytest.mark.parametrize("case", CASES)
def test_what_was_folded_last_lies_on_top(case):
    env, played = folding_env(case), expert_episode(case)
    env.restore(played.snapshots[-1])
    moved = env.goal.moved[-1]
    heights = played.vertices[-1][:, 2]
    assert heights[moved].mean() > heights[~moved].mean() + RADIUS_M


@pytest.mark.parametrize("case", CASES)
def test_cloth_hardly_stretches(case):
    """Along the expert's whole episode; a few edges at a pinch may give."""
    env, played = folding_env(case), expert_episode(case)
    env.restore(played.snapshots[0])
    edges, rest = env.model.flex_edge, env.model.flexedge_length0
    for vertices in played.vertices[::5]:
        stretch = np.linalg.norm(vertices[edges[:, 0]] - vertices[edges[:, 1]], axis=1) / rest
        assert np.quantile(stretch, 0.95) < 1.06 and stretch.max() < 1.5
