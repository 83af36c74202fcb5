"""Contract of rodin.avatars.mesh: closed outward surfaces in the right place, each face of the right material.

References: closed forms of a sphere; trimesh as another program.
"""

from __future__ import annotations

import dataclasses
import math
import sys

import numpy as np
import pytest
import torch
import trimesh
from scipy import ndimage
from torch import Tensor

from rodin import framing
from rodin.avatars.avatar import Avatar
from rodin.avatars.mesh import Mesh, extract_mesh, simplify_mesh, standing, textured
from rodin.avatars.solid import within
from rodin.avatars.surface_colours import seen_along_normals
from rodin.errors import UserError
from rodin.materials import MATERIALS
from rodin.render.rays import grid_points
from rodin.synth.body import drape
from rodin.synth.body.geometry import WORLD_SCALE

CENTRE = torch.tensor([0.2, -0.1, 0.3])
RADIUS = 0.5


def _ball(points: Tensor, centre: Tensor, radius: float) -> Tensor:
    """A density that is 10 on the sphere and falls by 20 a world unit."""
    return 10.0 + 20.0 * (radius - (points - centre).norm(dim=-1))


def _colour(points: Tensor, _normals: Tensor) -> Tensor:
    return points * 0.5 + 0.5


@pytest.fixture(scope="module")
def sphere() -> Mesh:
    return extract_mesh(_ball(grid_points(48, CENTRE), CENTRE, RADIUS), _colour, 10.0)


def _solid(mesh: Mesh) -> trimesh.Trimesh:
    return trimesh.Trimesh(mesh.vertices.numpy(), mesh.faces.numpy(), process=False)


def test_sphere_closed_forms(sphere: Mesh) -> None:
    solid = _solid(sphere)
    assert solid.is_watertight
    assert solid.volume == pytest.approx(4 / 3 * math.pi * RADIUS**3, rel=0.005)
    assert solid.area == pytest.approx(4 * math.pi * RADIUS**2, rel=0.005)
    torch.testing.assert_close(torch.tensor(solid.center_mass).float(), CENTRE, atol=1e-3, rtol=0)
    outward = torch.nn.functional.normalize(sphere.vertices - CENTRE, dim=-1)
    assert float((sphere.normals * outward).sum(-1).min()) > 0.98
    torch.testing.assert_close(sphere.colours, _colour(sphere.vertices, sphere.normals))


def test_axes_are_not_exchanged() -> None:
    """A box of three different side lengths around a place off the centre."""
    points = grid_points(41, CENTRE)
    half = torch.tensor([0.2, 0.4, 0.6])
    density = 20.0 * (1 - ((points - torch.tensor([0.3, -0.2, 0.1])).abs() / half).amax(dim=-1)) + 1.0
    mesh = extract_mesh(density, _colour, 1.0)
    torch.testing.assert_close(mesh.vertices.amin(0), torch.tensor([0.1, -0.6, -0.5]), atol=0.02, rtol=0)
    torch.testing.assert_close(mesh.vertices.amax(0), torch.tensor([0.5, 0.2, 0.7]), atol=0.02, rtol=0)


def test_surface_is_closed_at_the_side_of_the_box() -> None:
    """Everything below y = 0.25: a slab whose top alone lies inside the box."""
    points = grid_points(24, CENTRE)
    mesh = extract_mesh(100.0 * (0.25 - points[..., 1]) + 5.0, _colour, 5.0)
    solid = _solid(mesh)
    assert solid.is_watertight
    assert solid.volume == pytest.approx(2 * 2 * 1.25, rel=0.01)
    assert float(mesh.vertices.abs().max()) <= 1.0
    assert bool(mesh.normals.isfinite().all())


def test_full_box_is_a_cube() -> None:
    assert _solid(extract_mesh(torch.full((8, 8, 8), 50.0), _colour, 10.0)).volume == pytest.approx(8, rel=0.01)


