"""What an evaluation draws and counts; the report prints every field."""

from __future__ import annotations

from dataclasses import dataclass, field

from rodin.avatars.drawing import Sampling


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationConfig:
    """Numbers of an evaluation.

    Args:
        samples: avatars drawn from nothing, for the distances between distributions and the nearest neighbours.
        views: pictures of each avatar and of each real subject: the frontal one and others of the front half.
        image_size: side in pixels of all pictures that are compared; the data must have it.
        captions: where no prompts are given, held-out captions that avatars are drawn from; those of all held-out
            subjects if there are fewer.
        photos: held-out portraits that are inverted; those of all held-out subjects if there are fewer.
        fits: held-out subjects that planes are fitted to; all if there are fewer.
        refine_steps: steps of render-guided inversion, after the encoder's.
        sentences: draw sets of prompts with unknown words once more, these translated by the general sentence encoder.
        sampling: of everything that is drawn; the row "no guidance" has a guidance_scale of 1.
        reader_steps: of the attribute reader's training.
        seed: avatar k is drawn with seed + k.
    """

    samples: int = 48
    views: int = 4
    image_size: int = 64
    captions: int = 12
    photos: int = 12
    fits: int = 3
    refine_steps: int = 40
    sentences: bool = False
    sampling: Sampling = field(default_factory=Sampling)
    reader_steps: int = 3000
    seed: int = 0

    def __post_init__(self) -> None:
        self.sampling.check()
        for name in ("views", "image_size", "reader_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("samples", "captions", "photos"):  # a spread needs two, and so does a choice among subjects
            if getattr(self, name) < 2:
                raise ValueError(f"{name} must be at least 2, got {getattr(self, name)}")
        for name in ("fits", "refine_steps", "seed"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0 (0 = none), got {getattr(self, name)}")
