"""The U-Net of both diffusion models: ADM (Dhariwal & Nichol 2021) on tri-planes (Rodin, Sec. 3.2).

The base model and the upsampler are two configs of it. What it takes from ADM: residual blocks with an AdaGN shift and
scale in every one, up and down inside residual blocks (BigGAN), attention at the low resolutions, zero-initialised last
layers. What Rodin adds: every 3x3 convolution is 3D-aware, attention runs over the tokens of all three planes (the
roll-out), and AdaGN is driven by a vector beside the time: the latent z in the base model, the levels of condition
augmentation in the upsampler.

Three things are ours. Edges are replicated (see `rodin.networks.aware_conv`), and the planes share all weights, so
nothing would tell a layer where on which plane it is, as zero padding does in ADM; a few sinusoids of each texel's
world coordinates are therefore added after the first layer. The planes may be cut in patches: 2x2 texels become
channels, which halves the time at 32^2 for little quality. And planes that are nearly right already may be added to the
output, so that the network learns the rest alone: an upsampler the detail of its low-resolution planes, a base model
what its noisy planes lack and what a linear sketch of the latent's planes (`rodin.networks.linear_sketch`) does not
tell.

Shapes: B batch, C channels, H W rows columns; inside, planes ride in the batch dimension, N = 3B, plane index fastest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from rodin.networks.aware_conv import AwareConv
from rodin.networks.group_norm import GroupNorm
from rodin.networks.linear_sketch import Sketch
from rodin.parts import check_range
from rodin.triplane import COLUMN_AXES, PLANES, ROW_AXES, resize

POSITION_FREQUENCIES = (0.5, 1.0, 2.0)  # half-waves, waves and double waves over the box
FEW_TOKENS = 1024  # whose attention weights are held in full on the CPU
POSITION_CHANNELS = 2 * 3 * len(POSITION_FREQUENCIES)


@dataclass(frozen=True, kw_only=True, slots=True)
class UNetConfig:
    """Shape of a U-Net.

    Args:
        size: H of the planes it is made for. It places the attention; other sizes run too.
        in_channels: C of the planes that are denoised.
        out_channels: C of the output; twice `in_channels` where the variance is learned too.
        width: channels of the first level; the time embedding has four times as many.
        multipliers: one a level, channels = width * multiplier; each further level halves H and W.
        blocks: residual blocks a level (one more on the way up).
        attention: the levels, by their H after patching, whose blocks attention follows; the middle always has it.
        head_width: channels of one attention head; divides the channels of every level with attention.
        patch: side of the patches that become channels; 1 = off.
        dropout: probability inside residual blocks.
        latent_dim: length of z; 0 = a network without z.
        condition_channels: C of the low-resolution planes that are resized and joined to the input; 0 = none.
        condition_skip: add the resized low-resolution planes to the output too. Ours; for a network that predicts x_0.
        input_skip: add the noisy planes to the output, each channel by a factor that time and z set. Ours; for a
            network that predicts x_0: what little noise leaves standing need not pass the network.
        sketch_rank: of a linear map from z to planes, `rodin.networks.linear_sketch`, which are joined to the input and
            added to the output, each channel by a factor that time and z set; 0 = none. Ours; for a network that
            predicts x_0.
        aware: 3D-aware convolutions; False = plain ones on each plane, the paper's ablation.
        checkpointing: residual blocks keep their inputs alone, and compute the rest again in the backward pass: about
            a third more time for a fraction of the memory. Values and gradients stay the same.
    """

    size: int
    in_channels: int
    out_channels: int
    width: int
    multipliers: tuple[int, ...] = (1, 2, 3, 4)
    blocks: int = 3
    attention: tuple[int, ...] = (32, 16, 8)
    head_width: int = 64
    patch: int = 1
    dropout: float = 0.0
    latent_dim: int = 512
    condition_channels: int = 0
    condition_skip: bool = False
    input_skip: bool = False
    sketch_rank: int = 0
    aware: bool = True
    checkpointing: bool = False

    def __post_init__(self) -> None:
        for name in ("in_channels", "out_channels", "width", "blocks", "head_width", "patch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("latent_dim", "condition_channels", "sketch_rank"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0 (0 = off), got {getattr(self, name)}")
        check_range(self, 1, 2**14, "size", "in_channels", "out_channels", "width", "head_width", "patch")
        check_range(self, 1, 64, "blocks")
        check_range(self, 0, 2**14, "latent_dim", "condition_channels", "sketch_rank")
        if len(self.multipliers) > 16 or max(self.multipliers, default=1) > 64 or len(self.attention) > 16:
            raise ValueError(f"multipliers must be at most 16 up to 64, got {self.multipliers}")
        if self.condition_skip and self.condition_channels != self.out_channels:
            found = f"{self.condition_channels} and {self.out_channels}"
            raise ValueError(f"condition_skip wants condition_channels equal to out_channels, got {found}")
        for name in ("input_skip", "sketch_rank"):
            if getattr(self, name) and self.in_channels != self.out_channels:
                raise ValueError(
                    f"{name} wants in_channels = out_channels, got {self.in_channels}, {self.out_channels}"
                )
        if self.sketch_rank > self.latent_dim:
            raise ValueError(f"sketch_rank must be at most latent_dim {self.latent_dim}, got {self.sketch_rank}")
        if self.sketch_rank and self.condition_channels:
            raise ValueError("sketch_rank wants condition_channels 0: the sketch is such a condition itself")
        if not self.multipliers or min(self.multipliers) < 1:
            raise ValueError(f"multipliers must be one whole number from 1 a level, got {self.multipliers}")
        if self.width % 2:
            raise ValueError(f"width must be even (sines and cosines of the time), got {self.width}")
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"dropout must lie in [0, 1), got {self.dropout}")
        if self.size < 1 or self.size % self.size_multiple:
            raise ValueError(f"size must be a multiple of {self.size_multiple} (patch, levels), got {self.size}")
        unknown = sorted(set(self.attention) - set(self.level_sizes))
        if unknown:
            raise ValueError(f"attention: no level has H {unknown}, the levels have {self.level_sizes}")
        attending = [m for m, size in zip(self.multipliers, self.level_sizes, strict=True) if size in self.attention]
        unfit = [self.width * m for m in (*attending, self.multipliers[-1]) if self.width * m % self.head_width]
        if unfit:
            raise ValueError(f"head_width {self.head_width} must divide the channels where attention is, got {unfit}")

    @property
    def size_multiple(self) -> int:
        """Plane heights and widths must be multiples of this."""
        return self.patch * 2 ** (len(self.multipliers) - 1)

    @property
    def level_sizes(self) -> tuple[int, ...]:
        """H of every level, after patching."""
        return tuple(self.size // self.patch // 2**level for level in range(len(self.multipliers)))


class UNet(nn.Module):
    """Noisy planes, time and conditions to a prediction of the same size."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        width, texels = config.width, config.patch**2
        embedding = 4 * width
        self.time = nn.Sequential(nn.Linear(width, embedding), nn.SiLU(), nn.Linear(embedding, embedding))
        self.latent = nn.Linear(config.latent_dim, embedding) if config.latent_dim else None
        self.position = nn.Conv2d(POSITION_CHANNELS, width, 1, bias=False)
        conditions = config.in_channels if config.sketch_rank else config.condition_channels
        self.first = _convolution(config, (config.in_channels + conditions) * texels, width)

        channels, skips = width, [width]
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for level, multiplier in enumerate(config.multipliers):
            if level:
                self.down.append(ResidualBlock(config, channels, channels, resample="down"))
                skips.append(channels)
            for _ in range(config.blocks):
                self.down.append(_stage(config, level, channels, width * multiplier))
                channels = width * multiplier
                skips.append(channels)
        self.middle = Stages(
            ResidualBlock(config, channels, channels),
            RollOutAttention(channels, config.head_width),
            ResidualBlock(config, channels, channels),
        )
        for level, multiplier in reversed(list(enumerate(config.multipliers))):
            for index in range(config.blocks + 1):
                stage = _stage(config, level, channels + skips.pop(), width * multiplier)
                channels = width * multiplier
                if level and index == config.blocks:
                    stage.append(ResidualBlock(config, channels, channels, resample="up"))
                self.up.append(stage)
        assert not skips
        self.head_norm = _norm(channels, silu=True)
        self.head = _zeroed(_convolution(config, channels, config.out_channels * texels))
        self.skip = _zeroed(nn.Linear(embedding, config.in_channels)) if config.input_skip else None
        self.sketch, self.sketch_factor = None, None
        if config.sketch_rank:
            self.sketch = Sketch(config.latent_dim, config.sketch_rank, config.in_channels, config.size)
            self.sketch_factor = _zeroed(nn.Linear(embedding, config.in_channels))  # beyond 1

    def forward(self, x: Tensor, t: Tensor, vector: Tensor | None = None, low_res: Tensor | None = None) -> Tensor:
        """Predict noise, v or planes, by what the network was trained for.

        Args:
            x: [B, 3, C, H, W] noisy planes; H and W multiples of `config.size_multiple`.
            t: [B] timestep in 0..999, whole or not.
            vector: [B, latent_dim] condition: a latent z of unit length (zeros for no condition), or augmentation
                levels in [0, 1]. Not given where `latent_dim` is 0.
            low_res: [B, 3, condition_channels, h, w] planes of any size. Not given where `condition_channels` is 0.

        Returns:
            [B, 3, out_channels, H, W] in the type of `x`

        Raises:
            ValueError: a shape does not fit, or a condition is missing or too many.
        """
        self._check(x, t, vector, low_res)
        batch, _, _, height, width = x.shape
        embedding = self.time(sinusoids(t, self.config.width))
        if self.latent is not None and vector is not None:
            embedding = embedding + self.latent(vector * math.sqrt(self.config.latent_dim))
        embedding = F.silu(embedding)  # [B, 4 width]

        if self.sketch is not None and vector is not None:
            low_res = self.sketch(vector)
        condition = None if low_res is None else resize(low_res, height, width).to(x)
        planes = x if condition is None else torch.cat([x, condition], dim=2)
        patches = F.pixel_unshuffle(planes.flatten(0, 1), self.config.patch)
        h = self.first(patches.contiguous(memory_format=torch.channels_last))  # [3B, width, H/patch, W/patch]
        position = self.position(_position(h.shape[2], h.shape[3], x.device))  # [3, width, H/patch, W/patch]
        h = (h.unflatten(0, (batch, PLANES)) + position).flatten(0, 1)

        skips = [h]
        for stage in self.down:
            h = stage(h, embedding)
            skips.append(h)
        h = self.middle(h, embedding)
        for stage in self.up:
            h = stage(torch.cat([h, skips.pop()], dim=1), embedding)
        h = F.pixel_shuffle(self.head(self.head_norm(h)), self.config.patch)
        h = h.unflatten(0, (batch, PLANES)).to(x.dtype)
        if self.skip is not None:
            h = h + _factors(self.skip, embedding, x) * x
        if condition is None:
            return h
        if self.sketch_factor is not None:
            return h + (1 + _factors(self.sketch_factor, embedding, x)) * condition
        return h + condition if self.config.condition_skip else h

    def read_outs(self) -> list[nn.Parameter]:
        """The weights that the output is read off: of the last convolution, and of the factors of what is added."""
        layers = filter(None, (self.head, self.skip, self.sketch_factor))
        return [parameter for layer in layers for parameter in layer.parameters()]

    def blocks(self) -> list[nn.Module]:
        """What is computed one after the other, most of the network."""
        return [*self.down, self.middle, *self.up]

    def _check(self, x: Tensor, t: Tensor, vector: Tensor | None, low_res: Tensor | None) -> None:
        config = self.config
        if x.ndim != 5 or x.shape[1:3] != (PLANES, config.in_channels):
            raise ValueError(f"planes must be [B, 3, C={config.in_channels}, H, W], got {list(x.shape)}")
        if any(side % config.size_multiple for side in x.shape[-2:]):
            raise ValueError(f"plane sides must be multiples of {config.size_multiple}, got {list(x.shape[-2:])}")
        batch = x.shape[0]
        if t.shape != (batch,):
            raise ValueError(f"t must be [B={batch}], got {list(t.shape)}")
        found = None if vector is None else tuple(vector.shape)
        wanted = (batch, config.latent_dim) if config.latent_dim else None
        if found != wanted:
            raise ValueError(f"vector must be {wanted} for latent_dim {config.latent_dim}, got {found}")
        found = None if low_res is None else tuple(low_res.shape[:-2])
        wanted_planes = (batch, PLANES, config.condition_channels) if config.condition_channels else None
        if found != wanted_planes:
            raise ValueError(f"low_res must be {wanted_planes} + (h, w), got {found} + (h, w)")


