"""Contract: the reader learns what pictures show and nothing where they show nothing, whatever the pictures' size and
softness; the same seed learns the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from rodin.evaluate import attribute_reader
from rodin.evaluate.attribute_reader import (
    HIDDEN,
    SIDE,
    AttributeReader,
    Lesson,
    drained,
    label_size,
    labels_of,
    one_hot,
    read_size,
    shows,
    train_reader,
    value_weights,
    varied,
)
from rodin.materials import MATERIALS

HAT, TOP = (MATERIALS.index(name) for name in ("hat", "top"))
COLOURS = {"red": (0.9, 0.1, 0.1), "green": (0.1, 0.8, 0.1), "blue": (0.1, 0.1, 0.9)}


@pytest.fixture(scope="module", autouse=True)
def small_batches() -> Iterator[None]:
    """The toys are learned from half as many pictures a step."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attribute_reader, "BATCH", 32)
        patch.setattr(attribute_reader, "COLOURED", 16)
        yield


def toys(count: int, seed: int) -> tuple[Tensor, list[dict[str, Any]]]:
    """Squares of three colours on a transparent ground, two views each; `luck` is drawn apart from the picture."""
    generator = torch.Generator().manual_seed(seed)
    images, attributes = [], []
    for _ in range(count):
        colour = list(COLOURS)[int(torch.randint(3, (), generator=generator))]
        image = torch.zeros(2, SIDE, SIDE, 4)
        for view in image:
            left, top = torch.randint(20, 40, (2,), generator=generator).tolist()
            view[top : top + 30, left : left + 30, :3] = torch.tensor(COLOURS[colour])
            view[top : top + 30, left : left + 30, 3] = 1.0
        images.append(image)
        attributes.append({"colour": colour, "luck": bool(torch.rand((), generator=generator) < 0.5)})
    return torch.stack(images), attributes


def lesson(count: int, seed: int) -> Lesson:
    images, attributes = toys(count, seed)
    owners = torch.arange(count).repeat_interleave(2)
    return Lesson((images.flatten(0, 1) * 255).to(torch.uint8), owners, torch.ones(2 * count), attributes)


@pytest.fixture(scope="module")
def reader(small_batches: None) -> AttributeReader:
    return train_reader(lesson(40, 0), ["colour", "luck"], 20)


def accuracy(reader: AttributeReader, images: Tensor, attributes: list[dict[str, Any]], name: str) -> float:
    read = reader.read(images)[name]
    return sum(value == str(one[name]) for value, one in zip(read, attributes, strict=True)) / len(read)


def test_what_shows_is_learned_and_noise_is_not(reader: AttributeReader) -> None:
    assert reader.values == {"colour": ("blue", "green", "red"), "luck": ("False", "True")}
    images, attributes = toys(60, 1)
    assert accuracy(reader, images, attributes, "colour") > 0.95
    assert abs(accuracy(reader, images, attributes, "luck") - 0.5) < 0.2  # 3 standard deviations of 60 coins


@pytest.mark.parametrize("size", [24, 96])
def test_pictures_of_another_size_number_and_softness_are_read(reader: AttributeReader, size: int) -> None:
    images, attributes = toys(20, 1)
    pixels = images[:, 0].permute(0, 3, 1, 2)
    other = torch.nn.functional.interpolate(pixels, (size, size), mode="bilinear", antialias=True)
    assert accuracy(reader, other.permute(0, 2, 3, 1)[:, None], attributes, "colour") > 0.9


def test_views_decide_together(reader: AttributeReader) -> None:
    """An empty view says nothing; the one that shows the square decides."""
    images, attributes = toys(20, 2)
    images[:, 0] = 0
    assert accuracy(reader, images, attributes, "colour") > 0.9


