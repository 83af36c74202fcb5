"""Pages from the disk in a real browser, and avatars of decoders of all kinds to be shown in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

    from rodin.avatars.avatar import Avatar
    from rodin.render.decoder import Decoder

WAIT_MS = 600_000  # what takes longer never ends, on whatever machine

BrowserOf = Callable[[bool], "Browser"]
Opened = Callable[..., "Page"]


@pytest.fixture
def opened(browser_of: BrowserOf, until: Callable[[Callable[[], bool]], None]) -> Iterator[Opened]:
    """opened(path, graphics=, ready=, refused=, **context): the page of a file, its viewer ready.

    No network is there. At the end nothing may have been asked of one, and the console have shown no error.
    """
    contexts: list[BrowserContext] = []
    wrong: list[str] = []

    def open_(path: Path, graphics: bool = True, ready: bool = True, refused: bool = False, **settings: object) -> Page:
        given = {"viewport": {"width": 900, "height": 700}, "reduced_motion": "reduce", "offline": True, **settings}
        context = browser_of(graphics).new_context(**given)  # type: ignore[arg-type]
        context.set_default_timeout(WAIT_MS)
        contexts.append(context)
        page = context.new_page()
        if not refused:  # what the page's policy refuses is an error too
            page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: None if request.url.startswith(LOCAL) else wrong.append(request.url))
        page.goto(path.as_uri())
        if ready:
            until(lambda: page.evaluate("window.viewer !== undefined"))
        return page

    yield open_
    for context in contexts:
        context.close()
    assert wrong == []


LOCAL = ("file:", "data:", "blob:")


def turned(decoder: Decoder, generator: torch.Generator) -> None:
    """Give a decoder's head weights of its own, and the view direction a part in them as large as learned ones have."""
    for name, value in decoder.named_parameters():
        if name.startswith(("colour", "direction")):
            value.add_(torch.randn(value.shape, generator=generator) * (0.4 if name.startswith("colour") else 0.05))


def ball(config_of: dict[str, object], size: tuple[int, int], seed: int) -> Avatar:
    """A ball of soft radius 0.6 in planes of five channels, and colours by a decoder of random weights."""
    from rodin.avatars.avatar import Avatar
    from rodin.avatars.drawing import Drawing
    from rodin.models.refiner import Refiner, RefinerConfig
    from rodin.render.decoder import Decoder, DecoderConfig

    generator = torch.Generator().manual_seed(seed)
    decoder = Decoder(DecoderConfig(channels=5, hidden=10, density_shift=0.0, **config_of))  # type: ignore[arg-type]
    decoder.requires_grad_(False)
    decoder.trunk.weight.copy_(torch.randn(decoder.trunk.weight.shape, generator=generator) * 0.7)
    decoder.trunk.weight[:2] = 0
    decoder.trunk.weight[0, 0], decoder.trunk.weight[1, 0] = 1.0, -1.0  # silu(a) - silu(-a) = a, of softplus too
    decoder.trunk.bias.zero_()
    decoder.density.weight.zero_()
    decoder.density.weight[0, :2] = torch.tensor([30.0, -30.0])
    decoder.density.bias.zero_()
    turned(decoder, generator)
    height, width = size
    planes = torch.nn.functional.interpolate(
        torch.randn(3, 5, 6, 6, generator=generator), (height, width), mode="bicubic"
    )
    rows, columns = ((torch.arange(n) + 0.5) * 2 / n - 1 for n in size)
    planes[:, 0] = 0.12 - (rows[:, None].square() + columns.square()) / 2  # every axis spans two planes
    palette = torch.rand(decoder.config.materials, 3, generator=generator) if decoder.config.materials else None
    refiner = Refiner(RefinerConfig(channels=5, width=4, blocks=1, scale=2)).requires_grad_(False)
    drawing = Drawing(seed=0, prompt="a ball")
    return Avatar(planes, decoder, refiner, torch.zeros(512), torch.zeros(3, 5, 8, 8), drawing, "", palette)


@pytest.fixture(scope="session")
def kinds(of_materials: Avatar) -> dict[str, Avatar]:
    """Avatars of decoders of all kinds, by a name for each: old ones have no materials."""
    import dataclasses
    import math

    from rodin.materials import MATERIALS
    from rodin.render.decoder import Decoder

    config = dataclasses.replace(of_materials.decoder.config, view_direction=True)
    decoder = Decoder(config).requires_grad_(False)
    for name, value in decoder.named_parameters():
        value[: of_materials.decoder.state_dict()[name].shape[0]] = of_materials.decoder.state_dict()[name]
    generator = torch.Generator().manual_seed(5)
    last = decoder.colour[-1]
    last.bias[-9] += math.log(2) / 2  # of the shade
    last.weight[-8:] = torch.randn(8, config.hidden, generator=generator) * 0.02
    last.bias[-8:] = torch.randn(8, generator=generator) * 0.02
    assert len(MATERIALS) == config.materials
    return {
        "plain": ball({"colour_layers": 1}, (48, 40), 1),
        "plain, softplus, xi": ball({"colour_layers": 2, "frequencies": 2, "activation": "softplus"}, (32, 48), 2),
        "plain, no direction": ball({"colour_layers": 0, "view_direction": False}, (64, 64), 3),
        "materials": of_materials,
        "materials with a turning shade": dataclasses.replace(of_materials, decoder=decoder),
    }
