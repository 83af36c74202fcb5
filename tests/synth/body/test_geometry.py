"""Contract: an avatar is a closed bust inside the unit box and the envelope; hair stays under hats and off the eyes."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest

from rodin.materials import MATERIALS
from rodin.synth.body import build
from rodin.synth.body.accessories import hat_shell
from rodin.synth.body.build import build_avatar
from rodin.synth.body.geometry import ENVELOPE_RADIUS, boundary_edges, close_rim, from_world, signed_volume, to_world
from rodin.synth.body.head import Head
from rodin.synth.body.sdf import polygonize, sphere
from rodin.synth.body.sdf_head import build_sdf_head
from rodin.synth.body.strands import refine
from rodin.synth.cameras import BORDER, camera_poses, distance, focal_length
from rodin.synth.recipe import FACE_SHAPES, HAIR, HATS, NO_HAT, TOPS, AvatarRecipe, make_recipe

DETAIL = 0.1
STEP = 0.04  # cells of heads; four fifths of an avatar's time are its head's


def variant(index: int, **changes: object) -> AvatarRecipe:
    """A recipe with some attributes set."""
    return dataclasses.replace(make_recipe(3, index), **changes)  # type: ignore[arg-type]


def bare(recipe: AvatarRecipe) -> AvatarRecipe:
    """The recipe of the same head, as far as a head goes."""
    return dataclasses.replace(recipe, hair="bald", fringe=False, hat="none", top=TOPS[0], glasses="none")


@functools.cache
def head_of(recipe: AvatarRecipe, step: float) -> Head:
    return build_sdf_head(recipe, step)


@pytest.fixture(autouse=True)
def _each_head_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Avatars that differ in hair, hat, clothes and glasses alone share their head."""
    monkeypatch.setattr(build, "build_sdf_head", lambda recipe, step: head_of(bare(recipe), STEP))


def test_a_head_knows_nothing_of_hair_and_clothes() -> None:
    """Which is why the tests here may share them."""
    recipe = variant(2, hair="braids", fringe=True, hat="fedora", top=TOPS[-1], glasses="sunglasses")
    one, other = (build_sdf_head(known, 0.06) for known in (recipe, bare(recipe)))
    assert recipe != bare(recipe)
    for name in ("vertices", "triangles", "normals", "neutral", "lips", "ears", "mouth", "shade"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    np.testing.assert_array_equal(one.extras.points(), other.extras.points())


@functools.cache
def styled(style: str) -> AvatarRecipe:
    """A recipe for each hair style, all other attributes as drawn, without a hat."""
    return variant(HAIR.index(style), hair=style, hat="none", fringe=False)


def test_world_map_round_trip() -> None:
    points = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    np.testing.assert_allclose(from_world(to_world(points)), points, atol=1e-6)


def test_close_rim_fills_two_holes() -> None:
    vertices, triangles = polygonize(lambda p: sphere(p, (0.0, 0.0, 0.0), 0.4), (0, -0.5, -0.5), (0.5, 0.5, 0.5), 0.05)
    top, bottom = vertices[triangles, 1].min(axis=1) > 0.3, vertices[triangles, 1].max(axis=1) < -0.3
    cut = triangles[~(top | bottom)]
    assert len(boundary_edges(cut)) > 8
    closed = np.concatenate([cut, close_rim(boundary_edges(cut))])
    assert len(boundary_edges(closed)) == 0
    assert (
        0.7 * signed_volume(vertices, triangles) < signed_volume(vertices, closed) < signed_volume(vertices, triangles)
    )


def test_polygonize_closes_a_sphere_outward() -> None:
    center, radius = (0.0, 0.2, -0.1), 0.4
    vertices, triangles = polygonize(lambda p: sphere(p, center, radius), (0, -0.5, -0.7), (0.6, 0.8, 0.5), 0.03)
    assert len(boundary_edges(triangles)) == 0
    np.testing.assert_allclose(np.linalg.norm(vertices - center, axis=1), radius, atol=2e-3)
    assert signed_volume(vertices, triangles) == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.01)


@pytest.mark.parametrize("style", HAIR)
def test_everything_lies_in_box_and_envelope(style: str) -> None:
    parts = build_avatar(styled(style), detail=DETAIL)
    points = to_world(parts.points())
    assert np.isfinite(points).all()
    assert np.abs(points).max() < 1.0
    assert np.linalg.norm(points, axis=1).max() < ENVELOPE_RADIUS + 1e-3
    if style != "bald":
        assert any(strands.name == "hair" and len(strands.points) > 50 for strands in parts.strands)


@pytest.mark.parametrize("face_shape", FACE_SHAPES)
def test_head_is_closed_and_faces_outward(face_shape: str) -> None:
    expression = "surprised" if face_shape == "long" else "grinning"
    head = head_of(variant(5, face_shape=face_shape, expression=expression), 0.03)
    assert len(boundary_edges(head.triangles)) == 0
    assert signed_volume(head.vertices, head.triangles) > 2.0
    outward = np.einsum("ij,ij->i", head.normals, head.vertices - (0.0, 0.3, 0.0))
    skull = head.vertices[:, 1] > 0.6
    assert (outward[skull] > 0).all()


def test_face_shapes_differ_where_their_names_say() -> None:
    def width(shape: str, y: float) -> float:
        head = head_of(variant(5, face_shape=shape, expression="neutral"), 0.04)
        near = (np.abs(head.vertices[:, 1] - y) < 0.04) & (head.vertices[:, 2] > 0.1) & (head.ears < 0.1)
        return float(np.ptp(head.vertices[near, 0]))

    jaw = {shape: width(shape, -0.7) for shape in FACE_SHAPES}
    assert jaw["square"] > 1.1 * jaw["oval"] > 1.1 * jaw["heart-shaped"]
    assert width("round", -0.2) > 1.08 * width("long", -0.2)


