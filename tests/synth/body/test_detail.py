"""Contract: work that is left out leaves the avatar as it is: small pictures get coarser parts of the same shape,
fields are looked at only where they matter, and few edges are searched."""

from __future__ import annotations

import dataclasses

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from rodin.synth.body.build import build_avatar, detail_for
from rodin.synth.body.geometry import Parts, boundary_edges, sphere_mesh
from rodin.synth.body.sdf_head import features, head_field
from rodin.synth.recipe import make_recipe


def test_small_pictures_get_coarser_parts_of_the_same_shape() -> None:
    recipe = dataclasses.replace(make_recipe(3, 2), hair="short", hat="none", beard="none")
    small, large = (build_avatar(recipe, detail=detail_for(size)) for size in (64, 512))

    def vertices(parts: Parts, material: str) -> np.ndarray:
        return np.concatenate([mesh.vertices for mesh in parts.meshes if mesh.material == material])

    assert sum(len(mesh.triangles) for mesh in small.meshes) < 0.6 * sum(len(mesh.triangles) for mesh in large.meshes)
    assert sum(s.points.size for s in small.strands) < 0.3 * sum(s.points.size for s in large.strands)
    for material in ("skin", "eye_white", "top"):
        one, other = vertices(small, material), vertices(large, material)
        gap = cKDTree(other).query(one)[0]  # to the nearest vertex: half a cell, where the surfaces are the same
        assert np.quantile(gap, 0.99) < 0.025, material
        assert np.abs(np.ptp(one, axis=0) - np.ptp(other, axis=0)).max() < 0.02, material


def test_large_pictures_have_all_there_is() -> None:
    assert [detail_for(size) for size in (64, 128, 256, 512, 1024)] == [0.35, 0.5, 1.0, 1.0, 1.0]


def test_a_head_shows_no_seam_where_its_parts_begin_to_be_looked_at() -> None:
    """Near the skin the distance goes on across the planes that bound face, ears and neck."""
    f = features(dataclasses.replace(make_recipe(3, 5), age="elderly", expression="grinning"))
    points = np.random.default_rng(0).uniform((-1.3, -1.4, -1.1), (1.3, 1.2, 1.2), (40_000, 3)).astype(np.float32)
    for axis, place in ((0, 0.5), (0, -0.5), (1, 0.0), (2, 0.1)):
        before, after = points.copy(), points.copy()
        before[:, axis], after[:, axis] = place - 1e-4, place + 1e-4
        one, other = head_field(before, f), head_field(after, f)
        near = np.abs(one) < 0.05
        assert near.sum() > 100
        assert np.abs(one - other)[near].max() < 1e-3, (axis, place)


@given(st.integers(0, 2**31), st.floats(0.0, 0.5))
@settings(max_examples=150, deadline=None)
def test_boundary_edges_are_those_without_a_partner(seed: int, missing: float) -> None:
    """Of a closed mesh with triangles taken out of it, as counting finds them."""
    rng = np.random.default_rng(seed)
    _, triangles = sphere_mesh(np.zeros(3), np.ones(3), int(rng.integers(3, 9)), int(rng.integers(3, 9)))
    kept = np.concatenate([triangles[:1], triangles[1:][rng.random(len(triangles) - 1) >= missing]])
    edges = {(int(t[i]), int(t[(i + 1) % 3])) for t in kept for i in range(3)}
    assert {(a, b) for a, b in boundary_edges(kept).tolist()} == {edge for edge in edges if edge[::-1] not in edges}
