"""Surveys counts while they are read: totals, mean pattern, brightest pixel, and suspicious values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from fly64dask.datasets.ingest.checks import Complaint

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Parts of a block that fit in a processor's cache are surveyed three times as fast.
CACHED_BYTES = 2**20
# With so many counts above one it is not by chance that all are squares, or multiples of a number (our choice).
MIN_DIFFERENT_COUNTS = 3


@dataclass(slots=True, kw_only=True)
class Survey:
    """The sums over all exposures read so far, in their order.

    `pattern_sum` (H, W) float64 photons, `totals` blocks of (k,) uint64 photons of each exposure, `prints` blocks of
    (k,) uint64 that are equal for equal exposures.
    """

    pattern_sum: NDArray[np.float64]
    brightest: int = 0
    totals: list[NDArray[np.uint64]] = field(default_factory=list)
    prints: list[NDArray[np.uint64]] = field(default_factory=list)
    may_be_squares: bool = True
    divisor: int = 0
    different: set[int] = field(default_factory=set)

    @classmethod
    def of(cls, shape_px: tuple[int, int]) -> Survey:
        """Make the survey of no exposure."""
        return cls(pattern_sum=np.zeros(shape_px))

    def add(self, counts: NDArray[np.number]) -> None:
        """Take counts (k, H, W), unsigned integers, into account."""
        if not counts.size:
            return
        counts = np.ascontiguousarray(counts)
        rows = max(1, CACHED_BYTES // counts[0].nbytes)
        for start in range(0, len(counts), rows):
            self._add_cached(counts[start : start + rows])

    def _add_cached(self, counts: NDArray[np.number]) -> None:
        brightest = int(counts.max())
        self.brightest = max(self.brightest, brightest)
        flat = counts.reshape(len(counts), -1)
        # 32 bits suffice for most sums, and are twice as fast.
        if brightest * flat.shape[1] < 2**32:
            self.totals.append(np.einsum("ij->i", flat, dtype=np.uint32, casting="unsafe").astype(np.uint64))
        else:
            self.totals.append(flat.sum(axis=1, dtype=np.uint64))
        narrow = np.uint32 if brightest * len(counts) < 2**32 else np.uint64
        self.pattern_sum += np.add.reduce(counts, axis=0, dtype=narrow)
        self.prints.append(_prints(flat))
        if self.may_be_squares or self.divisor != 1 or len(self.different) < MIN_DIFFERENT_COUNTS:
            self._suspect(np.unique(counts))

    def _suspect(self, distinct: NDArray[np.number]) -> None:
        """Look for a count that is not a square, and for a number that divides all counts."""
        lit = distinct[distinct > 0].astype(np.int64)
        if lit.size:
            roots = np.rint(np.sqrt(lit)).astype(np.int64)
            self.may_be_squares = self.may_be_squares and bool((roots * roots == lit).all())
            self.divisor = int(np.gcd.reduce(lit, initial=self.divisor))
            self.different.update(lit[lit > 1][:MIN_DIFFERENT_COUNTS].tolist())

    @property
    def exposure_photons(self) -> NDArray[np.int64]:
        """Photons of each exposure, (n,)."""
        return np.concatenate(self.totals).astype(np.int64) if self.totals else np.zeros(0, dtype=np.int64)

    @property
    def fingerprints(self) -> NDArray[np.uint64]:
        """Numbers (n,) that are equal for equal exposures, and nearly always differ for others."""
        return np.concatenate(self.prints) if self.prints else np.zeros(0, dtype=np.uint64)


def complain_of_units(survey: Survey, *, quantity_is_given: bool, scale_is_given: bool) -> Iterator[Complaint]:
    """Name counts that look like squares of photons, or like multiples of a gain, unless a person states otherwise."""
    if len(survey.different) < MIN_DIFFERENT_COUNTS:
        return
    if survey.may_be_squares and not quantity_is_given:
        yield Complaint(
            found="every count is a perfect square, which photons are not: intensities were taken for amplitudes, or "
            "squared before",
            remedy="give --quantity intensity if the values are intensities, --quantity amplitude if squares are right",
        )
    elif survey.divisor > 1 and not scale_is_given:
        yield Complaint(
            found=f"every count is a multiple of {survey.divisor}, which photons are not: the detector's gain?",
            remedy=f"give --photons-per-intensity {1 / survey.divisor:.9g} if {survey.divisor} units are one photon, "
            "--photons-per-intensity 1 if they are photons",
        )


def _prints(flat: NDArray[np.number]) -> NDArray[np.uint64]:
    """Sum the bytes of each row as words of 64 bits, with overflow; this is as fast as memory."""
    if flat.strides[0] % 8:
        padded = np.zeros((len(flat), -(-flat.shape[1] * flat.itemsize // 8) * 8 // flat.itemsize), dtype=flat.dtype)
        padded[:, : flat.shape[1]] = flat
        flat = padded
    words: NDArray[np.uint64] = flat.view(np.uint64).sum(axis=1, dtype=np.uint64)
    return words
