"""The built-in object and probe, and the check that scan positions lie on the object."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fly64dask.base import InputError
from fly64dask.simulation.forward import Pair, resample
from fly64dask.simulation.probes import diffuser_probe

if TYPE_CHECKING:
    from numpy.typing import NDArray

    ComplexArray = NDArray[np.complex64]


def synthetic_pair(
    object_shape_px: tuple[int, int], probe_shape_px: tuple[int, int], *, seed: int, oversampling: int = 1
) -> Pair:
    """Make an object and a probe from a seed.

    Parameters
    ----------
    object_shape_px, probe_shape_px : (int, int)
        (Y, X) and (H, W), px.
    seed : int
        Seed of the object; the probe has no random part.
    oversampling : int
        The object is made on a grid so many times as fine, for the fine model.

    Notes
    -----
    The object has smooth phase, sharp-edged discs and weak absorption: about 0.3 rad rms, with
    content at all spatial frequencies. The probe is `diffuser_probe`. Our choice: the measured fly64 pair is not
    public.
    """
    fine_shape = (oversampling * object_shape_px[0], oversampling * object_shape_px[1])
    transmission = _speckle(fine_shape, oversampling * min(probe_shape_px), seed=seed)
    return make_pair(transmission, diffuser_probe(probe_shape_px), oversampling=oversampling)


def make_pair(transmission: ComplexArray, probe: ComplexArray, *, oversampling: int = 1) -> Pair:
    """Bring an object, given as finely as it is illuminated, and a probe together.

    Parameters
    ----------
    transmission : (k Y, k X) complex64
        The object on a grid k times as fine as the detector's.
    probe : (H, W) complex64
        The probe on the detector's grid.
    oversampling : int
        k: 1 for the grid model.
    """
    if oversampling == 1:
        return Pair(object_truth=transmission, probe=probe)
    height, width = (size // oversampling for size in transmission.shape)
    return Pair(object_truth=resample(transmission, (height, width)), probe=probe, object_fine=transmission)


def _speckle(shape_px: tuple[int, int], probe_size: int, *, seed: int) -> ComplexArray:
    from scipy import ndimage  # 0.2 s, which workers that simulate nothing need not wait for

    rng = np.random.default_rng(seed)
    height, width = shape_px
    phase = np.zeros(shape_px)
    for scale_px, weight in ((probe_size / 6, 0.22), (probe_size / 24, 0.14)):
        field = ndimage.gaussian_filter(rng.standard_normal(shape_px), scale_px, mode="wrap")
        phase += weight * field / field.std()
    absorption = np.zeros(shape_px)
    y, x = np.ogrid[:height, :width]
    n_discs = max(4, int(height * width / probe_size**2 * 6))
    for _ in range(n_discs):
        centre_y, centre_x = rng.uniform(0, height), rng.uniform(0, width)
        radius = rng.uniform(probe_size / 32, probe_size / 8)
        # Only the square around a disc is looked at: small probes have many discs.
        rows = slice(max(0, int(centre_y - radius)), int(centre_y + radius) + 1)
        columns = slice(max(0, int(centre_x - radius)), int(centre_x + radius) + 1)
        inside = (y[rows] - centre_y) ** 2 + (x[:, columns] - centre_x) ** 2 < radius**2
        phase[rows, columns][inside] += rng.uniform(-0.5, 0.5)
        absorption[rows, columns][inside] += rng.uniform(0.0, 0.1)
    transmission = np.exp(-np.minimum(absorption, 0.5)) * np.exp(1j * (phase - phase.mean()))
    return np.asarray(transmission, dtype=np.complex64)


def check_coverage(pair: Pair, positions_px: NDArray[np.float64]) -> None:
    """Refuse positions whose patch leaves the object.

    Parameters
    ----------
    pair : Pair
        Object and probe.
    positions_px : (n, 2) float64
        Patch centres at index N / 2, order (y, x), px.

    Raises
    ------
    InputError
        Naming the first such position and the allowed range.
    """
    shape = np.asarray(pair.object_truth.shape)
    size = np.asarray(pair.probe.shape)
    low, high = size // 2, shape - size + size // 2
    outside = ((positions_px < low) | (positions_px > high)).any(axis=1)
    if outside.any():
        bad = int(np.flatnonzero(outside)[0])
        raise InputError(
            f"simulate: position {bad} (y, x) = {positions_px[bad].tolist()} px puts a probe of "
            f"{tuple(size.tolist())} px outside an object of {tuple(shape.tolist())} px, "
            f"needed y in [{low[0]}, {high[0]}] and x in [{low[1]}, {high[1]}]",
            remedy="move the scan or enlarge the object",
        )
