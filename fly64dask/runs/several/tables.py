"""Several runs opened from Python: one table of all of their cells."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fly64dask.base import InputError
from fly64dask.monitoring import read_each
from fly64dask.report import RUN, cell_columns
from fly64dask.runs.opened import Run, flat_cell, open_run, run_table

if TYPE_CHECKING:
    import pandas

    from fly64dask.report import FlatRow
    from fly64dask.study import Study


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
    runs = {os.fspath(path): open_run(path) for path in paths}
    if not runs or len({run.layout for run in runs.values()}) < len(paths):
        raise InputError(
            f"open {len(paths)} runs: needed at least one, and none of them twice", remedy="give each run once"
        )
    units = {run.study.dose_by: name for name, run in runs.items()}
    if len(units) > 1:
        words = ", ".join(f"by {dose_by!r} in {name}" for dose_by, name in units.items())
        raise InputError(
            f"open {len(paths)} runs: their doses count different quantities, {words}", remedy="open them one by one"
        )
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

    def table(self) -> pandas.DataFrame:
        """Return one line for each cell of each run.

        Returns
        -------
        pandas.DataFrame
            As `Run.table`, with the level `run` before the others.

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
