"""What the base model's choices are worth at equal samples seen: the held-out error of x_0, beside the time it took.

Every choice starts from one base stage, "x_0": a network of width 64, where a choice takes minutes, a schedule shifted
to much noise, and the plain error. One thing is changed, and it is trained on the planes of a finished fit for the same
number of samples. Its run folder is RUN/choices/NAME: `rodin train curves RUN/choices/* --column x0` draws them.

    rodin fit data/train --run RUN --preset mini --workers 2 && rodin train encoder data/train --run RUN --preset mini
    python benchmarks/base_choices.py RUN --samples 10000 [--only v epsilon ...]
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from rodin.diffusion.config import DiffusionConfig
from rodin.networks.unet import UNet
from rodin.train.ablations import share_parts
from rodin.train.base import BaseTraining, train_base
from rodin.train.presets import mini
from rodin.train.validate import LEVELS

PARTS = ("planes", "decoder", "encoder")


def start() -> BaseTraining:
    """What every choice changes one thing of."""
    base = mini().base
    small = replace(base.network, width=64, head_width=64, input_skip=False, sketch_rank=0)
    return replace(base, network=small, diffusion=DiffusionConfig(prediction="sample"), latent_noise=0.0)


def network(**changes: object) -> Callable[[BaseTraining], BaseTraining]:
    """The start with another network."""
    return lambda base: replace(base, network=replace(base.network, **changes))  # type: ignore[arg-type]


def diffusion(**changes: object) -> Callable[[BaseTraining], BaseTraining]:
    """The start with another diffusion."""
    return lambda base: replace(base, diffusion=replace(base.diffusion, **changes))  # type: ignore[arg-type]


CHOICES: dict[str, Callable[[BaseTraining], BaseTraining]] = {
    "x_0": lambda base: base,
    "v": diffusion(prediction="v_prediction"),
    "epsilon": diffusion(prediction="epsilon", zero_terminal_snr=False),
    "cosine": diffusion(schedule="cosine"),
    "linear": diffusion(schedule="linear"),
    "min-SNR 5": diffusion(min_snr_gamma=5.0),
    "cosine, SNR + 1": diffusion(schedule="cosine", min_snr_gamma=20.0, min_snr_plus=1.0),
    "input skip": network(input_skip=True),
    "two blocks": network(blocks=2),
    "width 96": network(width=96, head_width=96),
    "width 128": network(width=128, head_width=128),
    "patch 1": network(patch=1),
    "patch 4": network(patch=4),
    "patch 4, width 128": network(patch=4, width=128),
    "no attention": network(attention=()),
    "dropout": network(dropout=0.1),
    "not mirrored": lambda base: replace(base, mirrored=False),
    "noisy z": lambda base: replace(base, latent_noise=mini().base.latent_noise),
    "noisy z, sketch": lambda base: replace(
        base,
        latent_noise=mini().base.latent_noise,
        network=replace(base.network, sketch_rank=mini().base.network.sketch_rank),
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run folder with planes/, decoder/ and encoder/")
    parser.add_argument("--samples", type=int, default=10_000, help="that each choice sees")
    parser.add_argument("--rate", type=float, default=None, help="learning rate; the preset's if left out")
    parser.add_argument("--only", nargs="+", choices=CHOICES, default=list(CHOICES), help="which choices")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(f"| choice | parameters | CPU-seconds a 1000 samples | mean | {' | '.join(map(str, LEVELS))} |")
    print("|---" * (4 + len(LEVELS)) + "|")
    for name in arguments.only:
        base = CHOICES[name](start())
        steps = arguments.samples // base.loop.batch_size
        loop = replace(base.loop, steps=steps, ema_decay=0.998, warmup_steps=min(base.loop.warmup_steps, steps // 4))
        if arguments.rate is not None:
            loop = replace(loop, learning_rate=arguments.rate)
        base = replace(base, loop=loop)
        run = arguments.run / "choices" / name.replace(",", "").replace(" ", "-")
        share_parts(arguments.run, run, [arguments.run / part for part in PARTS])
        began = time.process_time()
        train_base(run, base)
        spent = time.process_time() - began
        parameters = sum(weight.numel() for weight in UNet(base.network).parameters())
        errors = " | ".join(f"{value:.4f}" for value in last_errors(run / "base.training" / "log.csv"))
        print(f"| {name} | {parameters / 1e6:.2f} M | {1e3 * spent / arguments.samples:.0f} | {errors} |", flush=True)


def last_errors(log: Path) -> list[float]:
    """The last held-out errors of a log: their mean, and those at each level of noise."""
    with log.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["x0"]]
    return [float(rows[-1][column]) for column in ("x0", *(f"x0_{level}" for level in LEVELS))]


if __name__ == "__main__":
    main()
