"""What several test modules share: subjects that are known exactly (balls of two colours, ray-traced in closed form, in
the project's own format), a whole tiny run trained on them by the real command line, and a disk that is full.

No test fails because the machine is slow or busy: what is waited for may take HANG_SECONDS, and what must be cheap is
counted (imports, calls), not timed.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import shutil
import struct
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from filelock import FileLock
from hypothesis import HealthCheck, settings
from PIL import Image

if TYPE_CHECKING:  # torch is left to the processes that run tests; xdist's first one only shares them out
    from playwright.sync_api import Browser

    from rodin.avatars.avatar import Avatar
    from rodin.camera import Camera

os.environ.setdefault("OMP_NUM_THREADS", "1")  # as `rodin` itself does, before torch is imported

gc.disable()  # until all is imported; see pytest_collection_finish

HANG_SECONDS = 1800.0  # what takes longer never ends, on whatever machine

settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

BallMaker = Callable[..., Path]
WheelOf = Callable[[Path, Path], Path]  # source tree and folder to wheel
SourceTree = Callable[[Path], Path]
FullDisk = Callable[[int], AbstractContextManager[None]]
Launcher = Callable[..., subprocess.Popen[str]]
MadeOnce = Callable[[str, Callable[[Path], object]], Path]
Until = Callable[[Callable[[], bool]], None]
BrowserOf = Callable[[bool], "Browser"]


ColourProfile = Callable[[str], bytes]

# Colours of primaries in XYZ under D50, from the published definitions of the colour spaces, and their exponents
_COLOUR_SPACES = {
    "adobe": (((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446)), 2.2),
    "p3": (((0.5151, 0.2412, -0.0011), (0.2920, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841)), 2.2),
}


def pytest_collection_finish() -> None:
    """What has been imported stays: looking through it for garbage took an eighth of the tests' time."""
    gc.collect()
    gc.freeze()
    gc.enable()


