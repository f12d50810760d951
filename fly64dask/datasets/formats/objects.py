"""Reads an object that another program has reconstructed: a complex image, and its place in the scan."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fly64dask.base import Fly64Error, InputError
from fly64dask.datasets.formats.containers import (
    NamedArrays,
    as_number,
    kind_of,
    open_arrays,
    refuse_beyond_memory,
    text,
)
from fly64dask.datasets.formats.readers import IMAGE, image_pixel_nm

if TYPE_CHECKING:
    from numpy.typing import NDArray

SUFFIXES = (".npz", ".h5", ".hdf5", ".cxi", ".ptyr")
OBJECT_KEY, ORIGIN_KEY = "object", "origin_px"
# Of the object of a Ptychodus product, along y and x, metres.
CENTRE_ATTRS, PIXEL_ATTRS = ("center_y_m", "center_x_m"), ("pixel_height_m", "pixel_width_m")
BYTES_A_PIXEL = 64  # while an object is aligned


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignObject:
    """An object of another program: `image` (y, x) complex, and the place and pixel size that its file has.

    `origin_px` is the scan-frame (y, x) of its pixel [0, 0], `pixel_nm` the sides (y, x) of a pixel.
    """

    image: NDArray[Any]
    origin_px: tuple[int, int] | None
    pixel_nm: tuple[float, float] | None = None


def find_object(directory: Path, stem: str) -> Path:
    """Find a cell's file among those that a directory may hold.

    Parameters
    ----------
    directory : Path
        The directory of one method.
    stem : str
        Name without suffix: the cell's name with - for /.

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
        listed_paths = f"{len(paths)} files" if paths else "no file"
        raise InputError(
            f"{listed_paths} {stem}{' or '.join(SUFFIXES)} in {directory}",
            remedy=f"save its object as {stem}.npz with the key {OBJECT_KEY!r}",
        )
    return paths[0]


def read_object(path: Path) -> ForeignObject:
    """Read an object from an NPZ, HDF5, CXI or MATLAB file, without running code from it.

    Parameters
    ----------
    path : Path
        `object`: complex, (y, x), or with axes of length 1 for one slice; or the one object of a PtyPy result, or the
        first image of a CXI file; `origin_px`, optional: two whole numbers, scan-frame (y, x) of its first pixel. A
        Ptychodus product and a PtyPy result say it in metres, a CXI file of `export` in its note.

    Returns
    -------
    ForeignObject

    Raises
    ------
    InputError
        If it cannot be read, or is no complex image.
    """
    try:
        file = open_arrays(path, kind_of(path))
        if file is None:
            raise InputError(f"read {path}: not a file of named arrays", remedy="")
        others = (name for name in (*_objects_of_ptypy(file), f"{IMAGE}/data") if name in file)
        name = OBJECT_KEY if OBJECT_KEY in file else next(others, OBJECT_KEY)
        if name in file:
            refuse_beyond_memory(f"read {path}: {name!r}", math.prod(file.shape(name)) * BYTES_A_PIXEL)
        image = file.take(name)
        origin_px = file.take(ORIGIN_KEY) if ORIGIN_KEY in file else _stated_origin(file, name)
        pixel_nm = _pixel_nm(file, name)
    except Fly64Error as error:
        raise InputError(error.message, remedy=f"save {OBJECT_KEY!r} as a plain complex array") from error
    if image.ndim == 3 and 1 in image.shape:
        image = np.squeeze(image, axis=image.shape.index(1))
    if image.ndim != 2 or not np.iscomplexobj(image) or not image.size:
        raise InputError(
            f"read {path}: {name!r} is {image.dtype} of {image.shape}, needed complex of (y, x) or (1, y, x)",
            remedy="save amplitude and phase as one complex array",
        )
    return ForeignObject(image=image, origin_px=_origin(origin_px, path), pixel_nm=pixel_nm)


def _objects_of_ptypy(file: NamedArrays) -> Iterator[str]:
    """Name the object of a PtyPy result of one scan."""
    members = file.members("content/obj")
    if len(members) == 1:
        yield f"content/obj/{members[0]}/data"


def _stated_origin(file: NamedArrays, name: str) -> NDArray[Any] | None:
    """Find where an object lies in its scan, (y, x), to the nearest pixel, if the file says it as its program does.

    Ptychodus: a position is (position - center) / pixel + shape / 2 of the array, and the middle of a patch; of one
    with an odd side that is half a pixel beside the patch's own pixel H // 2. PtyPy: the first pixel is at `_origin`.
    """
    if name == f"{IMAGE}/data":
        return _origin_in_note(file)
    centre_m, pixel_m = _attributes(file, name, CENTRE_ATTRS), _attributes(file, name, PIXEL_ATTRS)
    if centre_m is not None and pixel_m is not None and (pixel_m > 0).all():
        odd = np.array(file.shape("probe")[-2:]) % 2 if "probe" in file else np.zeros(2)
        return np.asarray(np.rint(centre_m / pixel_m - np.array(file.shape(name)[-2:]) / 2 + odd / 2))
    storage = name.removesuffix("/data")
    stated = [f"{storage}/{key}" for key in ("_origin", "_psize")]
    if storage == name or not all(key in file for key in stated):
        return None
    origin_m, psize_m = (np.ravel(file.take(key)) for key in stated)
    is_usable = origin_m.dtype.kind == psize_m.dtype.kind == "f" and origin_m.size == 2 and (psize_m > 0).all()
    return np.asarray(np.rint(origin_m / psize_m)) if is_usable else None


def _origin_in_note(file: NamedArrays) -> NDArray[Any] | None:
    """Read the origin from the note of a CXI file of `export`; the centre of an image in other CXI files is not
    defined.
    """
    try:
        facts = json.loads(text(file, f"{IMAGE}/process_1/note") or "null")
    except json.JSONDecodeError:
        return None
    is_ours = isinstance(facts, dict) and facts.get("program") == "fly64dask" and "object_origin_px" in facts
    return np.asarray(facts["object_origin_px"]) if is_ours else None


def _pixel_nm(file: NamedArrays, name: str) -> tuple[float, float] | None:
    """Read the sides (y, x) of an object's pixel, if the file has them."""
    if name == f"{IMAGE}/data":
        return image_pixel_nm(file)
    storage = name.removesuffix("/data")
    psize = f"{storage}/_psize"
    if storage != name and psize in file:
        sides_m = np.ravel(file.take(psize))
    else:
        stored_m = _attributes(file, name, PIXEL_ATTRS) if name in file else None
        sides_m = np.zeros(2) if stored_m is None else stored_m
    if sides_m.dtype.kind not in "uif" or sides_m.size not in (1, 2) or not (sides_m > 0).all():
        return None
    return float(sides_m[0]) * 1e9, float(sides_m[-1]) * 1e9


def _attributes(file: NamedArrays, name: str, keys: tuple[str, str]) -> NDArray[np.float64] | None:
    """Read two lengths, along y and x; None unless the file has both."""
    lengths = [as_number(file.attribute(name, key), f"read {file.path}: {key!r}") for key in keys]
    return None if None in lengths else np.array(lengths, dtype=np.float64)


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
