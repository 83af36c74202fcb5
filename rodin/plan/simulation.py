"""How long many nodes take, played through: with stragglers, nodes that fail, and a storage that all share.

Tasks go to whatever node is free. A node that fails loses what it was doing, which another does again, and is back
after a while. What tasks write goes through the shared storage, one after another. Training steps wait for the slowest
device, then gradients go round the ring (Patarasuk & Yuan 2009); a failure costs what was trained since the checkpoint.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
import simpy

from rodin.plan.machine import Machine
from rodin.plan.work import GRADIENT_BYTES, Stage

MOST_TASKS = 20_000  # that are played through: more are put together
LATENCY_S = 1e-4  # of a message between two devices
INSIDE_MB_S = 2000.0  # between two devices of one node
STEPS_PLAYED = 200  # of a training, whose mean stands for all


@dataclass(frozen=True, kw_only=True, slots=True)
class Chances:
    """What goes wrong.

    Args:
        failures_per_hour: of one node.
        restart_s: until a node that failed works again.
        spread: standard deviation of the logarithm of how long the same work takes.
        checkpoint_s: between two checkpoints of a training.
        seed: of all draws.
    """

    failures_per_hour: float = 0.001
    restart_s: float = 300.0
    spread: float = 0.1
    checkpoint_s: float = 300.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("failures_per_hour", "restart_s", "spread", "checkpoint_s", "seed"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")


def stage_seconds(stage: Stage, machine: Machine, nodes: int, chances: Chances) -> float:
    """How long a stage takes on so many nodes."""
    if stage.kind == "alone":
        return stage.seconds + stage.read_bytes / _bytes(machine.storage_mb_s)
    if stage.kind == "steps":
        return _training_seconds(stage, machine, nodes, chances)
    return _tasks_seconds(stage, machine, nodes, chances)


def _bytes(megabytes: float) -> float:
    return 1e6 * megabytes


def _tasks_seconds(stage: Stage, machine: Machine, nodes: int, chances: Chances) -> float:
    """A task here is a small range of avatars on one node, whose cores share it."""
    ranges = min(math.ceil(stage.count / machine.cores), MOST_TASKS)  # a range keeps all cores busy
    each = stage.count / ranges
    busy = each * stage.seconds / min(machine.cores, max(each, 1.0))
    moved = each * (stage.read_bytes + stage.write_bytes)
    environment = simpy.Environment()
    storage = simpy.Resource(environment)
    draw = np.random.default_rng(chances.seed)
    todo = simpy.Store(environment)
    todo.items = list(range(ranges))
    left = ranges
    done = environment.event()

    def node() -> Generator[Any, Any, None]:
        nonlocal left
        yield environment.timeout(machine.start_s)
        while True:
            task = yield todo.get()
            takes = busy * draw.lognormal(-(chances.spread**2) / 2, chances.spread)
            until = draw.exponential(3600 / chances.failures_per_hour) if chances.failures_per_hour else math.inf
            if until < takes:
                yield environment.timeout(until)
                todo.put(task)
                yield environment.timeout(chances.restart_s)
                continue
            yield environment.timeout(takes)
            slowest = min(machine.network_mb_s, machine.storage_mb_s) if nodes > 1 else machine.disk_mb_s
            if nodes > 1:  # the storage serves all in turn, at its own rate
                with storage.request() as turn:
                    yield turn
                    yield environment.timeout(moved / _bytes(machine.storage_mb_s))
                yield environment.timeout(moved / _bytes(slowest) - moved / _bytes(machine.storage_mb_s))
            else:
                yield environment.timeout(moved / _bytes(slowest))
            left -= 1
            if not left:
                done.succeed()

    for _ in range(min(nodes, ranges)):
        environment.process(node())
    environment.run(until=done)
    return float(environment.now)


def _training_seconds(stage: Stage, machine: Machine, nodes: int, chances: Chances) -> float:
    """On as many devices as make it shortest: more than that stand still."""
    most = min(nodes * machine.devices, stage.batch)
    counts = sorted({most} | {2**k for k in range(11) if 2**k <= most})
    return min(_steps_seconds(stage, machine, devices, chances) for devices in counts)


def _steps_seconds(stage: Stage, machine: Machine, devices: int, chances: Chances) -> float:
    draw = np.random.default_rng(chances.seed)
    shares = stage.seconds / devices * draw.lognormal(-(chances.spread**2) / 2, chances.spread, (STEPS_PLAYED, devices))
    nodes = math.ceil(devices / machine.devices)
    rate = _bytes(machine.network_mb_s if nodes > 1 else INSIDE_MB_S)
    ring = 2 * (devices - 1) * (stage.parameters * GRADIENT_BYTES / devices / rate + LATENCY_S)
    whole = stage.count * (float(shares.max(axis=1).mean()) + ring)
    lost = nodes * chances.failures_per_hour / 3600 * (chances.checkpoint_s / 2 + chances.restart_s)
    return whole / max(1 - lost, 1e-3) + stage.read_bytes / _bytes(machine.storage_mb_s)
