"""Real images, a reference and an area of any shape -> how alike they look inside, in one scale and in several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.ndimage import gaussian_filter, minimum_filter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Image = NDArray[np.float64]
    Area = NDArray[np.bool_]

# Z. Wang et al., IEEE Trans. Image Process. 13, 600 (2004): a Gaussian window of 11 x 11 px, population moments.
SIGMA_PX, TRUNCATE = 1.5, 3.5
WINDOW_PX = 11
K1, K2 = 0.01, 0.03
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
    """Find the windows that lie wholly inside an area, scale by scale.

    Parameters
    ----------
    inside : (y, x) bool
        The area.

    Returns
    -------
    list of (y / 2^k, x / 2^k) bool
        Their centres. Each scale averages 2 x 2 px of the one before; a pixel of it is inside if
        all four are. The finest scale is always there, of the coarser ones up to four with at
        least `MIN_WINDOWS` windows.
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
    """Structural similarity (SSIM) and multi-scale structural similarity (MS-SSIM) over whole windows.

    Parameters
    ----------
    images : sequence of (y, x) float64
        What is compared; finite.
    reference : (y, x) float64
        With what; same unit.
    levels : list of bool arrays
        From `whole_windows` of the area.
    peak : float
        Range of values that the constants of SSIM refer to; > 0.

    Returns
    -------
    list of Similarity
        One for each image.

    Notes
    -----
    MS-SSIM takes contrast times structure of each scale but the coarsest, there SSIM, to the
    published exponents of the scales used, divided by their sum; a scale whose mean is negative
    counts as 0. It needs two scales, the finest with `MIN_WINDOWS` windows too.

    Written out here, as libraries know only rectangles, and filter the reference anew for each
    image and each of the two measures; the tests hold it to scikit-image and torchmetrics.
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
        blurred = _blurred(reference), _blurred(reference**2)
        for which, image in enumerate(scaled):
            ssim, contrast = _means(image, reference, blurred, windows, peak)
            if level == 0:
                finest[which] = min(1.0, ssim)
            products[which] *= max(0.0, ssim if level == n_levels - 1 else contrast) ** weight
        scaled, reference = [_halved(image) for image in scaled], _halved(reference)
    return [
        Similarity(
            ssim=ssim, ms_ssim=min(1.0, float(product)) if several else None, n_levels=n_levels if several else None
        )
        for ssim, product in zip(finest, products, strict=True)
    ]


def _means(
    image: Image, reference: Image, blurred: tuple[Image, Image], windows: Area, peak: float
) -> tuple[float, float]:
    """Mean SSIM, and mean contrast times structure, over some windows."""
    c1, c2 = (K1 * peak) ** 2, (K2 * peak) ** 2
    mean, other = _blurred(image)[windows], blurred[0][windows]
    square, both = mean**2 + other**2, mean * other
    variances = _blurred(image**2)[windows] + blurred[1][windows] - square
    covariance = _blurred(image * reference)[windows] - both
    contrast = (2 * covariance + c2) / (variances + c2)
    return float(((2 * both + c1) / (square + c1) * contrast).mean()), float(contrast.mean())


def _blurred(image: Image) -> Image:
    return np.asarray(gaussian_filter(image, SIGMA_PX, truncate=TRUNCATE))


def _halved(image: NDArray[Any]) -> Image:
    """Means of 2 x 2 px; an odd row or column at the end is left out."""
    height, width = (2 * (size // 2) for size in image.shape)
    quarters = [image[y:height:2, x:width:2].astype(np.float64) for y in (0, 1) for x in (0, 1)]
    return np.asarray(sum(quarters) / 4)
