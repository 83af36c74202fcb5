"""Which changes to the training of the diffusion models are worth their time? Each on the fits of one small set, for
the same processor time on one thread, judged on held-out subjects.

    rodin synth --out out/lab --count 340 --views 24 --size 128 --seed 2031 --samples 4 --workers 2
    python benchmarks/materials_lab.py out/lab --run out/lab-run --train materials --minutes 20
    python benchmarks/levers_lab.py out/lab --run out/lab-run/materials --out out/levers --cost
    python benchmarks/levers_lab.py out/lab --run out/lab-run/materials --out out/levers --train adamw --minutes 8
    python benchmarks/levers_lab.py out/lab --run out/lab-run/materials --out out/levers

Without --train the levers that are trained are compared. The steps that fit in the minutes follow from what a step
costs, measured with all kinds in turn (--cost), so that other work on the machine favours none.

adamw    the mini base model: the measure of the others
muon     Muon for matrices and kernels, AdamW for the rest
seen     the error of each texel weighs by how much renders show of it; what no camera sees counts a tenth
words    half of the z are what the reader of phrases makes of the subject's full caption
cascade  a base model of 16 x 16 texels, and an upsampler to 32 x 32 that is told z: half the time each
up, up-z upsamplers from 32 x 32 to 64 x 64 texels, without z and with it, behind the base model of adamw
prior    the prior, trained on paraphrases that leave attributes out, and on full captions alone (--train prior)
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, median
from time import process_time

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from materials_lab import HELD_OUT_EVERY, REGIONS, SIZE, VIEWS, Truth, reader_of, region_errors
from PIL import Image
from torch import Tensor, nn

from rodin.data.captures import front_views, load_subject
from rodin.data.shards import FittedSubject, read_shards
from rodin.data.subject_folders import list_subjects
from rodin.diffusion.losses import Diffusion
from rodin.draws import Draws
from rodin.evaluate.accuracy import judge
from rodin.evaluate.attribute_reader import AttributeReader
from rodin.images import over, psnr, to_bytes
from rodin.models.denoiser import load_denoiser, save_denoiser
from rodin.models.palette import PaletteConfig, PaletteNetwork
from rodin.models.phrases import PhraseReader
from rodin.models.prior import Prior, PriorConfig, sample_latents
from rodin.models.statistics import PlaneStatistics, load_statistics
from rodin.models.upsampler import LEVELS_AND_LATENT, takes_latent, upsample
from rodin.networks.unet import UNet, UNetConfig
from rodin.parts import load_component
from rodin.render.decoder import Decoder, DecoderConfig
from rodin.render.renderer import Renderer
from rodin.train.base import draw_residuals
from rodin.train.loop import LoopConfig, run_loop
from rodin.train.optimizers import Kind
from rodin.train.patches import PatchConfig, rendered_patches
from rodin.train.phrases import learn_reader
from rodin.train.presets import FACE, mini
from rodin.train.prior import DALLE2
from rodin.train.pupil import Loss, Pupil
from rodin.train.sketch import learn_sketch
from rodin.train.subjects import Loaded, blurred_latents, draw_captions, load_subjects, split_subjects
from rodin.train.upsampler import UpsamplerTraining, predict_clean
from rodin.triplane import resize

LEAST_WEIGHT = 0.1  # of a texel that no camera sees, beside 1 in the mean
CAPTION_SHARE = 0.5  # of z that come from captions, of `words`
BATCH = 16
PRIOR_STEPS = 20  # of its sampler
NEAR_NOISE = (0.1, 0.5, 0.9, 0.99, 0.999)  # levels at which the base models are compared


@dataclass(frozen=True, kw_only=True)
class Lever:
    """A base model or an upsampler and how it is trained."""

    size: int = 32
    optimizer: Kind = "adamw"
    seen: bool = False
    words: bool = False
    upsampler: UpsamplerTraining | None = None


def enlarger(size: int, latent_dim: int, patch: int) -> UpsamplerTraining:
    """An upsampler of mini's width to twice the size."""
    own = mini().upsampler
    network = replace(own.network, size=size, latent_dim=latent_dim, patch=patch)
    patches = PatchConfig(size=24, image_size=SIZE, samples=48, focus_probability=0.4, focus=FACE, focus_radius=0.3)
    return replace(
        own,
        network=network,
        patches=patches,
        scale=2,
        loop=replace(own.loop, batch_size=BATCH),
        latent_noise=0.4 if latent_dim == LEVELS_AND_LATENT else 0.0,
    )


