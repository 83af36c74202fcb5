"""Fast samplers against the paper's: the same distance to real avatars from a quarter of the steps or less.

    python benchmarks/samplers.py [MODEL] [DATA] [--count N]

Draws the same latents and noise with 100 ancestral steps (the paper's), with DDIM at 25 and with DPM-Solver++ at 20,
and measures FID to the pictures in DATA: as many subjects of each kind, four views of the front half. Target: FID
within 5 % of the ancestral sampler's, on the same model. The FID that it has with other seeds says how much of a
difference is chance. Seconds are of the processor, for the base model's sampling alone, an avatar.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from rodin.avatar import Avatar
from rodin.diffusion import Sampler, make_scheduler
from rodin.evaluate.distribution import fid
from rodin.evaluate.draw import render_all
from rodin.evaluate.features import features
from rodin.evaluate.real import RealSet, load_real
from rodin.pipeline import RodinPipeline

ROWS: tuple[tuple[Sampler, int, int], ...] = (  # sampler, steps, first seed
    ("ancestral", 100, 0),
    ("ancestral", 100, 1_000_000),
    ("ddim", 25, 0),
    ("dpm++", 20, 0),
)
VIEWS = 4
AT_ONCE = 8


def draw(pipe: RodinPipeline, sampler: Sampler, steps: int, seed: int, count: int) -> tuple[list[Avatar], float]:
    """Avatars, and the CPU-seconds of base sampling an avatar."""
    pipe.scheduler = make_scheduler(pipe.diffusion, sampler)
    avatars: list[Avatar] = []
    seconds = 0.0
    with tqdm(total=count, desc=f"{sampler} {steps}", leave=False) as bar:
        while len(avatars) < count:
            ticks: list[float] = []

            def tick(_step: int, _planes: Tensor, ticks: list[float] = ticks) -> None:
                ticks.append(time.process_time())

            part = min(AT_ONCE, count - len(avatars))
            avatars += pipe(count=part, seed=seed + len(avatars), num_inference_steps=steps, callback_on_step_end=tick)
            seconds += (ticks[-1] - ticks[0]) * steps / (steps - 1)  # the first step begins before its first tick
            bar.update(part)
    return avatars, seconds / count


def measure(pipe: RodinPipeline, real: RealSet, sampler: Sampler, steps: int, seed: int) -> tuple[float, float]:
    """FID to the real pictures, and CPU-seconds an avatar."""
    avatars, seconds = draw(pipe, sampler, steps, seed, len(real))
    return fid(features(pipe.encoder, render_all(avatars, real.cameras)), features(pipe.encoder, real.images)), seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", type=Path, default=Path("out/demo/run/model"), help="model folder")
    parser.add_argument("data", nargs="?", type=Path, default=Path("examples/avatars"), help="its training subjects")
    parser.add_argument("--count", type=int, default=48, help="avatars, and at most as many real subjects")
    parser.add_argument("--size", type=int, default=64, help="side of the pictures in pixels")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    pipe = RodinPipeline.from_pretrained(arguments.model)
    real = load_real(arguments.data, VIEWS, arguments.size, "real subjects").first(arguments.count)
    print(f"FID of {len(real)} avatars to {len(real)} subjects of {arguments.data}, {VIEWS} views, one thread")
    print("sampler     steps   first seed      FID   to ancestral   CPU-s an avatar")
    reference = None
    for sampler, steps, seed in ROWS:
        found, seconds = measure(pipe, real, sampler, steps, seed)
        reference = reference or found
        print(f"{sampler:10} {steps:6} {seed:12} {found:8.1f} {found / reference - 1:13.1%} {seconds:17.2f}")


if __name__ == "__main__":
    main()
