"""The words, tables and pictures of a report; see docs/evaluation.md for how each figure is taken."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict

from torch import Tensor

from rodin.avatars.contact_sheet import strip
from rodin.camera import orbit
from rodin.evaluate.accuracy import Reading, mean_accuracy
from rodin.evaluate.fid import Distance
from rodin.evaluate.goals import verdicts
from rodin.evaluate.histogram import histogram
from rodin.evaluate.measure import Inversion
from rodin.evaluate.numbers import figures
from rodin.evaluate.report import Gallery, Picture, Report, Section, Table
from rodin.evaluate.results import Asked, Drawn, Results
from rodin.images import from_bytes
from rodin.render.renderer import SAMPLES

SHOWN_SAMPLES = 12
SHOWN_ROWS = 12  # prompts of a set, portraits, fits
SHOWN_NEIGHBOURS = 8
SHOWN_ABLATION = 8  # samples of each model
ANGLES_DEG = (0.0, 45.0, 110.0, 180.0)
CELL = 112  # pixels of a view in a picture
GAP = 3  # pixels between views
UNREAD = Reading(0, 0, 0)


def make_report(results: Results) -> Report:
    """Put an evaluation into words."""
    settings, reality = results.settings, results.reality
    judged = verdicts(results)
    with_goal = [one for one in judged if one.met is not None]
    summary = (
        f"{settings.samples} avatars drawn from nothing, {sum(len(one.prompts.prompts) for one in results.asked)} from "
        f"words and {len(results.inverted)} from portraits, held against {len(reality.held_out)} subjects that the "
        f"model has never seen and the {len(reality.training)} that it was trained on. "
        f"{sum(bool(one.met) for one in with_goal)} of {len(with_goal)} goals are met."
    )
    sections = [
        Section("Summary", [Table(("figure", "goal", "measured", "met"), [one.cells() for one in judged])]),
        samples_section(results),
        *(text_section(results, one) for one in results.asked),
        distribution_section(results),
        inversion_section(results),
        neighbours_section(results),
    ]
    if results.fits:
        sections.append(fits_section(results))
    sections += [floaters_section(results), protocol_section(results)]
    return Report("Evaluation", summary, sections, figures(results))


def protocol_section(results: Results) -> Section:
    """How the figures were taken."""
    reality, settings = results.reality, results.settings
    rows = [
        ("model", results.model_hash[:16]),
        ("training subjects", f"{len(reality.training)}, {results.data[0]}"),
        ("held-out subjects", f"{len(reality.held_out)}, {results.data[1]}"),
        *((words(name), f"{value:g}") for name, value in asdict(settings).items() if name != "sampling"),
        ("drawn with", "; ".join(map(drawn_with, results.drawn))),
        ("features", "image latents of the model's encoder, length sqrt(512); pictures over white"),
        ("cameras", "those of the real subjects, |azimuth| <= 60 degrees, the first frontal"),
        ("FID, KID", "torchmetrics, in these features; KID is the mean over views, one picture a subject"),
        (
            "pictures",
            f"of the image size, {SAMPLES} samples a ray, without the refiner except where it is said",
        ),
        ("time", f"{sum(results.seconds.values()):.0f} s in all"),
        *((f"time, {part}", f"{seconds:.0f} s") for part, seconds in results.seconds.items()),
    ]
    note = "No figure compares with one of another protocol, nor those of two encoders with one another."
    return Section("Protocol", [Table(("", ""), rows, note, protocol=True)])


def samples_section(results: Results) -> Section:
    """Samples from all around."""
    camera = orbit(list(ANGLES_DEG), [4.0] * len(ANGLES_DEG), size=CELL)
    samples = results.samples[:SHOWN_SAMPLES]
    pictures = [
        Picture(
            f"sample-{k:02d}.webp", strip(list(avatar.render(camera)), CELL, GAP), f"seed {results.settings.seed + k}"
        )
        for k, avatar in enumerate(samples)
    ]
    angles = ", ".join(f"{angle:g}" for angle in ANGLES_DEG)
    text = f"The first {len(samples)} avatars drawn from nothing, none chosen, seen from {angles} degrees."
    return Section("Samples", [text, Gallery(pictures, 24.0)])


def distribution_section(results: Results) -> Section:
    """FID and KID of all models, and rows of their samples."""
    main = results.drawn[0]
    named = [(one.variant.label, one.distances) for one in results.drawn]
    named.insert(1, (f"{main.variant.label}, refined pictures", results.refined))
    tables = []
    for title, which in (("training set", "to_training"), ("held-out set", "to_held_out")):
        distances: list[tuple[str, Distance]] = [(label, getattr(both, which)) for label, both in named]
        rows = [distance_row(label, one) for label, one in distances]
        count = distances[0][1].count
        header = (f"to the {title}", "FID", "KID x 1000", f"FID at {count}", f"real at {count}", "ratio")
        note = (
            f"FID at {count}: of {count} drawn subjects to {count} real ones; real at {count}: of as many real ones. "
            "Mean of 4 random choices of subjects, and the spread of the ratio among them; another seed can do more."
        )
        tables.append(Table(header, rows, note))
    explained = (
        "FID falls with the number of subjects, real ones included. The ratio sets that right: FID of drawn avatars "
        "over FID of as many real subjects to the same target. For the training set these are two disjoint halves of "
        "it; for the held-out set, training subjects. 1 is as good as real; a copy of the training set would be 0 "
        "towards it. KID has no such bias: 0, or a little below, is the same distribution."
    )
    pictures = [
        Picture(f"row-{k:02d}.webp", strip(list(one.pictures[:SHOWN_ABLATION, 0]), CELL, GAP), one.variant.label)
        for k, one in enumerate(results.drawn)
    ]
    shown = "Below, the same seeds drawn by each model."
    return Section("Distance to real avatars, and ablations", [explained, *tables, shown, Gallery(pictures)])


def text_section(results: Results, asked: Asked) -> Section:
    """What avatars show of their prompts."""
    rows = [
        attribute_row(words(name), one, results.real_readings[name])
        for name, one in asked.readings.items()
        if one.count
    ]
    real = mean_accuracy({name: results.real_readings[name] for name, one in asked.readings.items() if one.count})
    rows.append(("mean", "", percent(mean_accuracy(asked.readings)), "", percent(real), ""))
    table = Table(
        ("attribute", "prompts", "avatars", "chance", "real pictures", "chance"),
        rows,
        "prompts: those that name the attribute; avatars: how many of these show the value that is named; real "
        f"pictures: the reader's accuracy on all {len(results.reality.held_out)} held-out subjects, about as much as "
        "avatars can reach. Chance: the commonest value of the training subjects, always said.",
    )
    people = Table(
        ("of prompts for", "attributes named", "avatars", "chance", "real pictures", "chance"),
        [
            attribute_row(f"{words(name)}: {words(value)}", one, results.real_people[name].get(value, UNREAD))
            for name, values in asked.people.items()
            for value, one in values.items()
        ],
        "All attributes together, by whom a prompt describes: whether some people are drawn worse than others.",
    )
    text = (
        f"Avatars drawn from {len(asked.prompts.prompts)} prompts. A small convolutional network, trained on real "
        "pictures of the training subjects, reads from the front half what the avatar shows; only what the prompt "
        "names counts."
    )
    if results.reality.held_out.labels is not None:
        text += " It is told what each pixel is made of, in real pictures by their material maps."
    if asked.sentences:
        text += " The general sentence encoder translated words that no caption has."
    if asked.unread:
        text += f" {asked.unread} prompts have no word that the model knows: nothing of what they name is shown."
    blocks: list[str | Table | Gallery] = [text, table, *([people] if people.rows else [])]
    for which, chosen in extremes(asked.agreement, SHOWN_ROWS).items():
        blocks.append(
            f"The {len(chosen)} {which} by the reader, whose probabilities of what a prompt names are averaged."
        )
        blocks.append(Gallery([prompt_picture(asked, k) for k in chosen], 15.0))
    return Section(f"Text to avatar: {asked.name}", blocks)


def prompt_picture(asked: Asked, index: int) -> Picture:
    """What was drawn of a prompt, from the front and from the side."""
    views = pick(from_bytes(asked.pictures[index]))
    return Picture(f"text-{asked.name}-{index:03d}.webp", strip(views, CELL, GAP), asked.prompts.prompts[index].text)


def extremes(scores: Sequence[float], count: int) -> dict[str, list[int]]:
    """The places of the best, of the middle ones and of the worst scores, `count` of each, or a third of fewer."""
    order = sorted(range(len(scores)), key=lambda k: -scores[k])
    count = min(count, len(order) // 3)
    if not count:
        return {"avatars": order}
    first = (len(order) - count) // 2
    return {"best": order[:count], "median": order[first : first + count], "worst": order[-count:]}


def inversion_section(results: Results) -> Section:
    """Portraits, and the avatars that follow them."""
    reality = results.reality
    held_out, everyone = len(reality.held_out), len(reality.held_out) + len(reality.training)
    refine = results.settings.refine_steps
    rows = [inversion_row("by the encoder", results.inversion)]
    if results.refined_inversion is not None:
        rows.append(inversion_row(f"{refine} steps of refinement", results.refined_inversion))
    count = len(results.inverted)
    real = reality.identified(reality.held_out.images[:count, -1])
    rows.append(("a real picture from another view", "", "", *map(percent, real), ""))
    shares = (f"top-1 of {held_out}", f"top-1 of {everyone}", "oblique top-1")
    header = ("", "PSNR given view", "PSNR other views", *shares)
    note = (
        f"{count} portraits. Chance: {percent(1 / held_out)} among the held-out subjects, {percent(1 / everyone)} "
        "among all. PSNR in dB over white."
    )
    text = (
        "The frontal picture of a held-out subject becomes an avatar: by the encoder's latent alone, and with steps of "
        "render-guided refinement after it. Identity: the real frontal picture nearest to the avatar's, in the "
        "features, is the subject's own, among the held-out subjects, and among these and the training subjects."
    )
    pictures = []
    for k in range(min(SHOWN_ROWS, count)):
        views = [reality.held_out.frontals[k], *pick(results.inverted[k])]
        views += pick(results.refined_inverted[k]) if results.refined_inverted is not None else []
        pictures.append(Picture(f"portrait-{k:02d}.webp", strip(views, CELL, GAP), reality.held_out.names[k]))
    refined = ", then the same after refinement" if results.refined_inverted is not None else ""
    shown = f"From the left: the portrait; the avatar by the encoder alone, from the front and obliquely{refined}."
    return Section("Portrait inversion", [text, Table(header, rows, note), shown, Gallery(pictures, 24.0)])


def neighbours_section(results: Results) -> Section:
    """Nearest training subjects."""
    found, main = results.neighbours, results.drawn[0]
    training = results.reality.training.frontals
    sets = {"samples": found.samples, "held-out subjects": found.held_out, "training subjects": found.training}
    rows = [
        (name, str(len(values)), *(f"{float(values.quantile(q)):.3f}" for q in (0.0, 0.25, 0.5, 0.75, 1.0)))
        for name, values in sets.items()
    ]
    table = Table(
        ("distance to the nearest training subject", "number", "least", "quarter", "median", "three quarters", "most"),
        rows,
        f"Ratio of the medians, samples over held-out: {found.ratio:.2f}. Samples nearer to a training subject than "
        f"any held-out subject is: {percent(found.copies)}. Median distance of a sample to the nearest other sample: "
        f"{float(found.pairs.quantile(0.5)):.3f}. Mean distance between any two samples over that between any two "
        f"training subjects: {results.diversity:.2f}.",
    )
    text = (
        "A model that has memorised its training set draws avatars that lie nearer to it than unseen people do. Both "
        "distances are 1 - cosine of frontal pictures in the features; that of a training subject is to the nearest "
        "other one. Renderings lack the finest detail of real pictures, which adds a little to the samples' distances."
    )
    chart = Picture("distances.svg", histogram(sets, "1 - cosine to the nearest training subject"), "Distances.")
    closest = found.samples.argsort()[:SHOWN_NEIGHBOURS].tolist()
    pictures = [
        Picture(
            f"neighbours-{rank:02d}.webp",
            strip([main.pictures[k, 0], *training[found.nearest[k]]], CELL, GAP),
            f"seed {results.settings.seed + k}; nearest at {float(found.samples[k]):.3f}",
        )
        for rank, k in enumerate(closest)
    ]
    shown = f"The {len(closest)} samples that lie nearest to the training set, each with its nearest training subjects."
    return Section("Nearest training subjects", [text, table, Gallery([chart], 40.0), shown, Gallery(pictures, 24.0)])


def fits_section(results: Results) -> Section:
    """Planes fitted to held-out subjects."""
    rows = [(one.name, f"{one.psnr:.2f}", f"{one.ssim:.3f}") for one in results.fits]
    psnr, ssim = (mean([getattr(one, name) for one in results.fits]) for name in ("psnr", "ssim"))
    rows.append(("mean", f"{psnr:.2f}", f"{ssim:.3f}"))
    fit = results.fit
    note = (
        f"{fit.steps} steps of {fit.rays} rays at {fit.image_size} pixels; {fit.held_out} views held out; over white."
    )
    text = (
        "Planes fitted to held-out subjects with the model's frozen decoder, judged on views that were not fitted: the "
        "ceiling of what the model can draw. Each picture: a real view and the fit's, from the front and obliquely."
    )
    pictures = []
    for k, seen in enumerate(results.fit_pictures):
        pairs = zip(pick(results.reality.held_out.images[k]), pick(seen), strict=True)
        pictures.append(
            Picture(f"fit-{k:02d}.webp", strip([view for pair in pairs for view in pair], CELL, GAP), rows[k][0])
        )
    table = Table(("subject", "PSNR (dB)", "SSIM"), rows, note)
    return Section("Fits of unseen subjects", [text, table, Gallery(pictures, 24.0)])


def floaters_section(results: Results) -> Section:
    """Matter where none should be."""
    shares = results.floating
    rows = [
        (name, f"{100 * float(share):.2f} %")
        for name, share in (("mean", shares.mean()), ("median", shares.quantile(0.5)), ("worst sample", shares.max()))
    ]
    text = (
        "The share of a sample's alpha, summed along rays from all around with nothing culled, that comes from where "
        "no training subject's visual hull is."
    )
    return Section("Floaters", [text, Table(("samples", "alpha outside the union hull"), rows)])


def drawn_with(one: Drawn) -> str:
    """A model, and how it was drawn from."""
    how = one.variant.sampling
    steps = "1 step" if how.steps == 1 else f"{how.steps} steps"
    scales = f"guidance {how.guidance_scale:g}, the prior's {how.prior_guidance_scale:g}"
    drawn = f"{how.candidates} candidates, {how.upsampling_steps} upsampling steps"
    return (
        f"{one.variant.label}: {steps}, {scales}, temperature {how.temperature:g}, emphasis {how.emphasis:g}, {drawn}"
    )


def distance_row(label: str, one: Distance) -> tuple[str, ...]:
    """A row of the table of distances."""
    numbers = (f"{one.fid:.1f}", f"{1000 * one.kid:.1f}", f"{one.equal_fid:.1f}", f"{one.real_fid:.1f}")
    return (label, *numbers, f"{one.ratio:.2f} ± {one.ratio_spread:.2f}")


def inversion_row(label: str, one: Inversion) -> tuple[str, ...]:
    """A row of the table of inversions."""
    other = "" if math.isnan(one.other_psnr) else f"{one.other_psnr:.2f}"
    shares = (one.held_out_top1, one.everyone_top1, one.oblique_top1)
    return (label, f"{one.frontal_psnr:.2f}", other, *map(percent, shares))


def attribute_row(name: str, drawn: Reading, real: Reading) -> tuple[str, ...]:
    """A row of the table of attributes."""
    shares = (drawn.accuracy, drawn.chance, real.accuracy, real.chance)
    return (name, str(drawn.count), *map(percent, shares))


def pick(views: Tensor) -> list[Tensor]:
    """The frontal and the most oblique of V views [V, S, S, 4]."""
    return [views[0], views[-1]]


def percent(share: float) -> str:
    """A share for reading; a dash where nothing was counted."""
    return "-" if math.isnan(share) else f"{100 * share:.0f} %"


def words(name: str) -> str:
    """An attribute's or a setting's name for reading."""
    return name.replace("_", " ")


def mean(numbers: list[float]) -> float:
    """The mean."""
    return sum(numbers) / len(numbers)
