"""The graph on a real LocalCluster: every cell accounted for, lost workers and bad clusters named."""

from __future__ import annotations

import os
import signal
import time

import dask
import psutil
import pytest
from distributed import Client, LocalCluster
from faulty_engine import ENGINE, EPOCH_S
from process_families import grandchildren_of
from running import PATHS
from several import several_study
from tiny import tiny_study

from fly64dask.base import ResourceError
from fly64dask.cells import new_run_id
from fly64dask.deploy import check_workers, connect
from fly64dask.monitoring import CellOutcome, CellProgress
from fly64dask.reconstruction import LSQML
from fly64dask.records import read_record, write_run_study
from fly64dask.scheduling import GraphBuilder, GraphOptions, external_workers, run_windows
from fly64dask.store import RunLayout
from fly64dask.study import Cell, cells

pytestmark = pytest.mark.cluster

STUDY = tiny_study()


def builder_of(study, wanted, layout, *, use_gpu=False, lengths=None, engine=LSQML):
    options = GraphOptions(use_gpu=use_gpu, lengths=lengths or {}, engine=engine)
    return GraphBuilder(study, wanted, new_run_id(layout), options)


def run(client, builder, supply, notify=lambda event: None):
    """Run the only window of a study; gives the outcomes and the rows of its cells."""
    kept = {}
    outcomes = run_windows(client, builder, notify=notify, keep=kept.__setitem__, supply=supply)
    return outcomes, tuple(kept[0])


