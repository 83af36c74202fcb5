"""The shared decoder: features of a point to density and colour, (c(p, d), sigma(p)) = MLP(y_p, xi(y_p), d).

xi is a Fourier embedding of the FEATURES, not of the coordinates (Rodin, Sec. 3.1). One decoder serves all avatars:
it is learned once over many of them, then frozen, which pushes every tri-plane into one domain.

With materials it gives no colour, but what `rodin.render.materials` paints: shares, shade and residual. The direction
then turns the shade alone, by spherical harmonics as PlenOctrees have them (Yu et al. 2021).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rodin.parts import LATER, check_range
from rodin.render.materials import RESIDUAL, Emitted

Activation = Literal["silu", "softplus"]
DIRECTIONS = 8  # numbers that `direction_basis` makes of a direction


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
        colours: Numbers of a colour; those beyond sRGB are features, as EG3D's super-resolution reads them.
        materials: Materials K that colour is mixed of, each avatar by its own palette; 0 is the paper's decoder, whose
            colour is the network's.
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
    materials: int = field(default=0, metadata=LATER)

    def __post_init__(self) -> None:
        for name in ("channels", "hidden", "colours"):
            if getattr(self, name) < 1:
                raise ValueError(f"decoder.{name} must be at least 1, got {getattr(self, name)}")
        for name in ("colour_layers", "frequencies", "materials"):
            if getattr(self, name) < 0:
                raise ValueError(f"decoder.{name} must not be negative, got {getattr(self, name)}")
        check_range(self, 1, 2**14, "channels", "hidden", "colours")
        check_range(self, 0, 64, "colour_layers", "frequencies", "materials")
        if not abs(self.density_shift) < 1e6 or not self.density_scale < 1e9:
            raise ValueError(f"density {self.density_shift} and {self.density_scale} are beyond all measure")
        if self.activation not in get_args(Activation):
            names = ", ".join(get_args(Activation))
            raise ValueError(f"decoder.activation must be one of {names}, got {self.activation}")
        if self.density_scale <= 0:
            raise ValueError(f"decoder.density_scale must be positive, got {self.density_scale}")
        if self.materials and self.colours != 3:
            raise ValueError(f"decoder.colours must be 3 with materials, got {self.colours}")

    @property
    def emitted(self) -> int:
        """Numbers E that a sample emits: its colour or, with materials, `rodin.render.materials.Emitted`."""
        return 2 * self.materials + 3 if self.materials else self.colours

    @property
    def outputs(self) -> int:
        """What the colour head puts out beside the shade: colours or, with materials, logits of the shares and the
        residual."""
        return self.materials + 3 if self.materials else self.colours

    @property
    def head_width(self) -> int:
        """Width of the colour head's last layer: its outputs and, with materials, the shade's constant and, where there
        is a view direction, coefficients."""
        shade = 1 + (DIRECTIONS if self.view_direction else 0)
        return self.outputs + (shade if self.materials else 0)


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
        self.colour = nn.ModuleList([*inner, nn.Linear(width, config.head_width)])
        turned = config.view_direction and not config.materials  # with materials the last layer sees to the direction
        self.direction = nn.Linear(DIRECTIONS, width, bias=False) if turned else None
        with torch.no_grad():  # colour starts without a view dependence
            if self.direction is not None:
                self.direction.weight.zero_()
            elif config.view_direction:
                for parameter in self.colour[-1].parameters():
                    parameter[-DIRECTIONS:] = 0
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
        """Density of points and what they emit.

        Args:
            features: [N, C] sums of the three look-ups.
            directions: [N, 3] unit viewing directions, camera to point, in the world.

        Returns:
            density [N] >= 0 in 1 / world units; colour [N, E] in [0, 1] (sRGB values) or, with materials, what
            `rodin.render.materials.paint` makes colours of.
        """
        hidden = self.activate(self.trunk(self.embed(features)))
        density = self._density(hidden)
        if self.direction is not None:
            hidden = hidden + self.direction(direction_basis(directions))
        for layer in self.colour[:-1]:
            hidden = self.activate(layer(hidden))
        last = self.colour[-1](hidden)
        return density, self._emit(last, directions) if self.config.materials else torch.sigmoid(last)

    def _emit(self, last: Tensor, directions: Tensor) -> Tensor:
        """The last layer's [N, head_width] as shares, shade and residual -> [N, E]."""
        logits, residual, shade, turns = last.tensor_split(
            [self.config.materials, self.config.outputs, self.config.outputs + 1], dim=-1
        )
        if self.config.view_direction:
            shade = shade + (turns * direction_basis(directions)).sum(dim=-1, keepdim=True)
        shade = F.softplus(shade) / math.log(2)  # 1 at 0
        shares = logits.softmax(dim=-1)
        return Emitted(shade * shares, RESIDUAL * residual.tanh(), shares).join()

    def _density(self, hidden: Tensor) -> Tensor:
        raw = self.density(hidden)[..., 0] + self.config.density_shift
        return self.config.density_scale * F.softplus(raw)
