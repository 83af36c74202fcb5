"""What a decoder with materials costs: the fused render and the fused fit step, against the plain decoder.

    python benchmarks/materials.py

Both decoders see the same matter, a real fit (`avatars.py`): the one with materials has the other's trunk, density and
hidden layers, and a random last layer. They take turns on one thread; ratios are medians (quartiles) over the turns.
The goal is at most LIMIT times the plain one.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import replace

import torch
from avatars import DATA, FIT, SHARED, fitted, scene_of
from machine import require_kernels
from timing import Contender, ratios, spread, take_turns
from torch import Tensor

from rodin.camera import camera_at
from rodin.data.subject_folders import list_subjects
from rodin.fit.fused import start_fit
from rodin.fit.losses import Batch
from rodin.fit.scene import Scene
from rodin.fit.step import LearnedDecoder
from rodin.render.decoder import Decoder
from rodin.render.renderer import SAMPLES, Renderer

MATERIALS, PIXELS, ROUNDS, LIMIT = 13, 128, 15, 1.5


def with_materials(decoder: Decoder, materials: int) -> Decoder:
    """A decoder of the same matter, whose last layer is random."""
    torch.manual_seed(0)
    other = Decoder(replace(decoder.config, materials=materials))
    own = other.state_dict()
    for name, values in decoder.state_dict().items():
        if name in own and own[name].shape == values.shape:
            own[name].copy_(values)
    return other.requires_grad_(False).eval()


def render_call(planes: Tensor, decoder: Decoder, palette: Tensor | None) -> Callable[[], object]:
    """One view."""
    renderer, camera = Renderer.culled(planes, decoder, palette), camera_at(25.0, 10.0, size=PIXELS)
    return lambda: renderer.image(camera, SAMPLES)


def step_call(
    planes: Tensor, decoder: Decoder | LearnedDecoder, scene: Scene, palette: Tensor | None
) -> Callable[[], object]:
    """One step that moves next to nothing, so that all steps are alike."""
    fit = start_fit(planes, decoder, FIT.loss, palette)
    batch = Batch.draw(scene, FIT.rays, FIT.loss.empty_points, torch.Generator().manual_seed(0))
    return lambda: fit.step(scene, batch, FIT.plane_size, 1e-7, palette_learning_rate=1e-7)


def main() -> None:
    require_kernels()
    torch.set_num_threads(1)
    avatars = fitted("mini", FIT.plane_size)
    planes, plain = avatars.planes[0], avatars.decoder
    mixed, palette = with_materials(plain, MATERIALS), torch.full((MATERIALS, 3), 0.5)
    scene = scene_of(list_subjects(DATA)[SHARED.subjects], FIT).narrowed(planes, plain)
    known = replace(scene, shares=scene.targets[:, 3:].expand(-1, MATERIALS).contiguous() / MATERIALS)
    cases = {
        "render 128x128": (render_call(planes, plain, None), render_call(planes, mixed, palette)),
        "fit step, decoder frozen": (
            step_call(planes, plain, scene, None),
            step_call(planes, mixed, known, palette),
        ),
        "fit step, decoder learned": (
            step_call(planes, LearnedDecoder(with_materials(plain, 0), 1e-7), scene, None),
            step_call(planes, LearnedDecoder(with_materials(plain, MATERIALS), 1e-7), known, palette),
        ),
    }
    print(f"mini decoder, planes {FIT.plane_size}x{FIT.plane_size}, {MATERIALS} materials, one thread, {ROUNDS} turns")
    print("case                        plain, ms   materials, ms       ratio, CPU   goal")
    for name, (one, other) in cases.items():
        times = take_turns({"plain": Contender(one, 9), "materials": Contender(other, 9)}, ROUNDS, name)
        cpu = ratios(times["materials"].cpu, times["plain"].cpu)
        took = [1e3 * statistics.median(times[which].cpu) for which in ("plain", "materials")]
        met = "met" if statistics.median(cpu) <= LIMIT else "MISSED"
        print(f"{name:26} {took[0]:10.2f} {took[1]:15.2f} {spread(cpu, 2):>22}   <= {LIMIT} {met}")


if __name__ == "__main__":
    main()
