"""Memory that a 512x512 render needs above the loaded model, of the fused renderer, the reference and the classic one.

    python benchmarks/memory.py [--way fused|reference|classic]

Each way runs in a process of its own, whose peak Linux tells (VmHWM, reset before the render). Everything counts that
the render brings along, the set-up of the renderer included. --way measures one, and prints its bytes.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import torch
from avatars import fitted
from claims import Claim, claims_table, table
from classic import Classic
from machine import require_kernels
from render import SAMPLES, view
from timing import progress
from torch import Tensor

from rodin.camera import Camera
from rodin.render import reference
from rodin.render.decoder import Decoder
from rodin.render.rays import camera_rays
from rodin.render.renderer import Renderer, measure_occupancy

DECODER, PLANE_SIZE, PIXELS = "EG3D", 256, 512
GOAL = 300  # megabytes


def fused(planes: Tensor, decoder: Decoder, camera: Camera) -> None:
    Renderer.culled(planes, decoder).totals(camera, SAMPLES)


def with_reference(planes: Tensor, decoder: Decoder, camera: Camera) -> None:
    field = reference.Field(planes, decoder)
    field.totals(camera_rays(camera), SAMPLES, measure_occupancy(field), False)


def classic(planes: Tensor, decoder: Decoder, camera: Camera) -> None:
    Classic(planes, decoder).totals(camera)


WAYS = {"fused": fused, "reference": with_reference, "classic": classic}


def resident(field: str) -> int:
    """Bytes of this process: VmRSS now, or VmHWM, the peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def bytes_above_model(way: str) -> int:
    """Peak of a render in this process above what it holds before."""
    avatars = fitted(DECODER, PLANE_SIZE)
    planes, decoder, camera = avatars.planes[0], avatars.decoder, view(PIXELS)
    decoder(torch.zeros(1, decoder.config.channels), torch.zeros(1, 3))  # the model's own code is loaded
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = resident("VmRSS")
    WAYS[way](planes, decoder, camera)
    return resident("VmHWM") - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--way", choices=list(WAYS), help="measure this one only, in this process")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.way:
        print(bytes_above_model(arguments.way))
        return
    require_kernels()
    megabytes = {}
    for way in WAYS:
        progress(f"memory of a {PIXELS}x{PIXELS} render: {way}")
        command = [sys.executable, __file__, "--way", way]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        megabytes[way] = int(done.stdout) / 1e6
    print("## Memory of a render\n")
    print(
        f"Peak memory of a {PIXELS}x{PIXELS} render beyond the loaded model, with the {DECODER} decoder and planes of "
        f"{PLANE_SIZE}x{PLANE_SIZE}. Set-up is included, and each way runs in its own process.\n"
    )
    print(table(["way", "MB"], [[way, f"{used:.0f}"] for way, used in megabytes.items()]))
    print()
    print(claims_table([Claim(
        f"memory of a {PIXELS}x{PIXELS} render",
        f"reference: {megabytes['reference']:.0f} MB",
        f"< {GOAL} MB above the model",
        f"{megabytes['fused']:.0f} MB",
        megabytes["fused"] < GOAL,
    )]))  # fmt: skip


if __name__ == "__main__":
    main()
