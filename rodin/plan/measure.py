"""How fast this machine does the work: some seconds of each kind, with the programs that do it.

Processor time is taken, not that of the clock: other work beside it hardly shows.
"""

from __future__ import annotations

import os
import platform
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from tqdm import tqdm

from rodin.diffusion.losses import Diffusion
from rodin.draws import Draws
from rodin.errors import UserError
from rodin.fan_out import Pool
from rodin.fit.subject import fit_subject, load_for
from rodin.networks.unet import UNet
from rodin.plan.machine import Machine
from rodin.plan.work import TRAINED, unet_operations
from rodin.render.decoder import Decoder
from rodin.synth.generate import SynthConfig, generate
from rodin.train.presets import mini
from rodin.train.pupil import Pupil
from rodin.train.ranks import process_state

SIZE, SAMPLES = 128, 8  # of the views, as `Machine.view_s` counts them
FEW, MANY = 2, 10  # views, whose difference is what a view costs
FIT_STEPS = (8, 24, 96)  # the first fit warms up
TRAINING_STEPS = (3, 9)  # to warm up, and to measure
WRITTEN_MB = 256


def measure_machine(name: str | None = None) -> Machine:
    """Measure the machine at hand, in a minute or two. Other work beside it makes it slower, and is measured too.

    Raises:
        UserError: Blender's module is not installed.
    """
    with tempfile.TemporaryDirectory() as scratch, tqdm(total=4, desc="measure", unit="part") as bar:
        folder = Path(scratch)
        (few, start), (many, _) = (_render_seconds(folder / f"{views}", views) for views in (FEW, MANY))
        view = max((many - few) / (MANY - FEW), 1e-3)
        bar.update()
        fit, ray = _fit_seconds(folder / f"{MANY}")
        bar.update()
        gflops = training_gflops()
        bar.update()
        disk = _disk_mb_s(folder / "file")
        bar.update()
    gpus = torch.cuda.device_count()
    return Machine(
        name=name or f"{platform.node()}, {platform.processor() or platform.machine()}",
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        gpus=gpus,
        start_s=_rounded(start),
        subject_s=_rounded(max(few - FEW * view, 1e-3)),
        view_s=_rounded(view),
        fit_s=_rounded(fit),
        fit_us=_rounded(1e6 * ray),
        train_gflops=_rounded(gflops),
        disk_mb_s=_rounded(disk),
    )


def _render_seconds(out: Path, views: int) -> tuple[float, float]:
    """Of one subject, as the second and the third of a process, and of the process's start."""
    times = []
    config = SynthConfig(out=out, count=3, views=views, size=SIZE, seed=0, heads="sdf", samples=SAMPLES)
    for one in (replace(config, out=out.with_name(f"{out.name}-start"), count=1), config):
        began = _childrens_seconds()
        generate(one, Pool(workers=1))
        times.append(_childrens_seconds() - began)
    each = (times[1] - times[0]) / 2
    return each, max(times[0] - each, 0.0)


def _childrens_seconds() -> float:
    """Of the processes that have ended."""
    used = os.times()
    return used.children_user + used.children_system


def _fit_seconds(data: Path) -> tuple[float, float]:
    """On one thread: of a fit by mini beside its steps, and of a ray in a step."""
    preset = mini().fitting
    folder = sorted(data.glob("[0-9]*"))[0]
    torch.manual_seed(0)
    decoder = Decoder(preset.decoder).requires_grad_(False)
    start = torch.zeros(3, preset.decoder.channels, preset.planes.plane_size, preset.planes.plane_size)
    times = []
    with _one_thread():
        for steps in FIT_STEPS:
            began = time.process_time()
            subject = load_for(preset.decoder, folder, preset.planes.image_size)
            fit_subject(subject, decoder, start, replace(preset.planes, steps=steps), seed=0)
            times.append(time.process_time() - began)
    _, few, many = FIT_STEPS
    step = max((times[2] - times[1]) / (many - few), 1e-6)
    return max(times[1] - few * step, 0.0), step / preset.planes.rays


def training_gflops() -> float:
    """Of one device that trains mini's base model, optimizer and moving average included."""
    base = mini().base
    network, batch = base.network, base.loop.batch_size
    state = process_state()
    clock = time.process_time if state.device.type == "cpu" else time.perf_counter
    planes = torch.randn(batch, 3, network.in_channels, network.size, network.size, device=state.device)
    z = torch.nn.functional.normalize(torch.randn(batch, network.latent_dim, device=state.device), dim=-1)
    noising = Diffusion(base.diffusion, state.device)

    def loss(model: nn.Module, draws: Draws) -> dict[str, Tensor]:
        return noising.losses(lambda x, t: model(x, t, z), planes, draws)

    warm, measured = TRAINING_STEPS
    with _one_thread():
        pupil = Pupil(UNet(network).to(state.device), base.loop, Accelerator(cpu=state.device.type == "cpu"))
        for step in range(warm + measured):
            if step == warm:
                began = clock()
            pupil.learn(loss, base.loop.learning_rate, step)["loss"].item()  # waits for a GPU
        took = (clock() - began) / measured
    return TRAINED * unet_operations(network)[0] * batch / took / 1e9


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _disk_mb_s(path: Path) -> float:
    block = os.urandom(2**20)
    began = time.perf_counter()
    with path.open("wb") as file:
        for _ in range(WRITTEN_MB):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    return WRITTEN_MB * 2**20 / 1e6 / (time.perf_counter() - began)


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")


def check_blender() -> None:
    """Raise UserError unless Blender's module is there: without it, rendering cannot be measured."""
    from importlib.util import find_spec

    if find_spec("bpy") is None:
        raise UserError(
            "rodin plan --measure renders some views; install Blender's module: pip install "
            "'rodin-avatars[blender]', or give --machine with a file that was measured elsewhere"
        )
