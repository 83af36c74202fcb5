"""The avatars that the benchmarks render: real fits, made once and kept under out/bench.

Two decoders. "mini" is the mini preset's. "EG3D" has the shape of EG3D's, 32 -> 64 softplus -> 33: density and 32
channels of colour, of which the first three were learned and the others are random, as no pictures have 32 channels.
Each is learned on some subjects of examples/avatars at 64x64, and fits of others to the same views start from the mean
planes that come out, enlarged for the planes of 256x256.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from timing import progress
from torch import Tensor

from rodin import triplane
from rodin.data.captures import load_subject
from rodin.data.subject_folders import list_subjects
from rodin.files import atomic_path
from rodin.fit.planes import FitConfig, fit_planes
from rodin.fit.scene import Scene, prepare
from rodin.fit.shared import SharedConfig, learn_decoder
from rodin.parts import load_component, noted, save_component
from rodin.render.decoder import Decoder, DecoderConfig

DATA, CACHE = Path("examples/avatars"), Path("out/bench")
DECODERS = {
    "mini": DecoderConfig(channels=16, hidden=32),
    "EG3D": DecoderConfig(channels=32, hidden=64, colour_layers=0, view_direction=False, activation="softplus"),
}
COLOURS = {"mini": 3, "EG3D": 32}
PLANE_SIZES = (64, 256)
SHARED = SharedConfig(subjects=8, common_steps=80, steps=400)
FIT = FitConfig(plane_size=64, image_size=64, samples=64, steps=300, rays=1024, learning_rate=0.15, held_out=4)
SUBJECTS = 2  # fitted ones; the decoder has seen neither


@dataclass(frozen=True, slots=True)
class Fitted:
    """Fits under one decoder."""

    decoder: Decoder
    planes: list[Tensor]  # [3, C, H, W] each


def learned_decoder(
    config: DecoderConfig, shared: SharedConfig, fit: FitConfig, data: Path = DATA
) -> tuple[Decoder, Tensor]:
    """A decoder learned on the first subjects of `data`, and the planes that fits start from; kept under CACHE."""
    settings = json.dumps([noted(config), noted(shared), noted(fit), str(data)])
    folder = CACHE / f"decoder-{hashlib.sha256(settings.encode()).hexdigest()[:12]}"
    if not folder.exists():
        progress(f"learning a decoder of {config.channels} channels on {shared.subjects} subjects of {data}")
        scenes = [scene_of(folder, fit) for folder in list_subjects(data)[: shared.subjects]]
        decoder, start, _ = learn_decoder(scenes, config, shared, fit, 0, lambda _loss: None)
        save_component(decoder, folder)
        with atomic_path(folder / "start.safetensors") as temporary:
            save_file({"planes": start}, temporary)
    start = load_file(folder / "start.safetensors")["planes"]
    return load_component(Decoder, DecoderConfig, folder).requires_grad_(False), start


def scene_of(folder: Path, fit: FitConfig) -> Scene:
    """A subject made ready for fitting."""
    return prepare(load_subject(folder, fit.image_size), fit.samples, fit.held_out)[0]


def fitted(name: str, plane_size: int) -> Fitted:
    """SUBJECTS avatars under the decoder `name` of DECODERS; kept under CACHE."""
    decoder, start = learned_decoder(DECODERS[name], SHARED, FIT)
    # The texels of finer planes differ less: the same penalty on the same surface wants a larger weight.
    smooth = FIT.loss.smooth * (plane_size / FIT.plane_size) ** 2
    fit = replace(FIT, plane_size=plane_size, loss=replace(FIT.loss, smooth=smooth))
    path = CACHE / f"planes-{name}-{plane_size}.safetensors"
    if not path.exists():
        folders = list_subjects(DATA)[SHARED.subjects : SHARED.subjects + SUBJECTS]
        planes = {}
        for folder in folders:
            progress(f"fitting {folder.name} with the {name} decoder at {plane_size}x{plane_size}")
            begin = triplane.resize(start, plane_size, plane_size)
            planes[folder.name] = fit_planes(scene_of(folder, fit), decoder, begin, fit, seed=0).planes.contiguous()
        with atomic_path(path) as temporary:
            save_file(planes, temporary)
    return Fitted(widened(decoder, COLOURS[name]), list(load_file(path).values()))


def widened(decoder: Decoder, colours: int) -> Decoder:
    """A decoder with more channels of colour: random ones after those that it has."""
    old, wide = decoder.state_dict(), Decoder(replace(decoder.config, colours=colours))
    generator = torch.Generator().manual_seed(0)
    for name, values in wide.state_dict().items():
        values.copy_(torch.randn(values.shape, generator=generator) / decoder.config.hidden**0.5)
        if name.endswith("bias"):
            values.zero_()
        values[: len(old[name])] = old[name]
    return wide.requires_grad_(False).eval()
