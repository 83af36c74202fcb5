"""Parts of a model on disk: a folder with `config.json` (the config dataclass) and `model.safetensors` (the weights).

This is the layout of a diffusers model folder's sub-folders. A part is an `nn.Module` built from ONE frozen config
dataclass, kept as `module.config`: `Decoder(config)`, `UNet(config)`, ...
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Protocol, TypeVar, Union, get_args, get_origin, get_type_hints

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from rodin import checksums
from rodin.errors import UserError, one_line, shown
from rodin.files import atomic_path, check_regular, read_json

#: Metadata of a config's field that is younger than published weights: at its default it changes no hash.
LATER: Mapping[str, bool] = {"later": True}
LARGEST = 1e15  # a number beyond is a mistake, or means to be one
CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"

Config = TypeVar("Config")
Part = TypeVar("Part", bound=nn.Module)


class Configured(Protocol):
    """A module that remembers the dataclass it was built from."""

    config: Any

    def state_dict(self) -> dict[str, torch.Tensor]: ...

    def load_state_dict(self, state_dict: Mapping[str, torch.Tensor]) -> object: ...


def config_from_dict(config_class: type[Config], values: Any, where: str) -> Config:
    """Build a config dataclass, nested ones included, from parsed JSON or YAML; `where` names the source in errors.

    Names in the class's `RETIRED` are fields of older files, which mean nothing any more.

    Raises:
        UserError: `values` is no mapping, or has missing, unknown or invalid fields.
    """
    if not isinstance(values, dict):
        raise UserError(
            f"{where}: expected the fields of {config_class.__name__}, found {type(values).__name__}; write it again"
        )
    retired = getattr(config_class, "RETIRED", ())
    values = {name: value for name, value in values.items() if name not in retired}
    fields = {field.name: field for field in dataclasses.fields(config_class)}  # type: ignore[arg-type]
    unknown = sorted(map(str, set(values) - set(fields)))
    required = {name for name, f in fields.items() if f.default is f.default_factory is dataclasses.MISSING}
    missing = sorted(required - set(values))
    if unknown or missing:
        found = [f"{kind} {', '.join(names)}" for kind, names in (("unknown", unknown), ("missing", missing)) if names]
        raise UserError(f"{where}: fields {' and '.join(found):.400}; mend them, or write it again with this version")
    kinds = get_type_hints(config_class)
    given: dict[str, Any] = {}
    for name, value in values.items():
        given[name] = _checked(tuple(value) if isinstance(value, list) else value, kinds[name], f"{where}: {name}")
    try:
        return config_class(**given)
    except (TypeError, ValueError) as error:
        raise UserError(f"{where}: {error}") from error


def _checked(value: Any, kind: Any, where: str) -> Any:
    """`value` if it is of a field's kind; a whole number, and YAML's text 1e-3, become the float that is wanted, a
    mapping the config dataclass."""
    arguments = get_args(kind)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return value if dataclasses.is_dataclass(value) else config_from_dict(kind, value, where)
    if get_origin(kind) in (Union, UnionType):  # of one kind and None
        return None if value is None else _checked(value, arguments[0], where)
    if get_origin(kind) is Literal:
        if value in arguments:
            return value
        raise UserError(f"{where} is {shown(value)}; choose one of {', '.join(map(str, arguments))}")
    if get_origin(kind) is tuple and isinstance(value, tuple):
        kinds = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
        if len(kinds) == len(value):
            return tuple(_checked(one, inner, where) for one, inner in zip(value, kinds, strict=True))
    elif kind is float and isinstance(value, (int, float, str)) and not isinstance(value, bool):
        with suppress(ValueError, OverflowError):
            if abs(found := float(value)) < LARGEST:  # nan is not
                return found
    elif kind is int and isinstance(value, int) and not isinstance(value, bool):
        if abs(value) < LARGEST:
            return value
    elif isinstance(kind, type) and isinstance(value, kind) and isinstance(value, bool) == (kind is bool):
        return value
    wanted = kind.__name__ if isinstance(kind, type) and not arguments else str(kind)
    numbers = " below 1e15" if kind in (int, float) else ""
    raise UserError(f"{where} is {shown(value)}; give a value of type {wanted}{numbers}")


def check_range(config: Any, low: int, high: int, *names: str) -> None:
    """Raise ValueError unless the named numbers of a config lie in low to high: what is built by them has a size."""
    for name in names:
        if not low <= getattr(config, name) <= high:
            raise ValueError(f"{name} must be {low} to {high}, got {getattr(config, name)}")


def check_finite(tensors: Mapping[str, torch.Tensor]) -> None:
    """Raise ValueError if one holds a number that is none."""
    for name, value in tensors.items():
        if value.is_floating_point() and not torch.isfinite(value.sum(dtype=torch.float64)):
            raise ValueError(f"{name} holds numbers that are not finite")


def save_component(module: Configured, folder: Path) -> None:
    """Write `module.config` and its weights to `folder`, whole or not at all."""
    with atomic_path(folder) as temporary:
        temporary.mkdir()
        text = json.dumps(dataclasses.asdict(module.config), indent=1)
        (temporary / CONFIG_NAME).write_text(text + "\n", encoding="utf-8")
        weights = {name: value.detach().contiguous().cpu() for name, value in module.state_dict().items()}
        save_file(weights, temporary / WEIGHTS_NAME)
        checksums.note(temporary)


def load_component(part_class: type[Part], config_class: type[Any], folder: Path) -> Part:
    """A part written by `save_component`, in eval mode, on the CPU.

    Its weights are mapped into memory, privately: what is not used is not read, and no change goes to the file.

    Raises:
        UserError: the folder or a file is missing, damaged, cut off, or of another schema.
    """
    folder = Path(folder)
    checksums.check(folder, [CONFIG_NAME, WEIGHTS_NAME])
    config = config_from_dict(config_class, read_json(folder / CONFIG_NAME), str(folder / CONFIG_NAME))
    module = unfilled(part_class, config)
    wanted = module.state_dict()
    weights = {
        name: value.to(wanted[name].dtype if name in wanted else value.dtype)
        for name, value in read_tensors(folder / WEIGHTS_NAME).items()
    }
    try:
        check_finite(weights)
        module.load_state_dict(weights, assign=True)
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"{folder / WEIGHTS_NAME}: does not fit {CONFIG_NAME} beside it ({one_line(error)}); train again"
        ) from error
    return module.eval()


def unfilled(part_class: type[Part], config: Any) -> Part:
    """A part that has shapes and no weights: no time for random numbers that nobody will see, and no memory for sizes
    that no file has."""
    with torch.device("meta"):
        return part_class(config)


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """All tensors of a safetensors file.

    Raises:
        UserError: the file is missing, cut off, or no safetensors file.
    """
    check_regular(path)
    try:
        return load_file(path)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; check the path") from error
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: not a whole safetensors file ({one_line(error)}); write it again") from error


def noted(config: Any) -> dict[str, Any]:
    """A config dataclass as a mapping, nested ones included, without what is LATER and at its default: what a program
    wrote or hashed before the field was there."""
    values = dataclasses.asdict(config)
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.metadata == LATER and value == field.default:
            del values[field.name]
        elif dataclasses.is_dataclass(value):
            values[field.name] = noted(value)
    return values


def module_hash(module: Configured) -> str:
    """sha256 (hex) of a module's config and weights: equal exactly when two modules compute the same function."""
    return weights_hash(module.state_dict(), json.dumps(noted(module.config), sort_keys=True))


def weights_hash(weights: Mapping[str, torch.Tensor], config: str = "") -> str:
    """sha256 (hex) of a module's weights, and of its config as text."""
    digest = hashlib.sha256(config.encode())
    for name, value in sorted(weights.items()):
        digest.update(f"\n{name} {value.dtype} {list(value.shape)}\n".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
