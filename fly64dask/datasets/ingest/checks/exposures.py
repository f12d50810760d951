"""Checks whole exposures: whether they are dark, far too bright, or repeated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from fly64dask.base import counted_of
from fly64dask.datasets.ingest.checks.complaints import Complaint, drop_words, listed_exposures

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Our choice. Absorption of the object and drift of the beam change the number of photons by some factors, a closed
# shutter or a detector that is not ready by more. Six standard deviations of photon noise let low doses pass, at which
# exposures without photons are normal.
DARK_FRACTION, BRIGHT_FACTOR, N_DEVIATIONS = 0.01, 10.0, 6.0


def find_dark(exposure_photons: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Find exposures with less than 1 % of the median number of photons and fewer than photon noise explains.

    Parameters
    ----------
    exposure_photons : (n,) int64
        Photons of each exposure.

    Returns
    -------
    (n,) bool
    """
    middle = _median_with_photons(exposure_photons)
    lowest = min(DARK_FRACTION * middle, middle - N_DEVIATIONS * np.sqrt(middle))
    return np.asarray(exposure_photons <= lowest)


def find_bright(exposure_photons: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Find exposures with 10 times the median number of photons or more, and more than photon noise explains."""
    middle = _median_with_photons(exposure_photons)
    highest = max(BRIGHT_FACTOR * middle, middle + N_DEVIATIONS * np.sqrt(middle) + N_DEVIATIONS**2)
    return np.asarray(exposure_photons > highest)


def complain_of_exposures(exposure_photons: NDArray[np.int64], numbers: NDArray[np.int64]) -> Iterator[Complaint]:
    """Name exposures that are dark or far too bright.

    Parameters
    ----------
    exposure_photons : (n,) int64
        Photons of each exposure.
    numbers : (n,) int64
        Their numbers in the file, from 0.
    """
    middle = _median_with_photons(exposure_photons)
    dark, bright = numbers[find_dark(exposure_photons)], numbers[find_bright(exposure_photons)]
    if len(dark):
        yield Complaint(
            found=f"{counted_of(len(dark), len(numbers), 'exposure', 'is', 'are')} dark, with at most "
            f"{DARK_FRACTION:.0%} of the median of {middle:g} photons: {listed_exposures(dark)}",
            remedy="give --drop-dark to leave them out, or --keep-outliers if they belong to the scan",
        )
    if len(bright):
        brightest = int(np.argmax(exposure_photons))
        yield Complaint(
            found=f"{counted_of(len(bright), len(numbers), 'exposure', 'holds', 'hold')} more than {BRIGHT_FACTOR:g} "
            f"times the median of {middle:g} photons: {listed_exposures(bright)} (exposure {numbers[brightest]} holds "
            f"{exposure_photons[brightest]})",
            remedy=f"give {drop_words(bright)} to leave them out, or --keep-outliers if they belong to the scan",
        )


def complain_of_repeats(
    fingerprints: NDArray[np.uint64],
    exposure_photons: NDArray[np.int64],
    numbers: NDArray[np.int64],
    read: Callable[[int], NDArray[np.generic]],
) -> Iterator[Complaint]:
    """Name exposures whose pattern equals that of an earlier exposure in every pixel.

    Parameters
    ----------
    fingerprints : (n,) uint64
        Numbers that are equal for equal patterns.
    exposure_photons : (n,) int64
        Photons of each exposure.
    numbers : (n,) int64
        Their numbers in the file.
    read : callable
        Reads the pattern of a number in the file, to compare patterns with equal fingerprints.
    """
    # A few photons may fall on the same pixels by chance.
    lit = np.flatnonzero(exposure_photons > 100)
    keys = np.stack([fingerprints[lit], exposure_photons[lit].astype(np.uint64)], axis=1)
    _, first, inverse, n_equal = np.unique(keys, axis=0, return_index=True, return_inverse=True, return_counts=True)
    inverse = inverse.ravel()
    repeats: list[tuple[int, int]] = []
    for row in np.flatnonzero(n_equal[inverse] > 1):
        earlier, later = int(numbers[lit[first[inverse[row]]]]), int(numbers[lit[row]])
        if earlier != later and np.array_equal(read(earlier), read(later)):
            repeats.append((earlier, later))
    if repeats:
        earlier, later = repeats[0]
        again = [repeat for _, repeat in repeats]
        yield Complaint(
            found=f"{counted_of(len(repeats), len(numbers), 'exposure', 'repeats', 'repeat')} the pattern of another "
            f"to the last photon ({later} that of {earlier}): {listed_exposures(again)}",
            remedy=f"give {drop_words(again)} to leave them out, or --keep-outliers",
        )


def _median_with_photons(exposure_photons: NDArray[np.int64]) -> float:
    lit = exposure_photons[exposure_photons > 0]
    return float(np.median(lit)) if lit.size else 0.0
