"""A plan for reading: what each stage takes, what holds it up, and what more nodes bring."""

from __future__ import annotations

from collections.abc import Sequence

from tqdm import tqdm

from rodin.plan.machine import Machine
from rodin.plan.simulation import Chances, stage_seconds
from rodin.plan.work import Stage

NODES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


def stage_table(stages: Sequence[Stage], machine: Machine, nodes: int, chances: Chances) -> list[str]:
    """What each stage takes on so many nodes."""
    seconds = [stage_seconds(stage, machine, nodes, chances) for stage in stages]
    whole = sum(seconds)
    rows = [
        (
            stage.name,
            hours(took),
            f"{100 * took / whole:.0f} %",
            size(_written(stage)),
            size(_moved(stage)),
            money(took, machine, nodes),
        )
        for stage, took in zip(stages, seconds, strict=True)
    ]
    total = ("all", hours(whole), "", size(sum(map(_written, stages))), size(sum(map(_moved, stages))),
             money(whole, machine, nodes))  # fmt: skip
    return aligned([("stage", "time", "share", "disk", "network", "price"), *rows, total])


def node_table(stages: Sequence[Stage], machine: Machine, chances: Chances, counts: Sequence[int] = NODES) -> list[str]:
    """How long 1 to 1 024 nodes take, how much of them works, and what holds them up."""
    rows = []
    alone = 0.0
    for nodes in tqdm(counts, desc="playing through", unit="count", leave=False):
        seconds = {stage.name: stage_seconds(stage, machine, nodes, chances) for stage in stages}
        whole = sum(seconds.values())
        alone = alone or whole * nodes
        longest = max(seconds, key=lambda name: seconds[name])
        share = f"{longest} ({100 * seconds[longest] / whole:.0f} %)"
        rows.append(
            (f"{nodes}", hours(whole), f"{100 * alone / (nodes * whole):.0f} %", share, money(whole, machine, nodes))
        )
    return aligned([("nodes", "time", "efficiency", "longest stage", "price"), *rows])


def bottleneck(stages: Sequence[Stage], machine: Machine, nodes: int, chances: Chances) -> str:
    """One line: what to make faster first."""
    seconds = {stage.name: stage_seconds(stage, machine, nodes, chances) for stage in stages}
    name = max(seconds, key=lambda one: seconds[one])
    stage = next(one for one in stages if one.name == name)
    if stage.kind == "steps":
        useful = min(nodes * machine.devices, stage.batch)
        why = f"training, on at most {useful} devices; a larger batch or faster devices help"
    elif stage.kind == "alone":
        why = "it is done on one core"
    else:
        moved = stage.count * (stage.read_bytes + stage.write_bytes) / (1e6 * machine.storage_mb_s)
        why = "the shared storage is too slow" if nodes > 1 and moved > 0.7 * seconds[name] else "more nodes help"
    return f"bottleneck: {name} ({why})"


def _written(stage: Stage) -> float:
    return stage.write_bytes * (stage.count if stage.kind == "tasks" else 1)


def _moved(stage: Stage) -> float:
    return (stage.read_bytes + stage.write_bytes) * (stage.count if stage.kind == "tasks" else 1)


def hours(seconds: float) -> str:
    """A time for reading."""
    for unit, length in (("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= (2 * length if unit == "days" else length):
            return f"{seconds / length:.3g} {unit}" if seconds / length < 1000 else f"{seconds / length:,.0f} {unit}"
    return f"{seconds:.0f} s"


def size(count: float) -> str:
    """Bytes for reading; a dash for none."""
    for unit, length in (("PB", 1e15), ("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= length:
            return f"{count / length:.3g} {unit}"
    return "-" if count <= 0 else f"{count / 1e3:.0f} kB"


def money(seconds: float, machine: Machine, nodes: int) -> str:
    """What so many nodes cost for so long; a dash where no price is known."""
    return f"{seconds / 3600 * nodes * machine.price_per_hour:,.0f}" if machine.price_per_hour else "-"


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of one length as lines, the columns under each other."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if not k else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