@pytest.fixture(scope="module")
def workers_find_the_engine(engine_faults):
    """Workers inherit the way to the engine of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", PATHS)
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory, workers_find_the_engine):
    """One whole run: its layout, outcomes, rows and events."""
    layout = RunLayout(tmp_path_factory.mktemp("submission") / "run with a space")
    layout.root.mkdir()
    events = []
    with connect("local", device="cpu", n_workers=2, n_cells=12) as client:
        use_gpu = check_workers(client, device="cpu", run_directory=layout.root)
        lengths = {cell: {"one": 1, "few": 5, "all": 30}[cell.view] for cell in cells(STUDY)}
        builder = builder_of(STUDY, cells(STUDY), layout, use_gpu=use_gpu, lengths=lengths, engine=ENGINE)
        with external_workers(client, 60) as supply:
            outcomes, rows = run(client, builder, supply, events.append)
        ports = client.scheduler_info()["services"], client.scheduler.address
    return layout, outcomes, rows, events, ports


def test_run_windows_returns_an_outcome_for_every_cell(finished):
    assert set(finished[1]) == set(cells(STUDY))


def test_run_windows_returns_rows_in_the_studys_order(finished):
    assert [row.cell for row in finished[2]] == list(cells(STUDY))


def test_run_windows_fails_the_degenerate_cells_and_no_other(finished):
    states = {row.cell.view: set() for row in finished[2]}
    for row in finished[2]:
        states[row.cell.view].add((row.state, row.failure_kind))
    assert states == {
        "all": {("completed", None)},
        "few": {("completed", None)},
        "one": {("failed", "degenerate_scan")},
    }


def test_run_windows_notifies_of_epochs_and_outcomes(finished):
    events = finished[3]
    seen = {event.epoch for event in events if isinstance(event, CellProgress)}
    assert seen == {1, 2, 3}
    assert sum(isinstance(event, CellOutcome) for event in events) == 12


def test_run_windows_gives_views_the_same_exposures_at_every_dose(finished):
    by_dose = [{(row.view, row.split): row.n_kept for row in finished[2] if row.dose == dose} for dose in (1e4, 1e5)]
    assert by_dose[0] == by_dose[1]


def test_connect_listens_on_loopback_alone(finished):
    assert finished[4][1].startswith("tcp://127.0.0.1:")


@pytest.fixture
def graph(tmp_path):
    """The graph of the whole study, not computed."""
    return next(builder_of(STUDY, cells(STUDY), RunLayout(tmp_path)).windows())


def test_graph_exposes_and_selects_once(graph):
    keys = [str(key) for key in dict(graph.rows_task.__dask_graph__())]
    kinds = {kind: sum(key.startswith(kind) for key in keys) for kind in ("prepare", "expose", "select", "reconstruct")}
    assert kinds == {"prepare": 1, "expose": 4, "select": 6, "reconstruct": 12}


def test_graph_of_several_recipes_and_objects_publishes_each_group_once(tmp_path):
    study = several_study()
    graph = next(builder_of(study, cells(study), RunLayout(tmp_path)).windows())
    keys = [str(task.key) for task in (*graph.group_tasks.values(), *graph.cell_tasks.values())]
    kinds = {kind: sum(key.startswith(kind) for key in keys) for kind in ("prepare", "expose", "select", "reconstruct")}
    # Of 2 objects: 2 scans, each with 2 splits of exposures. 3 views of 2 splits; and 24 cells.
    assert kinds == {"prepare": 2, "expose": 4, "select": 6, "reconstruct": 24}


def test_graph_names_tasks_like_cells(graph):
    task = graph.cell_tasks[Cell(dose=1e4, view="few", split="train")]
    assert task.key.startswith("reconstruct-dose_10000-few-train-")


def test_graph_sends_cells_to_gpus_and_nothing_else(tmp_path):
    graph = next(builder_of(STUDY, cells(STUDY), RunLayout(tmp_path), use_gpu=True).windows())
    needs = set()
    for layer in graph.rows_task.__dask_graph__().layers.values():
        resources = (layer.annotations or {}).get("resources")
        for key in layer:
            # Dask joins the layers of delayed tasks and keeps annotations as a function of the key.
            found = resources(key) if callable(resources) else resources
            needs.add((str(key).split("-")[0], isinstance(found, dict) and found.get("GPU")))
    assert needs == {
        ("prepare", False),
        ("expose", False),
        ("select", False),
        ("collect", False),
        ("reconstruct", 1),
    }


def test_graph_is_linear_in_the_number_of_cells(tmp_path):
    def n_tasks(n_doses):
        many = tiny_study(doses_photons=tuple(float(dose) for dose in range(1, n_doses + 1)))
        graph = builder_of(many, cells(many), RunLayout(tmp_path)).build(cells(many), covered=cells(many))
        return len(dict(graph.rows_task.__dask_graph__()))

    assert 2400 < n_tasks(400) <= 2 * n_tasks(200)


def test_fusing_of_delayed_tasks_is_off_by_default():
    assert not dask.config.get("optimization.fuse.delayed", False)


def test_run_windows_gives_up_when_no_worker_is_left(tmp_path):
    layout = RunLayout(tmp_path)
    with connect("local", device="cpu", n_workers=1, n_cells=1) as client:
        builder = builder_of(STUDY, cells(STUDY)[:1], layout)
        client.retire_workers()
        with (
            external_workers(client, 2.0) as supply,
            pytest.raises(ResourceError, match="no worker is left, and no other connected within 2 s"),
        ):
            run(client, builder, supply)


def test_run_windows_records_an_engine_that_was_killed_and_finishes_the_others(
    tmp_path, monkeypatch, workers_find_the_engine
):
    layout = RunLayout(tmp_path)
    study = tiny_study(n_epochs=40)
    monkeypatch.setenv(EPOCH_S, "0.1")
    victim = Cell(dose=1e4, view="all", split="train")
    wanted = [cell for cell in cells(study) if (cell.dose, cell.view) == (1e4, "all")]
    with connect("local", device="cpu", n_workers=1, n_cells=2) as client:
        (worker,) = client.run(os.getpid).values()

        def notify(event):
            if isinstance(event, CellProgress) and event.cell == victim and event.epoch == 2:
                # A worker's children are its fork server and trackers; engines are children of those.
                for process in grandchildren_of(worker):
                    process.send_signal(signal.SIGSEGV)

        with external_workers(client, 60) as supply:
            outcomes, rows = run(client, builder_of(study, wanted, layout, engine=ENGINE), supply, notify)
        (same_worker,) = client.run(os.getpid).values()
    assert outcomes[victim].failure.kind == "crashed"
    assert "SIGSEGV" in read_record(layout, victim).error
    assert {row.cell: row.state for row in rows} == dict.fromkeys(wanted, "completed") | {victim: "failed"}
    assert same_worker == worker


def test_check_workers_refuses_cuda_when_no_worker_offers_a_gpu(tmp_path):
    with (
        connect("local", device="cpu", n_workers=1, n_cells=1) as client,
        pytest.raises(ResourceError, match="none of 1 worker offers the resource GPU"),
    ):
        check_workers(client, device="cuda", run_directory=tmp_path)


def test_check_workers_refuses_a_worker_without_a_library(tmp_path):
    with (
        connect("local", device="cpu", n_workers=1, n_cells=1) as client,
        pytest.raises(ResourceError, match=r"has no absent; pip install 'fly64dask\[engine\]' there"),
    ):
        check_workers(client, device="cpu", run_directory=tmp_path, libraries=("torch", "absent"))


def test_check_workers_refuses_a_worker_with_two_threads(tmp_path):
    with (
        LocalCluster(n_workers=1, threads_per_worker=2, host="127.0.0.1", dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
        pytest.raises(ResourceError, match="has 2 threads, needed 1"),
    ):
        check_workers(client, device="cpu", run_directory=tmp_path)


def test_check_workers_refuses_a_worker_that_may_have_no_children(tmp_path):
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
        pytest.raises(ResourceError, match="DASK_DISTRIBUTED__WORKER__DAEMON=False"),
    ):
        check_workers(client, device="cpu", run_directory=tmp_path)


def test_check_workers_refuses_a_run_directory_that_workers_cannot_see(tmp_path):
    with (
        connect("local", device="cpu", n_workers=1, n_cells=1) as client,
        pytest.raises(ResourceError, match="does not see"),
    ):
        check_workers(client, device="cpu", run_directory=tmp_path / "absent")


def test_connect_refuses_an_address_where_nothing_listens():
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        pytest.raises(ResourceError, match="no Dask scheduler answers"),
        connect("tcp://127.0.0.1:1", device="cpu", n_workers=None, n_cells=1),
    ):
        pass


def test_run_windows_records_a_gpu_that_a_worker_offered_but_lacks(tmp_path):
    layout = RunLayout(tmp_path)
    write_run_study(layout, STUDY)
    study = tiny_study(device="cuda")
    cell = Cell(dose=1e4, view="few", split="train")
    settings = {
        "distributed.nanny.pre-spawn-environ": {"CUDA_VISIBLE_DEVICES": ""},
        "distributed.worker.daemon": False,
    }
    with (
        dask.config.set(settings),
        LocalCluster(
            n_workers=1,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            resources={"GPU": 1},
        ) as cluster,
        Client(cluster) as client,
    ):
        use_gpu = check_workers(client, device="cuda", run_directory=layout.root)
        with external_workers(client, 60) as supply:
            run(client, builder_of(study, [cell], layout, use_gpu=use_gpu), supply)
    assert use_gpu
    assert read_record(layout, cell).failure_kind == "gpu_missing"


def test_workers_compute_on_one_thread():
    with connect("local", device="cpu", n_workers=1, n_cells=1) as client:
        (variables,) = client.run(
            lambda: {k: os.environ.get(k) for k in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        ).values()
    assert variables == {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def test_nothing_listens_beyond_loopback():
    with connect("local", device="cpu", n_workers=1, n_cells=1) as client:
        (worker_pid,) = client.run(os.getpid).values()
        listening = _listening_addresses({worker_pid, os.getpid()})
    assert listening
    assert listening <= {"127.0.0.1", "::1"}


def _listening_addresses(pids: set[int]) -> set[str]:
    """Addresses of listening TCP sockets of some processes, once two looks in a row see the same sockets."""
    before = None
    while True:
        sockets = {
            connection.laddr
            for pid in pids
            for connection in psutil.Process(pid).net_connections(kind="tcp")
            if connection.status == psutil.CONN_LISTEN
        }
        if sockets == before:
            return {socket.ip for socket in sockets}
        before = sockets
        time.sleep(0.2)
