"""Plans of Fourier transforms by the MKL that torch has with it.

By way of torch a transform is planned anew in each call, and copied to where it is wanted: a third more time.
"""

from __future__ import annotations

import ctypes
import math
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray

LIBRARY = Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"
# mkl_dfti.h: settings of a plan, and their values.
SINGLE, COMPLEX = 35, 32
FORWARD_SCALE, BACKWARD_SCALE, PLACEMENT, THREAD_LIMIT = 4, 5, 11, 27
IN_PLACE, NOT_IN_PLACE = 43, 44


def _mkl() -> ctypes.CDLL | None:
    """Load the library; None if it has no transforms of MKL."""
    try:
        library = ctypes.CDLL(str(LIBRARY))
    except OSError:
        return None
    return library if hasattr(library, "DftiComputeForward") else None


MKL = _mkl()


class MklPlans:
    """Functions of MKL and plans for waves of H x W pixels, by their `addresses` as `transforms.plans_for` has them."""

    def __init__(self, shape_px: tuple[int, int]) -> None:
        assert MKL is not None
        plans = [_plan(MKL, shape_px, NOT_IN_PLACE, 1.0), _plan(MKL, shape_px, IN_PLACE, 1 / math.prod(shape_px))]
        functions = [ctypes.cast(MKL[f"DftiCompute{way}"], ctypes.c_void_p) for way in ("Forward", "Backward")]
        self.addresses: NDArray[np.int64] = np.array([address.value for address in (*functions, *plans)], np.int64)
        weakref.finalize(self, _free, MKL, plans)


def _plan(mkl: ctypes.CDLL, shape_px: tuple[int, int], placement: int, backward_scale: float) -> ctypes.c_void_p:
    plan, lengths = ctypes.c_void_p(), (ctypes.c_long * 2)(*shape_px)
    _check(mkl.DftiCreateDescriptor_s_md(ctypes.byref(plan), COMPLEX, ctypes.c_long(2), lengths))
    _check(mkl.DftiSetValue(plan, PLACEMENT, placement))
    _check(mkl.DftiSetValue(plan, BACKWARD_SCALE, ctypes.c_double(backward_scale)))
    _check(mkl.DftiSetValue(plan, THREAD_LIMIT, ctypes.c_long(1)))
    _check(mkl.DftiCommitDescriptor(plan))
    return plan


def _check(status: int) -> None:
    if status != 0:
        raise RuntimeError(f"MKL could not plan a transform: status {status}")


def _free(mkl: ctypes.CDLL, plans: list[ctypes.c_void_p]) -> None:
    for plan in plans:
        mkl.DftiFreeDescriptor(ctypes.byref(plan))
