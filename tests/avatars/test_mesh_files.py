"""Contract of rodin.avatars.mesh_files: files that a stranger reads back as written; of an avatar with materials each
is a part by its name, whose base colour recolours it alone.

References: trimesh, Blender and three.js as other programs; the GLB's own JSON, parsed here; the avatar recoloured.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import math
import shutil
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trimesh

from rodin.avatars.avatar import Avatar
from rodin.avatars.base_colours import HEADROOM, srgb_to_linear
from rodin.avatars.mesh import Mesh, extract_mesh, textured
from rodin.avatars.mesh_files import write_mesh
from rodin.errors import UserError
from rodin.materials import MATERIALS
from rodin.render.rays import grid_points

RADIUS = 0.5
THREE = Path(__file__).parent / "three"


@pytest.fixture(scope="module")
def sphere() -> Mesh:
    centre = torch.tensor([0.2, -0.1, 0.3])
    density = 10.0 + 20.0 * (RADIUS - (grid_points(48, centre) - centre).norm(dim=-1))
    return extract_mesh(density, lambda points, _: points * 0.5 + 0.5, 10.0)


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
        "baseColorFactor": [1, 1, 1, 1],
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
    for name in ("a.fbx", "a"):
        with pytest.raises(UserError, match=r"choose \.glb, \.usdz, \.obj, \.ply, \.stl"):
            write_mesh(tmp_path / name, sphere)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        write_mesh(tmp_path / "file" / "a.glb", sphere)


def test_stl_is_the_same_solid(tmp_path: Path, sphere: Mesh) -> None:
    write_mesh(tmp_path / "a.STL", sphere)
    read = trimesh.load(tmp_path / "a.STL")
    assert read.is_watertight
    assert read.volume == pytest.approx(4 / 3 * math.pi * RADIUS**3, rel=0.005)
    with pytest.raises(UserError, match=r"\.stl has no textures"):
        write_mesh(tmp_path / "b.stl", sphere, textured(sphere, sphere, 64))


@pytest.mark.parametrize("suffix", [".glb", ".obj"])
def test_textures_are_read_by_another_program(tmp_path: Path, of_materials: Avatar, suffix: str) -> None:
    """Each part has its name and the picture; at each corner that shows the corner's colour."""
    mesh = of_materials.mesh(32)
    write_mesh(tmp_path / f"a{suffix}", mesh, textured(mesh, mesh, 512))
    scene = trimesh.load(tmp_path / f"a{suffix}", process=False, group_material=True, split_object=False)
    assert {solid.visual.material.name for solid in scene.geometry.values()} == {"hair", "skin", "top"}
    off = []
    for solid in scene.geometry.values():
        shown = solid.visual.to_color().vertex_colors[:, :3] / 255
        if suffix == ".glb":  # which has factors of a base in its picture
            base = solid.visual.material.baseColorFactor[:3] / 255
            shown = linear_to_srgb(srgb_to_linear(torch.from_numpy(shown)) * torch.from_numpy(base))
        distance = torch.cdist(torch.from_numpy(np.array(solid.vertices)).float(), mesh.vertices)
        off.append(np.abs(shown - mesh.colours[distance.argmin(dim=1)].numpy()).mean(axis=1))
    assert np.concatenate(off).mean() < 0.04


def test_a_usdz_wants_a_texture_and_a_ply_no_light(tmp_path: Path, sphere: Mesh) -> None:
    with pytest.raises(UserError, match=r"colours of \.usdz are in a texture"):
        write_mesh(tmp_path / "a.usdz", sphere)
    with pytest.raises(UserError, match=r"\.ply has no unlit materials; choose \.glb or \.usdz"):
        write_mesh(tmp_path / "a.ply", sphere, lit=True)
    assert list(tmp_path.iterdir()) == []


WITH_USD = """
import json, sys
from pxr import Usd, UsdGeom, UsdShade, UsdValidation

stage = Usd.Stage.Open(sys.argv[1])
context = UsdValidation.ValidationContext(UsdValidation.ValidationRegistry().GetOrLoadAllValidators())
body = UsdGeom.Mesh(stage.GetPrimAtPath("/avatar/body"))
subsets = UsdShade.MaterialBindingAPI(body).GetMaterialBindSubsets()
bound = {}
for subset in subsets:
    (material,) = UsdShade.MaterialBindingAPI(subset).GetDirectBindingRel().GetTargets()
    bound[subset.GetPrim().GetName()] = [material.name, len(subset.GetIndicesAttr().Get())]
print(json.dumps({
    "issues": [error.GetMessage() for error in context.Validate(stage)],
    "axis": UsdGeom.GetStageUpAxis(stage),
    "unit": UsdGeom.GetStageMetersPerUnit(stage),
    "points": [list(point) for point in body.GetPointsAttr().Get()],
    "faces": list(body.GetFaceVertexIndicesAttr().Get()),
    "bound": bound,
}))
"""