def test_floaters_and_cavities_are_dropped() -> None:
    points = grid_points(48, CENTRE)
    origin = torch.zeros(3)
    shell = torch.minimum(_ball(points, origin, 0.6), 20.0 - _ball(points, origin, 0.3))
    floater = _ball(points, torch.tensor([0.85, 0.85, 0.85]), 0.06)
    glasses = _ball(points, torch.tensor([-0.8, 0.8, 0.8]), 0.15)
    density = torch.maximum(torch.maximum(shell, floater), glasses)
    solid = _solid(extract_mesh(density, _colour, 10.0))
    assert solid.is_watertight
    assert solid.volume == pytest.approx(4 / 3 * math.pi * (0.6**3 + 0.15**3), rel=0.01)
    everything = _solid(extract_mesh(density, _colour, 10.0, keep_fraction=0.0))
    assert everything.volume > solid.volume + 0.5 * 4 / 3 * math.pi * 0.06**3
    alone = _solid(extract_mesh(density, _colour, 10.0, keep_fraction=1.0))
    assert alone.volume == pytest.approx(4 / 3 * math.pi * 0.6**3, rel=0.01)


def test_density_equal_to_the_threshold_at_grid_points() -> None:
    """Ties make triangles without area; the mesh stays closed and its normals finite."""
    density = torch.zeros(9, 9, 9)
    density[2:7, 2:7, 2:7] = 2.0
    density[3:6, 3:6, 3:6] = 4.0
    mesh = extract_mesh(density, _colour, 2.0)
    assert _solid(mesh).volume > 0
    torch.testing.assert_close(mesh.normals.norm(dim=-1), torch.ones(len(mesh.vertices)))


def test_nothing_above_the_threshold() -> None:
    with pytest.raises(UserError, match="threshold: no density is above 3"):
        extract_mesh(torch.ones(5, 5, 5), _colour, 3.0)


@pytest.mark.parametrize("density", [torch.ones(4, 4), torch.ones(4, 4, 5), torch.full((4, 4, 4), float("nan"))])
def test_bad_density(density: Tensor) -> None:
    with pytest.raises(ValueError, match="density must be"):
        extract_mesh(density, _colour, 0.5)


def test_colours_are_asked_for_in_pieces(monkeypatch: pytest.MonkeyPatch, sphere: Mesh) -> None:
    monkeypatch.setattr("rodin.avatars.mesh.COLOUR_CHUNK", 100)
    sizes = []

    def colour(points: Tensor, normals: Tensor) -> Tensor:
        sizes.append(len(points))
        assert points.shape == normals.shape
        return _colour(points, normals)

    mesh = extract_mesh(_ball(grid_points(48, CENTRE), CENTRE, RADIUS), colour, 10.0)
    assert max(sizes) == 100
    assert torch.equal(mesh.colours, sphere.colours)


def test_simplify(sphere: Mesh) -> None:
    small = simplify_mesh(sphere, 600)
    assert 590 < len(small.faces) <= 600
    solid = _solid(small)
    assert solid.is_watertight
    assert solid.is_winding_consistent
    assert solid.volume == pytest.approx(4 / 3 * math.pi * RADIUS**3, rel=0.03)
    torch.testing.assert_close(small.colours, _colour(small.vertices, small.normals), atol=0.05, rtol=0)
    assert simplify_mesh(sphere, 10**6) is sphere
    with pytest.raises(UserError, match="faces: 3"):
        simplify_mesh(sphere, 3)


@pytest.mark.parametrize("faces", [2000, 500, 60])
def test_simplifying_keeps_the_topology(faces: int) -> None:
    """A ring stays a ring with one hole; its middle stays open."""
    points = grid_points(48, CENTRE)
    ring = 0.25 - ((points[..., :2].norm(dim=-1) - 0.55).square() + points[..., 2].square()).sqrt()
    small = simplify_mesh(extract_mesh(10 + 20 * ring, _colour, 10.0), faces)
    solid = _solid(small)
    assert len(small.faces) <= faces
    assert solid.is_watertight
    assert solid.is_winding_consistent
    assert solid.euler_number == 0
    assert float(small.vertices[:, :2].norm(dim=-1).min()) > 0.15


