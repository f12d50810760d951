"""`fly64dask run`: a study and a run directory -> every wanted cell committed, or the plan of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fly64dask.base import InputError
from fly64dask.cli.options import (
    EXIT_FAILED_CELL,
    cluster_options,
    example,
    filter_options,
    from_here,
    load_study,
    out_option,
    placement,
    print_json,
    recipe_options,
    rows_json,
    study_argument,
    with_recipe,
    without_links,
)
from fly64dask.cli.signals import stoppable
from fly64dask.study import Filters, Study, cells, skip_reasons

if TYPE_CHECKING:
    from fly64dask.deploy import Placement
    from fly64dask.store import RunLayout


@click.command(epilog=example("fly64dask run data/demo.toml --out runs/demo --view sparse --dry-run"))
@study_argument
@out_option
@filter_options
@click.option("--dry-run", is_flag=True, help="Select and predict, run nothing.")
@click.option("--report", is_flag=True, help="Write RUN/report.html when it has ended, also if cells failed.")
@click.option("--allow-missing", is_flag=True, help="Cells that cannot be selected do not turn the exit code.")
@recipe_options
@cluster_options
@click.option("--json", "as_json", is_flag=True, help="With --dry-run: one JSON document on standard output.")
def run(
    study_file: Path,
    out: Path,
    dose: tuple[Any, ...],
    view: tuple[str, ...],
    split: tuple[str, ...],
    gridsize: tuple[int, ...],
    repeat: tuple[int, ...],
    dry_run: bool,
    report: bool,
    allow_missing: bool,
    device: str | None,
    threads: int | None,
    as_json: bool,
    **cluster: Any,
) -> None:
    """Run a study's cells and write RUN/reconstruction_manifest.json.

    Run again to continue: cells whose record is committed are not run twice.
    """
    study = with_recipe(load_study(study_file), device=device, threads=threads)
    filters = Filters(dose=dose, view=view, split=split, gridsize=gridsize, repeat=repeat)
    if dry_run:
        _show_plan(study, filters, as_json=as_json)
        return
    if as_json:
        raise InputError("run --json goes with --dry-run", remedy="read the manifest, or use `status --json`")
    with placement(study, **cluster) as where:
        _run(study, filters, without_links(out), where, allow_missing=allow_missing, with_report=report)


def _run(
    study: Study, filters: Filters, out: Path, where: Placement, *, allow_missing: bool, with_report: bool
) -> None:
    from fly64dask.cli.matrix import caveat_lines, failure_lines, matrix_table
    from fly64dask.cli.watch import RunDisplay, make_console
    from fly64dask.runs import run_study
    from fly64dask.store import RunLayout

    console = make_console(stderr=True)
    layout = RunLayout(out)
    n_wanted = len(cells(study)) - len(skip_reasons(study, filters))
    with stoppable(), _counted_when_stopped(study, layout), RunDisplay(console, n_wanted) as display:
        finished = run_study(study, out, filters=filters, placement=where, notify=display.show, say=display.say)
    rows = finished.rows
    console.print(matrix_table(study, rows))
    for line in (*caveat_lines(rows), *failure_lines(rows)):
        console.print(line, soft_wrap=True)
    click.echo(f"manifest: {from_here(layout.manifest_file)}")
    if with_report:
        from fly64dask.report import write_report

        write_report(study, layout, layout.report_file)
        click.echo(f"report: {from_here(layout.report_file)}")
    if finished.n_failed(allow_missing=allow_missing):
        sys.exit(EXIT_FAILED_CELL)


@contextmanager
def _counted_when_stopped(study: Study, layout: RunLayout) -> Iterator[None]:
    """Say at an interrupt what is safe."""
    from fly64dask.records import count_states, read_rows

    try:
        yield
    except KeyboardInterrupt:
        states = count_states(study, read_rows(layout, cells(study)))
        click.echo(f"on disk: {', '.join(f'{n} {state}' for state, n in states.items())}", err=True)
        raise


def _show_plan(study: Study, filters: Filters, *, as_json: bool) -> None:
    from fly64dask.datasets import read_inputs
    from fly64dask.scheduling import plan_cells

    reasons = skip_reasons(study, filters)
    plan = plan_cells(study, read_inputs(study), [cell for cell in cells(study) if cell not in reasons])
    if as_json:
        print_json({"study": study.name, "cells": rows_json(plan)})
        return
    from fly64dask.cli.matrix import plan_table, warning_lines
    from fly64dask.cli.watch import make_console

    console = make_console()
    console.print(plan_table(plan))
    for line in warning_lines(plan):
        console.print(line, soft_wrap=True)
