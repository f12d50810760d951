"""Writes patterns that are made batch by batch, and gathers the sums over them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from fly64dask.store import ArraySource, counts_array, expected_counts_array, mean_pattern_array, photons_array

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(slots=True, kw_only=True)
class PatternBatches:
    """Patterns that are made batch by batch, with the sums over those that have been written.

    `blocks` yields (k, H, W) photons, once: integers that are drawn, for which `dtype` holds the brightest expected
    one, or float32 expectations.
    """

    blocks: Iterator[NDArray[np.number]]
    dtype: np.dtype[Any]
    photons_per_intensity: float | None = None
    thinning_probability: float | None = None
    brightest_photons: int | float = 0
    _exposure_photons: list[NDArray[np.number]] = field(default_factory=list)
    _sum: NDArray[np.number] | None = None

    def array(self, shape: tuple[int, int, int]) -> ArraySource:
        """Describe the patterns, (n, H, W), as an array to write."""
        if self.dtype.kind == "f":
            return expected_counts_array(shape, self._pass_by())
        return counts_array(shape, self.dtype, self._pass_by())

    def _pass_by(self) -> Iterator[NDArray[Any]]:
        """Yield the blocks, and count their photons."""
        for block in self.blocks:
            wide = np.float64 if self.dtype.kind == "f" else np.int64
            self._exposure_photons.append(block.sum(axis=(1, 2), dtype=wide))
            pattern = block.sum(axis=0, dtype=wide)
            self._sum = pattern if self._sum is None else self._sum + pattern
            self.brightest_photons = max(self.brightest_photons, block.max().item())
            yield block

    def photons_array(self, n_exposures: int) -> ArraySource:
        """Describe the photons of each exposure, (n,) of the kind of `dtype`, to be written after all blocks."""
        dtype = np.dtype(np.float64 if self.dtype.kind == "f" else np.int64)
        return photons_array(n_exposures, (np.concatenate(self._exposure_photons) for _ in range(1)), dtype=dtype)

    def mean_array(self, shape: tuple[int, int], n_exposures: int) -> ArraySource:
        """Describe the mean pattern, (H, W) float64, to be written after all blocks."""
        return mean_pattern_array(shape, (np.asarray(self._sum) / n_exposures for _ in range(1)))

    @property
    def total_photons(self) -> int | float:
        """Photons of all exposures written so far."""
        total: int | float = sum(photons.sum().item() for photons in self._exposure_photons)
        return total
