"""The fast 3D-aware convolution against the paper's concatenated layer: same numbers, how much less time.

    python benchmarks/aware_conv.py [--channels 128] [--size 32] [--batch 4] [--rounds 15]

Both forms run by turns in one process on one thread, from the same weights; times are medians.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from rodin.aware_conv import AwareConv, concatenated_reference, fold_kernel


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


def median_times(
    layers: dict[str, nn.Module], x: Tensor, upstream: Tensor, half: bool, rounds: int
) -> dict[str, Tensor]:
    """Seconds [forward, forward and backward] of each layer, alternating."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in layers}
    for turn in range(rounds + 2):
        for name, layer in layers.items():
            leaf = (x.bfloat16() if half else x).detach().requires_grad_()
            layer.zero_grad()
            start = time.perf_counter()
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                y = layer(leaf)
            middle = time.perf_counter()
            y.backward(upstream.to(y.dtype))
            if turn >= 2:  # the first turns prepare kernels
                times[name].append((middle - start, time.perf_counter() - start))
    median: Callable[[tuple[float, ...]], float] = statistics.median
    return {name: torch.tensor([median(column) for column in zip(*rows, strict=True)]) for name, rows in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--channels", type=int, default=128)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)

    shape = (3 * given.batch, given.channels, given.size, given.size)
    x, upstream = torch.randn(shape), torch.randn(shape)
    reference = Concatenated(given.channels)
    fast = same_function(reference)
    found = differences(reference, fast, x, upstream)
    print(f"C = {given.channels}, planes 3 x {given.size} x {given.size}, batch {given.batch}, one thread")
    print("largest relative difference: " + ", ".join(f"{name} {value:.1e}" for name, value in found.items()) + "\n")
    print("| numbers  |        pass        | concatenated |   fast   | ratio |")
    print("|----------|--------------------|--------------|----------|-------|")
    layers: dict[str, nn.Module] = {"concatenated": reference, "fast": fast}
    first = None
    for kind, half in (("float32", False), ("bfloat16", True)):
        times = median_times(layers, x, upstream, half, given.rounds)
        slow = times["concatenated"]
        first = slow if first is None else first
        for index, part in enumerate(("forward", "forward + backward")):
            a, b = slow[index].item(), times["fast"][index].item()
            print(f"| {kind:8} | {part:18} | {1e3 * a:9.1f} ms | {1e3 * b:5.1f} ms | {a / b:5.2f} |")
    total = first[1].item() / times["fast"][1].item()
    print(f"\nfast in bfloat16 against concatenated in float32, forward + backward: {total:.2f}")


if __name__ == "__main__":
    main()
