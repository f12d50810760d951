"""The forward model: exit waves and far-field intensities of a scan, in batches of bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fly64dask.base import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    ComplexArray = NDArray[np.complex64]

BATCH_EXPOSURES = 64  # 64 patterns of 128 x 128 take 8 MB in complex64; larger batches leave the cache


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The object and the probe of a simulated scan.

    `object_truth` is (Y, X) complex64 transmission, `probe` (H, W) complex64 illumination
    centred on index (H // 2, W // 2).
    """

    object_truth: ComplexArray
    probe: ComplexArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Brightness:
    """The noise-free intensity of a whole scan, in the probe's own units."""

    mean_total: float
    brightest_pixel: float


def exit_waves(pair: Pair, positions_px: NDArray[np.float64]) -> ComplexArray:
    """Illuminate the object at each position, (n, 2) px, order (y, x), sub-pixel; (n, H, W) complex64, probe times
    patch.

    Patch centres are at index N / 2. The fraction of a pixel is a shift of the patch by the Fourier shift theorem, the
    interpolation that pty-chi uses as well.
    """
    import scipy.fft  # 0.2 s, which workers that simulate nothing need not wait for

    height, width = pair.probe.shape
    corner = positions_px - (height // 2, width // 2)
    whole = np.floor(corner).astype(np.int64)
    rest = (corner - whole).astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(pair.object_truth, (height, width))
    patches = windows[whole[:, 0], whole[:, 1]]
    if rest.any():
        ramp_y = np.exp(2j * np.pi * rest[:, 0, None] * np.fft.fftfreq(height)).astype(np.complex64)
        ramp_x = np.exp(2j * np.pi * rest[:, 1, None] * np.fft.fftfreq(width)).astype(np.complex64)
        spectrum = scipy.fft.fft2(patches)
        spectrum *= ramp_y[:, :, None]
        spectrum *= ramp_x[:, None, :]
        patches = scipy.fft.ifft2(spectrum, overwrite_x=True)
    waves: ComplexArray = patches * pair.probe
    return waves


def diffraction_intensity(waves: ComplexArray) -> NDArray[np.float32]:
    """Propagate exit waves to the far field: |FFT2|^2 / (H W), (n, H, W) float32, zero frequency at (H // 2, W // 2).

    Each pattern has the same sum as its exit wave's intensity (Parseval).
    """
    import scipy.fft  # 0.2 s, which workers that simulate nothing need not wait for

    far = scipy.fft.fft2(waves, norm="ortho")
    intensity: NDArray[np.float32] = scipy.fft.fftshift(far.real**2 + far.imag**2, axes=(-2, -1))
    return intensity


def intensity_batches(
    pair: Pair, positions_px: NDArray[np.float64], *, batch: int = BATCH_EXPOSURES
) -> Iterator[NDArray[np.float32]]:
    """Compute the noise-free patterns of a scan, (n, H, W) float32 of at most `batch` exposures at a time, in their
    order.

    Parameters
    ----------
    pair : Pair
        Object and probe.
    positions_px : (n, 2) float64
        Patch centres, order (y, x), px.
    batch : int
        Exposures in memory at once.
    """
    for start in range(0, len(positions_px), batch):
        yield diffraction_intensity(exit_waves(pair, positions_px[start : start + batch]))


def survey_brightness(pair: Pair, positions_px: NDArray[np.float64]) -> Brightness:
    """Measure the noise-free intensity of the whole scan.

    Parameters
    ----------
    pair : Pair
        Object and probe.
    positions_px : (n, 2) float64
        All positions of the scan, both splits.

    Returns
    -------
    Brightness
        Its `mean_total` is S = mean over exposures of sum |P O|^2, from which a dose gets its
        scale nphotons / S (the fly64 study design).

    Raises
    ------
    InputError
        If the mean intensity is zero or not finite.
    """
    total, brightest = 0.0, 0.0
    for intensity in intensity_batches(pair, positions_px):
        total += float(intensity.sum(dtype=np.float64))
        brightest = max(brightest, float(intensity.max()))
    mean = total / len(positions_px)
    if not (np.isfinite(mean) and mean > 0):
        raise InputError(
            f"simulate: the mean intensity per exposure is {mean}, needed a finite number above 0",
            remedy="check object and probe for zeros and NaN",
        )
    return Brightness(mean_total=mean, brightest_pixel=brightest)
