"""A starting probe that is not the true one: of another size, out of focus, and noisy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fly64dask.simulation.setups.streams import setup_stream

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fly64dask.study import Setup

    ComplexArray = NDArray[np.complex64]

NYQUIST_PER_PX = 0.5  # cycles per px


def mistake_probe(probe: ComplexArray, setup: Setup, *, seed: int) -> ComplexArray:
    """Make the probe that an engine starts from, as a setup mistakes it.

    Parameters
    ----------
    probe : (..., H, W) complex64
        The true probe.
    setup : Setup
        Says how it is mistaken: first its size, then its focus, then noise.
    seed : int
        The study's seed of the simulation, for the noise.

    Returns
    -------
    (..., H, W) complex64
        A probe of the same power; the same array where nothing is mistaken.
    """
    mistaken = probe
    if setup.probe_size_error:
        mistaken = magnified(mistaken, 1 + setup.probe_size_error)
    if setup.probe_defocus_waves:
        mistaken = defocused(mistaken, setup.probe_defocus_waves)
    if setup.probe_noise:
        mistaken = noisy(mistaken, setup.probe_noise, rng=setup_stream(seed, "probe_noise"))
    if mistaken is probe:
        return probe
    return np.asarray(mistaken * np.sqrt(_power(probe) / _power(mistaken)), dtype=np.complex64)


def defocused(probe: ComplexArray, waves: float) -> ComplexArray:
    """Propagate a probe out of focus.

    Parameters
    ----------
    probe : (..., H, W) complex64
        The probe.
    waves : float
        Path difference between the zero frequency and the Nyquist frequency W: the probe is propagated by
        z = 8 W p^2 / wavelength for pixels of side p.

    Notes
    -----
    Multiplies the spectrum by exp(-i pi wavelength z f^2) = exp(-2 pi i W (f / f_Nyquist)^2), the transfer function of
    Fresnel propagation (Goodman, Introduction to Fourier Optics, section 4.2).
    """
    height, width = probe.shape[-2:]
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))
    transfer = np.exp(-2j * np.pi * waves * (frequency / NYQUIST_PER_PX) ** 2)
    return np.asarray(np.fft.ifft2(np.fft.fft2(probe) * transfer), dtype=np.complex64)


def magnified(probe: ComplexArray, magnification: float) -> ComplexArray:
    """Magnify a probe about its centre (H // 2, W // 2): P'(r) = P(r / m); darkness lies beyond the array.

    Parameters
    ----------
    probe : (..., H, W) complex64
        The probe, on whose grid the result is too.
    magnification : float
        m; above 0.

    Notes
    -----
    Values between pixels are those of the array's Fourier series.
    """
    (rows, inside_y), (columns, inside_x) = (_sampling(size, magnification) for size in probe.shape[-2:])
    values = rows @ np.fft.fft2(probe) @ columns.T
    return np.asarray(values * (inside_y[:, None] & inside_x), dtype=np.complex64)


def _sampling(size: int, magnification: float) -> tuple[NDArray[np.complex128], NDArray[np.bool_]]:
    """Matrix from the spectrum along an axis to the values at r / m, (N, N), and which of these lie in the array."""
    centred = (np.arange(size) - size // 2) / magnification
    phases = 2j * np.pi * np.outer(centred + size // 2, np.fft.fftfreq(size))
    return np.asarray(np.exp(phases) / size, dtype=np.complex128), np.abs(centred) <= size / 2


def noisy(probe: ComplexArray, relative: float, *, rng: np.random.Generator) -> ComplexArray:
    """Multiply each pixel by 1 + e, with e complex, normal and of that rms, independent from pixel to pixel."""
    real, imaginary = rng.normal(scale=relative / np.sqrt(2), size=(2, *probe.shape))
    return np.asarray(probe * (1 + real + 1j * imaginary), dtype=np.complex64)


def _power(probe: NDArray[np.complexfloating]) -> float:
    return float((np.abs(probe.astype(np.complex128)) ** 2).sum())
