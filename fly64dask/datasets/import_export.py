"""Ingest a scan file into an exposure group."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from fly64dask.base import InputError, software_versions, utc_now
from fly64dask.datasets.formats import ReadOptions, read_scan
from fly64dask.store import (
    CHUNK_EXPOSURES,
    ExposureAttributes,
    counts_array,
    object_arrays,
    positions_array,
    probe_array,
    published_directory,
    remove_leftovers,
    write_group,
)


def ingest(path: Path, store: Path, options: ReadOptions) -> ExposureAttributes:
    """Read a scan file into a new Zarr store.

    Parameters
    ----------
    path : Path
        A file of any known format.
    store : Path
        The store to make; must not exist.
    options : ReadOptions
        What settles an ambiguous file.

    Returns
    -------
    ExposureAttributes
        What the store says of itself.

    Raises
    ------
    InputError
        If the file cannot be used, or the store exists or cannot be made; nothing is written then.
    """
    if os.path.lexists(store):
        raise InputError(f"ingest into {store}: it exists", remedy="give another --out or delete it first")
    scan = read_scan(path, options)
    mean_counts_photons = float(scan.counts.sum(dtype=np.float64) / len(scan.counts))
    attributes = ExposureAttributes(
        created_at=utc_now(),
        software=software_versions(),
        source_digest=str(scan.source["sha256"]),
        source=scan.source,
        dose_photons=mean_counts_photons,
        mean_counts_photons=mean_counts_photons,
        brightest_count_photons=int(scan.counts.max()),
        n_exposures=len(scan.counts),
        photons_per_intensity=scan.photons_per_intensity,
        legacy_metadata=scan.metadata or None,
    )
    blocks = (scan.counts[i : i + CHUNK_EXPOSURES] for i in range(0, len(scan.counts), CHUNK_EXPOSURES))
    shape = (len(scan.counts), scan.counts.shape[1], scan.counts.shape[2])
    arrays = [
        counts_array(shape, scan.counts.dtype, blocks),
        positions_array(scan.positions_px),
        probe_array(scan.probe_guess),
    ]
    if scan.object_guess is not None:
        arrays += object_arrays("object_guess", scan.object_guess, origin_px=None)
    try:
        remove_leftovers(store, scratch=store.parent)
        with published_directory(store, scratch=store.parent) as directory:
            write_group(directory, attributes, arrays)
    except OSError as error:
        raise InputError(f"ingest into {store}: {error}", remedy="give an --out that can be written") from error
    return attributes
