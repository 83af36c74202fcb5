"""Meshes of avatars in another program, as docs/images/meshes.webp: two avatars as Rodin renders them, and their GLBs
drawn by three.js in Chromium, as they are and with `--lit` under lamps.

    python scripts/mesh_pictures.py [--model MODEL] [--out FILE]

It needs what the viewer's tests need: Chromium, and three.js by `npm ci --prefix tests/avatars/three`.
"""

from __future__ import annotations

import argparse
import base64
import io
import os
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # as the commands do

import numpy as np
import torch
from chromium import chromium
from PIL import Image
from playwright.sync_api import Page
from torch import Tensor

from rodin import framing
from rodin.avatars.avatar import Avatar
from rodin.avatars.mesh_files import write_mesh
from rodin.avatars.pipeline import RodinPipeline
from rodin.camera import orbit
from rodin.files import atomic_path
from rodin.images import from_bytes, over, to_bytes

PROMPTS = (
    "a young woman with long wavy red hair, pale skin, freckles, wearing a green turtleneck, smiling",
    "an elderly man with a bald head, light skin, a white full beard, wearing a blue collared shirt",
)
SIDES = (0.0, 55.0, 180.0)  # degrees
SIZE, BORDER = 320, (14, 40)  # pixels of a view, and of its empty border above and beside
BACKGROUND = (0.93, 0.94, 0.95)
DRAWER = Path(__file__).parents[1] / "tests" / "viewer" / "draw_glb.html"


def rows_of(avatar: Avatar, page: Page) -> list[list[Tensor]]:
    """Views [SIZE, SIZE, 4] from all SIDES: the avatar's own, of its GLB, of its lit GLB under lamps."""
    camera = orbit(list(SIDES), [framing.ELEVATION_DEG] * len(SIDES), size=SIZE)
    mesh, rows = avatar.mesh(), [list(avatar.render(camera))]
    for lit, light in ((False, None), (True, "lamps")):
        with tempfile.TemporaryDirectory() as folder:
            write_mesh(Path(folder) / "a.glb", mesh, lit=lit)
            text = base64.b64encode((Path(folder) / "a.glb").read_bytes()).decode()
        row = []
        for pose in camera.cam_to_world:
            given = [text, pose.T.flatten().tolist(), framing.FOV_DEG, SIZE, light]
            png = base64.b64decode(page.evaluate("given => draw(...given)", given))
            with Image.open(io.BytesIO(png)) as picture:
                row.append(from_bytes(torch.from_numpy(np.array(picture.convert("RGBA")))))
        rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="model folder")
    parser.add_argument("--out", type=Path, default=Path("docs/images/meshes.webp"), help="picture to write")
    arguments = parser.parse_args()
    pipe = RodinPipeline.from_pretrained(arguments.model)
    avatars = [pipe(prompt, seed=0)[0] for prompt in PROMPTS]
    with chromium("--allow-file-access-from-files") as browser:
        page = browser.new_page()
        page.goto(DRAWER.as_uri())
        page.wait_for_function("window.draw !== undefined")
        cards = [rows_of(avatar, page) for avatar in avatars]
    above, beside = BORDER
    lines = []
    for row in zip(*cards, strict=True):
        views = [over(view[above:-above, beside:-beside], torch.tensor(BACKGROUND)) for card in row for view in card]
        lines.append(torch.cat(views, dim=1))
    with atomic_path(arguments.out) as temporary:
        Image.fromarray(to_bytes(torch.cat(lines)).numpy()).save(temporary, "WEBP", quality=85)
    print(arguments.out)


if __name__ == "__main__":
    main()
