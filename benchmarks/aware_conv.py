"""The fast 3D-aware convolution against the paper's concatenated layer: same numbers, how much less time.

    python benchmarks/aware_conv.py [--quick]

Forward and backward of both forms by turns in one process on one thread, from the same weights, in float32 and under
bfloat16 autocast: at the size that the goals are stated for, and at those of the presets' U-Nets. --quick stops after
the first size.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from dataclasses import dataclass

import torch
from claims import Claim, claims_table, table
from timing import Contender, Timing, ratios, spread, take_turns
from torch import Tensor, nn

from rodin.networks.aware_conv import TAPS, AwareConv, concatenated_reference, fold_kernel

ROUNDS, REPEATS = 7, 3
TIMES, BF16_TIMES = 2.6, 4.0  # the goals
KINDS = {"concatenated": False, "fast": False, "concatenated, bf16": True, "fast, bf16": True}


@dataclass(frozen=True, slots=True)
class Size:
    """Planes that a layer sees in training."""

    where: str
    channels: int
    side: int
    batch: int

    @property
    def gigaflop(self) -> float:
        """Of the fast form, forward and backward: the gradients cost as much again, each."""
        texels = self.side**2 * TAPS**2 + 2 * self.side * TAPS
        return 3 * 2 * 3 * self.batch * texels * self.channels**2 / 1e9


SIZES = (
    Size("the goals'", 128, 32, 4),
    Size("mini, base, first level", 96, 16, 16),
    Size("mini, base, second level", 192, 8, 16),
    Size("mini, upsampler, first level", 64, 32, 8),
    Size("mini, upsampler, second level", 128, 16, 8),
    Size("smoke, base", 48, 8, 16),
    Size("smoke, upsampler", 48, 16, 4),
)


class Concatenated(nn.Module):
    """The layer as the paper writes it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(channels, 3 * channels, 3, 3) / (27 * channels) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return concatenated_reference(x, self.kernel, self.bias)


def same_function(reference: Concatenated) -> AwareConv:
    """The fast layer with the weights of the reference."""
    fast = AwareConv(reference.kernel.shape[1] // 3, reference.kernel.shape[0])
    with torch.no_grad():
        kernels = (fast.plane_kernel, fast.row_kernel, fast.column_kernel)
        for kernel, folded in zip(kernels, fold_kernel(reference.kernel), strict=True):
            kernel.copy_(folded)
        fast.bias.copy_(reference.bias)
    return fast


def differences(reference: Concatenated, fast: AwareConv, x: Tensor, upstream: Tensor) -> dict[str, float]:
    """Largest difference of each result, as a share of its largest entry (the outputs' and planes' are near 5)."""
    slow_x, fast_x = (x.detach().clone().requires_grad_() for _ in range(2))
    slow_y, fast_y = reference(slow_x), fast(fast_x)
    slow_grads = torch.autograd.grad(slow_y, [slow_x, reference.kernel], upstream)
    kernels = [fast.plane_kernel, fast.row_kernel, fast.column_kernel]
    fast_grads = torch.autograd.grad(fast_y, [fast_x, *kernels], upstream)
    # Along the axis where its map is constant, all entries of the concatenated kernel have the folded one's gradient.
    own, rows, columns = slow_grads[1].chunk(3, dim=1)
    pairs = {
        "values": (slow_y, fast_y),
        "gradient of the planes": (slow_grads[0], fast_grads[0]),
        "of the plane kernel": (own, fast_grads[1]),
        "of the row kernel": (rows, fast_grads[2][..., :, None]),
        "of the column kernel": (columns, fast_grads[3][..., None, :]),
    }
    return {name: ((a - b).abs().max() / a.abs().max()).item() for name, (a, b) in pairs.items()}


def step(layer: nn.Module, x: Tensor, upstream: Tensor, half: bool) -> Callable[[], None]:
    """Forward and backward of a layer."""
    kind = torch.bfloat16 if half else torch.float32
    leaf, upstream = x.to(kind).requires_grad_(), upstream.to(kind)

    def call() -> None:
        layer.zero_grad()
        leaf.grad = None
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            y = layer(leaf)
        y.backward(upstream)

    return call


def measure(size: Size) -> tuple[dict[str, Timing], dict[str, float]]:
    """Times of every kind, and how far the fast form is from the concatenated one."""
    shape = (3 * size.batch, size.channels, size.side, size.side)
    x, upstream = torch.randn(shape), torch.randn(shape)
    reference = Concatenated(size.channels)
    fast = same_function(reference)
    contenders = {}
    for kind, half in KINDS.items():
        call = step(fast if kind.startswith("fast") else reference, x, upstream, half)
        call()  # prepares kernels
        contenders[kind] = Contender(call, REPEATS)
    return take_turns(contenders, ROUNDS, f"3D-aware convolution, {size.where}"), differences(
        reference, fast, x, upstream
    )


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the goals' size only")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    sizes = SIZES[:1] if arguments.quick else SIZES
    found = [measure(size) for size in sizes]
    rows = []
    for size, (times, _) in zip(sizes, found, strict=True):
        rate = size.gigaflop / statistics.median(times["fast"].cpu)
        half_rate = size.gigaflop / statistics.median(times["fast, bf16"].cpu)
        rows.append(
            [
                f"{size.where}: {size.channels} channels, {size.side}x{size.side}, batch {size.batch}",
                *(spread(times[kind].wall, 1, 1e3) for kind in KINDS),
                spread(ratios(times["concatenated"].cpu, times["fast"].cpu), 2),
                spread(ratios(times["concatenated"].cpu, times["fast, bf16"].cpu), 2),
                f"{rate:.0f}, {half_rate:.0f}",
            ]
        )
    print("## 3D-aware convolution\n")
    worst = max(max(difference.values()) for _, difference in found)
    print(
        f"Forward and backward pass in ms of wall time: medians (quartiles) of {ROUNDS} turns on one thread. Ratios "
        "compare processor time, always with the concatenated form in float32. The two forms differ by at most "
        f"{worst:.0e} of the largest value or gradient.\n"
    )
    columns = ["layer", *KINDS, "fp32 ratio", "bf16 ratio", "fast, GFLOP/s: fp32, bf16"]
    print(table(columns, rows) + "\n")
    print(claims_table(claims(found[0][0])))


def claims(times: dict[str, Timing]) -> list[Claim]:
    """The rows of the page's first table."""
    made = []
    for kind, goal, words in (("fast", TIMES, "float32"), ("fast, bf16", BF16_TIMES, "bfloat16")):
        if kind == "fast, bf16" and not torch.cpu._is_avx512_bf16_supported():
            continue  # the goal is for processors that have it
        factors = ratios(times["concatenated"].cpu, times[kind].cpu)
        made.append(
            Claim(
                f"3D-aware convolution, forward and backward, {words}",
                "concatenated form in float32",
                f">= {goal:g}x",
                f"{spread(factors, 2)}x",
                statistics.median(factors) >= goal,
            )
        )
    return made


if __name__ == "__main__":
    main()
