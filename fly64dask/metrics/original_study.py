"""The numbers of the original study's tables, by its conventions, of an aligned object and the truth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter
from skimage.metrics import structural_similarity

from fly64dask.base import InputError
from fly64dask.metrics.results import OriginalImageMetrics, OriginalMetrics
from fly64dask.metrics.similarity import SCALE_WEIGHTS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Image = NDArray[np.float64]

# All of them: hoidn/PtychoPINN, ptycho/evaluation.py and ptycho/image/registration.py.
PEAK = 255.0  # of an 8-bit photograph, which OpenCV's PSNR takes whatever the image's unit
AMPLITUDE_SIGMA_PX = 1.0
BORDER_PX = 2
MIN_SIDE_PX = 7  # scikit-image's uniform window
LEAST_SIMILARITY = 1e-4  # stands for a negative one


def measure_as_original(
    aligned: NDArray[np.number],
    truth: NDArray[np.number],
    positions_px: NDArray[np.float64],
    origin_px: tuple[int, int],
) -> OriginalMetrics:
    """Measure a registered object as the original study did.

    Parameters
    ----------
    aligned, truth : (y, x) complex
        On one grid, shift removed.
    positions_px : (n, 2) float64
        Kept positions, order (y, x), scan frame.
    origin_px : (int, int)
        Scan-frame (y, x) of pixel [0, 0].

    Returns
    -------
    OriginalMetrics

    Raises
    ------
    InputError
        If the rectangle is smaller than 7 px.

    Notes
    -----
    Cut to the rectangle of the positions less 2 px at each border; the plane of least squares is
    taken from each phase; the amplitude is scaled to the truth's mean. SSIM has a uniform window
    of 7 px, the truth's range for the amplitude and 2 pi for the phase. MS-SSIM is the product of
    whole SSIMs, to Wang's exponents, over up to five levels that keep every second pixel, of
    amplitudes smoothed by 1 px and of phases as they are.
    """
    low = np.maximum(np.floor(positions_px.min(axis=0)).astype(int) - origin_px, 0) + BORDER_PX
    high = np.ceil(positions_px.max(axis=0)).astype(int) - origin_px - BORDER_PX
    if min(high - low) < MIN_SIDE_PX:
        raise InputError(
            f"measure by the original's conventions: the kept positions span {high[0] - low[0]} x {high[1] - low[1]} "
            f"px less the border, needed {MIN_SIDE_PX} x {MIN_SIDE_PX} px",
            remedy="leave this cell out, or use our own convention",
        )
    image, target = (np.asarray(each)[low[0] : high[0], low[1] : high[1]] for each in (aligned, truth))
    phase, true_phase = (_without_plane(np.angle(each)) for each in (image, target))
    amplitude, true_amplitude = np.abs(image), np.abs(target)
    amplitude = amplitude * true_amplitude.mean() / amplitude.mean()
    smooth = [gaussian_filter(each, AMPLITUDE_SIGMA_PX) for each in (amplitude, true_amplitude)]
    turns = [(each + np.pi) / (2 * np.pi) for each in (phase, true_phase)]
    return OriginalMetrics(
        phase=_metrics(phase, true_phase, structural_similarity(*turns, data_range=1.0), _stride_two(*turns)),
        amplitude=_metrics(
            amplitude,
            true_amplitude,
            structural_similarity(amplitude, true_amplitude, data_range=np.ptp(true_amplitude)),
            _stride_two(*smooth),
        ),
        n_rows=target.shape[0],
        n_columns=target.shape[1],
    )


def _metrics(image: Image, truth: Image, ssim: float, ms_ssim: float) -> OriginalImageMetrics:
    mse = float(np.mean((image - truth) ** 2))
    return OriginalImageMetrics(
        mae=float(np.mean(np.abs(image - truth))),
        mse=mse,
        psnr_peak_255_db=float(10 * np.log10(PEAK**2 / mse)) if mse > 0 else None,
        ssim=min(1.0, float(ssim)),
        ms_ssim=min(1.0, ms_ssim),
    )


def _without_plane(phase: Image) -> Image:
    y, x = (axis.ravel() for axis in np.indices(phase.shape))
    terms = np.stack([x, y, np.ones(phase.size)], axis=1)
    fitted = terms @ np.linalg.lstsq(terms, phase.ravel(), rcond=None)[0]
    return np.asarray(phase - fitted.reshape(phase.shape))


def _stride_two(image: Image, truth: Image) -> float:
    """Product over levels; the range is that of the finest, and a level too small for a window ends it."""
    peak = max(np.ptp(image), np.ptp(truth))
    value = 1.0
    for weight in SCALE_WEIGHTS:
        value *= max(LEAST_SIMILARITY, float(structural_similarity(image, truth, data_range=peak))) ** weight
        image, truth = image[::2, ::2], truth[::2, ::2]
        if min(image.shape) < MIN_SIDE_PX:
            break
    return value
