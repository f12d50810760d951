"""How a reconstruction of a measured scan differs from a reference, another reconstruction, which is no truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fly64dask.base import InputError
from fly64dask.metrics.against_truth import MIN_AREA_PX, Reference, measure_against
from fly64dask.metrics.alignment import PhasePlane
from fly64dask.metrics.results import ReferenceMetrics
from fly64dask.metrics.ring_correlation import RingCorrelation, crossing
from fly64dask.scan import crop_to_frame

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROUNDING = 1e-5  # of phases in rad, and of amplitudes about 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceObject:
    """A reconstruction that others are compared with.

    `image` (Y, X) complex, whose pixel [0, 0] is the scan frame's `origin_px` (y, x); `trusted` (Y, X) bool, where it
    was illuminated; `sha256` of the stored array or file; `pixel_nm` the sides (y, x) of a pixel, if a file says them.
    """

    name: str
    image: NDArray[np.number]
    origin_px: tuple[int, int]
    trusted: NDArray[np.bool_]
    sha256: str
    pixel_nm: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceComparison:
    """The numbers of a comparison with a reference, and the ring correlation behind them if the area is large."""

    metrics: ReferenceMetrics
    frc: RingCorrelation | None


def reference_in_area(
    reference: ReferenceObject,
    illuminated: NDArray[np.bool_],
    origin_px: tuple[int, int],
    *,
    pixel_nm: tuple[float, float] | None = None,
) -> Reference:
    """Cut a reference to a reconstruction's frame.

    Parameters
    ----------
    reference : ReferenceObject
        The reference; its global phase and ramp, which no data tell, are taken off, so that its phases have a range.
    illuminated : (y, x) bool
        Where the reconstruction's own exposures illuminated the object.
    origin_px : (int, int)
        Scan-frame (y, x) of the frame's first pixel.
    pixel_nm : (float, float), optional
        Sides (y, x) of a pixel.

    Returns
    -------
    Reference
        Compared where both were illuminated.

    Raises
    ------
    InputError
        If the reference was illuminated at less than three pixels, or is not finite there.
    """
    if reference.trusted.sum() < MIN_AREA_PX or not np.isfinite(reference.image[reference.trusted]).all():
        raise InputError(
            f"compare with {reference.name}: it is not finite, or illuminated at {reference.trusted.sum()} px, "
            f"needed {MIN_AREA_PX}",
            remedy="choose another reference",
        )
    image = np.where(np.isfinite(reference.image), reference.image, 1).astype(np.complex128)
    flat = image * PhasePlane(reference.trusted).fit(image).wave(image.shape).conj()
    offset = (origin_px[0] - reference.origin_px[0], origin_px[1] - reference.origin_px[1])
    shape = (illuminated.shape[0], illuminated.shape[1])
    cut, covered = crop_to_frame(flat.astype(np.complex64), shape, offset)
    trusted, _ = crop_to_frame(reference.trusted.astype(np.complex64), shape, offset)
    values = flat[reference.trusted]
    return Reference(
        image=cut,
        inside=illuminated & covered & (trusted.real > 0.5),
        phase_range_rad=_range(np.angle(values)),
        amplitude_range=_range(np.abs(values)),
        pixel_nm=pixel_nm,
    )


def _range(values: NDArray[np.float64]) -> float:
    """Largest less smallest value; 0 where they differ by single precision's rounding alone."""
    span = float(np.ptp(values))
    return span if span > ROUNDING else 0.0


def measure_with_reference(name: str, reference: Reference, object_recon: NDArray[np.number]) -> ReferenceComparison:
    """Align a reconstruction and an empty object with a reference and measure both; see `measure_against`.

    Parameters
    ----------
    name : str
        Of the reference.
    reference : Reference
        In the reconstruction's frame.
    object_recon : (y, x) complex
        The reconstruction.

    Returns
    -------
    ReferenceComparison

    Raises
    ------
    InputError
        If the two share no area, or the reconstruction is not finite there.
    """
    compared = measure_against(reference, object_recon)
    found, curve = compared.metrics, compared.frc_truth
    return ReferenceComparison(
        metrics=ReferenceMetrics(
            name=name,
            phase_rmse_rad=found.phase_rmse_rad,
            over_empty=found.phase_rmse_rad / found.empty_phase_rmse_rad if found.empty_phase_rmse_rad else None,
            phase_ssim=found.phase.ssim,
            amplitude_rmse=found.amplitude.rmse,
            n_pixels=found.n_pixels,
            half_bit=crossing(curve, "half_bit") if curve else None,
            one_bit=crossing(curve, "one_bit") if curve else None,
            is_registered=not found.alignment.shift_beyond_bound,
        ),
        frc=curve,
    )
