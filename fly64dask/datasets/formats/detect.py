"""Read a scan file of any known format: DATA-001, or an NPZ with the names that tike gives to its test data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fly64dask.base import InputError
from fly64dask.datasets.formats.data001 import read_data001
from fly64dask.datasets.formats.npz import Member, load_arrays, take
from fly64dask.datasets.formats.scan_file import ArrayPatterns, ReadOptions, ScanFile, checked_coordinates

TIKE_KEYS = frozenset({"data", "probe", "scan"})


def read_scan_file(path: Path, options: ReadOptions) -> ScanFile:
    """Read a scan from `.npz` or `.npz.bz2`, telling the format by the names of its arrays.

    Raises InputError if the file is missing, damaged, ambiguous or of no known format.
    """
    arrays = load_arrays(path, allow_pickle=options.allow_pickle)
    reader = read_tike if set(arrays) >= TIKE_KEYS else read_data001
    return reader(path, arrays, options)


def read_tike(path: Path, arrays: Mapping[str, Member], options: ReadOptions) -> ScanFile:
    """Read a scan stored as tike stores its test data.

    `data` is (1, n, H, W) photon counts with the zero frequency at the corner, `probe` (..., H, W), `scan` (1, n, 2) in
    px, order (y, x). Raises InputError if shapes or values do not fit.
    """
    data, scan = take(arrays, "data", path), take(arrays, "scan", path)
    if data.ndim != 4 or len(data) != 1 or scan.ndim != 3 or len(scan) != 1 or data.dtype.kind not in "uif":
        raise InputError(
            f"read {path}: data {data.shape} {data.dtype} and scan {scan.shape}, needed (1, n, H, W) and (1, n, 2)",
            remedy="ingest one angle at a time",
        )
    return ScanFile(
        file_format="tike",
        paths=(path,),
        patterns=ArrayPatterns(array=data[0]),
        positions=checked_coordinates(scan[0], "scan", path),
        positions_unit="px",
        quantity="intensity",
        zero_frequency="corner",
        photons_per_intensity=1.0,
        probe=take(arrays, "probe", path),
    )
