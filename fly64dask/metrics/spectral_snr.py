"""The spectral signal-to-noise ratio of images that repeat each other: what they share over what they do not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from fly64dask.metrics.rings import Rings

if TYPE_CHECKING:
    from numpy.typing import NDArray

MIN_REPEATS = 3  # a variance of two numbers is hardly one (our choice)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpectralSnr:
    """`frequency_per_px` (k,) float64, cycles / px; `snr` (k,) float64, of power, in one image; of `n_repeats`.

    A ring has about 0 without a signal, and may lie below; infinity where the repeats do not differ.
    """

    frequency_per_px: NDArray[np.float64]
    snr: NDArray[np.float64]
    n_repeats: int


@dataclass(slots=True)
class SnrSums:
    """Adds up repeats of an image one after the other; two arrays of the area's box are kept, however many they are.

    Parameters
    ----------
    rings : Rings
        Around the area in which they are compared.

    Notes
    -----
    With F_i the spectra of n images that show the same under noise of their own, on each ring

        SNR = sum |mean F|^2 / sum var F - 1 / n,    var F = sum_i |F_i - mean F|^2 / (n - 1),

    both sums over the ring's Fourier pixels. |mean F|^2 holds the noise of the mean, var F / n, in expectation: hence
    the last term. Where photons are the noise the ratio grows with the fluence, and its root, a ratio of amplitudes,
    with the root of it.

    Source: M. Unser, B. L. Trus, A. C. Steven, Ultramicroscopy 23, 39 (1987), there for the mean of the n images: n
    times this ratio.
    """

    rings: Rings
    n_repeats: int = 0
    _sum: NDArray[np.complex128] = field(init=False)
    _power: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        """Begin with nothing."""
        self._sum = np.zeros(self.rings.window.shape, dtype=np.complex128)
        self._power = np.zeros(self.rings.window.shape)

    def add(self, image: NDArray[np.number]) -> None:
        """Add a repeat (y, x), aligned with the others."""
        spectrum = self.rings.spectrum(image)
        self._sum += spectrum
        self._power += np.abs(spectrum) ** 2
        self.n_repeats += 1

    def snr(self) -> SpectralSnr | None:
        """Compute the ratio on each ring; None with fewer than three repeats."""
        n = self.n_repeats
        if n < MIN_REPEATS:
            return None
        of_mean = np.abs(self._sum / n) ** 2
        variance = self.rings.sums((self._power - n * of_mean) / (n - 1))
        signal = self.rings.sums(of_mean)
        # What rounding leaves of equal images is no variance.
        differs = variance > 1e-12 * signal
        ratio = np.divide(signal, variance, out=np.full(len(signal), np.inf), where=differs) - 1 / n
        return SpectralSnr(frequency_per_px=self.rings.frequency_per_px, snr=ratio, n_repeats=n)
