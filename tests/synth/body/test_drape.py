"""Contract: hair and clothes stay out of each other. What hangs lies on the clothes, what would enter them ends there,
no beard grows out of a collar, and no collar stands off the neck."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rodin.synth.body.accessories import hat_shell
from rodin.synth.body.beard import beard
from rodin.synth.body.clothes import clothes
from rodin.synth.body.drape import AXIS_Z, Drape, Obstacles
from rodin.synth.body.geometry import Mesh, Surface, sphere_mesh
from rodin.synth.body.hair import HANGING, hair
from rodin.synth.body.head import Head
from rodin.synth.body.morph_head import _SmoothDistance
from rodin.synth.body.sdf_head import build_sdf_head
from rodin.synth.body.strands import Collider, refine
from rodin.synth.recipe import HAIR, TOPS, AvatarRecipe, make_recipe

DETAIL, STEP = 0.08, 0.05
TOLERANCE = 0.05  # of the coarse cloth here; hair is as thin as a fifth of it


@functools.cache
def somebody(seed: int) -> AvatarRecipe:
    return dataclasses.replace(
        make_recipe(seed, 0), sex="man", age="young", hat="none", fringe=False, expression="neutral"
    )


@functools.cache
def head_of(seed: int) -> Head:
    return build_sdf_head(somebody(seed), STEP)


@functools.cache
def dressed(seed: int, top: str) -> tuple[Mesh, Obstacles]:
    """The cloth of a top, and what hair may not enter."""
    head = head_of(seed)
    cloth = clothes(head, dataclasses.replace(somebody(seed), top=top), STEP).meshes[0]
    surfaces = [(head.vertices, head.normals), (cloth.vertices, cloth.normals())]
    collider = Collider(np.concatenate([v for v, _ in surfaces]), np.concatenate([n for _, n in surfaces]))
    return cloth, Obstacles(collider=collider, drape=Drape(cloth), shell=None)


def winding(points: np.ndarray, mesh: Mesh) -> np.ndarray:
    """How often a closed mesh winds around points [N, 3] (van Oosterom and Strackee 1983): 1 inside, 0 outside."""
    a, b, c = (mesh.vertices[mesh.triangles[:, i]][None] - points[:, None] for i in range(3))
    la, lb, lc = (np.linalg.norm(v, axis=2) for v in (a, b, c))
    over = np.einsum("ntk,ntk->nt", a, np.cross(b, c))
    under = la * lb * lc
    for x, y, z in ((a, b, lc), (b, c, la), (c, a, lb)):
        under += np.einsum("ntk,ntk->nt", x, y) * z
    return np.arctan2(over, under).sum(axis=1) / (2 * np.pi)


def test_winding_knows_inside_from_outside() -> None:
    vertices, triangles = sphere_mesh(np.zeros(3), np.ones(3), 12, 16)
    ball = Mesh(vertices=vertices, triangles=triangles, colours=vertices, surface=Surface(name="ball"), material="top")
    np.testing.assert_allclose(winding(np.array([(0, 0, 0.5), (0, 1.5, 0), (0.7, 0, 0)]), ball), [1, 0, 1], atol=1e-3)


def depths(strands: np.ndarray, cloth: Mesh, rng: np.random.Generator) -> np.ndarray:
    """Distance to the cloth's surface of points on strands [N, K, 3], between knots too, that lie inside the cloth."""
    points = refine(strands, 3 * strands.shape[1]).reshape(-1, 3)
    points = points[points[:, 1] < -0.8]
    points = points[rng.permutation(len(points))[:60]]
    if len(points) == 0:
        return np.zeros(0)
    inside = points[winding(points, cloth) > 0.5]
    return np.linalg.norm(inside[:, None] - cloth.vertices[None], axis=2).min(axis=1)


@pytest.mark.parametrize("seed", [3, 4])
@pytest.mark.parametrize("style", HAIR[1:])
def test_hair_never_runs_through_clothes(style: str, seed: int) -> None:
    """But for what is pressed into the wool."""
    rng = np.random.default_rng(seed)
    for top in TOPS:
        cloth, obstacles = dressed(seed, top)
        recipe = dataclasses.replace(somebody(seed), hair=style, top=top)
        for strands in hair(head_of(seed), recipe, obstacles, detail=DETAIL).strands:
            assert depths(strands.points, cloth, rng).max(initial=0.0) < TOLERANCE, top


