"""Stage "encoder": contrastive training of a small CLIP on renders and their captions (Rodin, Sec. 3.3 takes CLIP's).

The latent z is what a frontal picture or a caption says of a subject, so views are drawn from the front half,
|azimuth| <= 60 degrees, the more often the more frontal they are (in proportion to the cosine). Two views of each
subject are in a batch, and three losses of one form pull together: each view and a paraphrase of the caption, and the
two views. The last makes z tell subjects apart beyond what captions say; a subject without a caption has only it.

Two more are ours, since from a thousand subjects contrast alone learns colours and little else (docs/training.md). Each
latent alone must say, by one linear layer, which phrases the captions of its subject have (`rodin.train.phrases`), and
by another what the subject looks like from the front, in a thumbnail: what a linear layer cannot read off the latent,
the diffusion model, which knows a subject by it alone, draws amiss. Mirror images count as other subjects.

Symbols: B subjects in a batch, S side of the images in pixels, N subjects, M views of all of them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rodin.draws import Draws
from rodin.errors import UserError
from rodin.files import write_json
from rodin.fit.worlds import run_placements
from rodin.images import from_bytes, premultiplied
from rodin.models.clip import LATENT_DIM, Encoder, EncoderConfig, copied_clip, small_clip
from rodin.train.augment import AugmentConfig, augment_images, drop_phrases, mirror_some
from rodin.train.loop import LoopConfig, run_loop
from rodin.train.phrases import common_phrases
from rodin.train.ranks import of_all_ranks, process_state
from rodin.train.subjects import HELD_OUT_EVERY, draw_captions, split_subjects
from rodin.train.views import Views, draw_two, load_views

if TYPE_CHECKING:
    from transformers import CLIPModel

LARGEST_SCALE = 100.0  # of the logits, as in CLIP
THUMBNAIL = 16  # pixels of its side


class ContrastiveModel(nn.Module):
    """A CLIP whose single call gives all that the loss needs, so that gradients meet across processes.

    Args:
        clip: the CLIP.
        shares: [V] of the subjects that each phrase is said of; the logits start there. None = no phrases.
        thumbnail: [4, 16, 16] the mean thumbnail, where they start. None = no thumbnails.
    """

    def __init__(self, clip: CLIPModel, shares: Tensor | None, thumbnail: Tensor | None) -> None:
        super().__init__()
        self.clip = clip
        self.thumbnails = None
        if thumbnail is not None:
            self.thumbnails = nn.Linear(LATENT_DIM, thumbnail.numel())
            nn.init.zeros_(self.thumbnails.weight)
            with torch.no_grad():
                self.thumbnails.bias.copy_(thumbnail.flatten())
        self.phrases = None
        if shares is not None:
            self.phrases = nn.Linear(LATENT_DIM, len(shares))
            with torch.no_grad():
                self.phrases.bias.copy_(shares.logit(eps=1e-3))

    def forward(
        self, pixels: Tensor, tokens: dict[str, Tensor], noise: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None, Tensor | None]:
        """Of images [B', 3, S, S] and captions [B, T]: unit latents [B', D] and [B, D], the scale of their products [],
        and, read off the latents plus noise [B' + B, D], logits of the phrases [B' + B, V] or None and thumbnails
        [B', 4, 16, 16] or None."""
        images = self.clip.get_image_features(pixel_values=pixels).pooler_output
        texts = self.clip.get_text_features(**tokens).pooler_output
        scale = self.clip.logit_scale.exp().clamp(max=LARGEST_SCALE)
        images, texts = F.normalize(images.float(), dim=-1), F.normalize(texts.float(), dim=-1)
        read = F.normalize(torch.cat([images, texts]) + noise, dim=-1) * LATENT_DIM**0.5
        logits = None if self.phrases is None else self.phrases(read).float()
        thumbnails = None
        if self.thumbnails is not None:
            thumbnails = self.thumbnails(read[: len(images)]).float().unflatten(1, (4, THUMBNAIL, THUMBNAIL))
        return images, texts, scale, logits, thumbnails


@dataclass(frozen=True, kw_only=True, slots=True)
class EncoderTraining:
    """The encoder and how it is trained.

    Args:
        network: sizes of the CLIP.
        loop: how to train; batch_size counts subjects, each with two views.
        augment: how to change images and captions.
        phrase_weight: of the phrases' cross-entropy, a mean over the phrases; 0 = off.
        thumbnail_weight: of the thumbnails' squared error, as a share of their variance between subjects; 0 = off.
        latent_noise: length of the noise on the latents that phrases and thumbnails are read off: what the diffusion
            model trains with (`rodin.train.base`) should leave them legible.
        held_out_every: one subject of so many is never trained on, to measure retrieval; see `split_subjects`.
    """

    network: EncoderConfig
    loop: LoopConfig
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    phrase_weight: float = 0.0
    thumbnail_weight: float = 0.0
    latent_noise: float = 0.0
    held_out_every: int = HELD_OUT_EVERY

    def __post_init__(self) -> None:
        for name in ("phrase_weight", "thumbnail_weight", "latent_noise"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if self.held_out_every < 0 or self.held_out_every == 1:
            raise ValueError(f"held_out_every must be 0 for off or at least 2, got {self.held_out_every}")
        if self.loop.accumulate > 1 or self.loop.sharding != "none":
            found = f"{self.loop.accumulate}, {self.loop.sharding}"
            raise ValueError(
                "loop: the encoder tells the subjects of a whole batch apart and is small; it has accumulate 1 and "
                f"sharding none, got {found}"
            )


def train_encoder(
    data: Path, run: Path, config: EncoderTraining, hours: float | None = None, start: Path | None = None
) -> None:
    """Train an encoder on the subjects in `data`; the result is the CLIP folder `run`/encoder.

    An encoder that is already there stays; an unfinished run goes on. Retrieval among held-out subjects is printed and
    written to `run`/encoder.training/retrieval.json.

    Args:
        data: folder of subject folders, with captions or without.
        run: folder of the whole training run.
        config: what to train, and how.
        hours: see `run_loop`.
        start: model folder whose encoder to begin from, its tokenizer included.

    Raises:
        UserError: `data` or `start` cannot be used, or the run cannot be resumed.
    """
    target, scratch = Path(run) / "encoder", Path(run) / "encoder.training"
    state = process_state()
    if (target / "config.json").is_file():
        state.print(f"encoder: already trained, {target}")
        return
    loop, changes = config.loop, config.augment
    views = load_views(Path(data), config.network.image_size, run_placements(Path(run)))
    trained, held_out = split_subjects(len(views.first), config.held_out_every)
    if missing := [k for k in trained if not views.captions[k]]:
        state.print(f"encoder: {len(missing)} of {len(trained)} subjects have no caption; only their views teach")
    network = _initial(config, [text for k in trained for text in views.captions[k]], start).to(state.device)
    images, chances, first = views.images.to(state.device), views.chances.to(state.device), views.first.to(state.device)
    subjects = torch.tensor(trained, device=state.device)
    if (ranks := state.num_processes) > len(trained):
        raise UserError(f"{data}: {len(trained)} subjects to train on, and {ranks} processes; start fewer")
    loop = replace(loop, batch_size=min(loop.batch_size, len(trained) // ranks * ranks))
    table = phrase_table(views.captions, trained) if config.phrase_weight else None
    shares = None if table is None else table[trained].mean(dim=0)
    table = None if table is None else table.to(state.device)
    mean, spread = thumbnail_statistics(views, trained) if config.thumbnail_weight else (None, 1.0)

    def loss(model: nn.Module, draws: Draws) -> dict[str, Tensor]:
        drawn = subjects[draws.different(len(subjects))]
        pairs = first[drawn, None] + draw_two(chances[drawn], draws)
        chosen = torch.cat([pairs, first[drawn, None]], dim=1).t().flatten()  # [3B]: one view, another, the frontal one
        *seen, frontal = mirror_some(from_bytes(images[chosen]), 3, changes.mirror, draws).chunk(3)
        pixels = torch.cat([augment_images(some, changes, draws) for some in seen])
        texts = draw_captions([views.captions[k] for k in drawn.tolist()], draws)
        tokens = network.tokenize(drop_phrases(texts, changes.phrase_drop, draws))
        noise = draws.noise(3, LATENT_DIM).transpose(0, 1).flatten(0, 1) * (config.latent_noise / LATENT_DIM**0.5)
        z_image, z_text, scale, logits, thumbnails = model((pixels - network.mean) / network.std, tokens, noise)
        has_text = torch.tensor([bool(text) for text in texts], device=state.device)
        one, two, written = (of_all_ranks(part) for part in (*z_image.chunk(2), z_text))
        said = of_all_ranks(has_text.float()).bool()
        text = (contrast(one, written, scale, said) + contrast(two, written, scale, said)) / 2
        parts = {"text": text, "view": contrast(one, two, scale)}
        total = parts["text"] + parts["view"]
        if logits is not None and table is not None:
            asked = logits.unflatten(0, (3, -1))[:, has_text]  # of both views and of the text
            wrong = F.binary_cross_entropy_with_logits(asked, table[drawn[has_text]].expand_as(asked), reduction="sum")
            # Ranks have the mean of theirs taken, and not equally many captions.
            parts["phrase"] = wrong * ranks / (3 * table.shape[1] * said.sum().clamp(min=1))
            total = total + config.phrase_weight * parts["phrase"]
        if thumbnails is not None:
            wanted = thumbnails_of(frontal).repeat(2, 1, 1, 1)
            parts["thumbnail"] = (thumbnails - wanted).square().mean() / spread
            total = total + config.thumbnail_weight * parts["thumbnail"]
        return {"loss": total, **parts}

    model = ContrastiveModel(network.model.requires_grad_(True), shares, mean)
    settings = {**asdict(config), "start": start and str(start)}
    average = run_loop(model, loss, loop, scratch, label="encoder", settings=settings, hours=hours)
    result = Encoder(average.clip, network.tokenizer)  # type: ignore[arg-type]
    if state.is_main_process:
        _report_retrieval(result, views, trained, held_out, scratch=scratch)
        result.save_pretrained(target)
    state.wait_for_everyone()


def _initial(config: EncoderTraining, captions: list[str], start: Path | None) -> Encoder:
    """The encoder that the training begins with: untrained, its tokenizer made for the captions, or a model's."""
    torch.manual_seed(config.loop.seed)
    return small_clip(config.network, captions) if start is None else copied_clip(config.network, start / "encoder")


def _report_retrieval(encoder: Encoder, views: Views, trained: list[int], held_out: list[int], scratch: Path) -> None:
    """Retrieval among held-out subjects, or among all of too few to hold any out: to a file and to the terminal."""
    figures = measure_retrieval(encoder, views, held_out or trained)
    write_json(scratch / "retrieval.json", {"held_out_subjects": len(held_out), **figures})
    whose = f"{len(held_out)} held-out" if held_out else f"{len(trained)} training (too few to hold any out)"
    shown = ", ".join(f"{name} {value:.3f}" for name, value in figures.items())
    print(f"encoder: among {whose} subjects, {shown}")


def thumbnails_of(images: Tensor) -> Tensor:
    """[B, S, S, 4] straight RGBA -> [B, 4, 16, 16], colour over black and alpha."""
    return F.adaptive_avg_pool2d(premultiplied(images).permute(0, 3, 1, 2), THUMBNAIL)


def thumbnail_statistics(views: Views, subjects: list[int]) -> tuple[Tensor, float]:
    """The mean thumbnail [4, 16, 16] of the frontal views of some subjects, and how much one varies about it."""
    thumbnails = thumbnails_of(from_bytes(views.images[views.first[subjects]]))
    mean = thumbnails.mean(dim=0)
    return mean, float((thumbnails - mean).square().mean().clamp(min=1e-6))


def phrase_table(captions: list[tuple[str, ...]], trained: list[int]) -> Tensor | None:
    """[N, V], 1 where a phrase is said of a subject; of those not trained on, nothing. None = there are no phrases."""
    phrases, said = common_phrases([captions[k] for k in trained])
    if not phrases:
        return None
    table = torch.zeros(len(captions), len(phrases))
    table[trained] = said.float()
    return table


def contrast(one: Tensor, other: Tensor, scale: Tensor, chosen: Tensor | None = None) -> Tensor:
    """CLIP's symmetric cross-entropy of B pairs of unit vectors [B, D]: each must find its own partner.

    Args:
        chosen: [B] bool, the pairs that count, all if left out. Without any it is 0, with a gradient of every
            parameter, which parallel training waits for.
    """
    if chosen is not None:
        if not chosen.any():
            return 0.0 * other.sum()
        one, other = one[chosen], other[chosen]
    logits = scale * one @ other.t()
    target = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.t(), target)) / 2


@torch.no_grad()
def measure_retrieval(encoder: Encoder, views: Views, subjects: list[int]) -> dict[str, float]:
    """How well latents find their partners among some subjects.

    Returns:
        caption_top1: share of frontal views whose nearest caption is theirs (or reads the same),
        paraphrase_top1: share of all paraphrases whose nearest frontal view is of their subject (short ones fit many);
        both left out where no subject has a caption,
        view_top1: share of other front views whose nearest frontal view is of the same subject,
        mean_cosine: mean cosine between the frontal views of different subjects: near 1, z would say nothing.
    """
    latents = [encoder.encode_images(from_bytes(views.of(k))) for k in subjects]
    frontal = torch.stack([z[0] for z in latents])
    figures = {}
    if said := [k for k in range(len(subjects)) if views.caption[subjects[k]]]:
        caption = [views.caption[subjects[k]] for k in said]
        nearest = (frontal[said] @ encoder.encode_texts(caption).t()).argmax(dim=1).tolist()
        right = [caption[found] == own for found, own in zip(nearest, caption, strict=True)]
        figures["caption_top1"] = sum(right) / len(said)
        texts = [(k, text) for k in said for text in views.captions[subjects[k]]]
        nearest = (encoder.encode_texts([text for _, text in texts]) @ frontal.t()).argmax(dim=1).tolist()
        figures["paraphrase_top1"] = sum(found == k for found, (k, _) in zip(nearest, texts, strict=True)) / len(texts)
    others = torch.cat([z[1:] for z in latents])
    owner = torch.repeat_interleave(torch.tensor([len(z) - 1 for z in latents]))
    view_top1 = ((others @ frontal.t()).argmax(dim=1) == owner).float().mean() if len(owner) else torch.tensor(0.0)
    count = len(subjects)
    cosines = (frontal @ frontal.t()).sum() - frontal.square().sum()
    figures["view_top1"] = float(view_top1)
    figures["mean_cosine"] = float(cosines) / max(1, count * (count - 1))
    return figures