def trace_ball(camera: Camera, radius: float, centre: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """[H, W, 4] of one view: an opaque ball, colour by the sign of x; 4x4 samples a pixel."""
    fine = camera.resized(camera.width * 4, camera.height * 4)
    origins, directions = (value.double().numpy() for value in fine.rays())
    offset = origins - centre
    half_b = (offset * directions).sum(-1)
    discriminant = half_b**2 - ((offset**2).sum(-1) - radius**2)
    hit = discriminant > 0
    point = origins + (-half_b - np.sqrt(np.maximum(discriminant, 0)))[..., None] * directions
    colour = colours[(point[..., 0] > centre[0]).astype(int)] * hit[..., None]
    blocks = (camera.height, 4, camera.width, 4)
    alpha = hit.reshape(blocks).mean(axis=(1, 3))
    premultiplied = colour.reshape(*blocks, 3).mean(axis=(1, 3))
    straight = premultiplied / np.maximum(alpha, 1e-9)[..., None]
    return np.concatenate([straight, alpha[..., None]], axis=-1)


def write_ball(folder: Path, seed: int, views: int, size: int) -> Path:
    from rodin.camera import orbit

    rng = np.random.default_rng(seed)
    radius, centre = rng.uniform(0.45, 0.6), rng.uniform(-0.1, 0.1, 3)
    colours = rng.uniform(0.1, 0.9, (2, 3))
    azimuths = [0.0, *(np.arange(views - 1) * 360.0 / (views - 1) + 13.0).tolist()]
    elevations = [0.0, *(40 * np.sin(np.arange(views - 1) * 2.4)).tolist()]
    camera = orbit(azimuths, elevations, size=size, fov_deg=30.0)
    folder.mkdir(parents=True)
    frames = []
    for index in range(views):
        image = trace_ball(camera[index], radius, centre, colours)
        Image.fromarray((image * 255).round().astype(np.uint8)).save(folder / f"{index:03d}.png")
        # The half of the smaller x is skin, the other hair: a share is the ball's brightness if it alone were white.
        halves = trace_ball(camera[index], radius, centre, np.eye(3)[:2])
        shares = (halves[..., :2] * halves[..., 3:] * 255).round().astype(np.uint8)
        Image.fromarray(np.concatenate([shares[..., 0], shares[..., 1]])).save(folder / f"{index:03d}.materials.png")
        frames.append(
            {
                "file_path": f"{index:03d}.png",
                "materials_path": f"{index:03d}.materials.png",
                "transform_matrix": camera.cam_to_world[index].tolist(),
            }
        )
    document = {
        "fl_x": camera.focal[0, 0].item(),
        "w": size,
        "h": size,
        "frontal": 0,
        "materials": ["skin", "hair"],
        "caption": f"a ball of radius {radius:.2f}, seed {seed}",
        "frames": frames,
    }
    (folder / "transforms.json").write_text(json.dumps(document))
    return folder


def write_balls(data: Path, count: int, views: int = 14, size: int = 24) -> None:
    for index in range(count):
        write_ball(data / f"ball{index}", index, views, size)


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> MadeOnce:
    """made_once(name, make) -> a folder that `make` has filled once for all processes that the tests run in: the first
    that asks makes it, the others wait. Leave it as it is."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent  # of the workers' own folders

    def once(name: str, make: Callable[[Path], object]) -> Path:
        folder, whole = shared / f"shared-{name}", shared / f"shared-{name}.made"
        with FileLock(shared / f"shared-{name}.lock", timeout=HANG_SECONDS):
            if not whole.exists():
                shutil.rmtree(folder, ignore_errors=True)  # what another, which failed, left
                folder.mkdir()
                make(folder)
                whole.touch()
        return folder

    return once


@pytest.fixture(scope="session")
def until() -> Until:
    """until(true): wait for something that another process does."""

    def wait(true: Callable[[], bool]) -> None:
        begun = time.monotonic()
        while not true():
            assert time.monotonic() < begun + HANG_SECONDS, "it hangs"
            time.sleep(0.01)

    return wait


@pytest.fixture(scope="session")
def browser_of() -> Iterator[BrowserOf]:
    """browser_of(graphics): Debian's Chromium without a screen, started once each; it draws by SwiftShader, as on a
    machine without a GPU, or not at all. Nothing is ever downloaded; without Chromium the tests are skipped."""
    executable = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if executable is None:
        pytest.skip("Chromium is not installed; apt-get install chromium")
    from playwright.sync_api import sync_playwright

    flags = {
        True: ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"],
        False: ["--disable-gpu", "--disable-3d-apis"],
    }
    sandbox = [] if os.getuid() else ["--no-sandbox"]  # which root has none of
    started: dict[bool, Browser] = {}
    with sync_playwright() as playwright:

        def start(graphics: bool) -> Browser:
            if graphics not in started:
                started[graphics] = playwright.chromium.launch(
                    executable_path=executable, args=[*flags[graphics], *sandbox], timeout=1000 * HANG_SECONDS
                )
            return started[graphics]

        yield start
        for browser in started.values():
            browser.close()


@pytest.fixture
def mended_checksums(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files may be changed, as by a stranger who mends their checksums too: what else tells that they are wrong?"""
    from rodin import checksums

    monkeypatch.setattr(checksums, "check", lambda folder, names, copy=None: None)
    monkeypatch.setattr(checksums, "check_seal", lambda path, facts: False)


@pytest.fixture(scope="session", autouse=True)
def _small_pictures() -> Iterator[None]:
    """Trainings draw pictures of a sixteenth of the size: a short one spent most of its time on them."""
    from rodin.train import pictures

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pictures, "SIDE", 24)
        patch.setattr(pictures, "SAMPLES", 32)
        yield


@pytest.fixture(scope="session")
def ball_maker(tmp_path_factory: pytest.TempPathFactory) -> BallMaker:
    """ball_maker(count, views=, size=) -> a folder of that many ball subjects."""

    def make(count: int, views: int = 14, size: int = 24) -> Path:
        data = tmp_path_factory.mktemp("balls")
        write_balls(data, count, views, size)
        return data

    return make


@pytest.fixture(scope="session")
def balls(made_once: MadeOnce) -> Path:
    """Four balls, 14 views of 24 x 24; shared, so leave the folder as it is."""
    return made_once("balls", lambda data: write_balls(data, 4))


