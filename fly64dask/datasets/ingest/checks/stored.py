"""Checks every byte of an ingested store, and whether its parts agree, in blocks of bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fly64dask.base import IntegrityError, counted
from fly64dask.store import ExposureAttributes, Group, exposures_in_chunk, open_group

if TYPE_CHECKING:
    from numpy.typing import NDArray


def damages_of_store(path: Path) -> Iterator[tuple[str, str]]:
    """List what is damaged in an ingested store.

    Parameters
    ----------
    path : Path
        The store.

    Yields
    ------
    (str, str)
        A part of the store, and what is wrong with it.
    """
    try:
        group = open_group(path, ExposureAttributes)
    except IntegrityError as error:
        yield path.name, str(error)
        return
    sound = True
    for name in group.names:
        if name != "counts":
            try:
                group.read(name)
            except IntegrityError as error:
                sound = False
                yield f"{path.name}/{name}", str(error)
    try:
        if sound:
            yield from _disagreements(path, group)
    except IntegrityError as error:
        yield f"{path.name}/counts", str(error)


def _disagreements(path: Path, group: Group[ExposureAttributes]) -> Iterator[tuple[str, str]]:
    """Read the counts, and list the arrays and attributes that do not agree with them."""
    valid = group.read("valid_pixels") if "valid_pixels" in group.names else None
    totals: list[NDArray[np.int64]] = []
    brightest, n_masked = 0, 0
    n = group.attributes.n_exposures
    height, width = group.read("probe_guess").shape[-2:]
    wide = group.attributes.brightest_count_photons > np.iinfo(np.uint16).max
    length = exposures_in_chunk((n, height, width), np.dtype(np.uint32 if wide else np.uint16))
    for start in range(0, n, length):
        counts = group.read("counts", np.arange(start, min(start + length, n)))
        totals.append(counts.sum(axis=(1, 2), dtype=np.int64))
        brightest = max(brightest, int(counts.max()))
        n_masked += 0 if valid is None else int((counts[:, ~valid] > 0).sum())
    photons = np.concatenate(totals)
    if n_masked:
        yield f"{path.name}/counts", f"{counted(n_masked, 'count')} in pixels that the mask leaves out, needed 0"
    if "exposure_photons" in group.names and not np.array_equal(photons, group.read("exposure_photons")):
        yield f"{path.name}/exposure_photons", "is not the sum of the counts of each exposure"
    if brightest != group.attributes.brightest_count_photons:
        yield (
            path.name,
            f"brightest count is {brightest}, its attributes say {group.attributes.brightest_count_photons}",
        )
    for name in ("positions_px", "opr_weights"):
        if name in group.names and len(group.read(name)) != n:
            yield f"{path.name}/{name}", f"has {counted(len(group.read(name)), 'row')} for {counted(n, 'exposure')}"
