"""What a run says to people: comparisons with other methods, limits, its page and its figures."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from fly64dask.base import IntegrityError, counted, mean_side_nm
from fly64dask.records import each_completed_row
from fly64dask.runs.opened.results import RunResults
from fly64dask.study import Target, cells

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fly64dask.records import Answer, RunDifferences
    from fly64dask.runs.comparisons import Convention, RunComparison
    from fly64dask.study import Reference


class RunAnswers(RunResults):
    """The content of a run directory, and what follows from it for people: comparisons, limits, a page, figures."""

    __slots__ = ()

    def compare(
        self,
        others: Mapping[str, str | os.PathLike[str]],
        *,
        convention: Convention = "ours",
        reference: Reference | None = None,
    ) -> RunComparison:
        """Measure other reconstructions of the run's cells as its own are measured.

        Parameters
        ----------
        others : mapping of str to path
            By name of the method: a directory with one file for each cell, or another run; none, for its own alone.
        convention : "ours" or "original"
            Whose metrics: this package's, or the original study's.
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
        return compare_run(self.study, self.layout, paths, cells(self.study), convention, reference)

    def differences(self) -> RunDifferences:
        """Say which views, recipes and setups differ at each dose and split by more than the spread of repeats.

        Returns
        -------
        RunDifferences
            For each two at each place the factor with its interval, p corrected for their number, and a verdict.

        Examples
        --------
        >>> open_run("runs/demo").differences().sentences  # doctest: +SKIP
        """
        from fly64dask.records import run_differences

        return run_differences(self.study, each_completed_row(self.study, self.layout))

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
        from fly64dask.records import answer_of

        return answer_of(self.study, each_completed_row(self.study, self.layout), targets)

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
        from fly64dask.records import answer_of
        from fly64dask.report import draw_limits

        answer = answer_of(self.study, each_completed_row(self.study, self.layout), targets)
        rows = each_completed_row(self.study, self.layout)
        sides_nm = next((row.pixel_size_nm for row in rows if row.pixel_size_nm), None)
        return draw_limits(answer, side_nm=mean_side_nm(sides_nm))

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
                f"draw {self.layout.root}: figures lack {counted(len(problems), 'damaged array')}, first: "
                f"{problems[0]}",
                remedy="make them again with `run.repair()`",
            )
        return Path(folder)
