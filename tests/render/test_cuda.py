"""Contract: the GPU's totals are the reference's, whatever the shapes, the decoder and the rays; the kernel compiles
for NVIDIA's chips without spilling registers; without a GPU it is not chosen.

No GPU is asked for: the kernel runs in Triton's interpreter. That has to be switched on before Triton is imported, so
one process of its own (this file as a script) renders all cases, and the tests compare what it leaves.
"""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from rodin.camera import orbit
from rodin.render import cuda, reference
from rodin.render.decoder import Decoder, DecoderConfig
from rodin.render.rays import Occupancy, Rays, camera_rays, clip_to_box


@dataclass(frozen=True)
class Case:
    """What is rendered, all of it drawn at random."""

    decoder: dict[str, object] = field(default_factory=dict)
    height: int = 9
    width: int = 13
    channels: int = 5
    colours: int = 3
    samples: int = 5
    cells: int = 0  # of the occupancy grid, each marked with probability `marked`; 0 = no grid
    marked: float = 0.05
    features: bool = False

    def field(self) -> reference.Field:
        """The reference."""
        torch.manual_seed(0)
        shape = {"hidden": 20, "density_scale": 3.0, "density_shift": 0.0, **self.decoder}
        decoder = Decoder(DecoderConfig(channels=self.channels, colours=self.colours, **shape))
        if decoder.direction is not None:
            nn.init.normal_(decoder.direction.weight)
        elif decoder.config.view_direction:  # of the shade
            for parameter in decoder.colour[-1].parameters():
                nn.init.normal_(parameter.data[-8:])
        return reference.Field(torch.randn(3, self.channels, self.height, self.width), decoder)

    def occupancy(self) -> Occupancy | None:
        generator = torch.Generator().manual_seed(1)
        shape = (self.cells,) * 3
        return Occupancy(torch.rand(shape, generator=generator) < self.marked) if self.cells else None


CASES = {
    "plain": Case(),
    "one channel, two colours": Case(channels=1, colours=2, decoder={"hidden": 3}),
    "33 hidden, 20 colours": Case(channels=17, colours=20, decoder={"hidden": 33, "colour_layers": 2}),
    "linear colour": Case(decoder={"colour_layers": 0}),
    "no direction": Case(decoder={"view_direction": False}),
    "2 frequencies": Case(decoder={"frequencies": 2}),
    "softplus": Case(decoder={"activation": "softplus", "frequencies": 1}),
    "features": Case(features=True, channels=18),
    "features and 2 frequencies": Case(features=True, decoder={"frequencies": 2}),
    "occupancy": Case(cells=15, marked=0.02, samples=17),
    "empty occupancy": Case(cells=4, marked=0.0, features=True),
    "one texel": Case(height=1, width=1),
    "materials": Case(decoder={"materials": 4}),
    "14 materials": Case(channels=17, decoder={"materials": 14, "hidden": 33, "colour_layers": 2}),
    "one material without a direction": Case(decoder={"materials": 1, "view_direction": False, "colour_layers": 0}),
    "materials, features, occupancy": Case(features=True, cells=15, samples=17, decoder={"materials": 13}),
    "opaque": Case(cells=5, marked=1.1, decoder={"density_scale": 300.0}),
}


CHIPS = (80, 90)  # NVIDIA's Ampere and Hopper
COMPILED = {
    "mini": Case(channels=16, decoder={"hidden": 32}, cells=4),
    "EG3D's": Case(
        channels=32, colours=32, cells=4, decoder={"hidden": 64, "activation": "softplus", "colour_layers": 0}
    ),
    "materials": Case(channels=16, decoder={"hidden": 32, "materials": 13}, cells=4),
    "embedded": Case(channels=16, cells=4, features=True, decoder={"hidden": 32, "frequencies": 2}),
}


def some_rays() -> Rays:
    """31 rays, not quite two programs': a camera's, and rays along the axes, from inside, to the middle, or away."""
    generator = torch.Generator().manual_seed(2)
    seen = camera_rays(orbit([35.0], [20.0], size=4, fov_deg=36.0))
    origins = torch.rand(15, 3, generator=generator) * 1.8 - 0.9  # inside
    directions = torch.nn.functional.normalize(torch.randn(15, 3, generator=generator), dim=-1)
    directions[:6] = torch.cat([torch.eye(3), -torch.eye(3)])
    origins[0, 0], origins[4, 1] = -3.0, 3.0
    origins[6:9], origins[9:12] = -4 * directions[6:9], 4 * directions[9:12]
    others = clip_to_box(origins, directions)
    parts = ("origins", "directions", "near", "far")
    return Rays(*(torch.cat([getattr(seen, name), getattr(others, name)]) for name in parts))


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    """Totals of all cases by the kernel, in Triton's interpreter."""
    path = tmp_path_factory.mktemp("interpreter") / "totals.pt"
    run_apart("render_all", str(path), TRITON_INTERPRET="1")
    return torch.load(path, weights_only=True)


