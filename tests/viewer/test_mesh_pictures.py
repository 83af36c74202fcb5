"""Contract of an avatar's GLB: three.js, in a real browser, and Blender show it as `Avatar.render` does, from in front,
from the side and from behind; a base colour recolours it as `rodin recolour` does; the Khronos validator finds nothing.

References: the pictures of the avatar itself. No test starts a network.
"""

from __future__ import annotations

import base64
import importlib.util
import io
import json
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image

from rodin import framing
from rodin.avatars.avatar import Avatar
from rodin.avatars.base_colours import HEADROOM, srgb_to_linear
from rodin.avatars.mesh import simplify_mesh, standing, textured
from rodin.avatars.mesh_files import write_mesh
from rodin.camera import orbit
from rodin.images import from_bytes

if TYPE_CHECKING:
    from playwright.sync_api import Page

BrowserOf = Callable[[bool], Any]
Draw = Callable[..., torch.Tensor]

HERE = Path(__file__).parent
THREE = HERE.parent / "avatars" / "three"
ORIGIN = (
    "http://tests.invalid"  # nobody's: what is asked of it comes from the folder of tests, nothing else from anywhere
)
SIDES = [0.0, 90.0, 180.0]  # degrees
SIZE, HEIGHT = 160, 0.3
VARIANTS = ["vertices", "fewer faces", "texture", "lit", "lit texture"]

has_three = pytest.mark.skipif(
    not (THREE / "node_modules" / "three").exists(), reason=f"three.js is not installed; npm ci --prefix {THREE}"
)


@pytest.fixture(scope="module")
def draw(browser_of: BrowserOf) -> Iterator[Draw]:
    """draw(path, azimuth, scale, light=): [SIZE, SIZE, 4] of a GLB by three.js. It is as far turned and as large as in
    the picture of an avatar from there whose mesh was scaled so."""
    page: Page = browser_of(True).new_page()
    page.route("**/*", from_disk)
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.goto(f"{ORIGIN}/viewer/draw_glb.html")
    page.wait_for_function("window.draw !== undefined")

    def drawn(path: Path, azimuth: float, scale: float, light: str | None = None) -> torch.Tensor:
        pose = camera_of(azimuth, scale).T.flatten().tolist()
        text = base64.b64encode(path.read_bytes()).decode()
        png = page.evaluate("given => draw(...given)", [text, pose, framing.FOV_DEG, SIZE, light])
        return opened(io.BytesIO(base64.b64decode(png)))

    yield drawn
    page.close()
    assert wrong == []


def from_disk(route: Any) -> None:
    """Modules are loaded from no file: page, script and three.js are served without a server."""
    path = HERE.parent / route.request.url.removeprefix(f"{ORIGIN}/")
    kinds = {".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript"}
    if path.suffix in kinds and route.request.url.startswith(ORIGIN):
        route.fulfill(body=path.read_bytes(), content_type=kinds[path.suffix])
    else:
        route.abort()


def camera_of(azimuth: float, scale: float) -> np.ndarray:
    """[4, 4] pose of the camera of a picture, where the file has its origin and its scale."""
    pose = orbit([azimuth], [framing.ELEVATION_DEG], size=SIZE).cam_to_world[0].double().numpy()
    pose[:3, 3] = (pose[:3, 3] - np.array(framing.NECK)) * scale
    return pose


def opened(file: Any) -> torch.Tensor:
    """[H, W, 4] in [0, 1]"""
    with Image.open(file) as picture:
        return from_bytes(torch.from_numpy(np.array(picture.convert("RGBA"))))


def off(seen: torch.Tensor, true: torch.Tensor) -> float:
    """The mean difference of colours inside both silhouettes, of 255; those must agree."""
    first, second = seen[..., 3] > 0.5, true[..., 3] > 0.5
    assert int((first & second).sum()) > 0.9 * int((first | second).sum())
    return float((seen[..., :3] - true[..., :3]).abs()[first & second].mean()) * 255


def picture_of(avatar: Avatar, azimuth: float) -> torch.Tensor:
    return avatar.render(orbit([azimuth], [framing.ELEVATION_DEG], size=SIZE))[0]


def write(path: Path, avatar: Avatar, variant: str = "vertices") -> float:
    """Write one of the VARIANTS -> metres a world unit."""
    fine = avatar.mesh(64)
    mesh = fine if variant in ("vertices", "lit") else simplify_mesh(fine, 4000)
    texture = textured(mesh, fine, 512) if "texture" in variant else None
    stands = standing(mesh, HEIGHT)
    write_mesh(path, stands, texture, lit="lit" in variant)
    return float(np.ptp(stands.vertices[:, 1].numpy()) / np.ptp(mesh.vertices[:, 1].numpy()))


@has_three
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("kind", ["plain", "materials with a turning shade"])
def test_three_js_shows_the_source(
    kinds: dict[str, Avatar], kind: str, variant: str, draw: Draw, tmp_path: Path
) -> None:
    """Unlit without any lamp; lit under light that is the same from everywhere, which shows a matt surface's colour."""
    scale = write(tmp_path / "a.glb", kinds[kind], variant)
    for azimuth in SIDES:
        seen = draw(tmp_path / "a.glb", azimuth, scale, "even" if "lit" in variant else None)
        assert off(seen, picture_of(kinds[kind], azimuth)) < 12


