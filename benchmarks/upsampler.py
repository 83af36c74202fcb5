"""What the upsampler brings over bicubic resizing, on subjects that no stage of the run has seen.

    python benchmarks/upsampler.py [RUN] [DATA] [--steps N] [--scale N] [--vgg FILE]

Fits each subject in DATA with the run's decoder and settings, reduces the planes, and enlarges them again: by bicubic
resizing of the planes, of their residuals from the mean planes (stronger: the mean keeps its detail), and by the
upsampler. All are rendered without culling from the views that the fit did not see. Printed are means over subjects,
against the renders of the fitted planes and against the views themselves, and the mean of the paired differences from
the stronger bicubic with its standard error. The target is that the upsampler wins in PSNR and in perceptual distance.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from rodin.data.subject_folders import list_subjects
from rodin.files import read_json
from rodin.fit.palette import mean_colours
from rodin.fit.planes import FitConfig, fit_planes
from rodin.fit.run_folder import SETTINGS_NAME, read_start
from rodin.fit.scene import HeldOut, prepare
from rodin.fit.subject import load_for
from rodin.images import over, psnr
from rodin.models.clip import Encoder
from rodin.models.denoiser import load_denoiser
from rodin.models.perceptual import Features, load_features, perceptual_distance
from rodin.models.statistics import load_statistics
from rodin.models.upsampler import takes_latent, upsample
from rodin.networks.unet import UNet, UNetConfig
from rodin.parts import config_from_dict, load_component
from rodin.render.decoder import Decoder, DecoderConfig
from rodin.render.renderer import render_image
from rodin.triplane import resize

FITTED, PLANES, RESIDUAL, UPSAMPLED = "fitted planes", "bicubic planes", "bicubic residuals", "upsampler"


def bicubic(planes: Tensor, size: int) -> Tensor:
    """[3, C, h, w] -> [3, C, size, size]"""
    return F.interpolate(planes, (size, size), mode="bicubic", align_corners=False)


def render(planes: Tensor, decoder: Decoder, held_out: HeldOut, palette: Tensor | None) -> Tensor:
    """[V, 3, H, W] over white, from the held-out views."""
    image = render_image(planes, decoder, held_out.camera, samples=128, palette=palette)[0]
    return over(image, 1.0).permute(0, 3, 1, 2)


def compare(features: Features, images: Tensor, wanted: Tensor) -> tuple[float, float]:
    """PSNR in dB and perceptual distance, over all views."""
    return psnr(images, wanted), perceptual_distance(features, images, wanted).mean().item()


@torch.no_grad()
def measure(run: Path, data: Path, steps: int, scale: int, encoder: Encoder, features: Features) -> dict[str, Tensor]:
    """[subjects, 4] of every way: PSNR and distance to the fitted planes' renders, then to the views."""
    decoder = load_component(Decoder, DecoderConfig, run / "decoder").requires_grad_(False)
    network, diffusion = load_denoiser(UNet, UNetConfig, run / "upsampler")
    statistics, start = load_statistics(run / "planes"), read_start(run)
    settings = read_json(run / SETTINGS_NAME)
    seed = settings.pop("seed")
    fit = config_from_dict(FitConfig, settings, str(run / SETTINGS_NAME))
    size, clip = fit.plane_size, statistics.config.clip
    rows: dict[str, list[list[float]]] = {name: [] for name in (FITTED, PLANES, RESIDUAL, UPSAMPLED)}
    for index, folder in enumerate(tqdm(list_subjects(data), desc="subjects", leave=False)):
        subject = load_for(decoder.config, folder, fit.image_size)
        scene, held_out = prepare(subject, fit.samples, fit.held_out)
        begin = mean_colours(scene) if decoder.config.materials else None
        with torch.enable_grad():
            fitted, palette = fit_planes(scene, decoder, start, fit, seed, palette=begin)
        residual = statistics.normalize(fitted)
        low_res = resize(residual, size // scale, size // scale)
        generators = [torch.Generator().manual_seed(index)]
        z = encoder.encode_images(subject.images[subject.frontal][None]) if takes_latent(network.config) else None
        drawn = upsample(network, diffusion, low_res[None], size, generators, steps, clip, z=z)[0]
        ways = {
            FITTED: fitted,
            PLANES: bicubic(resize(fitted, size // scale, size // scale), size),
            RESIDUAL: statistics.denormalize(bicubic(low_res, size)),
            UPSAMPLED: statistics.denormalize(drawn),
        }
        true, views = render(fitted, decoder, held_out, palette), over(held_out.images, 1.0).permute(0, 3, 1, 2)
        for name, planes in ways.items():
            images = render(planes, decoder, held_out, palette)
            rows[name].append([*compare(features, images, true), *compare(features, images, views)])
    return {name: torch.tensor(values) for name, values in rows.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "run",
        nargs="?",
        type=Path,
        default=Path("out/smoke/run"),
        help="a run folder with encoder, decoder, planes and upsampler",
    )
    parser.add_argument("data", nargs="?", type=Path, default=Path("out/heldout"), help="subjects that it never saw")
    parser.add_argument("--steps", type=int, default=3, help="denoising steps of the upsampler")
    parser.add_argument("--scale", type=int, default=4, help="how much smaller the low-resolution planes are")
    parser.add_argument("--vgg", type=Path, help="VGG-16's weights, to judge by them and not by the run's encoder")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    encoder = Encoder.from_pretrained(arguments.run / "encoder")
    features = load_features(encoder, arguments.vgg)
    table = measure(arguments.run, arguments.data, arguments.steps, arguments.scale, encoder, features)
    count = len(table[FITTED])
    print(f"{count} subjects of {arguments.data}, {arguments.steps} steps, perceptual distance by {features.name}")
    print("                     to the fitted planes      to the held-out views")
    print("                      PSNR    perceptual        PSNR    perceptual")
    for name, values in table.items():
        psnr, distance, view_psnr, view_distance = values.mean(dim=0).tolist()
        known = "       -             -" if name == FITTED else f"{psnr:8.2f} {distance:13.5f}"
        print(f"{name:18} {known} {view_psnr:11.2f} {view_distance:13.5f}")
    difference = table[UPSAMPLED] - table[RESIDUAL]
    mean, error = difference.mean(dim=0).tolist(), (difference.std(dim=0) / math.sqrt(count)).tolist()
    print(f"upsampler - {RESIDUAL}, paired: PSNR {mean[0]:+.2f} +- {error[0]:.2f} dB", end="")
    print(f", perceptual {mean[1]:+.5f} +- {error[1]:.5f}")


if __name__ == "__main__":
    main()
