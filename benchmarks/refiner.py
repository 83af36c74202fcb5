"""What the refiner gains in sharpness, and what it costs in agreement between views.

    python benchmarks/refiner.py [DATA] [--run RUN] [--vgg FILE] [--subjects N]

RUN is a run folder with a refiner of the smoke preset (rodin train all). Judged are subjects that the refiner was not
trained on, whose planes RUN holds. "resized" is the render that the refiner reads, enlarged bicubically; "rendered" the
same planes at full size, without any refiner.

Sharpness: each kind of picture against the views of DATA, over white. Agreement: fresh planes are fitted to 20 views of
one avatar, all of one kind, and judged by PSNR on 4 more views of that kind. No planes can meet views that contradict
each other.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from rodin.camera import Camera, orbit
from rodin.data.captures import MultiView, load_subject
from rodin.data.shards import FittedSubject
from rodin.fit.measure import judge
from rodin.fit.planes import FitConfig, fit_planes
from rodin.fit.run_folder import read_start
from rodin.fit.scene import prepare
from rodin.images import over, straight
from rodin.models.clip import Encoder
from rodin.models.perceptual import load_features
from rodin.models.refiner import Refiner, RefinerConfig, enlarge_picture, refine, render_inputs
from rodin.parts import load_component
from rodin.render.decoder import Decoder, DecoderConfig
from rodin.render.renderer import Renderer
from rodin.train.image_quality import FIGURES, image_quality
from rodin.train.presets import smoke
from rodin.train.subjects import split_subjects

VIEWS, HELD_OUT, SAMPLES = 24, 4, 128
KINDS = ("resized", "refined", "rendered")


def pictures(refiner: Refiner, fitted: FittedSubject, decoder: Decoder, camera: Camera) -> dict[str, Tensor]:
    """The three kinds of pictures [V, H, W, 4], straight RGBA, of an avatar from V cameras."""
    renderer = Renderer.culled(fitted.planes, decoder, fitted.palette)
    scale = refiner.config.scale
    small = camera.resized(camera.width // scale, camera.height // scale)
    resized = enlarge_picture(render_inputs(renderer, small, SAMPLES), scale).movedim(1, -1)
    alpha = resized[..., 3].clamp(0, 1)
    return {
        "resized": torch.cat([straight(resized[..., :3], alpha), alpha[..., None]], dim=-1).clamp(0, 1),
        "refined": refine(refiner, renderer, camera, SAMPLES),
        "rendered": renderer.image(camera, SAMPLES)[0],
    }


def refit(
    images: Tensor, camera: Camera, decoder: Decoder, start: Tensor, fit: FitConfig, palette: Tensor | None
) -> float:
    """PSNR in dB, on held-out views, of planes fitted to the others, beginning at a palette [K, 3] if there is one."""
    views = MultiView(
        name="re-fit",
        folder=Path("re-fit"),
        images=images,
        camera=camera,
        caption="",
        captions=(),
        attributes={},
        frontal=0,
    )
    scene, held_out = prepare(views, fit.samples, HELD_OUT)
    fitted = fit_planes(scene, decoder, start, fit, seed=0, palette=palette)
    return judge(fitted.planes, decoder, held_out, fitted.palette)[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", type=Path, default=Path("examples/avatars"))
    parser.add_argument("--run", type=Path, default=Path("out/smoke/run"))
    parser.add_argument("--vgg", type=Path, default=None, help="VGG-16's weights, to measure perceptual distance by")
    parser.add_argument("--subjects", type=int, default=4, help="how many subjects are judged")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    began = time.process_time()
    run, preset = arguments.run, smoke()
    refiner = load_component(Refiner, RefinerConfig, run / "refiner")
    decoder = load_component(Decoder, DecoderConfig, run / "decoder").requires_grad_(False)
    features = load_features(Encoder.from_pretrained(run / "encoder"), arguments.vgg)
    size, fit, start = preset.refiner.image_size * refiner.config.scale, preset.fitting.planes, read_start(run)
    subjects = list(preset.refiner.source(arguments.data, run, decoder).fitted())
    trained, held_out = split_subjects(len(subjects))
    chosen = (held_out or trained)[: arguments.subjects]
    camera = orbit([15.0 * k * 7 for k in range(VIEWS)], [40.0 * (k / VIEWS) - 10.0 for k in range(VIEWS)], size=size)

    quality: dict[str, list[list[float]]] = {kind: [] for kind in KINDS}
    agreement: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for index in tqdm(chosen, desc="judging", leave=False):
        folder, fitted = subjects[index]
        views = load_subject(folder, size)
        for kind, images in pictures(refiner, fitted, decoder, views.camera).items():
            seen, true = over(images, 1.0).movedim(-1, 1), over(views.images, 1.0).movedim(-1, 1)
            for one, other in zip(seen.split(1), true.split(1), strict=True):
                quality[kind].append(list(image_quality(one, other, features).values()))
        for kind, images in pictures(refiner, fitted, decoder, camera).items():
            agreement[kind].append(refit(images, camera, decoder, start, fit, palette=fitted.palette))
    whose = "held-out" if held_out else "training"
    print(f"{len(chosen)} {whose} subjects of {arguments.data}, {size // refiner.config.scale} -> {size} pixels")
    print(f"refiner trained with {refiner.config.perceptual}, perceptual distance by {features.name}")
    print(f"{'':10}" + "".join(f"{name:>12}" for name in FIGURES) + f"{'re-fit PSNR':>14}")
    for kind in KINDS:
        psnr, ssim, perceptual, sharpness = torch.tensor(quality[kind]).mean(dim=0).tolist()
        again = sum(agreement[kind]) / len(agreement[kind])
        print(f"{kind:10}{psnr:12.2f}{ssim:12.3f}{perceptual:12.4f}{sharpness:12.2f}{again:14.2f}")
    print(f"{time.process_time() - began:.0f} CPU-seconds")


if __name__ == "__main__":
    main()
