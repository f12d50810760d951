"""The exposures of a setup: expected intensities of its light at its positions, and counts of its detector."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from fly64dask.simulation.forward import Pair, intensity_batches
from fly64dask.simulation.photons import expose
from fly64dask.simulation.setups.coherence import coherent_modes
from fly64dask.simulation.setups.detector import read_out, saturated_count, spread_points

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fly64dask.study import Setup


def setup_intensity_batches(
    pair: Pair, positions_px: NDArray[np.float64], setup: Setup
) -> Iterator[NDArray[np.floating]]:
    """Compute the noise-free patterns that a setup's light makes and its detector's point spread leaves.

    Parameters
    ----------
    pair : Pair
        Object and probe.
    positions_px : (n, 2) float64
        Where the exposures are really taken, order (y, x), px.
    setup : Setup
        Its source and point spread.

    Yields
    ------
    (k, H, W) float
        In the order of the exposures. A setup without either gives the same bits as an ideal one.
    """
    modes = coherent_modes(pair.probe, setup.source_size_px)
    of_modes = [intensity_batches(replace(pair, probe=mode), positions_px) for mode in modes]
    for first, *others in zip(*of_modes, strict=True):
        intensity: NDArray[np.floating] = first
        for other in others:
            intensity = intensity + other
        yield spread_points(intensity, setup.point_spread_px) if setup.point_spread_px else intensity


@dataclass(slots=True, kw_only=True)
class SetupDetector:
    """The detector of a setup, which counts how many pixels it saturates.

    Parameters
    ----------
    setup : Setup
        What is not ideal about it.
    valid_pixels : (H, W) bool
        Pixels that measure something; the others hold 0 counts.
    read_noise : numpy.random.Generator
        Source of the read noise; advanced.
    """

    setup: Setup
    valid_pixels: NDArray[np.bool_]
    read_noise: np.random.Generator
    n_saturated: int = 0

    def detect(self, intensity: NDArray[np.floating], scale: float, *, rng: np.random.Generator) -> NDArray[np.int64]:
        """Count a batch of exposures, (n, H, W) int64: photons and background arrive, and are read out.

        Parameters
        ----------
        intensity : (n, H, W) float
            Noise-free patterns.
        scale : float
            Photons per unit of intensity.
        rng : numpy.random.Generator
            Source of the Poisson draws; advanced. All pixels are drawn, also those that measure nothing, so that
            detectors with other gaps count the same photons elsewhere.
        """
        expected = intensity.astype(np.float64) * scale + self.setup.background_photons
        counts = read_out(expose(expected, 1.0, rng=rng), self.setup, rng=self.read_noise)
        counts[:, ~self.valid_pixels] = 0
        ceiling = saturated_count(self.setup)
        if ceiling is not None:
            self.n_saturated += int((counts == ceiling).sum())
        return counts

    def expect(self, intensity: NDArray[np.floating], scale: float) -> NDArray[np.float32]:
        """Give the expected photons of a batch without noise, (n, H, W) float32: those of the sample alone."""
        return np.asarray(intensity * scale * self.valid_pixels, dtype=np.float32)
