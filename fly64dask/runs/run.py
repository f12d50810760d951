"""Runs a study: every requested cell is committed to the run directory and the manifest is written."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from fly64dask.base import InputError
from fly64dask.cells import new_run_id, stop_earlier_runs
from fly64dask.datasets import read_inputs
from fly64dask.deploy import (
    LOOPBACK_ONLY,
    Placement,
    check_workers,
    joinable,
    n_local_cores,
    refuse_unguarded_script,
)
from fly64dask.monitoring import (
    CellEvent,
    CellOutcome,
    Hear,
    Notify,
    PrintedProgress,
    Timekeeper,
    ignore_event,
    ignore_line,
    monitored,
)
from fly64dask.reconstruction import LSQML
from fly64dask.records import ManifestRow, RowFiles, each_row, write_dashboard, write_manifest, write_run_study
from fly64dask.runs.directory import clear_leftovers, held_directory, written_in_room
from fly64dask.runs.opened import Run
from fly64dask.runs.places import run_place
from fly64dask.runs.rounds import RunRequest, continued_study, rounds
from fly64dask.runs.workers import n_workers_of, run_workers
from fly64dask.scan import doubt_split
from fly64dask.scheduling import (
    GraphBuilder,
    GraphOptions,
    answered,
    cores_hint,
    expected_lengths,
    expected_work,
    run_windows,
)
from fly64dask.study import Cell, Filters, Remedy, Study, absolute_source, cells, checked_study, skip_reasons

if TYPE_CHECKING:
    from distributed import Client

    from fly64dask.datasets import ScanInputs
    from fly64dask.scheduling import WorkerSupply


def run_study(
    study: Study,
    out: str | os.PathLike[str],
    *,
    client: Client | None = None,
    filters: Filters | None = None,
    progress: bool = False,
    placement: Placement | None = None,
    engine: str = LSQML,
    remedies: Mapping[Cell, Remedy] | None = None,
    left_out: Mapping[Cell, str] | None = None,
    notify: Notify | None = None,
    say: Callable[[str], None] | None = None,
) -> Run:
    """Run the cells of a study and write the manifest of the run directory.

    A cell that fails does not end the run: its record says why. Cells whose record is committed are not run again, so
    the same call continues a run that was interrupted.

    Parameters
    ----------
    study : Study
        The study; a relative path of its source is one of the working directory.
    out : str or path
        The run directory; made if missing, continued if not. Or the URL of a run at an object store, as
        `s3://BUCKET/FOLDER`: it is computed in a cache on this machine, and committed there cell by cell.
    client : distributed.Client, optional
        Connected to workers with one thread each that see the run directory; it is not closed. If omitted, a local
        cluster is started, or what `placement` says, and closed at the end.
    filters : Filters, optional
        Doses, views, splits, repeats, recipes and objects to run; all if omitted.
    progress : bool
        Print the address of the dashboard and a line for each cell that ends.
    placement : Placement, optional
        Where cells are computed, instead of a client: number of local workers, address of a scheduler, file of a Slurm
        site.
    engine : str
        `module:function` of an `Engine`.
    remedies : mapping of Cell to Remedy, optional
        Of those requested cells that have failed and are tried again with a remedy.
    left_out : mapping of Cell to str, optional
        Cells that shall not run, each with the reason; what the filters leave out if omitted.
    notify : callable, optional
        Gets starts, epochs and outcomes of cells, from any thread, instead of `progress`.
    say : callable, optional
        Gets lines for a person, instead of `progress`.

    Returns
    -------
    Run
        The run directory, opened; failed cells are in it with their reasons.

    Raises
    ------
    Fly64Error
        If the study, the directory or the cluster cannot be used, or the cluster is lost; what is committed stays.
    KeyboardInterrupt
        After the manifest of what is committed is written.

    Examples
    --------
    >>> study = Study.from_toml("data/demo.toml")  # doctest: +SKIP
    >>> run_study(study, "runs/demo", progress=True)  # doctest: +SKIP
    <Run 'demo' in runs/demo: 18 completed>
    """
    refuse_unguarded_script()
    if client is not None and placement is not None:
        raise InputError("run: got a client and a placement", remedy="give one of them")
    filters = filters or Filters()
    say = say or (partial(print, flush=True) if progress else ignore_line)
    study = absolute_source(checked_study(study), Path.cwd())
    with run_place(out, study.name, say) as (layout, watching):
        study = continued_study(study, layout, say)
        left_out = skip_reasons(study, filters) if left_out is None else left_out
        requested = tuple(cell for cell in cells(study) if cell not in left_out)
        if not requested:
            raise InputError("run: the filters leave no cell of the study", remedy="leave one of them out")
        request = RunRequest(
            study=study,
            layout=layout,
            requested=requested,
            filters=filters,
            left_out=left_out,
            remedies=remedies or {},
            engine=engine,
            say=say,
        )
        notify = notify or (PrintedProgress(len(requested)).show if progress else ignore_event)
        study, outcomes = _run(request, client or placement or Placement(), watching(notify, say))
    # What rounds have added was requested with the study.
    known = frozenset(requested)
    added = tuple(cell for cell in outcomes if cell not in known)
    return Run(study, layout, requested=(*requested, *added), outcomes=outcomes)


def _run(request: RunRequest, placement: Placement | Client, notify: Notify) -> tuple[Study, dict[Cell, CellOutcome]]:
    """Hold the directory, get workers and run the request's cells, and what rounds add; gives the study with these."""
    study, layout, say = request.study, request.layout, request.say
    inputs = read_inputs(study)
    for doubt in doubt_split(inputs.positions_px, study.split):
        say(doubt)
    is_local = isinstance(placement, Placement) and placement.where == "local"
    access = placement.access if isinstance(placement, Placement) else LOOPBACK_ONLY
    timekeeper = Timekeeper()

    def timed(event: CellEvent) -> None:
        timekeeper.take(event)
        notify(event)

    with (
        held_directory(layout),
        run_workers(placement, study, layout, inputs, request.requested, say=say, engine=request.engine) as (
            client,
            supply,
        ),
    ):
        outcomes: dict[Cell, CellOutcome] = {}
        with joinable(client, access, layout.tls_directory) as command:
            if command is not None:
                say(f"to add a worker on another machine: {command}")
            for round_of_cells in rounds(request):
                builder = _prepare(round_of_cells, client, inputs, supply, is_local=is_local)
                with monitored(
                    client, round_of_cells.study, layout, round_of_cells.requested, timed, round_of_cells.say
                ) as watched:
                    outcomes |= _compute(round_of_cells, client, builder, watched, supply)
                study = round_of_cells.study
        occupancy = timekeeper.occupancy(n_workers_of(client)) if is_local else None
        if occupancy is not None:
            say(str(occupancy))
    return study, outcomes


