"""The error of a reconstruction against the truth on one grid, beside that of an empty object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fly64dask.base import InputError
from fly64dask.metrics.alignment import Aligned, align
from fly64dask.metrics.results import ImageMetrics, ObjectMetrics, RingMetrics, TruthMetrics
from fly64dask.metrics.ring_correlation import RingCorrelation, crossing, frc_with
from fly64dask.metrics.rings import MIN_SIDE_PX
from fly64dask.metrics.similarity import Similarity, similarities, whole_windows
from fly64dask.scan import bounding_box, crop_to_frame, illuminated_area, illumination_map

if TYPE_CHECKING:
    from numpy.typing import NDArray

MIN_AREA_PX = 3  # a plane has three parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """The truth in a reconstruction's frame, and the area in which they are compared.

    `image` (y, x) complex64; `inside` (y, x) bool, illuminated and known; `phase_range_rad` and
    `amplitude_range` of the whole truth, so that all cells of a study share them; `pixel_nm` are the
    sides (y, x) of a pixel.
    """

    image: NDArray[np.complex64]
    inside: NDArray[np.bool_]
    phase_range_rad: float
    amplitude_range: float
    pixel_nm: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TruthComparison:
    """The numbers of a comparison with the truth and the curves behind them, absent where the area is too small."""

    metrics: TruthMetrics
    frc_truth: RingCorrelation | None
    frc_empty: RingCorrelation | None


def reference_in_frame(
    object_truth: NDArray[np.complex64],
    *,
    shape_px: tuple[int, int],
    origin_px: tuple[int, int],
    probe: NDArray[np.complex64],
    positions_px: NDArray[np.float64],
    pixel_nm: tuple[float, float] | None = None,
) -> Reference:
    """Cut the truth to a frame and find the illuminated area.

    Parameters
    ----------
    object_truth : (Y', X') complex64
        The truth, in the scan frame.
    shape_px, origin_px : (int, int)
        (Y, X) of the frame, and the scan-frame (y, x) of its pixel [0, 0].
    probe : (..., H, W) complex64
        The probe that illuminated the scan.
    positions_px : (n, 2) float64
        Kept positions, order (y, x), px.
    pixel_nm : (float, float), optional
        Sides (y, x) of a pixel.

    Returns
    -------
    Reference
    """
    image, is_known = crop_to_frame(object_truth, shape_px, origin_px)
    phase, amplitude = np.angle(object_truth), np.abs(object_truth)
    return Reference(
        image=image,
        inside=illuminated_area(illumination_map(probe, positions_px, shape_px, origin_px)) & is_known,
        phase_range_rad=float(np.ptp(phase)),
        amplitude_range=float(np.ptp(amplitude)),
        pixel_nm=pixel_nm,
    )


def measure_against(reference: Reference, object_recon: NDArray[np.number]) -> TruthComparison:
    """Align a reconstruction and an empty object with the truth and measure both.

    Parameters
    ----------
    reference : Reference
        The truth in the reconstruction's frame.
    object_recon : (Y, X) complex
        The reconstruction, on the same grid to within a few pixels.

    Returns
    -------
    TruthComparison

    Raises
    ------
    InputError
        If the area is empty, or the reconstruction is not finite there.
    """
    inside = reference.inside
    if inside.sum() < MIN_AREA_PX:
        raise InputError(
            f"measure: the illuminated area has {inside.sum()} px in the truth, needed {MIN_AREA_PX}",
            remedy="scan where the object is",
        )
    if not np.isfinite(object_recon[inside]).all() or not object_recon[inside].any():
        raise InputError(
            "measure: the reconstruction is not finite, or zero throughout, inside the illuminated area",
            remedy="give one that is",
        )
    recon = align(object_recon, reference.image, inside)
    empty = align(np.ones(reference.image.shape), reference.image, inside)
    (of_recon, frc_truth), (of_empty, frc_empty) = _compared([recon, empty], reference)
    return TruthComparison(
        metrics=TruthMetrics(
            **dict(of_recon),
            phase_rmse_rad=of_recon.phase.rmse,
            empty_phase_rmse_rad=of_empty.phase.rmse,
            no_better_than_empty=of_recon.phase.rmse >= of_empty.phase.rmse,
            n_pixels=int(inside.sum()),
            empty=of_empty,
            alignment=recon.alignment,
        ),
        frc_truth=frc_truth,
        frc_empty=frc_empty,
    )


def compare_with_truth(
    object_recon: NDArray[np.complex64],
    object_truth: NDArray[np.complex64],
    *,
    origin_px: tuple[int, int],
    probe: NDArray[np.complex64],
    positions_px: NDArray[np.float64],
    pixel_nm: tuple[float, float] | None = None,
) -> TruthComparison:
    """Measure a reconstruction in a frame of its own; see `reference_in_frame` and `measure_against`.

    Parameters
    ----------
    object_recon : (Y, X) complex64
        The reconstruction.
    object_truth : (Y', X') complex64
        The truth, in the scan frame.
    origin_px : (int, int)
        Scan-frame (y, x) of the reconstruction's pixel [0, 0].
    probe : (..., H, W) complex64
        The probe that illuminated the scan.
    positions_px : (n, 2) float64
        Kept positions, order (y, x), px.
    pixel_nm : (float, float), optional
        Sides (y, x) of a pixel.

    Returns
    -------
    TruthComparison
    """
    shape = (object_recon.shape[0], object_recon.shape[1])
    reference = reference_in_frame(
        object_truth,
        shape_px=shape,
        origin_px=origin_px,
        probe=probe,
        positions_px=positions_px,
        pixel_nm=pixel_nm,
    )
    return measure_against(reference, object_recon)


def _compared(objects: Sequence[Aligned], reference: Reference) -> list[tuple[ObjectMetrics, RingCorrelation | None]]:
    """Measure aligned objects on the area's bounding box."""
    box = bounding_box(reference.inside)
    inside, truth = reference.inside[box], reference.image[box].astype(np.complex128)
    images = [np.where(inside, aligned.image[box], truth) for aligned in objects]
    curves: Sequence[RingCorrelation | None] = [None] * len(images)
    if min(inside.shape) >= MIN_SIDE_PX:
        curves = frc_with(images, truth, inside, pixel_nm=reference.pixel_nm)
    true_phase = np.angle(truth)
    # The difference is wrapped, not the phase: a truth beyond pi wraps in both images at once.
    phases = [true_phase + np.angle(image * truth.conj()) for image in images]
    levels = whole_windows(inside)
    of_phase = _image_metrics(phases, true_phase, inside, levels, reference.phase_range_rad)
    amplitudes = [np.abs(image) for image in images]
    of_amplitude = _image_metrics(amplitudes, np.abs(truth), inside, levels, reference.amplitude_range)
    return [
        (
            ObjectMetrics(
                phase=phase,
                amplitude=amplitude,
                frc=curve and _ring_metrics(curve),
            ),
            curve,
        )
        for phase, amplitude, curve in zip(of_phase, of_amplitude, curves, strict=True)
    ]


def _ring_metrics(curve: RingCorrelation) -> RingMetrics:
    return RingMetrics(
        half_bit=crossing(curve, "half_bit"), one_bit=crossing(curve, "one_bit"), half=crossing(curve, "half")
    )


def _image_metrics(
    images: Sequence[NDArray[np.float64]],
    truth: NDArray[np.float64],
    inside: NDArray[np.bool_],
    levels: list[NDArray[np.bool_]],
    peak: float,
) -> list[ImageMetrics]:
    alike_images = [Similarity(ssim=None, ms_ssim=None, n_levels=None)] * len(images)
    if peak:
        alike_images = similarities(images, truth, levels, peak=peak)
    measured = []
    for image, alike in zip(images, alike_images, strict=True):
        errors = (image - truth)[inside]
        rmse = float(np.sqrt(np.mean(errors**2)))
        measured.append(
            ImageMetrics(
                rmse=rmse,
                mae=float(np.mean(np.abs(errors))),
                peak=peak,
                psnr_db=float(20 * np.log10(peak / rmse)) if peak > 0 and rmse > 0 else None,
                ssim=alike.ssim,
                ms_ssim=alike.ms_ssim,
                ms_ssim_levels=alike.n_levels,
            )
        )
    return measured
