"""What a training step of the mini base model spends its time on, and how near the processor's products it comes.

    python benchmarks/train_step.py

One process, one thread, as each rank of a training runs; random planes and latents. Steps are timed in processes of
their own, with memory in common pages and in huge ones, which torch chooses when it starts; then one of each is taken
apart by torch's profiler. Arithmetic is counted by torch (`FlopCounterMode`), what the edges of planes need beyond it
is not. The yardstick is a plain product of square matrices, in the number type of the training.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch
from claims import table
from timing import fresh_python, progress, spread
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from rodin.diffusion.losses import Diffusion
from rodin.draws import Draws
from rodin.networks.unet import UNet
from rodin.train.optimizers import make_optimizers
from rodin.train.presets import mini
from rodin.train.pupil import has_bf16

RANKS = 2  # that the preset's batch is shared by
ROUNDS, REPEATS, TAKEN_APART = 3, 5, 3
SIDE = 1024  # of the yardstick's matrices

#: What a step consists of, by how the profiler's names begin.
PARTS = {
    "convolutions, gradients": ("aten::convolution_backward",),
    "convolutions": ("aten::mkldnn_convolution", "aten::convolution", "aten::thnn_conv2d"),
    "edges and lines": ("PadAndPool", "AddLines"),
    "norms": ("FusedNorm",),
    "other products": ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm"),
}
OPTIMIZER, REST = "optimizer", "all else"
MOVING = "moving"  # what the profiler is told of the optimizers' part


def new_step(batch: int) -> tuple[Callable[[], torch.Tensor], Callable[[], None]]:
    """Forward pass and loss of a step of `batch` samples, and what the optimizers do."""
    base = mini().base
    torch.manual_seed(0)
    network = UNet(base.network)
    average = UNet(base.network).requires_grad_(False)
    loop, config = base.loop, base.network
    optimizers = make_optimizers(network, loop.optimizer, loop.learning_rate, loop.weight_decay, loop.betas)
    planes = torch.randn(batch, 3, config.in_channels, config.size, config.size)
    latents = functional.normalize(torch.randn(batch, config.latent_dim), dim=1)
    noising = Diffusion(base.diffusion, torch.device("cpu"))
    draws = Draws(0, batch, range(batch), torch.device("cpu"), 0)
    half = has_bf16(torch.device("cpu"))

    def loss() -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            return noising.losses(lambda x, t: network(x, t, latents), planes, draws)["loss"]

    def move() -> None:
        torch.nn.utils.clip_grad_norm_(network.parameters(), loop.gradient_clip)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - loop.ema_decay)

    return loss, torch.no_grad()(move)


def take_time(batch: int) -> dict[str, float]:
    """Median milliseconds of a step's parts."""
    loss, move = new_step(batch)
    taken: list[tuple[float, float, float]] = []
    for _ in range(REPEATS + 1):
        began = time.perf_counter()
        value = loss()
        forward = time.perf_counter()
        value.backward()
        backward = time.perf_counter()
        move()
        taken.append((forward - began, backward - forward, time.perf_counter() - backward))
    columns = zip(*taken[1:], strict=True)  # the first prepares kernels
    names = ("forward", "backward", "move")
    return {name: 1e3 * statistics.median(one) for name, one in zip(names, columns, strict=True)}


def take_apart(batch: int) -> dict[str, float]:
    """Milliseconds a step of each of `PARTS`, of the optimizers and of the rest, by the profiler."""
    loss, move = new_step(batch)
    loss().backward()
    move()
    found = dict.fromkeys((*PARTS, OPTIMIZER, REST), 0.0)
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        for _ in range(TAKEN_APART):
            loss().backward()
            with torch.profiler.record_function(MOVING):
                move()
    for event in profiler.events():
        milliseconds = event.self_cpu_time_total / 1e3 / TAKEN_APART
        part = next((part for part, names in PARTS.items() if event.name.startswith(names)), REST)
        found[OPTIMIZER if _is_within(event, MOVING) else part] += milliseconds  # whose products are not the network's
    return found


