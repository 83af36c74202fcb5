"""The native library: found beside this file, checked, and asked for the best instruction level of this CPU.

    kernels = load()
    if kernels is None:
        ...                      # PyTorch
    else:
        kernels.functions.rodin_...(kernels.number, ...)

RODIN_KERNELS          avx512, avx2, baseline: this level and no other; off: PyTorch alone; unset: the best level
RODIN_KERNELS_LIBRARY  another library file, such as one built with sanitizers
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from rodin.errors import UserError

ABI = 4  # of the C interface: RODIN_ABI in native/api.h
LEVELS = ("baseline", "avx2", "avx512")  # least first, numbered from 0 as in native/dispatch.cpp
OFF = "off"
LEVEL_VARIABLE = "RODIN_KERNELS"
LIBRARY_VARIABLE = "RODIN_KERNELS_LIBRARY"
REMEDY = "install g++ (Debian: apt install g++) and install rodin again from source (pip: --no-binary rodin-avatars)"


@dataclass(frozen=True)
class Kernels:
    """The native functions, and the instruction level to call them with.

    Args:
        functions: the loaded library. Whoever calls one of its functions sets that function's argument types.
        level: one of LEVELS.
    """

    functions: ctypes.CDLL
    level: str

    @property
    def number(self) -> int:
        """The level as the C interface counts it."""
        return LEVELS.index(self.level)


def load() -> Kernels | None:
    """The native library by what the environment says now; None = use PyTorch.

    Where it was never built, the first call says so on stderr.

    Raises:
        UserError: the environment asks for what is not there, or the library is not of this version of rodin.
    """
    wanted = _wanted()
    functions = None if wanted == OFF else _functions(_path())
    if functions is None:
        if wanted in LEVELS:
            raise UserError(f"{LEVEL_VARIABLE}: {wanted}, but the native kernels are not built; {REMEDY}")
        if wanted != OFF:
            _say_absent()
        return None
    supported = _supported(functions)
    if wanted and wanted not in supported:
        there = ", ".join((*supported, OFF))
        raise UserError(f"{LEVEL_VARIABLE}: {wanted}, which this CPU lacks; choose one of {there}, or unset it")
    return Kernels(functions, wanted or supported[-1])


def levels() -> tuple[str, ...]:
    """The levels that library and CPU both have, least first, whether switched off or not; none where it is not built.

    Raises:
        UserError: the library is not of this version of rodin.
    """
    functions = _functions(_path())
    return () if functions is None else _supported(functions)


def why_not() -> str | None:
    """Why no native code is used, as part of a sentence; None where it is.

    Raises:
        UserError: as `load`.
    """
    if _wanted() == OFF:
        return f"switched off by {LEVEL_VARIABLE}={OFF}"
    if _functions(_path()) is None:
        return f"not built; {REMEDY}"
    return None


def _wanted() -> str:
    """What RODIN_KERNELS says; "" = the best level."""
    wanted = os.environ.get(LEVEL_VARIABLE, "")
    if wanted and wanted not in (*LEVELS, OFF):
        raise UserError(f"{LEVEL_VARIABLE}: {wanted!r}; choose one of {', '.join((*LEVELS, OFF))}, or unset it")
    return wanted


def _path() -> Path:
    """Where the library should be."""
    named = os.environ.get(LIBRARY_VARIABLE)
    if not named:
        return Path(__file__).with_name("librodin_native.so")
    if not Path(named).is_file():
        raise UserError(f"{LIBRARY_VARIABLE}: {named}: no such file; name a built library, or unset it")
    return Path(named).absolute()


@cache
def _functions(path: Path) -> ctypes.CDLL | None:
    """The library in a file, of this version; None without the file."""
    if not path.is_file():
        return None
    try:
        functions = ctypes.CDLL(str(path))
        found = functions.rodin_abi()
    except (OSError, AttributeError) as error:  # AttributeError: no such function
        raise UserError(f"{path}: not a library of native kernels ({error}); install rodin again") from error
    if found != ABI:
        raise UserError(f"{path}: its interface is {found}, this version of rodin has {ABI}; install rodin again")
    return functions


def _supported(functions: ctypes.CDLL) -> tuple[str, ...]:
    return tuple(level for number, level in enumerate(LEVELS) if functions.rodin_level_supported(number))


@cache
def _say_absent() -> None:
    """Say it once: not at every call, and not in every worker process."""
    if multiprocessing.parent_process() is None:
        print(
            "rodin: the native kernels are not built; PyTorch does their work, slower (see: rodin doctor)",
            file=sys.stderr,
        )