@pytest.fixture(scope="session")
def wheel_of() -> WheelOf:
    """wheel_of(source, folder): the wheel that the real back-end builds of a source tree, on a machine without a
    compiler: its CMake finds none where CXX names none."""

    def build(source: Path, folder: Path) -> Path:
        command = ["-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", folder]
        missing = {"CXX": str(folder / "no-compiler"), "CC": str(folder / "no-compiler")}
        environment = {**os.environ, **missing}
        done = subprocess.run([sys.executable, *command, source], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        (wheel,) = folder.iterdir()
        return wheel

    return build


@pytest.fixture(scope="session")
def source_tree() -> SourceTree:
    """source_tree(folder): a copy of what a package is built from, without a model and what a compiler made."""
    root = Path(__file__).parents[1]

    def copy(folder: Path) -> Path:
        shutil.copytree(root / "rodin", folder / "rodin", ignore=shutil.ignore_patterns("__pycache__", "*.so"))
        for name in ("pyproject.toml", "CMakeLists.txt", "README.md", "LICENSE"):
            shutil.copy(root / name, folder)
        return folder

    return copy


@pytest.fixture(scope="session")
def bare_wheel(source_tree: SourceTree, wheel_of: WheelOf, made_once: MadeOnce) -> Path:
    """The wheel of a source tree without a model."""
    folder = made_once("wheel", lambda folder: wheel_of(source_tree(folder / "tree"), folder / "wheels"))
    return next((folder / "wheels").iterdir())


@pytest.fixture(scope="session")
def full_disk() -> FullDisk:
    """with full_disk(n): ... - no file of this process may grow beyond n bytes; the writer sees a real OSError."""

    @contextmanager
    def limited(size: int) -> Iterator[None]:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))  # Python ignores the signal that comes with it
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return limited


@pytest.fixture(scope="session")
def tiny_preset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A YAML preset of the whole chain, for the balls, that trains in seconds."""
    from rodin.fit.config import FittingConfig
    from rodin.fit.planes import FitConfig
    from rodin.fit.shared import SharedConfig
    from rodin.models.clip import EncoderConfig
    from rodin.models.prior import PriorConfig
    from rodin.models.refiner import RefinerConfig
    from rodin.models.upsampler import LEVELS
    from rodin.networks.unet import UNetConfig
    from rodin.render.decoder import DecoderConfig
    from rodin.train.base import BaseTraining
    from rodin.train.encoder import EncoderTraining
    from rodin.train.loop import LoopConfig
    from rodin.train.patches import PatchConfig
    from rodin.train.presets import Preset, preset_yaml
    from rodin.train.prior import PriorTraining
    from rodin.train.refiner import RefinerTraining
    from rodin.train.upsampler import UpsamplerTraining

    unet = UNetConfig(
        size=8,
        in_channels=4,
        out_channels=4,
        width=32,
        multipliers=(1,),
        blocks=1,
        attention=(),
        head_width=32,
        patch=2,
    )
    quick = LoopConfig(steps=20, batch_size=4, learning_rate=2e-3, warmup_steps=2, ema_decay=0.9)
    preset = Preset(
        encoder=EncoderTraining(
            network=EncoderConfig(
                image_size=16, width=32, layers=1, heads=2, text_width=32, text_layers=1, text_heads=2
            ),
            loop=LoopConfig(steps=10, batch_size=4, learning_rate=1e-3, warmup_steps=2),
        ),
        fitting=FittingConfig(
            decoder=DecoderConfig(channels=4, hidden=16),
            shared=SharedConfig(subjects=3, common_steps=40, steps=40),
            planes=FitConfig(plane_size=16, image_size=24, samples=32, steps=40, rays=256, learning_rate=0.15),
        ),
        base=BaseTraining(
            network=unet,
            loop=LoopConfig(steps=80, batch_size=8, learning_rate=4e-3, warmup_steps=5, ema_decay=0.9),
        ),
        prior=PriorTraining(
            network=PriorConfig(width=32, layers=1, heads=2, text_width=32),
            loop=quick,
        ),
        upsampler=UpsamplerTraining(
            network=replace(unet, size=16, patch=4, latent_dim=LEVELS, condition_channels=4),
            scale=2,
            loop=quick,
            patches=PatchConfig(size=12, image_size=24, samples=24),
        ),
        refiner=RefinerTraining(
            network=RefinerConfig(channels=4, width=8, blocks=1, scale=2),
            loop=replace(quick, gradient_clip=0.0),
            image_size=12,
            samples=32,
            views=3,
            patch=8,
        ),
    )
    path = tmp_path_factory.mktemp("preset") / "tiny.yaml"
    path.write_text(preset_yaml(preset))
    return path


@pytest.fixture(scope="session")
def quick_preset(tiny_preset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same networks and fits, and two steps of each training."""
    import yaml

    document = yaml.safe_load(tiny_preset.read_text())
    for stage in ("encoder", "base", "prior", "upsampler", "refiner"):
        document[stage]["loop"].update(steps=2, warmup_steps=1)
    path = tmp_path_factory.mktemp("preset") / "quick.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


