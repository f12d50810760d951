"""Reads a mask of valid pixels from a file, by the convention of the program that wrote it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fly64dask.base import InputError, counted
from fly64dask.datasets.formats.containers import UNREADABLE, listed, load_arrays, take
from fly64dask.datasets.ingest.options import GoodValue

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Conventions by the array's name, from the sources of the programs that write them: in CXI and NeXus good pixels are 0,
# Ptychodus' `bad_pixels` is True where bad, PtyPy's weights are above 0 where good, and in pty-chi and PtychoShelves
# good pixels are 1.
CONVENTIONS: tuple[tuple[str, GoodValue], ...] = (
    (r"(^|/)bad_pixels$", "0"),
    (r"(^|/)pixel_mask$", "0"),
    (r"entry.*/mask$", "0"),
    (r"(^|/)(weights|weight2d)$", "positive"),
    (r"(^|/)(valid_pixel_mask|valid_pixels|fmask)$", "1"),
)


def read_mask(text: str, shape_px: tuple[int, int], good: GoodValue | None) -> NDArray[np.bool_]:
    """Read which pixels are valid.

    Parameters
    ----------
    text : str
        `FILE` or `FILE:PATH`: `.npy`, `.npz`, `.tif` or HDF5. PATH names the array in an NPZ or HDF5 file; it may be
        left out if a single array has two axes.
    shape_px : (int, int)
        (H, W) of the patterns in their file, which the mask must have.
    good : "0", "1", "positive" or None
        The value of good pixels; None if it follows from the array's name, by the convention of the program that wrote
        it.

    Returns
    -------
    (H, W) bool
        True where a pixel is valid.

    Raises
    ------
    InputError
        If the file cannot be read, has another shape, or does not say which value is good.
    """
    path, name = _split(text)
    try:
        values, name = _read_array(path, name)
    except UNREADABLE as error:
        raise InputError(
            f"read mask {path}: {type(error).__name__}: {error}", remedy="give an .npy, .npz, .tif or HDF5 file"
        ) from error
    squeezed = np.squeeze(values)
    if squeezed.shape != shape_px or squeezed.dtype.kind not in "buif":
        raise InputError(
            f"read mask {path}: {name or 'array'} has shape {values.shape} and dtype {values.dtype}, the patterns have "
            f"{shape_px[0]} x {shape_px[1]} px",
            remedy="give a mask of the patterns as they lie in their file",
        )
    if not np.isfinite(squeezed).all():
        raise InputError(
            f"read mask {path}: {int((~np.isfinite(squeezed)).sum())} of {squeezed.size} pixels of "
            f"{name or 'its array'} are not finite, so neither good nor bad",
            remedy="give a mask of whole numbers",
        )
    convention = good or next((value for pattern, value in CONVENTIONS if re.search(pattern, name)), None)
    if convention is None:
        n_zero, n_one = int((squeezed == 0).sum()), int((squeezed == 1).sum())
        raise InputError(
            f"read mask {path}: {name or 'its array'} has {counted(n_zero, 'pixel')} of 0 and {n_one} of 1, and "
            "nothing says which are good",
            remedy="give --mask-good 0, 1 or positive",
        )
    valid = squeezed > 0 if convention == "positive" else squeezed == int(convention)
    if not valid.any():
        raise InputError(
            f"read mask {path}: no pixel is valid if good ones are {convention}", remedy="give another --mask-good"
        )
    return np.asarray(valid)


def _split(text: str) -> tuple[Path, str]:
    """Split `FILE:PATH`, unless a file of the whole name exists."""
    if Path(text).exists() or ":" not in text:
        return Path(text), ""
    file, _, name = text.rpartition(":")
    return Path(file), name


def _read_array(path: Path, name: str) -> tuple[NDArray[np.generic], str]:
    """Read an array and its name; NumPy's and TIFF's arrays have none."""
    with path.open("rb") as stream:
        head = stream.read(8)
    if head.startswith(np.lib.format.MAGIC_PREFIX):
        return np.load(path, allow_pickle=False), path.stem
    if head.startswith(b"PK"):
        arrays = load_arrays(path, allow_pickle=False)
        name = name or (next(iter(arrays)) if len(arrays) == 1 else "bad_pixels")
        return take(arrays, name, path), name
    if head.startswith(b"\x89HDF"):
        return _read_hdf5(path, name)
    import tifffile

    return np.asarray(tifffile.imread(path)), path.stem


def _read_hdf5(path: Path, name: str) -> tuple[NDArray[np.generic], str]:
    import h5py

    from fly64dask.datasets.formats.containers import Hdf5File

    if not name:
        images: list[str] = []
        with h5py.File(path) as opened:
            opened.visititems(lambda key, item: images.append(key) if getattr(item, "ndim", 0) == 2 else None)
        if len(images) != 1:
            raise InputError(
                f"read mask {path}: {len(images)} arrays of two axes, {listed(images)}",
                remedy="name one: --mask FILE:PATH",
            )
        name = images[0]
    file = Hdf5File(path, allow_links=False)
    if name not in file:
        raise InputError(f"read mask {path}: no array {name!r}", remedy="name one that the file has")
    return file.take(name), name