def _prepare(
    request: RunRequest, client: Client, inputs: ScanInputs, supply: WorkerSupply, *, is_local: bool
) -> GraphBuilder:
    """Check the workers and write what a run has before its first cell; gives what builds its graphs."""
    study, layout = request.study, request.layout
    request.say(f"dashboard: {client.dashboard_link}")
    run_id = new_run_id(layout)
    with answered():
        libraries = ("torch", "ptychi") if request.engine == LSQML else ()
        use_gpu = check_workers(client, device=study.recipe.device, run_directory=layout.root, libraries=libraries)
        # Workers of a scheduler that runs on may still be busy with cells of a killed driver.
        client.run(stop_earlier_runs, run_id)
    clear_leftovers(layout)
    port = client.scheduler_info(n_workers=0)["services"].get("dashboard")
    if port is not None:
        write_dashboard(layout, port)
    write_run_study(layout, study)
    lengths = expected_lengths(study, inputs, request.requested)
    if is_local and not use_gpu:
        n_workers, n_threads = n_workers_of(client), study.recipe.threads
        hint = cores_hint(lengths, n_workers=n_workers, n_threads=n_threads, n_cores=n_local_cores())
        if hint:
            request.say(hint)
    work_by_cell = expected_work(study, lengths)
    options = GraphOptions(
        use_gpu=use_gpu,
        engine=request.engine,
        remedies=request.remedies,
        lengths=work_by_cell,
        resources=supply.resources_of(request.requested),
    )
    return GraphBuilder(study, request.requested, run_id, options)


def _compute(
    request: RunRequest, client: Client, builder: GraphBuilder, hear: Hear, supply: WorkerSupply
) -> dict[Cell, CellOutcome]:
    """Run the graphs to the end, and write the manifest whatever ends them."""
    study, layout = request.study, request.layout
    rows = RowFiles(layout)
    outcomes = None

    in_room = partial(written_in_room, layout, request.study.limits.room_wait_s, request.say)

    def keep(window: int, rows_of_window: Sequence[ManifestRow]) -> None:
        in_room(partial(rows.keep, window, rows_of_window))

    try:
        outcomes = run_windows(client, builder, notify=hear, keep=keep, supply=supply)
    finally:
        if outcomes is None:  # an interrupt, a lost cluster, or what either of them has made of a call of Dask
            rows.keep_all(each_row(layout, cells(study)))
            write_manifest(study, layout, request.filters, request.left_out, rows, remedies=request.remedies)
    if study.reference is not None:
        from fly64dask.runs.comparisons import compare_with_references  # 0.25 s, which other studies need not wait for

        in_room(lambda: compare_with_references(study, layout, rows, request.say))
    in_room(lambda: write_manifest(study, layout, request.filters, request.left_out, rows, remedies=request.remedies))
    return outcomes
