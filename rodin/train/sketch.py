"""The linear sketch of planes in closed form: a ridge regression from latents to planes, of which the first directions
are kept.

Symbols: N subjects, D latent numbers, K rank, P numbers in the planes of a subject.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch

from rodin.networks.linear_sketch import Sketch
from rodin.train.subjects import Loaded

AT_ONCE = 256  # subjects
LEAST_NOISE = 0.1  # without some, a latent of D numbers tells each of as many subjects from all others


@torch.no_grad()
def learn_sketch(sketch: Sketch, share: Iterable[Loaded], noise: float) -> None:
    """Set the map of rank K with the least squared error for latents with noise; all ranks learn one from all subjects.

    For a linear map, noise of length s on latents is a ridge of s^2 N / D, exactly. So what the sketch leaves of the
    subjects that it was learned from, under noise, is about what it leaves of others without, and a network that
    learns the rest is not misled.

    Args:
        share: this rank's subjects, in parts; it may have none.
        noise: length of the noise that latents have in training; less than `LEAST_NOISE` counts as that.
    """
    from accelerate.utils import reduce

    width = sketch.weight.shape[1]
    like = sketch.weight.new_zeros
    squares, products, count = like(width, width), like(width, sketch.basis[0].numel()), like(())
    for part in share:
        count += len(part.latents)
        for x, y in zip(part.latents.split(AT_ONCE), part.planes.split(AT_ONCE), strict=True):
            squares += x.t() @ x
            products += x.t() @ y.flatten(1).float()
    squares, products, count = reduce(squares), reduce(products), reduce(count)
    ridge = max(noise, LEAST_NOISE) ** 2 * count / width
    squares = squares.double() + ridge * torch.eye(width).to(squares).double()
    full = torch.linalg.solve(squares, products.double())  # [D, P]
    # The map of rank K that is nearest to the full one where latents are: of R W, R the root of the squares (reduced
    # rank regression, Izenman 1975), the first K directions in the space of planes.
    root = torch.linalg.cholesky(squares).t()
    values, directions = torch.linalg.eigh(root @ full @ full.t() @ root.t())
    rank = len(sketch.weight)
    chosen = directions.flip(1)[:, :rank].t() @ root @ full  # [K, P], rows orthogonal
    basis = chosen / values.flip(0)[:rank, None].clamp(min=1e-12).sqrt()
    sketch.basis.copy_(basis.view_as(sketch.basis))
    sketch.weight.copy_((full @ basis.t()).t())
