"""Which pixels of a simulated detector measure something: gaps between modules, dead pixels and a beam stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fly64dask.simulation.setups.streams import setup_stream

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fly64dask.study import Setup


def valid_pixels(shape_px: tuple[int, int], setup: Setup, *, seed: int) -> NDArray[np.bool_]:
    """Find the pixels of a detector that measure something.

    Parameters
    ----------
    shape_px : (int, int)
        (H, W) of the detector, zero frequency at (H // 2, W // 2).
    setup : Setup
        Its gaps, dead pixels and beam stop.
    seed : int
        The study's seed of the simulation, for the places of dead pixels.

    Returns
    -------
    (H, W) bool
        False in a cross of `gap_px` rows and columns in the middle, in a disc of `beam_stop_radius_px` around the zero
        frequency, and at pixels drawn from all, `dead_pixel_share` of them to the nearest whole number.
    """
    height, width = shape_px
    valid = np.ones(shape_px, dtype=bool)
    for size, lines in ((height, valid), (width, valid.T)):
        first = (size - setup.gap_px + 1) // 2
        lines[max(first, 0) : first + setup.gap_px] = False
    if setup.beam_stop_radius_px:
        y, x = np.ogrid[:height, :width]
        valid[np.hypot(y - height // 2, x - width // 2) <= setup.beam_stop_radius_px] = False
    n_dead = round(setup.dead_pixel_share * valid.size)
    # All pixels in a random order: a larger share has the dead pixels of a smaller one too.
    dead = setup_stream(seed, "dead_pixels").permutation(valid.size)[:n_dead]
    valid.flat[dead] = False
    return valid