class ResidualBlock(nn.Module):
    """ADM's block: two convolutions, AdaGN before the second, optionally half or twice the size.

    Group norm takes its statistics over each plane by itself.

    Args:
        resample: "down" averages 2x2 texels, "up" repeats them, before the first convolution and on the shortcut.
    """

    def __init__(
        self, config: UNetConfig, in_channels: int, out_channels: int, resample: Literal["", "down", "up"] = ""
    ) -> None:
        super().__init__()
        self.resample = resample
        self.checkpointing = config.checkpointing
        self.norm_in = _norm(in_channels, silu=True)
        self.conv_in = _convolution(config, in_channels, out_channels)
        self.modulation = nn.Linear(4 * config.width, 2 * out_channels)
        self.norm_out = _norm(out_channels, silu=True)
        self.dropout = nn.Dropout(config.dropout)
        self.conv_out = _zeroed(_convolution(config, out_channels, out_channels))
        same = in_channels == out_channels
        self.shortcut = nn.Identity() if same else nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """[N=3B, C, H, W], [B, 4 width] -> [N, C', H', W']"""
        if self.checkpointing and torch.is_grad_enabled():
            return checkpoint(self._compute, x, embedding, use_reentrant=False)
        return self._compute(x, embedding)

    def _compute(self, x: Tensor, embedding: Tensor) -> Tensor:
        h = self.norm_in(x)
        if self.resample == "down":
            h, x = F.avg_pool2d(h, 2), F.avg_pool2d(x, 2)
        elif self.resample == "up":
            h, x = F.interpolate(h, scale_factor=2.0), F.interpolate(x, scale_factor=2.0)
        h = self.conv_in(h)
        # AdaGN(h, y) = y_s GroupNorm(h) + y_b (ADM, Sec. 3.1); y from time and latent, the same for the three planes
        scale, shift = self.modulation(embedding).repeat_interleave(PLANES, dim=0).chunk(2, dim=1)
        return self.shortcut(x) + self.conv_out(self.dropout(self.norm_out(h, scale, shift)))


