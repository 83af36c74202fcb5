"""Contract: the perceptual distance is 0 for equal images, symmetric, grows with the damage, and gradients reach the
images. VGG-16 computes what torchvision's layout says, its weights come from a file or a clear error does, and without
a file the encoder's own layers serve."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from rodin.errors import UserError
from rodin.models.clip import Encoder, EncoderConfig, small_clip
from rodin.models.perceptual import EncoderFeatures, Features, Vgg16Features, load_features, perceptual_distance

pytestmark = pytest.mark.usefixtures("mended_checksums")

CFG_D = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M")


def reference_vgg() -> nn.Sequential:
    """VGG-16's convolutional part in torchvision's numbering, built from the paper's table."""
    layers: list[nn.Module] = []
    channels = 3
    for entry in CFG_D:
        if isinstance(entry, str):
            layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
            continue
        layers += [nn.Conv2d(channels, entry, kernel_size=3, padding=1), nn.ReLU(inplace=False)]
        channels = entry
    torch.manual_seed(1)
    network = nn.Sequential(*layers)
    for layer in network:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
    return network.requires_grad_(False)


@pytest.fixture(scope="module")
def reference() -> nn.Sequential:
    return reference_vgg()


@pytest.fixture(scope="module")
def state(reference: nn.Sequential) -> dict[str, Tensor]:
    classifier = {"classifier.0.weight": torch.zeros(2, 2), "classifier.0.bias": torch.zeros(2)}
    return {f"features.{name}": value for name, value in reference.state_dict().items()} | classifier


@pytest.fixture(scope="module")
def weights(state: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vgg") / "vgg16.pth"
    torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    torch.manual_seed(0)
    sizes = EncoderConfig(
        image_size=32, patch_size=8, width=32, layers=3, heads=2, text_width=32, text_layers=1, text_heads=2
    )
    return small_clip(sizes, ["a head"])


@pytest.fixture(scope="module")
def convolutional() -> Encoder:
    torch.manual_seed(0)
    sizes = EncoderConfig(image_size=32, convolutions=(8, 16, 24), text_width=32, text_layers=1, text_heads=2)
    return small_clip(sizes, ["a head"])


@pytest.fixture(params=["vgg", "transformer", "convolutions"])
def features(request: pytest.FixtureRequest, weights: Path, encoder: Encoder, convolutional: Encoder) -> Features:
    if request.param == "vgg":
        return load_features(encoder, weights)
    return load_features(encoder if request.param == "transformer" else convolutional, None)


def images(count: int, height: int = 28, width: int = 28) -> Tensor:
    coarse = torch.rand(count, 3, 4, 5, generator=torch.Generator().manual_seed(3))
    return F.interpolate(coarse, (height, width), mode="bilinear")


def test_equal_images_are_at_no_distance_and_order_does_not_count(features: Features) -> None:
    a, b = images(4).chunk(2)
    torch.testing.assert_close(perceptual_distance(features, a, a), torch.zeros(2))
    there, back = perceptual_distance(features, a, b), perceptual_distance(features, b, a)
    assert there.shape == (2,)
    assert (there > 1e-3).all()
    torch.testing.assert_close(there, back)


def test_more_noise_is_further_away(features: Features) -> None:
    image = images(1)
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
    distances = [perceptual_distance(features, image, image + level * noise).item() for level in (0.02, 0.1, 0.4)]
    assert distances == sorted(distances)
    assert distances[0] < 0.5 * distances[-1]


def test_a_sample_does_not_depend_on_what_is_beside_it(features: Features) -> None:
    a, b = images(6).chunk(2)
    together = perceptual_distance(features, a, b)
    torch.testing.assert_close(perceptual_distance(features, a[1:2], b[1:2]), together[1:2], rtol=1e-4, atol=1e-6)


def test_gradients_reach_both_images_and_no_weight(features: Features) -> None:
    a, b = (image.clone().requires_grad_() for image in images(2, 20, 24).chunk(2))
    perceptual_distance(features, a, b).sum().backward()
    for image in (a, b):
        assert image.grad is not None
        assert torch.isfinite(image.grad).all()
        assert (image.grad.abs().amax(dim=1) > 0).float().mean() > 0.9  # everywhere
    assert all(parameter.grad is None for parameter in features.parameters())


def test_gradients_are_those_of_finite_differences(features: Features) -> None:
    a, b = (image.requires_grad_() for image in images(2).chunk(2))
    (gradient,) = torch.autograd.grad(perceptual_distance(features, a, b).sum(), a)
    step = 2e-3 * gradient / gradient.abs().max()
    with torch.no_grad():
        measured = perceptual_distance(features, a + step, b) - perceptual_distance(features, a - step, b)
    torch.testing.assert_close(2 * (gradient * step).sum(), measured.sum(), rtol=0.03, atol=0.0)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_vgg_is_torchvisions(
    suffix: str, state: dict[str, Tensor], weights: Path, reference: nn.Sequential, tmp_path: Path
) -> None:
    path = weights
    if suffix == ".safetensors":
        path = tmp_path / "vgg16.safetensors"
        save_file(state, path)
    network = Vgg16Features.from_file(path)
    assert network.name == f"vgg16 sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    image = images(2, 48, 33)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    hidden = (image - mean[:, None, None]) / std[:, None, None]
    wanted = []
    for layer in reference:
        if isinstance(layer, nn.MaxPool2d):
            wanted.append(hidden)  # relu1_2, 2_2, 3_3, 4_3, 5_3 are what the poolings see
        hidden = layer(hidden)
    found = network(image)
    assert [list(stage.shape[1:]) for stage in found] == [
        [64, 48, 33],
        [128, 24, 16],
        [256, 12, 8],
        [512, 6, 4],
        [512, 3, 2],
    ]
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other)