def test_a_usdz_is_as_the_specification_has_it(tmp_path: Path, of_materials: Avatar) -> None:
    """Nothing is compressed, every file begins at a multiple of 64 bytes, the scene first."""
    mesh = of_materials.mesh(24)
    write_mesh(tmp_path / "a.usdz", mesh, textured(mesh, mesh, 128))
    content = (tmp_path / "a.usdz").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.usdz") as package:
        entries = package.infolist()
    assert [entry.filename for entry in entries] == ["avatar.usda", "textures/colours.png"]
    for entry in entries:
        assert entry.compress_type == zipfile.ZIP_STORED
        name, extra = struct.unpack_from("<HH", content, entry.header_offset + 26)
        begin = entry.header_offset + 30 + name + extra
        assert begin % 64 == 0
        assert content[begin : begin + 4] in (b"#usd", b"\x89PNG")


@pytest.mark.skipif(importlib.util.find_spec("pxr") is None, reason="usd-core is not installed")
def test_usd_reads_the_parts(tmp_path: Path, of_materials: Avatar) -> None:
    mesh = of_materials.mesh(24)
    write_mesh(tmp_path / "a.usdz", mesh, textured(mesh, mesh, 128))
    done = subprocess.run([sys.executable, "-c", WITH_USD, tmp_path / "a.usdz"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    read = json.loads(done.stdout)
    assert (read["issues"], read["axis"], read["unit"]) == ([], "Y", 1)
    np.testing.assert_allclose(read["points"], mesh.vertices, atol=1e-5)
    np.testing.assert_array_equal(np.reshape(read["faces"], (-1, 3)), mesh.faces)
    counts = {name: int((mesh.materials == MATERIALS.index(name)).sum()) for name in ("hair", "skin", "top")}
    assert read["bound"] == {name: [name, count] for name, count in counts.items()}


# ---- materials


@pytest.fixture(scope="module")
def ball(of_materials: Avatar) -> Mesh:
    return of_materials.mesh(48)


@dataclasses.dataclass
class ReadPart:
    """A primitive as it stands in a file; colours are linear."""

    positions: np.ndarray  # [v, 3]
    faces: np.ndarray  # [f, 3]
    base: np.ndarray  # [3]
    factors: np.ndarray  # [v, 3]
    palette: list[float]


def linear_to_srgb(colours: torch.Tensor | np.ndarray) -> np.ndarray:
    colours = np.asarray(colours)
    return np.where(colours <= 0.0031308, colours * 12.92, 1.055 * np.maximum(colours, 1e-9) ** (1 / 2.4) - 0.055)


def read_parts(path: Path) -> dict[str, ReadPart]:
    document, binary = _read_glb(path)
    parts = {}
    for primitive in document["meshes"][0]["primitives"]:
        material = document["materials"][primitive["material"]]
        surface = material["pbrMetallicRoughness"]
        assert (surface["metallicFactor"], surface["roughnessFactor"], surface["baseColorFactor"][3]) == (0, 1, 1)
        position, normal, colour = (
            _accessor(document, binary, primitive["attributes"][name]) for name in ("POSITION", "NORMAL", "COLOR_0")
        )
        np.testing.assert_allclose(np.linalg.norm(normal, axis=1), 1, atol=1e-5)
        parts[material["name"]] = ReadPart(
            position,
            _accessor(document, binary, primitive["indices"]).reshape(-1, 3).astype(int),
            base=np.array(surface["baseColorFactor"][:3]),
            factors=colour[:, :3] / 65535,
            palette=material["extras"]["palette"],
        )
    return parts


@pytest.fixture(scope="module")
def ball_file(ball: Mesh, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ball") / "ball.glb"
    write_mesh(path, ball)
    return path


def test_a_glb_has_a_part_for_each_material(ball: Mesh, ball_file: Path) -> None:
    """Together they are the mesh, face by face, in its colours."""
    parts = read_parts(ball_file)
    assert set(parts) == {"hair", "skin", "top"}
    for name, part in parts.items():
        faces = ball.faces[ball.materials == MATERIALS.index(name)]
        np.testing.assert_array_equal(part.positions[part.faces], ball.vertices[faces])
        palette = ball.palette[MATERIALS.index(name)]
        np.testing.assert_allclose(part.palette, palette, atol=1e-6)
        np.testing.assert_allclose(part.base, (HEADROOM * srgb_to_linear(palette)).clamp(max=1), atol=1e-6)
        shown = linear_to_srgb(part.base * part.factors)[part.faces]
        assert np.abs(shown - ball.colours[faces].numpy()).mean() < 2 / 255, name


@pytest.mark.parametrize("with_texture", [False, True])
def test_the_parts_are_one_watertight_body(ball: Mesh, with_texture: bool, tmp_path: Path) -> None:
    """Where parts and charts meet, vertices stand at the very same place; faces turn outwards."""
    write_mesh(tmp_path / "a.glb", ball, textured(ball, ball, 256) if with_texture else None)
    parts = trimesh.load(tmp_path / "a.glb", process=False).geometry.values()
    whole = trimesh.util.concatenate([trimesh.Trimesh(part.vertices, part.faces, process=False) for part in parts])
    places, numbered = np.unique(whole.vertices, axis=0, return_inverse=True)
    body = trimesh.Trimesh(places, numbered.reshape(-1)[whole.faces], process=False)
    assert (body.is_watertight, body.is_winding_consistent, body.body_count) == (True, True, 1)
    assert body.volume == pytest.approx(_volume(ball), rel=1e-4)


def _volume(mesh: Mesh) -> float:
    return float(trimesh.Trimesh(mesh.vertices.numpy(), mesh.faces.numpy(), process=False).volume)


def test_a_base_colour_recolours_its_part(of_materials: Avatar, ball: Mesh, ball_file: Path) -> None:
    """As the avatar is recoloured, but for a fringe and the residual."""
    new = (0.6, 0.15, 0.5)
    changed = of_materials.recoloured({"hair": new}).mesh(48)
    parts = read_parts(ball_file)
    scale = parts["hair"].base / srgb_to_linear(torch.tensor(parts["hair"].palette)).numpy()  # as the guide says
    parts["hair"].base = scale.clip(max=HEADROOM) * srgb_to_linear(torch.tensor(new)).numpy()
    for name, part in parts.items():
        true = changed.colours[ball.faces[ball.materials == MATERIALS.index(name)]].numpy()
        shown = linear_to_srgb(part.base * part.factors)[part.faces]
        assert np.abs(shown - true).mean() < 4 / 255, name


def test_black_hair_that_becomes_red_has_no_fringe(of_materials: Avatar, tmp_path: Path) -> None:
    """Where it meets bright skin it is brighter than black; but nowhere has it more of its base than in its middle."""
    dark = of_materials.recoloured({"hair": (0.1, 0.1, 0.1), "skin": (0.9, 0.8, 0.7)})
    write_mesh(tmp_path / "a.glb", dark.mesh(48))
    part = read_parts(tmp_path / "a.glb")["hair"]
    inside = part.positions[:, 0] > 0.1
    assert part.factors[inside, 1].max() < 0.95, "of green, which has no residual"
    assert part.factors[~inside, 1].max() < part.factors[inside, 1].max() + 0.02


@pytest.mark.parametrize("colour", [(0.0, 0.0, 0.0), (0.3, 0.0, 0.02), (1.0, 1.0, 1.0)])
def test_black_and_white_have_bases_too(
    of_materials: Avatar, tmp_path: Path, colour: tuple[float, float, float]
) -> None:
    mesh = of_materials.recoloured({"hair": colour}).mesh(32)
    write_mesh(tmp_path / "a.glb", mesh)
    part = read_parts(tmp_path / "a.glb")["hair"]
    assert ((part.base > 0) & (part.base <= 1)).all()
    assert np.isfinite(part.factors).all()
    faces = mesh.faces[mesh.materials == MATERIALS.index("hair")]
    shown = linear_to_srgb(part.base * part.factors)[part.faces]
    assert np.abs(shown - mesh.colours[faces].numpy()).mean() < 4 / 255


def test_obj_has_groups_and_a_library(ball: Mesh, tmp_path: Path) -> None:
    write_mesh(tmp_path / "ball.obj", ball)
    write_mesh(tmp_path / "plain.obj", dataclasses.replace(ball, emitted=None, palette=None))
    assert {path.name for path in tmp_path.iterdir()} == {"ball.obj", "ball.mtl", "plain.obj"}
    lines, plain = ((tmp_path / name).read_text().splitlines() for name in ("ball.obj", "plain.obj"))
    assert [line for line in lines if line[:2] in ("v ", "vn")] == [line for line in plain if line[:2] in ("v ", "vn")]
    assert sorted(line for line in lines if line.startswith("f ")) == sorted(
        line for line in plain if line.startswith("f ")
    )
    scene = trimesh.load(tmp_path / "ball.obj", process=False, group_material=True, split_object=False)
    assert len(scene.geometry) == 3
    for solid in scene.geometry.values():
        material = solid.visual.material
        label = MATERIALS.index(material.name)
        np.testing.assert_allclose(material.diffuse[:3] / 255, ball.palette[label], atol=1 / 255)
        assert len(solid.faces) == int((ball.materials == label).sum())
        where = solid.vertices[solid.faces].mean(axis=(0, 1))
        np.testing.assert_allclose(
            where, ball.vertices[ball.faces[ball.materials == label]].mean(dim=(0, 1)), atol=1e-4
        )


def test_ply_is_as_without_materials(ball: Mesh, tmp_path: Path) -> None:
    write_mesh(tmp_path / "a.ply", ball)
    write_mesh(tmp_path / "b.ply", dataclasses.replace(ball, emitted=None, palette=None))
    assert (tmp_path / "a.ply").read_bytes() == (tmp_path / "b.ply").read_bytes()


IN_BLENDER = """
import json, sys
import bpy

bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.ops.import_scene.gltf(filepath=sys.argv[1])
(body,) = [thing for thing in bpy.data.objects if thing.type == "MESH"]
(attribute,) = body.data.color_attributes
parts = {}
for index, material in enumerate(body.data.materials):
    (mix,) = [node for node in material.node_tree.nodes if node.type == "MIX"]
    (base,) = [socket for socket in mix.inputs if socket.type == "RGBA" and not socket.is_linked]
    faces = [face for face in body.data.polygons if face.material_index == index]
    corners = [attribute.data[corner].color for face in faces for corner in face.loop_indices]
    mean = [sum(colour[k] for colour in corners) / len(corners) for k in range(3)]
    parts[material.name] = [mix.blend_type, list(base.default_value), mean, len(faces)]
print("parts " + json.dumps(parts))
"""


@pytest.mark.skipif(importlib.util.find_spec("bpy") is None, reason="bpy is not installed")
def test_blender_reads_the_parts(ball_file: Path) -> None:
    done = subprocess.run([sys.executable, "-c", IN_BLENDER, str(ball_file)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    read = json.loads(
        next(line for line in done.stdout.splitlines() if line.startswith("parts ")).removeprefix("parts ")
    )
    parts = read_parts(ball_file)
    assert set(read) == set(parts)
    for name, (blend, base, mean, faces) in read.items():
        part = parts[name]
        assert (blend, faces) == ("MULTIPLY", len(part.faces))
        np.testing.assert_allclose(base[:3], part.base, atol=1e-6)
        np.testing.assert_allclose(mean, part.factors[part.faces].mean(axis=(0, 1)), atol=0.01)


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed, in which three.js would read a GLB")
@pytest.mark.skipif(
    not (THREE / "node_modules" / "three").exists(), reason=f"three.js is not installed; npm ci --prefix {THREE}"
)
def test_three_js_reads_the_parts(ball_file: Path) -> None:
    done = subprocess.run(["node", THREE / "read_glb.mjs", ball_file], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    parts = read_parts(ball_file)
    read = {part.pop("name"): part for part in json.loads(done.stdout)}
    assert set(read) == set(parts)
    for name, part in parts.items():
        found = read[name]
        assert (found["vertexColors"], found["kind"], found["faces"]) == (True, "MeshBasicMaterial", len(part.faces))
        np.testing.assert_allclose(found["color"], part.base, atol=1e-6)
        np.testing.assert_allclose(found["mean"], part.factors.mean(axis=0), atol=1e-4)
