"""How many denoising steps the base model needs, and what a guidance interval would save.

    python benchmarks/samplers.py [MODEL] [DATA] [--count N] [--size S]

From the same latents and noise, avatars are drawn by each sampler in 5 to 100 steps. Three figures of their pictures,
four views of the front half each: FID and KID to as many subjects of DATA, and how near they come, in dB, to what
DPM-Solver++ draws in 100 steps, which by then has converged: the deterministic samplers solve one equation, so that the
distance is their error alone. The row with other seeds says how much of a difference in FID is chance.

Two alternatives that the library does without: timesteps even in t, as diffusers spaces them, instead of even in angle;
and a guidance interval (Kynkaanniemi et al. 2024), which guides at middle noise levels only, in two passes at once, and
is content with one outside. Times are of the processor, for the base model's sampling alone, an avatar.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
from claims import Claim, claims_table, table
from timing import progress, spread
from torch import Tensor

from rodin.avatars.pipeline import RodinPipeline
from rodin.diffusion.config import Sampler
from rodin.diffusion.sampling import Scheduler, draw_noise, guided, sample
from rodin.diffusion.schedule import Denoise, noise_schedule
from rodin.evaluate.features import features
from rodin.evaluate.fid import fid, kid
from rodin.evaluate.subjects import RealSet, load_real
from rodin.images import over
from rodin.models.upsampler import takes_latent, upsample
from rodin.render.renderer import Renderer

SAMPLERS: tuple[Sampler, ...] = ("dpm++", "ddim", "ancestral")
STEPS = (5, 10, 20, 50, 100)
SCALE = 1.5  # of guidance
INTERVALS = ((0.3, 3.0), (0.0, 3.0))  # sigma = sqrt((1 - abar) / abar), in standard deviations of the residual
CHOSEN = 10  # steps of dpm++, the pipeline's default
UPSAMPLING_STEPS, VIEWS, BINS, AT_ONCE = 3, 4, 96, 8
OTHER_SEEDS = 1_000_000


@dataclass
class Row:
    """A way to sample, and what was measured of it."""

    sampler: Sampler
    steps: int
    interval: tuple[float, float] | None = None  # of guidance
    even_in_t: bool = False
    first_seed: int = 0
    pictures: list[Tensor] = field(default_factory=list)  # [V, S, S, 4] of each avatar
    seconds: list[float] = field(default_factory=list)  # an avatar, of each batch

    @property
    def name(self) -> str:
        """For the table."""
        guidance = f", guided for sigma in ({self.interval[0]}, {self.interval[1]}]" if self.interval else ""
        even = ", even in t" if self.even_in_t else ""
        return f"{self.sampler}, {self.steps} steps{guidance}{even}{', other seeds' if self.first_seed else ''}"


@dataclass(frozen=True)
class Figures:
    """Of a row's pictures."""

    fid: float
    kid: float
    decibels: float | None  # to the limit; None where there is none


class EvenInTime(Scheduler):
    """Timesteps as diffusers spaces them ("trailing")."""

    def set_timesteps(self, steps: int) -> None:
        super().set_timesteps(steps)
        total = self.config.train_steps
        self.timesteps = (total - torch.arange(steps) * (total / steps)).round().long() - 1


def guided_within(pipe: RodinPipeline, z: Tensor, interval: tuple[float, float] | None) -> Denoise:
    """Guidance at noise levels within an interval, at all without one."""
    full, single = guided(pipe.base, z, SCALE), guided(pipe.base, z)
    if interval is None:
        return full
    abar = (1 - noise_schedule(pipe.diffusion)).cumprod(0)
    sigma, (low, high) = ((1 - abar) / abar).sqrt(), interval

    def predict(x: Tensor, t: Tensor) -> Tensor:
        return full(x, t) if low < sigma[t[0]] <= high else single(x, t)

    return predict


@torch.no_grad()
def draw(pipe: RodinPipeline, row: Row, latents: Tensor, seeds: list[int], real: RealSet) -> None:
    """Add a batch of avatars to a row, avatar k seen by the cameras of subject k."""
    config, clip = pipe.base.config, pipe.statistics.config.clip
    noise = draw_noise((3, config.in_channels, config.size, config.size), generators(seeds))
    denoise = guided_within(pipe, latents, row.interval)
    scheduler = (EvenInTime if row.even_in_t else Scheduler)(pipe.diffusion, row.sampler)
    began = time.process_time()
    low = sample(denoise, scheduler, noise, generators(seeds), row.steps, clip)
    row.seconds.append((time.process_time() - began) / len(seeds))
    residual = upsample(
        pipe.upsampler,
        pipe.upsampler_diffusion,
        low,
        pipe.upsampler.config.size,
        generators(seeds),
        UPSAMPLING_STEPS,
        clip,
        z=latents if takes_latent(pipe.upsampler.config) else None,
    )
    palettes = [None] * len(latents) if pipe.palette is None else pipe.palette.palettes(latents)
    for planes, palette in zip(pipe.statistics.denormalize(residual), palettes, strict=True):
        camera = real.cameras[len(row.pictures)]
        row.pictures.append(Renderer.culled(planes, pipe.decoder, palette).image(camera, BINS)[0])


