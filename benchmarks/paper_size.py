"""The paper's sizes, run for real: one training step of every network, and text to a 1024 x 1024 picture.

    python benchmarks/paper_size.py [--threads N] [--markdown FILE]

Each row is a process of its own, so that its peak memory is its own. Networks are untrained, planes are noise: what is
proven is that the shapes fit, that gradients reach every parameter that is trained, and what a step costs. A step is of
one sample; an optimizer would add 12 bytes a parameter (two moments and the moving average).
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from untrained import untrained

from rodin.avatars.drawing import Sampling
from rodin.avatars.pipeline import RodinPipeline
from rodin.camera import orbit
from rodin.diffusion.losses import Diffusion
from rodin.draws import Draws
from rodin.models.clip import small_clip
from rodin.models.perceptual import load_features
from rodin.models.prior import Prior
from rodin.models.refiner import Refiner
from rodin.models.statistics import PlaneStatistics, PlaneStatisticsConfig
from rodin.networks.unet import UNet
from rodin.render.decoder import Decoder
from rodin.train.presets import paper
from rodin.train.upsampler import predict_clean, rendered_losses

PRESET = paper()
CAPTION = "an old man with a white beard"
STEPS = 2  # of every sampler in the pass from text to picture


def parameters(network: nn.Module) -> float:
    """Millions of parameters."""
    return sum(parameter.numel() for parameter in network.parameters()) / 1e6


def backward(network: nn.Module, loss: Tensor) -> None:
    """Backward, and the check that every parameter got a finite gradient."""
    loss.backward()
    assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in network.parameters())


def half() -> torch.autocast:
    """bfloat16, as the preset trains."""
    return torch.autocast("cpu", torch.bfloat16)


def base_step() -> nn.Module:
    """epsilon, learned variance and the variational bound at 64 x 64 x 32 (Sec. 3.2)."""
    config = PRESET.base.network
    network = UNet(config)
    planes = torch.randn(1, 3, config.in_channels, config.size, config.size)
    z = nn.functional.normalize(torch.randn(1, 512), dim=-1)
    with half():
        loss = Diffusion(PRESET.base.diffusion).losses(lambda x, t: network(x, t, z), planes, Draws(0, 1))["loss"]
    backward(network, loss)
    return network


def upsampler_step() -> nn.Module:
    """L2 on planes of 256 x 256 x 32, pixels and perceptual distance of a rendered 112 x 112 patch (Sec. 3.3)."""
    config = PRESET.upsampler
    network = UNet(config.network)
    decoder = Decoder(PRESET.fitting.decoder).requires_grad_(False)
    features = load_features(small_clip(PRESET.encoder.network, [CAPTION]), None)
    size = config.network.size
    planes = torch.randn(1, 3, config.network.in_channels, size, size)
    with half():
        clean = predict_clean(network, planes, torch.zeros(1, 512), Diffusion(config.diffusion), config, Draws(0, 1))
    # Fog of noise planes fills the box: more samples count than in a head, so that this is an upper bound.
    pixel, perceptual = rendered_losses(clean, planes, decoder, features, config=config.patches, seeds=[0])
    error = (clean - planes).square().mean()
    backward(network, error + config.pixel_weight * pixel + config.perceptual_weight * perceptual)
    return network


def prior_step() -> nn.Module:
    """z_0 from noisy z under text."""
    network = Prior(PRESET.prior.network)
    encoder = small_clip(PRESET.encoder.network, [CAPTION])
    text = encoder.read([CAPTION])
    z = torch.randn(1, 1, 512, 1, 1)
    losses = Diffusion(PRESET.prior.diffusion).losses(lambda x, t: network(x, t, text), z, Draws(0, 1))
    losses["loss"].backward()
    return network


def refiner_step() -> nn.Module:
    """256 x 256 renders to 1024 x 1024."""
    config = PRESET.refiner
    network = Refiner(config.network)
    inputs = torch.rand(1, 5 + config.network.channels, config.image_size, config.image_size)
    network(inputs).square().mean().backward()
    return network


def text_to_picture() -> nn.Module:
    """Words to prior, base, upsampler, a rendering of 256 x 256 and the refiner's 1024 x 1024."""
    avatar = paper_sized()(CAPTION, sampling=Sampling(steps=STEPS, upsampling_steps=STEPS, candidates=1))[0]
    picture = avatar.render(orbit([0.0], [2.0], size=1024)[0], samples=64, refine=True)
    assert picture.shape == (1024, 1024, 4)
    assert torch.isfinite(picture).all()
    return nn.Module()


def paper_sized() -> RodinPipeline:
    """A pipeline of the paper's sizes with random weights."""
    size, decoder = PRESET.fitting.planes.plane_size, Decoder(PRESET.fitting.decoder).requires_grad_(False)
    config = PlaneStatisticsConfig(channels=decoder.config.channels, height=size, width=size, clip=5.0)
    return untrained(PRESET, decoder, PlaneStatistics(config), CAPTION)


ROWS: dict[str, Callable[[], nn.Module]] = {
    "base, forward + backward": base_step,
    "upsampler, forward + backward": upsampler_step,
    "prior, forward + backward": prior_step,
    "refiner, forward + backward": refiner_step,
    f"text to 1024 x 1024, {STEPS} steps a sampler": text_to_picture,
}


def measured(name: str, threads: int, answer: Connection) -> None:
    """Run a row in this process, and send what it cost."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    began = time.perf_counter()
    with FlopCounterMode(display=False) as counter:
        network = ROWS[name]()
    figures: dict[str, Any] = {
        "parameters": parameters(network),
        "tflop": counter.get_total_flops() / 1e12,
        "seconds": time.perf_counter() - began,
        "gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }
    answer.send(json.dumps(figures))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--markdown", type=Path, help="write the table to this file, too")
    arguments = parser.parse_args()
    lines = ["| | parameters | TFLOP | peak memory | seconds |", "|---|---|---|---|---|"]
    print("\n".join(lines), flush=True)
    context = multiprocessing.get_context("spawn")
    for name in ROWS:
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=measured, args=(name, arguments.threads, sender))
        process.start()
        sender.close()
        try:
            figures = json.loads(receiver.recv())
        except EOFError:
            raise SystemExit(f"{name}: failed or killed (out of memory?)") from None
        process.join()
        size = f"{figures['parameters']:.1f} M" if figures["parameters"] else ""
        lines.append(
            f"| {name} | {size} | {figures['tflop']:.3g} | {figures['gib']:.1f} GiB | {figures['seconds']:.0f} |"
        )
        print(lines[-1], flush=True)
    if arguments.markdown:
        arguments.markdown.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
