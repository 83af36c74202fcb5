"""Do planes without colour make a better base model? The mini base model on plain planes and on planes of materials, at
equal time: errors of x_0, colours by region, likeness of held-out avatars and attributes read off them.

    rodin synth --out out/lab --count 340 --views 24 --size 128 --seed 2031 --samples 4 --workers 2
    python benchmarks/materials_lab.py out/lab --run out/lab-run --train plain --minutes 20
    python benchmarks/materials_lab.py out/lab --run out/lab-run --train materials --minutes 20
    python benchmarks/materials_lab.py out/lab --run out/lab-run

The two trainings may run side by side, on one thread each. Without --train the two are compared: the table goes to the
terminal, pictures to RUN/compared.png. Both are drawn at the base model's 32 x 32 texels, without the upsampler, which
would see plain planes and planes of materials alike; fits are of 64 x 64 texels, from views of 64 pixels: 300 in an
hour.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor

from rodin.data.captures import MultiView, front_views, load_subject
from rodin.data.subject_folders import list_subjects
from rodin.diffusion.losses import Diffusion
from rodin.evaluate.accuracy import judge
from rodin.evaluate.attribute_reader import AttributeReader, Lesson, read_size, train_reader
from rodin.fan_out import Pool
from rodin.fit.config import FittingConfig
from rodin.fit.subjects import fit_dataset, quality_table
from rodin.images import over, psnr, to_bytes
from rodin.materials import MATERIALS
from rodin.models.clip import Encoder
from rodin.models.denoiser import load_denoiser
from rodin.models.palette import PaletteConfig, PaletteNetwork
from rodin.models.statistics import load_statistics
from rodin.networks.unet import UNet, UNetConfig
from rodin.parts import load_component
from rodin.render.decoder import Decoder, DecoderConfig
from rodin.render.renderer import Renderer
from rodin.train.base import draw_residuals, train_base
from rodin.train.loop import LoopConfig
from rodin.train.palette import PaletteTraining, train_palette
from rodin.train.presets import mini
from rodin.train.subjects import load_subjects, split_subjects
from rodin.train.validate import LEVELS, validation

KINDS = ("plain", "materials")
REGIONS = ("skin", "hair", "top", "hat")
ATTRIBUTES = ("sex", "age", "skin", "hair", "hair_color", "beard", "glasses", "hat", "hat_color", "top", "top_color")
HELD_OUT_EVERY = 8
VIEWS = 4  # of a held-out subject
SIZE = 64
PALETTE = PaletteTraining(
    network=PaletteConfig(materials=len(MATERIALS)),
    loop=LoopConfig(steps=1500, batch_size=64, learning_rate=1e-3, ema_decay=0.995, weight_decay=0.05),
    held_out_every=HELD_OUT_EVERY,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of 300 subjects or more, with material maps")
    parser.add_argument("--run", type=Path, required=True, help="folder for the two runs")
    parser.add_argument("--encoder", type=Path, default=Path("weights/encoder"), help="gives the latents of both")
    parser.add_argument("--train", choices=KINDS, help="fit and train one of the two")
    parser.add_argument("--minutes", type=float, default=20.0, help="of training the base model")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.train:
        train(arguments.data, arguments.run / arguments.train, arguments.encoder, arguments.minutes)
    else:
        compare(arguments.data, arguments.run)


def train(data: Path, run: Path, encoder: Path, minutes: float) -> None:
    """Fits, with materials palettes, and the base model of one kind."""
    preset = mini()
    decoder = replace(preset.fitting.decoder, materials=len(MATERIALS) if run.name == "materials" else 0)
    planes = replace(preset.fitting.planes, plane_size=SIZE, image_size=SIZE, samples=SIZE, steps=240, rays=1024)
    shared = replace(preset.fitting.shared, steps=1200)
    if not (run / "encoder").exists():
        Encoder.from_pretrained(encoder).save_pretrained(run / "encoder")
    config = FittingConfig(decoder=decoder, shared=shared, planes=planes)
    fitted = fit_dataset(data, run, config, Pool(workers=1), seed=0)
    print("\n".join(quality_table(fitted)), flush=True)
    if decoder.materials:
        train_palette(run, PALETTE)
    train_base(run, replace(preset.base, held_out_every=HELD_OUT_EVERY), minutes / 60)


class Truth(NamedTuple):
    """A held-out subject."""

    subject: MultiView
    views: list[int]
    latent: Tensor  # [D]
    palette: Tensor  # [K, 3] of its fit


def compare(data: Path, run: Path) -> None:
    """The table and the pictures."""
    folders = list_subjects(data)
    count = len(load_subjects(run / "materials", 32, range(len(folders))).planes)
    trained, held_out = split_subjects(count, HELD_OUT_EVERY)
    unseen = load_subjects(run / "materials", 32, held_out)
    assert unseen.palettes is not None
    truth = [
        Truth(subject, front_views(subject.camera, subject.frontal)[:VIEWS], latent, palette)
        for subject, latent, palette in zip(
            (load_subject(folders[k], SIZE, maps=True) for k in held_out), unseen.latents, unseen.palettes, strict=True
        )
    ]
    print("| | " + " | ".join(f"x_0 at {level:g}" for level in LEVELS) + " |\n|---" * 1 + "|---" * len(LEVELS) + "|")
    for kind in KINDS:
        print(f"| {kind} | " + " | ".join(f"{error:.3f}" for error in errors(run / kind, held_out)) + " |")
    network = load_component(PaletteNetwork, PaletteConfig, run / "materials" / "palette").eval()
    foretold = network.palettes(unseen.latents)
    own = [one.palette for one in truth]
    drawn = {
        "real": [one.subject.images[one.views] for one in truth],
        "plain": draw(run / "plain", truth, [None] * len(truth)),
        "materials, true colours": draw(run / "materials", truth, own),
        "materials, foretold colours": draw(run / "materials", truth, list(foretold)),
    }
    reader, training = reader_of(folders, trained)
    regions = " | ".join(REGIONS)
    print(f"\n| | PSNR | {regions} | attributes read |\n|---|---|" + "---|" * (len(REGIONS) + 1))
    for name, pictures in drawn.items():
        likeness = fmean(
            psnr(over(seen, 1.0), over(one.subject.images[one.views], 1.0))
            for seen, one in zip(pictures, truth, strict=True)
        )
        colours = " | ".join(f"{error:.3f}" for error in region_errors(pictures, truth))
        read = judge(reader.read(torch.stack(pictures)), [one.subject.attributes for one in truth], training)
        right = fmean(one.accuracy for one in read.values() if one.count)
        print(f"| {name} | {likeness:.2f} dB | {colours} | {right:.1%} |", flush=True)
    rows = [
        torch.cat([over(pictures[k][view], 1.0) for pictures in drawn.values() for view in (0, -1)], dim=1)
        for k in range(min(10, len(truth)))
    ]
    sheet = Image.fromarray(to_bytes(torch.cat(rows)).numpy())
    sheet.resize((2 * sheet.width, 2 * sheet.height), Image.Resampling.BICUBIC).save(run / "compared.png")
    print(f"\n{run / 'compared.png'}: front and another view of held-out subjects; {', '.join(drawn)}")


def errors(run: Path, held_out: list[int]) -> list[float]:
    """Of x_0 at LEVELS, of held-out subjects."""
    base, diffusion = load_denoiser(UNet, UNetConfig, run / "base")
    unseen = load_subjects(run, base.config.size, held_out)
    clip = load_statistics(run / "planes").config.clip
    measure = validation(unseen.planes.float(), unseen.latents, Diffusion(diffusion, torch.device("cpu")), clip, 16)
    with torch.no_grad():
        return measure.figures(base)[1:]


def draw(run: Path, truth: list[Truth], palettes: list[Tensor] | list[None]) -> list[Tensor]:
    """What is drawn for the subjects' latents, seen as they were: N of [VIEWS, SIZE, SIZE, 4]."""
    base, diffusion = load_denoiser(UNet, UNetConfig, run / "base")
    decoder = load_component(Decoder, DecoderConfig, run / "decoder").requires_grad_(False)
    statistics = load_statistics(run / "planes").resized(base.config.size)
    config, z = base.config, torch.stack([one.latent for one in truth])
    shape = (len(truth), 3, config.in_channels, config.size, config.size)
    with torch.no_grad():
        planes = statistics.denormalize(draw_residuals(base, diffusion, z, shape, statistics, z.device))
    return [
        Renderer.trimmed(own, decoder, palette).image(one.subject.camera[one.views], 96)[0]
        for own, palette, one in zip(planes, palettes, truth, strict=True)
    ]


