"""Where exposures are really taken, by a stage that jitters and drifts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fly64dask.simulation.setups.streams import setup_stream

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fly64dask.study import Setup


def true_positions_px(nominal_px: NDArray[np.float64], setup: Setup, *, seed: int) -> NDArray[np.float64]:
    """Move the positions of a scan to where a setup takes its exposures.

    Parameters
    ----------
    nominal_px : (n, 2) float64
        The whole scan as it was meant and as the engine gets it, order (y, x), in the order the exposures are taken.
    setup : Setup
        Says how far.
    seed : int
        The study's seed of the simulation, for the jitter.

    Returns
    -------
    (n, 2) float64

    Notes
    -----
    true_i = nominal_i + sigma e_i + d (t_i - 1/2), with e_i normal of variance 1 along each axis, d the drift of the
    whole scan and t_i from 0 at the first exposure to 1 at the last: the mean of the drift is zero, as no
    reconstruction can tell where a scan is as a whole. Maiden et al., Ultramicroscopy 120, 64 (2012), studied such
    errors.
    """
    errors = np.zeros_like(nominal_px)
    if setup.position_jitter_px:
        errors += setup.position_jitter_px * setup_stream(seed, "position_jitter").normal(size=nominal_px.shape)
    drift_px = np.array([setup.position_drift_y_px, setup.position_drift_x_px])
    if drift_px.any():
        errors += np.linspace(-0.5, 0.5, len(nominal_px))[:, None] * drift_px
    moved: NDArray[np.float64] = nominal_px + errors
    return moved
