"""USDZ: a textured mesh as a scene of Universal Scene Description, for phones and desktop programs.

The package is an archive without compression in which every file begins at a multiple of 64 bytes: the scene as text,
then the picture. The mesh is one body; where materials are known, a subset of its faces is bound to each by its name.
Colours come from the picture by UsdPreviewSurface: as emitted light, so that no lamp lights them again, or lit.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable

import numpy as np
from PIL import Image

from rodin.avatars.mesh import Mesh
from rodin.avatars.mesh_parts import named_faces
from rodin.avatars.texture import Texture

SCENE, PICTURE = "avatar.usda", "textures/colours.png"
ALIGNED = 64  # bytes
_LOCAL_HEADER = 30  # bytes of an entry's header before its name
_PADDING = 0x1986  # an extra field that nothing reads
_UNLIT = """color3f inputs:diffuseColor = (0, 0, 0)
                color3f inputs:emissiveColor.connect = </avatar/materials/{name}/picture.outputs:rgb>
                float inputs:ior = 1"""
_LIT = "color3f inputs:diffuseColor.connect = </avatar/materials/{name}/picture.outputs:rgb>"


def usdz(mesh: Mesh, texture: Texture, lit: bool = False) -> bytes:
    """A package of a mesh with its texture.

    Args:
        lit: matt materials that lamps light, instead of ones that shine by themselves.
    """
    picture = io.BytesIO()
    Image.fromarray(texture.picture).save(picture, "PNG")
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w", zipfile.ZIP_STORED) as archive:
        for name, content in ((SCENE, _scene(mesh, texture, lit).encode()), (PICTURE, picture.getvalue())):
            entry = zipfile.ZipInfo(name)
            begin = package.tell() + _LOCAL_HEADER + len(name) + 4
            fill = -begin % ALIGNED
            entry.extra = _PADDING.to_bytes(2, "little") + fill.to_bytes(2, "little") + bytes(fill)
            archive.writestr(entry, content)
    return package.getvalue()


def _scene(mesh: Mesh, texture: Texture, lit: bool) -> str:
    faces, vertices = mesh.faces.numpy(), mesh.vertices.numpy()
    named = named_faces(mesh)
    subsets = "".join(_subset(name, which.numpy()) for name, _, which in named)
    materials = "".join(_material(name, lit) for name, _, _ in named)
    return f"""#usda 1.0
(
    defaultPrim = "avatar"
    metersPerUnit = 1
    upAxis = "Y"
)

def Xform "avatar" (
    kind = "component"
)
{{
    def Mesh "body" (
        prepend apiSchemas = ["MaterialBindingAPI"]
    )
    {{
        uniform bool doubleSided = 0
        float3[] extent = {_tuples((vertices.min(axis=0), vertices.max(axis=0)))}
        int[] faceVertexCounts = {_numbers(np.full(len(faces), 3))}
        int[] faceVertexIndices = {_numbers(faces.ravel())}
        normal3f[] normals = {_tuples(mesh.normals.numpy())} (
            interpolation = "vertex"
        )
        point3f[] points = {_tuples(vertices)}
        texCoord2f[] primvars:st = {_tuples(texture.atlas.uv)} (
            interpolation = "faceVarying"
        )
        int[] primvars:st:indices = {_numbers(texture.atlas.faces.ravel())}
        uniform token subdivisionScheme = "none"
        uniform token subsetFamily:materialBind:familyType = "partition"
{subsets}    }}

    def Scope "materials"
    {{
{materials}    }}
}}
"""


def _subset(name: str, faces: np.ndarray) -> str:
    return f"""
        def GeomSubset "{name}" (
            prepend apiSchemas = ["MaterialBindingAPI"]
        )
        {{
            uniform token elementType = "face"
            uniform token familyName = "materialBind"
            int[] indices = {_numbers(faces)}
            rel material:binding = </avatar/materials/{name}>
        }}
"""


def _material(name: str, lit: bool) -> str:
    return f"""
        def Material "{name}"
        {{
            token outputs:surface.connect = </avatar/materials/{name}/surface.outputs:surface>

            def Shader "surface"
            {{
                uniform token info:id = "UsdPreviewSurface"
                {(_LIT if lit else _UNLIT).format(name=name)}
                float inputs:metallic = 0
                float inputs:roughness = 1
                token outputs:surface
            }}

            def Shader "picture"
            {{
                uniform token info:id = "UsdUVTexture"
                asset inputs:file = @{PICTURE}@
                token inputs:sourceColorSpace = "sRGB"
                float2 inputs:st.connect = </avatar/materials/{name}/place.outputs:result>
                token inputs:wrapS = "clamp"
                token inputs:wrapT = "clamp"
                float3 outputs:rgb
            }}

            def Shader "place"
            {{
                uniform token info:id = "UsdPrimvarReader_float2"
                string inputs:varname = "st"
                float2 outputs:result
            }}
        }}
"""


def _numbers(values: np.ndarray) -> str:
    return f"[{', '.join(map(str, values.tolist()))}]"


def _tuples(rows: Iterable[np.ndarray]) -> str:
    return f"[{', '.join('(' + ', '.join(f'{value:.6g}' for value in row.tolist()) + ')' for row in rows)}]"
