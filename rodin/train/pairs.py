"""Renders of fitted planes and what they should become: the true views at a larger size. Made once, up front.

Symbols: M views of all subjects, C plane channels, h w rows and columns of renders, s scale.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from rodin.data.captures import load_subject
from rodin.data.shards import FittedSubject, read_shards
from rodin.data.subject_folders import list_subjects
from rodin.draws import Draws
from rodin.errors import UserError
from rodin.fit.worlds import run_placements
from rodin.images import from_bytes, premultiplied, to_bytes
from rodin.models.refiner import render_inputs
from rodin.parts import module_hash
from rodin.render.decoder import Decoder
from rodin.render.renderer import Renderer
from rodin.train.redrawn import Redraw

SIZE_NAME = "refiner.image_size of the preset times refiner.network.scale (rodin preset prints one to edit)"


@dataclass(frozen=True)
class Pairs:
    """M renders and what they should become.

    Args:
        inputs: [M, 5 + C, h, w] fp16, of `render_inputs`.
        true: [M, 4, s h, s w] uint8 premultiplied RGBA.
    """

    inputs: Tensor
    true: Tensor

    def to(self, device: torch.device) -> Pairs:
        return Pairs(self.inputs.to(device), self.true.to(device))

    def some(self, count: int) -> Pairs:
        """At most so many of them, spread over all."""
        chosen = torch.arange(len(self.inputs))[:: max(1, len(self.inputs) // count)][:count]
        return Pairs(self.inputs[chosen], self.true[chosen])

    def patches(self, size: int, draws: Draws) -> tuple[Tensor, Tensor]:
        """Draw patches around pixels that see matter: inputs [B, 5 + C, size, size] and true [B, 4, s size, s size], in
        float32."""
        height, width = self.inputs.shape[-2:]
        scale = self.true.shape[-1] // width
        view = draws.integers(len(self.inputs))
        # A little more than nothing everywhere: a view without matter must not stop the training.
        matter = self.inputs[view, 3].flatten(1).float().clamp_min(0) + 1e-6
        mass = matter.cumsum(dim=1)
        middle = torch.searchsorted(mass, draws.rand(1) * mass[:, -1:])[:, 0].clamp(max=height * width - 1)
        top = (middle // width - size // 2).clamp(0, height - size).tolist()
        left = (middle % width - size // 2).clamp(0, width - size).tolist()
        inputs, true = [], []
        for index, y, x in zip(view.tolist(), top, left, strict=True):
            inputs.append(self.inputs[index, :, y : y + size, x : x + size])
            rows, columns = slice(scale * y, scale * (y + size)), slice(scale * x, scale * (x + size))
            true.append(self.true[index, :, rows, columns])
        return torch.stack(inputs).float(), from_bytes(torch.stack(true))


@dataclass(frozen=True, kw_only=True, slots=True)
class PairSource:
    """Where pairs come from: the subjects that are both in `data` and in RUN/planes.

    Args:
        data: subject folders.
        run: whose planes are rendered.
        decoder: that they were fitted with.
        image_size: of the renders, in pixels; the true views are `scale` times as large.
        samples: bins a ray of the renders.
        subjects: the most that are taken.
        views: of each subject, drawn at random.
        seed: of that draw.
        redraw: makes the planes that are rendered of the fitted ones; None renders these.
    """

    data: Path
    run: Path
    decoder: Decoder
    image_size: int
    scale: int
    samples: int
    subjects: int
    views: int
    seed: int
    redraw: Redraw | None = None

    def fitted(self) -> Iterator[tuple[Path, FittedSubject]]:
        """The subjects with their folders, in the planes' order.

        Raises:
            UserError: there is none, or the planes cannot be read or were fitted with another decoder.
        """
        folders = {folder.resolve().name: folder for folder in list_subjects(self.data)}
        limit = min(self.subjects, len(folders))
        count = 0
        for subject in read_shards(self.run / "planes", decoder_hash=module_hash(self.decoder)):
            if count < limit and subject.name in folders:
                count += 1
                yield folders[subject.name], subject
            if count == limit:
                return
        if not count:
            raise UserError(
                f"{self.data}: none of its subjects is among those in {self.run / 'planes'}; "
                "give views of the fitted ones"
            )

    def render(self, chosen: list[int]) -> Pairs:
        """Views of some subjects, given by their position among `fitted`.

        Raises:
            UserError: a subject cannot be read, or its images are smaller than the refined size.
        """
        size = self.image_size
        inputs, true = [], []
        placed = run_placements(self.run)
        for index, (folder, fitted) in enumerate(self.fitted()):
            if index not in chosen:
                continue
            subject = load_subject(folder, size * self.scale, placed=placed.get(fitted.name), size_name=SIZE_NAME)
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + index)
            views = torch.randperm(len(subject.images), generator=generator)[: self.views]
            planes = fitted.planes if self.redraw is None else self.redraw(fitted)
            renderer = Renderer.culled(planes, self.decoder, fitted.palette)
            camera = subject.camera[views].resized(size, size)
            inputs.append(render_inputs(renderer, camera, self.samples).half())
            true.append(to_bytes(premultiplied(subject.images[views]).movedim(-1, 1)))
        return Pairs(torch.cat(inputs), torch.cat(true))
