"""The commands `status`, `verify` and `doctor`: how a run's cells are, whether every byte is whole, what works here."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fly64dask.base import InputError
from fly64dask.cli.options import (
    EXIT_FAILED_CELL,
    example,
    json_option,
    print_json,
    rows_json,
    run_argument,
    without_links,
)
from fly64dask.cli.signals import stoppable
from fly64dask.study import Study

if TYPE_CHECKING:
    from fly64dask.monitoring import Standing
    from fly64dask.runs import Damage
    from fly64dask.store import RunLayout


@click.command(epilog=example("fly64dask status runs/demo --watch"))
@run_argument
@json_option
@click.option("--watch", is_flag=True, help="Show it again and again, until no cell is pending or running.")
@click.option(
    "--interval",
    "interval_s",
    type=click.FloatRange(min=0.1),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="With --watch: between two looks.",
)
def status(run_directory: Path, as_json: bool, watch: bool, interval_s: float) -> None:
    """Show a run's matrix from its records on disk, and how far the cells are that run."""
    from fly64dask.cli.watch import watch_run
    from fly64dask.monitoring import RunReader
    from fly64dask.records import read_run_study
    from fly64dask.store import RunLayout

    if as_json and watch:
        raise InputError("status --watch shows a run again and again, --json writes one document", remedy="give one")
    layout = RunLayout(without_links(run_directory))
    reader = RunReader(read_run_study(layout), layout)
    if as_json:
        print_json(_document(reader.read()))
        return
    from fly64dask.cli.matrix import caveat_lines, failure_lines, live_table, matrix_table
    from fly64dask.cli.watch import make_console

    console = make_console()
    if watch:
        with suppress(KeyboardInterrupt):  # the way to end it
            watch_run(reader, console, interval_s=interval_s)
        return
    found = reader.read()
    console.print(matrix_table(found.study, found.rows, found.live, found.now))
    if found.live:
        console.print(live_table(found.live, found.now))
    for line in (*caveat_lines(found.rows), *failure_lines(found.rows)):
        console.print(line, soft_wrap=True)


def _document(found: Standing) -> dict[str, Any]:
    """What scripts get: rows of committed cells as in the manifest, and those that run."""
    return {
        "study": found.study.name,
        "states": found.counts,
        "cells": rows_json(found.rows),
        "running": [
            live.model_dump(mode="json", exclude_none=True) | {"silent_s": live.silent_s(found.now)}
            for live in found.live.values()
        ],
    }


@click.command(epilog=example("fly64dask verify runs/demo"))
@run_argument
@click.option("--repair", is_flag=True, help="Make again what is damaged, and nothing else.")
@click.option("--workers", type=click.IntRange(min=1), help="With --repair: local worker processes.")
@json_option
def verify(run_directory: Path, repair: bool, workers: int | None, as_json: bool) -> None:
    """Read every stored array, record and table; exit 1 if anything is damaged and stays so."""
    from fly64dask.records import read_run_study
    from fly64dask.runs import verify_run
    from fly64dask.store import RunLayout

    layout = RunLayout(without_links(run_directory))
    study = read_run_study(layout)
    damages = verify_run(study, layout)
    if damages and repair:
        damages = _repair(study, layout, damages, workers)
    if as_json:
        print_json({"damaged": [damage.model_dump() for damage in damages]})
    else:
        for damage in damages:
            click.secho(f"damaged {damage.path}: {damage.problem}", fg="red")
        click.echo(f"{len(damages)} damaged")
    if damages:
        sys.exit(EXIT_FAILED_CELL)


def _repair(study: Study, layout: RunLayout, damages: Sequence[Damage], workers: int | None) -> tuple[Damage, ...]:
    """Repair a run, and see what is damaged then."""
    from fly64dask.cli.watch import RunDisplay, make_console
    from fly64dask.deploy import Placement
    from fly64dask.runs import damaged_cells, repair_run, verify_run

    console = make_console(stderr=True)
    for damage in damages:
        console.print(f"damaged {damage.path}: {damage.problem}", style="yellow", soft_wrap=True, markup=False)
    with stoppable(), RunDisplay(console, len(damaged_cells(study, layout, damages))) as display:
        repair_run(study, layout, damages, Placement(n_workers=workers), notify=display.show, say=display.say)
    return verify_run(study, layout)


@click.command(epilog=example("fly64dask doctor --json"))
@json_option
def doctor(as_json: bool) -> None:
    """Check that this machine can run studies: versions, torch, GPU, pty-chi, Zarr, ports."""
    from fly64dask.deploy import examine

    checks = examine()
    if as_json:
        print_json({"checks": [check.model_dump() for check in checks]})
    else:
        for check in checks:
            click.secho(f"{check.state:<7}", fg="green" if check.state == "ok" else "red", nl=False)
            click.echo(f"{check.name}: {check.found}")
    if any(check.state == "failed" for check in checks):
        sys.exit(EXIT_FAILED_CELL)
