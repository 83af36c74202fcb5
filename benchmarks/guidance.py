"""What guidance is worth, the prior's by the prompt and the base model's by the latent, and what temperature is.

Avatars are drawn for prompts, and an attribute reader says what they show (docs/evaluation.md); avatars are drawn from
nothing, where the prior has no prompt to be guided by, and compared with the training subjects: FID over that of real
subjects, and the distance between samples over that between real subjects.

    python benchmarks/guidance.py data/train [MODEL] --prompts examples/prompts/held-out.jsonl --cache CACHE
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import torch
from claims import table
from timing import progress

from rodin.avatar import Avatar
from rodin.evaluate.config import EvaluationConfig
from rodin.evaluate.distribution import distance
from rodin.evaluate.draw import render_all
from rodin.evaluate.features import features, mean_distance
from rodin.evaluate.learned import learn
from rodin.evaluate.prompts import PromptSet, read_prompts
from rodin.evaluate.reader import AttributeReader
from rodin.evaluate.reading import judge, mean_accuracy, worst_accuracy
from rodin.evaluate.real import RealSet, load_real
from rodin.pipeline import RodinPipeline

SETTINGS = EvaluationConfig(image_size=128)


@dataclass(frozen=True)
class Way:
    """How avatars are drawn: guidance of the base model and of the prior, and temperature."""

    COLUMNS: ClassVar = ("guidance", "of the prior", "temperature")
    base: float = 1.5
    prior: float = 1.25
    temperature: float = 1.0

    @property
    def cells(self) -> list[str]:
        """For the tables."""
        return [f"{number:g}" for number in (self.base, self.prior, self.temperature)]


WAYS = (
    Way(),
    *(Way(base=scale) for scale in (1.0, 1.25, 2.0)),
    *(Way(prior=scale) for scale in (1.0, 1.75)),
    *(Way(temperature=length) for length in (0.8, 0.6, 0.4)),
)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="training subjects")
    parser.add_argument("model", nargs="?", type=Path, help="model folder; the one that ships if left out")
    parser.add_argument("--prompts", type=Path, default=Path("examples/prompts/held-out.jsonl"), help="JSON lines")
    parser.add_argument("--count", type=int, default=100, help="prompts, and avatars from nothing")
    parser.add_argument(
        "--cache", type=Path, default=Path("out/evaluation-cache"), help="what `rodin eval` keeps there"
    )
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    pipe = RodinPipeline.from_pretrained(arguments.model)
    real = load_real(arguments.data, 2 * SETTINGS.views, SETTINGS.image_size, "training subjects", front=False)
    [prompts] = read_prompts([arguments.prompts], real.attributes)
    prompts = PromptSet(prompts.name, prompts.prompts[: arguments.count])
    named = sorted({name for truth in prompts.truth for name in truth})
    reader = learn(real.folders, named, SETTINGS.reader_steps, arguments.cache).reader
    print(f"## Guidance\n\n{len(prompts.prompts)} prompts, read off {2 * SETTINGS.views} views each.\n")
    lines = [[*way.cells, *read_prompted(pipe, way, prompts, reader, real)] for way in WAYS]
    print(table([*Way.COLUMNS, "attributes, mean", "worst"], lines) + "\n")

    front = load_real(arguments.data, SETTINGS.views, SETTINGS.image_size, "training subjects")
    target = features(pipe.encoder, front.images)
    unprompted = list(dict.fromkeys(replace(way, prior=WAYS[0].prior) for way in WAYS))
    lines = [[*way.cells, *compare(pipe, way, arguments.count, front, target)] for way in unprompted]
    print(f"{arguments.count} avatars from nothing, where the prior has nothing to be guided by.\n")
    print(table([*Way.COLUMNS, "FID ratio", "its spread", "diversity"], lines))


def read_prompted(
    pipe: RodinPipeline,
    way: Way,
    prompts: PromptSet,
    reader: AttributeReader,
    real: RealSet,
) -> list[str]:
    """Mean and worst share of the prompts' attributes that the reader reads off their avatars."""
    read: dict[str, list[str]] = {name: [] for name in reader.values}
    for k, text in enumerate(prompts.texts):
        progress(f"{', '.join(way.cells)}: prompt {k} of {len(prompts.texts)}")
        avatar = pipe(
            text,
            seed=SETTINGS.seed + k,
            guidance_scale=way.base,
            prior_guidance_scale=way.prior,
            temperature=way.temperature,
        )[0]
        for name, values in reader.read(avatar.render(real.cameras[k % len(real)])[None]).items():
            read[name] += values
    readings = judge(read, prompts.truth, real.attributes)
    return [f"{100 * share:.1f} %" for share in (mean_accuracy(readings), worst_accuracy(readings))]


def compare(pipe: RodinPipeline, way: Way, count: int, front: RealSet, target: torch.Tensor) -> list[str]:
    """FID ratio, its spread over random halves of the subjects, and diversity of avatars from nothing."""

    def draw() -> Iterable[Avatar]:
        for k in range(count):
            progress(f"{', '.join(way.cells)}: avatar {k} of {count}")
            yield pipe(seed=SETTINGS.seed + k, guidance_scale=way.base, temperature=way.temperature)[0]

    seen = features(pipe.encoder, render_all(draw(), front.cameras))
    found = distance(seen, target, None, SETTINGS.seed)
    diversity = mean_distance(seen[:, 0]) / mean_distance(target[:, 0])
    return [f"{found.ratio:.2f}", f"{found.ratio_spread:.2f}", f"{diversity:.2f}"]


if __name__ == "__main__":
    main()
