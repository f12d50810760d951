"""Several runs opened from Python: one table of all of their cells, one answer, one page."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fly64dask.base import InputError
from fly64dask.monitoring import read_each
from fly64dask.records import each_completed_row, read_run_study
from fly64dask.report import RUN, cell_columns
from fly64dask.runs.opened import CellView, Run, flat_cell, run_table
from fly64dask.runs.places import read_place
from fly64dask.store import RunLayout
from fly64dask.study import Dose, Study, Target, study_differences

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

    from fly64dask.records import Answer, ManifestRow
    from fly64dask.report import FlatRow


def open_runs(paths: Sequence[str | os.PathLike[str]]) -> Runs:
    """Open several run directories, of one study or of several.

    Parameters
    ----------
    paths : sequence of str or path
        One run or more; each is named in the table as it is given here.

    Returns
    -------
    Runs

    Raises
    ------
    InputError
        If a directory holds no run, is given twice, or the doses of the studies do not count the same.

    Examples
    --------
    >>> open_runs(["runs/a", "runs/b"]).table().groupby("run")["metrics.phase_rmse_rad"].mean()  # doctest: +SKIP
    """
    return _opened([(os.fspath(path), read_place(path)) for path in paths])


def run_or_runs(layouts: Sequence[tuple[str, RunLayout]]) -> Run | Runs:
    """Open runs, each with its name, as `open_runs` does, with its errors; one alone as `open_run` does."""
    runs = _opened(layouts)
    return runs if len(layouts) > 1 else runs.by_name[layouts[0][0]]


def _opened(layouts: Sequence[tuple[str, RunLayout]]) -> Runs:
    doing = f"open {len(layouts)} runs"
    if not layouts or len({layout for _, layout in layouts}) < len(layouts):
        raise InputError(f"{doing}: needed at least one, and none of them twice", remedy="give each run once")
    runs = {name: Run(read_run_study(layout), layout) for name, layout in layouts}
    units = {run.study.dose_by: name for name, run in runs.items()}
    if len(units) > 1:
        words = ", ".join(f"by {dose_by!r} in {name}" for dose_by, name in units.items())
        raise InputError(f"{doing}: their doses count different quantities, {words}", remedy="open them one by one")
    return Runs(runs)


@dataclass(frozen=True, slots=True)
class Runs:
    """Several runs beside each other.

    Parameters
    ----------
    by_name : mapping of str to Run
        The runs by the names that the table gives them.
    """

    by_name: Mapping[str, Run]

    @property
    def cells(self) -> tuple[CellView, ...]:
        """The cells of all runs, run after run, each in the order of its study."""
        return tuple(cell for run in self.by_name.values() for cell in run.cells)

    def table(self) -> pandas.DataFrame:
        """Return one line for each cell of each run.

        Returns
        -------
        pandas.DataFrame
            As `Run.table`, with the level `run` before the others; a value is missing where a run does not have it.

        Examples
        --------
        >>> open_runs(["runs/a", "runs/b"]).table().xs("runs/a", level="run")  # doctest: +SKIP
        """
        return run_table(self._described_study(), self._flat_cells())

    def write_table(self, path: str | os.PathLike[str]) -> None:
        """Write the table as a file that ends in `.parquet` or `.csv`, as `Run.write_table` does.

        Parameters
        ----------
        path : str or path
            The file, replaced if it is there.

        Raises
        ------
        InputError
            If the file's name ends in anything else.

        Examples
        --------
        >>> open_runs(["runs/a", "runs/b"]).write_table("both.parquet")  # doctest: +SKIP
        """
        from fly64dask.report import check_table_name, write_table

        check_table_name(Path(path))
        write_table(Path(path), self._described_study(), cell_columns(self._flat_cells()))

    def limits(self, *targets: Target) -> Answer:
        """Say how low the dose of each view can go in each run, each found in the cells of its run alone.

        Parameters
        ----------
        *targets : Target
            Instead of the studies' own, each of which all runs are asked for.

        Returns
        -------
        Answer
            As `Run.limits`, with `run_name` in every limit; with the settings in which the studies differ, and notes,
            such as which run has no truth to compare with.

        Raises
        ------
        InputError
            If there is no target, or none that the cells of any run can be measured by.

        Examples
        --------
        >>> open_runs(["runs/a", "runs/b"]).limits(Target(phase_error_rad=0.1)).targets[0].sentences  # doctest: +SKIP
        """
        from fly64dask.records import answer_of_runs

        return answer_of_runs(self._studies, self._rows_of, targets)

    def plot_limits(self, *targets: Target) -> Figure:
        """Draw what each dose gave for each target in each run, and where the target is reached.

        Parameters
        ----------
        *targets : Target
            Instead of the studies' own, each of which all runs are asked for.

        Returns
        -------
        matplotlib.figure.Figure
            A row for each target, a column for each split and view, a colour for each run; over the fluence, or over
            the dose where the pixels of the runs differ.

        Raises
        ------
        InputError
            As `limits`.

        Examples
        --------
        >>> open_runs(["runs/a", "runs/b"]).plot_limits().savefig("both.pdf")  # doctest: +SKIP
        """
        from fly64dask.report import draw_limits

        return draw_limits(self.limits(*targets))

    def report(
        self,
        path: str | os.PathLike[str],
        *targets: Target,
        doses: Sequence[Dose] = (),
        views: Sequence[str] = (),
    ) -> Path:
        """Write one HTML page with the runs beside each other.

        Parameters
        ----------
        path : str or path
            The page.
        *targets : Target
            Instead of the studies' own, each of which all runs are asked for.
        doses, views : sequence
            Cells of these alone are shown; of all if empty.

        Returns
        -------
        Path
            The page: what differs between the studies, the limits of each run, and its numbers dose by dose.

        Examples
        --------
        >>> open_runs(["runs/a", "runs/b"]).report("both.html")  # doctest: +SKIP
        """
        from fly64dask.report import write_runs_report

        runs = {name: (run.study, run.layout) for name, run in self.by_name.items()}
        write_runs_report(runs, Path(path), targets=targets, doses=doses, views=views)
        return Path(path)

    def study_differences(self) -> pandas.DataFrame:
        """Return the settings in which the studies of the runs differ.

        Returns
        -------
        pandas.DataFrame
            A line for each setting that is not the same in all runs, a column for each run; None where a study does
            not have the setting.

        Examples
        --------
        >>> open_runs(["runs/a", "runs/b"]).study_differences().loc["recipe.n_epochs"]  # doctest: +SKIP
        """
        import pandas

        found = study_differences(self._studies)
        lines = [[each.values.get(name) for name in self.by_name] for each in found]
        index = pandas.Index([each.key for each in found], name="setting")
        return pandas.DataFrame(lines, index, list(self.by_name), dtype=object)

    @property
    def _studies(self) -> dict[str, Study]:
        return {name: run.study for name, run in self.by_name.items()}

    def _rows_of(self, name: str) -> Iterator[ManifestRow]:
        run = self.by_name[name]
        return each_completed_row(run.study, run.layout)

    def _flat_cells(self) -> Iterator[FlatRow]:
        return (
            {RUN: name, **flat_cell(each)}
            for name, run in self.by_name.items()
            for each in read_each(run.study, run.layout)
        )

    def _described_study(self) -> Study:
        """The study by whose units the columns are described, with the names of all."""
        studies = [run.study for run in self.by_name.values()]
        names = dict.fromkeys(study.name for study in studies)
        return studies[0].model_copy(update={"name": ", ".join(names)})
