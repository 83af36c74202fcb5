"""Binary glTF 2.0. Its factors and COLOR_0 are linear; its axes are the world's, +y up.

An avatar's colours have the light of its pictures. So that no program lights them again, materials are unlit
(KHR_materials_unlit); a lit GLB has matt ones instead.

Written here, since the usual exporter rounds colours to 8 bits, too coarse for the darks once they are linear.
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from rodin.avatars.mesh_parts import Part

UNLIT = "KHR_materials_unlit"
_FLOAT, _UINT32, _UINT16 = 5126, 5125, 5123  # component types
_ARRAY, _ELEMENTS = 34962, 34963  # buffer targets
_LINEAR, _LINEAR_MIPMAP_LINEAR, _CLAMP_TO_EDGE = 9729, 9987, 33071  # of a sampler


def glb(parts: Sequence[Part], picture: np.ndarray | None = None, lit: bool = False) -> bytes:
    """A GLB of the parts.

    Args:
        picture: [S, S, 3] uint8 sRGB, the texture of parts that have uv.
        lit: matt materials that lamps light, instead of unlit ones.
    """
    accessors: list[dict[str, Any]] = []
    views: list[dict[str, Any]] = []
    primitives: list[dict[str, Any]] = []
    binary = bytearray()

    def add(array: np.ndarray, component: int, kind: str, target: int) -> int:
        """The number of a new accessor of an array, whose length is a multiple of 4 bytes."""
        data = array.tobytes()
        views.append({"buffer": 0, "byteOffset": len(binary), "byteLength": len(data), "target": target})
        binary.extend(data)
        accessors.append({"bufferView": len(views) - 1, "componentType": component, "count": len(array), "type": kind})
        return len(accessors) - 1

    for number, part in enumerate(parts):
        positions = part.vertices.numpy().astype("<f4")
        indices = add(part.faces.numpy().astype("<u4").reshape(-1), _UINT32, "SCALAR", _ELEMENTS)
        attributes = {"POSITION": add(positions, _FLOAT, "VEC3", _ARRAY)}
        bounds = {"min": positions.min(axis=0).tolist(), "max": positions.max(axis=0).tolist()}
        accessors[attributes["POSITION"]].update(bounds)
        attributes["NORMAL"] = add(part.normals.numpy().astype("<f4"), _FLOAT, "VEC3", _ARRAY)
        if part.factors is not None:  # with a fourth channel, which keeps every entry aligned
            rgba = torch.cat([part.factors, torch.ones(len(part.factors), 1)], dim=1)
            attributes["COLOR_0"] = add((rgba * 65535.0).round().numpy().astype("<u2"), _UINT16, "VEC4", _ARRAY)
            accessors[attributes["COLOR_0"]]["normalized"] = True
        if part.uv is not None:  # glTF counts from the picture's upper left corner
            uv = torch.stack([part.uv[:, 0], 1 - part.uv[:, 1]], dim=1)
            attributes["TEXCOORD_0"] = add(uv.numpy().astype("<f4"), _FLOAT, "VEC2", _ARRAY)
        primitives.append({"attributes": attributes, "indices": indices, "material": number, "mode": 4})
    drawn: dict[str, Any] = {}
    if picture is not None:
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "PNG")
        views.append({"buffer": 0, "byteOffset": len(binary), "byteLength": len(file.getvalue())})
        binary.extend(file.getvalue() + bytes(-len(file.getvalue()) % 4))
        clamped = {"wrapS": _CLAMP_TO_EDGE, "wrapT": _CLAMP_TO_EDGE}
        drawn = {
            "textures": [{"source": 0, "sampler": 0}],
            "samplers": [{"magFilter": _LINEAR, "minFilter": _LINEAR_MIPMAP_LINEAR, **clamped}],
            "images": [{"bufferView": len(views) - 1, "mimeType": "image/png", "name": "colours"}],
        }
    document = {
        "asset": {"version": "2.0", "generator": "rodin"},
        **({} if lit else {"extensionsUsed": [UNLIT]}),
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": "avatar"}],
        "meshes": [{"primitives": primitives, "name": "avatar"}],
        "materials": [_material(part, lit) for part in parts],
        **drawn,
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": len(binary)}],
    }
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def _material(part: Part, lit: bool) -> dict[str, Any]:
    # Metal, the specification's default, looks black; and what takes an unlit material for a lit one shows a matt one
    surface: dict[str, Any] = {"metallicFactor": 0.0, "roughnessFactor": 1.0, "baseColorFactor": [*part.base, 1.0]}
    if part.uv is not None:
        surface["baseColorTexture"] = {"index": 0}
    material: dict[str, Any] = {"name": part.name, "pbrMetallicRoughness": surface}
    if not lit:
        material["extensions"] = {UNLIT: {}}
    if part.palette is not None:
        material["extras"] = {"palette": part.palette}
    return material
