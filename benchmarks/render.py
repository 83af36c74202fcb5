"""Rendering an avatar: the fused renderer against the classic one, and against the PyTorch reference with culling.

    python benchmarks/render.py [--quick]

The avatars are real fits (`avatars.py`) from one oblique view. All run by turns in one process; the classic one with
the chunk size that is fastest here. Quality is PSNR over white against a dense reference of 192 bins a ray without
culling. --quick leaves 512x512 out.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass

import torch
from avatars import COLOURS, DECODERS, PLANE_SIZES, fitted
from claims import Claim, claims_table, table
from classic import COARSE, FINE, Classic, Published, fastest_chunk
from machine import require_kernels
from timing import Contender, Timing, progress, ratios, spread, take_turns
from torch import Tensor

from rodin.camera import Camera, camera_at
from rodin.images import psnr
from rodin.render import reference
from rodin.render.decoder import Decoder
from rodin.render.rays import camera_rays
from rodin.render.renderer import Renderer, measure_occupancy

SAMPLES = 88  # bins a ray of the fused renderer and of the PyTorch reference: the fewest that keep DECIBELS
DENSE = 192
ROUNDS = {128: 5, 512: 3}  # turns; a classic view of 512x512 takes a quarter of a minute
PUBLISHED_PIXELS = 128  # larger images do not fit into memory in one piece
TIMES, DECIBELS = 80, 50  # the goals


@dataclass(frozen=True, slots=True)
class Case:
    """What was measured of one decoder, size of planes and size of image."""

    decoder: str
    plane_size: int
    pixels: int
    times: dict[str, Timing]
    psnr: dict[str, float]
    setup: Timing

    def cpu_ratios(self, slow: str) -> list[float]:
        """A way's processor time over that of the fused one on one thread."""
        return ratios(self.times[slow].cpu, self.times["fused"].cpu)

    def wall_ratios(self, slow: str) -> list[float]:
        """The same in wall time."""
        return ratios(self.times[slow].wall, self.times["fused"].wall)


def view(pixels: int) -> Camera:
    """The camera of all cases."""
    return camera_at(25.0, 10.0, size=pixels)


def over_white(totals: Tensor, colours: int) -> Tensor:
    """The picture [..., 3] of totals [..., K + 2], by the first three of K colours."""
    return totals[..., :3] + 1 - totals[..., colours : colours + 1]


def measure(name: str, plane_size: int, pixels: int) -> Case:
    """Time and judge the ways to render an avatar; the worst PSNR of all avatars counts."""
    avatars, camera, colours = fitted(name, plane_size), view(pixels), COLOURS[name]
    label = f"{name} decoder, planes {plane_size}x{plane_size}, image {pixels}x{pixels}"
    decoder = avatars.decoder
    ways = [ways_to_render(planes, decoder, camera) for planes in avatars.planes]
    worst = {}
    for planes, way in zip(avatars.planes, ways, strict=True):
        progress(f"{label}: quality")
        rays = camera_rays(camera)
        dense = reference.Field(planes, decoder).totals(rays, DENSE, None, False).reshape(pixels, pixels, -1)
        for which, call in way.items():
            found = psnr(over_white(call(), colours), over_white(dense, colours))
            worst[which] = min(found, worst.get(which, math.inf))
        if pixels > min(ROUNDS):
            break  # one is enough of what takes minutes
    first = ways[0]
    contenders = {which: Contender(call, repeats=5 if which == "fused" else 1) for which, call in first.items()}
    contenders["fused, 2 threads"] = Contender(first["fused"], repeats=5, threads=2)
    times = take_turns(contenders, ROUNDS[pixels], label)
    setup = take_turns({"": Contender(lambda: Renderer.culled(avatars.planes[0], decoder))}, 5, f"{label}: set-up")[""]
    return Case(name, plane_size, pixels, times, worst, setup)


