"""Thins the counts of a measured scan to a lower dose, in blocks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from fly64dask.base import IntegrityError
from fly64dask.datasets.pattern_batches import PatternBatches
from fly64dask.simulation import thin
from fly64dask.store import CHUNK_EXPOSURES, ExposureAttributes, Group, ScanAttributes, count_dtype, open_group

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def thinned_patterns(
    store: Path, scan: Group[ScanAttributes], dose_photons: float, rows: NDArray[np.int64], rng: np.random.Generator
) -> PatternBatches:
    """Thin some exposures of a measured scan; photons are drawn only when the patterns are read.

    Parameters
    ----------
    store : Path
        The ingested scan.
    scan : Group
        The run's group of the same scan, with its own dose and brightest count.
    dose_photons : float
        Requested photons per exposure.
    rows : (k,) int64
        Numbers of the exposures in the scan.
    rng : numpy.random.Generator
        Source of the binomial draws; advanced.
    """
    probability = dose_photons / scan.attributes.mean_total_intensity
    return PatternBatches(
        blocks=_thinned(store, rows, probability, rng),
        dtype=count_dtype(scan.attributes.brightest_pixel_intensity),
        thinning_probability=probability,
    )


def _thinned(
    store: Path, rows: NDArray[np.int64], probability: float, rng: np.random.Generator
) -> Iterator[NDArray[np.int64]]:
    """Thin measured counts; a pixel that measures nothing holds 0 counts, which thinning does not change."""
    measured = open_group(store, ExposureAttributes)
    gaps = ~measured.read("valid_pixels") if "valid_pixels" in measured.names else None
    for start in range(0, len(rows), CHUNK_EXPOSURES):
        counts = measured.read("counts", rows[start : start + CHUNK_EXPOSURES])
        if gaps is not None and counts[:, gaps].any():
            raise IntegrityError(
                f"read {store / 'counts'}: found {int(counts[:, gaps].sum())} photons in pixels that valid_pixels "
                "says measure nothing, needed 0",
                remedy="ingest the scan again",
            )
        yield thin(counts, probability, rng=rng)
