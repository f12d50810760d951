"""Local workers are forked by one process that has loaded what they import, and have the environment of the driver."""

from __future__ import annotations

import os
import subprocess
import sys

import psutil
import pytest

from fly64dask.base import SINGLE_THREAD
from fly64dask.deploy import connect


def facts() -> dict[str, object]:
    return {"parent": os.getppid(), "environment": dict(os.environ)}


@pytest.fixture(scope="module")
def workers():
    """What two workers say of themselves, whose driver got a variable after the first workers of its process."""
    with connect("local", device="cpu", n_workers=1, n_cells=1):
        os.environ["FLY64DASK_TEST_LATER"] = "later"
    try:
        with connect("local", device="cpu", n_workers=2, n_cells=2) as client:
            return list(client.run(facts).values())
    finally:
        del os.environ["FLY64DASK_TEST_LATER"]


def test_local_workers_have_one_parent_which_is_not_the_driver(workers):
    (parent,) = {worker["parent"] for worker in workers}
    assert psutil.Process(parent).ppid() == os.getpid()


def test_local_workers_have_the_environment_of_the_driver_now_and_one_thread(workers):
    for worker in workers:
        assert worker["environment"]["FLY64DASK_TEST_LATER"] == "later"
        assert SINGLE_THREAD.items() <= worker["environment"].items()


def test_workers_are_loaded_without_loading_dask_here():
    code = """
import os, sys
before = dict(os.environ)
from fly64dask.deploy import load_workers
load_workers()
assert "distributed" not in sys.modules
assert dict(os.environ) == before
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=600)
