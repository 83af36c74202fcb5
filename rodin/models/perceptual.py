"""How different two images look: the distance of their features in a frozen network (LPIPS; Zhang et al. 2018).

The upsampler, the refiner and the inversion are trained or steered by it. Two networks give features: VGG-16, as in the
paper, where its user has the weights in a local file; else the project's own image encoder, which is always there. What
a model was trained with is told by `Features.name` and recorded with the model.

Symbols: B batch, H W rows and columns of images; C_i H_i W_i of the features of stage i.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rodin import checksums
from rodin.errors import UserError, one_line, shown
from rodin.files import read_json, write_json
from rodin.models.clip import Encoder
from rodin.parts import CONFIG_NAME, read_tensors

RECORD_NAME = "perceptual.json"  # beside the weights of what was trained by such a loss
ENCODER_NAME = "encoder"
ENCODER_STAGES = 4
IMAGENET_MEAN = (0.485, 0.456, 0.406)  # of the pixels that torchvision's networks want
IMAGENET_STD = (0.229, 0.224, 0.225)
VGG16_STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))  # Simonyan & Zisserman, D
VGG16_SMALLEST = 2 ** (len(VGG16_STAGES) - 1)  # pixels: a pooling lies between any two stages


class Features(nn.Module, ABC):
    """A frozen network that gives the features of images at several depths.

    Args:
        name: which network it is: "encoder", or "vgg16 sha256:" and the hash of the file of weights.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    @abstractmethod
    def forward(self, images: Tensor) -> list[Tensor]:
        """Features of images, differentiable with respect to them.

        Args:
            images: [B, 3, H, W] sRGB in [0, 1].

        Returns:
            one [B, C_i, H_i, W_i] a stage.
        """


class Vgg16Features(Features):
    """The five stages of VGG-16 after their last ReLU, as LPIPS takes them; weights are random until loaded.

    The convolutions bear torchvision's names: `features.N.weight`, N counting ReLUs and poolings too.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, name: str = "vgg16 untrained") -> None:
        super().__init__(name)
        self.features = nn.Sequential()
        self._ends: list[int] = []  # N of each stage's last ReLU
        channels = 3
        for widths in VGG16_STAGES:
            if self._ends:
                self.features.append(nn.MaxPool2d(2))
            for width in widths:
                self.features.append(nn.Conv2d(channels, width, 3, padding=1))
                self.features.append(nn.ReLU())
                channels = width
            self._ends.append(len(self.features) - 1)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).reshape(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).reshape(3, 1, 1), persistent=False)
        self.requires_grad_(False)
        self.eval()

    @staticmethod
    def from_file(path: Path) -> Vgg16Features:
        """Read weights in torchvision's layout: `.safetensors`, or what `torch.save` wrote (`.pth`, `.pt`).

        The classifier's weights may be there, and are not used. Only tensors are read: nothing else is unpickled.

        Raises:
            UserError: the file is missing, damaged, or holds no VGG-16.
        """
        path = Path(path)
        tensors = _read_state(path)
        with path.open("rb") as file:
            network = Vgg16Features(f"vgg16 sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}")
        own = {name: value for name, value in tensors.items() if name.startswith("features.")}
        try:
            network.load_state_dict(own)
        except RuntimeError as error:
            raise UserError(
                f"{path}: not a VGG-16 in torchvision's layout ({one_line(error, kind=True)}); give vgg16's state dict"
            ) from error
        unsound = [name for name, value in own.items() if not torch.isfinite(value).all()]
        if unsound:
            raise UserError(f"{path}: {unsound[0]} is not finite; copy the file again")
        return network

    def forward(self, images: Tensor) -> list[Tensor]:
        _check_images(images)
        if min(images.shape[-2:]) < VGG16_SMALLEST:
            raise ValueError(f"images must be at least {VGG16_SMALLEST} pixels a side, got {list(images.shape)}")
        hidden = (images - self.mean) / self.std
        stages = []
        for index, layer in enumerate(self.features):
            hidden = layer(hidden)
            if index in self._ends:
                stages.append(hidden)
        return stages


class EncoderFeatures(Features):
    """What the image encoder makes of images after several of its layers: maps, or its patches' tokens as maps.

    A transformer's last layer is left out: of its output the encoder was trained on the class token alone. Images of
    any size are resized to the encoder's.
    """

    def __init__(self, encoder: Encoder) -> None:
        super().__init__(ENCODER_NAME)
        self.encoder = encoder
        vision = encoder.model.config.vision_config
        self._convolutional = hasattr(vision, "convolutions")
        last = (len(vision.convolutions) if self._convolutional else vision.num_hidden_layers) - 1
        shares = range(1, ENCODER_STAGES + 1)
        self._layers = sorted({round(share * last / ENCODER_STAGES) for share in shares})

    def forward(self, images: Tensor) -> list[Tensor]:
        _check_images(images)
        size = (self.encoder.image_size,) * 2
        if images.shape[-2:] != size:
            images = F.interpolate(images, size, mode="bicubic", align_corners=False, antialias=True)
        pixels = (images - self.encoder.mean) / self.encoder.std
        tower = self.encoder.model.vision_model
        if self._convolutional:
            maps = tower(pixel_values=pixels).hidden_states
            return [maps[layer] for layer in self._layers]
        tokens = tower(pixel_values=pixels, output_hidden_states=True).hidden_states  # [B, 1 + side^2, C] each
        side = self.encoder.image_size // self.encoder.model.config.vision_config.patch_size
        return [tokens[layer][:, 1:].mT.unflatten(-1, (side, side)) for layer in self._layers]


def load_features(encoder: Encoder, vgg: Path | None) -> Features:
    """VGG-16's features if a file of its weights is given, else the encoder's.

    Raises:
        UserError: the file cannot be used.
    """
    return EncoderFeatures(encoder) if vgg is None else Vgg16Features.from_file(vgg)


def record_features(folder: Path, name: str) -> None:
    """Note beside a network's weights by which features (`Features.name`) its perceptual loss was taken."""
    write_json(folder / RECORD_NAME, {"features": name})
    checksums.note(folder)


