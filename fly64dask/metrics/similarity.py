"""SSIM and MS-SSIM of real images inside an area of any shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter, minimum_filter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Image = NDArray[np.float64]
    Area = NDArray[np.bool_]

# Z. Wang et al., IEEE Trans. Image Process. 13, 600 (2004): a Gaussian window of 11 x 11 px, population moments.
SIGMA_PX, WINDOW_PX = 1.5, 11
K1, K2 = 0.01, 0.03
# With a constant this large for means, what SSIM says of them is 1: contrast times structure is left.
NO_MEANS = 1e8
# Z. Wang et al., Asilomar Conf. Signals Syst. Comput. (2003): exponents of five scales, finest first.
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
MIN_WINDOWS = 64  # of a scale, for its mean to say something (our choice)


@dataclass(frozen=True, slots=True, kw_only=True)
class Similarity:
    """SSIM, -1 to 1, and MS-SSIM, 0 to 1, with its number of scales; None where the area holds too few windows."""

    ssim: float | None
    ms_ssim: float | None
    n_levels: int | None


def whole_windows(inside: Area) -> list[Area]:
    """Find the centres of the windows that lie wholly inside an area, (y / 2^k, x / 2^k) bool for each scale k.

    Each scale averages 2 x 2 px of the one before; a pixel of it is inside if all four are. The finest scale is always
    there, of the coarser ones up to four with at least `MIN_WINDOWS` windows.
    """
    levels: list[Area] = []
    for _ in SCALE_WEIGHTS:
        windows = np.asarray(minimum_filter(inside.astype(np.uint8), WINDOW_PX, mode="constant")) > 0
        if levels and windows.sum() < MIN_WINDOWS:
            break
        levels.append(windows)
        inside = _halved(inside) == 1
    return levels


def similarities(images: Sequence[Image], reference: Image, levels: list[Area], *, peak: float) -> list[Similarity]:
    """Compute SSIM and MS-SSIM of finite images over whole windows; `peak` > 0 is the range that SSIM's constants refer
    to.

    MS-SSIM takes contrast times structure of each scale but the coarsest, there SSIM, to the published exponents of the
    scales used, divided by their sum; a scale whose mean is negative counts as 0. It needs two scales, the finest with
    `MIN_WINDOWS` windows too. Libraries average the map of SSIM over a rectangle, here it is over an area.
    """
    n_levels = len(levels)
    several = n_levels > 1 and levels[0].sum() >= MIN_WINDOWS
    weights = np.array(SCALE_WEIGHTS[:n_levels]) / sum(SCALE_WEIGHTS[:n_levels])
    products = np.ones(len(images))
    finest: list[float | None] = [None] * len(images)
    scaled = [*images]
    for level, (windows, weight) in enumerate(zip(levels, weights, strict=True)):
        if not windows.any():
            break
        expected = _Moments.of(reference, windows)
        for which, image in enumerate(scaled):
            is_coarsest, compared = level == n_levels - 1, _Compared.of(image, reference, expected, windows)
            if level == 0:
                finest[which] = min(1.0, compared.mean_similarity(peak, K1))
            products[which] *= max(0.0, compared.mean_similarity(peak, K1 if is_coarsest else NO_MEANS)) ** weight
        scaled, reference = [_halved(image) for image in scaled], _halved(reference)
    return [
        Similarity(
            ssim=ssim, ms_ssim=min(1.0, float(product)) if several else None, n_levels=n_levels if several else None
        )
        for ssim, product in zip(finest, products, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class _Moments:
    """Mean and variance of an image in each of some windows, (k,) float64."""

    mean: Image
    variance: Image

    @classmethod
    def of(cls, image: Image, windows: Area) -> _Moments:
        mean = _means(image, windows)
        return cls(mean, _means(image * image, windows) - mean * mean)


@dataclass(frozen=True, slots=True)
class _Compared:
    """The moments of an image, those of a reference and their covariance in each of some windows, (k,) float64."""

    image: _Moments
    reference: _Moments
    covariance: Image

    @classmethod
    def of(cls, image: Image, reference: Image, expected: _Moments, windows: Area) -> _Compared:
        found = _Moments.of(image, windows)
        return cls(found, expected, _means(image * reference, windows) - found.mean * expected.mean)

    def mean_similarity(self, peak: float, k1: float) -> float:
        """Mean SSIM over the windows."""
        of_means, of_variances = (k1 * peak) ** 2, (K2 * peak) ** 2
        x, y = self.image, self.reference
        likeness = (2 * x.mean * y.mean + of_means) * (2 * self.covariance + of_variances)
        return float(
            (likeness / ((x.mean**2 + y.mean**2 + of_means) * (x.variance + y.variance + of_variances))).mean()
        )


def _means(image: Image, windows: Area) -> Image:
    """Weighted means of an image in each of some windows, (k,) float64."""
    means: Image = gaussian_filter(image, SIGMA_PX, radius=WINDOW_PX // 2)[windows]
    return means


def _halved(image: NDArray[np.generic]) -> Image:
    """Means of 2 x 2 px; an odd row or column at the end is left out."""
    height, width = (size // 2 for size in image.shape)
    blocks = image[: 2 * height, : 2 * width].reshape(height, 2, width, 2)
    return np.asarray(blocks.mean(axis=(1, 3), dtype=np.float64))
