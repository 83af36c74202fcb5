"""Contract of rodin.avatars.mesh: closed outward surfaces in the right place, and files that a stranger reads back as
written.

References: closed forms of a sphere; trimesh as another program; the GLB's own JSON, parsed here.
"""

from __future__ import annotations

import json
import math
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trimesh
from torch import Tensor

from rodin.avatars.mesh import Mesh, extract_mesh, simplify_mesh
from rodin.avatars.mesh_files import srgb_to_linear, write_mesh
from rodin.errors import UserError
from rodin.render.rays import grid_points

CENTRE = torch.tensor([0.2, -0.1, 0.3])
RADIUS = 0.5


def _ball(points: Tensor, centre: Tensor, radius: float) -> Tensor:
    """A density that is 10 on the sphere and falls by 20 a world unit."""
    return 10.0 + 20.0 * (radius - (points - centre).norm(dim=-1))


def _colour(points: Tensor) -> Tensor:
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
    torch.testing.assert_close(sphere.colours, _colour(sphere.vertices))


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

    def colour(points: Tensor) -> Tensor:
        sizes.append(len(points))
        return _colour(points)

    mesh = extract_mesh(_ball(grid_points(48, CENTRE), CENTRE, RADIUS), colour, 10.0)
    assert max(sizes) == 100
    assert torch.equal(mesh.colours, sphere.colours)


def test_simplify(sphere: Mesh) -> None:
    small = simplify_mesh(sphere, 600)
    assert 400 < len(small.faces) <= 620
    solid = _solid(small)
    assert solid.volume == pytest.approx(4 / 3 * math.pi * RADIUS**3, rel=0.03)
    torch.testing.assert_close(small.colours, _colour(small.vertices), atol=0.05, rtol=0)
    assert simplify_mesh(sphere, 10**6) is sphere
    with pytest.raises(UserError, match="faces: 3"):
        simplify_mesh(sphere, 3)


def test_simplify_without_its_package(sphere: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fast_simplification", None)
    with pytest.raises(UserError, match=r"rodin\[mesh\]"):
        simplify_mesh(sphere, 600)


@pytest.mark.parametrize("suffix", [".obj", ".ply", ".PLY"])
def test_obj_and_ply_round_trip(tmp_path: Path, sphere: Mesh, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    write_mesh(path, sphere)
    read = trimesh.load(path, process=False, maintain_order=True)
    np.testing.assert_allclose(read.vertices, sphere.vertices, atol=1e-5)
    assert np.array_equal(read.faces, sphere.faces)
    np.testing.assert_allclose(read.visual.vertex_colors[:, :3] / 255, sphere.colours, atol=0.5 / 255 + 1e-6)
    np.testing.assert_allclose(read.vertex_normals, sphere.normals, atol=1e-4)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def _read_glb(path: Path) -> tuple[dict[str, Any], bytes]:
    content = path.read_bytes()
    magic, version, length = struct.unpack_from("<4sII", content)
    assert (magic, version, length) == (b"glTF", 2, len(content))
    size, kind = struct.unpack_from("<I4s", content, 12)
    assert kind == b"JSON"
    document = json.loads(content[20 : 20 + size])
    binary_size, kind = struct.unpack_from("<I4s", content, 20 + size)
    assert kind == b"BIN\0"
    assert size % 4 == binary_size % 4 == 0
    binary = content[28 + size :]
    assert len(binary) == binary_size == document["buffers"][0]["byteLength"]
    return document, binary


def _accessor(document: dict[str, Any], binary: bytes, number: int) -> np.ndarray:
    accessor = document["accessors"][number]
    view = document["bufferViews"][accessor["bufferView"]]
    data = binary[view["byteOffset"] : view["byteOffset"] + view["byteLength"]]
    kind = {5126: "<f4", 5125: "<u4", 5123: "<u2"}[accessor["componentType"]]
    width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}[accessor["type"]]
    assert view["byteOffset"] % 4 == 0
    return np.frombuffer(data, kind).reshape(accessor["count"], width)


def test_glb_opens_right(tmp_path: Path, sphere: Mesh) -> None:
    """Normals, no metal, linear colours, and triangles that turn outwards."""
    path = tmp_path / "a.glb"
    write_mesh(path, sphere)
    document, binary = _read_glb(path)
    primitive = document["meshes"][0]["primitives"][0]
    assert document["materials"][primitive["material"]]["pbrMetallicRoughness"] == {
        "metallicFactor": 0,
        "roughnessFactor": 1,
    }
    assert set(primitive["attributes"]) == {"POSITION", "NORMAL", "COLOR_0"}
    position = _accessor(document, binary, primitive["attributes"]["POSITION"])
    np.testing.assert_array_equal(position, sphere.vertices)
    np.testing.assert_array_equal(
        document["accessors"][primitive["attributes"]["POSITION"]]["min"], position.min(axis=0)
    )
    np.testing.assert_array_equal(_accessor(document, binary, primitive["attributes"]["NORMAL"]), sphere.normals)
    colour = _accessor(document, binary, primitive["attributes"]["COLOR_0"])
    assert document["accessors"][primitive["attributes"]["COLOR_0"]]["normalized"] is True
    assert colour.dtype == np.uint16
    assert bool((colour[:, 3] == 65535).all())
    np.testing.assert_allclose(colour[:, :3] / 65535, srgb_to_linear(sphere.colours), atol=1e-5)
    faces = _accessor(document, binary, primitive["indices"]).reshape(-1, 3).astype(int)
    assert np.array_equal(faces, sphere.faces)
    a, b, c = (position[faces[:, k]].astype(np.float64) for k in range(3))
    assert (a * np.cross(b, c)).sum() / 6 == pytest.approx(4 / 3 * math.pi * RADIUS**3, rel=0.005)


def test_glb_is_read_by_another_program(tmp_path: Path, sphere: Mesh) -> None:
    write_mesh(tmp_path / "a.glb", sphere)
    scene = trimesh.load(tmp_path / "a.glb", process=False)
    (read,) = scene.geometry.values()
    np.testing.assert_allclose(read.vertices, sphere.vertices, atol=1e-6)
    assert read.is_watertight
    assert read.volume > 0


def test_srgb_to_linear_known_values() -> None:
    known = torch.tensor([0.0, 0.04045, 0.5, 188 / 255, 1.0])
    torch.testing.assert_close(
        srgb_to_linear(known), torch.tensor([0.0, 0.0031308, 0.2140411, 0.5028865, 1.0]), atol=1e-6, rtol=1e-5
    )


def test_other_suffixes_and_places_are_refused(tmp_path: Path, sphere: Mesh) -> None:
    for name in ("a.stl", "a"):
        with pytest.raises(UserError, match=r"glb, \.obj or \.ply"):
            write_mesh(tmp_path / name, sphere)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        write_mesh(tmp_path / "file" / "a.glb", sphere)
