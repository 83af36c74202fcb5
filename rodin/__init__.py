"""Rodin: a generative model that sculpts 3D digital avatars with diffusion (Wang et al., arXiv 2212.06135).

World: right-handed, +y up, the avatar looks along +z, unit box [-1, 1]^3. See `docs/conventions.md`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rodin.avatars.avatar import Avatar
    from rodin.avatars.pipeline import RodinPipeline
    from rodin.camera import Camera

__version__ = "0.1.0"
__all__ = ["Avatar", "Camera", "RodinPipeline", "__version__"]

_HOMES = {"Avatar": "rodin.avatars.avatar", "Camera": "rodin.camera", "RodinPipeline": "rodin.avatars.pipeline"}


def __getattr__(name: str) -> Any:
    """Import the public classes on first use, so that `rodin --help` never pays for torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'rodin' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
