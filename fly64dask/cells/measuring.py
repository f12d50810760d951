"""What is measured of a reconstruction once the engine has returned: against the truth, and between half sets."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fly64dask.datasets import read_truth
from fly64dask.metrics import HalfSetMetrics
from fly64dask.store import ArraySource, whole_array

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fly64dask.cells.request import CellRequest
    from fly64dask.metrics import RingCorrelation, TruthComparison, TruthMetrics
    from fly64dask.reconstruction import Exposures, Reconstruction


CURVES = {
    "frc_n_pixels": "independent Fourier pixels of a ring",
    "frc_truth": "Fourier ring correlation with the truth",
    "frc_empty": "Fourier ring correlation of an empty object with the truth",
    "frc_halves": "Fourier ring correlation of the halves",
    "frc_halves_n_pixels": "independent Fourier pixels of a ring",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The numbers measured of a reconstruction, the curves to store beside it, and the seconds that it took.

    `seconds` is None if there was nothing to compare with.
    """

    metrics: TruthMetrics | None
    half_sets: HalfSetMetrics | None
    curves: list[ArraySource]
    seconds: float | None


def measure(
    request: CellRequest,
    exposures: Exposures,
    result: Reconstruction,
    *,
    pixel_size_nm: tuple[float, float] | None = None,
) -> Measured:
    """Compare a reconstruction with the truth, and two half sets with each other, where there are any.

    Parameters
    ----------
    request : CellRequest
        What was asked.
    exposures : Exposures
        What the engine saw.
    result : Reconstruction
        What it returned.
    pixel_size_nm : (float, float), optional
        Sides (y, x) of a pixel of the object.
    """
    started = time.perf_counter()
    is_measured_scan = request.study.source.kind == "measured"
    truth = None if is_measured_scan else _compare_with_truth(request, exposures, result, pixel_size_nm)
    half_sets, half_curves = _compare_halves(request, exposures, result, pixel_size_nm)
    seconds = time.perf_counter() - started
    return Measured(
        metrics=truth.metrics if truth else None,
        half_sets=half_sets,
        curves=[*_truth_curves(truth), *half_curves],
        seconds=seconds if truth or half_sets else None,
    )


def _compare_with_truth(
    request: CellRequest, exposures: Exposures, result: Reconstruction, pixel_nm: tuple[float, float] | None
) -> TruthComparison | None:
    """Open the truth and compare; None if there is no truth."""
    layout, object_seed = request.layout, request.cell.object_seed
    if not layout.truth_group(object_seed).exists():
        return None
    truth = read_truth(layout, object_seed)
    from fly64dask.metrics import compare_with_truth

    return compare_with_truth(
        result.object_recon[0],
        truth.object_truth,
        origin_px=result.object_origin_px,
        probe=truth.probe,
        positions_px=exposures.positions_px,
        pixel_nm=pixel_nm,
    )


def _compare_halves(
    request: CellRequest, exposures: Exposures, result: Reconstruction, pixel_nm: tuple[float, float] | None
) -> tuple[HalfSetMetrics | None, list[ArraySource]]:
    split_by = request.recipe.halves
    if split_by == "none":
        return None, []
    if result.half_objects is None:
        return HalfSetMetrics(split_by=split_by, missing=result.no_halves or "the engine made none"), []
    from fly64dask.reconstruction import compare_halves, shared_area

    shape = (result.half_objects.shape[1], result.half_objects.shape[2])
    area = shared_area(exposures, split_by, shape, result.object_origin_px)
    metrics, curve = compare_halves(result.half_objects, area, split_by, pixel_nm=pixel_nm)
    curves = {"frc_halves": curve.correlation, "frc_halves_n_pixels": curve.n_pixels}
    return metrics, _ring_curves("frc_halves_frequency", curve, curves)


def _truth_curves(comparison: TruthComparison | None) -> list[ArraySource]:
    """Describe the Fourier ring correlations with the truth."""
    if comparison is None or comparison.frc_truth is None or comparison.frc_empty is None:
        return []
    truth, empty = comparison.frc_truth, comparison.frc_empty
    curves = {"frc_n_pixels": truth.n_pixels, "frc_truth": truth.correlation, "frc_empty": empty.correlation}
    return _ring_curves("frc_frequency", truth, curves)


def _ring_curves(
    frequency_name: str, rings: RingCorrelation, curves: Mapping[str, NDArray[np.float64]]
) -> list[ArraySource]:
    """Describe values of the same rings, and the rings' spatial frequency (cycles/px) as their coordinate."""
    frequency = whole_array(
        frequency_name,
        rings.frequency_per_px.astype(np.float32),
        dims=(frequency_name,),
        units="cycles/px",
        long_name="spatial frequency",
    )
    return [
        frequency,
        *(
            whole_array(name, values.astype(np.float32), dims=(frequency_name,), long_name=CURVES[name])
            for name, values in curves.items()
        ),
    ]
