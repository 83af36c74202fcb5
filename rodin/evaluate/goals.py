"""The figures that a model is judged by, and the goal of each."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from typing import Literal

from rodin.evaluate.accuracy import mean_accuracy, worst_accuracy
from rodin.evaluate.compared import OWN_ROWS
from rodin.evaluate.results import Results

_MEETS = {"at least": operator.ge, "at most": operator.le, "below": operator.lt}


@dataclass(frozen=True)
class Goal:
    """What a figure should be; `percent` writes shares in percent."""

    bound: float
    sense: Literal["at least", "at most", "below"] = "at least"
    unit: str = ""
    percent: bool = False

    def __str__(self) -> str:
        return f"{self.sense} {self.written(self.bound, exact=True)}"

    def met_by(self, value: float) -> bool:
        """Whether a figure reaches it."""
        return bool(_MEETS[self.sense](value, self.bound))

    def written(self, value: float, exact: bool = False) -> str:
        """A figure in this unit; a bound as it is, what was measured to a tenth of a percent or two decimals."""
        if self.percent:
            return f"{100 * value:.4g} %" if exact else f"{100 * value:.1f} %"
        return f"{value:.4g}{self.unit}" if exact else f"{value:.2f}{self.unit}"


#: Of attributes by the name of their prompts; other prompts have no goal.
ATTRIBUTE_MEANS = {
    "held-out": Goal(0.88, percent=True),
    "new-words": Goal(0.75, percent=True),
    "pairs": Goal(0.90, percent=True),
}
ATTRIBUTE_WORST = {"held-out": Goal(0.70, percent=True)}

FIT_PSNR = Goal(30.5, unit=" dB")
FID_RATIO = Goal(1.2, "at most")
KID = Goal(60.0, "at most")
DIVERSITY = Goal(0.9)
MEMORISATION = Goal(0.8)
TOP1 = Goal(0.7, percent=True)
REFINED_PSNR = Goal(22.0, unit=" dB")
OTHER_PSNR = Goal(25.0, unit=" dB")
KNOWN_PSNR = Goal(27.0, unit=" dB")
UNKNOWN_PSNR = Goal(24.0, unit=" dB")
SHARPNESS = Goal(0.75)
SKIN_BEHIND = Goal(0.02, "at most", percent=True)
STREAKS = Goal(1.2, "at most")
LATTICE = Goal(0.3, "below")
FLOATERS = Goal(0.003, "below", percent=True)

_NONE = Goal(math.nan, percent=True)


@dataclass(frozen=True)
class Verdict:
    """A figure and its goal.

    Args:
        figure: in words.
        goal: None where none is set.
        measured: NaN where it was not measured.
    """

    figure: str
    goal: Goal | None
    measured: float

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None where there is none, or nothing was measured."""
        return None if self.goal is None or math.isnan(self.measured) else self.goal.met_by(self.measured)

    def cells(self) -> tuple[str, str, str, str]:
        """Figure, goal, measured, met."""
        measured = "-" if math.isnan(self.measured) else (self.goal or _NONE).written(self.measured)
        met = {None: "-", True: "yes", False: "NO"}[self.met]
        return self.figure, str(self.goal or "-"), measured, met


def verdicts(results: Results) -> list[Verdict]:
    """Every figure that has a goal, and those of the prompts' attributes even without."""
    psnrs = [one.psnr for one in results.fits]
    fitted = f"fit of {len(psnrs)} held-out subjects at {results.fit.image_size} pixels, mean PSNR of unseen views"
    found = [Verdict(fitted, FIT_PSNR, sum(psnrs) / len(psnrs) if psnrs else math.nan)]
    for asked in results.asked:
        name, title = asked.prompts.name, f"attributes, {len(asked.prompts.prompts)} prompts {asked.name}"
        found.append(Verdict(f"{title}, mean", ATTRIBUTE_MEANS.get(name), mean_accuracy(asked.readings)))
        found.append(Verdict(f"{title}, worst", ATTRIBUTE_WORST.get(name), worst_accuracy(asked.readings)))
    ratios = {one.variant.label: one.distances.to_training.ratio for one in results.drawn}
    own = ratios[OWN_ROWS[0]]
    found.append(Verdict("FID to real avatars over that of real ones", FID_RATIO, own))
    found += [
        Verdict(f"the same, held against {label}", Goal(ratio, "below"), own)
        for label, ratio in ratios.items()
        if label not in OWN_ROWS
    ]
    to_training = results.drawn[0].distances.to_training
    sharpened, refined, looks = results.refined.to_training, results.refined_inversion, results.looks
    return [
        *found,
        Verdict("KID to the training set x 1000", KID, 1000 * to_training.kid),
        Verdict(
            "FID ratio of refined pictures, held against plain ones",
            Goal(own, "at most"),
            sharpened.ratio,
        ),
        Verdict("drawn for the latents of training subjects, frontal PSNR", KNOWN_PSNR, looks.known_psnr),
        Verdict("drawn for the latents of held-out subjects, PSNR of all views", UNKNOWN_PSNR, looks.unknown_psnr),
        Verdict(
            "sharpness: Laplacian energy over that of real pictures, the better of plain and refined",
            SHARPNESS,
            max(looks.sharpness, looks.refined_sharpness),
        ),
        Verdict("streaks: energy along the axes in smooth regions, over that of real pictures", STREAKS, looks.streaks),
        Verdict("lattice of refined pictures: spread of 2 x 2 phases, grey levels", LATTICE, looks.lattices[0]),
        Verdict("the same of 4 x 4 phases", LATTICE, looks.lattices[1]),
        Verdict("skin seen from behind on heads with hair, drawn minus real", SKIN_BEHIND, looks.skin_behind),
        Verdict("diversity: distance between samples over that between real subjects", DIVERSITY, results.diversity),
        Verdict(
            "memorisation: distance to training subjects, samples over held-out", MEMORISATION, results.neighbours.ratio
        ),
        Verdict(
            f"inversion: top-1 among {len(results.reality.held_out)}, {len(results.inverted)} portraits",
            TOP1,
            results.inversion.held_out_top1,
        ),
        Verdict(
            f"inversion: frontal PSNR after {results.settings.refine_steps} steps",
            REFINED_PSNR,
            refined.frontal_psnr if refined else math.nan,
        ),
        Verdict("the same, other views", OTHER_PSNR, refined.other_psnr if refined else math.nan),
        Verdict("floaters: alpha outside the union hull", FLOATERS, float(results.floating.mean())),
    ]
