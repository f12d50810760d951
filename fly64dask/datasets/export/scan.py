"""Writes an exposure group as a scan file of the original study."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fly64dask.base import InputError
from fly64dask.datasets.export.data001 import ScanToWrite, write_data001
from fly64dask.datasets.export.reconstruction import refuse_missing
from fly64dask.store import ExposureAttributes, TruthAttributes, ViewAttributes, open_group

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def export_scan(group: Path, path: Path, *, view_group: Path | None = None, truth_group: Path | None = None) -> int:
    """Write an exposure group as a DATA-001 NPZ.

    Parameters
    ----------
    group : Path
        An ingested store, or one dose and split of a run.
    path : Path
        The `.npz` to write; one that exists is replaced.
    view_group : Path, optional
        A view; only the exposures that it keeps are written.
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
    refuse_missing(path, [each for each in (group, view_group, truth_group) if each is not None])
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
    scan = ScanToWrite(
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
