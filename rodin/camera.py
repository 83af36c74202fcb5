"""Pinhole cameras: pixels to rays and back.

World: right-handed, +y up, the avatar looks along +z. A camera is OpenGL style: it looks along its own -z, +y up, +x
right. Pixel (column i, row j) has its centre at (i + 0.5, j + 0.5), row 0 at the top. Lengths are world units (the
avatar fills [-1, 1]^3), focal lengths and principal points are pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from rodin import framing


@dataclass(frozen=True, slots=True)
class Camera:
    """One camera or a batch of them (leading dimensions `...`), all with images of the same size.

    Args:
        cam_to_world: [..., 4, 4] rigid transform, camera to world.
        focal: [..., 2] focal lengths (x, y) in pixels.
        centre: [..., 2] principal point (x, y) in pixels.
        width, height: image size in pixels.
    """

    cam_to_world: Tensor
    focal: Tensor
    centre: Tensor
    width: int
    height: int

    def __post_init__(self) -> None:
        lead = self.cam_to_world.shape[:-2]
        if self.cam_to_world.shape[-2:] != (4, 4):
            raise ValueError(f"cam_to_world must be [..., 4, 4], got {list(self.cam_to_world.shape)}")
        for name, value in (("focal", self.focal), ("centre", self.centre)):
            if value.shape != (*lead, 2):
                raise ValueError(f"{name} must be {[*lead, 2]}, got {list(value.shape)}")
        if self.width < 1 or self.height < 1:
            raise ValueError(f"image size must be positive, got {self.width} x {self.height}")

    def __len__(self) -> int:
        if self.cam_to_world.ndim == 2:
            raise TypeError("one camera has no length: only a batch of cameras does")
        return self.cam_to_world.shape[0]

    def __getitem__(self, index: int | slice | Tensor | list[int]) -> Camera:
        return Camera(self.cam_to_world[index], self.focal[index], self.centre[index], self.width, height=self.height)

    def to(self, device: torch.device | str) -> Camera:
        """The same camera on a device."""
        pose, focal, centre = (value.to(device) for value in (self.cam_to_world, self.focal, self.centre))
        return Camera(pose, focal, centre, self.width, height=self.height)

    @property
    def position(self) -> Tensor:
        """[..., 3] camera centre in the world."""
        return self.cam_to_world[..., :3, 3]

    @property
    def azimuth_deg(self) -> Tensor:
        """[...] azimuth seen from the origin: 0 = in front of the avatar, positive towards the avatar's left (+x)."""
        return torch.atan2(self.position[..., 0], self.position[..., 2]).rad2deg()

    def resized(self, width: int, height: int) -> Camera:
        """The same camera with images of another size."""
        scale = torch.tensor([width / self.width, height / self.height]).to(self.focal)
        return Camera(self.cam_to_world, self.focal * scale, self.centre * scale, width, height=height)

    def rays(self) -> tuple[Tensor, Tensor]:
        """Rays through all pixel centres.

        Returns:
            origins [..., H, W, 3] and unit directions [..., H, W, 3], both in the world.
        """
        kind = {"dtype": self.focal.dtype, "device": self.focal.device}
        columns = torch.arange(self.width, **kind) + 0.5  # type: ignore[call-overload]
        rows = torch.arange(self.height, **kind) + 0.5  # type: ignore[call-overload]
        x = (columns - self.centre[..., :1]) / self.focal[..., :1]  # [..., W]
        y = (rows - self.centre[..., 1:]) / self.focal[..., 1:]  # [..., H], downwards
        shape = (*x.shape[:-1], self.height, self.width)
        x, y = x[..., None, :].expand(shape), y[..., :, None].expand(shape)
        in_camera = torch.stack([x, -y, -torch.ones_like(x)], dim=-1)  # [..., H, W, 3]
        rotation = self.cam_to_world[..., None, None, :3, :3]
        directions = (rotation @ in_camera[..., None])[..., 0]
        directions = torch.nn.functional.normalize(directions, dim=-1)
        return self.position[..., None, None, :].expand_as(directions), directions

    def project(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Where world points fall in the image.

        Args:
            points: [..., N, 3] in the world; leading dimensions broadcast with the camera's.

        Returns:
            pixels [..., N, 2] as (x, y), and depth [..., N] along the viewing axis (negative behind the camera).
        """
        rotation = self.cam_to_world[..., :3, :3]
        in_camera = (points - self.position[..., None, :]) @ rotation  # rows times R = R^T applied
        depth = -in_camera[..., 2]
        x = in_camera[..., 0] / depth * self.focal[..., None, 0] + self.centre[..., None, 0]
        y = -in_camera[..., 1] / depth * self.focal[..., None, 1] + self.centre[..., None, 1]
        return torch.stack([x, y], dim=-1), depth


def look_at(position: Tensor, target: Tensor) -> Tensor:
    """cam_to_world [..., 4, 4] of cameras at `position` [..., 3] that look at `target` [..., 3], +y up.

    Looking straight up or down is allowed: the image's top then points to -z or +z.
    """
    back = torch.nn.functional.normalize(position - target, dim=-1)
    up = torch.tensor([0.0, 1.0, 0.0]).to(back).expand_as(back)
    right = torch.linalg.cross(up, back)
    vertical = right.norm(dim=-1, keepdim=True) < 1e-6
    right = torch.where(vertical, torch.tensor([1.0, 0.0, 0.0]).to(back), right)
    right = torch.nn.functional.normalize(right, dim=-1)
    rotation = torch.stack([right, torch.linalg.cross(back, right), back], dim=-1)  # columns: the camera's axes
    top = torch.cat([rotation, position[..., None]], dim=-1)
    bottom = torch.tensor([0.0, 0.0, 0.0, 1.0]).to(top).expand(*top.shape[:-2], 1, 4)
    return torch.cat([top, bottom], dim=-2)


def orbit(
    azimuth_deg: list[float],
    elevation_deg: list[float],
    *,
    size: int,
    radius: float = framing.RADIUS,
    fov_deg: float = framing.FOV_DEG,
    target: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Camera:
    """A batch of square cameras on a sphere around `target`.

    Args:
        azimuth_deg: one angle a camera; 0 = in front of the avatar, positive towards the avatar's left (+x).
        elevation_deg: one angle a camera; positive above.
        size: width and height in pixels.
        radius: distance to `target` in world units.
        fov_deg: full field of view.
    """
    azimuth, elevation = (torch.tensor(a, dtype=torch.float32).deg2rad() for a in (azimuth_deg, elevation_deg))
    if azimuth.shape != elevation.shape or azimuth.ndim != 1:
        raise ValueError(f"one azimuth and one elevation a camera, got {list(azimuth.shape)}, {list(elevation.shape)}")
    outward = torch.stack([azimuth.sin() * elevation.cos(), elevation.sin(), azimuth.cos() * elevation.cos()], dim=-1)
    centre = torch.tensor(target).expand_as(outward)
    focal = 0.5 * size / math.tan(math.radians(fov_deg) / 2)
    count = len(azimuth)
    return Camera(
        look_at(centre + radius * outward, centre),
        torch.full((count, 2), focal),
        torch.full((count, 2), size / 2),
        size,
        height=size,
    )


def camera_at(
    azimuth_deg: float = framing.AZIMUTH_DEG,
    elevation_deg: float = framing.ELEVATION_DEG,
    *,
    size: int,
    radius: float = framing.RADIUS,
    fov_deg: float = framing.FOV_DEG,
) -> Camera:
    """One square camera of `orbit`; the frontal one where no angles are given."""
    return orbit([azimuth_deg], [elevation_deg], size=size, radius=radius, fov_deg=fov_deg)[0]


def around(
    count: int,
    elevation_deg: float = framing.ELEVATION_DEG,
    *,
    size: int,
    azimuth_deg: float = framing.AZIMUTH_DEG,
) -> Camera:
    """A batch of `count` square cameras all around at one elevation, of even distances, the first one at an azimuth."""
    return orbit([azimuth_deg + 360.0 * k / count for k in range(count)], [elevation_deg] * count, size=size)
