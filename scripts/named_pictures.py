"""What the scripts that draw the documentation's pictures share: their command line. No script by itself."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor

from rodin.avatars.pipeline import RodinPipeline

Pictures = Mapping[str, Callable[[RodinPipeline], Tensor]]


def draw_named(
    said: str | None, pictures: Pictures, out: Path, suffix: str, write: Callable[[Path, Tensor], None]
) -> None:
    """Draw the pictures that the command line names, or all.

    Args:
        said: of the script, for its help.
        pictures: by name, what draws each, [H, W, 3 or 4] in [0, 1].
        out: folder where the command line names none.
        suffix: of the files.
        write: writes one.
    """
    parser = argparse.ArgumentParser(description=said, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(pictures)}; all if left out")
    parser.add_argument("--model", type=Path, help="model folder")
    parser.add_argument("--out", type=Path, default=out, help="folder for the pictures")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.names) - set(pictures))
    if unknown:
        parser.error(f"no picture {', '.join(unknown)}; choose of {', '.join(pictures)}")
    pipe = RodinPipeline.from_pretrained(arguments.model)
    for name in arguments.names or pictures:
        path = arguments.out / f"{name}{suffix}"
        write(path, pictures[name](pipe))
        print(path, flush=True)
