"""What the latents that a prior draws for prompts say, read by linear layers as in `encoder_choices`.

The layers learn each attribute from the latents of the training subjects' frontal views; the share of the prompts'
attributes that they read off the drawn latents is a mean over attributes. A prior that reads phrases is also measured
without itself: by the mean latents alone.

    python benchmarks/prompt_latents.py data/train RUN

RUN holds encoder/, prior/ and, where the prior reads phrases, words/.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from encoder_choices import ATTRIBUTES, latents, learn_linear, read, read_frontals, share_right, with_ones
from torch import Tensor

from rodin.avatars.pipeline import PRIOR_STEPS
from rodin.evaluate.prompts import read_prompts
from rodin.models.clip import Encoder
from rodin.models.denoiser import load_denoiser
from rodin.models.phrases import PhraseConfig, PhraseReader
from rodin.models.prior import Prior, PriorConfig, sample_latents
from rodin.models.sentence import SentenceEncoder
from rodin.models.text import TextCondition, TextReader
from rodin.parts import load_component

PROMPTS = (Path("examples/prompts/held-out.jsonl"), Path("examples/prompts/new-words.jsonl"))
RIDGE = 0.1
DRAWN = ((1.0, 1), (1.0, 4), (1.5, 1), (2.0, 4))  # guidance, and the draws of which the best is kept


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="training subjects")
    parser.add_argument("run", type=Path, help="run folder")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    encoder = Encoder.from_pretrained(arguments.run / "encoder")
    prior, diffusion = load_denoiser(Prior, PriorConfig, arguments.run / "prior")
    images, attributes = read_frontals(arguments.data)
    inputs = with_ones(latents(encoder, images))
    layers = {name: learn_linear(inputs, [str(one[name]) for one in attributes], RIDGE) for name in ATTRIBUTES}
    readers: dict[str, TextReader] = {"text tower": encoder}
    if (arguments.run / "words").exists():
        words = load_component(PhraseReader, PhraseConfig, arguments.run / "words")
        readers = {"phrases": words, "phrases, unknown words translated": words.translating(SentenceEncoder())}
    print("| reader | drawn | held-out prompts | new wordings |\n|---|---|---|---|")
    sets = read_prompts(PROMPTS, attributes)

    def measure(reader: str, drawn: str, draw: Callable[[TextCondition], Tensor]) -> None:
        cells = []
        for one in sets:
            inputs = with_ones(draw(readers[reader].read(list(one.texts))))
            cells.append(f"{100 * accuracy(inputs, one.truth, layers):.0f} %")
        print(f"| {reader} | {drawn} | {' | '.join(cells)} |", flush=True)

    for name in readers:
        if name != "text tower":
            measure(name, "the mean latents", lambda text: F.normalize(text.pooled, dim=1))
        for scale, candidates in DRAWN:

            def draw(text: TextCondition, scale: float = scale, candidates: int = candidates) -> Tensor:
                seeds = [torch.Generator().manual_seed(index) for index in range(len(text.pooled))]
                return sample_latents(prior, diffusion, text, seeds, scale, PRIOR_STEPS, candidates)

            measure(name, f"guidance {scale:g}, best of {candidates}", draw)


def accuracy(inputs: Tensor, truth: list[dict[str, str]], layers: dict[str, tuple[list[str], Tensor]]) -> float:
    """Mean over attributes of the share that is read right of those that the prompts name."""
    shares = []
    for name, layer in layers.items():
        named = [index for index, one in enumerate(truth) if name in one]
        found = read(inputs[named], *layer)
        shares.append(share_right(found, [str(truth[index][name]) for index in named]))
    return sum(shares) / len(shares)


if __name__ == "__main__":
    main()
