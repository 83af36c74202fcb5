"""The refiner: a rendered image to one 2 or 4 times as large, with the detail that rendering misses.

Rodin's refiner is a GFPGAN (Wang et al. 2021), built on a face model that was trained elsewhere. This one is
deliberately a plain residual network (EDSR; Lim et al. 2017), trained on the project's own renders alone: it can add
edges and texture that the renders hint at, no face of its own. What it adds is not three-dimensional:
views of one avatar agree less than renders of the full size do, which `benchmarks/refiner.py` measures.

It reads more than the picture: alpha, how the surface curves, and the volume-rendered tri-plane features. Colours in
here are premultiplied by alpha, so that resizing never mixes in those of transparent pixels.

Symbols: B batch, C plane channels, h w rows and columns of the rendered image, s scale, H W those of the refined one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rodin.camera import Camera
from rodin.images import straight
from rodin.parts import check_range
from rodin.render.renderer import Renderer

PICTURE_CHANNELS = 5  # premultiplied colour, alpha, relief; the features follow
SCALES = (2, 4)
FIRST_RESIDUAL = 0.1  # scale of what a new block adds


@dataclass(frozen=True, kw_only=True, slots=True)
class RefinerConfig:
    """Size of the refiner.

    Args:
        channels: Feature channels C of the tri-planes.
        width: Channels of the hidden layers.
        blocks: Residual blocks, all at the rendered image's size.
        scale: How many times the refined image is as large: 2 or 4.
        enlarge: "resize", each layer's pixels are repeated and then convolved, which treats all alike; or "shuffle",
            EDSR's pixel shuffle, which learns each of the places that a pixel becomes by itself and so leaves a lattice
            (Odena et al. 2016, "Deconvolution and Checkerboard Artifacts").
    """

    RETIRED: ClassVar = ("perceptual",)  # recorded beside the weights now

    channels: int
    width: int
    blocks: int
    scale: int
    enlarge: Literal["resize", "shuffle"] = "shuffle"  # what models of before have

    def __post_init__(self) -> None:
        for name in ("channels", "width", "blocks"):
            if getattr(self, name) < 1:
                raise ValueError(f"refiner.{name} must be at least 1, got {getattr(self, name)}")
        check_range(self, 1, 2**12, "channels", "width")
        check_range(self, 1, 256, "blocks")
        if self.scale not in SCALES:
            raise ValueError(f"refiner.scale must be one of {SCALES}, got {self.scale}")


class Block(nn.Module):
    """x + conv(silu(conv(x))), the residual block of EDSR (Fig. 2c): without normalisation, which blurs contrast."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        with torch.no_grad():  # near the identity at first: high learning rates stay stable
            self.second.weight.mul_(FIRST_RESIDUAL)

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden + self.second(F.silu(self.first(hidden)))


def _doubling(width: int, kind: Literal["resize", "shuffle"]) -> nn.Sequential:
    """[B, width, h, w] -> [B, width, 2h, 2w]"""
    if kind == "shuffle":
        return nn.Sequential(nn.Conv2d(width, 4 * width, 3, padding=1), nn.PixelShuffle(2), nn.SiLU())
    return nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(width, width, 3, padding=1), nn.SiLU())


