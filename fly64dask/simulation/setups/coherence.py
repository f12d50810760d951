"""The coherent modes of a probe whose source is not a point."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fly64dask.base import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    ComplexArray = NDArray[np.complex64]

# Of the light that modes must hold; the rest is shared among them (our choice: as far as two forward models agree).
KEPT_POWER = 0.999
# Each is propagated at every position (our choice).
MAX_MODES = 64
# Products of the axes' eigenvalues below this share of the largest hold nothing that `KEPT_POWER` asks for, and those
# above it are 7 for each mode in the end (measured: 347 for 54 modes).
NO_POWER = 1e-5
MAX_MIXED = 8 * MAX_MODES


def coherent_modes(probe: ComplexArray, source_size_px: float) -> ComplexArray:
    """Find the coherent modes of a probe that a source of Gaussian profile makes partially coherent.

    Parameters
    ----------
    probe : (H, W) complex64
        The probe of a point source.
    source_size_px : float
        Rms radius of the source's image at the sample along each axis, px; 0 for a point.

    Returns
    -------
    (n, H, W) complex64
        Mutually orthogonal modes, brightest first, of the probe's power together.

    Raises
    ------
    InputError
        If more than `MAX_MODES` are needed.

    Notes
    -----
    Each point s of the source lights the sample with P(r - s), and intensities add up:
    J(r, r') = integral of g(s) P(r - s) P*(r' - s) ds (Goodman, Statistical Optics, chapter 5). In Fourier space that
    is P(f) P*(f') exp(-2 pi^2 sigma^2 |f - f'|^2), a Schell-model source. The Gaussian parts into its axes, and each
    axis into its eigenvectors; what they make of the probe is diagonalised, and the brightest modes are kept that hold
    `KEPT_POWER` of the light (mixed states: Thibault & Menzel, Nature 494, 68 (2013)).
    """
    if source_size_px == 0:
        return probe[None]
    rows, columns = (_axis_factors(size, source_size_px) for size in probe.shape)
    of_rows, of_columns = _brightest_pairs(rows, columns)
    if len(of_rows) > MAX_MIXED:
        raise _too_many_modes(source_size_px)
    spectra = rows[of_rows, :, None] * columns[of_columns, None, :] * np.fft.fft2(probe.astype(np.complex128))
    mixed = np.fft.ifft2(spectra).reshape(-1, probe.size)
    powers, vectors = np.linalg.eigh(mixed @ mixed.conj().T)
    powers, vectors = powers[::-1], vectors[:, ::-1]
    n_modes = int(np.searchsorted(np.cumsum(powers), KEPT_POWER * powers.sum())) + 1
    if n_modes > MAX_MODES:
        raise _too_many_modes(source_size_px)
    modes = (vectors[:, :n_modes].conj().T @ mixed).reshape(n_modes, *probe.shape)
    modes *= np.sqrt((np.abs(probe.astype(np.complex128)) ** 2).sum() / powers[:n_modes].sum())
    return np.asarray(modes, dtype=np.complex64)


def _axis_factors(size: int, source_size_px: float) -> NDArray[np.float64]:
    """Factor the coherence between the frequencies of an axis: K = sum of v v^T over the rows v, (k, N)."""
    frequency = np.fft.fftfreq(size)
    coherence = np.exp(-2 * (np.pi * source_size_px * (frequency[:, None] - frequency)) ** 2)
    eigenvalues, vectors = np.linalg.eigh(coherence)
    held = eigenvalues > NO_POWER * eigenvalues[-1]
    factors: NDArray[np.float64] = (vectors[:, held] * np.sqrt(eigenvalues[held])).T
    return factors


def _brightest_pairs(rows: NDArray[np.float64], columns: NDArray[np.float64]) -> tuple[NDArray[np.intp], ...]:
    """Number the pairs of a factor of the rows and one of the columns whose product holds power."""
    powers = np.multiply.outer((rows**2).sum(axis=1), (columns**2).sum(axis=1))
    return np.nonzero(powers > NO_POWER * powers.max())


def _too_many_modes(source_size_px: float) -> InputError:
    return InputError(
        f"setup.source_size_px = {source_size_px:g}: more than {MAX_MODES} coherent modes are needed to hold "
        f"{KEPT_POWER:g} of the light, each of which is propagated at every position",
        remedy="lower it",
    )