def region_errors(pictures: list[Tensor], truth: list[Truth]) -> list[float]:
    """Mean absolute error of the mean colour of each region, over the views that show enough of it."""
    found: dict[str, list[float]] = {name: [] for name in REGIONS}
    for seen, one in zip(pictures, truth, strict=True):
        assert one.subject.shares is not None
        for picture, view in zip(seen, one.views, strict=True):
            for name in REGIONS:
                mask = (one.subject.shares[view, ..., MATERIALS.index(name)] > 0.9) & (picture[..., 3] > 0.5)
                if mask.sum() > 40:
                    means = [image[..., :3][mask].mean(dim=0) for image in (picture, one.subject.images[view])]
                    found[name].append((means[0] - means[1]).abs().mean().item())
    return [fmean(values) if values else float("nan") for values in found.values()]


def reader_of(folders: list[Path], trained: list[int]) -> tuple[AttributeReader, list[dict[str, object]]]:
    """A reader of ATTRIBUTES, trained on views of the subjects that the base models were trained on."""
    pictures, owners, attributes = [], [], []
    for owner, index in enumerate(trained):
        subject = load_subject(folders[index])
        views = front_views(subject.camera, subject.frontal)[:8]
        pictures.append(to_bytes(read_size(subject.images[views])))
        owners += [owner] * len(views)
        attributes.append(subject.attributes)
    lesson = Lesson(torch.cat(pictures), torch.tensor(owners), torch.ones(len(owners)), attributes)
    return train_reader(lesson, ATTRIBUTES, steps=1200).eval(), attributes


if __name__ == "__main__":
    main()
