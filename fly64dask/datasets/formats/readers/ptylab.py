"""Read PtyLab's data, HDF5 or MATLAB; those of Fourier ptychography are refused.

Names and units are those of PtyLab's documentation and of its reader.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fly64dask.base import Geometry, InputError
from fly64dask.datasets.formats.containers import NamedArrays, number, points
from fly64dask.datasets.formats.joining import FAR_FIELD, Parts
from fly64dask.datasets.formats.patterns import OrientedPatterns, Patterns

if TYPE_CHECKING:
    from numpy.typing import NDArray

FOURIER = ("zled", "magnification")
# Transposed, flipped along columns, flipped along rows, by PtyLab's number (PtyPy's convention).
ORIENTATIONS = {n: (bool(n & 4), bool(n & 1), bool(n & 2)) for n in range(8)}


def recognise_ptylab(file: NamedArrays) -> bool:
    """Tell PtyLab's data by their patterns."""
    return "ptychogram" in file


def read_ptylab(file: NamedArrays) -> Parts:
    """Read patterns, positions (row, column) in m and geometry; MATLAB's axes are turned around.

    Raises InputError if the data are of Fourier ptychography.
    """
    fourier = [name for name in FOURIER if name in file]
    if fourier and "zo" not in file:
        raise InputError(
            f"read {file.path}: PtyLab data of Fourier ptychography (it has {fourier[0]!r} and no distance 'zo'): "
            "images under many illuminations, not diffraction patterns",
            remedy="reconstruct it with PtyLab",
        )
    stored = file.patterns("ptychogram")
    orientation = int(number(file, "orientation") or 0)
    pitch = number(file, "dxd") or _step(file)
    distance, wavelength = number(file, "zo"), number(file, "wavelength")
    return Parts(
        file_format="PtyLab",
        path=file.path,
        patterns=_oriented(stored, orientation, file),
        positions=_positions(file, stored.shape[0]),
        quantity="intensity",
        geometry=Geometry(
            wavelength_nm=wavelength * 1e9 if wavelength and wavelength > 0 else None,
            distance_m=abs(distance) if distance else None,
            pitch_um=(pitch * 1e6, pitch * 1e6) if pitch and pitch > 0 else None,
        ),
        assumed=(FAR_FIELD, *((f"frames turned by orientation {orientation} of the file",) if orientation else ())),
    )


def _oriented(patterns: Patterns, orientation: int, file: NamedArrays) -> Patterns:
    if orientation not in ORIENTATIONS:
        raise InputError(
            f"read {file.path}: orientation {orientation}, needed 0 to 7", remedy="correct the file, or its copy"
        )
    transpose, flip_columns, flip_rows = ORIENTATIONS[orientation]
    if not orientation:
        return patterns
    return OrientedPatterns(patterns, transpose=transpose, flip_rows=flip_rows, flip_columns=flip_columns)


def _positions(file: NamedArrays, n: int) -> NDArray[np.float64] | None:
    name = "encoder" if "encoder" in file else "positions"
    return points(file, name, n)[:, :2] if name in file else None


def _step(file: NamedArrays) -> float | None:
    """Find the detector's pixel size from its coordinates, which older files have in its place."""
    if "xd" not in file:
        return None
    coordinates = np.ravel(file.take("xd")).astype(np.float64)
    return float(np.abs(np.diff(coordinates)).mean()) if coordinates.size > 1 else None
