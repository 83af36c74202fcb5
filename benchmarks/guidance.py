"""What guidance is worth, the prior's by the prompt and the base model's by the latent; temperature; and emphasis.

A part of `rodin eval`, several times over, each with one setting changed: an attribute reader says what avatars drawn
for prompts show, and avatars drawn from nothing, where the prior has no prompt to be guided by, are compared with the
training subjects (docs/evaluation.md).

    python benchmarks/guidance.py data/train data/heldout [MODEL] --cache CACHE
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from claims import table

from rodin.avatars.drawing import Sampling
from rodin.avatars.pipeline import RodinPipeline
from rodin.evaluate.accuracy import mean_accuracy, worst_accuracy
from rodin.evaluate.config import EvaluationConfig
from rodin.evaluate.evaluation import Stopwatch, ask, draw_and_measure, lay_ground, variant
from rodin.evaluate.features import features, mean_distance
from rodin.evaluate.prompts import PromptSet

START = EvaluationConfig(image_size=128)
SETTINGS = (
    START,
    *(replace(START, sampling=Sampling(guidance_scale=scale)) for scale in (1.0, 1.6, 2.0)),
    *(replace(START, sampling=Sampling(prior_guidance_scale=scale)) for scale in (1.0, 2.0, 8.0)),
    *(replace(START, sampling=Sampling(temperature=length)) for length in (1.0, 0.8, 0.4)),
    *(replace(START, sampling=Sampling(emphasis=much)) for much in (0.0, 0.25, 1.0)),
)
COLUMNS = (
    "guidance",
    "of the prior",
    "temperature",
    "emphasis",
    "attributes, mean",
    "worst",
    "FID ratio",
    "spread",
    "diversity",
)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="training subjects")
    parser.add_argument("held_out", type=Path, help="subjects that no part of the model was trained on")
    parser.add_argument("model", nargs="?", type=Path, help="model folder; the one that ships if left out")
    parser.add_argument("--prompts", type=Path, default=Path("examples/prompts/held-out.jsonl"), help="JSON lines")
    parser.add_argument("--count", type=int, default=100, help="prompts, and avatars from nothing")
    parser.add_argument("--size", type=int, default=START.image_size, help="side of the pictures in pixels")
    parser.add_argument("--reader-steps", type=int, default=START.reader_steps, help="of the attribute reader")
    parser.add_argument("--cache", type=Path, required=True, help="folder that `rodin eval` keeps the reader in")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    pipe, size = RodinPipeline.from_pretrained(arguments.model), arguments.size
    ground = lay_ground(
        pipe,
        arguments.held_out,
        arguments.data,
        replace(START, image_size=size, reader_steps=arguments.reader_steps),
        prompts=[arguments.prompts],
        cache=arguments.cache,
        watch=Stopwatch(),
    )
    reality, [(prompts, _)] = ground.reality, ground.asked
    training, unseen, reader = reality.training, reality.held_out, ground.learned.reader
    prompts = PromptSet(prompts.name, prompts.prompts[: arguments.count])
    spread = mean_distance(reality.training_features[:, 0])
    lines: list[list[str]] = []
    for changed in SETTINGS:
        settings = replace(changed, samples=arguments.count)
        how = settings.sampling
        chosen = (how.guidance_scale, how.prior_guidance_scale, how.temperature, how.emphasis)
        one = variant(", ".join(f"{number:g}" for number in chosen), pipe, how)
        readings = ask(one, prompts, False, reader, unseen, training, settings).readings
        shares = [f"{100 * share:.1f} %" for share in (mean_accuracy(readings), worst_accuracy(readings))]
        # From nothing there is no prompt to be guided by or to be emphasised.
        distances, default = ["", "", ""], START.sampling
        if (how.prior_guidance_scale, how.emphasis) == (default.prior_guidance_scale, default.emphasis):
            drawn = draw_and_measure(one, reality, settings)
            ratio = drawn.distances.to_training
            apart = mean_distance(features(pipe.encoder, drawn.pictures[:, 0])) / spread
            distances = [f"{number:.2f}" for number in (ratio.ratio, ratio.ratio_spread, apart)]
        lines.append([*(f"{number:g}" for number in chosen), *shares, *distances])
    print(f"## Guidance\n\n{len(prompts.prompts)} prompts, {arguments.count} avatars from nothing.\n")
    print(table(list(COLUMNS), lines))


if __name__ == "__main__":
    main()
