"""How clean a domain fitted planes are for a diffusion to learn, by the settings of the fit, at the mini preset.

Every subject is fitted twice from other random numbers. What the two fits differ by says nothing of the subject: it
is noise that the diffusion would have to learn. It is given as a share of the variance between subjects, at the planes'
own size and at the base model's, beside the PSNR of held-out views: of the planes, and of the base model's small planes
enlarged again.

    rodin synth --out out/domain --count 30 --views 24 --size 128 --seed 2027 --samples 8 --workers 2
    python benchmarks/fit_domain.py out/domain
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from rodin.data.captures import load_subject
from rodin.data.subject_folders import list_subjects
from rodin.fit.measure import judge
from rodin.fit.planes import FitConfig, fit_planes
from rodin.fit.scene import prepare
from rodin.fit.shared import learn_decoder
from rodin.train.presets import mini
from rodin.triplane import resize

JUDGED = 6  # subjects; the decoder is learned on the others


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of 30 subjects in pictures of 128 pixels")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    preset = mini()
    fit, small = preset.fitting.planes, preset.base.network.size
    decoder_config = dataclasses.replace(preset.fitting.decoder, materials=0)  # of captures without maps
    subjects = [load_subject(folder, fit.image_size) for folder in list_subjects(arguments.data)]
    print(f"| settings | PSNR | of planes of {small} | two fits differ | at {small} |\n|---|---|---|---|---|")
    for label, config in settings(fit):
        scenes = [prepare(one, config.samples, config.held_out)[0] for one in subjects[JUDGED:]]
        shared = learn_decoder(scenes, decoder_config, preset.fitting.shared, config, 0, lambda _: None)
        decoder, start = shared.decoder, shared.start
        fits: list[list[Tensor]] = [[], []]
        psnr, small_psnr = [], []
        for subject in subjects[:JUDGED]:
            scene, held_out = prepare(subject, config.samples, config.held_out)
            for seed in range(2):
                fits[seed].append(fit_planes(scene, decoder, start, config, seed).planes)
            planes = fits[0][-1]
            enlarged = resize(resize(planes, small, small), *planes.shape[-2:])
            psnr.append(judge(planes, decoder, held_out)[0])
            small_psnr.append(judge(enlarged, decoder, held_out)[0])
        one, other = (torch.stack(found) for found in fits)
        low, other_low = (torch.stack([resize(p, small, small) for p in both]) for both in (one, other))
        print(
            f"| {label} | {sum(psnr) / JUDGED:.2f} dB | {sum(small_psnr) / JUDGED:.2f} dB "
            f"| {noise_share(one, other):.1%} | {noise_share(low, other_low):.1%} |",
            flush=True,
        )


def settings(fit: FitConfig) -> Iterator[tuple[str, FitConfig]]:
    """The settings that are compared, each with a label."""
    for smallest, smooth in ((0.5, 2e-3), (0.25, 2e-3), (0.25, 8e-3), (0.25, 1e-2), (0.25, 2e-2)):
        loss = dataclasses.replace(fit.loss, smooth=smooth)
        config = dataclasses.replace(fit, smallest_scale=smallest, loss=loss)
        yield f"sizes from {smallest:g}, smooth {smooth:g}", config


def noise_share(one: Tensor, other: Tensor) -> float:
    """Variance between two fits of one subject over that between subjects, of planes [N, 3, C, H, W] each."""
    between = (one - one.mean(dim=0)).square().mean()
    return float((one - other).square().mean() / 2 / between)


if __name__ == "__main__":
    main()
