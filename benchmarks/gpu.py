"""What a GPU makes of rendering and fitting, against what it can do at most.

    python benchmarks/gpu.py [--subjects N]

Rendering: rays a second of `rodin.render.cuda.Field`, the samples that it decodes, and what they take of the GPU's
arithmetic and memory as it shows them in a large matrix product and a large copy. Fitting: seconds per 100 avatars with
`rodin.fit.batch`, loading left out. Without a GPU it says that nothing was measured.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from avatars import COLOURS, DATA, DECODERS, FIT, PLANE_SIZES, SHARED, fitted, learned_decoder
from claims import table
from render import SAMPLES, view
from timing import progress
from torch import Tensor

from rodin.data.captures import load_subject
from rodin.data.subject_folders import list_subjects
from rodin.fit.batch import fit_planes_batch
from rodin.fit.measure import judge
from rodin.fit.scene import HeldOut, prepare
from rodin.images import psnr
from rodin.render import cuda, reference
from rodin.render.decoder import Decoder
from rodin.render.rays import Occupancy, Rays, camera_rays, longest_bin
from rodin.render.renderer import measure_occupancy

ABSENT = """## GPU

This machine has no GPU, or none that the kernel supports. So nothing was measured on one: neither rendering with
`rodin.render.cuda` nor fitting with `rodin.fit.batch`."""
DEVICE = torch.device("cuda")
MATRIX, COPY_BYTES = 8192, 2**30
CALLS = 20  # timed, after CALLS more that warm up
SIZES = (128, 512)


def seconds(call: Callable[[], object], calls: int = CALLS) -> float:
    """Median time of a call on the GPU, the host's part included."""
    for _ in range(calls):
        call()
    times = []
    for _ in range(calls):
        torch.cuda.synchronize()
        began = time.perf_counter()
        call()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def peaks() -> tuple[float, float]:
    """Operations a second of an fp32 matrix product, and bytes a second of a copy, read and written."""
    a = torch.randn(MATRIX, MATRIX, device=DEVICE)
    source = torch.ones(COPY_BYTES // 4, device=DEVICE)
    copy = torch.empty_like(source)
    return 2 * MATRIX**3 / seconds(lambda: a @ a), 2 * COPY_BYTES / seconds(lambda: copy.copy_(source))


def sample_costs(decoder: Decoder) -> tuple[int, int]:
    """Operations and bytes of one sample: 12 folded texels, the layers behind the trunk; activations left out."""
    width, (*inner, colour) = decoder.config.hidden, decoder.colour
    multiplied = 12 * width + width + len(inner) * width * width + width * colour.out_features
    return 2 * multiplied, 12 * 4 * width


@torch.no_grad()
def samples_decoded(field: reference.Field, rays: Rays, occupancy: Occupancy) -> int:
    """Bins that are marked and that a ray reaches before it is opaque."""
    reached = occupancy.reached_by_bins(longest_bin(SAMPLES))
    total = 0
    for start in range(0, len(rays), 2**14):
        chunk = rays[start : start + 2**14]
        bins = reference.bins_with_middle_in(chunk, SAMPLES, reached)
        _, weights = reference.trace(field.planes, field.decoder, chunk, bins)
        before = 1 - (weights.cumsum(dim=1) - weights)
        total += int((bins & (before > reference.OPAQUE_BELOW)).sum())
    return total


def measure_rendering(name: str, plane_size: int, flops: float, memory: float) -> list[list[str]]:
    """Rows of one avatar, a size of image each."""
    avatar = fitted(name, plane_size)
    planes, decoder = avatar.planes[0].to(DEVICE), avatar.decoder.to(DEVICE)
    field, plain = cuda.Field(planes, decoder), reference.Field(planes, decoder)
    occupancy = measure_occupancy(plain)
    operations, bytes_read = sample_costs(decoder)
    rows = []
    for pixels in SIZES:
        progress(f"GPU: {name} decoder, planes {plane_size}x{plane_size}, image {pixels}x{pixels}")
        rays = camera_rays(view(pixels)).to(DEVICE)

        def totals(way: reference.Field, rays: Rays = rays) -> Tensor:
            return way.totals(rays, SAMPLES, occupancy, False)

        took, plainly = seconds(lambda: totals(field)), seconds(lambda: totals(plain), 3)
        agreement = psnr(totals(field)[:, : COLOURS[name] + 1], totals(plain)[:, : COLOURS[name] + 1])
        decoded = samples_decoded(plain, rays, occupancy)
        rows.append(
            [
                f"{name}, {plane_size}x{plane_size}, {pixels}x{pixels}",
                f"{1e3 * took:.3f}",
                f"{1e3 * plainly:.1f}",
                f"{len(rays) / took / 1e6:.0f}",
                f"{decoded / len(rays):.1f}",
                f"{100 * decoded * operations / took / flops:.1f} %",
                f"{100 * decoded * bytes_read / took / memory:.1f} %",
                f"{agreement:.0f}",
            ]
        )
    return rows


def measure_fitting(subjects: int) -> str:
    """A sentence on one batch of subjects, fitted twice: the first time compiles."""
    decoder, start = learned_decoder(DECODERS["mini"], SHARED, FIT)
    decoder = decoder.to(DEVICE)
    folders = list_subjects(DATA)[SHARED.subjects : SHARED.subjects + subjects]
    progress(f"GPU: loading {len(folders)} subjects")
    prepared = [prepare(load_subject(folder, FIT.image_size), FIT.samples, FIT.held_out) for folder in folders]
    took = []
    for turn in ("compiling", "timed"):
        progress(f"GPU: fitting {len(folders)} subjects at once, {turn}")
        torch.cuda.synchronize()
        began = time.perf_counter()
        fitted = fit_planes_batch([scene for scene, _ in prepared], decoder, start, FIT, 0, DEVICE)
        torch.cuda.synchronize()
        took.append(time.perf_counter() - began)
    quality = [
        judge(one.planes, decoder, HeldOut(held.camera, held.images.to(DEVICE)))[0]
        for one, (_, held) in zip(fitted, prepared, strict=True)
    ]
    return (
        f"{len(folders)} subjects at once, {FIT.steps} steps at {FIT.plane_size}x{FIT.plane_size} from views of "
        f"{FIT.image_size}x{FIT.image_size}: **{100 * took[1] / len(folders):.1f} s per 100 avatars** "
        f"(the first batch, which compiles: {took[0]:.0f} s), {statistics.mean(quality):.2f} dB on held-out views, "
        f"un-culled (worst {min(quality):.2f} dB)."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subjects", type=int, default=32, help="how many are fitted at once")
    arguments = parser.parse_args()
    probe = torch.zeros(3, DECODERS["mini"].channels, 1, 1)
    if not torch.cuda.is_available() or not cuda.at_hand(probe.to(DEVICE), Decoder(DECODERS["mini"])):
        print(ABSENT)
        return
    flops, memory = peaks()
    print("## GPU\n")
    print(
        f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}. At most, as measured here: "
        f"{flops / 1e12:.1f} TFLOP/s in fp32 ({MATRIX}x{MATRIX} matrix product), {memory / 1e9:.0f} GB/s (copy of "
        f"{COPY_BYTES // 2**20} MiB, read and written). The last columns but one are the samples' own operations and "
        f"texels against these: texels come from the caches too, so that memory may pass 100 %. PyTorch is "
        f"`rodin.render.reference` on the same GPU, with the same occupancy.\n"
    )
    columns = [
        "decoder, planes, image",
        "kernel, ms",
        "PyTorch, ms",
        "million rays/s",
        "samples a ray",
        "of arithmetic",
    ]
    rows = [row for name in DECODERS for size in PLANE_SIZES for row in measure_rendering(name, size, flops, memory)]
    print(table([*columns, "of memory", "agreement, dB"], rows))
    print(f"\n{measure_fitting(arguments.subjects)}")


if __name__ == "__main__":
    main()