def test_a_hollow_pitted_body_is_filled() -> None:
    """A shell with narrow holes, open at the side of the box, is a solid; a ring keeps its hole."""
    points = grid_points(64, CENTRE)
    radius = points.norm(dim=-1)
    shell = 0.08 - (radius - 0.7).abs()
    for place in ([0.7, 0.0, 0.0], [0.0, 0.7, 0.0], [-0.5, 0.0, 0.5]):
        shell = shell.minimum((points - torch.tensor(place)).norm(dim=-1) - 0.1)
    hollow = 10 + 20 * shell
    assert _solid(extract_mesh(hollow, _colour, 10.0)).euler_number < 0, "or there is nothing to fill"
    solid = _solid(extract_mesh(hollow, _colour, 10.0, fill=True))
    assert (solid.is_watertight, solid.euler_number, solid.body_count) == (True, 2, 1)
    assert solid.volume == pytest.approx(4 / 3 * math.pi * 0.78**3, rel=0.03)
    ring = 0.2 - ((points[..., :2].norm(dim=-1) - 0.6).square() + points[..., 2].square()).sqrt()
    kept = _solid(extract_mesh(10 + 20 * ring, _colour, 10.0, fill=True))
    assert (kept.is_watertight, kept.euler_number) == (True, 0)


@pytest.mark.parametrize("radius", [1, 2, 6, 20])
def test_balls_reach_as_far_as_distances_say(radius: int) -> None:
    mask = np.random.default_rng(radius).random((30, 41, 25)) < 0.002
    np.testing.assert_array_equal(within(mask, radius), ndimage.distance_transform_edt(~mask) <= radius)
    assert not within(np.zeros((4, 5, 6), dtype=bool), radius).any()


def test_a_mesh_stands_as_high_as_is_asked(sphere: Mesh) -> None:
    extent = standing(sphere, 0.3).vertices.aminmax(dim=0)
    torch.testing.assert_close(extent.max - extent.min, torch.full((3,), 0.3), atol=2e-3, rtol=0)


def test_the_neck_is_the_origin() -> None:
    """A ball around it; and it is where `rodin synth` has necks."""
    neck = torch.tensor(framing.NECK)
    ball = extract_mesh(_ball(grid_points(48, neck), neck, 0.3), _colour, 10.0)
    stands = _solid(standing(ball, 0.2))
    np.testing.assert_allclose(stands.center_mass, 0, atol=2e-3)
    assert drape.LOW * WORLD_SCALE < framing.NECK[1] < drape.HIGH * WORLD_SCALE
    assert framing.NECK[2] == pytest.approx(drape.AXIS_Z * WORLD_SCALE, abs=0.01)


def test_normals_are_those_of_the_shape_and_not_of_its_noise() -> None:
    points = grid_points(64, CENTRE)
    noise = torch.randn(64, 64, 64, generator=torch.Generator().manual_seed(2))
    rough = extract_mesh(_ball(points, CENTRE, RADIUS) + noise.clamp(-2, 2) * 0.2, _colour, 10.0)
    outward = torch.nn.functional.normalize(rough.vertices - CENTRE, dim=-1)
    own = torch.from_numpy(_solid(rough).vertex_normals.copy()).float()

    def off(normals: Tensor) -> float:
        return float((normals * outward).sum(dim=-1).clamp(-1, 1).acos().mean().rad2deg())

    assert off(rough.normals) < off(own) / 3


def test_simplified_normals_face_as_the_faces_do(sphere: Mesh) -> None:
    small = simplify_mesh(sphere, 200)
    torch.testing.assert_close(small.normals.norm(dim=-1), torch.ones(len(small.vertices)))
    own = torch.from_numpy(_solid(small).vertex_normals.copy()).float()
    assert float((small.normals * own).sum(dim=-1).min()) > 0


