"""Fourier transforms of one wave, in compiled loops of this package.

A wave is transformed along its columns, slab by slab of them, and written transposed; then the same once more. Within
a slab, real and imaginary parts lie apart, and each stage of Stockham's algorithm goes over rows (C. Van Loan,
Computational Frameworks for the Fast Fourier Transform, SIAM 1992, section 1.7).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import carray  # type: ignore[attr-defined]

from fly64dask.reconstruction.lsqml.steps.compiled.butterflies import (
    BLOCK,
    LANES,
    VECTOR_BYTES,
    butterfly,
    floats_at,
    write_block_transposed,
)
from fly64dask.reconstruction.lsqml.steps.compiled.compiling import F2, I0, I1, F, callable_by_address, compiled
from fly64dask.reconstruction.lsqml.steps.compiled.memory import floats

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Indices = NDArray[np.int64]

ONE = np.float32(1)
# Lengths of the transforms that longer ones are made of, in the order in which they are taken out of a length.
RADICES = (8, 4, 2, 3, 5, 7, 11, 13)
# Of a slab, of which there are two: half of it took a seventh more time with 128 x 128 pixels, the same with 64 x 64.
SLAB_BYTES = 2**15
# Words of a plan: height, width, address of the wave between, factor by which a backward transform is divided; then of
# each direction the addresses of twiddles and slabs, columns of a slab, number of radices, and these.
HEAD, SIDE = 4, 24


@compiled(I0, I0, I0, I0, I0, I0, I0)
def stage(radix: int, n_groups: int, run: int, source: int, target: int, to_imaginary: int, twiddles: int) -> None:
    """Transform `radix` runs of rows at a time; a run has as many bytes, and there are `n_groups` such transforms."""
    step, is_last = n_groups * run, n_groups == 1
    for group in range(n_groups):
        first, last = source + group * run, source + (group + 1) * run
        to, factors = target + group * radix * run - first, twiddles + 8 * group * (radix - 1)
        if radix == 8 and is_last:
            for at in range(first, last, VECTOR_BYTES):
                butterfly(8, True, at, step, to + at, run, to_imaginary, factors)
        elif radix == 8:
            for at in range(first, last, VECTOR_BYTES):
                butterfly(8, False, at, step, to + at, run, to_imaginary, factors)
        elif radix == 4 and is_last:
            for at in range(first, last, VECTOR_BYTES):
                butterfly(4, True, at, step, to + at, run, to_imaginary, factors)
        elif radix == 4:
            for at in range(first, last, VECTOR_BYTES):
                butterfly(4, False, at, step, to + at, run, to_imaginary, factors)
        elif radix == 2:
            for at in range(first, last, VECTOR_BYTES):
                butterfly(2, False, at, step, to + at, run, to_imaginary, factors)
        elif radix == 3:
            for at in range(first, last, VECTOR_BYTES):
                butterfly(3, False, at, step, to + at, run, to_imaginary, factors)
        elif radix == 5:
            for at in range(first, last, VECTOR_BYTES):
                butterfly(5, False, at, step, to + at, run, to_imaginary, factors)
        elif radix == 7:
            for at in range(first, last, VECTOR_BYTES):
                butterfly(7, False, at, step, to + at, run, to_imaginary, factors)
        elif radix == 11:
            for at in range(first, last, VECTOR_BYTES):
                butterfly(11, False, at, step, to + at, run, to_imaginary, factors)
        else:
            for at in range(first, last, VECTOR_BYTES):
                butterfly(13, False, at, step, to + at, run, to_imaginary, factors)


@compiled(F2, F2, I1, I0, F)
def transform_columns(source: Floats, target: Floats, side: Indices, backward: int, scale: np.float32) -> None:
    """Transform a wave (N, 2 M) along its columns, and write it transposed, (M, 2 N), times a scale.

    A backward transform is a forward one with real and imaginary parts exchanged before and after it.
    """
    n, n_columns, n_in_slab = source.shape[0], source.shape[1] // 2, side[2]
    slabs = carray(floats_at(side[1]), (2, 2, n, n_in_slab))
    row_bytes, to_imaginary = 4 * n_in_slab, 4 * n_in_slab * n
    for first in range(0, n_columns, n_in_slab):
        width = min(n_in_slab, n_columns - first)
        for i in range(n):
            row, re, im = source[i, 2 * first : 2 * (first + width)], slabs[0, backward, i], slabs[0, 1 - backward, i]
            for j in range(width):
                re[j], im[j] = row[2 * j], row[2 * j + 1]
        filled, n_done, twiddles = 0, 1, side[0]
        for radix in side[4 : 4 + side[3]]:
            n_groups, start, end = n // (n_done * radix), slabs[filled].ctypes.data, slabs[1 - filled].ctypes.data
            stage(radix, n_groups, n_done * row_bytes, start, end, to_imaginary, twiddles)
            twiddles += 8 * n_groups * (radix - 1)
            filled, n_done = 1 - filled, n_done * radix
        re_of, im_of = slabs[filled, backward], slabs[filled, 1 - backward]
        n_rows_in_blocks, n_columns_in_blocks = n - n % BLOCK, width - width % BLOCK
        for i in range(0, n_rows_in_blocks, BLOCK):
            for j in range(0, n_columns_in_blocks, BLOCK):
                to = target[first + j, 2 * i :].ctypes.data
                starts = re_of[i, j:].ctypes.data, im_of[i, j:].ctypes.data
                write_block_transposed(starts[0], starts[1], row_bytes, to, 8 * n, scale)
        for i in range(n):
            for j in range(n_columns_in_blocks if i < n_rows_in_blocks else 0, width):
                target[first + j, 2 * i], target[first + j, 2 * i + 1] = re_of[i, j] * scale, im_of[i, j] * scale


@compiled("CPointer(i8)", "CPointer(f4)", "CPointer(f4)", I0, returns=I0)
def transform(plan: Any, source: Any, target: Any, backward: int) -> int:
    """Transform a wave, by its address, as a plan says; gives 0."""
    words = carray(plan, (HEAD + 2 * SIDE,))
    height, width, divisor = words[0], words[1], words[3] if backward else 1
    start, end = carray(source, (height, 2 * width)), carray(target, (height, 2 * width))
    between = carray(floats_at(words[2]), (width, 2 * height))
    transform_columns(start, between, words[HEAD : HEAD + SIDE], backward, ONE)
    transform_columns(between, end, words[HEAD + SIDE :], backward, ONE / np.float32(divisor))
    return 0


@callable_by_address("CPointer(i8)", "CPointer(f4)", "CPointer(f4)", returns=I0)
def forward(plan: Any, source: Any, target: Any) -> int:
    """Transform a wave."""
    return transform(plan, source, target, 0)


@callable_by_address("CPointer(i8)", "CPointer(f4)", "CPointer(f4)", returns=I0)
def backward(plan: Any, source: Any, target: Any) -> int:
    """Transform a wave back."""
    return transform(plan, source, target, 1)


def radices_of(length: int) -> list[int] | None:
    """Split a length into radices; None if it has a larger prime factor than these."""
    found = []
    for radix in RADICES:
        while length % radix == 0:
            found.append(radix)
            length //= radix
    if 8 in found and 2 in found:  # next to each other
        found[found.index(2) - 1 : found.index(2) + 1] = [4, 4]
    return found if length == 1 else None


class OwnPlans:
    """Functions and plans for waves of H x W pixels, by their `addresses` as `transforms.plans_for` has them."""

    def __init__(self, shape_px: tuple[int, int]) -> None:
        height, width = shape_px
        self._between = floats(width, 2 * height)
        self._sides = [_Side(height, width), _Side(width, height)]
        self._words = np.zeros((2, HEAD + 2 * SIDE), np.int64)
        self._words[:, 3] = 1, height * width
        for words in self._words:
            words[:3] = height, width, self._between.ctypes.data
            for first, side in zip((HEAD, HEAD + SIDE), self._sides, strict=True):
                words[first : first + 4 + len(side.radices)] = side.words()
        plans = (words.ctypes.data for words in self._words)
        self.addresses: NDArray[np.int64] = np.array([forward.address, backward.address, *plans], np.int64)


class _Side:
    """What transforms of `n_columns` columns of a length need: radices, twiddles, two slabs."""

    def __init__(self, length: int, n_columns: int) -> None:
        radices = radices_of(length)
        assert radices is not None
        self.radices = radices
        self.twiddles = _twiddles(length, radices)
        needed = -(-n_columns // LANES) * LANES
        self.n_in_slab = max(LANES, min(needed, SLAB_BYTES // (8 * length) // LANES * LANES))
        self.slabs = floats(2, 2, length, self.n_in_slab)
        self.slabs.fill(0)

    def words(self) -> list[int]:
        addresses = [self.twiddles.ctypes.data, self.slabs.ctypes.data]
        return [*addresses, self.n_in_slab, len(self.radices), *self.radices]


def _twiddles(length: int, radices: list[int]) -> Floats:
    """Make the factors after each stage, real and imaginary parts in turns: exp(-2 pi i p k / length left)."""
    found = []
    for radix in radices:
        turns = np.outer(np.arange(length // radix), np.arange(1, radix)) % length / length
        found.append(np.stack([np.cos(2 * np.pi * turns), -np.sin(2 * np.pi * turns)], axis=-1).ravel())
        length //= radix
    return np.concatenate([*found, np.zeros(2)]).astype(np.float32)
