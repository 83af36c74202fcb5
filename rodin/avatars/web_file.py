"""An avatar as a page holds it: all that the viewer in `viewer/` needs to draw it, in as few bytes as do.

Gzipped safetensors. Planes are 10 bits a number, with one scale and offset a channel; pictures of them agree with those
of drawn avatars to about 80 dB, and with those of sharper ones, to which 8 bits do 43, to 55. The upper 8 bits are
differences from the row above, modulo 256, which gzip packs to three fifths; the lower 2 are noise, four to a byte.
Beside them are the decoder, the palette, and which cells of the box to look at. What the viewer must know of the
project's conventions is in the metadata, so that each keeps its one home here.

Symbols: P = 3 planes, C channels, H W rows and columns, K materials, G cells along an edge of the box.
"""

from __future__ import annotations

import dataclasses
import gzip
import json

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save
from torch import Tensor

from rodin import framing
from rodin.avatars.avatar import Avatar
from rodin.avatars.material_map import MAP_COLOURS
from rodin.images import parse_colour
from rodin.materials import MATERIALS
from rodin.render.materials import RESIDUAL
from rodin.render.rays import grid_points, longest_bin
from rodin.render.renderer import SAMPLES, Renderer

SCHEMA = "rodin-web-1"
LARGEST_CODE = 2**10 - 1  # of a number of the planes
HIDDEN = 4e-3  # opacity of a bin: a step of 8-bit alpha
#: The materials that have a wheel, and what people call them.
WHEELS = {
    "hair": "Hair",
    "skin": "Skin",
    "lips": "Lips",
    "iris": "Eyes",
    "top": "Top",
    "hat": "Hat",
    "frame": "Glasses",
}


def web_bytes(avatar: Avatar, title: str) -> bytes:
    """The avatar for a page.

    Args:
        title: what the page calls it; plain text.
    """
    looked_at = cells_to_look_at(avatar.renderer)
    codes, scale, offset = quantised(avatar.planes)
    upper, lower = (codes >> 2).astype(np.uint8), (codes & 3).astype(np.uint8).reshape(-1)
    differences = np.concatenate([upper[:, :, :1], np.diff(upper, axis=2)], axis=2)  # uint8 wraps around
    quads = np.pad(lower, (0, -len(lower) % 4)).reshape(-1, 4)
    tensors = {
        "planes": torch.from_numpy(np.ascontiguousarray(differences)),
        "planes_low": torch.from_numpy(quads[:, 0] << 6 | quads[:, 1] << 4 | quads[:, 2] << 2 | quads[:, 3]),
        "scale": scale,
        "offset": offset,
        "occupied": torch.from_numpy(np.packbits(looked_at.cpu().numpy())),
        **{f"decoder.{name}": value.float().contiguous() for name, value in avatar.decoder.state_dict().items()},
    }
    if avatar.palette is not None:
        tensors["palette"] = avatar.palette.float().contiguous()
    shown = avatar.materials_shown()
    about = {
        "schema": SCHEMA,
        "title": title,
        "decoder": dataclasses.asdict(avatar.decoder.config),
        "samples": SAMPLES,
        "cells": len(looked_at),
        "residual": RESIDUAL,
        "camera": {"radius": framing.RADIUS, "fov_deg": framing.FOV_DEG, "elevation_deg": framing.ELEVATION_DEG},
        "materials": list(MATERIALS) if avatar.palette is not None else [],
        "map_colours": [parse_colour(colour) for colour in MAP_COLOURS.values()],
        "wheels": [{"material": name, "label": label} for name, label in WHEELS.items() if name in shown],
    }
    held = save(tensors, {"about": json.dumps(about)})  # one entry, since safetensors writes several in any order
    return gzip.compress(held, mtime=0)


def cells_to_look_at(renderer: Renderer) -> Tensor:
    """[G, G, G] bool: the cells that bins of an avatar's pictures are looked up in, where anything would show.

    Bins count where their middle is in a cell that one reaches from an occupied cell. Of these, cells are left out in
    which no bin is more opaque than HIDDEN; 27 points a cell say that.
    """
    assert renderer.occupancy is not None, "an avatar's renderer is trimmed"
    bin_length = longest_bin(SAMPLES)
    reached = renderer.occupancy.reached_by_bins(bin_length).grid
    points = 2 * len(reached) + 1
    density = renderer.field.density(grid_points(points, renderer.field.planes).reshape(-1, 3))
    densest = F.max_pool3d(density.reshape(1, 1, points, points, points), kernel_size=3, stride=2)[0, 0]
    return reached & (1 - torch.exp(-densest * bin_length) > HIDDEN)


def quantised(planes: Tensor) -> tuple[np.ndarray, Tensor, Tensor]:
    """Planes [3, C, H, W] as codes of 10 bits, uint16, with scale and offset [C]: a number is scale * code + offset."""
    low, high = planes.amin(dim=(0, 2, 3)), planes.amax(dim=(0, 2, 3))
    scale = ((high - low) / LARGEST_CODE).clamp_min(1e-12)
    codes = ((planes - low[:, None, None]) / scale[:, None, None]).round().clamp(0, LARGEST_CODE)
    return codes.cpu().numpy().astype(np.uint16), scale.cpu(), low.cpu()
