"""One subject made ready for fitting: training rays with their colours, and the visual hull that bounds its matter."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rodin.camera import Camera
from rodin.data.captures import MultiView, split_views
from rodin.errors import UserError
from rodin.fit.hull import visual_hull
from rodin.images import premultiplied
from rodin.render.decoder import Decoder
from rodin.render.rays import Occupancy, Rays, camera_rays
from rodin.render.renderer import make_field, measure_occupancy, occupied_bins, ray_weights

OPAQUE = 0.995  # accumulated alpha behind which nothing is seen
HIDDEN_MARGIN = 4  # bins that a surface may still sink before it is missed


@dataclass(frozen=True, slots=True)
class Scene:
    """The training rays that can see matter, and where matter can be."""

    rays: Rays  # R rays that touch the hull
    targets: Tensor  # [R, 4] premultiplied colour and alpha
    bins: Tensor  # [R, S] bool: bins of each ray inside `occupancy`
    occupancy: Occupancy  # the visual hull, later narrowed by what the fit found
    empty: Tensor  # [M, 3] cells that are not occupied
    shares: Tensor | None = None  # [R, K] the materials' parts of alpha; None where the captures have no maps of them

    def shares_of(self, ray: Tensor, materials: int) -> Tensor | None:
        """The materials' parts of alpha [B, K] of some rays [B]; None without materials, or where nobody knows them.

        Raises:
            ValueError: the captures have maps of another number of materials.
        """
        if self.shares is None or not materials:
            return None
        if self.shares.shape[1] != materials:
            raise ValueError(f"captures show {self.shares.shape[1]} materials, the decoder has {materials}")
        return self.shares[ray]

    @torch.no_grad()
    def narrowed(self, planes: Tensor, decoder: Decoder) -> Scene:
        """The same rays with only the bins that still matter under these planes [3, C, H, W].

        Bins where the planes have no matter go, and so do those that lie HIDDEN_MARGIN bins or more behind the point
        where the ray has become opaque: most of a head is its inside, which no ray sees.
        """
        found = measure_occupancy(make_field(planes, decoder), cells=len(self.occupancy.grid))
        occupancy = Occupancy(self.occupancy.grid & found.grid)
        bins = occupied_bins(self.rays, self.bins.shape[1], occupancy)
        hidden = ray_weights(planes, decoder, self.rays, bins, opaque=1 - OPAQUE).cumsum_(dim=1) > OPAQUE
        bins[:, HIDDEN_MARGIN:] &= ~hidden[:, :-HIDDEN_MARGIN]
        return replace(self, bins=bins, occupancy=occupancy, empty=empty_cells(occupancy))


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Views that a fit never sees."""

    camera: Camera
    images: Tensor  # [V, H, W, 4] straight
    shares: Tensor | None = None  # [V, H, W, K] the materials' parts of alpha; None where nobody knows them

    def to(self, device: torch.device) -> HeldOut:
        """The same views with their pixels on a device."""
        shares = None if self.shares is None else self.shares.to(device)
        return HeldOut(self.camera, self.images.to(device), shares)


def empty_cells(occupancy: Occupancy) -> Tensor:
    """The cells [M, 3] that are not occupied."""
    return (~occupancy.grid).nonzero()


def prepare(subject: MultiView, samples: int, held_out: int) -> tuple[Scene, HeldOut]:
    """Split a subject's views and build the training rays.

    Args:
        samples: bins a ray.
        held_out: number of views kept for judging the fit.

    Raises:
        UserError: there is no matter to fit.
    """
    train, test = split_views(len(subject.images), held_out, frontal=subject.frontal)
    images, camera = subject.images[train], subject.camera[train]
    hull = visual_hull(images, camera, cells=samples)  # cells about as long as bins
    rays = camera_rays(camera)
    flat = images.reshape(-1, 4)
    bins = occupied_bins(rays, samples, hull)
    # Rays that miss the hull render as nothing whatever the planes are: they would teach nothing.
    useful = bins.any(dim=1).nonzero()[:, 0]
    if not len(useful):
        raise UserError(f"{subject.folder}: no view sees matter in the unit box; check the images' alpha and cameras")
    shares, unseen = (None, None) if subject.shares is None else (subject.shares[train], subject.shares[test])
    scene = Scene(
        rays[useful],
        premultiplied(flat[useful]),
        bins[useful],
        hull,
        empty=empty_cells(hull),
        shares=None if shares is None else shares.flatten(0, 2)[useful],
    )
    return scene, HeldOut(subject.camera[test], subject.images[test], unseen)
