"""What `rodin plan` expects, held against real runs of one and two workers: rendering and fitting.

    python benchmarks/plan.py

Fits are timed without the shared decoder, which is there already. Wants a machine on which nothing else runs.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path

from rodin.fan_out import Pool
from rodin.fit.subjects import fit_dataset
from rodin.plan.machine import Machine
from rodin.plan.measure import SAMPLES, SIZE, measure_machine
from rodin.plan.simulation import Chances, stage_seconds
from rodin.plan.tables import aligned
from rodin.plan.work import Stage, stages
from rodin.synth.generate import SynthConfig, generate
from rodin.train.presets import mini

VIEWS = 10
FIRST, LATER = 2, 12  # subjects
CHANCES = Chances(failures_per_hour=0.0)


def main() -> None:
    """Measure the machine, run, and print what was expected and what it took."""
    machine = measure_machine("here")
    rows = [("stage", "workers", "expected", "took", "took / expected")]
    with tempfile.TemporaryDirectory() as scratch:
        for workers in (1, 2):
            expected = by_name(replace(machine, cores=workers))
            data, run = Path(scratch) / f"data-{workers}", Path(scratch) / f"run-{workers}"
            config = SynthConfig(out=data, count=FIRST, views=VIEWS, size=SIZE, seed=1, heads="sdf", samples=SAMPLES)
            pool = Pool(workers=workers)
            generate(config, pool)
            longer = replace(config, count=FIRST + LATER)
            rows.append(row("synth", workers, expected, lambda c=longer, p=pool: generate(c, p)))
            first = Path(scratch) / f"first-{workers}"
            first.mkdir()
            for k in range(FIRST):
                (first / f"{k:05d}").symlink_to(data / f"{k:05d}")
            settings = mini().fitting
            quick = replace(settings, shared=replace(settings.shared, subjects=FIRST, common_steps=1, steps=1))
            fit_dataset(first, run, quick, pool, seed=0)
            rows.append(
                row("fit", workers, expected, lambda d=data, r=run, p=pool, q=quick: fit_dataset(d, r, q, p, seed=0))
            )
    print("\n".join(aligned(rows)))


def by_name(machine: Machine) -> dict[str, Stage]:
    """The stages of `LATER` subjects."""
    found = stages(mini(), machine, avatars=LATER, views=VIEWS, size=SIZE, samples=SAMPLES)
    return {stage.name: stage for stage in found} | {"machine": machine}  # type: ignore[dict-item]


def row(name: str, workers: int, expected: dict[str, Stage], run) -> tuple[str, ...]:  # type: ignore[no-untyped-def]
    """A stage, run."""
    began = time.perf_counter()
    run()
    took = time.perf_counter() - began
    hoped = stage_seconds(expected[name], expected["machine"], 1, CHANCES)  # type: ignore[arg-type]
    return name, f"{workers}", f"{hoped:.1f} s", f"{took:.1f} s", f"{took / hoped:.2f}"


if __name__ == "__main__":
    main()
