"""What a base model owes to its subjects: its error on those that it was trained on and on those kept from it.

Where the two lie apart, more subjects would help; where they do not, more samples or a larger network. The error
without z, beside them, is what the noisy planes say by themselves. Figures as of `rodin.train.validate`, in units of
the planes' variance, in columns by the noise's share of the variance of what the network sees.

    python benchmarks/generalisation.py RUN [--count 48]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from claims import table

from rodin.data.shards import read_index
from rodin.diffusion.losses import Diffusion
from rodin.models.denoiser import load_denoiser
from rodin.models.statistics import load_statistics
from rodin.networks.unet import UNet, UNetConfig
from rodin.train.presets import mini
from rodin.train.subjects import load_subjects, split_subjects
from rodin.train.validate import LEVELS, validation

BATCH = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run folder with planes/, encoder/ and base/, of the mini preset")
    parser.add_argument("--count", type=int, default=48, help="subjects of each kind")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    run = arguments.run
    network, diffusion = load_denoiser(UNet, UNetConfig, run / "base")
    noising, clip = Diffusion(diffusion, torch.device("cpu")), load_statistics(run / "planes").config.clip
    trained, held_out = split_subjects(read_index(run / "planes").count, mini().base.held_out_every)
    every = max(1, len(trained) // arguments.count)
    rows = []
    for name, chosen in (("trained", trained[::every]), ("held out", held_out)):
        planes, latents, _ = load_subjects(run, network.config.size, chosen[: arguments.count])
        for label, z in ((name, latents), (f"{name}, no z", torch.zeros_like(latents))):
            found = validation(planes, z, noising, clip, BATCH).figures(network)
            rows.append([label, str(len(planes)), *(f"{error:.4f}" for error in found)])
    print(table(["subjects", "number", "mean", *map(str, LEVELS)], rows))


if __name__ == "__main__":
    main()
