"""A denoiser on disk: a network and the diffusion that it was trained on, which mean something only together.

config.json, model.safetensors   the network, as in `rodin.parts`
diffusion.json                   the noise schedule and what the network predicts
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from rodin import checksums
from rodin.diffusion.config import DiffusionConfig
from rodin.errors import UserError
from rodin.files import atomic_path, read_json, write_json
from rodin.parts import CONFIG_NAME, Configured, config_from_dict, load_component, save_component

DIFFUSION_NAME = "diffusion.json"

Network = TypeVar("Network", bound=nn.Module)


def save_denoiser(network: Configured, diffusion: DiffusionConfig, folder: Path) -> None:
    """Write both to `folder`, whole or not at all."""
    with atomic_path(Path(folder)) as temporary:
        save_component(network, temporary)
        write_json(temporary / DIFFUSION_NAME, asdict(diffusion))
        checksums.note(temporary)


def load_denoiser(
    network_class: type[Network], config_class: type[Any], folder: Path
) -> tuple[Network, DiffusionConfig]:
    """Read what `save_denoiser` wrote; the network in eval mode, on the CPU.

    Raises:
        UserError: a file is missing, cut off, or of another schema.
    """
    network = load_component(network_class, config_class, folder)
    checksums.check(folder, [DIFFUSION_NAME])
    path = Path(folder) / DIFFUSION_NAME
    return network, config_from_dict(DiffusionConfig, read_json(path), str(path))


def take_denoiser(network: Configured, diffusion: DiffusionConfig, folder: Path) -> None:
    """Give a network the weights of one of the same config that predicts the same.

    Schedule and loss may be others: the network is trained on, and they do not change what its output means.

    Raises:
        UserError: as `load_denoiser`, or the network's config or the prediction is another.
    """
    found, learned = load_denoiser(type(network), type(network.config), folder)  # type: ignore[type-var]
    compared = [(CONFIG_NAME, field, found.config, network.config) for field in asdict(network.config)]
    for name, field, theirs, ours in [*compared, (DIFFUSION_NAME, "prediction", learned, diffusion)]:
        if getattr(theirs, field) != getattr(ours, field):
            raise UserError(
                f"{folder / name}: {field} is {getattr(theirs, field)}, the network to train has "
                f"{getattr(ours, field)}; start from a model of the same preset"
            )
    network.load_state_dict(found.state_dict())


def check_denoiser(folder: Path, network: Any, diffusion: DiffusionConfig) -> None:
    """Compare the settings of a finished denoiser with the wanted ones.

    Raises:
        UserError: it was trained with others, or is damaged.
    """
    for name, wanted in ((CONFIG_NAME, network), (DIFFUSION_NAME, diffusion)):
        path = Path(folder) / name
        found = config_from_dict(type(wanted), read_json(path), str(path))
        for field, value in asdict(wanted).items():
            if getattr(found, field) != value:
                raise UserError(
                    f"{path}: it was trained with {field} {getattr(found, field)}, not {value}; "
                    f"give the same, another run folder, or delete {folder}"
                )
