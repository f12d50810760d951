"""The reference that a measured study's cells are compared with: read, put into a cell's frame, measured, kept."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fly64dask.base import EDITIONS, METRICS, Fly64Error, InputError, counted
from fly64dask.cells import open_inputs
from fly64dask.datasets.formats import BYTES_A_PIXEL, file_sha256, read_object, refuse_beyond_memory
from fly64dask.metrics import (
    Reference as ReferenceInFrame,
    ReferenceMetrics,
    ReferenceObject,
    measure_with_reference,
    reference_in_area,
)
from fly64dask.records import ManifestRow, ReferenceNow, ReferenceRecord, read_record, read_row
from fly64dask.runs.comparisons.frames import refuse_other_pixel
from fly64dask.scan import illuminated_area, illumination_map, object_frame
from fly64dask.store import ReconstructionAttributes, RunLayout, open_group, write_document
from fly64dask.study import Cell, CellReference, FileReference, Reference, Study

if TYPE_CHECKING:
    from numpy.typing import NDArray

KEPT_REFERENCES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class LitFrame:
    """The frame of a cell's own object: where its kept exposures illuminated it.

    `illuminated` (y, x) bool; `origin_px` is the scan-frame (y, x) of its first pixel; `positions_px` (k, 2), (y, x),
    are the kept ones; `pixel_nm` are the sides (y, x) of a pixel, if they are known.
    """

    illuminated: NDArray[np.bool_]
    origin_px: tuple[int, int]
    positions_px: NDArray[np.float64]
    pixel_nm: tuple[float, float] | None


def illuminated_frame(study: Study, layout: RunLayout, cell: Cell) -> LitFrame:
    """Find the frame of a cell and the pixels that its starting probe lights; Fly64Error if its groups are damaged."""
    record = read_record(layout, cell)
    inputs = open_inputs(study, layout, cell, record.remedy if record else None)
    positions, probe = inputs.positions_px, inputs.probe_guess
    shape, origin = object_frame(positions, (probe.shape[-2], probe.shape[-1]))
    return LitFrame(
        illuminated=illuminated_area(illumination_map(probe, positions, shape, origin)),
        origin_px=origin,
        positions_px=positions,
        pixel_nm=inputs.exposures.attributes.pixel_size_nm,
    )


class References:
    """Reads what the cells of a measured study are compared with; keeps the latest few objects.

    Parameters
    ----------
    study : Study
        The run's study.
    layout : RunLayout
        The run.
    reference : CellReference or FileReference
        The study's, or another one.
    """

    def __init__(self, study: Study, layout: RunLayout, reference: Reference) -> None:
        self._study, self._layout, self.reference = study, layout, reference
        self._read_file = functools.cache(_read_file)
        # Cells are references for one split and recipe each. More than a few are not kept, for the sake of memory.
        self._read_cell = functools.lru_cache(maxsize=KEPT_REFERENCES)(self._object_of)

    def object_for(self, cell: Cell) -> ReferenceObject:
        """Read the object that a cell is compared with.

        Raises
        ------
        Fly64Error
            If there is none, or it cannot be read.
        """
        if isinstance(self.reference, FileReference):
            return self._read_file(Path(self.reference.path))
        return self._read_cell(self.reference.cell_for(cell))

    def in_frame(self, cell: Cell, frame: LitFrame) -> ReferenceInFrame:
        """Put the object that a cell is compared with into the cell's frame; raises Fly64Error if it cannot be."""
        reference = self.object_for(cell)
        refuse_other_pixel(f"the reference {reference.name} is an object", reference.pixel_nm, frame.pixel_nm)
        return reference_in_area(reference, frame.illuminated, frame.origin_px, pixel_nm=frame.pixel_nm)

    def _object_of(self, cell: Cell) -> ReferenceObject:
        record = read_record(self._layout, cell)
        if record is None or record.state != "completed":
            state = "not committed" if record is None else f"{record.state}: {record.failure_kind}"
            raise InputError(f"the reference {cell.name} is {state}", remedy="run it, or choose another reference")
        group = open_group(self._layout.reconstruction_group(cell), ReconstructionAttributes)
        illuminated = illuminated_frame(self._study, self._layout, cell).illuminated
        refuse_beyond_memory(f"compare with {cell.name}", illuminated.size * BYTES_A_PIXEL)
        return ReferenceObject(
            name=cell.name,
            image=group.read("object_recon")[0],
            origin_px=group.attributes.object_origin_px,
            trusted=illuminated,
            sha256=group.array_sha256["object_recon"],
        )


