"""Ingest a scan file into an exposure group, and export an exposure group as a scan file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fly64dask.base import InputError, software_versions, utc_now
from fly64dask.datasets.formats import RawScan, ReadOptions, read_scan, write_data001
from fly64dask.store import (
    CHUNK_EXPOSURES,
    ExposureAttributes,
    TruthAttributes,
    ViewAttributes,
    counts_array,
    object_arrays,
    open_group,
    positions_array,
    probe_array,
    published_directory,
    remove_leftovers,
    write_group,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray


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


def export(group: Path, path: Path, *, view_group: Path | None = None, truth_group: Path | None = None) -> int:
    """Write an exposure group as a DATA-001 NPZ.

    Parameters
    ----------
    group : Path
        An ingested store, or one dose and split of a run.
    path : Path
        The `.npz` to make.
    view_group : Path, optional
        Keep this view's exposures only.
    truth_group : Path, optional
        Put the true object into `objectGuess`, as the original study's files have it; without
        it an empty object is written.

    Returns
    -------
    int
        Number of exposures written.

    Raises
    ------
    InputError
        If the file cannot be written.
    IntegrityError
        If a group is missing or damaged.
    """
    exposures = open_group(group, ExposureAttributes)
    attributes = exposures.attributes
    kept_indices: NDArray[np.int64] | None = None
    metadata = attributes.model_dump(mode="json", exclude={"source", "legacy_metadata", "photons_per_intensity"})
    metadata = (attributes.legacy_metadata or {}) | metadata
    if view_group is not None:
        view = open_group(view_group, ViewAttributes)
        kept_indices = view.read("kept_indices")
        selection = view.attributes.selection
        metadata |= (
            selection.model_dump(mode="json", exclude_none=True)
            if selection
            else {"overlap_view": view.attributes.overlap_view}
        )
    object_guess = None
    if truth_group is not None:
        object_guess = open_group(truth_group, TruthAttributes).read("object_truth")
    elif "object_guess" in exposures.names:
        object_guess = exposures.read("object_guess")
    scan = RawScan(
        counts=exposures.read("counts", kept_indices),
        positions_px=exposures.read("positions_px", kept_indices),
        probe_guess=exposures.read("probe_guess"),
        object_guess=object_guess,
        metadata=metadata,
        photons_per_intensity=attributes.photons_per_intensity or 1.0,
        source=attributes.source,
    )
    try:
        write_data001(path, scan)
    except OSError as error:
        raise InputError(f"export {path}: {error}", remedy="give an --out that can be written") from error
    return len(scan.counts)
