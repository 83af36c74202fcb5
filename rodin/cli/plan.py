"""`rodin plan`: what a run will cost, before it is started."""

from __future__ import annotations

from pathlib import Path

DEFAULT_MACHINE = Path("machine.yaml")


def plan(
    avatars: int = 5000,
    views: int = 24,
    size: int = 128,
    samples: int = 8,
    preset: str = "mini",
    nodes: int = 1,
    batch: int = 1,
    machine: Path = DEFAULT_MACHINE,
    measure: bool = False,
    failures: float = 0.001,
    spread: float = 0.1,
    seed: int = 0,
) -> None:
    """Print what a run will take: time, disk, network and price of each stage, and what more nodes bring.

    First describe the machine: rodin plan --measure, which takes a minute or two and writes machine.yaml. Network,
    shared storage and price are yours to set there. What 1 to 1 024 such nodes take is played through, with stragglers,
    failures and a storage that all share.

    Args:
        avatars: Number of subjects.
        views: Images of each.
        size: Edge of an image in pixels.
        samples: Rays per pixel.
        preset: smoke, mini, mini-gpu, paper, or a YAML file.
        nodes: Nodes that the first table is for.
        batch: Samples of a training step on all devices together, where the preset has fewer. The networks see as many
            samples in fewer steps; more devices than samples are of no use.
        machine: The file that describes a node.
        measure: Measure this machine and write MACHINE, before anything is planned.
        failures: Failures of one node in an hour.
        spread: How much the same work varies: standard deviation of the logarithm of its time.
        seed: Of what is drawn.
    """
    from rodin.errors import UserError
    from rodin.plan.machine import read_machine, write_machine
    from rodin.plan.simulation import Chances
    from rodin.plan.tables import bottleneck, node_table, stage_table
    from rodin.plan.work import stages
    from rodin.train.presets import load_preset

    counts = {"avatars": avatars, "views": views, "size": size, "samples": samples, "nodes": nodes, "batch": batch}
    for name, value in counts.items():
        if value < 1:
            raise UserError(f"--{name}: {value}; choose 1 or more")
    try:
        chances = Chances(failures_per_hour=failures, spread=spread, seed=seed)
    except ValueError as error:
        raise UserError(f"--failures, --spread, --seed: {error}") from error
    settings = load_preset(preset)
    if measure:
        from rodin.plan.measure import check_blender, measure_machine

        check_blender()
        write_machine(machine, measure_machine())
        print(f"machine: {machine}")
    node = read_machine(machine)
    work = stages(settings, node, avatars, views, size, samples, batch=batch)
    print(f"{avatars:,} avatars x {views} views of {size} x {size} pixels, {preset}; {nodes} x {node.name}\n")
    print("\n".join(stage_table(work, node, nodes, chances)))
    print(bottleneck(work, node, nodes, chances) + "\n")
    print("\n".join(node_table(work, node, chances)))
