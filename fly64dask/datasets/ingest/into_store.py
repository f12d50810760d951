"""Writes a scan file as a store: checked, converted and written in one pass, or refused with all its problems."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fly64dask.base import InputError
from fly64dask.datasets.formats import read_scan_file
from fly64dask.datasets.formats.file_digest import FileDigest
from fly64dask.datasets.formats.options import ReadOptions
from fly64dask.datasets.formats.scan_file import ScanFile
from fly64dask.datasets.ingest.checks import complain_of_probe, complaints_of, find_dark, raise_complaints
from fly64dask.datasets.ingest.facts import ingest_attributes
from fly64dask.datasets.ingest.options import IngestOptions
from fly64dask.datasets.ingest.passes import OnProgress, Pass, PassPlan, StartAgainError
from fly64dask.datasets.ingest.prepare import prepare
from fly64dask.datasets.ingest.prepared import PreparedScan
from fly64dask.store import (
    ArraySource,
    ExposureAttributes,
    counts_array,
    mask_array,
    object_arrays,
    opr_weights_array,
    photons_array,
    positions_array,
    probe_array,
    published_directory,
    remove_leftovers,
    write_arrays,
    write_attributes,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray


def ingest_file(
    path: Path,
    store: Path,
    read: ReadOptions,
    options: IngestOptions | None = None,
    *,
    on_progress: OnProgress = lambda *_: None,
) -> ExposureAttributes:
    """Read a scan file into a new Zarr store.

    Parameters
    ----------
    path : Path
        A file of any known format.
    store : Path
        The store to make; must not exist.
    read : ReadOptions
        What a person says about an ambiguous file.
    options : IngestOptions, optional
        What to do with the scan.
    on_progress : callable
        Called with exposures done, exposures in all, and bytes read, after each block.

    Returns
    -------
    ExposureAttributes
        The attributes of the store.

    Raises
    ------
    InputError
        If the file cannot be used, or the store exists or cannot be made; nothing is written then.
    """
    _refuse_existing(store)
    scan = read_scan_file(path, read)
    return ingest_scan(scan, store, read, options or IngestOptions(), on_progress=on_progress)


def ingest_scan(
    scan: ScanFile,
    store: Path,
    read: ReadOptions,
    options: IngestOptions,
    *,
    on_progress: OnProgress = lambda *_: None,
) -> ExposureAttributes:
    """Write a scan into a new Zarr store.

    Parameters
    ----------
    scan : ScanFile
        The scan as a reader describes it.
    store : Path
        The store to make; must not exist.
    read : ReadOptions
        What a person says about the values.
    options : IngestOptions
        What to do with the scan.
    on_progress : callable
        Called with exposures done, exposures in all, and bytes read, after each block.

    Returns
    -------
    ExposureAttributes
        The attributes of the store.

    Raises
    ------
    InputError
        If the scan has problems, all of which are listed, or if the store exists or cannot be made; nothing is written
        then.
    """
    origin = f"read {scan.paths[0]}"
    _refuse_existing(store)
    prepared = prepare(scan, read, options, origin=origin)
    plan = prepared.plan
    if options.drop_dark:
        surveyed = _survey(plan, on_progress)
        dark = find_dark(surveyed.survey.exposure_photons)
        prepared = prepared.without(plan.rows[dark])
        plan = surveyed.plan.changed(rows=prepared.plan.rows)
    while True:
        try:
            return _write(store, replace(prepared, plan=plan), on_progress, origin)
        except StartAgainError as again:
            plan = again.plan


def _refuse_existing(store: Path) -> None:
    if os.path.lexists(store):
        raise InputError(f"ingest into {store}: it exists", remedy="give another --out or delete it first")


def _write(store: Path, prepared: PreparedScan, on_progress: OnProgress, origin: str) -> ExposureAttributes:
    """Write the store in one pass; raises StartAgainError if another plan is needed."""
    if prepared.complaints:  # the scan will be refused, so only its further problems are of interest
        under_way = _survey(prepared.plan, on_progress)
        raise_complaints(origin, [*prepared.complaints, *complaints_of(under_way, prepared)])
    under_way = Pass(prepared.plan, on_progress)
    with FileDigest(prepared.scan.paths[0]) as digest, _published(store) as directory:
        written = write_arrays(directory, _arrays(under_way, prepared, origin))
        attributes = ingest_attributes(under_way, prepared, digest.result())
        write_attributes(directory, attributes, written)
    return attributes


def _survey(plan: PassPlan, on_progress: OnProgress) -> Pass:
    """Read all exposures without writing."""
    while True:
        under_way = Pass(plan, on_progress)
        try:
            for _ in under_way.blocks():
                pass
        except StartAgainError as again:
            plan = again.plan
        else:
            return under_way


@contextmanager
def _published(store: Path) -> Iterator[Path]:
    """Give a directory that becomes the store; errors of the operating system become input errors."""
    missing = [folder for folder in store.parents if not os.path.exists(folder)]
    try:
        remove_leftovers(store, scratch=store.parent)
        with published_directory(store, scratch=store.parent) as directory:
            yield directory
    except OSError as error:
        raise InputError(f"ingest into {store}: {error}", remedy="give an --out that can be written") from error
    finally:
        if not os.path.lexists(store):
            with suppress(OSError):  # another process has made it meanwhile
                for folder in missing:
                    folder.rmdir()


def _arrays(under_way: Pass, prepared: PreparedScan, origin: str) -> Sequence[ArraySource]:
    """Describe the store's arrays; the counts come first, and the others are made when the counts are known."""
    plan = under_way.plan
    n, (height, width) = len(plan.rows), plan.frame.shape_px

    def counts() -> Iterator[NDArray[np.generic]]:
        yield from under_way.blocks()
        # Raised before anything else is made, because a problem of the scan may prevent making a probe from it.
        raise_complaints(origin, list(complaints_of(under_way, prepared)))

    def probe() -> NDArray[np.complex64]:
        made = prepared.make_probe(under_way)
        raise_complaints(origin, list(complain_of_probe(made)))
        return made

    empty_probe = np.empty((*prepared.probe_modes, height, width), dtype=np.complex64)
    arrays = [
        counts_array((n, height, width), plan.dtype, counts()),
        photons_array(n, _later(lambda: under_way.survey.exposure_photons), dtype=np.dtype(np.int64)),
        positions_array(prepared.positions_px),
        replace(probe_array(empty_probe), blocks=_later(probe)),
    ]
    if plan.takes_marks or plan.valid is not None:
        everywhere = mask_array(np.ones((height, width), dtype=np.bool_))
        arrays.append(replace(everywhere, blocks=_later(lambda: under_way.valid_pixels)))
    if prepared.opr_weights is not None:
        arrays.append(opr_weights_array(prepared.opr_weights))
    if prepared.object_guess is not None:
        arrays += object_arrays("object_guess", prepared.object_guess, origin_px=None)
    return arrays


def _later(make: Callable[[], NDArray[np.generic]]) -> Iterator[NDArray[np.generic]]:
    yield np.ascontiguousarray(make())
