"""The built-in probe: a pinhole with a phase plate, imaged by a lens, within the band of the detector and the array."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fly64dask.simulation.probe_light import BAND_EDGE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    ComplexArray = NDArray[np.complex64]
    FloatArray = NDArray[np.float64]

# Lengths are shares of the array's side N, widths standard deviations (our choice, by the table of
# docs/reference/study/simulation.md).
PINHOLE_RADIUS = 0.22  # 0.41 N holds 90 % of the power
PINHOLE_EDGE = 0.025
PLATE_PHASE_RAD = 2.5  # rms
PLATE_BAND_PER_PX = 0.06  # of its frequencies, in cycles per px: the phase varies over 2.7 px
LENS_EDGE = 2.0  # in units of 1 / N cycles per px: the lens blurs by N / (4 pi), which stays inside the array
EDGES_TO_BAND_END = 2.5  # the lens's edge ends within the band
# Amplitude that is scattered to all angles, of the pinhole's. An engine that starts from an empty object gives photons
# the phase of the light that it expects where they arrive: without any, that is the phase of rounding errors.
STRAY_AMPLITUDE = 5e-3
SEED = 1  # of the plate; the same for all studies


def phase_plate_probe(shape_px: tuple[int, int]) -> ComplexArray:
    """Make the probe of a pinhole with a phase plate in it, imaged by a lens.

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
    The plate turns the phase smoothly and at random, so that the pinhole is evenly bright and the detector is not. The
    lens has a round aperture that ends within 0.8 of the Nyquist frequency, with a soft edge, so that the image stays
    compact. At the rim of a 64 px array it is darker than 1e-9 of its brightest pixel, and 2e-5 of its light is beyond
    the band: stray light. The plate is a sum of plane waves, drawn from the lowest frequency on: arrays of nearly one
    size have nearly the same probe.

    Structure in the detector's plane is what LSQML converges by: with 1e7 photons and 25 epochs the phase error is
    0.005 rad, and 0.05 to 0.13 rad with lenses and annuli of the same size (docs/reference/study/simulation.md).
    Diffusers are used for that with X-rays: Maiden et al., Nature Communications 4, 1669 (2013); Odstrcil et al.,
    Optics Express 27, 14981 (2019) structure a zone plate.
    """
    height, width = shape_px
    side = min(shape_px)
    y, x = (np.arange(height) - height // 2)[:, None], np.arange(width) - width // 2
    plate, stray = _random_waves(y, x, side)
    pinhole = _soft_disc(np.hypot(y, x), PINHOLE_RADIUS * side, PINHOLE_EDGE * side)
    edge = LENS_EDGE / side
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))
    lens = _soft_disc(frequency, BAND_EDGE * 0.5 - EDGES_TO_BAND_END * edge, edge)
    probe = np.fft.ifft2(np.fft.fft2(pinhole * np.exp(1j * PLATE_PHASE_RAD * plate)) * lens)
    probe += STRAY_AMPLITUDE * pinhole * stray
    return np.asarray(probe / np.linalg.norm(probe), dtype=np.complex64)


def _random_waves(y: NDArray[np.int64], x: NDArray[np.int64], side: int) -> tuple[FloatArray, NDArray[np.complex128]]:
    """Sum plane waves of random phase: real and smooth, and complex with all frequencies; both of rms 1.

    Waves have k / N cycles per px for whole k; the phases of low ones do not depend on how many there are.
    """
    k = np.arange(-(side // 2), side // 2 + 1)
    k_y, k_x = (axis.ravel() for axis in np.meshgrid(k, k, indexing="ij"))
    from_the_lowest = np.lexsort((k_x, k_y, np.maximum(abs(k_y), abs(k_x))))
    phases = np.empty(len(k_y))
    phases[from_the_lowest] = 2 * np.pi * np.random.default_rng(SEED).random(len(k_y))
    rough = np.exp(1j * phases.reshape(len(k), len(k)))
    smooth = rough * np.exp(-0.5 * (np.hypot(k[:, None], k) / (PLATE_BAND_PER_PX * side)) ** 2)
    waves_y, waves_x = np.exp(2j * np.pi * y * k / side), np.exp(2j * np.pi * k[:, None] * x / side)
    real = (waves_y @ smooth @ waves_x).real * np.sqrt(2) / np.linalg.norm(smooth)
    return real, waves_y @ rough @ waves_x / np.linalg.norm(rough)


def _soft_disc(radius: FloatArray, edge_radius: float, edge_width: float) -> FloatArray:
    """A disc of height 1 whose edge is an error function of the given standard deviation."""
    from scipy.special import ndtr  # 0.2 s, which workers that simulate nothing need not wait for

    height: FloatArray = ndtr((edge_radius - radius) / edge_width)
    return height
