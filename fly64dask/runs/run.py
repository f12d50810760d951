"""A study and a run directory -> every wanted cell committed and the manifest written."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fly64dask.base import InputError, ResourceError, gpu_memory_bytes, visible_gpus
from fly64dask.cells import engine_modules, new_run_id, stop_earlier_runs
from fly64dask.datasets import read_inputs
from fly64dask.deploy import Placement, check_workers, connect, joinable, n_local_cores, remove_certificates
from fly64dask.deploy.slurm import is_cluster_file
from fly64dask.monitoring import CellEvent, CellOutcome, Notify, Timekeeper, monitored
from fly64dask.reconstruction import LSQML
from fly64dask.records import Manifest, RowSpool, each_row, write_dashboard, write_manifest, write_run_study
from fly64dask.scheduling import (
    Supply,
    answered,
    attendance,
    build_windows,
    cores_hint,
    expected_lengths,
    plan_cells,
    refuse_crowded,
    refuse_idle_slots,
    run_windows,
)
from fly64dask.store import RunLayout, held_run, read_document, remove_leftover_files, storing
from fly64dask.study import Cell, Filters, Remedy, Study, cells

if TYPE_CHECKING:
    from distributed import Client

    from fly64dask.datasets import ScanInputs
    from fly64dask.records import ManifestRow


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """How a run ended."""

    layout: RunLayout
    rows: tuple[ManifestRow, ...]
    wanted: tuple[Cell, ...]
    outcomes: dict[Cell, CellOutcome]

    @property
    def manifest(self) -> Manifest:
        """The run directory's manifest as it is now; `rows` has in brief what this run wrote."""
        return read_document(self.layout.manifest_file, Manifest, remedy="run the study again")

    def n_failed(self, *, allow_missing: bool) -> int:
        """Cells of this run without a reconstruction.

        Parameters
        ----------
        allow_missing : bool
            Leave out cells whose view cannot be selected.

        Returns
        -------
        int
        """
        done = {row.cell: row for row in self.rows}
        fine = {"completed", "skipped"} if allow_missing else {"completed"}
        # An attempt that could not be committed leaves the record of an older one in its place.
        return sum(
            cell not in done or done[cell].state not in fine or not self.outcomes[cell].committed
            for cell in self.wanted
        )


def run_study(
    study: Study,
    layout: RunLayout,
    filters: Filters,
    left_out: Mapping[Cell, str],
    placement: Placement,
    *,
    notify: Notify,
    say: Callable[[str], None],
    engine: str = LSQML,
    remedies: Mapping[Cell, Remedy] | None = None,
) -> RunReport:
    """Run the wanted cells of a study and write the manifest.

    Parameters
    ----------
    study : Study
        The study, its paths resolved.
    layout : RunLayout
        The run directory; made if missing, continued if not.
    filters : Filters
        What was asked for.
    left_out : mapping of Cell to str
        Cells that shall not run, each with the reason; from `skip_reasons(study, filters)`.
    placement : Placement
        Where cells are computed.
    notify : callable
        Gets starts, epochs and outcomes of cells.
    say : callable
        Gets lines for a person: the addresses of the dashboard and of the run's page, how a worker joins.
    engine : str
        `module:function` of an `Engine`.
    remedies : mapping of Cell to Remedy, optional
        Of those wanted cells that have failed and are tried again with one.

    Returns
    -------
    RunReport

    Raises
    ------
    Fly64Error
        If the study or the cluster cannot be used; nothing has run then.
    KeyboardInterrupt
        After the manifest of what is committed is written; as with a scheduler that is gone.
    """
    wanted = tuple(cell for cell in cells(study) if cell not in left_out)
    if not wanted:
        raise InputError("run: the filters leave no cell of the study", remedy="drop one of them")
    inputs = read_inputs(study)
    timekeeper = Timekeeper()

    def timed(event: CellEvent) -> None:
        timekeeper.take(event)
        notify(event)

    with (
        _held(layout),
        _placed(placement, study, layout, inputs, wanted, say, engine) as (client, supply),
    ):
        say(f"dashboard: {client.dashboard_link}")
        run_id = new_run_id(layout)
        with answered():
            use_gpu = check_workers(client, device=study.recipe.device, run_directory=layout.root)
            # Workers of a scheduler that runs on may still be busy with cells of a killed driver.
            client.run(stop_earlier_runs, run_id)
        _clear_leftovers(layout)
        write_dashboard(layout, client.scheduler_info(n_workers=0)["services"]["dashboard"])
        write_run_study(layout, study)
        with (
            joinable(client, placement.access, layout.tls_directory) as command,
            monitored(client, study, layout, wanted, timed, say) as watched,
        ):
            if command is not None:
                say(f"a worker joins with: {command}")
            placed = _on_device(study, use_gpu)
            lengths = expected_lengths(study, inputs, wanted)
            if placement.where == "local" and not use_gpu:
                threads = {"n_workers": _count_workers(client), "n_threads": study.recipe.threads}
                hint = cores_hint(lengths, **threads, n_cores=n_local_cores())
                if hint:
                    say(hint)
            graphs = build_windows(
                placed, wanted, run_id, use_gpu=use_gpu, engine=engine, remedies=remedies, lengths=lengths
            )
            spool = RowSpool(layout)
            try:
                outcomes = run_windows(
                    client, graphs, study, layout, watched, spool.keep, supply=supply, n_cells=len(wanted)
                )
            except (KeyboardInterrupt, ResourceError):
                spool.keep_all(each_row(layout, cells(study)))
                write_manifest(study, layout, filters, left_out, spool, remedies=remedies)
                raise
            rows = write_manifest(study, layout, filters, left_out, spool, remedies=remedies)
        if placement.where == "local":
            occupancy = timekeeper.occupancy(_count_workers(client))
            if occupancy is not None:
                say(str(occupancy))
    return RunReport(layout=layout, rows=rows, wanted=wanted, outcomes=outcomes)


