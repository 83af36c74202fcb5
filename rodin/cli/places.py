"""What commands that fan out have in common: folders that may be URLs, and who does the work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import tyro

from rodin.storage import Place, as_place

if TYPE_CHECKING:  # processes are for commands that start some
    from rodin.fan_out import Engine

Somewhere = Annotated[
    Any,  # a Place
    tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="PATH|URL",
        instance_from_str=lambda words: as_place(words[0]),
        is_instance=lambda value: isinstance(value, Place),
        str_from_instance=lambda value: [str(value)],
    ),
]


def engine(workers: int, ray: str | None, task_gpus: float = 0.0) -> Engine:
    """Processes of this machine, or the nodes of a Ray cluster where one is named.

    Raises:
        UserError: a number is out of range.
    """
    from rodin.fan_out import Pool, Ray

    pool = Pool(workers=workers)
    return pool if ray is None else Ray(address=ray, gpus=task_gpus)
