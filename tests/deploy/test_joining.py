"""A machine that joins a run on another one: what it refuses. In `faults/test_hosts.py` it computes."""

from __future__ import annotations

import contextlib
import socket
import threading

import pytest

from fly64dask.base import software_versions
from fly64dask.deploy import connect
from fly64dask.deploy.worker_checks import WANTED_KEY, check_workers, differing


@pytest.fixture(scope="module")
def client():
    """A client of a scheduler with one worker."""
    with connect("local", device="cpu", n_workers=1, n_cells=1) as connected:
        yield connected


def test_differing_names_both_versions_of_a_package():
    found, wanted = {"torch": "2.4", "zarr": "3.1"}, {"torch": "2.5", "zarr": "3.1"}
    assert differing(found, wanted, whose="the run has") == "torch 2.4 (the run has 2.5)"


@pytest.mark.cluster
def test_check_workers_tells_machines_that_join_later_what_the_run_needs(client, tmp_path):
    check_workers(client, device="cpu", run_directory=tmp_path)
    run = client.get_metadata([WANTED_KEY])
    assert run["run_directory"] == str(tmp_path)
    assert run["versions"].items() <= software_versions().items()


@pytest.mark.cluster
@pytest.mark.parametrize(
    ("run", "named"),
    [
        ({"versions": {"zarr": "1.0"}, "run_directory": "/"}, "zarr .* (the run has 1.0)"),
        ({"versions": {}, "run_directory": "/nowhere/run"}, "this machine does not see /nowhere/run"),
    ],
)
def test_worker_refuses_to_join_a_run_for_which_its_machine_does_not_do(client, fly64dask, run, named):
    client.set_metadata([WANTED_KEY], run)
    done = fly64dask("worker", client.scheduler.address, "--workers", 1)
    before, _, after = named.partition(" .* ")
    assert (done.returncode, before in done.stderr, after in done.stderr) == (2, True, True)
    assert "has joined" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.process
def test_worker_says_that_nobody_listens(fly64dask):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        done = fly64dask("worker", address)  # meanwhile nobody else can listen there
    assert (done.returncode, f"nobody listens at {address}" in done.stderr) == (2, True)


@pytest.fixture
def web_server():
    """The address of something that listens, and talks as no scheduler does."""

    def answer():
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, contextlib.suppress(ConnectionError):  # who has left already
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer)
        thread.start()
        yield f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


@pytest.mark.process
def test_worker_says_that_what_listens_is_no_scheduler(fly64dask, web_server):
    done = fly64dask("worker", web_server)
    assert done.returncode == 2
    assert f"what listens at {web_server} does not talk to this machine" in done.stderr
    assert "Traceback" not in done.stderr
