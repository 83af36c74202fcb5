"""An avatar: tri-planes and the decoder that reads them, in one self-contained file.

`NAME.rodin.safetensors` holds the planes (fp16), the decoder's weights, the latent z, and in its metadata the decoder's
config, the seed and the hash of the model that made it.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from rodin import triplane
from rodin.camera import Camera, orbit
from rodin.component import config_from_dict
from rodin.decoder import Decoder, DecoderConfig
from rodin.errors import UserError
from rodin.files import atomic_path
from rodin.mesh import Mesh, extract_mesh
from rodin.render import Occupancy, grid_points, render_image

SCHEMA = "rodin-avatar-1"
SUFFIX = ".rodin.safetensors"
POINTS_PER_CHUNK = 2**17


@dataclass(frozen=True)
class Avatar:
    """A head-and-shoulders avatar in the box [-1, 1]^3, +y up, looking along +z.

    Args:
        planes: [3, C, H, W]; kept at the precision of the file, so that a saved avatar renders as it did.
        decoder: reads them.
        latent: [512] of unit length, zeros if the avatar was drawn without a condition.
        seed: that it was drawn with.
        model_hash: of the model that made it.
    """

    planes: Tensor
    decoder: Decoder
    latent: Tensor
    seed: int
    model_hash: str

    def __post_init__(self) -> None:
        triplane.check_planes(self.planes, leading=0)
        object.__setattr__(self, "planes", self.planes.half().float())

    @cached_property
    def occupancy(self) -> Occupancy:
        """Where there is matter; found once, it makes every rendering several times faster."""
        return Occupancy.measure(self.planes, self.decoder)

    def render(self, camera: Camera, samples: int = 128) -> Tensor:
        """Images [..., H, W, 4], straight RGBA in [0, 1], from a camera or a batch of cameras."""
        return render_image(self.planes, self.decoder, camera, samples, self.occupancy)[0]

    def portrait(self, size: int = 256) -> Tensor:
        """The frontal view [size, size, 4], straight RGBA in [0, 1]."""
        return self.render(orbit([0.0], [2.0], size=size)[0])

    def turntable(self, frames: int = 36, size: int = 192, elevation_deg: float = 8.0) -> Tensor:
        """Views from all around, [frames, size, size, 4], starting in front."""
        azimuths = [360.0 * k / frames for k in range(frames)]
        return self.render(orbit(azimuths, [elevation_deg] * frames, size=size))

    @torch.no_grad()
    def mesh(self, resolution: int = 128, threshold: float = 15.0) -> Mesh:
        """The surface where density crosses `threshold` (1 / world units), with colours as seen from outside.

        Args:
            resolution: grid points along each side of the box.
        """
        points = grid_points(resolution, self.planes).reshape(-1, 3)
        pieces = [self.decoder.density_of(triplane.sample(self.planes, p)) for p in points.split(POINTS_PER_CHUNK)]
        return extract_mesh(torch.cat(pieces).reshape((resolution,) * 3), self._surface_colour, threshold)

    def _surface_colour(self, points: Tensor) -> Tensor:
        """sRGB [M, 3] of surface points [M, 3], each as seen from outside along its radius: a mesh has one colour a
        vertex, whatever the direction."""
        inward = -torch.nn.functional.normalize(points, dim=-1)
        return self.decoder(triplane.sample(self.planes, points), inward)[1]

    def save(self, path: Path) -> None:
        """Write the avatar to one file, whole or not at all."""
        weights = {f"decoder.{name}": value.contiguous() for name, value in self.decoder.state_dict().items()}
        facts = {
            "schema": SCHEMA,
            "decoder": json.dumps(dataclasses.asdict(self.decoder.config)),
            "seed": str(self.seed),
            "model_hash": self.model_hash,
        }
        tensors = {"planes": self.planes.half().contiguous(), "latent": self.latent.contiguous(), **weights}
        with atomic_path(Path(path)) as temporary:
            save_file(tensors, temporary, metadata=facts)

    @staticmethod
    def load(path: Path) -> Avatar:
        """Read an avatar's file.

        Raises:
            UserError: it is missing, cut off, or no avatar of this version.
        """
        path = Path(path)
        if not path.is_file():
            raise UserError(f"{path}: no such file; give an avatar ({SUFFIX}) that rodin generate wrote")
        try:
            with safe_open(path, framework="pt") as file:
                facts = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        except (SafetensorError, OSError) as error:
            raise UserError(f"{path}: not a whole avatar file ({error}); copy or generate it again") from error
        if facts.get("schema") != SCHEMA:
            found = facts.get("schema", "none")
            raise UserError(f"{path}: schema is {found!r}, this version reads {SCHEMA!r}; generate it again")
        try:
            decoder = Decoder(config_from_dict(DecoderConfig, json.loads(facts["decoder"]), str(path)))
            prefix = "decoder."
            weights = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
            decoder.load_state_dict(weights)
            if tensors["planes"].ndim != 4 or tensors["planes"].shape[1] != decoder.config.channels:
                raise ValueError(f"planes {list(tensors['planes'].shape)} for {decoder.config.channels} channels")
            return Avatar(
                tensors["planes"].float(),
                decoder.requires_grad_(False).eval(),
                tensors["latent"],
                int(facts["seed"]),
                facts["model_hash"],
            )
        except (KeyError, ValueError, RuntimeError) as error:  # RecursionError is a RuntimeError
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"{path}: a damaged avatar file ({reason}); generate it again") from error
