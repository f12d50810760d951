"""A run directory opened from Python: its study, the state of its cells and what they gave."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from fly64dask.base import InputError
from fly64dask.monitoring import RunReader
from fly64dask.records import Manifest, ManifestRow, read_run_study
from fly64dask.report import matrix_html, write_table
from fly64dask.runs.cell_view import CellView
from fly64dask.runs.labelled import flat_cells, metrics_dataset, run_table
from fly64dask.store import RunLayout, read_document
from fly64dask.study import Cell, Study, cells, dose_name

if TYPE_CHECKING:
    import pandas
    import xarray

    from fly64dask.monitoring import CellOutcome, RunStatus


def open_run(path: str | os.PathLike[str]) -> Run:
    """Open a run directory, finished or not; neither torch, pty-chi nor a scheduler is needed.

    Parameters
    ----------
    path : str or path
        The directory that `run_study` or `fly64dask run` made.

    Returns
    -------
    Run
        What is committed at any time: each call of a method looks at the directory again.

    Raises
    ------
    InputError
        If the directory holds no run.
    IntegrityError
        If the study of the run is damaged. Damaged cells are no error: their state is `damaged`.

    Examples
    --------
    >>> run = open_run("runs/demo")  # doctest: +SKIP
    >>> run.metrics.phase_rmse_rad.sel(split="train").mean("repeat")  # doctest: +SKIP
    """
    layout = RunLayout(Path(os.path.realpath(path)))
    return Run(read_run_study(layout), layout)


@dataclass(frozen=True, slots=True)
class Run:
    """A run directory: its cells, what was measured of them, and what can be done with them.

    Made by `open_run` and `run_study`. Everything is read from disk when it is asked for, so that a run under way can
    be looked at again and again.

    Parameters
    ----------
    study : Study
        The study as it ran.
    layout : RunLayout
        Paths of the run's files.
    wanted : tuple of Cell
        Cells that the call of `run_study` was asked for; empty if the run was opened.
    outcomes : mapping of Cell to CellOutcome
        How each of these ended.

    Examples
    --------
    >>> run = open_run("runs/demo")  # doctest: +SKIP
    >>> run.table()[["state", "metrics.phase_rmse_rad"]]  # doctest: +SKIP
    >>> run.sel(dose=1e4, view="dense", split="train").reconstruction  # doctest: +SKIP
    """

    study: Study
    layout: RunLayout
    wanted: tuple[Cell, ...] = ()
    outcomes: Mapping[Cell, CellOutcome] = field(default_factory=dict)
    _reader: RunReader = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Keep a reader, which reads each record once."""
        object.__setattr__(self, "_reader", RunReader(self.study, self.layout))

    @property
    def cells(self) -> tuple[CellView, ...]:
        """All cells of the study, in its order."""
        return tuple(CellView(self.study, self.layout, cell) for cell in cells(self.study))

    @property
    def states(self) -> dict[Cell, str]:
        """The state of each cell: completed, failed, skipped, damaged, running or pending."""
        return _states(self._reader.read())

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

        Coordinates are pixels of the scan; values are read, and checked, when they are computed.

        Raises
        ------
        InputError
            If the study is measured, or the run has not begun.
        IntegrityError
            If what is there is damaged.
        """
        from fly64dask.store import open_dataset

        if self.study.source.kind == "measured" or not self.layout.truth_group.exists():
            raise InputError(
                f"open the truth of {self.layout.root}: a {self.study.source.kind} study's run holds none",
                remedy="use runs of simulated studies that have begun",
            )
        return open_dataset(self.layout.truth_group)

    @property
    def metrics(self) -> xarray.Dataset:
        """The numbers of all cells over dose, view, split and repeat, with units and labels; NaN where there is none.

        Examples
        --------
        >>> open_run("runs/demo").metrics.phase_rmse_rad.attrs["units"]  # doctest: +SKIP
        'rad'
        """
        run_status = self._reader.read()
        return metrics_dataset(self.study, run_status.rows, _states(run_status))

    def table(self) -> pandas.DataFrame:
        """Return one line for each cell of the study.

        Returns
        -------
        pandas.DataFrame
            Indexed by dose, view, split and repeat; columns as in the CSV file of the report, fields of nested records
            with dotted names. Cells that have not run have a state and nothing else.

        Examples
        --------
        >>> open_run("runs/demo").table().query("state == 'failed'")["error"]  # doctest: +SKIP
        """
        run_status = self._reader.read()
        return run_table(run_status.rows, _states(run_status))

    def write_table(self, path: str | os.PathLike[str]) -> None:
        """Write the table as a file, with labels and units as metadata of the fields where the format has a place.

        Parameters
        ----------
        path : str or path
            The file, replaced if it is there; it ends in `.parquet` or `.csv`. A CSV file holds names and values alone.

        Raises
        ------
        InputError
            If the file's name ends in anything else.

        Examples
        --------
        >>> open_run("runs/demo").write_table("demo.parquet")  # doctest: +SKIP
        """
        run_status = self._reader.read()
        write_table(Path(path), flat_cells(run_status.rows, _states(run_status)))

    def _repr_html_(self) -> str:
        """The matrix, for a notebook."""
        run_status = self._reader.read()
        return matrix_html(self.study, run_status.rows, running=run_status.running)

    def sel(self, *, dose: float | str, view: str, split: str, repeat: int = 0) -> CellView:
        """Select one cell.

        Parameters
        ----------
        dose : float or "measured"
            Photons per exposure, as the study has it.
        view : str
            Name of the view.
        split : "train" or "test"
            Half of the field of view.
        repeat : int
            Noise realisation, from 0.

        Returns
        -------
        CellView

        Raises
        ------
        InputError
            If the study has no such cell.

        Examples
        --------
        >>> open_run("runs/demo").sel(dose=1e4, view="dense", split="train").state  # doctest: +SKIP
        'completed'
        """
        for cell in cells(self.study):
            if (cell.dose, cell.view, cell.split, cell.repeat) == (dose, view, split, repeat):
                return CellView(self.study, self.layout, cell)
        doses = ", ".join(dose_name(each).removeprefix("dose_") for each in self.study.doses_photons)
        views = ", ".join(each.name for each in self.study.views)
        raise InputError(
            f"select dose {dose}, view {view!r}, split {split!r}, repeat {repeat}: study {self.study.name!r} has doses "
            f"{doses}, views {views}, splits train, test and {self.study.repeats} repeats",
            remedy="give one of each",
        )

    def n_failed(self, *, allow_missing: bool = False) -> int:
        """Count the cells without a reconstruction.

        Parameters
        ----------
        allow_missing : bool
            Leave out cells whose view cannot be selected.

        Returns
        -------
        int
            Of the cells that `run_study` was asked for, or of all cells if the run was opened.
        """
        states = self.states
        fine = {"completed", "skipped"} if allow_missing else {"completed"}
        # An attempt that could not be committed leaves the record of an older one in its place.
        lost = {cell for cell, outcome in self.outcomes.items() if not outcome.committed}
        return sum(states[cell] not in fine or cell in lost for cell in self.wanted or cells(self.study))

    def __repr__(self) -> str:
        counts = ", ".join(f"{number} {state}" for state, number in self._reader.read().counts.items())
        return f"<Run {self.study.name!r} in {_short(self.layout.root)}: {counts}>"


def _states(run_status: RunStatus) -> dict[Cell, str]:
    states = dict.fromkeys(cells(run_status.study), "pending")
    states |= {row.cell: row.state for row in run_status.rows}
    return states | dict.fromkeys(run_status.running, "running")


def _short(path: Path) -> Path:
    """A path relative to the working directory where it lies below it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
