"""Does an edit by words change what it names, and leave the rest?

    python benchmarks/editing.py [MODEL] [--count N] [--strength S] [--out PICTURE.png]

Each edit names a part of the frontal picture. Avatars drawn from nothing are edited; inside and outside that part, the
pictures before and after are compared: PSNR over white, and the cosine of the encoder's latents with the part blanked
(the identity of what was not named). Both stand beside the same figures of two different avatars, which is what no
likeness at all looks like. "towards the words" is the rise of the cosine between picture and prompt.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from rodin.avatars.avatar import Avatar
from rodin.avatars.pipeline import RodinPipeline
from rodin.images import over, psnr, write_picture
from rodin.models.clip import Encoder

SIZE = 64
# Rows of the frontal picture, as shares of its height, in which our avatars have what the words name.
EDITS = {
    "with blond hair": (0.0, 0.42),
    "wearing a hat": (0.0, 0.42),
    "with glasses": (0.4, 0.56),
    "with a beard": (0.56, 0.78),
    "wearing a red shirt": (0.76, 1.0),
}


def frontal(avatar: Avatar) -> Tensor:
    """[SIZE, SIZE, 3] over white."""
    return over(avatar.portrait(SIZE), 1.0)


def compare(one: Tensor, other: Tensor, rows: tuple[float, float], encoder: Encoder) -> Tensor:
    """[3]: PSNR inside and outside the rows, cosine of the latents with the rows blanked."""
    first, last = (round(share * SIZE) for share in rows)
    inside = torch.zeros(SIZE, dtype=torch.bool)
    inside[first:last] = True
    blanked = torch.stack([one, other])
    blanked[:, inside] = 1.0
    latents = encoder.encode_images(blanked)
    cosine = float(latents[0] @ latents[1])
    return torch.tensor([psnr(one[inside], other[inside]), psnr(one[~inside], other[~inside]), cosine])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", type=Path, default=Path("out/smoke/run/model"))
    parser.add_argument("--count", type=int, default=8, help="avatars that are edited")
    parser.add_argument("--strength", type=float, default=0.6)
    parser.add_argument("--out", type=Path, help="a picture: avatars in rows, their edits in columns")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    pipe = RodinPipeline.from_pretrained(arguments.model)
    before = pipe(count=arguments.count, seed=0)
    pictures = [frontal(avatar) for avatar in before]
    columns = [torch.cat(pictures)]
    print(f"{arguments.count} avatars, strength {arguments.strength:g}; in brackets: two different avatars")
    print("edit                    PSNR inside     PSNR outside    likeness outside  towards the words")
    for prompt, rows in EDITS.items():
        after = [
            frontal(pipe.edit(avatar, prompt, strength=arguments.strength))
            for avatar in tqdm(before, desc=prompt, leave=False)
        ]
        columns.append(torch.cat(after))
        found = torch.stack([compare(a, b, rows, pipe.encoder) for a, b in zip(pictures, after, strict=True)]).mean(0)
        others = pictures[1:] + pictures[:1]
        apart = torch.stack([compare(a, b, rows, pipe.encoder) for a, b in zip(pictures, others, strict=True)]).mean(0)
        words = pipe.encoder.encode_texts([prompt])[0]
        said = [pipe.encoder.encode_images(torch.stack(side)) @ words for side in (pictures, after)]
        print(
            f"{prompt:22}  {found[0]:5.1f} ({apart[0]:4.1f}) dB  {found[1]:5.1f} ({apart[1]:4.1f}) dB  "
            f"{found[2]:6.3f} ({apart[2]:5.3f})    {float((said[1] - said[0]).mean()):+.3f}"
        )
    if arguments.out:
        write_picture(arguments.out, torch.cat(columns, dim=1).clamp(0, 1))


if __name__ == "__main__":
    main()
