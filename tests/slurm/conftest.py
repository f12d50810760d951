"""A real Slurm of two nodes for each file of tests, and a site for each test."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from slurm_lab import missing_daemons, slurm_lab
from slurm_site import Site


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Iterator[dict[str, str]]:
    missing = missing_daemons()
    if missing:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI needs Slurm: {', '.join(missing)} not found")
        pytest.skip(f"no Slurm here: {', '.join(missing)} not found")
    with slurm_lab(tmp_path_factory.mktemp("slurm") / "lab") as conf:
        yield {"SLURM_CONF": str(conf)}


@pytest.fixture
def site(tmp_path, lab) -> Iterator[Site]:
    made = Site(tmp_path, lab)
    yield made
    made.clear()
