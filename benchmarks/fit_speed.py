"""How long it takes to fit an avatar: to 30 dB against the plain way, and to the plateau at 128x128.

    python benchmarks/fit_speed.py [--part quick|plateau|both]

PSNR is that of held-out views over white, rendered without culling, of subjects that the decoder has not seen. A fit
plans its steps: the learning rate falls over them. So the time to a quality is that of the shortest plan on a ladder
that reaches it in the mean over subjects. Preparation counts; reading the images and judging do not.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import torch
from avatars import CACHE, DATA, DECODERS, FIT, SHARED, learned_decoder
from claims import Claim, claims_table, table
from machine import require_kernels
from plain_fit import COARSE, FINE, RAYS, fit_plainly, random_planes
from timing import Contender, Timing, progress, ratios, spread, take_turns
from torch import Tensor

from rodin.data.captures import MultiView, load_subject
from rodin.data.subject_folders import list_subjects
from rodin.fit.losses import LossConfig
from rodin.fit.measure import judge
from rodin.fit.planes import FitConfig, fit_planes
from rodin.fit.scene import prepare
from rodin.fit.shared import SharedConfig
from rodin.render.decoder import Decoder

WANTED = 30.0  # dB
TIMES, QUICK_SECONDS, PLATEAU_SECONDS = 40, 2.0, 10.0  # the goals
QUICK = replace(FIT, samples=32, rescale=0.0)  # no rescaling in any of the three ways
QUICK_LADDER = (40, 50, 60, 70, 85, 100, 120, 150, 200, 300)
PLAIN_LADDER = (140, 180, 220, 270, 330, 400, 500)
JUDGED = slice(SHARED.subjects, SHARED.subjects + 8, 2)

LARGE_DATA = CACHE / "heads128"  # see the Makefile
LARGE_SHARED = SharedConfig(subjects=6, common_steps=100, steps=1500)
LARGE = FitConfig(
    plane_size=128,
    image_size=128,
    samples=64,
    steps=400,
    rays=2048,
    learning_rate=0.15,
    rescale=0.0,
    loss=LossConfig(smooth=8e-3),
)
LARGE_LADDER = (100, 200, 400, 800, 1600)
PLATEAU = 0.2  # dB that twice the steps may still gain

Fit = Callable[[MultiView, int], Tensor]  # a subject and the plan's steps to planes


@dataclass(frozen=True, slots=True)
class Subjects:
    """What is fitted, with the views that judge it."""

    decoder: Decoder
    start: Tensor
    views: list[MultiView]
    fit: FitConfig

    def fused(self, subject: MultiView, steps: int) -> Tensor:
        """Planes by the project's own fitter."""
        scene, _ = prepare(subject, self.fit.samples, self.fit.held_out)
        return fit_planes(scene, self.decoder, self.start, replace(self.fit, steps=steps), seed=0).planes

    def plain(self, subject: MultiView, steps: int) -> Tensor:
        """Planes by the plain way, from random ones."""
        return fit_plainly(subject, self.fit.held_out, self.decoder, random_planes(self.start), steps)

    def plain_from_mean(self, subject: MultiView, steps: int) -> Tensor:
        """The same from the mean planes, where the project's own fits start."""
        return fit_plainly(subject, self.fit.held_out, self.decoder, self.start, steps)

    def quality(self, fit: Fit, steps: int) -> float:
        """Mean held-out PSNR of a plan of so many steps."""
        found = []
        for subject in self.views:
            _, held_out = prepare(subject, self.fit.samples, self.fit.held_out)
            found.append(judge(fit(subject, steps), self.decoder, held_out)[0])
        return statistics.mean(found)


def load(data: Path, shared: SharedConfig, fit: FitConfig, learn: FitConfig, judged: slice) -> Subjects:
    """Subjects of a folder, and a mini decoder learned on its first ones."""
    decoder, start = learned_decoder(DECODERS["mini"], shared, learn, data)
    return Subjects(decoder, start, [load_subject(one, fit.image_size) for one in list_subjects(data)[judged]], fit)


def shortest(subjects: Subjects, fit: Fit, ladder: tuple[int, ...], label: str) -> tuple[int, float]:
    """Steps of the first plan on the ladder that reaches WANTED, and what it reaches."""
    for steps in ladder:
        found = subjects.quality(fit, steps)
        progress(f"{label}: {steps} steps, {found:.2f} dB")
        if found >= WANTED:
            return steps, found
    raise SystemExit(f"fit_speed.py: {label} does not reach {WANTED} dB in {ladder[-1]} steps; lengthen the ladder")


def timed(subjects: Subjects, plans: dict[str, tuple[Fit, int]], label: str) -> dict[str, Timing]:
    """Every way with its plan, in turns, one turn a subject."""
    turns: dict[str, list[Timing]] = {name: [] for name in plans}
    for subject in subjects.views:

        def fitting(fit: Fit, steps: int, subject: MultiView = subject) -> Callable[[], Tensor]:
            return lambda: fit(subject, steps)

        contenders = {name: Contender(fitting(*plan), 3 if name == "fused" else 1) for name, plan in plans.items()}
        for name, timing in take_turns(contenders, 1, f"{label}, {subject.name}").items():
            turns[name].append(timing)
    return {
        name: Timing(tuple(t.wall[0] for t in taken), tuple(t.cpu[0] for t in taken)) for name, taken in turns.items()
    }


