"""A scan file converted as `ingest` converts it, in memory: what a store of it would hold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fly64dask.datasets.formats import ReadOptions, ScanFile, read_scan_file
from fly64dask.datasets.ingest import IngestOptions
from fly64dask.datasets.ingest.checks.complaints import raise_complaints
from fly64dask.datasets.ingest.checks.counts import complaints_of
from fly64dask.datasets.ingest.passes import Pass, StartAgainError
from fly64dask.datasets.ingest.prepare import prepare

ASK_NOTHING, WISH_NOTHING = ReadOptions(), IngestOptions()


@dataclass(frozen=True, kw_only=True)
class Converted:
    """Counts (n, H, W), positions (n, 2) px, probe and object as a store would have them."""

    counts: np.ndarray
    positions_px: np.ndarray
    probe_guess: np.ndarray
    object_guess: np.ndarray | None
    valid_pixels: np.ndarray
    metadata: dict[str, Any]
    photons_per_intensity: float


def read_scan(path: Path, options: ReadOptions = ASK_NOTHING, wishes: IngestOptions = WISH_NOTHING) -> Converted:
    """Read and convert a file; raises InputError as `ingest` does."""
    return convert(read_scan_file(path, options), options, wishes)


def convert(scan: ScanFile, options: ReadOptions = ASK_NOTHING, wishes: IngestOptions = WISH_NOTHING) -> Converted:
    origin = f"read {scan.paths[0]}"
    prepared = prepare(scan, options, wishes, origin=origin)
    plan = prepared.plan
    while True:
        under_way = Pass(plan, lambda *_: None)
        try:
            counts = np.concatenate(list(under_way.blocks()))
            break
        except StartAgainError as again:
            plan = again.plan
    raise_complaints(origin, [*prepared.complaints, *complaints_of(under_way, prepared)])
    return Converted(
        counts=counts,
        positions_px=prepared.positions_px,
        probe_guess=prepared.make_probe(under_way),
        object_guess=prepared.object_guess,
        valid_pixels=under_way.valid_pixels,
        metadata=scan.metadata,
        photons_per_intensity=plan.conversion.photons_per_intensity,
    )