def recorded_features(folder: Path) -> str:
    """What `record_features` noted in the folder of a network; older refiners have it in their config.

    Raises:
        UserError: there is no such note.
    """
    path = folder / RECORD_NAME
    key = "features"
    if not path.is_file() and (folder / CONFIG_NAME).is_file():
        path, key = folder / CONFIG_NAME, "perceptual"
    checksums.check(folder, [path.name])
    document = read_json(path)
    found = document.get(key) if isinstance(document, dict) else None
    if not isinstance(found, str):
        raise UserError(f"{path}: {key} is {shown(found)}; copy the file again")
    return found


def perceptual_distance(features: Features, a: Tensor, b: Tensor) -> Tensor:
    """How different images look: 0 = the same (LPIPS, Eq. 1, all channels weighted alike).

    Features are taken to unit length at each position; their squared difference is averaged over positions and over
    stages. Computed in float32 under autocast too: small differences are lost in fewer bits.

    Args:
        a, b: [B, 3, H, W] sRGB in [0, 1]; gradients reach both.

    Returns:
        [B], at most 4
    """
    if a.shape != b.shape:
        raise ValueError(f"the images must be of one shape, got {list(a.shape)} and {list(b.shape)}")
    with torch.autocast(a.device.type, enabled=False):
        stages = features(torch.cat([a.float(), b.float()]))
        distances = []
        for stage in stages:
            of_a, of_b = F.normalize(stage, dim=1, eps=1e-6).chunk(2)
            distances.append((of_a - of_b).square().sum(dim=1).mean(dim=(1, 2)))
        return torch.stack(distances).mean(dim=0)


def _check_images(images: Tensor) -> None:
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"images must be [B, 3, H, W], got {list(images.shape)}")


def _read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a state dict on disk."""
    if path.suffix == ".safetensors":
        return read_tensors(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file; give VGG-16's weights, or none to use the encoder's features")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # zipfile, pickle and torch: whatever damaged bytes can raise
        raise UserError(f"{path}: not a file of weights ({one_line(error, kind=True)}); copy it again") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"{path}: holds no state dict; give vgg16's state dict in torchvision's layout")
    return state
