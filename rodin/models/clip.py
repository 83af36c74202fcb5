"""The frozen CLIP model that turns a frontal image or a caption into the latent z (Rodin, Sec. 3.3).

An encoder folder is a Hugging Face CLIP folder: `config.json`, `model.safetensors`, the tokenizer, and
`preprocessor_config.json`. Ours, trained on renders by `rodin.train.encoder`, and any published CLIP with 512 outputs
load by the same code. One with convolutions for its image tower (`rodin.models.conv_tower`) says so in its
`vision_config`, and loads here alone. Nothing is unpickled, and torchvision is not needed: images are resized by torch.

Symbols: B batch, H W rows and columns, D = 512 latent numbers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from rodin import checksums
from rodin.errors import UserError, one_line, shown
from rodin.files import atomic_path, read_json
from rodin.images import over
from rodin.models.text import TextCondition
from rodin.models.tokenizer import BYTE_TOKENS, train_tokenizer
from rodin.parts import LARGEST, check_range

if TYPE_CHECKING:  # two seconds of imports, which only an encoder in use needs: functions import what they call
    from transformers import CLIPModel, CLIPTokenizer

LATENT_DIM = 512
PREPROCESSOR_NAME = "preprocessor_config.json"
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)  # of the pixels that OpenAI's CLIP saw; ours takes them over
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

LAYERS, SIZES = 2**10, 2**24  # more layers, or numbers, than any CLIP has
_TOKENIZER_NAMES = ("tokenizer.json", "vocab.json")
_LOAD_ERRORS = (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, SafetensorError)


@dataclass(frozen=True, kw_only=True, slots=True)
class EncoderConfig:
    """Sizes of a small CLIP; the outputs are always LATENT_DIM wide.

    Args:
        image_size: side of the image that the network sees, in pixels.
        convolutions: channels of the layers of a convolutional image tower; () = a transformer, as CLIP's.
        patch_size: side of the image transformer's patches in pixels; divides image_size.
        width, layers, heads: of the image transformer; unused, as patch_size, with convolutions.
        text_width, text_layers, text_heads: of the text transformer.
        vocabulary: largest number of tokens, bytes and the two special ones included.
        context: largest number of tokens in a caption, the two special ones included.
    """

    image_size: int = 64
    convolutions: tuple[int, ...] = ()
    patch_size: int = 8
    width: int = 128
    layers: int = 4
    heads: int = 4
    text_width: int = 128
    text_layers: int = 2
    text_heads: int = 4
    vocabulary: int = 1024
    context: int = 64

    def __post_init__(self) -> None:
        if any(width < 8 or width % 8 for width in self.convolutions):
            raise ValueError(f"convolutions must be multiples of 8, got {self.convolutions}")
        for name in self.__slots__:
            if name != "convolutions" and getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        check_range(self, 1, 2**13, "image_size", "patch_size", "width", "heads", "text_width", "text_heads", "context")
        check_range(self, 1, 256, "layers", "text_layers")
        check_range(self, 1, 2**20, "vocabulary")
        divisions = [("text_width", "text_heads")]
        if not self.convolutions:
            divisions += [("image_size", "patch_size"), ("width", "heads")]
        for name, part in divisions:
            if getattr(self, name) % getattr(self, part):
                raise ValueError(f"{part} must divide {name}, got {getattr(self, part)} and {getattr(self, name)}")
        if self.image_size < 2 * 2 ** len(self.convolutions):
            raise ValueError(f"image_size {self.image_size} is too small for {len(self.convolutions)} convolutions")
        if self.vocabulary < BYTE_TOKENS + 2:
            raise ValueError(f"vocabulary must be at least {BYTE_TOKENS + 2}, got {self.vocabulary}")
        if self.context < 3:
            raise ValueError(f"context must be at least 3, got {self.context}")


class Encoder(nn.Module):
    """Images and captions to unit vectors in one space of 512 numbers. Frozen: no parameter asks for a gradient.

    Args:
        model: a CLIP with 512 outputs.
        tokenizer: its tokenizer.
        mean, std: of the pixels that the model wants, one number a colour channel.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        model: CLIPModel,
        tokenizer: CLIPTokenizer,
        mean: tuple[float, ...] = CLIP_MEAN,
        std: tuple[float, ...] = CLIP_STD,
    ) -> None:
        super().__init__()
        if model.config.projection_dim != LATENT_DIM:
            raise ValueError(f"projection_dim must be {LATENT_DIM}, got {model.config.projection_dim}")
        self.model = model
        self.tokenizer = tokenizer
        self.register_buffer("mean", torch.tensor(mean).reshape(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).reshape(3, 1, 1), persistent=False)
        self.requires_grad_(False)
        self.eval()

    @property
    def image_size(self) -> int:
        """Side in pixels of the square image that the network sees."""
        return self.model.config.vision_config.image_size

    @property
    def text_width(self) -> int:
        """Numbers in the hidden state of a text token."""
        return self.model.config.text_config.hidden_size

    @staticmethod
    def from_pretrained(name_or_folder: str | Path) -> Encoder:
        """Load a CLIP folder, or one from the Hugging Face hub by its name.

        Args:
            name_or_folder: a folder, or a name such as "openai/clip-vit-base-patch32" if there is no such folder.

        Raises:
            UserError: no such folder and no such name within reach; a file is missing, damaged or of another kind of
                model; the outputs are not 512 wide.
        """
        from transformers import CLIPTokenizer

        folder = _local_folder(name_or_folder)
        mean, std = check_folder(folder)
        names = sorted(path.name for path in folder.iterdir() if path.is_file())
        checksums.check(folder, [name for name in names if name != checksums.NAME])
        try:
            tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)  # a folder  # nosec B615
            model = _load_model(folder)
        except BaseException as error:  # of two libraries, one of which panics where a file is odd
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                raise
            raise UserError(
                f"{folder}: not a whole CLIP folder ({one_line(error, kind=True)}); copy it again"
            ) from error
        if len(tokenizer) > model.config.text_config.vocab_size:
            tokens = f"{len(tokenizer)} tokens, the model {model.config.text_config.vocab_size}"
            raise UserError(f"{folder}: the tokenizer has {tokens}; copy both from one model")
        if tokenizer.pad_token is None:
            raise UserError(f"{folder}: the tokenizer has no token that pads; copy the whole folder again")
        return Encoder(model, tokenizer, mean, std)

    def save_pretrained(self, folder: Path) -> None:
        """Write a CLIP folder, whole or not at all."""
        with atomic_path(Path(folder)) as temporary, quiet():
            self.model.save_pretrained(temporary)
            self.tokenizer.save_pretrained(temporary)
            side = self.image_size
            preprocessor = {
                "image_processor_type": "CLIPImageProcessor",
                "do_convert_rgb": True,
                "do_resize": True,
                "size": {"shortest_edge": side},
                "resample": 3,
                "do_center_crop": True,
                "crop_size": {"height": side, "width": side},
                "do_rescale": True,
                "rescale_factor": 1 / 255,
                "do_normalize": True,
                "image_mean": self.mean.flatten().tolist(),
                "image_std": self.std.flatten().tolist(),
            }
            (temporary / PREPROCESSOR_NAME).write_text(json.dumps(preprocessor, indent=1) + "\n", encoding="utf-8")
            checksums.note(temporary)

    def encode_images(self, images: Tensor) -> Tensor:
        """Latents of images; differentiable with respect to them.

        Args:
            images: [B, H, W, 3 or 4] straight sRGB in [0, 1]; laid on white, and white is added to make them square.

        Returns:
            [B, 512] of unit length.
        """
        if images.ndim != 4 or images.shape[-1] not in (3, 4):
            raise ValueError(f"images must be [B, H, W, 3 or 4], got {list(images.shape)}")
        if images.shape[-1] == 4:
            images = over(images, 1.0)
        pixels = images.permute(0, 3, 1, 2)  # [B, 3, H, W]
        height, width = pixels.shape[-2:]
        side = max(height, width)
        left, top = (side - width) // 2, (side - height) // 2
        pixels = F.pad(pixels, (left, side - width - left, top, side - height - top), value=1.0)
        if side != self.image_size:
            size = (self.image_size, self.image_size)
            pixels = F.interpolate(pixels, size, mode="bicubic", align_corners=False, antialias=True)
        pixels = (pixels.clamp(0.0, 1.0) - self.mean) / self.std
        return F.normalize(self.model.get_image_features(pixel_values=pixels).pooler_output, dim=-1)

    def encode_texts(self, texts: list[str]) -> Tensor:
        """Latents of captions; what is beyond the model's context length is cut off.

        Returns:
            [B, 512] of unit length.
        """
        return self.read(texts).pooled

    def read(self, texts: list[str]) -> TextCondition:
        """What captions say, token by token and as a whole; cut off as by `encode_texts`.

        Returns:
            hidden states of the text transformer, padded to the longest caption; a mask that is True where there is a
            token, both special ones included; latents of unit length.
        """
        if not texts:
            hidden = self.mean.new_zeros(0, 1, self.text_width)
            return TextCondition(hidden, hidden[..., 0].bool(), self.mean.new_zeros(0, LATENT_DIM))
        tokens = self.tokenize(texts)
        output = self.model.get_text_features(**tokens)
        mask = tokens["attention_mask"].bool()
        return TextCondition(output.last_hidden_state, mask, F.normalize(output.pooler_output, dim=-1))

    def tokenize(self, texts: list[str]) -> dict[str, Tensor]:
        """`input_ids` and `attention_mask` [B, T] of captions, padded to the longest."""
        clean = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]  # lone surrogates have no bytes
        limit = self.model.config.text_config.max_position_embeddings
        tokens = self.tokenizer(clean, padding=True, truncation=True, max_length=limit, return_tensors="pt")
        return {name: tokens[name].to(self.mean.device) for name in ("input_ids", "attention_mask")}


