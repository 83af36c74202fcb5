"""Train the palette network: the latents of frontal images and the palettes of their fits to `RUN/palette`."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from rodin.draws import Draws
from rodin.errors import UserError
from rodin.materials import MATERIALS
from rodin.models.clip import Encoder
from rodin.models.palette import COLOURED_BY, PaletteConfig, PaletteNetwork, palette_loss
from rodin.parts import load_component, save_component
from rodin.prompts.grammar import understand
from rodin.train.loop import LoopConfig, Measure, run_loop
from rodin.train.ranks import process_state
from rodin.train.subjects import blurred_latents, read_subjects, split_subjects

FEWEST = 3  # subjects whose captions name a colour, for it to be known
PRESENT = 1e-4  # least share of what the views show: a dozen pixels of 24 views of 128 x 128 on a third of each


@dataclass(frozen=True, kw_only=True, slots=True)
class PaletteTraining:
    """The palette network and how it is trained.

    Args:
        network: its materials must be the decoder's; which colours are named is found in the captions.
        loop: how to train.
        latent_noise: on z, as in `rodin.train.base`.
        held_out_every: one subject of so many is kept to measure the colours; 0 = none.
    """

    network: PaletteConfig
    loop: LoopConfig
    latent_noise: float = 0.4
    held_out_every: int = 16

    def __post_init__(self) -> None:
        if self.network.named:
            raise ValueError(f"network.named must be empty, the captions tell; got {len(self.network.named)} names")
        if self.latent_noise < 0:
            raise ValueError(f"latent_noise must not be negative, got {self.latent_noise}")
        if self.held_out_every < 0 or self.held_out_every == 1:
            raise ValueError(f"held_out_every must be 0 for off or at least 2, got {self.held_out_every}")
        if self.loop.accumulate > 1:
            raise ValueError(f"loop.accumulate must be 1 for so small a network, got {self.loop.accumulate}")


def train_palette(run: Path, config: PaletteTraining) -> None:
    """Train the palette network of a run folder; a finished one is left as it is, an unfinished one goes on.

    It takes a minute, and so one process.

    Args:
        run: reads `planes/` (frontal images and palettes) and `encoder/`; writes `palette/` and, while training,
            `palette.training/`.

    Raises:
        UserError: an input is missing or does not fit the settings, the planes carry their colours themselves, or the
            run was trained with other settings.
    """
    run, state = Path(run), process_state()
    output = run / "palette"
    if output.exists():
        found = replace(load_component(PaletteNetwork, PaletteConfig, output).config, named=())
        if found != config.network:
            raise UserError(f"{output}: holds {found}, asked for {config.network}; choose another run folder")
        state.print(f"palette: {output} is trained already; delete it and palette.training to train anew")
        return
    latents, palettes, present, captions = load_palettes(run)
    latents, palettes, present = (part.to(state.device) for part in (latents, palettes, present))
    shape = (len(latents), config.network.materials, 3)
    if palettes.shape != shape or latents.shape[1] != config.network.latent_dim:
        raise UserError(
            f"{run}: palettes of {palettes.shape[1]} materials and latents of {latents.shape[1]} numbers, the network "
            f"is for {config.network.materials} and {config.network.latent_dim}; fit and train with one preset"
        )
    trained, held_out = split_subjects(len(latents) // 2, config.held_out_every)
    chosen, others = (torch.tensor([2 * k + m for k in part for m in (0, 1)]) for part in (trained, held_out))

    def loss(network: nn.Module, draws: Draws) -> dict[str, Tensor]:
        index = chosen[draws.integers(len(chosen))]
        z = blurred_latents(latents[index], config.latent_noise, draws)
        return {"loss": palette_loss(network(z), palettes[index], present[index])}

    def figures(network: nn.Module) -> list[float]:
        error = (network(latents[others])[0].clamp(0, 1) - palettes[others]).abs().mean(dim=-1)
        return [float((error * present[others]).sum() / present[others].sum().clamp_min(1))]

    torch.manual_seed(config.loop.seed)
    network = PaletteNetwork(config.network)
    set_statistics(network, palettes[chosen], present[chosen])
    measure = Measure(names=("colour_error",), figures=figures, every=100) if held_out else None
    scratch = run / "palette.training"
    average = run_loop(
        network.to(state.device), loss, config.loop, scratch, label="palette", settings=asdict(config), measure=measure
    )
    if state.is_main_process:
        known = named_colours([captions[k] for k in trained], palettes[chosen[::2]].cpu(), present[chosen[::2]].cpu())
        save_component(with_names(average, known), output)  # type: ignore[arg-type]
    state.wait_for_everyone()


def named_colours(captions: list[str], palettes: Tensor, present: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """The colours that captions name, by "material/attribute/value": mean and deviation [3] of the palettes' rows.

    Args:
        captions: N.
        palettes: [N, K, 3].
        present: [N, K] bool. A material that is not there has no colour.
    """
    found: defaultdict[str, list[Tensor]] = defaultdict(list)
    if palettes.shape[1] != len(MATERIALS):
        return {}  # materials of one's own, of which words know nothing
    for caption, palette, shows in zip(captions, palettes, present, strict=True):
        asked = understand(caption).asked if caption else {}
        for attribute, materials in COLOURED_BY.items():
            for material in materials:
                place = MATERIALS.index(material)
                if len(values := asked.get(attribute, ())) == 1 and shows[place]:
                    found[f"{material}/{attribute}/{values[0]}"].append(palette[place])
    return {
        name: (torch.stack(rows).mean(dim=0), torch.stack(rows).std(dim=0))
        for name, rows in sorted(found.items())
        if len(rows) >= FEWEST
    }


def with_names(network: PaletteNetwork, named: dict[str, tuple[Tensor, Tensor]]) -> PaletteNetwork:
    """The network with these colours, by their names."""
    full = PaletteNetwork(replace(network.config, named=tuple(named)))
    means, stds = ([one[part] for one in named.values()] for part in (0, 1))
    state = {name: value.cpu() for name, value in network.state_dict().items()}
    if named:
        state |= {"named_mean": torch.stack(means), "named_std": torch.stack(stds)}
    full.load_state_dict(state)
    return full


def set_statistics(network: PaletteNetwork, palettes: Tensor, present: Tensor) -> None:
    """Mean and deviation of the colours [N, K, 3] of the materials that are present [N, K], where two subjects or more
    have them."""
    shares = present[..., None].to(palettes)
    count = shares.sum(dim=0)
    mean = (shares * palettes).sum(dim=0) / count.clamp_min(1)
    std = ((shares * (palettes - mean).square()).sum(dim=0) / count.clamp_min(1)).sqrt().clamp_min(1e-3)
    network.mean.copy_(torch.where(count >= 2, mean, network.mean))
    network.std.copy_(torch.where(count >= 2, std, network.std))


def load_palettes(run: Path) -> tuple[Tensor, Tensor, Tensor, list[str]]:
    """Of all subjects, each followed by its mirror image: latents [N, D], palettes [N, K, 3] and presence [N, K] bool.
    And the captions, one a subject.

    Raises:
        UserError: planes or encoder are missing or damaged, or the planes carry their colours themselves.
    """
    encoder = Encoder.from_pretrained(run / "encoder")
    latents: list[Tensor] = []
    palettes: list[Tensor] = []
    present: list[Tensor] = []
    captions: list[str] = []
    for one in read_subjects(run, encoder, None):
        if one.palette is None or one.presence is None:
            raise UserError(f"{run / 'planes'}: {one.name} has no palette; fit with a decoder of materials")
        latents.append(one.latents)
        palettes += 2 * [one.palette]
        present += 2 * [one.presence > PRESENT]
        captions.append(one.caption)
    return torch.cat(latents), torch.stack(palettes), torch.stack(present), captions
