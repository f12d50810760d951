"""`fly64dask rerun`: a run directory with failed cells -> these tried again, as they were or with a remedy."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fly64dask.base import FailureKind, InputError
from fly64dask.cli.options import (
    EXIT_FAILED_CELL,
    cluster_options,
    example,
    filter_options,
    placement,
    print_json,
    rows_json,
    run_argument,
    without_links,
)
from fly64dask.cli.signals import stoppable
from fly64dask.study import REMEDY_KINDS, Cell, Filters, RemedyKind, Study, cells, skip_reasons

if TYPE_CHECKING:
    from fly64dask.deploy import Placement
    from fly64dask.runs import PlannedRerun
    from fly64dask.store import RunLayout

# What scripts read: the last line of standard output begins with it.
RESULT = "rerun: "


class KindsType(click.ParamType[Any]):
    """Names of failure kinds, with commas between them."""

    name = "kinds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse one --kind."""
        kinds = [str(kind) for kind in FailureKind]
        for name in value.split(","):
            if name not in kinds:
                self.fail(f"{name!r} is no failure kind; there are {', '.join(kinds)}", param, ctx)
        return tuple(FailureKind(name) for name in value.split(","))


@click.command(epilog=example("fly64dask rerun runs/toy --failed --view sparse --remedy guarded --dry-run"))
@run_argument
@click.option("--failed", is_flag=True, help="Every failed cell; with respace also those that cannot be selected.")
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=KindsType(),
    metavar="KIND[,KIND...]",
    help="Only cells that failed in this way, such as degenerate_scan; repeatable.",
)
@filter_options
@click.option(
    "--remedy",
    "remedy",
    type=click.Choice(REMEDY_KINDS),
    default="as-is",
    show_default=True,
    help="as-is: no change. guarded: degenerate guard, frozen probe, few epochs. respace: a lower spacing.",
)
@click.option(
    "--min-exposures",
    type=click.IntRange(min=1),
    help="With respace: exposures to keep, at least [default: 4, from which on the engine can free the probe].",
)
@click.option("--dry-run", is_flag=True, help="Show what would change, run and write nothing.")
@cluster_options
@click.option("--json", "as_json", is_flag=True, help="With --dry-run: one JSON document on standard output.")
def rerun(
    run_directory: Path,
    failed: bool,
    kinds: tuple[tuple[FailureKind, ...], ...],
    dose: tuple[Any, ...],
    view: tuple[str, ...],
    split: tuple[str, ...],
    gridsize: tuple[int, ...],
    repeat: tuple[int, ...],
    remedy: RemedyKind,
    min_exposures: int | None,
    dry_run: bool,
    as_json: bool,
    **cluster: Any,
) -> None:
    """Try the failed cells of RUN again; its study is the run's own.

    Every attempt is kept, with the first failure, in the history and in the manifest. A later `run`
    of the same study keeps what a remedy completed. Exit code 0 also if no failed cell matches.
    """
    from fly64dask.records import read_run_study
    from fly64dask.store import RunLayout

    if not failed and not kinds:
        raise InputError("rerun: no cells are chosen", remedy="give --failed, or --kind with failure kinds")
    if as_json and not dry_run:
        raise InputError("rerun --json goes with --dry-run", remedy="read the manifest, or use `status --json`")
    if min_exposures is not None and remedy != "respace":
        raise InputError("rerun --min-exposures goes with --remedy respace", remedy="drop one of them")
    layout = RunLayout(without_links(run_directory))
    study = read_run_study(layout)
    filters = Filters(dose=dose, view=view, split=split, gridsize=gridsize, repeat=repeat)
    chosen = frozenset(kind for several in kinds for kind in several)
    plan = _plan(study, layout, filters, chosen or frozenset(FailureKind), remedy, min_exposures)
    if dry_run:
        _show(study, plan, as_json=as_json)
    elif not plan:
        click.echo(f"{RESULT}no failed cell matches")
    else:
        with placement(study, **cluster) as where:
            _rerun(study, layout, filters, plan, where)


def _plan(
    study: Study,
    layout: RunLayout,
    filters: Filters,
    kinds: frozenset[FailureKind],
    remedy: RemedyKind,
    min_exposures: int | None,
) -> tuple[PlannedRerun, ...]:
    from fly64dask.datasets import read_inputs
    from fly64dask.records import read_last_row
    from fly64dask.runs import plan_rerun
    from fly64dask.scan import MIN_EXPOSURES

    left_out = skip_reasons(study, filters)
    rows = [read_last_row(layout, cell) for cell in cells(study) if cell not in left_out]
    failed = [row for row in rows if row is not None and row.failure_kind in kinds]
    return plan_rerun(
        study, failed, remedy, lambda: read_inputs(study).positions_px, n_min=min_exposures or MIN_EXPOSURES
    )


def _rerun(study: Study, layout: RunLayout, filters: Filters, plan: Sequence[PlannedRerun], where: Placement) -> None:
    from fly64dask.cli.matrix import caveat_lines, failure_lines, matrix_table
    from fly64dask.cli.tables import hopeless_lines
    from fly64dask.cli.watch import RunDisplay, make_console
    from fly64dask.records import read_rows
    from fly64dask.runs import run_study

    console = make_console(stderr=True)
    for line in hopeless_lines(plan):
        console.print(line, soft_wrap=True)
    remedies = {planned.cell: planned.remedy for planned in plan if planned.remedy is not None}
    if remedies:
        left_out = skip_reasons(study, filters)
        left_out |= {cell: _why_not(cell, plan) for cell in cells(study) if cell not in remedies | left_out}
        with stoppable(), RunDisplay(console, len(remedies)) as display:
            run_study(
                study,
                layout.root,
                placement=where,
                filters=filters,
                left_out=left_out,
                remedies=remedies,
                notify=display.show,
                say=display.say,
            )
    rows = read_rows(layout, cells(study))
    console.print(matrix_table(study, rows))
    for line in (*caveat_lines(rows), *failure_lines(rows)):
        console.print(line, soft_wrap=True)
    completed = {row.cell for row in rows if row.state == "completed"}
    n_failed = sum(planned.cell not in completed for planned in plan)
    click.echo(f"manifest: {layout.manifest_file}")
    click.echo(f"{RESULT}{len(plan) - n_failed} of {len(plan)} failed cells completed, {n_failed} still failed")
    if n_failed:
        sys.exit(EXIT_FAILED_CELL)


def _why_not(cell: Cell, plan: Sequence[PlannedRerun]) -> str:
    """Why a cell that passes the filters does not run, for the skip summary."""
    hopeless = {planned.cell: planned.hopeless for planned in plan}
    return hopeless.get(cell) or "is no failed cell that this rerun was asked for"


def _show(study: Study, plan: Sequence[PlannedRerun], *, as_json: bool) -> None:
    if as_json:
        print_json({"study": study.name, "cells": rows_json(plan)})
        return
    if not plan:
        click.echo(f"{RESULT}no failed cell matches")
        return
    from fly64dask.cli.tables import hopeless_lines, rerun_table
    from fly64dask.cli.watch import make_console

    console = make_console()
    console.print(rerun_table(plan))
    for line in hopeless_lines(plan):
        console.print(line, soft_wrap=True)
