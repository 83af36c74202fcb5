"""What the commands do: each stage of training by a preset, and what becomes of a model's avatars.

RUN/preset.yaml   the settings of the base model's training
RUN/encoder/  RUN/decoder/  RUN/planes/  RUN/base/   what the stages leave
RUN/model/        the finished model folder
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from rodin.avatar import SUFFIX, Avatar
from rodin.camera import orbit
from rodin.diffusion import Sampler, make_scheduler
from rodin.encoder import Encoder
from rodin.errors import UserError
from rodin.files import atomic_path, write_text
from rodin.fit.run import fit_dataset, quality_table
from rodin.mesh import write_mesh
from rodin.pipeline import RodinPipeline, assemble, square_portrait
from rodin.presets import Preset, preset_yaml
from rodin.sheet import contact_sheet
from rodin.train import base as base_stage
from rodin.train.encoder import train_encoder
from rodin.train.processes import run_on_processes
from rodin.video import write_video

PICTURE_SIZE = 256
TURNTABLE_SIZE = 160
TURNTABLE_FRAMES = 24
FRAMES_PER_SECOND = 12


def encoder(data: Path, run: Path, preset: Preset) -> None:
    """RUN/encoder, trained on the subjects in `data`."""
    train_encoder(data, run, preset.encoder)


def adopt_clip(clip: str, run: Path) -> None:
    """RUN/encoder, copied from a CLIP folder or the hub. One that is there already stays, and that is said.

    Raises:
        UserError: the CLIP cannot be used.
    """
    target = run / "encoder"
    if target.exists():
        print(f"encoder: {target} is there already, {clip} is not read; delete it to take another")
        return
    Encoder.from_pretrained(clip).save_pretrained(target)


def check_workers(workers: int) -> None:
    """Raise UserError unless there is a worker."""
    if workers < 1:
        raise UserError(f"--workers: {workers}; choose 1 or more")


def fit(data: Path, run: Path, preset: Preset, workers: int, seed: int) -> None:
    """RUN/decoder and RUN/planes, and how well held-out views are met."""
    check_workers(workers)
    subjects = fit_dataset(data, run, preset.fitting, workers, seed)
    print("\n".join(quality_table(subjects)))


def base(run: Path, preset: Preset) -> None:
    """RUN/base."""
    base_stage.train_base(run, preset.base)


def base_on_processes(run: Path, preset: Preset, processes: int) -> None:
    """RUN/base, trained on several processes of this machine; RUN/preset.yaml notes the settings."""
    write_text(run / "preset.yaml", preset_yaml(preset))
    if processes == 1 or (run / "base").exists():
        base(run, preset)
    else:
        run_on_processes(base, (run, preset), processes)


def model(run: Path) -> None:
    """RUN/model, from the stages' results."""
    assemble(run).save_pretrained(run / "model")
    print(f"model: {run / 'model'}")


def generate(
    model_folder: Path,
    out: Path,
    image: Path | None,
    seed: int,
    count: int,
    guidance_scale: float,
    steps: int,
    sampler: Sampler,
) -> None:
    """Draw avatars and write each as file, picture, mesh and turntable."""
    if out.exists() and not out.is_dir():
        raise UserError(f"--out: {out} is a file; choose a folder")
    pipe = RodinPipeline.from_pretrained(model_folder)
    pipe.scheduler = make_scheduler(pipe.diffusion, sampler)
    with tqdm(desc="sampling", unit="step") as bar:

        def advance(_step: int, _planes: Tensor) -> None:
            bar.update()

        avatars = pipe(
            image,
            count=count,
            seed=seed,
            guidance_scale=guidance_scale,
            num_inference_steps=steps,
            callback_on_step_end=advance,
        )
    without_mesh: list[str] = []
    for index, avatar in enumerate(tqdm(avatars, desc="writing", unit="avatar")):
        name = f"avatar-{index:03d}"
        avatar.save(out / f"{name}{SUFFIX}")
        write_picture(out / f"{name}.png", avatar.portrait(PICTURE_SIZE))
        turntable = avatar.turntable(TURNTABLE_FRAMES, TURNTABLE_SIZE)
        write_video(out / f"{name}-turntable.gif", turntable, FRAMES_PER_SECOND)
        try:
            mesh = avatar.mesh()
        except UserError as error:  # a weakly trained model may draw fog: the rest of its avatar is still worth having
            without_mesh.append(f"{name} ({error})")
            continue
        write_mesh(out / f"{name}.glb", mesh)
    shown = None if image is None else square_portrait(image)
    write_picture(out / "overview.png", contact_sheet(avatars, shown))
    if without_mesh:
        raise UserError(f"{out}: all is written but the meshes of {', '.join(without_mesh)}; train longer, or export")
    print(f"{len(avatars)} avatars in {out}")


def render(avatar: Path, out: Path, size: int, azimuth: float, elevation: float, turntable: int) -> None:
    """A picture, or with `turntable` views all around a video."""
    if size < 1 or turntable < 0:
        raise UserError(f"--size {size}, --turntable {turntable}: choose a size of 1 or more and 0 or more views")
    if not (math.isfinite(azimuth) and math.isfinite(elevation)):
        raise UserError(f"--azimuth {azimuth}, --elevation {elevation}: choose angles in degrees")
    loaded = Avatar.load(avatar)
    if turntable:
        write_video(out, loaded.turntable(turntable, size, elevation), FRAMES_PER_SECOND)
    else:
        write_picture(out, loaded.render(orbit([azimuth], [elevation], size=size)[0]))
    print(out)


def export(
    avatar: Path, kind: Literal["glb", "obj", "ply"], out: Path | None, resolution: int, threshold: float
) -> None:
    """The avatar's mesh in a file."""
    if not 8 <= resolution <= 1024:
        raise UserError(f"--resolution: {resolution}; choose 8 to 1024")
    if not 0 < threshold < math.inf:
        raise UserError(f"--threshold: {threshold}; choose a density above 0")
    loaded = Avatar.load(avatar)
    out = out or avatar.with_name(avatar.name.removesuffix(SUFFIX) + f".{kind}")
    if out.suffix != f".{kind}":
        raise UserError(f"--out: {out} does not end in .{kind}; change it or --format")
    write_mesh(out, loaded.mesh(resolution, threshold))
    print(out)


def write_picture(path: Path, image: Tensor) -> None:
    """Write [H, W, 3] or, straight and transparent, [H, W, 4] in [0, 1] as a picture.

    Raises:
        UserError: the suffix is no picture format with alpha.
    """
    if path.suffix.lower() not in (".png", ".webp"):
        raise UserError(f"{path}: pictures are .png or .webp; change the suffix")
    pixels = (image * 255).round().to(torch.uint8).numpy()
    with atomic_path(path) as temporary:
        Image.fromarray(pixels).save(temporary)
