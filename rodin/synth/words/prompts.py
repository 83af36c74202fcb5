"""Prompts to judge text-to-avatar by: paraphrases of subjects that nobody rendered, with the attributes they name.

    python -m rodin.synth.words.prompts --seed 2028 --count 200 > examples/prompts/held-out.jsonl

One JSON object a line: {"text": ..., "attributes": {name: value, ...}}, where the attributes are exactly those of
`paraphrase.JUDGED` that the text names. Every value that the paraphrases can name occurs, the rare ones about as often
as the common.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter

from rodin.synth.recipe import make_recipe
from rodin.synth.words.paraphrase import Description, descriptions

SUBJECTS = 10  # a prompt to choose from
PARAPHRASES = 8  # of each
FEWEST = 2  # attributes that a prompt names


def make_prompts(seed: int, count: int) -> list[Description]:
    """Prompts of the set of `seed`, at most one of a subject.

    The value that has been named least is looked for next, and the first prompt taken that names it: so the choice
    hangs on what a prompt says, not on how long it is.
    """
    pool = {
        index: [one for one in descriptions(make_recipe(seed, index), PARAPHRASES) if len(one.named) >= FEWEST]
        for index in range(SUBJECTS * count)
    }
    named = Counter({pair: 0 for prompts in pool.values() for one in prompts for pair in one.named.items()})
    chosen: list[Description] = []
    while len(chosen) < count:
        rarest = min(named, key=lambda pair: (named[pair], pair))
        index, prompt = next((k, one) for k, some in pool.items() for one in some if rarest in one.named.items())
        named.update(prompt.named.items())
        chosen.append(prompt)
        del pool[index]
    return chosen


def main() -> None:
    """Print the prompts."""
    parser = argparse.ArgumentParser(prog="python -m rodin.synth.words.prompts")
    parser.add_argument("--seed", type=int, required=True, help="of the set; another than any rendered set's")
    parser.add_argument("--count", type=int, default=200)
    given = parser.parse_args()
    for one in make_prompts(given.seed, given.count):
        print(json.dumps({"text": one.text, "attributes": one.named}))


if __name__ == "__main__":
    main()
