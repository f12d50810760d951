"""Makes the curves of one cell: its losses, and its ring correlations with their thresholds and crossings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fly64dask.metrics import RingCorrelation, crossing, threshold
from fly64dask.report.images import Curve

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fly64dask.report.content import CurveKey

# Curves that a cell may have: an array, and the arrays that may be its x axis (none: the epochs).
CURVES: dict[CurveKey, tuple[str, ...]] = {
    "loss": (),
    "validation": (),
    "frc_truth": ("frc_frequency",),
    "frc_empty": ("frc_frequency",),
    "frc_halves": ("frc_halves_frequency", "frc_frequency"),
    "frc_reference": ("frc_reference_frequency",),
}
# The array with the number of independent pixels per ring of each curve; the curve whose resolution is shown first
# comes first.
RINGS: dict[CurveKey, str] = {
    "frc_halves": "frc_halves_n_pixels",
    "frc_truth": "frc_n_pixels",
    "frc_reference": "frc_reference_n_pixels",
}
CRITERIA: tuple[Literal["half_bit", "one_bit"], ...] = ("half_bit", "one_bit")


def curves_of(arrays: Mapping[str, NDArray[Any]]) -> tuple[Curve, ...]:
    """Return the curves that the arrays of a cell hold, by name, and the thresholds of its ring correlations."""
    curves = []
    for key, grids in CURVES.items():
        if key not in arrays:
            continue
        y = arrays[key].astype(np.float64)
        x = next((arrays[grid] for grid in grids if grid in arrays and len(arrays[grid]) == len(y)), None)
        if x is None and not grids:
            x = np.arange(1, len(y) + 1)
        if x is not None:
            curves.append(Curve(key=key, x=x.astype(np.float64), y=y))
    rings = {curve.key: rings_of_curve for curve in curves if (rings_of_curve := _rings(curve, arrays)) is not None}
    return (*[_with_crossings(curve, rings.get(curve.key)) for curve in curves], *_thresholds(rings))


def _rings(curve: Curve, arrays: Mapping[str, NDArray[Any]]) -> RingCorrelation | None:
    """Return a ring correlation with its numbers of pixels; None for another curve, or if an older version ran."""
    n_pixels = arrays.get(RINGS.get(curve.key, ""))
    if n_pixels is None or len(n_pixels) != len(curve.x):
        return None
    return RingCorrelation(frequency_per_px=curve.x, correlation=curve.y, n_pixels=n_pixels)


def _with_crossings(curve: Curve, rings: RingCorrelation | None) -> Curve:
    """Find where a ring correlation first falls below each criterion."""
    crossings = [(criterion, crossing(rings, criterion)) for criterion in CRITERIA] if rings else []
    places = [(criterion, at.frequency_per_px) for criterion, at in crossings if at is not None]
    return replace(
        curve, crossings=tuple((criterion, (x, float(np.interp(x, curve.x, curve.y)))) for criterion, x in places)
    )


def _thresholds(rings: Mapping[CurveKey, RingCorrelation]) -> Iterator[Curve]:
    """Return the half-bit and the 1-bit threshold of the curve whose resolution is shown first."""
    first = next((rings[key] for key in RINGS if key in rings), None)
    if first is not None:
        for criterion in CRITERIA:
            line = np.minimum(threshold(first, criterion), 1.0)
            yield Curve(key=criterion, x=first.frequency_per_px, y=line)
