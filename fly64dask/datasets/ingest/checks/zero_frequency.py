"""Finds where the light of patterns or of a probe is, without single bright pixels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from fly64dask.datasets.formats.options import ZeroFrequency
from fly64dask.datasets.ingest.checks.complaints import Complaint

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Nearly all light of a centred probe is in the middle; noise may put half of it elsewhere (our choice).
PROBE_FACTOR = 2.0
OTHER: dict[ZeroFrequency, ZeroFrequency] = {"centre": "corner", "corner": "centre"}


def middle_and_corners(image: NDArray[np.float64]) -> tuple[float, float]:
    """Sum an image (H, W) over the middle half of both sides, and over what an FFT shift would bring there."""
    height, width = image.shape
    inner = np.s_[height // 4 : height - height // 4, width // 4 : width - width // 4]
    return float(image[inner].sum()), float(np.fft.fftshift(image)[inner].sum())


def complain_of_zero_frequency(
    mean_pattern: NDArray[np.float64], claimed: ZeroFrequency, *, is_given: bool
) -> Iterator[Complaint]:
    """Name patterns whose light is not where the file's format has the zero frequency.

    Parameters
    ----------
    mean_pattern : (H, W) float64
        Mean counts of the scan, with the zero frequency at the centre if the claim is right; 0 where a pixel is masked.
    claimed : "centre" or "corner"
        Where the format has the zero frequency in the file.
    is_given : bool
        Whether a person has stated it, which is then accepted.
    """
    light = None if is_given else _light_elsewhere(mean_pattern, claimed)
    if light is not None:
        other = OTHER[claimed]
        yield Complaint(
            found=f"this format has the zero frequency at the {claimed}, but {light}",
            remedy=f"give --zero-frequency {other} (or {claimed} if you are sure)",
        )


def doubt_zero_frequency(mean_pattern: NDArray[np.float64], claimed: ZeroFrequency) -> Iterator[str]:
    """Warn that the light is not where a person, whose claim is accepted, says that the zero frequency is."""
    light = _light_elsewhere(mean_pattern, claimed)
    if light is not None:
        yield f"the zero frequency at the {claimed}, as you say, though {light}"


def _light_elsewhere(mean_pattern: NDArray[np.float64], claimed: ZeroFrequency) -> str | None:
    """Say where the light of a mean pattern is, and how much of it, if it is not where it is claimed to be."""
    smooth = _without_single_pixels(mean_pattern)
    right, wrong = middle_and_corners(smooth if smooth.any() else mean_pattern)
    if wrong <= right:
        return None
    numbers = f"{right:.3g} against {wrong:.3g} photons in the middle half, by medians of 3 x 3 pixels"
    return f"more light is at the {OTHER[claimed]} ({numbers})"


def complain_of_probe(probe: NDArray[np.complexfloating]) -> Iterator[Complaint]:
    """Name a probe (..., H, W) that is brighter around the corners of its array than in the middle."""
    intensity = np.square(np.abs(probe.astype(np.complex128))).reshape(-1, *probe.shape[-2:]).sum(axis=0)
    middle, corners = middle_and_corners(intensity)
    if corners > PROBE_FACTOR * middle:
        share = corners / max(float(intensity.sum()), np.finfo(float).tiny)
        yield Complaint(
            found=f"the starting probe is brighter at the corners of its array than in the middle: {share:.0%} of its "
            f"light is there, {corners / max(middle, np.finfo(float).tiny):.3g} times that of the middle half",
            remedy="store it with np.fft.fftshift, or give --probe to make another",
        )


def _without_single_pixels(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Take the median of the 3 x 3 pixels around each, which no single hot or dead pixel changes; edges wrap around."""
    from scipy.ndimage import median_filter  # 0.3 s

    return np.asarray(median_filter(image, size=3, mode="wrap"))
