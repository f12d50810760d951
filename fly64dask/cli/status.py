"""The command `status`: the matrix of a run from its records on disk, once or until the run ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fly64dask.base import InputError, counted
from fly64dask.cli.options import (
    example,
    filter_options,
    from_here,
    json_option,
    place_argument,
    print_long_json,
    read_run,
    rows_json,
)
from fly64dask.store import RunLayout, holder_of
from fly64dask.study import Cell, Filters, Study, cells, skip_reasons

if TYPE_CHECKING:
    from rich.console import Console

    from fly64dask.monitoring import RunStatus


@click.command(epilog=example("fly64dask status runs/demo --watch"))
@place_argument
@filter_options
@json_option
@click.option("--light", is_flag=True, help="Show photons, fluence and overlap of the committed cells instead.")
@click.option("--watch", is_flag=True, help="Show the matrix repeatedly, until no cell is pending or running.")
@click.option(
    "--interval",
    "interval_s",
    type=click.FloatRange(min=0.1),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="With --watch: time between two reads of the run.",
)
def status(run: Path | str, filters: Filters, as_json: bool, light: bool, watch: bool, interval_s: float) -> None:
    """Show the matrix of a run and the progress of its running cells. It reads files only.

    With filters it shows a part of the matrix, once; --watch shows all of it. For more than 2000 cells it shows how
    many cells of each view are in each state.
    """
    from fly64dask.records import unlisted_cells

    if as_json and watch:
        raise InputError("status: found both --watch and --json, which writes one document", remedy="give one")
    if watch and filters != Filters():
        raise InputError("status: found a filter and --watch, which shows the whole matrix", remedy="give one of them")
    look = partial(read_run, run, files=False)
    layout = look()
    study = _study_of(layout)
    left_out = skip_reasons(study, filters)
    shown = frozenset(cell for cell in cells(study) if cell not in left_out)
    others = unlisted_cells(study, layout)
    if as_json:
        _print_document(study, layout, shown, others)
        return
    from fly64dask.cli.terminal import MAX_MATRIX_CELLS, make_console, print_overview
    from fly64dask.monitoring import OverviewReader, RunReader

    console, is_small = make_console(), len(shown) <= MAX_MATRIX_CELLS
    if light and not is_small:
        raise InputError(
            f"status: --light shows a row for each cell, and these are {len(shown)}",
            remedy="choose some with --dose, --view and other filters; `fly64dask table` writes all",
        )
    if watch:
        _watch(study, layout, console, look, interval_s=interval_s, is_small=is_small)
        return
    chosen = None if filters == Filters() else shown
    if light:
        _show_light(RunReader(study, layout, chosen=chosen).read(), console, shown)
        return
    if is_small:
        _show_matrix(RunReader(study, layout, chosen=chosen).read(), console, shown)
    else:
        print_overview(console, OverviewReader(study, layout, chosen=chosen).read())
    _print_jobs(layout)
    _print_others(layout, others)


def _watch(
    study: Study,
    layout: RunLayout,
    console: Console,
    look: Callable[[], object],
    *,
    interval_s: float,
    is_small: bool,
) -> None:
    """Show a run until it ends or somebody presses Ctrl-C: its matrix or, for very many cells, the counts by state."""
    from fly64dask.cli.terminal import watch_run
    from fly64dask.monitoring import OverviewReader, RunReader

    with suppress(KeyboardInterrupt):
        if is_small:
            watch_run(RunReader(study, layout, follows=True, look=look), console, interval_s=interval_s)
        else:
            watch_run(OverviewReader(study, layout, follows=True, look=look), console, interval_s=interval_s)


def _show_light(run_status: RunStatus, console: Console, shown: Collection[Cell]) -> None:
    from fly64dask.cli.terminal import light_tables

    console.print(*light_tables([row for row in run_status.rows if row.cell in shown]), sep="\n")


def _show_matrix(run_status: RunStatus, console: Console, shown: Collection[Cell]) -> None:
    from fly64dask.cli.terminal import print_matrix
    from fly64dask.records import round_lines

    print_matrix(console, run_status.study, run_status.rows, run_status.live, run_status.now, shown=shown)
    for line in round_lines(run_status.study):
        click.echo(line)


def _study_of(layout: RunLayout) -> Study:
    """Read the study of a run; of a submitted run without any worker yet, the study that was submitted."""
    from fly64dask.records import read_run_study, read_study

    if layout.submitted_study.exists() and not layout.study_file.exists():
        return read_study(layout.submitted_study)
    return read_run_study(layout)


def _print_jobs(layout: RunLayout) -> None:
    """Report the worker jobs of a run; for a submitted one that has not begun, name the command that does."""
    from fly64dask.records import read_worker_jobs

    line = read_worker_jobs(layout) if holder_of(layout) else None
    if line is None and not layout.study_file.exists():
        line = f"the run has not begun: `fly64dask attach {from_here(layout.root)}` says what its jobs wait for"
    if line is not None:
        click.echo(line)


def _print_others(layout: RunLayout, others: Sequence[str]) -> None:
    """Say that some committed cells do not belong to the study."""
    if others:
        have = counted(len(others), "committed cell has", "committed cells have")
        click.echo(
            f"{from_here(layout.root)}: {have} no place in the study's matrix as it is now, "
            f"such as {others[0]}; what is on disk stays"
        )


def _print_document(study: Study, layout: RunLayout, shown: Collection[Cell], others: Sequence[str]) -> None:
    """Print the JSON document: rows of committed cells as in the manifest, running cells, and cells without a place.

    Rows are printed one after the other, because very many would fill the memory.
    """
    from fly64dask.monitoring import read_each, read_live
    from fly64dask.records import read_worker_jobs

    live, states = read_live(layout, [cell for cell in cells(study) if cell in shown]), Counter[str]()

    def rows() -> Iterator[dict[str, Any]]:
        for cell, state, row in read_each(study, layout, shown):
            states[state] += 1
            if row is not None:
                if cell in live and live[cell].attempt <= (row.attempt or 0):
                    del live[cell]
                yield row.model_dump(mode="json", exclude_none=True)

    def running() -> list[dict[str, Any]]:
        now = datetime.now(UTC)
        return [
            each.model_dump(mode="json", exclude_none=True) | {"silent_s": each.silent_s(now)} for each in live.values()
        ]

    before = {"study": study.name, "added": rows_json(study.added), "not_in_the_matrix": list(others)}
    jobs = read_worker_jobs(layout) if holder_of(layout) else None
    before |= {} if jobs is None else {"worker_jobs": jobs}
    print_long_json(before, "cells", rows(), lambda: {"states": dict(states), "running": running()})
