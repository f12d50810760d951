"""Makes the attributes by which a store describes the scan that it was made from."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fly64dask.base import Geometry, software_versions, utc_now
from fly64dask.datasets.ingest.checks import doubt_wrapping, doubt_zero_frequency
from fly64dask.datasets.ingest.passes import Pass
from fly64dask.datasets.ingest.prepared import PreparedScan
from fly64dask.scan import median_step_px, span_px
from fly64dask.store import ExposureAttributes, IngestedScan

if TYPE_CHECKING:
    from pydantic import JsonValue


def ingest_attributes(under_way: Pass, prepared: PreparedScan, sha256: str) -> ExposureAttributes:
    """Describe a scan whose patterns have all been read; `sha256` is that of their file's bytes."""
    photons, plan = under_way.survey.exposure_photons, under_way.plan
    mean = float(photons.sum(dtype=np.float64) / len(photons))
    return ExposureAttributes(
        created_at=utc_now(),
        software=software_versions(),
        source_digest=sha256,
        source=_source(prepared, sha256),
        dose_photons=mean,
        mean_counts_photons=mean,
        brightest_count_photons=under_way.survey.brightest,
        pixel_size_nm=prepared.pixel_nm,
        geometry=_geometry(prepared),
        n_exposures=len(photons),
        photons_per_intensity=plan.conversion.photons_per_intensity,
        legacy_metadata=prepared.scan.metadata or None,
        ingested=_ingested(under_way, prepared),
    )


def _ingested(under_way: Pass, prepared: PreparedScan) -> IngestedScan:
    photons, rounding = under_way.survey.exposure_photons, under_way.rounding
    n, dropped = prepared.scan.patterns.shape[0], np.ones(prepared.scan.patterns.shape[0], dtype=np.bool_)
    dropped[under_way.plan.rows] = False
    return IngestedScan(
        file_format=prepared.scan.file_format,
        n_exposures_in_file=n,
        frame_px=under_way.plan.frame.shape_px,
        step_px=median_step_px(prepared.positions_px),
        span_px=span_px(prepared.positions_px),
        photons_min=int(photons.min()),
        photons_median=float(np.median(photons)),
        photons_max=int(photons.max()),
        masked_share=float(1 - under_way.valid_pixels.mean()),
        quantity=under_way.plan.conversion.quantity,
        largest_rounding_photons=rounding.largest_off_photons,
        n_negative_pixels=rounding.n_negative,
        dropped=tuple(int(exposure) for exposure in np.flatnonzero(dropped)),
        changes=prepared.options.changes,
        assumed=(*prepared.notes, *_doubts(under_way, prepared)),
    )


def _doubts(under_way: Pass, prepared: PreparedScan) -> Iterator[str]:
    """List doubts about what a person or a file states; it was accepted nevertheless, or the probe was scaled."""
    claimed, mean_pattern = prepared.read.zero_frequency, under_way.survey.pattern_sum / len(under_way.plan.rows)
    if claimed is not None:
        yield from doubt_zero_frequency(mean_pattern, claimed)
    yield from doubt_wrapping(under_way.extremes)
    photons = float(mean_pattern.sum())
    power = prepared.power_far_off(photons)
    if power is not None:
        yield (
            f"a starting probe in photons: its power of {power:.3g} is in another unit, and was brought to the "
            f"{photons:.6g} photons of an exposure"
        )


def _geometry(prepared: PreparedScan) -> Geometry | None:
    """Return the known geometry, for the patterns as they are cut and binned."""
    stated, side = prepared.scan.geometry, prepared.plan.frame.bin
    if stated == Geometry():
        return None
    changes: dict[str, object] = {"pixel_size_nm": prepared.pixel_nm}
    for name in ("pitch_um", "reciprocal_pixel_per_nm"):
        pair = getattr(stated, name)
        if pair is not None:
            y, x = pair[::-1] if prepared.options.transpose else pair
            changes[name] = (side * y, side * x)
    if stated.bright_disk_radius_px is not None:
        changes["bright_disk_radius_px"] = stated.bright_disk_radius_px / side
    return stated.model_copy(update=changes)


def _source(prepared: PreparedScan, sha256: str) -> dict[str, JsonValue]:
    """Name the files; the first is that of the patterns, whose digest is given."""
    paths = prepared.scan.paths
    return {
        "kind": "ingested",
        "format": prepared.scan.file_format,
        "file": _file_name(paths[0]),
        "files": [_file_name(path) for path in paths],
        "bytes": [path.stat().st_size for path in paths],
        "sha256": sha256,
    }


def _file_name(path: Path) -> str:
    """Write the name of a file as text for JSON, with escapes for bytes that are not UTF-8."""
    return os.fsencode(path.name).decode(errors="backslashreplace")
