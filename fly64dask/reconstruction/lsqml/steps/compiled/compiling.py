"""Functions of this package compiled by Numba for arguments of given types, and kept on disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
from numba.extending import intrinsic

from fly64dask.reconstruction.lsqml.steps.compiled.kernel_folder import kept

Kernel = TypeVar("Kernel", bound=Callable[..., object])

# Types as Numba writes them: float32, contiguous float32 of one to four axes, exposures, sums in double precision.
F, F1, F2, F3, F4 = "f4", "f4[::1]", "f4[:,::1]", "f4[:,:,::1]", "f4[:,:,:,::1]"
I0, I1, I2, D1 = "i8", "i8[::1]", "i8[:,::1]", "f8[::1]"

ARITHMETIC: dict[str, Any] = {"fastmath": True, "error_model": "numpy"}

if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
    raise ImportError("NUMBA_DISABLE_JIT is set")


def compiled(*arguments: str, returns: str = "void") -> Callable[[Kernel], Kernel]:
    """Compile a function when its module is imported, or take it from where it is kept.

    Division does not check for zero, and sums may be taken in any order: only then does the compiler use the
    processor's vector instructions.
    """
    signature = f"{returns}({', '.join(arguments)})"

    def compile_kernel(kernel: Kernel) -> Kernel:
        def with_numba(cache: bool) -> Any:
            return numba.njit(signature, cache=cache, nogil=True, **ARITHMETIC)(kernel)

        return cast("Kernel", kept(with_numba))

    return compile_kernel


def callable_by_address(*arguments: str, returns: str) -> Callable[[Callable[..., object]], Any]:
    """Compile a function like `compiled`, for those who call it by its `address`, as a function of C."""
    signature = f"{returns}({', '.join(arguments)})"

    def compile_kernel(kernel: Callable[..., object]) -> Any:
        return kept(lambda cache: numba.cfunc(signature, cache=cache, **ARITHMETIC)(kernel))

    return compile_kernel


def made_of_instructions(define: Callable[..., Any]) -> Callable[..., Any]:
    """Let compiled functions call what a function defines, as Numba's intrinsics are: its types, and what generates its
    instructions.
    """
    decorator: Any = intrinsic(prefer_literal=True)
    return cast("Callable[..., Any]", decorator(define))
