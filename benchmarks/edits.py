"""Do edits by words do what they say, and move nothing that they do not name?

Avatars that a model of materials draws from nothing are edited. The attribute reader of `rodin eval` looks at each
before and after, from the front half. Done is the share of edits after which it reads what the words ask for, of those
before which it did not. Moved is the share of all other attributes that it reads otherwise than before, and says as
surely.

    python benchmarks/edits.py data/train data/heldout [MODEL] --cache CACHE
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import torch
from claims import table
from torch import Tensor
from tqdm import tqdm

from rodin.avatars.avatar import Avatar
from rodin.avatars.pipeline import EDIT_STRENGTH, RodinPipeline
from rodin.camera import Camera
from rodin.evaluate.attribute_reader import AttributeReader, labels_of
from rodin.evaluate.config import EvaluationConfig
from rodin.evaluate.evaluation import Stopwatch, lay_ground
from rodin.prompts.grammar import understand
from rodin.render.renderer import SAMPLES

EDITS = (
    "red hair", "blue hair", "an afro", "no glasses", "with glasses", "with a full beard", "clean-shaven", "old",
    "a child", "a woman", "a man", "dark skin", "in a green hoodie",
)  # fmt: skip
SETS = ("held-out", "new-words", "pairs")  # whose attributes the reader reads
STRENGTHS = (0.6, 1.0, EDIT_STRENGTH, 1.5)
SURE = 0.8  # probability of what is read from which on a change counts as one


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="training subjects")
    parser.add_argument("held_out", type=Path, help="subjects that no part of the model was trained on")
    parser.add_argument("model", nargs="?", type=Path, help="model folder; the one that ships if left out")
    parser.add_argument("--count", type=int, default=6, help="avatars that are edited")
    parser.add_argument("--prompts", type=Path, default=Path("examples/prompts"), help="folder of prompts")
    parser.add_argument("--cache", type=Path, required=True, help="folder that `rodin eval` keeps the reader in")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    pipe = RodinPipeline.from_pretrained(arguments.model)
    ground = lay_ground(
        pipe,
        arguments.held_out,
        arguments.data,
        EvaluationConfig(image_size=128),
        prompts=[arguments.prompts / f"{name}.jsonl" for name in SETS],
        cache=arguments.cache,
        watch=Stopwatch(),
    )
    reader, unseen = ground.learned.reader, ground.reality.held_out
    avatars = pipe(count=arguments.count, seed=0)
    before = [look(reader, avatar, unseen.cameras[k]) for k, avatar in enumerate(avatars)]
    lines, by_words = [], []
    for strength in STRENGTHS:
        count, done, others, moved = (Counter[str]() for _ in range(4))
        for words in tqdm(EDITS, desc=f"strength {strength:g}", leave=False):
            said = understand(words)
            wanted = {name: said.allowed(name) for name in said.named if name in reader.values}
            for k, avatar in enumerate(avatars):
                if all(read(reader, before[k], name) in values for name, values in wanted.items()):
                    continue
                after = look(reader, pipe.edit(avatar, words, strength=strength), unseen.cameras[k])
                count[words] += 1
                done[words] += all(read(reader, after, name) in values for name, values in wanted.items())
                for name in sorted(set(reader.values) - set(said.named)):
                    sure = min(float(found[name].max().exp()) for found in (before[k], after)) > SURE
                    others[words] += 1
                    moved[words] += sure and read(reader, before[k], name) != read(reader, after, name)
        lines.append([f"{strength:g}", *shares(done, count), *shares(moved, others)])
        if strength == EDIT_STRENGTH:
            by_words = [[words, f"{done[words]} of {count[words]}", *shares(moved, others, words)] for words in EDITS]
    print(table(["strength", "done", "moved"], lines))
    print(f"\nAt {EDIT_STRENGTH:g}, {arguments.count} avatars:\n")
    print(table(["words", "done", "moved"], by_words))


def look(reader: AttributeReader, avatar: Avatar, cameras: Camera) -> dict[str, Tensor]:
    """Log probabilities [K] of each attribute's values, by an avatar's pictures."""
    seen = avatar.renderer.render(cameras, SAMPLES)
    found = reader.log_probabilities(seen.image[None], labels_of(seen.shares)[None])
    return {name: rows[0] for name, rows in found.items()}


def read(reader: AttributeReader, found: dict[str, Tensor], name: str) -> str:
    """The value of an attribute that is read."""
    return reader.values[name][int(found[name].argmax())]


def shares(some: Counter[str], of: Counter[str], words: str | None = None) -> list[str]:
    """One cell: how many there are of so many, of an edit or of all."""
    part, whole = (sum(one.values()) if words is None else one[words] for one in (some, of))
    return [f"{100 * part / whole:.0f} %" if whole else ""]


if __name__ == "__main__":
    main()
