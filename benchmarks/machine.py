"""The machine that the other benchmarks run on, and what one of its cores can do at most.

    python benchmarks/machine.py

Peaks are the best of many tries, on one thread: fp32 and bf16 matrix products, copies out of main memory and within
the second-level cache, and sums of 12 random texels, which is the look-up of a sample without anything else.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from claims import table

from rodin.kernels import loader

FLAGS = ("avx2", "fma", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "sve")
MATRIX = 2048
COPY_BYTES, CACHED_BYTES = 2**29, 2**19
TEXELS_A_SAMPLE = 12  # three planes, four corners each
TEXEL_FLOATS = 32  # of the mini decoder's folded planes
LOOK_UPS = 2**14  # in one call


@dataclass(frozen=True, slots=True)
class Peaks:
    """What one core does at most."""

    flops: float
    """fp32 operations a second."""
    bf16_flops: float
    memory: float
    """Bytes a second, read and written, in copies larger than the second-level cache."""
    cache: float
    """The same within the second-level cache."""
    texels: dict[int, float]
    """Random texels of TEXEL_FLOATS a second, read and summed, by the planes' size."""

    def texel_bytes(self, size: int) -> float:
        """Bytes a second of such texels."""
        return self.texels[size] * TEXEL_FLOATS * 4


def measure_peaks() -> Peaks:
    """The peaks of one core, in about 15 seconds."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    a = torch.randn(MATRIX, MATRIX)
    half = a.bfloat16()
    operations = 2 * MATRIX**3
    large, small = torch.ones(COPY_BYTES // 4), torch.ones(CACHED_BYTES // 4)
    large_copy, small_copy = torch.empty_like(large), torch.empty_like(small)
    peaks = Peaks(
        flops=operations / best(lambda: a @ a, 8),
        bf16_flops=operations / best(lambda: half @ half, 8),
        memory=2 * COPY_BYTES / best(lambda: large_copy.copy_(large), 5),
        cache=2 * CACHED_BYTES / best(lambda: small_copy.copy_(small), 2000),
        texels={size: texel_rate(size) for size in (64, 256)},
    )
    torch.set_num_threads(before)
    return peaks


def texel_rate(size: int) -> float:
    """Random texels of planes of this size that are read and summed in a second."""
    generator = torch.Generator().manual_seed(0)
    planes = torch.randn(3 * size * size, TEXEL_FLOATS, generator=generator)
    where = torch.randint(len(planes), (LOOK_UPS, TEXELS_A_SAMPLE), generator=generator)
    weights = torch.rand(where.shape, generator=generator)

    def look_up() -> None:
        F.embedding_bag(where, planes, per_sample_weights=weights, mode="sum")

    return where.numel() / best(look_up, 50)


def best(call: Callable[[], object], tries: int) -> float:
    """Seconds of processor time of the fastest try."""
    seconds = []
    for _ in range(tries):
        began = time.process_time()
        call()
        seconds.append(time.process_time() - began)
    return min(seconds)


def description() -> list[list[str]]:
    """What the machine is, in rows of name and value."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = fields.get("flags", fields.get("Features", "")).split()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return [
        ["processor", f"{fields.get('model name', platform.processor() or '?')}, {platform.machine()}"],
        ["vector units", ", ".join(flag for flag in FLAGS if flag in flags) or "none of " + ", ".join(FLAGS)],
        ["cores", str(os.cpu_count())],
        ["caches of a core", caches()],
        ["memory", f"{memory:.0f} GiB"],
        ["system", f"{platform.system()} {platform.release()}, Python {platform.python_version()}"],
        ["PyTorch", torch.__version__],
        ["compiler", compiler()],
        ["native kernels", kernels()],
    ]


def caches() -> str:
    """Levels and sizes, as Linux tells them."""
    found = []
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = ((index / name).read_text().strip() for name in ("level", "type", "size"))
        found.append(f"L{level} {size} {kind.lower()}")
    return ", ".join(found) or "?"


def compiler() -> str:
    """First line of what the C++ compiler says of itself."""
    command = shutil.which(os.environ.get("CXX", "c++"))
    if command is None:
        return "none"
    return subprocess.run([command, "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]


def kernels() -> str:
    """The instruction level of the native kernels, or why there are none."""
    found = loader.load()
    return found.level if found else f"none: {loader.why_not()}"


def require_kernels() -> None:
    """End the script with one line where the fused paths that it is to measure are not there."""
    if loader.load() is None:
        sys.exit(f"{Path(sys.argv[0]).name}: nothing to measure, the native kernels are {loader.why_not()}")


def main() -> None:
    peaks = measure_peaks()
    print("## Machine\n")
    print(table(["what", "value"], description()))
    print("\nPeak rates of one core, as measured here:\n")
    rows = [
        [f"fp32 arithmetic ({MATRIX}x{MATRIX} matrix product)", f"{peaks.flops / 1e9:.0f} GFLOP/s"],
        ["bf16 arithmetic (the same)", f"{peaks.bf16_flops / 1e9:.0f} GFLOP/s"],
        [f"copy of {COPY_BYTES // 2**20} MiB, read and written", f"{peaks.memory / 1e9:.1f} GB/s"],
        [f"copy of {CACHED_BYTES // 2**10} KiB, within the L2 cache", f"{peaks.cache / 1e9:.0f} GB/s"],
    ]
    for size, rate in peaks.texels.items():
        name = f"random texels of {TEXEL_FLOATS} floats, planes of {size}x{size}, {TEXELS_A_SAMPLE} summed"
        rows.append([name, f"{rate / 1e6:.0f} M/s, {peaks.texel_bytes(size) / 1e9:.0f} GB/s"])
    print(table(["what", "measured"], rows))


if __name__ == "__main__":
    main()