def ways_to_render(planes: Tensor, decoder: Decoder, camera: Camera) -> dict[str, Callable[[], Tensor]]:
    """Calls that give the totals [H, W, K + 2] of an avatar."""
    small = camera.resized(64, 64)
    classic = Classic(planes, decoder, fastest_chunk(planes, decoder, small))
    field = reference.Field(planes, decoder)
    occupancy = measure_occupancy(field)
    renderer = Renderer.culled(planes, decoder)

    def culled() -> Tensor:
        return field.totals(camera_rays(camera), SAMPLES, occupancy, False).reshape(camera.height, camera.width, -1)

    ways: dict[str, Callable[[], Tensor]] = {
        "classic": lambda: classic.totals(camera),
        "PyTorch, culled": culled,
        "fused": lambda: renderer.totals(camera, SAMPLES),
    }
    if camera.width <= PUBLISHED_PIXELS:
        ways["as published"] = lambda: Published(planes, decoder).totals(camera)
    return ways


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="128x128 only")
    arguments = parser.parse_args()
    require_kernels()
    torch.set_num_threads(1)
    cases = [
        measure(name, plane_size, pixels)
        for pixels in ([128] if arguments.quick else ROUNDS)
        for name in DECODERS
        for plane_size in PLANE_SIZES
    ]
    print("## Rendering\n")
    print(
        f"One view of one avatar.\n\n- Classic: two passes of {COARSE} and {FINE} samples per ray in PyTorch, without "
        "culling or gradients. As published: in the order of EG3D's own code, the image in one piece. With care: with "
        "the fastest of six chunk sizes, without sorting colours.\n- PyTorch, culled: `rodin.render.reference` with "
        f"{SAMPLES} bins per ray and an occupancy grid.\n- Fused: `rodin.render.renderer.Renderer` with the same "
        "bins.\n\nWall times are medians (quartiles) of alternating turns, "
        f"{ROUNDS[128]} at 128x128 and {ROUNDS[512]} at 512x512, on one thread unless a column says otherwise. Set-up "
        "is paid once per avatar and is not included in the other columns.\n"
    )
    print(table(["decoder, planes, image", *TIME_COLUMNS, "set-up, ms"], [time_row(case) for case in cases]))
    print("\nHow many times as long each takes as the fused renderer on one thread:\n")
    columns = [f"{name}, {kind}" for name in ("as published", "with care") for kind in ("CPU", "wall")]
    print(table(["decoder, planes, image", *columns], [ratio_row(case) for case in cases]))
    print(f"\nPSNR in dB, over white, against a dense rendering with {DENSE} bins per ray and no culling:\n")
    names = ("classic", "PyTorch, culled", "fused")
    quality = [[title(case), *(f"{case.psnr[name]:.1f}" for name in names)] for case in cases]
    print(table(["decoder, planes, image", *names], quality))
    print()
    print(claims_table([claim(name, cases) for name in DECODERS]))


TIME_COLUMNS = {  # and the way, its unit in seconds, and the digits
    "as published, s": ("as published", 1.0, 2),
    "with care, s": ("classic", 1.0, 2),
    "PyTorch, culled, s": ("PyTorch, culled", 1.0, 2),
    "fused, ms": ("fused", 1e-3, 1),
    "fused, 2 threads, ms": ("fused, 2 threads", 1e-3, 1),
}


def time_row(case: Case) -> list[str]:
    """Wall times of a case."""
    cells = [
        spread(case.times[way].wall, digits, 1 / unit) if way in case.times else "-"
        for way, unit, digits in TIME_COLUMNS.values()
    ]
    return [title(case), *cells, spread(case.setup.wall, 0, 1e3)]


def ratio_row(case: Case) -> list[str]:
    """Ratios of a case."""
    cells = []
    for way in ("as published", "classic"):
        there = way in case.times
        cells += [spread(case.cpu_ratios(way), 0), spread(case.wall_ratios(way), 0)] if there else ["-", "-"]
    return [title(case), *cells]


def title(case: Case) -> str:
    """The first cell of a row."""
    return f"{case.decoder}, {case.plane_size}x{case.plane_size}, {case.pixels}x{case.pixels}"


def claim(name: str, cases: list[Case]) -> Claim:
    """The row of one decoder in the page's first table; only EG3D's shape has a goal for its speed."""
    own = [case for case in cases if case.decoder == name]
    careful, published = (factors(own, way) for way in ("classic", "as published"))
    quality = min(case.psnr["fused"] for case in own)
    fast_enough = min(careful) >= TIMES or name != "EG3D"
    return Claim(
        f"render 128x128 and 512x512 from 64x64 and 256x256 planes, {name} decoder",
        "classic two-pass 48+48 renderer, with care",
        f">= {TIMES}x, >= {DECIBELS} dB" if name == "EG3D" else f">= {DECIBELS} dB",
        f"{min(careful):.0f}x to {max(careful):.0f}x (as published: {min(published):.0f}x to {max(published):.0f}x), "
        f"{quality:.1f} dB at least",
        fast_enough and quality >= DECIBELS,
    )


def factors(cases: list[Case], way: str) -> list[float]:
    """Median ratios in processor time, of the cases that have this way."""
    return [statistics.median(case.cpu_ratios(way)) for case in cases if way in case.times]


if __name__ == "__main__":
    main()
