"""Fourier transforms of one wave by the MKL that torch has with it, called from compiled functions.

By way of torch a transform is planned anew in each call, and copied to where it is wanted: a third more time.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import cast

import llvmlite.binding  # type: ignore[import-untyped]
import numpy as np
import torch
from numba import types
from numpy.typing import NDArray

LIBRARY = Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"
# mkl_dfti.h: settings of a plan, and their values.
SINGLE, COMPLEX = 35, 32
FORWARD_SCALE, BACKWARD_SCALE, PLACEMENT, THREAD_LIMIT = 4, 5, 11, 27
IN_PLACE, NOT_IN_PLACE = 43, 44
COMPUTE = ("DftiComputeForward", "DftiComputeBackward")


def _mkl() -> ctypes.CDLL:
    """Load the library, and let compiled functions find its transforms; ImportError if it has none."""
    try:
        library = ctypes.CDLL(str(LIBRARY))
        for name in COMPUTE:
            llvmlite.binding.add_symbol(name, ctypes.cast(library[name], ctypes.c_void_p).value)
    except (OSError, AttributeError) as error:
        raise ImportError(f"torch has no transforms of MKL: {error}") from error
    return library


MKL = _mkl()
# Plan, wave to read and wave to write, as addresses; 0 if all went well.
CALL = types.int64(types.int64, types.int64, types.int64)
forward, backward = (cast("Callable[[int, int, int], int]", types.ExternalFunction(name, CALL)) for name in COMPUTE)


class Plans:
    """Plans for waves of H x W pixels, complex64: `addresses` (2,) int64 of one from array to array, whose transforms
    are not scaled, and of one in place, whose backward transform is divided by H W. They belong to one thread.
    """

    def __init__(self, shape_px: tuple[int, int]) -> None:
        n_pixels = shape_px[0] * shape_px[1]
        plans = [_plan(shape_px, NOT_IN_PLACE, 1.0), _plan(shape_px, IN_PLACE, 1 / n_pixels)]
        self.addresses: NDArray[np.int64] = np.array([plan.value for plan in plans], np.int64)
        weakref.finalize(self, _free, plans)


def _plan(shape_px: tuple[int, int], placement: int, backward_scale: float) -> ctypes.c_void_p:
    plan, lengths = ctypes.c_void_p(), (ctypes.c_long * 2)(*shape_px)
    _check(MKL.DftiCreateDescriptor_s_md(ctypes.byref(plan), COMPLEX, ctypes.c_long(2), lengths))
    _check(MKL.DftiSetValue(plan, PLACEMENT, placement))
    _check(MKL.DftiSetValue(plan, BACKWARD_SCALE, ctypes.c_double(backward_scale)))
    _check(MKL.DftiSetValue(plan, THREAD_LIMIT, ctypes.c_long(1)))
    _check(MKL.DftiCommitDescriptor(plan))
    return plan


def _check(status: int) -> None:
    if status != 0:
        raise RuntimeError(f"MKL could not plan a transform: status {status}")


def _free(plans: list[ctypes.c_void_p]) -> None:
    for plan in plans:
        MKL.DftiFreeDescriptor(ctypes.byref(plan))
