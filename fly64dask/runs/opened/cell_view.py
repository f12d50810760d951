"""One cell of an opened run: its state, its record, its arrays as labelled datasets, and a figure of it."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from fly64dask.base import Failure, IntegrityError
from fly64dask.monitoring import read_live
from fly64dask.records import CellRecord, ManifestRow, RowContext, read_record, read_row, read_rows
from fly64dask.runs.opened.cell_arrays import REPAIR, completed_row, open_exposures, open_truth
from fly64dask.store import RunLayout
from fly64dask.study import Cell, Study, cells, realisation_of

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

    from fly64dask.datasets.export import FileFormat


@dataclass(frozen=True, slots=True)
class CellView:
    """A cell of a run as it is on disk now.

    A failed cell is no error: `state` and `failure` say what happened; only to ask for its reconstruction is one.
    Made by `Run.sel` and `Run.cells`.

    Parameters
    ----------
    study : Study
        The run's study.
    layout : RunLayout
        Paths of the run's files.
    cell : Cell
        Dose, view, split, repeat, recipe, object and setup.

    Examples
    --------
    >>> cell = open_run("runs/demo").sel(dose=1e4, view="dense", split="train")  # doctest: +SKIP
    >>> cell.reconstruction.object_recon.isel(slice=0).compute()  # doctest: +SKIP
    """

    study: Study
    layout: RunLayout
    cell: Cell

    @property
    def name(self) -> str:
        """The cell as its directory below the run: `dose_10000/dense/train`."""
        return self.cell.name

    @property
    def state(self) -> str:
        """The state of the cell: completed, failed, interrupted, skipped, damaged, running or pending."""
        # Before the record: a cell that ends in between is then seen as ended.
        live = read_live(self.layout, [self.cell]).get(self.cell)
        row = self.row
        n_attempts = row.attempt or 0 if row else 0
        if live is not None and live.attempt > n_attempts and live.silent_s(datetime.now(UTC)) is None:
            return "running"
        return row.state if row else "pending"

    @property
    def row(self) -> ManifestRow | None:
        """The cell's row of the manifest, read from its record; None if nothing is committed.

        `outdated` says if it is of an older recipe, other data or other software than the study as it is now,
        `relative` sets its error beside that of an empty object and beside its floor.
        """
        row = read_row(self.layout, self.cell)
        context = RowContext(self.study, self.layout, functools.partial(read_row, self.layout))
        return None if row is None else context.complete(row)

    @property
    def record(self) -> CellRecord | None:
        """The cell's committed record; None if there is none.

        Raises
        ------
        IntegrityError
            If the record is damaged.
        """
        return read_record(self.layout, self.cell)

    @property
    def failure(self) -> Failure | None:
        """Why the cell has no reconstruction, with its kind; None if it has one, or has not ended."""
        row = self.row
        if row is None or row.failure_kind is None:
            return None
        return Failure(kind=row.failure_kind, message=row.error or "")

    @property
    def log(self) -> str:
        """The text that the engine wrote; empty if the cell has not ended."""
        try:
            return self.layout.log_file(self.cell).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""

    @property
    def exposures(self) -> xarray.Dataset:
        """The exposures that the cell's reconstruction was made from, or would be made from.

        `counts` (exposure, detector_y, detector_x) photons, `positions_px` (exposure, yx) px, `probe_guess` (opr, mode,
        probe_y, probe_x), `scan_index` (exposure). Values are read, and checked against their digests, when they are
        computed.

        Raises
        ------
        InputError
            If they were not made yet.
        IntegrityError
            If what is there is damaged.

        Examples
        --------
        >>> cell.exposures.counts.sum(("detector_y", "detector_x")).compute()  # doctest: +SKIP
        """
        return open_exposures(self.study, self.layout, self.cell)

    @property
    def truth(self) -> xarray.Dataset:
        """The true object and probe of a simulated cell: `object_truth` (y, x), `probe_truth` (probe_y, probe_x).

        Coordinates are pixels of the scan; values are read, and checked, when they are computed.

        Raises
        ------
        InputError
            If the study is measured, or the run has not begun.
        IntegrityError
            If what is there is damaged.
        """
        return open_truth(self.study, self.layout, self.cell.object_seed)

    @property
    def reconstruction(self) -> xarray.Dataset:
        """The reconstructed object and probe with their curves.

        `object_recon` (slice, y, x) with the pixels' places in the scan (px) as coordinates, `probe_recon` (opr, mode,
        probe_y, probe_x), `loss` (epoch), and what the recipe and the source bring: ring correlations, `validation`,
        `half_objects`. Values are read, and checked against their digests, when they are computed.

        Raises
        ------
        NoReconstructionError
            If the cell has none, with the kind and the message of its failure.
        IntegrityError
            If what is there is damaged.

        Examples
        --------
        >>> abs(cell.reconstruction.object_recon.isel(slice=0)).plot()  # doctest: +SKIP
        """
        from fly64dask.store import open_dataset

        completed_row(self.cell, self.row, "open the reconstruction of")
        return open_dataset(self.layout.reconstruction_group(self.cell))

    def plot(self) -> Figure:
        """Draw what the report shows of the cell: its images, the truth and the differences beside them, its curves.

        Returns
        -------
        matplotlib.figure.Figure
            The object is aligned to the truth, where there is one, as for the phase error.

        Raises
        ------
        NoReconstructionError
            If the cell has none, with the kind and the message of its failure.
        IntegrityError
            If what is there is damaged.

        Examples
        --------
        >>> cell.plot().savefig("cell.png")  # doctest: +SKIP
        """
        from fly64dask.report import CellReader, draw_cell

        row = completed_row(self.cell, self.row, "draw")
        # Without a truth the cells together decide on the scale of phases.
        rows = read_rows(self.layout, cells(self.study)) if self.study.source.kind == "measured" else (row,)
        arrays = CellReader(self.study, self.layout, rows).read(row)
        if arrays.problems:
            raise IntegrityError(f"draw {self.name}: {arrays.problems[0]}", remedy=REPAIR)
        return draw_cell(row, arrays)

    def export(
        self,
        path: str | os.PathLike[str],
        *,
        file_format: FileFormat | None = None,
        pixel_size_nm: tuple[float, float] | None = None,
    ) -> FileFormat:
        """Write object and probe, with positions and pixel size, as a file that other programs read.

        Parameters
        ----------
        path : str or path
            The file, replaced if it is there: `.h5` for a Ptychodus product, `.cxi`, `.ptyr` as PtyPy has its results,
            `.tif` for amplitude and phase.
        file_format : "product", "cxi", "ptypy" or "tiff", optional
            Whatever the file is called.
        pixel_size_nm : (float, float), optional
            Sides (y, x) of a pixel of the object, where the run does not know them.

        Returns
        -------
        str
            The format that was written.

        Raises
        ------
        InputError
            If the format of the file is not known, or it has lengths in metres and no pixel size is known.
        NoReconstructionError
            If the cell has none, with the kind and the message of its failure.

        Examples
        --------
        >>> cell.export("cell.cxi", pixel_size_nm=(8.4, 8.4))  # doctest: +SKIP
        'cxi'
        """
        from fly64dask.datasets.export import CellGroups, export_reconstruction

        row = completed_row(self.cell, read_row(self.layout, self.cell), "export")
        groups = CellGroups(
            reconstruction=self.layout.reconstruction_group(self.cell),
            exposures=self.layout.exposure_group(*realisation_of(self.study, self.cell)),
            view=self.layout.kept_group(self.cell, row.remedy),
        )
        return export_reconstruction(groups, Path(path), file_format=file_format, pixel_size_nm=pixel_size_nm)

    def __repr__(self) -> str:
        row = self.row
        kind = f" {row.failure_kind}" if row and row.failure_kind else ""
        outdated = f", {row.outdated}" if row and row.outdated else ""
        return f"<CellView {self.name}: {self.state}{kind}{outdated}>"
