"""The commands `report` and `table`: a run as a page to read and to send, as figures, and as a flat table."""

from __future__ import annotations

from pathlib import Path

import click

from fly64dask.base import counted
from fly64dask.cli.options import (
    DoseType,
    example,
    file_option,
    from_here,
    readable_runs_argument,
    runs_records_argument,
    warn,
)
from fly64dask.store import RunLayout
from fly64dask.study import DoseWord


@click.command(
    epilog=example(
        "fly64dask report runs/demo --figures runs/demo/figures",
        "fly64dask report runs/short runs/long --out both.html",
    )
)
@file_option("--out", help_text="The page [default: RUN/report.html, made anew each time; needed for several runs].")
@readable_runs_argument
@click.option(
    "--figures",
    metavar="DIRECTORY",
    type=click.Path(file_okay=False, path_type=Path),
    help="Also draw PNG and SVG figures of one run there; those of an earlier time are replaced.",
)
@click.option("--dose", "doses", multiple=True, type=DoseType(), help="Show only this dose; repeatable.")
@click.option("--view", "views", multiple=True, metavar="NAME", help="Show only this view; repeatable.")
def report(
    layouts: list[tuple[str, RunLayout]],
    out: Path | None,
    figures: Path | None,
    doses: tuple[float | DoseWord, ...],
    views: tuple[str, ...],
) -> None:
    """Write one HTML page with all results of a run, or with several runs beside each other.

    It has maps, pictures, curves, failures, provenance and tables. The page opens from disk and loads nothing from the
    network. If the run has not ended, or has failed or damaged cells, the page shows what exists and names what is
    missing. For more than 500 cells the page and the figures show a part, which the page names; --dose and --view
    choose another part. The answer on the page always covers all cells.

    The page of several runs says in what they differ. It has the limits of each run and its numbers dose by dose, and
    no curve joins cells of two runs. Cells lead to the report of their run, if it is there.
    """
    if len(layouts) == 1:
        page = _report_of_run(layouts[0][1], out, figures, doses, views)
    else:
        page = _report_of_runs(layouts, out, figures, doses, views)
    click.echo(f"report: {from_here(page)}")
    if figures is not None:
        click.echo(f"figures: {from_here(figures)}")


def _report_of_run(
    layout: RunLayout,
    out: Path | None,
    figures: Path | None,
    doses: tuple[float | DoseWord, ...],
    views: tuple[str, ...],
) -> Path:
    from fly64dask.records import read_run_study
    from fly64dask.report import write_report

    page = out or layout.report_file
    problems = write_report(read_run_study(layout), layout, page, figures=figures, doses=doses, views=views)
    if problems:
        warn(f"the page lacks damaged parts, named in {counted(len(problems), 'notice')} on it, such as: {problems[0]}")
    return page


def _report_of_runs(
    layouts: list[tuple[str, RunLayout]],
    out: Path | None,
    figures: Path | None,
    doses: tuple[float | DoseWord, ...],
    views: tuple[str, ...],
) -> Path:
    from fly64dask.runs import Runs, run_or_runs

    if out is None or figures is not None:
        raise click.UsageError("give --out FILE for several runs, and no --figures: their page belongs to none")
    runs = run_or_runs(layouts)
    assert isinstance(runs, Runs), "several are given"
    return runs.report(out, doses=doses, views=views)


@click.command(
    epilog=example(
        "fly64dask table runs/demo --out demo.parquet", "fly64dask table runs/short runs/long --out both.csv"
    )
)
@file_option("--out", required=True, help_text="The table: a name that ends in .parquet or .csv.")
@runs_records_argument
def table(layouts: list[tuple[str, RunLayout]], out: Path) -> None:
    """Write a table with one row for each cell of RUN.

    It has one column for each field of a cell's record. A Parquet file holds the unit of the dose and of every column,
    for pandas as `attrs`; a CSV file holds names only. The table of several runs begins with a column `run`, in which
    each run is named as it is given here.
    """
    from fly64dask.runs import run_or_runs

    runs = run_or_runs(layouts)
    runs.write_table(out)
    of_runs = f" of {len(layouts)} runs" if len(layouts) > 1 else ""
    n_cells = len(runs.cells)
    click.echo(f"table: {from_here(out)}, {counted(n_cells, 'cell')}{of_runs}")