def to_wanted() -> Claim:
    """Print how long the ways take to WANTED."""
    subjects = load(DATA, SHARED, QUICK, FIT, JUDGED)
    ladders: dict[str, tuple[Fit, tuple[int, ...]]] = {
        "fused": (subjects.fused, QUICK_LADDER),
        "plain": (subjects.plain, PLAIN_LADDER),
        "plain, from the mean planes": (subjects.plain_from_mean, PLAIN_LADDER),
    }
    found = {name: shortest(subjects, fit, ladder, name) for name, (fit, ladder) in ladders.items()}
    plans = {name: (fit, found[name][0]) for name, (fit, _) in ladders.items()}
    times = timed(subjects, plans, "fit to 30 dB")
    print("## Fitting to 30 dB\n")
    print(
        f"{len(subjects.views)} subjects of {DATA} with 20 views of 64x64 each; planes of 3x16x64x64, mini decoder, "
        f"one thread. Plain: {RAYS} rays per step drawn from all pixels, {COARSE} + {FINE} samples per ray, autograd, "
        "and Adam at its best learning rate, starting from random planes. Fused: `rodin.fit` with "
        f"{QUICK.rays} of the rays that meet the visual hull and {QUICK.samples} bins. Steps are those of the shortest "
        f"schedule that reaches {WANTED:.0f} dB on average. Times and ratios are medians (quartiles) over subjects.\n"
    )
    rows = []
    for name, timing in times.items():
        factor = ["1", "1"]
        if name != "fused":
            factor = [
                spread(ratios(a, b), 1)
                for a, b in ((timing.cpu, times["fused"].cpu), (timing.wall, times["fused"].wall))
            ]
        steps, quality = found[name]
        rows.append([name, str(steps), f"{quality:.2f}", spread(timing.cpu, 2), spread(timing.wall, 2), *factor])
    print(table(["way", "steps", "PSNR, dB", "CPU, s", "wall, s", "times fused, CPU", "times fused, wall"], rows))
    seconds = statistics.median(times["fused"].cpu)
    faster = statistics.median(ratios(times["plain"].cpu, times["fused"].cpu))
    return Claim(
        "fit to 30 dB held-out, un-culled, 64x64 views",
        f"plain: uniform rays, {COARSE}+{FINE} samples, Adam, same decoder",
        f">= {TIMES}x, <= {QUICK_SECONDS:.0f} CPU-s a subject",
        f"{faster:.0f}x, {seconds:.2f} CPU-s",
        faster >= TIMES and seconds <= QUICK_SECONDS,
    )


def to_plateau() -> Claim:
    """Print quality and time of longer and longer fits at 128x128."""
    subjects = load(LARGE_DATA, LARGE_SHARED, LARGE, LARGE, slice(LARGE_SHARED.subjects, None))
    qualities = {}
    for steps in LARGE_LADDER:
        qualities[steps] = subjects.quality(subjects.fused, steps)
        progress(f"fit at 128x128: {steps} steps, {qualities[steps]:.2f} dB")
    times = {steps: timed(subjects, {"": (subjects.fused, steps)}, f"{steps} steps")[""] for steps in LARGE_LADDER}
    print("\n## Fitting to the plateau\n")
    print(
        f"{len(subjects.views)} subjects with 20 views of 128x128 each; planes of 3x16x128x128, a mini decoder learned "
        f"on {LARGE_SHARED.subjects} other subjects, {LARGE.rays} rays per step, {LARGE.samples} bins, one thread. The "
        f"plateau is reached where twice the steps gain less than {PLATEAU} dB. Medians (quartiles) over subjects.\n"
    )
    rows = [
        [str(steps), f"{qualities[steps]:.2f}", spread(times[steps].cpu, 1), spread(times[steps].wall, 1)]
        for steps in LARGE_LADDER
    ]
    print(table(["steps", "PSNR, dB", "CPU, s", "wall, s"], rows))
    pairs = pairwise(LARGE_LADDER)
    enough = next((steps for steps, twice in pairs if qualities[twice] - qualities[steps] < PLATEAU), LARGE_LADDER[-1])
    seconds = statistics.median(times[enough].cpu)
    return Claim(
        "fit of 128x128 planes from 128x128 views to its plateau",
        "-",
        f"<= {PLATEAU_SECONDS:.0f} CPU-s a subject",
        f"{seconds:.1f} CPU-s, {enough} steps, {qualities[enough]:.1f} dB",
        enough != LARGE_LADDER[-1] and seconds <= PLATEAU_SECONDS,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("quick", "plateau", "both"), default="both")
    arguments = parser.parse_args()
    require_kernels()
    torch.set_num_threads(1)
    claims = []
    if arguments.part != "plateau":
        claims.append(to_wanted())
    if arguments.part != "quick":
        claims.append(to_plateau())
    print()
    print(claims_table(claims))


if __name__ == "__main__":
    main()
