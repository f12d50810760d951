"""Two real images and an area of any shape -> how alike they look inside, in one scale and in several."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.ndimage import minimum_filter
from skimage.metrics import structural_similarity

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Image = NDArray[np.float64]
    Area = NDArray[np.bool_]

# Z. Wang et al., IEEE Trans. Image Process. 13, 600 (2004): a Gaussian window of 11 x 11 px, population moments.
SIGMA_PX = 1.5
WINDOW_PX = 11
WANG_2004: dict[str, Any] = {"gaussian_weights": True, "sigma": SIGMA_PX, "use_sample_covariance": False, "full": True}
# Z. Wang et al., Asilomar Conf. Signals Syst. Comput. (2003): exponents of five scales, finest first.
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
# With this constant the luminance term is 1 to rounding: what is left is contrast times structure.
NO_LUMINANCE = 1e6
MIN_WINDOWS = 64  # of a scale, for its mean to say something (our choice)


def mean_similarity(image: Image, reference: Image, inside: Area, *, peak: float) -> float | None:
    """Structural similarity (SSIM), mean over the windows that lie wholly inside an area.

    Parameters
    ----------
    image, reference : (y, x) float64
        One unit; finite.
    inside : (y, x) bool
        The area.
    peak : float
        Range of values that the constants of SSIM refer to; > 0.

    Returns
    -------
    float or None
        -1 to 1; None if no window of 11 x 11 px fits into the area.
    """
    windows = _whole_windows(inside)
    if not windows.any():
        return None
    found = structural_similarity(image, reference, data_range=peak, **WANG_2004)[1]
    return min(1.0, float(found[windows].mean()))  # rounding exceeds 1


def multiscale_similarity(image: Image, reference: Image, inside: Area, *, peak: float) -> tuple[float, int] | None:
    """Multi-scale structural similarity (MS-SSIM) over the windows wholly inside an area.

    Parameters
    ----------
    image, reference : (y, x) float64
        One unit; finite.
    inside : (y, x) bool
        The area.
    peak : float
        Range of values that the constants of SSIM refer to; > 0.

    Returns
    -------
    value : float
        0 to 1; a scale whose mean is negative counts as 0.
    n_levels : int
        2 to 5: as many scales as have `MIN_WINDOWS` windows inside. None is returned for fewer.

    Notes
    -----
    Contrast and structure of each scale but the coarsest, there SSIM, to the published exponents
    of the scales used, divided by their sum. Each scale averages 2 x 2 px of the one before; a
    pixel of it is inside if all four are.
    """
    n_levels = _count_levels(inside)
    if n_levels < 2:
        return None
    weights = np.array(SCALE_WEIGHTS[:n_levels]) / sum(SCALE_WEIGHTS[:n_levels])
    value = 1.0
    for level, weight in enumerate(weights):
        is_coarsest = level == n_levels - 1
        luminance = {} if is_coarsest else {"K1": NO_LUMINANCE}
        found = structural_similarity(image, reference, data_range=peak, **WANG_2004, **luminance)[1]
        value *= max(0.0, float(found[_whole_windows(inside)].mean())) ** weight
        image, reference, inside = _halved(image), _halved(reference), _halved(inside) == 1
    return min(1.0, value), n_levels


def _whole_windows(inside: Area) -> Area:
    """Centres of the windows that lie wholly inside."""
    return np.asarray(minimum_filter(inside.astype(np.uint8), WINDOW_PX, mode="constant")) > 0


def _count_levels(inside: Area) -> int:
    for level in range(len(SCALE_WEIGHTS)):
        if _whole_windows(inside).sum() < MIN_WINDOWS:
            return level
        inside = _halved(inside) == 1
    return len(SCALE_WEIGHTS)


def _halved(image: NDArray[Any]) -> Image:
    """Means of 2 x 2 px; an odd row or column at the end is left out."""
    height, width = (size // 2 for size in image.shape)
    even = image[: 2 * height, : 2 * width].reshape(height, 2, width, 2)
    return np.asarray(even.mean(axis=(1, 3)), dtype=np.float64)
