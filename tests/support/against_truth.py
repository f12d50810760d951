"""A reconstruction of a simulated scan against its truth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fly64dask.metrics import TruthMetrics, compare_with_truth
from fly64dask.reconstruction import Reconstruction
from fly64dask.simulation import Pair


def truth_metrics(result: Reconstruction, pair: Pair, positions_px: NDArray[np.float64]) -> TruthMetrics:
    """The metrics of a reconstruction in the area that its probe illuminated."""
    return compare_with_truth(
        result.object_recon[0],
        pair.object_truth,
        origin_px=result.object_origin_px,
        probe=pair.probe,
        positions_px=positions_px,
    ).metrics