def run_apart(*arguments: str, **environment: str) -> str:
    """This file as a script, and what it prints."""
    done = subprocess.run(
        [sys.executable, __file__, *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1", "TRITON_INTERPRET": "0", **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", CASES)
def test_totals_are_the_references(name: str, rendered: dict[str, Tensor]) -> None:
    case, rays = CASES[name], some_rays()
    occupancy = case.occupancy()
    true = case.field().totals(rays, case.samples, occupancy, case.features)
    misses = rays.far <= rays.near
    assert misses.any()
    assert (rendered[name][misses] == 0).all()
    assert case.marked == 0 or true[:, case.field().decoder.config.emitted].max() > 0.1, "the case shows something"
    # With an occupancy a ray is left a little earlier than the reference leaves it; features and depths come to 7.
    allowed = 2e-5 + (0 if occupancy is None else 7 * reference.OPAQUE_BELOW)
    torch.testing.assert_close(rendered[name], true, atol=allowed, rtol=0)


def test_no_rays_no_totals(rendered: dict[str, Tensor]) -> None:
    assert rendered["no rays"].shape == (0, 5)


def test_planes_that_are_not_finite_are_refused() -> None:
    planes = torch.zeros(3, 4, 5, 6)
    planes[0, 0, 0, :2], planes[2, 3, 4, 5] = float("nan"), float("inf")
    with pytest.raises(ValueError, match="planes must be finite, 3 of 360"):
        cuda.Field(planes, Decoder(DecoderConfig(channels=4)))


def test_on_a_cpu_it_is_not_chosen() -> None:
    assert not cuda.at_hand(torch.zeros(3, 4, 5, 6), Decoder(DecoderConfig(channels=4)))


def test_it_compiles_for_gpus_without_spilling_registers(tmp_path: Path) -> None:
    printed = run_apart("compile_all", TRITON_CACHE_DIR=str(tmp_path))
    spilled = dict(line.rsplit(" ", 1) for line in printed.splitlines())
    assert spilled == {f"{name} {chip}": "0" for name in COMPILED for chip in CHIPS}


# ---- what the processes of their own do


def render_all(path: str) -> None:
    """Totals of all cases, saved."""
    totals = {}
    for name, case in CASES.items():
        true = case.field()
        occupancy = case.occupancy()
        field = cuda.Field(true.planes, true.decoder)
        totals[name] = field.totals(some_rays(), case.samples, occupancy, case.features)
    totals["no rays"] = field.totals(some_rays()[:0], 4, None, False)
    torch.save(totals, path)


def compile_all() -> None:
    """Compile without a GPU, and print how many bytes of registers each thread spills to memory."""
    import triton
    from triton import knobs
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from rodin.render.triton_kernel import render

    for (name, case), chip in itertools.product(COMPILED.items(), CHIPS):
        true = case.field()
        arguments = cuda.Field(true.planes, true.decoder).arguments(some_rays(), 8, case.occupancy(), case.features)
        arguments["totals"] = torch.zeros(1)
        signature, constants, aligned = {}, {}, {}
        for position, argument in enumerate(render.arg_names):
            value = arguments[argument]
            if argument.isupper():
                signature[argument], constants[argument] = "constexpr", value
            elif isinstance(value, Tensor):
                signature[argument] = "*u8" if value.dtype == torch.uint8 else "*fp32"
                aligned[(position,)] = [["tt.divisibility", 16]]  # as torch allocates
            else:
                signature[argument] = "i32" if isinstance(value, int) else "fp32"
        source = ASTSource(render, signature, constants, aligned)
        compiled = triton.compile(source, target=GPUTarget("cuda", chip, 32))
        with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
            file.write(compiled.asm["cubin"])
            file.flush()
            usage = subprocess.run(
                [knobs.nvidia.cuobjdump.path, "--dump-resource-usage", file.name],
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        print(name, chip, re.search(r"STACK:(\d+)", usage)[1])  # type: ignore[index]


def main() -> None:
    globals()[sys.argv[1]](*sys.argv[2:])


if __name__ == "__main__":
    main()
