"""Read the NPZ files that tike keeps its test data in."""

from __future__ import annotations

import numpy as np

from fly64dask.base import InputError
from fly64dask.datasets.formats.containers import NpzFile
from fly64dask.datasets.formats.joining import Parts

TIKE_KEYS = ("data", "probe", "scan")


def recognise_tike(file: NpzFile) -> bool:
    """Tell tike's data by the names of the arrays."""
    return all(key in file for key in TIKE_KEYS)


def read_tike(file: NpzFile) -> Parts:
    """Read counts `data` (1, n, H, W) with the zero frequency at the corner, `scan` (1, n, 2) px (y, x), and `probe`.

    Raises InputError if shapes or types do not fit.
    """
    shape, dtype, _ = file.header("data")
    scan = file.take("scan")
    if len(shape) != 4 or shape[0] != 1 or scan.ndim != 3 or len(scan) != 1 or dtype.kind not in "uif":
        raise InputError(
            f"read {file.path}: data {shape} {dtype} and scan {scan.shape}, needed (1, n, H, W) and (1, n, 2)",
            remedy="ingest one angle at a time",
        )
    if scan.shape[2] != 2 or scan.dtype.kind not in "uif":
        raise InputError(
            f"read {file.path}: scan positions have shape {scan.shape[1:]} and dtype {scan.dtype}, needed (n, 2) real "
            "numbers",
            remedy="give one (y, x) pair in px for each exposure",
        )
    return Parts(
        file_format="tike",
        path=file.path,
        patterns=file.patterns("data"),
        positions=scan[0].astype(np.float64),
        positions_unit="px",
        quantity="intensity",
        zero_frequency="corner",
        photons_per_intensity=1.0,
        probe=file.take("probe"),
    )
