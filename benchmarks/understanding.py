"""What latents say of prompts that are understood, and of the same prompts read as they stand.

Linear layers learn each attribute from the encoder's latents of frontal views, and read the latents that are drawn for
prompts. Of a set of prompts counts what each names, as a mean over attributes. A pair is two prompts that ask for
opposite things (glasses, and none): a member is right if the layers give one of its values a higher score than any of
the other member's.

    python benchmarks/understanding.py DATA [DATA ...] [--model MODEL]
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from encoder_choices import ATTRIBUTES, latents, learn_linear, read, read_frontals, with_ones
from torch import Tensor
from tqdm import tqdm

from rodin.avatars.pipeline import RodinPipeline

FOLDER = Path("examples/prompts")
SETS = ("held-out", "new-words")
RIDGE = 0.1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="+", help="sets of subjects that rodin synth made")
    parser.add_argument("--model", type=Path, help="model folder; by default the model that comes with Rodin")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    pipe = RodinPipeline.from_pretrained(arguments.model)
    found: list[Tensor] = []
    attributes: list[dict[str, Any]] = []
    for data in arguments.data:
        images, said = read_frontals(data)
        found.append(latents(pipe.encoder, images))
        attributes += said
    inputs = with_ones(torch.cat(found))
    layers = {
        name: learn_linear(inputs, [str(one[name]) for one in attributes], RIDGE) for name in (*ATTRIBUTES, "hat")
    }
    print(f"| prompts | read as they stand | understood |\n|---|---|---|  ({len(attributes)} subjects)", flush=True)
    for name in SETS:
        shares = [accuracy(pipe, layers, lines(name), literal) for literal in (True, False)]
        print(f"| {name} | {' | '.join(f'{100 * share:.0f} %' for share in shares)} |", flush=True)
    by_attribute: list[Counter[str]] = [pairs(pipe, layers, literal) for literal in (True, False)]
    count = Counter(one["attribute"] for one in lines("pairs") for _ in one["texts"])
    for name, of in count.items():
        print(f"| pairs: {name} | {' | '.join(f'{one[name]} of {of}' for one in by_attribute)} |")
    shares = [sum(one.values()) / sum(count.values()) for one in by_attribute]
    print(f"| pairs | {' | '.join(f'{100 * share:.0f} %' for share in shares)} |")


def lines(name: str) -> list[dict[str, Any]]:
    """The objects of a file of prompts."""
    return [json.loads(line) for line in (FOLDER / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def drawn(pipe: RodinPipeline, text: str, seed: int, literal: bool) -> Tensor | None:
    """The latent [1, D + 1] that is drawn for a prompt, with a one; None where no word of it is known."""
    known = bool(pipe.text_reader.read([text]).mask.any()) if literal else pipe.knows(text)
    return with_ones(F.normalize(pipe.draw_latents(text, [seed], literal=literal), dim=1)) if known else None


def accuracy(
    pipe: RodinPipeline, layers: dict[str, tuple[list[str], Tensor]], prompts: list[dict[str, Any]], literal: bool
) -> float:
    """Mean over attributes of the share that is read right of those that the prompts name."""
    right: Counter[str] = Counter()
    count: Counter[str] = Counter()
    for seed, one in enumerate(tqdm(prompts, leave=False)):
        latent = drawn(pipe, one["text"], seed, literal)
        for name, value in one["attributes"].items():
            count[name] += 1
            right[name] += latent is not None and read(latent, *layers[name])[0] == value
    return sum(right[name] / count[name] for name in count) / len(count)


def pairs(pipe: RodinPipeline, layers: dict[str, tuple[list[str], Tensor]], literal: bool) -> Counter[str]:
    """How many members of pairs are read right, by attribute."""
    right: Counter[str] = Counter()
    for seed, one in enumerate(tqdm(lines("pairs"), leave=False)):
        values, weights = layers[one["attribute"]]
        for member, text in enumerate(one["texts"]):
            latent = drawn(pipe, text, seed, literal)
            if latent is None:
                continue
            scores = dict(zip(values, (latent @ weights)[0].tolist(), strict=True))
            best = [max(scores[value] for value in side) for side in one["values"]]
            right[one["attribute"]] += best[member] > best[1 - member]
    return right


if __name__ == "__main__":
    main()
