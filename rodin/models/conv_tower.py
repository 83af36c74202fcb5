"""A CLIP whose image tower is a small convolutional network (transformers gives the rest).

A transformer that begins from nothing takes millions of pictures to learn what convolutions know by construction:
what a patch shows does not depend on where it is. From a thousand subjects in an hour on one core it learns their
colours; convolutions learn their hair, glasses and beards too (docs/training.md).

Importing this takes two seconds, since transformers does: only functions import it.

Symbols: B pictures, S their side, W_i channels of layer i.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

from rodin.networks.group_norm import GroupNorm

ROWS = 4  # that the last maps are pooled to: what is where in height matters, from left to right it turns with the view
GROUP = 8  # channels of a normalisation group


class ConvTower(nn.Module):
    """Pictures to one vector each.

    Args:
        widths: W_i of the layers, multiples of 8. The first halves the picture, and so does each further one.
    """

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        first, last = widths[0], widths[-1]
        self.layers = nn.ModuleList([nn.Conv2d(3, first, 4, stride=2, padding=1, bias=False)])
        for before, after in pairwise(widths):
            norm = GroupNorm(before, before // GROUP)
            convolution = nn.Conv2d(before, after, 3, padding=1, bias=False)
            self.layers.append(nn.Sequential(norm, nn.ReLU(), convolution, nn.MaxPool2d(2)))
        norm = GroupNorm(last, last // GROUP)
        self.pool = nn.Sequential(norm, nn.ReLU(), nn.AdaptiveMaxPool2d((ROWS, 1)), nn.Flatten())

    def forward(
        self, pixel_values: Tensor, interpolate_pos_encoding: bool = False, return_dict: bool = True
    ) -> BaseModelOutputWithPooling:
        """Pictures [B, 3, S, S] to `pooler_output` [B, ROWS W] and `hidden_states`, [B, W_i, S/2^i, S/2^i] each.

        The two other arguments are CLIP's, and mean nothing here.
        """
        maps = []
        hidden = pixel_values.contiguous(memory_format=torch.channels_last)  # what convolution and pooling are fast on
        for layer in self.layers:
            hidden = layer(hidden)
            maps.append(hidden)
        return BaseModelOutputWithPooling(pooler_output=self.pool(hidden), hidden_states=tuple(maps))  # type: ignore[arg-type]


def tower_config(widths: tuple[int, ...]) -> dict[str, Any]:
    """What a CLIP's `vision_config` says of a tower; the transformer that CLIP would have is left without layers."""
    no_transformer = {"num_hidden_layers": 0, "num_attention_heads": 1}
    return {"convolutions": list(widths), "hidden_size": ROWS * widths[-1], **no_transformer}


class ConvClip(CLIPModel):
    """A CLIP with a `ConvTower`.

    Args:
        config: whose `vision_config` has what `tower_config` gives.
    """

    def __init__(self, config: CLIPConfig) -> None:
        super().__init__(config)
        self.vision_model = ConvTower(tuple(config.vision_config.convolutions))
