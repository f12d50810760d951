"""The forward model: exit waves and far-field intensities of a scan, in batches of bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fly64dask.base import InputError
from fly64dask.scan import nearest_pixels, patch_corners_px

if TYPE_CHECKING:
    from numpy.typing import NDArray

    ComplexArray = NDArray[np.complex64]

BATCH_EXPOSURES = 64  # 64 patterns of 128 x 128 take 8 MB in complex64; larger batches leave the cache


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The object and the probe of a simulated scan.

    `object_truth` is (Y, X) complex64 transmission, `probe` (H, W) complex64 illumination centred on index
    (H // 2, W // 2). The fine model has `object_fine` as well, (k Y, k X) complex64: what is illuminated then, k times
    as fine; `object_truth` is what the detector can resolve of it (`resample`). Pixel (i, j) of the one and (k i, k j)
    of the other are the same place.
    """

    object_truth: ComplexArray
    probe: ComplexArray
    object_fine: ComplexArray | None = None

    @property
    def oversampling(self) -> int:
        """Pixels of the illuminated object to one of the detector's grid, along an axis."""
        return 1 if self.object_fine is None else self.object_fine.shape[0] // self.object_truth.shape[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Brightness:
    """The noise-free intensity of a whole scan, in the probe's own units."""

    mean_total: float
    brightest_pixel: float


def resample(image: NDArray[np.complexfloating], shape_px: tuple[int, int]) -> ComplexArray:
    """Resample a periodic image by cutting or padding its spectrum, both sizes finer or both coarser.

    Parameters
    ----------
    image : (Y, X) complex
        Pixel [0, 0] stays where it is.
    shape_px : (int, int)
        Size of the same field in new pixels.

    Returns
    -------
    (int, int) complex64
        An image without what the coarser grid cannot hold.
    """
    import scipy.fft  # 0.2 s, which workers that simulate nothing need not wait for

    spectrum = scipy.fft.fftshift(scipy.fft.fft2(image.astype(np.complex128), norm="forward"))
    if shape_px[0] < image.shape[0]:
        spectrum = spectrum[_about_zero(image.shape, shape_px)]
    else:
        padded = np.zeros(shape_px, dtype=np.complex128)
        padded[_about_zero(shape_px, image.shape)] = spectrum
        spectrum = padded
    resampled = scipy.fft.ifft2(scipy.fft.ifftshift(spectrum), norm="forward")
    return np.asarray(resampled, dtype=np.complex64)


def _about_zero(shape: tuple[int, ...], part: tuple[int, ...]) -> tuple[slice, slice]:
    """Find the part of a centred spectrum that keeps the zero frequency at its own centre."""
    (y, x), (height, width) = (size // 2 - inner // 2 for size, inner in zip(shape, part, strict=True)), part
    return slice(y, y + height), slice(x, x + width)


def exit_waves(pair: Pair, positions_px: NDArray[np.float64]) -> ComplexArray:
    """Illuminate the object at each position; (n, H, W) complex64, or (n, k H, k W) in the fine model.

    Parameters
    ----------
    pair : Pair
        Object and probe.
    positions_px : (n, 2) float64
        Where the probe's centre is, order (y, x), px of the detector's grid.

    Notes
    -----
    exit(r) = P(r - d) O(r): the patch is cut at the nearest whole pixel of the illuminated object and the probe is
    moved by the rest d, at most half a pixel, with the Fourier shift theorem. pty-chi's LSQML assumes the same (its
    `fourier_shift` of the probe; Odstrcil et al., Optics Express 26, 3108 (2018)). It is exact for a probe that is dark
    at the array's rim and has no light at the highest frequencies (`measure_probe_light`). Moving the object's
    patch instead is not: a patch that is cut out is not periodic.
    """
    import scipy.fft  # 0.2 s, which workers that simulate nothing need not wait for

    fineness = pair.oversampling
    illuminated = pair.object_truth if pair.object_fine is None else pair.object_fine
    height, width = (fineness * size for size in pair.probe.shape)
    probe = pair.probe if fineness == 1 else resample(pair.probe, (height, width))
    corners = patch_corners_px(positions_px * fineness, pair.probe.shape, oversampling=fineness)
    patches = np.lib.stride_tricks.sliding_window_view(illuminated, (height, width))[corners[:, 0], corners[:, 1]]
    rest = positions_px * fineness - nearest_pixels(positions_px * fineness)
    if not rest.any():
        waves: ComplexArray = patches * probe
        return waves
    ramp_y, ramp_x = (
        np.exp(-2j * np.pi * rest[:, axis, None] * np.fft.fftfreq(size)).astype(np.complex64)
        for axis, size in enumerate((height, width))
    )
    spectra = scipy.fft.fft2(probe) * ramp_y[:, :, None]
    spectra *= ramp_x[:, None, :]
    waves = scipy.fft.ifft2(spectra, overwrite_x=True)
    waves *= patches
    return waves


def diffraction_intensity(waves: ComplexArray, *, oversampling: int = 1) -> NDArray[np.float32]:
    """Propagate exit waves to the far field and detect it.

    Parameters
    ----------
    waves : (n, k H, k W) complex64
        Exit waves on a grid k times as fine as the detector's.
    oversampling : int
        k. What is scattered beyond the detector is lost.

    Returns
    -------
    (n, H, W) float32
        |FFT2|^2 / (k H k W) / k^2, zero frequency at (H // 2, W // 2): without loss, a pattern has the sum of its exit
        wave's intensity on the detector's grid (Parseval).
    """
    import scipy.fft  # 0.2 s, which workers that simulate nothing need not wait for

    far = scipy.fft.fft2(waves, norm="ortho")
    intensity: NDArray[np.float32] = scipy.fft.fftshift(far.real**2 + far.imag**2, axes=(-2, -1))
    if oversampling == 1:
        return intensity
    height, width = (size // oversampling for size in waves.shape[-2:])
    rows, columns = _about_zero(waves.shape[-2:], (height, width))
    return intensity[:, rows, columns] / np.float32(oversampling**2)


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
        Exposures in memory at once; fewer in the fine model, which takes more for each.
    """
    fineness = pair.oversampling
    batch = max(1, batch // fineness**2)
    for start in range(0, len(positions_px), batch):
        waves = exit_waves(pair, positions_px[start : start + batch])
        yield diffraction_intensity(waves, oversampling=fineness)


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
