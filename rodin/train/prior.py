"""Train the latent prior: the latents of frontal images and their captions to `RUN/prior` (Rodin, Sec. 3.3)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from math import sqrt
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from rodin.diffusion.config import DiffusionConfig
from rodin.diffusion.losses import Diffusion
from rodin.draws import Draws
from rodin.errors import UserError
from rodin.models.clip import Encoder
from rodin.models.denoiser import check_denoiser, save_denoiser
from rodin.models.phrases import PhraseConfig, PhraseReader
from rodin.models.prior import Prior, PriorConfig
from rodin.models.text import TextReader
from rodin.parts import load_component, save_component
from rodin.train.loop import LoopConfig, run_loop
from rodin.train.phrases import learn_reader
from rodin.train.ranks import process_state
from rodin.train.subjects import draw_captions, load_latents

if TYPE_CHECKING:  # half a second of imports, which presets and errors need not
    from accelerate import PartialState

DALLE2 = DiffusionConfig(prediction="sample", schedule="cosine")  # z_0 and the cosine schedule, as in its Table 3


@dataclass(frozen=True, kw_only=True, slots=True)
class PriorTraining:
    """The latent prior and how it is trained.

    Args:
        network: its text_width must be that of what reads the captions.
        diffusion: the schedule and the prediction.
        loop: how to train.
        phrases: captions are read by `rodin.models.phrases`, learned from them first; else by the encoder's text
            transformer.
        mirrored: each subject's mirror image is another subject, as in `rodin.train.base`.
        full_captions: prior and words learn from each subject's full caption alone, not from paraphrases that leave
            things out. For prompts that are completed before they are read, as those of the recipe's words are
            (`rodin.prompts.completion`); a prior that need not guess what was left out draws nearer
            (docs/training.md).
        text_dropout: probability that a caption is left out, which makes guidance and draws from nothing possible.
    """

    network: PriorConfig
    diffusion: DiffusionConfig = field(default_factory=lambda: DALLE2)
    loop: LoopConfig
    text_dropout: float = 0.2
    phrases: bool = False
    mirrored: bool = False
    full_captions: bool = False

    def __post_init__(self) -> None:
        if self.diffusion.learned_variance:
            raise ValueError("diffusion: the prior learns no variance; set learned_variance to false")
        if self.network.residual and not self.phrases:
            raise ValueError("residual: a text tower's embedding is no mean latent; set phrases, or residual to false")
        if not 0.0 <= self.text_dropout <= 1.0:
            raise ValueError(f"text_dropout must be a probability in [0, 1], got {self.text_dropout}")


def train_prior(run: Path, config: PriorTraining, hours: float | None = None) -> None:
    """Train the prior of a run folder; a finished one is left as it is, an unfinished one goes on.

    Each time a subject is drawn, one of its captions is, or its full one. Subjects without one are trained on without
    text.

    Args:
        run: reads `planes/` (frontal images and captions) and `encoder/`; writes `words/` if `config.phrases`, `prior/`
            and, while training, `prior.training/`.
        config: what to train, and how.
        hours: see `run_loop`.

    Raises:
        UserError: an input is missing or does not fit the settings, or the run was trained with other settings.
    """
    run, state = Path(run), process_state()
    output = run / "prior"
    if _is_trained(output, config, state):
        return
    encoder = Encoder.from_pretrained(run / "encoder").to(state.device)
    subjects = load_latents(run, encoder, mirrored=config.mirrored, full_captions=config.full_captions)
    reader = _reader(run, config, encoder, subjects, state=state)
    if (width := reader.text_width) != config.network.text_width:
        read = run / ("words" if config.phrases else "encoder")
        raise UserError(
            f"{read}: text tokens are {width} wide, the prior is for text_width {config.network.text_width}"
        )
    prior = _train(reader, *subjects, config, hours, run / "prior.training")
    if state.is_main_process:
        save_denoiser(prior, config.diffusion, output)
    state.wait_for_everyone()


def _reader(
    run: Path,
    config: PriorTraining,
    encoder: Encoder,
    subjects: tuple[Tensor, list[tuple[str, ...]]],
    state: PartialState,
) -> TextReader:
    """What the prior reads captions by: the encoder's text tower, or RUN/words, which is learned if it is not there.

    Args:
        subjects: as `load_latents` gives them; the words are learned from them.
    """
    if not config.phrases:
        return encoder
    if not (run / "words").exists() and state.is_main_process:
        latents, captions = subjects
        save_component(learn_reader(captions, latents), run / "words")
    state.wait_for_everyone()
    return load_component(PhraseReader, PhraseConfig, run / "words").to(state.device)


def _is_trained(output: Path, config: PriorTraining, state: PartialState) -> bool:
    """Whether the prior is there; raises UserError if it is another one."""
    if not output.exists():
        return False
    check_denoiser(output, config.network, config.diffusion)
    parts = "words and prior.training" if config.phrases else "prior.training"
    state.print(f"prior: {output} is trained already; delete it, {parts} to train anew")
    return True


def _train(
    reader: TextReader,
    latents: Tensor,
    captions: list[tuple[str, ...]],
    config: PriorTraining,
    hours: float | None,
    scratch: Path,
) -> Prior:
    """A prior of latents [N, D] under what the reader makes of their captions."""
    state, loop = process_state(), config.loop
    if latents.shape[1] != config.network.latent_dim:
        raise UserError(
            f"encoder: latents have {latents.shape[1]} numbers, the prior is for {config.network.latent_dim}"
        )
    planes = latents[:, None, :, None, None] * sqrt(config.network.latent_dim)
    noising = Diffusion(config.diffusion, state.device)

    def loss(network: nn.Module, draws: Draws) -> dict[str, Tensor]:
        chosen = draws.integers(len(planes))
        kept = draws.rand() >= config.text_dropout
        texts = draw_captions([captions[index] for index in chosen.tolist()], draws)
        spoken = torch.tensor([bool(text) for text in texts], device=state.device)
        condition = reader.read(texts).only(spoken & kept)
        x0 = planes[chosen] - condition.mean if config.network.residual else planes[chosen]
        return noising.losses(lambda x, t: network(x, t, condition), x0, draws)

    torch.manual_seed(loop.seed)
    label = scratch.name.removesuffix(".training")
    return run_loop(Prior(config.network), loss, loop, scratch, label=label, settings=asdict(config), hours=hours)  # type: ignore[return-value]
