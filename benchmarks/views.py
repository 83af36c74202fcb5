"""How many views of a subject are worth rendering: held-out PSNR of fits to more and more of them, at the mini preset.

    rodin synth --out out/lab --count 340 --views 24 --size 128 --seed 2031 --samples 4 --workers 2
    python benchmarks/views.py out/lab

The views that are held out are the same for all, and so is the decoder, which is learned on other subjects with all
their views. Fits are of half the preset's steps.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import torch

from rodin.data.captures import MultiView, load_subject, split_views
from rodin.data.subject_folders import list_subjects
from rodin.fit.measure import judge, overlap
from rodin.fit.palette import mean_colours
from rodin.fit.planes import fit_planes
from rodin.fit.scene import HeldOut, prepare
from rodin.fit.shared import learn_decoder
from rodin.materials import MATERIALS
from rodin.train.presets import mini

LEARNED, JUDGED = 16, 6  # subjects: of the decoder, and after them
COUNTS = (6, 9, 12, 16, 20)
HELD_OUT = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of subjects with 24 views and material maps")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    fitting = mini().fitting
    fit = replace(fitting.planes, steps=fitting.planes.steps // 2, held_out=HELD_OUT)
    config = replace(fitting.decoder, materials=len(MATERIALS))
    folders = list_subjects(arguments.data)[: LEARNED + JUDGED]
    subjects = [load_subject(folder, fit.image_size, maps=True) for folder in folders]
    learners, judged = subjects[:LEARNED], subjects[LEARNED:]
    scenes = [prepare(one, fit.samples, HELD_OUT)[0] for one in learners]
    palettes = torch.stack([mean_colours(scene) for scene in scenes])
    shared = replace(fitting.shared, steps=fitting.shared.steps // 2)
    learned = learn_decoder(scenes, config, shared, fit, seed=0, report=lambda _: None, palettes=palettes)
    print("| views | held-out PSNR | worst | IoU of skin, hair, top |\n|---|---|---|---|")
    rows = [MATERIALS.index(name) for name in ("skin", "hair", "top")]
    for count in COUNTS:
        found, overlaps = [], []
        for subject in judged:
            seen, held_out = parted(subject, count)
            scene, _ = prepare(seen, fit.samples, 0)
            palette = mean_colours(scene)
            fitted = fit_planes(scene, learned.decoder, learned.start, fit, seed=0, palette=palette)
            assert fitted.palette is not None
            found.append(judge(fitted.planes, learned.decoder, held_out, fitted.palette)[0])
            overlaps.append(overlap(fitted.planes, learned.decoder, held_out, fitted.palette)[rows].nanmean().item())
        print(f"| {count} | {fmean(found):.2f} dB | {min(found):.2f} dB | {fmean(overlaps):.3f} |", flush=True)


def parted(subject: MultiView, count: int) -> tuple[MultiView, HeldOut]:
    """The first `count` of the views that are not held out, which cover the sphere evenly, and those that are."""
    train, test = split_views(len(subject.images), HELD_OUT, frontal=subject.frontal)
    kept = train[:count]
    assert subject.shares is not None
    seen = replace(
        subject,
        images=subject.images[kept],
        shares=subject.shares[kept],
        camera=subject.camera[kept],
        frontal=kept.index(subject.frontal),
    )
    return seen, HeldOut(subject.camera[test], subject.images[test], subject.shares[test])


if __name__ == "__main__":
    main()
