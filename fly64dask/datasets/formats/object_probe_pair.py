"""Read the object and probe that a study simulates from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fly64dask.base import InputError
from fly64dask.datasets.formats.containers import load_arrays, take
from fly64dask.scan import in_held_unit
from fly64dask.simulation import Pair

if TYPE_CHECKING:
    from numpy.typing import NDArray


def read_pair(path: Path) -> Pair:
    """Read an object and a probe from an NPZ with `objectGuess` (Y, X) and `probeGuess` (H, W), complex.

    A probe whose power is far from 1 is brought to it: the dose says how bright it is, and the intensities of a scan
    are in single precision. Raises InputError if one is missing, not complex and finite, or the probe is larger than
    the object.
    """
    arrays = load_arrays(path, allow_pickle=False)
    stored = {key: np.squeeze(take(arrays, key, path)) for key in ("objectGuess", "probeGuess")}
    parts = {key: as_complex64(part) for key, part in stored.items() if part.ndim == 2 and np.iscomplexobj(part)}
    for key, part in stored.items():
        if key not in parts or not np.isfinite(parts[key]).all() or not parts[key].any():
            raise InputError(
                f"read {path}: {key} of shape {part.shape} and dtype {part.dtype}, needed two axes of finite complex "
                "numbers that are not all 0 in single precision",
                remedy="store one complex image under that key",
            )
    if any(p > o for p, o in zip(parts["probeGuess"].shape, parts["objectGuess"].shape, strict=True)):
        raise InputError(
            f"read {path}: probe {parts['probeGuess'].shape} is larger than object {parts['objectGuess'].shape} px",
            remedy="give an object that the probe can scan",
        )
    return Pair(object_truth=parts["objectGuess"], probe=in_held_unit(parts["probeGuess"], 1.0))


def as_complex64(stored: NDArray[np.generic]) -> NDArray[np.complex64]:
    """Round numbers to complex64; what it cannot hold becomes infinite or 0, so check afterwards."""
    with np.errstate(all="ignore"):
        return stored.astype(np.complex64)
