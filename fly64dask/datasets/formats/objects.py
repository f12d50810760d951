"""Read an object that another program has reconstructed: a complex image, and where it lies in the scan."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from fly64dask.base import Fly64Error, InputError, memory_left_bytes
from fly64dask.datasets.formats.containers.damage import UNREADABLE
from fly64dask.datasets.formats.containers.npz import load_arrays, take

if TYPE_CHECKING:
    from numpy.typing import NDArray

SUFFIXES = (".npz", ".h5", ".hdf5")
OBJECT_KEY, ORIGIN_KEY = "object", "origin_px"
BYTES_A_PIXEL = 64  # while an object is aligned


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignObject:
    """An object of another program: `image` (y, x) complex; scan-frame (y, x) of its pixel [0, 0], if it says."""

    image: NDArray[Any]
    origin_px: tuple[int, int] | None


def find_object(directory: Path, stem: str) -> Path:
    """Find a cell's file among those that a directory may hold.

    Parameters
    ----------
    directory : Path
        Of one method.
    stem : str
        Name without its suffix: the cell's with - for /.

    Returns
    -------
    Path

    Raises
    ------
    InputError
        If there is none, or more than one.
    """
    paths = [path for suffix in SUFFIXES if (path := directory / f"{stem}{suffix}").is_file()]
    if len(paths) != 1:
        there = f"{len(paths)} files" if paths else "no file"
        raise InputError(
            f"{there} {stem}{' or '.join(SUFFIXES)} in {directory}",
            remedy=f"save its object as {stem}.npz with the key {OBJECT_KEY!r}",
        )
    return paths[0]


def read_object(path: Path) -> ForeignObject:
    """Read an object from an NPZ or HDF5 file, without running code from it.

    Parameters
    ----------
    path : Path
        `object`: complex, (y, x), or (1, y, x) for one slice; `origin_px`, optional: two whole
        numbers, scan-frame (y, x) of its first pixel.

    Returns
    -------
    ForeignObject

    Raises
    ------
    InputError
        If it cannot be read, or is no complex image.
    """
    try:
        arrays = _read_npz(path) if path.suffix == ".npz" else _read_hdf5(path)
    except Fly64Error as error:
        raise InputError(error.message, remedy=f"save {OBJECT_KEY!r} as a plain complex array") from error
    image = arrays[OBJECT_KEY]
    if image.ndim == 3 and image.shape[0] == 1:
        image = image[0]
    if image.ndim != 2 or not np.iscomplexobj(image) or not image.size:
        raise InputError(
            f"read {path}: {OBJECT_KEY!r} is {image.dtype} of {image.shape}, needed complex of (y, x) or (1, y, x)",
            remedy="save amplitude and phase as one complex array",
        )
    return ForeignObject(image=image, origin_px=_origin(arrays.get(ORIGIN_KEY), path))


def _origin(values: NDArray[Any] | None, path: Path) -> tuple[int, int] | None:
    if values is None:
        return None
    numbers = np.ravel(values)
    is_whole = numbers.dtype.kind in "iuf" and len(numbers) == 2 and bool((np.abs(numbers) < 2**31).all())
    if not is_whole or (numbers != np.rint(numbers)).any():
        raise InputError(
            f"read {path}: {ORIGIN_KEY!r} is {str(values)[:60]}, needed two whole numbers (y, x)",
            remedy="give whole pixels; what is left is found by registration",
        )
    return int(numbers[0]), int(numbers[1])


def _read_npz(path: Path) -> dict[str, NDArray[Any]]:
    arrays = load_arrays(path, allow_pickle=False)
    return {key: take(arrays, key, path) for key in (OBJECT_KEY, ORIGIN_KEY) if key == OBJECT_KEY or key in arrays}


def _read_hdf5(path: Path) -> dict[str, NDArray[Any]]:
    arrays = {}
    try:
        with h5py.File(path, "r") as file:
            for key in (OBJECT_KEY, ORIGIN_KEY):
                if key == ORIGIN_KEY and key not in file:
                    continue
                dataset = file[key]
                if not isinstance(dataset, h5py.Dataset):
                    raise ValueError(f"{key!r} is a {type(dataset).__name__}, needed a dataset")
                if dataset.size is None or dataset.size * BYTES_A_PIXEL > memory_left_bytes():
                    raise ValueError(f"{key!r} has {dataset.size} values, more than fit in memory")
                arrays[key] = np.asarray(dataset[()])
    except UNREADABLE as error:
        raise InputError(f"read {path}: {type(error).__name__}: {error}", remedy="check the file") from error
    return arrays
