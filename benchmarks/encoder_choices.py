"""What the encoder's latents say of subjects that it never saw, by how it is trained.

Each choice is the mini preset's encoder stage with one thing changed, trained for the same steps to RUN/encoders/NAME.
Then a linear layer (ridge regression on one-hot values) learns each attribute from the latents of the training
subjects' frontal views, and reads it off those of the held-out subjects, and another the frontal view itself, as a
thumbnail, of which the share of the variance that it misses is printed: what is not read, the diffusion model, which
knows a subject by its latent alone, cannot draw.

    python benchmarks/encoder_choices.py data/train data/heldout RUN --steps 600 [--only mini transformer ...]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from rodin.data.captures import load_subject
from rodin.data.subject_folders import list_subjects
from rodin.models.clip import Encoder
from rodin.train.encoder import EncoderTraining, thumbnails_of, train_encoder
from rodin.train.presets import mini

ATTRIBUTES = ("hair_color", "hair", "skin", "beard", "glasses", "sex", "age", "top_color")
RIDGE = (0.003, 0.03, 0.3)  # of which the best counts
BATCH = 32


def transformer(image_size: int, patch_size: int) -> Callable[[EncoderTraining], EncoderTraining]:
    """A ViT of 64 patches in place of the convolutions."""
    changes = {"convolutions": (), "image_size": image_size, "patch_size": patch_size, "width": 192}
    return lambda encoder: replace(encoder, network=replace(encoder.network, **changes))  # type: ignore[arg-type]


def augmented(**changes: float) -> Callable[[EncoderTraining], EncoderTraining]:
    """Other augmentation."""
    return lambda encoder: replace(encoder, augment=replace(encoder.augment, **changes))


CHOICES: dict[str, Callable[[EncoderTraining], EncoderTraining]] = {
    "mini": lambda encoder: encoder,
    "transformer": transformer(64, 8),
    "transformer, larger": transformer(128, 16),
    "no grey views": augmented(grey_probability=0.0),
    "not mirrored": augmented(mirror=0.0),
    "no phrases": lambda encoder: replace(encoder, phrase_weight=0.0),
    "no thumbnails": lambda encoder: replace(encoder, thumbnail_weight=0.0, latent_noise=0.0),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="training subjects")
    parser.add_argument("held_out", type=Path, help="subjects that no encoder sees")
    parser.add_argument("run", type=Path, help="run folder")
    parser.add_argument("--steps", type=int, default=600, help="of each choice")
    parser.add_argument("--only", nargs="+", choices=CHOICES, default=list(CHOICES), help="which choices")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    shown, held_out = read_frontals(arguments.data), read_frontals(arguments.held_out)
    print(f"| choice | CPU-seconds a step | thumbnail missed | mean | {' | '.join(ATTRIBUTES)} |")
    print(f"|{'---|' * (len(ATTRIBUTES) + 4)}")
    chances = [most_common([one[name] for one in held_out[1]]) for name in ATTRIBUTES]
    print_row("the commonest value", "", 1.0, chances)
    for name in arguments.only:
        encoder = CHOICES[name](mini().encoder)
        encoder = replace(encoder, loop=replace(encoder.loop, steps=arguments.steps))
        run = arguments.run / "encoders" / name.replace(" ", "-").replace(",", "")
        began = time.process_time()
        train_encoder(arguments.data, run, encoder)
        spent = (time.process_time() - began) / arguments.steps
        print_row(name, f"{spent:.2f}", *probe(Encoder.from_pretrained(run / "encoder"), shown, held_out))


def print_row(name: str, spent: str, missed: float, accuracies: list[float]) -> None:
    """One line of the table."""
    mean = sum(accuracies) / len(accuracies)
    cells = " | ".join(f"{100 * share:.0f} %" for share in (missed, mean, *accuracies))
    print(f"| {name} | {spent} | {cells} |", flush=True)


def read_frontals(data: Path) -> tuple[Tensor, list[dict[str, Any]]]:
    """Frontal views [N, S, S, 4] and attributes of the subjects in a folder."""
    subjects = [load_subject(folder) for folder in list_subjects(data)]
    return torch.stack([one.images[one.frontal] for one in subjects]), [one.attributes for one in subjects]


def most_common(values: list[Any]) -> float:
    """Share of the commonest value."""
    return max(values.count(value) for value in values) / len(values)


def probe(
    encoder: Encoder, shown: tuple[Tensor, list[dict[str, Any]]], held_out: tuple[Tensor, list[dict[str, Any]]]
) -> tuple[float, list[float]]:
    """On the held-out subjects: the share of the thumbnails' variance that is missed, and an accuracy an attribute."""
    inputs, unseen = (with_ones(latents(encoder, images)) for images, _ in (shown, held_out))
    pictures, wanted_pictures = (thumbnails_of(images).flatten(1) for images, _ in (shown, held_out))
    errors = [(unseen @ ridge(inputs, pictures, weight) - wanted_pictures).square().sum() for weight in RIDGE]
    missed = float(min(errors) / (wanted_pictures - pictures.mean(dim=0)).square().sum())
    found = []
    for name in ATTRIBUTES:
        wanted = [str(one[name]) for one in held_out[1]]
        known = [str(one[name]) for one in shown[1]]
        readings = [read(unseen, *learn_linear(inputs, known, weight)) for weight in RIDGE]
        found.append(max(share_right(one, wanted) for one in readings))
    return missed, found


def ridge(inputs: Tensor, targets: Tensor, weight: float) -> Tensor:
    """The map [D + 1, K] from latents [N, D + 1] to what is wanted of them [N, K]."""
    return torch.linalg.solve(inputs.t() @ inputs + weight * torch.eye(inputs.shape[1]), inputs.t() @ targets)


def learn_linear(inputs: Tensor, known: list[str], weight: float) -> tuple[list[str], Tensor]:
    """The values that an attribute has, and the map [D + 1, values] from latents [N, D + 1] that tells them apart."""
    values = sorted(set(known))
    classes = torch.tensor([values.index(one) for one in known])
    return values, ridge(inputs, F.one_hot(classes, len(values)).float(), weight)


def read(inputs: Tensor, values: list[str], solved: Tensor) -> list[str]:
    """The values of latents [N, D + 1]."""
    return [values[k] for k in (inputs @ solved).argmax(dim=1).tolist()]


def share_right(found: list[str], wanted: list[str]) -> float:
    """Share of equal pairs."""
    return sum(one == other for one, other in zip(found, wanted, strict=True)) / len(wanted)


def latents(encoder: Encoder, images: Tensor) -> Tensor:
    """[N, D] of images [N, S, S, 4]."""
    return torch.cat([encoder.encode_images(part) for part in images.split(BATCH)])


def with_ones(values: Tensor) -> Tensor:
    """[N, D] -> [N, D + 1], for the constant of a linear map."""
    return F.pad(values, (0, 1), value=1.0)


if __name__ == "__main__":
    main()