def small_clip(config: EncoderConfig, captions: Iterable[str]) -> Encoder:
    """An untrained CLIP of the given sizes, its tokenizer made for `captions`. Weights come from torch's seed."""
    return _untrained(config, train_tokenizer(captions, config.vocabulary))


def copied_clip(config: EncoderConfig, folder: Path) -> Encoder:
    """A small CLIP of the given sizes with the weights and the tokenizer of a trained one.

    Raises:
        UserError: the folder cannot be loaded, or is a CLIP of other sizes.
    """
    found = Encoder.from_pretrained(folder)
    copy = _untrained(config, found.tokenizer)
    try:
        copy.model.load_state_dict(found.model.state_dict())
    except RuntimeError as error:
        raise UserError(
            f"{folder}: not a CLIP of the preset's sizes ({one_line(error)}); start from another"
        ) from error
    return copy


def _untrained(config: EncoderConfig, tokenizer: CLIPTokenizer) -> Encoder:
    from transformers import CLIPConfig, CLIPModel

    from rodin.models.conv_tower import ConvClip, tower_config

    transformer = {
        "patch_size": config.patch_size,
        "hidden_size": config.width,
        "intermediate_size": 4 * config.width,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
    }
    tower = tower_config(config.convolutions) if config.convolutions else transformer
    clip_config = CLIPConfig(
        projection_dim=LATENT_DIM,
        vision_config={"image_size": config.image_size, "projection_dim": LATENT_DIM, **tower},
        text_config={
            "hidden_size": config.text_width,
            "intermediate_size": 4 * config.text_width,
            "num_hidden_layers": config.text_layers,
            "num_attention_heads": config.text_heads,
            "projection_dim": LATENT_DIM,
            "vocab_size": len(tokenizer),
            "max_position_embeddings": config.context,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        },
    )
    return Encoder((ConvClip if config.convolutions else CLIPModel)(clip_config), tokenizer)


