"""What a linear map from latents leaves of the base model's planes, by its rank: how good a start the sketch is.

Each map is learned from the subjects that the base model trains on, at the noise that it trains with, and judged on
those kept from it. The figures are mean squared errors in units of the planes' variance: the mean avatar has 1. The
last row takes the frontal view itself, as a thumbnail, instead of its latent.

    rodin fit data/train --run RUN --preset mini --workers 2 && rodin train encoder data/train --run RUN --preset mini
    python benchmarks/sketch_rank.py RUN
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from rodin.data.shards import read_index, read_shards
from rodin.networks.linear_sketch import Sketch
from rodin.train.encoder import thumbnails_of
from rodin.train.presets import mini
from rodin.train.sketch import learn_sketch
from rodin.train.subjects import Loaded, load_subjects, split_subjects

RANKS = (4, 16, 32, 48, 64, 96, 512)
AT_ONCE = 256  # subjects


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run folder with planes/, decoder/ and encoder/")
    run = parser.parse_args().run
    torch.set_num_threads(1)
    base = mini().base
    size, noise = base.network.size, base.latent_noise
    trained, held_out = split_subjects(read_index(run / "planes").count, base.held_out_every)
    planes, latents, _ = load_subjects(run, size, trained, base.mirrored)
    others, other_latents, _ = load_subjects(run, size, held_out)
    print(f"{len(trained)} subjects, mirrored: {base.mirrored}; {len(held_out)} held out; noise of length {noise}")
    print("| map | MB | held-out | held-out, noise | training subjects, noise | CPU-seconds |")
    print("|---" * 6 + "|")
    for rank in RANKS:
        sketch = Sketch(latents.shape[1], rank, planes.shape[2], size)
        report(f"rank {rank}", sketch, (planes, latents), (others, other_latents), noise)
    seen, unseen = thumbnails(run, trained, base.mirrored), thumbnails(run, held_out, False)
    mean = seen.mean(0)
    scale = (seen - mean).square().sum(1).mean().sqrt()  # a length of 1, as latents have
    seen, unseen = (seen - mean) / scale, (unseen - mean) / scale
    sketch = Sketch(seen.shape[1], RANKS[-1], planes.shape[2], size)
    report("thumbnail", sketch, (planes, seen), (others, unseen), noise)


def report(
    name: str, sketch: Sketch, trained: tuple[Tensor, Tensor], held_out: tuple[Tensor, Tensor], noise: float
) -> None:
    """Learn a sketch from planes and what is to foretell them, and print a row of its errors."""
    began = time.process_time()
    learn_sketch(sketch, [Loaded(*trained, None)], noise)
    spent = time.process_time() - began
    megabytes = sum(weight.numel() for weight in sketch.parameters()) * 2 / 1e6  # float16
    errors = (error(sketch, *held_out), error(sketch, *held_out, noise), error(sketch, *trained, noise))
    print(f"| {name} | {megabytes:.1f} | {' | '.join(f'{one:.3f}' for one in errors)} | {spent:.0f} |", flush=True)


def error(sketch: Sketch, planes: Tensor, told: Tensor, noise: float = 0.0) -> float:
    """Mean squared error of the planes [N, 3, C, S, S] drawn from vectors [N, D] of length about 1."""
    generator = torch.Generator().manual_seed(0)
    disturbed = told + noise * torch.randn(told.shape, generator=generator) / told.shape[1] ** 0.5
    told = F.normalize(disturbed, dim=-1) * told.norm(dim=-1, keepdim=True)
    parts = zip(planes.split(AT_ONCE), told.split(AT_ONCE), strict=True)
    total = sum(float((sketch(z) - y.float()).square().sum(dtype=torch.float64)) for y, z in parts)
    return total / planes.numel()


def thumbnails(run: Path, chosen: list[int], mirrored: bool) -> Tensor:
    """[N, 1024] subjects' frontal views, as thumbnails."""
    wanted = set(chosen)
    found = (subject for index, subject in enumerate(read_shards(run / "planes")) if index in wanted)
    frontals = [view for one in found for view in (one.frontal, one.frontal.flip(-2))[: 2 if mirrored else 1]]
    return torch.cat([thumbnails_of(part.float()).flatten(1) for part in torch.stack(frontals).split(AT_ONCE)])


if __name__ == "__main__":
    main()
