"""What view direction, Fourier frequencies and a hidden colour layer cost and bring.

    python benchmarks/decoder.py [DATA] [--subjects N]

Time is forward plus backward of 20 000 samples, look-up included, on one thread: medians of alternating rounds
relative to the first row. PSNR is that of held-out views, fitted as in `benchmarks/fit.py`.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from fit import FIT, SHARED, fit_unseen

from rodin import triplane
from rodin.data.subject_folders import list_subjects
from rodin.fit.measure import judge
from rodin.render.decoder import Decoder, DecoderConfig

SAMPLES, ROUNDS = 20_000, 15
CONFIGS = {
    "no direction": DecoderConfig(channels=16, view_direction=False),
    "direction (mini)": DecoderConfig(channels=16),
    "direction, linear colour": DecoderConfig(channels=16, colour_layers=0),
    "direction, 2 frequencies": DecoderConfig(channels=16, frequencies=2),
}


def step_seconds() -> dict[str, float]:
    """Median seconds of a forward and backward pass for every config, in alternation."""
    generator = torch.Generator().manual_seed(0)
    planes = torch.randn(3, 16, 64, 64, generator=generator, requires_grad=True)
    points = torch.rand(SAMPLES, 3, generator=generator) * 2 - 1
    directions = F.normalize(torch.randn(SAMPLES, 3, generator=generator), dim=-1)
    decoders = {name: Decoder(config) for name, config in CONFIGS.items()}
    seconds: dict[str, list[float]] = {name: [] for name in CONFIGS}
    for _ in range(ROUNDS):
        for name, decoder in decoders.items():
            began = time.process_time()
            density, colour = decoder(triplane.sample(planes, points), directions)
            (density.mean() + colour.mean()).backward()
            seconds[name].append(time.process_time() - began)
    return {name: statistics.median(values) for name, values in seconds.items()}


def held_out_psnr(config: DecoderConfig, folders: list[Path], label: str) -> float:
    """Mean PSNR in dB over the subjects after the decoder's own."""
    fits = fit_unseen(folders, config, FIT, label)
    return statistics.mean(judge(planes, decoder, held_out)[0] for planes, decoder, held_out, _ in fits)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", type=Path, default=Path("examples/avatars"))
    parser.add_argument("--subjects", type=int, default=4, help="how many subjects are fitted and judged")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    folders = list_subjects(arguments.data)[: SHARED.subjects + arguments.subjects]
    seconds = step_seconds()
    first = next(iter(seconds.values()))
    print("decoder                     time      PSNR")
    for name, config in CONFIGS.items():
        print(f"{name:26} {seconds[name] / first:4.2f}x {held_out_psnr(config, folders, name):8.2f} dB")


if __name__ == "__main__":
    main()