def _is_within(event: torch.autograd.profiler_util.FunctionEvent, name: str) -> bool:
    while event.name != name and event.cpu_parent is not None:
        event = event.cpu_parent
    return bool(event.name == name)


def count_flops(batch: int) -> dict[str, float]:
    """Gigaflop a step: of convolutions, of their gradients, and of other products."""
    loss, _ = new_step(batch)
    with FlopCounterMode(display=False) as counter:
        loss().backward()
    counts = {str(name): count / 1e9 for name, count in counter.flop_counts["Global"].items()}
    convolutions, gradients = counts.pop("aten.convolution"), counts.pop("aten.convolution_backward")
    return {"convolutions": convolutions, "convolutions, gradients": gradients, "other products": sum(counts.values())}


def yardstick() -> float:
    """GFLOP/s of a product of square matrices in the training's number type, the median of some."""
    kind = torch.bfloat16 if has_bf16(torch.device("cpu")) else torch.float32
    one, other = torch.randn(SIDE, SIDE).to(kind), torch.randn(SIDE, SIDE).to(kind)
    taken = []
    for _ in range(12):
        began = time.perf_counter()
        one @ other
        taken.append(time.perf_counter() - began)
    return 2 * SIDE**3 / statistics.median(taken[2:]) / 1e9


def alone(what: str, batch: int, huge: bool) -> dict[str, float]:
    """A measurement in a process of its own."""
    command = [__file__, "--alone", what, "--batch", str(batch)]
    said = fresh_python(command, environment={"THP_MEM_ALLOC_ENABLE": str(int(huge))}).said
    found: dict[str, float] = json.loads(said.splitlines()[-1])
    return found


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    share = mini().base.loop.batch_size // RANKS
    parser.add_argument("--batch", type=int, default=share, help="samples a step; the default is a rank's of two")
    parser.add_argument("--alone", choices=("time", "parts"), help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    if arguments.alone:
        print(json.dumps((take_time if arguments.alone == "time" else take_apart)(arguments.batch)))
        return
    batch = arguments.batch
    turns: dict[bool, list[dict[str, float]]] = {False: [], True: []}
    for turn in range(ROUNDS):
        for huge, taken in turns.items():
            progress(f"training step: {'huge' if huge else 'common'} pages, turn {turn + 1} of {ROUNDS}")
            taken.append(alone("time", batch, huge))
    kind = "bfloat16" if has_bf16(torch.device("cpu")) else "float32"
    print(f"## A training step of the mini base model\n\n`python benchmarks/train_step.py`, {batch} samples, {kind}\n")
    rows = []
    for huge, taken in turns.items():
        whole = [sum(one.values()) for one in taken]
        parts = [spread([one[name] for one in taken], 0) for name in ("forward", "backward", "move")]
        rows.append(["huge" if huge else "common", *parts, spread(whole, 0), f"{statistics.median(whole) / batch:.0f}"])
    print(table(["pages", "forward, ms", "backward, ms", "optimizer, ms", "step, ms", "ms a sample"], rows))
    progress("training step: taken apart")
    found, counts, most = alone("parts", batch, True), count_flops(batch), yardstick()
    total = sum(found.values())
    rows = []
    for name, value in found.items():
        rate = f"{counts[name] / value * 1e3:.0f}" if name in counts else ""
        rows.append([name, f"{value:.0f}", f"{value / total:.0%}", rate])
    rows.append(["step", f"{total:.0f}", "100%", f"{sum(counts.values()) / total * 1e3:.0f}"])
    print("\n" + table(["in huge pages", "ms", "share", "GFLOP/s"], rows))
    print(f"\nA plain product of {SIDE} x {SIDE} matrices: {most:.0f} GFLOP/s.")


if __name__ == "__main__":
    main()
