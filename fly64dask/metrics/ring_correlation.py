"""The Fourier ring correlation of two aligned images, and the resolution up to which they agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from fly64dask.base import Frozen, Quantity
from fly64dask.metrics.rings import ROUNDING, Rings, refuse_incomparable

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Signal over noise in each of two half-data images whose sum has 2 ** 0.5 - 1, or 1: log2(1 + that) is half a bit a
# pixel, or a bit.
HALF_BIT_SNR, ONE_BIT_SNR = (2**0.5 - 1) / 2, 0.5

Criterion = Literal["half_bit", "one_bit", "half"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RingCorrelation:
    """A correlation curve; ring k, from 1, holds the frequencies nearest to k / (shorter side of the area's box).

    `frequency_per_px` (k,) float64, cycles / px, up to Nyquist's 0.5; `correlation` (k,)
    float64, -1 to 1; `n_pixels` (k,) float64, independent Fourier pixels of each ring. `side_nm` is that of a pixel;
    where pixels are known not to be square, rings are circles in 1 / nm, px are those of a square one of the same area
    with this side, and the last ring is the Nyquist frequency of the longer side.
    """

    frequency_per_px: NDArray[np.float64]
    correlation: NDArray[np.float64]
    n_pixels: NDArray[np.float64]
    side_nm: float | None = None


class Crossing(Frozen):
    """The point where a curve first falls below a criterion, on a straight line between two rings.

    `shell` counts rings, from 1; `resolution_px` is half a period there, 1 / (2 f), and `resolution_nm` the same where
    a pixel's size is known; of pixels that are not square, px is that of a square one of the same area.
    """

    shell: Annotated[float, Quantity("ring", "", "higher")] = Field(ge=1, allow_inf_nan=False)
    frequency_per_px: Annotated[float, Quantity("frequency", "cycles/px", "higher")] = Field(gt=0, allow_inf_nan=False)
    resolution_px: Annotated[float, Quantity("resolution (half a period)", "px", "lower")] = Field(
        gt=0, allow_inf_nan=False
    )
    resolution_nm: Annotated[float | None, Quantity("resolution (half a period)", "nm", "lower")] = Field(
        default=None, gt=0, allow_inf_nan=False
    )


def frc(
    first: NDArray[np.number],
    second: NDArray[np.number],
    inside: NDArray[np.bool_],
    *,
    pixel_nm: tuple[float, float] | None = None,
) -> RingCorrelation:
    """Correlate two images ring by ring in Fourier space.

    Parameters
    ----------
    first, second : (y, x) complex or real
        Aligned images, any unit; only pixels inside count.
    inside : (y, x) bool
        The area; at least 4 px high and wide.
    pixel_nm : (float, float), optional
        Sides (y, x) of a pixel.

    Returns
    -------
    RingCorrelation
        `Re sum(F conj(G)) / sqrt(sum |F|^2 sum |G|^2)` over each ring; 0 where an image has no
        power, as in an empty one. The ring of the zero frequency is left out.

    Raises
    ------
    InputError
        If the area is smaller, shapes differ, or an image is not finite in the area.

    Notes
    -----
    The spectra are those of `Rings`, in which the shape of the area does not correlate with itself: white noises have
    an expectation of 0 on every ring. A ring is narrow and has 1.3 to 1.6 times as many independent pixels as
    `n_pixels` says (measured in a disc): half a bit is asked for strictly.

    Source: M. van Heel, M. Schatz, J. Struct. Biol. 151, 250 (2005), doi:10.1016/j.jsb.2005.05.009.

    Examples
    --------
    >>> image = np.random.default_rng(1).normal(size=(32, 32))
    >>> curve = frc(image, image, np.ones((32, 32), dtype=bool))
    >>> float(curve.correlation.min().round(6))
    1.0
    """
    refuse_incomparable({"first image": first, "second image": second}, inside)
    (curve,) = frc_with([first], second, inside, pixel_nm=pixel_nm)
    return curve


def frc_with(
    images: Sequence[NDArray[np.number]],
    reference: NDArray[np.number],
    inside: NDArray[np.bool_],
    *,
    pixel_nm: tuple[float, float] | None = None,
) -> list[RingCorrelation]:
    """Correlate several images with one reference ring by ring in Fourier space; see `frc`."""
    rings = Rings.around(inside, pixel_nm)
    expected = rings.spectrum(reference)
    return [_correlate(rings, rings.spectrum(image), expected) for image in images]


def _correlate(rings: Rings, first: NDArray[np.complex128], second: NDArray[np.complex128]) -> RingCorrelation:
    shared = rings.sums((first * second.conj()).real)
    power = np.sqrt(rings.sums(np.abs(first) ** 2)) * np.sqrt(rings.sums(np.abs(second) ** 2))
    return RingCorrelation(
        frequency_per_px=rings.frequency_per_px,
        correlation=np.divide(shared, power, out=np.zeros(len(power)), where=power > 0),
        n_pixels=rings.n_pixels,
        side_nm=rings.side_nm,
    )


def threshold(curve: RingCorrelation, criterion: Criterion) -> NDArray[np.float64]:
    """Compute the correlation that a criterion asks of each ring, (k,) float64: `half` 0.5; `half_bit` and `one_bit`
    that which n pixels have in expectation if each image carries S, so that both together carry half a bit a pixel, or
    a bit.

    (S + (2 sqrt(S) + 1) / sqrt(n)) / (S + 1 + 2 sqrt(S) / sqrt(n)), van Heel and Schatz's formula with S = 0.2071, or
    0.5.
    """
    if criterion == "half":
        return np.full(len(curve.correlation), 0.5)
    snr = HALF_BIT_SNR if criterion == "half_bit" else ONE_BIT_SNR
    cross = 2 * snr**0.5 / np.sqrt(curve.n_pixels)
    return np.asarray((snr + cross + 1 / np.sqrt(curve.n_pixels)) / (snr + 1 + cross), dtype=np.float64)


def crossing(curve: RingCorrelation, criterion: Criterion) -> Crossing | None:
    """Find where a curve first falls below a criterion.

    Parameters
    ----------
    curve : RingCorrelation
        From `frc`.
    criterion : "half_bit", "one_bit" or "half"
        See `threshold`.

    Returns
    -------
    Crossing or None
        None if the curve stays above up to Nyquist: the resolution is then better than these
        pixels can show, at most 1 px. A curve that lies below from its first ring on crosses
        there: nothing is resolved.
    """
    # Rings of very few pixels would ask for a correlation of 1, which rounding denies equal images.
    above = curve.correlation - np.minimum(threshold(curve, criterion), 1 - ROUNDING)
    below = np.flatnonzero(above < 0)
    if not len(below):
        return None
    at = int(below[0])
    step = 0.0 if at == 0 else float(above[at - 1] / (above[at - 1] - above[at]))
    shell = 1.0 if at == 0 else at + step
    frequency = float(np.interp(shell, np.arange(1, len(above) + 1), curve.frequency_per_px))
    resolution_px = 1 / (2 * frequency)
    return Crossing(
        shell=shell,
        frequency_per_px=frequency,
        resolution_px=resolution_px,
        resolution_nm=None if curve.side_nm is None else resolution_px * curve.side_nm,
    )
