"""What makes a fit fail, as far as the captures tell: background, masks, and where the subject stands."""

from __future__ import annotations

from rodin.data.captures import MultiView
from rodin.data.silhouettes import WITNESSES, carved, cells_of
from rodin.render.rays import camera_rays

LEAST_PSNR = 20.0  # dB on held-out views, below which a fit has failed
BEYOND = 0.05  # of the matte pixels, which may lie outside the box
SMALL = 0.25  # of the box's side, which the subject should at least be long
CELLS = 32
FEW_VIEWS = 8

_BOX = "name its aabb in transforms.json (aabb_scale is not read), or fit with --scale auto"


def doubts(subject: MultiView) -> list[str]:
    """What looks wrong with a capture, each with its remedy; nothing where all is well."""
    alpha, camera = subject.images[..., 3], subject.camera
    if bool((alpha == 1).all()):
        return [
            "all pictures are opaque, so that the background will be fitted too; cut the subject out, or name mask_path"
        ]
    found = []
    if bool((alpha[:, 0, [0, -1]] > 0.5).all()):
        found.append("both upper corners of all pictures are opaque; masks are white where the subject is")
    if bool((camera.position.abs().amax(dim=-1) < 1).any()):
        found.append(f"cameras stand inside the box [-1, 1]^3 of the subject; {_BOX}")
    rays, matte = camera_rays(camera), alpha.flatten() > 0.5
    if bool(matte.any()) and (rays.far <= rays.near)[matte].float().mean() > BEYOND:
        found.append(f"the subject reaches beyond the box [-1, 1]^3; {_BOX}")
    points, cell = cells_of(camera.position.new_full((3,), -1.0), camera.position.new_ones(3), CELLS)
    allowed, seen = carved(points, cell, subject.images, camera)
    held = points[allowed & (seen >= max(1, WITNESSES * len(camera)))]
    if len(held) and (held.amax(dim=0) - held.amin(dim=0) + cell).max() < 2 * SMALL:
        found.append(f"the subject fills less than {SMALL:.0%} of the box [-1, 1]^3; {_BOX}")
    return found


def likely_cause(subject: MultiView) -> str:
    """Why the fit of a subject has failed, and what to do."""
    found = doubts(subject)
    if found:
        return found[0]
    if len(subject.images) < FEW_VIEWS:
        return f"there are only {len(subject.images)} pictures; take more, from all around"
    return "the views do not agree with each other; check transform_matrix and fl_x, or fit with more steps"
