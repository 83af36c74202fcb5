"""A machine as `rodin plan` knows it: how fast it does the work, in the units that the work is counted in.

`rodin plan --measure` writes one of the machine at hand; for others change the file, or measure there.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path

import yaml

from rodin.errors import UserError, one_line
from rodin.files import write_text
from rodin.parts import config_from_dict

HEADER = """# A machine for rodin plan. Measured by: rodin plan --measure
# network_mb_s and storage_mb_s cannot be measured from one machine: set them. price_per_hour too, in any currency.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """One node, and what many of them share.

    Args:
        name: for the reader.
        cores: that work at the same time.
        gpus: that train; 0 = the cores do.
        start_s: seconds until a process works, which imports torch or Blender first.
        subject_s: seconds in which a core builds a synthetic subject, before its first view.
        view_s: seconds in which a core renders a view of 128 x 128 pixels with 8 rays each, its material map too.
        fit_s: seconds of a core for a fit beside its steps: reading views, their hull, judging.
        fit_us: microseconds of a core for a ray of 96 bins in a step of a fit with mini's decoder, backward included.
        train_gflops: 10^9 operations a second that a training step makes on one device (a core, or a GPU).
        disk_mb_s: that the node writes to its own disk.
        network_mb_s: from one node to another.
        storage_mb_s: that the shared storage takes, from all nodes together.
        price_per_hour: of a node.
    """

    name: str
    cores: int
    gpus: int = 0
    start_s: float = 5.0
    subject_s: float
    view_s: float
    fit_s: float
    fit_us: float
    train_gflops: float
    disk_mb_s: float
    network_mb_s: float = 125.0
    storage_mb_s: float = 1000.0
    price_per_hour: float = 0.0

    def __post_init__(self) -> None:
        for name in ("cores", "subject_s", "view_s", "fit_us", "train_gflops", "disk_mb_s", "network_mb_s"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        if not self.storage_mb_s > 0:
            raise ValueError(f"storage_mb_s must be above 0, got {self.storage_mb_s}")
        for name in ("gpus", "start_s", "fit_s", "price_per_hour"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")

    @property
    def devices(self) -> int:
        """What trains: its GPUs, or its cores."""
        return self.gpus or self.cores


def read_machine(path: Path) -> Machine:
    """Read a file that `write_machine` wrote, perhaps changed since.

    Raises:
        UserError: it is missing or does not describe a machine.
    """
    try:
        values = yaml.safe_load(path.read_bytes())
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; make one with: rodin plan --measure --machine {path}") from error
    except (yaml.YAMLError, OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: not readable as YAML ({one_line(error)}); measure again") from error
    return config_from_dict(Machine, values, str(path))


def write_machine(path: Path, machine: Machine) -> None:
    """Write it as YAML, whole or not at all."""
    write_text(path, HEADER + yaml.safe_dump(dataclasses.asdict(machine), sort_keys=False))
