"""A run in somebody's own process leaves it as it was."""

from __future__ import annotations

import logging
import resource
import warnings

import pytest
from distributed import Client

from fly64dask.deploy import connect
from fly64dask.deploy.process_settings import many_descriptors, quiet_dask

NAMES = ("distributed", "distributed.client", "distributed.scheduler", "distributed.core")


def state() -> tuple[object, ...]:
    levels = [logging.getLogger(name).level for name in NAMES]
    return levels, list(warnings.filters), resource.getrlimit(resource.RLIMIT_NOFILE)


def test_quiet_dask_and_many_descriptors_end_with_their_block():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
    try:
        logging.getLogger("distributed.core").setLevel(logging.INFO)
        before = state()
        with quiet_dask(), many_descriptors():
            assert not logging.getLogger("distributed.core").isEnabledFor(logging.ERROR)
            assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 512
        assert state() == before
    finally:
        logging.getLogger("distributed.core").setLevel(logging.NOTSET)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.cluster
def test_connect_leaves_the_process_as_it_was():
    before = state()
    with connect("local", device="cpu", n_workers=1, n_cells=1) as client:
        assert isinstance(client, Client)
    assert state() == before
