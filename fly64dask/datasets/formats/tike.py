"""Read NPZ files that hold a scan under the names that tike gives to its test data: `data`, `probe`, `scan`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fly64dask.base import InputError
from fly64dask.datasets.formats.npz import Member, take
from fly64dask.datasets.formats.photon_counts import centre_zero_frequency, to_counts
from fly64dask.datasets.formats.scan_file import RawScan, ReadOptions, assemble

KEYS = frozenset({"data", "probe", "scan"})


def read_tike(path: Path, arrays: Mapping[str, Member], options: ReadOptions) -> RawScan:
    """Read a scan stored as tike stores its test data.

    Parameters
    ----------
    path : Path
        The file.
    arrays : mapping
        Its content: `data` (1, n, H, W) photon counts with the zero frequency at the corner,
        `probe` (..., H, W), `scan` (1, n, 2) in px, order (y, x).
    options : ReadOptions
        `quantity` and `zero_frequency` override the format.

    Returns
    -------
    RawScan

    Raises
    ------
    InputError
        If shapes or values do not fit.
    """
    data, scan = take(arrays, "data", path), take(arrays, "scan", path)
    if data.ndim != 4 or len(data) != 1 or scan.ndim != 3 or len(scan) != 1 or data.dtype.kind not in "uif":
        raise InputError(
            f"read {path}: data {data.shape} {data.dtype} and scan {scan.shape}, needed (1, n, H, W) and (1, n, 2)",
            remedy="ingest one angle at a time",
        )
    scale = 1.0 if options.photons_per_intensity is None else options.photons_per_intensity
    counts, scale = to_counts(data[0], options.quantity or "intensity", scale, path)
    return assemble(
        path=path,
        file_format="tike",
        counts=centre_zero_frequency(counts, options.zero_frequency, "corner", path),
        positions_px=scan[0],
        probe=take(arrays, "probe", path),
        object_guess=None,
        metadata={},
        photons_per_intensity=scale,
    )
