"""Converts values of a file, amplitudes or intensities in any unit, to whole photons, block by block."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fly64dask.base import counted
from fly64dask.datasets.formats.options import Quantity
from fly64dask.datasets.ingest.checks import Complaint

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_COUNT = int(np.iinfo(np.uint32).max)
# float32 amplitudes hold a count c to 1.2e-7 c, which is 0.13 photons at 2^20, so 0.2 photons tell counts from reals.
MAX_OFF_PHOTONS = 0.2
# Up to so many photons values refine the scale that the dimmest pixel gives; brighter ones would be counted wrongly.
DIM_PHOTONS = 30.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """The conversion of a value to photons: squared if an amplitude, times photons per unit of intensity, rounded."""

    quantity: Quantity
    photons_per_intensity: float
    rounds: bool

    @property
    def is_trivial(self) -> bool:
        """Whether whole values are photons already."""
        return self.quantity == "intensity" and self.photons_per_intensity == 1.0


@dataclass(slots=True, kw_only=True)
class Rounding:
    """The changes that rounding to whole photons has made so far."""

    largest_off_photons: float = 0.0
    n_negative: int = 0
    lowest_photons: float = 0.0
    n_beyond: int = 0
    highest_value: float = 0.0


def to_counts(values: NDArray[np.number], conversion: Conversion, rounding: Rounding) -> NDArray[np.number]:
    """Convert finite values (k, H, W) to counts, and note what rounding changed.

    Returns unsigned integers; counts that 32 bits cannot hold, and negative ones, are noted and clipped.
    """
    if values.dtype.kind == "u" and values.dtype.itemsize <= 4 and conversion.is_trivial:
        return values
    if values.dtype.kind in "ui" and conversion.is_trivial:
        photons, counts = values, values
    else:
        # Values near the limits of float64 overflow or vanish here; the checks refuse the results.
        with np.errstate(all="ignore"):
            scaled = values.astype(np.float64)
            if conversion.quantity == "amplitude":
                np.square(scaled, out=scaled)
            scaled *= conversion.photons_per_intensity
            photons, counts = scaled, np.rint(scaled)
            off = np.abs(scaled - counts).max(initial=0, where=np.isfinite(scaled))
            rounding.largest_off_photons = max(rounding.largest_off_photons, float(off))
    lowest, highest = counts.min(), counts.max()
    if lowest < 0:
        rounding.n_negative += int((counts < 0).sum())
        rounding.lowest_photons = min(rounding.lowest_photons, float(photons.min()))
    if not highest <= MAX_COUNT:
        rounding.n_beyond += int((~(counts <= MAX_COUNT)).sum())
        rounding.highest_value = max(rounding.highest_value, float(values.max()))
    if lowest < 0 or not highest <= MAX_COUNT:
        counts = np.clip(np.nan_to_num(counts, posinf=MAX_COUNT), 0, MAX_COUNT)
    return counts.astype(np.uint16 if highest <= np.iinfo(np.uint16).max else np.uint32)


def complain_of_darkness(conversion: Conversion, highest: NDArray[np.number]) -> Iterator[Complaint]:
    """Name patterns without a single photon, with their highest values (H, W)."""
    brightest = float(highest.max(initial=0))
    if brightest > 0:
        yield Complaint(
            found=f"brightest {conversion.quantity} is {brightest:.6g}, which at "
            f"{conversion.photons_per_intensity:.9g} photons per unit of intensity is not one photon",
            remedy="give --photons-per-intensity, or store it in another unit",
        )
    else:
        yield Complaint(
            found="every pixel is 0, or masked, or there is none", remedy="check which array holds the scan"
        )


def complain_of_rounding(conversion: Conversion, rounding: Rounding, brightest: int) -> Iterator[Complaint]:
    """Name values that are not whole photons, or too many."""
    scale = conversion.photons_per_intensity
    if not conversion.rounds and not rounding.largest_off_photons <= MAX_OFF_PHOTONS:
        yield Complaint(
            found=f"at {scale:.9g} photons per unit of intensity values are up to {rounding.largest_off_photons:.2g} "
            f"photons off a whole number, brightest {brightest:.3g}; needed counts",
            remedy="give --photons-per-intensity, or --round to take the nearest whole photons, or store counts",
        )
    if rounding.n_beyond:
        yield Complaint(
            found=f"brightest {conversion.quantity} is {rounding.highest_value:.6g}: "
            f"{counted(rounding.n_beyond, 'pixel holds', 'pixels hold')} more than {MAX_COUNT} photons at {scale:.9g} "
            "photons per unit of intensity",
            remedy="give --photons-per-intensity, or store it in another unit, or store counts",
        )


def choose_quantity(
    stated: Quantity | None, given: Quantity | None, values: Iterable[NDArray[np.number]], file_format: str
) -> tuple[Quantity, Complaint | None]:
    """Tell amplitude from intensity, unless a person or the file says which it is.

    Integers are intensities. Reals with fractions are amplitudes in DATA-001, which defines them so. For other formats,
    and for reals that are all whole numbers, a person has to say, because counts and roots of square counts look alike.

    Parameters
    ----------
    stated, given : "amplitude", "intensity" or None
        What the file says, and what a person says.
    values : iterable of (k, H, W)
        Values of the patterns, read as far as needed.
    file_format : str
        The format's name.
    """
    known_quantity = given or stated
    if known_quantity is not None:
        return known_quantity, None
    for block in values:
        if np.issubdtype(block.dtype, np.integer):
            return "intensity", None
        with np.errstate(invalid="ignore"):
            has_fractions = bool((np.nan_to_num(block, posinf=0, neginf=0) % 1 != 0).any())
        if has_fractions:
            if file_format == "DATA-001":
                return "amplitude", None
            doubt = f"patterns are {block.dtype}, and the file does not say of what: intensities, or amplitudes?"
            return "intensity", Complaint(found=doubt, remedy="give --quantity intensity or --quantity amplitude")
    return "intensity", Complaint(
        found="patterns are reals that are whole numbers only: counts, or amplitudes?",
        remedy="give --quantity intensity or --quantity amplitude",
    )


def find_scale(values: Iterable[NDArray[np.number]], quantity: Quantity) -> float:
    """Find the photons per unit of intensity of reals: 1 if intensities are whole, else from the dimmest pixel.

    The scale is refined on dim pixels. Values that are not finite or not above 0 are ignored; if no others exist, it is
    1.
    """
    quantum, numerator, denominator, is_whole = math.inf, 0.0, 0.0, quantity == "intensity"
    for block in values:
        with np.errstate(all="ignore"):
            intensity = block.astype(np.float64)
            if quantity == "amplitude":
                np.square(intensity, out=intensity)
            lit = intensity[np.isfinite(intensity) & (intensity > 0)]
            if not lit.size:
                continue
            is_whole = is_whole and not (lit % 1).any()
            dimmest = float(lit.min())
            if dimmest < 0.75 * quantum:
                numerator = denominator = 0.0
            quantum = min(quantum, dimmest)
            dim = lit[lit < DIM_PHOTONS * quantum]
            photons = np.rint(dim / quantum)
            numerator += float((photons * photons).sum())
            denominator += float((photons * dim).sum())
    return 1.0 if is_whole or not 0 < denominator < math.inf else numerator / denominator
