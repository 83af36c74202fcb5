"""The settings of fitting a set of subjects."""

from __future__ import annotations

from dataclasses import dataclass

from rodin.fit.planes import FitConfig
from rodin.fit.shared import SharedConfig
from rodin.materials import MATERIALS
from rodin.render.decoder import DecoderConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class FittingConfig:
    """Both stages of fitting.

    Args:
        per_shard: The most subjects in one shard, which one task fits.
    """

    decoder: DecoderConfig
    shared: SharedConfig
    planes: FitConfig
    per_shard: int = 8

    def __post_init__(self) -> None:
        if self.per_shard < 1:
            raise ValueError(f"per_shard must be 1 or more, got {self.per_shard}")
        if self.decoder.materials not in (0, len(MATERIALS)):
            raise ValueError(
                f"decoder.materials must be {len(MATERIALS)}, as many as rodin synth names, or 0, got "
                f"{self.decoder.materials}"
            )
