"""Stage "refiner": renders of fitted planes and the true views at a larger size to RUN/refiner.

Pixel, perceptual and patch-adversarial loss, of patches of the renders (`rodin.train.pairs`); refiner and discriminator
learn together (`rodin.train.adversary`).

Symbols: M views of all subjects, C plane channels, h w rows and columns of renders, s scale.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from rodin.draws import Draws
from rodin.errors import UserError
from rodin.files import atomic_path, write_json
from rodin.images import from_bytes
from rodin.models.clip import Encoder
from rodin.models.perceptual import load_features, perceptual_distance, record_features, recorded_features
from rodin.models.refiner import PICTURE_CHANNELS, Refiner, RefinerConfig, enlarge_picture
from rodin.parts import load_component, save_component
from rodin.render.decoder import Decoder, DecoderConfig
from rodin.train.adversary import AdversarialPair, PatchDiscriminator
from rodin.train.image_quality import compare, laid_on, summary
from rodin.train.loop import LoopConfig, run_loop
from rodin.train.pairs import Pairs, PairSource
from rodin.train.pictures import SHOWN
from rodin.train.ranks import process_state
from rodin.train.redrawn import redrawing
from rodin.train.subjects import rank_share, split_subjects

JUDGED = 8  # subjects at most


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
        redrawn: side of the base model's planes: the fitted ones are reduced to it and drawn again by the run's
            upsampler, so that renders are as soft as avatars'; 0 = the fitted planes are rendered as they are.
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
    redrawn: int = 0

    def __post_init__(self) -> None:
        for name in ("image_size", "samples", "subjects", "views", "patch", "discriminator_width"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.patch > self.image_size:
            raise ValueError(f"patch must be at most image_size {self.image_size}, got {self.patch}")
        for name in ("pixel", "perceptual", "adversarial", "redrawn"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")

    def source(self, data: Path, run: Path, decoder: Decoder) -> PairSource:
        """The renders that it learns from."""
        return PairSource(
            data=data,
            run=run,
            decoder=decoder,
            image_size=self.image_size,
            scale=self.network.scale,
            samples=self.samples,
            subjects=self.subjects,
            views=self.views,
            seed=self.loop.seed,
            redraw=redrawing(run, self.redrawn) if self.redrawn else None,
        )


def train_refiner(
    data: Path, run: Path, config: RefinerTraining, vgg: Path | None, hours: float | None = None, trial: bool = False
) -> None:
    """Train the refiner of a run folder; a finished one is left as it is, an unfinished one goes on.

    How held-out subjects look, refined and merely resized, is printed and written to RUN/refiner.training/quality.json.
    The training's pictures show some of their views: resized, refined, true.

    Args:
        data: subject folders with views of `image_size` times `scale` pixels or more: those that the planes were fitted
            to, or others of the same subjects (of the same folder names); all views of one subject must fit in memory.
        run: reads `planes/`, `decoder/` and `encoder/`, and `upsampler/` if the planes are drawn again; writes
            `refiner/` and, while training, `refiner.training/`.
        config: what to train, and how.
        vgg: VGG-16's weights for the perceptual loss; None takes the encoder's features.
        hours, trial: see `run_loop`.

    Raises:
        UserError: an input is missing or does not fit the settings, or the run was trained with other settings.
    """
    output, scratch = run / "refiner", run / "refiner.training"
    state = process_state()
    if output.exists():
        found = load_component(Refiner, RefinerConfig, output).config
        if found != config.network:
            raise UserError(f"{output}: holds {found}, asked for {config.network}; delete it or choose another --run")
        state.print(
            f"refiner: {output} is trained already (with {recorded_features(output)}); "
            "delete it and refiner.training to train anew"
        )
        return
    features = load_features(Encoder.from_pretrained(run / "encoder"), vgg).to(state.device)
    network = config.network
    decoder = load_component(Decoder, DecoderConfig, run / "decoder").requires_grad_(False)
    if decoder.config.channels != network.channels:
        given = f"planes have {decoder.config.channels} channels, the refiner is for {network.channels}"
        raise UserError(f"{run / 'decoder'}: {given}; fit and train with one preset")

    source = config.source(data, run, decoder)
    count = sum(1 for _ in source.fitted())
    trained, held_out = split_subjects(count)
    pairs = source.render(rank_share(run, trained, state)).to(state.device)
    judged = source.render((held_out or trained)[:JUDGED])
    shown = judged.some(SHOWN).to(state.device)

    torch.manual_seed(config.loop.seed)  # the initial weights
    model = AdversarialPair(Refiner(network), PatchDiscriminator(config.discriminator_width))
    measure_features(pairs.inputs, model.refiner)

    def loss(pair: nn.Module, draws: Draws) -> dict[str, Tensor]:
        inputs, true = pairs.patches(config.patch, draws)
        background = draws.rand(3, 1, 1)
        refined, fooling, judging = pair(inputs, true)
        pixel = (refined - true).square().mean()
        perceptual = perceptual_distance(features, laid_on(refined, background), laid_on(true, background)).mean()
        total = config.pixel * pixel + config.perceptual * perceptual + config.adversarial * fooling + judging
        return {"loss": total, "pixel": pixel, "perceptual": perceptual, "fooling": fooling, "judging": judging}

    def draw(pair: nn.Module) -> Tensor:
        return picture_rows(pair.refiner, shown)  # type: ignore[arg-type]

    settings = {**asdict(config), "perceptual_features": features.name}
    average = run_loop(
        model, loss, config.loop, scratch, label="refiner", settings=settings, hours=hours, draw=draw, trial=trial
    )
    if state.is_main_process:
        quality = compare(average.refiner, judged, features.to("cpu"))  # type: ignore[arg-type]
        write_json(scratch / "quality.json", {"held_out_subjects": min(len(held_out), JUDGED), **quality})
        seen = min(len(held_out or trained), JUDGED)
        whose = f"{seen} held-out" if held_out else f"{seen} training (too few to hold any out)"
        print(f"refiner: views of {whose} subjects, resized -> refined: {summary(quality)}")
        with atomic_path(output) as temporary:
            save_component(average.refiner, temporary)  # type: ignore[arg-type]
            record_features(temporary, features.name)
    state.wait_for_everyone()


def measure_features(inputs: Tensor, refiner: Refiner) -> None:
    """Set the refiner's feature statistics by renders [M, 5 + C, h, w]; pixels count by their alpha."""
    alpha = inputs[:, 3].double()
    for channel in range(refiner.config.channels):
        feature = inputs[:, PICTURE_CHANNELS + channel].double()  # times alpha
        mean = feature.sum() / alpha.sum()
        variance = (feature - alpha * mean).square().sum() / alpha.square().sum()
        refiner.feature_mean[channel], refiner.feature_std[channel] = mean, variance.sqrt().clamp_min(1e-6)


@torch.no_grad()
def picture_rows(refiner: Refiner, pairs: Pairs) -> Tensor:
    """Picture [M s h, 3 s w, 3] in [0, 1]: a row for each view, resized, refined, true, over white."""
    inputs = pairs.inputs.float()
    columns = enlarge_picture(inputs, refiner.config.scale), refiner.premultiplied(inputs), from_bytes(pairs.true)
    rows = torch.cat([laid_on(column.float(), 1.0) for column in columns], dim=3)  # [M, 3, s h, 3 s w]
    return rows.permute(0, 2, 3, 1).flatten(0, 1)
