"""Fourier transforms of a few rows of numbers, and transposed copies, as vector instructions that are written out.

Numba's compiler would make none of a loop over eight rows that are read and eight that are written: it cannot know that
they lie apart. So these are functions that compiled functions call, and whose instructions are made here. Numbers are
float32, real and imaginary parts in rows of their own; addresses and steps between rows are in bytes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types

from fly64dask.reconstruction.lsqml.steps.compiled.compiling import made_of_instructions

# As many float32 as the widest vectors have, and half as many; a processor with narrower ones takes several for each.
LANES, BLOCK = 16, 8
VECTOR_BYTES = 4 * LANES
FLOAT, INTEGER = ir.FloatType(), ir.IntType(64)
VECTOR, HALF_VECTOR = ir.VectorType(FLOAT, LANES), ir.VectorType(FLOAT, BLOCK)
# Products may be added in one instruction, as in the loops that Numba compiles.
FUSED = ("contract",)


@dataclass(frozen=True, slots=True)
class Wave:
    """One vector of complex numbers, of which instructions are made by `builder`."""

    builder: Any
    re: Any
    im: Any

    def __add__(self, other: Wave) -> Wave:
        """Add number by number."""
        return self._make(self._sum(self.re, other.re), self._sum(self.im, other.im))

    def __sub__(self, other: Wave) -> Wave:
        """Subtract number by number."""
        return self._make(self._difference(self.re, other.re), self._difference(self.im, other.im))

    def scaled(self, factor: float) -> Wave:
        """Multiply by a constant."""
        constant = ir.Constant(VECTOR, [ir.Constant(FLOAT, factor)] * LANES)
        return self._make(self._product(self.re, constant), self._product(self.im, constant))

    def times(self, re: Any, im: Any) -> Wave:
        """Multiply by complex numbers, given by their parts."""
        product, by_re, by_im = self._product, self._product(self.re, re), self._product(self.im, re)
        return self._make(self._difference(by_re, product(self.im, im)), self._sum(by_im, product(self.re, im)))

    def turned(self, eighths: int) -> Wave:
        """Multiply by exp(-2 pi i / 8), `eighths` (0 to 3) times."""
        if eighths >= 2:
            quarter = self._make(self.im, self.builder.fneg(self.re))
            return quarter.turned(eighths - 2)
        if eighths == 0:
            return self
        return self._make(self._sum(self.re, self.im), self._difference(self.im, self.re)).scaled(math.sqrt(0.5))

    def _make(self, re: Any, im: Any) -> Wave:
        return Wave(self.builder, re, im)

    def _sum(self, a: Any, b: Any) -> Any:
        return self.builder.fadd(a, b, flags=FUSED)

    def _difference(self, a: Any, b: Any) -> Any:
        return self.builder.fsub(a, b, flags=FUSED)

    def _product(self, a: Any, b: Any) -> Any:
        return self.builder.fmul(a, b, flags=FUSED)


def transformed(waves: list[Wave]) -> list[Wave]:
    """Transform 2, 4, 8 or an odd number of waves: each becomes the sum of all, turned by its number times theirs."""
    n = len(waves)
    if n == 1:
        return waves
    if n % 2 == 0:
        even, odd = transformed(waves[::2]), transformed(waves[1::2])
        turned = [wave.turned(8 * k // n) for k, wave in enumerate(odd)]
        pairs = list(zip(even, turned, strict=True))
        return [a + b for a, b in pairs] + [a - b for a, b in pairs]
    half = range(1, n // 2 + 1)
    sums = [waves[k] + waves[n - k] for k in half]
    differences = [waves[k] - waves[n - k] for k in half]
    found = [_total([waves[0], *sums])] * n
    for j in half:
        angles = [2 * math.pi * (j * k % n) / n for k in half]
        alike = _total([waves[0], *(one.scaled(math.cos(angle)) for one, angle in zip(sums, angles, strict=True))])
        apart = _total([one.scaled(math.sin(angle)) for one, angle in zip(differences, angles, strict=True)]).turned(2)
        found[j], found[n - j] = alike + apart, alike - apart
    return found


def _total(waves: list[Wave]) -> Wave:
    total, *others = waves
    for other in others:
        total = total + other
    return total


@made_of_instructions
def butterfly(
    _: Any,
    radix: Any,
    is_last: Any,
    source: Any,
    source_step: Any,
    target: Any,
    target_step: Any,
    to_imaginary: Any,
    twiddles: Any,
) -> Any:
    """Transform `radix` rows of `LANES` complex numbers that lie `source_step` apart; multiply all but the first of the
    results by the complex numbers at `twiddles`, unless the stage is the last one, where these are 1. `to_imaginary`
    lies between real and imaginary parts.
    """

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        source, source_step, target, target_step, to_imaginary, twiddles = arguments[2:]

        def vectors(start: Any, step: Any, k: int) -> list[Any]:
            re = builder.add(start, builder.mul(step, INTEGER(k)))
            return [_pointer(builder, at, VECTOR) for at in (re, builder.add(re, to_imaginary))]

        def twiddle(k: int) -> list[Any]:
            numbers = (builder.add(twiddles, INTEGER(8 * (k - 1) + 4 * part)) for part in range(2))
            return [_repeated(builder, builder.load(_pointer(builder, at, FLOAT), align=4)) for at in numbers]

        rows = (vectors(source, source_step, k) for k in range(radix.literal_value))
        waves = [Wave(builder, *(builder.load(at, align=VECTOR_BYTES) for at in row)) for row in rows]
        for k, wave in enumerate(transformed(waves)):
            result = wave.times(*twiddle(k)) if k and not is_last.literal_value else wave
            for part, at in zip((result.re, result.im), vectors(target, target_step, k), strict=True):
                builder.store(part, at, align=VECTOR_BYTES)
        return context.get_dummy_value()

    return types.void(radix, is_last, *[types.int64] * 6), generate


@made_of_instructions
def write_block_transposed(_: Any, re: Any, im: Any, step: Any, target: Any, target_step: Any, scale: Any) -> Any:
    """Write `BLOCK` rows of as many complex numbers transposed, times a scale, with their parts next to each other."""

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        re, im, step, target, target_step, scale = arguments
        factor, both = _repeated(builder, scale), [k // 2 + BLOCK * (k % 2) for k in range(LANES)]
        rows = []
        for k in range(BLOCK):
            offset = builder.mul(step, INTEGER(k))
            at = (_pointer(builder, builder.add(part, offset), HALF_VECTOR) for part in (re, im))
            row = builder.shuffle_vector(*(builder.load(one, align=4 * BLOCK) for one in at), _lanes(both))
            # A complex number is moved as one of 64 bits.
            rows.append(builder.bitcast(builder.fmul(row, factor, flags=FUSED), ir.VectorType(ir.DoubleType(), BLOCK)))
        for k, row in enumerate(_transposed(builder, rows)):
            address = builder.add(target, builder.mul(target_step, INTEGER(k)))
            builder.store(row, _pointer(builder, address, row.type), align=8)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5, types.float32), generate


@made_of_instructions
def floats_at(_: Any, address: Any) -> Any:
    """Make an address one of float32."""

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        return _pointer(builder, arguments[0], FLOAT)

    pointer_to: Any = types.CPointer
    return pointer_to(types.float32)(types.int64), generate


def _transposed(builder: Any, rows: list[Any]) -> list[Any]:
    """Transpose rows by exchanging ever larger squares beside the diagonal."""
    rows, n = list(rows), len(rows)
    for size in (2**k for k in range(n.bit_length() - 1)):
        upper = [k if not k & size else n + k - size for k in range(n)]
        lower = [k + size if not k & size else n + k for k in range(n)]
        for k in range(n):
            if not k & size:
                pair = rows[k], rows[k + size]
                rows[k], rows[k + size] = (builder.shuffle_vector(*pair, _lanes(of)) for of in (upper, lower))
    return rows


def _pointer(builder: Any, address: Any, of: Any) -> Any:
    return builder.inttoptr(address, of.as_pointer())


def _repeated(builder: Any, number: Any) -> Any:
    nothing = ir.Constant(VECTOR, ir.Undefined)
    return builder.shuffle_vector(
        builder.insert_element(nothing, number, ir.IntType(32)(0)), nothing, _lanes([0] * LANES)
    )


def _lanes(numbers: list[int]) -> Any:
    return ir.Constant(ir.VectorType(ir.IntType(32), len(numbers)), numbers)