class RollOutAttention(nn.Module):
    """Self-attention over all 3 H W tokens of the planes, that is over the roll-out; zero-initialised output."""

    def __init__(self, channels: int, head_width: int) -> None:
        super().__init__()
        self.head_width = head_width
        self.norm = _norm(channels)
        self.queries_keys_values = nn.Linear(channels, 3 * channels)
        self.out = _zeroed(nn.Linear(channels, channels))

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """[N=3B, C, H, W] -> the same; `embedding` is not used."""
        count, channels, height, width = x.shape
        tokens = self.norm(x).flatten(2).mT.reshape(count // PLANES, -1, channels)  # [B, 3HW, C]
        heads = self.queries_keys_values(tokens).unflatten(-1, (3, -1, self.head_width)).permute(2, 0, 3, 1, 4)
        mixed = attend(heads[0], heads[1], heads[2])  # [B, heads, 3HW, head_width]
        out = self.out(mixed.transpose(1, 2).flatten(2))
        return x + out.reshape(count, height * width, channels).mT.reshape(x.shape)


def attend(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Scaled dot-product attention, [..., N, D] each -> [..., N, D].

    Torch's fused form never holds the N x N weights, but its backward pass takes up to four times as long as plain
    products on the CPU; few tokens can do with those.
    """
    if queries.device.type != "cpu" or queries.shape[-2] > FEW_TOKENS or not queries.requires_grad:
        return F.scaled_dot_product_attention(queries, keys, values)
    weights = (queries * queries.shape[-1] ** -0.5) @ keys.mT
    return weights.softmax(dim=-1).to(values.dtype) @ values


class Stages(nn.ModuleList):
    """Blocks and attention, one after the other, all given the embedding."""

    def __init__(self, *stages: nn.Module) -> None:
        super().__init__(stages)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        for stage in self:
            x = stage(x, embedding)
        return x


def _stage(config: UNetConfig, level: int, in_channels: int, out_channels: int) -> Stages:
    """One residual block, and attention where the level has it."""
    stages = Stages(ResidualBlock(config, in_channels, out_channels))
    if config.level_sizes[level] in config.attention:
        stages.append(RollOutAttention(out_channels, config.head_width))
    return stages


def _convolution(config: UNetConfig, in_channels: int, out_channels: int) -> nn.Module:
    if config.aware:
        return AwareConv(in_channels, out_channels)
    return nn.Conv2d(in_channels, out_channels, 3, padding=1, padding_mode="replicate")


def _factors(layer: nn.Module, embedding: Tensor, x: Tensor) -> Tensor:
    """[B, 1, C, 1, 1] one factor a channel of planes x, set by the embedding [B, 4 width] of time and z."""
    factors: Tensor = layer(embedding)[:, None, :, None, None]
    return factors.to(x)


def _norm(channels: int, silu: bool = False) -> GroupNorm:
    """ADM's 32 groups, or fewer, to have at least 4 channels in each: narrower ones lose the channels' scale."""
    groups = next(g for g in range(min(32, max(1, channels // 4)), 0, -1) if channels % g == 0)
    return GroupNorm(channels, groups, silu)


def _zeroed(module: nn.Module) -> nn.Module:
    """A last layer that starts as zero, so that the block around it starts as the identity."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


def sinusoids(t: Tensor, width: int) -> Tensor:
    """Time embedding [B, width] of t [B] (DDPM): cosines and sines at width / 2 frequencies from 1 to 1 / 10000."""
    half = width // 2
    frequencies = torch.exp(torch.arange(half, device=t.device) * (-math.log(10000.0) / half))
    angles = t[:, None].float() * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=1)


def _position(height: int, width: int, device: torch.device) -> Tensor:
    """Sinusoids [3, POSITION_CHANNELS, H, W] of each texel's world coordinates (u, v, w).

    A texel is a line: the coordinate along it has none, and its sines and cosines are zero, which marks the plane.
    """
    rows = torch.arange(height, device=device).add(0.5).mul(2 / height).sub(1)[:, None].expand(height, width)
    columns = torch.arange(width, device=device).add(0.5).mul(2 / width).sub(1).expand(height, width)
    frequencies = torch.tensor(POSITION_FREQUENCIES, device=device)[:, None, None] * math.pi
    channels = torch.zeros(PLANES, 3, 2 * len(frequencies), height, width, device=device)
    for plane in range(PLANES):
        for axis, coordinate in ((ROW_AXES[plane], rows), (COLUMN_AXES[plane], columns)):
            angles = coordinate * frequencies
            channels[plane, axis] = torch.cat([angles.sin(), angles.cos()])
    return channels.flatten(1, 2)
