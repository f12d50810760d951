"""A run directory opened from Python: its study, the state of its cells and what they gave."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from fly64dask.base import FailureKind, InputError, IntegrityError, mean_side_nm
from fly64dask.monitoring import RunReader
from fly64dask.reconstruction import LSQML
from fly64dask.records import Answer, Manifest, ManifestRow, answer_of, read_completed_rows, read_run_study
from fly64dask.runs.cell_view import CellView, open_truth
from fly64dask.runs.labelled import flat_cells, metrics_dataset, run_table
from fly64dask.store import RunLayout, read_document
from fly64dask.study import Cell, Filters, RemedyKind, Repeats, Study, Target, cells, dose_name, doses_of

if TYPE_CHECKING:
    import pandas
    import xarray
    from distributed import Client
    from matplotlib.figure import Figure

    from fly64dask.monitoring import CellOutcome, RunStatus
    from fly64dask.runs.comparisons import RunComparison
    from fly64dask.runs.verify import Damage
    from fly64dask.study import Reference


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
    requested : tuple of Cell
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
    requested: tuple[Cell, ...] = ()
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

        Where the study names recipes or lists objects, also over `recipe_name` and `object_seed`.

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
            Indexed by dose, view, split and repeat, and by `recipe_name` and `object_seed` where the study names
            recipes or lists objects; columns as in the CSV file of the report, fields of nested records
            with dotted names. Cells that have not run have a state and nothing else. `attrs` say what doses count
            (`dose_by`) and hold `units`, `labels` and `better` by name of a column or level of the index, of those
            that hold numbers.

        Examples
        --------
        >>> open_run("runs/demo").table().query("state == 'failed'")["error"]  # doctest: +SKIP
        >>> open_run("runs/demo").table().attrs["units"]["dose"]  # doctest: +SKIP
        'photons per exposure'
        """
        run_status = self._reader.read()
        return run_table(self.study, run_status.rows, _states(run_status))

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
        from fly64dask.report import write_table

        run_status = self._reader.read()
        write_table(Path(path), self.study, flat_cells(run_status.rows, _states(run_status)))

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
        study = self.study
        wanted = {"split": split, "recipe_name": recipe_name, "object_seed": object_seed}
        found = [
            cell
            for cell in cells(study)
            if (cell.dose, cell.view, cell.repeat) == (dose, view, repeat)
            and all(value in (None, getattr(cell, name)) for name, value in wanted.items())
        ]
        if len(found) == 1:
            return CellView(study, self.layout, found[0])
        doses = ", ".join(dose_name(each).removeprefix("dose_") for each in doses_of(study))
        views = ", ".join(each.name for each in study.views)
        asked = [f"{name} {value!r}" for name, value in wanted.items() if value is not None]
        recipes, objects = (
            ", ".join(str(each) for each in several if each is not None)
            for several in (study.recipe_names, study.object_seeds)
        )
        raise InputError(
            ", ".join([f"select dose {dose}, view {view!r}, repeat {repeat}", *asked])
            + f": study {study.name!r} has doses {doses}, views {views}, splits {', '.join(study.splits)} "
            f"and {Repeats(study).most()} repeats"
            + (f", recipes {recipes}" if recipes else "")
            + (f", objects {objects}" if objects else ""),
            remedy="give one of each",
        )

    def verify(self) -> tuple[Damage, ...]:
        """Read every stored byte of the run and check it against its digest.

        Returns
        -------
        tuple of Damage
            What is damaged, each with its path and its problem; empty if all is well.

        Examples
        --------
        >>> open_run("runs/demo").verify()  # doctest: +SKIP
        ()
        """
        from fly64dask.runs.verify import verify_run

        return verify_run(self.study, self.layout)

    def repair(
        self, *, client: Client | None = None, progress: bool = False, engine: str = LSQML
    ) -> tuple[Damage, ...]:
        """Make again what is damaged, and nothing else.

        Parameters
        ----------
        client : distributed.Client, optional
            Where damaged cells run again; a local cluster if omitted.
        progress : bool
            Print a line for each cell that ends.
        engine : str
            `module:function` of the engine that made the run.

        Returns
        -------
        tuple of Damage
            What is damaged still.
        """
        from fly64dask.runs.repair import repair_run

        repair_run(self.study, self.layout, self.verify(), client=client, progress=progress, engine=engine)
        return self.verify()

    def rerun(
        self,
        *,
        failed: bool = False,
        kinds: Collection[FailureKind] = (),
        remedy: RemedyKind = "as-is",
        min_exposures: int | None = None,
        filters: Filters | None = None,
        client: Client | None = None,
        progress: bool = False,
        engine: str = LSQML,
    ) -> Run:
        """Try failed cells again, as they were or with a remedy; every attempt is kept.

        Parameters
        ----------
        failed : bool
            Every failed cell; with `respace` also those that cannot be selected.
        kinds : collection of FailureKind
            Only cells that failed in one of these ways, instead of every failed cell.
        remedy : "as-is", "guarded" or "respace"
            Nothing is changed; a guard for degenerate scans with a frozen probe and few epochs; a lower spacing.
        min_exposures : int, optional
            With `respace`: exposures that a view keeps, at least.
        filters : Filters, optional
            Which doses, views, splits, repeats, recipes and objects.
        client : distributed.Client, optional
            Where the cells run; a local cluster if omitted.
        progress : bool
            Print a line for each cell that ends.
        engine : str
            `module:function` of the engine that made the run.

        Returns
        -------
        Run
            The run with the outcomes of these cells; this one if no cell can be tried again.

        Raises
        ------
        InputError
            If neither `failed` nor `kinds` is given.

        Examples
        --------
        >>> open_run("runs/demo").rerun(failed=True, remedy="guarded")  # doctest: +SKIP
        """
        from fly64dask.runs.rerun import plan_failed, run_planned

        if not failed and not kinds:
            raise InputError("rerun: no cells are chosen", remedy="give failed=True, or kinds")
        filters = filters or Filters()
        plan = plan_failed(
            self.study,
            self.layout,
            filters=filters,
            kinds=kinds or tuple(FailureKind),
            remedy=remedy,
            min_exposures=min_exposures,
        )
        if all(planned.remedy is None for planned in plan):
            return self
        return run_planned(
            self.study, self.layout, plan, filters=filters, client=client, engine=engine, progress=progress
        )

    def compare(
        self, others: Mapping[str, str | os.PathLike[str]], *, reference: Reference | None = None
    ) -> RunComparison:
        """Measure other reconstructions of the run's cells as its own are measured.

        Parameters
        ----------
        others : mapping of str to path
            By name of the method: a directory with one file for each cell, or another run.
        reference : CellReference or FileReference, optional
            What the cells of a measured study are compared with, instead of the study's own reference.

        Returns
        -------
        RunComparison
            Metrics of each method for each cell, or why there are none.

        Raises
        ------
        InputError
            If there is neither a truth nor a reference, or a directory cannot be used.
        """
        from fly64dask.runs.comparisons import compare_run

        paths = {name: Path(os.path.realpath(path)) for name, path in others.items()}
        return compare_run(self.study, self.layout, paths, cells(self.study), "ours", reference)

    def limits(self, *targets: Target) -> Answer:
        """Say how low the dose of each view, and the overlap at equal fluence, can go.

        Parameters
        ----------
        *targets : Target
            Instead of the study's own.

        Returns
        -------
        Answer
            For each target the limits of every view, split and recipe with intervals, and sentences.

        Raises
        ------
        InputError
            If there is no target, or one that the study's cells cannot be measured by.

        Examples
        --------
        >>> open_run("runs/demo").limits(Target(resolution_px=3)).targets[0].sentences  # doctest: +SKIP
        """
        return answer_of(self.study, read_completed_rows(self.study, self.layout), targets)

    def plot_limits(self, *targets: Target) -> Figure:
        """Draw what each dose gave for each target against its fluence, and where the target is reached.

        Parameters
        ----------
        *targets : Target
            Instead of the study's own.

        Returns
        -------
        matplotlib.figure.Figure
            A row for each target, a column for each split; known to no window and no global state.

        Raises
        ------
        InputError
            As `limits`.

        Examples
        --------
        >>> open_run("runs/demo").plot_limits(Target(resolution_px=3)).savefig("limits.pdf")  # doctest: +SKIP
        """
        from fly64dask.report import draw_limits

        rows = read_completed_rows(self.study, self.layout)
        sides_nm = next((row.pixel_size_nm for row in rows if row.pixel_size_nm), None)
        return draw_limits(answer_of(self.study, rows, targets), side_nm=mean_side_nm(sides_nm))

    def report(self, path: str | os.PathLike[str] | None = None) -> Path:
        """Write one HTML page with all that the run gave.

        Parameters
        ----------
        path : str or path, optional
            The page; `report.html` of the run directory if omitted.

        Returns
        -------
        Path
            The page.

        Examples
        --------
        >>> open_run("runs/demo").report("demo.html")  # doctest: +SKIP
        """
        from fly64dask.report import write_report

        page = self.layout.report_file if path is None else Path(path)
        write_report(self.study, self.layout, page)
        return page

    def figures(self, folder: str | os.PathLike[str]) -> Path:
        """Draw the run's figures for papers as PNG and SVG: limits, maps, phases, ring correlations.

        Parameters
        ----------
        folder : str or path
            Where; made if missing.

        Returns
        -------
        Path
            The folder.

        Raises
        ------
        IntegrityError
            If something is damaged, after all that is whole was drawn.
        """
        from fly64dask.report import write_figures

        problems = write_figures(self.study, self.layout, Path(folder))
        if problems:
            raise IntegrityError(
                f"draw {self.layout.root}: figures lack {len(problems)} damaged arrays, first: {problems[0]}",
                remedy="make them again with `run.repair()`",
            )
        return Path(folder)

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
        return sum(states[cell] not in fine or cell in lost for cell in self.requested or cells(self.study))

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
