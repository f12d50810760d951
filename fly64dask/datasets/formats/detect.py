"""Reads a scan from one file or two, in the format that their content shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fly64dask.base import InputError
from fly64dask.datasets.formats.containers import Kind, NamedArrays, NpzFile, kind_of, open_arrays, reading
from fly64dask.datasets.formats.joining import FAR_FIELD, Parts, join
from fly64dask.datasets.formats.options import ReadOptions
from fly64dask.datasets.formats.patterns import ArrayPatterns
from fly64dask.datasets.formats.readers import (
    names_something,
    read_cxi,
    read_data001,
    read_detector,
    read_empad,
    read_mib,
    read_named,
    read_pattern_arrays,
    read_patterns,
    read_prepared,
    read_product,
    read_ptylab,
    read_py4dstem,
    read_result,
    read_shelves_result,
    read_text_positions,
    read_tike,
    recognise_cxi,
    recognise_data001,
    recognise_detector,
    recognise_pattern_arrays,
    recognise_patterns,
    recognise_prepared,
    recognise_product,
    recognise_ptylab,
    recognise_py4dstem,
    recognise_result,
    recognise_shelves_result,
    recognise_tike,
    refuse_names,
)
from fly64dask.datasets.formats.scan_file import ScanFile
from fly64dask.datasets.formats.units import GIVE_UNIT, METRES
from fly64dask.datasets.formats.unsuitable import refuse_unreadable

# In this order: a file that fits several is the first.
READERS: tuple[tuple[Callable[[NamedArrays], bool], Callable[[NamedArrays], Parts]], ...] = (
    (recognise_product, read_product),
    (recognise_pattern_arrays, read_pattern_arrays),
    (recognise_prepared, read_prepared),
    (recognise_result, read_result),
    (recognise_cxi, read_cxi),
    (recognise_ptylab, read_ptylab),
    (recognise_shelves_result, read_shelves_result),
    (recognise_patterns, read_patterns),
    (recognise_py4dstem, read_py4dstem),
    (recognise_detector, read_detector),
)


def read_scan_file(path: Path, options: ReadOptions) -> ScanFile:
    """Read a scan from a file, and from the one that the options name beside it; either may hold the patterns.

    Raises InputError if a file is missing, damaged, ambiguous, of no known format or not suitable, or if patterns or
    positions are missing.
    """
    paths = [path, *([] if options.positions is None else [options.positions])]
    kinds = [kind_of(each) for each in paths]
    leave = {"allow_links": options.allow_links, "allow_pickle": options.allow_pickle}
    named = {each: open_arrays(each, kind, **leave) for each, kind in zip(paths, kinds, strict=True)}
    containers = [file for file in named.values() if file is not None]
    if containers:
        refuse_names(containers, options, with_text="text" in kinds)
    return join([_parts(each, kind, named[each], options) for each, kind in zip(paths, kinds, strict=True)], options)


def _parts(path: Path, kind: Kind, file: NamedArrays | None, options: ReadOptions) -> Parts:
    """Read the parts of a scan that one file has."""
    if kind == "mib":
        return read_mib(path)
    if kind == "empad":
        return read_empad(path)
    if kind == "text":
        return read_text_positions(path, options)
    if file is None:
        return _read_npy(path, options)
    recognised = _recognised(file, options)
    if names_something(file, options):
        return _completed(read_named(file, options), recognised)
    if recognised is None:
        refuse_unreadable(file)
    return recognised


def _recognised(file: NamedArrays, options: ReadOptions) -> Parts | None:
    """Read a file of a known format; None if it has none, or if a person names all datasets that are needed."""
    if options.patterns is not None and options.positions_y is not None:
        return None
    if isinstance(file, NpzFile):
        if recognise_tike(file):
            return read_tike(file)
        if recognise_data001(file):
            return read_data001(file, options)
    return next((read(file) for recognises, read in READERS if recognises(file)), None)


def _completed(named: Parts, recognised: Parts | None) -> Parts:
    """Replace what the format has by what a person names."""
    if recognised is None:
        return named
    changes: dict[str, Any] = {"assumed": tuple(dict.fromkeys((*recognised.assumed, *named.assumed)))}
    if named.patterns is not None:
        changes |= {"patterns": named.patterns, "frame_numbers": None}
    if named.positions is not None:
        changes |= {
            "positions": named.positions,
            "positions_unit": named.positions_unit,
            "position_numbers": None,
        }
    changes |= {name: value for name in ("mask", "probe") if (value := getattr(named, name)) is not None}
    return replace(recognised, **changes)


def _read_npy(path: Path, options: ReadOptions) -> Parts:
    """Read a single array: patterns if it has three axes, positions (y, x) if it is (n, 2) and the unit is given."""
    with reading(f"read {path}"):
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    if array.ndim == 3 and array.dtype.kind in "uif" and array.size:
        return Parts(
            file_format="NumPy array",
            path=path,
            patterns=ArrayPatterns(array=array),
            assumed=(FAR_FIELD,),
            remedy="one array: give that of the positions with --positions FILE, or save it with np.savez beside them",
        )
    unit = options.positions_unit
    if array.ndim == 2 and array.shape[1] == 2 and array.dtype.kind in "uif":
        if unit is None:
            raise InputError(f"read {path}: positions of an unknown unit", remedy=GIVE_UNIT)
        positions = np.asarray(array, dtype=np.float64)
        return Parts(
            file_format="NumPy array",
            path=path,
            positions=positions if unit in ("px", "m") else positions * METRES[unit],
            positions_unit="px" if unit == "px" else "m",
        )
    raise InputError(
        f"read {path}: a single array of {array.shape} {array.dtype}, needed patterns of (n, H, W), or an NPZ with "
        "named arrays",
        remedy="save it with np.savez",
    )
