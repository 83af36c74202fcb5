"""What limits the fast paths: their arithmetic and look-ups a second against the most that a core does (`machine.py`).

    python benchmarks/limits.py

Operations are counted from the code: 2 for a multiplication with addition, EXP for an exponential with its division.
"""

from __future__ import annotations

import statistics

import torch
from avatars import COLOURS, DATA, DECODERS, FIT, PLANE_SIZES, SHARED, fitted, learned_decoder, scene_of
from aware_conv import SIZES, Concatenated, same_function, step
from claims import table
from machine import TEXELS_A_SAMPLE, measure_peaks, require_kernels
from timing import Contender, progress, take_turns
from torch import Tensor

from rodin.camera import orbit
from rodin.dataset import list_subjects
from rodin.decoder import DecoderConfig
from rodin.fit.fused import start_fit
from rodin.fit.losses import Batch
from rodin.kernels.native import OPAQUE
from rodin.rays import camera_rays
from rodin.render import Renderer, occupied_bins, ray_weights

EXP = 24  # operations of an activation: exponential, division, and what is around them
SAMPLES, PIXELS, ROUNDS = 96, 128, 7
ADAM_FLOATS = 8  # of every number of the planes: read or written for regularizers, gradient and Adam


def density_flops(config: DecoderConfig, folded: bool) -> int:
    """Of one sample's look-up, trunk and density."""
    read = config.hidden if folded else config.channels
    trunk = 0 if folded else 2 * config.channels * config.hidden
    return 2 * TEXELS_A_SAMPLE * read + trunk + (EXP + 2) * config.hidden + 2 * EXP


def colour_flops(config: DecoderConfig, colours: int) -> int:
    """Of one sample's colour."""
    return config.colour_layers * (2 * config.hidden**2 + EXP * config.hidden) + (2 * config.hidden + EXP) * colours


def seconds(call: object, label: str) -> float:
    """Median processor time of a call, on one thread."""
    timing = take_turns({"": Contender(call, repeats=5)}, ROUNDS, label)[""]  # type: ignore[arg-type]
    return statistics.median(timing.cpu)


def rendering(name: str, plane_size: int) -> tuple[float, float, float, int]:
    """Seconds, operations, texels and texel size (floats) of one view."""
    avatars = fitted(name, plane_size)
    planes, decoder = avatars.planes[0], avatars.decoder
    renderer, camera = Renderer.culled(planes, decoder), orbit([25.0], [10.0], size=PIXELS)[0]
    rays = camera_rays(camera)
    bins = occupied_bins(rays, SAMPLES, renderer.occupancy)
    weights = ray_weights(planes, decoder, rays, bins)
    evaluated = int((bins & (1 - (weights.cumsum(dim=1) - weights) > OPAQUE)).sum())
    coloured = int((weights > 1e-3).sum())  # about those that are decoded
    config = decoder.config
    operations = evaluated * density_flops(config, True) + coloured * colour_flops(config, COLOURS[name])
    spent = seconds(lambda: renderer.totals(camera, SAMPLES), f"rendering, {name}, planes of {plane_size}")
    return spent, operations, evaluated * TEXELS_A_SAMPLE, config.hidden


def fitting() -> tuple[float, float, float, float]:
    """Seconds, operations, texels and bytes of planes and moments of one step at 64x64."""
    decoder, start = learned_decoder(DECODERS["mini"], SHARED, FIT)
    scene = scene_of(list_subjects(DATA)[SHARED.subjects], FIT).narrowed(start, decoder)
    fit = start_fit(start, decoder, FIT.loss)
    batch = Batch.draw(scene, FIT.rays, FIT.loss.empty_points, torch.Generator().manual_seed(0))
    spent = seconds(lambda: fit.step(scene, batch, FIT.plane_size, 0.0), "fitting")
    samples, points = int(scene.bins[batch.ray].sum()), len(batch.outside)
    config = decoder.config
    forward = samples * (density_flops(config, False) + colour_flops(config, 3)) + points * density_flops(config, False)
    back = samples * (2 * config.hidden**2 + 2 * config.hidden * 3) + (samples + points) * (
        2 * config.channels * config.hidden + 2 * TEXELS_A_SAMPLE * config.channels
    )
    texels = 3 * TEXELS_A_SAMPLE * (samples + points)  # read, then read and written with the gradient
    return spent, forward + back, texels, 4.0 * ADAM_FLOATS * start.numel()


def convolution() -> tuple[float, float]:
    """Seconds and operations of the fast 3D-aware convolution, forward and backward, in float32."""
    size = SIZES[0]
    layer = same_function(Concatenated(size.channels))
    shape = (3 * size.batch, size.channels, size.side, size.side)
    x: Tensor = torch.randn(shape)
    return seconds(step(layer, x, torch.randn(shape), False), "convolution"), size.gigaflop * 1e9


def verdict(arithmetic: float, reading: float) -> str:
    """Which of the two is nearer to its limit; neither where both leave most of it."""
    if max(arithmetic, reading) < 0.3:
        return "latency: look-up addresses, exponentials and branches that wait for one another"
    return "arithmetic" if arithmetic >= reading else "reading texels"


def main() -> None:
    require_kernels()
    torch.set_num_threads(1)
    progress("measuring the peaks of a core")
    peaks = measure_peaks()
    rows = []

    def add(name: str, spent: float, operations: float, texels: float, rate: float) -> None:
        arithmetic, reading = operations / spent / peaks.flops, texels / spent / rate if texels else 0.0
        read = f"{texels / spent / 1e6:.0f} M/s, {100 * reading:.0f} %" if texels else "-"
        done = f"{operations / spent / 1e9:.1f} GFLOP/s, {100 * arithmetic:.0f} %"
        rows.append([name, f"{1e3 * spent:.1f}", f"{operations / 1e9:.2f}", done, read, verdict(arithmetic, reading)])

    for name in DECODERS:
        for plane_size in PLANE_SIZES:
            spent, operations, texels, width = rendering(name, plane_size)
            add(
                f"render {PIXELS}x{PIXELS}, {name}, planes {plane_size}x{plane_size}",
                spent,
                operations,
                texels * width / 32,
                peaks.texels[plane_size],
            )
    spent, operations, texels, moved = fitting()
    add("one step of a fit, 64x64, mini", spent, operations, texels / 2, peaks.texels[64])
    spent_conv, operations_conv = convolution()
    add("3D-aware convolution, forward and backward, fp32", spent_conv, operations_conv, 0, 1)
    rates = ", ".join(f"{rate / 1e6:.0f} ({size}x{size})" for size, rate in peaks.texels.items())
    print("## Measured against the limits\n")
    print(
        f"One core: {peaks.flops / 1e9:.0f} GFLOP/s in fp32, {peaks.memory / 1e9:.1f} GB/s from memory; random texels "
        f"of 32 floats, M/s: {rates}. Texels of other widths count by their floats. Regularizers and Adam of the step "
        f"of a fit move {moved / 1e6:.1f} MB, {1e3 * moved / peaks.memory:.1f} ms at the speed of memory.\n"
    )
    print(table(["path", "CPU, ms", "GFLOP", "arithmetic, of the peak", "texels, of the peak", "limited by"], rows))


if __name__ == "__main__":
    main()
