"""The shared decoder: features of a point to density and colour, (c(p, d), sigma(p)) = MLP(y_p, xi(y_p), d).

xi is a Fourier embedding of the FEATURES, not of the coordinates (Rodin, Sec. 3.1). One decoder serves all avatars:
it is learned once over many of them, then frozen, which pushes every tri-plane into one domain.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rodin.parts import LATER

Activation = Literal["silu", "softplus"]


@dataclass(frozen=True, kw_only=True, slots=True)
class DecoderConfig:
    """Size of the decoder; the cost of each choice is printed by `benchmarks/decoder.py`.

    Args:
        channels: Feature channels C of the tri-planes.
        hidden: Width of the hidden layers.
        colour_layers: Hidden layers of the colour head; 0 reads the colour linearly off the trunk.
        frequencies: Octaves of xi: sin and cos of 2^k times the features, k < frequencies. 0 leaves xi out.
        view_direction: Whether colour depends on the viewing direction d.
        activation: Of the hidden layers, trunk and colour head alike; EG3D's decoder has softplus.
        density_scale: Density per unit of softplus output, in 1 / world units.
        density_shift: Added before the softplus: negative, so that zero planes are near-empty space.
        colours: Numbers K of a colour; those beyond sRGB are features, as EG3D's super-resolution reads them.
    """

    channels: int
    hidden: int = 32
    colour_layers: int = 1
    frequencies: int = 0
    view_direction: bool = True
    activation: Activation = "silu"
    density_scale: float = 30.0
    density_shift: float = -4.0
    colours: int = field(default=3, metadata=LATER)

    def __post_init__(self) -> None:
        for name in ("channels", "hidden", "colours"):
            if getattr(self, name) < 1:
                raise ValueError(f"decoder.{name} must be at least 1, got {getattr(self, name)}")
        for name in ("colour_layers", "frequencies"):
            if getattr(self, name) < 0:
                raise ValueError(f"decoder.{name} must not be negative, got {getattr(self, name)}")
        if self.activation not in get_args(Activation):
            names = ", ".join(get_args(Activation))
            raise ValueError(f"decoder.activation must be one of {names}, got {self.activation}")
        if self.density_scale <= 0:
            raise ValueError(f"decoder.density_scale must be positive, got {self.density_scale}")


def direction_basis(directions: Tensor) -> Tensor:
    """Real spherical harmonics of degree 1 and 2 without their constants: [..., 3] unit vectors -> [..., 8]."""
    x, y, z = directions.unbind(dim=-1)
    return torch.stack([x, y, z, x * y, y * z, z * x, x * x - y * y, 3 * z * z - 1], dim=-1)


class Decoder(nn.Module):
    """Trunk -> density; trunk and direction -> colour."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        width = config.hidden
        self.trunk = nn.Linear(config.channels * (1 + 2 * config.frequencies), width)
        self.density = nn.Linear(width, 1)
        inner = [nn.Linear(width, width) for _ in range(config.colour_layers)]
        self.colour = nn.ModuleList([*inner, nn.Linear(width, config.colours)])
        self.direction = nn.Linear(8, width, bias=False) if config.view_direction else None
        if self.direction is not None:
            nn.init.zeros_(self.direction.weight)  # colour starts without a view dependence
        self.activate = F.silu if config.activation == "silu" else F.softplus

    def embed(self, features: Tensor) -> Tensor:
        """[N, C] -> [N, C (1 + 2 frequencies)]: the features and xi of them."""
        if not self.config.frequencies:
            return features
        octaves = 2.0 ** torch.arange(self.config.frequencies, device=features.device, dtype=features.dtype)
        angles = (features[..., None] * octaves).flatten(start_dim=-2)
        return torch.cat([features, angles.sin(), angles.cos()], dim=-1)

    def density_of(self, features: Tensor) -> Tensor:
        """Density [N] of features [N, C], in 1 / world units; for grids that need no colour."""
        return self._density(self.activate(self.trunk(self.embed(features))))

    def forward(self, features: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        """Density and colour of points.

        Args:
            features: [N, C] sums of the three look-ups.
            directions: [N, 3] unit viewing directions, camera to point, in the world.

        Returns:
            density [N] >= 0 in 1 / world units, colour [N, K] in [0, 1] (sRGB values).
        """
        hidden = self.activate(self.trunk(self.embed(features)))
        density = self._density(hidden)
        if self.direction is not None:
            hidden = hidden + self.direction(direction_basis(directions))
        for layer in self.colour[:-1]:
            hidden = self.activate(layer(hidden))
        return density, torch.sigmoid(self.colour[-1](hidden))

    def _density(self, hidden: Tensor) -> Tensor:
        raw = self.density(hidden)[..., 0] + self.config.density_shift
        return self.config.density_scale * F.softplus(raw)
