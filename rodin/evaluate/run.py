"""The evaluation of a model: draw, measure, and put it down in a report."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from rodin.errors import UserError
from rodin.evaluate.against import OWN_ROWS
from rodin.evaluate.attributes import Classifier, learn_classifiers, usable_attributes
from rodin.evaluate.config import EvaluationConfig
from rodin.evaluate.document import Report, check_place
from rodin.evaluate.draw import Variant, render_all
from rodin.evaluate.features import features
from rodin.evaluate.measure import (
    Reality,
    fit_held_out,
    measure_distances,
    measure_inversion,
    read_attributes,
)
from rodin.evaluate.neighbours import find_neighbours
from rodin.evaluate.real import RealSet, load_real
from rodin.evaluate.results import Drawn, Results
from rodin.evaluate.sections import make_report
from rodin.fit.planes import FitConfig
from rodin.pipeline import RodinPipeline
from rodin.render import render_image


def evaluate(
    pipe: RodinPipeline,
    held_out: Path,
    train_data: Path,
    out: Path,
    settings: EvaluationConfig,
    fit: FitConfig,
    against: Mapping[str, RodinPipeline],
) -> Report:
    """Evaluate a model, and write the report to the folder `out`.

    Args:
        held_out: subjects that no part of the model was trained on.
        train_data: those that it was trained on.
        fit: how planes are fitted to held-out subjects.
        against: other models by name, such as ablations, measured beside it in the same features.

    Raises:
        UserError: the data or `fit` does not suit, a subject is in both sets, or `out` holds something else.
    """
    check_place(out)
    plane_size = pipe.statistics.config.height
    if settings.fits and fit.plane_size != plane_size:
        raise UserError(
            f"--preset: fits planes of {fit.plane_size}, the model's are {plane_size}; "
            "give the preset that it was trained with, or --fits 0"
        )
    began = time.perf_counter()
    training = load_real(train_data, settings.views, settings.image_size, "training subjects")
    unseen = load_real(held_out, settings.views, settings.image_size, "held-out subjects")
    check_sets(training, unseen, settings)
    reality = Reality.measure(training, unseen, pipe.encoder)
    names, skipped = usable_attributes(training.attributes)
    classifiers = learn_classifiers(training, names)

    variants = [variant(OWN_ROWS[0], pipe, settings.guidance_scale, settings)]
    if settings.guidance_scale != 1.0:
        variants.append(variant(OWN_ROWS[1], pipe, 1.0, settings))
    variants += [variant(name, other, settings.guidance_scale, settings) for name, other in against.items()]
    drawn = [draw_and_measure(one, reality, classifiers, settings) for one in variants]
    main = drawn[0]

    refined = render_all(main.samples, training.cameras, refine=True)
    inverted = portraits(variants[0], reality, settings, settings.refine_steps) if settings.refine_steps else None
    frontal = features(reality.encoder, main.sample_pictures[:, 0])
    neighbours = find_neighbours(frontal, reality.held_out_features[:, 0], reality.training_features[:, 0])
    decoder, start = main.samples[0].decoder, pipe.statistics.mean_planes.cpu()  # avatars keep theirs on the CPU
    fits = fit_held_out(unseen.folders[: settings.fits], decoder, start, fit, settings.seed)
    results = Results(
        settings=settings,
        fit=fit,
        model_hash=pipe.model_hash,
        reality=reality,
        drawn=drawn,
        refined=measure_distances(refined, reality, settings.seed),
        inverted=inverted,
        inversion=None if inverted is None else measure_inversion(inverted, reality),
        neighbours=neighbours,
        fits=fits,
        fit_pictures=[
            render_image(one.planes, decoder, camera)[0] for one, camera in zip(fits, unseen.cameras, strict=False)
        ],
        skipped=skipped,
        data=(str(train_data), str(held_out)),
        seconds=time.perf_counter() - began,
    )
    report = make_report(results)
    report.write(out)
    return report


def variant(label: str, pipe: RodinPipeline, guidance_scale: float, settings: EvaluationConfig) -> Variant:
    """How a model is drawn from. One of a single step (the auto-encoder) is a function of z: nothing is guided."""
    single = pipe.diffusion.train_steps == 1
    return Variant(label, pipe, 1.0 if single else guidance_scale, 1 if single else settings.steps)


def check_sets(training: RealSet, held_out: RealSet, settings: EvaluationConfig) -> None:
    """Raise UserError unless the two sets are disjoint, large enough, and captioned where captions are drawn from."""
    for real, least in ((training, 4), (held_out, 2)):
        if len(real) < least:
            raise UserError(f"{real.folders[0].parent}: {len(real)} subjects; at least {least} are needed")
    for folder, frontal in zip(held_out.folders, held_out.frontals, strict=True):
        same = (training.frontals == frontal).flatten(1).all(dim=1)
        if same.any():
            twin = training.folders[int(same.nonzero()[0, 0])]
            raise UserError(f"{folder}: is the training subject {twin}; hold out subjects that were never trained on")
    for folder, caption in list(zip(held_out.folders, held_out.captions, strict=True))[: settings.prompts]:
        if not caption.strip():
            raise UserError(f"{folder}: has no caption to draw from; add one to its transforms.json")


def draw_and_measure(
    one: Variant, reality: Reality, classifiers: list[Classifier], settings: EvaluationConfig
) -> Drawn:
    """Everything that all models of a report are compared in."""
    samples = one.draw(settings.samples, settings.seed)
    sample_pictures = render_all(samples, reality.training.cameras)
    unseen = reality.held_out
    from_captions = one.draw_captions(unseen.captions[: settings.prompts], settings.seed)
    caption_pictures = render_all(from_captions, unseen.cameras)
    inverted = portraits(one, reality, settings, 0)
    return Drawn(
        variant=one,
        samples=samples,
        sample_pictures=sample_pictures,
        distances=measure_distances(sample_pictures, reality, settings.seed),
        caption_pictures=caption_pictures,
        readings=read_attributes(classifiers, caption_pictures, unseen),
        inverted=inverted,
        inversion=measure_inversion(inverted, reality),
    )


def portraits(one: Variant, reality: Reality, settings: EvaluationConfig, refine: int) -> Tensor:
    """Pictures [N, V, S, S, 4] of avatars inverted from held-out portraits."""
    unseen = reality.held_out
    avatars = one.invert(unseen.frontals[: settings.photos], settings.seed, refine)
    return render_all(avatars, unseen.cameras)
