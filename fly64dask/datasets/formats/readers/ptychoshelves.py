"""Read data of fold_slice and PtychoShelves: patterns `/dp`, positions `/ppX` and `/ppY`, results in MATLAB files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fly64dask.base import Geometry, InputError
from fly64dask.datasets.formats.containers import NamedArrays, coordinates, number
from fly64dask.datasets.formats.joining import FAR_FIELD, Parts

if TYPE_CHECKING:
    from numpy.typing import NDArray

GIVE_PATTERNS = (
    "a result has no patterns: give the file with /dp too, as fly64dask ingest DP.hdf5 --positions RESULT.mat"
)
SCAN_POSITIONS = "outputs/probe_positions"


def recognise_patterns(file: NamedArrays) -> bool:
    """Tell patterns, or positions, by the names that fold_slice gives them."""
    return "dp" in file or ("ppX" in file and "ppY" in file)


def read_patterns(file: NamedArrays) -> Parts:
    """Read patterns, positions in m, or both.

    Frames are (rows, columns) as Python writes them: MATLAB's are transposed, and nothing in the file says so.
    row = +ppY and column = +ppX as in Ptychodus; PtychoShelves has both negative, which turns the image by 180 degrees
    and gives its phase the other sign.
    """
    has_positions = "ppX" in file and "ppY" in file
    return Parts(
        file_format="/dp patterns" if "dp" in file else "fold_slice positions",
        path=file.path,
        patterns=file.patterns("dp") if "dp" in file else None,
        positions=np.stack([coordinates(file, name) for name in ("ppY", "ppX")], axis=1) if has_positions else None,
        quantity="intensity",
        assumed=(FAR_FIELD, *(("frames not transposed",) if has_positions else ())),
    )


def recognise_shelves_result(file: NamedArrays) -> bool:
    """Tell a result of PtychoShelves by its outputs."""
    return "outputs" in file and "probe" in file and "object" in file


def read_shelves_result(file: NamedArrays) -> Parts:
    """Read probe, object, positions in px and pixel size of a result.

    Raises InputError if the object has several layers.
    """
    shape = file.shape("object")
    if len(shape) > 2 and shape[2] > 1:
        raise InputError(
            f"read {file.path}: a multislice PtychoShelves result, of {shape[2]} layers; this program reconstructs one",
            remedy="give a result of one layer, or another file for the positions",
        )
    object_guess = file.take("object")
    return Parts(
        file_format="PtychoShelves result",
        path=file.path,
        positions=_positions(file),
        positions_unit="px",
        probe=_probe(file),
        object_guess=object_guess.reshape(object_guess.shape[:2]),
        geometry=_geometry(file),
        assumed=(FAR_FIELD, "pixel size of the result in m"),
        remedy=GIVE_PATTERNS,
    )


def _positions(file: NamedArrays) -> NDArray[np.float64] | None:
    """Read positions, (n, 2) px, order (y, x); the file has (x, y) about the centre."""
    if SCAN_POSITIONS not in file:
        return None
    stored = file.take(SCAN_POSITIONS)
    if stored.ndim != 2 or stored.shape[1] != 2 or stored.dtype.kind not in "uif":
        raise InputError(
            f"read {file.path}: {SCAN_POSITIONS!r} is {stored.dtype} of {stored.shape}, needed (n, 2) real numbers",
            remedy="save the result again",
        )
    return stored[:, ::-1].astype(np.float64)


def _probe(file: NamedArrays) -> NDArray[np.generic]:
    """Read the probe, (opr, modes, H, W); the file has (H, W[, modes[, opr]])."""
    stored = file.take("probe")
    if not 2 <= stored.ndim <= 4:
        raise InputError(
            f"read {file.path}: probe of {stored.shape}, needed (H, W[, modes[, opr]])", remedy="save the result again"
        )
    four = stored.reshape(*stored.shape, *(1,) * (4 - stored.ndim))
    return np.ascontiguousarray(np.moveaxis(four, (3, 2), (0, 1)))


def _geometry(file: NamedArrays) -> Geometry:
    if "p/dx_spec" not in file:
        return Geometry()
    sizes = np.ravel(file.take("p/dx_spec")).astype(np.float64) * 1e9
    wavelength = number(file, "p/lambda")
    is_pair = sizes.size in (1, 2) and bool((sizes > 0).all())
    return Geometry(
        pixel_size_nm=(float(sizes[0]), float(sizes[-1])) if is_pair else None,
        wavelength_nm=wavelength * 1e9 if wavelength and wavelength > 0 else None,
    )
