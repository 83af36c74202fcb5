"""The latent prior: diffusion over the latent z itself, from nothing and from text by one network (Rodin, Sec. 3.3).

It is the diffusion prior of DALL-E 2 (Ramesh et al. 2022, Sec. 2.2). A transformer reads the tokens

    text tokens, pooled text embedding, time, noisy z, query

and the query's output is the prediction, z_0 in our presets. Three things differ from theirs. The attention has no
causal mask, since nothing is written token by token. Tokens get no positions: the text's hidden states have them from
the encoder, and every other token has a first layer of its own. A condition left out has no text tokens, and a learned
token in place of the pooled embedding.

A residual prior does not learn z under a text but what z has beyond the text's mean latent. From few subjects that
composes what they never showed together: the mean says what the text says, and the residual is like a subject's. Ours.

To `rodin.diffusion`, z is planes of one texel, [B, 1, D, 1, 1]. There its numbers have unit variance: it is z times
sqrt(D). Everywhere else z has unit length.

Symbols: B batch, T text tokens, W their width, D latent numbers (512), K candidates.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rodin.diffusion.config import DiffusionConfig
from rodin.diffusion.sampling import Scheduler, draw_noise, sample
from rodin.diffusion.schedule import Denoise
from rodin.models.text import TextCondition
from rodin.networks.unet import sinusoids
from rodin.parts import check_range


@dataclass(frozen=True, kw_only=True, slots=True)
class PriorConfig:
    """Shape of the transformer.

    Args:
        width: of its tokens.
        layers, heads: of it; heads divides the width.
        text_width: W of the encoder's text tokens.
        dropout: probability inside the layers.
        latent_dim: D, the length of z and of the pooled text embedding.
        residual: the pooled embedding is a mean latent, and what is denoised under a text is what z has beyond it.
    """

    width: int
    layers: int
    heads: int
    text_width: int
    dropout: float = 0.0
    latent_dim: int = 512
    residual: bool = False

    def __post_init__(self) -> None:
        for name in ("width", "layers", "heads", "text_width", "latent_dim"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        check_range(self, 1, 2**14, "width", "heads", "text_width", "latent_dim")
        check_range(self, 1, 256, "layers")
        if self.width % self.heads or self.width % 2:
            raise ValueError(f"width must be even and a multiple of heads = {self.heads}, got {self.width}")
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"dropout must lie in [0, 1), got {self.dropout}")


class Prior(nn.Module):
    """Noisy z, time and text to the prediction."""

    def __init__(self, config: PriorConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.text = nn.Linear(config.text_width, width)
        self.pooled = nn.Linear(config.latent_dim, width)
        self.no_text = nn.Parameter(_token(width))  # stands in for the pooled embedding
        self.time = nn.Sequential(nn.Linear(width, 4 * width), nn.SiLU(), nn.Linear(4 * width, width))
        self.latent = nn.Linear(config.latent_dim, width)
        self.query = nn.Parameter(_token(width))
        self.layers = nn.ModuleList(Layer(width, config.heads, config.dropout) for _ in range(config.layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, config.latent_dim)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor, t: Tensor, text: TextCondition | None = None) -> Tensor:
        """Denoise z_0, v or noise, by what the network was trained for.

        Args:
            x: [B, 1, D, 1, 1] noisy z, of unit variance.
            t: [B] timestep in 0..999, whole or not.
            text: of B texts; None is no text for any.

        Returns:
            [B, 1, D, 1, 1]

        Raises:
            ValueError: a shape does not fit.
        """
        batch, width, latent_dim = x.shape[0], self.config.width, self.config.latent_dim
        if x.shape[1:] != (1, latent_dim, 1, 1):
            raise ValueError(f"z must be [B, 1, D={latent_dim}, 1, 1], got {list(x.shape)}")
        if t.shape != (batch,):
            raise ValueError(f"t must be [B={batch}], got {list(t.shape)}")
        if text is None:
            text = self._no_text(batch, x.device)
        if text.tokens.shape[::2] != (batch, self.config.text_width) or text.pooled.shape[1] != latent_dim:
            raise ValueError(
                f"text must have tokens [B={batch}, T, W={self.config.text_width}] and pooled [B, D={latent_dim}], "
                f"got {list(text.tokens.shape)} and {list(text.pooled.shape)}"
            )

        pooled = self.pooled(text.pooled * math.sqrt(latent_dim))
        pooled = torch.where(text.mask.any(dim=1, keepdim=True), pooled, self.no_text.to(pooled))
        time = self.time(sinusoids(t, width))
        others = torch.stack([pooled, time, self.latent(x.flatten(1)), self.query.to(pooled).expand(batch, -1)], dim=1)
        tokens = torch.cat([self.text(text.tokens), others], dim=1)  # [B, T + 4, width]
        mask = F.pad(text.mask, (0, others.shape[1]), value=True)
        for index, layer in enumerate(self.layers):
            last = 1 if index == len(self.layers) - 1 else tokens.shape[1]  # of the last layer only the query is read
            tokens = layer(tokens, mask, last)
        return self.head(self.norm(tokens[:, -1])).view(x.shape)

    def _no_text(self, batch: int, device: torch.device) -> TextCondition:
        tokens = torch.zeros(batch, 1, self.config.text_width, device=device)
        return TextCondition(tokens, tokens[..., 0].bool(), torch.zeros(batch, self.config.latent_dim, device=device))


def _token(width: int) -> Tensor:
    """A token to be learned, [width], with a standard deviation of 0.02 as in GPT. Uniform, since normal numbers on the
    meta device, where a part that will be loaded is built, import torch's compiler."""
    return nn.init.uniform_(torch.empty(width), -0.02 * 3**0.5, 0.02 * 3**0.5)


