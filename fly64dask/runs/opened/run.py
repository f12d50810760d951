"""A run directory opened from Python: what it holds, and what can be done with it."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fly64dask.base import FailureKind, InputError
from fly64dask.reconstruction import LSQML
from fly64dask.records import each_row, read_run_study
from fly64dask.runs.opened.answers import RunAnswers
from fly64dask.runs.places import read_place
from fly64dask.study import Cell, Filters, RemedyKind, cells

if TYPE_CHECKING:
    from distributed import Client

    from fly64dask.monitoring import CellOutcome
    from fly64dask.runs.several import CleanedKind, Cleaning
    from fly64dask.runs.verify import Damage


def open_run(path: str | os.PathLike[str]) -> Run:
    """Open a run directory, finished or not; neither torch, pty-chi nor a scheduler is needed.

    Parameters
    ----------
    path : str or path
        The directory that `run_study` or `fly64dask run` made; or the URL of a run at an object store, which is
        brought into its cache once, at this call.

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
    layout = read_place(path)
    return Run(read_run_study(layout), layout)


@dataclass(frozen=True, slots=True, repr=False)
class Run(RunAnswers):
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

    requested: tuple[Cell, ...] = ()
    outcomes: Mapping[Cell, CellOutcome] = field(default_factory=dict)

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
        """Make damaged parts again, and nothing else.

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

    def clean(
        self, kinds: Collection[CleanedKind] | None = None, *, unfinished: bool = False, dry_run: bool = True
    ) -> tuple[Cleaning, ...]:
        """Free what of the run can be made again, or nobody needs any more; `run_study` makes it again.

        Parameters
        ----------
        kinds : collection of "exposures", "checkpoints" and "history", optional
            Photon counts that the study makes again as they are; checkpoints of cells that have ended; all but the
            records of replaced attempts. All three if omitted.
        unfinished : bool
            Also what cells that have not ended would go on from.
        dry_run : bool
            Only say what would go.

        Returns
        -------
        tuple of Cleaning
            For each kind the bytes that are freed, and what is kept, by reason.

        Raises
        ------
        InputError
            If a process uses the run and it is no dry run.

        Examples
        --------
        >>> open_run("runs/demo").clean(["exposures"], dry_run=False)[0].freed.n_bytes  # doctest: +SKIP
        """
        from fly64dask.runs.several import CLEANED_KINDS, clean_run, plan_cleaning

        act = plan_cleaning if dry_run else clean_run
        return act(self.study, self.layout, CLEANED_KINDS if kinds is None else kinds, unfinished=unfinished)

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
        wanted = self.requested or cells(self.study)
        # One row at a time: they may be a hundred thousand.
        states = {row.cell: row.state for row in each_row(self.layout, wanted)}
        fine = {"completed", "skipped"} if allow_missing else {"completed"}
        # An attempt that could not be committed leaves the record of an older one in its place.
        lost = {cell for cell, outcome in self.outcomes.items() if not outcome.committed}
        return sum(states.get(cell) not in fine or cell in lost for cell in wanted)