@contextmanager
def _placed(
    placement: Placement,
    study: Study,
    layout: RunLayout,
    inputs: ScanInputs,
    wanted: Sequence[Cell],
    say: Callable[[str], None],
    engine: str,
) -> Iterator[tuple[Client, Supply]]:
    """Give a client of the cluster, and who sees to it that there are workers."""
    device, slots = study.recipe.device, placement.slots_per_gpu
    gpus = visible_gpus() if placement.where == "local" and device != "cpu" else ()
    refuse_idle_slots(slots, where=placement.where, gpus=gpus)
    if is_cluster_file(placement.where):
        # Where nobody uses Slurm, nobody waits for its modules.
        from fly64dask.deploy.slurm import slurm_cluster

        plan = plan_cells(study, inputs, wanted)
        with slurm_cluster(Path(placement.where), layout, recipe=study.recipe, plan=plan, say=say) as placed:
            yield placed
        return
    if gpus:
        memory_bytes = gpu_memory_bytes(gpus)
        refuse_crowded(plan_cells(study, inputs, wanted), memory_bytes, slots_per_gpu=slots)
        unknown = ", ".join(gpu for gpu in gpus if gpu not in memory_bytes)
        if unknown and slots > 1:
            say(f"gpu: the memory of {unknown} is unknown, so cells that do not fit into {slots} slots will fail")
    with (
        connect(
            placement.where,
            device=device,
            n_workers=placement.n_workers,
            n_cells=len(wanted),
            access=placement.access,
            slots_per_gpu=slots,
            n_threads=study.recipe.threads,
            preload=engine_modules(engine),
            fork_server=placement.fork_server,
        ) as client,
        attendance(client, placement.patience_s) as supply,
    ):
        yield client, supply


@contextmanager
def _held(layout: RunLayout) -> Iterator[None]:
    """Make and hold a run directory."""
    is_new = not layout.root.exists()
    with storing(layout.root):
        layout.root.mkdir(parents=True, exist_ok=True)
    with held_run(layout):
        remove_certificates(layout.tls_directory)
        try:
            yield
        finally:
            shutil.rmtree(layout.scratch, ignore_errors=True)
            shutil.rmtree(layout.live, ignore_errors=True)
            remove_certificates(layout.tls_directory)
            layout.dashboard_file.unlink(missing_ok=True)
            if is_new and [path.name for path in layout.root.iterdir()] == [layout.lock_file.name]:
                # The cluster could not be used: as if nothing had been asked.
                layout.lock_file.unlink()
                layout.root.rmdir()


def _clear_leftovers(layout: RunLayout) -> None:
    """Nobody else is running here: what is in progress belongs to the dead."""
    shutil.rmtree(layout.scratch, ignore_errors=True)
    shutil.rmtree(layout.live, ignore_errors=True)
    remove_leftover_files(layout.root)
    remove_leftover_files(layout.snapshots)
    remove_leftover_files(layout.checkpoints, below=True)


def _count_workers(client: Client) -> int:
    return len(client.scheduler_info(n_workers=-1)["workers"])


def _on_device(study: Study, use_gpu: bool) -> Study:
    """On GPU workers `auto` means cuda: a worker that lost its GPU fails instead of going slow."""
    if not use_gpu:
        return study
    return study.model_copy(update={"recipe": study.recipe.model_copy(update={"device": "cuda"})})
