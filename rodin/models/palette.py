"""The palette network: z to the colours of an avatar's materials, each a mean and how far colours lie from it.

Planes of a decoder with materials carry no colour of their own: avatars that differ in colours alone have the same.
Which colour each material has is read off z here, once an avatar. Ours; the paper's planes carry colour.

Where words say a colour they are believed before z, which tells green from olive less well than people do: of each
colour that captions name the network knows where the training subjects' colours lie.

Symbols: B avatars, D latent numbers, K materials, R named colours.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rodin.materials import MATERIALS
from rodin.parts import check_range

#: The materials whose colours an attribute of the recipe says.
COLOURED_BY: dict[str, tuple[str, ...]] = {
    "skin": ("skin", "lips"),
    "hair_color": ("hair",),
    "eyes": ("iris",),
    "glasses_color": ("frame",),
    "hat_color": ("hat",),
    "top_color": ("top",),
}
DOUBT = 3.0  # by which z's own spread is widened where words speak: it was learned on latents of pictures
LEAST_SPREAD = 0.01  # of a colour in [0, 1]: a few levels of a byte, which the fits do not agree on either


@dataclass(frozen=True, kw_only=True, slots=True)
class PaletteConfig:
    """Size of the perceptron.

    Args:
        latent_dim: numbers D of z.
        materials: K of the decoder.
        hidden: width of the hidden layer.
        dropout: share of the hidden units that are left out in training.
        named: the R colours that captions name, as "material/attribute/value", such as "hair/hair_color/red".
    """

    materials: int
    latent_dim: int = 512
    hidden: int = 256
    dropout: float = 0.1
    named: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("materials", "latent_dim", "hidden"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        check_range(self, 1, 2**14, "materials", "latent_dim", "hidden")
        for name in self.named:
            material, *rest = name.split("/")
            if len(rest) != 2 or material not in MATERIALS[: self.materials]:
                raise ValueError(f"named must be material/attribute/value, got {name!r}")
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"dropout must lie in [0, 1), got {self.dropout}")


class PaletteNetwork(nn.Module):
    """z to the distribution of the palette: independent normal numbers, in sRGB values.

    Buffers:
        mean, std: [K, 3] of the colours of the subjects that have the material; 0.5 and 1 where none has it.
        named_mean, named_std: [R, 3] of those whose captions name the colour.
    """

    mean: Tensor
    std: Tensor
    named_mean: Tensor
    named_std: Tensor

    def __init__(self, config: PaletteConfig) -> None:
        super().__init__()
        self.config = config
        self.hidden = nn.Sequential(nn.Linear(config.latent_dim, config.hidden), nn.SiLU(), nn.Dropout(config.dropout))
        self.colour = nn.Linear(config.latent_dim + config.hidden, 6 * config.materials)
        nn.init.zeros_(self.colour.weight)
        nn.init.zeros_(self.colour.bias)
        self.register_buffer("mean", torch.full((config.materials, 3), 0.5))
        self.register_buffer("std", torch.ones(config.materials, 3))
        self.register_buffer("named_mean", torch.full((len(config.named), 3), 0.5))
        self.register_buffer("named_std", torch.ones(len(config.named), 3))

    def forward(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the palettes [B, K, 3] of latents [B, D] of unit length.

        The mean may lie outside [0, 1]; `palettes` gives colours. The spread says how far a portrait may move them.

        Raises:
            ValueError: a shape does not fit.
        """
        if latents.ndim != 2 or latents.shape[1] != self.config.latent_dim:
            raise ValueError(f"latents must be [B, D={self.config.latent_dim}], got {list(latents.shape)}")
        z = latents * math.sqrt(self.config.latent_dim)
        offset, spread = self.colour(torch.cat([z, self.hidden(z)], dim=-1)).view(len(z), 2, -1, 3).unbind(dim=1)
        return self.mean + self.std * offset, LEAST_SPREAD + self.std * torch.exp(spread)

    @torch.no_grad()
    def palettes(self, latents: Tensor, said: Sequence[Mapping[str, str]] = ()) -> Tensor:
        """The likeliest palettes [B, K, 3] in [0, 1] of latents [B, D].

        Args:
            said: by attribute what words say of each avatar; none = nothing is said of any. What no caption named says
                nothing.
        """
        mean, spread = self(latents)
        for row, name in enumerate(self.config.named):
            material, attribute, value = name.split("/")
            place = MATERIALS.index(material)
            for index, words in enumerate(said):
                if words.get(attribute) == value:  # the product of two normal distributions
                    own, named = (DOUBT * spread[index, place]) ** -2, (LEAST_SPREAD + self.named_std[row]) ** -2
                    mixed = (own * mean[index, place] + named * self.named_mean[row]) / (own + named)
                    mean[index, place] = mixed
        return mean.clamp(0, 1)


def palette_loss(found: tuple[Tensor, Tensor], palettes: Tensor, present: Tensor) -> Tensor:
    """Negative log-likelihood of palettes [B, K, 3], a colour channel, over the materials present [B, K]; []."""
    mean, spread = found
    cost = 0.5 * ((palettes - mean) / spread).square() + spread.log()
    shares = present[..., None].to(cost)
    return (cost * shares).sum() / (3 * shares.sum()).clamp_min(1.0)