def generators(seeds: list[int]) -> list[torch.Generator]:
    """One a seed."""
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def measure(pipe: RodinPipeline, real: RealSet, rows: list[Row]) -> list[Figures]:
    """Draw all rows, batch by batch in turns, and look at their pictures."""
    for start in range(0, len(real), AT_ONCE):
        numbers = list(range(start, min(start + AT_ONCE, len(real))))
        latents = {first: pipe.draw_latents(None, [first + k for k in numbers]) for first in (0, OTHER_SEEDS)}
        for row in rows:
            progress(f"samplers: avatars from {start} of {len(real)}, {row.name}")
            draw(pipe, row, latents[row.first_seed], [row.first_seed + k for k in numbers], real)
    target = features(pipe.encoder, real.images)
    limit = next(row for row in rows if row.name == f"dpm++, {STEPS[-1]} steps")
    found = []
    for row in rows:
        seen = features(pipe.encoder, torch.stack(row.pictures))
        comparable = row is not limit and row.sampler != "ancestral"
        found.append(Figures(fid(seen, target), kid(seen, target), decibels(row, limit) if comparable else None))
    return found


def decibels(row: Row, limit: Row) -> float:
    """Median PSNR of an avatar's pictures, over white."""
    errors = [(over(a, 1.0) - over(b, 1.0)).square().mean() for a, b in zip(row.pictures, limit.pictures, strict=True)]
    return float(-10 * torch.log10(torch.stack(errors).median()))


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", type=Path, default=Path("out/smoke/run/model"), help="model folder")
    parser.add_argument("data", nargs="?", type=Path, default=Path("examples/avatars"), help="its training subjects")
    parser.add_argument("--count", type=int, default=48, help="avatars, and at most as many real subjects")
    parser.add_argument("--size", type=int, default=64, help="side of the pictures in pixels")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    pipe = RodinPipeline.from_pretrained(arguments.model)
    real = load_real(arguments.data, VIEWS, arguments.size, "real subjects").first(arguments.count)
    rows = [Row(sampler, steps) for sampler in SAMPLERS for steps in STEPS]
    rows += [Row("ancestral", STEPS[-1], first_seed=OTHER_SEEDS)]
    rows += [Row("dpm++", steps, even_in_t=True) for steps in STEPS if steps <= 20]
    rows += [Row("dpm++", CHOSEN, interval) for interval in INTERVALS]
    found = measure(pipe, real, rows)

    by_name = {row.name: (row, figures) for row, figures in zip(rows, found, strict=True)}
    chosen, near = by_name[f"dpm++, {CHOSEN} steps"]
    paper, far = by_name[f"ancestral, {STEPS[-1]} steps"]
    times = sum(paper.seconds) / sum(chosen.seconds)
    claim = Claim(
        claim=f"{CHOSEN} steps of DPM-Solver++ draw as well",
        against=f"{STEPS[-1]} ancestral steps",
        goal="FID within 5 %",
        measured=f"{near.fid / far.fid - 1:+.1%}, {times:.1f}x faster",
        reached=near.fid < 1.05 * far.fid,
    )
    print("## Samplers\n")
    print(
        f"FID and KID of {len(real)} avatars to {len(real)} training subjects, {VIEWS} views, guidance {SCALE} in "
        "one pass. dB: median PSNR of an avatar's pictures to those after 100 steps of dpm++. Processor time of the "
        f"base model's sampling, an avatar: median (quartiles) of batches of {AT_ONCE}, one thread, in turns.\n"
    )
    lines = [
        [
            row.name,
            f"{figures.fid:.1f}",
            f"{figures.kid:.4f}",
            "-" if figures.decibels is None else f"{figures.decibels:.1f}",
            spread(row.seconds, 0, 1e3),
        ]
        for row, figures in by_name.values()
    ]
    print(table(["sampler", "FID", "KID", "dB to 100 steps", "ms an avatar"], lines) + "\n")
    print(claims_table([claim]))


if __name__ == "__main__":
    main()