def test_the_distance_is_the_formulas(weights: Path) -> None:
    network = Vgg16Features.from_file(weights)
    a, b = images(4, 32, 20).chunk(2)
    total = torch.zeros(2)
    for of_a, of_b in zip(network(a), network(b), strict=True):
        unit_a = of_a / of_a.square().sum(dim=1, keepdim=True).sqrt().clamp_min(1e-6)
        unit_b = of_b / of_b.square().sum(dim=1, keepdim=True).sqrt().clamp_min(1e-6)
        total += (unit_a - unit_b).pow(2).sum(1).flatten(1).mean(1) / 5
    torch.testing.assert_close(perceptual_distance(network, a, b), total)


def test_encoder_features_are_maps_of_its_layers(encoder: Encoder) -> None:
    network = EncoderFeatures(encoder)
    assert network.name == "encoder"
    assert [list(stage.shape) for stage in network(images(2, 20, 30))] == [[2, 32, 4, 4]] * 3
    black = torch.zeros(1, 3, 32, 32)
    spot = black.clone()
    spot[:, :, 9:15, 17:23] = 1.0  # inside patch (row 1, column 2)
    before, after = network(black)[0], network(spot)[0]
    changed = (before - after).abs().amax(dim=(0, 1)) > 1e-6
    assert changed.nonzero().tolist() == [[1, 2]]


def test_without_a_file_the_encoder_serves(encoder: Encoder, weights: Path) -> None:
    assert load_features(encoder, None).name == "encoder"
    assert load_features(encoder, weights).name.startswith("vgg16 sha256:")


def test_autocast_does_not_coarsen_it(features: Features) -> None:
    a = images(1)
    b = a + 1e-3 * torch.randn(a.shape, generator=torch.Generator().manual_seed(0))
    plain = perceptual_distance(features, a, b)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(perceptual_distance(features, a, b), plain)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_missing_and_damaged_files_are_named(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"vgg16{suffix}"
    with pytest.raises(UserError, match="no such file"):
        Vgg16Features.from_file(path)
    path.write_bytes(b"\x80\x02}q\x00" + bytes(range(256)))
    with pytest.raises(UserError, match=f"vgg16{suffix}: not a"):
        Vgg16Features.from_file(path)


def test_cut_off_files_are_refused(weights: Path, tmp_path: Path) -> None:
    path = tmp_path / "vgg16.pth"
    path.write_bytes(weights.read_bytes()[:-2000])
    with pytest.raises(UserError, match="not a file of weights"):
        Vgg16Features.from_file(path)


def test_foreign_files_are_refused(state: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "foreign.pth"
    for value, message in (
        ({"model": {"weight": torch.zeros(1)}}, "holds no state dict"),
        ([1, 2], "holds no state dict"),
        ({"layer1.0.weight": torch.zeros(3)}, "not a VGG-16"),
        ({**state, "features.0.weight": torch.zeros(64, 3, 5, 5)}, "not a VGG-16"),
        ({**state, "features.0.bias": torch.full((64,), torch.nan)}, r"features\.0\.bias is not finite"),
    ):
        torch.save(value, path)
        with pytest.raises(UserError, match=message):
            Vgg16Features.from_file(path)


def test_nothing_but_tensors_is_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "evil.pth"
    torch.save({"features.0.weight": Path("x")}, path)
    with pytest.raises(UserError, match="not a file of weights"):
        Vgg16Features.from_file(path)


def test_shapes_are_checked(features: Features, weights: Path) -> None:
    with pytest.raises(ValueError, match=r"\[B, 3, H, W\]"):
        features(torch.zeros(1, 4, 16, 16))
    with pytest.raises(ValueError, match="one shape"):
        perceptual_distance(features, torch.zeros(1, 3, 16, 16), torch.zeros(2, 3, 16, 16))
    with pytest.raises(ValueError, match="at least 16 pixels"):
        Vgg16Features.from_file(weights)(torch.zeros(1, 3, 15, 20))
