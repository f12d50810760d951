"""The command `run`: runs the cells of a study, or shows what it would do."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fly64dask.base import InputError, kept_for_good
from fly64dask.cli.options import (
    EXIT_FAILED,
    ClusterOptions,
    cluster_options,
    example,
    filter_options,
    from_here,
    out_option,
    print_json,
    read_run,
    recipe_options,
    rows_json,
    study_argument,
    warn,
)
from fly64dask.cli.signals import stoppable
from fly64dask.study import Filters, Study, cells, skip_reasons

if TYPE_CHECKING:
    from rich.console import Console

    from fly64dask.datasets import ScanInputs
    from fly64dask.deploy import Placement
    from fly64dask.runs import NextRound, Run
    from fly64dask.scheduling import Forecast, PlannedCell
    from fly64dask.store import RunLayout


@click.command(epilog=example("fly64dask run data/demo.toml --out runs/demo --view sparse --dry-run"))
@study_argument
@out_option
@filter_options
@click.option(
    "--dry-run", is_flag=True, help="Show which exposures each cell would keep and what it would need; run nothing."
)
@click.option("--report", "with_report", is_flag=True, help="Write RUN/report.html at the end, even if cells failed.")
@click.option("--allow-missing", is_flag=True, help="Exit with 0 even if views cannot be selected.")
@recipe_options
@cluster_options
@click.option("--json", "as_json", is_flag=True, help="With --dry-run: one JSON document on standard output.")
def run(
    study_file: Path,
    out: Path | str,
    filters: Filters,
    settings: dict[str, object],
    cluster: ClusterOptions,
    dry_run: bool,
    with_report: bool,
    allow_missing: bool,
    as_json: bool,
) -> None:
    """Run a study's cells and write RUN/reconstruction_manifest.json.

    The same command again continues the run: cells with a committed record do not run again.

    A run at an object store computes in a cache on this machine, below FLY64DASK_CACHE [~/.cache/fly64dask/runs], and
    commits each cell at the store as it ends. The same command on any machine continues the run.
    """
    from fly64dask.records import read_study

    study = read_study(study_file).with_recipe(**settings)
    if dry_run:
        cluster.check_file()
        will_fail = _show_plan(study, filters, out, as_json=as_json, allow_missing=allow_missing)
        if will_fail:
            sys.exit(EXIT_FAILED)
        return
    if as_json:
        raise InputError("run: found --json without --dry-run", remedy="read the manifest, or use `status --json`")
    with cluster.placement() as placement:
        n_failed = _run(study, filters, out, placement, allow_missing=allow_missing, with_report=with_report)
    if n_failed:
        sys.exit(EXIT_FAILED)


def _run(
    study: Study, filters: Filters, out: Path | str, placement: Placement, *, allow_missing: bool, with_report: bool
) -> int:
    """Run the study and show how it went; returns the number of cells that failed."""
    with kept_for_good():
        from fly64dask.cli.terminal import RunDisplay, make_console
        from fly64dask.runs import continued_study, run_place, run_study

    console = make_console(stderr=True)
    with stoppable(), run_place(out, study.name, warn) as (layout, watching):
        study = continued_study(study, layout)
        n_cells = len(cells(study)) - len(skip_reasons(study, filters))
        with _counted_when_stopped(study, layout), RunDisplay(console, n_cells) as display:
            notify = watching(display.show, display.say)
            finished = run_study(
                study, layout.root, filters=filters, placement=placement, notify=notify, say=display.say
            )
        where = out if isinstance(out, str) else str(from_here(layout.root))
        _show_finished(console, finished, where=shlex.quote(where))
        if with_report:
            from fly64dask.report import write_report

            write_report(finished.study, layout, layout.report_file)
            click.echo(f"report: {from_here(layout.report_file)}")
    if isinstance(out, str):
        click.echo(f"committed: {out}")
    return finished.n_failed(allow_missing=allow_missing)


def _show_finished(console: Console, finished: Run, *, where: str) -> None:
    """Show the matrix of a run that has ended, and the path of its manifest."""
    from fly64dask.cli.terminal import MAX_MATRIX_CELLS, closing_table, print_matrix, print_overview
    from fly64dask.monitoring import OverviewReader

    study, layout = finished.study, finished.layout  # with what rounds have added
    if len(cells(study)) > MAX_MATRIX_CELLS:
        print_overview(console, OverviewReader(study, layout).read())
    else:
        print_matrix(console, study, finished.rows)
        if (limits := closing_table(study, finished.rows)) is not None:
            console.print(limits)
    if study.targets:
        click.echo(f"limits: fly64dask limits {where}")
    click.echo(f"manifest: {from_here(layout.manifest_file)}")


@contextmanager
def _counted_when_stopped(study: Study, layout: RunLayout) -> Iterator[None]:
    """At an interrupt, say how many cells are on disk in each state."""
    from fly64dask.records import count_states, each_row
    from fly64dask.runs import continued_study

    try:
        yield
    except KeyboardInterrupt:
        study = continued_study(study, layout)
        states = count_states(study, each_row(layout, cells(study)))
        click.echo(f"on disk: {', '.join(f'{n} {state}' for state, n in states.items())}", err=True)
        raise


def _layout_of(out: Path | str) -> RunLayout:
    """Return the layout of a run that may not exist yet; for a URL that of its cache, with the run's records."""
    from fly64dask.runs import cache_layout, has_run

    if isinstance(out, str) and not has_run(out):
        return cache_layout(out)
    return read_run(out, files=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """What a dry run shows; `coming` is the next round of an adaptive study."""

    study: Study
    inputs: ScanInputs
    plan: Sequence[PlannedCell]
    forecast: Forecast
    doubts: Sequence[str]
    coming: NextRound | None


def _show_plan(study: Study, filters: Filters, out: Path | str, *, as_json: bool, allow_missing: bool) -> bool:
    """Show what a run would do; returns whether one of its cells will fail."""
    from fly64dask.datasets import read_inputs
    from fly64dask.runs import continued_study, next_round
    from fly64dask.scan import doubt_split
    from fly64dask.scheduling import forecast_run, plan_cells, with_work

    layout = _layout_of(out)
    study = continued_study(study, layout)
    left_out = skip_reasons(study, filters)
    coming = None if left_out else next_round(study, layout)  # a run of some cells has no rounds
    inputs = read_inputs(study)
    selected = [cell for cell in cells(study) if cell not in left_out]
    plan = plan_cells(study, inputs, selected)
    shown = _Shown(
        study=study,
        inputs=inputs,
        plan=plan,
        forecast=with_work(forecast_run(study, layout, inputs, selected), study, plan),
        doubts=list(doubt_split(inputs.positions_px, study.split)),
        coming=coming,
    )
    if as_json:
        _print_plan(shown)
    else:
        _draw_plan(shown)
    return any(planned.will_fail and not (allow_missing and planned.n_kept is None) for planned in plan)


def _print_plan(shown: _Shown) -> None:
    """Print a plan as one JSON document."""
    light, band, forecast = shown.inputs.probe_light, shown.inputs.object_band, shown.forecast
    print_json(
        {
            "study": shown.study.name,
            "probe_light": light and light.model_dump(),
            "object_band": band and band.model_dump(),
            **({"split_doubts": shown.doubts} if shown.doubts else {}),
            "forecast": {
                "n_left": len(forecast.left),
                "again": dict(forecast.again),
                "seconds": forecast.seconds,
                "rates": [asdict(rate) for rate in forecast.rates],
            },
            "cells": rows_json(shown.plan),
            **({} if shown.coming is None else {"next_round": rows_json(shown.coming.additions)}),
        }
    )


def _draw_plan(shown: _Shown) -> None:
    """Print a plan as tables and sentences for a person."""
    from rich.text import Text

    from fly64dask.cli.terminal import (
        light_tables,
        make_console,
        plan_table,
        print_lines,
        simulation_lines,
        warning_lines,
    )
    from fly64dask.records import setup_note

    console, light, model = make_console(), shown.inputs.probe_light, shown.study.source.forward_model
    console.print(plan_table(shown.plan))
    console.print(*light_tables(shown.plan), sep="\n")
    if light is not None and model is not None:
        print_lines(console, simulation_lines(model, light, shown.inputs.object_band))
    print_lines(console, filter(None, [setup_note(shown.study)]))
    print_lines(console, [Text(doubt, style="yellow") for doubt in shown.doubts])
    print_lines(console, warning_lines(shown.plan))
    print_lines(console, shown.forecast.lines)
    if shown.coming is not None:
        print_lines(console, shown.coming.lines)
