"""The command `rerun`: tries failed cells again, as they were or with a remedy."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fly64dask.base import FailureKind, InputError
from fly64dask.cli.options import (
    EXIT_FAILED,
    ClusterOptions,
    cluster_options,
    example,
    filter_options,
    from_here,
    place_argument,
    print_json,
    read_run,
    rows_json,
    warn,
)
from fly64dask.cli.signals import stoppable
from fly64dask.study import REMEDY_KINDS, Filters, RemedyKind, Study

if TYPE_CHECKING:
    from fly64dask.deploy import Placement
    from fly64dask.runs import PlannedRerun

# What scripts read: the last line of standard output begins with it.
RESULT = "rerun: "


class KindsType(click.ParamType["tuple[FailureKind, ...]"]):
    """The type of failure kinds: their names, with commas between them."""

    name = "kinds"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[FailureKind, ...]:
        """Parse one --kind."""
        kinds = [str(kind) for kind in FailureKind]
        names = str(value).split(",")
        for name in names:
            if name not in kinds:
                self.fail(f"{name!r} is not a failure kind; the kinds are {', '.join(kinds)}", param, ctx)
        return tuple(FailureKind(name) for name in names)


@click.command(epilog=example("fly64dask rerun runs/toy --failed --view sparse --remedy guarded --dry-run"))
@place_argument
@click.option(
    "--failed", is_flag=True, help="Try every failed cell; with respace also cells whose view cannot be selected."
)
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
    help="as-is: no change. guarded: guard against degenerate scans, frozen probe, few epochs. respace: lower spacing.",
)
@click.option(
    "--min-exposures",
    type=click.IntRange(min=1),
    help="With respace: smallest number of exposures to keep [default: 4; with fewer the probe stays fixed].",
)
@click.option("--dry-run", is_flag=True, help="Show what would change; run and write nothing.")
@cluster_options
@click.option("--json", "as_json", is_flag=True, help="With --dry-run: one JSON document on standard output.")
def rerun(
    run: Path | str,
    failed: bool,
    kinds: tuple[tuple[FailureKind, ...], ...],
    filters: Filters,
    remedy: RemedyKind,
    min_exposures: int | None,
    cluster: ClusterOptions,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Try the failed cells of RUN again, with the study that the run has stored.

    Every attempt is kept in the history and in the manifest, the first failure included. A later `run`
    of the same study keeps what a remedy completed. The exit code is also 0 if no failed cell matches.
    """
    from fly64dask.records import read_run_study
    from fly64dask.runs import plan_failed

    if not failed and not kinds:
        raise InputError("rerun: no cells are chosen", remedy="give --failed, or --kind with failure kinds")
    if as_json and not dry_run:
        raise InputError("rerun: found --json without --dry-run", remedy="read the manifest, or use `status --json`")
    if min_exposures is not None and remedy != "respace":
        raise InputError(
            "rerun: found --min-exposures without --remedy respace",
            remedy="leave --min-exposures out, or give --remedy respace",
        )
    layout = read_run(run, files=False)
    study = read_run_study(layout)
    chosen = frozenset(kind for several in kinds for kind in several) or frozenset(FailureKind)
    plan = plan_failed(study, layout, filters=filters, kinds=chosen, remedy=remedy, min_exposures=min_exposures)
    if dry_run:
        _show(study, plan, as_json=as_json)
    elif not plan:
        click.echo(f"{RESULT}no failed cell matches")
    else:
        with cluster.placement() as placement:
            n_failed = _rerun(study, run, filters, plan, placement)
        click.echo(f"{RESULT}{len(plan) - n_failed} of {len(plan)} failed cells completed, {n_failed} still failed")
        if n_failed:
            sys.exit(EXIT_FAILED)


def _rerun(study: Study, run: Path | str, filters: Filters, plan: Sequence[PlannedRerun], placement: Placement) -> int:
    """Run the planned cells; returns how many cells are still failed."""
    from fly64dask.cli.terminal import RunDisplay, hopeless_lines, make_console, print_lines, print_matrix
    from fly64dask.records import read_completed_rows
    from fly64dask.runs import run_place, run_planned

    console = make_console(stderr=True)
    print_lines(console, hopeless_lines(plan))
    n_cells = sum(planned.remedy is not None for planned in plan)
    with stoppable(), run_place(run, study.name, warn) as (layout, watching):
        if n_cells:
            with RunDisplay(console, n_cells) as display:
                say, notify = display.say, watching(display.show, display.say)
                run_planned(study, layout, plan, filters=filters, placement=placement, notify=notify, say=say)
        rows = read_completed_rows(study, layout)
        print_matrix(console, study, rows)
        click.echo(f"manifest: {from_here(layout.manifest_file)}")
    completed = {row.cell for row in rows if row.state == "completed"}
    return sum(planned.cell not in completed for planned in plan)


def _show(study: Study, plan: Sequence[PlannedRerun], *, as_json: bool) -> None:
    if as_json:
        print_json({"study": study.name, "cells": rows_json(plan)})
        return
    if not plan:
        click.echo(f"{RESULT}no failed cell matches")
        return
    from fly64dask.cli.terminal import hopeless_lines, make_console, print_lines, rerun_table

    console = make_console()
    console.print(rerun_table(plan))
    print_lines(console, hopeless_lines(plan))