def test_colours_are_what_rays_against_the_normals_see(of_materials: Avatar) -> None:
    """Emission and absorption added up in small steps, in double precision."""
    generator = torch.Generator().manual_seed(1)
    normals = torch.nn.functional.normalize(torch.randn(40, 3, generator=generator), dim=-1)
    points = 0.55 * normals
    seen = seen_along_normals(of_materials.renderer, points, normals)
    step = 1e-3
    depths = torch.arange(-0.06, 0.25, step) + step / 2
    field = of_materials.renderer.field
    light, mixed = torch.ones(len(points), dtype=torch.float64), torch.zeros(len(points), seen.shape[1]).double()
    for depth in depths:
        places = points - depth * normals
        alpha = 1 - torch.exp(-field.density(places).double() * step)
        mixed += (light * alpha)[:, None] * field.emitted(places, -normals)
        light *= 1 - alpha
    mixed += light[:, None] * field.emitted(points, -normals)
    torch.testing.assert_close(seen.double(), mixed, atol=0.02, rtol=0)
    assert float((seen - field.emitted(points, -normals)).abs().max()) > 0.1, "or the surface alone would do"


def test_a_texture_shows_the_colours_of_the_finer_mesh(sphere: Mesh) -> None:
    small = simplify_mesh(sphere, 800)
    texture = textured(small, sphere, 256)
    atlas, picture = texture.atlas, texture.picture
    assert texture.factors is None, "materials are not known"
    assert picture.shape == (256, 256, 3)
    middle = atlas.uv[atlas.faces].mean(axis=1) * 256
    column, row = middle[:, 0].astype(int), 255 - middle[:, 1].astype(int)
    true = (small.vertices[small.faces].mean(dim=1) * 0.5 + 0.5).numpy()
    assert abs(picture[row, column] / 255 - true).mean() < 0.02
    assert (atlas.source[atlas.faces] == small.faces.numpy()).all()


def test_a_texture_without_its_package(sphere: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xatlas", None)
    with pytest.raises(UserError, match=r"rodin-avatars\[mesh\]"):
        textured(sphere, sphere, 64)


# ---- materials


def well_inside(mesh: Mesh) -> dict[str, Tensor]:
    """Faces [F] of the ball of `of_materials` that are in the middle of a material."""
    x, y, _ = mesh.vertices[mesh.faces].mean(dim=1).unbind(dim=-1)
    return {"hair": (x > 0.08) & (y > -0.2), "skin": (x < -0.08) & (y > -0.2), "top": (y < -0.4) & (x < 0.1)}


def test_faces_are_made_of_what_is_there(of_materials: Avatar) -> None:
    mesh = of_materials.mesh(48)
    for name, faces in well_inside(mesh).items():
        assert int(faces.sum()) > 100, name
        assert bool((mesh.materials[faces] == MATERIALS.index(name)).all()), name
    assert {MATERIALS[k] for k in mesh.materials.tolist()} == {"hair", "skin", "top"}
    assert torch.equal(mesh.palette, of_materials.palette)


def test_a_simplified_mesh_keeps_materials(of_materials: Avatar) -> None:
    small = simplify_mesh(of_materials.mesh(48), 900)
    assert len(small.faces) < 1000
    for name, faces in well_inside(small).items():
        assert int(faces.sum()) > 20, name
        assert bool((small.materials[faces] == MATERIALS.index(name)).all()), name


def test_materials_come_with_their_palette(of_materials: Avatar) -> None:
    mesh = of_materials.mesh(24)
    with pytest.raises(ValueError, match="emitted and palette come together"):
        dataclasses.replace(mesh, palette=None)
    with pytest.raises(ValueError, match=r"palette must be \[13, 3\], got \[4, 3\]"):
        dataclasses.replace(mesh, palette=torch.zeros(4, 3))
    with pytest.raises(ValueError, match=r"emitted must be"):
        dataclasses.replace(mesh, emitted=mesh.emitted[:-1])