@pytest.mark.parametrize("top", TOPS)
@pytest.mark.parametrize("style", ["bob", "long straight", "long wavy"])
def test_long_hair_lies_over_the_back_of_clothes(style: str, top: str) -> None:
    """Not between the neck and a hood: whatever hangs at the back is further out than the cloth below and beside it."""
    assert style in HANGING
    cloth, obstacles = dressed(3, top)
    recipe = dataclasses.replace(somebody(3), hair=style, top=top)
    points = np.concatenate(
        [s.points.reshape(-1, 3) for s in hair(head_of(3), recipe, obstacles, detail=DETAIL).strands]
    )
    back = points[(np.abs(points[:, 0]) < 0.35) & (points[:, 2] < AXIS_Z - 0.2) & (points[:, 1] < -0.9)]
    away, cloth_away = (np.hypot(p[:, 0], p[:, 2] - AXIS_Z) for p in (back, cloth.vertices))
    azimuth, cloth_azimuth = (np.arctan2(p[:, 0], AXIS_Z - p[:, 2]) for p in (back, cloth.vertices))
    for place, reach, angle in list(zip(back, away, azimuth, strict=True))[:: max(1, len(back) // 150)]:
        beside = (np.abs(cloth_azimuth - angle) < 0.06) & (np.abs(cloth.vertices[:, 1] - place[1]) < 0.03)
        assert reach > cloth_away[beside].max(initial=0.0) - TOLERANCE


@pytest.mark.parametrize("top", TOPS)
def test_no_beard_grows_out_of_a_collar(top: str) -> None:
    cloth, obstacles = dressed(3, top)
    recipe = dataclasses.replace(somebody(3), beard="full beard", top=top)
    strands = beard(head_of(3), recipe, obstacles, 0.1).strands[0].points
    assert len(strands) > 100
    roots = strands[:, 0]
    low = roots[roots[:, 1] < -0.8][:100]
    assert (winding(low, cloth) < 0.5).all()
    assert depths(strands, cloth, np.random.default_rng(0)).max(initial=0.0) < TOLERANCE


def test_a_surface_ends_at_its_rim() -> None:
    """A tube around y: beside it the distance is that to its wall, above its rim it grows."""
    angle, height = np.meshgrid(np.linspace(0, 2 * np.pi, 60, endpoint=False), np.linspace(-1, 0, 21))
    normals = np.stack([np.sin(angle), 0 * angle, np.cos(angle)], axis=-1).reshape(-1, 3)
    wall = 0.5 * normals + np.stack([0 * height, height, 0 * height], axis=-1).reshape(-1, 3)
    distance = _SmoothDistance(wall, normals)
    beside = np.array([(0.0, -0.5, 0.7), (0.6, -0.3, 0.0), (0.0, -0.5, 0.4)])
    np.testing.assert_allclose(distance(beside), [0.2, 0.1, -0.1], atol=0.02)
    assert (distance(np.array([(0.0, 0.5, 0.5), (0.5, 0.4, 0.0)])) > 0.25).all()


@given(
    st.lists(st.tuples(*[st.floats(-1.5, 1.5)] * 3), min_size=1, max_size=20),
    st.floats(0.0, 0.1),
)
@settings(max_examples=50, deadline=None)
def test_what_is_laid_is_outside_and_at_its_height(points: list[tuple[float, float, float]], offset: float) -> None:
    _, obstacles = dressed(3, "hoodie")
    given_points = np.array(points)
    laid = obstacles.drape.lay(given_points, offset)
    np.testing.assert_array_equal(laid[:, 1], given_points[:, 1])
    again = obstacles.drape.lay(laid, offset)
    np.testing.assert_allclose(again, laid, atol=1e-5)
    away = lambda p: np.hypot(p[:, 0], p[:, 2] - AXIS_Z)  # noqa: E731
    assert (away(laid) > away(given_points) - 1e-6).all()
    high = given_points[:, 1] > -0.5
    np.testing.assert_allclose(laid[high], given_points[high], atol=1e-12)


def test_hair_under_a_hat_still_lies_on_clothes() -> None:
    recipe = dataclasses.replace(somebody(3), hair="bob", hat="beanie", top="hoodie")
    cloth, obstacles = dressed(3, "hoodie")
    obstacles = dataclasses.replace(obstacles, shell=hat_shell(head_of(3), recipe))
    for strands in hair(head_of(3), recipe, obstacles, detail=DETAIL).strands:
        assert depths(strands.points, cloth, np.random.default_rng(0)).max(initial=0.0) < TOLERANCE
