"""What limits the fused paths: their arithmetic and look-ups against the measured peaks of one core.

    python benchmarks/limits.py

Operations are counted from the code (rodin/kernels/native): a multiplication and an addition are two, a vector function
has those of its polynomial. Samples are counted by the reference: those in reach of an occupied cell that the ray still
sees, and of them the ones whose colour is decoded. What is not counted is the walk through empty space and all control.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, replace

import torch
from avatars import COLOURS, DATA, DECODERS, FIT, PLANE_SIZES, SHARED, fitted, learned_decoder
from aware_conv import SIZES, Concatenated, same_function
from aware_conv import step as forward_and_backward
from claims import table
from machine import TEXELS_A_SAMPLE, Peaks, measure_peaks, require_kernels
from render import SAMPLES, view
from timing import Contender, progress, take_turns
from torch import Tensor

from rodin.data.captures import load_subject
from rodin.data.subject_folders import list_subjects
from rodin.fit.fused import start_fit
from rodin.fit.losses import Batch
from rodin.fit.scene import prepare
from rodin.render import reference
from rodin.render.decoder import Decoder, DecoderConfig
from rodin.render.fused import OPAQUE, THIN
from rodin.render.rays import Rays, camera_rays, longest_bin
from rodin.render.renderer import Renderer

PIXELS = 128
EXP, SIGMOID, SOFTPLUS = 24, 27, 45  # operations, see native/simd.h
CORNERS = 60  # operations to find a sample's texels and their weights
ADAM_FLOATS = 7  # read or written a parameter: value, two moments, gradient
ADAM = 14  # operations a parameter
FIT_OPAQUE = 1e-5  # light behind which a ray that is fitted is not followed, see native/fit.h


@dataclass(frozen=True, slots=True)
class Work:
    """What a fused path does at least."""

    name: str
    seconds: float
    samples: int
    """Of the planes; 0 where none are looked up."""
    operations: float
    texel_bytes: float
    """Read (and in fitting written) at random places of the planes."""
    stream_bytes: float
    """Read and written one after another."""
    plane_size: int


def activation(config: DecoderConfig) -> int:
    """Operations of a hidden unit's."""
    return SOFTPLUS if config.activation == "softplus" else SIGMOID + 1


def density_operations(config: DecoderConfig, folded: bool) -> int:
    """Of a sample's density: look-up, trunk, density head."""
    looked_up = config.hidden if folded else config.channels
    trunk = 0 if folded else 2 * config.channels * config.hidden
    head = config.hidden * (activation(config) + 3) + SOFTPLUS + EXP
    return CORNERS + 2 * TEXELS_A_SAMPLE * looked_up + trunk + head


def colour_operations(config: DecoderConfig, colours: int) -> int:
    """Of a sample's colour: hidden layers, output, compositing."""
    inner = config.colour_layers * config.hidden * (2 * config.hidden + 1 + activation(config))
    return config.hidden + inner + colours * (2 * config.hidden + SIGMOID + 2)


def count_samples(planes: Tensor, decoder: Decoder, rays: Rays, renderer: Renderer) -> tuple[int, int]:
    """Samples whose density a rendering decodes, and whose colour."""
    assert renderer.occupancy is not None
    reached = renderer.occupancy.reached_by_bins(longest_bin(SAMPLES))
    dense = coloured = 0
    for start in range(0, len(rays), 2048):
        chunk = rays[start : start + 2048]
        with torch.no_grad():
            bins = reference.bins_with_middle_in(chunk, SAMPLES, reached)
            weights = reference.trace(planes, decoder, chunk, bins)[1]
        met = weights.cumsum(dim=1)
        alive = bins & (1 - met + weights >= OPAQUE)
        dense += int(alive.sum())
        waiting = torch.zeros(len(chunk))
        for position in range(SAMPLES):
            waiting = waiting + weights[:, position] * alive[:, position]
            decoded = alive[:, position] & (waiting > THIN * (met[:, position] + 0.01))
            coloured += int(decoded.sum())
            waiting = torch.where(decoded, 0, waiting)
    return dense, coloured


def rendering(name: str, plane_size: int) -> Work:
    """A view of 128x128."""
    avatars, camera = fitted(name, plane_size), view(PIXELS)
    planes, decoder, config = avatars.planes[0], avatars.decoder, DECODERS[name]
    renderer = Renderer.culled(planes, decoder)
    label = f"render {PIXELS}x{PIXELS}, {name} decoder, planes {plane_size}x{plane_size}"
    timing = take_turns({"fused": Contender(lambda: renderer.totals(camera, SAMPLES), 9)}, 3, label)["fused"]
    dense, coloured = count_samples(planes, decoder, camera_rays(camera), renderer)
    folded = not config.frequencies
    operations = dense * density_operations(config, folded) + coloured * colour_operations(config, COLOURS[name])
    texel = 4 * (config.hidden if folded else config.channels)
    stream = 4 * PIXELS**2 * (8 + COLOURS[name] + 2)  # rays in, totals out
    seconds = statistics.median(timing.cpu)
    return Work(label, seconds, dense, operations, dense * TEXELS_A_SAMPLE * texel, stream, plane_size)


