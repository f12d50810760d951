"""Functions of this package compiled by Numba for arguments of given types, and kept on disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
from numba.extending import intrinsic

from fly64dask.reconstruction.lsqml.steps.compiled.kernel_folder import kept_in_folder

Kernel = TypeVar("Kernel", bound=Callable[..., object])

# Types as Numba writes them: float32, contiguous float32 of one to four axes, exposures, sums in double precision.
F, F1, F2, F3, F4 = "f4", "f4[::1]", "f4[:,::1]", "f4[:,:,::1]", "f4[:,:,:,::1]"
I0, I1, I2, D1 = "i8", "i8[::1]", "i8[:,::1]", "f8[::1]"

if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
    raise ImportError("NUMBA_DISABLE_JIT is set")


def compiled(*arguments: str, returns: str = "void") -> Callable[[Kernel], Kernel]:
    """Compile a function when its module is imported, or take it from Numba's cache.

    Division does not check for zero, and sums may be taken in any order: only then does the compiler use the
    processor's vector instructions.
    """
    signature = f"{returns}({', '.join(arguments)})"
    decorator: Any = numba.njit(signature, cache=True, fastmath=True, error_model="numpy", nogil=True)
    return cast("Callable[[Kernel], Kernel]", kept_in_folder()(decorator))


def callable_by_address(*arguments: str, returns: str) -> Callable[[Callable[..., object]], Any]:
    """Compile a function like `compiled`, for those who call it by its `address`, as a function of C."""
    signature = f"{returns}({', '.join(arguments)})"
    decorator: Any = numba.cfunc(signature, cache=True, fastmath=True, error_model="numpy")
    return cast("Callable[[Callable[..., object]], Any]", kept_in_folder()(decorator))


def made_of_instructions(define: Callable[..., Any]) -> Callable[..., Any]:
    """Let compiled functions call what a function defines, as Numba's intrinsics are: its types, and what generates its
    instructions.
    """
    decorator: Any = intrinsic(prefer_literal=True)
    return cast("Callable[..., Any]", decorator(define))