class Refiner(nn.Module):
    """A residual on top of the resized picture; a new one only resizes.

    Buffers:
        feature_mean, feature_std: [C] of the tri-plane features on visible surfaces.
    """

    feature_mean: Tensor
    feature_std: Tensor

    def __init__(self, config: RefinerConfig) -> None:
        super().__init__()
        self.config = config
        width, doublings = config.width, round(math.log2(config.scale))
        self.head = nn.Conv2d(PICTURE_CHANNELS + config.channels, width, 3, padding=1)
        self.blocks = nn.Sequential(*(Block(width) for _ in range(config.blocks)))
        self.enlarge = nn.Sequential(*(_doubling(width, config.enlarge) for _ in range(doublings)))
        self.tail = nn.Conv2d(width, 4, 3, padding=1)
        nn.init.zeros_(self.tail.weight)
        assert self.tail.bias is not None
        nn.init.zeros_(self.tail.bias)
        self.register_buffer("feature_mean", torch.zeros(config.channels))
        self.register_buffer("feature_std", torch.ones(config.channels))

    def forward(self, inputs: Tensor) -> Tensor:
        """Refined pictures.

        Args:
            inputs: [B, 5 + C, h, w] of `render_inputs`, any h and w.

        Returns:
            [B, 4, s h, s w] straight RGBA in [0, 1]. What lies further than a pixel of the input from any matter stays
            transparent.
        """
        rgba = self.premultiplied(inputs)
        alpha = rgba[:, 3:].clamp(0, 1)
        colour = torch.minimum(rgba[:, :3].clamp_min(0), alpha)
        return torch.cat([straight(colour.movedim(1, -1), alpha[:, 0]).movedim(-1, 1), alpha], dim=1)

    def premultiplied(self, inputs: Tensor) -> Tensor:
        """Refined pictures [B, 4, s h, s w] with colours times alpha, and not clamped: what the losses see."""
        if inputs.ndim != 4 or inputs.shape[1] != PICTURE_CHANNELS + self.config.channels:
            raise ValueError(
                f"inputs must be [B, {PICTURE_CHANNELS} + {self.config.channels}, h, w], got {list(inputs.shape)}"
            )
        picture, features = inputs[:, :PICTURE_CHANNELS], inputs[:, PICTURE_CHANNELS:]
        alpha = picture[:, 3:4]
        features = (features - alpha * self.feature_mean[:, None, None]) / self.feature_std[:, None, None]
        hidden = self.head(torch.cat([picture, features], dim=1))
        residual = self.tail(self.enlarge(hidden + self.blocks(hidden)))
        # Without matter within a pixel there is no detail to add: what is transparent stays so, trained or not.
        near = F.interpolate(F.max_pool2d(alpha, 3, stride=1, padding=1), scale_factor=self.config.scale)
        return enlarge_picture(inputs, self.config.scale) + near * residual


def enlarge_picture(inputs: Tensor, scale: int) -> Tensor:
    """The premultiplied RGBA [B, 4, s h, s w] that plain bicubic resizing makes of [B, 5 + C, h, w]; it may overshoot
    [0, 1] at edges."""
    return F.interpolate(inputs[:, :4], scale_factor=scale, mode="bicubic", align_corners=False)


def render_inputs(renderer: Renderer, camera: Camera, samples: int) -> Tensor:
    """What the refiner reads, rendered without gradients.

    Args:
        camera: one or a batch, with images of w x h pixels.
        samples: bins a ray.

    Returns:
        [..., 5 + C, h, w]: premultiplied colour, alpha, relief, features. The relief is how far the surface stands out
        from the middle of the box towards the camera (world units, times alpha): depth, but independent of the distance
        that the camera was placed at.
    """
    seen = renderer.render(camera, samples, features=True)
    alpha = seen.alpha[..., None]
    relief = alpha * camera.position.norm(dim=-1)[..., None, None, None].to(alpha) - seen.depth[..., None]
    return torch.cat([seen.premultiplied, alpha, relief, seen.features], dim=-1).movedim(-1, -3)


@torch.no_grad()
def refine(refiner: Refiner, renderer: Renderer, camera: Camera, samples: int) -> Tensor:
    """Refined images of one avatar: rendered s times smaller than the camera's images, then enlarged.

    Args:
        camera: one or a batch, with images of W x H pixels: the size of the RESULT. Where s does not divide it, the
            view is widened to the right and below until it does, and cut again.
        samples: bins a ray.

    Returns:
        [..., H, W, 4] straight RGBA in [0, 1]
    """
    channels = renderer.field.planes.shape[1]
    if channels != refiner.config.channels:
        raise ValueError(f"planes must have {refiner.config.channels} channels as the refiner, got {channels}")
    scale = refiner.config.scale
    width, height = math.ceil(camera.width / scale), math.ceil(camera.height / scale)
    lead = camera.cam_to_world.shape[:-2]
    flat = Camera(
        camera.cam_to_world.reshape(-1, 4, 4),
        camera.focal.reshape(-1, 2),
        camera.centre.reshape(-1, 2),
        width * scale,
        height=height * scale,
    ).resized(width, height)
    images = []
    for view in range(len(flat)):  # one at a time: the enlarged layers are what takes memory
        inputs = render_inputs(renderer, flat[view : view + 1], samples)
        images.append(refiner(inputs)[0, :, : camera.height, : camera.width].movedim(0, -1))
    return torch.stack(images).reshape(*lead, camera.height, camera.width, 4)
