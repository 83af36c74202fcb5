"""Every number of a report, as JSON values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rodin.evaluate.accuracy import Reading, mean_accuracy, worst_accuracy
from rodin.evaluate.goals import verdicts
from rodin.evaluate.results import Results


def figures(results: Results) -> dict[str, Any]:
    """Every number of the report; null where a figure could not be taken."""
    found = results.neighbours
    refined = results.refined_inversion
    document = {
        "summary": [
            {
                "figure": one.figure,
                "goal": None if one.goal is None else str(one.goal),
                "measured": one.measured,
                "met": one.met,
            }
            for one in verdicts(results)
        ],
        "settings": asdict(results.settings),
        "model_hash": results.model_hash,
        "training_subjects": len(results.reality.training),
        "held_out_subjects": len(results.reality.held_out),
        "models": {
            one.variant.label: {
                **asdict(one.variant.sampling),
                "distances": {
                    name: {**asdict(distance), "ratio": distance.ratio}
                    for name, distance in (
                        ("to_training", one.distances.to_training),
                        ("to_held_out", one.distances.to_held_out),
                    )
                },
            }
            for one in results.drawn
        },
        "refined_pictures": asdict(results.refined),
        "diversity": results.diversity,
        "floaters": results.floating.tolist(),
        "looks": asdict(results.looks),
        "prompts": {
            one.name: {"unread": one.unread, **reading_figures(one.readings, one.people)} for one in results.asked
        },
        "reader": reading_figures(results.real_readings, results.real_people),
        "inversion": asdict(results.inversion),
        "refined_inversion": None if refined is None else asdict(refined),
        "neighbours": {
            "ratio": found.ratio,
            "copies": found.copies,
            "samples": found.samples.tolist(),
            "held_out": found.held_out.tolist(),
            "training": found.training.tolist(),
            "pairs": found.pairs.tolist(),
        },
        "fits": {one.name: {"psnr": one.psnr, "ssim": one.ssim} for one in results.fits},
        "seconds": results.seconds,
    }
    return plain(document)


def reading_figures(readings: Mapping[str, Reading], people: Mapping[str, Mapping[str, Reading]]) -> dict[str, Any]:
    """The numbers of some attributes, and of some people."""
    return {
        "mean": mean_accuracy(readings),
        "worst": worst_accuracy(readings),
        "attributes": {name: reading_figure(one) for name, one in readings.items()},
        "people": {name: {value: reading_figure(one) for value, one in of.items()} for name, of in people.items()},
    }


def reading_figure(one: Reading) -> dict[str, Any]:
    """The numbers of one reading."""
    return {**asdict(one), "accuracy": one.accuracy, "chance": one.chance}


def plain(value: Any) -> Any:
    """The same without NaN, which JSON has not."""
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