def fitting_step() -> Work:
    """A step on a narrowed scene, at the planes' own size."""
    config, fit = DECODERS["mini"], replace(FIT, rescale=0.0)
    decoder = learned_decoder(config, SHARED, FIT)[0]
    subject = load_subject(list_subjects(DATA)[SHARED.subjects], fit.image_size)
    avatar = fitted("mini", fit.plane_size).planes[0]
    scene = prepare(subject, fit.samples, fit.held_out)[0].narrowed(avatar, decoder)
    batch = Batch.draw(scene, fit.rays, fit.loss.empty_points, torch.Generator().manual_seed(0))
    label = f"fit step, {fit.rays} rays, mini decoder, planes {fit.plane_size}x{fit.plane_size}"
    fitter = start_fit(avatar, decoder, fit.loss)
    timing = take_turns(
        {"fused": Contender(lambda: fitter.step(scene, batch, fit.plane_size, 1e-6), 15)}, 3, label
    )["fused"]  # fmt: skip
    with torch.no_grad():
        bins = scene.bins[batch.ray]
        weights = reference.trace(avatar, decoder, scene.rays[batch.ray], bins, batch.jitter)[1]
    samples = int((bins & (1 - weights.cumsum(dim=1) + weights >= FIT_OPAQUE)).sum())
    # The way back through a layer is as long as the way through it; so is the way back into the texels.
    ways = samples * 2 * (density_operations(config, False) + colour_operations(config, 3))
    outside = len(batch.outside) * 2 * density_operations(config, False)
    operations = ways + outside + ADAM * avatar.numel()
    texels = (samples + len(batch.outside)) * TEXELS_A_SAMPLE * 4 * config.channels * 3  # read; read and written
    stream = 4 * avatar.numel() * (ADAM_FLOATS + 4)  # Adam; the gradient made zero; the regularizers
    return Work(label, statistics.median(timing.cpu), samples, operations, texels, stream, fit.plane_size)


def convolution() -> Work:
    """The fast 3D-aware convolution, forward and backward in fp32, at the size that its goal is stated for."""
    size = SIZES[0]
    shape = (3 * size.batch, size.channels, size.side, size.side)
    layer = same_function(Concatenated(size.channels))
    call = forward_and_backward(layer, torch.randn(shape), torch.randn(shape), False)
    label = f"3D-aware convolution and its gradients, {size.channels} channels, {size.side}x{size.side}"
    timing = take_turns({"fast": Contender(call, 5)}, 3, label)["fast"]
    planes = 3 * size.batch * size.channels * size.side**2
    stream = 4 * 5 * planes  # planes, result, both gradients, and the planes again for the kernels' gradient
    return Work(label, statistics.median(timing.cpu), 0, size.gigaflop * 1e9, 0, stream, 64)


def row(work: Work, peaks: Peaks) -> list[str]:
    """Of the table: what the counted work would take at its peak, as a share of the measured time."""
    arithmetic = work.operations / peaks.flops / work.seconds
    texel_seconds = work.texel_bytes / peaks.texel_bytes(work.plane_size)
    look_ups = texel_seconds / work.seconds
    stream = work.stream_bytes / peaks.memory / work.seconds
    shares = {"arithmetic": arithmetic, "look-ups in the planes": look_ups, "memory": stream}
    largest = max(shares, key=shares.__getitem__)
    limit = largest if shares[largest] > 0.5 else f"latency and control, then {largest}"
    return [
        work.name,
        f"{work.seconds * 1e3:.1f}",
        f"{work.samples:,}".replace(",", " ") if work.samples else "-",
        f"{work.seconds / work.samples * 1e9:.0f}" if work.samples else "-",
        f"{work.operations / work.seconds / 1e9:.0f} ({arithmetic:.0%})",
        f"{work.texel_bytes / work.seconds / 1e9:.1f} ({look_ups:.0%})" if work.samples else "-",
        f"{work.stream_bytes / work.seconds / 1e9:.2f} ({stream:.0%})",
        limit,
    ]


def main() -> None:
    require_kernels()
    torch.set_num_threads(1)
    works = [rendering(name, plane_size) for name in DECODERS for plane_size in PLANE_SIZES]
    works += [fitting_step(), convolution()]
    progress("peaks of one core")
    peaks = measure_peaks()
    print("## Measured / limit\n")
    print(
        "On one thread. In brackets: the time that the counted work would take at the peak of one core, as a share of "
        "the measured time. The peak is a large fp32 matrix product for arithmetic, sums of random texels for look-ups "
        "and a large copy for memory. The rest of the time goes to latency and control: walking through empty space, "
        "one sample waiting for another, vectors that are not full.\n"
    )
    columns = ["path", "CPU, ms", "samples", "ns a sample", "GFLOP/s", "look-ups, GB/s", "memory, GB/s", "limit"]
    print(table(columns, [row(work, peaks) for work in works]))


if __name__ == "__main__":
    main()
