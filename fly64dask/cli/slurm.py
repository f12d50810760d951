"""The commands `submit`, `attach` and `cancel`: a run as jobs of a Slurm cluster."""

from __future__ import annotations

import shlex
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fly64dask.base import InputError, ResourceError, counted
from fly64dask.cli.options import (
    EXIT_FAILED,
    example,
    filter_options,
    filter_words,
    json_option,
    out_directory_option,
    print_json,
    recipe_options,
    run_argument,
    study_argument,
    warn,
    without_links,
)
from fly64dask.store import RunLayout
from fly64dask.study import Cell, Filters, Study, cells, skip_reasons

if TYPE_CHECKING:
    from fly64dask.datasets import ScanInputs
    from fly64dask.deploy.slurm import SubmittedController
    from fly64dask.scheduling import Forecast


@click.command(epilog=example("fly64dask submit data/demo.toml --out runs/demo --cluster cluster/slurm.toml"))
@study_argument
@out_directory_option
@click.option(
    "--cluster",
    "cluster_file",
    required=True,
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Cluster file, such as cluster/slurm.toml.",
)
@filter_options
@recipe_options
@click.option("--allow-missing", is_flag=True, help="Exit with 0 even if views cannot be selected.")
@click.option("--dry-run", is_flag=True, help="Check everything, print the job scripts, submit nothing.")
@json_option
def submit(
    study_file: Path,
    out: Path,
    cluster_file: Path,
    filters: Filters,
    settings: dict[str, object],
    allow_missing: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Submit a study to Slurm and return at once.

    A controller job holds the scheduler and starts worker jobs. It continues when you log out.
    """
    from fly64dask.datasets import read_inputs
    from fly64dask.deploy.slurm import device_kinds, preview, read_slurm_file, submit_run
    from fly64dask.records import read_study
    from fly64dask.runs import continued_study, next_round

    layout = RunLayout(without_links(out))
    study = continued_study(read_study(study_file).with_recipe(**settings), layout)
    left_out = skip_reasons(study, filters)
    selected = [cell for cell in cells(study) if cell not in left_out]
    if not selected:
        raise InputError("submit: the filters leave no cell of the study", remedy="leave one of them out")
    inputs = read_inputs(study)
    devices = device_kinds(read_slurm_file(cluster_file).pools, study.recipe.device)
    forecast = _forecast(study, layout, inputs, selected, devices)
    coming = None if left_out else next_round(study, layout)  # a run of some cells has no rounds
    options = [*filter_words(filters), *(["--allow-missing"] if allow_missing else [])]
    if dry_run:
        for name, script in preview(study, inputs, forecast.left, layout, cluster_file, options).items():
            click.secho(f"# {name}", bold=True)
            click.echo(script)
    nothing_left = not forecast.left and (coming is None or not coming.additions)
    if dry_run or nothing_left:
        if as_json:
            print_json({"job_id": None, "n_cells": len(forecast.left), "n_done": forecast.n_done})
            return
        for line in forecast.lines:
            click.echo(line)
        return
    submission = submit_run(
        study, inputs, forecast.left, layout, cluster_file, options, filters=filters, allow_missing=allow_missing
    )
    if as_json:
        print_json(submission.model_dump(mode="json"))
        return
    rounds = "; rounds follow in the same job" if coming is not None else ""
    counts, *more = forecast.lines
    click.echo(f"submitted: job {submission.job_id}, {counts}{rounds}")
    for line in more:
        click.echo(line)
    click.echo(f"follow:    {shlex.join(('fly64dask', 'attach', click.format_filename(out)))}")
    click.echo(f"stop:      {shlex.join(('fly64dask', 'cancel', click.format_filename(out)))}")


def _forecast(
    study: Study, layout: RunLayout, inputs: ScanInputs, selected: Sequence[Cell], devices: Collection[str]
) -> Forecast:
    from fly64dask.scheduling import forecast_run, plan_cells, with_work

    forecast = forecast_run(study, layout, inputs, selected, devices=devices)
    return with_work(forecast, study, plan_cells(study, inputs, forecast.left))


@click.command(epilog=example("fly64dask cancel runs/demo"))
@run_argument
def cancel(layout: RunLayout) -> None:
    """End a submitted run: controller and workers. What is committed stays; submit again to continue."""
    from fly64dask.deploy.slurm import cancel_run

    n_jobs = cancel_run(layout)
    click.echo(f"{counted(n_jobs, 'job')} cancelled, none is left" if n_jobs else "no job of this run waits or runs")


@click.command(epilog=example("fly64dask attach runs/demo"))
@run_argument
@click.option(
    "--interval",
    "interval_s",
    type=click.FloatRange(min=0.5),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="Time between two reads of the run.",
)
def attach(layout: RunLayout, interval_s: float) -> None:
    """Follow a submitted run until its controller ends, on any machine that sees the run directory.

    Ctrl-C ends this command and not the run. The exit codes are those of `run`.
    """
    from fly64dask.deploy.slurm import read_submission

    submission = read_submission(layout)
    goes_on = _controller_question(layout, submission)
    _wait_for_start(layout, submission, goes_on, interval_s)
    open_states = "no run began"
    if layout.study_file.exists():
        counts = _follow(layout, submission, goes_on, interval_s)
        still_open = {state: counts[state] for state in ("running", "interrupted", "pending") if counts.get(state)}
        if not still_open:
            fine = {"completed", "skipped"} if submission.allow_missing else {"completed"}
            sys.exit(EXIT_FAILED if counts.keys() - fine else 0)
        open_states = ", ".join(f"{n} {state}" for state, n in still_open.items())
    log = layout.slurm_logs / f"controller-{submission.job_id}.log"
    raise ResourceError(
        f"run {layout.root}: controller job {submission.job_id} has ended, and cells are not done: {open_states}",
        remedy=f"read the end of {log}, then submit again: committed cells are not run twice",
    )


def _follow(
    layout: RunLayout, submission: SubmittedController, goes_on: Callable[[], bool | None], interval_s: float
) -> Mapping[str, int]:
    """Show a run until it has ended, and then its matrix, or counts of cells if these are too many for a matrix.

    Returns how many of the requested cells are in each state.
    """
    from fly64dask.cli.terminal import MAX_MATRIX_CELLS, make_console, print_matrix, print_overview, watch_run
    from fly64dask.monitoring import OverviewReader, RunReader
    from fly64dask.records import read_run_study

    console, study = make_console(), read_run_study(layout)
    if len(cells(study)) > MAX_MATRIX_CELLS:
        left_out = skip_reasons(study, submission.filters)
        asked = frozenset(cell for cell in cells(study) if cell not in left_out)
        counting = OverviewReader(study, layout, follows=True, chosen=asked)
        overview = watch_run(counting, console, interval_s=interval_s, goes_on=goes_on)
        print_overview(console, overview)
        return overview.counts
    reader = RunReader(study, layout, follows=True)
    last = watch_run(reader, console, interval_s=interval_s, goes_on=goes_on)
    print_matrix(console, last.study, last.rows)
    left_out = skip_reasons(last.study, submission.filters)
    return Counter(state for cell, state in last.states.items() if cell not in left_out)


def _controller_question(layout: RunLayout, submission: SubmittedController) -> Callable[[], bool | None]:
    """Make a function that asks Slurm whether the controller goes on; None, with one warning, while Slurm is silent."""
    from fly64dask.deploy.slurm import controller_goes_on

    said = ""

    def ask() -> bool | None:
        nonlocal said
        try:
            return controller_goes_on(layout, submission)
        except ResourceError as error:
            if error.message != said:
                warn(f"{error.message}; the run is followed from its directory alone")
            said = error.message
            return None

    return ask


def _wait_for_start(
    layout: RunLayout, submission: SubmittedController, goes_on: Callable[[], bool | None], interval_s: float
) -> None:
    """Say what the run's jobs wait for, until its first worker is there or it ends; then where the dashboard is."""
    from fly64dask.deploy import tunnel_command
    from fly64dask.deploy.slurm import jobs_line
    from fly64dask.records import read_dashboard

    last_line = None
    while (is_known := goes_on()) is not False:
        where = read_dashboard(layout)
        if where is not None:
            click.echo(f"the controller runs on {where.host}; its pages, through a tunnel:")
            click.echo(f"  {tunnel_command(where.host, where.port, login=submission.host)}")
            click.echo("  http://127.0.0.1:8787/fly64 and http://127.0.0.1:8787/status")
            return
        if is_known is None and layout.study_file.exists():
            return
        with suppress(ResourceError):
            line = jobs_line(layout)
            if line not in (None, last_line):
                click.echo(line)
                last_line = line
        time.sleep(interval_s)