@has_three
def test_lamps_change_a_lit_file_alone(of_materials: Avatar, draw: Draw, tmp_path: Path) -> None:
    for variant in ("vertices", "lit"):
        scale = write(tmp_path / f"{variant}.glb", of_materials, variant)
    plain, lit = (
        off(draw(tmp_path / f"{variant}.glb", 180.0, scale, "lamps"), picture_of(of_materials, 180.0))
        for variant in ("vertices", "lit")
    )
    assert plain < 12 < lit


@has_three
@pytest.mark.parametrize("variant", ["vertices", "texture"])
def test_a_base_colour_recolours_it(of_materials: Avatar, variant: str, draw: Draw, tmp_path: Path) -> None:
    """As `recoloured` does, and nothing else; by the picture of the factors as by those of vertices."""
    new = (0.15, 0.3, 0.6)
    scale = write(tmp_path / "a.glb", of_materials, variant)
    content = (tmp_path / "a.glb").read_bytes()
    size = struct.unpack_from("<I", content, 12)[0]
    document = json.loads(content[20 : 20 + size])
    (hair,) = [material for material in document["materials"] if material["name"] == "hair"]
    base = torch.tensor(hair["pbrMetallicRoughness"]["baseColorFactor"][:3])
    bright = base / srgb_to_linear(torch.tensor(hair["extras"]["palette"]))
    linear = bright.clamp(max=HEADROOM) * srgb_to_linear(torch.tensor(new))  # as the guide says
    hair["pbrMetallicRoughness"]["baseColorFactor"] = [*linear.tolist(), 1]
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    rest = content[20 + size :]
    head = struct.pack("<4sIII4s", b"glTF", 2, 20 + len(text) + len(rest), len(text), b"JSON")
    (tmp_path / "b.glb").write_bytes(head + text + rest)
    for azimuth in SIDES:
        other = picture_of(of_materials.recoloured({"hair": new}), azimuth)
        assert off(draw(tmp_path / "b.glb", azimuth, scale), other) < 12
    assert off(draw(tmp_path / "a.glb", 90.0, scale), other := picture_of(of_materials, 90.0)) < 12
    assert off(draw(tmp_path / "b.glb", 90.0, scale), other) > 30, "or the colour is no other"


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed, in which the validator runs")
@pytest.mark.skipif(
    not (THREE / "node_modules" / "gltf-validator").exists(),
    reason=f"the Khronos validator is not installed; npm ci --prefix {THREE}",
)
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("kind", ["plain", "materials"])
def test_the_validator_finds_nothing(kinds: dict[str, Avatar], kind: str, variant: str, tmp_path: Path) -> None:
    write(tmp_path / "a.glb", kinds[kind], variant)
    done = subprocess.run(["node", THREE / "validate_glb.mjs", tmp_path / "a.glb"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["numErrors"], report["numWarnings"]) == (0, 0), report["messages"]


IN_BLENDER = """
import json, sys
import bpy
from mathutils import Matrix

bpy.ops.wm.read_factory_settings(use_empty=True)
getattr(bpy.ops.import_scene if sys.argv[1].endswith("glb") else bpy.ops.wm, sys.argv[2])(filepath=sys.argv[1])
scene = bpy.context.scene
scene.render.engine, scene.cycles.device, scene.cycles.samples = "CYCLES", "CPU", 4
scene.render.resolution_x = scene.render.resolution_y = int(sys.argv[4])
scene.render.film_transparent, scene.view_settings.view_transform = True, "Standard"
scene.render.threads_mode, scene.render.threads = "FIXED", 1
camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
scene.collection.objects.link(camera)
scene.camera, camera.data.angle, camera.data.clip_start = camera, float(sys.argv[5]), 0.001
turned = Matrix(((1, 0, 0, 0), (0, 0, -1, 0), (0, 1, 0, 0), (0, 0, 0, 1)))  # Blender has +z up
for number, pose in enumerate(json.loads(sys.argv[6])):
    camera.matrix_world = turned @ Matrix(pose)
    scene.render.filepath = f"{sys.argv[3]}/{number}.png"
    bpy.ops.render.render(write_still=True)
"""


def in_blender(path: Path, how: str, scale: float) -> list[torch.Tensor]:
    """Its pictures from all SIDES, as Blender shows a file."""
    poses = [camera_of(azimuth, scale).tolist() for azimuth in SIDES]
    given = [str(path), how, str(path.parent), str(SIZE), str(np.deg2rad(framing.FOV_DEG)), json.dumps(poses)]
    done = subprocess.run([sys.executable, "-c", IN_BLENDER, *given], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return [opened(path.parent / f"{number}.png") for number in range(len(SIDES))]


@pytest.mark.skipif(importlib.util.find_spec("bpy") is None, reason="bpy is not installed")
@pytest.mark.parametrize(
    ("name", "how", "variant"),
    [("a.glb", "gltf", "vertices"), ("a.glb", "gltf", "texture"), ("a.usdz", "usd_import", "texture")],
)
def test_blender_shows_the_source(of_materials: Avatar, name: str, how: str, variant: str, tmp_path: Path) -> None:
    scale = write(tmp_path / name, of_materials, variant)
    for azimuth, seen in zip(SIDES, in_blender(tmp_path / name, how, scale), strict=True):
        assert off(seen, picture_of(of_materials, azimuth)) < 12
