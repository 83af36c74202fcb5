"""The plain way to fit tri-planes to views: what the fused fitter is measured against.

Rays drawn uniformly from all pixels of all training views, background included; two passes of 64 + 64 samples on each
(`classic.py`), none of them skipped; the mean squared error of premultiplied RGBA and nothing else; Adam on the planes,
through autograd, from small random ones. Decoder and course of the learning rate are those of the fused fitter.

RAYS and LEARNING_RATE reached 30 dB held-out first among 256, 512 and 1024 rays and rates of 0.05, 0.1 and 0.2, tried
once. (A rate held constant reaches it much later or never.)
"""

from __future__ import annotations

import torch
from classic import two_pass
from torch import Tensor

from rodin.camera import Camera
from rodin.data.captures import MultiView, split_views
from rodin.fit.planes import learning_rate_at
from rodin.render.decoder import Decoder
from rodin.render.rays import camera_rays

COARSE = FINE = 64
RAYS, LEARNING_RATE = 512, 0.1
BETAS = (0.9, 0.99)


class PlainFit:
    """The planes of one subject while they are fitted.

    Args:
        held_out: views kept for judging, the same as `rodin.fit.scene.prepare` keeps.
        start: [3, C, H, W]
        steps: how many there will be in all.
    """

    def __init__(self, subject: MultiView, held_out: int, decoder: Decoder, start: Tensor, steps: int) -> None:
        train, _ = split_views(len(subject.images), held_out, frontal=subject.frontal)
        images = subject.images[train]
        camera: Camera = subject.camera[train]
        self.rays = camera_rays(camera)
        self.targets = torch.cat([images[..., :3] * images[..., 3:], images[..., 3:]], dim=-1).reshape(-1, 4)
        self.decoder, self.steps, self.done = decoder, steps, 0
        self.values = start.clone().requires_grad_()
        self.optimizer = torch.optim.Adam([self.values], lr=LEARNING_RATE, betas=BETAS, fused=True)
        self.generator = torch.Generator().manual_seed(0)

    @property
    def planes(self) -> Tensor:
        """[3, C, H, W] as they are now."""
        return self.values.detach()

    def step(self) -> None:
        """Move the planes once."""
        chosen = torch.randint(len(self.rays), (RAYS,), generator=self.generator)
        totals = two_pass(self.values, self.decoder, self.rays[chosen], COARSE, FINE, self.generator)
        loss = (totals[:, :4] - self.targets[chosen]).square().mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.param_groups[0]["lr"] = LEARNING_RATE * learning_rate_at(self.done / self.steps)
        self.optimizer.step()
        self.done += 1


def random_planes(like: Tensor) -> Tensor:
    """Small random planes of a shape, where a fit starts that knows nothing of avatars."""
    return 0.1 * torch.randn(like.shape, generator=torch.Generator().manual_seed(0))


def fit_plainly(subject: MultiView, held_out: int, decoder: Decoder, start: Tensor, steps: int) -> Tensor:
    """Planes [3, C, H, W] of one subject."""
    fit = PlainFit(subject, held_out, decoder, start, steps)
    for _ in range(steps):
        fit.step()
    return fit.planes
