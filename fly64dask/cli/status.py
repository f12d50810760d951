"""The command `status`: the matrix of a run from its records on disk, once or until the run ends."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from fly64dask.base import InputError
from fly64dask.cli.options import example, json_option, print_json, rows_json, run_argument
from fly64dask.store import RunLayout

if TYPE_CHECKING:
    from fly64dask.monitoring import RunStatus


@click.command(epilog=example("fly64dask status runs/demo --watch"))
@run_argument
@json_option
@click.option("--light", is_flag=True, help="Show photons, fluence and overlap of the committed cells instead.")
@click.option("--watch", is_flag=True, help="Show the matrix again and again, until no cell is pending or running.")
@click.option(
    "--interval",
    "interval_s",
    type=click.FloatRange(min=0.1),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="With --watch: time between two reads of the run.",
)
def status(layout: RunLayout, as_json: bool, light: bool, watch: bool, interval_s: float) -> None:
    """Show a run's matrix from its records on disk, and how far the cells are that run."""
    from fly64dask.monitoring import RunReader
    from fly64dask.records import read_run_study

    if as_json and watch:
        raise InputError("status --watch shows a run again and again, --json writes one document", remedy="give one")
    reader = RunReader(read_run_study(layout), layout)
    if as_json:
        print_json(_document(reader.read()))
        return
    from fly64dask.cli.terminal.console import make_console
    from fly64dask.cli.terminal.matrix import print_matrix
    from fly64dask.cli.terminal.watch import watch_run

    console = make_console()
    if watch:
        with suppress(KeyboardInterrupt):  # the way to end it
            watch_run(reader, console, interval_s=interval_s)
        return
    run_status = reader.read()
    if light:
        from fly64dask.cli.terminal.light import light_table

        console.print(light_table(run_status.rows))
        return
    print_matrix(console, run_status.study, run_status.rows, run_status.live, run_status.now)


def _document(run_status: RunStatus) -> dict[str, Any]:
    """What scripts get: rows of committed cells as in the manifest, and those that run."""
    return {
        "study": run_status.study.name,
        "states": run_status.counts,
        "cells": rows_json(run_status.rows),
        "running": [
            live.model_dump(mode="json", exclude_none=True) | {"silent_s": live.silent_s(run_status.now)}
            for live in run_status.live.values()
        ],
    }