@pytest.fixture(scope="session")
def trained(balls: Path, tiny_preset: Path, made_once: MadeOnce) -> Path:
    """A run folder that `rodin train all` made of the balls; shared, so leave it as it is."""
    from rodin.cli.main import main

    def make(folder: Path) -> None:
        flags = ["--run", str(folder / "run"), "--workers", "1", "--preset", str(tiny_preset)]
        main(["train", "all", str(balls), *flags])

    return made_once("trained", make) / "run"


@pytest.fixture(scope="session")
def trained_on_materials(balls: Path, quick_preset: Path, made_once: MadeOnce) -> Path:
    """A run folder that `rodin train all` made of the balls with a decoder of materials; leave it as it is.

    The networks have had two steps, fits and palettes are learned.
    """
    import yaml

    from rodin.cli.main import main
    from rodin.materials import MATERIALS

    def make(folder: Path) -> None:
        document = yaml.safe_load(quick_preset.read_text())
        document["fitting"]["decoder"]["materials"] = len(MATERIALS)
        document["fitting"]["shared"]["steps"] = 120
        loop = {"steps": 60, "batch_size": 8, "learning_rate": 3e-3, "warmup_steps": 2, "ema_decay": 0.9}
        document["palette"] = {"network": {"materials": len(MATERIALS), "hidden": 16}, "loop": loop}
        (folder / "materials.yaml").write_text(yaml.safe_dump(document))
        flags = ["--run", str(folder / "run"), "--workers", "1", "--preset", str(folder / "materials.yaml")]
        main(["train", "all", str(balls), *flags])

    return made_once("trained-on-materials", make) / "run"


@pytest.fixture(scope="session")
def of_materials() -> Avatar:
    """A ball of radius 0.6 that is known in closed form, as far as planes of 64 texels hold it: hair where x > 0, top
    where y < -0.3, else skin; its shade rises with y. Leave it as it is."""
    import torch

    from rodin.avatars.avatar import Avatar
    from rodin.avatars.drawing import Drawing
    from rodin.materials import MATERIALS
    from rodin.models.refiner import Refiner, RefinerConfig
    from rodin.render.decoder import Decoder, DecoderConfig

    count = len(MATERIALS)
    config = DecoderConfig(
        channels=4, hidden=6, colour_layers=0, view_direction=False, density_shift=0.0, materials=count
    )
    decoder = Decoder(config).requires_grad_(False)
    for value in decoder.parameters():
        value.zero_()
    decoder.trunk.weight[:, :3] = torch.eye(3).repeat(2, 1) * torch.tensor([1.0, 1, 1, -1, -1, -1])[:, None]

    def reads(weights: tuple[float, float, float]) -> torch.Tensor:
        """Weights of the hidden layer, which is made of pairs: silu(a) - silu(-a) = a."""
        return torch.tensor([*weights, *(-value for value in weights)])

    decoder.density.weight[0] = reads((40.0, 0.0, 0.0))  # of 0.36 - r^2, x and y
    last = decoder.colour[-1]
    last.bias[:count] = -60.0
    for name, bias, weights in (("skin", 0.0, (0, 0, 0)), ("hair", 0.0, (0, 80, 0)), ("top", -48.0, (0, 0, -160))):
        last.bias[MATERIALS.index(name)], last.weight[MATERIALS.index(name)] = bias, reads(weights)
    last.bias[count] = 0.1  # a little red everywhere
    last.weight[-1] = reads((0.0, 0.0, 0.4))

    planes = torch.zeros(3, 4, 64, 64)
    ramp = (torch.arange(64) + 0.5) / 32 - 1
    rows, columns = ramp[:, None], ramp[None, :]
    planes[:, 0] = 0.12 - (rows.square() + columns.square()) / 2  # every axis spans two planes
    planes[0, 1], planes[0, 2] = rows, columns  # x and y
    palette = torch.rand(count, 3, generator=torch.Generator().manual_seed(4)) * 0.6 + 0.2
    refiner = Refiner(RefinerConfig(channels=4, width=4, blocks=1, scale=2)).requires_grad_(False)
    return Avatar(planes, decoder, refiner, torch.zeros(512), torch.zeros(3, 4, 8, 8), Drawing(seed=0), "", palette)


