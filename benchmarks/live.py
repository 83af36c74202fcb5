"""A live view: frames a second while an avatar turns, every frame another pose.

python benchmarks/live.py
"""

from __future__ import annotations

import statistics
import time

import torch
from avatars import PLANE_SIZES, fitted
from claims import Claim, claims_table, table
from machine import require_kernels
from render import SAMPLES
from timing import progress, spread

from rodin.camera import orbit
from rodin.render.renderer import Renderer

PIXELS, FRAMES = 256, 72
GOAL = 10  # frames a second


def seconds(plane_size: int) -> tuple[list[float], list[float]]:
    """Wall and processor seconds of each frame of one turn, from camera to straight RGBA, on one thread."""
    avatars = fitted("mini", plane_size)
    renderer = Renderer.culled(avatars.planes[0], avatars.decoder)
    cameras = orbit([360 / FRAMES * frame for frame in range(FRAMES)], [10.0] * FRAMES, size=PIXELS)
    renderer.image(cameras[0], SAMPLES)
    wall, cpu = [], []
    for frame in range(FRAMES):
        wall_began, cpu_began = time.perf_counter(), time.process_time()
        renderer.image(cameras[frame], SAMPLES)
        wall.append(time.perf_counter() - wall_began)
        cpu.append(time.process_time() - cpu_began)
    return wall, cpu


def main() -> None:
    require_kernels()
    torch.set_num_threads(1)
    rows, rates = [], []
    for plane_size in PLANE_SIZES:
        progress(f"live view of planes {plane_size}x{plane_size}")
        wall, cpu = seconds(plane_size)
        rates.append(1 / statistics.median(cpu))
        frames = spread([1 / one for one in cpu], 1)
        rows.append([f"{plane_size}x{plane_size}", spread(wall, 0, 1e3), spread(cpu, 0, 1e3), frames])
    print("## Live view\n")
    print(
        f"{FRAMES} frames of {PIXELS}x{PIXELS} around an avatar, with the mini decoder, {SAMPLES} bins per ray and one "
        "thread. A frame includes making the camera and the rays and dividing by alpha. Medians (quartiles) over the "
        "frames.\n"
    )
    print(table(["planes", "wall, ms a frame", "CPU, ms a frame", "frames per CPU-second"], rows))
    print()
    measured = f"{min(rates):.1f} to {max(rates):.1f}"
    print(claims_table([Claim(
        f"live view {PIXELS}x{PIXELS}, mini decoder, 64x64 and 256x256 planes",
        "-",
        f">= {GOAL} frames a second",
        measured,
        min(rates) >= GOAL,
    )]))  # fmt: skip


if __name__ == "__main__":
    main()