class Layer(nn.Module):
    """A layer of the transformer: attention, then a perceptron, each with a norm before and a shortcut around it."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.queries, self.keys_values = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.perceptron = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, mask: Tensor, last: int) -> Tensor:
        """The outputs [B, last, C] at the last tokens of [B, S, C]; they attend to those where mask [B, S] is True."""
        normed, tokens = self.norm(tokens), tokens[:, -last:]
        queries = self.queries(normed[:, -last:]).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        keys, values = self.keys_values(normed).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(queries, keys, values, mask[:, None, None])  # [B, heads, last, C/heads]
        tokens = tokens + self.dropout(self.out(mixed.transpose(1, 2).flatten(2)))
        return tokens + self.dropout(self.perceptron(tokens))


def guided_by_text(prior: Prior, text: TextCondition, scale: float = 1.0) -> Denoise:
    """Classifier-free guidance: eps = scale eps(z, text) + (1 - scale) eps(z), for `rodin.diffusion.sampling.sample`.

    As `rodin.diffusion.sampling.guided`; the text left out is no text.
    """

    def predict(x: Tensor, t: Tensor) -> Tensor:
        conditional = prior(x, t, text)
        return conditional if scale == 1.0 else scale * conditional + (1 - scale) * prior(x, t)

    return predict


@torch.no_grad()
def sample_latents(
    prior: Prior,
    diffusion: DiffusionConfig,
    text: TextCondition | None,
    generators: list[torch.Generator],
    guidance_scale: float = 1.0,
    steps: int = 20,
    candidates: int = 1,
) -> Tensor:
    """Draw one z a generator, which depends on that generator alone.

    Args:
        prior: trained with `diffusion`.
        text: of B texts, or None to draw from nothing.
        generators: B of them, on the CPU for the same z on every device.
        guidance_scale: 1 = the text as trained; more follows it more closely, at the cost of variety. For a residual
            prior it is the factor of the mean latent.
        steps: of DPM-Solver++.
        candidates: K that are drawn for each text, of which the one nearest to its embedding is kept (DALL-E 2, Sec.
            2.2, with K = 2). Nothing can choose among draws from nothing: one is made.

    Returns:
        [B, D] of unit length, on the device of the prior

    Raises:
        ValueError: the numbers of texts and generators differ, or `candidates` or `steps` is out of range.
    """
    if text is not None and len(text.pooled) != len(generators):
        raise ValueError(f"there must be a generator for each text, got {len(generators)} for {len(text.pooled)}")
    if candidates < 1:
        raise ValueError(f"candidates must be at least 1, got {candidates}")
    device = prior.query.device
    drawn = candidates if text is not None else 1
    noise = draw_noise((drawn, 1, prior.config.latent_dim, 1, 1), generators, device).flatten(0, 1)  # [B K, 1, D, 1, 1]
    scheduler = Scheduler(diffusion, "dpm++")
    said = None if text is None else text.to(device).repeat(drawn)
    residual = said is not None and prior.config.residual
    predict: Denoise = prior if said is None else guided_by_text(prior, said, 1.0 if residual else guidance_scale)
    planes = sample(predict, scheduler, noise, generators, steps=steps)
    if said is not None and residual:
        planes = planes + guidance_scale * said.mean
    latents = F.normalize(planes.flatten(1), dim=-1)
    latents = latents.unflatten(0, (-1, drawn))  # [B, K, D]
    if text is None:
        return latents[:, 0]
    cosines = torch.einsum("bkd,bd->bk", latents, text.pooled.to(latents))
    return latents[torch.arange(len(latents), device=device), cosines.argmax(dim=1)]