LEVELS_ALONE = mini().upsampler.network.latent_dim
LEVERS = {
    "adamw": Lever(),
    "muon": Lever(optimizer="muon"),
    "seen": Lever(seen=True),
    "words": Lever(words=True),
    "cascade-16": Lever(size=16),
    "cascade-32": Lever(upsampler=enlarger(32, LEVELS_AND_LATENT, 2)),
    "up": Lever(upsampler=enlarger(SIZE, LEVELS_ALONE, 4)),
    "up-z": Lever(upsampler=enlarger(SIZE, LEVELS_AND_LATENT, 4)),
}
HALF = ("cascade-16", "cascade-32")  # of the time each


@dataclass(frozen=True)
class Lab:
    """What all levers share."""

    run: Path
    out: Path
    subjects: list[FittedSubject]

    @property
    def split(self) -> tuple[list[int], list[int]]:
        """Subjects to train on, and held-out ones."""
        return split_subjects(len(self.subjects), HELD_OUT_EVERY)

    def planes(self, size: int, chosen: list[int], mirrored: bool = False) -> Loaded:
        """Of chosen subjects."""
        return load_subjects(self.run, size, chosen, mirrored)

    def statistics(self, size: int) -> PlaneStatistics:
        """Of the planes at a size."""
        return load_statistics(self.run / "planes").resized(size)

    def decoder(self) -> Decoder:
        """The fits'."""
        return load_component(Decoder, DecoderConfig, self.run / "decoder").requires_grad_(False)

    def captions(self, chosen: list[int], full: bool) -> list[tuple[str, ...]]:
        """The full caption, or the paraphrases."""
        return [(one.caption,) if full else one.captions for one in (self.subjects[k] for k in chosen)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of the subjects")
    parser.add_argument("--run", type=Path, required=True, help="run folder with their fits, encoder and palette")
    parser.add_argument("--out", type=Path, required=True, help="folder for what is trained")
    parser.add_argument("--cost", action="store_true", help="measure what a step of each lever costs")
    parser.add_argument("--train", choices=[*LEVERS, "prior"], help="train one")
    parser.add_argument("--read", action="store_true", help="compare attributes too, by a reader: a quarter of an hour")
    parser.add_argument("--minutes", type=float, default=8.0, help="of one thread, for each lever")
    given = parser.parse_args()
    torch.set_num_threads(1)
    lab = Lab(given.run, given.out, list(read_shards(given.run / "planes")))
    if given.cost:
        measure_costs(lab)
    elif given.train == "prior":
        train_priors(lab)
    elif given.train:
        cost = json.loads((lab.out / "costs.json").read_text())[given.train]
        share = 0.5 if given.train in HALF else 1.0
        train(lab, given.train, round(60 * given.minutes * share / cost))
    else:
        compare(lab, given.data, given.read)


# ---- training


def network_and_loss(lab: Lab, lever: Lever) -> tuple[UNet, Loss]:
    """The untrained network and what it is trained by."""
    torch.manual_seed(0)
    trained, _ = lab.split
    if lever.upsampler is not None:
        return UNet(lever.upsampler.network), upsampler_loss(lab, lever.upsampler)
    config = base_config(lever.size)
    own = lab.planes(lever.size, trained, mirrored=True)
    network = UNet(config)
    assert network.sketch is not None
    noise = mini().base.latent_noise
    learn_sketch(network.sketch, [own], noise)
    weights = texel_weights(lab, lever.size) if lever.seen else torch.ones(())
    spoken = caption_latents(lab, trained) if lever.words else None
    noising = Diffusion(mini().base.diffusion)

    def loss(model: nn.Module, draws: Draws) -> dict[str, Tensor]:
        chosen = draws.integers(len(own.planes))
        z = own.latents[chosen]
        if spoken is not None:
            z = torch.where(draws.rand(1) < CAPTION_SHARE, spoken[chosen // 2], z)
        kept = draws.rand(1) >= mini().base.latent_dropout
        z = blurred_latents(z, noise, draws) * kept
        x0 = own.planes[chosen].float()
        t = noising.draw_timesteps(draws)
        x = noising.add_noise(x0, draws.noise(*x0.shape[1:]), t)
        error = ((model(x, t, z).float() - x0).square() * weights).flatten(1).mean(dim=1)
        return {"loss": (noising.snr_weight(t) * error).mean(), "simple": error.mean()}

    return network, loss


def base_config(size: int) -> UNetConfig:
    """The mini base model's, with the attention on its last level."""
    own = mini().base.network
    return replace(own, size=size, attention=(size // own.patch // 2,))


def upsampler_loss(lab: Lab, config: UpsamplerTraining) -> Loss:
    """The planes' and the pixels' errors, without the perceptual one."""
    own = lab.planes(config.network.size, lab.split[0])
    assert own.palettes is not None
    palettes, decoder, statistics = own.palettes, lab.decoder(), lab.statistics(config.network.size)
    noising = Diffusion(config.diffusion)

    def loss(model: nn.Module, draws: Draws) -> dict[str, Tensor]:
        chosen = draws.integers(len(own.planes))
        x0 = own.planes[chosen].float()
        clean = predict_clean(model, x0, own.latents[chosen], noising, config, draws)
        error = (clean - x0).square().mean()
        true, found = (statistics.denormalize(values[:1]) for values in (x0, clean))
        seen, wanted = rendered_patches(
            found, true, decoder, config.patches, seeds=draws.seeds()[:1], palettes=palettes[chosen[:1]]
        )
        pixel = (seen - wanted).square().mean()
        return {"loss": error + pixel, "planes": error, "pixel": pixel}

    return loss


def texel_weights(lab: Lab, size: int) -> Tensor:
    """[3, 1, H, W], 1 in the mean: how strongly renders of training subjects change with each texel."""
    decoder, statistics = lab.decoder(), lab.statistics(size)
    patches = PatchConfig(size=48, image_size=48, samples=64, focus_probability=0.0)
    generator = torch.Generator().manual_seed(0)
    total = torch.zeros(3, 1, size, size)
    own = lab.planes(size, lab.split[0][:48])
    assert own.palettes is not None
    for residual, palette in zip(own.planes.float(), own.palettes, strict=True):
        planes = statistics.denormalize(residual)[None].requires_grad_()
        for _ in range(4):
            seeds = [int(torch.randint(2**62, (), generator=generator))]
            seen, _ = rendered_patches(planes, planes.detach(), decoder, patches, seeds=seeds, palettes=palette[None])
            signs = torch.randn(seen.shape, generator=generator)  # the mean square is that of the whole Jacobian
            (gradient,) = torch.autograd.grad((seen * signs).sum(), planes)
            total += (gradient[0] * statistics.std[:, None, None]).square().mean(dim=1, keepdim=True)
    weights = total.sqrt()
    return LEAST_WEIGHT + (1 - LEAST_WEIGHT) * weights / weights.mean()


def caption_latents(lab: Lab, chosen: list[int]) -> Tensor:
    """[N, D] of unit length: what the reader of phrases makes of full captions."""
    captions = lab.captions(chosen, full=True)
    reader = learn_reader(captions, lab.planes(16, chosen).latents)
    return F.normalize(reader.read([one[0] for one in captions]).pooled, dim=1)


def measure_costs(lab: Lab) -> None:
    """Seconds of a step of each lever, their steps taken in turn."""
    steps: dict[str, Callable[[], float]] = {name: stepper(lab, lever) for name, lever in LEVERS.items()}
    found: dict[str, list[float]] = {name: [] for name in LEVERS}
    for turn in range(5):
        for name, step in steps.items():
            seconds = step()
            if turn:
                found[name].append(seconds)
            print(f"{name}: {seconds:.3f} s", flush=True)
    lab.out.mkdir(parents=True, exist_ok=True)
    (lab.out / "costs.json").write_text(json.dumps({name: median(times) for name, times in found.items()}, indent=1))


def stepper(lab: Lab, lever: Lever) -> Callable[[], float]:
    """What makes two steps and says how long one took."""
    network, loss = network_and_loss(lab, lever)
    pupil = Pupil(network, loop_of(lever, 100), Accelerator(cpu=True))

    def step() -> float:
        begin = process_time()
        for _ in range(2):
            pupil.learn(loss, 1e-5, 1)
        return (process_time() - begin) / 2

    return step


def loop_of(lever: Lever, steps: int) -> LoopConfig:
    """The mini preset's, for a number of steps."""
    own = mini().upsampler.loop if lever.upsampler else mini().base.loop
    return replace(own, steps=steps, batch_size=BATCH, optimizer=lever.optimizer, ema_decay=0.999)


def train(lab: Lab, name: str, steps: int) -> None:
    """One lever for a number of steps."""
    lever = LEVERS[name]
    network, loss = network_and_loss(lab, lever)
    folder = lab.out / f"{name}.training"
    average = run_loop(network, loss, loop_of(lever, steps), folder, name, {"lever": name})
    diffusion = lever.upsampler.diffusion if lever.upsampler else mini().base.diffusion
    assert isinstance(average, UNet)
    save_denoiser(average, diffusion, lab.out / name)


def train_priors(lab: Lab) -> None:
    """The two priors, and how near their draws come to held-out latents."""
    trained, held_out = lab.split
    latents, unseen = lab.planes(16, trained).latents, lab.planes(16, held_out).latents
    config = mini().prior.network
    for full in (False, True):
        captions = lab.captions(trained, full)
        reader = learn_reader(captions, latents)
        prior = learn_prior(reader, latents, captions, config, lab.out / f"prior-{'full' if full else 'part'}.training")
        save_denoiser(prior, DALLE2, lab.out / f"prior-{'full' if full else 'part'}")
        for said in (False, True):
            drawn = draw_latents(prior, reader, [one[0] for one in lab.captions(held_out, said)])
            cosine = F.cosine_similarity(drawn, unseen).mean().item()
            learned, given = ("full" if one else "partial" for one in (full, said))
            print(f"prior of {learned} captions, given {given} ones: cosine {cosine:.3f}", flush=True)


def learn_prior(
    reader: PhraseReader, latents: Tensor, captions: list[tuple[str, ...]], config: PriorConfig, folder: Path
) -> Prior:
    """As `rodin.train.prior` does."""
    planes = latents[:, None, :, None, None] * math.sqrt(latents.shape[1])
    noising, dropout = Diffusion(DALLE2), mini().prior.text_dropout

    def loss(model: nn.Module, draws: Draws) -> dict[str, Tensor]:
        chosen = draws.integers(len(planes))
        kept = draws.rand() >= dropout
        condition = reader.read(draw_captions([captions[k] for k in chosen.tolist()], draws)).only(kept)
        return noising.losses(lambda x, t: model(x, t, condition), planes[chosen] - condition.mean, draws)

    torch.manual_seed(0)
    loop = replace(mini().prior.loop, steps=1500)
    average = run_loop(Prior(config), loss, loop, folder, folder.stem, {})
    assert isinstance(average, Prior)
    return average


def prompted(lab: Lab, kind: str) -> Tensor:
    """What a prior draws for the full captions of held-out subjects, [N, D]."""
    trained, held_out = lab.split
    reader = learn_reader(lab.captions(trained, kind == "full"), lab.planes(16, trained).latents)
    prior, _ = load_denoiser(Prior, PriorConfig, lab.out / f"prior-{kind}")
    return draw_latents(prior, reader, [one[0] for one in lab.captions(held_out, full=True)])


def draw_latents(prior: Prior, reader: PhraseReader, texts: list[str]) -> Tensor:
    """One latent a text, [N, D]."""
    seeds = [torch.Generator().manual_seed(index) for index in range(len(texts))]
    with torch.no_grad():
        return sample_latents(prior, DALLE2, reader.read(texts), seeds, 1.0, PRIOR_STEPS, 1)


# ---- comparing


def compare(lab: Lab, data: Path, read: bool) -> None:
    """The tables and the pictures."""
    trained, held_out = lab.split
    folders = list_subjects(data)
    unseen = lab.planes(SIZE, held_out)
    assert unseen.palettes is not None
    truth = [
        Truth(subject, front_views(subject.camera, subject.frontal)[:VIEWS], latent, palette)
        for subject, latent, palette in zip(
            (load_subject(folders[k], SIZE, maps=True) for k in held_out), unseen.latents, unseen.palettes, strict=True
        )
    ]
    network, z = load_component(PaletteNetwork, PaletteConfig, lab.run / "palette").eval(), unseen.latents
    palettes = network.palettes(z)
    drawn: dict[str, Tensor] = {}  # planes
    for name in ("adamw", "muon", "seen", "words"):
        if (lab.out / name).exists():
            drawn[name] = base_planes(lab, lab.out / name, z)
    if (lab.out / "cascade-32").exists():
        drawn["cascade"] = enlarged(lab, lab.out / "cascade-32", base_planes(lab, lab.out / "cascade-16", z), z)
    for name in ("up", "up-z"):
        if (lab.out / name).exists() and "adamw" in drawn:
            drawn[f"adamw, {name}"] = enlarged(lab, lab.out / name, drawn["adamw"], z)
    judges = reader_of(folders, trained) if read else None
    levels = " | ".join(f"x_0 at {level:g}" for level in NEAR_NOISE)
    print(f"| | samples | {levels} | PSNR | colours: {', '.join(REGIONS)} | attributes read |")
    pictures = {"real": [one.subject.images[one.views] for one in truth]}
    for name, planes in drawn.items():
        pictures[name] = show(lab, planes, truth, palettes)
    for kind in ("part", "full"):
        if (lab.out / f"prior-{kind}").exists() and "adamw" in drawn:
            said = prompted(lab, kind)
            planes = base_planes(lab, lab.out / "adamw", said)
            pictures[f"from full captions, prior of {kind}"] = show(lab, planes, truth, network.palettes(said))
    for name, seen in pictures.items():
        cells = [samples_of(lab, name), *errors(lab, name, held_out)]
        likeness = fmean(
            psnr(over(one, 1.0), over(own.subject.images[own.views], 1.0)) for one, own in zip(seen, truth, strict=True)
        )
        colours = " ".join(f"{error:.3f}" for error in region_errors(seen, truth))
        right = "-" if judges is None else f"{attributes_read(*judges, seen, truth):.1%}"
        print(f"| {name} | {' | '.join(cells)} | {likeness:.2f} dB | {colours} | {right} |", flush=True)
    rows = [
        torch.cat([over(seen[k][view], 1.0) for seen in pictures.values() for view in (0, -1)], dim=1)
        for k in range(min(10, len(truth)))
    ]
    sheet = Image.fromarray(to_bytes(torch.cat(rows)).numpy())
    sheet.resize((2 * sheet.width, 2 * sheet.height), Image.Resampling.BICUBIC).save(lab.out / "compared.png")


def attributes_read(
    reader: AttributeReader, training: list[dict[str, object]], seen: list[Tensor], truth: list[Truth]
) -> float:
    """The mean share over attributes that the reader reads right off pictures."""
    read = judge(reader.read(torch.stack(seen)), [one.subject.attributes for one in truth], training)
    return fmean(one.accuracy for one in read.values() if one.count)


def samples_of(lab: Lab, name: str) -> str:
    """That a lever was trained on."""
    path = lab.out / f"{name.split(', ')[-1]}.training" / "settings.json"
    if not path.exists():
        return "-"
    settings = json.loads(path.read_text())
    return str(settings["steps"] * settings["batch_size"])


def base_planes(lab: Lab, folder: Path, z: Tensor) -> Tensor:
    """Residuals [N, 3, C, h, w] that a base model draws for latents."""
    base, diffusion = load_denoiser(UNet, UNetConfig, folder)
    shape = (len(z), 3, base.config.in_channels, base.config.size, base.config.size)
    with torch.no_grad():
        return draw_residuals(base, diffusion, z, shape, lab.statistics(base.config.size), z.device)


def enlarged(lab: Lab, folder: Path, low: Tensor, z: Tensor) -> Tensor:
    """The same, as an upsampler makes them."""
    network, diffusion = load_denoiser(UNet, UNetConfig, folder)
    seeds = [torch.Generator().manual_seed(index) for index in range(len(low))]
    clip = lab.statistics(16).config.clip
    own = z if takes_latent(network.config) else None
    return upsample(network, diffusion, low, network.config.size, seeds, steps=3, clip=clip, z=own)


def show(lab: Lab, residuals: Tensor, truth: list[Truth], palettes: Tensor) -> list[Tensor]:
    """Pictures of planes, seen as the subjects were: N of [VIEWS, SIZE, SIZE, 4]."""
    decoder = lab.decoder()
    planes = lab.statistics(residuals.shape[-1]).denormalize(residuals)
    return [
        Renderer.trimmed(own, decoder, palette).image(one.subject.camera[one.views], 96)[0]
        for own, palette, one in zip(planes, palettes, truth, strict=True)
    ]


def errors(lab: Lab, name: str, held_out: list[int]) -> list[str]:
    """Of a base model's x_0 at 16 x 16 texels, whatever its size."""
    folder = lab.out / ("cascade-16" if name == "cascade" else name)
    if not folder.exists() or "up" in name:
        return ["-"] * len(NEAR_NOISE)
    base, diffusion = load_denoiser(UNet, UNetConfig, folder)
    noising, own = Diffusion(diffusion), lab.planes(base.config.size, held_out)
    x0, z = own.planes.float(), own.latents
    log_snr, cells = torch.logit(noising.abar), []
    noise = torch.randn(x0.shape, generator=torch.Generator().manual_seed(0))
    for level in NEAR_NOISE:
        # noise of size x size texels averaged to 16 x 16 is weaker by the number of texels that become one
        fine = level / (level + (1 - level) / (base.config.size / 16) ** 2)
        time = int((log_snr - math.log((1 - fine) / fine)).abs().argmin())
        t = torch.full((len(x0),), time)
        with torch.no_grad():
            clean = base(noising.add_noise(x0, noise, t), t, z).float()
        error = (resize(clean, 16, 16) - resize(x0, 16, 16)).square().mean().item()
        cells.append(f"{error:.3f}")
    return cells


if __name__ == "__main__":
    main()