def test_where_pictures_leave_it_open_a_rare_value_is_likelier_than_it_is_common(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By a narrow network, which learns fewer subjects by heart, in many cheap steps."""
    monkeypatch.setattr(attribute_reader, "BATCH", 64)
    monkeypatch.setattr(attribute_reader, "WIDTHS", (6, 6, 12, 12))
    rare = lesson(160, 0)
    for index, one in enumerate(rare.attributes):
        one["luck"] = index % 8 == 0
    reader = train_reader(rare, ["luck"], 60)
    pictures, _ = toys(30, 1)
    shown = pictures[:, 0, ..., :3].permute(0, 3, 1, 2).mean(dim=1, keepdim=True).expand(-1, 3, -1, -1)
    shown = torch.cat([shown, one_hot(torch.zeros(30, SIDE, SIDE))], dim=1)
    assert 0.22 < float(reader(shown)[0].softmax(dim=1)[:, 1].mean()) < 0.5  # sqrt(1/7) to 1; an eighth without weights


def test_a_value_that_four_times_as_many_have_weighs_half_as_much() -> None:
    labels = torch.tensor([0, 0, 0, 0, 2, HIDDEN])
    weights = value_weights(labels, 3)
    assert torch.allclose(weights[0] / weights[2], torch.tensor(0.5))
    assert torch.allclose(weights[labels[:-1]].mean(), torch.tensor(1.0))
    assert weights.isfinite().all()


def test_the_same_seed_learns_the_same_and_leaves_torch_s_own_alone() -> None:
    state = torch.get_rng_state()
    one, other = (train_reader(lesson(6, 0), ["colour"], 2, seed=1).state_dict() for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    another = train_reader(lesson(6, 0), ["colour"], 2, seed=2).state_dict()
    assert not torch.equal(one["heads.0.weight"], another["heads.0.weight"])


def test_nothing_to_read_is_read_as_nothing() -> None:
    assert train_reader(lesson(4, 0), [], 100).read(toys(3, 0)[0]) == {}


def test_what_varies_shows_the_same() -> None:
    """White ground stays white or becomes one grey; the square stays about as large and as red."""
    image = torch.zeros(64, SIDE, SIDE, 4)
    image[:, 20:44, 20:44] = torch.tensor([1.0, 0.0, 0.0, 1.0])
    for seed in range(4):
        labels = torch.where(image[..., 0] > 0, 1.0 + MATERIALS.index("hat"), 0.0)
        pictures = varied(image, labels, torch.Generator().manual_seed(seed))
        assert pictures.shape == (64, 3 + len(MATERIALS), SIDE, SIDE)
        moved = pictures[:, 3 + MATERIALS.index("hat")]  # with the square, and nothing else is made of anything
        assert float((moved - (pictures[:, 0] - pictures[:, 1]).clamp_min(0)).abs().mean()) < 0.06
        assert torch.equal(pictures[:, 3:].sum(dim=1), moved)
        corner = pictures[:, :3, 0, 0]
        assert torch.allclose(corner, corner[:, :1].expand_as(corner), atol=1e-4)
        assert 0.2 < float((corner[:, 0] > 0.999).float().mean()) < 0.8
        area = (corner[:, 1, None, None] - pictures[:, 1]).sum((1, 2)) / corner[:, 1].clamp_min(1e-3)
        bright = corner[:, 1] > 0.2
        assert float((area[bright] / 24**2 - 1).abs().max()) < 0.3


def test_the_colour_of_nothing_does_not_show() -> None:
    assert not shows({"hair": "bald", "hair_color": "red"}, "hair_color")
    assert shows({"hair": "afro", "hair_color": "red"}, "hair_color")
    assert not shows({"hat": "none", "hat_color": "red"}, "hat_color")
    assert shows({"hat": "none"}, "hat")
    assert shows({"top_color": "red"}, "top_color")


def test_sizes() -> None:
    assert read_size(torch.rand(2, 3, 100, 100, 4)).shape == (2, 3, SIDE, SIDE, 4)
    assert read_size(torch.rand(3, 24, 24, 4)).shape == (3, SIDE, SIDE, 4)


def test_grey_pictures_have_no_colour_and_no_brightness_of_their_own() -> None:
    pictures = torch.tensor([0.8, 0.3, 0.3])[None, :, None, None].expand(200, 3, 2, 2)
    grey = drained(pictures, torch.Generator().manual_seed(0))
    assert torch.equal(grey[:, 0], grey[:, 1])
    assert torch.equal(grey[:, 0], grey[:, 2])
    assert float(grey.min()) < 0.2
    assert float(grey.max()) > 0.8


def test_what_a_pixel_has_most_of_is_its_label() -> None:
    shares = torch.zeros(2, 2, len(MATERIALS))
    shares[0, 0, [HAT, TOP]] = torch.tensor([0.6, 0.4])
    shares[0, 1, [MATERIALS.index("skin"), MATERIALS.index("frame")]] = torch.tensor([0.6, 0.4])  # a thin one
    shares[1, 0, TOP] = 0.3  # and nothing behind
    assert labels_of(shares).tolist() == [[HAT + 1, MATERIALS.index("frame") + 1], [0, 0]]
    assert labels_of(shares).dtype == torch.uint8


@pytest.mark.parametrize("size", [32, 128, 256])
def test_labels_are_cut_as_pictures_are(size: int) -> None:
    images, labels = torch.zeros(3, size, size, 4), torch.zeros(3, size, size, dtype=torch.uint8)
    images[:, size // 4 : size // 2, size // 3 :], labels[:, size // 4 : size // 2, size // 3 :] = 1.0, 5
    seen = read_size(images)[..., 3]
    assert torch.equal(label_size(labels) == 5, seen > 0.5)
    assert torch.equal(one_hot(label_size(labels))[:, 4], (seen > 0.5).float())


def test_what_only_the_materials_tell_is_read_off_them() -> None:
    """Squares that look alike, of a hat or of clothes."""
    images, attributes = toys(60, 0)
    worn = torch.arange(60) % 2 == 0
    for index, one in enumerate(attributes):
        one["worn"] = "hat" if worn[index] else "top"
    labels = torch.where(worn, HAT + 1, TOP + 1)[:, None, None, None] * (images[..., 3] > 0)
    owners = torch.arange(60).repeat_interleave(2)
    told = Lesson(
        (images.flatten(0, 1) * 255).to(torch.uint8),
        owners,
        torch.ones(120),
        attributes,
        labels.flatten(0, 1).to(torch.uint8),
    )
    reader = train_reader(told, ["worn"], 30)
    seen, _ = toys(20, 3)
    for name, index in (("hat", HAT), ("top", TOP)):
        made_of = ((index + 1) * (seen[..., 3] > 0)).to(torch.uint8)
        assert reader.read(seen, made_of)["worn"] == [name] * 20
