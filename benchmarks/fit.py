"""Quality and cost of fitting at 64x64 with the mini decoder, with and without random rescaling.

    python benchmarks/fit.py [DATA] [--subjects N]

Targets (with random rescaling): mean held-out PSNR >= 30 dB over 20 training views, un-culled; no subject below 26 dB;
<= 12 CPU-seconds a subject; <= 3 dB lost when the fitted planes are halved. Held-out PSNR is taken over white. No
judged subject is among those that the decoder was learned on.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from rodin import triplane
from rodin.data.captures import load_subject
from rodin.data.subject_folders import list_subjects
from rodin.fit.measure import judge
from rodin.fit.planes import FitConfig, fit_planes
from rodin.fit.scene import HeldOut, prepare
from rodin.fit.shared import SharedConfig, learn_decoder
from rodin.render.decoder import Decoder, DecoderConfig
from rodin.train.presets import mini

FIT = FitConfig(plane_size=64, image_size=64, samples=64, steps=300, rays=1024, learning_rate=0.15, held_out=4)
DECODER = replace(mini().fitting.decoder, materials=0)  # what it says of rescaling holds for any decoder
SHARED = SharedConfig(subjects=8, common_steps=80, steps=400)


def fit_unseen(
    folders: list[Path], config: DecoderConfig, fit: FitConfig, label: str
) -> Iterator[tuple[Tensor, Decoder, HeldOut, float]]:
    """Learn a decoder on the first subjects; of each other one the planes, decoder, held-out views, CPU-seconds."""
    own = folders[: SHARED.subjects]
    scenes = [prepare(load_subject(f, fit.image_size), fit.samples, fit.held_out)[0] for f in own]
    decoder, start, _ = learn_decoder(scenes, config, SHARED, fit, 0, lambda _loss: None)
    for folder in tqdm(folders[SHARED.subjects :], desc=label, leave=False):
        began = time.process_time()
        scene, held_out = prepare(load_subject(folder, fit.image_size), fit.samples, fit.held_out)
        planes = fit_planes(scene, decoder, start, fit, seed=0).planes
        yield planes, decoder, held_out, time.process_time() - began


def measure(folders: list[Path], fit: FitConfig, label: str) -> tuple[float, ...]:
    """Mean PSNR, worst PSNR, mean SSIM, mean PSNR of halved planes (dB), mean CPU-seconds a subject."""
    rows = []
    for planes, decoder, held_out, seconds in fit_unseen(folders, DECODER, fit, label):
        psnr, ssim = judge(planes, decoder, held_out)
        half = fit.plane_size // 2
        halved, _ = judge(triplane.resize(planes, half, half), decoder, held_out)
        rows.append((psnr, ssim, halved, seconds))
    table = torch.tensor(rows)
    psnr, ssim, halved, seconds = table.mean(dim=0).tolist()
    return psnr, table[:, 0].min().item(), ssim, halved, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", type=Path, default=Path("examples/avatars"))
    parser.add_argument("--subjects", type=int, default=12, help="how many subjects are fitted and judged")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    folders = list_subjects(arguments.data)[: SHARED.subjects + arguments.subjects]
    print(f"{len(folders) - SHARED.subjects} subjects of {arguments.data}, 64x64, planes 3x16x64x64, one thread")
    print("random rescaling    PSNR  worst   SSIM   halved    lost   CPU-s a subject")
    for label, fit in (("with", FIT), ("without", replace(FIT, rescale=0.0))):
        psnr, worst, ssim, halved, seconds = measure(folders, fit, label)
        print(f"{label:16} {psnr:7.2f} {worst:6.2f} {ssim:6.3f} {halved:8.2f} {psnr - halved:7.2f} {seconds:17.1f}")


if __name__ == "__main__":
    main()
