"""The C structures of native/api.h, and how tensors go into them. A structure points into tensors that the caller must
keep alive while it is used."""

from __future__ import annotations

from ctypes import POINTER, Structure, c_double, c_float, c_int, c_int32, c_int64, c_void_p
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from rodin.kernels.loader import Kernels, load

PAD = 16  # channels and hidden units are padded to a multiple of this


class CDecoder(Structure):
    """RodinDecoder."""

    _fields_ = (
        ("channels", c_int32),
        ("hidden", c_int32),
        ("frequencies", c_int32),
        ("colour_layers", c_int32),
        ("colours", c_int32),
        ("materials", c_int32),
        ("softplus", c_int32),
        ("view", c_int32),
        ("density_shift", c_float),
        ("density_scale", c_float),
        ("parameters", c_void_p),
    )


class CPlanes(Structure):
    """RodinPlanes."""

    _fields_ = (
        ("values", c_void_p),
        ("height", c_int32),
        ("width", c_int32),
        ("stride", c_int32),
        ("folded", c_int32),
    )


class CRays(Structure):
    """RodinRays."""

    _fields_ = (
        ("origins", c_void_p),
        ("directions", c_void_p),
        ("near", c_void_p),
        ("far", c_void_p),
        ("jitter", c_void_p),
        ("bins", c_void_p),
        ("distance", c_void_p),
        ("count", c_int64),
        ("samples", c_int32),
        ("cells", c_int32),
        ("grow", c_int32),
    )


class CResize(Structure):
    """RodinResize."""

    _fields_ = (("starts", c_void_p), ("weights", c_void_p), ("size", c_int32), ("taps", c_int32))


class CFit(Structure):
    """RodinFit."""

    _fields_ = (
        ("planes", c_void_p),
        ("first", c_void_p),
        ("second", c_void_p),
        ("height", c_int32),
        ("width", c_int32),
        ("stride", c_int32),
        ("rows", POINTER(CResize)),
        ("columns", POINTER(CResize)),
        ("noise", c_void_p),
        ("targets", c_void_p),
        ("shares", c_void_p),
        ("outside", c_void_p),
        ("points", c_int64),
        ("outside_step", c_float),
        ("sparse", c_float),
        ("smooth", c_float),
        ("compact", c_float),
        ("empty", c_float),
        ("share", c_float),
        ("residual", c_float),
        ("shade", c_float),
        ("learning_rate", c_float),
        ("decoder_learning_rate", c_float),
        ("palette_learning_rate", c_float),
        ("beta1", c_float),
        ("beta2", c_float),
        ("epsilon", c_float),
        ("plane_step", c_int64),
        ("decoder_step", c_int64),
        ("palette_step", c_int64),
        ("decoder_first", c_void_p),
        ("decoder_second", c_void_p),
        ("decoder_parameters", c_void_p),
        ("palette", c_void_p),
        ("palette_first", c_void_p),
        ("palette_second", c_void_p),
        ("plane_gradient", c_void_p),
        ("decoder_gradient", c_void_p),
        ("palette_gradient", c_void_p),
    )


class CMaps(Structure):
    """RodinMaps."""

    _fields_ = (
        ("count", c_int64),
        ("height", c_int32),
        ("width", c_int32),
        ("channels", c_int32),
        ("bfloat16", c_int32),
    )


class CNorm(Structure):
    """RodinNorm."""

    _fields_ = (("groups", c_int32), ("silu", c_int32), ("eps", c_float))


ARGUMENTS = {
    "rodin_decode": (
        c_int,
        POINTER(CDecoder),
        POINTER(CPlanes),
        c_void_p,
        c_void_p,
        c_int64,
        c_int,
        c_void_p,
        c_void_p,
    ),
    "rodin_render": (
        c_int,
        POINTER(CDecoder),
        POINTER(CPlanes),
        POINTER(CPlanes),
        POINTER(CRays),
        c_float,
        c_float,
        c_int,
        c_void_p,
        c_void_p,
    ),
    "rodin_backward": (c_int, POINTER(CDecoder), POINTER(CPlanes), POINTER(CRays), c_void_p, c_void_p),
    "rodin_bins": (c_int, POINTER(CRays), c_int, c_void_p),
    "rodin_fit": (c_int, POINTER(CDecoder), POINTER(CRays), POINTER(CFit)),
    "rodin_add_lines": (c_int, POINTER(CMaps), c_int, c_void_p, c_void_p, c_void_p),
    "rodin_sum_lines": (c_int, POINTER(CMaps), c_int, c_void_p, c_void_p, c_void_p, c_float, c_float),
    "rodin_pad_edges": (c_int, POINTER(CMaps), c_int, c_void_p, c_void_p),
    "rodin_unpad_edges": (c_int, POINTER(CMaps), c_int, c_void_p, c_void_p, c_void_p, c_void_p),
    "rodin_norm": (c_int, POINTER(CMaps), POINTER(CNorm), c_int, *6 * (c_void_p,)),
    "rodin_norm_gradient": (c_int, POINTER(CMaps), POINTER(CNorm), c_int, *9 * (c_void_p,)),
    "rodin_distance": (c_void_p, c_int, c_void_p),
}


def native() -> Kernels | None:
    """The native kernels with their functions' types set, or None where PyTorch must do."""
    kernels = load()
    if kernels is not None:
        _declare(kernels)
    return kernels


def kernels() -> Kernels:
    """The native library with its functions' types set, where `native` said that there is one."""
    found = native()
    assert found is not None
    return found


@cache
def _declare(kernels: Kernels) -> None:
    for name, arguments in ARGUMENTS.items():
        function = getattr(kernels.functions, name)
        function.argtypes, function.restype = arguments, None
    kernels.functions.rodin_fit.restype = c_double


def address(tensor: Tensor, dtype: torch.dtype = torch.float32) -> int:
    """Where a contiguous CPU tensor's numbers lie."""
    if tensor.dtype != dtype or tensor.device.type != "cpu" or not tensor.is_contiguous():
        raise ValueError(f"expected contiguous {dtype} on the CPU, got {tensor.dtype} on {tensor.device}")
    return tensor.data_ptr()


def channels_last(planes: Tensor) -> Tensor:
    """[3, C, H, W] -> [3, H, W, C], C padded with zeros to a multiple of PAD."""
    return F.pad(planes.detach().permute(0, 2, 3, 1), (0, -planes.shape[1] % PAD)).contiguous()


def channels_first(values: Tensor, channels: int) -> Tensor:
    """The inverse of `channels_last`."""
    return values[..., :channels].permute(0, 3, 1, 2).contiguous()


def describe_planes(values: Tensor, folded: bool = False) -> CPlanes:
    """Planes [3, H, W, stride]; folded: values of the hidden layer before its bias."""
    _, height, width, stride = values.shape
    return CPlanes(address(values), height, width, stride, folded=int(folded))
