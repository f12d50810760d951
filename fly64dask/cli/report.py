"""The commands `report` and `table`: a run as a page to read and to send, as figures, and as a flat table."""

from __future__ import annotations

from pathlib import Path

import click

from fly64dask.cli.options import DoseType, PlaceType, example, from_here, read_run, readable_argument
from fly64dask.store import RunLayout
from fly64dask.study import DoseWord


@click.command(epilog=example("fly64dask report runs/demo --figures runs/demo/figures"))
@readable_argument
@click.option(
    "--out",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The page [default: RUN/report.html].",
)
@click.option(
    "--figures",
    metavar="DIRECTORY",
    type=click.Path(file_okay=False, path_type=Path),
    help="Draw PNG and SVG figures there as well.",
)
@click.option("--dose", "doses", multiple=True, type=DoseType(), help="Show only this dose; repeatable.")
@click.option("--view", "views", multiple=True, help="Show only this view; repeatable.")
def report(
    layout: RunLayout,
    out: Path | None,
    figures: Path | None,
    doses: tuple[float | DoseWord, ...],
    views: tuple[str, ...],
) -> None:
    """Write one HTML page with all results of a run.

    It has maps, pictures, curves, failures, provenance and tables. The page opens from disk and loads nothing from the
    network. If the run has not ended, or has failed or damaged cells, the page shows what exists and names what is
    missing. For more than 500 cells the page and the figures show a part, which the page names; --dose and --view
    choose another part. The answer on the page always covers all cells.
    """
    from fly64dask.records import read_run_study
    from fly64dask.report import write_report

    page = out or layout.report_file
    write_report(read_run_study(layout), layout, page, figures=figures, doses=doses, views=views)
    click.echo(f"report: {from_here(page)}")
    if figures is not None:
        click.echo(f"figures: {from_here(figures)}")


@click.command(epilog=example("fly64dask table runs/demo --out demo.parquet"))
@click.argument(
    "places",
    metavar="RUN...",
    nargs=-1,
    required=True,
    type=PlaceType(exists=True, file_okay=False, path_type=Path),
)
@click.option(
    "--out",
    required=True,
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The table: a name that ends in .parquet or .csv.",
)
def table(places: tuple[Path | str, ...], out: Path) -> None:
    """Write a table with one row for each cell of RUN.

    It has one column for each field of a cell's record. A Parquet file holds the unit of the dose and of every column,
    for pandas as `attrs`; a CSV file holds names only. The table of several runs begins with a column `run`, in which
    each run is named as it is given here.
    """
    from fly64dask.runs import open_run, open_runs

    if len(places) == 1:
        run = open_run(read_run(places[0], files=False).root)
        run.write_table(out)
        n_cells, of_runs = len(run.cells), ""
    else:
        runs = open_runs(places)
        runs.write_table(out)
        n_cells, of_runs = sum(len(run.cells) for run in runs.by_name.values()), f" of {len(runs.by_name)} runs"
    click.echo(f"table: {from_here(out)}, {n_cells} cells{of_runs}")
