"""Stage "refiner": renders of fitted planes and the true views at a larger size to RUN/refiner.

Pixel, perceptual and patch-adversarial loss. The renders are made once, up front; training then draws patches of them.
Refiner and discriminator learn in one backward pass: each one's terms are cut from the other's parameters, so their sum
has exactly both gradients.

Symbols: B batch, M views of all subjects, C plane channels, h w rows and columns of renders or their patches, s scale.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call
from torchmetrics.functional.image import structural_similarity_index_measure

from rodin.data.captures import list_subjects, load_subject
from rodin.data.shards import FittedSubject, module_hash, read_shards
from rodin.errors import UserError
from rodin.files import write_json
from rodin.images import from_bytes, premultiplied, to_bytes
from rodin.models.clip import Encoder
from rodin.models.perceptual import Features, load_features, perceptual_distance
from rodin.models.refiner import PICTURE_CHANNELS, Refiner, RefinerConfig, enlarge_picture, render_inputs
from rodin.parts import load_component, save_component
from rodin.render.decoder import Decoder, DecoderConfig
from rodin.render.renderer import Renderer
from rodin.train.loop import LoopConfig, process_state, run_loop
from rodin.train.pictures import SHOWN
from rodin.train.subjects import split_subjects

JUDGED = 8  # subjects at most
FIGURES = ("psnr", "ssim", "perceptual", "sharpness")


@dataclass(frozen=True, kw_only=True, slots=True)
class RefinerTraining:
    """The refiner and how it is trained.

    Args:
        network: its channels must be those of the planes.
        loop: how to train; batch_size counts patches. gradient_clip is best 0: it bounds the gradients of both
            networks together, and the discriminator's drown the refiner's (-0.1 to -0.7 dB at smoke size).
        image_size: the renders are this many pixels square, the true views `network.scale` times as many.
        samples: bins a ray of the renders.
        subjects: the most that are rendered; with `views` it bounds the memory.
        views: of each subject, drawn at random.
        patch: side of the patches in pixels of the render, at most `image_size`.
        pixel, perceptual, adversarial: weights of the losses.
        discriminator_width: channels of its first layer.
    """

    network: RefinerConfig
    loop: LoopConfig
    image_size: int
    samples: int = 128
    subjects: int = 512
    views: int = 8
    patch: int
    pixel: float = 30.0
    perceptual: float = 0.2
    adversarial: float = 0.1
    discriminator_width: int = 32

    def __post_init__(self) -> None:
        for name in ("image_size", "samples", "subjects", "views", "patch", "discriminator_width"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.patch > self.image_size:
            raise ValueError(f"patch must be at most image_size {self.image_size}, got {self.patch}")
        for name in ("pixel", "perceptual", "adversarial"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if self.network.perceptual:
            raise ValueError(f"network.perceptual is noted by the training, leave it '', got {self.network.perceptual}")


class PatchDiscriminator(nn.Module):
    """Tells true pictures from refined ones patch by patch (PatchGAN; Isola et al. 2017): it sees 16 x 16 pixels at a
    time, so it judges texture and edges, not faces."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(4, width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 1, 3, padding=1),
        )

    def forward(self, pictures: Tensor) -> Tensor:
        """Premultiplied RGBA [B, 4, H, W] -> [B, 1, H/4, W/4], the larger the truer."""
        return self.layers(pictures)