@pytest.mark.parametrize("shape", TOPS)
def test_clothes_close_the_bust(shape: str) -> None:
    parts = build_avatar(variant(1, hair="bald", hat="none", top=shape), detail=DETAIL)
    cloth = next(mesh for mesh in parts.meshes if mesh.surface.name in ("wool", "cotton"))
    assert len(boundary_edges(cloth.triangles)) == 0
    assert signed_volume(cloth.vertices, cloth.triangles) > 0
    skin = next(mesh for mesh in parts.meshes if mesh.surface.name == "skin")
    # Nothing of the skin's own end shows below the clothes.
    assert skin.vertices[:, 1].min() > cloth.vertices[:, 1].min()


@pytest.mark.parametrize("hat", HATS)
@pytest.mark.parametrize("style", ["short", "curly", "long wavy", "braids"])
def test_hair_never_leaves_a_hat(hat: str, style: str) -> None:
    assert style not in NO_HAT
    recipe = variant(2, hair=style, hat=hat, fringe=False)
    shell = hat_shell(head_of(bare(recipe), STEP), recipe)
    assert shell is not None
    for strands in build_avatar(recipe, detail=DETAIL).strands:
        if strands.name == "hair":
            # Between knots too: a segment may not cut through the wall.
            points = refine(strands.points, 5 * strands.points.shape[1]).reshape(-1, 3)
            covered = shell.above(points) > 0.0
            assert shell.level(points[covered]).max(initial=0.0) < 1.0


@pytest.mark.parametrize("style", ["short", "bob", "long wavy", "ponytail"])
def test_hair_leaves_the_eyes_free(style: str) -> None:
    recipe = variant(4, hair=style, hat="none", fringe=style in ("bob", "ponytail"))
    head = head_of(bare(recipe), STEP)
    for strands in build_avatar(recipe, detail=DETAIL).strands:
        if strands.name == "hair":
            for eye in head.eyes:
                offset = strands.points - eye.center
                before = (np.hypot(offset[..., 0], offset[..., 1]) < 0.18) & (offset[..., 2] > 0)
                assert not before.any()


def test_glasses_sit_before_the_eyes_and_on_the_nose() -> None:
    recipe = variant(6, glasses="round glasses", hat="none", hair="bald")
    head = head_of(bare(recipe), STEP)
    parts = build_avatar(recipe, detail=DETAIL)
    frame = np.concatenate([m.vertices for m in parts.meshes if m.surface.name in ("plastic", "metal")])
    front = frame[frame[:, 2] > 0.8]
    assert len(front) > 100
    skin_there = head.onto_face(front, 0.0)[:, 2]
    middle = np.abs(front[:, 0]) < 0.04
    gap = front[middle, 2] - skin_there[middle]
    assert -0.09 < gap.min() < 0.03, "the bridge floats or is buried"


@pytest.mark.parametrize("size", [32, 64, 200])
def test_cameras_see_the_whole_envelope(size: int) -> None:
    poses = camera_poses(9, 4, 40, size)
    np.testing.assert_allclose(
        poses[:, :3, :3] @ poses[:, :3, :3].transpose(0, 2, 1), np.eye(3)[None].repeat(40, 0), atol=1e-9
    )
    np.testing.assert_allclose(np.linalg.det(poses[:, :3, :3]), 1.0)
    back = poses[:, :3, 3] / distance(size)
    np.testing.assert_allclose(poses[:, :3, 2], back, atol=1e-9)
    assert poses[0, 2, 3] > 0.99 * distance(size), "frame 0 is frontal"
    assert (poses[:, 1, 1] > 0).all(), "cameras stand upright"
    directions = np.random.default_rng(0).normal(size=(4000, 3))
    points = ENVELOPE_RADIUS * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    for pose in poses:
        local = (points - pose[:3, 3]) @ pose[:3, :3]
        pixel = size / 2 + focal_length(size) * local[:, :2] / -local[:, 2:]
        assert pixel.min() > BORDER
        assert pixel.max() < size - BORDER
    azimuth = np.sort(np.arctan2(back[1:, 0], back[1:, 2]))
    gaps = np.diff(np.append(azimuth, azimuth[0] + 2 * np.pi))
    assert gaps.max() < 2.5 * 2 * np.pi / 39
    elevation = np.degrees(np.arcsin(back[1:, 1]))
    assert -20.01 < elevation.min() < -12
    assert 42 < elevation.max() < 50.01


def test_views_of_a_subject_do_not_depend_on_how_many_there_are() -> None:
    np.testing.assert_array_equal(camera_poses(1, 2, 5, 64), camera_poses(1, 2, 9, 64)[:5])


def test_every_part_is_of_a_known_material_and_its_shares_add_up() -> None:
    recipes = [
        variant(1, hair="braids", hat="fedora", top="hoodie", glasses="sunglasses", expression="grinning"),
        variant(2, sex="man", age="young", hair="bun", hat="none", beard="full beard", top="collared shirt"),
        variant(3, hair="bob", earrings=True, glasses="round glasses", glasses_color="gold"),
    ]
    seen: set[str] = set()
    for recipe in recipes:
        for mesh in build_avatar(recipe, detail=DETAIL).meshes:
            assert {mesh.material, *mesh.blends} <= set(MATERIALS)
            shares = np.stack([*mesh.blends.values(), np.zeros(len(mesh.vertices))])
            assert shares.min() >= 0
            assert shares.sum(axis=0).max() <= 1 + 1e-6
            seen |= {mesh.material} | {name for name, share in mesh.blends.items() if share.max() > 0.5}
    assert seen == set(MATERIALS)
