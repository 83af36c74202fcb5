"""The evaluation of a model: draw, measure, and put it down in a report."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from rodin.avatars.drawing import Sampling
from rodin.avatars.pipeline import RodinPipeline
from rodin.data.captures import has_maps
from rodin.data.subject_folders import list_subjects
from rodin.errors import UserError
from rodin.evaluate.accuracy import Reading, agreement_with, judge, judge_people
from rodin.evaluate.attribute_reader import AttributeReader, labels_of
from rodin.evaluate.behind import load_backs, skin_behind
from rodin.evaluate.cache import Learned, learn
from rodin.evaluate.compared import OWN_ROWS
from rodin.evaluate.config import EvaluationConfig
from rodin.evaluate.features import features, mean_distance
from rodin.evaluate.floaters import floating_shares
from rodin.evaluate.looks import Looks, axis_energy, laplacian_energy, phase_spread
from rodin.evaluate.measure import Reality, fit_held_out, mean_psnr, measure_distances, measure_inversion
from rodin.evaluate.neighbours import find_neighbours
from rodin.evaluate.prompts import PromptSet, caption_prompts, read_prompts
from rodin.evaluate.report import Report, check_place
from rodin.evaluate.results import Asked, Drawn, Results
from rodin.evaluate.sections import SHOWN_ROWS, SHOWN_SAMPLES, make_report
from rodin.evaluate.subjects import RealSet, load_real
from rodin.evaluate.variants import Variant, reduced, render_all, render_refined
from rodin.fit.planes import FitConfig
from rodin.images import from_bytes, to_bytes
from rodin.render.renderer import SAMPLES, render_image
from rodin.waiting import waiting


class Stopwatch:
    """Seconds that the parts of an evaluation take, in their order."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time a block."""
        began = time.perf_counter()
        with waiting(name):
            yield
        self.seconds[name] = time.perf_counter() - began


def evaluate(
    pipe: RodinPipeline,
    held_out: Path,
    train_data: Path,
    out: Path,
    settings: EvaluationConfig,
    fit: FitConfig,
    against: Mapping[str, RodinPipeline],
    prompts: Sequence[Path],
    cache: Path,
) -> Report:
    """Evaluate a model, and write the report to the folder `out`.

    Args:
        held_out: subjects that no part of the model was trained on.
        train_data: those that it was trained on.
        fit: how planes are fitted to held-out subjects.
        against: other models by name, such as ablations, whose samples are measured beside its own in one encoder's
            features.
        prompts: files that avatars are drawn from, see `rodin.evaluate.prompts`; none = captions of held-out subjects.
        cache: folder for what is learned of the training data, see `rodin.evaluate.cache`.

    Raises:
        UserError: data, prompts or `fit` do not suit, words cannot be translated as asked, a subject is in both sets,
            or `out` holds something else.
    """
    check_place(out)
    check_fit(fit, settings, pipe)
    watch = Stopwatch()
    ground = lay_ground(pipe, held_out, train_data, settings, prompts=prompts, cache=cache, watch=watch)
    main, reality, learned = ground.main, ground.reality, ground.learned
    training, unseen = reality.training, reality.held_out

    with watch.part("samples"):
        samples = list(main.draw(settings.samples, settings.seed))
        pictures = render_all(samples, training.cameras)
        seen = features(reality.encoder, pictures)
        drawn = [Drawn(variant=main, pictures=pictures, distances=measure_distances(seen, reality, settings.seed))]
        large = render_refined(samples, training.cameras)
        sharpened = reduced(large, settings.image_size)
        refined = features(reality.encoder, sharpened)
        floating = floating_shares(samples, learned.union)
    with watch.part("samples of other models"):
        drawn += [draw_and_measure(one, reality, settings) for one in beside(main, against, settings)]
    with watch.part("prompts"):
        asked = [
            ask(drawing, one, flag, learned.reader, unseen=unseen, training=training, settings=settings)
            for one, found in ground.asked
            for flag, drawing in found.items()
        ]
    with watch.part("portraits"):
        drawn_again = list(main.invert(unseen.frontals[: settings.photos], settings.seed, 0))
        inverted = render_all(drawn_again, unseen.cameras)
    with watch.part("looks"):
        # Frontal pictures lie too much alike: eyes and collars would be found as lattices.
        oblique = from_bytes(large[:, 1:].flatten(0, 1))
        looks = Looks(
            *sharpness(pictures, sharpened, training),
            streaks=axis_energy(pictures[:, 0]) / axis_energy(training.frontals),
            lattices=(phase_spread(oblique, 2), phase_spread(oblique, 4)),
            skin_behind=skin_behind(drawn_again, load_backs(unseen.folders[: settings.photos], settings.image_size)),
            known_psnr=known_psnr(main, training, settings),
            unknown_psnr=mean_psnr(inverted, unseen.images[: len(inverted)]),
        )
    refined_inverted = None
    if settings.refine_steps:
        with watch.part("portraits, refined"):
            steps = settings.refine_steps
            refined_inverted = render_all(
                main.invert(unseen.frontals[: settings.photos], settings.seed, steps), unseen.cameras
            )
    with watch.part("fits"):
        decoder, start = samples[0].decoder, pipe.statistics.mean_planes.cpu()  # avatars keep theirs on the CPU
        fits = fit_held_out(unseen.folders[: settings.fits], decoder, start, fit, seed=settings.seed)
        shown = zip(fits[:SHOWN_ROWS], unseen.cameras, strict=False)
        fit_pictures = [render_image(one.planes, decoder, camera, palette=one.palette)[0] for one, camera in shown]
    real_frontal = reality.training_features[:, 0]
    results = Results(
        settings=settings,
        fit=fit,
        model_hash=pipe.model_hash,
        reality=reality,
        drawn=drawn,
        samples=samples[:SHOWN_SAMPLES],
        refined=measure_distances(refined, reality, settings.seed),
        diversity=mean_distance(seen[:, 0]) / mean_distance(real_frontal),
        floating=floating,
        looks=looks,
        asked=asked,
        real_readings=ground.real_readings,
        real_people=ground.real_people,
        inverted=inverted,
        inversion=measure_inversion(inverted, reality),
        refined_inverted=refined_inverted,
        refined_inversion=None if refined_inverted is None else measure_inversion(refined_inverted, reality),
        neighbours=find_neighbours(seen[:, 0], reality.held_out_features[:, 0], real_frontal),
        fits=fits,
        fit_pictures=fit_pictures,
        data=(str(train_data), str(held_out)),
        seconds=watch.seconds,
    )
    report = make_report(results)
    report.write(out)
    return report