class AdversarialPair(nn.Module):
    """Refiner and discriminator as one model, whose single call gives all that the loss needs."""

    def __init__(self, refiner: Refiner, discriminator: PatchDiscriminator) -> None:
        super().__init__()
        self.refiner = refiner
        self.discriminator = discriminator

    def forward(self, inputs: Tensor, true: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Refine and judge (hinge loss; Lim and Ye 2017).

        Args:
            inputs: [B, 5 + C, h, w] of `render_inputs`.
            true: [B, 4, s h, s w] premultiplied RGBA.

        Returns:
            refined [B, 4, s h, s w] premultiplied RGBA, not clamped; the refiner's adversarial loss [], without
            gradient to the discriminator; the discriminator's loss [], without gradient to the refiner.
        """
        refined = self.refiner.premultiplied(inputs)
        frozen = {name: value.detach() for name, value in self.discriminator.named_parameters()}
        fooling = -functional_call(self.discriminator, frozen, (refined,)).mean()
        judging = F.relu(1 - self.discriminator(true)).mean() + F.relu(1 + self.discriminator(refined.detach())).mean()
        return refined, fooling, judging


@dataclass(frozen=True)
class Pairs:
    """M renders and what they should become.

    Args:
        inputs: [M, 5 + C, h, w] fp16, of `render_inputs`.
        true: [M, 4, s h, s w] uint8 premultiplied RGBA.
    """

    inputs: Tensor
    true: Tensor

    def to(self, device: torch.device) -> Pairs:
        return Pairs(self.inputs.to(device), self.true.to(device))

    def some(self, count: int) -> Pairs:
        """At most so many of them, spread over all."""
        chosen = torch.arange(len(self.inputs))[:: max(1, len(self.inputs) // count)][:count]
        return Pairs(self.inputs[chosen], self.true[chosen])

    def patches(self, count: int, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw patches around pixels that see matter: inputs [count, 5 + C, size, size] and true [count, 4, s size,
        s size], in float32."""
        kind = {"generator": generator, "device": self.inputs.device}
        height, width = self.inputs.shape[-2:]
        scale = self.true.shape[-1] // width
        view = torch.randint(len(self.inputs), (count,), **kind)  # type: ignore[call-overload]
        # A little more than nothing everywhere: a view without matter must not stop the training.
        matter = self.inputs[view, 3].flatten(1).float().clamp_min(0) + 1e-6
        middle = torch.multinomial(matter, 1, generator=generator)[:, 0]
        top = (middle // width - size // 2).clamp(0, height - size).tolist()
        left = (middle % width - size // 2).clamp(0, width - size).tolist()
        inputs, true = [], []
        for index, y, x in zip(view.tolist(), top, left, strict=True):
            inputs.append(self.inputs[index, :, y : y + size, x : x + size])
            rows, columns = slice(scale * y, scale * (y + size)), slice(scale * x, scale * (x + size))
            true.append(self.true[index, :, rows, columns])
        return torch.stack(inputs).float(), from_bytes(torch.stack(true))


def train_refiner(data: Path, run: Path, config: RefinerTraining, vgg: Path | None, hours: float | None = None) -> None:
    """Train the refiner of a run folder; a finished one is left as it is, an unfinished one goes on.

    How held-out subjects look, refined and merely resized, is printed and written to RUN/refiner.training/quality.json.
    The training's pictures show some of their views: resized, refined, true.

    Args:
        data: subject folders with views of `image_size` times `scale` pixels or more: those that the planes were fitted
            to, or others of the same subjects (of the same folder names); all views of one subject must fit in memory.
        run: reads `planes/`, `decoder/` and `encoder/`; writes `refiner/` and, while training, `refiner.training/`.
        config: what to train, and how.
        vgg: VGG-16's weights for the perceptual loss; None takes the encoder's features.
        hours: see `run_loop`.

    Raises:
        UserError: an input is missing or does not fit the settings, or the run was trained with other settings.
    """
    output, scratch = run / "refiner", run / "refiner.training"
    state = process_state()
    if output.exists():
        found = load_component(Refiner, RefinerConfig, output).config
        if dataclasses.replace(found, perceptual="") != config.network:
            raise UserError(f"{output}: holds {found}, asked for {config.network}; delete it or choose another --run")
        state.print(
            f"refiner: {output} is trained already (with {found.perceptual}); "
            "delete it and refiner.training to train anew"
        )
        return
    features = load_features(Encoder.from_pretrained(run / "encoder"), vgg).to(state.device)
    network = dataclasses.replace(config.network, perceptual=features.name)
    decoder = load_component(Decoder, DecoderConfig, run / "decoder").requires_grad_(False)
    if decoder.config.channels != network.channels:
        given = f"planes have {decoder.config.channels} channels, the refiner is for {network.channels}"
        raise UserError(f"{run / 'decoder'}: {given}; fit and train with one preset")

    count = sum(1 for _ in fitted_subjects(data, run, decoder, config.subjects))
    trained, held_out = split_subjects(count)
    mine = trained[state.process_index :: state.num_processes]
    if not mine:
        raise UserError(f"{run / 'planes'}: {len(trained)} subjects for {state.num_processes} processes; start fewer")
    pairs = render_pairs(data, run, decoder, config, mine).to(state.device)
    judged = render_pairs(data, run, decoder, config, (held_out or trained)[:JUDGED])
    shown = judged.some(SHOWN).to(state.device)

    torch.manual_seed(config.loop.seed)  # the initial weights
    model = AdversarialPair(Refiner(network), PatchDiscriminator(config.discriminator_width))
    measure_features(pairs.inputs, model.refiner)

    def loss(pair: nn.Module, generator: torch.Generator) -> dict[str, Tensor]:
        inputs, true = pairs.patches(config.loop.batch_size, config.patch, generator)
        background = torch.rand(len(true), 3, 1, 1, generator=generator, device=true.device)
        refined, fooling, judging = pair(inputs, true)
        pixel = (refined - true).square().mean()
        perceptual = perceptual_distance(features, laid_on(refined, background), laid_on(true, background)).mean()
        total = config.pixel * pixel + config.perceptual * perceptual + config.adversarial * fooling + judging
        return {"loss": total, "pixel": pixel, "perceptual": perceptual, "fooling": fooling, "judging": judging}

    def draw(pair: nn.Module) -> Tensor:
        return picture_rows(pair.refiner, shown)  # type: ignore[arg-type]

    settings = {**asdict(config), "perceptual_features": features.name}
    average = run_loop(model, loss, config.loop, scratch, "refiner", settings, hours=hours, draw=draw)
    if state.is_main_process:
        quality = compare(average.refiner, judged, features.to("cpu"))  # type: ignore[arg-type]
        write_json(scratch / "quality.json", {"held_out_subjects": min(len(held_out), JUDGED), **quality})
        seen = min(len(held_out or trained), JUDGED)
        whose = f"{seen} held-out" if held_out else f"{seen} training (too few to hold any out)"
        print(f"refiner: views of {whose} subjects, resized -> refined: {summary(quality)}")
        save_component(average.refiner, output)  # type: ignore[arg-type]
    state.wait_for_everyone()


def fitted_subjects(data: Path, run: Path, decoder: Decoder, limit: int) -> Iterator[tuple[Path, FittedSubject]]:
    """The subjects that are both in `data` and in RUN/planes, with their folders, in the planes' order.

    Raises:
        UserError: there is none, or the planes cannot be read or were fitted with another decoder.
    """
    folders = {folder.resolve().name: folder for folder in list_subjects(data)}
    limit = min(limit, len(folders))
    count = 0
    for subject in read_shards(run / "planes", decoder_hash=module_hash(decoder)):
        if count < limit and subject.name in folders:
            count += 1
            yield folders[subject.name], subject
        if count == limit:
            return
    if not count:
        raise UserError(
            f"{data}: none of its subjects is among those in {run / 'planes'}; give views of the fitted ones"
        )


def render_pairs(data: Path, run: Path, decoder: Decoder, config: RefinerTraining, chosen: list[int]) -> Pairs:
    """Views of some subjects, given by their position among `fitted_subjects`.

    Raises:
        UserError: a subject cannot be read, or its images are smaller than the refined size.
    """
    size = config.image_size
    inputs, true = [], []
    for index, (folder, fitted) in enumerate(fitted_subjects(data, run, decoder, config.subjects)):
        if index not in chosen:
            continue
        subject = load_subject(folder, size * config.network.scale)
        generator = torch.Generator().manual_seed(config.loop.seed * 1_000_003 + index)
        views = torch.randperm(len(subject.images), generator=generator)[: config.views]
        renderer = Renderer.culled(fitted.planes, decoder)
        camera = subject.camera[views].resized(size, size)
        inputs.append(render_inputs(renderer, camera, config.samples).half())
        true.append(to_bytes(premultiplied(subject.images[views]).movedim(-1, 1)))
    return Pairs(torch.cat(inputs), torch.cat(true))


def measure_features(inputs: Tensor, refiner: Refiner) -> None:
    """Set the refiner's feature statistics by renders [M, 5 + C, h, w]; pixels count by their alpha."""
    alpha = inputs[:, 3].double()
    for channel in range(refiner.config.channels):
        feature = inputs[:, PICTURE_CHANNELS + channel].double()  # times alpha
        mean = feature.sum() / alpha.sum()
        variance = (feature - alpha * mean).square().sum() / alpha.square().sum()
        refiner.feature_mean[channel], refiner.feature_std[channel] = mean, variance.sqrt().clamp_min(1e-6)


def laid_on(premultiplied: Tensor, background: float | Tensor) -> Tensor:
    """Premultiplied RGBA [B, 4, H, W] over a background -> [B, 3, H, W] in [0, 1]."""
    return (premultiplied[:, :3] + (1 - premultiplied[:, 3:]) * background).clamp(0, 1)


@torch.no_grad()
def picture_rows(refiner: Refiner, pairs: Pairs) -> Tensor:
    """Picture [M s h, 3 s w, 3] in [0, 1]: a row for each view, resized, refined, true, over white."""
    inputs = pairs.inputs.float()
    columns = enlarge_picture(inputs, refiner.config.scale), refiner.premultiplied(inputs), from_bytes(pairs.true)
    rows = torch.cat([laid_on(column.float(), 1.0) for column in columns], dim=3)  # [M, 3, s h, 3 s w]
    return rows.permute(0, 2, 3, 1).flatten(0, 1)


@torch.no_grad()
def compare(refiner: Refiner, pairs: Pairs, features: Features) -> dict[str, dict[str, float]]:
    """`image_quality` over white of the renders as plain resizing enlarges them, and as the refiner does; means over
    the views."""
    rows: dict[str, list[list[float]]] = {"resized": [], "refined": []}
    for inputs, true in zip(pairs.inputs.split(1), pairs.true.split(1), strict=True):
        wanted = laid_on(from_bytes(true), 1.0)
        resized = enlarge_picture(inputs.float(), refiner.config.scale)
        for name, seen in (("resized", resized), ("refined", refiner.premultiplied(inputs.float()))):
            rows[name].append(list(image_quality(laid_on(seen, 1.0), wanted, features).values()))
    means = {name: torch.tensor(values).mean(dim=0).tolist() for name, values in rows.items()}
    return {name: dict(zip(FIGURES, values, strict=True)) for name, values in means.items()}


@torch.no_grad()
def image_quality(seen: Tensor, true: Tensor, features: Features) -> dict[str, float]:
    """How well a picture [1, 3, H, W] meets the true one: the figures named FIGURES.

    PSNR in dB; SSIM; perceptual distance; and sharpness: the energy of the Laplacian as a part of the true picture's.
    Noise is sharp too: read it beside the others.
    """
    figures = (
        -10 * (seen - true).square().mean().clamp_min(1e-10).log10(),
        structural_similarity_index_measure(seen, true, data_range=1.0),
        perceptual_distance(features, seen, true)[0],
        laplacian_energy(seen) / laplacian_energy(true).clamp_min(1e-10),
    )
    return {name: float(figure) for name, figure in zip(FIGURES, figures, strict=True)}


def laplacian_energy(images: Tensor) -> Tensor:
    """Mean square of the Laplacian (four neighbours) of images [M, 3, H, W] -> []."""
    kernel = images.new_tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]]).expand(3, 1, 3, 3)
    return F.conv2d(images, kernel, groups=3).square().mean()


def summary(quality: dict[str, dict[str, float]]) -> str:
    """One line of `compare`'s figures."""
    resized, refined = quality["resized"], quality["refined"]
    return (
        f"PSNR {resized['psnr']:.2f} -> {refined['psnr']:.2f} dB, SSIM {resized['ssim']:.3f} -> {refined['ssim']:.3f}, "
        f"perceptual {resized['perceptual']:.4f} -> {refined['perceptual']:.4f}, "
        f"sharpness {resized['sharpness']:.2f} -> {refined['sharpness']:.2f} of the true views'"
    )