def _read_file(path: Path) -> ReferenceObject:
    foreign = read_object(path)
    if foreign.origin_px is None:
        raise InputError(
            f"the reference {path} does not say where it lies in the scan",
            remedy="save origin_px beside it, (y, x) of its first pixel",
        )
    return ReferenceObject(
        name=path.name,
        image=foreign.image,
        origin_px=foreign.origin_px,
        trusted=np.isfinite(foreign.image),
        sha256=file_sha256(path),
        pixel_nm=foreign.pixel_nm,
    )


def compare_with_references(
    study: Study, layout: RunLayout, rows: Iterable[ManifestRow], say: Callable[[str], None]
) -> None:
    """Compare the completed cells of a measured study with its reference, those that are not compared yet.

    Parameters
    ----------
    study : Study
        The run's study; without a reference nothing is done.
    layout : RunLayout
        The run.
    rows : iterable of ManifestRow
        Its committed cells.
    say : callable
        Gets a line for a person.

    Notes
    -----
    One cell after the other, in the order of what they are compared with, so that few references are in memory. Each
    comparison is kept in a file of its own: the cells need not be made again where the study names another reference,
    and where this is interrupted, what is done stays.
    """
    if study.reference is None:
        return
    references = References(study, layout, study.reference)
    now = ReferenceNow(study, layout, functools.partial(read_row, layout))
    n_compared = 0
    for row in sorted(rows, key=lambda row: _reference_name(study.reference, row.cell)):
        sha256 = now.sha256_for(row)
        if sha256 is None or row.digests is None or now.record(row) is not None:
            continue
        write_document(layout.reference_file(row.cell), _compared(study, layout, references, row, sha256))
        n_compared += 1
    if n_compared:
        say(f"compared {counted(n_compared, 'cell')} with the reference {study.reference.label}")


def _reference_name(reference: Reference | None, cell: Cell) -> str:
    """Name what a cell is compared with, so that cells with the same reference follow each other."""
    return reference.cell_for(cell).name if isinstance(reference, CellReference) else ""


def _compared(
    study: Study, layout: RunLayout, references: References, row: ManifestRow, sha256: str
) -> ReferenceRecord:
    """Compare one cell; a comparison that is not possible says why."""
    assert row.digests is not None
    digests = {"object_sha256": row.digests["object_recon"], "reference_sha256": sha256}
    of_what: dict[str, Any] = {"cell": row.cell.name, **digests, "metrics_edition": EDITIONS[METRICS]}
    try:
        frame = illuminated_frame(study, layout, row.cell)
        group = open_group(layout.reconstruction_group(row.cell), ReconstructionAttributes)
        name = references.object_for(row.cell).name
        reference = references.in_frame(row.cell, frame)
        compared = measure_with_reference(name, reference, group.read("object_recon")[0])
    except Fly64Error as error:
        missing = ReferenceMetrics(name=references.reference.label, missing=str(error))
        return ReferenceRecord(**of_what, metrics=missing)
    curve = compared.frc
    return ReferenceRecord(
        **of_what,
        metrics=compared.metrics,
        frequency_per_px=() if curve is None else tuple(curve.frequency_per_px.tolist()),
        correlation=() if curve is None else tuple(curve.correlation.tolist()),
        n_pixels=() if curve is None else tuple(curve.n_pixels.tolist()),
    )