@dataclass(frozen=True, kw_only=True)
class Ground:
    """What an evaluation stands on before anything is drawn.

    Args:
        main: the model, as it is drawn from.
        asked: sets of prompts, each with the model by its reader of words, see `by_reader`.
        reality: the real subjects, with their features.
        learned: of the training subjects.
        real_readings, real_people: what the learned reader makes of real pictures of held-out subjects.
    """

    main: Variant
    asked: list[tuple[PromptSet, dict[bool, Variant]]]
    reality: Reality
    learned: Learned
    real_readings: dict[str, Reading]
    real_people: dict[str, dict[str, Reading]]


def lay_ground(
    pipe: RodinPipeline,
    held_out: Path,
    train_data: Path,
    settings: EvaluationConfig,
    *,
    prompts: Sequence[Path],
    cache: Path,
    watch: Stopwatch,
) -> Ground:
    """Read subjects and prompts, and learn from the training subjects; arguments as of `evaluate`."""
    with watch.part("reading and encoding real subjects"):
        # What pictures are made of is known where both sides say so: avatars of materials, and all subjects.
        told = pipe.palette is not None and all(
            has_maps(folder) for data in (train_data, held_out) for folder in list_subjects(data)
        )
        training = load_real(train_data, settings.views, settings.image_size, "training subjects")
        unseen = load_real(held_out, settings.views, settings.image_size, "held-out subjects", maps=told)
        check_sets(training, unseen)
        sets = read_prompts(prompts, training.attributes)
        sets = sets or [caption_prompts(unseen, training.attributes, settings.captions)]
        main = variant(OWN_ROWS[0], pipe, settings.sampling)
        asked = [(one, by_reader(main, one, settings)) for one in sets]
        reality = Reality.measure(training, unseen, pipe.encoder)
    with watch.part("learning from the training subjects"):
        named = sorted({name for one in sets for truth in one.truth for name in truth})
        learned = learn(training.folders, named, settings.reader_steps, cache, told)
        read = learned.reader.read(unseen.images, unseen.labels)
    return Ground(
        main=main,
        asked=asked,
        reality=reality,
        learned=learned,
        real_readings=judge(read, unseen.attributes, training.attributes),
        real_people=judge_people(read, unseen.attributes, training.attributes),
    )


def check_fit(fit: FitConfig, settings: EvaluationConfig, pipe: RodinPipeline) -> None:
    """Raise UserError unless fits give planes of the model's size."""
    plane_size = pipe.statistics.config.height
    if settings.fits and fit.plane_size != plane_size:
        raise UserError(
            f"--preset: fits planes of {fit.plane_size}, the model's are {plane_size}; "
            "give the preset that it was trained with, or --fits 0"
        )


