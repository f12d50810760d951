"""Read a scan file of any known format."""

from __future__ import annotations

from pathlib import Path

from fly64dask.datasets.formats.data001 import read_data001
from fly64dask.datasets.formats.npz import load_arrays
from fly64dask.datasets.formats.scan_file import RawScan, ReadOptions
from fly64dask.datasets.formats.tike import KEYS as TIKE_KEYS, read_tike


def read_scan(path: Path, options: ReadOptions) -> RawScan:
    """Read a scan, telling the format by the names of its arrays.

    Parameters
    ----------
    path : Path
        `.npz` or `.npz.bz2`.
    options : ReadOptions
        What settles an ambiguous file.

    Returns
    -------
    RawScan

    Raises
    ------
    InputError
        If the file is missing, damaged, ambiguous or of no known format.
    """
    arrays = load_arrays(path, allow_pickle=options.allow_pickle)
    reader = read_tike if set(arrays) >= TIKE_KEYS else read_data001
    return reader(path, arrays, options)
