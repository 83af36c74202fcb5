"""How much work a run is, stage by stage, in the units that machines are measured in.

Rendering and fitting are many tasks that know nothing of each other. Training is steps that all devices make together.
Operations of networks are counted from their graph, forward once and backward as two forwards.

Symbols: N avatars, V views of each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil
from typing import Literal

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from rodin.models.clip import EncoderConfig, small_clip
from rodin.models.palette import PaletteNetwork
from rodin.models.refiner import PICTURE_CHANNELS, Refiner
from rodin.networks.unet import UNet, UNetConfig
from rodin.plan.machine import Machine
from rodin.render.decoder import DecoderConfig
from rodin.train.loop import LoopConfig
from rodin.train.presets import Preset, mini

VIEW_BYTES = 0.3  # a pixel of a view and its material map, as WebP: 100 KB for 20 views of 128 x 128
FRONTAL_BYTES = 2.0  # a pixel of the frontal image beside fitted planes, as PNG
TRAINED = 3  # forward passes that a training step costs: one forward, two backward
GRADIENT_BYTES = 4  # a parameter
FORWARD_SHARE = 1 / 3  # of a ray's cost in a fit, where nothing is learned from it

Kind = Literal["tasks", "alone", "steps"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """One stage of a run.

    Args:
        name: as its command is called.
        kind: "tasks" that know nothing of each other, "alone" on one core, or "steps" of all devices together.
        count: tasks, or steps.
        seconds: a core's for a task or for all that is done alone; a device's for a whole step.
        read_bytes, write_bytes: of a task, or of the whole stage.
        parameters: whose gradients the devices of "steps" exchange.
        batch: samples of a step, which devices share; more devices than samples are of no use.
    """

    name: str
    kind: Kind
    count: int
    seconds: float
    read_bytes: float = 0.0
    write_bytes: float = 0.0
    parameters: int = 0
    batch: int = 1

    @property
    def total_seconds(self) -> float:
        """Of one core or device that does it all."""
        return self.seconds if self.kind == "alone" else self.count * self.seconds


def stages(
    preset: Preset, machine: Machine, avatars: int, views: int, size: int, samples: int, batch: int = 1
) -> list[Stage]:
    """The stages of `rodin synth` and `rodin train all`.

    Args:
        size: of the views, in pixels.
        samples: rays a pixel of the views.
        batch: samples of a training step on all devices together, where the preset has fewer: steps become fewer, and
            the networks see as many samples. More devices than that are of no use.
    """
    fitting, fit = preset.fitting, preset.fitting.planes
    ray = (
        machine.fit_us * 1e-6 * fit.samples / 96 * decoder_cost(fitting.decoder) / decoder_cost(mini().fitting.decoder)
    )
    view = machine.view_s * (size / 128) ** 2 * samples / 8
    shots = VIEW_BYTES * views * size**2
    planes = 2 * 3 * fitting.decoder.channels * fit.plane_size**2 + FRONTAL_BYTES * fit.image_size**2
    shared = fitting.shared
    upsampler, refiner = preset.upsampler, preset.refiner
    pairs = min(avatars, refiner.subjects) * refiner.views
    device = 1e9 * machine.train_gflops
    drawn = 2 * upsampler.rendered * upsampler.patches.size**2 * ray * (upsampler.patches.samples / fit.samples)
    large = refiner.image_size * refiner.network.scale
    found = [
        Stage(name="synth", kind="tasks", count=avatars, seconds=machine.subject_s + views * view, write_bytes=shots),
        _training(
            "encoder",
            encoder_operations(preset.encoder.network),
            preset.encoder.loop,
            device,
            batch,
            read=avatars * shots,
        ),
        Stage(
            name="fit: decoder",
            kind="alone",
            count=1,
            seconds=(shared.common_steps + shared.steps) * fit.rays * ray,
            read_bytes=min(avatars, shared.subjects) * shots,
        ),
        Stage(
            name="fit",
            kind="tasks",
            count=avatars,
            seconds=machine.fit_s * (fit.image_size / 128) ** 2 + fit.steps * fit.rays * ray,
            read_bytes=shots,
            write_bytes=planes,
        ),
        _training("base", unet_operations(preset.base.network), preset.base.loop, device, batch, read=avatars * planes),
        _training("prior", _prior_operations(preset), preset.prior.loop, device, batch, read=avatars * planes),
    ]
    if preset.palette is not None:
        network = preset.palette.network
        latent = torch.empty(1, network.latent_dim, device="meta")
        operations = _counted(lambda: PaletteNetwork(network), lambda module: module(latent))
        found.append(_training("palette", operations, preset.palette.loop, device, batch, read=avatars * planes))
    found += [
        _training(
            "upsampler",
            unet_operations(upsampler.network),
            upsampler.loop,
            device,
            batch,
            read=avatars * planes,
            beside=drawn,
        ),
        Stage(
            name="refiner: renders",
            kind="alone",
            count=1,
            seconds=pairs * refiner.image_size**2 * ray * FORWARD_SHARE * refiner.samples / fit.samples,
            read_bytes=pairs * VIEW_BYTES * large**2,
        ),
        _training("refiner", _refiner_operations(preset), refiner.loop, device, batch),
    ]
    return found


def decoder_cost(config: DecoderConfig) -> float:
    """What a sample costs: the texels that are looked up, and the products of the decoder."""
    inner = config.channels * (1 + 2 * config.frequencies) * config.hidden
    return 12 * config.channels + inner + config.colour_layers * config.hidden**2 + 2 * config.materials * config.hidden


def unet_operations(config: UNetConfig) -> tuple[float, int]:
    """Operations of a forward pass of one sample, and parameters; its sketch, one product of a matrix, left out."""
    if config.sketch_rank:
        config = replace(config, sketch_rank=0, condition_channels=config.in_channels)
    x = torch.empty(1, 3, config.in_channels, config.size, config.size, device="meta")
    t, vector, low = torch.empty(1, device="meta"), None, None
    if config.latent_dim:
        vector = torch.empty(1, config.latent_dim, device="meta")
    if config.condition_channels:
        low = torch.empty(1, 3, config.condition_channels, config.size // 2, config.size // 2, device="meta")
    return _counted(lambda: UNet(config), lambda network: network(x, t, vector, low))


def encoder_operations(config: EncoderConfig) -> tuple[float, int]:
    """Likewise of an encoder, which sees two pictures and reads a caption."""
    with torch.device("cpu"):
        encoder = small_clip(config, ["a head"]).requires_grad_(False)
    image = torch.zeros(2, config.image_size, config.image_size, 3)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        encoder.encode_images(image)
        encoder.encode_texts(["a head " * (config.context // 2)])
    return float(counter.get_total_flops()), sum(value.numel() for value in encoder.parameters())


def _prior_operations(preset: Preset) -> tuple[float, int]:
    """Of a transformer: two operations a parameter and token; captions have some 32 tokens, beside z and time."""
    network = preset.prior.network
    parameters = 12 * network.layers * network.width**2
    return 2.0 * parameters * 36, parameters


def _refiner_operations(preset: Preset) -> tuple[float, int]:
    refiner = preset.refiner
    config, side = refiner.network, refiner.patch
    inputs = torch.empty(1, PICTURE_CHANNELS + config.channels, side, side, device="meta")
    return _counted(lambda: Refiner(config), lambda network: network(inputs))


def _counted(build: Callable[[], nn.Module], run: Callable[[nn.Module], Tensor]) -> tuple[float, int]:
    with torch.device("meta"):
        network = build()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        run(network)
    return float(counter.get_total_flops()), sum(value.numel() for value in network.parameters())


def _training(
    name: str,
    counted: tuple[float, int],
    loop: LoopConfig,
    device: float,
    batch: int,
    read: float = 0.0,
    beside: float = 0.0,
) -> Stage:
    """Training steps.

    Args:
        counted: operations of a sample's forward pass, and parameters.
        device: operations a second.
        batch: samples of a step, at least.
        beside: seconds that every `loop.batch_size` samples take beside their network.
    """
    operations, parameters = counted
    samples = loop.steps * loop.batch_size
    batch = min(max(loop.batch_size, batch), samples)
    return Stage(
        name=name,
        kind="steps",
        count=ceil(samples / batch),
        seconds=batch * (TRAINED * operations / device + beside / loop.batch_size),
        read_bytes=read,
        parameters=parameters,
        batch=batch,
    )
