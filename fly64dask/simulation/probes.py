"""The built-in probe: speckles of a diffuser in a pinhole, within the band of the detector and the array."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fly64dask.simulation.probe_light import BAND_EDGE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    ComplexArray = NDArray[np.complex64]

# All lengths are shares of the array's side N, all widths standard deviations (our choice, by the table of
# docs/simulation.md).
PINHOLE_RADIUS = 0.22  # 0.41 N holds 90 % of the power
PINHOLE_EDGE = 0.025
LENS_EDGE = 2.0  # in units of 1 / N cycles per px: the lens blurs by N / (4 pi), which stays inside the array
EDGES_TO_BAND_END = 2.5  # the lens's edge ends within the band
# Share of the amplitude that the lens scatters at all angles. An engine that starts from an empty object gives
# scattered photons the phase of the light that it expects there: without any, that is the phase of rounding errors.
STRAY_AMPLITUDE = 5e-3
SEED = 1  # of the diffuser; the same for all studies


def diffuser_probe(shape_px: tuple[int, int]) -> ComplexArray:
    """Make the probe of a diffuser in a pinhole, imaged by a lens.

    Parameters
    ----------
    shape_px : (int, int)
        (H, W); the shorter side is N.

    Returns
    -------
    (H, W) complex64
        Illumination centred on index (H // 2, W // 2), sum |P|^2 = 1.

    Notes
    -----
    The diffuser turns the phase of every plane wave, k / N cycles per px for whole k, at random. The pinhole cuts a
    disc with a soft edge out of their sum, and the lens's round aperture takes what it passes: but for a little stray
    light, nothing beyond 0.8 of the Nyquist frequency. Its edge is soft so that the image stays compact: at the rim
    of a 64 px array it is darker than 1e-9 of its brightest pixel, and 5e-5 of its light is beyond the band. Waves are
    drawn from the lowest frequency on, so that arrays of nearly one size have nearly the same probe.

    Structure of the illumination is what LSQML converges by: with 1e7 photons and 25 epochs the phase error is 0.010
    rad, and 0.07 to 0.14 rad with lenses and annuli as large (docs/simulation.md). Diffusers are used for that
    with X-rays: Maiden et al., Nature Communications 4, 1669 (2013); Odstrcil et al., Optics Express 27,
    14981 (2019) structure a zone plate.
    """
    height, width = shape_px
    side = min(shape_px)
    y, x = (np.arange(height) - height // 2)[:, None], np.arange(width) - width // 2
    field = _diffuse_light(y, x, side)
    field *= _soft_disc(np.hypot(y, x), PINHOLE_RADIUS * side, PINHOLE_EDGE * side)
    edge = LENS_EDGE / side
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))
    lens = STRAY_AMPLITUDE + _soft_disc(frequency, BAND_EDGE * 0.5 - EDGES_TO_BAND_END * edge, edge)
    probe = np.fft.ifft2(np.fft.fft2(field) * lens)
    return np.asarray(probe / np.linalg.norm(probe), dtype=np.complex64)


def _diffuse_light(y: NDArray[np.int64], x: NDArray[np.int64], side: int) -> NDArray[np.complex128]:
    """Sum plane waves of random phase; the phases of low frequencies do not depend on how many there are."""
    highest = side // 2
    k = np.arange(-highest, highest + 1)
    k_y, k_x = (axis.ravel() for axis in np.meshgrid(k, k, indexing="ij"))
    from_the_lowest = np.lexsort((k_x, k_y, np.maximum(abs(k_y), abs(k_x))))
    phases = np.empty(len(k_y))
    phases[from_the_lowest] = 2 * np.pi * np.random.default_rng(SEED).random(len(k_y))
    waves_y, waves_x = np.exp(2j * np.pi * y * k / side), np.exp(2j * np.pi * k[:, None] * x / side)
    summed: NDArray[np.complex128] = waves_y @ np.exp(1j * phases.reshape(len(k), len(k))) @ waves_x
    return summed


def _soft_disc(radius: NDArray[np.float64], edge_radius: float, edge_width: float) -> NDArray[np.float64]:
    """A disc of height 1 whose edge is an error function of the given standard deviation."""
    from scipy.special import ndtr  # 0.2 s, which workers that simulate nothing need not wait for

    height: NDArray[np.float64] = ndtr((edge_radius - radius) / edge_width)
    return height