@pytest.fixture
def works_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pool's work is done in the tests' own process; starting one takes longer than the fits."""
    from rodin.fan_out import Pool

    monkeypatch.setattr(Pool, "results", lambda pool, work, tasks, tell: [work(task) for task in tasks])


@pytest.fixture(scope="session")
def launch() -> Launcher:
    """Start a script in `ranks` processes that find each other: launch(folder, body, *arguments, module=, ranks=,
    restarts=).

    They are a session of their own, and are started again so often if one of them fails. The file `module` can be
    imported there by the name tests_shared.
    """

    def start(
        folder: Path, body: str, *arguments: str, module: str | None = None, ranks: int = 1, restarts: int = 0
    ) -> subprocess.Popen[str]:
        folder.mkdir(exist_ok=True)
        script = folder / "script.py"
        script.write_text(textwrap.dedent(body))
        if module is not None:
            (folder / "tests_shared.py").write_text(Path(module).read_text())
        command = [sys.executable, str(script), *arguments]
        if ranks > 1:
            command[1:1] = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(ranks)]
            command[4:4] = ["--max_restarts", str(restarts)]
        paths = os.pathsep.join([str(Path(__file__).parents[1]), str(folder), os.environ.get("PYTHONPATH", "")])
        environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    return start


@pytest.fixture(scope="session")
def run_ranks(launch: Launcher) -> Callable[..., tuple[int, str]]:
    """Like `launch`, to the end: the exit code and what was said."""

    def run(
        folder: Path, body: str, *arguments: str, module: str | None = None, ranks: int = 2, restarts: int = 0
    ) -> tuple[int, str]:
        process = launch(folder, body, *arguments, module=module, ranks=ranks, restarts=restarts)
        try:
            output, _ = process.communicate(timeout=HANG_SECONDS)
        finally:
            process.terminate()
        return process.returncode, output

    return run


@pytest.fixture(scope="session")
def colour_profile() -> ColourProfile:
    """colour_profile(space) -> a profile (ICC 2): "adobe", "p3", linear "grey", or a "cmyk" whose cyan is red."""

    def fixed(*numbers: float) -> bytes:
        return struct.pack(f">{len(numbers)}i", *(round(number * 65536) for number in numbers))

    def curve(exponent: float) -> bytes:
        return b"curv" + struct.pack(">IIH", 0, 1, round(exponent * 256))

    def inks() -> bytes:
        """Lab of the 16 corners of cyan, magenta, yellow, black: paper, a red for cyan alone, else black."""
        ramp = bytes(range(256))
        corners = [(255, 128, 128) if k == 0 else (128, 190, 170) if k == 8 else (0, 128, 128) for k in range(16)]
        table = b"".join(bytes(corner) for corner in corners)
        head = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
        return head + 4 * ramp + table + 3 * ramp

    def profile(space: str) -> bytes:
        name = f"{space}, for tests".encode() + b"\0"
        tags = {b"desc": b"desc" + bytes(4) + struct.pack(">I", len(name)) + name + bytes(78)}
        tags[b"wtpt"] = b"XYZ " + bytes(4) + fixed(0.9642, 1, 0.8249)
        kind, colours, between = b"mntr", b"RGB ", b"XYZ "
        if space in _COLOUR_SPACES:
            primaries, exponent = _COLOUR_SPACES[space]
            for letter, primary in zip((b"r", b"g", b"b"), primaries, strict=True):
                tags[letter + b"XYZ"] = b"XYZ " + bytes(4) + fixed(*primary)
                tags[letter + b"TRC"] = curve(exponent)
        elif space == "grey":
            colours, tags[b"kTRC"] = b"GRAY", curve(1)
        else:
            kind, colours, between, tags[b"A2B0"] = b"prtr", b"CMYK", b"Lab ", inks()
        body, table, start = b"", struct.pack(">I", len(tags)), 132 + 12 * len(tags)
        for tag, value in tags.items():
            value += bytes(-len(value) % 4)
            table += tag + struct.pack(">II", start + len(body), len(value))
            body += value
        head = struct.pack(">I4sI4s4s4s", start + len(body), b"", 0x02100000, kind, colours, between)
        head += bytes(12) + b"acsp" + bytes(28) + fixed(0.9642, 1, 0.8249)
        return head.ljust(128, b"\0") + table + body

    return profile
