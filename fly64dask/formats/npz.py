"""An NPZ file, plain or inside bzip2 -> its arrays, or why they cannot be read."""

from __future__ import annotations

import bz2
import io
import pickle
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fly64dask.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

# What NumPy, zipfile, zlib, bz2 and pickle raise on a damaged or foreign file.
UNREADABLE = (
    AttributeError,
    EOFError,
    ImportError,
    IndexError,
    KeyError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


def load_arrays(path: Path, *, allow_pickle: bool) -> Mapping[str, Any]:
    """Open an NPZ, plain or inside bzip2.

    Parameters
    ----------
    path : Path
        `.npz` or `.npz.bz2`.
    allow_pickle : bool
        Whether object arrays may be unpickled, which runs code from the file.

    Returns
    -------
    mapping of str to array
        Arrays are read when they are asked for.

    Raises
    ------
    InputError
        If the file cannot be opened as an NPZ.
    """
    try:
        data = path.read_bytes()
        if path.suffix == ".bz2":
            data = bz2.decompress(data)
        loaded = np.load(io.BytesIO(data), allow_pickle=allow_pickle)
    except UNREADABLE as error:
        raise InputError(
            f"read {path}: not an NPZ file ({type(error).__name__}: {error})",
            remedy="give an .npz or .npz.bz2 file",
        ) from error
    if not isinstance(loaded, np.lib.npyio.NpzFile):
        raise InputError(
            f"read {path}: a single array, needed an NPZ with named arrays", remedy="save it with np.savez"
        )
    return loaded


def take(arrays: Mapping[str, Any], key: str, path: Path) -> NDArray[Any]:
    """Read one array of an NPZ.

    Parameters
    ----------
    arrays : mapping
        From `load_arrays`.
    key : str
        Its name.
    path : Path
        The file, for messages.

    Returns
    -------
    array

    Raises
    ------
    InputError
        If it is missing, damaged or pickled.
    """
    if key not in arrays:
        raise InputError(f"read {path}: no array {key!r}, found {sorted(arrays)}", remedy="add it, or check the format")
    try:
        return np.asarray(arrays[key])
    except UNREADABLE as error:
        pickled = "allow_pickle" in str(error)
        raise InputError(
            f"read {path}: array {key!r} "
            + ("is pickled" if pickled else f"cannot be read ({type(error).__name__}: {error})"),
            remedy="if you trust the file give --allow-pickle, which runs code from it" if pickled else "save it again",
        ) from error
