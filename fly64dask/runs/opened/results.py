"""What a run directory holds, read from Python: its study, the state of its cells and what they gave."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from fly64dask.base import InputError
from fly64dask.monitoring import OverviewReader, RunReader, read_each
from fly64dask.records import Manifest, ManifestRow
from fly64dask.report import cell_columns
from fly64dask.runs.opened.cell_arrays import open_truth
from fly64dask.runs.opened.cell_view import CellView
from fly64dask.runs.opened.labelled import flat_cell, metrics_dataset, run_table
from fly64dask.store import RunLayout, read_document
from fly64dask.study import Cell, Study, cells, choose_cell

if TYPE_CHECKING:
    import pandas
    import xarray


@dataclass(frozen=True, slots=True)
class RunResults:
    """The content of a run directory: its cells, their states, their arrays and the numbers that were measured of them.

    Everything is read from disk when it is asked for, so that a run under way can be looked at again and again.

    Parameters
    ----------
    study : Study
        The study as it ran.
    layout : RunLayout
        Paths of the run's files.
    """

    study: Study
    layout: RunLayout
    _reader: RunReader = field(init=False, repr=False, compare=False)
    _counter: OverviewReader = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Keep readers, which read each record once: one keeps rows, the other, for very many cells, their states."""
        object.__setattr__(self, "_reader", RunReader(self.study, self.layout))
        object.__setattr__(self, "_counter", OverviewReader(self.study, self.layout))

    @property
    def cells(self) -> tuple[CellView, ...]:
        """The cells of the study, in its order."""
        return tuple(CellView(self.study, self.layout, cell) for cell in cells(self.study))

    @property
    def states(self) -> dict[Cell, str]:
        """The state of each cell: completed, failed, interrupted, skipped, damaged, running or pending."""
        return self._reader.read().states

    @property
    def counts(self) -> dict[str, int]:
        """The number of cells in each state, zeros left out."""
        return self._counter.read().counts

    @property
    def rows(self) -> tuple[ManifestRow, ...]:
        """The rows of all committed cells as their records are now, in the study's order."""
        return self._reader.read().rows

    @property
    def manifest(self) -> Manifest:
        """The manifest as the last run that ended wrote it."""
        return read_document(self.layout.manifest_file, Manifest, remedy="run the study again")

    @property
    def truth(self) -> xarray.Dataset:
        """The true object and probe of a simulated study: `object_truth` (y, x), `probe_truth` (probe_y, probe_x).

        Coordinates are pixels of the scan; values are read, and checked, when they are computed. Where a study has
        several objects, each of its cells has its own: see `CellView.truth`.

        Raises
        ------
        InputError
            If the study is measured or has several objects, or the run has not begun.
        IntegrityError
            If what is there is damaged.
        """
        if len(self.study.object_seeds) > 1:
            raise InputError(
                f"open the truth of {self.layout.root}: the study has {len(self.study.object_seeds)} objects",
                remedy="use that of a cell, `run.sel(...).truth`",
            )
        return open_truth(self.study, self.layout, self.study.object_seeds[0])

    @property
    def metrics(self) -> xarray.Dataset:
        """The numbers of all cells over dose, view, split and repeat, with units and labels; NaN where there is none.

        Where the study names recipes, lists objects or values of its setup, also over `recipe_name`, `object_seed` and
        `setup_name`.

        Examples
        --------
        >>> open_run("runs/demo").metrics.phase_rmse_rad.attrs["units"]  # doctest: +SKIP
        'rad'
        """
        return metrics_dataset(self.study, read_each(self.study, self.layout))

    def table(self) -> pandas.DataFrame:
        """Return one line for each cell of the study.

        Returns
        -------
        pandas.DataFrame
            Indexed by dose, view, split and repeat, and by `recipe_name`, `object_seed` and `setup_name` where the
            study names recipes, lists objects or values of its setup; columns as in the CSV file of the report, fields
            of nested records with dotted names. The columns are the same for each run and however its cells have ended:
            a column of which no cell has a value is empty. Cells that have not run have a state and nothing else.
            Where the study has "measured" or "noise_free" among its doses the level `dose` is text, such as "1000.0";
            `dose_photons` is a number in every table.
            `attrs` say what doses count (`dose_by`) and hold `units`, `labels` and `better` by name of a column or
            level of the index, of those that hold numbers.

        Examples
        --------
        >>> open_run("runs/demo").table().query("state == 'failed'")["error"]  # doctest: +SKIP
        >>> open_run("runs/demo").table().attrs["units"]["dose"]  # doctest: +SKIP
        'photons per exposure'
        """
        return run_table(self.study, map(flat_cell, read_each(self.study, self.layout)))

    def write_table(self, path: str | os.PathLike[str]) -> None:
        """Write the table as a file, with its `attrs` where the format has a place for them.

        Parameters
        ----------
        path : str or path
            The file, replaced if it is there; it ends in `.parquet` or `.csv`. Of a Parquet file, `pandas.read_parquet`
            gives the `attrs` of `table`, and each field has its label and unit as metadata. A CSV file holds names and
            values alone.

        Raises
        ------
        InputError
            If the file's name ends in anything else.

        Examples
        --------
        >>> open_run("runs/demo").write_table("demo.parquet")  # doctest: +SKIP
        """
        from fly64dask.report import check_table_name, write_table

        check_table_name(Path(path))
        write_table(Path(path), self.study, cell_columns(map(flat_cell, read_each(self.study, self.layout))))

    def _repr_html_(self) -> str:
        """Draw the matrix for a notebook."""
        from fly64dask.report import matrix_html

        run_status = self._reader.read()
        return matrix_html(self.study, run_status.rows, running=run_status.running)

    def sel(
        self,
        *,
        dose: float | str,
        view: str,
        split: str | None = None,
        repeat: int = 0,
        recipe_name: str | None = None,
        object_seed: int | None = None,
        setup_name: str | None = None,
    ) -> CellView:
        """Select one cell.

        Parameters
        ----------
        dose : float, "measured" or "noise_free"
            As the study has it: photons per exposure, unless its `dose_by` says otherwise.
        view : str
            Name of the view.
        split : "train", "test" or "whole", optional
            Part of the field of view; needed where the study has several.
        repeat : int
            Noise realisation, from 0.
        recipe_name : str, optional
            Name of the recipe; needed where the study has several.
        object_seed : int, optional
            Seed of the object; needed where the study has several.
        setup_name : str, optional
            Name of the setup, such as `gap_px_2`; needed where the study has several.

        Returns
        -------
        CellView

        Raises
        ------
        InputError
            If the study has no such cell, or several.

        Examples
        --------
        >>> open_run("runs/demo").sel(dose=1e4, view="dense", split="train").state  # doctest: +SKIP
        'completed'
        """
        further = {"recipe_name": recipe_name, "object_seed": object_seed, "setup_name": setup_name}
        cell = choose_cell(self.study, (dose, view, repeat), split=split, **further)
        return CellView(self.study, self.layout, cell)

    def __repr__(self) -> str:
        counts = ", ".join(f"{number} {state}" for state, number in self.counts.items())
        return f"<{type(self).__name__} {self.study.name!r} in {_short(self.layout.root)}: {counts}>"


def _short(path: Path) -> Path:
    """A path relative to the working directory where it lies below it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
