"""An avatar: tri-planes and the decoder that reads them, in one self-contained file.

`NAME.rodin.safetensors` holds the planes (fp16), with materials the palette, the decoder's and the refiner's weights,
the latent z and the noise that the avatar was drawn from, and in its metadata their configs, how it was drawn and the
hash of the model.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from rodin import checksums, triplane
from rodin.avatars.avatar_file import SUFFIX as SUFFIX
from rodin.avatars.avatar_file import check_is_there
from rodin.avatars.drawing import Drawing
from rodin.avatars.material_map import painted_map
from rodin.avatars.mesh import Mesh, extract_mesh
from rodin.avatars.surface_colours import seen_along_normals
from rodin.camera import Camera, around, camera_at
from rodin.errors import UserError, one_line, shown
from rodin.files import atomic_path, check_regular, check_schema, parse_json
from rodin.images import check_colours
from rodin.materials import MATERIALS
from rodin.models.clip import LATENT_DIM
from rodin.models.refiner import Refiner, RefinerConfig
from rodin.models.refiner import refine as refined_image
from rodin.parts import check_finite, config_from_dict, unfilled
from rodin.render.decoder import Decoder, DecoderConfig
from rodin.render.materials import check_palette, paint
from rodin.render.rays import grid_points
from rodin.render.renderer import SAMPLES, Renderer

SCHEMA = "rodin-avatar-4"
OLDER_SCHEMAS = ("rodin-avatar-3", "rodin-avatar-2")  # read too: they have no palettes
FLAT_SCHEMA = "rodin-avatar-2"  # its drawing has the sampling's fields, by other names, beside its own
LOOK_SIZE = 48  # pixels of the views that tell which materials an avatar has
MESH_DENSITY = 8.0  # 1 / world units, where meshes have their surface: their outlines fit the pictures' best
SHOWN = 1e-3  # of their pixels that a material must have the largest share of


@dataclass(frozen=True)
class Avatar:
    """A head-and-shoulders avatar in the box [-1, 1]^3, +y up, looking along +z.

    Args:
        planes: [3, C, H, W]; kept at the precision of the file, so that a saved avatar renders as it did.
        decoder: reads them.
        refiner: sharpens what is rendered.
        latent: [512] of unit length.
        noise: [3, C, h, w] x_T of the base model.
        drawing: how it was drawn from latent and noise.
        model_hash: of the model that drew it.
        palette: [K, 3] colours of its materials, sRGB in [0, 1], lit as it is; None if its decoder has none.

    Raises:
        ValueError: planes, noise or palette are of a shape that does not fit, or a colour is out of range.
    """

    planes: Tensor
    decoder: Decoder
    refiner: Refiner
    latent: Tensor
    noise: Tensor
    drawing: Drawing
    model_hash: str
    palette: Tensor | None = None

    def __post_init__(self) -> None:
        triplane.check_planes(self.planes, leading=0)
        triplane.check_planes(self.noise, leading=0)
        check_palette(self.palette, self.decoder.config.materials)
        if self.palette is not None:
            check_colours(self.palette)
        object.__setattr__(self, "planes", self.planes.half().float())

    @cached_property
    def renderer(self) -> Renderer:
        """Set up once; every view after that is cheap. Without haze."""
        return Renderer.trimmed(self.planes, self.decoder, self.palette)

    def materials_shown(self) -> set[str]:
        """The materials that can be seen of it from around; none where its decoder has none."""
        if self.palette is None:
            return set()
        sides = around(4, size=LOOK_SIZE)
        seen = self.renderer.render(sides, SAMPLES)
        largest = seen.shares[seen.alpha > 0.5].argmax(dim=-1)
        counts = torch.bincount(largest, minlength=len(MATERIALS))
        return {name for name, count in zip(MATERIALS, counts.tolist(), strict=True) if count > SHOWN * len(largest)}

    def recoloured(self, colours: Mapping[str, Sequence[float]]) -> Avatar:
        """The same avatar with other colours of some materials. No network runs, and where a material has no share
        nothing changes.

        Args:
            colours: sRGB in [0, 1] by the name of a material, one of `rodin.materials.MATERIALS`.

        Raises:
            UserError: a name is unknown, a colour is out of range, or the avatar has no materials.
        """
        if self.palette is None:
            raise UserError(
                "this avatar has no materials, its colours are part of its shape; generate one by a model that has, or "
                "change it by words: rodin edit AVATAR --text 'with red hair'"
            )
        palette = self.palette.clone()
        for name, colour in colours.items():
            if name not in MATERIALS:
                raise UserError(f"colours: {shown(name)} is no material; choose from {', '.join(MATERIALS)}")
            if len(colour) != 3 or not all(0 <= value <= 1 for value in colour):
                raise UserError(f"colours: {name} is {tuple(colour)}; give red, green and blue from 0 to 1")
            palette[MATERIALS.index(name)] = torch.tensor(colour)
        other = dataclasses.replace(self, palette=palette)
        if "renderer" in self.__dict__:  # which took a moment to set up, and of which only the palette changes
            other.__dict__["renderer"] = self.renderer.repainted(palette)
        return other

    def render(self, camera: Camera, samples: int = SAMPLES, refine: bool = False) -> Tensor:
        """Images [..., H, W, 4], straight RGBA in [0, 1], from a camera or a batch of cameras.

        Args:
            samples: bins a ray.
            refine: render smaller by the refiner's scale, and let the refiner enlarge it to the camera's size. Sharper;
                views from different sides agree less.
        """
        if refine:
            return refined_image(self.refiner, self.renderer, camera, samples)
        return self.renderer.image(camera, samples)[0]

    def portrait(self, size: int = 256, refine: bool = False) -> Tensor:
        """The frontal view [size, size, 4], straight RGBA in [0, 1]."""
        return self.render(camera_at(size=size), refine=refine)

    def turntable(
        self,
        frames: int = 36,
        size: int = 192,
        elevation_deg: float = 8.0,
        refine: bool = False,
        callback_on_frame_end: Callable[[], None] | None = None,
    ) -> Tensor:
        """Views from all around, [frames, size, size, 4], starting in front.

        Args:
            callback_on_frame_end: called after each; what it raises ends the rest.
        """
        cameras, views = around(frames, elevation_deg, size=size), []
        for index in range(frames):
            views.append(self.render(cameras[index], refine=refine))
            if callback_on_frame_end is not None:
                callback_on_frame_end()
        return torch.stack(views)

    def material_map(self, camera: Camera, samples: int = SAMPLES) -> Tensor:
        """What is where, [..., H, W, 4] straight RGBA in [0, 1], from a camera or a batch of cameras: every material in
        its colour of `MAP_COLOURS`, mixed by its share.

        Raises:
            UserError: the avatar has no materials.
        """
        if self.palette is None:
            raise UserError(
                "this avatar has no materials to show; generate one by a model that has, or render it plainly"
            )
        seen = self.renderer.render(camera, samples)
        return painted_map(seen.shares, seen.alpha)

    def plane_picture(self) -> Tensor:
        """The planes themselves, rolled out side by side (Rodin, Sec. 3.2), as a picture [H, 3W, 3] in [0, 1].

        Red, green and blue are the three directions in which the features vary most, each stretched over its middle
        98 %.
        """
        rolled = triplane.roll_out(self.planes)  # [C, H, 3W]
        values = rolled.flatten(1).t()
        values = values - values.mean(dim=0)
        directions = torch.linalg.eigh(values.t() @ values).eigenvectors.flip(1)[:, :3]
        shown = values @ directions  # [3HW, up to 3]
        shown = torch.nn.functional.pad(shown, (0, 3 - shown.shape[1]))
        low, high = (shown.quantile(share, dim=0) for share in (0.01, 0.99))
        stretched = (shown - low) / (high - low).clamp_min(1e-9)
        return stretched.clamp(0, 1).unflatten(0, rolled.shape[1:])

    def mesh(self, resolution: int = 128, threshold: float = MESH_DENSITY) -> Mesh:
        """The surface where density crosses `threshold` (1 / world units), one body without pits, with colours as rays
        against its normals see them; of an avatar with materials also what they are mixed of.

        Args:
            resolution: grid points along each side of the box.
        """
        density = self.renderer.field.density(grid_points(resolution, self.planes).reshape(-1, 3))
        seen = []

        def colour(points: Tensor, normals: Tensor) -> Tensor:
            seen.append(seen_along_normals(self.renderer, points, normals))
            return seen[-1] if self.palette is None else paint(seen[-1], self.palette)

        mesh = extract_mesh(density.reshape((resolution,) * 3), colour, threshold, fill=True)
        if self.palette is None:
            return mesh
        return dataclasses.replace(mesh, emitted=torch.cat(seen).cpu(), palette=self.palette.cpu())

    def save(self, path: Path) -> None:
        """Write the avatar to one file, whole or not at all."""
        facts = {
            "schema": SCHEMA,
            "drawing": json.dumps(dataclasses.asdict(self.drawing)),
            "model_hash": self.model_hash,
        }
        tensors = {"planes": self.planes.half(), "latent": self.latent, "noise": self.noise.half()}
        if self.palette is not None:
            tensors["palette"] = self.palette
        for name, part in (("decoder", self.decoder), ("refiner", self.refiner)):
            facts[name] = json.dumps(dataclasses.asdict(part.config))
            tensors.update({f"{name}.{key}": value for key, value in part.state_dict().items()})
        with atomic_path(Path(path)) as temporary:
            save_file({key: value.contiguous() for key, value in tensors.items()}, temporary, metadata=facts)
            checksums.seal(temporary)

    @staticmethod
    def load(path: Path) -> Avatar:
        """Read an avatar's file.

        Raises:
            UserError: it is missing, cut off, or no avatar of this version.
        """
        path = Path(path)
        check_is_there(path)
        check_regular(path)
        try:
            with safe_open(path, framework="pt") as file:
                facts = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        except (SafetensorError, OSError) as error:
            raise UserError(
                f"{path}: not a whole avatar file ({one_line(error)}); copy or generate it again"
            ) from error
        try:
            checksums.check_seal(path, facts)
        except ValueError as error:
            raise UserError(f"{path}: a damaged avatar file ({error}); copy or generate it again") from error
        schema = facts.get("schema", "none")
        check_schema(path, schema, [SCHEMA, *OLDER_SCHEMAS], "generate it again")
        try:
            check_finite(tensors)
            decoder = unfilled(Decoder, config_from_dict(DecoderConfig, parse_json(facts["decoder"]), "decoder"))
            refiner = unfilled(Refiner, config_from_dict(RefinerConfig, parse_json(facts["refiner"]), "refiner"))
            for name, part in (("decoder.", decoder), ("refiner.", refiner)):
                own = {k.removeprefix(name): v.float() for k, v in tensors.items() if k.startswith(name)}
                part.load_state_dict(own, assign=True)
                part.requires_grad_(False).eval()
            if tensors["latent"].shape != (LATENT_DIM,):
                raise ValueError(f"latent {list(tensors['latent'].shape)}, not [{LATENT_DIM}]")
            for name, shape in (("planes", tensors["planes"].shape), ("noise", tensors["noise"].shape)):
                if len(shape) != 4 or shape[1] != decoder.config.channels:
                    raise ValueError(f"{name} {list(shape)} for {decoder.config.channels} channels")
            return Avatar(
                tensors["planes"].float(),
                decoder,
                refiner,
                tensors["latent"],
                noise=tensors["noise"].float(),
                drawing=config_from_dict(Drawing, _nested(parse_json(facts["drawing"]), schema), "drawing"),
                model_hash=facts["model_hash"],
                palette=tensors.get("palette"),
            )
        except (KeyError, ValueError, RuntimeError) as error:
            raise UserError(f"{path}: a damaged avatar file ({one_line(error)}); generate it again") from error


def _nested(drawing: Any, schema: str) -> Any:
    """A drawing as this version writes it, of one in an older file."""
    if not isinstance(drawing, dict):
        return drawing
    drawing = {"literal": bool(drawing.get("prompt")), **drawing}  # all prompts were read so before it was noted
    if schema == FLAT_SCHEMA:
        drawing = {"steps" if name == "num_inference_steps" else name: value for name, value in drawing.items()}
        own = {name: drawing.pop(name) for name in ("seed", "prompt", "literal", "refine") if name in drawing}
        drawing = {**own, "sampling": drawing}
    sampling = drawing.get("sampling")
    # Before there was an emphasis nothing was emphasised.
    return {**drawing, "sampling": {"emphasis": 0.0, **sampling}} if isinstance(sampling, dict) else drawing