# ---- loading


def check_folder(folder: Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Refuse what is no whole CLIP folder, as far as can be seen without reading weights and importing transformers.

    Returns:
        mean and standard deviation of the pixels that the model wants.

    Raises:
        UserError: a file is missing, cut off or of another kind of model; the outputs are not 512 wide.
    """
    document = read_json(folder / "config.json")
    kind = document.get("model_type") if isinstance(document, dict) else None
    if kind != "clip":
        raise UserError(f"{folder / 'config.json'}: model_type is {shown(kind)}; give a folder of a CLIP model")
    if (width := document.get("projection_dim", LATENT_DIM)) != LATENT_DIM:
        raise UserError(
            f"{folder / 'config.json'}: projection_dim is {shown(width)}; give a CLIP with {LATENT_DIM}, such as ViT-B"
        )
    _check_sizes(document, folder / "config.json")
    if not any((folder / name).is_file() for name in _TOKENIZER_NAMES):  # transformers would make up an empty one
        raise UserError(f"{folder}: has no {_TOKENIZER_NAMES[0]}; copy the tokenizer's files too")
    try:
        for path in sorted(folder.glob("*.safetensors")):
            with safe_open(path, framework="pt"):
                pass
    except _LOAD_ERRORS as error:
        raise UserError(f"{folder}: not a whole CLIP folder ({one_line(error)}); copy it again") from error
    return _pixel_statistics(folder / PREPROCESSOR_NAME)


def _check_sizes(document: Any, path: Path) -> None:
    """Raise UserError if a number in a CLIP's config would build layers without end."""
    for name, value in document.items():
        if isinstance(value, dict):
            _check_sizes(value, path)
        elif isinstance(value, (int, float)) and not abs(value) < (LAYERS if name.startswith("num_") else SIZES):
            raise UserError(f"{path}: {name} is {shown(value)}; copy it again")


def _local_folder(name_or_folder: str | Path) -> Path:
    """The folder itself, or a copy of the hub's model of that name."""
    folder = Path(name_or_folder)
    if folder.is_dir():
        return folder
    if isinstance(name_or_folder, Path) or name_or_folder.count("/") > 1 or name_or_folder[:1] in ("", ".", "/", "~"):
        raise UserError(f"{name_or_folder}: no such folder; give the folder of a CLIP model")
    from huggingface_hub import snapshot_download

    try:
        # Of the model that was named, its newest version; none of these files is code.
        kinds = ["*.json", "*.txt", "*.safetensors"]
        return Path(snapshot_download(name_or_folder, allow_patterns=kinds))  # nosec B615
    except _LOAD_ERRORS as error:
        reason = one_line(error)
        raise UserError(
            f"{name_or_folder}: no such folder, and not to be had from the Hugging Face hub ({reason}); "
            "give a folder, or check the name and the network"
        ) from error


def _load_model(folder: Path) -> CLIPModel:
    """Raises ValueError if any weight is missing, which transformers would fill with random numbers."""
    from transformers import CLIPConfig, CLIPModel

    from rodin.models.conv_tower import ConvClip

    with quiet():
        config = CLIPConfig.from_pretrained(folder, local_files_only=True)  # a folder  # nosec B615
        kind = ConvClip if hasattr(config.vision_config, "convolutions") else CLIPModel
        model, found = kind.from_pretrained(  # a folder  # nosec B615
            folder, use_safetensors=True, local_files_only=True, dtype=torch.float32, output_loading_info=True
        )
    missing = sorted(map(str, (*found["missing_keys"], *found["mismatched_keys"])))
    if missing:
        raise ValueError(f"no usable weights for {', '.join(missing[:3])}{' ...' if len(missing) > 3 else ''}")
    return model


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers from printing progress bars and reports; what matters is raised."""
    from transformers.utils import logging as transformers_logging

    bar, verbosity = transformers_logging.is_progress_bar_enabled(), transformers_logging.get_verbosity()
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bar:
            transformers_logging.enable_progress_bar()


def _pixel_statistics(path: Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    document = read_json(path)
    values = []
    for key in ("image_mean", "image_std"):
        value = document.get(key) if isinstance(document, dict) else None
        numbers = (
            [v for v in value if isinstance(v, (int, float)) and abs(v) < LARGEST] if isinstance(value, list) else []
        )
        if len(numbers) != 3 or (key == "image_std" and min(numbers) <= 0):
            raise UserError(f"{path}: {key} is {shown(value)}; give three numbers, the standard deviations above 0")
        values.append(tuple(map(float, numbers)))
    return values[0], values[1]
