"""A built-in object and the built-in probe together, and the check that scan positions lie on the object."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fly64dask.base import InputError
from fly64dask.simulation.forward import Pair, resample
from fly64dask.simulation.objects import make_object
from fly64dask.simulation.probes import phase_plate_probe

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fly64dask.study import ObjectKind

    ComplexArray = NDArray[np.complex64]


def synthetic_pair(
    object_shape_px: tuple[int, int],
    probe_shape_px: tuple[int, int],
    *,
    seed: int,
    kind: ObjectKind = "speckle",
    oversampling: int = 1,
) -> Pair:
    """Make a built-in object (`make_object`) and the built-in probe (`phase_plate_probe`).

    Parameters
    ----------
    object_shape_px, probe_shape_px : (int, int)
        (Y, X) and (H, W), px.
    seed : int
        Seed of the object; the probe is the same for all seeds.
    kind : "speckle", "siemens_star", "photographs" or "white_noise"
        What the object shows.
    oversampling : int
        The object is made on a grid so many times as fine, for the fine model.
    """
    transmission = make_object(
        kind, object_shape_px, seed=seed, probe_size_px=min(probe_shape_px), oversampling=oversampling
    )
    return make_pair(transmission, phase_plate_probe(probe_shape_px), oversampling=oversampling)


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


def check_coverage(
    positions_px: NDArray[np.float64],
    probe_shape_px: tuple[int, ...],
    object_shape_px: tuple[int, ...],
    *,
    what: str = "simulate",
) -> None:
    """Refuse positions whose patch leaves the object.

    Parameters
    ----------
    positions_px : (n, 2) float64
        Patch centres at index N / 2, order (y, x), px.
    probe_shape_px, object_shape_px : (int, int)
        (H, W) and (Y, X), px.
    what : str
        What is being done, for the message.

    Raises
    ------
    InputError
        Naming the first such position and the allowed range.
    """
    shape = np.asarray(object_shape_px)
    size = np.asarray(probe_shape_px)
    low, high = size // 2, shape - size + size // 2
    outside = ((positions_px < low) | (positions_px > high)).any(axis=1)
    if outside.any():
        bad = int(np.flatnonzero(outside)[0])
        y, x = positions_px[bad]
        raise InputError(
            f"{what}: position {bad} (y, x) = [{y:.6g}, {x:.6g}] px puts a probe of "
            f"{tuple(size.tolist())} px outside an object of {tuple(shape.tolist())} px, "
            f"needed y in [{low[0]}, {high[0]}] and x in [{low[1]}, {high[1]}]",
            remedy="move the scan or enlarge the object",
        )
