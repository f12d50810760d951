"""Fourier transforms of one wave for compiled functions, by MKL or by compiled loops of this package."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types

from fly64dask.reconstruction.lsqml.steps.compiled.compiling import made_of_instructions
from fly64dask.reconstruction.lsqml.steps.compiled.mkl_transforms import MKL, MklPlans
from fly64dask.reconstruction.lsqml.steps.compiled.own_transforms import OwnPlans, radices_of

Library = Literal["MKL", "fly64dask"]
# What the addresses of plans are: functions, and plans from array to array and in place.
FORWARD, BACKWARD, BETWEEN, IN_PLACE = range(4)


def _is_intel() -> bool:
    try:
        return "GenuineIntel" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False


IS_INTEL = _is_intel()


def library_for(shape_px: tuple[int, int]) -> Library | None:
    """Choose what transforms waves of H x W pixels: MKL on Intel's processors, else our own, which is faster there.

    It is a matter of processor and shape alone, so that the same cell gets the same bits on the same kind of machine.
    None if torch has no MKL, and a side a prime factor that our own does not know.
    """
    ours = all(radices_of(length) is not None for length in shape_px)
    if MKL is not None and (IS_INTEL or not ours):
        return "MKL"
    return "fly64dask" if ours else None


def plans_for(shape_px: tuple[int, int], library: Library) -> MklPlans | OwnPlans:
    """Make plans for waves of H x W pixels, complex64, which belong to one thread.

    Their `addresses` (4,) int64 are those of the functions forward and backward, of a plan from array to array, whose
    transforms are not scaled, and of one in place, whose backward transform is divided by H W.
    """
    return MklPlans(shape_px) if library == "MKL" else OwnPlans(shape_px)


@made_of_instructions
def call(_: Any, function: Any, plan: Any, source: Any, target: Any) -> Any:
    """Call a function by its address, with those of a plan and of two waves; it gives 0 if all went well."""

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        function, *addresses = arguments
        word = ir.IntType(64)
        return builder.call(builder.inttoptr(function, ir.FunctionType(word, [word] * 3).as_pointer()), addresses)

    return types.int64(*[types.int64] * 4), generate
