"""From a recipe to all the parts of one avatar: head, face, clothes, hat, hair, glasses. No Blender here."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rodin.synth.body.accessories import earrings, glasses, hat, hat_shell
from rodin.synth.body.beard import beard
from rodin.synth.body.clothes import clothes
from rodin.synth.body.drape import Drape, Obstacles
from rodin.synth.body.face import eye_meshes, eyebrows, skin_mesh
from rodin.synth.body.geometry import Parts
from rodin.synth.body.hair import hair
from rodin.synth.body.head import Head
from rodin.synth.body.morph_head import build_morph_head, load_morph_model
from rodin.synth.body.sdf_head import build_sdf_head
from rodin.synth.body.strands import Collider
from rodin.synth.recipe import AvatarRecipe

#: Cells of a head and of clothes at full detail, in head units.
HEAD_STEP, CLOTH_STEP = 0.022, 0.03


def detail_for(size: int) -> float:
    """Share of the full number of strands, triangles and eyes' rings that an image of `size` pixels needs."""
    return float(np.clip(size / 256.0, 0.35, 1.0))


def build_head(recipe: AvatarRecipe, heads: str, detail: float) -> Head:
    """The recipe's head of the kind that `heads` names: `sdf`, or the path of a morph model."""
    if heads == "sdf":
        # Lips and lids need finer cells than clothes, however small the picture.
        return build_sdf_head(recipe, HEAD_STEP * detail**-0.3)
    return build_morph_head(load_morph_model(Path(heads)), recipe)


def build_avatar(recipe: AvatarRecipe, *, heads: str = "sdf", detail: float = 1.0) -> Parts:
    """Every mesh and strand of the recipe's avatar in head units; at `detail` 1 all that a large picture shows."""
    coarse = detail**-0.5  # of lengths: numbers of triangles fall with its square, as those of strands do
    head = build_head(recipe, heads, detail)
    parts = Parts(meshes=[skin_mesh(head, recipe)])
    parts.add(eye_meshes(head, recipe, rings=round(96 / coarse)))
    parts.add(head.extras)
    dressed = clothes(head, recipe, CLOTH_STEP * coarse)
    parts.add(dressed)
    surfaces = [(head.vertices, head.normals)] + [(mesh.vertices, mesh.normals()) for mesh in dressed.meshes]
    collider = Collider(np.concatenate([v for v, _ in surfaces]), np.concatenate([n for _, n in surfaces]))
    shell = hat_shell(head, recipe)
    if shell is not None:
        parts.add(hat(shell, recipe))
    obstacles = Obstacles(collider=collider, drape=Drape(dressed.meshes[0]), shell=shell)  # of a hat  # nosec B604
    parts.add(hair(head, recipe, obstacles, detail=detail))
    parts.add(beard(head, recipe, obstacles, detail))
    parts.strands.append(eyebrows(head, recipe, detail))
    parts.add(glasses(head, recipe))
    parts.add(earrings(head, recipe))
    return parts