def variant(label: str, pipe: RodinPipeline, sampling: Sampling) -> Variant:
    """How a model is drawn from. One of a single step (the auto-encoder) is a function of z: nothing is guided."""
    single = pipe.diffusion.train_steps == 1
    return Variant(label, pipe, replace(sampling, guidance_scale=1.0, temperature=1.0, steps=1) if single else sampling)


def beside(main: Variant, against: Mapping[str, RodinPipeline], settings: EvaluationConfig) -> list[Variant]:
    """What a model is compared with: itself without guidance, and the other models."""
    plain = variant(OWN_ROWS[1], main.pipe, replace(settings.sampling, guidance_scale=1.0))
    others = [variant(name, other, settings.sampling) for name, other in against.items()]
    return others if main.sampling.guidance_scale == 1.0 else [plain, *others]


def check_sets(training: RealSet, held_out: RealSet) -> None:
    """Raise UserError unless the two sets are disjoint and large enough."""
    for real, least in ((training, 4), (held_out, 2)):
        if len(real) < least:
            raise UserError(f"{real.folders[0].parent}: {len(real)} subjects; at least {least} are needed")
    for folder, frontal in zip(held_out.folders, held_out.frontals, strict=True):
        same = (training.frontals == frontal).flatten(1).all(dim=1)
        if same.any():
            twin = training.folders[int(same.nonzero()[0, 0])]
            raise UserError(f"{folder}: is the training subject {twin}; hold out subjects that were never trained on")


def draw_and_measure(one: Variant, reality: Reality, settings: EvaluationConfig) -> Drawn:
    """What all models of a report are compared in."""
    pictures = render_all(one.draw(settings.samples, settings.seed), reality.training.cameras)
    distances = measure_distances(features(reality.encoder, pictures), reality, settings.seed)
    return Drawn(variant=one, pictures=pictures, distances=distances)


def by_reader(main: Variant, prompts: PromptSet, settings: EvaluationConfig) -> dict[bool, Variant]:
    """The model as it reads prompts and, if that is asked for and prompts have unknown words, with these translated."""
    found = {False: main}
    if settings.sentences and (main.pipe.words is None or any(map(main.pipe.unread, prompts.texts))):
        label = f"{main.label}, unknown words translated"
        found[True] = replace(main, label=label, pipe=RodinPipeline(main.pipe.model, sentences=True))
    return found


def ask(
    one: Variant,
    prompts: PromptSet,
    sentences: bool,
    reader: AttributeReader,
    unseen: RealSet,
    training: RealSet,
    settings: EvaluationConfig,
) -> Asked:
    """Draw a set of prompts, and read the avatars by the cameras of held-out subjects.

    Of a prompt without a word that the model knows there is no avatar: nothing that it names is shown.
    """
    read: dict[str, list[str]] = {name: [] for name in reader.values}
    views, agreement = [], []
    for k, (avatar, truth) in enumerate(
        zip(one.draw_prompts(prompts.texts, settings.seed), prompts.truth, strict=True)
    ):
        if avatar is None:
            for values in read.values():
                values.append("")
            views.append(torch.zeros(2, settings.image_size, settings.image_size, 4, dtype=torch.uint8))
            agreement.append(-math.inf)
            continue
        seen = avatar.renderer.render(unseen.cameras[k % len(unseen)], SAMPLES)
        pictures = seen.image
        labels = None if unseen.labels is None else labels_of(seen.shares)[None]
        found = {name: rows[0] for name, rows in reader.log_probabilities(pictures[None], labels).items()}
        for name, row in found.items():
            read[name].append(reader.values[name][int(row.argmax())])
        agreement.append(agreement_with(found, reader.values, truth))
        views.append(to_bytes(pictures[[0, -1]]))
    return Asked(
        prompts=prompts,
        sentences=sentences,
        unread=agreement.count(-math.inf),
        pictures=torch.stack(views),
        agreement=agreement,
        readings=judge(read, prompts.truth, training.attributes),
        people=judge_people(read, prompts.truth, training.attributes),
    )


def sharpness(pictures: Tensor, sharpened: Tensor, training: RealSet) -> tuple[float, float]:
    """Of drawn pictures [N, V, S, S, 4], and of the same refined: Laplacian energy over that of as many real ones."""
    real = laplacian_energy(training.images[: len(pictures)].flatten(0, 1))
    plain, refined = (laplacian_energy(drawn.flatten(0, 1)) / real for drawn in (pictures, sharpened))
    return plain, refined


def known_psnr(one: Variant, training: RealSet, settings: EvaluationConfig) -> float:
    """Of avatars drawn for training subjects' own latents, in dB: their frontal views."""
    some = training.first(settings.photos)
    frontal = [camera[:1] for camera in some.cameras]
    drawn = render_all(one.invert(some.frontals, settings.seed, 0), frontal)
    return mean_psnr(drawn, some.frontals[:, None])
