"""The paper's ablations: a preset with one thing taken away, and their training beside a finished run.

RUN/ablations/NAME is a run folder of its own. It starts with every part of RUN that the ablation leaves as it is (hard
links, so they take no room), and the rest is trained. The ablation "no guidance" needs no training: draw with a
guidance scale of 1.

    no-aware      plain convolutions in the base model instead of 3D-aware ones
    no-latent     a base model that never sees z
    no-rescaling  planes fitted at their full size alone; everything that learns from planes is trained again
    autoencoder   z to planes in one step, without diffusion
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from rodin.errors import UserError
from rodin.files import atomic_path
from rodin.fit.worlds import WORLDS_NAME
from rodin.train import chain
from rodin.train.presets import Preset

FOLDER_NAME = "ablations"
NEVER_SHARED = ("model", "preset.yaml", FOLDER_NAME)  # made by every run itself


def no_aware(preset: Preset) -> Preset:
    """Plain convolutions in the base model (Rodin, Sec. 3.2)."""
    return replace(preset, base=replace(preset.base, network=replace(preset.base.network, aware=False)))


def no_latent(preset: Preset) -> Preset:
    """A base model without z, so that the prior and every condition do nothing."""
    network = replace(preset.base.network, latent_dim=0, sketch_rank=0)
    return replace(preset, base=replace(preset.base, network=network))


def no_rescaling(preset: Preset) -> Preset:
    """Planes that are never rendered at a random smaller size while they are fitted (Rodin, Sec. 3.1)."""
    planes = replace(preset.fitting.planes, rescale=0.0)
    return replace(preset, fitting=replace(preset.fitting, planes=planes))


def autoencoder(preset: Preset) -> Preset:
    """One step from noise, which says nothing, and z to planes: the network regresses the planes of z."""
    base = preset.base
    diffusion = replace(
        base.diffusion,
        train_steps=1,
        prediction="sample",
        zero_terminal_snr=True,
        learned_variance=False,
        min_snr_gamma=0.0,
        min_snr_plus=0.0,
    )
    # Without the variance's channels; the input is noise, and nothing to keep.
    network = replace(base.network, out_channels=base.network.in_channels, input_skip=False)
    return replace(preset, base=replace(base, network=network, diffusion=diffusion))


ABLATIONS: dict[str, Callable[[Preset], Preset]] = {
    "no-aware": no_aware,
    "no-latent": no_latent,
    "no-rescaling": no_rescaling,
    "autoencoder": autoencoder,
}


def ablated(preset: Preset, name: str) -> Preset:
    """A preset without the thing that `name` takes away.

    Raises:
        UserError: there is no such ablation.
    """
    if name not in ABLATIONS:
        raise UserError(f"--ablation: {name!r} is none; choose {', '.join(ABLATIONS)}")
    return ABLATIONS[name](preset)


def train_ablations(
    data: Path,
    run: Path,
    preset: Preset,
    names: tuple[str, ...],
    workers: int,
    seed: int,
    large: Path,
    vgg: Path | None,
) -> None:
    """Train ablations of a finished run, each to RUN/ablations/NAME/model; finished ones are left alone.

    Args:
        preset: that `run` was trained with; `data`, `seed`, `large`, `vgg` likewise, see `chain.train_all`.
        names: which ablations.

    Raises:
        UserError: a name is unknown, `run` is not finished, or a stage cannot be trained.
    """
    presets = {name: ablated(preset, name) for name in names}
    if not (run / "model").is_dir():
        raise UserError(f"{run}: holds no model; finish it first with: rodin train all {data} --run {run}")
    for name, changed in presets.items():
        target = run / FOLDER_NAME / name
        print(f"ablation {name}: {target}")
        share_parts(run, target, shared_parts(run, preset, changed))
        chain.train_all(data, target, changed, workers, seed=seed, clip=None, large=large, vgg=vgg)


def shared_parts(run: Path, preset: Preset, changed: Preset) -> list[Path]:
    """What of a run a changed preset does not change."""
    parts = [part for part in sorted(run.iterdir()) if part.name not in NEVER_SHARED and part.suffix != ".training"]
    if changed.fitting != preset.fitting:  # the encoder sees pictures, priors latents; all others planes
        return [part for part in parts if part.name in ("encoder", "prior", "words", WORLDS_NAME)]
    return [part for part in parts if part.name != "base"]


def share_parts(run: Path, target: Path, parts: list[Path]) -> None:
    """Put parts of a run into another; those that are there already stay."""
    for part in parts:
        goal = target / part.relative_to(run)
        if goal.exists():
            continue
        with atomic_path(goal) as temporary:
            if part.is_dir():
                shutil.copytree(part, temporary, copy_function=_link)
            else:
                _link(str(part), str(temporary))


def _link(source: str, goal: str) -> str:
    """A hard link, or a copy where the file system has none. Parts are replaced, never written into, so that sharing a
    file is safe."""
    try:
        os.link(source, goal)
    except OSError:
        shutil.copy2(source, goal)
    return goal
